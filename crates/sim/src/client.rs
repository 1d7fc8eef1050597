//! A client: asks for things at random and checks every answer.

use crate::executor::pause;
use crate::history::{self, History};
use crate::items::{self, Counter, Items};
use crate::oracle::{Oracle, Seen};
use crate::request::{Answer, BROKEN_BODY, Request, digest, send};
use crate::table_stream::Reader;
use crate::transfers::{self, Transfers};
use base::{Clock, Entropy, ManualClock, SeededEntropy};
use bytes::Bytes;
use gateway::Gateway;
use http::{Method, StatusCode};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Keys that each client writes, besides the shared ones.
const KEYS: u64 = 6;
pub const BUCKETS: [&str; 2] = ["plain", "versions"];

/// What outlives a crash of the cloud: clients do, and what they know.
#[derive(Debug, Default)]
pub struct Client {
    pub number: usize,
    /// What is known of this client's keys, by bucket.
    pub oracles: [Oracle; 2],
    /// And of its versions in the bucket with rules and locks.
    pub history: History,
    /// And of its items in a table.
    pub items: Items,
}

impl Client {
    /// The cloud went away: whatever was under way may have happened.
    pub fn unknown(&mut self) {
        self.oracles.iter_mut().for_each(Oracle::unknown);
        self.history.unknown();
        self.items.unknown();
    }
}

/// What all clients share.
pub struct Shared<'a> {
    pub gateway: &'a Gateway,
    pub clock: &'a ManualClock,
    pub dice: &'a SeededEntropy,
    /// Operations that are still to be done.
    pub left: &'a Cell<u64>,
    pub failure: &'a RefCell<Option<String>>,
    /// Shared keys that somebody won, and what was written.
    pub won: &'a RefCell<BTreeMap<String, u64>>,
    /// Shared keys whose race was cut off by a crash.
    pub doubtful: &'a RefCell<BTreeMap<String, Vec<u64>>>,
    pub counter: &'a RefCell<Counter>,
    pub reader: &'a RefCell<Reader>,
    pub transfers: &'a RefCell<Transfers>,
    pub trace: &'a Cell<u64>,
    /// Errors of the server's are expected just now: the disk is full or failing.
    pub troubled: &'a Cell<bool>,
}

enum Outcome {
    Done,
    Refused,
    Unknown,
}

impl Shared<'_> {
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, String> {
        let what = format!("{} {}?{}", request.method, request.path, request.query);
        let answer = match send(self.gateway, self.dice, self.clock.now(), request).await {
            // A body that ends early because its disk is gone: the answer never came.
            Err(why) if self.troubled.get() && why.starts_with(BROKEN_BODY) => Answer::never_came(),
            answer => answer?,
        };
        let status = u64::from(answer.status.as_u16());
        let mixed = self.trace.get() ^ digest(&answer.body) ^ status;
        self.trace.set(mixed.wrapping_mul(0x0000_0100_0000_01b3));
        if answer.status.is_server_error() && !self.troubled.get() {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(format!("{what}: {} {text}", answer.status));
        }
        Ok(answer)
    }

    fn body(&self) -> Bytes {
        let size = match self.dice.below(20) {
            0 => 0,
            1..=12 => 1 + self.dice.below(2_000),
            13..=17 => 10_000 + self.dice.below(90_000),
            18 => 16 * 1024 + self.dice.below(3),
            _ => 1_000_000 + self.dice.below(300_000),
        };
        let mut seed = [0; 32];
        self.dice.fill(&mut seed);
        (0..size as usize).map(|i| seed[i % 32] ^ (i / 32) as u8).collect::<Vec<u8>>().into()
    }

    pub fn fail(&self, message: String) {
        self.failure.borrow_mut().get_or_insert(message);
    }
}

fn outcome(answer: &Answer) -> Outcome {
    if answer.status.is_success() {
        Outcome::Done
    } else if answer.status.is_server_error() {
        Outcome::Unknown
    } else {
        Outcome::Refused
    }
}

/// Works until there is nothing left to do. `client` keeps what it knows when it is cut off.
pub async fn work(shared: &Shared<'_>, client: &RefCell<Client>) {
    while shared.failure.borrow().is_none() {
        let Some(left) = shared.left.get().checked_sub(1) else { return };
        shared.left.set(left);
        if let Err(message) = step(shared, client).await {
            shared.fail(format!("client {}: {message}", client.borrow().number));
        }
        pause().await;
    }
}

