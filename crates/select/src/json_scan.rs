//! JSON as it flows: finds the rows that `FROM` means, and keeps nothing else.
//!
//! The values of an object follow each other, in lines or not. The path after `S3Object[*]` leads from
//! each of them to its rows. What lies beside the path is gone through by its brackets and quotes alone.
//! Where a step finds nothing, there is one row that is missing.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-select.html>

use crate::ast::Step;
use crate::csv::{not_utf8, too_long};
use crate::json::{DEPTH_MAX, malformed, value};
use crate::value::Value;
use crate::{RECORD_BYTES_MAX, Result};

/// A list or an object that is open.
#[derive(Debug)]
struct Open {
    is_object: bool,
    /// Where the path has got to with what is in it; `None` beside the path.
    step: Option<usize>,
    /// Whether something in it was on the path.
    found: bool,
    /// Values that began in it.
    count: usize,
    /// In an object, the name that came last, and whether its value is to come.
    name: Option<String>,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Within {
    Between,
    /// A name or a value in quotes; whether a backslash came before.
    Text(bool),
    /// A number or a word.
    Word,
}

/// Sees a row that was found, and says whether more are wanted.
type See<'s> = dyn FnMut(Value) -> Result<bool> + 's;

#[derive(Debug)]
pub(crate) struct Scan {
    path: Vec<Step>,
    open: Vec<Open>,
    within: Within,
    /// The text of the row that is open, and how many lists and objects were open before it.
    row: Option<(Vec<u8>, usize)>,
    /// The text of a name on the path.
    name: Option<Vec<u8>>,
    place: u64,
}

impl Scan {
    pub fn new(path: Vec<Step>, place: u64) -> Scan {
        Scan { path, open: Vec::new(), within: Within::Between, row: None, name: None, place }
    }

    pub fn place(&self) -> u64 {
        self.place
    }

    /// Leaves out bytes between values.
    pub fn pass(&mut self, bytes: usize) {
        self.place += bytes as u64;
    }

    /// Whether a value at the root is open.
    pub fn is_within(&self) -> bool {
        !self.open.is_empty() || self.within != Within::Between
    }

    /// The object is over.
    pub fn finish(&mut self, see: &mut See<'_>) -> Result<()> {
        if self.within == Within::Word {
            self.within = Within::Between;
            if !self.ended(see)? {
                return Ok(());
            }
        }
        let whole = self.open.is_empty() && self.within == Within::Between;
        if whole { Ok(()) } else { Err(malformed()) }
    }

    fn keep(&mut self, byte: u8) -> Result<()> {
        for kept in
            [self.row.as_mut().map(|(row, _)| row), self.name.as_mut()].into_iter().flatten()
        {
            if kept.len() >= RECORD_BYTES_MAX {
                return Err(too_long());
            }
            kept.push(byte);
        }
        Ok(())
    }

    /// Takes the next byte, with the rows that it completes; whether more are wanted.
    pub fn byte(&mut self, byte: u8, see: &mut See<'_>) -> Result<bool> {
        let going = self.take(byte, see);
        self.place += 1;
        going
    }

