//! Bodies: of requests as a stream for a thread that may wait, of answers as one piece or many.

use bytes::Bytes;
use engine::{Error, blocking};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Of a JSON document.
const JSON_BYTES_MAX: usize = 16 << 20;
/// Pieces between a thread that writes and a client that reads.
const PIECES: usize = 8;
const PIECE_BYTES: usize = 64 * 1024;
/// Taken of a body that nobody wants any more.
const UNWANTED_BYTES_MAX: usize = 64 << 20;

/// The body of an answer.
pub enum Answer {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<Bytes>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Answer::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Answer::Pieces(pieces) => {
                pieces.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64)
            }
            Answer::Pieces(_) => SizeHint::default(),
        }
    }
}

/// The whole body, if it is not too long.
pub async fn read(body: &mut Incoming) -> Result<Vec<u8>, Error> {
    let limited = http_body_util::Limited::new(body, JSON_BYTES_MAX);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes().to_vec()),
        Err(error) => Err(Error::invalid(format!("cannot read the body: {error}"))),
    }
}

/// Gives the body as a stream to work that waits.
pub async fn with_reader<T: Send + 'static>(
    mut body: Incoming,
    work: impl FnOnce(BodyReader) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (pieces, received) = mpsc::channel(PIECES);
    let pump = async move {
        let mut left = UNWANTED_BYTES_MAX;
        while let Some(frame) = body.frame().await {
            let piece = match frame {
                Ok(frame) => match frame.into_data() {
                    Ok(data) => Ok(data),
                    Err(_) => continue,
                },
                Err(error) => Err(io::Error::other(error)),
            };
            let (length, failed) = (piece.as_ref().map_or(0, Bytes::len), piece.is_err());
            // Who is refused while sending reads why only if what is sent is taken.
            if pieces.send(piece).await.is_err() {
                left = left.saturating_sub(length);
                if failed || left == 0 {
                    break;
                }
            }
        }
    };
    engine::task(pump);
    blocking(move || work(BodyReader { pieces: received, piece: Bytes::new() })).await
}

#[derive(Debug)]
pub struct BodyReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.piece = piece?,
            }
        }
        let n = out.len().min(self.piece.len());
        out[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}

/// A body that work writes which waits. An error before the first byte is the answer; later ones
/// cut the stream off.
pub async fn from_writer(
    work: impl FnOnce(&mut BodyWriter) -> Result<(), Error> + Send + 'static,
) -> Result<Answer, Error> {
    let (to, mut pieces) = mpsc::channel(PIECES);
    let (done, mut failed) = mpsc::channel(1);
    engine::task(async move {
        let worked = blocking(move || {
            let mut writer = BodyWriter { to, piece: Vec::new() };
            work(&mut writer)?;
            Ok(writer.flush()?)
        });
        if let Err(error) = worked.await {
            let _ = done.send(error).await;
        }
    });
    // Nothing at all, or an error, or something to begin with.
    let Some(first) = pieces.recv().await else {
        return match failed.recv().await {
            Some(error) => Err(error),
            None => Ok(Answer::Whole(None)),
        };
    };
    let (again, rest) = mpsc::channel(PIECES);
    engine::task(async move {
        let mut next = Some(first);
        while let Some(piece) = next {
            if again.send(piece).await.is_err() {
                return;
            }
            next = pieces.recv().await;
        }
    });
    Ok(Answer::Pieces(rest))
}

#[derive(Debug)]
pub struct BodyWriter {
    to: mpsc::Sender<Bytes>,
    piece: Vec<u8>,
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        self.to.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
