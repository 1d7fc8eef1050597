//! Shared files for blobs of middling size: many records in one file, one sync for many writers.
//!
//! A segment is a file of 64 MiB, reserved at once, numbered in the order of making; where there is
//! no room for one, an eighth of that has to do. A record is a
//! header and the content, beginning at a multiple of 512 bytes, so that no record shares a disk
//! sector with one that is written later:
//! ```text
//! 0 magic "CBR1" | 4 CRC32C of bytes 8..96 | 8 id (16) | 24 length (8) | 32 CRC32C per 64 KiB (16 x 4)
//! ```
//! numbers little-endian. The rows say where the live records are; the headers serve to check.
//! A segment is appended to by the process that made it, until it is full or a snapshot shares it,
//! and never changes after that: other folders may hold the same file by a second name.
//!
//! A place in the segment is handed out under a lock, written without it, and made durable by a
//! sync that begins after the write: one sync answers all that were waiting when it began.

use super::blocking::Answer;
use super::pins::{PinGuard, Pins, Target};
use super::{BlobId, Counters, Failure, Health, SEGMENT_BLOB_BYTES_MAX, Site, crc32c};
use crate::disk::{Disk, File, OpenMode};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) const FOLDER: &str = "blobs/segment";
pub(super) const HEADER_BYTES: usize = 96;
/// Content covered by one checksum.
pub(super) const SUM_BYTES: usize = 64 * 1024;
const ALIGN_BYTES: u64 = 512;
const MAGIC: [u8; 4] = *b"CBR1";
const SUMS_AT: usize = 32;
/// Open segments kept for readers.
const HANDLES_MAX: usize = 64;
/// What part of a segment is made where there is no room for a whole one.
const SMALL_PART: u64 = 8;

const _: () = assert!(SEGMENT_BLOB_BYTES_MAX / SUM_BYTES * 4 == HEADER_BYTES - SUMS_AT);

#[derive(Debug)]
pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    site: Arc<Site>,
    pins: Arc<Pins>,
    counters: Arc<Counters>,
    health: Arc<Health>,
    size_bytes: u64,
    current: Mutex<Current>,
    sync: Mutex<SyncQueue>,
    /// Segments of which a sync failed.
    failed: Mutex<BTreeMap<u64, Failure>>,
    handles: Mutex<BTreeMap<u64, Arc<dyn File>>>,
}

#[derive(Debug)]
struct Current {
    segment: Option<Open>,
    /// What is moved goes here when there is no room for a segment that all append to.
    moving: Option<Open>,
    next_number: u64,
}

#[derive(Debug)]
struct Open {
    number: u64,
    file: Arc<dyn File>,
    tail: u64,
    size_bytes: u64,
}

impl Open {
    fn has_room(&self, bytes: u64) -> bool {
        self.tail + bytes <= self.size_bytes
    }
}

#[derive(Debug, Default)]
struct SyncQueue {
    waiting: Vec<Waiting>,
    is_running: bool,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    file: Arc<dyn File>,
    record: Record,
    answer: Answer<Record>,
}

/// Room for a record.
struct Reserved {
    number: u64,
    offset: u64,
    file: Arc<dyn File>,
    pin: PinGuard,
}

/// A record that has been written.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) offset: u64,
    /// The checksums, as in the header.
    pub(super) sums: Vec<u8>,
    pub(super) pin: PinGuard,
}

/// What is durable once it is written: a record whose sync is still to come.
#[derive(Debug)]
pub(super) struct Unsynced {
    file: Arc<dyn File>,
    record: Record,
}

pub(super) fn path(number: u64) -> String {
    format!("{FOLDER}/{number:016x}")
}

pub(super) fn parse_name(name: &str) -> Option<u64> {
    (name.len() == 16).then(|| u64::from_str_radix(name, 16).ok()).flatten()
}

/// The bytes that a record of `size_bytes` of content takes in its segment.
pub(super) fn taken_bytes(size_bytes: u64) -> u64 {
    (HEADER_BYTES as u64 + size_bytes).next_multiple_of(ALIGN_BYTES)
}

/// Fills in the header of `record` (which has room for it before the content); gives the checksums.
pub(super) fn seal(record: &mut [u8], id: BlobId) -> Vec<u8> {
    let (header, content) = record.split_at_mut(HEADER_BYTES);
    let sums: Vec<u8> =
        content.chunks(SUM_BYTES).flat_map(|chunk| crc32c(chunk).to_le_bytes()).collect();
    header.fill(0);
    header[..4].copy_from_slice(&MAGIC);
    header[8..24].copy_from_slice(&id.0);
    header[24..32].copy_from_slice(&(content.len() as u64).to_le_bytes());
    header[SUMS_AT..SUMS_AT + sums.len()].copy_from_slice(&sums);
    let sum = crc32c(&header[8..]);
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    sums
}

