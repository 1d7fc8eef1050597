//! Archived objects: not to be read until they are restored, and then for some days.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html>
//!
//! Whether an object can be read follows from its row and the time alone; the job only tells of it. The
//! bytes never move, so a restoration takes seconds where S3 takes hours: [`ready_after`].

use crate::events::{self, Of};
use crate::rows::*;
use crate::{bucket, get_object, malformed_xml, names, object};
use api::{Ask, Cx, Error, Tx};
use base::Timestamp;
use gen_s3::errors as e;
use gen_s3::{RestoreObjectInput, RestoreObjectOutput, RestoreStatus};
use store::{JobError, JobKind, JobOutcome, Jobs, Scope};

/// By bucket number and name, key, and the number of the version: tells what became of a restoration.
const RESTORE: JobKind<(u64, String, String, u64)> = JobKind::new(0x0105, "s3.restore");
const ATTEMPTS_MAX: u32 = 20;
const DAY_MS: i64 = 86_400_000;

pub fn is_archive(class: &str) -> bool {
    matches!(class, "GLACIER" | "DEEP_ARCHIVE")
}

/// How an archived object stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// In no archive.
    Active,
    Archived,
    Restoring,
    /// To be read until then.
    Restored(Timestamp),
}

pub fn standing(meta: &Meta, now: Timestamp) -> Standing {
    match &meta.restore {
        _ if !is_archive(&meta.storage_class) => Standing::Active,
        Some(restore) if now < restore.ready => Standing::Restoring,
        Some(restore) if now < restore.until => Standing::Restored(restore.until),
        _ => Standing::Archived,
    }
}

/// The header `x-amz-restore`.
pub fn shown(meta: &Meta, now: Timestamp) -> Option<String> {
    match standing(meta, now) {
        Standing::Restoring => Some("ongoing-request=\"true\"".into()),
        Standing::Restored(until) => {
            Some(format!("ongoing-request=\"false\", expiry-date=\"{}\"", until.http_date()))
        }
        Standing::Active | Standing::Archived => None,
    }
}

/// The same in listings that ask for it.
pub fn status(meta: &Meta, now: Timestamp) -> Option<RestoreStatus> {
    let (is_restore_in_progress, restore_expiry_date) = match standing(meta, now) {
        Standing::Restoring => (Some(true), None),
        Standing::Restored(until) => (Some(false), Some(until)),
        Standing::Active | Standing::Archived => return None,
    };
    Some(RestoreStatus { is_restore_in_progress, restore_expiry_date })
}

fn class_detail(error: Error, meta: &Meta) -> Error {
    error.detail("StorageClass", &meta.storage_class)
}

/// Refuses to read what is archived.
pub fn check_read(meta: &Meta, now: Timestamp) -> Result<(), Error> {
    match standing(meta, now) {
        Standing::Archived | Standing::Restoring => {
            let text = "The operation is not valid for the object's storage class";
            Err(class_detail(Error::new(&e::INVALID_OBJECT_STATE, text), meta))
        }
        Standing::Active | Standing::Restored(_) => Ok(()),
    }
}

/// Refuses to copy what is archived.
pub fn check_copy(meta: &Meta, now: Timestamp) -> Result<(), Error> {
    check_read(meta, now).map_err(|_| {
        let text = "The source object of the COPY operation is not in the active tier and is only stored in Amazon Glacier.";
        Error::with_code("ObjectNotInActiveTierError", 403, text)
    })
}

/// How long a restoration takes, in milliseconds.
fn ready_after(class: &str, tier: &str) -> Result<i64, Error> {
    match (class, tier) {
        ("DEEP_ARCHIVE", "Expedited") => {
            let text = "Retrieval option is not supported by this storage class";
            Err(Error::new(&e::INVALID_ARGUMENT, text).detail("ArgumentName", "Tier"))
        }
        (_, "Expedited") => Ok(1_000),
        (_, "Standard") => Ok(3_000),
        (_, "Bulk") => Ok(5_000),
        _ => Err(malformed_xml()),
    }
}

/// The midnight after so many days, as lifecycle counts.
fn end_of(ready: Timestamp, days: i32) -> Timestamp {
    let exact = ready.to_millis() + i64::from(days) * DAY_MS;
    Timestamp::from_millis((exact.div_euclid(DAY_MS) + 1) * DAY_MS)
}

pub fn authorize(cx: &Cx, input: &RestoreObjectInput) -> Vec<Ask> {
    let arn = names::object_arn(cx.partition(), &input.bucket, &input.key);
    let ask = Ask::new("s3:RestoreObject", arn);
    vec![ask.key("s3:versionid", input.version_id.as_deref())]
}

