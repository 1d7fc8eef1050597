//! `/containers`.

use crate::body::{self, Answer};
use crate::filters::Filters;
use crate::reply::{self, Reply, TAR, with};
use crate::route::Call;
use crate::types::Pruned;
use crate::view;
use base64::Engine as _;
use bytes::Bytes;
use engine::config::{CreateRequest, Resources, RestartPolicy, nullable};
use engine::container::{Container, Status, WaitFor};
use engine::logs::{Line, Options};
use engine::{Engine, Error, blocking, time};
use http::StatusCode;
use http::header::HeaderValue;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

const FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATUSES: [&str; 7] =
    ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created<'a> {
    id: &'a str,
    warnings: &'a [String],
}

pub async fn create(call: Call) -> Reply {
    let engine = call.engine().clone();
    let name = call.query.get("name").map(str::to_owned);
    check_platform(call.query.text("platform"))?;
    let request: CreateRequest = call.document().await?;
    let created = engine.create(name.as_deref(), request).await?;
    reply::created(&Created { id: &created.id, warnings: &created.warnings })
}

pub fn check_platform(platform: &str) -> Result<(), Error> {
    let own = engine::image::architecture();
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or(own));
    match (os, architecture) {
        ("" | "linux", architecture) if architecture == own => Ok(()),
        _ => {
            Err(Error::not_found(format!("no image found in this machine for platform {platform}")))
        }
    }
}

pub async fn list(call: Call) -> Reply {
    let filters = Filters::parse(call.query.text("filters"), FILTERS)?;
    for status in filters.get("status") {
        if !STATUSES.contains(&status.as_str()) {
            return Err(Error::invalid(format!("invalid filter 'status={status}'")));
        }
    }
    let limit = call.query.number::<i64>("limit")?.filter(|limit| *limit > 0);
    let all = call.query.flag("all") || limit.is_some() || filters.has("status");
    let size = call.query.flag("size");
    let engine = call.engine().clone();
    let summaries = blocking(move || {
        let mut found = matching(&engine, &filters, all)?;
        found.sort_by_key(|container| std::cmp::Reverse(container.created_ns));
        found.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(found.iter().map(|one| view::summary(&engine, one, size)).collect::<Vec<_>>())
    });
    reply::json(&summaries.await?)
}

fn matching(engine: &Engine, filters: &Filters, all: bool) -> Result<Vec<Arc<Container>>, Error> {
    let bound = |name: &str| -> Result<Option<i64>, Error> {
        let Some(text) = filters.get(name).first() else { return Ok(None) };
        Ok(Some(engine.find(text)?.created_ns))
    };
    let (before, since) = (bound("before")?, bound("since")?);
    let mut ancestors = Vec::new();
    for name in filters.get("ancestor") {
        // An image that is not there has no containers.
        ancestors.extend(engine.images().find(name).map(|image| image.id).ok());
    }
    let exited: Vec<i64> = filters
        .get("exited")
        .iter()
        .map(|code| {
            code.parse().map_err(|_| Error::invalid(format!("invalid filter 'exited={code}'")))
        })
        .collect::<Result<_, _>>()?;
    let keep = |one: &Arc<Container>| {
        let state = one.state();
        let running = matches!(state.status, Status::Running | Status::Paused | Status::Restarting);
        let ended = matches!(state.status, Status::Exited | Status::Dead) && state.started_ns > 0;
        let health = state.health.as_ref().map_or("none", |health| health.status.as_str());
        (all || running || filters.has("exited"))
            && before.is_none_or(|before| one.created_ns < before)
            && since.is_none_or(|since| one.created_ns > since)
            && (!filters.has("ancestor") || ancestors.contains(&one.image))
            && (exited.is_empty() || ended && exited.contains(&state.exit_code))
            && filters.any("id", |id| one.id.starts_with(id))
            && filters.any("name", |name| {
                let bare = name.trim_start_matches(['^', '/']).trim_end_matches('$');
                match name.starts_with('^') && name.ends_with('$') {
                    true => state.name == bare,
                    false => state.name.contains(bare),
                }
            })
            && filters.any("status", |status| state.status.as_str() == status)
            && filters.any("health", |wanted| wanted == health)
            && filters.any("network", |network| {
                state.endpoints.iter().any(|(name, endpoint)| {
                    name == network || endpoint.network_id.starts_with(network)
                })
            })
            && filters.any("volume", |volume| {
                one.mounts.iter().any(|point| point.name == volume || point.destination == volume)
            })
            && filters.any("publish", |port| publishes(&state.ports, port, true))
            && filters.any("expose", |port| publishes(&state.ports, port, false))
            && filters.any("is-task", |is| is == "false")
            && filters.labels(&one.config.labels)
    };
    Ok(engine.containers().into_iter().filter(keep).collect())
}

