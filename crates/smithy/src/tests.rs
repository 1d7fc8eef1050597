//! Golden bytes of every protocol, over hand-written tables.

mod model;
mod rest_xml;
