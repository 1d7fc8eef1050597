//! Streams over a connection that is HTTP no longer.

use crate::body::Answer;
use crate::reply::{Reply, with};
use crate::route::Call;
use engine::container::Status;
use engine::{Error, Outlet};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustix::fd::OwnedFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

const RAW: &str = "application/vnd.docker.raw-stream";
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";
const DEFAULT_KEYS: &str = "ctrl-p,ctrl-q";
const PIECE_BYTES: usize = 32 * 1024;
/// Looks at whether a client has read the head: at once at first, then with pauses.
const UNREAD_ROUNDS_BUSY: u32 = 20;
const UNREAD_ROUNDS_MAX: u32 = 2000;
const UNREAD_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

pub async fn attach(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let query = &call.query;
    if !query.flag("stream") && !query.flag("logs") {
        return Err(Error::invalid("Either the stream or logs parameter must be true"));
    }
    if container.state().status == Status::Paused {
        return Err(Error::conflict(format!(
            "container {} is paused, unpause the container before attach",
            container.id
        )));
    }
    let is_web = crate::websocket::is_asked(&call.request);
    let terminal = container.config.tty;
    let outlet = Outlet {
        stdin: query.flag("stdin") && container.config.open_stdin,
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        // Messages have no heads: what it says comes as it is.
        framed: !terminal && !is_web,
    };
    let keys = Keys::parse(query.text("detachKeys"))?;
    let keys = if terminal && outlet.stdin { keys } else { Keys::none() };
    let newer = call.version >= (1, 42);
    let over = std::future::ready(());
    if !query.flag("logs") {
        let stream = call.engine().attach(&container, outlet).await?;
        let ready = std::future::ready(Ok(stream));
        if is_web {
            return crate::websocket::hijack(call.request, ready);
        }
        return hijack_with(call.request, ready, over, keys, terminal, terminal || !newer);
    }
    let (engine, lives_on) = (call.engine().clone(), query.flag("stream"));
    let options = engine::logs::Options {
        stdout: outlet.stdout,
        stderr: outlet.stderr,
        follow: false,
        since_ns: None,
        until_ns: None,
        tail: None,
    };
    let lines = engine.logs(&container, options)?;
    let start = async move { with_log(&engine, &container, outlet, lines, lives_on).await };
    match is_web {
        true => crate::websocket::hijack(call.request, start),
        false => hijack_with(call.request, start, over, keys, terminal, terminal || !newer),
    }
}

/// What it has said so far, and then, if that is wanted, what it says.
async fn with_log(
    engine: &engine::Engine,
    container: &std::sync::Arc<engine::container::Container>,
    outlet: Outlet,
    mut lines: tokio::sync::mpsc::Receiver<engine::logs::Line>,
    lives_on: bool,
) -> Result<OwnedFd, Error> {
    let (ours, theirs) = UnixStream::pair()?;
    // What has ended says no more; what was never started will.
    let is_over = matches!(container.state().status, Status::Exited | Status::Dead);
    let live = match lives_on && !is_over {
        true => Some(UnixStream::from_std(engine.attach(container, outlet).await?.into())?),
        false => None,
    };
    engine::task(async move {
        let (mut from_client, mut to_client) = ours.into_split();
        while let Some(line) = lines.recv().await {
            let piece = crate::containers::log_piece(&line, false, !outlet.framed);
            if to_client.write_all(&piece).await.is_err() {
                return;
            }
        }
        let Some(live) = live else { return };
        let (mut from_program, mut to_program) = live.into_split();
        let inward = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_program).await;
            let _ = to_program.shutdown().await;
        };
        let outward = async { drop(tokio::io::copy(&mut from_program, &mut to_client).await) };
        let mut outward = std::pin::pin!(outward);
        if let engine::First::Left(()) = engine::first(inward, &mut outward).await {
            outward.await;
        }
    });
    Ok(theirs.into_std()?.into())
}

