//! Events that wait for whoever takes them, and the job that lets go of what nobody took.

use super::Destination;
use super::TargetRow;
use crate::bucket::scope;
use crate::rows::BucketRow;
use api::{Error, Tx};
use base::{AccountId, Timestamp};
use store::{JobError, JobKind, JobOutcome, Jobs, Scope, StoreError, Table, row};

/// By bucket number, ARN of the destination and a number that grows with each event of the bucket; in
/// the scope of the bucket's owner.
pub const EVENTS: Table<(u64, String, u64), EventRow> = Table::new(0x0113, "s3.event");
/// How many there are and were of a bucket, by its number.
const STATES: Table<u64, StateRow> = Table::new(0x0114, "s3.event_state");
/// By account and bucket number: lets go of the old ones.
const PRUNE: JobKind<(AccountId, u64)> = JobKind::new(0x0104, "s3.event_prune");

/// Events of a bucket that are kept.
const KEPT_MAX: u64 = 100_000;
const KEPT_MS: i64 = 4 * 86_400_000;
const PRUNE_EVERY_MS: i64 = 3_600_000;
const AT_ONCE: usize = 200;
const ATTEMPTS_MAX: u32 = 20;

row! {
    pub struct EventRow {
        1 => at: Timestamp,
        2 => kind: Destination,
        /// `ObjectCreated:Put`.
        3 => event: String,
        /// What is delivered, as JSON.
        4 => message: String,
    }
}

row! {
    #[derive(Default)]
    pub struct StateRow {
        1 => next: u64,
        2 => kept: u64,
        /// Events that were not kept because there were too many.
        3 => lost: u64,
    }
}

pub fn jobs(jobs: &mut Jobs) {
    jobs.register(&PRUNE, ATTEMPTS_MAX, |tx, _, (account, number)| {
        prune(tx, account, number, KEPT_MAX).map_err(JobError::Store)
    });
}

pub fn put(
    tx: &mut Tx,
    bucket: &BucketRow,
    target: &TargetRow,
    event: &str,
    message: String,
) -> Result<(), Error> {
    let (scope, number) = (scope(bucket), bucket.number);
    let mut state = tx.get(&STATES, &scope, &number)?.unwrap_or_default();
    if state.kept >= 2 * KEPT_MAX {
        state.lost += 1;
        tx.put(&STATES, &scope, &number, &state)?;
        return Ok(());
    }
    let row = EventRow { at: tx.now(), kind: target.kind, event: event.to_owned(), message };
    tx.put(&EVENTS, &scope, &(number, target.arn.as_str(), state.next), &row)?;
    state.next += 1;
    state.kept += 1;
    tx.put(&STATES, &scope, &number, &state)?;
    let due = match state.kept > KEPT_MAX {
        true => tx.now(),
        false => tx.now().plus_millis(PRUNE_EVERY_MS),
    };
    tx.enqueue_at(&PRUNE, &(bucket.owner, number), due)?;
    Ok(())
}

/// Some of the surplus, of the destination that has the oldest.
fn surplus(
    tx: &Tx,
    scope: &Scope,
    number: u64,
    count: u64,
) -> Result<Vec<(String, u64)>, StoreError> {
    let mut first: Option<(Timestamp, String)> = None;
    let mut rows = tx.scan(&EVENTS, scope).prefix(&(number,));
    while let Some(row) = rows.next() {
        let ((_, arn, _), row) = row?;
        rows.skip_past(&(number, arn.as_str()))?;
        if first.as_ref().is_none_or(|(at, _)| row.at < *at) {
            first = Some((row.at, arn));
        }
    }
    let Some((_, arn)) = first else { return Ok(Vec::new()) };
    let rows = tx.scan(&EVENTS, scope).prefix(&(number, arn.as_str()));
    let keys = rows.keys().take(AT_ONCE.min(count as usize));
    keys.map(|key| key.map(|(_, arn, nth)| (arn, nth))).collect()
}

