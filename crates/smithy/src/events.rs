//! Event streams (`application/vnd.amazon.eventstream`): the frames, and events of a union in them.
//!
//! A frame is a prelude (total length, length of the headers, CRC-32 of both), headers, a payload and
//! a CRC-32 of everything before. Lengths are checked before anything is taken, so a frame that lies
//! costs nothing.

use crate::check::{Check, Seen, Settings};
use crate::model::{Protocol, ServiceModel};
use crate::reject::Rejection;
use crate::shape::{Shape, XmlNamespace};
use crate::value::{Slot, Struct, Value};
use crate::{aws_json, cbor, xml};
use base::Timestamp;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use std::fmt;

/// A whole frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 24 * 1024 * 1024;
/// The headers of a frame, in bytes.
pub const HEADERS_BYTES_MAX: usize = 128 * 1024;
const PRELUDE: usize = 12;
const TRAILER: usize = 4;

#[derive(Clone, PartialEq, Debug)]
pub enum HeaderValue {
    Bool(bool),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    Bytes(Bytes),
    Text(String),
    Timestamp(Timestamp),
    Uuid([u8; 16]),
}

#[derive(Clone, PartialEq, Default, Debug)]
pub struct Frame {
    pub headers: Vec<(String, HeaderValue)>,
    pub payload: Bytes,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The lengths cannot be, or are above the limits.
    Length,
    PreludeChecksum,
    MessageChecksum,
    /// A header is cut short, has no name, or is of an unknown type.
    Header,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameError::Length => "an impossible length in an event stream frame",
            FrameError::PreludeChecksum => "the checksum of an event stream prelude is wrong",
            FrameError::MessageChecksum => "the checksum of an event stream frame is wrong",
            FrameError::Header => "a broken header in an event stream frame",
        })
    }
}

impl std::error::Error for FrameError {}

fn crc(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32IsoHdlc, bytes) as u32
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

impl Frame {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|(n, value)| match value {
            HeaderValue::Text(text) if n == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// The first frame in `bytes` and its length there; `None` if more bytes are needed.
    pub fn decode(bytes: &Bytes) -> Result<Option<(Frame, usize)>, FrameError> {
        let (Some(total), Some(headers), Some(prelude)) =
            (u32_at(bytes, 0), u32_at(bytes, 4), u32_at(bytes, 8))
        else {
            return Ok(None);
        };
        let (total, headers) = (total as usize, headers as usize);
        if crc(&bytes[..8]) != prelude {
            return Err(FrameError::PreludeChecksum);
        }
        let fits = (PRELUDE + TRAILER..=FRAME_BYTES_MAX).contains(&total)
            && headers <= HEADERS_BYTES_MAX
            && headers <= total - PRELUDE - TRAILER;
        if !fits {
            return Err(FrameError::Length);
        }
        let Some(frame) = bytes.get(..total) else { return Ok(None) };
        if u32_at(frame, total - TRAILER) != Some(crc(&frame[..total - TRAILER])) {
            return Err(FrameError::MessageChecksum);
        }
        let payload = bytes.slice(PRELUDE + headers..total - TRAILER);
        let headers = decode_headers(&frame[PRELUDE..PRELUDE + headers])?;
        Ok(Some((Frame { headers, payload }, total)))
    }

    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            encode_header(name, value, &mut headers).ok_or(FrameError::Header)?;
        }
        let total = PRELUDE + headers.len() + self.payload.len() + TRAILER;
        if total > FRAME_BYTES_MAX || headers.len() > HEADERS_BYTES_MAX {
            return Err(FrameError::Length);
        }
        let mut out = Vec::with_capacity(total);
        out.extend((total as u32).to_be_bytes());
        out.extend((headers.len() as u32).to_be_bytes());
        out.extend(crc(&out).to_be_bytes());
        out.extend(headers);
        out.extend_from_slice(&self.payload);
        out.extend(crc(&out).to_be_bytes());
        Ok(out)
    }
}

/// Takes from the front of a slice.
fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], FrameError> {
    let (taken, rest) = bytes.split_at_checked(len).ok_or(FrameError::Header)?;
    *bytes = rest;
    Ok(taken)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], FrameError> {
    take(bytes, N)?.try_into().map_err(|_| FrameError::Header)
}

