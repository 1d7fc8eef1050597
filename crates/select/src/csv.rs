//! CSV as records, as it flows.

use crate::value::Value;
use crate::{RECORD_BYTES_MAX, Result, SelectError};

/// How an object of CSV is written.
#[derive(Clone, Debug)]
pub struct CsvInput {
    /// One or two characters.
    pub record_delimiter: String,
    /// One character, as the next three, of which each may be missing.
    pub field_delimiter: String,
    pub quote: Option<char>,
    pub escape: Option<char>,
    /// Records that begin so are passed over.
    pub comments: Option<char>,
    pub header: Header,
    /// Whether quotes may hold the end of a record.
    pub quoted_delimiters: bool,
}

/// What the first record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    None,
    /// Names that are passed over.
    Ignore,
    /// The names of the fields.
    Use,
}

impl Default for CsvInput {
    fn default() -> CsvInput {
        CsvInput {
            record_delimiter: "\n".into(),
            field_delimiter: ",".into(),
            quote: Some('"'),
            escape: Some('"'),
            comments: Some('#'),
            header: Header::None,
            quoted_delimiters: false,
        }
    }
}

pub(crate) fn too_long() -> SelectError {
    let text = "The character number in one record is more than our max threshold, maxCharsPerRecord: 1,048,576";
    SelectError::new("OverMaxRecordSize", text)
}

/// With the place as a person reads it.
pub(crate) fn not_utf8(place: u64) -> SelectError {
    let digits = place.to_string();
    let mut shown = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    SelectError::new(
        "InvalidTextEncoding",
        format!("UTF-8 encoding is required. The text encoding error was found near byte {shown}."),
    )
}

/// Finds where records end.
#[derive(Debug)]
pub(crate) struct Csv {
    input: CsvInput,
    /// Bytes of the object of which no record was given yet.
    held: Vec<u8>,
    /// How far into them no end of a record was found, and whether that is within quotes.
    looked: usize,
    quoted: bool,
    /// Of the object, how many bytes are gone.
    place: u64,
    /// How many of those held belong to records that were given.
    used: usize,
}

impl Csv {
    pub fn new(input: CsvInput, place: u64) -> Csv {
        Csv { input, held: Vec::new(), looked: 0, quoted: false, place, used: 0 }
    }

    /// One for the same object, from its first byte.
    pub fn at_the_beginning(&self) -> Csv {
        Csv::new(self.input.clone(), 0)
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.used);
        self.place += self.used as u64;
        self.looked -= self.used;
        self.used = 0;
        self.held.extend_from_slice(bytes);
    }

    /// Where the next record begins in the object.
    pub fn place(&self) -> u64 {
        self.place + self.used as u64
    }

    /// Leaves out all up to the next end of a record; whether there was one.
    pub fn skip_record(&mut self) -> bool {
        match self.end() {
            Some((_, next)) => {
                self.used = next;
                self.looked = next;
                true
            }
            None => {
                // Of what is left out, no more than a part of an end is kept.
                let kept = self.input.record_delimiter.len() - 1;
                self.used = self.held.len().saturating_sub(kept).max(self.used);
                self.looked = self.looked.max(self.used);
                false
            }
        }
    }

    /// The end of the record that begins after what is used, without and with its delimiter.
    fn end(&mut self) -> Option<(usize, usize)> {
        let delimiter = self.input.record_delimiter.as_bytes();
        let (first, length) = (delimiter[0], delimiter.len());
        let mut bytes = [0; 4];
        let quote = match self.input.quote {
            Some(quote) if self.input.quoted_delimiters => quote.encode_utf8(&mut bytes).as_bytes(),
            _ => &[],
        };
        let mut escape = [0; 4];
        let escape = match self.input.escape {
            Some(c) if self.input.escape != self.input.quote => {
                c.encode_utf8(&mut escape).as_bytes()
            }
            _ => &[],
        };
        let mut at = self.looked.max(self.used);
        while at < self.held.len() {
            let rest = &self.held[at..];
            if !quote.is_empty() {
                if self.quoted && !escape.is_empty() && rest.starts_with(escape) {
                    if rest.len() <= escape.len() {
                        break;
                    }
                    at += escape.len() + 1;
                    continue;
                }
                if rest.starts_with(quote) {
                    if self.quoted && escape.is_empty() {
                        if rest.len() < 2 * quote.len() {
                            break;
                        }
                        if rest[quote.len()..].starts_with(quote) {
                            at += 2 * quote.len();
                            continue;
                        }
                    }
                    // Quotes count where a field begins, and to its end.
                    let field = self.input.field_delimiter.as_bytes();
                    let begins = at == self.used || self.held[self.used..at].ends_with(field);
                    self.quoted = !self.quoted && begins;
                    at += quote.len();
                    continue;
                }
            }
            if rest[0] == first && !self.quoted {
                if rest.starts_with(delimiter) {
                    self.looked = at;
                    return Some((at, at + length));
                }
                if delimiter.starts_with(rest) {
                    break;
                }
            }
            at += 1;
        }
        self.looked = at.min(self.held.len());
        None
    }

    /// The fields of the next record, into `fields`; `None` if it has not come whole. With `last`, what
    /// is left is one.
    pub fn record(&mut self, last: bool, fields: &mut Vec<Value>) -> Result<Option<u64>> {
        loop {
            let start = self.used;
            let (end, next, cut) = match self.end() {
                Some((end, next)) => (end, next, true),
                None if self.held.len() - start > RECORD_BYTES_MAX => return Err(too_long()),
                None if !last || start == self.held.len() => return Ok(None),
                None => (self.held.len(), self.held.len(), false),
            };
            let place = self.place();
            self.used = next;
            self.looked = next;
            self.quoted = false;
            let mut bytes = &self.held[start..end];
            // A line of DOS ends in two characters.
            if self.input.record_delimiter == "\n" {
                bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            }
            if place == 0 {
                bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            }
            if bytes.len() > RECORD_BYTES_MAX {
                return Err(too_long());
            }
            let text = std::str::from_utf8(bytes)
                .map_err(|error| not_utf8(place + error.valid_up_to() as u64))?;
            let passed = self.input.comments.is_some_and(|mark| text.starts_with(mark));
            if text.is_empty() || passed {
                continue;
            }
            split(&self.input, text, cut, fields)?;
            return Ok(Some(place));
        }
    }
}

