//! What happens to containers while they run, and to those of an engine that is killed.

use super::engine::{Engine, GROUPS, PATIENCE_S, counted, group};
use super::{Check, contains, equal, until};
use std::path::Path;

pub const CHECKS: &[Check] = &[
    ("pause and unpause", pause),
    ("what is paused is killed, stopped and removed", paused_ends),
    ("stats", stats),
    ("top", top),
    ("exec is in the same group", exec),
    ("groups that a container made go with it", nested),
    ("a container with the machine's processes leaves none", shared_processes),
    ("--init", init),
    ("containers run on when the engine is killed", engine_killed),
    ("what an engine and its helper left is cleared", both_killed),
];

/// Counts up in a file of its own.
const COUNTS: &str = "i=0; while :; do i=$((i+1)); echo $i > /count; usleep 10000; done";

fn pause(engine: &mut Engine) -> Result<(), String> {
    let id = engine.run(&[], &["sh", "-c", COUNTS])?;
    let count = || {
        let to = format!("/tmp/count-{id}");
        engine.docker(&["cp", &format!("{id}:/count"), &to])?;
        super::read(&to)
    };
    until("it counts", PATIENCE_S, || Ok(count().is_ok_and(|text| !text.is_empty())))?;
    for _ in 0..3 {
        engine.docker(&["pause", &id])?;
        // No moment later: when the call has come back, all of it stands still.
        equal("frozen", counted(&id, "cgroup.events", "frozen ")?, 1)?;
        equal("cgroup.freeze", group(&id, "cgroup.freeze")?.as_str(), "1")?;
        equal("told", engine.inspect(&id, "{{.State.Status}}")?.as_str(), "paused")?;
        let before = count()?;
        busy_for_a_moment();
        equal("nothing goes on", count()?, before.clone())?;
        engine.refused(&["exec", &id, "true"], "is paused, unpause the container before exec")?;
        engine.docker(&["unpause", &id])?;
        equal("frozen", counted(&id, "cgroup.events", "frozen ")?, 0)?;
        until("it goes on", PATIENCE_S, || Ok(count()? != before))?;
    }
    Ok(())
}

/// Longer than what the container does between two steps.
fn busy_for_a_moment() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}

fn paused_ends(engine: &mut Engine) -> Result<(), String> {
    let paused = || {
        let id = engine.run(&[], &["sh", "-c", COUNTS])?;
        engine.docker(&["pause", &id]).map(|_| id)
    };
    let id = paused()?;
    engine.docker(&["kill", &id])?;
    equal("exit code", engine.docker(&["wait", &id])?.as_str(), "137")?;
    let id = paused()?;
    engine.docker(&["stop", "-t", "1", &id])?;
    equal("stopped", engine.inspect(&id, "{{.State.Status}}")?.as_str(), "exited")?;
    let id = paused()?;
    engine.docker(&["rm", "-f", &id]).map(drop)
}

fn stats(engine: &mut Engine) -> Result<(), String> {
    let writes = "dd if=/dev/zero of=/file bs=1M count=4 conv=fsync; while :; do :; done";
    let id = engine.run(&["-m", "64m", "--pids-limit", "10"], &["sh", "-c", writes])?;
    let format = "{{.CPUPerc}};{{.MemUsage}};{{.PIDs}};{{.BlockIO}}";
    let one = || {
        let line = engine.docker(&["stats", "--no-stream", "--format", format, &id])?;
        let fields: Vec<String> = line.split(';').map(str::to_owned).collect();
        <[String; 4]>::try_from(fields).map_err(|_| format!("docker stats: {line}"))
    };
    until("it works and has written", PATIENCE_S, || {
        let [processor, _, _, io] = one()?;
        let share: f64 = processor.trim_end_matches('%').parse().unwrap_or(0.0);
        Ok(share > 10.0 && io.ends_with("4.19MB"))
    })?;
    let [processor, memory, pids, _] = one()?;
    let share: f64 = processor.trim_end_matches('%').parse().unwrap_or(0.0);
    // More than that two processors do not have; what is measured by ticks is not exact.
    if share > 250.0 {
        return Err(format!("one loop uses {processor}"));
    }
    contains("memory", &memory, " / 64MiB")?;
    match memory.starts_with("0B") {
        true => Err("it uses no memory".to_owned()),
        false => equal("processes", pids.as_str(), "1"),
    }
}

fn top(engine: &mut Engine) -> Result<(), String> {
    let id = engine.run(&[], &["sh", "-c", "sleep 777 & sleep 778; true"])?;
    until("both run", PATIENCE_S, || {
        let shown = engine.docker(&["top", &id])?;
        Ok(shown.contains("sleep 777") && shown.contains("sleep 778"))
    })?;
    equal("lines", engine.docker(&["top", &id, "-o", "pid,comm"])?.lines().count(), 4)
}

fn exec(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&["-m", "64m", "--pids-limit", "20"])?;
    engine.docker(&["exec", "-d", &id, "sleep", "779"])?;
    let script = "sleep 1 & cat /sys/fs/cgroup/cgroup.procs | wc -l";
    until("both are in it", PATIENCE_S, || Ok(group(&id, "cgroup.procs")?.lines().count() >= 2))?;
    let seen = engine.exec(&id, &["sh", "-c", script])?;
    match seen.parse::<u32>() {
        Ok(4..) => Ok(()),
        _ => Err(format!("the shell sees {seen} processes in its group")),
    }
}

