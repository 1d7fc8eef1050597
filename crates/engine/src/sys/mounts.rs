//! Mounts, by descriptors: what is mounted and where is fixed before a container can see either.

use super::{Context, Failure, Result, files, raw};
use crate::plan::{Mount, MountFlags, Propagation, Root, Source};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount,
    fsopen, mount_change, move_mount, open_tree, unmount,
};

fn attributes(flags: MountFlags) -> MountAttrFlags {
    let mut out = MountAttrFlags::empty();
    for (is, attribute) in [
        (flags.readonly, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (flags.nosuid, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (flags.nodev, MountAttrFlags::MOUNT_ATTR_NODEV),
        (flags.noexec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
        (flags.strictatime, MountAttrFlags::MOUNT_ATTR_STRICTATIME),
    ] {
        if is {
            out |= attribute;
        }
    }
    out
}

/// A new file system, mounted nowhere yet.
pub fn new_fs(
    kind: &str,
    options: &[(String, Option<String>)],
    flags: MountFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        match value {
            Some(value) => fsconfig_set_string(&context, key.as_str(), value.as_str())?,
            None => fsconfig_set_flag(&context, key.as_str())?,
        }
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes(flags))
}

/// Layers as one file system, mounted nowhere yet. The topmost layer comes first; without `upper`
/// it cannot be written.
pub fn overlay(lower: &[String], upper: Option<(&str, &str)>) -> rustix::io::Result<OwnedFd> {
    let mut options: Vec<(String, Option<String>)> = Vec::new();
    // Since Linux 6.5 each layer by itself; before it one list, for which a colon is special.
    let single = |layer: &String| ("lowerdir+".to_owned(), Some(layer.clone()));
    options.extend(lower.iter().map(single));
    if let Some((upper, work)) = upper {
        options.push(("upperdir".to_owned(), Some(upper.to_owned())));
        options.push(("workdir".to_owned(), Some(work.to_owned())));
    }
    if is_apart() {
        // Marks of removed folders that need no root.
        options.push(("userxattr".to_owned(), None));
    }
    match new_fs("overlay", &options, MountFlags::default()) {
        Err(rustix::io::Errno::INVAL) => {
            let escaped: Vec<String> =
                lower.iter().map(|l| l.replace('\\', "\\\\").replace(':', "\\:")).collect();
            options.drain(..lower.len());
            options.insert(0, ("lowerdir".to_owned(), Some(escaped.join(":"))));
            new_fs("overlay", &options, MountFlags::default())
        }
        other => other,
    }
}

/// Whether this process is in a user namespace, where it is root of less than the machine: the engine without
/// root, its helper, and an engine that somebody else has put into one.
pub fn is_apart() -> bool {
    static APART: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *APART.get_or_init(|| {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        !map.is_empty() && map.split_whitespace().ne(["0", "0", "4294967295"])
    })
}

/// How the overlay marks a folder that hides what is below it.
pub fn opaque_mark() -> &'static str {
    match is_apart() {
        true => "user.overlay.opaque",
        false => "trusted.overlay.opaque",
    }
}

/// Hangs a mount up on an open file or folder.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

/// A copy of what is mounted at an open file or folder, mounted nowhere yet.
pub fn copy_of(fd: impl AsFd, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(fd, "", flags)
}

/// From here on what is mounted in this namespace is seen in no other.
pub fn make_private() -> Result<()> {
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context(|| "cannot part from the mounts of the machine".to_owned())
}

/// The root of a container: gives it, mounted.
pub fn mount_root(root: &Root) -> Result<OwnedFd> {
    let failed = || format!("cannot mount the layers of the container at {}", root.at);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let at = openat(CWD, &root.at, flags, Mode::empty()).context(failed)?;
    let mount = match root.tree.as_str() {
        "" => overlay(&root.lower, Some((&root.upper, &root.work))).context(failed)?,
        tree => copy_of(openat(CWD, tree, flags, Mode::empty()).context(failed)?, false)
            .context(failed)?,
    };
    attach(&mount, &at).context(failed)?;
    mount_change(proc_path(&mount).as_str(), MountPropagationFlags::PRIVATE).context(failed)?;
    Ok(mount)
}

/// A folder, seen with the owners of a user namespace from here on: it covers itself.
pub fn remap(folder: &str, namespace: impl AsFd) -> Result<()> {
    let failed = || format!("cannot map the owners in {folder}");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let at = openat(CWD, folder, flags, Mode::empty()).context(failed)?;
    let copy = copy_of(&at, false).context(failed)?;
    raw::remap_mount(&copy, namespace).context(failed)?;
    attach(&copy, &at).context(failed)
}

/// Through this path a mount itself can be named.
fn proc_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Mounts beneath `root`; gives what was mounted.
pub fn mount(root: impl AsFd, mount: &Mount) -> Result<OwnedFd> {
    let failed = || match &mount.source {
        Source::Fs(kind, _) => {
            format!("error mounting \"{kind}\" to rootfs at \"{}\"", mount.target)
        }
        Source::Bind { path, .. } => {
            format!("error mounting \"{path}\" to rootfs at \"{}\"", mount.target)
        }
        Source::Layers { path, .. } => {
            format!("failed to mount \"{path}\" of the source at \"{}\"", mount.target)
        }
    };
    let (made, is_folder) = match &mount.source {
        Source::Fs(kind, options) => match new_fs(kind, options, mount.flags) {
            // In the machine's own namespace of that kind it takes more than root in one's own.
            Err(rustix::io::Errno::PERM) if let Some(path) = of_machine(kind) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let from = openat(CWD, path, flags, Mode::empty()).context(failed)?;
                let copy = copy_of(&from, true).context(failed)?;
                let wanted = u64::from(attributes(mount.flags).bits());
                raw::mount_setattr(&copy, false, wanted, 0).context(failed)?;
                (copy, true)
            }
            made => (made.context(failed)?, true),
        },
        Source::Bind { path, recursive, .. } => {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let from = openat(CWD, path.as_str(), flags, Mode::empty()).context(failed)?;
            let is_folder = files::is_folder(&from).context(failed)?;
            (copy_of(&from, *recursive).context(failed)?, is_folder)
        }
        Source::Layers { lower, upper, path } => {
            let part = part_of_layers(root.as_fd(), lower, upper.as_ref(), path);
            let made = part.context(failed)?;
            let is_folder = files::is_folder(&made).context(failed)?;
            (made, is_folder)
        }
    };
    let target = if is_folder {
        files::make_folder(root.as_fd(), &mount.target)?
    } else {
        files::make_file(root.as_fd(), &mount.target)?
    };
    attach(&made, &target).context(failed)?;
    match &mount.source {
        Source::Bind { propagation, .. } => {
            finish_bind(&made, mount.flags, *propagation).context(failed)?;
        }
        Source::Layers { .. } => {
            finish_bind(&made, mount.flags, Propagation::Private).context(failed)?;
        }
        Source::Fs(..) => {}
    }
    Ok(made)
}

