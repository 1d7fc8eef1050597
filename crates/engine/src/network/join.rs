//! Tying a container to its networks before it starts, and letting go when it has ended.

use super::endpoints::{Endpoint, Six};
use super::etc;
use super::partition::namespace_of;
use super::ports::{self, Place, Ports, Spliced};
use super::resolver::{self, Sockets};
use super::{BRIDGE, Network, Networks};
use crate::config::{EndpointSettings, HostConfig};
use crate::container::{Container, Status};
use crate::engine::{Engine, blocking, task};
use crate::error::Error;
use crate::launch::list;
use crate::names;
use crate::remap::Space;
use crate::sys::cgroup::read;
use net::address;
use net_sys::Links;
use rustix::fd::OwnedFd;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// What a container starts with.
#[derive(Default, Debug)]
pub struct Joined {
    /// The namespace to join; none is this machine's own.
    pub namespace: Option<OwnedFd>,
    pub is_new: bool,
    /// Sockets that keep its ports free for it.
    pub ports: Vec<OwnedFd>,
    pub hosts: String,
    pub resolv_conf: String,
    /// Where it has the one of something else.
    pub hostname: Option<String>,
}

/// What is known before the kernel is asked for anything.
struct Order {
    container: String,
    hostname: String,
    host: HostConfig,
    exposed: crate::config::Set,
    /// The one whose gateway leads out comes first.
    endpoints: Vec<(Network, EndpointSettings)>,
    linked: Vec<(IpAddr, Vec<String>)>,
    domain: String,
    /// Has the namespace that its networks are to be in.
    space: Option<Arc<Space>>,
}

struct Made {
    joined: Joined,
    endpoints: BTreeMap<String, EndpointSettings>,
    ports: Ports,
    spliced: Vec<Spliced>,
    resolver: Option<Sockets>,
}

pub(super) fn machine_resolv_conf() -> String {
    read("/etc/resolv.conf").unwrap_or_default()
}

impl Engine {
    pub(crate) async fn join_networks(
        &self,
        container: &Arc<Container>,
        space: Option<Arc<Space>>,
    ) -> Result<Joined, Error> {
        let host = container.state().host.clone();
        if host.network_mode == "host" {
            return Ok(self.join_machine(container, &host));
        }
        if let Some(name) = host.network_mode.strip_prefix("container:") {
            return self.join_other(name);
        }
        let order = Order { space, ..self.order(container, host)? };
        let networks = self.0.networks.clone();
        let made = blocking(move || networks.make(order)).await?;
        {
            let mut state = container.state();
            for (name, endpoint) in made.endpoints {
                state.endpoints.insert(name, endpoint);
            }
            state.ports = made.ports;
        }
        if let Some(namespace) = &made.joined.namespace
            && let Err(error) = self.part_again(Some((container, namespace))).await
        {
            self.leave_networks(container).await;
            return Err(error);
        }
        super::splice::begin(container, made.spliced);
        if let Some(sockets) = made.resolver {
            self.begin_resolver(container, sockets);
        }
        Ok(made.joined)
    }

