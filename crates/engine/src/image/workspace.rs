//! An image's files with a folder above them that takes what is changed: how a build copies without a
//! container.

use super::seal::{Sealed, remove_scratch};
use super::{Driver, Images, Tree, open_folder};
use crate::error::Error;
use crate::sys::{files, mounts};
use oci::image::ImageConfig;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use std::path::PathBuf;

/// Opens what is at a path as a program whose root is `root` would see it.
pub fn open_beneath(root: impl AsFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    files::open_in(root, path, flags)
}

#[derive(Debug)]
pub struct Workspace {
    images: Images,
    /// In the scratch folder, with `upper` and `work` in it.
    place: PathBuf,
    root: Option<OwnedFd>,
    /// Where files are copied: of which image, and where to.
    copied: Option<(ImageConfig, Tree)>,
}

impl Drop for Workspace {
    fn drop(&mut self) {
        drop(self.root.take());
        remove_scratch(&self.place);
    }
}

impl Images {
    /// All layers of an image, mounted nowhere and not to be written.
    pub fn view(&self, config: &ImageConfig) -> Result<OwnedFd, Error> {
        if self.driver() == Driver::Copy {
            return Ok(open_folder(&self.flat(config)?)?);
        }
        let mut lower = self.lower(config);
        if lower.is_empty() {
            let empty = self.scratch.join("empty");
            std::fs::create_dir_all(&empty)?;
            return open_folder(&empty).map_err(Error::from);
        }
        // An overlay takes two at least.
        if lower.len() == 1 {
            return open_folder(&PathBuf::from(lower.remove(0))).map_err(Error::from);
        }
        root_of(&mounts::overlay(&lower, None)?)
    }

    fn lower(&self, config: &ImageConfig) -> Vec<String> {
        self.folders(config).iter().map(|layer| layer.display().to_string()).collect()
    }

    pub fn workspace(&self, config: &ImageConfig) -> Result<Workspace, Error> {
        let place = self.scratch("workspace");
        let mut workspace = Workspace { images: self.clone(), place, root: None, copied: None };
        if self.driver() == Driver::Copy {
            let tree = self.plant(config, None, &workspace.place)?;
            workspace.root = Some(open_folder(&tree.files())?);
            workspace.copied = Some((config.clone(), tree));
            return Ok(workspace);
        }
        let path = |name: &str| workspace.place.join(name).display().to_string();
        for name in ["upper", "work", "empty"] {
            std::fs::create_dir_all(path(name))?;
        }
        let mut lower = self.lower(config);
        if let Some(top) = lower.first() {
            // The root itself is the uppermost one's.
            look_like(&path("upper"), top)?;
        } else {
            lower.push(path("empty"));
        }
        let mount = mounts::overlay(&lower, Some((&path("upper"), &path("work"))))?;
        workspace.root = Some(root_of(&mount)?);
        Ok(workspace)
    }
}

fn root_of(mount: &OwnedFd) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(mount, ".", flags, Mode::empty())?)
}

fn look_like(upper: &str, layer: &str) -> Result<(), Error> {
    let stat = rustix::fs::stat(layer)?;
    let owner = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    rustix::fs::chown(upper, Some(owner.0), Some(owner.1))?;
    rustix::fs::chmod(upper, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(())
}

impl Workspace {
    pub fn root(&self) -> Result<&OwnedFd, Error> {
        self.root.as_ref().ok_or_else(|| Error::failed("the workspace is closed"))
    }

    /// The folder at a path, made if it is not there, with those above it; links lead nowhere
    /// outside. Those that are made belong to `owner`.
    pub fn make_folder(&self, path: &str, owner: (u32, u32)) -> Result<OwnedFd, Error> {
        let root = self.root()?;
        let mut so_far = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            so_far.push('/');
            so_far.push_str(part);
            if open_beneath(root, &so_far, OFlags::PATH).is_ok() {
                continue;
            }
            let made = files::make_folder(root, &so_far).map_err(|f| Error::failed(f.0))?;
            if owner != (0, 0) {
                let (uid, gid) =
                    (rustix::fs::Uid::from_raw(owner.0), rustix::fs::Gid::from_raw(owner.1));
                rustix::fs::chownat(&made, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        open_beneath(root, path, flags)
            .map_err(|error| Error::failed(format!("{path}: {}", crate::sys::reason(error.into()))))
    }

    /// Whether a folder is there.
    pub fn is_folder(&self, path: &str) -> bool {
        let Ok(root) = self.root() else { return false };
        open_beneath(root, path, OFlags::PATH).is_ok_and(|fd| {
            statat(&fd, "", AtFlags::EMPTY_PATH)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
        })
    }

    /// A text of the image, up to a size; empty if it is not there.
    pub fn text(&self, path: &str, bytes_max: usize) -> String {
        self.root().ok().and_then(|root| files::read_in(root, path, bytes_max)).unwrap_or_default()
    }

    /// What was changed, as a layer; `None` if nothing was.
    pub fn seal(mut self) -> Result<Option<Sealed>, Error> {
        drop(self.root.take());
        if let Some((config, tree)) = &self.copied {
            return self.images.seal(self.images.difference(config, tree)?);
        }
        let place = self.images.scratch("layer");
        std::fs::rename(self.place.join("upper"), &place)?;
        self.images.seal(place)
    }
}
