//! The past of items: what each was before a change, while somebody needs to know.
//!
//! A change of an item leaves a row with what was there before, in its own transaction, as long as the
//! table has point-in-time recovery, or something is being made of one of its states (a backup, a
//! restored table, an export: a *pin*). So the state after any commit since then is known: an item was
//! what its first later change says it was before, or, if there is none, what it is. Nothing is copied
//! before it is wanted, and a copy may be made slowly while the table changes.
//!
//! Rows that nobody can ask for any more are removed by a job that walks over all of them now and then.

use crate::jobs::{
    ATTEMPTS_MAX, FORGETTING, OfTable, PROGRESS, STEP_BYTES_MAX, STEP_ROWS_MAX, again, failed,
    scope_of, table_of,
};
use crate::keyspace::{TABLE_SPACE, space};
use crate::rows::{HISTORY, ITEMS, ItemRow, MomentRow, PastRow, RawKey, TableRow};
use crate::table::Table;
use api::{Error, Tx};
use base::Timestamp;
use item::{Map, item_size};
use store::{JobKind, JobOutcome, Jobs, Scope};

/// Rows of the past that nobody needs.
const FORGET_PAST: JobKind<OfTable> = JobKind::new(0x0407, "dynamodb.forget-past");
const FORGET_EVERY_MS: i64 = 3_600_000;
const VERSION_BYTES: usize = 8;
pub(crate) const DAY_MS: i64 = 24 * 3_600_000;

/// The state right after the commit that is being made.
pub(crate) fn this_commit(tx: &Tx) -> MomentRow {
    MomentRow { version: Some(tx.version() + 1), at: tx.now() }
}

impl MomentRow {
    /// Whether a change came after it.
    fn is_before(&self, version: u64, at: Timestamp) -> bool {
        match self.version {
            Some(own) => version > own,
            None => at > self.at,
        }
    }
}

fn key_of(item: &RawKey, version: u64) -> RawKey {
    let mut key = item.0.clone();
    key.extend_from_slice(&version.to_be_bytes());
    RawKey(key)
}

/// The item and the commit of a row's key.
fn parts(key: &RawKey) -> Option<(RawKey, u64)> {
    let (item, version) = key.0.split_at_checked(key.0.len().checked_sub(VERSION_BYTES)?)?;
    Some((RawKey(item.to_vec()), u64::from_be_bytes(version.try_into().ok()?)))
}

/// Notes what an item was before the change that is being made.
pub(crate) fn note(
    tx: &mut Tx,
    table: &Table,
    item: &RawKey,
    old: Option<&ItemRow>,
) -> Result<(), Error> {
    let key = key_of(item, tx.version() + 1);
    // Of several changes in one commit the first knows what was before.
    if !tx.exists(&HISTORY, &table.scope, &key)? {
        let row = PastRow { at: tx.now(), item: old.map(|row| row.item.clone()) };
        tx.put(&HISTORY, &table.scope, &key, &row)?;
    }
    Ok(())
}

/// The first change of an item at or after a commit.
fn change_since(
    tx: &Tx,
    scope: &Scope,
    item: &RawKey,
    version: u64,
) -> Result<Option<(u64, PastRow)>, Error> {
    let from = key_of(item, version);
    let row = tx.scan(&HISTORY, scope).prefix(item).from(&from).next().transpose()?;
    Ok(row.and_then(|(key, row)| Some((parts(&key)?.1, row))))
}

/// The first change of an item after a moment. Commits and their times grow together, so the first one
/// after a time is found by halving, however often the item changed.
fn first_after(
    tx: &Tx,
    scope: &Scope,
    item: &RawKey,
    moment: &MomentRow,
) -> Result<Option<(u64, PastRow)>, Error> {
    if let Some(version) = moment.version {
        return change_since(tx, scope, item, version + 1);
    }
    // Changes below `low` came before the moment.
    let (mut low, mut high) = (0, tx.version() + 2);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        match change_since(tx, scope, item, middle)? {
            Some((version, row)) if !moment.is_before(version, row.at) => low = version + 1,
            Some(change) => {
                found = Some(change);
                high = middle;
            }
            None => high = middle,
        }
    }
    Ok(found)
}

