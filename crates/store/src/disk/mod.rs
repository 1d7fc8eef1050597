//! The one door to the disk. Everything below it can be the real file system, memory, or a disk that
//! loses, tears and refuses writes; everything above it must survive all three.
//!
//! What a caller may assume, and no more: bytes written are durable after [`File::sync_data`]; names
//! created, renamed, linked or removed are durable after [`Disk::sync_dir`] of their folder. Without
//! the sync, any part of it may be there after a power cut, in any order.

mod faulty;
mod fs;
mod memory;

pub use faulty::{Call, FaultyDisk};
pub use fs::FsDisk;
pub use memory::MemDisk;

use std::fmt::Debug;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// The file must exist; it is never written.
    Read,
    /// The file must exist.
    ReadWrite,
    /// The file must not exist.
    CreateNew,
}

/// A tree of files below one folder. Paths are relative, with `/`, without `.` or `..`.
///
/// An error of the kind `ResourceBusy` says that a file or folder could not be opened for want of
/// descriptors or memory; syncs never give it.
pub trait Disk: Send + Sync + Debug + 'static {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Replaces `to` if it exists, atomically.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// A second name for the same bytes (hard link). `to` must not exist.
    fn link(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes a folder and its parents; not an error if it exists.
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// Removes a folder with all in it; not an error if it is absent.
    fn remove_dir_all(&self, path: &str) -> io::Result<()>;
    /// Names (not paths) in a folder, sorted; empty if the folder is absent.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// Makes names in the folder durable.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
    /// A name here for a file of another disk: a second one for the same bytes if both are folders
    /// of one file system, else a synced copy. The source may be kept and read from later.
    fn link_from(&self, source: &Arc<dyn Disk>, from: &str, to: &str) -> io::Result<()> {
        let from = source.open(from, OpenMode::Read)?;
        copy(&*from, &*self.open(to, OpenMode::CreateNew)?)
    }
    /// The folder, if this is one of the real file system.
    fn folder(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Bytes that can still be written, as the file system counts them.
    fn available_bytes(&self) -> io::Result<u64>;
}

/// An open file. Reads and writes carry their offset, so that it can be shared.
#[allow(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait File: Send + Sync + Debug + 'static {
    /// Fills `out` or fails with `UnexpectedEof`.
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;
    /// The same, if it can be done without waiting for the disk; else `false`, and `out` is anything.
    fn read_cached_at(&self, _out: &mut [u8], _offset: u64) -> io::Result<bool> {
        Ok(false)
    }
    /// Writes all of `bytes`, growing the file if needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves space, so that later writes below `len` neither fail for want of it nor change the
    /// file's metadata. The file's length becomes at least `len`, new bytes read as zero.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// A hint that this range is complete: writing it out may begin, so that a later sync is short.
    /// Never waits, promises nothing.
    fn begin_writeback(&self, _offset: u64, _len: u64) {}
    /// Makes the bytes (and the length) durable. After an error the state is unknown: never retried.
    fn sync_data(&self) -> io::Result<()>;
}

/// Whether there is no room for more.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Whether nothing was done, and the same may go well in a moment.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ResourceBusy
}

fn copy(from: &dyn File, to: &dyn File) -> io::Result<()> {
    let length = from.len()?;
    let mut buffer = vec![0; length.min(1 << 20) as usize];
    let mut at = 0;
    while at < length {
        let step = buffer.len().min((length - at) as usize);
        from.read_exact_at(&mut buffer[..step], at)?;
        to.write_all_at(&buffer[..step], at)?;
        at += step as u64;
    }
    to.sync_data()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Disk, ErrorKind, OpenMode};

    /// What every disk does.
    pub fn check_contract(disk: &dyn Disk) {
        let missing = disk.open("x", OpenMode::ReadWrite).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(disk.open("d/e/x", OpenMode::CreateNew).is_err());
        disk.create_dir("d/e").unwrap();
        disk.create_dir("d/e").unwrap();
        let file = disk.open("d/e/x", OpenMode::CreateNew).unwrap();
        assert!(disk.open("d/e/x", OpenMode::CreateNew).is_err());
        file.write_all_at(b"world", 6).unwrap();
        file.write_all_at(b"hello ", 0).unwrap();
        let mut bytes = [0; 11];
        disk.open("d/e/x", OpenMode::Read).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"hello world");
        let mut cached = [0; 11];
        if file.read_cached_at(&mut cached, 0).unwrap() {
            assert_eq!(cached, bytes);
        }
        assert!(!file.read_cached_at(&mut cached, 1).unwrap_or(false));
        let short = file.read_exact_at(&mut bytes, 1).unwrap_err();
        assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
        file.allocate(100).unwrap();
        assert_eq!(file.len().unwrap(), 100);
        file.set_len(5).unwrap();
        file.sync_data().unwrap();
        disk.link("d/e/x", "d/y").unwrap();
        assert!(disk.link("d/e/x", "d/y").is_err());
        disk.rename("d/y", "d/z").unwrap();
        assert_eq!(disk.list("d").unwrap(), ["e", "z"]);
        assert_eq!(disk.list("").unwrap(), ["d"]);
        assert_eq!(disk.list("none").unwrap(), [""; 0]);
        disk.remove("d/e/x").unwrap();
        assert!(disk.remove("d/e/x").is_err());
        assert_eq!(disk.open("d/z", OpenMode::Read).unwrap().len().unwrap(), 5);
        disk.sync_dir("d").unwrap();
        disk.remove_dir_all("d").unwrap();
        disk.remove_dir_all("d").unwrap();
        assert!(disk.open("d/z", OpenMode::Read).is_err());
        assert!(disk.available_bytes().unwrap() > 0);
    }
}
