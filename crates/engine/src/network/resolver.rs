//! Names of containers, answered at 127.0.0.11 inside of those in networks of the user's own.
//!
//! The sockets are made inside of the container's network namespace, on a port of their own so that a
//! server of names in the container can have port 53, to which a rule in there leads. The engine answers
//! them; one that comes back makes them anew at the same port, and the rule still fits.
//!
//! A name is known only to those who share a network. What nobody here has goes to the resolvers of this
//! machine, unless all networks of the one who asks are inner ones: then nothing leaves by this way either.

use super::etc::RESOLVER;
use crate::container::Container;
use crate::engine::{Engine, Inner, blocking};
use crate::error::Error;
use crate::sys::cgroup::read;
use base::Entropy;
use dns::{A, AAAA, ANY, Answer, Code, Malformed, PTR, Query, Record, Served, Upstream, Zone};
use net::Subnet;
use net::firewall::{Chain, Hook, Match, Protocol, Rule, Verdict};
use net_sys::Firewall;
use rustix::fd::OwnedFd;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::{Arc, Weak};
use tokio::task::JoinHandle;

/// Where clients ask.
const DNS_PORT: u16 = 53;
/// Where we listen, unless something in the container has it.
const USUAL_PORT: u16 = 41_053;
/// As Docker's.
const TTL_S: u32 = 600;
const TABLE: &str = "cumulet-names";
/// These lead to this machine, from wherever they are asked.
pub(super) const MACHINE: [&str; 2] = ["host.docker.internal", "gateway.docker.internal"];
/// Where the cloud answers, at its own port.
pub(super) const CLOUD: &str = "cloud.internal";

/// Bound inside of a namespace.
#[derive(Debug)]
pub(super) struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

/// Answers for one container, as long as it is held.
#[derive(Debug)]
pub(crate) struct Resolver([JoinHandle<()>; 2]);

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// In the namespace of the calling thread, whose loopback is up.
pub(super) fn open() -> io::Result<Sockets> {
    let at = |port| SocketAddrV4::new(RESOLVER, port);
    let udp = UdpSocket::bind(at(USUAL_PORT)).or_else(|_| UdpSocket::bind(at(0)))?;
    let tcp = TcpListener::bind(at(USUAL_PORT)).or_else(|_| TcpListener::bind(at(0)))?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    let port = |address: SocketAddr| address.port();
    let ports =
        [(Protocol::Udp, port(udp.local_addr()?)), (Protocol::Tcp, port(tcp.local_addr()?))];
    Firewall::new(TABLE).replace(&[redirect(ports)])?;
    Ok(Sockets { udp, tcp })
}

fn redirect(ports: [(Protocol, u16); 2]) -> Chain {
    let here = Subnet::new(RESOLVER, 32);
    let rules = ports.into_iter().filter_map(|(protocol, port)| {
        let matches = vec![Match::Destination(here?), Match::Port(protocol, DNS_PORT)];
        Some(Rule { matches, verdict: Verdict::Translate(RESOLVER, port) })
    });
    Chain {
        name: "names",
        hook: Hook::Output,
        is_nat: true,
        priority: net::firewall::TRANSLATE,
        rules: rules.collect(),
    }
}

impl Engine {
    pub(super) fn begin_resolver(&self, container: &Arc<Container>, sockets: Sockets) {
        let started = || -> io::Result<Resolver> {
            let udp = tokio::net::UdpSocket::from_std(sockets.udp)?;
            let tcp = tokio::net::TcpListener::from_std(sockets.tcp)?;
            let zone =
                Shared { engine: Arc::downgrade(&self.0), container: Arc::downgrade(container) };
            let servers = container.state().host.dns.clone();
            let upstream = Upstream::new(move || upstream(&servers), self.0.entropy.clone());
            let served = Served { zone: Arc::new(zone), upstream: Arc::new(upstream) };
            #[allow(clippy::disallowed_methods, reason = "they end with the resolver")]
            Ok(Resolver([
                tokio::spawn(dns::serve_udp(udp, served.clone())),
                tokio::spawn(dns::serve_tcp(tcp, served)),
            ]))
        };
        match started() {
            Ok(resolver) => container.state().resolver = Some(resolver),
            Err(error) => {
                tracing::warn!(%error, container = container.short_id(), "names are not answered");
            }
        }
    }

