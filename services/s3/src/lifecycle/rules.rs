//! Rules as they are acted by, and what they say of a version: pure, but for the looks at the rows.

use crate::bucket::scope;
use crate::rows::*;
use api::{Error, Tx};
use base::{Timestamp, percent};
use gen_s3::LifecycleRule;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Table, row};

/// The enabled rules of a bucket, by its number.
pub const LIFECYCLES: Table<u64, LifecycleRow> = Table::new(0x0110, "s3.lifecycle");

const DAY_MS: i64 = 86_400_000;
/// Smaller objects are not moved, unless the rule speaks of sizes.
const SMALL_BYTES: u64 = 128 << 10;

row! {
    #[derive(Default)]
    pub struct LifecycleRow {
        1 => rules: Vec<RuleRow>,
        /// Small objects go to the archives all the same, as they did before September 2024.
        2 => varies_by_class: bool,
    }
}

row! {
    #[derive(Default)]
    pub struct RuleRow {
        1 => id: String,
        2 => prefix: String,
        3 => tags: BTreeMap<String, String>,
        4 => larger_than: Option<u64>,
        5 => smaller_than: Option<u64>,
        6 => expire: Option<WhenRow>,
        7 => expire_markers: bool,
        8 => moves: Vec<MoveRow>,
        9 => old: Option<OldRow>,
        10 => old_moves: Vec<OldRow>,
        11 => abort_days: Option<u32>,
    }
}

row! {
    pub struct WhenRow {
        1 => days: Option<u32>,
        2 => date: Option<Timestamp>,
    }
}

row! {
    pub struct MoveRow {
        1 => when: WhenRow,
        2 => class: String,
    }
}

row! {
    /// What happens to a version so many days after it was displaced, if so many newer ones stay.
    pub struct OldRow {
        1 => days: u32,
        2 => newer: u32,
        /// Where it goes to; empty where it is removed.
        3 => class: String,
    }
}

impl WhenRow {
    fn new(days: Option<i32>, date: Option<Timestamp>) -> WhenRow {
        WhenRow { days: days.and_then(|days| u32::try_from(days).ok()), date }
    }

    /// When it happens to what was there from then on.
    fn falls(&self, from: Timestamp) -> Timestamp {
        match (self.days, self.date) {
            (Some(days), _) => midnight_after(from, days),
            (None, Some(date)) => date,
            (None, None) => Timestamp::from_millis(i64::MAX),
        }
    }
}

/// So many days later, and on to the next midnight UTC.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html#intro-lifecycle-rules-number-of-days>
fn midnight_after(from: Timestamp, days: u32) -> Timestamp {
    let exact = from.to_millis().saturating_add(i64::from(days) * DAY_MS);
    Timestamp::from_millis(
        exact.div_euclid(DAY_MS) * DAY_MS + (exact.rem_euclid(DAY_MS) > 0) as i64 * DAY_MS,
    )
}

/// The first midnight after a moment.
pub fn next_midnight(now: Timestamp) -> Timestamp {
    Timestamp::from_millis((now.to_millis().div_euclid(DAY_MS) + 1) * DAY_MS)
}

/// How cold a class is: objects move to colder ones alone.
fn rank(class: &str) -> u32 {
    match class {
        "STANDARD_IA" => 1,
        "INTELLIGENT_TIERING" => 2,
        "ONEZONE_IA" => 3,
        "GLACIER_IR" => 4,
        "GLACIER" => 5,
        "DEEP_ARCHIVE" => 6,
        _ => 0,
    }
}

