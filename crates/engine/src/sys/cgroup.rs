//! Control groups: made and joined by the child, removed by the helper when all is over.

use super::{Context, Result, device_filter};
use crate::plan::{Cgroup, Limit};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use std::io::Write;

/// Says whose group it is.
const MARK: &str = "trusted.cumulet";

fn write(path: &str, text: &str) -> rustix::io::Result<()> {
    let file = openat(CWD, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    let written = std::fs::File::from(file).write_all(text.as_bytes());
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn make(path: &str) -> rustix::io::Result<()> {
    let mode = Mode::from_raw_mode(0o755);
    // The folder above may be removed in between, by whoever was the last in it.
    for _ in 0..10 {
        match mkdirat(CWD, path, mode) {
            Err(Errno::NOENT) => match path.rsplit_once('/') {
                Some((above, _)) if !above.is_empty() => make(above)?,
                _ => return Err(Errno::NOENT),
            },
            Err(Errno::EXIST) => return Ok(()),
            other => return other,
        }
    }
    Err(Errno::NOENT)
}

/// Makes the groups, sets their limits, and puts the calling process into them.
pub fn enter(cgroup: &Cgroup) -> Result<()> {
    if cgroup.make {
        for folder in &cgroup.folders {
            make(folder).context(|| format!("cannot make the control group {folder}"))?;
            let flags = rustix::fs::XattrFlags::empty();
            let _ = rustix::fs::setxattr(folder, MARK, cgroup.mark.as_bytes(), flags);
        }
    }
    for limit in &cgroup.limits {
        set(limit)?;
    }
    if let Some(program) = &cgroup.device_program {
        let failed = || "cannot say which devices the container may use".to_owned();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, &program.folder, flags, Mode::empty()).context(failed)?;
        let instructions = device_filter::program(&program.rules);
        super::raw::attach_device_program(&folder, &instructions).context(failed)?;
    }
    join(&cgroup.folders)
}

/// Puts the calling process into groups that are there. It has one thread.
pub fn join(folders: &[String]) -> Result<()> {
    for folder in folders {
        // A thread moves by itself at once. For a whole process all forks of the machine are held up first, until
        // all processors have seen it: some 10 ms. Version 2 has no such file.
        let joined = match write(&format!("{folder}/tasks"), "0") {
            Err(Errno::NOENT) => write(&format!("{folder}/cgroup.procs"), "0"),
            joined => joined,
        };
        joined.context(|| format!("cannot join the control group {folder}"))?;
    }
    Ok(())
}

/// Removes groups in which nothing runs any more, and those that a container has made in its own; `false` if
/// something still runs.
pub fn remove_whole(folders: &[String]) -> bool {
    let mut gone = true;
    for folder in folders {
        if !remove(std::slice::from_ref(folder)) {
            let inner: Vec<String> = inner(folder).collect();
            gone &= remove_whole(&inner) && remove(std::slice::from_ref(folder));
        }
    }
    gone
}

/// The groups right below one.
fn inner(folder: &str) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|entry| entry.path().into_os_string().into_string().ok())
}

/// The processes in a group, and in those that a container has made in it.
pub fn processes(folder: &str) -> Vec<i32> {
    let text = read(&format!("{folder}/cgroup.procs")).unwrap_or_default();
    let mut all: Vec<i32> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    all.extend(inner(folder).flat_map(|inner| processes(&inner)));
    all
}

/// Removes groups in which nothing runs any more and that have none below; `false` if they stay.
pub fn remove(folders: &[String]) -> bool {
    let mut gone = true;
    for folder in folders {
        match unlinkat(CWD, folder, rustix::fs::AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(_) => gone = false,
        }
    }
    gone
}

/// Removes the groups below `above` that carry this mark; `false` if something still runs in one.
pub fn remove_marked(above: &str, mark: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(above) else { return true };
    let mut gone = true;
    for entry in entries.flatten() {
        let mut value = [0; 64];
        let read = rustix::fs::getxattr(entry.path(), MARK, &mut value);
        if read.is_ok_and(|length| value.get(..length) == Some(mark.as_bytes())) {
            let path = entry.path().to_string_lossy().into_owned();
            gone &= remove_whole(&[path]);
        }
    }
    gone
}

/// Whether the kernel killed something in here for want of memory.
pub fn was_out_of_memory(folders: &[String]) -> bool {
    folders.iter().any(|folder| {
        ["memory.events", "memory.oom_control"].iter().any(|file| {
            let text = read(&format!("{folder}/{file}")).unwrap_or_default();
            text.lines()
                .any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
        })
    })
}

/// What the kernel says in one of its small files.
pub fn read(path: &str) -> Option<String> {
    use std::io::Read;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).ok()?;
    let mut text = String::new();
    std::fs::File::from(file).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Stops or resumes all processes of a container.
pub fn freeze(folders: &[String], frozen: bool) -> rustix::io::Result<()> {
    for folder in folders {
        let (old, new) = match frozen {
            true => ("FROZEN", "1"),
            false => ("THAWED", "0"),
        };
        if write(&format!("{folder}/freezer.state"), old).is_ok() {
            return Ok(());
        }
        if write(&format!("{folder}/cgroup.freeze"), new).is_ok() {
            let done = wait_until_frozen(folder, new);
            if done.is_err() && frozen {
                // Not half of them.
                let _ = write(&format!("{folder}/cgroup.freeze"), "0");
            }
            return done;
        }
    }
    Err(Errno::OPNOTSUPP)
}

/// Whether somebody has stopped them.
pub fn is_frozen(folders: &[String]) -> bool {
    folders.iter().any(|folder| {
        let says = |file: &str| read(&format!("{folder}/{file}")).unwrap_or_default();
        matches!(says("freezer.state").trim(), "FROZEN" | "FREEZING")
            || says("cgroup.freeze").trim() == "1"
    })
}

/// What is asked of a group of version 2 has been done when its events say so; a process that the kernel cannot
/// stop at once is given a moment, as are all at their end.
fn wait_until_frozen(folder: &str, wanted: &str) -> rustix::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    const STEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    const STEPS_MAX: u32 = 500;
    let path = format!("{folder}/cgroup.events");
    for _ in 0..STEPS_MAX {
        // Opened anew: a change is told to whoever has read what was before.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match openat(CWD, path.as_str(), flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            // All of it has ended.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        let text = std::io::read_to_string(&file).unwrap_or_default();
        if text.lines().any(|line| line.strip_prefix("frozen ") == Some(wanted)) {
            return Ok(());
        }
        let _ = poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&STEP));
    }
    Err(Errno::TIMEDOUT)
}

/// Sets one limit.
pub fn set(limit: &Limit) -> Result<()> {
    let Limit { file, value, optional } = limit;
    match write(file, value) {
        Err(_) if *optional => Ok(()),
        other => other.context(|| format!("failed to write \"{value}\" to \"{file}\"")),
    }
}
