//! Links, addresses and routes.

use crate::netlink::{ACK, CREATE, EXCLUSIVE, Message, REQUEST, Socket, attributes};
use net::{Subnet, Subnet6};
use rustix::fd::{AsFd, AsRawFd};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;

const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_MASTER: u16 = 10;
const LINK_PORT: u16 = 12;
const LINK_INFO: u16 = 18;
const LINK_ALIAS: u16 = 20;
const LINK_NAMESPACE: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;
const PORT_ISOLATED: u16 = 33;

const IPV4: u8 = 2;
const BRIDGE: u8 = 7;
const IPV6: u8 = 10;
/// Used at once: whoever gives out addresses knows that nobody else has it.
const NO_DETECTION: u8 = 2;
const UP: u32 = 1;
const ADDRESS_HEAD: usize = 8;
const ROUTE_HEAD: usize = 12;
const LINK_HEAD: usize = 16;
const MAIN_TABLE: u8 = 254;
const LOCAL_TABLE: u8 = 255;

/// A conversation about links in one network namespace.
pub struct Links(Socket);

/// What this machine uses already.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Used {
    pub subnets: Vec<Subnet>,
    pub subnets_six: Vec<Subnet6>,
    pub interfaces: Vec<String>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// What it is called beside its name; empty if nothing.
    pub alias: String,
}

/// A bridge that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewBridge<'a> {
    pub name: &'a str,
    /// What it is called until it has all that it needs, its alias above all.
    pub provisional: &'a str,
    pub alias: &'a str,
    pub address: Ipv4Addr,
    pub subnet: &'a Subnet,
    pub mtu: Option<u32>,
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned()
}

fn link_head(index: u32, flags: u32, change: u32) -> [u8; LINK_HEAD] {
    let mut head = [0; LINK_HEAD];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..12].copy_from_slice(&flags.to_ne_bytes());
    head[12..16].copy_from_slice(&change.to_ne_bytes());
    head
}

impl Links {
    /// Where the networks of this process are; on a thread that went elsewhere, there.
    pub fn open() -> io::Result<Links> {
        Ok(Links(Socket::route()?))
    }

    pub fn index(&mut self, name: &str) -> io::Result<Option<u32>> {
        let mut message = Message::new(GET_LINK, REQUEST | ACK, &link_head(0, 0, 0));
        message.text(LINK_NAME, name);
        let mut found = None;
        let asked = self.0.get(message, |body| {
            found = body.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes);
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            asked => asked.map(|()| found),
        }
    }

