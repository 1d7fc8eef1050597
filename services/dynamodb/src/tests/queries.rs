use super::Db;

fn numbers() -> Db {
    let db = Db::with_table(true);
    for n in [-10, -2, 0, 1, 2, 10, 100] {
        db.put(&format!(
            r#"{{"p":{{"S":"a"}},"c":{{"N":"{n}"}},"even":{{"BOOL":{}}}}}"#,
            n % 2 == 0
        ));
    }
    db.put(r#"{"p":{"S":"b"},"c":{"N":"1"}}"#);
    db
}

/// The sort keys of an answer.
fn found(answer: &str) -> Vec<i64> {
    let items = answer.split("\"LastEvaluatedKey\"").next().unwrap_or("");
    items
        .split("\"c\":{\"N\":\"")
        .skip(1)
        .map(|part| part.split('"').next().unwrap().parse().unwrap())
        .collect()
}

fn query(db: &Db, condition: &str, rest: &str) -> String {
    db.ok("Query", &format!(r#"{{"TableName":"tab","KeyConditionExpression":"p = :p{condition}","ExpressionAttributeValues":{{":p":{{"S":"a"}}{}}}{rest}}}"#,
        [(":x", "0"), (":y", "10")].iter().filter(|(name, _)| condition.contains(name)).map(|(name, n)| format!(r#","{name}":{{"N":"{n}"}}"#)).collect::<String>()))
}

#[test]
fn ranges_in_order() {
    let db = numbers();
    let check = |condition: &str, expected: &[i64]| {
        assert_eq!(found(&query(&db, condition, "")), expected, "{condition}");
        let mut reversed = expected.to_vec();
        reversed.reverse();
        assert_eq!(
            found(&query(&db, condition, r#","ScanIndexForward":false"#)),
            reversed,
            "{condition}"
        );
    };
    check("", &[-10, -2, 0, 1, 2, 10, 100]);
    check(" AND c = :x", &[0]);
    check(" AND c < :x", &[-10, -2]);
    check(" AND c <= :x", &[-10, -2, 0]);
    check(" AND c > :x", &[1, 2, 10, 100]);
    check(" AND c >= :x", &[0, 1, 2, 10, 100]);
    check(" AND c BETWEEN :x AND :y", &[0, 1, 2, 10]);
    check(" AND :x < c", &[1, 2, 10, 100]);
}

#[test]
fn pages_go_on_where_they_ended() {
    let db = numbers();
    for forward in [true, false] {
        let (mut all, mut start) = (Vec::new(), String::new());
        loop {
            let answer =
                query(&db, "", &format!(r#","Limit":2,"ScanIndexForward":{forward}{start}"#));
            all.extend(found(&answer));
            let Some((_, last)) = answer.split_once("\"LastEvaluatedKey\":") else { break };
            start = format!(r#","ExclusiveStartKey":{}"#, &last[..last.len() - 1]);
        }
        all.sort_unstable();
        assert_eq!(all, [-10, -2, 0, 1, 2, 10, 100]);
    }
    let of = |rest: &str| {
        format!(
            r#"{{"TableName":"tab","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{{":p":{{"S":"a"}}}},"ExclusiveStartKey":{rest}}}"#
        )
    };
    db.refused(
        "Query",
        &of(r#"{"p":{"S":"b"},"c":{"N":"1"}}"#),
        "The provided starting key is outside query boundaries based on provided conditions",
    );
    db.refused(
        "Query",
        &of(r#"{"p":{"S":"a"}}"#),
        "The provided starting key is invalid: The provided key element does not match the schema",
    );
}

#[test]
fn a_page_ends_after_a_megabyte() {
    let db = Db::with_table(true);
    let large = "x".repeat(300 * 1024);
    for n in 0..5 {
        db.put(&format!(r#"{{"p":{{"S":"a"}},"c":{{"N":"{n}"}},"x":{{"S":"{large}"}}}}"#));
    }
    let answer = query(&db, "", r#","Select":"COUNT","ReturnConsumedCapacity":"TOTAL""#);
    assert_eq!(
        answer,
        r#"{"Count":4,"ScannedCount":4,"LastEvaluatedKey":{"c":{"N":"3"},"p":{"S":"a"}},"ConsumedCapacity":{"TableName":"tab","CapacityUnits":150.5}}"#
    );
}

#[test]
fn filters_and_selections() {
    let db = numbers();
    let even = r#","FilterExpression":"even = :t","ExpressionAttributeValues":{":p":{"S":"a"},":t":{"BOOL":true}}"#;
    let request =
        |rest: &str| format!(r#"{{"TableName":"tab","KeyConditionExpression":"p = :p"{rest}}}"#);
    let answer = db.ok("Query", &request(&format!(r#"{even},"Limit":4"#)));
    assert_eq!(found(&answer), [-10, -2, 0]);
    assert!(
        answer.contains(
            r#""Count":3,"ScannedCount":4,"LastEvaluatedKey":{"c":{"N":"1"},"p":{"S":"a"}}"#
        ),
        "{answer}"
    );
    db.check(
        "Query",
        &request(&format!(r#"{even},"Select":"COUNT""#)),
        r#"{"Count":6,"ScannedCount":7}"#,
    );
    let values = r#","ExpressionAttributeValues":{":p":{"S":"a"}}"#;
    db.refused(
        "Query",
        &request(&format!(r#"{values},"FilterExpression":"c = :p""#)),
        "Filter Expression can only contain non-primary key attributes: Primary key attribute: c",
    );
    db.refused("Query", &request(&format!(r#"{values},"Select":"SPECIFIC_ATTRIBUTES""#)), "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES");
    db.refused(
        "Query",
        &request(&format!(r#"{values},"IndexName":"none""#)),
        "The table does not have the specified index: none",
    );
}

#[test]
fn key_conditions_are_refused_in_words() {
    let db = numbers();
    let check = |condition: &str, text: &str| {
        let values = r#"{":s":{"S":"a"},":n":{"N":"1"}}"#;
        db.refused("Query", &format!(r#"{{"TableName":"tab","KeyConditionExpression":"{condition}","ExpressionAttributeValues":{values}}}"#), text);
    };
    check("c = :n AND c <> :s", "Invalid operator used in KeyConditionExpression: <>");
    check("c = :n AND x = :s", "Query condition missed key schema element: p");
    check("p = :s AND x = :n", "Query condition missed key schema element: c");
    check("p > :s AND c = :n", "Query key condition not supported");
    check(
        "p = :n AND c = :s",
        "One or more parameter values were invalid: Condition parameter type does not match schema type",
    );
    let older = |conditions: &str, text: &str| {
        db.refused(
            "Query",
            &format!(r#"{{"TableName":"tab","KeyConditions":{conditions}}}"#),
            text,
        );
    };
    older(
        r#"{"p":{"ComparisonOperator":"NE","AttributeValueList":[{"S":"a"}]}}"#,
        "Attempted conditional constraint is not an indexable operation",
    );
    older("{}", "Conditions can be of length 1 or 2 only");
    older(
        r#"{"p":{"ComparisonOperator":"EQ","AttributeValueList":[]}}"#,
        "One or more parameter values were invalid: Invalid number of argument(s) for the EQ ComparisonOperator",
    );
    db.refused("Query", r#"{"TableName":"tab"}"#, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.");
}

#[test]
fn segments_divide_a_scan() {
    let db = Db::with_table(false);
    for n in 0..200 {
        db.put(&format!(r#"{{"p":{{"S":"key {n}"}}}}"#));
    }
    let mut total = 0;
    for segment in 0..7 {
        let answer = db.ok(
            "Scan",
            &format!(
                r#"{{"TableName":"tab","Segment":{segment},"TotalSegments":7,"Select":"COUNT"}}"#
            ),
        );
        let count: usize =
            answer.split("\"Count\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        assert!((5..80).contains(&count), "{count}");
        total += count;
    }
    assert_eq!(total, 200);
    db.refused("Scan", r#"{"TableName":"tab","Segment":7,"TotalSegments":7}"#, "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 7 is not less than TotalSegments: 7");
    db.refused("Scan", r#"{"TableName":"tab","Segment":0}"#, "The TotalSegments parameter is required but was not present in the request when Segment parameter is present");
}

#[test]
fn batches() {
    let db = Db::with_table(false);
    let put = |key: &str| format!(r#"{{"PutRequest":{{"Item":{{"p":{{"S":"{key}"}}}}}}}}"#);
    let batch =
        |requests: &[String]| format!(r#"{{"RequestItems":{{"tab":[{}]}}}}"#, requests.join(","));
    db.check(
        "BatchWriteItem",
        &batch(&[put("a"), put("b"), put("c")]),
        r#"{"UnprocessedItems":{}}"#,
    );
    db.refused(
        "BatchWriteItem",
        &batch(&[put("a"), put("a")]),
        "Provided list of item keys contains duplicates",
    );
    let delete = r#"{"DeleteRequest":{"Key":{"p":{"S":"c"}}}}"#.to_owned();
    db.check("BatchWriteItem", &batch(&[delete]), r#"{"UnprocessedItems":{}}"#);
    let get = |keys: &str| format!(r#"{{"RequestItems":{{"tab":{{"Keys":[{keys}]}}}}}}"#);
    db.check(
        "BatchGetItem",
        &get(r#"{"p":{"S":"a"}},{"p":{"S":"c"}},{"p":{"S":"b"}}"#),
        r#"{"Responses":{"tab":[{"p":{"S":"a"}},{"p":{"S":"b"}}]},"UnprocessedKeys":{}}"#,
    );
    db.refused(
        "BatchGetItem",
        &get(r#"{"p":{"S":"a"}},{"p":{"S":"a"}}"#),
        "Provided list of item keys contains duplicates",
    );
    let many: Vec<String> = (0..26).map(|n| put(&n.to_string())).collect();
    let error = db.call("BatchWriteItem", &batch(&many)).unwrap_err();
    assert_eq!(error.code(), "ValidationException");
}

#[test]
fn keys_of_several_attributes() {
    let db = Db::new();
    let names = ["p", "h", "i", "a", "b", "c"];
    let attributes: Vec<String> = names
        .iter()
        .map(|name| format!(r#"{{"AttributeName":"{name}","AttributeType":"S"}}"#))
        .collect();
    let key =
        |name: &str, kind: &str| format!(r#"{{"AttributeName":"{name}","KeyType":"{kind}"}}"#);
    let hash = ["h", "i"].iter().map(|name| key(name, "HASH"));
    let range = ["a", "b", "c"].iter().map(|name| key(name, "RANGE"));
    let keys: Vec<String> = hash.chain(range).collect();
    db.ok(
        "CreateTable",
        &format!(
            r#"{{"TableName":"tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{}],"AttributeDefinitions":[{}],
            "GlobalSecondaryIndexes":[{{"IndexName":"all","KeySchema":[{}],"Projection":{{"ProjectionType":"ALL"}}}}]}}"#,
            key("p", "HASH"),
            attributes.join(","),
            keys.join(",")
        ),
    );
    for (p, a, b, c) in
        [("1", "x", "y", "z"), ("2", "x", "y", "a"), ("3", "x", "q", "z"), ("4", "w", "y", "z")]
    {
        db.put(&format!(
            r#"{{"p":{{"S":"{p}"}},"h":{{"S":"v"}},"i":{{"S":"v"}},"a":{{"S":"{a}"}},"b":{{"S":"{b}"}},"c":{{"S":"{c}"}}}}"#
        ));
    }
    let query = |condition: &str| {
        let used = [("v", "v"), ("x", "x"), ("y", "y"), ("z", "z")]
            .iter()
            .filter(|(name, _)| condition.contains(&format!(":{name}")));
        let values: Vec<String> =
            used.map(|(name, value)| format!(r#"":{name}":{{"S":"{value}"}}"#)).collect();
        let json = format!(
            r#"{{"TableName":"tab","IndexName":"all","KeyConditionExpression":"{condition}","ExpressionAttributeValues":{{{}}}}}"#,
            values.join(",")
        );
        match db.call("Query", &json) {
            Ok(answer) => answer.split(r#""p":{"S":""#).skip(1).map(|rest| &rest[..1]).collect(),
            Err(error) => error.message().to_owned(),
        }
    };
    assert_eq!(query("h = :v AND i = :v"), "4321");
    assert_eq!(query("h = :v AND a = :x AND i = :v"), "321");
    assert_eq!(query("h = :v AND i = :v AND a = :x AND b = :y AND begins_with(c, :z)"), "1");
    assert_eq!(query("h = :v AND i = :v AND a = :x AND b < :y"), "3");
    let hash = |names: &str| {
        format!("HASH key attributes {names} must have equality conditions specified in the query")
    };
    assert_eq!(query("h = :v"), hash("i"));
    assert_eq!(query("a = :x"), hash("h, i"));
    assert_eq!(query("h = :v AND i > :v"), hash("i"));
    let range = |names: &str, last: &str| {
        format!(
            "RANGE key attributes {names} must have equality conditions specified in the query because a condition is present on key attribute {last}"
        )
    };
    assert_eq!(query("h = :v AND i = :v AND b = :y"), range("a", "b"));
    assert_eq!(query("h = :v AND i = :v AND a = :x AND c = :z"), range("b", "c"));
    assert_eq!(query("h = :v AND i = :v AND a = :x AND b > :y AND c = :z"), range("b", "c"));
    assert_eq!(query("h = :v AND i = :v AND c = :z"), range("a, b", "c"));
}
