"""IAM: users, keys, groups, roles, policies of every kind; the life of each, and its refusals."""

import json
import re

import pytest
from accounts import allow, denied, policy, refused, trust

DOCUMENT = policy(allow("s3:GetObject"))


def test_the_life_of_a_user(account):
    made = account.iam.create_user(UserName="alice", Path="/team/", Tags=[
        {"Key": "a", "Value": "1"}])["User"]
    assert made["Arn"] == f"arn:aws:iam::{account.id}:user/team/alice"
    assert re.fullmatch("AIDA[A-Z0-9]{17}", made["UserId"])
    got = account.iam.get_user(UserName="alice")["User"]
    assert (got["UserId"], got["Path"], got["Tags"]) == (
        made["UserId"], "/team/", [{"Key": "a", "Value": "1"}])
    account.iam.update_user(UserName="alice", NewUserName="bob", NewPath="/")
    assert account.iam.get_user(UserName="bob")["User"]["UserId"] == made["UserId"]
    with refused("NoSuchEntity", 404, "The user with name alice cannot be found."):
        account.iam.get_user(UserName="alice")
    account.iam.delete_user(UserName="bob")
    assert account.iam.list_users()["Users"] == []


def test_users_in_pages_and_below_a_path(account):
    for n in range(7):
        account.iam.create_user(UserName=f"u{n}", Path="/even/" if n % 2 == 0 else "/")
    pages = account.iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 3})
    assert [u["UserName"] for page in pages for u in page["Users"]] == [f"u{n}" for n in range(7)]
    even = account.iam.list_users(PathPrefix="/even/")["Users"]
    assert [u["UserName"] for u in even] == ["u0", "u2", "u4", "u6"]
    with refused("ValidationError", 400):
        account.iam.list_users(Marker="nonsense")


def test_names_taken_and_names_that_are_none(account):
    account.iam.create_user(UserName="alice")
    with refused("EntityAlreadyExists", 409, "User with name alice already exists."):
        account.iam.create_user(UserName="alice")
    with refused("EntityAlreadyExists", 409):
        account.iam.create_user(UserName="ALICE")
    with refused("ValidationError", 400, part="userName"):
        account.iam.create_user(UserName="sp ace")
    with refused("ValidationError", 400, part="userName"):
        account.iam.create_user(UserName="x" * 65)


