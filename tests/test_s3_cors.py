"""Pages of other origins: a bucket's rules on preflights and on answers."""

import pytest
import requests

VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
HERE = "https://app.example"
NOT_ALLOWED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of "
    "Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are "
    "not whitelisted by the resource's CORS spec.")


@pytest.fixture
def page(account, bucket):
    """A bucket that everybody may read, with rules, and a way to ask as a page would."""
    account.s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [
        {"AllowedOrigins": [HERE, "http://*.example.org"], "AllowedMethods": ["GET", "PUT"],
         "AllowedHeaders": ["x-amz-*", "Content-Type"], "ExposeHeaders": ["ETag", "x-amz-meta-a"],
         "MaxAgeSeconds": 3000},
        {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]}]})
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data", ACL="public-read")

    def ask(method="OPTIONS", path=None, origin=HERE, wants=None, names=None):
        headers = {"Origin": origin, "Access-Control-Request-Method": wants,
                   "Access-Control-Request-Headers": names}
        headers = {name: value for name, value in headers.items() if value is not None}
        path = f"/{bucket}/k" if path is None else path
        return requests.request(method, account.endpoint + path, headers=headers)

    return ask


def cors(answer):
    found = {n.lower(): v for n, v in answer.headers.items()}
    wanted = ("access-control-", "vary")
    return {n: v for n, v in found.items() if n.startswith(wanted)}


RULE = {
    "access-control-allow-credentials": "true",
    "access-control-allow-origin": HERE,
    "access-control-allow-methods": "GET, PUT",
    "access-control-expose-headers": "ETag, x-amz-meta-a",
    "access-control-max-age": "3000",
    "vary": VARY,
}


def test_a_preflight_that_a_rule_lets(page):
    answer = page(wants="PUT", names="X-AMZ-Acl,content-type")
    assert (answer.status_code, answer.content) == (200, b"")
    assert cors(answer) == {**RULE, "access-control-allow-headers": "x-amz-acl, content-type"}
    assert cors(page(wants="PUT")) == RULE
    below = cors(page(wants="GET", origin="http://a.example.org"))
    assert below["access-control-allow-origin"] == "http://a.example.org"
    assert cors(page(wants="HEAD", origin="http://who.ever")) == {
        "access-control-allow-origin": "*", "access-control-allow-methods": "HEAD", "vary": VARY}


@pytest.mark.parametrize("asked", [
    {"wants": "PUT", "origin": "https://app.example.evil"},
    {"wants": "DELETE"},
    {"wants": "PUT", "names": "authorization"},
    {"wants": "HEAD", "origin": "http://who.ever", "names": "x-amz-acl"},
])
def test_a_preflight_that_no_rule_lets(page, bucket, asked):
    answer = page(**asked)
    assert answer.status_code == 403 and cors(answer) == {}
    assert "<Code>AccessForbidden</Code>" in answer.text
    assert f"<Message>{NOT_ALLOWED}</Message>" in answer.text.replace("&#39;", "'").replace(
        "&apos;", "'")
    assert f"<Method>{asked['wants']}</Method>" in answer.text
    assert "<ResourceType>OBJECT</ResourceType>" in answer.text
    answer = page(**asked, path=f"/{bucket}")
    assert "<ResourceType>BUCKET</ResourceType>" in answer.text


def test_preflights_without_rules(page, account):
    nowhere = page(path="/no-such-bucket-of-mine/k", wants="PUT")
    assert nowhere.status_code == 403
    assert "<Message>CORSResponse: Bucket not found</Message>" in nowhere.text
    assert "<ResourceType>BUCKET</ResourceType>" in nowhere.text
    no_origin = page(origin=None, wants="PUT")
    assert no_origin.status_code == 400
    assert "<Code>BadRequest</Code><Message>Insufficient information. Origin request header " \
        "needed.</Message>" in no_origin.text
    bare = account.new_bucket()
    answer = page(path=f"/{bare}/k")
    assert answer.status_code == 403 and "CORS is not enabled for this bucket" in answer.text
    assert "<Method>OPTIONS</Method><ResourceType>BUCKET</ResourceType>" in answer.text


@pytest.mark.parametrize("wants,named", [(None, "null"), ("PATCH", "PATCH"), ("OPTIONS", "OPTIONS"), ("get", "get")])
def test_preflights_for_no_method_that_a_rule_may_have(page, wants, named):
    answer = page(wants=wants)
    assert answer.status_code == 400 and cors(answer) == {}
    text = f"<Code>BadRequest</Code><Message>Invalid Access-Control-Request-Method: {named}</Message>"
    assert text in answer.text


def test_answers_say_what_the_page_may_read(page):
    answer = page("GET")
    assert (answer.status_code, answer.content) == (200, b"data")
    assert cors(answer) == RULE
    # What is refused or missing is readable too.
    missing = page("GET", path="/" + page("GET").request.path_url.split("/")[1] + "/absent")
    assert missing.status_code in (403, 404) and cors(missing) == RULE
    # The request is served either way; without the headers the browser keeps the page from it.
    for asked in ({"origin": "http://evil.example"}, {"wants": "DELETE"},
                  {"names": "authorization"}, {"origin": None}):
        answer = page("GET", **asked)
        assert (answer.status_code, answer.content) == (200, b"data")
        assert cors(answer) == {}, asked
