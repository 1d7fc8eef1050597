//! Scan: all items of a table or index, or those of one segment.

use crate::DynamoDb;
use crate::error::invalid;
use crate::keyspace::{before, partition_of, segment, space};
use crate::names::TableName;
use crate::page::{Source, Wishes, answer, asked, partitions, rows};
use crate::rows::RawKey;
use api::{Cx, Error, Tx};
use gen_dynamodb::*;

/// Segment and number of segments, if the scan is one of several.
fn segments(input: &ScanInput) -> Result<Option<(u32, u32)>, Error> {
    match (input.segment, input.total_segments) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(invalid(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        )),
        (None, Some(_)) => Err(invalid(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        )),
        (Some(segment), Some(total)) if segment >= total => Err(invalid(format!(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {segment} is not less than TotalSegments: {total}"
        ))),
        (Some(segment), Some(total)) => Ok(Some((segment as u32, total as u32))),
    }
}

/// The part of a table or index that a scan goes through.
struct Stretch {
    segments: Option<(u32, u32)>,
    low: Option<RawKey>,
    high: Option<RawKey>,
    /// Partitions of the storage, from the first to the last.
    partitions: (u32, u32),
    total: u32,
}

impl Stretch {
    fn new(source: Source<'_>, segments: Option<(u32, u32)>) -> Stretch {
        let table = source.table;
        let bound = |more: u32| {
            let (number, total) = segments?;
            segment(table.number, source.space(), number + more, total)
        };
        let (low, high) = (bound(0), bound(1));
        let total = partitions(table);
        let first = low.as_ref().map_or(0, |low| partition_of(low, total));
        // A segment ends where the next one begins.
        let last = high.as_ref().map_or(total - 1, |high| partition_of(&before(high), total));
        Stretch { segments, low, high, partitions: (first, last.max(first)), total }
    }

    /// Goes on after a key, which must be of this segment.
    fn go_on(&mut self, key: &RawKey) -> Result<(), Error> {
        let first = partition_of(key, self.total);
        self.partitions = (first, self.partitions.1.max(first));
        let outside = self.low.as_ref().is_some_and(|low| key < low)
            || self.high.as_ref().is_some_and(|high| key >= high);
        match self.segments {
            Some((segment, total)) if outside => Err(invalid(format!(
                "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: {total} Segment: {segment}"
            ))),
            _ => Ok(()),
        }
    }
}

impl DynamoDb {
    pub(crate) fn scan(&self, tx: &Tx, cx: &Cx, input: &ScanInput) -> Result<ScanOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let (segments, wishes) = self.read_scan(input)?;
        let table = self.tables.get(tx, &name)?;
        let source = Source::new(&table, input.index_name.as_ref(), wishes.consistent)?;
        let mut reading = wishes.reading(source)?;
        let own = space(table.number, source.space());
        let mut scan = rows(tx, &table).prefix(&own);
        let mut stretch = Stretch::new(source, segments);
        if let Some(low) = &stretch.low {
            scan = scan.from(low);
        }
        if let Some(high) = &stretch.high {
            scan = scan.to(high);
        }
        if let Some(start) = &input.exclusive_start_key {
            let key = source.start(start)?;
            stretch.go_on(&key)?;
            scan = scan.after(&key);
        }
        reading.partitions = Some(stretch.partitions);
        let page = source.admitted(tx, None, scan, &reading)?;
        answer!(ScanOutput, input, &table, reading, page)
    }

    /// What can be read of the request without its table: the segment, and the rest.
    fn read_scan<'i>(
        &self,
        input: &'i ScanInput,
    ) -> Result<(Option<(u32, u32)>, Wishes<'i>), Error> {
        let asked = asked!(input, "ScanFilter", scan_filter);
        let params = asked.params(&self.parsed, None)?;
        let older_projection = asked.older_projection()?;
        let older = asked.older_filter()?;
        let segments = segments(input)?;
        let wishes = asked.wishes(params, older, older_projection)?;
        Ok((segments, wishes))
    }
}
