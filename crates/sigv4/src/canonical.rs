//! The canonical form of a request: the text whose hash is signed.
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//! and, where S3 differs, <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>.
//!
//! It is written piece by piece into a [`Sink`], so that the usual case hashes it without building it.

use crate::RequestHead;
use crate::head::pieces;
use sha2::{Digest, Sha256};

/// Where canonical text goes.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Hashes what it is given. Gathers small pieces first: feeding the hash few bytes at a time costs
/// more than hashing them.
pub(crate) struct HashSink {
    hash: Sha256,
    gathered: [u8; 512],
    used: usize,
}

impl HashSink {
    pub(crate) fn new() -> HashSink {
        HashSink { hash: Sha256::new(), gathered: [0; 512], used: 0 }
    }

    pub(crate) fn finish(mut self) -> [u8; 32] {
        self.hash.update(&self.gathered[..self.used]);
        self.hash.finalize().into()
    }
}

impl Sink for HashSink {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(room) = self.gathered.get_mut(self.used..self.used + bytes.len()) {
            room.copy_from_slice(bytes);
            self.used += bytes.len();
            return;
        }
        self.hash.update(&self.gathered[..self.used]);
        self.used = 0;
        if bytes.len() < self.gathered.len() {
            self.gathered[..bytes.len()].copy_from_slice(bytes);
            self.used = bytes.len();
        } else {
            self.hash.update(bytes);
        }
    }
}

/// How the path enters the canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PathForm {
    /// S3: decoded and encoded once, otherwise as it is, since `//` and `..` may be part of a key.
    Once,
    /// The others: `.`, `..` and empty segments resolved, then what was on the wire encoded again.
    NormalisedTwice,
}

/// Everything that the canonical form is made of.
pub(crate) struct Canonical<'a> {
    pub head: RequestHead<'a>,
    pub path_form: PathForm,
    /// Names joined with `;`, in the order in which they were signed.
    pub signed_headers: &'a str,
    /// The last line.
    pub payload: &'a str,
    /// Leaves `X-Amz-Signature` out of the query, for presigned URLs.
    pub without_signature: bool,
    /// Writes `host` without `:80` or `:443`.
    pub without_default_port: bool,
}

impl Canonical<'_> {
    pub(crate) fn sha256(&self) -> [u8; 32] {
        let mut sink = HashSink::new();
        self.write(&mut sink);
        sink.finish()
    }

    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(1024);
        self.write(&mut text);
        text
    }

    fn write(&self, sink: &mut impl Sink) {
        sink.put(self.head.method.as_bytes());
        sink.put(b"\n");
        match self.path_form {
            PathForm::Once => put_path(self.head.path, sink),
            PathForm::NormalisedTwice => put_normalised(self.head.path, sink),
        }
        sink.put(b"\n");
        put_query(self.head.query, self.without_signature, sink);
        sink.put(b"\n");
        for name in pieces(self.signed_headers, b';') {
            self.put_header(name, sink);
        }
        sink.put(b"\n");
        sink.put(self.signed_headers.as_bytes());
        sink.put(b"\n");
        sink.put(self.payload.as_bytes());
    }

    /// `name:value` and a line feed; several values are joined with commas. A signed header that is
    /// not in the request counts as empty: whoever signs it says that it is not there.
    fn put_header(&self, name: &str, sink: &mut impl Sink) {
        sink.put(name.as_bytes());
        let mut separator: &[u8] = b":";
        for (_, value) in self.head.headers.iter().filter(|(n, _)| *n == name) {
            sink.put(separator);
            separator = b",";
            let value = if self.without_default_port && name == "host" {
                without_default_port(value)
            } else {
                value
            };
            put_collapsed(value, sink);
        }
        if separator == b":" {
            sink.put(b":");
        }
        sink.put(b"\n");
    }
}

/// The host without a port that its scheme implies; some clients sign it so and send it otherwise.
pub(crate) fn without_default_port(host: &[u8]) -> &[u8] {
    host.strip_suffix(b":80").or_else(|| host.strip_suffix(b":443")).unwrap_or(host)
}

/// Trims, and makes one space of each run of white space.
fn put_collapsed(value: &[u8], sink: &mut impl Sink) {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for (i, word) in words.enumerate() {
        if i > 0 {
            sink.put(b" ");
        }
        sink.put(word);
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn put_escaped(byte: u8, sink: &mut impl Sink) {
    const UPPER: &[u8; 16] = b"0123456789ABCDEF";
    sink.put(&[b'%', UPPER[usize::from(byte >> 4)], UPPER[usize::from(byte & 15)]]);
}

/// Writes the encoded form of the decoded `text`: `base::percent::encode(decode(text))` without the
/// copies. Runs that stay as they are go out in one piece.
fn put_reencoded(text: &[u8], keep_slash: bool, plus_is_space: bool, sink: &mut impl Sink) {
    let kept = |b: u8| is_unreserved(b) || (keep_slash && b == b'/');
    let mut rest = text;
    loop {
        let run = rest.iter().position(|b| !kept(*b)).unwrap_or(rest.len());
        sink.put(&rest[..run]);
        rest = &rest[run..];
        let (byte, length) = match *rest {
            [] => return,
            [b'%', high, low, ..] => match (base::hex::digit(high), base::hex::digit(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'%', 1),
            },
            [b'+', ..] if plus_is_space => (b' ', 1),
            [byte, ..] => (byte, 1),
        };
        if kept(byte) {
            sink.put(&[byte]);
        } else {
            put_escaped(byte, sink);
        }
        rest = &rest[length..];
    }
}

fn put_path(path: &str, sink: &mut impl Sink) {
    if path.is_empty() {
        sink.put(b"/");
    } else {
        put_reencoded(path.as_bytes(), true, false, sink);
    }
}

/// Encodes what is there, escapes included.
fn put_encoded(text: &str, sink: &mut impl Sink) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let run = rest.iter().position(|b| !is_unreserved(*b)).unwrap_or(rest.len());
        sink.put(&rest[..run]);
        rest = &rest[run..];
        if let [byte, tail @ ..] = rest {
            put_escaped(*byte, sink);
            rest = tail;
        }
    }
}

