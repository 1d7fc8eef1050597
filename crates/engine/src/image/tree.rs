//! Where the kernel lays no overlay over the layers, all files are copied: those of an image once into a
//! folder of their own, and from there for each container and each step of a build. Where the file system
//! can, copies share their blocks until one of them is written to.
//!
//! Layers themselves are the same either way, so an image is good for both. What a container has written is
//! found by comparing: what the kernel has not touched since the copy was made is as it was; of the rest
//! what differs in kind, owner, mode, length, time or content has changed.

use super::merge::{DEPTH_MAX, Marks, Names, join, mark_removed, merge};
use super::seal::remove_scratch;
use super::{Images, open_folder, set_time};
use crate::container::{is_stub, xattrs};
use crate::error::Error;
use crate::sys::{files, mounts};
use oci::image::ImageConfig;
use oci::tar::Time;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How a container sees the layers of its image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    Overlay,
    Copy,
}

impl Driver {
    /// As Docker calls it.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Overlay => "overlay2",
            Driver::Copy => "vfs",
        }
    }
}

/// A path that differs from the image, without a slash before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Difference {
    pub path: Vec<u8>,
    pub what: What,
    /// Of a file that is there.
    pub bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Changed,
    Added,
    Removed,
}

const FILES: &str = "files";
/// Made when all files were there: whatever the kernel has touched before is as it was copied.
const MADE: &str = "made";

/// Files copied for somebody who writes to them.
#[derive(Clone, Debug)]
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub fn at(path: PathBuf) -> Option<Tree> {
        path.join(FILES).is_dir().then_some(Tree(path))
    }

    pub fn files(&self) -> PathBuf {
        self.0.join(FILES)
    }

    fn made(&self) -> Option<(i64, i64)> {
        let stat = rustix::fs::stat(self.0.join(MADE)).ok()?;
        Some((stat.st_ctime, stat.st_ctime_nsec as i64))
    }
}

impl Images {
    /// The one that was asked for, or the first that works here.
    pub fn driver(&self) -> Driver {
        *self.driver.get_or_init(|| match self.probe() {
            Ok(()) => Driver::Overlay,
            Err(error) => {
                tracing::info!(%error, "files of containers are copied, since there is no overlay");
                Driver::Copy
            }
        })
    }

    fn probe(&self) -> std::io::Result<()> {
        let place = self.scratch("probe");
        let path = |name: &str| place.join(name).display().to_string();
        let made =
            ["a", "b", "upper", "work"].iter().try_for_each(|n| std::fs::create_dir_all(path(n)));
        let mounted = made.and_then(|()| {
            mounts::overlay(&[path("a"), path("b")], Some((&path("upper"), &path("work"))))?;
            Ok(())
        });
        remove_scratch(&place);
        mounted
    }

    /// All files of an image in one folder, which nobody writes to. Made when it is first wanted.
    pub(crate) fn flat(&self, config: &ImageConfig) -> Result<PathBuf, Error> {
        let Some(top) = config.chain().last().map(oci::Digest::hex) else {
            let empty = self.scratch.join("empty");
            std::fs::create_dir_all(&empty)?;
            return Ok(empty);
        };
        let flat = self.flat.join(top);
        if flat.is_dir() {
            return Ok(flat);
        }
        let place = self.scratch("flat");
        let made = self.flatten(config, &place).and_then(|()| move_to(&place, &flat));
        if made.is_err() {
            remove_scratch(&place);
        }
        made.map(|()| flat)
    }

    /// Folders that show all files of an image, the topmost first. Blocks.
    pub fn mountable(&self, config: &ImageConfig) -> Result<Vec<PathBuf>, Error> {
        match self.driver() {
            Driver::Overlay => Ok(self.folders(config)),
            Driver::Copy => Ok(vec![self.flat(config)?]),
        }
    }

    fn flatten(&self, config: &ImageConfig, place: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(place)?;
        let to = open_folder(place)?;
        for layer in self.folders(config).iter().rev() {
            merge(&open_folder(layer)?, &to, Marks::Applied)?;
        }
        // After a power cut it is whole or not there.
        Ok(rustix::fs::syncfs(&to)?)
    }

