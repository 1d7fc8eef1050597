//! `/build`: the classic builder.

use crate::body;
use crate::query::Query;
use crate::registries::Registries;
use crate::reply::{self, Reply};
use crate::route::Call;
use build::{Context, Options, Output, Outside};
use engine::{Error, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

const LINES: usize = 64;

pub async fn build(call: Call) -> Reply {
    let query = &call.query;
    if query.text("version") == "2" {
        return crate::kit::build(call).await;
    }
    let options = options(query)?;
    let registries = Registries::of(&call);
    let engine = call.engine().clone();
    let images = engine.images().clone();
    let context = match options.remote.is_empty() {
        true => {
            let body = call.request.into_body();
            let unpack = move |from| Context::unpack(&images, from);
            Some(body::with_reader(body, unpack).await?)
        }
        false => None,
    };
    let quiet = options.quiet;
    let outside: Arc<dyn Outside> = Arc::new(registries);
    let build = build::prepare(engine, outside, options, context).await?;
    let (to, lines) = mpsc::channel(LINES);
    engine::task(async move {
        let output = Output::new(to, quiet);
        if let Err(error) = build.run(&output).await {
            tracing::info!(target: "docker", error = error.text, "a build failed");
        }
    });
    reply::json_stream(lines)
}

pub fn document<T: DeserializeOwned + Default>(query: &Query, name: &str) -> Result<T, Error> {
    match query.text(name) {
        "" => Ok(T::default()),
        text => serde_json::from_str::<Option<T>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|error| Error::invalid(format!("error reading {name}: {error}"))),
    }
}

fn options(query: &Query) -> Result<Options, Error> {
    let tags = build::tags(query.all("t").iter().map(String::as_str))?;
    crate::containers::check_platform(query.text("platform"))?;
    for name in ["outputs", "securityopt", "cgroupparent", "session"] {
        if !["", "null", "[]"].contains(&query.text(name)) {
            return Err(Error::new(Kind::NotDone, format!("build with {name} is not done")));
        }
    }
    let hosts = hosts(query)?;
    let number = |name: &str| query.number::<i64>(name).map(Option::unwrap_or_default);
    Ok(Options {
        kit: None,
        dockerfile: query.text("dockerfile").to_owned(),
        tags,
        args: document(query, "buildargs")?,
        labels: document::<BTreeMap<String, String>>(query, "labels")?,
        target: query.text("target").to_owned(),
        no_cache: query.flag("nocache"),
        pull: query.flag("pull"),
        quiet: query.flag("q"),
        remove: query.get("rm").is_none() || query.flag("rm") || query.flag("forcerm"),
        force_remove: query.flag("forcerm"),
        squash: query.flag("squash"),
        cache_from: document(query, "cachefrom")?,
        network: query.text("networkmode").to_owned(),
        memory: number("memory")?,
        memory_swap: number("memswap")?,
        cpu_shares: number("cpushares")?,
        cpu_period: number("cpuperiod")?,
        cpu_quota: number("cpuquota")?,
        cpuset_cpus: query.text("cpusetcpus").to_owned(),
        cpuset_mems: query.text("cpusetmems").to_owned(),
        shm_size: number("shmsize")?,
        ulimits: document(query, "ulimits")?,
        extra_hosts: Some(hosts).filter(|hosts| !hosts.is_empty()),
        remote: query.text("remote").to_owned(),
    })
}

/// Each by itself, or all as one document.
pub fn hosts(query: &Query) -> Result<Vec<String>, Error> {
    let hosts = query.all("extrahosts");
    match hosts.as_slice() {
        [one] if one.starts_with('[') => document(query, "extrahosts"),
        _ => Ok(hosts),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    caches_deleted: Option<Vec<String>>,
    space_reclaimed: u64,
}

/// Steps of builds are images, and not meant; what steps mount as their caches is.
pub async fn prune(call: &Call) -> Reply {
    for name in ["filters", "keep-storage", "reserved-space", "max-used-space", "min-free-space"] {
        if !["", "{}", "0"].contains(&call.query.text(name)) {
            return Err(Error::new(Kind::NotDone, format!("prune with {name} is not done")));
        }
    }
    let caches = call.docker.kit.caches.clone();
    let gone = engine::blocking(move || caches.prune(|_| true)).await?;
    let space_reclaimed = gone.iter().map(|cache| cache.size_bytes).sum();
    let names: Vec<String> = gone.into_iter().map(|cache| cache.key).collect();
    let caches_deleted = Some(names).filter(|names| !names.is_empty());
    reply::json(&Pruned { caches_deleted, space_reclaimed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::Reference;

    #[test]
    fn what_is_asked_for() {
        let query = "t=a&t=b:1&buildargs=%7B%22x%22%3Anull%2C%22y%22%3A%221%22%7D&nocache=1&rm=0\
                     &memory=5&cachefrom=null&labels=%7B%22l%22%3A%22v%22%7D";
        let options = options(&Query::parse(query)).unwrap();
        let tags: Vec<String> = options.tags.iter().map(Reference::familiar).collect();
        assert_eq!(tags, ["a:latest", "b:1"]);
        assert_eq!(options.args.len(), 2);
        assert!(options.no_cache && !options.remove && options.memory == 5);
        assert_eq!(options.labels["l"], "v");
        for (bad, part) in [
            ("t=A", "invalid tag"),
            ("buildargs=x", "error reading buildargs"),
            ("memory=x", "memory"),
            ("outputs=%5B1%5D", "outputs is not done"),
        ] {
            let error = super::options(&Query::parse(bad)).unwrap_err();
            assert!(error.text.contains(part), "{bad}: {error}");
        }
    }
}
