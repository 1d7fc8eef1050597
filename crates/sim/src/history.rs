//! Version histories of a client's keys in a bucket with object lock and lifecycle rules, held against
//! a model: which versions are there, which may have gone, and which must have gone by the end.
//!
//! A pass of the lifecycle runs when its turn comes, so what is due may be there or not until the world
//! has come to rest. What is locked, or not yet due, must be there whatever happens.

use crate::client::{Client, Shared};
use crate::request::{Answer, Request, digest};
use base::{Clock, Entropy};
use bytes::Bytes;
use http::{Method, StatusCode};
use std::cell::RefCell;
use std::collections::BTreeMap;

pub const BUCKET: &str = "vault";
/// Keys below it expire a day after they were made; all keys lose displaced versions after a day.
const EXPIRING: &str = "x/";
const KEYS: u64 = 2;
const DAY_MS: i64 = 86_400_000;
/// The clock may be set back by so much, while transactions never go back.
const SLACK_MS: i64 = 1_200_000;

pub const RULES: &str = "<LifecycleConfiguration><Rule><ID>old</ID><Status>Enabled</Status>\
    <Filter><Prefix></Prefix></Filter>\
    <Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>\
    <NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>\
    <AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>\
    </AbortIncompleteMultipartUpload></Rule>\
    <Rule><ID>x</ID><Status>Enabled</Status><Filter><Prefix>x/</Prefix></Filter>\
    <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";

/// A version whose making was acknowledged, or that was seen.
#[derive(Debug)]
struct Version {
    id: String,
    /// The digest of its content; `None` for a delete marker.
    value: Option<u64>,
    /// The earliest moment at which something newer can have taken its place.
    displaced_ms: Option<i64>,
    locked_until_ms: i64,
    held: bool,
    /// It may be held, or locked, without our knowing.
    maybe_held: bool,
    /// A delete of it was not answered.
    doubtful: bool,
}

impl Version {
    fn is_locked(&self, now_ms: i64) -> bool {
        self.held || self.locked_until_ms > now_ms + SLACK_MS
    }

    /// Whether a pass of the lifecycle may have taken it.
    fn may_be_due(&self, now_ms: i64) -> bool {
        let due = self.displaced_ms.is_some_and(|at| now_ms + SLACK_MS >= at + DAY_MS);
        due && !self.is_locked(now_ms)
    }
}

/// What is known of the keys of one client.
#[derive(Debug, Default)]
pub struct History {
    /// Oldest first.
    keys: BTreeMap<String, Vec<Version>>,
    /// Contents (or markers) that may have become a version without an answer.
    doubtful: BTreeMap<String, Vec<Option<u64>>>,
    /// The key that a change is under way for, what it makes, and when it began.
    pending: Option<(String, Option<u64>, i64)>,
}

impl History {
    /// The life of the cloud ended: whatever was under way may have happened.
    pub fn unknown(&mut self) {
        if let Some((key, value, began_ms)) = self.pending.take() {
            // It may have displaced the latest, and be gone itself before anybody sees it.
            self.displace(&key, began_ms);
            self.doubtful.entry(key).or_default().push(value);
        }
    }

    fn began(&mut self, key: &str, value: Option<u64>, now_ms: i64) {
        self.pending = Some((key.to_owned(), value, now_ms));
    }

    fn displace(&mut self, key: &str, now_ms: i64) {
        if let Some(last) = self.keys.entry(key.to_owned()).or_default().last_mut() {
            let earliest = last.displaced_ms.unwrap_or(now_ms).min(now_ms);
            last.displaced_ms = Some(earliest);
        }
    }

    fn add(&mut self, key: &str, version: Version) {
        self.keys.entry(key.to_owned()).or_default().push(version);
    }
}

struct Listed {
    id: String,
    marker: bool,
    latest: bool,
}

fn now_ms(shared: &Shared<'_>) -> i64 {
    shared.clock.now().to_millis()
}

