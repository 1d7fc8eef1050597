//! What is done later: rows of what was deleted go, new indexes are filled, items expire, records and
//! tokens are forgotten, items are counted. Each step is a bounded transaction, and starts from rows.

use crate::keyspace::{
    TABLE_SPACE, TTL_SPACE, index_key, item_key, space, ttl_item, ttl_key, ttl_seconds,
};
use crate::rows::{ITEMS, ItemRow, RECORDS, RawKey, STREAMS, StreamRow, TABLES, TOKENS, TableRow};
use crate::table::{Table, save};
use crate::write::{Change, change_item, projected, read_item};
use api::{Background, Error, Tx};
use base::{AccountId, Entropy, Region, Timestamp};
use bytes::Bytes;
use item::Map;
use store::{JobCx, JobError, JobKind, JobOutcome, Jobs, Scope, StoreError, row};

pub(crate) type OfTable = (AccountId, Region, u64);
type OfSpace = (AccountId, Region, u64, u32);

/// Rows of a space, or of a whole table, that is gone.
const PURGE: JobKind<OfSpace> = JobKind::new(0x0401, "dynamodb.purge");
/// Entries of a new index, or times at which items expire.
const FILL: JobKind<OfSpace> = JobKind::new(0x0402, "dynamodb.fill");
/// Items whose time has come.
const EXPIRE: JobKind<OfTable> = JobKind::new(0x0403, "dynamodb.expire");
/// Records of a stream that are older than a day.
const TRIM: JobKind<OfTable> = JobKind::new(0x0404, "dynamodb.trim");
/// A client token that need not be known any more.
const FORGET: JobKind<(AccountId, Region, String)> = JobKind::new(0x0405, "dynamodb.forget");
/// How many items a table has.
const COUNT: JobKind<OfTable> = JobKind::new(0x0406, "dynamodb.count");

/// How far a job has come: by table number and the job's space.
pub(crate) const PROGRESS: store::Table<(u64, u32), ProgressRow> =
    store::Table::new(0x0408, "dynamodb.progress");

row! {
    #[derive(Default)]
    pub struct ProgressRow {
        /// The last key that was done.
        1 => after: Vec<u8>,
        2 => count: u64,
        3 => size_bytes: u64,
    }
}

pub(crate) const ATTEMPTS_MAX: u32 = 20;
pub(crate) const STEP_ROWS_MAX: usize = 200;
/// Bytes that one step reads; once it has written more it ends.
pub(crate) const STEP_BYTES_MAX: usize = 1024 * 1024;
/// In place of a space: all of a table.
const WHOLE: u32 = 1 << 16;
/// The space of the progress of counting, of forgetting the past, of copying.
const COUNTING: u32 = WHOLE + 1;
pub(crate) const FORGETTING: u32 = WHOLE + 2;
pub(crate) const COPYING: u32 = WHOLE + 3;

const EXPIRE_EVERY_MS: i64 = 10_000;
const TRIM_EVERY_MS: i64 = 3_600_000;
const COUNT_EVERY_MS: i64 = 6 * 3_600_000;
pub(crate) const RETENTION_MS: i64 = 24 * 3_600_000;

pub(crate) fn scope_of(account: AccountId, region: &Region) -> Scope {
    Scope::AccountRegion(account, region.clone())
}

/// Has the rows of a table, or of one of its spaces, removed; with a whole table its past.
pub(crate) fn purge(tx: &mut Tx, row: &TableRow, space: Option<u16>) -> Result<(), Error> {
    if space.is_none() {
        crate::history::forget(tx, row)?;
    }
    let space = space.map_or(WHOLE, u32::from);
    let key = (row.account, row.region.clone(), row.number, space);
    Ok(tx.enqueue(&PURGE, &key)?)
}

/// Has the rows of a backup removed.
pub(crate) fn purge_rows(tx: &mut Tx, of: &TableRow, number: u64) -> Result<(), Error> {
    Ok(tx.enqueue(&PURGE, &(of.account, of.region.clone(), number, WHOLE))?)
}

/// Has entries made for the items that a table has already.
pub(crate) fn fill(tx: &mut Tx, row: &TableRow, space: u16) -> Result<(), Error> {
    let key = (row.account, row.region.clone(), row.number, u32::from(space));
    Ok(tx.enqueue(&FILL, &key)?)
}