/// The first of each destination that may go, some of them.
fn oldest(
    tx: &Tx,
    scope: &Scope,
    number: u64,
    goes: impl Fn(&EventRow) -> bool,
) -> Result<Vec<(String, u64)>, StoreError> {
    let mut found = Vec::new();
    let mut rows = tx.scan(&EVENTS, scope).prefix(&(number,));
    while let Some(row) = rows.next() {
        let ((_, arn, nth), row) = row?;
        if !goes(&row) {
            // All later ones of this destination are younger.
            rows.skip_past(&(number, arn.as_str()))?;
            continue;
        }
        found.push((arn, nth));
        if found.len() == AT_ONCE {
            break;
        }
    }
    Ok(found)
}

fn prune(tx: &mut Tx, account: AccountId, number: u64, max: u64) -> Result<JobOutcome, StoreError> {
    let scope = Scope::Account(account);
    let Some(mut state) = tx.get(&STATES, &scope, &number)? else { return Ok(JobOutcome::Done) };
    tx.mark_freeing();
    let old = tx.now().plus_millis(-KEPT_MS);
    let too_many = state.kept > max;
    let gone = match too_many {
        true => surplus(tx, &scope, number, state.kept - max)?,
        false => oldest(tx, &scope, number, |row| row.at <= old)?,
    };
    let more = gone.len() == AT_ONCE;
    for (arn, nth) in &gone {
        tx.delete(&EVENTS, &scope, &(number, arn.as_str(), *nth))?;
    }
    state.kept = state.kept.saturating_sub(gone.len() as u64);
    if too_many {
        state.lost += gone.len() as u64;
    }
    tx.put(&STATES, &scope, &number, &state)?;
    Ok(match (more || state.kept > max, state.kept) {
        (true, _) => JobOutcome::Again(tx.now()),
        (false, 0) => JobOutcome::Done,
        (false, _) => JobOutcome::Again(tx.now().plus_millis(PRUNE_EVERY_MS)),
    })
}

/// Takes away what a bucket that is gone leaves; whether there is more.
pub fn sweep(tx: &mut Tx, account: AccountId, number: u64) -> Result<bool, Error> {
    let scope = Scope::Account(account);
    let gone = oldest(tx, &scope, number, |_| true)?;
    for (arn, nth) in &gone {
        tx.delete(&EVENTS, &scope, &(number, arn.as_str(), *nth))?;
    }
    tx.delete(&STATES, &scope, &number)?;
    Ok(gone.len() == AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ManualClock, SeededEntropy};
    use std::sync::Arc;
    use store::Store;

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let store = Store::memory(clock.clone(), Arc::new(SeededEntropy::new(1)));
        let account = AccountId::DEFAULT;
        let scope = Scope::Account(account);
        let event = |tx: &mut Tx, arn: &str, nth: u64| {
            let kind = Destination::Queue;
            let row = EventRow { at: tx.now(), kind, event: "x".into(), message: "{}".into() };
            tx.put(&EVENTS, &scope, &(7, arn, nth), &row)
        };
        let filled = store.write(|tx| {
            (0..300).try_for_each(|nth| event(tx, "b", nth))?;
            tx.put(&STATES, &scope, &7, &StateRow { next: 600, kept: 600, lost: 0 })
        });
        filled.now().unwrap().unwrap();
        clock.advance_ms(1_000);
        let filled = store.write(|tx| (300..600).try_for_each(|nth| event(tx, "a", nth)));
        filled.now().unwrap().unwrap();
        let steps = (0..).find(|_| {
            let step = store.write(|tx| prune(tx, account, 7, 150)).now().unwrap().unwrap();
            step != JobOutcome::Again(store.read(|tx| tx.now()))
        });
        assert!(steps.is_some());
        let left: Vec<(u64, String, u64)> =
            store.read(|tx| tx.scan(&EVENTS, &scope).keys().collect::<Result<_, _>>().unwrap());
        assert_eq!(left.len(), 150);
        assert_eq!(left[0], (7, "a".into(), 450), "those that came last stay");
        let state = store.read(|tx| tx.get(&STATES, &scope, &7).unwrap().unwrap());
        assert_eq!((state.kept, state.lost), (150, 450));
    }
}
