//! Engines whose containers' users are others, and that of an ordinary user.

use super::engine::{Engine, PATIENCE_S, of_users};
use super::{Check, contains, equal, read, until};
use std::path::PathBuf;

pub const CHECKS: &[Check] = &[
    ("users of containers that are others outside", remapped),
    ("a cloud for an ordinary user has groups of its own", of_a_user),
];

fn remapped(_: &mut Engine) -> Result<(), String> {
    let mut engine = Engine::with(PathBuf::from("/data/remapped"), &["--userns-remap", "default"]);
    let done = engine.ready().and_then(|()| {
        let id = engine.sleeper(&["-m", "64m"])?;
        let inside = engine.exec(&id, &["cat", "/sys/fs/cgroup/memory.max"])?;
        equal("memory.max, seen inside", inside.as_str(), "67108864")?;
        engine.refused(&["exec", &id, "mkdir", "/sys/fs/cgroup/x"], "Read-only file system")?;
        engine.docker(&["pause", &id])?;
        engine.docker(&["unpause", &id])?;
        contains("top", &engine.docker(&["top", &id])?, "sleep 1000")
    });
    let cleared = engine.clear();
    let ended = engine.end();
    done.and(cleared).and(ended)
}

fn of_a_user(_: &mut Engine) -> Result<(), String> {
    let mut engine = Engine::with(PathBuf::from("/data/of-a-user"), &["--user", "someone"]);
    let done = engine.ready().and_then(|()| limits_of_a_user(&engine));
    let removed = engine.docker(&["ps", "-aq"]).and_then(|ids| match ids.is_empty() {
        true => Ok(String::new()),
        false => engine.docker(&[&["rm", "-f"], &ids.lines().collect::<Vec<_>>()[..]].concat()),
    });
    let ended = engine.end();
    done.and(removed).and(ended)?;
    until("its groups are gone", PATIENCE_S, || Ok(of_users().is_empty()))
}

fn limits_of_a_user(engine: &Engine) -> Result<(), String> {
    let words = ["-m", "64m", "--cpus", "0.5", "--pids-limit", "20"];
    let id = engine.sleeper(&words)?;
    let see = |file: &str| engine.exec(&id, &["cat", &format!("/sys/fs/cgroup/{file}")]);
    equal("memory.max", see("memory.max")?.as_str(), "67108864")?;
    equal("cpu.max", see("cpu.max")?.as_str(), "50000 100000")?;
    equal("pids.max", see("pids.max")?.as_str(), "20")?;
    let pid = engine.inspect(&id, "{{.State.Pid}}")?;
    contains("its group", &read(format!("/proc/{pid}/cgroup"))?, "0::/cumulet-users/")?;
    engine.docker(&["pause", &id])?;
    engine.docker(&["unpause", &id])?;
    let limit = ["-m", "16m", "--memory-swap", "16m"];
    let run =
        [&["run", "--name", "hungry"], &limit[..], &["busybox", "tail", "/dev/zero"]].concat();
    equal("exit code", engine.ended(&run)?.0, 137)?;
    equal("told", engine.inspect("hungry", "{{.State.OOMKilled}}")?.as_str(), "true")
}
