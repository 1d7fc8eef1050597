//! A pull reader for XML documents from outside.
//!
//! Strict: tags must match, attributes be quoted and unique, entities be one of the five or
//! numeric, characters be such as XML has; one root. No DTD, hence no entity of its own and no
//! bombs. Nesting is bounded. Namespaces are not resolved: names are given without their prefix.
//! One leniency, since keys may hold control characters: a numeric reference to any character but
//! NUL is taken.

use base::limits::NESTING_MAX;
use std::borrow::Cow;
use std::fmt;

/// Why the document is not well-formed, and where (bytes from the start).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XmlError {
    pub reason: &'static str,
    pub at: usize,
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.at)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token<'a> {
    /// A start tag, its name without prefix; [`Reader::attribute`] has its attributes.
    Start(&'a str),
    End,
    /// Character data between two tags, or a part of it; never empty.
    Text(Cow<'a, str>),
    /// The root is closed and nothing follows.
    Eof,
}

pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Full names of the open elements.
    open: Vec<&'a str>,
    /// Names and raw values of the attributes of the last start tag.
    attributes: Vec<(&'a str, &'a str)>,
    /// The last start tag closed itself.
    self_closed: bool,
    root_done: bool,
}

type Result<T> = std::result::Result<T, XmlError>;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Reader<'a>> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| XmlError { reason: "not UTF-8", at: e.valid_up_to() })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (open, attributes) = (Vec::with_capacity(8), Vec::new());
        let mut reader =
            Reader { text, at: 0, open, attributes, self_closed: false, root_done: false };
        reader.declaration()?;
        Ok(reader)
    }

    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The value of an attribute of the last start tag, looked up without regard to prefixes.
    pub fn attribute(&self, name: &str) -> Result<Option<Cow<'a, str>>> {
        let name = local(name);
        match self.attributes.iter().find(|(n, _)| !is_namespace(n) && local(n) == name) {
            Some((_, raw)) => self.unescape(raw).map(Some),
            None => Ok(None),
        }
    }

    /// The name of the element that was opened last, with its prefix.
    pub fn full_name(&self) -> &'a str {
        self.open.last().copied().unwrap_or_default()
    }

    /// The attributes of the last start tag, names with their prefixes, declarations of namespaces
    /// among them; white space in the values is that of XML's normalisation.
    pub fn attributes(&self) -> Result<Vec<(&'a str, String)>> {
        let one = |(name, raw): &(&'a str, &'a str)| {
            let raw = raw.replace("\r\n", " ").replace(['\t', '\n', '\r'], " ");
            Ok((*name, self.unescape(&raw)?.into_owned()))
        };
        self.attributes.iter().map(one).collect()
    }

    pub fn token(&mut self) -> Result<Token<'a>> {
        if self.self_closed {
            self.self_closed = false;
            self.pop();
            return Ok(Token::End);
        }
        loop {
            let rest = &self.text[self.at..];
            if rest.is_empty() {
                return match (self.open.is_empty(), self.root_done) {
                    (true, true) => Ok(Token::Eof),
                    (true, false) => self.fail("no root element"),
                    (false, _) => self.fail("an element is not closed"),
                };
            }
            if !rest.starts_with('<') {
                if let Some(token) = self.characters()? {
                    return Ok(token);
                }
            } else if let Some(after) = rest.strip_prefix("</") {
                return self.end_tag(after);
            } else if rest.starts_with("<!--") {
                self.comment()?;
            } else if rest.starts_with("<![CDATA[") {
                if let Some(token) = self.cdata()? {
                    return Ok(token);
                }
            } else if rest.starts_with("<?") {
                self.instruction()?;
            } else if rest.starts_with("<!") {
                return self.fail("a document type is not allowed");
            } else {
                return self.start_tag();
            }
        }
    }

    /// All character data up to the end of the element that was just opened. Child elements are
    /// refused.
    pub fn text(&mut self) -> Result<Cow<'a, str>> {
        let mut all: Cow<'a, str> = Cow::Borrowed("");
        loop {
            match self.token()? {
                Token::Text(part) if all.is_empty() => all = part,
                Token::Text(part) => all.to_mut().push_str(&part),
                Token::End => return Ok(all),
                Token::Start(_) => return self.fail("an element where text belongs"),
                Token::Eof => return self.fail("an element is not closed"),
            }
        }
    }

    /// Passes over the rest of the element that was just opened, children included.
    pub fn skip(&mut self) -> Result<()> {
        let depth = self.open.len();
        while self.open.len() >= depth {
            self.token()?;
        }
        Ok(())
    }

    pub(crate) fn fail<T>(&self, reason: &'static str) -> Result<T> {
        Err(XmlError { reason, at: self.at })
    }

    fn pop(&mut self) {
        self.open.pop();
        self.root_done |= self.open.is_empty();
    }

    fn declaration(&mut self) -> Result<()> {
        let is_declaration = self.text.starts_with("<?xml")
            && self.text[5..].starts_with(|c: char| c.is_ascii_whitespace());
        if !is_declaration {
            return Ok(());
        }
        let Some(len) = self.text.find("?>") else {
            return self.fail("the XML declaration is not closed");
        };
        let declaration = &self.text[..len];
        if let Some((_, encoding)) = declaration.split_once("encoding") {
            let value = encoding.trim_start().strip_prefix('=').unwrap_or("").trim_start();
            let quoted = value.get(1..).and_then(|v| v.split(['"', '\'']).next()).unwrap_or("");
            if !["utf-8", "utf8", "us-ascii"].contains(&quoted.to_ascii_lowercase().as_str()) {
                return self.fail("only the encoding UTF-8 is supported");
            }
        }
        self.at = len + 2;
        Ok(())
    }

    /// One pass over the text finds its end and what in it needs a closer look.
    fn characters(&mut self) -> Result<Option<Token<'a>>> {
        let rest = &self.text[self.at..];
        let (mut len, mut found) = (0, 0);
        for &b in rest.as_bytes() {
            let class = CLASS[usize::from(b)];
            if class == MARKUP {
                break;
            }
            found |= class;
            len += 1;
        }
        let raw = &rest[..len];
        if self.open.is_empty() {
            if raw.bytes().any(|b| !b.is_ascii_whitespace()) {
                return self.fail("text outside the root element");
            }
            self.at += len;
            return Ok(None);
        }
        if found & GREATER != 0 && raw.contains("]]>") {
            return self.fail("]]> in text");
        }
        let text = match found & (ESCAPED | DOUBTFUL) {
            0 => Cow::Borrowed(raw),
            _ => self.unescape(raw)?,
        };
        self.at += len;
        Ok(Some(Token::Text(text)))
    }

    fn end_tag(&mut self, after: &'a str) -> Result<Token<'a>> {
        let Some(len) = memchr(b'>', after.as_bytes()) else {
            return self.fail("a tag is not closed");
        };
        let name = after[..len].trim_end_matches(|c: char| c.is_ascii_whitespace());
        if self.open.last() != Some(&name) {
            return self.fail("an end tag does not match its start tag");
        }
        self.at += 2 + len + 1;
        self.pop();
        Ok(Token::End)
    }

    fn comment(&mut self) -> Result<()> {
        let body = &self.text[self.at + 4..];
        let Some(len) = body.find("--") else { return self.fail("a comment is not closed") };
        if !body[len + 2..].starts_with('>') {
            return self.fail("-- in a comment");
        }
        self.check_characters(&body[..len])?;
        self.at += 4 + len + 3;
        Ok(())
    }

    fn cdata(&mut self) -> Result<Option<Token<'a>>> {
        if self.open.is_empty() {
            return self.fail("text outside the root element");
        }
        let body = &self.text[self.at + 9..];
        let Some(len) = body.find("]]>") else { return self.fail("CDATA is not closed") };
        let raw = &body[..len];
        self.check_characters(raw)?;
        self.at += 9 + len + 3;
        Ok((!raw.is_empty()).then(|| Token::Text(lines(raw))))
    }

    fn instruction(&mut self) -> Result<()> {
        let body = &self.text[self.at + 2..];
        let Some(len) = body.find("?>") else {
            return self.fail("a processing instruction is not closed");
        };
        let target = &body[..name_len(body)];
        if target.is_empty() || target.eq_ignore_ascii_case("xml") {
            return self.fail("a processing instruction without a proper name");
        }
        self.check_characters(&body[..len])?;
        self.at += 2 + len + 2;
        Ok(())
    }

    fn start_tag(&mut self) -> Result<Token<'a>> {
        if self.open.is_empty() && self.root_done {
            return self.fail("more than one root element");
        }
        if self.open.len() >= NESTING_MAX {
            return self.fail("nested too deeply");
        }
        self.at += 1;
        let name = self.name()?;
        self.attributes.clear();
        loop {
            let spaces = self.spaces();
            let rest = &self.text[self.at..];
            if rest.starts_with('>') {
                self.at += 1;
                break;
            }
            if rest.starts_with("/>") {
                self.at += 2;
                self.self_closed = true;
                break;
            }
            if spaces == 0 {
                return self.fail("a tag is not closed");
            }
            self.one_attribute()?;
        }
        self.open.push(name);
        Ok(Token::Start(local(name)))
    }

    fn one_attribute(&mut self) -> Result<()> {
        const ATTRIBUTES_MAX: usize = 64;
        let name = self.name()?;
        self.spaces();
        if !self.text[self.at..].starts_with('=') {
            return self.fail("an attribute without a value");
        }
        self.at += 1;
        self.spaces();
        let rest = &self.text[self.at..];
        let quote = match rest.as_bytes().first() {
            Some(&quote @ (b'"' | b'\'')) => quote,
            _ => return self.fail("an attribute value without quotes"),
        };
        let Some(len) = memchr(quote, &rest.as_bytes()[1..]) else {
            return self.fail("an attribute value is not closed");
        };
        let raw = &rest[1..=len];
        if raw.contains('<') {
            return self.fail("< in an attribute value");
        }
        self.unescape(raw)?;
        if self.attributes.len() >= ATTRIBUTES_MAX {
            return self.fail("too many attributes");
        }
        if self.attributes.iter().any(|(n, _)| *n == name) {
            return self.fail("an attribute is there twice");
        }
        self.attributes.push((name, raw));
        self.at += len + 2;
        Ok(())
    }

    fn name(&mut self) -> Result<&'a str> {
        let rest = &self.text[self.at..];
        let name = &rest[..name_len(rest)];
        let colons = name.bytes().filter(|&b| b == b':').count();
        if name.is_empty() || colons > 1 || name.starts_with(':') || name.ends_with(':') {
            return self.fail("not a name");
        }
        self.at += name.len();
        Ok(name)
    }

    fn spaces(&mut self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let len = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.at += len;
        len
    }

    fn check_characters(&self, raw: &str) -> Result<()> {
        if raw.bytes().all(|b| (0x20..0xef).contains(&b)) || raw.chars().all(is_character) {
            return Ok(());
        }
        self.fail("a character that XML does not have")
    }

    fn unescape<'r>(&self, raw: &'r str) -> Result<Cow<'r, str>> {
        self.check_characters(raw)?;
        if !raw.bytes().any(|b| b == b'&' || b == b'\r') {
            return Ok(Cow::Borrowed(raw));
        }
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = memchr(b'&', rest.as_bytes()) {
            out.push_str(&lines(&rest[..at]));
            rest = &rest[at + 1..];
            let name = rest.as_bytes().iter().take(12).position(|&b| b == b';');
            let Some(len) = name else { return self.fail("& without a ;") };
            match entity(&rest[..len]) {
                Some(c) => out.push(c),
                None => return self.fail("an unknown entity"),
            }
            rest = &rest[len + 1..];
        }
        out.push_str(&lines(rest));
        Ok(Cow::Owned(out))
    }
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let (digits, radix) = match number.strip_prefix('x') {
                Some(hex) => (hex, 16),
                None => (number, 10),
            };
            let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
            let code = valid.then(|| u32::from_str_radix(digits, radix).ok())??;
            char::from_u32(code).filter(|&c| !matches!(c, '\0' | '\u{fffe}' | '\u{ffff}'))?
        }
    })
}

