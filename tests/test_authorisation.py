"""All kinds of policies together, deciding requests to S3."""

import pytest
from accounts import allow, denied, deny, policy, refused

CASES = [
    # what the statements are, and whether GetObject on a/b of the bucket is then allowed
    ([allow("*")], True),
    ([allow("s3:*")], True),
    ([allow("s3:Get*")], True),
    ([allow("S3:getobject")], True),
    ([allow("s3:Get?bject")], True),
    ([allow(["s3:PutObject", "s3:GetObject"])], True),
    ([allow("s3:GetObjec")], False),
    ([allow("s3:PutObject")], False),
    ([allow("iam:*")], False),
    ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], True),
    ([{"Effect": "Allow", "NotAction": "s3:Get*", "Resource": "*"}], False),
    ([allow("s3:GetObject", "arn:aws:s3:::BUCKET/a/b")], True),
    ([allow("s3:GetObject", "arn:aws:s3:::BUCKET/*")], True),
    ([allow("s3:GetObject", "arn:aws:s3:::BUCKET/A/b")], False),
    ([allow("s3:GetObject", "arn:aws:s3:::BUCKET")], False),
    ([allow("s3:GetObject", ["arn:aws:s3:::x/*", "arn:aws:s3:::BUCKET/a/?"])], True),
    ([{"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::BUCKET/a/*"}], False),
    ([{"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::BUCKET/c/*"}], True),
    ([allow("*"), deny("s3:GetObject")], False),
    ([deny("s3:GetObject", "arn:aws:s3:::BUCKET/c"), allow("*")], True),
    ([allow("*"), {"Effect": "Deny", "NotAction": "s3:GetObject", "Resource": "*"}], True),
    ([allow("*", Condition={"StringEquals": {"aws:username": "u"}})], True),
    ([allow("*", Condition={"StringEquals": {"aws:username": "v"}})], False),
    ([allow("*", Condition={"StringNotEquals": {"aws:username": "v"}})], True),
    ([allow("*", Condition={"StringEqualsIgnoreCase": {"aws:UserName": "U"}})], True),
    ([allow("*", Condition={"StringLike": {"aws:userid": "AIDA*"}})], True),
    ([allow("*", Condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/u"}})], True),
    ([allow("*", Condition={"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::*:role/u"}})], False),
    ([allow("*", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.1/32"}})], True),
    ([allow("*", Condition={"NotIpAddress": {"aws:SourceIp": "127.0.0.1"}})], False),
    ([allow("*", Condition={"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}})], True),
    ([allow("*", Condition={"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}})], False),
    ([allow("*", Condition={"NumericGreaterThan": {"aws:EpochTime": "1500000000"}})], True),
    ([allow("*", Condition={"Bool": {"aws:SecureTransport": "false"}})], True),
    ([allow("*", Condition={"Bool": {"aws:SecureTransport": "true"}})], False),
    ([allow("*", Condition={"Null": {"aws:TokenIssueTime": "true"}})], True),
    ([allow("*", Condition={"Null": {"aws:username": "true"}})], False),
    ([allow("*", Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}})], True),
    ([allow("*", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}})], False),
    ([allow("*", Condition={"StringEquals": {"aws:PrincipalTag/none": "x"}})], False),
    ([allow("*", Condition={"StringEqualsIfExists": {"aws:PrincipalTag/none": "x"}})], True),
    ([allow("*", Condition={"ForAnyValue:StringEquals": {"aws:TagKeys": "x"}})], False),
    ([allow("*", Condition={"ForAllValues:StringEquals": {"aws:TagKeys": "x"}})], True),
    ([allow("*", Condition={"StringEquals": {"aws:username": "u"},
                            "Bool": {"aws:SecureTransport": "true"}})], False),
    ([allow("s3:GetObject", "arn:aws:s3:::BUCKET/${aws:PrincipalTag/letter}/*")], True),
    ([allow("s3:GetObject", "arn:aws:s3:::BUCKET/${aws:username}/*")], False),
    ([allow("s3:GetObject", "arn:aws:s3:::BUCKET/${aws:PrincipalTag/none, 'a'}/b")], True),
    ([allow("s3:GetObject", "arn:aws:s3:::BUCKET/${*}/b")], False),
    ([], False),
]


@pytest.mark.parametrize("statements,allowed", CASES, ids=range(len(CASES)))
def test_statements(account, bucket, statements, allowed):
    account.s3.put_object(Bucket=bucket, Key="a/b", Body=b"x")
    key = account.new_user("u")
    account.iam.tag_user(UserName="u", Tags=[
        {"Key": "team", "Value": "red"}, {"Key": "letter", "Value": "a"}])
    if statements:
        document = policy(*statements).replace("BUCKET", bucket)
        account.iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)
    s3 = account.client("s3", key=key)
    if allowed:
        s3.get_object(Bucket=bucket, Key="a/b")
    else:
        with denied("s3:GetObject"):
            s3.get_object(Bucket=bucket, Key="a/b")


def test_the_text_of_an_explicit_deny(account, bucket):
    key = account.new_user("u", allow("*"), deny("s3:GetObject"))
    with refused("AccessDenied", 403, (
        f"User: arn:aws:iam::{account.id}:user/u is not authorized to perform: s3:GetObject on "
        f'resource: "arn:aws:s3:::{bucket}/k" with an explicit deny in an identity-based policy'
    )):
        account.client("s3", key=key).get_object(Bucket=bucket, Key="k")


def test_through_a_group(account, bucket):
    s3 = account.client("s3", key=account.new_user("u"))
    account.iam.create_group(GroupName="g")
    account.iam.put_group_policy(
        GroupName="g", PolicyName="p", PolicyDocument=policy(allow("s3:PutObject")))
    with denied("s3:PutObject"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    account.iam.add_user_to_group(GroupName="g", UserName="u")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    account.iam.attach_group_policy(
        GroupName="g", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    s3.get_object(Bucket=bucket, Key="k")
    account.iam.remove_user_from_group(GroupName="g", UserName="u")
    with denied("s3:GetObject"):
        s3.get_object(Bucket=bucket, Key="k")


def test_a_managed_policy_and_its_default_version(account, bucket):
    arn = account.iam.create_policy(
        PolicyName="m", PolicyDocument=policy(allow("s3:PutObject")))["Policy"]["Arn"]
    s3 = account.client("s3", key=account.new_user("u"))
    account.iam.attach_user_policy(UserName="u", PolicyArn=arn)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    account.iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=policy(allow("s3:GetObject")), SetAsDefault=True)
    s3.get_object(Bucket=bucket, Key="k")
    with denied("s3:PutObject"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")


def test_a_boundary_of_a_user(account, bucket):
    boundary = account.iam.create_policy(
        PolicyName="b", PolicyDocument=policy(allow(["s3:GetObject", "s3:ListBucket"])))["Policy"]["Arn"]
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3 = account.client("s3", key=account.new_user("u", allow("s3:GetObject"), allow("s3:PutObject")))
    account.iam.put_user_permissions_boundary(UserName="u", PermissionsBoundary=boundary)
    got = account.iam.get_user(UserName="u")["User"]["PermissionsBoundary"]
    assert got["PermissionsBoundaryArn"] == boundary
    s3.get_object(Bucket=bucket, Key="k")
    with denied("s3:PutObject", "because no permissions boundary allows the s3:PutObject action"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    # A boundary gives nothing by itself.
    with denied("s3:ListBucket"):
        s3.list_objects_v2(Bucket=bucket)
    account.iam.delete_user_permissions_boundary(UserName="u")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")


def test_a_change_is_seen_by_the_next_request(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3 = account.client("s3", key=account.new_user("u"))
    for _ in range(5):
        with denied("s3:GetObject"):
            s3.get_object(Bucket=bucket, Key="k")
        account.iam.put_user_policy(
            UserName="u", PolicyName="p", PolicyDocument=policy(allow("s3:GetObject")))
        s3.get_object(Bucket=bucket, Key="k")
        account.iam.delete_user_policy(UserName="u", PolicyName="p")


def test_only_the_owner_of_a_key_may_be_impersonated_by_it(account, other):
    """A key of one account shows nothing of another, whatever its policy says."""
    key = account.new_user("admin", allow("*"))
    name = other.new_bucket()
    with refused(("AccessDenied", "403"), 403):
        account.client("s3", key=key).list_objects_v2(Bucket=name)
    assert account.client("iam", key=key).list_users()["Users"][0]["UserName"] == "admin"
