//! Who is there. What an engine has in the kernel (a firewall table, bridges, control groups) outlives it
//! when it and its helper are killed, and the data folder that knew of it may be gone as well. So each
//! engine says on this machine that it is there, for as long as it is; what is left of one that is not, the
//! next one takes away, whoever that is.
//!
//! Invariants: a claim is a file named after the engine's mark, held locked (shared) by the engine and by its
//! helper; only who gets the lock for himself alone takes anything away, so nothing of a live engine is ever
//! touched; what carries no mark of such an engine is left alone. The kernel's objects are found by the mark
//! that they carry: the table by its name, bridges by their alias, control groups by an attribute.
//!
//! Mounts and network namespaces need none of it: they are held by descriptors and go with the last process.

use crate::hierarchy::Hierarchies;
use crate::sys::cgroup;
use net_sys::{Firewall, Links};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, fstat, openat, statat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const FOLDER: &str = "/run/cumulet/engines";

/// The firewall table of the engine with this mark.
pub(crate) fn table(mark: &str) -> String {
    format!("cumulet-{mark}")
}

const ALIAS: &str = "cumulet ";

/// What its bridges are called beside their names.
pub(crate) fn alias(mark: &str) -> String {
    format!("{ALIAS}{mark}")
}

/// What a bridge of it is called until it carries its alias.
pub(crate) fn provisional(mark: &str) -> String {
    format!("cm-{mark}")
}

/// Held as long as the engine is there.
pub(crate) struct Claim {
    path: PathBuf,
    file: OwnedFd,
}

/// Device and number: networks are a namespace's, control groups the machine's.
fn network_namespace() -> Option<String> {
    let stat = statat(CWD, "/proc/self/ns/net", rustix::fs::AtFlags::empty()).ok()?;
    Some(format!("{}:{}", stat.st_dev, stat.st_ino))
}

impl Claim {
    /// Blocks while somebody takes away what an engine with the same mark had left.
    pub fn take(mark: &str) -> std::io::Result<Claim> {
        Claim::take_in(Path::new(FOLDER), mark)
    }

    fn take_in(folder: &Path, mark: &str) -> std::io::Result<Claim> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(mark);
        loop {
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = openat(CWD, &path, flags, Mode::from_raw_mode(0o600))?;
            flock(&file, FlockOperation::LockShared)?;
            // Meanwhile it may have been removed, with what it stood for.
            if !is_at(&file, &path) {
                continue;
            }
            rustix::fs::ftruncate(&file, 0)?;
            let mut to = std::fs::File::from(file.try_clone()?);
            to.write_all(network_namespace().unwrap_or_default().as_bytes())?;
            return Ok(Claim { path, file });
        }
    }

    /// For the helper: as long as it holds this, the claim stands.
    pub fn share(&self) -> std::io::Result<OwnedFd> {
        self.file.try_clone()
    }

    /// Nothing is left in the kernel.
    pub fn give_up(self) {
        if is_at(&self.file, &self.path) {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

fn is_at(file: &OwnedFd, path: &Path) -> bool {
    let there = statat(CWD, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    match (fstat(file), there) {
        (Ok(own), Ok(there)) => (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino),
        _ => false,
    }
}

/// What became of the claims on this machine.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Swept {
    /// Marks of engines that are there.
    pub alive: Vec<String>,
    /// Of those that were not, and what they had in the kernel is gone.
    pub gone: Vec<String>,
}

/// Takes away what dead engines have left. Blocks.
pub fn sweep() -> Swept {
    let hierarchies = Hierarchies::detect();
    cgroup::remove(&hierarchies.of_users());
    let mut swept = sweep_in(Path::new(FOLDER), |mark, networks| {
        let mut gone = true;
        for above in hierarchies.parents() {
            gone &= cgroup::remove_marked(&above, mark);
        }
        cgroup::remove(&hierarchies.parents());
        gone && match networks {
            Where::Here => clear(mark, &[]).is_ok(),
            // Out of sight from here.
            Where::Elsewhere => false,
            // They went with their namespace.
            Where::Nowhere => true,
        }
    });
    swept.gone.extend(sweep_bridges_in(Path::new(FOLDER)).unwrap_or_default());
    swept.gone.sort_unstable();
    swept
}

/// Bridges whose engine has neither a claim nor a table any more, so that nothing else leads to them.
fn sweep_bridges_in(folder: &Path) -> std::io::Result<Vec<String>> {
    let aliased = Links::open()?.aliased()?;
    let marks: BTreeSet<&str> =
        aliased.iter().filter_map(|link| link.alias.strip_prefix(ALIAS)).collect();
    let mut gone = Vec::new();
    for mark in marks.into_iter().filter(|mark| mark.bytes().all(|b| b.is_ascii_hexdigit())) {
        let path = folder.join(mark);
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // Who has a claim is there, or was looked at already. Who comes now waits until this one is gone.
        let Ok(file) = openat(CWD, &path, flags, Mode::from_raw_mode(0o600)) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        let table = table(mark);
        let has_table = Firewall::new(&table).is_there().unwrap_or(true);
        if !has_table && clear(mark, &[]).is_ok() {
            gone.push(mark.to_owned());
        }
        let _ = rustix::fs::unlink(&path);
    }
    Ok(gone)
}

/// The networks of an engine that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Where {
    Here,
    Elsewhere,
    /// Nobody can come to them any more.
    Nowhere,
}

impl Where {
    fn of(namespace: &str) -> Where {
        match network_namespace() {
            // Who died before it had written anything may have been here.
            Some(own) if own == namespace || namespace.is_empty() => Where::Here,
            _ if is_held(namespace) => Where::Elsewhere,
            _ => Where::Nowhere,
        }
    }
}

/// Whether some process is in a network namespace, has it open, or sees it mounted.
fn is_held(namespace: &str) -> bool {
    let Some((_, inode)) = namespace.split_once(':') else { return true };
    let link = format!("net:[{inode}]");
    let is_it = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == &*link);
    let Ok(entries) = std::fs::read_dir("/proc") else { return true };
    let processes = entries.flatten().filter(|entry| {
        entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
    });
    processes.map(|entry| entry.path()).any(|process| {
        let mounts = || cgroup::read(&process.join("mountinfo").display().to_string());
        let open = || std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        is_it(&process.join("ns/net"))
            || open().any(|one| is_it(&one.path()))
            || mounts().is_some_and(|mounts| mounts.contains(&link))
    })
}

