//! Golden bytes of every protocol, over hand-written tables.

#[macro_use]
mod model;
mod errors;
mod json;
mod query;
mod rest_xml;
mod route;
