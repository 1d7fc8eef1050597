//! BatchGetItem and BatchWriteItem.

use crate::capacity::{self, ReadUnits, Wanted, read_units};
use crate::error::invalid;
use crate::keyspace::{check_item, check_key};
use crate::mutation::{Deed, Mutation, check_fault, check_new};
use crate::names::TableName;
use crate::params::{Params, attributes_to_get, check_projection};
use crate::rows::RawKey;
use crate::table::Table;
use crate::throttle::{self, Use, Way};
use crate::write::{WriteUnits, has_room, key_of, read_item};
use crate::{DynamoDb, collections};
use api::{Cx, Error, Tx};
use gen_dynamodb::*;
use item::{Item, Map};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const GETS_MAX: usize = 100;
const WRITES_MAX: usize = 25;
/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that one transaction of ours takes with all its entries and records.
pub(crate) const WRITE_BYTES_MAX: usize = 8 * 1024 * 1024;

const DUPLICATES: &str = "Provided list of item keys contains duplicates";

/// What is asked of one table, looked at as far as that goes without the table.
struct Gets<'r> {
    named: &'r String,
    table: TableName,
    request: &'r KeysAndAttributes,
    projection: Option<expression::Projection>,
}

impl DynamoDb {
    pub(crate) fn batch_get_item(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &BatchGetItemInput,
    ) -> Result<BatchGetItemOutput, Error> {
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        if input.request_items.is_empty() {
            return Err(invalid(
                "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1",
            ));
        }
        let mut gets = Vec::new();
        for (named, request) in &input.request_items {
            gets.push(self.gets(cx, named, request)?);
        }
        let total: usize = gets.iter().map(|gets| gets.request.keys.len()).sum();
        if total > GETS_MAX {
            return Err(invalid("Too many items requested for the BatchGetItem call"));
        }
        let tables = self.tables_of(tx, &gets)?;
        let mut output = BatchGetItemOutput {
            responses: Some(BTreeMap::new()),
            unprocessed_keys: Some(BTreeMap::new()),
            consumed_capacity: (wanted != Wanted::Nothing).then(Vec::new),
        };
        let (mut room, mut throttled) = (ANSWER_BYTES_MAX, None);
        for (gets, table) in gets.iter().zip(&tables) {
            let left = (&mut room, &mut throttled);
            let consumed = get_all(tx, table, gets, left, &mut output, wanted)?;
            if let Some(all) = &mut output.consumed_capacity {
                all.extend(consumed);
            }
        }
        // Only when nothing at all could be read.
        let left: usize = output.unprocessed_keys.iter().flatten().map(|(_, r)| r.keys.len()).sum();
        match throttled.filter(|_| left == total) {
            Some(error) => Err(error),
            None => Ok(output),
        }
    }

    fn gets<'r>(
        &self,
        cx: &Cx,
        named: &'r String,
        request: &'r KeysAndAttributes,
    ) -> Result<Gets<'r>, Error> {
        let table = TableName::parse(cx, named)?;
        let mut params = Params::new(
            &self.parsed,
            request.expression_attribute_names.as_ref(),
            None,
            &[("ProjectionExpression", request.projection_expression.is_some())],
            &[("AttributesToGet", request.attributes_to_get.is_some())],
        )?;
        let older = attributes_to_get(request.attributes_to_get.as_ref())?;
        let projection = params.projection(request.projection_expression.as_ref())?.or(older);
        params.finish()?;
        // Told before it is known whether there is such a table. Only with the table is it known
        // whether it is there twice: see `tables_of`.
        let mut keys = BTreeSet::new();
        for key in &request.keys {
            check_fault(key)?;
            if !keys.insert(key.bytes()) {
                return Err(invalid(DUPLICATES));
            }
        }
        Ok(Gets { named, table, request, projection })
    }

    /// The tables of a batch, once all that is asked of them has been found good: nothing is read before.
    fn tables_of(&self, tx: &Tx, all: &[Gets<'_>]) -> Result<Vec<Arc<Table>>, Error> {
        let mut tables = Vec::with_capacity(all.len());
        // A table may be there twice, by its name and by its ARN.
        let mut keys: BTreeSet<(&TableName, RawKey)> = BTreeSet::new();
        for gets in all {
            let table = self.tables.get(tx, &gets.table)?;
            for key in &gets.request.keys {
                check_key(&table, key.map())?;
                if !keys.insert((&gets.table, key_of(&table, key.map()))) {
                    return Err(invalid(DUPLICATES));
                }
            }
            check_projection(&table, gets.projection.as_ref())?;
            tables.push(table);
        }
        Ok(tables)
    }

    pub(crate) fn batch_write_item(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &BatchWriteItemInput,
    ) -> Result<BatchWriteItemOutput, Error> {
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        let total: usize = input.request_items.values().map(Vec::len).sum();
        if total == 0 {
            return Err(invalid(
                "1 validation error detected: Value '{}' at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1",
            ));
        }
        if total > WRITES_MAX {
            return Err(invalid("Too many items requested for the BatchWriteItem call"));
        }
        let mut all: Vec<(&String, Arc<Table>, Mutation, &WriteRequest)> = Vec::new();
        // A table may be there twice, by its name and by its ARN.
        let mut keys: BTreeSet<(TableName, RawKey)> = BTreeSet::new();
        for (named, requests) in &input.request_items {
            let name = TableName::parse(cx, named)?;
            let mutations: Vec<Mutation> = requests
                .iter()
                .map(|request| write_of(&name, request))
                .collect::<Result<_, _>>()?;
            let table = self.tables.get(tx, &name)?;
            for (mutation, request) in mutations.into_iter().zip(requests) {
                match &mutation.deed {
                    Deed::Put(item) => check_item(&table, item.map())?,
                    _ => check_key(&table, mutation.subject().map())?,
                }
                if !keys.insert((name.clone(), key_of(&table, mutation.subject().map()))) {
                    return Err(invalid(DUPLICATES));
                }
                all.push((named, table.clone(), mutation, request));
            }
        }
        write_all(tx, cx, all, wanted, input.return_item_collection_metrics.as_ref())
    }
}

