//! Saving the state of a large store under load, and restoring it elsewhere.

use super::{Bench, ask, check_object, large_store, make_bucket, small};
use crate::client::{self, Until};
use crate::contestant::Kind;
use crate::process::Server;
use crate::report::{Samples, Table, Verdict, figure};
use crate::request::{BUCKET, Body, Requests, noise, object};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "cumulet";
const SAVE: &str = "save";
const RESTORE: &str = "restore";
const ANSWER: &str = "answer";
const LATE: &str = "late";
const CONNECTIONS: usize = 16;
const MEBIBYTE: u64 = 1 << 20;

/// Objects beside the small ones, so that every place of a blob takes part: one in two of a MiB,
/// which lie together in segments, and the rest of two, which are files of their own.
fn add_larger(server: &Server, bytes: u64) -> Result<(), String> {
    let count = bytes / (3 * MEBIBYTE);
    for (kind, mebibytes) in [("segment", 1), ("file", 2)] {
        let body = Body::whole(noise((mebibytes * MEBIBYTE) as usize));
        let paths = (0..count).map(|n| format!("/{BUCKET}/{kind}/{n:06}"));
        let requests = Requests::sign(server.address, "PUT", paths, body);
        client::drive(server, requests, 8, Until::Count(count))?;
    }
    Ok(())
}

/// Runs a command of the program to its end; milliseconds.
fn command(bench: &Bench, data: &Path, words: &[&str]) -> Result<f64, String> {
    let mut command = Command::new(bench.cumulet()?.program());
    command.args(words).arg("--data").arg(data);
    let started = Instant::now();
    let output = command.output().map_err(|e| format!("{words:?}: {e}"))?;
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    match output.status.success() {
        true => Ok(ms),
        false => Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Puts small objects, a second at a time, until told to stop; the latest answer in milliseconds.
fn load(server: &Server, stop: &AtomicBool) -> Result<f64, String> {
    let mut latest_us: f64 = 0.0;
    let mut from = 0;
    while !stop.load(Ordering::Acquire) {
        let paths = (from..from + 20_000).map(|n| format!("/{BUCKET}/meanwhile/{n:08}"));
        let requests = Requests::sign(server.address, "PUT", paths, small::object_body());
        let until = Until::Passed(Duration::from_millis(300));
        let mut outcome = client::drive(server, requests, CONNECTIONS, until)?;
        latest_us = latest_us.max(outcome.latency_us(1.0));
        from += 20_000;
    }
    Ok(latest_us / 1000.0)
}

pub fn measure(bench: &Bench) -> Result<Table, String> {
    let large = large_store(bench)?;
    let ours = bench.cumulet()?;
    let server = ours.start(&large)?;
    make_bucket(&server)?;
    add_larger(&server, bench.scale.snapshot_bytes)?;
    let data = large.join(NAME).join("data");
    let mut samples = Samples::default();
    for round in 0..bench.scale.rounds {
        let name = format!("round-{round}");
        let stop = AtomicBool::new(false);
        let saved = thread::scope(|scope| {
            let writers = scope.spawn(|| load(&server, &stop));
            // The load is under way, and has been for a moment.
            thread::sleep(Duration::from_millis(700));
            let saved = command(bench, &data, &["snapshot", "save", &name]);
            stop.store(true, Ordering::Release);
            let late = writers.join().map_err(|_| "the writers panicked".to_owned())?;
            Ok::<_, String>((saved?, late?))
        })?;
        samples.add(NAME, SAVE, saved.0);
        samples.add(NAME, LATE, saved.1);
        restore(bench, &data, &name, &mut samples)?;
        command(bench, &data, &["snapshot", "remove", &name])?;
    }
    let row = |what: &str, key| vec![what.to_owned(), figure(samples.median(NAME, key))];
    let mut verdicts = Vec::new();
    for (what, key, bound) in [("saved under load", SAVE, 1000.0), ("restored", RESTORE, 5000.0)] {
        if let Some(ms) = samples.median(NAME, key) {
            verdicts.push(Verdict::at_most(what, ms, bound, "ms"));
        }
    }
    let (objects, gib) = (bench.scale.objects, bench.scale.snapshot_bytes >> 30);
    Ok(Table {
        title: format!("A snapshot of {objects} objects and {gib} GiB, the commands themselves"),
        columns: vec!["", "ms"],
        rows: vec![
            row("snapshot save, 16 connections writing", SAVE),
            row("the latest answer to a write meanwhile", LATE),
            row("snapshot restore into another folder of the file system", RESTORE),
            row("first answer of a cloud on what was restored", ANSWER),
        ],
        verdicts,
        remarks: Vec::new(),
    })
}

fn restore(bench: &Bench, data: &Path, name: &str, samples: &mut Samples) -> Result<(), String> {
    let home = bench.folder(&format!("restored-{name}"))?;
    let to = home.join(NAME).join("data");
    fs::create_dir_all(home.join(NAME)).map_err(|e| format!("{}: {e}", home.display()))?;
    let target = to.display().to_string();
    samples.add(
        NAME,
        RESTORE,
        command(bench, data, &["snapshot", "restore", name, "--to", &target])?,
    );
    let started = Instant::now();
    let there = bench.of_kind(&[Kind::Cumulet]).first().map(|one| one.start(&home));
    let there = there.ok_or("cumulet itself is missing")??;
    check_object(&there, &object(bench.scale.objects / 2), &small::object_body().pattern)?;
    samples.add(NAME, ANSWER, started.elapsed().as_secs_f64() * 1000.0);
    ask(there.address, "GET", &format!("/{BUCKET}/file/000000"), &Body::none())?;
    drop(there);
    fs::remove_dir_all(&home).map_err(|e| format!("{}: {e}", home.display()))
}
