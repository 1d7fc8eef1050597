//! One object: each of its versions from the source to the target, oldest first, and proof that what
//! arrived is what was there.

use super::http::{Answer, Body, Call, Seen, Session};
use super::journal::Journal;
use super::listing::{self, Version};
use crate::chance::SystemClock;
use base::{Clock, Timestamp};
use bytes::Bytes;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);
/// A version may take this long, and what its bytes take at the slowest rate.
const PATIENCE: Duration = Duration::from_secs(180);
const SLOWEST_BYTES_PER_S: u64 = 50_000;
/// What one put takes at most, and the parts of what is larger where the source names none.
const PUT_BYTES_MAX: u64 = 5 << 30;
const PART_BYTES: u64 = 512 << 20;
const PARTS_MAX: u64 = 10_000;

const RETAIN_UNTIL: &str = "x-amz-object-lock-retain-until-date";
/// What is said of an object besides its bytes.
const KEPT: [&str; 14] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
    "x-amz-website-redirect-location",
    "x-amz-storage-class",
    "x-amz-server-side-encryption",
    "x-amz-object-lock-mode",
    RETAIN_UNTIL,
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-legal-hold-status",
    "content-encoding",
    "x-amz-meta-",
];

#[derive(Default, Debug)]
pub struct Tally {
    pub copied: u64,
    pub bytes: u64,
    /// Done in an earlier run.
    pub skipped: u64,
    pub problems: Vec<String>,
}

/// What all workers share.
pub struct Shared {
    pub journal: Mutex<Journal>,
    pub tally: Mutex<Tally>,
}

impl Shared {
    pub fn problem(&self, text: String) {
        self.tally.lock().expect("no panic while held").problems.push(text);
    }
}

/// Why a version was not copied.
#[derive(Debug)]
pub enum Trouble {
    /// It may go better next time.
    Passing(String),
    Lasting(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Passing(error.to_string())
    }
}

pub type Done<T> = Result<T, Trouble>;

/// A worker: a connection to either side.
pub struct Copier {
    pub source: Session,
    pub target: Session,
    pub shared: Arc<Shared>,
    /// The target's canonical id, where the bucket has lists of grants to copy.
    pub grants_for: Option<Arc<str>>,
}

/// An answer that is not what was hoped for.
pub async fn refused(what: &str, answer: Answer) -> Trouble {
    let status = answer.status;
    let body = answer.text().await.unwrap_or_default();
    let code = listing::element(&body, "Code").unwrap_or_default();
    let message = listing::element(&body, "Message").unwrap_or_default();
    let text = format!("{what}: {status} {code} {message}").trim_end().to_owned();
    let passing = status >= 500 || matches!(&*code, "SlowDown" | "RequestTimeout");
    if passing { Trouble::Passing(text) } else { Trouble::Lasting(text) }
}

/// The journal's name of a version. Where a bucket keeps none, the content tells one from the next.
fn name(version: &Version) -> String {
    match &*version.id {
        "" | "null" => format!("null:{}", version.etag),
        id => id.to_owned(),
    }
}

/// Some of the source's bytes.
#[derive(Clone, Copy, Debug)]
enum Piece {
    Whole,
    Part(u64),
    Range(u64, u64),
}

impl Piece {
    /// The part that many numbers later.
    fn later(self, by: u64) -> Piece {
        match self {
            Piece::Part(number) => Piece::Part(number + by),
            other => other,
        }
    }
}

impl Copier {
    /// Copies the versions of one key, which stand newest first.
    pub async fn key(&mut self, bucket: &str, versions: Vec<Version>, versioned: bool) {
        for (before, version) in versions.iter().rev().enumerate() {
            let id = name(version);
            let (done, open) = {
                let journal = self.shared.journal.lock().expect("no panic while held");
                (
                    journal.is_done(bucket, &version.key, &id),
                    journal.is_open(bucket, &version.key, &id),
                )
            };
            if done {
                self.shared.tally.lock().expect("no panic while held").skipped += 1;
                continue;
            }
            if let Err(text) = self.version(bucket, version, &id, before, versioned, open).await {
                let place = format!("{bucket}/{} (version {})", version.key, version.id);
                self.shared.problem(format!("{place}: {text}"));
                // Later versions would stand in the wrong order.
                return;
            }
        }
    }

