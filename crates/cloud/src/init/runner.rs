//! Runs one script: as a process that ends in time, or as a seed; those that fill the cloud once.

use super::{SCRIPT_BYTES_MAX, Script, Stage};
use crate::settings::Config;
use base::{AccountId, Clock};
use gateway::Gateway;
use md5::{Digest, Md5};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{Scope, Store, StoreError, Table};

/// What ran to its end: the name of the file and the digest of what was in it. In the scope of the account
/// that was filled, so that a reset of that account lets them fill it again.
const SEEDED: Table<String, ()> = Table::new(0xf101, "cloud.seeded");
/// The same as a file, as older builds had it: a line each, with the digest and the path.
const DONE: &str = "init.done";

/// That the end was asked for, for a thread that waits for a process.
pub struct Stop {
    is_asked: AtomicBool,
    event: OwnedFd,
}

impl Stop {
    pub fn new() -> rustix::io::Result<Stop> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Stop { is_asked: AtomicBool::new(false), event })
    }

    pub fn stop(&self) {
        self.is_asked.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    pub fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Acquire)
    }
}

/// What they may ask, once it is there.
#[derive(Clone)]
pub(super) struct Open {
    pub gateway: Arc<Gateway>,
    pub runtime: tokio::runtime::Handle,
    store: Store,
}

#[derive(Clone)]
pub(super) struct Runner {
    /// What a script sees beside our own variables.
    pub env: Vec<(&'static str, String)>,
    account: AccountId,
    listens_everywhere: bool,
    shims: PathBuf,
    done: PathBuf,
    timeout: Duration,
    pub open: Option<Open>,
}

enum Ended {
    Itself,
    TooLate,
    Asked,
}

impl Runner {
    pub fn new(config: &Config, env: Vec<(&'static str, String)>) -> Runner {
        let given = config.root_keys.first().filter(|_| !config.well_known_pairs);
        Runner {
            env,
            account: given.map_or(AccountId::DEFAULT, |key| key.account),
            listens_everywhere: config.listen.ip().is_unspecified(),
            shims: config.data.join("run/init-bin"),
            done: config.data.join(DONE),
            timeout: config.init_timeout,
            open: None,
        }
    }

    pub fn opened(&mut self, url: &str, gateway: &Arc<Gateway>, store: &Store) {
        let port = url.rsplit(':').next().unwrap_or("4566").to_owned();
        // Beyond this machine is where it listens; the script is on it.
        let url = match self.listens_everywhere {
            true => format!("http://127.0.0.1:{port}"),
            false => url.to_owned(),
        };
        self.env.extend([
            ("AWS_ENDPOINT_URL", url),
            ("LOCALSTACK_HOSTNAME", "localhost".to_owned()),
            ("EDGE_PORT", port),
        ]);
        let runtime = tokio::runtime::Handle::current();
        self.open = Some(Open { gateway: gateway.clone(), runtime, store: store.clone() });
    }

    /// `awslocal`, which such scripts call, where there is only `aws`. Before there is a cloud it has nobody
    /// to ask, and nothing may be in the data folder before the store.
    pub fn prepare(&self) {
        if self.open.is_none() {
            return;
        }
        if let Err(error) = self.make_shims() {
            eprintln!("cumulet: {}: {error}", self.shims.display());
        }
    }

    #[allow(clippy::disallowed_methods, reason = "a program in the run folder")]
    fn make_shims(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.shims)?;
        let path = self.shims.join("awslocal");
        std::fs::write(&path, "#!/bin/sh\nexec aws --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"\n")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
    }

    #[allow(clippy::disallowed_methods, reason = "scripts are beside the data")]
    pub fn run(&self, script: &Script, stop: &Stop) -> Result<(), String> {
        let told = |error: std::io::Error| error.to_string();
        if std::fs::metadata(&script.path).map_err(told)?.len() > SCRIPT_BYTES_MAX {
            return Err(format!("it is longer than {SCRIPT_BYTES_MAX} bytes"));
        }
        let content = std::fs::read(&script.path).map_err(told)?;
        let digest = base::hex::encode(&Md5::digest(&content));
        let open = self.open.as_ref().filter(|_| script.stage == Stage::Ready);
        if let Some(open) = open {
            let before = format!("{digest} {}", script.path.display());
            if self.is_done(open, &script.name, &digest, &before).map_err(|e| e.to_string())? {
                return Ok(());
            }
        }
        match script.is("json") {
            true => self.seed(script, &content, stop)?,
            false => self.execute(&script.path, &content, stop)?,
        }
        match open {
            Some(open) => self.keep(open, &script.name, &digest).map_err(|e| e.to_string()),
            None => Ok(()),
        }
    }

    fn scope(&self) -> Scope {
        Scope::Account(self.account)
    }

    /// Whether it ran before. What an older build has noted becomes a row.
    #[allow(clippy::disallowed_methods, reason = "a file beside the data")]
    fn is_done(
        &self,
        open: &Open,
        name: &str,
        digest: &str,
        before: &str,
    ) -> Result<bool, StoreError> {
        let key = format!("{name} {digest}");
        let known = open.store.read(|tx| tx.get(&SEEDED, &self.scope(), &key))?;
        if known.is_some() {
            return Ok(true);
        }
        let list = std::fs::read_to_string(&self.done).unwrap_or_default();
        let is_listed = list.lines().any(|line| line == before);
        if is_listed {
            self.keep(open, name, digest)?;
            // Its line goes with it: after a reset it is no longer true.
            let rest: String = list
                .lines()
                .filter(|line| *line != before)
                .map(|line| format!("{line}\n"))
                .collect();
            let _ = std::fs::write(&self.done, rest);
        }
        Ok(is_listed)
    }

    fn keep(&self, open: &Open, name: &str, digest: &str) -> Result<(), StoreError> {
        let key = format!("{name} {digest}");
        let commit = open.store.write(|tx| tx.put(&SEEDED, &self.scope(), &key, &()));
        open.runtime.block_on(commit)
    }

    /// A script in a session of its own, so that all that it started can be ended with it.
    fn execute(&self, path: &Path, content: &[u8], stop: &Stop) -> Result<(), String> {
        let is_program = std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o111 != 0);
        let is_python = path.extension().is_some_and(|extension| extension == "py");
        let mut command = match (is_python, is_program) {
            (true, _) => Command::new("python3"),
            (false, true) => Command::new(path),
            (false, false) => Command::new("sh"),
        };
        let reader = match (is_python, is_program) {
            (true, _) => "python3".to_owned(),
            (false, true) => first_line_reader(content),
            (false, false) => "sh".to_owned(),
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
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => missing(&reader),
            _ => format!("it cannot be started: {error}"),
        })?;
        let pid = Pid::from_child(&child);
        let ended = self.wait_for(pid, stop);
        // Nor does one that cannot be watched go on alone.
        if !matches!(ended, Ok(Ended::Itself)) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        match ended.map_err(|error| error.to_string())? {
            Ended::Itself if status.success() => Ok(()),
            Ended::Itself => Err(format!("it failed ({status})")),
            Ended::Asked => Err("it was stopped, since the cloud ends".to_owned()),
            Ended::TooLate => Err(format!(
                "it did not end within {} s and was stopped; --init-timeout-s gives it more",
                self.timeout.as_secs()
            )),
        }
    }

