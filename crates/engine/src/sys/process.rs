//! The last steps before the program: who runs it, what it may do, and where it is.

use super::{Context, Failure, Result, files, raw};
use crate::plan::{Process, Rlimit};
use crate::users::{self, User};
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use rustix::process::{Resource, prlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use std::ffi::CString;

/// Of `/etc/passwd` and `/etc/group` no more than this is read.
const USERS_BYTES_MAX: usize = 4 << 20;

pub fn rlimits(limits: &[Rlimit]) -> Result<()> {
    for limit in limits {
        let Some(resource) = resource(&limit.name) else {
            return Err(Failure(format!("invalid ulimit type: {}", limit.name)));
        };
        let value = rustix::process::Rlimit { current: limit.soft, maximum: limit.hard };
        prlimit(None, resource, value)
            .context(|| format!("error setting rlimit type {}", limit.name))?;
    }
    Ok(())
}

/// The resource of that name.
pub fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// Becomes the program. Returns only if that failed.
pub fn become_program(process: &Process) -> Result<std::convert::Infallible> {
    let root = openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .context(|| "cannot open the root".to_owned())?;
    let user = find_user(process, &root)?;
    let mut env = process.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    enter_folder(&process.cwd)?;
    give_streams(&user);
    // A process that asks for no new privileges may set its filter without any, so as late as can be.
    if !process.no_new_privileges {
        set_filter(process)?;
    }
    take_privileges(process, &user)?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context(|| "cannot tie the program to the helper".to_owned())?;
    let path = find_program(process, &env)?;
    let strings = |list: &[String]| -> Result<Vec<CString>> {
        list.iter()
            .map(|text| CString::new(text.as_str()))
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| Failure("invalid argument: a zero byte".to_owned()))
    };
    let (args, env) = (strings(&process.args)?, strings(&env)?);
    if process.no_new_privileges {
        set_no_new_privs(true).context(|| "cannot refuse new privileges".to_owned())?;
        set_filter(process)?;
    }
    if process.init {
        stay_first()?;
    }
    let error = raw::execve(&path, &args, &env);
    Err(not_started(&process.args[0], error))
}

/// Splits in two: the new process goes on, this one hands signals to it, buries what dies, and ends
/// as it ended. It holds nothing of the helper and cannot be looked into.
fn stay_first() -> Result<()> {
    use rustix::process::{Pid, WaitOptions, wait};
    raw::block_signals();
    let forked = raw::fork_plainly().context(|| "cannot start the program".to_owned())?;
    let Some(pid) = forked else {
        raw::reset_signals();
        return Ok(());
    };
    raw::close_from(3);
    loop {
        let signal = raw::wait_for_signal();
        if signal != libc::SIGCHLD {
            let _ = raw::kill(pid, signal);
            continue;
        }
        while let Ok(Some((dead, status))) = wait(WaitOptions::NOHANG) {
            if Pid::as_raw(Some(dead)) == Pid::as_raw(Some(pid)) {
                raw::exit(exit_code(status));
            }
        }
    }
}

/// As a shell has it: the program's own code, or 128 and the signal.
pub fn exit_code(status: rustix::process::WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 255,
    }
}

fn not_started(name: &str, error: Errno) -> Failure {
    let reason = super::reason(error.into());
    Failure(format!("exec: \"{name}\": {reason}"))
}

fn find_user(process: &Process, root: impl AsFd) -> Result<User> {
    let read = |path: &str| files::read_in(root.as_fd(), path, USERS_BYTES_MAX).unwrap_or_default();
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    users::resolve(&process.user, &process.additional_groups, &passwd, &group).map_err(Failure)
}

fn enter_folder(cwd: &str) -> Result<()> {
    let failed = || format!("cannot enter the working directory \"{cwd}\"");
    rustix::process::chdir(cwd).context(failed)?;
    // A descriptor of a folder outside must not have become the working directory (CVE-2024-21626).
    let inside = rustix::process::getcwd(Vec::new()).context(failed)?;
    match inside.to_bytes().first() {
        Some(b'/') => Ok(()),
        _ => Err(Failure(format!("{}: it lies outside of the container", failed()))),
    }
}

