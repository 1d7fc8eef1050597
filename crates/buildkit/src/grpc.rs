//! gRPC on HTTP/2: messages in frames, and what became of a call in trailers. Compression is asked for
//! by nobody here, and refused.

use bytes::{Buf, Bytes, BytesMut};
use engine::{Error, Kind};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Of one message, as BuildKit has it.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Frames between who writes and who sends.
const FRAMES: usize = 64;
const HEAD_BYTES: usize = 5;
const STATUS: &str = "grpc-status";
const TEXT: &str = "grpc-message";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    Invalid = 3,
    NotFound = 5,
    AlreadyExists = 6,
    Forbidden = 7,
    Exhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

impl Code {
    pub fn of(number: u64) -> Code {
        let all = [
            Code::Ok,
            Code::Cancelled,
            Code::Invalid,
            Code::NotFound,
            Code::AlreadyExists,
            Code::Forbidden,
            Code::Exhausted,
            Code::Unimplemented,
            Code::Internal,
            Code::Unavailable,
        ];
        all.into_iter().find(|code| *code as u64 == number).unwrap_or(Code::Unknown)
    }
}

/// Why a call failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub code: Code,
    pub text: String,
}

impl Status {
    pub fn new(code: Code, text: impl Into<String>) -> Status {
        Status { code, text: text.into() }
    }

    pub fn unknown(text: impl Into<String>) -> Status {
        Status::new(Code::Unknown, text)
    }

    pub fn invalid(text: impl Into<String>) -> Status {
        Status::new(Code::Invalid, text)
    }

    pub fn not_done(text: impl Into<String>) -> Status {
        Status::new(Code::Unimplemented, text)
    }

    /// As an error of the engine.
    pub fn to_error(&self) -> Error {
        let kind = match self.code {
            Code::Invalid => Kind::Invalid,
            Code::NotFound => Kind::NotFound,
            Code::Unimplemented => Kind::NotDone,
            Code::Unavailable => Kind::Unavailable,
            _ => Kind::Failed,
        };
        Error::new(kind, self.text.clone())
    }

    fn write(&self, headers: &mut HeaderMap) {
        headers.insert(STATUS, HeaderValue::from(self.code as u16));
        if !self.text.is_empty()
            && let Ok(text) = HeaderValue::from_str(&escaped(&self.text))
        {
            headers.insert(TEXT, text);
        }
    }

    /// Of headers or trailers; `None` if they say nothing of it.
    fn read(headers: &HeaderMap) -> Option<Status> {
        let number = headers.get(STATUS)?.to_str().ok()?.parse().unwrap_or(2);
        let text = headers.get(TEXT).and_then(|text| text.to_str().ok()).unwrap_or_default();
        Some(Status::new(Code::of(number), unescaped(text)))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        let code = match error.kind {
            Kind::Invalid => Code::Invalid,
            Kind::NotFound => Code::NotFound,
            Kind::NotDone => Code::Unimplemented,
            Kind::Unavailable => Code::Unavailable,
            _ => Code::Unknown,
        };
        Status::new(code, error.text)
    }
}

impl From<crate::wire::Malformed> for Status {
    fn from(_: crate::wire::Malformed) -> Status {
        Status::invalid("the message is not understood")
    }
}

/// What is not plain in a header stands there as `%` and two digits.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A message as it stands in a stream.
pub fn framed(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(HEAD_BYTES + message.len());
    out.push(0);
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(message);
    out.into()
}

/// Messages out of pieces.
#[derive(Default, Debug)]
pub struct Framer {
    kept: BytesMut,
}

