//! A run: tables that do not overlap, in order of their keys, read as one sequence.

use super::Entry;
use super::block::Block;
use super::codec::Bad;
use super::fence::Fences;
use super::table::{Fill, Table};
use crate::engine::Version;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// Tables in order, and a way to search them.
#[derive(Default, Debug)]
pub(super) struct Tables {
    tables: Vec<Arc<Table>>,
    /// Of the last key of each.
    fences: Fences,
}

pub(super) type Run = Arc<Tables>;

impl Deref for Tables {
    type Target = [Arc<Table>];

    fn deref(&self) -> &[Arc<Table>] {
        &self.tables
    }
}

impl FromIterator<Arc<Table>> for Tables {
    fn from_iter<T: IntoIterator<Item = Arc<Table>>>(tables: T) -> Self {
        let tables: Vec<_> = tables.into_iter().collect();
        let fences = Fences::new(tables.iter().map(|table| &table.meta.max_key[..]));
        Self { tables, fences }
    }
}

impl Tables {
    pub(super) fn of(table: Arc<Table>) -> Run {
        Arc::new(std::iter::once(table).collect())
    }

    /// How many tables end before the key.
    pub(super) fn ending_before(&self, key: &[u8]) -> usize {
        let open = self.fences.search(key);
        let before =
            self.tables[open.clone()].partition_point(|table| table.meta.max_key[..] < *key);
        open.start + before
    }

    /// The only table that may hold the key.
    pub(super) fn table_for(&self, key: &[u8]) -> Option<&Arc<Table>> {
        // Level 0 has runs of one, which need no search.
        let at = if self.tables.len() == 1 { 0 } else { self.ending_before(key) };
        self.tables.get(at).filter(|table| table.holds(key))
    }
}

/// What is decoded next: forward this segment, in reverse the one before it.
#[derive(Clone, Copy, Debug)]
struct Place {
    table: usize,
    block: usize,
    segment: usize,
}

/// Past every segment of a block.
const ALL: usize = usize::MAX;

/// So many blocks in a row are a scan that will likely go on.
const ALONG_FROM: usize = 3;

#[derive(Debug)]
pub(super) struct RunCursor {
    run: Run,
    fill: Fill,
    reverse: bool,
    place: Option<Place>,
    /// The block that `place` is in, once it was read: table, ordinal.
    block: Option<(usize, usize, Block)>,
    /// Blocks read in a row; from some on, more are read at once.
    in_row: usize,
    /// Blocks of a table that were read along, the next one last.
    along: Vec<(usize, usize, Block)>,
    /// Decoded, the next entry last.
    ahead: Vec<Entry>,
}

impl RunCursor {
    pub(super) fn new(run: Run, fill: Fill, reverse: bool) -> Self {
        Self {
            run,
            fill,
            reverse,
            place: None,
            block: None,
            in_row: 0,
            along: Vec::new(),
            ahead: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.ahead.pop() {
                return Ok(Some(entry));
            }
            if !self.decode()? {
                return Ok(None);
            }
        }
    }

