//! One page of a query or scan: items in order of their keys, at most a megabyte of them.

use crate::capacity::{ReadUnits, read_units};
use crate::error::{bad_parameter, invalid};
use crate::keyspace::{index_key, item_key, partition_of, pick};
use crate::legacy;
use crate::params::{Params, Parsed, attributes_to_get, check_condition, check_projection};
use crate::rows::{ITEMS, IndexRow, ItemRow, RawKey};
use crate::table::Table;
use crate::throttle::{Use, Way};
use crate::write::read_item;
use api::{Error, Tx};
use expression::{Condition, Projection};
use item::{Item, Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use store::Scan;

pub(crate) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// What a page is read from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'t> {
    pub table: &'t Table,
    pub index: Option<&'t IndexRow>,
}

/// `Select` with everything that decides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Select {
    All,
    Projected,
    Count,
    Specific,
}

impl<'t> Source<'t> {
    pub fn new(
        table: &'t Table,
        index: Option<&String>,
        consistent: bool,
    ) -> Result<Source<'t>, Error> {
        let Some(name) = index else { return Ok(Source { table, index: None }) };
        let index = table.index(name).ok_or_else(|| {
            invalid(format!("The table does not have the specified index: {name}"))
        })?;
        if index.filling {
            return Err(invalid(format!(
                "Cannot read from backfilling global secondary index: {name}"
            )));
        }
        if consistent && !index.local {
            return Err(invalid("Consistent reads are not supported on global secondary indexes"));
        }
        Ok(Source { table, index: Some(index) })
    }

    /// One page, if there is throughput left, and takes what it costs. `partition` is where the keys begin
    /// if they are those of one partition.
    pub fn admitted(
        &self,
        tx: &Tx,
        partition: Option<&[u8]>,
        scan: Scan<'_, RawKey, ItemRow>,
        reading: &Reading<'_>,
    ) -> Result<Page, Error> {
        let at = |reads: Use<'t>| partition.map_or(reads, |prefix| reads.at(prefix));
        let reads = at(Use::new(self.table, self.index, Way::Read));
        reads.admit(tx)?;
        let page = read_page(tx, *self, scan, reading)?;
        let table = Use::new(self.table, None, Way::Read);
        match &page.units.index {
            Some((_, units)) => {
                reads.take(tx, *units);
                table.take(tx, page.units.table);
            }
            None => at(table).take(tx, page.units.table),
        }
        Ok(page)
    }

    pub fn space(&self) -> u16 {
        self.index.map_or(crate::keyspace::TABLE_SPACE, |index| index.number as u16)
    }

    /// Attributes of the partition key.
    pub fn hash(&self) -> Vec<&'t str> {
        match self.index {
            Some(index) => index.hash.iter().map(String::as_str).collect(),
            None => vec![&self.table.hash],
        }
    }

    /// Attributes of the sort key.
    pub fn range(&self) -> Vec<&'t str> {
        match self.index {
            Some(index) => index.range.iter().map(String::as_str).collect(),
            None => self.table.range.iter().map(String::as_str).collect(),
        }
    }

    /// Whether a part of its key has several attributes, as global indexes can have.
    pub fn is_composite(&self) -> bool {
        self.index.is_some_and(|index| index.hash.len() > 1 || index.range.len() > 1)
    }

    /// All attributes that say where a page ended.
    pub fn keys(&self) -> BTreeSet<&'t str> {
        let own = self.hash().into_iter().chain(self.range());
        own.chain(self.table.keys()).collect()
    }

    /// The key of an item's row here.
    pub fn key(&self, item: Map<'_>) -> Option<RawKey> {
        match self.index {
            Some(index) => index_key(self.table, index, item),
            None => Some(item_key(self.table, item)),
        }
    }

    /// Whether a start key has all attributes of their types, and no others.
    pub fn start(&self, start: &Item) -> Result<RawKey, Error> {
        let bad = || invalid("The provided starting key is invalid");
        if let Some(fault) = start.fault() {
            return Err(invalid(format!("The provided starting key is invalid: {fault}")));
        }
        let keys = self.keys();
        if start.map().len() != keys.len() {
            return Err(match self.index {
                Some(_) => bad(),
                None => invalid(
                    "The provided starting key is invalid: The provided key element does not match the schema",
                ),
            });
        }
        let fits = |name: &&str| {
            let value = start.get(name);
            value.is_some_and(|value: Value<'_>| value.kind() == self.table.kind(name))
        };
        if !keys.iter().all(fits) {
            return Err(invalid(
                "The provided starting key is invalid: The provided key element does not match the schema",
            ));
        }
        crate::keyspace::check_item(self.table, start.map()).map_err(|error| {
            invalid(format!("The provided starting key is invalid: {}", error.message()))
        })?;
        self.key(start.map()).ok_or_else(bad)
    }

    /// Whether what is asked for can be had from the index; whether it needs the items themselves.
    pub fn check_select(
        &self,
        select: Option<&String>,
        projection: Option<&Projection>,
        by_name: &str,
    ) -> Result<(Select, bool), Error> {
        let select = match (select.map(String::as_str), projection) {
            (Some("COUNT"), None) => Select::Count,
            (Some("ALL_ATTRIBUTES"), None) => Select::All,
            (Some("ALL_PROJECTED_ATTRIBUTES"), None) if self.index.is_some() => Select::Projected,
            (Some("ALL_PROJECTED_ATTRIBUTES"), None) => {
                return Err(bad_parameter(
                    "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
                )
                .with_message(
                    "One or more parameter values were invalid: Select type ALL_PROJECTED_ATTRIBUTES is only supported for queries using an IndexName",
                ));
            }
            (Some("SPECIFIC_ATTRIBUTES") | None, Some(_)) => Select::Specific,
            (Some("SPECIFIC_ATTRIBUTES"), None) => {
                return Err(invalid(
                    "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
                ));
            }
            (Some(other), Some(_)) => {
                return Err(invalid(format!(
                    "Cannot specify the {by_name} when choosing to get {}",
                    match other {
                        "COUNT" => "only the Count",
                        other => other,
                    }
                )));
            }
            (_, None) if self.index.is_some() => Select::Projected,
            (_, None) => Select::All,
        };
        Ok((select, self.needs_items(select, projection)?))
    }

    /// A query's filter cannot look at what an index does not have, even where the items could be fetched.
    pub fn check_filter(&self, filter: Option<&Condition>) -> Result<(), Error> {
        let index = self.index.filter(|index| !index.projects_all());
        let (Some(index), Some(filter)) = (index, filter) else { return Ok(()) };
        let mut missing = BTreeSet::new();
        filter.each_path(&mut |path| {
            if !self.has(index, path.head()) {
                missing.insert(path.head().to_owned());
            }
        });
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<String> = missing.into_iter().collect();
        Err(bad_parameter(format!(
            "Secondary index {} does not project one or more filter attributes: [{}]",
            index.name,
            missing.join(", ")
        )))
    }

    /// Whether an index that does not project all has an attribute.
    fn has(&self, index: &IndexRow, name: &str) -> bool {
        self.table.keys().chain(index.keys()).any(|key| key == name)
            || index.non_key.iter().any(|other| other == name)
    }

    fn needs_items(&self, select: Select, projection: Option<&Projection>) -> Result<bool, Error> {
        let Some(index) = self.index.filter(|index| !index.projects_all()) else {
            return Ok(false);
        };
        if select == Select::All {
            if index.local {
                return Ok(true);
            }
            return Err(bad_parameter(format!(
                "Select type ALL_ATTRIBUTES is not supported for global secondary index {} because its projection type is not ALL",
                index.name
            )));
        }
        let paths = projection.into_iter().flat_map(|projection| &projection.paths);
        let heads = paths.map(expression::Path::head);
        let missing: Vec<&str> = heads.filter(|name| !self.has(index, name)).collect();
        if missing.is_empty() || index.local {
            return Ok(!missing.is_empty());
        }
        Err(bad_parameter(format!(
            "Global secondary index {} does not project [{}]",
            index.name,
            missing.join(", ")
        )))
    }
}

