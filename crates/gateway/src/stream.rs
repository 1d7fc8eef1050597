//! Bytes on sockets, with the patience that the listener has.

use crate::encode::{Response, ResponseStream};
use crate::gateway::Gateway;
use crate::idle::OpenStream;
use api::{ByteStream, Error};
use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Runs out when nothing moves for too long; costs nothing while things move.
struct Patience {
    limit: Duration,
    /// What is left of it; time in which nobody waits does not count.
    left: Duration,
    sleep: Option<(Pin<Box<Sleep>>, Instant)>,
    /// Since it was last full.
    bytes_come: usize,
}

/// What must come within the limit: a byte now and then is no progress.
const PROGRESS_BYTES: usize = 4096;

impl Patience {
    fn new(limit: Duration) -> Patience {
        Patience { limit, left: limit, sleep: None, bytes_come: 0 }
    }

    /// Some of what is waited for has come.
    fn come(&mut self, bytes: usize) {
        self.bytes_come += bytes;
        if self.bytes_come >= PROGRESS_BYTES {
            self.bytes_come = 0;
            self.moved();
        } else if let Some((_, since)) = self.sleep.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }

    fn moved(&mut self) {
        self.sleep = None;
        self.left = self.limit;
    }

    /// Whether it has run out; to be asked whenever nothing moved.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let left = self.left;
        let (sleep, _) =
            self.sleep.get_or_insert_with(|| (Box::pin(tokio::time::sleep(left)), Instant::now()));
        sleep.as_mut().poll(cx).is_ready()
    }
}

/// The body of a request as hyper reads it.
pub(crate) struct IncomingStream {
    incoming: Option<Incoming>,
    patience: Patience,
    unread: Unread,
    /// Somebody wanted it, so that a client that waited for that sends it.
    is_asked_for: bool,
}

impl IncomingStream {
    /// What is not read of it when it is dropped is left to `unread`.
    pub fn new(incoming: Incoming, stall: Duration, unread: Unread) -> IncomingStream {
        IncomingStream {
            incoming: Some(incoming),
            patience: Patience::new(stall),
            unread,
            is_asked_for: false,
        }
    }
}

impl Drop for IncomingStream {
    fn drop(&mut self) {
        let waits = !self.is_asked_for;
        *self.unread.0.lock() = self.incoming.take().map(|rest| (rest, waits));
    }
}

/// Bytes of an unread body that are taken so that the client sees the answer and may go on: closing
/// a connection on which data still arrive makes the client lose the answer.
const UNREAD_BYTES_MAX: u64 = 1024 * 1024;

/// The rest of a body that nobody wanted.
#[derive(Clone, Default)]
pub(crate) struct Unread(Arc<Mutex<Option<(Incoming, bool)>>>);

/// What is left of an unread body when the answer is ready.
pub(crate) enum Rest {
    /// Nothing: a next request may follow.
    Over,
    /// It may still come, so this is the connection's last answer.
    Coming(Incoming),
    /// It will not come, or its end cannot be found.
    Lost,
}

impl Unread {
    /// Takes a short rest off the connection; never if the client `waits` to be asked for it, and was not.
    pub async fn rest(&self, waits: bool, stall: Duration) -> Rest {
        let Some((mut rest, still)) = self.0.lock().take() else { return Rest::Over };
        if waits && still {
            return Rest::Lost;
        }
        if rest.size_hint().lower() > UNREAD_BYTES_MAX {
            return Rest::Coming(rest);
        }
        match take(&mut rest, UNREAD_BYTES_MAX, stall).await {
            Taken::All => Rest::Over,
            Taken::Most => Rest::Coming(rest),
            Taken::Broken => Rest::Lost,
        }
    }
}

/// How taking off a body ended.
enum Taken {
    All,
    /// There is more than one wanted to take.
    Most,
    Broken,
}

