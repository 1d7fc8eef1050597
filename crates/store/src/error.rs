//! What can go wrong, in words that say what to do next.

use crate::disk;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Bytes that are not what the key or row type says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The bytes end too early, a length lies, or a number does not fit.
    Malformed,
    /// A field or variant that this build does not know: written by a newer one.
    Unknown(u32),
    /// A field without which the row means nothing.
    Missing(u32),
    /// Bytes are left over after the value.
    Trailing,
    /// Nested deeper than any row of ours.
    TooDeep,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Malformed => f.write_str("malformed bytes"),
            DecodeError::Unknown(n) => write!(f, "unknown field {n}, written by a newer build"),
            DecodeError::Missing(n) => write!(f, "field {n} is missing"),
            DecodeError::Trailing => f.write_str("bytes are left over"),
            DecodeError::TooDeep => f.write_str("nested too deeply"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Why a transaction could not do what it was asked.
#[derive(Clone, Debug)]
pub enum StoreError {
    /// More than [`base::limits::TRANSACTION_BYTES_MAX`] written in one transaction.
    TransactionTooLarge,
    /// Too much waits to be written: try again later (503).
    Busy,
    /// The disk is nearly full: only what frees space goes through (507 or 503).
    Full,
    /// The log could not be made durable, so nothing is accepted until the process starts again.
    Stopped(Arc<str>),
    /// A row or key does not decode.
    Corrupt { table: &'static str, error: DecodeError },
    /// The disk refused.
    Io(Arc<io::Error>),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::TransactionTooLarge => {
                f.write_str("the transaction writes more than 14 MiB; split it")
            }
            StoreError::Busy => f.write_str("the store has too much to write; try again"),
            StoreError::Full => f.write_str("the disk is nearly full; delete something first"),
            StoreError::Stopped(why) => {
                write!(f, "the store has stopped ({why}); mend the disk and start again")
            }
            StoreError::Corrupt { table, error } => {
                write!(f, "a row of {table} does not decode: {error}; run `cumulet doctor --data`")
            }
            StoreError::Io(error) => write!(f, "disk: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> StoreError {
        match error {
            error if disk::is_full(&error) => StoreError::Full,
            error if disk::is_passing(&error) => StoreError::Busy,
            error => StoreError::Io(Arc::new(error)),
        }
    }
}

/// Why a data folder could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The folder was written by a build whose format this one does not know.
    Newer {
        found: u32,
        known: u32,
    },
    /// The folder holds something that is not a store of ours.
    Foreign(String),
    /// Acknowledged commits cannot be read back.
    Corrupt(String),
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Newer { found, known } => write!(
                f,
                "the data has format {found}, this build knows up to {known}: use a newer build"
            ),
            OpenError::Foreign(what) => write!(f, "not a data folder of ours: {what}"),
            OpenError::Corrupt(what) => {
                write!(f, "the data is damaged: {what}; restore a snapshot")
            }
            OpenError::Io(error) => write!(f, "disk: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Io(error)
    }
}
