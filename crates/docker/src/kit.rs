//! `/session`, `/grpc` and `/build?version=2`: builds by BuildKit. The first two become HTTP/2; the third
//! is what the docker CLI of old asks for, whose session it names.

use crate::body::{self, Answer};
use crate::query::Query;
use crate::registries::Registries;
use crate::reply::{self, Reply, with};
use crate::route::Call;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use build::Outside;
use buildkit::{Asked, Exporter, Kit, Session, SolveRequest};
use bytes::Bytes;
use engine::{Error, First, Kind, first};
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

const ID: &str = "x-docker-expose-session-uuid";
const METHOD: &str = "x-docker-expose-session-grpc-method";
const METHODS_MAX: usize = 100;
const H2C: &str = "h2c";
const LINES: usize = 64;
/// A context that comes by a request of its own.
const UPLOAD: &str = "upload-request";
const UPLOADS_MAX: usize = 64;
/// How long a build waits for its upload, and an upload for its build.
const UPLOAD_WAIT: Duration = Duration::from_secs(60);
const LOCAL: &str = "client-session";

/// What builds of the CLI of old have in common.
#[derive(Default, Debug)]
pub struct Builds {
    /// Set to `true`, it ends the build.
    running: Mutex<BTreeMap<String, watch::Sender<bool>>>,
    uploads: Mutex<BTreeMap<String, File>>,
    came: Notify,
}

/// Gives builds what they need from elsewhere.
#[derive(Debug)]
pub struct Host(pub registry::Client);

impl buildkit::Host for Host {
    fn outside(&self, session: &Session) -> Arc<dyn Outside> {
        Arc::new(Registries::of_session(&self.0, session))
    }
}

pub fn session(call: Call) -> Reply {
    let headers = call.request.headers();
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let asked = Asked {
        id: headers.get(ID).and_then(text).unwrap_or_default(),
        methods: headers.get_all(METHOD).iter().filter_map(text).take(METHODS_MAX).collect(),
    };
    let kit = call.docker.kit.clone();
    kit.sessions.check(&asked).map_err(|status| status.to_error())?;
    upgrade(call.request, |io| async move { kit.sessions.hold(asked, io).await })
}

pub fn grpc(call: Call) -> Reply {
    let kit = call.docker.kit.clone();
    upgrade(call.request, |io| buildkit::serve(kit, io))
}

/// From here on the connection is HTTP/2, without a word more about it.
fn upgrade<F: Future<Output = ()> + Send + 'static>(
    request: Request<Incoming>,
    go_on: impl FnOnce(Upgraded) -> F + Send + 'static,
) -> Reply {
    match request.headers().get(UPGRADE) {
        None => return Err(Error::invalid("no upgrade proto in request")),
        Some(value) if value != H2C => {
            let proto = String::from_utf8_lossy(value.as_bytes());
            return Err(Error::invalid(format!("protocol {proto} not supported")));
        }
        Some(_) => {}
    }
    engine::task(async move {
        match hyper::upgrade::on(request).await {
            Ok(upgraded) => go_on(upgraded).await,
            Err(error) => tracing::debug!(%error, "a builder's connection was not taken up"),
        }
    });
    let mut response = with(StatusCode::SWITCHING_PROTOCOLS, None, Answer::Whole(None));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(H2C));
    Ok(response)
}

/// `/build/cancel`
pub fn cancel(call: &Call) -> Reply {
    let id = call.query.text("id");
    if id.is_empty() {
        return Err(Error::invalid("build ID not provided"));
    }
    let running = call.docker.builds.running.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stop) = running.get(id) {
        stop.send_replace(true);
    }
    reply::ok()
}

pub async fn build(call: Call) -> Reply {
    let id = call.query.text("buildid").to_owned();
    if let Some(id) = id.strip_prefix(UPLOAD).and_then(|rest| rest.strip_prefix(':')) {
        return upload(call, id.to_owned()).await;
    }
    let name = match id.as_str() {
        "" => format!("build-{}", engine::time::now_ns()),
        id => id.to_owned(),
    };
    let request = request(&call.query, &name)?;
    let is_upload = call.query.text("remote") == UPLOAD;
    let quiet = call.query.flag("q");
    let docker = call.docker.clone();
    let (to, lines) = mpsc::channel(LINES);
    let (stop, mut stopped) = watch::channel(false);
    let locked = &docker.builds.running;
    locked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), stop);
    engine::task(async move {
        let work = async {
            let context = match is_upload {
                true => Some(docker.builds.taken(&name).await?),
                false => None,
            };
            told(&docker.kit, request, context, quiet, &to).await
        };
        let left = async {
            match first(to.closed(), stopped.wait_for(|stop| *stop)).await {
                First::Left(()) => {}
                First::Right(stopped) => drop(stopped),
            }
        };
        let result = match first(work, left).await {
            First::Left(result) => result,
            First::Right(()) => Err(Error::failed("context canceled")),
        };
        if let Err(error) = result {
            tracing::info!(target: "docker", error = error.text, "a build failed");
            let detail = serde_json::json!({ "message": error.text });
            let line = serde_json::json!({ "errorDetail": detail, "error": error.text });
            let _ = to.send(reply::line(&line)).await;
        }
        let mut running = docker.builds.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&name);
    });
    reply::json_stream(lines)
}

