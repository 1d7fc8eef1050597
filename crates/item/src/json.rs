//! Items and values in requests and responses.
//!
//! What JSON has in the wrong place is a rejection at once. What breaks DynamoDB's own rules is kept as
//! the item's fault, because a service asks other questions first.

use crate::build::{Builder, close, open, push_sized, sort_members};
use crate::number;
use crate::value::{self, Kind, Map, Value, push_length, tag};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use smithy::json::{Kind as Json, Reader, Writer, quote};
use smithy::value::Custom;
use smithy::{Field, Rejection, Slot};
use std::fmt;

/// Levels of maps and lists within an attribute.
pub const MAP_DEPTH_MAX: usize = 32;

const EMPTY: &str =
    "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
const SEVERAL: &str = "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes";
pub const TOO_DEEP: &str = "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit";

/// An item, a key, or any other set of named values of a request.
#[derive(Clone, Default)]
pub struct Item {
    bytes: Bytes,
    fault: Option<Box<str>>,
}

/// One value of a request; unset until it is read.
#[derive(Clone, Default)]
pub struct Attribute {
    bytes: Bytes,
    fault: Option<Box<str>>,
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.bytes == other.bytes
    }
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Attribute) -> bool {
        self.bytes == other.bytes
    }
}

impl Item {
    /// Bytes that a [`Builder`] made or a row kept.
    pub fn from_bytes(bytes: Bytes) -> Item {
        Item { bytes, fault: None }
    }

    /// What is wrong with it, in DynamoDB's words.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    pub fn map(&self) -> Map<'_> {
        Map::of(&self.bytes)
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn get(&self, name: &str) -> Option<Value<'_>> {
        self.map().get(name)
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Reads JSON text that is one object of attribute values, as in a test or a file.
    pub fn parse(text: &str) -> Result<Item, Rejection> {
        let mut item = Item::default();
        let mut reader = Reader::new(text.as_bytes())?;
        item.read_json(&mut reader)?;
        reader.end()?;
        Ok(item)
    }

    pub fn to_json(&self) -> String {
        map_text(self.map())
    }
}

impl Attribute {
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Attribute {
        Attribute { bytes: bytes.into(), fault: None }
    }

    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// The value; null where none was read.
    pub fn value(&self) -> Value<'_> {
        const NONE: &[u8] = &[value::NULL];
        let null = || Value::of(NONE).expect("a value");
        Value::of(&self.bytes).unwrap_or_else(null)
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Reads JSON text that is one attribute value.
    pub fn parse(text: &str) -> Result<Attribute, Rejection> {
        let mut attribute = Attribute::default();
        let mut reader = Reader::new(text.as_bytes())?;
        attribute.read_json(&mut reader)?;
        reader.end()?;
        Ok(attribute)
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl fmt::Debug for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&value_text(self.value()))
    }
}

impl Custom for Item {
    fn read_json(&mut self, from: &mut Reader<'_>) -> Result<(), Rejection> {
        if from.kind()? != Json::Object {
            return Err(misfit(
                from.kind()?,
                "java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>",
            ));
        }
        let mut fault = None;
        let mut entries = Builder::with_capacity(512);
        read_entries(from, &mut entries, &mut fault, 0)?;
        *self = Item { bytes: entries.finish(), fault };
        Ok(())
    }

    fn write_json(&self, to: &mut Writer) {
        write_map(self.map(), to.raw());
    }
}

impl Custom for Attribute {
    fn read_json(&mut self, from: &mut Reader<'_>) -> Result<(), Rejection> {
        let (mut out, mut fault) = (Vec::new(), None);
        read_value(from, &mut out, &mut fault, 0)?;
        *self = Attribute { bytes: Bytes::from(out), fault };
        Ok(())
    }

    fn write_json(&self, to: &mut Writer) {
        write_value(self.value(), to.raw());
    }
}

macro_rules! field {
    ($type:ty) => {
        impl Field for $type {
            fn value(&self) -> smithy::Value<'_> {
                smithy::Value::Custom(self)
            }
            fn slot(&mut self) -> Slot<'_> {
                Slot::Custom(self)
            }
            fn reset(&mut self) {
                *self = <$type>::default();
            }
        }
    };
}

field!(Item);
field!(Attribute);

type Fault = Option<Box<str>>;

fn note(fault: &mut Fault, text: impl Into<Box<str>>) {
    if fault.is_none() {
        *fault = Some(text.into());
    }
}

fn serialization(text: impl Into<String>) -> Rejection {
    Rejection::Malformed(text.into())
}

/// A collection or scalar where something else belongs.
fn misfit(found: Json, class: &str) -> Rejection {
    match found {
        Json::Array => serialization(format!("Unrecognized collection type {class}")),
        Json::Object => serialization("Start of structure or map found where not expected"),
        _ => serialization("Unexpected field type"),
    }
}