def test_keys_of_root(account):
    key = account.iam.create_access_key()["AccessKey"]
    pair = key["AccessKeyId"], key["SecretAccessKey"]
    who = account.client("sts", key=pair).get_caller_identity()
    assert who["Arn"] == f"arn:aws:iam::{account.id}:root"
    assert account.client("s3", key=pair).list_buckets()["Buckets"] == []
    listed = account.iam.list_access_keys()["AccessKeyMetadata"]
    assert [one["AccessKeyId"] for one in listed] == [key["AccessKeyId"]]
    assert account.iam.get_account_summary()["SummaryMap"]["AccountAccessKeysPresent"] == 1
    account.iam.update_access_key(AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with refused("InvalidClientTokenId", 403):
        account.client("sts", key=pair).get_caller_identity()
    account.iam.delete_access_key(AccessKeyId=key["AccessKeyId"])
    assert account.iam.list_access_keys()["AccessKeyMetadata"] == []
    with refused("NoSuchEntity", 404):
        account.iam.delete_access_key(AccessKeyId=key["AccessKeyId"])


def test_keys(account):
    account.iam.create_user(UserName="u")
    key = account.iam.create_access_key(UserName="u")["AccessKey"]
    assert re.fullmatch("AKIA[A-Z0-9]{16}", key["AccessKeyId"])
    assert re.fullmatch("[A-Za-z0-9+/]{40}", key["SecretAccessKey"])
    assert key["Status"] == "Active"
    second = account.iam.create_access_key(UserName="u")["AccessKey"]
    with refused("LimitExceeded", 409, "Cannot exceed quota for AccessKeysPerUser: 2"):
        account.iam.create_access_key(UserName="u")
    listed = account.iam.list_access_keys(UserName="u")["AccessKeyMetadata"]
    assert {k["AccessKeyId"] for k in listed} == {key["AccessKeyId"], second["AccessKeyId"]}
    sts = account.client("sts", key=(key["AccessKeyId"], key["SecretAccessKey"]))
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{account.id}:user/u"
    account.iam.update_access_key(
        UserName="u", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with refused("InvalidClientTokenId", 403):
        sts.get_caller_identity()
    account.iam.update_access_key(UserName="u", AccessKeyId=key["AccessKeyId"], Status="Active")
    sts.get_caller_identity()
    account.iam.delete_access_key(UserName="u", AccessKeyId=key["AccessKeyId"])
    with refused("InvalidClientTokenId", 403, part="The security token included in the request is invalid"):
        sts.get_caller_identity()
    with refused("InvalidAccessKeyId", 403):
        account.client("s3", key=(key["AccessKeyId"], key["SecretAccessKey"])).list_buckets()


def test_a_user_with_things_stays(account):
    account.iam.create_user(UserName="u")
    key = account.iam.create_access_key(UserName="u")["AccessKey"]["AccessKeyId"]
    with refused("DeleteConflict", 409, "Cannot delete entity, must delete access keys first."):
        account.iam.delete_user(UserName="u")
    account.iam.delete_access_key(UserName="u", AccessKeyId=key)
    account.iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=DOCUMENT)
    with refused("DeleteConflict", 409, "Cannot delete entity, must delete policies first."):
        account.iam.delete_user(UserName="u")
    account.iam.delete_user_policy(UserName="u", PolicyName="p")
    arn = account.iam.create_policy(PolicyName="m", PolicyDocument=DOCUMENT)["Policy"]["Arn"]
    account.iam.attach_user_policy(UserName="u", PolicyArn=arn)
    with refused("DeleteConflict", 409, "Cannot delete entity, must detach all policies first."):
        account.iam.delete_user(UserName="u")
    with refused("DeleteConflict", 409):
        account.iam.delete_policy(PolicyArn=arn)
    account.iam.detach_user_policy(UserName="u", PolicyArn=arn)
    account.iam.create_group(GroupName="g")
    account.iam.add_user_to_group(GroupName="g", UserName="u")
    with refused("DeleteConflict", 409, "Cannot delete entity, must remove users from group first."):
        account.iam.delete_user(UserName="u")
    with refused("DeleteConflict", 409):
        account.iam.delete_group(GroupName="g")
    account.iam.remove_user_from_group(GroupName="g", UserName="u")
    account.iam.delete_user(UserName="u")
    account.iam.delete_group(GroupName="g")
    account.iam.delete_policy(PolicyArn=arn)


def test_inline_policies_of_all_three(account):
    account.iam.create_user(UserName="x")
    account.iam.create_group(GroupName="x")
    account.iam.create_role(RoleName="x", AssumeRolePolicyDocument=trust({"AWS": account.id}))
    for kind in ("user", "group", "role"):
        who = {f"{kind.title()}Name": "x"}
        put = getattr(account.iam, f"put_{kind}_policy")
        get = getattr(account.iam, f"get_{kind}_policy")
        names = getattr(account.iam, f"list_{kind}_policies")
        for name in ("b", "a"):
            put(**who, PolicyName=name, PolicyDocument=DOCUMENT)
        assert names(**who)["PolicyNames"] == ["a", "b"]
        got = get(**who, PolicyName="a")["PolicyDocument"]
        assert got == json.loads(DOCUMENT)
        put(**who, PolicyName="a", PolicyDocument=policy(allow("s3:PutObject")))
        got = get(**who, PolicyName="a")["PolicyDocument"]
        assert got["Statement"][0]["Action"] == "s3:PutObject"
        getattr(account.iam, f"delete_{kind}_policy")(**who, PolicyName="a")
        with refused("NoSuchEntity", 404):
            get(**who, PolicyName="a")


def test_managed_policies_and_their_versions(account):
    made = account.iam.create_policy(
        PolicyName="m", Path="/p/", Description="d", PolicyDocument=DOCUMENT)["Policy"]
    arn = made["Arn"]
    assert arn == f"arn:aws:iam::{account.id}:policy/p/m"
    assert made["DefaultVersionId"] == "v1" and made["AttachmentCount"] == 0
    with refused("EntityAlreadyExists", 409):
        account.iam.create_policy(PolicyName="m", PolicyDocument=DOCUMENT)
    for n in range(2, 6):
        account.iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=policy(allow(f"s3:Get{'x' * n}*")), SetAsDefault=n == 3)
    with refused("LimitExceeded", 409):
        account.iam.create_policy_version(PolicyArn=arn, PolicyDocument=DOCUMENT)
    assert account.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v3"
    versions = account.iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [v["VersionId"] for v in versions] == ["v5", "v4", "v3", "v2", "v1"]
    with refused("DeleteConflict", 409):
        account.iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    account.iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    account.iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    # A number is never given twice.
    again = account.iam.create_policy_version(PolicyArn=arn, PolicyDocument=DOCUMENT)
    assert again["PolicyVersion"]["VersionId"] == "v6"
    got = account.iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert got["Document"] == json.loads(DOCUMENT) and got["IsDefaultVersion"] is True


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_attaching(account, kind):
    if kind == "role":
        account.iam.create_role(RoleName="x", AssumeRolePolicyDocument=trust({"AWS": account.id}))
    else:
        getattr(account.iam, f"create_{kind}")(**{f"{kind.title()}Name": "x"})
    who = {f"{kind.title()}Name": "x"}
    arn = account.iam.create_policy(PolicyName="m", PolicyDocument=DOCUMENT)["Policy"]["Arn"]
    attach = getattr(account.iam, f"attach_{kind}_policy")
    attach(**who, PolicyArn=arn)
    attach(**who, PolicyArn=arn)
    attach(**who, PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    attached = getattr(account.iam, f"list_attached_{kind}_policies")(**who)["AttachedPolicies"]
    assert sorted(p["PolicyName"] for p in attached) == ["AmazonS3FullAccess", "m"]
    assert account.iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    entities = account.iam.list_entities_for_policy(PolicyArn=arn)
    assert [e[f"{kind.title()}Name"] for e in entities[f"Policy{kind.title()}s"]] == ["x"]
    detach = getattr(account.iam, f"detach_{kind}_policy")
    detach(**who, PolicyArn=arn)
    with refused("NoSuchEntity", 404):
        detach(**who, PolicyArn=arn)
    with refused("NoSuchEntity", 404):
        attach(**who, PolicyArn=f"arn:aws:iam::{account.id}:policy/absent")


@pytest.mark.parametrize(
    "name",
    ["AdministratorAccess", "AmazonS3FullAccess", "AmazonSNSFullAccess", "AmazonDynamoDBFullAccess",
     "AmazonEC2ContainerRegistryFullAccess", "AmazonSageMakerFullAccess",
     "AWSElasticBeanstalkWebTier", "AWSElasticBeanstalkWorkerTier",
     "service-role/AWSLambdaBasicExecutionRole", "service-role/AWSLambdaKinesisExecutionRole",
     "service-role/AmazonElasticMapReduceRole", "service-role/AmazonElasticMapReduceforEC2Role"],
)
def test_policies_of_aws(account, name):
    got = account.iam.get_policy(PolicyArn=f"arn:aws:iam::aws:policy/{name}")["Policy"]
    assert got["PolicyName"] == name.split("/")[-1]
    version = account.iam.get_policy_version(
        PolicyArn=got["Arn"], VersionId=got["DefaultVersionId"])["PolicyVersion"]
    assert version["Document"]["Statement"]


def test_list_policies_by_scope(account):
    account.iam.create_policy(PolicyName="m", PolicyDocument=DOCUMENT)
    local = account.iam.list_policies(Scope="Local")["Policies"]
    assert [p["PolicyName"] for p in local] == ["m"]
    pages = account.iam.get_paginator("list_policies").paginate(
        Scope="AWS", PaginationConfig={"PageSize": 5})
    names = {p["PolicyName"] for page in pages for p in page["Policies"]}
    assert "AdministratorAccess" in names and "m" not in names
    assert account.iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"] == []


def test_roles(account):
    document = trust({"Service": "lambda.amazonaws.com"})
    made = account.iam.create_role(
        RoleName="r", Path="/svc/", AssumeRolePolicyDocument=document, Description="d",
        MaxSessionDuration=7200, Tags=[{"Key": "a", "Value": "b"}])["Role"]
    assert made["Arn"] == f"arn:aws:iam::{account.id}:role/svc/r"
    assert re.fullmatch("AROA[A-Z0-9]{17}", made["RoleId"])
    got = account.iam.get_role(RoleName="r")["Role"]
    assert got["AssumeRolePolicyDocument"] == json.loads(document)
    assert (got["Description"], got["MaxSessionDuration"]) == ("d", 7200)
    account.iam.update_role(RoleName="r", Description="e", MaxSessionDuration=3600)
    assert account.iam.get_role(RoleName="r")["Role"]["Description"] == "e"
    account.iam.update_assume_role_policy(
        RoleName="r", PolicyDocument=trust({"Service": "ec2.amazonaws.com"}))
    got = account.iam.get_role(RoleName="r")["Role"]["AssumeRolePolicyDocument"]
    assert got["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}
    assert [r["RoleName"] for r in account.iam.list_roles(PathPrefix="/svc/")["Roles"]] == ["r"]
    with refused("NoSuchEntity", 404, "The role with name absent cannot be found."):
        account.iam.get_role(RoleName="absent")
    with refused("EntityAlreadyExists", 409, "Role with name r already exists."):
        account.iam.create_role(RoleName="r", AssumeRolePolicyDocument=document)
    account.iam.delete_role(RoleName="r")


def test_instance_profiles(account):
    account.iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": account.id}))
    made = account.iam.create_instance_profile(InstanceProfileName="p")["InstanceProfile"]
    assert made["Arn"] == f"arn:aws:iam::{account.id}:instance-profile/p" and made["Roles"] == []
    account.iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    with refused("LimitExceeded", 409):
        account.iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    got = account.iam.get_instance_profile(InstanceProfileName="p")["InstanceProfile"]
    assert [r["RoleName"] for r in got["Roles"]] == ["r"]
    of_role = account.iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"]
    assert [p["InstanceProfileName"] for p in of_role] == ["p"]
    with refused("DeleteConflict", 409):
        account.iam.delete_role(RoleName="r")
    with refused("DeleteConflict", 409):
        account.iam.delete_instance_profile(InstanceProfileName="p")
    account.iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    account.iam.delete_instance_profile(InstanceProfileName="p")
    account.iam.delete_role(RoleName="r")


def test_groups(account):
    made = account.iam.create_group(GroupName="g")["Group"]
    assert made["Arn"] == f"arn:aws:iam::{account.id}:group/g"
    for name in ("b", "a"):
        account.iam.create_user(UserName=name)
        account.iam.add_user_to_group(GroupName="g", UserName=name)
    got = account.iam.get_group(GroupName="g")
    assert [u["UserName"] for u in got["Users"]] == ["a", "b"]
    assert [g["GroupName"] for g in account.iam.list_groups_for_user(UserName="a")["Groups"]] == ["g"]
    assert [g["GroupName"] for g in account.iam.list_groups()["Groups"]] == ["g"]
    with refused("NoSuchEntity", 404):
        account.iam.add_user_to_group(GroupName="g", UserName="absent")


def test_tags(account):
    account.iam.create_user(UserName="u")
    account.iam.tag_user(UserName="u", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])
    account.iam.tag_user(UserName="u", Tags=[{"Key": "a", "Value": "2"}])
    tags = account.iam.list_user_tags(UserName="u")["Tags"]
    assert sorted((t["Key"], t["Value"]) for t in tags) == [("a", "2"), ("b", "")]
    account.iam.untag_user(UserName="u", TagKeys=["a"])
    assert [t["Key"] for t in account.iam.list_user_tags(UserName="u")["Tags"]] == ["b"]


@pytest.mark.parametrize(
    "document",
    ["not json", "[]", "{}", '{"Version":"2012-10-17"}',
     '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*"}]}',
     '{"Version":"2012-10-17","Statement":[{"Effect":"allow","Action":"s3:*","Resource":"*"}]}',
     '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"nocolon","Resource":"*"}]}',
     '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*",'
     '"Principal":"*"}]}',
     '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*",'
     '"Condition":{"NoSuchOperator":{"a":"b"}}}]}',
     '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"nonsense"}]}'],
    ids=range(10),
)
def test_documents_that_are_none(account, document):
    account.iam.create_user(UserName="u")
    with refused(("MalformedPolicyDocument", "ValidationError"), 400):
        account.iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)
    assert account.iam.list_user_policies(UserName="u")["PolicyNames"] == []


