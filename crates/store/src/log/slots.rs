//! The files of the log: the segment that is written, those before it, and empty ones in waiting.
//!
//! A file (a slot) keeps its name for life and is used again and again: what a segment is stands in
//! its header, so that going on to the next one changes no names and needs no sync of its own. There
//! is always a slot in waiting (and a second one under load), written full of zeros beforehand, so that a sync of the log has only
//! data to move and an accepted commit cannot fail for want of space.

use super::record::{HEADER_BLOCK, Header};
use crate::disk::{Disk, File, OpenMode};
use crate::engine::{Step, Version};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

pub(super) const FOLDER: &str = "log";
/// Zeros written in one step of maintenance.
const ZERO_STEP: usize = 1 << 20;
static ZEROS: [u8; ZERO_STEP] = [0; ZERO_STEP];
/// The first segment is no longer than this.
const FIRST_BYTES_MAX: u64 = 2 << 20;
/// Segments grow with use from the first size up to this many times it.
const GROWTH_MAX: u64 = 2;
/// One to go on with, and one that came back: so under steady load no slot is made or removed.
const WAITING_MAX: usize = 2;

/// Slots beside the one that is written, once the log is in use.
const SPARE_MIN: usize = 2;

#[derive(Debug)]
pub(super) struct Slot {
    pub name: String,
    pub file: Arc<dyn File>,
    pub bytes: u64,
}

/// A slot with commits in it that is no longer written.
#[derive(Debug)]
pub(super) struct Full {
    pub slot: Slot,
    pub last: Version,
}

#[derive(Debug)]
pub(crate) struct Slots {
    disk: Arc<dyn Disk>,
    /// Size of the first segment.
    base_bytes: u64,
    zero_fill: bool,
    pub(super) waiting: Vec<Slot>,
    pub(super) full: VecDeque<Full>,
    next_name: u64,
    next_bytes: u64,
}

impl Slots {
    pub(super) fn new(disk: Arc<dyn Disk>, base_bytes: u64, zero_fill: bool) -> Slots {
        Slots {
            disk,
            base_bytes,
            zero_fill,
            waiting: Vec::new(),
            full: VecDeque::new(),
            next_name: 1,
            next_bytes: base_bytes,
        }
    }

    /// Opens every slot there is, with its header if it has a valid one.
    pub(super) fn open_all(&mut self) -> io::Result<Vec<(Slot, Option<Header>)>> {
        let mut found = Vec::new();
        for name in self.disk.list(FOLDER)? {
            let Some(number) = name.strip_prefix("slot-").and_then(|n| n.parse::<u64>().ok())
            else {
                continue;
            };
            self.next_name = self.next_name.max(number + 1);
            let file = self.disk.open(&format!("{FOLDER}/{name}"), OpenMode::ReadWrite)?;
            let bytes = file.len()?;
            let mut block = [0; 512];
            let header = match file.read_exact_at(&mut block, 0) {
                Ok(()) => Header::decode(&block),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
                Err(error) => return Err(error),
            };
            found.push((Slot { name, file, bytes }, header));
        }
        Ok(found)
    }

    /// The first slot of a store: small, so that a first start is quick.
    pub(super) fn create_first(&mut self) -> io::Result<Slot> {
        let slot = self.create_empty(self.base_bytes.min(FIRST_BYTES_MAX))?;
        if self.zero_fill {
            slot.file.write_all_at(&vec![0; slot.bytes as usize], 0)?;
        }
        self.finish(slot)
    }

    /// A slot for which there is no time to fill it.
    pub(super) fn create_in_need(&mut self, bytes: u64) -> io::Result<Slot> {
        let slot = self.create_empty(bytes)?;
        self.finish(slot)
    }

    fn finish(&mut self, slot: Slot) -> io::Result<Slot> {
        slot.file.allocate(slot.bytes)?;
        slot.file.sync_data()?;
        self.disk.sync_dir(FOLDER)?;
        Ok(slot)
    }

    fn create_empty(&mut self, bytes: u64) -> io::Result<Slot> {
        let name = format!("slot-{:04}", self.next_name);
        let file = self.disk.open(&format!("{FOLDER}/{name}"), OpenMode::CreateNew)?;
        self.next_name += 1;
        Ok(Slot { name, file, bytes })
    }

    pub(super) fn remove(&self, slot: &Slot) -> io::Result<()> {
        self.disk.remove(&format!("{FOLDER}/{}", slot.name))
    }

    /// Bytes of frames that the largest slot in waiting can take.
    pub(super) fn room(&self) -> u64 {
        let largest = self.waiting.iter().map(|slot| slot.bytes).max().unwrap_or(0);
        largest.saturating_sub(HEADER_BLOCK)
    }