async fn take(rest: &mut Incoming, bytes_max: u64, stall: Duration) -> Taken {
    let mut taken = 0;
    let mut patience = Patience::new(stall);
    poll_fn(|cx| {
        while taken <= bytes_max {
            match Pin::new(&mut *rest).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Taken::All),
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    patience.come(bytes);
                    taken += bytes as u64;
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Taken::Broken),
                Poll::Pending if patience.is_over(cx) => return Poll::Ready(Taken::Broken),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Taken::Most)
    })
    .await
}

/// What a client that was refused may still send, and how long, before it is cut off.
const LINGER_BYTES_MAX: u64 = 256 * 1024 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(30);
const LINGER_STALL_MAX: Duration = Duration::from_secs(5);

/// Takes what still comes of a body while the answer goes out. Most clients send all before they
/// look, and a connection that is closed on them takes the answer along.
pub(crate) async fn linger(mut rest: Incoming, stall: Duration) {
    let taken = take(&mut rest, LINGER_BYTES_MAX, stall.min(LINGER_STALL_MAX));
    let _ = tokio::time::timeout(LINGER_TIME_MAX, taken).await;
}

impl ByteStream for IncomingStream {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.is_asked_for = true;
        loop {
            let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
            let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) else {
                if self.patience.is_over(cx) {
                    return Poll::Ready(Some(Err(stalled())));
                }
                return Poll::Pending;
            };
            match frame {
                None => {
                    self.incoming = None;
                    return Poll::Ready(None);
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => {
                        self.patience.come(bytes.len());
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                    // Trailers of HTTP itself: nobody signs or reads them.
                    Err(_) => {}
                },
                // The client went away, or lied about the length.
                Some(Err(_)) => return Poll::Ready(Some(Err(crate::payload::incomplete()))),
            }
        }
    }
}

fn stalled() -> Error {
    let text = "Your socket connection to the server was not read from or written to within the \
                timeout period. Idle connections will be closed.";
    Error::with_code("RequestTimeout", 400, text)
}

/// How an answer over HTTP/2 stands with its reader, who may take nothing of it while he goes on with the
/// connection: then hyper does not ask for more of the body, and nobody else would ever look.
#[derive(Default)]
struct Pace(Mutex<Option<Instant>>);

/// The answers of a connection over HTTP/2 that are on their way out.
#[derive(Default)]
pub(crate) struct Paces {
    any: AtomicBool,
    all: Mutex<Vec<Weak<Pace>>>,
}

impl Paces {
    /// Has an eye on an answer from now on.
    pub fn watch(&self, response: &mut Response, open: OpenStream) {
        let body = std::mem::take(response.body_mut());
        let (length, held, from) = match body {
            ResponseStream::Empty => return,
            ResponseStream::Whole(bytes) => (Some(bytes.len() as u64), bytes, None),
            ResponseStream::Flowing(length, stream) => (length, Bytes::new(), Some(stream)),
        };
        let pace = Arc::new(Pace(Mutex::new(Some(Instant::now()))));
        let mut all = self.all.lock();
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&pace));
        self.any.store(true, Ordering::Relaxed);
        *response.body_mut() =
            ResponseStream::Flowing(length, Box::pin(Watched { held, from, pace, _open: open }));
    }

    /// Whether a reader has taken nothing for so long.
    fn has_stalled(&self, limit: Duration) -> bool {
        self.any.load(Ordering::Relaxed)
            && self.all.lock().iter().filter_map(Weak::upgrade).any(|pace| {
                let since = *pace.0.lock();
                since.is_some_and(|since| since.elapsed() > limit)
            })
    }
}

/// What is handed over waits in hyper's memory, out of sight: a reader takes so much in time, however slow
/// he is, or has stalled.
const PIECE_BYTES: usize = 16 * 1024;

/// A body that notes when its reader is waited for.
struct Watched {
    held: Bytes,
    from: Option<Pin<Box<dyn ByteStream>>>,
    pace: Arc<Pace>,
    _open: OpenStream,
}

