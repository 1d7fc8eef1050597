//! What of the traffic to, from and between networks is let through and translated, as chains of
//! rules.

use crate::address::Subnet;
use crate::six::Subnet6;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bridge {
    pub interface: String,
    pub subnet: Subnet,
    /// This machine's own address in it.
    pub gateway: Ipv4Addr,
    /// Of IPv6, if it has one.
    pub six: Option<Subnet6>,
    /// Nothing leaves it and nothing comes in.
    pub is_internal: bool,
    /// Outbound traffic looks as if it came from this machine.
    pub masquerades: bool,
    /// Containers in it may talk to each other.
    pub talks: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Tcp = 6,
    Udp = 17,
    Sctp = 132,
}

impl Protocol {
    pub fn parse(text: &str) -> Option<Protocol> {
        match text {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            "sctp" => Some(Protocol::Sctp),
            _ => None,
        }
    }
}

/// A port of this machine that leads to a container, both by addresses of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    pub protocol: Protocol,
    /// `None` is every address of this machine.
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    pub to: SocketAddr,
}

/// A port of every bridge's own address that leads to a server of this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Door {
    pub port: u16,
    pub to: SocketAddrV4,
}

/// Ports of this machine, in every bridge, that take what containers send to the outside: where no network
/// of the kernel's leads there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Carried {
    pub connections: u16,
    /// Questions of names.
    pub names: u16,
}

/// All that is wanted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Wanted {
    pub bridges: Vec<Bridge>,
    pub published: Vec<Published>,
    pub doors: Vec<Door>,
    pub carried: Option<Carried>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Match {
    From(String),
    NotFrom(String),
    To(String),
    NotTo(String),
    Source(Subnet),
    NotSource(Subnet),
    Destination(Subnet),
    Source6(Subnet6),
    NotSource6(Subnet6),
    Destination6(Subnet6),
    /// An address of this machine.
    DestinationIsLocal,
    Port(Protocol, u16),
    Protocol(Protocol),
    /// Belongs to a conversation that was let through.
    Established,
    /// Its destination was translated here.
    Translated,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Accept,
    Drop,
    Masquerade,
    Translate(Ipv4Addr, u16),
    Translate6(Ipv6Addr, u16),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    pub matches: Vec<Match>,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    Prerouting,
    Forward,
    Output,
    Postrouting,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    pub name: &'static str,
    pub hook: Hook,
    /// Whether it translates; else it filters.
    pub is_nat: bool,
    pub priority: i32,
    pub rules: Vec<Rule>,
}

const LOOPBACK: &str = "127.0.0.0/8";
/// Before anything is translated.
const RAW: i32 = -300;
pub const TRANSLATE: i32 = -100;
/// Before any published port, be it another cloud's or dockerd's: those are of every address of this machine, so
/// also of our bridges', and who is asked first has it.
const DOORS: i32 = TRANSLATE - 1;
const FILTER: i32 = 0;
const MASQUERADE: i32 = 100;

fn rule(matches: Vec<Match>, verdict: Verdict) -> Rule {
    Rule { matches, verdict }
}

/// An address that is one of many, as a match.
pub trait Whole: Copy {
    /// From this address alone.
    fn source(self) -> Option<Match>;
}

impl Whole for Ipv4Addr {
    fn source(self) -> Option<Match> {
        Subnet::new(self, 32).map(Match::Source)
    }
}

impl Whole for Ipv6Addr {
    fn source(self) -> Option<Match> {
        Subnet6::new(self, 128).map(Match::Source6)
    }
}

/// For the namespace of a container that hears nothing from these addresses, before anything else sees it.
pub fn partition<'a, A: Whole + 'a>(unheard: impl IntoIterator<Item = &'a A>) -> Vec<Chain> {
    let sources = unheard.into_iter().filter_map(|address| address.source());
    let rules: Vec<Rule> = sources.map(|one| rule(vec![one], Verdict::Drop)).collect();
    if rules.is_empty() {
        return Vec::new();
    }
    let hook = Hook::Prerouting;
    vec![Chain { name: "partition", hook, is_nat: false, priority: RAW, rules }]
}

