//! Text patterns: `*`, `?`, and policy variables such as `${aws:username}`.
//!
//! A pattern without variables is compiled once and matches without allocating. One with variables
//! is completed for each match, since the values of a request stand in it as plain text: a `*` in a
//! user's name is not a wildcard.

use crate::context::Context;
use std::borrow::Cow;

/// One element of a pattern without variables.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Token {
    Byte(u8),
    /// `?`: one character.
    One,
    /// `*`: any characters, none too.
    Many,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Part {
    Text(Box<str>),
    One,
    Many,
    Variable(Variable),
}

/// `${key}` or `${key, 'default'}`, the key in lower case.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Variable {
    key: Box<str>,
    default: Option<Box<str>>,
}

impl Variable {
    /// `None` if the request has no such key, or several values under it, and there is no default.
    fn resolve<'a>(&'a self, context: &'a Context<'_>) -> Option<Cow<'a, str>> {
        match context.get(&self.key).and_then(|value| value.single()) {
            Some(value) => Some(value.text()),
            None => self.default.as_deref().map(Cow::Borrowed),
        }
    }
}

/// How a pattern takes the letters A to Z.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Case {
    Exact,
    Ignore,
}

/// The answer of a match. `Unknown`: a variable has no value in this request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    Yes,
    No,
    Unknown,
}

impl From<bool> for Found {
    fn from(yes: bool) -> Found {
        if yes { Found::Yes } else { Found::No }
    }
}

/// A pattern with wildcards, and variables if the policy's version has them.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Pattern {
    All,
    Exact(Box<str>),
    Prefix(Box<str>),
    Tokens(Box<[Token]>),
    Parts(Box<[Part]>),
}

impl Pattern {
    /// Whether it matches some text that begins so, letters of any case.
    pub(crate) fn meets_prefix(&self, prefix: &str) -> bool {
        let same =
            |own: &[u8]| own.iter().zip(prefix.bytes()).all(|(a, b)| a.eq_ignore_ascii_case(&b));
        match self {
            Pattern::All => true,
            Pattern::Exact(text) => text.len() >= prefix.len() && same(text.as_bytes()),
            Pattern::Prefix(text) => same(text.as_bytes()),
            Pattern::Tokens(tokens) => {
                let mut wanted = prefix.bytes();
                for token in tokens {
                    match (token, wanted.next()) {
                        (_, None) | (Token::Many, _) => return true,
                        (Token::One, Some(_)) => {}
                        (Token::Byte(own), Some(byte)) if own.eq_ignore_ascii_case(&byte) => {}
                        _ => return false,
                    }
                }
                wanted.next().is_none()
            }
            // Variables stand in resources and conditions, where nobody asks this.
            Pattern::Parts(_) => true,
        }
    }

    pub(crate) fn new(text: &str, variables: bool) -> Pattern {
        let parts = split(text, variables, true);
        match &parts[..] {
            [] => Pattern::Exact("".into()),
            [Part::Many] => Pattern::All,
            [Part::Text(text)] => Pattern::Exact(text.clone()),
            [Part::Text(text), Part::Many] => Pattern::Prefix(text.clone()),
            _ if parts.iter().any(|part| matches!(part, Part::Variable(_))) => {
                Pattern::Parts(parts.into())
            }
            _ => Pattern::Tokens(tokens(&parts, None).unwrap_or_default().into()),
        }
    }

    pub(crate) fn matches(&self, text: &str, case: Case, context: &Context<'_>) -> Found {
        match self {
            Pattern::All => Found::Yes,
            Pattern::Exact(own) if case == Case::Exact => (**own == *text).into(),
            Pattern::Exact(own) => own.eq_ignore_ascii_case(text).into(),
            Pattern::Prefix(own) => {
                let head = text.as_bytes().get(..own.len());
                head.is_some_and(|head| match case {
                    Case::Exact => head == own.as_bytes(),
                    Case::Ignore => head.eq_ignore_ascii_case(own.as_bytes()),
                })
                .into()
            }
            Pattern::Tokens(own) => glob(own, text.as_bytes(), case).into(),
            Pattern::Parts(parts) => match tokens(parts, Some(context)) {
                Some(own) => glob(&own, text.as_bytes(), case).into(),
                None => Found::Unknown,
            },
        }
    }

