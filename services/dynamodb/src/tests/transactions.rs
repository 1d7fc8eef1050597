use super::Db;

fn transact(members: &[&str]) -> String {
    format!(r#"{{"TransactItems":[{}]}}"#, members.join(","))
}

fn put(key: &str, n: i32) -> String {
    format!(r#"{{"Put":{{"TableName":"tab","Item":{{"p":{{"S":"{key}"}},"n":{{"N":"{n}"}}}}}}}}"#)
}

fn check(key: &str, n: i32) -> String {
    format!(
        r#"{{"ConditionCheck":{{"TableName":"tab","Key":{{"p":{{"S":"{key}"}}}},"ConditionExpression":"n = :n","ExpressionAttributeValues":{{":n":{{"N":"{n}"}}}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}}}}"#
    )
}

#[test]
fn all_or_nothing() {
    let db = Db::with_table(false);
    db.check("TransactWriteItems", &transact(&[&put("a", 1), &put("b", 2)]), "{}");
    db.check("TransactWriteItems", &transact(&[&put("c", 1), &check("a", 9), &check("b", 2)]), "TransactionCanceledException: Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed, None]");
    let error =
        db.call("TransactWriteItems", &transact(&[&put("c", 1), &check("a", 9)])).unwrap_err();
    let reasons = format!("{:?}", error.modelled().unwrap().field(1).value());
    assert!(reasons.contains(r#"{"n":{"N":"1"},"p":{"S":"a"}}"#), "{reasons}");
    db.check("Scan", r#"{"TableName":"tab","Select":"COUNT"}"#, r#"{"Count":2,"ScannedCount":2}"#);
    let update = r#"{"Update":{"TableName":"tab","Key":{"p":{"S":"a"}},"UpdateExpression":"SET n = n + n"}}"#;
    let delete = r#"{"Delete":{"TableName":"tab","Key":{"p":{"S":"b"}}}}"#;
    db.check("TransactWriteItems", &transact(&[update, delete]), "{}");
    let get =
        |key: &str| format!(r#"{{"Get":{{"TableName":"tab","Key":{{"p":{{"S":"{key}"}}}}}}}}"#);
    db.check(
        "TransactGetItems",
        &transact(&[&get("a"), &get("b")]),
        r#"{"Responses":[{"Item":{"n":{"N":"2"},"p":{"S":"a"}}},{}]}"#,
    );
    db.refused(
        "TransactWriteItems",
        &transact(&[update, &put("a", 7)]),
        "Transaction request cannot include multiple operations on one item",
    );
    db.refused(
        "TransactWriteItems",
        &transact(&["{}"]),
        "TransactItems can only contain one of Check, Put, Update or Delete",
    );
}

#[test]
fn a_token_makes_a_request_once() {
    let db = Db::with_table(false);
    let update = |token: &str, n: i32| {
        format!(
            r#"{{"ClientRequestToken":"{token}","TransactItems":[{{"Update":{{"TableName":"tab","Key":{{"p":{{"S":"a"}}}},"UpdateExpression":"ADD n :n","ExpressionAttributeValues":{{":n":{{"N":"{n}"}}}}}}}}]}}"#
        )
    };
    let value = |n: i32| {
        db.check(
            "GetItem",
            r#"{"TableName":"tab","Key":{"p":{"S":"a"}},"ProjectionExpression":"n"}"#,
            &format!(r#"{{"Item":{{"n":{{"N":"{n}"}}}}}}"#),
        )
    };
    db.ok("TransactWriteItems", &update("one", 1));
    db.ok("TransactWriteItems", &update("one", 1));
    value(1);
    let error = db.call("TransactWriteItems", &update("one", 2)).unwrap_err();
    assert_eq!(error.code(), "IdempotentParameterMismatchException");
    db.ok("TransactWriteItems", &update("two", 1));
    value(2);
    db.later(10 * 60 * 1000 + 1);
    db.ok("TransactWriteItems", &update("one", 1));
    value(3);
}