impl RuleRow {
    pub fn new(rule: &LifecycleRule) -> RuleRow {
        let filter = rule.filter.as_ref();
        let and = filter.and_then(|filter| filter.and.as_ref());
        let size = |own: Option<i64>, of_and: Option<i64>| own.or(of_and).map(|n| n.max(0) as u64);
        let prefix = rule.prefix.clone().or(filter.and_then(|f| f.prefix.clone()));
        let tag = filter.and_then(|filter| filter.tag.as_ref());
        let tags = and.and_then(|and| and.tags.as_ref()).into_iter().flatten();
        let expiration = rule.expiration.as_ref();
        let old = |days: Option<i32>, newer: Option<i32>, class: &str| OldRow {
            days: days.unwrap_or(0).max(0) as u32,
            newer: newer.unwrap_or(0).max(0) as u32,
            class: class.to_owned(),
        };
        let moves = rule.transitions.iter().flatten().map(|to| MoveRow {
            when: WhenRow::new(to.days, to.date),
            class: to.storage_class.clone().unwrap_or_default(),
        });
        let old_moves = rule.noncurrent_version_transitions.iter().flatten().map(|to| {
            let class = to.storage_class.as_deref().unwrap_or_default();
            old(to.noncurrent_days, to.newer_noncurrent_versions, class)
        });
        let abort = rule.abort_incomplete_multipart_upload.as_ref();
        RuleRow {
            id: rule.id.clone().unwrap_or_default(),
            prefix: prefix.or(and.and_then(|a| a.prefix.clone())).unwrap_or_default(),
            tags: tag.into_iter().chain(tags).map(|t| (t.key.clone(), t.value.clone())).collect(),
            larger_than: size(
                filter.and_then(|f| f.object_size_greater_than),
                and.and_then(|a| a.object_size_greater_than),
            ),
            smaller_than: size(
                filter.and_then(|f| f.object_size_less_than),
                and.and_then(|a| a.object_size_less_than),
            ),
            expire: expiration
                .filter(|e| e.days.is_some() || e.date.is_some())
                .map(|e| WhenRow::new(e.days, e.date)),
            expire_markers: expiration
                .is_some_and(|e| e.expired_object_delete_marker == Some(true)),
            moves: moves.collect(),
            old: rule
                .noncurrent_version_expiration
                .as_ref()
                .map(|o| old(o.noncurrent_days, o.newer_noncurrent_versions, "")),
            old_moves: old_moves.collect(),
            abort_days: abort
                .and_then(|abort| abort.days_after_initiation)
                .and_then(|days| u32::try_from(days).ok()),
        }
    }

    fn covers(&self, key: &str, row: &ObjectRow) -> bool {
        key.starts_with(&self.prefix)
            && self.larger_than.is_none_or(|size| row.size_bytes > size)
            && self.smaller_than.is_none_or(|size| row.size_bytes < size)
            && self.tags.iter().all(|(key, value)| row.meta.tags.get(key) == Some(value))
    }

    /// A delete marker has neither tags nor a size.
    fn covers_marker(&self, key: &str) -> bool {
        let plain =
            self.tags.is_empty() && self.larger_than.is_none() && self.smaller_than.is_none();
        plain && key.starts_with(&self.prefix)
    }

    fn speaks_of_sizes(&self) -> bool {
        self.larger_than.is_some() || self.smaller_than.is_some()
    }
}

/// What is due for a version that was displaced.
#[derive(PartialEq, Eq, Debug)]
pub enum Old {
    Nothing,
    Remove,
    Move(String),
}

impl LifecycleRow {
    /// When the latest version of a key expires, and by which rule.
    pub fn expires(&self, key: &str, row: &ObjectRow) -> Option<(Timestamp, &RuleRow)> {
        let covering = self.rules.iter().filter(|rule| rule.covers(key, row));
        let falls = |rule: &RuleRow| rule.expire.as_ref().map(|when| when.falls(row.modified));
        covering.filter_map(|rule| Some((falls(rule)?, rule))).min_by_key(|(at, _)| *at)
    }

    /// Whether a delete marker that is all that is left of its key goes.
    pub fn ends_marker(&self, key: &str, row: &ObjectRow, now: Timestamp) -> bool {
        let old =
            |rule: &RuleRow| rule.expire.as_ref().is_some_and(|w| w.falls(row.modified) <= now);
        let mut covering = self.rules.iter().filter(|rule| rule.covers_marker(key));
        covering.any(|rule| rule.expire_markers || old(rule))
    }

