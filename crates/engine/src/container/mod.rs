//! Containers: what they are, and how each can be asked and changed.

mod commit;
mod create;
mod exec;
mod exit;
mod files;
mod links;
pub(crate) mod mounts;
mod observe;
mod prepare;
mod resources;
pub(crate) mod run;
mod write_row;

pub use create::Created;
pub use exec::Exec;
pub use files::PathStat;
pub(crate) use files::{header, is_opaque, write_layer, xattrs};
pub use mounts::MountPoint;
pub use observe::{Change, Sample, folder_bytes, machine_memory};
pub(crate) use prepare::{is_stub, make_stubs, make_stubs_in, write_file};

use crate::config::{Config, EndpointSettings, HostConfig};
use crate::error::Error;
use crate::helper::protocol::{Ended, Outlet};
use crate::network::{Ports, Resolver, Splices};
use crate::rows::ContainerRow;
use parking_lot::{Mutex, MutexGuard};
use rustix::fd::OwnedFd;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::watch;

/// The annotation of containers that steps of builds run in.
pub const BUILD: &str = "cumulet.build";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Removing => "removing",
            Status::Exited => "exited",
            Status::Dead => "dead",
        }
    }
}

pub struct Container {
    pub id: String,
    pub created_ns: i64,
    /// Id of the image.
    pub image: String,
    pub config: Config,
    pub mounts: Vec<MountPoint>,
    /// Of a step of a build, and kept nowhere: secrets are among them.
    pub(crate) step_env: Vec<String>,
    state: Mutex<State>,
    /// Held by who changes it.
    pub(crate) turn: tokio::sync::Mutex<()>,
    progress: watch::Sender<Progress>,
}

