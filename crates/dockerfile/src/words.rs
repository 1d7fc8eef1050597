//! Words: how a line is cut into them, and how variables in them are expanded.

use crate::pattern::Pattern;

/// Of what one word expands to.
const WORD_BYTES_MAX: usize = 1 << 20;
/// `${a:-${b:-…}}`
const DEPTH_MAX: u32 = 32;

/// Cut at spaces that are neither quoted nor escaped; quotes stay.
pub fn split_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        // In single quotes it is a character like any other.
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Expands variables and takes quotes away.
pub struct Expander<'a> {
    escape: char,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

struct Cursor<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
}

/// A character, and whether it stood within quotes.
type Out = Vec<(char, bool)>;

impl<'a> Expander<'a> {
    pub fn new(escape: char, lookup: &'a dyn Fn(&str) -> Option<String>) -> Expander<'a> {
        Expander { escape, lookup }
    }

    /// One word, whatever spaces come out of it.
    pub fn word(&self, text: &str) -> Result<String, String> {
        Ok(self.expand(text)?.into_iter().map(|(c, _)| c).collect())
    }

    /// Words, cut again at spaces that came out of variables.
    pub fn words(&self, text: &str) -> Result<Vec<String>, String> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        for (c, quoted) in self.expand(text)? {
            if c.is_whitespace() && !quoted {
                words.extend(word.take());
            } else {
                word.get_or_insert_default().push(c);
            }
        }
        words.extend(word);
        Ok(words)
    }

    fn expand(&self, text: &str) -> Result<Out, String> {
        let mut cursor = Cursor { rest: text.chars().peekable() };
        let mut out = Out::new();
        self.until(&mut cursor, None, &mut out, 0)?;
        Ok(out)
    }

