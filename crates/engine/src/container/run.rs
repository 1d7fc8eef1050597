//! Starting, stopping and removing.

use super::prepare::Prepared;
use super::{Container, Status, WaitFor};
use crate::config::{Resources, RestartPolicy};
use crate::engine::{Engine, SCOPE, blocking, task};
use crate::error::{Error, Kind};
use crate::helper::client::outlet_pair;
use crate::helper::protocol::{LogFile, Outlet, Start};
use crate::network::Joined;
use crate::remap::Space;
use crate::rows::CONTAINERS;
use crate::sys::cgroup;
use crate::{time, validate};
use rustix::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use store::StoreError;

const STOP_TIMEOUT_S: i64 = 10;
/// After SIGKILL nothing should be left.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

impl Engine {
    pub async fn start(&self, container: &Arc<Container>) -> Result<(), Error> {
        let _turn = container.turn.lock().await;
        self.start_now(container).await
    }

    /// With the turn held.
    pub(super) async fn start_now(&self, container: &Arc<Container>) -> Result<(), Error> {
        match container.state().status {
            Status::Running => return Err(Error::not_modified()),
            Status::Paused => {
                return Err(Error::conflict(
                    "cannot start a paused container, try unpause instead",
                ));
            }
            Status::Removing | Status::Dead => {
                return Err(Error::conflict(
                    "container is marked for removal and cannot be started",
                ));
            }
            _ => {}
        }
        let Err(error) = self.launch(container).await else { return Ok(()) };
        let (code, error) = start_error(error);
        {
            let mut state = container.state();
            state.exit_code = code;
            state.error.clone_from(&error.text);
            state.wanted = false;
            state.status = if state.started_ns == 0 { Status::Created } else { Status::Exited };
            // Who attached sees the end.
            state.outlets.clear();
        }
        container.advance(|progress| {
            progress.ends += 1;
            progress.exit_code = code;
            progress.is_running = false;
        });
        self.save_later(container);
        if container.state().host.auto_remove {
            let _ = self.remove_now(container, true).await;
        }
        Err(error)
    }

    async fn launch(&self, container: &Arc<Container>) -> Result<(), Error> {
        let space = self.space_of(container).await?;
        let joined = self.join_networks(container, space.clone()).await?;
        let launched = self.launch_in(container, joined, space).await;
        if launched.is_err() {
            self.leave_networks(container).await;
        }
        launched
    }

    async fn launch_in(
        &self,
        container: &Arc<Container>,
        joined: Joined,
        space: Option<Arc<Space>>,
    ) -> Result<(), Error> {
        let held = joined.ports.iter().map(OwnedFd::try_clone).collect::<Result<Vec<_>, _>>()?;
        let (engine, own) = (self.clone(), container.clone());
        let prepared = blocking(move || {
            let prepared = engine.prepare(engine.wanted(&own, joined, space)?)?;
            engine.note_start(&own)?;
            Ok(prepared)
        })
        .await?;
        let Prepared { plan, fds, cgroups } = prepared;
        let client = self.helper().await?;
        let config = &container.config;
        let start = Start {
            key: container.id.clone(),
            record: Some(self.folder(&container.id).join("exit").display().to_string()),
            log: self.log_file(container),
            terminal: config.tty,
            stdin: config.open_stdin,
            stdin_once: config.stdin_once,
            cgroups,
            plan_fds: 0,
            held_fds: 0,
            outlets: Vec::new(),
        };
        let outlets = {
            let mut state = container.state();
            state.starting = true;
            state.early_end = None;
            std::mem::take(&mut state.outlets)
        };
        let started = client.start(&plan, start, &fds, &held, &outlets).await;
        drop(outlets);
        let pid = match started {
            Ok(pid) => pid,
            Err(error) => {
                container.state().starting = false;
                return Err(error);
            }
        };
        let early_end = {
            let mut state = container.state();
            state.starting = false;
            state.status = Status::Running;
            state.pid = pid;
            state.run += 1;
            state.started_ns = time::now_ns();
            state.exit_code = 0;
            state.error = String::new();
            state.out_of_memory = false;
            state.wanted = true;
            state.early_end.take()
        };
        container.advance(|progress| progress.is_running = true);
        self.save_later(container);
        self.event(container, "start", &[]);
        self.begin_health(container);
        if let Some(ended) = early_end {
            let (engine, container) = (self.clone(), container.clone());
            task(async move { engine.container_ended(&container, ended).await });
        }
        Ok(())
    }

