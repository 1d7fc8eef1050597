"""Access points with real clients, which put accounts, access points and aliases into host names."""

import json
import socket

import pytest
from accounts import allow, deny, policy, refused


@pytest.fixture
def named(account, monkeypatch):
    """An endpoint whose names below it lead to this machine, as they do in `cumulet shell`."""
    ask = socket.getaddrinfo

    def answer(host, *args, **more):
        below = isinstance(host, str) and host.endswith(".localhost")
        return ask("127.0.0.1" if below else host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return f"http://localhost:{account.cloud.address[1]}"


def test_with_boto3(account, bucket, named):
    control = account.client("s3control", endpoint=named)
    s3 = account.client("s3", endpoint=named)
    account.s3.put_object(Bucket=bucket, Key="a/k", Body=b"content")
    made = control.create_access_point(AccountId=account.id, Name="door", Bucket=bucket)
    arn = f"arn:aws:s3:us-east-1:{account.id}:accesspoint/door"
    assert made["AccessPointArn"] == arn and made["Alias"].endswith("-s3alias")
    for name in (arn, made["Alias"]):
        assert s3.get_object(Bucket=name, Key="a/k")["Body"].read() == b"content"
        s3.put_object(Bucket=name, Key="b", Body=b"new")
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=name)["Contents"]]
        assert keys == ["a/k", "b"]
        s3.delete_object(Bucket=name, Key="b")
    assert s3.head_bucket(Bucket=made["Alias"])["AccessPointAlias"]
    got = control.get_access_point(AccountId=account.id, Name="door")
    assert got["Bucket"] == bucket and got["NetworkOrigin"] == "Internet"
    listed = control.list_access_points(AccountId=account.id, Bucket=bucket)["AccessPointList"]
    assert [one["AccessPointArn"] for one in listed] == [arn]
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": arn + "/object/a/*"}]}
    control.put_access_point_policy(AccountId=account.id, Name="door", Policy=json.dumps(policy))
    kept = control.get_access_point_policy(AccountId=account.id, Name="door")["Policy"]
    assert json.loads(kept) == policy
    with refused("AccessDenied", 403):
        s3.get_object(Bucket=arn, Key="a/k")
    status = control.get_access_point_policy_status(AccountId=account.id, Name="door")
    assert not status["PolicyStatus"]["IsPublic"]
    control.delete_access_point_policy(AccountId=account.id, Name="door")
    assert s3.get_object(Bucket=arn, Key="a/k")["Body"].read() == b"content"
    with refused("BucketHasAccessPointsAttached", 400):
        account.s3.delete_object(Bucket=bucket, Key="a/k")
        account.s3.delete_bucket(Bucket=bucket)
    control.delete_access_point(AccountId=account.id, Name="door")
    # In a host name of ours it could have been a bucket.
    with refused(("NoSuchAccessPoint", "NoSuchBucket"), 404):
        s3.get_object(Bucket=arn, Key="a/k")


def test_who_comes_in_by_both(account, bucket, named):
    """Both the access point and the bucket let somebody in, and either can refuse."""
    control = account.client("s3control", endpoint=named)
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"content")
    arn = control.create_access_point(
        AccountId=account.id, Name="door", Bucket=bucket)["AccessPointArn"]
    s3 = account.client("s3", key=account.new_user("ann"), endpoint=named)

    def of(effect, resource, **more):
        return {"Effect": effect, "Principal": {"AWS": f"arn:aws:iam::{account.id}:user/ann"},
                "Action": "s3:GetObject", "Resource": resource, **more}

    control.put_access_point_policy(
        AccountId=account.id, Name="door", Policy=policy(of("Allow", arn + "/object/*")))
    with refused("AccessDenied", 403):
        s3.get_object(Bucket=arn, Key="k")
    objects = f"arn:aws:s3:::{bucket}/*"
    through = {"StringEquals": {"s3:DataAccessPointAccount": account.id}}
    lets_in = {**of("Allow", objects, Condition=through), "Principal": {"AWS": "*"}}
    account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(lets_in))
    assert s3.get_object(Bucket=arn, Key="k")["Body"].read() == b"content"
    with refused("AccessDenied", 403):
        s3.get_object(Bucket=bucket, Key="k")
    own = policy(allow("s3:*"), deny("s3:GetObject", objects))
    account.iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=own)
    with refused("AccessDenied", 403):
        s3.get_object(Bucket=arn, Key="k")
    account.iam.delete_user_policy(UserName="ann", PolicyName="p")
    account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(lets_in, of("Deny", objects)))
    with refused("AccessDenied", 403):
        s3.get_object(Bucket=arn, Key="k")


def test_what_an_account_blocks(account, bucket, named):
    control = account.client("s3control", endpoint=named)
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    nobody = account.client("s3", key="anonymous")
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    block = {"BlockPublicAcls": True, "IgnorePublicAcls": True,
             "BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    with refused("NoSuchPublicAccessBlockConfiguration", 404):
        control.get_public_access_block(AccountId=account.id)
    control.put_public_access_block(AccountId=account.id, PublicAccessBlockConfiguration=block)
    got = control.get_public_access_block(AccountId=account.id)
    assert got["PublicAccessBlockConfiguration"] == block
    with refused("AccessDenied", 403):
        nobody.get_object(Bucket=bucket, Key="k")
    with refused("AccessDenied", 403):
        account.s3.put_object(Bucket=bucket, Key="l", Body=b"x", ACL="public-read")
    with refused("AccessDenied", 403):
        control.get_public_access_block(AccountId="999999999999")
    control.delete_public_access_block(AccountId=account.id)
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_copies_from_an_access_point(account, bucket, named):
    control = account.client("s3control", endpoint=named)
    account.s3.put_object(Bucket=bucket, Key="in/ä b", Body=b"content")
    made = control.create_access_point(AccountId=account.id, Name="door", Bucket=bucket)
    for name, key in ((made["AccessPointArn"], "one"), (made["Alias"], "two")):
        account.s3.copy_object(
            Bucket=bucket, Key=key, CopySource={"Bucket": name, "Key": "in/ä b"})
        assert account.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"content"
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
        "Resource": made["AccessPointArn"] + "/object/in/*"}]}
    control.put_access_point_policy(
        AccountId=account.id, Name="door", Policy=json.dumps(policy))
    source = {"Bucket": made["AccessPointArn"], "Key": "in/ä b"}
    with refused("AccessDenied", 403):
        account.s3.copy_object(Bucket=bucket, Key="three", CopySource=source)
    # The way past the access point is as open as before.
    account.s3.copy_object(
        Bucket=bucket, Key="three", CopySource={"Bucket": bucket, "Key": "in/ä b"})
    gone = {**source, "Bucket": made["AccessPointArn"] + "s"}
    with refused("NoSuchAccessPoint", 404):
        account.s3.copy_object(Bucket=bucket, Key="four", CopySource=gone)


def test_tags(account, bucket, named):
    control = account.client("s3control", endpoint=named)
    made = control.create_access_point(
        AccountId=account.id, Name="door", Bucket=bucket, Tags=[{"Key": "a", "Value": "1"}])
    arn = made["AccessPointArn"]

    def tags():
        listed = control.list_tags_for_resource(AccountId=account.id, ResourceArn=arn)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in listed}

    def put(client, **given):
        client.tag_resource(AccountId=account.id, ResourceArn=arn, Tags=[
            {"Key": key, "Value": value} for key, value in given.items()])

    assert tags() == {"a": "1"}
    put(control, a="2", b="3")
    assert tags() == {"a": "2", "b": "3"}
    control.untag_resource(AccountId=account.id, ResourceArn=arn, TagKeys=["a", "c"])
    assert tags() == {"b": "3"}
    for bad in ({"aws:b": "3"}, {f"k{n}": "v" for n in range(50)}):
        with refused("InvalidRequest", 400):
            put(control, **bad)
    with refused("NoSuchAccessPoint", 404):
        control.list_tags_for_resource(AccountId=account.id, ResourceArn=arn + "s")
    # Who tags needs to be allowed, by the tags that are there.
    only = allow("s3:TagResource", Condition={"StringEquals": {"aws:ResourceTag/b": "3"}})
    tagger = account.client("s3control", key=account.new_user("u", only), endpoint=named)
    put(tagger, b="4")
    with refused("AccessDenied", 403):
        put(tagger, b="5")


def test_tags_of_a_bucket(account, bucket, named):
    control = account.client("s3control", endpoint=named)
    where = {"AccountId": account.id, "ResourceArn": f"arn:aws:s3:::{bucket}"}
    assert control.list_tags_for_resource(**where)["Tags"] == []
    control.tag_resource(**where, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    control.tag_resource(**where, Tags=[{"Key": "a", "Value": "3"}])
    expected = [{"Key": "a", "Value": "3"}, {"Key": "b", "Value": "2"}]
    assert control.list_tags_for_resource(**where)["Tags"] == expected
    assert account.s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == expected
    control.untag_resource(**where, TagKeys=["a", "b", "c"])
    with refused("NoSuchTagSet", 404):
        account.s3.get_bucket_tagging(Bucket=bucket)
    with refused("NoSuchBucket", 404):
        control.list_tags_for_resource(AccountId=account.id, ResourceArn="arn:aws:s3:::gone-" + bucket)
    # What the bucket's policy refuses is refused here too.
    account.s3.put_bucket_policy(Bucket=bucket, Policy=policy({
        "Effect": "Deny", "Principal": "*", "Action": "s3:TagResource",
        "Resource": f"arn:aws:s3:::{bucket}"}))
    with refused("AccessDenied", 403):
        control.tag_resource(**where, Tags=[{"Key": "a", "Value": "1"}])
