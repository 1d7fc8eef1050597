//! The pass over a bucket: versions that were displaced first, then the latest ones, so that a delete
//! marker whose last version goes can go too, then uploads in parts.

use super::rules::{self, LifecycleRow, Old, next_midnight};
use super::sweep;
use crate::bucket::scope;
use crate::events::{self, Of};
use crate::rows::*;
use crate::{delete, lock, object};
use api::{Error, Tx};
use base::{Entropy, Timestamp};
use std::sync::Arc;
use store::{Desc, JobKind, JobOutcome, Scan, Scope, Stem, Table, row, row_enum};

/// By bucket number and name.
pub const PASS: JobKind<(u64, String)> = JobKind::new(0x0101, "s3.lifecycle");
/// Where the pass over a bucket stands, by its number.
const PASSES: Table<u64, PassRow> = Table::new(0x0111, "s3.lifecycle_pass");

/// Rows looked at, and rows changed, in one transaction.
const ROWS_MAX: usize = 256;
const CHANGES_MAX: usize = 64;

row! {
    #[derive(Default)]
    pub struct PassRow {
        1 => stage: Stage,
        /// The last row that was dealt with; empty at the beginning of a stage.
        2 => key: String,
        /// Of the version, or the upload's id.
        3 => sequence: u64,
        4 => upload_id: String,
        /// When the last version that was dealt with was made, and how many of its key newer than the
        /// next one stay.
        5 => since: Option<Timestamp>,
        6 => newer: u32,
    }
}

row_enum! {
    #[derive(Copy, Eq, Default)]
    pub enum Stage {
        #[default]
        0 => Versions,
        1 => Objects,
        2 => Uploads,
    }
}

/// Has the bucket walked as soon as may be, from its beginning.
pub fn begin(tx: &mut Tx, bucket: &BucketRow, name: &str) -> Result<(), Error> {
    tx.delete(&PASSES, &scope(bucket), &bucket.number)?;
    tx.enqueue(&PASS, &(bucket.number, name))?;
    Ok(())
}

/// Forgets where the pass stands.
pub fn forget(tx: &mut Tx, bucket: &BucketRow) -> Result<(), Error> {
    tx.delete(&PASSES, &scope(bucket), &bucket.number)?;
    Ok(())
}

struct Pass<'a> {
    bucket: &'a BucketRow,
    name: &'a str,
    rules: Arc<LifecycleRow>,
    entropy: &'a dyn Entropy,
    at: PassRow,
    changes: usize,
}

/// A piece of the pass.
pub fn step(
    tx: &mut Tx,
    entropy: &dyn Entropy,
    number: u64,
    name: &str,
) -> Result<JobOutcome, Error> {
    let bucket = tx.get(&BUCKETS, &Scope::Global, name)?.filter(|bucket| bucket.number == number);
    let Some(bucket) = bucket else { return Ok(JobOutcome::Done) };
    let Some(rules) = rules::of(tx, &bucket)? else { return Ok(JobOutcome::Done) };
    let at = tx.get(&PASSES, &scope(&bucket), &number)?.unwrap_or_default();
    tx.mark_freeing();
    let mut pass = Pass { bucket: &bucket, name, rules, entropy, at, changes: 0 };
    let ended = match pass.at.stage {
        Stage::Versions => pass.versions(tx)?,
        Stage::Objects => pass.objects(tx)?,
        Stage::Uploads => pass.uploads(tx)?,
    };
    let next = match (ended, pass.at.stage) {
        (false, _) => Some(pass.at),
        (true, Stage::Versions) => Some(PassRow { stage: Stage::Objects, ..PassRow::default() }),
        (true, Stage::Objects) => Some(PassRow { stage: Stage::Uploads, ..PassRow::default() }),
        (true, Stage::Uploads) => None,
    };
    match next {
        Some(at) => {
            tx.put(&PASSES, &scope(&bucket), &number, &at)?;
            Ok(JobOutcome::Again(tx.now()))
        }
        None => {
            tx.delete(&PASSES, &scope(&bucket), &number)?;
            Ok(JobOutcome::Again(next_midnight(tx.now())))
        }
    }
}

/// The next rows of a table below one of the prefixes, from where the last piece ended.
fn take<'t, K: store::Key + 't, R: store::Row + 't>(
    prefixes: &[&str],
    done: &str,
    rows_of: impl Fn(&str) -> Scan<'t, K, R>,
) -> Result<Vec<(K, R)>, Error> {
    let mut taken = Vec::new();
    for prefix in prefixes {
        if !done.is_empty() && done > *prefix && !done.starts_with(prefix) {
            continue;
        }
        for row in rows_of(prefix) {
            taken.push(row?);
            if taken.len() == ROWS_MAX {
                return Ok(taken);
            }
        }
    }
    Ok(taken)
}

