//! Items of DynamoDB as bytes: what a request brings, a row keeps, a condition looks at and a
//! response sends is one and the same form, made once when a request is read.
//!
//! A value is a tag, its length, its content; an item is names and values in the order of the names.
//! Numbers are kept in their one form, sets in order, so that values are equal exactly if their bytes
//! are. `docs/decisions/040-items.md` has the reasons and figures.
//!
//! Invariants: reading JSON never panics and bounds nesting; what came from [`Item`] or a builder is
//! well-formed, and reading bytes that are not gives nothing rather than a panic.
//!
//! Deliberately absent: tables, expressions, anything that is stored elsewhere.

mod build;
pub mod fuzz;
mod json;
mod key;
pub mod number;
mod size;
mod tree;
mod value;

#[cfg(test)]
mod tests;

pub use build::{Builder, binary, boolean, list, map, null, number_value, set, string};
pub use json::{Attribute, Item, MAP_DEPTH_MAX, TOO_DEEP};
pub use key::{read_key, write_key, write_key_prefix};
pub use size::{ITEM_BYTES_MAX, item_size};
pub use tree::Node;
pub use value::{Kind, Map, Value, compare};
