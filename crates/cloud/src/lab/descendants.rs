//! What a lab left running ends with it: programs in the background, and what those started.
//!
//! The process that runs a lab is who inherits orphans, so whatever was started stands below it however it
//! was started; only what runs in a session of a cloud's own is spared.

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use std::collections::{BTreeMap, BTreeSet};

/// One that is killed may have started another the moment before.
const ROUNDS_MAX: usize = 100;

/// From now on orphans are ours.
pub fn inherit() {
    let _ = set_child_subreaper(Some(getpid()));
}

/// Kills all that is below this process, but for one and what is below that.
pub fn end_all_but(spared: Option<Pid>) {
    for _ in 0..ROUNDS_MAX {
        let doomed = below(Pid::as_raw(Some(getpid())), spared.map(|pid| Pid::as_raw(Some(pid))));
        if doomed.is_empty() {
            return;
        }
        for pid in doomed {
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
        }
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        let pause = rustix::thread::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        let _ = rustix::thread::nanosleep(&pause);
    }
}

/// Those that live.
fn below(top: i32, spared: Option<i32>) -> BTreeSet<i32> {
    let parents = parents();
    let mut found = BTreeSet::from([top]);
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|(pid, parent)| {
                found.contains(*parent) && !found.contains(*pid) && Some(**pid) != spared
            })
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.remove(&top);
    found
}

/// Of each process that lives, its parent.
#[allow(clippy::disallowed_methods, reason = "what runs on this machine")]
fn parents() -> BTreeMap<i32, i32> {
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(text) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name stands in parentheses and may hold anything.
        let Some((_, after)) = text.rsplit_once(')') else { continue };
        let mut words = after.split_whitespace();
        if let (Some(state), Some(Ok(parent))) = (words.next(), words.next().map(str::parse))
            && state != "Z"
        {
            parents.insert(pid, parent);
        }
    }
    parents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_below_its_parent() {
        let own = Pid::as_raw(Some(getpid()));
        let parent = parents()[&own];
        assert!(below(parent, None).contains(&own));
        assert!(!below(parent, Some(own)).contains(&own));
    }
}
