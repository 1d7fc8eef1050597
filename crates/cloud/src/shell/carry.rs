//! Carries what a view asks for: queries and connections for this cloud to its sockets in the data
//! folder, all else from a network of its own out to the host's.

use crate::doors::{DNS_SOCKET, HTTP_SOCKET, HTTPS_SOCKET, within};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::task::JoinSet;

const QUERY_BYTES_MAX: usize = 4096;
const PATIENCE: Duration = Duration::from_secs(15);
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
/// Connections, and queries, at a time; more are turned away.
const CARRIED_MAX: usize = 1024;

/// The sockets of a view.
pub struct Doors {
    pub dns_udp: UdpSocket,
    pub dns_tcp: TcpListener,
    pub ports: Vec<TcpListener>,
}

/// Where the cloud is.
#[derive(Debug)]
pub struct Home {
    /// The folder of its sockets.
    pub sockets: PathBuf,
    /// Where it listens, for clients that were told so.
    pub main: SocketAddr,
    /// Where its names lead in the view.
    pub address: Ipv4Addr,
}

impl Home {
    async fn socket(&self, name: &str) -> io::Result<UnixStream> {
        let stream = within(&self.sockets, |short| {
            std::os::unix::net::UnixStream::connect(short.join(name))
        })?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    async fn dns(&self, by_tcp: bool) -> io::Result<UnixStream> {
        let mut stream = self.socket(DNS_SOCKET).await?;
        let [a, b, c, d] = self.address.octets();
        stream.write_all(&[a, b, c, d, u8::from(by_tcp)]).await?;
        Ok(stream)
    }
}

/// Carries until it is dropped.
#[allow(clippy::disallowed_methods, reason = "the process does nothing else")]
pub async fn carry(doors: Doors, home: Arc<Home>) {
    let Doors { dns_udp, dns_tcp, ports } = doors;
    let mut all = JoinSet::new();
    all.spawn(queries(dns_udp, home.clone()));
    all.spawn(accept(dns_tcp, home.clone()));
    for port in ports {
        all.spawn(accept(port, home.clone()));
    }
    all.join_all().await;
}

async fn queries(socket: UdpSocket, home: Arc<Home>) {
    let socket = Arc::new(socket);
    let mut under_way = JoinSet::new();
    let mut bytes = vec![0; QUERY_BYTES_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut bytes).await else { continue };
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= CARRIED_MAX || !dns::is_own_host(from.ip()) {
            continue;
        }
        let (socket, home, query) = (socket.clone(), home.clone(), bytes[..length].to_vec());
        under_way.spawn(async move {
            if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, answer(&home, &query)).await {
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

async fn answer(home: &Home, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = home.dns(false).await?;
    stream.write_u16(query.len() as u16).await?;
    stream.write_all(query).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

async fn accept(listener: TcpListener, home: Arc<Home>) {
    let mut under_way = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= CARRIED_MAX {
            continue;
        }
        let home = home.clone();
        under_way.spawn(async move {
            let _ = stream.set_nodelay(true);
            // A failure closes the connection: the client sees that nobody is there.
            let _ = lead(stream, &home).await;
        });
    }
}

/// By where the client wanted to go: the address at its own end of the connection.
async fn lead(stream: TcpStream, home: &Home) -> io::Result<()> {
    let wanted = stream.local_addr()?;
    match (wanted.ip(), wanted.port()) {
        (IpAddr::V4(to), super::inside::DNS_PORT) if to.is_loopback() => {
            join(stream, home.dns(true).await?).await
        }
        (to, 443) if to.is_loopback() => join(stream, home.socket(HTTPS_SOCKET).await?).await,
        (to, 80) if to.is_loopback() => join(stream, home.socket(HTTP_SOCKET).await?).await,
        (to, port) if to.is_loopback() && port == home.main.port() => {
            join(stream, connect(home.main).await?).await
        }
        _ => join(stream, connect(wanted).await?).await,
    }
}

async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect(to)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn join<S: AsyncRead + AsyncWrite + Unpin>(mut own: TcpStream, mut to: S) -> io::Result<()> {
    copy_bidirectional(&mut own, &mut to).await.map(|_| ())
}