/// Text into the next field, which may be one of a record before.
fn put(fields: &mut Vec<Value>, count: usize) -> &mut String {
    if fields.len() == count {
        fields.push(Value::Field(String::new()));
    }
    if !matches!(fields[count], Value::Field(_)) {
        fields[count] = Value::Field(String::new());
    }
    match &mut fields[count] {
        Value::Field(text) => {
            text.clear();
            text
        }
        _ => unreachable!("it was made one"),
    }
}

/// `cut`: whether the record was followed by its delimiter.
fn split(input: &CsvInput, text: &str, cut: bool, fields: &mut Vec<Value>) -> Result<()> {
    let (mut rest, mut count) = (text, 0);
    let delimiter = input.field_delimiter.as_str();
    loop {
        let field = put(fields, count);
        count += 1;
        match input.quote.filter(|quote| rest.starts_with(*quote)) {
            None => {
                let end = rest.find(delimiter).unwrap_or(rest.len());
                field.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            Some(quote) => rest = unquote(input, quote, &rest[quote.len_utf8()..], cut, field)?,
        }
        match rest.strip_prefix(delimiter) {
            Some(after) => rest = after,
            None if rest.is_empty() => break,
            None => {
                let text = "An unescaped quote was found while parsing the CSV file. To allow quoted record delimiters, set AllowQuotedRecordDelimiter to 'TRUE'.";
                return Err(SelectError::new("CSVUnescapedQuote", text));
            }
        }
    }
    fields.truncate(count);
    Ok(())
}

/// What is in quotes, the first of them gone; gives what follows the last.
fn unquote<'t>(
    input: &CsvInput,
    quote: char,
    text: &'t str,
    cut: bool,
    field: &mut String,
) -> Result<&'t str> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        if Some(c) == input.escape && next.is_some_and(|n| n == quote || Some(n) == input.escape) {
            field.extend(chars.next().map(|(_, c)| c));
        } else if c == quote {
            return Ok(&text[at + quote.len_utf8()..]);
        } else {
            field.push(c);
        }
    }
    Err(match cut && !input.quoted_delimiters {
        true => {
            let text = "A quoted record delimiter was found in the file. To allow quoted record delimiters, set AllowQuotedRecordDelimiter to 'TRUE'.";
            SelectError::new("CSVEscapingRecordDelimiter", text)
        }
        false => {
            let text = "Encountered an error parsing the CSV file. Check the file and try again.";
            SelectError::new("CSVParsingError", text)
        }
    })
}
