"""Presigned URLs and the browser's form: what they allow, until when, and nothing else."""

import datetime
import json
import urllib.parse

import pytest
import requests
import wire


def code(answer):
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


@pytest.fixture(params=["s3v4", "s3"], autouse=True)
def version(request):
    """Version 4 of signatures, and the old one of the query, which boto3 still makes by default."""
    return request.param


only_v4 = pytest.mark.parametrize("version", ["s3v4"], indirect=True)


@pytest.fixture
def account(account, version):
    account.version = version
    account.signer = account.client("s3", signature_version=version)
    return account


def presigned(account, call, seconds=300, client=None, **where):
    return (client or account.signer).generate_presigned_url(call, Params=where, ExpiresIn=seconds)


@pytest.fixture
def stored(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="dir/a +ü", Body=b"data", ContentType="text/x")
    return {"Bucket": bucket, "Key": "dir/a +ü"}


def test_get_put_head_delete(account, stored):
    assert requests.get(presigned(account, "get_object", **stored)).content == b"data"
    head = requests.head(presigned(account, "head_object", **stored))
    assert head.status_code == 200 and head.headers["Content-Length"] == "4"
    put = requests.put(presigned(account, "put_object", **stored), data=b"new data")
    assert put.status_code == 200, put.text
    assert account.s3.get_object(**stored)["Body"].read() == b"new data"
    gone = requests.delete(presigned(account, "delete_object", **stored))
    assert gone.status_code == 204
    assert code(requests.get(presigned(account, "get_object", **stored))) == (404, "NoSuchKey")


def test_options_of_the_answer_are_signed(account, stored):
    url = presigned(
        account, "get_object", ResponseContentType="image/x",
        ResponseContentDisposition='attachment; filename="ü"', **stored,
    )
    got = requests.get(url)
    assert got.status_code == 200 and got.headers["Content-Type"] == "image/x"
    changed = url.replace("image%2Fx", "image%2Fy")
    assert changed != url
    assert code(requests.get(changed)) == (403, "SignatureDoesNotMatch")


def test_a_range_needs_no_signature(account, stored):
    got = requests.get(presigned(account, "get_object", **stored), headers={"Range": "bytes=1-2"})
    assert (got.status_code, got.content) == (206, b"at")


def test_another_method_or_key(account, stored):
    url = presigned(account, "get_object", **stored)
    assert code(requests.put(url, data=b"x")) == (403, "SignatureDoesNotMatch")
    assert code(requests.delete(url)) == (403, "SignatureDoesNotMatch")
    assert code(requests.get(url.replace("dir/", "die/"))) == (403, "SignatureDoesNotMatch")
    assert account.s3.get_object(**stored)["Body"].read() == b"data"


@only_v4
def test_a_signed_header_must_come(account, stored):
    url = presigned(account, "put_object", ContentType="text/q", Metadata={"a": "b"}, **stored)
    right = {"Content-Type": "text/q", "x-amz-meta-a": "b"}
    assert requests.put(url, data=b"1", headers=right).status_code == 200
    wrong = {"Content-Type": "text/other", "x-amz-meta-a": "b"}
    assert code(requests.put(url, data=b"2", headers=wrong)) == (403, "SignatureDoesNotMatch")
    assert account.s3.get_object(**stored)["Metadata"] == {"a": "b"}


def at(minutes):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)


@only_v4
def test_until_when(account, stored):
    target = f"/{stored['Bucket']}/dir/a%20%2B%C3%BC"
    request = wire.Request(account, "GET", target, at=at(-10)).presign(900)
    assert request.send().body == b"data"
    answer = wire.Request(account, "GET", target, at=at(-10)).presign(300).send()
    assert (answer.status, answer.code, answer.message) == (
        403, "AccessDenied", "Request has expired"
    )
    assert "<Expires>" in answer.text and "<ServerTime>" in answer.text
    answer = wire.Request(account, "GET", target, at=at(60)).presign(300).send()
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    assert answer.message == "Request is not yet valid"


@only_v4
@pytest.mark.parametrize(
    "seconds,part",
    [("604801", "604800"), ("-1", "non-negative"), ("x", "number")],
)
def test_how_long(account, stored, seconds, part):
    answer = wire.Request(account, "GET", f"/{stored['Bucket']}/k").presign(seconds).send()
    assert (answer.status, answer.code) == (400, "AuthorizationQueryParametersError"), answer
    assert part in answer.message


@only_v4
@pytest.mark.parametrize(
    "name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"]
)
def test_a_piece_is_missing(account, stored, name):
    request = wire.Request(account, "GET", f"/{stored['Bucket']}/k").presign()
    path, _, query = request.target.partition("?")
    kept = [piece for piece in query.split("&") if not piece.startswith(f"X-Amz-{name}=")]
    request.target = f"{path}?{'&'.join(kept)}"
    answer = request.send()
    # Without the algorithm it may also be taken for an anonymous request.
    expected = [(400, "AuthorizationQueryParametersError")]
    expected += [(403, "AccessDenied")] if name == "Algorithm" else []
    assert (answer.status, answer.code) in expected, answer


