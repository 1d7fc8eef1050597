"""SSE-C: the customer's key opens what it sealed, and neither it nor the content lies on the disk."""

import base64
import hashlib
import os

import boto3
import pytest
from boto3.s3.transfer import TransferConfig

from accounts import REGION, Account, refused

KEY, OTHER = b"k" * 32, b"o" * 32


def with_key(key=KEY):
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}


def of_source(key=KEY):
    return {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key}


@pytest.mark.parametrize("size", [0, 10, 70_000, 3 << 20])
def test_sealed_and_opened(account, bucket, size):
    data = os.urandom(size)
    s3 = account.s3
    put = s3.put_object(Bucket=bucket, Key="k", Body=data, **with_key())
    md5 = base64.b64encode(hashlib.md5(KEY).digest()).decode()
    assert put["SSECustomerAlgorithm"] == "AES256" and put["SSECustomerKeyMD5"] == md5
    assert "ServerSideEncryption" not in put
    assert put["ETag"].strip('"') != hashlib.md5(data).hexdigest()
    got = s3.get_object(Bucket=bucket, Key="k", **with_key())
    assert got["Body"].read() == data and got["ETag"] == put["ETag"]
    assert s3.head_object(Bucket=bucket, Key="k", **with_key())["ContentLength"] == size
    with refused("InvalidRequest", 400, part="The object was stored using a form of Server Side"):
        s3.get_object(Bucket=bucket, Key="k")
    with refused("AccessDenied", 403, part="must provide the correct secret key."):
        s3.get_object(Bucket=bucket, Key="k", **with_key(OTHER))
    with refused("400", 400):
        s3.head_object(Bucket=bucket, Key="k")


def test_ranges(account, bucket):
    data = os.urandom(300_000)
    account.s3.put_object(Bucket=bucket, Key="k", Body=data, **with_key())
    for first, last in [(0, 0), (65_530, 65_545), (100, 299_999)]:
        got = account.s3.get_object(
            Bucket=bucket, Key="k", Range=f"bytes={first}-{last}", **with_key()
        )
        assert got["Body"].read() == data[first:last + 1]
        assert got["ContentRange"] == f"bytes {first}-{last}/300000"


def test_parts(account, bucket):
    s3 = account.s3
    begun = s3.create_multipart_upload(Bucket=bucket, Key="k", **with_key())
    where = {"Bucket": bucket, "Key": "k", "UploadId": begun["UploadId"]}
    first, second = os.urandom(5 << 20), os.urandom((5 << 20) + 1)
    with refused("InvalidRequest", 400, part="The multipart upload initiate requested encryption."):
        s3.upload_part(PartNumber=1, Body=first, **where)
    with refused("InvalidRequest", 400, part="The provided encryption parameters did not match"):
        s3.upload_part(PartNumber=1, Body=first, **where, **with_key(OTHER))
    tags = [
        s3.upload_part(PartNumber=n, Body=body, **where, **with_key())["ETag"]
        for n, body in ((1, first), (2, second))
    ]
    s3.put_object(Bucket=bucket, Key="other", Body=second, **with_key(OTHER))
    copied = s3.upload_part_copy(
        PartNumber=3, CopySource={"Bucket": bucket, "Key": "other"},
        CopySourceRange="bytes=1-70000", **where, **with_key(), **of_source(OTHER),
    )
    tags.append(copied["CopyPartResult"]["ETag"])
    parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
    whole = first + second + second[1:70_001]
    assert s3.get_object(Bucket=bucket, Key="k", **with_key())["Body"].read() == whole
    at = len(first) + len(second) - 10
    ranged = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={at}-{at + 99}", **with_key())
    assert ranged["Body"].read() == whole[at:at + 100]
    one = s3.get_object(Bucket=bucket, Key="k", PartNumber=2, **with_key())
    assert one["Body"].read() == second
    with refused("InvalidRequest", 400):
        s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag"])


def test_the_transfer_manager(account, bucket, tmp_path):
    client = boto3.session.Session().client(
        "s3", endpoint_url=account.endpoint, region_name=REGION,
        aws_access_key_id=account.id, aws_secret_access_key="test",
    )
    data = os.urandom(12 << 20)
    (tmp_path / "up").write_bytes(data)
    config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    path, down = str(tmp_path / "up"), str(tmp_path / "down")
    client.upload_file(path, bucket, "k", ExtraArgs=with_key(), Config=config)
    client.download_file(bucket, "k", down, ExtraArgs=with_key(), Config=config)
    with open(down, "rb") as got:
        assert got.read() == data


def test_copies(account, bucket):
    s3 = account.s3
    data = os.urandom(200_000)
    s3.put_object(Bucket=bucket, Key="a", Body=data, **with_key())
    source = {"Bucket": bucket, "Key": "a"}
    with refused("InvalidRequest", 400):
        s3.copy_object(Bucket=bucket, Key="b", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source, **of_source(), **with_key(OTHER))
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, **of_source())
    assert s3.get_object(Bucket=bucket, Key="b", **with_key(OTHER))["Body"].read() == data
    opened = s3.get_object(Bucket=bucket, Key="c")
    assert opened["Body"].read() == data and opened["ServerSideEncryption"] == "AES256"
    # A new key, in place.
    again = s3.copy_object(
        Bucket=bucket, Key="a", CopySource=source, **of_source(), **with_key(OTHER)
    )
    assert again["SSECustomerAlgorithm"] == "AES256"
    assert s3.get_object(Bucket=bucket, Key="a", **with_key(OTHER))["Body"].read() == data


def test_neither_content_nor_key_is_on_the_disk(own_cloud):
    cloud = own_cloud()
    account = Account("300000000001", cloud)
    bucket = account.new_bucket()
    key = b"a customer keeps this key itself"
    small, large = b"what nobody may read, small", b"what nobody may read, large" * 100_000
    account.s3.put_object(Bucket=bucket, Key="small", Body=small, **with_key(key))
    account.s3.put_object(Bucket=bucket, Key="large", Body=large, **with_key(key))
    account.s3.put_object(Bucket=bucket, Key="open", Body=b"what everybody may read")
    assert cloud.terminate() == 0
    found = {text: 0 for text in (b"may read, small", b"may read, large", b"everybody may", key)}
    for folder, _, names in os.walk(cloud.data):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                content = file.read()
            for text in found:
                found[text] += content.count(text)
    assert found.pop(b"everybody may") >= 1, "the search finds nothing at all"
    assert set(found.values()) == {0}
