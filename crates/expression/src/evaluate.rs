//! Conditions on an item.

use crate::ast::{Call, Comparator, Condition, Function, Operand, Path, Step};
use bytes::Bytes;
use item::{Kind, Map, Value, compare, number_value};
use memchr::memmem;
use std::cmp::Ordering;

/// What a path leads to.
pub(crate) fn look<'i>(item: Map<'i>, path: &Path) -> Option<Value<'i>> {
    let (first, rest) = path.0.split_first()?;
    let Step::Name(name) = first else { return None };
    let mut value = item.get(name)?;
    for step in rest {
        value = match step {
            Step::Name(name) => value.map().get(name)?,
            Step::Index(index) => value.items().nth(*index as usize)?,
            Step::Alias(_) => return None,
        };
    }
    Some(value)
}

/// A value that is looked at in the item, or was worked out.
enum Found<'a> {
    There(Value<'a>),
    Made(Bytes),
}

impl Found<'_> {
    fn value(&self) -> Option<Value<'_>> {
        match self {
            Found::There(value) => Some(*value),
            Found::Made(bytes) => Value::of(bytes),
        }
    }
}

fn find<'a>(item: Map<'a>, operand: &'a Operand) -> Option<Found<'a>> {
    match operand {
        Operand::Path(path) => look(item, path).map(Found::There),
        Operand::Value(bytes) => Value::of(bytes).map(Found::There),
        Operand::Variable(_) => None,
        Operand::Call(call) => {
            if call.function != Function::Size {
                return None;
            }
            let found = find(item, call.operands.first()?)?;
            let size = size_of(found.value()?)?;
            Some(Found::Made(number_value(&size.to_string()).ok()?.into()))
        }
    }
}

/// What `size` gives: the length of text, members, items; nothing for other kinds.
fn size_of(value: Value<'_>) -> Option<usize> {
    Some(match value.kind() {
        Kind::S => value.text().encode_utf16().count(),
        Kind::B => value.content().len(),
        Kind::SS | Kind::NS | Kind::BS => value.members().count(),
        Kind::L => value.items().count(),
        Kind::M => value.map().len(),
        Kind::N | Kind::Null | Kind::Bool => return None,
    })
}

fn is_so(comparator: Comparator, a: Value<'_>, b: Value<'_>) -> bool {
    let order = || compare(a, b);
    match comparator {
        Comparator::Eq => a == b,
        Comparator::Ne => a != b,
        Comparator::Lt => order() == Some(Ordering::Less),
        Comparator::Le => order().is_some_and(Ordering::is_le),
        Comparator::Gt => order() == Some(Ordering::Greater),
        Comparator::Ge => order().is_some_and(Ordering::is_ge),
    }
}

impl Condition {
    /// Whether the item satisfies it; an item that is not there is an empty one.
    pub fn holds(&self, item: Map<'_>) -> bool {
        match self {
            Condition::And(all) => all.iter().all(|inner| inner.holds(item)),
            Condition::Or(all) => all.iter().any(|inner| inner.holds(item)),
            Condition::Not(inner) => !inner.holds(item),
            Condition::Compare(comparator, a, b) => {
                let (a, b) = (find(item, a), find(item, b));
                let values =
                    a.as_ref().and_then(Found::value).zip(b.as_ref().and_then(Found::value));
                match values {
                    Some((a, b)) => is_so(*comparator, a, b),
                    // Something that is not there differs from all that is.
                    None => *comparator == Comparator::Ne,
                }
            }
            Condition::Between(a, low, high) => between(item, a, low, high).unwrap_or(false),
            Condition::In(a, all) => {
                let Some(a) = find(item, a) else { return false };
                all.iter().filter_map(|other| find(item, other)).any(|b| a.value() == b.value())
            }
            Condition::Call(call) => call_holds(item, call).unwrap_or(false),
        }
    }
}

fn between(item: Map<'_>, a: &Operand, low: &Operand, high: &Operand) -> Option<bool> {
    let (a, low, high) = (find(item, a)?, find(item, low)?, find(item, high)?);
    let above = compare(a.value()?, low.value()?)?.is_ge();
    Some(above && compare(a.value()?, high.value()?)?.is_le())
}

fn call_holds(item: Map<'_>, call: &Call) -> Option<bool> {
    let first = call.operands.first()?;
    match call.function {
        Function::AttributeExists => return Some(find(item, first).is_some()),
        Function::AttributeNotExists => return Some(find(item, first).is_none()),
        _ => {}
    }
    let (a, b) = (find(item, first)?, find(item, call.operands.get(1)?)?);
    let (a, b) = (a.value()?, b.value()?);
    Some(match call.function {
        Function::AttributeType => a.kind().name() == b.text(),
        Function::BeginsWith => {
            a.kind() == b.kind()
                && matches!(a.kind(), Kind::S | Kind::B)
                && a.content().starts_with(b.content())
        }
        Function::Contains => contains(a, b),
        _ => false,
    })
}

/// Text within text, a member of a set, an item of a list.
pub(crate) fn contains(a: Value<'_>, b: Value<'_>) -> bool {
    let member = |kind| b.kind() == kind && a.members().any(|member| member == b.content());
    match a.kind() {
        Kind::S | Kind::B => {
            // In time that grows with the sum of both, whatever they are.
            a.kind() == b.kind() && memmem::find(a.content(), b.content()).is_some()
        }
        Kind::SS => member(Kind::S),
        Kind::NS => member(Kind::N),
        Kind::BS => member(Kind::B),
        Kind::L => a.items().any(|item| item == b),
        _ => false,
    }
}
