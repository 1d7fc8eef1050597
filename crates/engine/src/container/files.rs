//! Files of containers, from outside: `cp`, `export`, and the difference that `commit` takes.
//!
//! Every path is looked up beneath the container's root by the kernel (`openat2`), so that no link in
//! it, changed at any moment, leads out (CVE-2018-15664). What runs is seen through its first
//! process, what does not through an overlay that is mounted nowhere.

use super::Container;
use crate::engine::Engine;
use crate::error::Error;
use crate::image::{Recorder, open_folder, place_entry, remove_scratch};
use crate::remap::{Remap, acting_as};
use crate::sys::{files, mounts};
use oci::tar::{Entry, Kind, Reader, Time, Writer};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, openat, readlinkat, statat,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Component, Path};

/// Folders in folders, at most.
const DEPTH_MAX: u32 = 512;
const XATTR_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathStat {
    pub name: String,
    pub size: i64,
    /// Permissions and kind as Go has them.
    pub mode: u32,
    pub mtime_ns: i64,
    pub link_target: String,
}

/// A place in a container: a root, and a path beneath it.
struct Place {
    root: OwnedFd,
    path: String,
    /// Of a container whose users are others outside, while it runs.
    remap: Option<Remap>,
    _held: Option<OwnedFd>,
}

fn not_found(container: &Container, path: &str) -> Error {
    Error::not_found(format!("Could not find the file {path} in container {}", container.name()))
}

/// Without `.`, `..` and empty parts; they lead nowhere above the root.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    format!("/{}", parts.join("/"))
}

impl Engine {
    /// The root of a container that can be written, if it can.
    fn place(&self, container: &Container, path: &str, writes: bool) -> Result<Place, Error> {
        let path = clean(path);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let pid = container.state().pid;
        if container.is_running() && pid > 0 {
            let root = openat(CWD, format!("/proc/{pid}/root"), flags, Mode::empty())?;
            return Ok(Place { root, path, remap: Remap::of_process(pid), _held: None });
        }
        let inside =
            |destination: &str| path == destination || path.starts_with(&format!("{destination}/"));
        let mounted = container
            .mounts
            .iter()
            .filter(|point| point.kind != "tmpfs" && inside(&point.destination))
            .max_by_key(|point| point.destination.len());
        if let Some(point) = mounted {
            if writes && !point.rw {
                return Err(Error::invalid("mounted volume is marked read-only"));
            }
            let root = openat(CWD, point.source.as_str(), flags, Mode::empty())?;
            let path = clean(&path[point.destination.len()..]);
            return Ok(Place { root, path, remap: None, _held: None });
        }
        let mount = self.whole(container, writes)?;
        let root = openat(&mount, ".", flags, Mode::empty())?;
        Ok(Place { root, path, remap: None, _held: Some(mount) })
    }

    /// All files of a container, mounted nowhere.
    fn whole(&self, container: &Container, writes: bool) -> Result<OwnedFd, Error> {
        if let Some(tree) = self.tree(container)? {
            return Ok(open_folder(&tree.files())?);
        }
        let image = self.0.images.find(&container.image)?;
        let folder = self.folder(&container.id);
        let text = |path: &Path| path.display().to_string();
        let mut lower: Vec<String> =
            self.0.images.folders(&image.config).iter().map(|layer| text(layer)).collect();
        let (upper, work) = (text(&folder.join("upper")), text(&folder.join("work")));
        if lower.is_empty() {
            let empty = folder.join("empty");
            std::fs::create_dir_all(&empty)?;
            lower.push(text(&empty));
        }
        std::fs::create_dir_all(&work)?;
        if writes {
            return Ok(mounts::overlay(&lower, Some((&upper, &work)))?);
        }
        lower.insert(0, upper);
        Ok(mounts::overlay(&lower, None)?)
    }

