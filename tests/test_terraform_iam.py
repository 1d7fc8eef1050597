"""The calls that Terraform's AWS provider (v5, v6) makes for resources of IAM and S3, in its order: what
is written is read back as it was written, so that a second plan finds nothing to change."""

import json

import pytest
from accounts import allow, policy, refused, trust
from botocore.exceptions import ClientError

TRUST = trust({"Service": "ec2.amazonaws.com"})
DOCUMENT = policy(allow("s3:GetObject", "arn:aws:s3:::b/*"))
TAGS = [{"Key": "Environment", "Value": "test"}, {"Key": "Name", "Value": "x"}]


def same(read, written):
    assert read == json.loads(written)


def read_role(iam, name):
    role = iam.get_role(RoleName=name)["Role"]
    names = iam.list_role_policies(RoleName=name)["PolicyNames"]
    inline = {n: iam.get_role_policy(RoleName=name, PolicyName=n)["PolicyDocument"] for n in names}
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    return role, inline, attached


def test_iam_role(account):
    iam = account.iam
    iam.create_role(
        RoleName="r", Path="/a/", AssumeRolePolicyDocument=TRUST, Description="d",
        MaxSessionDuration=7200, Tags=TAGS,
        PermissionsBoundary="arn:aws:iam::aws:policy/PowerUserAccess",
    )
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=DOCUMENT)
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    iam.attach_role_policy(RoleName="r", PolicyArn=managed)
    role, inline, attached = read_role(iam, "r")
    assert (role["Path"], role["Description"], role["MaxSessionDuration"]) == ("/a/", "d", 7200)
    assert role["Arn"] == f"arn:aws:iam::{account.id}:role/a/r"
    assert sorted(role["Tags"], key=lambda t: t["Key"]) == TAGS
    boundary = role["PermissionsBoundary"]["PermissionsBoundaryArn"]
    assert boundary == "arn:aws:iam::aws:policy/PowerUserAccess"
    same(role["AssumeRolePolicyDocument"], TRUST)
    same(inline["p"], DOCUMENT)
    assert [p["PolicyArn"] for p in attached] == [managed]

    other = trust({"Service": "lambda.amazonaws.com"})
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=other)
    iam.update_role(RoleName="r", MaxSessionDuration=3600, Description="")
    iam.untag_role(RoleName="r", TagKeys=["Name"])
    iam.delete_role_permissions_boundary(RoleName="r")
    role, _, _ = read_role(iam, "r")
    same(role["AssumeRolePolicyDocument"], other)
    assert role.get("Description", "") == "" and role["MaxSessionDuration"] == 3600
    assert role["Tags"] == TAGS[:1] and "PermissionsBoundary" not in role

    assert iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"] == []
    iam.detach_role_policy(RoleName="r", PolicyArn=managed)
    iam.delete_role_policy(RoleName="r", PolicyName="p")
    iam.delete_role(RoleName="r")
    with refused("NoSuchEntity", 404, "The role with name r cannot be found."):
        iam.get_role(RoleName="r")


def test_iam_policy(account):
    iam = account.iam
    arn = iam.create_policy(
        PolicyName="p", Path="/a/", Description="d", PolicyDocument=DOCUMENT, Tags=TAGS,
    )["Policy"]["Arn"]

    def read():
        got = iam.get_policy(PolicyArn=arn)["Policy"]
        version = iam.get_policy_version(PolicyArn=arn, VersionId=got["DefaultVersionId"])
        return got, version["PolicyVersion"]["Document"]

    got, document = read()
    assert (got["Path"], got["Description"], got["AttachmentCount"]) == ("/a/", "d", 0)
    assert sorted(got["Tags"], key=lambda t: t["Key"]) == TAGS
    same(document, DOCUMENT)
    for n in range(6):
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        if len(versions) >= 5:
            oldest = [v for v in versions if not v["IsDefaultVersion"]][-1]
            iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])
        changed = policy(allow("s3:GetObject", f"arn:aws:s3:::b{n}/*"))
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=changed, SetAsDefault=True)
        same(read()[1], changed)
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "Name", "Value": "y"}])
    iam.untag_policy(PolicyArn=arn, TagKeys=["Environment"])
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "Name", "Value": "y"}]
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=arn)
    with refused("NoSuchEntity", 404):
        iam.get_policy(PolicyArn=arn)