pub async fn step(shared: &Shared<'_>, client: &RefCell<Client>) -> Result<(), String> {
    let dice = shared.dice;
    let number = client.borrow().number;
    let prefix = if dice.below(3) == 0 { EXPIRING } else { "" };
    let key = format!("{prefix}c{number}/v{}", dice.below(KEYS));
    match dice.below(10) {
        0..=3 => put(shared, client, &key).await,
        4 => mark(shared, client, &key).await,
        5 => delete_version(shared, client, &key).await,
        6 => hold(shared, client, &key).await,
        7 => upload(shared, client, &key).await,
        _ => look(shared, client, &key, false).await,
    }
}

/// What came of a change, by the answer.
fn settled(client: &RefCell<Client>, answer: &Answer) -> bool {
    let history = &mut client.borrow_mut().history;
    if answer.status.is_server_error() {
        history.unknown();
    } else {
        history.pending = None;
    }
    answer.status.is_success()
}

fn made(
    client: &RefCell<Client>,
    key: &str,
    (answer, value, began_ms): (&Answer, Option<u64>, i64),
    (locked_until_ms, held): (i64, bool),
) -> Result<(), String> {
    let id = answer.header("x-amz-version-id");
    let id = id.ok_or_else(|| format!("{key}: no version id in {answer:?}"))?;
    let history = &mut client.borrow_mut().history;
    history.displace(key, began_ms);
    // Made at the earliest when the request began: a day later it may give way to a marker.
    let expires = key.starts_with(EXPIRING) && value.is_some();
    let displaced_ms = expires.then_some(began_ms + DAY_MS);
    let (maybe_held, doubtful) = (held, false);
    let version = Version { id, value, displaced_ms, locked_until_ms, held, maybe_held, doubtful };
    history.add(key, version);
    Ok(())
}

async fn put(shared: &Shared<'_>, client: &RefCell<Client>, key: &str) -> Result<(), String> {
    let path = format!("/{BUCKET}/{key}");
    let (body, began_ms) = (shared.small_body(), now_ms(shared));
    let value = Some(digest(&body));
    let mut headers = Vec::new();
    let (mut until_ms, held) = (0, shared.dice.below(8) == 0);
    if shared.dice.below(4) == 0 {
        let hours = 1 + shared.dice.below(72) as i64;
        let until = shared.clock.now().plus_secs(hours * 3600);
        until_ms = until.to_secs() * 1000;
        headers.push(("x-amz-object-lock-mode", "COMPLIANCE".to_owned()));
        headers.push(("x-amz-object-lock-retain-until-date", until.iso8601_secs()));
    }
    if held {
        headers.push(("x-amz-object-lock-legal-hold", "ON".to_owned()));
    }
    client.borrow_mut().history.began(key, value, began_ms);
    let answer = shared.send(Request { headers, body, ..Request::new(Method::PUT, &path) }).await?;
    match settled(client, &answer) {
        true => made(client, key, (&answer, value, began_ms), (until_ms, held)),
        false => Ok(()),
    }
}

/// A delete without a version: a marker.
async fn mark(shared: &Shared<'_>, client: &RefCell<Client>, key: &str) -> Result<(), String> {
    let path = format!("/{BUCKET}/{key}");
    let began_ms = now_ms(shared);
    client.borrow_mut().history.began(key, None, began_ms);
    let answer = shared.send(Request::new(Method::DELETE, &path)).await?;
    match settled(client, &answer) {
        true => made(client, key, (&answer, None, began_ms), (0, false)),
        false => Ok(()),
    }
}

/// One of the versions that are known, and its place.
fn choose(shared: &Shared<'_>, client: &RefCell<Client>, key: &str) -> Option<(usize, String)> {
    let client = client.borrow();
    let versions = client.history.keys.get(key)?;
    if versions.is_empty() {
        return None;
    }
    let nth = shared.dice.below(versions.len() as u64) as usize;
    Some((nth, versions[nth].id.clone()))
}