/// What Query and Scan say alike.
pub(crate) struct Asked<'i> {
    pub filter: Option<&'i String>,
    /// The older filter and the parameter that it comes by.
    pub older_filter: (&'static str, Option<&'i BTreeMap<String, gen_dynamodb::Condition>>),
    pub operator: Option<&'i String>,
    pub names: Option<&'i BTreeMap<String, String>>,
    pub values: Option<&'i Item>,
    pub projection: Option<&'i String>,
    pub to_get: Option<&'i Vec<String>>,
    pub select: Option<&'i String>,
    pub limit: Option<i32>,
    pub consistent: Option<bool>,
}

macro_rules! asked {
    ($input:expr, $older:literal, $older_filter:ident) => {
        crate::page::Asked {
            filter: $input.filter_expression.as_ref(),
            older_filter: ($older, $input.$older_filter.as_ref()),
            operator: $input.conditional_operator.as_ref(),
            names: $input.expression_attribute_names.as_ref(),
            values: $input.expression_attribute_values.as_ref(),
            projection: $input.projection_expression.as_ref(),
            to_get: $input.attributes_to_get.as_ref(),
            select: $input.select.as_ref(),
            limit: $input.limit,
            consistent: $input.consistent_read,
        }
    };
}

/// The answer with a page, of Query or Scan.
macro_rules! answer {
    ($output:ident, $input:expr, $table:expr, $reading:expr, $page:expr) => {{
        let wanted = crate::capacity::Wanted::of($input.return_consumed_capacity.as_ref());
        let page = $page;
        Ok($output {
            items: ($reading.select != crate::page::Select::Count).then_some(page.items),
            count: Some(page.count as i32),
            scanned_count: Some(page.scanned as i32),
            last_evaluated_key: page.last,
            consumed_capacity: crate::capacity::of_reads($table, wanted, &page.units),
        })
    }};
}

