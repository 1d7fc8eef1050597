"""SelectObjectContent with boto3 and the AWS CLI: what is selected, how it comes, who may, and what is refused."""

import base64
import bz2
import contextlib
import csv
import gzip
import hashlib
import io
import json
import random

import pytest
import wire
from accounts import refused
from botocore.exceptions import EventStreamError

PEOPLE = "name,age,city\nAnn,41,Rome\nBob,7,\"Paris, France\"\nCy,,Oslo\n"


def asked(bucket, key, sql, **more):
    """The parameters of a request: CSV with a header in, JSON out, unless told otherwise."""
    return {
        "Bucket": bucket,
        "Key": key,
        "Expression": sql,
        "ExpressionType": "SQL",
        "InputSerialization": {"CSV": {"FileHeaderInfo": "USE"}},
        "OutputSerialization": {"JSON": {}},
        **more,
    }


def select(s3, bucket, key, sql, **more):
    """All records, and all other events."""
    events = list(s3.select_object_content(**asked(bucket, key, sql, **more))["Payload"])
    records = b"".join(e["Records"]["Payload"] for e in events if "Records" in e)
    rest = [e for e in events if "Records" not in e]
    assert list(rest[-1]) == ["End"] and list(rest[-2]) == ["Stats"]
    return records.decode(), rest


def rows(*arguments, **more):
    records, _ = select(*arguments, **more)
    return [json.loads(line) for line in records.splitlines()]


def test_rows_and_statistics(account, bucket):
    s3 = account.s3
    s3.put_object(Bucket=bucket, Key="people.csv", Body=PEOPLE)
    records, rest = select(
        s3, bucket, "people.csv", "SELECT s.name, s.city FROM S3Object s WHERE s.age < 40"
    )
    assert records == '{"name":"Bob","city":"Paris, France"}\n'
    assert rest[0]["Stats"]["Details"] == {
        "BytesScanned": len(PEOPLE), "BytesProcessed": len(PEOPLE), "BytesReturned": len(records),
    }
    records, rest = select(
        s3, bucket, "people.csv", "SELECT COUNT(*), MAX(CAST(age AS INT)) FROM S3Object WHERE age <> ''",
        OutputSerialization={"CSV": {"QuoteFields": "ALWAYS", "FieldDelimiter": ";"}},
        RequestProgress={"Enabled": True},
    )
    assert records == '"2";"41"\n'
    assert rest[0]["Progress"]["Details"]["BytesScanned"] == len(PEOPLE)


def test_every_delimiter_arrives(account, bucket):
    """What XML makes of white space in the request is no matter."""
    s3 = account.s3
    s3.put_object(Bucket=bucket, Key="k", Body="a\tb; 'c; d'\te; ")
    records, _ = select(
        s3, bucket, "k", "SELECT * FROM S3Object",
        InputSerialization={"CSV": {
            "RecordDelimiter": "; ", "FieldDelimiter": "\t", "QuoteCharacter": "'",
            "QuoteEscapeCharacter": "\\", "AllowQuotedRecordDelimiter": True, "Comments": "",
        }},
        OutputSerialization={"CSV": {"RecordDelimiter": " \n", "FieldDelimiter": "\t"}},
    )
    assert records == "a\tb \nc; d\te \n"
    records, _ = select(
        s3, bucket, "k", "SELECT _1 FROM S3Object LIMIT 1",
        InputSerialization={"CSV": {"FieldDelimiter": "\t"}},
        OutputSerialization={"JSON": {"RecordDelimiter": " "}},
    )
    assert records == '{"_1":"a"} '


def test_json(account, bucket):
    s3 = account.s3
    lines = '{"id":1,"user":{"Name":"Ann"},"n":1.50}\n{"id":2,"user":{"Name":"Bob"},"tags":["x","y"]}\n'
    s3.put_object(Bucket=bucket, Key="lines", Body=lines)
    given = {"InputSerialization": {"JSON": {"Type": "LINES"}}}
    assert rows(s3, bucket, "lines", "SELECT s.\"user\".name, s.tags[1] FROM S3Object s", **given) == [
        {"name": "Ann"}, {"name": "Bob", "_2": "y"},
    ]
    records, _ = select(s3, bucket, "lines", "SELECT * FROM S3Object s WHERE s.n = 1.5", **given)
    assert records == lines.splitlines(True)[0]
    document = json.dumps({"Rules": [{"id": "1"}, {"expr": "y > x"}, {"id": "2"}]}, indent=2)
    s3.put_object(Bucket=bucket, Key="document", Body=document)
    given = {"InputSerialization": {"JSON": {"Type": "DOCUMENT"}}}
    sql = "SELECT id FROM S3Object[*].Rules[*].id"
    assert rows(s3, bucket, "document", sql, **given) == [{"id": "1"}, {}, {"id": "2"}]