    /// Until it ends, or its time is over, or the end of the cloud is asked for.
    fn wait_for(&self, pid: Pid, stop: &Stop) -> rustix::io::Result<Ended> {
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        let clock = crate::chance::SystemClock::new();
        let began_ns = clock.monotonic_ns();
        loop {
            let passed = Duration::from_nanos(clock.monotonic_ns().saturating_sub(began_ns));
            let left = self.timeout.saturating_sub(passed);
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut watched =
                [PollFd::new(&descriptor, PollFlags::IN), PollFd::new(&stop.event, PollFlags::IN)];
            match poll(&mut watched, Some(&left)) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
                Ok(0) => return Ok(Ended::TooLate),
                Ok(_) if watched[0].revents().is_empty() => return Ok(Ended::Asked),
                Ok(_) => return Ok(Ended::Itself),
            }
        }
    }
}

/// The program that a script names in its first line.
fn first_line_reader(content: &[u8]) -> String {
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.strip_prefix(b"#!").unwrap_or_default()).into_owned();
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or("sh");
    let word = if first.ends_with("/env") { words.next().unwrap_or(first) } else { first };
    word.to_owned()
}

/// Our own image has nothing but the program.
fn missing(reader: &str) -> String {
    format!(
        "there is no {reader} here to run it. Write it as a seed, a .json file that needs nothing; or, in a \
         container, build an image that has both: FROM one with {reader}, then COPY --from=cumulet \
         /usr/local/bin/cumulet /usr/local/bin/ and COPY --from=cumulet /etc/cumulet.toml /etc/ (the page \
         \"Coming from LocalStack\" has it in full)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_a_script() {
        for (text, expected) in [
            ("#!/bin/bash -e\nx", "/bin/bash"),
            ("#!/usr/bin/env python3\n", "python3"),
            ("#!/usr/bin/env", "/usr/bin/env"),
            ("echo", "sh"),
            ("", "sh"),
        ] {
            assert_eq!(first_line_reader(text.as_bytes()), expected, "{text}");
        }
        assert!(missing("sh").contains("COPY --from=cumulet"));
    }
}
