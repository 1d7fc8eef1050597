"""Who may do what with a bucket: policies of users and of the bucket, and access control lists."""

import datetime
import hashlib
import json

import pytest
import requests
import wire
from accounts import allow, denied, deny, policy, refused


def bucket_policy(account, bucket, *statements):
    account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(*statements))


def to(principal, effect, action, *resources, **more):
    return {"Effect": effect, "Principal": principal, "Action": action,
            "Resource": [f"arn:aws:s3:::{r}" for r in resources], **more}


def test_a_user_starts_with_nothing(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3 = account.client("s3", key=account.new_user("nobody"))
    arn = f"arn:aws:iam::{account.id}:user/nobody"

    def why(action, resource):
        return (
            f'User: {arn} is not authorized to perform: {action} on resource: "{resource}" '
            f"because no identity-based policy allows the {action} action"
        )

    where = f"arn:aws:s3:::{bucket}"
    with refused("AccessDenied", 403, why("s3:GetObject", f"{where}/k")):
        s3.get_object(Bucket=bucket, Key="k")
    with refused("AccessDenied", 403, why("s3:PutObject", f"{where}/k")):
        s3.put_object(Bucket=bucket, Key="k", Body=b"y")
    with refused("AccessDenied", 403, why("s3:ListBucket", where)):
        s3.list_objects_v2(Bucket=bucket)
    with refused("AccessDenied", 403, part="s3:ListAllMyBuckets"):
        s3.list_buckets()
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


# An operation, and the action that alone permits it.
OPERATIONS = [
    ("s3:ListAllMyBuckets", lambda s3, b: s3.list_buckets()),
    ("s3:CreateBucket", lambda s3, b: s3.create_bucket(Bucket=b + "-new")),
    ("s3:DeleteBucket", lambda s3, b: s3.delete_bucket(Bucket=b + "-empty")),
    ("s3:ListBucket", lambda s3, b: s3.head_bucket(Bucket=b)),
    ("s3:ListBucket", lambda s3, b: s3.list_objects(Bucket=b)),
    ("s3:ListBucket", lambda s3, b: s3.list_objects_v2(Bucket=b)),
    ("s3:ListBucketVersions", lambda s3, b: s3.list_object_versions(Bucket=b)),
    ("s3:ListBucketMultipartUploads", lambda s3, b: s3.list_multipart_uploads(Bucket=b)),
    ("s3:GetBucketLocation", lambda s3, b: s3.get_bucket_location(Bucket=b)),
    ("s3:GetBucketVersioning", lambda s3, b: s3.get_bucket_versioning(Bucket=b)),
    ("s3:PutBucketVersioning", lambda s3, b: s3.put_bucket_versioning(
        Bucket=b, VersioningConfiguration={"Status": "Suspended"})),
    ("s3:GetBucketPolicy", lambda s3, b: s3.get_bucket_policy(Bucket=b)),
    ("s3:PutBucketPolicy", lambda s3, b: s3.put_bucket_policy(
        Bucket=b, Policy=policy(to("*", "Deny", "s3:GetObjectTagging", b + "/x")))),
    ("s3:DeleteBucketPolicy", lambda s3, b: s3.delete_bucket_policy(Bucket=b)),
    ("s3:GetBucketAcl", lambda s3, b: s3.get_bucket_acl(Bucket=b)),
    ("s3:PutBucketAcl", lambda s3, b: s3.put_bucket_acl(Bucket=b, ACL="private")),
    ("s3:GetObject", lambda s3, b: s3.get_object(Bucket=b, Key="k")),
    ("s3:GetObject", lambda s3, b: s3.head_object(Bucket=b, Key="k")),
    ("s3:PutObject", lambda s3, b: s3.put_object(Bucket=b, Key="k", Body=b"y")),
    ("s3:DeleteObject", lambda s3, b: s3.delete_object(Bucket=b, Key="k")),
    ("s3:GetObjectAcl", lambda s3, b: s3.get_object_acl(Bucket=b, Key="k")),
    ("s3:PutObjectAcl", lambda s3, b: s3.put_object_acl(Bucket=b, Key="k", ACL="private")),
    ("s3:PutObject", lambda s3, b: s3.create_multipart_upload(Bucket=b, Key="m")),
]


@pytest.mark.parametrize("action,call", OPERATIONS, ids=[f"{n}-{o[0][3:]}" for n, o in enumerate(OPERATIONS)])
def test_each_operation_needs_its_action(account, bucket, action, call):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    account.s3.create_bucket(Bucket=bucket + "-empty")
    bucket_policy(account, bucket, to("*", "Deny", "s3:GetObjectTagging", bucket + "/x"))
    everything_else = {"Effect": "Allow", "NotAction": action, "Resource": "*"}
    without = account.client("s3", key=account.new_user("without", everything_else))
    codes = ("AccessDenied", "403")
    with refused(codes, 403):
        call(without, bucket)
    call(account.client("s3", key=account.new_user("with", allow(action))), bucket)


def test_a_version_needs_an_action_of_its_own(account, bucket):
    account.s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    version = account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    plain = account.client("s3", key=account.new_user("plain", allow("s3:GetObject")))
    plain.get_object(Bucket=bucket, Key="k")
    with denied("s3:GetObjectVersion"):
        plain.get_object(Bucket=bucket, Key="k", VersionId=version)
    both = account.client("s3", key=account.new_user("both", allow("s3:GetObjectVersion")))
    both.get_object(Bucket=bucket, Key="k", VersionId=version)
    with denied("s3:DeleteObjectVersion"):
        account.client("s3", key=account.new_user("del", allow("s3:DeleteObject"))).delete_object(
            Bucket=bucket, Key="k", VersionId=version
        )


def test_without_list_what_is_absent_is_forbidden(account, bucket):
    s3 = account.client("s3", key=account.new_user("u", allow("s3:GetObject")))
    with refused("AccessDenied", 403):
        s3.get_object(Bucket=bucket, Key="absent")
    s3 = account.client("s3", key=account.new_user("v", allow(["s3:GetObject", "s3:ListBucket"])))
    with refused("NoSuchKey", 404):
        s3.get_object(Bucket=bucket, Key="absent")


def test_a_copy_asks_for_both_ends(account):
    source, target = account.new_bucket("source"), account.new_bucket("target")
    account.s3.put_object(Bucket=source, Key="k", Body=b"x")
    take = allow("s3:GetObject", f"arn:aws:s3:::{source}/*")
    give = allow("s3:PutObject", f"arn:aws:s3:::{target}/*")
    copy = {"Bucket": target, "Key": "copy", "CopySource": {"Bucket": source, "Key": "k"}}
    for name, statements, action in (
        ("give", [give], "s3:GetObject"), ("take", [take], "s3:PutObject"),
    ):
        with refused("AccessDenied", 403):
            account.client("s3", key=account.new_user(name, *statements)).copy_object(**copy)
    account.client("s3", key=account.new_user("both", give, take)).copy_object(**copy)


def test_delete_many_is_decided_one_by_one(account, bucket):
    for key in ("mine/1", "theirs/1", "mine/2"):
        account.s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    user = account.new_user("u", allow("s3:DeleteObject", f"arn:aws:s3:::{bucket}/mine/*"))
    answer = account.client("s3", key=user).delete_objects(
        Bucket=bucket,
        Delete={"Objects": [{"Key": k} for k in ("mine/1", "theirs/1", "mine/2")]},
    )
    assert [d["Key"] for d in answer["Deleted"]] == ["mine/1", "mine/2"]
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("theirs/1", "AccessDenied")]
    assert [o["Key"] for o in account.s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["theirs/1"]


def test_conditions_on_the_request(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="home/u/k", Body=b"x")
    user = account.new_user(
        "u",
        allow("s3:ListBucket", Condition={"StringLike": {"s3:prefix": ["home/${aws:username}/*"]}}),
        allow("s3:GetObject", f"arn:aws:s3:::{bucket}/home/${{aws:username}}/*"),
    )
    s3 = account.client("s3", key=user)
    assert s3.list_objects_v2(Bucket=bucket, Prefix="home/u/")["KeyCount"] == 1
    with denied("s3:ListBucket"):
        s3.list_objects_v2(Bucket=bucket)
    with denied("s3:ListBucket"):
        s3.list_objects_v2(Bucket=bucket, Prefix="home/other/")
    s3.get_object(Bucket=bucket, Key="home/u/k")
    with denied("s3:GetObject"):
        s3.get_object(Bucket=bucket, Key="home/other/k")


class TestBucketPolicy:
    def test_put_get_delete(self, account, bucket):
        with refused("NoSuchBucketPolicy", 404, "The bucket policy does not exist"):
            account.s3.get_bucket_policy(Bucket=bucket)
        text = policy(to("*", "Allow", "s3:GetObject", f"{bucket}/*"))
        account.s3.put_bucket_policy(Bucket=bucket, Policy=text)
        got = account.s3.get_bucket_policy(Bucket=bucket)["Policy"]
        assert json.loads(got) == json.loads(text)
        account.s3.delete_bucket_policy(Bucket=bucket)
        with refused("NoSuchBucketPolicy", 404):
            account.s3.get_bucket_policy(Bucket=bucket)
        account.s3.delete_bucket_policy(Bucket=bucket)

    def test_public_reading(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"public")
        url = f"{account.endpoint}/{bucket}/k"
        assert requests.get(url).status_code == 403
        bucket_policy(account, bucket, to("*", "Allow", "s3:GetObject", f"{bucket}/*"))
        assert requests.get(url).content == b"public"
        assert requests.put(url, data=b"mine").status_code == 403
        assert requests.get(f"{account.endpoint}/{bucket}").status_code == 403
        account.s3.delete_bucket_policy(Bucket=bucket)
        answer = requests.get(url)
        assert answer.status_code == 403 and "<Code>AccessDenied</Code>" in answer.text
        assert "<Message>Access Denied</Message>" in answer.text

    def test_another_account(self, account, other, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        bucket_policy(account, bucket, to(
            {"AWS": f"arn:aws:iam::{other.id}:root"}, "Allow", "s3:GetObject", f"{bucket}/*"))
        other.s3.get_object(Bucket=bucket, Key="k")
        # The account is trusted, not each of its users: their own policies must allow it as well.
        with refused("AccessDenied", 403):
            other.client("s3", key=other.new_user("without")).get_object(Bucket=bucket, Key="k")
        user = other.new_user("with", allow("s3:GetObject"))
        other.client("s3", key=user).get_object(Bucket=bucket, Key="k")
        with refused("AccessDenied", 403):
            other.s3.put_object(Bucket=bucket, Key="k", Body=b"y")

    def test_a_user_of_the_same_account_needs_one_of_the_two(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        s3 = account.client("s3", key=account.new_user("u"))
        bucket_policy(account, bucket, to(
            {"AWS": f"arn:aws:iam::{account.id}:user/u"}, "Allow", "s3:GetObject", f"{bucket}/*"))
        s3.get_object(Bucket=bucket, Key="k")

    def test_deny_wins(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        s3 = account.client("s3", key=account.new_user("u", allow("s3:*")))
        s3.get_object(Bucket=bucket, Key="k")
        bucket_policy(account, bucket, to("*", "Deny", "s3:GetObject", f"{bucket}/*"))
        with refused("AccessDenied", 403, part="with an explicit deny in a resource-based policy"):
            s3.get_object(Bucket=bucket, Key="k")
        # Root too is denied; only the policy itself stays in its reach.
        with refused("AccessDenied", 403):
            account.s3.get_object(Bucket=bucket, Key="k")
        bucket_policy(account, bucket, to("*", "Deny", "s3:*", bucket, f"{bucket}/*"))
        account.s3.delete_bucket_policy(Bucket=bucket)
        account.s3.get_object(Bucket=bucket, Key="k")

    def test_not_principal(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        key = account.new_user("in", allow("s3:*"))
        out = account.new_user("out", allow("s3:*"))
        bucket_policy(account, bucket, {
            "Effect": "Deny", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*",
            "NotPrincipal": {"AWS": [f"arn:aws:iam::{account.id}:user/in",
                                     f"arn:aws:iam::{account.id}:root"]}})
        account.client("s3", key=key).get_object(Bucket=bucket, Key="k")
        with refused("AccessDenied", 403):
            account.client("s3", key=out).get_object(Bucket=bucket, Key="k")

    def test_from_an_address(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        url = f"{account.endpoint}/{bucket}/k"
        for range_, status in (("10.0.0.0/8", 403), ("127.0.0.0/8", 200)):
            bucket_policy(account, bucket, to(
                "*", "Allow", "s3:GetObject", f"{bucket}/*",
                Condition={"IpAddress": {"aws:SourceIp": range_}}))
            assert requests.get(url).status_code == status, range_

    def test_only_with_a_secure_connection(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        bucket_policy(account, bucket, to(
            "*", "Deny", "s3:GetObject", f"{bucket}/*",
            Condition={"Bool": {"aws:SecureTransport": "false"}}))
        with refused("AccessDenied", 403):
            account.s3.get_object(Bucket=bucket, Key="k")

    @pytest.mark.parametrize(
        "text,part",
        [
            ("not json", "Policies must be valid JSON and the first byte must be '{'"),
            ("{}", "Missing required field Statement"),
            ('{"Version":"2012-10-17","Statement":[]}', None),
            ('{"Version":"1999-01-01","Statement":[{"Effect":"Allow","Principal":"*",'
             '"Action":"s3:GetObject","Resource":"arn:aws:s3:::B/*"}]}', None),
            ('{"Version":"2012-10-17","Statement":[{"Effect":"Maybe","Principal":"*",'
             '"Action":"s3:GetObject","Resource":"arn:aws:s3:::B/*"}]}', "Invalid effect: Maybe"),
            ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow",'
             '"Action":"s3:GetObject","Resource":"arn:aws:s3:::B/*"}]}',
             "Missing required field Principal"),
            ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",'
             '"Action":"s3:GetObject","Resource":"arn:aws:s3:::somewhere-else/*"}]}',
             "Policy has invalid resource"),
            ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":'
             '{"AWS":"arn:aws:iam::B:nonsense"},'
             '"Action":"s3:GetObject","Resource":"arn:aws:s3:::B/*"}]}',
             "Invalid principal in policy"),
        ],
        ids=range(8),
    )
    def test_policies_that_are_none(self, account, bucket, text, part):
        with refused("MalformedPolicy", 400, part=part):
            account.s3.put_bucket_policy(Bucket=bucket, Policy=text.replace("B", bucket))
        with refused("NoSuchBucketPolicy"):
            account.s3.get_bucket_policy(Bucket=bucket)


ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


def grants(answer):
    return sorted(
        (g["Grantee"].get("URI") or "owner", g["Permission"]) for g in answer["Grants"]
    )


class TestLists:
    def test_private_is_the_default(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        for answer in (
            account.s3.get_bucket_acl(Bucket=bucket),
            account.s3.get_object_acl(Bucket=bucket, Key="k"),
        ):
            assert grants(answer) == [("owner", "FULL_CONTROL")]
            grantee = answer["Grants"][0]["Grantee"]
            assert grantee["Type"] == "CanonicalUser"
            assert grantee["ID"] == answer["Owner"]["ID"]

    CANNED = [
        ("public-read", [(ALL_USERS, "READ")]),
        ("public-read-write", [(ALL_USERS, "READ"), (ALL_USERS, "WRITE")]),
        ("authenticated-read", [(AUTHENTICATED, "READ")]),
        ("private", []),
    ]

    @pytest.mark.parametrize("name,expected", CANNED, ids=[c[0] for c in CANNED])
    def test_canned(self, account, bucket, name, expected):
        expected = sorted([*expected, ("owner", "FULL_CONTROL")])
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL=name)
        assert grants(account.s3.get_object_acl(Bucket=bucket, Key="k")) == expected
        account.s3.put_bucket_acl(Bucket=bucket, ACL=name)
        assert grants(account.s3.get_bucket_acl(Bucket=bucket)) == expected

    def test_public_read_of_an_object(self, account, bucket):
        url = f"{account.endpoint}/{bucket}/k"
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        assert requests.get(url).status_code == 403
        account.s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
        assert requests.get(url).content == b"x"
        assert requests.delete(url).status_code == 403
        account.s3.put_object_acl(Bucket=bucket, Key="k", ACL="private")
        assert requests.get(url).status_code == 403

    def test_a_public_bucket_is_listed_and_its_objects_stay_private(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        account.s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
        listed = requests.get(f"{account.endpoint}/{bucket}")
        assert listed.status_code == 200 and "<Key>k</Key>" in listed.text
        assert requests.get(f"{account.endpoint}/{bucket}/k").status_code == 403
        assert requests.put(f"{account.endpoint}/{bucket}/n", data=b"").status_code == 403

    def test_anybody_writes(self, account, bucket):
        account.s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
        assert requests.put(f"{account.endpoint}/{bucket}/n", data=b"theirs").status_code == 200

    def test_authenticated_read(self, account, other, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="authenticated-read")
        assert requests.get(f"{account.endpoint}/{bucket}/k").status_code == 403
        other.s3.get_object(Bucket=bucket, Key="k")

    def test_a_grant_to_one_account(self, account, other, bucket):
        theirs = other.s3.list_buckets()["Owner"]["ID"]
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", GrantRead=f'id="{theirs}"')
        other.s3.get_object(Bucket=bucket, Key="k")
        with refused("AccessDenied", 403):
            other.s3.get_object_acl(Bucket=bucket, Key="k")
        account.s3.put_object_acl(Bucket=bucket, Key="k", GrantReadACP=f'id="{theirs}"')
        other.s3.get_object_acl(Bucket=bucket, Key="k")
        with refused("AccessDenied", 403):
            other.s3.get_object(Bucket=bucket, Key="k")

    def test_a_list_in_a_body(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        owner = account.s3.get_object_acl(Bucket=bucket, Key="k")["Owner"]
        account.s3.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy={
            "Owner": owner,
            "Grants": [
                {"Grantee": {"Type": "CanonicalUser", "ID": owner["ID"]},
                 "Permission": "FULL_CONTROL"},
                {"Grantee": {"Type": "Group", "URI": ALL_USERS}, "Permission": "READ"},
            ]})
        assert requests.get(f"{account.endpoint}/{bucket}/k").content == b"x"
        with refused("AccessDenied", 403):
            account.s3.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy={
                "Owner": {"ID": "a" * 64}, "Grants": []})
        with refused("MalformedACLError", 400):
            account.s3.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy={"Grants": []})

    def test_nobody_and_nothing(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        with refused("InvalidArgument", 400):
            account.s3.put_object_acl(Bucket=bucket, Key="k", ACL="nonsense")
        with refused("InvalidArgument", 400, part="Invalid id"):
            account.s3.put_object_acl(Bucket=bucket, Key="k", GrantRead='id="nobody"')
        body = b"<AccessControlPolicy><Nonsense/></AccessControlPolicy>"
        answer = wire.call(account, "PUT", f"/{bucket}/k?acl=", body)
        assert (answer.status, answer.code) == (400, "MalformedACLError"), answer
        with refused("InvalidRequest", 400):
            account.s3.put_object_acl(
                Bucket=bucket, Key="k", ACL="private", GrantRead=f'uri="{ALL_USERS}"'
            )

    def test_a_deny_in_a_policy_beats_a_list(self, account, bucket):
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
        bucket_policy(account, bucket, to("*", "Deny", "s3:GetObject", f"{bucket}/*"))
        assert requests.get(f"{account.endpoint}/{bucket}/k").status_code == 403

    def test_setting_a_list_needs_its_action(self, account, bucket):
        user = account.new_user("u", allow("s3:PutObject"), deny("s3:PutObjectAcl"))
        s3 = account.client("s3", key=user)
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        with denied("s3:PutObjectAcl"):
            s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")


def test_tags_that_come_along_with_a_copy(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="secret=1")
    both = ["s3:GetObject", "s3:PutObject"]

    def copy(name, actions, **more):
        client = account.client("s3", key=account.new_user(name, allow(actions)))
        client.copy_object(
            Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"}, **more)

    with denied("s3:GetObjectTagging"):
        copy("neither", both)
    with denied("s3:PutObjectTagging"):
        copy("reads", [*both, "s3:GetObjectTagging"])
    copy("without", both, TaggingDirective="REPLACE")
    assert account.s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == []
    copy("all", [*both, "s3:GetObjectTagging", "s3:PutObjectTagging"])
    tags = account.s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"]
    assert tags == [{"Key": "secret", "Value": "1"}]


def test_a_bucket_unlike_others_takes_more_than_making_one(account):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html"""
    cases = [
        ({"ACL": "public-read"}, ["s3:PutBucketAcl"]),
        ({"ObjectOwnership": "BucketOwnerPreferred"}, ["s3:PutBucketOwnershipControls"]),
        ({"ObjectLockEnabledForBucket": True},
         ["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]),
        ({"CreateBucketConfiguration": {"Tags": [{"Key": "a", "Value": "1"}]}},
         ["s3:TagResource"]),
    ]
    makes = account.client("s3", key=account.new_user("makes", allow("s3:CreateBucket")))
    makes.create_bucket(Bucket=account.bucket_name())
    for nth, (more, actions) in enumerate(cases):
        with denied(actions[0]):
            makes.create_bucket(Bucket=account.bucket_name(), **more)
        user = account.new_user(f"u{nth}", allow(["s3:CreateBucket", *actions]))
        name = account.bucket_name()
        account.client("s3", key=user).create_bucket(Bucket=name, **more)
    assert account.s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "a", "Value": "1"}]
    only = allow(["s3:CreateBucket", "s3:TagResource"],
                 Condition={"StringEquals": {"aws:RequestTag/team": "red"}})
    red = account.client("s3", key=account.new_user("red", only))
    with denied("s3:CreateBucket"):
        red.create_bucket(Bucket=account.bucket_name())
    red.create_bucket(Bucket=account.bucket_name(), CreateBucketConfiguration={
        "Tags": [{"Key": "team", "Value": "red"}]})


def test_limits_of_retentions(account):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html"""
    bucket = account.new_bucket(ObjectLockEnabledForBucket=True)
    bucket_policy(account, bucket, to(
        {"AWS": account.id}, "Deny", "s3:PutObjectRetention", bucket + "/*",
        Condition={"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "10"}}))

    def until(days):
        return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)

    def put(key, days):
        account.s3.put_object(Bucket=bucket, Key=key, Body=b"x", ObjectLockMode="GOVERNANCE",
                              ObjectLockRetainUntilDate=until(days))

    put("k", 9.5)
    with denied("s3:PutObjectRetention"):
        put("l", 11)
    with denied("s3:PutObjectRetention"):
        account.s3.put_object_retention(Bucket=bucket, Key="k", Retention={
            "Mode": "GOVERNANCE", "RetainUntilDate": until(12)})
    account.s3.put_object_retention(Bucket=bucket, Key="k", Retention={
        "Mode": "GOVERNANCE", "RetainUntilDate": until(9.9)})


def test_only_writes_with_a_condition(account, bucket):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html"""
    s3 = account.s3
    bucket_policy(account, bucket, to(
        {"AWS": account.id}, "Deny", "s3:PutObject", bucket + "/*", Condition={
            "Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}))
    with denied("s3:PutObject"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfNoneMatch="*")
    source = {"Bucket": bucket, "Key": "k"}
    with denied("s3:PutObject"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    upload = {"Bucket": bucket, "Key": "m"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    tags = [s3.upload_part(**upload, PartNumber=1, Body=bytes(5 << 20))["ETag"],
            s3.upload_part_copy(**upload, PartNumber=2, CopySource=source)["CopyPartResult"]["ETag"]]
    parts = {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]}
    with denied("s3:PutObject"):
        s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    s3.complete_multipart_upload(**upload, MultipartUpload=parts, IfNoneMatch="*")


def test_a_presigned_body_is_unsigned_whatever_the_request_says(account, bucket):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html"""
    bucket_policy(account, bucket, to(
        {"AWS": account.id}, "Deny", "s3:PutObject", bucket + "/*",
        Condition={"StringEquals": {"s3:x-amz-content-sha256": "UNSIGNED-PAYLOAD"}}))
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    v4 = account.client("s3", signature_version="s3v4")
    url = v4.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"})
    for headers in ({}, {"x-amz-content-sha256": hashlib.sha256(b"y").hexdigest()}):
        assert requests.put(url, data=b"y", headers=headers).status_code == 403, headers
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_whose_the_resource_is(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for key in ("aws:ResourceAccount", "s3:ResourceAccount"):
        here = {"StringEquals": {key: account.id}}
        name = key.split(":")[0]
        user = account.new_user(name, allow("*", Condition=here))
        account.client("s3", key=user).get_object(Bucket=bucket, Key="k")
    account.client("iam", key=account.new_user("own", allow("*", Condition={
        "StringEquals": {"aws:ResourceAccount": account.id}}))).list_users()
