//! CBOR (RFC 8949), as far as rpcv2Cbor has it: a reader for bytes from outside, a writer, and both
//! as ends of the walk in [`crate::object`].
//!
//! Read are definite and indefinite lengths, all three float widths, tags (a time is tag 1; others
//! are looked through). Lengths that lie cost nothing: nothing is allocated before the bytes are
//! there. Keys are text. Nesting is bounded.

use crate::check::{Check, Seen};
use crate::object::{self, Decoder, Level, Next, Sink, Source};
use crate::reject::Rejection;
use crate::scalar;
use crate::shape::Shape;
use crate::value::{Slot, Struct, Value};
use base::limits::NESTING_MAX;
use bytes::Bytes;
use std::borrow::Cow;

type Result<T> = std::result::Result<T, Rejection>;

pub(crate) fn decode(body: &[u8], out: &mut dyn Struct, check: &mut Check) -> Result<()> {
    let mut seen = Seen::default();
    decode_members(body, out, &mut seen, check)?;
    check.finish(out, &seen);
    Ok(())
}

/// Fills a structure. The caller has it checked.
pub(crate) fn decode_members(
    body: &[u8],
    out: &mut dyn Struct,
    seen: &mut Seen,
    check: &mut Check,
) -> Result<()> {
    // An input without members has no body.
    if body.is_empty() {
        return Ok(());
    }
    let mut decoder = Decoder { source: Reader { bytes: body, at: 0, depth: 0 }, check };
    decoder.members(out, seen)?;
    match decoder.source.at == body.len() {
        true => Ok(()),
        false => Err(bad("bytes after the value")),
    }
}

pub(crate) fn encode(value: &dyn Struct) -> Vec<u8> {
    let mut writer = Writer { out: Vec::with_capacity(512) };
    object::encode(&mut writer, value);
    writer.out
}

fn bad(reason: &str) -> Rejection {
    Rejection::malformed(format!("The request body is not valid CBOR: {reason}"))
}

/// A map or list that is passed over.
struct Skipped {
    /// Items to come, where their number was given; a map's keys are items too.
    left: Option<u64>,
    is_map: bool,
    is_odd: bool,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;
const BREAK: u8 = 0xff;

/// The start of an item.
#[derive(Clone, Copy)]
struct Head {
    major: u8,
    /// The five bits beside the major type: for simple values and floats they say which.
    info: u8,
    /// `None` for an indefinite length.
    argument: Option<u64>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let left = &self.bytes[self.at..];
        match usize::try_from(len).ok().and_then(|len| left.get(..len)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(bad("it ends too early")),
        }
    }

    fn peek(&self) -> Result<u8> {
        self.bytes.get(self.at).copied().ok_or_else(|| bad("it ends too early"))
    }

    fn head(&mut self) -> Result<Head> {
        let first = self.peek()?;
        self.at += 1;
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => {
                let bytes = self.take(1 << (info - 24))?;
                Some(bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b)))
            }
            31 if matches!(major, BYTES | TEXT | LIST | MAP) => None,
            31 => return Err(bad("a break where a value belongs")),
            _ => return Err(bad("a reserved length")),
        };
        Ok(Head { major, info, argument })
    }

    /// The head of the next item, tags looked through; also the innermost tag.
    fn untagged(&mut self) -> Result<(Option<u64>, Head)> {
        let mut tag = None;
        loop {
            let head = self.head()?;
            if head.major != TAG {
                return Ok((tag, head));
            }
            tag = head.argument;
        }
    }

    /// The content of a string of bytes or text whose head was read.
    fn content(&mut self, head: Head) -> Result<Cow<'a, [u8]>> {
        if let Some(len) = head.argument {
            return self.take(len).map(Cow::Borrowed);
        }
        let mut all = Vec::new();
        while self.peek()? != BREAK {
            let part = self.head()?;
            match part.argument {
                Some(len) if part.major == head.major => {
                    let part = self.take(len)?;
                    // Each part of a text is text.
                    if head.major == TEXT && std::str::from_utf8(part).is_err() {
                        return Err(bad("text that is not UTF-8"));
                    }
                    all.extend_from_slice(part);
                }
                _ => return Err(bad("a part of another type in a string")),
            }
        }
        self.at += 1;
        Ok(Cow::Owned(all))
    }

    fn text(&mut self, head: Head) -> Result<Cow<'a, str>> {
        let not_text = |_| bad("text that is not UTF-8");
        if head.major != TEXT {
            return Err(bad("a key that is not text"));
        }
        Ok(match self.content(head)? {
            Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).map_err(not_text)?),
            Cow::Owned(bytes) => {
                Cow::Owned(String::from_utf8(bytes).map_err(|_| bad("text that is not UTF-8"))?)
            }
        })
    }

    /// Whether the map or list has another entry.
    fn more(&mut self, level: &mut Level) -> Result<bool> {
        let more = match &mut level.left {
            Some(left) => {
                let more = *left > 0;
                *left = left.saturating_sub(1);
                more
            }
            None => {
                let more = self.peek()? != BREAK;
                self.at += usize::from(!more);
                more
            }
        };
        if !more {
            self.depth -= 1;
        }
        Ok(more)
    }
}