/// Whoever runs the program can open its streams again, as `/dev/stdout`.
fn give_streams(user: &User) {
    for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let Ok(stat) = rustix::fs::fstat(stream) else { continue };
        let is_null = rustix::fs::major(stat.st_rdev) == 1
            && FileType::from_raw_mode(stat.st_mode).is_char_device();
        if !is_null && stat.st_uid != user.uid {
            let uid = rustix::fs::Uid::from_raw(user.uid);
            let _ = rustix::fs::fchown(stream, Some(uid), None);
        }
    }
}

fn set_filter(process: &Process) -> Result<()> {
    if process.seccomp.is_empty() {
        return Ok(());
    }
    raw::set_filter(&process.seccomp).context(|| "cannot set the filter of system calls".to_owned())
}

fn take_privileges(process: &Process, user: &User) -> Result<()> {
    let failed = || format!("cannot become user {}", user.uid);
    let held = process.capabilities.iter().fold(CapabilitySet::empty(), |set, number| {
        set | CapabilitySet::from_bits_retain(1 << number)
    });
    let own = rustix::thread::capabilities(None).context(failed)?.permitted;
    for number in 0..64u32 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if !held.contains(one) && remove_capability_from_bounding_set(one).is_err() {
            // The first number that the kernel does not know.
            break;
        }
    }
    if let Some(profile) = &process.apparmor {
        apparmor(profile)?;
    }
    // Kept over the change of user, and then cut down to those that it shall have.
    set_keep_capabilities(true).context(failed)?;
    let groups: Vec<rustix::thread::Gid> =
        user.groups.iter().map(|gid| rustix::thread::Gid::from_raw(*gid)).collect();
    set_thread_groups(&groups).context(failed)?;
    let gid = rustix::thread::Gid::from_raw(user.gid);
    let uid = rustix::thread::Uid::from_raw(user.uid);
    set_thread_res_gid(gid, gid, gid).context(failed)?;
    set_thread_res_uid(uid, uid, uid).context(failed)?;
    set_keep_capabilities(false).context(failed)?;
    // Another user than root begins with none, as after any program that is not root's.
    let effective = if user.uid == 0 { held & own } else { CapabilitySet::empty() };
    let sets =
        CapabilitySets { effective, permitted: effective, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).context(failed)
}

fn apparmor(profile: &str) -> Result<()> {
    let failed = || format!("cannot set the AppArmor profile {profile}");
    let path = "/proc/self/attr/apparmor/exec";
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).context(failed)?;
    use std::io::Write;
    std::fs::File::from(file).write_all(format!("exec {profile}").as_bytes()).context(failed)
}

/// The program's file: as given if it names a folder, or else searched for in `PATH`.
fn find_program(process: &Process, env: &[String]) -> Result<CString> {
    let name = process.args.first().cloned().unwrap_or_default();
    let c_string = |path: &str| {
        CString::new(path).map_err(|_| Failure("invalid argument: a zero byte".to_owned()))
    };
    if name.contains('/') {
        return match usable(&name) {
            Ok(()) => c_string(&name),
            Err(error) if error == Errno::NOENT => {
                Err(Failure(format!("exec: \"{name}\": stat {name}: no such file or directory")))
            }
            Err(error) => Err(not_started(&name, error)),
        };
    }
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let mut denied = false;
    for folder in path.split(':').filter(|_| !name.is_empty()) {
        let candidate = format!("{}/{name}", if folder.is_empty() { "." } else { folder });
        match usable(&candidate) {
            Ok(()) => return c_string(&candidate),
            Err(Errno::ACCESS) => denied = true,
            Err(_) => {}
        }
    }
    if denied {
        return Err(not_started(&name, Errno::ACCESS));
    }
    Err(Failure(format!("exec: \"{name}\": executable file not found in $PATH")))
}

fn usable(path: &str) -> rustix::io::Result<()> {
    let stat = statat(CWD, path, AtFlags::empty())?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind.is_file() {
        true if stat.st_mode & 0o111 != 0 => Ok(()),
        true => Err(Errno::ACCESS),
        false if kind.is_dir() => Err(Errno::ACCESS),
        false => Err(Errno::ACCESS),
    }
}