/// The chains of our table.
pub fn chains(wanted: &Wanted) -> Vec<Chain> {
    let loopback = Subnet::new(Ipv4Addr::new(127, 0, 0, 0), 8);
    debug_assert_eq!(loopback.map(|net| net.to_string()).as_deref(), Some(LOOPBACK));
    let Some(loopback) = loopback else { return Vec::new() };
    let nat = |name, hook, priority, rules| Chain { name, hook, is_nat: true, priority, rules };
    let filter = |name, hook, priority, rules| Chain { name, hook, is_nat: false, priority, rules };
    vec![
        filter("guard", Hook::Prerouting, RAW, guard(wanted, loopback)),
        filter("forward", Hook::Forward, FILTER, forward(wanted.bridges.iter())),
        nat("doors", Hook::Prerouting, DOORS, doors(wanted)),
        nat("published", Hook::Prerouting, TRANSLATE, before(wanted)),
        nat("published-local", Hook::Output, TRANSLATE, translate(wanted)),
        nat("outbound", Hook::Postrouting, MASQUERADE, outbound(wanted, loopback)),
    ]
}

/// The chains of our table for IPv6; none if no network has any.
pub fn chains_six(wanted: &Wanted) -> Vec<Chain> {
    let six = || wanted.bridges.iter().filter(|bridge| bridge.six.is_some());
    if six().next().is_none() {
        return Vec::new();
    }
    let chain = |name, hook, is_nat, priority, rules| Chain { name, hook, is_nat, priority, rules };
    // Loopback cannot be translated: the kernel takes no packet from it that goes elsewhere.
    let own = Subnet6::new(Ipv6Addr::LOCALHOST, 128);
    let own = own.map(|own| rule(vec![Match::Destination6(own)], Verdict::Accept));
    let local: Vec<Rule> = own.into_iter().chain(translate_six(wanted)).collect();
    vec![
        chain("guard", Hook::Prerouting, false, RAW, guard_six(wanted)),
        chain("forward", Hook::Forward, false, FILTER, forward(six())),
        chain("published", Hook::Prerouting, true, TRANSLATE, translate_six(wanted)),
        chain("published-local", Hook::Output, true, TRANSLATE, local),
        chain("outbound", Hook::Postrouting, true, MASQUERADE, outbound_six(wanted)),
    ]
}

/// A container's own addresses, those that neighbours find each other by, and no others.
fn guard_six(wanted: &Wanted) -> Vec<Rule> {
    let link_local = Subnet6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);
    let none_yet = Subnet6::new(Ipv6Addr::UNSPECIFIED, 128);
    let rules = wanted.bridges.iter().filter_map(|bridge| {
        let matches = vec![
            Match::From(bridge.interface.clone()),
            Match::NotSource6(bridge.six?),
            Match::NotSource6(link_local?),
            Match::NotSource6(none_yet?),
        ];
        Some(rule(matches, Verdict::Drop))
    });
    rules.collect()
}

fn translate_six(wanted: &Wanted) -> Vec<Rule> {
    let rules = wanted.published.iter().filter_map(|one| {
        let SocketAddr::V6(to) = one.to else { return None };
        let address = match one.host_ip {
            Some(IpAddr::V6(ip)) => Match::Destination6(Subnet6::new(ip, 128)?),
            _ => Match::DestinationIsLocal,
        };
        let matches = vec![address, Match::Port(one.protocol, one.host_port)];
        Some(rule(matches, Verdict::Translate6(*to.ip(), to.port())))
    });
    rules.collect()
}

fn outbound_six(wanted: &Wanted) -> Vec<Rule> {
    let mut rules = Vec::new();
    for bridge in &wanted.bridges {
        let Some(six) = bridge.six else { continue };
        let to = Match::To(bridge.interface.clone());
        let same = vec![Match::Source6(six), to, Match::Translated];
        rules.push(rule(same, Verdict::Masquerade));
        if bridge.masquerades && !bridge.is_internal {
            let out = vec![Match::Source6(six), Match::NotTo(bridge.interface.clone())];
            rules.push(rule(out, Verdict::Masquerade));
        }
    }
    rules
}

