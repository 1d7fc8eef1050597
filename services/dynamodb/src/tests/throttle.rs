//! Throughput that is enforced, on a clock that only the tests move.

use super::Db;
use crate::{DynamoDb, Limits};

const PROVISIONED: &str = "ProvisionedThroughputExceededException: The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.";

fn throttling() -> Db {
    let limits = Limits { throttling: true, ..Limits::default() };
    Db { tables: gen_dynamodb::Handler(DynamoDb::with_limits(limits)), ..Db::new() }
}

/// A table that was just made, with these members of its description and key `p`.
fn table(db: &Db, members: &str, attributes: &str) {
    db.ok(
        "CreateTable",
        &format!(
            r#"{{"TableName":"tab","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}}],
            "AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}}{attributes}],{members}}}"#
        ),
    );
}

const FIVE: &str = r#""ProvisionedThroughput":{"ReadCapacityUnits":2,"WriteCapacityUnits":5}"#;

fn put_key(db: &Db, key: &str) -> bool {
    let put = format!(r#"{{"TableName":"tab","Item":{{"p":{{"S":"{key}"}}}}}}"#);
    match db.call("PutItem", &put) {
        Ok(_) => true,
        Err(error) => {
            let codes = ["ProvisionedThroughputExceededException", "ThrottlingException"];
            assert!(codes.contains(&error.code()), "{error}");
            false
        }
    }
}

fn put(db: &Db) -> bool {
    put_key(db, "a")
}

/// How many of the writes at this moment are let in, each of a partition key of its own.
fn puts(db: &Db, most: usize) -> usize {
    (0..most).take_while(|n| put_key(db, &n.to_string())).count()
}

fn wait(db: &Db, millis: u32) {
    db.world.clock.advance_ms(millis);
}

#[test]
fn a_second_has_what_is_provisioned_and_five_minutes_are_saved() {
    let db = throttling();
    table(&db, FIVE, "");
    assert_eq!(puts(&db, 100), 5);
    wait(&db, 200);
    assert_eq!(puts(&db, 100), 1);
    wait(&db, 10_000);
    assert_eq!(puts(&db, 100), 50);
    wait(&db, 3_600_000);
    assert_eq!(puts(&db, 5_000), 1_500);
    db.check("PutItem", r#"{"TableName":"tab","Item":{"p":{"S":"a"}}}"#, PROVISIONED);
    assert!(!put_key(&db, "another"));
    // Reads have a bucket of their own; what one costs may be more than is left.
    let get = r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#;
    (0..4).for_each(|_| drop(db.ok("GetItem", get)));
    assert!(
        db.call("GetItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"}},"ConsistentRead":true}"#)
            .is_ok()
    );
    wait(&db, 3_600_000);
    let scan = r#"{"TableName":"tab","ConsistentRead":true,"Limit":1}"#;
    assert_eq!((0..2_000).take_while(|_| db.call("Scan", scan).is_ok()).count(), 600);
    db.check("Scan", scan, PROVISIONED);
    db.check("GetItem", get, PROVISIONED);
}

#[test]
fn what_failed_a_condition_or_was_too_much_is_paid_too() {
    let db = throttling();
    table(&db, FIVE, "");
    let held =
        r#"{"TableName":"tab","Item":{"p":{"S":"a"}},"ConditionExpression":"attribute_exists(p)"}"#;
    for _ in 0..5 {
        db.check(
            "PutItem",
            held,
            "ConditionalCheckFailedException: The conditional request failed",
        );
    }
    db.check("PutItem", held, PROVISIONED);
    wait(&db, 1_000);
    let large = format!(
        r#"{{"TableName":"tab","Item":{{"p":{{"S":"a"}},"x":{{"S":"{}"}}}}}}"#,
        "y".repeat(20_000)
    );
    db.ok("PutItem", &large);
    wait(&db, 2_000);
    assert!(!put(&db), "twenty units less five, and ten that came");
    wait(&db, 1_200);
    assert!(put(&db));
}