    /// For a container that runs and has none, if it is in a network of the user's own.
    pub(super) async fn begin_resolver_in(&self, container: &Arc<Container>, namespace: OwnedFd) {
        {
            let state = container.state();
            let is_own = |name: &String| !matches!(name.as_str(), "bridge" | "host" | "none");
            if state.resolver.is_some() || !state.endpoints.keys().any(is_own) {
                return;
            }
        }
        let opened = blocking(move || net_sys::inside(&namespace, open).map_err(Error::from)).await;
        match opened {
            Ok(sockets) => self.begin_resolver(container, sockets),
            Err(error) => {
                tracing::warn!(%error, container = container.short_id(), "names are not answered");
            }
        }
    }

    pub(super) fn end_resolver(&self, container: &Arc<Container>) {
        container.state().resolver = None;
    }
}

/// Those that the container names, else those of this machine.
pub(super) fn upstream(servers: &[String]) -> Vec<SocketAddr> {
    let named: Vec<SocketAddr> = servers
        .iter()
        .filter_map(|server| Some(SocketAddr::new(server.parse::<IpAddr>().ok()?, DNS_PORT)))
        .collect();
    match named.is_empty() {
        false => named,
        true => dns::resolvers(&read("/etc/resolv.conf").unwrap_or_default(), &[]),
    }
}

/// One network of the container that asks.
struct Tie {
    network: String,
    network_id: String,
    gateway: Option<Ipv4Addr>,
    subnet: Option<Subnet>,
    leads_out: bool,
    links: Vec<String>,
    /// Whether names are shared in it.
    is_own: bool,
}

/// What one container may know.
struct Shared {
    engine: Weak<Inner>,
    container: Weak<Container>,
}

impl Zone for Shared {
    fn answer<'q>(&self, bytes: &'q [u8]) -> Answer<'q> {
        let query = match Query::parse(bytes) {
            Ok(query) => query,
            Err(Malformed::Silent) => return Answer::Silence,
            Err(Malformed::Answer(code)) => return Answer::Reply(dns::head(bytes, code, 0)),
        };
        let (Some(engine), Some(container)) = (self.engine.upgrade(), self.container.upgrade())
        else {
            return Answer::Silence;
        };
        if !query.is_internet() {
            return Answer::Reply(query.reply(Code::Refused, &[], TTL_S));
        }
        let engine = Engine(engine);
        let ties = engine.ties(&container);
        let known = match dns::reversed(&query.name).filter(|_| query.kind == PTR) {
            Some(address) => engine.name_of(&ties, address, &query),
            None => engine.addresses_of(&ties, &query),
        };
        match known {
            Some(reply) => Answer::Reply(reply),
            None if ties.iter().any(|tie| tie.leads_out) => Answer::Forward(query),
            None => Answer::Reply(query.reply(Code::ServFail, &[], TTL_S)),
        }
    }
}

impl Engine {
    fn ties(&self, container: &Container) -> Vec<Tie> {
        let endpoints = container.state().endpoints.clone();
        let joined = endpoints.into_iter().filter(|(_, endpoint)| !endpoint.ip_address.is_empty());
        let tie = joined.filter_map(|(name, endpoint)| {
            let network = self.0.networks.find(&endpoint.network_id).ok()?;
            Some(Tie {
                network: name,
                gateway: endpoint.gateway.parse().ok(),
                subnet: network.subnet(),
                leads_out: !network.settings.internal,
                links: endpoint.links.unwrap_or_default(),
                is_own: !network.is_predefined(),
                network_id: network.id,
            })
        });
        tie.collect()
    }

    /// An answer, if the address lies in a network of the one who asks.
    fn name_of(&self, ties: &[Tie], address: Ipv4Addr, query: &Query<'_>) -> Option<Vec<u8>> {
        let within = |tie: &&Tie| tie.is_own && tie.subnet.is_some_and(|net| net.contains(address));
        let tie = ties.iter().find(within)?;
        let holder = self.0.networks.holder(&tie.network_id, address);
        let other = holder.and_then(|id| self.0.containers.read().get(&id).cloned());
        Some(match other {
            Some(other) => {
                let name = format!("{}.{}", other.name(), tie.network);
                query.reply(Code::Ok, &[Record::Name(&name)], TTL_S)
            }
            None => query.reply(Code::NxDomain, &[], TTL_S),
        })
    }