    fn join_machine(&self, container: &Container, host: &HostConfig) -> Joined {
        let own = read("/etc/hosts").unwrap_or_default();
        let name = read("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        let hostname = container.config.hostname.is_empty().then_some(name);
        let resolv_conf = match host.dns.is_empty() {
            true => machine_resolv_conf(),
            false => etc::resolv_conf(host, &machine_resolv_conf(), false),
        };
        Joined { hosts: own, resolv_conf, hostname, ..Joined::default() }
    }

    fn join_other(&self, name: &str) -> Result<Joined, Error> {
        let other = self.find(name)?;
        let not_running = || {
            let id = &other.id;
            Error::conflict(format!("cannot join network of a non running container: {id}"))
        };
        if !other.is_running() {
            return Err(not_running());
        }
        let is_own = other.state().host.network_mode != "host";
        let namespace = match is_own {
            false => None,
            true => Some(namespace_of(&other).ok_or_else(not_running)?),
        };
        let folder = self.folder(&other.id);
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        Ok(Joined {
            namespace,
            hosts: text("hosts"),
            resolv_conf: text("resolv.conf"),
            hostname: Some(text("hostname").trim().to_owned()),
            ..Joined::default()
        })
    }

    fn order(&self, container: &Arc<Container>, host: HostConfig) -> Result<Order, Error> {
        let wanted = container.state().endpoints.clone();
        let mut endpoints = Vec::new();
        for (name, settings) in wanted {
            let network = self.0.networks.find(&name)?;
            if network.settings.driver == BRIDGE {
                endpoints.push((network, settings));
            }
        }
        // An inner network leads nowhere; else the priority decides, and then the name.
        endpoints.sort_by_key(|(network, settings)| {
            (network.settings.internal, -settings.gw_priority, network.name.clone())
        });
        let mut linked = Vec::new();
        for link in list(&host.links) {
            let (name, alias) = link.split_once(':').unwrap_or((link, link));
            let other = self.find(name)?;
            let state = other.state();
            let address = state.endpoints.get(BRIDGE).and_then(|e| e.ip_address.parse().ok());
            if let Some(address) = address {
                let names = vec![alias.to_owned(), other.hostname(), state.name.clone()];
                linked.push((address, names));
            }
        }
        Ok(Order {
            container: container.id.clone(),
            hostname: container.hostname(),
            host,
            exposed: container.config.exposed_ports.clone(),
            endpoints,
            linked,
            domain: container.config.domainname.clone(),
            space: None,
        })
    }

    /// Leases are given back once the links are gone.
    pub(crate) async fn leave_networks(&self, container: &Arc<Container>) {
        let endpoints = {
            let mut state = container.state();
            state.ports = Ports::new();
            state.splices = None;
            let before = state.endpoints.clone();
            for endpoint in state.endpoints.values_mut() {
                forget(endpoint);
            }
            before
        };
        self.end_resolver(container);
        // Before somebody else has its addresses.
        if let Err(error) = self.part_again(None).await {
            tracing::warn!(%error, "a partition was not taken back");
        }
        if endpoints.values().all(|endpoint| endpoint.endpoint_id.is_empty()) {
            return;
        }
        let (networks, id) = (self.0.networks.clone(), container.id.clone());
        let published = networks.begin_leaving(&id, endpoints.values());
        task(async move {
            let left = blocking(move || {
                networks.leave(&id, endpoints.values(), published);
                Ok(())
            });
            let _ = left.await;
        });
    }

    /// A container that ran on while the engine was away: its leases and ports are as they were.
    pub(crate) async fn found_running(&self, container: &Arc<Container>, pid: i32) {
        {
            let mut state = container.state();
            state.pid = pid;
            state.run += 1;
        }
        let is_frozen = self.is_frozen(container);
        container.state().status = if is_frozen { Status::Paused } else { Status::Running };
        container.advance(|progress| progress.is_running = true);
        self.begin_health(container);
        let endpoints = container.state().endpoints.clone();
        let ports = container.state().ports.clone();
        let spliced = self.0.networks.readopt(&container.id, &endpoints, &ports);
        super::splice::begin(container, spliced);
        if let Some(namespace) = namespace_of(container) {
            self.begin_resolver_in(container, namespace).await;
        }
    }

    /// The kernel has what is wanted now.
    pub(crate) async fn refresh_networks(&self) {
        let networks = self.0.networks.clone();
        let _ = blocking(move || networks.refresh()).await;
    }
}

pub(super) fn link_local(settings: &EndpointSettings) -> impl Iterator<Item = Ipv4Addr> + '_ {
    let given = settings.ipam_config.iter().flat_map(|ipam| &ipam.link_local_ips);
    given.filter_map(|text| text.parse().ok())
}