fn decode_headers(mut bytes: &[u8]) -> Result<Vec<(String, HeaderValue)>, FrameError> {
    let bytes = &mut bytes;
    let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).map_err(|_| FrameError::Header);
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let len = usize::from(array::<1>(bytes)?[0]);
        if len == 0 {
            return Err(FrameError::Header);
        }
        let name = text(take(bytes, len)?)?;
        let value = match array::<1>(bytes)?[0] {
            0 => HeaderValue::Bool(true),
            1 => HeaderValue::Bool(false),
            2 => HeaderValue::Byte(i8::from_be_bytes(array(bytes)?)),
            3 => HeaderValue::Short(i16::from_be_bytes(array(bytes)?)),
            4 => HeaderValue::Int(i32::from_be_bytes(array(bytes)?)),
            5 => HeaderValue::Long(i64::from_be_bytes(array(bytes)?)),
            kind @ (6 | 7) => {
                let len = usize::from(u16::from_be_bytes(array(bytes)?));
                let raw = take(bytes, len)?;
                match kind {
                    6 => HeaderValue::Bytes(Bytes::copy_from_slice(raw)),
                    _ => HeaderValue::Text(text(raw)?),
                }
            }
            8 => {
                let ms = i64::from_be_bytes(array(bytes)?);
                HeaderValue::Timestamp(Timestamp::from_millis(ms))
            }
            9 => HeaderValue::Uuid(array(bytes)?),
            _ => return Err(FrameError::Header),
        };
        out.push((name, value));
    }
    Ok(out)
}

fn encode_header(name: &str, value: &HeaderValue, out: &mut Vec<u8>) -> Option<()> {
    let len = u8::try_from(name.len()).ok().filter(|len| *len > 0)?;
    out.push(len);
    out.extend_from_slice(name.as_bytes());
    let mut sized = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend(u16::try_from(bytes.len()).ok()?.to_be_bytes());
        out.extend_from_slice(bytes);
        Some(())
    };
    match value {
        HeaderValue::Bytes(bytes) => return sized(6, bytes),
        HeaderValue::Text(text) => return sized(7, text.as_bytes()),
        HeaderValue::Bool(b) => out.push(u8::from(!b)),
        HeaderValue::Byte(n) => out.extend([2, n.to_be_bytes()[0]]),
        HeaderValue::Short(n) => {
            out.push(3);
            out.extend(n.to_be_bytes());
        }
        HeaderValue::Int(n) => {
            out.push(4);
            out.extend(n.to_be_bytes());
        }
        HeaderValue::Long(n) => {
            out.push(5);
            out.extend(n.to_be_bytes());
        }
        HeaderValue::Timestamp(at) => {
            out.push(8);
            out.extend(at.to_millis().to_be_bytes());
        }
        HeaderValue::Uuid(bytes) => {
            out.push(9);
            out.extend(bytes);
        }
    }
    Some(())
}

fn header(name: &str, value: &str) -> (String, HeaderValue) {
    (name.to_owned(), HeaderValue::Text(value.to_owned()))
}

/// A structure as a payload, in the protocol's form, and its content type.
fn body(protocol: Protocol, service: &ServiceModel, value: &dyn Struct) -> (Bytes, &'static str) {
    match protocol {
        Protocol::RestXml | Protocol::AwsQuery | Protocol::Ec2Query => {
            let time = crate::scalar::TimeText::IsoMillis;
            let writer = xml::Writer::default();
            let mut encoder = xml::Encoder { writer, time };
            let namespace = service.xml_namespace.map(|uri| XmlNamespace { prefix: None, uri });
            encoder.element(xml::root_name(value.shape()), namespace, value);
            (encoder.writer.finish().into(), "text/xml")
        }
        Protocol::RpcV2Cbor => (cbor::encode(value).into(), "application/cbor"),
        _ => (aws_json::encode(value).into(), "application/json"),
    }
}

