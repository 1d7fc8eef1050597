//! Users of containers that are others outside (`--userns-remap`): what is root in a container is an ordinary
//! number on this machine, one of those that `/etc/subuid` and `/etc/subgid` grant to somebody.
//!
//! Each container gets a user namespace of its own, and with it the namespaces that its root shall rule: of
//! networks, IPC and host names. They are made by a process that does nothing else, and are held by descriptors.
//! The first process of the container does as root of this machine what a plan says, and becomes the
//! container's root as the last step before its program.
//!
//! On the disk nothing is remapped: layers, containers' own folders and volumes are seen through mounts that the
//! kernel remaps (`mount_setattr`), so an image is good for both, and so is a container. What is bound from
//! elsewhere on this machine is seen as it is: what belongs to no number of the container is nobody's there.
//!
//! Deliberately absent: a user `dockremap` made by us. Who asks for `default` is told how to make it.

use crate::container::Container;
use crate::engine::{Engine, blocking};
use crate::error::Error;
use crate::rootless::{Account, granted, read};
use crate::sys::raw;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::io;
use std::sync::Arc;

/// The user that `default` means, as with dockerd.
const DEFAULT: &str = "dockremap";
/// Shown for what has no number inside.
const NOBODY: u32 = 65_534;

/// Lines as the kernel has them: the first number inside, the first outside, how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remap {
    users: Vec<[u32; 3]>,
    groups: Vec<[u32; 3]>,
}

/// Namespaces of one container.
#[derive(Debug)]
pub(crate) struct Space {
    pub remap: Remap,
    /// Who its root is outside.
    pub root: (u32, u32),
    pub user: OwnedFd,
    pub network: OwnedFd,
    pub ipc: OwnedFd,
    pub names: OwnedFd,
}

/// From 0 on, one range after the other.
fn lines(granted: &[(u32, u32)]) -> Vec<[u32; 3]> {
    let mut inside = 0_u32;
    let mut lines = Vec::new();
    for (first, count) in granted {
        let count = (*count).min(u32::MAX - inside);
        lines.push([inside, *first, count]);
        inside += count;
    }
    lines
}

fn outside(lines: &[[u32; 3]], number: u32) -> Option<u32> {
    lines.iter().find_map(|[inside, outside, count]| {
        let at = number.checked_sub(*inside).filter(|at| at < count)?;
        outside.checked_add(at)
    })
}

fn inside(lines: &[[u32; 3]], number: u32) -> u32 {
    let found = lines.iter().find_map(|[inside, outside, count]| {
        let at = number.checked_sub(*outside).filter(|at| at < count)?;
        inside.checked_add(at)
    });
    found.unwrap_or(NOBODY)
}

fn parse(map: &str) -> Vec<[u32; 3]> {
    let line = |line: &str| {
        let mut words = line.split_whitespace().map(|word| word.parse().ok());
        Some([words.next()??, words.next()??, words.next()??])
    };
    map.lines().filter_map(line).collect()
}

impl Remap {
    /// `default`, a user's name or number, or those of a user and a group with a colon between.
    pub fn find(text: &str) -> Result<Remap, String> {
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let pick =
            |name: &str| if name == "default" { DEFAULT.to_owned() } else { name.to_owned() };
        let (user, group) = (pick(user), pick(group));
        let of = |file: &str, name: &str, option: &str| {
            // A group is granted numbers by its name; ours are called as the users are.
            let account = Account::find(name).unwrap_or_else(|| Account {
                name: name.to_owned(),
                uid: name.parse().unwrap_or(u32::MAX),
                gid: u32::MAX,
            });
            match granted(&read(file), &account) {
                ranges if ranges.is_empty() => Err(format!(
                    "no numbers are granted to {name} in {file}; `useradd --system {name}; usermod {option} \
                     300000-365535 {name}` as root, with a range that is free"
                )),
                ranges => Ok(lines(&ranges)),
            }
        };
        Ok(Remap {
            users: of("/etc/subuid", &user, "--add-subuids")?,
            groups: of("/etc/subgid", &group, "--add-subgids")?,
        })
    }

