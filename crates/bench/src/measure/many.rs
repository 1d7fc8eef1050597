//! What a bucket of a million objects costs that one of ten thousand does not: a page of its listing,
//! and requests while its lifecycle rules are applied.

use super::{Bench, ask, fill, large_store, make_bucket, small};
use crate::client::{self, Outcome, Until};
use crate::process::Server;
use crate::report::{Samples, Table, Verdict, figure};
use crate::request::{BUCKET, Body, Chance, Requests, object};
use std::time::{Duration, Instant};

const FEW: u64 = 10_000;
const PAGES: usize = 2000;
const FOREGROUND_CONNECTIONS: usize = 8;
/// Objects that the foreground reads, of the bucket that is walked.
const READ: u64 = 1000;
/// A pass that has not begun, or not ended, by then is none.
const PASS_MAX: Duration = Duration::from_secs(600);

const LARGE: &str = "large";
const SMALL: &str = "small";
const ALONE: &str = "alone";
const WALKED: &str = "walked";
const CHANGED: &str = "changed";
const MIDDLE: &str = "middle";
const RATE: &str = "rate";

/// Pages of a thousand keys from places all over the bucket.
fn list(server: &Server, objects: u64, bench: &Bench) -> Result<Outcome, String> {
    let mut chance = Chance::new(7);
    let mut page = || {
        let key = object(chance.below(objects));
        let key = key.strip_prefix(&format!("/{BUCKET}/")).unwrap_or_default().replace('/', "%2F");
        format!("/{BUCKET}?list-type=2&max-keys=1000&start-after={key}")
    };
    let paths: Vec<String> = (0..PAGES).map(|_| page()).collect();
    let requests = Requests::sign(server.address, "GET", paths.into_iter(), Body::none());
    client::drive(server, requests, 1, Until::Passed(bench.scale.time))
}

pub fn listing(bench: &Bench) -> Result<Table, String> {
    let large = bench.cumulet()?.start(&large_store(bench)?)?;
    let few = bench.cumulet()?.start(&bench.folder("few")?)?;
    make_bucket(&few)?;
    fill(&few, 0..FEW, &small::object_body())?;
    let objects = bench.scale.objects;
    let mut samples = Samples::default();
    // The first round warms the caches and is not kept.
    for round in 0..=bench.scale.rounds {
        for (name, server, count) in [(LARGE, &large, objects), (SMALL, &few, FEW)] {
            let mut outcome = list(server, count, bench)?;
            if round > 0 {
                samples.add(name, RATE, outcome.per_second());
                samples.add(name, MIDDLE, outcome.latency_us(0.5));
            }
        }
    }
    let row = |what: String, name| {
        vec![what, figure(samples.median(name, RATE)), figure(samples.median(name, MIDDLE))]
    };
    let middle = |name| samples.median(name, MIDDLE);
    let times = middle(LARGE).zip(middle(SMALL)).map(|(large, small)| large / small);
    let verdict =
        |times| Verdict::at_most("of a million against ten thousand", times, 1.5, "times");
    Ok(Table {
        title: "ListObjectsV2, 1,000 keys from places at random, one connection".into(),
        columns: vec!["", "requests/s", "median latency us"],
        rows: vec![row(format!("out of {objects}"), LARGE), row(format!("out of {FEW}"), SMALL)],
        verdicts: times.map(verdict).into_iter().collect(),
        remarks: Vec::new(),
    })
}

/// Steps of passes so far, as the server counts them.
fn steps(server: &Server) -> Result<u64, String> {
    // Unsigned: a signed request would be for a bucket of that name.
    let head = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    let answer = client::once(server.address, head.as_bytes(), &Body::none())?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let line = text
        .lines()
        .find(|line| line.starts_with("cumulet_jobs_done_total{kind=\"s3.lifecycle\"}"));
    Ok(line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0))
}

