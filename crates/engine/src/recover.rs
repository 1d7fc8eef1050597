//! The conversation with the helper, and what is found again: when this process starts while containers run, and
//! when the conversation is over though they may run on.
//!
//! Who runs, the helper says. What a start made that no row may say yet (addresses, ports) lies in the container's
//! folder before the helper is asked, and how it ended is written there by the helper; so nothing hangs on a row
//! that was not written when this process was killed.

use crate::claim::Claim;
use crate::config::EndpointSettings;
use crate::container::Container;
use crate::engine::{Engine, SCOPE, blocking, task};
use crate::error::Error;
use crate::forget::CONTAINER;
use crate::helper::client::{self, Client};
use crate::helper::protocol::{Ended, Running};
use crate::network::Ports;
use crate::rows::{CONTAINERS, FORGOTTEN};
use crate::time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::StoreError;
use tokio::sync::mpsc;

/// A helper that was just ending does not answer; then there is none, or another.
const TRIES: u32 = 3;
/// Until it is asked for again when it could not be: this process may have no descriptors left, or the helper much
/// to do.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// For a start under way, which takes some tens of milliseconds where the machine has nothing else to do.
const SETTLE_TRIES: u32 = 1000;
const SETTLE_PAUSE: Duration = Duration::from_millis(10);
/// Of a container whose end nobody wrote down: after this process was away, and when the helper was killed.
const CODE_UNKNOWN: i32 = 255;
const CODE_KILLED: i32 = 137;

type Ends = mpsc::UnboundedReceiver<Ended>;

/// What there is only while a container runs, as of its start.
#[derive(Serialize, Deserialize)]
struct Begun {
    at_ns: i64,
    endpoints: BTreeMap<String, EndpointSettings>,
    ports: Ports,
}

impl Engine {
    /// The conversation with the helper, which is started if there is none.
    pub(crate) async fn helper(&self) -> Result<Arc<Client>, Error> {
        let mut helper = self.0.helper.lock().await;
        if let Some(client) = helper.as_ref().filter(|client| !client.is_over()) {
            return Ok(client.clone());
        }
        let (client, ends) = match self.converse().await? {
            Some(begun) => begun,
            None => {
                let run = self.0.run.clone();
                let claim = self.0.claim.lock().as_ref().map(Claim::share).transpose()?;
                let socket = blocking(move || {
                    client::spawn(&run, claim)
                        .map_err(|error| Error::failed(format!("cannot start the helper: {error}")))
                });
                self.begin(socket.await?).await?
            }
        };
        *helper = Some(client.clone());
        self.hear(ends);
        Ok(client)
    }

