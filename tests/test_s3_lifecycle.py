"""Lifecycle with real clients: documents kept and refused, and rules whose date is past acting at once."""

import datetime
import json

import pytest
from accounts import refused
from deadline import wait_until

PAST = datetime.datetime(2024, 5, 1, tzinfo=datetime.timezone.utc)


def rule(**more):
    return {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, **more}


def put_rules(account, bucket, *rules, **more):
    return account.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}, **more)


def keys(account, bucket):
    listed = account.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return [one["Key"] for one in listed]


def test_the_document_comes_back(account, bucket):
    rules = [
        rule(ID="all", Filter={"And": {
                "Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}],
                "ObjectSizeGreaterThan": 10, "ObjectSizeLessThan": 1000}},
             Expiration={"Days": 400},
             Transitions=[{"Days": 30, "StorageClass": "STANDARD_IA"},
                          {"Days": 90, "StorageClass": "GLACIER"}],
             NoncurrentVersionTransitions=[{"NoncurrentDays": 30, "StorageClass": "GLACIER",
                                            "NewerNoncurrentVersions": 3}],
             NoncurrentVersionExpiration={"NoncurrentDays": 90, "NewerNoncurrentVersions": 3}),
        rule(ID="off", Status="Disabled", Expiration={"ExpiredObjectDeleteMarker": True}),
        rule(ID="parts", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}),
    ]
    put = put_rules(account, bucket, *rules)
    assert put["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    got = account.s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert got["Rules"] == rules
    assert got["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    put_rules(account, bucket, rules[2],
              TransitionDefaultMinimumObjectSize="varies_by_storage_class")
    got = account.s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert got["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    account.s3.delete_bucket_lifecycle(Bucket=bucket)
    with refused("NoSuchLifecycleConfiguration", 404):
        account.s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_with_the_cli(account, bucket):
    document = {"Rules": [rule(Expiration={"Days": 3})]}
    account.cli("s3api", "put-bucket-lifecycle-configuration", "--bucket", bucket,
                "--lifecycle-configuration", json.dumps(document))
    got = account.cli("s3api", "get-bucket-lifecycle-configuration", "--bucket", bucket)
    assert json.loads(got.stdout)["Rules"] == document["Rules"]


@pytest.mark.parametrize("change, code", [
    ({"Status": "Maybe", "Expiration": {"Days": 1}}, "MalformedXML"),
    ({}, "InvalidRequest"),
    ({"Expiration": {"Days": 0}}, "InvalidArgument"),
    ({"Expiration": {"Days": 1, "Date": PAST}}, "MalformedXML"),
    ({"Expiration": {"Date": PAST.replace(hour=7)}}, "InvalidArgument"),
    ({"Filter": {"Prefix": "a", "Tag": {"Key": "k", "Value": "v"}}, "Expiration": {"Days": 1}},
     "MalformedXML"),
    ({"Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}]}, "InvalidArgument"),
    ({"Transitions": [{"Days": 1, "StorageClass": "ICEBERG"}]}, "MalformedXML"),
    ({"Transitions": [{"Days": 5, "StorageClass": "GLACIER"}], "Expiration": {"Days": 5}},
     "InvalidArgument"),
    ({"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 3}}, "InvalidArgument"),
    ({"ID": "x" * 300, "Expiration": {"Days": 1}}, "InvalidArgument"),
])
def test_documents_that_make_no_sense(account, bucket, change, code):
    put_rules(account, bucket, rule(ID="old", Expiration={"Days": 5}))
    with refused(code, 400):
        put_rules(account, bucket, rule(**change))
    kept = account.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [one["ID"] for one in kept] == ["old"]


def test_headers(account, bucket):
    put_rules(account, bucket, rule(ID="a b", Filter={"Prefix": "a"}, Expiration={"Days": 1}),
              rule(ID="p", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 2}))
    put = account.s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert put["Expiration"].startswith('expiry-date="') and 'rule-id="a%20b"' in put["Expiration"]
    for told in (account.s3.get_object(Bucket=bucket, Key="a"),
                 account.s3.head_object(Bucket=bucket, Key="a")):
        assert told["Expiration"] == put["Expiration"]
    assert "Expiration" not in account.s3.put_object(Bucket=bucket, Key="b", Body=b"x")
    begun = account.s3.create_multipart_upload(Bucket=bucket, Key="c")
    assert begun["AbortRuleId"] == "p" and begun["AbortDate"].hour == 0
    parts = account.s3.list_parts(Bucket=bucket, Key="c", UploadId=begun["UploadId"])
    assert parts["AbortDate"] == begun["AbortDate"] and parts["AbortRuleId"] == "p"


def test_what_is_due_goes(account, bucket):
    for n in range(5):
        account.s3.put_object(Bucket=bucket, Key=f"old/{n}", Body=b"x")
    account.s3.put_object(Bucket=bucket, Key="new", Body=b"x")
    put_rules(account, bucket, rule(Filter={"Prefix": "old/"}, Expiration={"Date": PAST}))
    wait_until(lambda: keys(account, bucket) == ["new"], "objects past their date are gone")


def test_a_version_gives_way_to_a_marker(account, bucket):
    account.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    put_rules(account, bucket, rule(Expiration={"Date": PAST}))
    wait_until(lambda: not keys(account, bucket), "the latest version is gone")
    versions = account.s3.list_object_versions(Bucket=bucket)
    assert [one["VersionId"] for one in versions["Versions"]] == [version]
    assert versions["DeleteMarkers"][0]["IsLatest"]
    assert account.s3.get_object(Bucket=bucket, Key="k", VersionId=version)["Body"].read() == b"x"


def test_classes_change(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="large", Body=bytes(200_000))
    account.s3.put_object(Bucket=bucket, Key="small", Body=b"x")
    put_rules(account, bucket,
              rule(Transitions=[{"Date": PAST, "StorageClass": "GLACIER_IR"}]))

    def classes():
        listed = account.s3.list_objects_v2(Bucket=bucket)["Contents"]
        return {one["Key"]: one["StorageClass"] for one in listed}
    wait_until(lambda: classes() == {"large": "GLACIER_IR", "small": "STANDARD"}, "it moved")
    assert account.s3.head_object(Bucket=bucket, Key="large")["StorageClass"] == "GLACIER_IR"


def test_who_may(account, bucket):
    key = account.new_user("u", {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
    user = account.client("s3", key=key)
    with refused("AccessDenied", 403):
        user.get_bucket_lifecycle_configuration(Bucket=bucket)
    with refused("AccessDenied", 403):
        user.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [rule(Expiration={"Days": 1})]})
    with refused("AccessDenied", 403):
        user.delete_bucket_lifecycle(Bucket=bucket)
