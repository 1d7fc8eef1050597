"""Replication with real clients: as a role whose policies decide, within an account and into another."""

import pytest
from accounts import allow, policy, refused, trust
from deadline import wait_until

S3 = {"Service": "s3.amazonaws.com"}


WRITES = ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags",
          "s3:ObjectOwnerOverrideToBucketOwner"]


def permissions(source, target):
    """As the guide has them."""
    return policy(
        allow(["s3:GetReplicationConfiguration", "s3:ListBucket"], f"arn:aws:s3:::{source}"),
        allow(["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl",
               "s3:GetObjectVersionTagging"], f"arn:aws:s3:::{source}/*"),
        allow(WRITES, f"arn:aws:s3:::{target}/*"))


def versioned(account):
    name = account.new_bucket()
    account.s3.put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def make_role(account, source, target, principal=None):
    document = trust(principal or S3)
    role = account.iam.create_role(RoleName="copier", AssumeRolePolicyDocument=document)["Role"]
    account.iam.put_role_policy(
        RoleName="copier", PolicyName="p", PolicyDocument=permissions(source, target))
    return role["Arn"]


def rule(target, **more):
    return {"ID": "r", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Enabled"},
            "Destination": {"Bucket": f"arn:aws:s3:::{target}"}, **more}


def replicate(account, source, role, *rules):
    account.s3.put_bucket_replication(
        Bucket=source, ReplicationConfiguration={"Role": role, "Rules": list(rules)})


def settled(account, bucket, key):
    """How it stands when it is decided."""
    def state():
        status = account.s3.head_object(Bucket=bucket, Key=key)["ReplicationStatus"]
        return status != "PENDING" and status
    return wait_until(state, f"the copies of {key}")


def test_within_an_account(account):
    source, target = versioned(account), versioned(account)
    role = make_role(account, source, target)
    replicate(account, source, role, rule(target))
    got = account.s3.get_bucket_replication(Bucket=source)["ReplicationConfiguration"]
    assert got == {"Role": role, "Rules": [rule(target)]}
    put = account.s3.put_object(
        Bucket=source, Key="a/k", Body=b"x" * 300_000, Metadata={"m": "1"}, Tagging="t=1",
        ContentType="text/x")
    assert settled(account, source, "a/k") == "COMPLETED"
    copy = account.s3.get_object(Bucket=target, Key="a/k")
    assert copy["Body"].read() == b"x" * 300_000
    assert (copy["ReplicationStatus"], copy["VersionId"]) == ("REPLICA", put["VersionId"])
    assert (copy["Metadata"], copy["ContentType"]) == ({"m": "1"}, "text/x")
    tags = [{"Key": "t", "Value": "2"}]
    account.s3.put_object_tagging(Bucket=source, Key="a/k", Tagging={"TagSet": tags})

    def tagged():
        return account.s3.get_object_tagging(Bucket=target, Key="a/k")["TagSet"] == tags
    wait_until(tagged, "the new tag")
    account.s3.delete_object(Bucket=source, Key="a/k")

    def marked():
        return account.s3.list_object_versions(Bucket=target).get("DeleteMarkers")
    assert wait_until(marked, "the delete marker")[0]["Key"] == "a/k"
    with refused("InvalidBucketState", 409):
        account.s3.put_bucket_versioning(
            Bucket=source, VersioningConfiguration={"Status": "Suspended"})
    account.s3.delete_bucket_replication(Bucket=source)
    with refused("ReplicationConfigurationNotFoundError", 404):
        account.s3.get_bucket_replication(Bucket=source)