def test_iam_user_that_is_destroyed_by_force(account):
    iam = account.iam
    iam.create_user(UserName="u", Path="/", Tags=TAGS)
    iam.create_group(GroupName="g", Path="/a/")
    iam.add_user_to_group(GroupName="g", UserName="u")
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName="u")["Groups"]] == ["g"]
    key = iam.create_access_key(UserName="u")["AccessKey"]
    listed = iam.list_access_keys(UserName="u")["AccessKeyMetadata"]
    assert [(k["AccessKeyId"], k["Status"]) for k in listed] == [(key["AccessKeyId"], "Active")]
    iam.create_login_profile(UserName="u", Password="Secret-pass-1", PasswordResetRequired=True)
    assert iam.get_login_profile(UserName="u")["LoginProfile"]["PasswordResetRequired"] is True
    iam.create_service_specific_credential(UserName="u", ServiceName="codecommit.amazonaws.com")

    iam.remove_user_from_group(GroupName="g", UserName="u")
    iam.delete_access_key(UserName="u", AccessKeyId=key["AccessKeyId"])
    for own in iam.list_ssh_public_keys(UserName="u")["SSHPublicKeys"]:
        iam.delete_ssh_public_key(UserName="u", SSHPublicKeyId=own["SSHPublicKeyId"])
    assert iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"] == []
    assert iam.list_mfa_devices(UserName="u")["MFADevices"] == []
    iam.delete_login_profile(UserName="u")
    assert iam.list_signing_certificates(UserName="u")["Certificates"] == []
    for own in iam.list_service_specific_credentials(UserName="u")["ServiceSpecificCredentials"]:
        identifier = own["ServiceSpecificCredentialId"]
        iam.delete_service_specific_credential(
            UserName="u", ServiceSpecificCredentialId=identifier
        )
    iam.delete_user(UserName="u")
    iam.update_group(GroupName="g", NewGroupName="h", NewPath="/b/")
    assert iam.get_group(GroupName="h")["Group"]["Arn"] == f"arn:aws:iam::{account.id}:group/b/h"
    iam.delete_group(GroupName="h")


def test_iam_instance_profile(account):
    iam = account.iam
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="i", Path="/", Tags=TAGS)
    iam.add_role_to_instance_profile(InstanceProfileName="i", RoleName="r")
    got = iam.get_instance_profile(InstanceProfileName="i")["InstanceProfile"]
    assert [r["RoleName"] for r in got["Roles"]] == ["r"]
    assert sorted(got["Tags"], key=lambda t: t["Key"]) == TAGS
    iam.untag_instance_profile(InstanceProfileName="i", TagKeys=["Name"])
    assert iam.list_instance_profile_tags(InstanceProfileName="i")["Tags"] == TAGS[:1]
    iam.remove_role_from_instance_profile(InstanceProfileName="i", RoleName="r")
    iam.delete_instance_profile(InstanceProfileName="i")


def test_iam_openid_connect_provider(account):
    iam = account.iam
    thumbprint = "cf23df2207d99a74fbe169e3eba035e633b65d94"
    arn = iam.create_open_id_connect_provider(
        Url="https://accounts.example.com", ClientIDList=["one"], ThumbprintList=[thumbprint],
        Tags=TAGS,
    )["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{account.id}:oidc-provider/accounts.example.com"
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="two")
    got = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (got["Url"], got["ClientIDList"]) == ("accounts.example.com", ["one", "two"])
    assert got["ThumbprintList"] == [thumbprint]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with refused("NoSuchEntity", 404):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)


def test_iam_account_resources(account):
    iam = account.iam
    iam.create_account_alias(AccountAlias=f"a-{account.id}")
    assert iam.list_account_aliases()["AccountAliases"] == [f"a-{account.id}"]
    iam.update_account_password_policy(
        MinimumPasswordLength=14, RequireSymbols=True, RequireNumbers=True,
        RequireUppercaseCharacters=True, RequireLowercaseCharacters=True,
        AllowUsersToChangePassword=True,
    )
    got = iam.get_account_password_policy()["PasswordPolicy"]
    assert (got["MinimumPasswordLength"], got["ExpirePasswords"]) == (14, False)
    iam.delete_account_password_policy()
    role = iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")["Role"]
    assert role["Path"] == "/aws-service-role/ecs.amazonaws.com/"
    task = iam.delete_service_linked_role(RoleName=role["RoleName"])["DeletionTaskId"]
    status = iam.get_service_linked_role_deletion_status(DeletionTaskId=task)
    assert status["Status"] == "SUCCEEDED"


# What the provider reads of a bucket that sets nothing, and the codes that it takes for "not set".
BUCKET_READS = [
    ("head_bucket", None),
    ("get_bucket_policy", "NoSuchBucketPolicy"),
    ("get_bucket_acl", None),
    ("get_bucket_cors", "NoSuchCORSConfiguration"),
    ("get_bucket_website", "NoSuchWebsiteConfiguration"),
    ("get_bucket_versioning", None),
    ("get_bucket_accelerate_configuration", None),
    ("get_bucket_request_payment", None),
    ("get_bucket_logging", None),
    ("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
    ("get_bucket_replication", "ReplicationConfigurationNotFoundError"),
    ("get_bucket_encryption", None),
    ("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"),
    ("get_bucket_location", None),
    ("get_bucket_tagging", "NoSuchTagSet"),
]


@pytest.mark.parametrize("call, code", BUCKET_READS, ids=[call for call, _ in BUCKET_READS])
def test_s3_bucket_that_sets_nothing(account, bucket, call, code):
    try:
        getattr(account.s3, call)(Bucket=bucket)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code
    else:
        assert code is None, f"{call} should say {code}"