/// What held only while it ran.
fn forget(endpoint: &mut EndpointSettings) {
    endpoint.endpoint_id.clear();
    endpoint.gateway.clear();
    endpoint.ip_address.clear();
    endpoint.ip_prefix_len = 0;
    endpoint.ipv6_gateway.clear();
    endpoint.global_ipv6_address.clear();
    endpoint.global_ipv6_prefix_len = 0;
}

impl Networks {
    /// Blocks. All of it, or nothing.
    fn make(&self, order: Order) -> Result<Made, Error> {
        let _kernel = self.0.kernel.lock();
        let id = order.container.clone();
        let made = self.make_all(order);
        if made.is_err() {
            self.forget_container(&id);
            let _ = self.apply_firewall();
        }
        made
    }

    fn make_all(&self, order: Order) -> Result<Made, Error> {
        let mut endpoints = BTreeMap::new();
        let mut ends: Vec<Endpoint> = Vec::new();
        for (network, settings) in &order.endpoints {
            let network = self.ensure(network)?;
            let (end, shown) = self.lease(&network, settings, &order.container)?;
            ends.push(end);
            endpoints.insert(network.name.clone(), shown);
        }
        let mut ports = Ports::new();
        let mut held = Vec::new();
        let mut spliced = Vec::new();
        if let (Some(first), Some((network, _))) = (ends.first(), order.endpoints.first()) {
            let default_ip = network
                .option("bridge.host_binding_ipv4")
                .and_then(|ip| ip.parse().ok())
                .filter(|ip: &Ipv4Addr| !ip.is_unspecified());
            let place =
                Place { four: first.address, six: first.six.as_ref().map(|six| six.address) };
            let reserved = ports::reserve(&order.host, &order.exposed, &place, default_ip)?;
            ports = reserved.ports;
            held = reserved.held;
            spliced = reserved.spliced;
            let mut state = self.0.state.lock();
            let id = &order.container;
            state.published.extend(reserved.published.into_iter().map(|one| (id.clone(), one)));
        }
        if !ports.values().all(Option::is_none) {
            self.apply_firewall()?;
        }
        let resolver = order.endpoints.iter().any(|(network, _)| !network.is_predefined());
        let (namespace, sockets) = new_namespace(&ends, resolver, order.space.as_deref())?;
        let gateway =
            ends.first().map(|end| end.gateway).or_else(|| self.find(BRIDGE).ok()?.gateway());
        let mut name = vec![order.hostname.clone()];
        if !order.domain.is_empty() {
            name.insert(0, format!("{}.{}", order.hostname, order.domain));
        }
        let mut own = order.linked;
        for end in &ends {
            own.push((end.address.into(), name.clone()));
            own.extend(end.six.iter().map(|six| (six.address.into(), name.clone())));
        }
        // With a resolver that answers them they need not be written down.
        let mut machine_names = Vec::new();
        if !resolver && !ends.is_empty() {
            machine_names.push(resolver::MACHINE[0]);
            machine_names.extend(self.has_cloud().then_some(resolver::CLOUD));
        }
        let joined = Joined {
            namespace: Some(namespace),
            is_new: false,
            ports: held,
            hosts: etc::hosts(&order.host, &own, gateway, &machine_names),
            resolv_conf: etc::resolv_conf(&order.host, &machine_resolv_conf(), resolver),
            hostname: None,
        };
        Ok(Made { joined, endpoints, ports, spliced, resolver: sockets })
    }

