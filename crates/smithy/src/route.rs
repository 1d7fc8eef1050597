//! Finds the operation that a request means.
//!
//! In the REST protocols method, path, query parameters and headers decide. Operations with the same
//! method and path pattern form a group; within it the most demanding rule that holds wins. What a
//! request cannot satisfy is ruled out by counting before any text is compared.

use crate::http::Headers;
use crate::model::{Operation, Protocol, Segment, ServiceModel};
use crate::query;
use base::percent;
use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

/// The lazily made part of a [`ServiceModel`].
#[derive(Default)]
pub struct Routes(OnceLock<Vec<(&'static str, Vec<Group>)>>);

impl Routes {
    pub const fn new() -> Routes {
        Routes(OnceLock::new())
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routes").field(&self.0.get().is_some()).finish()
    }
}

struct Group {
    path: &'static [Segment],
    /// Most conditions first.
    operations: Vec<&'static Operation>,
}

/// What a request is addressed to, as far as finding its operation needs it.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub method: &'a str,
    /// The path as sent, percent-encoded, from its first slash.
    pub path: &'a str,
    /// Decoded query parameters.
    pub query: &'a [(Cow<'a, str>, Cow<'a, str>)],
    pub headers: &'a dyn Headers,
    /// For the query protocols, whose `Action` may stand in the form.
    pub body: &'a [u8],
}

#[derive(Debug)]
pub struct Routed<'a> {
    pub operation: &'static Operation,
    /// Decoded path labels by their name in the path.
    pub labels: Vec<(&'static str, Cow<'a, str>)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteError {
    /// Nothing says which operation is meant.
    Missing,
    /// The service has no operation of that name.
    Unknown(String),
    /// No operation has that path (with those parameters).
    NoPath,
    /// The path exists, but not for this method.
    NoMethod,
    /// The path is not UTF-8 once decoded.
    NotUtf8,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::Missing => f.write_str("the request names no operation"),
            RouteError::Unknown(name) => write!(f, "there is no operation {name}"),
            RouteError::NoPath => f.write_str("no operation has this path"),
            RouteError::NoMethod => f.write_str("this path does not take this method"),
            RouteError::NotUtf8 => f.write_str("the path is not UTF-8"),
        }
    }
}

impl std::error::Error for RouteError {}

impl ServiceModel {
    /// The operation that a request means in the given protocol.
    pub fn route<'a>(
        &self,
        protocol: Protocol,
        target: &Target<'a>,
    ) -> Result<Routed<'a>, RouteError> {
        let name = match protocol {
            Protocol::RestJson1 | Protocol::RestXml => return self.route_rest(target),
            Protocol::AwsJson10 | Protocol::AwsJson11 => {
                let header = target.headers.get("x-amz-target").ok_or(RouteError::Missing)?;
                let header = crate::http::header_text(header);
                match header.rsplit_once('.') {
                    // A name of another service, or of another version of this one, means nothing.
                    Some((prefix, _)) if self.target_prefix.is_some_and(|own| own != prefix) => {
                        return Err(RouteError::Unknown(header.into_owned()));
                    }
                    Some((_, name)) => name.to_owned(),
                    None => return Err(RouteError::Unknown(header.into_owned())),
                }
            }
            Protocol::AwsQuery | Protocol::Ec2Query => {
                query::action(target.query, target.body).ok_or(RouteError::Missing)?
            }
            Protocol::RpcV2Cbor => {
                let (_, name) =
                    target.path.rsplit_once("/operation/").ok_or(RouteError::Missing)?;
                name.trim_end_matches('/').to_owned()
            }
        };
        match self.operation(&name) {
            Some(operation) => Ok(Routed { operation, labels: Vec::new() }),
            None => Err(RouteError::Unknown(name)),
        }
    }

    fn route_rest<'a>(&self, target: &Target<'a>) -> Result<Routed<'a>, RouteError> {
        let methods = self.routes.0.get_or_init(|| methods(self.operations));
        let own = methods.iter().find(|(method, _)| *method == target.method);
        for group in own.map_or(&[][..], |(_, groups)| groups) {
            if !matches(group.path, target.path) {
                continue;
            }
            if let Some(operation) = group.operations.iter().find(|o| holds(o, target)) {
                return labels(operation, target.path);
            }
        }
        let mut others = methods.iter().filter(|(method, _)| *method != target.method);
        match others.any(|(_, groups)| groups.iter().any(|g| matches(g.path, target.path))) {
            true => Err(RouteError::NoMethod),
            false => Err(RouteError::NoPath),
        }
    }
}

