"""Documents, names and tokens that are wrong in ways that people and attackers try: the service's own
error, and nothing changed."""

import json
import unicodedata

import pytest
import wire
from accounts import allow, policy, refused, trust

CN = "arn:aws-cn:s3:::b/*"


def filler(size, **more):
    """A policy of about so many characters, none of them white space, which does not count."""
    fill = "x" * (size - 150)
    return json.dumps({"Version": "2012-10-17", "Statement": [
        allow("s3:GetObject", f"arn:aws:s3:::b/{fill}", **more)]}, separators=(",", ":"))


class TestTooLarge:
    def test_inline(self, account):
        iam = account.iam
        iam.create_user(UserName="u")
        iam.create_group(GroupName="g")
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": account.id}))
        for kind, who, size in [("user", "u", 2048), ("group", "g", 5120), ("role", "r", 10240)]:
            put, names = getattr(iam, f"put_{kind}_policy"), getattr(iam, f"list_{kind}_policies")
            name = {f"{kind.title()}Name": who}
            text = f"Maximum policy size of {size} bytes exceeded for {kind} {who}"
            with refused("LimitExceeded", 409, text):
                put(**name, PolicyName="p", PolicyDocument=filler(size + 400))
            # All of one holder count together.
            put(**name, PolicyName="p", PolicyDocument=filler(size - 300))
            with refused("LimitExceeded", 409, text):
                put(**name, PolicyName="q", PolicyDocument=filler(500))
            assert names(**name)["PolicyNames"] == ["p"]

    def test_white_space_is_free(self, account):
        account.iam.create_user(UserName="u")
        document = filler(1800).replace('","', '",' + " " * 20_000 + '"')
        account.iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)

    def test_managed_and_trust(self, account):
        iam = account.iam
        with refused("LimitExceeded", 409, "Cannot exceed quota for PolicySize: 6144"):
            iam.create_policy(PolicyName="p", PolicyDocument=filler(6144 + 200))
        assert iam.list_policies(Scope="Local")["Policies"] == []
        people = [f"arn:aws:iam::{n:012d}:root" for n in range(100)]
        with refused("LimitExceeded", 409, "Cannot exceed quota for ACLSizePerRole: 2048"):
            iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": people}))
        assert iam.list_roles()["Roles"] == []

    def test_of_a_bucket(self, account, bucket):
        fill = [f"arn:aws:s3:::{bucket}/{n:0100d}" for n in range(200)]
        with refused("MalformedPolicy", 400, "Policy exceeds the maximum allowed document size."):
            account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
                allow("s3:GetObject", fill, Principal="*")))
        with refused("NoSuchBucketPolicy", 404):
            account.s3.get_bucket_policy(Bucket=bucket)

    def test_of_a_session(self, account):
        arn = account.iam.create_role(
            RoleName="r", AssumeRolePolicyDocument=trust({"AWS": account.id}))["Role"]["Arn"]
        sts = account.client("sts", account.new_user("u", allow("sts:AssumeRole")))
        with refused(("ValidationError", "PackedPolicyTooLarge"), 400):
            sts.assume_role(RoleArn=arn, RoleSessionName="s1", Policy=filler(2300))


