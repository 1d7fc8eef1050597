//! Capabilities by name, and those that a container has unless it is told otherwise.

use crate::error::Error;

/// All by number.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// As it is written everywhere.
pub fn name(number: u32) -> Option<String> {
    NAMES.get(number as usize).map(|name| format!("CAP_{name}"))
}

const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
];

/// The number of a capability: `CAP_NET_ADMIN` or `net_admin`.
pub fn number(name: &str) -> Option<u8> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == bare).map(|at| at as u8)
}

fn parse(name: &str) -> Result<u8, Error> {
    number(name).ok_or_else(|| Error::invalid(format!("invalid capability: \"{name}\"")))
}

/// Those of a container: the default ones, without `drop`, with `add`. `ALL` means all.
pub fn of_container(privileged: bool, add: &[String], drop: &[String]) -> Result<Vec<u8>, Error> {
    let all = || (0..NAMES.len() as u8).collect::<Vec<_>>();
    if privileged {
        return Ok(all());
    }
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    let dropped =
        drop.iter().filter(|n| !is_all(n)).map(|n| parse(n)).collect::<Result<Vec<_>, _>>()?;
    let added =
        add.iter().filter(|n| !is_all(n)).map(|n| parse(n)).collect::<Result<Vec<_>, _>>()?;
    let mut held: Vec<u8> = if add.iter().any(is_all) {
        all()
    } else if drop.iter().any(is_all) {
        Vec::new()
    } else {
        DEFAULT.iter().filter_map(|name| number(name)).collect()
    };
    held.retain(|n| !dropped.contains(n));
    // What is named beats `ALL` and, as Docker has it, what is dropped.
    held.extend(added);
    held.sort_unstable();
    held.dedup();
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(add: &[&str], drop: &[&str], has: &[&str], lacks: &[&str]) {
        let own = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let held = of_container(false, &own(add), &own(drop)).unwrap();
        for name in has {
            assert!(held.contains(&number(name).unwrap()), "{add:?} {drop:?} {name}");
        }
        for name in lacks {
            assert!(!held.contains(&number(name).unwrap()), "{add:?} {drop:?} {name}");
        }
    }

    #[test]
    fn added_and_dropped() {
        check(&[], &[], &["chown", "CAP_MKNOD"], &["SYS_ADMIN", "NET_ADMIN"]);
        check(&["sys_admin"], &["MKNOD"], &["SYS_ADMIN", "CHOWN"], &["MKNOD"]);
        check(&["ALL"], &["SYS_ADMIN"], &["SYS_TIME"], &["SYS_ADMIN"]);
        check(&["CHOWN"], &["ALL"], &["CHOWN"], &["FOWNER", "SETUID"]);
        assert!(of_container(false, &["NONSENSE".into()], &[]).is_err());
        assert_eq!(of_container(true, &[], &[]).unwrap().len(), 41);
    }
}
