//! Links of containers, and tying one to a network, or untying it, while it runs.

use super::join::link_name;
use super::partition::namespace_of;
use super::{BRIDGE, Network, Networks};
use crate::config::EndpointSettings;
use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::{Error, Kind};
use net::{Subnet, Subnet6};
use net_sys::Links;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

pub(super) struct Endpoint {
    pub bridge: String,
    pub name: String,
    pub address: Ipv4Addr,
    pub subnet: Subnet,
    pub gateway: Ipv4Addr,
    pub mac: [u8; 6],
    pub is_internal: bool,
    /// Reaches no other container of its network.
    pub is_apart: bool,
    pub mtu: Option<u32>,
    /// Further addresses, which lead nowhere beyond the network.
    pub link_local: Vec<Ipv4Addr>,
    pub six: Option<Six>,
}

/// Its place in a network of IPv6.
pub(super) struct Six {
    pub address: Ipv6Addr,
    pub subnet: Subnet6,
    pub gateway: Ipv6Addr,
}

/// Says what of it failed.
fn at<T>(what: impl std::fmt::Display, done: std::io::Result<T>) -> std::io::Result<T> {
    done.map_err(|error| std::io::Error::new(error.kind(), format!("{what}: {error}")))
}

impl Endpoint {
    /// Makes the pair and sets up its inner end.
    pub fn plug(
        &self,
        outside: &mut Links,
        inside: &mut Links,
        namespace: &OwnedFd,
        name: &str,
        leads_out: bool,
    ) -> std::io::Result<()> {
        let none = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let bridge = outside.index(&self.bridge).and_then(|found| found.ok_or_else(none));
        let bridge = at(&self.bridge, bridge)?;
        let pair = outside.new_pair(&self.name, bridge, name, self.mac, namespace, self.mtu);
        at(format_args!("link {} to {name}", self.name), pair)?;
        if self.is_apart {
            let end = outside.index(&self.name).and_then(|found| found.ok_or_else(none));
            at(&self.name, end.and_then(|end| outside.set_apart(end)))?;
        }
        let index = at(name, inside.index(name).and_then(|found| found.ok_or_else(none)))?;
        at(name, inside.set_up(index))?;
        at(self.address, inside.add_address(index, self.address, &self.subnet))?;
        for address in &self.link_local {
            if let Some(whole) = Subnet::new(Ipv4Addr::new(169, 254, 0, 0), 16) {
                at(address, inside.add_address(index, *address, &whole))?;
            }
        }
        if let Some(six) = &self.six {
            let path = format!("net/ipv6/conf/{name}/disable_ipv6");
            let _ = super::sysctl(&path, "0");
            at(six.address, inside.add_address_six(index, six.address, &six.subnet))?;
        }
        if leads_out && !self.is_internal {
            at(format_args!("route by {}", self.gateway), inside.add_default_route(self.gateway))?;
            if let Some(six) = &self.six {
                let routed = inside.add_default_route_six(six.gateway);
                at(format_args!("route by {}", six.gateway), routed)?;
            }
        }
        Ok(())
    }
}

