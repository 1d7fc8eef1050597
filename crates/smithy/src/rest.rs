//! The HTTP bindings that restXml and restJson1 share: labels, query parameters, headers, status,
//! and a body that is one member or holds all that are bound nowhere else.
//!
//! A member that is absent costs nothing here: a request's own headers and parameters are looked up
//! in the table, not the table's in the request.

use crate::aws_json;
use crate::check::{Check, Seen};
use crate::http::{Request, Response, header_text};
use crate::json;
use crate::model::{Protocol, ServiceModel};
use crate::reject::{BadValue, Expected, Rejection};
use crate::scalar::{self, TimeText};
use crate::shape::{Location, Member, Shape, StructShape, TimeFormat, XmlNamespace};
use crate::value::{Field, Slot, Struct, Value};
use crate::xml;
use bytes::Bytes;
use std::borrow::Cow;

type Result<T> = std::result::Result<T, Rejection>;

pub(crate) fn decode(
    protocol: Protocol,
    request: &Request<'_>,
    input: &mut dyn Struct,
    check: &mut Check,
) -> Result<()> {
    let shape = input.shape();
    let bindings = shape.bindings();
    let mut seen = Seen::default();
    for (name, value) in request.labels {
        if let Some(index) = bindings.labels.find(name.as_bytes()) {
            seen.insert(index);
            set(protocol, shape, index, input, value)?;
        }
    }
    if !bindings.query.all().is_empty() || bindings.query_map.is_some() {
        query(protocol, request, input, &mut seen)?;
    }
    if !bindings.headers.all().is_empty() || !bindings.prefixes.is_empty() {
        headers(protocol, request, input, &mut seen)?;
    }
    match shape.payload {
        Some(index) => {
            payload(protocol, usize::from(index), request.body, input, &mut seen, check)?
        }
        None if bindings.body.is_empty() => {}
        None if request.body.is_empty() => {}
        None => members(protocol, request.body, input, &mut seen, check)?,
    }
    check.finish(input, &seen);
    Ok(())
}

fn query(
    protocol: Protocol,
    request: &Request<'_>,
    input: &mut dyn Struct,
    seen: &mut Seen,
) -> Result<()> {
    let shape = input.shape();
    let bindings = shape.bindings();
    for (name, value) in request.query {
        if let Some(index) = bindings.query.find(name.as_bytes()) {
            // Of a parameter that is there twice the first counts, unless it is a list.
            let list = matches!(shape.members[index].shape, Shape::List(_));
            if seen.insert(index) || list {
                set(protocol, shape, index, input, value)?;
            }
        } else if let Some(index) = bindings.query_map {
            let index = usize::from(index);
            seen.insert(index);
            query_map_entry(input.field_mut(index), name, value);
        }
    }
    Ok(())
}

fn query_map_entry(field: &mut dyn Field, name: &str, value: &str) {
    let Slot::Map(map) = field.slot() else { return };
    let again = map.contains(name);
    match map.entry(name.to_owned()).slot() {
        Slot::Str(out) if !again => *out = value.to_owned(),
        Slot::List(list) => {
            if let Slot::Str(out) = list.push().slot() {
                *out = value.to_owned();
            }
        }
        _ => {}
    }
}

fn headers(
    protocol: Protocol,
    request: &Request<'_>,
    input: &mut dyn Struct,
    seen: &mut Seen,
) -> Result<()> {
    let shape = input.shape();
    let bindings = shape.bindings();
    let mut result = Ok(());
    request.headers.each(&mut |name, value| {
        if result.is_err() {
            return;
        }
        if let Some(index) = bindings.headers.find(name.as_bytes()) {
            let list = matches!(shape.members[index].shape, Shape::List(_));
            if seen.insert(index) || list {
                result = set(protocol, shape, index, input, &header_text(value));
            }
        }
        for &(prefix, index) in &bindings.prefixes {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            let index = usize::from(index);
            seen.insert(index);
            prefix_entry(input.field_mut(index), rest, &header_text(value));
        }
    });
    result
}

/// Fields with the same name are joined by commas, as S3 does with metadata.
fn prefix_entry(field: &mut dyn Field, name: &str, value: &str) {
    let Slot::Map(map) = field.slot() else { return };
    let again = map.contains(name);
    if let Slot::Str(out) = map.entry(name.to_owned()).slot() {
        if again {
            out.push(',');
        }
        out.push_str(value);
    }
}

fn default_time(location: Location) -> TimeText {
    match location {
        Location::Header(_) => TimeText::Http,
        _ => TimeText::Iso,
    }
}

fn time_of(shape: &Shape, location: Location) -> TimeText {
    match shape {
        Shape::Timestamp(format) => TimeText::of(*format, default_time(location)),
        _ => default_time(location),
    }
}