    /// An answer, if somebody here has that name.
    fn addresses_of(&self, ties: &[Tie], query: &Query<'_>) -> Option<Vec<u8>> {
        let name = query.name.as_str();
        let mut found = Vec::new();
        for tie in ties.iter().filter(|tie| tie.is_own) {
            found = self.having(name, tie);
            if found.is_empty()
                && let Some((first, network)) = name.rsplit_once('.')
                && network.eq_ignore_ascii_case(&tie.network)
            {
                found = self.having(first, tie);
            }
            if !found.is_empty() {
                break;
            }
        }
        let is_cloud = name == CLOUD && self.0.networks.has_cloud();
        if found.is_empty() && (MACHINE.contains(&name) || is_cloud) {
            found.extend(ties.iter().find_map(|tie| tie.gateway).map(|gateway| (gateway, None)));
        }
        if found.is_empty() {
            return None;
        }
        shuffle(&mut found, &*self.0.entropy);
        found.truncate(query.addresses_max());
        let records: Vec<Record<'_>> = match query.kind {
            A | ANY => found.into_iter().map(|(four, _)| Record::V4(four)).collect(),
            AAAA => found.into_iter().filter_map(|(_, six)| six.map(Record::V6)).collect(),
            _ => Vec::new(),
        };
        Some(query.reply(Code::Ok, &records, TTL_S))
    }

    /// Addresses of those in a network that go by a name.
    fn having(&self, name: &str, tie: &Tie) -> Vec<(Ipv4Addr, Option<Ipv6Addr>)> {
        let all = self.0.containers.read();
        // A link is a name that one container alone has for another.
        let linked = tie.links.iter().find_map(|link| {
            let (target, alias) = link.split_once(':').unwrap_or((link, link));
            alias.eq_ignore_ascii_case(name).then_some(target.trim_start_matches('/'))
        });
        let goes_by = |one: &Container| {
            let state = one.state();
            let endpoint = state.endpoints.get(&tie.network)?;
            let address = endpoint.ip_address.parse::<Ipv4Addr>().ok()?;
            let six = endpoint.global_ipv6_address.parse().ok();
            let names = endpoint.dns_names.iter().flatten().map(String::as_str);
            let known = match linked {
                Some(target) => state.name == target || one.id.starts_with(target),
                None => names
                    .chain([state.name.as_str(), one.id.as_str()])
                    .any(|one| one.eq_ignore_ascii_case(name)),
            };
            (known && endpoint.network_id == tie.network_id).then_some((address, six))
        };
        all.values().filter_map(|one| goes_by(one)).collect()
    }
}

/// Whoever asks for a service gets another of its containers first each time.
fn shuffle<T>(addresses: &mut [T], entropy: &dyn Entropy) {
    for last in (1..addresses.len()).rev() {
        addresses.swap(last, entropy.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a namespace of its own. Needs root.
    #[test]
    fn port_53_leads_to_the_sockets() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: a namespace needs root");
            return;
        }
        let asked = net_sys::new_namespace(|_| {
            net_sys::Links::open()?.set_up(1)?;
            // Somebody in there has the usual port, and somebody else all of port 53.
            let _theirs = UdpSocket::bind(("0.0.0.0", USUAL_PORT))?;
            let sockets = open()?;
            let _server = UdpSocket::bind(("0.0.0.0", DNS_PORT))?;
            let client = UdpSocket::bind("127.0.0.1:0")?;
            client.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
            client.connect((RESOLVER, DNS_PORT))?;
            client.send(b"question")?;
            sockets.udp.set_nonblocking(false)?;
            let mut bytes = [0; 64];
            let (length, from) = sockets.udp.recv_from(&mut bytes)?;
            sockets.udp.send_to(&bytes[..length], from)?;
            let length = client.recv(&mut bytes)?;
            Ok(bytes[..length].to_vec())
        });
        assert_eq!(asked.unwrap().1, b"question");
    }

    #[test]
    fn all_of_them_in_any_order() {
        let entropy = base::SeededEntropy::new(3);
        let all: Vec<Ipv4Addr> = (0..6).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect();
        let firsts: std::collections::BTreeSet<Ipv4Addr> = (0..100)
            .map(|_| {
                let mut some = all.clone();
                shuffle(&mut some, &entropy);
                let first = some[0];
                some.sort();
                assert_eq!(some, all);
                first
            })
            .collect();
        assert_eq!(firsts.len(), all.len());
    }
}
