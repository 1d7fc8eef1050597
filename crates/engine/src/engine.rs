//! The engine: all containers, the conversation with the helper, and what is found again at a start.
//!
//! Who changes a container holds its turn ([`Container::turn`]) meanwhile; what it is right now stands behind
//! a lock that is never held over a wait. Rows say what shall be; what runs, the helper says ([`crate::recover`]).

use crate::claim::{self, Claim};
use crate::container::{Container, Exec};
use crate::error::Error;
use crate::events::{Event, Events};
use crate::helper::client::{self, Client};
use crate::helper::protocol::Ended;
use crate::hierarchy::Hierarchies;
use crate::image::{Driver, Images};
use crate::names::{self, Found};
use crate::network::{Networks, Partitions};
use crate::remap::Remap;
use crate::time;
use base::Entropy;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::{Scope, Store};

pub(crate) const SCOPE: Scope = Scope::Host;
/// At the end, for what just starts or ends.
const CLOSE_TRIES: u32 = 100;
const CLOSE_PAUSE: Duration = Duration::from_millis(20);

/// What the engine needs from outside.
pub struct Parts {
    pub store: Store,
    pub entropy: Arc<dyn Entropy>,
    /// The data folder: `engine` and `run` below it are ours.
    pub data: PathBuf,
    /// Where the cloud itself answers, for containers that ask for it.
    pub cloud: Option<SocketAddr>,
    /// Whether the default bridge has IPv6, too.
    pub default_six: bool,
    /// How containers see the layers of their images; none is the first way that works here.
    pub driver: Option<Driver>,
    /// Who users of containers are outside; none is who they are inside.
    pub remap: Option<Remap>,
    /// Containers end with this process, even if it is killed.
    pub ends_with_us: bool,
}

#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub store: Store,
    pub entropy: Arc<dyn Entropy>,
    pub root: PathBuf,
    pub run: PathBuf,
    pub images: Images,
    pub events: Events,
    pub hierarchies: Hierarchies,
    pub networks: Networks,
    pub containers: RwLock<BTreeMap<String, Arc<Container>>>,
    /// Names taken by containers that are being made.
    pub names: Mutex<BTreeSet<String>>,
    pub execs: Mutex<BTreeMap<String, Arc<Exec>>>,
    pub(crate) helper: tokio::sync::Mutex<Option<Arc<Client>>>,
    /// Those that shall not reach each other.
    pub partitions: tokio::sync::Mutex<Partitions>,
    /// None where nothing of the kernel's can be had anyway.
    pub(crate) claim: Mutex<Option<Claim>>,
    pub(crate) ends_with_us: bool,
    pub remap: Option<Remap>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}

impl Engine {
    /// Opens the engine, finds containers again that run, and starts those that should. Without any
    /// container this reads a few rows and does nothing else.
    pub async fn open(parts: Parts) -> Result<Engine, Error> {
        let Parts { store, entropy, data, cloud, default_six, driver, remap, ends_with_us } = parts;
        let root = data.join("engine");
        let run = data.join("run");
        for folder in [root.join("containers"), root.join("volumes"), run.clone()] {
            std::fs::create_dir_all(folder)?;
        }
        crate::container::make_stubs(&root.join("stubs"))?;
        let images = Images::open(store.clone(), &root, entropy.clone(), driver);
        images.prepare()?;
        let networks = Networks::open(store.clone(), entropy.clone(), &data, cloud, default_six)?;
        let engine = Engine(Arc::new(Inner {
            images,
            events: Events::default(),
            hierarchies: Hierarchies::detect(),
            networks,
            containers: RwLock::default(),
            names: Mutex::default(),
            execs: Mutex::default(),
            helper: tokio::sync::Mutex::new(None),
            partitions: tokio::sync::Mutex::default(),
            claim: Mutex::new(None),
            ends_with_us,
            remap,
            store,
            entropy,
            root,
            run,
        }));
        engine.claim().await;
        engine.0.networks.carry()?;
        engine.restore().await?;
        engine.remove_forgotten().await?;
        Ok(engine)
    }

    /// Says that this engine is there, and clears up after those that are not.
    async fn claim(&self) {
        let engine = self.clone();
        let _ = blocking(move || {
            match Claim::take(engine.0.networks.mark()) {
                Ok(claim) => *engine.0.claim.lock() = Some(claim),
                // Who may not write there has nothing in the kernel either.
                Err(error) => tracing::debug!(%error, "no claim"),
            }
            let swept = claim::sweep();
            if !swept.gone.is_empty() {
                tracing::info!(engines = ?swept.gone, "cleared up after engines that are no more");
            }
            if matches!(client::find(&engine.0.run), Ok(None)) {
                engine.0.networks.clear_unknown();
                for above in engine.0.hierarchies.parents() {
                    crate::sys::cgroup::remove_marked(&above, engine.0.networks.mark());
                }
            }
            Ok(())
        })
        .await;
    }

