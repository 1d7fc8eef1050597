//! awsQuery and ec2Query: requests are forms with dotted keys, responses are XML.
//!
//! A key is a path (`Tags.member.1.Key`). Keys are grouped level by level along the table; an index
//! only orders the items, so a gap or an absurd index costs nothing. Unknown keys are passed over.

use crate::check::{Check, Seen};
use crate::http::{Request, Response};
use crate::model::{Operation, ServiceModel};
use crate::reject::{BadValue, Rejection, Step};
use crate::scalar::{self, TimeText};
use crate::shape::{ListShape, Location, MapShape, Member, Shape, XmlNamespace};
use crate::value::{Field, List, Map, Slot, Struct};
use crate::xml;
use base::limits::NESTING_MAX;
use base::percent;
use std::borrow::Cow;

/// Parameters in one request.
pub const PARAMETERS_MAX: usize = 100_000;

type Result<T> = std::result::Result<T, Rejection>;
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What is left of a key, and its value.
type Entry<'a> = (&'a str, &'a str);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    Aws,
    Ec2,
}

/// Reads a form: `a=1&b=2`, percent-encoded, `+` for a space.
pub fn parse_form(text: &[u8]) -> Result<Vec<Pair<'_>>> {
    let bad = || Rejection::malformed("the request's form is not UTF-8");
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    let mut out = Vec::new();
    for pair in text.trim_end().split('&').filter(|p| !p.is_empty()) {
        if out.len() >= PARAMETERS_MAX {
            return Err(Rejection::TooLarge("parameters"));
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        out.push((decoded(key).ok_or_else(bad)?, decoded(value).ok_or_else(bad)?));
    }
    Ok(out)
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    match percent::decode_form(text) {
        Cow::Borrowed(_) => Some(Cow::Borrowed(text)),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The `Action` of a request, from its query string or its form.
pub fn action(query: &[Pair<'_>], body: &[u8]) -> Option<String> {
    if let Some((_, value)) = query.iter().find(|(key, _)| key == "Action") {
        return Some(value.clone().into_owned());
    }
    let text = std::str::from_utf8(body).ok()?;
    let value = text.split('&').find_map(|pair| pair.strip_prefix("Action="))?;
    decoded(value.trim_end()).map(Cow::into_owned)
}

pub(crate) fn decode(
    dialect: Dialect,
    request: &Request<'_>,
    input: &mut dyn Struct,
    check: &mut Check,
) -> Result<()> {
    let form = parse_form(request.body)?;
    let all = request.query.iter().chain(&form);
    let entries: Vec<Entry<'_>> = all.map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
    Decoder { dialect, check }.structure(&entries, input, 0)
}

struct Decoder<'c> {
    dialect: Dialect,
    check: &'c mut Check,
}

impl Decoder<'_> {
    fn structure(
        &mut self,
        entries: &[Entry<'_>],
        out: &mut dyn Struct,
        depth: usize,
    ) -> Result<()> {
        if depth > NESTING_MAX {
            return Err(Rejection::TooLarge("nesting"));
        }
        let shape = out.shape();
        let bindings = shape.bindings();
        let mut found: Vec<(usize, Entry<'_>)> = Vec::with_capacity(entries.len());
        for &(key, value) in entries {
            let (head, rest) = split(key);
            let index = match self.dialect {
                Dialect::Ec2 => bindings.ec2.find_capitalized(head.as_bytes()),
                Dialect::Aws => (bindings.elements.find(head.as_bytes()))
                    .or_else(|| bindings.json.find(head.as_bytes())),
            };
            found.extend(index.map(|index| (index, (rest, value))));
        }
        found.sort_by_key(|(index, _)| *index);
        let mut seen = Seen::default();
        let mut group = Vec::new();
        let mut at = 0;
        while let Some(&(index, _)) = found.get(at) {
            group.clear();
            let same = found[at..].iter().take_while(|(i, _)| *i == index);
            group.extend(same.map(|(_, entry)| *entry));
            at += group.len();
            let member = &shape.members[index];
            if shape.union && at < found.len() {
                return Err(malformed(member, "has more than one member set"));
            }
            seen.insert(index);
            let mark = self.check.mark();
            self.field(member, &member.shape, &group, out.field_mut(index), depth)?;
            self.check.prefix_member(mark, member);
        }
        self.check.finish(out, &seen);
        Ok(())
    }

    fn field(
        &mut self,
        member: &'static Member,
        shape: &Shape,
        entries: &[Entry<'_>],
        field: &mut dyn Field,
        depth: usize,
    ) -> Result<()> {
        match (shape, field.slot()) {
            (Shape::Struct(_), Slot::Struct(out)) => {
                if entries.iter().any(|(rest, value)| rest.is_empty() && !value.is_empty()) {
                    return Err(malformed(member, "is a structure"));
                }
                self.structure(entries, out, depth + 1)
            }
            (Shape::List(rules), Slot::List(list)) => {
                self.list(member, rules, entries, list, depth)
            }
            (Shape::Map(rules), Slot::Map(map)) => self.map(member, rules, entries, map, depth),
            (Shape::Document | Shape::Custom | Shape::Stream | Shape::Events(_), _) => Ok(()),
            (_, slot) => {
                let Some((_, value)) = entries.iter().rev().find(|(rest, _)| rest.is_empty())
                else {
                    return Err(malformed(member, "is not a structure or list"));
                };
                let time = match shape {
                    Shape::Timestamp(format) => TimeText::of(*format, TimeText::Iso),
                    _ => TimeText::Iso,
                };
                scalar::parse(slot, Cow::Borrowed(value), time).map_err(|expected| {
                    Rejection::BadValue(BadValue {
                        member: member.name,
                        location: Location::Body,
                        value: (*value).to_owned(),
                        expected,
                    })
                })
            }
        }
    }

    fn list(
        &mut self,
        member: &'static Member,
        rules: &ListShape,
        entries: &[Entry<'_>],
        list: &mut dyn List,
        depth: usize,
    ) -> Result<()> {
        let direct = self.dialect == Dialect::Ec2 || member.flattened || rules.flattened;
        let inner = (!direct).then(|| rules.item_wire.unwrap_or("member"));
        for group in numbered(member, inner, entries)? {
            let (index, mark) = (list.len(), self.check.mark());
            self.check.grow(list.item_bytes())?;
            self.field(member, &rules.item, &group, list.push(), depth + 1)?;
            self.check.prefix(mark, || Step::Item(index));
        }
        Ok(())
    }

    fn map(
        &mut self,
        member: &'static Member,
        rules: &MapShape,
        entries: &[Entry<'_>],
        map: &mut dyn Map,
        depth: usize,
    ) -> Result<()> {
        let inner = (!(member.flattened || rules.flattened)).then_some("entry");
        for group in numbered(member, inner, entries)? {
            let key = group.iter().rev().find(|(rest, _)| *rest == rules.key_wire);
            let Some((_, key)) = key else {
                return Err(malformed(member, "has an entry without key"));
            };
            let values: Vec<Entry<'_>> = group
                .iter()
                .filter_map(|&(rest, value)| {
                    let (head, rest) = split(rest);
                    (head == rules.value_wire).then_some((rest, value))
                })
                .collect();
            if values.is_empty() {
                return Err(malformed(member, "has an entry without value"));
            }
            let mark = self.check.mark();
            self.check.grow(map.entry_bytes())?;
            self.field(member, &rules.value, &values, map.entry((*key).to_owned()), depth + 1)?;
            self.check.prefix(mark, || Step::Key((*key).to_owned()));
        }
        Ok(())
    }
}

/// The first part of a key and the rest.
fn split(key: &str) -> (&str, &str) {
    key.split_once('.').unwrap_or((key, ""))
}

/// The entries of each item in the order of their numbers. `Name=` alone is an empty list.
fn numbered<'a>(
    member: &Member,
    inner: Option<&str>,
    entries: &[Entry<'a>],
) -> Result<Vec<Vec<Entry<'a>>>> {
    let mut found: Vec<(u32, Entry<'a>)> = Vec::with_capacity(entries.len());
    for &(key, value) in entries {
        if key.is_empty() && value.is_empty() {
            continue;
        }
        // Some clients write `member` whatever the model calls the items, and some leave it out.
        let numbers = match (inner, split(key)) {
            (Some(name), (head, rest)) if head == name || head == "member" => rest,
            _ => key,
        };
        let (number, rest) = split(numbers);
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        match digits.then(|| number.parse::<u32>().ok()).flatten() {
            Some(number) => found.push((number, (rest, value))),
            None => return Err(malformed(member, "is a list and needs numbered keys")),
        }
    }
    found.sort_by_key(|(number, _)| *number);
    let mut groups: Vec<Vec<Entry<'a>>> = Vec::new();
    let mut last = None;
    for (number, entry) in found {
        if last != Some(number) {
            groups.push(Vec::new());
            last = Some(number);
        }
        groups.last_mut().expect("just pushed").push(entry);
    }
    Ok(groups)
}

fn malformed(member: &Member, why: &str) -> Rejection {
    Rejection::malformed(format!("{} {why}", member.name))
}

pub(crate) fn encode(
    dialect: Dialect,
    service: &ServiceModel,
    operation: &Operation,
    output: &dyn Struct,
    request_id: &str,
) -> Response {
    let namespace = service.xml_namespace.map(|uri| XmlNamespace { prefix: None, uri });
    let root = format!("{}Response", operation.name);
    let empty = output.shape().bindings().body.is_empty();
    let (writer, time) = match dialect {
        Dialect::Aws if service.whole_seconds => (xml::Writer::default(), TimeText::IsoSeconds),
        Dialect::Aws => (xml::Writer::default(), TimeText::Iso),
        Dialect::Ec2 => (xml::Writer::with_declaration(1024), TimeText::IsoMillis),
    };
    let mut encoder = xml::Encoder { writer, time };
    encoder.open_with(&root, namespace);
    match dialect {
        Dialect::Aws => {
            let wrapper = operation.served.as_ref().and_then(|served| served.result_wrapper);
            let made = (!empty).then(|| format!("{}Result", operation.name));
            if let Some(wrapper) = wrapper.or(made.as_deref()) {
                encoder.writer.open(wrapper);
                encoder.members(output);
                encoder.writer.close(wrapper);
            }
            encoder.writer.open("ResponseMetadata");
            encoder.writer.element("RequestId", request_id);
            encoder.writer.close("ResponseMetadata");
        }
        Dialect::Ec2 => {
            encoder.writer.element("requestId", request_id);
            encoder.members(output);
            // What EC2 says where there is nothing to say.
            if empty {
                encoder.writer.element("return", "true");
            }
        }
    }
    encoder.writer.close(&root);
    Response {
        status: operation.served.as_ref().map_or(200, |served| served.status),
        headers: Vec::new(),
        body: encoder.writer.finish().into(),
        content_type: Some("text/xml"),
    }
}
