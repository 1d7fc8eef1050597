"""Objects: what is put is what is got, with its headers, ranges, copies and deletions."""

import base64
import datetime
import hashlib
import os

import pytest

from accounts import refused


def md5(data):
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 1000, 65535, 65536, 65537, 1 << 20, 5 * (1 << 20) + 3])
def test_put_get_sizes(account, bucket, size):
    data = os.urandom(size)
    put = account.s3.put_object(Bucket=bucket, Key="k", Body=data)
    assert put["ETag"] == f'"{md5(data)}"'
    got = account.s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == data
    assert got["ContentLength"] == size
    assert got["ETag"] == put["ETag"]
    assert got["AcceptRanges"] == "bytes"
    head = account.s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentLength"] == size and head["ETag"] == put["ETag"]


def test_the_last_put_wins(account, bucket):
    for data in (b"first", b"second, and longer", b"3rd"):
        account.s3.put_object(Bucket=bucket, Key="k", Body=data)
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"3rd"


def test_headers_come_back(account, bucket):
    sent = {
        "ContentType": "text/x-test; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "en, de",
        "Metadata": {"colour": "blue", "with-dash": "x y z", "empty": ""},
        "StorageClass": "STANDARD_IA",
        "WebsiteRedirectLocation": "/elsewhere",
    }
    expires = datetime.datetime(2038, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires=expires, **sent)
    for got in (
        account.s3.head_object(Bucket=bucket, Key="k"),
        account.s3.get_object(Bucket=bucket, Key="k"),
    ):
        for name, value in sent.items():
            assert got[name] == value, name
        assert got["ExpiresString"] == "Sat, 02 Jan 2038 03:04:05 GMT"


def test_defaults(account, bucket):
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    got = account.s3.get_object(Bucket=bucket, Key="k")
    assert got["ContentType"] == "binary/octet-stream"
    assert got["Metadata"] == {}
    assert "StorageClass" not in got and "VersionId" not in got
    assert before <= got["LastModified"] <= before + datetime.timedelta(seconds=60)


def test_answer_headers_can_be_asked_for(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain")
    got = account.s3.get_object(
        Bucket=bucket,
        Key="k",
        ResponseContentType="image/png",
        ResponseContentDisposition="inline",
        ResponseCacheControl="no-cache",
        ResponseContentLanguage="fr",
        ResponseContentEncoding="br",
    )
    assert got["ContentType"] == "image/png"
    assert got["ContentDisposition"] == "inline"
    assert got["CacheControl"] == "no-cache"
    assert got["ContentLanguage"] == "fr"
    assert got["ContentEncoding"] == "br"


def test_metadata_beyond_ascii(account, bucket):
    # boto3 refuses it; the header of others is the UTF-8 text in RFC 2047 form or raw. Raw is kept.
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"n": "=?UTF-8?Q?=C3=A4?="})
    assert account.s3.head_object(Bucket=bucket, Key="k")["Metadata"]["n"] == "=?UTF-8?Q?=C3=A4?="


def test_metadata_too_large(account, bucket):
    with refused("MetadataTooLarge", 400):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "x" * 2100})
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "x" * 2000})


KEYS = [
    "plain",
    "with/slashes/in/it",
    "/leading",
    "trailing/",
    "//two//",
    "sp ace and+plus",
    "per%cent%20",
    "ampersand&equals=question?hash#",
    "ünïcödé/日本語/🎉",
    "quotes'\"<>",
    "tilde~.-_!*()",
    "semi;colon:at@comma,dollar$",
    "back\\slash|pipe^caret`{brace}[b]",
    "a" * 1024,
    "ключ/" + "é" * 500,
    "tab\tand\rcr",
]


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_keys(account, bucket, key):
    account.s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert account.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    listed = account.s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [o["Key"] for o in listed] == [key]
    account.s3.delete_object(Bucket=bucket, Key=key)
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_key_too_long(account, bucket):
    with refused("KeyTooLongError", 400, "Your key is too long"):
        account.s3.put_object(Bucket=bucket, Key="a" * 1025, Body=b"")


def test_no_such_key(account, bucket):
    with refused("NoSuchKey", 404, "The specified key does not exist."):
        account.s3.get_object(Bucket=bucket, Key="k")
    with refused("404", 404):
        account.s3.head_object(Bucket=bucket, Key="k")
    # Deleting what is not there is done.
    gone = account.s3.delete_object(Bucket=bucket, Key="k")
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204


RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-9", 0, 10),
    ("bytes=10-", 10, 100),
    ("bytes=-10", 90, 100),
    ("bytes=-1000", 0, 100),
    ("bytes=95-2000", 95, 100),
    ("bytes=99-99", 99, 100),
]


@pytest.mark.parametrize("text,start,end", RANGES)
def test_ranges(account, bucket, text, start, end):
    data = bytes(range(100))
    account.s3.put_object(Bucket=bucket, Key="k", Body=data)
    got = account.s3.get_object(Bucket=bucket, Key="k", Range=text)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["Body"].read() == data[start:end]
    assert got["ContentRange"] == f"bytes {start}-{end - 1}/100"
    head = account.s3.head_object(Bucket=bucket, Key="k", Range=text)
    assert head["ContentLength"] == end - start


