//! Networks: what they are called, the addresses in them, and the ports that lead into them.
//!
//! The kernel is changed by one thread at a time. What is wanted stands in [`State`]; the firewall is
//! made from it as a whole, links one by one.

mod carry;
mod endpoints;
mod etc;
mod join;
mod partition;
mod pools;
mod ports;
mod resolver;
mod splice;

pub(crate) use partition::Partitions;
pub(crate) use resolver::Resolver;
pub(crate) use splice::Splices;

pub use join::Joined;
pub use ports::Ports;

use crate::claim;
use crate::config::{EndpointSettings, nullable};
use crate::engine::SCOPE;
use crate::error::{Error, Kind};
use crate::names::{self, Found};
use crate::rows::{NETWORKS, NetworkRow};
use crate::time;
use base::Entropy;
use net::firewall::{self, Bridge, Carried, Door, Published, Wanted};
use net::{Subnet, Subnet6};
use net_sys::{Firewall, Links, NewBridge};
use oci::Digest;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use store::blobs::block_on;
use store::{Store, StoreError};

pub const BRIDGE: &str = "bridge";
const DEFAULT_INTERFACE: &str = "docker0";
/// Where a cloud listens by default.
pub const CLOUD_PORT: u16 = 4566;
/// Beside the names of networks: driver options that are acted on.
const OPTIONS: [&str; 6] = [
    "com.docker.network.bridge.name",
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.bridge.host_binding_ipv4",
    "com.docker.network.bridge.default_bridge",
    "com.docker.network.driver.mtu",
];

/// As it is kept and as `inspect` shows it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Settings {
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
    #[serde(deserialize_with = "nullable")]
    pub scope: String,
    #[serde(rename = "EnableIPv6", deserialize_with = "nullable")]
    pub enable_ipv6: bool,
    #[serde(rename = "IPAM", deserialize_with = "nullable")]
    pub ipam: Ipam,
    #[serde(deserialize_with = "nullable")]
    pub internal: bool,
    #[serde(deserialize_with = "nullable")]
    pub attachable: bool,
    #[serde(deserialize_with = "nullable")]
    pub ingress: bool,
    #[serde(deserialize_with = "nullable")]
    pub config_only: bool,
    #[serde(deserialize_with = "nullable")]
    pub options: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// Of the bridge on this machine.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// Nobody asked for its subnet of IPv4: it has another where that is somebody else's by now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_any_subnet: bool,
}

#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
    pub options: Option<BTreeMap<String, String>>,
    #[serde(deserialize_with = "nullable")]
    pub config: Vec<Pool>,
}

#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Pool {
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub subnet: String,
    #[serde(
        rename = "IPRange",
        deserialize_with = "nullable",
        skip_serializing_if = "String::is_empty"
    )]
    pub ip_range: String,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    #[serde(
        rename = "AuxiliaryAddresses",
        alias = "AuxAddress",
        deserialize_with = "nullable",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub auxiliary: BTreeMap<String, String>,
}

impl Pool {
    fn is_six(&self) -> bool {
        self.subnet.contains(':')
    }
}

#[derive(Clone, Debug)]
pub struct Network {
    pub id: String,
    pub name: String,
    pub created_ns: i64,
    pub settings: Settings,
}

impl Network {
    pub fn is_predefined(&self) -> bool {
        matches!(self.name.as_str(), BRIDGE | "host" | "none")
    }

    /// Of IPv4.
    pub fn pool(&self) -> Option<&Pool> {
        self.settings.ipam.config.iter().find(|pool| !pool.is_six())
    }

    pub fn pool_six(&self) -> Option<&Pool> {
        self.settings.ipam.config.iter().find(|pool| pool.is_six())
    }

    pub fn subnet(&self) -> Option<Subnet> {
        Subnet::parse(&self.pool()?.subnet)
    }

    pub fn subnet_six(&self) -> Option<Subnet6> {
        Subnet6::parse(&self.pool_six()?.subnet).filter(|_| self.settings.enable_ipv6)
    }

    pub fn gateway(&self) -> Option<Ipv4Addr> {
        match self.pool()?.gateway.split('/').next()?.parse() {
            Ok(gateway) => Some(gateway),
            Err(_) => Some(self.subnet()?.first()),
        }
    }

