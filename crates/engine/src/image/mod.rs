//! Images: their configurations and tags as rows, their layers as folders that containers share.
//!
//! A layer is unpacked once, under the name of the stack of layers that it is the top of, and never
//! changed. Its archive is kept as a [`recipe`]. A folder without a row is removed at the next start.
//!
//! Everything here blocks and runs on a thread that may.

mod archive;
mod coming;
mod merge;
mod pour;
mod recipe;
mod seal;
mod tree;
mod unpack;
mod workspace;
mod zstd;

pub use archive::{Loaded, architecture};
pub use coming::Roomy;
pub(crate) use merge::{Marks, merge};
pub(crate) use recipe::Recorder;
pub use seal::Sealed;
pub(crate) use seal::remove_scratch;
pub use tree::Driver;
pub(crate) use tree::{Difference, Tree, What};
use unpack::set_time;
pub use unpack::{place_entry, remove_folder};
pub use workspace::{Workspace, open_beneath};

use crate::config::Config;
use crate::error::Error;
use crate::rows::{IMAGES, ImageRow, LAYERS, LayerRow, TAGS, TagRow};
use crate::sys::Failure;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzDecoder, MultiGzDecoder};
use flate2::write::GzEncoder;
use oci::digest::Hasher;
use oci::image::ImageConfig;
use oci::{Digest, Reference};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use store::blobs::{PinnedBlob, block_on};
use store::{Scope, Store, StoreError};

/// Of one layer, unpacked, at most.
const LAYER_BYTES_MAX: u64 = 256 << 30;
const SCOPE: Scope = Scope::Host;

#[derive(Clone)]
pub struct Images {
    store: Store,
    /// Folders of layers.
    layers: PathBuf,
    /// All files of images together, where they are copied.
    flat: PathBuf,
    driver: Arc<OnceLock<Driver>>,
    /// For what is not whole yet.
    scratch: PathBuf,
    entropy: Arc<dyn base::Entropy>,
    /// Layers that images under way count on, and how many do.
    coming: coming::Coming,
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Images")
    }
}

/// An image, read.
#[derive(Clone, Debug)]
pub struct Image {
    /// `sha256:…`.
    pub id: String,
    pub row: ImageRow,
    pub config: ImageConfig,
    /// Short names with tags.
    pub tags: Vec<String>,
}

impl Image {
    /// How a container of it runs, unless it is told otherwise.
    pub fn run_config(&self) -> Config {
        let config = self.config.config.clone().unwrap_or_default();
        serde_json::from_value(config).unwrap_or_default()
    }
}

/// What removing an image did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Removed {
    Untagged(String),
    Deleted(String),
}

/// Some part of an archive, to be read once.
pub type Source<'a> = Box<dyn Read + 'a>;

/// Where the layers of an image come from, counted from below.
pub trait Layers<'a> {
    fn source(&mut self, n: usize) -> Result<Source<'a>, Error>;

    /// It is in its folder, so that what it came from may go.
    fn taken(&mut self, _n: usize) {}
}

impl<'a, F: FnMut(usize) -> Result<Source<'a>, Error>> Layers<'a> for F {
    fn source(&mut self, n: usize) -> Result<Source<'a>, Error> {
        self(n)
    }
}

impl Images {
    /// `root` is the engine's folder. Without a driver the first one that works here is taken.
    pub fn open(
        store: Store,
        root: &Path,
        entropy: Arc<dyn base::Entropy>,
        driver: Option<Driver>,
    ) -> Images {
        let [layers, flat, scratch] = ["layers", "flat", "scratch"].map(|name| root.join(name));
        let driver = Arc::new(driver.map_or_else(OnceLock::new, OnceLock::from));
        let coming = coming::Coming::default();
        Images { store, layers, flat, driver, scratch, entropy, coming }
    }