/// The event that a union holds; `None` if it holds none.
pub fn encode_event(
    protocol: Protocol,
    service: &ServiceModel,
    union: &dyn Struct,
) -> Option<Frame> {
    let members = union.shape().members.iter().enumerate();
    let (member, value) = members
        .map(|(i, member)| (member, union.field(i).value()))
        .find(|(_, value)| !matches!(value, Value::Absent))?;
    let Value::Struct(event) = value else { return None };
    let (payload, content_type) = payload(protocol, service, event);
    let is_error = event.shape().error.is_some();
    let (kind, type_name) =
        if is_error { ("exception", ":exception-type") } else { ("event", ":event-type") };
    let mut headers = vec![header(":message-type", kind), header(type_name, member.wire)];
    headers.extend(content_type.map(|text| header(":content-type", text)));
    for &(name, index) in event.shape().bindings().event_headers.all() {
        let value = header_value(event.field(usize::from(index)).value());
        headers.extend(value.map(|value| (name.to_owned(), value)));
    }
    Some(Frame { headers, payload })
}

/// A member as a header of its event; `None` if it is absent or of a kind that no header has.
fn header_value(value: Value<'_>) -> Option<HeaderValue> {
    Some(match value {
        Value::Bool(b) => HeaderValue::Bool(b),
        Value::Integer(n) => HeaderValue::Int(n),
        Value::Long(n) => HeaderValue::Long(n),
        Value::Str(text) => HeaderValue::Text(text.to_owned()),
        Value::Blob(bytes) => HeaderValue::Bytes(bytes.clone()),
        Value::Timestamp(at) => HeaderValue::Timestamp(at),
        _ => return None,
    })
}

fn payload(
    protocol: Protocol,
    service: &ServiceModel,
    event: &dyn Struct,
) -> (Bytes, Option<&'static str>) {
    let shape = event.shape();
    let Some(index) = shape.members.iter().position(|m| m.event_payload) else {
        if shape.bindings().body.is_empty() {
            return (Bytes::new(), None);
        }
        let (payload, content_type) = body(protocol, service, event);
        return (payload, Some(content_type));
    };
    match event.field(index).value() {
        Value::Blob(bytes) => (bytes.clone(), Some("application/octet-stream")),
        Value::Str(text) => (Bytes::copy_from_slice(text.as_bytes()), Some("text/plain")),
        Value::Struct(inner) => {
            let (payload, content_type) = body(protocol, service, inner);
            (payload, Some(content_type))
        }
        _ => (Bytes::new(), None),
    }
}

/// The first frame of an RPC protocol: the members of the output that are not the stream.
pub fn initial_response(protocol: Protocol, service: &ServiceModel, output: &dyn Struct) -> Frame {
    let (payload, content_type) = body(protocol, service, output);
    let headers = vec![
        header(":message-type", "event"),
        header(":event-type", "initial-response"),
        header(":content-type", content_type),
    ];
    Frame { headers, payload }
}

/// The last frame where something went wrong that no exception of the union tells.
pub fn error_frame(code: &str, message: &str) -> Frame {
    let headers = vec![
        header(":message-type", "error"),
        header(":error-code", code),
        header(":error-message", message),
    ];
    Frame { headers, payload: Bytes::new() }
}

/// Selects and fills the member of a union that a frame from a client names.
pub fn decode_event(
    protocol: Protocol,
    service: &ServiceModel,
    frame: &Frame,
    union: &mut dyn Struct,
) -> Result<(), Rejection> {
    let kind = frame.text(":event-type").unwrap_or_default();
    let Some((index, member)) = union.shape().by_wire(kind) else {
        return Err(Rejection::malformed(format!("there is no event '{kind}'")));
    };
    let mut check = Check::new(service.validate, Settings::default());
    let mark = check.mark();
    if let Slot::Struct(event) = union.field_mut(index).slot() {
        fill(protocol, frame, event, &mut check)?;
    }
    check.prefix_member(mark, member);
    check.into_result()
}

