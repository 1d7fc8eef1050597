//! Names and values of a request, put into what was parsed, and checked there.

use crate::ast::{
    Action, Call, Condition, Function, Operand, Path, Projection, SetValue, Step, Update,
};
use crate::projection::overlap;
use bytes::Bytes;
use item::{Item, Kind, Value, compare};
use std::collections::{BTreeMap, BTreeSet};

type Result<T> = std::result::Result<T, String>;

/// Names and values of one expression together.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const VARIABLES_BYTES_MAX: usize = 2 * 1024 * 1024;

/// `ExpressionAttributeNames` and `ExpressionAttributeValues`, and which of them were used.
#[derive(Debug)]
pub struct Scope<'r> {
    names: Option<&'r BTreeMap<String, String>>,
    values: Option<&'r Item>,
    names_used: BTreeSet<&'r str>,
    values_used: BTreeSet<&'r str>,
}

impl<'r> Scope<'r> {
    /// Looks at the maps themselves: their keys, and that they are not empty.
    pub fn new(
        names: Option<&'r BTreeMap<String, String>>,
        values: Option<&'r Item>,
    ) -> Result<Scope<'r>> {
        let name_bytes = |names: &BTreeMap<String, String>| {
            names.iter().map(|(key, name)| key.len() + name.len()).sum::<usize>()
        };
        let bytes = names.map_or(0, name_bytes) + values.map_or(0, |values| values.bytes().len());
        if bytes > VARIABLES_BYTES_MAX {
            return Err(format!(
                "The total size of ExpressionAttributeNames and ExpressionAttributeValues has exceeded the maximum allowed size of {VARIABLES_BYTES_MAX} bytes"
            ));
        }
        if let Some(names) = names {
            if names.is_empty() {
                return Err("ExpressionAttributeNames must not be empty".into());
            }
            for (key, name) in names {
                if !is_placeholder(key, b'#') {
                    return Err(format!(
                        "ExpressionAttributeNames contains invalid key: Syntax error; key: \"{key}\""
                    ));
                }
                if name.is_empty() || name.len() > 65_535 {
                    return Err(format!(
                        "ExpressionAttributeNames contains invalid value: Empty attribute name or name longer than 65535 bytes for key {key}"
                    ));
                }
            }
        }
        if let Some(values) = values {
            if values.is_empty() {
                return Err("ExpressionAttributeValues must not be empty".into());
            }
            for (key, _) in values.map().iter() {
                if !is_placeholder(key, b':') {
                    return Err(format!(
                        "ExpressionAttributeValues contains invalid key: Syntax error; key: \"{key}\""
                    ));
                }
            }
            if let Some(fault) = values.fault() {
                let key = values.map().iter().next().map_or("", |(key, _)| key);
                return Err(format!(
                    "ExpressionAttributeValues contains invalid value: {fault} for key {key}"
                ));
            }
        }
        Ok(Scope { names, values, names_used: BTreeSet::new(), values_used: BTreeSet::new() })
    }

    /// Refuses what no expression has used.
    pub fn finish(self) -> Result<()> {
        let names = self.names.into_iter().flat_map(|names| names.keys().map(String::as_str));
        let unused: Vec<_> = names.filter(|key| !self.names_used.contains(key)).collect();
        if !unused.is_empty() {
            return Err(format!(
                "Value provided in ExpressionAttributeNames unused in expressions: keys: {{{}}}",
                unused.join(", ")
            ));
        }
        let values = self.values.into_iter().flat_map(|values| values.map().iter());
        let unused: Vec<_> =
            values.map(|(key, _)| key).filter(|key| !self.values_used.contains(key)).collect();
        if !unused.is_empty() {
            return Err(format!(
                "Value provided in ExpressionAttributeValues unused in expressions: keys: {{{}}}",
                unused.join(", ")
            ));
        }
        Ok(())
    }

    pub fn condition(&mut self, condition: &mut Condition) -> Result<()> {
        match condition {
            Condition::And(all) | Condition::Or(all) => {
                all.iter_mut().try_for_each(|inner| self.condition(inner))
            }
            Condition::Not(inner) => self.condition(inner),
            Condition::Compare(comparator, a, b) => {
                self.operand(a)?;
                self.operand(b)?;
                distinct(comparator.symbol(), a, b)?;
                if comparator.is_ordering() {
                    ordered(comparator.symbol(), a)?;
                    ordered(comparator.symbol(), b)?;
                }
                Ok(())
            }
            Condition::Between(a, low, high) => {
                self.operand(a)?;
                self.operand(low)?;
                self.operand(high)?;
                [&*a, low, high].into_iter().try_for_each(|operand| ordered("BETWEEN", operand))?;
                bounds(low, high)
            }
            Condition::In(a, all) => {
                self.operand(a)?;
                all.iter_mut().try_for_each(|operand| self.operand(operand))
            }
            Condition::Call(call) => self.call(call),
        }
    }

    pub fn projection(&mut self, projection: &mut Projection) -> Result<()> {
        for at in 0..projection.paths.len() {
            self.path(&mut projection.paths[at])?;
            let (before, this) = projection.paths.split_at(at);
            before.iter().try_for_each(|other| overlap(other, &this[0]))?;
        }
        Ok(())
    }

    pub fn update(&mut self, update: &mut Update) -> Result<()> {
        for action in &mut update.actions {
            match action {
                Action::Set(path, value) => {
                    self.path(path)?;
                    match value {
                        SetValue::Operand(operand) => self.operand(operand)?,
                        SetValue::Plus(a, b) | SetValue::Minus(a, b) => {
                            self.operand(a)?;
                            self.operand(b)?;
                        }
                    }
                }
                Action::Remove(path) => self.path(path)?,
                Action::Add(path, operand) | Action::Delete(path, operand) => {
                    self.path(path)?;
                    self.operand(operand)?;
                }
            }
        }
        let paths: Vec<&Path> = update.actions.iter().map(Action::path).collect();
        for (at, path) in paths.iter().enumerate() {
            paths[..at].iter().try_for_each(|other| overlap(other, path))?;
        }
        update.actions.iter().try_for_each(check_action)
    }

    fn path(&mut self, path: &mut Path) -> Result<()> {
        for step in &mut path.0 {
            let Step::Alias(alias) = step else { continue };
            let found = self.names.and_then(|names| names.get_key_value(alias.as_str()));
            let Some((key, name)) = found else {
                return Err(format!(
                    "An expression attribute name used in the document path is not defined; attribute name: {alias}"
                ));
            };
            self.names_used.insert(key);
            *step = Step::Name(name.clone());
        }
        Ok(())
    }

    fn operand(&mut self, operand: &mut Operand) -> Result<()> {
        match operand {
            Operand::Path(path) => self.path(path),
            Operand::Variable(name) => {
                let found = self.values.and_then(|values| {
                    let mut entries = values.map().iter();
                    let (key, value) = entries.find(|(key, _)| key == name)?;
                    Some((key, values.bytes().slice_ref(value.bytes())))
                });
                let Some((key, value)) = found else {
                    return Err(format!(
                        "An expression attribute value used in expression is not defined; attribute value: {name}"
                    ));
                };
                self.values_used.insert(key);
                *operand = Operand::Value(value);
                Ok(())
            }
            Operand::Value(_) => Ok(()),
            Operand::Call(call) => self.call(call),
        }
    }

    fn call(&mut self, call: &mut Call) -> Result<()> {
        call.operands.iter_mut().try_for_each(|operand| self.operand(operand))?;
        check_call(call)
    }
}