    pub fn gateway_six(&self) -> Option<Ipv6Addr> {
        match self.pool_six()?.gateway.split('/').next()?.parse() {
            Ok(gateway) => Some(gateway),
            Err(_) => Some(self.subnet_six()?.first()),
        }
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.settings.options.get(&format!("com.docker.network.{name}")).map(String::as_str)
    }

    fn mtu(&self) -> Option<u32> {
        self.option("driver.mtu")?.parse().ok()
    }

    /// Whether containers in it may talk to each other.
    fn talks(&self) -> bool {
        self.option("bridge.enable_icc") != Some("false")
    }

    fn bridge(&self) -> Option<Bridge> {
        if self.settings.driver != BRIDGE || self.settings.interface.is_empty() {
            return None;
        }
        Some(Bridge {
            interface: self.settings.interface.clone(),
            subnet: self.subnet()?,
            gateway: self.gateway()?,
            six: self.subnet_six(),
            is_internal: self.settings.internal,
            masquerades: self.option("bridge.enable_ip_masquerade") != Some("false"),
            talks: self.talks(),
        })
    }
}

#[derive(Clone)]
pub struct Networks(Arc<Inner>);

struct Inner {
    store: Store,
    entropy: Arc<dyn Entropy>,
    /// One for each data folder: of the firewall, and of all else in the kernel.
    mark: String,
    /// Where containers find the cloud itself.
    doors: Vec<Door>,
    state: Mutex<State>,
    /// Held while the kernel is changed.
    kernel: Mutex<()>,
    /// Whether there is a table for IPv6.
    has_six: Mutex<bool>,
    /// Takes what leaves the networks, where those are not this machine's own.
    carried: Mutex<Option<Carried>>,
}

#[derive(Default)]
struct State {
    /// By id.
    networks: BTreeMap<String, Network>,
    /// Network and address to container.
    leases: BTreeMap<(String, IpAddr), String>,
    /// Leases that nobody needs any more, and whose links the kernel still has.
    leaving: BTreeSet<(String, IpAddr)>,
    /// Container and what it publishes.
    published: Vec<(String, Published)>,
    /// Bridges that are there.
    up: BTreeSet<String>,
    /// Whether this process has put a firewall in place.
    has_table: bool,
    /// Taken down: what still begins or ends makes nothing anew.
    is_down: bool,
}

impl Networks {
    /// Reads rows; the kernel is not touched.
    pub fn open(
        store: Store,
        entropy: Arc<dyn Entropy>,
        data: &Path,
        cloud: Option<SocketAddr>,
        default_six: bool,
    ) -> Result<Networks, Error> {
        let mark = mark_of(data);
        let mut networks = BTreeMap::new();
        let rows =
            store.read(|tx| tx.scan(&NETWORKS, &SCOPE).collect::<Result<Vec<_>, StoreError>>())?;
        for (id, row) in rows {
            let settings = serde_json::from_str(&row.settings)
                .map_err(|error| Error::failed(format!("the network {}: {error}", row.name)))?;
            let NetworkRow { name, created_ns, .. } = row;
            networks.insert(id.clone(), Network { id, name, created_ns, settings });
        }
        let state = State { networks, ..State::default() };
        let kernel = Mutex::new(());
        let doors = cloud.map(doors).unwrap_or_default();
        let (state, has_six) = (Mutex::new(state), Mutex::new(false));
        let carried = Mutex::new(None);
        let inner = Inner { store, entropy, mark, doors, state, kernel, has_six, carried };
        let networks = Networks(Arc::new(inner));
        networks.predefine();
        networks.give_default_six(default_six);
        Ok(networks)
    }

    /// The three that are always there. Only the bridge has anything to keep.
    fn predefine(&self) {
        let mut state = self.0.state.lock();
        for (name, driver) in [(BRIDGE, BRIDGE), ("host", "host"), ("none", "null")] {
            if state.networks.values().any(|network| network.name == name) {
                continue;
            }
            let id = Digest::of(format!("{} {name}", self.0.mark).as_bytes()).hex();
            let mut settings = Settings {
                name: name.to_owned(),
                driver: driver.to_owned(),
                scope: "local".to_owned(),
                ipam: Ipam { driver: "default".to_owned(), ..Ipam::default() },
                ..Settings::default()
            };
            if name == BRIDGE {
                for (option, value) in [
                    ("bridge.default_bridge", "true"),
                    ("bridge.enable_icc", "true"),
                    ("bridge.enable_ip_masquerade", "true"),
                    ("bridge.host_binding_ipv4", "0.0.0.0"),
                    ("driver.mtu", "1500"),
                ] {
                    let option = format!("com.docker.network.{option}");
                    settings.options.insert(option, value.to_owned());
                }
            }
            let network = Network {
                id: id.clone(),
                name: name.to_owned(),
                created_ns: time::now_ns(),
                settings,
            };
            state.networks.insert(id, network);
        }
    }

