"""Items of DynamoDB: all types, numbers to the last digit, the four operations with everything that
they can return, the older parameters, sizes and capacity, the checksum of answers."""

import binascii
import json
import random
from decimal import Decimal

import pytest
from accounts import REGION, refused
from boto3.dynamodb.types import Binary
from dynamo import all_items, failed_condition, get, invalid, new_table, plain, put, wire

EVERYTHING = {
    "S": "tëxt \U0001f600 \" \\ \n", "empty": "", "N": Decimal("-0.00012300"), "B": Binary(b"\0\xff"),
    "no bytes": Binary(b""), "yes": True, "no": False, "null": None, "SS": {"b", "a", "ü"},
    "NS": {Decimal(1), Decimal("-2.5"), Decimal("1e100")}, "BS": {Binary(b"x"), Binary(b"\xfe")},
    "L": [1, "x", [], {}, [None, {"deep": [True]}]], "M": {"a": {"b": {"c": [1, {"d": "e"}]}}, "": 1},
    "a.b": 1, "#x": 2, ":y": 3, "ünï": 4, "a b": 5,
}


def test_all_types(account):
    table = new_table(account)
    put(account, table, EVERYTHING | {"p": "k"})
    assert get(account, table, p="k") == EVERYTHING | {"p": "k"}
    assert all_items(account, table) == [EVERYTHING | {"p": "k"}]


@pytest.mark.parametrize("keys,values", [
    ("p:S", ["a", "A", "é", "z" * 2048, "\0", "\U0001f600"]),
    ("p:N", [0, 1, -1, Decimal("1e125"), Decimal("-1e-130"), Decimal("1." + "1" * 37)]),
    ("p:B", [Binary(b"\0"), Binary(b"\xff\xff"), Binary(b"a" * 2048)]),
])
def test_keys_of_all_types(account, keys, values):
    table = new_table(account, keys)
    put(account, table, *({"p": value, "n": n} for n, value in enumerate(values)))
    for n, value in enumerate(values):
        assert get(account, table, p=value)["n"] == n
    assert len(all_items(account, table)) == len(values)


def test_numbers(account):
    """Any number of up to 38 digits comes back as it is, in its one form."""
    db, table = account.dynamodb, new_table(account)
    dice = random.Random(7)
    numbers = {"0", "-0", "1E125", "9.9999999999999999999999999999999999999E+125", "1e-130", "-1E-130"}
    for _ in range(150):
        digits = "".join(dice.choice("0123456789") for _ in range(dice.randint(1, 38)))
        exponent = dice.randint(-130 + len(digits), 125 - len(digits))
        numbers.add(f"{dice.choice(['', '-'])}{digits}E{exponent}")
    for start in range(0, len(numbers), 50):
        some = dict(enumerate(sorted(numbers)[start:start + 50]))
        item = {"p": {"S": "k"}} | {f"n{at}": {"N": text} for at, text in some.items()}
        db.put_item(TableName=table, Item=item)
        found = db.get_item(TableName=table, Key={"p": {"S": "k"}})["Item"]
        for at, text in some.items():
            assert Decimal(found[f"n{at}"]["N"]) == Decimal(text), text
    for written, read in [("1.50", "1.5"), ("007", "7"), ("1e3", "1000"), ("-0.0", "0"), ("+5", "5"),
                          (".5", "0.5"), ("100E-2", "1")]:
        db.put_item(TableName=table, Item={"p": {"S": "k"}, "n": {"N": written}})
        assert db.get_item(TableName=table, Key={"p": {"S": "k"}})["Item"]["n"]["N"] == read
    # Sums are as exact.
    db.put_item(TableName=table, Item={"p": {"S": "k"}, "n": {"N": "0.1"}})
    told = db.update_item(
        TableName=table, Key={"p": {"S": "k"}}, UpdateExpression="SET n = n + :d",
        ExpressionAttributeValues={":d": {"N": "0.2"}}, ReturnValues="UPDATED_NEW")
    assert told["Attributes"]["n"] == {"N": "0.3"}


