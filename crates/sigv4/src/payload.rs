//! What `x-amz-content-sha256` says about the body.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html>

use crate::error::Cause;
use crate::key::{EMPTY_SHA256, EMPTY_SHA256_HEX};
use std::borrow::Cow;

pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const STREAMING: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const STREAMING_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const STREAMING_UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const EVENTS: &str = "STREAMING-AWS4-HMAC-SHA256-EVENTS";
const STREAMING_V4A: &str = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD";
const STREAMING_TRAILER_V4A: &str = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER";

/// How the body is bound to the signature, and so how it has to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payload {
    /// The body's SHA-256, as signed. The reader compares: [`crate::AuthError::body_hash`].
    Sha256([u8; 32]),
    /// The signature does not cover the body.
    Unsigned,
    /// `aws-chunked`, each chunk signed.
    Streaming,
    /// `aws-chunked`, each chunk signed, and the trailers too.
    StreamingTrailer,
    /// `aws-chunked` with trailers, nothing of it signed.
    StreamingUnsignedTrailer,
    /// An event stream whose events are signed one by one; not verified here.
    Events,
}

impl Payload {
    /// Reads a value of `x-amz-content-sha256`.
    pub fn parse(value: &str) -> Result<Payload, Cause> {
        match value {
            UNSIGNED => return Ok(Payload::Unsigned),
            STREAMING => return Ok(Payload::Streaming),
            STREAMING_TRAILER => return Ok(Payload::StreamingTrailer),
            STREAMING_UNSIGNED_TRAILER => return Ok(Payload::StreamingUnsignedTrailer),
            EVENTS => return Ok(Payload::Events),
            // What nearly every request without a body says.
            EMPTY_SHA256_HEX => return Ok(Payload::Sha256(EMPTY_SHA256)),
            STREAMING_V4A | STREAMING_TRAILER_V4A => {
                return Err(Cause::PayloadUnsupported(value.to_owned()));
            }
            _ => {}
        }
        let mut hash = [0; 32];
        let digits = value.as_bytes();
        if digits.len() != 64 {
            return Err(Cause::PayloadFormat(value.to_owned()));
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            match (base::hex::digit(pair[0]), base::hex::digit(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(Cause::PayloadFormat(value.to_owned())),
            }
        }
        Ok(Payload::Sha256(hash))
    }

    /// What an anonymous request may say: nothing can be signed without a key.
    pub fn anonymous(value: Option<&str>) -> Result<Payload, Cause> {
        match value.map(Payload::parse).transpose()? {
            None => Ok(Payload::Unsigned),
            Some(Payload::Streaming | Payload::StreamingTrailer | Payload::Events) => {
                Err(Cause::PayloadAnonymous)
            }
            Some(other) => Ok(other),
        }
    }

    /// The value of `x-amz-content-sha256`.
    pub fn text(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Payload::Sha256(hash) => return Cow::Owned(base::hex::encode(&hash)),
            Payload::Unsigned => UNSIGNED,
            Payload::Streaming => STREAMING,
            Payload::StreamingTrailer => STREAMING_TRAILER,
            Payload::StreamingUnsignedTrailer => STREAMING_UNSIGNED_TRAILER,
            Payload::Events => EVENTS,
        })
    }

    /// Whether the body is in `aws-chunked` framing.
    pub fn is_chunked(self) -> bool {
        use Payload::{Streaming, StreamingTrailer, StreamingUnsignedTrailer};
        matches!(self, Streaming | StreamingTrailer | StreamingUnsignedTrailer)
    }
}
