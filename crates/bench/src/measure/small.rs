//! Requests of 1 KiB: reads from 32 connections, durable writes from 64.

use super::{Bench, Field, check_object, fill, large_store, make_bucket};
use crate::client::{self, Outcome, Until};
use crate::contestant::Kind;
use crate::disk_floor;
use crate::hyper_floor::OBJECT_BYTES;
use crate::machine;
use crate::process::Server;
use crate::report::{Samples, Table, Verdict, figure};
use crate::request::{Body, Chance, Requests, noise, object};

const GET_CONNECTIONS: usize = 32;
const PUT_CONNECTIONS: usize = 64;
/// The objects that a cached read chooses from.
const FEW_OBJECTS: u64 = 1000;
/// Signed for each round, more than any server reads in one.
const REQUESTS: u64 = 100_000;
const COLUMNS: [&str; 5] =
    ["", "requests/s", "server CPU us/request", "median latency us", "p99 us"];

pub(super) const RATE: &str = "rate";
pub(super) const CPU: &str = "cpu";
pub(super) const MIDDLE: &str = "middle";
pub(super) const LATE: &str = "late";
/// Share of the machine's processors that worked, in percent.
const BUSY: &str = "busy";
const RAW_LOG: &str = "raw log";

pub fn object_body() -> Body {
    Body::whole(noise(OBJECT_BYTES))
}

pub(super) fn keep(samples: &mut Samples, name: &'static str, outcome: &mut Outcome) {
    samples.add(name, RATE, outcome.per_second());
    samples.add(name, CPU, outcome.cpu_us_each());
    if !outcome.latencies_us.is_empty() {
        samples.add(name, MIDDLE, outcome.latency_us(0.5));
        samples.add(name, LATE, outcome.latency_us(0.99));
    }
}

pub(super) fn rows(
    samples: &Samples,
    names: impl Iterator<Item = &'static str>,
) -> Vec<Vec<String>> {
    names
        .map(|name| {
            let figures = [RATE, CPU, MIDDLE, LATE].map(|what| figure(samples.median(name, what)));
            std::iter::once(name.to_owned()).chain(figures).collect()
        })
        .collect()
}

/// Ours, less the floor's, in server CPU.
fn above_floor(samples: &Samples, bound: f64) -> Option<Verdict> {
    let floor = samples.median("bare hyper", CPU)?;
    let ours = samples.median("cumulet", CPU)?;
    Some(Verdict::at_most("server CPU above bare hyper", ours - floor, bound, "us"))
}

fn get(
    server: &Server,
    numbers: impl Iterator<Item = u64>,
    bench: &Bench,
) -> Result<Outcome, String> {
    let paths = numbers.map(object);
    let requests = Requests::sign(server.address, "GET", paths, Body::none());
    client::drive(server, requests, GET_CONNECTIONS, Until::Passed(bench.scale.time))
}

pub fn get_cached(bench: &Bench) -> Result<Table, String> {
    let dir = bench.folder("get")?;
    let who = bench.of_kind(&[Kind::Cumulet, Kind::Floor, Kind::Peer]);
    let body = object_body();
    let mut field = Field::start(&who, &dir, |kind, server| {
        if kind != Kind::Floor {
            make_bucket(server)?;
            fill(server, 0..FEW_OBJECTS, &body)?;
        }
        check_object(server, &object(FEW_OBJECTS - 1), &body.pattern)
    })?;
    let mut samples = Samples::default();
    // The first round warms the caches and is not kept.
    for round in 0..=bench.scale.rounds {
        field.round(|_, server| {
            let mut outcome = get(server, 0..FEW_OBJECTS, bench)?;
            if round > 0 {
                keep(&mut samples, server.name, &mut outcome);
            }
            Ok(())
        })?;
    }
    let names = field.servers.iter().map(|(_, server)| server.name);
    Ok(Table {
        title: format!("GetObject, 1 KiB, {GET_CONNECTIONS} connections, {FEW_OBJECTS} objects"),
        columns: COLUMNS.to_vec(),
        rows: rows(&samples, names),
        verdicts: above_floor(&samples, 12.0).into_iter().collect(),
        remarks: field.remarks,
    })
}

