//! Containers as rows.

use super::{Container, State};
use crate::engine::{Engine, SCOPE};
use crate::error::Error;
use crate::rows::{CONTAINERS, ContainerRow};
use store::StoreError;

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl Container {
    pub(crate) fn row(&self, state: &State) -> ContainerRow {
        ContainerRow {
            name: state.name.clone(),
            created_ns: self.created_ns,
            image: self.image.clone(),
            config: json(&self.config),
            host_config: json(&state.host),
            mounts: json(&self.mounts),
            endpoints: json(&state.endpoints),
            started_ns: state.started_ns,
            finished_ns: state.finished_ns,
            exit_code: state.exit_code,
            out_of_memory: state.out_of_memory,
            error: state.error.clone(),
            wanted: state.wanted,
            restarts: state.restarts,
            ports: json(&state.ports),
        }
    }
}

impl Engine {
    /// Writes what it is now; done when it is on the disk.
    pub(crate) async fn save(&self, container: &Container) -> Result<(), Error> {
        let row = container.row(&container.state());
        self.0.store.write(|tx| tx.put(&CONTAINERS, &SCOPE, &container.id, &row)).await?;
        Ok(())
    }

    /// The same without waiting: for what the helper would tell again.
    pub(crate) fn save_later(&self, container: &Container) {
        let row = container.row(&container.state());
        let write = self.0.store.write(|tx| {
            // A container that was removed meanwhile stays so.
            if tx.exists(&CONTAINERS, &SCOPE, &container.id)? {
                tx.put(&CONTAINERS, &SCOPE, &container.id, &row)?;
            }
            Ok::<_, StoreError>(())
        });
        drop(write);
    }
}
