//! Untyped data: what a model calls a document.

use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Default, Debug)]
pub enum Document {
    #[default]
    Null,
    Bool(bool),
    Integer(i64),
    Double(f64),
    String(String),
    List(Vec<Document>),
    Map(BTreeMap<String, Document>),
}
