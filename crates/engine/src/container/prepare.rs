//! All that has to be there before the first process of a container: folders, its own `/etc`, what it
//! mounts, and the namespaces that it joins.

use super::resources::throttles;
use super::{Container, MountPoint};
use crate::config::{Config, DeviceMapping, HostConfig};
use crate::engine::Engine;
use crate::error::Error;
use crate::image::{Driver, Marks, Tree, merge, open_folder};
use crate::launch::{self, Given, Remapped, TERMINALS, UserMount, list};
use crate::network::Joined;
use crate::plan::{Device, DeviceRule, MountFlags, NewNamespaces, Plan, Propagation, Root, Source};
use crate::remap::{Remap, Space};
use crate::sys::{files, mounts as sys_mounts};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) struct Prepared {
    pub plan: Plan,
    pub fds: Vec<OwnedFd>,
    pub cgroups: Vec<String>,
}

/// What can be gathered without looking at the machine.
pub(super) struct Wanted {
    pub id: String,
    pub config: Config,
    pub host: HostConfig,
    pub mounts: Vec<MountPoint>,
    pub folder: PathBuf,
    pub layers: Vec<PathBuf>,
    /// In their place, where files are copied.
    pub tree: Option<Tree>,
    /// A layer of places to mount on.
    pub stubs: PathBuf,
    pub hostname: String,
    pub joined: Joined,
    /// Of one whose users are remapped.
    pub space: Option<Arc<Space>>,
    /// First processes of containers whose namespaces are joined.
    pub ipc_of: Option<i32>,
    pub pid_of: Option<i32>,
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl Engine {
    /// Blocks.
    pub(super) fn prepare(&self, wanted: Wanted) -> Result<Prepared, Error> {
        let Wanted { config, host, folder, .. } = &wanted;
        let root = root(&wanted)?;
        let etc_files = etc_files(&wanted)?;
        for point in &wanted.mounts {
            prepare_mount(point, &root, wanted.space.as_deref())?;
        }
        let mut mounts: Vec<UserMount> =
            wanted.mounts.iter().map(MountPoint::to_user_mount).collect();
        let mut fds = Vec::new();
        let mut joins = Vec::new();
        let mut new = NewNamespaces {
            pid: host.pid_mode.is_empty(),
            net: false,
            ipc: !matches!(host.ipc_mode.as_str(), "host") && wanted.ipc_of.is_none(),
            uts: host.uts_mode != "host",
            cgroup: host.cgroupns_mode == "private",
        };
        match &wanted.joined.namespace {
            Some(fd) => {
                joins.push(fds.len());
                fds.push(fd.try_clone()?);
            }
            None => new.net = wanted.joined.is_new,
        }
        if let Some(pid) = wanted.ipc_of {
            joins.push(fds.len());
            fds.push(namespace(pid, "ipc")?);
            mounts.push(shared_memory(&format!("/proc/{pid}/root/dev/shm")));
        } else if host.ipc_mode == "host" {
            mounts.push(shared_memory("/dev/shm"));
        }
        let mut join_pid = None;
        if let Some(pid) = wanted.pid_of {
            join_pid = Some(fds.len());
            fds.push(namespace(pid, "pid")?);
        }
        let names = new.uts;
        let remapped = match &wanted.space {
            Some(space) => {
                for (is_new, fd) in [(&mut new.ipc, &space.ipc), (&mut new.uts, &space.names)] {
                    if std::mem::take(is_new) {
                        joins.push(fds.len());
                        fds.push(fd.try_clone()?);
                    }
                }
                fds.push(space.user.try_clone()?);
                remap_tmpfs(&mut mounts, &space.remap);
                let folder = text(&self.0.root);
                let terminals = space.remap.group_outside(TERMINALS).unwrap_or(space.root.1);
                Some(Remapped { namespace: fds.len() - 1, root: space.root, folder, terminals })
            }
            None => None,
        };
        let (devices, device_rules) = devices(host)?;
        let throttles = throttles(&host.resources)?;
        let args = list(&config.entrypoint).iter().chain(list(&config.cmd)).cloned().collect();
        let given = Given {
            id: &wanted.id,
            config,
            host,
            hierarchies: &self.0.hierarchies,
            root,
            etc_files,
            mounts,
            devices,
            device_rules,
            joins,
            join_pid,
            new,
            names,
            remapped,
            hostname: wanted.hostname.clone(),
            args,
            apparmor: launch::Security::parse(host)?
                .apparmor
                .filter(|name| name != "unconfined" && has_apparmor()),
        };
        let mut plan = launch::container(given)?;
        if let Some(crate::plan::Step::Cgroup(cgroup)) = plan.steps.first_mut() {
            self.0.networks.mark().clone_into(&mut cgroup.mark);
            cgroup.limits.extend(self.0.hierarchies.throttles(&wanted.id, &throttles));
            if crate::sys::mounts::is_apart() {
                // Only root says which devices there are; nobody else can make any.
                cgroup.device_program = None;
            }
        }
        let _ = rustix::fs::unlink(folder.join("exit"));
        let cgroups = match plan.steps.first() {
            Some(crate::plan::Step::Cgroup(cgroup)) => cgroup.folders.clone(),
            _ => Vec::new(),
        };
        Ok(Prepared { plan, fds, cgroups })
    }

    /// The copy of its image's files that a container writes to; none where it has an overlay. Blocks.
    pub(super) fn tree(&self, container: &Container) -> Result<Option<Tree>, Error> {
        let folder = self.folder(&container.id);
        let at = folder.join("tree");
        if let Some(tree) = Tree::at(at.clone()) {
            return Ok(Some(tree));
        }
        if self.0.images.driver() == Driver::Overlay {
            return Ok(None);
        }
        let image = self.0.images.find(&container.image)?;
        let upper = folder.join("upper");
        // One that had an overlay before keeps what it wrote.
        let has_more = upper.is_dir() && !is_empty(&text(&upper))?;
        let above = has_more.then_some(upper.as_path());
        Ok(Some(self.0.images.plant(&image.config, above, &at)?))
    }

    /// How it sees the layers of its image.
    pub fn driver_of(&self, container: &Container) -> Driver {
        match Tree::at(self.folder(&container.id).join("tree")) {
            Some(_) => Driver::Copy,
            None => self.0.images.driver(),
        }
    }

    /// Blocks.
    pub(super) fn wanted(
        &self,
        container: &Container,
        joined: Joined,
        space: Option<Arc<Space>>,
    ) -> Result<Wanted, Error> {
        let image = self.0.images.find(&container.image)?;
        let host = container.state().host.clone();
        let pid_of = |mode: &str| -> Result<Option<i32>, Error> {
            let Some(name) = mode.strip_prefix("container:") else { return Ok(None) };
            let other = self.find(name)?;
            match other.is_running() {
                true => Ok(Some(other.state().pid)),
                false => Err(Error::conflict(format!(
                    "cannot join namespace of a non running container: container {} is not running",
                    other.id
                ))),
            }
        };
        let mut config = container.config.clone();
        config.env.splice(0..0, self.link_environment(container));
        config.env.extend(container.step_env.iter().cloned());
        Ok(Wanted {
            id: container.id.clone(),
            config,
            ipc_of: pid_of(&host.ipc_mode)?,
            pid_of: pid_of(&host.pid_mode)?,
            host,
            mounts: container.mounts.clone(),
            folder: self.folder(&container.id),
            layers: self.0.images.folders(&image.config),
            tree: self.tree(container)?,
            stubs: self.stubs(),
            hostname: joined.hostname.clone().unwrap_or_else(|| container.hostname()),
            joined,
            space,
        })
    }
}

/// Places to mount on that every container needs, as a layer between the image and its own: what is
/// made for us is no change of the container's.
pub(crate) fn make_stubs(at: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(at)?;
    make_stubs_in(&open_folder(at)?)
}

const STUB_FOLDERS: [&str; 7] = ["dev", "dev/pts", "dev/shm", "dev/mqueue", "etc", "proc", "sys"];
const STUB_FILES: [&str; 5] =
    [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// Those that are not there, beneath a root whose links lead nowhere outside.
pub(crate) fn make_stubs_in(root: &OwnedFd) -> Result<(), Error> {
    let failed = |failure: crate::sys::Failure| Error::failed(failure.0);
    for folder in STUB_FOLDERS {
        files::make_folder(root, folder).map_err(failed)?;
    }
    for file in STUB_FILES {
        files::make_file(root, file).map_err(failed)?;
    }
    Ok(())
}

/// Whether it is one of those.
pub(crate) fn is_stub(path: &[u8]) -> bool {
    STUB_FOLDERS.iter().chain(&STUB_FILES).any(|stub| stub.as_bytes() == path)
}

/// Owners that are asked for are the container's.
fn remap_tmpfs(mounts: &mut [UserMount], remap: &Remap) {
    for mount in mounts {
        let Source::Fs(_, options) = &mut mount.source else { continue };
        for (key, value) in options {
            let Some(number) = value.as_ref().and_then(|text| text.parse().ok()) else { continue };
            let outside = match key.as_str() {
                "uid" => remap.outside(number, 0).map(|(uid, _)| uid),
                "gid" => remap.group_outside(number),
                _ => continue,
            };
            *value = outside.map(|number| number.to_string());
        }
    }
}

/// Where the kernel has none, dockerd passes profiles over as well.
fn has_apparmor() -> bool {
    let on = crate::sys::cgroup::read("/sys/module/apparmor/parameters/enabled");
    on.is_some_and(|text| text.starts_with('Y'))
}

fn namespace(pid: i32, kind: &str) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{pid}/ns/{kind}");
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

fn shared_memory(path: &str) -> UserMount {
    UserMount {
        target: "/dev/shm".to_owned(),
        source: Source::Bind {
            path: path.to_owned(),
            recursive: false,
            propagation: Propagation::Private,
        },
        flags: MountFlags { nosuid: true, nodev: true, noexec: true, ..MountFlags::default() },
    }
}

fn root(wanted: &Wanted) -> Result<Root, Error> {
    let folder = &wanted.folder;
    if let Some(tree) = &wanted.tree {
        let at = folder.join("root");
        std::fs::create_dir_all(&at)?;
        return Ok(Root { at: text(&at), tree: text(&tree.files()), ..Root::default() });
    }
    for name in ["upper", "work", "root"] {
        match std::fs::create_dir(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error.into());
            }
            _ => {}
        }
    }
    let mut lower: Vec<String> = wanted.layers.iter().map(|layer| text(layer)).collect();
    let looks = wanted.layers.first().cloned();
    if lower.is_empty() {
        // An image without layers; an overlay has to lie on something.
        let empty = folder.join("empty");
        std::fs::create_dir_all(&empty)?;
        lower.push(text(&empty));
    }
    let upper = folder.join("upper");
    if let Some(image) = looks {
        look_like_below(&upper, &text(&image))?;
    }
    lower.insert(0, text(&wanted.stubs));
    Ok(Root {
        at: text(&folder.join("root")),
        lower,
        upper: text(&upper),
        work: text(&folder.join("work")),
        tree: String::new(),
    })
}

