//! The outbox: work that a transaction wants done later, kept as a row of the same transaction.
//!
//! A job is a kind and a key; enqueueing one that waits already only makes it due earlier. It takes
//! its key alone, reads the state anew and must be idempotent: it runs at least once, alone, in a
//! transaction in which it is already gone, so that it may enqueue itself again. One that fails is
//! tried again after a growing pause and parked after so many attempts; parked ones stay, are listed,
//! and run again when enqueued again. That the store is busy or full is no failure of a job: it waits.
//!
//! So many may wait and no more ([`StoreOptions::outbox_jobs_max`](crate::StoreOptions)): then who would
//! leave another one is told that the store is busy, except jobs, which may leave others behind, and what
//! frees space.
//!
//! Kinds take turns, so that a flood of one does not starve another.
//!
//! What has to wait (for bytes to be written, for another service) is an *errand*: a job that is a future
//! and opens transactions of its own. Its row stays until it has ended, so after a crash it begins again,
//! and finds in its own rows how far it had come. Errands run one after the other, beside the jobs. One
//! that is enqueued while it runs may have looked for the last time already, so it runs once more.

use crate::blobs::Blobs;
use crate::engine::Step;
use crate::error::StoreError;
use crate::key::{Key, KeyReader, KeyRef, KeyWriter};
use crate::signal::Wake;
use crate::store::Store;
use crate::table::{Scope, Table};
use crate::tx::Tx;
use base::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

crate::row! {
    /// A job that waits or is parked.
    #[derive(Default)]
    pub struct JobRow {
        1 => enqueued: Timestamp,
        2 => due: Timestamp,
        3 => attempts: u32,
        4 => is_parked: bool,
        /// Why the last attempt failed.
        5 => error: String,
        /// An errand that runs; one that was enqueued since waits again.
        6 => is_running: bool,
    }
}

const JOBS: Table<(u16, Vec<u8>), JobRow> = Table::internal(0x0002, "store.job");
/// Those that are not parked, in the order in which they are due.
const DUE: Table<(u16, Timestamp, Vec<u8>), ()> = Table::internal(0x0003, "store.job_due");
/// Those that are.
const PARKED: Table<(u16, Vec<u8>), ()> = Table::internal(0x0004, "store.job_parked");

const PAUSE_MS: i64 = 500;
const PAUSE_MS_MAX: i64 = 300_000;
const ERROR_BYTES_MAX: usize = 1000;
/// How often all of them are counted.
const COUNT_EVERY_NS: u64 = 5_000_000_000;
/// Jobs of a kind are counted up to here, so that a look at them costs little.
pub const JOBS_COUNTED_MAX: usize = 10_000;

/// A kind of job, declared as a constant by the service that does it. The number is what is stored.
pub struct JobKind<K> {
    id: u16,
    name: &'static str,
    key: PhantomData<fn() -> K>,
}

impl<K> JobKind<K> {
    pub const fn new(id: u16, name: &'static str) -> JobKind<K> {
        JobKind { id, name, key: PhantomData }
    }
}

impl<K> fmt::Debug for JobKind<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobOutcome {
    Done,
    /// There is more to do, from then on. Does not count as an attempt.
    Again(Timestamp),
}

/// Why an attempt failed; its transaction is dropped.
#[derive(Clone, Debug)]
pub enum JobError {
    Store(StoreError),
    Failed(String),
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> JobError {
        JobError::Store(error)
    }
}

impl JobError {
    /// Whether the same attempt may go well when the store has caught its breath: it does not count.
    pub fn is_passing(&self) -> bool {
        use StoreError::{Busy, Full, Stopped};
        matches!(self, JobError::Store(Busy | Full | Stopped(_)))
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Store(error) => error.fmt(f),
            JobError::Failed(why) => f.write_str(why),
        }
    }
}

/// What a job may know besides its key.
#[derive(Clone, Copy, Debug)]
pub struct JobCx {
    /// Attempts that failed before this one.
    pub attempts: u32,
    pub enqueued: Timestamp,
}