#[test]
fn an_index_holds_up_its_table() {
    let db = throttling();
    let index = r#""GlobalSecondaryIndexes":[{"IndexName":"byx","KeySchema":[{"AttributeName":"x","KeyType":"HASH"}],
        "Projection":{"ProjectionType":"ALL"},"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}}]"#;
    table(&db, &format!("{FIVE},{index}"), r#",{"AttributeName":"x","AttributeType":"S"}"#);
    let with = |key: &str| {
        format!(r#"{{"TableName":"tab","Item":{{"p":{{"S":"{key}"}},"x":{{"S":"1"}}}}}}"#)
    };
    db.ok("PutItem", &with("a"));
    let error = db.call("PutItem", &with("b")).unwrap_err();
    assert!(error.message().contains("one or more global secondary indexes"), "{error}");
    assert!(!db.ok("GetItem", r#"{"TableName":"tab","Key":{"p":{"S":"b"}}}"#).contains("Item"));
    // What does not reach the index goes on.
    db.ok("PutItem", r#"{"TableName":"tab","Item":{"p":{"S":"c"}}}"#);
    let query = r#"{"TableName":"tab","IndexName":"byx","KeyConditionExpression":"x = :x","ExpressionAttributeValues":{":x":{"S":"1"}}}"#;
    assert_eq!((0..9).take_while(|_| db.call("Query", query).is_ok()).count(), 2);
}

#[test]
fn batches_leave_what_was_not_let_in_and_transactions_say_so() {
    let db = throttling();
    table(&db, FIVE, "");
    let puts: Vec<String> =
        (0..8).map(|n| format!(r#"{{"PutRequest":{{"Item":{{"p":{{"S":"{n}"}}}}}}}}"#)).collect();
    let batch = format!(r#"{{"RequestItems":{{"tab":[{}]}}}}"#, puts.join(","));
    let told = db.ok("BatchWriteItem", &batch);
    assert_eq!(told.matches("PutRequest").count(), 3, "{told}");
    db.check("BatchWriteItem", &batch, PROVISIONED);
    let keys: Vec<String> = (0..6).map(|n| format!(r#"{{"p":{{"S":"{n}"}}}}"#)).collect();
    let batch = format!(r#"{{"RequestItems":{{"tab":{{"Keys":[{}]}}}}}}"#, keys.join(","));
    let told = db.ok("BatchGetItem", &batch);
    assert_eq!(told.split("UnprocessedKeys").nth(1).unwrap().matches("\"S\"").count(), 2, "{told}");
    db.check("BatchGetItem", &batch, PROVISIONED);
    let error = db
        .call(
            "TransactWriteItems",
            r#"{"TransactItems":[{"Put":{"TableName":"tab","Item":{"p":{"S":"a"}}}}]}"#,
        )
        .unwrap_err();
    assert!(error.message().ends_with("[ProvisionedThroughputExceeded]"), "{error}");
    let error = db
        .call(
            "TransactGetItems",
            r#"{"TransactItems":[{"Get":{"TableName":"tab","Key":{"p":{"S":"a"}}}}]}"#,
        )
        .unwrap_err();
    assert!(error.message().ends_with("[ProvisionedThroughputExceeded]"), "{error}");
    let error = db
        .call("ExecuteStatement", r#"{"Statement":"SELECT * FROM tab WHERE p = '1'"}"#)
        .unwrap_err();
    assert_eq!(error.code(), "ProvisionedThroughputExceededException");
}

#[test]
fn tables_on_demand_are_held_to_their_maximum_alone() {
    let db = throttling();
    table(&db, r#""BillingMode":"PAY_PER_REQUEST""#, "");
    assert_eq!(puts(&db, 3_000), 3_000);
    let db = throttling();
    let limits = r#""OnDemandThroughput":{"MaxReadRequestUnits":1,"MaxWriteRequestUnits":3}"#;
    table(&db, &format!(r#""BillingMode":"PAY_PER_REQUEST",{limits}"#), "");
    wait(&db, 600_000);
    assert_eq!(
        (0..100)
            .take_while(|_| db
                .call("PutItem", r#"{"TableName":"tab","Item":{"p":{"S":"a"}}}"#)
                .is_ok())
            .count(),
        3
    );
    db.check(
        "PutItem",
        r#"{"TableName":"tab","Item":{"p":{"S":"a"}}}"#,
        "ThrottlingException: Throughput exceeds the maximum OnDemandThroughput configured on table or index.",
    );
}

#[test]
fn more_is_had_once_more_is_provisioned_and_nothing_is_held_by_default() {
    let db = throttling();
    table(&db, FIVE, "");
    assert_eq!(puts(&db, 100), 5);
    db.ok(
        "UpdateTable",
        r#"{"TableName":"tab","ProvisionedThroughput":{"ReadCapacityUnits":2,"WriteCapacityUnits":50}}"#,
    );
    wait(&db, 1_000);
    assert_eq!(puts(&db, 100), 50);
    let free = Db::new();
    table(&free, FIVE, "");
    assert_eq!(puts(&free, 100), 100);
}

const HOT: &str = "ThrottlingException: Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly. If exceptions persist, check if you have a hot key: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html";

#[test]
fn one_partition_key_gives_no_more_than_a_partition() {
    let db = throttling();
    table(&db, r#""BillingMode":"PAY_PER_REQUEST""#, "");
    wait(&db, 600_000);
    assert_eq!((0..3_000).take_while(|_| put(&db)).count(), 1_000, "no burst is saved");
    db.check("PutItem", r#"{"TableName":"tab","Item":{"p":{"S":"a"}}}"#, HOT);
    assert!(put_key(&db, "b"), "another partition");
    wait(&db, 100);
    assert_eq!((0..3_000).take_while(|_| put(&db)).count(), 100);
    let query = r#"{"TableName":"tab","KeyConditionExpression":"p = :p","ConsistentRead":true,"ExpressionAttributeValues":{":p":{"S":"a"}}}"#;
    assert_eq!((0..4_000).take_while(|_| db.call("Query", query).is_ok()).count(), 3_000);
    let get = r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#;
    db.check("GetItem", get, HOT);
    db.ok("Scan", r#"{"TableName":"tab"}"#);
    let batch = r#"{"Statements":[{"Statement":"SELECT * FROM tab WHERE p = 'a'"},{"Statement":"SELECT * FROM tab WHERE p = 'b'"}]}"#;
    let told = db.ok("BatchExecuteStatement", batch);
    assert!(told.contains(r#""Code":"ThrottlingError""#), "{told}");
    assert!(told.contains(r#""S":"b""#), "{told}");
}

#[test]
fn a_hot_key_of_an_index_holds_up_what_reaches_it() {
    let db = throttling();
    let index = r#""GlobalSecondaryIndexes":[{"IndexName":"byx","KeySchema":[{"AttributeName":"x","KeyType":"HASH"}],
        "Projection":{"ProjectionType":"KEYS_ONLY"}}]"#;
    let members = format!(r#""BillingMode":"PAY_PER_REQUEST",{index}"#);
    table(&db, &members, r#",{"AttributeName":"x","AttributeType":"S"}"#);
    let put = |n: usize, x: &str| {
        let item = format!(r#"{{"p":{{"S":"k{n}"}},"x":{{"S":"{x}"}}}}"#);
        db.call("PutItem", &format!(r#"{{"TableName":"tab","Item":{item}}}"#))
    };
    assert_eq!((0..2_000).take_while(|n| put(*n, "hot").is_ok()).count(), 1_000);
    let error = put(2_000, "hot").unwrap_err();
    assert_eq!(error.code(), "ThrottlingException", "{error}");
    assert!(put(2_000, "cold").is_ok());
}

#[test]
fn what_the_store_runs_again_is_paid_once() {
    // Every second transaction is run twice, for no reason of its own.
    let limits = Limits { throttling: true, ..Limits::default() };
    let db = Db {
        tables: gen_dynamodb::Handler(DynamoDb::with_limits(limits)),
        world: api::testing::World::running_again(2),
        ..Db::new()
    };
    table(&db, FIVE, "");
    wait(&db, 10_000);
    assert_eq!(puts(&db, 200), 55);
}

#[test]
fn the_larger_of_what_was_and_what_is_counts() {
    let db = throttling();
    table(&db, FIVE, "");
    wait(&db, 3_600_000);
    let large = format!(
        r#"{{"TableName":"tab","Item":{{"p":{{"S":"a"}},"x":{{"S":"{}"}}}}}}"#,
        "y".repeat(200_000)
    );
    let left = |spent: usize| {
        let tries = (0..5_000).take_while(|n| {
            let held = format!(r#"{{"TableName":"tab","Item":{{"p":{{"S":"{n}"}}}},"ConditionExpression":"attribute_exists(p)"}}"#);
            let error = db.call("PutItem", &held).unwrap_err();
            error.code() == "ConditionalCheckFailedException"
        });
        assert_eq!(tries.count(), 1_500 - spent);
        wait(&db, 3_600_000);
    };
    db.ok("PutItem", &large);
    left(196);
    assert!(put(&db), "in its place, which costs what goes");
    left(196);
    db.ok("PutItem", &large);
    left(196);
    db.ok("DeleteItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#);
    left(196);
}

#[test]
fn a_transaction_of_statements_that_read_says_what_was_not_let_in() {
    let db = throttling();
    table(&db, FIVE, "");
    assert!(put(&db));
    db.ok("GetItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"}},"ConsistentRead":true}"#);
    let statement = |key: &str| format!(r#"{{"Statement":"SELECT * FROM tab WHERE p = '{key}'"}}"#);
    let all = format!(r#"{{"TransactStatements":[{},{}]}}"#, statement("a"), statement("b"));
    db.check("ExecuteTransaction", &all, "TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific reasons [None, ProvisionedThroughputExceeded]");
}

#[test]
fn a_batch_that_is_refused_has_read_nothing() {
    let db = throttling();
    table(&db, FIVE, "");
    db.ok(
        "CreateTable",
        r#"{"TableName":"zzz","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"p","KeyType":"HASH"}],
        "AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"}]}"#,
    );
    // Tables come in the order of their names: the one with a fault is the last.
    for (fault, text) in [
        (
            r#""zzz":{"Keys":[{"q":{"S":"a"}}]}"#,
            "ValidationException: The provided key element does not match the schema",
        ),
        (
            r#""zzzz":{"Keys":[{"p":{"S":"a"}}]}"#,
            "ResourceNotFoundException: Requested resource not found",
        ),
        (
            r#""zzz":{"Keys":[{"p":{"S":"a"}}],"ProjectionExpression":"p.a"}"#,
            "ValidationException: Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: p",
        ),
    ] {
        let batch = format!(
            r#"{{"RequestItems":{{"tab":{{"Keys":[{{"p":{{"S":"a"}}}}],"ConsistentRead":true}},{fault}}}}}"#
        );
        for _ in 0..3 {
            db.check("BatchGetItem", &batch, text);
        }
    }
    // All of what the second has is still there.
    let get = r#"{"TableName":"tab","Key":{"p":{"S":"a"}},"ConsistentRead":true}"#;
    assert_eq!((0..9).take_while(|_| db.call("GetItem", get).is_ok()).count(), 2);
}
