//! The store: snapshots for readers, one writer at a time, and who waits for what.
//!
//! A commit is numbered, applied to the index in memory and appended to the pending group under the
//! writer's lock; the log driver makes the group durable and publishes its last number. Readers get
//! the newest *durable* number, so that nothing is seen that may vanish; the next writer gets the
//! newest of all, and its answer waits until what it saw is durable.

use crate::blobs::{BlobDrivers, BlobKeeper, Blobs, Blocking, Inline};
use crate::clear;
use crate::disk::{Disk, MemDisk};
use crate::engine::{Batch, Engine, Step, Version};
use crate::error::{OpenError, StoreError};
use crate::format;
use crate::hot::{Hot, Known};
use crate::log::{self, LogDriver, Recovered};
use crate::lsm::{self, Lsm};
use crate::maintenance::MaintenanceDriver;
use crate::memory::MemoryEngine;
use crate::metrics::{self, Metrics};
use crate::queue::{Commit, Queue};
use crate::room::Room;
use crate::signal::Signal;
use crate::space::{Reserve, Space};
use crate::turn::{Turn, Turns};
use crate::tx::{Tx, WholeTables};
use base::limits::TRANSACTION_BYTES_MAX;
use base::{Clock, Entropy, Timestamp};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// How long a write waits for room at most.
const WAIT_NS_MAX: u64 = 5_000_000_000;

/// The folder of the index.
pub(crate) const INDEX: &str = "index";

/// When a write is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// When it is on the disk.
    #[default]
    Synced,
    /// At once. A crash may lose the last moments, never the order.
    Relaxed,
}

/// What finds things again.
#[derive(Clone, Debug)]
pub enum Index {
    /// On the disk.
    Tree(lsm::Options),
    /// In memory alone: the log is never trimmed. For tests, and stores that live in memory.
    Memory,
}

#[derive(Clone)]
pub struct StoreOptions {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub durability: Durability,
    pub index: Index,
    /// More than this waiting for the log answers [`StoreError::Busy`].
    pub pending_bytes_max: u64,
    /// More than this waiting in the index for its files answers [`StoreError::Busy`].
    pub unflushed_bytes_max: u64,
    /// With so many jobs waiting or parked, what would leave another one answers
    /// [`StoreError::Busy`], unless it frees space. They are counted every few seconds.
    pub outbox_jobs_max: u64,
    /// Size of the first segment of the log; later ones are up to twice as long. A commit has to
    /// fit into one.
    pub log_segment_bytes: u64,
    /// Write segments full of zeros beforehand, so that their syncs are quick.
    pub log_zero_fill: bool,
    /// With less than this left on the disk only what frees space is accepted; 0 never looks.
    pub space_floor_bytes: u64,
    /// Memory for values that are read often.
    pub hot_bytes: usize,
    /// Run one in so many write closures twice, as a distributed store would on a conflict: tests
    /// find those that are not repeatable. 0 is never.
    pub retry_one_in: u64,
    /// Where blobs wait for the disk.
    pub blocking: Arc<dyn Blocking>,
    /// How large the shared files of middling blobs are.
    pub blob_segment_bytes: u64,
}

impl StoreOptions {
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> StoreOptions {
        StoreOptions {
            clock,
            entropy,
            durability: Durability::Synced,
            index: Index::Tree(lsm::Options::default()),
            pending_bytes_max: 16 << 20,
            unflushed_bytes_max: 256 << 20,
            outbox_jobs_max: 1_000_000,
            log_segment_bytes: 16 << 20,
            log_zero_fill: true,
            space_floor_bytes: 64 << 20,
            hot_bytes: 32 << 20,
            retry_one_in: 0,
            blocking: Arc::new(Inline),
            blob_segment_bytes: 64 << 20,
        }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions").field("durability", &self.durability).finish_non_exhaustive()
    }
}

/// The index as a transaction reads it.
#[derive(Debug)]
pub(crate) struct Reader {
    pub engine: Arc<dyn Engine>,
    pub hot: Hot,
    pub whole: WholeTables,
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub outbox: Outbox,
}

