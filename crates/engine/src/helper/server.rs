//! The process itself: one loop over all that can happen, in which nothing waits for one container.

use super::log_file::Stream;
use super::outlet::Socket;
use super::program::Program;
use super::protocol::{Answer, Ask, Ended, Request, Running, Say, VERSION, WITH_STARTING};
use crate::claim;
use crate::sys::{cgroup, pass, raw, terminal};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::Pid;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

/// In the folder that the helper is started in.
pub(super) const SOCKET: &str = "helper.sock";
/// Says which process it is, for who has to join it before anything can be asked.
pub(super) const PROCESS: &str = "helper.pid";

/// After its end a program's streams are read for so long, should something else hold them open.
pub(super) const LINGER_NS: u64 = 2_000_000_000;
/// So many messages may wait for an engine that does not read; then it has to connect again.
const UNSENT_MAX: usize = 4096;
/// Programs in one part of a list, so that it fits a message.
const LIST_PART: usize = 200;

/// What a descriptor in the loop is. With the number of the program, outlet or connection it makes
/// up what the kernel gives back.
pub(super) const LISTENER: u64 = 0;
pub(super) const SIGNALS: u64 = 1;
pub(super) const ENGINE: u64 = 2;
pub(super) const REPORT: u64 = 3;
pub(super) const OUT: u64 = 4;
pub(super) const ERR: u64 = 5;
pub(super) const INPUT: u64 = 6;
pub(super) const OUTLET: u64 = 7;

pub(super) fn token(id: u64, kind: u64) -> EventData {
    EventData::new_u64(id << 3 | kind)
}

pub(super) struct Server {
    pub(super) epoll: OwnedFd,
    pub(super) next: u64,
    listener: OwnedFd,
    pub(super) signals: OwnedFd,
    engine: Option<Connection>,
    pub(super) programs: BTreeMap<u64, Program>,
    pub(super) by_key: BTreeMap<String, u64>,
    /// Which program an outlet belongs to.
    pub(super) outlet_of: BTreeMap<u64, u64>,
    /// Outlets of programs that have ended, until all is sent.
    pub(super) leaving: BTreeMap<u64, Socket>,
    pub(super) buffer: Vec<u8>,
    /// Says that its engine's networks are in use, as long as it runs.
    _claim: OwnedFd,
    /// Folders in which control groups of programs were.
    pub(super) cgroups_above: BTreeSet<String>,
    /// The mark of an engine that has gone and leaves nothing.
    pub(super) takes_down: Option<String>,
}

/// The number of no request.
const NOBODY: u64 = 0;

struct Connection {
    id: u64,
    fd: OwnedFd,
    /// Has said what it is, and is told of every end.
    told: bool,
    version: u32,
    /// With it all programs end.
    ends_with: Option<String>,
    unsent: VecDeque<Vec<u8>>,
}

/// Runs until no container and no engine is left. Standard input is the first engine's socket, the
/// working directory the folder for our own.
pub fn main() -> i32 {
    match Server::new().and_then(|mut server| server.run()) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("containers helper: {error}");
            1
        }
    }
}

/// The time since the machine started.
pub(super) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn write_process() -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, PROCESS, flags, Mode::from_raw_mode(0o600))?;
    let own = Pid::as_raw(Some(rustix::process::getpid()));
    io::Write::write_all(&mut std::fs::File::from(file), format!("{own}\n").as_bytes())
}

/// The helper whose folder this is, as the kernel shows its process. It is not spoken to.
pub fn running(folder: &std::path::Path) -> Option<std::path::PathBuf> {
    let pid: u32 = std::fs::read_to_string(folder.join(PROCESS)).ok()?.trim().parse().ok()?;
    let process = std::path::PathBuf::from(format!("/proc/{pid}"));
    let command = std::fs::read_to_string(process.join("cmdline")).ok()?;
    let is_helper = command.split('\0').any(|word| word == super::COMMAND);
    let is_there = std::fs::canonicalize(folder).ok()?;
    (is_helper && std::fs::read_link(process.join("cwd")).ok()? == is_there).then_some(process)
}

