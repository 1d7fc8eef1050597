//! `/volumes`.

use crate::filters::Filters;
use crate::reply::{self, Reply};
use crate::route::{Call, not_done};
use crate::types::Pruned;
use engine::config::nullable;
use engine::volume::Volume;
use engine::{blocking, time};
use http::Method;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct View {
    created_at: String,
    driver: &'static str,
    labels: Option<BTreeMap<String, String>>,
    mountpoint: String,
    name: String,
    options: Option<BTreeMap<String, String>>,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_data: Option<Usage>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Usage {
    pub size: u64,
    pub ref_count: usize,
}

pub fn view(volume: Volume) -> View {
    let some = |map: BTreeMap<String, String>| Some(map).filter(|map| !map.is_empty());
    View {
        created_at: time::rfc3339_nano(volume.created_ns / 1_000_000_000 * 1_000_000_000),
        driver: "local",
        labels: some(volume.labels),
        mountpoint: volume.mountpoint.display().to_string(),
        name: volume.name,
        options: some(volume.options),
        scope: "local",
        usage_data: None,
    }
}

pub async fn route(call: Call, method: &Method, rest: &[&str], path: &str) -> Reply {
    match (method.as_str(), rest) {
        ("GET", []) => list(&call),
        ("POST", ["create"]) => create(call).await,
        ("POST", ["prune"]) => prune(call).await,
        ("GET", [name]) => reply::json(&view(call.engine().find_volume(name)?)),
        ("DELETE", [name]) => {
            call.engine().remove_volume(name, call.query.flag("force")).await?;
            reply::nothing()
        }
        _ => not_done(method, path),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    volumes: Vec<View>,
    warnings: Option<Vec<String>>,
}

fn list(call: &Call) -> Reply {
    let known = ["dangling", "driver", "label", "name"];
    let filters = Filters::parse(call.query.text("filters"), &known)?;
    let dangling = filters.flag("dangling")?;
    let engine = call.engine();
    let keep = |volume: &Volume| {
        filters.any("driver", |driver| driver == "local")
            && filters.any("name", |name| volume.name.contains(name))
            && filters.labels(&volume.labels)
            && dangling.is_none_or(|wanted| engine.volume_users(&volume.name).is_empty() == wanted)
    };
    let volumes = engine.volumes()?.into_iter().filter(keep).map(view).collect();
    reply::json(&List { volumes, warnings: None })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Create {
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    driver: String,
    #[serde(deserialize_with = "nullable")]
    driver_opts: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
}

async fn create(call: Call) -> Reply {
    let engine = call.engine().clone();
    let Create { name, driver, driver_opts, labels } = call.document().await?;
    reply::created(&view(engine.create_volume(&name, &driver, &labels, &driver_opts).await?))
}

/// Those without a name, unless all are asked for.
async fn prune(call: Call) -> Reply {
    let filters = Filters::parse(call.query.text("filters"), &["all", "label", "label!"])?;
    let all = filters.flag("all")?.unwrap_or(call.version < (1, 42));
    let engine = call.engine();
    let mut pruned = Pruned { volumes_deleted: Some(Vec::new()), ..Pruned::default() };
    for volume in engine.volumes()? {
        if !(all || volume.is_anonymous) || !filters.labels(&volume.labels) {
            continue;
        }
        let path = volume.mountpoint.clone();
        let bytes = blocking(move || Ok(engine::container::folder_bytes(&path))).await?;
        if engine.remove_volume(&volume.name, false).await.is_ok() {
            pruned.space_reclaimed += bytes;
            pruned.volumes_deleted.get_or_insert_default().push(volume.name);
        }
    }
    reply::json(&pruned)
}
