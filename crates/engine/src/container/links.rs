//! Links: names that one container has for another, and what it is told of it in its environment.
//!
//! Docker's way from before networks had names; only the default bridge's containers are told so.

use super::Container;
use crate::engine::Engine;
use crate::error::Error;
use crate::launch::list;
use crate::network::BRIDGE;
use std::sync::Arc;

/// Variables of the other one that say nothing of its service.
const NOT_TOLD: [&str; 2] = ["HOME", "PATH"];

impl Engine {
    /// What a container hears of those that it links to.
    pub(super) fn link_environment(&self, container: &Container) -> Vec<String> {
        let (links, is_default) = {
            let state = container.state();
            (list(&state.host.links).to_vec(), state.endpoints.contains_key(BRIDGE))
        };
        let mut env = Vec::new();
        for link in links.iter().filter(|_| is_default) {
            let (target, alias) = link.split_once(':').unwrap_or((link, link));
            let Ok(other) = self.find(target.trim_start_matches('/')) else { continue };
            let address = {
                let state = other.state();
                state.endpoints.get(BRIDGE).map(|endpoint| endpoint.ip_address.clone())
            };
            let Some(address) = address.filter(|address| !address.is_empty()) else { continue };
            env.extend(told(&container.name(), alias, &other, &address));
        }
        env
    }

    /// The other container stays as it is.
    pub async fn unlink(&self, container: &Arc<Container>, alias: &str) -> Result<(), Error> {
        let _turn = container.turn.lock().await;
        {
            let mut state = container.state();
            let links = state.host.links.get_or_insert_default();
            let before = links.len();
            links
                .retain(|link| link.split_once(':').map_or(link.as_str(), |(_, own)| own) != alias);
            if links.len() == before {
                let text = format!("no such link: /{}/{alias}", state.name);
                return Err(Error::not_found(text));
            }
        }
        self.save(container).await
    }
}

fn told(own: &str, alias: &str, other: &Container, address: &str) -> Vec<String> {
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    let prefix = alias.replace('-', "_").to_ascii_uppercase();
    let mut env = Vec::new();
    let mut ports: Vec<(u16, String)> = other
        .config
        .exposed_ports
        .keys()
        .filter_map(|port| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            Some((number.parse().ok()?, protocol.to_owned()))
        })
        .collect();
    ports.sort();
    if let Some((number, protocol)) = ports.first() {
        env.push(format!("{prefix}_PORT={protocol}://{address}:{number}"));
    }
    for (number, protocol) in ports {
        let one = format!("{prefix}_PORT_{number}_{}", protocol.to_ascii_uppercase());
        env.push(format!("{one}={protocol}://{address}:{number}"));
        env.push(format!("{one}_ADDR={address}"));
        env.push(format!("{one}_PORT={number}"));
        env.push(format!("{one}_PROTO={protocol}"));
    }
    env.push(format!("{prefix}_NAME=/{own}/{alias}"));
    for entry in &other.config.env {
        let Some((name, value)) = entry.split_once('=') else { continue };
        if !NOT_TOLD.contains(&name) {
            env.push(format!("{prefix}_ENV_{name}={value}"));
        }
    }
    env
}
