//! TransactGetItems and TransactWriteItems: all or nothing, and every condition is looked at, so that
//! the answer tells all that failed.

use crate::capacity::{self, ReadUnits, Wanted, in_transaction, read_units};
use crate::error::invalid;
use crate::item_ops::shows_old;
use crate::keyspace::check_key;
use crate::mutation::{DUPLICATE, Deed, Failure, Mutation, Outcome, check_fault, check_new};
use crate::names::TableName;
use crate::params::{Params, check_projection};
use crate::rows::{RawKey, TOKENS, TokenRow};
use crate::table::Table;
use crate::throttle::{self, Use, Way};
use crate::write::{WriteUnits, is_too_much, key_of, read_item};
use crate::{DynamoDb, collections};
use api::{Cx, Error, Tx};
use expression::Projection;
use gen_dynamodb::errors as e;
use gen_dynamodb::*;
use item::{Item, Map};
use smithy::json::Writer;
use smithy::value::Custom as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use store::Scope;

pub(crate) const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long a client token is remembered.
const TOKEN_MS: i64 = 10 * 60 * 1000;

pub(crate) const SAME_ITEM: &str =
    "Transaction request cannot include multiple operations on one item";

pub(crate) const TOO_LARGE: &str = "Collection size of items in the transaction has exceeded limit: Aggregated size of all items in the transaction cannot exceed 4MB";

/// Why one member of a transaction was not done.
pub(crate) fn reason(
    code: &str,
    message: Option<String>,
    item: Option<Item>,
) -> CancellationReason {
    CancellationReason { code: Some(code.to_owned()), message, item }
}

pub(crate) fn canceled(reasons: Vec<CancellationReason>) -> Error {
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason.code.as_deref()).collect();
    let text = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    let members = TransactionCanceledException {
        message: Some(text.clone()),
        cancellation_reasons: Some(reasons),
    };
    Error::new(&e::TRANSACTION_CANCELED_EXCEPTION, text).members(members)
}

pub(crate) fn none() -> CancellationReason {
    reason("None", None, None)
}

/// FNV-1a over what a request asks for: the same token must come with the same request.
fn digest(text: &str) -> u64 {
    let step = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Units of a member, which count twice.
fn doubled(units: &WriteUnits) -> WriteUnits {
    let mut out = units.clone();
    out.add(units);
    out
}

/// A member of TransactGetItems.
struct Read<'i> {
    table: TableName,
    key: &'i Item,
    projection: Option<Projection>,
}

/// What is shown of an item, its size, and the units for reading it.
type Found = (Option<Item>, usize, f64);

impl Read<'_> {
    /// The item; or why this member, and so the transaction, fails.
    fn run(
        &self,
        tx: &Tx,
        table: &Table,
        keys: &mut BTreeSet<RawKey>,
    ) -> Result<Result<Found, CancellationReason>, Error> {
        let own = |code, error: &Error| reason(code, Some(error.message().to_owned()), None);
        if let Err(error) = check_key(table, self.key.map()) {
            return Ok(Err(own("ValidationError", &error)));
        }
        check_projection(table, self.projection.as_ref())?;
        let raw = key_of(table, self.key.map());
        let reads = Use::new(table, None, Way::Read).at(&raw.0);
        if !keys.insert(raw.clone()) {
            return Err(invalid(SAME_ITEM));
        }
        if let Err(error) = reads.admit(tx) {
            let Some(code) = cancellation_code(&error) else { return Err(error) };
            return Ok(Err(own(code, &error)));
        }
        let row = read_item(tx, table, &raw)?;
        let size_bytes = row.as_ref().map_or(0, |row| row.size_bytes as usize);
        let units = 2.0 * read_units(size_bytes, true);
        reads.take(tx, units);
        let item = row.map(|row| match &self.projection {
            Some(projection) => Item::from_bytes(projection.apply(Map::of(&row.item))),
            None => Item::from_bytes(row.item),
        });
        Ok(Ok((item, size_bytes, units)))
    }
}

/// What the members of TransactWriteItems have in common.
struct Parts<'i> {
    table: &'i str,
    condition: Option<&'i String>,
    update: Option<&'i String>,
    names: Option<&'i BTreeMap<String, String>>,
    values: Option<&'i Item>,
    on_failure: Option<&'i String>,
}

