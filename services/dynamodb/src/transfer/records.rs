//! Files to import as items: lines of DynamoDB JSON, or comma-separated values.
//!
//! Bytes are pushed as they come; records are taken as they are whole. What a line can hold is bounded,
//! and a line that is no item is told as such and passed over.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataImport.Format.html>

use crate::rows::AttributeKind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::write::MultiGzDecoder;
use item::{Builder, Item, Value, binary, number_value, string};
use smithy::json::{Kind, Reader};
use smithy::value::Custom as _;
use std::collections::BTreeMap;
use std::io::{self, Write};
use store::row;

/// Bytes of one record: an item of 400 KB in Base64 and with escapes takes less.
const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What is given to the decoder at once: it makes at most about a thousand times as much of it.
const SLICE_BYTES: usize = 2048;

row! {
    /// How the files are written.
    pub struct FormatRow {
        1 => csv: bool,
        2 => gzip: bool,
        3 => delimiter: String,
        /// Names of the columns; empty: the first line of each file has them.
        4 => header: Vec<String>,
        /// Types of the attributes of keys; other values of CSV are strings.
        5 => kinds: BTreeMap<String, AttributeKind>,
    }
}

/// One record of a file: an item, or why it is none.
pub(crate) type Record = Result<Item, String>;

/// Takes a file apart.
pub(crate) struct Records<'f> {
    format: &'f FormatRow,
    source: Source,
    header: Option<Vec<String>>,
    /// A line that is too long is passed over up to its end.
    skipping: bool,
    /// How much of the line that has begun is known not to end it, and whether a quote is open there.
    looked_at: usize,
    open: bool,
}

