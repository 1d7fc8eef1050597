//! What takes long and waits: exports, imports, backups and restores of a table whose items never change, with
//! the power going in between. Whatever was acknowledged comes to its end, and a table that came out of
//! it has those items, neither more nor fewer.

use crate::client::Shared;
use crate::items::call;
use crate::request::Request;
use base::Entropy;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const TABLE: &str = "moved";
const BUCKET: &str = "exports";
const ITEMS: u64 = 30;

/// What was begun and acknowledged, by ARN, and the tables that come of it.
#[derive(Default, Debug)]
pub struct Transfers {
    exports: Vec<String>,
    imports: Vec<String>,
    backups: Vec<String>,
    tables: Vec<String>,
    made: u64,
}

async fn dynamodb(
    shared: &Shared<'_>,
    operation: &str,
    input: &Value,
) -> Result<Option<Value>, String> {
    let (answer, told, code) =
        call(shared, &format!("DynamoDB_20120810.{operation}"), input).await?;
    if answer.status.is_success() {
        return Ok(Some(told));
    }
    if answer.status.is_server_error() {
        return Ok(None);
    }
    Err(format!("{operation} of {input}: {code} {told}"))
}

fn description(table: &str) -> Value {
    json!({
        "TableName": table, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "p", "AttributeType": "S"}, {"AttributeName": "g", "AttributeType": "N"}],
        "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [{
            "IndexName": "glo", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
    })
}

/// The table, its items, and a bucket; before anything goes wrong.
pub async fn make(shared: &Shared<'_>) -> Result<(), String> {
    dynamodb(shared, "CreateTable", &description(TABLE)).await?;
    let recovery = json!({"PointInTimeRecoveryEnabled": true});
    let recovery = json!({"TableName": TABLE, "PointInTimeRecoverySpecification": recovery});
    dynamodb(shared, "UpdateContinuousBackups", &recovery).await?;
    for at in 0..ITEMS {
        let padding = "x".repeat((at * 331 % 5_000) as usize);
        let item = json!({"p": {"S": format!("k{at}")}, "g": {"N": (at % 3).to_string()}, "x": {"S": padding}});
        dynamodb(shared, "PutItem", &json!({"TableName": TABLE, "Item": item})).await?;
    }
    loop {
        let path = format!("/{BUCKET}");
        let answer = shared.send(Request::new(Method::PUT, &path)).await?;
        match answer.status {
            status if status.is_success() => return Ok(()),
            // A signature that is wrong on purpose: once more.
            http::StatusCode::FORBIDDEN => {}
            _ => return Err(format!("{path}: {answer:?}")),
        }
    }
}

