//! Writes JSON into one string.

use crate::Document;
use crate::scalar;

/// Puts the commas; well-formed as long as opens and closes match and every value in an object has
/// its key before it.
#[derive(Default)]
pub struct Writer {
    out: String,
    /// The next value or key needs a comma before it.
    comma: bool,
}

impl Writer {
    pub fn with_capacity(capacity: usize) -> Writer {
        Writer { out: String::with_capacity(capacity), comma: false }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn make_room(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(',');
        }
        self.comma = true;
    }

    pub fn open(&mut self, bracket: char) {
        self.separate();
        self.out.push(bracket);
        self.comma = false;
    }

    pub fn close(&mut self, bracket: char) {
        self.out.push(bracket);
        self.comma = true;
    }

    pub fn key(&mut self, key: &str) {
        self.separate();
        quote(key, &mut self.out);
        self.out.push(':');
        self.comma = false;
    }

    /// The same with a small first letter.
    pub fn key_uncapitalized(&mut self, key: &str) {
        self.separate();
        let start = self.out.len() + 1;
        quote(key, &mut self.out);
        if let Some(first) = self.out.get_mut(start..start + 1) {
            first.make_ascii_lowercase();
        }
        self.out.push(':');
        self.comma = false;
    }

    pub fn string(&mut self, text: &str) {
        self.separate();
        quote(text, &mut self.out);
    }

    /// Text that is a JSON value as it stands: numbers, literals, a quoted string without escapes.
    pub fn raw(&mut self) -> &mut String {
        self.separate();
        &mut self.out
    }

    pub fn integer(&mut self, n: i64) {
        scalar::write_int(n, self.raw());
    }

    /// The three that JSON lacks go as strings.
    pub fn double(&mut self, n: f64) {
        use std::fmt::Write as _;
        let out = self.raw();
        if n.is_finite() {
            let _ = write!(out, "{n:?}");
        } else if n.is_nan() {
            out.push_str("\"NaN\"");
        } else {
            out.push_str(if n > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
        }
    }

    pub fn boolean(&mut self, b: bool) {
        self.raw().push_str(if b { "true" } else { "false" });
    }

    pub fn null(&mut self) {
        self.raw().push_str("null");
    }

    pub fn document(&mut self, document: &Document) {
        match document {
            Document::Null => self.null(),
            Document::Bool(b) => self.boolean(*b),
            Document::Integer(n) => self.integer(*n),
            Document::Double(n) => self.double(*n),
            Document::String(text) => self.string(text),
            Document::List(items) => {
                self.open('[');
                items.iter().for_each(|item| self.document(item));
                self.close(']');
            }
            Document::Map(entries) => {
                self.open('{');
                for (key, value) in entries {
                    self.key(key);
                    self.document(value);
                }
                self.close('}');
            }
        }
    }

    pub fn finish(self) -> String {
        self.out
    }
}

/// A document as JSON text.
pub fn document_text(document: &Document) -> String {
    let mut writer = Writer::default();
    writer.document(document);
    writer.finish()
}

/// Text as a JSON string, quotes included.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote(text, &mut out);
    out
}

/// Appends text as a JSON string, quotes included.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    let bytes = text.as_bytes();
    let mut done = 0;
    loop {
        let at = super::reader::plain_end(bytes, done);
        out.push_str(&text[done..at]);
        let Some(&b) = bytes.get(at) else { break };
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            b => {
                out.push_str(if b < 16 { "\\u000" } else { "\\u00" });
                scalar::write_hex(b, out);
            }
        }
        done = at + 1;
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        let cases = [
            ("", r#""""#),
            ("a\"b\\c/d", r#""a\"b\\c/d""#),
            ("\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}é😀", "\"\\n\\r\\t\\b\\f\\u0000\\u001f\u{7f}é😀\""),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn keys_lose_their_capital() {
        let mut writer = Writer::default();
        writer.open('{');
        for key in ["ContentType", "x", "", "\"A", "É"] {
            writer.key_uncapitalized(key);
            writer.null();
        }
        writer.close('}');
        let expected = r#"{"contentType":null,"x":null,"":null,"\"A":null,"É":null}"#;
        assert_eq!(writer.finish(), expected);
    }
}
