//! The ordered index behind the log: versioned keys in memory and in immutable files.
//!
//! The log makes commits durable; an engine only has to find things again. It may lose everything
//! after [`Engine::flushed`] in a crash: the store replays the log from there.

use bytes::Bytes;
use std::fmt::Debug;
use std::io;
use std::ops::Bound;

/// The number of a commit. Grows by one with each; 0 is the empty store.
pub type Version = u64;

/// What one commit changes, each key at most once: `None` removes it.
pub type Batch = [(Bytes, Option<Bytes>)];

/// Whether a unit of background work was found and done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Idle,
    Worked,
}

pub trait Engine: Send + Sync + Debug + 'static {
    /// The value of `key` as of commit `at`.
    fn get(&self, key: &[u8], at: Version) -> io::Result<Option<Bytes>>;

    /// Live keys in the range as of commit `at`, in order (descending if `reverse`).
    fn scan(
        &self,
        range: (Bound<Bytes>, Bound<Bytes>),
        at: Version,
        reverse: bool,
    ) -> Box<dyn Cursor>;

    /// Takes a commit in, in memory alone. Versions arrive in order, one writer at a time, while
    /// others read older versions. Never waits for the disk.
    fn apply(&self, batch: &Batch, version: Version);

    /// No reader will ask below this version any more: older values of a key may be forgotten.
    fn set_horizon(&self, version: Version);

    /// One bounded unit of background work: write out memory, merge files, remove dead ones. Only
    /// commits up to `durable` may reach files, since a later one may still be lost.
    fn maintain(&self, durable: Version) -> io::Result<Step>;

    /// The same where only memory is short: files are not merged, however many there are.
    fn write_out(&self, durable: Version) -> io::Result<Step>;

    /// All commits up to this one are in durable files; the log before it is not needed.
    fn flushed(&self) -> Version;

    /// Bytes held in memory that wait to be written out, for back-pressure.
    fn unflushed_bytes(&self) -> u64;

    /// Makes all commits up to `durable` durable in files, then gives the files (paths on the disk)
    /// that hold the state as of that commit, pinned until the guard is dropped: for snapshots.
    fn freeze(&self, durable: Version) -> io::Result<Frozen>;

    /// Reads everything back and checks its checksums and order: the problems found, in words.
    fn check(&self) -> io::Result<Vec<String>>;
}

/// Files that together hold one state of the engine; they neither change nor vanish while it lives.
#[derive(Debug)]
pub struct Frozen {
    pub version: Version,
    pub files: Vec<String>,
    pub pin: Box<dyn Pin>,
}

/// Held for its drop alone.
pub trait Pin: Send + Sync + Debug {}

/// A position in a scan.
pub trait Cursor: Send {
    /// The next live pair.
    fn next(&mut self) -> io::Result<Option<(Bytes, Bytes)>>;
    /// Skips to the first key at or beyond `key`, in the direction of the scan. Never goes back.
    fn seek(&mut self, key: &[u8]) -> io::Result<()>;
}
