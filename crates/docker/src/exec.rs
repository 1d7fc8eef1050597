//! `/exec`.

use crate::attach::{Keys, hijack_with};
use crate::reply::{self, Reply};
use crate::route::Call;
use engine::config::{ExecConfig, nullable};
use engine::{Error, Outlet};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What closed its streams has ended, or goes on without them.
const ENDS_SOON: Duration = Duration::from_secs(1);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Id<'a> {
    id: &'a str,
}

pub async fn create(call: Call, id: &str) -> Reply {
    let engine = call.engine().clone();
    let container = engine.find(id)?;
    let config: ExecConfig = call.document().await?;
    Keys::parse(&config.detach_keys)?;
    let exec = engine.create_exec(&container, config)?;
    reply::created(&Id { id: &exec.id })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct StartRequest {
    #[serde(deserialize_with = "nullable")]
    detach: bool,
    #[serde(deserialize_with = "nullable")]
    tty: bool,
}

pub async fn start(call: Call, id: &str) -> Reply {
    let engine = call.engine().clone();
    let exec = engine.find_exec(id)?;
    let newer = call.version >= (1, 42);
    // The body is read before the connection becomes something else.
    let mut request = call.request;
    let bytes = crate::body::read(request.body_mut()).await?;
    let start: StartRequest = crate::query::document(&bytes)?;
    if start.detach {
        engine.start_exec(&exec, None).await?;
        return reply::ok();
    }
    let config = &exec.config;
    let outlet = Outlet {
        stdin: config.attach_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        // As Docker has it: the one who starts it says how it is to be told.
        framed: !start.tty,
    };
    let keys = match config.tty && config.attach_stdin {
        true => Keys::parse(&config.detach_keys)?,
        false => Keys::none(),
    };
    engine.check_exec(&exec)?;
    let terminal = start.tty;
    // The client asks for the exit code as soon as the stream is over, and takes none for 0.
    let ending = exec.clone();
    let over = async move {
        let _ = tokio::time::timeout(ENDS_SOON, ending.wait()).await;
    };
    let start = async move {
        let started = engine.start_exec(&exec, Some(outlet)).await;
        started.and_then(|stream| {
            stream.ok_or_else(|| Error::failed("the streams were not handed over"))
        })
    };
    // It starts once the client listens, as Docker has it; what goes wrong is told in the stream.
    hijack_with(request, start, over, keys, terminal, terminal || !newer)
}

pub async fn resize(call: Call, id: &str) -> Reply {
    let exec = call.engine().find_exec(id)?;
    let rows = call.query.number("h")?.unwrap_or(0);
    let columns = call.query.number("w")?.unwrap_or(0);
    call.engine().resize(&exec.id, rows, columns).await?;
    reply::ok()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspect<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    running: bool,
    exit_code: Option<i64>,
    process_config: ProcessConfig<'a>,
    open_stdin: bool,
    open_stderr: bool,
    open_stdout: bool,
    can_remove: bool,
    #[serde(rename = "ContainerID")]
    container_id: &'a str,
    detach_keys: &'a str,
    pid: i32,
}

#[derive(Serialize)]
struct ProcessConfig<'a> {
    tty: bool,
    entrypoint: &'a str,
    arguments: &'a [String],
    privileged: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
}

pub fn inspect(call: &Call, id: &str) -> Reply {
    let exec = call.engine().find_exec(id)?;
    let state = exec.state();
    let config = &exec.config;
    let command = config.cmd.as_deref().unwrap_or_default();
    let (first, rest) = command.split_first().map_or(("", &[][..]), |(f, r)| (f.as_str(), r));
    reply::json(&Inspect {
        id: &exec.id,
        running: state.is_running,
        exit_code: state.exit_code,
        process_config: ProcessConfig {
            tty: config.tty,
            entrypoint: first,
            arguments: rest,
            privileged: config.privileged,
            user: &config.user,
        },
        open_stdin: config.attach_stdin,
        open_stderr: config.attach_stderr,
        open_stdout: config.attach_stdout,
        can_remove: false,
        container_id: &exec.container.id,
        detach_keys: &config.detach_keys,
        pid: state.pid,
    })
}
