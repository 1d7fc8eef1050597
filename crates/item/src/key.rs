//! Values as parts of keys: bytes whose order is the order of the values, none of which is the
//! beginning of another.

use crate::build::{binary, string};
use crate::number;
use crate::value::{Kind, Value};

/// Appends a string, number or binary. Others have no order, and write nothing.
pub fn write_key(value: Value<'_>, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::N => number::write_key(value.text(), out),
        Kind::S | Kind::B => {
            escape(value.content(), out);
            out.extend_from_slice(&[0, 1]);
        }
        _ => {}
    }
}

/// The beginning of the keys of all strings or binaries that begin with the value.
pub fn write_key_prefix(value: Value<'_>, out: &mut Vec<u8>) {
    escape(value.content(), out);
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
}

/// Reads a value of that kind back, encoded, and gives what is left.
pub fn read_key(kind: Kind, bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    if kind == Kind::N {
        let (text, rest) = number::read_key(bytes)?;
        return Some((crate::number_value(&text).ok()?, rest));
    }
    let (mut content, mut rest) = (Vec::new(), bytes);
    loop {
        let zero = rest.iter().position(|b| *b == 0)?;
        content.extend_from_slice(&rest[..zero]);
        let mark = *rest.get(zero + 1)?;
        rest = &rest[zero + 2..];
        match mark {
            1 => break,
            0xff => content.push(0),
            _ => return None,
        }
    }
    match kind {
        Kind::S => Some((string(std::str::from_utf8(&content).ok()?), rest)),
        Kind::B => Some((binary(&content), rest)),
        _ => None,
    }
}
