"""PartiQL: statements with boto3 and the CLI; pages, batches, transactions, and who may."""

import json

import pytest
from accounts import allow, deny, refused
from dynamo import arn, failed_condition, get, invalid, new_table, plain, put, wire


def run(account, text, *parameters, db=None, **more):
    if parameters:
        more["Parameters"] = list(wire(dict(enumerate(parameters))).values())
    answer = (db or account.dynamodb).execute_statement(Statement=text, **more)
    return [plain(item) for item in answer["Items"]]


def filled(account, keys="p:S c:N", **more):
    table = new_table(account, keys, **more)
    put(account, table, *({"p": p, "c": c, "n": 10 * c, "tags": {p, "all"}} for p in "ab" for c in range(1, 6)))
    return table


def test_an_item_from_insert_to_delete(account):
    table = new_table(account)
    assert run(account, f"INSERT INTO \"{table}\" VALUE {{'p': 'a', 'n': 1, 'tags': <<'x'>>, 'm': {{'l': [1, null, true]}}}}") == []
    assert get(account, table, p="a") == {"p": "a", "n": 1, "tags": {"x"}, "m": {"l": [1, None, True]}}
    with refused("DuplicateItemException", 400, "Duplicate primary key exists in table"):
        run(account, f"INSERT INTO {table} VALUE {{'p': 'a'}}")
    assert run(account, f"UPDATE {table} SET n = n + 1 SET tags = set_add(tags, <<'y'>>) REMOVE m.l[1] "
               "WHERE p = 'a' RETURNING ALL NEW *") == [{"p": "a", "n": 2, "tags": {"x", "y"}, "m": {"l": [1, True]}}]
    with failed_condition():
        run(account, f"UPDATE {table} SET n = 5 WHERE p = 'a' AND n > 2")
    with failed_condition():
        run(account, f"UPDATE {table} SET n = 5 WHERE p = 'absent'")
    with failed_condition():
        run(account, f"DELETE FROM {table} WHERE p = 'a' AND n > 2")
    assert run(account, f"DELETE FROM {table} WHERE p = ? AND n = ? RETURNING ALL OLD *", "a", 2)[0]["n"] == 2
    assert run(account, f"DELETE FROM {table} WHERE p = 'a' AND n = 2") == []
    assert run(account, f"SELECT * FROM {table}") == []


