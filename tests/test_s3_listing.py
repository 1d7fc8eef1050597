"""Listing, both forms: order, prefixes, delimiters, pages, encoding."""

import re
import urllib.parse

import pytest
import wire
from accounts import refused

KEYS = sorted(
    ["a", "a/1", "a/2", "a/b/1", "a/b/2", "ab", "b/1", "b/2/", "b/2/x", "c", "ä", "日本"],
    key=lambda key: key.encode(),
)


@pytest.fixture
def filled(account, bucket):
    for key in KEYS:
        account.s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def contents(answer):
    return [o["Key"] for o in answer.get("Contents", [])]


def prefixes(answer):
    return [p["Prefix"] for p in answer.get("CommonPrefixes", [])]


def test_all_in_order_of_bytes(account, filled):
    for answer in (
        account.s3.list_objects_v2(Bucket=filled),
        account.s3.list_objects(Bucket=filled),
    ):
        assert contents(answer) == KEYS
        assert answer["IsTruncated"] is False
        assert answer["Name"] == filled and answer["MaxKeys"] == 1000
        first = answer["Contents"][0]
        assert first["Size"] == 1 and first["StorageClass"] == "STANDARD"
        assert first["ETag"] == '"0cc175b9c0f1b6a831c399e269772661"'
    assert account.s3.list_objects_v2(Bucket=filled)["KeyCount"] == len(KEYS)


def test_an_empty_bucket(account, bucket):
    answer = account.s3.list_objects_v2(Bucket=bucket)
    assert answer["KeyCount"] == 0 and "Contents" not in answer
    assert "Contents" not in account.s3.list_objects(Bucket=bucket)


PLACES = [
    ("", "/", ["a", "ab", "c", "ä", "日本"], ["a/", "b/"]),
    ("a", "/", ["a", "ab"], ["a/"]),
    ("a/", "/", ["a/1", "a/2"], ["a/b/"]),
    ("a/b/", "/", ["a/b/1", "a/b/2"], []),
    ("b/", "/", ["b/1"], ["b/2/"]),
    ("b/2/", "/", ["b/2/", "b/2/x"], []),
    ("a/", "", ["a/1", "a/2", "a/b/1", "a/b/2"], []),
    ("", "b", [k for k in KEYS if "b" not in k], ["a/b", "ab", "b"]),
    ("a", "/b/", ["a", "a/1", "a/2", "ab"], ["a/b/"]),
    ("none", "/", [], []),
    ("日", "", ["日本"], []),
]


@pytest.mark.parametrize("prefix,delimiter,keys,common", PLACES)
@pytest.mark.parametrize("call", ["list_objects", "list_objects_v2"])
def test_prefix_and_delimiter(account, filled, call, prefix, delimiter, keys, common):
    answer = getattr(account.s3, call)(Bucket=filled, Prefix=prefix, Delimiter=delimiter)
    assert contents(answer) == keys
    assert prefixes(answer) == common
    if call == "list_objects_v2":
        assert answer["KeyCount"] == len(keys) + len(common)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("call", ["list_objects", "list_objects_v2"])
def test_pages_add_up(account, filled, call, delimiter, size):
    pages = list(
        account.s3.get_paginator(call).paginate(
            Bucket=filled, Delimiter=delimiter, PaginationConfig={"PageSize": size}
        )
    )
    whole = account.s3.list_objects_v2(Bucket=filled, Delimiter=delimiter)
    assert [k for page in pages for k in contents(page)] == contents(whole)
    assert [p for page in pages for p in prefixes(page)] == prefixes(whole)
    for page in pages:
        assert len(contents(page)) + len(prefixes(page)) <= size
    assert [page["IsTruncated"] for page in pages] == [True] * (len(pages) - 1) + [False]


def test_start_after_and_marker(account, filled):
    after = account.s3.list_objects_v2(Bucket=filled, StartAfter="a/b/1")
    assert contents(after) == KEYS[KEYS.index("a/b/1") + 1 :]
    assert after["StartAfter"] == "a/b/1"
    between = account.s3.list_objects_v2(Bucket=filled, StartAfter="aa")
    assert contents(between)[0] == "ab"
    marked = account.s3.list_objects(Bucket=filled, Marker="a/b/1")
    assert contents(marked) == contents(after)


