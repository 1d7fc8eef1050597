//! The body of a request as it flows, checked on the way: its length, the hash that was signed, the
//! signatures of its chunks.
//!
//! A wrong one comes as an error in place of the end, so nothing may be kept before the end was seen.

use crate::head::Head;
use api::{ByteStream, Error, RequestBody, SignedHash};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use sigv4::{AuthError, ChunkDecoder, Dialect, EMPTY_SHA256, Payload, Trailers};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// A body as the server hands it over.
#[derive(Default)]
pub enum RequestStream {
    #[default]
    Empty,
    Whole(Bytes),
    Flowing(Pin<Box<dyn ByteStream>>),
}

impl std::fmt::Debug for RequestStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RequestStream::Empty => f.write_str("Empty"),
            RequestStream::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            RequestStream::Flowing(_) => f.write_str("Flowing"),
        }
    }
}

impl RequestStream {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, RequestStream::Empty)
    }

    /// The next piece, however it came.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self {
            RequestStream::Empty => Poll::Ready(None),
            RequestStream::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = RequestStream::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
            }
            RequestStream::Flowing(stream) => stream.as_mut().poll_next(cx),
        }
    }
}

pub(crate) fn incomplete() -> Error {
    let text =
        "You did not provide the number of bytes specified by the Content-Length HTTP header";
    Error::with_code("IncompleteBody", 400, text)
}

pub(crate) fn refusal(error: AuthError, dialect: Dialect) -> Error {
    let rendered = error.render(dialect);
    let start = Error::with_code(rendered.code, rendered.status, rendered.message);
    rendered.fields.into_iter().fold(start, |error, (name, value)| error.detail(name, value))
}

/// A body that is not framed: so many bytes, with that hash.
struct Plain {
    raw: RequestStream,
    left: Option<u64>,
    hash: Option<(Sha256, [u8; 32])>,
    dialect: Dialect,
    done: bool,
}

impl Plain {
    fn end(&mut self) -> Option<Error> {
        if self.left.is_some_and(|left| left > 0) {
            return Some(incomplete());
        }
        let (hasher, wanted) = self.hash.take()?;
        let computed: [u8; 32] = hasher.finalize().into();
        (computed != wanted)
            .then(|| refusal(AuthError::body_hash(&wanted, &computed), self.dialect))
    }
}

impl ByteStream for Plain {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.raw.poll(cx));
        let Some(Ok(piece)) = next else {
            self.done = true;
            return Poll::Ready(match next {
                Some(Err(error)) => Some(Err(error)),
                _ => self.end().map(Err),
            });
        };
        if let Some(left) = self.left {
            match left.checked_sub(piece.len() as u64) {
                Some(left) => self.left = Some(left),
                None => {
                    self.done = true;
                    return Poll::Ready(Some(Err(incomplete())));
                }
            }
        }
        if let Some((hasher, _)) = &mut self.hash {
            hasher.update(&piece);
        }
        Poll::Ready(Some(Ok(piece)))
    }

    fn take_hash(mut self: Pin<&mut Self>) -> Option<SignedHash> {
        let refuse = match self.dialect {
            Dialect::S3 => |wanted: &_, computed: &_| {
                refusal(AuthError::body_hash(wanted, computed), Dialect::S3)
            },
            // Only S3 has bodies that flow to it.
            _ => return None,
        };
        let (_, wanted) = self.hash.take()?;
        Some(SignedHash::new(wanted, refuse))
    }
}

/// A body in `aws-chunked` framing.
struct Chunked {
    raw: RequestStream,
    decoder: Option<ChunkDecoder>,
    /// What was received and not yet decoded.
    piece: Bytes,
    trailers: Vec<(String, String)>,
    dialect: Dialect,
}

impl Chunked {
    /// The next data in the piece at hand.
    fn decode(&mut self) -> Result<Option<Bytes>, AuthError> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let piece = std::mem::take(&mut self.piece);
        let mut rest: &[u8] = &piece;
        let data = decoder.next_data(&mut rest)?.map(|data| piece.slice_ref(data));
        self.piece = piece.slice_ref(rest);
        Ok(data)
    }
}

impl ByteStream for Chunked {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if self.decoder.is_none() {
                return Poll::Ready(None);
            }
            if !self.piece.is_empty() {
                match self.decode() {
                    Ok(Some(data)) if data.is_empty() => continue,
                    Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                    Ok(None) => {}
                    Err(error) => {
                        self.decoder = None;
                        return Poll::Ready(Some(Err(refusal(error, self.dialect))));
                    }
                }
            }
            match std::task::ready!(self.raw.poll(cx)) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => {
                    self.decoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    let decoder = self.decoder.take().map(ChunkDecoder::finish);
                    return Poll::Ready(match decoder {
                        Some(Ok(trailers)) => {
                            self.trailers = trailers;
                            None
                        }
                        Some(Err(error)) => Some(Err(refusal(error, self.dialect))),
                        None => None,
                    });
                }
            }
        }
    }

    fn announced(&self) -> &[String] {
        self.decoder.as_ref().map_or(&[], ChunkDecoder::announced)
    }

    fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }
}

