//! What this machine can do of the limits that a client asks for.

use crate::config::Resources;
use crate::engine::Engine;
use crate::error::Error;
use crate::hierarchy::{Hierarchies, Throttle, Throttled};
use rustix::fs::{major, minor, stat};
use std::collections::BTreeSet;

/// More processors than any kernel of today counts.
const NUMBER_MAX: u32 = 8191;

impl Engine {
    /// Leaves out what only version 1 of control groups has, and says so as Docker does.
    pub(super) fn leave_out(&self, resources: &mut Resources) -> Vec<String> {
        match self.0.hierarchies {
            Hierarchies::Two(_) => leave_out(resources),
            _ => Vec::new(),
        }
    }

    /// Whether there are these processors and memories.
    pub(super) fn check_available(&self, resources: &Resources) -> Result<(), Error> {
        if resources.cpuset_cpus.is_empty() && resources.cpuset_mems.is_empty() {
            return Ok(());
        }
        let (cpus, mems) = self.0.hierarchies.available();
        available("CPUs", "cpus", &resources.cpuset_cpus, cpus.as_deref())?;
        available("memory nodes", "mems", &resources.cpuset_mems, mems.as_deref())
    }
}

fn leave_out(resources: &mut Resources) -> Vec<String> {
    let mut warnings = Vec::new();
    if resources.memory_swappiness.take().is_some_and(|n| n != -1) {
        warnings.push(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not \
             mounted. Memory swappiness discarded."
                .to_owned(),
        );
    }
    if resources.oom_kill_disable.take() == Some(true) {
        let text = "Your kernel does not support OomKillDisable. OomKillDisable discarded.";
        warnings.push(text.to_owned());
    }
    warnings
}

fn available(what: &str, name: &str, wanted: &str, there: Option<&str>) -> Result<(), Error> {
    let Some(there) = there.filter(|_| !wanted.is_empty()) else { return Ok(()) };
    let numbers = numbers(wanted).ok_or_else(|| {
        Error::invalid(format!(
            "Invalid value {wanted} for cpuset {name}: invalid format: {wanted}"
        ))
    })?;
    match numbers.is_subset(&self::numbers(there).unwrap_or_default()) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "Requested {what} are not available - requested {wanted}, available: {there}"
        ))),
    }
}

/// `0-3,7`
fn numbers(text: &str) -> Option<BTreeSet<u32>> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last > NUMBER_MAX {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// Devices by their numbers.
pub(super) fn throttles(resources: &Resources) -> Result<Vec<Throttle>, Error> {
    let r = resources;
    let all = [
        (&r.blkio_device_read_bps, Throttled::BytesRead),
        (&r.blkio_device_write_bps, Throttled::BytesWritten),
        (&r.blkio_device_read_iops, Throttled::Reads),
        (&r.blkio_device_write_iops, Throttled::Writes),
    ];
    let asked = all.iter().flat_map(|(list, what)| list.iter().map(|one| (one, *what)));
    let found = asked.map(|(one, what)| {
        let found = stat(one.path.as_str()).map_err(|error| {
            Error::failed(format!("stat {}: {}", one.path, crate::sys::reason(error.into())))
        })?;
        let device = (major(found.st_rdev), minor(found.st_rdev));
        Ok(Throttle { device, what, rate: one.rate })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ThrottleDevice;

    #[test]
    fn what_is_there() {
        let check = |wanted: &str, there: Option<&str>, text: &str| {
            let found = available("CPUs", "cpus", wanted, there);
            assert_eq!(found.map_or_else(|error| error.to_string(), |()| String::new()), text);
        };
        check("", Some("0-1"), "");
        check("1", Some("0-1"), "");
        check("0,2-3", Some("0-3"), "");
        check("7", None, "");
        let none = "Requested CPUs are not available - requested 0-2, available: 0-1";
        check("0-2", Some("0-1"), none);
        for wrong in ["x", "1-0", "0,,1", "-1", "0-99999999"] {
            let text = format!("Invalid value {wrong} for cpuset cpus: invalid format: {wrong}");
            check(wrong, Some("0-1"), &text);
        }
    }

    #[test]
    fn what_is_left_out() {
        let mut resources = Resources {
            memory_swappiness: Some(10),
            oom_kill_disable: Some(true),
            ..Resources::default()
        };
        assert_eq!(leave_out(&mut resources).len(), 2);
        assert_eq!((resources.memory_swappiness, resources.oom_kill_disable), (None, None));
        // What the CLI always sends.
        resources.memory_swappiness = Some(-1);
        resources.oom_kill_disable = Some(false);
        assert!(leave_out(&mut resources).is_empty());
    }

    #[test]
    fn devices_by_their_numbers() {
        let device = |path: &str| vec![ThrottleDevice { path: path.to_owned(), rate: 5 }];
        let mut resources =
            Resources { blkio_device_read_iops: device("/dev/null"), ..Resources::default() };
        let wanted = Throttle { device: (1, 3), what: Throttled::Reads, rate: 5 };
        assert_eq!(throttles(&resources).expect("found"), [wanted]);
        resources.blkio_device_write_bps = device("/dev/none such");
        let error = throttles(&resources).expect_err("none").to_string();
        assert_eq!(error, "stat /dev/none such: no such file or directory");
    }
}
