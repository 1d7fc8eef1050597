//! The places where the cloud listens: HTTP and TLS on ports, DNS, and sockets in the data folder by
//! which `cumulet shell` carries connections here, whatever the host's ports are.
//!
//! Invariants: an address that cannot be had ends the start before any data is opened; the folder's
//! sockets are the owner's alone; all doors close together.

use crate::chance::{OsEntropy, SystemClock};
use crate::descriptors;
use crate::exit::{self, Failure};
use crate::settings::{Config, Forward};
use authority::{Authority, Resolver};
use dns::{Addresses, Cloud, Names, Served, Standing, Upstream};
use engine::rootless::keeper::Wanted;
use gateway::Gateway;
use gateway::listen::{self, ListenOptions, Listener, Tls, Workers};
use gateway::names::{CLOSED, HostStanding};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, UdpSocket, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

/// What TLS clients may speak, the better one first.
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The folder of the sockets, in the data folder.
pub const SOCKETS: &str = "run";
pub const HTTP_SOCKET: &str = "http";
pub const HTTPS_SOCKET: &str = "https";
/// An IPv4 address, where the names shall lead; 1 if the client came by TCP, else 0; then queries as
/// over TCP.
pub const DNS_SOCKET: &str = "dns";

/// The folder of the local authority, in the data folder.
pub const AUTHORITY: &str = "tls";

/// On the sockets for HTTP and HTTPS together.
const SOCKET_CONNECTIONS_MAX: usize = 512;
/// On the one for DNS at a time; more are closed.
const DNS_STREAMS_MAX: usize = 256;
/// For the next query on the socket of the data folder.
const DNS_IDLE: Duration = Duration::from_secs(60);

/// Ports that are bound and not yet answered.
pub struct Doors {
    main: TcpListener,
    address: SocketAddr,
    /// Further ones of the same kind.
    too: Vec<TcpListener>,
    https: Option<TcpListener>,
    http: Option<TcpListener>,
    dns: Option<(UdpSocket, TcpListener)>,
}

/// Doors that are answered.
pub struct OpenDoors {
    /// What to tell a person of them.
    pub lines: Vec<String>,
    serving: JoinSet<()>,
    /// End at once: nobody minds a query that is lost.
    dns: Vec<JoinHandle<()>>,
    sockets: PathBuf,
}

fn cannot(address: SocketAddr, error: &std::io::Error) -> Failure {
    let next = match error.kind() {
        ErrorKind::AddrInUse => "; stop what listens there, or choose another with --listen",
        ErrorKind::PermissionDenied => "; ports below 1024 need root",
        _ => "",
    };
    Failure::new(exit::ADDRESS, format!("cannot listen on {address}: {error}{next}"))
}

fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(1024)
    };
    let by_keeper = |error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied => {
            let socket = Wanted { address, datagrams: false, shared: false }.bind_by_any()?;
            rustix::net::listen(&socket, 1024)?;
            rustix::io::ioctl_fionbio(&socket, true)?;
            TcpListener::from_std(socket.into())
        }
        _ => Err(error),
    };
    listener().or_else(by_keeper).map_err(|error: std::io::Error| cannot(address, &error))
}

/// Both kinds on one port, which the first may choose.
fn bind_dns(address: SocketAddr) -> Result<(UdpSocket, TcpListener), Failure> {
    let tcp = bind(address)?;
    let address = tcp.local_addr().unwrap_or(address);
    let socket = Wanted { address, datagrams: true, shared: false }.bind_by_any();
    let udp = socket.map_err(std::io::Error::from).and_then(|socket| {
        let socket = std::net::UdpSocket::from(socket);
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    });
    Ok((udp.map_err(|error| cannot(address, &error))?, tcp))
}

impl Doors {
    pub fn bind(config: &Config) -> Result<Doors, Failure> {
        let main = bind(config.listen)?;
        let address = main.local_addr().map_err(|e| cannot(config.listen, &e))?;
        Ok(Doors {
            main,
            address,
            too: config.listen_too.iter().map(|at| bind(*at)).collect::<Result<_, _>>()?,
            https: config.https_listen.map(bind).transpose()?,
            http: config.http_listen.map(bind).transpose()?,
            dns: config.dns_listen.map(bind_dns).transpose()?,
        })
    }

