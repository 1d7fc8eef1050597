//! The measures: a file per group, and what they share.

mod big;
mod items;
mod many;
mod memory;
mod small;
mod snapshot;
mod start;

use crate::client::{self, Answer};
use crate::contestant::{Contestant, Kind};
use crate::options::{Group, Options};
use crate::process::Server;
use crate::report::Table;
use crate::request::{BUCKET, Body, Requests, Signer};
use crate::{document, machine};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long and how often.
struct Scale {
    rounds: usize,
    time: Duration,
    /// In the large store: more than any cache of ours holds.
    objects: u64,
    /// Requests of 100 MiB in one round.
    big_requests: u64,
    upload_bytes: u64,
    /// In objects of a MiB and more.
    snapshot_bytes: u64,
    /// In the large table.
    items: u64,
    /// Of items, whose measures have many contestants.
    item_rounds: usize,
    item_time: Duration,
}

impl Scale {
    fn of(options: &Options) -> Scale {
        let gib = 1024 * 1024 * 1024;
        if options.quick {
            let time = Duration::from_secs(1);
            let objects = 100_000;
            return Scale {
                rounds: 1,
                time,
                objects,
                big_requests: 3,
                upload_bytes: gib,
                snapshot_bytes: gib,
                items: options.items.unwrap_or(20_000),
                item_rounds: 1,
                item_time: time,
            };
        }
        let time = Duration::from_secs(3);
        Scale {
            rounds: 5,
            time,
            objects: 1_000_000,
            big_requests: 5,
            upload_bytes: 5 * gib,
            snapshot_bytes: 10 * gib,
            items: options.items.unwrap_or(10_000_000),
            item_rounds: 3,
            item_time: Duration::from_secs(2),
        }
    }
}

