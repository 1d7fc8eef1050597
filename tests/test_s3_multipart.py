"""Multipart uploads: in order and out of it, over again, abandoned, and every way to get it wrong."""

import hashlib
import os
import random

import pytest

from accounts import refused

MIB = 1 << 20
PART = 5 * MIB


@pytest.fixture
def upload(account, bucket):
    where = {"Bucket": bucket, "Key": "k"}
    where["UploadId"] = account.s3.create_multipart_upload(**where)["UploadId"]
    return where


def put(account, upload, number, body):
    answer = account.s3.upload_part(**upload, PartNumber=number, Body=body)
    return {"PartNumber": number, "ETag": answer["ETag"]}


def complete(account, upload, parts):
    return account.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def combined(bodies):
    digests = b"".join(hashlib.md5(body).digest() for body in bodies)
    return f'"{hashlib.md5(digests).hexdigest()}-{len(bodies)}"'


def read(account, upload):
    return account.s3.get_object(Bucket=upload["Bucket"], Key="k")["Body"].read()


@pytest.mark.parametrize("order", ["forward", "backward", "mixed"])
def test_any_order(account, upload, order):
    bodies = [os.urandom(PART), os.urandom(PART + 1), os.urandom(17)]
    numbers = [1, 5, 10000]
    sequence = {"forward": [0, 1, 2], "backward": [2, 1, 0], "mixed": [1, 2, 0]}[order]
    parts = {at: put(account, upload, numbers[at], bodies[at]) for at in sequence}
    done = complete(account, upload, [parts[at] for at in range(3)])
    assert done["ETag"] == combined(bodies)
    assert done["Bucket"] == upload["Bucket"] and done["Key"] == "k"
    assert done["Location"] == f"{account.endpoint}/{upload['Bucket']}/k"
    assert read(account, upload) == b"".join(bodies)
    head = account.s3.head_object(Bucket=upload["Bucket"], Key="k")
    assert head["ContentLength"] == sum(map(len, bodies)) and head["ETag"] == combined(bodies)


def test_a_part_again_is_the_last_one(account, upload):
    put(account, upload, 1, b"first try")
    parts = [put(account, upload, 1, b"second try")]
    complete(account, upload, parts)
    assert read(account, upload) == b"second try"


def test_parts_left_out_are_gone(account, upload):
    first = put(account, upload, 1, b"one")
    put(account, upload, 2, b"two")
    complete(account, upload, [first])
    assert read(account, upload) == b"one"


def test_reading_one_part(account, upload):
    bodies = [os.urandom(PART), os.urandom(100)]
    complete(account, upload, [put(account, upload, n + 1, b) for n, b in enumerate(bodies)])
    got = account.s3.get_object(Bucket=upload["Bucket"], Key="k", PartNumber=2)
    assert got["Body"].read() == bodies[1]
    assert got["PartsCount"] == 2
    assert got["ContentRange"] == f"bytes {PART}-{PART + 99}/{PART + 100}"
    head = account.s3.head_object(Bucket=upload["Bucket"], Key="k", PartNumber=1)
    assert head["ContentLength"] == PART and head["PartsCount"] == 2
    with refused(("InvalidPartNumber", "416"), 416):
        account.s3.get_object(Bucket=upload["Bucket"], Key="k", PartNumber=3)


def test_ranges_across_parts(account, upload):
    bodies = [os.urandom(PART), os.urandom(PART), os.urandom(1000)]
    complete(account, upload, [put(account, upload, n + 1, b) for n, b in enumerate(bodies)])
    whole = b"".join(bodies)
    rng = random.Random(1)
    places = [(PART - 1, PART + 1), (2 * PART - 5, 2 * PART + 5), (PART, PART + 1)]
    places += [sorted(rng.sample(range(len(whole)), 2)) for _ in range(5)]
    for start, end in places:
        got = account.s3.get_object(
            Bucket=upload["Bucket"], Key="k", Range=f"bytes={start}-{end - 1}"
        )
        assert got["Body"].read() == whole[start:end]


