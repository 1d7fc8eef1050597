//! SELECT: the partitions that its condition pins, or all of a table or index.

use super::Prepared;
use crate::DynamoDb;
use crate::capacity::{self, ReadUnits, Wanted, read_units};
use crate::error::invalid;
use crate::keyspace::{check_key, partition, space};
use crate::page::{PAGE_BYTES_MAX, Page, Reading, Source, rows};
use crate::params::{check_condition, check_path};
use crate::query::Range;
use crate::rows::RawKey;
use crate::table::Table;
use crate::throttle::{Use, Way};
use crate::write::{key_of, read_item};
use api::{Cx, Error, Tx};
use base::hex;
use bytes::Bytes;
use expression::partiql::{Order, Select, conjuncts, equality, pinned};
use expression::{Comparator, Condition, Function, KeyTest, Operand, Projection};
use gen_dynamodb::ExecuteStatementOutput;
use item::{Builder, Item, Kind, Map, Value, compare};

/// Partitions that one statement may read.
const PARTITIONS_MAX: usize = 50;

/// How a statement is read.
struct Plan {
    /// None: everything there is.
    partitions: Vec<Range>,
    reverse: bool,
    /// Each partition has at most one item that fits.
    single: bool,
}

/// A key's value of another type than its attribute's.
fn check_kind(table: &Table, name: &str, value: &Bytes) -> Result<(), Error> {
    let kind = Value::of(value).map(Value::kind);
    if kind == Some(table.kind(name)) {
        return Ok(());
    }
    Err(invalid(format!(
        "Key attribute's data type should match its data type in table's schema: Key {name}"
    )))
}

/// The primary key that a condition pins, if it says nothing else.
pub(super) fn whole_key(table: &Table, select: &Select) -> Option<Result<Item, Error>> {
    if select.source.index.is_some() {
        return None;
    }
    let all = conjuncts(select.condition.as_ref());
    let names: Vec<&str> = table.keys().collect();
    if all.len() != names.len() {
        return None;
    }
    let mut key = Builder::default();
    for name in names {
        let (_, value) = all.iter().filter_map(|one| equality(one)).find(|(n, _)| *n == name)?;
        if let Err(error) = check_kind(table, name, value) {
            return Some(Err(error));
        }
        key.push(name, Value::of(value)?);
    }
    let key = Item::from_bytes(key.finish());
    Some(check_key(table, key.map()).map(|()| key))
}

/// One item by its key, and the units that it took.
pub(super) fn one(
    tx: &Tx,
    _: &Cx,
    table: &Table,
    select: &Select,
    key: &Item,
    consistent: bool,
) -> Result<(Option<Item>, f64), Error> {
    let key = key_of(table, key.map());
    let reads = Use::new(table, None, Way::Read).at(&key.0);
    reads.admit(tx)?;
    let row = read_item(tx, table, &key)?;
    let units = read_units(row.as_ref().map_or(0, |row| row.size_bytes as usize), consistent);
    reads.take(tx, units);
    let item = row.map(|row| match select.is_whole() {
        true => Item::from_bytes(row.item),
        false => Item::from_bytes(select.row(Map::of(&row.item))),
    });
    Ok((item, units))
}

/// What must hold of the sort key, as a range of keys.
fn sort_test(source: Source<'_>, select: &Select) -> Option<(String, KeyTest)> {
    let name = *source.range().first()?;
    let kind = source.table.kind(name);
    let is_name = |operand: &Operand| matches!(operand, Operand::Path(path) if path.head() == name && !path.is_nested());
    let fits = |value: &Bytes| {
        Value::of(value).is_some_and(|value| {
            value.kind() == kind && (kind == Kind::N || !value.content().is_empty())
        })
    };
    let test = conjuncts(select.condition.as_ref()).into_iter().find_map(|one| match one {
        Condition::Compare(comparator, a, Operand::Value(value))
            if is_name(a) && fits(value) && *comparator != Comparator::Ne =>
        {
            Some(KeyTest::Compare(*comparator, value.clone()))
        }
        Condition::Between(a, Operand::Value(low), Operand::Value(high))
            if is_name(a) && fits(low) && fits(high) =>
        {
            Some(KeyTest::Between(low.clone(), high.clone()))
        }
        Condition::Call(call) if call.function == Function::BeginsWith && kind != Kind::N => {
            match call.operands.as_slice() {
                [a, Operand::Value(value)] if is_name(a) && fits(value) => {
                    Some(KeyTest::BeginsWith(value.clone()))
                }
                _ => None,
            }
        }
        _ => None,
    })?;
    Some((name.to_owned(), test))
}

/// Values of the partition key, one list for each of its attributes.
fn partition_values(source: Source<'_>, select: &Select) -> Result<Option<Vec<Vec<Bytes>>>, Error> {
    let Some(condition) = &select.condition else { return Ok(None) };
    let mut all = Vec::new();
    for name in source.hash() {
        let Some(values) = pinned(condition, name) else { return Ok(None) };
        values.iter().try_for_each(|value| check_kind(source.table, name, value))?;
        all.push(values);
    }
    Ok(Some(all))
}