    /// Whether the default bridge has IPv6, which is said anew at each start.
    fn give_default_six(&self, enabled: bool) {
        let mut state = self.0.state.lock();
        if let Some(bridge) = state.networks.values_mut().find(|network| network.name == BRIDGE) {
            bridge.settings.enable_ipv6 = enabled;
            if !enabled {
                bridge.settings.ipam.config.retain(|pool| !pool.is_six());
            } else if bridge.pool_six().is_none() && bridge.subnet().is_some() {
                // It has its subnet from before, so nothing else gives it this one.
                bridge.settings.ipam.config.push(pools::local_six(&bridge.id));
            }
        }
    }

    pub fn list(&self) -> Vec<Network> {
        self.0.state.lock().networks.values().cloned().collect()
    }

    /// By id, name, or the beginning of an id.
    pub fn find(&self, text: &str) -> Result<Network, Error> {
        let state = self.0.state.lock();
        let pairs =
            state.networks.values().map(|network| (network.id.as_str(), network.name.as_str()));
        match names::find(text, pairs) {
            Found::One(id) => state.networks.get(&id).cloned().ok_or_else(|| no_such(text)),
            Found::None => Err(no_such(text)),
            Found::Many => Err(Error::invalid(format!("network {text} is ambiguous"))),
        }
    }

    /// Who has which address in a network: container to address.
    pub fn leases(&self, id: &str) -> BTreeMap<String, Ipv4Addr> {
        let state = self.0.state.lock();
        let own =
            state.leases.iter().filter(|(key, _)| key.0 == id && !state.leaving.contains(key));
        let four = own.filter_map(|((_, address), container)| match address {
            IpAddr::V4(address) => Some((container.clone(), *address)),
            IpAddr::V6(_) => None,
        });
        four.collect()
    }

    /// Who has an address in a network.
    fn holder(&self, id: &str, address: Ipv4Addr) -> Option<String> {
        self.0.state.lock().leases.get(&(id.to_owned(), address.into())).cloned()
    }

    fn has_cloud(&self) -> bool {
        !self.0.doors.is_empty()
    }

    /// Blocks. The network is there when it is on the disk; its bridge comes with its first use.
    pub fn create(&self, mut settings: Settings) -> Result<Network, Error> {
        self.check(&mut settings)?;
        let _kernel = self.0.kernel.lock();
        {
            let state = self.0.state.lock();
            if state.networks.values().any(|network| network.name == settings.name) {
                return Err(Error::conflict(format!(
                    "network with name {} already exists",
                    settings.name
                )));
            }
        }
        let id = names::new_id(&*self.0.entropy);
        let name = settings.name.clone();
        let mut network = Network { id: id.clone(), name, created_ns: time::now_ns(), settings };
        if network.settings.driver == BRIDGE {
            self.bring_up(&mut network)?;
        }
        self.keep(&network).inspect_err(|_| self.take_back(&network))?;
        self.0.state.lock().networks.insert(id, network.clone());
        self.apply_firewall()?;
        Ok(network)
    }

