//! The half of the loop that has to do with programs: starting them, carrying their streams, and
//! noticing their end.

use super::log_file::{Log, Stream};
use super::outlet::{Sent, Socket};
use super::program::{End, Program};
use super::protocol::{Answer, Outlet, Start};
use super::server::{
    ERR, INPUT, LINGER_NS, OUT, OUTLET, REPORT, Server, failed, monotonic_ns, token,
};
use crate::plan::Plan;
use crate::sys::{child, mounts, pass, raw};
use crate::time;
use rustix::event::epoll::{self, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions};
use std::io;

/// The ends of the streams that are the helper's, and those that are the program's.
struct Streams {
    ours: [Option<OwnedFd>; 3],
    theirs: [OwnedFd; 3],
}

fn streams(start: &Start) -> io::Result<Streams> {
    let null = || openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    if start.terminal {
        return Ok(Streams { ours: [None, None, None], theirs: [null()?, null()?, null()?] });
    }
    let (stdin_theirs, stdin_ours) = match start.stdin {
        true => {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            (read, Some(write))
        }
        false => (null()?, None),
    };
    let (out_ours, out_theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    let (err_ours, err_theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    for fd in [stdin_ours.as_ref(), Some(&out_ours), Some(&err_ours)].into_iter().flatten() {
        rustix::io::ioctl_fionbio(fd, true)?;
    }
    Ok(Streams {
        ours: [stdin_ours, Some(out_ours), Some(err_ours)],
        theirs: [stdin_theirs, out_theirs, err_theirs],
    })
}

/// The plan is a file in memory, written by the engine.
fn read_plan(file: &OwnedFd) -> Result<Plan, String> {
    use std::io::{Read, Seek};
    let mut file = std::fs::File::from(file.try_clone().map_err(|e| e.to_string())?);
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut text)).map_err(|e| e.to_string())?;
    serde_json::from_slice(&text).map_err(|e| format!("the plan is not understood: {e}"))
}

fn is_own_pid_namespace(fd: &OwnedFd) -> bool {
    let own = rustix::fs::stat("/proc/self/ns/pid");
    let number = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    own.map(number) == rustix::fs::fstat(fd).map(number)
}

fn namespaces(plan: &Plan, joins: bool) -> u64 {
    let new = plan.new;
    let mut flags = 0;
    for (is, flag) in [
        (new.pid, libc::CLONE_NEWPID),
        (new.net, libc::CLONE_NEWNET),
        (new.ipc, libc::CLONE_NEWIPC),
        (new.uts, libc::CLONE_NEWUTS),
        // Whoever joins a container joins its mounts.
        (!joins, libc::CLONE_NEWNS),
    ] {
        if is {
            flags |= flag as u64;
        }
    }
    flags
}

/// Who is not root of the machine cannot come back from a PID namespace. So a process goes there that ends
/// when it has made another one beside itself.
fn born_in(namespace: &OwnedFd, namespaces: u64) -> io::Result<raw::Forked> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let between = match raw::fork(0)? {
        raw::Forked::Parent { pid, .. } => pid,
        raw::Forked::Child => {
            let gone =
                rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(PID_NAMESPACE));
            let forked = gone.map_err(io::Error::from).and_then(|()| raw::fork_beside(namespaces));
            let _ = match forked {
                Ok(raw::Forked::Child) => return Ok(raw::Forked::Child),
                Ok(raw::Forked::Parent { pid, pidfd }) => {
                    let number = Pid::as_raw(Some(pid)).to_string();
                    pass::send(&theirs, number.as_bytes(), &[pidfd.as_fd()])
                }
                Err(error) => pass::send(&theirs, crate::sys::reason(error).as_bytes(), &[]),
            };
            raw::exit(0);
        }
    };
    drop(theirs);
    let mut bytes = [0; 256];
    let answer = pass::receive(&ours, &mut bytes);
    let _ = rustix::process::waitpid(Some(between), WaitOptions::empty());
    let (length, fds) = answer?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    match (text.parse().ok().and_then(Pid::from_raw), fds.into_iter().next()) {
        (Some(pid), Some(pidfd)) => Ok(raw::Forked::Parent { pid, pidfd }),
        _ => Err(io::Error::other(text)),
    }
}

