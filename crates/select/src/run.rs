//! A query at work: bytes of the object in, records out, a bounded piece at a time.
//!
//! A step ends with its piece of the object, or earlier where the answer waits to be taken or the work was
//! much, however small the piece was.

use crate::aggregate::Total;
use crate::ast::{Column, Columns, Query};
use crate::bind::Names;
use crate::csv::{Csv, CsvInput, Header};
use crate::evaluate::{Row, Scope, Work};
use crate::expand::{Compression, Expand};
use crate::json_scan::Scan;
use crate::output::{Output, Record};
use crate::time::Time;
use crate::value::Value;
use crate::{Result, SelectError};
use base::Timestamp;

/// What an object is.
#[derive(Clone, Debug)]
pub enum Input {
    Csv(CsvInput),
    /// One value in each line, or values anyhow.
    Json {
        lines: bool,
    },
}

/// Bytes of the object that were read, what they expanded to, and bytes of the answer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    pub scanned: u64,
    pub processed: u64,
    pub returned: u64,
}

/// What a run needs next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// More of the object.
    Hungry,
    /// Another step.
    More,
    Done,
}

/// A step ends when so much of the answer waits.
const READY_BYTES_MAX: usize = 256 * 1024;
/// And when so much work was done, since others wait for the thread: some milliseconds.
const STEP_WORK_MAX: u64 = 250_000;

/// Why a step ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// The piece was gone through.
    Fed,
    /// There is more in the piece.
    Paused,
    /// The query has all that it wants.
    Done,
}

enum Reader {
    Csv(Box<Csv>),
    Json(Box<Scan>),
}

/// A query on an object.
pub struct Run {
    expand: Expand,
    reader: Reader,
    core: Core,
    /// The last place where a record may begin.
    last: u64,
    /// Whether a record that began before the range is to be passed over.
    skipping: bool,
    over: bool,
    done: bool,
    piece: Vec<u8>,
    /// How far the piece was read, and whether it was all that was left.
    used: usize,
    paused: bool,
    ending: bool,
    fields: Vec<Value>,
}

/// The query and the answer.
struct Core {
    query: Query,
    totals: Vec<Total>,
    output: Output,
    out: Vec<u8>,
    rows: u64,
    now: Time,
    /// What the first record is, until it came.
    header: Header,
    names: Vec<String>,
    stats: Stats,
    /// Done in this step.
    work: u64,
}

impl Run {
    /// `range` is the first and the last place where a record may begin; what is fed to the run begins at
    /// [`Run::begins_at`] then.
    pub fn new(
        mut query: Query,
        input: Input,
        compression: Compression,
        output: Output,
        now: Timestamp,
        range: Option<(u64, u64)>,
    ) -> Result<Run> {
        let unsupported = || {
            let text = "Scan range queries are not supported on this type of object. Please check the service documentation and try again.";
            SelectError::new("UnsupportedScanRangeInput", text)
        };
        let is_lined = match &input {
            Input::Csv(csv) => !csv.quoted_delimiters,
            Input::Json { lines } => *lines,
        };
        if range.is_some() && (compression != Compression::None || !is_lined) {
            return Err(unsupported());
        }
        let mut header = Header::None;
        match &input {
            Input::Csv(csv) => {
                header = csv.header;
                if header != Header::Use {
                    query.bind(&Names::Places)?;
                }
            }
            Input::Json { .. } => query.bind(&Names::Tree)?,
        }
        let (first, last) = range.unwrap_or((0, u64::MAX));
        let begins = first - first.min(delimiter_bytes(&input));
        let reader = match input {
            Input::Csv(csv) => Reader::Csv(Box::new(Csv::new(csv, begins))),
            Input::Json { .. } => Reader::Json(Box::new(Scan::new(query.from.clone(), begins))),
        };
        // The header of a range that begins later is not in it.
        if first > 0 && header == Header::Ignore {
            header = Header::None;
        }
        let totals = query.aggregates.iter().map(|a| Total::new(a.function)).collect();
        let core = Core {
            query,
            totals,
            output,
            out: Vec::new(),
            rows: 0,
            now: Time::from_timestamp(now),
            header,
            names: Vec::new(),
            stats: Stats::default(),
            work: 0,
        };
        let done = core.query.limit == Some(0);
        Ok(Run {
            expand: Expand::new(compression),
            reader,
            core,
            last,
            skipping: first > 0,
            over: false,
            done,
            piece: Vec::new(),
            used: 0,
            paused: false,
            ending: false,
            fields: Vec::new(),
        })
    }

