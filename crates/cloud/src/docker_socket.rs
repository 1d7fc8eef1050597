//! The Docker API of this cloud: where it listens, and its beginning and end.

use crate::chance::OsEntropy;
use crate::exit::{self, Failure};
use crate::services;
use crate::settings::{Config, DockerTls};
use engine::remap::Remap;
use engine::{Engine, Parts};
use registry::{Client, Http, Local};
use rustix::fd::OwnedFd;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, Stat, flock, openat, statat,
};
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
/// Until whoever else is about to listen in the same folder has done so.
const TURN_TRIES: u32 = 100;
const TURN_PAUSE: Duration = Duration::from_millis(10);

pub struct Docker {
    engine: Option<Engine>,
    /// Where it listens.
    pub paths: Vec<PathBuf>,
    /// What has those names, as long as nobody else has taken them.
    names: Vec<Name>,
    /// The same over TCP.
    address: Option<SocketAddr>,
}

/// A name that was given to a socket.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    /// What it stands for.
    file: Stat,
}

impl Name {
    fn of(path: &Path) -> std::io::Result<Name> {
        let file = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Name { path: path.to_owned(), file })
    }

    /// Unless it is another's by now: systemd, for one, takes away what is in the place of its sockets.
    fn remove(&self) {
        // The number of one that has gone may be the next one's.
        let which = |file: &Stat| (file.st_dev, file.st_ino, file.st_mtime, file.st_mtime_nsec);
        if Name::of(&self.path).is_ok_and(|now| which(&now.file) == which(&self.file)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
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
            return Ok(Docker::without(None));
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
        let mut docker = Docker::without(Some(engine.clone()));
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
            match listen(&path).await {
                Ok((listener, name)) => {
                    docker.names.push(name);
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

    /// It listens nowhere.
    fn without(engine: Option<Engine>) -> Docker {
        Docker { engine, paths: Vec::new(), names: Vec::new(), address: None }
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
        self.names.iter().for_each(Name::remove);
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

/// One at a time in a folder: between its name and its first client a socket answers nobody, too. Whoever locks
/// the folder for something else is not waited for long.
async fn turn(folder: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(CWD, folder, flags, Mode::empty()).ok()?;
    for _ in 0..TURN_TRIES {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(folder),
            Err(_) => tokio::time::sleep(TURN_PAUSE).await,
        }
    }
    None
}

/// A socket that is there but answers nobody is replaced; one that answers is somebody's, and so is all that is
/// no socket.
async fn listen(path: &Path) -> std::io::Result<(UnixListener, Name)> {
    let (above, name) = match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(above), Some(name)) => (above, name),
        _ => return Err(ErrorKind::InvalidInput.into()),
    };
    // The path of a socket may have 107 bytes, so it is named by its folder's descriptor.
    let _turn = turn(above).await;
    let folder =
        openat(CWD, above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let new = || rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let address = SocketAddrUnix::new(&short)?;
    match rustix::net::connect(&new()?, &address) {
        Ok(()) | Err(rustix::io::Errno::AGAIN) => return Err(ErrorKind::AddrInUse.into()),
        // The kernel says the same of what is no socket, and of a link's end.
        Err(rustix::io::Errno::CONNREFUSED) => {
            let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
                return Err(std::io::Error::new(
                    ErrorKind::AlreadyExists,
                    "something else has that name",
                ));
            }
            std::fs::remove_file(path)?;
        }
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
    Ok((UnixListener::from_std(socket.into())?, Name::of(path)?))
}

fn group() -> Option<u32> {
    let text = std::fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.first() == Some(&GROUP)).then(|| fields.get(2)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("sockets-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(test);
    }

    #[test]
    fn only_a_socket_that_answers_nobody_is_replaced() {
        let folder = Folder::new("replaced");
        run(async {
            let path = folder.0.join("docker.sock");
            let (first, name) = listen(&path).await.unwrap();
            assert_eq!(listen(&path).await.unwrap_err().kind(), ErrorKind::AddrInUse);
            drop(first);
            // As a kill leaves it.
            let (_second, again) = listen(&path).await.unwrap();
            // The first one's end is not the second one's.
            name.remove();
            assert!(path.exists());
            again.remove();
            assert!(!path.exists());
        });
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = Folder::new("files");
        run(async {
            let (file, link) = (folder.0.join("file"), folder.0.join("link"));
            #[allow(clippy::disallowed_methods, reason = "a file of this test")]
            std::fs::write(&file, "precious").unwrap();
            assert!(listen(&file).await.is_err());
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
            // Somebody's own way to another engine, which is not running now.
            let other = folder.0.join("other.sock");
            drop(listen(&other).await.unwrap());
            std::os::unix::fs::symlink(&other, &link).unwrap();
            assert!(listen(&link).await.is_err());
            assert_eq!(std::fs::read_link(&link).unwrap(), other);
        });
    }

    #[test]
    fn one_of_many_gets_what_a_dead_one_has_left() {
        let folder = Folder::new("race");
        for n in 0..50 {
            let path = folder.0.join(format!("{n}.sock"));
            run(async { drop(listen(&path).await.unwrap()) });
            let together = std::sync::Barrier::new(4);
            let listening = std::thread::scope(|scope| {
                let try_it = || {
                    let mut is_ours = false;
                    run(async {
                        together.wait();
                        let listener = listen(&path).await;
                        together.wait();
                        is_ours = listener.is_ok();
                    });
                    is_ours
                };
                let threads = [0; 4].map(|_| scope.spawn(try_it));
                threads
                    .map(|one| one.join().unwrap())
                    .into_iter()
                    .filter(|is_ours| *is_ours)
                    .count()
            });
            assert_eq!(listening, 1);
        }
    }
}
