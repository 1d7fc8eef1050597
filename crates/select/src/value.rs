//! What expressions work on, and how values compare.

use crate::decimal::Decimal;
use crate::time::Time;
use crate::{Result, SelectError};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write;

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// There is nothing of that name.
    Missing,
    Null,
    Bool(bool),
    Int(i64),
    Decimal(Decimal),
    Float(f64),
    Text(String),
    /// A field of CSV: text that stands for a number or a truth value where it is used as one.
    Field(String),
    Time(Time),
    List(Vec<Value>),
    /// Members in the order in which they were written.
    Tuple(Vec<(String, Value)>),
}

/// Numbers of two operands, as one kind.
pub(crate) enum Pair {
    Int(i64, i64),
    Decimal(Decimal, Decimal),
    Float(f64, f64),
}

pub(crate) fn wrong_type() -> SelectError {
    let text = "Incorrect type of arguments in function call in the SQL expression.";
    SelectError::new("IncorrectSqlFunctionArgumentType", text)
}

/// As a whole number if it is one.
pub(crate) fn number(text: &str) -> Option<Value> {
    if !text.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    text.parse().map(Value::Int).ok().or_else(|| Decimal::parse(text).map(Value::Decimal))
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case("false").then_some(false)
    }
}

impl Value {
    pub fn is_unknown(&self) -> bool {
        matches!(self, Value::Missing | Value::Null)
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Field(text) => Some(text),
            _ => None,
        }
    }

    /// A number, or a field that stands for one.
    pub fn as_number(&self) -> Option<Value> {
        match self {
            Value::Int(_) | Value::Decimal(_) | Value::Float(_) => Some(self.clone()),
            Value::Field(text) => number(text),
            _ => None,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Value::Int(_) | Value::Decimal(_) | Value::Float(_))
    }

    /// `None` where it is not known.
    pub fn truth(&self) -> Result<Option<bool>> {
        match self {
            Value::Missing | Value::Null => Ok(None),
            Value::Bool(b) => Ok(Some(*b)),
            Value::Field(text) => boolean(text).map(Some).ok_or_else(wrong_type),
            _ => Err(wrong_type()),
        }
    }

    pub fn of_truth(truth: Option<bool>) -> Value {
        truth.map_or(Value::Null, Value::Bool)
    }

    fn to_decimal(&self) -> Option<Decimal> {
        match self {
            Value::Int(n) => Some(Decimal::from_int(*n)),
            Value::Decimal(n) => Some(*n),
            Value::Float(n) => Decimal::from_float(*n),
            _ => None,
        }
    }

    pub fn to_float(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Decimal(n) => Some(n.to_float()),
            Value::Float(n) => Some(*n),
            _ => None,
        }
    }

    /// How two values stand to each other; `None` where that cannot be said.
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Time(a), Value::Time(b)) => Some(a.compare(b)),
            (Value::Text(a) | Value::Field(a), Value::Text(b) | Value::Field(b)) => Some(a.cmp(b)),
            (Value::Field(a), Value::Bool(b)) => Some(boolean(a)?.cmp(b)),
            (Value::Bool(a), Value::Field(b)) => Some(a.cmp(&boolean(b)?)),
            (Value::Field(a), Value::Time(b)) => Some(Time::parse(a)?.compare(b)),
            (Value::Time(a), Value::Field(b)) => Some(a.compare(&Time::parse(b)?)),
            (Value::Field(a), b) if b.is_number() => number(a)?.compare(b),
            (a, Value::Field(b)) if a.is_number() => a.compare(&number(b)?),
            (a, b) => match pair(a, b)? {
                Pair::Int(a, b) => Some(a.cmp(&b)),
                Pair::Decimal(a, b) => Some(a.compare(b)),
                Pair::Float(a, b) => a.partial_cmp(&b),
            },
        }
    }

    /// Values of kinds that do not compare are not equal.
    pub fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            (Value::Tuple(a), Value::Tuple(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((m, a), (n, b))| m == n && a.equals(b))
            }
            (Value::Null, Value::Null) => true,
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// A scalar as text; `None` for what has parts.
    pub fn shown(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Value::Missing | Value::Null => "".into(),
            Value::Bool(true) => "true".into(),
            Value::Bool(false) => "false".into(),
            Value::Int(n) => n.to_string().into(),
            Value::Decimal(n) => n.to_string().into(),
            Value::Float(n) => n.to_string().into(),
            Value::Text(text) | Value::Field(text) => text.into(),
            Value::Time(time) => time.to_string().into(),
            Value::List(_) | Value::Tuple(_) => return None,
        })
    }

    /// Appends it as JSON. What is missing in a list is null there.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Value::Missing | Value::Null => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(n) => drop(write!(out, "{n}")),
            Value::Decimal(n) => drop(write!(out, "{n}")),
            Value::Float(n) => drop(write!(out, "{n}")),
            Value::Text(text) | Value::Field(text) => write_string(text, out),
            Value::Time(time) => drop(write!(out, "\"{time}\"")),
            Value::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Value::Tuple(members) => {
                out.push('{');
                for (name, value) in members {
                    write_member(name, value, out);
                }
                out.push('}');
            }
        }
    }
}

/// Appends a member to an object that was begun; nothing for what is missing.
pub(crate) fn write_member(name: &str, value: &Value, out: &mut String) {
    if matches!(value, Value::Missing) {
        return;
    }
    if !out.ends_with('{') {
        out.push(',');
    }
    write_string(name, out);
    out.push(':');
    value.write_json(out);
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Two numbers as one kind: what is more general wins.
pub(crate) fn pair(a: &Value, b: &Value) -> Option<Pair> {
    if !a.is_number() || !b.is_number() {
        return None;
    }
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Pair::Int(*a, *b),
        (Value::Float(_), _) | (_, Value::Float(_)) => Pair::Float(a.to_float()?, b.to_float()?),
        _ => Pair::Decimal(a.to_decimal()?, b.to_decimal()?),
    })
}
