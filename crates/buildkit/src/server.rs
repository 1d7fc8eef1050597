//! What clients call: `moby.buildkit.v1.Control`, and the bridge by which they drive a build themselves.

use crate::Kit;
use crate::export::export;
use crate::grpc::{Code, Frames, Receiving, Status, answer, stream};
use crate::jobs::Hearing;
use crate::messages::{self, BridgeSolve, Map, Returned, SolveRequest, capability, timestamp};
use crate::progress::Telling;
use crate::solve::{Built, Wish, solve, solved};
use crate::wire::Message;
use build::Cache;
use engine::{First, blocking};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::convert::Infallible;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

const STREAMS_MAX: u32 = 128;
const HEAD_BYTES_MAX: u32 = 64 * 1024;
const ALIVE_EVERY: Duration = Duration::from_secs(20);
const ALIVE_WITHIN: Duration = Duration::from_secs(40);
const CONTROL: &str = "/moby.buildkit.v1.Control/";
const BRIDGE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// Under which name the bridge's calls say to which build they belong.
const BUILD: &str = "buildkit-controlapi-buildid";
const NETWORK_HOST: &str = "network.host";

/// What a client may ask of the bridge.
const BRIDGE_CAPS: &[&str] =
    &["solve.base", "return", "proto.refarray", "gateway.evaluate", "gateway.solve.evaluate"];
/// What Dockerfiles may contain.
const STEP_CAPS: &[&str] = &[
    "source.image",
    "source.local",
    "source.http",
    "exec.meta.base",
    "exec.meta.network",
    "exec.meta.ulimit",
    "exec.mount.bind",
    "exec.mount.cache",
    "exec.mount.cache.sharing",
    "exec.mount.tmpfs",
    "exec.mount.tmpfs.size",
    "exec.mount.secret",
    "exec.secretenv",
    "file.base",
    "constraints",
    "platform",
];

/// Answers on a connection that has become HTTP/2, until it ends.
pub async fn serve(kit: Arc<Kit>, io: impl Read + Write + Unpin + Send + 'static) {
    let service = service_fn(move |request: Request<Incoming>| {
        let kit = kit.clone();
        async move { Ok::<_, Infallible>(route(kit, request).await) }
    });
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(ALIVE_EVERY)
        .keep_alive_timeout(ALIVE_WITHIN)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX)
        .serve_connection(io, service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a builder's client broke off");
    }
}

async fn route(kit: Arc<Kit>, request: Request<Incoming>) -> Response<Frames> {
    let method = request.uri().path().to_owned();
    let build = request.headers().get(BUILD).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let message = match Receiving::request(request.into_body()).only().await {
        Ok(message) => message,
        Err(status) => return answer(Err(status)),
    };
    if let Some(response) = streamed(&kit, &method, &message) {
        return response.await;
    }
    let result = unary(&kit, &method, build.as_deref(), &message).await;
    if let Err(status) = &result {
        tracing::info!(target: "docker", method, error = status.text, "refused");
    }
    answer(result)
}

/// Calls that are answered by many messages.
fn streamed<'a>(
    kit: &'a Arc<Kit>,
    method: &str,
    message: &'a [u8],
) -> Option<std::pin::Pin<Box<dyn Future<Output = Response<Frames>> + Send + 'a>>> {
    match method.strip_prefix(CONTROL)? {
        "Status" => Some(Box::pin(status(kit, message))),
        "Prune" => Some(Box::pin(prune(kit, message))),
        _ => None,
    }
}

async fn unary(
    kit: &Kit,
    method: &str,
    build: Option<&str>,
    message: &[u8],
) -> Result<Vec<u8>, Status> {
    if method == HEALTH {
        return Ok(Message::default().number(1, 1).end());
    }
    if let Some(name) = method.strip_prefix(CONTROL) {
        match name {
            "Solve" => return control_solve(kit, SolveRequest::read(message)?).await,
            "ListWorkers" => return Ok(workers(kit).end()),
            "Info" => return Ok(Message::default().message(1, &version(kit)).end()),
            "DiskUsage" => return usage(kit).await,
            _ => {}
        }
    }
    if let Some(name) = method.strip_prefix(BRIDGE) {
        match name {
            "Ping" => return Ok(pong(kit)),
            "Solve" => return bridge_solve(kit, build, BridgeSolve::read(message)?).await,
            "Evaluate" => {
                let job = kit.jobs.find(build.unwrap_or_default()).await?;
                job.result(&messages::first_text(message)?)?;
                return Ok(Vec::new());
            }
            "Return" => {
                let job = kit.jobs.find(build.unwrap_or_default()).await?;
                job.return_with(Returned::read(message)?);
                return Ok(Vec::new());
            }
            // Warnings of a client's own front end; there are none of other kinds.
            "Warn" => return Err(Status::not_done("warnings of front ends are not done")),
            _ => {}
        }
    }
    Err(Status::not_done(format!("{method} is not done")))
}