    async fn version(
        &mut self,
        bucket: &str,
        version: &Version,
        id: &str,
        before: usize,
        versioned: bool,
        mut unsure: bool,
    ) -> Result<(), String> {
        let journal = |act: &dyn Fn(&mut Journal) -> io::Result<()>| {
            let mut journal = self.shared.journal.lock().expect("no panic while held");
            act(&mut journal).map_err(|error| format!("{}: {error}", journal.path().display()))
        };
        journal(&|journal| journal.begin(bucket, &version.key, id))?;
        let shared = self.shared.clone();
        let limit = PATIENCE + Duration::from_secs(version.size / SLOWEST_BYTES_PER_S);
        let mut attempt = 0;
        loop {
            attempt += 1;
            if attempt > 1 {
                tokio::time::sleep(PAUSE * 2u32.pow(attempt)).await;
            }
            let tried = timeout(limit, self.attempt(bucket, version, before, versioned && unsure));
            let outcome =
                tried.await.unwrap_or_else(|_| Err(Trouble::Passing("too slow".to_owned())));
            match outcome {
                Ok(()) => break,
                Err(Trouble::Lasting(text)) => return Err(text),
                Err(Trouble::Passing(text)) if attempt == ATTEMPTS => return Err(text),
                Err(Trouble::Passing(_)) => {
                    self.source.close();
                    self.target.close();
                    unsure = true;
                }
            }
        }
        {
            let mut tally = shared.tally.lock().expect("no panic while held");
            tally.copied += 1;
            tally.bytes += version.size;
        }
        let mut journal = shared.journal.lock().expect("no panic while held");
        journal.finish(bucket, &version.key, id).map_err(|error| error.to_string())
    }

    async fn attempt(
        &mut self,
        bucket: &str,
        version: &Version,
        before: usize,
        unsure: bool,
    ) -> Done<()> {
        if unsure && self.is_there(bucket, version, before).await? {
            return Ok(());
        }
        if version.marker {
            let call = call("DELETE", bucket, &version.key);
            let answer = self.target.send(&call, Body::Empty).await?;
            return match answer.status {
                204 | 200 => answer.text().await.map(|_| ()).map_err(Trouble::from),
                _ => Err(refused("delete", answer).await),
            };
        }
        self.object(bucket, version).await
    }

    /// Whether an earlier attempt put the version after all: there is one more than before, and the
    /// newest is like it.
    async fn is_there(&mut self, bucket: &str, version: &Version, before: usize) -> Done<bool> {
        let mut call = call("GET", bucket, "");
        call.query = vec![("prefix", version.key.clone()), ("versions", String::new())];
        call.query.insert(0, ("encoding-type", "url".to_owned()));
        let answer = self.target.send(&call, Body::Empty).await?;
        if answer.status != 200 {
            return Err(refused("list versions", answer).await);
        }
        let page = listing::versions(&answer.text().await?)
            .map_err(|error| Trouble::Lasting(error.to_string()))?;
        let own: Vec<_> = page.versions.iter().filter(|other| other.key == version.key).collect();
        let like = own.first().is_some_and(|newest| {
            newest.marker == version.marker
                && newest.size == version.size
                && (newest.etag == version.etag || !is_md5(&version.etag))
        });
        Ok(own.len() > before && like)
    }

    async fn object(&mut self, bucket: &str, version: &Version) -> Done<()> {
        let parts = self.parts(bucket, version).await?;
        let [only] = parts[..] else { return self.in_parts(bucket, version, &parts).await };
        let from = self.read(bucket, version, only).await?;
        let mut call = call("PUT", bucket, &version.key);
        call.headers = kept(&from.headers, SystemClock::new().now());
        call.headers.extend(self.tags(bucket, version, &from).await?);
        call.headers.extend(self.grants(bucket, version).await?);
        let trusted = trusted_etag(&from);
        let etag = self.relay(&call, from, version.size).await?;
        match trusted {
            Some(theirs) if is_md5(&theirs) && theirs != etag => {
                Err(Trouble::Passing(format!("its ETag was {theirs} and is {etag}")))
            }
            _ => Ok(()),
        }
    }

    /// How the object is read: as it was once uploaded, so that it has the same ETag again.
    async fn parts(&mut self, bucket: &str, version: &Version) -> Done<Vec<Piece>> {
        if version.etag.contains('-') {
            let mut call = call("HEAD", bucket, &version.key);
            call.query = query(version, Piece::Part(1));
            let answer = self.source.send(&call, Body::Empty).await?;
            let count = answer.header("x-amz-mp-parts-count").and_then(|n| n.parse::<u64>().ok());
            if let (200 | 206, Some(count @ 1..=PARTS_MAX)) = (answer.status, count) {
                return Ok((1..=count).map(Piece::Part).collect());
            }
        }
        if version.size <= PUT_BYTES_MAX {
            return Ok(vec![Piece::Whole]);
        }
        let starts = (0..version.size).step_by(PART_BYTES as usize);
        Ok(starts.map(|at| Piece::Range(at, (at + PART_BYTES).min(version.size) - 1)).collect())
    }

    async fn read(&mut self, bucket: &str, version: &Version, piece: Piece) -> Done<Answer> {
        let mut call = call("GET", bucket, &version.key);
        call.query = query(version, piece);
        if let Piece::Range(first, last) = piece {
            call.headers.push(("range".to_owned(), format!("bytes={first}-{last}")));
        }
        let answer = self.source.send(&call, Body::Empty).await?;
        match answer.status {
            200 | 206 => Ok(answer),
            _ => Err(refused("get", answer).await),
        }
    }