/// Says that from here on it is a plain connection, and joins it with what `start` gives then. An
/// error of that is written into the stream. The client hears of the end when `over` is ready too.
pub fn hijack_with(
    request: Request<Incoming>,
    start: impl Future<Output = Result<OwnedFd, Error>> + Send + 'static,
    over: impl Future<Output = ()> + Send + 'static,
    keys: Keys,
    terminal: bool,
    is_raw: bool,
) -> Reply {
    let content_type = HeaderValue::from_static(if is_raw { RAW } else { MULTIPLEXED });
    let upgrades = request.headers().contains_key(UPGRADE);
    if !upgrades {
        // Clients of old read the answer's body and write nothing.
        return Ok(plain(start, over, terminal, content_type));
    }
    engine::task(async move {
        let upgraded = match hyper::upgrade::on(request).await {
            Ok(upgraded) => upgraded,
            Err(error) => return tracing::debug!(%error, "a stream was not taken up"),
        };
        // What the client said behind its request comes first.
        let (early, client) = match upgraded.downcast::<TokioIo<UnixStream>>() {
            Ok(parts) => {
                let client = parts.io.into_inner();
                until_read(&client).await;
                let client: Box<dyn Client> = Box::new(client);
                (parts.read_buf, client)
            }
            Err(upgraded) => {
                let client: Box<dyn Client> = Box::new(TokioIo::new(upgraded));
                (bytes::Bytes::new(), client)
            }
        };
        let (from_client, mut to_client) = tokio::io::split(client);
        let from_client = std::io::Cursor::new(early).chain(from_client);
        match stream_of(start).await {
            Ok(stream) => join(from_client, to_client, stream, over, keys).await,
            Err(error) => {
                let _ = to_client.write_all(&error_piece(&error, terminal)).await;
                let _ = to_client.shutdown().await;
            }
        }
    });
    let mut response = with(StatusCode::SWITCHING_PROTOCOLS, None, Answer::Whole(None));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    Ok(response)
}

/// A connection in both directions.
trait Client: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Client for T {}

async fn stream_of(
    start: impl Future<Output = Result<OwnedFd, Error>>,
) -> Result<UnixStream, Error> {
    Ok(UnixStream::from_std(start.await?.into())?)
}

/// As a piece of the standard output.
fn error_piece(error: &Error, terminal: bool) -> Vec<u8> {
    let text = format!("{}\r\n", error.text);
    let [a, b, c, d] = (text.len() as u32).to_be_bytes();
    let head = if terminal { Vec::new() } else { vec![1, 0, 0, 0, a, b, c, d] };
    [head, text.into_bytes()].concat()
}

fn plain(
    start: impl Future<Output = Result<OwnedFd, Error>> + Send + 'static,
    over: impl Future<Output = ()> + Send + 'static,
    terminal: bool,
    content_type: HeaderValue,
) -> http::Response<Answer> {
    let (to, pieces) = tokio::sync::mpsc::channel(4);
    engine::task(async move {
        let mut stream = match stream_of(start).await {
            Ok(stream) => stream,
            Err(error) => {
                let _ = to.send(error_piece(&error, terminal).into()).await;
                return;
            }
        };
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(n @ 1..) = stream.read(&mut piece).await {
            if to.send(bytes::Bytes::copy_from_slice(&piece[..n])).await.is_err() {
                return;
            }
        }
        over.await;
    });
    with(StatusCode::OK, Some(content_type), Answer::Pieces(pieces))
}

/// Waits until the client has taken the head of the answer. Some read through a buffer until they know
/// that a stream follows, and lose what came in one piece with the head (docker-py does).
async fn until_read(client: &UnixStream) {
    for round in 0..UNREAD_ROUNDS_MAX {
        match engine::unread_by_peer(client) {
            Ok(0) | Err(_) => return,
            Ok(_) if round < UNREAD_ROUNDS_BUSY => tokio::task::yield_now().await,
            Ok(_) => tokio::time::sleep(UNREAD_PAUSE).await,
        }
    }
}

