//! Byte strings of any size, kept beside the rows that name them.
//!
//! Where the bytes stand is decided by size and hidden from services, which keep a [`BlobRef`] in
//! their own rows:
//! - *inline* (up to 2 KiB): in the [`BlobRef`] itself, so in the service's row: found with it, gone with
//!   it, and not counted.
//! - *row* (up to 16 KiB): a value in the store's own table. No I/O of its own: durable with the
//!   commit that adopts it.
//! - *segment* (up to 1 MiB): a record in a file shared by many, one sync for all who wait.
//! - *file* (larger): a file of its own, written behind while the caller prepares the next chunk.
//!
//! Life of a blob: [`Blobs::writer`] takes the bytes and gives a [`PinnedBlob`] once they are durable;
//! a transaction adopts it ([`Tx::adopt_blob`](crate::Tx::adopt_blob)), and further references are
//! counted ([`retain_blob`](crate::Tx::retain_blob), [`release_blob`](crate::Tx::release_blob)).
//!
//! Invariants:
//! - The bytes are durable before the row that points at them can be.
//! - Nothing is removed that a row refers to, in any snapshot that is still read and in any state
//!   to which a crash could lead back; nor what is pinned: by a writer that has not committed, by a
//!   reader, or by a snapshot being taken.
//! - Content is given out only if its checksum holds. A file or a full segment never changes.
//! - The place of a blob is known by the store's row alone, so that it can be moved.
//!
//! Deliberately absent: threads and runtimes (see [`Blocking`]), names, content types, and anything
//! that knows what the bytes mean. A blob made of several is a list of [`BlobRef`]s in the service's
//! row, read as one by [`Blobs::open_all`].

mod aside;
mod blocking;
mod check;
mod file;
mod keeper;
mod pins;
mod reader;
mod rows;
mod segment;
mod writer;

pub use aside::Aside;
pub use blocking::{Blocking, Inline, block_on};
pub use check::{BlobCheck, FrozenBlobs};
pub use keeper::BlobKeeper;
pub use reader::{BlobReader, BlobStream};
pub use writer::{BlobWriter, PinnedBlob};

use crate::disk::{Disk, is_full, is_passing};
use crate::error::{DecodeError, StoreError};
use crate::key::{Key, KeyReader, KeyRef, KeyWriter, PrefixOf};
use crate::row::{RowReader, RowWriter, Value, Wire};
use crate::tx::Tx;
use base::{Clock, Entropy};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest content that is kept in the reference. More would make walks over the rows that have them
/// dear.
pub const INLINE_BLOB_BYTES_MAX: usize = 2 * 1024;
/// The largest content that is kept in a row.
pub const ROW_BLOB_BYTES_MAX: usize = 16 * 1024;
/// The largest content that is kept in a shared segment.
pub const SEGMENT_BLOB_BYTES_MAX: usize = 1024 * 1024;

/// The name of a blob: unique for ever, later ones greater, the last bytes random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub(crate) [u8; 16]);

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base::hex::encode(&self.0))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl BlobId {
    fn parse(text: &str) -> Option<BlobId> {
        base::hex::decode(text.as_bytes())?.try_into().ok().map(BlobId)
    }
}

impl Value for BlobId {
    const WIRE: Wire = Wire::Sized;
    fn write(&self, to: &mut RowWriter) {
        self.0.write(to);
    }
    fn read(from: &mut RowReader<'_>) -> Result<Self, DecodeError> {
        Value::read(from).map(BlobId)
    }
}

impl Key for BlobId {
    fn read(from: &mut KeyReader<'_>) -> Result<Self, DecodeError> {
        from.array().map(BlobId)
    }
}

impl KeyRef<BlobId> for BlobId {
    fn write(&self, to: &mut KeyWriter) {
        to.raw(&self.0);
    }
}

impl PrefixOf<BlobId> for BlobId {
    fn write_prefix(&self, to: &mut KeyWriter) {
        to.raw(&self.0);
    }
}

crate::row! {
    /// What a service keeps of a blob in its own row.
    #[derive(Eq)]
    pub struct BlobRef {
        1 => id: BlobId,
        2 => size_bytes: u64,
        /// All of it, where it is short: then no other row knows of it.
        3 => content: Option<Bytes>,
    }
}

