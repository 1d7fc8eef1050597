//! The parameters that were there before expressions, put in terms of expressions: `Expected`,
//! `QueryFilter`, `ScanFilter`, `KeyConditions`, `AttributeUpdates`.

use crate::error::{bad_parameter, invalid};
use api::Error;
use expression::{
    Action, Call, Comparator, Condition, Function, KeyCondition, KeyTest, Operand, Path, SetValue,
    Update,
};
use gen_dynamodb::{AttributeValueUpdate, Condition as OldCondition, ExpectedAttributeValue};
use item::{Attribute, Kind, Value, compare};
use std::cmp::Ordering;
use std::collections::BTreeMap;

fn check_fault(attribute: &Attribute) -> Result<(), Error> {
    attribute.fault().map_or(Ok(()), |fault| Err(invalid(fault)))
}

/// How many values an operator takes.
fn count_fits(operator: &str, count: usize) -> bool {
    match operator {
        "NULL" | "NOT_NULL" => count == 0,
        "BETWEEN" => count == 2,
        "IN" => count > 0,
        _ => count == 1,
    }
}

/// The types that an operator takes.
fn kind_fits(operator: &str, kind: Kind) -> bool {
    match operator {
        "EQ" | "NE" => true,
        "BEGINS_WITH" => matches!(kind, Kind::S | Kind::B),
        "CONTAINS" | "NOT_CONTAINS" => {
            matches!(kind, Kind::S | Kind::N | Kind::B | Kind::Bool | Kind::Null)
        }
        _ => matches!(kind, Kind::S | Kind::N | Kind::B),
    }
}

fn check_values(operator: &str, values: &[Attribute]) -> Result<(), Error> {
    values.iter().try_for_each(check_fault)?;
    if !count_fits(operator, values.len()) {
        return Err(bad_parameter(format!(
            "Invalid number of argument(s) for the {operator} ComparisonOperator"
        )));
    }
    let Some(first) = values.first() else { return Ok(()) };
    let kind = first.value().kind();
    if values.iter().any(|value| value.value().kind() != kind) {
        return Err(bad_parameter(
            "AttributeValues inside AttributeValueList must be of same type",
        ));
    }
    if !kind_fits(operator, kind) {
        return Err(bad_parameter(format!(
            "ComparisonOperator {operator} is not valid for {} AttributeValue type",
            kind.name()
        )));
    }
    if operator == "BETWEEN"
        && compare(values[0].value(), values[1].value()) == Some(Ordering::Greater)
    {
        return Err(invalid(
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
        ));
    }
    Ok(())
}

fn operand(value: &Attribute) -> Operand {
    Operand::Value(value.bytes().clone())
}

fn call(function: Function, operands: Vec<Operand>) -> Condition {
    Condition::Call(Call { function, operands })
}

/// One comparison of an attribute, checked.
fn comparison(name: &str, operator: &str, values: &[Attribute]) -> Condition {
    let path = || Operand::Path(Path::of(name));
    let value = |at: usize| operand(&values[at]);
    let exists = || call(Function::AttributeExists, vec![path()]);
    let comparator = |comparator| Condition::Compare(comparator, path(), value(0));
    match operator {
        "EQ" => comparator(Comparator::Eq),
        "NE" => comparator(Comparator::Ne),
        "LT" => comparator(Comparator::Lt),
        "LE" => comparator(Comparator::Le),
        "GT" => comparator(Comparator::Gt),
        "GE" => comparator(Comparator::Ge),
        "NOT_NULL" => exists(),
        "NULL" => Condition::Not(Box::new(exists())),
        "BEGINS_WITH" => call(Function::BeginsWith, vec![path(), value(0)]),
        "CONTAINS" => call(Function::Contains, vec![path(), value(0)]),
        "NOT_CONTAINS" => {
            let contains = call(Function::Contains, vec![path(), value(0)]);
            Condition::And(vec![exists(), Condition::Not(Box::new(contains))])
        }
        "IN" => Condition::In(path(), values.iter().map(operand).collect()),
        _ => Condition::Between(path(), value(0), value(1)),
    }
}

/// All of them, or one of them.
fn joined(all: Vec<Condition>, operator: Option<&String>) -> Option<Condition> {
    match operator.map(String::as_str) {
        _ if all.is_empty() => None,
        Some("OR") => Some(Condition::Or(all)),
        _ => Some(Condition::And(all)),
    }
}

/// `ConditionalOperator` needs something that it joins.
fn check_operator(
    operator: Option<&String>,
    member: &str,
    count: Option<usize>,
) -> Result<(), Error> {
    if operator.is_none() {
        return Ok(());
    }
    match count {
        None => Err(invalid(format!("ConditionalOperator cannot be used without {member}"))),
        Some(0 | 1) => Err(invalid(
            "ConditionalOperator can only be used when Filter or Expected has two or more elements",
        )),
        Some(_) => Ok(()),
    }
}

/// `QueryFilter` or `ScanFilter`.
pub(crate) fn filter(
    member: &str,
    filter: Option<&BTreeMap<String, OldCondition>>,
    operator: Option<&String>,
) -> Result<Option<Condition>, Error> {
    check_operator(operator, member, filter.map(BTreeMap::len))?;
    let mut all = Vec::new();
    for (name, condition) in filter.into_iter().flatten() {
        let values = condition.attribute_value_list.as_deref().unwrap_or_default();
        check_values(&condition.comparison_operator, values)?;
        all.push(comparison(name, &condition.comparison_operator, values));
    }
    Ok(joined(all, operator))
}

