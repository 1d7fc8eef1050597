//! Time comes in by the door: whoever needs it is handed a [`Clock`].

use crate::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};

/// The time, in UTC. The production clock lives in `cloud`; tests and the simulator set theirs.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock. May jump, backwards too: the store orders commits by itself.
    fn now(&self) -> Timestamp;

    /// Nanoseconds since some fixed point, never going back: for durations and deadlines.
    fn monotonic_ns(&self) -> u64;
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    monotonic_ns: AtomicI64,
}

impl ManualClock {
    pub fn new(start: Timestamp) -> ManualClock {
        ManualClock { wall_ms: AtomicI64::new(start.to_millis()), monotonic_ns: AtomicI64::new(0) }
    }

    /// Lets time pass: both clocks move.
    pub fn advance_ms(&self, ms: u32) {
        self.wall_ms.fetch_add(i64::from(ms), Ordering::SeqCst);
        self.monotonic_ns.fetch_add(i64::from(ms) * 1_000_000, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an operator or NTP would; the monotonic clock stays.
    pub fn jump_to(&self, wall: Timestamp) {
        self.wall_ms.store(wall.to_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns.load(Ordering::SeqCst) as u64
    }
}
