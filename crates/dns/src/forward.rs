//! Handing a query on to the resolver of the host, as it is, and the answer back, as it is.
//!
//! Each query goes out from a socket of its own under an id of its own, so that a stranger who wants to
//! slip in an answer must guess both.

use crate::wire::{Code, Query};
use base::Entropy;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(3);
/// Queries handed on at a time; one more is answered that we failed.
const IN_FLIGHT_MAX: usize = 256;
const ANSWER_BYTES_MAX: usize = 65_535;
/// As many as resolv.conf may hold.
const RESOLVERS_MAX: usize = 3;

/// Gives the resolvers in the order in which they are asked. A laptop's change with the network.
type Resolvers = dyn Fn() -> Vec<SocketAddr> + Send + Sync;

/// The host's resolvers.
pub struct Upstream {
    resolvers: Box<Resolvers>,
    entropy: Arc<dyn Entropy>,
    room: Semaphore,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upstream")
    }
}

/// The resolvers that a resolv.conf names, but for `own`, which would only ask us again.
pub fn resolvers(resolv_conf: &str, own: &[SocketAddr]) -> Vec<SocketAddr> {
    let named = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        if words.next()? != "nameserver" {
            return None;
        }
        Some(SocketAddr::new(words.next()?.parse::<IpAddr>().ok()?, 53))
    });
    named.filter(|address| !own.contains(address)).take(RESOLVERS_MAX).collect()
}

impl Upstream {
    pub fn new(
        resolvers: impl Fn() -> Vec<SocketAddr> + Send + Sync + 'static,
        entropy: Arc<dyn Entropy>,
    ) -> Upstream {
        Upstream { resolvers: Box::new(resolvers), entropy, room: Semaphore::new(IN_FLIGHT_MAX) }
    }

    /// The answer of the first resolver that gives one; ours if none does.
    pub async fn ask(&self, query: &Query<'_>, over_tcp: bool) -> Vec<u8> {
        let Ok(_permit) = self.room.try_acquire() else {
            return query.reply(Code::ServFail, &[], 0);
        };
        let resolvers = (self.resolvers)();
        if resolvers.is_empty() {
            return query.reply(Code::Refused, &[], 0);
        }
        for resolver in resolvers {
            let mut bytes = query.bytes.to_vec();
            let id = (self.entropy.next_u64() as u16).to_be_bytes();
            bytes[..2].copy_from_slice(&id);
            let asked = Query { id: u16::from_be_bytes(id), bytes: &bytes, ..query.clone() };
            let answered = match over_tcp {
                true => timeout(PATIENCE, by_tcp(resolver, &asked)).await,
                false => timeout(PATIENCE, by_udp(resolver, &asked)).await,
            };
            if let Ok(Ok(mut answer)) = answered {
                answer[..2].copy_from_slice(&query.id.to_be_bytes());
                return answer;
            }
        }
        query.reply(Code::ServFail, &[], 0)
    }
}

/// Waits for the answer to this question, whatever else comes.
async fn by_udp(resolver: SocketAddr, query: &Query<'_>) -> io::Result<Vec<u8>> {
    let any = if resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(query.bytes).await?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        if query.is_answered_by(&answer[..length]) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn by_tcp(resolver: SocketAddr, query: &Query<'_>) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    stream.write_all(&(query.bytes.len() as u16).to_be_bytes()).await?;
    stream.write_all(query.bytes).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    match query.is_answered_by(&answer) {
        true => Ok(answer),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_resolv_conf_names() {
        let text = "# nameserver 9.9.9.9\nnameserver 127.0.0.1\nsearch x\n nameserver 10.0.0.53\n\
                    nameserver fe80::1%eth0\nnameserver ::1\noptions edns0\n";
        let own = ["127.0.0.1:53".parse().unwrap()];
        let expected: [SocketAddr; 2] =
            ["10.0.0.53:53".parse().unwrap(), "[::1]:53".parse().unwrap()];
        assert_eq!(resolvers(text, &own), expected);
        assert_eq!(resolvers("", &own), []);
    }
}
