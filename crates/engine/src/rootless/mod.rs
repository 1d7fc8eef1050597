//! A cloud that is not root, and containers all the same (`docs/decisions/074`).
//!
//! Before it has any thread, the process goes into a user namespace in which it is root: its own number
//! stands for 0 there, and the numbers that `/etc/subuid` and `/etc/subgid` grant its user for the others.
//! With it go a mount namespace and an IPC namespace; the networks get a namespace of their own, in which only
//! they and the helper are, so that the process itself still listens where everybody is. If a helper runs from
//! before, its namespaces are joined instead.
//!
//! A cloud that root starts for a user (`--user`) does the same after it has become that user. One small process
//! stays root: the [`keeper`].
//!
//! Invariants: what is outside of the granted numbers is nobody's in there; the cloud itself keeps nothing that
//! root has.

pub mod keeper;

use crate::helper;
use crate::hierarchy;
use crate::sys::raw::{self, Forked};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid, openat};
use rustix::process::{Pid, WaitOptions, getegid, geteuid, waitpid};
use rustix::thread::{
    LinkNameSpaceType, UnshareFlags, move_into_link_name_space, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// Images name users up to this number as a rule.
const IDS_WANTED: u32 = 65_535;

static ENTERED: AtomicBool = AtomicBool::new(false);

/// Whether this process is root only in a namespace of its own.
pub fn is_entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// Who the cloud is outside of its namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// Whom this process belongs to.
    pub fn own() -> Account {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let passwd = read("/etc/passwd");
        let found = accounts(&passwd).find(|account| account.uid == uid);
        Account { name: found.map(|one| one.name).unwrap_or_else(|| uid.to_string()), uid, gid }
    }

    /// By name or number.
    pub fn find(text: &str) -> Option<Account> {
        let passwd = read("/etc/passwd");
        accounts(&passwd).find(|one| one.name == text || one.uid.to_string() == text)
    }
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account> + '_ {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
        Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

/// Numbers that are granted to somebody: the first and how many, in the order of the file.
pub(crate) fn granted(text: &str, account: &Account) -> Vec<(u32, u32)> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (who, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let is_own = who == account.name || who == account.uid.to_string();
        let range: (u32, u32) = (first.parse().ok()?, count.parse().ok()?);
        (is_own && range.1 > 0 && range.0.checked_add(range.1).is_some()).then_some(range)
    });
    ranges.collect()
}

/// One line of the kernel's for each: the number inside, the number outside, how many.
fn mapping(own: u32, granted: &[(u32, u32)]) -> Vec<[u32; 3]> {
    let mut lines = vec![[0, own, 1]];
    let mut inside = 1_u32;
    for (first, count) in granted {
        let count = (*count).min(u32::MAX - inside);
        lines.push([inside, *first, count]);
        inside += count;
    }
    lines
}

/// Both kinds of numbers.
struct Mappings {
    users: Vec<[u32; 3]>,
    groups: Vec<[u32; 3]>,
}

impl Mappings {
    fn of(account: &Account) -> Mappings {
        let users = granted(&read("/etc/subuid"), account);
        let groups = granted(&read("/etc/subgid"), account);
        Mappings { users: mapping(account.uid, &users), groups: mapping(account.gid, &groups) }
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin", "/run/wrappers/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

/// What is not there of what containers need without root, each with its remedy; none is good.
pub fn missing(account: &Account) -> Vec<String> {
    let mut all = Vec::new();
    let name = &account.name;
    for (file, option) in [("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")] {
        let count: u32 = granted(&read(file), account).iter().map(|(_, count)| count).sum();
        if count < IDS_WANTED {
            all.push(format!(
                "{count} of 65,536 subordinate numbers in {file}; \
                 `usermod {option} 100000-165535 {name}` as root, with a range that is free"
            ));
        }
    }
    if ["newuidmap", "newgidmap"].iter().any(|name| program(name).is_none()) {
        all.push("newuidmap and newgidmap; `apt install uidmap`".to_owned());
    }
    let sysctl = |path: &str| read(path).trim().to_owned();
    if matches!(sysctl("/proc/sys/user/max_user_namespaces").as_str(), "" | "0") {
        all.push("user namespaces; `sysctl user.max_user_namespaces=15000`".to_owned());
    }
    if sysctl("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        all.push(
            "user namespaces of ordinary users; `sysctl kernel.unprivileged_userns_clone=1`"
                .to_owned(),
        );
    }
    if sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        all.push(
            "user namespaces of ordinary users; \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
                .to_owned(),
        );
    }
    all
}

