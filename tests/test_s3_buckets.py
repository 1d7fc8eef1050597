"""Buckets: making, finding, listing, deleting, and every refusal on the way."""

import pytest
import wire
from accounts import Account, allow, policy, refused


def test_create_head_list_delete(account):
    name = account.bucket_name()
    made = account.s3.create_bucket(Bucket=name)
    assert made["Location"] == f"/{name}"
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 200
    head = account.s3.head_bucket(Bucket=name)
    assert head["BucketRegion"] == "us-east-1"
    listed = account.s3.list_buckets()
    assert [b["Name"] for b in listed["Buckets"]] == [name]
    assert listed["Buckets"][0]["CreationDate"].tzinfo is not None
    assert listed["Owner"]["ID"]
    gone = account.s3.delete_bucket(Bucket=name)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert account.s3.list_buckets()["Buckets"] == []
    with refused("404", 404):
        account.s3.head_bucket(Bucket=name)


def test_list_is_by_name_and_of_this_account_only(account, other):
    names = sorted(account.new_bucket(stem) for stem in ("zeta", "alpha", "mid"))
    other.new_bucket("alpha")
    assert [b["Name"] for b in account.s3.list_buckets()["Buckets"]] == names


def test_list_buckets_in_pages_and_by_prefix(account, other):
    names = sorted(account.new_bucket(stem) for stem in ("aa", "ab", "ba", "bb", "bc"))
    first = account.s3.list_buckets(MaxBuckets=2)
    assert [b["Name"] for b in first["Buckets"]] == names[:2]
    pages = account.s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 2})
    assert [b["Name"] for page in pages for b in page["Buckets"]] == names
    assert [b["Name"] for b in account.s3.list_buckets(Prefix="b")["Buckets"]] == names[2:]
    token = first["ContinuationToken"]
    for wrong in ({"ContinuationToken": names[0]}, {"ContinuationToken": token, "Prefix": "b"}):
        with refused("InvalidArgument", 400, "The continuation token provided is incorrect"):
            account.s3.list_buckets(**wrong)
    with refused("InvalidArgument", 400, "The continuation token provided is incorrect"):
        other.s3.list_buckets(ContinuationToken=token)


def test_make_it_again(account, other):
    name = account.new_bucket()
    # us-east-1 keeps an old habit: the owner may make it again.
    account.s3.create_bucket(Bucket=name)
    with refused("BucketAlreadyExists", 409, part="The requested bucket name is not available"):
        other.s3.create_bucket(Bucket=name)


def test_make_it_again_elsewhere(account):
    name = account.bucket_name()
    west = account.client("s3", region="eu-west-1")
    where = {"LocationConstraint": "eu-west-1"}
    west.create_bucket(Bucket=name, CreateBucketConfiguration=where)
    assert account.s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    assert west.head_bucket(Bucket=name)["BucketRegion"] == "eu-west-1"
    with refused("BucketAlreadyOwnedByYou", 409):
        west.create_bucket(Bucket=name, CreateBucketConfiguration=where)


def test_location_of_the_first_region_is_empty(account, bucket):
    assert account.s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def test_location_constraint_must_fit_the_region(account):
    with refused("IllegalLocationConstraintException", 400):
        account.client("s3", region="eu-west-1").create_bucket(Bucket=account.bucket_name())


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "Capital", "under_score", "-first", "last-", "dot..dot", "192.168.5.4", "sp ace",
     "xn--x", "name-s3alias", "sthree-x", "amzn-s3-demo-x", "a--ol-s3", "a.mrap"],
)
def test_names_that_are_none(account, name):
    client = account.client("s3")
    client.meta.events.unregister("before-parameter-build.s3", _validate_bucket_name())
    with refused("InvalidBucketName", 400, part="The specified bucket is not valid."):
        client.create_bucket(Bucket=name)


def _validate_bucket_name():
    from botocore.handlers import validate_bucket_name

    return validate_bucket_name


@pytest.mark.parametrize("stem", ["with.dots.in", "0digits", "a-b--c"])
def test_names_that_are(account, stem):
    account.s3.head_bucket(Bucket=account.new_bucket(stem))


