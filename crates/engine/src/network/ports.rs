//! Published ports: each is held by a bound socket of our own, so that nobody else takes it.

use crate::config::{HostConfig, PortBinding, Set};
use crate::error::{Error, Kind};
use crate::validate::parse_port;
use net::firewall::{Protocol, Published, Published6};
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Container port to where it is reached, as `inspect` shows it.
pub type Ports = BTreeMap<String, Option<Vec<PortBinding>>>;

#[derive(Default)]
pub struct Reserved {
    pub ports: Ports,
    pub published: Vec<Published>,
    pub published_six: Vec<Published6>,
    pub spliced: Vec<Spliced>,
    pub held: Vec<OwnedFd>,
}

/// An address of IPv6 on which connections are taken, and where they lead.
pub type Spliced = (SocketAddrV6, SocketAddr);

/// Where a container is.
#[derive(Clone, Debug)]
pub struct Place {
    pub interface: String,
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
                reserved.add(address, protocol, to, number);
                reserved.held.extend(socket);
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
    fn add(&mut self, address: SocketAddr, protocol: Protocol, to: &Place, to_port: u16) {
        let host_port = address.port();
        match address {
            SocketAddr::V4(address) => self.published.push(Published {
                protocol,
                host_ip: Some(*address.ip()).filter(|ip| !ip.is_unspecified()),
                host_port,
                interface: to.interface.clone(),
                to: to.four,
                to_port,
            }),
            SocketAddr::V6(address) => {
                let host_ip = Some(*address.ip()).filter(|ip| !ip.is_unspecified());
                if let Some(to) = to.six {
                    self.published_six.push(Published6 {
                        protocol,
                        host_ip,
                        host_port,
                        to,
                        to_port,
                    });
                }
                if protocol == Protocol::Tcp {
                    self.spliced.push((address, to.inner(to_port)));
                }
            }
        }
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
            all.add(SocketAddr::new(ip, host_port), protocol, to, to_port);
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
    let reaches_six = to.six.is_some() || protocol == Protocol::Tcp;
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
            if !ip.is_ipv6() || protocol != Protocol::Tcp {
                return Ok((socket, bound));
            }
            // Nobody else has it; now so that who takes the connections can bind it beside us.
            drop(socket);
            bind_one(bound, protocol, true)
        });
        let (socket, bound) = bound.map_err(|error| (address, error))?;
        port = bound.port();
        held.push((socket, bound));
    }
    Ok(held)
}

fn bind_one(address: SocketAddr, protocol: Protocol, shared: bool) -> rustix::io::Result<Held> {
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
        // The kernel may not know it; then only the rule stands.
        Protocol::Sctp => return Ok((None, address)),
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    bind(&socket, &address)?;
    let bound = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((Some(socket), bound))
}

/// Takes connections at a port that is held for a container.
pub fn listen(address: SocketAddrV6) -> std::io::Result<std::net::TcpListener> {
    let (socket, _) = bind_one(address.into(), Protocol::Tcp, true)?;
    let socket = socket.ok_or(std::io::ErrorKind::Unsupported)?;
    rustix::net::listen(&socket, 512)?;
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
        let to = Place { interface: "br".into(), four: [10, 0, 0, 2].into(), six: None };
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
        let to = Place { interface: "br".into(), four: [10, 0, 0, 2].into(), six: Some(six) };
        let any = host(r#"{"PortBindings":{"80":[{}]}}"#);
        let first = reserve(&any, &Set::new(), &to, None).unwrap();
        let bound = first.ports["80/tcp"].as_ref().unwrap();
        let shown: Vec<&str> = bound.iter().map(|one| one.host_ip.as_str()).collect();
        assert_eq!(shown, ["0.0.0.0", "::"]);
        assert_eq!(bound[0].host_port, bound[1].host_port);
        assert_eq!((first.published_six[0].to, first.published_six[0].host_ip), (six, None));
        let (at, inner) = first.spliced[0];
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
        assert_eq!((found.published_six, found.spliced), (first.published_six, first.spliced));
    }
}
