//! Folders that steps keep things in from one build to the next: `--mount=type=cache`.
//!
//! They lie in the engine's folder, each under a name made of its id. What is in them is nobody's
//! promise: it goes when somebody prunes.

use engine::image::{open_folder, remove_folder};
use engine::{Engine, Error};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Waiting, OwnedMutexGuard};

const FOLDER: &str = "build-caches";
/// Beside the folder of a cache, which id it is of.
const NAME: &str = "id";
const CONTENT: &str = "content";
/// Folders of one id that nobody shares, at most.
const PRIVATE_MAX: usize = 1000;

type Locks = BTreeMap<String, Arc<Waiting<()>>>;

/// Who has which.
#[derive(Debug)]
pub struct Caches {
    folder: PathBuf,
    locks: Mutex<Locks>,
    /// How many steps are in each.
    used: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// A cache in use.
#[derive(Debug)]
pub struct Held {
    pub content: PathBuf,
    key: String,
    used: Arc<Mutex<BTreeMap<String, usize>>>,
    _lock: Option<OwnedMutexGuard<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = used.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                used.remove(&self.key);
            }
        }
    }
}

/// How a cache looks when it is made.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// One that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cache {
    pub key: String,
    pub id: String,
    pub size_bytes: u64,
    pub is_used: bool,
    /// Seconds since 1970.
    pub made: i64,
    pub changed: i64,
}

impl Caches {
    pub fn new(engine: &Engine) -> Caches {
        Caches { folder: engine.root().join(FOLDER), locks: Mutex::default(), used: Arc::default() }
    }

    fn lock(&self, key: &str) -> Arc<Waiting<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds any more are let go.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(key.to_owned()).or_default().clone()
    }

    /// Waits for one that others may not be in at the same time.
    pub async fn locked(&self, id: &str, look: Look) -> Result<Held, Error> {
        let key = key(id);
        let guard = self.lock(&key).lock_owned().await;
        self.hold(key, id, look, Some(guard))
    }

    pub fn shared(&self, id: &str, look: Look) -> Result<Held, Error> {
        self.hold(key(id), id, look, None)
    }

    /// The first one of this id that nobody is in.
    pub fn private(&self, id: &str, look: Look) -> Result<Held, Error> {
        for at in 0..PRIVATE_MAX {
            let key = key(&format!("{id}\0{at}"));
            if let Ok(guard) = self.lock(&key).try_lock_owned() {
                return self.hold(key, id, look, Some(guard));
            }
        }
        Err(Error::failed(format!("too many steps are in the cache {id}")))
    }

    fn hold(
        &self,
        key: String,
        id: &str,
        look: Look,
        lock: Option<OwnedMutexGuard<()>>,
    ) -> Result<Held, Error> {
        // Under this lock nothing is pruned.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.folder.join(&key);
        let content = place.join(CONTENT);
        if !content.exists() {
            std::fs::create_dir_all(&content)?;
            let mut options = std::fs::OpenOptions::new();
            let name = options.write(true).create(true).truncate(true).open(place.join(NAME))?;
            std::io::Write::write_all(&mut &name, id.as_bytes())?;
            let made = open_folder(&content)?;
            let (uid, gid) =
                (rustix::fs::Uid::from_raw(look.uid), rustix::fs::Gid::from_raw(look.gid));
            rustix::fs::fchown(&made, Some(uid), Some(gid))?;
            rustix::fs::fchmod(&made, rustix::fs::Mode::from_raw_mode(look.mode))?;
        }
        *used.entry(key.clone()).or_default() += 1;
        Ok(Held { content, key, used: self.used.clone(), _lock: lock })
    }

    /// All that are there. Blocks.
    pub fn list(&self) -> Result<Vec<Cache>, Error> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry?;
            let key = entry.file_name().to_string_lossy().into_owned();
            let Ok(id) = std::fs::read_to_string(entry.path().join(NAME)) else { continue };
            let Ok(content) = open_folder(&entry.path().join(CONTENT)) else { continue };
            let mut size_bytes = 0;
            // Somebody may be in it: what goes meanwhile does not count.
            let _ = crate::tree::walk(&content, &mut |found| {
                size_bytes += if found.kind().is_file() { found.stat.st_size as u64 } else { 0 };
                Ok(true)
            });
            let stat = rustix::fs::fstat(&content)?;
            let made = rustix::fs::stat(entry.path().join(NAME))?.st_mtime;
            let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            let is_used = used.contains_key(&key);
            all.push(Cache { key, id, size_bytes, is_used, made, changed: stat.st_mtime });
        }
        all.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(all)
    }

    /// Removes those that nobody is in and for which `goes` says so; gives them. Blocks.
    pub fn prune(&self, goes: impl Fn(&Cache) -> bool) -> Result<Vec<Cache>, Error> {
        let mut gone = Vec::new();
        for cache in self.list()? {
            if !goes(&cache) {
                continue;
            }
            let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            if used.contains_key(&cache.key) {
                continue;
            }
            remove_folder(open_folder(&self.folder)?, cache.key.as_bytes())?;
            drop(used);
            gone.push(cache);
        }
        Ok(gone)
    }
}

fn key(id: &str) -> String {
    oci::Digest::of(id.as_bytes()).hex().to_string()
}
