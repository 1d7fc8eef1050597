//! Items as large as they may be, in all that is done with many of them at once: nothing that one transaction
//! of the store cannot take ends as a failure of ours, and no answer is without a bound.

use super::{Db, member};

const KB: usize = 1000;

fn large(key: &str, kb: usize) -> String {
    let padding = "x".repeat(kb * KB);
    format!(
        r#"{{"p":{{"S":"{key}"}},"c":{{"N":"1"}},"g":{{"S":"g"}},"l":{{"N":"1"}},"x":{{"S":"{padding}"}}}}"#
    )
}

/// With the keys `p` and `c` and so many global indexes that have all.
fn with_indexes(globals: usize, more: &str) -> Db {
    let db = Db::new();
    create(&db, globals, more);
    db
}

fn create(db: &Db, globals: usize, more: &str) {
    let index = |n: usize| {
        format!(
            r#"{{"IndexName":"g{n:02}","KeySchema":[{{"AttributeName":"g","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"ALL"}}}}"#
        )
    };
    let indexes: Vec<String> = (0..globals).map(index).collect();
    let global = match globals {
        0 => String::new(),
        _ => format!(r#","GlobalSecondaryIndexes":[{}]"#, indexes.join(",")),
    };
    let also = if globals > 0 { r#",{"AttributeName":"g","AttributeType":"S"}"# } else { "" };
    let local = more.contains("LocalSecondaryIndexes");
    let also_local = if local { r#",{"AttributeName":"l","AttributeType":"N"}"# } else { "" };
    db.ok(
        "CreateTable",
        &format!(
            r#"{{"TableName":"tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}},{{"AttributeName":"c","KeyType":"RANGE"}}],
            "AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}},{{"AttributeName":"c","AttributeType":"N"}}{also}{also_local}]{global}{more}}}"#
        ),
    );
}

const IMAGES: &str =
    r#""StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}"#;

fn with_images(db: &Db) {
    db.ok("UpdateTable", &format!(r#"{{"TableName":"tab",{IMAGES}}}"#));
}

fn with_recovery(db: &Db) {
    db.ok(
        "UpdateContinuousBackups",
        r#"{"TableName":"tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}"#,
    );
}

fn count(db: &Db) -> usize {
    let mut total = 0;
    let mut start = String::new();
    loop {
        let told =
            db.ok("Scan", &format!(r#"{{"TableName":"tab","ProjectionExpression":"p"{start}}}"#));
        total += told.matches(r#""p":{"S":"#).count();
        let Some((_, last)) = told.split_once(r#""LastEvaluatedKey":"#) else { return total };
        total -= 1;
        start = format!(r#","ExclusiveStartKey":{}"#, &last[..last.len() - 1]);
    }
}

const TOO_LARGE: &str = "Collection size of items in the transaction has exceeded limit: Aggregated size of all items in the transaction cannot exceed 4MB";

#[test]
fn pages_of_fetched_items_are_bounded() {
    let db = with_indexes(
        0,
        r#","LocalSecondaryIndexes":[{"IndexName":"loc","KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]"#,
    );
    let padding = "x".repeat(300 * KB);
    for n in 0..50 {
        db.put(&format!(
            r#"{{"p":{{"S":"a"}},"c":{{"N":"{n}"}},"l":{{"N":"{n}"}},"x":{{"S":"{padding}"}}}}"#
        ));
    }
    for forward in [true, false] {
        let (mut seen, mut pages) = (Vec::new(), 0);
        let mut start = String::new();
        loop {
            let told = db.ok("Query", &format!(
                r#"{{"TableName":"tab","IndexName":"loc","Select":"ALL_ATTRIBUTES","ScanIndexForward":{forward},"KeyConditionExpression":"p = :p","ExpressionAttributeValues":{{":p":{{"S":"a"}}}}{start}}}"#
            ));
            assert!(told.len() < 1_600 * KB, "{}", told.len());
            let (items, last) = told.split_once(r#""Count":"#).unwrap();
            seen.extend(
                items
                    .split(r#""l":{"N":""#)
                    .skip(1)
                    .map(|part| part.split('"').next().unwrap().parse::<u32>().unwrap()),
            );
            pages += 1;
            let Some((_, last)) = last.split_once(r#""LastEvaluatedKey":"#) else { break };
            start = format!(r#","ExclusiveStartKey":{}"#, &last[..last.len() - 1]);
        }
        let expected: Vec<u32> = if forward { (0..50).collect() } else { (0..50).rev().collect() };
        assert_eq!(seen, expected);
        assert!(pages > 10, "{pages}");
    }
}

#[test]
fn one_item_in_all_the_indexes_that_there_can_be() {
    let locals: Vec<String> = (0..5)
        .map(|n| format!(r#"{{"IndexName":"l{n:02}","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}},{{"AttributeName":"l","KeyType":"RANGE"}}],"Projection":{{"ProjectionType":"ALL"}}}}"#))
        .collect();
    let more = format!(r#","LocalSecondaryIndexes":[{}],{IMAGES}"#, locals.join(","));
    let db = with_indexes(20, &more);
    with_recovery(&db);
    db.put(&large("a", 409));
    db.put(&large("a", 408));
    db.ok("DeleteItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"},"c":{"N":"1"}}}"#);
}

#[test]
fn transactions_that_are_too_much_are_refused_in_words() {
    let db = with_indexes(0, "");
    (0..30).for_each(|n| db.put(&large(&format!("k{n}"), 390)));
    with_images(&db);
    let update = |n: usize| {
        format!(
            r#"{{"Update":{{"TableName":"tab","Key":{{"p":{{"S":"k{n}"}},"c":{{"N":"1"}}}},"UpdateExpression":"SET y = c"}}}}"#
        )
    };
    let updates: Vec<String> = (0..30).map(update).collect();
    let all = format!(r#"{{"TransactItems":[{}]}}"#, updates.join(","));
    db.refused("TransactWriteItems", &all, TOO_LARGE);
    let statement =
        |n: usize| format!(r#"{{"Statement":"UPDATE tab SET y = 1 WHERE p = 'k{n}' AND c = 1"}}"#);
    let statements: Vec<String> = (0..30).map(statement).collect();
    let all = format!(r#"{{"TransactStatements":[{}]}}"#, statements.join(","));
    db.refused("ExecuteTransaction", &all, TOO_LARGE);
    assert!(!db.ok("Scan", r#"{"TableName":"tab","ProjectionExpression":"y"}"#).contains("\"y\""));
    // What fits is done.
    db.ok("TransactWriteItems", &format!(r#"{{"TransactItems":[{}]}}"#, updates[..10].join(",")));

    let db = with_indexes(20, "");
    let put = |n: usize| {
        format!(r#"{{"Put":{{"TableName":"tab","Item":{}}}}}"#, large(&format!("k{n}"), 390))
    };
    let puts: Vec<String> = (0..10).map(put).collect();
    let all = format!(r#"{{"TransactItems":[{}]}}"#, puts.join(","));
    db.refused("TransactWriteItems", &all, TOO_LARGE);
    assert_eq!(count(&db), 0);
}

#[test]
fn batches_count_what_was_there() {
    let db = with_indexes(2, "");
    with_recovery(&db);
    with_images(&db);
    (0..25).for_each(|n| db.put(&large(&format!("k{n:02}"), 390)));
    let delete = |n: usize| {
        format!(r#"{{"DeleteRequest":{{"Key":{{"p":{{"S":"k{n:02}"}},"c":{{"N":"1"}}}}}}}}"#)
    };
    let mut left: Vec<String> = (0..25).map(delete).collect();
    let mut calls = 0;
    while !left.is_empty() {
        let told = db
            .ok("BatchWriteItem", &format!(r#"{{"RequestItems":{{"tab":[{}]}}}}"#, left.join(",")));
        let before = left.len();
        left.retain(|request| told.contains(member(request, "S")));
        assert!(left.len() < before, "{told}");
        assert_eq!(count(&db), left.len());
        calls += 1;
    }
    assert!(calls > 1);
}

#[test]
fn batches_of_statements_count_what_was_there() {
    let db = with_indexes(0, "");
    with_recovery(&db);
    with_images(&db);
    (0..25).for_each(|n| db.put(&large(&format!("k{n:02}"), 390)));
    let mut left: Vec<usize> = (0..25).collect();
    let mut calls = 0;
    while !left.is_empty() {
        let statements: Vec<String> = left
            .iter()
            .map(|n| format!(r#"{{"Statement":"DELETE FROM tab WHERE p = 'k{n:02}' AND c = 1"}}"#))
            .collect();
        let told = db.ok(
            "BatchExecuteStatement",
            &format!(r#"{{"Statements":[{}]}}"#, statements.join(",")),
        );
        let refused = told.matches(r#""Code":"ThrottlingError""#).count();
        assert!(refused < left.len(), "{told}");
        left.drain(..left.len() - refused);
        assert_eq!(count(&db), refused);
        calls += 1;
    }
    assert!(calls > 1);
}

/// Not each is taken for as large as an item may be.
#[test]
fn batches_of_small_updates_are_done_at_once() {
    let db = with_indexes(11, "");
    with_recovery(&db);
    with_images(&db);
    (0..25).for_each(|n| db.put(&large(&format!("k{n:02}"), 0)));
    let statements: Vec<String> = (0..25)
        .map(|n| format!(r#"{{"Statement":"UPDATE tab SET x = ? SET n = 1 WHERE p = 'k{n:02}' AND c = 1","Parameters":[{{"S":"new"}}]}}"#))
        .collect();
    let batch = format!(r#"{{"Statements":[{}]}}"#, statements.join(","));
    let told = db.ok("BatchExecuteStatement", &batch);
    assert_eq!(told.matches("TableName").count(), 25, "{told}");
    assert!(!told.contains("Error"), "{told}");
    let told = db.ok("Scan", r#"{"TableName":"tab"}"#);
    assert_eq!(told.matches(r#""x":{"S":"new"}"#).count(), 25, "{told}");
}

/// What an update makes of its item out of the item itself counts too.
#[test]
fn batches_of_updates_that_copy_are_bounded() {
    let db = with_indexes(20, "");
    with_recovery(&db);
    with_images(&db);
    (0..25).for_each(|n| db.put(&large(&format!("k{n:02}"), 190)));
    let statements: Vec<String> = (0..25)
        .map(|n| format!(r#"{{"Statement":"UPDATE tab SET y = x WHERE p = 'k{n:02}' AND c = 1"}}"#))
        .collect();
    let batch = format!(r#"{{"Statements":[{}]}}"#, statements.join(","));
    let told = db.ok("BatchExecuteStatement", &batch);
    let refused = told.matches(r#""Code":"ThrottlingError""#).count();
    assert!((1..25).contains(&refused), "{told}");
    // As the answer says it.
    for (n, done) in [(0, true), (24 - refused, true), (25 - refused, false), (24, false)] {
        let told = db.ok("GetItem", &format!(r#"{{"TableName":"tab","Key":{{"p":{{"S":"k{n:02}"}},"c":{{"N":"1"}}}},"ProjectionExpression":"y"}}"#));
        assert_eq!(told.contains('y'), done, "{n} of {refused}");
    }
}

#[test]
fn large_items_expire() {
    let db = with_indexes(3, "");
    with_recovery(&db);
    with_images(&db);
    db.ok(
        "UpdateTimeToLive",
        r#"{"TableName":"tab","TimeToLiveSpecification":{"AttributeName":"l","Enabled":true}}"#,
    );
    db.later(0);
    let end = 1_800_000_000;
    (0..50).for_each(|n| {
        db.put(
            &large(&format!("k{n}"), 390)
                .replace(r#""l":{"N":"1"}"#, &format!(r#""l":{{"N":"{end}"}}"#)),
        );
    });
    db.later(60_000);
    assert_eq!(count(&db), 0);
}

#[test]
fn large_items_come_back_into_many_indexes() {
    let db = with_indexes(20, "");
    (0..4).for_each(|n| db.put(&large(&format!("k{n}"), 390)));
    let told = db.ok("CreateBackup", r#"{"TableName":"tab","BackupName":"all"}"#);
    let arn = member(&told, "BackupArn").to_owned();
    db.later(0);
    db.ok("RestoreTableFromBackup", &format!(r#"{{"TargetTableName":"new","BackupArn":"{arn}"}}"#));
    db.later(0);
    let told = db.ok("Query", r#"{"TableName":"new","IndexName":"g19","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"S":"g"}},"Select":"COUNT"}"#);
    assert!(told.contains(r#""Count":3"#), "a page of a megabyte: {told}");
    assert!(db.ok("DescribeTable", r#"{"TableName":"new"}"#).contains(r#""ItemCount":4"#));
}

#[test]
fn an_update_stays_within_bounds() {
    let db = with_indexes(0, "");
    db.put(&large("a", 200));
    let value = "x".repeat(300 * KB);
    let update = |expression: &str, values: &str| {
        format!(
            r#"{{"TableName":"tab","Key":{{"p":{{"S":"a"}},"c":{{"N":"1"}}}},"UpdateExpression":"{expression}","ExpressionAttributeValues":{{{values}}}}}"#
        )
    };
    let many: Vec<String> = (0..300).map(|n| format!("b{n}=:v")).collect();
    let text = format!(r#"":v":{{"S":"{value}"}}"#);
    db.refused(
        "UpdateItem",
        &update(&format!("SET {}", many.join(",")), &text),
        "Item size to update has exceeded the maximum allowed size",
    );
    let two = format!(r#"":v":{{"S":"{}"}}"#, "x".repeat(2_200 * KB));
    let told = db.call("UpdateItem", &update("SET b = :v", &two)).unwrap_err();
    assert!(told.message().contains("maximum allowed size of 2097152 bytes"), "{told}");
    let told = db.call("ExecuteStatement", &format!(
        r#"{{"Statement":"UPDATE tab SET b=list_append(?, ?) WHERE p='a' AND c=1","Parameters":[{{"L":[{{"S":"{value}"}}]}},{{"L":[{{"S":"{value}"}}]}}]}}"#
    ));
    assert_eq!(
        told.unwrap_err().message(),
        "Item size to update has exceeded the maximum allowed size"
    );
}

#[test]
fn what_cannot_be_restored_is_taken_back() {
    let db = with_indexes(0, "");
    // Numbers of 38 digits count for half of what they are encoded in.
    let numbers = vec![format!(r#"{{"N":"{}"}}"#, "7".repeat(38)); 19_000].join(",");
    db.put(&format!(
        r#"{{"p":{{"S":"a"}},"c":{{"N":"1"}},"g":{{"S":"g"}},"x":{{"L":[{numbers}]}}}}"#
    ));
    for n in 0..20 {
        db.ok("UpdateTable", &format!(
            r#"{{"TableName":"tab","AttributeDefinitions":[{{"AttributeName":"g","AttributeType":"S"}}],"GlobalSecondaryIndexUpdates":[{{"Create":{{"IndexName":"g{n:02}","KeySchema":[{{"AttributeName":"g","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"ALL"}}}}}}]}}"#
        ));
        db.later(0);
    }
    // More than one transaction of the store takes.
    let told = db.call(
        "UpdateItem",
        r#"{"TableName":"tab","Key":{"p":{"S":"a"},"c":{"N":"1"}},"UpdateExpression":"SET z = c"}"#,
    );
    assert_eq!(told.unwrap_err().code(), "ValidationException");
    let told = db.ok("CreateBackup", r#"{"TableName":"tab","BackupName":"all"}"#);
    let arn = member(&told, "BackupArn").to_owned();
    db.later(0);
    db.ok("RestoreTableFromBackup", &format!(r#"{{"TargetTableName":"new","BackupArn":"{arn}"}}"#));
    let delete = format!(r#"{{"BackupArn":"{arn}"}}"#);
    assert_eq!(db.call("DeleteBackup", &delete).unwrap_err().code(), "BackupInUseException");
    (0..crate::jobs::ATTEMPTS_MAX).for_each(|_| db.later(600_000));
    let told = db.call("DescribeTable", r#"{"TableName":"new"}"#);
    assert_eq!(told.unwrap_err().code(), "ResourceNotFoundException");
    db.ok("DeleteBackup", &delete);
    db.later(0);
}
