//! `cumulet up`: opens the data, starts the threads, listens, and ends in good order.

use crate::audit_log::AuditLog;
use crate::chance::{OsEntropy, Sleep, SystemClock};
use crate::console_parts;
use crate::descriptors;
use crate::docker_socket;
use crate::doors::{self, Doors};
use crate::drop_in::{self, DropInPages};
use crate::engine_door::AtSocket;
use crate::env::quoted;
use crate::ephemeral;
use crate::exit::{self, Failure};
use crate::init::{Init, Stage};
use crate::reset::OfEngine;
use crate::services;
use crate::settings::{Config, Settings};
use crate::threads::{Upkeep, Waiters};
use base::{Clock, Entropy, ShiftedClock};
use console::Console;
use gateway::listen::Workers;
use gateway::{AccessRules, Gateway, GatewayParts, Keyring};
use registry::{Local, Registry};
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::disk::{Disk, FsDisk};
use store::{Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// `memory` is the disk of a cloud that keeps nothing, and ends with its parent.
pub fn run(
    config: &Config,
    settings: &Settings,
    memory: Option<Arc<dyn Disk>>,
) -> Result<(), Failure> {
    descriptors::raise_limit();
    let threads = match config.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    };
    // A runtime for each thread that answers: with one for all of them, threads wake each other for
    // every few requests, and give back memory that another one took.
    let answering: Vec<Runtime> =
        (0..threads).map(|_| runtime("http", 1)).collect::<Result<_, _>>()?;
    let workers = answering.iter().map(|runtime| runtime.handle().clone()).collect();
    runtime("tasks", threads.min(4))?.block_on(serve(config, settings, memory, workers))
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        // They come when containers need the kernel or the disk, and go again.
        .max_blocking_threads(32)
        .thread_keep_alive(std::time::Duration::from_secs(2))
        .thread_name(name)
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Failure::new(exit::FAILED, format!("no threads: {error}")))
}

