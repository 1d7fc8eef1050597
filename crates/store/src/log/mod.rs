//! The durable log: what makes a commit survive.
//!
//! Everything pending is written in one piece and synced once (group commit); commits go on queueing
//! while that happens. A write or sync that fails stops the store for good, since nobody knows what
//! is on the disk then: the process has to start again and read it. Want of space cannot be the
//! cause, because a commit is accepted only if there is room for it in files that are already
//! written: see [`slots`].

mod record;
mod recover;
mod slots;

pub(crate) use record::{FRAME_HEADER, commit_bytes_max, encode_commit};
pub(crate) use recover::{Recovered, create, recover};

use crate::engine::{Step, Version};
use crate::metrics;
use crate::queue::Group;
use crate::signal::Wake;
use crate::store::{Shared, StoreOptions};
use parking_lot::Mutex;
use record::{Frame, HEADER_BLOCK, Header};
pub(crate) use slots::SlotMaker;
use slots::{Full, Slot, Slots};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What the longest commit may take, so that it fits into any segment but the first.
pub(crate) fn commit_room_max(options: &StoreOptions) -> u64 {
    options.log_segment_bytes.saturating_sub(HEADER_BLOCK)
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Current {
    slot: Slot,
    header: Header,
    /// Where the next frame goes.
    at: u64,
    last: Version,
}

/// The files, and where the next group goes.
#[derive(Debug)]
pub(crate) struct Log {
    slots: Arc<Mutex<Slots>>,
    current: Current,
    /// The next group must start a segment, because commits before it are not in this one.
    go_on: bool,
}

impl Log {
    pub(super) fn new(slots: Slots, current: Current) -> Log {
        Log { slots: Arc::new(Mutex::new(slots)), current, go_on: false }
    }

    /// The index knows later commits than the log.
    pub(super) fn go_on_at(&mut self, version: Version) {
        self.current.last = version;
        self.go_on = true;
    }

    pub(crate) fn slot_maker(&self) -> SlotMaker {
        SlotMaker::new(self.slots.clone())
    }

    /// Bytes of frames that the current segment can still take.
    pub(crate) fn left(&self) -> u64 {
        if self.go_on { 0 } else { self.current.slot.bytes - self.current.at }
    }

    /// Bytes of frames that the slot in waiting can take.
    pub(crate) fn waiting(&self) -> u64 {
        self.slots.lock().room()
    }

    /// Whether a segment was filled.
    fn append(&mut self, group: &mut Group, salt: impl FnOnce() -> u64) -> io::Result<bool> {
        let needs = group.bytes.len().next_multiple_of(8) as u64;
        let switch = self.go_on || self.current.at + needs > self.current.slot.bytes;
        if switch {
            self.switch(needs, salt(), group)?;
        }
        let current = &mut self.current;
        let commits = (group.last - group.first + 1) as u32;
        Frame::seal(&mut group.bytes, current.header.salt, group.first, commits);
        current.slot.file.write_all_at(&group.bytes, current.at)?;
        current.slot.file.sync_data()?;
        current.at += group.bytes.len() as u64;
        current.last = group.last;
        Ok(switch)
    }

    /// Goes on in the next slot. Its header is synced with the first frame.
    fn switch(&mut self, needs: u64, salt: u64, group: &Group) -> io::Result<()> {
        let mut slots = self.slots.lock();
        let slot = match slots.take_waiting() {
            Some(slot) if slot.bytes >= HEADER_BLOCK + needs => slot,
            // Only if the promise of room was broken: better late than stopped.
            _ => slots.create_in_need(HEADER_BLOCK + needs)?,
        };
        let header = Header {
            sequence: self.current.header.sequence + 1,
            salt,
            first: group.first,
            time: group.time,
        };
        slot.file.write_all_at(&header.encode(), 0)?;
        let next = Current { slot, header, at: HEADER_BLOCK, last: group.first - 1 };
        let old = std::mem::replace(&mut self.current, next);
        slots.full.push_back(Full { slot: old.slot, last: old.last });
        self.go_on = false;
        Ok(())
    }
}

/// Makes commits durable, a group at a time. One of them, driven by one thread or task.
#[derive(Debug)]
pub struct LogDriver {
    shared: Arc<Shared>,
    log: Log,
    spare: Group,
    bytes_since_ring: u64,
    /// How many writers there are, as far as commits that came together tell.
    crowd: u64,
    /// How long the last group took to write and sync.
    took_ns: u64,
}

/// Bytes of log after which maintenance has a look.
const RING_EVERY: u64 = 1 << 20;
/// Fewer writers than this are not waited for.
const CROWD_MIN: u64 = 4;
/// The log waits for a crowd so many times as long as its last group took ...
const GATHER_TIMES: u64 = 2;
/// ... but not longer than this.
const GATHER_NS_MAX: u64 = 1_000_000;

impl LogDriver {
    pub(crate) fn new(shared: Arc<Shared>, log: Log) -> LogDriver {
        LogDriver {
            shared,
            log,
            spare: Group::default(),
            bytes_since_ring: 0,
            crowd: 0,
            took_ns: 0,
        }
    }

    /// Writes, syncs and publishes a group of what is pending.
    pub fn step(&mut self) -> Step {
        let shared = &self.shared;
        let Some(mut group) = shared.queue.take(&mut self.spare) else { return Step::Idle };
        let started = shared.options.clock.monotonic_ns();
        let switched = match self.log.append(&mut group, || shared.options.entropy.next_u64()) {
            Ok(switched) => switched,
            Err(error) => {
                shared.queue.stop(&format!("the log cannot be written: {error}"));
                shared.room.make();
                return Step::Idle;
            }
        };
        shared.queue.written(&group, self.log.left());
        if switched {
            shared.queue.found_room(self.log.waiting());
        }
        let came = group.last - group.first + 1 + shared.queue.waiting_commits();
        self.crowd = came.max(self.crowd - self.crowd.div_ceil(16));
        shared.publish(group.last);
        shared.room.make();
        let metrics = &shared.metrics;
        metrics::add(&metrics.groups, 1);
        metrics::add(&metrics.log_syncs, 1);
        metrics::add(&metrics.log_bytes, group.bytes.len() as u64);
        let took = shared.options.clock.monotonic_ns().saturating_sub(started);
        metrics.group_time.record(took);
        self.took_ns = took;
        self.bytes_since_ring += group.bytes.len() as u64;
        if switched || self.bytes_since_ring > RING_EVERY {
            self.bytes_since_ring = 0;
            shared.upkeep.ring();
        }
        self.spare = group;
        Step::Worked
    }

    /// For a thread that does nothing else: waits for commits and makes them durable. One in a
    /// crowd waits a moment for the others, since a sync costs the same for all of them: each costs
    /// the processors tens of microseconds, more than a commit does.
    pub fn drive(&mut self) -> Wake {
        let wake = self.wait();
        loop {
            if self.crowd >= CROWD_MIN {
                let at_most = GATHER_NS_MAX.min(GATHER_TIMES * self.took_ns);
                self.shared.queue.gather(self.crowd, Duration::from_nanos(at_most));
            }
            if self.step() == Step::Idle {
                return wake;
            }
        }
    }

    /// Blocks the thread until there is work.
    pub fn wait(&self) -> Wake {
        self.shared.queue.work.wait()
    }

    /// The same for a task.
    pub async fn ready(&self) -> Wake {
        self.shared.queue.work.ready().await
    }
}