    async fn tags(
        &mut self,
        bucket: &str,
        version: &Version,
        from: &Answer,
    ) -> Done<Option<(String, String)>> {
        if from.header("x-amz-tagging-count").is_none_or(|count| count == "0") {
            return Ok(None);
        }
        let mut call = call("GET", bucket, &version.key);
        call.query = query(version, Piece::Whole);
        call.query.insert(0, ("tagging", String::new()));
        // The object's own answer is being read on the other connection.
        let mut beside = Session::new(self.source.place.clone());
        let answer = beside.send(&call, Body::Empty).await?;
        if answer.status != 200 {
            return Err(refused("get tags", answer).await);
        }
        let tags = listing::tags(&answer.text().await?)
            .map_err(|error| Trouble::Lasting(format!("tags: {error}")))?;
        Ok(Some(("x-amz-tagging".to_owned(), tags)))
    }

    /// Who else may use the object, as headers.
    async fn grants(&mut self, bucket: &str, version: &Version) -> Done<Vec<(String, String)>> {
        let Some(own) = self.grants_for.clone() else { return Ok(Vec::new()) };
        let mut call = call("GET", bucket, &version.key);
        call.query = query(version, Piece::Whole);
        call.query.insert(0, ("acl", String::new()));
        let mut beside = Session::new(self.source.place.clone());
        let answer = beside.send(&call, Body::Empty).await?;
        if answer.status != 200 {
            return Err(refused("get grants", answer).await);
        }
        listing::grants(&answer.text().await?, &own)
            .map_err(|error| Trouble::Lasting(format!("grants: {error}")))
    }

    /// Sends on what comes; gives the target's ETag, which is held against what passed through.
    async fn relay(&mut self, call: &Call<'_>, from: Answer, size: u64) -> Done<String> {
        let length = from.header("content-length").and_then(|length| length.parse().ok());
        let length: u64 = length.unwrap_or(size);
        let seen = Seen::default();
        let body = Body::Relay { from: from.body, length, seen: seen.clone() };
        let answer = self.target.send(call, body).await?;
        if answer.status != 200 {
            self.source.close();
            return Err(refused("put", answer).await);
        }
        let etag = answer.header("etag").unwrap_or("").trim_matches('"').to_owned();
        answer.text().await?;
        let (md5, bytes) = seen.md5_and_bytes();
        if bytes != length {
            return Err(Trouble::Passing(format!("{bytes} of {length} bytes came")));
        }
        let md5 = base::hex::encode(&md5);
        if is_md5(&etag) && etag != md5 {
            return Err(Trouble::Passing(format!("sent {md5}, but {etag} arrived")));
        }
        Ok(etag)
    }

    async fn in_parts(&mut self, bucket: &str, version: &Version, parts: &[Piece]) -> Done<()> {
        let first = self.read(bucket, version, parts[0]).await?;
        let trusted = trusted_etag(&first);
        let mut begin = call("POST", bucket, &version.key);
        begin.query = vec![("uploads", String::new())];
        begin.headers = kept(&first.headers, SystemClock::new().now());
        begin.headers.extend(self.tags(bucket, version, &first).await?);
        begin.headers.extend(self.grants(bucket, version).await?);
        let answer = self.target.send(&begin, Body::Empty).await?;
        if answer.status != 200 {
            self.source.close();
            return Err(refused("begin an upload", answer).await);
        }
        let upload = listing::element(&answer.text().await?, "UploadId")
            .ok_or_else(|| Trouble::Lasting("the upload has no number".to_owned()))?;
        let etag = self.upload(bucket, version, parts, first, &upload).await;
        if etag.is_err() {
            let mut abort = call("DELETE", bucket, &version.key);
            abort.query = vec![("uploadId", upload)];
            self.target.close();
            let _ = self.target.send(&abort, Body::Empty).await;
            self.target.close();
        }
        let etag = etag?;
        let as_uploaded = matches!(parts[0], Piece::Part(_));
        match trusted {
            Some(theirs) if as_uploaded && theirs != etag => {
                Err(Trouble::Lasting(format!("its ETag was {theirs} and is {etag}")))
            }
            _ => Ok(()),
        }
    }

