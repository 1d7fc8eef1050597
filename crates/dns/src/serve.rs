//! The sockets: UDP, and length-prefixed messages over TCP or any other stream.

use crate::forward::Upstream;
use crate::wire::Query;
use crate::zone::{Answer, Zone};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A query over UDP longer than this is none.
const QUERY_BYTES_MAX: usize = 4096;
/// For the next query on a stream.
const IDLE: Duration = Duration::from_secs(10);
const STREAMS_MAX: usize = 64;
/// Answers over UDP that are waited for at a time; the next queries wait in the socket.
const WAITING_MAX: usize = 128;

/// What the sockets answer from.
#[derive(Clone)]
pub struct Served {
    pub zone: Arc<dyn Zone>,
    pub upstream: Arc<Upstream>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Served")
    }
}

/// Whether the address is one of this machine's own: nobody else is answered, so nobody can be
/// flooded with our answers.
pub fn is_own_host(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

impl Served {
    async fn answer(&self, bytes: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        match self.zone.answer(bytes) {
            Answer::Reply(reply) => Some(reply),
            Answer::Silence => None,
            Answer::Forward(query) => {
                let reply = self.upstream.ask(&query, over_tcp).await;
                Some(if over_tcp { reply } else { fitting(&query, reply) })
            }
        }
    }
}

/// An answer that is too long for the client is cut to the question.
fn fitting(query: &Query<'_>, reply: Vec<u8>) -> Vec<u8> {
    if reply.len() <= query.udp_bytes_max() { reply } else { query.truncated() }
}

/// Answers queries over UDP until it is dropped.
pub async fn serve_udp(socket: UdpSocket, served: Served) {
    let socket = Arc::new(socket);
    let room = Arc::new(Semaphore::new(WAITING_MAX));
    let mut bytes = vec![0; QUERY_BYTES_MAX];
    loop {
        let (length, from) = match socket.recv_from(&mut bytes).await {
            Ok(received) => received,
            // An answer could not be delivered: the error of another query.
            Err(error) => {
                tracing::debug!(%error, "DNS");
                continue;
            }
        };
        if length == QUERY_BYTES_MAX || !is_own_host(from.ip()) {
            continue;
        }
        let at_once = match served.zone.answer(&bytes[..length]) {
            Answer::Reply(reply) => Some(reply),
            Answer::Silence => continue,
            Answer::Forward(_) => None,
        };
        if let Some(reply) = at_once {
            let _ = socket.send_to(&reply, from).await;
            continue;
        }
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (socket, served, query) = (socket.clone(), served.clone(), bytes[..length].to_vec());
        #[allow(clippy::disallowed_methods, reason = "a query that waits holds up no other")]
        tokio::spawn(async move {
            if let Some(reply) = served.answer(&query, false).await {
                let _ = socket.send_to(&reply, from).await;
            }
            drop(permit);
        });
    }
}

/// Answers queries over TCP until it is dropped.
pub async fn serve_tcp(listener: TcpListener, served: Served) {
    let room = Arc::new(Semaphore::new(STREAMS_MAX));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a DNS connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if !is_own_host(from.ip()) {
            continue;
        }
        let served = served.clone();
        #[allow(clippy::disallowed_methods, reason = "connections are answered side by side")]
        tokio::spawn(async move {
            let _ = serve_frames(stream, &served, true, IDLE).await;
            drop(permit);
        });
    }
}

/// Answers the queries of one stream, one after the other, until it ends or idles. `large` answers
/// are for clients that came by a stream themselves.
pub async fn serve_frames<S>(
    mut stream: S,
    served: &Served,
    large: bool,
    idle: Duration,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let Ok(query) = timeout(idle, frame(&mut stream)).await else { return Ok(()) };
        // What is no query at all ends the stream: there is no telling what would follow.
        let Some(reply) = served.answer(&query?, large).await else { return Ok(()) };
        let mut framed = Vec::with_capacity(2 + reply.len());
        framed.extend_from_slice(&(reply.len() as u16).to_be_bytes());
        framed.extend_from_slice(&reply);
        let Ok(written) = timeout(idle, stream.write_all(&framed)).await else { return Ok(()) };
        written?;
    }
}

