//! Counters that the gateway serves at `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the buckets of [`Histogram`], in nanoseconds; one more bucket has no bound.
pub const BOUNDS_NS: [u64; 10] = [
    1_000,
    4_000,
    16_000,
    64_000,
    250_000,
    1_000_000,
    4_000_000,
    16_000_000,
    64_000_000,
    250_000_000,
];

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    pub buckets: [AtomicU64; BOUNDS_NS.len() + 1],
    pub sum_ns: AtomicU64,
}

impl Histogram {
    pub(crate) fn record(&self, ns: u64) {
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < ns);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(ns, Relaxed);
    }
}

/// Since the store was opened.
#[derive(Debug, Default)]
pub struct Metrics {
    pub reads: AtomicU64,
    pub commits: AtomicU64,
    /// Write transactions that changed nothing or were refused.
    pub writes_without_commit: AtomicU64,
    /// Groups of commits that were written and synced together.
    pub groups: AtomicU64,
    pub log_syncs: AtomicU64,
    pub log_bytes: AtomicU64,
    pub busy: AtomicU64,
    /// Writes that waited for room.
    pub waited: AtomicU64,
    pub full: AtomicU64,
    /// Steps of maintenance that could not be done and are tried again.
    pub maintenance_errors: AtomicU64,
    /// The same of the work on blobs that nothing refers to.
    pub keeper_errors: AtomicU64,
    /// How long the lock of the one writer was held.
    pub write_hold: Histogram,
    /// How long a group took to write and sync.
    pub group_time: Histogram,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}
