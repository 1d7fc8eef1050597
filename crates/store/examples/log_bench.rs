//! Measures what a durable commit costs beside a raw log on the same disk:
//! `cargo run --release --example log_bench -- DIR [SECONDS] [ROUNDS]`.
//!
//! DIR is made. So many threads hand over 1 KiB each in a closed loop; in turn to a thread that only
//! writes them to a preallocated file of zeros and syncs, and to a store with its drivers on threads.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use store::blobs::block_on;
use store::disk::FsDisk;
use store::engine::Step;
use store::{Scope, Store, StoreError, StoreOptions, Table, Wake};

const PAYLOAD_BYTES: usize = 1024;
const RAW_BYTES: u64 = 256 << 20;
const WRITERS: [usize; 3] = [1, 16, 64];

store::row! {
    struct PayloadRow {
        1 => bytes: Vec<u8>,
    }
}

const PAYLOADS: Table<u64, PayloadRow> = Table::new(0x0101, "bench.payload");

/// The log waits for a crowd by the time that a group takes, so this clock has to go.
struct Running(Instant);

impl base::Clock for Running {
    fn now(&self) -> base::Timestamp {
        base::Timestamp::from_millis(self.monotonic_ns() as i64 / 1_000_000)
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Processor time of the process, in seconds.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

/// `write` by so many threads until the time is over: writes a second, and microseconds of the
/// processors for each.
#[allow(clippy::disallowed_methods, reason = "a benchmark has threads and measures time")]
fn closed_loop(writers: usize, time: Duration, write: impl Fn(u64) + Sync) -> (f64, f64) {
    let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (started, cpu) = (Instant::now(), cpu_seconds());
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    write(next.fetch_add(1, Relaxed));
                }
            });
        }
        while let Some(left) = time.checked_sub(started.elapsed()) {
            std::thread::park_timeout(left);
        }
        over.store(true, Relaxed);
    });
    let count = next.load(Relaxed) as f64;
    (count / started.elapsed().as_secs_f64(), (cpu_seconds() - cpu) * 1e6 / count)
}

type Handed = (Vec<u8>, std::thread::Thread, Arc<AtomicBool>);

#[allow(clippy::disallowed_methods, reason = "a benchmark owns its file")]
fn raw_file(path: &Path) -> File {
    let file = File::options().create(true).write(true).truncate(true).open(path);
    let file = file.expect("the raw log is made");
    let zeros = vec![0; 1 << 20];
    (0..RAW_BYTES).step_by(1 << 20).for_each(|at| file.write_all_at(&zeros, at).expect("zeros"));
    file.sync_all().expect("synced");
    file
}

/// Everything that was handed over, in one write and one sync.
fn raw_log(file: &File, handed: &Receiver<Handed>) {
    let (mut at, mut bytes) = (0, Vec::new());
    while let Ok(first) = handed.recv() {
        let group: Vec<Handed> = std::iter::once(first).chain(handed.try_iter()).collect();
        bytes.clear();
        group.iter().for_each(|(payload, ..)| bytes.extend_from_slice(payload));
        if at + bytes.len() as u64 > RAW_BYTES {
            at = 0;
        }
        file.write_all_at(&bytes, at).expect("written");
        file.sync_data().expect("synced");
        at += bytes.len() as u64;
        for (_, writer, done) in group {
            done.store(true, std::sync::atomic::Ordering::Release);
            writer.unpark();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a benchmark has threads")]
fn raw(file: &File, writers: usize, time: Duration) -> (f64, f64) {
    let (send, handed): (SyncSender<Handed>, _) = sync_channel(1024);
    std::thread::scope(|scope| {
        scope.spawn(move || raw_log(file, &handed));
        let figures = closed_loop(writers, time, |_| {
            let done = Arc::new(AtomicBool::new(false));
            let one = (vec![0x5a; PAYLOAD_BYTES], std::thread::current(), done.clone());
            send.send(one).expect("the log runs");
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                std::thread::park();
            }
        });
        drop(send);
        figures
    })
}

#[allow(clippy::disallowed_methods, reason = "a benchmark has threads")]
fn ours(folder: &Path, writers: usize, time: Duration) -> (f64, f64, f64) {
    let disk = Arc::new(FsDisk::open(folder, "log_bench").expect("the folder opens"));
    let clock = Arc::new(Running(Instant::now()));
    let options = StoreOptions::new(clock, Arc::new(base::SeededEntropy::new(1)));
    let (store, mut drivers) = Store::open(disk, options).expect("the store opens");
    std::thread::scope(|scope| {
        scope.spawn(move || while drivers.log.drive() == Wake::Work {});
        scope.spawn(move || {
            loop {
                let wake = drivers.maintenance.wait();
                while drivers.maintenance.step() == Step::Worked {}
                if wake == Wake::Closed {
                    return;
                }
            }
        });
        let write = |number: u64| {
            let row = PayloadRow { bytes: vec![0x5a; PAYLOAD_BYTES] };
            let put = |tx: &mut store::Tx| tx.put(&PAYLOADS, &Scope::Global, &number, &row);
            block_on(store.write(put)).unwrap_or_else(|error: StoreError| panic!("{error}"));
        };
        // Segments are made and the first files written before the clock runs.
        closed_loop(writers, time / 2, write);
        let groups = || store.metrics().groups.load(Relaxed) as f64;
        let before = groups();
        let (rate, cpu_us) = closed_loop(writers, time, write);
        let a_group = rate * time.as_secs_f64() / (groups() - before).max(1.0);
        store.close();
        (rate, cpu_us, a_group)
    })
}

#[allow(clippy::disallowed_methods, reason = "a benchmark has arguments")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("a folder for the data");
    let folder = Path::new(&folder);
    let seconds = arguments.next().map_or(1.0, |n| n.parse().expect("seconds"));
    let rounds = arguments.next().map_or(3, |n| n.parse().expect("a number of rounds"));
    std::fs::create_dir_all(folder).expect("the folder is made");
    let file = raw_file(&folder.join("raw"));
    for round in 0..rounds {
        for writers in WRITERS {
            let time = Duration::from_secs_f64(seconds);
            let (raw_rate, raw_cpu) = raw(&file, writers, time);
            let own = folder.join(format!("store-{round}-{writers}"));
            let (rate, cpu, a_group) = ours(&own, writers, time);
            std::fs::remove_dir_all(&own).expect("the folder goes");
            println!(
                "{writers:3} writers: raw {raw_rate:8.0}/s {raw_cpu:5.1} us, store {rate:8.0}/s \
                 {cpu:5.1} us, {a_group:4.1} a group; {:.2} of the raw log",
                rate / raw_rate
            );
        }
    }
}
