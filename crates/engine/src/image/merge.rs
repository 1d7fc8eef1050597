//! Several layers as one: what a squashed image has above its base, and all files of an image where they
//! are copied.

use super::seal::{Sealed, remove_scratch};
use super::unpack::{place_file, set_time};
use super::{Images, open_folder, place_entry, remove_folder};
use crate::container::{header, is_opaque, xattrs};
use crate::error::Error;
use crate::sys::Failure;
use oci::image::ImageConfig;
use oci::tar::{Entry, Kind};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, XattrFlags, fsetxattr, linkat, mknodat, openat,
    readlinkat, statat, unlinkat,
};
use rustix::io::Errno;
use std::collections::BTreeMap;

/// Folders in folders, at most.
pub(super) const DEPTH_MAX: u32 = 512;

impl Images {
    /// The layers of an image from the one at `below` on, as a new one in their place.
    pub fn merge(&self, config: &ImageConfig, below: usize) -> Result<Option<Sealed>, Error> {
        let mut folders = self.folders(config);
        folders.reverse();
        let place = self.scratch("layer");
        std::fs::create_dir_all(&place)?;
        let merged = open_folder(&place).map_err(Error::from).and_then(|to| {
            for folder in folders.iter().skip(below) {
                merge(&open_folder(folder)?, &to, Marks::Kept)?;
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

/// What becomes of the overlay's marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Marks {
    /// There is more below.
    Kept,
    /// What they hide is gone, and so are they.
    Applied,
}

/// Lays one layer over what is there.
pub(crate) fn merge(from: &OwnedFd, to: &OwnedFd, marks: Marks) -> Result<(), Error> {
    let mut merge = Merge { root: to, marks, names: Names::default() };
    let root = rustix::fs::fstat(from)?;
    merge.inside(from, to, &[], 0)?;
    if marks == Marks::Applied {
        let (uid, gid) = owner(&root);
        rustix::fs::fchown(to, Some(uid), Some(gid))?;
        rustix::fs::fchmod(to, Mode::from_raw_mode(root.st_mode & 0o7777))?;
    }
    Ok(())
}

fn owner(stat: &Stat) -> (rustix::fs::Uid, rustix::fs::Gid) {
    (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid))
}

/// The kind of what is there, if it can be in a layer.
pub(super) fn kind_of(stat: &Stat) -> Option<Kind> {
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::Character,
        FileType::BlockDevice => Kind::Block,
        FileType::Fifo => Kind::Fifo,
        // Sockets mean nothing elsewhere.
        _ => return None,
    })
}

/// Files with several names, and where the first of each is: in a tree that is copied, all of them are
/// names of one file again.
#[derive(Default)]
pub(super) struct Names(BTreeMap<(u64, u64), Vec<u8>>);

impl Names {
    /// Copies what is at a place, but for what is in a folder; gives the folder.
    pub fn copy(
        &mut self,
        place: (&OwnedFd, &[u8]),
        stat: &Stat,
        to: (&OwnedFd, &[u8]),
        root: &OwnedFd,
        path: &[u8],
    ) -> Result<Option<(OwnedFd, Entry)>, Error> {
        let failed = |failure: Failure| Error::failed(failure.0);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Some(kind) = kind_of(stat) else { return Ok(None) };
        let ((from, name), (to, to_name)) = (place, to);
        let mut header = header(&String::from_utf8_lossy(path), kind, stat);
        if kind == Kind::Folder {
            let inner = openat(from, name, flags | OFlags::DIRECTORY, Mode::empty())?;
            header.xattrs = xattrs(&inner);
            place_entry(&header, to, to_name, root, std::io::empty()).map_err(failed)?;
            return Ok(Some((inner, header)));
        }
        if stat.st_nlink > 1 {
            let number = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.0.get(&number) {
                remove(to, to_name)?;
                linkat(root, first.as_slice(), to, to_name, AtFlags::empty())?;
                return Ok(None);
            }
            self.0.insert(number, path.to_vec());
        }
        match kind {
            Kind::File => {
                let file = openat(from, name, flags, Mode::empty())?;
                header.xattrs = xattrs(&file);
                place_file(&header, to, to_name, root, &file.into()).map_err(failed)?;
            }
            _ => {
                if kind == Kind::Symlink {
                    header.link = readlinkat(from, name, Vec::new())?.into_bytes();
                }
                place_entry(&header, to, to_name, root, std::io::empty()).map_err(failed)?;
            }
        }
        Ok(None)
    }
}

struct Merge<'a> {
    root: &'a OwnedFd,
    marks: Marks,
    names: Names,
}

