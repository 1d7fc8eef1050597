//! `CAST`, and times out of text.

use crate::ast::Type;
use crate::decimal::Decimal;
use crate::time::Time;
use crate::value::Value;
use crate::{Result, SelectError};

fn failed() -> SelectError {
    let text =
        "Attempt to convert from one data type to another using CAST failed in the SQL expression.";
    SelectError::new("CastFailed", text)
}

/// What is unknown stays so.
pub(crate) fn cast(value: &Value, to: Type) -> Result<Value> {
    if value.is_unknown() {
        return Ok(value.clone());
    }
    let made = match to {
        Type::Bool => to_bool(value).map(Value::Bool),
        Type::Int => to_int(value).map(Value::Int),
        Type::Decimal => match value {
            Value::Int(n) => Some(Value::Decimal(Decimal::from_int(*n))),
            Value::Decimal(n) => Some(Value::Decimal(*n)),
            Value::Float(n) => Decimal::from_float(*n).map(Value::Decimal),
            Value::Bool(b) => Some(Value::Decimal(Decimal::from_int(i64::from(*b)))),
            Value::Text(text) | Value::Field(text) => Decimal::parse(text).map(Value::Decimal),
            _ => None,
        },
        Type::Float => match value {
            Value::Bool(b) => Some(f64::from(u8::from(*b))),
            // Not by Rust's own rules, which know words for what is no number.
            Value::Text(text) | Value::Field(text) => Decimal::parse(text).map(Decimal::to_float),
            other => other.to_float(),
        }
        .filter(|n| n.is_finite())
        .map(Value::Float),
        Type::Text => value.shown().map(|text| Value::Text(text.into_owned())),
        Type::Timestamp => match value {
            Value::Time(time) => Some(Value::Time(*time)),
            Value::Text(text) | Value::Field(text) => Time::parse(text).map(Value::Time),
            _ => None,
        },
    };
    made.ok_or_else(failed)
}

fn to_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Int(n) => Some(*n != 0),
        Value::Decimal(n) => Some(!n.is_zero()),
        Value::Float(n) => Some(*n != 0.0),
        Value::Text(text) | Value::Field(text) => match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn to_int(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Int(n) => Some(*n),
        Value::Decimal(n) => n.to_int(),
        Value::Float(n) => Decimal::from_float(*n)?.to_int(),
        Value::Text(text) | Value::Field(text) => text.parse().ok(),
        _ => None,
    }
}

/// `TO_TIMESTAMP` without a pattern.
pub(crate) fn to_timestamp(text: &str) -> Result<Time> {
    Time::parse(text).ok_or_else(unparsed_time)
}

pub(crate) fn unparsed_time() -> SelectError {
    SelectError::new("ValueParseFailure", "Time stamp parse failure in the SQL expression.")
}