def test_headers_given_at_the_start(account, bucket):
    where = {"Bucket": bucket, "Key": "k"}
    upload = account.s3.create_multipart_upload(
        **where, ContentType="text/x", Metadata={"a": "b"}, StorageClass="STANDARD_IA"
    )
    upload = {**where, "UploadId": upload["UploadId"]}
    complete(account, upload, [put(account, upload, 1, b"x")])
    head = account.s3.head_object(**where)
    assert (head["ContentType"], head["Metadata"]) == ("text/x", {"a": "b"})
    assert head["StorageClass"] == "STANDARD_IA"


def test_nothing_is_seen_before_the_end(account, upload):
    put(account, upload, 1, b"x")
    with refused("NoSuchKey", 404):
        read(account, upload)
    assert account.s3.list_objects_v2(Bucket=upload["Bucket"])["KeyCount"] == 0


def test_list_parts_in_pages(account, upload):
    for number in (3, 1, 7, 2):
        put(account, upload, number, b"x" * number)
    answer = account.s3.list_parts(**upload)
    assert [(p["PartNumber"], p["Size"]) for p in answer["Parts"]] == [
        (1, 1), (2, 2), (3, 3), (7, 7)
    ]
    assert answer["Initiator"]["ID"] and answer["Owner"]["ID"]
    first = account.s3.list_parts(**upload, MaxParts=3)
    assert first["IsTruncated"] and first["NextPartNumberMarker"] == 3
    rest = account.s3.list_parts(**upload, PartNumberMarker=3)
    assert [p["PartNumber"] for p in rest["Parts"]] == [7] and not rest["IsTruncated"]


def test_list_uploads(account, bucket):
    keys = ["a", "a/x", "a/y", "b"]
    made = {
        key: account.s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        for key in reversed(keys)
    }
    answer = account.s3.list_multipart_uploads(Bucket=bucket)
    assert [(u["Key"], u["UploadId"]) for u in answer["Uploads"]] == [(k, made[k]) for k in keys]
    folded = account.s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [u["Key"] for u in folded["Uploads"]] == ["a", "b"]
    assert folded["CommonPrefixes"] == [{"Prefix": "a/"}]
    pages = account.s3.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 1}
    )
    assert [u["Key"] for page in pages for u in page.get("Uploads", [])] == keys
    assert [
        u["Key"] for u in account.s3.list_multipart_uploads(Bucket=bucket, Prefix="a/")["Uploads"]
    ] == ["a/x", "a/y"]


def test_two_uploads_of_one_key(account, bucket):
    where = {"Bucket": bucket, "Key": "k"}
    uploads = [
        {**where, "UploadId": account.s3.create_multipart_upload(**where)["UploadId"]}
        for _ in range(2)
    ]
    parts = [[put(account, u, 1, f"upload {n}".encode())] for n, u in enumerate(uploads)]
    complete(account, uploads[1], parts[1])
    complete(account, uploads[0], parts[0])
    assert read(account, uploads[0]) == b"upload 0"


def test_uploads_of_one_key_are_listed_as_they_were_begun(account, bucket):
    where = {"Bucket": bucket, "Key": "k"}
    begun = [account.s3.create_multipart_upload(**where)["UploadId"] for _ in range(6)]
    listed = account.s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload["UploadId"] for upload in listed] == begun
    page = account.s3.list_multipart_uploads(
        Bucket=bucket, KeyMarker="k", UploadIdMarker=begun[2], MaxUploads=2)
    assert [upload["UploadId"] for upload in page["Uploads"]] == begun[3:5]
    assert page["IsTruncated"] and page["NextUploadIdMarker"] == begun[4]


def test_abort(account, upload):
    part = put(account, upload, 1, b"x")
    account.s3.abort_multipart_upload(**upload)
    text = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
        "been aborted or completed."
    )
    with refused("NoSuchUpload", 404, text):
        complete(account, upload, [part])
    with refused("NoSuchUpload", 404, text):
        put(account, upload, 1, b"x")
    with refused("NoSuchUpload", 404, text):
        account.s3.list_parts(**upload)
    with refused("NoSuchUpload", 404, text):
        account.s3.abort_multipart_upload(**upload)
    assert "Uploads" not in account.s3.list_multipart_uploads(Bucket=upload["Bucket"])