/// The root's owner and mode are those of the topmost folder.
fn look_like_below(upper: &Path, layer: &str) -> Result<(), Error> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let meta = std::fs::metadata(layer)?;
    let own = std::fs::metadata(upper)?;
    if own.mode() & 0o7777 != meta.mode() & 0o7777 {
        std::fs::set_permissions(upper, std::fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    if (own.uid(), own.gid()) != (meta.uid(), meta.gid()) {
        chown(upper, Some(meta.uid()), Some(meta.gid()))?;
    }
    Ok(())
}

/// `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`, written anew at every start.
fn etc_files(wanted: &Wanted) -> Result<Vec<(String, String)>, Error> {
    let mut all = Vec::new();
    for (name, content) in [
        ("hostname", format!("{}\n", wanted.hostname)),
        ("hosts", wanted.joined.hosts.clone()),
        ("resolv.conf", wanted.joined.resolv_conf.clone()),
    ] {
        let path = wanted.folder.join(name);
        write_file(&path, &content)?;
        all.push((text(&path), format!("/etc/{name}")));
    }
    Ok(all)
}

/// In place, so that a container that has it mounted sees the change.
pub(crate) fn write_file(path: &Path, content: &str) -> Result<(), Error> {
    use std::io::Write;
    let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::from_raw_mode(0o644))?;
    std::fs::File::from(file).write_all(content.as_bytes())?;
    Ok(())
}

