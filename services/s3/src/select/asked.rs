//! What a request says of its object and of the answer that it wants.

use super::refused;
use api::Error;
use gen_s3::*;
use select::{Compression, CsvInput, CsvOutput, Header, Input, Output, Query};

pub struct Asked {
    pub query: Query,
    pub input: Input,
    pub compression: Compression,
    pub output: Output,
    pub progress: bool,
    /// The first and the last place where a record may begin.
    pub range: Option<(u64, u64)>,
}

/// What may stand between records and fields of the answer; S3 names no bound.
const DELIMITER_CHARACTERS_MAX: usize = 64;

fn invalid(code: &'static str, text: &str) -> Error {
    Error::with_code(code, 400, text.to_owned())
}

fn bad_value() -> Error {
    let text = "The value of a parameter in SelectRequest element is invalid. Check the service API documentation and try again.";
    invalid("InvalidRequestParameter", text)
}

fn required(name: &str) -> Error {
    let text = format!("{name} is required. Please check the service documentation and try again.");
    Error::with_code("MissingRequiredParameter", 400, text)
}

fn conflict() -> Error {
    let text = "InputSerialization specifies more than one format (CSV, JSON, or Parquet), or OutputSerialization specifies more than one format (CSV or JSON). InputSerialization and OutputSerialization can only specify one format each.";
    invalid("ObjectSerializationConflict", text)
}

pub fn read(asked: &SelectObjectContentInput, size: u64) -> Result<Asked, Error> {
    if !asked.expression_type.eq_ignore_ascii_case("SQL") {
        let text = "The ExpressionType is invalid. Only SQL expressions are supported.";
        return Err(invalid("InvalidExpressionType", text));
    }
    if asked.expression.is_empty() {
        return Err(required("Expression"));
    }
    let serialization = &asked.input_serialization;
    let input = input(serialization)?;
    let compression = match serialization.compression_type.as_deref().unwrap_or("NONE") {
        "NONE" => Compression::None,
        "GZIP" => Compression::Gzip,
        "BZIP2" => Compression::Bzip2,
        _ => {
            let text = "The file is not in a supported compression format. Only GZIP and BZIP2 are supported.";
            return Err(invalid("InvalidCompressionFormat", text));
        }
    };
    let output = output(&asked.output_serialization)?;
    let range = asked.scan_range.as_ref().map(|range| scan_range(range, size)).transpose()?;
    let progress = asked.request_progress.as_ref().and_then(|progress| progress.enabled);
    let query = Query::parse(&asked.expression).map_err(refused)?;
    let progress = progress.unwrap_or_default();
    Ok(Asked { query, input, compression, output, progress, range })
}

fn input(serialization: &InputSerialization) -> Result<Input, Error> {
    match (&serialization.csv, &serialization.json, &serialization.parquet) {
        (Some(csv), None, None) => csv_input(csv).map(Input::Csv),
        (None, Some(json), None) => match json.r#type.as_deref() {
            Some("LINES") => Ok(Input::Json { lines: true }),
            Some("DOCUMENT") => Ok(Input::Json { lines: false }),
            Some(_) => {
                let text = "The JsonType is invalid. Only DOCUMENT and LINES are supported.";
                Err(invalid("InvalidJsonType", text))
            }
            None => Err(required("Type")),
        },
        (None, None, Some(_)) => Err(Error::not_implemented("SelectObjectContent of Parquet")),
        (None, None, None) => {
            let text = "Invalid data source type. Only CSV, JSON, and Parquet are supported.";
            Err(invalid("InvalidDataSource", text))
        }
        _ => Err(conflict()),
    }
}

/// One character, or none where nothing stands in the element.
fn character(given: &Option<String>, usual: Option<char>) -> Result<Option<char>, Error> {
    let Some(given) = given else { return Ok(usual) };
    let mut chars = given.chars();
    match (chars.next(), chars.next()) {
        (first, None) => Ok(first),
        _ => Err(bad_value()),
    }
}

/// So many characters, one at least.
fn delimiter(
    given: &Option<String>,
    usual: &str,
    most: usize,
    name: &str,
) -> Result<String, Error> {
    match given.as_deref() {
        None => Ok(usual.to_owned()),
        Some("") => Err(required(name)),
        Some(text) if text.chars().count() <= most => Ok(text.to_owned()),
        Some(_) => Err(bad_value()),
    }
}