/// An item as it was.
#[derive(Debug)]
pub(crate) struct Seen {
    pub key: RawKey,
    /// `None` where it was not there.
    pub row: Option<ItemRow>,
}

fn row_of(item: bytes::Bytes) -> ItemRow {
    ItemRow { size_bytes: item_size(Map::of(&item)) as u32, item }
}

/// The next items of a table as it was, in order of their keys, those that were not there among them;
/// none at the end. Without a moment: as it is.
pub(crate) fn next_items(
    tx: &Tx,
    scope: &Scope,
    number: u64,
    moment: Option<&MomentRow>,
    done: &[u8],
) -> Result<Vec<Seen>, Error> {
    let own = space(number, TABLE_SPACE);
    let mut items = tx.scan(&ITEMS, scope).prefix(&own);
    let mut past = tx.scan(&HISTORY, scope).prefix(&own);
    if !done.is_empty() {
        let done = RawKey(done.to_vec());
        items = items.after(&done);
        past = past.after(&done);
    }
    let next_item = |scan: &mut store::Scan<'_, RawKey, ItemRow>| scan.next().transpose();
    let next_past = |scan: &mut store::Scan<'_, RawKey, PastRow>| match moment {
        None => Ok(None),
        Some(_) => scan.next_key().map(|key| key.as_ref().and_then(parts).map(|(item, _)| item)),
    };
    let (mut item, mut changed) = (next_item(&mut items)?, next_past(&mut past)?);
    let (mut all, mut size) = (Vec::new(), 0);
    while all.len() < STEP_ROWS_MAX && size < STEP_BYTES_MAX {
        let key = match (&item, &changed) {
            (Some((key, _)), Some(other)) => key.min(other).clone(),
            (Some((key, _)), None) => key.clone(),
            (None, Some(key)) => key.clone(),
            (None, None) => break,
        };
        let now = match &item {
            Some((own, _)) if *own == key => {
                let (_, row) = item.take().ok_or_else(|| Error::internal("it was there"))?;
                item = next_item(&mut items)?;
                Some(row)
            }
            _ => None,
        };
        let mut row = now;
        if changed.as_ref() == Some(&key) {
            if let Some(moment) = moment
                && let Some((_, change)) = first_after(tx, scope, &key, moment)?
            {
                row = change.item.map(row_of);
            }
            past.skip_past(&key)?;
            changed = next_past(&mut past)?;
        }
        size += row.as_ref().map_or(0, |row| row.item.len());
        all.push(Seen { key, row });
    }
    Ok(all)
}

/// What became of one item between two moments.
#[derive(Debug)]
pub(crate) struct Span {
    pub before: Option<ItemRow>,
    pub after: Option<ItemRow>,
    /// When it was last changed in between.
    pub changed: Timestamp,
}

/// The next items that changed after one time and until another, and the last key that was looked at;
/// no key at the end.
pub(crate) fn next_changes(
    tx: &Tx,
    scope: &Scope,
    number: u64,
    (from, to): (&MomentRow, &MomentRow),
    done: &[u8],
) -> Result<(Vec<Span>, Option<RawKey>), Error> {
    let mut past = tx.scan(&HISTORY, scope).prefix(&space(number, TABLE_SPACE));
    if !done.is_empty() {
        past = past.after(&RawKey(done.to_vec()));
    }
    let (mut all, mut size, mut last) = (Vec::new(), 0, None);
    for _ in 0..STEP_ROWS_MAX {
        if size >= STEP_BYTES_MAX {
            break;
        }
        let Some((item, _)) = past.next_key()?.as_ref().and_then(parts) else { break };
        past.skip_past(&item)?;
        last = Some(item.clone());
        let first = first_after(tx, scope, &item, from)?;
        let Some((_, first)) = first.filter(|(version, row)| !to.is_before(*version, row.at))
        else {
            continue;
        };
        let mut until = tx.scan(&HISTORY, scope).prefix(&item);
        let after = match first_after(tx, scope, &item, to)? {
            Some((version, change)) => {
                until = until.to(&key_of(&item, version));
                change.item.map(row_of)
            }
            None => tx.get(&ITEMS, scope, &item)?,
        };
        let changed = until.reverse().next().transpose()?.map_or(first.at, |(_, row)| row.at);
        let before = first.item.map(row_of);
        let bytes = |row: &Option<ItemRow>| row.as_ref().map_or(0, |row| row.item.len());
        size += bytes(&before) + bytes(&after);
        all.push(Span { before, after, changed });
    }
    Ok((all, last))
}

