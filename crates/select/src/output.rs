//! Records of the answer, as text.

use crate::csv::too_long;
use crate::value::{Value, write_member};
use crate::{RECORD_BYTES_MAX, Result, SelectError};

/// How the answer is written.
#[derive(Clone, Debug)]
pub enum Output {
    Csv(CsvOutput),
    Json { record_delimiter: String },
}

#[derive(Clone, Debug)]
pub struct CsvOutput {
    pub record_delimiter: String,
    pub field_delimiter: String,
    pub quote: char,
    pub escape: char,
    /// Whether fields that need no quotes have them.
    pub quote_always: bool,
}

impl Default for CsvOutput {
    fn default() -> CsvOutput {
        CsvOutput {
            record_delimiter: "\n".into(),
            field_delimiter: ",".into(),
            quote: '"',
            escape: '"',
            quote_always: false,
        }
    }
}

/// One record, column by column.
pub(crate) struct Record<'a> {
    output: &'a Output,
    text: String,
    columns: usize,
}

impl<'a> Record<'a> {
    pub fn new(output: &'a Output) -> Record<'a> {
        let text = if matches!(output, Output::Json { .. }) { "{".into() } else { String::new() };
        Record { output, text, columns: 0 }
    }

    pub fn column(&mut self, name: &str, value: &Value) -> Result<()> {
        match self.output {
            Output::Json { .. } => write_member(name, value, &mut self.text),
            Output::Csv(csv) => {
                if self.columns > 0 {
                    self.text.push_str(&csv.field_delimiter);
                }
                let shown = value.shown().ok_or_else(|| {
                    let text = "Encountered an unsupported SQL operation.";
                    SelectError::new("UnsupportedSqlOperation", text)
                })?;
                csv.write(&shown, &mut self.text);
            }
        }
        self.columns += 1;
        if self.text.len() > RECORD_BYTES_MAX { Err(too_long()) } else { Ok(()) }
    }

    pub fn finish(mut self, out: &mut Vec<u8>) {
        let delimiter = match self.output {
            Output::Json { record_delimiter } => {
                self.text.push('}');
                record_delimiter
            }
            Output::Csv(csv) => &csv.record_delimiter,
        };
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(delimiter.as_bytes());
    }
}

impl CsvOutput {
    fn write(&self, field: &str, out: &mut String) {
        let needs = self.quote_always
            || field.contains(self.quote)
            || field.contains(&self.field_delimiter)
            || field.contains(&self.record_delimiter);
        if !needs {
            return out.push_str(field);
        }
        out.push(self.quote);
        for c in field.chars() {
            if c == self.quote || c == self.escape {
                out.push(self.escape);
            }
            out.push(c);
        }
        out.push(self.quote);
    }
}
