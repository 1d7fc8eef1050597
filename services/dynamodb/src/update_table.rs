//! UpdateTable and DeleteTable.

use crate::DynamoDb;
use crate::create_table;
use crate::describe::describe;
use crate::error::{bad_parameter, in_use, invalid};
use crate::keyspace::{TABLE_SPACE, space};
use crate::names::TableName;
use crate::rows::{HEADS, ITEMS, TABLES, TableRow, ThroughputRow};
use crate::schema::{self, NewIndex};
use crate::table::{Table, save};
use crate::{backups, jobs, streams};
use api::{Cx, Error, Tx};
use base::Timestamp;
use gen_dynamodb::errors as e;
use gen_dynamodb::*;

const GLOBAL_MAX: usize = 20;

impl DynamoDb {
    pub(crate) fn update_table(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &UpdateTableInput,
    ) -> Result<UpdateTableOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let updates = input.global_secondary_index_updates.as_deref().unwrap_or_default();
        let others = input.provisioned_throughput.is_some()
            || input.billing_mode.is_some()
            || input.stream_specification.is_some()
            || input.sse_specification.is_some()
            || input.table_class.is_some()
            || input.deletion_protection_enabled.is_some()
            || input.on_demand_throughput.is_some()
            || input.warm_throughput.is_some();
        if !others && updates.is_empty() {
            return Err(invalid(
                "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required",
            ));
        }
        check_updates(updates)?;
        let table = self.tables.settled(tx, &name)?;
        if others || !takes_back(&table, updates) {
            check_not_filling(&table)?;
        }
        let mut row = table.row.clone();
        change_billing(&mut row, input, tx.now())?;
        change_settings(&mut row, input, tx.now());
        change_stream(tx, &mut row, input)?;
        let mut status = "UPDATING";
        let mut changed = Vec::new();
        for update in updates {
            change_index(tx, &mut row, input, update)?;
            changed.extend(
                update.create.as_ref().map(|create| (create.index_name.clone(), "CREATING")),
            );
            changed.extend(
                update.update.as_ref().map(|update| (update.index_name.clone(), "UPDATING")),
            );
            if let Some(delete) = &update.delete {
                changed.push((delete.index_name.clone(), "DELETING"));
            }
        }
        if table.on_demand && !row.on_demand {
            schema::check_provisioned(&row.indexes)?;
        }
        if input.deletion_protection_enabled.is_some() && changed.is_empty() {
            status = "ACTIVE";
        }
        save(tx, &row)?;
        let deleted = table.indexes.iter().filter(|old| row.index(&old.name).is_none());
        let deleted: Vec<_> = deleted.cloned().collect();
        let mut shown = row.clone();
        shown.indexes.extend(deleted);
        let mut description = describe(tx, &Table::new(shown)?)?;
        description.table_status = Some(status.to_owned());
        for index in description.global_secondary_indexes.iter_mut().flatten() {
            let name = index.index_name.as_ref();
            if let Some((_, status)) = changed.iter().find(|(changed, _)| Some(changed) == name) {
                index.index_status = Some((*status).to_owned());
            }
        }
        Ok(UpdateTableOutput { table_description: Some(description) })
    }

    pub(crate) fn delete_table(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &DeleteTableInput,
    ) -> Result<DeleteTableOutput, Error> {
        let name = TableName::parse(cx, &input.table_name)?;
        let table = self.tables.settled(tx, &name)?;
        check_not_filling(&table)?;
        if table.deletion_protection {
            return Err(invalid(format!(
                "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first. Table: {}",
                table.arn()
            )));
        }
        if !table.pins.is_empty() {
            return Err(in_use(format!(
                "Attempt to change a resource which is still in use: Table is being backed up, restored from or exported: {}",
                table.name
            )));
        }
        let mut description = describe(tx, &table)?;
        description.table_status = Some("DELETING".into());
        description.creation_date_time = None;
        description.attribute_definitions = None;
        description.key_schema = None;
        description.global_secondary_indexes = None;
        description.local_secondary_indexes = None;
        if table.stream.is_some() {
            streams::end(tx, &table.row)?;
        }
        tx.delete(&HEADS, &table.scope, table.name.as_str())?;
        tx.delete(&TABLES, &table.scope, &table.number)?;
        match table.recovery_since {
            Some(_) => backups::keep_deleted(tx, cx, &table)?,
            None => jobs::purge(tx, &table.row, None)?,
        }
        Ok(DeleteTableOutput { table_description: Some(description) })
    }
}