fn cannot(found: Json, wanted: &str) -> Rejection {
    let found = match found {
        Json::True => "TRUE_VALUE",
        Json::False => "FALSE_VALUE",
        Json::Number => "NUMBER_VALUE",
        Json::String => "STRING_VALUE",
        Json::Array => {
            return serialization(format!("Unrecognized collection type class java.lang.{wanted}"));
        }
        Json::Object => {
            return serialization("Start of structure or map found where not expected");
        }
        Json::Null => "NULL_VALUE",
    };
    serialization(format!("{found} cannot be converted to {wanted}"))
}

/// The entries of an object that is next.
fn read_entries(
    from: &mut Reader<'_>,
    to: &mut Builder,
    fault: &mut Fault,
    depth: usize,
) -> Result<(), Rejection> {
    from.enter()?;
    let mut first = true;
    while let Some(name) = from.key(first)? {
        first = false;
        read_value(from, to.name(&name), fault, depth)?;
    }
    Ok(())
}

/// One value into `out`; a null in its place where it has a fault.
fn read_value(
    from: &mut Reader<'_>,
    out: &mut Vec<u8>,
    fault: &mut Fault,
    depth: usize,
) -> Result<(), Rejection> {
    match from.kind()? {
        Json::Object => {}
        Json::Null => {
            from.literal()?;
            note(fault, EMPTY);
            out.push(value::NULL);
            return Ok(());
        }
        Json::Array => {
            return Err(misfit(
                Json::Array,
                "class com.amazonaws.dynamodb.v20120810.AttributeValue",
            ));
        }
        _ => return Err(serialization("Unexpected value type in payload")),
    }
    from.enter()?;
    let start = out.len();
    let (mut first, mut found) = (true, 0);
    while let Some(name) = from.key(first)? {
        first = false;
        let kind = Kind::by_name(&name);
        if kind.is_none() || from.kind()? == Json::Null {
            from.skip()?;
            continue;
        }
        found += 1;
        out.truncate(start);
        read_typed(from, kind.unwrap_or(Kind::Null), out, fault, depth)?;
    }
    if found != 1 {
        note(fault, if found == 0 { EMPTY } else { SEVERAL });
        out.truncate(start);
        out.push(value::NULL);
    }
    Ok(())
}

fn read_typed(
    from: &mut Reader<'_>,
    kind: Kind,
    out: &mut Vec<u8>,
    fault: &mut Fault,
    depth: usize,
) -> Result<(), Rejection> {
    match kind {
        Kind::S => {
            check_text(from)?;
            push_sized(value::S, from.string()?.as_bytes(), out);
        }
        Kind::N => {
            check_text(from)?;
            let text = from.string()?;
            match number::normal(&text) {
                Ok(text) => push_sized(value::N, text.as_bytes(), out),
                Err(error) => {
                    note(fault, error.to_string());
                    push_sized(value::N, b"0", out);
                }
            }
        }
        Kind::B => push_sized(value::B, &read_blob(from)?, out),
        Kind::Bool => out.push(if read_flag(from)? { value::TRUE } else { value::FALSE }),
        Kind::Null => {
            if !read_flag(from)? {
                note(
                    fault,
                    "One or more parameter values were invalid: Null attribute value types must have the value of true",
                );
            }
            out.push(value::NULL);
        }
        Kind::SS | Kind::NS | Kind::BS => read_set(from, kind, out, fault)?,
        Kind::L => {
            let found = from.kind()?;
            if found != Json::Array {
                return Err(misfit(found, ""));
            }
            out.push(value::L);
            let start = open(out);
            deeper(fault, depth);
            from.enter()?;
            let mut first = true;
            while from.item(first)? {
                first = false;
                read_value(from, out, fault, depth + 1)?;
            }
            close(out, start);
        }
        Kind::M => {
            let found = from.kind()?;
            if found != Json::Object {
                return Err(misfit(
                    found,
                    "java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>",
                ));
            }
            out.push(value::M);
            let start = open(out);
            deeper(fault, depth);
            let mut entries = Builder::over(std::mem::take(out));
            read_entries(from, &mut entries, fault, depth + 1)?;
            *out = entries.into_vec();
            close(out, start);
        }
    }
    Ok(())
}

fn check_text(from: &mut Reader<'_>) -> Result<(), Rejection> {
    match from.kind()? {
        Json::String => Ok(()),
        found => Err(cannot(found, "String")),
    }
}

fn deeper(fault: &mut Fault, depth: usize) {
    if depth + 1 >= MAP_DEPTH_MAX {
        note(fault, TOO_DEEP);
    }
}

/// Boolean members take words too.
fn read_flag(from: &mut Reader<'_>) -> Result<bool, Rejection> {
    match from.kind()? {
        Json::True | Json::False => Ok(from.literal()? == Json::True),
        Json::String => match from.string()?.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err(serialization("Unexpected token received from parser")),
        },
        found => Err(cannot(found, "Boolean")),
    }
}

