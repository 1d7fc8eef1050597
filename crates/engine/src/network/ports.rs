//! Published ports: each is held by a bound socket of our own, so that nobody else takes it.

use crate::config::{HostConfig, PortBinding, Set};
use crate::error::{Error, Kind};
use crate::rootless::keeper;
use crate::validate::parse_port;
use net::firewall::{Protocol, Published};
use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_socket_reuseport;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Container port to where it is reached, as `inspect` shows it.
pub type Ports = BTreeMap<String, Option<Vec<PortBinding>>>;

#[derive(Default)]
pub struct Reserved {
    pub ports: Ports,
    pub published: Vec<Published>,
    pub spliced: Vec<Spliced>,
    pub held: Vec<OwnedFd>,
}

/// An address where the kernel does not translate, so that we take what comes, and where it leads.
#[derive(Debug)]
pub enum Spliced {
    Connections {
        at: SocketAddr,
        to: SocketAddr,
    },
    /// The socket, if it is bound already.
    Datagrams {
        at: SocketAddr,
        to: SocketAddr,
        socket: Option<OwnedFd>,
    },
}

/// Where a container is.
#[derive(Clone, Debug)]
pub struct Place {
    pub four: Ipv4Addr,
    pub six: Option<Ipv6Addr>,
}

impl Place {
    /// Over IPv6 if it can be.
    fn inner(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.six.map_or(self.four.into(), IpAddr::from), port)
    }
}

/// Times that a port free for both kinds of addresses is looked for.
const TRIES: u32 = 20;

/// Reserves all ports that a container publishes. None is kept if one cannot be had.
pub fn reserve(
    host: &HostConfig,
    exposed: &Set,
    to: &Place,
    default_ip: Option<Ipv4Addr>,
) -> Result<Reserved, Error> {
    let mut reserved = Reserved::default();
    let mut wanted: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for (port, bindings) in &host.port_bindings {
        let bindings = bindings.clone().unwrap_or_default();
        // None at all is any port.
        let any = vec![PortBinding::default()];
        wanted.insert(whole(port)?, if bindings.is_empty() { any } else { bindings });
    }
    for port in exposed.keys() {
        let port = whole(port)?;
        if host.publish_all_ports {
            wanted.entry(port).or_insert_with(|| vec![PortBinding::default()]);
        } else if !wanted.contains_key(&port) {
            reserved.ports.insert(port, None);
        }
    }
    for (port, bindings) in wanted {
        let (number, protocol) = parse_port(&port)?;
        let Some(protocol) = Protocol::parse(protocol) else { continue };
        let mut bound = Vec::new();
        for binding in bindings {
            for (socket, address) in hold(&binding, protocol, to, default_ip)? {
                let unused = reserved.add(address, protocol, to, number, socket);
                reserved.held.extend(unused);
                bound.push(PortBinding {
                    host_ip: address.ip().to_string(),
                    host_port: address.port().to_string(),
                });
            }
        }
        reserved.ports.insert(port, Some(bound));
    }
    Ok(reserved)
}

impl Reserved {
    /// Gives the socket back, if it need only be held.
    fn add(
        &mut self,
        address: SocketAddr,
        protocol: Protocol,
        to: &Place,
        to_port: u16,
        socket: Option<OwnedFd>,
    ) -> Option<OwnedFd> {
        let host_ip = Some(address.ip()).filter(|ip| !ip.is_unspecified());
        let inner = match address {
            SocketAddr::V4(_) => Some(to.four.into()),
            SocketAddr::V6(_) => to.six.map(IpAddr::from),
        };
        self.published.extend(inner.map(|inner| Published {
            protocol,
            host_ip,
            host_port: address.port(),
            to: SocketAddr::new(inner, to_port),
        }));
        if net_sys::is_settled() {
            // The networks are elsewhere, and the rule holds in there alone: no rule of this machine leads there.
            let inner = match address {
                SocketAddr::V4(_) => SocketAddr::new(to.four.into(), to_port),
                SocketAddr::V6(_) => to.inner(to_port),
            };
            match protocol {
                Protocol::Tcp => {
                    self.spliced.push(Spliced::Connections { at: address, to: inner });
                    return socket;
                }
                Protocol::Udp => {
                    self.spliced.push(Spliced::Datagrams { at: address, to: inner, socket });
                    return None;
                }
                Protocol::Sctp => return socket,
            }
        }
        if address.is_ipv6() && protocol == Protocol::Tcp {
            let to = to.inner(to_port);
            self.spliced.push(Spliced::Connections { at: address, to });
        }
        socket
    }
}

