//! `cumulet doctor`: what this kernel and user can do, what is missing and how to get it, and whether
//! the data is whole.

use crate::descriptors;
use crate::doors::SOCKETS;
use crate::exit::{self, Failure};
use crate::settings::Config;
use crate::up;
use engine::hierarchy::Hierarchies;
use engine::rootless;
use std::io::IsTerminal;
use std::path::Path;

/// What a look at one thing gave.
struct Finding {
    what: &'static str,
    /// `Err` says what is missing and how to get it.
    state: Result<String, String>,
    /// Without it nothing runs; everything else is for parts of the cloud.
    needed: bool,
}

fn read(path: &str) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "the kernel tells about itself in files")]
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

pub fn run(config: &Config, check_data: bool) -> Result<(), Failure> {
    let findings = [
        kernel(),
        user(),
        holds(config),
        open_files(config),
        address(config),
        space(config),
        namespaces(),
        overlay(),
        cgroups(),
        firewall(),
        engines(),
    ];
    let colour = std::io::stdout().is_terminal();
    let mut needed = 0;
    for Finding { what, state, needed: is_needed } in findings {
        let (mark, code, text) = match (&state, is_needed) {
            (Ok(text), _) => ("ok     ", "\x1b[32m", text),
            (Err(text), true) => ("MISSING", "\x1b[31m", text),
            (Err(text), false) => ("without", "\x1b[33m", text),
        };
        needed += usize::from(state.is_err() && is_needed);
        let (on, off) = if colour { (code, "\x1b[0m") } else { ("", "") };
        println!("{on}{mark}{off}  {what:<12} {text}");
    }
    if check_data {
        check(config)?;
    }
    match needed {
        0 => Ok(()),
        n => Err(Failure::new(exit::FAILED, format!("{n} needed things are missing"))),
    }
}

/// Reads everything in the data folder.
fn check(config: &Config) -> Result<(), Failure> {
    let data = config.data.display();
    let found = up::with_store(config, |store| {
        store.check().map_err(|error| Failure::new(exit::DATA, error.to_string()))
    })?;
    println!(
        "data         {data}: {} rows, {} blobs, {} bytes",
        found.rows, found.blobs, found.blob_bytes
    );
    for problem in &found.problems {
        println!("damaged      {problem}");
    }
    match found.problems.len() {
        0 => Ok(()),
        n => {
            let text =
                format!("{n} problems in {data}; restore a snapshot (cumulet snapshot restore)");
            Err(Failure::new(exit::DATA, text))
        }
    }
}

fn finding(what: &'static str, needed: bool, state: Result<String, String>) -> Finding {
    Finding { what, state, needed }
}

fn kernel() -> Finding {
    let release = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut parts = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let state = match version >= (5, 10) {
        true => Ok(release),
        false => Err(format!("{release}: Linux 5.10 or later is needed")),
    };
    finding("kernel", true, state)
}

fn user() -> Finding {
    let account = rootless::Account::own();
    let state = match rustix::process::geteuid().is_root() {
        true => Ok("root".to_owned()),
        false => without_root(&account.name, &rootless::missing(&account)),
    };
    finding("user", false, state)
}

fn without_root(name: &str, missing: &[String]) -> Result<String, String> {
    match missing {
        [] => Ok(format!("{name}, not root; containers without root: {}", rootless::limits())),
        missing => Err(format!("{name}, not root; for containers it lacks {}", missing.join("; "))),
    }
}

/// What the cloud that holds the data folder may do, and the processes that belong to it.
fn holds(config: &Config) -> Finding {
    let cloud = crate::client::holder(config)
        .and_then(|text| text.split(' ').nth(1).and_then(|pid| pid.parse::<u32>().ok()));
    let text = match cloud {
        None => "no cloud runs on this data".to_owned(),
        Some(cloud) => {
            let mut all = vec![held("cloud", cloud)];
            all.extend(children(cloud).map(|pid| held("keeper of ports", pid)));
            let helper = engine::helper::running(&config.data.join(SOCKETS));
            let helper = helper.and_then(|path| path.file_name()?.to_str()?.parse().ok());
            all.extend(helper.map(|pid| held("helper of containers", pid)));
            all.join("; ")
        }
    };
    finding("privileges", false, Ok(text))
}

