//! Making a container: what the client asked for and what the image says become one document.

use super::{Container, Documents};
use crate::config::{Config, CreateRequest, EndpointSettings, Healthcheck};
use crate::engine::{Engine, SCOPE, blocking};
use crate::error::Error;
use crate::image::Image;
use crate::launch;
use crate::names;
use crate::rows::{CONTAINERS, ContainerRow};
use crate::{time, validate};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::StoreError;

/// Attempts to find a name that nobody has.
const NAMES_TRIED: u32 = 16;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Created {
    pub id: String,
    pub warnings: Vec<String>,
}

/// A name that is kept free while a container is made.
struct Reserved<'a> {
    engine: &'a Engine,
    name: String,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.engine.0.names.lock().remove(&self.name);
    }
}

impl Engine {
    pub async fn create(
        &self,
        name: Option<&str>,
        mut request: CreateRequest,
    ) -> Result<Created, Error> {
        validate::create(&request)?;
        if self.remaps() {
            validate::remapped(&request.host_config)?;
        }
        if request.config.image.is_empty() {
            return Err(Error::invalid("no image specified"));
        }
        let (images, wanted) = (self.0.images.clone(), request.config.image.clone());
        let image = blocking(move || images.find(&wanted)).await?;
        merge(&mut request.config, &image);
        let has_command = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
        if !has_command(&request.config.cmd) && !has_command(&request.config.entrypoint) {
            return Err(Error::invalid("no command specified"));
        }
        self.normalise(&mut request)?;
        let warnings = self.leave_out(&mut request.host_config.resources);
        self.check_available(&request.host_config.resources)?;
        let id = names::new_id(&*self.0.entropy);
        let reserved = self.reserve(name)?;
        let mounts = self.resolve_mounts(&request).await?;
        let endpoints = self.wanted_endpoints(&request, &id)?;
        let folder = self.folder(&id);
        std::fs::create_dir_all(folder.join("upper"))?;
        let row = ContainerRow {
            name: reserved.name.clone(),
            created_ns: time::now_ns(),
            image: image.id.clone(),
            config: String::new(),
            host_config: String::new(),
            mounts: String::new(),
            endpoints: String::new(),
            started_ns: 0,
            finished_ns: 0,
            exit_code: 0,
            out_of_memory: false,
            error: String::new(),
            wanted: false,
            restarts: 0,
            ports: String::new(),
        };
        let step_env = request.step.map(|step| step.env).unwrap_or_default();
        let (config, host) = (request.config, request.host_config);
        let ports = Default::default();
        let documents = Documents { config, host, mounts, endpoints, ports };
        let mut container = Container::new(id.clone(), &row, documents);
        container.step_env = step_env;
        let container = Arc::new(container);
        let row = container.row(&container.state());
        let stored = self.0.store.write(|tx| {
            // Removed between the look and now, it takes its layers with it.
            if !tx.exists(&crate::rows::IMAGES, &SCOPE, &image.id)? {
                return Ok(false);
            }
            tx.put(&CONTAINERS, &SCOPE, &id, &row)?;
            Ok::<_, StoreError>(true)
        });
        self.0.containers.write().insert(id.clone(), container.clone());
        match stored.await {
            Ok(true) => {}
            other => {
                self.0.containers.write().remove(&id);
                let _ = std::fs::remove_dir_all(&folder);
                other?;
                return Err(Error::not_found(format!("No such image: {}", container.config.image)));
            }
        }
        drop(reserved);
        self.event(&container, "create", &[]);
        Ok(Created { id, warnings })
    }

