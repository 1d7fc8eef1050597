//! ExportTableToPointInTime, DescribeExport, ListExports.

use super::{CallerRow, EXPORT, Listing, status, with_token};
use crate::DynamoDb;
use crate::ask::{Asks, on};
use crate::backups::new_id;
use crate::error::invalid;
use crate::history::{earliest, pin, this_commit};
use crate::names::{TableName, bad_arn, split_arn};
use crate::restore::check_time;
use crate::rows::MomentRow;
use crate::table::save;
use api::{Ask, Cx, Error, Tx};
use base::{AccountId, Region, Timestamp};
use gen_dynamodb::errors as e;
use gen_dynamodb::*;
use store::{Scope, Table, row};

/// By the last part of the export's ARN.
pub(crate) const EXPORTS: Table<String, ExportRow> = Table::new(0x040c, "dynamodb.export");
/// Files of an export, by its id and their number.
pub(crate) const FILES: Table<(String, u32), FileRow> = Table::new(0x040d, "dynamodb.export-file");

row! {
    pub struct ExportRow {
        1 => id: String,
        /// The table, and what of it is wanted.
        2 => account: AccountId,
        3 => region: Region,
        4 => table: String,
        5 => table_id: String,
        6 => number: u64,
        /// Under which the table's past is kept for it.
        7 => pin: u64,
        8 => moment: MomentRow,
        /// Of an incremental one: since when, and whether what was before is told.
        9 => from: Option<MomentRow>,
        10 => old_images: bool,
        /// Where it goes, and as whom.
        11 => bucket: String,
        12 => bucket_owner: Option<String>,
        13 => prefix: Option<String>,
        14 => sse: Option<String>,
        15 => sse_key: Option<String>,
        16 => caller: CallerRow,
        17 => token: Option<String>,
        18 => started: Timestamp,
        19 => ended: Option<Timestamp>,
        20 => failure: Option<String>,
        21 => failure_text: Option<String>,
        /// How far it is.
        22 => begun: bool,
        23 => after: Vec<u8>,
        24 => all_written: bool,
        25 => files: u32,
        26 => item_count: u64,
        27 => size_bytes: u64,
        /// Names of the key, for incremental ones.
        28 => keys: Vec<String>,
    }

    pub struct FileRow {
        1 => key: String,
        2 => item_count: u64,
        /// In Base64.
        3 => md5: String,
        4 => e_tag: String,
    }
}

impl ExportRow {
    pub fn arn(&self) -> String {
        format!("{}/export/{}", crate::names::arn(self.account, &self.region, &self.table), self.id)
    }

    pub fn scope(&self) -> Scope {
        Scope::AccountRegion(self.account, self.region.clone())
    }

    fn under(&self, rest: &str) -> String {
        match self.prefix.as_deref().map(|prefix| prefix.trim_end_matches('/')) {
            Some(prefix) if !prefix.is_empty() => format!("{prefix}/AWSDynamoDB/{rest}"),
            _ => format!("AWSDynamoDB/{rest}"),
        }
    }

    /// The key of one of its own files.
    pub fn key(&self, file: &str) -> String {
        self.under(&format!("{}/{file}", self.id))
    }

    /// The key of a file with data; those of incremental exports lie together.
    pub fn data_key(&self, file: &str) -> String {
        match self.from {
            Some(_) => self.under(&format!("data/{file}")),
            None => self.key(&format!("data/{file}")),
        }
    }

    pub fn manifest(&self) -> String {
        self.key("manifest-summary.json")
    }

