//! The Dockerfile language: a text becomes stages of instructions, words are expanded, and
//! `.dockerignore` says which paths of a context do not count.
//!
//! Invariants: pure; whatever comes from outside is bounded and never panics; errors are in the words
//! of Docker's own parser, with the line.
//!
//! Deliberately absent: what the instructions do.

mod error;
pub mod fuzz;
mod ignore;
mod instruction;
mod lines;
mod mount;
mod pattern;
mod stages;
mod words;

pub use error::ParseError;
pub use ignore::{Ignore, lines as ignore_lines};
pub use instruction::{Arg, Copy, From, Healthcheck, Instruction, Run, Words, parse_instruction};
pub use lines::Heredoc;
pub use mount::{Mount, MountKind, Sharing};
pub use pattern::Pattern;
pub use stages::{Command, Dockerfile, Stage, parse};
pub use words::Expander;