BAD_NUMBERS = {
    "abc": "The parameter cannot be converted to a numeric value: abc",
    "": "The parameter cannot be converted to a numeric value",
    "1e126": "Number overflow. Attempting to store a number with magnitude larger than supported range",
    "-1e126": "Number overflow. Attempting to store a number with magnitude larger than supported range",
    "1e-131": "Number underflow. Attempting to store a number with magnitude smaller than supported range",
    "1" * 39: "Attempting to store more than 38 significant digits in a Number",
    "NaN": "The parameter cannot be converted to a numeric value: NaN",
    "Infinity": "The parameter cannot be converted to a numeric value: Infinity",
    "0x10": "The parameter cannot be converted to a numeric value: 0x10",
    "1,5": "The parameter cannot be converted to a numeric value: 1,5",
    " 1": "The parameter cannot be converted to a numeric value:  1",
}


@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_bad_numbers(account, text):
    table = new_table(account)
    for value in ({"N": text}, {"NS": [text]}, {"L": [{"M": {"x": {"N": text}}}]}):
        with invalid(BAD_NUMBERS[text]):
            account.dynamodb.put_item(TableName=table, Item={"p": {"S": "k"}, "n": value})
    assert all_items(account, table) == []


BAD_VALUES = {
    "an empty set": ({"SS": []}, "One or more parameter values were invalid: An string set  may not be empty"),
    "an empty text in a set": (
        {"SS": [""]}, "One or more parameter values were invalid: An string set may not have a empty string as a member"),
    "twice in a set": (
        {"SS": ["a", "a"]}, "One or more parameter values were invalid: Input collection [a, a] contains duplicates."),
    "a number twice in a set": ({"NS": ["1", "1.0"]}, "Input collection contains duplicates"),
    "false nothing": (
        {"NULL": False}, "One or more parameter values were invalid: Null attribute value types must have the value of true"),
    "no type": ({}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
    "two types": (
        {"S": "a", "N": "1"},
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"),
    "too deep": (
        json.loads('{"L":[' * 32 + '{"S":"x"}' + "]}" * 32),
        "Nesting Levels have exceeded supported limits"),
}


@pytest.mark.parametrize("what", BAD_VALUES)
def test_bad_values(account, what):
    value, text = BAD_VALUES[what]
    table = new_table(account)
    client = account.client("dynamodb", parameter_validation=False)
    with invalid(part=text):
        client.put_item(TableName=table, Item={"p": {"S": "k"}, "v": value})
    with invalid(part=text):
        client.update_item(
            TableName=table, Key={"p": {"S": "k"}}, UpdateExpression="SET v = :v",
            ExpressionAttributeValues={":v": value})
    assert all_items(account, table) == []


BAD_ITEMS = {
    "no key": ({"x": "y"}, "One or more parameter values were invalid: Missing the key p in the item"),
    "half a key": ({"p": "a"}, "One or more parameter values were invalid: Missing the key c in the item"),
    "a key of another type": (
        {"p": 1, "c": 1}, "One or more parameter values were invalid: Type mismatch for key p expected: S actual: N"),
    "an empty key": (
        {"p": "", "c": 1},
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot "
        "contain an empty string value. Key: p"),
    "a long key": (
        {"p": "x" * 2049, "c": 1},
        "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes"),
    "a set as key": (
        {"p": {"a"}, "c": 1}, "One or more parameter values were invalid: Type mismatch for key p expected: S actual: SS"),
    "too large": (
        {"p": "a", "c": 1, "x": "y" * 400 * 1024}, "Item size has exceeded the maximum allowed size"),
    "an index key of another type": (
        {"p": "a", "c": 1, "g": 1},
        "One or more parameter values were invalid: Type mismatch for Index Key g Expected: S Actual: N IndexName: glo"),
    "an empty index key": (
        {"p": "a", "c": 1, "g": ""},
        "One or more parameter values are not valid. A value specified for a secondary index key is "
        "not supported. The AttributeValue for a key attribute cannot contain an empty string value. "
        "IndexName: glo, IndexKey: g"),
}


@pytest.mark.parametrize("what", BAD_ITEMS)
def test_bad_items(account, what):
    item, text = BAD_ITEMS[what]
    table = new_table(account, "p:S c:N", glo=[("glo", "g:S")])
    with invalid(text):
        put(account, table, item)
    with invalid(text):
        account.dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": wire(item)}}]})
    assert all_items(account, table) == []


@pytest.mark.parametrize("key", [{}, {"p": "a"}, {"p": "a", "c": "1"}, {"p": "a", "c": 1, "d": 1}, {"q": "a", "c": 1}])
def test_bad_keys(account, key):
    db, table = account.dynamodb, new_table(account, "p:S c:N")
    text = "The provided key element does not match the schema"
    for call in (db.get_item, db.delete_item, db.update_item):
        with invalid(text):
            call(TableName=table, Key=wire(key))


def test_the_largest_item(account):
    table = new_table(account)
    put(account, table, {"p": "k", "x": "y" * (400 * 1024 - 3)})
    assert len(get(account, table, p="k")["x"]) == 400 * 1024 - 3
    with invalid("Item size has exceeded the maximum allowed size"):
        put(account, table, {"p": "k", "x": "y" * (400 * 1024 - 2)})
    with invalid("Item size to update has exceeded the maximum allowed size"):
        account.dynamodb.update_item(
            TableName=table, Key=wire({"p": "k"}), UpdateExpression="SET z = :z",
            ExpressionAttributeValues=wire({":z": 1}))


def test_what_writes_return(account):
    db, table = account.dynamodb, new_table(account)

    def attributes(call, **members):
        told = call(TableName=table, **members)
        return plain(told["Attributes"]) if "Attributes" in told else None

    key = wire({"p": "k"})
    assert attributes(db.put_item, Item=wire({"p": "k", "a": 1, "b": 1}), ReturnValues="ALL_OLD") is None
    assert attributes(db.put_item, Item=wire({"p": "k", "a": 2, "b": 2}), ReturnValues="ALL_OLD") == {
        "p": "k", "a": 1, "b": 1}
    assert attributes(db.put_item, Item=wire({"p": "k", "a": 1, "b": 1})) is None
    expected = {
        "NONE": None, "ALL_OLD": {"p": "k", "a": 1, "b": 1}, "ALL_NEW": {"p": "k", "a": 3, "b": 1, "c": 1},
        "UPDATED_OLD": {"a": 3, "c": 1}, "UPDATED_NEW": {"a": 5, "c": 1},
    }
    for kind, wanted in expected.items():
        step = 0 if kind == "NONE" else 1
        told = attributes(
            db.update_item, Key=key, UpdateExpression="SET a = a + :s, c = :one", ReturnValues=kind,
            ExpressionAttributeValues=wire({":s": step, ":one": 1}))
        if kind == "NONE":
            assert told is None
            put(account, table, {"p": "k", "a": 1, "b": 1})
        elif kind == "ALL_NEW":
            assert told == wanted
        elif kind == "ALL_OLD":
            assert told == wanted
        else:
            assert set(told) == set(wanted), kind
    for kind in ("UPDATED_OLD", "UPDATED_NEW", "ALL_NEW"):
        for call, members in ((db.put_item, {"Item": key}), (db.delete_item, {"Key": key})):
            with invalid("ReturnValues can only be ALL_OLD or NONE"):
                call(TableName=table, ReturnValues=kind, **members)
    assert attributes(db.delete_item, Key=key, ReturnValues="ALL_OLD")["b"] == 1
    assert attributes(db.delete_item, Key=key, ReturnValues="ALL_OLD") is None
    assert get(account, table, p="k") is None


def test_what_a_failed_condition_shows(account):
    db, table = account.dynamodb, new_table(account)
    put(account, table, {"p": "k", "v": 1})
    members = {"ConditionExpression": "v = :v", "ExpressionAttributeValues": wire({":v": 2})}
    for call, more in ((db.put_item, {"Item": wire({"p": "k", "v": 3})}), (db.delete_item, {"Key": wire({"p": "k"})}),
                       (db.update_item, {"Key": wire({"p": "k"})})):
        with failed_condition():
            call(TableName=table, **members, **more)
        try:
            call(TableName=table, **members, **more, ReturnValuesOnConditionCheckFailure="ALL_OLD")
            raise AssertionError("it held")
        except db.exceptions.ConditionalCheckFailedException as error:
            assert plain(error.response["Item"]) == {"p": "k", "v": 1}
    assert get(account, table, p="k") == {"p": "k", "v": 1}


def test_the_older_parameters_of_writes(account):
    db, table = account.dynamodb, new_table(account)
    key = wire({"p": "k"})
    db.put_item(TableName=table, Item=wire({"p": "k", "n": 1}), Expected={"p": {"Exists": False}})
    with failed_condition():
        db.put_item(TableName=table, Item=wire({"p": "k"}), Expected={"p": {"Exists": False}})
    db.put_item(TableName=table, Item=wire({"p": "k", "n": 2, "s": {"a"}}), Expected={"n": {"Value": {"N": "1.0"}}})
    holds = {
        "EQ": [2], "NE": [3], "LT": [3], "LE": [2], "GT": [1], "GE": [2], "BETWEEN": [1, 2], "IN": [9, 2],
        "NOT_NULL": [],
    }
    fails = {"EQ": [3], "NE": [2], "LT": [2], "GT": [2], "BETWEEN": [3, 4], "IN": [9], "NULL": []}

    def expecting(operator, values):
        expected = {"n": {"ComparisonOperator": operator}}
        if values:
            expected["n"]["AttributeValueList"] = [{"N": str(v)} for v in values]
        return db.update_item(
            TableName=table, Key=key, Expected=expected,
            AttributeUpdates={"hits": {"Action": "ADD", "Value": {"N": "1"}}})

    for operator, values in holds.items():
        expecting(operator, values)
    for operator, values in fails.items():
        with failed_condition():
            expecting(operator, values)
    assert get(account, table, p="k")["hits"] == len(holds)
    db.update_item(TableName=table, Key=key, AttributeUpdates={
        "n": {"Action": "DELETE"}, "s": {"Action": "ADD", "Value": {"SS": ["b"]}},
        "x": {"Value": {"S": "put"}}, "hits": {"Action": "PUT", "Value": {"L": [{"N": "1"}]}}})
    assert get(account, table, p="k") == {"p": "k", "s": {"a", "b"}, "x": "put", "hits": [1]}
    db.update_item(TableName=table, Key=key, AttributeUpdates={"s": {"Action": "DELETE", "Value": {"SS": ["a"]}}})
    two = {"x": {"Value": {"S": "other"}}, "p": {"Value": {"S": "k"}}}
    with failed_condition():
        db.delete_item(TableName=table, Key=key, Expected=two)
    told = db.delete_item(TableName=table, Key=key, Expected=two, ConditionalOperator="OR", ReturnValues="ALL_OLD")
    assert plain(told["Attributes"])["s"] == {"b"}
    with invalid(
        "Can not use both expression and non-expression parameters in the same request: "
        "Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}"
    ):
        db.put_item(TableName=table, Item=key, Expected={"p": {"Exists": False}}, ConditionExpression="attribute_exists(p)")
    with invalid(part="Value must be provided when Exists is null for Attribute: p"):
        db.put_item(TableName=table, Item=key, Expected={"p": {}})
    with invalid(part="Only DELETE action is allowed when no attribute value is specified"):
        db.update_item(TableName=table, Key=key, AttributeUpdates={"x": {"Action": "PUT"}})
    with invalid(part="ADD action is not supported for the type S"):
        db.update_item(TableName=table, Key=key, AttributeUpdates={"x": {"Action": "ADD", "Value": {"S": "a"}}})


def test_consumed_capacity(account):
    db = account.dynamodb
    table = new_table(account, "p:S", glo=[("glo", "g:S")])

    def units(call, **members):
        told = call(TableName=table, ReturnConsumedCapacity="INDEXES", **members)["ConsumedCapacity"]
        return told["CapacityUnits"], told["Table"]["CapacityUnits"]

    key = wire({"p": "k"})
    item = wire({"p": "k", "x": "y" * 3000, "g": "g"})
    assert units(db.put_item, Item=item) == (6.0, 3.0)
    assert units(db.put_item, Item=item) == (3.0, 3.0)
    assert units(db.get_item, Key=key) == (0.5, 0.5)
    assert units(db.get_item, Key=key, ConsistentRead=True) == (1.0, 1.0)
    assert units(db.get_item, Key=wire({"p": "none"})) == (0.5, 0.5)
    # A key of an index that changes is a removal and an entry.
    assert units(db.update_item, Key=key, UpdateExpression="SET g = :g",
                 ExpressionAttributeValues=wire({":g": "h"})) == (9.0, 3.0)
    assert units(db.delete_item, Key=key) == (6.0, 3.0)
    assert units(db.delete_item, Key=key) == (1.0, 1.0)
    told = db.get_item(TableName=table, Key=key, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]
    assert told == {"TableName": table, "CapacityUnits": 0.5}
    assert "ConsumedCapacity" not in db.get_item(TableName=table, Key=key, ReturnConsumedCapacity="NONE")


def test_item_collections(account):
    table = new_table(account, "p:S c:N", loc=[("loc", "p:S l:N")])
    told = account.dynamodb.put_item(
        TableName=table, Item=wire({"p": "k", "c": 1}), ReturnItemCollectionMetrics="SIZE")
    assert told["ItemCollectionMetrics"]["ItemCollectionKey"] == wire({"p": "k"})
    low, high = told["ItemCollectionMetrics"]["SizeEstimateRangeGB"]
    assert 0 <= low < high <= 1
    plainly = new_table(account)
    told = account.dynamodb.put_item(
        TableName=plainly, Item=wire({"p": "k"}), ReturnItemCollectionMetrics="SIZE")
    assert "ItemCollectionMetrics" not in told


def test_the_checksum_of_answers(account):
    db, table = account.dynamodb, new_table(account)
    seen = []
    db.meta.events.register(
        "before-parse.dynamodb",
        lambda response_dict, **_: seen.append((response_dict["headers"], response_dict["body"])))
    put(account, table, {"p": "k", "x": "y" * 5000})
    get(account, table, p="k")
    with refused("ResourceNotFoundException"):
        db.describe_table(TableName="absent")
    assert len(seen) == 3
    for headers, body in seen:
        assert int(headers["x-amz-crc32"]) == binascii.crc32(body)
        assert headers["content-type"] == "application/x-amz-json-1.0"
        assert headers["x-amzn-requestid"]


def test_with_the_cli(account):
    def aws(*words, **more):
        done = account.cli("dynamodb", *words, "--region", REGION, **more)
        return json.loads(done.out) if done.out.strip() else {}

    aws("create-table", "--table-name", "Music", "--billing-mode", "PAY_PER_REQUEST",
        "--key-schema", "AttributeName=Artist,KeyType=HASH", "AttributeName=Song,KeyType=RANGE",
        "--attribute-definitions", "AttributeName=Artist,AttributeType=S", "AttributeName=Song,AttributeType=S")
    aws("wait", "table-exists", "--table-name", "Music")
    for item in ('{"Artist":{"S":"Psy"},"Song":{"S":"Gangnam Style"},"Year":{"N":"2011"}}',
                 '{"Artist":{"S":"Pink Floyd"},"Song":{"S":"Money"},"Year":{"N":"1973"}}'):
        aws("put-item", "--table-name", "Music", "--item", item)
    told = aws("update-item", "--table-name", "Music", "--key", '{"Artist":{"S":"Psy"},"Song":{"S":"Gangnam Style"}}',
               "--update-expression", "SET #y = :y", "--expression-attribute-names", '{"#y":"Year"}',
               "--expression-attribute-values", '{":y":{"N":"2012"}}', "--return-values", "UPDATED_NEW")
    assert told == {"Attributes": {"Year": {"N": "2012"}}}
    told = aws("query", "--table-name", "Music", "--key-condition-expression", "Artist = :a",
               "--expression-attribute-values", '{":a":{"S":"Psy"}}')
    assert told["Count"] == 1 and told["Items"][0]["Year"] == {"N": "2012"}
    told = aws("scan", "--table-name", "Music", "--filter-expression", "contains(Song, :o)",
               "--expression-attribute-values", '{":o":{"S":"one"}}')
    assert [i["Song"]["S"] for i in told["Items"]] == ["Money"] and told["ScannedCount"] == 2
    done = account.cli("dynamodb", "get-item", "--table-name", "Music", "--key", '{"Artist":{"S":"x"}}', ok=False)
    assert done.returncode in (254, 255) and "The provided key element does not match the schema" in done.err
    aws("delete-table", "--table-name", "Music")
    aws("wait", "table-not-exists", "--table-name", "Music")
