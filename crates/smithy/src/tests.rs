//! Golden bytes of every protocol, over hand-written tables.

#[macro_use]
mod model;
mod cbor;
mod errors;
mod events;
mod json;
mod query;
mod rest_xml;
mod route;
mod validate;
