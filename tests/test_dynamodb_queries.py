"""Query, Scan and their pages; secondary indexes; the older parameters; batches."""

import itertools
import random
from decimal import Decimal

import pytest
from accounts import refused
from boto3.dynamodb.types import Binary
from dynamo import all_items, index, invalid, new_table, plain, put, wire


def pages(call, **members):
    """All items of a query or scan, and how many answers they came in."""
    items, count = [], 0
    while True:
        told = call(**members)
        items += [plain(item) for item in told["Items"]]
        count += 1
        if "LastEvaluatedKey" not in told:
            return items, count
        members["ExclusiveStartKey"] = told["LastEvaluatedKey"]


def query(account, table, condition, values, **more):
    names = {f"#{name}": name for name in ("p", "c") if f"#{name}" in condition}
    if names:
        more["ExpressionAttributeNames"] = names
    found, _ = pages(
        account.dynamodb.query, TableName=table, KeyConditionExpression=condition,
        ExpressionAttributeValues=wire(values), **more)
    return found


SORTED = {
    "N": [Decimal("-1e20"), -100, Decimal("-99.5"), -2, -1, Decimal("-0.001"), 0, Decimal("1e-20"),
          Decimal("0.5"), 1, 2, 10, 100, Decimal("100.01"), Decimal("1e20")],
    "S": ["\0", " ", "A", "B", "a", "aa", "ab", "b", "z", "é", "€", "\U0001f600"],
    "B": [Binary(b"\0"), Binary(b"\0\0"), Binary(b"\0\1"), Binary(b"\1"), Binary(b"a"), Binary(b"\xff"), Binary(b"\xff\xff")],
}


@pytest.mark.parametrize("kind", SORTED)
def test_order_and_every_key_condition(account, kind):
    values, table = SORTED[kind], new_table(account, f"p:S c:{kind}")
    shuffled = values[:]
    random.Random(3).shuffle(shuffled)
    put(account, table, *({"p": "a", "c": value} for value in shuffled))
    put(account, table, *({"p": "b", "c": value} for value in values[:2]))

    def found(condition, backwards=False, **named):
        items = query(account, table, f"p = :p AND {condition}" if condition else "p = :p",
                      {":p": "a"} | {f":{n}": v for n, v in named.items()},
                      ScanIndexForward=not backwards, Limit=4)
        return [item["c"] for item in items]

    assert found("") == values
    assert found("", backwards=True) == values[::-1]
    for n, m in [(0, 3), (2, 5), (len(values) - 1, len(values) - 1)]:
        low, high = values[n], values[m]
        for backwards in (False, True):
            turn = (lambda all_: all_[::-1]) if backwards else (lambda all_: all_)
            assert found("c = :v", backwards, v=low) == [low]
            assert found("c < :v", backwards, v=low) == turn(values[:n])
            assert found("c <= :v", backwards, v=low) == turn(values[:n + 1])
            assert found("c > :v", backwards, v=low) == turn(values[n + 1:])
            assert found("c >= :v", backwards, v=low) == turn(values[n:])
            assert found("c BETWEEN :v AND :w", backwards, v=low, w=high) == turn(values[n:m + 1])
    if kind != "N":
        start = values[0] if kind == "B" else "a"
        begins = [v for v in values if (v.value if kind == "B" else v).startswith(start.value if kind == "B" else start)]
        assert found("begins_with(c, :v)", v=start) == begins


@pytest.fixture
def music(account):
    """Three partitions of 20, 1 and 0 items with a global, a sparse and a local index."""
    name = new_table(
        account, "p:S c:N",
        glo=[("glo", "g:S c:N"), ("sparse", "s:S", "KEYS_ONLY")],
        loc=[("loc", "p:S l:S", "INCLUDE", ["x"])])
    for n in range(20):
        item = {"p": "many", "c": n, "g": f"g{n % 4}", "l": f"l{n % 5}", "x": n, "y": "y" * n}
        put(account, name, item | ({"s": "s"} if n % 7 == 0 else {}))
    put(account, name, {"p": "one", "c": 1, "g": "g1"})
    return name


def test_filters_and_limits_count_what_is_read(account, music):
    db = account.dynamodb
    members = {
        "TableName": music, "KeyConditionExpression": "p = :p", "FilterExpression": "x >= :x",
        "ExpressionAttributeValues": wire({":p": "many", ":x": 10})}
    told = db.query(**members)
    assert (told["Count"], told["ScannedCount"], "LastEvaluatedKey" in told) == (10, 20, False)
    told = db.query(**members, Limit=5)
    assert (told["Count"], told["ScannedCount"]) == (0, 5)
    assert plain(told["LastEvaluatedKey"]) == {"p": "many", "c": 4}
    found, count = pages(db.query, **members, Limit=5)
    # The fourth page is full, so that nobody can know that nothing follows.
    assert [item["c"] for item in found] == list(range(10, 20)) and count == 5
    told = db.query(**members, Select="COUNT")
    assert "Items" not in told and told["Count"] == 10