/// Whether `header` is that of this blob.
pub(super) fn is_header_of(header: &[u8], id: BlobId, size_bytes: u64, sums: &[u8]) -> bool {
    header.len() == HEADER_BYTES
        && header[..4] == MAGIC
        && header[4..8] == crc32c(&header[8..]).to_le_bytes()
        && header[8..24] == id.0
        && header[24..32] == size_bytes.to_le_bytes()
        && header[SUMS_AT..].starts_with(sums)
}

impl Segments {
    /// `numbers` are those on the disk. None of them is appended to any more.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        site: Arc<Site>,
        pins: Arc<Pins>,
        counters: Arc<Counters>,
        health: Arc<Health>,
        size_bytes: u64,
        last_number: u64,
    ) -> Segments {
        Segments {
            disk,
            site,
            pins,
            counters,
            health,
            size_bytes,
            current: Mutex::new(Current {
                segment: None,
                moving: None,
                next_number: last_number + 1,
            }),
            sync: Mutex::default(),
            failed: Mutex::default(),
            handles: Mutex::default(),
        }
    }

    /// Writes a record: `bytes` are room for a header and then the content.
    pub(super) fn append(&self, id: BlobId, bytes: &mut [u8]) -> io::Result<Unsynced> {
        let taken = (bytes.len() as u64).next_multiple_of(ALIGN_BYTES);
        let place = self.reserve(&mut self.current.lock(), taken)?;
        self.write(place, id, bytes)
    }

    /// The same for one that is moved from a sparse segment, of which `left_bytes` are to be moved in
    /// all. On a full disk it may go below what is left to the log, since it ends with more room.
    pub(super) fn append_moved(
        &self,
        id: BlobId,
        bytes: &mut [u8],
        left_bytes: u64,
    ) -> io::Result<Unsynced> {
        let taken = (bytes.len() as u64).next_multiple_of(ALIGN_BYTES);
        let place = {
            let mut current = self.current.lock();
            match self.reserve(&mut current, taken) {
                Err(error) if super::is_full(&error) => {
                    self.reserve_moving(&mut current, taken, left_bytes)?
                }
                reserved => reserved?,
            }
        };
        self.write(place, id, bytes)
    }

    fn write(&self, place: Reserved, id: BlobId, bytes: &mut [u8]) -> io::Result<Unsynced> {
        let Reserved { number, offset, file, pin } = place;
        let sums = seal(bytes, id);
        file.write_all_at(bytes, offset)?;
        self.counters.bytes_written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(Unsynced { file, record: Record { number, offset, sums, pin } })
    }

    fn reserve(&self, current: &mut Current, taken: u64) -> io::Result<Reserved> {
        if !current.segment.as_ref().is_some_and(|open| open.has_room(taken)) {
            // The new one first: if the disk is full, the old one stays for smaller records.
            let small = (self.size_bytes / SMALL_PART).max(taken);
            let next = match self.site.check_space(self.size_bytes) {
                Ok(()) => self.create(current.next_number, self.size_bytes)?,
                Err(error) if super::is_full(&error) => {
                    self.site.check_space(small)?;
                    self.create(current.next_number, small)?
                }
                Err(error) => return Err(error),
            };
            current.next_number += 1;
            if let Some(old) = current.segment.replace(next) {
                give_back_tail(&old);
            }
        }
        let open = current.segment.as_mut();
        Ok(self.reserve_in(open.ok_or_else(|| io::Error::other("no open segment"))?, taken))
    }

    fn reserve_moving(
        &self,
        current: &mut Current,
        taken: u64,
        left_bytes: u64,
    ) -> io::Result<Reserved> {
        if !current.moving.as_ref().is_some_and(|open| open.has_room(taken)) {
            let size_bytes = left_bytes.clamp(taken, self.size_bytes.max(taken));
            self.site.check_space_for_move(size_bytes)?;
            let next = self.create(current.next_number, size_bytes)?;
            current.next_number += 1;
            if let Some(old) = current.moving.replace(next) {
                give_back_tail(&old);
            }
        }
        let open = current.moving.as_mut();
        Ok(self.reserve_in(open.ok_or_else(|| io::Error::other("no open segment"))?, taken))
    }

    fn reserve_in(&self, open: &mut Open, taken: u64) -> Reserved {
        let offset = open.tail;
        open.tail += taken;
        let pin = self.pins.pin(Target::Segment(open.number));
        Reserved { number: open.number, offset, file: Arc::clone(&open.file), pin }
    }

    /// Whether there is no room for another segment.
    pub(super) fn is_short_of_space(&self) -> io::Result<bool> {
        match self.site.check_space(self.size_bytes) {
            Ok(()) => Ok(false),
            Err(error) if super::is_full(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn create(&self, number: u64, size_bytes: u64) -> io::Result<Open> {
        self.health.check()?;
        self.site.ensure_folder(FOLDER)?;
        let path = path(number);
        let file = self.disk.open(&path, OpenMode::CreateNew)?;
        let made = file
            .allocate(size_bytes)
            .and_then(|()| self.health.note_sync(self.disk.sync_dir(FOLDER)));
        if let Err(error) = made {
            let _ = self.disk.remove(&path);
            return Err(error);
        }
        self.keep_handle(number, &file);
        Ok(Open { number, file, tail: 0, size_bytes })
    }

    /// Has `answer` given once the record is durable. Blocks, possibly on behalf of others.
    pub(super) fn sync(&self, unsynced: Unsynced, answer: Answer<Record>) {
        self.sync_all([(unsynced, answer)]);
    }

    /// The same for several records.
    pub(super) fn sync_all(&self, records: impl IntoIterator<Item = (Unsynced, Answer<Record>)>) {
        let waiting = records.into_iter().map(|(Unsynced { file, record }, answer)| Waiting {
            number: record.number,
            file,
            record,
            answer,
        });
        let mut queue = self.sync.lock();
        queue.waiting.extend(waiting);
        if queue.is_running {
            return;
        }
        queue.is_running = true;
        loop {
            let batch = std::mem::take(&mut queue.waiting);
            if batch.is_empty() {
                queue.is_running = false;
                return;
            }
            drop(queue);
            self.sync_batch(batch);
            queue = self.sync.lock();
        }
    }

    fn sync_batch(&self, batch: Vec<Waiting>) {
        let mut results: BTreeMap<u64, Result<(), Failure>> = BTreeMap::new();
        for waiting in batch {
            let number = waiting.number;
            let result = results.entry(number).or_insert_with(|| {
                if let Some(failure) = self.failed.lock().get(&number) {
                    return Err(failure.clone());
                }
                self.counters.syncs.fetch_add(1, Ordering::Relaxed);
                self.health.note_sync(waiting.file.sync_data()).map_err(|error| {
                    // What was written since the last sync may be gone: nothing more goes there, and
                    // another sync, which may well succeed, would say nothing about it.
                    let failure = Failure::of(&error);
                    self.abandon(number);
                    self.failed.lock().insert(number, failure.clone());
                    failure
                })
            });
            waiting.answer.give(match result {
                Ok(()) => Ok(waiting.record),
                Err(failure) => Err(failure.error()),
            });
        }
    }

    fn abandon(&self, number: u64) {
        let mut current = self.current.lock();
        let Current { segment, moving, .. } = &mut *current;
        for place in [segment, moving] {
            place.take_if(|open| open.number == number);
        }
    }

    /// Ends the segments that are appended to, so that they will not change any more; the number from
    /// which on others will be made.
    pub(super) fn end_current(&self) -> u64 {
        let (old, next_number) = {
            let mut current = self.current.lock();
            ([current.segment.take(), current.moving.take()], current.next_number)
        };
        old.iter().flatten().for_each(give_back_tail);
        next_number
    }

    /// Ends the one to which records are moved on a full disk.
    pub(super) fn end_moving(&self) {
        if let Some(old) = self.current.lock().moving.take() {
            give_back_tail(&old);
        }
    }

    pub(super) fn is_current(&self, number: u64) -> bool {
        let current = self.current.lock();
        [&current.segment, &current.moving].into_iter().flatten().any(|open| open.number == number)
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The number that no segment has yet.
    pub(super) fn next_number(&self) -> u64 {
        self.current.lock().next_number
    }

    /// The segment, if it is open already.
    pub(super) fn opened(&self, number: u64) -> Option<Arc<dyn File>> {
        self.handles.lock().get(&number).cloned()
    }

    pub(super) fn open(&self, number: u64) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.opened(number) {
            return Ok(file);
        }
        let file = self.disk.open(&path(number), OpenMode::Read)?;
        self.keep_handle(number, &file);
        Ok(file)
    }

    fn keep_handle(&self, number: u64, file: &Arc<dyn File>) {
        let mut handles = self.handles.lock();
        if handles.len() >= HANDLES_MAX {
            handles.pop_first();
        }
        handles.insert(number, Arc::clone(file));
    }

    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        self.handles.lock().remove(&number);
        self.disk.remove(&path(number))
    }
}

/// Returns the reserved space that was not used. Records under way lie before the tail, so this
/// does not touch them; should it fail, the space comes back with the segment.
fn give_back_tail(open: &Open) {
    let _ = open.file.set_len(open.tail);
}
