//! Structures into XML, by their tables: restXml, awsQuery and ec2Query responses.

use super::writer::Writer;
use crate::index::element_name;
use crate::scalar::{self, TimeText};
use crate::shape::{Member, Shape, StructShape, XmlNamespace};
use crate::value::{Field, Struct, Value};

pub(crate) struct Encoder {
    pub writer: Writer,
    pub time: TimeText,
}

/// The root element where the whole output is the body.
pub(crate) fn root_name(shape: &StructShape) -> &'static str {
    shape.xml_root.unwrap_or(shape.name)
}

/// The root element where a member is the body: the name that the member was given, else that of
/// its structure, else the member's own.
pub(crate) fn payload_name(member: &Member) -> &'static str {
    match member.shape {
        Shape::Struct(inner) if member.wire == member.name => inner.xml_root.unwrap_or(member.wire),
        _ => member.wire,
    }
}

impl Encoder {
    /// An element that holds a structure, with the namespace if there is one.
    pub fn element(&mut self, name: &str, namespace: Option<XmlNamespace>, value: &dyn Struct) {
        let shape = value.shape();
        self.writer.start(name);
        self.namespace(namespace.or(shape.xml_namespace));
        for &index in &shape.bindings().attributes {
            let index = usize::from(index);
            let mut text = String::new();
            if scalar::write(value.field(index).value(), self.time, &mut text) {
                let member = &shape.members[index];
                self.namespace(member.xml_namespace);
                self.writer.attribute(member.wire, &text);
            }
        }
        self.writer.start_done();
        self.members(value);
        self.writer.close(name);
    }

    /// A start tag with a namespace and nothing else.
    pub fn open_with(&mut self, name: &str, namespace: Option<XmlNamespace>) {
        self.writer.start(name);
        self.namespace(namespace);
        self.writer.start_done();
    }

    /// A root that holds a scalar.
    pub fn root_scalar(
        &mut self,
        member: &Member,
        namespace: Option<XmlNamespace>,
        value: Value<'_>,
    ) {
        self.open_with(member.wire, namespace);
        match value {
            Value::Str(text) => self.writer.text(text),
            value => {
                scalar::write(value, self.time, self.writer.raw());
            }
        }
        self.writer.close(member.wire);
    }

    fn namespace(&mut self, namespace: Option<XmlNamespace>) {
        match namespace {
            Some(XmlNamespace { prefix: Some(prefix), uri }) => {
                self.writer.attribute(&format!("xmlns:{prefix}"), uri);
            }
            Some(XmlNamespace { prefix: None, uri }) => self.writer.attribute("xmlns", uri),
            None => {}
        }
    }

    /// The members in the body, one element after another.
    pub fn members(&mut self, value: &dyn Struct) {
        let shape = value.shape();
        for &index in &shape.bindings().body {
            let member = &shape.members[usize::from(index)];
            if !member.xml_attribute {
                self.member(member, value.field(usize::from(index)).value());
            }
        }
    }

    pub fn member(&mut self, member: &Member, value: Value<'_>) {
        match (&member.shape, value) {
            (_, Value::Absent) => {}
            (Shape::List(rules), Value::List(list)) if member.flattened || rules.flattened => {
                let name = element_name(member);
                self.items(name, &rules.item, (0..list.len()).filter_map(|i| list.get(i)));
            }
            (Shape::Map(rules), Value::Map(map)) if member.flattened || rules.flattened => {
                let name = element_name(member);
                for (key, item) in map.entries() {
                    self.writer.open(name);
                    self.writer.element(rules.key_wire, key);
                    self.named(rules.value_wire, &rules.value, item.value());
                    self.writer.close(name);
                }
            }
            (Shape::Struct(_), Value::Struct(inner)) => {
                self.element(member.wire, member.xml_namespace, inner);
            }
            _ => self.named(member.wire, &member.shape, value),
        }
    }

    fn items<'v>(&mut self, name: &str, shape: &Shape, items: impl Iterator<Item = &'v dyn Field>) {
        for item in items {
            match item.value() {
                Value::Absent => self.writer.empty(name),
                value => self.named(name, shape, value),
            }
        }
    }

    fn named(&mut self, name: &str, shape: &Shape, value: Value<'_>) {
        match (shape, value) {
            (_, Value::Absent) => {}
            (_, Value::Struct(inner)) => self.element(name, None, inner),
            (Shape::List(rules), Value::List(list)) => {
                if list.is_empty() {
                    return self.writer.empty(name);
                }
                self.writer.open(name);
                let items = (0..list.len()).filter_map(|i| list.get(i));
                self.items(rules.item_wire.unwrap_or("member"), &rules.item, items);
                self.writer.close(name);
            }
            (Shape::Map(rules), Value::Map(map)) => {
                if map.is_empty() {
                    return self.writer.empty(name);
                }
                self.writer.open(name);
                for (key, item) in map.entries() {
                    self.writer.open("entry");
                    self.writer.element(rules.key_wire, key);
                    self.named(rules.value_wire, &rules.value, item.value());
                    self.writer.close("entry");
                }
                self.writer.close(name);
            }
            (_, Value::Str(text)) => self.writer.element(name, text),
            (_, scalar) => {
                let time = match shape {
                    Shape::Timestamp(format) => TimeText::of(*format, self.time),
                    _ => self.time,
                };
                self.writer.open(name);
                scalar::write(scalar, time, self.writer.raw());
                self.writer.close(name);
            }
        }
    }
}
