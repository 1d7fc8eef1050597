//! A program that the helper started: its process, streams, log and outlets.

use super::log_file::{Log, Stream};
use super::outlet::{Sent, Socket};
use super::protocol::{Ended, Start};
use crate::sys::cgroup;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::Pid;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;

/// Input that waits for a program which does not read, at most.
const INPUT_BYTES_MAX: usize = 64 * 1024;

pub struct Program {
    pub key: String,
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub started_ns: i64,
    /// The request that waits for the start, until the program runs.
    pub starting: Option<u64>,
    pub report: Option<OwnedFd>,
    pub terminal: Option<OwnedFd>,
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
    pub input: VecDeque<u8>,
    /// The input ends when all that waits is written.
    pub input_ending: bool,
    pub stdin_once: bool,
    pub log: Option<Log>,
    pub outlets: BTreeMap<u64, Socket>,
    pub record: Option<String>,
    pub cgroups: Vec<String>,
    /// Ports that are the container's as long as it runs.
    pub held: Vec<OwnedFd>,
    /// Exit code and time, once it has ended.
    pub end: Option<(i32, i64)>,
    /// After its end its streams are given so long.
    pub deadline_ns: Option<u64>,
    /// The first of a container that has no PID namespace of its own: its end is not that of the others.
    pub shares_pids: bool,
    /// What it sees, once it is the program.
    pub mounts: Option<(u64, u64)>,
}

impl Program {
    pub fn new(start: &Start, pid: Pid, pidfd: OwnedFd, now_ns: i64) -> Program {
        Program {
            key: start.key.clone(),
            pid,
            pidfd,
            started_ns: now_ns,
            starting: None,
            report: None,
            terminal: None,
            stdin: None,
            stdout: None,
            stderr: None,
            input: VecDeque::new(),
            input_ending: false,
            stdin_once: start.stdin_once,
            log: None,
            outlets: BTreeMap::new(),
            record: start.record.clone(),
            cgroups: start.cgroups.clone(),
            held: Vec::new(),
            end: None,
            deadline_ns: None,
            shares_pids: false,
            mounts: None,
        }
    }

    pub fn is_slow(&self) -> bool {
        self.outlets.values().any(Socket::is_slow)
    }

    pub fn is_quiet(&self) -> bool {
        self.terminal.is_none() && self.stdout.is_none() && self.stderr.is_none()
    }

    /// Whether what is typed may be read from the outlets.
    pub fn takes_input(&self) -> bool {
        self.input.len() < INPUT_BYTES_MAX
    }

    /// Reads a piece of output; `false` at its end.
    pub fn read(&mut self, stream: Stream, buffer: &mut [u8], now_ns: i64) -> Result<(), End> {
        let from = match (stream, &self.terminal) {
            (Stream::Out, Some(terminal)) => terminal,
            (Stream::Out, None) => self.stdout.as_ref().ok_or(End::Over)?,
            (Stream::Err, _) => self.stderr.as_ref().ok_or(End::Over)?,
        };
        let bytes = match rustix::io::read(from, &mut *buffer) {
            Ok(0) => return Err(End::Over),
            Ok(n) => &buffer[..n],
            Err(Errno::AGAIN | Errno::INTR) => return Err(End::NotNow),
            // A terminal that nobody holds open any more.
            Err(_) => return Err(End::Over),
        };
        if let Some(log) = &mut self.log {
            log.write(stream, bytes, now_ns);
        }
        for outlet in self.outlets.values_mut() {
            outlet.put(stream, bytes);
        }
        Ok(())
    }

    /// Sends what waits in the outlets; gives those that want to be told of room, and those at their
    /// end.
    pub fn send(&mut self) -> (Vec<u64>, Vec<u64>) {
        let (mut waiting, mut gone) = (Vec::new(), Vec::new());
        for (token, outlet) in &mut self.outlets {
            match outlet.send() {
                Sent::All => {}
                Sent::Some => waiting.push(*token),
                Sent::Gone => gone.push(*token),
            }
        }
        (waiting, gone)
    }

    /// Writes what was typed; `true` if the program takes no more for now.
    pub fn write_input(&mut self) -> bool {
        let to = match (&self.terminal, &self.stdin) {
            (Some(terminal), _) => terminal,
            (None, Some(stdin)) => stdin,
            // A terminal is still to come.
            (None, None) if self.starting.is_some() => return false,
            (None, None) => {
                self.input.clear();
                return false;
            }
        };
        while !self.input.is_empty() {
            let (front, _) = self.input.as_slices();
            match rustix::io::write(to, front) {
                Ok(written) => drop(self.input.drain(..written)),
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => {}
                Err(_) => {
                    self.input.clear();
                    self.stdin = None;
                    return false;
                }
            }
        }
        if self.input_ending {
            self.stdin = None;
        }
        false
    }

    /// Whoever feeds the input has no more.
    pub fn input_is_over(&mut self) {
        if self.stdin_once && self.terminal.is_none() {
            self.input_ending = true;
        }
    }

    /// Kills what its container has left; gives whether there was anything.
    pub fn kill_rest(&self) -> bool {
        if !self.shares_pids {
            return false;
        }
        let group = self.cgroups.first();
        let mut rest = group.map(|at| cgroup::processes(at)).unwrap_or_default();
        rest.extend(self.mounts.map(crate::processes::in_mounts).unwrap_or_default());
        for pid in rest.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        !rest.is_empty()
    }

    /// All is over: the log is closed, the end written down, the control groups removed.
    pub fn finish(&mut self) -> Ended {
        let (code, at_ns) = self.end.unwrap_or((255, 0));
        if let Some(log) = &mut self.log {
            log.finish(at_ns);
        }
        let out_of_memory = cgroup::was_out_of_memory(&self.cgroups);
        let ended = Ended { key: self.key.clone(), code, out_of_memory, at_ns };
        if let Some(path) = &self.record {
            let _ = write_down(path, &ended);
        }
        cgroup::remove_whole(&self.cgroups);
        self.held.clear();
        for outlet in self.outlets.values_mut() {
            outlet.end();
        }
        ended
    }
}

/// Why nothing was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    NotNow,
    Over,
}

/// Whole or not at all.
fn write_down(path: &str, ended: &Ended) -> std::io::Result<()> {
    use rustix::fs::{CWD, Mode, OFlags, openat, renameat};
    let partial = format!("{path}.partial");
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, &partial, flags, Mode::from_raw_mode(0o600))?;
    std::fs::File::from(file).write_all(&serde_json::to_vec(ended)?)?;
    Ok(renameat(CWD, partial, CWD, path)?)
}