/// A file or folder of layers, mounted nowhere yet. Links in them lead nowhere else.
fn part_of_layers(
    root: impl AsFd,
    lower: &[String],
    upper: Option<&(String, String)>,
    path: &str,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    if let ([one], None) = (lower, upper) {
        let whole = openat(CWD, one.as_str(), flags | OFlags::DIRECTORY, Mode::empty())?;
        return copy_of(&files::open_in(&whole, path, flags)?, false);
    }
    let whole = overlay(lower, upper.map(|(upper, work)| (upper.as_str(), work.as_str())))?;
    // Of what is mounted nowhere, older kernels copy no part: for a moment it lies on the root,
    // which everything here names by its descriptor.
    attach(&whole, root)?;
    let part = files::open_in(&whole, path, flags).and_then(|from| copy_of(&from, false));
    unmount(proc_path(&whole).as_str(), UnmountFlags::DETACH)?;
    part
}

/// Where the machine has a file system of the kernel's that shows it whole.
fn of_machine(kind: &str) -> Option<&'static str> {
    match kind {
        "proc" => Some("/proc"),
        "sysfs" => Some("/sys"),
        "mqueue" => Some("/dev/mqueue"),
        _ => None,
    }
}

fn finish_bind(
    made: &OwnedFd,
    flags: MountFlags,
    propagation: Propagation,
) -> rustix::io::Result<()> {
    let change = match propagation {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Shared => MountPropagationFlags::SHARED,
    };
    mount_change(proc_path(made).as_str(), change | MountPropagationFlags::REC)?;
    let wanted = u64::from(attributes(flags).bits());
    if wanted == 0 {
        return Ok(());
    }
    raw::mount_setattr(made, false, wanted, 0)?;
    if flags.readonly_recursive {
        raw::mount_setattr(made, true, libc::MOUNT_ATTR_RDONLY, 0)?;
    }
    Ok(())
}

