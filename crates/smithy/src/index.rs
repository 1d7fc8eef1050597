//! What a shape's table implies, worked out when it is first used: where each name leads, which
//! members a codec must look at, which ones carry constraints.
//!
//! A name is found by one probe or two; requests carry many names that no member has (most headers),
//! and those must cost as little.

use crate::shape::{ListShape, Location, MapShape, Member, Shape, StructShape};
use std::fmt;
use std::sync::OnceLock;

/// The lazily made part of a [`StructShape`].
#[derive(Default)]
pub struct Index(OnceLock<Box<Bindings>>);

impl Index {
    pub const fn new() -> Index {
        Index(OnceLock::new())
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Index")
    }
}

/// Members of one structure by where they stand.
#[derive(Default)]
pub struct Bindings {
    /// Lower-case header names.
    pub headers: Names,
    pub query: Names,
    pub labels: Names,
    /// Members in the body, by the name that JSON and CBOR have.
    pub json: Names,
    /// Members in the body, by the element name of XML and query strings.
    pub elements: Names,
    /// Members in the body, by the name of ec2Query requests, the first letter as in the table:
    /// look with [`Names::find_capitalized`].
    pub ec2: Names,
    pub prefixes: Vec<(&'static str, u16)>,
    pub query_map: Option<u16>,
    pub status: Option<u16>,
    /// Names of an event's headers.
    pub event_headers: Names,
    /// Members in the body, in the order of the table.
    pub body: Vec<u16>,
    /// XML attributes among them.
    pub attributes: Vec<u16>,
    /// Members that may not be left out.
    pub required: Vec<u16>,
    /// Members with any constraint on their value.
    pub constrained: Vec<u16>,
    /// The payload member is a stream or event stream.
    pub streaming: bool,
}

/// Names and the members they mean, by open addressing. The table comes from a model, never from a
/// client, so a poor hash costs little and cannot be attacked.
#[derive(Default)]
pub struct Names {
    slots: Vec<Option<(&'static str, u16)>>,
    list: Vec<(&'static str, u16)>,
}

impl Names {
    fn new(list: Vec<(&'static str, u16)>) -> Names {
        let mut slots = vec![None; (list.len() * 4).next_power_of_two().max(4)];
        for &(name, index) in &list {
            let mut at = hash(name.as_bytes()) & (slots.len() - 1);
            loop {
                match slots[at] {
                    None => {
                        slots[at] = Some((name, index));
                        break;
                    }
                    // The first member with a name keeps it.
                    Some((taken, _)) if taken == name => break,
                    Some(_) => at = (at + 1) & (slots.len() - 1),
                }
            }
        }
        Names { slots, list }
    }

    pub fn find(&self, name: &[u8]) -> Option<usize> {
        if self.list.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(name) & mask;
        while let Some((candidate, index)) = self.slots[at] {
            if candidate.as_bytes() == name {
                return Some(usize::from(index));
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// [`Names::find`] where the table may have the name with a lower-case first letter.
    pub fn find_capitalized(&self, name: &[u8]) -> Option<usize> {
        self.find(name).or_else(|| {
            let mut lower = name.to_vec();
            lower.first_mut()?.make_ascii_lowercase();
            self.find(&lower)
        })
    }

    /// All names in the order of the members.
    pub fn all(&self) -> &[(&'static str, u16)] {
        &self.list
    }
}

fn hash(name: &[u8]) -> usize {
    let at = |i: usize| name.get(i).map_or(0, |&b| usize::from(b));
    let len = name.len();
    let mixed = len
        .wrapping_mul(31)
        .wrapping_add(at(0).wrapping_mul(7))
        .wrapping_add(at(len / 2).wrapping_mul(61))
        .wrapping_add(at(len.wrapping_sub(1)).wrapping_mul(131))
        .wrapping_add(at(len.wrapping_sub(3)).wrapping_mul(17));
    mixed ^ (mixed >> 5)
}

impl StructShape {
    pub fn bindings(&self) -> &Bindings {
        self.index.0.get_or_init(|| Box::new(bind(self)))
    }
}

fn bind(shape: &StructShape) -> Bindings {
    let mut out = Bindings::default();
    let (mut headers, mut query, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    let mut event_headers = Vec::new();
    let (mut json, mut elements, mut ec2) = (Vec::new(), Vec::new(), Vec::new());
    for (index, member) in shape.members.iter().enumerate() {
        let i = index as u16;
        match member.location {
            Location::Header(name) => headers.push((name, i)),
            Location::HeaderPrefix(prefix) => out.prefixes.push((prefix, i)),
            Location::Query(name) => query.push((name, i)),
            Location::QueryMap => out.query_map = Some(i),
            Location::Label(name) => labels.push((name, i)),
            Location::StatusCode => out.status = Some(i),
            Location::EventHeader(name) => event_headers.push((name, i)),
            Location::Body => {
                if matches!(member.shape, Shape::Stream | Shape::Events(_)) {
                    out.streaming = true;
                    continue;
                }
                json.push((member.wire, i));
                ec2.push((member.ec2.unwrap_or(member.wire), i));
                out.body.push(i);
                if member.xml_attribute {
                    out.attributes.push(i);
                } else {
                    elements.push((element_name(member), i));
                }
            }
        }
        let streams = matches!(member.shape, Shape::Stream | Shape::Events(_));
        if member.required && !streams {
            out.required.push(i);
        }
        if is_constrained(&member.shape, 0) {
            out.constrained.push(i);
        }
    }
    out.headers = Names::new(headers);
    out.query = Names::new(query);
    out.labels = Names::new(labels);
    out.event_headers = Names::new(event_headers);
    out.json = Names::new(json);
    out.elements = Names::new(elements);
    out.ec2 = Names::new(ec2);
    out
}

/// The element or query key that a member goes by. The items of a flattened list, and the entries of
/// a flattened map, have the name that the list or map gives them, where it gives one.
pub fn element_name(member: &Member) -> &'static str {
    match member.shape {
        Shape::List(list @ ListShape { item_wire: Some(item), .. })
            if member.flattened || list.flattened =>
        {
            item
        }
        Shape::Map(map @ MapShape { entry_wire: Some(entry), .. })
            if member.flattened || map.flattened =>
        {
            entry
        }
        _ => member.wire,
    }
}

/// Whether a value of this shape can violate something before the next structure down.
fn is_constrained(shape: &Shape, depth: usize) -> bool {
    if depth > 8 {
        return false;
    }
    match shape {
        Shape::Integer(r) | Shape::Long(r) => r.min.is_some() || r.max.is_some(),
        Shape::String(r) => {
            r.length.min.is_some()
                || r.length.max.is_some()
                || r.pattern.is_some()
                || !r.values.is_empty()
        }
        Shape::Blob(l) => l.min.is_some() || l.max.is_some(),
        Shape::List(l) => {
            l.length.min.is_some() || l.length.max.is_some() || is_constrained(&l.item, depth + 1)
        }
        Shape::Map(m) => {
            m.length.min.is_some()
                || m.length.max.is_some()
                || is_constrained(&m.key, depth + 1)
                || is_constrained(&m.value, depth + 1)
        }
        _ => false,
    }
}