@pytest.mark.parametrize("kind, press", [("GZIP", gzip.compress), ("BZIP2", bz2.compress)])
def test_compressed(account, bucket, kind, press):
    s3 = account.s3
    data = press(PEOPLE.encode())
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    given = {"InputSerialization": {"CSV": {"FileHeaderInfo": "USE"}, "CompressionType": kind}}
    records, rest = select(s3, bucket, "k", "SELECT s.name FROM S3Object s LIMIT 1", **given)
    assert records == '{"name":"Ann"}\n'
    assert rest[0]["Stats"]["Details"]["BytesScanned"] == len(data)
    s3.put_object(Bucket=bucket, Key="open", Body=PEOPLE)
    with refused("InvalidCompressionFormat", 400, part=f"{kind} is not applicable"):
        select(s3, bucket, "open", "SELECT * FROM S3Object", **given)
    # A few bytes that stand for very many cost time and no memory.
    s3.put_object(Bucket=bucket, Key="bomb", Body=press(b"7\n" * (1 << 20)))
    given["InputSerialization"]["CSV"]["FileHeaderInfo"] = "NONE"
    assert rows(s3, bucket, "bomb", "SELECT COUNT(*) AS n FROM S3Object", **given) == [{"n": 1 << 20}]


def test_as_python_reads_it(account, bucket):
    """Fields of all kinds, as Python's own reader has them, whatever the pieces."""
    dice = random.Random(7)
    table = [
        [dice.choice(["", "a", "b,c", 'd"e', "f'g", "ü", "x" * dice.randrange(300)]) for _ in range(5)]
        for _ in range(4000)
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    account.s3.put_object(Bucket=bucket, Key="k", Body=text.getvalue())
    given = {
        "InputSerialization": {"CSV": {"Comments": "", "AllowQuotedRecordDelimiter": True}},
        "OutputSerialization": {"CSV": {}},
    }
    records, _ = select(account.s3, bucket, "k", "SELECT * FROM S3Object", **given)
    assert list(csv.reader(io.StringIO(records))) == table
    records, _ = select(
        account.s3, bucket, "k", "SELECT _3 FROM S3Object s WHERE s._2 LIKE 'b%' OR s._4 = ''", **given
    )
    expected = [[r[2]] for r in table if r[1].startswith("b") or r[3] == ""]
    assert [r or [""] for r in csv.reader(io.StringIO(records))] == expected


def test_ranges(account, bucket):
    s3 = account.s3
    s3.put_object(Bucket=bucket, Key="k", Body="A,B\nC,D\nD,E\nE,F\nG,H\nI,J\n")
    given = {"InputSerialization": {"CSV": {}}, "OutputSerialization": {"CSV": {}}}

    def within(**scan):
        records, _ = select(s3, bucket, "k", "SELECT * FROM S3Object", ScanRange=scan, **given)
        return records

    assert within(Start=1, End=4) == "C,D\n"
    assert within(Start=0, End=11) + within(Start=12) == "A,B\nC,D\nD,E\nE,F\nG,H\nI,J\n"
    assert within(End=4) == "I,J\n"
    with refused("InvalidScanRange", 400):
        within(Start=5, End=4)
    with refused("UnsupportedScanRangeInput", 400):
        given["InputSerialization"]["CSV"]["AllowQuotedRecordDelimiter"] = True
        within(Start=1)


def test_with_a_customers_key(account, bucket):
    s3, key = account.s3, {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    s3.put_object(Bucket=bucket, Key="k", Body=PEOPLE, **key)
    sql = "SELECT s.name FROM S3Object s WHERE s.age = '7'"
    assert rows(s3, bucket, "k", sql, **key) == [{"name": "Bob"}]
    with refused("InvalidRequest", 400):
        select(s3, bucket, "k", sql)
    with refused("AccessDenied", 403):
        select(s3, bucket, "k", sql, **{**key, "SSECustomerKey": b"o" * 32})


def test_parts_and_versions(account, bucket):
    """An object of parts is one; of versions it is the newest."""
    s3 = account.s3
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="k", Body="old\n1\n")
    line = "x" * 99 + "\n"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    parts = []
    for number, body in [(1, "n\n" + line * (5 << 20 >> 6)), (2, line[:50])]:
        put = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": put["ETag"]})
    s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    sql = "SELECT COUNT(*) AS n, MIN(CHAR_LENGTH(n)) AS shortest FROM S3Object"
    assert rows(s3, bucket, "k", sql) == [{"n": (5 << 20 >> 6) + 1, "shortest": 50}]
    s3.delete_object(Bucket=bucket, Key="k")
    with refused("NoSuchKey", 404):
        select(s3, bucket, "k", sql)


def test_who_may(account, other, bucket):
    s3 = account.s3
    s3.put_object(Bucket=bucket, Key="k", Body=PEOPLE)
    sql = "SELECT COUNT(*) AS n FROM S3Object"
    with refused("AccessDenied", 403):
        select(other.s3, bucket, "k", sql)
    statement = {
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_bucket_policy(
        Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    assert rows(other.s3, bucket, "k", sql) == [{"n": 3}]
    # Nobody may, who is nobody, although anybody may read it.
    nobody = account.client("s3", key="anonymous")
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == PEOPLE.encode()
    with refused("AccessDenied", 403):
        select(nobody, bucket, "k", sql)
    with refused("AccessDenied", 403):
        select(s3, bucket, "k", sql, ExpectedBucketOwner=other.id)


def test_refusals(account, bucket):
    s3 = account.s3
    s3.put_object(Bucket=bucket, Key="k", Body=PEOPLE)
    for sql, code, part in [
        ("SELECT * FROM S3Object ORDER BY name", "ParseUnexpectedToken", "KEYWORD:order at line 1, column 24."),
        ("SELECT nobody FROM S3Object", "MissingHeaders", "Some headers in the query are missing"),
        ("SELECT 'a FROM S3Object", "LexerInvalidLiteral", None),
        ("SELECT CAST(name AS INT) FROM S3Object", "CastFailed", "using CAST failed"),
        ("SELECT LOWER(name, age) FROM S3Object", "EvaluatorInvalidArguments", None),
        (f"SELECT '{'x' * (256 << 10)}' FROM S3Object", "ExpressionTooLong", None),
    ]:
        with refused(code, 400, part=part or ""):
            select(s3, bucket, "k", sql)
    with refused("NoSuchKey", 404):
        select(s3, bucket, "none", "SELECT * FROM S3Object")
    with refused("InvalidExpressionType", 400):
        select(s3, bucket, "k", "SELECT * FROM S3Object", ExpressionType="XPATH")
    with refused("NotImplemented", 501, part="Parquet"):
        select(s3, bucket, "k", "SELECT * FROM S3Object", InputSerialization={"Parquet": {}})
    answer = wire.call(account, "POST", f"/{bucket}/k?select&select-type=2", b"<SelectObjectContentRequest")
    assert (answer.status, answer.code) == (400, "MalformedXML"), answer


def test_what_goes_wrong_late(account, bucket):
    """After records were sent the error is a message in the stream."""
    s3 = account.s3
    body = "x" * 99 + "\n"
    s3.put_object(Bucket=bucket, Key="k", Body=body.encode() * 20_000 + b"\xff\n")
    stream = s3.select_object_content(
        **asked(bucket, "k", "SELECT * FROM S3Object", InputSerialization={"CSV": {}})
    )["Payload"]
    seen = 0
    with pytest.raises(EventStreamError) as caught:
        for event in stream:
            seen += event["Records"]["Payload"].count(b"\n")
    assert caught.value.response["Error"]["Code"] == "InvalidTextEncoding"
    assert "near byte 2,000,000." in str(caught.value)
    assert seen == 20_000


def test_a_reader_who_leaves(account, bucket):
    """Whoever does not read on costs nothing more: the next requests are answered as ever."""
    s3 = account.s3
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 99 + b"\n" + b"y\n" * 4_000_000)
    stream = s3.select_object_content(
        **asked(bucket, "k", "SELECT _1, _1, _1 FROM S3Object", InputSerialization={"CSV": {}})
    )["Payload"]
    with contextlib.closing(stream):
        assert next(iter(stream))["Records"]["Payload"]
    sql = "SELECT _1 FROM S3Object LIMIT 1"
    assert rows(s3, bucket, "k", sql, InputSerialization={"CSV": {}}) == [{"_1": "x" * 99}]


def test_the_cli(account, bucket, tmp_path):
    account.s3.put_object(Bucket=bucket, Key="people.csv", Body=PEOPLE)
    out = tmp_path / "out"
    account.cli(
        "s3api", "select-object-content", "--bucket", bucket, "--key", "people.csv",
        "--expression-type", "SQL",
        "--expression", "SELECT s.city FROM S3Object s WHERE s.name LIKE '_o%'",
        "--input-serialization", '{"CSV": {"FileHeaderInfo": "USE"}, "CompressionType": "NONE"}',
        "--output-serialization", '{"CSV": {}}', str(out),
    )
    assert out.read_text() == '"Paris, France"\n'


def test_the_frames_are_as_documented(account, bucket):
    """By hand: no content type, no length, and each frame as the guide draws it."""
    account.s3.put_object(Bucket=bucket, Key="k", Body="a\n")
    body = (
        '<SelectObjectContentRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        "<Expression>SELECT * FROM S3Object</Expression><ExpressionType>SQL</ExpressionType>"
        "<InputSerialization><CSV/></InputSerialization><OutputSerialization><CSV/></OutputSerialization>"
        "</SelectObjectContentRequest>"
    ).encode()
    answer = wire.call(
        account, "POST", f"/{bucket}/k?select&select-type=2", body,
        headers=[("Content-MD5", base64.b64encode(hashlib.md5(body).digest()).decode())],
    )
    assert answer.status == 200
    assert "content-length" not in answer.headers and "content-type" not in answer.headers
    first = answer.body[:int.from_bytes(answer.body[:4], "big")]
    assert first[12:-4] == (
        b"\x0d:message-type\x07\x00\x05event" b"\x0b:event-type\x07\x00\x07Records"
        b"\x0d:content-type\x07\x00\x18application/octet-stream" b"a\n"
    )