/// What the blobs need from outside.
#[derive(Clone)]
pub(crate) struct BlobDrivers {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub blocking: Arc<dyn Blocking>,
    /// How large a shared segment is; 64 MiB in production.
    pub segment_bytes: u64,
    /// Space that blobs leave to the log, so that deletes still work on a full disk; 0 never looks.
    pub space_floor_bytes: u64,
}

/// All blobs of one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs(Arc<Core>);

struct Core {
    disk: Arc<dyn Disk>,
    blocking: Arc<dyn Blocking>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Milliseconds and a sequence number of the last id.
    last_id: Mutex<(u64, u16)>,
    pins: Arc<pins::Pins>,
    segments: segment::Segments,
    site: Arc<Site>,
    buffers: Arc<reader::Buffers>,
    counters: Arc<Counters>,
    health: Arc<Health>,
    /// The commit that removed rows without saying which, if it was not dealt with yet; else 0.
    cleared: AtomicU64,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blobs on {:?}", self.disk)
    }
}

/// What has been done since the start, for metrics.
#[derive(Debug, Default)]
struct Counters {
    syncs: AtomicU64,
    bytes_written: AtomicU64,
    bytes_read: AtomicU64,
    /// Held by writers now.
    bytes_buffered: AtomicU64,
}

/// What has been done since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlobCounters {
    pub syncs: u64,
    pub bytes_written: u64,
    pub bytes_read: u64,
    /// Held by writers now.
    pub bytes_buffered: u64,
}

impl Blobs {
    /// Reads one folder and nothing else: what a crash left behind is found by the maintenance.
    pub(crate) fn open_folder(drivers: BlobDrivers) -> io::Result<Blobs> {
        let BlobDrivers { disk, clock, entropy, blocking, segment_bytes, space_floor_bytes } =
            drivers;
        let last = disk.list(segment::FOLDER)?.iter().filter_map(|n| segment::parse_name(n)).max();
        let (pins, counters, health) = (Arc::default(), Arc::default(), Arc::<Health>::default());
        let site = Arc::new(Site {
            disk: Arc::clone(&disk),
            health: Arc::clone(&health),
            space_floor_bytes,
            folders: Mutex::default(),
        });
        let segments = segment::Segments::new(
            Arc::clone(&disk),
            Arc::clone(&site),
            Arc::clone(&pins),
            Arc::clone(&counters),
            Arc::clone(&health),
            segment_bytes,
            last.unwrap_or(0),
        );
        Ok(Blobs(Arc::new(Core {
            disk,
            blocking,
            clock,
            entropy,
            last_id: Mutex::default(),
            pins,
            segments,
            site,
            buffers: Arc::default(),
            counters,
            health,
            cleared: AtomicU64::new(0),
        })))
    }

    /// Begins a blob. `size_hint` is what the client said; it may be wrong.
    pub fn writer(&self, size_hint: Option<u64>) -> BlobWriter {
        BlobWriter::new(Arc::clone(&self.0), size_hint)
    }

    /// Works bytes into `value` off the caller's thread: hashes of what a writer is given, say.
    pub fn aside<T: Send + 'static>(&self, value: T, work: fn(&mut T, &[u8])) -> Aside<T> {
        Aside::new(Arc::clone(&self.0.blocking), value, work)
    }

    /// Does what waits for the disk off the caller's thread.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (answer, promised) = blocking::promise();
        self.0.blocking.run(Box::new(move || answer.give(Ok(work()))));
        promised.await
    }

    /// A blob small enough for a row, made without any I/O; `None` if it is too large for that.
    pub fn small(&self, content: Bytes) -> Option<PinnedBlob> {
        PinnedBlob::of_row(self.0.next_id(), content)
    }

    /// The content of a blob, pinned until the reader and its streams are dropped. An error of kind
    /// `NotFound` says that no such blob is there in this transaction.
    pub fn open(&self, tx: &Tx, blob: &BlobRef) -> Result<BlobReader, StoreError> {
        self.open_all(tx, std::slice::from_ref(blob))
    }

    /// Several blobs, one after the other, as one.
    pub fn open_all(&self, tx: &Tx, blobs: &[BlobRef]) -> Result<BlobReader, StoreError> {
        BlobReader::open(&self.0, tx, blobs)
    }

    /// The content of a blob that no transaction has adopted yet.
    pub fn open_pinned(&self, blob: &PinnedBlob) -> BlobReader {
        BlobReader::open_pinned(&self.0, blob)
    }

    /// A commit removed rows, of blobs too, without saying which.
    pub(crate) fn are_cleared(&self, version: u64) {
        self.0.cleared.fetch_max(version, Ordering::AcqRel);
    }

    /// Why nothing is written any more; `None` in good health. The process should end.
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.0.health.0.get().cloned()
    }

    pub fn counters(&self) -> BlobCounters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BlobCounters {
            syncs: of(&self.0.counters.syncs),
            bytes_written: of(&self.0.counters.bytes_written),
            bytes_read: of(&self.0.counters.bytes_read),
            bytes_buffered: of(&self.0.counters.bytes_buffered),
        }
    }
}

