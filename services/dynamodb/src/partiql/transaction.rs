//! ExecuteTransaction: statements that all read one state, or are all done or none.

use super::{Prepared, Tally, read, select, write};
use crate::DynamoDb;
use crate::ask::Asks;
use crate::capacity::{Wanted, in_transaction};
use crate::error::invalid;
use crate::mutation::Mutation;
use crate::rows::RawKey;
use crate::throttle::cancellation_code;
use crate::transact::{SAME_ITEM, TOO_LARGE, TRANSACTION_BYTES_MAX, canceled, none, reason};
use crate::write::key_of;
use api::{AsyncCx, Cx, Error, Reply, Tx};
use expression::partiql::Statement;
use gen_dynamodb::*;
use item::item_size;
use std::collections::BTreeSet;

/// Says which statement was wrong.
fn in_statement(at: usize, error: Error) -> Error {
    if error.code() != "ValidationException" {
        return error;
    }
    let text = format!("Validation failed in TransactStatements[{at}]: {}", error.message());
    error.with_message(text)
}

fn read_all<'r>(cx: &Cx, input: &'r ExecuteTransactionInput) -> Result<Vec<Prepared<'r>>, Error> {
    let mut all = Vec::new();
    for (at, one) in input.transact_statements.iter().enumerate() {
        let on_failure = one.return_values_on_condition_check_failure.as_ref();
        let prepared = read(cx, &one.statement, &one.parameters, Some(true), on_failure);
        all.push(prepared.map_err(|error| in_statement(at, error))?);
    }
    Ok(all)
}

/// What no statement of a transaction may be.
fn check(prepared: &Prepared<'_>, reads: bool) -> Result<(), Error> {
    let index = prepared.statement.source().index.is_some();
    match &prepared.statement {
        Statement::Select(_) if !reads => Err(invalid("Unsupported operation in transaction.")),
        Statement::Select(_) if index => {
            Err(invalid("Reads on indices are not supported within transactions."))
        }
        Statement::Change(change) if change.returning.is_some() => {
            Err(invalid("RETURNING clause is not supported in ExecuteTransaction."))
        }
        Statement::Insert(insert) if insert.keeps_old => {
            Err(invalid("Unsupported operation in transaction."))
        }
        _ if index => Err(invalid("Operations on indices are not supported in transactions")),
        _ => Ok(()),
    }
}

impl DynamoDb {
    pub(crate) fn ask_execute_transaction(&self, cx: &Cx, input: &ExecuteTransactionInput) -> Asks {
        let all = read_all(cx, input)?;
        Ok(all.iter().map(|one| one.ask(cx, Some("ExecuteTransaction"))).collect())
    }

    pub(crate) async fn run_transaction(
        &self,
        cx: &AsyncCx,
        input: &ExecuteTransactionInput,
    ) -> Result<Reply<ExecuteTransactionOutput>, Error> {
        let all = read_all(cx, input)?;
        let reads = all.first().is_some_and(|one| one.statement.is_read());
        for (at, one) in all.iter().enumerate() {
            check(one, reads).map_err(|error| in_statement(at, error))?;
        }
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        if reads {
            return cx.read(|tx| self.transact_reads(tx, cx, &all, wanted)).map(Reply::new);
        }
        let written = cx.write(input, |tx| {
            let mut mutations: Vec<Mutation> = Vec::new();
            for (at, one) in all.iter().enumerate() {
                let table = self.tables.get(tx, &one.table)?;
                let mutation = write::mutation(&table, one);
                mutations.push(mutation.map_err(|error| in_statement(at, error))?);
            }
            let token = input.client_request_token.as_ref();
            self.transact(tx, cx, &mutations, token, wanted, None)
        });
        let output = written.await?;
        Ok(Reply::new(ExecuteTransactionOutput {
            responses: None,
            consumed_capacity: output.consumed_capacity,
        }))
    }

    fn transact_reads(
        &self,
        tx: &Tx,
        cx: &Cx,
        all: &[Prepared<'_>],
        wanted: Wanted,
    ) -> Result<ExecuteTransactionOutput, Error> {
        let mut keys: BTreeSet<RawKey> = BTreeSet::new();
        let (mut responses, mut tally, mut size) = (Vec::new(), Tally::default(), 0);
        let (mut reasons, mut failed) = (Vec::new(), false);
        for (at, prepared) in all.iter().enumerate() {
            let Statement::Select(select) = &prepared.statement else { continue };
            let table = self.tables.get(tx, &prepared.table)?;
            let missing = "Select statements within ExecuteTransaction must specify the primary key in the where clause.";
            let key = select::whole_key(&table, select).ok_or_else(|| invalid(missing));
            let key = key.and_then(|key| key).map_err(|error| in_statement(at, error))?;
            if !keys.insert(key_of(&table, key.map())) {
                return Err(invalid(SAME_ITEM));
            }
            let (item, units) = match select::one(tx, cx, &table, select, &key, true) {
                Ok(found) => found,
                Err(error) => {
                    let Some(code) = cancellation_code(&error) else { return Err(error) };
                    reasons.push(reason(code, Some(error.message().to_owned()), None));
                    failed = true;
                    continue;
                }
            };
            reasons.push(none());
            size += item.as_ref().map_or(0, |item| item_size(item.map()));
            tally.read(&prepared.table, &table, 2.0 * units);
            responses.push(ItemResponse { item });
        }
        if failed {
            return Err(canceled(reasons));
        }
        if size > TRANSACTION_BYTES_MAX {
            return Err(invalid(TOO_LARGE));
        }
        let consumed = tally.consumed(wanted);
        let consumed =
            consumed.map(|all| all.into_iter().map(|one| in_transaction(one, false)).collect());
        Ok(ExecuteTransactionOutput { responses: Some(responses), consumed_capacity: consumed })
    }
}
