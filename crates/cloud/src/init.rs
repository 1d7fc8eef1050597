//! Scripts and seeds that fill a new cloud: the files in `ready.d` of the folder for them, in order, each
//! once for a data folder. What changed is new; what failed is tried again at the next start.
//!
//! They run beside the cloud, as its own user and as root of the default account. One that fails does not
//! keep the others from running; the person is told, and `/_localstack/init` shows it.

use crate::client::text;
use crate::exit::{self, Failure};
use crate::settings::{Config, DropIn};
use crate::threads;
use base::Clock;
use gateway::Gateway;
use md5::{Digest, Md5};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use smithy::Document;
use smithy::json::Writer;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Where LocalStack's image has them.
const LOCALSTACK: &str = "/etc/localstack/init";
const STAGE: &str = "ready.d";
/// In the data folder: what ran, a line each with the digest of what it was.
const DONE: &str = "init.done";
/// Folders in folders.
const DEPTH_MAX: usize = 8;
const SCRIPT_BYTES_MAX: u64 = 16 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unknown,
    Running,
    Successful,
    Error,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Unknown => "UNKNOWN",
            State::Running => "RUNNING",
            State::Successful => "SUCCESSFUL",
            State::Error => "ERROR",
        }
    }
}

/// How far they are, for whoever asks.
#[derive(Default, Debug)]
pub struct Progress(Mutex<(Vec<(String, State)>, bool)>);

impl Progress {
    /// In LocalStack's form; `None` for a stage that is none.
    pub fn page(&self, stage: Option<&str>) -> Option<String> {
        let (scripts, completed) = self.0.lock().clone();
        let is_ready = match stage.map(str::to_ascii_lowercase).as_deref() {
            None | Some("ready") => true,
            Some("boot" | "start" | "shutdown") => false,
            Some(_) => return None,
        };
        let mut out = Writer::with_capacity(256);
        out.open('{');
        out.key("completed");
        match stage {
            Some(stage) => out.boolean(if is_ready {
                completed
            } else {
                !stage.eq_ignore_ascii_case("shutdown")
            }),
            None => {
                out.open('{');
                for (name, done) in
                    [("BOOT", true), ("START", true), ("READY", completed), ("SHUTDOWN", false)]
                {
                    out.key(name);
                    out.boolean(done);
                }
                out.close('}');
            }
        }
        out.key("scripts");
        out.open('[');
        for (name, state) in scripts.iter().filter(|_| is_ready) {
            out.open('{');
            for (key, value) in [("stage", "READY"), ("name", name), ("state", state.name())] {
                out.key(key);
                out.string(value);
            }
            out.close('}');
        }
        out.close(']');
        out.close('}');
        Some(out.finish())
    }

    fn set(&self, index: usize, state: State) {
        if let Some(script) = self.0.lock().0.get_mut(index) {
            script.1 = state;
        }
    }
}

/// Runs them on a thread of their own, then says `Ready.`
pub fn start(
    config: &Config,
    url: &str,
    gateway: &Arc<Gateway>,
    progress: Arc<Progress>,
    tell: bool,
) -> Result<(), Failure> {
    let mut folders = vec![config.init.clone().unwrap_or_else(|| config.data.join("init"))];
    if config.drop_in == DropIn::LocalStack && config.init.is_none() {
        folders.push(PathBuf::from(LOCALSTACK));
    }
    let mut scripts = Vec::new();
    for folder in &folders {
        find(&folder.join(STAGE), DEPTH_MAX, &mut scripts);
    }
    progress.0.lock().0 =
        scripts.iter().map(|path| (file_name(path).to_owned(), State::Unknown)).collect();
    if scripts.is_empty() {
        progress.0.lock().1 = true;
        say_ready(tell);
        return Ok(());
    }
    let runner = Runner {
        env: environment(config, url)?,
        shims: config.data.join("run/init-bin"),
        done: config.data.join(DONE),
        timeout: config.init_timeout,
        progress,
        tell,
        gateway: gateway.clone(),
        runtime: tokio::runtime::Handle::current(),
    };
    threads::spawn("init", move || runner.run(&scripts))
        .map(drop)
        .map_err(|error| Failure::new(exit::FAILED, format!("no thread: {error}")))
}

