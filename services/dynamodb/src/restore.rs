//! RestoreTableFromBackup and RestoreTableToPointInTime: a new table, which is there at once in the
//! state CREATING, and whose items a job brings.

use crate::DynamoDb;
use crate::ask::{Asks, on};
use crate::backups::{ask_restore, backup_arn, find};
use crate::copy;
use crate::create_table::start;
use crate::describe::describe;
use crate::error::{bad_parameter, invalid};
use crate::history::{earliest, pin, this_commit};
use crate::names::{TableName, arn, check_index_name};
use crate::rows::{
    BACKUPS, CopyRow, IndexRow, MomentRow, ProjectionKind, RestoredRow, TableRow, ThroughputRow,
};
use crate::schema;
use crate::table::{Table, save};
use api::{Ask, Cx, Error, Tx};
use base::Timestamp;
use gen_dynamodb::errors as e;
use gen_dynamodb::*;
use std::collections::BTreeMap;

/// What a restored table shall have otherwise than its source.
struct Overrides<'r> {
    billing: Option<&'r String>,
    globals: Option<&'r Vec<GlobalSecondaryIndex>>,
    locals: Option<&'r Vec<LocalSecondaryIndex>>,
    throughput: Option<&'r ProvisionedThroughput>,
    on_demand: Option<&'r OnDemandThroughput>,
    sse: Option<&'r SSESpecification>,
}

macro_rules! overrides {
    ($input:expr) => {
        Overrides {
            billing: $input.billing_mode_override.as_ref(),
            globals: $input.global_secondary_index_override.as_ref(),
            locals: $input.local_secondary_index_override.as_ref(),
            throughput: $input.provisioned_throughput_override.as_ref(),
            on_demand: $input.on_demand_throughput_override.as_ref(),
            sse: $input.sse_specification_override.as_ref(),
        }
    };
}

/// The new table's row, without its number. Settings that are not restored: tags, policies, expiry,
/// streams, recovery, insights, protection.
fn new_row(
    source: &TableRow,
    name: &TableName,
    from: RestoredRow,
    overrides: &Overrides<'_>,
) -> Result<TableRow, Error> {
    let mut row = TableRow {
        number: 0,
        name: name.name.clone(),
        account: name.account,
        region: name.region.clone(),
        stream: None,
        stream_label: None,
        stream_number: 0,
        deletion_protection: false,
        tags: BTreeMap::new(),
        policy: None,
        policy_revision: String::new(),
        policy_ids: Default::default(),
        ttl: None,
        ttl_changed: None,
        recovery_since: None,
        recovery_days: 0,
        insights: BTreeMap::new(),
        restored_from: Some(from),
        count: 0,
        size_bytes: 0,
        pins: BTreeMap::new(),
        coming: true,
        ..source.clone()
    };
    change_billing(&mut row, overrides)?;
    let kept = |index: &IndexRow| match (index.local, overrides.locals, overrides.globals) {
        (true, Some(locals), _) => locals.iter().any(|one| one.index_name == index.name),
        (false, _, Some(globals)) => globals.iter().any(|one| one.index_name == index.name),
        _ => true,
    };
    row.indexes.retain(kept);
    row.indexes.iter_mut().for_each(|index| index.filling = false);
    row.measures_collections = row.indexes.iter().any(|index| index.local);
    for one in overrides.locals.into_iter().flatten() {
        same_index(&mut row, &one.index_name, &one.key_schema, &one.projection)?;
    }
    for one in overrides.globals.into_iter().flatten() {
        let on_demand = row.on_demand;
        let index = same_index(&mut row, &one.index_name, &one.key_schema, &one.projection)?;
        change_capacity(index, one, on_demand)?;
    }
    if source.on_demand && !row.on_demand {
        schema::check_provisioned(&row.indexes)?;
    }
    let used: Vec<&str> = [Some(&row.hash), row.range.as_ref()]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .chain(row.indexes.iter().flat_map(IndexRow::keys))
        .collect();
    let unused = |name: &&String| !used.contains(&name.as_str());
    let unused: Vec<String> = row.attributes.keys().filter(unused).cloned().collect();
    unused.iter().for_each(|name| {
        row.attributes.remove(name);
    });
    Ok(row)
}

