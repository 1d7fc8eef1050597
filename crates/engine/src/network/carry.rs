//! The way out for containers of a cloud that is not root: nothing of the kernel's leads from their networks
//! to this machine's. Connections that leave a bridge are led by a rule to a listener of ours beside it, which
//! asks the kernel where they were meant to go and makes them anew from here; questions of names are answered
//! by this machine's resolvers. The bridge's own address stands for this machine.
//!
//! Deliberately absent: other datagrams, ICMP, and IPv6 outwards.

use super::resolver::upstream;
use super::splice::both_ways;
use crate::error::Error;
use crate::sys::raw;
use base::Entropy;
use dns::{Answer, Code, Malformed, Query, Served, Upstream, Zone};
use net::firewall::Carried;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Of all containers together, at a time; more wait.
const CONNECTIONS: usize = 2_048;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Bound, and not yet served.
#[derive(Debug)]
pub(super) struct Carrier {
    connections: TcpListener,
    names: UdpSocket,
}

impl Carrier {
    pub fn open() -> io::Result<Carrier> {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        net_sys::at_home(|| {
            let carrier =
                Carrier { connections: TcpListener::bind(any)?, names: UdpSocket::bind(any)? };
            carrier.connections.set_nonblocking(true)?;
            carrier.names.set_nonblocking(true)?;
            Ok(carrier)
        })
    }

    /// Where rules lead.
    pub fn ports(&self) -> io::Result<Carried> {
        Ok(Carried {
            connections: self.connections.local_addr()?.port(),
            names: self.names.local_addr()?.port(),
        })
    }

    /// Serves until the process ends. `gateways` are this machine's addresses in the networks now.
    pub fn serve(
        self,
        entropy: Arc<dyn Entropy>,
        gateways: impl Fn() -> BTreeSet<Ipv4Addr> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let own = self.connections.local_addr()?.port();
        let listener = tokio::net::TcpListener::from_std(self.connections)?;
        let names = tokio::net::UdpSocket::from_std(self.names)?;
        let upstream = Upstream::new(|| upstream(&[]), entropy);
        let served = Served { zone: Arc::new(Onwards), upstream: Arc::new(upstream) };
        crate::engine::task(dns::serve_udp(names, served));
        crate::engine::task(accept(listener, own, Arc::new(gateways)));
        Ok(())
    }
}

/// Nothing is known here; all is asked elsewhere.
struct Onwards;

impl Zone for Onwards {
    fn answer<'q>(&self, bytes: &'q [u8]) -> Answer<'q> {
        match Query::parse(bytes) {
            Ok(query) if query.is_internet() => Answer::Forward(query),
            Ok(query) => Answer::Reply(query.reply(Code::Refused, &[], 0)),
            Err(Malformed::Silent) => Answer::Silence,
            Err(Malformed::Answer(code)) => Answer::Reply(dns::head(bytes, code, 0)),
        }
    }
}

async fn accept(
    listener: tokio::net::TcpListener,
    own: u16,
    gateways: Arc<impl Fn() -> BTreeSet<Ipv4Addr> + Send + Sync + 'static>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((inner, _)) => {
                let gateways = gateways.clone();
                crate::engine::task(async move {
                    if let Some(to) = raw::meant_for(&inner)
                        .ok()
                        .and_then(|to| destination(to, own, &gateways(), own_address))
                    {
                        let connected = TcpStream::connect(SocketAddr::V4(to));
                        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
                        if let Ok(Ok(outer)) = connected {
                            both_ways(inner, outer).await;
                        }
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a container's connection could not be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Where a connection is made to in place of a container; none is nowhere.
fn destination(
    meant: SocketAddrV4,
    own: u16,
    gateways: &BTreeSet<Ipv4Addr>,
    own_address: impl Fn() -> Option<Ipv4Addr>,
) -> Option<SocketAddrV4> {
    let ip = *meant.ip();
    if gateways.contains(&ip) {
        // Who comes here by our own port was led by no rule.
        let address = own_address().filter(|_| meant.port() != own)?;
        return Some(SocketAddrV4::new(address, meant.port()));
    }
    // What listens on this machine's loopback alone is not for containers.
    let leads_out = !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast();
    (leads_out && !ip.is_broadcast()).then_some(meant)
}

/// This machine's address as others have it: nothing is sent to find it.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_connections_go() {
        let gateways = BTreeSet::from([Ipv4Addr::new(172, 17, 0, 1)]);
        let check = |meant: &str, expected: Option<&str>| {
            let own = || Some(Ipv4Addr::new(10, 1, 1, 1));
            let found = destination(meant.parse().unwrap(), 4000, &gateways, own);
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{meant}");
        };
        check("192.0.2.7:80", Some("192.0.2.7:80"));
        check("172.17.0.1:80", Some("10.1.1.1:80"));
        check("172.17.0.1:4000", None);
        check("127.0.0.1:80", None);
        check("0.0.0.0:80", None);
        check("255.255.255.255:80", None);
        check("224.0.0.1:80", None);
    }
}