    fn take(&mut self, byte: u8, see: &mut See<'_>) -> Result<bool> {
        match (self.within, byte) {
            (Within::Text(true), _) => self.within = Within::Text(false),
            (Within::Text(false), b'\\') => self.within = Within::Text(true),
            (Within::Text(false), b'"') => {
                self.keep(byte)?;
                self.within = Within::Between;
                return match self.is_naming() {
                    true => self.named().map(|()| true),
                    false => self.ended(see),
                };
            }
            (Within::Text(false), _) => {}
            (
                Within::Word,
                b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r' | b'{' | b'[' | b'"' | b':',
            ) => {
                self.within = Within::Between;
                return Ok(self.ended(see)? && self.take(byte, see)?);
            }
            (Within::Word, _) => {}
            (Within::Between, _) => return self.between(byte, see),
        }
        self.keep(byte)?;
        Ok(true)
    }

    /// Whether a text that comes now is the name of a member.
    fn is_naming(&self) -> bool {
        self.open.last().is_some_and(|open| open.is_object && open.name.is_none())
    }

    fn between(&mut self, byte: u8, see: &mut See<'_>) -> Result<bool> {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            // The mark of UTF-8, at the very beginning.
            0xef | 0xbb | 0xbf if self.place < 3 => return Ok(true),
            b'"' if self.is_naming() => {
                let wanted = self.open.last().is_some_and(|open| open.step.is_some());
                self.name = wanted.then(Vec::new);
                self.within = Within::Text(false);
            }
            b'{' | b'[' => {
                let going = self.begin(Some(byte == b'{'), see)?;
                self.keep(byte)?;
                return Ok(going);
            }
            b'}' | b']' => {
                let open = self.open.pop().ok_or_else(malformed)?;
                if open.is_object != (byte == b'}') {
                    return Err(malformed());
                }
                self.keep(byte)?;
                let none = open.step.is_some() && !open.found;
                return Ok((!none || self.missing(see)?) && self.ended(see)?);
            }
            b',' | b':' if self.open.is_empty() => return Err(malformed()),
            b',' | b':' => {}
            b'"' => {
                if !self.begin(None, see)? {
                    return Ok(false);
                }
                self.within = Within::Text(false);
            }
            _ => {
                if !self.begin(None, see)? {
                    return Ok(false);
                }
                self.within = Within::Word;
            }
        }
        self.keep(byte)?;
        Ok(true)
    }

    /// A value begins: an object, a list, or neither.
    fn begin(&mut self, is_object: Option<bool>, see: &mut See<'_>) -> Result<bool> {
        let step = match self.open.last_mut() {
            None => Some(0),
            Some(open) => {
                let at = open.count;
                open.count += 1;
                let leads = |step: &usize| match (&self.path[*step], open.is_object) {
                    (Step::Name(name), true) => {
                        !open.found && open.name.as_deref().is_some_and(|own| name.fits(own))
                    }
                    (Step::Members, true) | (Step::Elements, false) => true,
                    (Step::Index(wanted), false) => *wanted == at,
                    _ => false,
                };
                let next = open.step.filter(leads).map(|step| step + 1);
                open.found |= next.is_some();
                next
            }
        };
        // Within a row, and beside the path, there is nothing to look for.
        let step = step.filter(|_| self.row.is_none());
        let mut going = true;
        if step == Some(self.path.len()) {
            self.row = Some((Vec::new(), self.open.len()));
        } else if step.is_some() && is_object.is_none() {
            going = self.missing(see)?;
        }
        if let Some(is_object) = is_object {
            // Beside the path as deep as in a row: what is deeper nobody could look at.
            if self.open.len() >= DEPTH_MAX + self.path.len() {
                return Err(malformed());
            }
            let step = step.filter(|step| *step < self.path.len());
            self.open.push(Open { is_object, step, found: false, count: 0, name: None });
        }
        Ok(going)
    }

    fn missing(&mut self, see: &mut See<'_>) -> Result<bool> {
        see(Value::Missing)
    }

    /// A name of a member is over.
    fn named(&mut self) -> Result<()> {
        let name = match self.name.take() {
            None => String::new(),
            Some(bytes) => match value(self.text(&bytes)?)? {
                Value::Text(name) => name,
                _ => return Err(malformed()),
            },
        };
        if let Some(open) = self.open.last_mut() {
            open.name = Some(name);
        }
        Ok(())
    }

    fn text<'t>(&self, bytes: &'t [u8]) -> Result<&'t str> {
        let start = self.place - (bytes.len() as u64).min(self.place);
        std::str::from_utf8(bytes).map_err(|error| not_utf8(start + error.valid_up_to() as u64))
    }

    /// A value is over.
    fn ended(&mut self, see: &mut See<'_>) -> Result<bool> {
        if let Some(open) = self.open.last_mut() {
            open.name = None;
        }
        match self.row.take_if(|(_, before)| *before == self.open.len()) {
            Some((row, _)) => {
                let value = value(self.text(&row)?)?;
                see(value)
            }
            None => Ok(true),
        }
    }
}
