//! What the engine consists of at a moment: memtables and levels of tables.
//!
//! Immutable; readers hold the one they began with, and with it its tables. Level 0 has whole
//! flushed memtables that overlap, newest first; each deeper level is one run, about ten times the
//! one above. For any key, whatever stands earlier in [`Tree::runs`] is newer.

use super::Options;
use super::manifest::{LEVELS_MAX, Manifest, Meta};
use super::memtable::Memtable;
use super::run::{Run, Tables};
use super::table::Table;
use crate::engine::Version;
use std::sync::Arc;

#[derive(Clone, Default, Debug)]
pub(super) struct Levels {
    /// Runs of one table each, newest first.
    pub recent: Vec<Run>,
    /// From level 1 down.
    pub deep: Vec<Run>,
}

#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub active: Arc<Memtable>,
    /// Newest first.
    pub sealed: Vec<Arc<Memtable>>,
    pub levels: Arc<Levels>,
}

impl Tree {
    pub(super) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(&self.sealed)
    }
}

/// Work for a merge: these tables become new ones on `output`.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is read, newest first.
    pub runs: Vec<Run>,
    pub output: usize,
    /// Nothing to merge with: the tables only change their level.
    pub moves: bool,
}

fn size_bytes(run: &Run) -> u64 {
    run.iter().map(|table| table.meta.size_bytes).sum()
}

/// The tables of a run that touch the key range.
fn overlap(run: &Run, low: &[u8], high: &[u8]) -> Run {
    let start = run.ending_before(low);
    let end = run.partition_point(|table| table.meta.min_key[..] <= *high);
    Arc::new(run.get(start..end).unwrap_or_default().iter().cloned().collect())
}