def test_indexes(account, music):
    db = account.dynamodb
    found = query(account, music, "g = :g", {":g": "g1"}, IndexName="glo", Limit=2)
    assert [(i["p"], i["c"]) for i in found] in (
        [("many", 1), ("one", 1), *(("many", n) for n in (5, 9, 13, 17))],
        [("one", 1), ("many", 1), *(("many", n) for n in (5, 9, 13, 17))])
    told = db.query(TableName=music, IndexName="glo", KeyConditionExpression="g = :g", Limit=1,
                    ExpressionAttributeValues=wire({":g": "g1"}))
    assert set(told["LastEvaluatedKey"]) == {"p", "c", "g"}
    found, _ = pages(db.scan, TableName=music, IndexName="sparse")
    assert sorted(i["c"] for i in found) == [0, 7, 14] and set(found[0]) == {"p", "c", "s"}
    found = query(account, music, "p = :p AND l BETWEEN :a AND :b", {":p": "many", ":a": "l1", ":b": "l2"}, IndexName="loc")
    assert [i["l"] for i in found] == ["l1"] * 4 + ["l2"] * 4
    assert set(found[0]) == {"p", "c", "l", "x"}
    # A local index fetches what it does not have, a global one refuses.
    found = query(account, music, "p = :p AND l = :a", {":p": "many", ":a": "l1"}, IndexName="loc", Select="ALL_ATTRIBUTES")
    assert set(found[0]) >= {"y", "g"}
    assert len(query(account, music, "p = :p", {":p": "many"}, IndexName="loc", ConsistentRead=True)) == 20
    with invalid("Consistent reads are not supported on global secondary indexes"):
        query(account, music, "g = :g", {":g": "g1"}, IndexName="glo", ConsistentRead=True)
    with invalid(
        "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for "
        "global secondary index sparse because its projection type is not ALL"
    ):
        db.scan(TableName=music, IndexName="sparse", Select="ALL_ATTRIBUTES")
    with invalid("One or more parameter values were invalid: Global secondary index sparse does not project [y]"):
        db.scan(TableName=music, IndexName="sparse", ProjectionExpression="y")
    with invalid("The table does not have the specified index: none"):
        db.scan(TableName=music, IndexName="none")


def test_an_index_follows_every_write(account, music):
    db, key = account.dynamodb, wire({"p": "one", "c": 1})

    def entries(name):
        return [plain(i) for i in db.scan(TableName=music, IndexName=name)["Items"] if plain(i)["p"] == "one"]

    assert entries("glo") == [{"p": "one", "c": 1, "g": "g1"}]
    db.update_item(TableName=music, Key=key, UpdateExpression="SET g = :g, s = :s, y = :g",
                   ExpressionAttributeValues=wire({":g": "other", ":s": "s"}))
    assert entries("glo") == [{"p": "one", "c": 1, "g": "other", "s": "s", "y": "other"}]
    assert entries("sparse") == [{"p": "one", "c": 1, "s": "s"}]
    db.update_item(TableName=music, Key=key, UpdateExpression="REMOVE s")
    assert entries("sparse") == []
    db.transact_write_items(TransactItems=[{"Put": {
        "TableName": music, "Item": wire({"p": "one", "c": 1, "s": "t"})}}])
    assert entries("glo") == [] and entries("sparse") == [{"p": "one", "c": 1, "s": "t"}]
    db.batch_write_item(RequestItems={music: [{"DeleteRequest": {"Key": key}}]})
    assert entries("sparse") == []