    /// A copy of an image's files, and above them what an overlay of a container's own has.
    pub(crate) fn plant(
        &self,
        config: &ImageConfig,
        above: Option<&Path>,
        at: &Path,
    ) -> Result<Tree, Error> {
        let flat = self.flat(config)?;
        let place = self.scratch("tree");
        let planted = (|| {
            std::fs::create_dir_all(place.join(FILES))?;
            let to = open_folder(&place.join(FILES))?;
            merge(&open_folder(&flat)?, &to, Marks::Applied)?;
            match above {
                Some(above) => merge(&open_folder(above)?, &to, Marks::Applied)?,
                None => {
                    crate::container::make_stubs_in(&to)?;
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                    let mode = Mode::from_raw_mode(0o600);
                    drop(openat(rustix::fs::CWD, place.join(MADE), flags, mode)?);
                }
            }
            move_to(&place, at)
        })();
        if let Err(error) = planted {
            remove_scratch(&place);
            return Err(error);
        }
        Tree::at(at.to_owned()).ok_or_else(|| Error::failed("a copy of files is missing"))
    }

    /// What differs, folders before what is in them.
    pub(crate) fn differences(
        &self,
        config: &ImageConfig,
        tree: &Tree,
    ) -> Result<Vec<Difference>, Error> {
        let (base, files) = (open_folder(&self.flat(config)?)?, open_folder(&tree.files())?);
        let mut compare = Compare { made: tree.made(), found: Vec::new() };
        compare.inside(&files, Some(&base), &[], 0)?;
        Ok(compare.found)
    }

    /// What differs, as an overlay would have written it: a new folder in the scratch folder.
    pub(crate) fn difference(&self, config: &ImageConfig, tree: &Tree) -> Result<PathBuf, Error> {
        let place = self.scratch("layer");
        std::fs::create_dir_all(&place)?;
        let written = self.differences(config, tree).and_then(|found| {
            write_differences(&found, &open_folder(&tree.files())?, &open_folder(&place)?)
        });
        match written {
            Ok(()) => Ok(place),
            Err(error) => {
                remove_scratch(&place);
                Err(error)
            }
        }
    }
}

/// Who comes second has made nothing.
fn move_to(place: &Path, to: &Path) -> Result<(), Error> {
    match std::fs::rename(place, to) {
        Err(_) if to.is_dir() => {
            remove_scratch(place);
            Ok(())
        }
        moved => Ok(moved?),
    }
}

struct Compare {
    made: Option<(i64, i64)>,
    found: Vec<Difference>,
}

