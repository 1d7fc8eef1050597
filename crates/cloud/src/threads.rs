//! The threads of the process beside those that answer requests: they drive the store and the jobs,
//! wait for the disk, and write the audit log.

use console::Console;
use gateway::Gateway;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use store::blobs::{Blocking, block_on};
use store::engine::Step;
use store::{Drivers, Store, StoreError, Wake};

use crate::audit_log::AuditLog;
use crate::exit;

/// Small, because these threads call nothing deep; an errand calls whole operations.
const STACK_BYTES: usize = 1024 * 1024;
/// Threads that wait for the disk, at most.
const WAITERS_MAX: usize = 8;
/// A waiter without work for so long ends.
const WAITER_IDLE: Duration = Duration::from_secs(10);
/// How often is looked for what may be freed and logged.
const KEEPER_PAUSE: Duration = Duration::from_secs(1);
/// How often is looked for jobs that have become due, if nobody rings.
const JOBS_PAUSE: Duration = Duration::from_millis(500);
/// While requests are being answered, jobs rest for so many times as long as they worked.
const JOBS_GIVE_WAY: u64 = 4;
/// In so many pauses old records of the audit trail are looked for once.
const FORGET_EVERY: u64 = 600;
/// Batches of old records forgotten at a time: the log is written in between.
const FORGET_BATCHES_MAX: usize = 20;
/// In so many pauses the console's history of counters gets a point.
const SAMPLE_EVERY: u64 = console::STEP_SECONDS;

#[allow(clippy::disallowed_methods, reason = "this module owns the threads")]
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(work)
}

/// A thread without which the process is of no use: where it panics, everybody would wait for ever.
fn spawn_vital(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    spawn(name, move || {
        or_else(work, || {
            eprintln!("cumulet: the thread {name:?} has ended by a mistake of ours; start again");
            std::process::exit(exit::STOPPED);
        });
    })
}

/// Does work, and something else if it panics.
fn or_else(work: impl FnOnce(), otherwise: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        otherwise();
    }
}

/// What a thread says of what it cannot do: once, until it is something else or has passed.
#[derive(Debug)]
struct Complaint {
    what: &'static str,
    said: Option<String>,
}

impl Complaint {
    fn new(what: &'static str) -> Complaint {
        Complaint { what, said: None }
    }

    /// `error` is that of the last attempt; whether it was said.
    fn hear(&mut self, error: Option<String>) -> bool {
        if error == self.said {
            return false;
        }
        match &error {
            Some(error) => {
                tracing::warn!(%error, "{} cannot be done; it is tried again", self.what)
            }
            None => tracing::info!("{} can be done again", self.what),
        }
        self.said = error;
        true
    }
}