def test_next_marker_only_with_a_delimiter(account, filled):
    assert "NextMarker" not in account.s3.list_objects(Bucket=filled, MaxKeys=2)
    assert account.s3.list_objects(Bucket=filled, MaxKeys=2, Delimiter="/")["NextMarker"]


def test_max_keys_of_zero_and_too_many(account, filled):
    none = account.s3.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert none["KeyCount"] == 0 and none["IsTruncated"] is False
    many = account.s3.list_objects_v2(Bucket=filled, MaxKeys=5000)
    assert many["MaxKeys"] == 1000
    with refused("InvalidArgument", 400):
        account.s3.list_objects_v2(Bucket=filled, MaxKeys=-1)


@pytest.mark.unkilled
def test_a_thousand_and_one(account, bucket):
    import concurrent.futures

    keys = [f"{n:04}" for n in range(1001)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: account.s3.put_object(Bucket=bucket, Key=key, Body=b""), keys))
    first = account.s3.list_objects_v2(Bucket=bucket)
    assert contents(first) == keys[:1000] and first["IsTruncated"]
    rest = account.s3.list_objects_v2(
        Bucket=bucket, ContinuationToken=first["NextContinuationToken"]
    )
    assert contents(rest) == keys[1000:] and not rest["IsTruncated"]


def test_a_token_that_is_none(account, filled):
    with refused("InvalidArgument", 400, "The continuation token provided is incorrect"):
        account.s3.list_objects_v2(Bucket=filled, ContinuationToken="nonsense")


def test_owner_when_asked(account, filled):
    plain = account.s3.list_objects_v2(Bucket=filled, MaxKeys=1)
    assert "Owner" not in plain["Contents"][0]
    asked = account.s3.list_objects_v2(Bucket=filled, MaxKeys=1, FetchOwner=True)
    assert asked["Contents"][0]["Owner"]["ID"]
    assert account.s3.list_objects(Bucket=filled, MaxKeys=1)["Contents"][0]["Owner"]["ID"]


def test_encoding_type_on_the_wire(account, bucket):
    """What boto3 asks for and undoes by itself, seen raw. A space may be `+` or `%20`."""
    keys = ["a/b c/d", "new\nline", "sp ace", "ü+"]
    for key in keys:
        account.s3.put_object(Bucket=bucket, Key=key, Body=b"")
    text = wire.call(account, "GET", f"/{bucket}?encoding-type=url&list-type=2&prefix=").text
    raw = re.findall("<Key>(.*?)</Key>", text)
    assert [urllib.parse.unquote_plus(key) for key in raw] == keys
    assert all(re.fullmatch(r"[\w%+/.-]+", key, re.ASCII) for key in raw), raw
    assert "<EncodingType>url</EncodingType>" in text
    text = wire.call(
        account, "GET", f"/{bucket}?delimiter=%20&encoding-type=url&list-type=2&prefix=a%2Fb"
    ).text
    assert re.search("<Delimiter>(%20|\\+)</Delimiter>", text), text
    assert re.search("<CommonPrefixes><Prefix>a/b(%20|\\+)</Prefix></CommonPrefixes>", text), text


def test_without_encoding_a_control_character_is_a_reference(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="a&<>\r\n", Body=b"")
    text = wire.call(account, "GET", f"/{bucket}?list-type=2").text
    key = re.search("<Key>(.*?)</Key>", text, re.DOTALL).group(1)
    assert key.startswith("a&amp;&lt;&gt;") or key.startswith("a&amp;&lt;>"), key
    assert "&#13;" in key or "&#xd;" in key.lower(), key


def test_listing_follows_writes_at_once(account, bucket):
    for n in range(20):
        account.s3.put_object(Bucket=bucket, Key=f"k{n:02}", Body=b"")
        assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == n + 1
    for n in range(20):
        account.s3.delete_object(Bucket=bucket, Key=f"k{n:02}")
        assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 19 - n
