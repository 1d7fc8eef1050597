//! What a client asks of a build.

use crate::caches::Caches;
use crate::context::Context;
use engine::Error;
use engine::config::{HostConfig, Resources, Ulimit};
use oci::Reference;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tags that are asked for, each once. Empty names are none.
pub fn tags<'n>(names: impl Iterator<Item = &'n str>) -> Result<Vec<Reference>, Error> {
    let mut tags = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        let tag = Reference::parse(name)
            .map_err(|error| Error::invalid(format!("invalid tag {name:?}: {error}")))?;
        if tag.digest.is_some() {
            return Err(Error::invalid("build tag cannot contain a digest"));
        }
        let tag = tag.with_default_tag();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// Where a name leads that the client gave a meaning.
#[derive(Clone, Debug)]
pub enum Named {
    Image(String),
    Context(Arc<Context>),
}

/// What only builds by BuildKit have.
#[derive(Clone, Debug)]
pub struct Kit {
    pub caches: Arc<Caches>,
    /// Stages for which nothing counts that was built before; with `no_cache` that is all.
    pub no_cache_stages: Vec<String>,
    pub contexts: BTreeMap<String, Named>,
    /// Before the ids of caches, so that others do not share them.
    pub cache_space: String,
    pub host_network: bool,
}

#[derive(Clone, Default, Debug)]
pub struct Options {
    /// The classic builder without.
    pub kit: Option<Kit>,
    /// In the context; empty is `Dockerfile`.
    pub dockerfile: String,
    pub tags: Vec<Reference>,
    /// Without a value it is one that the client does not have.
    pub args: BTreeMap<String, Option<String>>,
    pub labels: BTreeMap<String, String>,
    pub target: String,
    pub no_cache: bool,
    pub pull: bool,
    pub quiet: bool,
    /// Containers of steps that went well, and of those that did not.
    pub remove: bool,
    pub force_remove: bool,
    pub squash: bool,
    pub cache_from: Vec<String>,
    pub network: String,
    pub memory: i64,
    pub memory_swap: i64,
    pub cpu_shares: i64,
    pub cpu_period: i64,
    pub cpu_quota: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    pub shm_size: i64,
    pub ulimits: Option<Vec<Ulimit>>,
    pub extra_hosts: Option<Vec<String>>,
    /// Where the context comes from, if not with the request.
    pub remote: String,
}

impl Options {
    /// How containers of steps run.
    pub(crate) fn host(&self, network: Option<&str>) -> HostConfig {
        HostConfig {
            network_mode: network.unwrap_or(&self.network).to_owned(),
            shm_size: self.shm_size,
            extra_hosts: self.extra_hosts.clone(),
            annotations: BTreeMap::from([(engine::container::BUILD.to_owned(), String::new())]),
            resources: Resources {
                memory: self.memory,
                memory_swap: self.memory_swap,
                cpu_shares: self.cpu_shares,
                cpu_period: self.cpu_period,
                cpu_quota: self.cpu_quota,
                cpuset_cpus: self.cpuset_cpus.clone(),
                cpuset_mems: self.cpuset_mems.clone(),
                ulimits: self.ulimits.clone(),
                ..Resources::default()
            },
            ..HostConfig::default()
        }
    }
}
