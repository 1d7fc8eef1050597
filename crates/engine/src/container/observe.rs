//! Looking at a container: its processes, what it uses, what it changed.

use super::Container;
use super::run::not_running;
use crate::engine::Engine;
use crate::error::Error;
use crate::image::{Difference, Tree, What, open_folder};
use crate::sys::cgroup;
use crate::time;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A path that differs from the image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub path: String,
    /// 0 changed, 1 added, 2 removed.
    pub kind: u8,
}

impl Change {
    fn of(difference: &Difference) -> Change {
        let kind = match difference.what {
            What::Changed => 0,
            What::Added => 1,
            What::Removed => 2,
        };
        Change { path: format!("/{}", String::from_utf8_lossy(&difference.path)), kind }
    }
}

/// What a container uses at one moment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Sample {
    pub read_ns: i64,
    pub cpu_ns: u64,
    pub cpu_user_ns: u64,
    pub cpu_system_ns: u64,
    /// Of the whole machine.
    pub machine_cpu_ns: u64,
    pub processors: u64,
    pub memory: u64,
    pub memory_limit: u64,
    pub memory_stats: BTreeMap<String, u64>,
    pub pids: u64,
    pub pids_limit: u64,
    /// By interface: received and sent bytes, packets, errors, dropped.
    pub networks: BTreeMap<String, [u64; 8]>,
    /// Device, operation, bytes.
    pub io: Vec<(u64, u64, String, u64)>,
}

impl Engine {
    /// Lines of `ps`: titles and rows.
    pub fn top(
        &self,
        container: &Container,
        arguments: &str,
    ) -> Result<(Vec<String>, Vec<Vec<String>>), Error> {
        if !container.is_running() {
            return Err(not_running(container));
        }
        let columns = crate::processes::columns(arguments)?;
        Ok(crate::processes::list(&self.pids(container), &columns))
    }

    fn pids(&self, container: &Container) -> Vec<i32> {
        let folders = self.0.hierarchies.folders(&container.id);
        let Some(folder) = folders.values().next() else {
            return crate::processes::of_container(container.state().pid);
        };
        cgroup::processes(folder)
    }

    pub fn sample(&self, container: &Container) -> Sample {
        let folders = self.0.hierarchies.folders(&container.id);
        let one = |controller: &str, file: &str| {
            cgroup::read(&format!("{}/{file}", folder_of(&folders, controller)?))
        };
        let pid = container.state().pid;
        let mut sample = Sample {
            read_ns: time::now_ns(),
            machine_cpu_ns: machine_cpu_ns(),
            processors: std::thread::available_parallelism().map_or(1, |n| n.get()) as u64,
            networks: networks(pid),
            ..Sample::default()
        };
        match folders.get("") {
            Some(folder) => version_two(&mut sample, folder),
            None => version_one(&mut sample, &one),
        }
        self.count(container, &folders, &mut sample);
        if sample.memory_limit == 0 || sample.memory_limit > 1 << 62 {
            sample.memory_limit = machine_memory();
        }
        sample
    }

    /// What no control group counts, its processes tell.
    fn count(
        &self,
        container: &Container,
        folders: &BTreeMap<String, String>,
        sample: &mut Sample,
    ) {
        // Version 1 may have been given to a user in part.
        let counts = |name: &str| folders.contains_key("") || folder_of(folders, name).is_some();
        if (counts("cpuacct") && counts("memory") && counts("pids")) || !container.is_running() {
            return;
        }
        let used = crate::processes::used(&self.pids(container));
        if !counts("cpuacct") {
            sample.cpu_user_ns = used.cpu_user_ns;
            sample.cpu_system_ns = used.cpu_system_ns;
            sample.cpu_ns = used.cpu_user_ns + used.cpu_system_ns;
        }
        if !counts("memory") {
            sample.memory = used.memory;
        }
        if !counts("pids") {
            sample.pids = used.threads;
        }
    }

    /// What is in the container's own layer.
    pub fn changes(&self, container: &Container) -> Result<Vec<Change>, Error> {
        let image = self.0.images.find(&container.image)?;
        if let Some(tree) = self.tree(container)? {
            let found = self.0.images.differences(&image.config, &tree)?;
            return Ok(found.iter().map(Change::of).collect());
        }
        let mut below = self.0.images.folders(&image.config);
        below.insert(0, self.stubs());
        let mut changes = Vec::new();
        walk(&self.folder(&container.id).join("upper"), "", &below, &mut changes)?;
        Ok(changes)
    }

    /// Bytes in the container's own layer.
    pub fn written_bytes(&self, container: &Container) -> u64 {
        if let Some(tree) = Tree::at(self.folder(&container.id).join("tree")) {
            let found = self.0.images.find(&container.image);
            let found = found.and_then(|image| self.0.images.differences(&image.config, &tree));
            return found.map_or(0, |found| found.iter().map(|one| one.bytes).sum());
        }
        folder_bytes(&self.folder(&container.id).join("upper"))
    }
}

/// Of a controller of version 1, which may be mounted together with another one.
fn folder_of<'a>(folders: &'a BTreeMap<String, String>, controller: &str) -> Option<&'a String> {
    let together = || folders.values().find(|f| f.contains(&format!("/{controller}")));
    folders.get(controller).or_else(together)
}

/// The sum of the lengths of all files.
pub fn folder_bytes(path: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let mut sum = 0;
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => sum += folder_bytes(&entry.path()),
            Ok(meta) if meta.is_file() => sum += meta.len(),
            _ => {}
        }
    }
    sum
}

