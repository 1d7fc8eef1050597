//! Bodies of awsJson 1.0, awsJson 1.1 and restJson1.

use crate::check::Check;
use crate::json::{JsonError, Kind, Reader, Writer};
use crate::object::{self, Decoder, Level, Next, Sink, Source};
use crate::reject::Rejection;
use crate::scalar::{self, TimeText};
use crate::shape::{Shape, TimeFormat};
use crate::value::{Slot, Struct, Value};
use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

type Result<T> = std::result::Result<T, Rejection>;

impl From<JsonError> for Rejection {
    fn from(error: JsonError) -> Rejection {
        Rejection::NotJson(format!("The request body is not valid JSON: {error}"))
    }
}

/// Fills a structure from a body that is one object. The caller has the structure checked.
pub(crate) fn decode_members(
    body: &[u8],
    out: &mut dyn Struct,
    seen: &mut crate::check::Seen,
    check: &mut Check,
) -> Result<()> {
    let mut decoder = Decoder { source: Json(Reader::new(body)?), check };
    decoder.members(out, seen)?;
    Ok(decoder.source.0.end()?)
}

/// Fills and checks a structure.
pub(crate) fn decode(body: &[u8], out: &mut dyn Struct, check: &mut Check) -> Result<()> {
    let mut decoder = Decoder { source: Json(Reader::new(body)?), check };
    decoder.structure(out)?;
    Ok(decoder.source.0.end()?)
}

pub(crate) fn encode(value: &dyn Struct) -> String {
    let mut sink = Text(Writer::with_capacity(512));
    object::encode(&mut sink, value);
    sink.0.finish()
}

struct Json<'a>(Reader<'a>);

impl<'a> Source<'a> for Json<'a> {
    fn next(&mut self) -> Result<Next> {
        Ok(match self.0.kind()? {
            Kind::Null => Next::Null,
            Kind::Object => Next::Map,
            Kind::Array => Next::List,
            _ => Next::Scalar,
        })
    }

    fn null(&mut self) -> Result<()> {
        self.0.literal()?;
        Ok(())
    }

    fn enter(&mut self) -> Result<Level> {
        self.0.enter()?;
        Ok(Level { first: true, left: None })
    }

    fn key(&mut self, level: &mut Level) -> Result<Option<Cow<'a, str>>> {
        let first = std::mem::replace(&mut level.first, false);
        Ok(self.0.key(first)?)
    }

    fn item(&mut self, level: &mut Level) -> Result<bool> {
        let first = std::mem::replace(&mut level.first, false);
        Ok(self.0.item(first)?)
    }

    fn scalar(&mut self, shape: &Shape, slot: Slot<'_>) -> Result<()> {
        let kind = self.0.kind()?;
        match (slot, kind) {
            (Slot::Str(out), Kind::String) => *out = self.0.string()?.into_owned(),
            (Slot::Bool(out), Kind::True | Kind::False) => *out = self.0.literal()? == Kind::True,
            (Slot::Integer(out), Kind::Number) => {
                let n = integer(self.0.number()?).and_then(|n| i32::try_from(n).ok());
                *out = n.ok_or_else(|| cannot("NUMBER_VALUE", "Integer"))?;
            }
            (Slot::Long(out), Kind::Number) => {
                let n = integer(self.0.number()?);
                *out = n.ok_or_else(|| cannot("NUMBER_VALUE", "Long"))?;
            }
            (Slot::Float(out), Kind::Number | Kind::String) => {
                *out = self.float("Float")? as f32;
            }
            (Slot::Double(out), Kind::Number | Kind::String) => *out = self.float("Double")?,
            (Slot::Blob(out), Kind::String) => {
                let text = self.0.string()?;
                *out = scalar::blob(&text).ok_or_else(|| cannot("STRING_VALUE", "Blob"))?;
            }
            (Slot::Timestamp(out), Kind::Number | Kind::String) => *out = self.time(shape, kind)?,
            (Slot::Document(out), _) => *out = self.0.document()?,
            (Slot::Custom(out), _) => out.read_json(&mut self.0)?,
            (Slot::Nothing, _) => self.0.skip()?,
            _ => return Err(cannot(value_name(kind), type_name(shape))),
        }
        Ok(())
    }

    fn skip(&mut self) -> Result<()> {
        Ok(self.0.skip()?)
    }

    fn misfit(&mut self, expected: &Shape) -> Rejection {
        match (self.0.kind(), expected) {
            (Err(error), _) => error.into(),
            (Ok(Kind::Object), _) => {
                Rejection::malformed("Start of structure or map found where not expected.")
            }
            (Ok(Kind::Array), _) => Rejection::malformed("Start of list found where not expected"),
            (Ok(_), _) => Rejection::malformed("Unexpected field type"),
        }
    }
}