/// A bridge that routes this machine's loopback, for its published ports, must let nobody else in
/// (CVE-2020-8558), and a container's own address is nobody's but through its bridge.
fn guard(wanted: &Wanted, loopback: Subnet) -> Vec<Rule> {
    let mut rules = Vec::new();
    for bridge in &wanted.bridges {
        let from = Match::From(bridge.interface.clone());
        rules.push(rule(vec![from.clone(), Match::Destination(loopback)], Verdict::Drop));
        rules.push(rule(vec![from, Match::NotSource(bridge.subnet)], Verdict::Drop));
    }
    // A port published on loopback alone is not reached by a forged packet from outside.
    for one in &wanted.published {
        let Some(IpAddr::V4(ip)) = one.host_ip.filter(IpAddr::is_loopback) else { continue };
        let Some(to) = Subnet::new(ip, 32) else { continue };
        let matches = vec![
            Match::NotFrom("lo".to_owned()),
            Match::Destination(to),
            Match::Port(one.protocol, one.host_port),
        ];
        rules.push(rule(matches, Verdict::Drop));
    }
    rules
}

fn forward<'a>(bridges: impl Iterator<Item = &'a Bridge>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for bridge in bridges {
        let (from, to) =
            (Match::From(bridge.interface.clone()), Match::To(bridge.interface.clone()));
        let not_to = Match::NotTo(bridge.interface.clone());
        let not_from = Match::NotFrom(bridge.interface.clone());
        if bridge.is_internal {
            rules.push(rule(vec![from.clone(), not_to], Verdict::Drop));
            rules.push(rule(vec![to, not_from], Verdict::Drop));
            continue;
        }
        if !bridge.talks {
            let same = vec![from.clone(), to.clone()];
            rules.push(rule([same.clone(), vec![Match::Established]].concat(), Verdict::Accept));
            rules.push(rule([same.clone(), vec![Match::Translated]].concat(), Verdict::Accept));
            rules.push(rule(same, Verdict::Drop));
        }
        // Answers come in, and what was published; nothing else finds its way to a container.
        let inbound = vec![to, not_from];
        rules.push(rule([inbound.clone(), vec![Match::Established]].concat(), Verdict::Accept));
        rules.push(rule([inbound.clone(), vec![Match::Translated]].concat(), Verdict::Accept));
        rules.push(rule(inbound, Verdict::Drop));
    }
    rules
}

/// What happens to packets that come in, before it is known where they go.
fn before(wanted: &Wanted) -> Vec<Rule> {
    match wanted.carried {
        None => translate(wanted),
        Some(carried) => carry(wanted, carried),
    }
}

/// The cloud itself listens beside the bridges, and what is for a neighbour goes its way; all else is taken.
fn carry(wanted: &Wanted, carried: Carried) -> Vec<Rule> {
    let mut rules = Vec::new();
    for bridge in &wanted.bridges {
        let from = || Match::From(bridge.interface.clone());
        let Some(gateway) = Subnet::new(bridge.gateway, 32) else { continue };
        for door in &wanted.doors {
            let matches =
                vec![from(), Match::Destination(gateway), Match::Port(Protocol::Tcp, door.port)];
            rules.push(rule(matches, Verdict::Accept));
        }
        if bridge.is_internal {
            continue;
        }
        let names = vec![from(), Match::Port(Protocol::Udp, 53)];
        rules.push(rule(names, Verdict::Translate(bridge.gateway, carried.names)));
        let out = Verdict::Translate(bridge.gateway, carried.connections);
        let tcp = || Match::Protocol(Protocol::Tcp);
        rules.push(rule(vec![from(), Match::Destination(gateway), tcp()], out));
        for other in &wanted.bridges {
            rules.push(rule(vec![from(), Match::Destination(other.subnet)], Verdict::Accept));
        }
        rules.push(rule(vec![from(), tcp()], out));
    }
    rules
}

/// Where all is carried they are rules of their own.
fn doors(wanted: &Wanted) -> Vec<Rule> {
    let mut rules = Vec::new();
    if wanted.carried.is_some() {
        return rules;
    }
    for bridge in &wanted.bridges {
        let Some(gateway) = Subnet::new(bridge.gateway, 32) else { continue };
        for door in &wanted.doors {
            let matches = vec![
                Match::From(bridge.interface.clone()),
                Match::Destination(gateway),
                Match::Port(Protocol::Tcp, door.port),
            ];
            rules.push(rule(matches, Verdict::Translate(*door.to.ip(), door.to.port())));
        }
    }
    rules
}

