//! Limits, and what a container may do with devices.

use super::engine::{Engine, PATIENCE_S, counted, group};
use super::{Check, contains, equal, read, until};

pub const CHECKS: &[Check] = &[
    ("version 2 alone is there, and told", version),
    ("memory", memory),
    ("what takes too much memory is killed, and that is told", out_of_memory),
    ("processors: quota, period and weight", processors),
    ("a quota is kept", throttled),
    ("the number of processes", pids),
    ("which processors", cpuset),
    ("weight of the disk", io_weight),
    ("speed of the disk", io_speed),
    ("settings that only version 1 has are told of and left out", of_version_one),
    ("new limits while it runs", update),
    ("devices that are not its own are refused", devices),
    ("devices that it was given, for what it was given them", given_devices),
    ("a privileged container has all devices", privileged),
    ("its group is its root, and it cannot change it", namespace),
];

fn version(engine: &mut Engine) -> Result<(), String> {
    let mounts = read("/proc/self/mountinfo")?;
    equal("mounts of version 1", mounts.lines().filter(|l| l.contains(" - cgroup ")).count(), 0)?;
    let info = engine.docker(&["info", "--format", "{{.CgroupVersion}} {{.CgroupDriver}}"])?;
    equal("docker info", info.as_str(), "2 cgroupfs")?;
    let doctor = super::ran(std::process::Command::new("/usr/bin/cumulet").arg("doctor"))?;
    let line = doctor.lines().find(|line| line.contains("cgroups")).unwrap_or_default();
    contains("doctor", line, "ok")?;
    ["version 2", "cpu", "cpuset", "io", "memory", "pids"]
        .iter()
        .try_for_each(|part| contains("doctor", line, part))
}

fn memory(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&["-m", "64m", "--memory-reservation", "32m"])?;
    equal("memory.max", group(&id, "memory.max")?.as_str(), "67108864")?;
    // As much again may be swapped where nothing is said.
    equal("memory.swap.max", group(&id, "memory.swap.max")?.as_str(), "67108864")?;
    equal("memory.low", group(&id, "memory.low")?.as_str(), "33554432")?;
    let inside = engine.exec(&id, &["cat", "/sys/fs/cgroup/memory.max"])?;
    equal("memory.max, seen inside", inside.as_str(), "67108864")?;
    let none = engine.sleeper(&["-m", "64m", "--memory-swap", "64m"])?;
    equal("no swap", group(&none, "memory.swap.max")?.as_str(), "0")?;
    let all = engine.sleeper(&["-m", "64m", "--memory-swap", "-1"])?;
    equal("any swap", group(&all, "memory.swap.max")?.as_str(), "max")?;
    let free = engine.sleeper(&[])?;
    equal("no limit", group(&free, "memory.max")?.as_str(), "max")
}

/// `tail` keeps what has no end of a line.
const HUNGRY: &str = "head -c 100000000 /dev/zero | tail > /dev/null";

fn out_of_memory(engine: &mut Engine) -> Result<(), String> {
    let limit = ["-m", "16m", "--memory-swap", "16m"];
    let first = ["run", "--name", "first", limit[0], limit[1], limit[2], limit[3], "busybox"];
    // The shell becomes it, so that it is the first process that is killed.
    let (code, _) = engine.ended(&[&first[..], &["tail", "/dev/zero"]].concat())?;
    equal("exit code", code, 137)?;
    equal("told", engine.inspect("first", "{{.State.OOMKilled}}")?.as_str(), "true")?;
    let id = engine.sleeper(&limit)?;
    let (code, _) = engine.ended(&["exec", &id, "sh", "-c", HUNGRY])?;
    if counted(&id, "memory.events", "oom_kill ")? == 0 {
        return Err(format!("exec of something hungry ended with {code}, and nothing was killed"));
    }
    equal("the container runs on", engine.inspect(&id, "{{.State.Running}}")?.as_str(), "true")?;
    let killed = engine.sleeper(&limit)?;
    engine.docker(&["kill", &killed])?;
    equal("killed by a person", engine.inspect(&killed, "{{.State.OOMKilled}}")?.as_str(), "false")
}

fn processors(engine: &mut Engine) -> Result<(), String> {
    let check = |words: &[&str], file: &str, wanted: &str| {
        let id = engine.sleeper(words)?;
        equal(&format!("{words:?}: {file}"), group(&id, file)?.as_str(), wanted)
    };
    check(&["--cpus", "0.5"], "cpu.max", "50000 100000")?;
    check(&["--cpu-period", "50000", "--cpu-quota", "20000"], "cpu.max", "20000 50000")?;
    check(&["--cpu-quota", "20000"], "cpu.max", "20000 100000")?;
    check(&["--cpu-period", "50000"], "cpu.max", "max 50000")?;
    check(&["--cpu-shares", "1024"], "cpu.weight", "39")?;
    check(&["--cpu-shares", "2"], "cpu.weight", "1")?;
    check(&["--cpu-shares", "262144"], "cpu.weight", "10000")?;
    check(&[], "cpu.max", "max 100000")
}