/// Has items expire from now on.
pub(crate) fn expire(tx: &mut Tx, row: &TableRow) -> Result<(), Error> {
    Ok(tx.enqueue(&EXPIRE, &(row.account, row.region.clone(), row.number))?)
}

pub(crate) fn count_later(tx: &mut Tx, row: &TableRow) -> Result<(), Error> {
    let due = tx.now().plus_millis(COUNT_EVERY_MS);
    Ok(tx.enqueue_at(&COUNT, &(row.account, row.region.clone(), row.number), due)?)
}

/// Has records removed once they are a day old.
pub(crate) fn trim_later(tx: &mut Tx, row: &TableRow, stream: u64) -> Result<(), Error> {
    let due = tx.now().plus_millis(RETENTION_MS);
    Ok(tx.enqueue_at(&TRIM, &(row.account, row.region.clone(), stream), due)?)
}

pub(crate) fn forget_token(
    tx: &mut Tx,
    scope: &Scope,
    token: &str,
    due: Timestamp,
) -> Result<(), Error> {
    let Scope::AccountRegion(account, region) = scope else { return Ok(()) };
    Ok(tx.enqueue_at(&FORGET, &(*account, region.clone(), token.to_owned()), due)?)
}

/// Whether a job that fails now is parked.
pub(crate) fn is_last(cx: &JobCx) -> bool {
    cx.attempts + 1 >= ATTEMPTS_MAX
}

/// What an error means for an attempt. That the store is busy or full is nobody's failure, whoever says it.
pub(crate) fn failed(error: Error) -> JobError {
    match (error.status(), error.code()) {
        (503, "SlowDown") => JobError::Store(StoreError::Busy),
        (507, "InsufficientStorage") => JobError::Store(StoreError::Full),
        _ => JobError::Failed(error.cause().map_or_else(|| error.to_string(), str::to_owned)),
    }
}

pub(crate) fn register(jobs: &mut Jobs, with: &Background) {
    crate::transfer::register(jobs, with);
    crate::history::register(jobs);
    crate::copy::register(jobs);
    crate::backups::register(jobs);
    jobs.register(&PURGE, ATTEMPTS_MAX, |tx, _, (account, region, table, space)| {
        purge_step(tx, &scope_of(account, &region), table, space).map_err(failed)
    });
    jobs.register(&FILL, ATTEMPTS_MAX, |tx, _, (account, region, table, space)| {
        fill_step(tx, &scope_of(account, &region), table, space).map_err(failed)
    });
    let chance = with.entropy.clone();
    jobs.register(&EXPIRE, ATTEMPTS_MAX, move |tx, _, (account, region, table)| {
        expire_step(tx, &*chance, &scope_of(account, &region), table).map_err(failed)
    });
    jobs.register(&TRIM, ATTEMPTS_MAX, |tx, _, (account, region, stream)| {
        trim_step(tx, &scope_of(account, &region), stream).map_err(failed)
    });
    jobs.register(&FORGET, ATTEMPTS_MAX, |tx, _, (account, region, token)| {
        tx.delete(&TOKENS, &scope_of(account, &region), token.as_str())?;
        Ok(JobOutcome::Done)
    });
    jobs.register(&COUNT, ATTEMPTS_MAX, |tx, _, (account, region, table)| {
        count_step(tx, &scope_of(account, &region), table).map_err(failed)
    });
}

pub(crate) fn again(tx: &Tx) -> Result<JobOutcome, Error> {
    Ok(JobOutcome::Again(tx.now()))
}

fn purge_step(tx: &mut Tx, scope: &Scope, table: u64, number: u32) -> Result<JobOutcome, Error> {
    tx.mark_freeing();
    // Times of expiry that are made again are not those that were to go.
    let again_on = number == u32::from(TTL_SPACE)
        && table_of(tx, scope, table)?.is_some_and(|table| table.ttl.is_some());
    if again_on {
        return Ok(JobOutcome::Done);
    }
    let own = match u16::try_from(number) {
        Ok(number) => space(table, number),
        Err(_) => RawKey(table.to_be_bytes().to_vec()),
    };
    let keys: Vec<RawKey> =
        tx.scan(&ITEMS, scope).prefix(&own).keys().take(STEP_ROWS_MAX).collect::<Result<_, _>>()?;
    for key in &keys {
        tx.delete(&ITEMS, scope, key)?;
    }
    if keys.len() == STEP_ROWS_MAX {
        return again(tx);
    }
    if number == WHOLE {
        let left: Vec<(u64, u32)> =
            tx.scan(&PROGRESS, scope).prefix(&(table,)).keys().collect::<Result<_, _>>()?;
        for key in &left {
            tx.delete(&PROGRESS, scope, key)?;
        }
    }
    Ok(JobOutcome::Done)
}