fn read_blob(from: &mut Reader<'_>) -> Result<Vec<u8>, Rejection> {
    match from.kind()? {
        Json::String => {}
        Json::Array => return Err(misfit(Json::Array, "class java.nio.ByteBuffer")),
        Json::Object => return Err(misfit(Json::Object, "")),
        _ => {
            return Err(serialization("only base-64-encoded strings are convertible to bytes"));
        }
    }
    let text = from.string()?;
    if text.len() % 4 != 0 {
        let length = text.len();
        return Err(serialization(format!(
            "Base64 encoded length is expected a multiple of 4 bytes but found: {length}"
        )));
    }
    let decoded = STANDARD.decode(text.as_bytes());
    decoded.map_err(|_| serialization("Invalid last non-pad Base64 character dectected"))
}

fn read_set(
    from: &mut Reader<'_>,
    kind: Kind,
    out: &mut Vec<u8>,
    fault: &mut Fault,
) -> Result<(), Rejection> {
    let found = from.kind()?;
    if found != Json::Array {
        return Err(misfit(found, ""));
    }
    from.enter()?;
    let mut members: Vec<Vec<u8>> = Vec::new();
    let mut shown: Vec<String> = Vec::new();
    while from.item(members.is_empty())? {
        match kind {
            Kind::BS => members.push(read_blob(from)?),
            _ => {
                let found = from.kind()?;
                if found != Json::String {
                    return Err(cannot(found, "String"));
                }
                let text = from.string()?;
                shown.push(text.clone().into_owned());
                if kind == Kind::SS {
                    members.push(text.into_owned().into_bytes());
                    continue;
                }
                match number::normal(&text) {
                    Ok(text) => members.push(text.into_owned().into_bytes()),
                    Err(error) => {
                        note(fault, error.to_string());
                        members.push(b"0".to_vec());
                    }
                }
            }
        }
    }
    if fault.is_none()
        && let Some(text) = set_fault(kind, &members, &shown)
    {
        note(fault, text);
    }
    write_set(kind, &members, out);
    Ok(())
}

fn write_set(kind: Kind, members: &[Vec<u8>], out: &mut Vec<u8>) {
    let mut sorted: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
    sort_members(kind, &mut sorted);
    sorted.dedup();
    out.push(tag(kind));
    let start = open(out);
    for member in sorted {
        push_length(member.len(), out);
        out.extend_from_slice(member);
    }
    close(out, start);
}

fn set_fault(kind: Kind, members: &[Vec<u8>], shown: &[String]) -> Option<String> {
    const INVALID: &str = "One or more parameter values were invalid: ";
    if members.is_empty() {
        let text = match kind {
            Kind::SS => "An string set  may not be empty",
            Kind::NS => "An number set  may not be empty",
            _ => "Binary sets should not be empty",
        };
        return Some(format!("{INVALID}{text}"));
    }
    if members.iter().any(Vec::is_empty) {
        let text = match kind {
            Kind::BS => "Binary sets may not contain null or empty values",
            _ => "An string set may not have a empty string as a member",
        };
        return Some(format!("{INVALID}{text}"));
    }
    let mut sorted: Vec<&Vec<u8>> = members.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).all(|pair| pair[0] != pair[1]) {
        return None;
    }
    Some(match kind {
        Kind::NS => "Input collection contains duplicates".to_owned(),
        Kind::SS => {
            format!("{INVALID}Input collection [{}] contains duplicates.", shown.join(", "))
        }
        _ => {
            let all: Vec<String> = members.iter().map(|member| STANDARD.encode(member)).collect();
            format!("{INVALID}Input collection [{}]of type BS contains duplicates.", all.join(", "))
        }
    })
}

pub(crate) fn value_text(value: Value<'_>) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

pub(crate) fn map_text(map: Map<'_>) -> String {
    let mut out = String::new();
    write_map(map, &mut out);
    out
}

fn write_map(map: Map<'_>, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in map.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        quote(name, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: Value<'_>, out: &mut String) {
    match value.kind() {
        Kind::S => {
            out.push_str("{\"S\":");
            quote(value.text(), out);
        }
        Kind::N => {
            out.push_str("{\"N\":\"");
            out.push_str(value.text());
            out.push('"');
        }
        Kind::B => {
            out.push_str("{\"B\":\"");
            STANDARD.encode_string(value.content(), out);
            out.push('"');
        }
        Kind::Bool => {
            out.push_str(if value.is_true() { "{\"BOOL\":true" } else { "{\"BOOL\":false" })
        }
        Kind::Null => out.push_str("{\"NULL\":true"),
        Kind::SS | Kind::NS | Kind::BS => write_members(value, out),
        Kind::L => {
            out.push_str("{\"L\":[");
            for (at, item) in value.items().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Kind::M => {
            out.push_str("{\"M\":");
            write_map(value.map(), out);
        }
    }
    out.push('}');
}

fn write_members(value: Value<'_>, out: &mut String) {
    let kind = value.kind();
    out.push_str("{\"");
    out.push_str(kind.name());
    out.push_str("\":[");
    for (at, member) in value.members().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match kind {
            Kind::BS => {
                out.push('"');
                STANDARD.encode_string(member, out);
                out.push('"');
            }
            _ => quote(std::str::from_utf8(member).unwrap_or_default(), out),
        }
    }
    out.push(']');
}
