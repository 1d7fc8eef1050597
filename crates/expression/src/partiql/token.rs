//! A statement as tokens.

use std::borrow::Cow;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A keyword, a name, a function.
    Word,
    /// `"name"`.
    Name,
    /// `'text'`.
    Text,
    Number,
    /// A bracket, a comma, an operator, `?`.
    Symbol,
    /// A literal between back ticks.
    Ion,
    End,
}

#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    /// Without quotes.
    pub text: Cow<'a, str>,
    pub start: usize,
    pub end: usize,
}

impl Token<'_> {
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub fn is(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || b >= 0x80
}

/// All tokens, an [`Kind::End`] last; nothing if something has no end or no meaning.
pub(super) fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(text.len() / 4 + 2);
    let mut at = 0;
    while let Some(&first) = bytes.get(at) {
        let start = at;
        let rest = &bytes[at..];
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if rest.starts_with(b"--") {
            at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            continue;
        }
        if rest.starts_with(b"/*") {
            at += 4 + rest[2..].windows(2).position(|two| two == b"*/")?;
            continue;
        }
        let (kind, text) = match first {
            b'\'' | b'"' | b'`' => {
                let (content, length) = quoted(&text[at..], first)?;
                at += length;
                let kind = match first {
                    b'\'' => Kind::Text,
                    b'"' => Kind::Name,
                    _ => Kind::Ion,
                };
                (kind, content)
            }
            b'0'..=b'9' => {
                at += number(rest);
                (Kind::Number, Cow::Borrowed(&text[start..at]))
            }
            b'.' if rest.get(1).is_some_and(u8::is_ascii_digit) && !after_path(&out, start) => {
                at += number(rest);
                (Kind::Number, Cow::Borrowed(&text[start..at]))
            }
            _ if is_name(first) => {
                at += rest.iter().take_while(|b| is_name(**b)).count();
                (Kind::Word, Cow::Borrowed(&text[start..at]))
            }
            _ => {
                at += symbol(rest)?;
                (Kind::Symbol, Cow::Borrowed(&text[start..at]))
            }
        };
        out.push(Token { kind, text, start, end: at });
    }
    out.push(Token { kind: Kind::End, text: "".into(), start: at, end: at });
    Some(out)
}

/// Whether a point there goes on with a path.
fn after_path(before: &[Token<'_>], at: usize) -> bool {
    before.last().is_some_and(|token| {
        token.end == at && (matches!(token.kind, Kind::Word | Kind::Name) || token.is("]"))
    })
}

/// What stands between quotes, where a doubled one means itself; and how long all of it is.
fn quoted(text: &str, mark: u8) -> Option<(Cow<'_, str>, usize)> {
    let bytes = text.as_bytes();
    let (mut at, mut doubled) = (1, false);
    loop {
        if *bytes.get(at)? == mark {
            if bytes.get(at + 1) != Some(&mark) || mark == b'`' {
                break;
            }
            doubled = true;
            at += 1;
        }
        at += 1;
    }
    let content = &text[1..at];
    let mark = char::from(mark);
    let content = match doubled {
        true => Cow::Owned(content.replace(&format!("{mark}{mark}"), &mark.to_string())),
        false => Cow::Borrowed(content),
    };
    Some((content, at + 1))
}

/// The length of digits with a point and an exponent.
fn number(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = digits(0);
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        at += digits(at);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let more = digits((at + 1 + sign).min(bytes.len()));
        if more > 0 {
            at += 1 + sign + more;
        }
    }
    at
}

fn symbol(bytes: &[u8]) -> Option<usize> {
    const TWO: [&[u8]; 6] = [b"<<", b">>", b"<=", b">=", b"<>", b"!="];
    if TWO.iter().any(|two| bytes.starts_with(two)) {
        return Some(2);
    }
    b"()[]{}.,:;=<>+-*/%?".contains(&bytes[0]).then_some(1)
}