/// Has what nobody needs removed, from now on.
pub(crate) fn forget(tx: &mut Tx, row: &TableRow) -> Result<(), Error> {
    Ok(tx.enqueue(&FORGET_PAST, &(row.account, row.region.clone(), row.number))?)
}

pub(crate) fn register(jobs: &mut Jobs) {
    jobs.register(&FORGET_PAST, ATTEMPTS_MAX, |tx, _, (account, region, table)| {
        forget_step(tx, &scope_of(account, &region), table).map_err(failed)
    });
}

/// The earliest state that can still be asked for; `None` if none can.
fn horizon(table: &Table, now: Timestamp) -> Option<Timestamp> {
    let kept = table.recovery_since.map(|_| earliest(table, now));
    kept.into_iter().chain(table.pins.values().copied()).min()
}

/// The earliest time to which a table with recovery can be brought back.
pub(crate) fn earliest(table: &Table, now: Timestamp) -> Timestamp {
    let oldest = now.plus_millis(-i64::from(table.recovery_days) * DAY_MS);
    table.recovery_since.map_or(oldest, |since| since.max(oldest))
}

fn forget_step(tx: &mut Tx, scope: &Scope, number: u64) -> Result<JobOutcome, Error> {
    tx.mark_freeing();
    let table = table_of(tx, scope, number)?;
    let horizon = table.as_ref().and_then(|table| horizon(table, tx.now()));
    let progress_key = (number, FORGETTING);
    let mut progress = tx.get(&PROGRESS, scope, &progress_key)?.unwrap_or_default();
    let mut scan = tx.scan(&HISTORY, scope).prefix(&space(number, TABLE_SPACE));
    if !progress.after.is_empty() {
        scan = scan.after(&RawKey(progress.after.clone()));
    }
    let (mut old, mut seen, mut last) = (Vec::new(), 0, None);
    for row in scan.take(STEP_ROWS_MAX) {
        let (key, row) = row?;
        seen += 1;
        last = Some(key.0.clone());
        // A change at the horizon itself may be needed: a pin is older than the changes after it.
        if horizon.is_none_or(|horizon| row.at < horizon) {
            old.push(key);
        }
    }
    for key in &old {
        tx.delete(&HISTORY, scope, key)?;
    }
    if seen == STEP_ROWS_MAX {
        progress.after = last.unwrap_or_default();
        tx.put(&PROGRESS, scope, &progress_key, &progress)?;
        return again(tx);
    }
    tx.delete(&PROGRESS, scope, &progress_key)?;
    match table.is_some_and(|table| table.keeps_past()) {
        true => Ok(JobOutcome::Again(tx.now().plus_millis(FORGET_EVERY_MS))),
        false => Ok(JobOutcome::Done),
    }
}

/// Keeps the past of a table for whoever has that number, from this commit on.
pub(crate) fn pin(row: &mut TableRow, number: u64, since: Timestamp) {
    row.pins.insert(number, since);
}

/// Lets go of it.
pub(crate) fn unpin(tx: &mut Tx, scope: &Scope, table: u64, number: u64) -> Result<(), Error> {
    let Some(table) = table_of(tx, scope, table)? else { return Ok(()) };
    let mut row = table.row;
    if row.pins.remove(&number).is_some() {
        crate::table::save(tx, &row)?;
        forget(tx, &row)?;
    }
    Ok(())
}
