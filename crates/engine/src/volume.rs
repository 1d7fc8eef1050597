//! Volumes: folders that outlive containers.

use crate::engine::{Engine, SCOPE, blocking};
use crate::error::Error;
use crate::names;
use crate::rows::{PairRow, VOLUMES, VolumeRow};
use crate::time;
use std::collections::BTreeMap;
use std::path::PathBuf;
use store::StoreError;

/// The label of those that were made without a name.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    pub name: String,
    pub created_ns: i64,
    pub labels: BTreeMap<String, String>,
    pub options: BTreeMap<String, String>,
    pub mountpoint: PathBuf,
    pub is_anonymous: bool,
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<PairRow> {
    map.iter().map(|(key, value)| PairRow { key: key.clone(), value: value.clone() }).collect()
}

fn map(pairs: Vec<PairRow>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

impl Engine {
    pub(crate) fn volume_path(&self, name: &str) -> PathBuf {
        self.0.root.join("volumes").join(name).join("_data")
    }

    fn volume(&self, name: String, row: VolumeRow) -> Volume {
        Volume {
            mountpoint: self.volume_path(&name),
            name,
            created_ns: row.created_ns,
            labels: map(row.labels),
            options: map(row.options),
            is_anonymous: row.is_anonymous,
        }
    }

    pub fn volumes(&self) -> Result<Vec<Volume>, Error> {
        let rows = self
            .0
            .store
            .read(|tx| tx.scan(&VOLUMES, &SCOPE).collect::<Result<Vec<_>, StoreError>>())?;
        Ok(rows.into_iter().map(|(name, row)| self.volume(name, row)).collect())
    }

    pub fn find_volume(&self, name: &str) -> Result<Volume, Error> {
        let row = self.0.store.read(|tx| tx.get(&VOLUMES, &SCOPE, name))?;
        match row {
            Some(row) => Ok(self.volume(name.to_owned(), row)),
            None => Err(Error::not_found(format!("get {name}: no such volume"))),
        }
    }

    /// Gives the one that is there, or makes it. Without a name it gets a random one.
    pub async fn create_volume(
        &self,
        name: &str,
        driver: &str,
        labels: &BTreeMap<String, String>,
        options: &BTreeMap<String, String>,
    ) -> Result<Volume, Error> {
        if !matches!(driver, "" | "local") {
            return Err(Error::not_found(format!(
                "error looking up volume plugin {driver}: plugin \"{driver}\" not found"
            )));
        }
        if let Some(option) = options.keys().next() {
            let text = format!("volume option {option} is not done");
            return Err(Error::new(crate::error::Kind::NotDone, text));
        }
        let is_anonymous = name.is_empty();
        let name = match is_anonymous {
            true => names::new_id(&*self.0.entropy),
            false if names::is_name(name) => name.to_owned(),
            false => {
                return Err(Error::invalid(format!(
                    "create {name}: \"{name}\" includes invalid characters for a local volume \
                     name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass \
                     a host directory, use absolute path"
                )));
            }
        };
        let mut labels = labels.clone();
        if is_anonymous {
            labels.insert(ANONYMOUS.to_owned(), String::new());
        }
        let row = VolumeRow {
            created_ns: time::now_ns(),
            labels: pairs(&labels),
            options: pairs(options),
            is_anonymous,
        };
        std::fs::create_dir_all(self.volume_path(&name))?;
        let stored = self.0.store.write(|tx| {
            if let Some(there) = tx.get(&VOLUMES, &SCOPE, &name)? {
                return Ok((there, false));
            }
            tx.put(&VOLUMES, &SCOPE, &name, &row)?;
            Ok::<_, StoreError>((row.clone(), true))
        });
        let (row, is_new) = stored.await?;
        if is_new {
            let about = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
            self.tell("volume", "create", &name, about);
        }
        Ok(self.volume(name, row))
    }

    /// Names of containers that have it.
    pub fn volume_users(&self, name: &str) -> Vec<String> {
        self.containers()
            .iter()
            .filter(|one| one.mounts.iter().any(|m| m.kind == "volume" && m.name == name))
            .map(|one| one.id.clone())
            .collect()
    }

    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<(), Error> {
        if let Err(error) = self.find_volume(name) {
            return if force { Ok(()) } else { Err(error) };
        }
        let users = self.volume_users(name);
        if !users.is_empty() {
            return Err(Error::conflict(format!(
                "remove {name}: volume is in use - [{}]",
                users.join(", ")
            )));
        }
        let removed = self.0.store.write(|tx| {
            tx.mark_freeing();
            tx.delete(&VOLUMES, &SCOPE, name)?;
            Ok::<_, StoreError>(())
        });
        removed.await?;
        let (above, own) = (self.0.root.join("volumes"), name.to_owned());
        blocking(move || {
            let above = crate::image::open_folder(&above)?;
            Ok(crate::image::remove_folder(&above, own.as_bytes())?)
        })
        .await?;
        let about = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
        self.tell("volume", "destroy", name, about);
        Ok(())
    }
}