    pub fn images(&self) -> &Images {
        &self.0.images
    }

    pub fn events(&self) -> &Events {
        &self.0.events
    }

    pub fn networks(&self) -> &Networks {
        &self.0.networks
    }

    /// Whether users of containers are others outside.
    pub fn remaps(&self) -> bool {
        self.0.remap.is_some()
    }

    pub fn root(&self) -> &Path {
        &self.0.root
    }

    pub fn cgroup_version(&self) -> &'static str {
        self.0.hierarchies.version()
    }

    pub fn containers(&self) -> Vec<Arc<Container>> {
        self.0.containers.read().values().cloned().collect()
    }

    /// By id, name, or the beginning of an id.
    pub fn find(&self, text: &str) -> Result<Arc<Container>, Error> {
        let all = self.0.containers.read();
        let named: Vec<(String, String)> =
            all.values().map(|one| (one.id.clone(), one.name())).collect();
        let pairs = named.iter().map(|(id, name)| (id.as_str(), name.as_str()));
        match names::find(text, pairs) {
            Found::One(id) => all.get(&id).cloned().ok_or_else(|| no_such(text)),
            Found::None => Err(no_such(text)),
            Found::Many => {
                Err(Error::invalid(format!("multiple IDs found with provided prefix: {text}")))
            }
        }
    }

    pub(crate) fn event(&self, container: &Container, action: &str, more: &[(&str, String)]) {
        let mut attributes = container.config.labels.clone();
        attributes.insert("image".to_owned(), container.config.image.clone());
        attributes.insert("name".to_owned(), container.name());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.tell("container", action, &container.id, attributes);
    }

    pub fn tell(
        &self,
        kind: &'static str,
        action: &str,
        actor: &str,
        attributes: BTreeMap<String, String>,
    ) {
        self.0.events.tell(Event {
            kind,
            action: action.to_owned(),
            actor: actor.to_owned(),
            attributes,
            at_ns: time::now_ns(),
        });
    }

    /// The end of a container or of a further program in one.
    pub(crate) async fn ended(&self, ended: Ended) {
        let container = self.0.containers.read().get(&ended.key).cloned();
        match container {
            Some(container) => self.container_ended(&container, ended).await,
            None => self.exec_ended(&ended),
        }
    }

    /// Folders of containers that are no more.
    pub(crate) fn forget_folders(&self, known: &BTreeSet<String>) -> Result<(), Error> {
        let above = crate::image::open_folder(&self.0.root.join("containers"))?;
        for entry in std::fs::read_dir(self.0.root.join("containers"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !known.contains(&name) {
                let _ = crate::image::remove_folder(&above, name.as_bytes());
            }
        }
        Ok(())
    }

    pub(crate) fn stubs(&self) -> PathBuf {
        self.0.root.join("stubs")
    }

    pub(crate) fn folder(&self, id: &str) -> PathBuf {
        self.0.root.join("containers").join(id)
    }

    /// Before the process ends: networks that nobody uses any more are taken down. Containers that
    /// run go on.
    pub async fn close(&self) {
        for n in 1..=CLOSE_TRIES {
            if self.containers().iter().any(|container| container.is_running()) {
                return;
            }
            // A lease that nobody who is starting has was forgotten.
            let is_last = n == CLOSE_TRIES
                && self.containers().iter().all(|container| container.turn.try_lock().is_ok());
            let engine = self.clone();
            let down = blocking(move || {
                if !engine.0.networks.take_down(is_last) {
                    return Ok(false);
                }
                // Containers of another cloud may still be below; then they stay.
                crate::sys::cgroup::remove(&engine.0.hierarchies.parents());
                if let Some(claim) = engine.0.claim.lock().take() {
                    claim.give_up();
                }
                Ok(true)
            });
            if !matches!(down.await, Ok(false)) {
                return;
            }
            tokio::time::sleep(CLOSE_PAUSE).await;
        }
        tracing::warn!("a container that is about to start keeps its network");
    }
}

fn no_such(text: &str) -> Error {
    Error::not_found(format!("No such container: {text}"))
}

/// Work that waits for the disk or the kernel, on a thread that may.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::failed(format!("internal error: {error}"))),
    }
}

/// Work that goes on by itself.
pub fn task(work: impl Future<Output = ()> + Send + 'static) {
    #[allow(clippy::disallowed_methods, reason = "the engine owns its runtime's tasks")]
    tokio::spawn(work);
}
