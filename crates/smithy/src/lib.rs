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
//! Deliberately absent: HTTP types, sockets, serde. Headers come in through [`rest::Headers`]-like
//! traits so that this crate stays free of them.

pub mod document;
pub mod index;
pub mod model;
pub mod route;
pub mod shape;
pub mod value;

pub use document::Document;
pub use value::{Field, List, Map, Slot, Struct, Value};
