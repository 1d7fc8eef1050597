//! What a client may not ask for, in Docker's words, before anything is made.

use crate::caps;
use crate::config::{Config, CreateRequest, HostConfig, Resources};
use crate::error::{Error, Kind};
use crate::launch::{Security, list};
use crate::sys::process::resource;

const MEMORY_LEAST: i64 = 6 << 20;
const SIGNAL_MAX: i32 = 64;

fn not_done(what: &str) -> Result<(), Error> {
    Err(Error::new(Kind::NotDone, format!("{what} is not done")))
}

fn invalid(text: impl Into<String>) -> Result<(), Error> {
    Err(Error::invalid(text))
}

pub fn create(request: &CreateRequest) -> Result<(), Error> {
    config(&request.config)?;
    host(&request.host_config)?;
    let exposed = request.config.exposed_ports.keys();
    let published = request.host_config.port_bindings.keys();
    for port in exposed.chain(published) {
        parse_port(port)?;
    }
    Ok(())
}

/// What cannot be together with users who are others outside.
pub fn remapped(host: &HostConfig) -> Result<(), Error> {
    if host.userns_mode == "host" {
        return Ok(());
    }
    if host.privileged {
        return invalid(
            "privileged mode is incompatible with user namespaces.  You must run the container in \
             the host namespace when running privileged mode",
        );
    }
    if host.network_mode == "host" {
        return invalid(
            "cannot share the host's network namespace when user namespaces are enabled",
        );
    }
    if host.pid_mode == "host" {
        return invalid("cannot share the host PID namespace when user namespaces are enabled");
    }
    Ok(())
}

fn config(config: &Config) -> Result<(), Error> {
    if config.hostname.len() > 63 || config.hostname.contains(['/', '\0', ' ']) {
        return invalid(format!("invalid hostname format: {}", config.hostname));
    }
    for entry in &config.env {
        if entry.starts_with('=') || entry.is_empty() || entry.contains('\0') {
            return invalid(format!("invalid environment variable: {entry}"));
        }
    }
    if !config.stop_signal.is_empty() {
        signal(&config.stop_signal)?;
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        ));
    }
    if let Some(health) = &config.healthcheck {
        for (name, ns) in [
            ("Interval", health.interval),
            ("Timeout", health.timeout),
            ("StartPeriod", health.start_period),
            ("StartInterval", health.start_interval),
        ] {
            if ns != 0 && ns < 1_000_000 {
                return invalid(format!("{name} in Healthcheck cannot be less than 1ms"));
            }
        }
        if health.retries < 0 {
            return invalid("Retries in Healthcheck cannot be negative");
        }
    }
    Ok(())
}

fn host(host: &HostConfig) -> Result<(), Error> {
    refused(host)?;
    resources(&host.resources)?;
    Security::parse(host)?;
    caps::of_container(false, list(&host.cap_add), list(&host.cap_drop))?;
    restart_policy(host)?;
    if host.shm_size < 0 {
        return invalid("SHM size can not be less than 0");
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        ));
    }
    for name in host.sysctls.keys() {
        sysctl(name, host)?;
    }
    for extra in list(&host.extra_hosts) {
        let address = extra.split_once([':', '=']).map(|(_, address)| address);
        let ok = address.is_some_and(|address| {
            address == "host-gateway"
                || address.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
        });
        if !ok {
            return invalid(format!("bad format for add-host: \"{extra}\""));
        }
    }
    match host.log_config.kind.as_str() {
        "" | "json-file" | "none" | "local" => {}
        other => {
            return invalid(format!(
                "error looking up logging plugin {other}: plugin \"{other}\" not found"
            ));
        }
    }
    log_options(host)?;
    if host.network_mode == "host" && host.uts_mode == "host" && host.privileged {
        return Ok(());
    }
    match host.cgroupns_mode.as_str() {
        "" | "host" | "private" => {}
        other => return invalid(format!("invalid cgroup namespace mode: {other}")),
    }
    for (name, mode, others) in [
        ("IPC", &host.ipc_mode, &["", "none", "host", "private", "shareable"][..]),
        ("PID", &host.pid_mode, &["", "host"][..]),
        ("UTS", &host.uts_mode, &["", "host"][..]),
    ] {
        let joins =
            mode.strip_prefix("container:").is_some_and(|id| !id.is_empty()) && name != "UTS";
        if !joins && !others.contains(&mode.as_str()) {
            return invalid(format!("invalid {name} mode: {mode}"));
        }
    }
    Ok(())
}