/// Those that drive the store, until it is closed.
#[derive(Debug)]
pub struct Upkeep {
    threads: Vec<JoinHandle<()>>,
    /// Those that write to the store by themselves.
    writers: Vec<JoinHandle<()>>,
    store: Store,
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl Upkeep {
    pub fn start(store: &Store, drivers: Drivers) -> std::io::Result<Upkeep> {
        let Drivers { mut log, mut maintenance, mut blobs, .. } = drivers;
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let own = store.clone();
        let log_thread = spawn_vital("log", move || {
            loop {
                let wake = log.drive();
                end_if_stopped(&own);
                if wake == Wake::Closed {
                    return;
                }
            }
        })?;
        let own = store.clone();
        let maintenance_thread = spawn_vital("maintenance", move || {
            let mut complaint = Complaint::new("writing the index");
            loop {
                let wake = maintenance.wait();
                while maintenance.step() == Step::Worked {}
                end_if_stopped(&own);
                complaint.hear(maintenance.trouble().map(ToString::to_string));
                if wake == Wake::Closed {
                    return;
                }
            }
        })?;
        let stopping = stop.clone();
        let own = store.clone();
        let keeper = spawn_vital("keeper", move || {
            let mut complaint = Complaint::new("freeing what nothing refers to");
            loop {
                let mut done = blobs.step();
                while matches!(done, Ok(Step::Worked)) && !*stopping.0.lock() {
                    done = blobs.step();
                }
                end_if_stopped(&own);
                // That it is busy is no news to anybody: it is counted.
                let error = done.err().filter(|error| !matches!(error, StoreError::Busy));
                complaint.hear(error.map(|error| error.to_string()));
                let mut stopped = stopping.0.lock();
                if !*stopped {
                    stopping.1.wait_for(&mut stopped, KEEPER_PAUSE);
                }
                if *stopped {
                    return;
                }
            }
        })?;
        let threads = vec![log_thread, maintenance_thread, keeper];
        Ok(Upkeep { threads, writers: Vec::new(), store: store.clone(), stop })
    }

    /// Writes reads and failures to their log from time to time.
    /// Beside that, it has what is counted taken down for the console.
    pub fn log_audit(
        &mut self,
        gateway: Arc<Gateway>,
        mut log: AuditLog,
        console: Arc<Console>,
    ) -> std::io::Result<()> {
        let (stopping, store) = (self.stop.clone(), self.store.clone());
        self.writers.push(spawn_vital("audit", move || {
            let mut forgetting = Complaint::new("forgetting old records of the audit trail");
            let mut uses = Complaint::new("noting when keys were used");
            let mut accesses = Complaint::new("writing the access logs of buckets");
            let mut has_old = false;
            for round in 0u64.. {
                log.write(gateway.audit());
                uses.hear(gateway.write_uses().err().map(|error| error.message().to_owned()));
                let written = gateway.write_accesses();
                accesses.hear(written.err().map(|error| error.message().to_owned()));
                if round % SAMPLE_EVERY == 0 {
                    console.sample(&gateway.metrics());
                }
                if has_old || round % FORGET_EVERY == FORGET_EVERY - 1 {
                    let forget = || gateway.audit().forget_old(&store);
                    let forgotten = forget_some(forget, || *stopping.0.lock());
                    // In the next round, or after the usual pause if it failed.
                    has_old = matches!(forgotten, Ok(true));
                    forgetting.hear(forgotten.err().map(|error| error.to_string()));
                }
                let mut stopped = stopping.0.lock();
                if *stopped {
                    return;
                }
                stopping.1.wait_for(&mut stopped, KEEPER_PAUSE);
            }
        })?);
        Ok(())
    }

    /// Does the services' jobs as they become due.
    pub fn run_jobs(&mut self, gateway: Arc<Gateway>) -> std::io::Result<()> {
        let stopping = self.stop.clone();
        self.threads.push(spawn_vital("jobs", move || {
            let jobs = gateway.jobs();
            let mut complaint = Complaint::new("running jobs");
            let mut retrying = Complaint::new("trying jobs again that had failed too often");
            let mut has_parked = true;
            while !*stopping.0.lock() {
                if has_parked {
                    let retried = jobs.retry_parked();
                    has_parked = !matches!(retried, Ok(false));
                    retrying.hear(retried.err().map(|error| error.to_string()));
                }
                let began_ns = gateway.monotonic_ns();
                let step = jobs.step();
                complaint.hear(jobs.take_trouble(false));
                if step == Step::Idle {
                    jobs.wait(JOBS_PAUSE);
                    continue;
                }
                let took_ns = gateway.monotonic_ns().saturating_sub(began_ns);
                if gateway.in_flight() > 0 {
                    // Who waits for an answer goes before what nobody waits for.
                    let pause = Duration::from_nanos(took_ns.saturating_mul(JOBS_GIVE_WAY));
                    let mut stopped = stopping.0.lock();
                    if !*stopped {
                        stopping.1.wait_for(&mut stopped, pause.min(JOBS_PAUSE));
                    }
                }
            }
        })?);
        Ok(())
    }

    /// Runs the services' errands, one after the other, beside their jobs.
    pub fn run_errands(&mut self, gateway: Arc<Gateway>) -> std::io::Result<()> {
        let stopping = self.stop.clone();
        self.threads.push(spawn_vital("errands", move || {
            let jobs = gateway.jobs();
            let mut complaint = Complaint::new("running errands");
            while !*stopping.0.lock() {
                let step = block_on(jobs.errand());
                complaint.hear(jobs.take_trouble(true));
                if step == Step::Idle {
                    jobs.wait_for_errand(JOBS_PAUSE);
                }
            }
        })?);
        Ok(())
    }

    /// Lets what is pending be written, then ends the threads.
    pub fn finish(self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        // What they wait for comes only while the store is driven.
        for thread in self.writers {
            let _ = thread.join();
        }
        self.store.close();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Forgets a bounded number of batches, and none once `stopping` says so; `true` if there may be more.
fn forget_some<E>(
    mut forget: impl FnMut() -> Result<bool, E>,
    stopping: impl Fn() -> bool,
) -> Result<bool, E> {
    for _ in 0..FORGET_BATCHES_MAX {
        if stopping() || !forget()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// After a failed sync nobody knows what is on the disk: only a new start can tell.
fn end_if_stopped(store: &Store) {
    if let Some(why) = store.stopped() {
        eprintln!("cumulet: {why}; mend the disk and start again");
        std::process::exit(exit::STOPPED);
    }
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// A pool of threads that wait for the disk. They come when there is work and go when there is none.
#[derive(Clone, Default)]
pub struct Waiters(Arc<(Mutex<Waiting>, Condvar)>);

impl std::fmt::Debug for Waiters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiters")
    }
}

impl Blocking for Waiters {
    fn run(&self, job: Job) {
        let mut waiting = self.0.0.lock();
        waiting.jobs.push_back(job);
        if waiting.idle >= waiting.jobs.len() {
            self.0.1.notify_one();
            return;
        }
        if waiting.threads < WAITERS_MAX {
            waiting.threads += 1;
            let own = self.clone();
            if spawn("disk", move || own.work()).is_ok() {
                return;
            }
            waiting.threads -= 1;
            if waiting.threads == 0 {
                // No thread can be had: better slow than never.
                let jobs = std::mem::take(&mut waiting.jobs);
                drop(waiting);
                jobs.into_iter().for_each(|job| job());
            }
        }
    }
}

impl Waiters {
    fn work(&self) {
        let (lock, bell) = &*self.0;
        let mut waiting = lock.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                drop(waiting);
                // A panic is told where it happens; whoever waits for the job learns that it is gone. The
                // thread has to live: it is counted, and there are only so many.
                let _ = catch_unwind(AssertUnwindSafe(job));
                waiting = lock.lock();
                continue;
            }
            waiting.idle += 1;
            let timed_out = bell.wait_for(&mut waiting, WAITER_IDLE).timed_out();
            waiting.idle -= 1;
            if timed_out && waiting.jobs.is_empty() {
                waiting.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_that_panics_is_noticed() {
        let noticed = std::cell::Cell::new(0);
        or_else(|| {}, || noticed.set(1));
        assert_eq!(noticed.get(), 0);
        or_else(|| panic!("on purpose"), || noticed.set(2));
        assert_eq!(noticed.get(), 2);
    }

    #[test]
    fn a_failure_is_told_once_until_it_changes() {
        let mut complaint = Complaint::new("nothing");
        let said = ["", "a", "a", "b", "", "", "b"]
            .map(|error| complaint.hear((!error.is_empty()).then(|| error.to_owned())));
        assert_eq!(said, [false, true, false, true, true, false, true]);
    }

    #[test]
    fn old_records_are_forgotten_some_at_a_time() {
        let forget = |left: usize, stop_at: usize| {
            let (left, done) = (std::cell::Cell::new(left), std::cell::Cell::new(0));
            let forget = || {
                left.set(left.get() - 1);
                done.set(done.get() + 1);
                Ok::<_, ()>(left.get() > 0)
            };
            (forget_some(forget, || done.get() == stop_at), done.get())
        };
        assert_eq!(forget(3, usize::MAX), (Ok(false), 3));
        assert_eq!(forget(1000, usize::MAX), (Ok(true), FORGET_BATCHES_MAX));
        assert_eq!(forget(1000, 2), (Ok(false), 2));
        assert_eq!(forget_some(|| Err("full"), || false), Err("full"));
    }

    #[test]
    fn jobs_that_panic_take_no_thread_along() {
        let waiters = Waiters::default();
        (0..2 * WAITERS_MAX).for_each(|_| waiters.run(Box::new(|| panic!("on purpose"))));
        let (done, results) = mpsc::channel();
        waiters.run(Box::new(move || done.send(()).expect("somebody listens")));
        results.recv_timeout(Duration::from_secs(10)).expect("it is done");
    }

    #[test]
    fn every_job_is_done() {
        let waiters = Waiters::default();
        let (done, results) = mpsc::channel();
        for n in 0..200 {
            let done = done.clone();
            waiters.run(Box::new(move || done.send(n).expect("somebody listens")));
        }
        drop(done);
        let mut all: Vec<i32> = results.iter().collect();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
        assert!(waiters.0.0.lock().threads <= WAITERS_MAX);
    }
}