/// Line ends as XML has them after reading.
fn lines(raw: &str) -> Cow<'_, str> {
    if raw.contains('\r') {
        Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(raw)
    }
}

fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

const MARKUP: u8 = 1;
const ESCAPED: u8 = 2;
const GREATER: u8 = 4;
const DOUBTFUL: u8 = 8;

/// What a byte of text may mean: a tag begins, it is an escape or line end, it may be a part of
/// `]]>`, it may be a part of a character that XML does not have.
const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = match b as u8 {
            b'<' => MARKUP,
            b'&' | b'\r' => ESCAPED,
            b'>' => GREATER,
            b'\t' | b'\n' => 0,
            0..=0x1f | 0xef => DOUBTFUL,
            _ => 0,
        };
        b += 1;
    }
    table
};

fn name_len(text: &str) -> usize {
    let plain = |b: &u8| b.is_ascii_alphabetic();
    let mut len = text.as_bytes().iter().take_while(|b| plain(b)).count();
    for c in text[len..].chars() {
        let start = c.is_ascii_alphabetic() || matches!(c, '_' | ':') || c as u32 >= 0xc0;
        if !(start || (len > 0 && (c.is_ascii_digit() || matches!(c, '-' | '.' | '\u{b7}')))) {
            break;
        }
        len += c.len_utf8();
    }
    len
}

