//! The static tables: what a service model says of its shapes, without its prose.

pub use crate::index::Index;
use std::sync::OnceLock;

/// The name of an output where the model has none.
pub const UNIT: &str = "Unit";

/// A structure or union.
#[derive(Debug)]
pub struct StructShape {
    pub name: &'static str,
    pub members: &'static [Member],
    /// Index of the member that is the whole body, if one is.
    pub payload: Option<u16>,
    /// Exactly one member is set.
    pub union: bool,
    /// The element's name where it is the root of an XML document and the model or overlay says so.
    pub xml_root: Option<&'static str>,
    pub xml_namespace: Option<XmlNamespace>,
    /// For modelled errors.
    pub error: Option<&'static ErrorShape>,
    /// Made from the members when first used: `Index::new()`.
    pub index: Index,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XmlNamespace {
    pub prefix: Option<&'static str>,
    pub uri: &'static str,
}

/// One member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The name in the model, as error messages show it.
    pub name: &'static str,
    /// The name on the wire, in JSON, XML and query strings.
    pub wire: &'static str,
    /// The name in ec2Query requests where it is not `wire` with an upper-case first letter.
    pub ec2: Option<&'static str>,
    pub shape: Shape,
    pub location: Location,
    pub required: bool,
    /// List items or map entries stand directly in the parent (XML, query).
    pub flattened: bool,
    pub xml_attribute: bool,
    pub xml_namespace: Option<XmlNamespace>,
    /// Filled with a fresh token when a client leaves it out.
    pub idempotency_token: bool,
    pub sensitive: bool,
    /// In an event: this member is the event's payload.
    pub event_payload: bool,
}

/// Where in an HTTP message a member stands. Everything but the REST protocols has only `Body`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Location {
    Body,
    /// Lower-case header name.
    Header(&'static str),
    /// All headers with the (lower-case) prefix, as a map.
    HeaderPrefix(&'static str),
    Query(&'static str),
    /// All query parameters not bound otherwise, as a map.
    QueryMap,
    Label(&'static str),
    StatusCode,
    /// In an event: a header of its frame.
    EventHeader(&'static str),
}

/// The kind of a member, an item, a key or a value.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Boolean,
    Integer(&'static RangeRules),
    Long(&'static RangeRules),
    Float,
    Double,
    String(&'static StringRules),
    Blob(&'static LengthRules),
    Timestamp(TimeFormat),
    Struct(&'static StructShape),
    List(&'static ListShape),
    Map(&'static MapShape),
    Document,
    /// Read and written by the type itself: [`crate::value::Custom`]. For values of which a service
    /// has so many that a tree of structures would cost too much.
    Custom,
    /// The body as it flows; it has no field, the operation takes it from its context.
    Stream,
    /// A sequence of events, each a member of the union; flows like `Stream`.
    Events(&'static StructShape),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeFormat {
    /// What the protocol has at that place.
    Default,
    Iso8601,
    UnixTimestamp,
    HttpDate,
}

#[derive(Debug)]
pub struct ListShape {
    pub item: Shape,
    /// Element name of an item in XML (`member` where the model names none).
    pub item_wire: Option<&'static str>,
    pub flattened: bool,
    /// Items may be null.
    pub sparse: bool,
    pub sensitive: bool,
    pub length: LengthRules,
}

#[derive(Debug)]
pub struct MapShape {
    pub key: Shape,
    pub value: Shape,
    /// Element names in XML (`key`, `value` where the model names none).
    pub key_wire: &'static str,
    pub value_wire: &'static str,
    /// The element name of an entry where it stands directly in the parent under another name than
    /// the member's.
    pub entry_wire: Option<&'static str>,
    pub flattened: bool,
    pub sparse: bool,
    pub sensitive: bool,
    pub length: LengthRules,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct LengthRules {
    pub min: Option<u64>,
    pub max: Option<u64>,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct RangeRules {
    pub min: Option<i64>,
    pub max: Option<i64>,
}

#[derive(Default, Debug)]
pub struct StringRules {
    /// In characters.
    pub length: LengthRules,
    pub pattern: Option<Pattern>,
    /// The values of an enumeration; empty if it is none. Never more than what the model lists, and
    /// a service may be more lenient.
    pub values: &'static [&'static str],
}

/// A constraint pattern, compiled when first used.
#[derive(Debug)]
pub struct Pattern {
    pub text: &'static str,
    compiled: OnceLock<Option<regex_lite::Regex>>,
}

impl Pattern {
    pub const fn new(text: &'static str) -> Pattern {
        Pattern { text, compiled: OnceLock::new() }
    }

    /// Whether the whole value matches. A pattern that the engine cannot read matches everything;
    /// [`Pattern::is_supported`] is false for it, and a test lists those.
    pub fn matches(&self, value: &str) -> bool {
        self.regex().as_ref().is_none_or(|r| r.is_match(value))
    }

    pub fn is_supported(&self) -> bool {
        self.regex().is_some()
    }

    fn regex(&self) -> &Option<regex_lite::Regex> {
        self.compiled.get_or_init(|| regex_lite::Regex::new(&format!("^(?:{})$", self.text)).ok())
    }
}

/// A modelled error: what a client can tell apart.
#[derive(PartialEq, Eq, Debug)]
pub struct ErrorShape {
    /// The shape's name in the model.
    pub name: &'static str,
    /// The code on the wire.
    pub code: &'static str,
    pub status: u16,
    pub fault: Fault,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Sender,
    Receiver,
}

impl StructShape {
    /// The index and table row of the member with this wire name.
    pub fn by_wire(&self, wire: &str) -> Option<(usize, &'static Member)> {
        self.members.iter().enumerate().find(|(_, m)| m.wire == wire)
    }

    /// The index and table row of the member with this model name.
    pub fn by_name(&self, name: &str) -> Option<(usize, &'static Member)> {
        self.members.iter().enumerate().find(|(_, m)| m.name == name)
    }
}