@pytest.mark.parametrize("text", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_ranges_outside(account, bucket, text):
    account.s3.put_object(Bucket=bucket, Key="k", Body=bytes(100))
    with refused("InvalidRange", 416, "The requested range is not satisfiable"):
        account.s3.get_object(Bucket=bucket, Key="k", Range=text)


@pytest.mark.parametrize("text", ["bytes=9-2", "bytes=a-b", "lines=1-2", "bytes=", "bytes=0-1,3-4"])
def test_ranges_that_are_none_give_all(account, bucket, text):
    account.s3.put_object(Bucket=bucket, Key="k", Body=bytes(100))
    got = account.s3.get_object(Bucket=bucket, Key="k", Range=text)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert len(got["Body"].read()) == 100


def test_a_range_of_a_large_object(account, bucket):
    data = os.urandom(3 << 20)
    account.s3.put_object(Bucket=bucket, Key="k", Body=data)
    for start, end in [(0, 1), (65535, 65538), ((1 << 20) - 1, (2 << 20) + 1)]:
        got = account.s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{end - 1}")
        assert got["Body"].read() == data[start:end]


def test_a_range_of_nothing(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"")
    with refused("InvalidRange", 416):
        account.s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-1")


def test_copy_keeps_and_replaces(account, bucket):
    data = os.urandom(100_000)
    source = {"Bucket": bucket, "Key": "dir/source +%ü"}
    account.s3.put_object(**source, Body=data, ContentType="text/a", Metadata={"a": "1"})
    copied = account.s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    assert copied["CopyObjectResult"]["ETag"] == f'"{md5(data)}"'
    kept = account.s3.get_object(Bucket=bucket, Key="kept")
    assert kept["Body"].read() == data
    assert (kept["ContentType"], kept["Metadata"]) == ("text/a", {"a": "1"})
    account.s3.copy_object(
        Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE",
        ContentType="text/b", Metadata={"b": "2"},
    )
    new = account.s3.head_object(Bucket=bucket, Key="new")
    assert (new["ContentType"], new["Metadata"]) == ("text/b", {"b": "2"})


def test_a_copy_outlives_its_source(account, bucket):
    second = account.new_bucket()
    data = os.urandom(2 << 20)
    account.s3.put_object(Bucket=bucket, Key="k", Body=data)
    account.s3.copy_object(Bucket=second, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    account.s3.delete_object(Bucket=bucket, Key="k")
    assert account.s3.get_object(Bucket=second, Key="copy")["Body"].read() == data


def test_copy_onto_itself(account, bucket):
    source = {"Bucket": bucket, "Key": "k"}
    account.s3.put_object(**source, Body=b"data", Metadata={"a": "1"})
    with refused(
        "InvalidRequest",
        400,
        "This copy request is illegal because it is trying to copy an object to itself without "
        "changing the object's metadata, storage class, website redirect location or encryption "
        "attributes.",
    ):
        account.s3.copy_object(**source, CopySource=source)
    account.s3.copy_object(
        **source, CopySource=source, MetadataDirective="REPLACE", Metadata={"a": "2"}
    )
    got = account.s3.get_object(**source)
    assert (got["Body"].read(), got["Metadata"]) == (b"data", {"a": "2"})


def test_copy_of_nothing(account, bucket):
    with refused("NoSuchKey", 404):
        account.s3.copy_object(
            Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "absent"}
        )
    with refused("NoSuchBucket", 404):
        account.s3.copy_object(
            Bucket=bucket, Key="k",
            CopySource={"Bucket": account.bucket_name("absent"), "Key": "k"},
        )
    with refused("InvalidArgument", 400):
        account.s3.copy_object(Bucket=bucket, Key="k", CopySource="no-slash-in-it")


def test_delete_many(account, bucket):
    for n in range(10):
        account.s3.put_object(Bucket=bucket, Key=f"k{n} <&>ü", Body=b"x")
    objects = [{"Key": f"k{n} <&>ü"} for n in range(7)] + [{"Key": "never was"}]
    answer = account.s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [d["Key"] for d in answer["Deleted"]] == [o["Key"] for o in objects]
    assert "Errors" not in answer
    left = account.s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [o["Key"] for o in left] == [f"k{n} <&>ü" for n in range(7, 10)]


def test_delete_many_quietly(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    answer = account.s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "k"}], "Quiet": True}
    )
    assert "Deleted" not in answer and "Errors" not in answer


def test_delete_a_thousand_and_no_more(account, bucket):
    objects = [{"Key": f"k{n}"} for n in range(1001)]
    with refused("MalformedXML", 400):
        account.s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    answer = account.s3.delete_objects(Bucket=bucket, Delete={"Objects": objects[:1000]})
    assert len(answer["Deleted"]) == 1000


def test_content_md5(account, bucket):
    right = base64.b64encode(hashlib.md5(b"data").digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"atad").digest()).decode()
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data", ContentMD5=right)
    with refused("BadDigest", 400, "The Content-MD5 you specified did not match what we received."):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"dat2", ContentMD5=wrong)
    with refused("InvalidDigest", 400, "The Content-MD5 you specified was invalid."):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"dat3", ContentMD5="c2hvcnQ=")
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"


def test_a_folder_marker_is_an_object(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="folder/")
    assert account.s3.head_object(Bucket=bucket, Key="folder/")["ContentLength"] == 0
    with refused("404", 404):
        account.s3.head_object(Bucket=bucket, Key="folder")