/// A body with what it is checked against.
pub(crate) struct Checked {
    raw: RequestStream,
    /// `Content-Length`.
    length: Option<u64>,
    payload: Payload,
    /// Apart: few bodies are framed, and it is large.
    decoder: Option<Box<ChunkDecoder>>,
    dialect: Dialect,
}

impl Checked {
    pub fn new(
        raw: RequestStream,
        length: Option<u64>,
        payload: Payload,
        dialect: Dialect,
    ) -> Self {
        let length = match &raw {
            RequestStream::Empty => Some(0),
            _ => length,
        };
        Checked { raw, length, payload, decoder: None, dialect }
    }

    pub fn with_payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    pub fn with_decoder(mut self, decoder: ChunkDecoder) -> Self {
        self.decoder = Some(Box::new(decoder));
        self
    }

    pub fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.decoder.is_none()
    }

    /// As it comes on the wire, with the framing of chunks.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// An empty body that was signed as something else will never be polled by most operations.
    pub fn check_empty(&self) -> Result<(), Error> {
        match self.payload {
            Payload::Sha256(hash) if self.raw.is_empty() && hash != EMPTY_SHA256 => {
                Err(refusal(AuthError::body_hash(&hash, &EMPTY_SHA256), self.dialect))
            }
            _ => Ok(()),
        }
    }

    /// S3 takes no body in chunks of HTTP, unless the chunks hold others of its own, which say how long
    /// they are together.
    pub fn check_framing(&self, head: &Head<'_>) -> Result<(), Error> {
        let known = self.length.is_some() || self.decoder.is_some();
        if known || head.header("transfer-encoding").is_none() {
            return Ok(());
        }
        let text = "A header you provided implies functionality that is not implemented";
        Err(Error::with_code("NotImplemented", 501, text).detail("Header", "Transfer-Encoding"))
    }

    /// For an operation that takes the body as it flows: its length must be known.
    pub fn into_stream(self) -> Result<RequestBody, Error> {
        let Checked { raw, length, payload, decoder, dialect } = self;
        if let Some(decoder) = decoder {
            let length = Some(decoder.decoded_bytes_expected());
            let chunked = Chunked {
                raw,
                decoder: Some(*decoder),
                piece: Bytes::new(),
                trailers: Vec::new(),
                dialect,
            };
            return Ok(RequestBody::new(length, Box::pin(chunked)));
        }
        if length.is_none() {
            let text = "You must provide the Content-Length HTTP header.";
            return Err(Error::with_code("MissingContentLength", 411, text));
        }
        if raw.is_empty() {
            return Ok(RequestBody::empty());
        }
        let hash = match payload {
            Payload::Sha256(hash) => Some((Sha256::new(), hash)),
            _ => None,
        };
        let plain = Plain { raw, left: length, hash, dialect, done: false };
        Ok(RequestBody::new(length, Box::pin(plain)))
    }

    /// The whole body, of at most `limit` bytes.
    pub async fn into_bytes(self, limit: usize, share: &mut Share<'_>) -> Result<Bytes, Error> {
        self.into_whole(limit, share).await.map(|(bytes, _)| bytes)
    }

    /// The same, with what trails it.
    pub async fn into_whole(
        self,
        limit: usize,
        share: &mut Share<'_>,
    ) -> Result<(Bytes, Trailers), Error> {
        self.check_empty()?;
        if self.is_empty() {
            return Ok((Bytes::new(), Trailers::new()));
        }
        if self.length.is_some_and(|length| length > limit as u64) {
            return Err(too_large(self.dialect));
        }
        let dialect = self.dialect;
        let mut body = self.into_stream_of_any_length()?;
        let mut whole = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(piece) = body.next().await.transpose()? {
            if whole.len() + joined.len() + piece.len() > limit {
                return Err(too_large(dialect));
            }
            // One piece is the rule, so that nothing is copied then.
            if whole.is_empty() && joined.is_empty() {
                whole = piece;
                continue;
            }
            share.grow((whole.len() + piece.len()) as u64)?;
            joined.extend_from_slice(&std::mem::take(&mut whole));
            joined.extend_from_slice(&piece);
        }
        let whole = if joined.is_empty() { whole } else { joined.freeze() };
        Ok((whole, body.trailers().to_vec()))
    }

    /// Without a length the end of the message is the end of the body.
    fn into_stream_of_any_length(self) -> Result<RequestBody, Error> {
        if self.decoder.is_some() || self.length.is_some() {
            return self.into_stream();
        }
        let hash = match self.payload {
            Payload::Sha256(hash) => Some((Sha256::new(), hash)),
            _ => None,
        };
        let plain = Plain { raw: self.raw, left: None, hash, dialect: self.dialect, done: false };
        Ok(RequestBody::new(None, Box::pin(plain)))
    }
}