/// The word that LocalStack's users and their tools wait for.
fn say_ready(tell: bool) {
    if tell {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "Ready.");
        let _ = out.flush();
    }
}

/// Files first, then folders, each by name, as LocalStack does.
#[allow(clippy::disallowed_methods, reason = "scripts are beside the data")]
fn find(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let is_script = |path: &Path| {
        matches!(path.extension().and_then(|e| e.to_str()), Some("sh" | "py" | "json"))
    };
    into.extend(paths.iter().filter(|path| path.is_file() && is_script(path)).cloned());
    if depth > 0 {
        for path in paths.iter().filter(|path| path.is_dir()) {
            find(path, depth - 1, into);
        }
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("?")
}

/// What a script sees beside our own variables.
fn environment(config: &Config, url: &str) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut env = crate::env::identity(config, None)?;
    let port = url.rsplit(':').next().unwrap_or("4566").to_owned();
    // Beyond this machine is where it listens; the script is on it.
    let url = match config.listen.ip().is_unspecified() {
        true => format!("http://127.0.0.1:{port}"),
        false => url.to_owned(),
    };
    env.extend([
        ("AWS_ENDPOINT_URL", url),
        ("LOCALSTACK_HOSTNAME", "localhost".to_owned()),
        ("EDGE_PORT", port),
    ]);
    Ok(env)
}

struct Runner {
    env: Vec<(&'static str, String)>,
    shims: PathBuf,
    done: PathBuf,
    timeout: Duration,
    progress: Arc<Progress>,
    /// Whether the standard output is for a person.
    tell: bool,
    gateway: Arc<Gateway>,
    runtime: tokio::runtime::Handle,
}

impl Runner {
    fn run(&self, scripts: &[PathBuf]) {
        if let Err(error) = self.make_shims() {
            eprintln!("cumulet: {}: {error}", self.shims.display());
        }
        for (index, path) in scripts.iter().enumerate() {
            self.progress.set(index, State::Running);
            let state = match self.run_once(path) {
                Ok(()) => State::Successful,
                Err(why) => {
                    eprintln!("cumulet: {}: {why}", path.display());
                    State::Error
                }
            };
            self.progress.set(index, state);
        }
        self.progress.0.lock().1 = true;
        say_ready(self.tell);
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "scripts and the list of them are beside the data"
    )]
    fn run_once(&self, path: &Path) -> Result<(), String> {
        let told = |error: std::io::Error| error.to_string();
        if std::fs::metadata(path).map_err(told)?.len() > SCRIPT_BYTES_MAX {
            return Err(format!("it is longer than {SCRIPT_BYTES_MAX} bytes"));
        }
        let content = std::fs::read(path).map_err(told)?;
        let line = format!("{} {}", base::hex::encode(&Md5::digest(&content)), path.display());
        let done = std::fs::read_to_string(&self.done).unwrap_or_default();
        if done.lines().any(|known| known == line) {
            return Ok(());
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => self.seed(path, &content)?,
            _ => self.execute(path)?,
        }
        let mut options = std::fs::OpenOptions::new();
        let mut list = options.create(true).append(true).open(&self.done).map_err(told)?;
        list.write_all(format!("{line}\n").as_bytes()).map_err(told)?;
        list.sync_data().map_err(told)
    }

    /// A script in a session of its own, so that all that it started can be ended with it.
    fn execute(&self, path: &Path) -> Result<(), String> {
        let is_program = std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o111 != 0);
        let is_python = path.extension().is_some_and(|extension| extension == "py");
        let mut command = match (is_python, is_program) {
            (true, _) => Command::new("python3"),
            (false, true) => Command::new(path),
            (false, false) => Command::new("sh"),
        };
        if is_python || !is_program {
            command.arg(path);
        }
        let found = crate::cli::variable("PATH").unwrap_or_else(|| "/usr/bin:/bin".to_owned());
        command.env("PATH", format!("{found}:{}", self.shims.display()));
        command.envs(self.env.iter().map(|(name, value)| (*name, value.as_str())));
        if let Some(folder) = path.parent() {
            command.current_dir(folder);
        }
        // What it prints is the person's, but the standard output is for what the cloud itself says.
        command.stdin(Stdio::null()).stdout(std::io::stderr()).process_group(0);
        let mut child =
            command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
        let pid = Pid::from_child(&child);
        let is_over = self.wait_for(pid).map_err(|error| error.to_string())?;
        if !is_over {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        match (is_over, status.success()) {
            (true, true) => Ok(()),
            (true, false) => Err(format!("it failed ({status})")),
            (false, _) => Err(format!(
                "it did not end within {} s and was stopped; --init-timeout-s gives it more",
                self.timeout.as_secs()
            )),
        }
    }