fn throttled(engine: &mut Engine) -> Result<(), String> {
    let id = engine.run(&["--cpus", "0.1"], &["sh", "-c", "while :; do :; done"])?;
    until("it was held back", PATIENCE_S, || Ok(counted(&id, "cpu.stat", "nr_throttled ")? > 3))?;
    let used = counted(&id, "cpu.stat", "usage_usec ")?;
    let periods = counted(&id, "cpu.stat", "nr_periods ")?;
    // A tenth of each period, and what a tick is too late.
    match used <= (periods + 2) * 25_000 {
        true => Ok(()),
        false => Err(format!("{used} us in {periods} periods")),
    }
}

fn pids(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&["--pids-limit", "8"])?;
    equal("pids.max", group(&id, "pids.max")?.as_str(), "8")?;
    let many = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; wait";
    engine.refused(&["exec", &id, "sh", "-c", many], "can't fork")?;
    match counted(&id, "pids.events", "max ")? {
        0 => Err("no fork was refused".to_owned()),
        _ => {
            let any = engine.sleeper(&["--pids-limit", "-1"])?;
            equal("pids.max", group(&any, "pids.max")?.as_str(), "max")
        }
    }
}

fn cpuset(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&["--cpuset-cpus", "1", "--cpuset-mems", "0"])?;
    equal("cpuset.cpus", group(&id, "cpuset.cpus")?.as_str(), "1")?;
    equal("cpuset.mems", group(&id, "cpuset.mems")?.as_str(), "0")?;
    let status = engine.exec(&id, &["grep", "Cpus_allowed_list", "/proc/self/status"])?;
    equal("allowed", status.split_whitespace().last(), Some("1"))?;
    equal("counted inside", engine.exec(&id, &["nproc"])?.as_str(), "1")?;
    let words = ["run", "--rm", "--cpuset-cpus", "0-7", "busybox", "true"];
    engine.refused(&words, "Requested CPUs are not available - requested 0-7, available: 0-1")
}

fn io_weight(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&["--blkio-weight", "300"])?;
    // One of the two is what this kernel's scheduler looks at; 10 to 1,000 is 1 to 10,000 in the other.
    equal("io.bfq.weight", group(&id, "io.bfq.weight")?.as_str(), "default 300")?;
    equal("io.weight", group(&id, "io.weight")?.as_str(), "default 2930")
}

fn io_speed(engine: &mut Engine) -> Result<(), String> {
    let numbers = disk_numbers()?;
    let id = engine.sleeper(&[
        "--device-read-bps",
        "/dev/vda:1mb",
        "--device-write-bps",
        "/dev/vda:4mb",
        "--device-read-iops",
        "/dev/vda:100",
        "--device-write-iops",
        "/dev/vda:200",
    ])?;
    let wanted = format!("{numbers} rbps=1048576 wbps=4194304 riops=100 wiops=200");
    equal("io.max", group(&id, "io.max")?, wanted)?;
    // Two seconds' worth.
    let slow = engine.sleeper(&["--device-write-bps", "/dev/vda:1mb"])?;
    let started = std::time::Instant::now();
    engine.exec(&slow, &["dd", "if=/dev/zero", "of=/file", "bs=1M", "count=3", "conv=fsync"])?;
    let took = started.elapsed();
    match took.as_millis() {
        1500.. => Ok(()),
        _ => Err(format!("3 MiB at 1 MiB a second in {took:?}")),
    }
}

/// `MAJOR:MINOR`.
fn disk_numbers() -> Result<String, String> {
    read("/sys/class/block/vda/dev")
}

fn of_version_one(engine: &mut Engine) -> Result<(), String> {
    let words =
        ["create", "--name", "old", "--memory-swappiness", "10", "--oom-kill-disable", "busybox"];
    let output = engine.docker(&words)?;
    contains(
        "create",
        &output,
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    )?;
    contains(
        "create",
        &output,
        "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. \
         Memory swappiness discarded.",
    )?;
    let format = "{{json .HostConfig.MemorySwappiness}} {{json .HostConfig.OomKillDisable}}";
    equal("what is kept of it", engine.inspect("old", format)?.as_str(), "null null")
}