impl Engine {
    pub async fn connect(
        &self,
        network: &str,
        container: &Arc<Container>,
        settings: EndpointSettings,
    ) -> Result<(), Error> {
        let network = self.0.networks.find(network)?;
        self.0.networks.check_endpoint(&network.name, &settings)?;
        let _turn = container.turn.lock().await;
        let mode = container.state().host.network_mode.clone();
        let forbid = |text: &str| Err(Error::new(Kind::Forbidden, text));
        if mode == "host" || network.name == "host" {
            return forbid(
                "container cannot be disconnected from host network or connected to host network",
            );
        }
        if mode.starts_with("container:") {
            return forbid(
                "container sharing network namespace with another container or host cannot be connected to any other network",
            );
        }
        if mode == "none" || network.name == "none" {
            return forbid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            );
        }
        if container.state().endpoints.contains_key(&network.name) {
            return forbid(&format!(
                "endpoint with name {} already exists in network {}",
                container.name(),
                network.name
            ));
        }
        let mut settings = settings;
        if !network.is_predefined() {
            let mut names = settings.aliases.clone().unwrap_or_default();
            names.push(container.short_id().to_owned());
            settings.dns_names = Some(names);
        }
        let run = container.state().run;
        if let Some(namespace) = namespace_of(container) {
            let (networks, id, one) =
                (self.0.networks.clone(), container.id.clone(), network.clone());
            let first = !container.state().endpoints.values().any(|e| !e.gateway.is_empty());
            let plugged =
                blocking(move || networks.plug(&one, &settings, &id, &namespace, first)).await;
            settings = plugged?;
        }
        container.state().endpoints.insert(network.name.clone(), settings);
        if container.state().run != run {
            // It ended meanwhile, and gave back what it had by then.
            self.leave_networks(container).await;
        }
        self.part_again(None).await?;
        self.name_others(container).await;
        self.save(container).await?;
        self.network_event(&network, "connect", container);
        Ok(())
    }

    /// A container that comes into its first network of the user's own finds the others by name.
    async fn name_others(&self, container: &Arc<Container>) {
        if container.state().resolver.is_some() {
            return;
        }
        let Some(namespace) = namespace_of(container) else { return };
        self.begin_resolver_in(container, namespace).await;
        if container.state().resolver.is_some() {
            let host = container.state().host.clone();
            let text = super::etc::resolv_conf(&host, &super::join::machine_resolv_conf(), true);
            // In its place: it is mounted in the container.
            let path = self.folder(&container.id).join("resolv.conf");
            let _ = crate::container::write_file(&path, &text);
        }
    }

    pub async fn disconnect(&self, network: &str, container: &Arc<Container>) -> Result<(), Error> {
        let network = self.0.networks.find(network)?;
        let _turn = container.turn.lock().await;
        let endpoint = container.state().endpoints.get(&network.name).cloned();
        let Some(endpoint) = endpoint else {
            return Err(Error::new(
                Kind::Forbidden,
                format!("container {} is not connected to network {}", container.id, network.name),
            ));
        };
        if network.name == "host" {
            return Err(Error::new(
                Kind::Forbidden,
                "container cannot be disconnected from host network or connected to host network",
            ));
        }
        let (networks, id) = (self.0.networks.clone(), container.id.clone());
        blocking(move || {
            let published = networks.begin_leaving(&id, std::iter::once(&endpoint));
            networks.leave(&id, std::iter::once(&endpoint), published);
            Ok(())
        })
        .await?;
        container.state().endpoints.remove(&network.name);
        self.part_again(None).await?;
        self.save(container).await?;
        self.network_event(&network, "disconnect", container);
        Ok(())
    }

    fn network_event(&self, network: &Network, action: &str, container: &Container) {
        let about = BTreeMap::from([
            ("name".to_owned(), network.name.clone()),
            ("type".to_owned(), network.settings.driver.clone()),
            ("container".to_owned(), container.id.clone()),
        ]);
        self.tell("network", action, &network.id, about);
    }
}

impl Networks {
    /// Blocks.
    fn plug(
        &self,
        network: &Network,
        settings: &EndpointSettings,
        container: &str,
        namespace: &OwnedFd,
        leads_out: bool,
    ) -> Result<EndpointSettings, Error> {
        let _kernel = self.0.kernel.lock();
        debug_assert_eq!(network.settings.driver, BRIDGE);
        let network = self.ensure(network)?;
        let (end, shown) = self.lease(&network, settings, container)?;
        let mut outside = Links::open()?;
        let plugged = net_sys::inside(namespace, || {
            let mut inside = Links::open()?;
            let mut name = String::new();
            for n in 0..100 {
                name = format!("eth{n}");
                if inside.index(&name)?.is_none() {
                    break;
                }
            }
            end.plug(&mut outside, &mut inside, namespace, &name, leads_out)
        });
        if let Err(error) = plugged {
            let _ = outside.delete(&link_name(&shown.endpoint_id));
            let mut state = self.0.state.lock();
            state.leases.remove(&(network.id.clone(), end.address.into()));
            if let Some(six) = &end.six {
                state.leases.remove(&(network.id.clone(), six.address.into()));
            }
            return Err(Error::failed(format!("cannot connect the container: {error}")));
        }
        Ok(shown)
    }
}
