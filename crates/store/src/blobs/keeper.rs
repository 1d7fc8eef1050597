//! The keeper: frees what nothing refers to any more, and moves what is left of mostly dead segments.
//!
//! It works in small steps, driven from outside, and may be stopped between (or in the middle of)
//! any two: what it still has to do is found again in the rows and on the disk.
//!
//! What may be removed, and when:
//! - A *freed* blob (its last reference was released; a row says so) when that commit is durable, when
//!   no transaction reads an older one, and when no pin is on it.
//! - A file *left behind* (found in the folder at the start, or let go by its writer) when the newest
//!   state, looked at after its pin was gone, knows nothing of it: then no commit can come to know it.
//! - A full segment without live records, by the same three conditions. Its writers hold pins on it
//!   until their commit, so the rows are looked at in a state newer than the last pin.

use super::blocking::{block_on, promise};
use super::pins::Target;
use super::reader::BlobReader;
use super::rows::{BLOBS, FREED, Place, RECORDS, RecordRow, SCOPE, SegmentPlace};
use super::segment::{HEADER_BYTES, Record, taken_bytes};
use super::{BlobId, Core, file, segment};
use crate::engine::{Step, Version};
use crate::error::StoreError;
use crate::metrics;
use crate::snapshot::Leftover;
use crate::store::Store;
use crate::tx::Tx;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows changed or files removed in one step.
const BATCH_MAX: usize = 64;
/// Freed rows read at once: they wait together for the readers of older snapshots.
const FREED_MAX: usize = 4096;
/// Content moved in one step.
const MOVE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A segment is sparse if less of it is alive than this.
const SPARSE: (u64, u64) = (1, 2);
/// The same where there is no room for another segment.
const SPARSE_IF_SHORT: (u64, u64) = (3, 4);
/// So many segments that are small (since a restart or a snapshot ended them early) become one.
const SMALL_SEGMENTS_MAX: usize = 8;

/// Maintenance of the blobs. One of them, driven by one thread or task that may block.
#[derive(Debug)]
pub struct BlobKeeper {
    store: Store,
    core: Arc<Core>,
    /// Those of the 256 folders that are to be searched for what a crash left behind.
    folders: VecDeque<u8>,
    /// Files of which it is not known whether a row refers to them.
    suspects: Vec<BlobId>,
    freed: FreedRound,
    /// Segments to be looked at, with the version that the look must have seen.
    survey: BTreeMap<u64, Option<Version>>,
    surveyed_below: u64,
    /// Segments without live records as of a version.
    empty: BTreeMap<u64, Version>,
    small: BTreeSet<u64>,
    sparse: BTreeSet<u64>,
    /// There was no room for another segment when last looked.
    is_short: bool,
    /// Segments with a record that cannot be read: left alone, for a person to look at.
    damaged: BTreeSet<u64>,
    /// Of snapshots, what is left of those that were not finished, or half removed.
    snapshots: Option<VecDeque<Leftover>>,
    put_off: PutOff,
    /// The first error since there was nothing more to do.
    trouble: Option<StoreError>,
}

/// What failed, until the next look: whatever else there is to do goes on.
#[derive(Debug, Default)]
struct PutOff {
    folders: Vec<u8>,
    suspects: Vec<BlobId>,
    survey: BTreeSet<u64>,
    empty: BTreeMap<u64, Version>,
    sparse: BTreeSet<u64>,
    snapshots: Vec<Leftover>,
}

/// A walk over the freed rows, a batch at a time.
#[derive(Debug, Default)]
struct FreedRound {
    after: Option<BlobId>,
    batch: VecDeque<(BlobId, Place)>,
    seen_at: Version,
}

/// A live record on its way to another segment.
struct Move {
    id: BlobId,
    size_bytes: u64,
    from: SegmentPlace,
    reader: BlobReader,
}