/// The table, unless it is gone.
pub(crate) fn table_of(tx: &Tx, scope: &Scope, number: u64) -> Result<Option<Table>, Error> {
    tx.get(&TABLES, scope, &number)?.map(Table::new).transpose()
}

/// The next rows of a table after the progress that was kept.
fn next_rows(
    tx: &Tx,
    scope: &Scope,
    table: u64,
    progress: &ProgressRow,
) -> Result<Vec<(RawKey, ItemRow)>, Error> {
    let own = space(table, TABLE_SPACE);
    let mut scan = tx.scan(&ITEMS, scope).prefix(&own);
    if !progress.after.is_empty() {
        scan = scan.after(&RawKey(progress.after.clone()));
    }
    let (mut rows, mut size) = (Vec::new(), 0);
    for row in scan.take(STEP_ROWS_MAX) {
        let (key, row) = row?;
        size += row.item.len();
        rows.push((key, row));
        if size > STEP_BYTES_MAX {
            break;
        }
    }
    Ok(rows)
}

fn fill_step(tx: &mut Tx, scope: &Scope, number: u64, space: u32) -> Result<JobOutcome, Error> {
    let key = (number, space);
    let table = table_of(tx, scope, number)?;
    let index = table.as_ref().and_then(|t| t.indexes.iter().find(|i| i.number == space)).cloned();
    let expiry = space == u32::from(TTL_SPACE);
    let wanted =
        if expiry { table.as_ref().is_some_and(|t| t.ttl.is_some()) } else { index.is_some() };
    let Some(table) = table.filter(|_| wanted) else {
        tx.delete(&PROGRESS, scope, &key)?;
        return Ok(JobOutcome::Done);
    };
    let mut progress = tx.get(&PROGRESS, scope, &key)?.unwrap_or_default();
    let rows = next_rows(tx, scope, number, &progress)?;
    if let Some((last, _)) = rows.last() {
        progress.after = last.0.clone();
        for (_, row) in &rows {
            let item = Map::of(&row.item);
            let entry = match &index {
                Some(index) => {
                    index_key(&table, index, item).map(|key| (key, projected(&table, index, item)))
                }
                None => ttl_key(&table, item)
                    .map(|key| (key, ItemRow { size_bytes: 0, item: Bytes::new() })),
            };
            if let Some((key, row)) = entry {
                tx.put(&ITEMS, scope, &key, &row)?;
            }
        }
        tx.put(&PROGRESS, scope, &key, &progress)?;
        return again(tx);
    }
    tx.delete(&PROGRESS, scope, &key)?;
    let mut row = table.row;
    row.indexes.iter_mut().filter(|i| i.number == space).for_each(|i| i.filling = false);
    save(tx, &row)?;
    Ok(JobOutcome::Done)
}

fn expire_step(
    tx: &mut Tx,
    entropy: &dyn Entropy,
    scope: &Scope,
    number: u64,
) -> Result<JobOutcome, Error> {
    const AT_ONCE: usize = 50;
    /// Items that are overdue by more are left alone.
    const OVERDUE_SECS_MAX: i64 = 5 * 365 * 86_400;
    let Some(table) = table_of(tx, scope, number)?.filter(|table| table.ttl.is_some()) else {
        return Ok(JobOutcome::Done);
    };
    let now = tx.now().to_secs();
    let mut first = space(number, TTL_SPACE);
    first.0.extend_from_slice(&(now - OVERDUE_SECS_MAX).max(0).to_be_bytes());
    let mut last = space(number, TTL_SPACE);
    last.0.extend_from_slice(&(now + 1).to_be_bytes());
    let due: Vec<RawKey> = tx
        .scan(&ITEMS, scope)
        .from(&first)
        .to(&last)
        .keys()
        .take(AT_ONCE)
        .collect::<Result<_, _>>()?;
    let mut done = 0;
    for key in &due {
        expire_one(tx, entropy, &table, key)?;
        done += 1;
        if tx.written_bytes() > STEP_BYTES_MAX {
            break;
        }
    }
    let more = due.len() == AT_ONCE || done < due.len();
    let pause = if more { 0 } else { EXPIRE_EVERY_MS };
    Ok(JobOutcome::Again(tx.now().plus_millis(pause)))
}

