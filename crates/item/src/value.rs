//! Encoded values, looked at in place.

use crate::number;
use std::cmp::Ordering;
use std::fmt;

/// The data types, by the names that requests have for them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    S,
    N,
    B,
    SS,
    NS,
    BS,
    M,
    L,
    Null,
    Bool,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::S => "S",
            Kind::N => "N",
            Kind::B => "B",
            Kind::SS => "SS",
            Kind::NS => "NS",
            Kind::BS => "BS",
            Kind::M => "M",
            Kind::L => "L",
            Kind::Null => "NULL",
            Kind::Bool => "BOOL",
        }
    }

    /// As some messages have it: `STRING_SET`.
    pub fn long_name(self) -> &'static str {
        match self {
            Kind::S => "STRING",
            Kind::N => "NUMBER",
            Kind::B => "BINARY",
            Kind::SS => "STRING_SET",
            Kind::NS => "NUMBER_SET",
            Kind::BS => "BINARY_SET",
            Kind::M => "MAP",
            Kind::L => "LIST",
            Kind::Null => "NULL",
            Kind::Bool => "BOOLEAN",
        }
    }

    pub fn by_name(name: &str) -> Option<Kind> {
        Some(match name {
            "S" => Kind::S,
            "N" => Kind::N,
            "B" => Kind::B,
            "SS" => Kind::SS,
            "NS" => Kind::NS,
            "BS" => Kind::BS,
            "M" => Kind::M,
            "L" => Kind::L,
            "NULL" => Kind::Null,
            "BOOL" => Kind::Bool,
            _ => return None,
        })
    }

    pub fn is_set(self) -> bool {
        matches!(self, Kind::SS | Kind::NS | Kind::BS)
    }
}

// Stored: never changed, never used again for something else.
pub(crate) const S: u8 = 1;
pub(crate) const N: u8 = 2;
pub(crate) const B: u8 = 3;
pub(crate) const SS: u8 = 4;
pub(crate) const NS: u8 = 5;
pub(crate) const BS: u8 = 6;
pub(crate) const M: u8 = 7;
pub(crate) const L: u8 = 8;
pub(crate) const NULL: u8 = 9;
pub(crate) const FALSE: u8 = 10;
pub(crate) const TRUE: u8 = 11;

pub(crate) fn tag(kind: Kind) -> u8 {
    match kind {
        Kind::S => S,
        Kind::N => N,
        Kind::B => B,
        Kind::SS => SS,
        Kind::NS => NS,
        Kind::BS => BS,
        Kind::M => M,
        Kind::L => L,
        Kind::Null => NULL,
        Kind::Bool => FALSE,
    }
}

/// A length as one to five bytes, the low seven bits first.
pub(crate) fn push_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// A length, and what stands behind it.
pub(crate) fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let mut length = 0usize;
    for (i, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((length, &bytes[i + 1..]));
        }
    }
    None
}

/// So many bytes behind their length, and the rest.
pub(crate) fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split_length(bytes)?;
    rest.split_at_checked(length)
}

/// One encoded value. Equal values have equal bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    bytes: &'a [u8],
    content: &'a [u8],
}

impl<'a> Value<'a> {
    /// The value at the beginning of `bytes`, and what stands behind it.
    pub fn split(bytes: &'a [u8]) -> Option<(Value<'a>, &'a [u8])> {
        let (&tag, rest) = bytes.split_first()?;
        if matches!(tag, NULL | FALSE | TRUE) {
            return Some((Value { bytes: &bytes[..1], content: &[] }, rest));
        }
        if !(S..=L).contains(&tag) {
            return None;
        }
        let (content, rest) = split_sized(rest)?;
        let whole = bytes.len() - rest.len();
        Some((Value { bytes: &bytes[..whole], content }, rest))
    }

    /// The value that `bytes` are.
    pub fn of(bytes: &'a [u8]) -> Option<Value<'a>> {
        Value::split(bytes).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
    }

    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub fn kind(self) -> Kind {
        match self.bytes[0] {
            S => Kind::S,
            N => Kind::N,
            B => Kind::B,
            SS => Kind::SS,
            NS => Kind::NS,
            BS => Kind::BS,
            M => Kind::M,
            L => Kind::L,
            NULL => Kind::Null,
            _ => Kind::Bool,
        }
    }

    /// What a string, a number or binary holds; nothing for the others.
    pub fn content(self) -> &'a [u8] {
        self.content
    }

    /// A string or the one text of a number.
    pub fn text(self) -> &'a str {
        std::str::from_utf8(self.content).unwrap_or_default()
    }

    pub fn is_true(self) -> bool {
        self.bytes[0] == TRUE
    }

    /// Members of a set, in order.
    pub fn members(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let mut rest = if self.kind().is_set() { self.content } else { &[] };
        std::iter::from_fn(move || {
            let (member, after) = split_sized(rest)?;
            rest = after;
            Some(member)
        })
    }

    /// Items of a list.
    pub fn items(self) -> impl Iterator<Item = Value<'a>> + Clone {
        let mut rest = if self.bytes[0] == L { self.content } else { &[] };
        std::iter::from_fn(move || {
            let (item, after) = Value::split(rest)?;
            rest = after;
            Some(item)
        })
    }

    /// A map's entries; empty for anything else.
    pub fn map(self) -> Map<'a> {
        Map(if self.bytes[0] == M { self.content } else { &[] })
    }

    /// `{S:a}`, as messages show a value.
    pub fn shown(self) -> String {
        let kind = self.kind();
        let text = match kind {
            Kind::S | Kind::N => self.text().to_owned(),
            Kind::Bool => self.is_true().to_string(),
            Kind::Null => "true".to_owned(),
            Kind::B => {
                format!("java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", self.content.len())
            }
            _ => "...".to_owned(),
        };
        format!("{{{}:{text}}}", kind.name())
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::json::value_text(*self))
    }
}

/// Names and values in the order of the names: the content of a map, or a whole item.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Map<'a>(&'a [u8]);

impl<'a> Map<'a> {
    /// Bytes that a builder made, or a row kept.
    pub fn of(bytes: &'a [u8]) -> Map<'a> {
        Map(bytes)
    }

    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub fn len(self) -> usize {
        self.iter().count()
    }

    pub fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> + Clone {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, after) = split_sized(rest)?;
            let (value, after) = Value::split(after)?;
            rest = after;
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }

    pub fn get(self, wanted: &str) -> Option<Value<'a>> {
        let wanted = wanted.as_bytes();
        let mut rest = self.0;
        loop {
            let (name, after) = split_sized(rest)?;
            let (value, after) = Value::split(after)?;
            match name.cmp(wanted) {
                Ordering::Less => rest = after,
                Ordering::Equal => return Some(value),
                // The names are in order.
                Ordering::Greater => return None,
            }
        }
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::json::map_text(*self))
    }
}

/// The order of two values; `None` unless both are strings, numbers or binary.
pub fn compare(a: Value<'_>, b: Value<'_>) -> Option<Ordering> {
    match (a.kind(), b.kind()) {
        (Kind::S, Kind::S) | (Kind::B, Kind::B) => Some(a.content().cmp(b.content())),
        (Kind::N, Kind::N) => Some(number::compare(a.text(), b.text())),
        _ => None,
    }
}
