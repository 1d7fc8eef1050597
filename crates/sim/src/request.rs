//! Signed requests as a client makes them, and their answers.

use crate::executor::pause;
use api::{ByteStream, Error};
use base::{Entropy, SeededEntropy, Timestamp, hex};
use bytes::Bytes;
use gateway::{Gateway, Peer, RequestStream, Response};
use http::{Method, StatusCode};
use sha2::{Digest, Sha256};
use sigv4::{Credentials, Payload, RequestHead, Rules, SigningKey, sign_header};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::task::{Context, Poll};

/// How the error of a body that ended early begins.
pub const BROKEN_BODY: &str = "the body broke";
const HOST: &str = "localhost:4566";

/// A request before it is signed.
pub struct Request<'a> {
    pub service: &'static str,
    pub method: Method,
    /// Encoded.
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl<'a> Request<'a> {
    pub fn new(method: Method, path: &'a str) -> Request<'a> {
        let (query, service) = ("", "s3");
        Request { service, method, path, query, headers: Vec::new(), body: Bytes::new() }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// Stands for the answer to a request that was cut off.
    pub fn never_came() -> Answer {
        let (status, headers) = (StatusCode::SERVICE_UNAVAILABLE, http::HeaderMap::new());
        Answer { status, headers, body: Bytes::new() }
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }

    /// The text of the first element of that name.
    pub fn element(&self, name: &str) -> Option<String> {
        self.elements(name).into_iter().next()
    }

    /// The texts of all elements of that name. Enough for names that need no escapes.
    pub fn elements(&self, name: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let pieces = text.split(&open).skip(1).filter_map(|rest| rest.split(&close).next());
        pieces.map(|t| t.replace("&quot;", "\"")).collect()
    }
}

/// Sends it signed with a key of the account's root.
pub async fn send(
    gateway: &Gateway,
    dice: &SeededEntropy,
    now: Timestamp,
    request: Request<'_>,
) -> Result<Answer, String> {
    let Request { service, method, path, query, mut headers, body } = request;
    let date = &now.iso8601_basic()[..8];
    let secret = if service == "s3" && dice.below(200) == 0 { "wrong" } else { "test" };
    let key = SigningKey::derive(secret, date, "us-east-1", service);
    headers.push(("host", HOST.into()));
    headers.push(("content-length", body.len().to_string()));
    let hash: [u8; 32] = Sha256::digest(&body).into();
    let raw: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    let head = RequestHead { method: method.as_str(), path, query, headers: &raw };
    let credentials = Credentials { access_key: "test", key: &key, token: None };
    let rules = match service {
        "s3" => Rules::S3,
        _ => Rules::General { body_sha256: hash },
    };
    let signature = sign_header(&head, rules, Payload::Sha256(hash), &credentials, now);
    let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut builder = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers.iter().chain(&signature) {
        builder = builder.header(*name, value);
    }
    let stream = stream(dice, body);
    let request = builder.body(stream).map_err(|e| e.to_string())?;
    let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), tls: None };
    let answer = collect(gateway.handle(peer, request).await).await?;
    if secret == "wrong" && answer.status != StatusCode::FORBIDDEN {
        return Err(format!("a wrong signature was answered {}", answer.status));
    }
    Ok(answer)
}

/// The body at once or in pieces.
fn stream(dice: &SeededEntropy, body: Bytes) -> RequestStream {
    if body.is_empty() {
        return RequestStream::Empty;
    }
    if dice.below(2) == 0 {
        return RequestStream::Whole(body);
    }
    let piece = 1 + dice.below(1 + body.len() as u64 / 2) as usize;
    RequestStream::Flowing(Box::pin(Trickle { body, piece, wait: false }))
}

/// A body that comes in pieces, with a wait before each.
struct Trickle {
    body: Bytes,
    piece: usize,
    wait: bool,
}

impl ByteStream for Trickle {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.wait = !self.wait;
        if self.wait {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let len = self.piece.min(self.body.len());
        let piece = self.body.split_to(len);
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}

async fn collect(response: Response) -> Result<Answer, String> {
    let (parts, mut body) = response.into_parts();
    let mut all = Vec::new();
    loop {
        let frame =
            std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx)).await;
        match frame {
            None => break,
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    all.extend_from_slice(&data);
                }
            }
            Some(Err(error)) => return Err(format!("{BROKEN_BODY}: {error:?}")),
        }
        pause().await;
    }
    Ok(Answer { status: parts.status, headers: parts.headers, body: all.into() })
}

/// A short digest of content, for the oracle.
pub fn digest(bytes: &[u8]) -> u64 {
    let hash = Sha256::digest(bytes);
    u64::from_str_radix(&hex::encode(&hash[..8]), 16).unwrap_or_default()
}