/// Does something with a version by its id, which may have moved or gone meanwhile.
fn with_version<R>(
    client: &RefCell<Client>,
    key: &str,
    id: &str,
    change: impl FnOnce(&mut Version) -> R,
) -> Option<R> {
    let mut client = client.borrow_mut();
    let versions = client.history.keys.get_mut(key)?;
    versions.iter_mut().find(|version| version.id == id).map(change)
}

async fn delete_version(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    key: &str,
) -> Result<(), String> {
    let Some((_, id)) = choose(shared, client, key) else { return Ok(()) };
    let path = format!("/{BUCKET}/{key}");
    let query = format!("versionId={id}");
    let before = with_version(client, key, &id, |version| {
        let doubtful = std::mem::replace(&mut version.doubtful, true);
        (version.is_locked(now_ms(shared)), doubtful)
    });
    let (was_locked, was_doubtful) = before.unwrap_or_default();
    let answer =
        shared.send(Request { query: &query, ..Request::new(Method::DELETE, &path) }).await?;
    let now = now_ms(shared);
    if answer.status.is_success() {
        let still = with_version(client, key, &id, |version| version.is_locked(now));
        if was_locked && still == Some(true) {
            return Err(format!("{key} {id} was locked and could be deleted"));
        }
        let history = &mut client.borrow_mut().history;
        if let Some(versions) = history.keys.get_mut(key) {
            versions.retain(|version| version.id != id);
        }
    } else if answer.status.is_client_error() {
        with_version(client, key, &id, |version| version.doubtful = was_doubtful);
    }
    Ok(())
}

/// Puts a hold on a version or takes it off.
async fn hold(shared: &Shared<'_>, client: &RefCell<Client>, key: &str) -> Result<(), String> {
    let Some((_, id)) = choose(shared, client, key) else { return Ok(()) };
    let marker = with_version(client, key, &id, |version| version.value.is_none());
    if marker != Some(false) {
        return Ok(());
    }
    let on = shared.dice.below(3) == 0;
    let path = format!("/{BUCKET}/{key}");
    let query = format!("legal-hold=&versionId={id}");
    let word = if on { "ON" } else { "OFF" };
    let body = format!("<LegalHold><Status>{word}</Status></LegalHold>").into();
    // Until the answer is there it is not known whether it is held.
    let before = with_version(client, key, &id, |version| {
        let before = (version.held, version.maybe_held);
        (version.held, version.maybe_held) = (false, true);
        before
    });
    let request = Request { query: &query, body, ..Request::new(Method::PUT, &path) };
    let answer = shared.send(request).await?;
    let known = match (answer.status.is_success(), answer.status.is_client_error()) {
        (true, _) => (on, on),
        (false, true) => before.unwrap_or_default(),
        (false, false) => (false, true),
    };
    with_version(client, key, &id, |version| (version.held, version.maybe_held) = known);
    Ok(())
}

/// An upload in one part, which is completed less than a day after it was begun.
async fn upload(shared: &Shared<'_>, client: &RefCell<Client>, key: &str) -> Result<(), String> {
    let path = format!("/{BUCKET}/{key}");
    let create = Request { query: "uploads=", ..Request::new(Method::POST, &path) };
    let began_ms = now_ms(shared);
    let Some(id) = shared.send(create).await?.element("UploadId") else { return Ok(()) };
    let content = shared.small_body();
    let query = format!("partNumber=1&uploadId={id}");
    let part = Request { query: &query, body: content.clone(), ..Request::new(Method::PUT, &path) };
    let answer = shared.send(part).await?;
    let Some(tag) = answer.header("etag").filter(|_| answer.status.is_success()) else {
        return Ok(());
    };
    // Most are left lying: the lifecycle gives them up.
    if shared.dice.below(3) == 0 {
        return Ok(());
    }
    let body = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part></CompleteMultipartUpload>"
    );
    let query = format!("uploadId={id}");
    let (value, asked_ms) = (Some(digest(&content)), now_ms(shared));
    client.borrow_mut().history.began(key, value, asked_ms);
    let complete =
        Request { query: &query, body: body.into(), ..Request::new(Method::POST, &path) };
    let answer = shared.send(complete).await?;
    let code = answer.element("Code").unwrap_or_default();
    let young = now_ms(shared) + SLACK_MS < began_ms + DAY_MS;
    if settled(client, &answer) {
        return made(client, key, (&answer, value, asked_ms), (0, false));
    }
    match (&*code, young) {
        ("NoSuchUpload", true) => {
            Err(format!("{key}: the upload {id} is gone before its day is over"))
        }
        ("InvalidPart", _) => Err(format!("{key}: a part that was acknowledged is not there")),
        _ => Ok(()),
    }
}