async fn serve(
    config: &Config,
    settings: &Settings,
    memory: Option<Arc<dyn Disk>>,
    workers: Workers,
) -> Result<(), Failure> {
    let is_ephemeral = memory.is_some();
    let (ending, asked) = watch::channel(false);
    let (stop, stopping) = watch::channel(false);
    watch_signals(ending.clone())?;
    let kept = if is_ephemeral { None } else { Some(open_disk(config)?) };
    let mut init = Init::find(config)?;
    for stage in [Stage::Boot, Stage::Start] {
        if init.run(stage, Some(&asked)).await?.is_none() {
            return Ok(());
        }
    }
    let doors = Doors::bind(config)?;
    let address = doors.address();
    let url = format!("http://{address}");
    if let Some(disk) = &kept {
        let _ = disk.set_holder(&format!("process {} at {url}", std::process::id()));
    }
    let disk = memory.or(kept.map(|disk| disk as Arc<dyn Disk>));
    let disk = disk.ok_or_else(|| Failure::new(exit::FAILED, "no disk"))?;
    let clock = Arc::new(ShiftedClock::new(SystemClock::new()));
    let (store, mut upkeep) = open_store(config, disk.clone(), clock.clone())?;
    let pages = DropInPages::new(init.progress(), OsEntropy.uuid());
    let registry = Arc::new(registry_of(config, &store)?);
    let console = console_parts::console(config, clock.clone());
    let front =
        Front { pages: pages.clone(), registry: registry.clone(), console: console.clone() };
    let gateway = gateway(config, &store, clock, front)?;
    pages.speak_for(&gateway);
    let log = AuditLog::new(disk);
    gateway.audit().keep_in(log.reader());
    let failed = |error: std::io::Error| Failure::new(exit::FAILED, format!("no thread: {error}"));
    upkeep.log_audit(gateway.clone(), log, console).map_err(failed)?;
    upkeep.run_jobs(gateway.clone()).map_err(failed)?;
    upkeep.run_errands(gateway.clone()).map_err(failed)?;
    let own_tls = config.tls.as_ref().map(|(cert, key)| {
        let mut config = tls(cert, key, None)?;
        config.alpn_protocols = doors::PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    });
    let own_tls = own_tls.transpose()?;
    let open = doors.open(config, &gateway, own_tls, &workers, stopping.clone())?;
    if let Some(after) = config.collect_after {
        engine::task(registry.clone().collect_again_and_again(after));
    }
    let local = Local {
        registry,
        keys: Arc::new(Keyring(gateway.clone())),
        ports: [Some(address), config.http_listen]
            .into_iter()
            .flatten()
            .map(|at| at.port())
            .collect(),
        host_names: host_names(config),
    };
    let docker = docker_socket::Docker::open(config, &store, address, local, stopping).await?;
    if let Some(path) = docker.paths.first() {
        gateway.open_engine(Arc::new(AtSocket(path.clone())));
    }
    if let Some(engine) = docker.engine() {
        let engine = Arc::new(OfEngine(engine.clone()));
        gateway.see_to_leftovers(engine.clone());
        if let Err(error) = gateway.see_to_partitions(engine).await {
            tracing::error!(?error, "containers that shall not reach each other may");
        }
    }
    if is_ephemeral {
        ephemeral::end_with_parent(ending).map_err(failed)?;
    } else {
        let said: Vec<String> = config.containers.iter().cloned().collect();
        let few = descriptors::remark(config.connections, descriptors::most());
        let few: Vec<String> = few.into_iter().collect();
        let lines = [open.lines.as_slice(), &docker.lines(), &said, &few].concat();
        greet(config, settings, &url, &lines);
    }
    init.opened(&url, &gateway, &store);
    if let Some(failed) = init.run(Stage::Ready, Some(&asked)).await? {
        say_ready(config, address, &docker.paths, &failed)?;
    }
    until_asked(asked).await;
    init.run(Stage::Shutdown, None).await?;
    let _ = stop.send(true);
    open.until_stopped().await;
    if let Some(engine) = docker.engine().filter(|_| config.ends_containers) {
        ephemeral::remove_containers(engine).await;
    }
    docker.close().await;
    upkeep.finish();
    if let Some(path) = &config.ready_file {
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

async fn until_asked(mut asked: watch::Receiver<bool>) {
    // Those who may ask live as long as the process.
    if asked.wait_for(|is_asked| *is_asked).await.is_err() {
        std::future::pending().await
    }
}

/// For whoever started us, in each way in which they may wait: scripts have ended, and these failed.
fn say_ready(
    config: &Config,
    address: SocketAddr,
    docker: &[PathBuf],
    failed: &[String],
) -> Result<(), Failure> {
    if let Some(path) = &config.ready_file {
        write_ready_file(path, address, failed)?;
    }
    // The word that LocalStack's users and their tools wait for.
    let line = match config.is_ephemeral {
        true => ephemeral::line(config, address, docker, failed),
        false => "Ready.".to_owned(),
    };
    // That nobody reads it ends nothing.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    Ok(())
}

/// How this process opens stores.
pub fn store_options(config: &Config, clock: Arc<dyn Clock>) -> StoreOptions {
    let mut options = StoreOptions::new(clock, Arc::new(OsEntropy));
    options.durability = config.durability;
    options.hot_bytes = config.cache_bytes;
    options.blocking = Arc::new(Waiters::default());
    options
}

fn open_store(
    config: &Config,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
) -> Result<(Store, Upkeep), Failure> {
    let (store, drivers) = Store::open(disk, store_options(config, clock))
        .map_err(|error| Failure::new(exit::DATA, format!("{}: {error}", config.data.display())))?;
    let upkeep = Upkeep::start(&store, drivers)
        .map_err(|error| Failure::new(exit::FAILED, format!("no thread: {error}")))?;
    Ok((store, upkeep))
}

/// Opens a data folder that no process holds, for commands that look at it.
pub fn with_store<R>(
    config: &Config,
    look: impl FnOnce(&Store) -> Result<R, Failure>,
) -> Result<R, Failure> {
    if !config.data.exists() {
        let text = format!("{} does not exist; `cumulet up` makes it", config.data.display());
        return Err(Failure::new(exit::DATA, text));
    }
    let clock = Arc::new(SystemClock::new());
    let (store, upkeep) = open_store(config, open_disk(config)?, clock)?;
    let result = look(&store);
    upkeep.finish();
    result
}

fn open_disk(config: &Config) -> Result<Arc<FsDisk>, Failure> {
    let holder = format!("process {}", std::process::id());
    let disk = FsDisk::open(&config.data, &holder).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => Failure::new(exit::HELD, error.to_string()),
        _ => {
            let text = format!("cannot keep data in {}: {error}", config.data.display());
            Failure::new(exit::DATA, text)
        }
    });
    disk.map(Arc::new)
}

/// The registry of images, which has the engine's layers for its own.
fn registry_of(config: &Config, store: &Store) -> Result<Registry, Failure> {
    let root = config.data.join("engine");
    let images = engine::image::Images::open(store.clone(), &root, Arc::new(OsEntropy), None);
    let registry = Registry::new(store.clone(), Arc::new(OsEntropy), images);
    if config.upstreams.is_empty() {
        return Ok(registry);
    }
    let http = registry::Http::new(services::trusted)
        .map_err(|error| Failure::new(exit::FAILED, error.to_string()))?;
    let upstreams = config.upstreams.iter().cloned().map(|one| one.over(&http));
    Ok(registry.with_upstreams(upstreams.collect()))
}

/// What the gateway has besides services.
struct Front {
    pages: Arc<DropInPages>,
    registry: Arc<Registry>,
    console: Arc<Console>,
}

