"""Bodies for DynamoDB that no SDK sends: an error in AWS's form, nothing stored, memory bounded."""

import json

import pytest
import wire as http
from accounts import Account
from cloud import memory_kb
from dynamo import all_items, new_table, put

pytestmark = pytest.mark.unkilled

VERSION = {"dynamodb": "DynamoDB_20120810", "dynamodbstreams": "DynamoDBStreams_20120810"}


def call(account, operation, body, service="dynamodb", target=None):
    """Sends bytes as they are; gives status, error code without its namespace, message."""
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    headers = [
        ("Content-Type", "application/x-amz-json-1.0"),
        ("X-Amz-Target", target or f"{VERSION[service]}.{operation}"),
    ]
    answer = http.call(account, "POST", "/", body, headers, service="dynamodb")
    told = json.loads(answer.body) if answer.body else {}
    assert answer.headers["content-type"].startswith("application/x-amz-json-1."), answer
    code = told.get("__type", "").rpartition("#")[2]
    return answer.status, code, told.get("message", told.get("Message")), told


@pytest.fixture
def table(account):
    name = new_table(account)
    put(account, name, {"p": "there"})
    yield name
    assert all_items(account, name) == [{"p": "there"}]


def an_item(value, key='{"S":"k"}'):
    return '{"TableName":"TABLE","Item":{"p":%s,"v":%s}}' % (key, value)


NOT_JSON = {
    "nothing at all": "{", "a word": "nonsense", "xml": "<a/>", "an array": "[]", "a text": '"x"', "null": "null",
    "a number": "1", "cut": '{"TableName":"TABLE","Item":{"p":{"S":"k"', "two": "{} {}", "a comma": '{"TableName":"TABLE",}',
    "single quotes": "{'TableName':'TABLE'}", "a comment": '{/* */"TableName":"TABLE"}',
    "a bad escape": an_item(r'{"S":"\x"}'), "half an escape": an_item(r'{"S":"\u12"}'),
    "a bare zero byte": an_item('{"S":"a\0b"}'), "a control character": an_item('{"S":"a\nb"}'),
    "invalid utf-8": an_item('{"S":"X"}').encode().replace(b"X", b"\xff\xfe"),
    "overlong utf-8": an_item('{"S":"X"}').encode().replace(b"X", b"\xc0\x80"),
    "a surrogate in utf-8": an_item('{"S":"X"}').encode().replace(b"X", b"\xed\xa0\x80"),
    "utf-16": an_item('{"S":"X"}').encode("utf-16"),
    "infinity": an_item('{"N":Infinity}'), "deep arrays": '{"TableName":' + "[" * 100_000,
    "deep objects": '{"a":' * 100_000, "deep values": an_item('{"L":[' * 5_000 + "]}" * 5_000),
    "deep maps": an_item('{"M":{"a":' * 5_000 + '{"S":"x"}' + "}}" * 5_000),
    "a number as text": an_item('{"S":1}'), "a text as number": an_item('{"N":1}'), "an object as text": an_item('{"S":{}}'),
    "a text as list": an_item('{"L":"x"}'), "a list as map": an_item('{"M":[]}'), "a number as truth": an_item('{"BOOL":1}'),
    "a text as set": an_item('{"SS":"a"}'), "a value that is text": an_item('"x"'), "a value that is a list": an_item("[]"),
    "items in a list": '{"TableName":"TABLE","Item":[]}', "a table in an object": '{"TableName":{}}',
    "no base64": an_item('{"B":"*"}'), "half of base64": an_item('{"B":"A"}'), "base64 of URLs": an_item('{"B":"-_-_"}'),
}


@pytest.mark.parametrize("what", NOT_JSON)
def test_what_cannot_be_read(account, table, what):
    body = NOT_JSON[what]
    body = (body if isinstance(body, bytes) else body.encode()).replace(b"TABLE", table.encode())
    before = memory_kb(account.cloud.pid, "VmRSS")
    status, code, message, _ = call(account, "PutItem", body)
    assert status == 400 and code in ("SerializationException", "ValidationException"), (status, code, message)
    assert memory_kb(account.cloud.pid, "VmRSS") - before < 64 * 1024


def test_duplicate_names_in_json(account, table):
    """The last one counts, as in every parser of AWS; nothing is half of both."""
    for body in (
        '{"TableName":"none","TableName":"%s","Key":{"p":{"S":"there"}}}' % table,
        '{"TableName":"%s","Key":{"p":{"S":"none"},"p":{"S":"there"}}}' % table,
    ):
        status, _, _, told = call(account, "GetItem", body)
        assert status == 200 and told["Item"] == {"p": {"S": "there"}}


