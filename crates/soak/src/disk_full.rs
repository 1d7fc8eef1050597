//! A data folder on a file system that fills up: a clear refusal, reads and deletes go on, writes
//! come back with the space.

use crate::client::Client;
use crate::load::{BUCKET, Load};
use crate::rounds::scratch;
use crate::server::{Program, Server};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::path::Path;
use std::time::{Duration, Instant};

const SIZE: &std::ffi::CStr = c"size=640m,mode=0700";
const OBJECT_BYTES: usize = 1 << 20;
const OBJECTS_MAX: usize = 1000;
/// A body that is still being sent when it is refused.
const LARGE_BYTES: usize = 24 << 20;
/// Freed blobs wait for old readers and the sweeper.
const SPACE_COMES_BACK: Duration = Duration::from_secs(20);

/// Which objects are deleted to make room.
#[derive(Clone, Copy, PartialEq)]
enum Deleted {
    OlderHalf,
    /// So that every segment stays half alive.
    EverySecond,
}

pub fn run(program: &Program) -> Result<String, String> {
    let mut said = Vec::new();
    for which in [Deleted::OlderHalf, Deleted::EverySecond] {
        said.push(run_with(program, which)?);
    }
    Ok(said.join("; "))
}

fn run_with(program: &Program, which: Deleted) -> Result<String, String> {
    let at = scratch()?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("cumulet-soak", &at, "tmpfs", flags, Some(SIZE))
        .map_err(|e| format!("mounting on {}: {e}", at.display()))?;
    let result = fill(program, &at, which);
    unmount(&at, UnmountFlags::DETACH).map_err(|e| format!("unmounting: {e}"))?;
    let _ = std::fs::remove_dir(&at);
    result
}

fn fill(program: &Program, at: &Path, which: Deleted) -> Result<String, String> {
    let load = Load::default();
    let mut server = Server::spawn(program, at)?;
    let (address, _) = server.answers(BUCKET)?;
    let mut http = Client::new(address);
    http.ask("PUT", BUCKET, "", b"")?;
    let mut stored = Vec::new();
    let full = loop {
        let key = format!("fill/{:04}", stored.len());
        if load.put(&mut http, &key, OBJECT_BYTES)?.is_none() {
            break key;
        }
        stored.push(key);
        if stored.len() > OBJECTS_MAX {
            return Err("it never became full".to_owned());
        }
    };
    for length in [OBJECT_BYTES, LARGE_BYTES] {
        refused_clearly(&mut http, &format!("{BUCKET}/{full}"), length)?;
    }
    // Small ones too, until they are refused or the reserve has taken many.
    let small = (0..5000).find_map(|n| match load.put(&mut http, &format!("small/{n}"), 1000) {
        Ok(Some(_)) => None,
        Ok(None) => Some(Ok(n)),
        Err(wrong) => Some(Err(wrong)),
    });
    let small = small.transpose()?;
    load.verify(address)?;
    for (number, key) in stored.iter().enumerate() {
        let goes = match which {
            Deleted::OlderHalf => number < stored.len() / 2,
            Deleted::EverySecond => number % 2 == 0,
        };
        if goes {
            delete(&load, &mut http, key)?;
        }
    }
    let resumed = resumes(&load, &mut http, stored.len())?;
    load.verify(address)?;
    server.kill();
    let mut server = Server::spawn(program, at)?;
    let (address, _) = server.answers(BUCKET)?;
    load.verify(address)?;
    if let Some(log) = server.panicked() {
        load.found(format!("it panicked:\n{log}"));
    }
    let findings = load.take_findings();
    if !findings.is_empty() {
        return Err(findings.join("\n  "));
    }
    let small =
        small.map_or("none of 5,000 small ones".to_owned(), |n| format!("small ones at {n}"));
    let which = match which {
        Deleted::OlderHalf => "the older half was",
        Deleted::EverySecond => "every second was",
    };
    Ok(format!(
        "full after {} objects of 1 MiB, {small} refused; writes resumed {} ms after {which} deleted",
        stored.len(),
        resumed.as_millis()
    ))
}

/// The refusal is one that a client understands: a status, a code, a message, a request id.
fn refused_clearly(http: &mut Client, path: &str, length: usize) -> Result<(), String> {
    let answer = http.ask("PUT", path, "", &vec![1; length])?;
    let code = answer.element("Code").unwrap_or_default();
    let message = answer.element("Message").unwrap_or_default();
    let known = matches!(answer.status, 503 | 507) && !code.is_empty() && !message.is_empty();
    if known && answer.header("x-amz-request-id").is_some() {
        return Ok(());
    }
    Err(format!("a full disk is answered by {}\n{}", answer.text(), answer.head))
}

fn delete(load: &Load, http: &mut Client, key: &str) -> Result<(), String> {
    let change = load.oracle.begin(key, None);
    let answer = http.ask("DELETE", &format!("{BUCKET}/{key}"), "", b"")?;
    if answer.status != 204 {
        return Err(format!("DELETE on a full disk: {}", answer.text()));
    }
    load.oracle.done(key, change);
    Ok(())
}

fn resumes(load: &Load, http: &mut Client, stored: usize) -> Result<Duration, String> {
    let started = Instant::now();
    while started.elapsed() < SPACE_COMES_BACK {
        if load.put(http, "again", OBJECT_BYTES)?.is_some() {
            return Ok(started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!(
        "no writes {} s after half of {stored} objects was deleted",
        SPACE_COMES_BACK.as_secs()
    ))
}
