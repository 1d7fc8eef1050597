"""IAM: what people rarely call, each operation once as it should go, and in the ways that it must not."""

import base64
import datetime
import hashlib
import hmac
import json
import struct
import time

import idp
import pytest
from accounts import allow, deny, policy, refused, trust
from cryptography.hazmat.primitives import serialization
from deadline import wait_until

GITHUB = "https://token.actions.githubusercontent.com"
TAGS = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]


def tags(answer):
    return {tag["Key"]: tag["Value"] for tag in answer["Tags"]}


@pytest.fixture(scope="module")
def pair():
    """A certificate and its key, in PEM."""
    own = idp.Idp()
    key = own.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return own.certificate.public_bytes(serialization.Encoding.PEM).decode(), key.decode(), own


def test_tags_of_all_that_has_them(account, pair):
    iam = account.iam
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": account.id}))
    iam.create_instance_profile(InstanceProfileName="i")
    assert [own["InstanceProfileName"] for own in iam.list_instance_profiles()["InstanceProfiles"]] == ["i"]
    iam.create_open_id_connect_provider(Url=GITHUB, ClientIDList=["c"])
    iam.upload_server_certificate(ServerCertificateName="s", CertificateBody=pair[0], PrivateKey=pair[1])
    serial = iam.create_virtual_mfa_device(VirtualMFADeviceName="m")["VirtualMFADevice"]["SerialNumber"]
    provider = f"arn:aws:iam::{account.id}:oidc-provider/token.actions.githubusercontent.com"
    for kind, name in (
        ("role", {"RoleName": "r"}), ("instance_profile", {"InstanceProfileName": "i"}),
        ("open_id_connect_provider", {"OpenIDConnectProviderArn": provider}),
        ("server_certificate", {"ServerCertificateName": "s"}), ("mfa_device", {"SerialNumber": serial}),
    ):
        getattr(iam, f"tag_{kind}")(**name, Tags=TAGS)
        assert tags(getattr(iam, f"list_{kind}_tags")(**name)) == {"a": "1", "b": "2"}, kind
        getattr(iam, f"untag_{kind}")(**name, TagKeys=["a"])
        assert tags(getattr(iam, f"list_{kind}_tags")(**name)) == {"b": "2"}, kind
        with refused("InvalidInput", 400):
            getattr(iam, f"tag_{kind}")(**name, Tags=[{"Key": "x", "Value": "1"}, {"Key": "X", "Value": "2"}])


def test_openid_providers(account):
    iam = account.iam
    arn = iam.create_open_id_connect_provider(
        Url=GITHUB, ClientIDList=["a"], ThumbprintList=["0" * 40])["OpenIDConnectProviderArn"]
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == [{"Arn": arn}]
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="b")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="a")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["1" * 40])
    kept = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (kept["ClientIDList"], kept["ThumbprintList"]) == (["b"], ["1" * 40])
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with refused("NoSuchEntity", 404):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)


def test_roles_that_are_bounded_and_described(account):
    iam = account.iam
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": account.id}), Description="old")
    bound = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    iam.put_role_permissions_boundary(RoleName="r", PermissionsBoundary=bound)
    assert iam.update_role_description(RoleName="r", Description="new")["Role"]["Description"] == "new"
    role = iam.get_role(RoleName="r")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == bound
    iam.delete_role_permissions_boundary(RoleName="r")
    assert "PermissionsBoundary" not in iam.get_role(RoleName="r")["Role"]
    with refused("NoSuchEntity", 404):
        iam.put_role_permissions_boundary(RoleName="none", PermissionsBoundary=bound)