def test_parts_too_small(account, upload):
    parts = [put(account, upload, 1, bytes(PART - 1)), put(account, upload, 2, b"x")]
    with refused(
        "EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size"
    ):
        complete(account, upload, parts)


def test_parts_out_of_order(account, upload):
    parts = [put(account, upload, n, bytes(PART)) for n in (1, 2)]
    with refused(
        "InvalidPartOrder",
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ):
        complete(account, upload, parts[::-1])
    # One that was sent again and is named twice in a row counts as it is named last.
    with refused("InvalidPart", 400):
        complete(account, upload, [parts[0], {**parts[0], "ETag": '"none"'}])
    complete(account, upload, [{**parts[0], "ETag": '"none"'}, *parts])


def test_parts_that_are_none(account, upload):
    part = put(account, upload, 1, b"x")
    text = (
        "One or more of the specified parts could not be found.  The part may not have been "
        "uploaded, or the specified entity tag may not match the part's entity tag."
    )
    with refused("InvalidPart", 400, text):
        complete(account, upload, [{"PartNumber": 1, "ETag": '"' + "0" * 32 + '"'}])
    with refused("InvalidPart", 400, text):
        complete(account, upload, [part, {"PartNumber": 2, "ETag": part["ETag"]}])
    with refused("MalformedXML", 400):
        account.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": []})
    complete(account, upload, [part])


@pytest.mark.parametrize("number", [0, 10001, -1])
def test_part_numbers(account, upload, number):
    with refused(
        "InvalidArgument", 400, "Part number must be an integer between 1 and 10000, inclusive"
    ):
        put(account, upload, number, b"x")


def test_upload_ids_that_are_none(account, bucket, upload):
    for wrong in ("nonsense", "x" * 500, upload["UploadId"] + "x"):
        with refused("NoSuchUpload", 404):
            account.s3.upload_part(
                Bucket=bucket, Key="k", UploadId=wrong, PartNumber=1, Body=b"x"
            )
    # The right id with another key is no upload.
    with refused("NoSuchUpload", 404):
        account.s3.upload_part(
            Bucket=bucket, Key="other", UploadId=upload["UploadId"], PartNumber=1, Body=b"x"
        )


def test_part_copy(account, bucket, upload):
    data = os.urandom(PART + 1000)
    account.s3.put_object(Bucket=bucket, Key="source", Body=data)
    source = {"Bucket": bucket, "Key": "source"}
    parts = []
    for number, span in ((1, f"bytes=0-{PART - 1}"), (2, f"bytes={PART}-{PART + 999}")):
        answer = account.s3.upload_part_copy(
            **upload, PartNumber=number, CopySource=source, CopySourceRange=span
        )
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    complete(account, upload, parts)
    assert read(account, upload) == data
    with refused(("InvalidArgument", "InvalidRange")):
        other = account.s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        account.s3.upload_part_copy(
            Bucket=bucket, Key="k", UploadId=other, PartNumber=1, CopySource=source,
            CopySourceRange=f"bytes=0-{PART + 5000}",
        )


@pytest.mark.unkilled
def test_a_managed_transfer(account, bucket, tmp_path):
    import boto3.s3.transfer as transfer

    data = os.urandom(20 * MIB + 12345)
    path = tmp_path / "data"
    path.write_bytes(data)
    config = transfer.TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    manager = transfer.create_transfer_manager(account.s3, config)
    with manager:
        manager.upload(str(path), bucket, "k").result()
    assert account.s3.head_object(Bucket=bucket, Key="k")["ETag"].endswith('-5"')
    with transfer.create_transfer_manager(account.s3, config) as manager:
        manager.download(bucket, "k", str(tmp_path / "back")).result()
    assert (tmp_path / "back").read_bytes() == data
