//! Reading the log back after a stop of any kind.
//!
//! A group is written only when the one before it is durable. So what cannot be read at the very end
//! was never acknowledged and is dropped; what cannot be read with something valid after it was, and
//! the data is refused.

use super::record::{FRAME_HEADER, Frame, HEADER_BLOCK, Header, decode_commit};
use super::slots::{FOLDER, Full, Slot, Slots};
use super::{Current, Log};
use crate::clear;
use crate::disk::Disk;
use crate::engine::{Engine, Version};
use crate::error::OpenError;
use crate::store::StoreOptions;
use base::Timestamp;
use bytes::Bytes;
use std::sync::Arc;

/// Bytes that are read at once when looking for frames after a broken one.
const WINDOW: usize = 1 << 20;
/// No frame is longer, so a valid one after a broken one begins within this.
const FRAME_BYTES_MAX: u64 = 16 << 20;

/// Where the log ends.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub log: Log,
    pub version: Version,
    pub time: Timestamp,
}

fn damaged(slot: &Slot, what: &str) -> OpenError {
    OpenError::Corrupt(format!("{FOLDER}/{}: {what}", slot.name))
}

/// Makes the first segment of an empty store, whose first commit will be `first`.
pub(crate) fn create(
    disk: Arc<dyn Disk>,
    options: &StoreOptions,
    first: Version,
    time: Timestamp,
) -> Result<Log, OpenError> {
    disk.create_dir(FOLDER)?;
    let mut slots = Slots::new(disk.clone(), options.log_segment_bytes, options.log_zero_fill);
    let slot = slots.create_first()?;
    let header = Header { sequence: 1, salt: options.entropy.next_u64(), first, time };
    slot.file.write_all_at(&header.encode(), 0)?;
    slot.file.sync_data()?;
    disk.sync_dir("")?;
    Ok(Log::new(slots, Current { slot, header, at: HEADER_BLOCK, last: first - 1 }))
}

/// Applies to the engine what it has not kept.
pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    options: &StoreOptions,
    engine: &dyn Engine,
) -> Result<Recovered, OpenError> {
    // A slot that a killed process had just made may be the next one to be written.
    disk.sync_dir(FOLDER)?;
    let mut slots = Slots::new(disk, options.log_segment_bytes, options.log_zero_fill);
    let flushed = engine.flushed();
    let mut segments = Vec::new();
    for (slot, header) in slots.open_all()? {
        match header {
            Some(header) => segments.push((slot, header)),
            None if slot.bytes > HEADER_BLOCK => slots.waiting.push(slot),
            None => slots.remove(&slot)?,
        }
    }
    segments.sort_by_key(|(_, header)| header.sequence);
    let start = segments.iter().rposition(|(_, header)| header.first <= flushed + 1);
    let Some(start) = start else {
        return Err(OpenError::Corrupt(format!("the log after commit {flushed} is missing")));
    };
    let mut live = segments.split_off(start).into_iter().peekable();
    slots.waiting.extend(segments.into_iter().map(|(slot, _)| slot));

    let mut replay = Replay { engine, options, flushed, version: 0, time: Timestamp::EPOCH };
    loop {
        let Some((slot, header)) = live.next() else {
            return Err(OpenError::Corrupt("the log is missing".into()));
        };
        replay.version = header.first - 1;
        replay.time = replay.time.max(header.time);
        let at = replay.segment(&slot, &header)?;
        let Some((_, next)) = live.peek() else {
            if let Some(found) = find_frame(&slot, header.salt, at + 8)? {
                let what = format!("nothing valid at {at}, but acknowledged commits at {found}");
                return Err(damaged(&slot, &what));
            }
            // What a killed process wrote may not be on the disk yet, and is about to be seen.
            slot.file.sync_data()?;
            let current = Current { slot, header, at, last: replay.version };
            let mut log = Log::new(slots, current);
            let version = replay.version.max(flushed);
            if version > replay.version {
                log.go_on_at(version);
            }
            return Ok(Recovered { log, version, time: replay.time });
        };
        if next.sequence != header.sequence + 1 || next.first != replay.version + 1 {
            let what =
                format!("commit {} cannot be read, but later ones are there", replay.version + 1);
            return Err(damaged(&slot, &what));
        }
        slots.full.push_back(Full { slot, last: replay.version });
    }
}

struct Replay<'a> {
    engine: &'a dyn Engine,
    options: &'a StoreOptions,
    flushed: Version,
    version: Version,
    time: Timestamp,
}

impl Replay<'_> {
    /// Replays a segment; gives the place after its last whole frame.
    fn segment(&mut self, slot: &Slot, header: &Header) -> Result<u64, OpenError> {
        let mut at = HEADER_BLOCK;
        while let Some((frame, body)) = read_frame(slot, header.salt, at)? {
            if frame.first != self.version + 1 {
                return Err(damaged(slot, &format!("commit {} is missing", self.version + 1)));
            }
            self.frame(slot, &frame, body)?;
            at += frame.bytes();
        }
        Ok(at)
    }

    fn frame(&mut self, slot: &Slot, frame: &Frame, mut body: Bytes) -> Result<(), OpenError> {
        for _ in 0..frame.commits {
            let Some((time, batch)) = decode_commit(&mut body) else {
                return Err(damaged(slot, "a commit is malformed"));
            };
            self.version += 1;
            self.time = self.time.max(time);
            if self.version > self.flushed {
                let all = clear::spelled_out(self.engine, &batch, self.version - 1);
                let all = all.map_err(|error| damaged(slot, &error.to_string()))?;
                self.engine.apply(all.as_deref().unwrap_or(&batch), self.version);
            }
        }
        // No more than may wait at any time, and nobody waits for merges that can be done later.
        while self.engine.unflushed_bytes() > self.options.unflushed_bytes_max {
            if self.engine.write_out(self.version)? == crate::engine::Step::Idle {
                break;
            }
        }
        Ok(())
    }
}

/// The whole frame at this place; `None` if there is none.
fn read_frame(slot: &Slot, salt: u64, at: u64) -> Result<Option<(Frame, Bytes)>, OpenError> {
    if at + FRAME_HEADER as u64 > slot.bytes {
        return Ok(None);
    }
    let mut header = [0; FRAME_HEADER];
    slot.file.read_exact_at(&mut header, at)?;
    let frame = Frame::decode(&header);
    if frame.salt != salt || at + frame.bytes() > slot.bytes {
        return Ok(None);
    }
    let mut body = vec![0; frame.length as usize];
    slot.file.read_exact_at(&mut body, at + FRAME_HEADER as u64)?;
    Ok(frame.is_whole(&header, &body).then(|| (frame, Bytes::from(body))))
}

/// The first whole frame at or after this place.
fn find_frame(slot: &Slot, salt: u64, from: u64) -> Result<Option<u64>, OpenError> {
    let mut window = vec![0; WINDOW];
    let mut at = from;
    let end = slot.bytes.min(from + FRAME_BYTES_MAX);
    while at + 8 <= end {
        let length = WINDOW.min((end - at) as usize) / 8 * 8;
        slot.file.read_exact_at(&mut window[..length], at)?;
        let salts = window[..length].chunks_exact(8).enumerate();
        for (i, _) in salts.filter(|(_, word)| **word == salt.to_le_bytes()) {
            let place = at + 8 * i as u64;
            if read_frame(slot, salt, place)?.is_some() {
                return Ok(Some(place));
            }
        }
        at += length as u64;
    }
    Ok(None)
}