    /// That of a process, if it is in another user namespace than this one.
    pub(crate) fn of_process(pid: i32) -> Option<Remap> {
        let place = |of: &str| {
            let stat = rustix::fs::stat(format!("/proc/{of}/ns/user")).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        let pid = pid.to_string();
        if place(&pid)? == place("self")? {
            return None;
        }
        let map = |name: &str| parse(&read(&format!("/proc/{pid}/{name}")));
        Some(Remap { users: map("uid_map"), groups: map("gid_map") })
    }

    /// Who a container's user and group are outside.
    pub(crate) fn outside(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        Some((outside(&self.users, uid)?, outside(&self.groups, gid)?))
    }

    pub(crate) fn group_outside(&self, gid: u32) -> Option<u32> {
        outside(&self.groups, gid)
    }

    /// Who somebody outside is in a container; whom it does not know is nobody.
    pub(crate) fn inside(&self, uid: u32, gid: u32) -> (u32, u32) {
        (inside(&self.users, uid), inside(&self.groups, gid))
    }

    /// New namespaces, or those of a container that another one shares some with: all in one user namespace.
    pub(crate) fn space(self, with: Option<i32>) -> Result<Space, Error> {
        let user = with.map(|pid| open_namespace(pid, "user")).transpose()?;
        self.make_space(user).map_err(|error| {
            Error::failed(format!("cannot make a user namespace: {}", crate::sys::reason(error)))
        })
    }

    fn make_space(self, user: Option<OwnedFd>) -> io::Result<Space> {
        let kinds = libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
        let ((wait, held), (hear, told)) = (pipe()?, pipe()?);
        let pid = raw::fork_waiting(kinds, user.as_ref(), &wait, &held, &told)?;
        drop(told);
        let mut byte = [0];
        let made = match rustix::io::read(&hear, &mut byte) {
            Ok(1) if byte[0] == 1 => self.fill(Pid::as_raw(Some(pid)), user),
            _ => Err(io::Error::other("its namespaces could not be made")),
        };
        drop(held);
        let _ = waitpid(Some(pid), WaitOptions::empty());
        made
    }

    fn fill(self, pid: i32, user: Option<OwnedFd>) -> io::Result<Space> {
        let user = match user {
            Some(user) => user,
            None => {
                crate::rootless::write_maps(pid, &self.users, &self.groups)?;
                open_namespace(pid, "user")?
            }
        };
        let root = self.outside(0, 0).ok_or_else(|| io::Error::other("it has no root"))?;
        let [network, ipc, names] = ["net", "ipc", "uts"].map(|kind| open_namespace(pid, kind));
        Ok(Space { remap: self, root, user, network: network?, ipc: ipc?, names: names? })
    }
}

fn open_namespace(pid: i32, kind: &str) -> io::Result<OwnedFd> {
    let path = format!("/proc/{pid}/ns/{kind}");
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Runs `work`, whose new files belong to these numbers: those of this thread alone, for so long.
pub(crate) fn acting_as<T>(
    (uid, gid): (u32, u32),
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            if let Err(error) = raw::set_file_owner(0, 0) {
                tracing::error!(%error, "a thread cannot become root again");
            }
        }
    }
    let _back = Back;
    raw::set_file_owner(uid, gid)?;
    work()
}

impl Engine {
    /// The namespaces of a container whose users are remapped.
    pub(crate) async fn space_of(
        &self,
        container: &Container,
    ) -> Result<Option<Arc<Space>>, Error> {
        let Some(mut remap) = self.0.remap.clone() else { return Ok(None) };
        let host = container.state().host.clone();
        if host.userns_mode == "host" {
            return Ok(None);
        }
        // Who shares any of these namespaces shares that of users.
        let modes = [&host.network_mode, &host.ipc_mode, &host.pid_mode];
        let mut with = None;
        if let Some(name) = modes.iter().find_map(|mode| mode.strip_prefix("container:")) {
            let pid = self.find(name)?.state().pid;
            if pid > 0 {
                remap = Remap::of_process(pid).ok_or_else(|| {
                    Error::invalid(format!(
                        "cannot join namespaces of container {name}, which is in the host's user namespace"
                    ))
                })?;
                with = Some(pid);
            }
        }
        Ok(Some(Arc::new(blocking(move || remap.space(with)).await?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Remap {
        Remap {
            users: lines(&[(100_000, 1_000), (300_000, 10)]),
            groups: lines(&[(200_000, 65_536)]),
        }
    }

    #[test]
    fn numbers_in_and_out() {
        let remap = some();
        assert_eq!(remap.outside(0, 5), Some((100_000, 200_005)));
        assert_eq!(remap.outside(1_003, 0), Some((300_003, 200_000)));
        assert_eq!(remap.outside(1_010, 0), None);
        assert_eq!(remap.inside(300_009, 265_535), (1_009, 65_535));
        assert_eq!(remap.inside(0, 0), (NOBODY, NOBODY));
        assert_eq!(
            parse("         0     100000       1000\n      1000 300000 10\nx\n"),
            remap.users
        );
        assert!(
            lines(&[(1, u32::MAX), (2, 5)]).iter().all(|[a, _, n]| a.checked_add(*n).is_some())
        );
    }

    #[test]
    fn who_is_granted_nothing_is_told_how() {
        let error = Remap::find("no-such-user").unwrap_err();
        assert!(error.contains("/etc/subuid") && error.contains("`useradd"), "{error}");
    }

    /// Needs root.
    #[test]
    fn namespaces_have_the_numbers() {
        if !rustix::process::geteuid().is_root() || crate::sys::mounts::is_apart() {
            eprintln!("skipped: only root of the machine gives numbers away");
            return;
        }
        let space = some().space(None).unwrap();
        assert_eq!(space.root, (100_000, 200_000));
        let own = rustix::fs::stat("/proc/self/ns/net").unwrap();
        assert_ne!(rustix::fs::fstat(&space.network).unwrap().st_ino, own.st_ino);
        assert_eq!(Remap::of_process(std::process::id() as i32), None);
    }
}
