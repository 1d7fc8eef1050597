//! Unpacking a layer into a folder that becomes a lower directory of an overlay.
//!
//! Invariants, whatever the archive says:
//! - nothing outside the folder is made, changed or removed: every path is looked up beneath it, and
//!   no link is followed out of it;
//! - an entry replaces what the archive itself put there before, never anything else;
//! - whiteouts become the overlay's own marks; names that the overlay gives a meaning are refused;
//! - what it may take up is bounded.

use super::pour::pour;
use super::recipe::Recorder;
use crate::sys::{Context, Failure, Result, files};
use oci::tar::{Entry, Kind, Reader, Time};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat,
    fchmod, fchown, fsetxattr, linkat, mkdirat, mknodat, openat, statat, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// Entries in one layer, at most.
const ENTRIES_MAX: u64 = 4_000_000;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names of that kind mean something to aufs alone.
const AUFS: &[u8] = b".wh..wh.";

#[derive(Debug)]
pub struct Unpacked {
    /// The sum of the files' lengths.
    pub bytes: u64,
    /// Whether the content of every file of the archive is in the folder, so that the archive can
    /// be put together again.
    pub is_whole: bool,
}

/// The layers below, for what an archive takes for granted.
pub struct Below<'a> {
    /// The topmost first.
    pub folders: &'a [OwnedFd],
}

pub fn unpack(
    archive: impl Read,
    root: &OwnedFd,
    below: &Below<'_>,
    bytes_max: u64,
    recorder: &Recorder,
) -> Result<Unpacked> {
    let mut reader = Reader::new(recorder.tap(archive));
    let mut unpacked = Unpacked { bytes: 0, is_whole: true };
    let mut entries = 0;
    // Folders get their times last, since what is made in them changes those.
    let mut folder_times: Vec<(Vec<u8>, Time)> = Vec::new();
    let malformed = |error: oci::tar::TarError| Failure(error.to_string());
    while let Some(entry) = reader.next_entry().map_err(malformed)? {
        entries += 1;
        unpacked.bytes = unpacked.bytes.saturating_add(entry.size);
        if entries > ENTRIES_MAX || unpacked.bytes > bytes_max {
            return Err(Failure("the layer is too large".to_owned()));
        }
        let Some((above, name)) = split(&entry.path)? else {
            apply_root(&entry, root)?;
            continue;
        };
        let folder = open_above(root, &above, below)?;
        if name == OPAQUE {
            let opaque = openat(&folder, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
            opaque
                .and_then(|f| {
                    fsetxattr(&f, crate::sys::mounts::opaque_mark(), b"y", XattrFlags::empty())
                })
                .context(|| "cannot mark a folder as opaque".to_owned())?;
        } else if name.starts_with(AUFS) {
            continue;
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            whiteout(&folder, hidden)?;
        } else {
            if entry.kind == Kind::File {
                recorder.file(&entry.path, entry.size);
            }
            let mut content = reader.content();
            let fill = |file: &mut std::fs::File| pour(&mut content, file, entry.size).map(drop);
            unpacked.is_whole &= make(&entry, &folder, &name, root, below, fill)?;
            if entry.kind == Kind::Folder {
                folder_times.push((entry.path.clone(), entry.mtime));
            }
        }
    }
    // What comes after the end belongs to the archive too, and to its digest.
    std::io::copy(&mut reader.into_inner(), &mut std::io::sink())
        .context(|| "cannot read the layer".to_owned())?;
    for (path, mtime) in folder_times.into_iter().rev() {
        // A later entry may have put something else there.
        if let Some((above, name)) = split(&path)?
            && let Ok(folder) = open_above(root, &above, below)
        {
            set_time(&folder, &name, mtime);
        }
    }
    Ok(unpacked)
}

/// The folders above and the name; `None` is the root itself. `..` is refused, not resolved.
fn split(path: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for component in Path::new(std::ffi::OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => parts.push(name.as_bytes()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                let shown = String::from_utf8_lossy(path);
                return Err(Failure(format!("invalid path in the layer: {shown:?}")));
            }
        }
    }
    let Some(name) = parts.pop() else { return Ok(None) };
    Ok(Some((parts.join(&b'/'), name.to_vec())))
}