async fn step(shared: &Shared<'_>, client: &RefCell<Client>) -> Result<(), String> {
    let dice = shared.dice;
    match dice.below(40) {
        0 => return transfers::step(shared).await,
        1..=12 => return items::step(shared, client).await,
        _ => {}
    }
    let bucket = dice.below(2) as usize;
    let key = format!("c{}/k{}", client.borrow().number, dice.below(KEYS));
    match dice.below(100) {
        0..=24 => put(shared, client, bucket, &key).await,
        25..=34 => delete(shared, client, bucket, &key).await,
        35..=49 => get(shared, client, bucket, &key).await,
        50..=57 => list(shared, client, bucket).await,
        58..=64 => copy(shared, client, bucket, &key).await,
        65..=70 => upload(shared, client, bucket, &key).await,
        71..=94 => history::step(shared, client).await,
        _ => race(shared).await,
    }
}

fn settle(client: &RefCell<Client>, bucket: usize, answer: &Answer) {
    let oracle = &mut client.borrow_mut().oracles[bucket];
    match outcome(answer) {
        Outcome::Done => oracle.done(),
        Outcome::Refused => oracle.refused(),
        Outcome::Unknown => oracle.unknown(),
    }
}

fn begin(client: &RefCell<Client>, bucket: usize, key: &str, value: Seen) {
    client.borrow_mut().oracles[bucket].begin(key, value);
}

async fn put(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    bucket: usize,
    key: &str,
) -> Result<(), String> {
    let path = format!("/{}/{key}", BUCKETS[bucket]);
    let body = shared.body();
    begin(client, bucket, key, Some(digest(&body)));
    let answer = shared.send(Request { body, ..Request::new(Method::PUT, &path) }).await?;
    settle(client, bucket, &answer);
    Ok(())
}

async fn delete(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    bucket: usize,
    key: &str,
) -> Result<(), String> {
    let path = format!("/{}/{key}", BUCKETS[bucket]);
    begin(client, bucket, key, None);
    let answer = shared.send(Request::new(Method::DELETE, &path)).await?;
    settle(client, bucket, &answer);
    Ok(())
}

/// Reads a key and holds it against what may be true.
pub async fn get(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    bucket: usize,
    key: &str,
) -> Result<(), String> {
    let path = format!("/{}/{key}", BUCKETS[bucket]);
    let answer = shared.send(Request::new(Method::GET, &path)).await?;
    let seen = match answer.status {
        StatusCode::OK => Some(digest(&answer.body)),
        StatusCode::NOT_FOUND => None,
        // A wrong signature, or trouble that is expected.
        _ => return Ok(()),
    };
    client.borrow_mut().oracles[bucket]
        .observe(key, seen)
        .map_err(|message| format!("{}: {message}", BUCKETS[bucket]))
}

async fn list(shared: &Shared<'_>, client: &RefCell<Client>, bucket: usize) -> Result<(), String> {
    let prefix = format!("c{}/", client.borrow().number);
    let path = format!("/{}", BUCKETS[bucket]);
    let query = format!("list-type=2&prefix=c{}%2F", client.borrow().number);
    let answer = shared.send(Request { query: &query, ..Request::new(Method::GET, &path) }).await?;
    if answer.status != StatusCode::OK {
        return Ok(());
    }
    let listed = answer.elements("Key");
    client.borrow_mut().oracles[bucket]
        .observe_listing(&prefix, &listed)
        .map_err(|message| format!("{}: {message}", BUCKETS[bucket]))
}

async fn copy(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    bucket: usize,
    key: &str,
) -> Result<(), String> {
    let from = format!("c{}/k{}", client.borrow().number, shared.dice.below(KEYS));
    let known = client.borrow().oracles[bucket].known(&from);
    let (Some(Some(value)), false) = (known, from == key) else { return Ok(()) };
    let path = format!("/{}/{key}", BUCKETS[bucket]);
    let source = format!("{}/{from}", BUCKETS[bucket]);
    begin(client, bucket, key, Some(value));
    let headers = vec![("x-amz-copy-source", source)];
    let answer = shared.send(Request { headers, ..Request::new(Method::PUT, &path) }).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Err(format!("{from} is there and cannot be copied"));
    }
    settle(client, bucket, &answer);
    Ok(())
}

