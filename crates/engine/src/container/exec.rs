//! Further programs in a container that runs.

use super::run::not_running;
use super::{Container, Status};
use crate::config::ExecConfig;
use crate::engine::{Engine, blocking};
use crate::error::{Error, Kind};
use crate::helper::client::outlet_pair;
use crate::helper::protocol::{Ended, Outlet, Start};
use crate::launch;
use crate::names;
use crate::remap::Remap;
use parking_lot::Mutex;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::watch;

pub struct Exec {
    pub id: String,
    pub container: Arc<Container>,
    pub config: ExecConfig,
    state: Mutex<ExecState>,
    ended: watch::Sender<Option<i64>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ExecState {
    pub is_started: bool,
    pub is_running: bool,
    pub exit_code: Option<i64>,
    pub pid: i32,
}

impl Exec {
    pub fn state(&self) -> ExecState {
        *self.state.lock()
    }

    /// Waits for its end.
    pub async fn wait(&self) -> i64 {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(code) => code.unwrap_or(255),
            Err(_) => 255,
        }
    }

    fn end(&self, code: i64) {
        {
            let mut state = self.state.lock();
            state.is_running = false;
            state.exit_code = Some(code);
            state.pid = 0;
        }
        self.ended.send_replace(Some(code));
    }
}