impl Tx {
    /// Has the job done once this transaction is committed.
    pub fn enqueue<K, Q>(&mut self, kind: &JobKind<K>, key: &Q) -> Result<(), StoreError>
    where
        Q: KeyRef<K> + ?Sized,
    {
        self.enqueue_at(kind, key, self.now())
    }

    /// The same, not before `due`.
    pub fn enqueue_at<K, Q>(
        &mut self,
        kind: &JobKind<K>,
        key: &Q,
        due: Timestamp,
    ) -> Result<(), StoreError>
    where
        Q: KeyRef<K> + ?Sized,
    {
        let mut to = KeyWriter::new();
        key.write(&mut to);
        enqueue_raw(self, kind.id, &to.into_vec(), due)
    }
}

fn enqueue_raw(tx: &mut Tx, kind: u16, key: &[u8], due: Timestamp) -> Result<(), StoreError> {
    let old = tx.get(&JOBS, &Scope::Global, &(kind, key))?;
    if old.as_ref().is_some_and(|old| old.is_parked) {
        tx.delete(&PARKED, &Scope::Global, &(kind, key))?;
    }
    let old_is_none = old.is_none();
    let (enqueued, due) = match old.filter(|old| !old.is_parked) {
        Some(old) if old.attempts == 0 && old.due <= due && !old.is_running => return Ok(()),
        Some(old) => {
            tx.delete(&DUE, &Scope::Global, &(kind, old.due, key))?;
            (old.enqueued, due.min(old.due))
        }
        None if old_is_none && !tx.may_enqueue() => return Err(StoreError::Busy),
        None => (tx.now(), due),
    };
    let row = JobRow { enqueued, due, ..JobRow::default() };
    put(tx, kind, key, &row)
}

fn put(tx: &mut Tx, kind: u16, key: &[u8], row: &JobRow) -> Result<(), StoreError> {
    if row.is_parked {
        tx.put(&PARKED, &Scope::Global, &(kind, key), &())?;
    } else {
        tx.put(&DUE, &Scope::Global, &(kind, row.due, key), &())?;
        tx.mark_enqueued();
    }
    tx.put(&JOBS, &Scope::Global, &(kind, key), row)
}

fn remove(tx: &mut Tx, kind: u16, key: &[u8], row: &JobRow) -> Result<(), StoreError> {
    tx.delete(&DUE, &Scope::Global, &(kind, row.due, key))?;
    tx.delete(&JOBS, &Scope::Global, &(kind, key))
}

type Handler = dyn Fn(&mut Tx, &JobCx, &[u8]) -> Result<JobOutcome, JobError> + Send + Sync;
/// A running errand.
pub type Errand = Pin<Box<dyn Future<Output = Result<JobOutcome, JobError>> + Send>>;
type Sender = dyn Fn(JobCx, &[u8]) -> Errand + Send + Sync;

enum Run {
    Job(Box<Handler>),
    Errand(Box<Sender>),
}

struct Registered {
    name: &'static str,
    attempts_max: u32,
    run: Run,
    done: AtomicU64,
    failed: AtomicU64,
}

/// A job as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct JobInfo {
    /// The kind's name, or its number if nothing is registered for it.
    pub kind: String,
    pub key: Vec<u8>,
    pub row: JobRow,
}

/// How many there are of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JobCount {
    pub kind: &'static str,
    /// Those that are to run, up to [`JOBS_COUNTED_MAX`], and when the first of them is due.
    pub waiting: usize,
    pub next_due: Option<Timestamp>,
    /// Those that failed too often, up to the same number.
    pub parked: usize,
    /// Attempts since the start that went well, and that failed.
    pub done: u64,
    pub failed: u64,
}

