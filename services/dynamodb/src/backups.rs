//! Backups on demand, and those of deleted tables; point-in-time recovery switched on and off.
//!
//! A backup is a table nobody can name: its items stand under a number of its own, without entries of
//! indexes. A table with recovery that is deleted leaves its items where they are, as such a backup.

use crate::DynamoDb;
use crate::ask::{Asks, on};
use crate::describe::{count, key_schema, limits, projection, sse, table_keys};
use crate::error::{bad_parameter, invalid};
use crate::history::{self, DAY_MS, earliest, pin, this_commit};
use crate::jobs::{ATTEMPTS_MAX, failed, scope_of};
use crate::names::{TableName, arn, split_arn};
use crate::rows::{BACKUPS, BackupRow, CopyRow, IndexRow, TableRow};
use crate::table::{Table, save};
use crate::{copy, jobs};
use api::{Ask, Cx, Error, Tx};
use base::{AccountId, Region, Timestamp};
use gen_dynamodb::errors as e;
use gen_dynamodb::*;
use std::collections::BTreeSet;
use store::{JobKind, JobOutcome, Jobs, Scope};

/// Backups whose time is over, by their id.
const EXPIRE_BACKUP: JobKind<(AccountId, Region, String)> =
    JobKind::new(0x0409, "dynamodb.expire-backup");

/// How long the backup of a deleted table is kept.
const KEPT_DAYS: i64 = 35;
const RECOVERY_DAYS: i32 = 35;
const PAGE_MAX: usize = 100;

pub(crate) fn backup_arn(backup: &BackupRow) -> String {
    let table = &backup.table;
    format!("{}/backup/{}", arn(table.account, &table.region, &table.name), backup.id)
}

/// The scope and the id of a backup's ARN.
pub(crate) fn parse_arn(text: &str) -> Result<(Scope, String), Error> {
    let bad = || invalid(format!("Invalid backup ARN: {text}"));
    let (table, sub) = split_arn(text).ok_or_else(bad)?;
    let id = sub.strip_prefix("backup/").ok_or_else(bad)?.to_owned();
    Ok((table.scope(), id))
}

pub(crate) fn find(tx: &Tx, text: &str) -> Result<(Scope, BackupRow), Error> {
    let (scope, id) = parse_arn(text)?;
    let backup = tx.get(&BACKUPS, &scope, id.as_str())?;
    let backup = backup.filter(|backup| backup_arn(backup) == text);
    let backup = backup.ok_or_else(|| {
        Error::new(&e::BACKUP_NOT_FOUND_EXCEPTION, format!("Backup not found: {text}"))
    })?;
    Ok((scope, backup))
}

fn no_table(name: &TableName) -> Error {
    Error::new(&e::TABLE_NOT_FOUND_EXCEPTION, format!("Table not found: {}", name.name))
}

/// `01489602797149-73d8d5bc`: when it was made, and chance.
pub(crate) fn new_id(cx: &Cx, now: Timestamp) -> String {
    format!("{:014}-{}", now.to_millis(), cx.entropy.text(b"0123456789abcdef", 8))
}

fn status(backup: &BackupRow) -> &'static str {
    if backup.ready { "AVAILABLE" } else { "CREATING" }
}

fn kind(backup: &BackupRow) -> &'static str {
    if backup.by_system { "SYSTEM" } else { "USER" }
}

fn details(backup: &BackupRow) -> BackupDetails {
    BackupDetails {
        backup_arn: backup_arn(backup),
        backup_name: backup.name.clone(),
        backup_size_bytes: Some(backup.size_bytes as i64),
        backup_status: status(backup).into(),
        backup_type: kind(backup).into(),
        backup_creation_date_time: backup.created,
        backup_expiry_date_time: backup.expires,
    }
}