fn sweep_in(folder: &Path, mut clear: impl FnMut(&str, Where) -> bool) -> Swept {
    let mut swept = Swept::default();
    let Ok(entries) = std::fs::read_dir(folder) else { return swept };
    for entry in entries.flatten() {
        let mark = entry.file_name().to_string_lossy().into_owned();
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let Ok(file) = openat(CWD, entry.path(), flags, Mode::empty()) else { continue };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                swept.alive.push(mark);
                continue;
            }
            Err(_) => continue,
        }
        if !is_at(&file, &entry.path()) {
            continue;
        }
        let mut namespace = String::new();
        let mut from = std::fs::File::from(file);
        let read = from.read_to_string(&mut namespace);
        if read.is_ok() && clear(&mark, Where::of(&namespace)) {
            let _ = rustix::fs::unlink(entry.path());
            swept.gone.push(mark);
        }
        // The lock goes with the file.
        drop(from);
    }
    swept.alive.sort_unstable();
    swept.gone.sort_unstable();
    swept
}

/// The networks that carry a mark and that nobody is in, but for bridges that somebody still knows: those get their
/// rules when they are used again.
pub(crate) fn clear(mark: &str, known: &[String]) -> std::io::Result<()> {
    // First: its rules name bridges, and as soon as one is gone another engine may have one of that name. They
    // name ports as well, that a start had published which came to nothing.
    Firewall::new(&table(mark)).remove()?;
    // Where the kernel knows no IPv6 there is none of that.
    let _ = Firewall::six(&table(mark)).remove();
    let mut links = Links::open()?;
    let bridges = links.with_alias(&alias(mark))?;
    let bridges: Vec<_> = bridges.into_iter().filter(|one| !known.contains(&one.name)).collect();
    for bridge in bridges {
        for end in links.below(bridge.index)? {
            links.delete(&end)?;
        }
        links.delete(&bridge.name)?;
    }
    links.delete(&provisional(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("claims-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn marks(folder: &Folder, clears: bool) -> (Swept, Vec<(String, Where)>) {
        let mut asked = Vec::new();
        let swept = sweep_in(&folder.0, |mark, networks| {
            asked.push((mark.to_owned(), networks));
            clears
        });
        (swept, asked)
    }

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let folder = Folder::new("held");
        let engine = Claim::take_in(&folder.0, "a").unwrap();
        let helper = engine.share().unwrap();
        let dead = Claim::take_in(&folder.0, "b").unwrap();
        drop(dead);
        let (swept, asked) = marks(&folder, true);
        assert_eq!((swept.alive, swept.gone), (vec!["a".to_owned()], vec!["b".to_owned()]));
        assert_eq!(asked, [("b".to_owned(), Where::Here)]);
        // The helper alone keeps it, and a second engine may come beside it.
        drop(engine);
        assert_eq!(marks(&folder, true).0.alive, ["a"]);
        let second = Claim::take_in(&folder.0, "a").unwrap();
        drop(helper);
        assert_eq!(marks(&folder, true).0.alive, ["a"]);
        second.give_up();
        assert_eq!(marks(&folder, true).0, Swept::default());
    }

    #[test]
    fn what_cannot_be_cleared_is_tried_again() {
        let folder = Folder::new("again");
        drop(Claim::take_in(&folder.0, "a").unwrap());
        assert_eq!(marks(&folder, false).0, Swept::default());
        write(&folder, "a", "1:2");
        let (swept, asked) = marks(&folder, true);
        assert_eq!((swept.gone.len(), asked), (1, vec![("a".to_owned(), Where::Nowhere)]));
    }

    fn write(folder: &Folder, mark: &str, namespace: &str) {
        #[allow(clippy::disallowed_methods, reason = "a file of this test")]
        std::fs::write(folder.0.join(mark), namespace).unwrap();
    }

    /// Needs root.
    #[test]
    fn a_namespace_is_there_as_long_as_somebody_holds_it() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: namespaces need root");
            return;
        }
        let folder = Folder::new("elsewhere");
        let (namespace, ()) = net_sys::new_namespace(|_| Ok(())).unwrap();
        let stat = fstat(&namespace).unwrap();
        write(&folder, "a", &format!("{}:{}", stat.st_dev, stat.st_ino));
        write(&folder, "b", "");
        let asked = |mark: &str| {
            let (_, all) = marks(&folder, false);
            all.into_iter().find(|(one, _)| one == mark).map(|(_, at)| at)
        };
        assert_eq!((asked("a"), asked("b")), (Some(Where::Elsewhere), Some(Where::Here)));
        drop(namespace);
        // The number may be another's at once, as tests run side by side; not each time.
        let mut numbers = (0..100).filter(|_| {
            let (namespace, ()) = net_sys::new_namespace(|_| Ok(())).unwrap();
            let stat = fstat(&namespace).unwrap();
            write(&folder, "a", &format!("{}:{}", stat.st_dev, stat.st_ino));
            drop(namespace);
            asked("a") == Some(Where::Nowhere)
        });
        assert!(numbers.next().is_some());
    }

    fn bridge(links: &mut Links, name: &str, alias: &str) -> std::io::Result<u32> {
        let subnet = net::Subnet::parse("172.30.0.0/16").unwrap();
        links.new_bridge(&net_sys::NewBridge {
            name,
            provisional: "making",
            alias,
            address: subnet.first(),
            subnet: &subnet,
            mtu: None,
        })
    }

    /// In a namespace of its own. Needs root.
    #[test]
    fn bridges_without_claim_and_table() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: links need root");
            return;
        }
        let folder = Folder::new("bridges");
        let _alive = Claim::take_in(&folder.0, "aa11").unwrap();
        net_sys::new_namespace(|_| {
            let mut links = Links::open()?;
            for (name, alias) in [
                ("docker0", "cumulet 00aa"),
                ("br-alive", "cumulet aa11"),
                ("br-table", "cumulet bb22"),
                ("br-other", "cumulet is what I call it"),
                ("br-dockerd", "docker0"),
            ] {
                bridge(&mut links, name, alias)?;
            }
            Firewall::new(&table("bb22")).replace(&[])?;
            assert_eq!(sweep_bridges_in(&folder.0)?, ["00aa"]);
            let left = links.used()?.interfaces;
            assert!(!left.contains(&"docker0".to_owned()), "{left:?}");
            for name in ["br-alive", "br-table", "br-other", "br-dockerd"] {
                assert!(left.contains(&name.to_owned()), "{name}: {left:?}");
            }
            // Nothing is left that would be taken for a claim.
            assert!(!folder.0.join("00aa").exists() && !folder.0.join("bb22").exists());
            Ok(())
        })
        .unwrap();
    }

    /// In a namespace of its own. Needs root.
    #[test]
    fn bridges_are_known_by_their_alias() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: links need root");
            return;
        }
        net_sys::new_namespace(|_| {
            let mut links = Links::open()?;
            for (name, mark) in [("br-a", "m1"), ("br-b", "m2"), ("br-c", "m1")] {
                bridge(&mut links, name, &alias(mark))?;
            }
            let firewalls = [Firewall::new(&table("m1")), Firewall::new(&table("m2"))];
            firewalls.iter().try_for_each(|one| one.replace(&[]))?;
            clear("m1", &["br-c".to_owned()])?;
            assert!(!firewalls[0].is_there()? && firewalls[1].is_there()?);
            let left = links.used()?.interfaces;
            assert!(left.contains(&"br-b".to_owned()) && left.contains(&"br-c".to_owned()));
            assert!(!left.contains(&"br-a".to_owned()), "{left:?}");
            clear("m1", &[])?;
            assert_eq!(links.with_alias(&alias("m1"))?.len(), 0);
            Ok(())
        })
        .unwrap();
    }
}