    fn check(&self, settings: &mut Settings) -> Result<(), Error> {
        // Anything else goes, as with Docker.
        if settings.name.trim().is_empty() {
            return Err(Error::invalid("invalid network name: name is empty"));
        }
        if matches!(settings.name.as_str(), BRIDGE | "host" | "none" | "default") {
            let name = &settings.name;
            let text = format!("operation is not permitted on predefined {name} network ");
            return Err(Error::new(Kind::Forbidden, text));
        }
        match settings.driver.as_str() {
            "" => BRIDGE.clone_into(&mut settings.driver),
            BRIDGE => {}
            "host" | "null" => {
                let driver = &settings.driver;
                let text = format!("only one instance of \"{driver}\" network is allowed");
                return Err(Error::new(Kind::Forbidden, text));
            }
            "overlay" => {
                return Err(Error::new(
                    Kind::Forbidden,
                    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker \
                     swarm join\" to connect this node to swarm and try again.",
                ));
            }
            driver @ ("macvlan" | "ipvlan") => {
                let text = format!("networks of driver {driver} are not done");
                return Err(Error::new(Kind::NotDone, text));
            }
            driver => {
                return Err(Error::not_found(format!(
                    "could not resolve driver {driver} in registry: plugin \"{driver}\" not found"
                )));
            }
        }
        for (is, what) in [
            (settings.config_only, "a configuration-only network"),
            (settings.ingress, "an ingress network"),
            (
                settings.ipam.config.iter().filter(|pool| !pool.is_six()).count() > 1,
                "more than one subnet",
            ),
            (
                settings.ipam.config.iter().filter(|pool| pool.is_six()).count() > 1,
                "more than one subnet of IPv6",
            ),
        ] {
            if is {
                return Err(Error::new(Kind::NotDone, format!("{what} is not done")));
            }
        }
        if !matches!(settings.ipam.driver.as_str(), "" | "default") {
            let driver = &settings.ipam.driver;
            return Err(Error::not_found(format!("could not find plugin {driver}")));
        }
        if let Some(option) =
            settings.options.keys().find(|option| !OPTIONS.contains(&option.as_str()))
        {
            return Err(Error::new(Kind::NotDone, format!("network option {option} is not done")));
        }
        (settings.is_any_subnet, settings.interface) = (false, String::new());
        "default".clone_into(&mut settings.ipam.driver);
        "local".clone_into(&mut settings.scope);
        for pool in &settings.ipam.config {
            match pool.is_six() {
                true => pools::check_six(pool, settings.enable_ipv6)?,
                false => pools::check(pool)?,
            }
        }
        Ok(())
    }

    fn keep(&self, network: &Network) -> Result<(), Error> {
        let row = NetworkRow {
            name: network.name.clone(),
            settings: serde_json::to_string(&network.settings).unwrap_or_default(),
            created_ns: network.created_ns,
        };
        block_on(self.0.store.write(|tx| tx.put(&NETWORKS, &SCOPE, &network.id, &row)))?;
        Ok(())
    }

    /// A bridge whose row cannot be written.
    fn take_back(&self, network: &Network) {
        self.0.state.lock().up.remove(&network.id);
        let _ = self.delete_bridge(&network.settings.interface);
    }

    pub(crate) fn delete_bridge(&self, name: &str) -> std::io::Result<()> {
        match name {
            "" => Ok(()),
            // Since it was away another may have that name.
            name => Links::open()?.delete_own(name, &claim::alias(&self.0.mark)),
        }
    }

    /// Blocks.
    pub fn remove(&self, text: &str) -> Result<Network, Error> {
        let network = self.find(text)?;
        if network.is_predefined() {
            let text = format!("{} is a pre-defined network and cannot be removed", network.name);
            return Err(Error::new(Kind::Forbidden, text));
        }
        let _kernel = self.0.kernel.lock();
        if !self.leases(&network.id).is_empty() {
            return Err(Error::new(
                Kind::Forbidden,
                format!(
                    "error while removing network: network {} has active endpoints",
                    network.name
                ),
            ));
        }
        block_on(self.0.store.write(|tx| {
            tx.mark_freeing();
            tx.delete(&NETWORKS, &SCOPE, &network.id)?;
            Ok::<_, StoreError>(())
        }))?;
        {
            let mut state = self.0.state.lock();
            state.networks.remove(&network.id);
            state.up.remove(&network.id);
        }
        self.apply_firewall()?;
        self.delete_bridge(&network.settings.interface)?;
        Ok(network)
    }

    /// Those whose rows went with a reset. Blocks.
    pub fn forget(&self) -> Result<(), Error> {
        for network in self.list().iter().filter(|network| !network.is_predefined()) {
            if !self.0.store.read(|tx| tx.exists(&NETWORKS, &SCOPE, &network.id))? {
                self.remove(&network.id)?;
            }
        }
        Ok(())
    }