    /// With the helper that is there, if there is one.
    async fn converse(&self) -> Result<Option<(Arc<Client>, Ends)>, Error> {
        let mut failed = None;
        for _ in 0..TRIES {
            let run = self.0.run.clone();
            let socket = match blocking(move || Ok(client::find(&run)?)).await {
                Ok(Some(socket)) => socket,
                Ok(None) => return Ok(None),
                Err(error) => {
                    failed = Some(error);
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            match self.begin(socket).await {
                Ok(begun) => return Ok(Some(begun)),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn begin(&self, socket: rustix::fd::OwnedFd) -> Result<(Arc<Client>, Ends), Error> {
        let ends_with = self.0.ends_with_us.then(|| self.0.networks.mark().to_owned());
        let (client, ends) = Client::begin(socket, ends_with).await?;
        if !client.holds_claim() {
            // An older helper could not hold it when we are gone, so better nobody takes us for dead.
            if let Some(claim) = self.0.claim.lock().take() {
                claim.give_up();
            }
        }
        Ok((Arc::new(client), ends))
    }

    fn hear(&self, mut ends: Ends) {
        let engine = self.clone();
        task(async move {
            while let Some(ended) = ends.recv().await {
                engine.ended(ended).await;
            }
            let before = engine.runs();
            let mut pause = PAUSE;
            // Till somebody knows they would be shown running, dead or not.
            while let Err(error) = engine.reconcile(&before).await {
                tracing::error!(%error, "nobody knows what became of the containers");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        });
    }

    /// What runs, and which of its runs it is.
    fn runs(&self) -> Vec<(Arc<Container>, u64)> {
        self.containers()
            .into_iter()
            .filter(|container| container.is_running())
            .map(|container| (container.clone(), container.state().run))
            .collect()
    }

    /// The conversation is over: the helper is gone, and with it all that it had started, or it has let us go
    /// and they run on.
    async fn reconcile(&self, before: &[(Arc<Container>, u64)]) -> Result<(), Error> {
        let (list, ends) = self.find_running().await?;
        let running: BTreeSet<&str> = list.iter().map(|one| one.key.as_str()).collect();
        for (container, run) in before {
            // Whatever was started since is no affair of that conversation.
            if !running.contains(container.id.as_str()) && container.state().run == *run {
                let ended = self.recorded_end(container, CODE_KILLED);
                self.ended(ended).await;
            }
        }
        for one in &list {
            let container = self.0.containers.read().get(&one.key).cloned();
            let Some(container) = container.filter(|container| !container.is_running()) else {
                continue;
            };
            let engine = self.clone();
            task(async move { engine.kill_unwanted(&container).await });
        }
        if let Some(ends) = ends {
            self.hear(ends);
        }
        Ok(())
    }

    /// It was asked for, and who asked was told that it failed; unless it was started again since.
    async fn kill_unwanted(&self, container: &Container) {
        let _turn = container.turn.lock().await;
        let client = self.0.helper.lock().await.clone();
        if let Some(client) = client.filter(|_| container.is_at_rest()) {
            let _ = client.signal(&container.id, libc::SIGKILL).await;
        }
    }

    /// Containers as rows say, and what became of those that ran.
    pub(crate) async fn restore(&self) -> Result<(), Error> {
        let rows = self
            .0
            .store
            .read(|tx| tx.scan(&CONTAINERS, &SCOPE).collect::<Result<Vec<_>, StoreError>>())?;
        let known: BTreeSet<String> = rows.iter().map(|(id, _)| id.clone()).collect();
        self.forget_folders(&known)?;
        let mut restored = Vec::new();
        for (id, row) in rows {
            let container = Arc::new(Container::from_row(&id, &row)?);
            self.0.containers.write().insert(id, container.clone());
            restored.push(container);
        }
        let (list, ends) = self.find_running().await?;
        let running: BTreeMap<&str, &Running> =
            list.iter().map(|one| (one.key.as_str(), one)).collect();
        let mut lost = false;
        for container in &restored {
            if let Some(one) = running.get(container.id.as_str()) {
                self.take_up(container, Some(one.started_ns));
                self.found_running(container, one.pid).await;
            } else if self.ended_unseen(container) {
                let ended = self.recorded_end(container, CODE_UNKNOWN);
                container.set_running_before();
                lost = true;
                self.container_ended(container, ended).await;
            } else if container.is_of_build() {
                // Below.
            } else if container.restarts_at_start() {
                let (engine, container) = (self.clone(), container.clone());
                task(async move { drop(engine.start(&container).await) });
            }
            if container.is_of_build() {
                // The build that it belonged to has ended with the last process.
                let (engine, container) = (self.clone(), container.clone());
                task(async move { drop(engine.remove(&container, true, true).await) });
            }
        }
        // What has ended since the list was made is told only to who knows of it.
        if let Some(ends) = ends {
            self.hear(ends);
        }
        if lost || !running.is_empty() {
            self.refresh_networks().await;
        }
        Ok(())
    }

    /// What the helper says runs; and its ends from then on, if this began the conversation. Containers that
    /// went with a reset are killed.
    async fn find_running(&self) -> Result<(Vec<Running>, Option<Ends>), Error> {
        let mut failed = None;
        // The conversation that this began last: nobody else hears its ends.
        let mut begun: Option<(Arc<Client>, Ends)> = None;
        for _ in 0..TRIES {
            let mut helper = self.0.helper.lock().await;
            let client = match helper.as_ref().filter(|client| !client.is_over()) {
                Some(client) => client.clone(),
                None => match self.converse().await? {
                    Some((client, ends)) => begun.insert((client, ends)).0.clone(),
                    None => return Ok((Vec::new(), None)),
                },
            };
            *helper = Some(client.clone());
            drop(helper);
            match settled(&client).await {
                Ok(list) => {
                    self.kill_forgotten(&client, &list).await;
                    let begun = begun.filter(|(of, _)| Arc::ptr_eq(of, &client));
                    return Ok((list, begun.map(|(_, ends)| ends)));
                }
                // It may have been killed just now.
                Err(error) => failed = Some(error),
            }
        }
        // It goes on, so whoever asks next takes it as it is.
        if let Some((_, ends)) = begun.filter(|(client, _)| !client.is_over()) {
            self.hear(ends);
        }
        failed.map_or_else(|| Ok((Vec::new(), None)), Err)
    }

    async fn kill_forgotten(&self, client: &Client, list: &[Running]) {
        for one in list {
            let row = (CONTAINER, one.key.as_str());
            if self.0.store.read(|tx| tx.exists(&FORGOTTEN, &SCOPE, &row)).unwrap_or(false) {
                let _ = client.signal(&one.key, libc::SIGKILL).await;
            }
        }
    }

    /// Before the helper is asked for a start. Blocks.
    pub(crate) fn note_start(&self, container: &Container) -> Result<(), Error> {
        let begun = {
            let state = container.state();
            let (endpoints, ports) = (state.endpoints.clone(), state.ports.clone());
            Begun { at_ns: time::now_ns(), endpoints, ports }
        };
        let text = serde_json::to_string(&begun).map_err(std::io::Error::from)?;
        let folder = self.folder(&container.id);
        // Of the run before, which its row knows.
        let _ = std::fs::remove_file(folder.join("exit"));
        crate::container::write_file(&folder.join("begun"), &text)
    }

    /// The last start, if its row says nothing of it.
    fn unwritten_start(&self, container: &Container) -> Option<Begun> {
        let text = std::fs::read_to_string(self.folder(&container.id).join("begun")).ok()?;
        let begun: Begun = serde_json::from_str(&text).ok()?;
        (container.state().started_ns < begun.at_ns).then_some(begun)
    }

    fn take_up(&self, container: &Container, started_ns: Option<i64>) {
        let Some(begun) = self.unwritten_start(container) else { return };
        let mut state = container.state();
        state.endpoints = begun.endpoints;
        state.ports = begun.ports;
        state.started_ns = started_ns.unwrap_or(begun.at_ns).max(begun.at_ns);
        state.exit_code = 0;
        state.error = String::new();
        state.wanted = true;
    }

    /// Whether it ran when somebody looked last, or since.
    fn ended_unseen(&self, container: &Container) -> bool {
        if self.end_of(container).is_some_and(|ended| {
            self.unwritten_start(container).is_some_and(|begun| ended.at_ns >= begun.at_ns)
        }) {
            self.take_up(container, None);
        }
        container.was_running()
    }

    /// As the helper wrote it down.
    fn end_of(&self, container: &Container) -> Option<Ended> {
        let text = std::fs::read_to_string(self.folder(&container.id).join("exit")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// If the helper could not write it down, nobody knows.
    fn recorded_end(&self, container: &Container, code: i32) -> Ended {
        self.end_of(container).unwrap_or_else(|| Ended {
            key: container.id.clone(),
            code,
            out_of_memory: false,
            at_ns: time::now_ns(),
        })
    }
}

/// What runs, once all that was being started for somebody who is gone does, or has failed.
async fn settled(client: &Client) -> Result<Vec<Running>, Error> {
    let mut list = client.list().await?;
    for _ in 0..SETTLE_TRIES {
        if !list.iter().any(|one| one.starting) {
            break;
        }
        tokio::time::sleep(SETTLE_PAUSE).await;
        list = client.list().await?;
    }
    list.retain(|one| !one.starting);
    Ok(list)
}
