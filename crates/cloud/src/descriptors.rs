//! How many files and connections this process may have open, and how many of them connections get.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Takes as many as there may be; the limit that is in force at first is often 1024.
pub fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// What `ulimit -Hn` says; `None` without a limit.
pub fn most() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Connections at a time, of those that are wanted: half of what may be open at most, since the rest is
/// for what they ask for, and for the store, which must never be without.
pub fn connections(wanted: usize, most: Option<u64>) -> usize {
    let half = most.map_or(usize::MAX, |most| usize::try_from(most / 2).unwrap_or(usize::MAX));
    wanted.min(half.max(1))
}

/// What there is to say if they are fewer than wanted.
pub fn remark(wanted: usize, most: Option<u64>) -> Option<String> {
    let has = connections(wanted, most);
    let most = most.filter(|_| has < wanted)?;
    let raised = 2 * wanted;
    Some(format!(
        "{most} open files at most, so {has} connections at a time in place of {wanted}; \
         `ulimit -Hn {raised}` as root raises it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_store_its_half() {
        let check = |wanted: usize, most: Option<u64>, expected: usize| {
            assert_eq!(connections(wanted, most), expected, "{wanted} of {most:?}");
            assert_eq!(remark(wanted, most).is_some(), expected < wanted);
        };
        check(4096, None, 4096);
        check(4096, Some(1 << 20), 4096);
        check(4096, Some(8192), 4096);
        check(4096, Some(4096), 2048);
        check(4096, Some(256), 128);
        check(4096, Some(1), 1);
        check(10, Some(256), 10);
        let text = "256 open files at most, so 128 connections at a time in place of 4096";
        assert!(remark(4096, Some(256)).unwrap().starts_with(text));
    }
}
