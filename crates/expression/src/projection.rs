//! Parts of an item.

use crate::ast::{Path, Projection, Step};
use bytes::Bytes;
use item::{Builder, Map, Value, list, map};
use std::collections::BTreeMap;

/// Refuses two paths of which one leads through the other, or that take one place for a map and a
/// list.
pub fn overlap(one: &Path, two: &Path) -> Result<(), String> {
    for (a, b) in one.0.iter().zip(&two.0) {
        match (a, b) {
            (Step::Index(_), Step::Index(_)) => {}
            (Step::Index(_), _) | (_, Step::Index(_)) => {
                return Err(format!(
                    "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
                ));
            }
            _ => {}
        }
        if a != b {
            return Ok(());
        }
    }
    Err(format!(
        "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
    ))
}

/// Paths as a tree, by what comes next.
#[derive(Default)]
struct Selection<'p> {
    whole: bool,
    names: BTreeMap<&'p str, Selection<'p>>,
    indexes: BTreeMap<u32, Selection<'p>>,
}

impl<'p> Selection<'p> {
    fn insert(&mut self, steps: &'p [Step]) {
        match steps.split_first() {
            None => self.whole = true,
            Some((Step::Name(name) | Step::Alias(name), rest)) => {
                self.names.entry(name).or_default().insert(rest);
            }
            Some((Step::Index(index), rest)) => {
                self.indexes.entry(*index).or_default().insert(rest);
            }
        }
    }

    fn entries(&self, from: Map<'_>) -> Bytes {
        let mut to = Builder::default();
        for (name, value) in from.iter() {
            if let Some(inner) = self.names.get(name)
                && let Some(part) = inner.of(value)
                && let Some(part) = Value::of(&part)
            {
                to.push(name, part);
            }
        }
        to.finish()
    }

    /// What is selected of a value; nothing if that is nothing.
    fn of(&self, value: Value<'_>) -> Option<Vec<u8>> {
        if self.whole {
            return Some(value.bytes().to_vec());
        }
        if !self.names.is_empty() {
            let entries = self.entries(value.map());
            return (!entries.is_empty()).then(|| map(Map::of(&entries)));
        }
        let items = value.items().enumerate();
        let parts: Vec<Vec<u8>> =
            items.filter_map(|(index, item)| self.indexes.get(&(index as u32))?.of(item)).collect();
        (!parts.is_empty()).then(|| list(parts.iter().map(Vec::as_slice)))
    }
}

impl Projection {
    /// Whole attributes.
    pub fn of_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Projection {
        Projection { paths: names.into_iter().map(Path::of).collect() }
    }

    /// The parts of the item that the paths lead to; list items close up.
    pub fn apply(&self, item: Map<'_>) -> Bytes {
        let mut selection = Selection::default();
        for path in &self.paths {
            selection.insert(&path.0);
        }
        selection.entries(item)
    }
}
