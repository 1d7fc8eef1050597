//! The Docker Engine API in front of the engine: HTTP over a unix socket, versions 1.24 to 1.51.
//!
//! One function for each endpoint, grouped by what it is about; [`route`] is the table. What is not
//! done answers 501 and names itself.
//!
//! Whoever can open the socket is root on this machine, as with Docker: the socket's mode is the only
//! gate.
//!
//! Invariants: bodies are bounded; a stream that nobody reads holds up nothing but itself; what a
//! client asks for and is not acted on is refused by name.

mod attach;
mod body;
mod build;
mod containers;
mod events;
mod exec;
mod filters;
#[doc(hidden)]
pub mod fuzz;
mod images;
mod info;
mod kit;
mod networks;
mod query;
mod registries;
mod reply;
mod route;
mod server;
mod types;
mod view;
mod volumes;
mod websocket;

pub use server::{Docker, Listener, Stream, serve};

/// The newest version of the API that is spoken.
pub const VERSION: &str = "1.51";
/// The oldest.
pub const VERSION_MIN: &str = "1.24";
