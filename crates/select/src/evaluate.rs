//! Expressions, evaluated on a row.
//!
//! What is missing or null makes what is made of it unknown, as in SQL; an unknown condition does not
//! hold. Each evaluation spends from the row's share of work, so that no query keeps a thread for long.

use crate::ast::*;
use crate::cast::{cast, to_timestamp};
use crate::like::like;
use crate::strings::{substring, text_of, trim};
use crate::time::{Part, Time};
use crate::value::{Pair, Value, pair, wrong_type};
use crate::{Result, SelectError, pattern};
use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

/// Steps for one record: some tenths of a second.
const STEPS_MAX: u64 = 20_000_000;

/// Steps for a part of a list or tuple that is compared.
const PART_STEPS: u64 = 4;

/// What may be done for one record yet.
#[derive(Debug)]
pub(crate) struct Work(Cell<u64>);

impl Work {
    pub fn new() -> Work {
        Work(Cell::new(STEPS_MAX))
    }

    pub fn spent(&self) -> u64 {
        STEPS_MAX - self.0.get()
    }

    pub fn spend(&self, steps: u64) -> Result<()> {
        match self.0.get().checked_sub(steps) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => {
                let text = "Failed to parse SQL expression, try reducing complexity. For example, reduce number of operators used.";
                Err(SelectError::new("MaxOperatorsExceeded", text))
            }
        }
    }
}

/// What the paths of a query lead into.
#[derive(Debug)]
pub(crate) enum Row {
    /// Of CSV: fields, each a [`Value::Field`].
    Fields(Vec<Value>),
    Tree(Value),
}

pub(crate) struct Scope<'a> {
    pub row: &'a Row,
    /// What the aggregates gave.
    pub aggregates: &'a [Value],
    pub now: Time,
    pub work: &'a Work,
}

pub(crate) fn cannot() -> SelectError {
    SelectError::new(
        "ExternalEvalException",
        "The query cannot be evaluated. Check the file and try again.",
    )
}

fn overflow() -> SelectError {
    SelectError::new("IntegerOverflow", "Int overflow or underflow in the SQL expression.")
}

/// A member of a tuple, if there is one and not several.
fn member<'v>(value: &'v Value, name: &Name) -> Result<Option<&'v Value>> {
    let Value::Tuple(members) = value else { return Ok(None) };
    let mut found = members.iter().filter(|(own, _)| name.fits(own));
    match (found.next(), found.next()) {
        (Some(_), Some(_)) if !name.quoted => Err(ambiguous()),
        (first, _) => Ok(first.map(|(_, value)| value)),
    }
}

pub(crate) fn ambiguous() -> SelectError {
    let text = "Field name matches to multiple fields in the file. Check the SQL expression and the file, and try again.";
    SelectError::new("AmbiguousFieldName", text)
}

const MISSING: &Value = &Value::Missing;

/// Where steps lead from a value; [`Value::Missing`] where they do not.
fn follow<'v>(mut value: &'v Value, steps: &[Step], work: &Work) -> Result<&'v Value> {
    for step in steps {
        work.spend(match value {
            Value::Tuple(members) => members.len() as u64,
            _ => 1,
        })?;
        value = match (step, value) {
            (Step::Name(name), tuple) => member(tuple, name)?.unwrap_or(MISSING),
            (Step::Index(i), Value::List(items)) => items.get(*i).unwrap_or(MISSING),
            _ => MISSING,
        };
    }
    Ok(value)
}

