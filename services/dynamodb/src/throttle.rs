//! Throttling like the real thing, off by default: what is provisioned is what one gets, and what was not
//! used in the last five minutes may be used at once.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html>
//!
//! Each table and global index has a bucket of units for reads and one for writes, which fills with time
//! up to its bound. A request is let in while anything is in it, and takes what it costs, which may be
//! more than is there: the debt is paid by time. Buckets are memory alone, as a table's throughput says
//! nothing of yesterday; a process that starts finds those of older tables full. They are no part of what a
//! transaction keeps: a write that fails its condition has taken its units all the same, as one that AWS
//! refuses has. What the store runs again for its own reasons is paid once. Tables on demand are held
//! to their maximum, if they have one, without a burst.
//!
//! Whatever a table has, one partition of it gives 3,000 units of reads and 1,000 of writes a second. We take
//! each value of the partition key as a partition of its own, as AWS comes to do with those that are hot.
//! Scans, which go through all of them, are held to their table alone.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>

use crate::keyspace::{hash_of, index_key};
use crate::rows::{IndexRow, RawKey, ThroughputRow};
use crate::table::Table;
use crate::write::WriteUnits;
use api::{Error, Tx};
use base::Timestamp;
use gen_dynamodb::errors as e;
use gen_dynamodb::{ProvisionedThroughputExceededException, ThrottlingException, ThrottlingReason};
use item::Map;
use parking_lot::Mutex;
use std::collections::BTreeMap;

const BURST_S: f64 = 300.0;
/// Buckets that are kept; beyond that they start anew.
const BUCKETS_MAX: usize = 65_536;

const TABLE: &str = "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.";
const INDEX: &str = "The level of configured provisioned throughput for one or more global secondary indexes of the table was exceeded. Consider increasing your provisioning level for the under-provisioned global secondary indexes with the UpdateTable API.";
const MAXIMUM: &str =
    "Throughput exceeds the maximum OnDemandThroughput configured on table or index.";

const PARTITION: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly. If exceptions persist, check if you have a hot key: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Way {
    Read,
    Write,
}

/// Table number, index number (0 for the table), way, and the hash of the partition key for its own bucket.
type Name = (u64, u32, Way, Option<u32>);

#[derive(Debug)]
struct Bucket {
    units: f64,
    filled: Timestamp,
}

#[derive(Debug, Default)]
struct Buckets(Mutex<BTreeMap<Name, Bucket>>);

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    whole: Buckets,
    /// Of values of partition keys, which come and go: apart, so that many of them empty no table's.
    parts: Buckets,
}

/// What a table or an index is held to.
struct Level {
    per_second: f64,
    most: f64,
    since: Timestamp,
    provisioned: bool,
}

fn level(table: &Table, index: Option<&IndexRow>, way: Way) -> Option<Level> {
    let row = &table.row;
    let (throughput, maxima): (&ThroughputRow, _) = match index {
        Some(index) => (&index.throughput, (index.max_reads, index.max_writes)),
        None => (&row.throughput, (row.max_reads, row.max_writes)),
    };
    if row.on_demand {
        let most = if way == Way::Read { maxima.0 } else { maxima.1 };
        let per_second = most.filter(|most| *most > 0)? as f64;
        return Some(Level {
            per_second,
            most: per_second,
            since: row.created,
            provisioned: false,
        });
    }
    let units = if way == Way::Read { throughput.reads } else { throughput.writes };
    let changes = [throughput.increased, throughput.decreased];
    let since = changes.into_iter().flatten().max().unwrap_or(row.created);
    let per_second = units as f64;
    Some(Level { per_second, most: per_second * BURST_S, since, provisioned: true })
}

/// What one partition gives, whatever its table has.
fn partition_level(table: &Table, way: Way) -> Level {
    let per_second = if way == Way::Read { 3_000.0 } else { 1_000.0 };
    let provisioned = !table.row.on_demand;
    Level { per_second, most: per_second, since: table.row.created, provisioned }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    (to.to_millis() - from.to_millis()).max(0) as f64 / 1000.0
}

impl Throttle {
    fn of(&self, name: Name) -> &Buckets {
        if name.3.is_some() { &self.parts } else { &self.whole }
    }

    /// Units of a run that did not stand.
    fn give_back(&self, name: Name, units: f64) {
        if let Some(bucket) = self.of(name).0.lock().get_mut(&name) {
            bucket.units += units;
        }
    }
}

impl Buckets {
    /// The bucket as it stands now, to look at or take from.
    fn with<T>(
        &self,
        name: Name,
        level: &Level,
        now: Timestamp,
        work: impl FnOnce(&mut Bucket) -> T,
    ) -> T {
        let mut all = self.0.lock();
        if all.len() >= BUCKETS_MAX && !all.contains_key(&name) {
            all.clear();
        }
        // At first it has what has come together since the throughput is what it is, a second at least.
        let bucket = all
            .entry(name)
            .or_insert_with(|| Bucket { units: level.per_second, filled: level.since });
        let grown = bucket.units + level.per_second * seconds(bucket.filled, now);
        bucket.units = grown.min(level.most);
        bucket.filled = now.max(bucket.filled);
        work(bucket)
    }
}

