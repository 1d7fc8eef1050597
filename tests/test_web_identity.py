"""Roles for web identities: a provider on this machine, tokens signed as real ones are; second factors;
what the trail says of a refusal."""

import base64
import hashlib
import hmac
import http.server
import json
import struct
import threading
import time

import pytest
import rsa
from accounts import allow, denied, policy, refused, trust
from cloud import cumulet
from deadline import wait_until


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Issuer:
    """Publishes a key set and signs tokens with its key."""

    def __init__(self):
        self.public, self.private = rsa.newkeys(2048)
        issuer = self

        class Pages(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                document = issuer.pages().get(self.path)
                self.send_response(200 if document else 404)
                self.end_headers()
                self.wfile.write(json.dumps(document or {}).encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.url = f"http://localhost:{self.server.server_port}/realm"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def pages(self):
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1",
               "n": number(self.public.n), "e": number(self.public.e)}
        about = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return {"/realm/.well-known/openid-configuration": about, "/realm/keys": {"keys": [key]}}

    def token(self, **claims):
        now = int(time.time())
        claims = {"iss": self.url, "aud": "app", "sub": "me", "iat": now, "exp": now + 600, **claims}
        head = b64(json.dumps({"alg": "RS256", "kid": "1", "typ": "JWT"}).encode())
        signed = f"{head}.{b64(json.dumps(claims).encode())}"
        return f"{signed}.{b64(rsa.sign(signed.encode(), self.private, 'SHA-256'))}"


@pytest.fixture(scope="module")
def issuer():
    own = Issuer()
    yield own
    own.server.shutdown()


@pytest.fixture
def role(account, issuer):
    arn = account.iam.create_open_id_connect_provider(Url=issuer.url, ClientIDList=["app"])
    arn = arn["OpenIDConnectProviderArn"]
    name = issuer.url.removeprefix("http://")
    document = policy({
        "Effect": "Allow", "Principal": {"Federated": arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{name}:aud": "app", f"{name}:sub": "me"}},
    })
    account.iam.create_role(RoleName="web", AssumeRolePolicyDocument=document)
    account.iam.put_role_policy(
        RoleName="web", PolicyName="p", PolicyDocument=policy(allow("s3:*"))
    )
    return f"arn:aws:iam::{account.id}:role/web"


def test_a_token_opens_a_role(account, bucket, issuer, role):
    nobody = account.client("sts", key="anonymous")
    made = nobody.assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="s1", WebIdentityToken=issuer.token()
    )
    assert made["SubjectFromWebIdentityToken"] == "me" and made["Audience"] == "app"
    key = [made["Credentials"][k] for k in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    me = account.client("sts", key=key).get_caller_identity()
    assert me["Arn"] == f"arn:aws:sts::{account.id}:assumed-role/web/s1"
    account.client("s3", key=key).put_object(Bucket=bucket, Key="k", Body=b"x")
    said = account.cli(
        "sts", "assume-role-with-web-identity", "--role-arn", role, "--role-session-name", "cli",
        "--web-identity-token", issuer.token(), "--no-sign-request",
    )
    assert json.loads(said.out)["AssumedRoleUser"]["Arn"].endswith("/web/cli")


def test_tokens_that_open_nothing(account, issuer, role):
    nobody = account.client("sts", key="anonymous")

    def assume(token):
        nobody.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="s1", WebIdentityToken=token
        )

    good = issuer.token()
    head, claims, signature = good.split(".")
    with refused("InvalidIdentityToken", 400):
        assume(f"{head}.{claims}.{signature[:-8]}AAAAAAAA")
    with refused("InvalidIdentityToken", 400, "Incorrect token audience"):
        assume(issuer.token(aud="other"))
    with refused("ExpiredTokenException", 400):
        assume(issuer.token(exp=int(time.time()) - 10))
    with refused("AccessDenied", 403, "Not authorized to perform sts:AssumeRoleWithWebIdentity"):
        assume(issuer.token(sub="you"))
    with refused("InvalidIdentityToken", 400):
        assume("not.a.token")
    # All else still wants a signature.
    with refused("MissingAuthenticationToken", 403):
        nobody.get_caller_identity()


def totp(seed, step):
    digest = hmac.new(base64.b32decode(seed), struct.pack(">q", step), hashlib.sha1).digest()
    at = digest[19] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06d}"


