//! Conditions on keys: one equality for each part of the hash key, at most one test for the rest.

use crate::ast::{Comparator, Condition, Function, Operand, Path};
use bytes::Bytes;

/// What must hold of one attribute of the key.
#[derive(Clone, PartialEq, Debug)]
pub struct KeyCondition {
    pub name: String,
    pub test: KeyTest,
}

/// The values are encoded.
#[derive(Clone, PartialEq, Debug)]
pub enum KeyTest {
    Compare(Comparator, Bytes),
    Between(Bytes, Bytes),
    BeginsWith(Bytes),
}

/// Takes a key condition apart.
pub fn key_conditions(condition: &Condition) -> Result<Vec<KeyCondition>, String> {
    let mut found = Vec::new();
    collect(condition, &mut found)?;
    Ok(found)
}

fn collect(condition: &Condition, found: &mut Vec<KeyCondition>) -> Result<(), String> {
    let operator =
        |name: &str| Err(format!("Invalid operator used in KeyConditionExpression: {name}"));
    let one = match condition {
        Condition::And(all) => return all.iter().try_for_each(|inner| collect(inner, found)),
        Condition::Or(_) => return operator("OR"),
        Condition::Not(_) => return operator("NOT"),
        Condition::In(..) => return operator("IN"),
        Condition::Compare(Comparator::Ne, ..) => return operator("<>"),
        Condition::Compare(comparator, a, b) => compare(*comparator, a, b)?,
        Condition::Between(a, low, high) => {
            let name = first("BETWEEN", a)?;
            KeyCondition { name, test: KeyTest::Between(value(low)?, value(high)?) }
        }
        Condition::Call(call) => match (call.function, call.operands.as_slice()) {
            (Function::BeginsWith, [a, b]) => KeyCondition {
                name: first("begins_with", a)?,
                test: KeyTest::BeginsWith(value(b)?),
            },
            (function, _) => return operator(function.name()),
        },
    };
    if found.iter().any(|other| other.name == one.name) {
        return Err("KeyConditionExpressions must only contain one condition per key".into());
    }
    found.push(one);
    Ok(())
}

fn compare(comparator: Comparator, a: &Operand, b: &Operand) -> Result<KeyCondition, String> {
    let (path, other, comparator) = match (a, b) {
        (Operand::Path(path), other) => (path, other, comparator),
        (other, Operand::Path(path)) => (path, other, turned(comparator)),
        (Operand::Call(_), _) | (_, Operand::Call(_)) => return Err(NESTED.into()),
        _ => {
            return Err(
                "Invalid condition in KeyConditionExpression: No key attribute specified".into()
            );
        }
    };
    Ok(KeyCondition { name: name(path)?, test: KeyTest::Compare(comparator, value(other)?) })
}

const NESTED: &str = "KeyConditionExpressions cannot contain nested operations";

fn turned(comparator: Comparator) -> Comparator {
    match comparator {
        Comparator::Lt => Comparator::Gt,
        Comparator::Le => Comparator::Ge,
        Comparator::Gt => Comparator::Lt,
        Comparator::Ge => Comparator::Le,
        same => same,
    }
}

fn name(path: &Path) -> Result<String, String> {
    if path.is_nested() {
        return Err("KeyConditionExpressions cannot have conditions on nested attributes".into());
    }
    Ok(path.head().to_owned())
}

fn first(operator: &str, operand: &Operand) -> Result<String, String> {
    match operand {
        Operand::Path(path) => name(path),
        Operand::Call(_) => Err(NESTED.into()),
        _ => Err(format!(
            "Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its first operand"
        )),
    }
}

fn value(operand: &Operand) -> Result<Bytes, String> {
    match operand {
        Operand::Value(bytes) => Ok(bytes.clone()),
        Operand::Call(_) => Err(NESTED.into()),
        Operand::Path(_) | Operand::Variable(_) => Err(
            "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"
                .into(),
        ),
    }
}