    /// To the gap before `key` (`None`: the end); entries beyond it, in the cursor's direction, follow.
    pub(super) fn seek(&mut self, key: Option<&[u8]>) -> io::Result<()> {
        let Some(key) = key else {
            self.ahead.clear();
            self.place = self.end_of_table_before(self.run.len())?;
            return Ok(());
        };
        self.skip(key);
        if !self.ahead.is_empty() {
            return Ok(());
        }
        if !self.seek_in_block(key)? {
            self.in_row = 0;
            self.find(key)?;
        }
        // The segment found may begin with entries on this side of the gap.
        while self.decode()? {
            self.skip(key);
            if !self.ahead.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Drops what was decoded on this side of the gap.
    fn skip(&mut self, key: &[u8]) {
        while self.ahead.last().is_some_and(|entry| !entry.beyond(key, self.reverse)) {
            self.ahead.pop();
        }
    }

    fn bad(&self, table: usize, bad: Bad) -> io::Error {
        match self.run.get(table) {
            Some(table) => table.bad(bad),
            None => io::Error::new(io::ErrorKind::InvalidData, bad.0),
        }
    }

    /// Most seeks go a little way: looks for the gap strictly inside the block at hand.
    fn seek_in_block(&mut self, key: &[u8]) -> io::Result<bool> {
        let (Some(place), Some((table, ordinal, block))) = (self.place, &self.block) else {
            return Ok(false);
        };
        if (place.table, place.block) != (*table, *ordinal) {
            return Ok(false);
        }
        let before =
            block.segments_before(key, Version::MAX).map_err(|bad| self.bad(*table, bad))?;
        if before == 0 || before == block.segments() {
            return Ok(false);
        }
        let segment = if self.reverse { before } else { before - 1 };
        self.place = Some(Place { segment, ..place });
        Ok(true)
    }

    /// Sets the place from the index.
    fn find(&mut self, key: &[u8]) -> io::Result<()> {
        let table = self.run.ending_before(key);
        let begins_after = self.run.get(table).is_none_or(|table| table.meta.min_key[..] >= *key);
        if begins_after {
            self.place = if self.reverse {
                self.end_of_table_before(table)?
            } else {
                (table < self.run.len()).then_some(Place { table, block: 0, segment: 0 })
            };
            return Ok(());
        }
        let found = &self.run[table];
        let block = found.loaded()?.block_for(key, Version::MAX).map_err(|bad| found.bad(bad))?;
        let block = block.ok_or_else(|| found.bad(Bad("its index does not reach its last key")))?;
        let content = found.block(block, self.fill)?;
        let before = content.segments_before(key, Version::MAX).map_err(|bad| found.bad(bad))?;
        let segment = if self.reverse { before } else { before.saturating_sub(1) };
        self.place = Some(Place { table, block, segment });
        self.block = Some((table, block, content));
        Ok(())
    }

    fn end_of_table_before(&self, table: usize) -> io::Result<Option<Place>> {
        let Some(table) = table.checked_sub(1) else { return Ok(None) };
        let Some(last) = self.run.get(table) else { return Ok(None) };
        Ok(Some(Place { table, block: last.loaded()?.blocks() - 1, segment: ALL }))
    }

    /// Decodes the segment at the place and moves on; `false` at the end. An error leaves all as is.
    fn decode(&mut self) -> io::Result<bool> {
        loop {
            let Some(place) = self.place else { return Ok(false) };
            let block = match &self.block {
                Some((table, ordinal, block))
                    if (*table, *ordinal) == (place.table, place.block) =>
                {
                    block.clone()
                }
                _ => {
                    let block = self.read(place)?;
                    self.block = Some((place.table, place.block, block.clone()));
                    block
                }
            };
            let segments = block.segments();
            let decode = if self.reverse {
                place.segment.min(segments).checked_sub(1)
            } else {
                Some(place.segment).filter(|segment| *segment < segments)
            };
            let Some(segment) = decode else {
                self.place = self.neighbour(place)?;
                continue;
            };
            let mut entries = std::mem::take(&mut self.ahead);
            let decoded = block.segment(segment, &mut entries);
            if decoded.is_err() {
                entries.clear();
            } else if !self.reverse {
                entries.reverse();
            }
            self.ahead = entries;
            decoded.map_err(|bad| self.bad(place.table, bad))?;
            let segment = if self.reverse { segment } else { segment + 1 };
            self.place = Some(Place { segment, ..place });
            return Ok(true);
        }
    }

    fn read(&mut self, place: Place) -> io::Result<Block> {
        let beyond = Bad("a block is looked for beyond its end");
        let Some(table) = self.run.get(place.table).cloned() else {
            return Err(self.bad(place.table, beyond));
        };
        self.in_row += 1;
        while let Some((of, ordinal, block)) = self.along.pop() {
            if (of, ordinal) == (place.table, place.block) {
                return Ok(block);
            }
        }
        if self.in_row < ALONG_FROM && self.fill != Fill::Never {
            return table.block(place.block, self.fill);
        }
        let blocks = table.blocks_along(place.block, self.reverse, self.fill)?.into_iter();
        self.along.extend(blocks.map(|(ordinal, block)| (place.table, ordinal, block)));
        self.along.pop().map(|(_, _, block)| block).ok_or_else(|| table.bad(beyond))
    }

    /// The block after this one, in the cursor's direction.
    fn neighbour(&self, place: Place) -> io::Result<Option<Place>> {
        if self.reverse {
            return match place.block.checked_sub(1) {
                Some(block) => Ok(Some(Place { block, segment: ALL, ..place })),
                None => self.end_of_table_before(place.table),
            };
        }
        let blocks = match self.run.get(place.table) {
            Some(table) => table.loaded()?.blocks(),
            None => return Ok(None),
        };
        if place.block + 1 < blocks {
            return Ok(Some(Place { block: place.block + 1, segment: 0, ..place }));
        }
        let table = place.table + 1;
        Ok((table < self.run.len()).then_some(Place { table, block: 0, segment: 0 }))
    }
}
