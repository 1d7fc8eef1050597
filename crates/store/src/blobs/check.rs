//! Looking at all blobs at once: for a snapshot, and to see whether they are whole.

use super::pins::{FreezeGuard, Target};
use super::reader::BlobReader;
use super::rows::{BLOBS, FREED, Place, RECORDS, SCOPE};
use super::segment::taken_bytes;
use super::{BlobId, Blobs, file, segment};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::Tx;
use std::io;

/// Rows looked at in one snapshot.
const BATCH_MAX: usize = 64;

/// While this lives, no file or segment is removed.
#[derive(Debug)]
pub struct FrozenBlobs {
    blobs: Blobs,
    _freeze: FreezeGuard,
}

/// What [`Blobs::check`] found.
#[derive(Clone, Debug, Default)]
pub struct BlobCheck {
    pub blobs: u64,
    pub size_bytes: u64,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// Files and segments that no row refers to: a crash leaves such, the maintenance removes them.
    pub leftovers: Vec<String>,
}

impl FrozenBlobs {
    /// The files (paths on the disk) with all the blobs of every commit made until now. They do not
    /// change any more, except that bytes which no such commit knows may be written into segments that
    /// have just ended. Freeze first, choose the commit to save, then ask for the files.
    pub fn files(&self) -> io::Result<Vec<String>> {
        let core = &self.blobs.0;
        // Segments that others make meanwhile belong to later commits, and still change their length.
        let next_number = core.segments.end_current();
        let names = core.disk.list(segment::FOLDER)?;
        let is_ended = |name: &&String| segment::parse_name(name).is_none_or(|n| n < next_number);
        let mut files: Vec<String> =
            names.iter().filter(is_ended).map(|n| format!("{}/{n}", segment::FOLDER)).collect();
        let mut names = Vec::new();
        for folder in core.disk.list(file::FOLDER)? {
            let folder = format!("{}/{folder}", file::FOLDER);
            names.extend(core.disk.list(&folder)?.into_iter().map(|name| (folder.clone(), name)));
        }
        // Asked for last, so that none is missing that was there to be listed.
        let unfinished = core.pins.unfinished();
        names.retain(|(_, name)| BlobId::parse(name).is_none_or(|id| !unfinished.contains(&id)));
        files.extend(names.into_iter().map(|(folder, name)| format!("{folder}/{name}")));
        Ok(files)
    }
}

impl Blobs {
    /// Stops all removal, for a snapshot.
    pub fn freeze(&self) -> FrozenBlobs {
        FrozenBlobs { blobs: self.clone(), _freeze: self.0.pins.freeze() }
    }

    /// Reads every blob back and compares what the rows say with what is on the disk. Takes as long
    /// as reading everything does; `store` may be in use meanwhile.
    pub fn check(&self, store: &Store) -> Result<BlobCheck, StoreError> {
        let mut found = BlobCheck::default();
        let mut after = None;
        loop {
            let batch = store.read(|tx| self.check_rows(tx, after, &mut found))?;
            let Some((last, _)) = batch.last() else { break };
            after = Some(*last);
            for (id, reader) in &batch {
                found.blobs += 1;
                found.size_bytes += reader.size_bytes();
                if let Err(error) = reader.verify() {
                    let text = error.to_string();
                    let names_it = text.contains(&id.to_string());
                    found.problems.push(if names_it { text } else { format!("blob {id}: {text}") });
                }
            }
        }
        self.check_records(store, &mut found)?;
        self.find_leftovers(store, &mut found)?;
        Ok(found)
    }

    fn check_rows(
        &self,
        tx: &Tx,
        after: Option<BlobId>,
        found: &mut BlobCheck,
    ) -> Result<Vec<(BlobId, BlobReader)>, StoreError> {
        let scan = tx.scan(&BLOBS, &SCOPE);
        let scan = match &after {
            Some(id) => scan.after(id),
            None => scan,
        };
        let mut batch = Vec::new();
        for row in scan.take(BATCH_MAX) {
            let (id, row) = row?;
            if row.references == 0 {
                found.problems.push(format!("blob {id}: is there without a reference"));
            }
            if row.place == Place::Row && row.content.len() as u64 != row.size_bytes {
                found
                    .problems
                    .push(format!("blob {id}: the content in its row has another length"));
            }
            if tx.exists(&FREED, &SCOPE, &id)? {
                found.problems.push(format!("blob {id}: is in use and freed at once"));
            }
            if let Place::Segment(place) = &row.place {
                let record = tx.get(&RECORDS, &SCOPE, &(place.number, place.offset))?;
                if record
                    .is_none_or(|record| record.id != id || record.size_bytes != row.size_bytes)
                {
                    found.problems.push(format!("blob {id}: its segment does not know of it"));
                }
            }
            batch.push((id, BlobReader::of_row(&self.0, id, &row)));
        }
        Ok(batch)
    }

    /// Each live record belongs to a blob, and none lies upon another.
    fn check_records(&self, store: &Store, found: &mut BlobCheck) -> Result<(), StoreError> {
        let mut after: Option<(u64, u64)> = None;
        let mut end = (0, 0);
        loop {
            let last = store.read(|tx| {
                let scan = tx.scan(&RECORDS, &SCOPE);
                let scan = match &after {
                    Some(key) => scan.after(key),
                    None => scan,
                };
                let mut last = None;
                for record in scan.take(BATCH_MAX) {
                    let (key, record) = record?;
                    let is_its = tx.get(&BLOBS, &SCOPE, &record.id)?.is_some_and(|row| {
                        matches!(&row.place, Place::Segment(at) if (at.number, at.offset) == key)
                    });
                    if !is_its {
                        found.problems.push(format!(
                            "segment {:016x}: the record at {} belongs to no blob",
                            key.0, key.1
                        ));
                    }
                    if key < end {
                        found
                            .problems
                            .push(format!("segment {:016x}: two records meet at {}", key.0, key.1));
                    }
                    end = (key.0, key.1 + taken_bytes(record.size_bytes));
                    last = Some(key);
                }
                Ok::<_, StoreError>(last)
            })?;
            if last.is_none() {
                return Ok(());
            }
            after = last;
        }
    }

    fn find_leftovers(&self, store: &Store, found: &mut BlobCheck) -> Result<(), StoreError> {
        let core = &self.0;
        for name in core.disk.list(segment::FOLDER)? {
            let path = format!("{}/{name}", segment::FOLDER);
            let Some(number) = segment::parse_name(&name) else {
                found.problems.push(format!("{path} is not a segment of ours"));
                continue;
            };
            let is_free =
                core.pins.is_free(Target::Segment(number)) && !core.segments.is_current(number);
            let is_known = store.read(|tx| tx.first(&RECORDS, &SCOPE, &(number,)))?.is_some();
            if is_free && !is_known {
                found.leftovers.push(path);
            }
        }
        for folder in core.disk.list(file::FOLDER)? {
            for name in core.disk.list(&format!("{}/{folder}", file::FOLDER))? {
                let path = format!("{}/{folder}/{name}", file::FOLDER);
                match BlobId::parse(&name).filter(|id| file::path(*id) == path) {
                    None => found.problems.push(format!("{path} is not a blob of ours")),
                    Some(id) => {
                        let is_free = core.pins.is_free(Target::File(id));
                        let is_known = store.read(|tx| tx.exists(&BLOBS, &SCOPE, &id))?;
                        if is_free && !is_known {
                            found.leftovers.push(path);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
