//! Memory: idle, after many objects, and what a very long upload adds.

use super::{Bench, Field, large_store, make_bucket};
use crate::client::{self, Until};
use crate::contestant::Kind;
use crate::process::Server;
use crate::report::{Samples, Table, Verdict, figure};
use crate::request::{BUCKET, Body, Requests, noise};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const IDLE: &str = "idle";
const ADDED: &str = "added";
const LARGE: &str = "cumulet, large store";

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// After start-up work has ended: the lowest of a second's samples.
fn idle_kib(server: &Server) -> u64 {
    let sample = |_| {
        thread::sleep(Duration::from_millis(100));
        server.pss_kib()
    };
    (0..10).map(sample).min().unwrap_or_default()
}

/// The most that was used at any time of the upload, above what was used before.
fn added_by_upload(server: &Server, bytes: u64) -> Result<u64, String> {
    let before = server.pss_kib();
    let body = Body::endless(noise(1024 * 1024), bytes);
    let path = std::iter::once(format!("/{BUCKET}/upload"));
    let requests = Requests::sign(server.address, "PUT", path, body);
    let over = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Acquire) {
                most = most.max(server.pss_kib());
                thread::sleep(Duration::from_millis(50));
            }
            most
        });
        let sent = client::drive(server, requests, 1, Until::Count(1));
        over.store(true, Ordering::Release);
        let most = watch.join().map_err(|_| "the watch panicked".to_owned())?;
        sent.map(|_| most)
    })?;
    Ok(most.saturating_sub(before))
}

pub fn measure(bench: &Bench) -> Result<Table, String> {
    let dir = bench.folder("memory")?;
    let who = bench.of_kind(&[Kind::Cumulet, Kind::Peer]);
    let mut samples = Samples::default();
    let mut field = Field::start(&who, &dir, |_, _| Ok(()))?;
    field.round(|kind, server| {
        samples.add(server.name, IDLE, mib(idle_kib(server)));
        // A peer that keeps objects in memory would only use up the machine's.
        if kind == Kind::Cumulet {
            make_bucket(server)?;
            let added = added_by_upload(server, bench.scale.upload_bytes)?;
            samples.add(server.name, ADDED, mib(added));
        }
        Ok(())
    })?;
    let large = bench.cumulet()?.start(&large_store(bench)?)?;
    samples.add(LARGE, IDLE, mib(idle_kib(&large)));
    let names: Vec<&'static str> = field.servers.iter().map(|(_, server)| server.name).collect();
    let row = |name: &'static str| {
        let figures = [IDLE, ADDED].map(|what| figure(samples.median(name, what)));
        std::iter::once(name.to_owned()).chain(figures).collect()
    };
    let mut verdicts = Vec::new();
    for (what, text, bound) in [(IDLE, "idle", 20.0), (ADDED, "added by the upload", 50.0)] {
        if let Some(seen) = samples.median("cumulet", what) {
            verdicts.push(Verdict::at_most(text, seen, bound, "MiB"));
        }
    }
    let gib = bench.scale.upload_bytes / (1024 * 1024 * 1024);
    Ok(Table {
        title: format!("Memory: proportional set size, and an upload of {gib} GiB"),
        columns: vec!["", "idle MiB", "added MiB"],
        rows: names.into_iter().chain([LARGE]).map(row).collect(),
        verdicts,
        remarks: field.remarks,
    })
}