    fn reserve(&self, wanted: Option<&str>) -> Result<Reserved<'_>, Error> {
        let wanted = wanted.filter(|name| !name.is_empty());
        if let Some(name) = wanted {
            let name = name.strip_prefix('/').unwrap_or(name);
            if !names::is_name(name) {
                return Err(Error::invalid(format!(
                    "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
                )));
            }
            return self.take_name(name).map(|()| Reserved { engine: self, name: name.to_owned() });
        }
        for round in 0..NAMES_TRIED {
            let name = names::random_name(&*self.0.entropy, round);
            if self.take_name(&name).is_ok() {
                return Ok(Reserved { engine: self, name });
            }
        }
        Err(Error::failed("no free name was found"))
    }

    pub(crate) fn take_name(&self, name: &str) -> Result<(), Error> {
        let mut reserved = self.0.names.lock();
        let containers = self.0.containers.read();
        let holder = containers.values().find(|one| one.name() == name).map(|one| one.id.clone());
        let holder = holder.or_else(|| reserved.contains(name).then(|| "being created".to_owned()));
        if let Some(holder) = holder {
            return Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \
                 \"{holder}\". You have to remove (or rename) that container to be able to reuse \
                 that name."
            )));
        }
        reserved.insert(name.to_owned());
        Ok(())
    }

    /// What is left open is filled in as Docker shows it.
    fn normalise(&self, request: &mut CreateRequest) -> Result<(), Error> {
        let host = &mut request.host_config;
        let or = |text: &mut String, default: &str| {
            if text.is_empty() {
                default.clone_into(text);
            }
        };
        or(&mut host.network_mode, "bridge");
        if host.network_mode == "default" {
            host.network_mode = "bridge".to_owned();
        }
        or(&mut host.ipc_mode, "private");
        or(&mut host.cgroupns_mode, if self.cgroup_version() == "2" { "private" } else { "host" });
        or(&mut host.log_config.kind, "json-file");
        or(&mut host.restart_policy.name, "no");
        or(&mut host.runtime, "runc");
        if host.shm_size == 0 {
            host.shm_size = launch::SHM_BYTES;
        }
        let unconfined = launch::Security::parse(host)?.systempaths_unconfined;
        match host.privileged || unconfined {
            true => {
                host.masked_paths = Some(Vec::new());
                host.readonly_paths = Some(Vec::new());
            }
            false => {
                host.masked_paths.get_or_insert_with(launch::default_masked_paths);
                host.readonly_paths.get_or_insert_with(launch::default_readonly_paths);
            }
        }
        if host.network_mode.starts_with("container:") {
            let with = |port: bool| {
                let text =
                    "conflicting options: port publishing and the container type network mode";
                if port { Err(Error::invalid(text)) } else { Ok(()) }
            };
            with(!host.port_bindings.is_empty() || host.publish_all_ports)?;
            if !request.config.hostname.is_empty() {
                return Err(Error::invalid("conflicting options: hostname and the network mode"));
            }
        }
        for port in host.port_bindings.keys() {
            request.config.exposed_ports.entry(port.clone()).or_default();
        }
        Ok(())
    }

    /// The networks that it is to be in: by mode, and by name.
    fn wanted_endpoints(
        &self,
        request: &CreateRequest,
        id: &str,
    ) -> Result<BTreeMap<String, EndpointSettings>, Error> {
        let mode = request.host_config.network_mode.as_str();
        let mut endpoints = BTreeMap::new();
        if request.config.network_disabled {
            return Ok(endpoints);
        }
        let mut names: Vec<String> = Vec::new();
        match mode {
            "host" | "none" => names.push(mode.to_owned()),
            mode if mode.starts_with("container:") => {
                self.find(mode.trim_start_matches("container:"))?;
                return Ok(endpoints);
            }
            mode => names.push(self.0.networks.find(mode)?.name),
        }
        for asked in request.networking_config.endpoints_config.keys() {
            let name = match asked.as_str() {
                "default" => "bridge".to_owned(),
                name => self.0.networks.find(name)?.name,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let asked = request.networking_config.endpoints_config.iter().find(|(asked, _)| {
                **asked == name || self.0.networks.find(asked).is_ok_and(|found| found.name == name)
            });
            let mut settings = asked.and_then(|(_, settings)| settings.clone()).unwrap_or_default();
            self.0.networks.check_endpoint(&name, &settings)?;
            if !matches!(name.as_str(), "bridge" | "host" | "none") {
                let mut names = settings.aliases.clone().unwrap_or_default();
                names.push(id[..12].to_owned());
                settings.dns_names = Some(names);
            }
            if settings.mac_address.is_empty() {
                settings.mac_address.clone_from(&request.config.mac_address);
            }
            endpoints.insert(name, settings);
        }
        Ok(endpoints)
    }
}

/// What the client leaves open, the image says.
fn merge(config: &mut Config, image: &Image) {
    let from = image.run_config();
    if config.user.is_empty() {
        config.user = from.user;
    }
    for (port, nothing) in from.exposed_ports {
        config.exposed_ports.entry(port).or_insert(nothing);
    }
    let name_of = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let own: Vec<String> = config.env.iter().map(|entry| name_of(entry)).collect();
    let mut env: Vec<String> =
        from.env.into_iter().filter(|entry| !own.contains(&name_of(entry))).collect();
    // A name alone takes away what the image says, and is kept to say so.
    env.extend(config.env.iter().cloned());
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.push(launch::DEFAULT_PATH.to_owned());
    }
    // As Docker does: the client's own first, then the image's.
    let (mine, others): (Vec<_>, Vec<_>) =
        env.into_iter().partition(|entry| own.contains(&name_of(entry)));
    config.env = mine.into_iter().chain(others).collect();
    for (key, value) in from.labels {
        config.labels.entry(key).or_insert(value);
    }
    // An entry point of the client's own makes the image's command meaningless.
    let entrypoint = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
    if !entrypoint(&config.entrypoint) {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            config.cmd = from.cmd;
        }
        if config.entrypoint.is_none() {
            config.entrypoint = from.entrypoint;
        }
    }
    // `--entrypoint ""` arrives as one empty word.
    if config.entrypoint.as_ref().is_some_and(|list| list == &[String::new()]) {
        config.entrypoint = None;
    }
    if config.working_dir.is_empty() {
        config.working_dir = from.working_dir;
    }
    if config.stop_signal.is_empty() {
        config.stop_signal = from.stop_signal;
    }
    if config.stop_timeout.is_none() {
        config.stop_timeout = from.stop_timeout;
    }
    if config.shell.is_none() {
        config.shell = from.shell;
    }
    if let Some(volumes) = from.volumes {
        config.volumes.get_or_insert_default().extend(volumes);
    }
    merge_health(&mut config.healthcheck, from.healthcheck);
}

fn merge_health(own: &mut Option<Healthcheck>, from: Option<Healthcheck>) {
    let Some(from) = from else { return };
    let Some(own) = own else {
        *own = Some(from);
        return;
    };
    if own.test.is_empty() {
        own.test = from.test;
    }
    for (own, from) in [
        (&mut own.interval, from.interval),
        (&mut own.timeout, from.timeout),
        (&mut own.start_period, from.start_period),
        (&mut own.start_interval, from.start_interval),
        (&mut own.retries, from.retries),
    ] {
        if *own == 0 {
            *own = from;
        }
    }
}