    async fn upload(
        &mut self,
        bucket: &str,
        version: &Version,
        parts: &[Piece],
        first: Answer,
        upload: &str,
    ) -> Done<String> {
        let mut xml = "<CompleteMultipartUpload>".to_owned();
        let mut first = Some(first);
        // Numbers of parts may have gaps.
        let mut absent = 0;
        for (index, piece) in parts.iter().enumerate() {
            let from = loop {
                if let Some(from) = first.take() {
                    break from;
                }
                match self.read(bucket, version, piece.later(absent)).await {
                    Err(Trouble::Lasting(text)) if text.contains("416") && absent < PARTS_MAX => {
                        absent += 1;
                    }
                    read => break read?,
                }
            };
            let mut put = call("PUT", bucket, &version.key);
            let number = (index + 1).to_string();
            put.query = vec![("partNumber", number.clone()), ("uploadId", upload.to_owned())];
            let etag = self.relay(&put, from, 0).await?;
            xml += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        }
        xml += "</CompleteMultipartUpload>";
        let mut end = call("POST", bucket, &version.key);
        end.query = vec![("uploadId", upload.to_owned())];
        let answer = self.target.send(&end, Body::Whole(Bytes::from(xml))).await?;
        if answer.status != 200 {
            return Err(refused("complete an upload", answer).await);
        }
        let body = answer.text().await?;
        let etag = listing::element(&body, "ETag");
        let etag = etag.ok_or_else(|| {
            let code = listing::element(&body, "Code").unwrap_or_default();
            Trouble::Passing(format!("complete an upload: {code}"))
        })?;
        Ok(etag.trim_matches('"').to_owned())
    }
}

pub fn call<'c>(method: &'static str, bucket: &'c str, key: &'c str) -> Call<'c> {
    Call { method, bucket, key, query: Vec::new(), headers: Vec::new() }
}

fn query(version: &Version, piece: Piece) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    if let Piece::Part(number) = piece {
        query.push(("partNumber", number.to_string()));
    }
    if !matches!(&*version.id, "" | "null") {
        query.push(("versionId", version.id.clone()));
    }
    query
}

fn kept(headers: &http::HeaderMap, now: Timestamp) -> Vec<(String, String)> {
    // A retention that has ended is still told of; it holds nothing, and nobody can put it.
    let until = headers.get(RETAIN_UNTIL).and_then(|until| until.to_str().ok());
    let until = until.and_then(|until| Timestamp::parse_iso8601(until).ok());
    let ended = until.is_some_and(|until| until <= now);
    let mut out = Vec::new();
    for (name, value) in headers {
        let (name, Ok(value)) = (name.as_str(), value.to_str()) else { continue };
        let is_kept = KEPT
            .iter()
            .any(|kept| name == *kept || (kept.ends_with('-') && name.starts_with(kept)));
        match (name, value) {
            _ if !is_kept => {}
            (RETAIN_UNTIL | "x-amz-object-lock-mode", _) if ended => {}
            // Keys of a key service stay there; the target encrypts by its own.
            ("x-amz-server-side-encryption", value) if value != "AES256" => {}
            ("content-encoding", value) => {
                let codings = value.split(',').map(str::trim);
                let real: Vec<&str> = codings.filter(|coding| *coding != "aws-chunked").collect();
                if !real.is_empty() {
                    out.push((name.to_owned(), real.join(",")));
                }
            }
            _ => out.push((name.to_owned(), value.to_owned())),
        }
    }
    out
}

/// The source's ETag where it is made of the bytes: not so with keys of a key service or a customer's.
fn trusted_etag(from: &Answer) -> Option<String> {
    let sealed = from.header("x-amz-server-side-encryption").is_some_and(|kind| kind != "AES256");
    let etag = from.header("etag")?.trim_matches('"').to_owned();
    (!sealed).then_some(etag)
}

fn is_md5(etag: &str) -> bool {
    etag.len() == 32 && etag.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_an_object() {
        let check = |given: &[(&'static str, &str)], at_s: i64, expected: &[&str]| {
            let pair = |(name, value): &(&'static str, &str)| {
                (http::HeaderName::from_static(name), value.parse().unwrap())
            };
            let headers: http::HeaderMap = given.iter().map(pair).collect();
            let kept = kept(&headers, Timestamp::from_secs(at_s));
            let shown: Vec<String> =
                kept.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            assert_eq!(shown, expected, "{given:?}");
        };
        check(&[("content-type", "a/b"), ("server", "x")], 0, &["content-type: a/b"]);
        check(&[("content-encoding", "aws-chunked, gzip")], 0, &["content-encoding: gzip"]);
        check(&[("x-amz-server-side-encryption", "aws:kms")], 0, &[]);
        let locked = [
            ("x-amz-object-lock-mode", "COMPLIANCE"),
            (RETAIN_UNTIL, "2027-01-15T08:00:00.000Z"),
            ("x-amz-object-lock-legal-hold", "ON"),
        ];
        let lines = locked.map(|(name, value)| format!("{name}: {value}"));
        check(&locked, 1_799_999_999, &lines.each_ref().map(String::as_str));
        check(&locked, 1_800_000_000, &["x-amz-object-lock-legal-hold: ON"]);
    }
}
