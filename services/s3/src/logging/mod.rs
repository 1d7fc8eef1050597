//! Server access logs: requests to a bucket, written as objects into another one.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerLogs.html>
//!
//! Records come from the gateway in batches, lie in rows, and a minute after the first of them a job
//! makes an object of what has come. Best effort, as S3 says of its own: what the target bucket does not
//! take, and what is more than [`KEPT_MAX`] pieces of a bucket, is gone. Deliveries are not logged.

mod deliver;
mod document;
mod record;

pub use document::{forget, get, put};

use crate::bucket::scope;
use crate::rows::{BUCKETS, BucketRow, Feature};
use api::{Access, Background, Error, Tx};
use base::AccountId;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::blobs::ROW_BLOB_BYTES_MAX;
use store::{JobError, JobKind, Jobs, Scope, Table, row};

/// By bucket number, day of the requests since 1970, and a number that grows.
const PIECES: Table<(u64, i64, u64), PieceRow> = Table::new(0x0117, "s3.log_piece");
/// How many pieces of a bucket wait, by its number.
const STATES: Table<u64, StateRow> = Table::new(0x0118, "s3.log_state");
/// By account, bucket number and name: makes objects of what waits.
const DELIVER: JobKind<(AccountId, u64, String)> = JobKind::new(0x0106, "s3.log_delivery");

/// Pieces of a bucket that wait: 64 MiB.
const KEPT_MAX: u64 = 4096;
/// From the first record to the object that has it.
const GATHERED_MS: i64 = 60_000;
const ATTEMPTS_MAX: u32 = 20;
const DAY_MS: i64 = 86_400_000;

row! {
    /// Lines, as many as a blob in a row holds.
    struct PieceRow {
        1 => text: String,
    }
}

row! {
    #[derive(Default)]
    struct StateRow {
        1 => next: u64,
        2 => kept: u64,
        /// Pieces that were not delivered: too many, or refused by the target bucket.
        3 => lost: u64,
    }
}

pub fn jobs(jobs: &mut Jobs, with: &Background) {
    let delivery = deliver::Delivery { blobs: jobs.blobs().clone(), with: with.clone() };
    jobs.register(&DELIVER, ATTEMPTS_MAX, move |tx, _, (account, number, name)| {
        delivery
            .step(tx, account, number, &name)
            .map_err(|error| JobError::Failed(error.cause().unwrap_or(error.message()).to_owned()))
    });
}

pub fn is_logged(tx: &Tx, bucket: &str) -> bool {
    let row = tx.get_shared(&BUCKETS, &Scope::Global, bucket);
    row.is_ok_and(|row| row.is_some_and(|row| row.has(Feature::Logging)))
}

/// Lines of one bucket and day.
type Lines = BTreeMap<(String, i64), Vec<String>>;

/// Keeps requests until they are delivered.
pub fn note(tx: &mut Tx, accesses: &[Access]) -> Result<(), Error> {
    let mut buckets: BTreeMap<String, Option<Arc<BucketRow>>> = BTreeMap::new();
    let mut lines = Lines::new();
    for access in accesses {
        for one in record::of(access) {
            let bucket = match buckets.get(one.bucket) {
                Some(known) => known.clone(),
                None => {
                    let row = tx.get_shared(&BUCKETS, &Scope::Global, one.bucket)?;
                    let row = row.filter(|row| row.has(Feature::Logging));
                    buckets.insert(one.bucket.to_owned(), row.clone());
                    row
                }
            };
            let Some(bucket) = bucket else { continue };
            let day = access.at.to_millis().div_euclid(DAY_MS);
            let of_day = lines.entry((one.bucket.to_owned(), day)).or_default();
            of_day.push(one.line(access, &bucket));
        }
    }
    for ((name, day), lines) in &lines {
        if let Some(Some(bucket)) = buckets.get(name) {
            keep(tx, bucket, name, *day, lines)?;
        }
    }
    Ok(())
}

fn keep(
    tx: &mut Tx,
    bucket: &BucketRow,
    name: &str,
    day: i64,
    lines: &[String],
) -> Result<(), Error> {
    let (scope, number) = (scope(bucket), bucket.number);
    let mut state = tx.get(&STATES, &scope, &number)?.unwrap_or_default();
    let mut text = String::new();
    for (nth, line) in lines.iter().enumerate() {
        text.push_str(line);
        let next = lines.get(nth + 1).map_or(ROW_BLOB_BYTES_MAX, String::len);
        if text.len() + next <= ROW_BLOB_BYTES_MAX {
            continue;
        }
        let piece = PieceRow { text: std::mem::take(&mut text) };
        if state.kept >= KEPT_MAX {
            state.lost += 1;
            continue;
        }
        tx.put(&PIECES, &scope, &(number, day, state.next), &piece)?;
        state.next += 1;
        state.kept += 1;
    }
    tx.put(&STATES, &scope, &number, &state)?;
    let due = tx.now().plus_millis(GATHERED_MS);
    tx.enqueue_at(&DELIVER, &(bucket.owner, number, name), due)?;
    Ok(())
}
