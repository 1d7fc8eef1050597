//! From what is wanted of a container to the plan of its first process, or of one that joins it.
//!
//! Pure: what has to be looked up on the machine is handed in.

use crate::caps;
use crate::config::{Config, ExecConfig, HostConfig};
use crate::error::Error;
use crate::hierarchy::Hierarchies;
use crate::plan::{
    Cgroup, Device, DeviceRule, Mount, MountFlags, NewNamespaces, Plan, Process, Propagation,
    Rlimit, Root, Source, Step,
};
use crate::seccomp;

pub const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
pub const SHM_BYTES: i64 = 64 << 20;

const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
];
const MASKED_MORE: [&str; 1] = ["/sys/firmware"];
const READONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Devices that every container has: name, major, minor.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// A mount that the client asked for, resolved: as `inspect` shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserMount {
    pub target: String,
    pub source: Source,
    pub flags: MountFlags,
}

/// Of a container whose users are others outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remapped {
    /// Which of the descriptors is its user namespace.
    pub namespace: usize,
    /// Who its root is outside.
    pub root: (u32, u32),
    /// The engine's, seen through that namespace.
    pub folder: String,
    /// The group of terminals outside.
    pub terminals: u32,
}

/// The group of terminals.
pub const TERMINALS: u32 = 5;

/// What is known of the machine and prepared for the container.
#[derive(Debug)]
pub struct Given<'a> {
    pub id: &'a str,
    pub config: &'a Config,
    pub host: &'a HostConfig,
    pub hierarchies: &'a Hierarchies,
    pub root: Root,
    /// Files of this machine that become the container's `/etc/hostname` and so on.
    pub etc_files: Vec<(String, String)>,
    pub mounts: Vec<UserMount>,
    /// Devices that the client asked for, or all with privileges.
    pub devices: Vec<Device>,
    pub device_rules: Vec<DeviceRule>,
    /// Descriptors of namespaces to join, by their place.
    pub joins: Vec<usize>,
    pub join_pid: Option<usize>,
    pub new: NewNamespaces,
    /// Whether its host name is its own.
    pub names: bool,
    pub remapped: Option<Remapped>,
    pub hostname: String,
    pub args: Vec<String>,
    pub apparmor: Option<String>,
}

/// The plan of a container's first process.
pub fn container(given: Given<'_>) -> Result<Plan, Error> {
    let (config, host) = (given.config, given.host);
    let mut rules = device_rules(host.privileged);
    rules.extend(given.device_rules.iter().cloned());
    let cgroup = given.hierarchies.plan(given.id, &host.resources, rules);
    let mut steps = vec![Step::Cgroup(cgroup)];
    if host.oom_score_adj != 0 {
        steps.push(Step::OomScore(host.oom_score_adj));
    }
    steps.extend(given.joins.iter().map(|at| Step::Join(*at)));
    if given.new.cgroup {
        steps.push(Step::UnshareCgroup);
    }
    steps.push(Step::PrivateMounts);
    if let Some(remapped) = &given.remapped {
        let (uid, gid) = remapped.root;
        let (folder, namespace) = (remapped.folder.clone(), remapped.namespace);
        steps.extend([Step::Owner { uid, gid }, Step::Remap { folder, namespace }]);
    }
    steps.push(Step::Root(given.root.clone()));
    for mount in all_mounts(&given) {
        // The nodes go in before anything of the client's can lie over them.
        let is_dev = mount.target == "/dev";
        steps.push(Step::Mount(mount));
        if is_dev {
            steps.extend(dev(&given.devices));
        }
    }
    if config.tty {
        let [rows, columns] = host.console_size;
        steps.push(Step::Terminal { console: true, size: (rows, columns) });
    }
    if given.names {
        steps.push(Step::Hostname(given.hostname.clone()));
        if !config.domainname.is_empty() {
            steps.push(Step::Domainname(config.domainname.clone()));
        }
    }
    if !host.sysctls.is_empty() {
        steps.push(Step::Sysctls(host.sysctls.clone()));
    }
    steps.push(Step::Pivot);
    if !host.privileged {
        steps.push(Step::ReadonlyPaths(readonly_paths(host, given.hierarchies)));
        steps.push(Step::MaskedPaths(masked_paths(host)));
    }
    if host.readonly_rootfs {
        steps.push(Step::ReadonlyRoot);
    }
    steps.push(Step::Rlimits(rlimits(host)));
    steps.push(Step::Umask(0o022));
    steps.push(Step::Session);
    if let Some(remapped) = &given.remapped {
        steps.push(Step::Become { namespace: remapped.namespace, new_mounts: true });
    }
    let security = Security::parse(host)?;
    let held = caps::of_container(host.privileged, list(&host.cap_add), list(&host.cap_drop))?;
    steps.push(Step::Process(Process {
        args: given.args.clone(),
        env: environment(config, &given.hostname, config.tty),
        cwd: folder(&config.working_dir),
        user: config.user.clone(),
        additional_groups: list(&host.group_add).to_vec(),
        seccomp: security.filter(host.privileged, &held)?,
        capabilities: held,
        no_new_privileges: security.no_new_privileges,
        apparmor: given.apparmor.filter(|_| !host.privileged),
        init: host.init == Some(true),
    }));
    Ok(Plan { new: given.new, join_pid: given.join_pid, steps })
}