/// Days and tier of a request.
fn asked(input: &RestoreObjectInput) -> Result<(i32, String), Error> {
    let request = input.restore_request.as_ref().ok_or_else(malformed_xml)?;
    if request.r#type.is_some() || request.select_parameters.is_some() {
        let text = "SELECT restoration jobs are not implemented";
        return Err(Error::new(&e::NOT_IMPLEMENTED, text));
    }
    if request.output_location.is_some() {
        let text = "OutputLocation is not implemented";
        return Err(Error::new(&e::NOT_IMPLEMENTED, text));
    }
    let own = request.glacier_job_parameters.as_ref().map(|own| own.tier.clone());
    let tier = own.or(request.tier.clone()).unwrap_or_else(|| "Standard".into());
    match request.days {
        Some(days) if days > 0 => Ok((days, tier)),
        Some(_) => {
            let text = "Restoration days should be at least 1";
            Err(Error::new(&e::INVALID_ARGUMENT, text).detail("ArgumentName", "Days"))
        }
        None => Err(malformed_xml()),
    }
}

pub fn run(tx: &mut Tx, cx: &Cx, input: &RestoreObjectInput) -> Result<RestoreObjectOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let (days, tier) = asked(input)?;
    let mut row = get_object::version(tx, cx, &bucket, &input.key, &input.version_id)?;
    let now = tx.now();
    let took = ready_after(&row.meta.storage_class, &tier);
    match standing(&row.meta, now) {
        Standing::Active => {
            let text = "Restore is not allowed for the object's current storage class";
            return Err(class_detail(Error::new(&e::INVALID_OBJECT_STATE, text), &row.meta));
        }
        Standing::Restoring => {
            let text = "Object restore is already in progress";
            return Err(Error::with_code("RestoreAlreadyInProgress", 409, text));
        }
        // Only the end changes.
        Standing::Restored(_) => {
            if let Some(restore) = &mut row.meta.restore {
                restore.until = end_of(now, days);
            }
            object::rewrite(tx, &bucket, &input.key, &row)?;
            return Ok(RestoreObjectOutput::default());
        }
        Standing::Archived => {}
    }
    let ready = now.plus_millis(took?);
    row.meta.restore = Some(RestoreRow { ready, until: end_of(ready, days), told: false });
    object::rewrite(tx, &bucket, &input.key, &row)?;
    let of = Of::new(&bucket, &input.bucket, &input.key, &row);
    events::tell(tx, cx, "ObjectRestore:Post", of)?;
    let place = (bucket.number, input.bucket.as_str(), input.key.as_str(), row.sequence);
    tx.enqueue_at(&RESTORE, &place, ready)?;
    cx.status(202);
    Ok(RestoreObjectOutput::default())
}

pub fn jobs(jobs: &mut Jobs) {
    jobs.register(&RESTORE, ATTEMPTS_MAX, |tx, _, (number, name, key, sequence)| {
        tell(tx, number, &name, &key, sequence)
            .map_err(|error| JobError::Failed(error.cause().unwrap_or(error.message()).to_owned()))
    });
}

/// Tells that a restoration is complete, and later that it is over, when the row forgets it.
fn tell(
    tx: &mut Tx,
    number: u64,
    name: &str,
    key: &str,
    sequence: u64,
) -> Result<JobOutcome, Error> {
    let bucket = tx.get(&BUCKETS, &Scope::Global, name)?.filter(|bucket| bucket.number == number);
    let Some(bucket) = bucket else { return Ok(JobOutcome::Done) };
    let row = object::of_sequence(tx, &bucket, key, sequence)?;
    let Some(mut row) = row else { return Ok(JobOutcome::Done) };
    let Some(restore) = row.meta.restore.clone() else { return Ok(JobOutcome::Done) };
    let now = tx.now();
    if now < restore.ready {
        return Ok(JobOutcome::Again(restore.ready));
    }
    if now < restore.until {
        if !restore.told {
            row.meta.restore = Some(RestoreRow { told: true, ..restore });
            object::rewrite(tx, &bucket, key, &row)?;
            let of = Of::new(&bucket, name, key, &row);
            events::tell_own(tx, "ObjectRestore:Completed", of, "Restore Object")?;
        }
        return Ok(JobOutcome::Again(restore.until));
    }
    row.meta.restore = None;
    object::rewrite(tx, &bucket, key, &row)?;
    let of = Of::new(&bucket, name, key, &row);
    events::tell_own(tx, "ObjectRestore:Delete", of, "Restore Object")?;
    Ok(JobOutcome::Done)
}
