//! Network namespaces: making one, and doing something in one.
#![allow(
    unsafe_code,
    reason = "rustix marks unshare as unsafe because of one flag that is not used"
)]

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::cell::Cell;
use std::io;
use std::sync::OnceLock;

/// Where the networks of this process are, if that is not where it is itself.
static HOME: OnceLock<OwnedFd> = OnceLock::new();

thread_local! {
    /// On a thread that has gone to another namespace, home is where it is.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// From now on the networks of this process are in this namespace. Once.
pub fn settle(namespace: OwnedFd) -> io::Result<()> {
    HOME.set(namespace).map_err(|_| io::Error::other("networks have their place already"))
}

/// Whether they are elsewhere than the process itself.
pub fn is_settled() -> bool {
    HOME.get().is_some()
}

/// Runs `work` where the networks of this process are.
pub fn at_home<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    match HOME.get() {
        Some(home) if !ASIDE.get() => inside(home, work),
        _ => work(),
    }
}

/// On a thread of its own, which ends with it: no other work may find itself elsewhere.
fn aside<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).stack_size(256 * 1024);
        let work = || {
            ASIDE.set(true);
            work()
        };
        let handle = thread.spawn_scoped(scope, work)?;
        handle.join().unwrap_or_else(|_| Err(io::Error::other("a network thread has failed")))
    })
}

/// A new namespace, in which `prepare` is run. It lasts as long as somebody holds it.
pub fn new_namespace<T: Send>(
    prepare: impl FnOnce(&OwnedFd) -> io::Result<T> + Send,
) -> io::Result<(OwnedFd, T)> {
    aside(|| {
        // SAFETY: only CLONE_FILES could take a descriptor from under its owner.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = openat(CWD, "/proc/thread-self/ns/net", flags, Mode::empty())?;
        let result = prepare(&namespace)?;
        Ok((namespace, result))
    })
}

/// Runs `work` in a namespace.
pub fn inside<T: Send>(
    namespace: impl AsFd + Sync,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    aside(|| {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        work()
    })
}