    /// Makes the bridge if it is not there. Kernel lock held.
    fn bring_up(&self, network: &mut Network) -> Result<(), Error> {
        {
            let state = self.0.state.lock();
            if state.up.contains(&network.id) {
                return Ok(());
            }
            if state.is_down {
                return Err(Error::failed("the cloud is stopping"));
            }
        }
        let name = network.name.clone();
        let failed = |error: std::io::Error| {
            Error::failed(format!("cannot make the network {name}: {error}"))
        };
        // Another cloud on this machine may be looking for a subnet, too.
        let _machine = machine_lock();
        let mut links = Links::open().map_err(failed)?;
        let used = links.used().map_err(failed)?;
        let is_there = self.find_bridge(network, &mut links, &used).map_err(failed)?;
        if !is_there {
            self.settle(network, &used)?;
            let (Some(subnet), Some(gateway)) = (network.subnet(), network.gateway()) else {
                return Err(Error::failed(format!("the network {} has no subnet", network.name)));
            };
            let interface = network.settings.interface.clone();
            let six = network.subnet_six().zip(network.gateway_six());
            let bridge = NewBridge {
                name: &interface,
                provisional: &claim::provisional(&self.0.mark),
                alias: &claim::alias(&self.0.mark),
                address: gateway,
                subnet: &subnet,
                mtu: network.mtu(),
            };
            let made = links.new_bridge(&bridge).and_then(|index| match six {
                Some((subnet, gateway)) => {
                    let _ = sysctl(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "0");
                    links.add_address_six(index, gateway, &subnet)
                }
                None => Ok(()),
            });
            made.map_err(|error| {
                Error::failed(format!("cannot make the bridge {interface}: {error}"))
            })?;
        }
        if let (true, Some((subnet, gateway))) =
            (is_there, network.subnet_six().zip(network.gateway_six()))
            && !used.subnets_six.contains(&subnet)
            && let Some(index) = links.index(&network.settings.interface).map_err(failed)?
        {
            // One from before, when it had none.
            let off = format!("net/ipv6/conf/{}/disable_ipv6", network.settings.interface);
            let _ = sysctl(&off, "0");
            links.add_address_six(index, gateway, &subnet).map_err(failed)?;
        }
        sysctl("net/ipv4/ip_forward", "1")?;
        if network.subnet_six().is_some() {
            sysctl("net/ipv6/conf/all/forwarding", "1")?;
        }
        // Published ports are reached from this machine's loopback, too.
        sysctl(&format!("net/ipv4/conf/{}/route_localnet", network.settings.interface), "1")?;
        self.0.state.lock().up.insert(network.id.clone());
        Ok(())
    }

    /// Whether its bridge is there from before. A name that somebody else has by now is given up.
    fn find_bridge(
        &self,
        network: &mut Network,
        links: &mut Links,
        used: &net_sys::Used,
    ) -> std::io::Result<bool> {
        let name = network.settings.interface.clone();
        if name.is_empty() || !used.interfaces.contains(&name) {
            return Ok(false);
        }
        // Not the subnet decides: whoever took the name may have it from the same free ones.
        let own = links.with_alias(&claim::alias(&self.0.mark))?;
        let is_ours = own.iter().any(|link| link.name == name);
        if !is_ours {
            network.settings.interface.clear();
        }
        Ok(is_ours)
    }

    /// Gives it a subnet and the name of an interface, if it has none.
    fn settle(&self, network: &mut Network, used: &net_sys::Used) -> Result<(), Error> {
        let mut taken = used.subnets.clone();
        let others: Vec<Network> = self.list();
        taken.extend(others.iter().filter(|one| one.id != network.id).filter_map(Network::subnet));
        let overlaps = |subnet: &Subnet| taken.iter().any(|other| other.overlaps(subnet));
        // Nobody asked for that one, and while the bridge was away another cloud may have come.
        let is_any = network.name == BRIDGE || network.settings.is_any_subnet;
        let own = network.subnet().filter(|own| !is_any || !overlaps(own));
        match own {
            None => {
                let subnet = net::address::free_subnet(&taken).ok_or_else(|| {
                    Error::failed(
                        "could not find an available, non-overlapping IPv4 address pool among \
                         the defaults to assign to the network",
                    )
                })?;
                let pool = Pool {
                    subnet: subnet.to_string(),
                    gateway: subnet.first().to_string(),
                    ..Pool::default()
                };
                network.settings.ipam.config.retain(|pool| pool.is_six());
                network.settings.ipam.config.insert(0, pool);
                network.settings.is_any_subnet = true;
            }
            Some(subnet) => {
                if overlaps(&subnet) {
                    return Err(Error::new(
                        Kind::Forbidden,
                        "invalid pool request: Pool overlaps with other one on this address space",
                    ));
                }
                let first = subnet.first().to_string();
                let pools = network.settings.ipam.config.iter_mut();
                for pool in pools.filter(|pool| !pool.is_six() && pool.gateway.is_empty()) {
                    pool.gateway.clone_from(&first);
                }
            }
        }
        if network.settings.enable_ipv6 {
            pools::settle_six(network, used, &others)?;
        }
        if network.settings.interface.is_empty() {
            // Of the default one it says what it is called, and asks for nothing.
            let asked = network.option("bridge.name").filter(|_| network.name != BRIDGE);
            let asked = asked.map(str::to_owned);
            network.settings.interface = match (asked, network.name.as_str()) {
                (Some(name), _) if name.len() < 16 && !name.is_empty() => name,
                (Some(name), _) => {
                    return Err(Error::invalid(format!("invalid bridge name {name}")));
                }
                (None, BRIDGE) if !used.interfaces.iter().any(|n| n == DEFAULT_INTERFACE) => {
                    DEFAULT_INTERFACE.to_owned()
                }
                // Of its id; should one have that already, of what comes after it.
                (None, _) => (0..network.id.len())
                    .step_by(12)
                    .filter_map(|at| network.id.get(at..at + 12))
                    .map(|part| format!("br-{part}"))
                    .find(|name| !used.interfaces.contains(name))
                    .ok_or_else(|| Error::failed("no name is left for the network's bridge"))?,
            };
        }
        if network.name == BRIDGE {
            let option = "com.docker.network.bridge.name".to_owned();
            network.settings.options.insert(option, network.settings.interface.clone());
        }
        Ok(())
    }