    fn status(&self) -> &'static str {
        status(self.ended, self.failure.as_ref())
    }

    pub fn kind(&self) -> &'static str {
        if self.from.is_some() { "INCREMENTAL_EXPORT" } else { "FULL_EXPORT" }
    }

    pub fn view(&self) -> &'static str {
        if self.old_images { "NEW_AND_OLD_IMAGES" } else { "NEW_IMAGE" }
    }

    fn describe(&self) -> ExportDescription {
        let done = self.ended.is_some() && self.failure.is_none();
        ExportDescription {
            export_arn: Some(self.arn()),
            export_status: Some(self.status().into()),
            start_time: Some(self.started),
            end_time: self.ended,
            export_manifest: done.then(|| self.manifest()),
            table_arn: Some(crate::names::arn(self.account, &self.region, &self.table)),
            table_id: Some(self.table_id.clone()),
            export_time: self.from.is_none().then_some(self.moment.at),
            client_token: self.token.clone(),
            s3_bucket: Some(self.bucket.clone()),
            s3_bucket_owner: self.bucket_owner.clone(),
            s3_prefix: self.prefix.clone(),
            s3_sse_algorithm: self.sse.clone(),
            s3_sse_kms_key_id: self.sse_key.clone(),
            failure_code: self.failure.clone(),
            failure_message: self.failure_text.clone(),
            export_format: Some("DYNAMODB_JSON".into()),
            billed_size_bytes: done.then_some(self.size_bytes as i64),
            item_count: done.then_some(self.item_count as i64),
            export_type: Some(self.kind().into()),
            incremental_export_specification: self.from.map(|from| {
                IncrementalExportSpecification {
                    export_from_time: Some(from.at),
                    export_to_time: Some(self.moment.at),
                    export_view_type: Some(self.view().into()),
                }
            }),
            ..ExportDescription::default()
        }
    }

    /// Whether another request with the same token asks for the same; `times`: it names the end itself.
    fn is_same(&self, other: &ExportRow, times: bool) -> bool {
        self.number == other.number
            && self.bucket == other.bucket
            && self.bucket_owner == other.bucket_owner
            && self.prefix == other.prefix
            && self.sse == other.sse
            && self.sse_key == other.sse_key
            && self.from.map(|from| from.at) == other.from.map(|from| from.at)
            && self.old_images == other.old_images
            && (!times || self.moment.at == other.moment.at)
    }
}

/// An ARN in which a table's stands before this.
pub(crate) fn split(text: &str, what: &str) -> Result<(TableName, String), Error> {
    let (table, sub) = split_arn(text).ok_or_else(|| bad_arn(text))?;
    let id = sub.strip_prefix(what).ok_or_else(|| bad_arn(text))?.to_owned();
    Ok((table, id))
}

fn bad_time(text: String) -> Error {
    Error::new(&e::INVALID_EXPORT_TIME_EXCEPTION, text)
}

/// What of the past is wanted: its end, its beginning for incremental ones, and with old images.
fn wanted(
    tx: &Tx,
    table: &crate::table::Table,
    input: &ExportTableToPointInTimeInput,
) -> Result<(MomentRow, Option<MomentRow>, bool), Error> {
    let now = tx.now();
    if input.export_type.as_deref() != Some("INCREMENTAL_EXPORT") {
        if input.incremental_export_specification.is_some() {
            return Err(invalid(
                "IncrementalExportSpecification can only be specified when ExportType is INCREMENTAL_EXPORT",
            ));
        }
        let moment = match input.export_time {
            Some(at) => check_time(table, at, now, bad_time)?,
            None => this_commit(tx),
        };
        return Ok((moment, None, false));
    }
    if input.export_time.is_some() {
        return Err(invalid(
            "ExportTime cannot be specified when ExportType is INCREMENTAL_EXPORT",
        ));
    }
    let specification = input.incremental_export_specification.clone().unwrap_or_default();
    let Some(from) = specification.export_from_time else {
        return Err(invalid("ExportFromTime must be specified for an incremental export"));
    };
    let to = specification.export_to_time.unwrap_or(now);
    if from >= to {
        return Err(bad_time("ExportFromTime must be before ExportToTime".into()));
    }
    // The beginning itself is told to the second, and recovery may have begun within it.
    let from = from.max(earliest(table, now).min(from.plus_millis(999)));
    let from = check_time(table, from, now, bad_time)?;
    let to = check_time(table, to, now, bad_time)?;
    let old_images = specification.export_view_type.as_deref() != Some("NEW_IMAGE");
    Ok((to, Some(from), old_images))
}

/// An export that has not begun.
fn new_row(
    tx: &Tx,
    cx: &Cx,
    name: &TableName,
    table: &crate::table::Table,
    input: &ExportTableToPointInTimeInput,
) -> Result<ExportRow, Error> {
    let (moment, from, old_images) = wanted(tx, table, input)?;
    Ok(ExportRow {
        id: new_id(cx, tx.now()),
        account: name.account,
        region: name.region.clone(),
        table: name.name.clone(),
        table_id: table.id.clone(),
        number: table.number,
        pin: (tx.version() + 1) << 8,
        moment,
        from,
        old_images,
        bucket: input.s3_bucket.clone(),
        bucket_owner: input.s3_bucket_owner.clone(),
        prefix: input.s3_prefix.clone(),
        sse: input.s3_sse_algorithm.clone().or(Some("AES256".into())),
        sse_key: input.s3_sse_kms_key_id.clone(),
        caller: CallerRow::of(cx),
        token: input.client_token.clone(),
        started: tx.now(),
        ended: None,
        failure: None,
        failure_text: None,
        begun: false,
        after: Vec::new(),
        all_written: false,
        files: 0,
        item_count: 0,
        size_bytes: 0,
        keys: table.keys().map(str::to_owned).collect(),
    })
}