impl Engine {
    pub fn create_exec(
        &self,
        container: &Arc<Container>,
        config: ExecConfig,
    ) -> Result<Arc<Exec>, Error> {
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            return Err(Error::invalid("No exec command specified"));
        }
        match container.state().status {
            Status::Running => {}
            Status::Paused => {
                return Err(Error::conflict(format!(
                    "Container {} is paused, unpause the container before exec",
                    container.id
                )));
            }
            _ => return Err(not_running(container)),
        }
        let exec = Arc::new(Exec {
            id: names::new_id(&*self.0.entropy),
            container: container.clone(),
            config,
            state: Mutex::default(),
            ended: watch::channel(None).0,
        });
        self.0.execs.lock().insert(exec.id.clone(), exec.clone());
        container.state().execs.insert(exec.id.clone());
        let command = exec.config.cmd.clone().unwrap_or_default().join(" ");
        self.event(container, &format!("exec_create: {command}"), &[("execID", exec.id.clone())]);
        Ok(exec)
    }

    pub fn find_exec(&self, id: &str) -> Result<Arc<Exec>, Error> {
        let exec = self.0.execs.lock().get(id).cloned();
        exec.ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    /// Whether it could be started now.
    pub fn check_exec(&self, exec: &Exec) -> Result<(), Error> {
        let state = exec.state();
        if state.is_started {
            let text = match state.is_running {
                true => format!("exec command {} is already running", exec.id),
                false => format!("exec command {} has already run", exec.id),
            };
            return Err(Error::conflict(text));
        }
        match exec.container.state().status {
            Status::Running => Ok(()),
            _ => Err(not_running(&exec.container)),
        }
    }

    /// Starts it; gives the socket that carries its streams, if somebody wants them.
    pub async fn start_exec(
        &self,
        exec: &Exec,
        outlet: Option<Outlet>,
    ) -> Result<Option<OwnedFd>, Error> {
        self.check_exec(exec)?;
        {
            let mut state = exec.state.lock();
            if state.is_started {
                return Err(Error::conflict(format!(
                    "exec command {} is already running",
                    exec.id
                )));
            }
            state.is_started = true;
            state.is_running = true;
        }
        match self.launch_exec(exec, outlet).await {
            Ok(ours) => Ok(ours),
            Err(error) => {
                let denied = error.text.contains("permission denied");
                exec.end(if denied { 126 } else { 127 });
                let text = format!(
                    "OCI runtime exec failed: exec failed: unable to start container process: {}",
                    error.text
                );
                let kind = if error.kind == Kind::Failed { Kind::Invalid } else { error.kind };
                Err(Error::new(kind, text))
            }
        }
    }

    async fn launch_exec(
        &self,
        exec: &Exec,
        outlet: Option<Outlet>,
    ) -> Result<Option<OwnedFd>, Error> {
        let container = &exec.container;
        let (pid, host) = {
            let state = container.state();
            if state.status != Status::Running {
                return Err(not_running(container));
            }
            (state.pid, state.host.clone())
        };
        let folders = self.0.hierarchies.joined(&container.id, pid);
        let hostname = container.hostname();
        let (fds, root) = blocking(move || joined(pid)).await?;
        let (config, of) = (&exec.config, &container.config);
        let plan = launch::joining(config, of, &host, folders, &hostname, root)?;
        let client = self.helper().await?;
        let (ours, outlets) = match outlet {
            Some(outlet) => {
                let (ours, theirs) = outlet_pair()?;
                (Some(ours), vec![(outlet, theirs)])
            }
            None => (None, Vec::new()),
        };
        let start = Start {
            key: exec.id.clone(),
            record: None,
            log: None,
            terminal: exec.config.tty,
            stdin: exec.config.attach_stdin,
            stdin_once: true,
            cgroups: Vec::new(),
            plan_fds: 0,
            held_fds: 0,
            outlets: Vec::new(),
        };
        let pid = client.start(&plan, start, &fds, &[], &outlets).await?;
        {
            let mut state = exec.state.lock();
            if state.is_running {
                state.pid = pid;
            }
        }
        let command = exec.config.cmd.clone().unwrap_or_default().join(" ");
        self.event(container, &format!("exec_start: {command}"), &[("execID", exec.id.clone())]);
        Ok(ours)
    }

    /// Of those in a container the ones that run.
    pub fn running_execs(&self, state: &super::State) -> Vec<String> {
        let execs = self.0.execs.lock();
        let runs = |id: &&String| execs.get(*id).is_some_and(|exec| exec.state().is_running);
        state.execs.iter().filter(runs).cloned().collect()
    }

    pub(crate) fn exec_ended(&self, ended: &Ended) {
        let exec = self.0.execs.lock().get(&ended.key).cloned();
        if let Some(exec) = exec {
            exec.end(ended.code.into());
            let about = [("execID", exec.id.clone()), ("exitCode", ended.code.to_string())];
            self.event(&exec.container, "exec_die", &about);
        }
    }

    /// Programs in a container that has ended are gone, and what was never started stays so.
    pub(super) fn forget_execs(&self, container: &Container) {
        let ids = std::mem::take(&mut container.state().execs);
        let mut execs = self.0.execs.lock();
        for id in ids {
            let over = execs.get(&id).is_some_and(|exec| !exec.state().is_running);
            if over {
                execs.remove(&id);
            }
        }
    }

    /// Runs a program to its end; gives its code and the beginning of what it wrote.
    pub(super) async fn run_exec(
        &self,
        container: &Arc<Container>,
        config: ExecConfig,
        bytes_max: usize,
    ) -> Result<(i64, String), Error> {
        let exec = self.create_exec(container, config)?;
        let outlet = Outlet { stdin: false, stdout: true, stderr: true, framed: false };
        let socket = self.start_exec(&exec, Some(outlet)).await?;
        let mut output = Vec::new();
        if let Some(socket) = socket {
            let mut stream = UnixStream::from_std(socket.into())?;
            let mut piece = [0; 4096];
            loop {
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => {
                        let room = bytes_max.saturating_sub(output.len());
                        output.extend_from_slice(&piece[..n.min(room)]);
                    }
                }
            }
        }
        let code = exec.wait().await;
        self.0.execs.lock().remove(&exec.id);
        container.state().execs.remove(&exec.id);
        Ok((code, String::from_utf8_lossy(&output).into_owned()))
    }

    pub async fn resize(&self, key: &str, rows: u16, columns: u16) -> Result<(), Error> {
        self.helper().await?.resize(key, rows, columns).await
    }
}

/// What is joined, and who is root of a container whose users are remapped.
type Joins = (Vec<OwnedFd>, Option<(u32, u32)>);

/// Its first process, its PID namespace, and its user namespace, if that is another one.
fn joined(pid: i32) -> Result<Joins, Error> {
    let gone = || Error::conflict("the container has ended");
    let first = pidfd_open(Pid::from_raw(pid).ok_or_else(gone)?, PidfdFlags::empty())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = openat(CWD, format!("/proc/{pid}/ns/pid"), flags, Mode::empty())?;
    let root = Remap::of_process(pid).and_then(|remap| remap.outside(0, 0));
    let mut fds = vec![first, namespace];
    if root.is_some() {
        fds.push(openat(CWD, format!("/proc/{pid}/ns/user"), flags, Mode::empty())?);
    }
    Ok((fds, root))
}