def test_second_factors(account):
    key = account.new_user("alice", allow("sts:AssumeRole"))
    device = account.iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")
    device = device["VirtualMFADevice"]
    seed, serial = device["Base32StringSeed"], device["SerialNumber"]
    step = int(time.time()) // 30
    account.iam.enable_mfa_device(
        UserName="alice", SerialNumber=serial,
        AuthenticationCode1=totp(seed, step - 1), AuthenticationCode2=totp(seed, step),
    )
    account.iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust(
        {"AWS": account.id}, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    ))
    sts = account.client("sts", key=key)
    role = {"RoleArn": f"arn:aws:iam::{account.id}:role/r", "RoleSessionName": "s1"}
    with denied("sts:AssumeRole"):
        sts.assume_role(**role)
    with refused("AccessDenied", 403):
        sts.assume_role(**role, SerialNumber=serial, TokenCode="000000")
    code = totp(seed, int(time.time()) // 30)
    assert sts.assume_role(**role, SerialNumber=serial, TokenCode=code)["Credentials"]
    with refused("AccessDenied", 403):
        sts.assume_role(**role, SerialNumber=serial, TokenCode=code)


def test_federated_users(account, bucket):
    key = account.new_user("alice", allow(["s3:*", "sts:GetFederationToken"]))
    made = account.client("sts", key=key).get_federation_token(
        Name="bob", Policy=policy(allow("s3:ListBucket"))
    )
    assert made["FederatedUser"]["Arn"] == f"arn:aws:sts::{account.id}:federated-user/bob"
    key = [made["Credentials"][k] for k in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    account.client("s3", key=key).list_objects_v2(Bucket=bucket)
    with refused("AccessDenied", 403):
        account.client("s3", key=key).put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused("InvalidClientTokenId", 403):
        account.client("iam", key=key).list_users()
    # It goes by its own name, not by that of who asked for it.
    for arn, allowed in ((made["FederatedUser"]["Arn"], True),
                         (f"arn:aws:iam::{account.id}:user/alice", False)):
        account.s3.put_bucket_policy(Bucket=bucket, Policy=policy({
            "Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"ArnNotEquals": {"aws:PrincipalArn": arn}}}))
        if allowed:
            account.client("s3", key=key).list_objects_v2(Bucket=bucket)
        else:
            with refused("AccessDenied", 403):
                account.client("s3", key=key).list_objects_v2(Bucket=bucket)


def test_the_trail_says_why(own_cloud):
    from accounts import Account
    cloud = own_cloud()
    account = Account("123456789012", cloud)
    bucket = account.new_bucket()
    key = account.new_user(
        "u", allow("s3:GetObject", f"arn:aws:s3:::{bucket}/mine/*"),
        {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*", "Sid": "NoWrites"},
    )
    s3 = account.client("s3", key=key)
    with refused("AccessDenied", 403):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused(("AccessDenied", "403"), 403):
        s3.get_object(Bucket=bucket, Key="yours/k")
    answer = account.iam.put_user_policy(
        UserName="u", PolicyName="vpc", PolicyDocument=policy(allow(
            "s3:*", Condition={"StringEquals": {"aws:SourceVpce": "vpce-1"}}
        )),
    )
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert "aws:sourcevpce" in headers["x-cumulet-warning"]
    said = cumulet("events", "--data", str(cloud.data), "--denied")
    lines = {line.split()[1]: line for line in said.stdout.splitlines()}
    assert "denied by statement 2 (Sid NoWrites) of the identity-based policy p" in lines["s3:PutObject"]
    assert "It is no resource of statement 1" in lines["s3:GetObject"]
    said = cumulet("events", "--data", str(cloud.data), "--operation", "PutUserPolicy")
    assert "aws:sourcevpce" in said.stdout


def test_when_a_key_was_last_used(account, bucket):
    key = account.new_user("alice", allow("s3:*"))
    before = account.iam.get_access_key_last_used(AccessKeyId=key[0])["AccessKeyLastUsed"]
    assert before["ServiceName"] == "N/A"
    account.client("s3", key=key).list_objects_v2(Bucket=bucket)

    def used():
        last = account.iam.get_access_key_last_used(AccessKeyId=key[0])["AccessKeyLastUsed"]
        return last if last["ServiceName"] == "s3" else None

    assert wait_until(used, "noted", 20)["Region"] == "us-east-1"


def test_simulation(account):
    account.new_user("alice", allow("s3:GetObject", "arn:aws:s3:::b/*"))
    arn = f"arn:aws:iam::{account.id}:user/alice"
    results = account.iam.simulate_principal_policy(
        PolicySourceArn=arn, ActionNames=["s3:GetObject", "s3:PutObject"],
        ResourceArns=["arn:aws:s3:::b/k"],
    )["EvaluationResults"]
    assert [r["EvalDecision"] for r in results] == ["allowed", "implicitDeny"]
    account.iam.generate_credential_report()
    report = account.iam.get_credential_report()["Content"].decode()
    assert [line.split(",")[0] for line in report.splitlines()] == ["user", "<root_account>", "alice"]