fn fill(
    protocol: Protocol,
    frame: &Frame,
    event: &mut dyn Struct,
    check: &mut Check,
) -> Result<(), Rejection> {
    let (shape, payload) = (event.shape(), &frame.payload);
    let mut seen = Seen::default();
    headers(frame, event, &mut seen)?;
    let Some(index) = shape.members.iter().position(|m| m.event_payload) else {
        members(protocol, payload, event, &mut seen, check)?;
        check.finish(event, &seen);
        return Ok(());
    };
    seen.insert(index);
    match (&shape.members[index].shape, event.field_mut(index).slot()) {
        (Shape::Blob(_), Slot::Blob(out)) => *out = payload.clone(),
        (_, Slot::Str(out)) => {
            let text = std::str::from_utf8(payload);
            *out = text.map_err(|_| Rejection::malformed("the event is not UTF-8"))?.to_owned();
        }
        (_, Slot::Struct(inner)) => whole(protocol, payload, inner, check)?,
        _ => {}
    }
    check.finish(event, &seen);
    Ok(())
}

/// The members that stand in headers.
fn headers(frame: &Frame, event: &mut dyn Struct, seen: &mut Seen) -> Result<(), Rejection> {
    let shape = event.shape();
    for (name, value) in &frame.headers {
        let Some(index) = shape.bindings().event_headers.find(name.as_bytes()) else { continue };
        let fits = match (event.field_mut(index).slot(), value) {
            (Slot::Bool(out), HeaderValue::Bool(b)) => put(out, Some(*b)),
            (Slot::Integer(out), value) => put(out, integer(value).and_then(|n| n.try_into().ok())),
            (Slot::Long(out), value) => put(out, integer(value)),
            (Slot::Str(out), HeaderValue::Text(text)) => put(out, Some(text.clone())),
            (Slot::Blob(out), HeaderValue::Bytes(bytes)) => put(out, Some(bytes.clone())),
            (Slot::Timestamp(out), HeaderValue::Timestamp(at)) => put(out, Some(*at)),
            _ => false,
        };
        if !fits {
            return Err(Rejection::malformed(format!("the header '{name}' is of another type")));
        }
        seen.insert(index);
    }
    Ok(())
}

fn put<T>(out: &mut T, value: Option<T>) -> bool {
    let fits = value.is_some();
    if let Some(value) = value {
        *out = value;
    }
    fits
}

/// Whole numbers come in every width.
fn integer(value: &HeaderValue) -> Option<i64> {
    match value {
        HeaderValue::Byte(n) => Some(i64::from(*n)),
        HeaderValue::Short(n) => Some(i64::from(*n)),
        HeaderValue::Int(n) => Some(i64::from(*n)),
        HeaderValue::Long(n) => Some(*n),
        _ => None,
    }
}

/// A payload that holds the members which stand nowhere else.
fn members(
    protocol: Protocol,
    payload: &Bytes,
    event: &mut dyn Struct,
    seen: &mut Seen,
    check: &mut Check,
) -> Result<(), Rejection> {
    if event.shape().bindings().body.is_empty() && payload.is_empty() {
        return Ok(());
    }
    match protocol {
        Protocol::RpcV2Cbor => cbor::decode_members(payload, event, seen, check),
        Protocol::RestXml => {
            let mut decoder = xml::Decoder::new(payload, check)?;
            decoder.root(&[xml::root_name(event.shape()), event.shape().name])?;
            decoder.members(event, seen)?;
            decoder.end()
        }
        _ if payload.is_empty() => aws_json::decode_members(b"{}", event, seen, check),
        _ => aws_json::decode_members(payload, event, seen, check),
    }
}

/// A payload that is one structure.
fn whole(
    protocol: Protocol,
    payload: &Bytes,
    out: &mut dyn Struct,
    check: &mut Check,
) -> Result<(), Rejection> {
    match protocol {
        Protocol::RpcV2Cbor => cbor::decode(payload, out, check),
        Protocol::RestXml => {
            let mut decoder = xml::Decoder::new(payload, check)?;
            decoder.root(&[xml::root_name(out.shape()), out.shape().name])?;
            decoder.structure(out)?;
            decoder.end()
        }
        _ if payload.is_empty() => aws_json::decode(b"{}", out, check),
        _ => aws_json::decode(payload, out, check),
    }
}