/// The plan of a further process in a container that runs. Descriptor 0 is the container's first
/// process, descriptor 1 its PID namespace, descriptor 2 its user namespace, if its root is somebody else outside.
pub fn joining(
    exec: &ExecConfig,
    config: &Config,
    host: &HostConfig,
    folders: Vec<String>,
    hostname: &str,
    root: Option<(u32, u32)>,
) -> Result<Plan, Error> {
    let cgroup = Cgroup { folders, ..Cgroup::default() };
    let mut steps = vec![Step::Cgroup(cgroup), Step::JoinAll(0)];
    if let Some((uid, gid)) = root {
        steps.push(Step::Owner { uid, gid });
    }
    if exec.tty {
        let [rows, columns] = exec.console_size.unwrap_or_default();
        steps.push(Step::Terminal { console: false, size: (rows, columns) });
    }
    steps.push(Step::Rlimits(rlimits(host)));
    steps.push(Step::Umask(0o022));
    steps.push(Step::Session);
    if root.is_some() {
        steps.push(Step::Become { namespace: 2, new_mounts: false });
    }
    let privileged = exec.privileged || host.privileged;
    let held = caps::of_container(privileged, list(&host.cap_add), list(&host.cap_drop))?;
    let security = Security::parse(host)?;
    let mut env = environment(config, hostname, exec.tty);
    for entry in &exec.env {
        set_env(&mut env, entry);
    }
    let cwd = if exec.working_dir.is_empty() { &config.working_dir } else { &exec.working_dir };
    steps.push(Step::Process(Process {
        args: exec.cmd.clone().unwrap_or_default(),
        env,
        cwd: folder(cwd),
        user: if exec.user.is_empty() { config.user.clone() } else { exec.user.clone() },
        additional_groups: list(&host.group_add).to_vec(),
        seccomp: security.filter(privileged, &held)?,
        capabilities: held,
        no_new_privileges: security.no_new_privileges,
        apparmor: None,
        init: false,
    }));
    Ok(Plan { new: NewNamespaces::default(), join_pid: Some(1), steps })
}

/// What the client's list holds; none is none.
pub fn list(list: &Option<Vec<String>>) -> &[String] {
    list.as_deref().unwrap_or_default()
}