/// While an index is being made, a table is not changed otherwise.
fn check_not_filling(table: &Table) -> Result<(), Error> {
    match table.indexes.iter().any(|index| index.filling) {
        false => Ok(()),
        true => Err(in_use(format!(
            "Attempt to change a resource which is still in use: Table is being updated: {}",
            table.name
        ))),
    }
}

/// Whether all that is asked for of the indexes is that the one that is being made is not.
fn takes_back(table: &Table, updates: &[GlobalSecondaryIndexUpdate]) -> bool {
    let [GlobalSecondaryIndexUpdate { delete: Some(delete), .. }] = updates else { return false };
    table.index(&delete.index_name).is_some_and(|index| index.filling)
}

impl TableRow {
    pub(crate) fn index(&self, name: &str) -> Option<&crate::rows::IndexRow> {
        self.indexes.iter().find(|index| index.name == name)
    }
}

impl ThroughputRow {
    /// Days begin at midnight UTC.
    pub(crate) fn decreases_today(&self, now: Timestamp) -> i64 {
        let day = |at: Timestamp| at.to_secs().div_euclid(86_400);
        match self.decreased.is_some_and(|decreased| day(decreased) == day(now)) {
            true => self.decreases,
            false => 0,
        }
    }
}

fn update_name(update: &GlobalSecondaryIndexUpdate) -> Option<&str> {
    let GlobalSecondaryIndexUpdate { update, create, delete } = update;
    let update = update.as_ref().map(|update| update.index_name.as_str());
    let create = create.as_ref().map(|create| create.index_name.as_str());
    update.or(create).or(delete.as_ref().map(|delete| delete.index_name.as_str()))
}

fn check_updates(updates: &[GlobalSecondaryIndexUpdate]) -> Result<(), Error> {
    let mut names: Vec<&str> = Vec::new();
    for update in updates {
        let count = usize::from(update.update.is_some())
            + usize::from(update.create.is_some())
            + usize::from(update.delete.is_some());
        if count > 1 {
            return Err(bad_parameter(
                "Only one of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete may be non-null",
            ));
        }
        let Some(name) = update_name(update) else {
            return Err(bad_parameter(
                "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null",
            ));
        };
        if names.contains(&name) {
            return Err(bad_parameter(format!(
                "Only one global secondary index update per index is allowed simultaneously. Index: {name}"
            )));
        }
        names.push(name);
    }
    let changes = updates.iter().filter(|update| update.update.is_none()).count();
    if changes > 1 {
        return Err(Error::new(
            &e::LIMIT_EXCEEDED_EXCEPTION,
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table; the limit allows one at a time",
        ));
    }
    Ok(())
}

/// New capacity, with the times of the changes.
fn changed(old: &ThroughputRow, new: ThroughputRow, now: Timestamp) -> ThroughputRow {
    let more = new.reads > old.reads || new.writes > old.writes;
    let less = new.reads < old.reads || new.writes < old.writes;
    ThroughputRow {
        increased: if more { Some(now) } else { old.increased },
        decreased: if less { Some(now) } else { old.decreased },
        decreases: old.decreases_today(now) + i64::from(less),
        ..new
    }
}

