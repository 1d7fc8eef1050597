"""Object lock with real clients: retention in both modes, legal holds, defaults; and what attributes, tags
and logging say of objects and buckets."""

import datetime

import pytest
from accounts import allow, refused

NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
TOMORROW = NOW + datetime.timedelta(days=1)
LATER = NOW + datetime.timedelta(days=2)


@pytest.fixture
def locked(account):
    return account.new_bucket("lock", ObjectLockEnabledForBucket=True)


def put(account, bucket, key="k", **more):
    return account.s3.put_object(Bucket=bucket, Key=key, Body=b"x", **more)["VersionId"]


def retain(account, bucket, version, until, mode="GOVERNANCE", **more):
    account.s3.put_object_retention(
        Bucket=bucket, Key="k", VersionId=version, Retention={"Mode": mode, "RetainUntilDate": until}, **more)


def test_governance(account, locked):
    s3 = account.s3
    version = put(account, locked)
    retain(account, locked, version, TOMORROW)
    kept = s3.get_object_retention(Bucket=locked, Key="k", VersionId=version)["Retention"]
    assert (kept["Mode"], kept["RetainUntilDate"]) == ("GOVERNANCE", TOMORROW)
    assert s3.head_object(Bucket=locked, Key="k")["ObjectLockMode"] == "GOVERNANCE"
    with refused("AccessDenied", 403):
        s3.delete_object(Bucket=locked, Key="k", VersionId=version)
    with refused("AccessDenied", 403):
        retain(account, locked, version, NOW + datetime.timedelta(hours=1))
    retain(account, locked, version, LATER)
    # A marker goes over it, and it stays below.
    assert s3.delete_object(Bucket=locked, Key="k")["DeleteMarker"]
    assert s3.get_object(Bucket=locked, Key="k", VersionId=version)["Body"].read() == b"x"
    # Only who may, and says so, gets around it.
    key = account.new_user("u", allow(["s3:DeleteObject*", "s3:PutObject*"]))
    with refused("AccessDenied", 403):
        account.client("s3", key=key).delete_object(
            Bucket=locked, Key="k", VersionId=version, BypassGovernanceRetention=True)
    retain(account, locked, version, TOMORROW, BypassGovernanceRetention=True)
    s3.delete_object(Bucket=locked, Key="k", VersionId=version, BypassGovernanceRetention=True)
    with refused(("NoSuchVersion", "404"), 404):
        s3.get_object(Bucket=locked, Key="k", VersionId=version)


def test_compliance(account, locked):
    s3 = account.s3
    version = put(account, locked, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=TOMORROW)
    with refused("AccessDenied", 403):
        s3.delete_object(Bucket=locked, Key="k", VersionId=version, BypassGovernanceRetention=True)
    for mode, until in (("GOVERNANCE", LATER), ("COMPLIANCE", NOW + datetime.timedelta(hours=1))):
        with refused("AccessDenied", 403):
            retain(account, locked, version, until, mode, BypassGovernanceRetention=True)
    retain(account, locked, version, LATER, "COMPLIANCE")
    answer = s3.delete_objects(
        Bucket=locked, Delete={"Objects": [{"Key": "k", "VersionId": version}]}, BypassGovernanceRetention=True)
    assert [one["Code"] for one in answer["Errors"]] == ["AccessDenied"]
    # The account is gone after the test, the cloud with it: nothing has to wait until tomorrow.


def test_legal_holds(account, locked):
    s3 = account.s3
    version = put(account, locked)
    s3.put_object_legal_hold(Bucket=locked, Key="k", VersionId=version, LegalHold={"Status": "ON"})
    held = s3.get_object_legal_hold(Bucket=locked, Key="k", VersionId=version)
    assert held["LegalHold"]["Status"] == "ON"
    with refused("AccessDenied", 403):
        s3.delete_object(Bucket=locked, Key="k", VersionId=version, BypassGovernanceRetention=True)
    s3.put_object_legal_hold(Bucket=locked, Key="k", VersionId=version, LegalHold={"Status": "OFF"})
    s3.delete_object(Bucket=locked, Key="k", VersionId=version)
    with refused(("NoSuchObjectLockConfiguration", "NoSuchKey"), 404):
        s3.get_object_legal_hold(Bucket=locked, Key="k")


