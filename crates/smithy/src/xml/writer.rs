//! Writes elements, escaped as S3 does it.

/// Appends to one string; well-formed as long as opens and closes match.
#[derive(Default)]
pub struct Writer {
    out: String,
}

impl Writer {
    pub fn with_declaration(capacity: usize) -> Writer {
        let mut out = String::with_capacity(capacity);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Writer { out }
    }

    /// A start tag up to its attributes; [`Writer::start_done`] closes it.
    pub fn start(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
    }

    pub fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(value, &mut self.out);
        self.out.push('"');
    }

    pub fn start_done(&mut self) {
        self.out.push('>');
    }

    pub fn open(&mut self, name: &str) {
        self.start(name);
        self.start_done();
    }

    pub fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    pub fn empty(&mut self, name: &str) {
        self.start(name);
        self.out.push_str("/>");
    }

    pub fn text(&mut self, text: &str) {
        escape(text, &mut self.out);
    }

    /// `<name>text</name>`, or `<name/>` where there is no text.
    pub fn element(&mut self, name: &str, text: &str) {
        if text.is_empty() {
            return self.empty(name);
        }
        self.open(name);
        self.text(text);
        self.close(name);
    }

    /// For text that needs no escaping: numbers, times, base64.
    pub(crate) fn raw(&mut self) -> &mut String {
        &mut self.out
    }

    pub fn finish(self) -> String {
        self.out
    }
}

/// Escapes `& < > "` by name, and as a number the control characters that a parser would refuse or
/// (carriage return) change.
pub(crate) fn escape(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, &b) in bytes.iter().enumerate() {
        if !SPECIAL[usize::from(b)] {
            continue;
        }
        out.push_str(&text[done..at]);
        done = at + 1;
        match b {
            b'&' => out.push_str("&amp;"),
            b'<' => out.push_str("&lt;"),
            b'>' => out.push_str("&gt;"),
            b'"' => out.push_str("&quot;"),
            b'\r' => out.push_str("&#13;"),
            _ => {
                out.push_str("&#x");
                crate::scalar::write_hex(b, out);
                out.push(';');
            }
        }
    }
    out.push_str(&text[done..]);
}

const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 32 {
        table[b] = b != 9 && b != 10;
        b += 1;
    }
    table[b'&' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'"' as usize] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let cases = [
            ("", ""),
            ("plain é", "plain é"),
            ("a&b<c>d\"e'f", "a&amp;b&lt;c&gt;d&quot;e'f"),
            ("\r\n\t", "&#13;\n\t"),
            ("\u{1}\u{1f}\u{7f}", "&#x1;&#x1f;\u{7f}"),
        ];
        for (text, expected) in cases {
            let mut out = String::new();
            escape(text, &mut out);
            assert_eq!(out, expected, "{text:?}");
        }
    }
}