impl Compare {
    fn inside(
        &mut self,
        tree: &OwnedFd,
        base: Option<&OwnedFd>,
        path: &[u8],
        depth: u32,
    ) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::failed("folders are nested too deeply"));
        }
        let mut names = names(tree)?;
        if let Some(base) = base {
            names.extend(self::names(base)?);
        }
        for name in names {
            let path = join(path, &name);
            let now = statat(tree, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).ok();
            let before =
                base.and_then(|base| statat(base, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).ok());
            match (now, before) {
                (None, Some(_)) => self.add(path, What::Removed, 0),
                (Some(now), before) => self.one(tree, base, &name, path, (&now, before), depth)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, path: Vec<u8>, what: What, bytes: u64) {
        self.found.push(Difference { path, what, bytes });
    }

    fn one(
        &mut self,
        tree: &OwnedFd,
        base: Option<&OwnedFd>,
        name: &[u8],
        path: Vec<u8>,
        (now, before): (&Stat, Option<Stat>),
        depth: u32,
    ) -> Result<(), Error> {
        let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
        if kind(now).is_socket() {
            return Ok(());
        }
        // Places to mount on are ours, not the container's.
        let is_stub = before.is_none() && is_stub(&path);
        let what = if before.is_some() || is_stub { What::Changed } else { What::Added };
        if !kind(now).is_dir() {
            let is_same = match (&before, base) {
                (Some(before), Some(base)) => self.is_same(tree, base, name, now, before)?,
                _ => is_stub && kind(now).is_file() && now.st_size == 0,
            };
            if !is_same {
                let bytes = if kind(now).is_file() { now.st_size as u64 } else { 0 };
                self.add(path, what, bytes);
            }
            return Ok(());
        }
        let both = before.filter(|before| kind(before).is_dir());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inner = openat(tree, name, flags, Mode::empty())?;
        let below = match (both, base) {
            (Some(_), Some(base)) => Some(openat(base, name, flags, Mode::empty())?),
            _ => None,
        };
        let at = self.found.len();
        self.add(path.clone(), what, 0);
        self.inside(&inner, below.as_ref(), &path, depth + 1)?;
        let is_same = match (&both, &below) {
            (Some(before), Some(below)) => {
                look(now) == look(before) && xattrs(&inner) == xattrs(below)
            }
            _ => is_stub,
        };
        if is_same && self.found.len() == at + 1 {
            self.found.truncate(at);
        }
        Ok(())
    }

    fn is_same(
        &self,
        tree: &OwnedFd,
        base: &OwnedFd,
        name: &[u8],
        now: &Stat,
        before: &Stat,
    ) -> Result<bool, Error> {
        if self.made.is_some_and(|made| (now.st_ctime, now.st_ctime_nsec as i64) < made) {
            return Ok(true);
        }
        let time = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec as i64);
        if look(now) != look(before)
            || (now.st_size, now.st_rdev, time(now))
                != (before.st_size, before.st_rdev, time(before))
        {
            return Ok(false);
        }
        let kind = FileType::from_raw_mode(now.st_mode);
        if kind.is_symlink() {
            let read = |folder: &OwnedFd| readlinkat(folder, name, Vec::new());
            return Ok(read(tree)? == read(base)?);
        }
        if !kind.is_file() {
            return Ok(true);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = |folder: &OwnedFd| openat(folder, name, flags, Mode::empty());
        let (tree, base) = (open(tree)?, open(base)?);
        Ok(xattrs(&tree) == xattrs(&base) && same_content(tree.into(), base.into())?)
    }
}

/// Kind and permissions, owner, group.
fn look(stat: &Stat) -> (u32, u32, u32) {
    (stat.st_mode, stat.st_uid, stat.st_gid)
}

fn same_content(one: File, other: File) -> std::io::Result<bool> {
    let (mut left, mut right) = ([0; 16 * 1024], [0; 16 * 1024]);
    let (mut one, mut other) = (one, other);
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(other.read(&mut right)? == 0);
        }
        if other.read_exact(&mut right[..read]).is_err() || left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

fn names(folder: &OwnedFd) -> Result<BTreeSet<Vec<u8>>, Error> {
    let mut names = BTreeSet::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.insert(name);
        }
    }
    Ok(names)
}