/// Lists a key's versions and reads one of them. At rest, what is due must have gone.
pub async fn look(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    key: &str,
    at_rest: bool,
) -> Result<(), String> {
    let path = format!("/{BUCKET}");
    let query = format!("prefix={}&versions=", key.replace('/', "%2F"));
    let answer = shared.send(Request { query: &query, ..Request::new(Method::GET, &path) }).await?;
    if answer.status != StatusCode::OK {
        return Ok(());
    }
    let listed = versions_of(&answer);
    adopt(shared, client, key, &listed).await?;
    let now = now_ms(shared);
    compare(client, key, &listed, now, at_rest)?;
    let Some((_, id)) = choose(shared, client, key) else { return Ok(()) };
    let path = format!("/{BUCKET}/{key}");
    let query = format!("versionId={id}");
    let answer = shared.send(Request { query: &query, ..Request::new(Method::GET, &path) }).await?;
    let now = now_ms(shared);
    let judge = |version: &mut Version| match (answer.status, version.value) {
        (StatusCode::OK, Some(value)) if value == digest(&answer.body) => Ok(()),
        (StatusCode::METHOD_NOT_ALLOWED, None) => Ok(()),
        (StatusCode::OK, _) => Err(format!("{key} {id} has the wrong content")),
        (StatusCode::NOT_FOUND, Some(_)) if !version.may_be_due(now) && !version.doubtful => {
            Err(format!("{key} {id} was acknowledged and cannot be read"))
        }
        _ => Ok(()),
    };
    with_version(client, key, &id, judge).unwrap_or(Ok(()))
}

/// Versions and markers of a page, newest first; of each its id.
fn versions_of(answer: &Answer) -> Vec<Listed> {
    let text = String::from_utf8_lossy(&answer.body);
    let mut all = Vec::new();
    for piece in text.split("<Version>").skip(1) {
        all.push((piece, false));
    }
    for piece in text.split("<DeleteMarker>").skip(1) {
        all.push((piece, true));
    }
    let id = |piece: &str| {
        let rest = piece.split("<VersionId>").nth(1)?;
        rest.split('<').next().map(str::to_owned)
    };
    let listed = |(piece, marker): (&str, bool)| {
        let own = piece.split("</Version>").next().unwrap_or("");
        let latest = own.split("</DeleteMarker>").next()?.contains("<IsLatest>true");
        Some(Listed { id: id(piece)?, marker, latest })
    };
    all.into_iter().filter_map(listed).collect()
}