/// As an init or an engine in a container does.
const OWN_GROUPS: &str = "mkdir -p /sys/fs/cgroup/inner/more && echo 1 > /sys/fs/cgroup/inner/cgroup.procs; \
                          sleep 780 & echo $! > /sys/fs/cgroup/inner/more/cgroup.procs; mkdir /sys/fs/cgroup/empty; \
                          echo $$ > /sys/fs/cgroup/inner/cgroup.procs; \
                          echo +memory > /sys/fs/cgroup/cgroup.subtree_control; touch /done; sleep 781";

fn nested(engine: &mut Engine) -> Result<(), String> {
    let id = engine.run(&["--privileged"], &["sh", "-c", OWN_GROUPS])?;
    until("it has groups of its own", PATIENCE_S, || {
        Ok(engine.ended(&["exec", &id, "test", "-e", "/done"])?.0 == 0)
    })?;
    equal("handed down", group(&id, "cgroup.subtree_control")?.as_str(), "memory")?;
    let shown = engine.docker(&["top", &id])?;
    contains("top", &shown, "sleep 780")?;
    contains("top", &shown, "sleep 781")?;
    // A group with others below that have limits takes no process itself: where the first one is, there it is.
    let where_it_is = engine.exec(&id, &["cat", "/proc/self/cgroup"])?;
    equal("exec", where_it_is.as_str(), "0::/inner")?;
    engine.docker(&["pause", &id])?;
    equal("frozen", counted(&id, "cgroup.events", "frozen ")?, 1)?;
    engine.docker(&["unpause", &id])?;
    engine.docker(&["rm", "-f", &id])?;
    equal("its group", Path::new(GROUPS).join("cumulet").join(&id).exists(), false)
}

fn shared_processes(engine: &mut Engine) -> Result<(), String> {
    let id =
        engine.run(&["--pid", "host"], &["sh", "-c", "sleep 782 & sleep 783 & exec sleep 784"])?;
    until("all run", PATIENCE_S, || Ok(group(&id, "cgroup.procs")?.lines().count() == 3))?;
    engine.docker(&["kill", &id])?;
    engine.docker(&["wait", &id])?;
    until("its group is gone", PATIENCE_S, || Ok(group(&id, "cgroup.procs").is_err()))?;
    let left = super::busybox(&["ps", "-o", "args"])?;
    match ["sleep 782", "sleep 783", "sleep 784"].iter().any(|one| left.contains(one)) {
        true => Err(format!("still there: {left}")),
        false => Ok(()),
    }
}

fn init(engine: &mut Engine) -> Result<(), String> {
    let id = engine.run(&["--init"], &["sh", "-c", "(sleep 0.1 &); exec sleep 785"])?;
    until("what was left alone is buried", PATIENCE_S, || {
        Ok(engine.docker(&["top", &id])?.lines().count() == 3)
    })?;
    let started = std::time::Instant::now();
    engine.docker(&["stop", "-t", "60", &id])?;
    equal("exit code", engine.inspect(&id, "{{.State.ExitCode}}")?.as_str(), "143")?;
    match started.elapsed().as_secs() {
        0..50 => Ok(()),
        s => Err(format!("stopped after {s} s")),
    }
}

fn engine_killed(engine: &mut Engine) -> Result<(), String> {
    let runs = engine.run(&["-m", "64m"], &["sh", "-c", COUNTS])?;
    let stands = engine.run(&[], &["sh", "-c", COUNTS])?;
    engine.docker(&["pause", &stands])?;
    let ends = engine.run(
        &["-m", "16m", "--memory-swap", "16m"],
        &["sh", "-c", "usleep 300000; exec tail /dev/zero"],
    )?;
    engine.kill()?;
    until("one has ended meanwhile", PATIENCE_S, || Ok(group(&ends, "cgroup.procs").is_err()))?;
    engine.start()?;
    let status = |id: &str| engine.inspect(id, "{{.State.Status}}");
    equal("the one that ran", status(&runs)?.as_str(), "running")?;
    equal("its limit", group(&runs, "memory.max")?.as_str(), "67108864")?;
    engine.exec(&runs, &["true"])?;
    engine.docker(&["update", "-m", "128m", "--memory-swap", "256m", &runs])?;
    equal("its new limit", group(&runs, "memory.max")?.as_str(), "134217728")?;
    let format = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}";
    equal("the one that ended", engine.inspect(&ends, format)?.as_str(), "exited 137 true")?;
    equal("the one that is paused", status(&stands)?.as_str(), "paused")?;
    engine.docker(&["unpause", &stands])?;
    equal("frozen", counted(&stands, "cgroup.events", "frozen ")?, 0)?;
    equal("and then", status(&stands)?.as_str(), "running")
}

fn both_killed(engine: &mut Engine) -> Result<(), String> {
    let id = engine.sleeper(&[])?;
    let paused = engine.sleeper(&[])?;
    engine.docker(&["pause", &paused])?;
    engine.kill()?;
    for folder in std::fs::read_dir("/proc").map_err(|error| error.to_string())?.flatten() {
        let line = super::read(folder.path().join("cmdline")).unwrap_or_default();
        let pid = folder.file_name().to_string_lossy().parse().ok();
        let pid = pid.and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| line.contains("containers-helper")) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    engine.start()?;
    for id in [&id, &paused] {
        equal("its status", engine.inspect(id, "{{.State.Status}}")?.as_str(), "exited")?;
        until("its group is gone", PATIENCE_S, || Ok(group(id, "cgroup.procs").is_err()))?;
    }
    engine.docker(&["start", &id])?;
    equal("again", engine.inspect(&id, "{{.State.Status}}")?.as_str(), "running")
}