/// What nothing here acts on is refused, not passed over.
fn refused(host: &HostConfig) -> Result<(), Error> {
    let r = &host.resources;
    match host.runtime.as_str() {
        "" | "runc" | "io.containerd.runc.v2" => {}
        other => return invalid(format!("unknown or invalid runtime name: {other}")),
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        return invalid(format!("invalid isolation ({}) on linux", host.isolation));
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return invalid(format!("invalid user namespace mode: {}", host.userns_mode));
    }
    let names_volumes = list(&host.binds).iter().any(|bind| !bind.starts_with('/'));
    if names_volumes && !matches!(host.volume_driver.as_str(), "" | "local") {
        let driver = &host.volume_driver;
        return invalid(format!(
            "error looking up volume plugin {driver}: plugin \"{driver}\" not found"
        ));
    }
    for (is, what) in [
        (!host.storage_opt.is_empty(), "HostConfig.StorageOpt"),
        (
            r.device_requests.as_ref().is_some_and(|all| !all.is_empty()),
            "HostConfig.DeviceRequests",
        ),
        (!r.cgroup_parent.is_empty(), "HostConfig.CgroupParent"),
        (r.cpu_realtime_period != 0 || r.cpu_realtime_runtime != 0, "HostConfig.CpuRealtimePeriod"),
        (!r.blkio_weight_device.is_empty(), "HostConfig.BlkioWeightDevice"),
        (r.cpu_count != 0 || r.cpu_percent != 0, "HostConfig.CpuCount"),
        (r.io_maximum_bandwidth != 0 || r.io_maximum_iops != 0, "HostConfig.IOMaximumBandwidth"),
    ] {
        if is {
            return not_done(what);
        }
    }
    Ok(())
}