    pub fn stat_path(&self, container: &Container, path: &str) -> Result<PathStat, Error> {
        if path.is_empty() {
            return Err(Error::invalid("bad parameter: path cannot be empty"));
        }
        let place = self.place(container, path, false)?;
        let (stat, link_target) = look(&place, path).map_err(|_| not_found(container, path))?;
        let name = Path::new(&clean(path)).file_name().map(|n| n.to_string_lossy().into_owned());
        Ok(PathStat {
            name: name.unwrap_or_else(|| "/".to_owned()),
            size: stat.st_size,
            mode: go_mode(stat.st_mode),
            mtime_ns: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64,
            link_target,
        })
    }

    /// A tar of what is at the path, under its own name.
    pub fn read_archive(
        &self,
        container: &Container,
        path: &str,
        to: &mut impl Write,
    ) -> Result<(), Error> {
        let place = self.place(container, path, false)?;
        let contents = path.ends_with("/.");
        let follows = contents || path.ends_with('/');
        let name = match (contents, Path::new(&clean(path)).file_name()) {
            (true, _) => ".".to_owned(),
            (false, Some(name)) => name.to_string_lossy().into_owned(),
            (false, None) => "/".to_owned(),
        };
        let above = Path::new(&place.path).parent().and_then(Path::to_str).unwrap_or("/");
        let own = Path::new(&place.path).file_name().and_then(|name| name.to_str());
        let mut walk = Walk { remap: place.remap.clone(), ..Walk::new(to) };
        let missing = |_| not_found(container, path);
        match own {
            Some(own) if !follows => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let folder = files::open_in(&place.root, above, flags).map_err(missing)?;
                walk.entry(&folder, own, &name, 0)?;
            }
            _ => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let folder = files::open_in(&place.root, &place.path, flags).map_err(missing)?;
                walk.folder(&folder, &name, 0)?;
            }
        }
        walk.writer.finish()?;
        Ok(())
    }

    /// Unpacks a tar into the folder at the path.
    pub fn write_archive(
        &self,
        container: &Container,
        path: &str,
        archive: impl Read,
        keeps_kinds: bool,
    ) -> Result<(), Error> {
        if container.state().host.readonly_rootfs {
            return Err(Error::invalid("container rootfs is marked read-only"));
        }
        let place = self.place(container, path, true)?;
        let root = place.remap.as_ref().and_then(|remap| remap.outside(0, 0));
        let write = || self.write_in(container, path, &place, archive, keeps_kinds);
        match root {
            // Nobody else can make anything in there.
            Some(root) => acting_as(root, write),
            None => write(),
        }
    }

    fn write_in(
        &self,
        container: &Container,
        path: &str,
        place: &Place,
        archive: impl Read,
        keeps_kinds: bool,
    ) -> Result<(), Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let target = match files::open_in(&place.root, &place.path, flags) {
            Ok(target) => target,
            Err(Errno::NOTDIR) => {
                return Err(Error::invalid("extraction point is not a directory"));
            }
            Err(_) => return Err(not_found(container, path)),
        };
        let mut reader = Reader::new(archive);
        let wrong = |error: oci::tar::TarError| Error::invalid(error.to_string());
        while let Some(mut entry) = reader.next_entry().map_err(wrong)? {
            if let Some(remap) = &place.remap {
                (entry.uid, entry.gid) = remap.outside(entry.uid, entry.gid).ok_or_else(|| {
                    let (uid, gid) = (entry.uid, entry.gid);
                    Error::invalid(format!("no user {uid} and group {gid} are in the container"))
                })?;
            }
            let relative = clean(&String::from_utf8_lossy(&entry.path));
            if relative == "/" {
                continue;
            }
            let whole = Path::new(&relative);
            let above = whole.parent().and_then(Path::to_str).unwrap_or("/");
            let name = whole.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // As the container itself would follow links on the way, and no further than its root.
            let folder = files::make_folder(&place.root, &format!("{}{above}", place.path))
                .map_err(|failure| Error::failed(failure.0))?;
            if keeps_kinds {
                check_kinds(&folder, name, &entry)?;
            }
            let placed = place_entry(&entry, &folder, name.as_bytes(), &target, reader.content());
            placed.map_err(|failure| Error::failed(failure.0))?;
        }
        Ok(())
    }

    /// A tar of the whole root, without what is mounted in it.
    pub fn export(&self, container: &Container, to: &mut impl Write) -> Result<(), Error> {
        let mount = self.whole(container, false)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(&mount, ".", flags, Mode::empty())?;
        let mut walk = Walk::new(to);
        walk.inside(&root, "", 0)?;
        walk.writer.finish()?;
        Ok(())
    }

    /// A tar of what the container changed, as a layer: what is removed is marked.
    pub fn write_difference(
        &self,
        container: &Container,
        to: &mut impl Write,
    ) -> Result<(), Error> {
        if let Some(tree) = self.tree(container)? {
            let image = self.0.images.find(&container.image)?;
            let place = self.0.images.difference(&image.config, &tree)?;
            let written = open_folder(&place)
                .map_err(Error::from)
                .and_then(|difference| write_layer(&difference, to, None));
            remove_scratch(&place);
            return written;
        }
        let upper = open_folder(&self.folder(&container.id).join("upper"))?;
        write_layer(&upper, to, None)
    }
}

