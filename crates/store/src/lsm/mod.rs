//! An engine of our own: a log-structured merge tree, all of whose input and output goes through
//! [`Disk`].
//!
//! Commits go into a memtable; full ones are sealed, written out as tables, and tables merged level
//! by level ([`tree`], [`table`]). [`Engine::maintain`] does all of that, a bounded step a call, on
//! the caller's thread: the engine has no thread, clock or chance of its own, and equal calls leave
//! equal files.
//!
//! Invariants:
//! - Only commits up to the `durable` that the caller names reach a file, oldest first; what is in
//!   tables is all commits up to [`Engine::flushed`] and nothing else.
//! - A table's bytes and name are durable before a manifest names it; it is removed only after a
//!   manifest that no longer names it is durable.
//! - For a key, what is found first (active, sealed newest first, level 0 newest first, then down)
//!   is newest.
//! - Of a key's versions at or below the horizon only the newest is wanted; a tombstone goes when
//!   no level below may hold its key (as the filters say).
//! - Readers take the [`tree::Tree`] of the moment under a short lock and never wait for maintenance.
//!
//! Values are slices of the block they were read in: whoever keeps a small one for long should copy
//! it. Deliberately absent: a log (the store's), compression (a byte in each block is kept for it),
//! range tombstones (tables that are mostly tombstones are merged early instead), bounds on open
//! files (one stays open per table in use).

mod block;
mod buffers;
mod cache;
mod check;
mod codec;
mod fence;
mod files;
mod filter;
mod freeze;
mod leaf;
mod maintain;
mod manifest;
mod memtable;
mod merge;
mod moment;
mod run;
mod scan;
mod table;
mod tree;
mod write;

#[cfg(test)]
mod tests;

use crate::disk::Disk;
use crate::engine::{Batch, Cursor, Engine, Frozen, Step, Version};
use buffers::Buffers;
use bytes::Bytes;
use cache::Cache;
use files::Files;
use maintain::Work;
use manifest::Manifest;
use memtable::MemCursor;
use merge::{Merge, Source};
use moment::Moment;
use parking_lot::Mutex;
use run::{RunCursor, Tables};
use std::collections::BTreeSet;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use table::{Fill, Table};
use tree::{Levels, Tree};

/// Sizes. The defaults are for a store of up to some hundred gigabytes.
#[derive(Clone, Debug)]
pub struct Options {
    /// A memtable is sealed when it is larger.
    pub memtable_bytes: u64,
    /// Tables below level 0 are cut at about this size.
    pub table_bytes: u64,
    /// Data blocks are closed when they are larger.
    pub block_bytes: usize,
    pub filter_bits_per_key: usize,
    /// Level 0 is merged down when it has so many tables.
    pub recent_tables: usize,
    /// The least bound of level 1.
    pub level_bytes: u64,
    /// How much larger each level is than the one above.
    pub level_ratio: u64,
    /// A table with so many tombstones, if they are half of it, is merged early.
    pub tombstones_min: u64,
    /// Work of one [`Engine::maintain`].
    pub step_bytes: usize,
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memtable_bytes: 32 << 20,
            table_bytes: 32 << 20,
            block_bytes: 4 << 10,
            filter_bits_per_key: 10,
            recent_tables: 4,
            level_bytes: 128 << 20,
            level_ratio: 10,
            tombstones_min: 1_000,
            step_bytes: 4 << 20,
            cache_bytes: 64 << 20,
        }
    }
}

/// One version of a key; `None`: removed with it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Entry {
    key: Bytes,
    version: Version,
    value: Option<Bytes>,
}

impl Entry {
    /// Whether it lies beyond the gap before `key`, going forward or in reverse.
    #[inline]
    fn beyond(&self, key: &[u8], reverse: bool) -> bool {
        (self.key[..] < *key) == reverse
    }
}

#[derive(Debug)]
pub struct Lsm {
    files: Arc<Files>,
    options: Options,
    tree: Moment<Tree>,
    /// The last commit taken in. Held while a memtable grows or is sealed.
    applied: Mutex<Version>,
    work: Mutex<Work>,
    horizon: AtomicU64,
    flushed: AtomicU64,
}

