//! CreateTable.

use crate::DynamoDb;
use crate::describe::describe;
use crate::error::{bad_parameter, in_use, invalid};
use crate::names::{TableName, check_index_name};
use crate::rows::{IndexRow, TABLES, TableRow, ThroughputRow, ViewType};
use crate::schema::{self, Attributes, Keys, NewIndex};
use crate::table::{Table, save};
use crate::{jobs, streams, tags};
use api::{Cx, Error, Tx};
use gen_dynamodb::*;
use std::collections::BTreeMap;

const LOCAL_MAX: usize = 5;
const GLOBAL_MAX: usize = 20;

impl DynamoDb {
    pub(crate) fn create_table(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &CreateTableInput,
    ) -> Result<CreateTableOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        check_index_name(&name.name)?;
        let mut row = new_row(cx, input)?;
        if let Some(text) = &input.resource_policy {
            row.policy_ids = crate::policies::check(tx, cx, text)?;
            row.policy = Some(text.clone());
        }
        if self.tables.find(tx, &name)?.is_some() {
            return Err(in_use(format!("Table already exists: {}", name.name)));
        }
        row.name = name.name.clone();
        (row.account, row.region) = (name.account, name.region.clone());
        start(tx, cx, &mut row)?;
        let mut description = describe(tx, &Table::new(row)?)?;
        description.table_status = Some("CREATING".into());
        for index in description.global_secondary_indexes.iter_mut().flatten() {
            index.index_status = Some("CREATING".into());
        }
        Ok(CreateTableOutput { table_description: Some(description) })
    }
}

/// Gives a new table its number, its stream and its jobs, and keeps it.
pub(crate) fn start(tx: &mut Tx, cx: &Cx, row: &mut TableRow) -> Result<(), Error> {
    let scope = store::Scope::AccountRegion(row.account, row.region.clone());
    // One commit may make several tables.
    let mut number = (tx.version() + 1) << 8;
    while tx.exists(&TABLES, &scope, &number)? {
        number += 1;
    }
    row.number = number;
    row.created = tx.now();
    row.on_demand_since = row.on_demand.then_some(row.created);
    row.id = cx.entropy.uuid();
    row.measures_collections = row.indexes.iter().any(|index| index.local);
    if row.policy.is_some() {
        row.policy_revision = cx.entropy.uuid();
    }
    if let Some(view) = row.stream {
        streams::begin(tx, row, view)?;
    }
    jobs::count_later(tx, row)?;
    save(tx, row)
}

/// The table that a request describes, without its name and number.
pub(crate) fn new_row(cx: &Cx, input: &CreateTableInput) -> Result<TableRow, Error> {
    let on_demand = input.billing_mode.as_deref() == Some("PAY_PER_REQUEST");
    let throughput = throughput(on_demand, input.provisioned_throughput.as_ref())?;
    let attributes = schema::attributes(input.attribute_definitions.as_ref())?;
    let schema_elements = input.key_schema.as_deref().unwrap_or_default();
    let keys = schema::keys(schema_elements, &attributes, false)?;
    let indexes = indexes(input, &attributes, &keys, on_demand)?;
    let used = keys.hash.iter().chain(&keys.range).map(String::as_str);
    let used = used.chain(indexes.iter().flat_map(IndexRow::keys));
    schema::check_used(&attributes, used, !indexes.is_empty())?;
    let stream = stream(input.stream_specification.as_ref())?;
    let sse = input.sse_specification.as_ref().filter(|sse| sse.enabled == Some(true));
    let on_demand_limits = input.on_demand_throughput.as_ref();
    let warm = input.warm_throughput.as_ref();
    Ok(TableRow {
        number: 0,
        name: String::new(),
        account: cx.account,
        region: cx.region.clone(),
        created: cx.now(),
        id: String::new(),
        attributes,
        hash: keys.hash[0].clone(),
        range: keys.range.first().cloned(),
        next_index: indexes.len() as u32 + 1,
        indexes,
        on_demand,
        throughput,
        on_demand_since: None,
        stream,
        stream_label: None,
        stream_number: 0,
        deletion_protection: input.deletion_protection_enabled == Some(true),
        tags: tags::of_new(input.tags.as_deref().unwrap_or_default())?,
        policy: None,
        policy_revision: String::new(),
        policy_ids: Default::default(),
        measures_collections: false,
        class: input.table_class.clone(),
        ttl: None,
        recovery_since: None,
        recovery_days: 0,
        max_reads: on_demand_limits.and_then(|limits| limits.max_read_request_units),
        max_writes: on_demand_limits.and_then(|limits| limits.max_write_request_units),
        warm_reads: warm.and_then(|warm| warm.read_units_per_second),
        warm_writes: warm.and_then(|warm| warm.write_units_per_second),
        sse: sse.map(|sse| sse.sse_type.clone().unwrap_or_else(|| "KMS".into())),
        sse_key: sse.and_then(|sse| sse.kms_master_key_id.clone()),
        insights: BTreeMap::new(),
        class_since: None,
        ttl_changed: None,
        restored_from: None,
        count: 0,
        size_bytes: 0,
        pins: BTreeMap::new(),
        coming: false,
    })
}

