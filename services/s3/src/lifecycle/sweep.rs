//! What is left of an upload that was given up, and of a bucket that is gone: taken away by and by.

use crate::rows::*;
use crate::{events, inventory, logging, object, replication};
use api::{Error, Tx};
use base::AccountId;
use store::{JobKind, JobOutcome, Scope};

/// By account, bucket number and upload id: the parts of an upload that is gone.
pub const UPLOAD: JobKind<(AccountId, u64, String)> = JobKind::new(0x0102, "s3.upload_parts");
/// By account and number: uploads and events of a bucket that is gone; its objects, if it was not empty.
pub const BUCKET: JobKind<(AccountId, u64)> = JobKind::new(0x0103, "s3.bucket_rest");

const PARTS_MAX: usize = 100;
const UPLOADS_MAX: usize = 100;
const OBJECTS_MAX: usize = 100;

/// Gives an upload up: nobody sees it any more, and its parts go later.
pub fn abort(tx: &mut Tx, bucket: &BucketRow, key: &str, id: &str) -> Result<(), Error> {
    let scope = Scope::Account(bucket.owner);
    tx.delete(&UPLOADS, &scope, &(bucket.number, key, id))?;
    tx.enqueue(&UPLOAD, &(bucket.owner, bucket.number, id))?;
    Ok(())
}

pub fn upload(tx: &mut Tx, account: AccountId, number: u64, id: &str) -> Result<JobOutcome, Error> {
    let scope = Scope::Account(account);
    tx.mark_freeing();
    let rows = tx.scan(&PARTS, &scope).prefix(&(number, id)).take(PARTS_MAX);
    let parts: Vec<_> = rows.collect::<Result<_, _>>()?;
    let more = parts.len() == PARTS_MAX;
    for ((_, _, part), row) in parts {
        tx.release_blob(&row.blob)?;
        tx.delete(&PARTS, &scope, &(number, id, part))?;
    }
    Ok(if more { JobOutcome::Again(tx.now()) } else { JobOutcome::Done })
}

/// Whether there may be more.
fn objects(tx: &mut Tx, scope: &Scope, number: u64) -> Result<bool, Error> {
    let versions = tx.scan(&VERSIONS, scope).prefix(&(number,)).take(OBJECTS_MAX);
    let versions: Vec<_> = versions.collect::<Result<_, _>>()?;
    let objects = tx.scan(&OBJECTS, scope).prefix(&(number,)).take(OBJECTS_MAX);
    let objects: Vec<_> = objects.collect::<Result<_, _>>()?;
    let more = versions.len() == OBJECTS_MAX || objects.len() == OBJECTS_MAX;
    for ((_, key, sequence), row) in versions {
        object::release(tx, &row)?;
        tx.delete(&VERSIONS, scope, &(number, key.as_str(), sequence))?;
    }
    for ((_, key), row) in objects {
        object::release(tx, &row)?;
        tx.delete(&OBJECTS, scope, &(number, key.as_str()))?;
    }
    Ok(more)
}

pub fn bucket(tx: &mut Tx, account: AccountId, number: u64) -> Result<JobOutcome, Error> {
    let scope = Scope::Account(account);
    tx.mark_freeing();
    let keys = tx.scan(&UPLOADS, &scope).prefix(&(number,)).keys().take(UPLOADS_MAX);
    let uploads: Vec<_> = keys.collect::<Result<_, _>>()?;
    let more = uploads.len() == UPLOADS_MAX;
    for (_, key, id) in uploads {
        tx.delete(&UPLOADS, &scope, &(number, key.as_str(), id.as_str()))?;
        tx.enqueue(&UPLOAD, &(account, number, id.as_str()))?;
    }
    let more = objects(tx, &scope, number)? || more;
    let more = events::sweep(tx, account, number)? || more;
    let more = logging::forget(tx, account, number)? || more;
    let more = replication::sweep(tx, account, number)? || more;
    let more = inventory::sweep(tx, account, number)? || more;
    Ok(if more { JobOutcome::Again(tx.now()) } else { JobOutcome::Done })
}
