//! Measures the index engine on the real disk: `cargo run --release --example lsm_bench -- DIR [KEYS] [PHASES]`.
//!
//! DIR is made and should be empty; KEYS (a million unless told) of 100 bytes with values of 1 KiB;
//! PHASES are some of load,read,cached,overwrite, in this order: memory is best seen in a process of
//! its own.
//! Times are of the processor, per thread, so that other work on the machine disturbs little; what
//! is on the wall is given beside.

use bytes::Bytes;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use store::disk::{Disk, FsDisk};
use store::engine::{Engine, Step};
use store::lsm::{Lsm, Options};

const KEY_BYTES: usize = 100;
const VALUE_BYTES: usize = 1024;
const BATCH: u64 = 100;
/// Where a store would begin to hold writers back.
const UNFLUSHED_BYTES_MAX: u64 = 96 << 20;

struct Timer {
    wall: std::time::Instant,
    cpu_ns: u64,
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
impl Timer {
    fn start() -> Self {
        Self { wall: std::time::Instant::now(), cpu_ns: Self::cpu_ns() }
    }

    /// Time that this thread was on a processor.
    fn cpu_ns() -> u64 {
        let text = std::fs::read("/proc/thread-self/schedstat").unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    /// Seconds on the processor and on the wall.
    fn stop(&self) -> (f64, f64) {
        let cpu = (Self::cpu_ns() - self.cpu_ns) as f64 / 1e9;
        (cpu, self.wall.elapsed().as_secs_f64())
    }
}

fn report(what: &str, count: u64, (cpu, wall): (f64, f64)) {
    let (cpu_ns, rate) = (cpu * 1e9 / count as f64, count as f64 / wall);
    println!("{what:44} {cpu_ns:9.0} ns cpu each {rate:12.0} /s   ({cpu:.2} s cpu, {wall:.2} s)");
}

/// Numbers spread over their range, each once.
fn spread(number: u64, keys: u64) -> u64 {
    number.wrapping_mul(2_654_435_761) % keys
}

fn key(number: u64) -> Bytes {
    let mut key = format!("bucket-of-somebody/objects/2026/{number:016}/").into_bytes();
    key.resize(KEY_BYTES, b'x');
    Bytes::from(key)
}

fn value(number: u64, round: u64) -> Bytes {
    let mut state = number.wrapping_mul(31).wrapping_add(round) | 1;
    let mut value = Vec::with_capacity(VALUE_BYTES);
    while value.len() < VALUE_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value.extend_from_slice(&state.to_le_bytes());
    }
    Bytes::from(value)
}

fn open(disk: &Arc<FsDisk>, cache_bytes: usize) -> Lsm {
    let options = Options { cache_bytes, ..Options::default() };
    Lsm::open(Arc::clone(disk) as _, "index", options).expect("the engine opens")
}

fn memory() -> String {
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures memory")]
    let text = std::fs::read("/proc/self/status").unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| line.starts_with("VmRSS"));
    line.unwrap_or_default().split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

fn size_bytes(disk: &FsDisk) -> u64 {
    let names = disk.list("index").expect("the folder is listed");
    let size = |name: &String| {
        let file = disk.open(&format!("index/{name}"), store::disk::OpenMode::Read);
        file.and_then(|file| file.len()).unwrap_or(0)
    };
    names.iter().map(size).sum()
}

fn settle(engine: &Lsm, version: u64) {
    while engine.maintain(version).expect("maintenance works") == Step::Worked {}
}

/// Writes every key once, in an order all over; the last version.
fn load(engine: &Lsm, keys: u64, round: u64, mut version: u64) -> u64 {
    let (timer, mut longest) = (Timer::start(), 0f64);
    let mut flushes = 0;
    for first in (0..keys).step_by(BATCH as usize) {
        let batch: Vec<(Bytes, Option<Bytes>)> = (first..(first + BATCH).min(keys))
            .map(|number| spread(number, keys))
            .map(|number| (key(number), Some(value(number, round))))
            .collect();
        version += 1;
        engine.apply(&batch, version);
        engine.set_horizon(version);
        // As a thread of low priority would, about as often as there is work.
        while engine.unflushed_bytes() > UNFLUSHED_BYTES_MAX {
            let step = Timer::start();
            engine.maintain(version).expect("maintenance works");
            longest = longest.max(step.stop().1);
            flushes += 1;
        }
    }
    report(&format!("load, round {round}"), keys, timer.stop());
    println!("{flushes} steps, the longest {:.1} ms", longest * 1e3);
    let rest = Timer::start();
    // There is no log here to replay the last memtable from.
    engine.freeze(version).expect("freezes");
    settle(engine, version);
    report("  and what was left to merge", keys, rest.stop());
    report("  in all", keys, timer.stop());
    version
}

/// Random gets on two threads, of the first so many of the spread keys.
fn gets(what: &str, engine: &Lsm, keys: u64, among: u64, count: u64, at: u64) {
    const AT_ONCE: u64 = 1_000;
    let get = |thread: u64| {
        let (mut cpu, mut wall) = (0.0, 0.0);
        for first in (0..count / 2).step_by(AT_ONCE as usize) {
            let wanted: Vec<Bytes> = (first..(first + AT_ONCE).min(count / 2))
                .map(|number| (number * 7_919 + thread * 104_729) % among)
                .map(|number| key(spread(number, keys)))
                .collect();
            let timer = Timer::start();
            for key in &wanted {
                let found = engine.get(key, at).expect("reads");
                assert!(found.is_some_and(|value| value.len() == VALUE_BYTES));
            }
            let (more_cpu, more_wall) = timer.stop();
            cpu += more_cpu;
            wall += more_wall;
        }
        (cpu, wall)
    };
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(|| get(1));
        (get(0), other.join().expect("a thread ends"))
    });
    report(what, count, (one.0 + two.0, one.1.max(two.1)));
}

