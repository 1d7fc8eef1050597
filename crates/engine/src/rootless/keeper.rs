//! The one process that stays root when a cloud of root's becomes a user's (`cumulet up --user`): it binds the
//! ports that only root may, and takes the control groups away at the end.
//!
//! Invariants: it has one thread and no capability but that for ports; it speaks only with the cloud that it was
//! split from, and ends with it; what it is asked is one address for each answer, and nothing else is understood.

use crate::sys::{cgroup, pass, raw};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, socketpair, sockopt,
};
use rustix::process::{PidfdFlags, getppid, pidfd_open};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};

/// For the helper to end after the cloud.
const TRIES: u32 = 60;
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

static KEEPER: OnceLock<Mutex<OwnedFd>> = OnceLock::new();

/// A port that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wanted {
    pub address: SocketAddr,
    /// Of datagrams, not of connections.
    pub datagrams: bool,
    /// Others of the same user may bind it, too.
    pub shared: bool,
}

impl Wanted {
    /// A socket at that address; what bound says where, if the port was left open.
    pub fn bind(self) -> rustix::io::Result<OwnedFd> {
        let kind = if self.datagrams { SocketType::DGRAM } else { SocketType::STREAM };
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        if self.address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        if self.shared {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        bind(&socket, &self.address)?;
        Ok(socket)
    }

    /// The same by the keeper, if this process may not itself and has one.
    pub fn bind_by_any(self) -> rustix::io::Result<OwnedFd> {
        match (self.bind(), KEEPER.get()) {
            (Err(rustix::io::Errno::ACCESS), Some(keeper)) => {
                let keeper = keeper.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                ask(&keeper, self)
            }
            (bound, _) => bound,
        }
    }
}

/// Where it is bound.
pub fn address_of(socket: impl AsFd) -> rustix::io::Result<SocketAddr> {
    SocketAddr::try_from(getsockname(socket)?)
}

fn ask(keeper: &OwnedFd, wanted: Wanted) -> rustix::io::Result<OwnedFd> {
    let failed = |error: io::Error| rustix::io::Errno::from_io_error(&error);
    let io = rustix::io::Errno::IO;
    let text = serde_json::to_vec(&wanted).map_err(|_| io)?;
    pass::send(keeper, &text, &[]).map_err(|error| failed(error).unwrap_or(io))?;
    let mut bytes = [0; 64];
    let answer = pass::receive(keeper, &mut bytes).map_err(|error| failed(error).unwrap_or(io))?;
    let (length, fds) = answer.ok_or(io)?;
    match fds.into_iter().next() {
        Some(socket) => Ok(socket),
        None => {
            let number = std::str::from_utf8(&bytes[..length]).ok().and_then(|n| n.parse().ok());
            Err(number.map_or(io, rustix::io::Errno::from_raw_os_error))
        }
    }
}

/// Splits this process in two; the one that stays root ends with the other. Before any thread.
pub fn start(groups: &[String]) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    match raw::fork(0)? {
        raw::Forked::Child => {
            drop(ours);
            let cloud = getppid().and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            // With version 2 a group that hands limits down has no process of its own.
            for group in groups {
                let _ = cgroup::join(&[crate::hierarchy::root_of(group).to_owned()]);
            }
            let _ = pass::send(&theirs, b"0", &[]);
            let kept = keep(&theirs);
            if let Some(cloud) = cloud {
                // It leaves its groups a moment after it has closed what we heard it by.
                let _ = poll(&mut [PollFd::new(&cloud, PollFlags::IN)], None);
            }
            give_up(groups);
            raw::exit(i32::from(kept.is_err()));
        }
        raw::Forked::Parent { .. } => {
            drop(theirs);
            pass::receive(&ours, &mut [0; 8])?.ok_or(io::ErrorKind::BrokenPipe)?;
            KEEPER.set(Mutex::new(ours)).map_err(|_| io::Error::other("there is a keeper already"))
        }
    }
}

/// The last group of each first. One in which something runs stays, for the next cloud; a helper that has
/// nothing left to hold ends soon.
fn give_up(groups: &[String]) {
    for _ in 0..TRIES {
        let gone = groups.iter().filter(|group| {
            cgroup::remove(&[format!("{group}/cumulet"), format!("{group}/cumulet-engine")]);
            cgroup::remove(std::slice::from_ref(group))
        });
        if gone.count() == groups.len() {
            return;
        }
        // Nothing is told when a group has become empty.
        let _ = poll(&mut [], Some(&PAUSE));
    }
}

fn keep(cloud: &OwnedFd) -> io::Result<()> {
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir("/");
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    raw::replace_stream(&null, 0)?;
    raw::replace_stream(&null, 1)?;
    for number in 0..64_u32 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if one != CapabilitySet::NET_BIND_SERVICE
            && remove_capability_from_bounding_set(one).is_err()
        {
            // The first number that the kernel does not know.
            break;
        }
    }
    let only = CapabilitySet::NET_BIND_SERVICE;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: only, permitted: only, inheritable: none })?;
    rustix::thread::set_no_new_privs(true)?;
    // What a terminal sends to all is for the cloud, which then ends this.
    raw::block_signals();
    let mut bytes = [0; 512];
    while let Some((length, _)) = pass::receive(cloud, &mut bytes)? {
        let bound = match serde_json::from_slice::<Wanted>(&bytes[..length]) {
            Ok(wanted) => wanted.bind(),
            Err(_) => Err(rustix::io::Errno::INVAL),
        };
        match bound {
            Ok(socket) => pass::send(cloud, b"0", &[socket.as_fd()])?,
            Err(error) => pass::send(cloud, error.raw_os_error().to_string().as_bytes(), &[])?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_and_answered() {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let wanted = |port| Wanted {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            datagrams: false,
            shared: false,
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut bytes = [0; 512];
                for _ in 0..2 {
                    let (length, _) = pass::receive(&theirs, &mut bytes).unwrap().unwrap();
                    let asked: Wanted = serde_json::from_slice(&bytes[..length]).unwrap();
                    match asked.bind() {
                        Ok(socket) => pass::send(&theirs, b"0", &[socket.as_fd()]).unwrap(),
                        Err(error) => {
                            let number = error.raw_os_error().to_string();
                            pass::send(&theirs, number.as_bytes(), &[]).unwrap();
                        }
                    }
                }
            });
            let socket = ask(&ours, wanted(0)).unwrap();
            let port = address_of(&socket).unwrap().port();
            assert!(port > 0);
            assert_eq!(ask(&ours, wanted(port)).unwrap_err(), rustix::io::Errno::ADDRINUSE);
        });
    }
}