/// Tables and indexes by what a request does with them.
#[derive(Clone, Copy)]
pub(crate) struct Use<'t> {
    pub table: &'t Table,
    /// Local indexes live on their table's throughput.
    pub index: Option<&'t IndexRow>,
    pub way: Way,
    /// The hash of the one partition key that it touches.
    part: Option<u32>,
}

impl<'t> Use<'t> {
    pub fn new(table: &'t Table, index: Option<&'t IndexRow>, way: Way) -> Use<'t> {
        Use { table, index: index.filter(|index| !index.local), way, part: None }
    }

    /// Of one partition key, whose rows begin with `key`.
    pub fn at(self, key: &[u8]) -> Use<'t> {
        Use { part: self.table.throttle.as_ref().map(|_| hash_of(key)), ..self }
    }

    /// The buckets that it takes from.
    fn buckets(&self) -> impl Iterator<Item = (Name, Level)> {
        let number = self.index.map_or(0, |index| index.number);
        let name = |part| (self.table.number, number, self.way, part);
        let whole = level(self.table, self.index, self.way).map(|level| (name(None), level));
        let part = self.part.map(|part| (name(Some(part)), partition_level(self.table, self.way)));
        whole.into_iter().chain(part)
    }

    /// Whether anything is left.
    pub fn admit(&self, tx: &Tx) -> Result<(), Error> {
        let Some(throttle) = &self.table.throttle else { return Ok(()) };
        for (name, level) in self.buckets() {
            let left = throttle.of(name).with(name, &level, tx.now(), |bucket| bucket.units);
            if left <= 0.0 {
                return Err(self.refused(level.provisioned, name.3.is_some()));
            }
        }
        Ok(())
    }

    pub fn take(&self, tx: &Tx, units: f64) {
        let Some(throttle) = &self.table.throttle else { return };
        for (name, level) in self.buckets() {
            throttle.of(name).with(name, &level, tx.now(), |bucket| bucket.units -= units);
        }
    }

    /// As [`Use::take`], in a transaction that may be run again.
    fn take_once(&self, tx: &mut Tx, units: f64) {
        let Some(throttle) = self.table.throttle.clone() else { return };
        self.take(tx, units);
        let names: Vec<Name> = self.buckets().map(|(name, _)| name).collect();
        tx.unless_it_stands(move || {
            names.into_iter().for_each(|name| throttle.give_back(name, units));
        });
    }

    fn refused(&self, provisioned: bool, partition: bool) -> Error {
        let mut arn = self.table.arn();
        if let Some(index) = self.index {
            arn.push_str("/index/");
            arn.push_str(&index.name);
        }
        let place = if self.index.is_some() { "Index" } else { "Table" };
        let way = if self.way == Way::Read { "Read" } else { "Write" };
        let kind = match (partition, provisioned) {
            (true, _) => "KeyRange",
            (false, true) => "Provisioned",
            (false, false) => "MaxOnDemand",
        };
        let reason = format!("{place}{way}{kind}ThroughputExceeded");
        let reasons = vec![ThrottlingReason { reason: Some(reason), resource: Some(arn) }];
        if provisioned {
            let text = if self.index.is_some() { INDEX } else { TABLE };
            let members = ProvisionedThroughputExceededException {
                message: Some(text.to_owned()),
                throttling_reasons: Some(reasons),
            };
            return Error::new(&e::PROVISIONED_THROUGHPUT_EXCEEDED_EXCEPTION, text)
                .members(members);
        }
        let text = if partition { PARTITION } else { MAXIMUM };
        let members = ThrottlingException {
            message: Some(text.to_owned()),
            throttling_reasons: Some(reasons),
        };
        Error::new(&e::THROTTLING_EXCEPTION, text).members(members)
    }
}

/// Whether an error is one of these, and what a transaction or a batch of statements calls it.
pub(crate) fn cancellation_code(error: &Error) -> Option<&'static str> {
    match error.code() {
        "ProvisionedThroughputExceededException" => Some("ProvisionedThroughputExceeded"),
        "ThrottlingException" => Some("ThrottlingError"),
        _ => None,
    }
}

/// Takes what a write cost, of the table and of each global index. `key` is the item's, and `item` what it
/// is now or was before.
pub(crate) fn take_write(
    tx: &mut Tx,
    table: &Table,
    key: &RawKey,
    item: Map<'_>,
    units: &WriteUnits,
) {
    if table.throttle.is_none() {
        return;
    }
    let mut own = units.table;
    for (name, units) in &units.indexes {
        match table.index(name).filter(|index| !index.local) {
            Some(index) => of_entry(table, index, item).take_once(tx, *units),
            None => own += units,
        }
    }
    Use::new(table, None, Way::Write).at(&key.0).take_once(tx, own);
}

/// Writes of an item's entry in an index.
pub(crate) fn of_entry<'t>(table: &'t Table, index: &'t IndexRow, item: Map<'_>) -> Use<'t> {
    let writes = Use::new(table, Some(index), Way::Write);
    index_key(table, index, item).map_or(writes, |key| writes.at(&key.0))
}