def test_a_bucket_with_something_in_it_stays(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused("BucketNotEmpty", 409, part="The bucket you tried to delete is not empty"):
        account.s3.delete_bucket(Bucket=bucket)
    account.s3.delete_object(Bucket=bucket, Key="k")
    account.s3.delete_bucket(Bucket=bucket)


def test_an_upload_in_progress_does_not_hold_a_bucket(account, bucket):
    account.s3.create_multipart_upload(Bucket=bucket, Key="k")
    account.s3.delete_bucket(Bucket=bucket)
    account.s3.create_bucket(Bucket=bucket)
    assert "Uploads" not in account.s3.list_multipart_uploads(Bucket=bucket)


def test_no_such_bucket(account):
    name = account.bucket_name("absent")
    calls = [
        lambda s3: s3.put_object(Bucket=name, Key="k", Body=b""),
        lambda s3: s3.get_object(Bucket=name, Key="k"),
        lambda s3: s3.list_objects_v2(Bucket=name),
        lambda s3: s3.list_objects(Bucket=name),
        lambda s3: s3.list_object_versions(Bucket=name),
        lambda s3: s3.list_multipart_uploads(Bucket=name),
        lambda s3: s3.create_multipart_upload(Bucket=name, Key="k"),
        lambda s3: s3.delete_object(Bucket=name, Key="k"),
        lambda s3: s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k"}]}),
        lambda s3: s3.get_bucket_acl(Bucket=name),
        lambda s3: s3.get_bucket_policy(Bucket=name),
        lambda s3: s3.get_bucket_location(Bucket=name),
        lambda s3: s3.get_bucket_versioning(Bucket=name),
        lambda s3: s3.delete_bucket(Bucket=name),
    ]
    for call in calls:
        with refused("NoSuchBucket", 404, "The specified bucket does not exist"):
            call(account.s3)


def test_the_error_names_the_bucket(account):
    name = account.bucket_name("absent")
    try:
        account.s3.get_object(Bucket=name, Key="k")
    except account.s3.exceptions.NoSuchBucket as error:
        assert error.response["Error"]["BucketName"] == name
        meta = error.response["ResponseMetadata"]
        assert meta["RequestId"] and meta["HostId"]
    else:
        raise AssertionError("there is no such bucket")


def test_a_bucket_of_somebody_else(account, other):
    name = account.new_bucket()
    account.s3.put_object(Bucket=name, Key="k", Body=b"secret")
    with refused("403", 403):
        other.s3.head_bucket(Bucket=name)
    calls = [
        lambda: other.s3.get_object(Bucket=name, Key="k"),
        lambda: other.s3.put_object(Bucket=name, Key="k", Body=b"theirs"),
        lambda: other.s3.list_objects_v2(Bucket=name),
        lambda: other.s3.delete_object(Bucket=name, Key="k"),
        lambda: other.s3.delete_bucket(Bucket=name),
        lambda: other.s3.get_bucket_acl(Bucket=name),
    ]
    for call in calls:
        with refused("AccessDenied", 403):
            call()
    assert account.s3.get_object(Bucket=name, Key="k")["Body"].read() == b"secret"


def test_expected_bucket_owner(account, other, bucket):
    account.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.id)
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ExpectedBucketOwner=account.id)
    with refused("AccessDenied", 403):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ExpectedBucketOwner=other.id)
    with refused("AccessDenied", 403):
        account.s3.list_objects_v2(Bucket=bucket, ExpectedBucketOwner=other.id)


def test_an_operation_that_is_not_served_says_so(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused("NotImplemented", 501, part="GetObjectTorrent"):
        account.s3.get_object_torrent(Bucket=bucket, Key="k")


def test_a_member_that_is_refused_names_itself(account, bucket):
    headers = [("x-amz-object-lock-event-hold", "ON")]
    answer = wire.call(account, "PUT", f"/{bucket}/k", b"x", headers)
    assert (answer.status, answer.code) == (501, "NotImplemented"), answer
    assert "ObjectLockEventHold" in answer.message
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_only_directory_buckets_append(account, bucket):
    headers = [("x-amz-write-offset-bytes", "1")]
    answer = wire.call(account, "PUT", f"/{bucket}/k", b"x", headers)
    assert (answer.status, answer.code) == (501, "NotImplemented"), answer
    assert answer.message == "A header you provided implies functionality that is not implemented"
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_defaults_of_today(own_cloud):
    cloud = own_cloud("--bucket-defaults", "today")
    account = Account("700000000041", cloud)
    bucket = account.new_bucket()
    block = account.s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(block.values()) and len(block) == 4
    with refused("AccessControlListNotSupported", 400):
        account.s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    with refused("AccessDenied", 403):
        account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
            {**allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"), "Principal": "*"}))