    /// Where most clients come.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to answer. `own_tls` is the certificate that was given, in place of the authority's.
    pub fn open(
        self,
        config: &Config,
        gateway: &Arc<Gateway>,
        own_tls: Option<Arc<rustls::ServerConfig>>,
        workers: &Workers,
        stop: watch::Receiver<bool>,
    ) -> Result<OpenDoors, Failure> {
        let local = |listener: &Option<TcpListener>| {
            listener.as_ref().and_then(|listener| listener.local_addr().ok())
        };
        let (https, http) = (local(&self.https), local(&self.http));
        let addresses = addresses(https.or(http));
        let mut lines = Vec::new();
        let local_tls = local_tls(config, gateway, addresses, &mut lines)?;
        let tls = own_tls.unwrap_or_else(|| local_tls.clone());
        let sockets = config.data.join(SOCKETS);
        let (http_socket, https_socket, dns_socket) = sockets_in(&sockets)?;
        let unix = Listener::Unix;
        let doors = [
            Some((Listener::Tcp(self.main), Some(Tls::Possible(tls.clone())))),
            self.https.map(|listener| (Listener::Tcp(listener), Some(Tls::Always(tls.clone())))),
            self.http.map(|listener| (Listener::Tcp(listener), None)),
            Some((unix(http_socket), None)),
            Some((unix(https_socket), Some(Tls::Always(local_tls)))),
        ];
        let further: Vec<String> = self
            .too
            .iter()
            .filter_map(|listener| Some(format!("also on {}", listener.local_addr().ok()?)))
            .collect();
        let inner = self.too.into_iter().chain(inner_doors(self.address.port()));
        let inner =
            inner.map(|listener| (Listener::Tcp(listener), Some(Tls::Possible(tls.clone()))));
        let inner: Vec<_> = inner.collect();
        let mut serving = JoinSet::new();
        // Whoever is on this machine with leave to enter the folder finds room when the network has taken all.
        let most = descriptors::connections(config.connections, descriptors::most());
        let for_all = Arc::new(Semaphore::new(most));
        let for_sockets = Arc::new(Semaphore::new((most / 4).clamp(1, SOCKET_CONNECTIONS_MAX)));
        for (listener, tls) in doors.into_iter().flatten().chain(inner) {
            let room = match &listener {
                Listener::Tcp(_) => for_all.clone(),
                Listener::Unix(_) => for_sockets.clone(),
            };
            let options = options(config, tls, workers.clone(), room);
            serving.spawn(listen::serve(gateway.clone(), listener, options, stop.clone()));
        }
        let cloud = Cloud { names: Arc::new(OwnNames(gateway.clone())), addresses };
        let served = Served {
            zone: Arc::new(cloud.clone()),
            upstream: Arc::new(upstream(config, self.dns.as_ref().map(|(_, tcp)| tcp))),
        };
        lines.extend(further);
        let places = [("HTTPS", https), ("HTTP", http)];
        lines
            .extend(places.into_iter().filter_map(|(kind, at)| Some(format!("{kind} on {}", at?))));
        let mut dns = vec![start(serve_dns_socket(dns_socket, cloud, served.upstream.clone()))];
        if let Some((udp, tcp)) = self.dns {
            lines.extend(
                tcp.local_addr().map(|at| format!("DNS on {at}, names lead to {}", addresses.v4)),
            );
            dns.push(start(dns::serve_udp(udp, served.clone())));
            dns.push(start(dns::serve_tcp(tcp, served)));
        }
        Ok(OpenDoors { lines, serving, dns, sockets })
    }
}

#[allow(clippy::disallowed_methods, reason = "the process owns its doors")]
fn start(door: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(door)
}

impl OpenDoors {
    pub async fn until_stopped(mut self) {
        while self.serving.join_next().await.is_some() {}
        for door in &self.dns {
            door.abort();
        }
        for name in [HTTP_SOCKET, HTTPS_SOCKET, DNS_SOCKET] {
            let _ = std::fs::remove_file(self.sockets.join(name));
        }
    }
}

/// Where the networks of containers are not this machine's own, nothing of the kernel's leads from them to a
/// door of ours, so that there are doors in them.
fn inner_doors(port: u16) -> Vec<TcpListener> {
    if !engine::rootless::is_entered() {
        return Vec::new();
    }
    let ports = BTreeSet::from([engine::network::CLOUD_PORT, port]);
    let open = |port| engine::rootless::listen(port).and_then(TcpListener::from_std);
    ports.into_iter().filter_map(|port| open(port).ok()).collect()
}

fn options(
    config: &Config,
    tls: Option<Tls>,
    workers: Workers,
    room: Arc<Semaphore>,
) -> ListenOptions {
    ListenOptions {
        room,
        head_timeout: config.head_timeout,
        stall_timeout: config.stall_timeout,
        linger: if config.is_ephemeral { Duration::ZERO } else { listen::LINGER },
        drain_timeout: config.drain_timeout,
        tls,
        workers,
    }
}

/// Where names lead: to the door of HTTPS or HTTP.
fn addresses(door: Option<SocketAddr>) -> Addresses {
    let home = Ipv4Addr::LOCALHOST;
    match door.map(|door| door.ip().to_canonical()) {
        Some(IpAddr::V4(v4)) if !v4.is_unspecified() => Addresses { v4, v6: None },
        Some(IpAddr::V6(v6)) if !v6.is_unspecified() => Addresses { v4: home, v6: Some(v6) },
        _ => Addresses { v4: home, v6: None },
    }
}

