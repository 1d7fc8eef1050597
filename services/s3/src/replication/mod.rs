//! Replication: versions that are copied into other buckets, of the same account or of another one.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication.html>
//!
//! Which rules concern a version is decided in the transaction that makes it, which leaves a task for the
//! job. The job acts as the role of the configuration, so whoever may not do it, cannot have it done. A
//! copy shares the bytes of its source and keeps its id and its time.
//!
//! Invariants: a version is PENDING only while a task for it waits; what a job puts is a replica, for
//! which no task is made, so that buckets which replicate into each other come to rest. Bounded: beyond
//! [`WAITING_MAX`] tasks of a bucket a version is FAILED at once.
//!
//! Deliberately absent: what was there before the configuration (S3's batch operations), what lifecycle
//! rules do (S3 does not replicate it either), reports of the time that it took.

mod check;
mod deliver;
mod document;
mod rules;
mod tasks;

pub use document::{delete, forget, get, is_configured, put};
pub use tasks::{changed, made, sweep};

use crate::rows::{Meta, Replicated};
use api::{Background, Jobs};
use store::JobError;

/// Attempts at a step before it is parked.
const ATTEMPTS_MAX: u32 = 20;

pub fn jobs(jobs: &mut Jobs, with: &Background) {
    let with = with.clone();
    jobs.register(&tasks::DELIVER, ATTEMPTS_MAX, move |tx, _, (account, number, name)| {
        deliver::step(tx, &with, account, number, &name)
            .map_err(|error| JobError::Failed(error.cause().unwrap_or(error.message()).to_owned()))
    });
}

/// The header `x-amz-replication-status`.
pub fn shown(meta: &Meta) -> Option<String> {
    let status = match meta.replication? {
        Replicated::Pending => "PENDING",
        Replicated::Completed => "COMPLETED",
        Replicated::Failed => "FAILED",
        Replicated::Replica => "REPLICA",
    };
    Some(status.into())
}
