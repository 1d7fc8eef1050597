//! A pull reader for JSON from outside.
//!
//! Strict as RFC 8259 is: no comments, no trailing commas, no control characters in strings, UTF-8
//! throughout, surrogates in pairs, nothing after the value. Nesting is bounded. Numbers are given
//! as their text, so nothing is lost of large ones. Text without escapes is not copied.

use crate::Document;
use base::limits::NESTING_MAX;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Why the text is not JSON, and where (bytes from the start).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JsonError {
    pub reason: &'static str,
    pub at: usize,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.at)
    }
}

impl std::error::Error for JsonError {}

type Result<T> = std::result::Result<T, JsonError>;

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Null,
    True,
    False,
    Number,
    String,
    Array,
    Object,
}

pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Reader<'a>> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| JsonError { reason: "not UTF-8", at: e.valid_up_to() })?;
        Ok(Reader { text, at: 0, depth: 0 })
    }

    pub(crate) fn fail<T>(&self, reason: &'static str) -> Result<T> {
        Err(JsonError { reason, at: self.at })
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn skip_space(&mut self) -> Option<u8> {
        let bytes = self.bytes();
        while let Some(&b) = bytes.get(self.at) {
            if !matches!(b, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(b);
            }
            self.at += 1;
        }
        None
    }

    /// The kind of the next value, which is not taken yet.
    pub fn kind(&mut self) -> Result<Kind> {
        match self.skip_space() {
            Some(b'"') => Ok(Kind::String),
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't') => Ok(Kind::True),
            Some(b'f') => Ok(Kind::False),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => self.fail("not a value"),
            None => self.fail("the text ends too early"),
        }
    }

    /// Takes `null`, `true` or `false`, which must be next.
    pub fn literal(&mut self) -> Result<Kind> {
        let (kind, word) = match self.kind()? {
            Kind::Null => (Kind::Null, "null"),
            Kind::True => (Kind::True, "true"),
            Kind::False => (Kind::False, "false"),
            _ => return self.fail("not a literal"),
        };
        if !self.bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.fail("not a value");
        }
        self.at += word.len();
        Ok(kind)
    }

    /// The text of a number, which must be next.
    pub fn number(&mut self) -> Result<&'a str> {
        if self.kind()? != Kind::Number {
            return self.fail("not a number");
        }
        let start = self.at;
        let bytes = self.bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut at = start + usize::from(bytes[start] == b'-');
        let whole = digits(at);
        if whole == at || (bytes[at] == b'0' && whole > at + 1) {
            return self.fail("not a number");
        }
        at = whole;
        if bytes.get(at) == Some(&b'.') {
            let end = digits(at + 1);
            if end == at + 1 {
                return self.fail("not a number");
            }
            at = end;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let end = digits(at + 1 + sign);
            if end == at + 1 + sign {
                return self.fail("not a number");
            }
            at = end;
        }
        self.at = at;
        Ok(&self.text[start..at])
    }

    /// A string, which must be next.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        if self.skip_space() != Some(b'"') {
            return self.fail("not a string");
        }
        let start = self.at + 1;
        let end = plain_end(self.bytes(), start);
        self.at = end;
        match self.bytes().get(end) {
            Some(b'"') => {
                self.at = end + 1;
                Ok(Cow::Borrowed(&self.text[start..end]))
            }
            Some(b'\\') => self.escaped_string(start).map(Cow::Owned),
            Some(_) => self.fail("a control character in a string"),
            None => self.fail("a string is not closed"),
        }
    }

    /// The rest of a string that has an escape at the current place.
    fn escaped_string(&mut self, start: usize) -> Result<String> {
        let mut out = String::with_capacity((self.at - start) * 2 + 16);
        out.push_str(&self.text[start..self.at]);
        loop {
            match self.bytes().get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return self.fail("a control character in a string"),
                None => return self.fail("a string is not closed"),
            }
            let end = plain_end(self.bytes(), self.at);
            out.push_str(&self.text[self.at..end]);
            self.at = end;
        }
    }

    fn escape(&mut self) -> Result<char> {
        let c = match self.bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.fail("an unknown escape"),
        };
        self.at += 2;
        Ok(c)
    }

    fn unicode(&mut self) -> Result<char> {
        let Some(first) = hex4(self.bytes(), self.at) else {
            return self.fail("an escape without four digits");
        };
        if let Some(c) = char::from_u32(first) {
            self.at += 6;
            return Ok(c);
        }
        let second = hex4(self.bytes(), self.at + 6).filter(|low| (0xdc00..0xe000).contains(low));
        match second {
            Some(low) if first < 0xdc00 => {
                self.at += 12;
                let code = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
                Ok(char::from_u32(code).expect("a pair of surrogates"))
            }
            _ => self.fail("half a surrogate pair"),
        }
    }

    /// Enters an object or array, which must be next.
    pub fn enter(&mut self) -> Result<()> {
        if !matches!(self.kind()?, Kind::Object | Kind::Array) {
            return self.fail("not an object or array");
        }
        if self.depth >= NESTING_MAX {
            return self.fail("nested too deeply");
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// The next key of the object that was entered, with its colon; `None` leaves the object.
    pub fn key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        if self.skip_space() != Some(b':') {
            return self.fail("a key without a colon");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the array that was entered has another item; `false` leaves it.
    pub fn item(&mut self, first: bool) -> Result<bool> {
        self.more(first, b']')
    }

    fn more(&mut self, first: bool, close: u8) -> Result<bool> {
        match self.skip_space() {
            Some(b) if b == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                // A value must follow.
                if self.skip_space() == Some(close) {
                    self.fail("a comma too many")
                } else {
                    Ok(true)
                }
            }
            Some(_) if first => Ok(true),
            Some(_) => self.fail("neither a comma nor an end"),
            None => self.fail("the text ends too early"),
        }
    }

    /// Passes over one value of any kind.
    pub fn skip(&mut self) -> Result<()> {
        match self.kind()? {
            Kind::Null | Kind::True | Kind::False => {
                self.literal()?;
            }
            Kind::Number => {
                self.number()?;
            }
            Kind::String => {
                self.string()?;
            }
            Kind::Array => {
                self.enter()?;
                let mut first = true;
                while self.item(first)? {
                    first = false;
                    self.skip()?;
                }
            }
            Kind::Object => {
                self.enter()?;
                let mut first = true;
                while self.key(first)?.is_some() {
                    first = false;
                    self.skip()?;
                }
            }
        }
        Ok(())
    }

    /// Nothing but white space may be left.
    pub fn end(&mut self) -> Result<()> {
        match self.skip_space() {
            None => Ok(()),
            Some(_) => self.fail("text after the value"),
        }
    }

    pub fn document(&mut self) -> Result<Document> {
        Ok(match self.kind()? {
            Kind::String => Document::String(self.string()?.into_owned()),
            Kind::Number => {
                let text = self.number()?;
                match text.parse() {
                    Ok(n) => Document::Integer(n),
                    Err(_) => match text.parse::<f64>() {
                        Ok(n) if n.is_finite() => Document::Double(n),
                        _ => return self.fail("a number too large"),
                    },
                }
            }
            Kind::Array => {
                self.enter()?;
                let mut items = Vec::new();
                while self.item(items.is_empty())? {
                    items.push(self.document()?);
                }
                Document::List(items)
            }
            Kind::Object => {
                self.enter()?;
                let (mut entries, mut first) = (BTreeMap::new(), true);
                while let Some(key) = self.key(first)? {
                    first = false;
                    let value = self.document()?;
                    entries.insert(key.into_owned(), value);
                }
                Document::Map(entries)
            }
            Kind::Null | Kind::True | Kind::False => match self.literal()? {
                Kind::True => Document::Bool(true),
                Kind::False => Document::Bool(false),
                _ => Document::Null,
            },
        })
    }
}

/// Reads text that is one JSON value.
pub fn parse_document(bytes: &[u8]) -> Result<Document> {
    let mut reader = Reader::new(bytes)?;
    let document = reader.document()?;
    reader.end()?;
    Ok(document)
}

/// Where text stops being plain: at a quote, a backslash, a control character or the end. Eight bytes
/// at a time.
pub(crate) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Without a jump in it, so that it becomes a few instructions on sixteen bytes each.
    let is_plain = |chunk: &[u8; 32]| {
        let ends = |b: u8| u8::from(b == b'"') | u8::from(b == b'\\') | u8::from(b < 0x20);
        chunk.iter().fold(0, |found, b| found | ends(*b)) == 0
    };
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk)
        && is_plain(chunk)
    {
        at += chunk.len();
    }
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let is = |b: u8| {
            let x = word ^ (ONES * u64::from(b));
            x.wrapping_sub(ONES) & !x
        };
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (is(b'"') | is(b'\\') | control) & HIGH;
        if found != 0 {
            // Bytes below the first true hit never give a false one: borrows go upwards.
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&b) = bytes.get(at) {
        if b == b'"' || b == b'\\' || b < 0x20 {
            break;
        }
        at += 1;
    }
    at
}

