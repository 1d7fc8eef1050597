//! What runs between the person's command and its world: makes the namespaces, hides files behind
//! ours, hands sockets out, and becomes the command.
//!
//! It is a process of its own because a user namespace can only be entered by one that has a single
//! thread.

use super::netlink;
use crate::cli;
use crate::doors::within;
use crate::exit::{self, Failure};
use clap::ArgMatches;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::thread::UnshareFlags;
use std::ffi::OsString;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Sockets that are handed out: DNS twice, and one for each port.
pub const SOCKETS_MAX: usize = 64;
pub const DNS_PORT: u16 = 53;

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let folder = cli::value(matches, "folder").unwrap_or_default();
    let mut parent = within(Path::new(&folder), |short| UnixStream::connect(short.join("join")))
        .map_err(|error| Failure::new(exit::FAILED, format!("{folder}: {error}")))?;
    let ports = cli::value(matches, "ports").unwrap_or_default();
    let ports: Vec<u16> = ports.split(',').filter_map(|port| port.parse().ok()).collect();
    enter(!ports.is_empty())?;
    for pair in matches.get_many::<String>("mount").into_iter().flatten() {
        let (source, target) = pair.split_once(':').unwrap_or((pair, ""));
        let hidden = mount_bind(Path::new(source), Path::new(target));
        hidden.map_err(|error| refused(&format!("{target} cannot be hidden"), error))?;
    }
    if !ports.is_empty() {
        netlink::everything_is_local().map_err(|error| {
            Failure::new(exit::FAILED, format!("no loopback in the network view: {error}"))
        })?;
    }
    let failed = |error: std::io::Error| {
        Failure::new(exit::FAILED, format!("the network view cannot be opened: {error}"))
    };
    hand_out(&parent, &sockets(&ports).map_err(failed)?).map_err(failed)?;
    // The other side answers from now on.
    parent.read_exact(&mut [0]).map_err(failed)?;
    let words: Vec<OsString> =
        matches.get_many::<OsString>("command").into_iter().flatten().cloned().collect();
    let Some((program, rest)) = words.split_first() else { return Ok(()) };
    let error = Command::new(program).args(rest).exec();
    Err(Failure::new(
        if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 },
        format!("{}: {error}", program.to_string_lossy()),
    ))
}

/// New views of the mounts and, if asked for, of the network; as somebody who is not root, by way of
/// a user namespace in which nothing else changes.
fn enter(network: bool) -> Result<(), Failure> {
    let mut wanted = UnshareFlags::NEWNS;
    if network {
        wanted |= UnshareFlags::NEWNET;
    }
    match unshare(wanted) {
        Err(Errno::PERM) => as_user(wanted)?,
        entered => entered.map_err(|error| refused("no view of its own", error))?,
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(|error| refused("no mounts of its own", error))
}

#[allow(deprecated, reason = "it is unsafe with FILES alone, which is not asked for")]
fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    rustix::thread::unshare(flags)
}

#[allow(clippy::disallowed_methods, reason = "the kernel is told in files")]
fn as_user(wanted: UnshareFlags) -> Result<(), Failure> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(wanted | UnshareFlags::NEWUSER).map_err(|error| refused("no user namespace", error))?;
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw())),
        ("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw())),
    ];
    for (path, text) in maps {
        let written = std::fs::write(path, text);
        written.map_err(|error| Failure::new(exit::FAILED, format!("{path}: {error}")))?;
    }
    Ok(())
}

fn refused(what: &str, error: Errno) -> Failure {
    let hint = match error {
        Errno::PERM | Errno::ACCESS => {
            "; try it as root, or allow user namespaces: \
             sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), \
             sysctl kernel.unprivileged_userns_clone=1 (older Debian)"
        }
        Errno::NOSPC => "; allow user namespaces: sysctl user.max_user_namespaces=15000",
        _ => "",
    };
    Failure::new(exit::FAILED, format!("{what}: {error}{hint}"))
}

/// DNS first, over UDP and TCP, then a listener for each port, on all addresses.
fn sockets(ports: &[u16]) -> std::io::Result<Vec<OwnedFd>> {
    if ports.is_empty() {
        return Ok(Vec::new());
    }
    let mut all: Vec<OwnedFd> = vec![
        UdpSocket::bind((Ipv4Addr::LOCALHOST, DNS_PORT))?.into(),
        TcpListener::bind((Ipv4Addr::LOCALHOST, DNS_PORT))?.into(),
    ];
    for port in ports {
        all.push(TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port))?.into());
    }
    Ok(all)
}

fn hand_out(parent: &UnixStream, sockets: &[OwnedFd]) -> std::io::Result<()> {
    let borrowed: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(std::io::Error::other("too many ports"));
    }
    sendmsg(parent, &[IoSlice::new(&[1])], &mut control, SendFlags::empty())?;
    Ok(())
}
