//! Lifecycle: the configuration of a bucket, what it means for an object, and the pass that acts.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lifecycle-mgmt.html>
//!
//! Everything falls due at a midnight UTC, so a bucket with rules is walked once after each, and once
//! after its rules were changed. Invariant: a pass does what the rules say of the rows as they are at
//! that moment, a bounded piece in each transaction; one that is cut short goes on where it was.

mod check;
mod document;
mod pass;
mod rules;
mod sweep;

pub use document::{delete, forget, get, put};
pub use pass::PASS;
pub use rules::{abort_date, expiration};
pub use sweep::{BUCKET, UPLOAD};

use base::Entropy;
use std::sync::Arc;
use store::{JobError, Jobs};

/// Attempts at a step before it is parked.
const ATTEMPTS_MAX: u32 = 20;

pub fn jobs(jobs: &mut Jobs, entropy: &Arc<dyn Entropy>) {
    let entropy = Arc::clone(entropy);
    jobs.register(&PASS, ATTEMPTS_MAX, move |tx, _, (number, name)| {
        pass::step(tx, &*entropy, number, &name).map_err(failed)
    });
    jobs.register(&UPLOAD, ATTEMPTS_MAX, |tx, _, (account, number, id)| {
        sweep::upload(tx, account, number, &id).map_err(failed)
    });
    jobs.register(&BUCKET, ATTEMPTS_MAX, |tx, _, (account, number)| {
        sweep::bucket(tx, account, number).map_err(failed)
    });
}

fn failed(error: api::Error) -> JobError {
    JobError::Failed(error.cause().unwrap_or(error.message()).to_owned())
}
