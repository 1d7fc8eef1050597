//! One table of nftables, put in place of the one before in a single transaction.

use crate::netlink::{ACK, APPEND, CREATE, Message, REQUEST, Socket};
use net::firewall::{Chain, Hook, Match, Protocol, Rule, Verdict};
use net::{Subnet, Subnet6};
use std::io;
use std::net::IpAddr;

const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NFTABLES: u16 = 10 << 8;
const NEW_TABLE: u16 = NFTABLES;
const GET_TABLE: u16 = NFTABLES | 1;
const DELETE_TABLE: u16 = NFTABLES | 2;
const NEW_CHAIN: u16 = NFTABLES | 3;
const NEW_RULE: u16 = NFTABLES | 6;

const IPV4: u8 = 2;
const IPV6: u8 = 10;
const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;
const SECOND_REGISTER: u32 = 2;
const INTERFACE_BYTES: usize = 16;

const META_IN: u32 = 6;
const META_OUT: u32 = 7;
const META_PROTOCOL: u32 = 16;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const AT_SOURCE: u32 = 12;
const AT_DESTINATION: u32 = 16;
const AT_SOURCE_SIX: u32 = 8;
const AT_DESTINATION_SIX: u32 = 24;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// Established, and related to something established.
const STATE_BITS: u32 = 2 | 4;
const STATUS_TRANSLATED: u32 = 1 << 5;
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_DESTINATION: u32 = 2;
const ADDRESS_IS_LOCAL: u32 = 2;

/// A table of this name, where the networks of this process are; on a thread that went elsewhere, there.
pub struct Firewall {
    table: String,
    family: u8,
}

fn head(family: u8, resource: u16) -> [u8; 4] {
    let [a, b] = resource.to_be_bytes();
    [family, 0, a, b]
}

fn number(message: &mut Message, kind: u16, value: u32) {
    message.attribute(kind, &value.to_be_bytes());
}

impl Firewall {
    pub fn new(table: &str) -> Firewall {
        Firewall { table: table.to_owned(), family: IPV4 }
    }

    /// The same for IPv6.
    pub fn six(table: &str) -> Firewall {
        Firewall { table: table.to_owned(), family: IPV6 }
    }

    /// All chains and rules at once; what was there before is gone in the same moment.
    pub fn replace(&self, chains: &[Chain]) -> io::Result<()> {
        let mut messages = vec![batch(BATCH_BEGIN), self.new_table(0), self.delete_table()];
        messages.push(self.new_table(0));
        for chain in chains {
            messages.push(self.chain(chain));
            messages.extend(chain.rules.iter().map(|rule| self.rule(chain.name, rule)));
        }
        // Changes nothing, and is answered after all of them.
        messages.push(self.new_table(0));
        self.commit(messages)
    }

    pub fn remove(&self) -> io::Result<()> {
        // A change waits until all processors have seen it, some 10 ms: not where there is nothing.
        if !self.is_there()? {
            return Ok(());
        }
        // Made first, since it may have gone meanwhile.
        self.commit(vec![batch(BATCH_BEGIN), self.new_table(0), self.delete_table()])
    }

    pub fn is_there(&self) -> io::Result<bool> {
        let mut message = Message::new(GET_TABLE, REQUEST | ACK, &head(self.family, 0));
        message.text(1, &self.table);
        match Socket::netfilter()?.request(message) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn commit(&self, mut messages: Vec<Message>) -> io::Result<()> {
        messages.push(batch(BATCH_END));
        Socket::netfilter()?.batch(messages)
    }

    fn new_table(&self, flags: u16) -> Message {
        let mut message =
            Message::new(NEW_TABLE, REQUEST | ACK | CREATE | flags, &head(self.family, 0));
        message.text(1, &self.table);
        message
    }

    fn delete_table(&self) -> Message {
        let mut message = Message::new(DELETE_TABLE, REQUEST | ACK, &head(self.family, 0));
        message.text(1, &self.table);
        message
    }

    fn chain(&self, chain: &Chain) -> Message {
        let mut message = Message::new(NEW_CHAIN, REQUEST | ACK | CREATE, &head(self.family, 0));
        let hook: u32 = match chain.hook {
            Hook::Prerouting => 0,
            Hook::Forward => 2,
            Hook::Output => 3,
            Hook::Postrouting => 4,
        };
        message.text(1, &self.table).text(3, chain.name).nested(4, |inner| {
            number(inner, 1, hook);
            number(inner, 2, chain.priority as u32);
        });
        message.text(7, if chain.is_nat { "nat" } else { "filter" });
        message
    }

    /// Answered only if it fails: there may be thousands, for whose answers there is no room.
    fn rule(&self, chain: &str, rule: &Rule) -> Message {
        let mut message = Message::new(NEW_RULE, REQUEST | CREATE | APPEND, &head(self.family, 0));
        message.text(1, &self.table).text(2, chain).nested(4, |list| {
            for one in &rule.matches {
                expressions(list, one);
            }
            verdict(list, rule.verdict);
        });
        message
    }
}

fn batch(kind: u16) -> Message {
    Message::new(kind, REQUEST, &head(0, 10))
}

fn expression(list: &mut Message, name: &str, data: impl FnOnce(&mut Message)) {
    list.nested(1, |element| {
        element.text(1, name).nested(2, data);
    });
}

fn compare(list: &mut Message, operator: u32, value: &[u8]) {
    expression(list, "cmp", |data| {
        number(data, 1, REGISTER);
        number(data, 2, operator);
        data.nested(3, |inner| {
            inner.attribute(1, value);
        });
    });
}

fn meta(list: &mut Message, key: u32) {
    expression(list, "meta", |data| {
        number(data, 2, key);
        number(data, 1, REGISTER);
    });
}

fn payload(list: &mut Message, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        number(data, 1, REGISTER);
        number(data, 2, base);
        number(data, 3, offset);
        number(data, 4, length);
    });
}