impl Watched {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        while self.held.is_empty() {
            let Some(stream) = &mut self.from else { return Poll::Ready(None) };
            match std::task::ready!(stream.as_mut().poll_next(cx)) {
                Some(Ok(bytes)) => self.held = bytes,
                end => return Poll::Ready(end),
            }
        }
        let most = self.held.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.held.split_to(most))))
    }
}

impl ByteStream for Watched {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let next = self.next(cx);
        let given = matches!(next, Poll::Ready(Some(Ok(_))));
        *self.pace.0.lock() = given.then(Instant::now);
        next
    }
}

/// The bytes by which HTTP/2 is told from HTTP/1; hyper waits for them without a time-out.
const OPENING_BYTES: usize = 24;

/// A socket that breaks when its peer does not take what is written or does not begin to speak, and
/// that says in AWS's form what hyper says of heads that it cannot read: those never reach the
/// gateway.
pub(crate) struct Socket<S> {
    inner: S,
    patience: Patience,
    /// For the first bytes, and how many of them are still to come.
    opening: Patience,
    opening_bytes: usize,
    gateway: Arc<Gateway>,
    /// Bytes have come since the gateway was last handed a request: hyper may be about to refuse them.
    unseen: Arc<AtomicBool>,
    /// What is written in place of hyper's own refusal.
    instead: Option<Vec<u8>>,
    paces: Arc<Paces>,
}

impl<S: AsyncWrite + Unpin> Socket<S> {
    pub fn new(inner: S, stall: Duration, head: Duration, gateway: Arc<Gateway>) -> Socket<S> {
        Socket {
            inner,
            patience: Patience::new(stall),
            opening: Patience::new(head),
            opening_bytes: OPENING_BYTES,
            gateway,
            unseen: Arc::default(),
            instead: None,
            paces: Arc::default(),
        }
    }

    /// Where answers over HTTP/2 are to be watched.
    pub fn paces(&self) -> Arc<Paces> {
        self.paces.clone()
    }

    /// To be cleared whenever the gateway is handed a request.
    pub fn unseen(&self) -> Arc<AtomicBool> {
        self.unseen.clone()
    }

    fn patient<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.patience.moved();
        } else if self.patience.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        poll
    }

    /// Writes what is to be written in place of `offered`, if anything is; `None` if not.
    fn replace(&mut self, cx: &mut Context<'_>, offered: &[u8]) -> Option<Poll<io::Result<()>>> {
        if self.instead.is_none() {
            if !self.unseen.load(Ordering::Relaxed) {
                return None;
            }
            let status = refused_by_hyper(offered)?;
            self.instead = Some(self.gateway.unreadable(status));
        }
        let rest = self.instead.as_mut()?;
        while !rest.is_empty() {
            let written = match Pin::new(&mut self.inner).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => {
                    return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => {
                    let pending = Poll::Pending;
                    return Some(self.patient(cx, pending));
                }
            };
            rest.drain(..written);
        }
        self.instead = None;
        Some(Poll::Ready(Ok(())))
    }
}