fn get_all(
    tx: &Tx,
    table: &Table,
    gets: &Gets<'_>,
    (room, throttled): (&mut usize, &mut Option<Error>),
    output: &mut BatchGetItemOutput,
    wanted: Wanted,
) -> Result<Option<ConsumedCapacity>, Error> {
    let Gets { named, request, projection, .. } = gets;
    let (mut found, mut left, mut units) = (Vec::new(), Vec::new(), 0.0);
    for key in &request.keys {
        if *room == 0 {
            left.push(key.clone());
            continue;
        }
        let raw = key_of(table, key.map());
        let reads = Use::new(table, None, Way::Read).at(&raw.0);
        if let Err(error) = reads.admit(tx) {
            left.push(key.clone());
            *throttled = Some(error);
            continue;
        }
        let row = read_item(tx, table, &raw)?;
        let size = row.as_ref().map_or(0, |row| row.size_bytes as usize);
        if size > *room {
            *room = 0;
            left.push(key.clone());
            continue;
        }
        *room -= size;
        let taken = read_units(size, request.consistent_read == Some(true));
        reads.take(tx, taken);
        units += taken;
        if let Some(row) = row {
            found.push(Item::from_bytes(match projection {
                Some(projection) => projection.apply(Map::of(&row.item)),
                None => row.item,
            }));
        }
    }
    output.responses.get_or_insert_default().insert((*named).clone(), found);
    if !left.is_empty() {
        let rest = KeysAndAttributes { keys: left, ..(*request).clone() };
        output.unprocessed_keys.get_or_insert_default().insert((*named).clone(), rest);
    }
    Ok(capacity::of_reads(table, wanted, &ReadUnits { table: units, index: None }))
}

/// One request of a batch.
fn write_of(table: &TableName, request: &WriteRequest) -> Result<Mutation, Error> {
    let deed = match (&request.put_request, &request.delete_request) {
        (Some(put), None) => {
            check_new(&put.item)?;
            Deed::Put(put.item.clone())
        }
        (None, Some(delete)) => {
            check_fault(&delete.key)?;
            Deed::Delete(delete.key.clone())
        }
        _ => {
            return Err(invalid(
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
            ));
        }
    };
    Ok(Mutation { table: table.clone(), deed, condition: None, show_old: false, wants_old: false })
}

fn write_all(
    tx: &mut Tx,
    cx: &Cx,
    all: Vec<(&String, Arc<Table>, Mutation, &WriteRequest)>,
    wanted: Wanted,
    metrics: Option<&String>,
) -> Result<BatchWriteItemOutput, Error> {
    let mut units: BTreeMap<&String, (Arc<Table>, WriteUnits)> = BTreeMap::new();
    let mut unprocessed: BTreeMap<String, Vec<WriteRequest>> = BTreeMap::new();
    let mut collections: BTreeMap<String, Vec<ItemCollectionMetrics>> = BTreeMap::new();
    let mut throttled = None;
    for (named, table, mut mutation, request) in all {
        let key = key_of(&table, mutation.subject().map());
        let new = match &mutation.deed {
            Deed::Put(item) => item.bytes().len(),
            _ => 0,
        };
        if !units.is_empty() && !has_room(tx, &table, &key, new, WRITE_BYTES_MAX)? {
            unprocessed.entry(named.clone()).or_default().push(request.clone());
            continue;
        }
        mutation.wants_old = wanted != Wanted::Nothing;
        let outcome = match mutation.run(tx, cx, &table).map_err(Error::from) {
            Err(error) if throttle::cancellation_code(&error).is_some() => {
                unprocessed.entry(named.clone()).or_default().push(request.clone());
                throttled = Some(error);
                continue;
            }
            other => other?,
        };
        let metrics = collections::metrics(tx, &table, metrics, mutation.subject().map())?;
        if let Some(metrics) = metrics {
            collections.entry(named.clone()).or_default().push(metrics);
        }
        units.entry(named).or_insert((table, WriteUnits::default())).1.add(&outcome.units);
    }
    // Only when nothing at all could be written.
    if let Some(error) = throttled.filter(|_| units.is_empty()) {
        return Err(error);
    }
    let consumed =
        units.values().filter_map(|(table, units)| capacity::of_writes(table, wanted, units));
    Ok(BatchWriteItemOutput {
        unprocessed_items: Some(unprocessed),
        item_collection_metrics: (!collections.is_empty()).then_some(collections),
        consumed_capacity: (wanted != Wanted::Nothing).then(|| consumed.collect()),
    })
}
