//! ExecuteStatement, BatchExecuteStatement, ExecuteTransaction.
//!
//! Whether a call reads or writes, only its statements tell; so the operations are async, and open the
//! kind of transaction that they need. A statement becomes what the other operations are made of: pages
//! of a query or scan, or a mutation.

mod select;
mod transaction;
mod write;

use crate::DynamoDb;
use crate::ask::{Asks, KEY, PARTIQL_SELECT, key_text, on, with_attributes};
use crate::batch::WRITE_BYTES_MAX;
use crate::capacity::{self, ReadUnits, Wanted};
use crate::error::invalid;
use crate::mutation::Deed;
use crate::names::TableName;
use crate::table::Table;
use crate::write::{ITEM_BYTES_MAX, WriteUnits, has_room, is_too_much, key_of, read_item};
use api::{Ask, AsyncCx, Cx, Error, Reply, Tx};
use bytes::Bytes;
use expression::partiql::{Statement, parse, pinned};
use gen_dynamodb::errors as e;
use gen_dynamodb::*;
use item::{Attribute, Item, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A statement with all that the request says of it.
pub(crate) struct Prepared<'r> {
    pub statement: Statement,
    pub table: TableName,
    pub shows_old: bool,
    pub consistent: bool,
    /// As the request has them, for tokens.
    pub text: &'r str,
    pub parameters: &'r [Attribute],
}

/// A batch may write no more than one transaction of ours: what is left over is to be tried again.
const TOO_MUCH_AT_ONCE: &str = "Throughput exceeds the current capacity for one or more global secondary indexes, or of the table: the statements before this one have written too much at once. Please try again";

type Parameters = Option<Vec<Attribute>>;

fn read<'r>(
    cx: &Cx,
    text: &'r str,
    parameters: &'r Parameters,
    consistent: Option<bool>,
    on_failure: Option<&String>,
) -> Result<Prepared<'r>, Error> {
    let given = parameters.as_deref().unwrap_or_default();
    if let Some(fault) = given.iter().find_map(Attribute::fault) {
        return Err(invalid(fault));
    }
    let values: Vec<Bytes> = given.iter().map(|value| value.bytes().clone()).collect();
    let statement = parse(text, &values).map_err(invalid)?;
    let table = TableName::parse(cx, &statement.source().table)?;
    Ok(Prepared {
        statement,
        table,
        shows_old: crate::item_ops::shows_old(on_failure),
        consistent: consistent == Some(true),
        text,
        parameters: given,
    })
}

impl Prepared<'_> {
    /// What must be allowed for it.
    fn ask(&self, cx: &Cx, enclosing: Option<&'static str>) -> Ask {
        let source = self.statement.source();
        let (action, select, condition) = match &self.statement {
            Statement::Select(select) | Statement::Exists(select) => {
                ("PartiQLSelect", Some(select), select.condition.as_ref())
            }
            Statement::Insert(_) => ("PartiQLInsert", None, None),
            Statement::Change(change) => {
                let update = change.update.is_some();
                let action = if update { "PartiQLUpdate" } else { "PartiQLDelete" };
                (action, None, change.condition.as_ref())
            }
        };
        let mut ask = on(cx, action, &source.table, source.index.as_ref())
            .key("dynamodb:enclosingoperation", enclosing);
        if let Some(select) = select {
            ask.context.push((Cow::Borrowed(PARTIQL_SELECT), vec!["true".into()]));
            let whole = match source.index {
                Some(_) => "ALL_PROJECTED_ATTRIBUTES",
                None => "ALL_ATTRIBUTES",
            };
            let shown = if select.is_whole() { whole } else { "SPECIFIC_ATTRIBUTES" };
            ask = ask.key("dynamodb:select", Some(shown));
        }
        let names = self.statement.attributes();
        for name in &names {
            let values: Vec<String> = match &self.statement {
                Statement::Insert(insert) => {
                    let value = item::Map::of(&insert.item).get(name);
                    value.and_then(key_text).into_iter().collect()
                }
                _ => condition
                    .and_then(|condition| pinned(condition, name))
                    .into_iter()
                    .flatten()
                    .filter_map(|bytes| Value::of(&bytes).and_then(key_text))
                    .collect(),
            };
            if !values.is_empty() {
                ask.context.push((Cow::Owned(format!("{KEY}{name}")), values));
            }
        }
        with_attributes(ask, names.into_iter().map(str::to_owned).collect())
    }
}

/// Units of the tables that several statements touch.
#[derive(Default)]
struct Tally(BTreeMap<TableName, (Arc<Table>, f64, WriteUnits)>);

impl Tally {
    fn read(&mut self, name: &TableName, table: &Arc<Table>, units: f64) {
        self.entry(name, table).1 += units;
    }

    fn write(&mut self, name: &TableName, table: &Arc<Table>, units: &WriteUnits) {
        self.entry(name, table).2.add(units);
    }

    fn entry(
        &mut self,
        name: &TableName,
        table: &Arc<Table>,
    ) -> &mut (Arc<Table>, f64, WriteUnits) {
        self.0.entry(name.clone()).or_insert_with(|| (table.clone(), 0.0, WriteUnits::default()))
    }