impl Core {
    /// 48 bits of milliseconds, 16 of sequence, 64 of chance.
    fn next_id(&self) -> BlobId {
        let now_ms = u64::try_from(self.clock.now().to_millis()).unwrap_or(0);
        let (ms, sequence) = {
            let mut last = self.last_id.lock();
            *last = if now_ms > last.0 {
                (now_ms, 0)
            } else {
                match last.1.checked_add(1) {
                    Some(next) => (last.0, next),
                    None => (last.0 + 1, 0),
                }
            };
            *last
        };
        let mut id = [0; 16];
        id[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        id[6..8].copy_from_slice(&sequence.to_be_bytes());
        self.entropy.fill(&mut id[8..]);
        BlobId(id)
    }
}

/// Where new files go, and whether there is room for them.
#[derive(Debug)]
struct Site {
    disk: Arc<dyn Disk>,
    health: Arc<Health>,
    space_floor_bytes: u64,
    /// Folders of which it is known that they are there and durable. An empty store has none.
    folders: Mutex<BTreeSet<String>>,
}

impl Site {
    fn ensure_folder(&self, folder: &str) -> io::Result<()> {
        let mut known = self.folders.lock();
        if known.contains(folder) {
            return Ok(());
        }
        self.health.check()?;
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        let mut parent = "";
        for end in ends {
            let path = &folder[..end];
            if !known.contains(path) {
                self.disk.create_dir(path)?;
                self.health.note_sync(self.disk.sync_dir(parent))?;
                known.insert(path.to_owned());
            }
            parent = path;
        }
        Ok(())
    }

    /// Refuses what would leave too little space for the log.
    fn check_space(&self, bytes: u64) -> io::Result<()> {
        self.check_above(bytes, self.space_floor_bytes)
    }

    /// The same for bytes that are moved so that others can go.
    fn check_space_for_move(&self, bytes: u64) -> io::Result<()> {
        self.check_above(bytes, self.space_floor_bytes / 8)
    }

    fn check_above(&self, bytes: u64, floor_bytes: u64) -> io::Result<()> {
        if self.space_floor_bytes != 0
            && self.disk.available_bytes()? < bytes.saturating_add(floor_bytes)
        {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the disk is nearly full; delete something first",
            ));
        }
        Ok(())
    }
}

/// Whether the disk still does what it says.
#[derive(Debug, Default)]
struct Health(OnceLock<Arc<str>>);

impl Health {
    /// A failed sync is never retried: after it nothing is written any more. (A full disk is no such
    /// failure: what was being written is given up; nor is a folder that could not be opened for it.)
    fn note_sync(&self, result: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &result
            && !is_full(error)
            && !is_passing(error)
        {
            let _ = self.0.set(Arc::from(error.to_string()));
        }
        result
    }

    fn check(&self) -> io::Result<()> {
        match self.0.get() {
            None => Ok(()),
            Some(why) => Err(io::Error::other(format!(
                "blobs are no longer written since a sync failed ({why}); mend the disk and start \
                 again"
            ))),
        }
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn corrupt(id: BlobId, what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("blob {id}: {what}; run `cumulet doctor --data`"),
    )
}

/// An error that several can be told of.
#[derive(Clone, Debug)]
struct Failure(io::ErrorKind, String);

impl Failure {
    fn of(error: &io::Error) -> Failure {
        Failure(error.kind(), error.to_string())
    }

    fn error(&self) -> io::Error {
        io::Error::new(self.0, self.1.clone())
    }
}

#[cfg(test)]
mod tests;
