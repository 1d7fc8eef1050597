"""Roles for those whom an identity provider names in a signed SAML response."""

import time

import idp
import pytest
from accounts import allow, policy, refused
from idp import ATTRIBUTE, Idp, encoded


@pytest.fixture(scope="module")
def corp():
    return Idp()


@pytest.fixture(scope="module")
def curve():
    return Idp(curve=True)


@pytest.fixture
def provider(account, corp, curve):
    made = account.iam.create_saml_provider(Name="corp", SAMLMetadataDocument=corp.metadata(curve))
    return made["SAMLProviderArn"]


@pytest.fixture
def role(account, provider):
    document = policy({
        "Effect": "Allow", "Principal": {"Federated": provider},
        "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": {"StringEquals": {"SAML:aud": idp.AWS, "saml:sub": "alice"}},
    })
    account.iam.create_role(RoleName="staff", AssumeRolePolicyDocument=document, MaxSessionDuration=7200)
    account.iam.put_role_policy(RoleName="staff", PolicyName="p", PolicyDocument=policy(
        {**allow("s3:*"), "Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}},
    ))
    return f"arn:aws:iam::{account.id}:role/staff"


TEAM = {f"{ATTRIBUTE}PrincipalTag:team": ["red"]}


def opener(account, role, provider):
    nobody = account.client("sts", key="anonymous")

    def assume(response, **more):
        response = response if isinstance(response, str) else encoded(response)
        return nobody.assume_role_with_saml(
            **{"RoleArn": role, "PrincipalArn": provider, "SAMLAssertion": response, **more}
        )

    return assume


@pytest.mark.parametrize("sign", ["assertion", "response", "both"])
@pytest.mark.parametrize("which", ["corp", "curve"])
def test_a_response_opens_a_role(account, bucket, role, provider, request, which, sign):
    own = request.getfixturevalue(which)
    response = own.response([f"{role},{provider}"], time.time(), sign=sign, more=TEAM)
    made = opener(account, role, provider)(response)
    assert made["Subject"] == "alice" and made["SubjectType"] == "persistent"
    assert made["Issuer"] == own.entity and made["Audience"] == idp.AWS
    key = [made["Credentials"][k] for k in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    me = account.client("sts", key=key).get_caller_identity()
    assert me["Arn"] == f"arn:aws:sts::{account.id}:assumed-role/staff/alice"
    account.client("s3", key=key).put_object(Bucket=bucket, Key="k", Body=b"x")


def test_the_cli(account, corp, role, provider, tmp_path):
    response = tmp_path / "response"
    response.write_text(encoded(corp.response([f"{provider}, {role}"], time.time())))
    said = account.cli(
        "sts", "assume-role-with-saml", "--role-arn", role, "--principal-arn", provider,
        "--saml-assertion", f"file://{response}", "--no-sign-request",
        "--query", "AssumedRoleUser.Arn", "--output", "text",
    )
    assert said.out.strip().endswith("/staff/alice")


def test_what_the_response_asks_for(account, corp, role, provider):
    assume = opener(account, role, provider)

    def lasts(made):
        return made["Credentials"]["Expiration"].timestamp() - time.time()

    def response(**more):
        return corp.response([f"{role},{provider}"], time.time(), **more)

    assert 3500 < lasts(assume(response())) <= 3600
    made = assume(response(more={f"{ATTRIBUTE}SessionDuration": ["900"], f"{ATTRIBUTE}SourceIdentity": ["alice"]}))
    assert 800 < lasts(made) <= 900 and made["SourceIdentity"] == "alice"
    assert 1700 < lasts(assume(response(), DurationSeconds=1800)) <= 1800
    assert lasts(assume(response(session_ends=time.time() + 600))) <= 600
    with refused("ValidationError", 400, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."):
        assume(response(), DurationSeconds=7201)
    with refused("InvalidIdentityToken", 400, "RoleSessionName is required in AuthnResponse"):
        assume(response(session=None))
    with refused("InvalidIdentityToken", 400, "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"):
        assume(response(session="a b"))
    with refused("InvalidIdentityToken", 400):
        assume(response(more={f"{ATTRIBUTE}SourceIdentity": ["aws:me"]}))


def test_responses_that_open_nothing(account, other, corp, role, provider):
    assume = opener(account, role, provider)
    pair = [f"{role},{provider}"]
    now = time.time()
    good = corp.response(pair, now).decode()
    signature = "Response signature invalid"
    with refused("InvalidIdentityToken", 400, signature):
        assume(good.replace(">alice<", ">mallory<").encode())
    with refused("InvalidIdentityToken", 400, signature):
        assume(corp.response(pair, now, sign="nothing"))
    # The same name, another key: the certificate in the response counts for nothing.
    with refused("InvalidIdentityToken", 400, signature):
        assume(Idp().response(pair, now))
    with refused("InvalidIdentityToken", 400, "Issuer not present in specified provider"):
        assume(corp.response(pair, now, issuer="https://idp.example.org/saml"))
    for more in ({"audience": "https://example.com"}, {"recipient": "https://example.com/saml"},
                 {"recipient": "https://signin.aws.amazon.com.example.com/saml"}):
        with refused("InvalidIdentityToken", 400, "Response does not contain the required audience."):
            assume(corp.response(pair, now, **more))
    with refused("ExpiredTokenException", 400, "Token must be redeemed within 5 minutes of issuance"):
        assume(corp.response(pair, now - 400, lasts=3600))
    with refused("ExpiredTokenException", 400):
        assume(corp.response(pair, now - 100, lasts=50))
    with refused("InvalidIdentityToken", 400):
        assume(corp.response(pair, now + 1000))
    with refused("InvalidIdentityToken", 400, "Invalid base64 SAMLResponse"):
        assume("!!!!")
    not_authorized = "Not authorized to perform sts:AssumeRoleWithSAML"
    with refused("AccessDenied", 403, not_authorized):
        assume(corp.response([f"{role}2,{provider}"], now))
    with refused("AccessDenied", 403, not_authorized):
        assume(corp.response(pair, now, subject="bob"))
    # The provider of another account, with the same keys.
    theirs = other.iam.create_saml_provider(Name="corp", SAMLMetadataDocument=corp.metadata())
    theirs = theirs["SAMLProviderArn"]
    with refused("InvalidIdentityToken", 400, "Specified provider doesn't exist"):
        assume(corp.response([f"{role},{theirs}"], now), PrincipalArn=theirs)


def test_signed_elements_elsewhere(account, corp, role, provider):
    """What was signed for one is moved away, and something else stands in its place."""
    assume = opener(account, role, provider)
    good = corp.response([f"{role},{provider}"], time.time(), subject="eve").decode()
    start = good.index("<saml:Assertion")
    end = good.index("</saml:Assertion>") + len("</saml:Assertion>")
    signed = good[start:end]
    bare = signed[:signed.index("<ds:Signature")] + signed[signed.index("</ds:Signature>") + 15:]
    evil = bare.replace(">eve<", ">alice<")
    other = evil.replace('ID="_a1"', 'ID="_a2"')
    into = other.replace("<saml:Subject>", signed + "<saml:Subject>")
    for inner in (other + signed, signed + other, evil + signed, into,
                  f"<samlp:Extensions>{signed}</samlp:Extensions>{other}"):
        with refused("InvalidIdentityToken", 400):
            assume((good[:start] + inner + good[end:]).encode())
    with refused("AccessDenied", 403):
        assume(good.encode())


def test_a_provider_changes_its_keys(account, corp, role, provider):
    assume = opener(account, role, provider)
    new = Idp()
    pair = [f"{role},{provider}"]
    assume(corp.response(pair, time.time()))
    account.iam.update_saml_provider(SAMLProviderArn=provider, SAMLMetadataDocument=new.metadata())
    with refused("InvalidIdentityToken", 400, "Response signature invalid"):
        assume(corp.response(pair, time.time()))
    assume(new.response(pair, time.time()))
    kept = account.iam.get_saml_provider(SAMLProviderArn=provider)
    assert kept["SAMLMetadataDocument"] == new.metadata()
    listed = account.iam.list_saml_providers()["SAMLProviderList"]
    assert [one["Arn"] for one in listed] == [provider]
    account.iam.tag_saml_provider(SAMLProviderArn=provider, Tags=[{"Key": "k", "Value": "v"}])
    tags = account.iam.list_saml_provider_tags(SAMLProviderArn=provider)["Tags"]
    assert tags == [{"Key": "k", "Value": "v"}]
    account.iam.untag_saml_provider(SAMLProviderArn=provider, TagKeys=["k"])
    with refused("InvalidInput", 400, "Could not parse metadata"):
        account.iam.update_saml_provider(SAMLProviderArn=provider, SAMLMetadataDocument="x" * 1000)
    account.iam.delete_saml_provider(SAMLProviderArn=provider)
    with refused("InvalidIdentityToken", 400, "Specified provider doesn't exist"):
        assume(new.response(pair, time.time()))
