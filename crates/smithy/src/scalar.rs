//! Scalars as text: headers, query parameters, path labels, XML and query strings.

use crate::reject::Expected;
use crate::shape::TimeFormat;
use crate::value::{Slot, Value};
use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt::Write as _;

/// How a protocol writes a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimeText {
    /// Always with milliseconds: S3, EC2.
    IsoMillis,
    /// With milliseconds where there are any.
    Iso,
    /// Without a fraction: IAM, STS.
    IsoSeconds,
    Epoch,
    Http,
}

impl TimeText {
    /// What a shape asks for, or else what its place has.
    pub fn of(format: TimeFormat, default: TimeText) -> TimeText {
        match (format, default) {
            (TimeFormat::Default, _) => default,
            (TimeFormat::Iso8601, TimeText::IsoMillis | TimeText::IsoSeconds) => default,
            (TimeFormat::Iso8601, _) => TimeText::Iso,
            (TimeFormat::UnixTimestamp, _) => TimeText::Epoch,
            (TimeFormat::HttpDate, _) => TimeText::Http,
        }
    }
}

/// Puts text into a slot.
pub(crate) fn parse(slot: Slot<'_>, text: Cow<'_, str>, time: TimeText) -> Result<(), Expected> {
    match slot {
        Slot::Str(out) => *out = text.into_owned(),
        Slot::Bool(out) => *out = boolean(text.trim()).ok_or(Expected::Boolean)?,
        Slot::Integer(out) => *out = text.trim().parse().map_err(|_| Expected::Integer)?,
        Slot::Long(out) => *out = text.trim().parse().map_err(|_| Expected::Long)?,
        Slot::Float(out) => *out = float(text.trim()).ok_or(Expected::Float)? as f32,
        Slot::Double(out) => *out = float(text.trim()).ok_or(Expected::Double)?,
        Slot::Blob(out) => *out = blob(text.trim()).ok_or(Expected::Blob)?,
        Slot::Timestamp(out) => {
            *out = timestamp(text.trim(), time).ok_or(Expected::Timestamp)?;
        }
        Slot::Nothing => {}
        Slot::Struct(_) | Slot::List(_) | Slot::Map(_) | Slot::Document(_) | Slot::Custom(_) => {
            return Err(Expected::String);
        }
    }
    Ok(())
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Decimal numbers and the three words. The standard library also takes `inf`, `nan` and more.
pub(crate) fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => {
            text.parse().ok().filter(|n: &f64| n.is_finite())
        }
        _ => None,
    }
}

pub(crate) fn blob(text: &str) -> Option<Bytes> {
    STANDARD.decode(text).ok().map(Bytes::from)
}

/// A time in the form that is due.
pub(crate) fn timestamp(text: &str, time: TimeText) -> Option<Timestamp> {
    match time {
        TimeText::Http => Timestamp::parse_http_date(text).ok().and_then(writable),
        TimeText::Epoch => float(text).and_then(epoch),
        TimeText::Iso | TimeText::IsoMillis | TimeText::IsoSeconds => {
            Timestamp::parse_iso8601(text).ok().and_then(writable)
        }
    }
}

pub(crate) fn epoch(secs: f64) -> Option<Timestamp> {
    Timestamp::from_epoch_secs_f64(secs).ok().and_then(writable)
}

/// Only years 1 to 9999 can be written again.
fn writable(at: Timestamp) -> Option<Timestamp> {
    const FIRST_MS: i64 = -62_135_596_800_000;
    const LAST_MS: i64 = 253_402_300_799_999;
    (FIRST_MS..=LAST_MS).contains(&at.to_millis()).then_some(at)
}

/// Appends a scalar. False if the value is none.
pub(crate) fn write(value: Value<'_>, time: TimeText, out: &mut String) -> bool {
    match value {
        Value::Str(text) => out.push_str(text),
        Value::Bool(b) => out.push_str(if b { "true" } else { "false" }),
        Value::Integer(n) => write_int(i64::from(n), out),
        Value::Long(n) => write_int(n, out),
        Value::Float(n) => write_float(f64::from(n), n.is_finite().then(|| format!("{n:?}")), out),
        Value::Double(n) => write_float(n, n.is_finite().then(|| format!("{n:?}")), out),
        Value::Blob(bytes) => STANDARD.encode_string(bytes, out),
        Value::Timestamp(at) => write_time(at, time, out),
        Value::Absent
        | Value::Struct(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Document(_)
        | Value::Custom(_) => {
            return false;
        }
    }
    true
}

pub(crate) fn write_int(n: i64, out: &mut String) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        out.push('-');
    }
    out.extend(digits[at..].iter().map(|&b| b as char));
}

fn write_float(n: f64, finite: Option<String>, out: &mut String) {
    match finite {
        Some(text) => out.push_str(&text),
        None if n.is_nan() => out.push_str("NaN"),
        None => out.push_str(if n > 0.0 { "Infinity" } else { "-Infinity" }),
    }
}

pub(crate) fn write_time(at: Timestamp, time: TimeText, out: &mut String) {
    match time {
        TimeText::IsoMillis => out.push_str(&at.iso8601_millis()),
        TimeText::IsoSeconds => out.push_str(&at.iso8601_secs()),
        TimeText::Iso if at.to_millis().rem_euclid(1000) == 0 => out.push_str(&at.iso8601_secs()),
        TimeText::Iso => out.push_str(&at.iso8601_millis()),
        TimeText::Http => at.write_http_date(out),
        TimeText::Epoch => write_epoch(at, out),
    }
}

/// Seconds, with as many decimals as there are: `1400000000`, `1400000000.5`.
pub(crate) fn write_epoch(at: Timestamp, out: &mut String) {
    let ms = at.to_millis();
    if ms < 0 {
        out.push('-');
    }
    let ms = ms.unsigned_abs();
    write_int((ms / 1000) as i64, out);
    if !ms.is_multiple_of(1000) {
        let _ = write!(out, ".{:03}", ms % 1000);
        while out.ends_with('0') {
            out.pop();
        }
    }
}

/// A byte in lower-case hexadecimal without leading zero.
pub(crate) fn write_hex(b: u8, out: &mut String) {
    let _ = write!(out, "{b:x}");
}
