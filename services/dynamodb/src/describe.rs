//! Tables as clients see them: DescribeTable, ListTables, and the descriptions in other answers.

use crate::DynamoDb;
use crate::keyspace::space;
use crate::names::TableName;
use crate::rows::{HEADS, ITEMS, IndexRow, TableRow, ThroughputRow};
use crate::table::Table;
use api::{Cx, Error, Tx};
use base::Timestamp;
use gen_dynamodb::*;
use store::Scope;

/// Up to so many items are counted anew for each description; more were counted by a job.
const COUNTED_MAX: usize = 1000;
const PAGE_MAX: usize = 100;
/// What AWS shows as the warm throughput of a table on demand that has had no load.
const WARM_READS: i64 = 12_000;
const WARM_WRITES: i64 = 4_000;

impl DynamoDb {
    pub(crate) fn describe_table(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &DescribeTableInput,
    ) -> Result<DescribeTableOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let table = self.tables.describe(tx, &name)?;
        Ok(DescribeTableOutput { table: Some(describe(tx, &table)?) })
    }

    pub(crate) fn list_tables(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListTablesInput,
    ) -> Result<ListTablesOutput, Error> {
        let scope = Scope::AccountRegion(cx.account, cx.region.clone());
        let limit = input.limit.map_or(PAGE_MAX, |limit| limit as usize);
        let mut scan = tx.scan(&HEADS, &scope);
        if let Some(start) = &input.exclusive_start_table_name {
            scan = scan.after(start.as_str());
        }
        let mut names: Vec<String> = scan.keys().take(limit + 1).collect::<Result<_, _>>()?;
        let more = names.len() > limit;
        names.truncate(limit);
        let last_evaluated_table_name = names.last().cloned().filter(|_| more);
        Ok(ListTablesOutput { table_names: Some(names), last_evaluated_table_name })
    }
}

/// How many rows a space has and how large they are, as long as that is quickly told.
pub(crate) fn count(tx: &Tx, table: &Table, number: u16) -> Result<Option<(u64, u64)>, Error> {
    let own = space(table.number, number);
    let (mut count, mut size) = (0, 0);
    for row in tx.scan(&ITEMS, &table.scope).prefix(&own) {
        let (_, row) = row?;
        count += 1;
        size += u64::from(row.size_bytes);
        if count > COUNTED_MAX as u64 {
            return Ok(None);
        }
    }
    Ok(Some((count, size)))
}

pub(crate) fn key_schema<'a>(
    hash: impl Iterator<Item = &'a String>,
    range: impl Iterator<Item = &'a String>,
) -> Vec<KeySchemaElement> {
    let element = |name: &String, kind: &str| KeySchemaElement {
        attribute_name: name.clone(),
        key_type: kind.to_owned(),
    };
    let hash = hash.map(|name| element(name, "HASH"));
    hash.chain(range.map(|name| element(name, "RANGE"))).collect()
}

pub(crate) fn table_keys(row: &TableRow) -> Vec<KeySchemaElement> {
    key_schema(std::iter::once(&row.hash), row.range.iter())
}

fn throughput(row: &ThroughputRow, now: Timestamp) -> ProvisionedThroughputDescription {
    ProvisionedThroughputDescription {
        last_increase_date_time: row.increased,
        last_decrease_date_time: row.decreased,
        number_of_decreases_today: Some(row.decreases_today(now)),
        read_capacity_units: Some(row.reads),
        write_capacity_units: Some(row.writes),
    }
}

pub(crate) fn projection(index: &IndexRow) -> Projection {
    Projection {
        projection_type: Some(index.projection.name().to_owned()),
        non_key_attributes: (!index.non_key.is_empty()).then(|| index.non_key.clone()),
    }
}

pub(crate) fn limits(reads: Option<i64>, writes: Option<i64>) -> Option<OnDemandThroughput> {
    (reads.is_some() || writes.is_some()).then_some(OnDemandThroughput {
        max_read_request_units: reads,
        max_write_request_units: writes,
    })
}