    /// Whether it ended in time.
    fn wait_for(&self, pid: Pid) -> rustix::io::Result<bool> {
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        let clock = crate::chance::SystemClock::new();
        let began_ns = clock.monotonic_ns();
        loop {
            let passed = Duration::from_nanos(clock.monotonic_ns().saturating_sub(began_ns));
            let left = self.timeout.saturating_sub(passed);
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&left)) {
                Err(Errno::INTR) => {}
                found => return found.map(|count| count > 0),
            }
        }
    }

    /// A list of operations: `[{"service": "s3", "operation": "CreateBucket", "input": {"Bucket": "b"}}]`.
    /// What flows to one stands in `body` as text, or in `file` as a path beside the seed.
    fn seed(&self, path: &Path, content: &[u8]) -> Result<(), String> {
        let form = "it must be a list of objects with service, operation, input, and body or file";
        let whole =
            smithy::json::parse_document(content).map_err(|_| "it is no JSON".to_owned())?;
        let Document::List(steps) = whole else { return Err(form.to_owned()) };
        for (index, step) in steps.iter().enumerate() {
            let (Some(service), Some(operation), Document::Map(map)) =
                (text(step, "service"), text(step, "operation"), step)
            else {
                return Err(form.to_owned());
            };
            let input = map.get("input").cloned().unwrap_or_default();
            let body = self.body(path, step)?;
            let key = self.env.iter().find(|(name, _)| *name == "AWS_ACCESS_KEY_ID");
            let key = key.map_or(gateway::WELL_KNOWN, |(_, id)| id.as_str());
            let done = self.gateway.operate(key, service, operation, input, body);
            self.runtime.block_on(done).map_err(|error| {
                format!(
                    "step {}, {service} {operation}: {}: {}",
                    index + 1,
                    error.code(),
                    error.message()
                )
            })?;
        }
        Ok(())
    }

    #[allow(clippy::disallowed_methods, reason = "a file beside a seed")]
    fn body(&self, path: &Path, step: &Document) -> Result<bytes::Bytes, String> {
        if let Some(body) = text(step, "body") {
            return Ok(bytes::Bytes::copy_from_slice(body.as_bytes()));
        }
        let Some(name) = text(step, "file") else { return Ok(bytes::Bytes::new()) };
        let file = path.parent().unwrap_or(path).join(name);
        std::fs::read(&file).map(Into::into).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// `awslocal`, which such scripts call, where there is only `aws`.
    #[allow(clippy::disallowed_methods, reason = "a program in the run folder")]
    fn make_shims(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.shims)?;
        let path = self.shims.join("awslocal");
        std::fs::write(&path, "#!/bin/sh\nexec aws --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"\n")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages() {
        let progress = Progress::default();
        progress.0.lock().0.push(("a.sh".to_owned(), State::Unknown));
        progress.set(0, State::Error);
        progress.set(7, State::Error);
        let all = progress.page(None).unwrap();
        assert!(all.contains(r#""READY":false"#) && all.contains(r#""state":"ERROR""#), "{all}");
        assert_eq!(progress.page(Some("boot")).unwrap(), r#"{"completed":true,"scripts":[]}"#);
        assert!(progress.page(Some("ready")).unwrap().starts_with(r#"{"completed":false"#));
        assert_eq!(progress.page(Some("later")), None);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "files for a test")]
    fn files_before_folders() {
        let root = std::env::temp_dir().join(format!("cumulet-init-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a")).unwrap();
        for name in ["z.sh", "b.py", "c.json", "read.me", "a/first.sh"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let mut found = Vec::new();
        find(&root, 1, &mut found);
        let names: Vec<&str> = found.iter().map(|path| file_name(path)).collect();
        assert_eq!(names, ["b.py", "c.json", "z.sh", "first.sh"]);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
