//! INSERT, UPDATE and DELETE as mutations of one item.

use super::{Prepared, Written};
use crate::error::invalid;
use crate::mutation::{Deed, Failure, Mutation, check_new};
use crate::table::Table;
use api::{Cx, Error, Tx};
use bytes::Bytes;
use expression::partiql::{Change, Insert, Returning, Select, Statement, conjuncts, equality};
use expression::{Call, Condition, Function, Operand, Path};
use item::{Builder, Item, Map, Value};

const INCOMPLETE: &str = "Where clause does not contain a mandatory equality on all key attributes";

fn there(table: &Table, function: Function) -> Condition {
    let operands = vec![Operand::Path(Path::of(&table.hash))];
    Condition::Call(Call { function, operands })
}

/// The key that a condition pins, and what else it asks for.
fn key_and_rest(
    table: &Table,
    condition: Option<&Condition>,
) -> Result<(Item, Vec<Condition>), Error> {
    let (mut parts, mut rest): (Vec<(&str, &Bytes)>, _) = (Vec::new(), Vec::new());
    for one in conjuncts(condition) {
        match equality(one).filter(|(name, _)| table.keys().any(|key| key == *name)) {
            Some((name, _)) if parts.iter().any(|(other, _)| *other == name) => {
                return Err(invalid(format!(
                    "Multiple conditions on same key {name}. Only single item Update/Insert/Delete are supported"
                )));
            }
            Some(part) => parts.push(part),
            None => rest.push(one.clone()),
        }
    }
    let mut key = Builder::default();
    for name in table.keys() {
        let part = parts.iter().find(|(other, _)| *other == name);
        let (_, value) = part.ok_or_else(|| invalid(INCOMPLETE))?;
        let value = Value::of(value).ok_or_else(|| invalid(INCOMPLETE))?;
        if value.kind() != table.kind(name) {
            return Err(invalid(format!(
                "Key attribute's data type should match its data type in table's schema: Key {name}"
            )));
        }
        key.push(name, value);
    }
    Ok((Item::from_bytes(key.finish()), rest))
}

fn insert(table: &Table, insert: &Insert) -> Result<Deed, Error> {
    let item = Map::of(&insert.item);
    for name in table.keys() {
        let Some(value) = item.get(name) else {
            return Err(invalid(format!(
                "Key attribute should be present in the item: Key {name}"
            )));
        };
        if value.kind() != table.kind(name) {
            return Err(invalid(format!(
                "Key attribute's data type should match its data type in table's schema: Key {name}"
            )));
        }
    }
    let item = Item::from_bytes(insert.item.clone());
    check_new(&item)?;
    Ok(Deed::Insert(item))
}

/// An update of nothing fails its condition; what is not there need not be deleted.
fn change(table: &Table, change: &Change) -> Result<(Deed, Option<Condition>), Error> {
    let (key, mut rest) = key_and_rest(table, change.condition.as_ref())?;
    let Some(update) = &change.update else {
        let condition = (!rest.is_empty()).then(|| {
            Condition::Or(vec![there(table, Function::AttributeNotExists), Condition::And(rest)])
        });
        return Ok((Deed::Delete(key), condition));
    };
    rest.insert(0, there(table, Function::AttributeExists));
    Ok((Deed::Update(key, update.clone()), Some(Condition::And(rest))))
}

/// EXISTS: one item, and something more that must hold of it.
fn exists(table: &Table, select: &Select) -> Result<(Deed, Option<Condition>), Error> {
    let bad = || invalid("EXISTS() must contain a single item read with additional condition");
    let (key, rest) = key_and_rest(table, select.condition.as_ref()).map_err(|_| bad())?;
    if rest.is_empty() {
        return Err(bad());
    }
    Ok((Deed::Check(key), Some(Condition::And(rest))))
}

/// The change of one item that a statement asks for.
pub(super) fn mutation(table: &Table, prepared: &Prepared<'_>) -> Result<Mutation, Error> {
    if prepared.statement.source().index.is_some() {
        return Err(invalid("This operation is not supported on an index"));
    }
    let (deed, condition) = match &prepared.statement {
        Statement::Insert(new) => (insert(table, new)?, None),
        Statement::Change(one) => change(table, one)?,
        Statement::Exists(select) => exists(table, select)?,
        Statement::Select(_) => return Err(Error::internal("a read among writes")),
    };
    Ok(Mutation {
        table: prepared.table.clone(),
        deed,
        condition,
        show_old: prepared.shows_old,
        wants_old: true,
    })
}

/// Does it, and shows what RETURNING asks for.
pub(super) fn run(
    tx: &mut Tx,
    cx: &Cx,
    table: &Table,
    prepared: &Prepared<'_>,
) -> Result<Written, Error> {
    if matches!(prepared.statement, Statement::Exists(_)) {
        return Err(invalid("EXISTS can only be used in ExecuteTransaction write requests."));
    }
    let mutation = mutation(table, prepared)?;
    let outcome = match mutation.run(tx, cx, table) {
        Err(Failure::Duplicate(_)) if keeps_old(&prepared.statement) => {
            let units = crate::write::WriteUnits { table: 1.0, ..Default::default() };
            return Ok(Written { shown: None, units });
        }
        other => other?,
    };
    let returning = match &prepared.statement {
        Statement::Change(change) => change.returning,
        _ => None,
    };
    let shown = returning.and_then(|Returning { all, new }| {
        let item = match new {
            true => outcome.new.clone(),
            false => outcome.old.as_ref().map(|row| row.item.clone()),
        }?;
        match (&mutation.deed, all) {
            (Deed::Update(_, update), false) => Some(update.touched().apply(Map::of(&item))),
            _ => Some(item),
        }
    });
    let shown = shown.filter(|item| !item.is_empty()).map(Item::from_bytes);
    Ok(Written { shown, units: outcome.units })
}

fn keeps_old(statement: &Statement) -> bool {
    matches!(statement, Statement::Insert(insert) if insert.keeps_old)
}