/// What is known and not done, whichever way it comes.
fn refuse(has_definition: bool, has_inputs: bool, has_policy: bool) -> Result<(), Status> {
    let refused = [
        (has_definition, "steps in BuildKit's low-level form (LLB) are"),
        (has_inputs, "contexts in BuildKit's low-level form (LLB) are"),
        (has_policy, "policies for sources are"),
    ];
    match refused.iter().find(|(is_asked, _)| *is_asked) {
        Some((_, what)) => Err(Status::not_done(format!("{what} not done: Dockerfiles are"))),
        None => Ok(()),
    }
}

async fn control_solve(kit: &Kit, request: SolveRequest) -> Result<Vec<u8>, Status> {
    let told = run(kit, request, None).await?;
    Ok(Message::default().map(1, &told).end())
}

/// A build from its request to what it becomes. Dropped, it is given up.
async fn run(kit: &Kit, request: SolveRequest, context: Option<File>) -> Result<Map, Status> {
    refuse(request.has_definition, request.has_inputs, request.has_policy)?;
    for export in &request.cache_exports {
        // An image of ours is a cache as it is.
        if export.kind != "inline" {
            let text = format!("cache export of type {:?} is not done: inline is", export.kind);
            return Err(Status::not_done(text));
        }
    }
    for entitlement in &request.entitlements {
        if entitlement != NETWORK_HOST {
            let text = format!("the entitlement {entitlement} is not done: {NETWORK_HOST} is");
            return Err(Status::not_done(text));
        }
    }
    let host_network = request.entitlements.iter().any(|one| one == NETWORK_HOST);
    let begun = kit.jobs.begin(&request.reference, &request.session, host_network)?;
    let job = &begun.job;
    let built = match request.frontend.as_str() {
        // The client drives it by the bridge, and says at last which result it is.
        "" => {
            let returned = job.returned().await?;
            if let Some((code, text)) = returned.error {
                return Err(Status::new(Code::of(code), text));
            }
            match returned.result.as_str() {
                "" => None,
                name => Some(job.result(name)?),
            }
        }
        _ => {
            let wish = Wish {
                frontend: request.frontend,
                attrs: request.attrs,
                cache_imports: request.cache_imports,
                context,
            };
            Some(solve(kit, job, wish, next_group()).await?)
        }
    };
    let mut told = Map::new();
    let Some(built) = built else { return Ok(told) };
    let mut telling = Telling::new(job.clone(), next_group());
    for (at, exporter) in request.exporters.iter().enumerate() {
        told.extend(export(kit, &request.session, at, exporter, &built, &mut telling).await?);
    }
    Ok(told)
}

/// The same, with all messages of `Control.Status` on the way. `context`: an archive in place of the
/// client's folder.
pub async fn run_told(
    kit: &Kit,
    request: SolveRequest,
    context: Option<File>,
    to: mpsc::Sender<Arc<[u8]>>,
) -> Result<Map, Status> {
    let name = request.reference.clone();
    let mut run = std::pin::pin!(run(kit, request, context));
    let tell = async move {
        let Ok(job) = kit.jobs.find(&name).await else { return };
        let mut hearing = Hearing::new(job);
        while let Some(message) = hearing.next().await {
            if to.send(message).await.is_err() {
                return;
            }
        }
    };
    let mut tell = std::pin::pin!(tell);
    match engine::first(&mut run, &mut tell).await {
        First::Left(result) => {
            // One that was refused at once has nothing to tell.
            if !matches!(&result, Err(status) if status.code == Code::Unimplemented) {
                tell.await;
            }
            result
        }
        First::Right(()) => run.await,
    }
}

/// Keeps apart what several tell of one build.
fn next_group() -> u64 {
    static GROUPS: AtomicU64 = AtomicU64::new(1);
    GROUPS.fetch_add(1, Ordering::Relaxed) & 0xffff_ffff
}