/// The status of an answer that hyper made by itself: a head of these lines and nothing else. Ours have
/// more, and what an object holds is not to be taken for one.
fn refused_by_hyper(offered: &[u8]) -> Option<u16> {
    let rest = offered.strip_prefix(b"HTTP/1.1 4").or(offered.strip_prefix(b"HTTP/1.0 4"))?;
    const LENGTH_MAX: usize = 200;
    if offered.len() > LENGTH_MAX {
        return None;
    }
    let head = std::str::from_utf8(rest).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.get(..2)?.parse::<u16>().ok()?;
    lines
        .all(|line| matches!(line, "connection: close" | "content-length: 0"))
        .then_some(400 + status)
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Looked at whenever something comes: the answers to HTTP/2's pings at least.
        if self.paces.has_stalled(self.patience.limit) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.inner).poll_read(cx, buf);
        let come = buf.filled().len() - before;
        if come > 0 {
            self.unseen.store(true, Ordering::Relaxed);
        }
        if self.opening_bytes > 0 {
            self.opening_bytes = self.opening_bytes.saturating_sub(come);
            // Only the whole of it counts as progress: a byte now and then gains no time.
            if self.opening_bytes == 0 {
                self.opening.moved();
            } else if poll.is_pending() && self.opening.is_over(cx) {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(poll) = self.replace(cx, buf) {
            return poll.map_ok(|()| buf.len());
        }
        let poll = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.patient(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        self.patient(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = bufs.iter().find(|buf| !buf.is_empty())
            && let Some(poll) = self.replace(cx, first)
        {
            return poll.map_ok(|()| bufs.iter().map(|buf| buf.len()).sum());
        }
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.patient(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that has nothing to give yet.
    struct Later;

    impl ByteStream for Later {
        fn poll_next(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, Error>>> {
            Poll::Pending
        }
    }

    /// A body in one piece.
    struct Once(Option<Bytes>);

    impl ByteStream for Once {
        fn poll_next(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, Error>>> {
            Poll::Ready(self.0.take().map(Ok))
        }
    }

    #[test]
    fn a_reader_who_takes_nothing_is_noticed() {
        let paces = Paces::default();
        let open = || crate::idle::Streams::new().open();
        let waits = || {
            // Until the clock has gone on.
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(10) {}
            assert!(!paces.has_stalled(Duration::from_secs(3600)));
            paces.has_stalled(Duration::ZERO)
        };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut next =
            |response: &mut Response| Pin::new(response.body_mut()).poll_frame(&mut context);
        assert!(!waits());
        paces.watch(&mut Response::new(ResponseStream::Empty), open());
        assert!(!waits(), "there is nothing to take");
        let long = Bytes::from(vec![7; 3 * PIECE_BYTES - 1]);
        let mut response = Response::new(ResponseStream::Whole(long.clone()));
        paces.watch(&mut response, open());
        let mut taken = Vec::new();
        while !response.body().is_end_stream() {
            assert!(waits());
            let Poll::Ready(Some(Ok(frame))) = next(&mut response) else { panic!("no piece") };
            let piece = frame.into_data().unwrap();
            assert!((1..=PIECE_BYTES).contains(&piece.len()));
            taken.extend_from_slice(&piece);
        }
        assert!(taken == long && waits());
        drop(response);
        assert!(!waits(), "what is gone waits for nobody");
        // What comes in large pieces goes on in small ones, too.
        let mut response = Response::new(ResponseStream::Flowing(None, Box::pin(Once(Some(long)))));
        paces.watch(&mut response, open());
        let mut sizes = Vec::new();
        while let Poll::Ready(Some(Ok(frame))) = next(&mut response) {
            sizes.push(frame.into_data().unwrap().len());
        }
        assert_eq!(sizes, [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES - 1]);
        let mut response = Response::new(ResponseStream::Flowing(None, Box::pin(Later)));
        paces.watch(&mut response, open());
        assert!(waits() && next(&mut response).is_pending());
        assert!(!waits(), "it is the reader who waits");
    }

    #[test]
    fn what_hyper_refuses_is_told_from_our_answers() {
        let check = |text: &str, expected| {
            assert_eq!(refused_by_hyper(text.as_bytes()), expected, "{text}");
        };
        check(
            "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n",
            Some(431),
        );
        check("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n", Some(400));
        check("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\nx", None);
        check("HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\n\r\n", None);
        check(&"HTTP/1.1 404 ab\n".repeat(8), None);
        check(&"HTTP/1.1 404 ab\r\n\r\n".repeat(100), None);
        check("HTTP/1.1 400 Bad Request\r\nx-amz-request-id: A\r\n\r\n", None);
        check("HTTP/1.1 404 Not Found\r\nx-amzn-requestid: A\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\n\r\n", None);
        check("HTTP/1.1 100 Continue\r\n\r\n", None);
        check("HTTP/1.1 4", None);
        check("", None);
    }
}