impl Merge<'_> {
    fn inside(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        path: &[u8],
        depth: u32,
    ) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::failed("folders are nested too deeply"));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        for entry in rustix::fs::Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let path = join(path, name);
            if is_mark(&stat) {
                remove(to, name)?;
                if self.marks == Marks::Kept {
                    mark_removed(to, name)?;
                }
                continue;
            }
            // What was removed below and made anew hides all that is below.
            let hides = kind_of(&stat) == Some(Kind::Folder)
                && (is_opaque(&openat(from, name, flags | OFlags::DIRECTORY, Mode::empty())?)
                    || is_whiteout(to, name));
            if hides {
                remove(to, name)?;
            }
            let copied = self.names.copy((from, name), &stat, (to, name), self.root, &path)?;
            let Some((inner, header)) = copied else { continue };
            let made = openat(to, name, flags | OFlags::DIRECTORY, Mode::empty())?;
            if hides && self.marks == Marks::Kept {
                fsetxattr(&made, crate::sys::mounts::opaque_mark(), b"y", XattrFlags::empty())?;
            }
            self.inside(&inner, &made, &path, depth + 1)?;
            set_time(to, name, header.mtime);
        }
        Ok(())
    }
}

pub(super) fn join(above: &[u8], name: &[u8]) -> Vec<u8> {
    match above.is_empty() {
        true => name.to_vec(),
        false => [above, b"/", name].concat(),
    }
}

/// How the overlay marks what is removed.
fn is_mark(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

pub(super) fn mark_removed(folder: &OwnedFd, name: &[u8]) -> Result<(), Error> {
    Ok(mknodat(folder, name, FileType::CharacterDevice, Mode::empty(), 0)?)
}

fn is_whiteout(folder: &OwnedFd, name: &[u8]) -> bool {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| is_mark(&stat))
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
    use std::os::unix::fs::MetadataExt;

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
        merge(&open("a"), &to, Marks::Kept).unwrap();
        merge(&open("b"), &to, Marks::Kept).unwrap();
        assert_eq!(std::fs::read_to_string(dir.join("to/d/x")).unwrap(), "1");
        assert_eq!(std::fs::read_to_string(dir.join("to/d/y")).unwrap(), "4");
        assert!(is_whiteout(&to, b"gone") && is_opaque(&open("to/again")));
        assert!(!dir.join("to/again/old").exists());
        // Where nothing is below, nothing is marked.
        std::fs::hard_link(dir.join("b/d/y"), dir.join("b/d/z")).unwrap();
        std::fs::create_dir_all(dir.join("flat")).unwrap();
        let flat = open("flat");
        merge(&open("a"), &flat, Marks::Applied).unwrap();
        merge(&open("b"), &flat, Marks::Applied).unwrap();
        assert!(!dir.join("flat/gone").exists() && !dir.join("flat/again/old").exists());
        assert!(dir.join("flat/d/x").exists() && !is_opaque(&open("flat/again")));
        let number = |name: &str| std::fs::metadata(dir.join(name)).unwrap().ino();
        assert_eq!(number("flat/d/y"), number("flat/d/z"));
        assert_ne!(number("flat/d/y"), number("b/d/y"));
        let time = |name: &str| std::fs::metadata(dir.join(name)).unwrap().modified().unwrap();
        assert_eq!(time("flat/d"), time("b/d"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
