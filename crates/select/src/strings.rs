//! Functions on text.

use crate::ast::Ends;
use crate::value::{Value, wrong_type};
use crate::{Result, SelectError};
use std::collections::BTreeSet;

pub(crate) fn text_of(value: &Value) -> Result<&str> {
    value.text().ok_or_else(wrong_type)
}

fn int_of(value: &Value) -> Result<i64> {
    match value.as_number() {
        Some(Value::Int(n)) => Ok(n),
        _ => Err(wrong_type()),
    }
}

/// The first character has the place 1; what lies before it counts for the length.
pub(crate) fn substring(text: &Value, start: &Value, length: Option<&Value>) -> Result<Value> {
    let (text, start) = (text_of(text)?, int_of(start)?);
    let end = match length.map(int_of).transpose()? {
        None => i64::MAX,
        Some(length) if length < 0 => {
            let text = "Illegal argument was used in the SQL function.";
            return Err(SelectError::new("IllegalSqlFunctionArgument", text));
        }
        Some(length) => start.saturating_add(length),
    };
    let start = start.max(1);
    let count = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
    let skip = usize::try_from(start - 1).unwrap_or(usize::MAX);
    Ok(Value::Text(text.chars().skip(skip).take(count).collect()))
}

pub(crate) fn trim(ends: Ends, text: &Value, unwanted: Option<&Value>) -> Result<Value> {
    let text = text_of(text)?;
    // There may be as many of them as there is text.
    let unwanted: BTreeSet<char> =
        unwanted.map(text_of).transpose()?.unwrap_or(" ").chars().collect();
    let unwanted = |c: char| unwanted.contains(&c);
    let text = if ends.leading { text.trim_start_matches(unwanted) } else { text };
    let text = if ends.trailing { text.trim_end_matches(unwanted) } else { text };
    Ok(Value::Text(text.to_owned()))
}