/// Follows links on the way; the last name itself only if a slash says that it is a folder.
fn look(place: &Place, asked: &str) -> rustix::io::Result<(Stat, String)> {
    let flags = OFlags::PATH;
    if asked.ends_with('/') || asked.ends_with("/.") || place.path == "/" {
        let fd = files::open_in(&place.root, &place.path, flags | OFlags::DIRECTORY)?;
        return Ok((statat(&fd, "", AtFlags::EMPTY_PATH)?, String::new()));
    }
    let fd = files::open_in(&place.root, &place.path, flags | OFlags::NOFOLLOW)?;
    let stat = statat(&fd, "", AtFlags::EMPTY_PATH)?;
    if !FileType::from_raw_mode(stat.st_mode).is_symlink() {
        return Ok((stat, String::new()));
    }
    let link = readlinkat(&fd, "", Vec::new())?.to_string_lossy().into_owned();
    let target = match link.starts_with('/') {
        true => clean(&link),
        false => clean(&format!("{}/../{link}", place.path)),
    };
    Ok((stat, target))
}

/// Go keeps the kind in bits of its own.
fn go_mode(mode: u32) -> u32 {
    let mut out = mode & 0o777;
    out |= match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        _ => 0,
    };
    for (bit, go) in [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)] {
        if mode & bit != 0 {
            out |= go;
        }
    }
    out
}

fn check_kinds(folder: &OwnedFd, name: &str, entry: &Entry) -> Result<(), Error> {
    let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(()) };
    let is_folder = FileType::from_raw_mode(stat.st_mode).is_dir();
    match (is_folder, entry.kind == Kind::Folder) {
        (true, false) => {
            Err(Error::invalid(format!("cannot overwrite directory \"{name}\" with non-directory")))
        }
        (false, true) => {
            Err(Error::invalid(format!("cannot overwrite non-directory \"{name}\" with directory")))
        }
        _ => Ok(()),
    }
}

/// Writes a tree as a tar, following nothing.
struct Walk<W: Write> {
    writer: Writer<W>,
    /// Files with several names: the first one of each.
    links: BTreeMap<(u64, u64), Vec<u8>>,
    /// Set where the overlay's marks become those of a layer.
    marks: bool,
    /// Told where the contents of files begin.
    recorder: Option<Recorder>,
    /// Owners as the container has them.
    remap: Option<Remap>,
}