fn absent(engine: &Lsm, count: u64, at: u64) {
    let keys: Vec<Bytes> =
        (0..count).map(|number| key(number % 1_000_000).slice(..KEY_BYTES - 1)).collect();
    let timer = Timer::start();
    for key in &keys {
        assert!(engine.get(key, at).expect("reads").is_none());
    }
    report("get of absent keys", count, timer.stop());
}

fn scans(what: &str, engine: &Lsm, keys: u64, rounds: u64, reverse: bool, at: u64) {
    let timer = Timer::start();
    let mut seen = 0;
    for round in 0..rounds {
        let first = spread(round * 7_907 + 1, keys - 1_001);
        let range = (Bound::Included(key(first)), Bound::Excluded(key(first + 1_000)));
        let mut cursor = engine.scan(range, at, reverse);
        while cursor.next().expect("reads").is_some() {
            seen += 1;
        }
    }
    assert_eq!(seen, rounds * 1_000);
    report(what, seen, timer.stop());
}

/// Listing with a delimiter: one key, then past all that share its beginning.
fn seeks(engine: &Lsm, keys: u64, at: u64) {
    let timer = Timer::start();
    let mut cursor = engine.scan((Bound::Unbounded, Bound::Unbounded), at, false);
    let (stride, mut count) = ((keys / 10_000).max(1), 0);
    for number in (0..keys).step_by(stride as usize) {
        cursor.seek(&key(number)).expect("seeks");
        assert!(cursor.next().expect("reads").is_some());
        count += 1;
    }
    report("seek ahead and next", count, timer.stop());
}

fn whole(what: &str, engine: &Lsm, at: u64) -> u64 {
    let timer = Timer::start();
    let mut cursor = engine.scan((Bound::Unbounded, Bound::Unbounded), at, false);
    let mut seen = 0;
    while cursor.next().expect("reads").is_some() {
        seen += 1;
    }
    report(what, seen.max(1), timer.stop());
    seen
}