/// The same from what `inspect` shows, for a container that was found running.
pub fn published(ports: &Ports, to: &Place) -> Reserved {
    let mut all = Reserved::default();
    for (port, bindings) in ports {
        let Ok((to_port, protocol)) = parse_port(port) else { continue };
        let Some(protocol) = Protocol::parse(protocol) else { continue };
        for binding in bindings.iter().flatten() {
            let Ok(host_port) = binding.host_port.parse() else { continue };
            let Ok(ip) = binding.host_ip.parse::<IpAddr>() else { continue };
            all.add(SocketAddr::new(ip, host_port), protocol, to, to_port, None);
        }
    }
    all
}

fn whole(port: &str) -> Result<String, Error> {
    let (number, protocol) = parse_port(port)?;
    Ok(format!("{number}/{protocol}"))
}

type Held = (Option<OwnedFd>, SocketAddr);

/// A single port or the first free one of a range, on all the addresses that a binding means.
fn hold(
    binding: &PortBinding,
    protocol: Protocol,
    to: &Place,
    default_ip: Option<Ipv4Addr>,
) -> Result<Vec<Held>, Error> {
    let addresses = addresses(&binding.host_ip, protocol, to, default_ip)?;
    let wrong = || Error::invalid(format!("invalid host port: {}", binding.host_port));
    let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    let (first, last) = match binding.host_port.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None if binding.host_port.is_empty() => (0, 0),
        None => (number(&binding.host_port)?, number(&binding.host_port)?),
    };
    let mut error = None;
    let any = [0; TRIES as usize];
    let ports: Vec<u16> = match first {
        0 => any.to_vec(),
        first => (first..=last.max(first)).collect(),
    };
    for port in ports {
        match bind_all(&addresses, port, protocol) {
            Ok(held) => return Ok(held),
            Err(failed) => error = Some(failed),
        }
    }
    let (address, error) = error.ok_or_else(wrong)?;
    let name = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    let reason = crate::sys::reason(error.into());
    Err(Error::failed(format!(
        "failed to set up container networking: driver failed programming external connectivity \
         on endpoint: failed to bind host port {address}/{name}: {reason}"
    )))
}

/// Without a word on it, all of this machine: of both kinds, where it has both.
fn addresses(
    text: &str,
    protocol: Protocol,
    to: &Place,
    default_ip: Option<Ipv4Addr>,
) -> Result<Vec<IpAddr>, Error> {
    // Without connections there is nothing to splice.
    let reaches_six = to.six.is_some() || protocol == Protocol::Tcp || net_sys::is_settled();
    if text.is_empty() {
        let four = default_ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut all = vec![four.into()];
        if default_ip.is_none() && reaches_six && has_six() {
            all.push(Ipv6Addr::UNSPECIFIED.into());
        }
        return Ok(all);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let ip: IpAddr =
        bare.parse().map_err(|_| Error::invalid(format!("invalid IP address: {text}")))?;
    if ip.is_ipv6() && !reaches_six {
        let what = "publishing a port without connections on IPv6 for a container without IPv6";
        return Err(Error::new(Kind::NotDone, format!("{what} is not done")));
    }
    Ok(vec![ip])
}

/// Whether this machine has IPv6 at all.
fn has_six() -> bool {
    let any = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0);
    bind_one(any, Protocol::Tcp, false).is_ok()
}

/// The same port on each of the addresses.
fn bind_all(
    addresses: &[IpAddr],
    mut port: u16,
    protocol: Protocol,
) -> Result<Vec<Held>, (SocketAddr, rustix::io::Errno)> {
    let mut held = Vec::new();
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        let bound = bind_one(address, protocol, false).and_then(|(socket, bound)| {
            let is_spliced = ip.is_ipv6() || net_sys::is_settled();
            if let Some(socket) =
                socket.as_ref().filter(|_| is_spliced && protocol == Protocol::Tcp)
            {
                // Nobody else has it; from here on who takes the connections can bind it beside us.
                set_socket_reuseport(socket, true)?;
            }
            Ok((socket, bound))
        });
        let (socket, bound) = bound.map_err(|error| (address, error))?;
        port = bound.port();
        held.push((socket, bound));
    }
    Ok(held)
}

fn bind_one(address: SocketAddr, protocol: Protocol, shared: bool) -> rustix::io::Result<Held> {
    let datagrams = match protocol {
        Protocol::Tcp => false,
        Protocol::Udp => true,
        // The kernel may not know it; then only the rule stands.
        Protocol::Sctp => return Ok((None, address)),
    };
    let socket = keeper::Wanted { address, datagrams, shared }.bind_by_any()?;
    let bound = keeper::address_of(&socket)?;
    Ok((Some(socket), bound))
}

/// Takes connections at a port that is held for a container.
pub fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let (socket, _) = bind_one(address, Protocol::Tcp, true)?;
    let socket = socket.ok_or(std::io::ErrorKind::Unsupported)?;
    rustix::net::listen(&socket, 512)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket.into())
}