/// The tar of a folder that the overlay wrote, as a layer has it. Says to the recorder which of it
/// is the content of which file.
pub(crate) fn write_layer(
    folder: &OwnedFd,
    to: &mut impl Write,
    recorder: Option<Recorder>,
) -> Result<(), Error> {
    let mut walk = Walk { marks: true, recorder, ..Walk::new(to) };
    walk.inside(folder, "", 0)?;
    walk.writer.finish()?;
    Ok(())
}

impl<W: Write> Walk<W> {
    fn new(to: W) -> Walk<W> {
        Walk {
            writer: Writer::new(to),
            links: BTreeMap::new(),
            marks: false,
            recorder: None,
            remap: None,
        }
    }

    fn own(&self, entry: &mut Entry) {
        if let Some(remap) = &self.remap {
            (entry.uid, entry.gid) = remap.inside(entry.uid, entry.gid);
        }
    }

    fn inside(&mut self, folder: &OwnedFd, name: &str, depth: u32) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::failed("folders are nested too deeply"));
        }
        let mut names: Vec<String> = Vec::new();
        for entry in rustix::fs::Dir::read_from(folder)? {
            let entry = entry?;
            let inner = entry.file_name().to_string_lossy().into_owned();
            if inner != "." && inner != ".." {
                names.push(inner);
            }
        }
        names.sort_unstable();
        for inner in names {
            let path = if name.is_empty() { inner.clone() } else { format!("{name}/{inner}") };
            self.entry(folder, &inner, &path, depth + 1)?;
        }
        Ok(())
    }

    fn folder(&mut self, folder: &OwnedFd, name: &str, depth: u32) -> Result<(), Error> {
        let stat = rustix::fs::fstat(folder)?;
        let mut entry = header(&format!("{}/", name.trim_end_matches('/')), Kind::Folder, &stat);
        entry.xattrs = xattrs(folder);
        self.own(&mut entry);
        self.writer.entry(&entry)?;
        if self.marks && is_opaque(folder) {
            self.writer.file(&format!("{name}/.wh..wh..opq"), 0o600, b"")?;
        }
        self.inside(folder, name.trim_end_matches('/'), depth)
    }

    fn entry(&mut self, above: &OwnedFd, own: &str, name: &str, depth: u32) -> Result<(), Error> {
        let stat = match statat(above, own, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // Gone while we looked.
            Err(Errno::NOENT) if depth > 0 => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = openat(above, own, flags, Mode::empty())?;
                return self.folder(&folder, name, depth);
            }
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::Character,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            // Sockets mean nothing elsewhere.
            _ => return Ok(()),
        };
        if self.marks && kind == Kind::Character && stat.st_rdev == 0 {
            let (before, last) = name.rsplit_once('/').map_or(("", name), |(a, b)| (a, b));
            let slash = if before.is_empty() { "" } else { "/" };
            self.writer.file(&format!("{before}{slash}.wh.{last}"), 0o600, b"")?;
            return Ok(());
        }
        let mut entry = header(name, kind, &stat);
        self.own(&mut entry);
        if kind == Kind::Symlink {
            entry.link = readlinkat(above, own, Vec::new())?.into_bytes();
        }
        if kind == Kind::File {
            return self.file(above, own, entry, &stat);
        }
        self.writer.entry(&entry)?;
        Ok(())
    }

    fn file(
        &mut self,
        above: &OwnedFd,
        own: &str,
        mut entry: Entry,
        stat: &Stat,
    ) -> Result<(), Error> {
        if stat.st_nlink > 1 {
            let first = self.links.entry((stat.st_dev, stat.st_ino));
            match first {
                std::collections::btree_map::Entry::Occupied(first) => {
                    entry.kind = Kind::HardLink;
                    entry.link.clone_from(first.get());
                    entry.size = 0;
                    self.writer.entry(&entry)?;
                    return Ok(());
                }
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(entry.path.clone());
                }
            }
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(above, own, flags, Mode::empty())?;
        entry.xattrs = xattrs(&fd);
        self.writer.entry(&entry)?;
        if let Some(recorder) = &self.recorder {
            recorder.file(&entry.path, entry.size);
        }
        let mut file = std::fs::File::from(fd);
        let mut left = entry.size;
        let mut piece = vec![0; 64 * 1024];
        while left > 0 {
            let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = file.read(&mut piece[..most])?;
            // It grew shorter while it was read: the header stands, so zeros make it up.
            let bytes = if read == 0 {
                piece[..most].fill(0);
                &piece[..most]
            } else {
                &piece[..read]
            };
            self.writer.write_content(bytes)?;
            left -= bytes.len() as u64;
        }
        Ok(())
    }
}