    /// The default bridge, made if it is not there. Blocks.
    pub fn ensure_default(&self) -> Result<(), Error> {
        let _kernel = self.0.kernel.lock();
        let network = self.find(BRIDGE)?;
        self.ensure(&network).map(drop)
    }

    /// Kernel lock held.
    fn ensure(&self, network: &Network) -> Result<Network, Error> {
        // As it is now: since somebody looked for it, it may have been given its subnet, or removed.
        let mut network = {
            let state = self.0.state.lock();
            let now = state.networks.get(&network.id).cloned();
            let network = now.ok_or_else(|| no_such(&network.name))?;
            if state.up.contains(&network.id) {
                return Ok(network);
            }
            network
        };
        let before = network.settings.clone();
        self.bring_up(&mut network)?;
        if network.settings != before {
            self.keep(&network).inspect_err(|_| self.take_back(&network))?;
        }
        self.0.state.lock().networks.insert(network.id.clone(), network.clone());
        self.apply_firewall()?;
        Ok(network)
    }

    /// Puts the firewall in place that is wanted now. Kernel lock held.
    fn apply_firewall(&self) -> Result<(), Error> {
        let wanted = {
            let mut state = self.0.state.lock();
            if state.is_down {
                return Ok(());
            }
            state.has_table = true;
            let up = state.networks.values().filter(|network| state.up.contains(&network.id));
            Wanted {
                bridges: up.filter_map(Network::bridge).collect(),
                published: state.published.iter().map(|(_, one)| one.clone()).collect(),
                doors: self.0.doors.clone(),
                carried: *self.0.carried.lock(),
            }
        };
        let failed =
            |error: std::io::Error| Error::failed(format!("cannot set the firewall: {error}"));
        let table = claim::table(&self.0.mark);
        Firewall::new(&table).replace(&firewall::chains(&wanted)).map_err(failed)?;
        let six = firewall::chains_six(&wanted);
        let mut has_six = self.0.has_six.lock();
        match (six.is_empty(), *has_six) {
            (true, false) => return Ok(()),
            (true, true) => Firewall::six(&table).remove(),
            (false, _) => Firewall::six(&table).replace(&six),
        }
        .map_err(failed)?;
        *has_six = !six.is_empty();
        Ok(())
    }

    pub(crate) fn mark(&self) -> &str {
        &self.0.mark
    }

    /// Takes away what an engine with our mark has left that our rows do not know: its data folder was
    /// another. Blocks.
    pub(crate) fn clear_unknown(&self) {
        let _kernel = self.0.kernel.lock();
        let networks = self.list();
        let known: Vec<String> = networks
            .into_iter()
            .map(|network| network.settings.interface)
            .filter(|interface| !interface.is_empty())
            .collect();
        let _ = claim::clear(&self.0.mark, &known);
    }

