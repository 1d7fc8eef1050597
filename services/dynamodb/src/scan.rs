//! Scan: all items of a table or index, or those of one segment.

use crate::DynamoDb;
use crate::capacity::{self, Wanted};
use crate::error::invalid;
use crate::keyspace::{before, partition_of, segment, space};
use crate::legacy;
use crate::names::TableName;
use crate::page::{Reading, Select, Source, partitions, read_page, rows};
use crate::params::{Params, attributes_to_get, check_condition, check_projection};
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

impl DynamoDb {
    pub(crate) fn scan(&self, tx: &Tx, cx: &Cx, input: &ScanInput) -> Result<ScanOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let mut params = Params::new(
            &self.parsed,
            input.expression_attribute_names.as_ref(),
            input.expression_attribute_values.as_ref(),
            &[
                ("FilterExpression", input.filter_expression.is_some()),
                ("ProjectionExpression", input.projection_expression.is_some()),
            ],
            &[
                ("AttributesToGet", input.attributes_to_get.is_some()),
                ("ScanFilter", input.scan_filter.is_some()),
                ("ConditionalOperator", input.conditional_operator.is_some()),
            ],
        )?;
        let older_projection = attributes_to_get(input.attributes_to_get.as_ref())?;
        let operator = input.conditional_operator.as_ref();
        let older = legacy::filter("ScanFilter", input.scan_filter.as_ref(), operator)?;
        let segments = segments(input)?;
        let filter =
            params.condition("FilterExpression", input.filter_expression.as_ref())?.or(older);
        let projection =
            params.projection(input.projection_expression.as_ref())?.or(older_projection);
        params.finish()?;
        let consistent = input.consistent_read == Some(true);
        let table = self.tables.get(tx, &name)?;
        let source = Source::new(&table, input.index_name.as_ref(), consistent)?;
        check_condition(&table, filter.as_ref())?;
        check_projection(&table, projection.as_ref())?;
        let by_name = if input.attributes_to_get.is_some() {
            "AttributesToGet"
        } else {
            "ProjectionExpression"
        };
        let (select, needs_items) =
            source.check_select(input.select.as_ref(), projection.as_ref(), by_name)?;
        let own = space(table.number, source.space());
        let mut scan = rows(tx, &table).prefix(&own);
        let mut bounds = (None, None);
        if let Some((number, total)) = segments {
            let at = |number| segment(table.number, source.space(), number, total);
            bounds = (at(number), at(number + 1));
        }
        if let Some(low) = &bounds.0 {
            scan = scan.from(low);
        }
        if let Some(high) = &bounds.1 {
            scan = scan.to(high);
        }
        let total = partitions(&table);
        let of = |key: &RawKey| partition_of(key, total);
        let mut first = bounds.0.as_ref().map_or(0, of);
        // A segment ends where the next one begins.
        let last = bounds.1.as_ref().map_or(total - 1, |high| of(&before(high)));
        if let Some(start) = &input.exclusive_start_key {
            let key = source.start(start)?;
            first = of(&key);
            let outside =
                bounds.0.is_some_and(|low| key < low) || bounds.1.is_some_and(|high| key >= high);
            if outside && let Some((segment, total)) = segments {
                return Err(invalid(format!(
                    "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: {total} Segment: {segment}"
                )));
            }
            scan = scan.after(&key);
        }
        let reading = Reading {
            filter: filter.as_ref(),
            projection: projection.as_ref(),
            select,
            needs_items,
            limit: input.limit.map(|limit| limit as usize),
            consistent,
            partitions: Some((first, last.max(first))),
        };
        source.reads().admit(tx)?;
        let page = read_page(tx, source, scan, &reading)?;
        source.take(tx, &page.units);
        let wanted = Wanted::of(input.return_consumed_capacity.as_ref());
        Ok(ScanOutput {
            items: (select != Select::Count).then_some(page.items),
            count: Some(page.count as i32),
            scanned_count: Some(page.scanned as i32),
            last_evaluated_key: page.last,
            consumed_capacity: capacity::of_reads(&table, wanted, &page.units),
        })
    }
}
