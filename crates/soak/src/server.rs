//! The real binary, started on a folder and ended in every way.

use crate::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const START_TIME_MAX: Duration = Duration::from_secs(20);
const LOG_LINES_MAX: usize = 40;

#[derive(Clone, Debug)]
pub struct Program {
    pub binary: PathBuf,
    /// Flags for `up` besides folder and address.
    pub flags: Vec<String>,
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
    started: Instant,
}

impl Server {
    /// Does not wait.
    pub fn spawn(program: &Program, data: &Path) -> Result<Server, String> {
        let started = Instant::now();
        let spawn = |mut command: Command| {
            command
                .args(["up", "--docker-socket", "none", "--listen", "127.0.0.1:0", "--data"])
                .arg(data)
                .args(&program.flags)
                .env_clear()
                .current_dir("/")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
        };
        // It ends with whoever started it: a run that is killed leaves no server, and so no mounts.
        let mut tied = Command::new("/usr/bin/setpriv");
        tied.args(["--pdeathsig", "KILL", "--"]).arg(&program.binary);
        let mut child = spawn(tied)
            .or_else(|_| spawn(Command::new(&program.binary)))
            .map_err(|e| format!("cannot start {}: {e}", program.binary.display()))?;
        let (send, lines) = channel();
        let errors = child.stderr.take().ok_or("no stderr")?;
        let output = child.stdout.take().ok_or("no stdout")?;
        let send_too = send.clone();
        std::thread::spawn(move || {
            BufReader::new(errors).lines().map_while(Result::ok).all(|l| send_too.send(l).is_ok());
        });
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).all(|l| send.send(l).is_ok());
        });
        Ok(Server { child, lines, log: Vec::new(), started })
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn keep(&mut self, line: String) {
        self.log.push(line);
        if self.log.len() > LOG_LINES_MAX {
            self.log.remove(0);
        }
    }

    /// Waits until it answers a question about the store; how long it took since its start.
    pub fn answers(&mut self, path: &str) -> Result<(SocketAddr, Duration), String> {
        let end = self.started + START_TIME_MAX;
        let address = loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = line.strip_prefix("listening on http://").map(str::to_owned);
                    self.keep(line);
                    if let Some(address) = found {
                        break address;
                    }
                }
                Err(_) => return Err(format!("it does not listen:\n{}", self.log())),
            }
        };
        let address = address.trim_end_matches('/').parse();
        let address = address.map_err(|e| format!("an address that is none: {e}"))?;
        let answer = Client::new(address).ask("GET", path, "", b"")?;
        match answer.status {
            200 | 404 => Ok((address, self.started.elapsed())),
            _ => Err(format!("{path}: {}\n{}", answer.text(), self.log())),
        }
    }

    pub fn log(&mut self) -> String {
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(50)) {
            self.keep(line);
        }
        self.log.join("\n")
    }

    /// Has it ended by itself?
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub fn wait(&mut self) {
        let _ = self.child.wait();
    }

    /// What it printed, if there is a panic in it.
    pub fn panicked(&mut self) -> Option<String> {
        let log = self.log();
        log.contains("panicked at").then_some(log)
    }

    pub fn kill(&mut self) {
        if !self.ended() {
            let _ = kill_process(self.pid(), Signal::KILL);
            self.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
