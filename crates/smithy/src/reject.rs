//! Why a request was not decoded. The gateway turns each into the error that its service has.

use crate::shape::Location;
use std::fmt::{self, Write as _};

/// No more violations than this are collected from one request.
pub const VIOLATIONS_MAX: usize = 10;
/// A value is echoed up to this many characters.
const ECHO_CHARS_MAX: usize = 1024;

#[derive(Clone, PartialEq, Debug)]
pub enum Rejection {
    /// The body (or an awsQuery form) is not well-formed, or does not fit its shape:
    /// `SerializationException`, `MalformedXML`, `MalformedQueryString`. The text is for the client.
    Malformed(String),
    /// The body is no JSON at all; the text says why.
    NotJson(String),
    /// A header, query parameter or path label is not of its type.
    BadValue(BadValue),
    /// Nested too deeply or too many parts; the text says what.
    TooLarge(&'static str),
    /// Constraints of the model do not hold; in a service that does not validate only
    /// [`Constraint::NotNull`] comes up.
    Invalid(Vec<Violation>),
}

/// Text that is not what its member's type asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct BadValue {
    pub member: &'static str,
    pub location: Location,
    pub value: String,
    pub expected: Expected,
}

/// What a scalar should have been.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    Boolean,
    Integer,
    Long,
    Float,
    Double,
    Blob,
    Timestamp,
    String,
}

/// One value that breaks one rule.
#[derive(Clone, PartialEq, Debug)]
pub struct Violation {
    /// From the input down.
    pub path: Vec<Step>,
    /// Where the member at the start of the path stands.
    pub location: Location,
    pub value: Echo,
    pub constraint: Constraint,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Member(&'static str),
    /// Counted from 0.
    Item(usize),
    Key(String),
}

/// What may be shown of the offending value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Echo {
    Null,
    /// Sensitive, or a structure.
    Hidden,
    Text(String),
}

#[derive(Clone, PartialEq, Debug)]
pub enum Constraint {
    NotNull,
    LengthMin(u64),
    LengthMax(u64),
    RangeMin(i64),
    RangeMax(i64),
    Pattern(&'static str),
    Enum(&'static [&'static str]),
    /// A union with so many members set in place of one.
    OneMember(usize),
    /// What every item of the list must satisfy, all rules named if one fails.
    Items(Vec<Constraint>),
    Keys(Vec<Constraint>),
    Values(Vec<Constraint>),
}

impl Echo {
    /// The text, cut where it is very long.
    pub fn text(text: &str) -> Echo {
        match text.char_indices().nth(ECHO_CHARS_MAX) {
            None => Echo::Text(text.to_owned()),
            Some((at, _)) => Echo::Text(format!("{}...", &text[..at])),
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Constraint::NotNull => f.write_str("Member must not be null"),
            Constraint::LengthMin(n) => {
                write!(f, "Member must have length greater than or equal to {n}")
            }
            Constraint::LengthMax(n) => {
                write!(f, "Member must have length less than or equal to {n}")
            }
            Constraint::RangeMin(n) => {
                write!(f, "Member must have value greater than or equal to {n}")
            }
            Constraint::RangeMax(n) => {
                write!(f, "Member must have value less than or equal to {n}")
            }
            Constraint::Pattern(p) => {
                write!(f, "Member must satisfy regular expression pattern: {p}")
            }
            Constraint::Enum(values) => {
                write!(f, "Member must satisfy enum value set: [{}]", values.join(", "))
            }
            Constraint::OneMember(_) => {
                f.write_str("Member must have exactly one of its members set")
            }
            Constraint::Items(all) => write!(f, "Member must satisfy constraint: [{}]", list(all)),
            Constraint::Keys(all) => write!(f, "Map keys must satisfy constraint: [{}]", list(all)),
            Constraint::Values(all) => {
                write!(f, "Map value must satisfy constraint: [{}]", list(all))
            }
        }
    }
}

fn list(constraints: &[Constraint]) -> String {
    constraints.iter().map(Constraint::to_string).collect::<Vec<_>>().join(", ")
}

impl Violation {
    /// `keySchema.1.member.attributeName`: members with a lower-case first letter, items counted
    /// from 1.
    pub fn path_text(&self) -> String {
        let mut out = String::new();
        for step in &self.path {
            if !out.is_empty() {
                out.push('.');
            }
            match step {
                Step::Member(name) => {
                    let mut chars = name.chars();
                    out.extend(chars.next().map(|c| c.to_ascii_lowercase()));
                    out.push_str(chars.as_str());
                }
                Step::Item(index) => {
                    let _ = write!(out, "{}.member", index + 1);
                }
                Step::Key(key) => {
                    out.push_str(key);
                    out.push_str(".member");
                }
            }
        }
        out
    }
}

/// Characters that XML 1.0 has no way to say.
const NO_XML: fn(char) -> bool = |c| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');

impl fmt::Display for Violation {
    /// `Value 'x' at 'tableName' failed to satisfy constraint: ...`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value ")?;
        match &self.value {
            Echo::Null => f.write_str("null ")?,
            Echo::Hidden => {}
            // What XML cannot say, whatever the protocol, is shown as unknown.
            Echo::Text(text) if text.contains(NO_XML) => {
                write!(f, "'{}' ", text.replace(NO_XML, "\u{fffd}"))?;
            }
            Echo::Text(text) => write!(f, "'{text}' ")?,
        }
        write!(f, "at '{}' failed to satisfy constraint: {}", self.path_text(), self.constraint)
    }
}

/// `2 validation errors detected: ...; ...`
pub fn violations_text(violations: &[Violation]) -> String {
    let plural = if violations.len() == 1 { "" } else { "s" };
    let all: Vec<_> = violations.iter().map(Violation::to_string).collect();
    format!("{} validation error{plural} detected: {}", violations.len(), all.join("; "))
}

impl Rejection {
    pub(crate) fn malformed(text: impl Into<String>) -> Rejection {
        Rejection::Malformed(text.into())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejection::Malformed(text) | Rejection::NotJson(text) => f.write_str(text),
            Rejection::BadValue(bad) => {
                write!(f, "'{}' is not a valid {:?} for {}", bad.value, bad.expected, bad.member)
            }
            Rejection::TooLarge(what) => write!(f, "too large: {what}"),
            Rejection::Invalid(violations) => f.write_str(&violations_text(violations)),
        }
    }
}

impl std::error::Error for Rejection {}