fn local(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

fn is_namespace(name: &str) -> bool {
    name == "xmlns" || name.starts_with("xmlns:")
}

fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&b| b == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(xml: &str, expected: &str) {
        let mut out = String::new();
        let failed = (|| {
            let mut reader = Reader::new(xml.as_bytes())?;
            loop {
                match reader.token()? {
                    Token::Start(name) => {
                        out.push_str(&format!("<{name}"));
                        for (n, raw) in reader.attributes.clone() {
                            out.push_str(&format!(" {n}={}", reader.unescape(raw)?));
                        }
                        out.push('>');
                    }
                    Token::End => out.push('/'),
                    Token::Text(text) => out.push_str(&format!("[{text}]")),
                    Token::Eof => return Ok(()),
                }
            }
        })();
        if let Err(XmlError { reason, .. }) = failed {
            out = format!("! {reason}");
        }
        assert_eq!(out, expected, "{xml}");
    }

    #[test]
    fn reads_what_is_well_formed() {
        check("<a/>", "<a>/");
        check("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a>\r\n</a>\n", "<a>[\n]/");
        check("<n:a xmlns:n='u'><n:b  x = \"1&lt;\" /></n:a>", "<a xmlns:n=u><b x=1<>//");
        check("<a>&#x41;&#66;&amp;&#10;&#1;</a>", "<a>[AB&\n\u{1}]/");
        check("<a>x<!-- c --><![CDATA[<&]]>y<?p i?></a>", "<a>[x][<&][y]/");
        check("\u{feff}<é.b-1>ü</é.b-1 >", "<é.b-1>[ü]/");
        check("<a>\u{10ffff}\u{fffd}</a>", "<a>[\u{10ffff}\u{fffd}]/");
    }

    #[test]
    fn refuses_what_is_not() {
        let cases = [
            ("", "no root element"),
            ("  ", "no root element"),
            ("x", "text outside the root element"),
            ("<a>", "an element is not closed"),
            ("<a></b>", "an end tag does not match its start tag"),
            ("</a>", "an end tag does not match its start tag"),
            ("<a/><b/>", "more than one root element"),
            ("<a/>x", "text outside the root element"),
            ("<a", "a tag is not closed"),
            ("<a b>", "an attribute without a value"),
            ("<a b=c>", "an attribute value without quotes"),
            ("<a b='c>", "an attribute value is not closed"),
            ("<a b='1'c='2'/>", "a tag is not closed"),
            ("<a b='1' b='2'/>", "an attribute is there twice"),
            ("<a b='<'/>", "< in an attribute value"),
            ("<1a/>", "not a name"),
            ("<:a/>", "not a name"),
            ("<a:b:c/>", "not a name"),
            ("<a>&nbsp;</a>", "an unknown entity"),
            ("<a>&#xd800;</a>", "an unknown entity"),
            ("<a>&#0;</a>", "an unknown entity"),
            ("<a>&#xffff;</a>", "an unknown entity"),
            ("<a>&#+1;</a>", "an unknown entity"),
            ("<a>&#99999999999;</a>", "& without a ;"),
            ("<a>&amp</a>", "& without a ;"),
            ("<a>\u{1}</a>", "a character that XML does not have"),
            ("<a>\u{ffff}</a>", "a character that XML does not have"),
            ("<a>]]></a>", "]]> in text"),
            ("<a><![CDATA[x</a>", "CDATA is not closed"),
            ("<!-- a -- b --><a/>", "-- in a comment"),
            ("<!-- a", "a comment is not closed"),
            ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "a document type is not allowed"),
            (" <?xml version='1.0'?><a/>", "a processing instruction without a proper name"),
            ("<?xml version='1.0' encoding='UTF-16'?><a/>", "only the encoding UTF-8 is supported"),
        ];
        for (xml, reason) in cases {
            check(xml, &format!("! {reason}"));
        }
        assert!(Reader::new(b"<a>\xff</a>").is_err());
        check(&"<a>".repeat(200), "! nested too deeply");
    }
}