fn set(
    protocol: Protocol,
    shape: &StructShape,
    index: usize,
    input: &mut dyn Struct,
    text: &str,
) -> Result<()> {
    let member = &shape.members[index];
    let field = input.field_mut(index);
    let bad = |text: &str, expected| {
        Rejection::BadValue(BadValue {
            member: member.name,
            location: member.location,
            value: text.to_owned(),
            expected,
        })
    };
    let Shape::List(rules) = &member.shape else {
        let time = time_of(&member.shape, member.location);
        return match scalar::parse(field.slot(), Cow::Borrowed(text), time) {
            // RFC 9110, 13.1.3: a condition whose date is none is ignored. S3 keeps to that.
            Err(Expected::Timestamp) if time == TimeText::Http && protocol == Protocol::RestXml => {
                field.reset();
                Ok(())
            }
            result => result.map_err(|e| bad(text, e)),
        };
    };
    let Slot::List(list) = field.slot() else { return Ok(()) };
    let time = time_of(&rules.item, member.location);
    let mut push = |item: &str| {
        scalar::parse(list.push().slot(), Cow::Borrowed(item), time).map_err(|e| bad(item, e))
    };
    if !matches!(member.location, Location::Header(_)) {
        return push(text);
    }
    // A date in a header holds one comma itself.
    let dates = matches!(rules.item, Shape::Timestamp(TimeFormat::Default | TimeFormat::HttpDate));
    let mut rest = text;
    while let Some((item, after)) = header_item(rest, dates) {
        push(&item)?;
        rest = after;
    }
    Ok(())
}

/// The next item of a comma-separated header, quotes removed, and what follows its comma.
fn header_item(text: &str, date: bool) -> Option<(Cow<'_, str>, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    if text.is_empty() {
        return None;
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let mut item = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    let after = quoted[at + 1..].trim_start_matches([' ', '\t']);
                    return Some((item.into(), after.strip_prefix(',').unwrap_or(after)));
                }
                '\\' => item.extend(chars.next().map(|(_, c)| c)),
                c => item.push(c),
            }
        }
    }
    let comma = text.match_indices(',').nth(usize::from(date));
    let (item, rest) = comma.map_or((text, ""), |(at, _)| (&text[..at], &text[at + 1..]));
    Some((item.trim_end_matches([' ', '\t']).into(), rest))
}

/// A body that is one member.
fn payload(
    protocol: Protocol,
    index: usize,
    body: &Bytes,
    input: &mut dyn Struct,
    seen: &mut Seen,
    check: &mut Check,
) -> Result<()> {
    let member = &input.shape().members[index];
    if body.is_empty() || matches!(member.shape, Shape::Stream | Shape::Events(_)) {
        return Ok(());
    }
    seen.insert(index);
    let mark = check.mark();
    match (&member.shape, input.field_mut(index).slot()) {
        (Shape::Blob(_), Slot::Blob(out)) => *out = body.clone(),
        (Shape::String(_), Slot::Str(out)) => {
            let text = std::str::from_utf8(body);
            *out = text.map_err(|_| Rejection::malformed("the body is not UTF-8"))?.to_owned();
        }
        (Shape::Struct(inner), Slot::Struct(out)) if protocol == Protocol::RestXml => {
            let mut decoder = xml::Decoder::new(body, check)?;
            let own = inner.xml_root.unwrap_or(inner.name);
            decoder.root(&[member.wire, member.name, own, inner.name])?;
            decoder.structure(out)?;
            decoder.end()?;
        }
        (Shape::Struct(_), Slot::Struct(out)) => aws_json::decode(body, out, check)?,
        (Shape::Document, Slot::Document(out)) => *out = json::parse_document(body)?,
        _ => return Err(Rejection::malformed("unexpected body")),
    }
    check.prefix_member(mark, member);
    Ok(())
}

/// A body that holds all members that are bound nowhere else.
fn members(
    protocol: Protocol,
    body: &Bytes,
    input: &mut dyn Struct,
    seen: &mut Seen,
    check: &mut Check,
) -> Result<()> {
    if protocol == Protocol::RestJson1 {
        return aws_json::decode_members(body, input, seen, check);
    }
    let shape = input.shape();
    let mut decoder = xml::Decoder::new(body, check)?;
    // The root is named after the operation; the table has only the shape's name.
    let operation = shape.name.trim_end_matches("Input").trim_end_matches("Request");
    let with_request = format!("{operation}Request");
    decoder.root(&[xml::root_name(shape), shape.name, operation, &with_request])?;
    decoder.members(input, seen)?;
    decoder.end()
}