/// Takes datagrams at a port of a container: by the socket that holds it, or a new one.
pub fn receive(address: SocketAddr, held: Option<OwnedFd>) -> std::io::Result<std::net::UdpSocket> {
    let socket = match held {
        Some(socket) => socket,
        None => {
            bind_one(address, Protocol::Udp, false)?.0.ok_or(std::io::ErrorKind::Unsupported)?
        }
    };
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(json: &str) -> HostConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_port_is_held_while_it_is_published() {
        let to = Place { four: [10, 0, 0, 2].into(), six: None };
        let any = host(r#"{"PortBindings":{"80":[{"HostIp":"127.0.0.1"}]}}"#);
        let exposed = Set::from([("81/udp".to_owned(), Default::default())]);
        let first = reserve(&any, &exposed, &to, None).unwrap();
        let port = first.published[0].host_port;
        assert!(port > 0 && first.ports["81/udp"].is_none());
        let bound = first.ports["80/tcp"].as_ref().unwrap();
        assert_eq!(bound[0].host_port, port.to_string());
        let same = host(&format!(
            r#"{{"PortBindings":{{"90/tcp":[{{"HostIp":"127.0.0.1","HostPort":"{port}"}}]}}}}"#
        ));
        let error = reserve(&same, &Set::new(), &to, None).map(|_| ()).unwrap_err();
        assert!(error.text.contains("address already in use"), "{error}");
        drop(first);
        reserve(&same, &Set::new(), &to, None).unwrap();
        for bad in ["x", "70000", "1-x"] {
            let json = format!(r#"{{"PortBindings":{{"90/tcp":[{{"HostPort":"{bad}"}}]}}}}"#);
            assert!(reserve(&host(&json), &Set::new(), &to, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_kinds_of_addresses_have_one_port() {
        if !has_six() {
            eprintln!("skipped: this machine has no IPv6");
            return;
        }
        let six: Ipv6Addr = "fd00::2".parse().unwrap();
        let to = Place { four: [10, 0, 0, 2].into(), six: Some(six) };
        let any = host(r#"{"PortBindings":{"80":[{}]}}"#);
        let first = reserve(&any, &Set::new(), &to, None).unwrap();
        let bound = first.ports["80/tcp"].as_ref().unwrap();
        let shown: Vec<&str> = bound.iter().map(|one| one.host_ip.as_str()).collect();
        assert_eq!(shown, ["0.0.0.0", "::"]);
        assert_eq!(bound[0].host_port, bound[1].host_port);
        let leads: Vec<String> = first.published.iter().map(|one| one.to.to_string()).collect();
        assert_eq!(leads, ["10.0.0.2:80", "[fd00::2]:80"]);
        assert!(first.published.iter().all(|one| one.host_ip.is_none()));
        let Spliced::Connections { at, to: inner } = first.spliced[0] else { panic!("datagrams") };
        assert_eq!(
            (at.port().to_string(), inner.to_string()),
            (bound[0].host_port.clone(), "[fd00::2]:80".into())
        );
        // Who takes the connections comes beside what holds the port; nobody else does.
        listen(at).unwrap();
        assert!(std::net::TcpListener::bind(at).is_err());
        let same = format!(
            r#"{{"PortBindings":{{"80":[{{"HostIp":"::1","HostPort":"{}"}}]}}}}"#,
            at.port()
        );
        let again = reserve(&host(&same), &Set::new(), &to, None).map(|_| ());
        assert!(again.unwrap_err().text.contains("address already in use"));
        // What came back is the same as what was given out.
        let found = published(&first.ports, &to);
        assert_eq!(found.published, first.published);
        let Spliced::Connections { at: again, to } = found.spliced[0] else { panic!("datagrams") };
        assert_eq!((again, to), (at, inner));
    }

    /// Each holds it by the time that it is told so: none lets go of it in between.
    #[test]
    fn a_port_is_given_to_one_of_many() {
        if !has_six() {
            eprintln!("skipped: this machine has no IPv6");
            return;
        }
        let address = [Ipv6Addr::LOCALHOST.into()];
        for _ in 0..200 {
            let (first, at) = bind_one((address[0], 0).into(), Protocol::Tcp, false).unwrap();
            let together = std::sync::Barrier::new(5);
            drop(first);
            let had = std::thread::scope(|scope| {
                let try_it = || {
                    together.wait();
                    let held = bind_all(&address, at.port(), Protocol::Tcp);
                    // Till all have tried.
                    together.wait();
                    usize::from(held.is_ok())
                };
                let threads = [0; 5].map(|_| scope.spawn(try_it));
                threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
            });
            // None, where somebody else was quicker.
            assert!(had <= 1, "{had} have it");
        }
    }
}
