//! The helper: one small process with one thread that starts containers, holds their streams and
//! terminals, writes their logs, and outlives the engine.
//!
//! [`server`] is the process, [`client`] the engine's end of the conversation, [`protocol`] what they
//! say to each other.

pub mod client;
mod end;
pub(crate) mod log_file;
mod outlet;
mod program;
pub mod protocol;
mod running;
mod server;

pub use server::{main, running};

/// The name of the command that makes a process the helper.
pub const COMMAND: &str = "containers-helper";