fn read(disk: &Arc<FsDisk>, keys: u64) {
    let timer = Timer::start();
    let engine = open(disk, 64 << 20);
    report("open", 1, timer.stop());
    let at = engine.flushed();
    println!("memory after open: {}", memory());
    gets("get, first touch of every table", &engine, keys, keys, 20_000, at);
    println!("memory with filters, indexes and full cache: {}", memory());
    gets("get, block cache warming", &engine, keys, 4_000, 8_000, at);
    gets("get, block cache warm", &engine, keys, 4_000, 1_000_000, at);
    gets("get, block cache cold", &engine, keys, keys, 400_000, at);
    absent(&engine, 1_000_000, at);
    scans("scan of 1,000, block cache cold", &engine, keys, 1_000, false, at);
    scans("scan of 1,000, block cache cold, reverse", &engine, keys, 1_000, true, at);
    scans("scan of 1,000, block cache warm", &engine, 21_001, 1_000, false, at);
    seeks(&engine, keys, at);
    whole("scan of everything", &engine, at);
    println!("memory: {}", memory());
}

/// With all of a store in the block cache.
fn cached(disk: &Arc<FsDisk>, keys: u64) {
    let engine = open(disk, 2 << 30);
    let at = engine.flushed();
    for number in 0..keys {
        engine.get(&key(number), at).expect("reads");
    }
    gets("get, all in block cache", &engine, keys, keys, 1_000_000, at);
    scans("scan of 1,000, all in block cache", &engine, keys, 3_000, false, at);
    scans("scan of 1,000, all in block cache, reverse", &engine, keys, 1_000, true, at);
}

fn overwrite(disk: &Arc<FsDisk>, keys: u64) {
    let engine = open(disk, 64 << 20);
    let mut version = engine.flushed();
    for round in 2..=3 {
        version = load(&engine, keys, round, version);
        println!("on disk: {} MB", size_bytes(disk) >> 20);
    }
    let batch: Vec<_> = (0..keys / 10).map(|number| (key(number), None)).collect();
    for batch in batch.chunks(1000) {
        version += 1;
        engine.apply(batch, version);
    }
    engine.set_horizon(version);
    whole("scan past a tenth just deleted", &engine, version);
    let timer = Timer::start();
    let frozen = engine.freeze(version).expect("freezes");
    report("freeze", 1, timer.stop());
    drop(frozen);
    settle(&engine, version);
    whole("scan past a tenth deleted, settled", &engine, version);
    println!("on disk: {} MB; memory {}", size_bytes(disk) >> 20, memory());
    let timer = Timer::start();
    assert_eq!(engine.check().expect("reads"), Vec::<String>::new());
    report("check of everything", keys, timer.stop());
}

#[allow(clippy::disallowed_methods, reason = "a benchmark has arguments")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("a folder for the data");
    let keys = arguments.next().map_or(1_000_000, |keys| keys.parse().expect("a number of keys"));
    let phases = arguments.next().unwrap_or_else(|| "load,read,cached,overwrite".to_owned());
    let disk = Arc::new(FsDisk::open(Path::new(&folder), "lsm_bench").expect("the folder opens"));
    println!("memory at first: {}", memory());
    for phase in phases.split(',') {
        match phase {
            "load" => {
                let engine = open(&disk, 64 << 20);
                load(&engine, keys, 1, 0);
                let live = keys * (KEY_BYTES + VALUE_BYTES) as u64;
                let (size, memory) = (size_bytes(&disk) >> 20, memory());
                println!("on disk: {size} MB for {} MB; memory {memory}", live >> 20);
            }
            "read" => read(&disk, keys),
            "cached" => cached(&disk, keys),
            "overwrite" => overwrite(&disk, keys),
            _ => panic!("{phase} is none of load, read, cached, overwrite"),
        }
    }
}