/// Folders that the archive names no entry for look as in the layers below.
fn open_above(root: &OwnedFd, above: &[u8], below: &Below<'_>) -> Result<OwnedFd> {
    let failed = || format!("cannot open {}", String::from_utf8_lossy(above));
    // No link may stand in a folder's place: layers name the real folders.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = openat(root, ".", flags, Mode::empty()).context(failed)?;
    let mut so_far: Vec<u8> = Vec::new();
    for name in above.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        if !so_far.is_empty() {
            so_far.push(b'/');
        }
        so_far.extend_from_slice(name);
        folder = match openat(&folder, name, flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                mkdirat(&folder, name, Mode::from_raw_mode(0o755)).context(failed)?;
                let next = openat(&folder, name, flags, Mode::empty()).context(failed)?;
                copy_look(&next, &folder, name, &so_far, below);
                next
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(Failure(format!("{}: not a folder", failed())));
            }
            Err(error) => return Err(error).context(failed),
        };
    }
    Ok(folder)
}

fn copy_look(made: &OwnedFd, above: &OwnedFd, name: &[u8], path: &[u8], below: &Below<'_>) {
    for layer in below.folders {
        let Ok(stat) = statat(layer, path, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            let flags = AtFlags::EMPTY_PATH;
            let _ = chownat(made, "", Some(uid), Some(gid), flags);
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
            let _ = chmodat(above, name, mode, AtFlags::empty());
        }
        return;
    }
}

fn apply_root(entry: &Entry, root: &OwnedFd) -> Result<()> {
    if entry.kind != Kind::Folder {
        return Ok(());
    }
    let failed = || "cannot set the owner of the root".to_owned();
    fchown(root, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))).context(failed)?;
    fchmod(root, Mode::from_raw_mode(entry.mode)).context(failed)
}

fn whiteout(folder: &OwnedFd, hidden: &[u8]) -> Result<()> {
    if hidden.is_empty() || hidden == b"." || hidden == b".." {
        return Err(Failure("invalid whiteout in the layer".to_owned()));
    }
    remove(folder, hidden)?;
    mknodat(folder, hidden, FileType::CharacterDevice, Mode::empty(), 0)
        .context(|| "cannot mark a file as removed".to_owned())
}

/// Removes what the archive put there before.
fn remove(folder: impl AsFd, name: &[u8]) -> Result<()> {
    let failed = || format!("cannot replace {}", String::from_utf8_lossy(name));
    match unlinkat(folder.as_fd(), name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error).context(failed),
    }
    remove_folder(folder.as_fd(), name).context(failed)
}

/// A folder with all that is in it, following nothing.
pub fn remove_folder(above: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(above.as_fd(), name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let inner = entry.file_name().to_bytes();
        if inner == b"." || inner == b".." {
            continue;
        }
        match unlinkat(&folder, inner, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => remove_folder(&folder, inner)?,
            Err(error) => return Err(error),
        }
    }
    unlinkat(above, name, AtFlags::REMOVEDIR)
}

fn make(
    entry: &Entry,
    folder: &OwnedFd,
    name: &[u8],
    root: &OwnedFd,
    below: &Below<'_>,
    fill: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> Result<bool> {
    let failed = || format!("cannot make {}", String::from_utf8_lossy(&entry.path));
    // A folder that is there keeps what is in it.
    let there = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    let is_folder = there.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
    let replaces = there.is_some() && !(is_folder && entry.kind == Kind::Folder);
    if replaces {
        remove(folder, name)?;
    }
    let mode = Mode::from_raw_mode(entry.mode);
    let device = rustix::fs::makedev(entry.device.0, entry.device.1);
    match entry.kind {
        Kind::Folder if is_folder => {}
        Kind::Folder => mkdirat(folder, name, mode).context(failed)?,
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let mut file = std::fs::File::from(openat(folder, name, flags, mode).context(failed)?);
            fill(&mut file).context(failed)?;
        }
        Kind::HardLink => {
            hard_link(entry, folder, name, root, below)?;
            return Ok(!replaces);
        }
        Kind::Symlink => symlinkat(entry.link.as_slice(), folder, name).context(failed)?,
        // Device 0:0 is how the overlay marks what is removed.
        Kind::Character if entry.device == (0, 0) => {
            return Err(Failure("invalid device 0:0 in the layer".to_owned()));
        }
        // Only root makes any; as in Docker's way without root, the image has none then.
        Kind::Character | Kind::Block if crate::sys::mounts::is_apart() => return Ok(!replaces),
        Kind::Character => {
            mknodat(folder, name, FileType::CharacterDevice, mode, device).context(failed)?;
        }
        Kind::Block => {
            mknodat(folder, name, FileType::BlockDevice, mode, device).context(failed)?
        }
        Kind::Fifo => mknodat(folder, name, FileType::Fifo, mode, 0).context(failed)?,
    }
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).context(failed)?;
    set_xattrs(entry, folder, name).context(failed)?;
    if entry.kind != Kind::Symlink {
        // Once more: a change of the owner takes set-user-id away.
        chmodat(folder, name, mode, AtFlags::empty()).context(failed)?;
    }
    set_time(folder, name, entry.mtime);
    Ok(!replaces)
}

