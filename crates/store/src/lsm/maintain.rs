//! Background work, a step at a time: memtables become tables, tables are merged.
//!
//! A job keeps its place between steps and touches nothing that readers see until it ends, when a
//! manifest names its tables and the tree changes. A job that fails is forgotten with all it wrote;
//! the next step begins it again.

use super::codec::weight;
use super::filter;
use super::memtable::{MemCursor, Memtable};
use super::merge::{Merge, Source};
use super::run::{Run, RunCursor};
use super::table::{Fill, Table};
use super::tree::{Levels, Plan, Tree};
use super::write::TableWriter;
use super::{Entry, Lsm};
use crate::engine::{Step, Version};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Dead files removed in one step.
const BURIED_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Work {
    pub next_number: u64,
    pub flush: Option<Flush>,
    merge: Option<(Plan, Job)>,
    /// A switch of manifests failed half-way: either may be in force on the disk. These tables are
    /// named by the one that is not in force here.
    pub in_doubt: Option<Vec<Arc<Table>>>,
}

#[derive(Debug)]
pub(super) struct Flush {
    /// The memtable goes into the table up to this version.
    through: Version,
    job: Job,
}

/// Which versions are still wanted, of entries that come in order.
#[derive(Debug)]
struct Keep {
    horizon: Version,
    last: Option<Bytes>,
    /// What follows of the last key is older than what everybody may read.
    shadowed: bool,
    /// Where older versions may be that a tombstone must go on hiding.
    below: Vec<Run>,
}

