use super::Db;

const INDEXES: &str = r#"{"TableName":"tab","BillingMode":"PAY_PER_REQUEST",
    "KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"c","KeyType":"RANGE"}],
    "AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"c","AttributeType":"N"},{"AttributeName":"g","AttributeType":"S"},{"AttributeName":"l","AttributeType":"N"}],
    "GlobalSecondaryIndexes":[{"IndexName":"glo","KeySchema":[{"AttributeName":"g","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}],
    "LocalSecondaryIndexes":[{"IndexName":"loc","KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}],"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["x"]}}]}"#;

fn glo(db: &Db) -> String {
    db.ok("Query", r#"{"TableName":"tab","IndexName":"glo","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"S":"g"}}}"#)
}

#[test]
fn entries_follow_their_items() {
    let db = Db::new();
    db.ok("CreateTable", INDEXES);
    let none = r#"{"Items":[],"Count":0,"ScannedCount":0}"#;
    db.put(r#"{"p":{"S":"a"},"c":{"N":"1"},"x":{"S":"x"}}"#);
    assert_eq!(glo(&db), none);
    db.put(
        r#"{"p":{"S":"a"},"c":{"N":"1"},"g":{"S":"g"},"l":{"N":"7"},"x":{"S":"x"},"y":{"S":"y"}}"#,
    );
    let entry = |l: &str| {
        format!(
            r#"{{"Items":[{{"c":{{"N":"1"}},"g":{{"S":"g"}},"l":{{"N":"{l}"}},"p":{{"S":"a"}}}}],"Count":1,"ScannedCount":1}}"#
        )
    };
    assert_eq!(glo(&db), entry("7"));
    let update = |expression: &str| {
        db.ok("UpdateItem", &format!(r#"{{"TableName":"tab","Key":{{"p":{{"S":"a"}},"c":{{"N":"1"}}}},"UpdateExpression":"{expression}"}}"#))
    };
    db.ok("UpdateItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"},"c":{"N":"1"}},"UpdateExpression":"ADD l :n","ExpressionAttributeValues":{":n":{"N":"1"}}}"#);
    assert_eq!(glo(&db), entry("8"));
    let local = |rest: &str| {
        format!(
            r#"{{"TableName":"tab","IndexName":"loc","KeyConditionExpression":"p = :p AND l > :l","ExpressionAttributeValues":{{":p":{{"S":"a"}},":l":{{"N":"0"}}}}{rest}}}"#
        )
    };
    db.check("Query", &local(""), r#"{"Items":[{"c":{"N":"1"},"l":{"N":"8"},"p":{"S":"a"},"x":{"S":"x"}}],"Count":1,"ScannedCount":1}"#);
    // What a local index does not have comes from the table.
    db.check(
        "Query",
        &local(r#","ProjectionExpression":"y""#),
        r#"{"Items":[{"y":{"S":"y"}}],"Count":1,"ScannedCount":1}"#,
    );
    update("REMOVE l");
    assert_eq!(glo(&db), none);
    db.check("Query", &local(""), none);
}

#[test]
fn bad_values_for_indexes() {
    let db = Db::new();
    db.ok("CreateTable", INDEXES);
    db.refused("PutItem", r#"{"TableName":"tab","Item":{"p":{"S":"a"},"c":{"N":"1"},"g":{"N":"1"}}}"#, "One or more parameter values were invalid: Type mismatch for Index Key g Expected: S Actual: N IndexName: glo");
    db.refused("Query", r#"{"TableName":"tab","IndexName":"glo","ConsistentRead":true,"KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"S":"g"}}}"#, "Consistent reads are not supported on global secondary indexes");
    db.refused("Query", r#"{"TableName":"tab","IndexName":"glo","Select":"ALL_ATTRIBUTES","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"S":"g"}}}"#, "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index glo because its projection type is not ALL");
}

#[test]
fn capacity_of_indexes() {
    let db = Db::new();
    db.ok("CreateTable", INDEXES);
    let put = |l: &str| {
        format!(
            r#"{{"TableName":"tab","Item":{{"p":{{"S":"a"}},"c":{{"N":"1"}},"g":{{"S":"g"}},"l":{{"N":"{l}"}}}},"ReturnConsumedCapacity":"INDEXES","ReturnItemCollectionMetrics":"SIZE"}}"#
        )
    };
    let told = |units: &str, each: &str| {
        format!(
            r#"{{"ConsumedCapacity":{{"TableName":"tab","CapacityUnits":{units},"Table":{{"CapacityUnits":1.0}},"LocalSecondaryIndexes":{{"loc":{{"CapacityUnits":{each}}}}},"GlobalSecondaryIndexes":{{"glo":{{"CapacityUnits":{each}}}}}}},"ItemCollectionMetrics":{{"ItemCollectionKey":{{"p":{{"S":"a"}}}},"SizeEstimateRangeGB":[0.0,1.0]}}}}"#
        )
    };
    db.check("PutItem", &put("1"), &told("3.0", "1.0"));
    db.check("PutItem", &put("2"), &told("5.0", "2.0"));
}

#[test]
fn an_index_is_filled_by_a_job() {
    let db = Db::with_table(true);
    for n in 0..450 {
        db.put(&format!(r#"{{"p":{{"S":"{n}"}},"c":{{"N":"{n}"}},"g":{{"S":"g"}}}}"#));
    }
    let create = r#"{"TableName":"tab","AttributeDefinitions":[{"AttributeName":"g","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"glo","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]}"#;
    db.ok("UpdateTable", create);
    let told = db.ok("DescribeTable", r#"{"TableName":"tab"}"#);
    assert!(
        told.contains(r#""TableStatus":"UPDATING""#)
            && told.contains(r#""IndexStatus":"CREATING","Backfilling":true"#),
        "{told}"
    );
    let query = r#"{"TableName":"tab","IndexName":"glo","Select":"COUNT","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"S":"g"}}}"#;
    db.refused("Query", query, "Cannot read from backfilling global secondary index: glo");
    // Nothing else is changed in the meantime.
    const BUSY: &str = "ResourceInUseException: Attempt to change a resource which is still in use: Table is being updated: tab";
    db.check("DeleteTable", r#"{"TableName":"tab"}"#, BUSY);
    db.check("UpdateTable", &create.replace("glo", "other"), BUSY);
    db.check("UpdateTable", r#"{"TableName":"tab","DeletionProtectionEnabled":true}"#, BUSY);
    // Nor is it together with taking the index back.
    for other in [
        r#""BillingMode":"PROVISIONED","ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}"#,
        r#""ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}"#,
        r#""StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}"#,
        r#""TableClass":"STANDARD_INFREQUENT_ACCESS""#,
        r#""DeletionProtectionEnabled":true"#,
        r#""SSESpecification":{"Enabled":true}"#,
        r#""OnDemandThroughput":{"MaxReadRequestUnits":5}"#,
    ] {
        let both = format!(
            r#"{{"TableName":"tab",{other},"GlobalSecondaryIndexUpdates":[{{"Delete":{{"IndexName":"glo"}}}}]}}"#
        );
        db.check("UpdateTable", &both, BUSY);
    }
    // Items that change while it is being filled are in it as they are.
    db.ok("DeleteItem", r#"{"TableName":"tab","Key":{"p":{"S":"7"},"c":{"N":"7"}}}"#);
    assert!(db.world.run_jobs(&db.tables) > 2);
    db.check("Query", query, r#"{"Count":449,"ScannedCount":449}"#);
    db.ok(
        "UpdateTable",
        r#"{"TableName":"tab","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"glo"}}]}"#,
    );
    db.refused("Query", query, "The table does not have the specified index: glo");
    db.world.run_jobs(&db.tables);
    let told = db.ok("DescribeTable", r#"{"TableName":"tab"}"#);
    assert!(told.contains(r#""TableStatus":"ACTIVE""#) && !told.contains("glo"), "{told}");
}

#[test]
fn filters_of_queries_look_at_what_the_index_has() {
    let db = Db::new();
    db.ok("CreateTable", INDEXES);
    let refused = |index: &str, key: &str, filter: &str, missing: &str| {
        let text = format!(
            "One or more parameter values were invalid: Secondary index {index} does not project one or more filter attributes: [{missing}]"
        );
        db.refused(
            "Query",
            &format!(r#"{{"TableName":"tab","IndexName":"{index}",{key},{filter}}}"#),
            &text,
        );
    };
    let key = |name: &str| {
        format!(
            r#""KeyConditionExpression":"{name} = :k","ExpressionAttributeValues":{{":k":{{"S":"g"}}}}"#
        )
    };
    let filter = r#""FilterExpression":"attribute_exists(y) AND z = :k AND y <> :k""#;
    refused("glo", &key("g"), filter, "y, z");
    refused("loc", &key("p"), filter, "y, z");
    refused("loc", &key("p"), &format!(r#"{filter},"Select":"ALL_ATTRIBUTES""#), "y, z");
    let older = |name: &str| {
        format!(
            r#""KeyConditions":{{"{name}":{{"ComparisonOperator":"EQ","AttributeValueList":[{{"S":"g"}}]}}}}"#
        )
    };
    let filter = r#""QueryFilter":{"y":{"ComparisonOperator":"NOT_NULL"}}"#;
    refused("glo", &older("g"), filter, "y");
    refused("loc", &older("p"), filter, "y");
    let fits = r#""FilterExpression":"attribute_not_exists(x) AND attribute_exists(c)""#;
    db.ok("Query", &format!(r#"{{"TableName":"tab","IndexName":"loc",{},{fits}}}"#, key("p")));
    // A scan's filter may ask for anything; nothing that is not there fits.
    db.put(r#"{"p":{"S":"a"},"c":{"N":"1"},"g":{"S":"g"},"l":{"N":"7"},"y":{"S":"y"}}"#);
    let scan = r#"{"TableName":"tab","IndexName":"glo","FilterExpression":"attribute_exists(y)"}"#;
    db.check("Scan", scan, r#"{"Items":[],"Count":0,"ScannedCount":1}"#);
}

#[test]
fn an_index_that_is_being_made_can_be_taken_back() {
    let db = Db::with_table(true);
    db.put(r#"{"p":{"S":"a"},"c":{"N":"1"},"g":{"S":"g"}}"#);
    db.ok("UpdateTable", r#"{"TableName":"tab","AttributeDefinitions":[{"AttributeName":"g","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"glo","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]}"#);
    db.ok(
        "UpdateTable",
        r#"{"TableName":"tab","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"glo"}}]}"#,
    );
    db.world.run_jobs(&db.tables);
    db.ok("DeleteTable", r#"{"TableName":"tab"}"#);
}

#[test]
fn all_indexes_of_a_table_are_provisioned_with_it() {
    let db = Db::new();
    db.ok("CreateTable", INDEXES);
    let throughput = r#""ProvisionedThroughput":{"ReadCapacityUnits":3,"WriteCapacityUnits":4}"#;
    let update = |more: &str| {
        format!(r#"{{"TableName":"tab","BillingMode":"PROVISIONED",{throughput}{more}}}"#)
    };
    const MISSING: &str = "One or more parameter values were invalid: ProvisionedThroughput must be specified for index: glo";
    db.refused("UpdateTable", &update(""), MISSING);
    let told = db.ok("CreateBackup", r#"{"TableName":"tab","BackupName":"all"}"#);
    let arn = super::member(&told, "BackupArn").to_owned();
    db.later(0);
    let restore = |more: &str| {
        format!(
            r#"{{"TargetTableName":"new","BackupArn":"{arn}","BillingModeOverride":"PROVISIONED","ProvisionedThroughputOverride":{{"ReadCapacityUnits":3,"WriteCapacityUnits":4}}{more}}}"#
        )
    };
    db.refused("RestoreTableFromBackup", &restore(""), MISSING);
    db.ok("RestoreTableFromBackup", &restore(r#","GlobalSecondaryIndexOverride":[]"#));
    let index = format!(
        r#","GlobalSecondaryIndexUpdates":[{{"Update":{{"IndexName":"glo",{throughput}}}}}]"#
    );
    db.ok("UpdateTable", &update(&index));
    let told = db.ok("DescribeTable", r#"{"TableName":"tab"}"#);
    assert_eq!(
        told.matches(r#""ReadCapacityUnits":3,"WriteCapacityUnits":4"#).count(),
        2,
        "{told}"
    );
    // Decreases are counted by the day.
    let less = |reads: u32| {
        db.ok("UpdateTable", &format!(r#"{{"TableName":"tab","ProvisionedThroughput":{{"ReadCapacityUnits":{reads},"WriteCapacityUnits":4}}}}"#))
    };
    let count = |told: &str| {
        let (_, rest) = told.split_once(r#""NumberOfDecreasesToday":"#).unwrap();
        rest[..1].to_owned()
    };
    less(2);
    less(1);
    let described = || db.ok("DescribeTable", r#"{"TableName":"tab"}"#);
    assert_eq!(count(&described()), "2");
    db.world.clock.advance_ms(24 * 3_600_000);
    assert_eq!(count(&described()), "0");
    less(3);
    less(2);
    assert_eq!(count(&described()), "1");
}

#[test]
fn new_indexes_count_what_all_keep() {
    let db = Db::with_table(false);
    let create = |number: usize, attributes: usize| {
        let names: Vec<String> = (0..attributes).map(|n| format!(r#""a{n}""#)).collect();
        db.call("UpdateTable", &format!(
            r#"{{"TableName":"tab","AttributeDefinitions":[{{"AttributeName":"g","AttributeType":"S"}}],"GlobalSecondaryIndexUpdates":[{{"Create":{{"IndexName":"glo{number}","KeySchema":[{{"AttributeName":"g","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"INCLUDE","NonKeyAttributes":[{}]}}}}}}]}}"#,
            names.join(",")
        ))
    };
    (0..5).for_each(|n| drop(create(n, 20).unwrap()));
    let told = create(5, 1).unwrap_err();
    assert!(told.message().contains("per-table limit of 100"), "{told}");
}

#[test]
fn a_batch_names_no_item_twice() {
    let db = Db::with_table(false);
    db.put(r#"{"p":{"S":"a"}}"#);
    const TWICE: &str = "Provided list of item keys contains duplicates";
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/tab";
    for other in ["a", "b"] {
        let request =
            |key: &str| format!(r#"[{{"DeleteRequest":{{"Key":{{"p":{{"S":"{key}"}}}}}}}}]"#);
        let write =
            format!(r#"{{"RequestItems":{{"tab":{},"{arn}":{}}}}}"#, request("a"), request(other));
        let request = |key: &str| format!(r#"{{"Keys":[{{"p":{{"S":"{key}"}}}}]}}"#);
        let get =
            format!(r#"{{"RequestItems":{{"tab":{},"{arn}":{}}}}}"#, request("a"), request(other));
        if other == "a" {
            db.refused("BatchGetItem", &get, TWICE);
            db.refused("BatchWriteItem", &write, TWICE);
        } else {
            db.ok("BatchGetItem", &get);
            db.ok("BatchWriteItem", &write);
        }
    }
}

#[test]
fn a_key_twice_is_told_before_the_table_is_looked_for() {
    let db = Db::new();
    let get = |keys: &str| format!(r#"{{"RequestItems":{{"none":{{"Keys":[{keys}]}}}}}}"#);
    let twice = get(r#"{"p":{"N":"1"}},{"p":{"N":"2"}},{"p":{"N":"1.0"}}"#);
    db.refused("BatchGetItem", &twice, "Provided list of item keys contains duplicates");
    let missing = db.call("BatchGetItem", &get(r#"{"p":{"N":"1"}}"#)).unwrap_err();
    assert_eq!(missing.code(), "ResourceNotFoundException");
}
