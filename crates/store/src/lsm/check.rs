//! Reading everything back.

use super::codec::Bad;
use super::filter;
use super::run::{RunCursor, Tables};
use super::table::{Fill, Table};
use super::{Entry, Lsm};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Lsm {
    pub(super) fn check_all(&self) -> io::Result<Vec<String>> {
        let mut problems = Vec::new();
        // While the manifest cannot change.
        let (tree, manifest) = {
            let work = self.work.lock();
            let tree = self.tree();
            let flushed = self.flushed.load(Ordering::Acquire);
            let manifest = self.files.read_manifest();
            match manifest {
                Ok(Some(found)) if work.in_doubt.is_some() => drop(found),
                Ok(Some(found)) => {
                    let ours = tree.levels.manifest(flushed, found.next_number);
                    if found != ours {
                        problems.push("the index manifest is not the one in force".to_owned());
                    }
                }
                Ok(None) => problems.push("the index manifest is missing".to_owned()),
                Err(error) => problems.push(error.to_string()),
            }
            let manifest = tree.levels.manifest(flushed, u64::MAX);
            (tree, manifest)
        };
        if let Err(Bad(what)) = manifest.verify() {
            problems.push(format!("the index levels are wrong: {what}"));
        }
        for table in tree.levels.tables() {
            if let Err(error) = check_table(table) {
                problems.push(error.to_string());
            }
        }
        Ok(problems)
    }
}

/// Reads a table through: checksums, order, filter, and that its facts are so.
fn check_table(table: &Arc<Table>) -> io::Result<()> {
    // Opened anew: what is in memory may be fine when the file is not.
    let fresh = Arc::new(table.reopened());
    let loaded = fresh.loaded()?;
    let mut cursor = RunCursor::new(Tables::of(Arc::clone(&fresh)), Fill::Never, false);
    cursor.seek(Some(&[]))?;
    let mut last: Option<Entry> = None;
    let (mut entries, mut tombstones) = (0, 0);
    while let Some(entry) = cursor.next()? {
        let ordered = match &last {
            Some(last) if last.key == entry.key => last.version > entry.version,
            Some(last) => last.key < entry.key,
            None => entry.key == fresh.meta.min_key,
        };
        let in_range = fresh.holds(&entry.key)
            && (fresh.meta.oldest..=fresh.meta.newest).contains(&entry.version);
        if !ordered || !in_range {
            return Err(fresh.bad(Bad("its entries are out of order")));
        }
        if !loaded.filter.may_hold(filter::hash(&entry.key)) {
            return Err(fresh.bad(Bad("its filter denies a key that is there")));
        }
        let found = loaded.block_for(&entry.key, entry.version).map_err(|bad| fresh.bad(bad))?;
        if found.is_none() {
            return Err(fresh.bad(Bad("its index does not reach its last key")));
        }
        entries += 1;
        tombstones += u64::from(entry.value.is_none());
        last = Some(entry);
    }
    let complete = last.is_some_and(|last| last.key == fresh.meta.max_key)
        && (entries, tombstones) == (fresh.meta.entries, fresh.meta.tombstones);
    if complete { Ok(()) } else { Err(fresh.bad(Bad("its entries are not those it names"))) }
}