pub fn resources(r: &Resources) -> Result<(), Error> {
    if r.memory != 0 && r.memory < MEMORY_LEAST {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if r.memory > 0 && r.memory_swap > 0 && r.memory_swap < r.memory {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if r.memory == 0 && r.memory_swap > 0 {
        return invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    if r.memory_reservation > 0 && r.memory_reservation < MEMORY_LEAST {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if r.memory > 0 && r.memory_reservation > r.memory {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    if r.memory_swappiness.is_some_and(|n| !(-1..=100).contains(&n)) {
        return invalid(format!(
            "invalid value: {}, valid memory swappiness range is 0-100",
            r.memory_swappiness.unwrap_or_default()
        ));
    }
    if r.nano_cpus < 0 || (r.nano_cpus > 0 && (r.cpu_period > 0 || r.cpu_quota > 0)) {
        return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get()) as i64;
    if r.nano_cpus > processors * 1_000_000_000 {
        return invalid(format!(
            "range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available"
        ));
    }
    if r.cpu_shares < 0 {
        return invalid("invalid CPU shares: value must be a positive integer");
    }
    if r.cpu_period != 0 && !(1000..=1_000_000).contains(&r.cpu_period) {
        return invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if r.cpu_quota > 0 && r.cpu_quota < 1000 {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if r.blkio_weight > 0 && !(10..=1000).contains(&r.blkio_weight) {
        return invalid("range of blkio weight is from 10 to 1000");
    }
    for limit in r.ulimits.as_deref().unwrap_or_default() {
        if resource(&limit.name).is_none() {
            return invalid(format!("invalid ulimit type: {}", limit.name));
        }
        if limit.hard != -1 && (limit.soft > limit.hard || limit.soft == -1) {
            return invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                limit.soft, limit.hard
            ));
        }
    }
    Ok(())
}

fn restart_policy(host: &HostConfig) -> Result<(), Error> {
    let policy = &host.restart_policy;
    match policy.name.as_str() {
        "" | "no" | "always" | "unless-stopped" if policy.maximum_retry_count != 0 => {
            return invalid(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'",
            );
        }
        "" | "no" => return Ok(()),
        "always" | "unless-stopped" => {}
        "on-failure" if policy.maximum_retry_count < 0 => {
            return invalid("invalid restart policy: maximum retry count cannot be negative");
        }
        "on-failure" => {}
        other => {
            return invalid(format!(
                "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', \
                 'on-failure', or 'unless-stopped'"
            ));
        }
    }
    match host.auto_remove {
        true => invalid("can't create 'AutoRemove' container with restart policy"),
        false => Ok(()),
    }
}

/// Those that a namespace of the container's own holds.
fn sysctl(name: &str, host: &HostConfig) -> Result<(), Error> {
    const IPC: [&str; 9] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.domainname",
    ];
    let refuse = |mode: &str| {
        invalid(format!("sysctl '{name}' is not allowed as {mode} namespace is not private"))
    };
    if name.starts_with("net.") {
        let own = !matches!(host.network_mode.as_str(), "host")
            && !host.network_mode.starts_with("container:");
        return if own { Ok(()) } else { refuse("network") };
    }
    if IPC.contains(&name) || name.starts_with("fs.mqueue.") {
        let own = host.ipc_mode != "host" && !host.ipc_mode.starts_with("container:");
        return if own { Ok(()) } else { refuse("ipc") };
    }
    invalid(format!("sysctl \"{name}\" is not in a separate kernel namespace"))
}

fn log_options(host: &HostConfig) -> Result<(), Error> {
    for (name, value) in &host.log_config.config {
        match name.as_str() {
            "max-size" => {
                let _ = parse_size(value).ok_or_else(|| {
                    Error::invalid(format!("invalid value for max-size: {value}"))
                })?;
            }
            "max-file" => match value.parse::<u32>() {
                Ok(1..) => {}
                _ => return invalid("max-file cannot be less than 1"),
            },
            "labels" | "labels-regex" | "env" | "env-regex" | "tag" | "compress" | "mode" => {
                return not_done(&format!("log-opt {name}"));
            }
            _ => {
                return invalid(format!("unknown log opt '{name}' for json-file log driver"));
            }
        }
    }
    Ok(())
}

/// `10m`, `1g`, `1024`; -1 and 0 are without limit.
pub fn parse_size(text: &str) -> Option<u64> {
    if text == "-1" {
        return Some(0);
    }
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(['b', 'k', 'm', 'g', 't', 'i']);
    let factor = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1u64 << 40,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

/// `80/tcp`: number and protocol.
pub fn parse_port(text: &str) -> Result<(u16, &str), Error> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let wrong = || Error::invalid(format!("invalid port specification: \"{text}\""));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(Error::invalid(format!("invalid protocol: {protocol}")));
    }
    match number.parse() {
        Ok(port) if port > 0 => Ok((port, protocol)),
        _ => Err(wrong()),
    }
}

/// `TERM`, `SIGTERM` or `15`.
pub fn signal(text: &str) -> Result<i32, Error> {
    const NAMES: [(&str, i32); 31] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("TRAP", 5),
        ("ABRT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("STKFLT", 16),
        ("CHLD", 17),
        ("CONT", 18),
        ("STOP", 19),
        ("TSTP", 20),
        ("TTIN", 21),
        ("TTOU", 22),
        ("URG", 23),
        ("XCPU", 24),
        ("XFSZ", 25),
        ("VTALRM", 26),
        ("PROF", 27),
        ("WINCH", 28),
        ("IO", 29),
        ("PWR", 30),
        ("SYS", 31),
    ];
    let wrong = || Error::invalid(format!("Invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=SIGNAL_MAX).contains(&number) { Ok(number) } else { Err(wrong()) };
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(name, _)| *name == bare) {
        return Ok(*number);
    }
    // The C library keeps the first two for itself.
    let real_time = match bare.strip_prefix("RTMIN") {
        Some(rest) => rest.parse().ok().or(rest.is_empty().then_some(0)).map(|n: i32| 34 + n),
        None => bare
            .strip_prefix("RTMAX")
            .and_then(|rest| rest.parse().ok().or(rest.is_empty().then_some(0)))
            .map(|n: i32| 64 + n),
    };
    real_time.filter(|n| (34..=64).contains(n)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, part: &str) {
        let request: CreateRequest = serde_json::from_str(body).unwrap();
        match create(&request) {
            Ok(()) => assert_eq!(part, "", "{body} was taken"),
            Err(error) => assert!(!part.is_empty() && error.text.contains(part), "{body}: {error}"),
        }
    }

    #[test]
    fn what_is_refused() {
        check("{}", "");
        check(r#"{"Env":["=x"]}"#, "invalid environment variable");
        check(r#"{"WorkingDir":"a"}"#, "needs to be an absolute path");
        check(r#"{"HostConfig":{"Memory":1000}}"#, "Minimum memory limit allowed is 6MB");
        check(r#"{"HostConfig":{"CapAdd":["NOPE"]}}"#, "invalid capability");
        check(
            r#"{"HostConfig":{"RestartPolicy":{"Name":"sometimes"}}}"#,
            "unknown policy 'sometimes'",
        );
        check(
            r#"{"HostConfig":{"RestartPolicy":{"Name":"always"},"AutoRemove":true}}"#,
            "AutoRemove",
        );
        check(r#"{"HostConfig":{"Runtime":"kata"}}"#, "unknown or invalid runtime name");
        check(r#"{"HostConfig":{"CgroupParent":"x"}}"#, "CgroupParent is not done");
        check(
            r#"{"HostConfig":{"Sysctls":{"kernel.panic":"1"}}}"#,
            "not in a separate kernel namespace",
        );
        check(r#"{"HostConfig":{"Sysctls":{"net.core.somaxconn":"1"}}}"#, "");
        check(r#"{"HostConfig":{"Ulimits":[{"Name":"nope"}]}}"#, "invalid ulimit type");
        check(r#"{"HostConfig":{"PortBindings":{"x/tcp":[]}}}"#, "invalid port specification");
        check(r#"{"HostConfig":{"IpcMode":"nope"}}"#, "invalid IPC mode");
        check(r#"{"HostConfig":{"LogConfig":{"Type":"syslog"}}}"#, "plugin \"syslog\" not found");
        check(r#"{"HostConfig":{"LogConfig":{"Config":{"max-size":"x"}}}}"#, "max-size");
    }

    #[test]
    fn signals_and_sizes() {
        for (text, number) in
            [("KILL", 9), ("SIGTERM", 15), ("sigint", 2), ("9", 9), ("RTMIN+1", 35)]
        {
            assert_eq!(signal(text).unwrap(), number, "{text}");
        }
        for bad in ["", "0", "65", "NOPE", "-1", "RTMAX+1"] {
            assert!(signal(bad).is_err(), "{bad}");
        }
        for (text, size) in
            [("10m", Some(10 << 20)), ("1g", Some(1 << 30)), ("7", Some(7)), ("x", None)]
        {
            assert_eq!(parse_size(text), size, "{text}");
        }
    }
}