impl DynamoDb {
    /// Permission for the table, and for all that is going to be written.
    pub(crate) fn ask_export(&self, cx: &Cx, input: &ExportTableToPointInTimeInput) -> Asks {
        let prefix = input.s3_prefix.as_deref().map_or("", |prefix| prefix.trim_end_matches('/'));
        let slash = if prefix.is_empty() { "" } else { "/" };
        let (partition, bucket) = (cx.partition(), &input.s3_bucket);
        let objects =
            format!("arn:{}:s3:::{bucket}/{prefix}{slash}AWSDynamoDB/*", partition.as_str());
        Ok(vec![
            on(cx, "ExportTableToPointInTime", &input.table_arn, None),
            Ask::new("s3:PutObject", objects),
        ])
    }

    pub(crate) fn export_table_to_point_in_time(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &ExportTableToPointInTimeInput,
    ) -> Result<ExportTableToPointInTimeOutput, Error> {
        if input.export_format.as_deref() == Some("ION") {
            return Err(Error::with_code(
                "NotImplemented",
                501,
                "ExportFormat ION is not implemented",
            ));
        }
        let name = TableName::parse(cx, &input.table_arn)?;
        let table =
            self.tables.find(tx, &name)?.filter(|table| !table.coming).ok_or_else(|| {
                let text = format!("Table not found: {}", name.name);
                Error::new(&e::TABLE_NOT_FOUND_EXCEPTION, text)
            })?;
        if table.recovery_since.is_none() {
            return Err(Error::new(
                &e::POINT_IN_TIME_RECOVERY_UNAVAILABLE_EXCEPTION,
                format!("Point in time recovery is not enabled for table '{}'", name.name),
            ));
        }
        let row = new_row(tx, cx, &name, &table, input)?;
        if let Some(known) = with_token(tx, &EXPORTS, &row.scope(), row.token.as_ref(), |row| {
            (row.token.as_ref(), row.started)
        })? {
            let to = input.incremental_export_specification.as_ref();
            let times = input.export_time.or(to.and_then(|to| to.export_to_time)).is_some();
            if !known.is_same(&row, times) {
                return Err(Error::new(
                    &e::EXPORT_CONFLICT_EXCEPTION,
                    "An export with the same client token and other parameters is there already",
                ));
            }
            return Ok(ExportTableToPointInTimeOutput {
                export_description: Some(known.describe()),
            });
        }
        let mut pinned = table.row.clone();
        pin(&mut pinned, row.pin, row.from.map_or(row.moment.at, |from| from.at));
        save(tx, &pinned)?;
        tx.put(&EXPORTS, &table.scope, row.id.as_str(), &row)?;
        tx.enqueue(&EXPORT, &(row.account, row.region.clone(), row.id.clone()))?;
        Ok(ExportTableToPointInTimeOutput { export_description: Some(row.describe()) })
    }

    pub(crate) fn describe_export(
        &self,
        tx: &Tx,
        _: &Cx,
        input: &DescribeExportInput,
    ) -> Result<DescribeExportOutput, Error> {
        let (table, id) = split(&input.export_arn, "export/")?;
        let row = tx.get(&EXPORTS, &table.scope(), id.as_str())?;
        let row = row.filter(|row| row.table == table.name).ok_or_else(|| {
            let text = format!("Export not found: {}", input.export_arn);
            Error::new(&e::EXPORT_NOT_FOUND_EXCEPTION, text)
        })?;
        Ok(DescribeExportOutput { export_description: Some(row.describe()) })
    }

    pub(crate) fn list_exports(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListExportsInput,
    ) -> Result<ListExportsOutput, Error> {
        let listing = Listing::new(cx, &input.table_arn, input.max_results, &input.next_token)?;
        let (all, next_token) = listing.page(tx, cx, &EXPORTS, |row| &row.table)?;
        let summary = |row: &ExportRow| ExportSummary {
            export_arn: Some(row.arn()),
            export_status: Some(row.status().into()),
            export_type: Some(row.kind().into()),
        };
        Ok(ListExportsOutput {
            export_summaries: Some(all.iter().map(summary).collect()),
            next_token,
        })
    }
}