enum Source {
    Plain(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Source {
    fn text(&mut self) -> &mut Vec<u8> {
        match self {
            Source::Plain(text) => text,
            Source::Gzip(decoder) => decoder.get_mut(),
        }
    }
}

impl<'f> Records<'f> {
    pub fn new(format: &'f FormatRow) -> Records<'f> {
        let source = match format.gzip {
            true => Source::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            false => Source::Plain(Vec::new()),
        };
        let header = (!format.header.is_empty()).then(|| format.header.clone());
        Records { format, source, header, skipping: false, looked_at: 0, open: false }
    }

    /// Takes more bytes of the file, and gives the records that are whole now to `see`.
    pub fn push(&mut self, bytes: &[u8], see: &mut dyn FnMut(Record)) -> io::Result<()> {
        for slice in bytes.chunks(SLICE_BYTES) {
            match &mut self.source {
                Source::Plain(text) => text.extend_from_slice(slice),
                Source::Gzip(decoder) => decoder.write_all(slice)?,
            }
            self.lines(see);
        }
        Ok(())
    }

    /// The end of the file: what is left is its last record.
    pub fn finish(&mut self, see: &mut dyn FnMut(Record)) -> io::Result<()> {
        if let Source::Gzip(decoder) = &mut self.source {
            decoder.try_finish()?;
        }
        self.lines(see);
        let rest = std::mem::take(self.source.text());
        if !self.skipping {
            self.line(&rest, see);
        }
        Ok(())
    }

    fn lines(&mut self, see: &mut dyn FnMut(Record)) {
        let mut text = std::mem::take(self.source.text());
        let (mut start, mut at) = (0, self.looked_at);
        while let Some(length) = self.line_end(&text[at..]) {
            let line = &text[start..at + length];
            at += length + 1;
            start = at;
            if !std::mem::take(&mut self.skipping) {
                self.line(line, see);
            }
        }
        self.looked_at = text.len() - start;
        text.drain(..start);
        if text.len() > RECORD_BYTES_MAX {
            if !self.skipping {
                see(Err("The record is too large".into()));
            }
            (self.skipping, self.open, self.looked_at) = (true, false, 0);
            text.clear();
        }
        *self.source.text() = text;
    }

    /// Where the next line ends. One of CSV goes on while a quote is open.
    fn line_end(&mut self, text: &[u8]) -> Option<usize> {
        let quotes = self.format.csv && !self.skipping;
        text.iter().position(|b| {
            self.open ^= quotes && *b == b'"';
            *b == b'\n' && !self.open
        })
    }

    fn line(&mut self, line: &[u8], see: &mut dyn FnMut(Record)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let Ok(text) = std::str::from_utf8(line) else {
            return see(Err("The record is no UTF-8".into()));
        };
        if !self.format.csv {
            return see(of_json(text));
        }
        let fields = match fields(text, &self.format.delimiter) {
            Ok(fields) => fields,
            Err(why) => return see(Err(why)),
        };
        match &self.header {
            None => self.header = Some(fields),
            Some(header) => see(of_fields(header, &fields, &self.format.kinds)),
        }
    }
}

/// `{"Item": {…}}`.
fn of_json(text: &str) -> Record {
    let read = || {
        let mut reader = Reader::new(text.as_bytes())?;
        let (mut item, mut first) = (None, true);
        if reader.kind()? != Kind::Object {
            return Ok(None);
        }
        reader.enter()?;
        while let Some(name) = reader.key(first)? {
            first = false;
            if name == "Item" {
                let mut found = Item::default();
                found.read_json(&mut reader)?;
                item = Some(found);
            } else {
                reader.skip()?;
            }
        }
        reader.end()?;
        Ok::<_, smithy::Rejection>(item)
    };
    let item = read().map_err(|error| error.to_string())?;
    let item = item.ok_or_else(|| "The record has no Item".to_owned())?;
    match item.fault() {
        Some(fault) => Err(fault.to_owned()),
        None => Ok(item),
    }
}

/// The fields of a line. One in quotes may hold delimiters, line breaks, and quotes that stand twice.
fn fields(line: &str, delimiter: &str) -> Result<Vec<String>, String> {
    let delimiter = delimiter.chars().next().unwrap_or(',');
    let (mut all, mut field) = (Vec::new(), String::new());
    let (mut open, mut chars) = (false, line.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if open && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if open => open = false,
            '"' if field.is_empty() => open = true,
            c if c == delimiter && !open => all.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    if open {
        return Err("A quote is not closed".into());
    }
    all.push(field);
    Ok(all)
}

fn of_fields(
    header: &[String],
    fields: &[String],
    kinds: &BTreeMap<String, AttributeKind>,
) -> Record {
    if fields.len() != header.len() {
        return Err(format!("The line has {} fields, not {}", fields.len(), header.len()));
    }
    let mut item = Builder::default();
    for (name, field) in header.iter().zip(fields) {
        let value = match kinds.get(name) {
            None | Some(AttributeKind::S) => string(field),
            Some(AttributeKind::N) => {
                number_value(field.trim()).map_err(|error| error.to_string())?
            }
            Some(AttributeKind::B) => {
                let bytes = STANDARD.decode(field.trim());
                binary(&bytes.map_err(|_| format!("{name} is no Base64"))?)
            }
        };
        let value = Value::of(&value).ok_or_else(|| "no value".to_owned())?;
        item.push(name, value);
    }
    Ok(Item::from_bytes(item.finish()))
}

/// Entry point for fuzzing: the first byte says what kind of file the others are. Must not panic, and
/// must end quickly.
pub fn fuzz_records(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let format = FormatRow {
        csv: first & 1 != 0,
        gzip: first & 2 != 0,
        delimiter: [",", ";", "\t", "|"][usize::from(first >> 2 & 3)].to_owned(),
        header: if first & 16 != 0 { vec!["a".into(), "n".into()] } else { Vec::new() },
        kinds: [("a".to_owned(), AttributeKind::B), ("n".to_owned(), AttributeKind::N)].into(),
    };
    let mut records = Records::new(&format);
    let (middle, mut count) = (rest.len() / 2, 0);
    let mut see = |record: Record| count += usize::from(record.is_ok_and(|item| !item.is_empty()));
    let all = records.push(&rest[..middle], &mut see);
    let all = all.and_then(|()| records.push(&rest[middle..], &mut see));
    if all.and_then(|()| records.finish(&mut see)).is_ok() {
        assert!(count <= rest.len() * 1100 || format.gzip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Entropy;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn read(format: &FormatRow, file: &[u8], piece: usize) -> Vec<String> {
        let mut records = Records::new(format);
        let mut shown = Vec::new();
        let mut see = |record: Record| {
            shown.push(record.map_or_else(|why| format!("! {why}"), |item| item.to_json()));
        };
        let pushed = file.chunks(piece).try_for_each(|bytes| records.push(bytes, &mut see));
        if let Err(error) = pushed.and_then(|()| records.finish(&mut see)) {
            see(Err(format!("broken: {}", error.kind())));
        }
        shown
    }

    fn format(csv: bool) -> FormatRow {
        FormatRow {
            csv,
            gzip: false,
            delimiter: ",".into(),
            header: Vec::new(),
            kinds: [("n".to_owned(), AttributeKind::N), ("b".to_owned(), AttributeKind::B)].into(),
        }
    }

    const JSON: &str = "{\"Item\":{\"p\":{\"S\":\"a\\nb\"}}}\n\n{\"Item\":{\"n\":{\"N\":\"1.0\"}},\"more\":[1]}\r\n{\"p\":1}\nnonsense\n{\"Item\":{\"p\":{\"N\":\"x\"}}}\n{\"Item\":{\"p\":{\"S\":\"last\"}}}";

    #[test]
    fn lines_of_json() {
        let expected = [
            r#"{"p":{"S":"a\nb"}}"#,
            r#"{"n":{"N":"1"}}"#,
            "! The record has no Item",
            "! ",
            "! The parameter cannot be converted to a numeric value: x",
            r#"{"p":{"S":"last"}}"#,
        ];
        for piece in [1, 7, 10_000] {
            let shown = read(&format(false), JSON.as_bytes(), piece);
            assert_eq!(shown.len(), expected.len(), "{shown:?}");
            for (shown, expected) in shown.iter().zip(expected) {
                assert!(shown.starts_with(expected), "{shown} {expected}");
            }
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(JSON.as_bytes()).unwrap();
        let packed = encoder.finish().unwrap();
        let gzip = FormatRow { gzip: true, ..format(false) };
        for piece in [1, 7, 10_000] {
            assert_eq!(read(&gzip, &packed, piece).len(), 6);
        }
        // Two members, one after the other: the last line of the first goes on in the second.
        assert_eq!(read(&gzip, &[packed.clone(), packed.clone()].concat(), 100).len(), 11);
        let broken = read(&gzip, b"{\"Item\":{}}", 100);
        assert!(broken.last().unwrap().starts_with("! broken"), "{broken:?}");
    }

    #[test]
    fn separated_values() {
        let text = "p,n,b\r\nx,1.50,AAE=\n\"with \"\"quotes\"\", and\na line\",2,\nshort,1\ny,no,AAE=\nz,1,?\n\"open,1,\n";
        let shown = read(&format(true), text.as_bytes(), 3);
        assert_eq!(shown[0], r#"{"b":{"B":"AAE="},"n":{"N":"1.5"},"p":{"S":"x"}}"#);
        assert_eq!(
            shown[1],
            r#"{"b":{"B":""},"n":{"N":"2"},"p":{"S":"with \"quotes\", and\na line"}}"#
        );
        assert_eq!(shown[2], "! The line has 2 fields, not 3");
        assert!(shown[3].starts_with("! The parameter cannot be converted"), "{}", shown[3]);
        assert_eq!(shown[4], "! b is no Base64");
        assert_eq!(shown[5], "! A quote is not closed");
        let own = FormatRow {
            delimiter: ";".into(),
            header: vec!["p".into(), "q".into()],
            ..format(true)
        };
        assert_eq!(read(&own, b"1;2", 1), [r#"{"p":{"S":"1"},"q":{"S":"2"}}"#]);
    }

    #[test]
    fn what_never_ends_is_bounded() {
        let long = "x".repeat(RECORD_BYTES_MAX + 10_000) + "\n{\"Item\":{\"p\":{\"S\":\"a\"}}}\n";
        let shown = read(&format(false), long.as_bytes(), 1 << 20);
        assert_eq!(shown, ["! The record is too large", r#"{"p":{"S":"a"}}"#]);
    }

    #[test]
    fn any_file_is_read_or_refused() {
        let pieces = [
            "{\"Item\":",
            "{\"a\":{\"S\":\"x\"}}",
            "}",
            "\n",
            "\"",
            ",",
            ";",
            "1",
            "\r\n",
            "é",
            "\0",
        ];
        let chance = base::SeededEntropy::new(3);
        for _ in 0..5000 {
            let mut data = vec![chance.below(32) as u8];
            for _ in 0..chance.below(12) {
                data.extend_from_slice(
                    pieces[chance.below(pieces.len() as u64) as usize].as_bytes(),
                );
            }
            fuzz_records(&data);
        }
    }
}