pub fn get_uncached(bench: &Bench) -> Result<Table, String> {
    let large = large_store(bench)?;
    let dir = bench.folder("uncached")?;
    let mut field = Field::start(&bench.of_kind(&[Kind::Floor]), &dir, |_, _| Ok(()))?;
    let ours = bench.cumulet()?.start(&large)?;
    check_object(&ours, &object(bench.scale.objects - 1), &object_body().pattern)?;
    field.servers.insert(0, (Kind::Cumulet, ours));
    let mut samples = Samples::default();
    let mut chance = Chance::new(1);
    for round in 0..=bench.scale.rounds {
        field.round(|_, server| {
            let mut numbers = Vec::new();
            numbers.resize_with(REQUESTS as usize, || chance.below(bench.scale.objects));
            let mut outcome = get(server, numbers.into_iter(), bench)?;
            if round > 0 {
                keep(&mut samples, server.name, &mut outcome);
            }
            Ok(())
        })?;
    }
    let names = field.servers.iter().map(|(_, server)| server.name);
    let objects = bench.scale.objects;
    Ok(Table {
        title: format!(
            "GetObject, 1 KiB, {GET_CONNECTIONS} connections, at random from {objects} objects"
        ),
        columns: COLUMNS.to_vec(),
        rows: rows(&samples, names),
        verdicts: above_floor(&samples, 30.0).into_iter().collect(),
        remarks: field.remarks,
    })
}

pub fn put(bench: &Bench) -> Result<Table, String> {
    let dir = bench.folder("put")?;
    let log = dir.join("raw-log");
    disk_floor::preallocate(&log)?;
    let body = object_body();
    let who = bench.of_kind(&[Kind::Cumulet, Kind::Floor, Kind::Peer]);
    let mut field = Field::start(&who, &dir, |kind, server| match kind {
        Kind::Floor => Ok(()),
        _ => make_bucket(server),
    })?;
    let mut samples = Samples::default();
    let mut from = 0;
    for round in 0..=bench.scale.rounds {
        let mut outcome = disk_floor::raw_log(&log, PUT_CONNECTIONS, bench.scale.time)?;
        if round > 0 {
            keep(&mut samples, RAW_LOG, &mut outcome);
        }
        field.round(|_, server| {
            let paths = (from..from + REQUESTS).map(object);
            let requests = Requests::sign(server.address, "PUT", paths, body.clone());
            let until = Until::Passed(bench.scale.time);
            let before = machine::ticks();
            let mut outcome = client::drive(server, requests, PUT_CONNECTIONS, until)?;
            let after = machine::ticks();
            if round > 0 {
                keep(&mut samples, server.name, &mut outcome);
                let (busy, all) = (after.0 - before.0, after.1 - before.1);
                samples.add(server.name, BUSY, busy as f64 * 100.0 / all.max(1) as f64);
            }
            Ok(())
        })?;
        from += REQUESTS;
    }
    let mut verdicts = Vec::new();
    if let Some(cpu) = samples.median("cumulet", CPU) {
        verdicts.push(Verdict::at_most("server CPU", cpu, 60.0, "us"));
    }
    if let (Some(ours), Some(floor)) =
        (samples.median("cumulet", RATE), samples.median(RAW_LOG, RATE))
    {
        verdicts.push(Verdict::at_least("writes/s of the raw log's", ours / floor, 0.7));
    }
    let names = field.servers.iter().map(|(_, server)| server.name);
    let mut remarks = field.remarks.clone();
    if let Some(busy) = samples.median("cumulet", BUSY) {
        remarks.push(format!(
            "the machine's processors were {busy:.0} % busy under cumulet's load, with the load \
             generator and whatever else ran: near 100 % the raw log cannot be reached"
        ));
    }
    remarks.push("moto and bare hyper keep nothing on the disk; s3s-fs does not sync".to_owned());
    Ok(Table {
        title: format!("PutObject, 1 KiB, durable, {PUT_CONNECTIONS} connections"),
        columns: COLUMNS.to_vec(),
        rows: rows(&samples, std::iter::once(RAW_LOG).chain(names)),
        verdicts,
        remarks,
    })
}
