//! Objects of 100 MiB, one after the other on one connection.

use super::{Bench, Field, ask, make_bucket};
use crate::client::{self, Outcome, Until};
use crate::contestant::{Contestant, Kind};
use crate::disk_floor;
use crate::process::Server;
use crate::report::{Samples, Table, Verdict, figure};
use crate::request::{BUCKET, Body, Requests, noise};
use std::fs;

const MEBIBYTES: u64 = 100;
const RATE: &str = "rate";
const CPU: &str = "cpu";
const DD: &str = "dd conv=fsync";
const COLUMNS: [&str; 3] = ["", "MiB/s", "server CPU ms/request"];

pub fn path() -> String {
    format!("/{BUCKET}/big")
}

pub fn body() -> Body {
    Body::whole(noise(usize::try_from(MEBIBYTES).unwrap_or_default() * 1024 * 1024))
}

fn drive(server: &Server, method: &str, body: Body, bench: &Bench) -> Result<Outcome, String> {
    let requests = Requests::sign(server.address, method, std::iter::once(path()), body);
    client::drive(server, requests, 1, Until::Count(bench.scale.big_requests))
}

/// The rate of each request: one slow sync must not hide the others.
fn keep(samples: &mut Samples, name: &'static str, outcome: &Outcome) {
    for us in &outcome.latencies_us {
        samples.add(name, RATE, MEBIBYTES as f64 * 1e6 / f64::from(*us).max(1.0));
    }
    samples.add(name, CPU, outcome.cpu_us_each() / 1000.0);
}

fn rows(samples: &Samples, names: impl Iterator<Item = &'static str>) -> Vec<Vec<String>> {
    names
        .map(|name| {
            let figures = [RATE, CPU].map(|what| figure(samples.median(name, what)));
            std::iter::once(name.to_owned()).chain(figures).collect()
        })
        .collect()
}

fn ratio(samples: &Samples, floor: &'static str, what: &str, bound: f64) -> Option<Verdict> {
    let ours = samples.median("cumulet", RATE)?;
    Some(Verdict::at_least(what, ours / samples.median(floor, RATE)?, bound))
}

pub fn get(bench: &Bench) -> Result<Table, String> {
    let dir = bench.folder("big-get")?;
    let body = body();
    let who = bench.of_kind(&[Kind::Cumulet, Kind::Nginx, Kind::Peer]);
    let mut field = Field::start(&who, &dir, |kind, server| {
        if kind == Kind::Nginx {
            let file = Contestant::nginx_file(&dir, &path());
            let folder = file.parent().unwrap_or(&dir).to_owned();
            fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
            fs::write(&file, &body.pattern).map_err(|e| format!("{}: {e}", file.display()))?;
        } else {
            make_bucket(server)?;
            ask(server.address, "PUT", &path(), &body)?;
        }
        super::check_object(server, &path(), &body.pattern)
    })?;
    let mut samples = Samples::default();
    for round in 0..=bench.scale.rounds {
        field.round(|_, server| {
            let outcome = drive(server, "GET", Body::none(), bench)?;
            if round > 0 {
                keep(&mut samples, server.name, &outcome);
            }
            Ok(())
        })?;
    }
    let names = field.servers.iter().map(|(_, server)| server.name);
    Ok(Table {
        title: format!("GetObject, {MEBIBYTES} MiB, one connection"),
        columns: COLUMNS.to_vec(),
        rows: rows(&samples, names),
        verdicts: ratio(&samples, "nginx", "of nginx with the same file", 0.9)
            .into_iter()
            .collect(),
        remarks: field.remarks,
    })
}

pub fn put(bench: &Bench) -> Result<Table, String> {
    let dir = bench.folder("big-put")?;
    let body = body();
    let who = bench.of_kind(&[Kind::Cumulet, Kind::Peer]);
    let mut field = Field::start(&who, &dir, |_, server| make_bucket(server))?;
    let mut samples = Samples::default();
    for round in 0..=bench.scale.rounds {
        for _ in 0..bench.scale.big_requests {
            let seconds = disk_floor::dd(&dir, MEBIBYTES)?;
            if round > 0 {
                samples.add(DD, RATE, MEBIBYTES as f64 / seconds.max(1e-9));
            }
        }
        field.round(|_, server| {
            let outcome = drive(server, "PUT", body.clone(), bench)?;
            if round > 0 {
                keep(&mut samples, server.name, &outcome);
            }
            Ok(())
        })?;
    }
    let names = field.servers.iter().map(|(_, server)| server.name);
    let mut remarks = field.remarks.clone();
    remarks.push("signed with its SHA-256, with a CRC32, and MD5 for the ETag".to_owned());
    Ok(Table {
        title: format!("PutObject, {MEBIBYTES} MiB, one connection"),
        columns: COLUMNS.to_vec(),
        rows: rows(&samples, std::iter::once(DD).chain(names)),
        verdicts: ratio(&samples, DD, "of dd with fsync", 0.8).into_iter().collect(),
        remarks,
    })
}