impl Keep {
    fn wants(&mut self, entry: &Entry) -> io::Result<bool> {
        if self.last.as_ref() != Some(&entry.key) {
            self.last = Some(entry.key.clone());
            self.shadowed = false;
        }
        if self.shadowed {
            return Ok(false);
        }
        if entry.version <= self.horizon {
            self.shadowed = true;
            if entry.value.is_none() && !self.hides_anything(&entry.key)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn hides_anything(&self, key: &[u8]) -> io::Result<bool> {
        if self.below.is_empty() {
            return Ok(false);
        }
        let hash = filter::hash(key);
        for run in &self.below {
            if let Some(table) = run.table_for(key)
                && table.loaded()?.filter.may_hold(hash)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[derive(Debug)]
pub(super) struct Job {
    merge: Merge,
    keep: Keep,
    started: bool,
    writer: Option<TableWriter>,
    outputs: Vec<Arc<Table>>,
    /// Tables are cut at about this size, between keys.
    table_bytes: u64,
}

impl Job {
    fn new(merge: Merge, horizon: Version, below: Vec<Run>, table_bytes: u64) -> Self {
        let keep = Keep { horizon, last: None, shadowed: false, below };
        Self { merge, keep, started: false, writer: None, outputs: Vec::new(), table_bytes }
    }

    /// Does about `step_bytes` of it; whether it is done.
    fn step(&mut self, lsm: &Lsm, number: &mut u64, step_bytes: usize) -> io::Result<bool> {
        if !self.started {
            self.merge.start(Some(&[]))?;
            self.started = true;
        }
        let mut done = 0;
        while done < step_bytes {
            let Some(entry) = self.merge.next()? else {
                self.cut(lsm)?;
                return Ok(true);
            };
            done += weight(&entry);
            if self.keep.wants(&entry)? {
                self.write(lsm, number, &entry)?;
            }
        }
        Ok(false)
    }

    fn write(&mut self, lsm: &Lsm, number: &mut u64, entry: &Entry) -> io::Result<()> {
        let full = |writer: &TableWriter| {
            writer.size_bytes() >= self.table_bytes && *writer.last_key() != entry.key[..]
        };
        if self.writer.as_ref().is_some_and(full) {
            self.cut(lsm)?;
        }
        if let Some(writer) = &mut self.writer {
            return writer.add(entry);
        }
        // Never used twice, not even after an error.
        let taken = *number;
        *number += 1;
        let (block_bytes, bits) = (lsm.options.block_bytes, lsm.options.filter_bits_per_key);
        let mut writer = TableWriter::create(&lsm.files, taken, block_bytes, bits)?;
        writer.add(entry)?;
        self.writer = Some(writer);
        Ok(())
    }

    fn cut(&mut self, lsm: &Lsm) -> io::Result<()> {
        if let Some(writer) = self.writer.take() {
            let meta = writer.finish()?;
            self.outputs.push(Arc::new(Table::unnamed(Arc::clone(&lsm.files), meta)));
        }
        Ok(())
    }
}

impl Work {
    pub(super) fn new(next_number: u64) -> Self {
        Self { next_number, flush: None, merge: None, in_doubt: None }
    }
}

impl Lsm {
    pub(super) fn step(&self, work: &mut Work, durable: Version) -> io::Result<Step> {
        if self.files.bury(BURIED_MAX)? {
            return Ok(Step::Worked);
        }
        // New tables come first, so that memory does not fill; but not faster than merges go.
        let behind = self.tree().levels.recent.len() >= self.options.recent_tables * 3;
        if !behind && self.step_of_flush(work, durable)? == Step::Worked {
            return Ok(Step::Worked);
        }
        if self.step_merge(work)? {
            return Ok(Step::Worked);
        }
        self.step_of_flush(work, durable)
    }

    /// Goes on with a flush, or begins one, if there is anything to write out.
    pub(super) fn step_of_flush(&self, work: &mut Work, durable: Version) -> io::Result<Step> {
        if work.flush.is_none() {
            self.begin_flush(work, durable);
        }
        if work.flush.is_none() {
            return Ok(Step::Idle);
        }
        self.step_flush(work, self.options.step_bytes)?;
        Ok(Step::Worked)
    }

    /// Takes the oldest sealed memtable up, if all of it is durable.
    fn begin_flush(&self, work: &mut Work, durable: Version) {
        if let Some(memtable) = self.tree().sealed.last()
            && memtable.newest() <= durable
        {
            work.flush = Some(self.flush_of(memtable, memtable.newest()));
        }
    }

    pub(super) fn flush_of(&self, memtable: &Arc<Memtable>, through: Version) -> Flush {
        let versions = (self.flushed.load(Ordering::Acquire), through);
        let cursor = MemCursor::new(Arc::clone(memtable), versions, false);
        let merge = Merge::new(vec![Source::Mem(cursor)], false);
        let horizon = self.horizon.load(Ordering::Acquire);
        // All of it one table: level 0 is counted in tables.
        let below = self.tree().levels.runs().cloned().collect();
        let job = Job::new(merge, horizon, below, u64::MAX);
        Flush { through, job }
    }

    /// Goes on with the flush at hand; whether it is done. After an error it is begun anew.
    pub(super) fn step_flush(&self, work: &mut Work, step_bytes: usize) -> io::Result<bool> {
        let Some(mut flush) = work.flush.take() else { return Ok(true) };
        if !flush.job.step(self, &mut work.next_number, step_bytes)? {
            work.flush = Some(flush);
            return Ok(false);
        }
        let tree = self.tree();
        let mut levels = Levels::clone(&tree.levels);
        for table in &flush.job.outputs {
            levels = levels.with_flushed(Arc::clone(table));
        }
        self.install(work, Arc::new(levels), flush.through, &flush.job.outputs)?;
        Ok(true)
    }

    fn begin_merge(&self, work: &mut Work) {
        let levels = Arc::clone(&self.tree().levels);
        let horizon = self.horizon.load(Ordering::Acquire);
        let Some(plan) = levels.plan(&self.options, horizon) else { return };
        let sources = if plan.moves { &[] } else { &plan.runs[..] };
        let sources = sources.iter().filter(|run| !run.is_empty());
        let sources =
            sources.map(|run| Source::Run(RunCursor::new(Arc::clone(run), Fill::Never, false)));
        let merge = Merge::new(sources.collect(), false);
        let below = levels.below(plan.output);
        let job = Job::new(merge, horizon, below, self.options.table_bytes);
        work.merge = Some((plan, job));
    }

    /// Goes on with a merge, or begins one; whether there was any to do.
    fn step_merge(&self, work: &mut Work) -> io::Result<bool> {
        if work.merge.is_none() {
            self.begin_merge(work);
        }
        let Some((plan, mut job)) = work.merge.take() else { return Ok(false) };
        if !job.step(self, &mut work.next_number, self.options.step_bytes)? {
            work.merge = Some((plan, job));
            return Ok(true);
        }
        let inputs: Vec<_> = plan.runs.iter().flat_map(|run| run.iter()).cloned().collect();
        let outputs = if plan.moves { &inputs } else { &job.outputs };
        let levels = Arc::new(self.tree().levels.with_merged(&plan, outputs));
        let flushed = self.flushed.load(Ordering::Acquire);
        self.install(work, levels, flushed, &job.outputs)?;
        if !plan.moves {
            for table in &inputs {
                table.set_named(false);
            }
        }
        Ok(true)
    }

    /// Writes the manifest for these levels and puts them in force. `new` are named by it.
    pub(super) fn install(
        &self,
        work: &mut Work,
        levels: Arc<Levels>,
        flushed: Version,
        new: &[Arc<Table>],
    ) -> io::Result<()> {
        self.files.prepare_manifest(&levels.manifest(flushed, work.next_number))?;
        // From here on the manifest on the disk may name them, whatever comes back.
        for table in new {
            table.set_named(true);
        }
        work.in_doubt.get_or_insert_default().extend(new.iter().cloned());
        self.files.switch_manifest()?;
        for table in work.in_doubt.take().into_iter().flatten() {
            table.set_named(levels.tables().any(|named| Arc::ptr_eq(named, &table)));
        }
        self.flushed.store(flushed, Ordering::Release);
        self.change(|tree| Tree {
            active: Arc::clone(&tree.active),
            sealed: tree
                .sealed
                .iter()
                .filter(|memtable| memtable.newest() > flushed)
                .cloned()
                .collect(),
            levels,
        });
        Ok(())
    }
}