/// Makes one entry in a folder. Hard links lead to what is beneath `root`. Gives whether nothing of
/// the archive had to go for it.
pub fn place_entry(
    entry: &Entry,
    folder: &OwnedFd,
    name: &[u8],
    root: &OwnedFd,
    mut content: impl Read,
) -> Result<bool> {
    let fill = |file: &mut std::fs::File| pour(&mut content, file, entry.size).map(drop);
    make(entry, folder, name, root, &Below { folders: &[] }, fill)
}

/// The same for a file whose content another one has: where the file system can, they share their blocks.
pub(super) fn place_file(
    entry: &Entry,
    folder: &OwnedFd,
    name: &[u8],
    root: &OwnedFd,
    from: &std::fs::File,
) -> Result<bool> {
    let fill = |file: &mut std::fs::File| match rustix::fs::ioctl_ficlone(&*file, from) {
        Ok(()) => Ok(()),
        Err(_) => std::io::copy(&mut &*from, file).map(drop),
    };
    make(entry, folder, name, root, &Below { folders: &[] }, fill)
}

/// To a file of the same layer; one of a layer below is copied, as the overlay would.
fn hard_link(
    entry: &Entry,
    folder: &OwnedFd,
    name: &[u8],
    root: &OwnedFd,
    below: &Below<'_>,
) -> Result<()> {
    let failed = || format!("cannot link {}", String::from_utf8_lossy(&entry.path));
    let Some((above, target)) = split(&entry.link)? else {
        return Err(Failure(format!("{}: it leads to a folder", failed())));
    };
    let from = open_above(root, &above, below)?;
    match linkat(&from, target.as_slice(), folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => {
            let path = [above.as_slice(), b"/", target.as_slice()].concat();
            copy_from_below(&path, folder, name, below).context(failed)
        }
        other => other.context(failed),
    }
}

fn copy_from_below(
    path: &[u8],
    folder: &OwnedFd,
    name: &[u8],
    below: &Below<'_>,
) -> rustix::io::Result<()> {
    let path = std::str::from_utf8(path).map_err(|_| Errno::NOENT)?;
    for layer in below.folders {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = files::open_in(layer, path, flags) else { continue };
        let stat = rustix::fs::fstat(&file)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            break;
        }
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let copy = openat(folder, name, flags, mode)?;
        let mut to = std::fs::File::from(copy);
        std::io::copy(&mut std::fs::File::from(file), &mut to)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
        return fchmod(&to, mode);
    }
    Err(Errno::NOENT)
}

/// Names that mean something to the overlay would let a layer forge its marks.
fn set_xattrs(entry: &Entry, folder: &OwnedFd, name: &[u8]) -> rustix::io::Result<()> {
    for (key, value) in &entry.xattrs {
        let key = std::str::from_utf8(key).map_err(|_| Errno::INVAL)?;
        if key.starts_with("trusted.") || key.starts_with("user.overlay.") {
            continue;
        }
        if !matches!(entry.kind, Kind::File | Kind::Folder) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(folder, name, flags, Mode::empty())?;
        match fsetxattr(&fd, key, value, XattrFlags::empty()) {
            // The file system keeps none of that kind.
            Err(Errno::NOTSUP | Errno::PERM) | Ok(()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn set_time(folder: &OwnedFd, name: &[u8], time: Time) {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    let times = Timestamps { last_access: time, last_modification: time };
    let _ = utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW);
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files of tests")]
mod tests;
