//! The control groups of this machine, and where in them a container goes.

use crate::config::Resources;
use crate::plan::{Cgroup, DeviceProgram, DeviceRule, Limit};
use std::collections::BTreeMap;

/// What version 2 is asked to hand down.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];
/// Below the root of each hierarchy.
const PARENT: &str = "cumulet";

/// Above the groups that root gives to users: one that root may write to without any capability.
const OF_USERS: &str = "/cumulet-users";

/// The root of the hierarchy that a given group is in.
pub(crate) fn root_of(group: &str) -> &str {
    group.split_once(OF_USERS).map_or("/", |(root, _)| root)
}

/// Where the process itself is, below what was delegated to it.
const LEAF: &str = "/cumulet-engine";

fn read(path: &str) -> String {
    crate::sys::cgroup::read(path).unwrap_or_default()
}

/// Controller to the group of this process, from `/proc/self/cgroup`; version 2 has no name.
fn own_groups(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        for controller in controllers.split(',') {
            all.insert(controller.to_owned(), path.to_owned());
        }
    }
    all
}

/// Gives groups of this name to a user, in each hierarchy that there is, and moves this process into them.
/// Root does it; what cannot be had is left out. Gives the groups.
pub(crate) fn give(mark: &str, uid: u32, gid: u32) -> Vec<String> {
    use crate::sys::cgroup;
    use std::os::unix::fs::{PermissionsExt, chown};
    let (roots, files): (Vec<String>, &[&str]) = match Hierarchies::detect() {
        Hierarchies::Two(root) => {
            for controller in CONTROLLERS {
                let file = format!("{root}/cgroup.subtree_control");
                let value = format!("+{controller}");
                let _ = cgroup::set(&Limit { file, value, optional: true });
            }
            (vec![root], &["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"])
        }
        // Which devices there are stays root's to say.
        Hierarchies::One(all) => {
            let mut roots: Vec<String> =
                all.into_iter().filter(|(name, _)| name != "devices").map(|(_, at)| at).collect();
            roots.dedup();
            (roots, &["cgroup.procs", "tasks"])
        }
        Hierarchies::None => return Vec::new(),
    };
    let mut given = Vec::new();
    for root in roots {
        let above = format!("{root}{OF_USERS}");
        let group = format!("{above}/{mark}");
        for folder in [&above, &group] {
            let _ = std::fs::create_dir(folder);
            // A new group of processors has none until it is told.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Some(value) = cgroup::read(&format!("{root}/{file}")) {
                    let (file, value) = (format!("{folder}/{file}"), value.trim().to_owned());
                    let _ = cgroup::set(&Limit { file, value, optional: true });
                }
            }
        }
        for controller in CONTROLLERS.iter().filter(|_| files.contains(&"cgroup.threads")) {
            let (file, value) =
                (format!("{above}/cgroup.subtree_control"), format!("+{controller}"));
            let _ = cgroup::set(&Limit { file, value, optional: true });
        }
        if cgroup::join(std::slice::from_ref(&group)).is_err() {
            cgroup::remove(&[group]);
            continue;
        }
        // What stays root has no capability, and takes away in the end what the user made in it.
        let _ = chown(&group, Some(uid), Some(0));
        let _ = std::fs::set_permissions(&group, std::fs::Permissions::from_mode(0o775));
        for file in files {
            let _ = chown(format!("{group}/{file}"), Some(uid), Some(gid));
        }
        given.push(group);
    }
    given
}

/// With version 2, moves this process aside, so that limits can be set beside it.
pub fn make_room() {
    let Hierarchies::Two(path) = Hierarchies::delegated() else { return };
    let leaf = format!("{path}{LEAF}");
    let _ = std::fs::create_dir(&leaf);
    let _ = crate::sys::cgroup::join(&[leaf]);
}

/// Where the hierarchies are mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hierarchies {
    /// One for all, at this path.
    Two(String),
    /// Controller to path. Also where both versions are there but version 1 has the controllers.
    One(BTreeMap<String, String>),
    None,
}