fn labels<'a>(operation: &'static Operation, path: &'a str) -> Result<Routed<'a>, RouteError> {
    let mut labels = Vec::with_capacity(2);
    let mut utf8 = true;
    walk(operation.http.path, path, &mut |name, raw| match decoded(raw) {
        Some(text) => labels.push((name, text)),
        None => utf8 = false,
    });
    if utf8 { Ok(Routed { operation, labels }) } else { Err(RouteError::NotUtf8) }
}

fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    match percent::decode(raw) {
        Cow::Borrowed(_) => Some(Cow::Borrowed(raw)),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

fn methods(operations: &'static [Operation]) -> Vec<(&'static str, Vec<Group>)> {
    let mut out: Vec<(&'static str, Vec<Group>)> = Vec::new();
    for operation in operations {
        let rule = &operation.http;
        let method = out.iter().position(|(method, _)| *method == rule.method);
        let method = method.unwrap_or_else(|| {
            out.push((rule.method, Vec::new()));
            out.len() - 1
        });
        let groups = &mut out[method].1;
        // The same pattern under other label names is a group of its own, tried in turn.
        match groups.iter_mut().find(|g| g.path == rule.path) {
            Some(group) => group.operations.push(operation),
            None => groups.push(Group { path: rule.path, operations: vec![operation] }),
        }
    }
    for (_, groups) in &mut out {
        for group in groups.iter_mut() {
            group.operations.sort_by_key(|o| std::cmp::Reverse(demands(o)));
        }
        // Stable: groups as demanding as each other stay in the order of their operations.
        groups.sort_by_key(|g| {
            let most = g.operations.first().map_or(0, |o| demands(o));
            std::cmp::Reverse((specificity(g.path), most))
        });
    }
    out
}

fn demands(operation: &Operation) -> usize {
    let values = operation.http.query.iter().filter(|(_, value)| value.is_some()).count();
    (operation.http.query.len() + operation.http.headers.len()) * 8 + values
}

/// Paths with more fixed text go first; then those without a greedy label; then longer ones.
fn specificity(path: &[Segment]) -> (usize, bool, usize) {
    let texts = path.iter().filter(|s| matches!(s, Segment::Text(_))).count();
    let greedy = path.iter().any(|s| matches!(s, Segment::Greedy(_)));
    (texts, !greedy, path.len())
}

fn holds(operation: &Operation, target: &Target<'_>) -> bool {
    let rule = &operation.http;
    rule.query.len() <= target.query.len()
        && rule.query.iter().all(|(name, value)| {
            (target.query.iter()).any(|(n, v)| n == name && value.is_none_or(|value| v == value))
        })
        && rule.headers.iter().all(|name| target.headers.get(name).is_some())
}

fn matches(pattern: &[Segment], path: &str) -> bool {
    walk(pattern, path, &mut |_, _| {})
}

/// Matches a raw path against a pattern and gives the raw text of each label. One slash at the end
/// of the path makes no difference, unless a greedy label takes it.
fn walk<'a>(
    pattern: &[Segment],
    path: &'a str,
    label: &mut dyn FnMut(&'static str, &'a str),
) -> bool {
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    let mut more = !rest.is_empty();
    for (position, segment) in pattern.iter().enumerate() {
        if !more {
            return false;
        }
        if let Segment::Greedy(name) = segment {
            // Fixed text may follow a greedy label.
            let after = &pattern[position + 1..];
            let taken = match suffix_len(after, rest) {
                Some(len) if len < rest.len() => &rest[..rest.len() - len],
                _ => return false,
            };
            label(name, taken);
            return true;
        }
        let (head, tail) = match rest.split_once('/') {
            Some((head, tail)) => (head, Some(tail)),
            None => (rest, None),
        };
        match segment {
            Segment::Text(text) if *text != head => return false,
            Segment::Label(_) if head.is_empty() => return false,
            Segment::Label(name) => label(name, head),
            _ => {}
        }
        rest = tail.unwrap_or("");
        more = !rest.is_empty();
    }
    !more
}

/// The length of `/text/text` at the end of a path, if that is what it ends with.
fn suffix_len(after: &[Segment], rest: &str) -> Option<usize> {
    let mut left = rest;
    for segment in after.iter().rev() {
        let Segment::Text(text) = segment else { return None };
        left = left.strip_suffix(text)?.strip_suffix('/')?;
    }
    Some(rest.len() - left.len())
}
