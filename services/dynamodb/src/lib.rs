//! Amazon DynamoDB and DynamoDB Streams.
//!
//! An item is one row of bytes in the form of the crate `item`: read once from the request's JSON, kept,
//! looked at by conditions and written into answers without ever being a tree. Entries of indexes,
//! records of streams and times of expiry are rows of the same transaction, so an index or a stream is
//! never behind its table. What takes long (filling an index, deleting a table's rows, expiry) is done
//! by jobs in bounded steps.
//!
//! Invariants: a description that is cached was committed under its generation; every row of a table
//! stands under a number that no other table ever has; a write that fails its condition changes
//! nothing; sequence numbers follow commits.
//!
//! Deliberately absent, answered 501: global tables, vector indexes, Kinesis destinations, bulk operations,
//! and Ion in exports and imports (`docs/compat.md` says why).

mod ask;
mod backups;
mod batch;
mod capacity;
mod collections;
mod copy;
mod create_table;
mod describe;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod history;
mod item_ops;
mod jobs;
mod keyspace;
mod legacy;
mod mutation;
mod names;
mod page;
mod params;
mod partiql;
mod policies;
mod query;
mod restore;
mod rows;
mod scan;
mod schema;
mod settings;
mod streams;
mod table;
mod tags;
mod throttle;
mod transact;
mod transfer;
mod update_table;
mod write;

#[cfg(test)]
mod tests;

pub use streams::Streams;
pub use transfer::records::fuzz_records;

use api::{Ask, AsyncCx, Cx, Error, Reply, Tx};
use ask::Asks;
use gen_dynamodb::*;

/// The service: caches of what never changes under its key, and nothing else.
#[derive(Debug, Default)]
pub struct DynamoDb {
    tables: table::Tables,
    parsed: params::Parsed,
}

/// What the service holds its users to.
#[derive(Clone, Copy, Default, Debug)]
pub struct Limits {
    /// Whether throughput is enforced.
    pub throttling: bool,
    /// In place of AWS's 10 GB for an item collection.
    pub collection_bytes_max: Option<u64>,
}

impl DynamoDb {
    pub fn with_limits(limits: Limits) -> DynamoDb {
        DynamoDb { tables: table::Tables::new(limits), parsed: params::Parsed::default() }
    }
}

/// `authorize_x x(transaction, input) -> output: what must be allowed;`
macro_rules! operations {
    (
        $($authorize_async:ident $async:ident($in:ident) -> $out:ident: $asks:path, $run:path;)*
        ---
        $($authorize:ident $operation:ident($tx:ty, $input:ident) -> $output:ident: $ask:expr;)*
    ) => {
        impl DynamoDBApi for DynamoDb {
            $(
                fn $authorize_async(&self, cx: &Cx, input: &$in) -> Result<Vec<Ask>, Error> {
                    $asks(self, cx, input)
                }
                async fn $async(&self, cx: &AsyncCx, input: &$in) -> Result<Reply<$out>, Error> {
                    $run(self, cx, input).await
                }
            )*
            $(
                fn $authorize(&self, cx: &Cx, input: &$input) -> Result<Vec<Ask>, Error> {
                    let ask: fn(&DynamoDb, &Cx, &$input) -> Asks = $ask;
                    ask(self, cx, input)
                }
                fn $operation(&self, tx: $tx, cx: &Cx, input: &$input) -> Result<$output, Error> {
                    DynamoDb::$operation(self, tx, cx, input)
                }
            )*
        }
    };
}

