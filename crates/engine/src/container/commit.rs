//! A container's changes as a new layer of a new image.

use super::Container;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::image::{Image, Sealed, Source, open_beneath, open_folder};
use crate::time;
use oci::Reference;
use oci::digest::Hasher;
use oci::image::History;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, OFlags, statat, unlinkat};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Names what is written through it.
struct Hashing<W> {
    to: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Removes what is empty at a path, and above it, as far as the image does not have it.
fn remove_stubs(changed: &OwnedFd, image: &OwnedFd, path: &str) {
    let mut path = path;
    while let Some((above, name)) = path.rsplit_once('/').filter(|(_, name)| !name.is_empty()) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let Ok(folder) = open_beneath(changed, &format!("{above}/"), flags) else { return };
        let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return };
        let how = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => AtFlags::REMOVEDIR,
            FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
            _ => return,
        };
        let is_of_image = open_beneath(image, path, OFlags::PATH).is_ok();
        if is_of_image || unlinkat(&folder, name, how).is_err() {
            return;
        }
        path = above;
    }
}

impl Engine {
    /// Takes out again what was made only for something to be mounted on it.
    fn remove_stubs(&self, container: &Container, image: &Image, from: &Path) -> Result<(), Error> {
        let mounted = container.mounts.iter().filter(|point| point.kind != "volume");
        let mounted = mounted.map(|point| point.destination.as_str());
        let mut mounted: Vec<&str> = mounted.collect();
        if mounted.is_empty() {
            return Ok(());
        }
        // What is in another comes first.
        mounted.sort_unstable_by(|a, b| b.cmp(a));
        let (image, changed) = (self.images().view(&image.config)?, open_folder(from)?);
        mounted.iter().for_each(|path| remove_stubs(&changed, &image, path));
        Ok(())
    }

    /// What a container that has ended wrote, as a layer; `None` if it is nothing. The container
    /// has nothing left then, and is to be removed. What was made only for something to be mounted
    /// on it is left out. Blocks.
    pub fn take_changes(&self, container: &Container) -> Result<Option<Sealed>, Error> {
        if container.is_running() {
            return Err(Error::conflict("the container is running"));
        }
        let image = self.images().find(&container.image)?;
        if let Some(tree) = self.tree(container)? {
            self.remove_stubs(container, &image, &tree.files())?;
            return self.images().seal(self.images().difference(&image.config, &tree)?);
        }
        let upper = self.folder(&container.id).join("upper");
        self.remove_stubs(container, &image, &upper)?;
        let place = self.images().scratch("layer");
        std::fs::rename(&upper, &place)?;
        self.images().seal(place)
    }

    /// Blocks. Without `config` the image runs as the container did. Gives the image's id.
    pub fn commit(
        &self,
        container: &Container,
        config: Option<&Config>,
        reference: Option<&Reference>,
        author: &str,
        comment: &str,
    ) -> Result<String, Error> {
        let image = self.images().find(&container.image)?;
        let mut hashing = Hashing { to: self.images().scratch_file()?, hasher: Hasher::default() };
        self.write_difference(container, &mut hashing)?;
        let (mut file, diff_id) = (hashing.to, hashing.hasher.finish());
        let created = time::rfc3339_nano(time::now_ns());
        let mut run = config.unwrap_or(&container.config).clone();
        run.image.clone_from(&container.config.image);
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let words = container.config.cmd.clone().unwrap_or_default();
        let mut new = image.config.clone();
        new.created = Some(created.clone());
        new.author = some(author);
        new.comment = some(comment);
        new.container = Some(container.id.clone());
        new.config = serde_json::to_value(&run).ok();
        new.rootfs.diff_ids.push(diff_id);
        new.history.push(History {
            created: Some(created),
            created_by: Some(words.join(" ")),
            author: some(author),
            comment: some(comment),
            empty_layer: false,
        });
        let text = serde_json::to_vec(&new).map_err(io::Error::from)?;
        let tags: Vec<Reference> = reference.cloned().into_iter().collect();
        let last = new.rootfs.diff_ids.len() - 1;
        let id = self.images().add(
            &text,
            |n| {
                if n != last {
                    return Err(Error::failed("a layer of the image is missing"));
                }
                file.seek(SeekFrom::Start(0))?;
                let again: Source<'static> = Box::new(file.try_clone()?.take(u64::MAX));
                Ok(again)
            },
            &tags,
            &image.id,
        )?;
        self.event(container, "commit", &[("comment", comment.to_owned())]);
        Ok(id)
    }
}
