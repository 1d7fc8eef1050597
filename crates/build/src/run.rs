//! `RUN`: a container of the image so far, whose changes become the next layer.

use crate::mounts::Mounted;
use crate::output::{Output, Said};
use crate::state::State;
use engine::config::{Config, CreateRequest, Healthcheck, HostConfig, Step};
use engine::container::{Container, WaitFor};
use engine::image::Sealed;
use engine::{Engine, Error, First, Outlet, blocking, first};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// So often a client that is told nothing is looked at.
const BEAT: Duration = Duration::from_secs(2);

/// What a step failed with, if it was the program's own exit code.
#[derive(Debug)]
pub enum Failed {
    Code(i64),
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Error(error)
    }
}

/// Whether the containers of steps go when these went well, and when not.
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    pub good: bool,
    pub bad: bool,
}

/// What runs, and how.
#[derive(Debug)]
pub struct Running {
    pub command: Vec<String>,
    /// What build arguments add.
    pub env: Vec<String>,
    pub host: HostConfig,
    pub removal: Removal,
    /// What BuildKit's steps see beside their image.
    pub mounted: Option<Mounted>,
}

/// Runs a command; gives what it changed.
pub async fn run(
    engine: &Engine,
    state: &State,
    running: Running,
    output: &Output,
) -> Result<Option<Sealed>, Failed> {
    let Running { command, env, mut host, removal, mut mounted } = running;
    let mut config: Config = state.run.clone();
    config.image.clone_from(&state.image);
    config.cmd = Some(command);
    // The image's own would come in its place.
    config.entrypoint = Some(vec![String::new()]);
    config.env.extend(env);
    config.healthcheck =
        Some(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() });
    config.attach_stdout = true;
    config.attach_stderr = true;
    let step = mounted.as_mut().map(|mounted| {
        host.mounts.append(&mut mounted.plain);
        let (mounts, env) = (&mut mounted.layers, &mut mounted.env);
        Step { mounts: std::mem::take(mounts), env: std::mem::take(env) }
    });
    let request = CreateRequest { config, host_config: host, step, ..CreateRequest::default() };
    let created = engine.create(None, request).await?;
    let container = engine.find(&created.id)?;
    output.text(&format!(" ---> Running in {}\n", container.short_id())).await;
    let ran = watch(engine, &container, output).await;
    let taken = match ran {
        Ok(0) => {
            let (own, ended) = (engine.clone(), container.clone());
            blocking(move || own.take_changes(&ended)).await.map_err(Failed::from)
        }
        Ok(code) => Err(Failed::Code(code)),
        Err(error) => Err(error.into()),
    };
    let goes = if taken.is_ok() { removal.good } else { removal.bad };
    if goes || output.is_closed() {
        engine.remove(&container, true, true).await?;
        output
            .text(&format!(" ---> Removed intermediate container {}\n", container.short_id()))
            .await;
    }
    taken
}

/// From its start to its end; gives its exit code.
async fn watch(engine: &Engine, container: &Arc<Container>, output: &Output) -> Result<i64, Error> {
    let outlet = Outlet { stdin: false, stdout: true, stderr: true, framed: true };
    let stream = engine.attach(container, outlet).await?;
    let mut stream = UnixStream::from_std(stream.into())?;
    engine.start(container).await?;
    let mut said = Said::default();
    let mut piece = vec![0; 32 * 1024];
    loop {
        let read = tokio::time::timeout(BEAT, stream.read(&mut piece));
        match first(read, output.closed()).await {
            First::Left(Ok(Ok(0) | Err(_))) => break,
            First::Left(Ok(Ok(n))) => {
                for (is_error, text) in said.pass(&piece[..n]) {
                    output.said(is_error, text).await;
                }
            }
            First::Left(Err(_)) => output.beat().await,
            First::Right(()) => return Err(Error::failed("build cancelled")),
        }
    }
    for (is_error, text) in said.end() {
        output.said(is_error, text).await;
    }
    match first(container.wait(WaitFor::NotRunning), output.closed()).await {
        First::Left(code) => Ok(code),
        First::Right(()) => Err(Error::failed("build cancelled")),
    }
}
