//! From the start of the process to its first answer.

use super::{Bench, large_store};
use crate::client;
use crate::contestant::{Contestant, Kind};
use crate::process::Server;
use crate::report::{Samples, Table, Verdict, figure};
use crate::request::{Body, Signer, object};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const FIRST: &str = "first";
const EMPTY: &str = "cumulet, empty store";
const LARGE: &str = "cumulet, large store, ended hard before";
const ANSWER_S_MAX: u64 = 60;

/// Milliseconds until a signed request has a good answer.
fn first_answer(who: &Contestant, dir: &Path, path: &str) -> Result<(f64, Server), String> {
    let started = Instant::now();
    let mut server = who.spawn(dir)?;
    let deadline = started + Duration::from_secs(ANSWER_S_MAX);
    loop {
        if TcpStream::connect(server.address).is_ok() {
            let head = Signer::new(server.address).head("GET", path, &Body::none());
            if client::once(server.address, &head, &Body::none()).is_ok_and(|a| a.status == 200) {
                return Ok((started.elapsed().as_secs_f64() * 1000.0, server));
            }
        }
        server.still_runs()?;
        if Instant::now() > deadline {
            return Err(format!("{}: no good answer within {ANSWER_S_MAX} s", who.name));
        }
        thread::sleep(Duration::from_micros(200));
    }
}

pub fn measure(bench: &Bench) -> Result<Table, String> {
    let mut samples = Samples::default();
    let mut remarks = Vec::new();
    let ours = bench.cumulet()?;
    let large = large_store(bench)?;
    for round in 0..bench.scale.rounds {
        let dir = bench.folder(&format!("start-{round}"))?;
        let (ms, server) = first_answer(ours, &dir, "/")?;
        samples.add(EMPTY, FIRST, ms);
        drop(server);
        let (ms, server) = first_answer(ours, &large, &object(bench.scale.objects / 2))?;
        samples.add(LARGE, FIRST, ms);
        server.kill();
        for peer in bench.of_kind(&[Kind::Peer]) {
            match first_answer(peer, &dir, "/") {
                Ok((ms, _server)) => samples.add(peer.name, FIRST, ms),
                Err(failure) => remarks.push(format!("left out: {failure}")),
            }
        }
    }
    let peers = bench.of_kind(&[Kind::Peer]).into_iter().map(|peer| peer.name);
    let names = [EMPTY, LARGE].into_iter().chain(peers);
    let rows = names.map(|name| vec![name.to_owned(), figure(samples.median(name, FIRST))]);
    let mut verdicts = Vec::new();
    for (name, bound) in [(EMPTY, 50.0), (LARGE, 1000.0)] {
        if let Some(ms) = samples.median(name, FIRST) {
            verdicts.push(Verdict::at_most(name, ms, bound, "ms"));
        }
    }
    Ok(Table {
        title: format!("First answer; the large store has {} objects", bench.scale.objects),
        columns: vec!["", "ms"],
        rows: rows.collect(),
        verdicts,
        remarks,
    })
}