impl<'a> Scope<'a> {
    pub fn path(&self, path: &Path) -> Result<&'a Value> {
        let tree = match self.row {
            Row::Tree(tree) => tree,
            Row::Fields(fields) => {
                return Ok(match path.root {
                    Root::Field(i) if path.steps.is_empty() => fields.get(i).unwrap_or(MISSING),
                    _ => MISSING,
                });
            }
        };
        let start = match path.root {
            Root::Member => {
                self.work.spend(match tree {
                    Value::Tuple(members) => members.len() as u64,
                    _ => 1,
                })?;
                match member(tree, &path.name)? {
                    Some(value) => value,
                    // The row itself, where nothing in it is named so.
                    None if path.name.text == "_1" => tree,
                    None => MISSING,
                }
            }
            _ => tree,
        };
        follow(start, &path.steps, self.work)
    }

    pub fn evaluate<'e>(&self, expr: &'e Expr) -> Result<Cow<'e, Value>>
    where
        'a: 'e,
    {
        self.work.spend(1)?;
        let owned = match expr {
            Expr::Literal(value) => return Ok(Cow::Borrowed(value)),
            Expr::Path(path) => return self.path(path).map(Cow::Borrowed),
            Expr::Aggregate(i) => return Ok(Cow::Borrowed(&self.aggregates[*i])),
            Expr::And(all) => Value::of_truth(self.all(all, true)?),
            Expr::Or(all) => Value::of_truth(self.all(all, false)?),
            Expr::Not(a) => Value::of_truth(self.evaluate(a)?.truth()?.map(|truth| !truth)),
            Expr::Negate(a) => {
                let a = self.evaluate(a)?;
                self.spend_text(&a)?;
                negate(&a)?
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.evaluate(a)?, self.evaluate(b)?);
                self.binary(*op, &a, &b)?
            }
            Expr::Compare(op, a, b) => {
                let (a, b) = (self.evaluate(a)?, self.evaluate(b)?);
                self.compare(*op, &a, &b)?
            }
            Expr::Like { .. } | Expr::Between { .. } | Expr::In { .. } => self.predicate(expr)?,
            Expr::IsNull { negated, value } => {
                Value::Bool(self.evaluate(value)?.is_unknown() != *negated)
            }
            Expr::IsMissing { negated, value } => {
                Value::Bool(matches!(*self.evaluate(value)?, Value::Missing) != *negated)
            }
            Expr::Case { operand, whens, otherwise } => {
                return self.case(operand.as_deref(), whens, otherwise.as_deref());
            }
            Expr::Cast(a, to) => {
                let a = self.evaluate(a)?;
                self.spend_text(&a)?;
                cast(&a, *to)?
            }
            Expr::Call(Function::Coalesce, arguments) => return self.coalesce(arguments),
            Expr::Call(Function::NullIf, arguments) => {
                let (a, b) = (self.evaluate(&arguments[0])?, self.evaluate(&arguments[1])?);
                self.spend_pair(&a, &b)?;
                return Ok(if a.is_unknown() || a.equals(&b) {
                    Cow::Owned(Value::Null)
                } else {
                    a
                });
            }
            Expr::Call(function, arguments) => {
                let all = arguments.iter().map(|argument| self.evaluate(argument));
                let all = all.collect::<Result<Vec<_>>>()?;
                self.call(*function, &all)?
            }
        };
        Ok(Cow::Owned(owned))
    }

    /// Whether a condition holds.
    pub fn holds(&self, condition: &Expr) -> Result<bool> {
        Ok(self.evaluate(condition)?.truth()? == Some(true))
    }

    /// `AND` where `each` is wanted, `OR` where one is enough.
    fn all(&self, all: &[Expr], each: bool) -> Result<Option<bool>> {
        let mut known = true;
        for expr in all {
            match self.evaluate(expr)?.truth()? {
                Some(truth) if truth != each => return Ok(Some(!each)),
                Some(_) => {}
                None => known = false,
            }
        }
        Ok(known.then_some(each))
    }

    fn compare(&self, op: Comparison, a: &Value, b: &Value) -> Result<Value> {
        if a.is_unknown() || b.is_unknown() {
            return Ok(Value::Null);
        }
        self.spend_pair(a, b)?;
        let truth = match op {
            Comparison::Equal => Some(a.equals(b)),
            Comparison::NotEqual => Some(!a.equals(b)),
            Comparison::Less => a.compare(b).map(Ordering::is_lt),
            Comparison::LessOrEqual => a.compare(b).map(Ordering::is_le),
            Comparison::Greater => a.compare(b).map(Ordering::is_gt),
            Comparison::GreaterOrEqual => a.compare(b).map(Ordering::is_ge),
        };
        Ok(Value::of_truth(truth))
    }

    /// Text is gone through quickly, yet not for nothing.
    pub fn spend_text(&self, value: &Value) -> Result<()> {
        self.work.spend(value.text().map_or(0, |text| text.len() as u64 / 8))
    }

    /// For two values that are compared: of those that have parts, each part may be.
    fn spend_pair(&self, a: &Value, b: &Value) -> Result<()> {
        match (a, b) {
            (Value::List(all), Value::List(others)) if all.len() == others.len() => {
                self.work.spend(all.len() as u64 * PART_STEPS)?;
                all.iter().zip(others).try_for_each(|(a, b)| self.spend_pair(a, b))
            }
            (Value::Tuple(all), Value::Tuple(others)) if all.len() == others.len() => {
                self.work.spend(all.len() as u64 * PART_STEPS)?;
                all.iter().zip(others).try_for_each(|((name, a), (_, b))| {
                    self.work.spend(name.len() as u64 / 8)?;
                    self.spend_pair(a, b)
                })
            }
            _ => {
                self.spend_text(a)?;
                self.spend_text(b)
            }
        }
    }

    /// The first that is known; those after it are not looked at. What is of the row is not copied.
    fn coalesce<'e>(&self, arguments: &'e [Expr]) -> Result<Cow<'e, Value>>
    where
        'a: 'e,
    {
        for argument in arguments {
            let value = self.evaluate(argument)?;
            if !value.is_unknown() {
                return Ok(value);
            }
        }
        Ok(Cow::Owned(Value::Null))
    }

    fn binary(&self, op: Operator, a: &Value, b: &Value) -> Result<Value> {
        if matches!(a, Value::Missing) || matches!(b, Value::Missing) {
            return Ok(Value::Missing);
        }
        if a.is_unknown() || b.is_unknown() {
            return Ok(Value::Null);
        }
        if op == Operator::Concatenate {
            let (a, b) = (text_of(a)?, text_of(b)?);
            // What is made of text that was made so doubles with each operator.
            self.work.spend((a.len() + b.len()) as u64)?;
            return Ok(Value::Text([a, b].concat()));
        }
        self.spend_text(a)?;
        self.spend_text(b)?;
        let (a, b) = (a.as_number().ok_or_else(wrong_type)?, b.as_number().ok_or_else(wrong_type)?);
        match pair(&a, &b).ok_or_else(wrong_type)? {
            Pair::Int(a, b) => {
                let made = match op {
                    Operator::Add => a.checked_add(b),
                    Operator::Subtract => a.checked_sub(b),
                    Operator::Multiply => a.checked_mul(b),
                    Operator::Divide | Operator::Modulo if b == 0 => return Err(cannot()),
                    Operator::Divide => a.checked_div(b),
                    _ => a.checked_rem(b),
                };
                made.map(Value::Int).ok_or_else(overflow)
            }
            Pair::Decimal(a, b) => {
                let made = match op {
                    Operator::Add => a.add(b),
                    Operator::Subtract => a.subtract(b),
                    Operator::Multiply => a.multiply(b),
                    Operator::Divide => a.divide(b),
                    _ => a.modulo(b),
                };
                made.map(Value::Decimal).ok_or_else(cannot)
            }
            Pair::Float(a, b) => {
                let made = match op {
                    Operator::Add => a + b,
                    Operator::Subtract => a - b,
                    Operator::Multiply => a * b,
                    Operator::Divide => a / b,
                    _ => a % b,
                };
                if made.is_finite() { Ok(Value::Float(made)) } else { Err(cannot()) }
            }
        }
    }

    fn predicate(&self, expr: &Expr) -> Result<Value> {
        let (negated, truth) = match expr {
            Expr::Like { negated, value, pattern, escape } => {
                let (value, pattern) = (self.evaluate(value)?, self.evaluate(pattern)?);
                let escape = escape.as_deref().map(|expr| self.evaluate(expr)).transpose()?;
                let escape = escape.as_deref();
                if value.is_unknown()
                    || pattern.is_unknown()
                    || escape.is_some_and(Value::is_unknown)
                {
                    return Ok(Value::Null);
                }
                let text = |value: &'_ Value| value.text().map(str::to_owned);
                let invalid = || {
                    let text = "Invalid argument given to the LIKE clause in the SQL expression.";
                    SelectError::new("LikeInvalidInputs", text)
                };
                let escape = escape.map(|value| text(value).ok_or_else(invalid)).transpose()?;
                let pattern = pattern.text().ok_or_else(invalid)?;
                let value = value.text().ok_or_else(invalid)?;
                (*negated, Some(like(self.work, value, pattern, escape.as_deref())?))
            }
            Expr::Between { negated, value, low, high } => {
                let value = self.evaluate(value)?;
                let low = self.compare(Comparison::LessOrEqual, &*self.evaluate(low)?, &value)?;
                let high = self.compare(Comparison::LessOrEqual, &value, &*self.evaluate(high)?)?;
                let truth = match (low.truth()?, high.truth()?) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                };
                (*negated, truth)
            }
            Expr::In { negated, value, list } => {
                let value = self.evaluate(value)?;
                let mut truth = Some(false);
                for item in list {
                    let item = self.evaluate(item)?;
                    match self.compare(Comparison::Equal, &value, &item)?.truth()? {
                        Some(true) => {
                            truth = Some(true);
                            break;
                        }
                        Some(false) => {}
                        None => truth = None,
                    }
                }
                (*negated, truth)
            }
            _ => return Err(cannot()),
        };
        Ok(Value::of_truth(truth.map(|truth| truth != negated)))
    }

    fn case<'e>(
        &self,
        operand: Option<&'e Expr>,
        whens: &'e [(Expr, Expr)],
        otherwise: Option<&'e Expr>,
    ) -> Result<Cow<'e, Value>>
    where
        'a: 'e,
    {
        let operand = operand.map(|expr| self.evaluate(expr)).transpose()?;
        for (when, then) in whens {
            let when = self.evaluate(when)?;
            let truth = match &operand {
                Some(operand) => self.compare(Comparison::Equal, operand, &when)?.truth()?,
                None => when.truth()?,
            };
            if truth == Some(true) {
                return self.evaluate(then);
            }
        }
        otherwise.map_or(Ok(Cow::Owned(Value::Null)), |expr| self.evaluate(expr))
    }

    fn call(&self, function: Function, all: &[Cow<'_, Value>]) -> Result<Value> {
        // Each character is looked at.
        let texts = all.iter().filter_map(|value| value.text());
        self.work.spend(texts.map(|text| text.len() as u64).sum())?;
        match function {
            Function::UtcNow => return Ok(Value::Time(self.now)),
            _ if all.iter().any(|value| value.is_unknown()) => return Ok(Value::Null),
            _ => {}
        }
        Ok(match function {
            Function::CharLength => Value::Int(text_of(&all[0])?.chars().count() as i64),
            Function::Lower => Value::Text(text_of(&all[0])?.to_lowercase()),
            Function::Upper => Value::Text(text_of(&all[0])?.to_uppercase()),
            Function::Substring => substring(&all[0], &all[1], all.get(2).map(|value| &**value))?,
            Function::Trim(ends) => trim(ends, &all[0], all.get(1).map(|value| &**value))?,
            Function::DateAdd(part) => {
                let Some(Value::Int(quantity)) = all[0].as_number() else {
                    return Err(wrong_type());
                };
                Value::Time(time_of(&all[1])?.add(part, quantity).ok_or_else(cannot)?)
            }
            Function::DateDiff(part) => {
                Value::Int(time_of(&all[0])?.until(&time_of(&all[1])?, part))
            }
            Function::Extract(part) => extract(part, &time_of(&all[0])?)?,
            Function::ToString => {
                Value::Text(pattern::write(&time_of(&all[0])?, text_of(&all[1])?)?)
            }
            Function::ToTimestamp => {
                let text = text_of(&all[0])?;
                Value::Time(match all.get(1) {
                    Some(format) => pattern::read(text, text_of(format)?)?,
                    None => to_timestamp(text)?,
                })
            }
            // Seen to before.
            Function::Coalesce | Function::NullIf | Function::UtcNow => return Err(cannot()),
        })
    }
}