def test_the_item_of_a_failed_condition_is_shown_on_request(account):
    table = new_table(account)
    put(account, table, {"p": "a", "n": 1})
    with pytest.raises(account.dynamodb.exceptions.ConditionalCheckFailedException) as caught:
        run(account, f"UPDATE {table} SET n = 2 WHERE p = 'a' AND n = 7",
            ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert plain(caught.value.response["Item"]) == {"p": "a", "n": 1}


def test_selecting(account):
    table = filled(account)

    def keys(where, **more):
        return [f"{i['p']}{i['c']}" for i in run(account, f'SELECT * FROM "{table}" WHERE {where}', **more)]

    assert keys("p = 'a' AND c BETWEEN 2 AND 4") == ["a2", "a3", "a4"]
    assert keys("p = 'a' AND c >= 4 AND contains(tags, 'all')") == ["a4", "a5"]
    assert keys("p IN ['b', 'a'] AND n = 20") == ["b2", "a2"]
    assert keys("p = 'a' AND (n < 20 OR n > 40) AND tags IS NOT MISSING") == ["a1", "a5"]
    assert keys("p = 'a' ORDER BY c DESC") == ["a5", "a4", "a3", "a2", "a1"]
    assert sorted(keys("size(tags) = 2 AND attribute_type(n, 'N') AND NOT n IN (10, 20, 30)")) == ["a4", "a5", "b4", "b5"]
    assert run(account, f"SELECT n, tags FROM {table} WHERE p = ? AND c = ?", "b", 3) == [
        {"n": 30, "tags": {"b", "all"}}]


def test_pages(account):
    table = filled(account)
    text = f"SELECT c FROM {table} WHERE p IN ['a', 'b'] AND n <> 30"
    found, token, pages = [], {}, 0
    while True:
        answer = account.dynamodb.execute_statement(Statement=text, Limit=3, **token)
        assert len(answer["Items"]) <= 3
        found += [int(item["c"]["N"]) for item in answer["Items"]]
        pages += 1
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert found == [1, 2, 4, 5, 1, 2, 4, 5] and pages >= 4
    with invalid("NextToken does not match request"):
        account.dynamodb.execute_statement(Statement=f"SELECT * FROM {table}", **token)
    with invalid("Invalid NextToken"):
        account.dynamodb.execute_statement(Statement=text, NextToken="made up")
    # More than a megabyte.
    big = new_table(account)
    put(account, big, *({"p": f"k{n}", "v": "x" * 300_000} for n in range(5)))
    first = account.dynamodb.execute_statement(Statement=f"SELECT p FROM {big}")
    rest = account.dynamodb.execute_statement(Statement=f"SELECT p FROM {big}", NextToken=first["NextToken"])
    assert len(first["Items"]) + len(rest["Items"]) == 5 and "NextToken" not in rest


def test_indexes_and_what_they_cost(account):
    table = filled(account, glo=[("by-n", "n:N p:S", "KEYS_ONLY")])
    answer = account.dynamodb.execute_statement(
        Statement=f'SELECT * FROM "{table}"."by-n" WHERE n = 20 ORDER BY p DESC', ReturnConsumedCapacity="INDEXES")
    assert [plain(i) for i in answer["Items"]] == [{"p": "b", "c": 2, "n": 20}, {"p": "a", "c": 2, "n": 20}]
    used = answer["ConsumedCapacity"]
    assert used["GlobalSecondaryIndexes"]["by-n"]["CapacityUnits"] == used["CapacityUnits"] == 0.5
    with invalid("The table does not have the specified index"):
        run(account, f"SELECT * FROM {table}.nothing WHERE p = 'a'")
    with invalid("Strongly consistent read is not supported on Global Secondary Indexes"):
        run(account, f'SELECT * FROM "{table}"."by-n" WHERE n = 20', ConsistentRead=True)
    consistent = account.dynamodb.execute_statement(
        Statement=f"SELECT * FROM {table} WHERE p = 'a'", ConsistentRead=True, ReturnConsumedCapacity="TOTAL")
    assert consistent["ConsumedCapacity"]["CapacityUnits"] == 1


@pytest.mark.parametrize("text, message", [
    ("SLECT 1", "Statement wasn't well formed, can't be processed: Expected data manipulation"),
    ("SELECT * FROM {t} WHERE (p = 'a'", "Statement wasn't well formed, can't be processed: Expected RIGHT_PAREN"),
    ("SELECT a, a FROM {t}", "Duplicate identifiers in select clause: a"),
    ("SELECT * FROM {t} WHERE p = ?", "Number of parameters in request and statement don't match."),
    ("SELECT * FROM {t} WHERE p = 1", "Key attribute's data type should match its data type in table's schema: Key p"),
    ("UPDATE {t} SET n = 1 WHERE n = 2", "Where clause does not contain a mandatory equality on all key attributes"),
    ("INSERT INTO {t} VALUE {{'n': 1}}", "Key attribute should be present in the item: Key p"),
    ("INSERT INTO {t} VALUE {{'p': 'a', 's': <<>>}}", "Empty bags are not supported"),
    ("SELECT * FROM {t} ORDER BY p", "Must have WHERE clause in the statement when using ORDER BY clause."),
    ("DELETE FROM {t} WHERE p = 'a' RETURNING ALL NEW *",
     "Invalid returning clause: RETURNING ALL NEW *. Only RETURNING ALL OLD * is allowed in DELETE statements."),
])
def test_refusals(account, text, message):
    table = new_table(account)
    with invalid(message):
        run(account, text.format(t=table))
    assert run(account, f"SELECT * FROM {table}") == []


def test_nothing_that_a_statement_says_panics(account):
    table = new_table(account)
    for text in ["(" * 4000, "SELECT * FROM t WHERE " + "NOT " * 2000 + "a = 1", "'", "\"", "/*", "SELECT",
                 f"INSERT INTO {table} VALUE " + "{'a':" * 100, "SELECT é FROM ü", "x" * 8193, "SELECT * FROM \"..\""]:
        with refused("ValidationException", 400):
            run(account, text)


def test_batches(account):
    table = filled(account)
    batch = account.dynamodb.batch_execute_statement
    got = batch(Statements=[
        {"Statement": f"SELECT n FROM {table} WHERE p = 'a' AND c = 1"},
        {"Statement": f"SELECT * FROM {table} WHERE p = 'a'"},
        {"Statement": f"SELECT * FROM {table} WHERE p = ? AND c = ?", "Parameters": [{"S": "b"}, {"N": "9"}]},
        {"Statement": "SELECT * FROM absent WHERE p = 'a'"},
    ], ReturnConsumedCapacity="TOTAL")
    first, second, third, fourth = got["Responses"]
    assert first == {"TableName": table, "Item": {"n": {"N": "10"}}}
    assert second["Error"]["Code"] == "ValidationError"
    assert third == {"TableName": table}
    assert fourth["Error"]["Code"] == "ResourceNotFound"
    assert [one["CapacityUnits"] for one in got["ConsumedCapacity"]] == [1.0]
    wrote = batch(Statements=[
        {"Statement": f"INSERT INTO {table} VALUE {{'p': 'a', 'c': 1}}"},
        {"Statement": f"INSERT INTO {table} VALUE {{'p': 'new', 'c': 1}}"},
        {"Statement": f"UPDATE {table} SET n = 1 WHERE p = 'a' AND c = 2 AND n = 0",
         "ReturnValuesOnConditionCheckFailure": "ALL_OLD"},
        {"Statement": f"DELETE FROM {table} WHERE p = 'b' AND c = 1 RETURNING ALL OLD *"},
    ])["Responses"]
    assert [one.get("Error", {}).get("Code") for one in wrote] == ["DuplicateItem", None, "ConditionalCheckFailed", None]
    assert plain(wrote[2]["Error"]["Item"])["n"] == 20 and plain(wrote[3]["Item"])["n"] == 10
    assert get(account, table, p="new", c=1) == {"p": "new", "c": 1}
    with refused("ValidationException", 400):
        batch(Statements=[{"Statement": f"SELECT * FROM {table} WHERE p = 'a' AND c = 1"},
                          {"Statement": f"DELETE FROM {table} WHERE p = 'a' AND c = 1"}])


def test_transactions(account):
    table = filled(account)
    transact = account.dynamodb.execute_transaction
    read = transact(TransactStatements=[
        {"Statement": f"SELECT n FROM {table} WHERE p = 'a' AND c = {c}"} for c in (1, 9)])
    assert read["Responses"] == [{"Item": {"n": {"N": "10"}}}, {}]
    move = [
        {"Statement": f"UPDATE {table} SET n = n - ? WHERE p = 'a' AND c = 1 AND n >= ?", "Parameters": [{"N": "7"}] * 2},
        {"Statement": f"UPDATE {table} SET n = n + ? WHERE p = 'b' AND c = 1", "Parameters": [{"N": "7"}]},
        {"Statement": f"EXISTS(SELECT * FROM {table} WHERE p = 'a' AND c = 2 AND n = 20)"},
    ]
    transact(TransactStatements=move, ClientRequestToken="once")
    transact(TransactStatements=move, ClientRequestToken="once")
    assert get(account, table, p="a", c=1)["n"] == 3 and get(account, table, p="b", c=1)["n"] == 17
    with refused("TransactionCanceledException", 400, "Transaction cancelled, please refer cancellation reasons for "
                 "specific reasons [ConditionalCheckFailed, None, None]"):
        transact(TransactStatements=move, ClientRequestToken="twice")
    assert get(account, table, p="b", c=1)["n"] == 17
    with invalid("Validation failed in TransactStatements[0]: RETURNING clause is not supported in ExecuteTransaction."):
        transact(TransactStatements=[{"Statement": f"UPDATE {table} SET n = 1 WHERE p = 'a' AND c = 1 RETURNING ALL NEW *"}])


def test_permissions(account):
    table = filled(account, glo=[("by-n", "n:N", "ALL")])
    reader = account.client("dynamodb", key=account.new_user(
        "reader",
        allow("dynamodb:PartiQLSelect", arn(account, table)),
        deny("dynamodb:PartiQLSelect", Condition={"Bool": {"dynamodb:FullTableScan": "true"}}),
    ))
    assert len(run(account, f"SELECT * FROM {table} WHERE p = 'a'", db=reader)) == 5
    for text in [f"SELECT * FROM {table}", f"SELECT * FROM {table} WHERE n = 10",
                 f'SELECT * FROM "{table}"."by-n" WHERE n = 10', f"DELETE FROM {table} WHERE p = 'a' AND c = 1",
                 f"INSERT INTO {table} VALUE {{'p': 'z', 'c': 1}}", f"UPDATE {table} SET n = 1 WHERE p = 'a' AND c = 1"]:
        with refused("AccessDeniedException", 400):
            run(account, text, db=reader)
    own = account.client("dynamodb", key=account.new_user("a", allow(
        ["dynamodb:PartiQL*"], arn(account, table),
        Condition={"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${aws:username}"]},
                   "Null": {"dynamodb:LeadingKeys": "false"}})))
    assert len(run(account, f"SELECT * FROM {table} WHERE p = 'a'", db=own)) == 5
    run(account, f"UPDATE {table} SET n = 1 WHERE p = 'a' AND c = 1", db=own)
    for text in [f"SELECT * FROM {table} WHERE p = 'b'", f"SELECT * FROM {table} WHERE p IN ['a', 'b']",
                 f"UPDATE {table} SET n = 1 WHERE p = 'b' AND c = 1", f"SELECT * FROM {table}"]:
        with refused("AccessDeniedException", 400):
            run(account, text, db=own)
    got = own.batch_execute_statement(Statements=[
        {"Statement": f"DELETE FROM {table} WHERE p = '{p}' AND c = 1"} for p in "ab"])["Responses"]
    assert [one.get("Error", {}).get("Code") for one in got] == [None, "AccessDenied"]
    assert get(account, table, p="a", c=1) is None and get(account, table, p="b", c=1)


def test_the_cli(account):
    table = filled(account)
    done = account.cli("dynamodb", "execute-statement", "--statement",
                       f"SELECT n FROM {table} WHERE p = 'a' AND c < 3", "--output", "json")
    assert [item["n"]["N"] for item in json.loads(done.stdout)["Items"]] == ["10", "20"]