    /// Nothing of ours is left in the kernel; `false` if somebody has an address yet, or already, unless that is
    /// to be passed over. Blocks.
    pub fn take_down(&self, at_any_rate: bool) -> bool {
        let _kernel = self.0.kernel.lock();
        let has_table = {
            let mut state = self.0.state.lock();
            // Who starts now would run without a network, and nobody would know.
            let stays = |lease| !state.leaving.contains(lease);
            if !at_any_rate && state.leases.keys().any(stays) {
                return false;
            }
            state.up.clear();
            state.is_down = true;
            state.has_table
        };
        // What was made by this process or by one before it, whatever it is called.
        if has_table || self.list().iter().any(|network| !network.settings.interface.is_empty()) {
            let _ = claim::clear(&self.0.mark, &[]);
        }
        true
    }

    /// Begins to carry what leaves the networks, if nothing else does.
    pub(crate) fn carry(&self) -> Result<(), Error> {
        if !net_sys::is_settled() || self.0.carried.lock().is_some() {
            return Ok(());
        }
        let carrier = carry::Carrier::open()?;
        *self.0.carried.lock() = Some(carrier.ports()?);
        let networks = Arc::downgrade(&self.0);
        carrier.serve(self.0.entropy.clone(), move || {
            let Some(inner) = networks.upgrade() else { return BTreeSet::new() };
            let state = inner.state.lock();
            state.networks.values().filter_map(Network::gateway).collect()
        })
    }

    /// Whether a container may be tied to the network like this.
    pub fn check_endpoint(&self, name: &str, settings: &EndpointSettings) -> Result<(), Error> {
        let network = self.find(name)?;
        let ipam = settings.ipam_config.clone().unwrap_or_default();
        let is_local = |text: &String| text.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_link_local());
        if let Some(other) = ipam.link_local_ips.iter().find(|text| !is_local(text)) {
            return Err(Error::invalid(format!("invalid link-local IP address: {other}")));
        }
        if !ipam.ipv6_address.is_empty() {
            pools::check_address_six(&network, &ipam.ipv6_address)?;
        }
        if !settings.mac_address.is_empty()
            && net::address::parse_mac(&settings.mac_address).is_none()
        {
            return Err(Error::invalid(format!("invalid MAC address: {}", settings.mac_address)));
        }
        if ipam.ipv4_address.is_empty() {
            return Ok(());
        }
        if network.is_predefined() {
            return Err(Error::invalid(
                "user specified IP address is supported on user defined networks only",
            ));
        }
        let address: Ipv4Addr = ipam
            .ipv4_address
            .parse()
            .map_err(|_| Error::invalid(format!("invalid IPv4 address: {}", ipam.ipv4_address)))?;
        match network.subnet().is_some_and(|subnet| subnet.contains(address)) {
            true => Ok(()),
            false => {
                Err(Error::invalid(format!("no configured subnet contains IP address {address}")))
            }
        }
    }
}

/// Of an engine: its data folder, in short.
pub(crate) fn mark_of(data: &Path) -> String {
    let whole = std::fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
    Digest::of(whole.display().to_string().as_bytes()).hex()[..8].to_owned()
}

/// Containers find the cloud at the same port everywhere, and at the one that it has.
fn doors(cloud: SocketAddr) -> Vec<Door> {
    let SocketAddr::V4(cloud) = cloud else { return Vec::new() };
    let ip = if cloud.ip().is_unspecified() { Ipv4Addr::LOCALHOST } else { *cloud.ip() };
    let to = SocketAddrV4::new(ip, cloud.port());
    let ports = BTreeSet::from([CLOUD_PORT, cloud.port()]);
    ports.into_iter().map(|port| Door { port, to }).collect()
}

fn no_such(text: &str) -> Error {
    Error::not_found(format!("network {text} not found"))
}

/// One at a time on this machine, as long as it is held.
fn machine_lock() -> Option<rustix::fd::OwnedFd> {
    use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = openat(CWD, "/run/cumulet-networks.lock", flags, Mode::from_raw_mode(0o600)).ok()?;
    flock(&file, FlockOperation::LockExclusive).ok()?;
    Some(file)
}

fn sysctl(path: &str, value: &str) -> Result<(), Error> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use std::io::Write;
    let whole = format!("/proc/sys/{path}");
    let set = net_sys::at_home(|| {
        if crate::sys::cgroup::read(&whole).is_some_and(|now| now.trim() == value) {
            return Ok(());
        }
        let file = openat(CWD, &whole, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        std::fs::File::from(file).write_all(value.as_bytes())
    });
    set.map_err(|error| Error::failed(format!("cannot set {path} to {value}: {error}")))
}