/// The domains of the local authority.
fn domains(config: &Config) -> Vec<String> {
    let fixed = ["localhost", "localhost.localstack.cloud"];
    let fixed = CLOSED.into_iter().chain(fixed).map(str::to_owned);
    fixed.chain(config.host_names.iter().cloned()).collect()
}

fn local_tls(
    config: &Config,
    gateway: &Arc<Gateway>,
    addresses: Addresses,
    lines: &mut Vec<String>,
) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let failed = |error: std::io::Error| Failure::new(exit::DATA, error.to_string());
    let clock = Arc::new(SystemClock::new());
    let folder = config.data.join(AUTHORITY);
    let now = base::Clock::now(&*clock);
    let loaded =
        Authority::load_or_make(&folder, &domains(config), now, &OsEntropy, !config.is_ephemeral)
            .map_err(failed)?;
    if !loaded.uncovered.is_empty() {
        lines.push(format!(
            "no TLS for {}: the authority in {} is older; remove that folder for a new one",
            loaded.uncovered.join(", "),
            folder.display()
        ));
    }
    let gateway = gateway.clone();
    let leads_here = move |name: &str| gateway.host_standing(name) == HostStanding::Ours;
    let resolver = Resolver::new(loaded.authority, clock, &[addresses.v4.into()], leads_here)
        .map_err(failed)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(exit::FAILED, error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn sockets_in(folder: &Path) -> Result<(UnixListener, UnixListener, UnixListener), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(exit::DATA, format!("no sockets in {}: {error}", folder.display()))
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let open = |name: &str| {
        // Of a life that ended without saying so: we hold the folder now.
        let _ = std::fs::remove_file(folder.join(name));
        within(folder, |short| UnixListener::bind(short.join(name))).map_err(failed)
    };
    Ok((open(HTTP_SOCKET)?, open(HTTPS_SOCKET)?, open(DNS_SOCKET)?))
}

/// Runs `act` with a short path of the folder: a socket's must have less than 108 bytes.
pub fn within<R>(
    folder: &Path,
    act: impl FnOnce(&Path) -> std::io::Result<R>,
) -> std::io::Result<R> {
    use rustix::fs::{Mode, OFlags, open};
    let held = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    act(Path::new(&format!("/proc/self/fd/{}", held.as_raw_fd())))
}

struct OwnNames(Arc<Gateway>);

impl Names for OwnNames {
    fn standing(&self, name: &str) -> Standing {
        match self.0.host_standing(name) {
            HostStanding::Ours => Standing::Ours,
            HostStanding::Absent => Standing::Absent,
            HostStanding::Foreign => Standing::Foreign,
        }
    }
}

fn upstream(config: &Config, own: Option<&TcpListener>) -> Upstream {
    let own: Vec<SocketAddr> = own.and_then(|own| own.local_addr().ok()).into_iter().collect();
    let forward = config.dns_forward.clone();
    let resolvers = move || match &forward {
        Forward::To(all) => all.clone(),
        Forward::Host => {
            let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            dns::resolvers(&text, &own)
        }
    };
    Upstream::new(resolvers, Arc::new(OsEntropy))
}

async fn serve_dns_socket(listener: UnixListener, cloud: Cloud, upstream: Arc<Upstream>) {
    let mut streams = JoinSet::new();
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        while streams.try_join_next().is_some() {}
        if streams.len() >= DNS_STREAMS_MAX {
            continue;
        }
        let (names, upstream) = (cloud.names.clone(), upstream.clone());
        streams.spawn(async move {
            let mut head = [0; 5];
            let named = tokio::time::timeout(DNS_IDLE, stream.read_exact(&mut head)).await;
            if let Ok(Ok(_)) = named {
                let [a, b, c, d, by_tcp] = head;
                let addresses = Addresses { v4: Ipv4Addr::new(a, b, c, d), v6: None };
                let served = Served { zone: Arc::new(Cloud { names, addresses }), upstream };
                let _ = dns::serve_frames(stream, &served, by_tcp == 1, DNS_IDLE).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_the_door_of_websites() {
        let check = |door: Option<&str>, v4: [u8; 4], v6: Option<&str>| {
            let found = addresses(door.map(|door| door.parse().unwrap()));
            assert_eq!((found.v4, found.v6), (v4.into(), v6.map(|v6| v6.parse().unwrap())));
        };
        check(None, [127, 0, 0, 1], None);
        check(Some("127.0.0.9:443"), [127, 0, 0, 9], None);
        check(Some("0.0.0.0:443"), [127, 0, 0, 1], None);
        check(Some("[::1]:443"), [127, 0, 0, 1], Some("::1"));
        check(Some("[::]:443"), [127, 0, 0, 1], None);
    }
}
