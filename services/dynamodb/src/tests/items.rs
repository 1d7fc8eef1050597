use super::Db;

#[test]
fn put_get_update_delete() {
    let db = Db::with_table(false);
    let key = r#"{"TableName":"tab","Key":{"p":{"S":"a"}}"#;
    db.check("GetItem", &format!("{key}}}"), "{}");
    db.check("PutItem", r#"{"TableName":"tab","Item":{"p":{"S":"a"},"n":{"N":"1.50"}}}"#, "{}");
    db.check("GetItem", &format!("{key}}}"), r#"{"Item":{"n":{"N":"1.5"},"p":{"S":"a"}}}"#);
    db.check(
        "GetItem",
        &format!(r#"{key},"ProjectionExpression":"n"}}"#),
        r#"{"Item":{"n":{"N":"1.5"}}}"#,
    );
    db.check(
        "GetItem",
        &format!(r#"{key},"AttributesToGet":["p"]}}"#),
        r#"{"Item":{"p":{"S":"a"}}}"#,
    );
    let update = |rest: &str| {
        format!(
            r#"{key},"UpdateExpression":"SET n = n + :d ADD s :s","ExpressionAttributeValues":{{":d":{{"N":"2"}},":s":{{"SS":["x"]}}}}{rest}}}"#
        )
    };
    db.check(
        "UpdateItem",
        &update(r#","ReturnValues":"UPDATED_OLD""#),
        r#"{"Attributes":{"n":{"N":"1.5"}}}"#,
    );
    db.check(
        "UpdateItem",
        &update(r#","ReturnValues":"UPDATED_NEW""#),
        r#"{"Attributes":{"n":{"N":"5.5"},"s":{"SS":["x"]}}}"#,
    );
    db.check(
        "UpdateItem",
        &update(r#","ReturnValues":"ALL_NEW""#),
        r#"{"Attributes":{"n":{"N":"7.5"},"p":{"S":"a"},"s":{"SS":["x"]}}}"#,
    );
    db.check(
        "DeleteItem",
        &format!(r#"{key},"ReturnValues":"ALL_OLD"}}"#),
        r#"{"Attributes":{"n":{"N":"7.5"},"p":{"S":"a"},"s":{"SS":["x"]}}}"#,
    );
    db.check("DeleteItem", &format!(r#"{key},"ReturnValues":"ALL_OLD"}}"#), "{}");
    db.check(
        "UpdateItem",
        &format!(r#"{key},"ReturnValues":"ALL_NEW"}}"#),
        r#"{"Attributes":{"p":{"S":"a"}}}"#,
    );
}

#[test]
fn conditions_guard_writes() {
    let db = Db::with_table(false);
    let put = |value: &str, rest: &str| {
        format!(r#"{{"TableName":"tab","Item":{{"p":{{"S":"a"}},"v":{{"N":"{value}"}}}}{rest}}}"#)
    };
    let absent = r#","ConditionExpression":"attribute_not_exists(p)""#;
    db.check("PutItem", &put("1", absent), "{}");
    let failed = "ConditionalCheckFailedException: The conditional request failed";
    db.check("PutItem", &put("2", absent), failed);
    let equals = |n: &str| {
        format!(
            r#","ConditionExpression":"v = :v","ExpressionAttributeValues":{{":v":{{"N":"{n}"}}}}"#
        )
    };
    db.check("PutItem", &put("2", &equals("9")), failed);
    db.check("PutItem", &put("2", &equals("1.0")), "{}");
    let shown =
        put("3", &format!(r#"{},"ReturnValuesOnConditionCheckFailure":"ALL_OLD""#, equals("1")));
    let error = db.call("PutItem", &shown).unwrap_err();
    assert_eq!(
        format!("{:?}", error.modelled().unwrap().field(1).value()),
        r#"{"p":{"S":"a"},"v":{"N":"2"}}"#
    );
    let expected =
        r#","Expected":{"v":{"ComparisonOperator":"GT","AttributeValueList":[{"N":"1"}]}}"#;
    db.check("PutItem", &put("4", expected), "{}");
    let expected = r#","Expected":{"v":{"Exists":false}}"#;
    db.check("PutItem", &put("5", expected), failed);
    db.check(
        "DeleteItem",
        r#"{"TableName":"tab","Key":{"p":{"S":"b"}},"ConditionExpression":"attribute_exists(p)"}"#,
        failed,
    );
    db.check(
        "GetItem",
        r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#,
        r#"{"Item":{"p":{"S":"a"},"v":{"N":"4"}}}"#,
    );
}

#[test]
fn bad_items_and_keys_are_refused_in_words() {
    let db = Db::with_table(true);
    let invalid = "One or more parameter values were invalid: ";
    let put = |item: &str| format!(r#"{{"TableName":"tab","Item":{item}}}"#);
    db.refused(
        "PutItem",
        &put(r#"{"p":{"S":"a"}}"#),
        &format!("{invalid}Missing the key c in the item"),
    );
    db.refused(
        "PutItem",
        &put(r#"{"p":{"S":"a"},"c":{"S":"b"}}"#),
        &format!("{invalid}Type mismatch for key c expected: N actual: S"),
    );
    db.refused("PutItem", &put(r#"{"p":{"S":""},"c":{"N":"1"}}"#), "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: p");
    db.refused(
        "PutItem",
        &put(r#"{"p":{"S":"a"},"c":{"N":"x"}}"#),
        "The parameter cannot be converted to a numeric value: x",
    );
    db.refused(
        "PutItem",
        &put(r#"{"p":{"S":"a"},"c":{"N":"1"},"x":{"SS":[]}}"#),
        &format!("{invalid}An string set  may not be empty"),
    );
    let long = "x".repeat(2049);
    db.refused(
        "PutItem",
        &put(&format!(r#"{{"p":{{"S":"{long}"}},"c":{{"N":"1"}}}}"#)),
        &format!("{invalid}Size of hashkey has exceeded the maximum size limit of2048 bytes"),
    );
    let large = "x".repeat(400 * 1024 - 5);
    db.refused(
        "PutItem",
        &put(&format!(r#"{{"p":{{"S":"a"}},"c":{{"N":"1"}},"x":{{"S":"{large}"}}}}"#)),
        "Item size has exceeded the maximum allowed size",
    );
    let most = "x".repeat(400 * 1024 - 6);
    db.put(&format!(r#"{{"p":{{"S":"a"}},"c":{{"N":"1"}},"x":{{"S":"{most}"}}}}"#));
    db.refused("UpdateItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"},"c":{"N":"1"}},"UpdateExpression":"SET y = :y","ExpressionAttributeValues":{":y":{"S":"y"}}}"#, "Item size to update has exceeded the maximum allowed size");
    let key = |key: &str| format!(r#"{{"TableName":"tab","Key":{key}}}"#);
    let wrong = "The provided key element does not match the schema";
    db.refused("GetItem", &key(r#"{"p":{"S":"a"}}"#), wrong);
    db.refused("GetItem", &key(r#"{"p":{"S":"a"},"c":{"S":"1"}}"#), wrong);
    db.refused("GetItem", &key(r#"{"p":{"S":"a"},"c":{"N":"1"},"d":{"N":"1"}}"#), wrong);
    db.refused(
        "GetItem",
        &key(r#"{"p":{},"c":{"N":"1"}}"#),
        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
    );
    db.check(
        "GetItem",
        r#"{"TableName":"none","Key":{"p":{"S":"a"}}}"#,
        "ResourceNotFoundException: Requested resource not found",
    );
    let update = |expression: &str| {
        format!(
            r#"{{"TableName":"tab","Key":{{"p":{{"S":"a"}},"c":{{"N":"1"}}}},"UpdateExpression":"{expression}","ExpressionAttributeValues":{{":v":{{"N":"1"}}}}}}"#
        )
    };
    db.refused(
        "UpdateItem",
        &update("SET c = :v"),
        &format!("{invalid}Cannot update attribute c. This attribute is part of the key"),
    );
    db.refused(
        "UpdateItem",
        &update("SET p.x = :v"),
        &format!("{invalid}Cannot update attribute p. This attribute is part of the key"),
    );
    db.refused("UpdateItem", &update("SET x = p.y + :v"), "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: p");
}

#[test]
fn parameters_that_do_not_fit_together() {
    let db = Db::with_table(false);
    let put = |rest: &str| format!(r#"{{"TableName":"tab","Item":{{"p":{{"S":"a"}}}},{rest}}}"#);
    db.refused("PutItem", &put(r#""ConditionExpression":"attribute_exists(p)","Expected":{"p":{"Exists":false}}"#), "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}");
    db.refused(
        "PutItem",
        &put(r##""ExpressionAttributeNames":{"#a":"b"}"##),
        "ExpressionAttributeNames can only be specified when using expressions",
    );
    db.refused("PutItem", &put(r#""ExpressionAttributeValues":{":a":{"S":"b"}}"#), "ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null");
    db.refused("PutItem", &put(r#""ConditionExpression":"p = :a","ExpressionAttributeValues":{":a":{"S":"b"},":b":{"S":"b"}}"#), "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}");
    db.refused(
        "PutItem",
        &put(r#""ReturnValues":"ALL_NEW""#),
        "ReturnValues can only be ALL_OLD or NONE",
    );
    db.refused(
        "PutItem",
        &put(r#""ConditionExpression":"p = ""#),
        "Invalid ConditionExpression: Syntax error; token: \"<EOF>\", near: \"= \"",
    );
    db.refused(
        "GetItem",
        r#"{"TableName":"tab","Key":{"p":{"S":"a"}},"AttributesToGet":["a","a"]}"#,
        "One or more parameter values were invalid: Duplicate value in attribute name: a",
    );
}

#[test]
fn capacity_is_counted() {
    let db = Db::with_table(false);
    let large = "x".repeat(5000);
    let put = |rest: &str| {
        format!(
            r#"{{"TableName":"tab","Item":{{"p":{{"S":"a"}},"x":{{"S":"{large}"}}}},"ReturnConsumedCapacity":"{rest}"}}"#
        )
    };
    db.check("PutItem", &put("NONE"), "{}");
    db.check(
        "PutItem",
        &put("TOTAL"),
        r#"{"ConsumedCapacity":{"TableName":"tab","CapacityUnits":5.0}}"#,
    );
    db.check("PutItem", &put("INDEXES"), r#"{"ConsumedCapacity":{"TableName":"tab","CapacityUnits":5.0,"Table":{"CapacityUnits":5.0}}}"#);
    let get = |rest: &str| {
        format!(
            r#"{{"TableName":"tab","Key":{{"p":{{"S":"a"}}}},"ProjectionExpression":"p","ReturnConsumedCapacity":"TOTAL"{rest}}}"#
        )
    };
    db.check(
        "GetItem",
        &get(""),
        r#"{"Item":{"p":{"S":"a"}},"ConsumedCapacity":{"TableName":"tab","CapacityUnits":1.0}}"#,
    );
    db.check(
        "GetItem",
        &get(r#","ConsistentRead":true"#),
        r#"{"Item":{"p":{"S":"a"}},"ConsumedCapacity":{"TableName":"tab","CapacityUnits":2.0}}"#,
    );
    db.check(
        "DeleteItem",
        r#"{"TableName":"tab","Key":{"p":{"S":"a"}},"ReturnConsumedCapacity":"TOTAL"}"#,
        r#"{"ConsumedCapacity":{"TableName":"tab","CapacityUnits":5.0}}"#,
    );
    db.check(
        "DeleteItem",
        r#"{"TableName":"tab","Key":{"p":{"S":"a"}},"ReturnConsumedCapacity":"TOTAL"}"#,
        r#"{"ConsumedCapacity":{"TableName":"tab","CapacityUnits":1.0}}"#,
    );
}
