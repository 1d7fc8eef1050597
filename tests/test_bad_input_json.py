"""Hostile JSON, CBOR and forms: each protocol's own error, nothing stored, no growth, no panic."""

import json
import os

import pytest
import wire
from cloud import memory_kb

pytestmark = pytest.mark.unkilled

JSON = "application/x-amz-json-1.0"


def memory(account):
    return memory_kb(account.cloud.pid, "VmRSS")


def dynamodb(account, operation, body, content_type=JSON, target=None):
    headers = [("X-Amz-Target", target or f"DynamoDB_20120810.{operation}"), ("Content-Type", content_type)]
    return wire.call(account, "POST", "/", body, headers, service="dynamodb")


def error(answer):
    """The code without its namespace, and the message; the checksum holds for errors too."""
    assert answer is not None, "closed without an answer"
    assert answer.headers["x-amzn-requestid"], answer
    document = json.loads(answer.body)
    assert "<" not in document["__type"]
    return document["__type"].rpartition("#")[2], document.get("message", document.get("Message"))


TABLE = {
    "TableName": "kept",
    "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
    "BillingMode": "PAY_PER_REQUEST",
}

NO_JSON = {
    "not json": b"nonsense",
    "a number": b"1",
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "xml": b"<PutItem/>",
    "a form": b"Action=PutItem",
    "cut": b'{"TableName":"kept","Item":{"k":{"S":"a"}',
    "two values": b'{"TableName":"kept"}{}',
    "a comma too many": b'{"TableName":"kept",}',
    "no quotes": b"{TableName:'kept'}",
    "a comment": b'{/* */"TableName":"kept"}',
    "no utf-8": b'{"TableName":"\xff\xfe"}',
    "utf-16": '{"TableName":"kept"}'.encode("utf-16"),
    "half a surrogate": b'{"TableName":"\\ud800"}',
    "a control character": b'{"TableName":"a\x01b"}',
    "a zero byte": b'{"TableName":"kept"}\0',
    "noise": os.urandom(5000),
    "deep lists": b'{"Item":' + b"[" * 200_000,
    "deep maps": b'{"Item":' + b'{"M":' * 200_000,
    "deep and unknown": b'{"Unknown":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "a long number": b'{"Limit":' + b"9" * 100_000 + b"}",
    "another type": b'{"TableName":["kept"]}',
    "a map for a text": b'{"TableName":{"S":"kept"}}',
    "a number for a map": b'{"TableName":"kept","Item":7}',
}
# JSON, but not of the operation's shape.
FITS_NOT = (
    "a number", "a list", "a text", "null", "a long number", "another type", "a map for a text", "a number for a map",
)


@pytest.mark.parametrize("what", NO_JSON)
@pytest.mark.parametrize("operation", ["PutItem", "BatchWriteItem", "Query", "TransactWriteItems"])
def test_json_that_is_none(account, operation, what):
    client = account.client("dynamodb")
    client.create_table(**TABLE)
    before = memory(account)
    answer = dynamodb(account, operation, NO_JSON[what])
    code, message = error(answer)
    # What is well-formed but has nothing in it lacks what the operation needs.
    assert answer.status == 400 and code in ("SerializationException", "ValidationException"), answer
    # Of a body that is no JSON DynamoDB says nothing more, unless its shape was wrong before.
    assert message or (code == "SerializationException" and what not in FITS_NOT), answer
    assert not (message and what == "cut"), answer
    assert answer.headers["content-type"] == JSON
    assert client.scan(TableName="kept")["Items"] == []
    assert memory(account) - before < 50 * 1024


def test_what_is_small_in_a_body_and_large_in_memory(account):
    """16 MiB of empty structures, lists and entries."""
    before = memory_kb(account.cloud.pid, "VmHWM")
    room = (16 << 20) - 100
    for operation, begin, item, end in [
        ("TransactWriteItems", b'{"TransactItems":[', b"{}", b"]}"),
        ("TransactWriteItems", b'{"TransactItems":[', b'{"Put":{}}', b"]}"),
        ("CreateTable", b'{"GlobalSecondaryIndexes":[', b"{}", b"]}"),
    ]:
        answer = dynamodb(
            account, operation, begin + b",".join([item] * (room // (len(item) + 1))) + end)
        assert answer.status in (400, 413), answer
        assert error(answer)[0] in ("ValidationException", "RequestEntityTooLarge"), answer
    form = b"Action=CreateUser&Version=2010-05-08&UserName=a"
    form += b"".join(b"&Tags.member.%d.Key=a" % n for n in range(90_000))
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    answer = wire.call(account, "POST", "/", form, headers, service="iam")
    assert answer.status in (400, 413), answer
    assert memory_kb(account.cloud.pid, "VmHWM") - before < 200 * 1024


def test_a_body_longer_than_any(account):
    answer = dynamodb(account, "PutItem", b" " * ((16 << 20) + 1))
    assert answer is None or (answer.status, error(answer)[0]) == (413, "RequestEntityTooLarge"), answer


@pytest.mark.parametrize(
    "target", ["DynamoDB_20120810.Nonsense", "DynamoDB_20120810.", "DynamoDB_20120810.PutItem\t.x"])
def test_operations_that_are_none(account, target):
    answer = dynamodb(account, "", b"{}", target=target)
    assert (answer.status, error(answer)[0]) == (400, "UnknownOperationException"), answer


@pytest.mark.parametrize("target", ["", "x", ".", "Nonsense_2012.PutItem", "DynamoDB_20120810"])
def test_targets_that_are_none(account, target):
    answer = dynamodb(account, "", b"{}", target=target)
    assert 400 <= answer.status < 500, answer
    assert answer.text


SIGNATURES = {
    "wrong secret": (dict(secret="no"), 400, "InvalidSignatureException"),
    "unknown key": (dict(key="AKIAIOSFODNN7EXAMPLE"), 400, "UnrecognizedClientException"),
}


@pytest.mark.parametrize("what", SIGNATURES)
def test_signatures_in_the_words_of_json(account, what):
    signer, status, code = SIGNATURES[what]
    headers = [("X-Amz-Target", "DynamoDB_20120810.ListTables"), ("Content-Type", JSON)]
    answer = wire.Request(account, "POST", "/", b"{}", headers, service="dynamodb", **signer).sign().send()
    assert (answer.status, error(answer)[0]) == (status, code), answer


def test_the_body_is_part_of_the_signature(account):
    headers = [("X-Amz-Target", "DynamoDB_20120810.ListTables"), ("Content-Type", JSON)]
    request = wire.Request(account, "POST", "/", b"{}", headers, service="dynamodb").sign()
    request.body = b'{"Limit":1}'
    answer = request.send()
    assert (answer.status, error(answer)[0]) == (400, "InvalidSignatureException"), answer


def test_nobody_signed_it(account):
    headers = [("X-Amz-Target", "DynamoDB_20120810.ListTables"), ("Content-Type", JSON)]
    answer = wire.Request(account, "POST", "/", b"{}", headers, service="dynamodb").send()
    assert (answer.status, error(answer)[0]) == (400, "MissingAuthenticationTokenException"), answer


class TestCbor:
    """CloudWatch speaks it. No operation does anything yet, so what is right is answered with 501."""

    RIGHT = b"\xa2\x69Namespace\x61n\x6aMetricData\x81\xa1\x6aMetricName\x61m"

    def call(self, account, body, path="/service/CloudWatch/operation/PutMetricData", **signer):
        headers = [("Smithy-Protocol", "rpc-v2-cbor"), ("Content-Type", "application/cbor")]
        return wire.call(account, "POST", path, body, headers, service="monitoring", **signer)

    def test_the_right_one_is_not_there_yet(self, account):
        answer = self.call(account, self.RIGHT)
        assert answer.status == 501, answer
        assert answer.headers["smithy-protocol"] == "rpc-v2-cbor"
        assert answer.headers["content-type"] == "application/cbor"
        assert b"NotImplemented" in answer.body and b"PutMetricData" in answer.body

    def test_what_is_missing_is_said_in_cbor(self, account):
        answer = self.call(account, b"\xa0")
        assert answer.status == 400 and b"ValidationException" in answer.body, answer
        assert b"Value null at 'namespace' failed to satisfy constraint" in answer.body

    @pytest.mark.parametrize("body", [
        RIGHT[:-1], RIGHT + b"\0", b"\xff", b"nonsense", b"\xbf", b"\xa1\x64", b"\xbb" + b"\xff" * 8, b"\x9b" + b"\xff" * 8,
        b"\x81" * 100_000, b"\xbf\x61x" * 50_000, b"\x7b" + b"\xff" * 8, os.urandom(5000),
    ])
    def test_what_is_no_cbor(self, account, body):
        before = memory(account)
        answer = self.call(account, body)
        assert answer is not None and answer.status == 400, answer
        assert b"SerializationException" in answer.body, answer
        assert answer.headers["content-type"] == "application/cbor"
        assert memory(account) - before < 50 * 1024

    @pytest.mark.parametrize("path", [
        "/service/CloudWatch/operation/Nonsense", "/service/CloudWatch", "/service/CloudWatch/operation/",
    ])
    def test_operations_that_are_none(self, account, path):
        answer = self.call(account, b"\xa0", path)
        assert answer.status == 400 and b"UnknownOperationException" in answer.body, answer

    def test_a_wrong_signature(self, account):
        answer = self.call(account, b"\xa0", secret="no")
        assert answer.status in (400, 403) and b"InvalidSignature" in answer.body, answer
        assert answer.headers["content-type"] == "application/cbor"


def test_each_protocol_of_cloudwatch_names_what_is_missing(account):
    """JSON, CBOR and, of older clients, forms."""
    target = [("X-Amz-Target", "GraniteServiceVersion20100801.ListMetrics"), ("Content-Type", JSON)]
    answer = wire.call(account, "POST", "/", b"{}", target, service="monitoring")
    assert answer.status == 501 and error(answer)[0].startswith("NotImplemented"), answer
    assert "ListMetrics" in answer.text
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    body = b"Action=ListMetrics&Version=2010-08-01"
    answer = wire.call(account, "POST", "/", body, form, service="monitoring")
    assert (answer.status, answer.headers["content-type"]) == (501, "text/xml"), answer
    assert answer.text.startswith('<ErrorResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/">')
    assert answer.code == "NotImplemented" and "ListMetrics" in answer.message, answer


FORMS = {
    "nothing": (b"", "MissingAction"),
    "no action": (b"UserName=a", "MissingAction"),
    "another action": (b"Action=Nonsense&Version=2010-05-08", "InvalidAction"),
    "no utf-8": (b"Action=CreateUser&Version=2010-05-08&UserName=%ff", "MalformedQueryString"),
    "no number": (b"Action=CreateUser&Version=2010-05-08&UserName=a&Tags.member.x.Key=k", "MalformedQueryString"),
    "a structure": (b"Action=CreateUser&Version=2010-05-08&UserName=a&Tags.member.1=k", "MalformedQueryString"),
    "no name": (b"Action=CreateUser&Version=2010-05-08", "ValidationError"),
    "a name that is none": (b"Action=CreateUser&Version=2010-05-08&UserName=a%00b", "ValidationError"),
    "many parameters": (b"Action=CreateUser&Version=2010-05-08&UserName=a" + b"&x=y" * 200_000, "RequestEntityTooLarge"),
}


@pytest.mark.parametrize("what", FORMS)
def test_forms(account, what):
    body, code = FORMS[what]
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    before = memory(account)
    answer = wire.call(account, "POST", "/", body, headers, service="iam")
    assert 400 <= answer.status < 500 and answer.code == code, answer
    assert answer.text.startswith("<ErrorResponse") and answer.headers["x-amzn-requestid"]
    assert account.client("iam").list_users()["Users"] == []
    assert memory(account) - before < 50 * 1024
