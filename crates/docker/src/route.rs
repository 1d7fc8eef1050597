//! The table of endpoints.

use crate::query::{Query, decode_path};
use crate::reply::Reply;
use crate::server::{Docker, Version};
use crate::{build, containers, events, exec, images, info, kit, networks, registries, volumes};
use engine::{Error, Kind};
use http::{Method, Request};
use hyper::body::Incoming;
use std::sync::Arc;

/// One request on its way.
pub struct Call {
    pub docker: Arc<Docker>,
    pub version: Version,
    pub query: Query,
    pub request: Request<Incoming>,
}

impl Call {
    pub fn engine(&self) -> &engine::Engine {
        &self.docker.engine
    }

    /// The body as a document.
    pub async fn document<T: serde::de::DeserializeOwned>(mut self) -> Result<T, Error> {
        let bytes = crate::body::read(self.request.body_mut()).await?;
        crate::query::document(&bytes)
    }
}

const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker \
                        swarm join\" to connect this node to swarm and try again.";

pub async fn route(
    docker: Arc<Docker>,
    version: Version,
    path: &str,
    request: Request<Incoming>,
) -> Reply {
    let method = request.method().clone();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let call = Call { docker, version, query, request };
    // Names of images have slashes of their own, so they are cut by what follows.
    if let Some(rest) = path.strip_prefix("/images/") {
        return images::route(call, &method, rest).await;
    }
    if let Some(name) =
        path.strip_prefix("/distribution/").and_then(|rest| rest.strip_suffix("/json"))
        && method == Method::GET
    {
        return registries::distribution(call, &decode_path(name)).await;
    }
    let parts: Vec<String> = path.trim_matches('/').split('/').map(decode_path).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (method.as_str(), parts.as_slice()) {
        ("GET" | "HEAD", ["_ping"]) => info::ping(&method),
        ("GET", ["version"]) => info::version(&call),
        ("GET", ["info"]) => info::info(call).await,
        ("GET", ["system", "df"]) => info::usage(call).await,
        ("GET", ["events"]) => events::events(call).await,
        ("POST", ["commit"]) => images::commit(call).await,
        ("POST", ["exec", id, "start"]) => exec::start(call, id).await,
        ("POST", ["exec", id, "resize"]) => exec::resize(call, id).await,
        ("GET", ["exec", id, "json"]) => exec::inspect(&call, id),
        // Whoever looks for an object of any kind asks for images by these names too.
        ("GET", ["containers", name @ .., "json"]) if name.len() > 1 => {
            containers::inspect(call, &name.join("/")).await
        }
        ("GET", ["networks", name @ ..]) if name.len() > 1 => {
            Err(Error::not_found(format!("network {} not found", name.join("/"))))
        }
        ("GET", ["volumes", name @ ..]) if name.len() > 1 => {
            Err(Error::not_found(format!("get {}: no such volume", name.join("/"))))
        }
        (_, ["containers", rest @ ..]) => container_route(call, &method, rest, path).await,
        (_, ["networks", rest @ ..]) => networks::route(call, &method, rest, path).await,
        (_, ["volumes", rest @ ..]) => volumes::route(call, &method, rest, path).await,
        ("GET", ["plugins"]) => crate::reply::json(&Vec::<String>::new()),
        // Whoever is told to do that first has to be told that it cannot be done.
        ("POST", ["swarm", "init" | "join"]) => {
            Err(Error::new(Kind::NotDone, "Swarm mode is not done"))
        }
        ("POST", ["swarm", "leave"]) => {
            Err(Error::new(Kind::Unavailable, "This node is not part of a swarm"))
        }
        (_, ["swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs", ..]) => {
            Err(Error::new(Kind::Unavailable, NO_SWARM))
        }
        ("POST", ["auth"]) => registries::login(call).await,
        ("POST", ["build"]) => build::build(call).await,
        ("POST", ["build", "prune"]) => build::prune(&call).await,
        ("POST", ["build", "cancel"]) => kit::cancel(&call),
        ("POST", ["session"]) => kit::session(call),
        ("POST", ["grpc"]) => kit::grpc(call),
        _ => not_done(&method, path),
    }
}

async fn container_route(call: Call, method: &Method, rest: &[&str], path: &str) -> Reply {
    match (method.as_str(), rest) {
        ("GET", ["json"]) => containers::list(call).await,
        ("POST", ["create"]) => containers::create(call).await,
        ("POST", ["prune"]) => containers::prune(call).await,
        ("DELETE", [id]) => containers::remove(call, id).await,
        ("DELETE", [id, alias]) if call.query.flag("link") => {
            containers::unlink(call, id, alias).await
        }
        ("GET", [id, "json"]) => containers::inspect(call, id).await,
        ("POST", [id, "start"]) => containers::start(call, id).await,
        ("POST", [id, "stop"]) => containers::stop(call, id).await,
        ("POST", [id, "restart"]) => containers::restart(call, id).await,
        ("POST", [id, "kill"]) => containers::kill(call, id).await,
        ("POST", [id, "pause"]) => containers::pause(call, id).await,
        ("POST", [id, "unpause"]) => containers::unpause(call, id).await,
        ("POST", [id, "rename"]) => containers::rename(call, id).await,
        ("POST", [id, "update"]) => containers::update(call, id).await,
        ("POST", [id, "wait"]) => containers::wait(call, id),
        ("POST", [id, "resize"]) => containers::resize(call, id).await,
        ("POST", [id, "attach"]) => crate::attach::attach(call, id).await,
        ("GET", [id, "attach", "ws"]) if crate::websocket::is_asked(&call.request) => {
            crate::attach::attach(call, id).await
        }
        ("GET", [_, "attach", "ws"]) => Err(Error::invalid("not a WebSocket")),
        ("GET", [id, "logs"]) => containers::logs(call, id),
        ("GET", [id, "top"]) => containers::top(call, id).await,
        ("GET", [id, "stats"]) => crate::info::stats(call, id).await,
        ("GET", [id, "changes"]) => containers::changes(call, id).await,
        ("GET", [id, "export"]) => containers::export(call, id).await,
        ("HEAD", [id, "archive"]) => containers::stat_path(call, id).await,
        ("GET", [id, "archive"]) => containers::read_archive(call, id).await,
        ("PUT", [id, "archive"]) => containers::write_archive(call, id).await,
        ("POST", [id, "exec"]) => exec::create(call, id).await,
        _ => not_done(method, path),
    }
}

/// Known or not: nothing that is not done is answered as if it were.
pub fn not_done(method: &Method, path: &str) -> Reply {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let known = [
        "auth",
        "build",
        "commit",
        "containers",
        "distribution",
        "exec",
        "images",
        "info",
        "networks",
        "plugins",
        "system",
        "volumes",
    ];
    match known.contains(&first) {
        true => Err(Error::new(Kind::NotDone, format!("{method} {path} is not done"))),
        false => Err(Error::not_found("page not found")),
    }
}