    /// Up to a character that is not consumed, or to the end.
    fn until(
        &self,
        cursor: &mut Cursor<'_>,
        stop: Option<char>,
        out: &mut Out,
        depth: u32,
    ) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err("variables are nested too deeply".to_owned());
        }
        while let Some(c) = cursor.rest.peek().copied() {
            if Some(c) == stop {
                return Ok(());
            }
            if out.len() > WORD_BYTES_MAX {
                return Err("a word expands to too much".to_owned());
            }
            cursor.rest.next();
            match c {
                '\'' => single(cursor, out)?,
                '"' => self.double(cursor, out, depth)?,
                '$' => self.dollar(cursor, out, false, depth)?,
                c if c == self.escape => match cursor.rest.next() {
                    Some(next) => out.push((next, true)),
                    None if stop.is_none() => out.push((c, false)),
                    None => {}
                },
                c => out.push((c, false)),
            }
        }
        match stop {
            None => Ok(()),
            Some(stop) => Err(format!("syntax error: missing '{stop}'")),
        }
    }

    fn double(&self, cursor: &mut Cursor<'_>, out: &mut Out, depth: u32) -> Result<(), String> {
        loop {
            let Some(c) = cursor.rest.next() else {
                return Err("unexpected end of statement while looking for matching \
                            double-quote"
                    .to_owned());
            };
            match c {
                '"' => return Ok(()),
                '$' => self.dollar(cursor, out, true, depth)?,
                c if c == self.escape => {
                    let Some(next) = cursor.rest.next() else {
                        return Err("unexpected end of statement while looking for matching \
                                    double-quote"
                            .to_owned());
                    };
                    if next != '"' && next != '$' && next != self.escape {
                        out.push((c, true));
                    }
                    out.push((next, true));
                }
                c => out.push((c, true)),
            }
        }
    }

    fn dollar(
        &self,
        cursor: &mut Cursor<'_>,
        out: &mut Out,
        quoted: bool,
        depth: u32,
    ) -> Result<(), String> {
        if cursor.rest.peek() == Some(&'{') {
            cursor.rest.next();
            let value = self.braces(cursor, depth)?;
            out.extend(value.chars().map(|c| (c, quoted)));
            return Ok(());
        }
        let name = name_of(cursor);
        match name.as_str() {
            "" => out.push(('$', quoted)),
            name => {
                let value = (self.lookup)(name).unwrap_or_default();
                out.extend(value.chars().map(|c| (c, quoted)));
            }
        }
        Ok(())
    }

    /// After `${`.
    fn braces(&self, cursor: &mut Cursor<'_>, depth: u32) -> Result<String, String> {
        let name = name_of(cursor);
        if name.is_empty() {
            return Err("syntax error: bad substitution".to_owned());
        }
        let value = (self.lookup)(&name);
        let operator = cursor.rest.next().ok_or("syntax error: missing '}'")?;
        if operator == '}' {
            return Ok(value.unwrap_or_default());
        }
        let (with_empty, operator) = match operator {
            ':' => (true, cursor.rest.next().ok_or("syntax error: missing ':' in substitution")?),
            other => (false, other),
        };
        let doubled = matches!(operator, '#' | '%' | '/') && cursor.rest.peek() == Some(&operator);
        if doubled {
            cursor.rest.next();
        }
        if !with_empty && matches!(operator, '#' | '%' | '/') {
            return self.cut(cursor, value.unwrap_or_default(), operator, doubled, depth);
        }
        let word = self.inner(cursor, '}', depth)?;
        cursor.rest.next();
        let is_set = value.as_ref().is_some_and(|value| !with_empty || !value.is_empty());
        match operator {
            '-' if is_set => Ok(value.unwrap_or_default()),
            '-' => Ok(word),
            '+' if is_set => Ok(word),
            '+' => Ok(String::new()),
            '?' if is_set => Ok(value.unwrap_or_default()),
            '?' if word.is_empty() => Err(format!("{name}: is not allowed to be unset")),
            '?' => Err(format!("{name}: {word}")),
            other => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    fn inner(&self, cursor: &mut Cursor<'_>, stop: char, depth: u32) -> Result<String, String> {
        let mut out = Out::new();
        self.until(cursor, Some(stop), &mut out, depth + 1)?;
        Ok(out.into_iter().map(|(c, _)| c).collect())
    }

    /// `#`, `%` and `/`: what matches a pattern goes, or is replaced.
    fn cut(
        &self,
        cursor: &mut Cursor<'_>,
        value: String,
        operator: char,
        doubled: bool,
        depth: u32,
    ) -> Result<String, String> {
        let stop = if operator == '/' { '/' } else { '}' };
        let pattern = raw_until(cursor, stop, self.escape)?;
        let pattern = Pattern::parse(&pattern, true).ok_or("syntax error in pattern")?;
        let replacement = match operator {
            '/' => {
                let word = self.inner(cursor, '}', depth)?;
                cursor.rest.next();
                word
            }
            _ => String::new(),
        };
        let ends: Vec<usize> =
            value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
        Ok(match operator {
            '#' => {
                let found = ends.iter().filter(|end| pattern.matches(&value[..**end]));
                let end = if doubled { found.max() } else { found.min() };
                value[end.copied().unwrap_or(0)..].to_owned()
            }
            '%' => {
                let found = ends.iter().filter(|start| pattern.matches(&value[**start..]));
                let start = if doubled { found.min() } else { found.max() };
                value[..start.copied().unwrap_or(value.len())].to_owned()
            }
            _ => replace(&value, &ends, &pattern, &replacement, doubled)?,
        })
    }
}

/// The longest match at each place; all of them, or the first.
fn replace(
    value: &str,
    ends: &[usize],
    pattern: &Pattern,
    replacement: &str,
    all: bool,
) -> Result<String, String> {
    // Each place is tried with each end: bounded, since it is a person's text.
    if ends.len() > 4096 {
        return Err("a value is too long for a replacement".to_owned());
    }
    let mut out = String::new();
    let mut at = 0;
    let mut done = false;
    while at < value.len() {
        let longest = ends.iter().rev().take_while(|end| **end > at);
        let found =
            longest.copied().find(|end| (all || !done) && pattern.matches(&value[at..*end]));
        match found {
            Some(end) => {
                out.push_str(replacement);
                at = end;
                done = true;
            }
            None => {
                let c = value[at..].chars().next().unwrap_or_default();
                out.push(c);
                at += c.len_utf8();
            }
        }
        if out.len() > WORD_BYTES_MAX {
            return Err("a word expands to too much".to_owned());
        }
    }
    Ok(out)
}

fn single(cursor: &mut Cursor<'_>, out: &mut Out) -> Result<(), String> {
    for c in cursor.rest.by_ref() {
        if c == '\'' {
            return Ok(());
        }
        out.push((c, true));
    }
    Err("unexpected end of statement while looking for matching single-quote".to_owned())
}

/// A pattern keeps its escapes; the end is consumed.
fn raw_until(cursor: &mut Cursor<'_>, stop: char, escape: char) -> Result<String, String> {
    let mut out = String::new();
    while let Some(c) = cursor.rest.next() {
        if c == stop {
            return Ok(out);
        }
        if c == escape {
            out.push('\\');
            out.extend(cursor.rest.next());
            continue;
        }
        out.push(c);
    }
    Err(format!("syntax error: missing '{stop}'"))
}

/// A name, a digit, or one of the special ones.
fn name_of(cursor: &mut Cursor<'_>) -> String {
    let mut name = String::new();
    while let Some(c) = cursor.rest.peek().copied() {
        let first = name.is_empty();
        if first && (c.is_ascii_digit() || "@*#".contains(c)) {
            cursor.rest.next();
            return c.to_string();
        }
        if !(c.is_ascii_alphabetic() || c == '_' || !first && c.is_ascii_digit()) {
            break;
        }
        name.push(c);
        cursor.rest.next();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "a" => Some("A".to_owned()),
            "two" => Some("x y".to_owned()),
            "empty" => Some(String::new()),
            "path" => Some("/usr/lib/x.tar.gz".to_owned()),
            _ => None,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let expander = Expander::new('\\', &lookup);
        assert_eq!(expander.word(text), Ok(expected.to_owned()), "{text}");
    }

    #[test]
    fn expansion() {
        check("$a-${a}b", "A-Ab");
        check("'$a' \"$a\" \\$a", "$a A $a");
        check("\"a\\\"b\\$c\\d\"", "a\"b$c\\d");
        check("$none|${none}|$", "||$");
        check("${none:-d}${empty:-d}${empty-d}${a:-d}", "ddA");
        check("${none:+d}${empty:+d}${empty+d}${a:+d$a}", "ddA");
        check("${none:-${none2:-$a}}", "A");
        check(
            "${path#*/}|${path##*/}|${path%.*}|${path%%.*}",
            "usr/lib/x.tar.gz|x.tar.gz|/usr/lib/x.tar|/usr/lib/x",
        );
        check("${path/lib/LIB}|${path//\\//_}", "/usr/LIB/x.tar.gz|_usr_lib_x.tar.gz");
        check("${a:?no}", "A");
        let expander = Expander::new('\\', &lookup);
        for (text, part) in [
            ("${none:?gone}", "none: gone"),
            ("${a", "missing '}'"),
            ("${a!x}", "unsupported modifier (!)"),
            ("'a", "single-quote"),
            ("\"a", "double-quote"),
            ("${}", "bad substitution"),
        ] {
            let error = expander.word(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn words_of_a_line() {
        assert_eq!(
            split_words("a \"b c\" d\\ e 'f g'h", '\\'),
            ["a", "\"b c\"", "d\\ e", "'f g'h"]
        );
        let expander = Expander::new('\\', &lookup);
        assert_eq!(expander.words("$two \"$two\" z").unwrap(), ["x", "y", "x y", "z"]);
        assert!(expander.words("$none").unwrap().is_empty());
    }
}