fn description(backup: &BackupRow) -> BackupDescription {
    let row = &backup.table;
    let throughput = |row: &crate::rows::ThroughputRow| ProvisionedThroughput {
        read_capacity_units: row.reads,
        write_capacity_units: row.writes,
    };
    let keys = |index: &IndexRow| key_schema(index.hash.iter(), index.range.iter());
    let locals = row.indexes.iter().filter(|index| index.local);
    let locals: Vec<_> = locals
        .map(|index| LocalSecondaryIndexInfo {
            index_name: Some(index.name.clone()),
            key_schema: Some(keys(index)),
            projection: Some(projection(index)),
        })
        .collect();
    let globals = row.indexes.iter().filter(|index| !index.local);
    let globals: Vec<_> = globals
        .map(|index| GlobalSecondaryIndexInfo {
            index_name: Some(index.name.clone()),
            key_schema: Some(keys(index)),
            projection: Some(projection(index)),
            provisioned_throughput: (!row.on_demand).then(|| throughput(&index.throughput)),
            on_demand_throughput: limits(index.max_reads, index.max_writes),
        })
        .collect();
    let billing = if row.on_demand { "PAY_PER_REQUEST" } else { "PROVISIONED" };
    BackupDescription {
        backup_details: Some(details(backup)),
        source_table_details: Some(SourceTableDetails {
            table_name: row.name.clone(),
            table_id: row.id.clone(),
            table_arn: Some(arn(row.account, &row.region, &row.name)),
            table_size_bytes: Some(row.size_bytes as i64),
            key_schema: table_keys(row),
            table_creation_date_time: row.created,
            provisioned_throughput: throughput(&row.throughput),
            on_demand_throughput: limits(row.max_reads, row.max_writes),
            item_count: Some(row.count as i64),
            billing_mode: Some(billing.into()),
        }),
        source_table_feature_details: Some(SourceTableFeatureDetails {
            local_secondary_indexes: (!locals.is_empty()).then_some(locals),
            global_secondary_indexes: (!globals.is_empty()).then_some(globals),
            stream_description: row.stream.map(|view| StreamSpecification {
                stream_enabled: true,
                stream_view_type: Some(view.name().to_owned()),
            }),
            time_to_live_description: row.ttl.as_ref().map(|name| TimeToLiveDescription {
                time_to_live_status: Some("ENABLED".into()),
                attribute_name: Some(name.clone()),
            }),
            sse_description: row.sse.as_ref().map(|kind| sse(row, kind)),
            ..SourceTableFeatureDetails::default()
        }),
    }
}

/// What a backup says of its table: without what belongs to the table's life alone.
fn snapshot(tx: &Tx, table: &Table) -> Result<TableRow, Error> {
    let mut row = table.row.clone();
    if let Some((items, size)) = count(tx, table, crate::keyspace::TABLE_SPACE)? {
        (row.count, row.size_bytes) = (items, size);
    }
    row.pins.clear();
    Ok(row)
}

/// Turns a table that is deleted into a backup: its items stay where they are.
pub(crate) fn keep_deleted(tx: &mut Tx, cx: &Cx, table: &Table) -> Result<(), Error> {
    let row = snapshot(tx, table)?;
    let expires = tx.now().plus_millis(KEPT_DAYS * DAY_MS);
    let backup = BackupRow {
        id: new_id(cx, tx.now()),
        number: row.number,
        name: format!("{}$DeletedTableBackup", row.name),
        created: tx.now(),
        ready: true,
        by_system: true,
        expires: Some(expires),
        count: row.count,
        size_bytes: row.size_bytes,
        readers: BTreeSet::new(),
        table: row,
    };
    let key = (table.account, table.region.clone(), backup.id.clone());
    tx.put(&BACKUPS, &table.scope, backup.id.as_str(), &backup)?;
    tx.enqueue_at(&EXPIRE_BACKUP, &key, expires)?;
    for index in &table.indexes {
        jobs::purge(tx, &table.row, Some(index.number as u16))?;
    }
    jobs::purge(tx, &table.row, Some(crate::keyspace::COLLECTION_SPACE))?;
    jobs::purge(tx, &table.row, Some(crate::keyspace::TTL_SPACE))?;
    history::forget(tx, &table.row)
}

/// Takes a backup away with its items.
pub(crate) fn remove(tx: &mut Tx, scope: &Scope, backup: &BackupRow) -> Result<(), Error> {
    tx.mark_freeing();
    tx.delete(&BACKUPS, scope, backup.id.as_str())?;
    jobs::purge_rows(tx, &backup.table, backup.number)
}