def test_pages_of_a_megabyte(account):
    table = new_table(account, "p:S c:N")
    for start in range(0, 30, 10):
        account.dynamodb.batch_write_item(RequestItems={table: [
            {"PutRequest": {"Item": wire({"p": "a", "c": n, "x": "y" * 100_000})}} for n in range(start, start + 10)]})
    for call, more in (
        (account.dynamodb.query, {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": wire({":p": "a"})}),
        (account.dynamodb.scan, {}),
    ):
        told = call(TableName=table, **more)
        assert told["Count"] == 11 and "LastEvaluatedKey" in told
        found, count = pages(call, TableName=table, **more)
        assert [i["c"] for i in found] == list(range(30)) and count == 3
        # What a filter or a projection takes away was read all the same.
        told = call(TableName=table, **more, ProjectionExpression="c")
        assert told["Count"] == 11
        told = call(TableName=table, **more, Select="COUNT", ReturnConsumedCapacity="TOTAL")
        # A scan passes up to three empty partitions of the storage, each of which is rounded up.
        passed = (told["ConsumedCapacity"]["CapacityUnits"] - 134.5) / 0.5
        assert passed in ((0,) if call == account.dynamodb.query else (0, 1, 2, 3))


@pytest.mark.parametrize("total", [1, 2, 3, 7, 100])
def test_segments(account, total):
    table = new_table(account)
    put(account, table, *({"p": f"k{n}"} for n in range(60)))
    found = [
        [item["p"] for item in pages(account.dynamodb.scan, TableName=table, TotalSegments=total, Segment=n, Limit=5)[0]]
        for n in range(total)
    ]
    assert sorted(itertools.chain(*found)) == sorted(f"k{n}" for n in range(60))
    assert total == 1 or len([part for part in found if part]) > 1


def test_the_older_parameters_of_reads(account, music):
    db = account.dynamodb

    def condition(operator, *values):
        return {"ComparisonOperator": operator, "AttributeValueList": [wire({"v": v})["v"] for v in values]}

    def found(**more):
        keys = {"p": condition("EQ", "many")} | more.pop("keys", {})
        items, _ = pages(db.query, TableName=music, KeyConditions=keys, **more)
        return [int(item["c"]) for item in items]

    assert found() == list(range(20))
    for operator, values, expected in [
        ("EQ", [3], [3]), ("LT", [3], [0, 1, 2]), ("LE", [1], [0, 1]), ("GT", [17], [18, 19]),
        ("GE", [18], [18, 19]), ("BETWEEN", [4, 6], [4, 5, 6]),
    ]:
        assert found(keys={"c": condition(operator, *values)}) == expected
        assert found(QueryFilter={"x": condition(operator, *values)}) == expected
    filters = {"x": condition("LT", 3), "l": condition("EQ", "l4")}
    assert found(QueryFilter=filters) == []
    assert found(QueryFilter=filters, ConditionalOperator="OR") == [0, 1, 2, 4, 9, 14, 19]
    assert found(QueryFilter={"y": condition("CONTAINS", "y" * 18)}) == [18, 19]
    assert found(QueryFilter={"s": {"ComparisonOperator": "NOT_NULL"}}) == [0, 7, 14]
    assert found(QueryFilter={"x": condition("IN", 2, 5, 99)}) == [2, 5]
    told = db.scan(TableName=music, ScanFilter={"y": condition("BEGINS_WITH", "yyyyyyyyyyyyyyyyyyy")}, AttributesToGet=["c"])
    assert [plain(i) for i in told["Items"]] == [{"c": 19}]
    with invalid("Conditions can be of length 1 or 2 only"):
        db.query(TableName=music, KeyConditions={})
    with invalid("Attempted conditional constraint is not an indexable operation"):
        found(keys={"c": condition("NE", 3)})
    with invalid("One or more parameter values were invalid: Invalid number of argument(s) for the BETWEEN ComparisonOperator"):
        found(keys={"c": condition("BETWEEN", 3)})


BAD_QUERIES = {
    "no condition": ({}, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."),
    "no partition": ({"KeyConditionExpression": "c = :one"}, "Query condition missed key schema element: p"),
    "an inequality of the partition": ({"KeyConditionExpression": "p > :p"}, "Query key condition not supported"),
    "another attribute": ({"KeyConditionExpression": "p = :p AND x = :one"}, "Query condition missed key schema element: c"),
    "an or": ({"KeyConditionExpression": "p = :p OR c = :one"}, "Invalid operator used in KeyConditionExpression: OR"),
    "a not": ({"KeyConditionExpression": "NOT p = :p"}, "Invalid operator used in KeyConditionExpression: NOT"),
    "unequal": ({"KeyConditionExpression": "p = :p AND c <> :one"}, "Invalid operator used in KeyConditionExpression: <>"),
    "a type": ({"KeyConditionExpression": "p = :one"}, "One or more parameter values were invalid: Condition parameter type does not match schema type"),
    "a filter on the key": (
        {"KeyConditionExpression": "p = :p", "FilterExpression": "c > :one"},
        "Filter Expression can only contain non-primary key attributes: Primary key attribute: c"),
    "both kinds": (
        {"KeyConditionExpression": "p = :p", "QueryFilter": {"x": {"ComparisonOperator": "NULL"}}},
        "Can not use both expression and non-expression parameters in the same request: Non-expression "
        "parameters: {QueryFilter} Expression parameters: {KeyConditionExpression}"),
    "projected of a table": (
        {"KeyConditionExpression": "p = :p", "Select": "ALL_PROJECTED_ATTRIBUTES"},
        "One or more parameter values were invalid: Select type ALL_PROJECTED_ATTRIBUTES is only supported for queries using an IndexName"),
    "specific without names": (
        {"KeyConditionExpression": "p = :p", "Select": "SPECIFIC_ATTRIBUTES"},
        "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"),
    "a start from another partition": (
        {"KeyConditionExpression": "p = :p", "ExclusiveStartKey": wire({"p": "one", "c": 1})},
        "The provided starting key is outside query boundaries based on provided conditions"),
    "a start outside the range": (
        {"KeyConditionExpression": "p = :p AND c > :one", "ExclusiveStartKey": wire({"p": "many", "c": 0})},
        "The provided starting key does not match the range key predicate"),
    "half a start": (
        {"KeyConditionExpression": "p = :p", "ExclusiveStartKey": wire({"p": "many"})},
        "The provided starting key is invalid: The provided key element does not match the schema"),
    "a start of another type": (
        {"KeyConditionExpression": "p = :p", "ExclusiveStartKey": wire({"p": "many", "c": "1"})},
        "The provided starting key is invalid: The provided key element does not match the schema"),
    "a start of a table in an index": (
        {"KeyConditionExpression": "g = :p", "IndexName": "glo", "ExclusiveStartKey": wire({"p": "many", "c": 1})},
        "The provided starting key is invalid"),
}


@pytest.mark.parametrize("what", BAD_QUERIES)
def test_bad_queries(account, music, what):
    members, text = BAD_QUERIES[what]
    used = " ".join(str(members.get(name, "")) for name in ("KeyConditionExpression", "FilterExpression"))
    values = {name: value for name, value in {":p": "many", ":one": 1}.items() if name in used}
    more = {"ExpressionAttributeValues": wire(values)} if values else {}
    with invalid(text):
        account.dynamodb.query(TableName=music, **members, **more)


BAD_SCANS = [
    ({"Segment": 0}, "The TotalSegments parameter is required but was not present in the request when Segment parameter is present"),
    ({"TotalSegments": 2}, "The Segment parameter is required but was not present in the request when parameter TotalSegments is present"),
    ({"Segment": 2, "TotalSegments": 2},
     "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 2 is not less than TotalSegments: 2"),
    ({"Segment": 0, "TotalSegments": 1_000_001},
     "1 validation error detected: Value '1000001' at 'totalSegments' failed to satisfy constraint: Member must have value less than or equal to 1000000"),
    ({"Limit": 0}, "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"),
    ({"Select": "SOME"},
     "1 validation error detected: Value 'SOME' at 'select' failed to satisfy constraint: Member must satisfy enum value set: "
     "[ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES, SPECIFIC_ATTRIBUTES, COUNT]"),
]


@pytest.mark.parametrize("members,text", BAD_SCANS)
def test_bad_scans(account, members, text):
    table = new_table(account)
    client = account.client("dynamodb", parameter_validation=False)
    with invalid(text):
        client.scan(TableName=table, **members)


def test_the_cursor_of_another_table(account, music):
    other = new_table(account, "q:S")
    put(account, other, {"q": "a"}, {"q": "b"})
    cursor = account.dynamodb.scan(TableName=other, Limit=1)["LastEvaluatedKey"]
    with invalid("The provided starting key is invalid: The provided key element does not match the schema"):
        account.dynamodb.scan(TableName=music, ExclusiveStartKey=cursor)


def test_batches(account):
    db, first, second = account.dynamodb, new_table(account), new_table(account, "p:S c:N")
    told = db.batch_write_item(RequestItems={
        first: [{"PutRequest": {"Item": wire({"p": f"{n}", "n": n})}} for n in range(12)],
        second: [{"PutRequest": {"Item": wire({"p": "a", "c": n})}} for n in range(13)],
    }, ReturnConsumedCapacity="TOTAL")
    assert told["UnprocessedItems"] == {}
    assert {c["TableName"]: c["CapacityUnits"] for c in told["ConsumedCapacity"]} == {first: 12.0, second: 13.0}
    db.batch_write_item(RequestItems={first: [
        {"DeleteRequest": {"Key": wire({"p": "3"})}}, {"PutRequest": {"Item": wire({"p": "4", "n": 44})}}]})
    told = db.batch_get_item(RequestItems={
        first: {"Keys": [wire({"p": f"{n}"}) for n in range(5)], "ProjectionExpression": "n", "ConsistentRead": True},
        second: {"Keys": [wire({"p": "a", "c": 1}), wire({"p": "a", "c": 99})]}}, ReturnConsumedCapacity="TOTAL")
    assert sorted(plain(i)["n"] for i in told["Responses"][first]) == [0, 1, 2, 44]
    assert [plain(i) for i in told["Responses"][second]] == [{"p": "a", "c": 1}]
    assert told["UnprocessedKeys"] == {}
    assert {c["TableName"]: c["CapacityUnits"] for c in told["ConsumedCapacity"]} == {first: 5.0, second: 1.0}


def test_a_batch_that_is_too_much_for_one_answer(account):
    db, table = account.dynamodb, new_table(account)
    for n in range(50):
        put(account, table, {"p": f"{n}", "x": "y" * 390_000})
    wanted = [wire({"p": f"{n}"}) for n in range(50)]
    found, rounds = [], 0
    while wanted:
        told = db.batch_get_item(RequestItems={table: {"Keys": wanted}})
        found += [item["p"]["S"] for item in told["Responses"][table]]
        wanted = told["UnprocessedKeys"].get(table, {}).get("Keys", [])
        rounds += 1
    assert rounds == 2 and sorted(found) == sorted(f"{n}" for n in range(50))
    many = [{"PutRequest": {"Item": wire({"p": f"{n}", "x": "z" * 390_000})}} for n in range(25)]
    left, written = {table: many}, 0
    while left:
        left = db.batch_write_item(RequestItems=left)["UnprocessedItems"]
        written += 1
    assert written > 1
    told = db.batch_get_item(RequestItems={table: {"Keys": [wire({"p": f"{n}"}) for n in range(25)]}})
    assert all(item["x"]["S"][0] == "z" for item in told["Responses"][table])


def test_bad_batches(account):
    db, table = account.dynamodb, new_table(account)
    client = account.client("dynamodb", parameter_validation=False)

    def puts(*keys):
        return [{"PutRequest": {"Item": wire({"p": key})}} for key in keys]

    with invalid(
        "1 validation error detected: Value at 'requestItems' failed to satisfy constraint: Map value must satisfy "
        "constraint: [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]"
    ):
        db.batch_write_item(RequestItems={table: puts(*(f"{n}" for n in range(26)))})
    other = new_table(account)
    with invalid("Too many items requested for the BatchWriteItem call"):
        db.batch_write_item(RequestItems={
            name: puts(*(f"{n}" for n in range(13))) for name in (table, other)})
    with invalid("Provided list of item keys contains duplicates"):
        db.batch_write_item(RequestItems={table: puts("a", "a")})
    with invalid("Provided list of item keys contains duplicates"):
        db.batch_get_item(RequestItems={table: {"Keys": [wire({"p": "a"})] * 2}})
    with invalid(
        f"1 validation error detected: Value at 'requestItems.{table}.member.keys' failed to satisfy constraint: "
        "Member must have length less than or equal to 100"
    ):
        client.batch_get_item(RequestItems={table: {"Keys": [wire({"p": f"{n}"}) for n in range(101)]}})
    with invalid(
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
    ):
        db.batch_write_item(RequestItems={table: [
            {"PutRequest": {"Item": wire({"p": "a"})}, "DeleteRequest": {"Key": wire({"p": "a"})}}]})
    # One bad member, and nothing is written.
    with invalid("One or more parameter values were invalid: Missing the key p in the item"):
        db.batch_write_item(RequestItems={table: [*puts("a"), {"PutRequest": {"Item": wire({"q": "a"})}}]})
    with refused("ResourceNotFoundException", 400, "Requested resource not found"):
        db.batch_write_item(RequestItems={table: puts("a"), "absent": puts("a")})
    with invalid(part="at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1"):
        client.batch_write_item(RequestItems={})
    assert all_items(account, table) == []


def test_an_index_of_each_kind_of_key(account):
    table = new_table(account, "p:S", glo=[("num", "n:N"), ("bin", "b:B n:N")])
    put(account, table, *({"p": f"{n}", "n": n % 3, "b": Binary(bytes([n % 2]))} for n in range(12)))
    for n in range(3):
        assert len(query(account, table, "n = :n", {":n": n}, IndexName="num")) == 4
    found = query(account, table, "b = :b AND n >= :n", {":b": Binary(b"\1"), ":n": 1}, IndexName="bin")
    assert [i["n"] for i in found] == [1, 1, 2, 2]
    assert index("x", "p:S")["Projection"] == {"ProjectionType": "ALL"}