    fn consumed(&self, wanted: Wanted) -> Option<Vec<ConsumedCapacity>> {
        if wanted == Wanted::Nothing {
            return None;
        }
        let one = |(table, reads, writes): &(Arc<Table>, f64, WriteUnits)| {
            let units = ReadUnits { table: *reads, index: None };
            match *reads > 0.0 {
                true => capacity::of_reads(table, wanted, &units),
                false => capacity::of_writes(table, wanted, writes),
            }
        };
        Some(self.0.values().filter_map(one).collect())
    }
}

impl DynamoDb {
    pub(crate) fn ask_execute(&self, cx: &Cx, input: &ExecuteStatementInput) -> Asks {
        let prepared = read(cx, &input.statement, &input.parameters, None, None)?;
        let ask = prepared
            .ask(cx, None)
            .key("dynamodb:returnconsumedcapacity", input.return_consumed_capacity.clone());
        Ok(vec![ask])
    }

    pub(crate) async fn run_statement(
        &self,
        cx: &AsyncCx,
        input: &ExecuteStatementInput,
    ) -> Result<Reply<ExecuteStatementOutput>, Error> {
        let prepared = read(
            cx,
            &input.statement,
            &input.parameters,
            input.consistent_read,
            input.return_values_on_condition_check_failure.as_ref(),
        )?;
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        let output = match &prepared.statement {
            Statement::Select(select) => cx.read(|tx| {
                let token = input.next_token.as_ref();
                self.select(tx, cx, &prepared, select, input.limit, token, wanted)
            })?,
            Statement::Exists(_) => {
                return Err(invalid(
                    "EXISTS can only be used in ExecuteTransaction write requests.",
                ));
            }
            _ if input.next_token.is_some() => {
                return Err(invalid("NextToken does not match request"));
            }
            _ => cx.write(input, |tx| self.write_one(tx, cx, &prepared, wanted)).await?,
        };
        Ok(Reply::new(output))
    }

    fn write_one(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        prepared: &Prepared<'_>,
        wanted: Wanted,
    ) -> Result<ExecuteStatementOutput, Error> {
        let table = self.tables.get(tx, &prepared.table)?;
        let written = write::run(tx, cx, &table, prepared)?;
        Ok(ExecuteStatementOutput {
            items: Some(written.shown.into_iter().collect()),
            consumed_capacity: capacity::of_writes(&table, wanted, &written.units),
            ..ExecuteStatementOutput::default()
        })
    }

    /// Members are asked for one by one, within the transaction: each succeeds or fails by itself.
    pub(crate) fn ask_batch_execute(&self, _: &Cx, _: &BatchExecuteStatementInput) -> Asks {
        Ok(Vec::new())
    }

    pub(crate) async fn run_batch(
        &self,
        cx: &AsyncCx,
        input: &BatchExecuteStatementInput,
    ) -> Result<Reply<BatchExecuteStatementOutput>, Error> {
        let all: Vec<Result<Prepared<'_>, Error>> = input
            .statements
            .iter()
            .map(|one| {
                let on_failure = one.return_values_on_condition_check_failure.as_ref();
                read(cx, &one.statement, &one.parameters, one.consistent_read, on_failure)
            })
            .collect();
        let reads = |prepared: &Prepared<'_>| prepared.statement.is_read();
        let good = || all.iter().filter_map(|one| one.as_ref().ok());
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        if !good().any(|one| !reads(one)) {
            let output = cx.read(|tx| {
                let mut tally = Tally::default();
                let one = |one: &Result<Prepared<'_>, Error>| {
                    let run =
                        |prepared: &Prepared<'_>| self.batch_read(tx, cx, prepared, &mut tally);
                    member(tx, cx, one, run)
                };
                let responses = all.iter().map(one).collect::<Result<Vec<_>, _>>()?;
                answer(tx, cx, responses, tally.consumed(wanted))
            })?;
            return Ok(Reply::new(output));
        }
        if good().any(reads) {
            return Err(invalid(
                "The entire batch must consist of either read statements or write statements, you cannot mix both in one batch",
            ));
        }
        let output = cx.write(input, |tx| {
            let mut tally = Tally::default();
            let mut responses = Vec::new();
            for one in &all {
                let asked = member(tx, cx, one, |_| Ok(BatchStatementResponse::default()))?;
                let Ok(prepared) = one else {
                    responses.push(asked);
                    continue;
                };
                if asked.error.is_some() {
                    responses.push(asked);
                    continue;
                }
                let written = self.batch_write(tx, cx, prepared, &mut tally);
                responses.push(match written {
                    // Half of it may have been written.
                    Err(error) if is_too_much(tx) => return Err(error),
                    Err(error) => failed(error, Some(prepared))?,
                    Ok(response) => response,
                });
            }
            answer(tx, cx, responses, tally.consumed(wanted))
        });
        Ok(Reply::new(output.await?))
    }

    fn batch_read(
        &self,
        tx: &Tx,
        cx: &Cx,
        prepared: &Prepared<'_>,
        tally: &mut Tally,
    ) -> Result<BatchStatementResponse, Error> {
        let Statement::Select(select) = &prepared.statement else {
            return Err(invalid("EXISTS can only be used in ExecuteTransaction write requests."));
        };
        let table = self.tables.get(tx, &prepared.table)?;
        let missing = "Select statements within BatchExecuteStatement must specify the primary key in the where clause.";
        let key = select::whole_key(&table, select).ok_or_else(|| invalid(missing))??;
        let (item, units) = select::one(tx, cx, &table, select, &key, prepared.consistent)?;
        tally.read(&prepared.table, &table, units);
        Ok(BatchStatementResponse {
            table_name: Some(prepared.table.name.clone()),
            item,
            error: None,
        })
    }

    fn batch_write(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        prepared: &Prepared<'_>,
        tally: &mut Tally,
    ) -> Result<BatchStatementResponse, Error> {
        let table = self.tables.get(tx, &prepared.table)?;
        let mutation = write::mutation(&table, prepared)?;
        let key = key_of(&table, mutation.subject().map());
        if tx.written_bytes() > 0 {
            let new = match &mutation.deed {
                Deed::Insert(item) => item.bytes().len(),
                Deed::Update(_, update) => {
                    let old = read_item(tx, &table, &key)?.map_or(0, |row| row.item.len());
                    updated_bytes_max(update, old, prepared.text)
                }
                _ => 0,
            };
            if !has_room(tx, &table, &key, new, WRITE_BYTES_MAX)? {
                return Err(Error::new(&e::THROTTLING_EXCEPTION, TOO_MUCH_AT_ONCE));
            }
        }
        let written = write::run(tx, cx, &table, prepared)?;
        tally.write(&prepared.table, &table, &written.units);
        Ok(BatchStatementResponse {
            table_name: Some(prepared.table.name.clone()),
            item: written.shown,
            error: None,
        })
    }
}

