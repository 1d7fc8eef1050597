//! Containers that do not reach each other, on purpose: a network that is cut in two.
//!
//! Each of a pair throws away what comes from the other's addresses, in a table of its own namespace and
//! before anything else sees it. So both wait for answers that never come, as they would. Tables are made
//! anew whenever a container comes to an address or leaves one; without pairs nothing is done.

use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::Error;
use net::firewall::partition;
use net_sys::Firewall;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// In the namespace of the container, where nobody else has one of this name.
const TABLE: &str = "cumulet-partition";

#[derive(Default)]
pub(crate) struct Partitions {
    /// By name or id, as they were given: a container that is made anew is cut off again.
    pairs: Vec<(String, String)>,
    /// Whose namespace has a table.
    parted: BTreeSet<String>,
}

/// What a container shall not hear of.
#[derive(Default)]
struct Unheard {
    four: BTreeSet<Ipv4Addr>,
    six: BTreeSet<Ipv6Addr>,
}

impl Unheard {
    fn add(&mut self, other: &Container) {
        for endpoint in other.state().endpoints.values() {
            self.four.extend(endpoint.ip_address.parse::<Ipv4Addr>());
            self.six.extend(endpoint.global_ipv6_address.parse::<Ipv6Addr>());
        }
    }
}

impl Engine {
    /// Why two containers cannot be parted, if they cannot.
    pub fn may_part(&self, one: &str, other: &str) -> Result<(), Error> {
        let both = [self.find(one)?, self.find(other)?];
        if both[0].id == both[1].id {
            return Err(Error::invalid(format!("{one} and {other} are one container")));
        }
        for container in both {
            let mode = container.state().host.network_mode.clone();
            if mode == "host" || mode == "none" || mode.starts_with("container:") {
                let name = container.name();
                let text = format!("{name} has no network of its own (it has {mode:?})");
                return Err(Error::invalid(text));
            }
        }
        Ok(())
    }

    /// From now on these pairs are parted, and no others.
    pub async fn part(&self, pairs: Vec<(String, String)>) -> Result<(), Error> {
        let mut partitions = self.0.partitions.lock().await;
        partitions.pairs = pairs;
        self.set_tables(&mut partitions, None).await
    }

    /// After addresses have changed. `starting` has a namespace already, and no process.
    pub(crate) async fn part_again(
        &self,
        starting: Option<(&Arc<Container>, &OwnedFd)>,
    ) -> Result<(), Error> {
        let mut partitions = self.0.partitions.lock().await;
        if partitions.pairs.is_empty() {
            return Ok(());
        }
        self.set_tables(&mut partitions, starting).await
    }

    async fn set_tables(
        &self,
        partitions: &mut Partitions,
        starting: Option<(&Arc<Container>, &OwnedFd)>,
    ) -> Result<(), Error> {
        let mut wanted: BTreeMap<String, Unheard> = BTreeMap::new();
        for (one, other) in &partitions.pairs {
            let (Ok(one), Ok(other)) = (self.find(one), self.find(other)) else { continue };
            wanted.entry(one.id.clone()).or_default().add(&other);
            wanted.entry(other.id.clone()).or_default().add(&one);
        }
        let all: BTreeSet<String> =
            partitions.parted.iter().chain(wanted.keys()).cloned().collect();
        for id in all {
            let namespace = match starting.filter(|(container, _)| container.id == id) {
                Some((_, namespace)) => Some(namespace.try_clone()?),
                None => self.find(&id).ok().and_then(|container| namespace_of(&container)),
            };
            // Its tables went with its namespace.
            let Some(namespace) = namespace else {
                partitions.parted.remove(&id);
                continue;
            };
            let Unheard { four, six } = wanted.remove(&id).unwrap_or_default();
            let is_empty = four.is_empty() && six.is_empty();
            blocking(move || {
                set_in(&namespace, &four, &six)
                    .map_err(|error| Error::failed(format!("cannot set the partition: {error}")))
            })
            .await?;
            match is_empty {
                true => partitions.parted.remove(&id),
                false => partitions.parted.insert(id),
            };
        }
        Ok(())
    }
}

/// Of one that runs in a namespace of its own.
pub(super) fn namespace_of(container: &Container) -> Option<OwnedFd> {
    let pid = container.state().pid;
    let path = format!("/proc/{pid}/ns/net");
    let namespace = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // It may have ended meanwhile, and its number be another's.
    (container.is_running() && container.state().pid == pid && pid > 0).then_some(namespace)
}

/// A table that is not wanted goes, whether or not this process has made it: an engine before may have.
fn set_in(
    namespace: impl AsFd + Sync,
    four: &BTreeSet<Ipv4Addr>,
    six: &BTreeSet<Ipv6Addr>,
) -> std::io::Result<()> {
    net_sys::inside(namespace, || {
        match partition(four) {
            chains if chains.is_empty() => Firewall::new(TABLE).remove()?,
            chains => Firewall::new(TABLE).replace(&chains)?,
        }
        match partition(six) {
            // Where the kernel knows no IPv6 there is none of that.
            chains if chains.is_empty() => drop(Firewall::six(TABLE).remove()),
            chains => Firewall::six(TABLE).replace(&chains)?,
        }
        Ok(())
    })
}