class TestOtherPartitions:
    def test_in_policies(self, account, bucket):
        iam = account.iam
        text = f'Partition "aws-cn" is not valid for resource "{CN}".'
        with refused("MalformedPolicyDocument", 400, text):
            iam.create_policy(PolicyName="p", PolicyDocument=policy(allow("s3:*", CN)))
        assert iam.list_policies(Scope="Local")["Policies"] == []
        with refused("MalformedPolicy", 400):
            account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
                allow("s3:GetObject", f"arn:aws-cn:s3:::{bucket}/*", Principal="*")))
        with refused("MalformedPolicy", 400):
            account.s3.put_bucket_policy(Bucket=bucket, Policy=policy(
                allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*",
                      Principal={"AWS": f"arn:aws-cn:iam::{account.id}:root"})))
        with refused("NoSuchBucketPolicy", 404):
            account.s3.get_bucket_policy(Bucket=bucket)

    def test_in_trust(self, account):
        for principal in ({"AWS": f"arn:aws-us-gov:iam::{account.id}:root"},
                          {"AWS": f"arn:aws-cn:iam::{account.id}:user/u"}):
            with refused("MalformedPolicyDocument", 400, part="Invalid principal in policy"):
                account.iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust(principal))
        assert account.iam.list_roles()["Roles"] == []

    def test_in_names(self, account):
        iam = account.iam
        iam.create_user(UserName="u")
        for arn in ("arn:aws-cn:iam::aws:policy/AdministratorAccess",
                    f"arn:aws-us-gov:iam::{account.id}:policy/p"):
            with refused(("NoSuchEntity", "InvalidInput", "ValidationError")):
                iam.attach_user_policy(UserName="u", PolicyArn=arn)
            with refused(("NoSuchEntity", "InvalidInput", "ValidationError")):
                iam.get_policy(PolicyArn=arn)
        assert iam.list_attached_user_policies(UserName="u")["AttachedPolicies"] == []
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": account.id}))
        sts = account.client("sts", account.new_user("v", allow("sts:AssumeRole")))
        with refused(("AccessDenied", "ValidationError")):
            sts.assume_role(RoleArn=f"arn:aws-cn:iam::{account.id}:role/r", RoleSessionName="s1")


