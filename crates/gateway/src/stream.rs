//! Bytes on sockets, with the patience that the listener has.

use api::{ByteStream, Error};
use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Runs out when nothing moves for too long; costs nothing while things move.
struct Patience {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(limit: Duration) -> Patience {
        Patience { limit, sleep: None }
    }

    fn moved(&mut self) {
        self.sleep = None;
    }

    /// Whether it has run out; to be asked whenever nothing moved.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        sleep.as_mut().poll(cx).is_ready()
    }
}

/// The body of a request as hyper reads it.
pub(crate) struct IncomingStream {
    incoming: Incoming,
    patience: Patience,
}

impl IncomingStream {
    pub fn new(incoming: Incoming, stall: Duration) -> IncomingStream {
        IncomingStream { incoming, patience: Patience::new(stall) }
    }
}

impl ByteStream for IncomingStream {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                if self.patience.is_over(cx) {
                    return Poll::Ready(Some(Err(stalled())));
                }
                return Poll::Pending;
            };
            self.patience.moved();
            match frame {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => return Poll::Ready(Some(Ok(bytes))),
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

/// A socket that breaks when its peer does not take what is written.
pub(crate) struct Socket<S> {
    inner: S,
    patience: Patience,
}

impl<S> Socket<S> {
    pub fn new(inner: S, stall: Duration) -> Socket<S> {
        Socket { inner, patience: Patience::new(stall) }
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
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
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
        let poll = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.patient(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
