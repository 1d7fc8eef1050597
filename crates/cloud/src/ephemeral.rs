//! `cumulet up --ephemeral`: a cloud for a test. Its state is in memory, nothing waits for a disk, it takes
//! a free port and says which in one line of JSON, and it ends with whoever started it.
//!
//! What must be files (sockets, the local authority, what containers run in) lies in a folder of its own,
//! which goes at the end. Where the process was killed, the next such start takes that folder away.

use crate::exit::{self, Failure};
use crate::settings::{Config, Settings, Source};
use crate::threads;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open};
use smithy::json::Writer;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use store::disk::{Disk, FsDisk, MemDisk};
use tokio::sync::watch;

const PREFIX: &str = "cumulet-ephemeral-";
const LOCK: &str = "lock";
/// Where the number of the process is another's as well: in containers that share a folder all are small.
const NAMES_TRIED: u32 = 100;

/// The folder of this cloud, gone when this is.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    _lock: std::fs::File,
}

impl Scratch {
    /// A folder that nobody else has, below `tmp`.
    fn new(tmp: &Path) -> std::io::Result<Scratch> {
        let mut failed = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        for n in 0..NAMES_TRIED {
            let end = if n == 0 { String::new() } else { format!("-{n}") };
            let folder = tmp.join(format!("{PREFIX}{}{end}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            match open_lock(&folder, true) {
                // Between its making and its lock another start may have taken it for a dead one's.
                Ok(lock) if folder.join(LOCK).exists() => {
                    return Ok(Scratch { folder, _lock: lock });
                }
                Ok(_) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[allow(clippy::disallowed_methods, reason = "beside the data, which is in memory")]
fn open_lock(folder: &Path, create: bool) -> std::io::Result<std::fs::File> {
    let path = folder.join(LOCK);
    let file = if create { std::fs::File::create(path) } else { std::fs::File::open(path) }?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Turns the configuration into that of a cloud in memory.
pub fn prepare(config: &mut Config, settings: &Settings, tmp: &Path) -> Result<Scratch, Failure> {
    if settings.source("data") == Some(&Source::Flag) {
        let text = "--ephemeral keeps nothing, so it takes no --data; --from SNAPSHOT is what it starts with";
        return Err(Failure::new(exit::USAGE, text));
    }
    // In a container, the port that others know is what counts.
    let is_said = matches!(settings.source("listen"), Some(Source::Flag | Source::Variable));
    if !is_said && !settings.is_of_image() {
        config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.listen_too.clear();
    }
    sweep(tmp);
    let scratch = Scratch::new(tmp).map_err(|error| {
        let text = format!("{}: {error}; choose another with TMPDIR", tmp.display());
        Failure::new(exit::DATA, text)
    })?;
    config.data.clone_from(&scratch.folder);
    config.is_default = false;
    Ok(scratch)
}

/// The disk in memory, with what a snapshot holds, if one is given: a path of its folder, or its name in
/// the data folder that a cloud has by default.
pub fn disk(
    config: &Config,
    from: Option<&str>,
    default_data: &Path,
) -> Result<Arc<dyn Disk>, Failure> {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let Some(from) = from else { return Ok(disk) };
    let named = default_data.join("snapshots").join(from);
    let folder = if from.contains('/') { PathBuf::from(from) } else { named };
    let failed = |text: String| Failure::new(exit::DATA, format!("{}: {text}", folder.display()));
    let source: Arc<dyn Disk> = Arc::new(FsDisk::open_to_read(&folder).map_err(|error| {
        failed(format!("{error}; `cumulet snapshot list` says which snapshots there are"))
    })?);
    let options = crate::up::store_options(config, Arc::new(crate::chance::SystemClock::new()));
    Store::snapshot_restore(&source, disk.clone(), &options).map_err(|e| failed(e.to_string()))?;
    Ok(disk)
}

/// With the cloud go its containers.
pub async fn remove_containers(engine: &engine::Engine) {
    for container in engine.containers() {
        if let Err(error) = engine.remove(&container, true, true).await {
            tracing::warn!(%error, "a container could not be removed");
        }
    }
}

/// What the one who started us reads.
pub fn line(config: &Config, address: SocketAddr, docker: &[PathBuf], failed: &[String]) -> String {
    said(address, failed, |out| {
        out.key("region");
        out.string(config.region.as_str());
        if let Some(path) = docker.first() {
            out.key("docker");
            out.string(&format!("unix://{}", path.display()));
        }
    })
}

/// Who and where we are, which scripts failed if any did, and more.
pub fn said(address: SocketAddr, failed: &[String], more: impl FnOnce(&mut Writer)) -> String {
    let mut out = Writer::with_capacity(256);
    out.open('{');
    out.key("pid");
    out.integer(std::process::id().into());
    for (name, value) in [("address", address.to_string()), ("url", format!("http://{address}"))] {
        out.key(name);
        out.string(&value);
    }
    more(&mut out);
    if !failed.is_empty() {
        out.key("failed");
        out.open('[');
        failed.iter().for_each(|name| out.string(name));
        out.close(']');
    }
    out.close('}');
    out.finish()
}

/// Asks for the end when the parent has ended. Where that is the first process of the machine or of a
/// container, nobody who could end started us.
pub fn end_with_parent(stop: watch::Sender<bool>) -> std::io::Result<()> {
    let Some(parent) = getppid().filter(|parent| *parent != Pid::INIT) else { return Ok(()) };
    let descriptor = pidfd_open(parent, PidfdFlags::empty());
    // Between the two it may have ended, and another process have its number.
    let descriptor = match descriptor {
        Ok(descriptor) if getppid() == Some(parent) => descriptor,
        _ => {
            let _ = stop.send(true);
            return Ok(());
        }
    };
    threads::spawn("parent", move || {
        let mut watched = [PollFd::new(&descriptor, PollFlags::IN)];
        while matches!(poll(&mut watched, None), Err(Errno::INTR)) {}
        let _ = stop.send(true);
    })
    .map(drop)
}

/// Takes away what killed clouds left.
fn sweep(tmp: &Path) {
    let Ok(entries) = std::fs::read_dir(tmp) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            continue;
        }
        let folder = entry.path();
        let own = rustix::process::geteuid().as_raw();
        if !std::fs::symlink_metadata(&folder)
            .is_ok_and(|found| found.is_dir() && found.uid() == own)
        {
            continue;
        }
        // Who can have the lock proves that nobody has it.
        if let Ok(_lock) = open_lock(&folder, false) {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_folder_of_one_that_lives() {
        let tmp = std::env::temp_dir().join(format!("ephemeral-{}", std::process::id()));
        std::fs::create_dir_all(&tmp).unwrap();
        let first = Scratch::new(&tmp).unwrap();
        // Of the same number, as in two containers.
        let second = Scratch::new(&tmp).unwrap();
        assert_ne!(first.folder, second.folder);
        sweep(&tmp);
        assert!(first.folder.exists() && second.folder.exists());
        // As a kill leaves it.
        let dead = tmp.join(format!("{PREFIX}1-1"));
        std::fs::create_dir(&dead).unwrap();
        drop(open_lock(&dead, true).unwrap());
        sweep(&tmp);
        assert!(!dead.exists() && first.folder.exists());
        drop((first, second));
        std::fs::remove_dir(&tmp).unwrap();
    }
}