/// What an ordinary user's containers have less than root's, on this machine.
pub fn limits() -> String {
    let first = read("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let ports = first.trim().parse::<u16>().unwrap_or(1024);
    let groups = match hierarchy::Hierarchies::delegated() {
        hierarchy::Hierarchies::None => {
            "no limits, since no control groups are delegated to this user"
        }
        _ => "limits by the control groups that are delegated",
    };
    format!("published ports from {ports}; {groups}")
}

/// Goes into a namespace of its own. Must come before any thread; `run` is the helper's folder.
pub fn enter(run: &Path) -> Result<(), String> {
    let account = Account::own();
    let helper = helper::running(run);
    let missing = missing(&account);
    if helper.is_none() && !missing.is_empty() {
        return Err(missing.join("; "));
    }
    let mappings = Mappings::of(&account);
    go(helper, || Ok(()), |of| by_programs(&mappings, of))
}

/// Root becomes that user, and then the same. `data` is the data folder, which must be the user's or new.
pub fn enter_as(account: &Account, data: &Path) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("{what}: {}", crate::sys::reason(error));
    if account.uid == 0 {
        return Err("root is no ordinary user".to_owned());
    }
    let lacking: Vec<String> =
        missing(account).into_iter().filter(|one| one.contains("/etc/sub")).collect();
    if !lacking.is_empty() {
        return Err(lacking.join("; "));
    }
    give(account, data)?;
    let groups = hierarchy::give(&crate::network::mark_of(data), account.uid, account.gid);
    keeper::start(&groups).map_err(|error| failed("cannot start what stays root", error))?;
    let mappings = Mappings::of(account);
    let become_it = || become_user(account);
    go(helper::running(&data.join("run")), become_it, |of| by_kernel(&mappings, of))
}

/// `become_it` after what has to be left behind, and before anything is entered.
fn go(
    helper: Option<PathBuf>,
    become_it: impl FnOnce() -> io::Result<()>,
    map: impl FnOnce(Pid) -> io::Result<()>,
) -> Result<(), String> {
    let failed = |what: &str, error: io::Error| format!("{what}: {}", crate::sys::reason(error));
    if let Some(helper) = helper {
        become_it().map_err(|error| failed("cannot become another user", error))?;
        join(&helper).map_err(|error| failed("cannot join the containers that run", error))?;
    } else {
        separate(become_it, map).map_err(|error| failed("cannot make a user namespace", error))?;
        let made = net_sys::new_namespace(|_| net_sys::Links::open()?.set_up(1));
        let (home, ()) = made.map_err(|error| failed("cannot make a network namespace", error))?;
        net_sys::settle(home).map_err(|error| failed("cannot settle", error))?;
    }
    ENTERED.store(true, Ordering::Relaxed);
    hierarchy::make_room();
    Ok(())
}

/// The data folder becomes the user's, if nothing is in it yet.
fn give(account: &Account, data: &Path) -> Result<(), String> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
    let name = &account.name;
    let failed = |error: io::Error| format!("{}: {}", data.display(), crate::sys::reason(error));
    if let Some(above) = data.parent() {
        std::fs::create_dir_all(above).map_err(failed)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(data) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let is_empty = std::fs::read_dir(data).map_err(failed)?.next().is_none();
    let owner = std::fs::metadata(data).map_err(failed)?.uid();
    if owner != account.uid && !is_empty {
        return Err(format!(
            "{} is not {name}'s: images and containers in it belong to root's numbers; use another \
             data folder, or remove its folder `engine` and `chown -R {name} {}`",
            data.display(),
            data.display()
        ));
    }
    match owner == account.uid {
        true => Ok(()),
        false => chown(data, Some(account.uid), Some(account.gid)).map_err(failed),
    }
}

/// Numbers of the groups that somebody is a member of.
fn groups_of(group: &str, account: &Account) -> Vec<u32> {
    let found = group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_member = fields.get(3)?.split(',').any(|name| name == account.name);
        is_member.then(|| fields[2].parse().ok())?
    });
    std::iter::once(account.gid).chain(found.filter(|gid| *gid != account.gid)).collect()
}

fn become_user(account: &Account) -> io::Result<()> {
    let groups = groups_of(&read("/etc/group"), account);
    let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
    set_thread_groups(&groups)?;
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    // Its own files of the kernel's are its own again.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)?;
    Ok(())
}

/// Root says it to the kernel itself.
fn by_kernel(mappings: &Mappings, of: Pid) -> io::Result<()> {
    write_maps(Pid::as_raw(Some(of)), &mappings.users, &mappings.groups)
}