fn expire_one(
    tx: &mut Tx,
    entropy: &dyn Entropy,
    table: &Table,
    key: &RawKey,
) -> Result<(), Error> {
    let found = ttl_item(table, key).map(|item| item_key(table, Map::of(&item)));
    let old = found.as_ref().map(|key| read_item(tx, table, key)).transpose()?.flatten();
    let live = old.as_ref().and_then(|row| ttl_key(table, Map::of(&row.item)));
    match (found, old) {
        (Some(item), Some(old)) if live.as_ref().and_then(ttl_seconds) == ttl_seconds(key) => {
            let change = Change { key: &item, old: Some(&old), new: None, by_ttl: true };
            change_item(tx, table, entropy, change)?;
        }
        // An entry without its item: made while the expiry was being switched.
        _ => tx.delete(&ITEMS, &table.scope, key)?,
    }
    Ok(())
}

fn trim_step(tx: &mut Tx, scope: &Scope, number: u64) -> Result<JobOutcome, Error> {
    let before = tx.now().plus_millis(-RETENTION_MS);
    let mut old = Vec::new();
    let mut next = None;
    for row in tx.scan(&RECORDS, scope).prefix(&(number,)) {
        let (key, row) = row?;
        if row.at > before || old.len() == STEP_ROWS_MAX {
            next = Some(row.at);
            break;
        }
        old.push(key);
    }
    for key in &old {
        tx.delete(&RECORDS, scope, key)?;
    }
    let mut found = None;
    for row in tx.scan(&STREAMS, scope) {
        let (key, row) = row?;
        if row.number == number {
            found = Some((key, row));
            break;
        }
    }
    if let (Some((_, last)), Some((key, stream))) = (old.last(), &found) {
        tx.put(&STREAMS, scope, key, &StreamRow { trimmed: last + 1, ..stream.clone() })?;
    }
    if old.len() == STEP_ROWS_MAX {
        return again(tx);
    }
    // A stream that ended and has no records left is forgotten.
    let Some((key, stream)) = found else { return Ok(JobOutcome::Done) };
    if next.is_none() && stream.ended.is_some_and(|ended| ended <= before) {
        tx.delete(&STREAMS, scope, &key)?;
        return Ok(JobOutcome::Done);
    }
    let soon = tx.now().plus_millis(TRIM_EVERY_MS);
    let due = next.map_or(soon, |at| at.plus_millis(RETENTION_MS).max(tx.now().plus_millis(1000)));
    Ok(JobOutcome::Again(due.min(soon)))
}

fn count_step(tx: &mut Tx, scope: &Scope, number: u64) -> Result<JobOutcome, Error> {
    let key = (number, COUNTING);
    let Some(table) = table_of(tx, scope, number)? else {
        tx.delete(&PROGRESS, scope, &key)?;
        return Ok(JobOutcome::Done);
    };
    let mut progress = tx.get(&PROGRESS, scope, &key)?.unwrap_or_default();
    let rows = next_rows(tx, scope, number, &progress)?;
    if let Some((last, _)) = rows.last() {
        progress.after = last.0.clone();
        progress.count += rows.len() as u64;
        progress.size_bytes += rows.iter().map(|(_, row)| u64::from(row.size_bytes)).sum::<u64>();
        tx.put(&PROGRESS, scope, &key, &progress)?;
        return again(tx);
    }
    tx.delete(&PROGRESS, scope, &key)?;
    let mut row = table.row;
    if (row.count, row.size_bytes) != (progress.count, progress.size_bytes) {
        (row.count, row.size_bytes) = (progress.count, progress.size_bytes);
        save(tx, &row)?;
    }
    Ok(JobOutcome::Again(tx.now().plus_millis(COUNT_EVERY_MS)))
}