/// A run: what takes part, and a folder that is gone afterwards.
pub struct Bench {
    contestants: Vec<Contestant>,
    scale: Scale,
    dir: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs the groups asked for, prints their tables and writes them to the page.
pub fn run(options: &Options) -> Result<(), String> {
    let dir = std::env::temp_dir().join(format!("cumulet-bench-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let contestants = Contestant::all(options)?;
    let bench = Bench { contestants, scale: Scale::of(options), dir };
    println!("{}\n", machine::line());
    for group in &options.groups {
        let tables = match group {
            Group::S3 => {
                vec![small::get_cached(&bench)?, small::get_uncached(&bench)?, big::get(&bench)?]
            }
            Group::Store => vec![small::put(&bench)?, big::put(&bench)?],
            Group::Start => vec![start::measure(&bench)?],
            Group::Memory => vec![memory::measure(&bench)?],
            Group::Many => vec![many::listing(&bench)?, many::lifecycle(&bench)?],
            Group::Snapshot => vec![snapshot::measure(&bench)?],
            Group::DynamoDb => {
                let mut tables =
                    vec![items::gets(&bench)?, items::writes(&bench)?, items::queries(&bench)?];
                tables.extend(items::load(&bench)?);
                tables
            }
        };
        let section = section(*group, &tables, options);
        println!("{section}");
        // Short rounds are for trying the bench, not for the page.
        if let (Some(page), false) = (&options.page, options.quick) {
            document::update(page, group.name(), &section)?;
        }
    }
    Ok(())
}

/// Objects that no cache holds all of.
const MANY: u64 = 200_000;

/// One kind of load on a running server, so that a profiler can watch it:
/// `bench load 127.0.0.1:4566 PID get|any-get|put|big-get|big-put|item-get|any-item-get|item-put|query SECONDS`.
pub fn load(address: &str, pid: &str, what: &str, seconds: &str) -> Result<(), String> {
    let address = address.parse().map_err(|_| "an address is 127.0.0.1:4566".to_owned())?;
    let pid = pid.parse().map_err(|_| "the server's process number is a number".to_owned())?;
    let seconds = seconds.parse().map_err(|_| "seconds are a number".to_owned())?;
    let server = Server::attach(address, pid);
    let until = client::Until::Passed(Duration::from_secs(seconds));
    if let Some(outcome) = items::load_of(&server, what, until)? {
        print_load(what, &outcome);
        return Ok(());
    }
    // It may be there from the last time.
    let _ = make_bucket(&server);
    let paths = |count| (0..count).map(crate::request::object);
    let big = || std::iter::once(big::path());
    let (small, large) = (small::object_body, big::body);
    let sign = |method, paths: &mut dyn Iterator<Item = String>, body| {
        Requests::sign(address, method, paths, body)
    };
    let outcome = match what {
        "get" => {
            fill(&server, 0..1000, &small())?;
            client::drive(&server, sign("GET", &mut paths(1000), Body::none()), 32, until)?
        }
        "any-get" => {
            fill(&server, 0..MANY, &small())?;
            let mut chance = crate::request::Chance::new(1);
            let numbers = std::iter::repeat_with(|| chance.below(MANY));
            let mut paths = numbers.take(100_000).map(crate::request::object);
            client::drive(&server, sign("GET", &mut paths, Body::none()), 32, until)?
        }
        "put" => client::drive(&server, sign("PUT", &mut paths(200_000), small()), 64, until)?,
        "big-get" => {
            // A server that only gives out files has it already.
            let _ = ask(address, "PUT", &big::path(), &large());
            client::drive(&server, sign("GET", &mut big(), Body::none()), 1, until)?
        }
        "big-put" => client::drive(&server, sign("PUT", &mut big(), large()), 1, until)?,
        other => return Err(format!("no such load: {other}")),
    };
    print_load(what, &outcome);
    Ok(())
}

fn print_load(what: &str, outcome: &client::Outcome) {
    let (rate, cpu_us) = (outcome.per_second(), outcome.cpu_us_each());
    println!("{what}: {rate:.1} requests/s, {cpu_us:.1} us of server CPU each");
}

fn section(group: Group, tables: &[Table], options: &Options) -> String {
    let mut text = format!("## {}\n\n{}: {}.\n", group.title(), machine::today(), machine::line());
    if !options.missing.is_empty() {
        text.push_str(&format!("Did not take part: {}.\n", options.missing.join("; ")));
    }
    for table in tables {
        text.push('\n');
        text.push_str(&table.text());
    }
    text
}

impl Bench {
    fn of_kind(&self, kinds: &[Kind]) -> Vec<&Contestant> {
        self.contestants.iter().filter(|one| kinds.contains(&one.kind)).collect()
    }

    fn cumulet(&self) -> Result<&Contestant, String> {
        let ours = self.contestants.iter().find(|one| one.kind == Kind::Cumulet);
        ours.ok_or_else(|| "cumulet itself is missing".to_owned())
    }

    /// A folder of that name, made if it is not there.
    fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.dir.join(name);
        fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }
}

/// Who still takes part in a measure. A peer that fails is named and left out; ours must not fail.
struct Field {
    servers: Vec<(Kind, Server)>,
    remarks: Vec<String>,
}

impl Field {
    /// Starts the contestants, and prepares each.
    fn start(
        contestants: &[&Contestant],
        dir: &Path,
        prepare: impl Fn(Kind, &Server) -> Result<(), String>,
    ) -> Result<Field, String> {
        let mut field = Field { servers: Vec::new(), remarks: Vec::new() };
        for one in contestants {
            let server = one.start(dir).and_then(|mut server| {
                prepare(one.kind, &server).map_err(|failure| match server.still_runs() {
                    Ok(()) => format!("{}: {failure}", one.name),
                    Err(gone) => gone,
                })?;
                Ok(server)
            });
            match server {
                Ok(server) => field.servers.push((one.kind, server)),
                Err(failure) => field.failed(one.kind, failure)?,
            }
        }
        Ok(field)
    }

    /// One turn of each.
    fn round(
        &mut self,
        mut turn: impl FnMut(Kind, &Server) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut at = 0;
        while let Some((kind, server)) = self.servers.get(at) {
            match turn(*kind, server) {
                Ok(()) => at += 1,
                Err(failure) => {
                    let kind = *kind;
                    drop(self.servers.remove(at));
                    self.failed(kind, failure)?;
                }
            }
        }
        Ok(())
    }

    fn failed(&mut self, kind: Kind, failure: String) -> Result<(), String> {
        if !matches!(kind, Kind::Peer | Kind::ItemPeer) {
            return Err(failure);
        }
        let line = failure.lines().next().unwrap_or_default();
        let line: String = line.chars().take(200).collect();
        eprintln!("bench: left out: {failure}");
        self.remarks.push(format!("left out: {line}"));
        Ok(())
    }
}

/// What a folder takes on the disk.
fn space_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => space_bytes(&entry.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Reads all files of a folder, so that the page cache has them.
fn warm(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        // Files that are merged away meanwhile are wanted by nobody.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => warm(&entry.path()),
            Ok(kind) if kind.is_file() => {
                let file = fs::File::open(entry.path());
                let _ = file.and_then(|mut file| std::io::copy(&mut file, &mut std::io::sink()));
            }
            _ => {}
        }
    }
}

/// Sends one request; anything but 2xx is an error.
fn ask(address: SocketAddr, method: &str, path: &str, body: &Body) -> Result<Answer, String> {
    let head = Signer::new(address).head(method, path, body);
    let answer = client::once(address, &head, body)?;
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let text: String = String::from_utf8_lossy(&answer.body).chars().take(500).collect();
    Err(format!("{method} {path} answered {}: {text}", answer.status))
}

fn make_bucket(server: &Server) -> Result<(), String> {
    ask(server.address, "PUT", &format!("/{BUCKET}"), &Body::none()).map(|_| ())
}

/// Puts the objects with these numbers, all with the same body.
fn fill(server: &Server, numbers: std::ops::Range<u64>, body: &Body) -> Result<(), String> {
    const AT_ONCE: u64 = 50_000;
    let mut from = numbers.start;
    while from < numbers.end {
        let to = numbers.end.min(from + AT_ONCE);
        let paths = (from..to).map(crate::request::object);
        let requests = Requests::sign(server.address, "PUT", paths, body.clone());
        client::drive(server, requests, 64, client::Until::Count(to - from))?;
        from = to;
    }
    Ok(())
}

/// The large store, filled when first asked for, kept until the run ends. Its server is ended hard:
/// that is the state in which a store has the most to do when it starts.
fn large_store(bench: &Bench) -> Result<PathBuf, String> {
    let dir = bench.folder("large")?;
    let full = dir.join("full");
    if full.exists() {
        return Ok(dir);
    }
    let server = bench.cumulet()?.start(&dir)?;
    make_bucket(&server)?;
    let body = small::object_body();
    fill(&server, 0..bench.scale.objects, &body)?;
    server.kill();
    fs::write(&full, "").map_err(|e| format!("{}: {e}", full.display()))?;
    Ok(dir)
}

/// Is what the server keeps what was put?
fn check_object(server: &Server, path: &str, expected: &[u8]) -> Result<(), String> {
    let answer = ask(server.address, "GET", path, &Body::none())?;
    if answer.body == expected {
        return Ok(());
    }
    Err(format!("GET {path} answered {} other bytes than were put", answer.body.len()))
}