    /// Makes the folders, and removes what was not whole when the last process ended.
    pub fn prepare(&self) -> io::Result<()> {
        for folder in [&self.layers, &self.flat, &self.scratch] {
            std::fs::create_dir_all(folder)?;
        }
        clear(&self.scratch, |_| false)?;
        let known: Result<Vec<String>, StoreError> =
            self.store.read(|tx| tx.scan(&LAYERS, &SCOPE).keys().collect());
        let known = known.map_err(io::Error::other)?;
        clear(&self.layers, |name| known.iter().any(|key| key == name))?;
        clear(&self.flat, |name| known.iter().any(|key| key == name))
    }

    /// A new place for something that is not whole yet.
    pub fn scratch(&self, what: &str) -> PathBuf {
        self.scratch.join(format!("{what}-{}", self.entropy.text(b"0123456789abcdef", 16)))
    }

    pub fn list(&self) -> Result<Vec<Image>, Error> {
        self.store.read(|tx| {
            let mut tags: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for entry in tx.scan(&TAGS, &SCOPE) {
                let (name, row) = entry?;
                tags.entry(row.image).or_default().push(familiar(&name));
            }
            let mut all = Vec::new();
            for entry in tx.scan(&IMAGES, &SCOPE) {
                let (id, row) = entry?;
                let tags = tags.remove(&id).unwrap_or_default();
                all.push(image(id, row, tags)?);
            }
            Ok(all)
        })
    }

    /// Those that were made of an image here.
    pub fn children(&self, parent: &str) -> Result<Vec<Image>, Error> {
        self.store.read(|tx| {
            let mut all = Vec::new();
            for entry in tx.scan(&IMAGES, &SCOPE) {
                let (id, row) = entry?;
                if row.parent == parent {
                    all.push(image(id, row, Vec::new())?);
                }
            }
            Ok(all)
        })
    }

    /// By reference, id, or the beginning of an id.
    pub fn find(&self, name: &str) -> Result<Image, Error> {
        let id = self.resolve(name)?;
        self.store.read(|tx| {
            let row = tx.get(&IMAGES, &SCOPE, &id)?.ok_or_else(|| no_such(name))?;
            let mut tags = Vec::new();
            for entry in tx.scan(&TAGS, &SCOPE) {
                let (tag, row) = entry?;
                if row.image == id {
                    tags.push(familiar(&tag));
                }
            }
            image(id.clone(), row, tags)
        })
    }

