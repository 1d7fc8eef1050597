//! The chain of signatures over the chunks of an `aws-chunked` body: each signs its chunk's data and
//! the signature before it, beginning with that of the request.
//! Sources: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

use crate::key::{EMPTY_SHA256_HEX, Hex, SigningKey, hex, hex_str, sha256};
use crate::presented::RequestDate;
use base::Timestamp;
use sha2::{Digest, Sha256};

/// Signs chunk after chunk. The decoder compares with it; our own clients send what it yields.
#[derive(Clone, Debug)]
pub struct ChunkSigner {
    key: SigningKey,
    stamp: [u8; 16],
    previous: Hex,
    data: Sha256,
}

impl ChunkSigner {
    /// `seed` is the signature of the request (64 hexadecimal digits), `time` its `x-amz-date`.
    /// `None` if the seed is no signature.
    pub fn new(key: SigningKey, time: Timestamp, seed: &str) -> Option<ChunkSigner> {
        let previous = seed.as_bytes().try_into().ok()?;
        let stamp = RequestDate::from_time(time).stamp;
        Some(ChunkSigner { key, stamp, previous, data: Sha256::new() })
    }

    /// The line before a chunk of data; the data follows, then `\r\n`. An empty chunk is the last.
    pub fn chunk_line(&mut self, data: &[u8]) -> String {
        self.update(data);
        let (signature, _) = self.finish_chunk();
        format!("{:x};chunk-signature={}\r\n", data.len(), hex_str(&signature))
    }

    /// The trailers after the line of the last chunk, their signature and the end of the body. Names
    /// are in lower case.
    pub fn trailer_lines(&mut self, trailers: &[(&str, &str)]) -> String {
        let mut canonical = String::new();
        let mut lines = String::new();
        for (name, value) in trailers {
            canonical.push_str(&format!("{name}:{value}\n"));
            lines.push_str(&format!("{name}:{value}\r\n"));
        }
        let (signature, _) = self.sign_trailers(canonical.as_bytes());
        lines + "x-amz-trailer-signature:" + hex_str(&signature) + "\r\n\r\n"
    }

    /// Adds data to the current chunk.
    pub(crate) fn update(&mut self, data: &[u8]) {
        self.data.update(data);
    }

    /// Ends the current chunk: its signature, and the string that was signed.
    pub(crate) fn finish_chunk(&mut self) -> (Hex, impl Fn() -> String + use<>) {
        let hash = hex(&self.data.finalize_reset().into());
        let parts = ["AWS4-HMAC-SHA256-PAYLOAD", EMPTY_SHA256_HEX, hex_str(&hash)];
        self.sign(parts[0], &[parts[1], parts[2]])
    }

    /// The signature over trailers in canonical form: `name:value` and a line feed each.
    pub(crate) fn sign_trailers(&mut self, canonical: &[u8]) -> (Hex, impl Fn() -> String + use<>) {
        let hash = hex(&sha256(canonical));
        self.sign("AWS4-HMAC-SHA256-TRAILER", &[hex_str(&hash)])
    }

    fn sign(&mut self, algorithm: &str, rest: &[&str]) -> (Hex, impl Fn() -> String + use<>) {
        let mut text = String::with_capacity(384);
        let stamp = String::from_utf8_lossy(&self.stamp);
        let previous = hex_str(&self.previous);
        for line in [algorithm, &stamp, self.key.scope(), previous] {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&rest.join("\n"));
        self.previous = self.key.sign(&[text.as_bytes()]);
        (self.previous, move || text.clone())
    }
}