/// What the container sees is nothing but its root, from here on.
pub fn pivot(root: impl AsFd) -> Result<()> {
    let failed = || "cannot make the container's root the only one".to_owned();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = openat(CWD, "/", flags, Mode::empty()).context(failed)?;
    rustix::process::fchdir(root.as_fd()).context(failed)?;
    // The old root lands on top of the new one and is taken off again.
    rustix::process::pivot_root(".", ".").context(failed)?;
    rustix::process::fchdir(&old).context(failed)?;
    mount_change(".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context(failed)?;
    unmount(".", UnmountFlags::DETACH).context(failed)?;
    rustix::process::chdir("/").context(failed)
}

/// Makes paths read-only that were not; what is not there needs nothing.
pub fn readonly(path: &str) -> Result<()> {
    let failed = || format!("cannot make {path} read-only");
    let Some(at) = existing(path)? else { return Ok(()) };
    let copy = copy_of(&at, true).context(failed)?;
    raw::mount_setattr(&copy, true, libc::MOUNT_ATTR_RDONLY, 0).context(failed)?;
    attach(&copy, &at).context(failed)
}

/// Hides paths: a folder behind an empty one, a file behind `null`.
pub fn mask_all(paths: &[String]) -> Result<()> {
    if paths.is_empty() {
        return Ok(());
    }
    let null = open_null()?;
    paths.iter().try_for_each(|path| mask(path, &null))
}

fn mask(path: &str, null: &OwnedFd) -> Result<()> {
    let failed = || format!("cannot mask {path}");
    let Some(at) = existing(path)? else { return Ok(()) };
    let cover = if files::is_folder(&at).context(failed)? {
        let flags = MountFlags { readonly: true, ..MountFlags::default() };
        let options = [("nr_blocks", "1"), ("nr_inodes", "1")]
            .map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        new_fs("tmpfs", &options, flags).context(failed)?
    } else {
        copy_of(null, false).context(failed)?
    };
    attach(&cover, &at).context(failed)
}

fn existing(path: &str) -> Result<Option<OwnedFd>> {
    use rustix::io::Errno;
    match openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot look at {path}")),
    }
}

/// The container's null device, if it is one: anything else that an image or a volume put in its
/// place would be laid over the kernel's files (CVE-2025-31133).
fn open_null() -> Result<OwnedFd> {
    let failed = || "cannot open /dev/null".to_owned();
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = openat(CWD, "/dev/null", flags, Mode::empty()).context(failed)?;
    let stat = rustix::fs::statat(&null, "", AtFlags::EMPTY_PATH).context(failed)?;
    let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let is_device = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device();
    match number {
        (1, 3) if is_device => Ok(null),
        _ => Err(Failure("/dev/null in the container is no null device".to_owned())),
    }
}

/// The root of a container is read-only from here on; what is mounted in it keeps its own way.
pub fn readonly_root() -> Result<()> {
    let failed = || "cannot make the root read-only".to_owned();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, "/", flags, Mode::empty()).context(failed)?;
    raw::mount_setattr(&root, false, libc::MOUNT_ATTR_RDONLY, 0).context(failed)
}
