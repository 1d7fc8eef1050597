//! ImportTable, DescribeImport, ListImports.

use super::export::split;
use super::records::FormatRow;
use super::{CallerRow, IMPORT, Listing, status, with_token};
use crate::DynamoDb;
use crate::ask::{Asks, on};
use crate::backups::new_id;
use crate::create_table::{new_row, start};
use crate::describe::{key_schema, limits, projection, table_keys};
use crate::error::{in_use, invalid};
use crate::names::{TableName, arn, check_index_name};
use crate::rows::{IndexRow, TABLES, TableRow};
use api::{Ask, Cx, Error, Tx};
use base::{AccountId, Region, Timestamp};
use gen_dynamodb::errors as e;
use gen_dynamodb::*;
use store::{Scope, Table, row};

/// By the last part of the import's ARN.
pub(crate) const IMPORTS: Table<String, ImportRow> = Table::new(0x040e, "dynamodb.import");

row! {
    pub struct ImportRow {
        1 => id: String,
        2 => account: AccountId,
        3 => region: Region,
        /// The table as it was to be made.
        4 => table: TableRow,
        5 => bucket: String,
        6 => bucket_owner: Option<String>,
        7 => prefix: Option<String>,
        8 => format: FormatRow,
        9 => header_given: bool,
        10 => caller: CallerRow,
        11 => token: Option<String>,
        12 => started: Timestamp,
        13 => ended: Option<Timestamp>,
        14 => failure: Option<String>,
        15 => failure_text: Option<String>,
        /// The file that is read, and how many of its records are done.
        16 => file: String,
        17 => done: u64,
        18 => files: u32,
        19 => size_bytes: u64,
        20 => processed: u64,
        21 => imported: u64,
        22 => errors: u64,
    }
}

impl ImportRow {
    pub fn arn(&self) -> String {
        format!("{}/import/{}", self.table_arn(), self.id)
    }

    fn table_arn(&self) -> String {
        arn(self.account, &self.region, &self.table.name)
    }

    pub fn scope(&self) -> Scope {
        Scope::AccountRegion(self.account, self.region.clone())
    }

    fn status(&self) -> &'static str {
        status(self.ended, self.failure.as_ref())
    }

    fn source(&self) -> S3BucketSource {
        S3BucketSource {
            s3_bucket_owner: self.bucket_owner.clone(),
            s3_bucket: self.bucket.clone(),
            s3_key_prefix: self.prefix.clone(),
        }
    }

    fn format_name(&self) -> &'static str {
        if self.format.csv { "CSV" } else { "DYNAMODB_JSON" }
    }

    fn describe(&self) -> ImportTableDescription {
        let csv = CsvOptions {
            delimiter: Some(self.format.delimiter.clone()),
            header_list: self.header_given.then(|| self.format.header.clone()),
        };
        ImportTableDescription {
            import_arn: Some(self.arn()),
            import_status: Some(self.status().into()),
            table_arn: Some(self.table_arn()),
            table_id: Some(self.table.id.clone()),
            client_token: self.token.clone(),
            s3_bucket_source: Some(self.source()),
            error_count: Some(self.errors as i64),
            cloud_watch_log_group_arn: None,
            input_format: Some(self.format_name().into()),
            input_format_options: self.format.csv.then_some(InputFormatOptions { csv: Some(csv) }),
            input_compression_type: Some(if self.format.gzip { "GZIP" } else { "NONE" }.into()),
            table_creation_parameters: Some(parameters(&self.table)),
            start_time: Some(self.started),
            end_time: self.ended,
            processed_size_bytes: Some(self.size_bytes as i64),
            processed_item_count: Some(self.processed as i64),
            imported_item_count: Some(self.imported as i64),
            failure_code: self.failure.clone(),
            failure_message: self.failure_text.clone(),
        }
    }
}