fn change_billing(row: &mut TableRow, overrides: &Overrides<'_>) -> Result<(), Error> {
    match (overrides.billing.map(String::as_str), overrides.throughput) {
        (Some("PAY_PER_REQUEST"), Some(_)) => {
            return Err(bad_parameter(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
            ));
        }
        (Some("PAY_PER_REQUEST"), None) => {
            row.on_demand = true;
            row.on_demand_since = Some(row.created);
            row.throughput = ThroughputRow::default();
            row.indexes.iter_mut().for_each(|index| index.throughput = ThroughputRow::default());
        }
        (Some("PROVISIONED"), None) if row.on_demand => {
            return Err(bad_parameter(
                "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
            ));
        }
        (billing, Some(throughput)) => {
            if row.on_demand && billing != Some("PROVISIONED") {
                return Err(bad_parameter(
                    "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
                ));
            }
            row.on_demand = false;
            row.throughput = schema::capacity(throughput)?;
        }
        _ => {}
    }
    if let Some(limits) = overrides.on_demand {
        row.max_reads = limits.max_read_request_units.or(row.max_reads);
        row.max_writes = limits.max_write_request_units.or(row.max_writes);
    }
    if let Some(sse) = overrides.sse {
        let on = sse.enabled == Some(true);
        row.sse = on.then(|| sse.sse_type.clone().unwrap_or_else(|| "KMS".into()));
        row.sse_key = sse.kms_master_key_id.clone().filter(|_| on);
    }
    Ok(())
}

/// An index that is named again must be the one that there was; its capacity may differ.
fn same_index<'t>(
    row: &'t mut TableRow,
    name: &str,
    keys: &[KeySchemaElement],
    wanted: &Projection,
) -> Result<&'t mut IndexRow, Error> {
    check_index_name(name)?;
    let of_kind = |kind: &'static str| {
        let keys = keys.iter().filter(move |key| key.key_type == kind);
        keys.map(|key| &key.attribute_name)
    };
    let index = row.indexes.iter_mut().find(|index| index.name == name);
    let known = index.filter(|index| {
        let (kind, mut non_key) =
            (index.projection.name(), wanted.non_key_attributes.clone().unwrap_or_default());
        let mut own = index.non_key.clone();
        own.sort_unstable();
        non_key.sort_unstable();
        of_kind("HASH").eq(&index.hash)
            && of_kind("RANGE").eq(&index.range)
            && wanted.projection_type.as_deref() == Some(kind)
            && (index.projection != ProjectionKind::Include || own == non_key)
    });
    known.ok_or_else(|| {
        invalid(format!(
            "One or more parameter values were invalid: index {name} in the override is not one of the source table"
        ))
    })
}

/// Gives an index the capacity and the limits that the override names.
fn change_capacity(
    index: &mut IndexRow,
    wanted: &GlobalSecondaryIndex,
    on_demand: bool,
) -> Result<(), Error> {
    match &wanted.provisioned_throughput {
        Some(_) if on_demand => {
            return Err(bad_parameter(format!(
                "ProvisionedThroughput should not be specified for index: {} when BillingMode is PAY_PER_REQUEST",
                index.name
            )));
        }
        Some(throughput) => index.throughput = schema::capacity(throughput)?,
        None => {}
    }
    let (limits, warm) = (wanted.on_demand_throughput.as_ref(), wanted.warm_throughput.as_ref());
    schema::change_limits(index, limits, warm);
    Ok(())
}

fn not_restorable(text: String) -> Error {
    Error::new(&e::INVALID_RESTORE_TIME_EXCEPTION, text)
}

/// Whether a time is one that a table with recovery can be seen at.
pub(crate) fn check_time(
    table: &Table,
    at: Timestamp,
    now: Timestamp,
    refuse: fn(String) -> Error,
) -> Result<MomentRow, Error> {
    let first = earliest(table, now);
    if at < first || at > now {
        return Err(refuse(format!(
            "The time must be between {} and {}",
            first.iso8601_millis(),
            now.iso8601_millis()
        )));
    }
    Ok(MomentRow { version: None, at })
}

impl DynamoDb {
    pub(crate) fn ask_restore_backup(&self, cx: &Cx, input: &RestoreTableFromBackupInput) -> Asks {
        let source = Ask::new("dynamodb:RestoreTableFromBackup", input.backup_arn.clone());
        ask_restore(cx, &input.target_table_name, vec![source])
    }

    pub(crate) fn ask_restore_time(&self, cx: &Cx, input: &RestoreTableToPointInTimeInput) -> Asks {
        let name = input.source_table_name.as_ref().or(input.source_table_arn.as_ref());
        let source = name.map(|name| on(cx, cx.operation.name, name, None));
        ask_restore(cx, &input.target_table_name, source.into_iter().collect())
    }