async fn bridge_solve(
    kit: &Kit,
    build: Option<&str>,
    request: BridgeSolve,
) -> Result<Vec<u8>, Status> {
    refuse(request.has_definition, request.has_inputs, request.has_policy)?;
    let job = kit.jobs.find(build.unwrap_or_default()).await?;
    let cache_imports = imports(&request.attrs)?;
    let (frontend, attrs) = (request.frontend, request.attrs);
    let wish = Wish { frontend, attrs, cache_imports, context: None };
    let built: Built = solve(kit, &job, wish, next_group()).await?;
    Ok(solved(&job.keep(built)?))
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Import {
    #[serde(rename = "Type")]
    kind: String,
    attrs: Map,
}

/// Sources of caches, as the client's library writes them among the options.
fn imports(attrs: &Map) -> Result<Vec<messages::Exporter>, Status> {
    let Some(text) = attrs.get("cache-imports").filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    let all: Vec<Import> = serde_json::from_str(text)
        .map_err(|error| Status::invalid(format!("cache-imports: {error}")))?;
    Ok(all.into_iter().map(|one| messages::Exporter { kind: one.kind, attrs: one.attrs }).collect())
}

async fn status(kit: &Arc<Kit>, message: &[u8]) -> Response<Frames> {
    let name = match messages::first_text(message) {
        Ok(name) => name,
        Err(error) => return answer(Err(error.into())),
    };
    let job = match kit.jobs.find(&name).await {
        Ok(job) => job,
        Err(status) => return answer(Err(status)),
    };
    let (sending, response) = stream();
    engine::task(async move {
        let mut hearing = Hearing::new(job);
        while let Some(message) = hearing.next().await {
            if sending.message(&message).await.is_err() {
                return;
            }
        }
        sending.end(Ok(())).await;
    });
    response
}

fn version(kit: &Kit) -> Message {
    Message::default().text(1, "cumulet").text(2, kit.version)
}

fn workers(kit: &Kit) -> Message {
    let executor = "org.mobyproject.buildkit.worker.executor";
    let mut labels = Map::from([(executor.to_owned(), "containers".to_owned())]);
    let bridge = kit.engine.networks().find("bridge");
    if let Some(gateway) = bridge.ok().and_then(|bridge| bridge.gateway()) {
        let name = "org.mobyproject.buildkit.worker.moby.host-gateway-ip";
        labels.insert(name.to_owned(), gateway.to_string());
    }
    let platform = Message::default().text(1, engine::image::architecture()).text(2, "linux");
    let worker = Message::default()
        .text(1, "cumulet")
        .map(2, &labels)
        .message(3, &platform)
        .message(5, &version(kit));
    Message::default().message(1, &worker)
}

fn pong(kit: &Kit) -> Vec<u8> {
    let mut pong = Message::default();
    for name in BRIDGE_CAPS {
        pong = pong.message(1, &capability(name));
    }
    for name in STEP_CAPS {
        pong = pong.message(2, &capability(name));
    }
    let workers = workers(kit).end();
    for field in crate::wire::fields(&workers) {
        if let Ok((1, crate::wire::Value::Bytes(worker))) = field {
            pong = pong.bytes(3, worker);
        }
    }
    pong.end()
}

fn record(cache: &Cache) -> Message {
    const SECOND: i64 = 1_000_000_000;
    Message::default()
        .text(1, &cache.key[..cache.key.len().min(24)])
        .flag(2, true)
        .flag(3, cache.is_used)
        .number(4, cache.size_bytes)
        .message(6, &timestamp(cache.made.saturating_mul(SECOND)))
        .message(7, &timestamp(cache.changed.saturating_mul(SECOND)))
        .text(9, &format!("cached mount {}", cache.id))
        .text(10, "exec.cachemount")
}

async fn usage(kit: &Kit) -> Result<Vec<u8>, Status> {
    let caches = kit.caches.clone();
    let mut usage = Message::default();
    for cache in blocking(move || caches.list()).await? {
        usage = usage.message(1, &record(&cache));
    }
    Ok(usage.end())
}

/// Caches that nobody is in; those that are young enough stay if the client says so.
async fn prune(kit: &Arc<Kit>, message: &[u8]) -> Response<Frames> {
    let (mut keep_ns, mut has_filter) = (0i64, false);
    for field in crate::wire::fields(message) {
        match field {
            // The client's library always sends one.
            Ok((1, value)) => has_filter |= value.bytes().is_ok_and(|text| !text.is_empty()),
            Ok((3, value)) => keep_ns = value.number().unwrap_or_default() as i64,
            Ok(_) => {}
            Err(error) => return answer(Err(error.into())),
        }
    }
    if has_filter {
        return answer(Err(Status::not_done("filters of prune are not done")));
    }
    let caches = kit.caches.clone();
    let since = engine::time::now_ns().saturating_sub(keep_ns) / 1_000_000_000;
    let pruned = blocking(move || caches.prune(|cache| cache.changed <= since)).await;
    let pruned = match pruned {
        Ok(pruned) => pruned,
        Err(error) => return answer(Err(error.into())),
    };
    let (sending, response) = stream();
    engine::task(async move {
        for cache in pruned {
            if sending.message(&record(&cache).end()).await.is_err() {
                return;
            }
        }
        sending.end(Ok(())).await;
    });
    response
}
