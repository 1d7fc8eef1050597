//! Calls that no safe library has. Each is wrapped so that its callers need no `unsafe`.
#![allow(unsafe_code, reason = "calls to the kernel that rustix does not offer")]

use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::{CStr, CString};
use std::io;

/// Which of the two processes this is.
pub enum Forked {
    Child,
    Parent { pid: Pid, pidfd: OwnedFd },
}

/// Splits this process in two, the new one in new namespaces (`CLONE_NEW*`).
///
/// The process must have one thread: the child goes on with a copy of everything, locks included.
pub fn fork(namespaces: u64) -> io::Result<Forked> {
    clone(namespaces, libc::SIGCHLD)
}

/// The same without anything new, by a call that the usual filter of a container lets through. Gives the child's
/// number; none in the child.
pub fn fork_plainly() -> io::Result<Option<Pid>> {
    // SAFETY: as above, the caller has one thread.
    match unsafe { libc::fork() } {
        pid if pid >= 0 => Ok(Pid::from_raw(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The same, but the new process is the child of this one's parent, as this one is.
pub fn fork_beside(namespaces: u64) -> io::Result<Forked> {
    clone(namespaces | libc::CLONE_PARENT as u64, 0)
}

fn clone(flags: u64, exit_signal: libc::c_int) -> io::Result<Forked> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: a zeroed clone_args is valid: no flags, no stack, no thread-local storage.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = exit_signal as u64;
    // SAFETY: without CLONE_VM the child has its own copy of the memory and goes on from here on its
    // own copy of the stack; the kernel writes the descriptor to `pidfd`, which lives.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match result {
        0 => Ok(Forked::Child),
        pid if pid > 0 => {
            let pid = Pid::from_raw(pid as i32).ok_or_else(|| io::Error::other("no process"))?;
            // SAFETY: the kernel has just given us this descriptor, nobody else has it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid, pidfd })
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// A process in new namespaces that does nothing, and ends when nobody holds the other end of `wait` any more.
/// With `join` they belong to that user namespace; else they, and one of users, are new. Says on `told` when it is
/// there. Unlike [`fork`] for a process with many threads: the child makes a few calls and touches no memory that
/// others share.
pub fn fork_waiting(
    namespaces: libc::c_int,
    join: Option<&OwnedFd>,
    wait: &OwnedFd,
    held: &OwnedFd,
    told: &OwnedFd,
) -> io::Result<Pid> {
    let new = if join.is_some() { 0 } else { namespaces | libc::CLONE_NEWUSER };
    match clone(new as u64, libc::SIGCHLD)? {
        Forked::Parent { pid, .. } => Ok(pid),
        Forked::Child => {
            let mut byte = 1_u8;
            // SAFETY: the child is alone with its copy of the descriptors and of this stack, and never returns.
            unsafe {
                libc::close(held.as_raw_fd());
                let joined = match join {
                    Some(fd) => {
                        libc::setns(fd.as_raw_fd(), libc::CLONE_NEWUSER) == 0
                            && libc::unshare(namespaces) == 0
                    }
                    None => true,
                };
                byte = if joined { byte } else { 0 };
                libc::write(told.as_raw_fd(), (&raw const byte).cast(), 1);
                while libc::read(wait.as_raw_fd(), (&raw mut byte).cast(), 1) < 0
                    && *libc::__errno_location() == libc::EINTR
                {}
                libc::_exit(0)
            }
        }
    }
}

/// Files that this thread makes belong to these numbers from now on; what it may do stays. Only the calling
/// thread, which is one of its own or the only one.
pub fn set_file_owner(uid: u32, gid: u32) -> rustix::io::Result<()> {
    // SAFETY: touches no memory. Both calls give the number before, not whether it was set.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsuid, uid);
    }
    // The change took privileges over files away.
    let mut sets = rustix::thread::capabilities(None)?;
    sets.effective = sets.permitted;
    rustix::thread::set_capabilities(None, sets)
}

/// What is seen through a mount that is attached nowhere yet has other owners from now on: those of a user
/// namespace.
pub fn remap_mount(mount: impl AsFd, namespace: impl AsFd) -> rustix::io::Result<()> {
    let namespace = namespace.as_fd().as_raw_fd() as u64;
    set_mount(mount.as_fd().as_raw_fd(), false, libc::MOUNT_ATTR_IDMAP, 0, namespace)
}

/// How much of what was written to a unix socket its other end has not read yet.
pub fn unread_by_peer(socket: impl AsFd) -> rustix::io::Result<usize> {
    let mut count: libc::c_int = 0;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the call writes one integer to `count`, which lives.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut count) };
    check(result.into())?;
    Ok(count as usize)
}

/// Where a connection was meant to go, before a rule of this machine led it here.
pub fn meant_for(socket: impl AsFd) -> io::Result<std::net::SocketAddrV4> {
    const ORIGINAL_DESTINATION: libc::c_int = 80;
    // SAFETY: a zeroed address is valid.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `address`, which lives.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            ORIGINAL_DESTINATION,
            (&raw mut address).cast(),
            &raw mut length,
        )
    };
    check(result.into())?;
    let ip = std::net::Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
    Ok(std::net::SocketAddrV4::new(ip, u16::from_be(address.sin_port)))
}

/// Ends this process at once, without what the program would do at its end.
pub fn exit(code: i32) -> ! {
    // SAFETY: never returns, touches no memory.
    unsafe { libc::_exit(code) }
}

