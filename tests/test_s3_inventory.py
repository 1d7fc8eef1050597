"""Inventories with real clients: a list of a bucket, delivered into another one after a day."""

import csv
import gzip
import hashlib
import json

from accounts import Account, policy, refused
from cloud import cumulet
from deadline import wait_until

ROOT = "000000000000"


def configuration(target, **more):
    return {
        "Id": "daily", "IsEnabled": True, "IncludedObjectVersions": "Current",
        "Schedule": {"Frequency": "Daily"}, "OptionalFields": ["Size", "ETag", "StorageClass"],
        "Destination": {"S3BucketDestination": {
            "Bucket": f"arn:aws:s3:::{target}", "Format": "CSV", "Prefix": "in"}}, **more}


def test_a_list_is_delivered(own_cloud):
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    s3 = account.s3
    source, target = account.new_bucket(), account.new_bucket()
    bodies = {"a b": b"hello", "dir/c,d": b"x" * 1000, "ümläut": b""}
    for key, body in bodies.items():
        s3.put_object(Bucket=source, Key=key, Body=body)
    s3.put_bucket_policy(Bucket=target, Policy=policy({
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/*",
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source}"},
            "StringEquals": {"aws:SourceAccount": ROOT, "s3:x-amz-acl": "bucket-owner-full-control"}}}))
    s3.put_bucket_inventory_configuration(
        Bucket=source, Id="daily", InventoryConfiguration=configuration(target))
    assert "Contents" not in s3.list_objects_v2(Bucket=target)
    assert cumulet("clock", "advance", "1d", "--data", cloud.data).returncode == 0

    def manifest():
        found = s3.list_objects_v2(Bucket=target).get("Contents", [])
        return next((own["Key"] for own in found if own["Key"].endswith("/manifest.checksum")), None)

    key = wait_until(manifest, "a manifest", 20).replace(".checksum", ".json")
    assert key.startswith(f"in/{source}/daily/")
    text = s3.get_object(Bucket=target, Key=key)["Body"].read()
    checksum = s3.get_object(Bucket=target, Key=key.replace(".json", ".checksum"))["Body"].read()
    assert hashlib.md5(text).hexdigest().encode() == checksum
    said = json.loads(text)
    assert (said["sourceBucket"], said["fileFormat"]) == (source, "CSV")
    assert said["fileSchema"] == "Bucket, Key, Size, ETag, StorageClass"
    (file,) = said["files"]
    packed = s3.get_object(Bucket=target, Key=file["key"])["Body"].read()
    assert (len(packed), hashlib.md5(packed).hexdigest()) == (file["size"], file["MD5checksum"])
    rows = list(csv.reader(gzip.decompress(packed).decode().splitlines()))
    names = ["a+b", "dir/c%2Cd", "%C3%BCml%C3%A4ut"]
    expected = [
        [source, name, str(len(body)), hashlib.md5(body).hexdigest(), "STANDARD"]
        for name, body in zip(names, bodies.values())]
    assert sorted(rows) == sorted(expected)


def test_what_a_configuration_may_not_say(account, bucket):
    for more in (
        {"IncludedObjectVersions": "Some"}, {"Schedule": {"Frequency": "Hourly"}},
        {"OptionalFields": ["Size", "Size"]},
        {"Destination": {"S3BucketDestination": {"Bucket": "not-an-arn", "Format": "CSV"}}},
    ):
        with refused(("MalformedXML", "InvalidArgument", "InvalidS3DestinationBucket"), 400):
            account.s3.put_bucket_inventory_configuration(
                Bucket=bucket, Id="daily", InventoryConfiguration=configuration(bucket, **more))
    with refused("NoSuchConfiguration", 404):
        account.s3.get_bucket_inventory_configuration(Bucket=bucket, Id="daily")
