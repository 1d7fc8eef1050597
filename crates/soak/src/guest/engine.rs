//! The cloud in the machine, and the docker CLI against it.

use super::{ended, equal, ran, read, until};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const CUMULET: &str = "/usr/bin/cumulet";
/// Below which the clouds of ordinary users have their groups.
const OF_USERS: &str = "cumulet-users";
const DOCKER: &str = "/usr/bin/docker";
pub const GROUPS: &str = "/sys/fs/cgroup";
/// Slow machines (no KVM) take long for everything.
pub const PATIENCE_S: u64 = 120;

pub struct Engine {
    data: PathBuf,
    child: Option<Child>,
    more: Vec<String>,
}

impl Engine {
    pub fn new(data: PathBuf) -> Engine {
        Engine { data, child: None, more: Vec::new() }
    }

    /// With more words for `up`.
    pub fn with(data: PathBuf, more: &[&str]) -> Engine {
        let more = more.iter().map(|word| (*word).to_owned()).collect();
        Engine { data, child: None, more }
    }

    fn socket(&self) -> PathBuf {
        self.data.join("run/docker.sock")
    }

    /// Starts it if it does not run, with an image of busybox.
    pub fn ready(&mut self) -> Result<(), String> {
        if self.child.is_some() {
            return Ok(());
        }
        let is_new = !self.data.exists();
        self.start()?;
        match is_new {
            true => ran(cumulet(&["images", "bootstrap", "busybox", "--data"]).arg(&self.data))
                .map(drop),
            false => Ok(()),
        }
    }

    pub fn start(&mut self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open("/tmp/log");
        let log = log.map_err(|error| format!("/tmp/log: {error}"))?;
        let mut up = cumulet(&["up", "--listen", "127.0.0.1:0", "--docker-socket"]);
        up.arg(self.socket()).arg("--data").arg(&self.data).args(&self.more);
        let child = up
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{CUMULET}: {error}"))?;
        self.child = Some(child);
        until("the engine answers", PATIENCE_S, || {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                self.child = None;
                return Err(format!("the cloud ended with {status}: {}", tail()));
            }
            Ok(self.docker(&["version"]).is_ok())
        })
    }

    /// As when its machine takes it away.
    pub fn kill(&mut self) -> Result<(), String> {
        let mut child = self.child.take().ok_or("it does not run")?;
        child.kill().map_err(|error| error.to_string())?;
        child.wait().map(drop).map_err(|error| error.to_string())
    }

    /// As a person does.
    pub fn end(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| error.to_string())?;
        let status = child.wait().map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the cloud ended with {status}: {}", tail())),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut docker = Command::new(DOCKER);
        docker.args(words).env_clear().env("HOME", "/tmp").env("PATH", "/bin:/usr/bin");
        docker.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        docker
    }

    /// What the CLI printed; it must end well.
    pub fn docker(&self, words: &[&str]) -> Result<String, String> {
        ran(&mut self.command(words))
    }

    /// Its exit code, too.
    pub fn ended(&self, words: &[&str]) -> Result<(i32, String), String> {
        ended(&mut self.command(words))
    }

    /// It must be refused, with this in what it says.
    pub fn refused(&self, words: &[&str], part: &str) -> Result<(), String> {
        match self.ended(words)? {
            (0, output) => Err(format!("{words:?} went well: {output}")),
            (_, output) => super::contains(&format!("{words:?}"), &output, part),
        }
    }

    /// A container that sleeps, with these words for `run`; its id.
    pub fn sleeper(&self, words: &[&str]) -> Result<String, String> {
        self.run(words, &["sleep", "1000"])
    }

    /// A container in the background; its id.
    pub fn run(&self, words: &[&str], program: &[&str]) -> Result<String, String> {
        let all = [&["run", "-d"], words, &["busybox"], program].concat();
        let output = self.docker(&all)?;
        // Warnings come behind it.
        Ok(output.chars().take_while(char::is_ascii_hexdigit).take(64).collect())
    }

    pub fn inspect(&self, id: &str, format: &str) -> Result<String, String> {
        self.docker(&["inspect", "--format", format, id])
    }

    pub fn exec(&self, id: &str, program: &[&str]) -> Result<String, String> {
        self.docker(&[&["exec", id], program].concat())
    }

    /// All containers and networks go, and with them what the kernel had of them.
    pub fn clear(&mut self) -> Result<(), String> {
        if self.child.is_none() {
            self.start()?;
        }
        let ids = self.docker(&["ps", "-aq"])?;
        let ids: Vec<&str> = ids.lines().collect();
        if !ids.is_empty() {
            self.docker(&[&["rm", "-f", "-v"], &ids[..]].concat())?;
        }
        self.docker(&["network", "prune", "-f"])?;
        equal("groups of containers that are gone", groups(), Vec::new())?;
        equal("veths of containers that are gone", links("veth"), Vec::new())
    }
}

fn cumulet(words: &[&str]) -> Command {
    let mut cumulet = Command::new(CUMULET);
    cumulet.args(words).env_clear().env("HOME", "/tmp").env("PATH", "/bin:/usr/bin");
    cumulet
}

/// The end of what the cloud has logged.
fn tail() -> String {
    let log = read("/tmp/log").unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// A file of a container's group.
pub fn group(id: &str, file: &str) -> Result<String, String> {
    read(Path::new(GROUPS).join("cumulet").join(id).join(file))
}

/// The value of a line `name value` in such a file.
pub fn counted(id: &str, file: &str, name: &str) -> Result<u64, String> {
    let text = group(id, file)?;
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.ok_or(format!("no {name} in {file}: {text}"))
}

fn folders(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Groups of containers.
fn groups() -> Vec<String> {
    folders(&Path::new(GROUPS).join("cumulet"))
}

pub fn of_users() -> Vec<String> {
    folders(&Path::new(GROUPS).join(OF_USERS))
}

/// Interfaces of the machine whose names begin so.
fn links(beginning: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(beginning)).collect()
}

/// After the last engine has ended with no container.
pub fn nothing_left() -> Result<(), String> {
    // The folder above the groups of users is every user's, and stays.
    let groups = folders(Path::new(GROUPS)).into_iter().filter(|name| name != OF_USERS);
    equal("groups", groups.collect(), Vec::<String>::new())?;
    equal("groups of users", of_users(), Vec::new())?;
    let mut left = links("veth");
    left.extend(links("br-"));
    left.extend(links("docker"));
    equal("interfaces", left, Vec::new())?;
    let mounts = read("/proc/self/mountinfo")?;
    let of_ours = mounts.lines().filter(|line| line.contains("overlay") || line.contains("/data/"));
    equal("mounts", of_ours.count(), 0)
}
