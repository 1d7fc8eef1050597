//! PartiQL as DynamoDB speaks it: one statement on one table, its conditions and changes in the forms
//! that expressions have too.
//!
//! Values are put in while a statement is read: literals, and the request's parameters for each `?` in
//! their order. So a statement is ready to be run, and its text is not kept. Messages are DynamoDB's.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.html>
//!
//! Deliberately absent, refused in DynamoDB's words: joins, aliases, grouping, limits, Ion literals,
//! and inserting several items at once.

mod fuzz;
mod keys;
mod literal;
mod parse;
mod token;
mod where_clause;
mod words;

#[cfg(test)]
mod tests;

use crate::ast::{Condition, Path, Update};
use bytes::Bytes;

pub use fuzz::fuzz_partiql;
pub use keys::{conjuncts, equality, pinned};
pub use parse::parse;

/// Bytes of a statement.
pub const STATEMENT_BYTES_MAX: usize = 8192;

/// A table or one of its indexes; the table by name or ARN.
#[derive(Clone, PartialEq, Debug)]
pub struct Source {
    pub table: String,
    pub index: Option<String>,
}

/// One column of an answer: the part of the item there, under that name.
#[derive(Clone, PartialEq, Debug)]
pub struct Column {
    pub name: String,
    pub path: Path,
}

/// `ORDER BY` one attribute.
#[derive(Clone, PartialEq, Debug)]
pub struct Order {
    pub name: String,
    pub descending: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Select {
    /// None: whole items.
    pub columns: Vec<Column>,
    pub source: Source,
    pub condition: Option<Condition>,
    pub order: Vec<Order>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Insert {
    pub source: Source,
    /// The entries of the item, as [`item::Map`] has them.
    pub item: Bytes,
    /// `ON CONFLICT DO NOTHING`.
    pub keeps_old: bool,
}

/// `RETURNING (ALL | MODIFIED) (NEW | OLD) *`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Returning {
    pub all: bool,
    pub new: bool,
}

/// An update, or without one a deletion.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    pub source: Source,
    pub update: Option<Update>,
    pub condition: Option<Condition>,
    pub returning: Option<Returning>,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Statement {
    Select(Select),
    Insert(Insert),
    Change(Change),
    /// `EXISTS(SELECT …)`: a condition in a transaction.
    Exists(Select),
}

impl Statement {
    pub fn source(&self) -> &Source {
        match self {
            Statement::Select(select) | Statement::Exists(select) => &select.source,
            Statement::Insert(insert) => &insert.source,
            Statement::Change(change) => &change.source,
        }
    }

    pub fn is_read(&self) -> bool {
        matches!(self, Statement::Select(_))
    }
}
