"""STS: who am I, roles taken on, and sessions that end."""

import json
import re

import pytest
from accounts import allow, denied, policy, refused, trust
from botocore.exceptions import ClientError

ASSUME = allow("sts:AssumeRole")


def role(account, name="r", principal=None, **more):
    document = trust(principal or {"AWS": account.id}, **more)
    return account.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]


def assume(client, arn, name="session", **more):
    got = client.assume_role(RoleArn=arn, RoleSessionName=name, **more)["Credentials"]
    return got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"]


def test_who_am_i(account):
    got = account.sts.get_caller_identity()
    assert got["Arn"] == f"arn:aws:iam::{account.id}:root"
    assert (got["Account"], got["UserId"]) == (account.id, account.id)
    # Nobody can be forbidden to ask.
    key = account.new_user("u", {"Effect": "Deny", "Action": "*", "Resource": "*"})
    got = account.client("sts", key=key).get_caller_identity()
    assert got["Arn"] == f"arn:aws:iam::{account.id}:user/u"
    assert got["UserId"] == account.iam.get_user(UserName="u")["User"]["UserId"]


def test_assume_role(account):
    made = role(account)
    account.iam.put_role_policy(
        RoleName="r", PolicyName="p", PolicyDocument=policy(allow("s3:ListAllMyBuckets")))
    user = account.client("sts", key=account.new_user("u", ASSUME))
    answer = user.assume_role(RoleArn=made["Arn"], RoleSessionName="me", DurationSeconds=900)
    got = answer["Credentials"]
    assert re.fullmatch("ASIA[A-Z0-9]{16}", got["AccessKeyId"])
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{account.id}:assumed-role/r/me"
    assert answer["AssumedRoleUser"]["AssumedRoleId"] == f"{made['RoleId']}:me"
    key = got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"]
    me = account.client("sts", key=key).get_caller_identity()
    assert me["Arn"] == f"arn:aws:sts::{account.id}:assumed-role/r/me"
    assert me["UserId"] == f"{made['RoleId']}:me"
    s3 = account.client("s3", key=key)
    s3.list_buckets()
    with denied("s3:CreateBucket", f"User: arn:aws:sts::{account.id}:assumed-role/r/me"):
        s3.create_bucket(Bucket=account.bucket_name())


def test_a_session_needs_its_own_token(account):
    arn = role(account)["Arn"]
    user = account.client("sts", key=account.new_user("u", ASSUME))
    one, two = assume(user, arn), assume(user, arn)
    for key, codes in (
        (one[:2], ("InvalidClientTokenId", "InvalidAccessKeyId")),
        ((*one[:2], two[2]), ("InvalidClientTokenId", "InvalidToken")),
        ((*one[:2], "nonsense"), ("InvalidClientTokenId", "InvalidToken")),
        ((one[0], two[1], one[2]), "SignatureDoesNotMatch"),
    ):
        with refused(codes):
            account.client("sts", key=key).get_caller_identity()
    with refused(("InvalidToken", "InvalidAccessKeyId")):
        account.client("s3", key=(*one[:2], "nonsense")).list_buckets()
    account.client("sts", key=one).get_caller_identity()


def test_both_sides_must_agree(account, other):
    arn = role(account, principal={"AWS": other.id})["Arn"]
    user_arn = f"arn:aws:iam::{other.id}:user"
    with refused("AccessDenied", 403, part=(
        f"User: {user_arn}/without is not authorized to perform: sts:AssumeRole on resource: {arn}"
    )):
        assume(other.client("sts", key=other.new_user("without")), arn)
    assume(other.client("sts", key=other.new_user("with", ASSUME)), arn)
    # The owner's own users are not in the trust policy.
    with denied("sts:AssumeRole"):
        assume(account.client("sts", key=account.new_user("own", ASSUME)), arn)


def test_a_user_named_in_the_trust_needs_no_more(account):
    key = account.new_user("u")
    arn = role(account, principal={"AWS": f"arn:aws:iam::{account.id}:user/u"})["Arn"]
    assume(account.client("sts", key=key), arn)


def test_external_id(account, other):
    arn = role(account, principal={"AWS": other.id}, Condition={
        "StringEquals": {"sts:ExternalId": "agreed"}})["Arn"]
    sts = other.client("sts", key=other.new_user("u", ASSUME))
    assume(sts, arn, ExternalId="agreed")
    for wrong in ({}, {"ExternalId": "guessed"}):
        with denied("sts:AssumeRole"):
            assume(sts, arn, **wrong)


def test_root_cannot_assume(account):
    arn = role(account)["Arn"]
    with refused("AccessDenied", 403, part="Roles may not be assumed by root accounts."):
        assume(account.sts, arn)


def test_a_role_that_is_not_there_looks_like_one_that_is_not_ours(account):
    sts = account.client("sts", key=account.new_user("u", ASSUME))
    with denied("sts:AssumeRole"):
        assume(sts, f"arn:aws:iam::{account.id}:role/absent")


