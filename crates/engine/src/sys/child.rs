//! The child between its birth and its program: does the steps of the plan in order.
//!
//! It runs in a copy of the helper with one thread, so it may allocate. It never returns into the
//! helper's own loop: it becomes the program, or says what failed and ends.

use super::{Context, Failure, Result, cgroup, files, mounts, pass, process, raw, terminal};
use crate::plan::{Device, Mount, Source, Step};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, mknodat, symlinkat};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;
use std::collections::BTreeMap;

/// The one byte before a message of the child.
pub const SAYS_TERMINAL: u8 = b'T';
pub const SAYS_FAILURE: u8 = b'F';

/// What the child has so far.
struct Child<'a> {
    report: &'a OwnedFd,
    fds: &'a [OwnedFd],
    root: Option<OwnedFd>,
    proc: Option<OwnedFd>,
    devpts: Option<OwnedFd>,
    /// Of what it makes.
    owner: (u32, u32),
}

/// Does all steps. The last one is the program, so this does not return.
pub fn run(steps: &[Step], fds: &[OwnedFd], report: &OwnedFd) -> ! {
    let failure = match prepare(steps, fds, report) {
        Ok(()) => Failure("the plan names no program".to_owned()),
        Err(failure) => failure,
    };
    let text = failure.0.as_bytes();
    let text = &text[..text.len().min(4000)];
    let _ = pass::send(report, &[&[SAYS_FAILURE], text].concat(), &[]);
    raw::exit(127);
}

fn prepare(steps: &[Step], fds: &[OwnedFd], report: &OwnedFd) -> Result<()> {
    // While it is still a copy of the helper nobody in the container may look into it.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .context(|| "cannot hide from the container".to_owned())?;
    raw::reset_signals();
    // Keys of this machine's session are not the container's. Where there are none, so be it.
    let _ = raw::new_session_keyring(c"_ses.container");
    raw::close_on_exec_from(3).context(|| "cannot close what is the helper's".to_owned())?;
    let mut child = Child { report, fds, root: None, proc: None, devpts: None, owner: (0, 0) };
    for step in steps {
        child.step(step)?;
    }
    Ok(())
}