/// What it is right now.
#[derive(Debug)]
pub struct State {
    pub name: String,
    pub host: HostConfig,
    /// By name of the network.
    pub endpoints: BTreeMap<String, EndpointSettings>,
    /// What leads to it while it runs.
    pub ports: Ports,
    pub status: Status,
    pub pid: i32,
    pub started_ns: i64,
    pub finished_ns: i64,
    pub exit_code: i64,
    pub out_of_memory: bool,
    pub error: String,
    /// Started, and stopped by nobody.
    pub wanted: bool,
    pub restarts: u64,
    pub health: Option<Health>,
    /// Those that attached before it runs.
    pub(crate) outlets: Vec<(Outlet, OwnedFd)>,
    pub(crate) execs: BTreeSet<String>,
    /// Answers names while it runs.
    pub(crate) resolver: Option<Resolver>,
    pub(crate) splices: Option<Splices>,
    /// Between the request to the helper and its answer.
    starting: bool,
    early_end: Option<Ended>,
    /// How long to wait before it is started again.
    backoff_ms: u64,
    /// Tells tasks of an earlier run that they are late.
    pub(crate) run: u64,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy`.
    pub status: String,
    pub failing_streak: i64,
    /// The last five.
    pub log: Vec<Probe>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    pub start_ns: i64,
    pub end_ns: i64,
    pub exit_code: i64,
    pub output: String,
}

/// What those who wait look at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// How often it has ended.
    pub ends: u64,
    pub exit_code: i64,
    pub is_running: bool,
    pub is_removed: bool,
}

impl Container {
    fn new(id: String, row: &ContainerRow, documents: Documents) -> Container {
        let Documents { config, host, mounts, endpoints, ports } = documents;
        let state = State {
            name: row.name.clone(),
            host,
            endpoints,
            ports,
            status: if row.started_ns == 0 { Status::Created } else { Status::Exited },
            pid: 0,
            started_ns: row.started_ns,
            finished_ns: row.finished_ns,
            exit_code: row.exit_code,
            out_of_memory: row.out_of_memory,
            error: row.error.clone(),
            wanted: row.wanted,
            restarts: row.restarts,
            health: None,
            outlets: Vec::new(),
            execs: BTreeSet::new(),
            resolver: None,
            splices: None,
            starting: false,
            early_end: None,
            backoff_ms: 0,
            run: 0,
        };
        let progress = Progress { exit_code: row.exit_code, ..Progress::default() };
        Container {
            id,
            created_ns: row.created_ns,
            image: row.image.clone(),
            config,
            mounts,
            step_env: Vec::new(),
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::new(()),
            progress: watch::channel(progress).0,
        }
    }

    pub fn from_row(id: &str, row: &ContainerRow) -> Result<Container, Error> {
        Ok(Container::new(id.to_owned(), row, Documents::parse(row)?))
    }

    /// What it is right now. Not to be held over a wait.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub fn name(&self) -> String {
        self.state().name.clone()
    }

    pub fn is_running(&self) -> bool {
        matches!(self.state().status, Status::Running | Status::Paused)
    }

    /// Whether it was the one, and is the other now.
    pub(crate) fn change_status(&self, from: Status, to: Status) -> bool {
        let mut state = self.state();
        let was = state.status == from;
        if was {
            state.status = to;
        }
        was
    }

    /// Neither running nor about to.
    pub(crate) fn is_at_rest(&self) -> bool {
        let state = self.state();
        !state.starting && !matches!(state.status, Status::Running | Status::Paused)
    }

    /// By its row: started, and no end written down since.
    pub(crate) fn was_running(&self) -> bool {
        let state = self.state();
        state.started_ns > state.finished_ns
    }

    pub(crate) fn set_running_before(&self) {
        self.state().status = Status::Running;
    }

    /// After the engine was down: whether its policy wants it.
    pub(crate) fn restarts_at_start(&self) -> bool {
        let state = self.state();
        match state.host.restart_policy.name.as_str() {
            "always" => state.started_ns > 0,
            "unless-stopped" => state.wanted,
            _ => false,
        }
    }

    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn advance(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// A step of a build runs in it, and nobody else needs it.
    pub(crate) fn is_of_build(&self) -> bool {
        self.state().host.annotations.contains_key(BUILD)
    }

    /// What it is called in its own world.
    pub fn hostname(&self) -> String {
        match self.config.hostname.as_str() {
            "" => self.id[..12].to_owned(),
            name => name.to_owned(),
        }
    }

    pub fn short_id(&self) -> &str {
        &self.id[..12]
    }

    /// Waits until it has ended or was removed; gives its exit code.
    pub async fn wait(&self, condition: WaitFor) -> i64 {
        self.wait_from(self.progress(), condition).await
    }

    /// The same, where the next end is counted from when `progress` was taken.
    pub async fn wait_from(
        &self,
        mut progress: watch::Receiver<Progress>,
        condition: WaitFor,
    ) -> i64 {
        let first = *progress.borrow_and_update();
        let over = |now: &Progress| match condition {
            WaitFor::NotRunning => !now.is_running || now.is_removed,
            WaitFor::NextExit => now.ends > first.ends || now.is_removed,
            WaitFor::Removed => now.is_removed,
        };
        match progress.wait_for(over).await {
            Ok(now) => now.exit_code,
            Err(_) => first.exit_code,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitFor {
    NotRunning,
    NextExit,
    Removed,
}

/// The documents of a row.
pub(crate) struct Documents {
    pub config: Config,
    pub host: HostConfig,
    pub mounts: Vec<MountPoint>,
    pub endpoints: BTreeMap<String, EndpointSettings>,
    pub ports: Ports,
}

impl Documents {
    fn parse(row: &ContainerRow) -> Result<Documents, Error> {
        let wrong = |error: serde_json::Error| {
            Error::failed(format!("the container {} is not understood: {error}", row.name))
        };
        Ok(Documents {
            config: serde_json::from_str(&row.config).map_err(wrong)?,
            host: serde_json::from_str(&row.host_config).map_err(wrong)?,
            mounts: serde_json::from_str(&row.mounts).map_err(wrong)?,
            endpoints: serde_json::from_str(&row.endpoints).map_err(wrong)?,
            ports: match row.ports.as_str() {
                "" => Ports::new(),
                text => serde_json::from_str(text).map_err(wrong)?,
            },
        })
    }
}