    pub(super) fn take_waiting(&mut self) -> Option<Slot> {
        let largest = (0..self.waiting.len()).max_by_key(|i| self.waiting[*i].bytes)?;
        self.next_bytes = (self.next_bytes * 2).min(self.base_bytes * GROWTH_MAX);
        Some(self.waiting.swap_remove(largest))
    }

    /// Whether no slot has to be made. Under load there is a second one, waiting or about to come
    /// back, so that going on to one does not leave the log without.
    fn has_enough(&self, ample: bool) -> bool {
        let in_use = ample && self.next_bytes > self.base_bytes;
        let to_come = self.full.iter().filter(|full| full.slot.bytes >= self.next_bytes).count();
        !self.waiting.is_empty() && (!in_use || self.waiting.len() + to_come >= SPARE_MIN)
    }

    /// Takes back the oldest segment, or a slot too many: the slot that has to go.
    fn take_back(&mut self, flushed: Version) -> Option<(bool, Slot)> {
        if self.full.front().is_some_and(|full| full.last <= flushed) {
            let slot = self.full.pop_front()?.slot;
            let keep = self.waiting.len() < WAITING_MAX && slot.bytes >= self.next_bytes;
            return Some((keep, slot));
        }
        (self.waiting.len() > WAITING_MAX)
            .then(|| self.waiting.pop())
            .flatten()
            .map(|slot| (false, slot))
    }
}

#[derive(Debug)]
struct Making {
    slot: Slot,
    written: u64,
}

/// Sees that a slot is waiting. The lock on [`Slots`] is held for no I/O, since the log needs it when
/// a segment is full.
#[derive(Debug)]
pub(crate) struct SlotMaker {
    slots: Arc<Mutex<Slots>>,
    making: Option<Making>,
}

impl SlotMaker {
    pub(super) fn new(slots: Arc<Mutex<Slots>>) -> SlotMaker {
        SlotMaker { slots, making: None }
    }

    /// One bounded piece of work: takes back segments that the index no longer needs, or goes on
    /// making the slot that waits. In a hurry the zeros are left out: the syncs of that segment will
    /// take longer, which is better than to refuse commits. A second spare is made if space is `ample`.
    pub(crate) fn step(&mut self, flushed: Version, hurry: bool, ample: bool) -> io::Result<Step> {
        let mut slots = self.slots.lock();
        match slots.take_back(flushed) {
            Some((true, slot)) => {
                slots.waiting.push(slot);
                return Ok(Step::Worked);
            }
            Some((false, slot)) => {
                let disk = slots.disk.clone();
                drop(slots);
                disk.remove(&format!("{FOLDER}/{}", slot.name))?;
                return Ok(Step::Worked);
            }
            None if self.making.is_none() && slots.has_enough(ample) => return Ok(Step::Idle),
            None => drop(slots),
        }
        self.make(hurry).inspect_err(|_| self.give_up())
    }

    /// Bytes of frames that the slot in waiting can take.
    pub(crate) fn room(&self) -> u64 {
        self.slots.lock().room()
    }

    fn make(&mut self, hurry: bool) -> io::Result<Step> {
        let Some(making) = &mut self.making else {
            let (slot, zero_fill) = {
                let mut slots = self.slots.lock();
                let bytes = slots.next_bytes;
                (slots.create_empty(bytes)?, slots.zero_fill)
            };
            let written = if zero_fill { 0 } else { slot.bytes };
            // Kept at once, so that it is removed if the space does not suffice.
            let making = self.making.insert(Making { slot, written });
            making.slot.file.allocate(making.slot.bytes)?;
            return Ok(Step::Worked);
        };
        if making.written < making.slot.bytes && !hurry {
            let step = ZERO_STEP.min((making.slot.bytes - making.written) as usize);
            making.slot.file.write_all_at(&ZEROS[..step], making.written)?;
            making.written += step as u64;
            // At once, so that no sync is long: the log's own wait for the same disk.
            making.slot.file.sync_data()?;
            return Ok(Step::Worked);
        }
        making.slot.file.sync_data()?;
        let disk = self.slots.lock().disk.clone();
        disk.sync_dir(FOLDER)?;
        if let Some(making) = self.making.take() {
            self.slots.lock().waiting.push(making.slot);
        }
        Ok(Step::Worked)
    }

    /// Takes away a slot that could not be finished.
    fn give_up(&mut self) {
        if let Some(making) = self.making.take() {
            // If this fails too, the slot is found and used at the next start.
            let _ = self.slots.lock().remove(&making.slot);
        }
    }
}