    fn resolve(&self, name: &str) -> Result<String, Error> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        self.store.read(|tx| {
            if let Ok(reference) = Reference::parse(name)
                && let Some(id) = by_reference(tx, reference.with_default_tag())?
            {
                return Ok(id);
            }
            let mut found = Vec::new();
            if is_hex {
                let from = format!("sha256:{hex}");
                for key in tx.scan(&IMAGES, &SCOPE).from(from.as_str()).keys().take(2) {
                    let key = key?;
                    if key.starts_with(&from) {
                        found.push(key);
                    }
                }
            }
            match found.len() {
                1 => Ok(found.remove(0)),
                0 => Err(no_such(name)),
                _ => Err(Error::invalid(format!("reference is ambiguous: {name}"))),
            }
        })
    }

    pub fn tag(&self, image: &str, repository: &str, tag: &str) -> Result<String, Error> {
        let id = self.resolve(image)?;
        let text =
            if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") };
        let reference =
            Reference::parse(&text).map_err(|error| Error::invalid(error.to_string()))?;
        if reference.digest.is_some() {
            return Err(Error::invalid("refusing to create a tag with a digest reference"));
        }
        self.set_tag(&reference.with_default_tag(), &id)?;
        Ok(id)
    }

    pub fn set_tag(&self, reference: &Reference, id: &str) -> Result<(), Error> {
        let name = reference.to_string();
        let row = TagRow { image: id.to_owned(), tagged_ns: crate::time::now_ns() };
        block_on(self.store.write(|tx| tx.put(&TAGS, &SCOPE, &name, &row)))?;
        Ok(())
    }

    /// Takes a tag away, and the image itself when it was the last one. `used` says of an image
    /// whether a container needs it.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        used: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Removed>, Error> {
        let image = self.find(name)?;
        let by_id = {
            let hex = name.strip_prefix("sha256:").unwrap_or(name);
            image.id.strip_prefix("sha256:").is_some_and(|id| id.starts_with(hex))
                && !image.tags.iter().any(|tag| tag == name)
        };
        let repositories: BTreeSet<&str> =
            image.tags.iter().filter_map(|tag| Some(tag.rsplit_once(':')?.0)).collect();
        let short = image.id.get(7..19).unwrap_or_default().to_owned();
        if by_id && repositories.len() > 1 && !force {
            return Err(Error::conflict(format!(
                "conflict: unable to delete {short} (must be forced) - image is referenced in \
                 multiple repositories"
            )));
        }
        let given: Vec<String> = if by_id {
            image.tags.clone()
        } else {
            let reference =
                Reference::parse(name).map_err(|error| Error::invalid(error.to_string()))?;
            vec![reference.with_default_tag().familiar()]
        };
        let last = given.len() >= image.tags.len();
        let has_children = self.parents()?.contains(&image.id);
        if last && has_children {
            if by_id {
                return Err(Error::conflict(format!(
                    "conflict: unable to delete {short} (cannot be forced) - image has dependent \
                     child images"
                )));
            }
            return self.untag(&image, &given);
        }
        if last && let Some(container) = used(&image.id) {
            if by_id || !force {
                let how = if by_id {
                    "unable to delete"
                } else {
                    "unable to remove repository reference"
                };
                let what = if by_id { short } else { format!("\"{name}\"") };
                return Err(Error::conflict(format!(
                    "conflict: {how} {what} ({}) - container {container} is using its referenced \
                     image {}",
                    if by_id { "cannot be forced" } else { "must force" },
                    image.id.get(7..19).unwrap_or_default()
                )));
            }
            return self.untag(&image, &given);
        }
        if !last {
            return self.untag(&image, &given);
        }
        let mut removed: Vec<Removed> = given.iter().cloned().map(Removed::Untagged).collect();
        removed.extend(self.delete(&image, &given)?);
        removed.extend(self.remove_steps(image.row.parent, used)?);
        Ok(removed)
    }

    /// Ids of images that others were made of here.
    pub fn parents(&self) -> Result<BTreeSet<String>, Error> {
        self.store.read(|tx| {
            let mut parents = BTreeSet::new();
            for entry in tx.scan(&IMAGES, &SCOPE) {
                parents.insert(entry?.1.parent);
            }
            parents.remove("");
            Ok(parents)
        })
    }

    /// Steps of a build that nothing needs any more, from the last one down.
    fn remove_steps(
        &self,
        mut id: String,
        used: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Removed>, Error> {
        let mut removed = Vec::new();
        while !id.is_empty() {
            let Ok(image) = self.find(&id) else { break };
            if !image.tags.is_empty() || used(&id).is_some() || self.parents()?.contains(&id) {
                break;
            }
            removed.extend(self.delete(&image, &[])?);
            id = image.row.parent;
        }
        Ok(removed)
    }

    /// With the last tag of a repository goes what is known of its digests there.
    fn untag(&self, image: &Image, tags: &[String]) -> Result<Vec<Removed>, Error> {
        let repository = |tag: &str| tag.rsplit_once(':').map(|(name, _)| name.to_owned());
        let left = image.tags.iter().filter(|tag| !tags.contains(tag));
        let left: BTreeSet<String> = left.filter_map(|tag| repository(tag)).collect();
        let gone: BTreeSet<String> = tags.iter().filter_map(|tag| repository(tag)).collect();
        let goes = |digest: &String| {
            let name = digest.split('@').next().unwrap_or_default();
            gone.contains(name) && !left.contains(name)
        };
        let digests = block_on(self.store.write(|tx| {
            for tag in tags.iter().filter_map(|tag| Reference::parse(tag).ok()) {
                tx.delete(&TAGS, &SCOPE, &tag.with_default_tag().to_string())?;
            }
            let Some(mut row) = tx.get(&IMAGES, &SCOPE, &image.id)? else { return Ok(Vec::new()) };
            let digests: Vec<String> =
                row.digests.iter().filter(|one| goes(one)).cloned().collect();
            if !digests.is_empty() {
                row.digests.retain(|one| !goes(one));
                tx.put(&IMAGES, &SCOPE, &image.id, &row)?;
            }
            Ok::<_, StoreError>(digests)
        }))?;
        Ok(tags.iter().chain(&digests).cloned().map(Removed::Untagged).collect())
    }

    /// The image with its tags, and the layers that no other has.
    fn delete(&self, image: &Image, tags: &[String]) -> Result<Vec<Removed>, Error> {
        let chain = image.config.chain();
        let gone = block_on(self.store.write(|tx| {
            tx.mark_freeing();
            for tag in tags.iter().filter_map(|tag| Reference::parse(tag).ok()) {
                tx.delete(&TAGS, &SCOPE, &tag.with_default_tag().to_string())?;
            }
            tx.delete(&IMAGES, &SCOPE, &image.id)?;
            let mut gone = Vec::new();
            for layer in chain.iter().rev() {
                let key = layer.hex();
                if release_layer(tx, &key)? {
                    gone.push(key);
                }
            }
            Ok::<_, StoreError>(gone)
        }))?;
        let mut removed = vec![Removed::Deleted(image.id.clone())];
        for key in gone {
            self.remove_layer_files(&key);
            removed.push(Removed::Deleted(format!("sha256:{key}")));
        }
        Ok(removed)
    }

    /// After [`release_layer`] said that nothing has a layer any more, and that is on the disk.
    pub fn remove_layer_files(&self, key: &str) {
        let _ = remove_path(&self.layers, key);
        let _ = remove_path(&self.flat, key);
    }

    /// The length of a layer's archive.
    pub fn layer_archive_size(&self, key: &str) -> Result<u64, Error> {
        let (row, recipe) = self.recipe(key)?;
        match row.is_archive {
            true => Ok(io::copy(&mut io::BufReader::new(recipe), &mut io::sink())?),
            false => Ok(recipe::cooked_size(io::BufReader::new(recipe))?),
        }
    }

    /// Notes under which name and digest a registry has an image.
    pub fn add_digest(&self, id: &str, digest: &str) -> Result<(), Error> {
        block_on(self.store.write(|tx| {
            if let Some(mut row) = tx.get(&IMAGES, &SCOPE, id)?
                && !row.digests.iter().any(|own| own == digest)
            {
                row.digests.push(digest.to_owned());
                tx.put(&IMAGES, &SCOPE, id, &row)?;
            }
            Ok::<_, StoreError>(())
        }))?;
        Ok(())
    }

    /// Whether a layer is here, whole.
    pub fn has_layer(&self, key: &str) -> Result<bool, Error> {
        let known = self.store.read(|tx| tx.exists(&LAYERS, &SCOPE, key))?;
        Ok(known && self.layers.join(key).exists())
    }

    /// The folders of an image's layers, the topmost first.
    pub fn folders(&self, image: &ImageConfig) -> Vec<PathBuf> {
        image.chain().iter().rev().map(|layer| self.layers.join(layer.hex())).collect()
    }

    /// Sizes of an image's layers, the lowest first.
    pub fn layer_sizes(&self, image: &ImageConfig) -> Result<Vec<u64>, Error> {
        self.store.read(|tx| {
            let chain = image.chain();
            let sizes = chain.iter().map(|layer| {
                let row = tx.get(&LAYERS, &SCOPE, &layer.hex())?;
                Ok(row.map_or(0, |row| row.size))
            });
            sizes.collect::<Result<_, StoreError>>().map_err(Error::from)
        })
    }

    /// The size of all layers together, each once, and of what was copied of them for containers to begin with.
    pub fn layers_size(&self) -> Result<u64, Error> {
        let copied = crate::container::folder_bytes(&self.flat);
        self.store.read(|tx| {
            let mut sum = copied;
            for entry in tx.scan(&LAYERS, &SCOPE) {
                sum += entry?.1.size;
            }
            Ok(sum)
        })
    }

    /// Takes in an image: unpacks its layers, which come in order from below, and names it.
    pub fn add<'a>(
        &self,
        config: &[u8],
        layers: impl Layers<'a>,
        tags: &[Reference],
        parent: &str,
    ) -> Result<String, Error> {
        let parsed = ImageConfig::parse(config).map_err(Error::invalid)?;
        let id = Digest::of(config).to_string();
        let expected = self.expect(&parsed);
        let added = self.add_layers(&parsed, layers)?;
        let row = ImageRow {
            config: Bytes::copy_from_slice(config),
            size: 0,
            loaded_ns: crate::time::now_ns(),
            parent: parent.to_owned(),
            digests: Vec::new(),
        };
        block_on(self.store.write(|tx| self.commit_image(tx, &id, &row, &parsed, &added, tags)))?;
        drop(expected);
        Ok(id)
    }

    fn commit_image(
        &self,
        tx: &mut store::Tx,
        id: &str,
        row: &ImageRow,
        config: &ImageConfig,
        added: &BTreeMap<String, Added>,
        tags: &[Reference],
    ) -> Result<(), Error> {
        for reference in tags {
            let tag = TagRow { image: id.to_owned(), tagged_ns: row.loaded_ns };
            tx.put(&TAGS, &SCOPE, &reference.to_string(), &tag)?;
        }
        if tx.exists(&IMAGES, &SCOPE, id)? {
            return Ok(());
        }
        let mut size = 0;
        let mut below = String::new();
        for (layer, diff_id) in config.chain().iter().zip(&config.rootfs.diff_ids) {
            let key = layer.hex();
            let mut layer_row = match (tx.get(&LAYERS, &SCOPE, &key)?, added.get(&key)) {
                (Some(row), _) => row,
                (None, Some(added)) => LayerRow {
                    diff_id: diff_id.to_string(),
                    below: below.clone(),
                    size: added.size,
                    recipe: tx.adopt_blob(&added.recipe)?,
                    is_archive: added.is_archive,
                    uses: 0,
                },
                // It was there when the image came, and was removed since.
                (None, None) => {
                    return Err(Error::failed("a layer was removed meanwhile; try again"));
                }
            };
            layer_row.uses += 1;
            size += layer_row.size;
            tx.put(&LAYERS, &SCOPE, &key, &layer_row)?;
            below = key;
        }
        tx.put(&IMAGES, &SCOPE, id, &ImageRow { size, ..row.clone() })?;
        Ok(())
    }

    fn add_layers<'a>(
        &self,
        config: &ImageConfig,
        mut layers: impl Layers<'a>,
    ) -> Result<BTreeMap<String, Added>, Error> {
        let mut added = BTreeMap::new();
        let chain = config.chain();
        for (n, (layer, diff_id)) in chain.iter().zip(&config.rootfs.diff_ids).enumerate() {
            let key = layer.hex();
            let known = self.store.read(|tx| tx.exists(&LAYERS, &SCOPE, &key))?;
            if known && self.layers.join(&key).exists() {
                layers.taken(n);
                continue;
            }
            let one = self.add_layer(*diff_id, &chain[..n], &key, &mut layers, n)?;
            added.insert(key, one);
        }
        Ok(added)
    }

    fn add_layer<'a>(
        &self,
        diff_id: Digest,
        below: &[Digest],
        key: &str,
        layers: &mut impl Layers<'a>,
        n: usize,
    ) -> Result<Added, Error> {
        let place = self.scratch("layer");
        std::fs::create_dir_all(&place)?;
        let added = self.unpack_layer(&place, diff_id, below, key, layers, n);
        if added.is_err() {
            let _ = remove_path(&self.scratch, &name_of(&place));
        }
        added
    }

    /// In a place of its own, which is moved once it is whole.
    fn unpack_layer<'a>(
        &self,
        place: &Path,
        diff_id: Digest,
        below: &[Digest],
        key: &str,
        layers: &mut impl Layers<'a>,
        n: usize,
    ) -> Result<Added, Error> {
        let folder = open_folder(place)?;
        let below: Vec<OwnedFd> = below
            .iter()
            .rev()
            .map(|layer| open_folder(&self.layers.join(layer.hex())))
            .collect::<io::Result<_>>()?;
        let recorder = Recorder::default();
        let mut hashing = Hashing { from: plain(layers.source(n)?)?, hasher: Hasher::default() };
        let unpacked = unpack::unpack(
            self.roomy(&mut hashing)?,
            &folder,
            &unpack::Below { folders: &below },
            LAYER_BYTES_MAX,
            &recorder,
        );
        let unpacked = unpacked.map_err(|Failure(text)| Error::failed(text))?;
        let found = hashing.hasher.finish();
        if found != diff_id {
            let text = format!("wrong diff id calculated on extraction \"{found}\"");
            return Err(Error::failed(text));
        }
        let is_archive = !unpacked.is_whole;
        let recipe = if is_archive {
            self.keep(&mut plain(layers.source(n)?)?)?
        } else {
            self.keep(&mut recorder.finish().as_slice())?
        };
        layers.taken(n);
        rustix::fs::syncfs(&folder)?;
        match std::fs::rename(place, self.layers.join(key)) {
            Ok(()) => {}
            // Somebody else was faster with the same layer.
            Err(_) if self.layers.join(key).exists() => {
                let _ = remove_path(&self.scratch, &name_of(place));
            }
            Err(error) => return Err(error.into()),
        }
        rustix::fs::fsync(&open_folder(&self.layers)?)?;
        Ok(Added { size: unpacked.bytes, recipe, is_archive })
    }

    fn keep(&self, from: &mut dyn Read) -> Result<PinnedBlob, Error> {
        let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
        let mut writer = self.store.blobs().writer(None);
        let mut piece = vec![0; 256 * 1024];
        loop {
            let read = from.read(&mut piece)?;
            if read == 0 {
                break;
            }
            compressed.write_all(&piece[..read])?;
            if compressed.get_ref().len() > 1 << 20 {
                let ready = std::mem::take(compressed.get_mut());
                block_on(writer.write(&ready))?;
            }
        }
        block_on(writer.write(&compressed.finish()?))?;
        Ok(block_on(writer.finish())?)
    }

    fn recipe(&self, key: &str) -> Result<(LayerRow, GzDecoder<BlobSource>), Error> {
        let (row, reader) = self.store.read(|tx| {
            let row = tx.get(&LAYERS, &SCOPE, key)?;
            let row = row.ok_or_else(|| Error::failed(format!("layer {key} is missing")))?;
            let reader = self.store.blobs().open(tx, &row.recipe)?;
            Ok::<_, Error>((row, reader))
        })?;
        let size = reader.size_bytes();
        let blob = BlobSource { stream: reader.stream(0..size), piece: Bytes::new() };
        Ok((row, GzDecoder::new(blob)))
    }

    /// A layer's archive, compressed into an empty file; the same each time. Gives digest and size.
    pub fn write_layer_compressed(
        &self,
        key: &str,
        to: &std::fs::File,
    ) -> Result<(Digest, u64), Error> {
        let naming = Naming { to, hasher: Hasher::default(), size: 0 };
        let mut compressed = GzEncoder::new(naming, Compression::fast());
        self.write_layer(key, &mut compressed)?;
        let Naming { hasher, size, .. } = compressed.finish()?;
        Ok((hasher.finish(), size))
    }

    /// Writes a layer's archive, as it once came.
    pub fn write_layer(&self, key: &str, to: &mut impl Write) -> Result<(), Error> {
        let (row, plain) = self.recipe(key)?;
        if row.is_archive {
            io::copy(&mut io::BufReader::new(plain), to)?;
        } else {
            let folder = open_folder(&self.layers.join(key))?;
            recipe::cook(io::BufReader::new(plain), &folder, to)?;
        }
        Ok(())
    }
}