    /// Whether the header has to be shown before the range, since that begins after it: by
    /// [`Run::push_header`], from the beginning of the object.
    pub fn wants_header(&self) -> bool {
        self.skipping && self.core.header == Header::Use
    }

    /// Takes the beginning of the object, all that was seen of it; `last` if there is no more.
    pub fn push_header(&mut self, beginning: &[u8], last: bool) -> Result<()> {
        if let Reader::Csv(csv) = &self.reader {
            let mut csv = csv.at_the_beginning();
            csv.push(beginning);
            let mut fields = Vec::new();
            if csv.record(last, &mut fields)?.is_some() {
                self.core.take_header(&fields)?;
            }
        }
        if last {
            self.core.header = Header::None;
        }
        Ok(())
    }

    /// Where the first byte lies that is fed.
    pub fn begins_at(&self) -> u64 {
        match &self.reader {
            Reader::Csv(csv) => csv.place(),
            Reader::Json(scan) => scan.place(),
        }
    }

    /// Takes more of the object.
    pub fn push(&mut self, bytes: &[u8]) {
        self.core.stats.scanned += bytes.len() as u64;
        self.expand.push(bytes);
    }

    /// There is no more of the object.
    pub fn finish(&mut self) {
        self.over = true;
    }

    pub fn stats(&self) -> Stats {
        self.core.stats
    }

    /// How much of the answer waits to be taken.
    pub fn ready(&self) -> usize {
        self.core.out.len()
    }

    /// The records that were found since the last time, with their delimiters.
    pub fn take(&mut self) -> Vec<u8> {
        self.core.stats.returned += self.core.out.len() as u64;
        std::mem::take(&mut self.core.out)
    }

    /// Goes on by a piece, or by a part of one.
    pub fn step(&mut self) -> Result<Step> {
        if self.done {
            return Ok(Step::Done);
        }
        if !self.paused {
            let hungry = self.expand.is_hungry();
            if hungry && !self.over {
                return Ok(Step::Hungry);
            }
            self.next_piece(hungry)?;
        }
        self.core.work = 0;
        let ended = match self.reader {
            Reader::Csv(_) => self.step_csv()?,
            Reader::Json(_) => self.step_json()?,
        };
        self.paused = ended == Ended::Paused;
        if ended == Ended::Done || (ended == Ended::Fed && self.ending) {
            self.core.finish()?;
            self.done = true;
            return Ok(Step::Done);
        }
        Ok(Step::More)
    }

    fn next_piece(&mut self, ending: bool) -> Result<()> {
        self.piece.clear();
        self.used = 0;
        self.ending = ending;
        match ending {
            true => self.expand.finish(&mut self.piece)?,
            false => self.expand.step(&mut self.piece)?,
        }
        self.core.stats.processed += self.piece.len() as u64;
        if let Reader::Csv(csv) = &mut self.reader {
            csv.push(&self.piece);
        }
        Ok(())
    }

    fn step_csv(&mut self) -> Result<Ended> {
        let Reader::Csv(csv) = &mut self.reader else { return Ok(Ended::Done) };
        if self.skipping {
            if !csv.skip_record() {
                return Ok(Ended::Fed);
            }
            self.skipping = false;
        }
        loop {
            if csv.place() > self.last {
                return Ok(Ended::Done);
            }
            let Some(place) = csv.record(self.ending, &mut self.fields)? else {
                return Ok(if csv.place() > self.last { Ended::Done } else { Ended::Fed });
            };
            if place > self.last {
                return Ok(Ended::Done);
            }
            match self.core.header {
                Header::Use => self.core.take_header(&self.fields)?,
                Header::Ignore => self.core.header = Header::None,
                Header::None => {
                    let row = Row::Fields(std::mem::take(&mut self.fields));
                    let going = self.core.row(&row)?;
                    if let Row::Fields(fields) = row {
                        self.fields = fields;
                    }
                    if !going {
                        return Ok(Ended::Done);
                    }
                }
            }
            if self.core.is_full() {
                return Ok(Ended::Paused);
            }
        }
    }