fn publishes(ports: &engine::network::Ports, wanted: &str, outside: bool) -> bool {
    let wanted_whole =
        if wanted.contains('/') { wanted.to_owned() } else { format!("{wanted}/tcp") };
    ports.iter().any(|(port, bindings)| match outside {
        true => bindings.iter().flatten().any(|binding| {
            let protocol = port.split('/').nth(1).unwrap_or("tcp");
            format!("{}/{protocol}", binding.host_port) == wanted_whole
        }),
        false => *port == wanted_whole,
    })
}

pub async fn inspect(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let (engine, size) = (call.engine().clone(), call.query.flag("size"));
    reply::json(&blocking(move || view::inspect(&engine, &container, size)).await?)
}

pub async fn start(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    call.engine().start(&container).await?;
    reply::nothing()
}

pub async fn stop(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let seconds = call.query.number("t")?;
    call.engine().stop(&container, call.query.get("signal"), seconds).await?;
    reply::nothing()
}

pub async fn restart(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let seconds = call.query.number("t")?;
    call.engine().restart(&container, call.query.get("signal"), seconds).await?;
    reply::nothing()
}

pub async fn kill(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    call.engine().kill(&container, call.query.text("signal")).await?;
    reply::nothing()
}

pub async fn pause(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    call.engine().pause(&container).await?;
    reply::nothing()
}

pub async fn unpause(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    call.engine().unpause(&container).await?;
    reply::nothing()
}

pub async fn rename(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    call.engine().rename(&container, call.query.text("name")).await?;
    reply::nothing()
}

/// What is 0 or absent stays as it is.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Update {
    #[serde(flatten)]
    resources: Resources,
    #[serde(deserialize_with = "nullable")]
    restart_policy: RestartPolicy,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Warnings {
    warnings: Option<Vec<String>>,
}

pub async fn update(call: Call, id: &str) -> Reply {
    let engine = call.engine().clone();
    let container = engine.find(id)?;
    let update: Update = call.document().await?;
    engine.update(&container, |resources, policy| merge(resources, policy, update)).await?;
    reply::json(&Warnings { warnings: None })
}