async fn frame<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{A, HEAD_BYTES, query, with_edns};
    use crate::zone::Cloud;
    use crate::zone::tests::{Few, HERE};
    use base::SeededEntropy;
    use std::net::SocketAddr;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    fn served(resolvers: Vec<SocketAddr>) -> Served {
        let upstream =
            Arc::new(Upstream::new(move || resolvers.clone(), Arc::new(SeededEntropy::new(1))));
        Served { zone: Arc::new(Cloud { names: Arc::new(Few), addresses: HERE }), upstream }
    }

    /// A resolver that first sends answers that are none, then one of `extra` bytes more than asked.
    async fn resolver(extra: usize) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        #[allow(clippy::disallowed_methods, reason = "a resolver beside the test")]
        tokio::spawn(async move {
            let mut bytes = [0; 600];
            loop {
                let (length, from) = socket.recv_from(&mut bytes).await.expect("a query");
                let mut answer = bytes[..length].to_vec();
                answer[2] |= 0x80;
                let mut forged = answer.clone();
                forged[0] ^= 1;
                for wrong in [&forged[..], &answer[..HEAD_BYTES], &bytes[..length], b"x"] {
                    socket.send_to(wrong, from).await.expect("sent");
                }
                answer.resize(length + extra, 7);
                socket.send_to(&answer, from).await.expect("sent");
            }
        });
        address
    }

    #[test]
    fn what_is_foreign_is_handed_on() {
        runtime().block_on(async {
            let long = [resolver(600).await, resolver(9).await];
            let asked = query("example.com", A);
            let reply = served(vec![long[1]]).answer(&asked, false).await.unwrap();
            assert_eq!(reply.len(), asked.len() + 9);
            assert_eq!(reply[..2], asked[..2]);
            // Too long for a client that names no size: it is told to come by TCP.
            let reply = served(vec![long[0]]).answer(&asked, false).await.unwrap();
            assert_eq!((reply.len(), reply[2] & 2), (asked.len(), 2));
            let with_size = with_edns(asked.clone(), 1232, 0);
            let reply = served(vec![long[0]]).answer(&with_size, false).await.unwrap();
            assert_eq!(reply.len(), with_size.len() + 600);
        });
    }

    #[test]
    fn without_a_resolver_all_else_is_refused() {
        runtime().block_on(async {
            let reply = served(vec![]).answer(&query("example.com", A), false).await.unwrap();
            assert_eq!(reply[3] & 15, 5);
            // Nobody listens there.
            let nobody = "127.0.0.1:1".parse().unwrap();
            let reply = served(vec![nobody]).answer(&query("example.com", A), false).await.unwrap();
            assert_eq!(reply[3] & 15, 2);
        });
    }

    #[test]
    fn several_queries_on_one_stream() {
        runtime().block_on(async {
            let (mut own, theirs) = tokio::io::duplex(4096);
            let ask = query("s3.amazonaws.com", A);
            for _ in 0..2 {
                own.write_all(&(ask.len() as u16).to_be_bytes()).await.unwrap();
                own.write_all(&ask).await.unwrap();
            }
            own.write_all(&[0, 2, 9, 9]).await.unwrap();
            serve_frames(theirs, &served(vec![]), true, IDLE).await.unwrap();
            let mut all = Vec::new();
            own.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), 2 * (2 + ask.len() + 16));
        });
    }

    #[test]
    fn a_stream_that_stalls_is_left() {
        runtime().block_on(async {
            let (_own, theirs) = tokio::io::duplex(64);
            serve_frames(theirs, &served(vec![]), true, Duration::from_millis(5)).await.unwrap();
            let (mut own, theirs) = tokio::io::duplex(64);
            own.write_all(&[0xff, 0xff]).await.unwrap();
            assert!(serve_frames(theirs, &served(vec![]), true, IDLE).await.is_err());
        });
    }

    #[test]
    fn whose_queries_are_answered() {
        for (address, own) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("10.0.0.1", false)]
        {
            assert_eq!(is_own_host(address.parse().unwrap()), own, "{address}");
        }
    }
}