fn integer(head: Head) -> Option<i64> {
    let n = i64::try_from(head.argument?).ok()?;
    match head.major {
        UNSIGNED => Some(n),
        NEGATIVE => Some(-1 - n),
        _ => float(head)
            .filter(|f| f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0)
            .map(|f| f as i64),
    }
}

fn float(head: Head) -> Option<f64> {
    let bits = head.argument?;
    match (head.major, head.info) {
        (SIMPLE, 25) => Some(half(bits as u16)),
        (SIMPLE, 26) => Some(f64::from(f32::from_bits(bits as u32))),
        (SIMPLE, 27) => Some(f64::from_bits(bits)),
        (UNSIGNED, _) => Some(bits as f64),
        (NEGATIVE, _) => Some(-1.0 - bits as f64),
        _ => None,
    }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f64::from(bits & 0x3ff);
    sign * match bits >> 10 & 31 {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2f64.powi(i32::from(exponent) - 15),
    }
}

impl<'a> Source<'a> for Reader<'a> {
    fn next(&mut self) -> Result<Next> {
        let start = self.at;
        let (_, head) = self.untagged()?;
        self.at = start;
        Ok(match (head.major, head.info) {
            (MAP, _) => Next::Map,
            (LIST, _) => Next::List,
            (SIMPLE, 22 | 23) => Next::Null,
            _ => Next::Scalar,
        })
    }

    fn null(&mut self) -> Result<()> {
        self.untagged().map(|_| ())
    }

    fn enter(&mut self) -> Result<Level> {
        let (_, head) = self.untagged()?;
        if self.depth >= NESTING_MAX {
            return Err(bad("nested too deeply"));
        }
        self.depth += 1;
        Ok(Level { first: true, left: head.argument })
    }

    fn key(&mut self, level: &mut Level) -> Result<Option<Cow<'a, str>>> {
        if !self.more(level)? {
            return Ok(None);
        }
        let head = self.head()?;
        self.text(head).map(Some)
    }

    fn item(&mut self, level: &mut Level) -> Result<bool> {
        self.more(level)
    }

    fn scalar(&mut self, shape: &Shape, slot: Slot<'_>) -> Result<()> {
        let (tag, head) = self.untagged()?;
        let fits = match slot {
            Slot::Str(out) => match head.major {
                TEXT => {
                    *out = self.text(head)?.into_owned();
                    true
                }
                _ => false,
            },
            Slot::Blob(out) => match head.major {
                BYTES => {
                    *out = Bytes::from(self.content(head)?.into_owned());
                    true
                }
                _ => false,
            },
            Slot::Bool(out) => match (head.major, head.info) {
                (SIMPLE, 20 | 21) => {
                    *out = head.info == 21;
                    true
                }
                _ => false,
            },
            Slot::Integer(out) => put(out, integer(head).and_then(|n| i32::try_from(n).ok())),
            Slot::Long(out) => put(out, integer(head)),
            Slot::Float(out) => put(out, float(head).map(|n| n as f32)),
            Slot::Double(out) => put(out, float(head)),
            Slot::Timestamp(out) => {
                let at = float(head).filter(|_| tag.is_none_or(|tag| tag == 1));
                put(out, at.and_then(scalar::epoch))
            }
            Slot::Nothing
            | Slot::Document(_)
            | Slot::Custom(_)
            | Slot::Struct(_)
            | Slot::List(_)
            | Slot::Map(_) => false,
        };
        if fits { Ok(()) } else { Err(self.misfit(shape)) }
    }

    /// One level at a time, without recursion.
    fn skip(&mut self) -> Result<()> {
        let mut open: Vec<Skipped> = Vec::new();
        loop {
            while let Some(level) = open.last_mut() {
                let done = match level.left {
                    Some(left) => left == 0,
                    None => self.bytes.get(self.at) == Some(&BREAK),
                };
                if !done {
                    level.left = level.left.map(|left| left - 1);
                    level.is_odd ^= true;
                    break;
                }
                if level.is_map && level.is_odd {
                    return Err(bad("a key without a value"));
                }
                self.at += usize::from(level.left.is_none());
                open.pop();
                if open.is_empty() {
                    return Ok(());
                }
            }
            let (_, head) = self.untagged()?;
            match head.major {
                BYTES | TEXT => {
                    self.content(head)?;
                }
                LIST | MAP => {
                    if open.len() + self.depth >= NESTING_MAX {
                        return Err(bad("nested too deeply"));
                    }
                    let is_map = head.major == MAP;
                    let factor = if is_map { 2 } else { 1 };
                    let left = head.argument.map(|n| n.saturating_mul(factor));
                    open.push(Skipped { left, is_map, is_odd: false });
                    continue;
                }
                _ => {}
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    fn misfit(&mut self, expected: &Shape) -> Rejection {
        let name = match expected {
            Shape::Struct(_) | Shape::Map(_) => "map",
            Shape::List(_) => "list",
            Shape::Boolean => "boolean",
            Shape::Integer(_) | Shape::Long(_) => "integer",
            Shape::Float | Shape::Double => "float",
            Shape::Blob(_) => "byte string",
            Shape::Timestamp(_) => "timestamp",
            _ => "text string",
        };
        Rejection::malformed(format!("A value was found that is not a {name}"))
    }
}

fn put<T>(out: &mut T, value: Option<T>) -> bool {
    let fits = value.is_some();
    if let Some(value) = value {
        *out = value;
    }
    fits
}

#[derive(Default)]
pub(crate) struct Writer {
    pub out: Vec<u8>,
}

impl Writer {
    fn head(&mut self, major: u8, n: u64) {
        let major = major << 5;
        match n {
            0..=23 => self.out.push(major | n as u8),
            24..=0xff => self.out.extend([major | 24, n as u8]),
            0x100..=0xffff => {
                self.out.push(major | 25);
                self.out.extend((n as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.out.push(major | 26);
                self.out.extend((n as u32).to_be_bytes());
            }
            _ => {
                self.out.push(major | 27);
                self.out.extend(n.to_be_bytes());
            }
        }
    }

    fn integer(&mut self, n: i64) {
        match u64::try_from(n) {
            Ok(n) => self.head(UNSIGNED, n),
            Err(_) => self.head(NEGATIVE, (-1 - n) as u64),
        }
    }

    fn double(&mut self, n: f64) {
        self.out.push(0xfb);
        self.out.extend(n.to_be_bytes());
    }

    fn string(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// Lengths of maps and lists are indefinite: the number of members that are there is not known
/// before they are written.
impl Sink for Writer {
    fn map_open(&mut self) {
        self.out.push(0xbf);
    }
    fn map_close(&mut self) {
        self.out.push(BREAK);
    }
    fn list_open(&mut self) {
        self.out.push(0x9f);
    }
    fn list_close(&mut self) {
        self.out.push(BREAK);
    }
    fn key(&mut self, key: &str) {
        self.string(key);
    }
    fn text(&mut self, text: &str) {
        self.string(text);
    }
    fn null(&mut self) {
        self.out.push(0xf6);
    }
    fn scalar(&mut self, _: &Shape, value: Value<'_>) {
        match value {
            Value::Str(text) => self.string(text),
            Value::Bool(b) => self.out.push(if b { 0xf5 } else { 0xf4 }),
            Value::Integer(n) => self.integer(i64::from(n)),
            Value::Long(n) => self.integer(n),
            Value::Float(n) => {
                self.out.push(0xfa);
                self.out.extend(n.to_be_bytes());
            }
            Value::Double(n) => self.double(n),
            Value::Blob(bytes) => {
                self.head(BYTES, bytes.len() as u64);
                self.out.extend_from_slice(bytes);
            }
            Value::Timestamp(at) => {
                self.head(TAG, 1);
                match at.to_millis() % 1000 {
                    0 => self.integer(at.to_secs()),
                    _ => self.double(at.to_millis() as f64 / 1000.0),
                }
            }
            // rpcv2Cbor has no documents.
            Value::Document(_) | Value::Custom(_) => self.null(),
            Value::Absent | Value::Struct(_) | Value::List(_) | Value::Map(_) => self.null(),
        }
    }
}