pub(crate) use {answer, asked};

impl<'i> Asked<'i> {
    /// The names and values with its expressions; Query has one more, in its new form or its older one.
    pub fn params(
        &self,
        parsed: &'i Parsed,
        keys: Option<(bool, bool)>,
    ) -> Result<Params<'i>, Error> {
        let mut expressions = vec![("FilterExpression", self.filter.is_some())];
        let mut older = vec![
            ("AttributesToGet", self.to_get.is_some()),
            (self.older_filter.0, self.older_filter.1.is_some()),
            ("ConditionalOperator", self.operator.is_some()),
        ];
        if let Some((keys, older_keys)) = keys {
            expressions.push(("KeyConditionExpression", keys));
            older.push(("KeyConditions", older_keys && keys));
        }
        expressions.push(("ProjectionExpression", self.projection.is_some()));
        Params::new(parsed, self.names, self.values, &expressions, &older)
    }

    pub fn older_filter(&self) -> Result<Option<Condition>, Error> {
        let (member, filter) = self.older_filter;
        legacy::filter(member, filter, self.operator)
    }

    pub fn older_projection(&self) -> Result<Option<Projection>, Error> {
        attributes_to_get(self.to_get)
    }

    /// All of it, once what is older has been read; nothing may come after it that uses a placeholder.
    pub fn wishes(
        &self,
        mut params: Params<'_>,
        filter: Option<Condition>,
        projection: Option<Projection>,
    ) -> Result<Wishes<'i>, Error> {
        let own_filter = params.condition("FilterExpression", self.filter)?;
        let own_projection = params.projection(self.projection)?;
        params.finish()?;
        Ok(Wishes {
            filter: own_filter.or(filter),
            projection: own_projection.or(projection),
            by_name: if self.to_get.is_some() { "AttributesToGet" } else { "ProjectionExpression" },
            select: self.select,
            limit: self.limit,
            consistent: self.consistent == Some(true),
        })
    }
}

/// What a page shall have, as the request says it.
pub(crate) struct Wishes<'i> {
    pub filter: Option<Condition>,
    pub projection: Option<Projection>,
    /// The parameter that the projection came by, for complaints.
    pub by_name: &'static str,
    pub select: Option<&'i String>,
    pub limit: Option<i32>,
    pub consistent: bool,
}

impl Wishes<'_> {
    /// The same, held against the table and the index.
    pub fn reading(&self, source: Source<'_>) -> Result<Reading<'_>, Error> {
        let (filter, projection) = (self.filter.as_ref(), self.projection.as_ref());
        check_condition(source.table, filter)?;
        check_projection(source.table, projection)?;
        let (select, needs_items) = source.check_select(self.select, projection, self.by_name)?;
        Ok(Reading {
            filter,
            projection,
            select,
            needs_items,
            limit: self.limit.map(|limit| limit as usize),
            consistent: self.consistent,
            partitions: None,
        })
    }
}

/// How a page is read once its range is known.
pub(crate) struct Reading<'r> {
    pub filter: Option<&'r Condition>,
    pub projection: Option<&'r Projection>,
    pub select: Select,
    /// The index does not have all that is asked for.
    pub needs_items: bool,
    pub limit: Option<usize>,
    pub consistent: bool,
    /// Reads whatever is there, from this partition of the storage to that: what each has is rounded up
    /// by itself.
    pub partitions: Option<(u32, u32)>,
}