def test_a_role_is_handed_on_only_by_who_may(account):
    iam = account.iam
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"Service": "ec2.amazonaws.com"}))
    iam.create_instance_profile(InstanceProfileName="i")
    own = account.client("iam", key=account.new_user("u", allow("iam:AddRoleToInstanceProfile")))
    with refused("AccessDenied", 403, part=f"iam:PassRole on resource: arn:aws:iam::{account.id}:role/r"):
        own.add_role_to_instance_profile(InstanceProfileName="i", RoleName="r")
    assert iam.get_instance_profile(InstanceProfileName="i")["InstanceProfile"]["Roles"] == []
    iam.put_user_policy(UserName="u", PolicyName="q", PolicyDocument=policy(allow(
        "iam:PassRole", f"arn:aws:iam::{account.id}:role/r",
        Condition={"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}})))
    own.add_role_to_instance_profile(InstanceProfileName="i", RoleName="r")


def test_passwords(account):
    iam = account.iam
    key = account.new_user("alice", allow("iam:ChangePassword", f"arn:aws:iam::{account.id}:user/alice"))
    iam.create_login_profile(UserName="alice", Password="First-1st", PasswordResetRequired=True)
    iam.update_login_profile(UserName="alice", Password="Second-2nd", PasswordResetRequired=False)
    assert iam.get_login_profile(UserName="alice")["LoginProfile"]["PasswordResetRequired"] is False
    own = account.client("iam", key=key)
    own.change_password(OldPassword="Second-2nd", NewPassword="Third-3rd")
    with refused("AccessDenied", 403):
        own.change_password(OldPassword="Second-2nd", NewPassword="Fourth-4th")
    with refused("PasswordPolicyViolation", 400):
        own.change_password(OldPassword="Third-3rd", NewPassword="short")
    iam.delete_login_profile(UserName="alice")
    with refused("NoSuchEntity", 404):
        iam.update_login_profile(UserName="alice", Password="Fifth-5th")


def test_the_alias_of_an_account(account):
    alias = f"corp-{account.id}"
    account.iam.create_account_alias(AccountAlias=alias)
    assert account.iam.list_account_aliases()["AccountAliases"] == [alias]
    with refused("NoSuchEntity", 404):
        account.iam.delete_account_alias(AccountAlias="other-alias")
    account.iam.delete_account_alias(AccountAlias=alias)
    assert account.iam.list_account_aliases()["AccountAliases"] == []


def test_server_certificates(account, pair):
    iam = account.iam
    body, key, _ = pair
    made = iam.upload_server_certificate(
        ServerCertificateName="web", CertificateBody=body, PrivateKey=key, CertificateChain=body)
    assert made["ServerCertificateMetadata"]["Expiration"].year == 2049
    kept = iam.get_server_certificate(ServerCertificateName="web")["ServerCertificate"]
    assert kept["CertificateBody"].strip() == body.strip() and kept["CertificateChain"].strip() == body.strip()
    iam.update_server_certificate(ServerCertificateName="web", NewServerCertificateName="www", NewPath="/x/")
    listed = iam.list_server_certificates(PathPrefix="/x/")["ServerCertificateMetadataList"]
    assert [one["ServerCertificateName"] for one in listed] == ["www"]
    other = idp.Idp().key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    with refused("KeyPairMismatch", 400):
        iam.upload_server_certificate(ServerCertificateName="bad", CertificateBody=body, PrivateKey=other)
    with refused("MalformedCertificate", 400):
        iam.upload_server_certificate(ServerCertificateName="bad", CertificateBody="x", PrivateKey=key)
    iam.delete_server_certificate(ServerCertificateName="www")
    assert iam.list_server_certificates()["ServerCertificateMetadataList"] == []


def test_keys_of_users_for_single_services(account, pair):
    iam = account.iam
    body, _, own = pair
    iam.create_user(UserName="u")
    made = iam.upload_signing_certificate(UserName="u", CertificateBody=body)["Certificate"]["CertificateId"]
    iam.update_signing_certificate(UserName="u", CertificateId=made, Status="Inactive")
    listed = iam.list_signing_certificates(UserName="u")["Certificates"]
    assert [(one["CertificateId"], one["Status"]) for one in listed] == [(made, "Inactive")]
    iam.delete_signing_certificate(UserName="u", CertificateId=made)

    line = own.key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    made = iam.upload_ssh_public_key(UserName="u", SSHPublicKeyBody=line.decode())["SSHPublicKey"]["SSHPublicKeyId"]
    iam.update_ssh_public_key(UserName="u", SSHPublicKeyId=made, Status="Inactive")
    kept = iam.get_ssh_public_key(UserName="u", SSHPublicKeyId=made, Encoding="SSH")["SSHPublicKey"]
    assert kept["Status"] == "Inactive" and kept["SSHPublicKeyBody"].split()[:2] == line.decode().split()
    iam.delete_ssh_public_key(UserName="u", SSHPublicKeyId=made)
    with refused("NoSuchEntity", 404):
        iam.get_ssh_public_key(UserName="u", SSHPublicKeyId=made, Encoding="SSH")
    with refused("InvalidPublicKey", 400):
        iam.upload_ssh_public_key(UserName="u", SSHPublicKeyBody="ssh-rsa AAAA")

    made = iam.create_service_specific_credential(
        UserName="u", ServiceName="codecommit.amazonaws.com")["ServiceSpecificCredential"]
    ident = made["ServiceSpecificCredentialId"]
    again = iam.reset_service_specific_credential(UserName="u", ServiceSpecificCredentialId=ident)
    assert again["ServiceSpecificCredential"]["ServicePassword"] != made["ServicePassword"]
    iam.update_service_specific_credential(UserName="u", ServiceSpecificCredentialId=ident, Status="Inactive")
    listed = iam.list_service_specific_credentials(UserName="u")["ServiceSpecificCredentials"]
    assert [one["Status"] for one in listed] == ["Inactive"]
    iam.delete_service_specific_credential(UserName="u", ServiceSpecificCredentialId=ident)


def code(seed, step):
    digest = hmac.new(base64.b32decode(seed), struct.pack(">q", step), hashlib.sha1).digest()
    at = digest[19] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def test_devices(account):
    iam = account.iam
    iam.create_user(UserName="u")
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="u")["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"]
    step = int(time.time()) // 30
    codes = {"AuthenticationCode1": code(seed, step - 1), "AuthenticationCode2": code(seed, step)}
    iam.enable_mfa_device(UserName="u", SerialNumber=serial, **codes)
    found = iam.get_mfa_device(SerialNumber=serial, UserName="u")
    assert found["SerialNumber"] == serial and found["EnableDate"] is not None
    with refused("InvalidAuthenticationCode", 403):
        iam.resync_mfa_device(
            UserName="u", SerialNumber=serial, AuthenticationCode1="000000", AuthenticationCode2="000001")
    codes = {"AuthenticationCode1": code(seed, step), "AuthenticationCode2": code(seed, step + 1)}
    iam.resync_mfa_device(UserName="u", SerialNumber=serial, **codes)
    with refused("DeleteConflict", 409):
        iam.delete_virtual_mfa_device(SerialNumber=serial)
    iam.deactivate_mfa_device(UserName="u", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []


def test_all_of_an_account_at_once(account):
    iam = account.iam
    account.new_user("alice", allow("s3:GetObject"))
    iam.create_group(GroupName="g")
    iam.add_user_to_group(GroupName="g", UserName="alice")
    arn = iam.create_policy(PolicyName="p", PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    iam.attach_group_policy(GroupName="g", PolicyArn=arn)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": account.id}))
    details = iam.get_account_authorization_details()
    user = details["UserDetailList"][0]
    assert (user["UserName"], user["GroupList"]) == ("alice", ["g"])
    assert user["UserPolicyList"][0]["PolicyDocument"] == json.loads(policy(allow("s3:GetObject")))
    assert details["GroupDetailList"][0]["AttachedManagedPolicies"][0]["PolicyArn"] == arn
    assert [role["RoleName"] for role in details["RoleDetailList"]] == ["r"]
    assert arn in [own["Arn"] for own in details["Policies"]]
    only = iam.get_account_authorization_details(Filter=["Role"])
    assert only["UserDetailList"] == [] and len(only["RoleDetailList"]) == 1
    iam.set_security_token_service_preferences(GlobalEndpointTokenVersion="v2Token")
    assert iam.get_account_summary()["SummaryMap"]["GlobalEndpointTokenVersion"] == 2


def test_who_used_what(account, bucket):
    iam = account.iam
    key = account.new_user("alice", allow("s3:*"))
    account.client("s3", key=key).list_objects_v2(Bucket=bucket)
    arn = f"arn:aws:iam::{account.id}:user/alice"
    granting = iam.list_policies_granting_service_access(Arn=arn, ServiceNamespaces=["s3", "iam"])
    found = {one["ServiceNamespace"]: one["Policies"] for one in granting["PoliciesGrantingServiceAccess"]}
    assert [own["PolicyName"] for own in found["s3"]] == ["p"] and found["iam"] == []

    def used():
        job = iam.generate_service_last_accessed_details(Arn=arn)["JobId"]
        details = iam.get_service_last_accessed_details(JobId=job)
        assert details["JobStatus"] == "COMPLETED"
        own = {one["ServiceNamespace"]: one for one in details["ServicesLastAccessed"]}["s3"]
        return job if own.get("LastAuthenticatedEntity") == arn else None

    job = wait_until(used, "noted", 20)
    entities = iam.get_service_last_accessed_details_with_entities(JobId=job, ServiceNamespace="s3")
    assert entities["JobStatus"] == "COMPLETED"
    assert [one["EntityInfo"]["Arn"] for one in entities["EntityDetailsList"]] == [arn]


def test_simulated_documents(account):
    iam = account.iam
    document = policy(
        allow("s3:GetObject", "arn:aws:s3:::b/*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        deny("s3:GetObject", "arn:aws:s3:::b/secret/*"),
    )

    def decisions(*resources, ip="10.1.2.3"):
        answer = iam.simulate_custom_policy(
            PolicyInputList=[document], ActionNames=["s3:GetObject"], ResourceArns=list(resources),
            ContextEntries=[{"ContextKeyName": "aws:SourceIp", "ContextKeyType": "ip", "ContextKeyValues": [ip]}])
        return [one["EvalDecision"] for one in answer["EvaluationResults"]]

    assert decisions("arn:aws:s3:::b/k", "arn:aws:s3:::b/secret/k", "arn:aws:s3:::c/k") == [
        "allowed", "explicitDeny", "implicitDeny"]
    assert decisions("arn:aws:s3:::b/k", ip="192.0.2.1") == ["implicitDeny"]
    keys = iam.get_context_keys_for_custom_policy(PolicyInputList=[document])["ContextKeyNames"]
    assert [key.lower() for key in keys] == ["aws:sourceip"]
    account.new_user("alice", json.loads(document)["Statement"][0])
    arn = f"arn:aws:iam::{account.id}:user/alice"
    keys = iam.get_context_keys_for_principal_policy(PolicySourceArn=arn)["ContextKeyNames"]
    assert [key.lower() for key in keys] == ["aws:sourceip"]
    with refused("InvalidInput", 400):
        iam.simulate_custom_policy(PolicyInputList=["{"], ActionNames=["s3:GetObject"])


def test_times_are_times(account):
    account.iam.create_user(UserName="u")
    made = account.iam.get_user(UserName="u")["User"]["CreateDate"]
    age = datetime.datetime.now(datetime.timezone.utc) - made
    assert abs(age.total_seconds()) < 60