impl Pass<'_> {
    fn is_spent(&self) -> bool {
        self.changes >= CHANGES_MAX
    }

    /// Counts a change, and writes it down for whoever wants to know.
    fn tell(&mut self, tx: &mut Tx, event: &str, key: &str, row: &ObjectRow) -> Result<(), Error> {
        self.changes += 1;
        let reason = if event == "LifecycleTransition" {
            "Lifecycle Transition"
        } else {
            "Lifecycle Expiration"
        };
        events::tell_own(tx, event, Of::new(self.bucket, self.name, key, row), reason)
    }

    fn versions(&mut self, tx: &mut Tx) -> Result<bool, Error> {
        let (number, scope, now) = (self.bucket.number, scope(self.bucket), tx.now());
        let prefixes = self.rules.prefixes(|rule| rule.old.is_some() || !rule.old_moves.is_empty());
        let (key, after) = (self.at.key.clone(), Desc(self.at.sequence));
        let rows = take(&prefixes, &key, |prefix| {
            let rows = tx.scan(&VERSIONS, &scope).prefix(&(number, Stem(prefix)));
            if key.is_empty() { rows } else { rows.after(&(number, key.as_str(), after)) }
        })?;
        let ended = rows.len() < ROWS_MAX;
        for ((_, key, sequence), mut row) in rows {
            if self.is_spent() {
                return Ok(false);
            }
            if key != self.at.key || self.at.since.is_none() {
                let latest = tx.get(&OBJECTS, &scope, &(number, key.as_str()))?;
                self.at.since = latest.map(|latest| latest.modified);
                self.at.newer = 0;
            }
            let since = self.at.since.unwrap_or(now);
            let due = match lock::holds(&row, now) {
                true => Old::Nothing,
                false => self.rules.old(&key, &row, since, self.at.newer, now),
            };
            let stays = due != Old::Remove;
            let made = row.modified;
            match due {
                Old::Nothing => {}
                Old::Remove => {
                    object::remove(tx, self.bucket, &key, &row)?;
                    self.tell(tx, "LifecycleExpiration:Delete", &key, &row)?;
                }
                Old::Move(class) => {
                    row.meta.storage_class = class;
                    tx.put(&VERSIONS, &scope, &(number, key.as_str(), sequence), &row)?;
                    self.tell(tx, "LifecycleTransition", &key, &row)?;
                }
            }
            self.at.newer += u32::from(stays);
            self.at.since = Some(made);
            self.at.key = key;
            self.at.sequence = sequence.0;
        }
        Ok(ended)
    }

    fn objects(&mut self, tx: &mut Tx) -> Result<bool, Error> {
        let (number, scope) = (self.bucket.number, scope(self.bucket));
        let prefixes = self.rules.prefixes(|rule| {
            rule.expire.is_some() || rule.expire_markers || !rule.moves.is_empty()
        });
        let done = self.at.key.clone();
        let rows = take(&prefixes, &done, |prefix| {
            let rows = tx.scan(&OBJECTS, &scope).prefix(&(number, Stem(prefix)));
            if done.is_empty() { rows } else { rows.after(&(number, done.as_str())) }
        })?;
        let ended = rows.len() < ROWS_MAX;
        for ((_, key), row) in rows {
            if self.is_spent() {
                return Ok(false);
            }
            self.latest(tx, &key, row)?;
            self.at.key = key;
        }
        Ok(ended)
    }

    /// What is due for the latest version of a key.
    fn latest(&mut self, tx: &mut Tx, key: &str, mut row: ObjectRow) -> Result<(), Error> {
        let now = tx.now();
        if row.delete_marker {
            let of_key = (self.bucket.number, key);
            let alone = || tx.first(&VERSIONS, &scope(self.bucket), &of_key).map(|v| v.is_none());
            if self.rules.ends_marker(key, &row, now) && alone()? {
                object::remove(tx, self.bucket, key, &row)?;
                self.tell(tx, "LifecycleExpiration:Delete", key, &row)?;
            }
            return Ok(());
        }
        let expires = self.rules.expires(key, &row).is_some_and(|(at, _)| at <= now);
        let versioned = self.bucket.versioning != Versioning::Unversioned;
        if expires && !versioned {
            if !lock::holds(&row, now) {
                object::remove(tx, self.bucket, key, &row)?;
                self.tell(tx, "LifecycleExpiration:Delete", key, &row)?;
            }
            return Ok(());
        }
        if let Some(class) = self.rules.moves(key, &row, now) {
            row.meta.storage_class = class.to_owned();
            object::rewrite(tx, self.bucket, key, &row)?;
            self.tell(tx, "LifecycleTransition", key, &row)?;
        }
        if expires {
            let marker = delete::marker(self.bucket.owner, now);
            let row = object::install_new(tx, self.entropy, self.bucket, key, marker, 0)?;
            self.tell(tx, "LifecycleExpiration:DeleteMarkerCreated", key, &row)?;
        }
        Ok(())
    }

    fn uploads(&mut self, tx: &mut Tx) -> Result<bool, Error> {
        let (number, scope, now) = (self.bucket.number, scope(self.bucket), tx.now());
        let prefixes = self.rules.prefixes(|rule| rule.abort_days.is_some());
        let (done, id) = (self.at.key.clone(), self.at.upload_id.clone());
        let rows = take(&prefixes, &done, |prefix| {
            let rows = tx.scan(&UPLOADS, &scope).prefix(&(number, Stem(prefix)));
            if done.is_empty() { rows } else { rows.after(&(number, done.as_str(), id.as_str())) }
        })?;
        let ended = rows.len() < ROWS_MAX;
        for ((_, key, id), upload) in rows {
            if self.is_spent() {
                return Ok(false);
            }
            if self.rules.aborts(&key, upload.initiated).is_some_and(|(at, _)| at <= now) {
                sweep::abort(tx, self.bucket, &key, &id)?;
                self.changes += 1;
            }
            self.at.key = key;
            self.at.upload_id = id;
        }
        Ok(ended)
    }
}