/// Each direction ends by itself: what the client has no more to say does not end what it hears.
async fn join(
    mut from_client: impl AsyncRead + Unpin,
    mut to_client: impl AsyncWrite + Unpin,
    stream: UnixStream,
    over: impl Future<Output = ()>,
    mut keys: Keys,
) {
    let (mut from_program, mut to_program) = stream.into_split();
    let inward = async {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let n = match from_client.read(&mut piece).await {
                Ok(n @ 1..) => n,
                _ => break false,
            };
            let mut typed = Vec::with_capacity(n);
            let detached = keys.pass(&piece[..n], &mut typed);
            if to_program.write_all(&typed).await.is_err() {
                break false;
            }
            if detached {
                break true;
            }
        }
    };
    let outward = async {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(n @ 1..) = from_program.read(&mut piece).await {
            if to_client.write_all(&piece[..n]).await.is_err() {
                return;
            }
        }
        over.await;
        let _ = to_client.shutdown().await;
    };
    let mut outward = std::pin::pin!(outward);
    match engine::first(inward, &mut outward).await {
        // Detached: the program runs on, this stream is over.
        engine::First::Left(true) | engine::First::Right(()) => {}
        engine::First::Left(false) => {
            let _ = to_program.shutdown().await;
            outward.await;
        }
    }
}

/// The keys that leave a container without ending it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    sequence: Vec<u8>,
    /// So many of them were typed one after the other.
    typed: usize,
}

impl Keys {
    pub fn none() -> Keys {
        Keys { sequence: Vec::new(), typed: 0 }
    }

    /// `ctrl-p,ctrl-q`, `a,b`.
    pub fn parse(text: &str) -> Result<Keys, Error> {
        let text = if text.is_empty() { DEFAULT_KEYS } else { text };
        let sequence = text.split(',').map(|key| {
            let control = key.strip_prefix("ctrl-").and_then(|rest| match rest.as_bytes() {
                [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
                [b'@'] => Some(0),
                [b'['] => Some(27),
                [b'\\'] => Some(28),
                [b']'] => Some(29),
                [b'^'] => Some(30),
                [b'_'] => Some(31),
                _ => None,
            });
            match (control, key.as_bytes()) {
                (Some(code), _) => Ok(code),
                (None, [byte]) => Ok(*byte),
                _ => Err(Error::invalid(format!("invalid detach keys ({text}) provided"))),
            }
        });
        Ok(Keys { sequence: sequence.collect::<Result<_, _>>()?, typed: 0 })
    }

    /// Gives on what was typed; `true` if that was the sequence.
    pub(crate) fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        for byte in bytes {
            if self.sequence.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.sequence.len() {
                    return true;
                }
                continue;
            }
            // It was something else after all.
            out.extend_from_slice(&self.sequence[..self.typed]);
            self.typed = usize::from(self.sequence.first() == Some(byte));
            if self.typed == 0 {
                out.push(*byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detaching() {
        let check = |keys: &str, typed: &[&[u8]], given: &[u8], detached: bool| {
            let mut keys = Keys::parse(keys).unwrap();
            let mut out = Vec::new();
            let mut left = false;
            for piece in typed {
                left |= keys.pass(piece, &mut out);
            }
            assert_eq!((out.as_slice(), left), (given, detached), "{typed:?}");
        };
        check("", &[b"ls\x10", b"\x11"], b"ls", true);
        check("", &[b"\x10x"], b"\x10x", false);
        check("", &[b"\x10\x10\x11"], b"\x10", true);
        check("a,b", &[b"xab"], b"x", true);
        check("ctrl-@", &[b"x\0"], b"x", true);
        assert!(Keys::parse("ctrl-1x").is_err() && Keys::parse("ab").is_err());
        let mut out = Vec::new();
        assert!(!Keys::none().pass(b"\x10\x11", &mut out));
        assert_eq!(out, b"\x10\x11");
    }
}