    /// An address in the network. Kernel lock held.
    pub(super) fn lease(
        &self,
        network: &Network,
        settings: &EndpointSettings,
        container: &str,
    ) -> Result<(Endpoint, EndpointSettings), Error> {
        let (Some(subnet), Some(gateway)) = (network.subnet(), network.gateway()) else {
            return Err(Error::failed(format!("the network {} has no subnet", network.name)));
        };
        let ipam = settings.ipam_config.clone().unwrap_or_default();
        let mut state = self.0.state.lock();
        let four = state.choose(
            network,
            network.pool(),
            gateway.into(),
            &ipam.ipv4_address,
            |range, taken| {
                let taken = taken
                    .iter()
                    .filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None });
                subnet.free(net::Subnet::parse(range).as_ref(), &taken.collect()).map(IpAddr::from)
            },
        )?;
        let IpAddr::V4(address) = four else { return Err(no_address("IPv4")) };
        if !subnet.contains(address) {
            // The network had another when it was asked for.
            let text = format!("no configured subnet contains IP address {address}");
            return Err(Error::invalid(text));
        }
        let six = network.subnet_six().zip(network.gateway_six());
        let six = six.map(|(subnet, gateway)| {
            let chosen = state.choose(
                network,
                network.pool_six(),
                gateway.into(),
                &ipam.ipv6_address,
                |range, taken| {
                    let taken = taken
                        .iter()
                        .filter_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None });
                    subnet
                        .free(net::Subnet6::parse(range).as_ref(), &taken.collect())
                        .map(IpAddr::from)
                },
            )?;
            let IpAddr::V6(address) = chosen else { return Err(no_address("IPv6")) };
            Ok(Six { address, subnet, gateway })
        });
        let six = six.transpose()?;
        state.take(&network.id, address.into(), container);
        if let Some(six) = &six {
            state.take(&network.id, six.address.into(), container);
        }
        drop(state);
        let endpoint_id = names::new_id(&*self.0.entropy);
        let mac =
            address::parse_mac(&settings.mac_address).unwrap_or_else(|| address::mac(address));
        let end = Endpoint {
            bridge: network.settings.interface.clone(),
            name: link_name(&endpoint_id),
            address,
            subnet,
            gateway,
            mac,
            is_internal: network.settings.internal,
            is_apart: !network.talks(),
            mtu: network.mtu().filter(|mtu| *mtu != 1500),
            link_local: link_local(settings).collect(),
            six,
        };
        let six = end.six.as_ref();
        let shown = EndpointSettings {
            network_id: network.id.clone(),
            endpoint_id,
            gateway: gateway.to_string(),
            ip_address: address.to_string(),
            ip_prefix_len: subnet.prefix(),
            mac_address: address::mac_text(mac),
            ipv6_gateway: six.map(|six| six.gateway.to_string()).unwrap_or_default(),
            global_ipv6_address: six.map(|six| six.address.to_string()).unwrap_or_default(),
            global_ipv6_prefix_len: six.map_or(0, |six| six.subnet.prefix()),
            ..settings.clone()
        };
        Ok((end, shown))
    }

    fn forget_container(&self, id: &str) {
        let mut state = self.0.state.lock();
        state.leases.retain(|_, holder| holder != id);
        state.published.retain(|(holder, _)| holder != id);
    }

    /// Blocks. Only those endpoints, and of the container's leases only theirs.
    /// What a container has is anybody's from here on, though the kernel does not know yet. Gives whether it
    /// published anything.
    pub(super) fn begin_leaving<'a>(
        &self,
        id: &str,
        endpoints: impl Iterator<Item = &'a EndpointSettings>,
    ) -> bool {
        let mut state = self.0.state.lock();
        let before = state.published.len();
        for endpoint in endpoints {
            let own: Vec<IpAddr> = addresses(endpoint).collect();
            for address in &own {
                let key = (endpoint.network_id.clone(), *address);
                if state.leases.get(&key).is_some_and(|holder| holder == id) {
                    state.leaving.insert(key);
                }
            }
            state.published.retain(|(holder, one)| holder != id || !own.contains(&one.to.ip()));
        }
        state.published.len() < before
    }

    /// After [`Networks::begin_leaving`], with what it gave. Blocks.
    pub(super) fn leave<'a>(
        &self,
        id: &str,
        endpoints: impl Iterator<Item = &'a EndpointSettings> + Clone,
        published: bool,
    ) {
        let endpoints = endpoints.filter(|endpoint| !endpoint.endpoint_id.is_empty());
        // Without the lock: until the kernel has forgotten a link takes it so long as a whole start, and nobody
        // else means this one.
        if let Ok(mut links) = Links::open() {
            for endpoint in endpoints.clone() {
                let _ = links.delete(&link_name(&endpoint.endpoint_id));
            }
        }
        let _kernel = self.0.kernel.lock();
        for endpoint in endpoints {
            let mut state = self.0.state.lock();
            for address in addresses(endpoint) {
                let key = (endpoint.network_id.clone(), address);
                // Somebody may have it by now, be it the same one, started again.
                if state.leaving.remove(&key) && state.leases.get(&key).is_some_and(|it| it == id) {
                    state.leases.remove(&key);
                }
            }
        }
        if published {
            let _ = self.apply_firewall();
        }
    }

    fn readopt(
        &self,
        id: &str,
        endpoints: &BTreeMap<String, EndpointSettings>,
        ports: &Ports,
    ) -> Vec<Spliced> {
        let mut state = self.0.state.lock();
        let mut first: Option<Place> = None;
        for endpoint in endpoints.values() {
            let Ok(address) = endpoint.ip_address.parse::<Ipv4Addr>() else { continue };
            for address in addresses(endpoint) {
                state.take(&endpoint.network_id, address, id);
            }
            let six = endpoint.global_ipv6_address.parse().ok();
            first.get_or_insert(Place { four: address, six });
        }
        let Some(to) = first else { return Vec::new() };
        let found = ports::published(ports, &to);
        state.published.extend(found.published.into_iter().map(|one| (id.to_owned(), one)));
        found.spliced
    }

    /// Blocks.
    fn refresh(&self) -> Result<(), Error> {
        let _kernel = self.0.kernel.lock();
        let used: Vec<Network> = {
            let state = self.0.state.lock();
            let ids = state.leases.keys().map(|(id, _)| id.clone());
            let ids: BTreeSet<String> = ids.collect();
            ids.iter().filter_map(|id| state.networks.get(id).cloned()).collect()
        };
        for network in used {
            self.ensure(&network)?;
        }
        self.apply_firewall()
    }
}