fn gateway(
    config: &Config,
    store: &Store,
    clock: Arc<ShiftedClock>,
    front: Front,
) -> Result<Arc<Gateway>, Failure> {
    let parts = GatewayParts {
        store: store.clone(),
        clock: clock.clone(),
        entropy: Arc::new(OsEntropy),
        services: services::all(config),
        identities: Arc::new(directory::Directory::default()),
        access: AccessRules {
            well_known_pairs: config.well_known_pairs,
            open: config.open,
            root_keys: config.root_keys.clone(),
            allowed_origins: config.allow_origins.clone(),
            host_names: host_names(config),
            region: config.region.clone(),
        },
    };
    let gateway = Gateway::new(parts).and_then(|gateway| gateway.with_movable_clock(clock));
    let Front { pages, registry, console } = front;
    let gateway = gateway.map(|gateway| {
        gateway
            .with_pages(pages)
            .with_registry(registry)
            .with_console(console)
            .with_timer(Arc::new(Sleep))
            .shared()
    });
    gateway.map_err(|error| Failure::new(exit::DATA, format!("{error:?}")))
}

/// Containers find the cloud by a name of its own, which no resolver outside can lead here.
fn host_names(config: &Config) -> Vec<String> {
    config.host_names.iter().cloned().chain(["cloud.internal".to_owned()]).collect()
}

/// SIGTERM and SIGINT end in good order; a second one ends at once.
fn watch_signals(stop: watch::Sender<bool>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(exit::FAILED, format!("no signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    #[allow(clippy::disallowed_methods, reason = "the process owns its signals")]
    tokio::spawn(async move {
        for round in 0.. {
            std::future::poll_fn(|cx| {
                let come = terminate.poll_recv(cx).is_ready() | interrupt.poll_recv(cx).is_ready();
                if come { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
            if round > 0 {
                std::process::exit(exit::FAILED);
            }
            let _ = stop.send(true);
        }
    });
    Ok(())
}

fn greet(config: &Config, settings: &Settings, url: &str, lines: &[String]) {
    use std::fmt::Write as _;
    let mut out = String::new();
    let shown = settings.shown();
    if !shown.is_empty() {
        let _ = writeln!(out, "settings that are not the default:\n{}", shown.trim_end());
    }
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "listening on {url}");
    let _ = writeln!(out, "console at {url}/_console");
    let _ = writeln!(out, "data in {}", config.data.display());
    if config.durability == store::Durability::Relaxed {
        let _ = writeln!(out, "durability is relaxed: a crash may lose the last moments");
    }
    if config.open {
        let _ = writeln!(out, "auth is open: whoever reaches this address is root with test/test");
    }
    if let Some(name) = drop_in::name(config.drop_in) {
        let _ = writeln!(out, "in the place of {name}");
    }
    let _ = writeln!(out, "try:");
    let _ = writeln!(out, "  eval \"$({})\"", own_command(config));
    let _ = writeln!(out, "  aws s3 mb s3://photos");
    let _ = writeln!(out, "  aws s3 ls");
    // That nobody reads it ends nothing.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), out.as_bytes());
}

/// `cumulet env` as it works in another shell: by its path if it was started by one, and with the data
/// folder if that is not the usual one.
fn own_command(config: &Config) -> String {
    let by_path =
        std::env::args_os().next().is_some_and(|name| Path::new(&name).components().count() > 1);
    let path = std::env::current_exe().ok().filter(|_| by_path);
    let mut command = path.map_or("cumulet".to_owned(), |path| quoted(&path.display().to_string()));
    command.push_str(" env");
    if !config.is_default {
        let data = std::path::absolute(&config.data).unwrap_or(config.data.clone());
        command.push_str(&format!(" --data {}", quoted(&data.display().to_string())));
    }
    command
}

#[allow(clippy::disallowed_methods, reason = "beside the data, for whoever started us")]
fn write_ready_file(path: &Path, address: SocketAddr, failed: &[String]) -> Result<(), Failure> {
    let mut text = ephemeral::said(address, failed, |_| {});
    text.push('\n');
    let partial = path.with_extension("partial");
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|e| Failure::new(exit::FAILED, format!("{}: {e}", path.display())))
}

/// A server with this certificate; with `clients` it asks for theirs.
pub fn tls(
    cert: &Path,
    key: &Path,
    clients: Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>,
) -> Result<rustls::ServerConfig, Failure> {
    use rustls_pki_types::pem::PemObject;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let bad = |path: &Path, error: String| {
        Failure::new(exit::USAGE, format!("{}: {error}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| bad(cert, error.to_string()))?;
    let key_der = PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(cert, error.to_string()))?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    builder.with_single_cert(chain, key_der).map_err(|error| bad(cert, error.to_string()))
}