/// Runs another program in place of this one. Returns only what went wrong.
pub fn execve(path: &CStr, args: &[CString], env: &[CString]) -> Errno {
    let list = |items: &[CString]| -> Vec<*const libc::c_char> {
        items.iter().map(|item| item.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (list(args), list(env));
    // SAFETY: both lists end with a null pointer and their strings live until the call returns.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    last()
}

fn last() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

fn check(result: libc::c_long) -> rustix::io::Result<libc::c_long> {
    if result < 0 { Err(last()) } else { Ok(result) }
}

/// A descriptor that gives the signals of `signals`, which are blocked from here on.
pub fn signal_descriptor(signals: &[libc::c_int]) -> rustix::io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before it is read.
    let set = unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    };
    // SAFETY: the set is initialised; a new descriptor is nobody else's.
    unsafe {
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(fd.into())?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// All signals as a new program expects them: none blocked, none ignored.
pub fn reset_signals() {
    // SAFETY: the set is initialised by sigemptyset; SIG_DFL is a valid action for every signal, and
    // refused for those that have none.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// For a command that prints: it ends, as others do, once nobody reads what it prints. Not for a process
/// that has connections to serve.
pub fn end_with_the_pipe() {
    // SAFETY: SIG_DFL is a valid action for SIGPIPE.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// `attr_set` and `attr_clear` are `MOUNT_ATTR_*`.
pub fn mount_setattr(
    mount: impl AsFd,
    recursive: bool,
    attr_set: u64,
    attr_clear: u64,
) -> rustix::io::Result<()> {
    set_mount(mount.as_fd().as_raw_fd(), recursive, attr_set, attr_clear, 0)
}

fn set_mount(
    mount: libc::c_int,
    recursive: bool,
    attr_set: u64,
    attr_clr: u64,
    userns_fd: u64,
) -> rustix::io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { attr_set, attr_clr, propagation: 0, userns_fd };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty string, the structure is as the kernel's first version of it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount,
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}

/// From now on this process, and what it becomes, can make only the calls that the filter allows.
pub fn set_filter(instructions: &[(u16, u8, u8, u32)]) -> rustix::io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = instructions
        .iter()
        .map(|(code, jt, jf, k)| libc::sock_filter { code: *code, jt: *jt, jf: *jf, k: *k })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program points at `filter`, which lives, and has its length.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    check(result).map(drop)
}

/// One instruction of the kernel's virtual machine.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instruction {
    pub code: u8,
    /// Destination in the lower half, source in the upper.
    pub registers: u8,
    pub offset: i16,
    pub value: i32,
}

/// Attaches a program that decides about devices to a folder of cgroup version 2.
pub fn attach_device_program(
    folder: impl AsFd,
    instructions: &[Instruction],
) -> rustix::io::Result<()> {
    const LOAD: libc::c_long = 5;
    const ATTACH: libc::c_long = 8;
    const TYPE_CGROUP_DEVICE: u32 = 15;
    const ATTACH_CGROUP_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        licence: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let load = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        licence: c"Apache".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the structure begins as the kernel's does and says its own size; its pointers live.
    let program = unsafe {
        let fd = check(libc::syscall(libc::SYS_bpf, LOAD, &raw const load, size_of::<Load>()))?;
        OwnedFd::from_raw_fd(fd as i32)
    };
    let attach = Attach {
        target: folder.as_fd().as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: as above; both descriptors are open.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, ATTACH, &raw const attach, size_of::<Attach>()) };
    check(result).map(drop)
}

/// A session keyring of this process's own, so that it sees nobody else's keys.
pub fn new_session_keyring(name: &CStr) -> rustix::io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: the name ends with a zero byte and lives.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) };
    check(result).map(drop)
}

/// Makes new namespaces for the calling thread: `CLONE_NEW*`, without those of files and memory.
pub fn unshare(flags: rustix::thread::UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: none of our callers passes CLONE_FILES, the one flag that could take a descriptor from
    // under its owner.
    assert!(!flags.contains(rustix::thread::UnshareFlags::FILES));
    // SAFETY: see above.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Closes every descriptor from `first` on that is not wanted by the next program.
pub fn close_on_exec_from(first: u32) -> rustix::io::Result<()> {
    const CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: only marks descriptors, closes none.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOEXEC) };
    check(result).map(drop)
}

/// Puts a copy of `fd` in the place of standard stream `to`.
pub fn replace_stream(fd: impl AsFd, to: i32) -> rustix::io::Result<()> {
    assert!((0..=2).contains(&to));
    // SAFETY: the standard streams are owned by nobody in this process.
    let result = unsafe { libc::dup2(fd.as_fd().as_raw_fd(), to) };
    check(result.into()).map(drop)
}

/// Waits for any signal; gives its number. All signals must be blocked.
pub fn wait_for_signal() -> i32 {
    let mut signal = 0;
    // SAFETY: the set is initialised by sigfillset; `signal` lives.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        libc::sigwait(&raw const set, &raw mut signal);
    }
    signal
}

/// Blocks all signals, so that they can be waited for.
pub fn block_signals() {
    // SAFETY: the set is initialised by sigfillset.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Closes every descriptor from `first` on, for a process that needs none of them any more.
pub fn close_from(first: u32) {
    // SAFETY: the caller never returns to code that owns one of them.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Any signal, the real-time ones too, which have no name.
pub fn kill(pid: Pid, signal: i32) -> rustix::io::Result<()> {
    // SAFETY: touches no memory.
    let result = unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) };
    check(result.into()).map(drop)
}

/// The same to the process that a descriptor stands for, which can be no other by now.
pub fn signal_process(pidfd: impl AsFd, signal: i32) -> rustix::io::Result<()> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: no information beside the signal is given.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<u8>(), 0)
    };
    check(result).map(drop)
}

/// A descriptor that the runtime watches.
pub fn watched(fd: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays the same open descriptor as long as the result owns it.
    unsafe { tokio::io::unix::AsyncFd::register(fd) }.map_err(io::Error::from)
}
