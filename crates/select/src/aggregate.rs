//! What all rows together give.

use crate::ast::AggregateFunction;
use crate::decimal::Decimal;
use crate::evaluate::cannot;
use crate::value::{Pair, Value, pair, wrong_type};
use crate::{Result, SelectError};
use std::cmp::Ordering;

#[derive(Debug)]
pub(crate) struct Total {
    function: AggregateFunction,
    count: i64,
    /// The sum or the extreme; null before the first value.
    value: Value,
}

impl Total {
    pub fn new(function: AggregateFunction) -> Total {
        Total { function, count: 0, value: Value::Null }
    }

    pub fn count_row(&mut self) {
        self.count += 1;
    }

    /// What is unknown does not count.
    pub fn add(&mut self, value: &Value) -> Result<()> {
        if value.is_unknown() {
            return Ok(());
        }
        self.count += 1;
        match self.function {
            AggregateFunction::Count => Ok(()),
            AggregateFunction::Sum | AggregateFunction::Avg => {
                let value = value.as_number().ok_or_else(wrong_type)?;
                self.value = match self.value.is_unknown() {
                    true => value,
                    false => sum(&self.value, &value)?,
                };
                Ok(())
            }
            AggregateFunction::Max => self.extreme(value, Ordering::Greater),
            AggregateFunction::Min => self.extreme(value, Ordering::Less),
        }
    }

    fn extreme(&mut self, value: &Value, wanted: Ordering) -> Result<()> {
        // Before it is copied, which may be much.
        if matches!(value, Value::List(_) | Value::Tuple(_)) {
            return Err(wrong_type());
        }
        let value = value.as_number().unwrap_or_else(|| value.clone());
        if !self.value.is_unknown() {
            let order = value.compare(&self.value).ok_or_else(wrong_type)?;
            if order != wanted {
                return Ok(());
            }
        }
        self.value = value;
        Ok(())
    }

    pub fn finish(&self) -> Result<Value> {
        Ok(match (self.function, &self.value) {
            (AggregateFunction::Count, _) => Value::Int(self.count),
            (AggregateFunction::Avg, Value::Float(sum)) => Value::Float(sum / self.count as f64),
            (AggregateFunction::Avg, Value::Null) => Value::Null,
            (AggregateFunction::Avg, sum) => {
                let sum = match sum {
                    Value::Int(n) => Decimal::from_int(*n),
                    Value::Decimal(n) => *n,
                    _ => return Err(cannot()),
                };
                Value::Decimal(sum.divide(Decimal::from_int(self.count)).ok_or_else(cannot)?)
            }
            (_, value) => value.clone(),
        })
    }
}

fn sum(a: &Value, b: &Value) -> Result<Value> {
    match pair(a, b).ok_or_else(wrong_type)? {
        Pair::Int(a, b) => a.checked_add(b).map(Value::Int).ok_or_else(|| {
            SelectError::new("IntegerOverflow", "Int overflow or underflow in the SQL expression.")
        }),
        Pair::Decimal(a, b) => a.add(b).map(Value::Decimal).ok_or_else(cannot),
        Pair::Float(a, b) if (a + b).is_finite() => Ok(Value::Float(a + b)),
        Pair::Float(..) => Err(cannot()),
    }
}
