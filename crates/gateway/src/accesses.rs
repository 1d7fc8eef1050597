//! Requests to buckets that keep a log: noted in memory as they are answered, and handed to S3 together
//! from time to time. Best effort, as with S3 itself: what comes faster than it is written is counted
//! and not kept, and what waits when the process is killed is gone.

use crate::encode::{Ids, Response, ResponseStream};
use crate::gateway::{Gateway, Peer, Seen};
use crate::host::{self, HostStyle};
use api::{Access, ByteStream, Error};
use base::{Clock, Timestamp, percent};
use bytes::Bytes;
use http::request::Parts;
use http_body::Body;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

/// Requests that wait to be written; more than this are not kept.
const WAITING_MAX: usize = 10_000;
/// Requests that are written in one transaction.
const WRITTEN_AT_ONCE: usize = 500;
/// Of a request's line, and of each header that is kept.
const LINE_BYTES_MAX: usize = 2048;
const HEADER_BYTES_MAX: usize = 1024;
/// Of a key, encoded.
const KEY_BYTES_MAX: usize = 3 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Accesses {
    waiting: Mutex<Vec<Access>>,
    dropped: AtomicU64,
}

impl Accesses {
    fn note(&self, access: Access) {
        let mut waiting = self.waiting.lock();
        match waiting.len() < WAITING_MAX {
            true => waiting.push(access),
            false => {
                self.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// A body of which is counted what leaves; the request is over when it is dropped.
struct Counted {
    stream: Pin<Box<dyn ByteStream>>,
    access: Option<Access>,
    began_ns: u64,
    clock: Arc<dyn Clock>,
    to: Arc<Accesses>,
}

impl ByteStream for Counted {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let next = self.stream.as_mut().poll_next(cx);
        if let (Poll::Ready(Some(Ok(piece))), Some(access)) = (&next, &mut self.access) {
            access.sent_bytes += piece.len() as u64;
        }
        next
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(mut access) = self.access.take() {
            access.total_ms = (self.clock.monotonic_ns().saturating_sub(self.began_ns)) / 1_000_000;
            self.to.note(access);
        }
    }
}

fn bounded(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

fn header(map: &http::HeaderMap, name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(map.get(name)?.as_bytes()).into_owned();
    Some(bounded(text, HEADER_BYTES_MAX))
}

fn number(map: &http::HeaderMap, name: &str) -> Option<u64> {
    map.get(name)?.to_str().ok()?.parse().ok()
}

/// Bucket and key as the URL names them, and whether it is that of a website.
fn place(parts: &Parts, names: &[String]) -> Option<(String, String, bool)> {
    let authority = parts.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = authority.or_else(|| header(&parts.headers, "host")).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(&*host, |(name, _)| name).to_ascii_lowercase();
    let path = parts.uri.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    match host::parse(&host, names) {
        HostStyle::Bucket { bucket, .. } => Some((bucket.to_owned(), path.to_owned(), false)),
        HostStyle::Website { bucket, .. } => Some((bucket.to_owned(), path.to_owned(), true)),
        _ => {
            let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
            let bucket = String::from_utf8(percent::decode(bucket).into_owned()).ok()?;
            (!bucket.is_empty()).then(|| (bucket, key.to_owned(), false))
        }
    }
}

/// The signature's version and whether it stands in the query.
fn signature(parts: &Parts) -> (Option<bool>, bool) {
    let header = parts.headers.get("authorization").map(http::HeaderValue::as_bytes);
    if let Some(value) = header {
        return (Some(value.starts_with(b"AWS ")), false);
    }
    let query = parts.uri.query().unwrap_or("");
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match (has("X-Amz-Signature"), has("Signature")) {
        (true, _) => (Some(false), true),
        (_, true) => (Some(true), true),
        _ => (None, false),
    }
}

/// What would let whoever reads the log send the request again.
const SECRETS: [&str; 3] = ["X-Amz-Signature", "X-Amz-Security-Token", "Signature"];

fn request_line(parts: &Parts) -> String {
    let mut line = format!("{} {}", parts.method, parts.uri.path());
    for (nth, pair) in parts.uri.query().iter().flat_map(|query| query.split('&')).enumerate() {
        line.push(if nth == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if SECRETS.contains(&name) => {
                line.push_str(name);
                line.push_str("=XXXX");
            }
            _ => line.push_str(pair),
        }
    }
    let line = bounded(line, LINE_BYTES_MAX);
    format!("{line} {:?}", parts.version)
}

/// Of the object as a whole, as far as headers tell.
fn object_bytes(parts: &Parts, response: &Response, operation: &str) -> Option<u64> {
    let status = response.status().as_u16();
    match operation {
        "GetObject" | "HeadObject" if status == 206 => {
            let range = response.headers().get("content-range")?.to_str().ok()?;
            range.rsplit_once('/')?.1.parse().ok()
        }
        "GetObject" | "HeadObject" if status == 200 => {
            number(response.headers(), "content-length").or(response.body().size_hint().exact())
        }
        "PutObject" | "UploadPart" if status == 200 => {
            let headers = &parts.headers;
            number(headers, "x-amz-decoded-content-length").or(number(headers, "content-length"))
        }
        _ => None,
    }
}

impl Gateway {
    /// Notes an answer for the log of its bucket, if that keeps one.
    pub(crate) fn note_access(
        &self,
        peer: &Peer,
        parts: &Parts,
        response: &mut Response,
        seen: &mut Seen<'_>,
        (ids, began_ns): (&Ids, u64),
    ) {
        let Some(entry) = seen.entry.filter(|entry| entry.is_s3) else { return };
        let refused = seen.error_code.is_some();
        if seen.touched.is_empty() && !refused {
            return;
        }
        let place = place(parts, &self.guard.directory.host_names);
        let Some((bucket, key, is_website)) = place else { return };
        let bucket = match &seen.access_point {
            Some(point) => point.bucket.clone(),
            None => bucket,
        };
        // Of a refusal nothing was noted on the way.
        let touched = std::mem::take(&mut seen.touched);
        let hooks = entry.service.hooks();
        if touched.is_empty() && !self.store.read(|tx| hooks.logs_accesses(tx, &bucket)) {
            return;
        }
        let operation = seen.operation.map_or("", |operation| operation.name);
        let took_ms = self.clock.monotonic_ns().saturating_sub(began_ns) / 1_000_000;
        let (version_two, is_presigned) = signature(parts);
        let query = parts.uri.query().unwrap_or("");
        let version = query.split('&').find_map(|pair| pair.strip_prefix("versionId="));
        let is_head = parts.method == http::Method::HEAD;
        let whole = match response.body() {
            ResponseStream::Whole(bytes) if !is_head => bytes.len() as u64,
            _ => 0,
        };
        let key = bounded(key, KEY_BYTES_MAX);
        let access = Access {
            at: Timestamp::from_millis(self.clock.now().to_millis() - took_ms as i64),
            bucket,
            key,
            touched,
            method: parts.method.to_string(),
            operation,
            line: request_line(parts),
            version_id: version.map(|id| bounded(id.to_owned(), HEADER_BYTES_MAX)),
            status: response.status().as_u16(),
            error: seen.error_code.take(),
            sent_bytes: whole,
            object_bytes: object_bytes(parts, response, operation),
            total_ms: took_ms,
            turn_around_ms: took_ms,
            referer: header(&parts.headers, "referer"),
            user_agent: header(&parts.headers, "user-agent"),
            request_id: ids.request_id.clone(),
            host_id: ids.host_id.clone(),
            caller: seen.caller.clone(),
            source_ip: peer.address.to_canonical(),
            version_two,
            is_presigned,
            host: header(&parts.headers, "host")
                .or_else(|| parts.uri.authority().map(|authority| authority.to_string()))
                .unwrap_or_default(),
            tls: peer.tls,
            access_point: seen.access_point.as_ref().map(|point| point.arn.clone()),
            by_list: seen.by_list,
            is_website,
        };
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = match body {
            ResponseStream::Flowing(left, stream) => {
                let (clock, to) = (self.clock.clone(), self.accesses.clone());
                let access = Some(access);
                let counted = Counted { stream, access, began_ns, clock, to };
                ResponseStream::Flowing(left, Box::pin(counted))
            }
            body => {
                self.accesses.note(access);
                body
            }
        };
    }

    /// Hands what was noted to S3. Blocks until that is durable: for a thread of its own. What a full or
    /// busy store does not take is gone.
    pub fn write_accesses(&self) -> Result<(), Error> {
        let accesses = std::mem::take(&mut *self.accesses.waiting.lock());
        let Some(entry) = self.guard.directory.by_name("s3").filter(|_| !accesses.is_empty())
        else {
            return Ok(());
        };
        let hooks = entry.service.hooks();
        for some in accesses.chunks(WRITTEN_AT_ONCE) {
            let written = self.store.write(|tx| hooks.log_accesses(tx, some));
            if let Err(error) = store::blobs::block_on(written) {
                self.accesses.dropped.fetch_add(some.len() as u64, Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }
}
