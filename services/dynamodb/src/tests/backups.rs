use super::{Db, member};
use base::Entropy;
use std::collections::BTreeMap;

/// All items of a table by partition key, with their number.
fn items(db: &Db, table: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut start = String::new();
    loop {
        let answer = db.ok("Scan", &format!(r#"{{"TableName":"{table}"{start}}}"#));
        for part in answer.split("{\"n\":{\"N\":\"").skip(1) {
            let number = part.split('"').next().unwrap();
            all.insert(member(part, "S").to_owned(), number.to_owned());
        }
        if !answer.contains("LastEvaluatedKey") {
            return all;
        }
        let key = answer.split("\"LastEvaluatedKey\":").nth(1).unwrap();
        let key = &key[..key.find("}}").unwrap() + 2];
        start = format!(r#","ExclusiveStartKey":{key}"#);
    }
}

fn put(db: &Db, p: &str, n: u64) {
    db.put(&format!(r#"{{"p":{{"S":"{p}"}},"n":{{"N":"{n}"}}}}"#));
}

fn backup(db: &Db, name: &str) -> String {
    let told = db.ok("CreateBackup", &format!(r#"{{"TableName":"tab","BackupName":"{name}"}}"#));
    assert!(told.contains(r#""BackupStatus":"CREATING""#), "{told}");
    member(&told, "BackupArn").to_owned()
}

#[test]
fn a_backup_is_of_its_moment_and_outlives_its_table() {
    let db = Db::with_table(false);
    for n in 0..450 {
        put(&db, &format!("k{n}"), n);
    }
    let before = items(&db, "tab");
    assert_eq!(before.len(), 450);
    let arn = backup(&db, "first");
    let by_arn = format!(r#"{{"BackupArn":"{arn}"}}"#);
    assert!(arn.contains(":table/tab/backup/"), "{arn}");
    db.steps(1);
    // Half is copied: what changes now, in either half, is not in it.
    for n in 0..100 {
        put(&db, &format!("k{n}"), 9999);
    }
    put(&db, "new", 1);
    db.ok("DeleteItem", r#"{"TableName":"tab","Key":{"p":{"S":"k200"}}}"#);
    let error = db.call("DeleteBackup", &by_arn).unwrap_err();
    assert_eq!(error.code(), "BackupInUseException");
    let error = db.call("DeleteTable", r#"{"TableName":"tab"}"#).unwrap_err();
    assert_eq!(error.code(), "ResourceInUseException");
    db.later(0);
    let told = db.ok("DescribeBackup", &by_arn);
    assert!(
        told.contains(r#""BackupStatus":"AVAILABLE""#) && told.contains(r#""ItemCount":450"#),
        "{told}"
    );
    db.ok("DeleteTable", r#"{"TableName":"tab"}"#);
    db.later(0);
    let restore = format!(r#"{{"TargetTableName":"again","BackupArn":"{arn}"}}"#);
    let told = db.ok("RestoreTableFromBackup", &restore);
    assert!(
        told.contains(r#""TableStatus":"CREATING""#)
            && told.contains(r#""RestoreInProgress":true"#),
        "{told}"
    );
    let error = db.call("Scan", r#"{"TableName":"again"}"#).unwrap_err();
    assert_eq!(error.to_string(), "ResourceNotFoundException: Requested resource not found");
    let error = db.call("DeleteTable", r#"{"TableName":"again"}"#).unwrap_err();
    assert_eq!(error.code(), "ResourceInUseException");
    assert_eq!(db.call("DeleteBackup", &by_arn).unwrap_err().code(), "BackupInUseException");
    let error = db.call("RestoreTableFromBackup", &restore).unwrap_err();
    assert_eq!(error.code(), "TableAlreadyExistsException");
    db.later(0);
    let told = db.ok("DescribeTable", r#"{"TableName":"again"}"#);
    assert!(
        told.contains(r#""TableStatus":"ACTIVE""#) && told.contains(r#""RestoreInProgress":false"#),
        "{told}"
    );
    assert_eq!(items(&db, "again"), before);
    assert!(db.ok("DeleteBackup", &by_arn).contains(r#""BackupStatus":"DELETED""#));
    db.later(0);
    assert_eq!(db.call("DescribeBackup", &by_arn).unwrap_err().code(), "BackupNotFoundException");
    assert_eq!(items(&db, "again"), before);
}

fn recovery(db: &Db, on: bool) -> String {
    db.ok(
        "UpdateContinuousBackups",
        &format!(
            r#"{{"TableName":"tab","PointInTimeRecoverySpecification":{{"PointInTimeRecoveryEnabled":{on}}}}}"#
        ),
    )
}

fn restore_at(db: &Db, name: &str, seconds: f64) -> Result<String, api::Error> {
    db.call(
        "RestoreTableToPointInTime",
        &format!(
            r#"{{"SourceTableName":"tab","TargetTableName":"{name}","RestoreDateTime":{seconds}}}"#
        ),
    )
}

/// Random changes, some of them while copies are being made: every state comes back as it was.
#[test]
fn every_state_can_be_had_again() {
    let db = Db::with_table(false);
    let chance = base::SeededEntropy::new(7);
    for n in 0..300 {
        put(&db, &format!("k{n}"), n);
    }
    recovery(&db, true);
    let mut states: Vec<(f64, BTreeMap<String, String>)> = Vec::new();
    let now = |db: &Db| db.world.store.read(|tx| Ok::<_, api::Error>(tx.now())).unwrap();
    let mut state = items(&db, "tab");
    for round in 0..30u64 {
        for _ in 0..chance.below(12) {
            let key = format!("k{}", chance.below(400));
            match chance.below(4) {
                0 => {
                    db.ok(
                        "DeleteItem",
                        &format!(r#"{{"TableName":"tab","Key":{{"p":{{"S":"{key}"}}}}}}"#),
                    );
                    state.remove(&key);
                }
                _ => {
                    let n = 1000 + round * 100 + chance.below(100);
                    put(&db, &key, n);
                    state.insert(key, n.to_string());
                }
            }
        }
        states.push((now(&db).to_millis() as f64 / 1000.0, state.clone()));
        db.world.clock.advance_ms(1000);
    }
    for (at, (time, expected)) in states.iter().enumerate().step_by(3) {
        let name = format!("past{at}");
        restore_at(&db, &name, *time).unwrap();
        db.steps(chance.below(3) as usize);
        put(&db, &format!("k{}", chance.below(400)), 5);
        db.later(1);
        assert_eq!(items(&db, &name), *expected, "{name}");
    }
    let latest = items(&db, "tab");
    db.ok(
        "RestoreTableToPointInTime",
        r#"{"SourceTableName":"tab","TargetTableName":"latest","UseLatestRestorableTime":true}"#,
    );
    put(&db, "k1", 6);
    db.later(0);
    assert_eq!(items(&db, "latest"), latest);
}

#[test]
fn the_past_reaches_as_far_as_it_was_asked_for() {
    let db = Db::with_table(false);
    let now = |db: &Db| {
        let now = db.world.store.read(|tx| Ok::<_, api::Error>(tx.now())).unwrap();
        now.to_millis() as f64 / 1000.0
    };
    put(&db, "a", 1);
    let error = restore_at(&db, "past", now(&db)).unwrap_err();
    assert_eq!(error.code(), "PointInTimeRecoveryUnavailableException");
    let described = db.ok("DescribeContinuousBackups", r#"{"TableName":"tab"}"#);
    assert!(described.contains(r#""PointInTimeRecoveryStatus":"DISABLED""#), "{described}");
    let told = recovery(&db, true);
    assert!(
        told.contains(r#""PointInTimeRecoveryStatus":"ENABLED""#)
            && told.contains(r#""RecoveryPeriodInDays":35"#)
    );
    let began = now(&db);
    db.later(10_000);
    put(&db, "a", 2);
    assert_eq!(
        restore_at(&db, "past", began - 1.0).unwrap_err().code(),
        "InvalidRestoreTimeException"
    );
    assert_eq!(
        restore_at(&db, "past", now(&db) + 60.0).unwrap_err().code(),
        "InvalidRestoreTimeException"
    );
    restore_at(&db, "past", began).unwrap();
    db.later(0);
    assert_eq!(items(&db, "past")["a"], "1");
    let rows = |db: &Db| {
        let scope =
            store::Scope::AccountRegion(base::AccountId::DEFAULT, base::Region::us_east_1());
        let count = |tx: &api::Tx| tx.scan(&crate::rows::HISTORY, &scope).keys().count();
        db.world.store.read(|tx| Ok::<_, api::Error>(count(tx))).unwrap()
    };
    assert_eq!(rows(&db), 1);
    for _ in 0..36 {
        db.later(24 * 3_600_000);
    }
    assert_eq!(rows(&db), 0, "the past is forgotten after 35 days");
    assert_eq!(restore_at(&db, "past2", began).unwrap_err().code(), "InvalidRestoreTimeException");
    put(&db, "a", 3);
    assert_eq!(rows(&db), 1);
    recovery(&db, false);
    db.later(0);
    assert_eq!(rows(&db), 0, "and when nobody wants it");
    put(&db, "a", 4);
    assert_eq!(rows(&db), 0);
}

#[test]
fn a_deleted_table_with_recovery_is_kept() {
    let db = Db::with_table(false);
    put(&db, "a", 1);
    recovery(&db, true);
    db.ok("DeleteTable", r#"{"TableName":"tab"}"#);
    db.later(0);
    assert!(db.ok("ListBackups", "{}").contains(r#""BackupSummaries":[]"#));
    let listed = db.ok("ListBackups", r#"{"BackupType":"ALL"}"#);
    assert!(
        listed.contains(r#""BackupType":"SYSTEM""#) && listed.contains("tab$DeletedTableBackup")
    );
    let arn = member(&listed, "BackupArn");
    db.ok("RestoreTableFromBackup", &format!(r#"{{"TargetTableName":"tab","BackupArn":"{arn}"}}"#));
    db.later(0);
    assert_eq!(items(&db, "tab")["a"], "1");
    db.later(36 * 24 * 3_600_000 - 1);
    assert!(db.ok("ListBackups", r#"{"BackupType":"ALL"}"#).contains(r#""BackupSummaries":[]"#));
    assert_eq!(items(&db, "tab")["a"], "1");
}

#[test]
fn restored_tables_have_their_indexes() {
    let db = Db::new();
    db.ok(
        "CreateTable",
        r#"{"TableName":"tab","ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":5},
        "KeySchema":[{"AttributeName":"p","KeyType":"HASH"}],
        "AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"g","AttributeType":"S"},{"AttributeName":"h","AttributeType":"S"}],
        "GlobalSecondaryIndexes":[
            {"IndexName":"by-g","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"},"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}},
            {"IndexName":"by-h","KeySchema":[{"AttributeName":"h","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"},"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}}],
        "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"},"Tags":[{"Key":"a","Value":"b"}]}"#,
    );
    db.put(r#"{"p":{"S":"a"},"g":{"S":"x"},"h":{"S":"y"}}"#);
    let arn = backup(&db, "with-indexes");
    db.later(0);
    let told = db.ok("DescribeBackup", &format!(r#"{{"BackupArn":"{arn}"}}"#));
    assert!(told.contains("by-g") && told.contains(r#""BillingMode":"PROVISIONED""#), "{told}");
    let global = |name: &str, key: &str| {
        format!(
            r#"{{"IndexName":"{name}","KeySchema":[{{"AttributeName":"{key}","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"ALL"}}}}"#
        )
    };
    let restore = |name: &str, more: &str| {
        db.call(
            "RestoreTableFromBackup",
            &format!(r#"{{"TargetTableName":"{name}","BackupArn":"{arn}"{more}}}"#),
        )
    };
    let error =
        restore("bad", &format!(r#","GlobalSecondaryIndexOverride":[{}]"#, global("by-g", "h")));
    assert_eq!(error.unwrap_err().code(), "ValidationException");
    let ranged = global("by-g", "g").replace("HASH", "RANGE");
    let error = restore("bad", &format!(r#","GlobalSecondaryIndexOverride":[{ranged}]"#));
    assert_eq!(error.unwrap_err().code(), "ValidationException");
    let limits = r#""OnDemandThroughput":{"MaxReadRequestUnits":7},"WarmThroughput":{"WriteUnitsPerSecond":5000}"#;
    let some = format!(
        r#","BillingModeOverride":"PAY_PER_REQUEST","GlobalSecondaryIndexOverride":[{},{limits}}}]"#,
        global("by-h", "h").trim_end_matches('}').to_owned() + "}"
    );
    restore("some", &some).unwrap();
    restore("whole", "").unwrap();
    db.later(0);
    let told = db.ok("DescribeTable", r#"{"TableName":"some"}"#);
    assert!(
        !told.contains("by-g") && told.contains("PAY_PER_REQUEST") && !told.contains("StreamArn"),
        "{told}"
    );
    for limit in [r#""MaxReadRequestUnits":7"#, r#""WriteUnitsPerSecond":5000"#] {
        assert!(told.contains(limit), "{told}");
    }
    for (table, index, key, value) in
        [("some", "by-h", "h", "y"), ("whole", "by-g", "g", "x"), ("whole", "by-h", "h", "y")]
    {
        let found = db.ok("Query", &format!(
            r#"{{"TableName":"{table}","IndexName":"{index}","KeyConditionExpression":"{key} = :v","ExpressionAttributeValues":{{":v":{{"S":"{value}"}}}}}}"#
        ));
        assert!(found.contains(r#""Count":1"#), "{table} {index} {found}");
    }
}

#[test]
fn backups_are_listed() {
    let db = Db::with_table(false);
    let arns: Vec<String> = (0..3)
        .map(|n| {
            let arn = backup(&db, &format!("backup-{n}"));
            db.later(1000);
            arn
        })
        .collect();
    let listed = db.ok("ListBackups", r#"{"Limit":2}"#);
    assert_eq!(listed.matches("BackupName").count(), 2);
    let last = member(&listed, "LastEvaluatedBackupArn");
    assert_eq!(last, arns[1]);
    let rest = db
        .ok("ListBackups", &format!(r#"{{"TableName":"tab","ExclusiveStartBackupArn":"{last}"}}"#));
    assert!(
        rest.contains(&arns[2]) && !rest.contains(&arns[1]) && !rest.contains("LastEvaluated"),
        "{rest}"
    );
    assert!(db.ok("ListBackups", r#"{"TableName":"other"}"#).contains(r#""BackupSummaries":[]"#));
    let error = db.call("DescribeBackup", r#"{"BackupArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab/backup/01489602797149-73d8d5bc"}"#);
    assert_eq!(error.unwrap_err().code(), "BackupNotFoundException");
    db.refused(
        "DescribeBackup",
        r#"{"BackupArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab"}"#,
        "Invalid backup ARN: arn:aws:dynamodb:us-east-1:000000000000:table/tab",
    );
    assert_eq!(
        db.call("CreateBackup", r#"{"TableName":"none","BackupName":"name"}"#).unwrap_err().code(),
        "TableNotFoundException"
    );
}
