//! What waits to be replicated.

use super::rules::{self, ReplicationRow, TargetRow};
use crate::bucket::scope;
use crate::rows::*;
use api::{Error, Tx};
use base::AccountId;
use store::{JobKind, Scope, Table, row};

/// By bucket number and a number that grows, in the scope of the bucket's owner.
pub const TASKS: Table<(u64, u64), TaskRow> = Table::new(0x011e, "s3.replication_task");
/// How many wait of a bucket, by its number.
pub const STATES: Table<u64, StateRow> = Table::new(0x011f, "s3.replication_state");
/// By account, bucket number and name: does what waits.
pub const DELIVER: JobKind<(AccountId, u64, String)> = JobKind::new(0x0107, "s3.replication");

/// Tasks of a bucket that wait.
pub const WAITING_MAX: u64 = 1_000_000;
/// Tasks that are let go of in one transaction, when their bucket is gone.
const FORGOTTEN_AT_ONCE: usize = 200;

row! {
    pub struct TaskRow {
        1 => key: String,
        /// Of the version.
        2 => sequence: u64,
        /// What is known of it changed; its bytes are there already.
        3 => is_change: bool,
        /// As whom.
        4 => role: String,
        /// Where it has not been tried yet.
        5 => to: Vec<TargetRow>,
        /// It did not come to a target that was tried.
        6 => failed: bool,
    }
}

row! {
    #[derive(Default)]
    pub struct StateRow {
        1 => next: u64,
        2 => waiting: u64,
    }
}

/// Has a new version replicated, if a rule concerns it, and notes that in its row, which is yet to be
/// written.
pub fn made(
    tx: &mut Tx,
    bucket: &BucketRow,
    key: &str,
    version: &mut ObjectRow,
) -> Result<(), Error> {
    let Some(rules) = rules::of(tx, bucket)? else { return Ok(()) };
    let to = rules.of_new(key, version);
    if to.is_empty() {
        return Ok(());
    }
    version.meta.replication = Some(wait(tx, bucket, &rules, (key, &*version), to, false)?);
    Ok(())
}

/// Has a change of tags, of the access list or of the lock of a version replicated, to where the version
/// itself was.
pub fn changed(
    tx: &mut Tx,
    bucket: &BucketRow,
    key: &str,
    version: &mut ObjectRow,
) -> Result<(), Error> {
    let Some(rules) = rules::of(tx, bucket)? else { return Ok(()) };
    let Some(standing) = version.meta.replication else { return Ok(()) };
    let to = rules.of_change(key, version);
    if to.is_empty() {
        return Ok(());
    }
    let waits = wait(tx, bucket, &rules, (key, &*version), to, true)?;
    if standing == Replicated::Completed {
        version.meta.replication = Some(waits);
    }
    Ok(())
}

/// Leaves a task, and says how the version stands by that: FAILED where there was no room for it.
fn wait(
    tx: &mut Tx,
    bucket: &BucketRow,
    rules: &ReplicationRow,
    (key, version): (&str, &ObjectRow),
    to: Vec<TargetRow>,
    is_change: bool,
) -> Result<Replicated, Error> {
    let (scope, number) = (scope(bucket), bucket.number);
    let mut state = tx.get(&STATES, &scope, &number)?.unwrap_or_default();
    if state.waiting >= WAITING_MAX {
        return Ok(Replicated::Failed);
    }
    let (key, sequence, role) = (key.to_owned(), version.sequence, rules.role.clone());
    let task = TaskRow { key, sequence, is_change, role, to, failed: false };
    tx.put(&TASKS, &scope, &(number, state.next), &task)?;
    state.next += 1;
    state.waiting += 1;
    tx.put(&STATES, &scope, &number, &state)?;
    tx.enqueue(&DELIVER, &(bucket.owner, number, rules.name.as_str()))?;
    Ok(Replicated::Pending)
}

/// Takes away what a bucket that is gone leaves; whether there is more.
pub fn sweep(tx: &mut Tx, account: AccountId, number: u64) -> Result<bool, Error> {
    let scope = Scope::Account(account);
    let keys = tx.scan(&TASKS, &scope).prefix(&(number,)).keys().take(FORGOTTEN_AT_ONCE);
    let keys: Vec<(u64, u64)> = keys.collect::<Result<_, _>>()?;
    for key in &keys {
        tx.delete(&TASKS, &scope, key)?;
    }
    tx.delete(&STATES, &scope, &number)?;
    Ok(keys.len() == FORGOTTEN_AT_ONCE)
}
