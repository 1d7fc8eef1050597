use super::{Db, member};

fn create(rest: &str) -> String {
    format!(
        r#"{{"TableName":"tab","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}}],"AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}}]{rest}}}"#
    )
}

const ON_DEMAND: &str = r#","BillingMode":"PAY_PER_REQUEST""#;

#[test]
fn a_table_comes_and_goes() {
    let db = Db::new();
    let made = db.ok("CreateTable", &create(ON_DEMAND));
    assert_eq!(member(&made, "TableStatus"), "CREATING");
    assert_eq!(member(&made, "TableArn"), "arn:aws:dynamodb:us-east-1:000000000000:table/tab");
    db.check(
        "CreateTable",
        &create(ON_DEMAND),
        "ResourceInUseException: Table already exists: tab",
    );
    let told = db.ok("DescribeTable", r#"{"TableName":"tab"}"#);
    assert_eq!(member(&told, "TableStatus"), "ACTIVE");
    db.check("ListTables", "{}", r#"{"TableNames":["tab"]}"#);
    db.put(r#"{"p":{"S":"a"}}"#);
    let gone = db.ok("DeleteTable", r#"{"TableName":"tab"}"#);
    assert_eq!(member(&gone, "TableStatus"), "DELETING");
    db.check(
        "DescribeTable",
        r#"{"TableName":"tab"}"#,
        "ResourceNotFoundException: Requested resource not found: Table: tab not found",
    );
    db.check(
        "DeleteTable",
        r#"{"TableName":"tab"}"#,
        "ResourceNotFoundException: Requested resource not found: Table: tab not found",
    );
    db.ok("CreateTable", &create(ON_DEMAND));
    db.check("Scan", r#"{"TableName":"tab"}"#, r#"{"Items":[],"Count":0,"ScannedCount":0}"#);
    assert!(db.world.run_jobs(&db.tables) > 0);
    let left = db.world.store.read(|tx| {
        let scope = store::Scope::AccountRegion(db.world.account, base::Region::us_east_1());
        tx.scan(&crate::rows::ITEMS, &scope).keys().count()
    });
    assert_eq!(left, 0);
}

#[test]
fn accounts_have_their_own_tables() {
    let mut db = Db::with_table(false);
    db.world.account = base::AccountId::parse("123456789012").unwrap();
    db.check("ListTables", "{}", r#"{"TableNames":[]}"#);
    db.check(
        "Scan",
        r#"{"TableName":"tab"}"#,
        "ResourceNotFoundException: Requested resource not found",
    );
}

#[test]
fn bad_tables_are_refused_in_words() {
    let db = Db::new();
    let invalid = "One or more parameter values were invalid: ";
    db.refused("CreateTable", &create(""), &format!("{invalid}ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"));
    let units = r#","ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}"#;
    db.refused("CreateTable", &create(&format!("{ON_DEMAND}{units}")), &format!("{invalid}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"));
    let schema = |schema: &str, definitions: &str| {
        let elements = |text: &str, name: &str| {
            let all: Vec<String> = text
                .split_whitespace()
                .map(|part| {
                    let (attribute, kind) = part.split_once(':').unwrap();
                    format!(r#"{{"AttributeName":"{attribute}","{name}":"{kind}"}}"#)
                })
                .collect();
            all.join(",")
        };
        format!(
            r#"{{"TableName":"tab"{ON_DEMAND},"KeySchema":[{}],"AttributeDefinitions":[{}]}}"#,
            elements(schema, "KeyType"),
            elements(definitions, "AttributeType")
        )
    };
    db.refused(
        "CreateTable",
        &schema("p:RANGE", "p:S"),
        "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
    );
    db.refused(
        "CreateTable",
        &schema("p:HASH c:HASH", "p:S c:S"),
        "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
    );
    db.refused(
        "CreateTable",
        &schema("p:HASH p:RANGE", "p:S"),
        "Both the Hash Key and the Range Key element in the KeySchema have the same name",
    );
    db.refused("CreateTable", &schema("p:HASH", "q:S"), &format!("{invalid}Some index key attributes are not defined in AttributeDefinitions. Keys: [p], AttributeDefinitions: [q]"));
    db.refused("CreateTable", &schema("p:HASH", "p:S q:S"), &format!("{invalid}Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions"));
    db.refused(
        "DescribeTable",
        r#"{"TableName":"a"}"#,
        "TableName must be at least 3 characters long and at most 255 characters long",
    );
    db.check("ListTables", "{}", r#"{"TableNames":[]}"#);
}

#[test]
fn settings_of_a_table() {
    let db = Db::with_table(false);
    db.refused("UpdateTable", r#"{"TableName":"tab"}"#, "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required");
    db.ok("UpdateTable", r#"{"TableName":"tab","DeletionProtectionEnabled":true}"#);
    let error = db.call("DeleteTable", r#"{"TableName":"tab"}"#).unwrap_err();
    assert!(
        error.message().starts_with(
            "Resource cannot be deleted as it is currently protected against deletion."
        )
    );
    db.ok("UpdateTable", r#"{"TableName":"tab","BillingMode":"PROVISIONED","ProvisionedThroughput":{"ReadCapacityUnits":3,"WriteCapacityUnits":4},"DeletionProtectionEnabled":false}"#);
    let told = db.ok("DescribeTable", r#"{"TableName":"tab"}"#);
    assert!(told.contains(r#""ReadCapacityUnits":3,"WriteCapacityUnits":4"#), "{told}");
    let arn = r#""ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab""#;
    // The model names no output: there is no body.
    db.check(
        "TagResource",
        &format!(r#"{{{arn},"Tags":[{{"Key":"a","Value":"1"}},{{"Key":"b","Value":"2"}}]}}"#),
        "",
    );
    db.ok("UntagResource", &format!(r#"{{{arn},"TagKeys":["a"]}}"#));
    db.check("ListTagsOfResource", &format!("{{{arn}}}"), r#"{"Tags":[{"Key":"b","Value":"2"}]}"#);
    db.ok("DeleteTable", r#"{"TableName":"tab"}"#);
}

#[test]
fn a_listing_goes_on() {
    let db = Db::new();
    for name in ["aaa", "bbb", "ccc"] {
        db.ok("CreateTable", &create(ON_DEMAND).replace("\"tab\"", &format!("\"{name}\"")));
    }
    db.check(
        "ListTables",
        r#"{"Limit":2}"#,
        r#"{"TableNames":["aaa","bbb"],"LastEvaluatedTableName":"bbb"}"#,
    );
    db.check(
        "ListTables",
        r#"{"Limit":2,"ExclusiveStartTableName":"bbb"}"#,
        r#"{"TableNames":["ccc"]}"#,
    );
}

#[test]
fn insights_are_listed_in_pages() {
    let db = Db::with_table(false);
    for name in ["one", "two"] {
        db.ok("CreateTable", &format!(r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}}],"AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}},{{"AttributeName":"g","AttributeType":"S"}}],"GlobalSecondaryIndexes":[{{"IndexName":"glo","KeySchema":[{{"AttributeName":"g","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"ALL"}}}}]}}"#));
        for index in ["", r#","IndexName":"glo""#] {
            db.ok(
                "UpdateContributorInsights",
                &format!(r#"{{"TableName":"{name}","ContributorInsightsAction":"ENABLE"{index}}}"#),
            );
        }
    }
    for size in 1..5 {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let told =
                db.ok("ListContributorInsights", &format!(r#"{{"MaxResults":{size}{token}}}"#));
            let of = told.split(r#"{"TableName":""#).skip(1);
            let page: Vec<_> = of.map(|one| (one[..3].to_owned(), one.contains("glo"))).collect();
            assert!(page.len() <= size, "{told}");
            seen.extend(page);
            if !told.contains("NextToken") {
                break;
            }
            token = format!(r#","NextToken":"{}""#, member(&told, "NextToken"));
        }
        let both = |name: &str| [(name.to_owned(), false), (name.to_owned(), true)];
        assert_eq!(seen, [both("one"), both("two")].concat(), "pages of {size}");
    }
    db.refused(
        "ListContributorInsights",
        r#"{"NextToken":"x"}"#,
        "The provided NextToken is invalid",
    );
}