/// Versions that the model does not know: of requests without an answer, or markers of the lifecycle.
async fn adopt(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    key: &str,
    listed: &[Listed],
) -> Result<(), String> {
    for found in listed {
        if with_version(client, key, &found.id, |_| ()).is_some() {
            continue;
        }
        let value = match found.marker {
            true => None,
            false => {
                let path = format!("/{BUCKET}/{key}");
                let query = format!("versionId={}", found.id);
                let get = Request { query: &query, ..Request::new(Method::GET, &path) };
                let answer = shared.send(get).await?;
                if answer.status != StatusCode::OK {
                    continue;
                }
                Some(digest(&answer.body))
            }
        };
        let history = &mut client.borrow_mut().history;
        let doubtful = history.doubtful.entry(key.to_owned()).or_default();
        match doubtful.iter().position(|other| *other == value) {
            Some(nth) => drop(doubtful.remove(nth)),
            None if found.marker && key.starts_with(EXPIRING) => {}
            None => return Err(format!("{key} {} is there and nobody made it", found.id)),
        }
        // It may have displaced any other, or been displaced, since who knows when.
        let versions = history.keys.entry(key.to_owned()).or_default();
        versions.iter_mut().for_each(|version| version.displaced_ms = Some(0));
        let id = found.id.clone();
        let displaced_ms = Some(0);
        versions.push(Version {
            id,
            value,
            displaced_ms,
            locked_until_ms: 0,
            held: false,
            maybe_held: true,
            doubtful: false,
        });
    }
    Ok(())
}

fn compare(
    client: &RefCell<Client>,
    key: &str,
    listed: &[Listed],
    now_ms: i64,
    at_rest: bool,
) -> Result<(), String> {
    let mut client = client.borrow_mut();
    let versions = client.history.keys.entry(key.to_owned()).or_default();
    let is_there = |version: &Version| listed.iter().any(|found| found.id == version.id);
    let oldest_there = versions.iter().position(is_there).unwrap_or(versions.len());
    for (nth, version) in versions.iter().enumerate().filter(|(_, version)| !is_there(version)) {
        // A marker below which there is nothing goes, whatever came later.
        let marker_alone = version.value.is_none() && nth < oldest_there;
        if version.is_locked(now_ms) && !version.doubtful {
            return Err(format!("{key} {} is locked and gone", version.id));
        }
        if !(version.may_be_due(now_ms) || version.doubtful || marker_alone) {
            return Err(format!("{key} at {now_ms} {version:?} was acknowledged and is gone"));
        }
    }
    versions.retain(is_there);
    if !at_rest {
        return Ok(());
    }
    // A week went by, and no lock lasts so long: of what was displaced only what is held is left.
    for version in versions.iter().filter(|version| !version.maybe_held) {
        let latest = listed.iter().any(|found| found.latest && found.id == version.id);
        if !latest {
            return Err(format!("{key} {} was displaced days ago and is still there", version.id));
        }
        if version.value.is_some() && key.starts_with(EXPIRING) {
            return Err(format!("{key} {} expired days ago and is still there", version.id));
        }
    }
    if let [only] = listed
        && only.marker
    {
        return Err(format!("{key}: a delete marker is all that is left, and still there"));
    }
    Ok(())
}

/// All keys of a client that anything is known of.
pub async fn verify(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    at_rest: bool,
) -> Result<(), String> {
    let keys: Vec<String> = {
        let history = &client.borrow().history;
        history.keys.keys().chain(history.doubtful.keys()).cloned().collect()
    };
    for key in keys {
        look(shared, client, &key, at_rest).await?;
    }
    Ok(())
}

/// At rest no upload is left: none was completed days after it was begun.
pub async fn no_uploads(shared: &Shared<'_>) -> Result<(), String> {
    let path = format!("/{BUCKET}");
    let request = Request { query: "uploads=", ..Request::new(Method::GET, &path) };
    let answer = shared.send(request).await?;
    match answer.element("UploadId") {
        Some(id) if answer.status == StatusCode::OK => {
            Err(format!("the upload {id} was begun days ago and is still there"))
        }
        _ => Ok(()),
    }
}

impl Shared<'_> {
    /// Few bytes: histories are about versions.
    fn small_body(&self) -> Bytes {
        let mut seed = vec![0; 1 + self.dice.below(40) as usize];
        self.dice.fill(&mut seed);
        match self.dice.below(20) {
            0 => seed.repeat(1_000).into(),
            _ => seed.into(),
        }
    }
}
