//! The listener: connections over a unix socket or from elsewhere, versions, and one answer for each request.

use crate::body::Answer;
use crate::kit::{Builds, Host};
use crate::reply;
use crate::route::route;
use crate::{VERSION, VERSION_MIN};
use buildkit::Kit;
use engine::{Engine, Error};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

/// Between two requests of one connection there may be any time; for one head there may not.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// After an error in accepting.
const PAUSE: Duration = Duration::from_millis(50);

/// What all requests share.
#[derive(Clone, Debug)]
pub struct Docker {
    pub engine: Engine,
    pub registries: registry::Client,
    /// The program's own version.
    pub version: &'static str,
    pub(crate) kit: Arc<Kit>,
    pub(crate) builds: Arc<Builds>,
}

impl Docker {
    pub fn new(engine: Engine, registries: registry::Client, version: &'static str) -> Docker {
        let host = Box::new(Host(registries.clone()));
        let kit = Arc::new(Kit::new(engine.clone(), host, version));
        Docker { engine, registries, version, kit, builds: Arc::default() }
    }
}

/// A connection, however it was made safe.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Where clients come in.
pub enum Listener {
    /// Who may open the socket is root.
    Unix(UnixListener),
    /// Connections of those who have shown to somebody else that they may be root.
    Known(mpsc::Receiver<Box<dyn Stream>>),
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

impl Listener {
    /// `false` when no more will come.
    async fn accept(&mut self, docker: &Arc<Docker>) -> std::io::Result<bool> {
        let docker = docker.clone();
        match self {
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                engine::task(connection(docker, stream));
            }
            Listener::Known(streams) => match streams.recv().await {
                Some(stream) => engine::task(connection(docker, stream)),
                None => return Ok(false),
            },
        }
        Ok(true)
    }
}

/// Answers until `stop` becomes true. Streams end with the process.
pub async fn serve(docker: Docker, mut listener: Listener, mut stop: watch::Receiver<bool>) {
    let docker = Arc::new(docker);
    loop {
        let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
        match engine::first(listener.accept(&docker), stopped).await {
            engine::First::Left(Ok(true)) => {}
            engine::First::Left(Ok(false)) => return,
            engine::First::Left(Err(error)) => {
                tracing::warn!(%error, "a Docker client could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
            engine::First::Right(()) => return,
        }
    }
}

async fn connection(
    docker: Arc<Docker>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let docker = docker.clone();
        async move { Ok::<_, Infallible>(answer(docker, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = served.await {
        tracing::debug!(%error, "a Docker client's connection broke");
    }
}

async fn answer(docker: Arc<Docker>, request: Request<Incoming>) -> Response<Answer> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let reply = match split_version(&path) {
        Ok((version, rest)) => {
            let rest = rest.to_owned();
            route(docker, version, &rest, request).await
        }
        Err(error) => Err(error),
    };
    let mut response = match reply {
        Ok(response) => response,
        Err(error) => {
            tracing::info!(target: "docker", %method, path, error = error.text, "refused");
            reply::error(&error)
        }
    };
    tracing::info!(target: "docker", %method, path, status = response.status().as_u16());
    reply::header(&mut response, "api-version", VERSION);
    reply::header(&mut response, "docker-experimental", "false");
    reply::header(&mut response, "ostype", "linux");
    reply::header(
        &mut response,
        "server",
        concat!("Cumulet/", env!("CARGO_PKG_VERSION"), " (linux)"),
    );
    response
}

/// A version as two numbers.
pub type Version = (u32, u32);

fn parse_version(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `/v1.50/info` is version 1.50 and `/info`.
pub(crate) fn split_version(path: &str) -> Result<(Version, &str), Error> {
    let newest = parse_version(VERSION).unwrap_or_default();
    let oldest = parse_version(VERSION_MIN).unwrap_or_default();
    let Some(rest) = path.strip_prefix("/v") else { return Ok((newest, path)) };
    let (text, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // `/volumes` and `/version` begin alike.
    let Some(version) = parse_version(text) else { return Ok((newest, path)) };
    if version < oldest {
        return Err(Error::invalid(format!(
            "client version {text} is too old. Minimum supported API version is {VERSION_MIN}, \
             please upgrade your client to a newer version"
        )));
    }
    if version > newest {
        return Err(Error::invalid(format!(
            "client version {text} is too new. Maximum supported API version is {VERSION}"
        )));
    }
    Ok((version, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let check = |path: &str, version: Version, rest: &str| {
            assert_eq!(split_version(path).unwrap(), (version, rest), "{path}");
        };
        check("/v1.50/info", (1, 50), "/info");
        check("/info", (1, 51), "/info");
        check("/version", (1, 51), "/version");
        check("/v1.24/volumes/v2", (1, 24), "/volumes/v2");
        for (path, part) in [("/v1.23/info", "too old"), ("/v1.52/info", "too new")] {
            assert!(split_version(path).unwrap_err().text.contains(part), "{path}");
        }
    }
}