/// `Expected`.
pub(crate) fn expected(
    expected: Option<&BTreeMap<String, ExpectedAttributeValue>>,
    operator: Option<&String>,
) -> Result<Option<Condition>, Error> {
    check_operator(operator, "Expected", expected.map(BTreeMap::len))?;
    let mut all = Vec::new();
    for (name, wanted) in expected.into_iter().flatten() {
        all.push(expectation(name, wanted)?);
    }
    Ok(joined(all, operator))
}

fn expectation(name: &str, wanted: &ExpectedAttributeValue) -> Result<Condition, Error> {
    let ExpectedAttributeValue { value, exists, comparison_operator, attribute_value_list } =
        wanted;
    if let Some(value) = value {
        check_fault(value)?;
    }
    if value.is_some() && attribute_value_list.is_some() {
        return Err(bad_parameter(format!(
            "Value and AttributeValueList cannot be used together for Attribute: {name}"
        )));
    }
    let Some(operator) = comparison_operator else {
        if attribute_value_list.is_some() {
            return Err(bad_parameter(format!(
                "AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}"
            )));
        }
        let there = exists.unwrap_or(true);
        return match value {
            Some(value) if there => Ok(comparison(name, "EQ", std::slice::from_ref(value))),
            None if !there => Ok(comparison(name, "NULL", &[])),
            Some(_) => Err(bad_parameter(format!(
                "Value cannot be used when Exists is false for Attribute: {name}"
            ))),
            None => {
                let said = exists.map_or("null".to_owned(), |exists| exists.to_string());
                Err(bad_parameter(format!(
                    "Value must be provided when Exists is {said} for Attribute: {name}"
                )))
            }
        };
    };
    if exists.is_some() {
        return Err(bad_parameter(format!(
            "Exists and ComparisonOperator cannot be used together for Attribute: {name}"
        )));
    }
    let values = match (value, attribute_value_list) {
        (Some(value), _) => std::slice::from_ref(value),
        (None, Some(values)) => values.as_slice(),
        (None, None) if matches!(operator.as_str(), "NULL" | "NOT_NULL") => &[],
        (None, None) => {
            return Err(bad_parameter(format!(
                "Value or AttributeValueList must be used with ComparisonOperator: {operator} for Attribute: {name}"
            )));
        }
    };
    check_values(operator, values)?;
    Ok(comparison(name, operator, values))
}

/// `KeyConditions`.
pub(crate) fn key_conditions(
    conditions: &BTreeMap<String, OldCondition>,
) -> Result<Vec<KeyCondition>, Error> {
    let mut found = Vec::new();
    for (name, condition) in conditions {
        let operator = condition.comparison_operator.as_str();
        let values = condition.attribute_value_list.as_deref().unwrap_or_default();
        check_values(operator, values)?;
        let value = |at: usize| values[at].bytes().clone();
        let compare = |comparator| KeyTest::Compare(comparator, value(0));
        let test = match operator {
            "EQ" => compare(Comparator::Eq),
            "LT" => compare(Comparator::Lt),
            "LE" => compare(Comparator::Le),
            "GT" => compare(Comparator::Gt),
            "GE" => compare(Comparator::Ge),
            "BEGINS_WITH" => KeyTest::BeginsWith(value(0)),
            "BETWEEN" => KeyTest::Between(value(0), value(1)),
            _ => {
                return Err(invalid(
                    "Attempted conditional constraint is not an indexable operation",
                ));
            }
        };
        found.push(KeyCondition { name: name.clone(), test });
    }
    Ok(found)
}

/// As many as a key has parts.
pub(crate) fn check_key_conditions(
    conditions: &[KeyCondition],
    composite: bool,
) -> Result<(), Error> {
    match conditions.len() {
        1 | 2 => Ok(()),
        3.. if composite => Ok(()),
        _ => Err(invalid("Conditions can be of length 1 or 2 only")),
    }
}

/// `AttributeUpdates`.
pub(crate) fn updates(updates: &BTreeMap<String, AttributeValueUpdate>) -> Result<Update, Error> {
    let mut actions = Vec::new();
    for (name, update) in updates {
        let action = update.action.as_deref().unwrap_or("PUT");
        let path = Path::of(name);
        let Some(value) = &update.value else {
            if action != "DELETE" {
                return Err(bad_parameter(
                    "Only DELETE action is allowed when no attribute value is specified",
                ));
            }
            actions.push(Action::Remove(path));
            continue;
        };
        check_fault(value)?;
        let kind = Value::kind(value.value());
        actions.push(match action {
            "PUT" => Action::Set(path, SetValue::Operand(operand(value))),
            "DELETE" if kind.is_set() => Action::Delete(path, operand(value)),
            "DELETE" => {
                return Err(bad_parameter(format!(
                    "DELETE action with value is not supported for the type {}",
                    kind.name()
                )));
            }
            _ if kind.is_set() || matches!(kind, Kind::N | Kind::L) => {
                Action::Add(path, operand(value))
            }
            _ => {
                return Err(bad_parameter(format!(
                    "ADD action is not supported for the type {}",
                    kind.name()
                )));
            }
        });
    }
    Ok(Update { actions })
}