fn is_placeholder(key: &str, mark: u8) -> bool {
    let bytes = key.as_bytes();
    bytes.len() > 1
        && bytes.len() <= 255
        && bytes[0] == mark
        && bytes[1..].iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// The kind of an operand that is known before any item is.
fn kind(operand: &Operand) -> Option<Kind> {
    match operand {
        Operand::Value(bytes) => value(bytes).map(Value::kind),
        Operand::Call(call) if call.function == Function::Size => Some(Kind::N),
        Operand::Call(call) if call.function == Function::ListAppend => Some(Kind::L),
        _ => None,
    }
}

fn value(bytes: &Bytes) -> Option<Value<'_>> {
    Value::of(bytes)
}

fn distinct(name: &str, a: &Operand, b: &Operand) -> Result<()> {
    match (a, b) {
        (Operand::Path(x), Operand::Path(y)) if x == y => Err(format!(
            "The first operand must be distinct from the remaining operands for this operator or function; operator: {name}, first operand: {x}"
        )),
        _ => Ok(()),
    }
}

fn ordered(name: &str, operand: &Operand) -> Result<()> {
    match kind(operand) {
        None | Some(Kind::S | Kind::N | Kind::B) => Ok(()),
        Some(other) => Err(format!(
            "Incorrect operand type for operator or function; operator or function: {name}, operand type: {}",
            other.name()
        )),
    }
}

