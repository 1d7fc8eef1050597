//! Making encoded values.

use crate::number::{self, NumberError};
use crate::value::{self, Kind, Map, Value, push_length, tag};
use bytes::Bytes;

/// Begins something of a length that is not known yet; [`close`] puts it in.
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Writes the length of all that came since [`open`] gave `start`.
pub(crate) fn close(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    push_length(length, &mut prefix);
    out.splice(start - 1..start, prefix);
}

pub(crate) fn push_sized(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    push_length(content.len(), out);
    out.extend_from_slice(content);
}

fn sized(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    push_sized(tag, content, &mut out);
    out
}

pub fn string(text: &str) -> Vec<u8> {
    sized(value::S, text.as_bytes())
}

/// A number from any text of it.
pub fn number_value(text: &str) -> Result<Vec<u8>, NumberError> {
    Ok(sized(value::N, number::normal(text)?.as_bytes()))
}

pub fn binary(bytes: &[u8]) -> Vec<u8> {
    sized(value::B, bytes)
}

pub fn boolean(is_true: bool) -> Vec<u8> {
    vec![if is_true { value::TRUE } else { value::FALSE }]
}

pub fn null() -> Vec<u8> {
    vec![value::NULL]
}

/// A set of that kind; members in any order, doubles are one.
pub fn set<'a>(kind: Kind, members: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut members: Vec<&[u8]> = members.collect();
    sort_members(kind, &mut members);
    members.dedup();
    let mut out = vec![tag(kind)];
    let start = open(&mut out);
    for member in members {
        push_length(member.len(), &mut out);
        out.extend_from_slice(member);
    }
    close(&mut out, start);
    out
}

pub(crate) fn sort_members(kind: Kind, members: &mut [&[u8]]) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or("0");
    match kind {
        Kind::NS => members.sort_unstable_by(|a, b| number::compare(text(a), text(b))),
        _ => members.sort_unstable(),
    }
}

/// A list of encoded values.
pub fn list<'a>(items: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![value::L];
    let start = open(&mut out);
    items.for_each(|item| out.extend_from_slice(item));
    close(&mut out, start);
    out
}

/// A map with the entries of an item.
pub fn map(entries: Map<'_>) -> Vec<u8> {
    sized(value::M, entries.bytes())
}

/// Puts the entries of a map or item in order while they come. Of two with one name the last counts.
#[derive(Default)]
pub struct Builder {
    out: Vec<u8>,
    /// Where each entry begins, and where its name does.
    entries: Vec<(usize, usize)>,
    in_order: bool,
}

impl Builder {
    pub fn with_capacity(capacity: usize) -> Builder {
        Builder::over(Vec::with_capacity(capacity))
    }

    /// Goes on where `out` ends.
    pub(crate) fn over(out: Vec<u8>) -> Builder {
        Builder { out, entries: Vec::new(), in_order: true }
    }

    /// Begins an entry; its encoded value must follow.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        let start = self.out.len();
        push_length(name.len(), &mut self.out);
        let text = self.out.len();
        if let Some(&(_, last)) = self.entries.last() {
            self.in_order &= self.name_at(last, start).is_some_and(|last| last < name.as_bytes());
        }
        self.out.extend_from_slice(name.as_bytes());
        self.entries.push((start, text));
        &mut self.out
    }

    /// The name whose text begins there, of the entry that ends at `end`.
    fn name_at(&self, text: usize, end: usize) -> Option<&[u8]> {
        let (start, _) = self.entries.iter().rev().find(|(_, at)| *at == text)?;
        let (name, _) = value::split_sized(&self.out[*start..end])?;
        Some(name)
    }

    pub fn push(&mut self, name: &str, value: Value<'_>) {
        self.name(name).extend_from_slice(value.bytes());
    }

    /// What was there before, then the entries in order.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        let Builder { mut out, entries, in_order } = self;
        let Some(&(first, _)) = entries.first() else { return out };
        if in_order {
            return out;
        }
        let ends = entries.iter().skip(1).map(|(start, _)| *start).chain([out.len()]);
        let mut parts: Vec<&[u8]> =
            entries.iter().zip(ends).map(|((start, _), end)| &out[*start..end]).collect();
        let name = |part: &&[u8]| value::split_sized(part).map(|(name, _)| name.to_vec());
        parts.sort_by_cached_key(name);
        let mut sorted: Vec<u8> = Vec::with_capacity(out.len() - first);
        for (at, part) in parts.iter().enumerate() {
            let same = parts.get(at + 1).is_some_and(|next| name(next) == name(part));
            if !same {
                sorted.extend_from_slice(part);
            }
        }
        out.truncate(first);
        out.extend_from_slice(&sorted);
        out
    }

    pub fn finish(self) -> Bytes {
        Bytes::from(self.into_vec())
    }
}