/// Begins one of them, or looks how one is doing.
pub async fn step(shared: &Shared<'_>) -> Result<(), String> {
    let (made, exports, backups) = {
        let mut own = shared.transfers.borrow_mut();
        own.made += 1;
        (own.made, own.exports.clone(), own.backups.clone())
    };
    let pick = |all: &[String]| match all.len() as u64 {
        0 => None,
        len => Some(all[shared.dice.below(len) as usize].clone()),
    };
    let new = format!("made{made}");
    match shared.dice.below(5) {
        0 => {
            let account = "arn:aws:dynamodb:us-east-1:000000000000:table";
            let input = json!({"TableArn": format!("{account}/{TABLE}"), "S3Bucket": BUCKET, "S3Prefix": new});
            let told = dynamodb(shared, "ExportTableToPointInTime", &input).await?;
            let arn = told.and_then(|told| text(&told["ExportDescription"]["ExportArn"]));
            shared.transfers.borrow_mut().exports.extend(arn);
        }
        1 => {
            let input = json!({"TableName": TABLE, "BackupName": new});
            let told = dynamodb(shared, "CreateBackup", &input).await?;
            let arn = told.and_then(|told| text(&told["BackupDetails"]["BackupArn"]));
            shared.transfers.borrow_mut().backups.extend(arn);
        }
        2 => {
            let Some(arn) = pick(&backups) else { return Ok(()) };
            if state(shared, "Backup", &arn).await?.as_deref() != Some("AVAILABLE") {
                return Ok(());
            }
            let input = json!({"BackupArn": arn, "TargetTableName": new});
            if dynamodb(shared, "RestoreTableFromBackup", &input).await?.is_some() {
                shared.transfers.borrow_mut().tables.push(new);
            }
        }
        3 => {
            let input = json!({"SourceTableName": TABLE, "TargetTableName": new, "UseLatestRestorableTime": true});
            if dynamodb(shared, "RestoreTableToPointInTime", &input).await?.is_some() {
                shared.transfers.borrow_mut().tables.push(new);
            }
        }
        _ => {
            let Some(arn) = pick(&exports) else { return Ok(()) };
            if state(shared, "Export", &arn).await?.as_deref() != Some("COMPLETED") {
                return Ok(());
            }
            import(shared, &arn, &new).await?;
        }
    }
    Ok(())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

async fn import(shared: &Shared<'_>, export: &str, table: &str) -> Result<(), String> {
    let told = dynamodb(shared, "DescribeExport", &json!({"ExportArn": export})).await?;
    let Some(prefix) = told.and_then(|told| text(&told["ExportDescription"]["S3Prefix"])) else {
        return Ok(());
    };
    let id = export.rsplit('/').next().unwrap_or_default();
    let input = json!({
        "S3BucketSource": {"S3Bucket": BUCKET, "S3KeyPrefix": format!("{prefix}/AWSDynamoDB/{id}/data/")},
        "InputFormat": "DYNAMODB_JSON", "InputCompressionType": "GZIP",
        "TableCreationParameters": description(table),
    });
    let told = dynamodb(shared, "ImportTable", &input).await?;
    if let Some(arn) = told.and_then(|told| text(&told["ImportTableDescription"]["ImportArn"])) {
        let mut own = shared.transfers.borrow_mut();
        own.imports.push(arn);
        own.tables.push(table.to_owned());
    }
    Ok(())
}

/// The status of an export, an import or a backup. One that has ended well must have had each item once.
async fn state(shared: &Shared<'_>, what: &str, arn: &str) -> Result<Option<String>, String> {
    let input = json!({format!("{what}Arn"): arn});
    let Some(told) = dynamodb(shared, &format!("Describe{what}"), &input).await? else {
        return Ok(None);
    };
    let (status, counts) = match what {
        "Export" => {
            let export = &told["ExportDescription"];
            (&export["ExportStatus"], vec![&export["ItemCount"]])
        }
        "Import" => {
            let import = &told["ImportTableDescription"];
            let counts = ["ProcessedItemCount", "ImportedItemCount"].map(|name| &import[name]);
            (&import["ImportStatus"], counts.to_vec())
        }
        _ => (&told["BackupDescription"]["BackupDetails"]["BackupStatus"], Vec::new()),
    };
    if status == "COMPLETED" && counts.iter().any(|count| **count != ITEMS) {
        return Err(format!("{arn} had {counts:?} items of {ITEMS}: {told}"));
    }
    Ok(text(status))
}

async fn items(shared: &Shared<'_>, table: &str, index: bool) -> Result<BTreeSet<String>, String> {
    let (mut found, mut start) = (BTreeSet::new(), Value::Null);
    loop {
        let mut input = json!({"TableName": table, "Limit": 7});
        if index {
            input["IndexName"] = json!("glo");
        }
        if !start.is_null() {
            input["ExclusiveStartKey"] = start;
        }
        let told = dynamodb(shared, "Scan", &input).await?.ok_or("no answer to a scan")?;
        for item in told["Items"].as_array().into_iter().flatten() {
            let shown = if index { item["p"].to_string() } else { item.to_string() };
            if !found.insert(shown) {
                return Err(format!("{table} has twice {item}"));
            }
        }
        start = told["LastEvaluatedKey"].clone();
        if start.is_null() {
            return Ok(found);
        }
    }
}

/// At the end: all has ended well, and all tables are the same.
pub async fn verify(shared: &Shared<'_>) -> Result<(), String> {
    let (exports, imports, backups, tables) = {
        let own = shared.transfers.borrow();
        (own.exports.clone(), own.imports.clone(), own.backups.clone(), own.tables.clone())
    };
    for (what, all, end) in [
        ("Export", exports, "COMPLETED"),
        ("Import", imports, "COMPLETED"),
        ("Backup", backups, "AVAILABLE"),
    ] {
        for arn in all {
            let found = state(shared, what, &arn).await?;
            if found.as_deref() != Some(end) {
                return Err(format!("{what} {arn} is {found:?}"));
            }
        }
    }
    for index in [false, true] {
        let expected = items(shared, TABLE, index).await?;
        if expected.len() as u64 != ITEMS {
            return Err(format!("{} of {ITEMS} items are in {TABLE}", expected.len()));
        }
        for table in &tables {
            let found = items(shared, table, index).await?;
            if found != expected {
                let lost = expected.difference(&found).count();
                return Err(format!("{table} lacks {lost} and has {} items", found.len()));
            }
        }
    }
    Ok(())
}