impl Levels {
    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.recent.iter().chain(&self.deep)
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.runs().flat_map(|run| run.iter())
    }

    /// The run of level 1 or deeper.
    fn level(&self, level: usize) -> Run {
        level.checked_sub(1).and_then(|at| self.deep.get(at)).cloned().unwrap_or_default()
    }

    /// The runs below a level, where older versions of a key may be.
    pub(super) fn below(&self, level: usize) -> Vec<Run> {
        self.deep.iter().skip(level).filter(|run| !run.is_empty()).cloned().collect()
    }

    pub(super) fn manifest(&self, flushed: Version, next_number: u64) -> Manifest {
        let metas = |tables: &mut dyn Iterator<Item = &Arc<Table>>| -> Vec<Meta> {
            tables.map(|table| table.meta.clone()).collect()
        };
        let mut levels = vec![metas(&mut self.recent.iter().flat_map(|run| run.iter()))];
        levels.extend(self.deep.iter().map(|run| metas(&mut run.iter())));
        Manifest { flushed, next_number, levels }
    }

    pub(super) fn with_flushed(&self, table: Arc<Table>) -> Self {
        let mut levels = self.clone();
        levels.recent.insert(0, Tables::of(table));
        levels
    }

    /// With the tables of `plan` replaced by `outputs` on its output level.
    pub(super) fn with_merged(&self, plan: &Plan, outputs: &[Arc<Table>]) -> Self {
        let gone: Vec<u64> =
            plan.runs.iter().flat_map(|run| run.iter()).map(|table| table.meta.number).collect();
        let stays = |table: &&Arc<Table>| !gone.contains(&table.meta.number);
        let kept = |run: &Run| -> Run {
            if run.iter().all(|table| stays(&table)) {
                return Arc::clone(run);
            }
            Arc::new(run.iter().filter(stays).cloned().collect())
        };
        let mut levels = Self {
            recent: self.recent.iter().map(kept).filter(|run| !run.is_empty()).collect(),
            deep: self.deep.iter().map(kept).collect(),
        };
        while levels.deep.len() < plan.output {
            levels.deep.push(Run::default());
        }
        let mut run = levels.level(plan.output).to_vec();
        run.extend(outputs.iter().cloned());
        run.sort_by(|one, two| one.meta.min_key.cmp(&two.meta.min_key));
        levels.deep[plan.output - 1] = Arc::new(run.into_iter().collect());
        while levels.deep.last().is_some_and(|run| run.is_empty()) {
            levels.deep.pop();
        }
        levels
    }

    /// The level that holds most and has no bound, and the bounds of those above it. When the whole
    /// outgrows its number of levels, the deepest is bounded by an empty one below and moves there,
    /// table by table, without being rewritten.
    fn bounds(&self, options: &Options) -> Vec<u64> {
        let ratio = options.level_ratio.max(2);
        let total: u64 = self.deep.iter().map(size_bytes).sum();
        let mut last = self.deep.len().max(1);
        let mut room = options.level_bytes;
        for _ in 1..last {
            room = room.saturating_mul(ratio);
        }
        if total > room && last + 1 < LEVELS_MAX {
            last += 1;
        }
        let mut bound = size_bytes(&self.level(last));
        let mut bounds = vec![u64::MAX; last];
        for at in (0..last - 1).rev() {
            bound /= ratio;
            bounds[at] = bound.max(options.level_bytes);
        }
        bounds
    }

    /// The most urgent merge, if any is due.
    pub(super) fn plan(&self, options: &Options, horizon: Version) -> Option<Plan> {
        let stale = |table: &Arc<Table>| {
            // Mostly tombstones that nobody needs: scans should not have to wade through them.
            table.meta.tombstones >= options.tombstones_min
                && table.meta.tombstones * 2 >= table.meta.entries
                && table.meta.newest <= horizon
        };
        let crowded = self.recent.len() >= options.recent_tables;
        if crowded || self.recent.iter().any(|run| run.iter().any(stale)) {
            return self.plan_recent();
        }
        let bounds = self.bounds(options);
        let mut best: Option<(u64, usize)> = None;
        for (at, bound) in bounds.iter().enumerate().take(self.deep.len()) {
            let score = size_bytes(&self.deep[at]).saturating_mul(100) / bound;
            if score > 100 && best.is_none_or(|(most, _)| score > most) {
                best = Some((score, at + 1));
            }
        }
        if let Some((_, level)) = best {
            return self.plan_level(level, bounds[level - 1]);
        }
        for (at, run) in self.deep.iter().enumerate() {
            if let Some(table) = run.iter().find(|table| stale(table)) {
                // On the last level it is rewritten in place.
                let output = (at + 2).min(self.deep.len());
                return Some(self.plan_table(at + 1, table, output));
            }
        }
        None
    }

    fn plan_recent(&self) -> Option<Plan> {
        let tables = || self.recent.iter().flat_map(|run| run.iter());
        let low = tables().map(|table| &table.meta.min_key).min()?;
        let high = tables().map(|table| &table.meta.max_key).max()?;
        let below = overlap(&self.level(1), low, high);
        let mut sorted: Vec<_> = tables().collect();
        sorted.sort_by(|one, two| one.meta.min_key.cmp(&two.meta.min_key));
        let apart = sorted.windows(2).all(|pair| pair[0].meta.max_key < pair[1].meta.min_key);
        let moves = apart && below.is_empty() && tables().all(|table| table.meta.tombstones == 0);
        let mut runs = self.recent.clone();
        runs.push(below);
        Some(Plan { runs, output: 1, moves })
    }

    fn plan_table(&self, level: usize, table: &Arc<Table>, output: usize) -> Plan {
        let mut runs = vec![Tables::of(Arc::clone(table))];
        if output > level {
            runs.push(overlap(&self.level(output), &table.meta.min_key, &table.meta.max_key));
        }
        Plan { runs, output, moves: false }
    }

    /// Brings a level back under its bound: moves what overlaps nothing below, else merges the
    /// table that costs least for what it frees.
    fn plan_level(&self, level: usize, bound: u64) -> Option<Plan> {
        let run = self.level(level);
        let mut excess = size_bytes(&run).saturating_sub(bound);
        let next = self.level(level + 1);
        let mut free = Vec::new();
        let mut cheapest: Option<(u64, &Arc<Table>)> = None;
        for table in run.iter() {
            let below = overlap(&next, &table.meta.min_key, &table.meta.max_key);
            if below.is_empty() && table.meta.tombstones == 0 {
                if excess > 0 {
                    excess = excess.saturating_sub(table.meta.size_bytes);
                    free.push(Arc::clone(table));
                }
                continue;
            }
            let cost = size_bytes(&below).saturating_mul(1000) / table.meta.size_bytes.max(1);
            if cheapest.is_none_or(|(least, _)| cost < least) {
                cheapest = Some((cost, table));
            }
        }
        if !free.is_empty() {
            return Some(Plan {
                runs: vec![Arc::new(free.into_iter().collect())],
                output: level + 1,
                moves: true,
            });
        }
        let (_, table) = cheapest?;
        Some(self.plan_table(level, table, level + 1))
    }
}
