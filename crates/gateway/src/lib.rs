//! The only crate that knows HTTP: from the head of a request to the last byte of its answer.
//!
//! The way of a request stands in order in [`gateway::Gateway`]'s `answer`: read the head, identify
//! the service, authenticate, find the operation, decode, authorise and run in one transaction,
//! encode. Two doors lead to it: [`Gateway::handle`], which needs neither sockets nor a runtime, and
//! the listener ([`listen`]), which adds both.
//!
//! Invariants: nothing is run before its signature was checked and its permission asked for; an
//! operation that forgets to ask is refused; nothing of a request is kept in memory beyond the
//! bounds of [`base::limits`]; whatever happens, the client gets an answer in its own protocol.
//!
//! Deliberately absent: what operations do, where users and policies are kept, threads.

mod access;
mod access_point;
mod accesses;
pub mod admin;
pub mod audit;
mod authenticate;
mod clock;
mod console;
mod cors;
mod denial;
mod encode;
mod engine;
mod faults;
mod fetch;
mod follow;
mod form;
mod form_data;
mod fresh;
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod guard;
mod head;
mod host;
mod identify;
mod idle;
mod keys;
pub mod listen;
mod metrics;
pub mod names;
mod operate;
mod pages;
mod payload;
mod refuse;
mod registry;
mod rehearse;
mod reset;
mod secret;
mod selected;
mod stream;
mod tls;
mod token;
mod uses;
mod v2;
mod website;
mod written;

pub use encode::{Response, ResponseStream};
pub use faults::{Partitions, Timer};
pub use fetch::Web;
pub use gateway::{AccessRules, Gateway, GatewayParts, Pages, Peer};
pub use keys::{RootKey, WELL_KNOWN};
pub use payload::RequestStream;
pub use registry::Keyring;
pub use reset::Leftovers;