impl Framer {
    pub fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// The next one, if all of it is there.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, Status> {
        let [compressed, a, b, c, d, ..] = *self.kept else { return Ok(None) };
        if compressed != 0 {
            return Err(Status::not_done("compressed messages are not done"));
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > MESSAGE_BYTES_MAX {
            return Err(Status::new(Code::Exhausted, "the message is too large"));
        }
        if self.kept.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.kept.advance(HEAD_BYTES);
        Ok(Some(self.kept.split_to(length).freeze()))
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// A body that somebody writes while it is sent.
#[derive(Debug)]
pub struct Frames {
    from: Option<mpsc::Receiver<Frame<Bytes>>>,
}

impl Frames {
    pub fn new() -> (Sending, Frames) {
        let (to, from) = mpsc::channel(FRAMES);
        (Sending { to }, Frames { from: Some(from) })
    }

    pub fn nothing() -> Frames {
        Frames { from: None }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.from {
            Some(from) => from.poll_recv(cx).map(|frame| frame.map(Ok)),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.from.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The end that writes. Dropped, it ends the stream.
#[derive(Clone, Debug)]
pub struct Sending {
    to: mpsc::Sender<Frame<Bytes>>,
}

/// Nobody takes it any more.
#[derive(Clone, Copy, Debug)]
pub struct Gone;

impl Sending {
    pub async fn message(&self, message: &[u8]) -> Result<(), Gone> {
        self.to.send(Frame::data(framed(message))).await.map_err(|_| Gone)
    }

    /// From a thread that may wait.
    pub fn message_blocking(&self, message: &[u8]) -> Result<(), Gone> {
        self.to.blocking_send(Frame::data(framed(message))).map_err(|_| Gone)
    }

    /// The end of an answer.
    pub async fn end(self, result: Result<(), Status>) {
        let mut trailers = HeaderMap::new();
        match result {
            Ok(()) => Status::new(Code::Ok, "").write(&mut trailers),
            Err(status) => status.write(&mut trailers),
        }
        let _ = self.to.send(Frame::trailers(trailers)).await;
    }

    pub async fn closed(&self) {
        self.to.closed().await;
    }
}

/// The head of an answer on its way.
type Coming = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

enum Source {
    Coming(Coming),
    Body(Incoming),
}

/// Messages of the other side.
pub struct Receiving {
    from: Source,
    framer: Framer,
    /// Whether a status comes at the end.
    is_answer: bool,
    status: Option<Status>,
}

impl std::fmt::Debug for Receiving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiving")
    }
}

fn broken(error: &hyper::Error) -> Status {
    Status::new(Code::Unavailable, format!("the connection broke: {error}"))
}

impl Receiving {
    pub fn request(body: Incoming) -> Receiving {
        let framer = Framer::default();
        Receiving { from: Source::Body(body), framer, is_answer: false, status: None }
    }

    /// What comes for a request that was sent.
    pub fn answer(
        response: impl Future<Output = hyper::Result<Response<Incoming>>> + Send + 'static,
    ) -> Receiving {
        let from = Source::Coming(Box::pin(response));
        Receiving { from, framer: Framer::default(), is_answer: true, status: None }
    }

    async fn head(&mut self) -> Result<(), Status> {
        let Source::Coming(coming) = &mut self.from else { return Ok(()) };
        let (head, body) = coming.await.map_err(|error| broken(&error))?.into_parts();
        self.from = Source::Body(body);
        if !head.status.is_success() {
            return Err(Status::new(Code::Unavailable, format!("HTTP status {}", head.status)));
        }
        self.status = Status::read(&head.headers);
        match &self.status {
            Some(status) if status.code != Code::Ok => Err(status.clone()),
            _ => Ok(()),
        }
    }

    /// The next message; `None` after the last.
    pub async fn message(&mut self) -> Result<Option<Bytes>, Status> {
        self.head().await?;
        loop {
            if let Some(message) = self.framer.next_message()? {
                return Ok(Some(message));
            }
            let Source::Body(body) = &mut self.from else { return Ok(None) };
            let frame = match body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(broken(&error)),
                None => return self.end(),
            };
            match frame.into_data() {
                Ok(data) => self.framer.push(&data),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.status = Status::read(&trailers);
                    }
                }
            }
        }
    }

    fn end(&mut self) -> Result<Option<Bytes>, Status> {
        if !self.framer.is_empty() {
            return Err(Status::new(Code::Internal, "the stream ended in a message"));
        }
        match self.status.take() {
            _ if !self.is_answer => Ok(None),
            Some(status) if status.code == Code::Ok => {
                self.status = Some(status);
                Ok(None)
            }
            Some(status) => Err(status),
            None => Err(Status::new(Code::Internal, "the answer has no status")),
        }
    }

    /// The only message, of a call that has one.
    pub async fn only(mut self) -> Result<Bytes, Status> {
        let message = self.message().await?;
        let Some(message) = message else {
            return Err(Status::new(Code::Internal, "a message is missing"));
        };
        match self.message().await? {
            Some(_) => Err(Status::invalid("there are more messages than one")),
            None => Ok(message),
        }
    }
}

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// An answer in one message, or in none but why.
pub fn answer(result: Result<Vec<u8>, Status>) -> Response<Frames> {
    let mut response = Response::new(Frames::nothing());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    match result {
        Err(status) => status.write(response.headers_mut()),
        Ok(message) => {
            let (to, from) = mpsc::channel(2);
            let mut trailers = HeaderMap::new();
            Status::new(Code::Ok, "").write(&mut trailers);
            // There is room for both.
            let _ = to.try_send(Frame::data(framed(&message)));
            let _ = to.try_send(Frame::trailers(trailers));
            *response.body_mut() = Frames { from: Some(from) };
        }
    }
    response
}

/// An answer in as many messages as somebody sends.
pub fn stream() -> (Sending, Response<Frames>) {
    let (sending, frames) = Frames::new();
    let mut response = Response::new(frames);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    (sending, response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_in_pieces() {
        let whole = [framed(b"abc"), framed(b""), framed(b"d")].concat();
        for size in 1..whole.len() {
            let mut framer = Framer::default();
            let mut found = Vec::new();
            for piece in whole.chunks(size) {
                framer.push(piece);
                while let Some(message) = framer.next_message().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, [&b"abc"[..], b"", b"d"]);
            assert!(framer.is_empty());
        }
    }

    #[test]
    fn frames_that_are_refused() {
        let mut framer = Framer::default();
        framer.push(b"\x01\0\0\0\x01a");
        assert_eq!(framer.next_message().unwrap_err().code, Code::Unimplemented);
        let mut framer = Framer::default();
        framer.push(b"\0\xff\xff\xff\xff");
        assert_eq!(framer.next_message().unwrap_err().code, Code::Exhausted);
    }

    #[test]
    fn statuses() {
        let status = Status::new(Code::NotFound, "50% of é\nare gone");
        let mut headers = HeaderMap::new();
        status.write(&mut headers);
        assert_eq!(headers[TEXT], "50%25 of %C3%A9%0Aare gone");
        assert_eq!(Status::read(&headers), Some(status));
        assert_eq!(unescaped("a%zzb%4"), "a%zzb%4");
        assert_eq!(Status::read(&HeaderMap::new()), None);
        assert_eq!(Code::of(16), Code::Unknown);
    }
}
