//! Tar: ustar with the extensions of GNU (long names, large numbers) and of POSIX (pax).
//!
//! Invariants: a reader allocates no more than a bounded header; it gives paths as they stand there,
//! since what they mean is decided by who unpacks beneath a root.
//!
//! Deliberately absent: sparse files, refused by name; several volumes.

mod read;
mod write;

pub use read::Reader;
pub use write::Writer;

use std::collections::BTreeMap;
use std::fmt;

const BLOCK: usize = 512;
/// Of one extended header.
const EXTENDED_BYTES_MAX: u64 = 1 << 20;
/// Of one path.
const PATH_BYTES_MAX: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    Character,
    Block,
    Folder,
    Fifo,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub path: Vec<u8>,
    pub kind: Kind,
    /// Permissions with set-user-id, set-group-id and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: Time,
    /// Where a link leads.
    pub link: Vec<u8>,
    pub device: (u32, u32),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

impl Entry {
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind, mode: u32) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time::default(),
            link: Vec::new(),
            device: (0, 0),
            xattrs: BTreeMap::new(),
        }
    }
}

#[derive(Debug)]
pub enum TarError {
    Malformed(&'static str),
    Unsupported(&'static str),
    Io(std::io::Error),
}

impl fmt::Display for TarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TarError::Malformed(what) => write!(f, "archive/tar: invalid tar header ({what})"),
            TarError::Unsupported(what) => write!(f, "archive/tar: {what} is not supported"),
            TarError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TarError {}

impl From<std::io::Error> for TarError {
    fn from(error: std::io::Error) -> TarError {
        TarError::Io(error)
    }
}

#[cfg(test)]
mod tests;