/// An upload in parts: two parts, the first replaced, sometimes given up.
async fn upload(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    bucket: usize,
    key: &str,
) -> Result<(), String> {
    let path = format!("/{}/{key}", BUCKETS[bucket]);
    let create = Request { query: "uploads=", ..Request::new(Method::POST, &path) };
    let Some(id) = shared.send(create).await?.element("UploadId") else { return Ok(()) };
    let query = format!("partNumber=3&uploadId={id}");
    let mut content = Bytes::new();
    let mut tag = None;
    for _ in 0..=shared.dice.below(2) {
        content = shared.body();
        let body = content.clone();
        let request = Request { query: &query, body, ..Request::new(Method::PUT, &path) };
        let answer = shared.send(request).await?;
        tag = answer.header("etag").filter(|_| answer.status.is_success());
    }
    let query = format!("uploadId={id}");
    let (Some(tag), true) = (tag, shared.dice.below(5) > 0) else {
        shared.send(Request { query: &query, ..Request::new(Method::DELETE, &path) }).await?;
        return Ok(());
    };
    let body = format!(
        "<CompleteMultipartUpload><Part><PartNumber>3</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
    );
    begin(client, bucket, key, Some(digest(&content)));
    let complete =
        Request { query: &query, body: body.into(), ..Request::new(Method::POST, &path) };
    let answer = shared.send(complete).await?;
    settle(client, bucket, &answer);
    Ok(())
}

/// Who is first to write a new key? Exactly one of those who try.
async fn race(shared: &Shared<'_>) -> Result<(), String> {
    let key = format!("shared/{}", shared.dice.below(12));
    let path = format!("/{}/{key}", BUCKETS[0]);
    let body = shared.body();
    let value = digest(&body);
    shared.doubtful.borrow_mut().entry(key.clone()).or_default().push(value);
    let headers = vec![("if-none-match", "*".to_owned())];
    let answer = shared.send(Request { headers, body, ..Request::new(Method::PUT, &path) }).await?;
    let mut doubtful = shared.doubtful.borrow_mut();
    let racing = doubtful.entry(key.clone()).or_default();
    match outcome(&answer) {
        Outcome::Unknown => return Ok(()),
        Outcome::Refused => {
            racing.retain(|v| *v != value);
            return Ok(());
        }
        Outcome::Done => racing.retain(|v| *v != value),
    }
    if let Some(other) = shared.won.borrow_mut().insert(key.clone(), value) {
        return Err(format!("{key} was new twice: {other:x} and {value:x}"));
    }
    Ok(())
}

/// After a crash: every key of every client, and the races.
pub async fn verify(shared: &Shared<'_>, clients: &[RefCell<Client>]) {
    if let Err(message) = items::verify(shared, clients).await {
        return shared.fail(format!("after a crash, {}: {message}", items::TABLE));
    }
    for client in clients {
        for bucket in 0..BUCKETS.len() {
            let keys = client.borrow().oracles[bucket].keys();
            for key in keys {
                if let Err(message) = get(shared, client, bucket, &key).await {
                    return shared.fail(format!("after a crash, {message}"));
                }
            }
            if let Err(message) = list(shared, client, bucket).await {
                return shared.fail(format!("after a crash, {message}"));
            }
        }
        if let Err(message) = history::verify(shared, client, false).await {
            return shared.fail(format!("after a crash, {}: {message}", history::BUCKET));
        }
    }
    for number in 0..12 {
        let key = format!("shared/{number}");
        if let Err(message) = verify_race(shared, &key).await {
            return shared.fail(format!("after a crash, {message}"));
        }
    }
}

async fn verify_race(shared: &Shared<'_>, key: &str) -> Result<(), String> {
    let path = format!("/{}/{key}", BUCKETS[0]);
    let answer = shared.send(Request::new(Method::GET, &path)).await?;
    let seen = match answer.status {
        StatusCode::OK => Some(digest(&answer.body)),
        StatusCode::NOT_FOUND => None,
        _ => return Ok(()),
    };
    let racing = shared.doubtful.borrow_mut().remove(key).unwrap_or_default();
    let won = shared.won.borrow().get(key).copied();
    match (won, seen) {
        (Some(won), Some(seen)) if won == seen => Ok(()),
        (Some(won), seen) => Err(format!("{key} was won with {won:x} and is {seen:x?}")),
        (None, Some(seen)) if racing.contains(&seen) => {
            shared.won.borrow_mut().insert(key.to_owned(), seen);
            Ok(())
        }
        (None, Some(seen)) => Err(format!("{key} is {seen:x}, which nobody wrote")),
        (None, None) => Ok(()),
    }
}

/// At the end, when days have gone by and nothing is left to do.
pub async fn verify_rest(shared: &Shared<'_>, clients: &[RefCell<Client>]) {
    for client in clients {
        if let Err(message) = history::verify(shared, client, true).await {
            return shared.fail(format!("at the end, {}: {message}", history::BUCKET));
        }
    }
    if let Err(message) = items::verify_rest(shared, clients).await {
        return shared.fail(format!("at the end, {}: {message}", items::TABLE));
    }
    if let Err(message) = history::no_uploads(shared).await {
        shared.fail(format!("at the end, {message}"));
    }
}
