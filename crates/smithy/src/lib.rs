//! Shapes as tables, values behind two accessors, and codecs that interpret both.
//!
//! A service model becomes static tables ([`shape`]) and plain structs whose fields are reached by
//! number ([`value`]). Each wire protocol is one hand-written interpreter over those, so the code
//! grows with shapes + protocols and not with shapes x protocols. `docs/decisions/003-codecs.md`
//! has the reasons and the figures.
//!
//! Invariants: decoding never panics, bounds nesting and memory, and collects every violated
//! constraint; a member marked sensitive is never printed.
//!
//! Deliberately absent: HTTP types, sockets, serde. Headers come in through [`http::Headers`] so
//! that this crate stays free of them.

mod aws_json;
mod cbor;
mod check;
pub mod codec;
pub mod document;
pub mod error;
pub mod events;
pub mod fuzz;
pub mod http;
pub mod index;
pub mod json;
pub mod model;
mod object;
pub mod query;
pub mod reject;
mod rest;
pub mod route;
mod scalar;
pub mod shape;
pub mod value;
pub mod xml;

#[cfg(test)]
mod tests;

pub use check::Settings;
pub use codec::{decode_request, decode_request_with, encode_response};
pub use document::Document;
pub use error::{ErrorParts, encode_error};
pub use http::{Headers, Request, Response};
pub use reject::Rejection;
pub use route::{RouteError, Routed, Target};
pub use value::{Field, List, Map, Slot, Struct, Value};