/// The whole build, told as the CLI of old hears it.
async fn told(
    kit: &Arc<Kit>,
    request: SolveRequest,
    context: Option<File>,
    quiet: bool,
    to: &mpsc::Sender<Bytes>,
) -> Result<(), Error> {
    let is_image =
        request.exporters.iter().any(|one| matches!(one.kind.as_str(), "moby" | "image"));
    let (messages, mut received) = mpsc::channel::<Arc<[u8]>>(LINES);
    let mut kept = Vec::new();
    let tell = async {
        while let Some(message) = received.recv().await {
            let trace = STANDARD.encode(&message);
            let line =
                reply::line(&serde_json::json!({ "id": "moby.buildkit.trace", "aux": trace }));
            match quiet {
                true => kept.push(line),
                false => drop(to.send(line).await),
            }
        }
    };
    let run = buildkit::run_told(kit, request, context, messages);
    let (result, ()) = crate::registries::both(run, tell).await;
    match result {
        Ok(told) if is_image => {
            let image = told.get("containerimage.digest").cloned().unwrap_or_default();
            let line = match quiet {
                true => serde_json::json!({ "stream": format!("{image}\n") }),
                false => serde_json::json!({ "id": "moby.image.id", "aux": { "ID": image } }),
            };
            let _ = to.send(reply::line(&line)).await;
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(status) => {
            // Why it failed is among what was kept back.
            for line in kept {
                let _ = to.send(line).await;
            }
            Err(status.to_error())
        }
    }
}

async fn upload(call: Call, id: String) -> Reply {
    let docker = call.docker.clone();
    let images = docker.engine.images().clone();
    let body = call.request.into_body();
    let file = body::with_reader(body, move |from| {
        let mut file = images.scratch_file()?;
        std::io::copy(&mut images.roomy(from)?, &mut file)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    });
    let file = file.await?;
    let mut uploads = docker.builds.uploads.lock().unwrap_or_else(PoisonError::into_inner);
    if uploads.len() >= UPLOADS_MAX {
        return Err(Error::new(Kind::Unavailable, "too many contexts wait for their builds"));
    }
    uploads.insert(id.clone(), file);
    drop(uploads);
    docker.builds.came.notify_waiters();
    // One that nobody takes is let go.
    engine::task(async move {
        tokio::time::sleep(UPLOAD_WAIT).await;
        docker.builds.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    });
    reply::ok()
}

impl Builds {
    async fn taken(&self, id: &str) -> Result<File, Error> {
        let taken = async {
            loop {
                let mut came = std::pin::pin!(self.came.notified());
                came.as_mut().enable();
                let here = self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                match here {
                    Some(file) => return file,
                    None => came.await,
                }
            }
        };
        let late = |_| Error::invalid("the context of the build did not come");
        tokio::time::timeout(UPLOAD_WAIT, taken).await.map_err(late)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Target {
    #[serde(rename = "Type")]
    kind: String,
    attrs: Option<BTreeMap<String, String>>,
}

/// What the CLI of old asks for, in the words of the others.
fn request(query: &Query, name: &str) -> Result<SolveRequest, Error> {
    let mut attrs = BTreeMap::new();
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            attrs.insert(name.to_owned(), value.to_owned());
        }
    };
    put("filename", query.text("dockerfile"));
    put("target", query.text("target"));
    put("platform", query.text("platform"));
    put("shm-size", query.text("shmsize").trim_start_matches('0'));
    for name in ["memory", "memswap", "cpushares", "cpuperiod", "cpuquota"] {
        put(name, query.text(name).trim_start_matches('0'));
    }
    put("cpusetcpus", query.text("cpusetcpus"));
    put("cpusetmems", query.text("cpusetmems"));
    put("cgroup-parent", query.text("cgroupparent"));
    if !matches!(query.text("remote"), LOCAL | UPLOAD) {
        put("context", query.text("remote"));
    }
    if query.flag("pull") {
        put("image-resolve-mode", "pull");
    }
    match query.text("networkmode") {
        "" | "default" => {}
        mode @ ("host" | "none") => put("force-network-mode", mode),
        mode => {
            return Err(Error::invalid(format!("network mode {mode:?} not supported by buildkit")));
        }
    }
    let hosts = crate::build::hosts(query)?;
    let hosts: Vec<String> = hosts.iter().map(|host| host.replacen(':', "=", 1)).collect();
    put("add-hosts", &hosts.join(","));
    let ulimits: Vec<engine::config::Ulimit> = crate::build::document(query, "ulimits")?;
    let limit = |one: &engine::config::Ulimit| format!("{}={}:{}", one.name, one.soft, one.hard);
    put("ulimit", &ulimits.iter().map(limit).collect::<Vec<_>>().join(","));
    let from: Vec<String> = crate::build::document(query, "cachefrom")?;
    put("cache-from", &from.join(","));
    if query.flag("nocache") {
        attrs.insert("no-cache".to_owned(), String::new());
    }
    let args: BTreeMap<String, Option<String>> = crate::build::document(query, "buildargs")?;
    for (name, value) in args {
        if let Some(value) = value {
            attrs.insert(format!("build-arg:{name}"), value);
        }
    }
    let labels: BTreeMap<String, String> = crate::build::document(query, "labels")?;
    attrs.extend(labels.into_iter().map(|(name, value)| (format!("label:{name}"), value)));
    if query.flag("squash") {
        return Err(Error::new(Kind::NotDone, "squash with BuildKit is not done"));
    }
    let host = (query.text("networkmode") == "host").then(|| "network.host".to_owned());
    Ok(SolveRequest {
        reference: name.to_owned(),
        session: query.text("session").to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        attrs,
        exporters: vec![exporter(query)?],
        entitlements: host.into_iter().collect(),
        ..SolveRequest::default()
    })
}

fn exporter(query: &Query) -> Result<Exporter, Error> {
    let targets: Vec<Target> = crate::build::document(query, "outputs")?;
    let mut exporter = match <[Target; 1]>::try_from(targets) {
        Ok([target]) => Exporter { kind: target.kind, attrs: target.attrs.unwrap_or_default() },
        Err(targets) if targets.is_empty() => {
            Exporter { kind: "moby".to_owned(), attrs: BTreeMap::new() }
        }
        Err(_) => return Err(Error::invalid("multiple outputs not supported")),
    };
    let tags = query.all("t");
    let tags: Vec<&str> = tags.iter().map(String::as_str).filter(|tag| !tag.is_empty()).collect();
    if matches!(exporter.kind.as_str(), "moby" | "image") && !tags.is_empty() {
        exporter.attrs.insert("name".to_owned(), tags.join(","));
    }
    Ok(exporter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cli_of_old_asks_for() {
        let query = "t=a&t=b:1&session=s&remote=client-session&dockerfile=D&nocache=1&target=x\
                     &buildargs=%7B%22x%22%3Anull%2C%22y%22%3A%221%22%7D&shmsize=0&memory=5\
                     &labels=%7B%22l%22%3A%22v%22%7D&networkmode=host&pull=1&extrahosts=h%3A1.2.3.4\
                     &cachefrom=%5B%22c%22%5D";
        let found = request(&Query::parse(query), "n").unwrap();
        assert_eq!((found.session.as_str(), found.reference.as_str()), ("s", "n"));
        let attrs: Vec<String> = found.attrs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            attrs,
            [
                "add-hosts=h=1.2.3.4",
                "build-arg:y=1",
                "cache-from=c",
                "filename=D",
                "force-network-mode=host",
                "image-resolve-mode=pull",
                "label:l=v",
                "memory=5",
                "no-cache=",
                "target=x",
            ]
        );
        assert_eq!(found.exporters[0].attrs["name"], "a,b:1");
        assert_eq!(found.entitlements, ["network.host"]);
        let outputs = "outputs=%5B%7B%22Type%22%3A%22local%22%2C%22Attrs%22%3A%7B%7D%7D%5D&t=a";
        let found = request(&Query::parse(outputs), "n").unwrap();
        assert_eq!(
            (found.exporters[0].kind.as_str(), found.exporters[0].attrs.len()),
            ("local", 0)
        );
        for (bad, part) in [
            ("networkmode=mine", "not supported by buildkit"),
            ("squash=1", "not done"),
            ("outputs=%5B%7B%7D%2C%7B%7D%5D", "multiple outputs"),
            ("buildargs=x", "error reading buildargs"),
        ] {
            let error = request(&Query::parse(bad), "n").unwrap_err();
            assert!(error.text.contains(part), "{bad}: {error}");
        }
    }
}
