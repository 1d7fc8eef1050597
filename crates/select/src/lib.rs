//! S3 Select: a query in SQL on one object of CSV or JSON, answered while the object flows by.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference.html>
//!
//! [`Query::parse`] reads an expression, [`Run`] takes the bytes of the object piece by piece and gives
//! records. No more is held than one record of the object, what was just expanded and the answer
//! that nobody took yet; the work for one record has a bound too.
//!
//! Deliberately absent: Parquet, and everything about HTTP and event streams (the service's).

mod aggregate;
mod ast;
mod bind;
mod cast;
mod csv;
mod decimal;
mod evaluate;
mod expand;
#[doc(hidden)]
pub mod fuzz;
mod json;
mod json_scan;
mod like;
mod output;
mod parse;
mod pattern;
mod run;
mod strings;
#[cfg(test)]
mod tests;
mod time;
mod token;
mod value;

pub use ast::Query;
pub use csv::{CsvInput, Header};
pub use expand::Compression;
pub use output::{CsvOutput, Output};
pub use run::{Input, Run, Stats, Step};

use std::borrow::Cow;
use std::fmt;

/// An expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 256 * 1024;
/// A record of the object or of the answer, in bytes.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// Why a query cannot be, or cannot go on: a code of S3's list and its text. All are the client's fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectError {
    pub code: &'static str,
    pub message: Cow<'static, str>,
}

impl SelectError {
    pub fn new(code: &'static str, message: impl Into<Cow<'static, str>>) -> SelectError {
        SelectError { code, message: message.into() }
    }
}

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for SelectError {}

pub(crate) type Result<T> = std::result::Result<T, SelectError>;