fn folder(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

fn set_env(env: &mut Vec<String>, entry: &str) {
    let name = entry.split('=').next().unwrap_or_default();
    env.retain(|old| old.split('=').next() != Some(name));
    // A name alone takes it away.
    if entry.contains('=') {
        env.push(entry.to_owned());
    }
}

fn environment(config: &Config, hostname: &str, terminal: bool) -> Vec<String> {
    let mut env = vec![DEFAULT_PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if terminal {
        env.push("TERM=xterm".to_owned());
    }
    for entry in &config.env {
        set_env(&mut env, entry);
    }
    env
}

fn device_rules(privileged: bool) -> Vec<DeviceRule> {
    let rule = |allow, kind, major, minor, access: &str| DeviceRule {
        allow,
        kind,
        major,
        minor,
        access: access.to_owned(),
    };
    if privileged {
        return vec![rule(true, 'a', None, None, "rwm")];
    }
    let mut rules = vec![
        rule(false, 'a', None, None, "rwm"),
        rule(true, 'c', None, None, "m"),
        rule(true, 'b', None, None, "m"),
        // Terminals, and what makes them.
        rule(true, 'c', Some(136), None, "rwm"),
        rule(true, 'c', Some(5), Some(2), "rwm"),
    ];
    rules.extend(
        DEVICES.iter().map(|(_, major, minor)| rule(true, 'c', Some(*major), Some(*minor), "rwm")),
    );
    rules
}

fn dev(devices: &[Device]) -> Vec<Step> {
    let standard = DEVICES.iter().map(|(name, major, minor)| Device {
        path: format!("/dev/{name}"),
        from: String::new(),
        kind: 'c',
        major: *major,
        minor: *minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    });
    let mut steps: Vec<Step> = standard.map(Step::Device).collect();
    let is_standard = |path: &str| DEVICES.iter().any(|(name, ..)| path == format!("/dev/{name}"));
    let more = devices.iter().filter(|device| !is_standard(&device.path));
    steps.extend(more.cloned().map(Step::Device));
    for (path, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/core", "/proc/kcore"),
        ("/dev/ptmx", "pts/ptmx"),
    ] {
        steps.push(Step::Symlink(path.to_owned(), to.to_owned()));
    }
    steps
}

fn fs(kind: &str, target: &str, options: &[(&str, &str)], flags: MountFlags) -> Mount {
    let option = |(key, value): &(&str, &str)| {
        let value = Some((*value).to_owned()).filter(|value| !value.is_empty());
        ((*key).to_owned(), value)
    };
    Mount {
        target: target.to_owned(),
        source: Source::Fs(kind.to_owned(), options.iter().map(option).collect()),
        flags,
    }
}

/// Those that every container has, and then the client's, the outer ones first.
fn all_mounts(given: &Given<'_>) -> Vec<Mount> {
    let host = given.host;
    let strict = MountFlags { nosuid: true, noexec: true, nodev: true, ..MountFlags::default() };
    let devices = MountFlags { nosuid: true, strictatime: true, ..MountFlags::default() };
    let terminals = given.remapped.as_ref().map_or(TERMINALS, |it| it.terminals).to_string();
    let pts = MountFlags { nosuid: true, noexec: true, ..MountFlags::default() };
    let sys = MountFlags { readonly: !host.privileged, ..strict };
    let shm = if host.shm_size > 0 { host.shm_size } else { SHM_BYTES };
    let mut all = vec![
        fs("proc", "/proc", &[], strict),
        fs("tmpfs", "/dev", &[("mode", "755"), ("size", "65536k")], devices),
        fs(
            "devpts",
            "/dev/pts",
            &[("ptmxmode", "0666"), ("mode", "0620"), ("gid", &terminals)],
            pts,
        ),
        fs("sysfs", "/sys", &[], sys),
    ];
    all.extend(cgroup_mounts(given, strict));
    all.push(fs("mqueue", "/dev/mqueue", &[], strict));
    if !matches!(host.ipc_mode.as_str(), "host" | "none") && !host.ipc_mode.starts_with("container")
    {
        let size = shm.to_string();
        all.push(fs("tmpfs", "/dev/shm", &[("mode", "1777"), ("size", &size)], strict));
    }
    let overrides = |target: &str| given.mounts.iter().any(|mount| mount.target == target);
    all.retain(|mount| !overrides(&mount.target));
    let mut asked: Vec<Mount> = given
        .etc_files
        .iter()
        .filter(|(_, target)| !overrides(target))
        .map(|(path, target)| Mount {
            target: target.clone(),
            source: Source::Bind {
                path: path.clone(),
                recursive: false,
                propagation: Propagation::Private,
            },
            flags: MountFlags::default(),
        })
        .collect();
    asked.extend(given.mounts.iter().map(|mount| Mount {
        target: mount.target.clone(),
        source: mount.source.clone(),
        flags: mount.flags,
    }));
    asked.sort_by_key(|mount| mount.target.matches('/').count());
    all.extend(asked);
    all
}

fn cgroup_mounts(given: &Given<'_>, strict: MountFlags) -> Vec<Mount> {
    const AT: &str = "/sys/fs/cgroup";
    let flags = MountFlags { readonly: !given.host.privileged, ..strict };
    match given.hierarchies {
        Hierarchies::None => Vec::new(),
        Hierarchies::Two(_) if given.new.cgroup => vec![fs("cgroup2", AT, &[], flags)],
        Hierarchies::Two(root) => vec![Mount {
            target: AT.to_owned(),
            source: Source::Bind {
                path: root.clone(),
                recursive: true,
                propagation: Propagation::Private,
            },
            flags,
        }],
        Hierarchies::One(_) => {
            let mut all = vec![fs("tmpfs", AT, &[("mode", "755")], strict)];
            for (controller, folder) in given.hierarchies.folders(given.id) {
                let target = format!("{AT}/{controller}");
                let source = Source::Bind {
                    path: folder,
                    recursive: false,
                    propagation: Propagation::Private,
                };
                all.push(Mount { target, source, flags });
            }
            all
        }
    }
}

fn readonly_paths(host: &HostConfig, hierarchies: &Hierarchies) -> Vec<String> {
    let mut paths = match &host.readonly_paths {
        Some(paths) => paths.clone(),
        None => READONLY.map(str::to_owned).to_vec(),
    };
    if matches!(hierarchies, Hierarchies::One(_)) {
        paths.push("/sys/fs/cgroup".to_owned());
    }
    paths
}

fn masked_paths(host: &HostConfig) -> Vec<String> {
    match &host.masked_paths {
        Some(paths) => paths.clone(),
        None => default_masked_paths(),
    }
}

/// As `inspect` shows them.
pub fn default_masked_paths() -> Vec<String> {
    MASKED.iter().chain(&MASKED_MORE).map(|path| (*path).to_owned()).collect()
}

pub fn default_readonly_paths() -> Vec<String> {
    READONLY.map(str::to_owned).to_vec()
}

fn rlimits(host: &HostConfig) -> Vec<Rlimit> {
    let number = |n: i64| u64::try_from(n).ok();
    let ulimits = host.resources.ulimits.as_deref().unwrap_or_default();
    ulimits
        .iter()
        .map(|limit| Rlimit {
            name: limit.name.clone(),
            soft: number(limit.soft),
            hard: number(limit.hard),
        })
        .collect()
}

/// `--security-opt`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Security {
    pub no_new_privileges: bool,
    pub seccomp_unconfined: bool,
    /// A profile of the client's.
    pub seccomp: Option<String>,
    pub apparmor: Option<String>,
    pub systempaths_unconfined: bool,
}

impl Security {
    pub fn parse(host: &HostConfig) -> Result<Security, Error> {
        let mut security = Security::default();
        let selinux = std::path::Path::new("/sys/fs/selinux/enforce").exists();
        for option in list(&host.security_opt) {
            let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
            match (name, value) {
                ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
                ("no-new-privileges", "false") => security.no_new_privileges = false,
                ("seccomp", "unconfined") => security.seccomp_unconfined = true,
                ("seccomp", "builtin" | "") => {}
                ("seccomp", profile) => {
                    seccomp::profile::filter(profile, &[])?;
                    security.seccomp = Some(profile.to_owned());
                }
                ("apparmor", profile) => security.apparmor = Some(profile.to_owned()),
                // Labels are SELinux's; where it is not on, they mean nothing to dockerd either.
                ("label", _) if !selinux => {}
                ("label", _) => {
                    let text = "SELinux labels are not done; this machine has SELinux on";
                    return Err(Error::new(crate::error::Kind::NotDone, text));
                }
                _ if option == "disable" && !selinux => {}
                ("systempaths", "unconfined") => security.systempaths_unconfined = true,
                _ => return Err(Error::invalid(format!("invalid --security-opt 2: \"{option}\""))),
            }
        }
        Ok(security)
    }

    fn filter(&self, privileged: bool, held: &[u8]) -> Result<Vec<seccomp::Instruction>, Error> {
        match &self.seccomp {
            _ if self.seccomp_unconfined => Ok(Vec::new()),
            // Also with all privileges, as it was asked for.
            Some(profile) => seccomp::profile::filter(profile, held),
            None if privileged => Ok(Vec::new()),
            None => Ok(seccomp::default_filter(held)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given<'a>(config: &'a Config, host: &'a HostConfig, h: &'a Hierarchies) -> Given<'a> {
        Given {
            id: "c",
            config,
            host,
            hierarchies: h,
            root: Root {
                at: "/r".into(),
                lower: vec!["/l".into()],
                upper: "/u".into(),
                work: "/w".into(),
                tree: String::new(),
            },
            etc_files: vec![("/d/hosts".into(), "/etc/hosts".into())],
            mounts: Vec::new(),
            devices: Vec::new(),
            device_rules: Vec::new(),
            joins: vec![0],
            join_pid: None,
            new: NewNamespaces { pid: true, ipc: true, uts: true, ..NewNamespaces::default() },
            names: true,
            remapped: None,
            hostname: "h".into(),
            args: vec!["sh".into()],
            apparmor: None,
        }
    }

    fn place(plan: &Plan, which: impl Fn(&Step) -> bool) -> usize {
        plan.steps.iter().position(which).expect("the step is there")
    }

    #[test]
    fn the_order_of_things() {
        let (config, host) = (Config { tty: true, ..Config::default() }, HostConfig::default());
        let plan = container(given(&config, &host, &Hierarchies::None)).unwrap();
        let pivot = place(&plan, |s| *s == Step::Pivot);
        let root = place(&plan, |s| matches!(s, Step::Root(_)));
        let private = place(&plan, |s| *s == Step::PrivateMounts);
        let masks = place(&plan, |s| matches!(s, Step::MaskedPaths(_)));
        let terminal = place(&plan, |s| matches!(s, Step::Terminal { .. }));
        assert!(private < root && root < terminal && terminal < pivot && pivot < masks);
        assert!(matches!(plan.steps[0], Step::Cgroup(_)));
        assert!(matches!(plan.steps.last(), Some(Step::Process(_))));
    }

    #[test]
    fn the_clients_mounts_win() {
        let (config, host) = (Config::default(), HostConfig::default());
        let mut given = given(&config, &host, &Hierarchies::None);
        let bind = |target: &str| UserMount {
            target: target.to_owned(),
            source: Source::Bind {
                path: "/x".to_owned(),
                recursive: true,
                propagation: Propagation::Private,
            },
            flags: MountFlags::default(),
        };
        given.mounts = vec![bind("/a/b"), bind("/etc/hosts"), bind("/a"), bind("/dev/shm")];
        let targets: Vec<String> = all_mounts(&given).into_iter().map(|m| m.target).collect();
        let at = |name: &str| targets.iter().position(|target| target == name).unwrap();
        assert!(at("/a") < at("/a/b"));
        for once in ["/etc/hosts", "/dev/shm"] {
            assert_eq!(targets.iter().filter(|target| *target == once).count(), 1, "{once}");
        }
    }

    #[test]
    fn the_environment() {
        let config =
            Config { env: vec!["A=1".into(), "PATH=/x".into(), "A=2".into()], ..Config::default() };
        let env = environment(&config, "h", true);
        assert_eq!(env, ["HOSTNAME=h", "TERM=xterm", "PATH=/x", "A=2"]);
    }

    #[test]
    fn security_options() {
        let parse = |option: &str| {
            let security_opt = Some(vec![option.to_owned()]);
            Security::parse(&HostConfig { security_opt, ..HostConfig::default() })
        };
        assert!(parse("no-new-privileges").unwrap().no_new_privileges);
        assert!(parse("no-new-privileges:true").unwrap().no_new_privileges);
        assert!(parse("seccomp=unconfined").unwrap().seccomp_unconfined);
        assert_eq!(parse("seccomp={}").unwrap_err().kind, crate::error::Kind::Invalid);
        let profile = r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#;
        assert!(parse(profile).unwrap().seccomp.is_some());
        assert_eq!(parse("label=type:svirt_apache_t").unwrap(), Security::default());
        assert_eq!(parse("nonsense").unwrap_err().kind, crate::error::Kind::Invalid);
    }

    #[test]
    fn privileges_take_the_walls_down() {
        let host = HostConfig { privileged: true, ..HostConfig::default() };
        let config = Config::default();
        let plan = container(given(&config, &host, &Hierarchies::None)).unwrap();
        assert!(!plan.steps.iter().any(|step| matches!(step, Step::MaskedPaths(_))));
        let Some(Step::Process(process)) = plan.steps.last() else { panic!("no process") };
        assert!(process.seccomp.is_empty() && process.capabilities.len() == 41);
    }
}