pub(crate) fn register(jobs: &mut Jobs) {
    jobs.register(&EXPIRE_BACKUP, ATTEMPTS_MAX, |tx, _, (account, region, id)| {
        let scope = scope_of(account, &region);
        let Some(backup) = tx.get(&BACKUPS, &scope, id.as_str())? else {
            return Ok(JobOutcome::Done);
        };
        if !backup.readers.is_empty() {
            return Ok(JobOutcome::Again(tx.now().plus_millis(60_000)));
        }
        remove(tx, &scope, &backup).map_err(failed)?;
        Ok(JobOutcome::Done)
    });
}

impl DynamoDb {
    pub(crate) fn create_backup(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &CreateBackupInput,
    ) -> Result<CreateBackupOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let table = self.tables.find(tx, &name)?.ok_or_else(|| no_table(&name))?;
        if table.coming {
            return Err(Error::new(
                &e::TABLE_IN_USE_EXCEPTION,
                format!("Table is being created: {}", name.name),
            ));
        }
        // Tables and backups share their numbers, and one commit makes one of either.
        let number = (tx.version() + 1) << 8;
        let mut backup = BackupRow {
            id: new_id(cx, tx.now()),
            number,
            name: input.backup_name.clone(),
            table: snapshot(tx, &table)?,
            created: tx.now(),
            ready: false,
            by_system: false,
            expires: None,
            count: 0,
            size_bytes: 0,
            readers: BTreeSet::new(),
        };
        backup.size_bytes = backup.table.size_bytes;
        tx.put(&BACKUPS, &table.scope, backup.id.as_str(), &backup)?;
        let mut row = table.row.clone();
        pin(&mut row, number, tx.now());
        save(tx, &row)?;
        let copy = CopyRow {
            from: row.number,
            moment: Some(this_commit(tx)),
            backup: Some(backup.id.clone()),
            is_backup: true,
        };
        copy::begin(tx, (row.account, &row.region), number, &copy)?;
        Ok(CreateBackupOutput { backup_details: Some(details(&backup)) })
    }

    pub(crate) fn describe_backup(
        &self,
        tx: &Tx,
        _: &Cx,
        input: &DescribeBackupInput,
    ) -> Result<DescribeBackupOutput, Error> {
        let (_, backup) = find(tx, &input.backup_arn)?;
        Ok(DescribeBackupOutput { backup_description: Some(description(&backup)) })
    }

    pub(crate) fn delete_backup(
        &self,
        tx: &mut Tx,
        _: &Cx,
        input: &DeleteBackupInput,
    ) -> Result<DeleteBackupOutput, Error> {
        let (scope, backup) = find(tx, &input.backup_arn)?;
        if !backup.ready || !backup.readers.is_empty() {
            return Err(Error::new(
                &e::BACKUP_IN_USE_EXCEPTION,
                format!("Backup is being created or restored: {}", input.backup_arn),
            ));
        }
        remove(tx, &scope, &backup)?;
        let mut description = description(&backup);
        if let Some(details) = &mut description.backup_details {
            details.backup_status = "DELETED".into();
        }
        Ok(DeleteBackupOutput { backup_description: Some(description) })
    }

    pub(crate) fn list_backups(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListBackupsInput,
    ) -> Result<ListBackupsOutput, Error> {
        let scope = Scope::AccountRegion(cx.account, cx.region.clone());
        let table = match &input.table_name {
            Some(name) => Some(TableName::parse(cx, name)?),
            None => None,
        };
        let wanted = |backup: &BackupRow| {
            let kind = match input.backup_type.as_deref() {
                Some("ALL") => true,
                Some("SYSTEM") => backup.by_system,
                Some("AWS_BACKUP") => false,
                _ => !backup.by_system,
            };
            kind && table.as_ref().is_none_or(|table| table.name == backup.table.name)
                && input.time_range_lower_bound.is_none_or(|low| backup.created >= low)
                && input.time_range_upper_bound.is_none_or(|high| backup.created < high)
        };
        let limit = input.limit.map_or(PAGE_MAX, |limit| limit as usize);
        let mut scan = tx.scan(&BACKUPS, &scope);
        if let Some(start) = &input.exclusive_start_backup_arn {
            let (_, id) = parse_arn(start)?;
            scan = scan.after(id.as_str());
        }
        let (mut all, mut more) = (Vec::new(), false);
        for row in scan {
            let (_, backup) = row?;
            if !wanted(&backup) {
                continue;
            }
            if all.len() == limit {
                more = true;
                break;
            }
            all.push(backup);
        }
        let last = all.last().filter(|_| more).map(backup_arn);
        let summary = |backup: &BackupRow| BackupSummary {
            table_name: Some(backup.table.name.clone()),
            table_id: Some(backup.table.id.clone()),
            table_arn: Some(arn(backup.table.account, &backup.table.region, &backup.table.name)),
            backup_arn: Some(backup_arn(backup)),
            backup_name: Some(backup.name.clone()),
            backup_creation_date_time: Some(backup.created),
            backup_expiry_date_time: backup.expires,
            backup_status: Some(status(backup).into()),
            backup_type: Some(kind(backup).into()),
            backup_size_bytes: Some(backup.size_bytes as i64),
        };
        Ok(ListBackupsOutput {
            backup_summaries: Some(all.iter().map(summary).collect()),
            last_evaluated_backup_arn: last,
        })
    }

    pub(crate) fn update_continuous_backups(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &UpdateContinuousBackupsInput,
    ) -> Result<UpdateContinuousBackupsOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let table = self.tables.find(tx, &name)?.ok_or_else(|| no_table(&name))?;
        if table.coming {
            return Err(Error::new(
                &e::CONTINUOUS_BACKUPS_UNAVAILABLE_EXCEPTION,
                format!(
                    "Backups are being enabled for the table: {}. Please retry later",
                    name.name
                ),
            ));
        }
        let PointInTimeRecoverySpecification {
            point_in_time_recovery_enabled: enabled,
            recovery_period_in_days: days,
        } = input.point_in_time_recovery_specification;
        if days.is_some_and(|days| !(1..=RECOVERY_DAYS).contains(&days)) {
            return Err(bad_parameter(format!(
                "RecoveryPeriodInDays must be between 1 and {RECOVERY_DAYS}"
            )));
        }
        let mut row = table.row.clone();
        if enabled {
            row.recovery_since = row.recovery_since.or(Some(tx.now()));
            row.recovery_days = days.unwrap_or(RECOVERY_DAYS) as u32;
        } else {
            row.recovery_since = None;
        }
        save(tx, &row)?;
        history::forget(tx, &row)?;
        let description = continuous_backups(&Table::new(row)?, tx.now());
        Ok(UpdateContinuousBackupsOutput { continuous_backups_description: Some(description) })
    }

    pub(crate) fn describe_continuous_backups(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &DescribeContinuousBackupsInput,
    ) -> Result<DescribeContinuousBackupsOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let table = self.tables.find(tx, &name)?.ok_or_else(|| no_table(&name))?;
        let description = continuous_backups(&table, tx.now());
        Ok(DescribeContinuousBackupsOutput { continuous_backups_description: Some(description) })
    }
}

/// A state can be asked for up to now: unlike the original's, nothing lags behind.
fn continuous_backups(table: &Table, now: Timestamp) -> ContinuousBackupsDescription {
    let on = table.recovery_since.is_some();
    ContinuousBackupsDescription {
        continuous_backups_status: "ENABLED".into(),
        point_in_time_recovery_description: Some(PointInTimeRecoveryDescription {
            point_in_time_recovery_status: Some(if on { "ENABLED" } else { "DISABLED" }.into()),
            recovery_period_in_days: on.then_some(table.recovery_days as i32),
            earliest_restorable_date_time: on.then(|| earliest(table, now)),
            latest_restorable_date_time: on.then_some(now),
        }),
    }
}

/// A new table is made of a backup or of a past: with all that its items can be read by.
pub(crate) fn ask_restore(cx: &Cx, target: &str, source: Vec<Ask>) -> Asks {
    const ACTIONS: [&str; 7] =
        ["BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"];
    let mut asks = source;
    asks.push(on(cx, cx.operation.name, target, None));
    asks.extend(ACTIONS.map(|action| on(cx, action, target, None)));
    Ok(asks)
}