macro_rules! parts {
    ($of:expr, $condition:expr, $update:expr) => {
        Parts {
            table: &$of.table_name,
            condition: $condition,
            update: $update,
            names: $of.expression_attribute_names.as_ref(),
            values: $of.expression_attribute_values.as_ref(),
            on_failure: $of.return_values_on_condition_check_failure.as_ref(),
        }
    };
}

impl DynamoDb {
    pub(crate) fn transact_get_items(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &TransactGetItemsInput,
    ) -> Result<TransactGetItemsOutput, Error> {
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        let gets = self.read_gets(cx, input)?;
        let (mut responses, mut size) = (Vec::new(), 0);
        let mut keys: BTreeSet<RawKey> = BTreeSet::new();
        let mut units: BTreeMap<TableName, (Arc<Table>, f64)> = BTreeMap::new();
        let (mut reasons, mut failed) = (Vec::new(), false);
        for get in gets {
            let table = self.tables.get(tx, &get.table)?;
            match get.run(tx, &table, &mut keys)? {
                Err(own) => {
                    failed = true;
                    reasons.push(own);
                }
                Ok((item, item_bytes, taken)) => {
                    size += item_bytes;
                    units.entry(get.table).or_insert((table, 0.0)).1 += taken;
                    reasons.push(none());
                    responses.push(ItemResponse { item });
                }
            }
        }
        if failed {
            return Err(canceled(reasons));
        }
        if size > TRANSACTION_BYTES_MAX {
            return Err(invalid(TOO_LARGE));
        }
        let consumed = units.values().filter_map(|(table, units)| {
            let units = ReadUnits { table: *units, index: None };
            capacity::of_reads(table, wanted, &units).map(|c| in_transaction(c, false))
        });
        Ok(TransactGetItemsOutput {
            consumed_capacity: (wanted != Wanted::Nothing).then(|| consumed.collect()),
            responses: Some(responses),
        })
    }