fn throughput(
    on_demand: bool,
    throughput: Option<&ProvisionedThroughput>,
) -> Result<ThroughputRow, Error> {
    match (on_demand, throughput) {
        (true, Some(_)) => Err(bad_parameter(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        )),
        (true, None) => Ok(ThroughputRow::default()),
        (false, None) => Err(bad_parameter(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        )),
        (false, Some(throughput)) => schema::capacity(throughput),
    }
}

pub(crate) fn stream(
    specification: Option<&StreamSpecification>,
) -> Result<Option<ViewType>, Error> {
    let Some(StreamSpecification { stream_enabled, stream_view_type }) = specification else {
        return Ok(None);
    };
    match (stream_enabled, stream_view_type) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(bad_parameter(
            "StreamViewType cannot be specified when StreamEnabled is false: Table stream is disabled",
        )),
        (true, None) => {
            Err(bad_parameter("StreamViewType must be specified when StreamEnabled is true"))
        }
        (true, Some(text)) => {
            let view = ViewType::parse(text);
            view.map(Some).ok_or_else(|| bad_parameter(format!("Unknown StreamViewType: {text}")))
        }
    }
}

fn indexes(
    input: &CreateTableInput,
    attributes: &Attributes,
    keys: &Keys,
    on_demand: bool,
) -> Result<Vec<IndexRow>, Error> {
    let mut all: Vec<IndexRow> = Vec::new();
    let mut add = |row: IndexRow| {
        if all.iter().any(|other| other.name == row.name) {
            return Err(bad_parameter(format!("Duplicate index name: {}", row.name)));
        }
        let number = all.len() as u32 + 1;
        all.push(IndexRow { number, ..row });
        Ok(())
    };
    if let Some(locals) = &input.local_secondary_indexes {
        check_count(locals.len(), "LocalSecondaryIndexes")?;
        if keys.range.is_empty() {
            return Err(bad_parameter(
                "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
            ));
        }
        for local in locals {
            let new = NewIndex {
                name: &local.index_name,
                schema: &local.key_schema,
                projection: &local.projection,
                throughput: None,
                on_demand: None,
                warm: None,
            };
            add(schema::local(&new, attributes, keys)?)?;
        }
        if locals.len() > LOCAL_MAX {
            return Err(bad_parameter(format!(
                "Number of LocalSecondaryIndexes exceeds per-table limit of {LOCAL_MAX}"
            )));
        }
    }
    if let Some(globals) = &input.global_secondary_indexes {
        check_count(globals.len(), "GlobalSecondaryIndexes")?;
        for global in globals {
            let new = NewIndex {
                name: &global.index_name,
                schema: &global.key_schema,
                projection: &global.projection,
                throughput: global.provisioned_throughput.as_ref(),
                on_demand: global.on_demand_throughput.as_ref(),
                warm: global.warm_throughput.as_ref(),
            };
            add(schema::global(&new, attributes, on_demand)?)?;
        }
        if globals.len() > GLOBAL_MAX {
            return Err(bad_parameter(format!(
                "GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_MAX}"
            )));
        }
    }
    schema::check_non_key(&all)?;
    Ok(all)
}

fn check_count(count: usize, member: &str) -> Result<(), Error> {
    if count == 0 {
        return Err(invalid(format!(
            "One or more parameter values were invalid: List of {member} is empty"
        )));
    }
    Ok(())
}
