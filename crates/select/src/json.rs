//! One value of JSON as a [`Value`].

use crate::value::{Value, number};
use crate::{Result, SelectError};

/// Lists and objects in each other.
pub(crate) const DEPTH_MAX: usize = 64;

pub(crate) fn malformed() -> SelectError {
    let text = "Error parsing JSON file. Please check the file and try again.";
    SelectError::new("JSONParsingError", text)
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

/// A text that is one value and nothing more.
pub(crate) fn value(text: &str) -> Result<Value> {
    let mut reader = Reader { rest: text, depth: 0 };
    let value = reader.value()?;
    reader.blank();
    if reader.rest.is_empty() { Ok(value) } else { Err(malformed()) }
}

impl Reader<'_> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn skip(&mut self, c: char) -> bool {
        self.blank();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Result<Value> {
        self.blank();
        match self.rest.as_bytes().first() {
            Some(b'{') => self.nested(Reader::object),
            Some(b'[') => self.nested(Reader::list),
            Some(b'"') => self.string().map(Value::Text),
            _ => {
                let end = self.rest.find([',', ']', '}', ' ', '\t', '\n', '\r', ':', '"']);
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                scalar(word)
            }
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value>) -> Result<Value> {
        if self.depth >= DEPTH_MAX {
            return Err(malformed());
        }
        self.depth += 1;
        self.rest = &self.rest[1..];
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value> {
        let mut members = Vec::new();
        if self.skip('}') {
            return Ok(Value::Tuple(members));
        }
        loop {
            self.blank();
            let name = self.string()?;
            if !self.skip(':') {
                return Err(malformed());
            }
            members.push((name, self.value()?));
            if self.skip('}') {
                return Ok(Value::Tuple(members));
            }
            if !self.skip(',') {
                return Err(malformed());
            }
        }
    }

    fn list(&mut self) -> Result<Value> {
        let mut items = Vec::new();
        if self.skip(']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value()?);
            if self.skip(']') {
                return Ok(Value::List(items));
            }
            if !self.skip(',') {
                return Err(malformed());
            }
        }
    }

    fn string(&mut self) -> Result<String> {
        let mut rest = self.rest.strip_prefix('"').ok_or_else(malformed)?;
        let mut out = String::new();
        loop {
            let end =
                rest.find(|c: char| c == '"' || c == '\\' || c < ' ').ok_or_else(malformed)?;
            out.push_str(&rest[..end]);
            let mark = rest.as_bytes()[end];
            rest = &rest[end + 1..];
            match mark {
                b'"' => {
                    self.rest = rest;
                    return Ok(out);
                }
                b'\\' => out.push(escaped(&mut rest).ok_or_else(malformed)?),
                _ => return Err(malformed()),
            }
        }
    }
}

/// What stands after a backslash. Half of a pair of surrogates is no character.
fn escaped(rest: &mut &str) -> Option<char> {
    let mut chars = rest.chars();
    let c = match chars.next()? {
        c @ ('"' | '\\' | '/') => c,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let unit = |text: &str| {
                let digits = text.get(..4)?;
                let all = digits.bytes().all(|b| b.is_ascii_hexdigit());
                all.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
            };
            let text = chars.as_str();
            let first = unit(text)?;
            let (c, taken) = match char::from_u32(first.into()) {
                Some(c) => (c, 4),
                None => {
                    let second = unit(text.get(4..)?.strip_prefix("\\u")?)?;
                    (char::decode_utf16([first, second]).next()?.ok()?, 10)
                }
            };
            *rest = &text[taken..];
            return Some(c);
        }
        _ => return None,
    };
    *rest = chars.as_str();
    Some(c)
}

fn scalar(word: &str) -> Result<Value> {
    match word {
        "null" => Ok(Value::Null),
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        word if is_number(word.as_bytes()) => number(word).ok_or_else(malformed),
        _ => Err(malformed()),
    }
}

/// By JSON's grammar, which is narrower than ours.
fn is_number(word: &[u8]) -> bool {
    let digits = |from: &[u8]| from.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut rest = word.strip_prefix(b"-").unwrap_or(word);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}