/// Waits until no step has been taken for a second.
fn rest(server: &Server) -> Result<(), String> {
    let began = Instant::now();
    let mut before = u64::MAX;
    loop {
        let now = steps(server)?;
        if now == before {
            return Ok(());
        }
        before = now;
        if began.elapsed() > PASS_MAX {
            return Err("a lifecycle pass does not end".to_owned());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn put_rule(server: &Server, what: &str) -> Result<(), String> {
    // Small objects change their class only under a rule that speaks of sizes.
    let text = format!(
        "<LifecycleConfiguration><Rule><ID>r</ID><Filter><ObjectSizeGreaterThan>1</ObjectSizeGreaterThan></Filter><Status>Enabled</Status>{what}</Rule></LifecycleConfiguration>"
    );
    let body = Body::whole(text.into_bytes().into());
    ask(server.address, "PUT", &format!("/{BUCKET}?lifecycle"), &body).map(|_| ())
}

fn foreground(server: &Server, bench: &Bench) -> Result<Outcome, String> {
    let requests = Requests::sign(server.address, "GET", (0..READ).map(object), Body::none());
    // Short enough to lie within a pass.
    client::drive(server, requests, FOREGROUND_CONNECTIONS, Until::Passed(bench.scale.time / 4))
}

/// Reads during a pass, in the middle of which they must have been.
fn during(server: &Server, rule: &str, bench: &Bench) -> Result<Outcome, String> {
    put_rule(server, rule)?;
    let began = Instant::now();
    let first = steps(server)?;
    while steps(server)? == first {
        if began.elapsed() > PASS_MAX {
            return Err("a lifecycle pass does not begin".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let outcome = foreground(server, bench)?;
    let last = steps(server)?;
    std::thread::sleep(Duration::from_millis(500));
    if steps(server)? == last {
        return Err("the pass ended before the measure did".to_owned());
    }
    rest(server)?;
    Ok(outcome)
}

pub fn lifecycle(bench: &Bench) -> Result<Table, String> {
    let server = bench.cumulet()?.start(&large_store(bench)?)?;
    let walk = "<Expiration><Days>4000</Days></Expiration>";
    // Each object changes its class once in each round.
    let classes = ["STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"];
    let change = |class: &str| {
        format!(
            "<Transition><Date>2020-01-01T00:00:00Z</Date><StorageClass>{class}</StorageClass></Transition>"
        )
    };
    let mut samples = Samples::default();
    foreground(&server, bench)?;
    // Archived objects cannot be read, so the last two classes are left alone.
    for class in classes.iter().take(bench.scale.rounds.min(classes.len() - 2)) {
        let mut keep = |name, mut outcome: Outcome| {
            samples.add(name, RATE, outcome.per_second());
            samples.add(name, MIDDLE, outcome.latency_us(0.5));
        };
        keep(ALONE, foreground(&server, bench)?);
        keep(WALKED, during(&server, walk, bench)?);
        keep(CHANGED, during(&server, &change(class), bench)?);
    }
    let row = |what: &str, name| {
        let figures = [RATE, MIDDLE].map(|of| figure(samples.median(name, of)));
        std::iter::once(what.to_owned()).chain(figures).collect()
    };
    let mut verdicts = Vec::new();
    for (what, name) in [("while it is walked", WALKED), ("while it is changed", CHANGED)] {
        if let (Some(with), Some(alone)) = (samples.median(name, RATE), samples.median(ALONE, RATE))
        {
            verdicts.push(Verdict::at_least(
                &format!("requests {what}, of those alone"),
                with / alone,
                0.8,
            ));
        }
    }
    let objects = bench.scale.objects;
    Ok(Table {
        title: format!(
            "GetObject, 1 KiB, {FOREGROUND_CONNECTIONS} connections, of a bucket of {objects} whose lifecycle rules are applied"
        ),
        columns: vec!["", "requests/s", "median latency us"],
        rows: vec![
            row("no pass", ALONE),
            row("a pass that finds nothing due", WALKED),
            row("a pass that changes the class of each", CHANGED),
        ],
        verdicts,
        remarks: Vec::new(),
    })
}