    /// The text, if the pattern is nothing but text.
    pub(crate) fn as_exact(&self) -> Option<&str> {
        if let Pattern::Exact(text) = self { Some(text) } else { None }
    }

    /// The keys of the variables in it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let parts: &[Part] = if let Pattern::Parts(parts) = self { parts } else { &[] };
        variables(parts)
    }
}

/// Text in which only variables are special: the values of `StringEquals`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Template {
    Plain(Box<str>),
    Parts(Box<[Part]>),
}

impl Template {
    pub(crate) fn new(text: &str, with_variables: bool) -> Template {
        let parts = split(text, with_variables, false);
        match &parts[..] {
            [] => Template::Plain("".into()),
            [Part::Text(text)] => Template::Plain(text.clone()),
            _ => Template::Parts(parts.into()),
        }
    }

    /// `None` if a variable has no value.
    pub(crate) fn expand<'a>(&'a self, context: &Context<'_>) -> Option<Cow<'a, str>> {
        match self {
            Template::Plain(text) => Some(Cow::Borrowed(text)),
            Template::Parts(parts) => {
                let mut out = String::new();
                for part in parts {
                    match part {
                        Part::Text(text) => out.push_str(text),
                        Part::Variable(variable) => out.push_str(&variable.resolve(context)?),
                        Part::One | Part::Many => {}
                    }
                }
                Some(Cow::Owned(out))
            }
        }
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let parts: &[Part] = if let Template::Parts(parts) = self { parts } else { &[] };
        variables(parts)
    }
}

fn variables(parts: &[Part]) -> impl Iterator<Item = &str> {
    parts.iter().filter_map(|part| match part {
        Part::Variable(variable) => Some(&*variable.key),
        _ => None,
    })
}

