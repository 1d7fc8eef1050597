//! Published ports: each is held by a bound socket of our own, so that nobody else takes it.

use crate::config::{HostConfig, PortBinding, Set};
use crate::error::{Error, Kind};
use crate::validate::parse_port;
use net::firewall::{Protocol, Published};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Container port to where it is reached, as `inspect` shows it.
pub type Ports = BTreeMap<String, Option<Vec<PortBinding>>>;

pub struct Reserved {
    pub ports: Ports,
    pub published: Vec<Published>,
    pub held: Vec<OwnedFd>,
}

/// Reserves all ports that a container publishes. None is kept if one cannot be had.
pub fn reserve(
    host: &HostConfig,
    exposed: &Set,
    interface: &str,
    to: Ipv4Addr,
    default_ip: Option<Ipv4Addr>,
) -> Result<Reserved, Error> {
    let mut reserved = Reserved { ports: Ports::new(), published: Vec::new(), held: Vec::new() };
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
            let (socket, address) = hold(&binding, protocol, default_ip)?;
            let host_ip = Some(*address.ip()).filter(|ip| !ip.is_unspecified());
            reserved.published.push(Published {
                protocol,
                host_ip,
                host_port: address.port(),
                interface: interface.to_owned(),
                to,
                to_port: number,
            });
            reserved.held.extend(socket);
            bound.push(PortBinding {
                host_ip: address.ip().to_string(),
                host_port: address.port().to_string(),
            });
        }
        reserved.ports.insert(port, Some(bound));
    }
    Ok(reserved)
}

/// The same from what `inspect` shows, for a container that was found running.
pub fn published(ports: &Ports, interface: &str, to: Ipv4Addr) -> Vec<Published> {
    let mut all = Vec::new();
    for (port, bindings) in ports {
        let Ok((to_port, protocol)) = parse_port(port) else { continue };
        let Some(protocol) = Protocol::parse(protocol) else { continue };
        for binding in bindings.iter().flatten() {
            let Ok(host_port) = binding.host_port.parse() else { continue };
            let host_ip = binding.host_ip.parse().ok().filter(|ip: &Ipv4Addr| !ip.is_unspecified());
            let interface = interface.to_owned();
            all.push(Published { protocol, host_ip, host_port, interface, to, to_port });
        }
    }
    all
}

fn whole(port: &str) -> Result<String, Error> {
    let (number, protocol) = parse_port(port)?;
    Ok(format!("{number}/{protocol}"))
}

/// A single port or the first free one of a range.
fn hold(
    binding: &PortBinding,
    protocol: Protocol,
    default_ip: Option<Ipv4Addr>,
) -> Result<(Option<OwnedFd>, SocketAddrV4), Error> {
    let ip = match binding.host_ip.as_str() {
        "" => default_ip.unwrap_or(Ipv4Addr::UNSPECIFIED),
        text => text.parse().map_err(|_| match text.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Error::new(Kind::NotDone, "publishing ports on IPv6 addresses is not done"),
            Err(_) => Error::invalid(format!("invalid IP address: {text}")),
        })?,
    };
    let wrong = || Error::invalid(format!("invalid host port: {}", binding.host_port));
    let number = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    let (first, last) = match binding.host_port.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None if binding.host_port.is_empty() => (0, 0),
        None => (number(&binding.host_port)?, number(&binding.host_port)?),
    };
    let mut error = None;
    for port in first..=last.max(first) {
        match bind_one(SocketAddrV4::new(ip, port), protocol) {
            Ok(found) => return Ok(found),
            Err(failed) => error = Some((port, failed)),
        }
    }
    let (port, error) = error.ok_or_else(wrong)?;
    let name = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    let reason = crate::sys::reason(error.into());
    Err(Error::failed(format!(
        "failed to set up container networking: driver failed programming external connectivity \
         on endpoint: failed to bind host port {ip}:{port}/{name}: {reason}"
    )))
}

fn bind_one(
    address: SocketAddrV4,
    protocol: Protocol,
) -> rustix::io::Result<(Option<OwnedFd>, SocketAddrV4)> {
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
        // The kernel may not know it; then only the rule stands.
        Protocol::Sctp => return Ok((None, address)),
    };
    let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &address)?;
    let bound = getsockname(&socket)?;
    let bound = SocketAddrV4::try_from(bound)?;
    Ok((Some(socket), bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(json: &str) -> HostConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_port_is_held_while_it_is_published() {
        let to = Ipv4Addr::new(10, 0, 0, 2);
        let any = host(r#"{"PortBindings":{"80":[{"HostIp":"127.0.0.1"}]}}"#);
        let exposed = Set::from([("81/udp".to_owned(), Default::default())]);
        let first = reserve(&any, &exposed, "br", to, None).unwrap();
        let port = first.published[0].host_port;
        assert!(port > 0 && first.ports["81/udp"].is_none());
        let bound = first.ports["80/tcp"].as_ref().unwrap();
        assert_eq!(bound[0].host_port, port.to_string());
        let same = host(&format!(
            r#"{{"PortBindings":{{"90/tcp":[{{"HostIp":"127.0.0.1","HostPort":"{port}"}}]}}}}"#
        ));
        let error = reserve(&same, &Set::new(), "br", to, None).map(|_| ()).unwrap_err();
        assert!(error.text.contains("address already in use"), "{error}");
        drop(first);
        reserve(&same, &Set::new(), "br", to, None).unwrap();
        for bad in ["x", "70000", "1-x"] {
            let json = format!(r#"{{"PortBindings":{{"90/tcp":[{{"HostPort":"{bad}"}}]}}}}"#);
            assert!(reserve(&host(&json), &Set::new(), "br", to, None).is_err(), "{bad}");
        }
    }
}