pub(crate) fn write_maps(of: i32, users: &[[u32; 3]], groups: &[[u32; 3]]) -> io::Result<()> {
    for (name, lines) in [("uid_map", users), ("gid_map", groups)] {
        let lines: Vec<String> = lines
            .iter()
            .map(|[inside, outside, count]| format!("{inside} {outside} {count}"))
            .collect();
        let file = openat(
            CWD,
            format!("/proc/{of}/{name}"),
            OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        // In one piece, or not at all.
        rustix::io::write(&file, lines.join("\n").as_bytes())?;
    }
    Ok(())
}

const NEW: UnshareFlags =
    UnshareFlags::NEWUSER.union(UnshareFlags::NEWNS).union(UnshareFlags::NEWIPC);

/// Parts from the machine's namespaces; a process that stays behind, as what this one was, says what the
/// numbers mean.
fn separate(
    become_it: impl FnOnce() -> io::Result<()>,
    map: impl FnOnce(Pid) -> io::Result<()>,
) -> io::Result<()> {
    let own = rustix::process::getpid();
    let (parted, told) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let behind = match raw::fork(0)? {
        Forked::Child => {
            drop(told);
            let mut byte = [0; 1];
            let is_parted = matches!(rustix::io::read(&parted, &mut byte), Ok(1));
            let mapped = if is_parted { map(own) } else { Err(io::ErrorKind::Interrupted.into()) };
            if let Err(error) = &mapped
                && is_parted
            {
                eprintln!("cumulet: {error}");
            }
            raw::exit(i32::from(mapped.is_err()));
        }
        Forked::Parent { pid, .. } => pid,
    };
    let separated = become_it().and_then(|()| Ok(raw::unshare(NEW)?));
    if separated.is_ok() {
        rustix::io::write(&told, b"1")?;
    }
    drop(told);
    let ended = waitpid(Some(behind), WaitOptions::empty())?;
    separated?;
    match ended.and_then(|(_, status)| status.exit_status()) {
        Some(0) => Ok(()),
        _ => Err(io::Error::other("its users could not be set")),
    }
}

/// The two programs that may do it for whom the files grant it.
fn by_programs(mappings: &Mappings, of: Pid) -> io::Result<()> {
    for (name, lines) in [("newuidmap", &mappings.users), ("newgidmap", &mappings.groups)] {
        let path = program(name).ok_or_else(|| io::Error::other(format!("{name} is missing")))?;
        let numbers = lines.iter().flatten().map(u32::to_string);
        let done =
            Command::new(path).arg(Pid::as_raw(Some(of)).to_string()).args(numbers).output()?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(io::Error::other(format!("{name}: {}", said.trim())));
        }
    }
    Ok(())
}

/// Into the namespaces of a helper that runs, whose networks are then ours.
fn join(helper: &Path) -> io::Result<()> {
    let open = |name: &str| -> io::Result<OwnedFd> {
        let path = helper.join("ns").join(name);
        Ok(openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    };
    let [user, mount, ipc, network] = ["user", "mnt", "ipc", "net"].map(open);
    let (user, mount, ipc, network) = (user?, mount?, ipc?, network?);
    let folder = std::env::current_dir();
    let own = openat(CWD, "/proc/self/ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let number = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| stat.st_ino);
    if number(&own)? == number(&user)? {
        return Err(io::Error::other("they were started by root"));
    }
    for (fd, kind) in [
        (&user, LinkNameSpaceType::User),
        (&mount, LinkNameSpaceType::Mount),
        (&ipc, LinkNameSpaceType::InterProcessCommunication),
    ] {
        move_into_link_name_space(std::os::fd::AsFd::as_fd(fd), Some(kind))?;
    }
    // Another mount namespace begins at its root.
    if let Ok(folder) = folder {
        std::env::set_current_dir(folder)?;
    }
    net_sys::settle(network)
}

/// Takes connections of containers to this machine's own address in their networks.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    net_sys::at_home(|| {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Account {
        Account { name: "me".to_owned(), uid: 1000, gid: 100 }
    }

    #[test]
    fn who_is_granted_what() {
        let text = "you:1:2\nme:100000:65536\n1000:300000:10\nme:x:1\nme:5:0\nme:4294967295:2\n";
        assert_eq!(granted(text, &me()), [(100_000, 65_536), (300_000, 10)]);
        assert_eq!(granted("", &me()), []);
    }

    #[test]
    fn one_number_after_the_other() {
        let lines = mapping(1000, &[(100_000, 65_536), (300_000, 10)]);
        assert_eq!(lines, [[0, 1000, 1], [1, 100_000, 65_536], [65_537, 300_000, 10]]);
        // As many as there can be, and not one more.
        let lines = mapping(1, &[(5, u32::MAX - 5), (7, 100)]);
        assert!(lines.iter().all(|[inside, _, count]| inside.checked_add(*count).is_some()));
    }

    #[test]
    fn which_groups() {
        let text = "root:x:0:\nme:x:100:\ndocker:x:7:you,me\nother:x:8:meme\nbroken\n";
        assert_eq!(groups_of(text, &me()), [100, 7]);
    }

    #[test]
    fn lines_of_passwd() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:100::/:/bin/sh\n";
        assert_eq!(accounts(text).last(), Some(me()));
    }

    #[test]
    fn each_thing_that_lacks_has_a_remedy() {
        let nobody = Account { name: "no-such-user".to_owned(), uid: 4_000_000, gid: 1 };
        let all = missing(&nobody);
        assert!(all.len() >= 2 && all[0].contains("/etc/subuid"), "{all:?}");
        assert!(all.iter().all(|one| one.contains('`')), "{all:?}");
    }
}