operations! {
    authorize_execute_statement execute_statement(ExecuteStatementInput) -> ExecuteStatementOutput: DynamoDb::ask_execute, DynamoDb::run_statement;
    authorize_batch_execute_statement batch_execute_statement(BatchExecuteStatementInput) -> BatchExecuteStatementOutput: DynamoDb::ask_batch_execute, DynamoDb::run_batch;
    authorize_execute_transaction execute_transaction(ExecuteTransactionInput) -> ExecuteTransactionOutput: DynamoDb::ask_execute_transaction, DynamoDb::run_transaction;
    ---
    authorize_get_item get_item(&Tx, GetItemInput) -> GetItemOutput: DynamoDb::ask_get;
    authorize_put_item put_item(&mut Tx, PutItemInput) -> PutItemOutput: DynamoDb::ask_put;
    authorize_update_item update_item(&mut Tx, UpdateItemInput) -> UpdateItemOutput: DynamoDb::ask_update;
    authorize_delete_item delete_item(&mut Tx, DeleteItemInput) -> DeleteItemOutput: DynamoDb::ask_delete;
    authorize_query query(&Tx, QueryInput) -> QueryOutput: DynamoDb::ask_query;
    authorize_scan scan(&Tx, ScanInput) -> ScanOutput: DynamoDb::ask_scan;
    authorize_batch_get_item batch_get_item(&Tx, BatchGetItemInput) -> BatchGetItemOutput: DynamoDb::ask_batch_get;
    authorize_batch_write_item batch_write_item(&mut Tx, BatchWriteItemInput) -> BatchWriteItemOutput: DynamoDb::ask_batch_write;
    authorize_transact_get_items transact_get_items(&Tx, TransactGetItemsInput) -> TransactGetItemsOutput: DynamoDb::ask_transact_get;
    authorize_transact_write_items transact_write_items(&mut Tx, TransactWriteItemsInput) -> TransactWriteItemsOutput: DynamoDb::ask_transact_write;
    authorize_create_table create_table(&mut Tx, CreateTableInput) -> CreateTableOutput: DynamoDb::ask_create;
    authorize_describe_table describe_table(&Tx, DescribeTableInput) -> DescribeTableOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_list_tables list_tables(&Tx, ListTablesInput) -> ListTablesOutput: |_, cx, _| ask::anything(cx);
    authorize_update_table update_table(&mut Tx, UpdateTableInput) -> UpdateTableOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_delete_table delete_table(&mut Tx, DeleteTableInput) -> DeleteTableOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_tag_resource tag_resource(&mut Tx, TagResourceInput) -> TagResourceOutput: DynamoDb::ask_tag;
    authorize_untag_resource untag_resource(&mut Tx, UntagResourceInput) -> UntagResourceOutput: |_, cx, i| ask::resource(cx, &i.resource_arn);
    authorize_list_tags_of_resource list_tags_of_resource(&Tx, ListTagsOfResourceInput) -> ListTagsOfResourceOutput: |_, cx, i| ask::resource(cx, &i.resource_arn);
    authorize_update_time_to_live update_time_to_live(&mut Tx, UpdateTimeToLiveInput) -> UpdateTimeToLiveOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_describe_time_to_live describe_time_to_live(&Tx, DescribeTimeToLiveInput) -> DescribeTimeToLiveOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_describe_limits describe_limits(&Tx, DescribeLimitsInput) -> DescribeLimitsOutput: |_, cx, _| ask::anything(cx);
    authorize_describe_endpoints describe_endpoints(&Tx, DescribeEndpointsInput) -> DescribeEndpointsOutput: |_, cx, _| ask::anything(cx);
    authorize_describe_continuous_backups describe_continuous_backups(&Tx, DescribeContinuousBackupsInput) -> DescribeContinuousBackupsOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_update_continuous_backups update_continuous_backups(&mut Tx, UpdateContinuousBackupsInput) -> UpdateContinuousBackupsOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_create_backup create_backup(&mut Tx, CreateBackupInput) -> CreateBackupOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_describe_backup describe_backup(&Tx, DescribeBackupInput) -> DescribeBackupOutput: |_, cx, i| ask::resource(cx, &i.backup_arn);
    authorize_delete_backup delete_backup(&mut Tx, DeleteBackupInput) -> DeleteBackupOutput: |_, cx, i| ask::resource(cx, &i.backup_arn);
    authorize_list_backups list_backups(&Tx, ListBackupsInput) -> ListBackupsOutput: |_, cx, _| ask::anything(cx);
    authorize_restore_table_from_backup restore_table_from_backup(&mut Tx, RestoreTableFromBackupInput) -> RestoreTableFromBackupOutput: DynamoDb::ask_restore_backup;
    authorize_restore_table_to_point_in_time restore_table_to_point_in_time(&mut Tx, RestoreTableToPointInTimeInput) -> RestoreTableToPointInTimeOutput: DynamoDb::ask_restore_time;
    authorize_export_table_to_point_in_time export_table_to_point_in_time(&mut Tx, ExportTableToPointInTimeInput) -> ExportTableToPointInTimeOutput: DynamoDb::ask_export;
    authorize_describe_export describe_export(&Tx, DescribeExportInput) -> DescribeExportOutput: |_, cx, i| ask::resource(cx, &i.export_arn);
    authorize_list_exports list_exports(&Tx, ListExportsInput) -> ListExportsOutput: |_, cx, i| match &i.table_arn {
        Some(arn) => ask::table(cx, arn),
        None => ask::anything(cx),
    };
    authorize_import_table import_table(&mut Tx, ImportTableInput) -> ImportTableOutput: DynamoDb::ask_import;
    authorize_describe_import describe_import(&Tx, DescribeImportInput) -> DescribeImportOutput: |_, cx, i| ask::resource(cx, &i.import_arn);
    authorize_list_imports list_imports(&Tx, ListImportsInput) -> ListImportsOutput: |_, cx, i| match &i.table_arn {
        Some(arn) => ask::table(cx, arn),
        None => ask::anything(cx),
    };
    authorize_put_resource_policy put_resource_policy(&mut Tx, PutResourcePolicyInput) -> PutResourcePolicyOutput: |_, cx, i| ask::resource(cx, &i.resource_arn);
    authorize_get_resource_policy get_resource_policy(&Tx, GetResourcePolicyInput) -> GetResourcePolicyOutput: |_, cx, i| ask::resource(cx, &i.resource_arn);
    authorize_delete_resource_policy delete_resource_policy(&mut Tx, DeleteResourcePolicyInput) -> DeleteResourcePolicyOutput: |_, cx, i| ask::resource(cx, &i.resource_arn);
    authorize_update_contributor_insights update_contributor_insights(&mut Tx, UpdateContributorInsightsInput) -> UpdateContributorInsightsOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_describe_contributor_insights describe_contributor_insights(&Tx, DescribeContributorInsightsInput) -> DescribeContributorInsightsOutput: |_, cx, i| ask::table(cx, &i.table_name);
    authorize_list_contributor_insights list_contributor_insights(&Tx, ListContributorInsightsInput) -> ListContributorInsightsOutput: |_, cx, i| match &i.table_name {
        Some(name) => ask::table(cx, name),
        None => ask::anything(cx),
    };
}