fn parameters(row: &TableRow) -> TableCreationParameters {
    let throughput = |row: &crate::rows::ThroughputRow| ProvisionedThroughput {
        read_capacity_units: row.reads,
        write_capacity_units: row.writes,
    };
    let global = |index: &IndexRow| GlobalSecondaryIndex {
        index_name: index.name.clone(),
        key_schema: key_schema(index.hash.iter(), index.range.iter()),
        projection: projection(index),
        provisioned_throughput: (!row.on_demand).then(|| throughput(&index.throughput)),
        on_demand_throughput: limits(index.max_reads, index.max_writes),
        warm_throughput: None,
    };
    let globals: Vec<_> = row.indexes.iter().map(global).collect();
    TableCreationParameters {
        table_name: row.name.clone(),
        attribute_definitions: crate::describe::definitions(row),
        key_schema: table_keys(row),
        billing_mode: Some(if row.on_demand { "PAY_PER_REQUEST" } else { "PROVISIONED" }.into()),
        provisioned_throughput: (!row.on_demand).then(|| throughput(&row.throughput)),
        on_demand_throughput: limits(row.max_reads, row.max_writes),
        sse_specification: row.sse.as_ref().map(|kind| SSESpecification {
            enabled: Some(true),
            sse_type: Some(kind.clone()),
            kms_master_key_id: row.sse_key.clone(),
        }),
        global_secondary_indexes: (!globals.is_empty()).then_some(globals),
        ..TableCreationParameters::default()
    }
}

fn format(input: &ImportTableInput, table: &TableRow) -> Result<FormatRow, Error> {
    let missing =
        |what: &str| Error::with_code("NotImplemented", 501, format!("{what} is not implemented"));
    let csv = match input.input_format.as_str() {
        "CSV" => true,
        "ION" => return Err(missing("InputFormat ION")),
        _ => false,
    };
    let gzip = match input.input_compression_type.as_deref() {
        Some("GZIP") => true,
        Some("ZSTD") => return Err(missing("InputCompressionType ZSTD")),
        _ => false,
    };
    let options = input.input_format_options.as_ref().and_then(|options| options.csv.as_ref());
    if options.is_some() && !csv {
        return Err(invalid("InputFormatOptions can only be specified when InputFormat is CSV"));
    }
    Ok(FormatRow {
        csv,
        gzip,
        delimiter: options.and_then(|csv| csv.delimiter.clone()).unwrap_or_else(|| ",".into()),
        header: options.and_then(|csv| csv.header_list.clone()).unwrap_or_default(),
        kinds: table.attributes.clone(),
    })
}

/// The table as CreateTable would be asked for it.
fn creation(wanted: &TableCreationParameters) -> CreateTableInput {
    CreateTableInput {
        table_name: wanted.table_name.clone(),
        attribute_definitions: Some(wanted.attribute_definitions.clone()),
        key_schema: Some(wanted.key_schema.clone()),
        billing_mode: wanted.billing_mode.clone(),
        provisioned_throughput: wanted.provisioned_throughput.clone(),
        on_demand_throughput: wanted.on_demand_throughput.clone(),
        sse_specification: wanted.sse_specification.clone(),
        global_secondary_indexes: wanted.global_secondary_indexes.clone(),
        ..CreateTableInput::default()
    }
}

impl DynamoDb {
    /// Permission for the table, and for all that is going to be read.
    pub(crate) fn ask_import(&self, cx: &Cx, input: &ImportTableInput) -> Asks {
        let name = &input.table_creation_parameters.table_name;
        let source = &input.s3_bucket_source;
        let bucket = format!("arn:{}:s3:::{}", cx.partition().as_str(), source.s3_bucket);
        let prefix = source.s3_key_prefix.clone().unwrap_or_default();
        Ok(vec![
            on(cx, "ImportTable", name, None),
            Ask::new("s3:ListBucket", bucket.clone()).key("s3:prefix", Some(prefix.clone())),
            Ask::new("s3:GetObject", format!("{bucket}/{prefix}*")),
        ])
    }

