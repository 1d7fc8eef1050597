//! Servers that the bench starts: when they answer, what they use, and how they end.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A clock tick of `/proc/PID/stat`; Linux reports 100 a second on every architecture.
const TICK_US: u64 = 10_000;
const START_S_MAX: u64 = 60;

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    pid: u32,
    /// None for one that somebody else started, and will end.
    child: Option<Child>,
    log: PathBuf,
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16, String> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|e| format!("no free port on 127.0.0.1: {e}"))
}

impl Server {
    /// Starts it without waiting. What it prints goes to `dir/NAME.log`.
    pub fn spawn(
        name: &'static str,
        command: &mut Command,
        port: u16,
        dir: &Path,
    ) -> Result<Server, String> {
        let log = dir.join(format!("{name}.log"));
        let file = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let errors = file.try_clone().map_err(|e| format!("{}: {e}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("cannot start {name}: {e}"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Server { name, address, pid: child.id(), child: Some(child), log })
    }

    /// One that is running already.
    pub fn attach(address: SocketAddr, pid: u32) -> Server {
        Server { name: "server", address, pid, child: None, log: PathBuf::new() }
    }

    /// Waits until it takes connections.
    pub fn listens(mut self) -> Result<Server, String> {
        let deadline = Instant::now() + Duration::from_secs(START_S_MAX);
        while TcpStream::connect(self.address).is_err() {
            self.still_runs()?;
            if Instant::now() > deadline {
                return Err(format!("{} does not listen after {START_S_MAX} s", self.name));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(self)
    }

    /// An error with the end of its log if it is gone.
    pub fn still_runs(&mut self) -> Result<(), String> {
        match self.child.as_mut().map(Child::try_wait) {
            None | Some(Ok(None)) => Ok(()),
            Some(Ok(Some(status))) => {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let from = log.len().saturating_sub(2000);
                let tail = log.get(from..).unwrap_or(&log);
                Err(format!("{} ended with {status}:\n{tail}", self.name))
            }
            Some(Err(e)) => Err(format!("{}: {e}", self.name)),
        }
    }

    fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Processor time of all its processes since they started.
    pub fn cpu_us(&self) -> u64 {
        self.processes().iter().filter_map(|pid| cpu_us(*pid)).sum()
    }

    /// Proportional set size of all its processes.
    pub fn pss_kib(&self) -> u64 {
        self.processes().iter().filter_map(|pid| pss_kib(*pid)).sum()
    }

    /// As a crash would end it. The processes below it go too.
    pub fn kill(mut self) {
        self.end(Signal::KILL);
    }

    fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.pid];
        let mut next = 0;
        while let Some(pid) = all.get(next) {
            let children = children(*pid);
            all.extend(children);
            next += 1;
        }
        all
    }

    fn end(&mut self, signal: Signal) {
        // A master that dies hard leaves its workers behind.
        let below = self.processes();
        signal_to(self.pid, signal);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.runs() {
            if Instant::now() > deadline {
                signal_to(self.pid, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(1));
        }
        if signal == Signal::KILL {
            below.iter().skip(1).for_each(|pid| signal_to(*pid, Signal::KILL));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.runs() {
            self.end(Signal::TERM);
        }
    }
}

fn signal_to(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may be gone already, which is what we want.
        let _ = kill_process(pid, signal);
    }
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}

/// Processor time of one process.
pub fn cpu_us(pid: u32) -> Option<u64> {
    ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|ticks| ticks * TICK_US)
}

/// utime + stime: fields 14 and 15, counted behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let rest = stat.get(stat.rfind(')')? + 2..)?;
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn pss_kib(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_the_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 3 0 99 1 2";
        assert_eq!(ticks(stat), Some(175));
        assert_eq!(ticks("nonsense"), None);
        assert!(cpu_us(std::process::id()).is_some() && pss_kib(std::process::id()).is_some());
    }
}