fn no_address(kind: &str) -> Error {
    Error::failed(format!("no available {kind} addresses on this network's address pools"))
}

/// Of either kind, those that it has.
fn addresses(endpoint: &EndpointSettings) -> impl Iterator<Item = IpAddr> + '_ {
    let texts = [&endpoint.ip_address, &endpoint.global_ipv6_address];
    texts.into_iter().filter_map(|text| text.parse().ok())
}

impl super::State {
    fn take(&mut self, network: &str, address: IpAddr, container: &str) {
        let key = (network.to_owned(), address);
        self.leaving.remove(&key);
        self.leases.insert(key, container.to_owned());
    }

    /// An address of a network that nobody has: the one that is asked for, or a free one of the pool's range.
    fn choose(
        &self,
        network: &Network,
        pool: Option<&super::Pool>,
        gateway: IpAddr,
        asked: &str,
        free: impl Fn(&str, &BTreeSet<IpAddr>) -> Option<IpAddr>,
    ) -> Result<IpAddr, Error> {
        let own = self.leases.keys().filter(|(id, _)| *id == network.id);
        let mut taken: BTreeSet<IpAddr> = own.map(|(_, address)| *address).collect();
        taken.insert(gateway);
        let kept = pool.into_iter().flat_map(|pool| pool.auxiliary.values());
        taken.extend(kept.filter_map(|text| text.parse::<IpAddr>().ok()));
        match asked.parse::<IpAddr>() {
            Ok(address)
                if taken.contains(&address)
                    && !self.leaving.contains(&(network.id.clone(), address)) =>
            {
                Err(Error::new(crate::error::Kind::Forbidden, "Address already in use"))
            }
            Ok(address) => Ok(address),
            Err(_) => {
                let range = pool.map(|pool| pool.ip_range.as_str()).unwrap_or_default();
                let kind = if gateway.is_ipv4() { "IPv4" } else { "IPv6" };
                let found = free(range, &taken).or_else(|| {
                    // Where nothing else is left, one that the kernel is about to forget: as one that is asked for.
                    let is_left = |ip| self.leaving.contains(&(network.id.clone(), ip));
                    taken.retain(|address| !is_left(*address));
                    free(range, &taken)
                });
                found.ok_or_else(|| no_address(kind))
            }
        }
    }
}