fn translate(wanted: &Wanted) -> Vec<Rule> {
    let rules = wanted.published.iter().filter_map(|one| {
        let SocketAddr::V4(to) = one.to else { return None };
        let address = match one.host_ip {
            Some(IpAddr::V4(ip)) => Match::Destination(Subnet::new(ip, 32)?),
            _ => Match::DestinationIsLocal,
        };
        let matches = vec![address, Match::Port(one.protocol, one.host_port)];
        Some(rule(matches, Verdict::Translate(*to.ip(), to.port())))
    });
    rules.collect()
}

fn outbound(wanted: &Wanted, loopback: Subnet) -> Vec<Rule> {
    let mut rules = Vec::new();
    for bridge in &wanted.bridges {
        let to = Match::To(bridge.interface.clone());
        // From this machine's loopback through a published port: the container answers the bridge.
        rules.push(rule(vec![Match::Source(loopback), to.clone()], Verdict::Masquerade));
        // A container that calls a port that leads to itself or its neighbour.
        let same = vec![Match::Source(bridge.subnet), to, Match::Translated];
        rules.push(rule(same, Verdict::Masquerade));
        if bridge.masquerades && !bridge.is_internal {
            let out = vec![Match::Source(bridge.subnet), Match::NotTo(bridge.interface.clone())];
            rules.push(rule(out, Verdict::Masquerade));
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet, as far as the rules look at it.
    #[derive(Clone)]
    struct Packet<'a> {
        from: &'a str,
        to: &'a str,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        port: u16,
        is_local: bool,
        is_established: bool,
        is_translated: bool,
    }

    fn holds(one: &Match, packet: &Packet<'_>) -> bool {
        match one {
            Match::From(name) => packet.from == name,
            Match::NotFrom(name) => packet.from != name,
            Match::To(name) => packet.to == name,
            Match::NotTo(name) => packet.to != name,
            Match::Source(net) => net.contains(packet.source),
            Match::NotSource(net) => !net.contains(packet.source),
            Match::Destination(net) => net.contains(packet.destination),
            // Addresses of IPv4, as those of IPv6 that stand for them.
            Match::Source6(net) => net.contains(packet.source.to_ipv6_mapped()),
            Match::NotSource6(net) => !net.contains(packet.source.to_ipv6_mapped()),
            Match::Destination6(net) => net.contains(packet.destination.to_ipv6_mapped()),
            Match::DestinationIsLocal => packet.is_local,
            Match::Port(_, port) => packet.port == *port,
            // Those of names alone are no connections.
            Match::Protocol(protocol) => (*protocol == Protocol::Tcp) == (packet.port != 53),
            Match::Established => packet.is_established,
            Match::Translated => packet.is_translated,
        }
    }

    fn verdict(wanted: &Wanted, chain: &str, packet: &Packet<'_>) -> Verdict {
        decide(&chains(wanted), chain, packet)
    }

    fn verdict_six(wanted: &Wanted, chain: &str, packet: &Packet<'_>) -> Verdict {
        decide(&chains_six(wanted), chain, packet)
    }

    fn decide(chains: &[Chain], chain: &str, packet: &Packet<'_>) -> Verdict {
        let chain = chains.iter().find(|one| one.name == chain).expect("a chain");
        let rule = chain.rules.iter().find(|rule| rule.matches.iter().all(|m| holds(m, packet)));
        rule.map_or(Verdict::Accept, |rule| rule.verdict)
    }

    fn wanted() -> Wanted {
        let bridge = |interface: &str, subnet: &str, is_internal| Bridge {
            interface: interface.to_owned(),
            subnet: Subnet::parse(subnet).unwrap(),
            gateway: Subnet::parse(subnet).unwrap().first(),
            six: None,
            is_internal,
            masquerades: true,
            talks: interface != "quiet",
        };
        Wanted {
            bridges: vec![
                bridge("a", "172.17.0.0/16", false),
                bridge("b", "172.18.0.0/16", false),
                bridge("inner", "172.19.0.0/16", true),
                bridge("quiet", "172.20.0.0/16", false),
            ],
            published: vec![Published {
                protocol: Protocol::Tcp,
                host_ip: None,
                host_port: 8080,
                to: SocketAddr::from(([172, 17, 0, 2], 80)),
            }],
            doors: vec![Door { port: 4566, to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5000) }],
            carried: None,
        }
    }

    /// The same networks but `b`, over IPv6.
    fn wanted_six() -> Wanted {
        let mut wanted = wanted();
        for bridge in wanted.bridges.iter_mut().filter(|bridge| bridge.interface != "b") {
            let base = bridge.subnet.address().to_ipv6_mapped();
            bridge.six = Subnet6::new(base, 96 + bridge.subnet.prefix());
        }
        let inner = Ipv4Addr::new(172, 17, 0, 2).to_ipv6_mapped();
        wanted.published.push(Published {
            protocol: Protocol::Tcp,
            host_ip: None,
            host_port: 8080,
            to: SocketAddr::new(inner.into(), 80),
        });
        wanted
    }

    const OUT: [u8; 4] = [93, 184, 216, 34];

    fn packet<'a>(from: &'a str, source: [u8; 4], to: &'a str, destination: [u8; 4]) -> Packet<'a> {
        Packet {
            from,
            to,
            source: source.into(),
            destination: destination.into(),
            port: 80,
            is_local: false,
            is_established: false,
            is_translated: false,
        }
    }

    #[test]
    fn networks_are_apart() {
        let wanted = wanted();
        let between = packet("a", [172, 17, 0, 2], "b", [172, 18, 0, 2]);
        assert_eq!(verdict(&wanted, "forward", &between), Verdict::Drop);
        let answer = Packet { is_established: true, ..between.clone() };
        assert_eq!(verdict(&wanted, "forward", &answer), Verdict::Accept);
        let published = Packet { is_translated: true, ..between };
        assert_eq!(verdict(&wanted, "forward", &published), Verdict::Accept);
        let outward = packet("a", [172, 17, 0, 2], "eth0", OUT);
        assert_eq!(verdict(&wanted, "forward", &outward), Verdict::Accept);
        assert_eq!(verdict(&wanted, "outbound", &outward), Verdict::Masquerade);
        let inward = packet("eth0", OUT, "a", [172, 17, 0, 2]);
        assert_eq!(verdict(&wanted, "forward", &inward), Verdict::Drop);
        let neighbours = packet("a", [172, 17, 0, 2], "a", [172, 17, 0, 3]);
        assert_eq!(verdict(&wanted, "forward", &neighbours), Verdict::Accept);
    }

    #[test]
    fn the_other_side_of_a_partition_is_unheard() {
        let other = [Ipv4Addr::new(172, 17, 0, 3)];
        let check = |source, expected| {
            for is_established in [false, true] {
                let packet = packet("eth0", source, "", [172, 17, 0, 2]);
                let packet = Packet { is_established, ..packet };
                assert_eq!(decide(&partition(&other), "partition", &packet), expected);
            }
        };
        check([172, 17, 0, 3], Verdict::Drop);
        check([172, 17, 0, 1], Verdict::Accept);
        check([172, 17, 0, 30], Verdict::Accept);
        assert!(partition::<Ipv6Addr>([]).is_empty());
    }

    #[test]
    fn what_leaves_is_carried() {
        let mut wanted = wanted();
        wanted.carried = Some(Carried { connections: 4000, names: 5300 });
        let taken = Verdict::Translate([172, 17, 0, 1].into(), 4000);
        let check = |packet: Packet<'_>, expected: Verdict| {
            assert_eq!(verdict(&wanted, "published", &packet), expected);
        };
        let out = packet("a", [172, 17, 0, 2], "", OUT);
        check(out.clone(), taken);
        check(Packet { port: 53, ..out }, Verdict::Translate([172, 17, 0, 1].into(), 5300));
        // Neighbours are reached as they are, and whether they may be is for another chain.
        check(packet("a", [172, 17, 0, 2], "", [172, 17, 0, 3]), Verdict::Accept);
        check(packet("a", [172, 17, 0, 2], "", [172, 18, 0, 3]), Verdict::Accept);
        // The bridge's own address is this machine's, but for the cloud's door.
        let own = packet("a", [172, 17, 0, 2], "", [172, 17, 0, 1]);
        check(own.clone(), taken);
        check(Packet { port: 4566, ..own }, Verdict::Accept);
        // From an inner network nothing goes out.
        check(packet("inner", [172, 19, 0, 2], "", OUT), Verdict::Accept);
    }

    #[test]
    fn networks_of_ipv6() {
        assert_eq!(chains_six(&wanted()), []);
        let wanted = wanted_six();
        let outward = packet("a", [172, 17, 0, 2], "eth0", OUT);
        assert_eq!(verdict_six(&wanted, "forward", &outward), Verdict::Accept);
        assert_eq!(verdict_six(&wanted, "outbound", &outward), Verdict::Masquerade);
        let inward = packet("eth0", OUT, "a", [172, 17, 0, 2]);
        assert_eq!(verdict_six(&wanted, "forward", &inward), Verdict::Drop);
        let inner = packet("inner", [172, 19, 0, 2], "eth0", OUT);
        assert_eq!(verdict_six(&wanted, "forward", &inner), Verdict::Drop);
        let forged = packet("a", [172, 18, 0, 9], "", [172, 18, 0, 2]);
        assert_eq!(verdict_six(&wanted, "guard", &forged), Verdict::Drop);
        assert_eq!(verdict_six(&wanted, "guard", &outward), Verdict::Accept);
        let mut call = packet("eth0", OUT, "", [192, 0, 2, 2]);
        (call.port, call.is_local) = (8080, true);
        let to = Verdict::Translate6(Ipv4Addr::new(172, 17, 0, 2).to_ipv6_mapped(), 80);
        assert_eq!(verdict_six(&wanted, "published", &call), to);
        assert_eq!(verdict_six(&wanted, "published-local", &call), to);
    }

    #[test]
    fn inner_and_quiet_networks() {
        let wanted = wanted();
        let outward = packet("inner", [172, 19, 0, 2], "eth0", OUT);
        assert_eq!(verdict(&wanted, "forward", &outward), Verdict::Drop);
        let neighbours = packet("quiet", [172, 20, 0, 2], "quiet", [172, 20, 0, 3]);
        assert_eq!(verdict(&wanted, "forward", &neighbours), Verdict::Drop);
    }

    #[test]
    fn published_ports() {
        let wanted = wanted();
        let mut call = packet("eth0", OUT, "", [192, 0, 2, 2]);
        (call.port, call.is_local) = (8080, true);
        let to = Verdict::Translate([172, 17, 0, 2].into(), 80);
        assert_eq!(verdict(&wanted, "published", &call), to);
        assert_eq!(verdict(&wanted, "published-local", &call), to);
        call.port = 8081;
        assert_eq!(verdict(&wanted, "published", &call), Verdict::Accept);
        let hairpin =
            Packet { is_translated: true, ..packet("a", [172, 17, 0, 2], "a", [172, 17, 0, 2]) };
        assert_eq!(verdict(&wanted, "outbound", &hairpin), Verdict::Masquerade);
    }

    #[test]
    fn the_cloud_is_found_at_the_bridge_and_nowhere_else() {
        let wanted = wanted();
        let mut call = packet("a", [172, 17, 0, 2], "", [172, 17, 0, 1]);
        call.port = 4566;
        let to = Verdict::Translate(Ipv4Addr::LOCALHOST, 5000);
        assert_eq!(verdict(&wanted, "doors", &call), to);
        // Whatever else of this machine has that port: a published one of another cloud, say.
        let chains = chains(&wanted);
        let priority = |name| chains.iter().find(|one| one.name == name).unwrap().priority;
        assert!(priority("doors") < priority("published"));
        for (from, destination, port) in [
            ("eth0", [172, 17, 0, 1], 4566),
            ("a", [172, 18, 0, 1], 4566),
            ("a", [172, 17, 0, 1], 22),
        ] {
            let mut call = packet(from, [172, 17, 0, 2], "", destination);
            call.port = port;
            assert_eq!(verdict(&wanted, "doors", &call), Verdict::Accept);
        }
    }

    #[test]
    fn loopback_is_out_of_reach() {
        let wanted = wanted();
        let call = packet("a", [172, 17, 0, 2], "", [127, 0, 0, 1]);
        assert_eq!(verdict(&wanted, "guard", &call), Verdict::Drop);
        let forged = packet("a", [172, 18, 0, 9], "", [172, 18, 0, 2]);
        assert_eq!(verdict(&wanted, "guard", &forged), Verdict::Drop);
        let mut local = wanted.clone();
        local.published[0].host_ip = Some([127, 0, 0, 1].into());
        let mut outside = packet("eth0", OUT, "", [127, 0, 0, 1]);
        outside.port = 8080;
        assert_eq!(verdict(&local, "guard", &outside), Verdict::Drop);
        outside.from = "lo";
        assert_eq!(verdict(&local, "guard", &outside), Verdict::Accept);
    }
}