pub(crate) fn header(name: &str, kind: Kind, stat: &Stat) -> Entry {
    let mut entry = Entry::new(name, kind, stat.st_mode & 0o7777);
    entry.uid = stat.st_uid;
    entry.gid = stat.st_gid;
    entry.size = if kind == Kind::File { stat.st_size as u64 } else { 0 };
    entry.mtime = Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
    entry.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    entry
}

pub(crate) fn is_opaque(folder: &OwnedFd) -> bool {
    let mut value = [0; 1];
    fgetxattr(folder, crate::sys::mounts::opaque_mark(), &mut value).is_ok() && value == *b"y"
}

/// Those that mean something elsewhere too.
pub(crate) fn xattrs(fd: impl AsFd) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; XATTR_BYTES_MAX];
    let Ok(length) = flistxattr(fd.as_fd(), &mut names[..]) else { return BTreeMap::new() };
    let mut out = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0) {
        if !(name.starts_with(b"security.capability") || name.starts_with(b"user.")) {
            continue;
        }
        let mut value = vec![0; XATTR_BYTES_MAX];
        if let Ok(length) = fgetxattr(fd.as_fd(), name, &mut value[..]) {
            value.truncate(length);
            out.insert(name.to_vec(), value);
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files of tests")]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (path, expected) in
            [("/a/../../b", "/b"), ("a/./b/", "/a/b"), ("/..", "/"), ("", "/"), ("/a//b/.", "/a/b")]
        {
            assert_eq!(clean(path), expected);
        }
    }

    #[test]
    fn modes_of_go() {
        assert_eq!(go_mode(0o040755), 1 << 31 | 0o755);
        assert_eq!(go_mode(0o100644), 0o644);
        assert_eq!(go_mode(0o104755), 1 << 23 | 0o755);
        assert_eq!(go_mode(0o020666), 1 << 26 | 1 << 21 | 0o666);
    }

    #[test]
    fn a_difference_has_marks() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: marks of the overlay need root");
            return;
        }
        let dir = std::env::temp_dir().join(format!("cumulet-diff-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("d")).unwrap();
        std::fs::write(dir.join("d/new"), "n").unwrap();
        std::fs::hard_link(dir.join("d/new"), dir.join("d/same")).unwrap();
        let folder = open_folder(&dir).unwrap();
        let d = open_folder(&dir.join("d")).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::fsetxattr(&d, crate::sys::mounts::opaque_mark(), b"y", flags).unwrap();
        let device = FileType::CharacterDevice;
        rustix::fs::mknodat(&folder, "gone", device, Mode::empty(), 0).unwrap();
        let mut walk = Walk { marks: true, ..Walk::new(Vec::new()) };
        walk.inside(&folder, "", 0).unwrap();
        let bytes = walk.writer.finish().unwrap();
        let mut reader = Reader::new(&bytes[..]);
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            names.push((String::from_utf8(entry.path).unwrap(), entry.kind));
        }
        let expected = [
            ("d/", Kind::Folder),
            ("d/.wh..wh..opq", Kind::File),
            ("d/new", Kind::File),
            ("d/same", Kind::HardLink),
            (".wh.gone", Kind::File),
        ];
        assert_eq!(names, expected.map(|(name, kind)| (name.to_owned(), kind)));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
