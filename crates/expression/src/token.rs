//! Text as tokens.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A name, a keyword or a function.
    Word,
    /// `#name`.
    Alias,
    /// `:name`.
    Variable,
    Digits,
    /// Brackets, commas, operators.
    Symbol,
    /// A character that no expression has.
    Unknown,
    End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    pub start: usize,
}

impl Token<'_> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

/// All tokens, an [`Kind::End`] last.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(text.len() / 4 + 2);
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let run = |from: usize, is: fn(u8) -> bool| {
            let length = bytes[from..].iter().take_while(|b| is(**b)).count();
            from + length
        };
        let kind = match bytes[at] {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'a'..=b'z' | b'A'..=b'Z' => {
                at = run(at, is_name);
                Kind::Word
            }
            b'0'..=b'9' => {
                at = run(at, |b| b.is_ascii_digit());
                Kind::Digits
            }
            mark @ (b'#' | b':') => {
                at = run(at + 1, is_name);
                match (at > start + 1, mark) {
                    (false, _) => Kind::Unknown,
                    (true, b'#') => Kind::Alias,
                    (true, _) => Kind::Variable,
                }
            }
            b'<' | b'>' => {
                let next = bytes.get(at + 1).copied();
                let two = next == Some(b'=') || (bytes[at] == b'<' && next == Some(b'>'));
                at += 1 + usize::from(two);
                Kind::Symbol
            }
            b'(' | b')' | b'[' | b']' | b'.' | b',' | b'=' | b'+' | b'-' => {
                at += 1;
                Kind::Symbol
            }
            _ => {
                at += text[at..].chars().next().map_or(1, char::len_utf8);
                Kind::Unknown
            }
        };
        out.push(Token { kind, text: &text[start..at], start });
    }
    out.push(Token { kind: Kind::End, text: "<EOF>", start: text.len() });
    out
}
