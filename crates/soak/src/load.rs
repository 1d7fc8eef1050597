//! Clients that write, overwrite, delete and read at once, each in its thread, until the server is
//! gone; and the look at every key afterwards.

use crate::body;
use crate::client::{Answer, Client};
use crate::items::{self, Items};
use crate::oracle::Oracle;
use base::{Entropy, SeededEntropy};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

pub const BUCKET: &str = "/soak";
const CLIENTS: u64 = 8;
/// Clients of DynamoDB, where its table was made.
const TABLE_CLIENTS: u64 = 4;
/// Keys that one client alone writes, and keys that all write.
const OWN_KEYS: u64 = 20;
const SHARED_KEYS: u64 = 12;
const PART_BYTES_MIN: usize = 5 << 20;
const FINDINGS_MAX: usize = 8;

/// What all clients share in the life of one data folder.
#[derive(Debug, Default)]
pub struct Load {
    pub oracle: Oracle,
    pub items: Option<Items>,
    pub acknowledged: AtomicU64,
    pub busy: AtomicU64,
    numbers: AtomicU64,
    enough: AtomicBool,
    findings: Mutex<Vec<String>>,
}

/// How a request ended that got an answer.
enum End {
    Done,
    /// Refused for want of room or time: it may have happened.
    Busy,
    Wrong(String),
}

fn end(answer: &Answer) -> End {
    match answer.status {
        // An answer that began as a success can still say that it was none.
        200..=299 if !answer.body.windows(7).any(|seven| seven == b"<Error>") => End::Done,
        503 | 507 => End::Busy,
        _ => End::Wrong(answer.text()),
    }
}

impl Load {
    pub fn found(&self, finding: String) {
        let mut findings = self.findings.lock();
        if findings.len() < FINDINGS_MAX {
            findings.push(finding);
        }
    }

    pub fn take_findings(&self) -> Vec<String> {
        std::mem::take(&mut self.findings.lock())
    }

    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed) + 1
    }

    /// Runs the clients until the server is gone, beside `strike`, which sees to that.
    pub fn run(&self, address: SocketAddr, seed: u64, strike: impl FnOnce()) {
        self.enough.store(false, Relaxed);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let chance = SeededEntropy::new(seed.wrapping_mul(CLIENTS).wrapping_add(client));
                scope.spawn(move || {
                    let mut one = One { load: self, client, chance, http: Client::new(address) };
                    while !self.enough.load(Relaxed) {
                        if one.step().is_err() {
                            break;
                        }
                    }
                });
            }
            for (number, items) in (0..TABLE_CLIENTS).flat_map(|n| Some((n, self.items.as_ref()?)))
            {
                let seed = seed.wrapping_mul(TABLE_CLIENTS).wrapping_add(number) ^ (1 << 63);
                let one = items::One::new(items, SeededEntropy::new(seed), address);
                scope.spawn(move || self.work_on_items(one));
            }
            strike();
            self.enough.store(true, Relaxed);
        });
    }

    fn work_on_items(&self, mut one: items::One<'_>) {
        while !self.enough.load(Relaxed) {
            match one.step() {
                Ok(items::End::Done) => drop(self.acknowledged.fetch_add(1, Relaxed)),
                Ok(items::End::Idle) => {}
                Ok(items::End::Busy) => drop(self.busy.fetch_add(1, Relaxed)),
                Ok(items::End::Wrong(text)) => self.found(text),
                Err(_) => break,
            }
        }
    }

    /// One write, outside a run. None if it was refused for want of room, with what was said.
    pub fn put(
        &self,
        http: &mut Client,
        key: &str,
        length: usize,
    ) -> Result<Option<Answer>, String> {
        let number = self.number();
        let change = self.oracle.begin(key, Some(number));
        let path = format!("{BUCKET}/{key}");
        let answer = http.ask("PUT", &path, "", &body::bytes(number, length))?;
        match end(&answer) {
            End::Done => {
                self.oracle.done(key, change);
                self.acknowledged.fetch_add(1, Relaxed);
                Ok(Some(answer))
            }
            End::Busy => Ok(None),
            End::Wrong(text) => Err(format!("PUT {key}: {text}")),
        }
    }

    /// Looks at every key while nothing is under way, and at the listing.
    pub fn verify(&self, address: SocketAddr) -> Result<(), String> {
        if let Some(items) = &self.items
            && let Err(wrong) = items.verify(address)
        {
            self.found(wrong);
        }
        let mut http = Client::new(address);
        for key in self.oracle.keys() {
            let answer = http.ask("GET", &format!("{BUCKET}/{key}"), "", b"")?;
            let seen = match answer.status {
                200 => match body::number(&answer.body) {
                    Ok(number) => Some(number),
                    Err(wrong) => {
                        self.found(format!("{key}: {wrong}"));
                        continue;
                    }
                },
                404 => None,
                _ => {
                    self.found(format!("GET {key}: {}", answer.text()));
                    continue;
                }
            };
            if let Err(wrong) = self.oracle.settle(&key, seen) {
                self.found(wrong);
            }
        }
        let listed = list(&mut http)?;
        let present = self.oracle.present();
        if listed != present {
            let more: Vec<_> = listed.difference(&present).take(3).collect();
            let less: Vec<_> = present.difference(&listed).take(3).collect();
            self.found(format!("listed and not there: {more:?}; there and not listed: {less:?}"));
        }
        Ok(())
    }
}

