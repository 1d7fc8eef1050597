//! `/networks`.

use crate::filters::Filters;
use crate::reply::{self, Reply};
use crate::route::{Call, not_done};
use crate::types::Pruned;
use engine::config::{EndpointSettings, nullable};
use engine::network::{Ipam, Network, Settings};
use engine::{Engine, Error, blocking, time};
use http::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct View {
    name: String,
    id: String,
    created: String,
    scope: String,
    driver: String,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: bool,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_from: ConfigFrom,
    config_only: bool,
    containers: BTreeMap<String, Member>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFrom {
    network: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
}

fn view(engine: &Engine, network: Network, with_members: bool) -> View {
    let mut containers = BTreeMap::new();
    for container in engine.containers().iter().filter(|_| with_members) {
        let state = container.state();
        let Some(endpoint) = state.endpoints.get(&network.name) else { continue };
        let running = state.pid != 0;
        if !running {
            continue;
        }
        let address = match endpoint.ip_address.as_str() {
            "" => String::new(),
            address => format!("{address}/{}", endpoint.ip_prefix_len),
        };
        let member = Member {
            name: state.name.clone(),
            endpoint_id: endpoint.endpoint_id.clone(),
            mac_address: endpoint.mac_address.clone(),
            ipv4_address: address,
            ipv6_address: match endpoint.global_ipv6_address.as_str() {
                "" => String::new(),
                address => format!("{address}/{}", endpoint.global_ipv6_prefix_len),
            },
        };
        containers.insert(container.id.clone(), member);
    }
    let Settings { driver, scope, ipam, internal, attachable, ingress, options, labels, .. } =
        network.settings;
    View {
        name: network.name,
        id: network.id,
        created: time::rfc3339_nano(network.created_ns),
        scope,
        driver,
        enable_ipv4: true,
        enable_ipv6: network.settings.enable_ipv6,
        ipam,
        internal,
        attachable,
        ingress,
        config_from: ConfigFrom { network: "" },
        config_only: false,
        containers,
        options,
        labels,
    }
}

pub async fn route(call: Call, method: &Method, rest: &[&str], path: &str) -> Reply {
    match (method.as_str(), rest) {
        ("GET", []) => list(call).await,
        ("POST", ["create"]) => create(call).await,
        ("POST", ["prune"]) => prune(call).await,
        ("GET", [id]) => inspect(call, id).await,
        ("DELETE", [id]) => remove(call, id).await,
        ("POST", [id, "connect"]) => connect(call, id).await,
        ("POST", [id, "disconnect"]) => disconnect(call, id).await,
        _ => not_done(method, path),
    }
}

/// The default bridge shows its subnet, so it is made now if it can be.
async fn with_default(engine: &Engine) {
    let networks = engine.networks().clone();
    if let Err(error) = blocking(move || networks.ensure_default()).await {
        tracing::info!(%error, "no default bridge");
    }
}

async fn list(call: Call) -> Reply {
    let filters = Filters::parse(call.query.text("filters"), FILTERS)?;
    let dangling = filters.flag("dangling")?;
    let engine = call.engine();
    with_default(engine).await;
    let keep = |network: &Network| {
        filters.any("name", |name| network.name.contains(name))
            && filters.any("id", |id| network.id.starts_with(id))
            && filters.any("driver", |driver| network.settings.driver == driver)
            && filters.any("scope", |scope| network.settings.scope == scope)
            && filters.any("type", |kind| (kind == "builtin") == network.is_predefined())
            && filters.labels(&network.settings.labels)
            && dangling.is_none_or(|wanted| {
                let unused = !network.is_predefined() && is_unused(engine, network);
                unused == wanted
            })
    };
    let networks: Vec<View> = engine
        .networks()
        .list()
        .into_iter()
        .filter(keep)
        .map(|network| view(engine, network, false))
        .collect();
    reply::json(&networks)
}

fn is_unused(engine: &Engine, network: &Network) -> bool {
    !engine.containers().iter().any(|one| one.state().endpoints.contains_key(&network.name))
}

async fn inspect(call: Call, id: &str) -> Reply {
    let engine = call.engine();
    if engine.networks().find(id)?.name == "bridge" {
        with_default(engine).await;
    }
    reply::json(&view(engine, engine.networks().find(id)?, true))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Create {
    #[serde(flatten)]
    settings: Settings,
    #[serde(rename = "EnableIPv4")]
    enable_ipv4: Option<bool>,
    config_from: Option<serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
    warning: &'static str,
}

async fn create(call: Call) -> Reply {
    let engine = call.engine().clone();
    let create: Create = call.document().await?;
    let not_done = |what: &str| Error::new(engine::Kind::NotDone, format!("{what} is not done"));
    if create.enable_ipv4 == Some(false) {
        return Err(not_done("a network without IPv4"));
    }
    let from = create.config_from.as_ref().and_then(|from| from["Network"].as_str());
    if from.is_some_and(|from| !from.is_empty()) {
        return Err(not_done("ConfigFrom"));
    }
    let networks = engine.networks().clone();
    let network = blocking(move || networks.create(create.settings)).await?;
    event(&engine, &network, "create");
    reply::created(&Created { id: network.id, warning: "" })
}

fn event(engine: &Engine, network: &Network, action: &str) {
    let about = BTreeMap::from([
        ("name".to_owned(), network.name.clone()),
        ("type".to_owned(), network.settings.driver.clone()),
    ]);
    engine.tell("network", action, &network.id, about);
}

async fn remove(call: Call, id: &str) -> Reply {
    let engine = call.engine().clone();
    let (networks, id) = (engine.networks().clone(), id.to_owned());
    let network = blocking(move || networks.remove(&id)).await?;
    event(&engine, &network, "destroy");
    reply::nothing()
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Connect {
    #[serde(deserialize_with = "nullable")]
    container: String,
    #[serde(deserialize_with = "nullable")]
    endpoint_config: EndpointSettings,
}

async fn connect(call: Call, id: &str) -> Reply {
    let engine = call.engine().clone();
    engine.networks().find(id)?;
    let Connect { container, endpoint_config, .. } = call.document().await?;
    let container = engine.find(&container)?;
    engine.connect(id, &container, endpoint_config).await?;
    reply::ok()
}

async fn disconnect(call: Call, id: &str) -> Reply {
    let engine = call.engine().clone();
    engine.networks().find(id)?;
    // `Force` is for containers of other engines in a network, of which there are none.
    let Connect { container, .. } = call.document().await?;
    let container = engine.find(&container)?;
    engine.disconnect(id, &container).await?;
    reply::ok()
}

async fn prune(call: Call) -> Reply {
    let filters = Filters::parse(call.query.text("filters"), &["label", "label!", "until"])?;
    let until = crate::containers::until(&filters)?;
    let engine = call.engine().clone();
    let mut deleted = Vec::new();
    for network in engine.networks().list() {
        let keep = network.is_predefined()
            || !is_unused(&engine, &network)
            || !filters.labels(&network.settings.labels)
            || network.created_ns > until;
        if keep {
            continue;
        }
        let (networks, id) = (engine.networks().clone(), network.id.clone());
        if blocking(move || networks.remove(&id)).await.is_ok() {
            event(&engine, &network, "destroy");
            deleted.push(network.name);
        }
    }
    reply::json(&Pruned { networks_deleted: Some(deleted), ..Pruned::default() })
}
