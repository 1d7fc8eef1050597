//! One conditional change of one item: what PutItem, UpdateItem and DeleteItem are, and what a
//! transaction has many of.

use crate::error::{bad_parameter, invalid};
use crate::keyspace::{check_index_values, check_item, check_key};
use crate::names::TableName;
use crate::params::{check_condition, check_path};
use crate::rows::{ItemRow, RawKey};
use crate::table::Table;
use crate::throttle::{Use, Way, of_entry, take_write};
use crate::write::{
    Change, ITEM_BYTES_MAX, WriteUnits, change_item, is_too_much, key_of, read_item, touches,
    write_units,
};
use api::{Cx, Error, Tx};
use bytes::Bytes;
use expression::{Action, Condition, Update};
use gen_dynamodb::{ConditionalCheckFailedException, errors as e};
use item::{Item, Map, item_size};

#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Put(Item),
    /// A put where nothing was.
    Insert(Item),
    Delete(Item),
    Update(Item, Update),
    /// A condition alone.
    Check(Item),
}

/// A change that was read from a request, and what must hold for it.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    pub table: TableName,
    pub deed: Deed,
    pub condition: Option<Condition>,
    /// Whether the answer to a condition that does not hold shows the item.
    pub show_old: bool,
    /// Whether the item as it was is wanted for more.
    pub wants_old: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub old: Option<ItemRow>,
    pub new: Option<Bytes>,
    pub units: WriteUnits,
}

impl Outcome {
    /// Takes its units of what the table may have.
    pub fn take(&self, tx: &mut Tx, table: &Table, key: &RawKey) {
        let old = self.old.as_ref().map(|row| &row.item);
        let item = self.new.as_ref().or(old).map_or(Map::default(), |item| Map::of(item));
        take_write(tx, table, key, item, &self.units);
    }
}

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// With the item, if it was to be shown.
    Condition(Option<Item>),
    /// There is something where an insert shall put its item.
    Duplicate(Option<Item>),
    Error(Error),
}

const TOO_MUCH: &str = "Item size with all that is kept of it in indexes and streams has exceeded the maximum allowed size";

pub(crate) const DUPLICATE: &str = "Duplicate primary key exists in table";

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Error(error) => error,
            Failure::Duplicate(_) => Error::new(&e::DUPLICATE_ITEM_EXCEPTION, DUPLICATE),
            Failure::Condition(item) => {
                let text = "The conditional request failed";
                let shape = &e::CONDITIONAL_CHECK_FAILED_EXCEPTION;
                let members =
                    ConditionalCheckFailedException { message: Some(text.to_owned()), item };
                Error::new(shape, text).members(members)
            }
        }
    }
}

impl Mutation {
    /// The item or key that the request brings.
    pub fn subject(&self) -> &Item {
        match &self.deed {
            Deed::Put(item)
            | Deed::Insert(item)
            | Deed::Delete(item)
            | Deed::Update(item, _)
            | Deed::Check(item) => item,
        }
    }

    /// What it brings with it, which is what a transaction is measured by: items that are there already
    /// do not count.
    pub fn payload_bytes(&self) -> usize {
        let operands = match &self.deed {
            Deed::Update(_, update) => update.value_bytes(),
            _ => 0,
        };
        item_size(self.subject().map()) + operands
    }

    /// Refuses what does not fit the table, before anything is read.
    pub fn check(&self, table: &Table) -> Result<(), Error> {
        match &self.deed {
            Deed::Put(item) | Deed::Insert(item) => check_item(table, item.map())?,
            Deed::Delete(key) | Deed::Check(key) => check_key(table, key.map())?,
            Deed::Update(key, update) => {
                check_key(table, key.map())?;
                check_update(table, update)?;
            }
        }
        check_condition(table, self.condition.as_ref())
    }

