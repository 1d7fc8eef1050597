//! What comes to published ports and the kernel cannot translate: over IPv6 from loopback and to containers
//! without IPv6, and everything where the networks are not this machine's own (without root).
//!
//! A port of connections is held by the helper like every other; the engine takes its connections beside it
//! and joins each with one to the container. They end with the engine; new ones are taken when it is back.
//! Datagrams are taken by the engine alone, and whoever sent some gets the answers for a while.

use super::ports::{Spliced, listen, receive};
use crate::container::Container;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

/// At a port, at a time; more wait.
const CONNECTIONS: usize = 512;
/// Senders of datagrams at a port, at a time; those of more are dropped, as datagrams may be.
const SENDERS: usize = 512;
/// A container that does not answer by then will not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Answers come within that time after the last question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// Takes connections for as long as it is held; those that were taken go on.
#[derive(Debug)]
pub(crate) struct Splices(Vec<JoinHandle<()>>);

impl Drop for Splices {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

pub(super) fn begin(container: &Arc<Container>, all: Vec<Spliced>) {
    let mut tasks = Vec::new();
    for one in all {
        let (Spliced::Connections { at, .. } | Spliced::Datagrams { at, .. }) = one;
        match serve(one) {
            Ok(task) => tasks.push(task),
            Err(error) => {
                tracing::warn!(%error, %at, container = container.short_id(), "a port is not served");
            }
        }
    }
    container.state().splices = Some(Splices(tasks));
}

#[allow(clippy::disallowed_methods, reason = "they end with what they are held by")]
fn serve(one: Spliced) -> io::Result<JoinHandle<()>> {
    Ok(match one {
        Spliced::Connections { at, to } => {
            let listener = listen(at).and_then(TcpListener::from_std)?;
            tokio::spawn(accept(listener, to))
        }
        Spliced::Datagrams { at, to, socket } => {
            let socket = receive(at, socket).and_then(UdpSocket::from_std)?;
            tokio::spawn(relay(Arc::new(socket), to, ANSWER_TIMEOUT))
        }
    })
}

async fn accept(listener: TcpListener, to: SocketAddr) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => crate::engine::task(async move {
                join(client, to).await;
                drop(place);
            }),
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn join(client: TcpStream, to: SocketAddr) {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(to)).await;
    if let Ok(Ok(inner)) = connected {
        both_ways(client, inner).await;
    }
}

pub(super) async fn both_ways(mut one: TcpStream, mut other: TcpStream) {
    let _ = (one.set_nodelay(true), other.set_nodelay(true));
    let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
}

/// To an address in the networks, wherever they are.
async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    if !net_sys::is_settled() {
        return TcpStream::connect(to).await;
    }
    let socket = at_home(to, SocketType::STREAM).await?;
    TcpSocket::from_std_stream(socket.into()).connect(to).await
}

async fn at_home(to: SocketAddr, kind: SocketType) -> io::Result<rustix::fd::OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let made = tokio::task::spawn_blocking(move || {
        net_sys::at_home(|| Ok(socket_with(family, kind, flags, None)?))
    });
    made.await.map_err(io::Error::other)?
}

/// Carries datagrams to the container, each sender's by a socket of its own, and the answers back.
async fn relay(outer: Arc<UdpSocket>, to: SocketAddr, quiet: Duration) {
    let mut senders: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    let mut answering: JoinSet<SocketAddr> = JoinSet::new();
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let (length, from) = match outer.recv_from(&mut bytes).await {
            Ok(received) => received,
            // What an earlier answer met is no matter of this socket's.
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Now and not before it came, which may be long ago: nobody hears answers for those any more.
        while let Some(done) = answering.try_join_next() {
            if let Ok(from) = done {
                senders.remove(&from);
            }
        }
        let inner = match senders.get(&from) {
            Some(inner) => inner.clone(),
            None if senders.len() >= SENDERS => continue,
            None => {
                let Ok(inner) = inner_socket(to).await else { continue };
                let inner = Arc::new(inner);
                senders.insert(from, inner.clone());
                answering.spawn(answer(inner.clone(), outer.clone(), from, quiet));
                inner
            }
        };
        let _ = inner.send(&bytes[..length]).await;
    }
}

async fn inner_socket(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from_std(at_home(to, SocketType::DGRAM).await?.into())?;
    socket.connect(to).await?;
    Ok(socket)
}

async fn answer(
    inner: Arc<UdpSocket>,
    outer: Arc<UdpSocket>,
    to: SocketAddr,
    quiet: Duration,
) -> SocketAddr {
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    while let Ok(received) = tokio::time::timeout(quiet, inner.recv(&mut bytes)).await {
        match received {
            Ok(length) => drop(outer.send_to(&bytes[..length], to).await),
            // Nobody listens there: the next question may find somebody.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => break,
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_go_both_ways_for_each_sender() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(both_senders());
    }

    async fn both_senders() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let outer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (to, at) = (server.local_addr().unwrap(), outer.local_addr().unwrap());
        #[allow(clippy::disallowed_methods, reason = "ends with the test")]
        let relaying = tokio::spawn(relay(Arc::new(outer), to, Duration::from_secs(1)));
        #[allow(clippy::disallowed_methods, reason = "ends with the test")]
        let serving = tokio::spawn(async move {
            let mut bytes = [0; 100];
            while let Ok((length, from)) = server.recv_from(&mut bytes).await {
                let back = [b"re: ", &bytes[..length]].concat();
                let _ = server.send_to(&back, from).await;
            }
        });
        let mut clients = Vec::new();
        for name in ["a", "b"] {
            let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            client.connect(at).await.unwrap();
            client.send(name.as_bytes()).await.unwrap();
            clients.push((client, name));
        }
        for (client, name) in clients {
            let mut bytes = [0; 100];
            let received = tokio::time::timeout(CONNECT_TIMEOUT, client.recv(&mut bytes)).await;
            assert_eq!(&bytes[..received.unwrap().unwrap()], format!("re: {name}").as_bytes());
            // Nothing comes for so long that the socket of this sender is given up; the next one is answered.
            let quiet = tokio::time::timeout(Duration::from_secs(2), client.recv(&mut bytes));
            assert!(quiet.await.is_err());
            client.send(name.as_bytes()).await.unwrap();
            let received = tokio::time::timeout(CONNECT_TIMEOUT, client.recv(&mut bytes)).await;
            assert_eq!(&bytes[..received.unwrap().unwrap()], format!("re: {name}").as_bytes());
        }
        relaying.abort();
        serving.abort();
    }
}