pub(crate) fn describe(tx: &Tx, table: &Table) -> Result<TableDescription, Error> {
    let row = &table.row;
    let (items, size) = count(tx, table, 0)?.unwrap_or((row.count, row.size_bytes));
    let filling = row.indexes.iter().any(|index| index.filling);
    let status = match (row.coming, filling) {
        (true, _) => "CREATING",
        (false, true) => "UPDATING",
        (false, false) => "ACTIVE",
    };
    let arn = table.arn();
    let (mut locals, mut globals) = (Vec::new(), Vec::new());
    for index in &row.indexes {
        let counted = count(tx, table, index.number as u16)?.unwrap_or((row.count, row.size_bytes));
        if index.local {
            locals.push(local(&arn, index, counted));
        } else {
            let described = global(&arn, index, (row.on_demand, row.coming), counted, tx.now());
            globals.push(described);
        }
    }
    let warm = (row.warm_reads, row.warm_writes);
    let warm = match row.on_demand {
        true => (warm.0.unwrap_or(WARM_READS), warm.1.unwrap_or(WARM_WRITES)),
        false => (warm.0.unwrap_or(row.throughput.reads), warm.1.unwrap_or(row.throughput.writes)),
    };
    Ok(TableDescription {
        attribute_definitions: Some(definitions(row)),
        table_name: Some(row.name.clone()),
        key_schema: Some(table_keys(row)),
        table_status: Some(status.to_owned()),
        creation_date_time: Some(row.created),
        provisioned_throughput: Some(throughput(&row.throughput, tx.now())),
        table_size_bytes: Some(size as i64),
        item_count: Some(items as i64),
        table_arn: Some(arn.clone()),
        table_id: Some(row.id.clone()),
        billing_mode_summary: row.on_demand_since.map(|since| BillingModeSummary {
            billing_mode: Some(
                if row.on_demand { "PAY_PER_REQUEST" } else { "PROVISIONED" }.into(),
            ),
            last_update_to_pay_per_request_date_time: Some(since),
        }),
        local_secondary_indexes: (!locals.is_empty()).then_some(locals),
        global_secondary_indexes: (!globals.is_empty()).then_some(globals),
        stream_specification: row.stream.map(|view| StreamSpecification {
            stream_enabled: true,
            stream_view_type: Some(view.name().to_owned()),
        }),
        latest_stream_arn: row.stream_label.as_ref().map(|label| format!("{arn}/stream/{label}")),
        latest_stream_label: row.stream_label.clone(),
        sse_description: row.sse.as_ref().map(|kind| sse(row, kind)),
        table_class_summary: row.class.as_ref().map(|class| TableClassSummary {
            table_class: Some(class.clone()),
            last_update_date_time: row.class_since,
        }),
        deletion_protection_enabled: Some(row.deletion_protection),
        on_demand_throughput: limits(row.max_reads, row.max_writes),
        warm_throughput: Some(TableWarmThroughputDescription {
            read_units_per_second: Some(warm.0),
            write_units_per_second: Some(warm.1),
            status: Some("ACTIVE".into()),
        }),
        restore_summary: row.restored_from.as_ref().map(|from| RestoreSummary {
            source_backup_arn: from.backup.clone(),
            source_table_arn: from.table.clone(),
            restore_date_time: from.at,
            restore_in_progress: row.coming,
        }),
        ..TableDescription::default()
    })
}

pub(crate) fn definitions(row: &TableRow) -> Vec<AttributeDefinition> {
    let definition = |(name, kind): (&String, &crate::rows::AttributeKind)| AttributeDefinition {
        attribute_name: name.clone(),
        attribute_type: kind.kind().name().to_owned(),
    };
    row.attributes.iter().map(definition).collect()
}

/// Keys of a service that is not there yet are kept and told.
pub(crate) fn sse(row: &TableRow, kind: &str) -> SSEDescription {
    let alias = "alias/aws/dynamodb".to_owned();
    let key = row.sse_key.clone().unwrap_or(alias);
    let kms = match key.starts_with("arn:") {
        true => key,
        false => format!(
            "arn:{}:kms:{}:{}:{}{key}",
            row.region.partition().as_str(),
            row.region,
            row.account,
            if key.starts_with("alias/") { "" } else { "key/" }
        ),
    };
    SSEDescription {
        status: Some("ENABLED".into()),
        sse_type: Some(kind.to_owned()),
        kms_master_key_arn: Some(kms),
        inaccessible_encryption_date_time: None,
    }
}

fn local(arn: &str, index: &IndexRow, counted: (u64, u64)) -> LocalSecondaryIndexDescription {
    LocalSecondaryIndexDescription {
        index_name: Some(index.name.clone()),
        key_schema: Some(key_schema(index.hash.iter(), index.range.iter())),
        projection: Some(projection(index)),
        index_size_bytes: Some(counted.1 as i64),
        item_count: Some(counted.0 as i64),
        index_arn: Some(format!("{arn}/index/{}", index.name)),
    }
}

fn global(
    arn: &str,
    index: &IndexRow,
    (on_demand, coming): (bool, bool),
    counted: (u64, u64),
    now: Timestamp,
) -> GlobalSecondaryIndexDescription {
    let (reads, writes) = match on_demand {
        true => (WARM_READS, WARM_WRITES),
        false => (index.throughput.reads, index.throughput.writes),
    };
    GlobalSecondaryIndexDescription {
        index_name: Some(index.name.clone()),
        key_schema: Some(key_schema(index.hash.iter(), index.range.iter())),
        projection: Some(projection(index)),
        index_status: Some(if index.filling || coming { "CREATING" } else { "ACTIVE" }.to_owned()),
        backfilling: index.filling.then_some(true),
        provisioned_throughput: Some(throughput(&index.throughput, now)),
        index_size_bytes: Some(counted.1 as i64),
        item_count: Some(counted.0 as i64),
        index_arn: Some(format!("{arn}/index/{}", index.name)),
        on_demand_throughput: limits(index.max_reads, index.max_writes),
        warm_throughput: Some(GlobalSecondaryIndexWarmThroughputDescription {
            read_units_per_second: Some(index.warm_reads.unwrap_or(reads)),
            write_units_per_second: Some(index.warm_writes.unwrap_or(writes)),
            status: Some("ACTIVE".into()),
        }),
    }
}