/// Runs jobs. One of them, driven by one thread or task.
pub struct Jobs {
    store: Store,
    kinds: BTreeMap<u16, Registered>,
    /// The kinds whose turn was last, of jobs and of errands.
    turn: Mutex<u16>,
    errand_turn: Mutex<u16>,
    /// Why the store gave or took no job, and no errand, when last asked.
    trouble: [Mutex<Option<String>>; 2],
    errors: AtomicU64,
    /// When all were last counted, if ever.
    counted_ns: Mutex<Option<u64>>,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds.values().map(|kind| kind.name)).finish()
    }
}

/// A job whose turn it is: kind and key.
type Picked<'a> = (u16, &'a Registered, Vec<u8>);

/// What came of one attempt.
enum Attempt {
    Nothing,
    Ended,
}

/// A panic of an errand is its failure.
async fn caught(mut errand: Errand) -> Result<JobOutcome, JobError> {
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| errand.as_mut().poll(context));
        std::panic::catch_unwind(poll)
            .unwrap_or_else(|_| Poll::Ready(Err(JobError::Failed("it panicked".into()))))
    })
    .await
}

impl Jobs {
    pub fn new(store: Store) -> Jobs {
        Jobs {
            store,
            kinds: BTreeMap::new(),
            turn: Mutex::new(0),
            errand_turn: Mutex::new(0),
            trouble: Default::default(),
            errors: AtomicU64::new(0),
            counted_ns: Mutex::new(None),
        }
    }

    /// Counts from time to time what waits, up to what may.
    fn count_outbox(&self) {
        let now_ns = self.store.shared.options.clock.monotonic_ns();
        let mut counted_ns = self.counted_ns.lock();
        if counted_ns.is_some_and(|at| now_ns.saturating_sub(at) < COUNT_EVERY_NS) {
            return;
        }
        *counted_ns = Some(now_ns);
        let outbox = &self.store.shared.reader.outbox;
        let most = usize::try_from(outbox.jobs_max).unwrap_or(usize::MAX);
        let count = self.store.read(|tx| {
            let mut keys = tx.scan(&JOBS, &Scope::Global).keys().take(most);
            keys.try_fold(0, |n, key| key.map(|_| n + 1))
        });
        match count {
            Ok(count) => outbox.jobs.store(count, Ordering::Relaxed),
            Err(error) => self.note(false, error),
        }
    }

    /// What failed in the last step of jobs, or of errands, without being the failure of one of them:
    /// for whoever drives them to say.
    pub fn take_trouble(&self, errands: bool) -> Option<String> {
        self.trouble[usize::from(errands)].lock().take()
    }

