//! Inventories: what is in a bucket, written as lists into another one each day or each Sunday.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html>
//!
//! A job walks the bucket from midnight on, some hundred versions at a time. What it lists lies in rows
//! until there is enough of it for an object; at the end a manifest names those objects. As S3 says of
//! its own lists, one is of no single moment. What the target does not take is not delivered, and tried
//! again when the next list is due.
//!
//! Deliberately absent: lists in ORC and Parquet, whose configurations are kept and nothing more.

mod line;
mod manifest;
mod walk;

use crate::rows::*;
use crate::{bucket, config, kept};
use api::{Background, Cx, Error, Tx};
use base::{AccountId, Timestamp};
use bytes::Bytes;
use gen_s3::*;
use store::{JobError, JobKind, Jobs, Scope, Table, row};

const KIND: &str = "inventory";
/// Where the walk for a configuration stands, by bucket number and id.
const RUNS: Table<(u64, String), RunRow> = Table::new(0x0120, "s3.inventory_run");
/// What waits to become an object, by bucket number, id and a number that grows.
const PIECES: Table<(u64, String, u64), PieceRow> = Table::new(0x0121, "s3.inventory_piece");
/// By account, bucket number and name, and id.
const LIST: JobKind<(AccountId, u64, String, String)> = JobKind::new(0x0108, "s3.inventory");

const ATTEMPTS_MAX: u32 = 20;
/// Rows of a bucket that is gone, in one transaction.
const SWEPT_MAX: usize = 256;
const DAY_MS: i64 = 86_400_000;

row! {
    pub struct RunRow {
        1 => begun: Timestamp,
        /// The last key that was listed.
        2 => key: String,
        /// The last version of it, while its older ones are listed.
        3 => older_than: Option<u64>,
        /// Lines that are no piece yet.
        4 => text: String,
        /// Pieces that wait.
        5 => pieces: u64,
        6 => files: Vec<FileRow>,
    }
}

row! {
    pub struct PieceRow {
        /// A member of a gzip file.
        1 => bytes: Bytes,
    }
}

row! {
    /// An object with a part of the list.
    pub struct FileRow {
        1 => key: String,
        2 => size_bytes: u64,
        3 => md5: String,
    }
}

pub fn jobs(jobs: &mut Jobs, with: &Background) {
    let lister = walk::Lister { blobs: jobs.blobs().clone(), with: with.clone() };
    jobs.register(&LIST, ATTEMPTS_MAX, move |tx, _, (account, number, name, id)| {
        lister
            .step(tx, account, number, (&name, &id))
            .map_err(|error| JobError::Failed(error.cause().unwrap_or(error.message()).to_owned()))
    });
}

/// When the next list is due.
fn next(document: &InventoryConfiguration, now: Timestamp) -> Timestamp {
    let mut day = now.to_millis().div_euclid(DAY_MS) + 1;
    if document.schedule.frequency == "Weekly" {
        // The first day of 1970 was a Thursday.
        day += (3 - day).rem_euclid(7);
    }
    Timestamp::from_millis(day * DAY_MS)
}

/// Whether lists are made of it.
fn acts(document: &InventoryConfiguration) -> bool {
    document.is_enabled && document.destination.s3_bucket_destination.format == "CSV"
}

/// Forgets where the walk for a configuration stands.
fn forget(tx: &mut Tx, account: AccountId, number: u64, id: &str) -> Result<(), Error> {
    let place = Scope::Account(account);
    tx.delete(&RUNS, &place, &(number, id))?;
    let mut waiting = Vec::new();
    let mut rows = tx.scan(&PIECES, &place).prefix(&(number, id));
    while let Some((_, _, nth)) = rows.next_key()? {
        waiting.push(nth);
    }
    for nth in waiting {
        tx.delete(&PIECES, &place, &(number, id, nth))?;
    }
    Ok(())
}

pub fn put(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketInventoryConfigurationInput,
) -> Result<PutBucketInventoryConfigurationOutput, Error> {
    let output = kept::inventory::put(tx, cx, input)?;
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    forget(tx, bucket.owner, bucket.number, &input.id)?;
    if acts(&input.inventory_configuration) {
        // The first one comes within 48 hours, S3 says, whatever the frequency.
        let due = Timestamp::from_millis((tx.now().to_millis().div_euclid(DAY_MS) + 1) * DAY_MS);
        let key = (bucket.owner, bucket.number, input.bucket.as_str(), input.id.as_str());
        tx.enqueue_at(&LIST, &key, due)?;
    }
    Ok(output)
}

/// The configuration, if lists are made of it.
fn of(tx: &Tx, bucket: &BucketRow, id: &str) -> Result<Option<InventoryConfiguration>, Error> {
    Ok(config::get(tx, bucket, KIND, id)?.filter(acts))
}

/// What goes with a bucket; whether there is more.
pub fn sweep(tx: &mut Tx, account: AccountId, number: u64) -> Result<bool, Error> {
    let place = Scope::Account(account);
    let runs = tx.scan(&RUNS, &place).prefix(&(number,)).keys().take(SWEPT_MAX);
    let runs: Vec<_> = runs.collect::<Result<_, _>>()?;
    let pieces = tx.scan(&PIECES, &place).prefix(&(number,)).keys().take(SWEPT_MAX);
    let pieces: Vec<_> = pieces.collect::<Result<_, _>>()?;
    let more = runs.len() == SWEPT_MAX || pieces.len() == SWEPT_MAX;
    for (_, id) in runs {
        tx.delete(&RUNS, &place, &(number, id.as_str()))?;
    }
    for (_, id, nth) in pieces {
        tx.delete(&PIECES, &place, &(number, id.as_str(), nth))?;
    }
    Ok(more)
}