/// A layer gets one more that has it. `false` if there is none of that name.
pub fn retain_layer(tx: &mut store::Tx, key: &str) -> Result<bool, StoreError> {
    let Some(mut row) = tx.get(&LAYERS, &SCOPE, key)? else { return Ok(false) };
    row.uses += 1;
    tx.put(&LAYERS, &SCOPE, key, &row)?;
    Ok(true)
}

/// A layer gets one less; `true` if it was the last one, and its files are to be removed.
pub fn release_layer(tx: &mut store::Tx, key: &str) -> Result<bool, StoreError> {
    let Some(mut row) = tx.get(&LAYERS, &SCOPE, key)? else { return Ok(false) };
    row.uses = row.uses.saturating_sub(1);
    if row.uses > 0 {
        tx.put(&LAYERS, &SCOPE, key, &row)?;
        return Ok(false);
    }
    tx.release_blob(&row.recipe)?;
    tx.delete(&LAYERS, &SCOPE, key)?;
    Ok(true)
}

#[derive(Debug)]
struct Added {
    size: u64,
    recipe: PinnedBlob,
    is_archive: bool,
}

fn image(id: String, row: ImageRow, tags: Vec<String>) -> Result<Image, Error> {
    let config = ImageConfig::parse(&row.config).map_err(Error::failed)?;
    Ok(Image { id, row, config, tags })
}