fn mask(list: &mut Message, mask: &[u8]) {
    expression(list, "bitwise", |data| {
        number(data, 1, REGISTER);
        number(data, 2, REGISTER);
        number(data, 3, mask.len() as u32);
        let zeros = [0; 16];
        for (kind, value) in [(4, mask), (5, &zeros[..mask.len()])] {
            data.nested(kind, |inner| {
                inner.attribute(1, value);
            });
        }
    });
}

fn interface(list: &mut Message, key: u32, operator: u32, name: &str) {
    let mut padded = [0; INTERFACE_BYTES];
    let length = name.len().min(INTERFACE_BYTES - 1);
    padded[..length].copy_from_slice(&name.as_bytes()[..length]);
    meta(list, key);
    compare(list, operator, &padded);
}

fn subnet(list: &mut Message, offset: u32, operator: u32, net: &Subnet) {
    payload(list, NETWORK_HEADER, offset, 4);
    if net.prefix() < 32 {
        let bits = u32::MAX.checked_shl(32 - u32::from(net.prefix())).unwrap_or(0);
        mask(list, &bits.to_be_bytes());
    }
    compare(list, operator, &net.address().octets());
}

fn subnet_six(list: &mut Message, offset: u32, operator: u32, net: &Subnet6) {
    payload(list, NETWORK_HEADER, offset, 16);
    if net.prefix() < 128 {
        let bits = u128::MAX.checked_shl(128 - u32::from(net.prefix())).unwrap_or(0);
        mask(list, &bits.to_be_bytes());
    }
    compare(list, operator, &net.address().octets());
}

fn tracked(list: &mut Message, key: u32, bits: u32) {
    expression(list, "ct", |data| {
        number(data, 1, REGISTER);
        number(data, 2, key);
    });
    mask(list, &bits.to_ne_bytes());
    compare(list, NOT_EQUAL, &[0; 4]);
}

fn expressions(list: &mut Message, one: &Match) {
    match one {
        Match::From(name) => interface(list, META_IN, EQUAL, name),
        Match::NotFrom(name) => interface(list, META_IN, NOT_EQUAL, name),
        Match::To(name) => interface(list, META_OUT, EQUAL, name),
        Match::NotTo(name) => interface(list, META_OUT, NOT_EQUAL, name),
        Match::Source(net) => subnet(list, AT_SOURCE, EQUAL, net),
        Match::NotSource(net) => subnet(list, AT_SOURCE, NOT_EQUAL, net),
        Match::Destination(net) => subnet(list, AT_DESTINATION, EQUAL, net),
        Match::Source6(net) => subnet_six(list, AT_SOURCE_SIX, EQUAL, net),
        Match::NotSource6(net) => subnet_six(list, AT_SOURCE_SIX, NOT_EQUAL, net),
        Match::Destination6(net) => subnet_six(list, AT_DESTINATION_SIX, EQUAL, net),
        Match::DestinationIsLocal => {
            expression(list, "fib", |data| {
                number(data, 1, REGISTER);
                number(data, 2, FIB_ADDRESS_TYPE);
                number(data, 3, FIB_DESTINATION);
            });
            compare(list, EQUAL, &ADDRESS_IS_LOCAL.to_ne_bytes());
        }
        Match::Port(protocol, port) => {
            meta(list, META_PROTOCOL);
            compare(list, EQUAL, &[protocol_number(*protocol)]);
            payload(list, TRANSPORT_HEADER, 2, 2);
            compare(list, EQUAL, &port.to_be_bytes());
        }
        Match::Protocol(protocol) => {
            meta(list, META_PROTOCOL);
            compare(list, EQUAL, &[protocol_number(*protocol)]);
        }
        Match::Established => tracked(list, CT_STATE, STATE_BITS),
        Match::Translated => tracked(list, CT_STATUS, STATUS_TRANSLATED),
    }
}