    /// How often there was such trouble since the start.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn note(&self, errands: bool, error: impl Into<JobError>) {
        let error = error.into();
        if !error.is_passing() {
            self.errors.fetch_add(1, Ordering::Relaxed);
            *self.trouble[usize::from(errands)].lock() = Some(error.to_string());
        }
    }

    /// For jobs that make bytes.
    pub fn blobs(&self) -> &Blobs {
        self.store.blobs()
    }

    /// Says how a kind is done. Parked after `attempts_max` failures.
    pub fn register<K: Key + 'static>(
        &mut self,
        kind: &JobKind<K>,
        attempts_max: u32,
        run: impl Fn(&mut Tx, &JobCx, K) -> Result<JobOutcome, JobError> + Send + Sync + 'static,
    ) {
        let name = kind.name;
        let run = move |tx: &mut Tx, cx: &JobCx, bytes: &[u8]| {
            let mut from = KeyReader::new(bytes);
            let key = K::read(&mut from).and_then(|key| from.finish().map(|()| key));
            run(tx, cx, key.map_err(|error| StoreError::Corrupt { table: name, error })?)
        };
        self.add(kind, attempts_max, Run::Job(Box::new(run)));
    }

    /// The same for an errand. Nothing of it may be kept from one attempt to the next but rows.
    pub fn register_errand<K: Key + 'static>(
        &mut self,
        kind: &JobKind<K>,
        attempts_max: u32,
        run: impl Fn(JobCx, K) -> Errand + Send + Sync + 'static,
    ) {
        let name = kind.name;
        let run = move |cx: JobCx, bytes: &[u8]| -> Errand {
            let mut from = KeyReader::new(bytes);
            match K::read(&mut from).and_then(|key| from.finish().map(|()| key)) {
                Ok(key) => run(cx, key),
                Err(error) => {
                    let error = StoreError::Corrupt { table: name, error };
                    Box::pin(async move { Err(JobError::Store(error)) })
                }
            }
        };
        self.add(kind, attempts_max, Run::Errand(Box::new(run)));
    }

    fn add<K>(&mut self, kind: &JobKind<K>, attempts_max: u32, run: Run) {
        let name = kind.name;
        let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        let old = self.kinds.insert(kind.id, Registered { name, attempts_max, run, done, failed });
        assert!(old.is_none(), "two kinds of job have the number of {name}");
    }

    /// Makes one attempt at one errand that is due, if there is one.
    pub async fn errand(&self) -> Step {
        // Asked often, and mostly in vain: that takes no writer.
        let is_due = self.store.read(|tx| Ok::<_, StoreError>(self.pick(tx, true)?.is_some()));
        match is_due {
            Ok(true) => {}
            Ok(false) => return Step::Idle,
            Err(error) => {
                self.note(true, error);
                return Step::Idle;
            }
        }
        // Once it is durable that it was enqueued: reads see no more than what is, and an errand that
        // finds nothing of what it is for has nothing to do.
        let begun = self.store.write(|tx| self.begin_errand(tx)).await;
        let ((kind, registered, key), row) = match begun {
            Ok(Some(begun)) => begun,
            Ok(None) => return Step::Idle,
            Err(error) => {
                self.note(true, error);
                return Step::Idle;
            }
        };
        *self.errand_turn.lock() = kind;
        let Run::Errand(run) = &registered.run else { return Step::Idle };
        let cx = JobCx { attempts: row.attempts, enqueued: row.enqueued };
        let outcome = caught(run(cx, &key)).await;
        let counter = match &outcome {
            Err(error) if error.is_passing() => return Step::Idle,
            Err(_) => &registered.failed,
            Ok(_) => &registered.done,
        };
        let ended = self.store.write(|tx| self.end_errand(tx, kind, &key, &outcome));
        match ended.into_outcome() {
            Ok(()) => {
                counter.fetch_add(1, Ordering::Relaxed);
                Step::Worked
            }
            Err(error) => {
                self.note(true, error);
                Step::Idle
            }
        }
    }

    /// Notes that it runs, so that its end knows whether it was enqueued since.
    fn begin_errand(&self, tx: &mut Tx) -> Result<Option<(Picked<'_>, JobRow)>, StoreError> {
        let Some(picked) = self.pick(tx, true)? else { return Ok(None) };
        let at = (picked.0, picked.2.as_slice());
        let Some(row) = tx.get(&JOBS, &Scope::Global, &at)? else { return Ok(None) };
        if !row.is_running {
            tx.put(&JOBS, &Scope::Global, &at, &JobRow { is_running: true, ..row.clone() })?;
        }
        Ok(Some((picked, row)))
    }

    fn end_errand(
        &self,
        tx: &mut Tx,
        kind: u16,
        key: &[u8],
        outcome: &Result<JobOutcome, JobError>,
    ) -> Result<(), StoreError> {
        // Without a row it was cleared away while it ran, and what it was for with it.
        let Some(row) = tx.get(&JOBS, &Scope::Global, &(kind, key))? else { return Ok(()) };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => return self.note_failure(tx, kind, key, &error.to_string()),
        };
        tx.mark_does_job();
        if row.is_running {
            remove(tx, kind, key, &row)?;
        }
        match outcome {
            JobOutcome::Again(due) => enqueue_raw(tx, kind, key, *due),
            JobOutcome::Done => Ok(()),
        }
    }

    /// Makes one attempt at one job that is due, if there is one.
    pub fn step(&self) -> Step {
        self.count_outbox();
        let mut picked = None;
        let attempt = self.store.write(|tx| self.attempt(tx, &mut picked));
        // The next step sees this one's outcome, so there is no need to wait for the disk.
        match (attempt.into_outcome(), picked) {
            (Ok(Attempt::Nothing), _) => Step::Idle,
            (Ok(Attempt::Ended), picked) => {
                self.count(picked.as_ref(), |kind| &kind.done);
                Step::Worked
            }
            // It is the store that cannot: the job stays due, and is tried at the next ring.
            (Err(error), _) if error.is_passing() => Step::Idle,
            (Err(error), None) => {
                self.note(false, error);
                Step::Idle
            }
            (Err(error), Some((kind, key))) => {
                let why = error.to_string();
                let noted = self.store.write(|tx| self.note_failure(tx, kind, &key, &why));
                match noted.into_outcome() {
                    Ok(()) => {
                        self.count(Some(&(kind, key)), |kind| &kind.failed);
                        Step::Worked
                    }
                    Err(error) => {
                        self.note(false, error);
                        Step::Idle
                    }
                }
            }
        }
    }

    fn count(&self, picked: Option<&(u16, Vec<u8>)>, which: impl Fn(&Registered) -> &AtomicU64) {
        if let Some(registered) = picked.and_then(|(kind, _)| self.kinds.get(kind)) {
            which(registered).fetch_add(1, Ordering::Relaxed);
        }
    }

    fn attempt(
        &self,
        tx: &mut Tx,
        picked: &mut Option<(u16, Vec<u8>)>,
    ) -> Result<Attempt, JobError> {
        let Some((kind, registered, key)) = self.pick(tx, false)? else {
            return Ok(Attempt::Nothing);
        };
        let Run::Job(handler) = &registered.run else { return Ok(Attempt::Nothing) };
        *picked = Some((kind, key.clone()));
        *self.turn.lock() = kind;
        let Some(row) = tx.get(&JOBS, &Scope::Global, &(kind, &key))? else {
            return Ok(Attempt::Nothing);
        };
        remove(tx, kind, &key, &row)?;
        tx.mark_does_job();
        let cx = JobCx { attempts: row.attempts, enqueued: row.enqueued };
        let run = AssertUnwindSafe(|| handler(tx, &cx, &key));
        let outcome = std::panic::catch_unwind(run)
            .unwrap_or_else(|_| Err(JobError::Failed("it panicked".into())));
        if let JobOutcome::Again(due) = outcome? {
            enqueue_raw(tx, kind, &key, due)?;
        }
        Ok(Attempt::Ended)
    }

    /// The kind after the last one that has something due.
    fn pick(&self, tx: &Tx, errands: bool) -> Result<Option<Picked<'_>>, StoreError> {
        let turn = if errands { *self.errand_turn.lock() } else { *self.turn.lock() };
        let kinds = self.kinds.range(turn + 1..).chain(self.kinds.range(..=turn));
        let mut failed = Ok(None);
        for (kind, registered) in kinds {
            if matches!(registered.run, Run::Errand(_)) != errands {
                continue;
            }
            match tx.scan(&DUE, &Scope::Global).prefix(&(*kind,)).next_key() {
                Ok(Some((_, due, key))) if due <= tx.now() => {
                    return Ok(Some((*kind, registered, key)));
                }
                Ok(_) => {}
                // Another kind's may be read.
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    fn note_failure(
        &self,
        tx: &mut Tx,
        kind: u16,
        key: &[u8],
        why: &str,
    ) -> Result<(), StoreError> {
        let Some(mut row) = tx.get(&JOBS, &Scope::Global, &(kind, key))? else { return Ok(()) };
        remove(tx, kind, key, &row)?;
        let pause = PAUSE_MS.saturating_mul(1 << row.attempts.min(20)).min(PAUSE_MS_MAX);
        row.attempts += 1;
        row.is_running = false;
        row.due = tx.now().plus_millis(pause);
        row.is_parked = self.kinds.get(&kind).is_some_and(|kind| row.attempts >= kind.attempts_max);
        row.error = why.chars().take(ERROR_BYTES_MAX).collect();
        put(tx, kind, key, &row)
    }

    /// When the next job is due; `None` if none waits.
    pub fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.read(|tx| {
            let mut next = None;
            for kind in self.kinds.keys() {
                let first = tx.scan(&DUE, &Scope::Global).prefix(&(*kind,)).next_key()?;
                let due = first.map(|(_, due, _)| due);
                next = next.min(due).or(next).or(due);
            }
            Ok(next)
        })
    }

    /// How many there are of each kind.
    pub fn counts(&self, tx: &Tx) -> Result<Vec<JobCount>, StoreError> {
        let mut counts = Vec::with_capacity(self.kinds.len());
        for (&id, kind) in &self.kinds {
            let (mut waiting, mut next_due) = (0, None);
            let mut due = tx.scan(&DUE, &Scope::Global).prefix(&(id,));
            while waiting < JOBS_COUNTED_MAX
                && let Some((_, at, _)) = due.next_key()?
            {
                waiting += 1;
                next_due = next_due.or(Some(at));
            }
            let parked = tx.scan(&PARKED, &Scope::Global).prefix(&(id,)).keys();
            let parked = parked.take(JOBS_COUNTED_MAX).try_fold(0, |n, key| key.map(|_| n + 1))?;
            let (done, failed) =
                (kind.done.load(Ordering::Relaxed), kind.failed.load(Ordering::Relaxed));
            counts.push(JobCount { kind: kind.name, waiting, next_due, parked, done, failed });
        }
        Ok(counts)
    }

    /// Those that failed too often, by kind and key.
    pub fn parked(&self, tx: &Tx, limit: usize) -> Result<Vec<JobInfo>, StoreError> {
        let mut all = Vec::new();
        for key in tx.scan(&PARKED, &Scope::Global).keys().take(limit) {
            let (kind, key) = key?;
            if let Some(row) = tx.get(&JOBS, &Scope::Global, &(kind, &key))? {
                all.push(JobInfo { kind: self.name(kind), key, row });
            }
        }
        Ok(all)
    }

    /// The kind's name; of an unknown one its number.
    fn name(&self, kind: u16) -> String {
        let known = self.kinds.get(&kind).map(|kind| kind.name.to_owned());
        known.unwrap_or_else(|| format!("kind {kind:#06x}"))
    }

    /// Tries those that are parked anew, some in one transaction; false when there are none. For a
    /// start: a newer build or a mended disk may do what failed before.
    pub fn retry_parked(&self) -> Result<bool, StoreError> {
        const AT_ONCE: usize = 100;
        let outcome = self.store.write(|tx| {
            let known = tx.scan(&PARKED, &Scope::Global).keys().take(AT_ONCE);
            let known: Vec<(u16, Vec<u8>)> = known.collect::<Result<_, _>>()?;
            for (kind, key) in &known {
                enqueue_raw(tx, *kind, key, tx.now())?;
            }
            Ok::<_, StoreError>(!known.is_empty())
        });
        outcome.into_outcome()
    }

    /// Jobs that wait or are parked, by kind and key.
    pub fn list(&self, tx: &Tx, limit: usize) -> Result<Vec<JobInfo>, StoreError> {
        let jobs = tx.scan(&JOBS, &Scope::Global).take(limit);
        let info = |((kind, key), row): ((u16, Vec<u8>), JobRow)| JobInfo {
            kind: self.name(kind),
            key,
            row,
        };
        jobs.map(|job| job.map(info)).collect()
    }

    /// Blocks the thread until a job may have become due, or for so long.
    pub fn wait(&self, at_most: Duration) -> Wake {
        self.store.shared.enqueued.wait_at_most(at_most)
    }

    /// The same for an errand.
    pub fn wait_for_errand(&self, at_most: Duration) -> Wake {
        self.store.shared.errand.wait_at_most(at_most)
    }

    /// The same for a task, which has a timer of its own.
    pub async fn ready(&self) -> Wake {
        self.store.shared.enqueued.ready().await
    }
}