/// Of a process, those that were split off it and run nothing else.
fn children(parent: u32) -> impl Iterator<Item = u32> {
    #[allow(clippy::disallowed_methods, reason = "the kernel tells about itself in files")]
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter(move |pid| {
        let of = |pid: u32, file: &str| read(&format!("/proc/{pid}/{file}")).unwrap_or_default();
        let status = of(*pid, "status");
        let is_child = field(&status, "PPid").and_then(|text| text.parse().ok()) == Some(parent);
        is_child && of(*pid, "cmdline") == of(parent, "cmdline")
    })
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

fn held(what: &str, pid: u32) -> String {
    let status = read(&format!("/proc/{pid}/status")).unwrap_or_default();
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let is_apart = namespace(&pid.to_string()) != namespace("self");
    format!("{what}, process {pid}: {}", privileges(&status, is_apart))
}

/// As the kernel's `status` of a process says.
fn privileges(status: &str, is_apart: bool) -> String {
    let uid = field(status, "Uid").and_then(|all| all.split_whitespace().nth(1)).unwrap_or("?");
    let held = field(status, "CapEff").and_then(|text| u64::from_str_radix(text, 16).ok());
    let held = held.unwrap_or_default();
    if is_apart && uid != "0" {
        return format!("user {uid}, nothing of root's outside of its own namespace");
    }
    let names: Vec<String> =
        (0..64).filter(|n| held >> n & 1 == 1).filter_map(engine::caps::name).collect();
    let who = if uid == "0" { "root".to_owned() } else { format!("user {uid}") };
    match names.len() {
        0 => format!("{who}, no capabilities"),
        1..=8 => format!("{who}, {}", names.join(" ").to_ascii_lowercase()),
        n => format!("{who}, {n} capabilities"),
    }
}

fn open_files(config: &Config) -> Finding {
    let most = descriptors::most();
    let state = match (descriptors::remark(config.connections, most), most) {
        (Some(remark), _) => Err(remark),
        (None, Some(n)) => Ok(format!("{n} open files")),
        (None, None) => Ok("no limit of open files".to_owned()),
    };
    finding("limits", false, state)
}

fn address(config: &Config) -> Finding {
    let listen = config.listen;
    let state = match std::net::TcpListener::bind(listen) {
        Ok(_) => Ok(format!("{listen} is free")),
        Err(error) => match crate::client::holder(config) {
            Some(holder) => Ok(format!("{listen} is taken, by us: {holder}")),
            None => Err(format!("{listen}: {error}; choose another with --listen")),
        },
    };
    finding("address", false, state)
}

/// The folder itself or the nearest one above it that is there.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"))
}

fn space(config: &Config) -> Finding {
    let data = &config.data;
    let state = match rustix::fs::statvfs(nearest(data)) {
        Ok(stat) => {
            let mb = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
            match mb {
                0..256 => Err(format!("{mb} MB left for {}: writes need 256 MB", data.display())),
                _ => Ok(format!("{mb} MB left for {}", data.display())),
            }
        }
        Err(error) => Err(format!("{}: {error}", data.display())),
    };
    finding("disk", true, state)
}

fn namespaces() -> Finding {
    let most = read("/proc/sys/user/max_user_namespaces").and_then(|n| n.parse::<u64>().ok());
    let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let state = match (most, restricted.as_deref()) {
        (None | Some(0), _) => {
            Err("no user namespaces; `sysctl user.max_user_namespaces=15000`".into())
        }
        (_, Some("1")) if !rustix::process::geteuid().is_root() => {
            Err("user namespaces are for root only; \
             `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
                .to_owned())
        }
        (Some(n), _) => Ok(format!("{n} user namespaces")),
    };
    finding("namespaces", false, state)
}

fn overlay() -> Finding {
    let known = read("/proc/filesystems").unwrap_or_default();
    let state = match known.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        true => Ok("overlay file systems".to_owned()),
        false => {
            Err("no overlay file systems: files of containers are copied; `modprobe overlay`"
                .into())
        }
    };
    finding("overlayfs", false, state)
}

fn cgroups() -> Finding {
    if !rustix::process::geteuid().is_root() && Hierarchies::delegated() == Hierarchies::None {
        let text = "none are delegated to this user: no limits for containers; a unit of systemd \
                    has them with `Delegate=yes`, and root gives them with `cumulet up --user`";
        return finding("cgroups", false, Err(text.to_owned()));
    }
    finding("cgroups", false, limits(&Hierarchies::detect(), read))
}

