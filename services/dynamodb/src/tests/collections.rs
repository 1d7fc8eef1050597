//! Sizes of item collections, and their limit.

use super::Db;
use crate::{DynamoDb, Limits};

const TABLE: &str = r#"{"TableName":"tab","BillingMode":"PAY_PER_REQUEST",
    "KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"c","KeyType":"RANGE"}],
    "AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"c","AttributeType":"N"},{"AttributeName":"x","AttributeType":"N"}],
    "LocalSecondaryIndexes":[{"IndexName":"local","KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"x","KeyType":"RANGE"}],
    "Projection":{"ProjectionType":"ALL"}}]}"#;
const TOO_LARGE: &str = "ItemCollectionSizeLimitExceededException: Collection size exceeded.";

fn limited(bytes: u64) -> Db {
    let limits = Limits { collection_bytes_max: Some(bytes), ..Limits::default() };
    let db = Db { tables: gen_dynamodb::Handler(DynamoDb::with_limits(limits)), ..Db::new() };
    db.ok("CreateTable", TABLE);
    db
}

/// 1,000 bytes and a few; twice of it with its entry in the index.
fn put(p: &str, c: u32, indexed: bool, more: &str) -> String {
    let x = if indexed { r#","x":{"N":"1"}"# } else { "" };
    let y = "y".repeat(1_000);
    format!(
        r#"{{"TableName":"tab","Item":{{"p":{{"S":"{p}"}},"c":{{"N":"{c}"}},"y":{{"S":"{y}"}}{x}}}{more}}}"#
    )
}

#[test]
fn a_collection_has_a_limit_that_only_growth_meets() {
    let db = limited(5_000);
    (0..2).for_each(|c| drop(db.ok("PutItem", &put("a", c, true, ""))));
    db.check("PutItem", &put("a", 2, false, ""), TOO_LARGE);
    // Other collections have room; the same bytes again are no growth.
    db.ok("PutItem", &put("b", 2, false, ""));
    db.ok("PutItem", &put("a", 1, true, ""));
    // Without its entry an item is half of it.
    db.ok("PutItem", &put("a", 1, false, ""));
    db.ok("PutItem", &put("a", 2, false, ""));
    db.check("PutItem", &put("a", 3, false, ""), TOO_LARGE);
    let update = r#"{"TableName":"tab","Key":{"p":{"S":"a"},"c":{"N":"2"}},"UpdateExpression":"SET x = :x","ExpressionAttributeValues":{":x":{"N":"5"}}}"#;
    db.check("UpdateItem", update, TOO_LARGE);
    let error = db
        .call(
            "TransactWriteItems",
            &format!(r#"{{"TransactItems":[{{"Put":{}}}]}}"#, put("a", 3, false, "")),
        )
        .unwrap_err();
    assert!(error.message().ends_with("[ItemCollectionSizeLimitExceeded]"), "{error}");
    let batch = format!(
        r#"{{"RequestItems":{{"tab":[{{"PutRequest":{}}}]}}}}"#,
        put("a", 3, false, "").replace(r#""TableName":"tab","#, "")
    );
    db.check("BatchWriteItem", &batch, TOO_LARGE);
    for c in 0..3 {
        db.ok(
            "DeleteItem",
            &format!(r#"{{"TableName":"tab","Key":{{"p":{{"S":"a"}},"c":{{"N":"{c}"}}}}}}"#),
        );
    }
    // Nothing is left of it: all of the room is there again.
    (0..4).for_each(|c| drop(db.ok("PutItem", &put("a", c, false, ""))));
    db.check("PutItem", &put("a", 4, false, ""), TOO_LARGE);
}

#[test]
fn a_statement_of_a_batch_is_refused_alone_and_leaves_nothing() {
    let db = limited(5_000);
    (0..2).for_each(|c| drop(db.ok("PutItem", &put("a", c, true, ""))));
    let y = "y".repeat(1_000);
    let insert = |p: &str| {
        format!(r#"{{"Statement":"INSERT INTO tab VALUE {{'p':'{p}','c':2,'x':1,'y':'{y}'}}"}}"#)
    };
    let batch = format!(r#"{{"Statements":[{},{}]}}"#, insert("a"), insert("b"));
    let told = db.ok("BatchExecuteStatement", &batch);
    let refusal = r#"{"Error":{"Code":"ItemCollectionSizeLimitExceeded","Message":"Collection size exceeded."}}"#;
    assert!(told.contains(refusal), "{told}");
    let count = |p: &str, index: &str| {
        let query = format!(
            r#"{{"TableName":"tab"{index},"Select":"COUNT","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{{":p":{{"S":"{p}"}}}}}}"#
        );
        db.ok("Query", &query)
    };
    for index in ["", r#","IndexName":"local""#] {
        assert!(count("a", index).contains(r#""Count":2"#), "{}", count("a", index));
        assert!(count("b", index).contains(r#""Count":1"#), "{}", count("b", index));
    }
}

#[test]
fn metrics_tell_gigabytes() {
    let db = limited(u64::MAX);
    let wanted = r#","ReturnItemCollectionMetrics":"SIZE""#;
    let told = db.ok("PutItem", &put("a", 0, true, wanted));
    assert!(told.contains(r#""SizeEstimateRangeGB":[0.0,1.0]"#), "{told}");
    let commit = db.world.store.write(|tx| {
        let name = crate::names::TableName {
            account: db.world.account,
            region: base::Region::us_east_1(),
            name: "tab".into(),
        };
        let table = db.tables.0.tables.get(tx, &name)?;
        let mut item = item::Builder::default();
        let value = item::string("a");
        item.push("p", item::Value::of(&value).unwrap());
        let item = item.finish();
        crate::collections::grow(tx, &table, item::Map::of(&item), 3 << 30, None)
    });
    store::blobs::block_on(commit).unwrap();
    let told = db.ok("PutItem", &put("a", 0, true, wanted));
    assert!(told.contains(r#""SizeEstimateRangeGB":[3.0,4.0]"#), "{told}");
}

#[test]
fn sizes_come_along_with_a_restored_table() {
    let db = limited(5_000);
    (0..2).for_each(|c| drop(db.ok("PutItem", &put("a", c, true, ""))));
    let told = db.ok("CreateBackup", r#"{"TableName":"tab","BackupName":"one"}"#);
    let arn = super::member(&told, "BackupArn").to_owned();
    db.later(0);
    let restore = |name: &str, more: &str| {
        let input = format!(r#"{{"BackupArn":"{arn}","TargetTableName":"{name}"{more}}}"#);
        db.ok("RestoreTableFromBackup", &input);
        db.later(0);
    };
    restore("again", "");
    let into = |name: &str, c| put("a", c, false, "").replace(r#""tab""#, &format!("\"{name}\""));
    db.check("PutItem", &into("again", 2), TOO_LARGE);
    let delete = r#"{"TableName":"again","Key":{"p":{"S":"a"},"c":{"N":"1"}}}"#;
    db.ok("DeleteItem", delete);
    db.ok("PutItem", &into("again", 2));
    db.check("PutItem", &into("again", 3).replace(r#""y":"#, r#""x":{"N":"1"},"y":"#), TOO_LARGE);
    // Without local indexes there are no collections, and no limit.
    restore("plain", r#","LocalSecondaryIndexOverride":[]"#);
    (2..9).for_each(|c| drop(db.ok("PutItem", &into("plain", c))));
}
