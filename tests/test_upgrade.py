"""Data of earlier builds: it opens, everything in it is what it was, and the cloud goes on with it."""

import glob
import os

import pytest

import data_folder
from accounts import Account, denied

FIXTURES = sorted(glob.glob(os.path.join(os.path.dirname(__file__), "fixtures", "data-*.tar.gz")))


def check(cloud, seen, key):
    account = Account(data_folder.ACCOUNT, cloud)
    assert data_folder.missing(seen, data_folder.look(account)) == []
    # The key of a user and what it may.
    user = account.client("s3", tuple(key))
    assert user.get_object(Bucket="kept-plain", Key="of/10")["Body"].read() == b"k" * 10
    with denied("s3:PutObject"):
        user.put_object(Bucket="kept-plain", Key="of/10", Body=b"no")
    # What was begun is ended, and what was written is written again.
    upload = account.s3.list_multipart_uploads(Bucket="kept-plain")["Uploads"][0]["UploadId"]
    begun = {"Bucket": "kept-plain", "Key": "in parts", "UploadId": upload}
    parts = account.s3.list_parts(**begun)["Parts"]
    parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
    account.s3.complete_multipart_upload(**begun, MultipartUpload={"Parts": parts})
    whole = account.s3.get_object(Bucket="kept-plain", Key="in parts")["Body"].read()
    assert whole == b"p" * 5_300_000
    account.s3.delete_object(Bucket="kept-plain", Key="of/200000")
    kept = {"p": {"S": "p0"}, "s": {"N": "-10"}}
    account.dynamodb.update_item(
        TableName="kept",
        Key=kept,
        UpdateExpression="SET n = n + :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    assert account.dynamodb.get_item(TableName="kept", Key=kept)["Item"]["n"] == {"N": "1.5"}


def test_there_is_one():
    assert FIXTURES


@pytest.mark.parametrize("fixture", FIXTURES, ids=os.path.basename)
def test_data_of_an_earlier_build(own_cloud, tmp_path, fixture):
    seen, key = data_folder.unpack(fixture, tmp_path / "old")
    cloud = own_cloud(data=tmp_path / "old" / "data")
    check(cloud, seen, key)


def test_data_of_this_build(own_cloud, tmp_path):
    """What the fixtures are made by is itself right."""
    folder = tmp_path / "new"
    seen, key = data_folder.make(str(folder))
    check(own_cloud(data=folder), seen, key)
