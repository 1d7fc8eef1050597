//! The calls to the kernel: thin, and the only place that may be unsafe.
//!
//! [`raw`] holds what no safe library offers. The rest does single steps of a [`crate::plan::Plan`] and is
//! used by the child between its birth and its program, where there is one thread only.

pub mod cgroup;
pub mod child;
pub mod device_filter;
pub mod files;
pub mod mounts;
pub mod pass;
pub mod process;
pub mod raw;
pub mod terminal;

use std::fmt;

/// What failed and how, as the client will read it.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub type Result<T> = std::result::Result<T, Failure>;

/// Says what was tried when it failed.
pub trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure(format!("{}: {}", what(), reason(error.into()))))
    }
}

/// The reason alone, in the C library's words: without the number that Rust adds.
pub fn reason(error: std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_ascii_lowercase()
}