class TestTokensOfOthers:
    def test_of_another_bucket_or_listing(self, account, bucket):
        s3, second = account.s3, account.new_bucket()
        for name in (bucket, second):
            for key in ("a/1", "a/2", "b"):
                s3.put_object(Bucket=name, Key=key, Body=b"")
        token = s3.list_objects_v2(Bucket=bucket, MaxKeys=1)["NextContinuationToken"]
        wrong = ("InvalidArgument", 400, "The continuation token provided is incorrect")
        for where in ({"Bucket": second}, {"Bucket": bucket, "Prefix": "b"},
                      {"Bucket": bucket, "Delimiter": "/"}):
            with refused(*wrong):
                s3.list_objects_v2(**where, ContinuationToken=token)
        for bad in (token[:-1], token[1:], token * 2, "\u00fc" + token):
            with refused(*wrong):
                s3.list_objects_v2(Bucket=bucket, ContinuationToken=bad)
        rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=token)
        assert [o["Key"] for o in rest["Contents"]] == ["a/2", "b"]

    def test_of_another_account_or_call(self, account, other):
        for one in (account, other):
            for name in "abc":
                one.iam.create_user(UserName=name)
                one.iam.create_group(GroupName=name)
        marker = account.iam.list_users(MaxItems=1)["Marker"]
        for ask in (lambda: other.iam.list_users(Marker=marker),
                    lambda: account.iam.list_groups(Marker=marker),
                    lambda: account.iam.list_users(Marker=marker, PathPrefix="/x/"),
                    lambda: account.iam.list_users(Marker=marker[:-2])):
            with refused(("ValidationError", "InvalidInput"), 400):
                ask()
        rest = account.iam.list_users(Marker=marker)["Users"]
        assert [user["UserName"] for user in rest] == ["b", "c"]

    def test_a_session_of_another_account(self, account, other):
        keys = []
        for one in (account, other):
            user = one.client("sts", one.new_user("u", allow("s3:*")))
            got = user.get_session_token()["Credentials"]
            keys.append((got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"]))
        mine, theirs = keys
        bucket = other.new_bucket()
        for key in ((*mine[:2], theirs[2]), (mine[0], theirs[1], theirs[2]), (theirs[0], *mine[1:])):
            with refused(("InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch")):
                account.client("s3", key).put_object(Bucket=bucket, Key="k", Body=b"")
        assert account.s3.list_objects_v2(Bucket=account.new_bucket())["KeyCount"] == 0
        other.client("s3", theirs).put_object(Bucket=bucket, Key="k", Body=b"")

    def test_an_upload_of_another_key_or_bucket(self, account, bucket):
        s3, second = account.s3, account.new_bucket()
        upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        for where in ({"Bucket": bucket, "Key": "other"}, {"Bucket": second, "Key": "k"}):
            with refused("NoSuchUpload", 404):
                s3.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x")
            with refused("NoSuchUpload", 404):
                s3.abort_multipart_upload(**where, UploadId=upload)
        assert len(s3.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 1

    def test_a_version_of_another_key(self, account, bucket):
        s3 = account.s3
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        version = s3.put_object(Bucket=bucket, Key="a", Body=b"secret")["VersionId"]
        s3.put_object(Bucket=bucket, Key="b", Body=b"")
        with refused("NoSuchVersion", 404):
            s3.get_object(Bucket=bucket, Key="b", VersionId=version)
        s3.delete_object(Bucket=bucket, Key="b", VersionId=version)
        assert s3.get_object(Bucket=bucket, Key="a", VersionId=version)["Body"].read() == b"secret"


FORMS = ["NFC", "NFD", "NFKC", "NFKD"]


def test_keys_are_bytes_whatever_they_look_like(account, bucket):
    """One letter has several spellings: each is a key of its own, in policies too."""
    s3 = account.s3
    keys = sorted({unicodedata.normalize(form, "é/Å/ﬁ/①") for form in FORMS}, key=str.encode)
    assert len(keys) == 4
    looks = ["K", "\u212a", "k", "a\u200db", "ab", "a\u0000b"[:1] + "\u202eb", "\u00ad", "x/../y", "x/./y", "y"]
    keys = sorted({*keys, *looks}, key=str.encode)
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [entry["Key"] for entry in listed] == keys
    for key in keys:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    for form in FORMS:
        prefix = unicodedata.normalize(form, "é")
        found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
        assert {entry["Key"] for entry in found} == {k for k in keys if k.startswith(prefix)}
    one = unicodedata.normalize("NFC", "é/Å/ﬁ/①")
    user = account.client("s3", account.new_user(
        "u", allow("s3:GetObject", f"arn:aws:s3:::{bucket}/{one}")))
    assert user.get_object(Bucket=bucket, Key=one)["Body"].read() == one.encode()
    for key in keys:
        if key != one:
            with refused("AccessDenied", 403):
                user.get_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("path", ["%C0%AF", "%ED%A0%80", "%F4%90%80%80", "%FF", "a%C3"])
def test_keys_of_overlong_or_broken_utf_8(account, bucket, path):
    answer = wire.call(account, "PUT", f"/{bucket}/{path}", b"x")
    assert answer.status == 400, answer
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_names_of_users_that_only_look_alike(account):
    for name in ("é", "\u212a", "a\u200db", "u\u0000", "u/v", "u v", "u" * 65):
        with refused("ValidationError", 400):
            account.iam.create_user(UserName=name)
    account.iam.create_user(UserName="Same")
    with refused("EntityAlreadyExists", 409):
        account.iam.create_user(UserName="same")
    assert [user["UserName"] for user in account.iam.list_users()["Users"]] == ["Same"]


def test_contradictory_configurations(account, bucket):
    """Two answers to one question: none is taken."""
    s3 = account.s3
    rule = {"ID": "r", "Status": "Enabled"}
    for rules in (
        [{**rule, "Filter": {"Prefix": "a"}, "Prefix": "a", "Expiration": {"Days": 1}}],
        [{**rule, "Filter": {"Prefix": "a"}, "Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}],
        [{**rule, "Filter": {"Prefix": "a"}}],
        [{"Status": "Enabled", "Prefix": prefix, "Expiration": {"Days": 1}} for prefix in ("a", "a/b")],
        [{"Status": "Enabled", "Prefix": prefix, "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}]}
         for prefix in ("x/y", "")],
        [{**rule, "Filter": {"Prefix": "a"}, "Expiration": {"Days": 1}}] * 2,
        [{**rule, "Filter": {"Prefix": "a"}, "Expiration": {"Days": 5},
          "Transitions": [{"Days": 30, "StorageClass": "GLACIER"}]}],
    ):
        with refused(("MalformedXML", "InvalidRequest", "InvalidArgument"), 400):
            s3.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    with refused("NoSuchLifecycleConfiguration", 404):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    with refused(("InvalidArgument", "InvalidRequest", "MalformedXML"), 400):
        s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={
            "RedirectAllRequestsTo": {"HostName": "a"}, "IndexDocument": {"Suffix": "i"}})
    with refused("NoSuchWebsiteConfiguration", 404):
        s3.get_bucket_website(Bucket=bucket)
    with refused(("InvalidBucketState", "InvalidRequest"), (409)):
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}})