    /// The name of the new table, which must be free.
    fn target(&self, tx: &Tx, cx: &Cx, name: &str) -> Result<TableName, Error> {
        let name = TableName::parse(cx, name)?;
        check_index_name(&name.name)?;
        if self.tables.find(tx, &name)?.is_some() {
            let text = format!("Table already exists: {}", name.name);
            return Err(Error::new(&e::TABLE_ALREADY_EXISTS_EXCEPTION, text));
        }
        Ok(name)
    }

    pub(crate) fn restore_table_from_backup(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &RestoreTableFromBackupInput,
    ) -> Result<RestoreTableFromBackupOutput, Error> {
        let name = self.target(tx, cx, &input.target_table_name)?;
        let (scope, mut backup) = find(tx, &input.backup_arn)?;
        if !backup.ready {
            return Err(Error::new(
                &e::BACKUP_IN_USE_EXCEPTION,
                format!("Backup is being created: {}", input.backup_arn),
            ));
        }
        if name.scope() != scope {
            return Err(invalid(
                "Restoring into another account or region is not supported for this backup",
            ));
        }
        let source = &backup.table;
        let from = RestoredRow {
            backup: Some(backup_arn(&backup)),
            table: Some(arn(source.account, &source.region, &source.name)),
            at: tx.now(),
        };
        let mut row = new_row(source, &name, from, &overrides!(input))?;
        start(tx, cx, &mut row)?;
        backup.readers.insert(row.number);
        tx.put(&BACKUPS, &scope, backup.id.as_str(), &backup)?;
        let copy = CopyRow {
            from: backup.number,
            moment: None,
            backup: Some(backup.id.clone()),
            is_backup: false,
        };
        copy::begin(tx, (row.account, &row.region), row.number, &copy)?;
        let description = describe(tx, &Table::new(row)?)?;
        Ok(RestoreTableFromBackupOutput { table_description: Some(description) })
    }

    pub(crate) fn restore_table_to_point_in_time(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &RestoreTableToPointInTimeInput,
    ) -> Result<RestoreTableToPointInTimeOutput, Error> {
        let source = match (&input.source_table_name, &input.source_table_arn) {
            (Some(_), Some(_)) | (None, None) => {
                return Err(invalid(
                    "Exactly one of SourceTableArn and SourceTableName must be specified",
                ));
            }
            (Some(name), None) | (None, Some(name)) => TableName::parse(cx, name)?,
        };
        let table = self.tables.find(tx, &source)?.ok_or_else(|| {
            let text = format!("Table not found: {}", source.name);
            Error::new(&e::TABLE_NOT_FOUND_EXCEPTION, text)
        })?;
        let name = self.target(tx, cx, &input.target_table_name)?;
        if table.recovery_since.is_none() {
            let text = format!("Point in time recovery is not enabled for table '{}'", source.name);
            return Err(Error::new(&e::POINT_IN_TIME_RECOVERY_UNAVAILABLE_EXCEPTION, text));
        }
        if name.scope() != table.scope {
            return Err(invalid(
                "Restoring into another account or region is not supported for this table",
            ));
        }
        let moment = match (input.use_latest_restorable_time, input.restore_date_time) {
            (Some(true), None) => this_commit(tx),
            (Some(true), Some(_)) => {
                return Err(invalid(
                    "UseLatestRestorableTime and RestoreDateTime cannot both be specified",
                ));
            }
            (_, Some(at)) => check_time(&table, at, tx.now(), not_restorable)?,
            (_, None) => {
                return Err(invalid(
                    "One of UseLatestRestorableTime and RestoreDateTime must be specified",
                ));
            }
        };
        let from = RestoredRow { backup: None, table: Some(table.arn()), at: moment.at };
        let mut row = new_row(&table.row, &name, from, &overrides!(input))?;
        start(tx, cx, &mut row)?;
        let mut pinned = table.row.clone();
        pin(&mut pinned, row.number, moment.at);
        save(tx, &pinned)?;
        let copy =
            CopyRow { from: table.number, moment: Some(moment), backup: None, is_backup: false };
        copy::begin(tx, (row.account, &row.region), row.number, &copy)?;
        let description = describe(tx, &Table::new(row)?)?;
        Ok(RestoreTableToPointInTimeOutput { table_description: Some(description) })
    }
}
