//! The expressions of a request: which may stand together, parsed texts that are kept, placeholders.

use crate::error::invalid;
use crate::table::Table;
use api::Error;
use expression::{Condition, Path, Projection, Scope, Update};
use item::Item;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parsed texts that are kept; beyond that the cache starts anew.
const CACHED_MAX: usize = 2048;

type Kept<T> = Mutex<BTreeMap<String, Arc<T>>>;

/// Expressions by their text. Only good ones are kept.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    conditions: Kept<Condition>,
    projections: Kept<Projection>,
    updates: Kept<Update>,
}

impl Parsed {
    /// The condition that a text is, before names and values are put in.
    pub fn look_condition(&self, text: &str) -> Option<Condition> {
        keep(&self.conditions, text, expression::condition).ok()
    }

    pub fn look_projection(&self, text: &str) -> Option<Projection> {
        keep(&self.projections, text, expression::projection).ok()
    }

    pub fn look_update(&self, text: &str) -> Option<Update> {
        keep(&self.updates, text, expression::update).ok()
    }
}

fn keep<T: Clone>(
    kept: &Kept<T>,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    if let Some(known) = kept.lock().get(text).cloned() {
        return Ok((*known).clone());
    }
    let parsed = parse(text)?;
    let mut kept = kept.lock();
    if kept.len() >= CACHED_MAX {
        kept.clear();
    }
    kept.insert(text.to_owned(), Arc::new(parsed.clone()));
    Ok(parsed)
}

/// Members of a request by name, and whether each is there.
pub(crate) type Members<'a> = &'a [(&'static str, bool)];

fn present(members: Members<'_>) -> Vec<&'static str> {
    members.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect()
}

/// Names and values of a request with its expressions.
pub(crate) struct Params<'r> {
    parsed: &'r Parsed,
    scope: Scope<'r>,
}

impl<'r> Params<'r> {
    /// `expressions` that can use values come first in `expressions`; a projection cannot.
    pub fn new(
        parsed: &'r Parsed,
        names: Option<&'r BTreeMap<String, String>>,
        values: Option<&'r Item>,
        expressions: Members<'_>,
        older: Members<'_>,
    ) -> Result<Params<'r>, Error> {
        let (found, old) = (present(expressions), present(older));
        if !found.is_empty() && !old.is_empty() {
            return Err(invalid(format!(
                "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {{{}}} Expression parameters: {{{}}}",
                old.join(", "),
                found.join(", ")
            )));
        }
        if names.is_some() && found.is_empty() {
            return Err(invalid(
                "ExpressionAttributeNames can only be specified when using expressions",
            ));
        }
        let with_values: Vec<_> =
            expressions.iter().filter(|(name, _)| *name != "ProjectionExpression").collect();
        if values.is_some() && with_values.iter().all(|(_, there)| !there) {
            let names: Vec<_> = with_values.iter().map(|(name, _)| *name).collect();
            let verb = if names.len() > 1 { "are" } else { "is" };
            return Err(invalid(format!(
                "ExpressionAttributeValues can only be specified when using expressions: {} {verb} null",
                names.join(" and ")
            )));
        }
        let scope = Scope::new(names, values).map_err(invalid)?;
        Ok(Params { parsed, scope })
    }

    pub fn condition(
        &mut self,
        member: &str,
        text: Option<&String>,
    ) -> Result<Option<Condition>, Error> {
        let Some(text) = text else { return Ok(None) };
        let parsed = keep(&self.parsed.conditions, text, expression::condition);
        let resolved = parsed.and_then(|mut condition| {
            self.scope.condition(&mut condition)?;
            Ok(condition)
        });
        resolved.map(Some).map_err(|error| invalid(format!("Invalid {member}: {error}")))
    }

    pub fn projection(&mut self, text: Option<&String>) -> Result<Option<Projection>, Error> {
        let Some(text) = text else { return Ok(None) };
        let parsed = keep(&self.parsed.projections, text, expression::projection);
        let resolved = parsed.and_then(|mut projection| {
            self.scope.projection(&mut projection)?;
            Ok(projection)
        });
        resolved
            .map(Some)
            .map_err(|error| invalid(format!("Invalid ProjectionExpression: {error}")))
    }

    pub fn update(&mut self, text: Option<&String>) -> Result<Option<Update>, Error> {
        let Some(text) = text else { return Ok(None) };
        let parsed = keep(&self.parsed.updates, text, expression::update);
        let resolved = parsed.and_then(|mut update| {
            self.scope.update(&mut update)?;
            Ok(update)
        });
        resolved.map(Some).map_err(|error| invalid(format!("Invalid UpdateExpression: {error}")))
    }

    /// Refuses placeholders that nothing used.
    pub fn finish(self) -> Result<(), Error> {
        self.scope.finish().map_err(invalid)
    }
}

/// `AttributesToGet` as a projection.
pub(crate) fn attributes_to_get(names: Option<&Vec<String>>) -> Result<Option<Projection>, Error> {
    let Some(names) = names else { return Ok(None) };
    for (at, name) in names.iter().enumerate() {
        crate::mutation::check_name(name)?;
        if names[..at].contains(name) {
            return Err(invalid(format!(
                "One or more parameter values were invalid: Duplicate value in attribute name: {name}"
            )));
        }
    }
    Ok(Some(Projection::of_names(names.iter().map(String::as_str))))
}

/// Attributes of keys are scalars, so no path leads into one.
pub(crate) fn check_path(table: &Table, path: &Path) -> Result<(), Error> {
    if !path.is_nested() {
        return Ok(());
    }
    let head = path.head();
    let which = if table.keys().any(|key| key == head) {
        "Key"
    } else if table.indexes.iter().any(|index| index.keys().any(|key| key == head)) {
        "IndexKey"
    } else {
        return Ok(());
    };
    Err(invalid(format!(
        "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: {which}: {head}"
    )))
}

pub(crate) fn check_condition(table: &Table, condition: Option<&Condition>) -> Result<(), Error> {
    let mut result = Ok(());
    if let Some(condition) = condition {
        condition.each_path(&mut |path| {
            if result.is_ok() {
                result = check_path(table, path);
            }
        });
    }
    result
}

pub(crate) fn check_projection(
    table: &Table,
    projection: Option<&Projection>,
) -> Result<(), Error> {
    let paths = projection.into_iter().flat_map(|projection| &projection.paths);
    paths.into_iter().try_for_each(|path| check_path(table, path))
}