    fn read_gets<'i>(
        &self,
        cx: &Cx,
        input: &'i TransactGetItemsInput,
    ) -> Result<Vec<Read<'i>>, Error> {
        let one = |member: &'i TransactGetItem| {
            let get = &member.get;
            let table = TableName::parse(cx, &get.table_name)?;
            let mut params = Params::new(
                &self.parsed,
                get.expression_attribute_names.as_ref(),
                None,
                &[("ProjectionExpression", get.projection_expression.is_some())],
                &[],
            )?;
            check_fault(&get.key)?;
            let projection = params.projection(get.projection_expression.as_ref())?;
            params.finish()?;
            Ok(Read { table, key: &get.key, projection })
        };
        input.transact_items.iter().map(one).collect()
    }

    pub(crate) fn transact_write_items(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &TransactWriteItemsInput,
    ) -> Result<TransactWriteItemsOutput, Error> {
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        let metrics = input.return_item_collection_metrics.as_ref();
        let mutations: Vec<Mutation> = input
            .transact_items
            .iter()
            .map(|member| self.member(cx, member))
            .collect::<Result<_, _>>()?;
        let token = input.client_request_token.as_ref();
        self.transact(tx, cx, &mutations, token, wanted, metrics)
    }

    /// All changes, or none.
    pub(crate) fn transact(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        mutations: &[Mutation],
        token: Option<&String>,
        wanted: Wanted,
        metrics: Option<&String>,
    ) -> Result<TransactWriteItemsOutput, Error> {
        let mut tables = Vec::new();
        for mutation in mutations {
            tables.push(self.tables.get(tx, &mutation.table)?);
        }
        let repeated = match token {
            Some(token) => remember(tx, cx, token, mutations)?,
            None => false,
        };
        let outcomes = match repeated {
            true => read_again(tx, mutations, &tables)?,
            false => run_all(tx, cx, mutations, &tables)?,
        };
        let mut units: BTreeMap<&TableName, (&Table, WriteUnits)> = BTreeMap::new();
        let mut collections: BTreeMap<String, Vec<ItemCollectionMetrics>> = BTreeMap::new();
        for ((mutation, table), outcome) in mutations.iter().zip(&tables).zip(&outcomes) {
            let entry = units.entry(&mutation.table).or_insert((table, WriteUnits::default()));
            entry.1.add(&doubled(&outcome.units));
            // Such a request takes as much again.
            if !repeated {
                outcome.take(tx, table, &key_of(table, mutation.subject().map()));
            }
            let one = collections::metrics(tx, table, metrics, mutation.subject().map())?;
            if let Some(one) = one {
                collections.entry(table.name.clone()).or_default().push(one);
            }
        }
        let consumed = units.values().filter_map(|(table, units)| {
            let consumed = capacity::of_writes(table, wanted, units)?;
            // A request that was done before only reads.
            Some(in_transaction(consumed, !repeated))
        });
        Ok(TransactWriteItemsOutput {
            consumed_capacity: (wanted != Wanted::Nothing).then(|| consumed.collect()),
            item_collection_metrics: (!collections.is_empty()).then_some(collections),
        })
    }

    /// One member, looked at as far as that goes without its table.
    fn member(&self, cx: &Cx, member: &TransactWriteItem) -> Result<Mutation, Error> {
        let TransactWriteItem { condition_check, put, delete, update } = member;
        match (condition_check, put, delete, update) {
            (None, Some(put), None, None) => {
                check_new(&put.item)?;
                let parts = parts!(put, put.condition_expression.as_ref(), None);
                self.mutation(cx, parts, |_| Deed::Put(put.item.clone()))
            }
            (None, None, Some(delete), None) => {
                check_fault(&delete.key)?;
                let parts = parts!(delete, delete.condition_expression.as_ref(), None);
                self.mutation(cx, parts, |_| Deed::Delete(delete.key.clone()))
            }
            (None, None, None, Some(update)) => {
                check_fault(&update.key)?;
                let condition = update.condition_expression.as_ref();
                let parts = parts!(update, condition, Some(&update.update_expression));
                self.mutation(cx, parts, |parsed| {
                    Deed::Update(update.key.clone(), parsed.unwrap_or_default())
                })
            }
            (Some(check), None, None, None) => {
                check_fault(&check.key)?;
                let parts = parts!(check, Some(&check.condition_expression), None);
                self.mutation(cx, parts, |_| Deed::Check(check.key.clone()))
            }
            _ => Err(invalid("TransactItems can only contain one of Check, Put, Update or Delete")),
        }
    }

    fn mutation(
        &self,
        cx: &Cx,
        parts: Parts<'_>,
        deed: impl FnOnce(Option<expression::Update>) -> Deed,
    ) -> Result<Mutation, Error> {
        let Parts { condition, update, .. } = parts;
        let table = TableName::parse(cx, parts.table)?;
        let mut params = Params::new(
            &self.parsed,
            parts.names,
            parts.values,
            &[("UpdateExpression", update.is_some()), ("ConditionExpression", condition.is_some())],
            &[],
        )?;
        let update = params.update(update)?;
        let condition = params.condition("ConditionExpression", condition)?;
        params.finish()?;
        let show_old = shows_old(parts.on_failure);
        Ok(Mutation { table, deed: deed(update), condition, show_old, wants_old: true })
    }
}

/// Notes a client token; whether the same request was done under it already.
fn remember(tx: &mut Tx, cx: &Cx, token: &str, mutations: &[Mutation]) -> Result<bool, Error> {
    let mut text = String::new();
    for mutation in mutations {
        let mut item = Writer::default();
        mutation.subject().write_json(&mut item);
        text.push_str(&format!("{:?} {:?} ", mutation.table, mutation.condition));
        match &mutation.deed {
            Deed::Put(_) => text.push_str("put "),
            Deed::Insert(_) => text.push_str("insert "),
            Deed::Delete(_) => text.push_str("delete "),
            Deed::Check(_) => text.push_str("check "),
            Deed::Update(_, update) => text.push_str(&format!("{update:?} ")),
        }
        text.push_str(&item.finish());
    }
    let scope = Scope::AccountRegion(cx.account, cx.region.clone());
    let digest = digest(&text);
    if let Some(row) = tx.get(&TOKENS, &scope, token)?
        && row.until > tx.now()
    {
        if row.digest == digest {
            return Ok(true);
        }
        return Err(Error::new(
            &e::IDEMPOTENT_PARAMETER_MISMATCH_EXCEPTION,
            "Request parameters are different from the previous request with the same idempotency token",
        ));
    }
    let row = TokenRow { digest, until: tx.now().plus_millis(TOKEN_MS) };
    tx.put(&TOKENS, &scope, token, &row)?;
    crate::jobs::forget_token(tx, &scope, token, row.until)?;
    Ok(false)
}