    fn log_file(&self, container: &Container) -> Option<LogFile> {
        let state = container.state();
        let log = &state.host.log_config;
        if log.kind == "none" {
            return None;
        }
        let option = |name: &str| log.config.get(name);
        let bytes_max = option("max-size").and_then(|size| validate::parse_size(size)).unwrap_or(0);
        let files_max = option("max-file").and_then(|n| n.parse().ok()).unwrap_or(1);
        let path = self.log_path(container).display().to_string();
        Some(LogFile { path, bytes_max, files_max })
    }

    pub fn log_path(&self, container: &Container) -> std::path::PathBuf {
        self.folder(&container.id).join(format!("{}-json.log", container.id))
    }

    /// A socket that carries its streams, from its start on if it does not run yet.
    pub async fn attach(&self, container: &Container, outlet: Outlet) -> Result<OwnedFd, Error> {
        let (ours, theirs) = outlet_pair()?;
        if container.is_running() {
            self.helper().await?.attach(&container.id, outlet, theirs).await?;
        } else {
            container.state().outlets.push((outlet, theirs));
        }
        Ok(ours)
    }

    /// `seconds`: how long after the signal it is killed; negative is never.
    pub async fn stop(
        &self,
        container: &Arc<Container>,
        signal: Option<&str>,
        seconds: Option<i64>,
    ) -> Result<(), Error> {
        let signal =
            signal.filter(|signal| !signal.is_empty()).map(validate::signal).transpose()?;
        let _turn = container.turn.lock().await;
        if !container.is_running() {
            let mut state = container.state();
            // One that waits to be started again stays down.
            if state.status == Status::Restarting {
                state.status = Status::Exited;
                state.wanted = false;
                state.run += 1;
                drop(state);
                self.save_later(container);
                return Ok(());
            }
            return Err(Error::not_modified());
        }
        self.stop_now(container, signal, seconds).await?;
        self.event(container, "stop", &[]);
        Ok(())
    }

    async fn stop_now(
        &self,
        container: &Arc<Container>,
        signal: Option<i32>,
        seconds: Option<i64>,
    ) -> Result<(), Error> {
        container.state().wanted = false;
        let config = &container.config;
        let signal = match signal {
            Some(signal) => signal,
            None if config.stop_signal.is_empty() => SIGTERM,
            None => validate::signal(&config.stop_signal)?,
        };
        let seconds = seconds.or(config.stop_timeout).unwrap_or(STOP_TIMEOUT_S);
        self.thaw(container).await;
        let over = container.wait(WaitFor::NotRunning);
        self.send(container, signal).await?;
        if seconds < 0 {
            over.await;
            return Ok(());
        }
        if tokio::time::timeout(Duration::from_secs(seconds as u64), over).await.is_ok() {
            return Ok(());
        }
        self.kill_now(container).await
    }

