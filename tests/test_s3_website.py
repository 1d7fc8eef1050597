"""Website hosting by real HTTP: host names, pages, errors, redirects."""

import json

import pytest
import requests
from accounts import refused


def visit(account, bucket, path="/", method="GET", host="{}.s3-website.localhost", **headers):
    account.cloud.before_request()
    return requests.request(
        method, account.endpoint + path, allow_redirects=False,
        headers={"Host": host.format(bucket), **headers}, timeout=30)


@pytest.fixture
def site(account, bucket):
    account.s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={
        "IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}})
    for key in ("index.html", "error.html", "docs/index.html"):
        account.s3.put_object(Bucket=bucket, Key=key, Body=f"this is {key}".encode(),
                              ContentType="text/html")
    return bucket


def publish(account, bucket, *actions):
    account.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": list(actions) or ["s3:GetObject"],
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}]}))


def test_who_may_see_it(account, site):
    answer = visit(account, site)
    assert answer.status_code == 403 and answer.headers["x-amz-error-code"] == "AccessDenied"
    assert "<h1>403 Forbidden</h1>" in answer.text
    account.s3.put_object_acl(Bucket=site, Key="index.html", ACL="public-read")
    answer = visit(account, site)
    assert (answer.status_code, answer.text) == (200, "this is index.html")
    assert answer.headers["content-type"] == "text/html"
    assert visit(account, site, "/docs/").status_code == 403
    publish(account, site)
    assert visit(account, site, "/docs/").text == "this is docs/index.html"


def test_host_names(account, site):
    publish(account, site)
    for host in ("{}.s3-website-us-east-1.amazonaws.com", "{}.s3-website.us-east-1.amazonaws.com",
                 "{}.s3-website.localhost", "{}.s3-website.localhost.localstack.cloud"):
        assert visit(account, site, host=host).text == "this is index.html", host


def test_errors(account, site):
    publish(account, site, "s3:GetObject", "s3:ListBucket")
    answer = visit(account, site, "/none")
    assert (answer.status_code, answer.text) == (404, "this is error.html")
    assert visit(account, site, "/docs").headers["location"] == "/docs/"
    head = visit(account, site, "/none", "HEAD")
    assert (head.status_code, head.text) == (404, "")
    for method in ("PUT", "POST", "DELETE"):
        answer = visit(account, site, "/index.html", method)
        assert answer.status_code == 405 and "MethodNotAllowed" in answer.text
    assert account.s3.get_object(Bucket=site, Key="index.html")["Body"].read() == b"this is index.html"
    gone = visit(account, account.bucket_name("no"))
    assert gone.status_code == 404 and "<li>Code: NoSuchBucket</li>" in gone.text


def test_conditions(account, site):
    publish(account, site)
    first = visit(account, site)
    same = visit(account, site, **{"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.text) == (304, "")
    part = visit(account, site, Range="bytes=0-3")
    assert (part.status_code, part.text) == (206, "this")


def test_redirects(account, bucket):
    account.s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={
        "IndexDocument": {"Suffix": "index.html"},
        "RoutingRules": [
            {"Condition": {"KeyPrefixEquals": "docs/"},
             "Redirect": {"ReplaceKeyPrefixWith": "documents/", "HttpRedirectCode": "302"}},
            {"Condition": {"HttpErrorCodeReturnedEquals": "403"},
             "Redirect": {"HostName": "example.com", "Protocol": "https"}}]})
    answer = visit(account, bucket, "/docs/a")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"http://{bucket}.s3-website.localhost/documents/a"
    answer = visit(account, bucket, "/none")
    assert (answer.status_code, answer.headers["location"]) == (301, "https://example.com/none")
    publish(account, bucket)
    account.s3.put_object(Bucket=bucket, Key="old", WebsiteRedirectLocation="/new")
    answer = visit(account, bucket, "/old")
    assert (answer.status_code, answer.headers["location"]) == (301, "/new")
    with refused("InvalidRedirectLocation", 400):
        account.s3.put_object(Bucket=bucket, Key="old", WebsiteRedirectLocation="nowhere")
    account.s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={
        "RedirectAllRequestsTo": {"HostName": "example.com"}})
    answer = visit(account, bucket, "/a?b=c")
    assert (answer.status_code, answer.headers["location"]) == (301, "http://example.com/a?b=c")


@pytest.mark.parametrize("document, code", [
    ({}, "InvalidArgument"),
    ({"IndexDocument": {"Suffix": "a/b"}}, "InvalidArgument"),
    ({"IndexDocument": {"Suffix": ""}}, "InvalidArgument"),
    ({"RedirectAllRequestsTo": {"HostName": "x"}, "IndexDocument": {"Suffix": "i"}},
     "InvalidArgument"),
    ({"RedirectAllRequestsTo": {"HostName": "x", "Protocol": "gopher"}}, "InvalidArgument"),
    ({"IndexDocument": {"Suffix": "i"}, "RoutingRules": [
        {"Redirect": {"ReplaceKeyWith": "a", "ReplaceKeyPrefixWith": "b"}}]}, "InvalidArgument"),
    ({"IndexDocument": {"Suffix": "i"}, "RoutingRules": [
        {"Redirect": {"HttpRedirectCode": "200"}}]}, "InvalidArgument"),
    ({"IndexDocument": {"Suffix": "i"}, "RoutingRules": [
        {"Redirect": {"HttpRedirectCode": "300"}}]}, "InvalidArgument"),
    ({"IndexDocument": {"Suffix": "i"}, "RoutingRules": [
        {"Condition": {"HttpErrorCodeReturnedEquals": "302"}, "Redirect": {"HostName": "x"}}]},
     "InvalidArgument"),
])
def test_documents_that_make_no_sense(account, bucket, document, code):
    with refused(code, 400):
        account.s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=document)
    with refused("NoSuchWebsiteConfiguration", 404):
        account.s3.get_bucket_website(Bucket=bucket)


def test_with_the_cli(account, bucket):
    account.cli("s3", "website", f"s3://{bucket}/", "--index-document", "home.html")
    got = account.s3.get_bucket_website(Bucket=bucket)
    assert got["IndexDocument"] == {"Suffix": "home.html"}