/// How many jobs wait, as whoever runs them last counted.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub jobs: AtomicU64,
    pub jobs_max: u64,
}

impl Outbox {
    pub(crate) fn is_full(&self) -> bool {
        self.jobs.load(Ordering::Relaxed) >= self.jobs_max
    }
}

impl Reader {
    /// `writes`: for a transaction that may replace what it reads.
    pub(crate) fn get(
        &self,
        key: &[u8],
        at: Version,
        writes: bool,
    ) -> Result<Option<Bytes>, StoreError> {
        if let Some(known) = self.hot.get(key, at) {
            metrics::add(&self.hits, 1);
            return Ok(known);
        }
        metrics::add(&self.misses, 1);
        let found = self.engine.get(key, at)?;
        self.hot.found(key, found.as_ref(), at, writes);
        Ok(found)
    }

    /// What the cache knows of the key, with the row that was decoded from it.
    pub(crate) fn get_decoded(&self, key: &[u8], at: Version) -> Option<Known> {
        let known = self.hot.get_decoded(key, at)?;
        metrics::add(&self.hits, 1);
        Some(known)
    }
}

pub(crate) struct Writer {
    version: Version,
    time: Timestamp,
}

pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub options: StoreOptions,
    pub reader: Arc<Reader>,
    pub blobs: Blobs,
    pub queue: Arc<Queue>,
    pub metrics: Metrics,
    pub space: Space,
    pub room: Room,
    /// Rung when maintenance may have work.
    pub upkeep: Signal,
    /// Rung when a job was enqueued.
    pub enqueued: Signal,
    /// The same, for whoever runs errands.
    pub errand: Signal,
    writer: Turns<Writer>,
    /// The newest commit that readers may see.
    visible: AtomicU64,
    time_ms: AtomicI64,
    /// Snapshots that are being read, and how often.
    snapshots: Mutex<BTreeMap<Version, u32>>,
    /// Names of those that are being saved to files, or removed.
    pub snapshots_under_way: Mutex<BTreeSet<String>>,
}

/// A handle to the store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    inline: Option<Arc<Mutex<Drivers>>>,
}

/// What has to be driven from outside, since the store has no threads.
#[derive(Debug)]
pub struct Drivers {
    pub log: LogDriver,
    pub maintenance: MaintenanceDriver,
    /// Frees blobs; may block for a while, so it wants a thread or turn of its own.
    pub blobs: BlobKeeper,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store on {:?}", self.shared.disk)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store on {:?}", self.disk)
    }
}

