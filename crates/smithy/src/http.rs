//! What the codecs see of an HTTP message, without naming an HTTP library.

use bytes::Bytes;
use std::borrow::Cow;

/// The header fields of a request.
pub trait Headers {
    /// Calls back for every field in order of arrival: lower-case name, value as received.
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8]));

    /// The first field with that lower-case name.
    fn get(&self, name: &str) -> Option<&[u8]>;
}

/// A request whose head is taken apart.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Path labels as [`crate::route`] gives them, decoded.
    pub labels: &'a [(&'static str, Cow<'a, str>)],
    /// Query parameters in order, decoded; one without `=` has an empty value.
    pub query: &'a [(Cow<'a, str>, Cow<'a, str>)],
    pub headers: &'a dyn Headers,
    /// Empty where the body streams.
    pub body: &'a Bytes,
}

/// A response but for what the gateway adds.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Response {
    pub status: u16,
    /// Lower-case names. Values may hold anything that the service put there: whoever sends them
    /// refuses line ends.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Empty where the body streams.
    pub body: Bytes,
    /// `None` where there is no body, or where `headers` has it.
    pub content_type: Option<&'static str>,
}

/// Header values are bytes; those that are not UTF-8 are read as ISO 8859-1.
pub(crate) fn header_text(value: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(value.iter().map(|&b| b as char).collect()),
    }
}

impl<const N: usize> Headers for [(&str, &str); N] {
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in self {
            visit(name, value.as_bytes());
        }
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_bytes())
    }
}