impl BlobKeeper {
    /// `store` is one whose writes do not drive this.
    pub(crate) fn new(store: Store) -> BlobKeeper {
        let core = Arc::clone(&store.blobs().0);
        BlobKeeper {
            store,
            core,
            folders: (0..=u8::MAX).collect(),
            suspects: Vec::new(),
            freed: FreedRound::default(),
            survey: BTreeMap::new(),
            surveyed_below: 0,
            empty: BTreeMap::new(),
            small: BTreeSet::new(),
            sparse: BTreeSet::new(),
            is_short: false,
            damaged: BTreeSet::new(),
            snapshots: None,
            put_off: PutOff::default(),
            trouble: None,
        }
    }

    /// One bounded piece of work. `Idle` says that there is nothing that could be done now; what
    /// waits for a reader or a commit is taken up by a later call, a second later, say: a look for
    /// work costs microseconds. An error says the same, and that something failed meanwhile, which is
    /// tried again by a later call.
    pub fn step(&mut self) -> Result<Step, StoreError> {
        if self.core.pins.is_frozen() {
            return Ok(Step::Idle);
        }
        let cleared = self.core.cleared.load(Ordering::Acquire);
        if cleared != 0 {
            // Until it is on the disk, a crash could bring back what it removed.
            if !self.is_past(cleared) {
                return Ok(Step::Idle);
            }
            self.begin_anew();
            let _ =
                self.core.cleared.compare_exchange(cleared, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        let kinds = [
            BlobKeeper::settle_suspects,
            BlobKeeper::free,
            BlobKeeper::remove_empty,
            BlobKeeper::look_at_segment,
            BlobKeeper::move_records,
            BlobKeeper::search_folder,
            BlobKeeper::sweep_snapshots,
        ];
        for kind in kinds {
            match kind(self) {
                Ok(Step::Worked) => return Ok(Step::Worked),
                Ok(Step::Idle) => {}
                Err(error) => self.note(error),
            }
        }
        self.take_up_again();
        match self.trouble.take() {
            None => Ok(Step::Idle),
            Some(error) => {
                metrics::add(&self.store.shared.metrics.keeper_errors, 1);
                Err(error)
            }
        }
    }

    fn note(&mut self, error: impl Into<StoreError>) {
        self.trouble.get_or_insert(error.into());
    }

    fn take_up_again(&mut self) {
        let PutOff { folders, suspects, survey, empty, sparse, snapshots } =
            std::mem::take(&mut self.put_off);
        self.folders.extend(folders);
        self.suspects.extend(suspects);
        self.survey.extend(survey.into_iter().map(|number| (number, None)));
        self.empty.extend(empty);
        self.sparse.extend(sparse);
        if let Some(left) = &mut self.snapshots {
            left.extend(snapshots);
        }
    }

    /// As after a start: what no row knows is found on the disk.
    fn begin_anew(&mut self) {
        self.folders = (0..=u8::MAX).collect();
        self.surveyed_below = 0;
        self.freed = FreedRound::default();
        self.sparse.clear();
        self.small.clear();
    }

    /// Whether nobody reads, or may come to read, a state before `version`, not even after a crash.
    fn is_past(&self, version: Version) -> bool {
        let shared = &self.store.shared;
        shared.horizon() >= version && shared.queue.durable() >= version
    }

    /// Looks at the newest state, durable or not, without changing it.
    fn newest<R>(
        &self,
        mut look: impl FnMut(&Tx) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.store.write(|tx| look(tx)).applied()
    }

    fn search_folder(&mut self) -> Result<Step, StoreError> {
        let Some(last_byte) = self.folders.pop_front() else { return Ok(Step::Idle) };
        match self.core.disk.list(&file::folder(last_byte)) {
            Ok(names) => self.suspects.extend(names.iter().filter_map(|name| BlobId::parse(name))),
            Err(error) => {
                self.put_off.folders.push(last_byte);
                self.note(error);
            }
        }
        Ok(Step::Worked)
    }

    /// Takes away what no manifest makes a snapshot, a part at a time.
    fn sweep_snapshots(&mut self) -> Result<Step, StoreError> {
        let Some(left) = &mut self.snapshots else {
            self.snapshots = Some(self.store.snapshot_leftovers()?.into());
            return Ok(Step::Worked);
        };
        let Some(next) = left.pop_front() else { return Ok(Step::Idle) };
        if let Err(error) = self.store.remove_leftover(&next) {
            self.put_off.snapshots.push(next);
            self.note(error);
        }
        Ok(Step::Worked)
    }

    fn settle_suspects(&mut self) -> Result<Step, StoreError> {
        self.suspects.append(&mut self.core.pins.take_suspects());
        let pins = &self.core.pins;
        // First the pin, then the row: whoever adopts a file holds its pin while doing so.
        let is_ready = |id: &BlobId| pins.is_free(Target::File(*id));
        let batch: Vec<BlobId> =
            self.suspects.iter().copied().filter(is_ready).take(BATCH_MAX).collect();
        if batch.is_empty() {
            return Ok(Step::Idle);
        }
        let known = self.newest(|tx| {
            let is_known =
                |id: &BlobId| Ok(tx.exists(&BLOBS, &SCOPE, id)? || tx.exists(&FREED, &SCOPE, id)?);
            batch.iter().map(is_known).collect::<Result<Vec<bool>, StoreError>>()
        })?;
        for (id, _) in batch.iter().zip(&known).filter(|(_, is_known)| !**is_known) {
            if let Err(error) = self.remove_file(*id) {
                self.put_off.suspects.push(*id);
                self.note(error);
            }
        }
        let done: BTreeSet<BlobId> = batch.into_iter().collect();
        self.suspects.retain(|id| !done.contains(id));
        Ok(Step::Worked)
    }

    /// Whether the file is gone; not so if it is pinned.
    fn remove_file(&self, id: BlobId) -> io::Result<bool> {
        let removed = self
            .core
            .pins
            .remove_if_free(Target::File(id), || self.core.disk.remove(&file::path(id)));
        ignore_absent(removed)
    }

    fn free(&mut self) -> Result<Step, StoreError> {
        if self.freed.batch.is_empty() {
            let after = self.freed.after.take();
            (self.freed.batch, self.freed.seen_at) = self.store.read(|tx| {
                let scan = tx.scan(&FREED, &SCOPE);
                let scan = match &after {
                    Some(id) => scan.after(id),
                    None => scan,
                };
                let rows: Result<VecDeque<_>, StoreError> = scan.take(FREED_MAX).collect();
                Ok::<_, StoreError>((rows?, tx.version()))
            })?;
            if self.freed.batch.len() == FREED_MAX {
                self.freed.after = self.freed.batch.back().map(|(id, _)| *id);
            }
        }
        if self.freed.batch.is_empty() || !self.is_past(self.freed.seen_at) {
            return Ok(Step::Idle);
        }
        let now = self.freed.batch.len().min(BATCH_MAX);
        let batch: Vec<(BlobId, Place)> = self.freed.batch.drain(..now).collect();
        let mut done = Vec::new();
        for (id, place) in batch {
            let is_done = match place {
                Place::Row => true,
                Place::File => self.remove_file(id).unwrap_or_else(|error| {
                    self.note(error);
                    false
                }),
                Place::Segment(place) => {
                    self.survey.entry(place.number).or_default();
                    true
                }
            };
            if is_done {
                done.push(id);
            }
        }
        let has_more = !self.freed.batch.is_empty() || self.freed.after.is_some();
        if done.is_empty() {
            return Ok(if has_more { Step::Worked } else { Step::Idle });
        }
        let delete = |tx: &mut Tx| done.iter().try_for_each(|id| tx.delete(&FREED, &SCOPE, id));
        self.store.write(delete).applied()?;
        Ok(Step::Worked)
    }

    fn look_at_segment(&mut self) -> Result<Step, StoreError> {
        if let Err(error) = self.survey_segments() {
            self.note(error);
        }
        let Some((number, seen)) =
            self.survey.iter().map(|(n, seen)| (*n, *seen)).find(|(n, _)| {
                !self.core.segments.is_current(*n) && self.core.pins.is_free(Target::Segment(*n))
            })
        else {
            return Ok(Step::Idle);
        };
        let Some(version) = seen else {
            // No writer can adopt a record of it from here on.
            let version = self.newest(|tx| Ok(tx.version()))?;
            self.survey.insert(number, Some(version));
            return Ok(Step::Worked);
        };
        let (seen_at, live_bytes) = self.store.read(|tx| {
            let mut live_bytes = 0;
            for record in tx.scan(&RECORDS, &SCOPE).prefix(&(number,)) {
                live_bytes += taken_bytes(record?.1.size_bytes);
            }
            Ok::<_, StoreError>((tx.version(), live_bytes))
        })?;
        if seen_at < version {
            return Ok(Step::Idle);
        }
        self.survey.remove(&number);
        self.judge(number, live_bytes, seen_at).inspect_err(|_| {
            self.put_off.survey.insert(number);
        })?;
        Ok(Step::Worked)
    }

    /// Finds segments that are to be looked at.
    fn survey_segments(&mut self) -> io::Result<()> {
        let is_short = self.core.segments.is_short_of_space()?;
        // What counts as sparse, or as small, is another thing then.
        if self.surveyed_below == 0 || is_short != self.is_short {
            for name in self.core.disk.list(segment::FOLDER)? {
                self.survey.extend(segment::parse_name(&name).map(|number| (number, None)));
            }
            self.is_short = is_short;
        }
        let next_number = self.core.segments.next_number();
        let new = self.surveyed_below.max(1)..next_number;
        if self.surveyed_below != 0 {
            self.survey.extend(new.map(|number| (number, None)));
        }
        self.surveyed_below = next_number;
        Ok(())
    }

    fn judge(&mut self, number: u64, live_bytes: u64, seen_at: Version) -> io::Result<()> {
        if live_bytes == 0 {
            self.empty.insert(number, seen_at);
            return Ok(());
        }
        if self.damaged.contains(&number) {
            return Ok(());
        }
        let size_bytes = match self.core.segments.open(number) {
            Ok(file) => file.len()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.damaged.insert(number);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let spare = if self.is_short { SPARSE_IF_SHORT } else { SPARSE };
        if live_bytes.saturating_mul(spare.1) < size_bytes.saturating_mul(spare.0) {
            self.sparse.insert(number);
        } else if !self.is_short && size_bytes.saturating_mul(8) < self.core.segments.size_bytes() {
            self.small.insert(number);
            if self.small.len() >= SMALL_SEGMENTS_MAX {
                self.sparse.append(&mut self.small);
            }
        }
        Ok(())
    }

    fn remove_empty(&mut self) -> Result<Step, StoreError> {
        let is_ready = |(number, seen_at): (&u64, &Version)| {
            let is_free = self.core.pins.is_free(Target::Segment(*number));
            (is_free && self.is_past(*seen_at)).then_some((*number, *seen_at))
        };
        let Some((number, seen_at)) = self.empty.iter().find_map(is_ready) else {
            return Ok(Step::Idle);
        };
        let removed = self
            .core
            .pins
            .remove_if_free(Target::Segment(number), || self.core.segments.remove(number));
        match ignore_absent(removed) {
            Ok(false) => return Ok(Step::Idle),
            Ok(true) => {
                self.small.remove(&number);
            }
            Err(error) => {
                self.put_off.empty.insert(number, seen_at);
                self.note(error);
            }
        }
        self.empty.remove(&number);
        Ok(Step::Worked)
    }

    /// Copies some live records of a sparse segment to another one, then changes their rows.
    fn move_records(&mut self) -> Result<Step, StoreError> {
        let sparse: Vec<u64> = self.sparse.iter().copied().collect();
        let mut no_room = false;
        for number in sparse {
            match self.move_records_of(number) {
                // Not this one; it is tried again at the next look.
                Err(StoreError::Full) => no_room = true,
                Err(StoreError::Busy) => {}
                Err(error) => {
                    self.sparse.remove(&number);
                    self.put_off.sparse.insert(number);
                    self.note(error);
                }
                Ok(()) => return Ok(Step::Worked),
            }
        }
        if no_room {
            self.store.shared.space.want_reserve();
            self.store.shared.upkeep.ring();
        }
        Ok(Step::Idle)
    }

    fn move_records_of(&mut self, number: u64) -> Result<(), StoreError> {
        let (moves, left_bytes) = self.moves_of(number)?;
        if moves.is_empty() {
            self.core.segments.end_moving();
            self.sparse.remove(&number);
            self.survey.insert(number, None);
            return Ok(());
        }
        let records = match self.copy(&moves, left_bytes) {
            Ok(records) => records,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.sparse.remove(&number);
                self.damaged.insert(number);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // If there is no room for the rows, the copies are dead.
        let moved = self.store.write(|tx| {
            tx.mark_freeing();
            moves.iter().zip(&records).try_for_each(|(from, to)| change_place(tx, from, to))
        });
        moved.applied()
    }

    /// The next records to be moved, and what there is to be moved in all.
    fn moves_of(&self, number: u64) -> Result<(Vec<Move>, u64), StoreError> {
        self.store.read(|tx| {
            let (mut moves, mut bytes, mut left_bytes) = (Vec::new(), 0, 0);
            for record in tx.scan(&RECORDS, &SCOPE).prefix(&(number,)) {
                let ((number, offset), RecordRow { id, size_bytes }) = record?;
                left_bytes += taken_bytes(size_bytes);
                if bytes >= MOVE_BYTES_MAX {
                    continue;
                }
                let Some(row) = tx.get(&BLOBS, &SCOPE, &id)? else { continue };
                let reader = BlobReader::of_row(&self.core, id, &row);
                let from = SegmentPlace { number, offset };
                moves.push(Move { id, size_bytes, from, reader });
                bytes += size_bytes;
            }
            Ok((moves, left_bytes))
        })
    }

    fn copy(&self, moves: &[Move], mut left_bytes: u64) -> io::Result<Vec<Record>> {
        let (mut waiting, mut promises) = (Vec::new(), Vec::new());
        for Move { id, size_bytes, reader, .. } in moves {
            let mut bytes = vec![0; HEADER_BYTES];
            bytes.reserve_exact(*size_bytes as usize);
            reader.read_into(&mut bytes)?;
            let (answer, promised) = promise();
            let unsynced = self.core.segments.append_moved(*id, &mut bytes, left_bytes)?;
            left_bytes = left_bytes.saturating_sub(taken_bytes(*size_bytes));
            waiting.push((unsynced, answer));
            promises.push(promised);
        }
        self.core.segments.sync_all(waiting);
        promises.into_iter().map(block_on).collect()
    }
}

/// Unless the blob was released meanwhile: then the copy is simply dead.
fn change_place(tx: &mut Tx, from: &Move, to: &Record) -> Result<(), StoreError> {
    let Some(mut row) = tx.get(&BLOBS, &SCOPE, &from.id)? else { return Ok(()) };
    if row.place != Place::Segment(from.from.clone()) {
        return Ok(());
    }
    row.place = Place::Segment(SegmentPlace { number: to.number, offset: to.offset });
    tx.put(&BLOBS, &SCOPE, &from.id, &row)?;
    tx.delete(&RECORDS, &SCOPE, &(from.from.number, from.from.offset))?;
    let record = RecordRow { id: from.id, size_bytes: from.size_bytes };
    tx.put(&RECORDS, &SCOPE, &(to.number, to.offset), &record)
}

/// `None` is pinned: not removed. What is absent already is removed.
fn ignore_absent(removed: Option<io::Result<()>>) -> io::Result<bool> {
    match removed {
        None => Ok(false),
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Some(_) => Ok(true),
    }
}