pub(crate) fn encode(
    protocol: Protocol,
    service: &ServiceModel,
    status: u16,
    output: &dyn Struct,
) -> Response {
    let shape = output.shape();
    let bindings = shape.bindings();
    let mut response = Response { status, ..Response::default() };
    for &(name, index) in bindings.headers.all() {
        let index = usize::from(index);
        if let Some(text) = header(&shape.members[index], output.field(index).value()) {
            if response.headers.is_empty() {
                response.headers.reserve(12);
            }
            response.headers.push((Cow::Borrowed(name), text));
        }
    }
    for &(prefix, index) in &bindings.prefixes {
        if let Value::Map(map) = output.field(usize::from(index)).value() {
            for (key, item) in map.entries() {
                let mut text = String::new();
                scalar::write(item.value(), TimeText::Http, &mut text);
                let name = format!("{prefix}{}", key.to_ascii_lowercase());
                response.headers.push((Cow::Owned(name), text));
            }
        }
    }
    if let Some(index) = bindings.status
        && let Value::Integer(status) = output.field(usize::from(index)).value()
    {
        response.status = u16::try_from(status).unwrap_or(response.status);
    }
    match shape.payload {
        Some(index) => {
            let index = usize::from(index);
            let value = output.field(index).value();
            encode_payload(protocol, service, &shape.members[index], value, &mut response);
        }
        None if bindings.streaming => {}
        None if bindings.body.is_empty() => {}
        None => encode_members(protocol, service, output, &mut response),
    }
    if response.headers.iter().any(|(name, _)| name == "content-type") {
        response.content_type = None;
    }
    response
}

fn header(member: &Member, value: Value<'_>) -> Option<String> {
    let mut text = String::new();
    match (&member.shape, value) {
        (_, Value::Absent) => return None,
        (_, Value::Str(text)) => return Some(text.to_owned()),
        (Shape::List(rules), Value::List(list)) => {
            let time = time_of(&rules.item, member.location);
            for item in (0..list.len()).filter_map(|i| list.get(i)) {
                if !text.is_empty() {
                    text.push_str(", ");
                }
                header_list_item(item.value(), time, &mut text);
            }
        }
        (shape, value) => {
            // Long enough for a date and for every number.
            text.reserve(32);
            if !scalar::write(value, time_of(shape, member.location), &mut text) {
                return None;
            }
        }
    }
    Some(text)
}

/// Text with a comma or quote in a list goes in quotes.
fn header_list_item(value: Value<'_>, time: TimeText, out: &mut String) {
    match value {
        Value::Str(text) if text.contains([',', '"']) => {
            out.push('"');
            for c in text.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
        value => {
            scalar::write(value, time, out);
        }
    }
}

fn encode_payload(
    protocol: Protocol,
    service: &ServiceModel,
    member: &Member,
    value: Value<'_>,
    response: &mut Response,
) {
    match value {
        Value::Blob(bytes) => {
            response.body = bytes.clone();
            response.content_type = Some("application/octet-stream");
        }
        Value::Str(text) => {
            response.body = Bytes::copy_from_slice(text.as_bytes());
            response.content_type = Some("text/plain");
        }
        Value::Struct(inner) if protocol == Protocol::RestXml => {
            let namespace = member.xml_namespace.or(inner.shape().xml_namespace);
            let name = xml::payload_name(member);
            xml_body(name, namespace.or(service_namespace(service)), inner, response);
        }
        Value::Struct(inner) => json_body(aws_json::encode(inner), response),
        Value::Document(document) => json_body(json::document_text(document), response),
        // A client reads an absent structure out of an empty object.
        Value::Absent if protocol == Protocol::RestJson1 => {
            if matches!(member.shape, Shape::Struct(_)) {
                json_body("{}".into(), response);
            }
        }
        _ => {}
    }
}

fn json_body(text: String, response: &mut Response) {
    response.body = text.into();
    response.content_type = Some("application/json");
}

fn encode_members(
    protocol: Protocol,
    service: &ServiceModel,
    output: &dyn Struct,
    response: &mut Response,
) {
    if protocol == Protocol::RestJson1 {
        return json_body(aws_json::encode(output), response);
    }
    let shape = output.shape();
    let namespace = shape.xml_namespace.or(service_namespace(service));
    xml_body(xml::root_name(shape), namespace, output, response);
}

fn service_namespace(service: &ServiceModel) -> Option<XmlNamespace> {
    service.xml_namespace.map(|uri| XmlNamespace { prefix: None, uri })
}

fn xml_body(
    name: &str,
    namespace: Option<XmlNamespace>,
    value: &dyn Struct,
    response: &mut Response,
) {
    let writer = xml::Writer::with_declaration(1024);
    let mut encoder = xml::Encoder { writer, time: TimeText::IsoMillis };
    match unwrapped(name, value) {
        Some((member, index)) => encoder.root_scalar(member, namespace, value.field(index).value()),
        None => encoder.element(name, namespace, value),
    }
    response.body = encoder.writer.finish().into();
    response.content_type = Some("application/xml");
}

/// GetBucketLocation: the root is named like its only member and holds that member's text, not an
/// element in an element of the same name.
fn unwrapped(name: &str, value: &dyn Struct) -> Option<(&'static Member, usize)> {
    let shape = value.shape();
    let [index] = shape.bindings().body[..] else { return None };
    let member = &shape.members[usize::from(index)];
    let scalar = !matches!(member.shape, Shape::Struct(_) | Shape::List(_) | Shape::Map(_));
    (scalar && member.wire == name).then_some((member, usize::from(index)))
}