fn write_differences(found: &[Difference], tree: &OwnedFd, to: &OwnedFd) -> Result<(), Error> {
    let mut copies = Names::default();
    let mut times: Vec<(Vec<u8>, Time)> = Vec::new();
    for one in found {
        let whole = Path::new(std::ffi::OsStr::from_bytes(&one.path));
        let above = whole.parent().unwrap_or(Path::new(""));
        let name = whole.file_name().map(|name| name.as_bytes()).unwrap_or_default();
        let folder = files::open_path_in(to, above)?;
        if one.what == What::Removed {
            mark_removed(&folder, name)?;
            continue;
        }
        let from = files::open_path_in(tree, above)?;
        let Ok(stat) = statat(&from, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let copied = copies.copy((&from, name), &stat, (&folder, name), to, &one.path)?;
        if let Some((_, header)) = copied {
            times.push((one.path.clone(), header.mtime));
        }
    }
    for (path, time) in times.into_iter().rev() {
        set_time(to, &path, time);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files of tests")]
mod tests {
    use super::*;
    use std::fs;

    /// What is in a copy after `change` that was not in the first.
    fn found(name: &str, made: bool, change: impl FnOnce(&Path)) -> Vec<(String, What)> {
        let dir = std::env::temp_dir().join(format!("cumulet-tree-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        for path in ["base/a/x", "base/a/y", "base/b/deep/z", "base/dev/one"] {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        fs::create_dir_all(dir.join("files")).unwrap();
        let (base, files) = (dir.join("base"), dir.join("files"));
        let (from, to) = (open_folder(&base).unwrap(), open_folder(&files).unwrap());
        merge(&from, &to, Marks::Applied).unwrap();
        fs::write(dir.join(MADE), "").unwrap();
        change(&files);
        let made = Tree(dir.clone()).made().filter(|_| made);
        let mut compare = Compare { made, found: Vec::new() };
        compare.inside(&to, Some(&from), &[], 0).unwrap();
        // What is written of it and laid over the base again is the same.
        let written = dir.join("written");
        fs::create_dir_all(&written).unwrap();
        if rustix::process::geteuid().is_root() {
            let written = open_folder(&written).unwrap();
            write_differences(&compare.found, &to, &written).unwrap();
            merge(&written, &from, Marks::Applied).unwrap();
            let mut again = Compare { made: None, found: Vec::new() };
            again.inside(&to, Some(&from), &[], 0).unwrap();
            assert!(again.found.is_empty(), "{:?}", again.found);
        }
        fs::remove_dir_all(&dir).unwrap();
        let shown = |one: Difference| (String::from_utf8(one.path).unwrap(), one.what);
        compare.found.into_iter().map(shown).collect()
    }

    fn check(name: &str, expected: &[(&str, What)], change: impl Fn(&Path)) {
        let expected: Vec<(String, What)> =
            expected.iter().map(|(path, what)| ((*path).to_owned(), *what)).collect();
        for made in [true, false] {
            assert_eq!(found(name, made, &change), expected, "{name} {made}");
        }
    }

    #[test]
    fn what_differs() {
        use What::{Added, Changed, Removed};
        check("nothing", &[], |_| {});
        check("removed", &[("a", Changed), ("a/x", Removed)], |files| {
            fs::remove_file(files.join("a/x")).unwrap();
        });
        check("folder", &[("b", Changed), ("b/deep", Removed)], |files| {
            fs::remove_dir_all(files.join("b/deep")).unwrap();
        });
        check("added", &[("a", Changed), ("a/n", Added), ("a/n/m", Added)], |files| {
            fs::create_dir(files.join("a/n")).unwrap();
            fs::write(files.join("a/n/m"), "m").unwrap();
        });
        let in_place: &[(&str, What)] = &[("a", Changed), ("a/x", Changed)];
        check("written", in_place, |files| {
            let before = fs::metadata(files.join("a/x")).unwrap().modified().unwrap();
            fs::write(files.join("a/x"), "TEXT").unwrap();
            let file = fs::File::options().write(true).open(files.join("a/x")).unwrap();
            file.set_modified(before).unwrap();
        });
        check("kind", in_place, |files| {
            fs::remove_file(files.join("a/x")).unwrap();
            std::os::unix::fs::symlink("y", files.join("a/x")).unwrap();
        });
        check("became a folder", &[("a", Changed), ("a/x", Changed), ("a/x/i", Added)], |files| {
            fs::remove_file(files.join("a/x")).unwrap();
            fs::create_dir(files.join("a/x")).unwrap();
            fs::write(files.join("a/x/i"), "i").unwrap();
        });
        check("mode", &[("b", Changed)], |files| {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(files.join("b"), fs::Permissions::from_mode(0o700)).unwrap();
        });
        // Touched, and as it was.
        check("links", &[("a", Changed), ("a/l", Added)], |files| {
            fs::hard_link(files.join("a/y"), files.join("a/l")).unwrap();
        });
        // Ours to mount on, but for what is in them.
        check("stubs", &[("dev", Changed), ("dev/shm", Changed), ("dev/shm/f", Added)], |files| {
            fs::create_dir_all(files.join("dev/pts")).unwrap();
            fs::create_dir_all(files.join("dev/shm")).unwrap();
            fs::create_dir_all(files.join("proc")).unwrap();
            fs::write(files.join(".dockerenv"), "").unwrap();
            fs::write(files.join("dev/shm/f"), "f").unwrap();
        });
    }
}