fn negate(value: &Value) -> Result<Value> {
    if value.is_unknown() {
        return Ok(value.clone());
    }
    match value.as_number().ok_or_else(wrong_type)? {
        Value::Int(n) => n.checked_neg().map(Value::Int).ok_or_else(overflow),
        Value::Decimal(n) => Ok(Value::Decimal(n.negated())),
        Value::Float(n) => Ok(Value::Float(-n)),
        _ => Err(wrong_type()),
    }
}

fn time_of(value: &Value) -> Result<Time> {
    match value {
        Value::Time(time) => Ok(*time),
        _ => Err(wrong_type()),
    }
}

fn extract(part: Part, time: &Time) -> Result<Value> {
    let offset = time.offset.unwrap_or_default();
    Ok(Value::Int(match part {
        Part::Year => time.year,
        Part::Month => time.month,
        Part::Day => time.day,
        Part::Hour => time.hour,
        Part::Minute => time.minute,
        Part::Second if time.digits > 0 => {
            let fraction = time.nanos / 10u32.pow(9 - time.digits);
            let width = time.digits as usize;
            let text = format!("{}.{fraction:0width$}", time.second);
            let seconds = crate::decimal::Decimal::parse(&text).ok_or_else(cannot)?;
            return Ok(Value::Decimal(seconds));
        }
        Part::Second => time.second,
        Part::TimezoneHour => offset / 60,
        Part::TimezoneMinute => offset % 60,
    }))
}
