//! What a condition says of keys, and what a select gives of an item.

use super::Select;
use crate::ast::{Comparator, Condition, Operand, Path, Step};
use crate::evaluate::look;
use bytes::Bytes;
use item::{Builder, Map};

/// Conditions that must all hold: those that AND joins, at any depth.
pub fn conjuncts(condition: Option<&Condition>) -> Vec<&Condition> {
    let mut all = Vec::new();
    let mut left: Vec<&Condition> = condition.into_iter().collect();
    while let Some(next) = left.pop() {
        match next {
            Condition::And(inner) => left.extend(inner.iter().rev()),
            other => all.push(other),
        }
    }
    all
}

fn attribute(path: &Path) -> Option<&str> {
    match path.0.as_slice() {
        [Step::Name(name)] => Some(name),
        _ => None,
    }
}

/// The attribute that must equal a value, with the value.
pub fn equality(condition: &Condition) -> Option<(&str, &Bytes)> {
    match condition {
        Condition::Compare(Comparator::Eq, Operand::Path(path), Operand::Value(value))
        | Condition::Compare(Comparator::Eq, Operand::Value(value), Operand::Path(path)) => {
            Some((attribute(path)?, value))
        }
        _ => None,
    }
}

/// The values that an attribute can have wherever the condition holds, each once; `None` if it can have
/// others.
pub fn pinned(condition: &Condition, name: &str) -> Option<Vec<Bytes>> {
    match condition {
        Condition::And(all) => all.iter().filter_map(|one| pinned(one, name)).min_by_key(Vec::len),
        Condition::Or(all) => {
            let mut values: Vec<Bytes> = Vec::new();
            for one in all {
                for value in pinned(one, name)? {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
            Some(values)
        }
        Condition::In(Operand::Path(path), operands) if attribute(path) == Some(name) => {
            let mut values: Vec<Bytes> = Vec::new();
            for operand in operands {
                let Operand::Value(value) = operand else { return None };
                if !values.contains(value) {
                    values.push(value.clone());
                }
            }
            Some(values)
        }
        other => {
            let (found, value) = equality(other)?;
            (found == name).then(|| vec![value.clone()])
        }
    }
}

impl Select {
    /// Whether whole items are asked for.
    pub fn is_whole(&self) -> bool {
        self.columns.is_empty()
    }

    /// The columns of an item that are there.
    pub fn row(&self, item: Map<'_>) -> Bytes {
        let mut row = Builder::default();
        for column in &self.columns {
            if let Some(value) = look(item, &column.path) {
                row.push(&column.name, value);
            }
        }
        row.finish()
    }
}
