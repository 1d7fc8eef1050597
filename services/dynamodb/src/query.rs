//! Query: the items of one partition, in order of the sort key.

use crate::capacity::{self, Wanted};
use crate::error::{bad_parameter, invalid};
use crate::keyspace::{after, partition};
use crate::names::TableName;
use crate::page::{Reading, Select, Source, read_page, rows};
use crate::params::{Params, attributes_to_get, check_condition, check_projection};
use crate::rows::{ItemRow, RawKey};
use crate::{DynamoDb, legacy};
use api::{Cx, Error, Tx};
use bytes::Bytes;
use expression::{Comparator, Condition, KeyCondition, KeyTest, key_conditions};
use gen_dynamodb::*;
use item::{Item, Kind, Value, compare, write_key, write_key_prefix};
use store::Scan;

/// A partition, and what must hold of the sort key.
pub(crate) struct Range {
    /// The bytes that all keys of it begin with.
    pub prefix: Vec<u8>,
    pub test: Option<(String, KeyTest)>,
}

impl DynamoDb {
    pub(crate) fn query(&self, tx: &Tx, cx: &Cx, input: &QueryInput) -> Result<QueryOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let mut params = Params::new(
            &self.parsed,
            input.expression_attribute_names.as_ref(),
            input.expression_attribute_values.as_ref(),
            &[
                ("FilterExpression", input.filter_expression.is_some()),
                ("KeyConditionExpression", input.key_condition_expression.is_some()),
                ("ProjectionExpression", input.projection_expression.is_some()),
            ],
            &[
                ("AttributesToGet", input.attributes_to_get.is_some()),
                ("QueryFilter", input.query_filter.is_some()),
                ("ConditionalOperator", input.conditional_operator.is_some()),
                (
                    "KeyConditions",
                    input.key_conditions.is_some() && input.key_condition_expression.is_some(),
                ),
            ],
        )?;
        let operator = input.conditional_operator.as_ref();
        let older = legacy::filter("QueryFilter", input.query_filter.as_ref(), operator)?;
        let older_projection = attributes_to_get(input.attributes_to_get.as_ref())?;
        if input.key_conditions.is_none() && input.key_condition_expression.is_none() {
            return Err(invalid(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
            ));
        }
        let keys =
            params.condition("KeyConditionExpression", input.key_condition_expression.as_ref())?;
        let filter =
            params.condition("FilterExpression", input.filter_expression.as_ref())?.or(older);
        let projection =
            params.projection(input.projection_expression.as_ref())?.or(older_projection);
        params.finish()?;
        let conditions = match (&keys, &input.key_conditions) {
            (Some(condition), _) => {
                key_conditions(condition).map_err(|error| invalid(key_condition_error(&error)))?
            }
            (None, Some(conditions)) => legacy::key_conditions(conditions)?,
            (None, None) => Vec::new(),
        };
        let consistent = input.consistent_read == Some(true);
        let table = self.tables.get(tx, &name)?;
        let source = Source::new(&table, input.index_name.as_ref(), consistent)?;
        check_condition(&table, filter.as_ref())?;
        check_projection(&table, projection.as_ref())?;
        let by_name = if input.attributes_to_get.is_some() {
            "AttributesToGet"
        } else {
            "ProjectionExpression"
        };
        let (select, needs_items) =
            source.check_select(input.select.as_ref(), projection.as_ref(), by_name)?;
        if input.key_conditions.is_some() {
            legacy::check_key_conditions(&conditions, source.is_composite())?;
        }
        let range = range(source, conditions)?;
        check_filter(source, filter.as_ref(), input.query_filter.is_some())?;
        let forward = input.scan_index_forward != Some(false);
        let mut scan = range.scan(rows(tx, &table));
        if let Some(start) = &input.exclusive_start_key {
            let key = range.start(source, start)?;
            scan = if forward { scan.after(&key) } else { scan.to(&key) };
        }
        if !forward {
            scan = scan.reverse();
        }
        let reading = Reading {
            filter: filter.as_ref(),
            projection: projection.as_ref(),
            select,
            needs_items,
            limit: input.limit.map(|limit| limit as usize),
            consistent,
            partitions: None,
        };
        source.reads().admit(tx)?;
        let page = read_page(tx, source, scan, &reading)?;
        source.take(tx, &page.units);
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        Ok(QueryOutput {
            items: (select != Select::Count).then_some(page.items),
            count: Some(page.count as i32),
            scanned_count: Some(page.scanned as i32),
            last_evaluated_key: page.last,
            consumed_capacity: capacity::of_reads(&table, wanted, &page.units),
        })
    }
}