impl Store {
    /// Opens the data folder, or makes a store in an empty one.
    pub fn open(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<(Store, Drivers), OpenError> {
        match format::read(&*disk)? {
            // A process that was killed may have left names that only the kernel knows.
            Some(format::FORMAT) => disk.sync_dir("")?,
            // From now on older builds keep away from it.
            Some(_) => format::write(&*disk)?,
            None => {
                disk.remove_dir_all("log")?;
                log::create(disk.clone(), &options, 1, Timestamp::EPOCH)?;
                format::write(&*disk)?;
            }
        }
        let engine: Arc<dyn Engine> = match &options.index {
            Index::Tree(sizes) => Arc::new(Lsm::open(disk.clone(), INDEX, sizes.clone())?),
            Index::Memory => Arc::new(MemoryEngine::default()),
        };
        let Recovered { log, version, time } = log::recover(disk.clone(), &options, &*engine)?;
        let reserve = Reserve::new(&*disk, options.space_floor_bytes)?;
        let blobs = Blobs::open_folder(BlobDrivers {
            disk: disk.clone(),
            clock: options.clock.clone(),
            entropy: options.entropy.clone(),
            blocking: options.blocking.clone(),
            segment_bytes: options.blob_segment_bytes,
            space_floor_bytes: options.space_floor_bytes,
        })?;
        let reader = Reader {
            engine,
            hot: Hot::new(options.hot_bytes, options.entropy.next_u64()),
            whole: WholeTables::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            outbox: Outbox { jobs: AtomicU64::new(0), jobs_max: options.outbox_jobs_max },
        };
        let shared = Arc::new(Shared {
            blobs,
            disk,
            options,
            reader: Arc::new(reader),
            queue: Arc::new(Queue::new(version, log.left(), log.waiting())),
            metrics: Metrics::default(),
            space: Space::default(),
            room: Room::default(),
            upkeep: Signal::default(),
            enqueued: Signal::default(),
            errand: Signal::default(),
            writer: Turns::new(Writer { version, time }),
            visible: AtomicU64::new(version),
            time_ms: AtomicI64::new(time.to_millis()),
            snapshots: Mutex::default(),
            snapshots_under_way: Mutex::default(),
        });
        shared.upkeep.ring();
        let store = Store { shared, inline: None };
        let shared = || store.shared.clone();
        let maintenance = MaintenanceDriver::new(shared(), log.slot_maker(), reserve);
        let log = LogDriver::new(shared(), log);
        let drivers = Drivers { log, maintenance, blobs: BlobKeeper::new(store.clone()) };
        Ok((store, drivers))
    }

    /// A store whose drivers are run by its own writes: no write ever waits. For tests and tools.
    pub fn inline(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<Store, OpenError> {
        let (mut store, mut drivers) = Store::open(disk, options)?;
        drivers.run();
        store.inline = Some(Arc::new(Mutex::new(drivers)));
        Ok(store)
    }

    /// An empty store in memory, driven by its own writes.
    pub fn memory(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Store {
        Store::memory_running_again(clock, entropy, 0)
    }

    /// The same with [`StoreOptions::retry_one_in`].
    pub fn memory_running_again(
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        retry_one_in: u64,
    ) -> Store {
        let mut options = StoreOptions::new(clock, entropy);
        options.retry_one_in = retry_one_in;
        options.blob_segment_bytes = 4 << 20;
        options.log_zero_fill = false;
        options.index = Index::Memory;
        Store::inline(Arc::new(MemDisk::new()), options).expect("memory does not fail")
    }

    /// Runs `f` on a snapshot of the newest durable commit. Never waits.
    pub fn read<R>(&self, f: impl FnOnce(&Tx) -> R) -> R {
        let shared = &self.shared;
        metrics::add(&shared.metrics.reads, 1);
        let snapshot = Snapshot::open(shared);
        let last = Timestamp::from_millis(shared.time_ms.load(Ordering::Acquire));
        let now = shared.options.clock.now().max(last);
        f(&Tx::new(shared.reader.clone(), snapshot.version, now, false))
    }

    /// Runs `f` alone on the newest state and commits what it wrote if it gives `Ok`. It may be run
    /// more than once, and must do nothing but read and write `tx`.
    ///
    /// The future gives the outcome once every commit that `f` observed is durable: its own, or
    /// those before it. Dropping the future does not undo the commit.
    pub fn write<R, E: From<StoreError>>(
        &self,
        mut f: impl FnMut(&mut Tx) -> Result<R, E>,
    ) -> Commit<R, E> {
        let (commit, refused) = self.attempt(&mut f, self.shared.writer.lock());
        if refused {
            metrics::add(&self.shared.metrics.busy, 1);
        }
        commit
    }

    /// As [`Store::write`], where [`StoreError::Busy`] is answered only after some time in which
    /// no room was made, or when too many wait already.
    pub async fn write_in_turn<R, E: From<StoreError>>(
        &self,
        mut f: impl FnMut(&mut Tx) -> Result<R, E>,
    ) -> Result<R, E> {
        let shared = &self.shared;
        let clock = &shared.options.clock;
        let mut place = None;
        let mut since_ns = 0;
        loop {
            let seen = shared.room.made();
            let (commit, refused) = shared.writer.run(|turn| self.attempt(&mut f, turn)).await;
            if !refused || self.inline.is_some() {
                return commit.await;
            }
            if place.is_none() {
                metrics::add(&shared.metrics.waited, 1);
                since_ns = clock.monotonic_ns();
                place = shared.room.place();
            }
            let waited_ns = clock.monotonic_ns().saturating_sub(since_ns);
            match &place {
                Some(place) if waited_ns < WAIT_NS_MAX && !shared.upkeep.is_closed() => {
                    place.wait(seen).await;
                }
                _ => {
                    metrics::add(&shared.metrics.busy, 1);
                    return commit.await;
                }
            }
        }
    }

    /// The commit, and whether it was refused for want of room.
    fn attempt<R, E: From<StoreError>>(
        &self,
        f: &mut impl FnMut(&mut Tx) -> Result<R, E>,
        writer: Turn<'_, Writer>,
    ) -> (Commit<R, E>, bool) {
        let Ran { version, outcome, refused } = self.shared.run(f, writer);
        if let Some(drivers) = &self.inline {
            drivers.lock().run();
        }
        let target = match self.shared.options.durability {
            Durability::Synced => version,
            Durability::Relaxed => 0,
        };
        (Commit::new(self.shared.queue.clone(), target, outcome), refused)
    }

    /// Byte strings beside the rows.
    pub fn blobs(&self) -> &Blobs {
        &self.shared.blobs
    }

    /// Point reads that the cache answered, and those that it did not.
    pub fn cache_counts(&self) -> (u64, u64) {
        let reader = &self.shared.reader;
        (reader.hits.load(Ordering::Relaxed), reader.misses.load(Ordering::Relaxed))
    }

    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Bytes that are committed and not yet in the log.
    pub fn pending_bytes(&self) -> u64 {
        self.shared.queue.outstanding()
    }

    /// Jobs that wait or are parked, when last counted.
    pub fn outbox_jobs(&self) -> u64 {
        self.shared.reader.outbox.jobs.load(Ordering::Relaxed)
    }

    /// Bytes that the index has in memory and not in its files.
    pub fn unflushed_bytes(&self) -> u64 {
        self.shared.reader.engine.unflushed_bytes()
    }

    /// Why nothing is accepted any more; `None` in good health. The process should end.
    pub fn stopped(&self) -> Option<Arc<str>> {
        self.shared.queue.stopped().or_else(|| self.shared.blobs.stopped())
    }

    /// Lets the drivers end, once they have done what is pending.
    pub fn close(&self) {
        self.shared.queue.work.close();
        self.shared.upkeep.close();
        self.shared.enqueued.close();
        self.shared.errand.close();
        self.shared.room.make();
    }

    /// Whether only what frees space is accepted.
    pub fn is_full(&self) -> bool {
        self.shared.space.is_full()
    }
}

impl Drivers {
    /// Does all that there is to do.
    pub fn run(&mut self) {
        while self.log.step() == Step::Worked
            || self.maintenance.step() == Step::Worked
            || matches!(self.blobs.step(), Ok(Step::Worked))
        {}
    }
}

/// How a transaction ended.
struct Ran<R, E> {
    /// The newest commit that it saw, or its own.
    version: Version,
    outcome: Result<R, E>,
    /// For want of room, and nothing else.
    refused: bool,
}

impl Shared {
    fn run<R, E: From<StoreError>>(
        &self,
        f: &mut impl FnMut(&mut Tx) -> Result<R, E>,
        mut writer: Turn<'_, Writer>,
    ) -> Ran<R, E> {
        let clock = &self.options.clock;
        let started = clock.monotonic_ns();
        let now = clock.now().max(writer.time);
        let transaction = || Tx::new(self.reader.clone(), writer.version, now, true);
        let mut tx = transaction();
        let mut outcome = f(&mut tx);
        let retry = self.options.retry_one_in;
        if retry != 0 && self.options.entropy.below(retry) == 0 {
            tx.take_undos().into_iter().for_each(|undo| undo());
            tx = transaction();
            outcome = f(&mut tx);
        }
        let mut refused = false;
        let undos = tx.take_undos();
        let outcome = outcome.and_then(|value| {
            if tx.has_changes() {
                self.commit(&mut writer, tx).inspect_err(|error| {
                    refused = matches!(error, StoreError::Busy);
                })?;
            } else {
                metrics::add(&self.metrics.writes_without_commit, 1);
            }
            Ok(value)
        });
        if refused {
            undos.into_iter().for_each(|undo| undo());
        }
        let version = writer.version;
        drop(writer);
        self.metrics.write_hold.record(clock.monotonic_ns().saturating_sub(started));
        Ran { version, outcome, refused }
    }

    /// Whether there is room for one more commit.
    fn admit(&self, freeing: bool, charge: u64) -> Result<(), StoreError> {
        let options = &self.options;
        if !freeing && self.space.is_full() {
            // Somebody may have made room since.
            self.upkeep.ring();
            metrics::add(&self.metrics.full, 1);
            return Err(StoreError::Full);
        }
        if charge > log::commit_room_max(options) {
            return Err(StoreError::TransactionTooLarge);
        }
        let bound = if freeing { u64::MAX } else { options.pending_bytes_max };
        let admitted = self.queue.admit(charge, bound)?;
        let unflushed = self.reader.engine.unflushed_bytes();
        if !admitted || (!freeing && unflushed > options.unflushed_bytes_max) {
            self.upkeep.ring();
            return Err(StoreError::Busy);
        }
        Ok(())
    }

    fn commit(&self, writer: &mut Writer, tx: Tx) -> Result<(), StoreError> {
        // Whoever goes on after a change that was refused would commit half of what it meant.
        if tx.written_bytes() > TRANSACTION_BYTES_MAX {
            return Err(StoreError::TransactionTooLarge);
        }
        let version = writer.version + 1;
        let time = tx.now();
        let (freeing, enqueued) = (tx.is_freeing(), tx.has_enqueued());
        let first_pieces = tx.has_first_pieces();
        let batch: Box<Batch> = tx.into_changes();
        let charge = log::commit_bytes_max(&batch);
        self.admit(freeing, charge)?;
        let spelled_out = clear::spelled_out(&*self.reader.engine, &batch, writer.version)?;
        if first_pieces {
            self.reader.whole.forget();
        }
        // The index first: once it is in the queue, the commit may be published at any moment.
        let all = spelled_out.as_deref().unwrap_or(&batch);
        self.reader.hot.apply(all, version);
        self.reader.engine.apply(all, version);
        if spelled_out.is_some() {
            self.blobs.are_cleared(version);
        }
        self.queue.push(&batch, version, time, charge);
        writer.version = version;
        writer.time = time;
        self.time_ms.store(time.to_millis(), Ordering::Release);
        if self.options.durability == Durability::Relaxed {
            self.visible.fetch_max(version, Ordering::AcqRel);
        }
        if enqueued {
            self.enqueued.ring();
            self.errand.ring();
        }
        metrics::add(&self.metrics.commits, 1);
        Ok(())
    }

    /// Makes durable commits visible.
    pub(crate) fn publish(&self, durable: Version) {
        self.visible.fetch_max(durable, Ordering::AcqRel);
        self.queue.publish(durable);
    }

    /// The newest durable commit, and a time not before it.
    pub(crate) fn durable(&self) -> (Version, Timestamp) {
        let durable = self.queue.durable();
        (durable, Timestamp::from_millis(self.time_ms.load(Ordering::Acquire)))
    }

    #[cfg(test)]
    pub(crate) fn writer_version(&self) -> Version {
        self.writer.lock().version
    }

    /// The oldest commit that anybody reads or may come to read.
    pub(crate) fn horizon(&self) -> Version {
        let snapshots = self.snapshots.lock();
        let visible = self.visible.load(Ordering::Acquire);
        snapshots.keys().next().map_or(visible, |oldest| visible.min(*oldest))
    }
}

/// Keeps the index from forgetting what a reader may ask for.
struct Snapshot<'a> {
    shared: &'a Shared,
    version: Version,
}

impl Snapshot<'_> {
    fn open(shared: &Shared) -> Snapshot<'_> {
        let mut snapshots = shared.snapshots.lock();
        let version = shared.visible.load(Ordering::Acquire);
        *snapshots.entry(version).or_default() += 1;
        Snapshot { shared, version }
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let mut snapshots = self.shared.snapshots.lock();
        if let Some(count) = snapshots.get_mut(&self.version) {
            *count -= 1;
            if *count == 0 {
                snapshots.remove(&self.version);
            }
        }
    }
}
