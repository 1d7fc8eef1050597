//! An HTTP/1.1 client that does no more than it must: it costs less than any server it measures.
//!
//! One thread drives all connections, each in a closed loop: send, read the whole answer, send again.
//! An answer other than 2xx ends the measure with what the server said.

use crate::process::Server;
use crate::request::{Body, Requests};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};

const BUFFER_BYTES: usize = 256 * 1024;
const ANSWER_S_MAX: u64 = 300;
/// How much of a refusal is kept for the person who has to read it.
const REFUSAL_BYTES_MAX: usize = 2000;

/// When a drive ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Whatever was answered by then counts.
    Passed(Duration),
    /// That many answers.
    Count(u64),
}

/// What a drive saw.
#[derive(Debug, Default)]
pub struct Outcome {
    pub answers: u64,
    pub seconds: f64,
    /// Of the server's processes.
    pub cpu_us: u64,
    /// Of each answer.
    pub latencies_us: Vec<u32>,
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.answers as f64 / self.seconds.max(1e-9)
    }

    pub fn cpu_us_each(&self) -> f64 {
        self.cpu_us as f64 / self.answers.max(1) as f64
    }

    /// The latency that `share` of the answers stay below, in microseconds.
    pub fn latency_us(&mut self, share: f64) -> f64 {
        self.latencies_us.sort_unstable();
        let last = self.latencies_us.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies_us.get(at).copied().unwrap_or_default().into()
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

struct Shared {
    requests: Requests,
    next: Cell<u64>,
    until: Until,
    started: Cell<Instant>,
    latencies_us: RefCell<Vec<u32>>,
    failed: RefCell<Option<String>>,
}

impl Shared {
    /// The number of the next request, or none when it is time to stop.
    fn take(&self) -> Option<usize> {
        let number = self.next.get();
        let over = match self.until {
            Until::Passed(time) => self.started.get().elapsed() >= time,
            Until::Count(count) => number >= count,
        };
        if over || self.failed.borrow().is_some() {
            return None;
        }
        self.next.set(number + 1);
        let count = self.requests.count().max(1) as u64;
        Some(usize::try_from(number % count).unwrap_or_default())
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("no runtime: {e}"))
}

/// Sends the requests, over and over, on that many connections.
pub fn drive(
    server: &Server,
    requests: Requests,
    connections: usize,
    until: Until,
) -> Result<Outcome, String> {
    let shared = Rc::new(Shared {
        requests,
        next: Cell::new(0),
        until,
        started: Cell::new(Instant::now()),
        latencies_us: RefCell::new(Vec::with_capacity(1 << 20)),
        failed: RefCell::new(None),
    });
    let local = LocalSet::new();
    let outcome = local.block_on(&runtime()?, async {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::open(server.address).await?);
        }
        shared.started.set(Instant::now());
        let cpu_us = server.cpu_us();
        let loops: Vec<_> = open
            .into_iter()
            .map(|connection| spawn_local(closed_loop(connection, shared.clone())))
            .collect();
        for one in loops {
            one.await.map_err(|e| format!("a connection's loop: {e}"))?;
        }
        let seconds = shared.started.get().elapsed().as_secs_f64();
        let latencies_us = shared.latencies_us.take();
        Ok::<Outcome, String>(Outcome {
            answers: latencies_us.len() as u64,
            seconds,
            cpu_us: server.cpu_us().saturating_sub(cpu_us),
            latencies_us,
        })
    })?;
    match shared.failed.take() {
        Some(failure) => Err(format!("{}: {failure}", server.name)),
        None => Ok(outcome),
    }
}

async fn closed_loop(mut connection: Connection, shared: Rc<Shared>) {
    while let Some(index) = shared.take() {
        let sent = Instant::now();
        let head = shared.requests.head(index);
        match connection.exchange(head, &shared.requests.body, None).await {
            Ok(200..=299) => {
                let us = sent.elapsed().as_micros();
                shared.latencies_us.borrow_mut().push(u32::try_from(us).unwrap_or(u32::MAX));
            }
            Ok(status) => {
                let text = String::from_utf8_lossy(&connection.refusal).into_owned();
                *shared.failed.borrow_mut() = Some(format!("answered {status}: {text}"));
            }
            Err(failure) => *shared.failed.borrow_mut() = Some(failure),
        }
    }
}

/// One request on a connection of its own, its answer kept.
pub fn once(address: SocketAddr, head: &[u8], body: &Body) -> Result<Answer, String> {
    runtime()?.block_on(async {
        let mut connection = Connection::open(address).await?;
        let mut kept = Vec::new();
        let exchange = connection.exchange(head, body, Some(&mut kept));
        let time = Duration::from_secs(ANSWER_S_MAX);
        let status = tokio::time::timeout(time, exchange)
            .await
            .map_err(|_| format!("no answer within {ANSWER_S_MAX} s"))??;
        Ok(Answer { status, body: kept })
    })
}

struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Box<[u8]>,
    filled: usize,
    scratch: Vec<u8>,
    refusal: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Connection, String> {
        let stream = connect(address).await?;
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        let (scratch, refusal) = (Vec::new(), Vec::new());
        Ok(Connection { address, stream, buffer, filled: 0, scratch, refusal })
    }

    async fn exchange(
        &mut self,
        head: &[u8],
        body: &Body,
        mut keep: Option<&mut Vec<u8>>,
    ) -> Result<u16, String> {
        // A server that refuses early may close before it has read all: its answer says why.
        let sent = self.send(head, body).await;
        let answer = match self.read_head().await {
            Ok(answer) => answer,
            Err(failure) => return Err(sent.err().unwrap_or(failure)),
        };
        self.refusal.clear();
        let mut left = answer.length.saturating_sub(self.filled as u64);
        let take = usize::try_from(answer.length).unwrap_or(usize::MAX).min(self.filled);
        self.kept(0..take, answer.status, &mut keep);
        self.filled = 0;
        while left > 0 {
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let got = self.stream.read(&mut self.buffer[..room]).await;
            let got = got.map_err(|e| format!("reading a body: {e}"))?;
            if got == 0 {
                return Err("the server closed within a body".to_owned());
            }
            left -= got as u64;
            self.kept(0..got, answer.status, &mut keep);
        }
        if !answer.keep_alive {
            self.stream = connect(self.address).await?;
        }
        Ok(answer.status)
    }

    fn kept(
        &mut self,
        range: std::ops::Range<usize>,
        status: u16,
        keep: &mut Option<&mut Vec<u8>>,
    ) {
        let bytes = &self.buffer[range];
        if let Some(keep) = keep {
            keep.extend_from_slice(bytes);
        }
        if status >= 300 {
            let room = REFUSAL_BYTES_MAX.saturating_sub(self.refusal.len());
            self.refusal.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    async fn send(&mut self, head: &[u8], body: &Body) -> Result<(), String> {
        let sending = |e: std::io::Error| format!("sending a request: {e}");
        let piece = body.pattern.len() as u64;
        if body.length <= 16 * 1024 {
            self.scratch.clear();
            self.scratch.extend_from_slice(head);
            self.scratch.extend_from_slice(&body.pattern);
            return self.stream.write_all(&self.scratch).await.map_err(sending);
        }
        self.stream.write_all(head).await.map_err(sending)?;
        let mut left = body.length;
        while left > 0 {
            let part = usize::try_from(left.min(piece)).unwrap_or_default();
            self.stream.write_all(&body.pattern[..part]).await.map_err(sending)?;
            left -= part as u64;
        }
        Ok(())
    }

    /// Reads until the head is whole; what came behind it stays at the start of the buffer.
    async fn read_head(&mut self) -> Result<Head, String> {
        loop {
            if let Some(end) = end_of_head(&self.buffer[..self.filled]) {
                let head = parse_head(&self.buffer[..end])?;
                self.buffer.copy_within(end..self.filled, 0);
                self.filled -= end;
                // 100 Continue and its like: the answer is still to come.
                if head.status >= 200 {
                    return Ok(head);
                }
                continue;
            }
            let got = self.stream.read(&mut self.buffer[self.filled..]).await;
            match got.map_err(|e| format!("reading an answer: {e}"))? {
                0 => return Err("the server closed without an answer".to_owned()),
                got => self.filled += got,
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| format!("{address}: {e}"))?;
    stream.set_nodelay(true).map_err(|e| format!("TCP_NODELAY: {e}"))?;
    Ok(stream)
}

#[derive(Debug, PartialEq)]
struct Head {
    status: u16,
    length: u64,
    keep_alive: bool,
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn parse_head(head: &[u8]) -> Result<Head, String> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| format!("no HTTP answer: {first}"))?;
    let mut parsed = Head { status, length: 0, keep_alive: first.starts_with("HTTP/1.1") };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            parsed.length = value.parse().map_err(|_| format!("content-length: {value}"))?;
        } else if name.eq_ignore_ascii_case("connection") {
            parsed.keep_alive &= !value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("chunked answers are not understood here".to_owned());
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &str, expected: Option<(u16, u64, bool)>) {
        let expected =
            expected.map(|(status, length, keep_alive)| Head { status, length, keep_alive });
        assert_eq!(parse_head(head.as_bytes()).ok(), expected, "{head}");
    }

    #[test]
    fn heads() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", Some((200, 12, true)));
        check("HTTP/1.0 404 no\r\n\r\n", Some((404, 0, false)));
        check("HTTP/1.1 200 OK\r\nconnection: Close\r\n\r\n", Some((200, 0, false)));
        check("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None);
        check("nonsense", None);
        assert_eq!(end_of_head(b"a\r\n\r\nb"), Some(5));
    }

    #[test]
    fn latencies_are_ranked() {
        let latencies_us = (1..=100).rev().collect();
        let mut outcome = Outcome { latencies_us, ..Outcome::default() };
        assert_eq!((outcome.latency_us(0.5), outcome.latency_us(1.0)), (51.0, 100.0));
    }
}
