//! DynamoDB: reads, writes, updates and queries of items of 1 KiB, and a table that is loaded full.

use super::small::{CPU, RATE, keep, rows};
use super::{Bench, Field};
use crate::client::{self, Outcome, Until};
use crate::contestant::{Contestant, Kind};
use crate::disk_floor;
use crate::machine;
use crate::process::Server;
use crate::report::{Samples, Table, Verdict, figure};
use crate::request::{Chance, Requests, Signer};
use item::Item;
use smithy::json::Writer;
use smithy::value::Custom as _;
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

const CUMULET: &str = "cumulet";
const FLOOR: &str = "bare hyper";
const RAW_LOG: &str = "raw log";
const SMALL: &str = "cumulet, ten thousand items";
const WALK: &str = "a BTreeMap walked, the same encoder";
const GET_CONNECTIONS: usize = 32;
const PUT_CONNECTIONS: usize = 64;
const QUERY_CONNECTIONS: usize = 8;
const FEW_ITEMS: u64 = 1_000;
const SOME_ITEMS: u64 = 10_000;
/// Of the load for profilers that reads at random from a large table.
const MANY_ITEMS: u64 = 10_000_000;
/// Signed for each round, about as many as are answered in one.
const REQUESTS: u64 = 60_000;
/// Items of one partition of a query.
const PARTITION: u64 = 100;
const COLUMNS: [&str; 5] =
    ["", "requests/s", "server CPU us/request", "median latency us", "p99 us"];

/// Who takes part, ours first.
fn who(bench: &Bench, floor: bool) -> Vec<&Contestant> {
    let fits = |one: &&Contestant| match one.kind {
        Kind::Cumulet => true,
        Kind::Floor => floor,
        Kind::Nginx => false,
        Kind::Peer => one.name != "s3s-fs",
        Kind::ItemPeer => true,
    };
    bench.contestants.iter().filter(fits).collect()
}

fn key(number: u64) -> String {
    format!("{number:010}")
}

/// 1 KiB as DynamoDB counts it: two keys, a number and texts.
fn item(number: u64) -> String {
    let (a, b) = ("a".repeat(480), "b".repeat(480));
    let (hash, sort) = (key(number / PARTITION), key(number));
    format!(
        r#"{{"p":{{"S":"{hash}"}},"c":{{"S":"{sort}"}},"g":{{"S":"{}"}},"n":{{"N":"{number}"}},"a":{{"S":"{a}"}},"b":{{"S":"{b}"}},"x":{{"BOOL":true}}}}"#,
        number % 1000
    )
}

