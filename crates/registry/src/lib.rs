//! Images between machines: the registry of this cloud, and the client of every registry.
//!
//! [`Registry`] answers below `/v2/`. What it holds are blobs by their digests, shared by all who have
//! them, and for each account repositories that name them. A layer that the engine has already is
//! named, not copied. [`Client`] pulls and pushes; the registry of this cloud it asks without a socket.
//!
//! Invariants: a blob is known under its digest only after all of it was read and compared; what was
//! acknowledged is on the disk; a manifest is taken only if all that it names is in its repository;
//! nothing is given to whom the gateway does not allow it.
//!
//! Deliberately absent: who may do what (the gateway's), image formats (`oci`'s).

#![allow(clippy::result_large_err, reason = "a refusal is an answer, made once for a request")]

mod answer;
mod blobs;
mod client;
mod collect;
mod door;
mod forget;
#[doc(hidden)]
pub mod fuzz;
mod local;
mod manifests;
mod path;
mod pull;
mod push;
mod rows;
mod search;
mod transfer;
mod uploads;
mod upstream;

pub use client::http::Http;
pub use client::{Credentials, Origin};
pub use collect::Collected;
pub use door::Registry;
pub use local::Local;
pub use pull::Pull;
pub use search::Found;
pub use transfer::{Client, Mirror, Progress};
pub use upstream::Upstream;
