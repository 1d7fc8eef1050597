//! Signed requests, made before the clock starts, so that signing never limits the load.

use base::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sigv4::{
    Credentials, EMPTY_SHA256, Payload, RequestHead, Rules, SigningKey, sha256, sign_header,
};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

pub const ACCESS_KEY: &str = "test";
pub const SECRET: &str = "test";
pub const REGION: &str = "us-east-1";
pub const BUCKET: &str = "bench";

/// A body: `pattern` over and over until `length` bytes are sent.
#[derive(Clone, Debug)]
pub struct Body {
    pub pattern: Bytes,
    pub length: u64,
    /// What the request says of it, both worked out once.
    payload: Payload,
    crc32: Option<String>,
}

impl Body {
    pub fn none() -> Body {
        let payload = Payload::Sha256(EMPTY_SHA256);
        Body { pattern: Bytes::new(), length: 0, payload, crc32: None }
    }

    /// Signed and with a CRC32, as AWS's command line sends it over plain HTTP.
    pub fn whole(bytes: Bytes) -> Body {
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &bytes);
        let crc = u32::try_from(crc).unwrap_or_default();
        Body {
            length: bytes.len() as u64,
            payload: Payload::Sha256(sha256(&bytes)),
            crc32: Some(STANDARD.encode(crc.to_be_bytes())),
            pattern: bytes,
        }
    }

    /// A body too long to hold: its hash is not signed.
    pub fn endless(pattern: Bytes, length: u64) -> Body {
        Body { pattern, length, payload: Payload::Unsigned, crc32: None }
    }
}

/// Signs for one server.
pub struct Signer {
    service: &'static str,
    key: SigningKey,
    host: String,
    now: Timestamp,
}

impl Signer {
    /// For S3.
    pub fn new(address: SocketAddr) -> Signer {
        Signer::of(address, "s3")
    }

    pub fn of(address: SocketAddr, service: &'static str) -> Signer {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or_default());
        let date = now.iso8601_basic();
        let day = date.get(..8).unwrap_or_default();
        let key = SigningKey::derive(SECRET, day, REGION, service);
        Signer { service, key, host: address.to_string(), now }
    }

    /// The bytes of a request's head, ready to send.
    pub fn head(&self, method: &str, path: &str, body: &Body) -> Vec<u8> {
        let mut headers: Vec<(&str, &[u8])> = vec![("host", self.host.as_bytes())];
        if let Some(crc) = &body.crc32 {
            headers.push(("x-amz-checksum-crc32", crc.as_bytes()));
        }
        debug_assert_eq!(self.service, "s3");
        let (before, query) = path.split_once('?').unwrap_or((path, ""));
        let head = RequestHead { method, path: before, query, headers: &headers };
        let credentials = Credentials { access_key: ACCESS_KEY, key: &self.key, token: None };
        let added = sign_header(&head, Rules::S3, body.payload, &credentials, self.now);
        let mut bytes = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
        let mut put = |name: &str, value: &[u8]| {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        };
        headers.iter().for_each(|(name, value)| put(name, value));
        added.iter().for_each(|(name, value)| put(name, value.as_bytes()));
        if method == "PUT" {
            put("content-length", body.length.to_string().as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }
}

impl Signer {
    /// The bytes of a whole request to a service that speaks JSON, ready to send.
    pub fn post(&self, target: &str, body: &str) -> Vec<u8> {
        let body_sha256 = sha256(body.as_bytes());
        let headers: [(&str, &[u8]); 3] = [
            ("host", self.host.as_bytes()),
            ("content-type", b"application/x-amz-json-1.0"),
            ("x-amz-target", target.as_bytes()),
        ];
        let head = RequestHead { method: "POST", path: "/", query: "", headers: &headers };
        let credentials = Credentials { access_key: ACCESS_KEY, key: &self.key, token: None };
        let rules = Rules::General { body_sha256 };
        let payload = Payload::Sha256(body_sha256);
        let added = sign_header(&head, rules, payload, &credentials, self.now);
        let mut text = "POST / HTTP/1.1\r\n".to_owned();
        for (name, value) in headers {
            text.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value)));
        }
        for (name, value) in added {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        text.into_bytes()
    }
}

/// Many requests with one body, their heads in one piece of memory.
pub struct Requests {
    heads: Vec<u8>,
    ends: Vec<usize>,
    pub body: Body,
}

impl Requests {
    /// One request per path.
    pub fn sign(
        address: SocketAddr,
        method: &str,
        paths: impl Iterator<Item = String>,
        body: Body,
    ) -> Requests {
        let signer = Signer::new(address);
        let mut requests = Requests { heads: Vec::new(), ends: Vec::new(), body };
        for path in paths {
            let head = signer.head(method, &path, &requests.body);
            requests.heads.extend_from_slice(&head);
            requests.ends.push(requests.heads.len());
        }
        requests
    }

    /// Operations of DynamoDB, each with a body of its own, which stands behind its head.
    pub fn post(
        address: SocketAddr,
        target: &str,
        bodies: impl Iterator<Item = String>,
    ) -> Requests {
        let signer = Signer::of(address, "dynamodb");
        let mut requests = Requests { heads: Vec::new(), ends: Vec::new(), body: Body::none() };
        for body in bodies {
            requests.heads.extend_from_slice(&signer.post(target, &body));
            requests.ends.push(requests.heads.len());
        }
        requests
    }

    pub fn count(&self) -> usize {
        self.ends.len()
    }

    pub fn head(&self, index: usize) -> &[u8] {
        let from = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.heads[from..self.ends[index]]
    }
}

/// The path of the object with that number.
pub fn object(number: u64) -> String {
    format!("/{BUCKET}/objects/{:02}/{number:08}", number % 100)
}

/// Bytes that no compressor likes, the same in every run.
pub fn noise(length: usize) -> Bytes {
    let mut chance = Chance::new(length as u64);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&chance.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// Numbers that look like chance (splitmix64), the same for the same seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_stand_one_after_the_other() {
        let address = SocketAddr::from(([127, 0, 0, 1], 4566));
        let paths = [object(1), object(2)].into_iter();
        let requests = Requests::sign(address, "PUT", paths, Body::whole(noise(10)));
        assert_eq!(requests.count(), 2);
        let second = std::str::from_utf8(requests.head(1)).expect("text");
        assert!(second.starts_with("PUT /bench/objects/02/00000002 HTTP/1.1\r\nhost: 127.0.0.1"));
        assert!(second.contains("\r\nx-amz-checksum-crc32: ") && second.contains("Signature="));
        assert!(second.ends_with("\r\ncontent-length: 10\r\n\r\n"));
    }
}