def test_a_user_starts_with_nothing(account):
    iam = account.client("iam", key=account.new_user("u"))
    arn = f"arn:aws:iam::{account.id}"
    with refused("AccessDenied", 403, (
        f"User: {arn}:user/u is not authorized to perform: iam:CreateUser on resource: "
        f"{arn}:user/new because no identity-based policy allows the iam:CreateUser action"
    )):
        iam.create_user(UserName="new")
    for action, call in (
        ("iam:ListUsers", iam.list_users),
        ("iam:GetUser", lambda: iam.get_user(UserName="u")),
        ("iam:CreateAccessKey", lambda: iam.create_access_key(UserName="u")),
        ("iam:ListRoles", iam.list_roles),
        ("iam:CreatePolicy", lambda: iam.create_policy(PolicyName="p", PolicyDocument=DOCUMENT)),
        ("iam:PutUserPolicy", lambda: iam.put_user_policy(
            UserName="u", PolicyName="p", PolicyDocument=DOCUMENT)),
    ):
        with denied(action):
            call()


def test_get_user_without_a_name_is_oneself(account):
    key = account.new_user("u", allow("iam:GetUser"))
    assert account.client("iam", key=key).get_user()["User"]["UserName"] == "u"
    assert account.iam.get_user()["User"]["Arn"] == f"arn:aws:iam::{account.id}:root"


def test_accounts_do_not_see_each_other(account, other):
    account.iam.create_user(UserName="u")
    account.iam.create_policy(PolicyName="m", PolicyDocument=DOCUMENT)
    assert other.iam.list_users()["Users"] == []
    assert other.iam.list_policies(Scope="Local")["Policies"] == []
    with refused("NoSuchEntity", 404):
        other.iam.get_user(UserName="u")