/// What limits containers here, as the engine sees it.
fn limits(found: &Hierarchies, read: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (version, controllers) = match found {
        Hierarchies::Two(root) => {
            let all = read(&format!("{root}/cgroup.controllers")).unwrap_or_default();
            (2, all.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        }
        Hierarchies::One(all) => (1, all.keys().cloned().collect()),
        Hierarchies::None => {
            return Err("no control groups are mounted: no limits for containers; \
                        `mount -t cgroup2 none /sys/fs/cgroup`"
                .to_owned());
        }
    };
    let lacks: Vec<_> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|c| !controllers.iter().any(|own| own == c))
        .collect();
    match lacks[..] {
        [] => Ok(format!("version {version}: {}", controllers.join(" "))),
        _ => Err(format!(
            "version {version} without {}: no such limits for containers; the kernel's command line \
             may turn them on (cgroup_enable=memory)",
            lacks.join(", ")
        )),
    }
}

fn firewall() -> Finding {
    let loaded = Path::new("/sys/module/nf_tables").exists();
    let built_in = read("/proc/kallsyms").is_some_and(|all| all.contains(" nft_"));
    let state = match loaded || built_in {
        true => Ok("nf_tables".to_owned()),
        false => {
            Err("no nf_tables: no published ports or security groups; `modprobe nf_tables`"
                .to_owned())
        }
    };
    finding("firewall", false, state)
}

/// Networks and control groups of engines that were killed and whose data folder nobody opens again.
fn engines() -> Finding {
    let state = match rustix::process::geteuid().is_root() {
        false => Err("only root sees what engines have left in the kernel".to_owned()),
        true => Ok(left_behind(&engine::claim::sweep())),
    };
    finding("engines", false, state)
}

fn left_behind(swept: &engine::claim::Swept) -> String {
    let alive = format!("{} running", swept.alive.len());
    match swept.gone.as_slice() {
        [] => format!("{alive}, nothing left of others"),
        gone => {
            format!("{alive}; cleared up after {} that had died: {}", gone.len(), gone.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_holds() {
        let check = |uid: u32, held: &str, is_apart: bool, expected: &str| {
            let status = format!("Name:\tcumulet\nUid:\t{uid}\t{uid}\t1\t1\nCapEff:\t{held}\n");
            assert_eq!(privileges(&status, is_apart), expected);
        };
        check(0, "000001ffffffffff", false, "root, 41 capabilities");
        check(0, "0000000000000400", false, "root, cap_net_bind_service");
        check(7, "0000000000000000", false, "user 7, no capabilities");
        let apart = "user 7, nothing of root's outside of its own namespace";
        check(7, "000001ffffffffff", true, apart);
    }

    #[test]
    fn what_a_user_lacks() {
        assert!(
            without_root("me", &[]).unwrap().starts_with("me, not root; containers without root")
        );
        let missing = ["a".to_owned(), "b".to_owned()];
        let text = "me, not root; for containers it lacks a; b";
        assert_eq!(without_root("me", &missing).unwrap_err(), text);
    }

    #[test]
    fn what_died_is_named() {
        let swept = |gone: &[&str]| engine::claim::Swept {
            alive: vec!["a".to_owned()],
            gone: gone.iter().map(|mark| (*mark).to_owned()).collect(),
        };
        assert_eq!(left_behind(&swept(&[])), "1 running, nothing left of others");
        let text = left_behind(&swept(&["b", "c"]));
        assert_eq!(text, "1 running; cleared up after 2 that had died: b c");
    }

    #[test]
    fn control_groups_of_every_kind() {
        let one = |names: &[&str]| {
            let all = names.iter().map(|name| ((*name).to_owned(), format!("/cg/{name}")));
            Hierarchies::One(all.collect())
        };
        let two = Hierarchies::Two("/cg".into());
        let text = |found: &Hierarchies, controllers: Option<&str>| {
            let read = |path: &str| {
                assert_eq!(path, "/cg/cgroup.controllers");
                controllers.map(str::to_owned)
            };
            limits(found, read)
        };
        assert_eq!(text(&two, Some("cpu memory pids")), Ok("version 2: cpu memory pids".into()));
        let full = one(&["cpu", "devices", "memory", "pids"]);
        assert_eq!(text(&full, None), Ok("version 1: cpu devices memory pids".into()));
        for (found, controllers, part) in [
            (&two, Some("cpu pids"), "version 2 without memory"),
            (&two, None, "version 2 without cpu, memory, pids"),
            (&one(&["pids", "systemd"]), None, "version 1 without cpu, memory"),
            (&Hierarchies::None, None, "no control groups are mounted"),
        ] {
            let said = text(found, controllers).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
    }
}
