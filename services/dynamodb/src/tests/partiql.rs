use super::Db;

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

impl Db {
    fn statement(&self, text: &str, more: &str) -> Result<String, api::Error> {
        self.call("ExecuteStatement", &format!(r#"{{"Statement":"{}"{more}}}"#, quoted(text)))
    }

    #[track_caller]
    fn says(&self, text: &str, expected: &str) {
        let shown = match self.statement(text, "") {
            Ok(answer) => answer,
            Err(error) => format!("{}: {}", error.code(), error.message()),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[track_caller]
    fn refuses(&self, text: &str, expected: &str) {
        self.says(text, &format!("ValidationException: {expected}"));
    }
}

/// Partitions `a` and `b` with three items each, sort keys 1 to 3, and a number.
fn filled() -> Db {
    let db = Db::with_table(true);
    for p in ["a", "b"] {
        for c in 1..=3 {
            db.put(&format!(r#"{{"p":{{"S":"{p}"}},"c":{{"N":"{c}"}},"n":{{"N":"{}"}}}}"#, c * 10));
        }
    }
    db
}

/// The sort keys of an answer, with their partitions.
fn keys(answer: &str) -> String {
    let part = |name: &str, kind: &str| {
        let start = format!("\"{name}\":{{\"{kind}\":\"");
        let parts = answer.split(&start).skip(1);
        parts.map(|part| part.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let pairs = part("p", "S").into_iter().zip(part("c", "N"));
    pairs.map(|(p, c)| format!("{p}{c}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_item_comes_changes_and_goes() {
    let db = Db::with_table(false);
    let nothing = r#"{"Items":[]}"#;
    db.says("INSERT INTO tab VALUE {'p':'a','n':1,'s':<<'x'>>}", nothing);
    db.says(
        "INSERT INTO tab VALUE {'p':'a'}",
        "DuplicateItemException: Duplicate primary key exists in table",
    );
    db.says("INSERT INTO tab VALUE {'p':'a'} ON CONFLICT DO NOTHING", nothing);
    db.says(
        "SELECT n, s FROM \"tab\" WHERE p = 'a'",
        r#"{"Items":[{"n":{"N":"1"},"s":{"SS":["x"]}}]}"#,
    );
    db.says(
        "UPDATE tab SET n = n + 1 SET s = set_add(s, <<'y'>>) WHERE p = 'a' RETURNING MODIFIED NEW *",
        r#"{"Items":[{"n":{"N":"2"},"s":{"SS":["x","y"]}}]}"#,
    );
    let failed = "ConditionalCheckFailedException: The conditional request failed";
    db.says("UPDATE tab SET n = 9 WHERE p = 'a' AND n = 7", failed);
    db.says("UPDATE tab SET n = 9 WHERE p = 'none'", failed);
    db.says("UPDATE tab SET n = 9 WHERE p = 'none' AND attribute_not_exists(p)", failed);
    db.says("DELETE FROM tab WHERE p = 'a' AND n = 7", failed);
    db.says("DELETE FROM tab WHERE p = 'none' AND n = 7", nothing);
    db.says("UPDATE tab REMOVE n WHERE p = 'a' RETURNING MODIFIED NEW *", nothing);
    db.says(
        "DELETE FROM tab WHERE p = 'a' RETURNING ALL OLD *",
        r#"{"Items":[{"p":{"S":"a"},"s":{"SS":["x","y"]}}]}"#,
    );
    db.says("SELECT * FROM tab", nothing);
    let shown =
        db.statement("UPDATE tab SET n = 1 WHERE p = 'a'", r#","ReturnConsumedCapacity":"TOTAL""#);
    assert_eq!(shown.unwrap_err().code(), "ConditionalCheckFailedException");
}

#[test]
fn keys_decide_what_is_read() {
    let db = filled();
    let read = |text: &str| keys(&db.statement(text, "").unwrap());
    assert_eq!(read("SELECT * FROM tab WHERE p = 'a'"), "a1 a2 a3");
    assert_eq!(read("SELECT * FROM tab WHERE p = 'a' AND c > 1"), "a2 a3");
    assert_eq!(read("SELECT * FROM tab WHERE p = 'a' AND c BETWEEN 1 AND 2"), "a1 a2");
    assert_eq!(read("SELECT * FROM tab WHERE p = 'a' AND (c = 3 OR n = 10)"), "a1 a3");
    assert_eq!(read("SELECT * FROM tab WHERE p = 'a' AND c > 1 AND c < 3"), "a2");
    assert_eq!(read("SELECT * FROM tab WHERE p IN ['b','a'] AND c = 2"), "b2 a2");
    assert_eq!(read("SELECT * FROM tab WHERE p = 'a' OR p = 'b' AND c = 1"), "a1 a2 a3 b1");
    assert_eq!(read("SELECT * FROM tab WHERE p = 'a' ORDER BY c DESC"), "a3 a2 a1");
    assert_eq!(
        read("SELECT * FROM tab WHERE p IN ['b','a'] ORDER BY p ASC, c DESC"),
        "a3 a2 a1 b3 b2 b1"
    );
    assert_eq!(read("SELECT * FROM tab WHERE p IN ['a','b'] AND c = 1 ORDER BY p DESC"), "b1 a1");
    let scanned = read("SELECT * FROM tab WHERE n = 20");
    assert_eq!(scanned.len(), 5, "{scanned}");
    let units = |text: &str| {
        let answer = db.statement(text, r#","ReturnConsumedCapacity":"TOTAL""#).unwrap();
        answer
            .split("CapacityUnits\":")
            .nth(1)
            .unwrap()
            .split([',', '}'])
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(units("SELECT * FROM tab WHERE p IN ['a','b']"), "1.0");
    // Each of the four partitions that a table on demand begins with is read and rounded up.
    assert_eq!(units("SELECT * FROM tab WHERE n = 20"), "2.0");
}

#[test]
fn pages_go_on() {
    let db = filled();
    for (text, expected) in [
        ("SELECT * FROM tab WHERE p IN ['a','b'] AND n <> 20", "a1 a3 b1 b3"),
        ("SELECT * FROM tab WHERE p IN ['a','b'] ORDER BY p DESC, c DESC", "b3 b2 b1 a3 a2 a1"),
        ("SELECT * FROM tab WHERE p = 'a'", "a1 a2 a3"),
    ] {
        for limit in 1..=7 {
            let (mut found, mut token, mut pages) = (String::new(), String::new(), 0);
            loop {
                let more = format!(r#","Limit":{limit}{token}"#);
                let answer = db.statement(text, &more).unwrap();
                found.push_str(&keys(answer.split("LastEvaluatedKey").next().unwrap()));
                found.push(' ');
                pages += 1;
                assert!(pages < 20, "{text} {limit}");
                if !answer.contains("NextToken") {
                    break;
                }
                token = format!(r#","NextToken":"{}""#, super::member(&answer, "NextToken"));
            }
            let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(found, expected, "{text} {limit}");
        }
    }
    let flat = Db::with_table(false);
    ["a", "b"].iter().for_each(|p| flat.put(&format!(r#"{{"p":{{"S":"{p}"}}}}"#)));
    let whole = flat.statement("SELECT * FROM tab", r#","Limit":1"#).unwrap();
    assert!(whole.contains("NextToken"), "{whole}");
    let pinned = flat.statement("SELECT * FROM tab WHERE p = 'a'", r#","Limit":1"#).unwrap();
    assert!(!pinned.contains("NextToken"), "{pinned}");
    let answer = db.statement("SELECT * FROM tab", r#","Limit":1"#).unwrap();
    let token = format!(r#","NextToken":"{}""#, super::member(&answer, "NextToken"));
    let error = db.statement("SELECT * FROM tab WHERE n = 1", &token).unwrap_err();
    assert_eq!(error.message(), "NextToken does not match request");
    let error = db.statement("SELECT * FROM tab", r#","NextToken":"junk""#).unwrap_err();
    assert_eq!(error.message(), "Invalid NextToken");
}

#[test]
fn indexes_are_sources() {
    let db = Db::new();
    db.ok(
        "CreateTable",
        r#"{"TableName":"tab","BillingMode":"PAY_PER_REQUEST",
        "KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"c","KeyType":"RANGE"}],
        "AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"c","AttributeType":"N"},
            {"AttributeName":"g","AttributeType":"S"},{"AttributeName":"l","AttributeType":"N"}],
        "GlobalSecondaryIndexes":[{"IndexName":"by-g","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}],
        "LocalSecondaryIndexes":[{"IndexName":"by-l","KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}"#,
    );
    for c in 1..=2 {
        db.put(&format!(r#"{{"p":{{"S":"a"}},"c":{{"N":"{c}"}},"g":{{"S":"x"}},"l":{{"N":"{}"}},"o":{{"S":"o{c}"}}}}"#, 9 - c));
    }
    assert_eq!(
        keys(&db.statement("SELECT * FROM \"tab\".\"by-g\" WHERE g = 'x'", "").unwrap()),
        "a1 a2"
    );
    let all = db.statement("SELECT * FROM tab.\"by-l\" WHERE p = 'a'", "").unwrap();
    assert_eq!(keys(&all), "a2 a1");
    assert!(!all.contains("\"o\""), "{all}");
    db.says(
        "SELECT o FROM tab.\"by-l\" WHERE p = 'a' AND l < 8",
        r#"{"Items":[{"o":{"S":"o2"}}]}"#,
    );
    db.refuses(
        "SELECT o FROM tab.\"by-g\" WHERE g = 'x'",
        "One or more parameter values were invalid: Global secondary index by-g does not project [o]",
    );
    db.refuses(
        "SELECT p FROM tab.\"by-l\" WHERE p = 'a' AND o = 'o1'",
        "One or more parameter values were invalid: Secondary index by-l does not project one or more filter attributes: [o]",
    );
    // What pins no partition is a scan: its filter finds nothing.
    db.says("SELECT p FROM tab.\"by-l\" WHERE o = 'o1'", r#"{"Items":[]}"#);
    db.refuses(
        "SELECT * FROM tab.none WHERE p = 'a'",
        "The table does not have the specified index",
    );
    let consistent =
        db.statement("SELECT * FROM tab.\"by-g\" WHERE g = 'x'", r#","ConsistentRead":true"#);
    assert_eq!(
        consistent.unwrap_err().message(),
        "Strongly consistent read is not supported on Global Secondary Indexes"
    );
    db.refuses(
        "DELETE FROM tab.\"by-g\" WHERE p = 'a' AND c = 1",
        "This operation is not supported on an index",
    );
}

#[test]
fn what_does_not_fit_the_table_is_refused() {
    let db = filled();
    db.says("SELECT * FROM nope", "ResourceNotFoundException: Requested resource not found");
    let incomplete = "Where clause does not contain a mandatory equality on all key attributes";
    db.refuses("UPDATE tab SET n = 1 WHERE p = 'a'", incomplete);
    db.refuses("DELETE FROM tab WHERE p = 'a' AND c > 1", incomplete);
    db.refuses("DELETE FROM tab", incomplete);
    let kind = "Key attribute's data type should match its data type in table's schema: Key p";
    db.refuses("SELECT * FROM tab WHERE p = 1", kind);
    db.refuses("INSERT INTO tab VALUE {'p':1,'c':1}", kind);
    db.refuses(
        "INSERT INTO tab VALUE {'p':'x'}",
        "Key attribute should be present in the item: Key c",
    );
    db.refuses(
        "DELETE FROM tab WHERE p = 'a' AND p = 'b' AND c = 1",
        "Multiple conditions on same key p. Only single item Update/Insert/Delete are supported",
    );
    db.refuses(
        "SELECT * FROM tab ORDER BY c",
        "Must have WHERE clause in the statement when using ORDER BY clause.",
    );
    db.refuses(
        "SELECT * FROM tab WHERE n = 1 ORDER BY c",
        "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
    );
    db.refuses(
        "SELECT * FROM tab WHERE p = 'a' ORDER BY n",
        "Variable reference n in ORDER BY clause must be part of the primary key",
    );
    db.refuses(
        "SELECT * FROM tab WHERE p IN ['a','b'] ORDER BY c",
        "Must have hash key in ORDER BY clause when more than one hash key condition specified in WHERE clause.",
    );
    db.refuses(
        "UPDATE tab SET p = 'z' WHERE p = 'a' AND c = 1",
        "One or more parameter values were invalid: Cannot update attribute p. This attribute is part of the key",
    );
    db.refuses(
        "EXISTS(SELECT * FROM tab WHERE p = 'a')",
        "EXISTS can only be used in ExecuteTransaction write requests.",
    );
    assert_eq!(keys(&db.statement("SELECT * FROM tab WHERE p = 'a'", "").unwrap()), "a1 a2 a3");
}

fn statements(all: &[&str]) -> String {
    let one = |text: &&str| format!(r#"{{"Statement":"{}"}}"#, quoted(text));
    all.iter().map(one).collect::<Vec<_>>().join(",")
}

#[test]
fn members_of_a_batch_succeed_or_fail_alone() {
    let db = filled();
    let batch = |all: &[&str]| {
        db.call("BatchExecuteStatement", &format!(r#"{{"Statements":[{}]}}"#, statements(all)))
    };
    assert_eq!(
        batch(&[
            "SELECT n FROM tab WHERE p = 'a' AND c = 1",
            "SELECT * FROM tab WHERE p = 'a'",
            "SELECT * FROM nope WHERE p = 'a'",
            "SLECT",
            "SELECT * FROM tab WHERE p = 'none' AND c = 1",
        ])
        .unwrap(),
        r#"{"Responses":[{"TableName":"tab","Item":{"n":{"N":"10"}}},{"Error":{"Code":"ValidationError","Message":"Select statements within BatchExecuteStatement must specify the primary key in the where clause."}},{"Error":{"Code":"ResourceNotFound","Message":"Requested resource not found"}},{"Error":{"Code":"ValidationError","Message":"Statement wasn't well formed, can't be processed: Expected data manipulation"}},{"TableName":"tab"}]}"#
    );
    assert_eq!(
        batch(&[
            "INSERT INTO tab VALUE {'p':'a','c':1}",
            "INSERT INTO tab VALUE {'p':'new','c':1}",
            "UPDATE tab SET n = 5 WHERE p = 'a' AND c = 2 AND n = 0",
            "DELETE FROM tab WHERE p = 'b' AND c = 3 RETURNING ALL OLD *",
        ])
        .unwrap(),
        r#"{"Responses":[{"Error":{"Code":"DuplicateItem","Message":"Duplicate primary key exists in table"},"TableName":"tab"},{"TableName":"tab"},{"Error":{"Code":"ConditionalCheckFailed","Message":"The conditional request failed"},"TableName":"tab"},{"TableName":"tab","Item":{"c":{"N":"3"},"n":{"N":"30"},"p":{"S":"b"}}}]}"#
    );
    let mixed = batch(&[
        "SELECT * FROM tab WHERE p = 'a' AND c = 1",
        "DELETE FROM tab WHERE p = 'a' AND c = 1",
    ]);
    assert_eq!(mixed.unwrap_err().code(), "ValidationException");
    db.world.door.forbidden.lock().unwrap().insert("dynamodb:PartiQLDelete");
    let answer = batch(&[
        "DELETE FROM tab WHERE p = 'a' AND c = 1",
        "INSERT INTO tab VALUE {'p':'newer','c':1}",
    ])
    .unwrap();
    assert!(answer.contains("AccessDenied"), "{answer}");
    let left = db.statement("SELECT * FROM tab WHERE p IN ['a','newer'] AND c = 1", "").unwrap();
    assert_eq!(keys(&left), "a1 newer1");
}

#[test]
fn transactions_do_all_or_nothing() {
    let db = filled();
    let transact = |all: &[&str], more: &str| {
        let text = format!(r#"{{"TransactStatements":[{}]{more}}}"#, statements(all));
        db.call("ExecuteTransaction", &text)
    };
    let refused = |all: &[&str]| transact(all, "").unwrap_err().message().to_owned();
    assert_eq!(
        transact(
            &[
                "SELECT n FROM tab WHERE p = 'a' AND c = 1",
                "SELECT * FROM tab WHERE p = 'x' AND c = 1"
            ],
            ""
        )
        .unwrap(),
        r#"{"Responses":[{"Item":{"n":{"N":"10"}}},{}]}"#
    );
    let error = transact(
        &[
            "INSERT INTO tab VALUE {'p':'a','c':1}",
            "UPDATE tab SET n = 1 WHERE p = 'a' AND c = 2",
            "EXISTS(SELECT * FROM tab WHERE p = 'a' AND c = 3 AND n = 0)",
        ],
        "",
    )
    .unwrap_err();
    assert_eq!(
        error.message(),
        "Transaction cancelled, please refer cancellation reasons for specific reasons [DuplicateItem, None, ConditionalCheckFailed]"
    );
    assert!(db.statement("SELECT n FROM tab WHERE p = 'a' AND c = 2", "").unwrap().contains("20"));
    let add = [
        "UPDATE tab SET n = n + 1 WHERE p = 'a' AND c = 2",
        "EXISTS(SELECT * FROM tab WHERE p = 'a' AND c = 3 AND n = 30)",
    ];
    let token = r#","ClientRequestToken":"once","ReturnConsumedCapacity":"TOTAL""#;
    assert!(transact(&add, token).unwrap().contains("WriteCapacityUnits"));
    assert!(transact(&add, token).unwrap().contains("ReadCapacityUnits"));
    assert!(db.statement("SELECT n FROM tab WHERE p = 'a' AND c = 2", "").unwrap().contains("21"));
    for (statement, expected) in [
        (
            "SELECT * FROM tab WHERE p = 'a'",
            "Select statements within ExecuteTransaction must specify the primary key in the where clause.",
        ),
        (
            "SELECT * FROM tab.i WHERE p = 'a'",
            "Reads on indices are not supported within transactions.",
        ),
        (
            "UPDATE tab SET n = 1 WHERE p = 'a' AND c = 1 RETURNING ALL NEW *",
            "RETURNING clause is not supported in ExecuteTransaction.",
        ),
        (
            "EXISTS(SELECT * FROM tab WHERE p = 'a' AND c = 1)",
            "EXISTS() must contain a single item read with additional condition",
        ),
        ("SLECT", "Statement wasn't well formed, can't be processed: Expected data manipulation"),
    ] {
        assert_eq!(
            refused(&[statement]),
            format!("Validation failed in TransactStatements[0]: {expected}")
        );
    }
}

#[test]
fn every_statement_needs_its_permission() {
    for (action, statement, context) in [
        (
            "dynamodb:PartiQLSelect",
            "SELECT q FROM tab WHERE p = 'a'",
            vec![
                ("dynamodb:leadingkeys", "a"),
                ("dynamodb:fulltablescan", "false"),
                ("dynamodb:attributes", "p q"),
                ("dynamodb:select", "SPECIFIC_ATTRIBUTES"),
            ],
        ),
        (
            "dynamodb:PartiQLSelect",
            "SELECT * FROM tab WHERE q = 'a'",
            vec![("dynamodb:fulltablescan", "true"), ("dynamodb:select", "ALL_ATTRIBUTES")],
        ),
        (
            "dynamodb:PartiQLInsert",
            "INSERT INTO tab VALUE {'p':'n','c':1}",
            vec![("dynamodb:leadingkeys", "n"), ("dynamodb:attributes", "c p")],
        ),
        (
            "dynamodb:PartiQLUpdate",
            "UPDATE tab SET q = 1 WHERE p = 'a' AND c = 1",
            vec![("dynamodb:leadingkeys", "a"), ("dynamodb:attributes", "c p q")],
        ),
        (
            "dynamodb:PartiQLDelete",
            "DELETE FROM tab WHERE p = 'a' AND c = 1",
            vec![("dynamodb:leadingkeys", "a")],
        ),
    ] {
        let db = filled();
        db.statement(statement, "").unwrap();
        let asked = db.world.door.asked.lock().unwrap().last().cloned().unwrap();
        assert_eq!(asked.action, action);
        assert_eq!(asked.resource, "arn:aws:dynamodb:us-east-1:000000000000:table/tab");
        let handler: &dyn api::Service = &db.tables;
        let cx = db.world.cx(handler, "ExecuteStatement");
        let grants = db.world.store.read(|tx| handler.hooks().grants(tx, &cx, &asked)).unwrap();
        for (name, expected) in context {
            let all = asked.context.iter().chain(&grants.context);
            let found =
                all.clone().find(|(key, _)| key == name).map(|(_, values)| values.join(" "));
            assert_eq!(found.as_deref(), Some(expected), "{statement} {name}");
        }
        db.world.door.forbidden.lock().unwrap().insert(action);
        assert_eq!(db.statement(statement, "").unwrap_err().code(), "AccessDenied");
        let many = format!(r#"{{"TransactStatements":[{}]}}"#, statements(&[statement]));
        assert_eq!(db.call("ExecuteTransaction", &many).unwrap_err().code(), "AccessDenied");
    }
    let db = filled();
    db.world.door.forbidden.lock().unwrap().insert("dynamodb:PartiQLSelect");
    let error = db.call("BatchExecuteStatement", r#"{"Statements":[{"Statement":"junk"}]}"#);
    assert_eq!(error.unwrap_err().code(), "AccessDenied");
}