impl Server {
    pub(super) fn start(
        &mut self,
        request: u64,
        start: &Start,
        mut fds: Vec<OwnedFd>,
    ) -> Result<(), String> {
        let named = [1, start.plan_fds, start.held_fds, start.outlets.len()];
        if fds.len() != named.into_iter().fold(0, usize::saturating_add) {
            return Err("the descriptors do not fit the request".to_owned());
        }
        if self.by_key.contains_key(&start.key) {
            return Err("it runs already".to_owned());
        }
        let outlets = fds.split_off(1 + start.plan_fds + start.held_fds);
        let held = fds.split_off(1 + start.plan_fds);
        let plan_fds = fds.split_off(1);
        let plan = read_plan(&fds[0])?;
        let mut program = self.spawn(&plan, start, &plan_fds).map_err(|e| e.to_string())?;
        program.held = held;
        program.starting = Some(request);
        self.next += 1;
        let id = self.next;
        self.by_key.insert(start.key.clone(), id);
        let above = start.cgroups.iter().filter_map(|folder| folder.rsplit_once('/'));
        self.cgroups_above.extend(above.map(|(above, _)| above.to_owned()));
        if let Some(to) = &start.log {
            program.log = Log::open(to.clone()).ok();
        }
        self.programs.insert(id, program);
        self.watch_program(id);
        for (fd, outlet) in outlets.into_iter().zip(&start.outlets) {
            self.add_outlet(id, fd, *outlet);
        }
        Ok(())
    }

