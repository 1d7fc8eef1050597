//! Event notifications: what happens to an object is written down, in the transaction in which it
//! happens, for each destination that the bucket's configuration names.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html>
//!
//! Invariants: an event is there if and only if its cause is; those of one destination are in the order
//! in which they happened. Bounded: what nobody took for four days goes, what is more than
//! a hundred thousand of a bucket goes oldest first, and twice as much is not kept at all.
//!
//! Deliberately absent until there are services that take them: delivery.

mod document;
mod message;
mod outbox;

pub use document::{get, put};
pub use message::{Cause, Happened};
pub use outbox::{EVENTS, EventRow, sweep};

use crate::bucket::scope;
use crate::rows::{BucketRow, Feature, ObjectRow};
use api::{Cx, Error, Tx};
use store::{Jobs, Table, row, row_enum};

/// What a bucket's configuration says, by its number.
const NOTIFIERS: Table<u64, NotifierRow> = Table::new(0x0112, "s3.notifier");

row! {
    #[derive(Default)]
    pub struct NotifierRow {
        1 => targets: Vec<TargetRow>,
    }
}

row! {
    pub struct TargetRow {
        1 => id: String,
        2 => kind: Destination,
        3 => arn: String,
        /// `s3:ObjectCreated:*`; empty for all.
        4 => events: Vec<String>,
        5 => prefix: String,
        6 => suffix: String,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum Destination {
        0 => Topic,
        1 => Queue,
        2 => Function,
        3 => EventBus,
    }
}

/// Whether an event of a configuration covers one that happened: `s3:ObjectCreated:*` all of its kind.
fn covers(wanted: &str, event: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(family) => event.starts_with(family),
        None => wanted == event,
    }
}

impl TargetRow {
    fn wants(&self, event: &str, key: &str) -> bool {
        (self.events.is_empty() || self.events.iter().any(|wanted| covers(wanted, event)))
            && key.starts_with(&self.prefix)
            && key.ends_with(&self.suffix)
    }
}

pub fn jobs(jobs: &mut Jobs) {
    outbox::jobs(jobs);
}

/// Forgets the configuration of a bucket that goes.
pub fn forget(tx: &mut Tx, bucket: &BucketRow) -> Result<(), Error> {
    tx.delete(&NOTIFIERS, &scope(bucket), &bucket.number)?;
    Ok(())
}

/// An object of a bucket, of which something is told.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    pub bucket: &'a BucketRow,
    /// The bucket's name.
    pub name: &'a str,
    pub key: &'a str,
    pub row: &'a ObjectRow,
}

impl<'a> Of<'a> {
    pub fn new(bucket: &'a BucketRow, name: &'a str, key: &'a str, row: &'a ObjectRow) -> Of<'a> {
        Of { bucket, name, key, row }
    }
}

/// Writes down what a request did: `ObjectCreated:Put`.
pub fn tell(tx: &mut Tx, cx: &Cx, event: &str, of: Of<'_>) -> Result<(), Error> {
    if !of.bucket.has(Feature::Notifications) {
        return Ok(());
    }
    tell_all(tx, event, of, &Cause::of_request(cx))
}

/// Writes down what S3 did by itself.
pub fn tell_own(tx: &mut Tx, event: &str, of: Of<'_>, reason: &'static str) -> Result<(), Error> {
    if !of.bucket.has(Feature::Notifications) {
        return Ok(());
    }
    tell_all(tx, event, of, &Cause::own(of.bucket, reason))
}

fn tell_all(tx: &mut Tx, event: &str, of: Of<'_>, cause: &Cause) -> Result<(), Error> {
    let place = (scope(of.bucket), of.bucket.number);
    let Some(notifier) = tx.get_shared(&NOTIFIERS, &place.0, &place.1)? else { return Ok(()) };
    let full = format!("s3:{event}");
    for target in notifier.targets.iter().filter(|target| target.wants(&full, of.key)) {
        let happened = Happened { event, of, cause, at: tx.now() };
        let message = match target.kind {
            Destination::EventBus => message::for_bus(&happened),
            _ => message::record(&happened, &target.id),
        };
        outbox::put(tx, of.bucket, target, event, message)?;
    }
    Ok(())
}
