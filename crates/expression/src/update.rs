//! Updates of an item: every operand is worked out on the item as it was, then all is changed.

use crate::ast::{Action, Function, Operand, Path, Projection, SetValue, Step, Update};
use crate::evaluate::look;
use bytes::Bytes;
use item::{
    ITEM_BYTES_MAX, Kind, MAP_DEPTH_MAX, Map, Node, TOO_DEEP, Value, list, number, number_value,
    set,
};
use std::collections::{BTreeMap, BTreeSet};

type Result<T> = std::result::Result<T, String>;

const NO_PLACE: &str = "The document path provided in the update expression is invalid for update";
const WRONG_TYPE: &str = "An operand in the update expression has an incorrect data type";
const MISSING: &str =
    "The provided expression refers to an attribute that does not exist in the item";

/// What an update that makes too much of an item is told.
pub const TOO_LARGE: &str = "Item size to update has exceeded the maximum allowed size";
/// No value that an item can have is encoded in more.
const MADE_BYTES_MAX: usize = 4 * ITEM_BYTES_MAX;

/// An item after an update.
#[derive(Clone, Debug)]
pub struct Updated {
    pub item: Bytes,
}

/// Refuses an update that writes to one of these attributes.
pub fn check_update<'k>(
    update: &Update,
    keys: impl IntoIterator<Item = &'k str>,
) -> std::result::Result<(), String> {
    for key in keys {
        if update.actions.iter().any(|action| action.path().head() == key) {
            return Err(format!(
                "One or more parameter values were invalid: Cannot update attribute {key}. This attribute is part of the key"
            ));
        }
    }
    Ok(())
}

/// What is done at a place once all operands are known.
enum Change {
    Put(Bytes),
    Remove,
    Nothing,
}

impl Update {
    /// The item as it shall be.
    pub fn apply(&self, item: &Bytes) -> Result<Updated> {
        let before = Map::of(item);
        let mut changes = Vec::with_capacity(self.actions.len());
        let mut put_bytes = 0;
        for action in &self.actions {
            let change = change(before, action)?;
            if let Change::Put(value) = &change {
                let value = view(value)?;
                // All that is put stays in the item: what is too large is refused before it is put together.
                put_bytes += value.size();
                if put_bytes > ITEM_BYTES_MAX {
                    return Err(TOO_LARGE.to_owned());
                }
                if action.path().0.len() - 1 + value.levels() >= MAP_DEPTH_MAX {
                    return Err(TOO_DEEP.to_owned());
                }
            }
            changes.push((action.path(), change));
        }
        // Removals last and from the end of lists, so that indexes mean what they meant.
        changes.sort_by(|(a, x), (b, y)| match (x, y) {
            (Change::Remove, Change::Remove) => b.cmp(a),
            (Change::Remove, _) => std::cmp::Ordering::Greater,
            (_, Change::Remove) => std::cmp::Ordering::Less,
            _ => a.cmp(b),
        });
        let mut root = Node::item(item);
        for (path, change) in changes {
            make(&mut root, path, change)?;
        }
        Ok(Updated { item: root.to_item() })
    }

    /// The places that it writes to, for answers that show only those.
    pub fn touched(&self) -> Projection {
        Projection { paths: self.actions.iter().map(|action| action.path().clone()).collect() }
    }
}

fn change(item: Map<'_>, action: &Action) -> Result<Change> {
    match action {
        Action::Remove(_) => Ok(Change::Remove),
        Action::Set(_, value) => Ok(Change::Put(match value {
            SetValue::Operand(operand) => evaluate(item, operand)?,
            SetValue::Plus(a, b) => sum(item, a, b, number::add)?,
            SetValue::Minus(a, b) => sum(item, a, b, number::subtract)?,
        })),
        Action::Add(path, operand) => {
            let operand = evaluate(item, operand)?;
            add(look(item, path), view(&operand)?).map(Change::Put)
        }
        Action::Delete(path, operand) => {
            let operand = evaluate(item, operand)?;
            let Some(old) = look(item, path) else { return Ok(Change::Nothing) };
            delete(old, view(&operand)?)
        }
    }
}

fn view(bytes: &Bytes) -> Result<Value<'_>> {
    Value::of(bytes).ok_or_else(|| WRONG_TYPE.to_owned())
}