def test_a_session_policy_takes_away(account):
    arn = role(account)["Arn"]
    account.iam.put_role_policy(
        RoleName="r", PolicyName="p", PolicyDocument=policy(allow("s3:*")))
    sts = account.client("sts", key=account.new_user("u", ASSUME))
    narrow = policy(allow(["s3:ListAllMyBuckets", "iam:ListUsers"]))
    key = assume(sts, arn, Policy=narrow)
    account.client("s3", key=key).list_buckets()
    with refused("AccessDenied", 403, part="because no session policy allows the s3:CreateBucket action"):
        account.client("s3", key=key).create_bucket(Bucket=account.bucket_name())
    # What only the session policy allows is not allowed.
    with denied("iam:ListUsers"):
        account.client("iam", key=key).list_users()


def test_session_names_and_durations(account):
    arn = role(account)["Arn"]
    sts = account.client("sts", key=account.new_user("u", ASSUME))
    with refused("ValidationError", 400, part="roleSessionName"):
        assume(sts, arn, "with space")
    with refused("ValidationError", 400, (
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    )):
        assume(sts, arn, DurationSeconds=7200)
    with refused("MalformedPolicyDocument", 400):
        assume(sts, arn, Policy="nonsense")


def test_chained_roles(account):
    first, second = role(account, "first"), role(account, "second")
    account.iam.put_role_policy(RoleName="first", PolicyName="p", PolicyDocument=policy(ASSUME))
    sts = account.client("sts", key=account.new_user("u", ASSUME))
    key = assume(sts, first["Arn"], "one")
    key = assume(account.client("sts", key=key), second["Arn"], "two")
    me = account.client("sts", key=key).get_caller_identity()["Arn"]
    assert me == f"arn:aws:sts::{account.id}:assumed-role/second/two"


def test_get_session_token(account):
    key = account.new_user("u", allow("s3:ListAllMyBuckets"))
    got = account.client("sts", key=key).get_session_token()["Credentials"]
    session = got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"]
    me = account.client("sts", key=session).get_caller_identity()
    assert me["Arn"] == f"arn:aws:iam::{account.id}:user/u"
    account.client("s3", key=session).list_buckets()


def test_access_key_info(account):
    key = account.new_user("u")
    assert account.sts.get_access_key_info(AccessKeyId=key[0])["Account"] == account.id


def test_what_is_in_an_encoded_message(account, other):
    key = account.new_user("u", allow("s3:*"), {
        "Sid": "NoMachines", "Effect": "Deny", "Action": "ec2:RunInstances", "Resource": "*"})
    ec2 = account.client("ec2", key=key)

    def refusal(call, **more):
        with pytest.raises(ClientError) as caught:
            call(**more)
        error = caught.value.response["Error"]
        assert error["Code"] == "UnauthorizedOperation", error
        text, _, encoded = error["Message"].partition(" Encoded authorization failure message: ")
        return text, encoded

    text, encoded = refusal(ec2.run_instances, ImageId="ami-1", MinCount=1, MaxCount=1)
    assert text.startswith("You are not authorized to perform this operation.") and "RunInstances" in text
    decoded = account.sts.decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"]
    said = json.loads(decoded)
    assert (said["allowed"], said["explicitDeny"]) == (False, True)
    assert [one["statementId"] for one in said["matchedStatements"]["items"]] == ["NoMachines"]
    context = said["context"]
    assert context["principal"]["arn"] == f"arn:aws:iam::{account.id}:user/u"
    assert context["action"] == "ec2:RunInstances"
    keys = {one["key"].lower() for one in context["conditions"]["items"]}
    assert "aws:userid" in keys or "aws:username" in keys
    implicit = refusal(ec2.describe_vpcs)[1]
    decoded = account.sts.decode_authorization_message(EncodedMessage=implicit)["DecodedMessage"]
    assert json.loads(decoded)["explicitDeny"] is False

    # It is sealed for the account that was refused, whole, and only who may opens it.
    bad = "InvalidAuthorizationMessageException"
    with refused(bad, 400):
        other.sts.decode_authorization_message(EncodedMessage=encoded)
    for broken in (encoded[:-4] + "AAAA", encoded[4:], "x", "A" * 10240):
        with refused(bad, 400):
            account.sts.decode_authorization_message(EncodedMessage=broken)
    with denied("sts:DecodeAuthorizationMessage"):
        account.client("sts", key=key).decode_authorization_message(EncodedMessage=encoded)


def test_sessions_of_a_deleted_role_have_nothing(account):
    arn = role(account)["Arn"]
    account.iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=policy(allow("s3:*")))
    key = assume(account.client("sts", key=account.new_user("u", ASSUME)), arn)
    s3 = account.client("s3", key=key)
    s3.list_buckets()
    account.iam.delete_role_policy(RoleName="r", PolicyName="p")
    with denied("s3:ListAllMyBuckets"):
        s3.list_buckets()
    account.iam.delete_role(RoleName="r")
    with refused(("AccessDenied", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken"), 403):
        s3.list_buckets()


def test_a_trust_policy_names_real_principals(account):
    for wrong in ("arn:aws:iam::%s:user/absent" % account.id, "nonsense"):
        with refused("MalformedPolicyDocument", 400, part="Invalid principal in policy"):
            account.iam.create_role(
                RoleName="r", AssumeRolePolicyDocument=trust({"AWS": wrong}))


@pytest.mark.parametrize("document", ["nonsense", json.dumps({"Version": "2012-10-17"})])
def test_trust_policies_that_are_none(account, document):
    with refused("MalformedPolicyDocument", 400):
        account.iam.create_role(RoleName="r", AssumeRolePolicyDocument=document)
