//! A folder that the overlay wrote becomes a layer as it is: it is read once for its digest and its
//! recipe, and moved.

use super::{Added, Images, SCOPE, open_folder, remove_path};
use crate::container::write_layer;
use crate::error::Error;
use crate::rows::{IMAGES, ImageRow, LAYERS};
use bytes::Bytes;
use oci::digest::Hasher;
use oci::image::ImageConfig;
use oci::{Digest, Reference};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use store::blobs::block_on;

/// A layer that is whole and belongs to no image yet. If it is not taken, it goes.
#[derive(Debug)]
pub struct Sealed {
    pub diff_id: Digest,
    added: Added,
    place: PathBuf,
}

impl Drop for Sealed {
    fn drop(&mut self) {
        remove_scratch(&self.place);
    }
}

/// A folder of ours in the scratch folder, with all that is in it.
pub(crate) fn remove_scratch(place: &Path) {
    let (Some(above), Some(name)) = (place.parent(), place.file_name()) else { return };
    let _ = remove_path(above, &name.to_string_lossy());
}

/// What is written names itself and makes its recipe.
struct Sealing {
    hasher: Hasher,
    recorder: super::Recorder,
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.recorder.pass(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Images {
    /// Takes a folder of the scratch folder, to which nobody may write any more; `None` if there
    /// is nothing in it.
    pub fn seal(&self, place: PathBuf) -> Result<Option<Sealed>, Error> {
        let folder = open_folder(&place)?;
        if std::fs::read_dir(&place)?.next().is_none() {
            remove_scratch(&place);
            return Ok(None);
        }
        let recorder = super::Recorder::default();
        let mut sealing = Sealing { hasher: Hasher::default(), recorder: recorder.clone() };
        let written = write_layer(&folder, &mut sealing, Some(recorder.clone()));
        let size = recorder.content_bytes();
        let recipe = written.and_then(|()| self.keep(&mut recorder.finish().as_slice()));
        match recipe {
            Ok(recipe) => {
                let added = Added { size, recipe, is_archive: false };
                Ok(Some(Sealed { diff_id: sealing.hasher.finish(), added, place }))
            }
            Err(error) => {
                remove_scratch(&place);
                Err(error)
            }
        }
    }

    /// Takes in an image whose layers are here but for the last one, which is given if the
    /// configuration names it.
    pub fn add_built(
        &self,
        config: &ImageConfig,
        sealed: Option<Sealed>,
        tags: &[Reference],
        parent: &str,
    ) -> Result<String, Error> {
        let text = serde_json::to_vec(config).map_err(io::Error::from)?;
        let id = Digest::of(&text).to_string();
        let _expected = self.expect(config);
        let mut added = BTreeMap::new();
        if let Some(sealed) = sealed {
            let key = config.chain().last().map(Digest::hex).unwrap_or_default();
            if config.rootfs.diff_ids.last() != Some(&sealed.diff_id) {
                return Err(Error::failed("the image does not name its new layer"));
            }
            let known = self.store.read(|tx| tx.exists(&LAYERS, &SCOPE, &key))?;
            if !known || !self.layers.join(&key).exists() {
                added.insert(key.clone(), self.move_in(sealed, &key)?);
            }
        }
        let row = ImageRow {
            config: Bytes::from(text),
            size: 0,
            loaded_ns: crate::time::now_ns(),
            parent: parent.to_owned(),
            digests: Vec::new(),
        };
        block_on(self.store.write(|tx| {
            // The image that it was made of may have been removed meanwhile, with its layers.
            if !parent.is_empty() && !tx.exists(&IMAGES, &SCOPE, parent)? {
                return Err(Error::failed(format!("the image {parent} was removed meanwhile")));
            }
            self.commit_image(tx, &id, &row, config, &added, tags)
        }))?;
        Ok(id)
    }

    fn move_in(&self, sealed: Sealed, key: &str) -> Result<Added, Error> {
        let folder = open_folder(&sealed.place)?;
        rustix::fs::syncfs(&folder)?;
        match std::fs::rename(&sealed.place, self.layers.join(key)) {
            Ok(()) => {}
            // Somebody else was faster with the same layer.
            Err(_) if self.layers.join(key).exists() => {}
            Err(error) => return Err(error.into()),
        }
        rustix::fs::fsync(&open_folder(&self.layers)?)?;
        let Added { size, recipe, is_archive } = &sealed.added;
        Ok(Added { size: *size, recipe: recipe.clone(), is_archive: *is_archive })
    }
}
