//! An item taken apart as far as an update goes into it.

use crate::build::{close, open};
use crate::value::{self, Value, push_length};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A value: as it came, or a map or list that was gone into.
#[derive(Clone, Debug)]
pub enum Node {
    Whole(Bytes),
    Map(BTreeMap<String, Node>),
    List(Vec<Node>),
}

impl Node {
    /// An item as a map of whole values. They share the memory of `bytes`.
    pub fn item(bytes: &Bytes) -> Node {
        let entries = value::Map::of(bytes).iter();
        Node::Map(entries.map(|(name, v)| (name.to_owned(), Node::share(bytes, v))).collect())
    }

    fn share(bytes: &Bytes, value: Value<'_>) -> Node {
        Node::Whole(bytes.slice_ref(value.bytes()))
    }

    /// Takes a map or list apart by one level.
    pub fn enter(&mut self) {
        let Node::Whole(bytes) = self else { return };
        let Some(value) = Value::of(bytes) else { return };
        let bytes = bytes.clone();
        match bytes.first() {
            Some(&value::M) => {
                let entries = value.map();
                let node = |(name, v): (&str, Value<'_>)| (name.to_owned(), Node::share(&bytes, v));
                *self = Node::Map(entries.iter().map(node).collect());
            }
            Some(&value::L) => {
                let items = value.items();
                *self = Node::List(items.map(|v| Node::share(&bytes, v)).collect());
            }
            _ => {}
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Node::Whole(bytes) => out.extend_from_slice(bytes),
            Node::Map(entries) => {
                out.push(value::M);
                let start = open(out);
                write_entries(entries, out);
                close(out, start);
            }
            Node::List(items) => {
                out.push(value::L);
                let start = open(out);
                items.iter().for_each(|item| item.write(out));
                close(out, start);
            }
        }
    }

    /// The value, encoded.
    pub fn to_value(&self) -> Bytes {
        if let Node::Whole(bytes) = self {
            return bytes.clone();
        }
        let mut out = Vec::new();
        self.write(&mut out);
        Bytes::from(out)
    }

    /// The item, encoded.
    pub fn to_item(&self) -> Bytes {
        let mut out = Vec::with_capacity(256);
        if let Node::Map(entries) = self {
            write_entries(entries, &mut out);
        }
        Bytes::from(out)
    }
}

fn write_entries(entries: &BTreeMap<String, Node>, out: &mut Vec<u8>) {
    for (name, node) in entries {
        push_length(name.len(), out);
        out.extend_from_slice(name.as_bytes());
        node.write(out);
    }
}
