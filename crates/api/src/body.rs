//! Bodies as they flow, in both directions.

use crate::Error;
use bytes::Bytes;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes that come over time.
pub trait ByteStream: Send {
    /// The next piece, never empty; `None` at the end; nothing more after an error.
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>>;

    /// Hands the check of the signed hash over: see [`RequestBody::take_hash`].
    fn take_hash(self: Pin<&mut Self>) -> Option<SignedHash> {
        None
    }

    /// Names of the trailing fields to come, known from the beginning.
    fn announced(&self) -> &[String] {
        &[]
    }

    /// Trailing fields, known after the end: checksums of a chunked upload.
    fn trailers(&self) -> &[(String, String)] {
        &[]
    }
}

/// The SHA-256 that was signed for a body.
#[derive(Debug)]
#[must_use = "a body whose hash nobody checks may be anybody's"]
pub struct SignedHash {
    wanted: [u8; 32],
    refuse: fn(&[u8; 32], &[u8; 32]) -> Error,
}

impl SignedHash {
    /// `refuse` is given the signed hash and the computed one.
    pub fn new(wanted: [u8; 32], refuse: fn(&[u8; 32], &[u8; 32]) -> Error) -> SignedHash {
        SignedHash { wanted, refuse }
    }

    pub fn check(self, computed: &[u8; 32]) -> Result<(), Error> {
        match *computed == self.wanted {
            true => Ok(()),
            false => Err((self.refuse)(&self.wanted, computed)),
        }
    }
}

/// The body of a response.
#[derive(Default)]
pub enum Body {
    #[default]
    Empty,
    Bytes(Bytes),
    /// With its length where it is known.
    Stream(Option<u64>, Pin<Box<dyn ByteStream>>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Empty => f.write_str("Empty"),
            Body::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Body::Stream(len, _) => write!(f, "Stream({len:?})"),
        }
    }
}

/// The body of a request, verified as it flows: a wrong signature or checksum of a piece comes as an
/// error in place of the end, so nothing may be committed before the end was seen.
pub struct RequestBody {
    length: Option<u64>,
    /// `None`: there is nothing to come.
    stream: Option<Pin<Box<dyn ByteStream>>>,
}

impl RequestBody {
    /// `length` is that of the content, without the framing of aws-chunked.
    pub fn new(length: Option<u64>, stream: Pin<Box<dyn ByteStream>>) -> RequestBody {
        RequestBody { length, stream: Some(stream) }
    }

    pub fn empty() -> RequestBody {
        RequestBody { length: Some(0), stream: None }
    }

    pub fn from_bytes(bytes: Bytes) -> RequestBody {
        if bytes.is_empty() {
            return RequestBody::empty();
        }
        RequestBody::new(Some(bytes.len() as u64), Box::pin(Whole(Some(bytes))))
    }

    /// What the client says the length is; the stream fails if it lied.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`ByteStream::poll_next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self.stream.as_mut() {
            Some(stream) => stream.as_mut().poll_next(cx),
            None => Poll::Ready(None),
        }
    }

    /// The hash that was signed for the whole body. From now on the stream does not check it: whoever
    /// takes it does, at the end, beside digests of its own. To be taken before the first piece.
    pub fn take_hash(&mut self) -> Option<SignedHash> {
        self.stream.as_mut()?.as_mut().take_hash()
    }

    /// Names of the trailing fields to come, in lower case; to be asked before the first piece.
    pub fn announced(&self) -> &[String] {
        self.stream.as_ref().map_or(&[], |stream| stream.announced())
    }

    /// Trailing fields, lower-case names; complete once [`RequestBody::next`] has given `None`.
    pub fn trailers(&self) -> &[(String, String)] {
        self.stream.as_ref().map_or(&[], |stream| stream.trailers())
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestBody({:?})", self.length)
    }
}

struct Whole(Option<Bytes>);

impl ByteStream for Whole {
    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}