fn bounds(low: &Operand, high: &Operand) -> Result<()> {
    let (Operand::Value(low), Operand::Value(high)) = (low, high) else { return Ok(()) };
    let Some((low, high)) = value(low).zip(value(high)) else { return Ok(()) };
    let shown = format!(
        "lower bound operand: AttributeValue: {}, upper bound operand: AttributeValue: {}",
        low.shown(),
        high.shown()
    );
    match compare(low, high) {
        None => Err(format!(
            "The BETWEEN operator requires same data type for lower and upper bounds; {shown}"
        )),
        Some(std::cmp::Ordering::Greater) => Err(format!(
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; {shown}"
        )),
        Some(_) => Ok(()),
    }
}

fn bad_type(function: Function, kind: Kind) -> String {
    format!(
        "Incorrect operand type for operator or function; operator or function: {}, operand type: {}",
        function.name(),
        kind.name()
    )
}

fn check_call(call: &Call) -> Result<()> {
    let Call { function, operands } = call;
    if operands.len() != function.operands() {
        return Err(format!(
            "Incorrect number of operands for operator or function; operator or function: {}, number of operands: {}",
            function.name(),
            operands.len()
        ));
    }
    if !function.is_for_updates()
        && let [a, b] = operands.as_slice()
    {
        distinct(function.name(), a, b)?;
    }
    match function {
        Function::AttributeExists | Function::AttributeNotExists | Function::IfNotExists => {
            match &operands[0] {
                Operand::Path(_) => Ok(()),
                _ => Err(format!(
                    "Operator or function requires a document path; operator or function: {}",
                    function.name()
                )),
            }
        }
        Function::AttributeType => attribute_type(&operands[1]),
        Function::BeginsWith => {
            let bad = operands.iter().filter_map(kind).find(|k| !matches!(k, Kind::S | Kind::B));
            bad.map_or(Ok(()), |kind| Err(bad_type(*function, kind)))
        }
        Function::Size => match kind(&operands[0]) {
            Some(kind @ (Kind::N | Kind::Bool | Kind::Null)) => Err(bad_type(*function, kind)),
            _ => Ok(()),
        },
        // What it makes is for the attribute alone.
        Function::ListAppend if operands.iter().any(is_list_append) => {
            Err(crate::parse::misused(Function::ListAppend))
        }
        Function::ListAppend => {
            let bad = operands.iter().filter_map(kind).find(|kind| *kind != Kind::L);
            bad.map_or(Ok(()), |kind| Err(bad_type(*function, kind)))
        }
        Function::Contains => Ok(()),
    }
}

fn is_list_append(operand: &Operand) -> bool {
    matches!(operand, Operand::Call(call) if call.function == Function::ListAppend)
}

fn attribute_type(operand: &Operand) -> Result<()> {
    let Operand::Value(bytes) = operand else {
        return Err("Incorrect operand type for operator or function; operator or function: attribute_type, operand type: {NS,SS,L,BS,N,M,B,BOOL,NULL,S}".into());
    };
    let Some(value) = value(bytes) else { return Ok(()) };
    if value.kind() != Kind::S {
        return Err(bad_type(Function::AttributeType, value.kind()));
    }
    match Kind::by_name(value.text()) {
        Some(_) => Ok(()),
        None => Err(format!(
            "Invalid attribute type name found; type: {}, valid types: {{B,NULL,SS,BOOL,L,BS,N,NS,S,M}}",
            value.text()
        )),
    }
}

fn check_action(action: &Action) -> Result<()> {
    let (name, operand, fits): (&str, &Operand, fn(Kind) -> bool) = match action {
        Action::Add(_, operand) => ("ADD", operand, |kind| kind == Kind::N || kind.is_set()),
        Action::Delete(_, operand) => ("DELETE", operand, Kind::is_set),
        Action::Set(_, SetValue::Plus(a, b)) => return numbers("+", a, b),
        Action::Set(_, SetValue::Minus(a, b)) => return numbers("-", a, b),
        _ => return Ok(()),
    };
    match kind(operand) {
        Some(kind) if !fits(kind) => Err(format!(
            "Incorrect operand type for operator or function; operator: {name}, operand type: {}",
            kind.long_name()
        )),
        _ => Ok(()),
    }
}

fn numbers(name: &str, a: &Operand, b: &Operand) -> Result<()> {
    let bad = [a, b].into_iter().filter_map(kind).find(|kind| *kind != Kind::N);
    bad.map_or(Ok(()), |kind| {
        Err(format!(
            "Incorrect operand type for operator or function; operator or function: {name}, operand type: {}",
            kind.name()
        ))
    })
}