/// The number in `\uXXXX` at that place.
fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let escape = bytes.get(at..at + 6)?;
    if !escape.starts_with(b"\\u") {
        return None;
    }
    escape[2..].iter().try_fold(0, |n, &b| Some(n * 16 + (b as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        let text = match parse_document(json.as_bytes()) {
            Ok(document) => crate::json::document_text(&document),
            Err(error) => format!("! {}", error.reason),
        };
        assert_eq!(text, expected, "{json}");
        let skipped = Reader::new(json.as_bytes()).and_then(|mut r| {
            r.skip()?;
            r.end()
        });
        assert_eq!(skipped.is_err(), expected.starts_with('!'), "skipping {json}");
    }

    #[test]
    fn reads_json() {
        check("{}", "{}");
        check(" [ 1 , -2.5e1 , 0, true,false , null ]\r\n\t", "[1,-25.0,0,true,false,null]");
        check(r#"{"a":{"b":[[],{}]},"c":"d"}"#, r#"{"a":{"b":[[],{}]},"c":"d"}"#);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
        check(r#""\u0041\"\\\/\b\f\n\r\t\ud83d\ude00é""#, r#""A\"\\/\b\f\n\r\t😀é""#);
        check("9223372036854775808", "9.223372036854776e18");
        check("-9223372036854775808", "-9223372036854775808");
        for len in 0..40 {
            let text = format!("\"{}\"", "é".repeat(len));
            check(&text, &text);
            let escaped = format!("\"{}\\u0022{}\"", "x".repeat(len), "y".repeat(len));
            check(&escaped, &escaped.replace("\\u0022", "\\\""));
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        let cases = [
            ("", "the text ends too early"),
            ("{", "the text ends too early"),
            ("[1", "the text ends too early"),
            ("[1 2]", "neither a comma nor an end"),
            ("[1,]", "a comma too many"),
            ("[,1]", "not a value"),
            ("{,}", "not a string"),
            ("{\"a\":1,}", "a comma too many"),
            ("{a:1}", "not a string"),
            ("{\"a\" 1}", "a key without a colon"),
            ("{'a':1}", "not a string"),
            ("[1}", "neither a comma nor an end"),
            ("1 2", "text after the value"),
            ("nul", "not a value"),
            ("nulx", "not a value"),
            ("truefalse", "text after the value"),
            ("01", "not a number"),
            ("-", "not a number"),
            ("1.", "not a number"),
            ("1e", "not a number"),
            (".5", "not a value"),
            ("+1", "not a value"),
            ("NaN", "not a value"),
            ("\"", "a string is not closed"),
            ("\"\\", "an unknown escape"),
            ("\"\\x41\"", "an unknown escape"),
            ("\"\\u12\"", "an escape without four digits"),
            ("\"\\u+123\"", "an escape without four digits"),
            ("\"\\ud800\"", "half a surrogate pair"),
            ("\"\\udc00\\ud800\"", "half a surrogate pair"),
            ("\"\\ud800\\u0041\"", "half a surrogate pair"),
            ("\"a\nb\"", "a control character in a string"),
            ("\"\\n\u{1}\"", "a control character in a string"),
            ("// x\n1", "not a value"),
        ];
        for (json, reason) in cases {
            check(json, &format!("! {reason}"));
        }
        assert!(parse_document(b"\"\xff\"").is_err());
        check(&"[".repeat(1000), "! nested too deeply");
    }
}