/// Some complaints name the expression, others only its kind.
fn key_condition_error(error: &str) -> String {
    match error.contains("KeyConditionExpression") {
        true => error.to_owned(),
        false => format!("Invalid KeyConditionExpression: {error}"),
    }
}

/// A filter may not look at what the key condition is for.
fn check_filter(source: Source<'_>, filter: Option<&Condition>, older: bool) -> Result<(), Error> {
    let keys: Vec<&str> = source.hash().into_iter().chain(source.range()).collect();
    let mut found = None;
    if let Some(filter) = filter {
        filter.each_path(&mut |path| {
            if keys.contains(&path.head()) {
                found.get_or_insert(path.head().to_owned());
            }
        });
    }
    let member = if older { "QueryFilter" } else { "Filter Expression" };
    match found {
        None => Ok(()),
        Some(name) => Err(invalid(format!(
            "{member} can only contain non-primary key attributes: Primary key attribute: {name}"
        ))),
    }
}

fn value(bytes: &Bytes) -> Result<Value<'_>, Error> {
    Value::of(bytes).ok_or_else(|| Error::internal("a value of a request"))
}

/// The types of a test's values, against that of the attribute.
fn check_test(source: Source<'_>, condition: &KeyCondition) -> Result<(), Error> {
    let kind = source.table.kind(&condition.name);
    let values = match &condition.test {
        KeyTest::Compare(_, value) | KeyTest::BeginsWith(value) => vec![value],
        KeyTest::Between(low, high) => vec![low, high],
    };
    for bytes in values {
        let value = value(bytes)?;
        if value.kind() != kind {
            return Err(bad_parameter("Condition parameter type does not match schema type"));
        }
        let empty = value.kind() != Kind::N && value.content().is_empty();
        if empty && matches!(condition.test, KeyTest::Compare(..)) {
            let what = if kind == Kind::S { "string" } else { "binary" };
            return Err(invalid(format!(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {what} value. Key: {}",
                condition.name
            )));
        }
    }
    if matches!(condition.test, KeyTest::BeginsWith(_)) && kind == Kind::N {
        return Err(invalid(
            "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ));
    }
    Ok(())
}

fn is_equality(condition: &KeyCondition) -> bool {
    matches!(condition.test, KeyTest::Compare(Comparator::Eq, _))
}

/// Keys of several attributes: all of the partition key by equality, those of the sort key from the left,
/// by equality but for the last.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.MultiAttributeKeys>
fn check_composite(source: Source<'_>, conditions: &[KeyCondition]) -> Result<(), Error> {
    let of = |name: &str| conditions.iter().find(|condition| condition.name == name);
    let unequal: Vec<&str> =
        source.hash().into_iter().filter(|name| !of(name).is_some_and(is_equality)).collect();
    if !unequal.is_empty() {
        return Err(invalid(format!(
            "HASH key attributes {} must have equality conditions specified in the query",
            unequal.join(", ")
        )));
    }
    let sort = source.range();
    let Some(last) = sort.iter().rposition(|name| of(name).is_some()) else { return Ok(()) };
    let unequal: Vec<&str> =
        sort[..last].iter().copied().filter(|name| !of(name).is_some_and(is_equality)).collect();
    match unequal.is_empty() {
        true => Ok(()),
        false => Err(invalid(format!(
            "RANGE key attributes {} must have equality conditions specified in the query because a condition is present on key attribute {}",
            unequal.join(", "),
            sort[last]
        ))),
    }
}

/// The partition and the rest of the key that the conditions ask for.
fn range(source: Source<'_>, mut conditions: Vec<KeyCondition>) -> Result<Range, Error> {
    let (hash, sort) = (source.hash(), source.range());
    if source.is_composite() {
        check_composite(source, &conditions)?;
    }
    let mut take = |name: &str| {
        let at = conditions.iter().position(|condition| condition.name == name)?;
        Some(conditions.swap_remove(at))
    };
    let mut parts = Vec::new();
    for name in &hash {
        let condition = take(name)
            .ok_or_else(|| invalid(format!("Query condition missed key schema element: {name}")))?;
        check_test(source, &condition)?;
        match condition.test {
            KeyTest::Compare(Comparator::Eq, value) => parts.push(value),
            _ => return Err(invalid("Query key condition not supported")),
        }
    }
    let values: Vec<Value<'_>> = parts.iter().filter_map(|part| Value::of(part)).collect();
    let mut prefix = partition(source.table.number, source.space(), values.into_iter());
    let (mut test, mut missing) = (None, None);
    for name in &sort {
        let Some(condition) = take(name) else {
            missing.get_or_insert(*name);
            continue;
        };
        if let Some(missing) = missing {
            return Err(invalid(format!("Query condition missed key schema element: {missing}")));
        }
        if test.is_some() {
            return Err(invalid("Query key condition not supported"));
        }
        check_test(source, &condition)?;
        match condition.test {
            // An equality of another than the last part narrows the range; so does the last.
            KeyTest::Compare(Comparator::Eq, bytes) if Some(name) != sort.last() => {
                write_key(value(&bytes)?, &mut prefix);
            }
            other => test = Some((condition.name, other)),
        }
    }
    if !conditions.is_empty() {
        let wanted = sort.first().copied().filter(|_| missing.is_some());
        return Err(invalid(match wanted {
            Some(name) => format!("Query condition missed key schema element: {name}"),
            None => "Query key condition not supported".to_owned(),
        }));
    }
    Ok(Range { prefix, test })
}

impl Range {
    fn place(&self, bytes: &Bytes) -> Vec<u8> {
        let mut key = self.prefix.clone();
        if let Some(value) = Value::of(bytes) {
            write_key(value, &mut key);
        }
        key
    }

    pub fn scan<'t>(&self, scan: Scan<'t, RawKey, ItemRow>) -> Scan<'t, RawKey, ItemRow> {
        let whole = RawKey(self.prefix.clone());
        let scan = scan.prefix(&whole);
        let Some((_, test)) = &self.test else { return scan };
        match test {
            KeyTest::Compare(comparator, value) => {
                let at = self.place(value);
                match comparator {
                    Comparator::Eq => scan.prefix(&RawKey(at)),
                    Comparator::Lt => scan.to(&RawKey(at)),
                    Comparator::Le => scan.to(&after(at)),
                    Comparator::Gt => scan.from(&after(at)),
                    Comparator::Ge | Comparator::Ne => scan.from(&RawKey(at)),
                }
            }
            KeyTest::Between(low, high) => {
                scan.from(&RawKey(self.place(low))).to(&after(self.place(high)))
            }
            KeyTest::BeginsWith(value) => {
                let mut key = self.prefix.clone();
                if let Some(value) = Value::of(value) {
                    write_key_prefix(value, &mut key);
                }
                scan.prefix(&RawKey(key))
            }
        }
    }

    /// Where a page goes on, if that is within the range.
    fn start(&self, source: Source<'_>, start: &Item) -> Result<RawKey, Error> {
        let key = source.start(start)?;
        // A partition of one item has nothing after it.
        if source.index.is_none() && source.range().is_empty() {
            let shown = start.get(&source.table.hash).map_or_else(String::new, Value::shown);
            return Err(invalid(format!(
                "The provided exclusive start key is invalid: ExclusiveStartKey: {{{}=AttributeValue: {}}}",
                source.table.hash, shown
            )));
        }
        if !key.0.starts_with(&self.prefix) {
            return Err(invalid(
                "The provided starting key is outside query boundaries based on provided conditions",
            ));
        }
        let Some((name, test)) = &self.test else { return Ok(key) };
        let Some(found) = start.get(name) else { return Ok(key) };
        if fits(test, found) {
            return Ok(key);
        }
        Err(invalid("The provided starting key does not match the range key predicate"))
    }
}

fn fits(test: &KeyTest, found: Value<'_>) -> bool {
    let order = |bytes: &Bytes| Value::of(bytes).and_then(|value| compare(found, value));
    match test {
        KeyTest::Compare(comparator, value) => order(value).is_some_and(|order| match comparator {
            Comparator::Eq => order.is_eq(),
            Comparator::Ne => order.is_ne(),
            Comparator::Lt => order.is_lt(),
            Comparator::Le => order.is_le(),
            Comparator::Gt => order.is_gt(),
            Comparator::Ge => order.is_ge(),
        }),
        KeyTest::Between(low, high) => {
            order(low).is_some_and(|order| order.is_ge())
                && order(high).is_some_and(|order| order.is_le())
        }
        KeyTest::BeginsWith(value) => {
            Value::of(value).is_some_and(|value| found.content().starts_with(value.content()))
        }
    }
}
