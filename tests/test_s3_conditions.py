"""Every conditional header, alone and together, on reading, writing and copying."""

import datetime

import pytest

from accounts import refused

HOUR = datetime.timedelta(hours=1)
OTHER = '"00000000000000000000000000000000"'


@pytest.fixture
def stored(account, bucket):
    """An object, its ETag, and times before and after it."""
    etag = account.s3.put_object(Bucket=bucket, Key="k", Body=b"data")["ETag"]
    at = account.s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    return {"Bucket": bucket, "Key": "k"}, {
        "same": etag, "bare": etag.strip('"'), "other": OTHER, "before": at - HOUR, "at": at, "after": at + HOUR,
    }


# What is asked, and the status that comes.
READS = [
    ({"IfMatch": "same"}, 200),
    ({"IfMatch": "bare"}, 200),
    ({"IfMatch": "other"}, 412),
    ({"IfNoneMatch": "same"}, 304),
    ({"IfNoneMatch": "other"}, 200),
    ({"IfModifiedSince": "before"}, 200),
    ({"IfModifiedSince": "at"}, 304),
    ({"IfUnmodifiedSince": "at"}, 200),
    ({"IfUnmodifiedSince": "after"}, 200),
    ({"IfUnmodifiedSince": "before"}, 412),
    # A match decides over the date, and so does a mismatch.
    ({"IfMatch": "same", "IfUnmodifiedSince": "before"}, 200),
    ({"IfMatch": "other", "IfUnmodifiedSince": "after"}, 412),
    ({"IfNoneMatch": "same", "IfModifiedSince": "before"}, 304),
    ({"IfNoneMatch": "other", "IfModifiedSince": "at"}, 200),
    ({"IfMatch": "same", "IfNoneMatch": "same"}, 304),
]


@pytest.mark.parametrize("asked,status", READS, ids=[f"{a}-{s}" for a, s in READS])
@pytest.mark.parametrize("call", ["get_object", "head_object"])
def test_reads(account, stored, call, asked, status):
    where, values = stored
    asked = {name: values[value] for name, value in asked.items()}
    read = getattr(account.s3, call)
    if status == 200:
        assert read(**where, **asked)["ETag"] == values["same"]
        return
    codes = {412: ("PreconditionFailed", "412"), 304: ("304", "NotModified")}[status]
    with refused(codes, status):
        read(**where, **asked)


def test_the_text_of_412_and_its_condition(account, stored):
    where, values = stored
    try:
        account.s3.get_object(**where, IfMatch=OTHER)
    except account.s3.exceptions.ClientError as error:
        assert error.response["Error"]["Message"] == (
            "At least one of the pre-conditions you specified did not hold"
        )
        assert error.response["Error"]["Condition"] == "If-Match"
    else:
        raise AssertionError("the ETag is another")


def test_304_has_the_etag_and_no_body(account, stored):
    where, values = stored
    try:
        account.s3.get_object(**where, IfNoneMatch=values["same"])
    except account.s3.exceptions.ClientError as error:
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
        assert headers["etag"] == values["same"]
        assert headers.get("content-length", "0") == "0"
    else:
        raise AssertionError("it is not modified")


def test_write_only_when_absent(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"
    account.s3.delete_object(Bucket=bucket, Key="k")
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfNoneMatch="*")


def test_write_only_over_what_was_seen(account, stored):
    where, values = stored
    with refused("PreconditionFailed", 412):
        account.s3.put_object(**where, Body=b"new", IfMatch=OTHER)
    account.s3.put_object(**where, Body=b"new", IfMatch=values["same"])
    assert account.s3.get_object(**where)["Body"].read() == b"new"
    with refused("NoSuchKey", 404):
        account.s3.put_object(
            Bucket=where["Bucket"], Key="absent", Body=b"new", IfMatch=values["same"]
        )


def test_write_with_a_condition_that_is_none(account, stored):
    where, values = stored
    with refused("NotImplemented", 501):
        account.s3.put_object(**where, Body=b"new", IfNoneMatch=values["same"])


def test_complete_only_when_absent(account, stored):
    where, _ = stored
    upload = account.s3.create_multipart_upload(**where)["UploadId"]
    part = account.s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    with refused("PreconditionFailed", 412):
        account.s3.complete_multipart_upload(
            **where, UploadId=upload, MultipartUpload=parts, IfNoneMatch="*"
        )
    assert account.s3.get_object(**where)["Body"].read() == b"data"
    account.s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
    assert account.s3.get_object(**where)["Body"].read() == b"part"


COPIES = [
    ({"CopySourceIfMatch": "same"}, True),
    ({"CopySourceIfMatch": "other"}, False),
    ({"CopySourceIfNoneMatch": "other"}, True),
    ({"CopySourceIfNoneMatch": "same"}, False),
    ({"CopySourceIfModifiedSince": "before"}, True),
    ({"CopySourceIfModifiedSince": "at"}, False),
    ({"CopySourceIfUnmodifiedSince": "after"}, True),
    ({"CopySourceIfUnmodifiedSince": "before"}, False),
    ({"CopySourceIfMatch": "same", "CopySourceIfUnmodifiedSince": "before"}, True),
    ({"CopySourceIfNoneMatch": "same", "CopySourceIfModifiedSince": "before"}, False),
]


@pytest.mark.parametrize("asked,done", COPIES, ids=[f"{a}-{d}" for a, d in COPIES])
def test_copies(account, stored, asked, done):
    where, values = stored
    asked = {name: values[value] for name, value in asked.items()}
    if done:
        account.s3.copy_object(Bucket=where["Bucket"], Key="copy", CopySource=where, **asked)
        return
    with refused("PreconditionFailed", 412):
        account.s3.copy_object(Bucket=where["Bucket"], Key="copy", CopySource=where, **asked)
    with refused("404", 404):
        account.s3.head_object(Bucket=where["Bucket"], Key="copy")


def test_delete_only_what_was_seen(account, stored):
    where, values = stored
    with refused("PreconditionFailed", 412):
        account.s3.delete_object(**where, IfMatch=OTHER)
    account.s3.head_object(**where)
    account.s3.delete_object(**where, IfMatch=values["same"])
    with refused("404", 404):
        account.s3.head_object(**where)