#[derive(Debug, Default)]
pub(crate) struct Page {
    pub items: Vec<Item>,
    pub count: usize,
    pub scanned: usize,
    pub last: Option<Item>,
    pub units: ReadUnits,
    pub size_bytes: usize,
}

/// The item that an entry of an index is of.
fn whole_item(tx: &Tx, table: &Table, entry: &ItemRow) -> Result<Option<ItemRow>, Error> {
    read_item(tx, table, &item_key(table, Map::of(&entry.item)))
}

/// Reads on from where the scan stands. Items that are fetched for entries of an index count for its size
/// as well, so that no answer is without a bound.
fn read_page(
    tx: &Tx,
    source: Source<'_>,
    mut scan: Scan<'_, RawKey, ItemRow>,
    reading: &Reading<'_>,
) -> Result<Page, Error> {
    let mut page = Page::default();
    let (mut size, mut fetched, mut fetched_bytes) = (0, 0.0, 0);
    let mut tally = reading.partitions.map(Partitions::new);
    loop {
        // A key is made only where somebody looks at it.
        let row = match &mut tally {
            None => scan.next_row()?,
            Some(tally) => scan.next().transpose()?.map(|(key, row)| {
                tally.add(&key, row.size_bytes as usize);
                row
            }),
        };
        let Some(row) = row else { break };
        page.scanned += 1;
        size += row.size_bytes as usize;
        let whole = if reading.needs_items { whole_item(tx, source.table, &row)? } else { None };
        if let Some(whole) = &whole {
            fetched += read_units(whole.size_bytes as usize, reading.consistent);
            fetched_bytes += whole.size_bytes as usize;
        }
        let is_full = size + fetched_bytes >= PAGE_BYTES_MAX;
        let is_last = reading.limit == Some(page.scanned) || is_full;
        if is_last {
            let keys = source.keys();
            page.last = Some(Item::from_bytes(pick(Map::of(&row.item), keys.into_iter())));
        }
        let item = whole.unwrap_or(row).item;
        if reading.filter.is_none_or(|filter| filter.holds(Map::of(&item))) {
            page.count += 1;
            if reading.select != Select::Count {
                page.items.push(Item::from_bytes(match reading.projection {
                    Some(projection) => projection.apply(Map::of(&item)),
                    None => item,
                }));
            }
        }
        if is_last {
            break;
        }
    }
    let units = match tally {
        Some(tally) => tally.units(page.last.is_none(), reading.consistent),
        None => read_units(size, reading.consistent),
    };
    page.size_bytes = size + fetched_bytes;
    page.units = match source.index {
        Some(index) => ReadUnits { table: fetched, index: Some((index.name.clone(), units)) },
        None => ReadUnits { table: units, index: None },
    };
    Ok(page)
}

/// How many partitions of the storage a table has. Tables on demand begin with four; what others are
/// given is little enough for one.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.Partitions.html>
pub(crate) fn partitions(table: &Table) -> u32 {
    if table.on_demand { 4 } else { 1 }
}

/// Bytes read, by partition of the storage.
struct Partitions {
    first: u32,
    last: u32,
    /// Where the scan is.
    at: u32,
    bytes: [usize; 4],
}

impl Partitions {
    fn new((first, last): (u32, u32)) -> Partitions {
        Partitions { first, last, at: first, bytes: [0; 4] }
    }

    fn add(&mut self, key: &RawKey, bytes: usize) {
        if self.last > self.first {
            self.at = partition_of(key, 4).clamp(self.first, self.last);
        }
        self.bytes[self.at.min(3) as usize] += bytes;
    }

    /// What was read of each, up to where the scan ended.
    fn units(&self, whole: bool, consistent: bool) -> f64 {
        let last = if whole { self.last } else { self.at };
        let parts = self.bytes[self.first.min(3) as usize..=last.min(3) as usize].iter();
        parts.map(|bytes| read_units(*bytes, consistent)).sum()
    }
}

/// The table for a scan of rows, which must outlive it.
pub(crate) fn rows<'t>(tx: &'t Tx, table: &'t Table) -> Scan<'t, RawKey, ItemRow> {
    tx.scan(&ITEMS, &table.scope)
}