fn put_normalised(path: &str, sink: &mut impl Sink) {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    for segment in &segments {
        sink.put(b"/");
        put_encoded(segment, sink);
    }
    if segments.is_empty() || path.ends_with('/') {
        sink.put(b"/");
    }
}

/// Pairs sorted by encoded name, then by encoded value. A name without `=` has an empty value, an
/// empty pair is no pair, and `+` is a space, which is how S3 reads a query.
fn put_query(query: &str, without_signature: bool, sink: &mut impl Sink) {
    if query.is_empty() {
        return;
    }
    if !query.contains('&') && !without_signature {
        let (name, value) = query.split_once('=').unwrap_or((query, ""));
        put_reencoded(name.as_bytes(), false, true, sink);
        sink.put(b"=");
        put_reencoded(value.as_bytes(), false, true, sink);
        return;
    }
    let mut text: Vec<u8> = Vec::with_capacity(query.len() + query.len() / 4);
    let mut pairs: Vec<(usize, usize, usize)> = Vec::with_capacity(16);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let start = text.len();
        put_reencoded(name.as_bytes(), false, true, &mut text);
        if without_signature && &text[start..] == b"X-Amz-Signature" {
            text.truncate(start);
            continue;
        }
        let middle = text.len();
        put_reencoded(value.as_bytes(), false, true, &mut text);
        pairs.push((start, middle, text.len()));
    }
    pairs.sort_unstable_by_key(|&(start, middle, end)| (&text[start..middle], &text[middle..end]));
    for (i, &(start, middle, end)) in pairs.iter().enumerate() {
        if i > 0 {
            sink.put(b"&");
        }
        sink.put(&text[start..middle]);
        sink.put(b"=");
        sink.put(&text[middle..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        write(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn paths() {
        let cases = [
            ("", "/", "/"),
            ("/", "/", "/"),
            ("/a/b/", "/a/b/", "/a/b/"),
            ("//a//b", "//a//b", "/a/b"),
            ("/a/../b/./c", "/a/../b/./c", "/b/c"),
            ("/../..", "/../..", "/"),
            ("/a%20b", "/a%20b", "/a%2520b"),
            ("/a b", "/a%20b", "/a%20b"),
            ("/a+b", "/a%2Bb", "/a%2Bb"),
            ("/%7Ea%2fb%e1", "/~a/b%E1", "/%257Ea%252fb%25e1"),
            ("/(1)*'!", "/%281%29%2A%27%21", "/%281%29%2A%27%21"),
            ("/%zz%4", "/%25zz%254", "/%25zz%254"),
            ("/\u{1234}", "/%E1%88%B4", "/%E1%88%B4"),
            ("a", "a", "/a"),
        ];
        for (path, once, twice) in cases {
            assert_eq!(written(|s| put_path(path, s)), once, "{path}");
            assert_eq!(written(|s| put_normalised(path, s)), twice, "{path}");
            let mut hashed = HashSink::new();
            put_path(path, &mut hashed);
            assert_eq!(hashed.finish(), crate::sha256(once.as_bytes()), "{path}");
        }
    }

    #[test]
    fn queries() {
        let cases = [
            ("", ""),
            ("lifecycle", "lifecycle="),
            ("a=b=c", "a=b%3Dc"),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1&a", "a=&a=1&a=2"),
            ("a-b=1&a=1", "a=1&a-b=1"),
            ("&&a=1&", "a=1"),
            ("=x&a", "=x&a="),
            ("prefix=a+b%2Bc%20d", "prefix=a%20b%2Bc%20d"),
            ("B=1&a=1&%41=2", "A=2&B=1&a=1"),
            ("k=%zz", "k=%25zz"),
        ];
        for (query, expected) in cases {
            assert_eq!(written(|s| put_query(query, false, s)), expected, "{query}");
        }
        let signed = "X-Amz-Signature=1&b=2&X-Amz-Date=3";
        assert_eq!(written(|s| put_query(signed, true, s)), "X-Amz-Date=3&b=2");
        assert_eq!(written(|s| put_query("X-Amz-Signature=1", true, s)), "");
    }

    #[test]
    fn header_values() {
        let cases: [(&[u8], &str); 5] = [
            (b"", ""),
            (b"  a   b\t c ", "a b c"),
            (b"\"a   b\"", "\"a b\""),
            (b" \t ", ""),
            (b"bytes=0-9", "bytes=0-9"),
        ];
        for (value, expected) in cases {
            assert_eq!(written(|s| put_collapsed(value, s)), expected);
        }
    }

    #[test]
    fn hashing_in_pieces_equals_hashing_at_once() {
        for size in [0, 1, 255, 511, 512, 513, 1500, 5000] {
            let text: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            for step in [1, 3, 100, 511, 512, 600, 5000] {
                let mut sink = HashSink::new();
                text.chunks(step).for_each(|piece| sink.put(piece));
                assert_eq!(sink.finish(), crate::sha256(&text), "{size} {step}");
            }
        }
    }
}
