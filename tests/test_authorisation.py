"""All kinds of policies together, deciding requests to S3."""

import json

import pytest
from accounts import allow, denied, deny, policy, refused, trust

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


class TestPoliciesMeanWhoWasThere:
    """Users and roles in policies are who they were when it was put, whatever they are called now."""

    def test_a_user_in_a_bucket_policy(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        key = account.new_user("u")
        arn = f"arn:aws:iam::{account.id}:user"
        own_id = account.iam.get_user(UserName="u")["User"]["UserId"]
        account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
            allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": f"{arn}/u"},
                  Condition={"StringNotEquals": {"aws:UserAgent": f"{arn}/u"}})))

        def shown():
            (statement,) = json.loads(account.s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
            # What only says the same stays.
            assert statement["Condition"] == {"StringNotEquals": {"aws:UserAgent": f"{arn}/u"}}
            return statement["Principal"]["AWS"]

        user = account.client("s3", key)
        user.get_object(Bucket=bucket, Key="k")
        account.iam.update_user(UserName="u", NewUserName="v", NewPath="/a/")
        assert shown() == f"{arn}/a/v"
        user.get_object(Bucket=bucket, Key="k")
        # Another has the old name.
        impostor = account.client("s3", account.new_user("u"))
        with denied("s3:GetObject"):
            impostor.get_object(Bucket=bucket, Key="k")
        account.iam.delete_access_key(UserName="v", AccessKeyId=key[0])
        account.iam.delete_user(UserName="v")
        assert shown() == own_id
        account.iam.create_user(UserName="v", Path="/a/")
        key = account.iam.create_access_key(UserName="v")["AccessKey"]
        with denied("s3:GetObject"):
            account.client("s3", (key["AccessKeyId"], key["SecretAccessKey"])).get_object(
                Bucket=bucket, Key="k")
        assert shown() == own_id

    def test_a_role_in_a_bucket_policy(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        sts = account.client("sts", account.new_user("u", allow("sts:AssumeRole")))

        def session():
            made = account.iam.create_role(
                RoleName="r", AssumeRolePolicyDocument=trust({"AWS": account.id}))["Role"]
            got = sts.assume_role(RoleArn=made["Arn"], RoleSessionName="s1")["Credentials"]
            key = (got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])
            return made["Arn"], account.client("s3", key)

        arn, first = session()
        account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
            allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": arn})))
        first.get_object(Bucket=bucket, Key="k")
        account.iam.delete_role(RoleName="r")
        _, second = session()
        with denied("s3:GetObject"):
            second.get_object(Bucket=bucket, Key="k")
        assert '"AROA' in account.s3.get_bucket_policy(Bucket=bucket)["Policy"]

    def test_a_renamed_user_in_a_trust_policy(self, account):
        key = account.new_user("u")
        arn = f"arn:aws:iam::{account.id}:user"
        role = account.iam.create_role(
            RoleName="r", AssumeRolePolicyDocument=trust({"AWS": f"{arn}/u"}))["Role"]["Arn"]
        account.iam.update_user(UserName="u", NewUserName="v")
        read = account.iam.get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"]
        assert read["Statement"][0]["Principal"] == {"AWS": f"{arn}/v"}
        account.client("sts", key).assume_role(RoleArn=role, RoleSessionName="s1")
        with denied("sts:AssumeRole"):
            account.client("sts", account.new_user("u")).assume_role(
                RoleArn=role, RoleSessionName="s1")

    def test_who_is_not_there(self, account, bucket):
        for name in ("user/none", "role/none"):
            with refused("MalformedPolicy", 400, "Invalid principal in policy"):
                account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
                    allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*",
                          Principal={"AWS": f"arn:aws:iam::{account.id}:{name}"})))
        with refused("NoSuchBucketPolicy", 404):
            account.s3.get_bucket_policy(Bucket=bucket)


@pytest.mark.parametrize("resource", ["*", "arn:aws:s3:::*"])
def test_the_list_of_buckets_is_of_all_buckets(account, resource):
    """AWS's own examples give it on `arn:aws:s3:::*`."""
    key = account.new_user("u", allow("s3:ListAllMyBuckets", resource))
    account.client("s3", key).list_buckets()
    key = account.new_user("v", allow("s3:*"), deny("s3:ListAllMyBuckets", resource))
    with denied("s3:ListAllMyBuckets"):
        account.client("s3", key).list_buckets()