fn evaluate(item: Map<'_>, operand: &Operand) -> Result<Bytes> {
    match operand {
        Operand::Value(bytes) => Ok(bytes.clone()),
        Operand::Variable(_) => Err(MISSING.to_owned()),
        Operand::Path(path) => match look(item, path) {
            Some(value) => Ok(Bytes::copy_from_slice(value.bytes())),
            None => Err(MISSING.to_owned()),
        },
        Operand::Call(call) => match (call.function, call.operands.as_slice()) {
            (Function::IfNotExists, [Operand::Path(path), other]) => match look(item, path) {
                Some(value) => Ok(Bytes::copy_from_slice(value.bytes())),
                None => evaluate(item, other),
            },
            (Function::ListAppend, [a, b]) => {
                let (a, b) = (evaluate(item, a)?, evaluate(item, b)?);
                let (a, b) = (view(&a)?, view(&b)?);
                if a.kind() != Kind::L || b.kind() != Kind::L {
                    return Err(WRONG_TYPE.to_owned());
                }
                if a.bytes().len() + b.bytes().len() > MADE_BYTES_MAX {
                    return Err(TOO_LARGE.to_owned());
                }
                Ok(list(a.items().chain(b.items()).map(Value::bytes)).into())
            }
            _ => Err(WRONG_TYPE.to_owned()),
        },
    }
}

type Arithmetic = fn(&str, &str) -> std::result::Result<String, number::NumberError>;

fn sum(item: Map<'_>, a: &Operand, b: &Operand, work: Arithmetic) -> Result<Bytes> {
    let (a, b) = (evaluate(item, a)?, evaluate(item, b)?);
    let (a, b) = (view(&a)?, view(&b)?);
    if a.kind() != Kind::N || b.kind() != Kind::N {
        return Err(WRONG_TYPE.to_owned());
    }
    numbers(a, b, work)
}

fn numbers(a: Value<'_>, b: Value<'_>, work: Arithmetic) -> Result<Bytes> {
    // A sum that has too many digits is told as one that is too large.
    let text = work(a.text(), b.text()).map_err(|error| match error {
        number::NumberError::TooPrecise => number::NumberError::Overflow.to_string(),
        other => other.to_string(),
    })?;
    Ok(number_value(&text).map_err(|error| error.to_string())?.into())
}

/// A number more, or the members of both sets.
fn add(old: Option<Value<'_>>, more: Value<'_>) -> Result<Bytes> {
    let Some(old) = old else { return Ok(Bytes::copy_from_slice(more.bytes())) };
    if old.kind() != more.kind() {
        return Err(WRONG_TYPE.to_owned());
    }
    match old.kind() {
        Kind::N => numbers(old, more, number::add),
        kind if kind.is_set() => Ok(set(kind, old.members().chain(more.members())).into()),
        // Only the parameters that are older than expressions ask for this.
        Kind::L => Ok(list(old.items().chain(more.items()).map(Value::bytes)).into()),
        _ => Err(WRONG_TYPE.to_owned()),
    }
}

/// The members that are left; a set never becomes empty.
fn delete(old: Value<'_>, less: Value<'_>) -> Result<Change> {
    if old.kind() != less.kind() || !old.kind().is_set() {
        return Err(WRONG_TYPE.to_owned());
    }
    let gone: BTreeSet<&[u8]> = less.members().collect();
    let mut left = old.members().filter(|member| !gone.contains(member)).peekable();
    if left.peek().is_none() {
        return Ok(Change::Remove);
    }
    Ok(Change::Put(set(old.kind(), left).into()))
}

/// Goes to the place and changes it.
fn make(root: &mut Node, path: &Path, change: Change) -> Result<()> {
    let no_place = || NO_PLACE.to_owned();
    let (last, parents) = path.0.split_last().ok_or_else(no_place)?;
    let mut node = root;
    for step in parents {
        node.enter();
        let next = match (step, node) {
            (Step::Name(name), Node::Map(entries)) => entries.get_mut(name),
            (Step::Index(index), Node::List(items)) => items.get_mut(*index as usize),
            _ => None,
        };
        node = next.ok_or_else(no_place)?;
    }
    node.enter();
    match (last, node) {
        (Step::Name(name), Node::Map(entries)) => change_entry(entries, name, change),
        (Step::Index(index), Node::List(items)) => change_index(items, *index as usize, change),
        _ => return Err(no_place()),
    }
    Ok(())
}

fn change_entry(entries: &mut BTreeMap<String, Node>, name: &str, change: Change) {
    match change {
        Change::Put(value) => {
            entries.insert(name.to_owned(), Node::Whole(value));
        }
        Change::Remove => {
            entries.remove(name);
        }
        Change::Nothing => {}
    }
}

/// What is put beyond the end of a list goes to its end.
fn change_index(items: &mut Vec<Node>, index: usize, change: Change) {
    match change {
        Change::Put(value) if index < items.len() => items[index] = Node::Whole(value),
        Change::Put(value) => items.push(Node::Whole(value)),
        Change::Remove if index < items.len() => {
            items.remove(index);
        }
        Change::Remove | Change::Nothing => {}
    }
}