fn csv_input(csv: &CSVInput) -> Result<CsvInput, Error> {
    let header = match csv.file_header_info.as_deref().unwrap_or("NONE") {
        info if info.eq_ignore_ascii_case("NONE") => Header::None,
        info if info.eq_ignore_ascii_case("USE") => Header::Use,
        info if info.eq_ignore_ascii_case("IGNORE") => Header::Ignore,
        _ => {
            let text = "The FileHeaderInfo is invalid. Only NONE, USE, and IGNORE are supported.";
            return Err(invalid("InvalidFileHeaderInfo", text));
        }
    };
    let usual = CsvInput::default();
    let quote = character(&csv.quote_character, usual.quote)?;
    let read = CsvInput {
        record_delimiter: delimiter(
            &csv.record_delimiter,
            &usual.record_delimiter,
            2,
            "RecordDelimiter",
        )?,
        field_delimiter: delimiter(
            &csv.field_delimiter,
            &usual.field_delimiter,
            1,
            "FieldDelimiter",
        )?,
        quote,
        escape: character(&csv.quote_escape_character, usual.escape)?,
        comments: character(&csv.comments, usual.comments)?,
        header,
        quoted_delimiters: csv.allow_quoted_record_delimiter.unwrap_or_default(),
    };
    // One character cannot be two things.
    let quotes = quote
        .is_some_and(|c| read.field_delimiter.contains(c) || read.record_delimiter.contains(c));
    if read.record_delimiter.contains(&read.field_delimiter) || quotes {
        return Err(bad_value());
    }
    Ok(read)
}

fn output(serialization: &OutputSerialization) -> Result<Output, Error> {
    match (&serialization.csv, &serialization.json) {
        (Some(csv), None) => csv_output(csv).map(Output::Csv),
        (None, Some(json)) => {
            let record_delimiter = delimiter(
                &json.record_delimiter,
                "\n",
                DELIMITER_CHARACTERS_MAX,
                "RecordDelimiter",
            )?;
            Ok(Output::Json { record_delimiter })
        }
        (None, None) => Err(required("OutputSerialization")),
        _ => Err(conflict()),
    }
}

fn csv_output(csv: &CSVOutput) -> Result<CsvOutput, Error> {
    let quote_always = match csv.quote_fields.as_deref().unwrap_or("ASNEEDED") {
        "ASNEEDED" => false,
        "ALWAYS" => true,
        _ => {
            let text = "The QuoteFields is invalid. Only ALWAYS and ASNEEDED are supported.";
            return Err(invalid("InvalidQuoteFields", text));
        }
    };
    let usual = CsvOutput::default();
    let one =
        |given: &Option<String>, usual: char| character(given, Some(usual))?.ok_or_else(bad_value);
    let (record, field) = (&csv.record_delimiter, &csv.field_delimiter);
    Ok(CsvOutput {
        record_delimiter: delimiter(
            record,
            &usual.record_delimiter,
            DELIMITER_CHARACTERS_MAX,
            "RecordDelimiter",
        )?,
        field_delimiter: delimiter(
            field,
            &usual.field_delimiter,
            DELIMITER_CHARACTERS_MAX,
            "FieldDelimiter",
        )?,
        quote: one(&csv.quote_character, usual.quote)?,
        escape: one(&csv.quote_escape_character, usual.escape)?,
        quote_always,
    })
}

/// Both ends count; an end alone is so many bytes from the end of the object.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ScanRange.html>
fn scan_range(range: &ScanRange, size: u64) -> Result<(u64, u64), Error> {
    let wrong = || {
        let text = "The value of a parameter in ScanRange element is invalid. Check the service API documentation and try again.";
        invalid("InvalidScanRange", text)
    };
    let number = |n: Option<i64>| n.map(|n| u64::try_from(n).map_err(|_| wrong())).transpose();
    match (number(range.start)?, number(range.end)?) {
        (None, None) => Err(wrong()),
        (Some(start), None) if start < size.max(1) => Ok((start, u64::MAX)),
        (Some(start), Some(end)) if start <= end && start < size.max(1) => Ok((start, end)),
        (None, Some(suffix)) if suffix > 0 => Ok((size.saturating_sub(suffix), u64::MAX)),
        _ => Err(wrong()),
    }
}
