//! Throttling like the real thing, off by default: what is provisioned is what one gets, and what was not
//! used in the last five minutes may be used at once.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/burst-adaptive-capacity.html>
//!
//! Each table and global index has a bucket of units for reads and one for writes, which fills with time
//! up to its bound. A request is let in while anything is in it, and takes what it costs, which may be
//! more than is there: the debt is paid by time. Buckets are memory alone, as a table's throughput says
//! nothing of yesterday; a process that starts finds those of older tables full. They are no part of what a
//! transaction keeps: a write that fails its condition, or that runs again, has taken its units all the
//! same, as a write that AWS refuses or repeats has. Tables on demand are held
//! to their maximum, if they have one, without a burst.

use crate::rows::{IndexRow, ThroughputRow};
use crate::table::Table;
use crate::write::WriteUnits;
use api::{Error, Tx};
use base::Timestamp;
use gen_dynamodb::errors as e;
use gen_dynamodb::{ProvisionedThroughputExceededException, ThrottlingException, ThrottlingReason};
use parking_lot::Mutex;
use std::collections::BTreeMap;

const BURST_S: f64 = 300.0;
/// Buckets that are kept; beyond that they start anew.
const BUCKETS_MAX: usize = 65_536;

const TABLE: &str = "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.";
const INDEX: &str = "The level of configured provisioned throughput for one or more global secondary indexes of the table was exceeded. Consider increasing your provisioning level for the under-provisioned global secondary indexes with the UpdateTable API.";
const MAXIMUM: &str =
    "Throughput exceeds the maximum OnDemandThroughput configured on table or index.";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Way {
    Read,
    Write,
}

/// Table number, index number (0 for the table), way.
type Name = (u64, u32, Way);

#[derive(Debug)]
struct Bucket {
    units: f64,
    filled: Timestamp,
}

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<BTreeMap<Name, Bucket>>);

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

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    (to.to_millis() - from.to_millis()).max(0) as f64 / 1000.0
}

impl Throttle {
    /// The bucket as it stands now, to look at or take from.
    fn with<T>(
        &self,
        name: Name,
        level: &Level,
        now: Timestamp,
        work: impl FnOnce(&mut Bucket) -> T,
    ) -> T {
        let mut all = self.0.lock();
        if all.len() >= BUCKETS_MAX {
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
}

impl<'t> Use<'t> {
    pub fn new(table: &'t Table, index: Option<&'t IndexRow>, way: Way) -> Use<'t> {
        Use { table, index: index.filter(|index| !index.local), way }
    }

    fn name(&self) -> Name {
        (self.table.number, self.index.map_or(0, |index| index.number), self.way)
    }

    /// Whether anything is left.
    pub fn admit(&self, tx: &Tx) -> Result<(), Error> {
        let Some(throttle) = &self.table.throttle else { return Ok(()) };
        let Some(level) = level(self.table, self.index, self.way) else { return Ok(()) };
        let left = throttle.with(self.name(), &level, tx.now(), |bucket| bucket.units);
        if left > 0.0 { Ok(()) } else { Err(self.refused(level.provisioned)) }
    }

    pub fn take(&self, tx: &Tx, units: f64) {
        let Some(throttle) = &self.table.throttle else { return };
        let Some(level) = level(self.table, self.index, self.way) else { return };
        throttle.with(self.name(), &level, tx.now(), |bucket| {
            bucket.units -= units;
        });
    }

    fn refused(&self, provisioned: bool) -> Error {
        let mut arn = self.table.arn();
        if let Some(index) = self.index {
            arn.push_str("/index/");
            arn.push_str(&index.name);
        }
        let place = if self.index.is_some() { "Index" } else { "Table" };
        let way = if self.way == Way::Read { "Read" } else { "Write" };
        let kind = if provisioned { "Provisioned" } else { "MaxOnDemand" };
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
        let members = ThrottlingException {
            message: Some(MAXIMUM.to_owned()),
            throttling_reasons: Some(reasons),
        };
        Error::new(&e::THROTTLING_EXCEPTION, MAXIMUM).members(members)
    }
}

/// Whether an error is one of these, and what a transaction calls it.
pub(crate) fn cancellation_code(error: &Error) -> Option<&'static str> {
    match error.code() {
        "ProvisionedThroughputExceededException" => Some("ProvisionedThroughputExceeded"),
        "ThrottlingException" => Some("ThrottlingError"),
        _ => None,
    }
}

/// Takes what a write cost, of the table and of each global index.
pub(crate) fn take_write(tx: &Tx, table: &Table, units: &WriteUnits) {
    if table.throttle.is_none() {
        return;
    }
    let mut own = units.table;
    for (name, units) in &units.indexes {
        match table.index(name).filter(|index| !index.local) {
            Some(index) => Use::new(table, Some(index), Way::Write).take(tx, *units),
            None => own += units,
        }
    }
    Use::new(table, None, Way::Write).take(tx, own);
}