fn prepare_mount(point: &MountPoint, root: &Root, space: Option<&Space>) -> Result<(), Error> {
    match point.kind.as_str() {
        "bind" if point.makes_source => match std::fs::metadata(&point.source) {
            Ok(_) => Ok(()),
            Err(_) => {
                let made = std::fs::create_dir_all(&point.source);
                let made = made.and_then(|()| match space.map(|space| space.root) {
                    Some((uid, gid)) => {
                        std::os::unix::fs::chown(&point.source, Some(uid), Some(gid))
                    }
                    None => Ok(()),
                });
                made.map_err(|error| {
                    Error::failed(format!(
                        "error while creating mount source path '{}': {error}",
                        point.source
                    ))
                })
            }
        },
        "volume" => {
            std::fs::create_dir_all(&point.source)?;
            if !point.no_copy && is_empty(&point.source)? {
                fill_volume(point, root)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_empty(path: &str) -> std::io::Result<bool> {
    Ok(std::fs::read_dir(path)?.next().is_none())
}

/// A new volume begins with what the image has in its place.
fn fill_volume(point: &MountPoint, root: &Root) -> Result<(), Error> {
    let image = match root.tree.as_str() {
        "" => {
            let upper = Some((root.upper.as_str(), root.work.as_str()));
            // Read-only when it can be: nothing is written to the container's own layer.
            let mut lower = vec![root.upper.clone()];
            lower.extend(root.lower.iter().cloned());
            sys_mounts::overlay(&lower, None)
                .or_else(|_| sys_mounts::overlay(&root.lower, upper))?
        }
        tree => open_folder(Path::new(tree))?,
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let Ok(from) = files::open_in(&image, &point.destination, flags) else { return Ok(()) };
    let to = open_folder(Path::new(&point.source))?;
    merge(&from, &to, Marks::Applied)
}

/// Those asked for, and with privileges all of this machine.
fn devices(host: &HostConfig) -> Result<(Vec<Device>, Vec<DeviceRule>), Error> {
    let (mut devices, mut rules) = (Vec::new(), Vec::new());
    if host.privileged {
        let dev = open_folder(Path::new("/dev"))?;
        collect(&dev, "/dev", "/dev", &mut devices, 0)?;
    }
    for mapping in &host.resources.devices {
        let found = mapped(mapping)?;
        rules.extend(found.iter().map(|device| DeviceRule {
            allow: true,
            kind: device.kind,
            major: Some(device.major),
            minor: Some(device.minor),
            access: match mapping.cgroup_permissions.as_str() {
                "" => "rwm".to_owned(),
                access => access.to_owned(),
            },
        }));
        devices.extend(found);
    }
    for rule in list(&host.resources.device_cgroup_rules) {
        rules.push(parse_rule(rule)?);
    }
    Ok((devices, rules))
}

/// `c 1:3 rwm`.
fn parse_rule(text: &str) -> Result<DeviceRule, Error> {
    let wrong = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let mut words = text.split_whitespace();
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(wrong());
    };
    let kind = match kind {
        "a" | "b" | "c" => kind.chars().next().unwrap_or('a'),
        _ => return Err(wrong()),
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong()),
    };
    if access.is_empty() || !access.chars().all(|c| "rwm".contains(c)) {
        return Err(wrong());
    }
    let (major, minor) = (number(major)?, number(minor)?);
    Ok(DeviceRule { allow: true, kind, major, minor, access: access.to_owned() })
}

fn mapped(mapping: &DeviceMapping) -> Result<Vec<Device>, Error> {
    let from = mapping.path_on_host.as_str();
    let to = if mapping.path_in_container.is_empty() { from } else { &mapping.path_in_container };
    let gather = || {
        Error::invalid(format!(
            "error gathering device information while adding custom device \"{from}\": no such file or directory"
        ))
    };
    let stat = statat(CWD, from, AtFlags::empty()).map_err(|_| gather())?;
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        let mut all = Vec::new();
        collect(&open_folder(Path::new(from))?, from, to, &mut all, 0)?;
        return Ok(all);
    }
    let found = device(from, to, &stat);
    found.map(|device| vec![device]).ok_or_else(|| {
        Error::invalid(format!(
            "error gathering device information while adding custom device \"{from}\": not a device node"
        ))
    })
}

fn device(from: &str, path: &str, stat: &rustix::fs::Stat) -> Option<Device> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice => 'b',
        FileType::CharacterDevice => 'c',
        _ => return None,
    };
    Some(Device {
        path: path.to_owned(),
        from: if from == path { String::new() } else { from.to_owned() },
        kind,
        major: rustix::fs::major(stat.st_rdev),
        minor: rustix::fs::minor(stat.st_rdev),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    })
}

fn collect(
    folder: impl AsFd,
    from: &str,
    to: &str,
    all: &mut Vec<Device>,
    depth: u32,
) -> Result<(), Error> {
    if depth > 4 {
        return Ok(());
    }
    for entry in rustix::fs::Dir::read_from(folder.as_fd())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if matches!(name.as_str(), "." | ".." | "pts" | "shm" | "fd" | "mqueue" | "console") {
            continue;
        }
        let Ok(stat) = statat(folder.as_fd(), name.as_str(), AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let (from, to) = (format!("{from}/{name}"), format!("{to}/{name}"));
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            if let Ok(inner) = open_folder(Path::new(&from)) {
                collect(&inner, &from, &to, all, depth + 1)?;
            }
        } else if name != "ptmx" {
            all.extend(device(&from, &to, &stat));
        }
    }
    Ok(())
}