def test_unknown_members_change_nothing(account, table):
    status, _, _, told = call(account, "GetItem", {
        "TableName": table, "Key": {"p": {"S": "there", "X": "y"}}, "Unknown": {"deep": [1, {}]}})
    assert status == 200 and told["Item"] == {"p": {"S": "there"}}


MISSING = {
    "GetItem": ("{}", [
        "2 validation errors detected: ", "Value null at 'tableName' failed to satisfy constraint: Member must not be null",
        "Value null at 'key' failed to satisfy constraint: Member must not be null"]),
    "PutItem": ('{"TableName":"TABLE"}', [
        "1 validation error detected: Value null at 'item' failed to satisfy constraint: Member must not be null"]),
    "BatchGetItem": ('{"RequestItems":{"TABLE":{}}}', ["Value null at 'requestItems.TABLE.member.keys' failed to satisfy constraint: Member must not be null"]),
    "TransactWriteItems": ("{}", ["Value null at 'transactItems' failed to satisfy constraint: Member must not be null"]),
    "Query": ('{"TableName":"TABLE","Limit":-5}', ["Value '-5' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"]),
    "Scan": ('{"TableName":"TABLE","ReturnConsumedCapacity":"x"}', [
        "Value 'x' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: [INDEXES, TOTAL, NONE]"]),
}


@pytest.mark.parametrize("operation", MISSING)
def test_constraints_of_the_model(account, table, operation):
    body, parts = MISSING[operation]
    status, code, message, _ = call(account, operation, body.replace("TABLE", table))
    assert (status, code) == (400, "ValidationException"), message
    for part in parts:
        assert part.replace("TABLE", table) in message, message


@pytest.mark.parametrize("target", [
    "DynamoDB_20120810.Nonsense", "DynamoDB_20111205.GetItem", "Nonsense.GetItem", "GetItem", "DynamoDB_20120810.", ".",
])
def test_targets(account, target):
    status, code, _, _ = call(account, None, "{}", target=target)
    assert status in (400, 404) and code == "UnknownOperationException"


def test_what_is_not_served_says_so(account):
    for operation in ("CreateGlobalTable", "EnableKinesisStreamingDestination"):
        status, _, message, _ = call(account, operation, "{}")
        assert status == 501 and operation in message


HUGE = {
    "names": lambda: {"ExpressionAttributeNames": {f"#n{n}": "x" for n in range(200_000)}, "ProjectionExpression": "#n0"},
    "values": lambda: {"ExpressionAttributeValues": {f":v{n}": {"N": "1"} for n in range(100_000)}, "FilterExpression": "x = :v0"},
    "an expression": lambda: {"FilterExpression": "x" * 3_000_000},
    "parentheses": lambda: {"FilterExpression": "(" * 2_000_000},
    "a number": lambda: {"ExpressionAttributeValues": {":v": {"N": "1" * 3_000_000}}, "FilterExpression": "x = :v"},
    "an exponent": lambda: {"ExpressionAttributeValues": {":v": {"N": "1e999999999999"}}, "FilterExpression": "x = :v"},
    "a set": lambda: {"ExpressionAttributeValues": {":v": {"NS": ["1"] * 200_000}}, "FilterExpression": "x = :v"},
    "an index name": lambda: {"IndexName": "x" * 1_000_000},
    "a start": lambda: {"ExclusiveStartKey": {f"k{n}": {"S": "x"} for n in range(100_000)}},
    "a condition": lambda: {"ScanFilter": {"x": {"ComparisonOperator": "IN", "AttributeValueList": [{"N": f"{n}"} for n in range(100_000)]}}},
}


@pytest.mark.parametrize("what", HUGE)
def test_huge_requests(account, table, what):
    before = memory_kb(account.cloud.pid, "VmRSS")
    status, code, message, _ = call(account, "Scan", {"TableName": table} | HUGE[what]())
    if what == "a condition":
        assert status in (200, 400)
    else:
        assert (status, code) == (400, "ValidationException"), message
        assert len(message) < 2 << 20
    assert memory_kb(account.cloud.pid, "VmRSS") - before < 200 * 1024