impl Lsm {
    /// Opens the engine in a folder of the disk, or begins an empty one there.
    pub fn open(disk: Arc<dyn Disk>, folder: &str, options: Options) -> io::Result<Self> {
        disk.create_dir(folder)?;
        let files = Arc::new(Files {
            disk,
            folder: folder.to_owned(),
            cache: Cache::new(options.cache_bytes),
            buffers: Buffers::default(),
            dead: Mutex::default(),
        });
        let manifest = match files.read_manifest()? {
            Some(manifest) => {
                // It may have been put in force by a process that was killed before it could say so
                // for good, and what it does not name is removed below.
                files.disk.sync_dir(folder)?;
                manifest
            }
            None => begin(&files)?,
        };
        let live: BTreeSet<u64> =
            manifest.levels.iter().flatten().map(|meta| meta.number).collect();
        let (found, above) = files.sweep(&live)?;
        if let Some(lost) = live.iter().find(|number| !found.contains(number)) {
            return Err(Files::corrupt(&files.table_path(*lost), codec::Bad("it is missing")));
        }
        let mut tables = manifest.levels.iter().map(|level| {
            let table = |meta| Arc::new(Table::named(Arc::clone(&files), Clone::clone(meta)));
            level.iter().map(table).collect::<Vec<_>>()
        });
        let recent = tables.next().unwrap_or_default().into_iter();
        let recent = recent.map(Tables::of).collect();
        let deep = tables.map(|level| Arc::new(level.into_iter().collect()));
        let levels = Arc::new(Levels { recent, deep: deep.collect() });
        let tree = Tree { active: Arc::default(), sealed: Vec::new(), levels };
        Ok(Self {
            files: Arc::clone(&files),
            options,
            tree: Moment::new(tree),
            applied: Mutex::new(manifest.flushed),
            work: Mutex::new(Work::new(manifest.next_number.max(above))),
            horizon: AtomicU64::new(0),
            flushed: AtomicU64::new(manifest.flushed),
        })
    }

    fn tree(&self) -> Arc<Tree> {
        self.tree.get()
    }

    /// Puts another tree in force.
    fn change(&self, change: impl FnOnce(&Tree) -> Tree) {
        self.tree.change(change);
    }

    /// The active memtable becomes a sealed one. The caller holds `applied`.
    fn seal(&self) {
        self.change(|tree| {
            let mut sealed = vec![Arc::clone(&tree.active)];
            sealed.extend(tree.sealed.iter().cloned());
            Tree { active: Arc::default(), sealed, levels: Arc::clone(&tree.levels) }
        });
    }
}

/// The first manifest of an empty folder, so that a missing one is never taken for a new store.
fn begin(files: &Files) -> io::Result<Manifest> {
    if files.any_table()? {
        let path = files.path(files::MANIFEST);
        return Err(Files::corrupt(&path, codec::Bad("it is missing, but there are tables")));
    }
    let manifest = Levels::default().manifest(0, 1);
    files.prepare_manifest(&manifest)?;
    files.switch_manifest()?;
    Ok(manifest)
}

impl Engine for Lsm {
    fn get(&self, key: &[u8], at: Version) -> io::Result<Option<Bytes>> {
        let tree = self.tree();
        let hash = filter::hash(key);
        for memtable in tree.memtables() {
            if let Some(found) = memtable.get(key, hash, at) {
                return Ok(found);
            }
        }
        for run in tree.levels.runs() {
            if let Some(table) = run.table_for(key)
                && let Some(found) = table.get(key, hash, at)?
            {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn scan(
        &self,
        range: (Bound<Bytes>, Bound<Bytes>),
        at: Version,
        reverse: bool,
    ) -> Box<dyn Cursor> {
        let tree = self.tree();
        let memtables = tree.memtables().filter(|memtable| !memtable.is_empty());
        let mut sources: Vec<_> = memtables
            .map(|memtable| Source::Mem(MemCursor::new(Arc::clone(memtable), (0, at), reverse)))
            .collect();
        let runs = tree.levels.runs().filter(|run| !run.is_empty());
        sources.extend(
            runs.map(|run| Source::Run(RunCursor::new(Arc::clone(run), Fill::Passing, reverse))),
        );
        Box::new(scan::Scan::new(Merge::new(sources, reverse), range, at, reverse))
    }

    fn apply(&self, batch: &Batch, version: Version) {
        let mut applied = self.applied.lock();
        if version <= *applied {
            // The log is replayed from a point before what was flushed.
            return;
        }
        let active = Arc::clone(&self.tree().active);
        active.apply(batch, version);
        *applied = version;
        if active.size_bytes() > self.options.memtable_bytes {
            self.seal();
        }
    }

    fn set_horizon(&self, version: Version) {
        self.horizon.fetch_max(version, Ordering::AcqRel);
    }

    fn maintain(&self, durable: Version) -> io::Result<Step> {
        self.step(&mut self.work.lock(), durable)
    }

    fn write_out(&self, durable: Version) -> io::Result<Step> {
        self.step_of_flush(&mut self.work.lock(), durable)
    }

    fn flushed(&self) -> Version {
        self.flushed.load(Ordering::Acquire)
    }

    fn unflushed_bytes(&self) -> u64 {
        self.tree().memtables().map(|memtable| memtable.size_bytes()).sum()
    }

    fn freeze(&self, durable: Version) -> io::Result<Frozen> {
        self.freeze_at(durable)
    }

    fn check(&self) -> io::Result<Vec<String>> {
        self.check_all()
    }
}