impl Child<'_> {
    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Cgroup(cgroup) => cgroup::enter(cgroup),
            Step::Join(at) => rustix::thread::move_into_link_name_space(self.fd(*at)?, None)
                .context(|| "cannot join a namespace".to_owned()),
            Step::JoinAll(at) => self.join_all(*at),
            Step::UnshareCgroup => raw::unshare(UnshareFlags::NEWCGROUP)
                .context(|| "cannot make a control group namespace".to_owned()),
            Step::PrivateMounts => mounts::make_private(),
            Step::Owner { uid, gid } => self.own(*uid, *gid),
            Step::Remap { folder, namespace } => mounts::remap(folder, self.fd(*namespace)?),
            Step::Become { namespace, new_mounts } => self.become_root(*namespace, *new_mounts),
            Step::Root(root) => {
                self.root = Some(mounts::mount_root(root)?);
                Ok(())
            }
            Step::Mount(mount) => self.mount(mount),
            Step::Device(device) => self.device(device),
            Step::Symlink(path, to) => self.symlink(path, to),
            Step::Terminal { console, size } => self.terminal(*console, *size),
            Step::Hostname(name) => rustix::system::sethostname(name.as_bytes())
                .context(|| format!("cannot set the host name {name}")),
            Step::Domainname(name) => rustix::system::setdomainname(name.as_bytes())
                .context(|| format!("cannot set the domain name {name}")),
            Step::Sysctls(all) => self.sysctls(all),
            Step::Pivot => mounts::pivot(self.root()?),
            Step::ReadonlyPaths(paths) => paths.iter().try_for_each(|path| mounts::readonly(path)),
            Step::MaskedPaths(paths) => mounts::mask_all(paths),
            Step::ReadonlyRoot => mounts::readonly_root(),
            Step::OomScore(score) => self.own_file("self/oom_score_adj", &score.to_string()),
            Step::Rlimits(limits) => process::rlimits(limits),
            Step::Umask(mask) => {
                rustix::process::umask(Mode::from_raw_mode(*mask));
                Ok(())
            }
            Step::Session => self.session(),
            Step::Process(process) => process::become_program(process).map(drop),
        }
    }

    fn fd(&self, at: usize) -> Result<rustix::fd::BorrowedFd<'_>> {
        let fd = self.fds.get(at).ok_or_else(|| Failure("the plan names no descriptor".into()))?;
        Ok(fd.as_fd())
    }

    fn root(&self) -> Result<&OwnedFd> {
        self.root.as_ref().ok_or_else(|| Failure("the plan has no root yet".to_owned()))
    }

    fn join_all(&self, at: usize) -> Result<()> {
        use rustix::thread::ThreadNameSpaceType as Kind;
        let kinds = Kind::MOUNT
            | Kind::NETWORK
            | Kind::INTER_PROCESS_COMMUNICATION
            | Kind::HOST_NAME_AND_NIS_DOMAIN_NAME
            | Kind::CONTROL_GROUP;
        let failed = || "cannot join the container".to_owned();
        match rustix::thread::move_into_thread_name_spaces(self.fd(at)?, kinds) {
            Err(Errno::PERM) if mounts::is_apart() => {}
            joined => return joined.context(failed),
        }
        // One of them is the machine's, in which both are already: each by itself, that of mounts last.
        for kind in kinds.iter().filter(|kind| *kind != Kind::MOUNT).chain([Kind::MOUNT]) {
            let must = kind == Kind::MOUNT || kind == Kind::NETWORK;
            match rustix::thread::move_into_thread_name_spaces(self.fd(at)?, kind) {
                Err(Errno::PERM) if !must => {}
                joined => joined.context(failed)?,
            }
        }
        Ok(())
    }

    fn mount(&mut self, mount: &Mount) -> Result<()> {
        let made = mounts::mount(self.root()?, mount)?;
        if let Source::Fs(kind, _) = &mount.source {
            match kind.as_str() {
                "proc" => self.proc = Some(made),
                "devpts" => self.devpts = Some(made),
                _ => {}
            }
        }
        Ok(())
    }

    fn device(&self, device: &Device) -> Result<()> {
        let failed = || format!("cannot make the device {}", device.path);
        let (above, name) = device.path.rsplit_once('/').unwrap_or(("", &device.path));
        let folder = files::make_folder(self.root()?, above)?;
        let kind = match device.kind {
            'b' => FileType::BlockDevice,
            'p' => FileType::Fifo,
            _ => FileType::CharacterDevice,
        };
        let number = rustix::fs::makedev(device.major, device.minor);
        // The file mode creation mask is the helper's: none.
        match mknodat(&folder, name, kind, Mode::from_raw_mode(device.mode), number) {
            // Without root of the machine, the machine's own device is lent.
            Err(Errno::PERM) => return self.lend(device).context(failed),
            made => made.context(failed)?,
        }
        if (device.uid, device.gid) != (0, 0) {
            let owner = rustix::fs::Uid::from_raw(device.uid);
            let group = rustix::fs::Gid::from_raw(device.gid);
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&folder, name, Some(owner), Some(group), flags).context(failed)?;
        }
        Ok(())
    }

    fn lend(&self, device: &Device) -> rustix::io::Result<()> {
        let from = if device.from.is_empty() { &device.path } else { &device.from };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let own = rustix::fs::openat(rustix::fs::CWD, from.as_str(), flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&own)?;
        if stat.st_rdev != rustix::fs::makedev(device.major, device.minor) {
            return Err(Errno::NXIO);
        }
        let root = self.root().map_err(|_| Errno::INVAL)?;
        let target = files::make_file(root, &device.path).map_err(|_| Errno::IO)?;
        mounts::attach(mounts::copy_of(&own, false)?, &target)
    }

    fn symlink(&self, path: &str, to: &str) -> Result<()> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = files::make_folder(self.root()?, above)?;
        symlinkat(to, &folder, name).context(|| format!("cannot make the link {path}"))
    }

    fn terminal(&mut self, console: bool, size: (u16, u16)) -> Result<()> {
        // Who joins a container has no mount of its own to look into.
        let opened;
        let devpts = match &self.devpts {
            Some(devpts) => devpts,
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                opened = rustix::fs::openat(rustix::fs::CWD, "/dev/pts", flags, Mode::empty())
                    .context(|| "cannot open a terminal".to_owned())?;
                &opened
            }
        };
        let (master, slave) = terminal::open(devpts)?;
        if size != (0, 0) {
            let _ = terminal::resize(&master, size.0, size.1);
        }
        if console {
            let failed = || "cannot make /dev/console".to_owned();
            let target = files::make_file(self.root()?, "/dev/console")?;
            let copy = mounts::copy_of(&slave, false).context(failed)?;
            mounts::attach(&copy, &target).context(failed)?;
        }
        pass::send(self.report, &[SAYS_TERMINAL], &[master.as_fd()])
            .context(|| "cannot hand over the terminal".to_owned())?;
        (0..=2).try_for_each(|stream| {
            raw::replace_stream(&slave, stream).context(|| "cannot use the terminal".to_owned())
        })
    }

    fn session(&self) -> Result<()> {
        rustix::process::setsid().context(|| "cannot make a session".to_owned())?;
        if rustix::termios::isatty(rustix::stdio::stdin()) {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
                .context(|| "cannot lead the terminal".to_owned())?;
        }
        Ok(())
    }

    fn own(&mut self, uid: u32, gid: u32) -> Result<()> {
        self.owner = (uid, gid);
        raw::set_file_owner(uid, gid).context(|| "cannot act as the container's root".to_owned())
    }

    fn become_root(&self, namespace: usize, new_mounts: bool) -> Result<()> {
        use rustix::fs::{Gid, Uid};
        let failed = || "cannot become the container's root".to_owned();
        let (uid, gid) = (Uid::from_raw(self.owner.0), Gid::from_raw(self.owner.1));
        // Later it is in nobody's power to give them away.
        for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
            let is_null = rustix::fs::fstat(stream).is_ok_and(|stat| {
                FileType::from_raw_mode(stat.st_mode).is_char_device()
                    && rustix::fs::major(stat.st_rdev) == 1
            });
            if !is_null {
                let _ = rustix::fs::fchown(stream, Some(uid), Some(gid));
            }
        }
        let kind = rustix::thread::LinkNameSpaceType::User;
        rustix::thread::move_into_link_name_space(self.fd(namespace)?, Some(kind))
            .context(failed)?;
        let (uid, gid) = (Uid::ROOT, Gid::ROOT);
        rustix::thread::set_thread_groups(&[]).context(failed)?;
        rustix::thread::set_thread_res_gid(gid, gid, gid).context(failed)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).context(failed)?;
        if new_mounts {
            raw::unshare(UnshareFlags::NEWNS).context(failed)?;
        }
        // Another change of who it is would have made it visible.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
            .context(failed)
    }

    /// Through a mount of the kernel's own, which nothing in the container can stand in for.
    fn own_file(&self, path: &str, text: &str) -> Result<()> {
        let private;
        let proc = match &self.proc {
            Some(proc) => proc,
            None => {
                private = mounts::new_fs("proc", &[], crate::plan::MountFlags::default())
                    .context(|| "cannot open the kernel's files".to_owned())?;
                &private
            }
        };
        // `self` is a link, so it is followed by hand.
        let path = path.replace("self/", &format!("{}/", rustix::process::getpid()));
        files::write_existing(proc, &path, text)
            .context(|| format!("cannot write {text} to /proc/{path}"))
    }

    fn sysctls(&self, all: &BTreeMap<String, String>) -> Result<()> {
        for (name, value) in all {
            let path = format!("sys/{}", name.replace('.', "/"));
            let failed = || format!("open sysctl {name} file");
            if path.split('/').any(|part| part.is_empty() || part == "..") {
                return Err(Failure(format!("{}: no such file or directory", failed())));
            }
            self.own_file(&path, value)
                .map_err(|failure| Failure(format!("{}: {failure}", failed())))?;
        }
        Ok(())
    }
}