fn list(http: &mut Client) -> Result<BTreeSet<String>, String> {
    let mut listed = BTreeSet::new();
    let mut after = String::new();
    loop {
        let query = format!("list-type=2&max-keys=100&start-after={}", after.replace('/', "%2F"));
        let answer = http.ask("GET", BUCKET, &query, b"")?;
        if answer.status != 200 {
            return Err(format!("listing: {}", answer.text()));
        }
        let keys = answer.elements("Key");
        let Some(last) = keys.last() else { return Ok(listed) };
        after.clone_from(last);
        listed.extend(keys);
    }
}

struct One<'a> {
    load: &'a Load,
    client: u64,
    chance: SeededEntropy,
    http: Client,
}

impl One<'_> {
    fn key(&self) -> String {
        if self.chance.below(5) == 0 {
            format!("shared/{}", self.chance.below(SHARED_KEYS))
        } else {
            format!("{}/{}", self.client, self.chance.below(OWN_KEYS))
        }
    }

    fn length(&self) -> usize {
        match self.chance.below(100) {
            0..60 => 1 << 10,
            60..92 => 64 << 10,
            _ => 2 << 20,
        }
    }

    /// An error: no answer came.
    fn step(&mut self) -> Result<(), String> {
        let key = self.key();
        let path = format!("{BUCKET}/{key}");
        match self.chance.below(100) {
            0..55 => {
                let number = self.load.number();
                let bytes = body::bytes(number, self.length());
                self.change(&key, Some(number), |http| http.ask("PUT", &path, "", &bytes))
            }
            55..70 => self.change(&key, None, |http| http.ask("DELETE", &path, "", b"")),
            70..78 => self.parts(&key, &path),
            _ => self.get(&key, &path),
        }
    }

    fn change(
        &mut self,
        key: &str,
        value: Option<u64>,
        ask: impl FnOnce(&mut Client) -> Result<Answer, String>,
    ) -> Result<(), String> {
        let change = self.load.oracle.begin(key, value);
        match end(&ask(&mut self.http)?) {
            End::Done => {
                self.load.oracle.done(key, change);
                self.load.acknowledged.fetch_add(1, Relaxed);
            }
            End::Busy => {
                self.load.busy.fetch_add(1, Relaxed);
            }
            End::Wrong(text) => self.load.found(format!("a change of {key}: {text}")),
        }
        Ok(())
    }

    fn get(&mut self, key: &str, path: &str) -> Result<(), String> {
        let look = self.load.oracle.look();
        let answer = self.http.ask("GET", path, "", b"")?;
        let seen = match answer.status {
            200 => body::number(&answer.body).map(Some),
            404 => Ok(None),
            503 => return Ok(()),
            _ => Err(format!("GET: {}", answer.text())),
        };
        let judged = seen.map_err(|wrong| format!("{key}: {wrong}"));
        if let Err(wrong) = judged.and_then(|seen| self.load.oracle.saw(key, look, seen)) {
            self.load.found(wrong);
        }
        Ok(())
    }

    /// An upload in parts; only its completion changes anything.
    fn parts(&mut self, key: &str, path: &str) -> Result<(), String> {
        let number = self.load.number();
        let first = if self.chance.below(8) == 0 { PART_BYTES_MIN } else { 0 };
        let bytes = body::bytes(number, first + 100_000);
        let begun = self.http.ask("POST", path, "uploads", b"")?;
        let Some(id) = begun.element("UploadId") else {
            if begun.status != 503 {
                self.load.found(format!("an upload of {key}: {}", begun.text()));
            }
            return Ok(());
        };
        let mut list = String::from("<CompleteMultipartUpload>");
        let (big, small) = bytes.split_at(first);
        for (at, part) in [big, small].into_iter().filter(|part| !part.is_empty()).enumerate() {
            let at = at + 1;
            let query = format!("partNumber={at}&uploadId={id}");
            let answer = self.http.ask("PUT", path, &query, part)?;
            let Some(tag) = answer.header("etag") else {
                if answer.status != 503 {
                    self.load.found(format!("a part of {key}: {}", answer.text()));
                }
                return Ok(());
            };
            list.push_str(&format!("<Part><PartNumber>{at}</PartNumber><ETag>{tag}</ETag></Part>"));
        }
        list.push_str("</CompleteMultipartUpload>");
        let query = format!("uploadId={id}");
        self.change(key, Some(number), |http| http.ask("POST", path, &query, list.as_bytes()))
    }
}