def test_an_update_that_would_make_gigabytes(own_cloud):
    """Each of so many places would have as much again. In a cloud whose memory nobody else takes."""
    account = Account("000000000000", own_cloud())
    table = new_table(account)
    put(account, table, {"p": "there"})
    values = {":l": {"L": [{"S": "x" * 1_900_000}]}}
    bodies = {
        "UpdateItem": {"TableName": table, "Key": {"p": {"S": "there"}}, "ExpressionAttributeValues": values,
                       "UpdateExpression": "SET " + ",".join(f"a{n}=list_append(:l,:l)" for n in range(150))},
        "ExecuteStatement": {"Statement": f"UPDATE \"{table}\" " + " ".join(f"SET a{n}=list_append(?,?)" for n in range(3))
                             + " WHERE p='there'", "Parameters": [{"L": [{"S": "x" * 2_500_000}]}] * 6},
    }
    for operation, body in bodies.items():
        before = memory_kb(account.cloud.pid, "VmRSS")
        status, code, message, _ = call(account, operation, body)
        assert (status, code) == (400, "ValidationException"), message
        assert "exceeded the maximum allowed size" in message, message
        assert memory_kb(account.cloud.pid, "VmRSS") - before < 200 * 1024
    assert all_items(account, table) == [{"p": "there"}]


def test_a_body_that_is_too_large(account, table):
    body = ('{"TableName":"%s","Item":{"p":{"S":"k"},"x":{"S":"' % table).encode() + b"y" * (17 << 20) + b'"}}}'
    before = memory_kb(account.cloud.pid, "VmRSS")
    try:
        status, _, _, _ = call(account, "PutItem", body)
        assert status in (400, 413)
    except OSError:
        pass  # It closed before it had read all.
    assert memory_kb(account.cloud.pid, "VmRSS") - before < 100 * 1024


def test_paging_tokens_and_iterators_of_others(account, other, table):
    new_table(other, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    for token in ("x", "A" * 5000, "", "\0", "../.."):
        status, code, _, _ = call(account, "GetRecords", {"ShardIterator": token}, service="dynamodbstreams")
        assert (status, code) == (400, "ValidationException")
        status, code, _, _ = call(account, "ListTagsOfResource", {
            "ResourceArn": f"arn:aws:dynamodb:us-east-1:{account.id}:table/{table}", "NextToken": token})
        assert (status, code) == (400, "ValidationException")


ARNS = [
    "arn:", "arn:aws:dynamodb", "arn:aws:s3:::bucket", "arn:aws:dynamodb:us-east-1:ACCOUNT:table/",
    "arn:aws:dynamodb:us-east-1:ACCOUNT:table/a/b/c", "arn:aws:dynamodb:us-east-1:ACCOUNT:index/x",
    "arn:aws:dynamodb:us-east-1:12:table/tab", "arn:aws:dynamodb:us east:ACCOUNT:table/tab", "arn:aws:dynamodb:us-east-1:ACCOUNT:table/t\0b",
]


@pytest.mark.parametrize("arn", ARNS)
def test_bad_arns(account, arn):
    arn = arn.replace("ACCOUNT", account.id)
    for operation, body in (("GetItem", {"TableName": arn, "Key": {"p": {"S": "k"}}}), ("DescribeTable", {"TableName": arn}),
                            ("ListTagsOfResource", {"ResourceArn": arn}), ("GetResourcePolicy", {"ResourceArn": arn})):
        status, code, _, _ = call(account, operation, body)
        assert status == 400 and code in ("ValidationException", "AccessDeniedException"), (operation, code)
    status, code, _, _ = call(account, "DescribeStream", {"StreamArn": arn}, service="dynamodbstreams")
    assert status == 400 and code in ("ValidationException", "AccessDeniedException")


def test_answers_without_members(account, table):
    """TagResource has no output in the model, and so no body at all."""
    for operation, more in (("TagResource", {"Tags": [{"Key": "a", "Value": "b"}]}), ("UntagResource", {"TagKeys": ["a"]})):
        body = json.dumps({"ResourceArn": f"arn:aws:dynamodb:us-east-1:{account.id}:table/{table}", **more}).encode()
        headers = [("Content-Type", "application/x-amz-json-1.0"), ("X-Amz-Target", f"DynamoDB_20120810.{operation}")]
        answer = http.call(account, "POST", "/", body, headers, service="dynamodb")
        assert (answer.status, answer.body) == (200, b"")
    # One that has an output, of which nothing is there, is an empty object.
    status, _, _, told = call(account, "GetItem", {"TableName": table, "Key": {"p": {"S": "none"}}})
    assert (status, told) == (200, {})


def test_the_account_of_the_caller_is_the_default(account, other):
    """A name means a table of whoever signs, never somebody else's."""
    name = new_table(account)
    status, code, _, _ = call(other, "DescribeTable", {"TableName": name})
    assert (status, code) == (400, "ResourceNotFoundException")
    assert isinstance(other, Account)
