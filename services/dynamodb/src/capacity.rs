//! What operations consume, as DynamoDB counts it.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>

use crate::table::Table;
use crate::write::WriteUnits;
use gen_dynamodb::{Capacity, ConsumedCapacity};
use std::collections::BTreeMap;

/// `ReturnConsumedCapacity`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    Nothing,
    Total,
    Indexes,
}

impl Wanted {
    pub fn of(text: Option<&String>) -> Wanted {
        match text.map(String::as_str) {
            Some("TOTAL") => Wanted::Total,
            Some("INDEXES") => Wanted::Indexes,
            _ => Wanted::Nothing,
        }
    }
}

/// Units for reading so many bytes at once.
pub(crate) fn read_units(size_bytes: usize, consistent: bool) -> f64 {
    let whole = size_bytes.div_ceil(4096).max(1) as f64;
    if consistent { whole } else { whole / 2.0 }
}

/// Units that reads took, of the table and of one index.
#[derive(Clone, Default, Debug)]
pub(crate) struct ReadUnits {
    pub table: f64,
    pub index: Option<(String, f64)>,
}

fn capacity(units: f64) -> Capacity {
    Capacity { capacity_units: Some(units), ..Capacity::default() }
}

fn by_index(
    table: &Table,
    units: &BTreeMap<String, f64>,
    local: bool,
) -> Option<BTreeMap<String, Capacity>> {
    let of = |name: &str| table.index(name).is_some_and(|index| index.local == local);
    let found: BTreeMap<_, _> = units
        .iter()
        .filter(|(name, _)| of(name))
        .map(|(name, units)| (name.clone(), capacity(*units)))
        .collect();
    (!found.is_empty()).then_some(found)
}

fn consumed(
    table: &Table,
    wanted: Wanted,
    units: f64,
    indexes: &BTreeMap<String, f64>,
) -> Option<ConsumedCapacity> {
    if wanted == Wanted::Nothing {
        return None;
    }
    let mut out = ConsumedCapacity {
        table_name: Some(table.name.clone()),
        capacity_units: Some(units + indexes.values().sum::<f64>()),
        ..ConsumedCapacity::default()
    };
    if wanted == Wanted::Indexes {
        out.table = Some(capacity(units));
        out.local_secondary_indexes = by_index(table, indexes, true);
        out.global_secondary_indexes = by_index(table, indexes, false);
    }
    Some(out)
}

pub(crate) fn of_reads(
    table: &Table,
    wanted: Wanted,
    units: &ReadUnits,
) -> Option<ConsumedCapacity> {
    let indexes: BTreeMap<String, f64> = units.index.clone().into_iter().collect();
    consumed(table, wanted, units.table, &indexes)
}

pub(crate) fn of_writes(
    table: &Table,
    wanted: Wanted,
    units: &WriteUnits,
) -> Option<ConsumedCapacity> {
    consumed(table, wanted, units.table, &units.indexes)
}

/// The same with the units of a kind named, as transactions tell them.
pub(crate) fn in_transaction(mut consumed: ConsumedCapacity, write: bool) -> ConsumedCapacity {
    let name = |units: Option<f64>| if write { (None, units) } else { (units, None) };
    (consumed.read_capacity_units, consumed.write_capacity_units) = name(consumed.capacity_units);
    let each = |capacity: &mut Capacity| {
        (capacity.read_capacity_units, capacity.write_capacity_units) =
            name(capacity.capacity_units);
    };
    consumed.table.iter_mut().for_each(each);
    let maps = [&mut consumed.local_secondary_indexes, &mut consumed.global_secondary_indexes];
    maps.into_iter().flatten().flat_map(BTreeMap::values_mut).for_each(each);
    consumed
}
