//! Time comes in by the door: whoever needs it is handed a [`Clock`].

use crate::Timestamp;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};

/// The time, in UTC. The production clock lives in `cloud`; tests and the simulator set theirs.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock. May jump, backwards too: the store orders commits by itself.
    fn now(&self) -> Timestamp;

    /// The time outside, by which clients sign. Differs from [`Clock::now`] only in a cloud whose
    /// clock was moved.
    fn wall(&self) -> Timestamp {
        self.now()
    }

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

/// How a cloud's clock stands to the one outside.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClockShift {
    /// How far it is ahead while it runs.
    pub ahead_ms: i64,
    /// Where it stands still.
    pub stopped_at: Option<Timestamp>,
}

impl ClockShift {
    pub fn now(&self, wall: Timestamp) -> Timestamp {
        self.stopped_at.unwrap_or_else(|| wall.plus_millis(self.ahead_ms))
    }

    /// Some time later, running or not.
    pub fn advance(self, ms: i64) -> ClockShift {
        match self.stopped_at {
            Some(at) => ClockShift { stopped_at: Some(at.plus_millis(ms)), ..self },
            None => ClockShift { ahead_ms: self.ahead_ms.saturating_add(ms), ..self },
        }
    }

    /// Standing still at a time.
    pub fn stop_at(self, at: Timestamp) -> ClockShift {
        ClockShift { stopped_at: Some(at), ..self }
    }

    /// Running on from wherever it stands.
    pub fn run(self, wall: Timestamp) -> ClockShift {
        ClockShift { ahead_ms: self.now(wall).millis_since(wall), stopped_at: None }
    }
}

/// A clock that can be moved ahead of the one outside, or stopped. Durations go on as they are.
pub struct ShiftedClock {
    outside: Box<dyn Clock>,
    ahead_ms: AtomicI64,
    /// `i64::MIN` while it runs.
    stopped_ms: AtomicI64,
}

impl ShiftedClock {
    pub fn new(outside: impl Clock) -> ShiftedClock {
        ShiftedClock {
            outside: Box::new(outside),
            ahead_ms: AtomicI64::new(0),
            stopped_ms: AtomicI64::new(i64::MIN),
        }
    }

    pub fn shift(&self) -> ClockShift {
        let stopped_ms = self.stopped_ms.load(Ordering::Acquire);
        ClockShift {
            ahead_ms: self.ahead_ms.load(Ordering::Acquire),
            stopped_at: (stopped_ms != i64::MIN).then(|| Timestamp::from_millis(stopped_ms)),
        }
    }

    /// A reader between the two stores may see a mixture for a moment, as when any clock is set.
    pub fn set_shift(&self, shift: ClockShift) {
        let stopped_ms = shift.stopped_at.map_or(i64::MIN, Timestamp::to_millis);
        self.ahead_ms.store(shift.ahead_ms, Ordering::Release);
        self.stopped_ms.store(stopped_ms, Ordering::Release);
    }
}

impl fmt::Debug for ShiftedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shift().fmt(f)
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        self.shift().now(self.outside.now())
    }

    fn wall(&self) -> Timestamp {
        self.outside.now()
    }

    fn monotonic_ns(&self) -> u64 {
        self.outside.monotonic_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_stopped_and_running_again() {
        let start = Timestamp::from_secs(1_000_000);
        let clock = ShiftedClock::new(ManualClock::new(start));
        assert_eq!(clock.now(), start);
        clock.set_shift(clock.shift().advance(5_000));
        assert_eq!((clock.now(), clock.wall()), (start.plus_secs(5), start));
        let later = start.plus_secs(100);
        clock.set_shift(clock.shift().stop_at(later));
        assert_eq!((clock.now(), clock.wall()), (later, start));
        clock.set_shift(clock.shift().advance(1_000));
        assert_eq!(clock.now(), later.plus_secs(1));
        clock.set_shift(clock.shift().run(clock.wall()));
        assert_eq!(clock.now(), later.plus_secs(1));
        assert_eq!(clock.shift(), ClockShift { ahead_ms: 101_000, stopped_at: None });
    }
}