impl Json<'_> {
    fn float(&mut self, name: &'static str) -> Result<f64> {
        if self.0.kind()? == Kind::Number {
            let n = self.0.number()?.parse::<f64>().ok().filter(|n| n.is_finite());
            return n.ok_or_else(|| cannot("NUMBER_VALUE", name));
        }
        match &*self.0.string()? {
            text @ ("NaN" | "Infinity" | "-Infinity") => Ok(scalar::float(text).unwrap_or(0.0)),
            _ => Err(cannot("STRING_VALUE", name)),
        }
    }

    /// Seconds as a number, or text in the form that the shape asks for; where it asks for none, ISO
    /// 8601 does too.
    fn time(&mut self, shape: &Shape, kind: Kind) -> Result<Timestamp> {
        let format = match shape {
            Shape::Timestamp(format) => *format,
            _ => TimeFormat::Default,
        };
        let seconds = matches!(format, TimeFormat::Default | TimeFormat::UnixTimestamp);
        let at = if kind == Kind::Number {
            let text = self.0.number()?;
            seconds.then(|| scalar::timestamp(text, TimeText::Epoch)).flatten()
        } else {
            let text = self.0.string()?;
            match format {
                TimeFormat::UnixTimestamp => None,
                TimeFormat::HttpDate => scalar::timestamp(&text, TimeText::Http),
                _ => scalar::timestamp(&text, TimeText::Iso),
            }
        };
        at.ok_or_else(|| cannot(value_name(kind), "Timestamp"))
    }
}

/// A whole number, also where it is written with a point or exponent.
fn integer(text: &str) -> Option<i64> {
    if let Ok(n) = text.parse() {
        return Some(n);
    }
    let n: f64 = text.parse().ok()?;
    // Beyond 2^53 a float is not what was written.
    (n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0 && text.contains(['.', 'e', 'E']))
        .then_some(n as i64)
}

/// A scalar of the wrong kind, in AWS's words.
pub(crate) fn cannot(value: &str, name: &str) -> Rejection {
    Rejection::malformed(format!("{value} cannot be converted to {name}"))
}

fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::True => "TRUE_VALUE",
        Kind::False => "FALSE_VALUE",
        Kind::Number => "NUMBER_VALUE",
        Kind::String => "STRING_VALUE",
        Kind::Null => "NULL_VALUE",
        Kind::Array => "START_ARRAY",
        Kind::Object => "START_OBJECT",
    }
}

fn type_name(shape: &Shape) -> &'static str {
    match shape {
        Shape::Boolean => "Boolean",
        Shape::Integer(_) => "Integer",
        Shape::Long(_) => "Long",
        Shape::Float => "Float",
        Shape::Double => "Double",
        Shape::Blob(_) => "Blob",
        Shape::Timestamp(_) => "Timestamp",
        _ => "String",
    }
}

pub(crate) struct Text(pub Writer);

impl Sink for Text {
    fn map_open(&mut self) {
        self.0.open('{');
    }
    fn map_close(&mut self) {
        self.0.close('}');
    }
    fn list_open(&mut self) {
        self.0.open('[');
    }
    fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }
    fn make_room(&mut self, bytes: usize) {
        self.0.make_room(bytes);
    }
    fn list_close(&mut self) {
        self.0.close(']');
    }
    fn key(&mut self, key: &str) {
        self.0.key(key);
    }
    fn text(&mut self, text: &str) {
        self.0.string(text);
    }
    fn null(&mut self) {
        self.0.null();
    }
    fn scalar(&mut self, shape: &Shape, value: Value<'_>) {
        match value {
            Value::Str(text) => self.0.string(text),
            Value::Bool(b) => self.0.boolean(b),
            Value::Integer(n) => self.0.integer(i64::from(n)),
            Value::Long(n) => self.0.integer(n),
            // Through text: 0.1f32 is 0.1 and not 0.10000000149011612.
            Value::Float(n) if n.is_finite() => self.0.raw().push_str(&format!("{n:?}")),
            Value::Float(n) => self.0.double(f64::from(n)),
            Value::Double(n) => self.0.double(n),
            Value::Blob(bytes) => {
                let out = self.0.raw();
                out.push('"');
                STANDARD.encode_string(bytes, out);
                out.push('"');
            }
            Value::Timestamp(at) => {
                let time = match shape {
                    Shape::Timestamp(format) => TimeText::of(*format, TimeText::Epoch),
                    _ => TimeText::Epoch,
                };
                let out = self.0.raw();
                if time == TimeText::Epoch {
                    return scalar::write_epoch(at, out);
                }
                out.push('"');
                scalar::write_time(at, time, out);
                out.push('"');
            }
            Value::Document(document) => self.0.document(document),
            Value::Custom(custom) => custom.write_json(&mut self.0),
            Value::Absent | Value::Struct(_) | Value::List(_) | Value::Map(_) => self.0.null(),
        }
    }
}