fn merge(resources: &mut Resources, policy: &mut RestartPolicy, update: Update) {
    let new = update.resources;
    for (old, new) in [
        (&mut resources.cpu_shares, new.cpu_shares),
        (&mut resources.memory, new.memory),
        (&mut resources.nano_cpus, new.nano_cpus),
        (&mut resources.cpu_period, new.cpu_period),
        (&mut resources.cpu_quota, new.cpu_quota),
        (&mut resources.memory_reservation, new.memory_reservation),
        (&mut resources.memory_swap, new.memory_swap),
    ] {
        if new != 0 {
            *old = new;
        }
    }
    if new.blkio_weight != 0 {
        resources.blkio_weight = new.blkio_weight;
    }
    if !new.cpuset_cpus.is_empty() {
        resources.cpuset_cpus = new.cpuset_cpus;
    }
    if !new.cpuset_mems.is_empty() {
        resources.cpuset_mems = new.cpuset_mems;
    }
    if new.pids_limit.is_some_and(|limit| limit != 0) {
        resources.pids_limit = new.pids_limit;
    }
    if !update.restart_policy.name.is_empty() {
        *policy = update.restart_policy;
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Waited {
    status_code: i64,
}

/// The head is sent at once: the client starts the container only after it.
pub fn wait(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let condition = match call.query.text("condition") {
        "" | "not-running" => WaitFor::NotRunning,
        "next-exit" => WaitFor::NextExit,
        "removed" => WaitFor::Removed,
        other => return Err(Error::invalid(format!("invalid condition: \"{other}\""))),
    };
    let (to, pieces) = mpsc::channel(1);
    // What counts as the next end is decided now, not when the task runs.
    let progress = container.progress();
    engine::task(async move {
        let waited = container.wait_from(progress, condition);
        let status_code = match engine::first(waited, to.closed()).await {
            engine::First::Left(code) => code,
            engine::First::Right(()) => return,
        };
        let _ = to.send(reply::line(&Waited { status_code })).await;
    });
    reply::json_stream(pieces)
}

pub async fn resize(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let rows = call.query.number("h")?.unwrap_or(0);
    let columns = call.query.number("w")?.unwrap_or(0);
    if !container.is_running() {
        return Err(Error::conflict(format!(
            "cannot resize a stopped container: container {} is not running",
            container.id
        )));
    }
    call.engine().resize(&container.id, rows, columns).await?;
    reply::ok()
}

pub async fn remove(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    if call.query.flag("link") {
        return Err(Error::new(engine::Kind::NotDone, "removing a link is not done"));
    }
    let (force, volumes) = (call.query.flag("force"), call.query.flag("v"));
    call.engine().remove(&container, force, volumes).await?;
    reply::nothing()
}

/// The name alone by which one container calls another.
pub async fn unlink(call: Call, id: &str, alias: &str) -> Reply {
    let container = call.engine().find(id)?;
    call.engine().unlink(&container, alias).await?;
    reply::nothing()
}

pub async fn prune(call: Call) -> Reply {
    let filters = Filters::parse(call.query.text("filters"), &["label", "label!", "until"])?;
    let until = until(&filters)?;
    let engine = call.engine();
    let mut pruned = Pruned { containers_deleted: Some(Vec::new()), ..Pruned::default() };
    for container in engine.containers() {
        let idle =
            matches!(container.state().status, Status::Created | Status::Exited | Status::Dead);
        if !idle || !filters.labels(&container.config.labels) || container.created_ns > until {
            continue;
        }
        let bytes = {
            let (engine, container) = (engine.clone(), container.clone());
            blocking(move || Ok(engine.written_bytes(&container))).await?
        };
        if engine.remove(&container, false, false).await.is_ok() {
            pruned.space_reclaimed += bytes;
            pruned.containers_deleted.get_or_insert_default().push(container.id.clone());
        }
    }
    reply::json(&pruned)
}

/// Nothing that is younger: a time, or how long ago.
pub fn until(filters: &Filters) -> Result<i64, Error> {
    let Some(text) = filters.get("until").first() else { return Ok(i64::MAX) };
    if let Some(ns) = ago(text) {
        return Ok(time::now_ns() - ns);
    }
    let query = crate::query::Query::parse(&format!("until={}", text.replace('+', "%2B")));
    Ok(query.time("until")?.unwrap_or(i64::MAX))
}

/// `1h30m`, as nanoseconds.
fn ago(text: &str) -> Option<i64> {
    let mut sum = 0i64;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let seconds = match c {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        sum = sum.checked_add(digits.parse::<i64>().ok()?.checked_mul(seconds)?)?;
        digits.clear();
    }
    (digits.is_empty() && !text.is_empty()).then(|| sum.saturating_mul(1_000_000_000))
}

pub fn logs(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let query = &call.query;
    let options = Options {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        follow: query.flag("follow"),
        since_ns: query.time("since")?,
        until_ns: query.time("until")?.filter(|ns| *ns != 0),
        tail: match query.text("tail") {
            "" | "all" => None,
            // As Docker has it: what is no number is all.
            text => text.parse().ok(),
        },
    };
    if !options.stdout && !options.stderr {
        return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
    }
    let (timestamps, terminal) = (query.flag("timestamps"), container.config.tty);
    let mut lines = call.engine().logs(&container, options)?;
    let (to, pieces) = mpsc::channel(64);
    engine::task(async move {
        while let Some(line) = lines.recv().await {
            if to.send(log_piece(&line, timestamps, terminal)).await.is_err() {
                return;
            }
        }
    });
    let newer = call.version >= (1, 42);
    let kind = match terminal || !newer {
        true => "application/vnd.docker.raw-stream",
        false => "application/vnd.docker.multiplexed-stream",
    };
    let kind = HeaderValue::from_static(kind);
    Ok(with(StatusCode::OK, Some(kind), Answer::Pieces(pieces)))
}

pub fn log_piece(line: &Line, timestamps: bool, terminal: bool) -> Bytes {
    let mut text = Vec::new();
    if timestamps {
        text.extend_from_slice(time::rfc3339_nano_fixed(line.at_ns).as_bytes());
        text.push(b' ');
    }
    text.extend_from_slice(line.text.as_bytes());
    if terminal {
        return text.into();
    }
    let [a, b, c, d] = (text.len() as u32).to_be_bytes();
    let mut piece = vec![line.stream, 0, 0, 0, a, b, c, d];
    piece.append(&mut text);
    piece.into()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Top {
    titles: Vec<String>,
    processes: Vec<Vec<String>>,
}

pub async fn top(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let (engine, arguments) = (call.engine().clone(), call.query.text("ps_args").to_owned());
    let listed = blocking(move || engine.top(&container, &arguments)).await?;
    reply::json(&Top { titles: listed.0, processes: listed.1 })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    path: String,
    kind: u8,
}

pub async fn changes(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let engine = call.engine().clone();
    let changes = blocking(move || engine.changes(&container)).await?;
    let changes: Vec<Change> =
        changes.into_iter().map(|one| Change { path: one.path, kind: one.kind }).collect();
    reply::json(&changes)
}

pub async fn export(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let engine = call.engine().clone();
    let body = body::from_writer(move |to| engine.export(&container, to)).await?;
    Ok(with(StatusCode::OK, Some(TAR), body))
}

#[derive(Serialize)]
struct PathStat<'a> {
    name: &'a str,
    size: i64,
    mode: u32,
    mtime: String,
    #[serde(rename = "linkTarget")]
    link_target: &'a str,
}

async fn path_header(call: &Call, container: &Arc<Container>) -> Result<String, Error> {
    let path = call.query.text("path").to_owned();
    let (engine, container) = (call.engine().clone(), container.clone());
    let stat = blocking(move || engine.stat_path(&container, &path)).await?;
    let shown = PathStat {
        name: &stat.name,
        size: stat.size,
        mode: stat.mode,
        mtime: time::rfc3339_nano(stat.mtime_ns),
        link_target: &stat.link_target,
    };
    let text = serde_json::to_vec(&shown).map_err(std::io::Error::from)?;
    Ok(base64::engine::general_purpose::STANDARD.encode(text))
}

const PATH_STAT: &str = "x-docker-container-path-stat";

pub async fn stat_path(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let stat = path_header(&call, &container).await?;
    let mut response = reply::ok()?;
    reply::header(&mut response, PATH_STAT, &stat);
    Ok(response)
}

pub async fn read_archive(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let stat = path_header(&call, &container).await?;
    let (engine, path) = (call.engine().clone(), call.query.text("path").to_owned());
    let body = body::from_writer(move |to| engine.read_archive(&container, &path, to)).await?;
    let mut response = with(StatusCode::OK, Some(TAR), body);
    reply::header(&mut response, PATH_STAT, &stat);
    Ok(response)
}

pub async fn write_archive(call: Call, id: &str) -> Reply {
    let container = call.engine().find(id)?;
    let (engine, path) = (call.engine().clone(), call.query.text("path").to_owned());
    let keeps_kinds = call.query.flag("noOverwriteDirNonDir");
    body::with_reader(call.request.into_body(), move |archive| {
        let archive = engine::image::plain(Box::new(archive))?;
        engine.write_archive(&container, &path, archive, keeps_kinds)
    })
    .await?;
    reply::ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago() {
        assert_eq!(ago("1h30m"), Some(5400 * 1_000_000_000));
        assert_eq!(ago("10s"), Some(10 * 1_000_000_000));
        for bad in ["", "10", "x", "h1", "99999999999999999999h"] {
            assert!(ago(bad).is_none() || bad == "h1", "{bad}");
        }
    }

    #[test]
    fn pieces_of_a_log() {
        let line = Line { stream: 2, at_ns: 1, text: "ab\n".to_owned() };
        assert_eq!(&log_piece(&line, false, false)[..], b"\x02\0\0\0\0\0\0\x03ab\n");
        assert_eq!(&log_piece(&line, true, true)[..], b"1970-01-01T00:00:00.000000001Z ab\n");
    }
}