fn walk(
    folder: &std::path::Path,
    inside: &str,
    below: &[PathBuf],
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    let fd = open_folder(folder)?;
    let mut names: Vec<String> = Vec::new();
    for entry in rustix::fs::Dir::read_from(&fd)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    for name in names {
        let Ok(stat) = statat(&fd, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let path = format!("{inside}/{name}");
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind.is_char_device() && stat.st_rdev == 0 {
            changes.push(Change { path, kind: 2 });
            continue;
        }
        let was_there = is_below(&path, below);
        changes.push(Change { path: path.clone(), kind: u8::from(!was_there) });
        if kind.is_dir() {
            walk(&folder.join(&name), &path, below, changes)?;
        }
    }
    Ok(())
}

/// Whether the image has it: the topmost layer that says something about it decides.
fn is_below(path: &str, below: &[PathBuf]) -> bool {
    let relative = path.trim_start_matches('/');
    for layer in below {
        let Ok(layer) = open_folder(layer) else { continue };
        // A layer may hide a folder above it.
        let mut above = String::new();
        for part in relative.split('/') {
            if !above.is_empty() {
                above.push('/');
            }
            above.push_str(part);
            let Ok(stat) = statat(&layer, above.as_str(), AtFlags::SYMLINK_NOFOLLOW) else { break };
            if FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0 {
                return false;
            }
            if above == relative {
                return true;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(folder) = openat(&layer, above.as_str(), flags, Mode::empty()) else { break };
            let mut value = [0; 1];
            let opaque =
                rustix::fs::fgetxattr(&folder, crate::sys::mounts::opaque_mark(), &mut value);
            if opaque.is_ok() && statat(&folder, "", AtFlags::EMPTY_PATH).is_ok() {
                let rest = &relative[above.len() + 1..];
                return statat(&folder, rest, AtFlags::SYMLINK_NOFOLLOW).is_ok();
            }
        }
    }
    false
}

fn number(text: Option<String>) -> u64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// `name value` on each line.
fn pairs(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

/// Of 1/100 s, as the kernel counts for programs.
const TICK_NS: u64 = 10_000_000;

fn version_one(sample: &mut Sample, one: &dyn Fn(&str, &str) -> Option<String>) {
    sample.cpu_ns = number(one("cpuacct", "cpuacct.usage"));
    let stat = pairs(&one("cpuacct", "cpuacct.stat").unwrap_or_default());
    sample.cpu_user_ns = stat.get("user").copied().unwrap_or(0) * TICK_NS;
    sample.cpu_system_ns = stat.get("system").copied().unwrap_or(0) * TICK_NS;
    sample.memory = number(one("memory", "memory.usage_in_bytes"));
    sample.memory_limit = number(one("memory", "memory.limit_in_bytes"));
    sample.memory_stats = pairs(&one("memory", "memory.stat").unwrap_or_default());
    sample.pids = number(one("pids", "pids.current"));
    sample.pids_limit = number(one("pids", "pids.max"));
    let io = one("blkio", "blkio.throttle.io_service_bytes").unwrap_or_default();
    for line in io.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [device, operation, bytes] = words.as_slice()
            && let Some((major, minor)) = device.split_once(':')
            && let (Ok(major), Ok(minor), Ok(bytes)) = (major.parse(), minor.parse(), bytes.parse())
        {
            sample.io.push((major, minor, operation.to_lowercase(), bytes));
        }
    }
}

fn version_two(sample: &mut Sample, folder: &str) {
    let read = |file: &str| cgroup::read(&format!("{folder}/{file}"));
    let cpu = pairs(&read("cpu.stat").unwrap_or_default());
    let us = |name: &str| cpu.get(name).copied().unwrap_or(0) * 1000;
    sample.cpu_ns = us("usage_usec");
    sample.cpu_user_ns = us("user_usec");
    sample.cpu_system_ns = us("system_usec");
    sample.memory = number(read("memory.current"));
    sample.memory_limit = number(read("memory.max"));
    sample.memory_stats = pairs(&read("memory.stat").unwrap_or_default());
    sample.pids = number(read("pids.current"));
    sample.pids_limit = number(read("pids.max"));
    for line in read("io.stat").unwrap_or_default().lines() {
        let Some((device, rest)) = line.split_once(' ') else { continue };
        let Some((major, minor)) = device.split_once(':') else { continue };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
        for (key, name) in [("rbytes=", "read"), ("wbytes=", "write")] {
            let value = rest.split(' ').find_map(|word| word.strip_prefix(key)?.parse().ok());
            if let Some(bytes) = value {
                sample.io.push((major, minor, name.to_owned(), bytes));
            }
        }
    }
}

fn machine_cpu_ns() -> u64 {
    let text = cgroup::read("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    line.split_whitespace().skip(1).take(7).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>()
        * TICK_NS
}

/// In bytes.
pub fn machine_memory() -> u64 {
    let text = cgroup::read("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn networks(pid: i32) -> BTreeMap<String, [u64; 8]> {
    let text = cgroup::read(&format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let mut out = BTreeMap::new();
    for line in text.lines().skip(2) {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let n: Vec<u64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        if name.trim() != "lo" && n.len() >= 12 {
            // Bytes, packets, errors, dropped: received, then sent.
            let counts = [n[0], n[1], n[2], n[3], n[8], n[9], n[10], n[11]];
            out.insert(name.trim().to_owned(), counts);
        }
    }
    out
}