/// What all bodies together may take of memory that are arriving, or wait for their turn: many that come
/// slowly are as bad as one without end.
#[derive(Debug)]
pub(crate) struct Room {
    used_bytes: AtomicU64,
    most_bytes: u64,
}

impl Room {
    pub const fn new(most_bytes: u64) -> Room {
        Room { used_bytes: AtomicU64::new(0), most_bytes }
    }

    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

/// The share of one request, given back when it has been answered.
pub(crate) struct Share<'r> {
    room: &'r Room,
    bytes: u64,
}

impl<'r> Share<'r> {
    pub fn new(room: &'r Room) -> Share<'r> {
        Share { room, bytes: 0 }
    }

    fn grow(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes += bytes;
        let before = self.room.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        match before + bytes > self.room.most_bytes {
            true => Err(Error::with_code("SlowDown", 503, "Please reduce your request rate.")),
            false => Ok(()),
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.room.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(crate) fn too_large(dialect: Dialect) -> Error {
    match dialect {
        Dialect::S3 => {
            let text = "Your request was too big.";
            Error::with_code("MaxMessageLengthExceeded", 400, text)
        }
        _ => {
            let text = "The request is larger than the maximum allowed.";
            Error::with_code("RequestEntityTooLarge", 413, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    /// Gives what is put in, and then waits.
    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<Vec<Option<Bytes>>>>);

    impl Slow {
        fn put(&self, bytes: usize) {
            self.0.lock().unwrap().insert(0, Some(vec![0; bytes].into()));
        }
    }

    impl ByteStream for Slow {
        fn poll_next(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, Error>>> {
            self.0.lock().unwrap().pop().map_or(Poll::Pending, |next| Poll::Ready(next.map(Ok)))
        }
    }

    #[test]
    fn whoever_takes_the_signed_hash_checks_it() {
        let content = Bytes::from_static(b"content");
        let hash: [u8; 32] = Sha256::digest(&content).into();
        let body = |wanted, dialect| {
            let raw = RequestStream::Whole(content.clone());
            let checked = Checked::new(raw, Some(7), Payload::Sha256(wanted), dialect);
            checked.into_stream().unwrap()
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = |mut body: RequestBody| {
            let mut last = None;
            while let Poll::Ready(Some(piece)) = Box::pin(body.next()).as_mut().poll(&mut cx) {
                last = Some(piece);
            }
            last.unwrap()
        };
        for (wanted, fits) in [(hash, true), ([1; 32], false)] {
            assert_eq!(read(body(wanted, Dialect::S3)).is_ok(), fits);
            let mut taken = body(wanted, Dialect::S3);
            let signed = taken.take_hash().expect("a hash was signed");
            assert!(taken.take_hash().is_none() && read(taken).is_ok());
            let refused = signed.check(&hash).err();
            let code = refused.as_ref().map(Error::code);
            assert_eq!(code, (!fits).then_some("XAmzContentSHA256Mismatch"));
            assert!(body(wanted, Dialect::Json).take_hash().is_none());
        }
    }

    #[test]
    fn bodies_that_arrive_have_a_bound_together() {
        let room = Room::new(1000);
        let whole = |slow: &Slow| {
            let raw = RequestStream::Flowing(Box::pin(slow.clone()));
            let checked = Checked::new(raw, None, Payload::Unsigned, Dialect::Json);
            let room = &room;
            Box::pin(async move {
                let mut share = Share::new(room);
                checked.into_bytes(900, &mut share).await.map(|bytes| (bytes, share))
            })
        };
        let mut cx = Context::from_waker(Waker::noop());
        let (first, second) = (Slow::default(), Slow::default());
        let (mut one, mut two) = (whole(&first), whole(&second));
        // One piece is no copy.
        first.put(300);
        assert!(one.as_mut().poll(&mut cx).is_pending());
        assert_eq!(room.used_bytes(), 0);
        first.put(300);
        assert!(one.as_mut().poll(&mut cx).is_pending());
        assert_eq!(room.used_bytes(), 600);
        second.put(300);
        second.put(300);
        let Poll::Ready(Err(error)) = two.as_mut().poll(&mut cx) else { panic!("it was taken") };
        assert_eq!((error.code(), error.status()), ("SlowDown", 503));
        drop(two);
        assert_eq!(room.used_bytes(), 600);
        // Whoever goes away gives back, and so does an end.
        let mut three = whole(&second);
        second.put(100);
        second.put(100);
        assert!(three.as_mut().poll(&mut cx).is_pending());
        assert_eq!(room.used_bytes(), 800);
        drop(three);
        first.0.lock().unwrap().push(None);
        let Poll::Ready(Ok((bytes, share))) = one.as_mut().poll(&mut cx) else { panic!("no end") };
        assert_eq!(bytes.len(), 600);
        drop(one);
        // Until it has been answered it has its share.
        assert_eq!(room.used_bytes(), 600);
        drop(share);
        assert_eq!(room.used_bytes(), 0);
    }
}