def test_of_a_user_and_of_a_session(account, stored):
    account.iam.create_role(
        RoleName="reader",
        AssumeRolePolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": account.id}, "Action": "sts:AssumeRole"}]}
        ),
    )
    account.iam.put_role_policy(
        RoleName="reader", PolicyName="p",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
        ),
    )
    user = account.new_user("u", {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"})
    got = account.client("sts", key=user).assume_role(
        RoleArn=f"arn:aws:iam::{account.id}:role/reader", RoleSessionName="session"
    )["Credentials"]
    session = account.client(
        "s3", key=(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"]),
        signature_version=account.version,
    )
    assert requests.get(presigned(account, "get_object", client=session, **stored)).content == (
        b"data"
    )
    url = presigned(account, "put_object", client=session, **stored)
    assert code(requests.put(url, data=b"x")) == (403, "AccessDenied")
    # The URL has the rights of its signer at the time of its use.
    signer = account.client("s3", key=user, signature_version=account.version)
    url = presigned(account, "get_object", client=signer, **stored)
    assert code(requests.get(url)) == (403, "AccessDenied")


def test_an_upload_in_parts_by_urls(account, bucket):
    where = {"Bucket": bucket, "Key": "k"}
    upload = account.s3.create_multipart_upload(**where)["UploadId"]
    url = presigned(account, "upload_part", UploadId=upload, PartNumber=1, **where)
    part = requests.put(url, data=b"a part")
    assert part.status_code == 200, part.text
    account.s3.complete_multipart_upload(
        **where, UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part.headers["ETag"]}]},
    )
    assert account.s3.get_object(**where)["Body"].read() == b"a part"


class TestForm:
    """POST with a policy, as a web page does it."""

    def form(self, account, bucket, key="up/${filename}", fields=None, conditions=None, seconds=300):
        return account.signer.generate_presigned_post(
            bucket, key, Fields=fields, Conditions=conditions, ExpiresIn=seconds
        )

    def send(self, post, data=b"form data", name="file.txt", **more):
        fields = {**post["fields"], **more}
        return requests.post(post["url"], data=fields, files={"file": (name, data)})

    def test_a_file(self, account, bucket):
        answer = self.send(self.form(account, bucket))
        assert answer.status_code == 204, answer.text
        assert answer.headers["ETag"] and answer.headers["Location"]
        got = account.s3.get_object(Bucket=bucket, Key="up/file.txt")
        assert got["Body"].read() == b"form data"

    @pytest.mark.parametrize("status", ["200", "201", "204"])
    def test_the_status_asked_for(self, account, bucket, status):
        fields = {"success_action_status": status}
        post = self.form(account, bucket, "k", fields, [fields])
        answer = self.send(post)
        assert answer.status_code == int(status)
        if status == "201":
            assert f"<Bucket>{bucket}</Bucket>" in answer.text and "<Key>k</Key>" in answer.text

    def test_a_redirect(self, account, bucket):
        fields = {"success_action_redirect": "http://page.example/done?x=1"}
        post = self.form(account, bucket, "k", fields, [fields])
        answer = requests.post(
            post["url"], data=post["fields"], files={"file": b"x"}, allow_redirects=False
        )
        assert answer.status_code == 303
        target = urllib.parse.urlsplit(answer.headers["Location"])
        query = dict(urllib.parse.parse_qsl(target.query))
        assert target.hostname == "page.example"
        assert query["bucket"] == bucket and query["key"] == "k" and query["x"] == "1"

    def test_metadata_and_type(self, account, bucket):
        fields = {"Content-Type": "image/png", "x-amz-meta-a": "b"}
        conditions = [["starts-with", "$Content-Type", "image/"], {"x-amz-meta-a": "b"}]
        assert self.send(self.form(account, bucket, "k", fields, conditions)).status_code == 204
        head = account.s3.head_object(Bucket=bucket, Key="k")
        assert head["ContentType"] == "image/png" and head["Metadata"] == {"a": "b"}

    def test_what_the_policy_does_not_allow(self, account, bucket):
        post = self.form(account, bucket, "k")
        cases = [
            {"key": "other"},
            {"Content-Type": "text/html"},
            {"acl": "public-read"},
            {"x-amz-meta-a": "b"},
        ]
        for case in cases:
            status, name = code(self.send(post, **case))
            assert (status, name) == (403, "AccessDenied"), case
        assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

    def test_starts_with(self, account, bucket):
        post = self.form(account, bucket, "user/${filename}", conditions=[
            ["starts-with", "$key", "user/"]])
        assert self.send(post).status_code == 204
        assert code(self.send(post, key="elsewhere/x")) == (403, "AccessDenied")

    def test_length_range(self, account, bucket):
        post = self.form(account, bucket, "k", conditions=[["content-length-range", 5, 10]])
        assert code(self.send(post, b"1234")) == (400, "EntityTooSmall")
        assert code(self.send(post, b"12345678901")) == (400, "EntityTooLarge")
        assert self.send(post, b"1234567").status_code == 204
        assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"1234567"

    def test_forged(self, account, bucket):
        post = self.form(account, bucket, "k")
        name = "x-amz-signature" if account.version == "s3v4" else "signature"
        assert code(self.send(post, **{name: "0" * 64})) == (403, "SignatureDoesNotMatch")
        assert code(self.send(post, policy="bm90IGpzb24=")) == (403, "SignatureDoesNotMatch")

    def test_over(self, account, bucket):
        status, name = code(self.send(self.form(account, bucket, "k", seconds=-60)))
        assert (status, name) == (403, "AccessDenied")

    def test_without_a_file(self, account, bucket):
        post = self.form(account, bucket, "k")
        files = {name: (None, value) for name, value in post["fields"].items()}
        status, name = code(requests.post(post["url"], files=files))
        assert status == 400
        assert name in ("IncorrectNumberOfFilesInPostRequest", "InvalidArgument"), name

    def test_a_large_file(self, account, bucket):
        data = bytes(8 << 20)
        assert self.send(self.form(account, bucket, "k"), data).status_code == 204
        assert account.s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == len(data)