    fn matching(&mut self, is_it: impl Fn(&[(u16, &[u8])]) -> bool) -> io::Result<Vec<Link>> {
        let mut found = Vec::new();
        self.0.dump(GET_LINK, &link_head(0, 0, 0), |body| {
            let all = attributes(body, LINK_HEAD);
            let index = body.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes);
            let of = |wanted| all.iter().find(|(kind, _)| *kind == wanted).map(|(_, v)| text(v));
            if let (true, Some(index), Some(name)) = (is_it(&all), index, of(LINK_NAME)) {
                let alias = of(LINK_ALIAS).unwrap_or_default();
                found.push(Link { index, name, alias });
            }
        })?;
        Ok(found)
    }

    /// Links that are called this beside their names.
    pub fn with_alias(&mut self, alias: &str) -> io::Result<Vec<Link>> {
        self.matching(|all| {
            all.iter().any(|(kind, value)| *kind == LINK_ALIAS && text(value) == alias)
        })
    }

    /// Names of the links that a bridge has.
    pub fn below(&mut self, bridge: u32) -> io::Result<Vec<String>> {
        let found = self.matching(|all| {
            all.iter().any(|(kind, value)| *kind == LINK_MASTER && **value == bridge.to_ne_bytes())
        })?;
        Ok(found.into_iter().map(|link| link.name).collect())
    }

    /// Links that are called something beside their names.
    pub fn aliased(&mut self) -> io::Result<Vec<Link>> {
        self.matching(|all| all.iter().any(|(kind, _)| *kind == LINK_ALIAS))
    }

    /// What a link is called beside its name.
    fn set_alias(&mut self, index: u32, alias: &str) -> io::Result<()> {
        let mut message = Message::new(NEW_LINK, REQUEST | ACK, &link_head(index, 0, 0));
        message.text(LINK_ALIAS, alias);
        self.0.request(message)
    }

    /// Makes a bridge that is up and has its address. It gets its name last, so that one which was not
    /// finished is known by its provisional name, and one that was by its alias.
    pub fn new_bridge(&mut self, wanted: &NewBridge<'_>) -> io::Result<u32> {
        self.delete(wanted.provisional)?;
        let made = self.begin_bridge(wanted);
        if made.is_err() {
            let _ = self.delete(wanted.provisional);
        }
        made
    }

    fn begin_bridge(&mut self, wanted: &NewBridge<'_>) -> io::Result<u32> {
        let flags = REQUEST | ACK | CREATE | EXCLUSIVE;
        let mut message = Message::new(NEW_LINK, flags, &link_head(0, 0, 0));
        message.text(LINK_NAME, wanted.provisional);
        // Said, or it would be the lowest of its links' and change as those come and go: who knows it by the one
        // before sends to nobody for seconds.
        message.attribute(LINK_ADDRESS, &net::address::mac(wanted.address));
        if let Some(mtu) = wanted.mtu {
            message.attribute(LINK_MTU, &mtu.to_ne_bytes());
        }
        message.nested(LINK_INFO, |info| {
            info.text(INFO_KIND, "bridge");
        });
        self.0.request(message)?;
        let index = self.index(wanted.provisional)?.ok_or(io::ErrorKind::NotFound)?;
        self.set_alias(index, wanted.alias)?;
        self.add_address(index, wanted.address, wanted.subnet)?;
        let mut message = Message::new(NEW_LINK, REQUEST | ACK, &link_head(index, UP, UP));
        message.text(LINK_NAME, wanted.name);
        self.0.request(message)?;
        Ok(index)
    }

    /// Makes a pair of links: one end here in the bridge, the other as `inside` in the namespace.
    pub fn new_pair(
        &mut self,
        name: &str,
        bridge: u32,
        inside: &str,
        mac: [u8; 6],
        namespace: impl AsFd,
        mtu: Option<u32>,
    ) -> io::Result<()> {
        let mut message =
            Message::new(NEW_LINK, REQUEST | ACK | CREATE | EXCLUSIVE, &link_head(0, UP, UP));
        message.text(LINK_NAME, name).attribute(LINK_MASTER, &bridge.to_ne_bytes());
        if let Some(mtu) = mtu {
            message.attribute(LINK_MTU, &mtu.to_ne_bytes());
        }
        let fd = namespace.as_fd().as_raw_fd();
        message.nested(LINK_INFO, |info| {
            info.text(INFO_KIND, "veth").nested(INFO_DATA, |data| {
                data.nested(VETH_PEER, |peer| {
                    peer.raw(&link_head(0, 0, 0))
                        .text(LINK_NAME, inside)
                        .attribute(LINK_ADDRESS, &mac)
                        .attribute(LINK_NAMESPACE, &fd.to_ne_bytes());
                    if let Some(mtu) = mtu {
                        peer.attribute(LINK_MTU, &mtu.to_ne_bytes());
                    }
                });
            });
        });
        self.0.request(message)
    }

    /// From now on the end of a pair in a bridge reaches the machine itself and no other such end there. No packet
    /// filter sees what goes from one to the other, unless the machine is set up for it.
    pub fn set_apart(&mut self, index: u32) -> io::Result<()> {
        let mut head = link_head(index, 0, 0);
        head[0] = BRIDGE;
        let mut message = Message::new(SET_LINK, REQUEST | ACK, &head);
        message.nested(LINK_PORT, |port| {
            port.attribute(PORT_ISOLATED, &[1]);
        });
        self.0.request(message)
    }

    pub fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.0.request(Message::new(NEW_LINK, REQUEST | ACK, &link_head(index, UP, UP)))
    }

    /// What is not there is gone.
    pub fn delete(&mut self, name: &str) -> io::Result<()> {
        let mut message = Message::new(DELETE_LINK, REQUEST | ACK, &link_head(0, 0, 0));
        message.text(LINK_NAME, name);
        self.forget(message)
    }

    /// Only the one that is called this beside its name: another of that name is somebody else's.
    pub fn delete_own(&mut self, name: &str, alias: &str) -> io::Result<()> {
        for own in self.with_alias(alias)?.iter().filter(|link| link.name == name) {
            let head = link_head(own.index, 0, 0);
            self.forget(Message::new(DELETE_LINK, REQUEST | ACK, &head))?;
        }
        Ok(())
    }

    fn forget(&mut self, message: Message) -> io::Result<()> {
        match self.0.request(message) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other,
        }
    }

    pub fn add_address(
        &mut self,
        index: u32,
        address: Ipv4Addr,
        subnet: &Subnet,
    ) -> io::Result<()> {
        let mut head = [0; ADDRESS_HEAD];
        head[0] = IPV4;
        head[1] = subnet.prefix();
        head[4..8].copy_from_slice(&index.to_ne_bytes());
        let mut message = Message::new(NEW_ADDRESS, REQUEST | ACK | CREATE | EXCLUSIVE, &head);
        message.attribute(1, &address.octets()).attribute(2, &address.octets());
        message.attribute(4, &subnet.broadcast().octets());
        self.0.request(message)
    }

    pub fn add_address_six(
        &mut self,
        index: u32,
        address: Ipv6Addr,
        subnet: &Subnet6,
    ) -> io::Result<()> {
        let mut head = [0; ADDRESS_HEAD];
        (head[0], head[1], head[2]) = (IPV6, subnet.prefix(), NO_DETECTION);
        head[4..8].copy_from_slice(&index.to_ne_bytes());
        let mut message = Message::new(NEW_ADDRESS, REQUEST | ACK | CREATE | EXCLUSIVE, &head);
        message.attribute(1, &address.octets()).attribute(2, &address.octets());
        self.0.request(message)
    }

    pub fn add_default_route_six(&mut self, gateway: Ipv6Addr) -> io::Result<()> {
        let mut head = [0; ROUTE_HEAD];
        (head[0], head[4]) = (IPV6, MAIN_TABLE);
        (head[5], head[6], head[7]) = (3, 0, 1);
        let mut message = Message::new(NEW_ROUTE, REQUEST | ACK | CREATE | EXCLUSIVE, &head);
        message.attribute(5, &gateway.octets());
        self.0.request(message)
    }

    pub fn add_default_route(&mut self, gateway: Ipv4Addr) -> io::Result<()> {
        self.route(NEW_ROUTE, REQUEST | ACK | CREATE | EXCLUSIVE, gateway)
    }

    pub fn delete_default_route(&mut self, gateway: Ipv4Addr) -> io::Result<()> {
        self.route(DELETE_ROUTE, REQUEST | ACK, gateway)
    }

    fn route(&mut self, kind: u16, flags: u16, gateway: Ipv4Addr) -> io::Result<()> {
        let mut head = [0; ROUTE_HEAD];
        head[0] = IPV4;
        head[4] = MAIN_TABLE;
        // Made at start, everywhere, to one host.
        (head[5], head[6], head[7]) = (3, 0, 1);
        let mut message = Message::new(kind, flags, &head);
        message.attribute(5, &gateway.octets());
        self.0.request(message)
    }

    /// Subnets of addresses and routes, and names of links.
    pub fn used(&mut self) -> io::Result<Used> {
        let mut used = Used::default();
        let ipv4 = |value: &[u8]| <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from);
        self.0.dump(GET_ADDRESS, &[IPV4, 0, 0, 0, 0, 0, 0, 0], |body| {
            let prefix = body.get(1).copied().unwrap_or(32);
            for (kind, value) in attributes(body, ADDRESS_HEAD) {
                if kind == 2 {
                    used.subnets.extend(ipv4(value).and_then(|a| Subnet::new(a, prefix)));
                }
            }
        })?;
        let mut head = [0; ROUTE_HEAD];
        head[0] = IPV4;
        self.0.dump(GET_ROUTE, &head, |body| {
            let (prefix, table) = (body.get(1).copied().unwrap_or(0), body.get(4).copied());
            // The default route leads everywhere and uses nothing.
            if prefix == 0 || table == Some(LOCAL_TABLE) {
                return;
            }
            for (kind, value) in attributes(body, ROUTE_HEAD) {
                if kind == 1 {
                    used.subnets.extend(ipv4(value).and_then(|a| Subnet::new(a, prefix)));
                }
            }
        })?;
        self.used_six(&mut used)?;
        self.0.dump(GET_LINK, &link_head(0, 0, 0), |body| {
            for (kind, value) in attributes(body, LINK_HEAD) {
                if kind == LINK_NAME {
                    let name = value.strip_suffix(b"\0").unwrap_or(value);
                    used.interfaces.push(String::from_utf8_lossy(name).into_owned());
                }
            }
        })?;
        Ok(used)
    }

    /// What every link has of its own is nobody's.
    fn used_six(&mut self, used: &mut Used) -> io::Result<()> {
        let mut add = |value: &[u8], prefix: u8| {
            let address = <[u8; 16]>::try_from(value).ok().map(Ipv6Addr::from);
            let counts =
                |a: &Ipv6Addr| !a.is_loopback() && !a.is_unicast_link_local() && !a.is_multicast();
            let subnet = address.filter(counts).and_then(|a| Subnet6::new(a, prefix));
            used.subnets_six.extend(subnet);
        };
        self.0.dump(GET_ADDRESS, &[IPV6, 0, 0, 0, 0, 0, 0, 0], |body| {
            let prefix = body.get(1).copied().unwrap_or(128);
            for (_, value) in attributes(body, ADDRESS_HEAD).iter().filter(|(kind, _)| *kind == 1) {
                add(value, prefix);
            }
        })?;
        let mut head = [0; ROUTE_HEAD];
        head[0] = IPV6;
        self.0.dump(GET_ROUTE, &head, |body| {
            let (prefix, table) = (body.get(1).copied().unwrap_or(0), body.get(4).copied());
            if prefix == 0 || table == Some(LOCAL_TABLE) {
                return;
            }
            for (_, value) in attributes(body, ROUTE_HEAD).iter().filter(|(kind, _)| *kind == 1) {
                add(value, prefix);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{inside, new_namespace};

    /// Two namespaces of its own, joined by a bridge in the first. Needs root.
    #[test]
    fn a_pair_across_a_bridge() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: links need root");
            return;
        }
        let (container, ()) = new_namespace(|_| Ok(())).unwrap();
        let subnet = Subnet::parse("172.17.0.0/16").unwrap();
        let (host, ()) = new_namespace(|_| {
            let mut links = Links::open()?;
            let mut wanted = NewBridge {
                name: "br0",
                provisional: "making",
                alias: "mine",
                address: subnet.first(),
                subnet: &subnet,
                mtu: Some(1400),
            };
            let bridge = links.new_bridge(&wanted)?;
            // What cannot get its name leaves nothing.
            wanted.alias = "other";
            assert!(links.new_bridge(&wanted).is_err());
            let aliased = links.aliased()?;
            assert_eq!(aliased.len(), 1, "{aliased:?}");
            assert_eq!((aliased[0].name.as_str(), aliased[0].alias.as_str()), ("br0", "mine"));
            assert_eq!(links.index("making")?, None);
            let mac = [2, 0x42, 172, 17, 0, 2];
            links.new_pair("veth0", bridge, "eth0", mac, &container, Some(1400))?;
            let used = links.used()?;
            assert!(used.subnets.contains(&subnet), "{used:?}");
            let six = Subnet6::parse("fd00:1::/64").unwrap();
            links.add_address_six(bridge, six.first(), &six)?;
            assert!(links.used()?.subnets_six.contains(&six));
            assert!(used.interfaces.iter().any(|name| name == "veth0"), "{used:?}");
            Ok(())
        })
        .unwrap();
        inside(&container, || {
            let mut links = Links::open()?;
            let lo = links.index("lo")?.expect("a loopback");
            links.set_up(lo)?;
            let eth0 = links.index("eth0")?.expect("the pair's other end");
            links.set_up(eth0)?;
            links.add_address(eth0, [172, 17, 0, 2].into(), &subnet)?;
            let six = Subnet6::parse("fd00:1::/64").unwrap();
            links.add_address_six(eth0, "fd00:1::2".parse().unwrap(), &six)?;
            links.add_default_route_six(six.first())?;
            links.add_default_route(subnet.first())?;
            assert!(links.add_default_route(subnet.first()).is_err());
            links.delete_default_route(subnet.first())?;
            assert_eq!(links.index("nope")?, None);
            Ok(())
        })
        .unwrap();
        inside(&host, || {
            let mut links = Links::open()?;
            links.delete("veth0")?;
            links.delete("veth0")?;
            assert_eq!(links.index("veth0")?, None);
            Ok(())
        })
        .unwrap();
        inside(&container, || {
            assert_eq!(Links::open()?.index("eth0")?, None);
            Ok(())
        })
        .unwrap();
    }

    fn address_of(links: &mut Links, name: &str) -> Vec<u8> {
        let found = std::cell::RefCell::new(Vec::new());
        let all = links.matching(|all| {
            let of = |wanted| all.iter().find(|(kind, _)| *kind == wanted).map(|(_, v)| *v);
            if of(LINK_NAME).is_some_and(|value| text(value) == name) {
                found.replace(of(LINK_ADDRESS).unwrap_or_default().to_vec());
            }
            false
        });
        all.unwrap();
        found.into_inner()
    }

    /// A bridge and two neighbours in it, each in a namespace of its own. Needs root.
    #[test]
    fn neighbours() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: links need root");
            return;
        }
        let subnet = Subnet::parse("172.17.0.0/16").unwrap();
        let containers = [2, 3].map(|n| {
            let address = Ipv4Addr::new(172, 17, 0, n);
            (new_namespace(|_| Ok(())).unwrap().0, address, net::address::mac(address))
        });
        let (host, ()) = new_namespace(|_| {
            let mut links = Links::open()?;
            let bridge = links.new_bridge(&NewBridge {
                name: "br0",
                provisional: "making",
                alias: "mine",
                address: subnet.first(),
                subnet: &subnet,
                mtu: None,
            })?;
            let before = address_of(&mut links, "br0");
            for (n, (container, _, mac)) in containers.iter().enumerate() {
                links.new_pair(&format!("veth{n}"), bridge, "eth0", *mac, container, None)?;
            }
            // Whoever knows the bridge by its address still does.
            assert_eq!(address_of(&mut links, "br0"), before);
            links.delete_own("br0", "yours")?;
            assert_eq!(links.index("br0")?, Some(bridge));
            Ok(())
        })
        .unwrap();
        let sockets = containers.map(|(container, address, _)| {
            let opened = inside(&container, || {
                let mut links = Links::open()?;
                let eth0 = links.index("eth0")?.expect("an end");
                links.set_up(eth0)?;
                links.add_address(eth0, address, &subnet)?;
                std::net::UdpSocket::bind((address, 700))
            });
            (container, opened.unwrap())
        });
        let machine = inside(&host, || std::net::UdpSocket::bind((subnet.first(), 700))).unwrap();
        let hears = |socket: &std::net::UdpSocket, from: &std::net::UdpSocket, ms: u64| {
            from.send_to(b"x", socket.local_addr().unwrap()).unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_millis(ms))).unwrap();
            socket.recv_from(&mut [0; 8]).is_ok()
        };
        assert!(hears(&sockets[1].1, &sockets[0].1, 10_000));
        inside(&host, || {
            let mut links = Links::open()?;
            for name in ["veth0", "veth1"] {
                let index = links.index(name)?.expect("an end");
                links.set_apart(index)?;
            }
            Ok(())
        })
        .unwrap();
        assert!(!hears(&sockets[1].1, &sockets[0].1, 300));
        assert!(hears(&machine, &sockets[0].1, 10_000) && hears(&sockets[0].1, &machine, 10_000));
        inside(&host, || {
            let mut links = Links::open()?;
            links.delete_own("br0", "mine")?;
            assert_eq!(links.index("br0")?, None);
            Ok(())
        })
        .unwrap();
    }
}