impl Server {
    fn new() -> io::Result<Server> {
        let _ = rustix::process::setsid();
        rustix::process::umask(Mode::empty());
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let signals = raw::signal_descriptor(&[libc::SIGCHLD])?;
        let _ = rustix::fs::unlink(SOCKET);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::bind(&listener, &SocketAddrUnix::new(SOCKET)?)?;
        rustix::fs::chmod(SOCKET, Mode::from_raw_mode(0o600))?;
        rustix::net::listen(&listener, 8)?;
        write_process()?;
        let claim = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
        let mut server = Server {
            _claim: claim,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            next: 0,
            listener,
            signals,
            engine: None,
            programs: BTreeMap::new(),
            by_key: BTreeMap::new(),
            outlet_of: BTreeMap::new(),
            leaving: BTreeMap::new(),
            buffer: vec![0; pass::BYTES_MAX],
            cgroups_above: BTreeSet::new(),
            takes_down: None,
        };
        epoll::add(&server.epoll, &server.listener, token(0, LISTENER), EventFlags::IN)?;
        epoll::add(&server.epoll, &server.signals, token(0, SIGNALS), EventFlags::IN)?;
        let first = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        raw::replace_stream(&null, 0)?;
        raw::replace_stream(&null, 1)?;
        server.adopt(first)?;
        Ok(server)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(64);
        while self.engine.is_some() || !self.programs.is_empty() || !self.leaving.is_empty() {
            events.clear();
            let timeout = self.timeout();
            let room = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, room, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let Event { flags, data } = *event;
                self.handle(data.u64() >> 3, data.u64() & 7, flags);
            }
            self.finish_late();
        }
        // As soon as nobody finds the socket another helper may take the place.
        let _ = rustix::fs::unlink(PROCESS);
        let _ = rustix::fs::unlink(SOCKET);
        if let Some(mark) = &self.takes_down {
            // An engine that ended well has taken it away itself.
            let _ = claim::clear(mark, &[]);
        }
        // Nothing of ours is left below; what others have there keeps them.
        cgroup::remove(&self.cgroups_above.iter().cloned().collect::<Vec<_>>());
        Ok(())
    }

    fn timeout(&self) -> Option<Timespec> {
        let first = self.programs.values().filter_map(|program| program.deadline_ns).min()?;
        let ns = first.saturating_sub(monotonic_ns()).max(1_000_000);
        Some(Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 })
    }

    /// What an event is about may be gone by an event before it; then nothing is found.
    fn handle(&mut self, id: u64, kind: u64, flags: EventFlags) {
        let readable = flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
        let writable = flags.contains(EventFlags::OUT);
        match kind {
            LISTENER => self.accept(),
            SIGNALS => self.reap(),
            ENGINE if self.engine.as_ref().is_some_and(|engine| engine.id == id) => {
                if writable {
                    self.send_unsent();
                }
                if readable {
                    self.listen_to_engine();
                }
            }
            REPORT => self.hear_report(id),
            OUT | ERR => {
                if readable {
                    self.read_output(id, if kind == OUT { Stream::Out } else { Stream::Err });
                }
                if writable {
                    self.settle(id);
                }
            }
            INPUT => self.settle(id),
            OUTLET => self.outlet_event(id, readable, flags.contains(EventFlags::HUP)),
            _ => {}
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        if let Ok(fd) = rustix::net::accept_with(&self.listener, flags) {
            let _ = self.adopt(fd);
        }
    }

    /// A new engine takes the place of the one before.
    fn adopt(&mut self, fd: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        self.drop_engine();
        let id = self.number();
        epoll::add(&self.epoll, &fd, token(id, ENGINE), EventFlags::IN)?;
        let unsent = VecDeque::new();
        self.engine = Some(Connection { id, fd, told: false, version: 0, ends_with: None, unsent });
        Ok(())
    }

    fn drop_engine(&mut self) {
        if let Some(old) = self.engine.take() {
            let _ = epoll::delete(&self.epoll, &old.fd);
            // Who asked for a start is gone, and the next one's numbers begin anew.
            for program in self.programs.values_mut().filter(|one| one.starting.is_some()) {
                program.starting = Some(NOBODY);
            }
            if let Some(mark) = old.ends_with {
                self.end_all(mark);
            }
        }
    }

    fn listen_to_engine(&mut self) {
        loop {
            let Some(engine) = &self.engine else { return };
            match pass::receive(&engine.fd, &mut self.buffer) {
                Ok(Some((length, fds))) => {
                    let request = serde_json::from_slice::<Request>(&self.buffer[..length]);
                    match request {
                        Ok(request) => self.serve(request, fds),
                        Err(error) => {
                            // An id is all that an answer to what is not understood needs.
                            let value: Option<serde_json::Value> =
                                serde_json::from_slice(&self.buffer[..length]).ok();
                            let id = value.and_then(|value| value["id"].as_u64());
                            self.answer(id.unwrap_or(NOBODY), failed(error.to_string()));
                        }
                    }
                }
                Ok(None) => return self.drop_engine(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.drop_engine(),
            }
        }
    }

    fn serve(&mut self, request: Request, fds: Vec<OwnedFd>) {
        let id = request.id;
        let answer = match request.ask {
            Ask::Hello { version, ends_with } => {
                if let Some(engine) = &mut self.engine {
                    engine.told = true;
                    engine.version = version;
                    engine.ends_with = ends_with;
                }
                let pid = Pid::as_raw(Some(rustix::process::getpid()));
                Answer::Hello { version: VERSION, pid }
            }
            Ask::Start(start) => match self.start(id, &start, fds) {
                // The answer comes when the program runs.
                Ok(()) => return,
                Err(text) => failed(text),
            },
            Ask::Attach { key, outlet } => match (self.by_key.get(&key), fds.into_iter().next()) {
                (Some(program), Some(fd)) => {
                    self.add_outlet(*program, fd, outlet);
                    Answer::Done
                }
                _ => failed("it does not run"),
            },
            Ask::Resize { key, rows, columns } => self.on(&key, |program| {
                let terminal = program.terminal.as_ref().ok_or("it has no terminal")?;
                terminal::resize(terminal, rows, columns).map_err(|_| "cannot resize a terminal")
            }),
            Ask::Signal { key, signal } => self.on(&key, |program| {
                raw::signal_process(&program.pidfd, signal).map_err(|_| "no such process")
            }),
            Ask::List => return self.list(id),
            Ask::Hold { key } => {
                let program = self.by_key.get(&key).and_then(|id| self.programs.get_mut(id));
                match program {
                    Some(program) => {
                        program.held.extend(fds);
                        Answer::Done
                    }
                    None => failed("it does not run"),
                }
            }
        };
        self.answer(id, answer);
    }

    fn on(&self, key: &str, act: impl FnOnce(&Program) -> Result<(), &'static str>) -> Answer {
        let program = self.by_key.get(key).and_then(|id| self.programs.get(id));
        match program.filter(|program| program.end.is_none()) {
            None => failed("no such process"),
            Some(program) => match act(program) {
                Ok(()) => Answer::Done,
                Err(text) => failed(text),
            },
        }
    }

    fn list(&mut self, id: u64) {
        let knows = self.engine.as_ref().is_some_and(|engine| engine.version >= WITH_STARTING);
        let is_told = |program: &&Program| program.starting.is_none() || knows;
        let running: Vec<Running> = self
            .programs
            .values()
            .filter(|program| is_told(program) && self.by_key.contains_key(&program.key))
            .map(|program| Running {
                key: program.key.clone(),
                pid: Pid::as_raw(Some(program.pid)),
                started_ns: program.started_ns,
                starting: program.starting.is_some(),
            })
            .collect();
        for part in running.chunks(LIST_PART) {
            self.answer(id, Answer::List { running: part.to_vec() });
        }
        self.answer(id, Answer::List { running: Vec::new() });
    }

    pub(super) fn tell(&mut self, ended: Ended) {
        if self.engine.as_ref().is_some_and(|engine| engine.told) {
            self.say(&Say::Ended(ended));
        }
    }

    pub(super) fn answer(&mut self, id: u64, answer: Answer) {
        self.say(&Say::Answer { id, answer });
    }

    fn say(&mut self, say: &Say) {
        let Some(engine) = &mut self.engine else { return };
        if engine.unsent.len() >= UNSENT_MAX {
            return self.drop_engine();
        }
        if let Ok(bytes) = serde_json::to_vec(say) {
            engine.unsent.push_back(bytes);
            self.send_unsent();
        }
    }

    fn send_unsent(&mut self) {
        let Some(engine) = &mut self.engine else { return };
        while let Some(first) = engine.unsent.front() {
            match pass::send(&engine.fd, first, &[]) {
                Ok(()) => drop(engine.unsent.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.drop_engine(),
            }
        }
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, !engine.unsent.is_empty());
        let _ = epoll::modify(&self.epoll, &engine.fd, token(engine.id, ENGINE), flags);
    }
}

pub(super) fn failed(text: impl Into<String>) -> Answer {
    Answer::Failed { text: text.into() }
}
