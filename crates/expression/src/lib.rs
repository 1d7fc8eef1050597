//! DynamoDB's expression language: conditions, filters and key conditions, projections, updates.
//!
//! Text is parsed without knowing any request ([`parse`]): that result can be kept and used again.
//! Then names and values of the request are put in and checked ([`Scope`]), and the result works on
//! items ([`Condition::holds`], [`Projection::apply`], [`Update::apply`]). All messages are
//! DynamoDB's, without the "Invalid ConditionExpression: " that the caller puts before them.
//!
//! Invariants: text of any kind is parsed in time and depth bounded by its length and
//! [`DEPTH_MAX`]; nothing panics.
//!
//! PartiQL ([`partiql`]) says the same in another language.
//!
//! Deliberately absent: tables, key schemas, the parameters that were there before expressions.

mod ast;
mod evaluate;
pub mod fuzz;
mod joined;
mod keys;
mod parse;
pub mod partiql;
mod projection;
mod reserved;
mod scope;
mod token;
mod update;

#[cfg(test)]
mod tests;

pub use ast::{
    Action, Call, Comparator, Condition, Function, Operand, Path, Projection, SetValue, Step,
    Update,
};
pub use keys::{KeyCondition, KeyTest, key_conditions};
pub use parse::{condition, projection, update};
pub use projection::overlap;
pub use scope::Scope;
pub use update::{TOO_LARGE, Updated, check_update};

/// Levels of parentheses, negations and functions.
pub const DEPTH_MAX: usize = 150;
/// Bytes of an expression.
pub const EXPRESSION_BYTES_MAX: usize = 4096;
/// Operators and functions of an expression.
pub const OPERATORS_MAX: usize = 300;
