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

/// Removes groups in which nothing runs any more; `false` if something still does.
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
            gone &= std::fs::remove_dir(entry.path()).is_ok();
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
        if write(&format!("{folder}/freezer.state"), old).is_ok()
            || write(&format!("{folder}/cgroup.freeze"), new).is_ok()
        {
            return Ok(());
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

/// Sets one limit.
pub fn set(limit: &Limit) -> Result<()> {
    let Limit { file, value, optional } = limit;
    match write(file, value) {
        Err(_) if *optional => Ok(()),
        other => other.context(|| format!("failed to write \"{value}\" to \"{file}\"")),
    }
}