fn familiar(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |reference| reference.familiar())
}

fn by_reference(tx: &store::Tx, reference: Reference) -> Result<Option<String>, StoreError> {
    if let Some(digest) = &reference.digest {
        let name = format!("{}@{digest}", reference.familiar_name());
        for entry in tx.scan(&IMAGES, &SCOPE) {
            let (id, row) = entry?;
            if row.digests.contains(&name) {
                return Ok(Some(id));
            }
        }
        return Ok(None);
    }
    Ok(tx.get(&TAGS, &SCOPE, &reference.to_string())?.map(|row| row.image))
}

fn no_such(name: &str) -> Error {
    let shown = match Reference::parse(name) {
        Ok(reference) => reference.with_default_tag().familiar(),
        Err(_) => name.to_owned(),
    };
    Error::not_found(format!("No such image: {shown}"))
}

/// Decompresses if it is compressed.
pub fn plain<'a>(from: Source<'a>) -> io::Result<Source<'a>> {
    let mut from = io::BufReader::with_capacity(128 * 1024, from);
    let head = io::BufRead::fill_buf(&mut from)?;
    match head {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(from))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Box::new(zstd::Frames::new(from))),
        _ => Ok(Box::new(from)),
    }
}

struct Hashing<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(out)?;
        self.hasher.update(&out[..read]);
        Ok(read)
    }
}

/// Names what is written through it.
struct Naming<'f> {
    to: &'f std::fs::File,
    hasher: Hasher,
    size: u64,
}

impl Write for Naming<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A blob as a plain stream, for a thread that may wait.
struct BlobSource {
    stream: store::blobs::BlobStream,
    piece: Bytes,
}

impl Read for BlobSource {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            match block_on(self.stream.next()) {
                None => return Ok(0),
                Some(piece) => self.piece = piece?,
            }
        }
        let n = out.len().min(self.piece.len());
        out[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}

pub fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn remove_path(above: &Path, name: &str) -> io::Result<()> {
    Ok(remove_folder(&open_folder(above)?, name.as_bytes())?)
}

/// Removes all that is not to be kept.
fn clear(folder: &Path, keep: impl Fn(&str) -> bool) -> io::Result<()> {
    let above = open_folder(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if keep(&name) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => remove_folder(&above, name.as_bytes())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}