/// Every combination of the values of several attributes.
fn product(lists: Vec<Vec<Bytes>>) -> Result<Vec<Vec<Bytes>>, Error> {
    let mut all: Vec<Vec<Bytes>> = vec![Vec::new()];
    for values in lists {
        if all.len() * values.len() > PARTITIONS_MAX {
            return Err(invalid("Too many decomposed read operations for a given query."));
        }
        let extended = |head: Vec<Bytes>| {
            let with = |value: &Bytes| head.iter().chain([value]).cloned().collect();
            values.iter().map(with).collect::<Vec<Vec<Bytes>>>()
        };
        all = all.into_iter().flat_map(extended).collect();
    }
    Ok(all)
}

/// Which attribute an ORDER BY puts first, if it may.
fn check_order(
    source: Source<'_>,
    select: &Select,
    partitions: Option<usize>,
) -> Result<(), Error> {
    if select.order.is_empty() {
        return Ok(());
    }
    if select.condition.is_none() {
        return Err(invalid("Must have WHERE clause in the statement when using ORDER BY clause."));
    }
    let keys: Vec<&str> = source.hash().into_iter().chain(source.range()).collect();
    if let Some(order) = select.order.iter().find(|order| !keys.contains(&order.name.as_str())) {
        return Err(invalid(format!(
            "Variable reference {} in ORDER BY clause must be part of the primary key",
            order.name
        )));
    }
    let Some(partitions) = partitions else {
        return Err(invalid(
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        ));
    };
    if partitions > 1 && by(&select.order, &source.hash()).is_none() {
        return Err(invalid(
            "Must have hash key in ORDER BY clause when more than one hash key condition specified in WHERE clause.",
        ));
    }
    Ok(())
}

/// The order by one of these attributes.
fn by<'o>(order: &'o [Order], names: &[&str]) -> Option<&'o Order> {
    order.iter().find(|order| names.contains(&order.name.as_str()))
}

fn plan(source: Source<'_>, select: &Select) -> Result<Plan, Error> {
    let values = partition_values(source, select)?.map(product).transpose()?;
    check_order(source, select, values.as_ref().map(Vec::len))?;
    let test = sort_test(source, select);
    let mut values = values.unwrap_or_default();
    if let Some(order) = by(&select.order, &source.hash()) {
        values.sort_by(|a, b| {
            let pair =
                a.first().and_then(|a| Value::of(a)).zip(b.first().and_then(|b| Value::of(b)));
            let ordering =
                pair.and_then(|(a, b)| compare(a, b)).unwrap_or(std::cmp::Ordering::Equal);
            if order.descending { ordering.reverse() } else { ordering }
        });
    }
    let reverse = by(&select.order, &source.range()).is_some_and(|order| order.descending);
    let exact = matches!(&test, Some((_, KeyTest::Compare(Comparator::Eq, _))));
    let pinned = !values.is_empty() && source.index.is_none();
    let single = pinned && (exact || source.range().is_empty());
    let space = source.space();
    let range = |parts: &Vec<Bytes>| {
        let parts = parts.iter().filter_map(|part| Value::of(part));
        Range { prefix: partition(source.table.number, space, parts), test: test.clone() }
    };
    Ok(Plan { partitions: values.iter().map(range).collect(), reverse, single })
}

/// The table or index, in the words that statements have for what is wrong with it.
fn source<'t>(
    table: &'t Table,
    index: Option<&String>,
    consistent: bool,
) -> Result<Source<'t>, Error> {
    if let Some(name) = index {
        let Some(index) = table.index(name) else {
            return Err(invalid("The table does not have the specified index"));
        };
        if consistent && !index.local {
            return Err(invalid(
                "Strongly consistent read is not supported on Global Secondary Indexes",
            ));
        }
    }
    Source::new(table, index, consistent)
}

const TOKEN: &str = "partiql";

/// Where a page ended: which partition, and the last key of it that was read.
struct Place {
    partition: usize,
    after: Option<RawKey>,
}

/// FNV-1a over statement and parameters: a token goes on with the statement that it was given for.
fn digest(prepared: &Prepared<'_>) -> u64 {
    let parameters = prepared.parameters.iter().flat_map(|value| value.bytes().iter());
    let bytes = prepared.text.bytes().chain([0]).chain(parameters.copied());
    let step = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.fold(0xcbf2_9ce4_8422_2325, step)
}

impl Place {
    fn seal(&self, cx: &Cx, prepared: &Prepared<'_>) -> String {
        let after = self.after.as_ref().map_or_else(String::new, |key| hex::encode(&key.0));
        let place = format!("{} {} {after}", digest(prepared), self.partition);
        cx.door.seal_token(&cx.token_place(&[TOKEN]), &place)
    }