    fn may_move(&self, rule: &RuleRow, row: &ObjectRow, class: &str) -> bool {
        let archive = matches!(class, "GLACIER" | "DEEP_ARCHIVE");
        let small = row.size_bytes < SMALL_BYTES
            && !rule.speaks_of_sizes()
            && !(archive && self.varies_by_class);
        !small && rank(class) > rank(&row.meta.storage_class)
    }

    /// The coldest class that the latest version of a key is to be in by now.
    pub fn moves(&self, key: &str, row: &ObjectRow, now: Timestamp) -> Option<&str> {
        let covering = self.rules.iter().filter(|rule| rule.covers(key, row));
        let due = covering.flat_map(|rule| {
            rule.moves.iter().filter(move |to| {
                to.when.falls(row.modified) <= now && self.may_move(rule, row, &to.class)
            })
        });
        due.map(|to| to.class.as_str()).max_by_key(|class| rank(class))
    }

    /// What is due for a version that was displaced at `since`, with so many displaced later.
    pub fn old(
        &self,
        key: &str,
        row: &ObjectRow,
        since: Timestamp,
        newer: u32,
        now: Timestamp,
    ) -> Old {
        let due = |old: &OldRow| newer >= old.newer && midnight_after(since, old.days) <= now;
        let covers = |rule: &&RuleRow| match row.delete_marker {
            true => rule.covers_marker(key),
            false => rule.covers(key, row),
        };
        let mut class: Option<&str> = None;
        for rule in self.rules.iter().filter(covers) {
            if rule.old.as_ref().is_some_and(due) {
                return Old::Remove;
            }
            let moves = rule
                .old_moves
                .iter()
                .filter(|to| !row.delete_marker && due(to) && self.may_move(rule, row, &to.class));
            class = moves.map(|to| to.class.as_str()).chain(class).max_by_key(|class| rank(class));
        }
        class.map_or(Old::Nothing, |class| Old::Move(class.to_owned()))
    }

    /// When an upload that was begun then is given up, and by which rule.
    pub fn aborts(&self, key: &str, begun: Timestamp) -> Option<(Timestamp, &RuleRow)> {
        let covering = self.rules.iter().filter(|rule| key.starts_with(&rule.prefix));
        let falls = |rule: &RuleRow| rule.abort_days.map(|days| midnight_after(begun, days));
        covering.filter_map(|rule| Some((falls(rule)?, rule))).min_by_key(|(at, _)| *at)
    }

    /// The prefixes of the rules that such a thing is asked of, none within another, in order.
    pub fn prefixes(&self, acts: impl Fn(&RuleRow) -> bool) -> Vec<&str> {
        let acting = self.rules.iter().filter(|rule| acts(rule));
        let mut all: Vec<&str> = acting.map(|rule| rule.prefix.as_str()).collect();
        all.sort_unstable();
        all.dedup_by(|later, earlier| later.starts_with(*earlier));
        all
    }
}

/// The rules of a bucket, if it has any.
pub fn of(tx: &Tx, bucket: &BucketRow) -> Result<Option<Arc<LifecycleRow>>, Error> {
    match bucket.has(Feature::Lifecycle) {
        true => Ok(tx.get_shared(&LIFECYCLES, &scope(bucket), &bucket.number)?),
        false => Ok(None),
    }
}

/// The header `x-amz-expiration` of the latest version of a key.
pub fn expiration(
    tx: &Tx,
    bucket: &BucketRow,
    key: &str,
    row: &ObjectRow,
) -> Result<Option<String>, Error> {
    let Some(rules) = of(tx, bucket)? else { return Ok(None) };
    Ok(rules.expires(key, row).map(|(at, rule)| {
        let id = percent::encode(rule.id.as_bytes());
        format!("expiry-date=\"{}\", rule-id=\"{id}\"", at.http_date())
    }))
}

/// The headers `x-amz-abort-date` and `x-amz-abort-rule-id` of an upload in parts.
pub fn abort_date(
    tx: &Tx,
    bucket: &BucketRow,
    key: &str,
    begun: Timestamp,
) -> Result<Option<(Timestamp, String)>, Error> {
    let Some(rules) = of(tx, bucket)? else { return Ok(None) };
    Ok(rules.aborts(key, begun).map(|(at, rule)| (at, rule.id.clone())))
}