    pub(crate) fn import_table(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &ImportTableInput,
    ) -> Result<ImportTableOutput, Error> {
        let wanted = &input.table_creation_parameters;
        if wanted.vector_indexes.is_some() {
            return Err(Error::with_code(
                "NotImplemented",
                501,
                "VectorIndexes is not implemented",
            ));
        }
        let name = TableName::parse(cx, &wanted.table_name)?;
        check_index_name(&name.name)?;
        let mut table = new_row(cx, &creation(wanted))?;
        let format = format(input, &table)?;
        let source = &input.s3_bucket_source;
        let scope = Scope::AccountRegion(cx.account, cx.region.clone());
        if let Some(known) = with_token(tx, &IMPORTS, &scope, input.client_token.as_ref(), |row| {
            (row.token.as_ref(), row.started)
        })? {
            let same = known.table.name == name.name
                && known.bucket == source.s3_bucket
                && known.prefix == source.s3_key_prefix
                && known.format == format;
            if !same {
                return Err(Error::new(
                    &e::IMPORT_CONFLICT_EXCEPTION,
                    "An import with the same client token and other parameters is there already",
                ));
            }
            return Ok(ImportTableOutput { import_table_description: known.describe() });
        }
        if self.tables.find(tx, &name)?.is_some() {
            return Err(in_use(format!("Table already exists: {}", name.name)));
        }
        (table.name, table.account, table.region) =
            (name.name.clone(), name.account, name.region.clone());
        table.coming = true;
        start(tx, cx, &mut table)?;
        let row = ImportRow {
            id: new_id(cx, tx.now()),
            account: name.account,
            region: name.region.clone(),
            bucket: source.s3_bucket.clone(),
            bucket_owner: source.s3_bucket_owner.clone(),
            prefix: source.s3_key_prefix.clone(),
            header_given: !format.header.is_empty(),
            format,
            caller: CallerRow::of(cx),
            token: input.client_token.clone(),
            started: tx.now(),
            ended: None,
            failure: None,
            failure_text: None,
            file: String::new(),
            done: 0,
            files: 0,
            size_bytes: 0,
            processed: 0,
            imported: 0,
            errors: 0,
            table,
        };
        tx.put(&IMPORTS, &row.scope(), row.id.as_str(), &row)?;
        tx.enqueue(&IMPORT, &(row.account, row.region.clone(), row.id.clone()))?;
        Ok(ImportTableOutput { import_table_description: row.describe() })
    }

    pub(crate) fn describe_import(
        &self,
        tx: &Tx,
        _: &Cx,
        input: &DescribeImportInput,
    ) -> Result<DescribeImportOutput, Error> {
        let (table, id) = split(&input.import_arn, "import/")?;
        let row = tx.get(&IMPORTS, &table.scope(), id.as_str())?;
        let row = row.filter(|row| row.table.name == table.name).ok_or_else(|| {
            let text = format!("Import not found: {}", input.import_arn);
            Error::new(&e::IMPORT_NOT_FOUND_EXCEPTION, text)
        })?;
        Ok(DescribeImportOutput { import_table_description: row.describe() })
    }

    pub(crate) fn list_imports(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListImportsInput,
    ) -> Result<ListImportsOutput, Error> {
        let listing = Listing::new(cx, &input.table_arn, input.page_size, &input.next_token)?;
        let (all, next_token) = listing.page(tx, cx, &IMPORTS, |row| &row.table.name)?;
        let summary = |row: &ImportRow| ImportSummary {
            import_arn: Some(row.arn()),
            import_status: Some(row.status().into()),
            table_arn: Some(row.table_arn()),
            s3_bucket_source: Some(row.source()),
            cloud_watch_log_group_arn: None,
            input_format: Some(row.format_name().into()),
            start_time: Some(row.started),
            end_time: row.ended,
        };
        Ok(ListImportsOutput {
            import_summary_list: Some(all.iter().map(summary).collect()),
            next_token,
        })
    }
}

/// The table that an import fills, while it does.
pub(super) fn table_of(tx: &Tx, row: &ImportRow) -> Result<Option<crate::table::Table>, Error> {
    let table = tx.get(&TABLES, &row.scope(), &row.table.number)?;
    table.map(crate::table::Table::new).transpose()
}