    fn spawn(&self, plan: &Plan, start: &Start, fds: &[OwnedFd]) -> io::Result<Program> {
        let Streams { ours, theirs } = streams(start)?;
        let flags = SocketFlags::CLOEXEC;
        let (report, child_report) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // The PID namespace in which children are born is set for this process and taken back: it
        // cannot be joined by the one who is born.
        let joins = plan.steps.iter().any(|step| matches!(step, crate::plan::Step::JoinAll(_)));
        let joined = match plan.join_pid {
            Some(at) => Some(fds.get(at).ok_or(io::ErrorKind::InvalidInput)?),
            None => None,
        };
        // In the machine's it is already, and without root it could not join it.
        let joined = joined.filter(|fd| !is_own_pid_namespace(fd));
        let own = match joined.filter(|_| !mounts::is_apart()) {
            None => None,
            Some(fd) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let own = openat(CWD, "/proc/self/ns/pid", flags, Mode::empty())?;
                rustix::thread::move_into_link_name_space(fd.as_fd(), Some(PID_NAMESPACE))?;
                Some(own)
            }
        };
        let forked = match joined.filter(|_| own.is_none()) {
            Some(fd) => born_in(fd, namespaces(plan, joins)),
            None => raw::fork(namespaces(plan, joins)),
        };
        if let Some(own) = own
            && !matches!(forked, Ok(raw::Forked::Child))
        {
            rustix::thread::move_into_link_name_space(own.as_fd(), Some(PID_NAMESPACE))?;
        }
        match forked? {
            raw::Forked::Child => {
                for (stream, fd) in (0..).zip(&theirs) {
                    let _ = raw::replace_stream(fd, stream);
                }
                child::run(&plan.steps, fds, &child_report)
            }
            raw::Forked::Parent { pid, pidfd } => {
                let mut program = Program::new(start, pid, pidfd, time::now_ns());
                let [stdin, stdout, stderr] = ours;
                (program.stdin, program.stdout, program.stderr) = (stdin, stdout, stderr);
                program.shares_pids = !plan.new.pid && !joins;
                rustix::io::ioctl_fionbio(&report, true)?;
                program.report = Some(report);
                Ok(program)
            }
        }
    }

    fn watch_program(&mut self, id: u64) {
        let Some(program) = self.programs.get(&id) else { return };
        for (fd, kind) in
            [(&program.report, REPORT), (&program.stdout, OUT), (&program.stderr, ERR)]
        {
            if let Some(fd) = fd {
                let _ = epoll::add(&self.epoll, fd, token(id, kind), EventFlags::IN);
            }
        }
        if let Some(fd) = &program.stdin {
            let _ = epoll::add(&self.epoll, fd, token(id, INPUT), EventFlags::empty());
        }
    }

    pub(super) fn add_outlet(&mut self, id: u64, fd: OwnedFd, carries: Outlet) {
        let _ = rustix::io::ioctl_fionbio(&fd, true);
        let number = self.number();
        let Some(program) = self.programs.get_mut(&id) else { return };
        if epoll::add(&self.epoll, &fd, token(number, OUTLET), EventFlags::IN).is_ok() {
            program.outlets.insert(number, Socket::new(fd, carries));
            self.outlet_of.insert(number, id);
            self.settle(id);
        }
    }

    /// The child has a terminal, has failed, or has become the program.
    pub(super) fn hear_report(&mut self, id: u64) {
        loop {
            let Some(program) = self.programs.get_mut(&id) else { return };
            let Some(report) = &program.report else { return };
            match pass::receive(report, &mut self.buffer) {
                Ok(Some((length, fds))) => match self.buffer[..length].split_first() {
                    Some((&child::SAYS_TERMINAL, _)) => {
                        let Some(terminal) = fds.into_iter().next() else { continue };
                        let _ = rustix::io::ioctl_fionbio(&terminal, true);
                        let _ = epoll::add(&self.epoll, &terminal, token(id, OUT), EventFlags::IN);
                        program.terminal = Some(terminal);
                        self.settle(id);
                    }
                    Some((&child::SAYS_FAILURE, text)) => {
                        let text = String::from_utf8_lossy(text).into_owned();
                        return self.start_failed(id, text);
                    }
                    _ => {}
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Its end of the socket was closed as it became the program.
                Ok(None) | Err(_) => return self.started(id),
            }
        }
    }

    fn started(&mut self, id: u64) {
        let Some(program) = self.programs.get_mut(&id) else { return };
        if let Some(report) = program.report.take() {
            let _ = epoll::delete(&self.epoll, &report);
        }
        let pid = Pid::as_raw(Some(program.pid));
        if program.shares_pids {
            program.mounts = crate::processes::mounts(pid);
        }
        let request = program.starting.take();
        if let Some(request) = request {
            self.answer(request, Answer::Started { pid });
        }
        self.finish_if_over(id);
    }

    /// Nothing is left of it but an answer; its process is buried when it has gone.
    fn start_failed(&mut self, id: u64, text: String) {
        let Some(mut program) = self.programs.remove(&id) else { return };
        self.by_key.remove(&program.key);
        self.forget_streams(&mut program);
        for (number, outlet) in std::mem::take(&mut program.outlets) {
            let _ = epoll::delete(&self.epoll, &outlet.fd);
            self.outlet_of.remove(&number);
        }
        // It ends by itself right after; its groups can go only then.
        let _ = raw::signal_process(&program.pidfd, libc::SIGKILL);
        let _ = rustix::process::waitpid(Some(program.pid), WaitOptions::empty());
        crate::sys::cgroup::remove_whole(&program.cgroups);
        if let Some(request) = program.starting {
            self.answer(request, failed(text));
        }
    }

    fn forget_streams(&self, program: &mut Program) {
        let streams = [
            program.report.take(),
            program.terminal.take(),
            program.stdin.take(),
            program.stdout.take(),
            program.stderr.take(),
        ];
        for fd in streams.into_iter().flatten() {
            let _ = epoll::delete(&self.epoll, &fd);
        }
    }

    /// Reads what there is, in pieces, so that others get their turn.
    pub(super) fn read_output(&mut self, id: u64, stream: Stream) {
        let Some(program) = self.programs.get_mut(&id) else { return };
        if program.is_slow() {
            return self.settle(id);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = program.read(stream, &mut buffer, time::now_ns());
        self.buffer = buffer;
        if read == Err(End::Over) {
            let over = match stream {
                Stream::Out => program.terminal.take().or_else(|| program.stdout.take()),
                Stream::Err => program.stderr.take(),
            };
            if let Some(fd) = over {
                let _ = epoll::delete(&self.epoll, &fd);
            }
        }
        self.settle(id);
        self.finish_if_over(id);
    }

    pub(super) fn outlet_event(&mut self, number: u64, readable: bool, hung_up: bool) {
        if let Some(outlet) = self.leaving.get_mut(&number) {
            if hung_up || outlet.send() == Sent::Gone {
                self.leaving.remove(&number);
            }
            return;
        }
        let Some(id) = self.outlet_of.get(&number).copied() else { return };
        if readable {
            self.read_input(id, number, hung_up);
        }
        self.settle(id);
    }

    fn read_input(&mut self, id: u64, number: u64, hung_up: bool) {
        let Some(program) = self.programs.get_mut(&id) else { return };
        let takes = program.takes_input();
        let Some(outlet) = program.outlets.get_mut(&number) else { return };
        let mut gone = hung_up;
        if outlet.stdin_open && takes {
            match rustix::io::read(&outlet.fd, &mut self.buffer[..16 * 1024]) {
                Ok(0) => {
                    outlet.stdin_open = false;
                    program.input_is_over();
                }
                Ok(n) => {
                    program.input.extend(&self.buffer[..n]);
                    // More may come before the end.
                    gone = false;
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => {
                    program.input_is_over();
                    gone = true;
                }
            }
        }
        if gone {
            self.drop_outlet(id, number);
        }
    }

    fn drop_outlet(&mut self, id: u64, number: u64) {
        self.outlet_of.remove(&number);
        let Some(program) = self.programs.get_mut(&id) else { return };
        if let Some(outlet) = program.outlets.remove(&number) {
            let _ = epoll::delete(&self.epoll, &outlet.fd);
        }
    }

    /// Writes what can be written, and says to the kernel what is waited for next.
    pub(super) fn settle(&mut self, id: u64) {
        let Some(program) = self.programs.get_mut(&id) else { return };
        let (waiting, gone) = program.send();
        for number in gone {
            self.drop_outlet(id, number);
        }
        let Some(program) = self.programs.get_mut(&id) else { return };
        let blocked = program.write_input();
        let reads = if program.is_slow() { EventFlags::empty() } else { EventFlags::IN };
        for (fd, kind) in [(&program.stdout, OUT), (&program.stderr, ERR)] {
            if let Some(fd) = fd {
                let _ = epoll::modify(&self.epoll, fd, token(id, kind), reads);
            }
        }
        let writes = if blocked { EventFlags::OUT } else { EventFlags::empty() };
        if let Some(fd) = &program.terminal {
            let _ = epoll::modify(&self.epoll, fd, token(id, OUT), reads | writes);
        }
        if let Some(fd) = &program.stdin {
            let _ = epoll::modify(&self.epoll, fd, token(id, INPUT), writes);
        }
        let takes = program.takes_input();
        for (number, outlet) in &program.outlets {
            let mut flags = EventFlags::empty();
            flags.set(EventFlags::IN, outlet.stdin_open && takes);
            flags.set(EventFlags::OUT, waiting.contains(number));
            let _ = epoll::modify(&self.epoll, &outlet.fd, token(*number, OUTLET), flags);
        }
    }

    /// Buries all that have died: programs, and orphans of containers that fell to us.
    pub(super) fn reap(&mut self) {
        let mut drop_it = [0u8; 128];
        while rustix::io::read(&self.signals, &mut drop_it).is_ok_and(|n| n > 0) {}
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            // The number of one that was buried already may be another's by now.
            let is_it = |program: &Program| program.pid == pid && program.end.is_none();
            let found = self.programs.iter_mut().find(|(_, program)| is_it(program));
            let Some((id, program)) = found else { continue };
            let id = *id;
            program.end = Some((crate::sys::process::exit_code(status), time::now_ns()));
            program.deadline_ns = Some(monotonic_ns() + LINGER_NS);
            // What it said last may not be read yet, the reason of a failed start above all.
            self.hear_report(id);
            self.drain(id);
        }
        // The last of what one has left may have been buried just now.
        let over = self.programs.iter().filter(|(_, program)| program.end.is_some());
        let over: Vec<u64> = over.map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.finish_if_over(id));
    }

    /// Reads what the program has written before its end. No more than a pipe holds: another process may write on.
    fn drain(&mut self, id: u64) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for stream in [Stream::Out, Stream::Err] {
            for _ in 0..DRAIN_READS_MAX {
                let Some(program) = self.programs.get_mut(&id) else { break };
                if program.is_slow() || program.read(stream, &mut buffer, time::now_ns()).is_err() {
                    break;
                }
            }
        }
        self.buffer = buffer;
        self.settle(id);
    }

    fn finish_if_over(&mut self, id: u64) {
        let Some(program) = self.programs.get(&id) else { return };
        let is_over = program.end.is_some() && program.starting.is_none();
        // What was killed is buried here, too, and then this is asked again.
        if is_over && !program.kill_rest() && program.is_quiet() {
            self.finish(id);
        }
    }

    /// Those whose streams something else holds open are over when their time is.
    pub(super) fn finish_late(&mut self) {
        let now = monotonic_ns();
        let late: Vec<u64> = self
            .programs
            .iter()
            .filter(|(_, program)| program.deadline_ns.is_some_and(|deadline| deadline <= now))
            .map(|(id, _)| *id)
            .collect();
        late.into_iter().for_each(|id| self.finish(id));
    }

    fn finish(&mut self, id: u64) {
        let Some(mut program) = self.programs.remove(&id) else { return };
        self.by_key.remove(&program.key);
        let ended = program.finish();
        self.forget_streams(&mut program);
        for (number, mut outlet) in std::mem::take(&mut program.outlets) {
            self.outlet_of.remove(&number);
            if outlet.send() == Sent::Some {
                let flags = EventFlags::OUT;
                let _ = epoll::modify(&self.epoll, &outlet.fd, token(number, OUTLET), flags);
                self.leaving.insert(number, outlet);
            } else {
                let _ = epoll::delete(&self.epoll, &outlet.fd);
            }
        }
        if let Some(request) = program.starting {
            self.answer(request, failed("it ended before it started"));
        } else {
            self.tell(ended);
        }
    }
}

/// Each of 64 KiB; the kernel lets nobody but root have a pipe of more than a MiB.
const DRAIN_READS_MAX: usize = 16;

const PID_NAMESPACE: rustix::thread::LinkNameSpaceType =
    rustix::thread::LinkNameSpaceType::ProcessID;
