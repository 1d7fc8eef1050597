//! Copies of a table as it was after some commit or at some time: into a backup, or out of one (or of
//! another table's past) into a new table. A job makes them in steps; where it is stands in its row.

use crate::backups;
use crate::collections;
use crate::history::{next_items, unpin};
use crate::jobs::{
    ATTEMPTS_MAX, COPYING, OfTable, PROGRESS, ProgressRow, STEP_BYTES_MAX, again, count_later,
    failed, is_last, purge, scope_of, table_of,
};
use crate::keyspace::index_key;
use crate::rows::{BACKUPS, COPIES, CopyRow, HEADS, ITEMS, ItemRow, RawKey, TABLES};
use crate::table::{Table, save};
use crate::write::projected;
use api::{Error, Tx};
use base::{AccountId, Region};
use item::Map;
use store::{JobKind, JobOutcome, Jobs, Scope};

const COPY: JobKind<OfTable> = JobKind::new(0x0408, "dynamodb.copy");

/// Has a copy made under that number.
pub(crate) fn begin(
    tx: &mut Tx,
    (account, region): (AccountId, &Region),
    number: u64,
    copy: &CopyRow,
) -> Result<(), Error> {
    let scope = scope_of(account, region);
    tx.put(&COPIES, &scope, &number, copy)?;
    Ok(tx.enqueue(&COPY, &(account, region.clone(), number))?)
}

pub(crate) fn register(jobs: &mut Jobs) {
    jobs.register(&COPY, ATTEMPTS_MAX, |tx, cx, (account, region, number)| {
        let scope = scope_of(account, &region);
        match is_last(cx) {
            true => give_up(tx, &scope, number).map_err(failed),
            false => step(tx, &scope, number).map_err(failed),
        }
    });
}

/// The same key under another table's number.
fn moved(key: &RawKey, number: u64) -> RawKey {
    let mut key = key.clone();
    let (head, _) = key.0.split_at_mut(8);
    head.copy_from_slice(&number.to_be_bytes());
    key
}

/// An item of a table that is filled, with its entries in all indexes.
pub(crate) fn put_with_entries(
    tx: &mut Tx,
    table: &Table,
    key: &RawKey,
    row: &ItemRow,
) -> Result<(), Error> {
    tx.put(&ITEMS, &table.scope, key, row)?;
    let item = Map::of(&row.item);
    let mut grown = i64::from(row.size_bytes);
    for index in &table.indexes {
        if let Some(key) = index_key(table, index, item) {
            let entry = projected(table, index, item);
            if index.local {
                grown += i64::from(entry.size_bytes);
            }
            tx.put(&ITEMS, &table.scope, &key, &entry)?;
        }
    }
    // What was there is taken back, however much it is.
    collections::grow(tx, table, item, grown, None)
}

fn step(tx: &mut Tx, scope: &Scope, number: u64) -> Result<JobOutcome, Error> {
    let Some(copy) = tx.get(&COPIES, scope, &number)? else { return Ok(JobOutcome::Done) };
    let table = if copy.is_backup { None } else { table_of(tx, scope, number)? };
    if table.is_none() && !copy.is_backup {
        return Err(Error::internal("a table is gone before all of it came"));
    }
    let key = (number, COPYING);
    let mut progress = tx.get(&PROGRESS, scope, &key)?.unwrap_or_default();
    let found = next_items(tx, scope, copy.from, copy.moment.as_ref(), &progress.after)?;
    if found.is_empty() {
        tx.delete(&PROGRESS, scope, &key)?;
        tx.delete(&COPIES, scope, &number)?;
        finish(tx, scope, number, &copy, table, &progress)?;
        return Ok(JobOutcome::Done);
    }
    for seen in found {
        progress.after.clone_from(&seen.key.0);
        let Some(row) = seen.row else { continue };
        progress.count += 1;
        progress.size_bytes += u64::from(row.size_bytes);
        let key = moved(&seen.key, number);
        match &table {
            Some(table) => put_with_entries(tx, table, &key, &row)?,
            None => tx.put(&ITEMS, scope, &key, &row)?,
        }
        // Each entry of an index is as much again.
        if tx.written_bytes() > STEP_BYTES_MAX {
            break;
        }
    }
    tx.put(&PROGRESS, scope, &key, &progress)?;
    again(tx)
}

/// What could not be made after so many attempts is taken back, as AWS has no word for a backup or a table
/// that failed: nothing is kept for it, and its name is free.
fn give_up(tx: &mut Tx, scope: &Scope, number: u64) -> Result<JobOutcome, Error> {
    let Some(copy) = tx.get(&COPIES, scope, &number)? else { return Ok(JobOutcome::Done) };
    tx.mark_freeing();
    tx.delete(&PROGRESS, scope, &(number, COPYING))?;
    tx.delete(&COPIES, scope, &number)?;
    if copy.moment.is_some() {
        unpin(tx, scope, copy.from, number)?;
    }
    let backup = match &copy.backup {
        Some(id) => tx.get(&BACKUPS, scope, id.as_str())?,
        None => None,
    };
    match backup {
        Some(backup) if copy.is_backup => backups::remove(tx, scope, &backup)?,
        Some(mut backup) => {
            backup.readers.remove(&number);
            tx.put(&BACKUPS, scope, backup.id.as_str(), &backup)?;
        }
        None => {}
    }
    if let Some(table) = table_of(tx, scope, number)?.filter(|_| !copy.is_backup) {
        tx.delete(&HEADS, scope, table.name.as_str())?;
        tx.delete(&TABLES, scope, &number)?;
        purge(tx, &table.row, None)?;
    }
    Ok(JobOutcome::Done)
}

/// All is there: the backup can be read, the table used, and nobody needs the source any more.
fn finish(
    tx: &mut Tx,
    scope: &Scope,
    number: u64,
    copy: &CopyRow,
    table: Option<Table>,
    progress: &ProgressRow,
) -> Result<(), Error> {
    if copy.moment.is_some() {
        unpin(tx, scope, copy.from, number)?;
    }
    if let Some(id) = &copy.backup
        && let Some(mut backup) = tx.get(&BACKUPS, scope, id.as_str())?
    {
        if copy.is_backup {
            backup.ready = true;
            (backup.count, backup.size_bytes) = (progress.count, progress.size_bytes);
        } else {
            backup.readers.remove(&number);
        }
        tx.put(&BACKUPS, scope, id.as_str(), &backup)?;
    }
    if let Some(table) = table {
        let mut row = table.row;
        row.coming = false;
        (row.count, row.size_bytes) = (progress.count, progress.size_bytes);
        save(tx, &row)?;
        count_later(tx, &row)?;
    }
    Ok(())
}