fn of_key(number: u64) -> String {
    format!(r#"{{"p":{{"S":"{}"}},"c":{{"S":"{}"}}}}"#, key(number / PARTITION), key(number))
}

fn get_body(number: u64) -> String {
    format!(r#"{{"TableName":"bench","Key":{}}}"#, of_key(number))
}

fn put_body(number: u64) -> String {
    format!(r#"{{"TableName":"bench","Item":{}}}"#, item(number))
}

/// A condition that holds, and a change of the key of an index.
fn update_body(number: u64) -> String {
    format!(
        r#"{{"TableName":"indexed","Key":{},"UpdateExpression":"SET g = :g ADD n :one","ConditionExpression":"attribute_exists(a)","ExpressionAttributeValues":{{":g":{{"S":"{}"}},":one":{{"N":"1"}}}}}}"#,
        of_key(number),
        number % 997
    )
}

fn query_body(partition: u64) -> String {
    format!(
        r#"{{"TableName":"bench","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{{":p":{{"S":"{}"}}}}}}"#,
        key(partition)
    )
}

fn requests(server: &Server, operation: &str, bodies: impl Iterator<Item = String>) -> Requests {
    Requests::post(server.address, &format!("DynamoDB_20120810.{operation}"), bodies)
}

fn ask(server: &Server, operation: &str, body: &str) -> Result<String, String> {
    let target = format!("DynamoDB_20120810.{operation}");
    let request = Signer::of(server.address, "dynamodb").post(&target, body);
    let answer = client::once(server.address, &request, &crate::request::Body::none())?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    match answer.status {
        200 => Ok(text),
        status => Err(format!("{operation} answered {status}: {text}")),
    }
}

fn make_table(server: &Server, name: &str, indexed: bool) -> Result<(), String> {
    let (definition, index) = match indexed {
        true => (
            r#",{"AttributeName":"g","AttributeType":"S"}"#,
            r#","GlobalSecondaryIndexes":[{"IndexName":"glo","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]"#,
        ),
        false => ("", ""),
    };
    let body = format!(
        r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}},{{"AttributeName":"c","KeyType":"RANGE"}}],"AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}},{{"AttributeName":"c","AttributeType":"S"}}{definition}]{index}}}"#
    );
    ask(server, "CreateTable", &body)?;
    let deadline = Instant::now() + Duration::from_secs(30);
    let describe = format!(r#"{{"TableName":"{name}"}}"#);
    // Some write a space behind a colon.
    let is_active = |told: String| told.replace(' ', "").contains(r#""TableStatus":"ACTIVE""#);
    while !is_active(ask(server, "DescribeTable", &describe)?) {
        if Instant::now() > deadline {
            return Err(format!("table {name} does not become active"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// 25 at a time.
fn fill(server: &Server, table: &str, numbers: std::ops::Range<u64>) -> Result<Outcome, String> {
    const AT_ONCE: u64 = 25;
    let batch = |from: u64| {
        let puts: Vec<String> = (from..(from + AT_ONCE).min(numbers.end))
            .map(|number| format!(r#"{{"PutRequest":{{"Item":{}}}}}"#, item(number)))
            .collect();
        format!(r#"{{"RequestItems":{{"{table}":[{}]}}}}"#, puts.join(","))
    };
    let mut all = Outcome::default();
    let mut from = numbers.start;
    while from < numbers.end {
        let to = numbers.end.min(from + 100_000);
        let starts = (from..to).step_by(AT_ONCE as usize);
        let count = starts.clone().count() as u64;
        let requests = requests(server, "BatchWriteItem", starts.map(batch));
        let outcome = client::drive(server, requests, 16, Until::Count(count))?;
        all.seconds += outcome.seconds;
        all.cpu_us += outcome.cpu_us;
        from = to;
    }
    all.answers = numbers.end - numbers.start;
    Ok(all)
}

fn chosen(seed: u64, count: u64, below: u64) -> impl Iterator<Item = u64> {
    let mut chance = Chance::new(seed);
    (0..count).map(move |_| chance.below(below))
}

/// GetItem of items that every cache holds.
pub fn gets(bench: &Bench) -> Result<Table, String> {
    let dir = bench.folder("items-few")?;
    let mut field = Field::start(&who(bench, true), &dir, |kind, server| {
        if kind == Kind::Floor {
            return Ok(());
        }
        make_table(server, "bench", false)?;
        fill(server, "bench", 0..FEW_ITEMS)?;
        let told = ask(server, "GetItem", &get_body(FEW_ITEMS - 1))?;
        match told.contains(&key(FEW_ITEMS - 1)) {
            true => Ok(()),
            false => Err(format!("an item is not as it was put: {told}")),
        }
    })?;
    let mut samples = Samples::default();
    for round in 0..=bench.scale.item_rounds {
        field.round(|_, server| {
            let mut outcome = get_at_random(bench, server, round, FEW_ITEMS)?;
            if round > 0 {
                keep(&mut samples, server.name, &mut outcome);
            }
            Ok(())
        })?;
    }
    let names = field.servers.iter().map(|(_, server)| server.name);
    Ok(Table {
        title: format!("GetItem, 1 KiB, {GET_CONNECTIONS} connections, {FEW_ITEMS} items"),
        columns: COLUMNS.to_vec(),
        rows: rows(&samples, names),
        verdicts: above_floor(&samples, 14.0).into_iter().collect(),
        remarks: field.remarks,
    })
}

/// Ours, less the floor's, in server CPU.
fn above_floor(samples: &Samples, bound: f64) -> Option<Verdict> {
    let (ours, floor) = samples.median(CUMULET, CPU).zip(samples.median(FLOOR, CPU))?;
    Some(Verdict::at_most("server CPU above bare hyper", ours - floor, bound, "us"))
}

/// One turn of a server that has `of` items; the floor answers whatever it is asked.
fn get_at_random(bench: &Bench, server: &Server, round: usize, of: u64) -> Result<Outcome, String> {
    let bodies = chosen(round as u64, REQUESTS, of).map(get_body);
    let requests = requests(server, "GetItem", bodies);
    client::drive(server, requests, GET_CONNECTIONS, Until::Passed(bench.scale.item_time))
}

/// PutItem beside a raw log; UpdateItem with a condition and an index beside PutItem.
pub fn writes(bench: &Bench) -> Result<Table, String> {
    let dir = bench.folder("item-writes")?;
    let log = dir.join("raw-log");
    disk_floor::preallocate(&log)?;
    let who = who(bench, false);
    let mut field = Field::start(&who, &dir, |kind, server| {
        make_table(server, "bench", false)?;
        if kind == Kind::Cumulet {
            make_table(server, "indexed", true)?;
            fill(server, "indexed", 0..SOME_ITEMS)?;
        }
        Ok(())
    })?;
    let update = "cumulet, UpdateItem with a condition and an index";
    let (mut samples, mut busy) = (Samples::default(), Vec::new());
    for round in 0..=bench.scale.item_rounds {
        let from = round as u64 * REQUESTS;
        let mut outcome = disk_floor::raw_log(&log, PUT_CONNECTIONS, bench.scale.item_time)?;
        if round > 0 {
            keep(&mut samples, RAW_LOG, &mut outcome);
        }
        field.round(|kind, server| {
            let until = Until::Passed(bench.scale.item_time);
            let puts = requests(server, "PutItem", (from..from + REQUESTS).map(put_body));
            let before = machine::ticks();
            let mut outcome = client::drive(server, puts, PUT_CONNECTIONS, until)?;
            let after = machine::ticks();
            if round > 0 {
                keep(&mut samples, server.name, &mut outcome);
            }
            if kind == Kind::Cumulet {
                let (worked, all) = (after.0 - before.0, after.1 - before.1);
                busy.push(worked as f64 * 100.0 / all.max(1) as f64);
                let bodies = chosen(round as u64, REQUESTS, SOME_ITEMS).map(update_body);
                let updates = requests(server, "UpdateItem", bodies);
                let mut outcome = client::drive(server, updates, PUT_CONNECTIONS, until)?;
                if round > 0 {
                    keep(&mut samples, update, &mut outcome);
                }
            }
            Ok(())
        })?;
    }
    let rate = |name| samples.median(name, RATE).unwrap_or(f64::NAN);
    let verdicts = vec![
        Verdict::at_most(
            "server CPU",
            samples.median(CUMULET, CPU).unwrap_or(f64::NAN),
            55.0,
            "us",
        ),
        Verdict::at_least("PutItem/s of the raw log's", rate(CUMULET) / rate(RAW_LOG), 0.6),
        Verdict::at_least("UpdateItem/s of PutItem's", rate(update) / rate(CUMULET), 0.5),
    ];
    let mut remarks = field.remarks.clone();
    remarks.push(format!(
        "the machine's processors were {:.0} % busy under cumulet's load: near 100 % the raw log \
         cannot be reached; the peers keep their items in memory",
        crate::report::median(&busy)
    ));
    let servers = field.servers.iter().map(|(_, server)| server.name);
    Ok(Table {
        title: format!("PutItem and UpdateItem, 1 KiB, {PUT_CONNECTIONS} connections"),
        columns: COLUMNS.to_vec(),
        rows: rows(&samples, [RAW_LOG, update].into_iter().chain(servers)),
        verdicts,
        remarks,
    })
}

/// Walks partitions of a map and writes them as a query's answer; items per second of CPU.
fn walk(time: Duration) -> Result<f64, String> {
    let mut map: BTreeMap<(String, String), Item> = BTreeMap::new();
    for number in 0..SOME_ITEMS {
        let item = Item::parse(&item(number)).map_err(|e| e.to_string())?;
        map.insert((key(number / PARTITION), key(number)), item);
    }
    let cpu = || crate::process::cpu_us(std::process::id()).unwrap_or_default();
    let (started, before, mut items, mut partition) = (Instant::now(), cpu(), 0u64, 0);
    while started.elapsed() < time {
        let mut out = Writer::with_capacity(128 * 1024);
        out.open('{');
        out.key("Items");
        out.open('[');
        let from = (key(partition), String::new());
        for ((_, _), item) in map.range(from..).take(PARTITION as usize) {
            item.write_json(&mut out);
            items += 1;
        }
        out.close(']');
        out.close('}');
        std::hint::black_box(out.finish());
        partition = (partition + 1) % (SOME_ITEMS / PARTITION);
    }
    Ok(items as f64 * 1e6 / cpu().saturating_sub(before).max(1) as f64)
}

pub fn queries(bench: &Bench) -> Result<Table, String> {
    let dir = bench.folder("item-queries")?;
    let who = who(bench, false);
    let mut field = Field::start(&who, &dir, |_, server| {
        make_table(server, "bench", false)?;
        fill(server, "bench", 0..SOME_ITEMS).map(drop)
    })?;
    let mut samples = Samples::default();
    for round in 0..=bench.scale.item_rounds {
        let walked = walk(bench.scale.item_time)?;
        if round > 0 {
            samples.add(WALK, RATE, walked);
        }
        field.round(|_, server| {
            let bodies = chosen(round as u64, 10_000, SOME_ITEMS / PARTITION).map(query_body);
            let requests = requests(server, "Query", bodies);
            let until = Until::Passed(bench.scale.item_time);
            let outcome = client::drive(server, requests, QUERY_CONNECTIONS, until)?;
            if round > 0 {
                let items = outcome.answers * PARTITION;
                samples.add(server.name, RATE, items as f64 * 1e6 / outcome.cpu_us.max(1) as f64);
            }
            Ok(())
        })?;
    }
    let rate = |name| samples.median(name, RATE).unwrap_or(f64::NAN);
    let servers = field.servers.iter().map(|(_, server)| server.name);
    let row = |name: &'static str| vec![name.to_owned(), figure(samples.median(name, RATE))];
    Ok(Table {
        title: format!("Query of {PARTITION} items of 1 KiB, 8 connections"),
        columns: vec!["", "items per second of server CPU"],
        rows: std::iter::once(WALK).chain(servers).map(row).collect(),
        verdicts: vec![Verdict::at_least("of the walk's", rate(CUMULET) / rate(WALK), 0.4)],
        remarks: field.remarks,
    })
}

/// One kind of load on a running server: see [`super::load`]. `None` for what is none of items.
pub fn load_of(server: &Server, what: &str, until: Until) -> Result<Option<Outcome>, String> {
    if !matches!(what, "item-get" | "any-item-get" | "item-put" | "query") {
        return Ok(None);
    }
    // It may be there from the last time.
    let _ = make_table(server, "bench", false);
    if what == "any-item-get" {
        let last = ask(server, "GetItem", &get_body(MANY_ITEMS - 1))?;
        if !last.contains("Item") {
            fill(server, "bench", 0..MANY_ITEMS)?;
        }
    } else if what != "item-put" {
        fill(server, "bench", 0..SOME_ITEMS)?;
    }
    let (requests, connections) = match what {
        "item-get" => {
            let bodies = chosen(1, REQUESTS, FEW_ITEMS).map(get_body);
            (requests(server, "GetItem", bodies), GET_CONNECTIONS)
        }
        "any-item-get" => {
            let bodies = chosen(1, 10 * REQUESTS, MANY_ITEMS).map(get_body);
            (requests(server, "GetItem", bodies), GET_CONNECTIONS)
        }
        "item-put" => (requests(server, "PutItem", (0..REQUESTS).map(put_body)), PUT_CONNECTIONS),
        _ => {
            let bodies = chosen(1, 10_000, SOME_ITEMS / PARTITION).map(query_body);
            (requests(server, "Query", bodies), QUERY_CONNECTIONS)
        }
    };
    client::drive(server, requests, connections, until).map(Some)
}

/// Waits until a server that nobody asks anything does nothing: what was written has been merged. How long
/// that took.
fn settle(server: &Server) -> Result<Duration, String> {
    const LOOK: Duration = Duration::from_millis(500);
    const IDLE_US: u64 = 20_000;
    let (began, mut idle) = (Instant::now(), 0);
    while idle < 4 {
        if began.elapsed() > Duration::from_secs(1_800) {
            return Err("the server does not come to rest".into());
        }
        let before = server.cpu_us();
        thread::sleep(LOOK);
        idle = if server.cpu_us() - before <= IDLE_US { idle + 1 } else { 0 };
    }
    Ok(began.elapsed() - LOOK * 4)
}

/// A table that is loaded full: how fast, how large; what a read costs then; how soon it is back.
pub fn load(bench: &Bench) -> Result<Vec<Table>, String> {
    let items = bench.scale.items;
    let floors = bench.of_kind(&[Kind::Floor]);
    let floor = floors.first().ok_or("bare hyper is missing")?.start(&bench.folder("floor")?)?;
    let ours = bench.cumulet()?;
    let small = ours.start(&bench.folder("items-some")?)?;
    make_table(&small, "bench", false)?;
    fill(&small, "bench", 0..SOME_ITEMS)?;
    let dir = bench.folder("items-many")?;
    let server = ours.start(&dir)?;
    make_table(&server, "bench", false)?;
    let loaded = fill(&server, "bench", 0..items)?;
    let pss_mib = server.pss_kib() as f64 / 1024.0;
    let space = super::space_bytes(&dir) as f64 / items as f64;
    let settled = settle(&server)?;
    let mut samples = Samples::default();
    for round in 0..=bench.scale.item_rounds {
        super::warm(&dir);
        for (name, server, of) in
            [(SMALL, &small, SOME_ITEMS), (CUMULET, &server, items), (FLOOR, &floor, items)]
        {
            let mut outcome = get_at_random(bench, server, round, of)?;
            if round > 0 {
                keep(&mut samples, name, &mut outcome);
            }
        }
    }
    server.kill();
    let started = Instant::now();
    let server = ours.start(&dir)?;
    ask(&server, "GetItem", &get_body(items / 2))?;
    let back_ms = started.elapsed().as_secs_f64() * 1000.0;
    let each = |name| samples.median(name, CPU).unwrap_or(f64::NAN);
    let row = |what: &str, value: f64| vec![what.to_owned(), figure(Some(value))];
    let gets = Table {
        title: format!(
            "GetItem, 1 KiB, {GET_CONNECTIONS} connections, at random from {items} items"
        ),
        columns: COLUMNS.to_vec(),
        rows: rows(&samples, [CUMULET, SMALL, FLOOR].into_iter()),
        verdicts: above_floor(&samples, 32.0)
            .into_iter()
            .chain([Verdict::at_most(
                "of it with ten thousand",
                each(CUMULET) / each(SMALL),
                2.0,
                "times",
            )])
            .collect(),
        remarks: vec![
            "after the load has been merged, and with its files in the page cache: all of them are \
             read before each round"
                .into(),
        ],
    };
    let load = Table {
        title: format!("A table of {items} items of 1 KiB, loaded by BatchWriteItem"),
        columns: vec!["", ""],
        rows: vec![
            row("items/s", loaded.per_second()),
            row("server CPU us/item", loaded.cpu_us_each()),
            row("bytes on the disk for each", space),
            row("proportional set size after it, MiB", pss_mib),
            row("until it rested, merging what was loaded, s", settled.as_secs_f64()),
            row("first answer after it was ended hard, ms", back_ms),
        ],
        verdicts: vec![
            Verdict::at_most("memory", pss_mib, 1024.0, "MiB"),
            Verdict::at_most("back", back_ms, 2000.0, "ms"),
        ],
        remarks: Vec::new(),
    };
    Ok(vec![gets, load])
}