fn update(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&["-m", "64m", "--cpus", "1", "--pids-limit", "50"])?;
    engine.docker(&["update", "-m", "128m", "--memory-swap", "256m", &id])?;
    equal("memory.max", group(&id, "memory.max")?.as_str(), "134217728")?;
    equal("memory.swap.max", group(&id, "memory.swap.max")?.as_str(), "134217728")?;
    engine.docker(&["update", "--cpus", "0.25", "--cpu-shares", "2048", &id])?;
    equal("cpu.max", group(&id, "cpu.max")?.as_str(), "25000 100000")?;
    equal("cpu.weight", group(&id, "cpu.weight")?.as_str(), "79")?;
    engine.docker(&["update", "--cpuset-cpus", "0", "--pids-limit", "20", &id])?;
    equal("cpuset.cpus", group(&id, "cpuset.cpus")?.as_str(), "0")?;
    equal("pids.max", group(&id, "pids.max")?.as_str(), "20")?;
    engine.docker(&["update", "--pids-limit", "-1", "--blkio-weight", "500", &id])?;
    equal("pids.max", group(&id, "pids.max")?.as_str(), "max")?;
    equal("io.bfq.weight", group(&id, "io.bfq.weight")?.as_str(), "default 500")?;
    // They stay its own when it starts anew.
    engine.docker(&["restart", "-t", "0", &id])?;
    equal("memory.max", group(&id, "memory.max")?.as_str(), "134217728")?;
    equal("cpu.max", group(&id, "cpu.max")?.as_str(), "25000 100000")
}

/// In a container that may make nodes, which is Docker's default: its group decides who may use them.
fn use_disk(engine: &Engine, id: &str, how: &str) -> Result<(i32, String), String> {
    let numbers = disk_numbers()?.replace(':', " ");
    let script = format!("[ -e /disk ] || mknod /disk b {numbers}; {how}");
    engine.ended(&["exec", id, "sh", "-c", &script])
}

const READS: &str = "head -c 512 /disk > /dev/null";
/// Opens it for writing, and writes nothing.
const WRITES: &str = ": >> /disk";

fn must(what: &str, found: (i32, String), allowed: bool) -> Result<(), String> {
    match (found, allowed) {
        ((0, _), true) => Ok(()),
        ((0, _), false) => Err(format!("{what} was allowed")),
        ((_, text), true) => Err(format!("{what}: {text}")),
        ((_, text), false) => contains(what, &text, "not permitted"),
    }
}

fn devices(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&[])?;
    must("reading the disk", use_disk(engine, &id, READS)?, false)?;
    must("writing to the disk", use_disk(engine, &id, WRITES)?, false)?;
    let usual = "echo x > /dev/null && head -c 8 /dev/urandom > /dev/null && head -c 8 /dev/zero > /dev/full; \
                 echo x > /dev/tty; : < /dev/ptmx && mknod /own c 1 3 && echo x > /own";
    engine.exec(&id, &["sh", "-c", usual])?;
    let kernel_log = "mknod /kmsg c 1 11 && head -c 1 /kmsg";
    engine.refused(&["exec", &id, "sh", "-c", kernel_log], "not permitted")
}

fn given_devices(engine: &mut Engine) -> Result<(), String> {
    let reads = engine.sleeper(&["--device", "/dev/vda:/disk:r"])?;
    must("reading", use_disk(engine, &reads, READS)?, true)?;
    must("writing", use_disk(engine, &reads, WRITES)?, false)?;
    let both = engine.sleeper(&["--device", "/dev/vda:/disk"])?;
    must("reading", use_disk(engine, &both, READS)?, true)?;
    must("writing", use_disk(engine, &both, WRITES)?, true)?;
    let numbers = disk_numbers()?;
    let major = numbers.split(':').next().unwrap_or_default();
    let rule = format!("b {major}:* r");
    let ruled = engine.sleeper(&["--device-cgroup-rule", &rule])?;
    // Any node may be made; that is Docker's default.
    must("reading", use_disk(engine, &ruled, READS)?, true)?;
    must("writing", use_disk(engine, &ruled, WRITES)?, false)
}

fn privileged(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&["--privileged"])?;
    must("reading the disk", use_disk(engine, &id, READS)?, true)?;
    must("writing to the disk", use_disk(engine, &id, WRITES)?, true)?;
    engine.exec(&id, &["head", "-c", "512", "/dev/vda"]).map(drop)
}

fn namespace(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&[])?;
    equal("its group", engine.exec(&id, &["cat", "/proc/1/cgroup"])?.as_str(), "0::/")?;
    equal("that of an exec", engine.exec(&id, &["cat", "/proc/self/cgroup"])?.as_str(), "0::/")?;
    engine.refused(&["exec", &id, "mkdir", "/sys/fs/cgroup/x"], "Read-only file system")?;
    let raise = "echo max > /sys/fs/cgroup/memory.max";
    engine.refused(&["exec", &id, "sh", "-c", raise], "Read-only file system")?;
    let host = engine.sleeper(&["--cgroupns", "host"])?;
    let seen = engine.exec(&host, &["cat", "/proc/1/cgroup"])?;
    equal("without a namespace", seen, format!("0::/cumulet/{host}"))?;
    let file = format!("/sys/fs/cgroup/cumulet/{host}/cgroup.procs");
    contains("its processes", &engine.exec(&host, &["cat", &file])?, "\n")
}