/// In how much at most an update's item is encoded then: each place that it names may bring all of the item
/// again, its values come once, names are in its text, and each action may make a number.
fn updated_bytes_max(update: &expression::Update, old: usize, text: &str) -> usize {
    let mut places = 0;
    update.each_path(&mut |_| places += 1);
    let new = old * (1 + places) + update.value_bytes() + text.len();
    (new + 64 * update.actions.len()).min(2 * ITEM_BYTES_MAX)
}

/// One member of a batch: refused by itself if it may not be done or does not parse.
fn member(
    tx: &Tx,
    cx: &Cx,
    one: &Result<Prepared<'_>, Error>,
    run: impl FnOnce(&Prepared<'_>) -> Result<BatchStatementResponse, Error>,
) -> Result<BatchStatementResponse, Error> {
    let prepared = match one {
        Ok(prepared) => prepared,
        Err(error) => return failed(invalid(error.message()), None),
    };
    let asked = cx.authorize(tx, &prepared.ask(cx, Some("BatchExecuteStatement")));
    asked.and_then(|()| run(prepared)).or_else(|error| failed(error, Some(prepared)))
}

/// The answer for a member that failed; what is our own fault fails the whole batch.
fn failed(error: Error, prepared: Option<&Prepared<'_>>) -> Result<BatchStatementResponse, Error> {
    let code = match error.code() {
        "ValidationException" => "ValidationError",
        "ConditionalCheckFailedException" => "ConditionalCheckFailed",
        "DuplicateItemException" => "DuplicateItem",
        "ResourceNotFoundException" => "ResourceNotFound",
        "ItemCollectionSizeLimitExceededException" => "ItemCollectionSizeLimitExceeded",
        code if code.starts_with("AccessDenied") => "AccessDenied",
        _ => match crate::throttle::cancellation_code(&error) {
            Some(code) => code,
            None => return Err(error),
        },
    };
    let there = matches!(code, "ConditionalCheckFailed" | "DuplicateItem");
    let name = prepared.filter(|_| there).map(|prepared| prepared.table.name.clone());
    let members = error.modelled().and_then(|members| {
        let members: &dyn std::any::Any = members;
        members.downcast_ref::<ConditionalCheckFailedException>()
    });
    Ok(BatchStatementResponse {
        error: Some(BatchStatementError {
            code: Some(code.to_owned()),
            message: Some(error.message().to_owned()),
            item: members.and_then(|members| members.item.clone()),
        }),
        table_name: name,
        item: None,
    })
}

/// A batch in which nothing could be asked for yet needs a permission all the same.
fn answer(
    tx: &Tx,
    cx: &Cx,
    responses: Vec<BatchStatementResponse>,
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
) -> Result<BatchExecuteStatementOutput, Error> {
    if !cx.has_asked() {
        cx.authorize(tx, &Ask::new("dynamodb:PartiQLSelect", "*"))?;
    }
    Ok(BatchExecuteStatementOutput { responses: Some(responses), consumed_capacity })
}

/// What a statement that writes has done.
pub(crate) struct Written {
    /// What RETURNING asks for, if that is anything.
    pub shown: Option<Item>,
    pub units: WriteUnits,
}