    fn open(cx: &Cx, prepared: &Prepared<'_>, token: &str) -> Result<Place, Error> {
        let bad = || invalid("Invalid NextToken");
        let place = cx.door.open_token(&cx.token_place(&[TOKEN]), token).ok_or_else(bad)?;
        let mut parts = place.splitn(3, ' ');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (of, partition) = number().zip(number()).ok_or_else(bad)?;
        if of != digest(prepared) {
            return Err(invalid("NextToken does not match request"));
        }
        let after = parts.next().filter(|text| !text.is_empty());
        let after = after.map(|text| hex::decode(text.as_bytes()).ok_or_else(bad)).transpose()?;
        Ok(Place { partition: partition as usize, after: after.map(RawKey) })
    }
}

impl DynamoDb {
    #[allow(clippy::too_many_arguments, reason = "all that a request says of one SELECT")]
    pub(super) fn select(
        &self,
        tx: &Tx,
        cx: &Cx,
        prepared: &Prepared<'_>,
        select: &Select,
        limit: Option<i32>,
        token: Option<&String>,
        wanted: Wanted,
    ) -> Result<ExecuteStatementOutput, Error> {
        let place = token.map(|token| Place::open(cx, prepared, token)).transpose()?;
        let table = self.tables.get(tx, &prepared.table)?;
        let source = source(&table, select.source.index.as_ref(), prepared.consistent)?;
        check_condition(&table, select.condition.as_ref())?;
        select.columns.iter().try_for_each(|column| check_path(&table, &column.path))?;
        let paths = select.columns.iter().map(|column| column.path.clone()).collect();
        let projection = (!select.is_whole()).then_some(Projection { paths });
        let (kind, needs_items) = source.check_select(None, projection.as_ref(), "")?;
        let plan = plan(source, select)?;
        // What pins no partition is a scan, whose filter may ask for anything.
        if !plan.partitions.is_empty() {
            source.check_filter(select.condition.as_ref())?;
        }
        let place = place.unwrap_or(Place { partition: 0, after: None });
        let storage = crate::page::partitions(source.table);
        let first = |key: &RawKey| crate::keyspace::partition_of(key, storage);
        let partitions = plan
            .partitions
            .is_empty()
            .then(|| (place.after.as_ref().map_or(0, first), storage - 1));
        let reading = Reading {
            filter: select.condition.as_ref(),
            projection: None,
            select: kind,
            needs_items,
            limit: limit.map(|limit| limit as usize),
            consistent: prepared.consistent,
            partitions,
        };
        let (page, next) = read_all(tx, source, &plan, place, reading)?;
        let rows = page.items.into_iter().map(|item| match select.is_whole() {
            true => item,
            false => Item::from_bytes(select.row(item.map())),
        });
        Ok(ExecuteStatementOutput {
            items: Some(rows.collect()),
            next_token: next.map(|next| next.seal(cx, prepared)),
            consumed_capacity: capacity::of_reads(&table, wanted, &page.units),
            last_evaluated_key: page.last,
        })
    }
}

fn add_units(to: &mut ReadUnits, more: ReadUnits) {
    to.table += more.table;
    match (&mut to.index, more.index) {
        (Some((_, units)), Some((_, more))) => *units += more,
        (none, more) => *none = more,
    }
}

/// Partition after partition until a page is full; where the next page goes on, if there is one.
fn read_all(
    tx: &Tx,
    source: Source<'_>,
    plan: &Plan,
    place: Place,
    mut reading: Reading<'_>,
) -> Result<(Page, Option<Place>), Error> {
    let mut all = Page::default();
    let whole = space(source.table.number, source.space());
    let count = plan.partitions.len().max(1);
    let mut after = place.after;
    for number in place.partition..count {
        let scan = rows(tx, source.table);
        let scan = match plan.partitions.get(number) {
            Some(range) => range.scan(scan),
            None => scan.prefix(&whole),
        };
        let scan = match (after.take(), plan.reverse) {
            (Some(key), true) => scan.to(&key).reverse(),
            (Some(key), false) => scan.after(&key),
            (None, true) => scan.reverse(),
            (None, false) => scan,
        };
        let partition = plan.partitions.get(number).map(|range| range.prefix.as_slice());
        let page = source.admitted(tx, partition, scan, &reading)?;
        all.items.extend(page.items);
        all.scanned += page.scanned;
        all.size_bytes += page.size_bytes;
        add_units(&mut all.units, page.units);
        if let Some(limit) = &mut reading.limit {
            *limit -= page.scanned;
        }
        let last = page.last.filter(|_| !plan.single);
        if let Some(last) = last {
            let next = Place { partition: number, after: source.key(last.map()) };
            all.last = Some(last);
            return Ok((all, Some(next)));
        }
        let full = reading.limit == Some(0) || all.size_bytes >= PAGE_BYTES_MAX;
        if full && number + 1 < count {
            return Ok((all, Some(Place { partition: number + 1, after: None })));
        }
    }
    Ok((all, None))
}