def test_an_upload_in_parts_and_a_copy(account):
    source, target = versioned(account), versioned(account)
    replicate(account, source, make_role(account, source, target), rule(target))
    upload = account.s3.create_multipart_upload(Bucket=source, Key="parts")["UploadId"]
    sizes = [5 << 20, 100]
    parts = []
    for number, size in enumerate(sizes, 1):
        done = account.s3.upload_part(
            Bucket=source, Key="parts", UploadId=upload, PartNumber=number, Body=b"p" * size)
        parts.append({"PartNumber": number, "ETag": done["ETag"]})
    account.s3.complete_multipart_upload(
        Bucket=source, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    account.s3.copy_object(
        Bucket=source, Key="copy", CopySource={"Bucket": source, "Key": "parts"})
    for key in ("parts", "copy"):
        assert settled(account, source, key) == "COMPLETED"
        own, there = (account.s3.head_object(Bucket=b, Key=key) for b in (source, target))
        assert own["ETag"] == there["ETag"] and own["ContentLength"] == sum(sizes)
    second = account.s3.get_object(Bucket=target, Key="parts", PartNumber=2)
    assert second["Body"].read() == b"p" * 100


def test_into_another_account(account, other):
    source, target = versioned(account), versioned(other)
    role = make_role(account, source, target)
    theirs = rule(target, Destination={
        "Bucket": f"arn:aws:s3:::{target}", "Account": other.id,
        "AccessControlTranslation": {"Owner": "Destination"}})
    replicate(account, source, role, theirs)
    account.s3.put_object(Bucket=source, Key="early", Body=b"1")
    # The bucket's policy must let the role in.
    assert settled(account, source, "early") == "FAILED"
    lets_in = allow(WRITES, f"arn:aws:s3:::{target}/*", Principal={"AWS": role})
    other.s3.put_bucket_policy(Bucket=target, Policy=policy(lets_in))
    account.s3.put_object(Bucket=source, Key="late", Body=b"2")
    assert settled(account, source, "late") == "COMPLETED"
    acl = other.s3.get_object_acl(Bucket=target, Key="late")
    own = other.s3.list_buckets()["Owner"]["ID"]
    assert acl["Owner"]["ID"] == own and [g["Grantee"]["ID"] for g in acl["Grants"]] == [own]
    assert [o["Key"] for o in other.s3.list_objects_v2(Bucket=target)["Contents"]] == ["late"]


def test_a_role_that_does_not_trust_s3(account):
    source, target = versioned(account), versioned(account)
    ec2 = {"Service": "ec2.amazonaws.com"}
    replicate(account, source, make_role(account, source, target, ec2), rule(target))
    account.s3.put_object(Bucket=source, Key="k", Body=b"1")
    assert settled(account, source, "k") == "FAILED"
    assert account.s3.list_objects_v2(Bucket=target)["KeyCount"] == 0


def test_who_may_hand_over_the_role(account):
    source, target = versioned(account), versioned(account)
    role = make_role(account, source, target)
    carol = account.client("s3", key=account.new_user("carol", allow("s3:*")))
    document = {"Role": role, "Rules": [rule(target)]}
    with refused("AccessDenied", 403, part="iam:PassRole"):
        carol.put_bucket_replication(Bucket=source, ReplicationConfiguration=document)
    with refused("ReplicationConfigurationNotFoundError", 404):
        account.s3.get_bucket_replication(Bucket=source)


@pytest.mark.parametrize("change, code, text", [
    ({"Priority": None}, "InvalidRequest", "Priority must be specified for this version"),
    ({"Filter": {"Tag": {"Key": "a", "Value": "b"}}}, "InvalidRequest",
     "Delete marker replication is not supported if any Tag filter is specified."),
    ({"Destination": {"Bucket": "arn:aws:s3:::no-such-bucket-anywhere"}}, "InvalidRequest",
     "Destination bucket must exist."),
    ({"Destination": {"Bucket": "box"}}, "InvalidArgument", "Invalid bucket ARN"),
    ({"Status": "Maybe"}, "MalformedXML", ""),
])
def test_documents_that_make_no_sense(account, change, code, text):
    source, target = versioned(account), versioned(account)
    role = f"arn:aws:iam::{account.id}:role/r"
    bad = {name: value for name, value in {**rule(target), **change}.items() if value is not None}
    with refused(code, 400, part=text):
        replicate(account, source, role, bad)
    with refused("ReplicationConfigurationNotFoundError", 404):
        account.s3.get_bucket_replication(Bucket=source)