/// Of the end on this machine: 15 characters at most, all of them used, since every engine of the machine
/// draws from the same names.
pub(super) fn link_name(endpoint_id: &str) -> String {
    format!("veth{}", &endpoint_id[..11.min(endpoint_id.len())])
}

/// With loopback, a link into each network, and where names are asked for.
fn new_namespace(
    ends: &[Endpoint],
    resolver: bool,
    space: Option<&Space>,
) -> Result<(OwnedFd, Option<Sockets>), Error> {
    let failed = |error: std::io::Error| {
        Error::failed(format!("cannot make the container's network: {error}"))
    };
    let mut outside = match ends.is_empty() {
        true => None,
        false => Some(Links::open().map_err(failed)?),
    };
    let mut furnish = |namespace: &OwnedFd| {
        let mut inside = Links::open()?;
        // The first link of every namespace.
        inside.set_up(1)?;
        for (n, end) in ends.iter().enumerate() {
            if let Some(outside) = &mut outside {
                end.plug(outside, &mut inside, namespace, &format!("eth{n}"), n == 0)?;
            }
        }
        resolver.then(resolver::open).transpose()
    };
    let made = match space {
        Some(space) => {
            let furnished = net_sys::inside(&space.network, || furnish(&space.network));
            furnished.and_then(|sockets| Ok((space.network.try_clone()?, sockets)))
        }
        None => net_sys::new_namespace(furnish),
    };
    made.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::{Pool, Settings, State};
    use super::*;

    fn network(subnet: &str) -> Network {
        let pool = Pool { subnet: subnet.to_owned(), ..Pool::default() };
        let mut settings = Settings::default();
        settings.ipam.config.push(pool);
        Network { id: "n".to_owned(), name: "small".to_owned(), created_ns: 0, settings }
    }

    #[test]
    fn an_address_that_is_leaving_is_the_last_to_be_given() {
        let small = network("10.0.0.0/29");
        let (subnet, gateway) = (small.subnet().unwrap(), small.gateway().unwrap());
        let mut state = State::default();
        let choose = |state: &State| {
            let chosen = state.choose(&small, small.pool(), gateway.into(), "", |range, taken| {
                let four = taken.iter().filter_map(|ip| match ip {
                    IpAddr::V4(ip) => Some(*ip),
                    IpAddr::V6(_) => None,
                });
                subnet.free(net::Subnet::parse(range).as_ref(), &four.collect()).map(IpAddr::V4)
            });
            chosen.map(|address| address.to_string()).map_err(|error| error.text)
        };
        for last in 2..=5 {
            let address = choose(&state).unwrap();
            assert_eq!(address, format!("10.0.0.{last}"));
            state.take("n", address.parse().unwrap(), "somebody");
        }
        state.leaving.insert(("n".to_owned(), "10.0.0.3".parse().unwrap()));
        // Not while there is another.
        assert_eq!(choose(&state).unwrap(), "10.0.0.6");
        state.take("n", "10.0.0.6".parse().unwrap(), "somebody");
        assert_eq!(choose(&state).unwrap(), "10.0.0.3");
        state.take("n", "10.0.0.3".parse().unwrap(), "another");
        let none = "no available IPv4 addresses on this network's address pools";
        assert_eq!(choose(&state).unwrap_err(), none);
    }
}
