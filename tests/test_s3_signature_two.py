"""Signature Version 2 beyond what boto3's presigned URLs and forms show: headers, regions, the host."""

import base64
import datetime
import email.utils
import hashlib
import hmac
import urllib.parse

import pytest
import requests
from accounts import refused


def sign(secret, text):
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def code(answer):
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


@pytest.fixture
def old(account):
    return account.client("s3", signature_version="s3")


def test_in_headers(account, bucket, old):
    old.put_object(Bucket=bucket, Key="a b", Body=b"data", Metadata={"x": "1"})
    assert old.get_object(Bucket=bucket, Key="a b")["Body"].read() == b"data"
    assert old.list_objects_v2(Bucket=bucket, Prefix="a")["KeyCount"] == 1
    upload = old.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    where = {"Bucket": bucket, "Key": "m", "UploadId": upload}
    part = old.upload_part(**where, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    old.complete_multipart_upload(**where, MultipartUpload=parts)
    old.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "m"}]})
    with refused("NoSuchKey"):
        old.get_object(Bucket=bucket, Key="m")


def test_a_wrong_secret_and_an_unknown_key(account):
    with refused("SignatureDoesNotMatch", 403):
        account.client("s3", (account.id, "wrong"), signature_version="s3").list_buckets()
    with refused("InvalidAccessKeyId", 403):
        account.client("s3", ("AKIDUNKNOWN", "test"), signature_version="s3").list_buckets()


@pytest.mark.parametrize("minutes,ok", [(0, True), (-14, True), (-16, False), (16, False)])
def test_clocks(account, minutes, ok):
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    date = email.utils.format_datetime(then, usegmt=True)
    signature = sign("test", f"GET\n\n\n{date}\n/")
    headers = {"Date": date, "Authorization": f"AWS {account.id}:{signature}"}
    answer = requests.get(f"{account.endpoint}/", headers=headers)
    assert code(answer) == ((200, "") if ok else (403, "RequestTimeTooSkewed"))


@pytest.mark.parametrize("value", ["AWS", "AWS x", "AWS :x", "AWS x:"])
def test_an_authorization_that_is_none(account, value):
    answer = requests.get(f"{account.endpoint}/", headers={"Authorization": value})
    assert code(answer) == (400, "InvalidArgument")
    assert "Expected AwsAccessKeyId:signature" in answer.text


def url(account, target, expires, **more):
    signature = sign("test", f"GET\n\n\n{expires}\n{target}")
    query = {"AWSAccessKeyId": account.id, "Expires": expires, "Signature": signature, **more}
    query = {name: value for name, value in query.items() if value is not None}
    return f"{account.endpoint}{target}?{urllib.parse.urlencode(query)}"


@pytest.mark.parametrize(
    "expires,change,part",
    [
        ("1000000000", {}, "Request has expired"),
        ("soon", {}, "Invalid date (should be seconds since epoch): soon"),
        ("4000000000", {"Expires": None}, "Query-string authentication requires"),
        ("4000000000", {"Signature": ""}, "Query-string authentication requires"),
    ],
)
def test_urls_that_are_refused(account, bucket, expires, change, part):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    good = requests.get(url(account, f"/{bucket}/k", "4000000000"))
    assert good.content == b"data", good.text
    answer = requests.get(url(account, f"/{bucket}/k", expires, **change))
    assert code(answer) == (403, "AccessDenied") and part in answer.text, answer.text


def test_a_url_is_good_for_one_operation(account, bucket):
    assert requests.get(url(account, f"/{bucket}", "4000000000")).status_code == 200
    signed = url(account, f"/{bucket}", "4000000000")
    for other in ("encryption", "publicAccessBlock", "ownershipControls", "policyStatus"):
        answer = requests.get(f"{signed}&{other}")
        assert code(answer) == (403, "SignatureDoesNotMatch"), other


def test_a_refusal_shows_what_was_signed(account, bucket):
    answer = requests.get(url(account, f"/{bucket}/k", "4000000000", acl=""))
    assert code(answer) == (403, "SignatureDoesNotMatch")
    assert f"<StringToSign>GET\n\n\n4000000000\n/{bucket}/k?acl=</StringToSign>" in answer.text


def test_regions_that_opened_later_refuse_it(account, bucket):
    port = account.endpoint.rsplit(":", 1)[1]
    for region, status in (("us-west-2", 404), ("eu-central-1", 400)):
        host = {"Host": f"s3.{region}.localhost:{port}"}
        answer = requests.get(url(account, f"/{bucket}/k", "4000000000"), headers=host)
        assert answer.status_code == status, answer.text
        assert (status == 404) or "Please use AWS4-HMAC-SHA256" in answer.text


def test_headers_that_stand_in_the_url(account, bucket):
    """Where it is signed, the query speaks for a client that can send no headers."""
    client = account.client("s3", signature_version="s3")
    signed = client.generate_presigned_url(
        "put_object",
        Params={"Bucket": bucket, "Key": "k", "Metadata": {"a": "b c"}, "ContentType": "text/q"},
    )
    answer = requests.put(signed, data=b"data", headers={"Content-Type": "text/q"})
    assert answer.status_code == 200, answer.text
    head = account.s3.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {"a": "b c"} and head["ContentType"] == "text/q"
    changed = signed.replace("x-amz-meta-a=b%20c", "x-amz-meta-a=d")
    answer = requests.put(changed, data=b"data", headers={"Content-Type": "text/q"})
    assert code(answer) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "tagging,expected",
    [
        ("<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>", 204),
        ("<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>", 400),
    ],
)
def test_tags_of_a_form(account, bucket, tagging, expected):
    fields = {"tagging": tagging}
    post = account.s3.generate_presigned_post(bucket, "k", Fields=fields, Conditions=[fields])
    answer = requests.post(post["url"], data=post["fields"], files={"file": b"x"})
    assert answer.status_code == expected, answer.text