    fn step_json(&mut self) -> Result<Ended> {
        let Reader::Json(scan) = &mut self.reader else { return Ok(Ended::Done) };
        let (core, end) = (&mut self.core, self.last);
        if self.skipping {
            let line = self.piece.iter().position(|b| *b == b'\n');
            self.used = line.map_or(self.piece.len(), |at| at + 1);
            scan.pass(self.used);
            self.skipping = line.is_none();
        }
        while let Some(byte) = self.piece.get(self.used) {
            if !scan.is_within() && scan.place() > end {
                return Ok(Ended::Done);
            }
            self.used += 1;
            if !scan.byte(*byte, &mut |value| core.row(&Row::Tree(value)))? {
                return Ok(Ended::Done);
            }
            if core.is_full() {
                return Ok(Ended::Paused);
            }
        }
        if self.ending {
            scan.finish(&mut |value| core.row(&Row::Tree(value)))?;
        }
        Ok(Ended::Fed)
    }
}

/// Before a range so many bytes are looked at, to see whether a record begins with it.
fn delimiter_bytes(input: &Input) -> u64 {
    match input {
        Input::Csv(csv) => csv.record_delimiter.len() as u64,
        Input::Json { .. } => 1,
    }
}

impl Core {
    fn take_header(&mut self, fields: &[Value]) -> Result<()> {
        self.names = fields.iter().map(|f| f.text().unwrap_or_default().to_owned()).collect();
        self.header = Header::None;
        let work = Work::new();
        let bound = self.query.bind(&Names::Header(&self.names, &work));
        self.work += work.spent();
        bound
    }

    fn is_full(&self) -> bool {
        self.out.len() >= READY_BYTES_MAX || self.work >= STEP_WORK_MAX
    }

    /// Whether more rows are wanted.
    fn row(&mut self, row: &Row) -> Result<bool> {
        let work = Work::new();
        let going = self.see(row, &work);
        self.work += work.spent();
        going
    }

    fn see(&mut self, row: &Row, work: &Work) -> Result<bool> {
        let scope = Scope { row, aggregates: &[], now: self.now, work };
        if let Some(condition) = &self.query.condition
            && !scope.holds(condition)?
        {
            return Ok(true);
        }
        if !self.query.aggregates.is_empty() {
            for (aggregate, total) in self.query.aggregates.iter().zip(&mut self.totals) {
                match &aggregate.argument {
                    None => total.count_row(),
                    Some(expr) => {
                        let value = scope.evaluate(expr)?;
                        scope.spend_text(&value)?;
                        total.add(&value)?;
                    }
                }
            }
            return Ok(true);
        }
        write_record(&self.query.columns, &scope, &self.names, &self.output, &mut self.out)?;
        self.rows += 1;
        Ok(self.query.limit.is_none_or(|limit| self.rows < limit))
    }

    /// All rows were seen.
    fn finish(&mut self) -> Result<()> {
        if self.query.aggregates.is_empty() {
            return Ok(());
        }
        let results = self.totals.iter().map(Total::finish).collect::<Result<Vec<_>>>()?;
        let (work, row) = (Work::new(), Row::Tree(Value::Missing));
        let scope = Scope { row: &row, aggregates: &results, now: self.now, work: &work };
        write_record(&self.query.columns, &scope, &self.names, &self.output, &mut self.out)
    }
}

fn write_record(
    columns: &Columns,
    scope: &Scope<'_>,
    names: &[String],
    output: &Output,
    out: &mut Vec<u8>,
) -> Result<()> {
    let mut record = Record::new(output);
    match columns {
        Columns::All => each_column(scope.row, None, names, &mut record)?,
        Columns::Some(columns) => {
            for column in columns {
                match column {
                    Column::One { name, expr } => record.column(name, &*scope.evaluate(expr)?)?,
                    Column::Each(path) => {
                        let tree = match scope.row {
                            Row::Tree(_) => Some(scope.path(path)?),
                            Row::Fields(_) => None,
                        };
                        each_column(scope.row, tree, names, &mut record)?;
                    }
                }
            }
        }
    }
    record.finish(out);
    Ok(())
}

/// Every column of a row, or of the value that is given.
fn each_column(
    row: &Row,
    value: Option<&Value>,
    names: &[String],
    record: &mut Record<'_>,
) -> Result<()> {
    match (row, value) {
        (Row::Fields(fields), None) => {
            for (i, field) in fields.iter().enumerate() {
                match names.get(i) {
                    Some(name) => record.column(name, field)?,
                    None => record.column(&format!("_{}", i + 1), field)?,
                }
            }
            Ok(())
        }
        (Row::Tree(value), None) | (_, Some(value)) => match value {
            Value::Tuple(members) => {
                members.iter().try_for_each(|(name, value)| record.column(name, value))
            }
            Value::Missing => Ok(()),
            other => record.column("_1", other),
        },
    }
}
