//! The floors of the disk: what a log that does nothing else can commit, and what `dd` can write.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::client::Outcome;
use crate::process;

const LOG_BYTES: u64 = 256 * 1024 * 1024;
const PAYLOAD_BYTES: usize = 1024;
const RECORD_BYTES: usize = PAYLOAD_BYTES + 16;

/// What writers hand to the commit thread.
#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
    closed: bool,
}

struct Waiting {
    done: Arc<AtomicBool>,
    writer: Thread,
}

#[derive(Default)]
struct Log {
    queue: Mutex<Queue>,
    handed: Condvar,
    written: AtomicU64,
}

/// A preallocated file that is overwritten: zeros on the disk, so that a sync has no new blocks to
/// note. Made once and used by every round.
pub fn preallocate(path: &Path) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let zeros = vec![0; 1024 * 1024];
    let file = File::create(path).map_err(failed)?;
    for at in (0..LOG_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, at).map_err(failed)?;
    }
    file.sync_all().map_err(failed)
}

/// `writers` threads hand a payload each to one commit thread, wait until it is synced, and go on.
pub fn raw_log(path: &Path, writers: usize, time: Duration) -> Result<Outcome, String> {
    let file = File::options().write(true).open(path);
    let file = file.map_err(|e| format!("{}: {e}", path.display()))?;
    let log = Log::default();
    let deadline = Instant::now() + time;
    let started = Instant::now();
    let cpu = || process::cpu_us(std::process::id()).unwrap_or_default();
    let cpu_us = cpu();
    let committed = thread::scope(|scope| {
        let commits = scope.spawn(|| commit(&log, &file));
        let writers: Vec<_> =
            (0..writers).map(|_| scope.spawn(|| write_until(&log, deadline))).collect();
        for writer in writers {
            // A writer has nothing to fail with.
            let _ = writer.join();
        }
        log.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        log.handed.notify_one();
        commits.join().unwrap_or_else(|_| Err("the commit thread panicked".to_owned()))
    });
    committed?;
    let seconds = started.elapsed().as_secs_f64();
    let answers = log.written.load(Ordering::Relaxed);
    Ok(Outcome { answers, seconds, cpu_us: cpu().saturating_sub(cpu_us), latencies_us: Vec::new() })
}

fn write_until(log: &Log, deadline: Instant) {
    let payload = [0x5a; RECORD_BYTES];
    let done = Arc::new(AtomicBool::new(false));
    while Instant::now() < deadline {
        done.store(false, Ordering::Relaxed);
        {
            let mut queue = log.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.bytes.extend_from_slice(&payload);
            queue.waiting.push(Waiting { done: done.clone(), writer: thread::current() });
        }
        log.handed.notify_one();
        while !done.load(Ordering::Acquire) {
            thread::park();
        }
        log.written.fetch_add(1, Ordering::Relaxed);
    }
}

fn commit(log: &Log, file: &File) -> Result<(), String> {
    let mut at = 0;
    let mut bytes = Vec::new();
    let mut waiting = Vec::new();
    loop {
        {
            let mut queue = log.queue.lock().unwrap_or_else(PoisonError::into_inner);
            while queue.bytes.is_empty() {
                if queue.closed {
                    return Ok(());
                }
                queue = log.handed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut queue.bytes, &mut bytes);
            std::mem::swap(&mut queue.waiting, &mut waiting);
        }
        if at + bytes.len() as u64 > LOG_BYTES {
            at = 0;
        }
        let synced = file.write_all_at(&bytes, at).and_then(|()| file.sync_data());
        at += bytes.len() as u64;
        bytes.clear();
        for one in waiting.drain(..) {
            one.done.store(true, Ordering::Release);
            one.writer.unpark();
        }
        synced.map_err(|e| format!("the raw log: {e}"))?;
    }
}

/// Seconds for `dd` to write and sync a file of that many MiB.
pub fn dd(dir: &Path, mebibytes: u64) -> Result<f64, String> {
    let path = dir.join("dd");
    // Like an upload it makes a new file: overwriting one would first free the old blocks.
    let _ = fs::remove_file(&path);
    let started = Instant::now();
    let output = Command::new("dd")
        .arg("if=/dev/zero")
        .arg(format!("of={}", path.display()))
        .args(["bs=1M", &format!("count={mebibytes}"), "conv=fsync"])
        .output()
        .map_err(|e| format!("cannot start dd: {e}"))?;
    let seconds = started.elapsed().as_secs_f64();
    let _ = fs::remove_file(&path);
    if !output.status.success() {
        return Err(format!("dd failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_writer_is_answered() {
        let path = std::env::temp_dir().join(format!("bench-log-{}", std::process::id()));
        fs::write(&path, [0; 4096]).expect("a file");
        let outcome = raw_log(&path, 4, Duration::from_millis(20)).expect("runs");
        fs::remove_file(&path).expect("removed");
        assert!(outcome.answers >= 4);
    }
}
