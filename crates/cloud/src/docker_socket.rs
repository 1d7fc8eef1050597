//! The Docker API of this cloud: where it listens, and its beginning and end.

use crate::chance::OsEntropy;
use crate::exit::{self, Failure};
use crate::services;
use crate::settings::{Config, DockerTls};
use engine::remap::Remap;
use engine::{Engine, Parts};
use registry::{Client, Http, Local};
use rustix::fs::{CWD, Gid, Mode, OFlags, openat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::net::UnixListener;
use tokio::sync::watch;

/// Where every client looks.
const USUAL: &str = "/var/run/docker.sock";
const OWN: &str = "run/docker.sock";
const NONE: &str = "none";
/// Who may use Docker on this machine, if there is such a group.
const GROUP: &str = "docker";
/// For a client to say who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients that have not said yet who they are: strangers take no more descriptors than that.
const HANDSHAKES_MAX: usize = 64;
/// After an error in accepting.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub struct Docker {
    engine: Option<Engine>,
    /// Where it listens.
    pub paths: Vec<PathBuf>,
    /// The same over TCP.
    address: Option<SocketAddr>,
}

fn remap(text: &str) -> Result<Remap, Failure> {
    let wrong = |text: String| Failure::new(exit::USAGE, format!("userns_remap: {text}"));
    if engine::rootless::is_entered() || !rustix::process::geteuid().is_root() {
        return Err(wrong("only root has numbers of others to give".to_owned()));
    }
    Remap::find(text).map_err(wrong)
}