fn protocol_number(protocol: Protocol) -> u8 {
    protocol as u8
}

fn immediate(list: &mut Message, register: u32, value: impl FnOnce(&mut Message)) {
    expression(list, "immediate", |data| {
        number(data, 1, register);
        data.nested(2, value);
    });
}

fn verdict(list: &mut Message, verdict: Verdict) {
    match verdict {
        Verdict::Accept | Verdict::Drop => {
            let code = u32::from(verdict == Verdict::Accept);
            immediate(list, VERDICT_REGISTER, |value| {
                value.nested(2, |inner| number(inner, 1, code));
            });
        }
        Verdict::Masquerade => expression(list, "masq", |_| {}),
        Verdict::Translate(to, port) => translate(list, to.into(), port),
        Verdict::Translate6(to, port) => translate(list, to.into(), port),
    }
}

fn translate(list: &mut Message, to: IpAddr, port: u16) {
    immediate(list, REGISTER, |value| {
        match to {
            IpAddr::V4(to) => value.attribute(1, &to.octets()),
            IpAddr::V6(to) => value.attribute(1, &to.octets()),
        };
    });
    immediate(list, SECOND_REGISTER, |value| {
        value.attribute(1, &port.to_be_bytes());
    });
    expression(list, "nat", |data| {
        number(data, 1, 1);
        number(data, 2, u32::from(if to.is_ipv4() { IPV4 } else { IPV6 }));
        number(data, 3, REGISTER);
        number(data, 5, SECOND_REGISTER);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new_namespace;
    use net::firewall::{Bridge, Door, Published, Wanted, chains, chains_six};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

    /// In a namespace of its own, so that it touches nothing of this machine. Needs root.
    #[test]
    fn the_kernel_takes_every_rule() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: a firewall needs root");
            return;
        }
        let bridge = |name: &str, is_internal, talks| Bridge {
            interface: name.to_owned(),
            subnet: Subnet::parse("172.17.0.0/16").unwrap(),
            gateway: [172, 17, 0, 1].into(),
            six: Subnet6::parse("fd00:1::/64"),
            is_internal,
            masquerades: true,
            talks,
        };
        let published = |protocol, host_ip: Option<IpAddr>, to: &str| Published {
            protocol,
            host_ip,
            host_port: 8080,
            to: to.parse().unwrap(),
        };
        let (four, six) = ("172.17.0.2:80", "[fd00:1::2]:80");
        let wanted = Wanted {
            bridges: vec![
                bridge("a", false, true),
                bridge("b", true, true),
                bridge("c", false, false),
            ],
            published: vec![
                published(Protocol::Tcp, None, four),
                published(Protocol::Udp, Some([127, 0, 0, 1].into()), four),
                published(Protocol::Tcp, None, six),
                published(Protocol::Tcp, Some(Ipv6Addr::LOCALHOST.into()), six),
            ],
            doors: vec![Door { port: 4566, to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5000) }],
            carried: Some(net::firewall::Carried { connections: 4000, names: 5300 }),
        };
        new_namespace(|_| {
            let firewall = Firewall::new("cumulet-test");
            firewall.replace(&chains(&wanted))?;
            // Once more in its own place, and away, and away again.
            firewall.replace(&chains(&wanted))?;
            let six = Firewall::six("cumulet-test");
            six.replace(&chains_six(&wanted))?;
            six.replace(&chains_six(&wanted))?;
            six.remove()?;
            firewall.remove()?;
            firewall.remove()
        })
        .unwrap();
    }

    /// Whoever publishes a range of ports has thousands of rules. In a namespace of its own. Needs root.
    #[test]
    fn thousands_of_rules() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: a firewall needs root");
            return;
        }
        let rule = |port| Rule {
            matches: vec![Match::DestinationIsLocal, Match::Port(Protocol::Tcp, port)],
            verdict: Verdict::Translate([172, 17, 0, 2].into(), 80),
        };
        let mut chain = Chain {
            name: "published",
            hook: Hook::Prerouting,
            is_nat: true,
            priority: net::firewall::TRANSLATE,
            rules: (1..=3_000).map(rule).collect(),
        };
        new_namespace(|_| {
            let firewall = Firewall::new("cumulet-test");
            firewall.replace(std::slice::from_ref(&chain))?;
            firewall.remove()?;
            // What does not translate takes no rule that does; that it is the last makes no difference.
            chain.is_nat = false;
            assert!(firewall.replace(std::slice::from_ref(&chain)).is_err());
            assert!(!firewall.is_there()?);
            Ok(())
        })
        .unwrap();
    }
}