/// The end of the variable that `text` begins with (`text` starts with `${`), past its brace. A
/// brace inside the quotes of a default does not end it.
pub(crate) fn variable_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate().skip(2) {
        match byte {
            b'\'' => quoted = !quoted,
            b'}' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn split(text: &str, with_variables: bool, wildcards: bool) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    // Where no brace closes any more, none need be looked for again: keeps this linear.
    let mut open_ended = !with_variables;
    while let Some(first) = rest.chars().next() {
        if !open_ended && rest.starts_with("${") {
            if let Some(end) = variable_end(rest) {
                match &rest[2..end - 1] {
                    escaped @ ("*" | "?" | "$") => plain.push_str(escaped),
                    inner => {
                        flush(&mut plain, &mut parts);
                        parts.push(Part::Variable(variable(inner)));
                    }
                }
                rest = &rest[end..];
                continue;
            }
            open_ended = true;
        }
        match first {
            '*' if wildcards => {
                flush(&mut plain, &mut parts);
                if parts.last() != Some(&Part::Many) {
                    parts.push(Part::Many);
                }
            }
            '?' if wildcards => {
                flush(&mut plain, &mut parts);
                parts.push(Part::One);
            }
            other => plain.push(other),
        }
        rest = &rest[first.len_utf8()..];
    }
    flush(&mut plain, &mut parts);
    parts
}

fn flush(plain: &mut String, parts: &mut Vec<Part>) {
    if !plain.is_empty() {
        parts.push(Part::Text(std::mem::take(plain).into()));
    }
}

fn variable(inner: &str) -> Variable {
    let (key, default) = match inner.split_once(',') {
        Some((key, default)) => (key, default.trim()),
        None => (inner, ""),
    };
    let default = default.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    Variable {
        key: key.trim().to_ascii_lowercase().into(),
        default: default.map(|text| text.into()),
    }
}

fn tokens(parts: &[Part], context: Option<&Context<'_>>) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) => out.extend(text.bytes().map(Token::Byte)),
            Part::One => out.push(Token::One),
            Part::Many => out.push(Token::Many),
            Part::Variable(variable) => {
                out.extend(variable.resolve(context?)?.bytes().map(Token::Byte));
            }
        }
    }
    Some(out)
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Greedy matching that returns to the last `*` only: the earlier ones need never grow, since what
/// lies between was matched at its earliest place. At most pattern times text steps.
fn glob(pattern: &[Token], text: &[u8], case: Case) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some(Token::Many) => {
                if p + 1 == pattern.len() {
                    return true;
                }
                retry = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(Token::Byte(want)) => text.get(t).and_then(|have| {
                let same = match case {
                    Case::Exact => want == have,
                    Case::Ignore => want.eq_ignore_ascii_case(have),
                };
                same.then_some(1)
            }),
            Some(Token::One) => match text.get(t) {
                Some(&first) if !is_continuation(first) => {
                    Some(1 + text[t + 1..].iter().take_while(|b| is_continuation(**b)).count())
                }
                _ => None,
            },
            None if t == text.len() => return true,
            None => None,
        };
        match (step, &mut retry) {
            (Some(length), _) => {
                p += 1;
                t += length;
            }
            (None, Some((resume, from))) if *from < text.len() => {
                *from += 1;
                (p, t) = (*resume, *from);
            }
            (None, _) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;

    fn check(pattern: &str, text: &str, expected: Found) {
        let context = Context::new()
            .with("aws:username", "al*ce")
            .with("aws:PrincipalTag/team", "red")
            .with("many", vec!["a".into(), "b".into()]);
        let found = Pattern::new(pattern, true).matches(text, Case::Exact, &context);
        assert_eq!(found, expected, "{pattern} on {text}");
    }

    #[test]
    fn wildcards() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a:b/c"),
            ("a*", "a"),
            ("a*c", "abbc"),
            ("a?c", "a\u{e9}c"),
            ("**a**", "a"),
            ("a*b*c", "aXbYbZc"),
            ("?", "\u{1f600}"),
            ("", ""),
            ("*a?", "aaab"),
            ("*?", "\u{e9}"),
            ("a**", "a"),
        ] {
            check(pattern, text, Found::Yes);
        }
        for (pattern, text) in [
            ("a", "A"),
            ("a*", "ba"),
            ("a?c", "ac"),
            ("a*c", "abd"),
            ("?", ""),
            ("??", "\u{e9}"),
            ("", "a"),
            ("*?a", "a"),
            ("a*b*c", "acb"),
            ("abc*", "ab"),
        ] {
            check(pattern, text, Found::No);
        }
    }

    #[test]
    fn variables_are_plain_text_in_a_pattern() {
        check("home/${aws:username}/*", "home/al*ce/x", Found::Yes);
        check("home/${aws:username}/*", "home/alice/x", Found::No);
        check("${AWS:PrincipalTag/Team}", "red", Found::Yes);
        check("${aws:PrincipalTag/x, 'blue'}", "blue", Found::Yes);
        check("${aws:PrincipalTag/x,'}'}", "}", Found::Yes);
        check("${aws:PrincipalTag/x}", "red", Found::Unknown);
        check("${many}", "a", Found::Unknown);
        check("${*}${?}${$}*", "*?$tail", Found::Yes);
        check("${*}", "a", Found::No);
        check("a${open", "a${open", Found::Yes);
        check("${aws:PrincipalTag/x, ''}end", "end", Found::Yes);
    }

    #[test]
    fn version_2008_has_no_variables() {
        let pattern = Pattern::new("${aws:username}", false);
        let context = Context::new().with("aws:username", "bob");
        assert_eq!(pattern.matches("bob", Case::Exact, &context), Found::No);
        assert_eq!(pattern.matches("${aws:username}", Case::Exact, &context), Found::Yes);
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = Pattern::new(&"a*".repeat(2_000), false);
        let text = format!("{}b", "a".repeat(20_000));
        assert_eq!(pattern.matches(&text, Case::Exact, &Context::new()), Found::Yes);
        let pattern = Pattern::new(&format!("{}c", "*a".repeat(2_000)), false);
        assert_eq!(pattern.matches(&text, Case::Exact, &Context::new()), Found::No);
        let pattern = Pattern::new(&"${".repeat(50_000), true);
        assert_eq!(pattern.matches("x", Case::Exact, &Context::new()), Found::No);
    }
}