impl Hierarchies {
    /// Reads `/proc/self/mountinfo`.
    pub fn parse(mountinfo: &str) -> Hierarchies {
        let mut one = BTreeMap::new();
        let mut two = None;
        for line in mountinfo.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let path = before.split(' ').nth(4).unwrap_or_default().to_owned();
            let mut after = after.split(' ');
            match after.next() {
                Some("cgroup2") => two = two.or(Some(path)),
                Some("cgroup") => {
                    for option in after.nth(1).unwrap_or_default().split(',') {
                        if !matches!(option, "rw" | "ro" | "xattr") && !option.contains('=') {
                            one.entry(option.to_owned()).or_insert_with(|| path.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        // Programs mount single controllers of version 1 for purposes of their own; that is no reason to do
        // without the others.
        let limits = ["cpu", "memory", "pids"].iter().any(|name| one.contains_key(*name));
        match two {
            Some(two) if !limits => Hierarchies::Two(two),
            _ if one.is_empty() => Hierarchies::None,
            _ => Hierarchies::One(one),
        }
    }

    pub fn detect() -> Hierarchies {
        match crate::rootless::is_entered() {
            true => Hierarchies::delegated(),
            false => Hierarchies::parse(&read("/proc/self/mountinfo")),
        }
    }

    /// Those below which this process may make groups without being root.
    pub fn delegated() -> Hierarchies {
        use rustix::fs::{Access, access};
        let own = own_groups(&read("/proc/self/cgroup"));
        let may = |path: &str| access(path, Access::WRITE_OK).is_ok();
        Hierarchies::parse(&read("/proc/self/mountinfo")).below(&own, may)
    }

    /// The same hierarchies from the process's own groups down, where it `may` write.
    fn below(self, own: &BTreeMap<String, String>, may: impl Fn(&str) -> bool) -> Hierarchies {
        let at = |path: &str, group: &str| {
            // The process itself moves aside, since version 2 wants groups with others below empty.
            let group = group.strip_suffix(LEAF).unwrap_or(group).trim_end_matches('/');
            Some(format!("{path}{group}")).filter(|path| may(path))
        };
        match self {
            Hierarchies::Two(root) => match own.get("").and_then(|group| at(&root, group)) {
                Some(path) => Hierarchies::Two(path),
                None => Hierarchies::None,
            },
            Hierarchies::One(all) => {
                // Which devices there are is for root to say.
                let all = all.into_iter().filter(|(controller, _)| controller != "devices");
                let found: BTreeMap<String, String> = all
                    .filter_map(|(controller, path)| {
                        let path = at(&path, own.get(&controller)?)?;
                        Some((controller, path))
                    })
                    .collect();
                match found.is_empty() {
                    true => Hierarchies::None,
                    false => Hierarchies::One(found),
                }
            }
            Hierarchies::None => Hierarchies::None,
        }
    }

    pub fn version(&self) -> &'static str {
        match self {
            Hierarchies::Two(_) => "2",
            _ => "1",
        }
    }

    /// Name in a file's place, for one controller: `memory.max` and the like.
    fn path(&self, controller: &str, id: &str) -> Option<String> {
        match self {
            Hierarchies::Two(root) => Some(format!("{root}/{PARENT}/{id}")),
            Hierarchies::One(all) => Some(format!("{}/{PARENT}/{id}", all.get(controller)?)),
            Hierarchies::None => None,
        }
    }

    /// The folders of a container, version 1 by controller.
    pub fn folders(&self, id: &str) -> BTreeMap<String, String> {
        match self {
            Hierarchies::Two(root) => {
                BTreeMap::from([(String::new(), format!("{root}/{PARENT}/{id}"))])
            }
            Hierarchies::One(all) => {
                // Several controllers may be mounted together, under one path.
                let mut seen = Vec::new();
                let mut out = BTreeMap::new();
                for (controller, path) in all.iter().filter(|(c, _)| *c != "cpuset") {
                    if !seen.contains(&path) {
                        seen.push(path);
                        out.insert(controller.clone(), format!("{path}/{PARENT}/{id}"));
                    }
                }
                out
            }
            Hierarchies::None => BTreeMap::new(),
        }
    }

    /// All of them, whichever hierarchies they are in.
    pub fn groups(&self, id: &str) -> Vec<String> {
        self.folders(id).into_values().collect()
    }

    /// The folders that a further process of a container joins, whose first one this is.
    pub fn joined(&self, id: &str, first: i32) -> Vec<String> {
        let folders = self.groups(id);
        let Hierarchies::Two(root) = self else { return folders };
        let own = format!("{root}/{PARENT}/{id}");
        // What a container handed down to groups that it made itself, it can no longer be in.
        if read(&format!("{own}/cgroup.subtree_control")).trim().is_empty() {
            return folders;
        }
        let groups = own_groups(&read(&format!("/proc/{first}/cgroup")));
        let below = groups.get("").and_then(|path| path.split_once(&format!("/{PARENT}/{id}")));
        match below {
            Some((_, below)) => vec![format!("{own}{below}")],
            None => folders,
        }
    }

    /// Above all containers.
    pub fn parents(&self) -> Vec<String> {
        match self {
            Hierarchies::Two(root) => vec![format!("{root}/{PARENT}")],
            Hierarchies::One(all) => all.values().map(|path| format!("{path}/{PARENT}")).collect(),
            Hierarchies::None => Vec::new(),
        }
    }

    /// Above the groups of users, where there were any.
    pub(crate) fn of_users(&self) -> Vec<String> {
        match self {
            Hierarchies::Two(root) => vec![format!("{root}{OF_USERS}")],
            Hierarchies::One(all) => all.values().map(|path| format!("{path}{OF_USERS}")).collect(),
            Hierarchies::None => Vec::new(),
        }
    }

    /// Where a container's own processes are and what limits them.
    pub fn plan(&self, id: &str, resources: &Resources, rules: Vec<DeviceRule>) -> Cgroup {
        let mut folders = self.groups(id);
        let mut limits = Vec::new();
        let mut device_program = None;
        match self {
            Hierarchies::Two(root) => {
                for above in [root.clone(), format!("{root}/{PARENT}")] {
                    for controller in CONTROLLERS {
                        limits.push(Limit {
                            file: format!("{above}/cgroup.subtree_control"),
                            value: format!("+{controller}"),
                            optional: true,
                        });
                    }
                }
                let folder = format!("{root}/{PARENT}/{id}");
                device_program = Some(DeviceProgram { folder, rules });
            }
            Hierarchies::One(all) => {
                if let Some(path) = all.get("devices") {
                    limits.extend(device_limits(&format!("{path}/{PARENT}/{id}"), &rules));
                }
                let wants_cpuset =
                    !resources.cpuset_cpus.is_empty() || !resources.cpuset_mems.is_empty();
                if let Some(path) = all.get("cpuset").filter(|_| wants_cpuset) {
                    folders.push(format!("{path}/{PARENT}/{id}"));
                    limits.extend(inherited_cpuset(path, id));
                }
            }
            Hierarchies::None => {}
        }
        limits.extend(self.limits(id, resources));
        Cgroup { folders, make: true, limits, device_program, mark: String::new() }
    }

    /// The limits alone, as they can be changed while a container runs.
    pub fn limits(&self, id: &str, resources: &Resources) -> Vec<Limit> {
        let settings = match self {
            Hierarchies::Two(_) => version_two(resources),
            Hierarchies::One(_) => version_one(resources),
            Hierarchies::None => Vec::new(),
        };
        settings
            .into_iter()
            .filter_map(|(controller, file, value, optional)| {
                let folder = self.path(controller, id)?;
                Some(Limit { file: format!("{folder}/{controller}.{file}"), value, optional })
            })
            .collect()
    }

    /// Which processors and which memories there are, where that is known.
    pub(crate) fn available(&self) -> (Option<String>, Option<String>) {
        let see = |folder: &str, end: &str| {
            let of = |file: &str| {
                let text = crate::sys::cgroup::read(&format!("{folder}/cpuset.{file}{end}"));
                text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
            };
            (of("cpus"), of("mems"))
        };
        match self {
            Hierarchies::Two(root) => see(root, ".effective"),
            Hierarchies::One(all) => all.get("cpuset").map_or((None, None), |path| see(path, "")),
            Hierarchies::None => (None, None),
        }
    }

    /// How fast devices may be used.
    pub fn throttles(&self, id: &str, wanted: &[Throttle]) -> Vec<Limit> {
        let (controller, two) = match self {
            Hierarchies::Two(_) => ("io", true),
            _ => ("blkio", false),
        };
        let Some(folder) = self.path(controller, id) else { return Vec::new() };
        let one = |throttle: &Throttle| {
            let Throttle { device: (major, minor), what, rate } = throttle;
            let (key, file) = what.names();
            let (file, value) = match two {
                true => ("io.max".to_owned(), format!("{major}:{minor} {key}={rate}")),
                false => (format!("blkio.throttle.{file}"), format!("{major}:{minor} {rate}")),
            };
            Limit { file: format!("{folder}/{file}"), value, optional: false }
        };
        wanted.iter().map(one).collect()
    }
}

/// A device that may be used only so fast.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Throttle {
    /// Major and minor.
    pub device: (u32, u32),
    pub what: Throttled,
    /// A second.
    pub rate: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Throttled {
    BytesRead,
    BytesWritten,
    Reads,
    Writes,
}

impl Throttled {
    /// With version 2, and with version 1.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Throttled::BytesRead => ("rbps", "read_bps_device"),
            Throttled::BytesWritten => ("wbps", "write_bps_device"),
            Throttled::Reads => ("riops", "read_iops_device"),
            Throttled::Writes => ("wiops", "write_iops_device"),
        }
    }
}

type Setting = (&'static str, &'static str, String, bool);

fn device_limits(folder: &str, rules: &[DeviceRule]) -> Vec<Limit> {
    let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
    rules
        .iter()
        .map(|rule| {
            let name = if rule.allow { "devices.allow" } else { "devices.deny" };
            let value = match rule.kind {
                'a' => "a".to_owned(),
                kind => {
                    let (major, minor) = (number(rule.major), number(rule.minor));
                    format!("{kind} {major}:{minor} {}", rule.access)
                }
            };
            Limit { file: format!("{folder}/{name}"), value, optional: false }
        })
        .collect()
}

/// A new group of version 1 has no processors and no memory until it is told.
fn inherited_cpuset(path: &str, id: &str) -> Vec<Limit> {
    let read = |file: &str| crate::sys::cgroup::read(&format!("{path}/{file}")).unwrap_or_default();
    let mut out = Vec::new();
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = read(file).trim().to_owned();
        for folder in [format!("{path}/{PARENT}"), format!("{path}/{PARENT}/{id}")] {
            let file = format!("{folder}/{file}");
            out.push(Limit { file, value: value.clone(), optional: true });
        }
    }
    out
}

/// Period and quota in microseconds.
fn cpu_quota(resources: &Resources) -> Option<(i64, i64)> {
    const PERIOD_US: i64 = 100_000;
    if resources.nano_cpus > 0 {
        return Some((PERIOD_US, resources.nano_cpus * PERIOD_US / 1_000_000_000));
    }
    match (resources.cpu_period, resources.cpu_quota) {
        (_, 0) => None,
        (0, quota) => Some((PERIOD_US, quota)),
        (period, quota) => Some((period, quota)),
    }
}

fn version_one(resources: &Resources) -> Vec<Setting> {
    let mut out: Vec<Setting> = Vec::new();
    let r = resources;
    if r.memory > 0 {
        out.push(("memory", "limit_in_bytes", r.memory.to_string(), false));
        // Without a word on it, as much again may be swapped; many kernels cannot limit it.
        let swap = match r.memory_swap {
            0 => r.memory.saturating_mul(2),
            swap => swap,
        };
        out.push(("memory", "memsw.limit_in_bytes", swap.to_string(), r.memory_swap == 0));
    }
    if r.memory_reservation > 0 {
        out.push(("memory", "soft_limit_in_bytes", r.memory_reservation.to_string(), false));
    }
    if let Some(swappiness) = r.memory_swappiness.filter(|n| *n >= 0) {
        out.push(("memory", "swappiness", swappiness.to_string(), false));
    }
    if r.oom_kill_disable == Some(true) {
        out.push(("memory", "oom_control", "1".to_owned(), false));
    }
    if r.cpu_shares > 0 {
        out.push(("cpu", "shares", r.cpu_shares.to_string(), false));
    }
    if let Some((period, quota)) = cpu_quota(r) {
        out.push(("cpu", "cfs_period_us", period.to_string(), false));
        out.push(("cpu", "cfs_quota_us", quota.to_string(), false));
    }
    cpuset(r, &mut out);
    pids(r, &mut out);
    if r.blkio_weight > 0 {
        out.push(("blkio", "bfq.weight", r.blkio_weight.to_string(), true));
    }
    out
}

fn version_two(resources: &Resources) -> Vec<Setting> {
    let mut out: Vec<Setting> = Vec::new();
    let r = resources;
    if r.memory > 0 {
        out.push(("memory", "max", r.memory.to_string(), false));
        let swap = match r.memory_swap {
            0 => r.memory.to_string(),
            -1 => "max".to_owned(),
            both => (both - r.memory).max(0).to_string(),
        };
        out.push(("memory", "swap.max", swap, r.memory_swap == 0));
    }
    if r.memory_reservation > 0 {
        out.push(("memory", "low", r.memory_reservation.to_string(), false));
    }
    if r.cpu_shares > 0 {
        // 2 to 262,144 becomes 1 to 10,000.
        let weight = 1 + (r.cpu_shares.clamp(2, 262_144) - 2) * 9999 / 262_142;
        out.push(("cpu", "weight", weight.to_string(), false));
    }
    if let Some((period, quota)) = cpu_quota(r) {
        let quota = if quota < 0 { "max".to_owned() } else { quota.to_string() };
        out.push(("cpu", "max", format!("{quota} {period}"), false));
    } else if r.cpu_period > 0 {
        out.push(("cpu", "max", format!("max {}", r.cpu_period), false));
    }
    cpuset(r, &mut out);
    pids(r, &mut out);
    if r.blkio_weight > 0 {
        // One of them is what the disk's scheduler looks at; the second wants 1 to 10,000 for our 10 to 1,000.
        let weight = 1 + (u32::from(r.blkio_weight.clamp(10, 1000)) - 10) * 9999 / 990;
        out.push(("io", "bfq.weight", format!("default {}", r.blkio_weight), true));
        out.push(("io", "weight", format!("default {weight}"), true));
    }
    out
}

fn cpuset(resources: &Resources, out: &mut Vec<Setting>) {
    if !resources.cpuset_cpus.is_empty() {
        out.push(("cpuset", "cpus", resources.cpuset_cpus.clone(), false));
    }
    if !resources.cpuset_mems.is_empty() {
        out.push(("cpuset", "mems", resources.cpuset_mems.clone(), false));
    }
}

fn pids(resources: &Resources, out: &mut Vec<Setting>) {
    match resources.pids_limit {
        Some(limit) if limit > 0 => out.push(("pids", "max", limit.to_string(), false)),
        Some(_) => out.push(("pids", "max", "max".to_owned(), true)),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 20 0:25 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
31 20 0:26 / /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory
32 20 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
33 20 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 20 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    fn resources(set: impl FnOnce(&mut Resources)) -> Resources {
        let mut resources = Resources::default();
        set(&mut resources);
        resources
    }

    #[test]
    fn which_version() {
        let two = Hierarchies::parse("34 20 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
        assert_eq!(two, Hierarchies::Two("/sys/fs/cgroup".to_owned()));
        assert_eq!(Hierarchies::parse("nonsense"), Hierarchies::None);
        // Somebody's own use of version 1 takes nothing from version 2.
        let both = "34 20 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
                    35 20 0:30 / /run/vpn rw - cgroup none rw,net_cls";
        assert_eq!(Hierarchies::parse(both), two);
        let folders = Hierarchies::parse(HYBRID).folders("c");
        let expected = [
            ("cpu", "/sys/fs/cgroup/cpu/cumulet/c"),
            ("memory", "/sys/fs/cgroup/memory/cumulet/c"),
        ];
        let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(folders, BTreeMap::from(expected));
    }

    #[test]
    fn limits_of_both_versions() {
        let wanted = resources(|r| {
            r.memory = 64 << 20;
            r.nano_cpus = 500_000_000;
            r.cpu_shares = 1024;
        });
        let files = |hierarchies: Hierarchies| -> Vec<(String, String)> {
            let limits = hierarchies.limits("c", &wanted);
            limits.into_iter().map(|limit| (limit.file, limit.value)).collect()
        };
        let has = |all: &[(String, String)], file: &str, value: &str| {
            assert!(all.contains(&(file.to_owned(), value.to_owned())), "{file}: {all:?}");
        };
        let one = files(Hierarchies::parse(HYBRID));
        has(&one, "/sys/fs/cgroup/memory/cumulet/c/memory.limit_in_bytes", "67108864");
        has(&one, "/sys/fs/cgroup/cpu/cumulet/c/cpu.cfs_quota_us", "50000");
        let two = files(Hierarchies::Two("/g".to_owned()));
        has(&two, "/g/cumulet/c/memory.max", "67108864");
        has(&two, "/g/cumulet/c/cpu.max", "50000 100000");
        has(&two, "/g/cumulet/c/cpu.weight", "39");
    }

    #[test]
    fn what_only_version_two_is_told() {
        let check = |set: &dyn Fn(&mut Resources), expected: &[(&str, &str)]| {
            let limits = Hierarchies::Two("/g".to_owned()).limits("c", &resources(set));
            let found: Vec<(String, String)> =
                limits.into_iter().map(|limit| (limit.file, limit.value)).collect();
            let at = |(file, value): &(&str, &str)| {
                (format!("/g/cumulet/c/{file}"), (*value).to_owned())
            };
            assert_eq!(found, expected.iter().map(at).collect::<Vec<_>>());
        };
        check(&|r| r.cpu_period = 50_000, &[("cpu.max", "max 50000")]);
        check(&|r| r.cpu_quota = -1, &[("cpu.max", "max 100000")]);
        check(&|r| r.pids_limit = Some(0), &[("pids.max", "max")]);
        for (weight, bfq, io) in
            [(10, "default 10", "default 1"), (1000, "default 1000", "default 10000")]
        {
            check(&|r| r.blkio_weight = weight, &[("io.bfq.weight", bfq), ("io.weight", io)]);
        }
    }

    #[test]
    fn how_fast_devices_are() {
        let wanted = [
            Throttle { device: (8, 0), what: Throttled::BytesRead, rate: 1 << 20 },
            Throttle { device: (8, 16), what: Throttled::Writes, rate: 7 },
        ];
        let told = |hierarchies: Hierarchies| -> Vec<String> {
            let limits = hierarchies.throttles("c", &wanted);
            limits.into_iter().map(|limit| format!("{} {}", limit.file, limit.value)).collect()
        };
        let two = told(Hierarchies::Two("/g".to_owned()));
        assert_eq!(
            two,
            ["/g/cumulet/c/io.max 8:0 rbps=1048576", "/g/cumulet/c/io.max 8:16 wiops=7"]
        );
        let one = Hierarchies::One(BTreeMap::from([("blkio".to_owned(), "/b".to_owned())]));
        let expected = [
            "/b/cumulet/c/blkio.throttle.read_bps_device 8:0 1048576",
            "/b/cumulet/c/blkio.throttle.write_iops_device 8:16 7",
        ];
        assert_eq!(told(one), expected);
        assert!(told(Hierarchies::parse(HYBRID)).is_empty(), "there is nothing that could");
    }

    #[test]
    fn what_is_delegated() {
        let own = own_groups("5:memory:/a/b\n4:cpu,cpuacct:/a\n3:devices:/a\n0::/u/x.service\n");
        assert_eq!(own["cpuacct"], "/a");
        let hybrid = || Hierarchies::parse(HYBRID);
        let found = hybrid().below(&own, |path| path.ends_with("/a/b"));
        let expected =
            BTreeMap::from([("memory".to_owned(), "/sys/fs/cgroup/memory/a/b".to_owned())]);
        assert_eq!(found, Hierarchies::One(expected));
        assert_eq!(hybrid().below(&own, |_| false), Hierarchies::None);
        let two = || Hierarchies::Two("/g".to_owned());
        let at = |path: &str| Hierarchies::Two(path.to_owned());
        assert_eq!(two().below(&own, |_| true), at("/g/u/x.service"));
        let aside = own_groups("0::/u/x.service/cumulet-engine\n");
        assert_eq!(two().below(&aside, |_| true), at("/g/u/x.service"));
        assert_eq!(two().below(&own_groups("0::/\n"), |_| true), at("/g"));
    }

    #[test]
    fn a_cpuset_only_if_asked_for() {
        let hybrid = Hierarchies::parse(HYBRID);
        let without = hybrid.plan("c", &Resources::default(), Vec::new());
        assert!(without.folders.iter().all(|folder| !folder.contains("cpuset")));
        let with = hybrid.plan("c", &resources(|r| r.cpuset_cpus = "0".to_owned()), Vec::new());
        assert!(with.folders.contains(&"/sys/fs/cgroup/cpuset/cumulet/c".to_owned()));
    }
}