impl Docker {
    /// Opens the engine and listens. What only the usual place refuses is no failure.
    pub async fn open(
        config: &Config,
        store: &Store,
        cloud: SocketAddr,
        local: Local,
        stopping: watch::Receiver<bool>,
    ) -> Result<Docker, Failure> {
        let asked = &config.docker_sockets;
        if asked.iter().any(|path| path == Path::new(NONE)) {
            return Ok(Docker { engine: None, paths: Vec::new(), address: None });
        }
        let remap = match &config.userns_remap {
            Some(text) => Some(remap(text)?),
            None => None,
        };
        let parts = Parts {
            store: store.clone(),
            entropy: Arc::new(OsEntropy),
            data: std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone()),
            cloud: Some(cloud),
            default_six: config.default_six,
            driver: config.driver,
            remap,
            ends_with_us: config.ends_containers,
        };
        let engine = Engine::open(parts)
            .await
            .map_err(|error| Failure::new(exit::DATA, format!("containers: {error}")))?;
        let http = Http::new(services::trusted)
            .map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
        let mirrors = config.mirrors.clone();
        let registries = Client { engine: engine.clone(), http, local: Some(local), mirrors };
        let mut docker = Docker { engine: Some(engine.clone()), paths: Vec::new(), address: None };
        let version = env!("CARGO_PKG_VERSION");
        let front = docker::Docker::new(engine.clone(), registries, version);
        if let Some(tls) = &config.docker_tls {
            let (listener, address) = listen_tls(tls)?;
            engine::task(docker::serve(front.clone(), listener, stopping.clone()));
            docker.address = Some(address);
        }
        let mut wanted: Vec<(PathBuf, bool)> =
            asked.iter().map(|path| (path.clone(), true)).collect();
        if asked.is_empty() {
            wanted.push((config.data.join(OWN), true));
        }
        if asked.is_empty() && config.is_default {
            wanted.push((PathBuf::from(USUAL), false));
        }
        for (path, is_needed) in wanted {
            let path = std::path::absolute(&path).unwrap_or(path);
            match listen(&path) {
                Ok(listener) => {
                    let listener = docker::Listener::Unix(listener);
                    engine::task(docker::serve(front.clone(), listener, stopping.clone()));
                    docker.paths.push(path);
                }
                Err(error) if is_needed => {
                    let text = format!(
                        "cannot listen on {}: {error}; choose another with --docker-socket, or none",
                        path.display()
                    );
                    return Err(Failure::new(exit::ADDRESS, text));
                }
                Err(_) => {}
            }
        }
        Ok(docker)
    }

    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// What a person is told at the start.
    pub fn lines(&self) -> Vec<String> {
        let unix = self.paths.iter().map(|path| format!("docker at unix://{}", path.display()));
        unix.chain(self.address.map(|at| format!("docker at tcp://{at}, with certificates")))
            .collect()
    }

    /// Where a client should look, without asking whether somebody answers.
    pub fn first_path(config: &Config) -> Option<PathBuf> {
        let path = match config.docker_sockets.first() {
            None => config.data.join(OWN),
            Some(path) if path == Path::new(NONE) => return None,
            Some(path) => path.clone(),
        };
        Some(std::path::absolute(&path).unwrap_or(path))
    }

    /// Containers run on; what else there is of us goes.
    pub async fn close(self) {
        if let Some(engine) = &self.engine {
            engine.close().await;
        }
        for path in &self.paths {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Clients show certificates, too.
fn listen_tls(tls: &DockerTls) -> Result<(docker::Listener, SocketAddr), Failure> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    let bad = |path: &Path, error: String| {
        Failure::new(exit::USAGE, format!("{}: {error}", path.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(&tls.ca)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(&tls.ca, error.to_string()))?;
    for one in all {
        roots.add(one).map_err(|error| bad(&tls.ca, error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        provider.clone(),
    );
    let verifier = verifier.build().map_err(|error| bad(&tls.ca, error.to_string()))?;
    let mut config = crate::up::tls(&tls.cert, &tls.key, Some(verifier))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let failed = |error: std::io::Error| {
        let text = format!(
            "cannot listen on {}: {error}; choose another with --docker-listen",
            tls.listen
        );
        Failure::new(exit::ADDRESS, text)
    };
    let listener = std::net::TcpListener::bind(tls.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (known, streams) = tokio::sync::mpsc::channel(8);
    engine::task(accept_known(listener, acceptor, known));
    Ok((docker::Listener::Known(streams), address))
}

type Known = tokio::sync::mpsc::Sender<Box<dyn docker::Stream>>;

/// Gives on those who have shown a certificate, until nobody takes them any more.
async fn accept_known(
    listener: tokio::net::TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    known: Known,
) {
    let room = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepting = async {
            let place = room.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = match engine::first(accepting, known.closed()).await {
            engine::First::Left(accepted) => accepted,
            engine::First::Right(()) => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a Docker client could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (acceptor, known) = (acceptor.clone(), known.clone());
        engine::task(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(known.send(Box::new(stream)).await),
                Ok(Err(error)) => tracing::info!(%error, %from, "a client is not known"),
                Err(_) => tracing::info!(%from, "a client took too long to say who it is"),
            }
            drop(place);
        });
    }
}

/// A socket that is there but answers nobody is replaced; one that answers is somebody's.
fn listen(path: &Path) -> std::io::Result<UnixListener> {
    let (above, name) = match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(above), Some(name)) => (above, name),
        _ => return Err(ErrorKind::InvalidInput.into()),
    };
    // The path of a socket may have 107 bytes, so it is named by its folder's descriptor.
    let folder =
        openat(CWD, above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let new = || rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let address = SocketAddrUnix::new(&short)?;
    match rustix::net::connect(&new()?, &address) {
        Ok(()) | Err(rustix::io::Errno::AGAIN) => return Err(ErrorKind::AddrInUse.into()),
        Err(rustix::io::Errno::CONNREFUSED) => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    let socket = new()?;
    // Nobody else's for not even a moment: the name gets the mode that the socket has. (A mask would be
    // that of all threads, and folders that others make meanwhile would have it too.)
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
    rustix::net::bind(&socket, &address)?;
    // Without root no group but one's own can be given.
    let group = group().filter(|_| !engine::rootless::is_entered());
    if let Some(group) = group {
        rustix::fs::chown(path, None, Some(Gid::from_raw(group)))?;
        rustix::fs::chmod(path, Mode::from_raw_mode(0o660))?;
    }
    rustix::net::listen(&socket, 128)?;
    UnixListener::from_std(socket.into())
}

fn group() -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.first() == Some(&GROUP)).then(|| fields.get(2)?.parse().ok())?
    })
}
