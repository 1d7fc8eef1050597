use super::Db;

/// Each operation, with an input that reaches its table, and what it asks for.
const OPERATIONS: [(&str, &str, &str); 26] = [
    ("GetItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#, "dynamodb:GetItem"),
    ("PutItem", r#"{"TableName":"tab","Item":{"p":{"S":"a"}}}"#, "dynamodb:PutItem"),
    ("UpdateItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#, "dynamodb:UpdateItem"),
    ("DeleteItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#, "dynamodb:DeleteItem"),
    (
        "Query",
        r#"{"TableName":"tab","KeyConditions":{"p":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}}}"#,
        "dynamodb:Query",
    ),
    ("Scan", r#"{"TableName":"tab"}"#, "dynamodb:Scan"),
    (
        "BatchGetItem",
        r#"{"RequestItems":{"tab":{"Keys":[{"p":{"S":"a"}}]}}}"#,
        "dynamodb:BatchGetItem",
    ),
    (
        "BatchWriteItem",
        r#"{"RequestItems":{"tab":[{"DeleteRequest":{"Key":{"p":{"S":"a"}}}}]}}"#,
        "dynamodb:BatchWriteItem",
    ),
    (
        "TransactGetItems",
        r#"{"TransactItems":[{"Get":{"TableName":"tab","Key":{"p":{"S":"a"}}}}]}"#,
        "dynamodb:GetItem",
    ),
    (
        "TransactWriteItems",
        r#"{"TransactItems":[{"ConditionCheck":{"TableName":"tab","Key":{"p":{"S":"a"}},"ConditionExpression":"attribute_exists(p)"}}]}"#,
        "dynamodb:ConditionCheckItem",
    ),
    ("DescribeTable", r#"{"TableName":"tab"}"#, "dynamodb:DescribeTable"),
    ("DeleteTable", r#"{"TableName":"tab"}"#, "dynamodb:DeleteTable"),
    (
        "UpdateContinuousBackups",
        r#"{"TableName":"tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}"#,
        "dynamodb:UpdateContinuousBackups",
    ),
    ("CreateBackup", r#"{"TableName":"tab","BackupName":"name"}"#, "dynamodb:CreateBackup"),
    (
        "DescribeBackup",
        r#"{"BackupArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab/backup/01489602797149-73d8d5bc"}"#,
        "dynamodb:DescribeBackup",
    ),
    (
        "DeleteBackup",
        r#"{"BackupArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab/backup/01489602797149-73d8d5bc"}"#,
        "dynamodb:DeleteBackup",
    ),
    ("ListBackups", "{}", "dynamodb:ListBackups"),
    (
        "RestoreTableFromBackup",
        r#"{"TargetTableName":"new","BackupArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab/backup/01489602797149-73d8d5bc"}"#,
        "dynamodb:BatchWriteItem",
    ),
    (
        "RestoreTableToPointInTime",
        r#"{"SourceTableName":"tab","TargetTableName":"new","UseLatestRestorableTime":true}"#,
        "dynamodb:RestoreTableToPointInTime",
    ),
    (
        "ExportTableToPointInTime",
        r#"{"TableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab","S3Bucket":"bucket"}"#,
        "s3:PutObject",
    ),
    (
        "DescribeExport",
        r#"{"ExportArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab/export/01489602797149-73d8d5bc"}"#,
        "dynamodb:DescribeExport",
    ),
    ("ListExports", "{}", "dynamodb:ListExports"),
    (
        "ImportTable",
        r#"{"S3BucketSource":{"S3Bucket":"bucket"},"InputFormat":"CSV","TableCreationParameters":{"TableName":"new","KeySchema":[{"AttributeName":"p","KeyType":"HASH"}],"AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"}],"BillingMode":"PAY_PER_REQUEST"}}"#,
        "s3:GetObject",
    ),
    ("ListImports", "{}", "dynamodb:ListImports"),
    ("ListTables", "{}", "dynamodb:ListTables"),
    ("DescribeLimits", "{}", "dynamodb:DescribeLimits"),
];

#[test]
fn nothing_goes_without_permission() {
    for (operation, input, action) in OPERATIONS {
        let db = Db::with_table(false);
        db.world.door.forbidden.lock().unwrap().insert(action);
        let error = db.call(operation, input).expect_err(operation);
        assert_eq!(error.code(), "AccessDenied", "{operation}");
    }
}

#[test]
fn members_of_a_batch_are_asked_for_each() {
    let db = Db::with_table(false);
    let input = r#"{"TransactItems":[
        {"Put":{"TableName":"tab","Item":{"p":{"S":"x"}}}},
        {"Delete":{"TableName":"tab","Key":{"p":{"S":"y"}}}},
        {"Update":{"TableName":"tab","Key":{"p":{"S":"z"}},"UpdateExpression":"REMOVE q"}}]}"#;
    db.world.door.asked.lock().unwrap().clear();
    db.ok("TransactWriteItems", input);
    let asked = db.world.door.asked.lock().unwrap();
    let shown: Vec<String> =
        asked.iter().map(|ask| format!("{} on {}", ask.action, ask.resource)).collect();
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/tab";
    let expected = ["PutItem", "DeleteItem", "UpdateItem"]
        .map(|action| format!("dynamodb:{action} on {table}"));
    assert_eq!(shown, expected);
    let attributes =
        asked[2].context.iter().find(|(name, _)| name == "dynamodb:attributes").unwrap();
    assert_eq!(attributes.1, ["p", "q"]);
    assert!(asked.iter().all(|ask| {
        ask.context.iter().any(|(name, values)| {
            name == "dynamodb:enclosingoperation" && values == &["TransactWriteItems"]
        })
    }));
}
