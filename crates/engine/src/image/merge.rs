//! Several layers as one: what a squashed image has above its base.

use super::seal::{Sealed, remove_scratch};
use super::{Images, open_folder, place_entry, remove_folder};
use crate::container::{header, is_opaque, xattrs};
use crate::error::Error;
use oci::image::ImageConfig;
use oci::tar::Kind;
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, XattrFlags, fsetxattr, mknodat, openat, readlinkat, statat,
    unlinkat,
};
use rustix::io::Errno;

const DEPTH_MAX: u32 = 512;

impl Images {
    /// The layers of an image from the one at `below` on, as a new one in their place.
    pub fn merge(&self, config: &ImageConfig, below: usize) -> Result<Option<Sealed>, Error> {
        let mut folders = self.folders(config);
        folders.reverse();
        let place = self.scratch("layer");
        std::fs::create_dir_all(&place)?;
        let merged = open_folder(&place).map_err(Error::from).and_then(|to| {
            for folder in folders.iter().skip(below) {
                merge(&open_folder(folder)?, &to, 0)?;
            }
            Ok(())
        });
        match merged {
            Ok(()) => self.seal(place),
            Err(error) => {
                remove_scratch(&place);
                Err(error)
            }
        }
    }
}

/// Lays one layer over what is there, marks of the overlay included.
fn merge(from: &OwnedFd, to: &OwnedFd, depth: u32) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::failed("folders are nested too deeply"));
    }
    let failed = |failure: crate::sys::Failure| Error::failed(failure.0);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for entry in rustix::fs::Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Folder,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                remove(to, name)?;
                let device = FileType::CharacterDevice;
                mknodat(to, name, device, Mode::empty(), 0)?;
                continue;
            }
            FileType::CharacterDevice => Kind::Character,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            _ => continue,
        };
        let mut header = header(&String::from_utf8_lossy(name), kind, &stat);
        if kind == Kind::Symlink {
            header.link = readlinkat(from, name, Vec::new())?.into_bytes();
        }
        if kind == Kind::File {
            let file = openat(from, name, flags, Mode::empty())?;
            header.xattrs = xattrs(&file);
            place_entry(&header, to, name, to, std::fs::File::from(file)).map_err(failed)?;
            continue;
        }
        if kind != Kind::Folder {
            place_entry(&header, to, name, to, std::io::empty()).map_err(failed)?;
            continue;
        }
        let inner = openat(from, name, flags | OFlags::DIRECTORY, Mode::empty())?;
        header.xattrs = xattrs(&inner);
        // What was removed below and made anew hides all that is below.
        let hides = is_opaque(&inner) || is_whiteout(to, name);
        if hides {
            remove(to, name)?;
        }
        place_entry(&header, to, name, to, std::io::empty()).map_err(failed)?;
        let made = openat(to, name, flags | OFlags::DIRECTORY, Mode::empty())?;
        if hides {
            fsetxattr(&made, crate::sys::mounts::opaque_mark(), b"y", XattrFlags::empty())?;
        }
        merge(&inner, &made, depth + 1)?;
    }
    Ok(())
}

fn is_whiteout(folder: &OwnedFd, name: &[u8]) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
    })
}

fn remove(folder: &OwnedFd, name: &[u8]) -> Result<(), Error> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Ok(remove_folder(folder, name)?),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files of tests")]
mod tests {
    use super::*;

    #[test]
    fn layers_become_one() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: marks of the overlay need root");
            return;
        }
        let dir = std::env::temp_dir().join(format!("cumulet-merge-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        for (path, text) in [("a/d/x", "1"), ("a/gone", "2"), ("a/again/old", "3"), ("b/d/y", "4")]
        {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::create_dir_all(dir.join("b/again")).unwrap();
        std::fs::create_dir_all(dir.join("to")).unwrap();
        let open = |name: &str| open_folder(&dir.join(name)).unwrap();
        let device = FileType::CharacterDevice;
        mknodat(open("b"), "gone", device, Mode::empty(), 0).unwrap();
        fsetxattr(open("b/again"), crate::sys::mounts::opaque_mark(), b"y", XattrFlags::empty())
            .unwrap();
        let to = open("to");
        merge(&open("a"), &to, 0).unwrap();
        merge(&open("b"), &to, 0).unwrap();
        assert_eq!(std::fs::read_to_string(dir.join("to/d/x")).unwrap(), "1");
        assert_eq!(std::fs::read_to_string(dir.join("to/d/y")).unwrap(), "4");
        assert!(is_whiteout(&to, b"gone") && is_opaque(&open("to/again")));
        assert!(!dir.join("to/again/old").exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