    async fn kill_now(&self, container: &Arc<Container>) -> Result<(), Error> {
        self.thaw(container).await;
        self.send(container, SIGKILL).await?;
        let over = container.wait(WaitFor::NotRunning);
        match tokio::time::timeout(KILL_TIMEOUT, over).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::failed(format!(
                "container {} does not end though it was killed",
                container.short_id()
            ))),
        }
    }

    /// What has ended meanwhile needs no signal.
    async fn send(&self, container: &Container, signal: i32) -> Result<(), Error> {
        let sent = self.helper().await?.signal(&container.id, signal).await;
        self.event(container, "kill", &[("signal", signal.to_string())]);
        match sent {
            Err(error) if container.is_running() && error.text != "no such process" => Err(error),
            _ => Ok(()),
        }
    }

    pub async fn kill(&self, container: &Arc<Container>, signal: &str) -> Result<(), Error> {
        let signal = if signal.is_empty() { SIGKILL } else { validate::signal(signal)? };
        if !container.is_running() {
            return Err(Error::conflict(format!(
                "cannot kill container: {}: container {} is not running",
                container.name(),
                container.id
            )));
        }
        if signal == SIGKILL {
            container.state().wanted = false;
            self.send(container, signal).await?;
            self.thaw(container).await;
            // Who kills it finds it dead, as long as the kernel lets it die.
            let over = container.wait(WaitFor::NotRunning);
            let _ = tokio::time::timeout(KILL_TIMEOUT, over).await;
            return Ok(());
        }
        self.send(container, signal).await
    }

    pub async fn restart(
        &self,
        container: &Arc<Container>,
        signal: Option<&str>,
        seconds: Option<i64>,
    ) -> Result<(), Error> {
        let signal =
            signal.filter(|signal| !signal.is_empty()).map(validate::signal).transpose()?;
        let _turn = container.turn.lock().await;
        if container.is_running() {
            // Not taken away in between, though its policy may say so.
            let removes = std::mem::take(&mut container.state().host.auto_remove);
            let stopped = self.stop_now(container, signal, seconds).await;
            container.state().host.auto_remove = removes;
            stopped?;
        }
        self.start_now(container).await?;
        self.event(container, "restart", &[]);
        Ok(())
    }

    pub async fn pause(&self, container: &Arc<Container>) -> Result<(), Error> {
        let _turn = container.turn.lock().await;
        match container.state().status {
            Status::Running => {}
            Status::Paused => {
                return Err(Error::conflict(format!(
                    "Container {} is already paused",
                    container.id
                )));
            }
            _ => return Err(not_running(container)),
        }
        self.freeze(container, true).await?;
        // It may have ended meanwhile.
        if !container.change_status(Status::Running, Status::Paused) {
            return Err(not_running(container));
        }
        self.event(container, "pause", &[]);
        Ok(())
    }

    pub async fn unpause(&self, container: &Arc<Container>) -> Result<(), Error> {
        let _turn = container.turn.lock().await;
        if container.state().status != Status::Paused {
            return Err(Error::failed(format!("Container {} is not paused", container.id)));
        }
        self.freeze(container, false).await?;
        container.change_status(Status::Paused, Status::Running);
        self.event(container, "unpause", &[]);
        Ok(())
    }

    async fn freeze(&self, container: &Arc<Container>, frozen: bool) -> Result<(), Error> {
        let (groups, container) = (self.0.hierarchies.groups(&container.id), container.clone());
        blocking(move || {
            let changed = match groups.is_empty() {
                true => crate::processes::stop(container.state().pid, frozen),
                false => cgroup::freeze(&groups, frozen),
            };
            changed.map_err(|error| {
                Error::failed(format!("cannot pause container {}: {error}", container.id))
            })
        })
        .await
    }

    /// Whether it was paused, as the kernel says.
    pub(crate) fn is_frozen(&self, container: &Container) -> bool {
        let groups = self.0.hierarchies.groups(&container.id);
        match groups.is_empty() {
            true => crate::processes::is_stopped(container.state().pid),
            false => cgroup::is_frozen(&groups),
        }
    }

    /// What is paused takes no signals.
    async fn thaw(&self, container: &Arc<Container>) {
        if container.state().status != Status::Paused {
            return;
        }
        if self.freeze(container, false).await.is_ok() {
            container.change_status(Status::Paused, Status::Running);
        }
    }

    pub async fn rename(&self, container: &Container, name: &str) -> Result<(), Error> {
        let name = name.strip_prefix('/').unwrap_or(name);
        if name.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        if !crate::names::is_name(name) {
            return Err(Error::invalid(format!(
                "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        let _turn = container.turn.lock().await;
        let old = container.name();
        if old == name {
            return Err(Error::invalid(
                "Renaming a container with the same name as its current name",
            ));
        }
        self.take_name(name)?;
        container.state().name = name.to_owned();
        self.0.names.lock().remove(name);
        if let Err(error) = self.save(container).await {
            container.state().name = old;
            return Err(error);
        }
        self.event(container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// New limits, at once if it runs.
    pub async fn update(
        &self,
        container: &Container,
        change: impl FnOnce(&mut Resources, &mut RestartPolicy),
    ) -> Result<(), Error> {
        let _turn = container.turn.lock().await;
        let mut host = container.state().host.clone();
        change(&mut host.resources, &mut host.restart_policy);
        validate::resources(&host.resources)?;
        self.check_available(&host.resources)?;
        if container.is_running() {
            for limit in self.0.hierarchies.limits(&container.id, &host.resources) {
                cgroup::set(&limit).map_err(|failure| {
                    Error::failed(format!("Cannot update container {}: {failure}", container.id))
                })?;
            }
        }
        container.state().host = host;
        self.save(container).await?;
        self.event(container, "update", &[]);
        Ok(())
    }

    pub async fn remove(
        &self,
        container: &Arc<Container>,
        force: bool,
        volumes: bool,
    ) -> Result<(), Error> {
        let _turn = container.turn.lock().await;
        if container.state().status == Status::Restarting && !force {
            return Err(Error::conflict(format!(
                "cannot remove container \"/{}\": container is restarting: stop the container \
                 before removing or force remove",
                container.name()
            )));
        }
        if container.is_running() {
            if !force {
                let (what, how) = match container.state().status {
                    Status::Paused => ("paused", "unpause and then stop the container"),
                    _ => ("running", "stop the container"),
                };
                return Err(Error::conflict(format!(
                    "cannot remove container \"/{}\": container is {what}: {how} before removing \
                     or force remove",
                    container.name()
                )));
            }
            {
                // It is removed here and now, not by its own wish.
                let mut state = container.state();
                state.wanted = false;
                state.host.auto_remove = false;
            }
            self.kill_now(container).await?;
        }
        self.remove_now(container, volumes).await
    }

    /// With the turn held, and nothing of it running.
    pub(super) async fn remove_now(
        &self,
        container: &Arc<Container>,
        volumes: bool,
    ) -> Result<(), Error> {
        if self.0.containers.read().get(&container.id).is_none() {
            return Err(Error::conflict(format!(
                "removal of container {} is already in progress",
                container.id
            )));
        }
        container.state().status = Status::Removing;
        let removed = self.0.store.write(|tx| {
            tx.mark_freeing();
            tx.delete(&CONTAINERS, &SCOPE, &container.id)?;
            Ok::<_, StoreError>(())
        });
        removed.await?;
        let scratch = self.0.images.scratch("removed");
        let _ = std::fs::rename(self.folder(&container.id), &scratch);
        self.0.containers.write().remove(&container.id);
        {
            let mut execs = self.0.execs.lock();
            execs.retain(|_, exec| exec.container.id != container.id);
        }
        self.event(container, "destroy", &[]);
        container.advance(|progress| progress.is_removed = true);
        // What it wrote may be much; nobody waits for that.
        task(async move {
            let removed = blocking(move || {
                let above = scratch.parent().unwrap_or(&scratch);
                let name = scratch.file_name().unwrap_or_default();
                let above = crate::image::open_folder(above)?;
                let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
                Ok(crate::image::remove_folder(&above, name)?)
            });
            let _ = removed.await;
        });
        if volumes {
            self.remove_anonymous_volumes(container).await;
        }
        Ok(())
    }

    async fn remove_anonymous_volumes(&self, container: &Container) {
        for point in container.mounts.iter().filter(|point| point.kind == "volume") {
            if self.find_volume(&point.name).is_ok_and(|volume| volume.is_anonymous) {
                // Another container may have it too, and then it stays.
                let _ = self.remove_volume(&point.name, false).await;
            }
        }
    }
}

pub(super) fn not_running(container: &Container) -> Error {
    Error::conflict(format!("container {} is not running", container.id))
}

/// What kept the program from running, as an exit code and in Docker's words.
fn start_error(error: Error) -> (i64, Error) {
    const BEFORE: &str = "failed to create task for container: failed to create shim task: OCI \
                          runtime create failed: runc create failed: unable to start container \
                          process: error during container init: ";
    if error.kind != Kind::Failed {
        return (128, error);
    }
    let is_exec = error.text.starts_with("exec: ");
    let code = match () {
        () if is_exec && error.text.contains("permission denied") => 126,
        () if is_exec => 127,
        () => 128,
    };
    let kind = if is_exec { Kind::Invalid } else { Kind::Failed };
    (code, Error::new(kind, format!("{BEFORE}{}", error.text)))
}
