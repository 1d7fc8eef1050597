//! Query: the items of one partition, in order of the sort key.

use crate::error::{bad_parameter, invalid};
use crate::keyspace::{after, partition};
use crate::names::TableName;
use crate::page::{Source, Wishes, answer, asked, rows};
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
        let (conditions, wishes) = self.read_query(input)?;
        let table = self.tables.get(tx, &name)?;
        let source = Source::new(&table, input.index_name.as_ref(), wishes.consistent)?;
        let reading = wishes.reading(source)?;
        if input.key_conditions.is_some() {
            legacy::check_key_conditions(&conditions, source.is_composite())?;
        }
        let range = range(source, conditions)?;
        check_filter(source, reading.filter, input.query_filter.is_some())?;
        source.check_filter(reading.filter)?;
        let forward = input.scan_index_forward != Some(false);
        let mut scan = range.scan(rows(tx, &table));
        if let Some(start) = &input.exclusive_start_key {
            let key = range.start(source, start)?;
            scan = if forward { scan.after(&key) } else { scan.to(&key) };
        }
        if !forward {
            scan = scan.reverse();
        }
        let page = source.admitted(tx, Some(&range.prefix), scan, &reading)?;
        answer!(QueryOutput, input, &table, reading, page)
    }

    /// What can be read of the request without its table: the key conditions, and the rest.
    fn read_query<'i>(
        &self,
        input: &'i QueryInput,
    ) -> Result<(Vec<KeyCondition>, Wishes<'i>), Error> {
        let (older_keys, keys) = (&input.key_conditions, &input.key_condition_expression);
        let asked = asked!(input, "QueryFilter", query_filter);
        let mut params =
            asked.params(&self.parsed, Some((keys.is_some(), older_keys.is_some())))?;
        let (older, older_projection) = (asked.older_filter()?, asked.older_projection()?);
        if older_keys.is_none() && keys.is_none() {
            return Err(invalid(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
            ));
        }
        let keys = params.condition("KeyConditionExpression", keys.as_ref())?;
        let wishes = asked.wishes(params, older, older_projection)?;
        let conditions = match (&keys, older_keys) {
            (Some(condition), _) => {
                key_conditions(condition).map_err(|error| invalid(key_condition_error(&error)))?
            }
            (None, Some(conditions)) => legacy::key_conditions(conditions)?,
            (None, None) => Vec::new(),
        };
        Ok((conditions, wishes))
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

/// The condition on an attribute, taken out of the list.
fn take(conditions: &mut Vec<KeyCondition>, name: &str) -> Option<KeyCondition> {
    let at = conditions.iter().position(|condition| condition.name == name)?;
    Some(conditions.swap_remove(at))
}

/// The partition and the rest of the key that the conditions ask for.
fn range(source: Source<'_>, mut conditions: Vec<KeyCondition>) -> Result<Range, Error> {
    if source.is_composite() {
        check_composite(source, &conditions)?;
    }
    let mut parts = Vec::new();
    for name in source.hash() {
        let condition = take(&mut conditions, name)
            .ok_or_else(|| invalid(format!("Query condition missed key schema element: {name}")))?;
        check_test(source, &condition)?;
        match condition.test {
            KeyTest::Compare(Comparator::Eq, value) => parts.push(value),
            _ => return Err(invalid("Query key condition not supported")),
        }
    }
    let values: Vec<Value<'_>> = parts.iter().filter_map(|part| Value::of(part)).collect();
    let prefix = partition(source.table.number, source.space(), values.into_iter());
    let mut range = Range { prefix, test: None };
    let missing = range.narrow(source, &mut conditions)?;
    if conditions.is_empty() {
        return Ok(range);
    }
    let wanted = source.range().first().copied().filter(|_| missing);
    Err(invalid(match wanted {
        Some(name) => format!("Query condition missed key schema element: {name}"),
        None => "Query key condition not supported".to_owned(),
    }))
}

impl Range {
    /// Takes what is said of the sort key; whether nothing is said of a part of it.
    fn narrow(
        &mut self,
        source: Source<'_>,
        conditions: &mut Vec<KeyCondition>,
    ) -> Result<bool, Error> {
        let sort = source.range();
        let mut missing = None;
        for name in &sort {
            let Some(condition) = take(conditions, name) else {
                missing.get_or_insert(*name);
                continue;
            };
            if let Some(missing) = missing {
                let text = format!("Query condition missed key schema element: {missing}");
                return Err(invalid(text));
            }
            if self.test.is_some() {
                return Err(invalid("Query key condition not supported"));
            }
            check_test(source, &condition)?;
            match condition.test {
                // An equality of another than the last part narrows the range; so does the last.
                KeyTest::Compare(Comparator::Eq, bytes) if Some(name) != sort.last() => {
                    write_key(value(&bytes)?, &mut self.prefix);
                }
                other => self.test = Some((condition.name, other)),
            }
        }
        Ok(missing.is_some())
    }

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