def test_defaults(account, locked):
    s3 = account.s3
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=configuration)
    assert s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"] == configuration
    version = put(account, locked)
    until = s3.get_object_retention(Bucket=locked, Key="k", VersionId=version)["Retention"]["RetainUntilDate"]
    assert datetime.timedelta(days=2.9) < until - NOW < datetime.timedelta(days=3.1)
    with refused(("MalformedXML", "InvalidArgument"), 400):
        s3.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1, "Years": 1}}})
    with refused("InvalidBucketState", 409):
        s3.put_bucket_versioning(Bucket=locked, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_object(Bucket=locked, Key="k", VersionId=version, BypassGovernanceRetention=True)


def test_what_is_no_lock(account, bucket, locked):
    s3 = account.s3
    version = put(account, locked)
    with refused("InvalidArgument", 400, "The retain until date must be in the future!"):
        retain(account, locked, version, NOW - datetime.timedelta(days=1))
    text = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
    with refused("InvalidArgument", 400, text):
        put(account, locked, ObjectLockMode="GOVERNANCE")
    with refused("MalformedXML", 400):
        s3.put_object_legal_hold(Bucket=locked, Key="k", LegalHold={"Status": "MAYBE"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for call, more in (
        (s3.put_object_retention, {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": TOMORROW}}),
        (s3.put_object_legal_hold, {"LegalHold": {"Status": "ON"}}),
        (s3.get_object_retention, {}), (s3.get_object_legal_hold, {}),
    ):
        with refused("InvalidRequest", 400, "Bucket is missing Object Lock Configuration"):
            call(Bucket=bucket, Key="k", **more)
    with refused("ObjectLockConfigurationNotFoundError", 404):
        s3.get_object_lock_configuration(Bucket=bucket)


def test_attributes(account, bucket):
    s3 = account.s3
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ChecksumAlgorithm="SHA256")
    wanted = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    found = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=wanted)
    assert (found["ETag"], found["ObjectSize"]) == ("5d41402abc4b2a76b9719d911017c592", 5)
    assert found["Checksum"]["ChecksumSHA256"] == "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
    assert found["StorageClass"] == "STANDARD" and "ObjectParts" not in found
    made = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm="SHA256")["UploadId"]
    where = {"Bucket": bucket, "Key": "m", "UploadId": made}
    parts = []
    for number, body in ((1, b"a" * (5 << 20)), (2, b"b")):
        part = s3.upload_part(**where, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    found = s3.get_object_attributes(Bucket=bucket, Key="m", ObjectAttributes=["ObjectParts"], MaxParts=1)
    own = found["ObjectParts"]
    assert (own["TotalPartsCount"], own["IsTruncated"], own["Parts"][0]["Size"]) == (2, True, 5 << 20)
    with refused("NoSuchKey", 404):
        s3.get_object_attributes(Bucket=bucket, Key="none", ObjectAttributes=wanted)


def test_tags_go(account, bucket):
    s3 = account.s3
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="a=1&b=2")
    assert s3.head_object(Bucket=bucket, Key="k")["TagCount"] == 2
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert "TagCount" not in s3.head_object(Bucket=bucket, Key="k")


def test_logging_is_turned_on_and_off(account, bucket):
    s3 = account.s3
    target = account.new_bucket("logs")
    enabled = {"TargetBucket": target, "TargetPrefix": "p/"}
    s3.put_bucket_acl(Bucket=target, ACL="log-delivery-write")
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == enabled
    with refused("InvalidTargetBucketForLogging", 400):
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={
            "LoggingEnabled": {"TargetBucket": target + "-none", "TargetPrefix": ""}})
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