    /// Does it, if its condition holds.
    pub fn run(&self, tx: &mut Tx, cx: &Cx, table: &Table) -> Result<Outcome, Failure> {
        self.check(table)?;
        let key = key_of(table, self.subject().map());
        Use::new(table, None, Way::Write).at(&key.0).admit(tx)?;
        let reads = self.condition.is_some()
            || self.wants_old
            || table.needs_old()
            // The larger of what was and what is counts.
            || table.throttle.is_some()
            || !matches!(self.deed, Deed::Put(_) | Deed::Delete(_));
        let old = if reads { read_item(tx, table, &key)? } else { None };
        let before = old.as_ref().map_or(Map::default(), |row| Map::of(&row.item));
        if let Some(condition) = &self.condition
            && !condition.holds(before)
        {
            take_write(tx, table, &key, before, &one_unit(old.as_ref()));
            let shown = old.filter(|_| self.show_old).map(|row| Item::from_bytes(row.item));
            return Err(Failure::Condition(shown));
        }
        if matches!(self.deed, Deed::Insert(_)) && old.is_some() {
            let shown = old.filter(|_| self.show_old).map(|row| Item::from_bytes(row.item));
            return Err(Failure::Duplicate(shown));
        }
        let new = match &self.deed {
            Deed::Put(item) | Deed::Insert(item) => Some(item.bytes().clone()),
            Deed::Delete(_) => None,
            Deed::Update(key, update) => match updated(table, key, update, old.as_ref())? {
                Some(new) => Some(new),
                None => return Ok(Outcome { old: None, new: None, units: one_unit(None) }),
            },
            Deed::Check(_) => {
                let units = one_unit(old.as_ref());
                return Ok(Outcome { old, new: None, units });
            }
        };
        admit_indexes(tx, table, old.as_ref(), new.as_ref())?;
        let change = Change { key: &key, old: old.as_ref(), new: new.clone(), by_ttl: false };
        let units = change_item(tx, table, &*cx.entropy, change);
        let units =
            units.map_err(|error| if is_too_much(tx) { invalid(TOO_MUCH) } else { error })?;
        let outcome = Outcome { old, new, units };
        outcome.take(tx, table, &key);
        Ok(outcome)
    }
}

/// Whether the global indexes that a change reaches have throughput left: if one has not, nothing is
/// written at all.
fn admit_indexes(
    tx: &Tx,
    table: &Table,
    old: Option<&ItemRow>,
    new: Option<&Bytes>,
) -> Result<(), Error> {
    if table.throttle.is_none() {
        return Ok(());
    }
    let (old, new) = (old.map(|row| Map::of(&row.item)), new.map(|item| Map::of(item)));
    let global = table.indexes.iter().filter(|index| !index.local);
    for index in global.filter(|index| touches(table, index, old, new)) {
        of_entry(table, index, new.or(old).unwrap_or_default()).admit(tx)?;
    }
    Ok(())
}

/// Of an operation that changes nothing.
fn one_unit(old: Option<&ItemRow>) -> WriteUnits {
    let size = old.map_or(0, |row| row.size_bytes as usize);
    WriteUnits { table: write_units(size), ..WriteUnits::default() }
}

fn check_update(table: &Table, update: &Update) -> Result<(), Error> {
    expression::check_update(update, table.keys()).map_err(invalid)?;
    let mut result = Ok(());
    update.each_path(&mut |path| {
        if result.is_ok() {
            result = check_path(table, path);
        }
    });
    result
}

/// The item after an update; `None` where there was none and there is nothing to put into one.
fn updated(
    table: &Table,
    key: &Item,
    update: &Update,
    old: Option<&ItemRow>,
) -> Result<Option<Bytes>, Error> {
    let removes = |action: &Action| matches!(action, Action::Remove(_));
    let takes = |action: &Action| removes(action) || matches!(action, Action::Delete(..));
    if old.is_none() && !update.actions.is_empty() && update.actions.iter().all(takes) {
        // Where nothing is, REMOVE takes any path; others are held against what is there all the same.
        if !update.actions.iter().all(removes) {
            update.apply(key.bytes()).map_err(invalid)?;
        }
        return Ok(None);
    }
    let before = old.map_or(key.bytes(), |row| &row.item);
    let new = update.apply(before).map_err(invalid)?.item;
    if item_size(Map::of(&new)) > ITEM_BYTES_MAX {
        return Err(invalid(expression::TOO_LARGE));
    }
    check_index_values(table, Map::of(&new))?;
    Ok(Some(new))
}

/// The fault of an item or key of a request.
pub(crate) fn check_fault(item: &Item) -> Result<(), Error> {
    item.fault().map_or(Ok(()), |fault| Err(invalid(fault)))
}

/// An item that is to be put.
pub(crate) fn check_new(item: &Item) -> Result<(), Error> {
    check_fault(item)?;
    for (name, _) in item.map().iter() {
        check_name(name)?;
    }
    if item_size(item.map()) > ITEM_BYTES_MAX {
        return Err(invalid("Item size has exceeded the maximum allowed size"));
    }
    Ok(())
}

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(bad_parameter("Empty attribute name"));
    }
    if name.len() > 65_535 {
        return Err(bad_parameter("Attribute name is too large, must be less than 65536 bytes"));
    }
    Ok(())
}
