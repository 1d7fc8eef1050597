//! After a reset of the cloud: what rows stood for, and no row stands for any more, goes from the machine.
//!
//! The transaction of the reset leaves a row for each folder and bridge that it made masterless, so that a
//! crash forgets none: the next start goes on here. One for each container, too, which may run on.

use crate::engine::{Engine, SCOPE, blocking, task};
use crate::error::Error;
use crate::rows::{CONTAINERS, FORGOTTEN, LAYERS, NETWORKS, VOLUMES};
use store::{StoreError, Tx};
use tokio::sync::mpsc;

pub(crate) const CONTAINER: &str = "container";
const LAYER: &str = "layer";
const NETWORK: &str = "network";
const VOLUME: &str = "volume";

impl Engine {
    /// Part of the transaction that clears all rows. Networks that are always there stay.
    pub fn keep(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let mut gone: Vec<(&str, String)> = Vec::new();
        for key in tx.scan(&CONTAINERS, &SCOPE).keys() {
            gone.push((CONTAINER, key?));
        }
        for key in tx.scan(&LAYERS, &SCOPE).keys() {
            gone.push((LAYER, key?));
        }
        for key in tx.scan(&VOLUMES, &SCOPE).keys() {
            gone.push((VOLUME, key?));
        }
        let mut kept = Vec::new();
        for entry in tx.scan(&NETWORKS, &SCOPE) {
            let (id, row) = entry?;
            match self.networks().find(&id) {
                Ok(network) if network.is_predefined() => kept.push((id, row)),
                Ok(network) => gone.push((NETWORK, network.settings.interface)),
                Err(_) => {}
            }
        }
        for (id, row) in kept {
            tx.put(&NETWORKS, &SCOPE, &id, &row)?;
        }
        for (kind, name) in gone {
            tx.put(&FORGOTTEN, &SCOPE, &(kind, name.as_str()), &())?;
        }
        Ok(())
    }

    /// What is left of all that has no row: containers that run are killed, then their networks, volumes
    /// and images go.
    pub async fn forget(&self) -> Result<(), Error> {
        let (done, mut ends) = mpsc::unbounded_channel();
        for container in self.containers() {
            if self.0.store.read(|tx| tx.exists(&CONTAINERS, &SCOPE, &container.id))? {
                continue;
            }
            let (engine, done) = (self.clone(), done.clone());
            task(async move {
                let removed = engine.remove(&container, true, true).await;
                let _ = done.send(removed);
            });
        }
        drop(done);
        while let Some(removed) = ends.recv().await {
            removed?;
        }
        let engine = self.clone();
        blocking(move || engine.networks().forget()).await?;
        self.remove_forgotten().await
    }

    /// Folders and bridges whose rows went with a reset; at a start, those that a crash left.
    pub(crate) async fn remove_forgotten(&self) -> Result<(), Error> {
        let rows: Vec<(String, String)> = self
            .0
            .store
            .read(|tx| tx.scan(&FORGOTTEN, &SCOPE).keys().collect::<Result<_, StoreError>>())?;
        if rows.is_empty() {
            return Ok(());
        }
        let (engine, own) = (self.clone(), rows.clone());
        blocking(move || {
            for (kind, name) in &own {
                engine.remove_leftover(kind, name)?;
            }
            Ok(())
        })
        .await?;
        let forgotten = self.0.store.write(|tx| {
            tx.mark_freeing();
            for (kind, name) in &rows {
                tx.delete(&FORGOTTEN, &SCOPE, &(kind.as_str(), name.as_str()))?;
            }
            Ok::<_, StoreError>(())
        });
        Ok(forgotten.await?)
    }

    /// Unless something of that name has been made anew. What is not there is gone already.
    fn remove_leftover(&self, kind: &str, name: &str) -> Result<(), Error> {
        let is_anew = self.0.store.read(|tx| match kind {
            LAYER => tx.exists(&LAYERS, &SCOPE, name),
            VOLUME => tx.exists(&VOLUMES, &SCOPE, name),
            CONTAINER => Ok(false),
            _ => Ok(self.networks().list().iter().any(|one| one.settings.interface == name)),
        })?;
        if is_anew {
            return Ok(());
        }
        match kind {
            LAYER => self.images().remove_layer_files(name),
            VOLUME => {
                let above = crate::image::open_folder(&self.0.root.join("volumes"))?;
                let _ = crate::image::remove_folder(&above, name.as_bytes());
            }
            NETWORK => self.networks().delete_bridge(name)?,
            // A container that ran was killed, and its folder went, when the engine was opened.
            _ => {}
        }
        Ok(())
    }
}