/// What a repeated request would have touched: it reads instead.
fn read_again(
    tx: &Tx,
    mutations: &[Mutation],
    tables: &[Arc<Table>],
) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = Vec::new();
    for (mutation, table) in mutations.iter().zip(tables) {
        mutation.check(table)?;
        let row = read_item(tx, table, &key_of(table, mutation.subject().map()))?;
        let size = row.as_ref().map_or(0, |row| row.size_bytes as usize);
        let units = WriteUnits { table: read_units(size, true), ..WriteUnits::default() };
        outcomes.push(Outcome { old: None, new: None, units });
    }
    Ok(outcomes)
}

fn run_all(
    tx: &mut Tx,
    cx: &Cx,
    mutations: &[Mutation],
    tables: &[Arc<Table>],
) -> Result<Vec<Outcome>, Error> {
    let mut keys: BTreeSet<RawKey> = BTreeSet::new();
    let (mut outcomes, mut reasons) = (Vec::new(), Vec::new());
    let mut failed = false;
    // Keys first: two operations on one item are refused whatever else is wrong.
    for (mutation, table) in mutations.iter().zip(tables) {
        let key = mutation.subject().map();
        let whole = table.keys().all(|name| key.get(name).is_some());
        if whole && !keys.insert(key_of(table, key)) {
            return Err(invalid(SAME_ITEM));
        }
    }
    check_members(mutations, tables)?;
    for (mutation, table) in mutations.iter().zip(tables) {
        match mutation.run(tx, cx, table) {
            Ok(outcome) => {
                outcomes.push(outcome);
                reasons.push(none());
            }
            Err(Failure::Condition(item)) => {
                failed = true;
                let text = "The conditional request failed";
                reasons.push(reason("ConditionalCheckFailed", Some(text.to_owned()), item));
            }
            Err(Failure::Duplicate(item)) => {
                failed = true;
                reasons.push(reason("DuplicateItem", Some(DUPLICATE.to_owned()), item));
            }
            // What members change beside their items (entries, images, the past) is bounded as well.
            Err(Failure::Error(_)) if is_too_much(tx) => return Err(invalid(TOO_LARGE)),
            Err(Failure::Error(error)) => {
                let Some(code) = cancellation_code(&error) else { return Err(error) };
                failed = true;
                reasons.push(reason(code, Some(error.message().to_owned()), None));
            }
        }
    }
    if failed {
        return Err(canceled(reasons));
    }
    Ok(outcomes)
}

/// What an error that is a member's own is called among the reasons.
fn cancellation_code(error: &Error) -> Option<&'static str> {
    match error.code() {
        "ValidationException" => Some("ValidationError"),
        "ItemCollectionSizeLimitExceededException" => Some("ItemCollectionSizeLimitExceeded"),
        _ => throttle::cancellation_code(error),
    }
}

/// What can be seen without the items: the whole is not too large, and the first member that does not fit
/// its table is told alone, before any condition is looked at.
fn check_members(mutations: &[Mutation], tables: &[Arc<Table>]) -> Result<(), Error> {
    let size: usize = mutations.iter().map(Mutation::payload_bytes).sum();
    if size > TRANSACTION_BYTES_MAX {
        return Err(invalid("Transaction payload size cannot exceed 4194304 bytes"));
    }
    for (at, (mutation, table)) in mutations.iter().zip(tables).enumerate() {
        let Err(error) = mutation.check(table) else { continue };
        if error.code() != "ValidationException" {
            return Err(error);
        }
        let mut reasons: Vec<_> = mutations.iter().map(|_| none()).collect();
        reasons[at] = reason("ValidationError", Some(error.message().to_owned()), None);
        return Err(canceled(reasons));
    }
    Ok(())
}
