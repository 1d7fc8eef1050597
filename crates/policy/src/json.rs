//! A small JSON reader for policy documents: bounded nesting, object members in their order, and
//! members that appear twice are an error, since a policy that two readers understand differently
//! is a hole.

/// Policies nest five deep; the rest is slack.
const DEPTH_MAX: usize = 32;

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As written: conditions compare numbers as text when they must.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum JsonError {
    Syntax,
    Duplicate(String),
}

pub(crate) fn read(text: &str) -> Result<Json, JsonError> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0 };
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at == reader.bytes.len() { Ok(value) } else { Err(JsonError::Syntax) }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Takes the byte, after white space, if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(JsonError::Syntax) }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(JsonError::Syntax)
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError::Syntax);
        }
        self.skip_space();
        match self.peek().ok_or(JsonError::Syntax)? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Json::Text),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.need(b'[')?;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            self.need(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.need(b'{')?;
        let mut members: Vec<(String, Json)> = Vec::new();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.need(b':')?;
            members.push((name, self.value(depth + 1)?));
            if self.take(b'}') {
                break;
            }
            self.need(b',')?;
        }
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(JsonError::Duplicate(pair[0].to_owned())),
            None => Ok(Json::Object(members)),
        }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while reader.peek().is_some_and(|b| b.is_ascii_digit()) {
                reader.at += 1;
            }
            reader.at > from
        };
        self.at += usize::from(self.peek() == Some(b'-'));
        let leading_zero = self.peek() == Some(b'0');
        let whole_from = self.at;
        let mut ok = digits(self) && !(leading_zero && self.at > whole_from + 1);
        if self.peek() == Some(b'.') {
            self.at += 1;
            ok &= digits(self);
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            ok &= digits(self);
        }
        if ok {
            Ok(Json::Number(self.text[start..self.at].to_owned()))
        } else {
            Err(JsonError::Syntax)
        }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(JsonError::Syntax);
        }
        self.at += 1;
        let mut out = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|b| b != b'"' && b != b'\\' && b >= 0x20) {
                self.at += 1;
            }
            out.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return Err(JsonError::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let kind = *self.bytes.get(self.at + 1).ok_or(JsonError::Syntax)?;
        self.at += 2;
        Ok(match kind {
            b'"' | b'\\' | b'/' => kind as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    if !self.bytes[self.at..].starts_with(b"\\u") {
                        return Err(JsonError::Syntax);
                    }
                    self.at += 2;
                    let second = self.hex4()?;
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(JsonError::Syntax);
                    }
                    0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                char::from_u32(code).ok_or(JsonError::Syntax)?
            }
            _ => return Err(JsonError::Syntax),
        })
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(JsonError::Syntax)?;
        self.at += 4;
        digits.iter().try_fold(0u32, |sum, &b| {
            base::hex::digit(b).map(|d| sum << 4 | u32::from(d)).ok_or(JsonError::Syntax)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind() {
        let text = r#" {"a": [1, -0.5e+3, "x\n\u00e9\ud83d\ude00", true, null], "b": {}} "#;
        let Json::Object(members) = read(text).unwrap() else { panic!("an object") };
        assert_eq!(members[1], ("b".to_owned(), Json::Object(vec![])));
        let items = [
            Json::Number("1".into()),
            Json::Number("-0.5e+3".into()),
            Json::Text("x\n\u{e9}\u{1f600}".into()),
            Json::Bool(true),
            Json::Null,
        ];
        assert_eq!(members[0].1, Json::Array(items.to_vec()));
    }

    #[test]
    fn refuses_what_is_no_json() {
        let deep = "[".repeat(100_000);
        let bad = [
            "",
            " ",
            "{",
            "}",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "01",
            "1.",
            "-",
            "1e",
            "tru",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\n\"",
            "1 2",
            "+1",
            "nul",
            "{\"a\":1,}",
            "'a'",
            "\u{feff}{}",
            &deep,
        ];
        for text in bad {
            assert_eq!(read(text), Err(JsonError::Syntax), "{}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn a_member_stands_once() {
        let twice = Err(JsonError::Duplicate("a".into()));
        assert_eq!(read(r#"{"a":1,"b":2,"\u0061":3}"#), twice);
        assert_eq!(read(r#"[{"x":{"a":1,"a":1}}]"#), twice);
    }
}