fn change_billing(
    row: &mut TableRow,
    input: &UpdateTableInput,
    now: Timestamp,
) -> Result<(), Error> {
    let throughput = input.provisioned_throughput.as_ref();
    match input.billing_mode.as_deref() {
        Some("PAY_PER_REQUEST") => {
            if throughput.is_some() {
                return Err(bad_parameter(
                    "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
                ));
            }
            if !row.on_demand {
                row.on_demand = true;
                row.on_demand_since = Some(now);
                row.throughput = ThroughputRow::default();
                row.indexes
                    .iter_mut()
                    .for_each(|index| index.throughput = ThroughputRow::default());
            }
            return Ok(());
        }
        Some("PROVISIONED") if throughput.is_none() => {
            return Err(bad_parameter(
                "ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
            ));
        }
        Some("PROVISIONED") => row.on_demand = false,
        _ => {}
    }
    let Some(throughput) = throughput else { return Ok(()) };
    if row.on_demand {
        return Err(bad_parameter(
            "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ));
    }
    let new = schema::capacity(throughput)?;
    let same = new.reads == row.throughput.reads && new.writes == row.throughput.writes;
    let only = input.billing_mode.is_none() && input.global_secondary_index_updates.is_none();
    if same && only {
        return Err(invalid(format!(
            "The provisioned throughput for the table will not change. The requested value equals the current value. Current ReadCapacityUnits provisioned for the table: {}. Requested ReadCapacityUnits: {}. Current WriteCapacityUnits provisioned for the table: {}. Requested WriteCapacityUnits: {}. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits.",
            row.throughput.reads, new.reads, row.throughput.writes, new.writes
        )));
    }
    row.throughput = changed(&row.throughput, new, now);
    Ok(())
}

fn change_settings(row: &mut TableRow, input: &UpdateTableInput, now: Timestamp) {
    if let Some(protected) = input.deletion_protection_enabled {
        row.deletion_protection = protected;
    }
    if let Some(class) = &input.table_class {
        row.class = Some(class.clone());
        row.class_since = Some(now);
    }
    if let Some(sse) = &input.sse_specification {
        let on = sse.enabled == Some(true);
        row.sse = on.then(|| sse.sse_type.clone().unwrap_or_else(|| "KMS".into()));
        row.sse_key = sse.kms_master_key_id.clone().filter(|_| on);
    }
    if let Some(limits) = &input.on_demand_throughput {
        row.max_reads = limits.max_read_request_units.or(row.max_reads);
        row.max_writes = limits.max_write_request_units.or(row.max_writes);
    }
    if let Some(warm) = &input.warm_throughput {
        row.warm_reads = warm.read_units_per_second.or(row.warm_reads);
        row.warm_writes = warm.write_units_per_second.or(row.warm_writes);
    }
}

fn change_stream(tx: &mut Tx, row: &mut TableRow, input: &UpdateTableInput) -> Result<(), Error> {
    let Some(specification) = &input.stream_specification else { return Ok(()) };
    match (create_table::stream(Some(specification))?, row.stream) {
        (Some(_), Some(_)) => {
            Err(invalid(format!("Table already has an enabled stream: TableName: {}", row.name)))
        }
        (None, None) => Err(invalid(format!(
            "Table does not have a stream to disable: its stream is already disabled: TableName: {}",
            row.name
        ))),
        (Some(view), None) => {
            row.stream = Some(view);
            streams::begin(tx, row, view)
        }
        (None, Some(_)) => {
            streams::end(tx, row)?;
            row.stream = None;
            Ok(())
        }
    }
}

fn change_index(
    tx: &mut Tx,
    row: &mut TableRow,
    input: &UpdateTableInput,
    update: &GlobalSecondaryIndexUpdate,
) -> Result<(), Error> {
    if let Some(create) = &update.create {
        return create_index(tx, row, input, create);
    }
    let name = update_name(update).unwrap_or("");
    let missing = || {
        let text = format!("Requested resource not found: no global secondary index {name}");
        Error::new(&e::RESOURCE_NOT_FOUND_EXCEPTION, text)
    };
    let at = row.indexes.iter().position(|index| index.name == name && !index.local);
    let at = at.ok_or_else(missing)?;
    if update.delete.is_some() {
        let index = row.indexes.remove(at);
        // An attribute that no key uses any more is forgotten.
        let used: Vec<String> = row
            .indexes
            .iter()
            .flat_map(crate::rows::IndexRow::keys)
            .chain([row.hash.as_str()])
            .chain(row.range.as_deref())
            .map(str::to_owned)
            .collect();
        row.attributes.retain(|name, _| used.contains(name));
        return jobs::purge(tx, row, Some(index.number as u16));
    }
    let Some(update) = &update.update else { return Ok(()) };
    let index = &mut row.indexes[at];
    if let Some(throughput) = &update.provisioned_throughput {
        if row.on_demand {
            return Err(bad_parameter(format!(
                "ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
            )));
        }
        let new = schema::capacity(throughput)?;
        index.throughput = changed(&index.throughput, new, tx.now());
    }
    let (limits, warm) = (update.on_demand_throughput.as_ref(), update.warm_throughput.as_ref());
    schema::change_limits(index, limits, warm);
    Ok(())
}

fn create_index(
    tx: &mut Tx,
    row: &mut TableRow,
    input: &UpdateTableInput,
    create: &CreateGlobalSecondaryIndexAction,
) -> Result<(), Error> {
    let definitions = schema::attributes(input.attribute_definitions.as_ref())?;
    let mut attributes = row.attributes.clone();
    for (name, kind) in &definitions {
        let old = attributes.insert(name.clone(), *kind);
        if old.is_some_and(|old| old != *kind) {
            return Err(bad_parameter(format!(
                "Attribute {name} has another type in the table: an existing AttributeDefinition cannot be redefined as a different type"
            )));
        }
    }
    if row.indexes.iter().any(|index| index.name == create.index_name) {
        return Err(invalid(format!(
            "Attempting to create an index which already exists. Duplicate index name: {}; the index already exists",
            create.index_name
        )));
    }
    let new = NewIndex {
        name: &create.index_name,
        schema: &create.key_schema,
        projection: &create.projection,
        throughput: create.provisioned_throughput.as_ref(),
        on_demand: create.on_demand_throughput.as_ref(),
        warm: create.warm_throughput.as_ref(),
    };
    // The attributes of the new index's keys must be told again.
    let index = schema::global(&new, &definitions, row.on_demand)?;
    schema::check_non_key(row.indexes.iter().chain([&index]))?;
    let own = [Some(&row.hash), row.range.as_ref()];
    let used: Vec<&str> = own
        .into_iter()
        .flatten()
        .map(String::as_str)
        .chain(row.indexes.iter().flat_map(crate::rows::IndexRow::keys))
        .chain(index.keys())
        .collect();
    schema::check_used(&definitions, used.into_iter(), true)?;
    if row.indexes.iter().filter(|index| !index.local).count() >= GLOBAL_MAX {
        return Err(Error::new(
            &e::LIMIT_EXCEEDED_EXCEPTION,
            format!("GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_MAX}"),
        ));
    }
    let number = row.next_index;
    if number >= u32::from(crate::keyspace::COLLECTION_SPACE) {
        return Err(Error::new(
            &e::LIMIT_EXCEEDED_EXCEPTION,
            "No more indexes can be made for this table",
        ));
    }
    row.next_index += 1;
    row.attributes = attributes;
    let scope = store::Scope::AccountRegion(row.account, row.region.clone());
    let own = space(row.number, TABLE_SPACE);
    let filling = tx.scan(&ITEMS, &scope).prefix(&own).next_key()?.is_some();
    row.indexes.push(crate::rows::IndexRow { number, filling, ..index });
    if filling {
        jobs::fill(tx, row, number as u16)?;
    }
    Ok(())
}
