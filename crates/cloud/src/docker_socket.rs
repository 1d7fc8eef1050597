//! The Docker API of this cloud: where it listens, and its beginning and end.

use crate::chance::OsEntropy;
use crate::exit::{self, Failure};
use crate::services;
use crate::settings::Config;
use engine::{Engine, Parts};
use registry::{Client, Http, Local};
use rustix::fs::{CWD, Gid, Mode, OFlags, openat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use tokio::net::UnixListener;
use tokio::sync::watch;

/// Where every client looks.
const USUAL: &str = "/var/run/docker.sock";
const OWN: &str = "run/docker.sock";
const NONE: &str = "none";
/// Who may use Docker on this machine, if there is such a group.
const GROUP: &str = "docker";

pub struct Docker {
    engine: Option<Engine>,
    /// Where it listens.
    pub paths: Vec<PathBuf>,
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
            return Ok(Docker { engine: None, paths: Vec::new() });
        }
        let parts = Parts {
            store: store.clone(),
            entropy: Arc::new(OsEntropy),
            data: std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone()),
            cloud: Some(cloud),
        };
        let engine = Engine::open(parts)
            .await
            .map_err(|error| Failure::new(exit::DATA, format!("containers: {error}")))?;
        let http = Http::new(&services::trusted())
            .map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
        let registries = Client { engine: engine.clone(), http, local: Some(local) };
        let mut docker = Docker { engine: Some(engine.clone()), paths: Vec::new() };
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
                    let front = docker::Docker {
                        engine: engine.clone(),
                        registries: registries.clone(),
                        version: env!("CARGO_PKG_VERSION"),
                    };
                    engine::task(docker::serve(front, listener, stopping.clone()));
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
        self.paths.iter().map(|path| format!("docker at unix://{}", path.display())).collect()
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
    // Nobody else's for not even a moment.
    let mask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = rustix::net::bind(&socket, &address);
    rustix::process::umask(mask);
    bound?;
    if let Some(group) = group() {
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
