"""Signatures, each wrong in one way, and AWS's answer to it."""

import datetime

import pytest
import wire
from accounts import allow, refused


@pytest.fixture
def ask(account, bucket):
    """A request that would be right; a test breaks it."""

    def make(method="GET", target=None, body=b"", headers=(), **signer):
        return wire.Request(account, method, target or f"/{bucket}/k", body, headers, **signer)

    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    return make


def check(answer, status, code, part=None):
    assert answer is not None, "the connection was closed without an answer"
    assert (answer.status, answer.code) == (status, code), answer
    if part:
        assert part in answer.message, answer.message
    assert answer.headers["x-amz-request-id"]


MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your key and signing method."
)


def test_the_right_one(ask):
    answer = ask().sign().send()
    assert (answer.status, answer.body) == (200, b"data")


def test_a_wrong_secret(ask):
    answer = ask(secret="not-test").sign().send()
    check(answer, 403, "SignatureDoesNotMatch", MISMATCH)
    for name in ("AWSAccessKeyId", "StringToSign", "SignatureProvided", "CanonicalRequest"):
        assert f"<{name}>" in answer.text, name
    assert "<SecretAccessKey>" not in answer.text


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.set("x-amz-meta-a", "2"),
        lambda r: setattr(r, "target", r.target + "?versionId=x"),
        lambda r: setattr(r, "target", r.target + "2"),
        lambda r: setattr(r, "method", "DELETE"),
        lambda r: r.set("Host", "localhost:1"),
        lambda r: r.set("Authorization", r.header("authorization")[:-1] + "0"
                        if not r.header("authorization").endswith("0")
                        else r.header("authorization")[:-1] + "1"),
        lambda r: r.set("Authorization", r.header("authorization")[:-10]),
    ],
    ids=["header", "query", "path", "method", "host", "signature", "short signature"],
)
def test_changed_after_signing(account, bucket, ask, change):
    request = ask(headers=[("x-amz-meta-a", "1")]).sign()
    change(request)
    check(request.send(), 403, "SignatureDoesNotMatch")
    account.s3.head_object(Bucket=bucket, Key="k")


def test_a_header_added_after_signing(ask):
    answer = ask().sign().set("x-amz-acl", "public-read").send()
    check(answer, 403, "AccessDenied", "There were headers present in the request which were not signed")
    assert "x-amz-acl" in answer.text


def test_spaces_in_headers_are_folded(ask):
    request = ask(headers=[("x-amz-meta-a", "  a   b  ")]).sign()
    assert request.send().status == 200


def test_a_header_given_twice(account, bucket):
    request = wire.Request(account, "PUT", f"/{bucket}/k", b"x").sign()
    request.headers = [(n, v) for n, v in request.headers if n != "Authorization"]
    request.set("x-amz-meta-a", "1,2").sign()
    index = next(i for i, (n, _) in enumerate(request.headers) if n == "x-amz-meta-a")
    request.headers[index : index + 1] = [("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")]
    assert request.send().status == 200
    assert account.s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"a": "1,2"}


def test_an_unknown_key_names_the_ways(ask):
    answer = ask(key="AKIAIOSFODNN7EXAMPLE", secret="x").sign().send()
    check(answer, 403, "InvalidAccessKeyId", "does not exist in our records")
    for way in ("test", "--root-key", "12"):
        assert way in answer.message, answer.message
    assert "<AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE</AWSAccessKeyId>" in answer.text


@pytest.mark.parametrize("key", ["", "test2", "12345678901", "1234567890123", "root", "a" * 200])
def test_other_unknown_keys(ask, key):
    answer = ask(key=key).sign().send()
    assert answer.status in (400, 403), answer
    assert answer.code in ("InvalidAccessKeyId", "AuthorizationHeaderMalformed"), answer


def test_test_is_root_of_the_default_account(ask, account):
    sts = account.client("sts", key=("test", "test"))
    assert sts.get_caller_identity()["Account"] == "000000000000"


@pytest.mark.parametrize("minutes,ok", [(-14, True), (14, True), (-16, False), (16, False)])
def test_clocks(ask, minutes, ok):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    answer = ask(at=at).sign().send()
    if ok:
        assert answer.status == 200, answer
        return
    check(answer, 403, "RequestTimeTooSkewed",
          "The difference between the request time and the current time is too large.")
    assert "<ServerTime>" in answer.text and "<MaxAllowedSkewMilliseconds>900000<" in answer.text


def test_no_date(ask):
    answer = ask().sign().without("x-amz-date").send()
    check(answer, 403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")


def test_a_date_that_is_none(ask):
    answer = ask().sign().set("x-amz-date", "yesterday").send()
    assert answer.status == 403 and answer.code in ("AccessDenied", "SignatureDoesNotMatch"), answer


def test_the_body_is_signed(account, bucket, ask):
    request = ask("PUT", body=b"what was signed").sign()
    request.body = b"what was sent.."
    answer = request.send()
    check(answer, 400, "XAmzContentSHA256Mismatch",
          "The provided 'x-amz-content-sha256' header does not match what was computed.")
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"


def test_no_hash_of_the_body(ask):
    check(ask().sign().without("x-amz-content-sha256").send(), 400, "InvalidRequest",
          "Missing required header for this request: x-amz-content-sha256")


@pytest.mark.parametrize("value", ["x", "0" * 63, "STREAMING-NONSENSE", "G" * 64])
def test_a_hash_that_is_none(ask, value):
    check(ask().sign(payload_hash=value).send(), 400, "InvalidArgument", "x-amz-content-sha256")


@pytest.mark.parametrize(
    "value",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 nonsense",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/s3/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/s3/aws4_request, Signature=0",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/s3/aws4_reques, SignedHeaders=host, "
        "Signature=0",
    ],
)
def test_an_authorization_that_is_none(ask, value):
    answer = ask().sign().set("Authorization", value).send()
    check(answer, 400, "AuthorizationHeaderMalformed", "The authorization header is malformed")


@pytest.mark.parametrize(
    "value,part",
    [("Bearer x", "Unsupported Authorization Type"), ("Basic eDp4", "Unsupported"),
     ("AWS5-HMAC x", "Unsupported"), ("nonsense", "one and only one ' ' (space) required")])
def test_another_scheme(ask, value, part):
    check(ask().sign().set("Authorization", value).send(), 400, "InvalidArgument", part)


def test_a_scope_of_another_day(ask):
    request = ask().sign()
    value = request.header("authorization")
    request.set("Authorization", value.replace(f"/{request.signer.stamp[:8]}/", "/20200101/"))
    answer = request.send()
    assert answer.status in (400, 403), answer
    assert answer.code in ("AuthorizationHeaderMalformed", "SignatureDoesNotMatch"), answer


def test_both_header_and_query(ask):
    request = ask().presign()
    request.sign(payload_hash=wire.EMPTY)
    check(request.send(), 400, "InvalidArgument", "Only one auth mechanism allowed")


def test_anonymous_is_anonymous(ask):
    check(ask().send(), 403, "AccessDenied", "Access Denied")
    check(ask("PUT", body=b"x").send(), 403, "AccessDenied")


class TestChunks:
    """A body in signed chunks."""

    def request(self, account, bucket, size):
        return wire.Request(account, "PUT", f"/{bucket}/c", headers=[
            ("Content-Encoding", "aws-chunked"),
            ("X-Amz-Decoded-Content-Length", str(size)),
        ]).sign(payload_hash="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")

    @pytest.mark.parametrize("pieces", [
        [b"x" * 65536, b"y" * 10], [b"z"], [], [b"a" * 8192] * 5,
    ], ids=["two", "one", "none", "five"])
    def test_right(self, account, bucket, pieces):
        request = self.request(account, bucket, sum(map(len, pieces)))
        request.body = wire.aws_chunks(request, pieces)
        answer = request.send()
        assert answer.status == 200, answer
        got = account.s3.get_object(Bucket=bucket, Key="c")
        assert got["Body"].read() == b"".join(pieces)

    def nothing(self, account, bucket):
        with refused("404", 404):
            account.s3.head_object(Bucket=bucket, Key="c")

    @pytest.mark.parametrize("chunk", [0, 1, 2])
    def test_a_wrong_signature_of_one(self, account, bucket, chunk):
        request = self.request(account, bucket, 65536 + 10)
        body = wire.aws_chunks(request, [b"x" * 65536, b"y" * 10])
        at = -1
        for _ in range(chunk + 1):
            at = body.index(b"chunk-signature=", at + 1)
        at += len(b"chunk-signature=")
        flipped = b"0" if body[at : at + 1] != b"0" else b"1"
        request.body = body[:at] + flipped + body[at + 1 :]
        check(request.send(), 403, "SignatureDoesNotMatch")
        self.nothing(account, bucket)

    def test_changed_data(self, account, bucket):
        request = self.request(account, bucket, 65536)
        request.body = wire.aws_chunks(request, [b"x" * 65536]).replace(b"xxx", b"xyx", 1)
        check(request.send(), 403, "SignatureDoesNotMatch")
        self.nothing(account, bucket)

    def test_chunks_out_of_order(self, account, bucket):
        request = self.request(account, bucket, 2 * 8192)
        first, second = b"x" * 8192, b"y" * 8192
        body = wire.aws_chunks(request, [first, second])
        length = body.index(b"2000;", 10)
        request.body = body[length : 2 * length] + body[:length] + body[2 * length :]
        check(request.send(), 403, "SignatureDoesNotMatch")
        self.nothing(account, bucket)

    BROKEN = {
        "no size": lambda b: b.replace(b"2000;", b";", 1),
        "a size that is none": lambda b: b.replace(b"2000;", b"zz;", 1),
        "a negative size": lambda b: b.replace(b"2000;", b"-1;", 1),
        "a huge size": lambda b: b.replace(b"2000;", b"f" * 17 + b";", 1),
        "a size too small": lambda b: b.replace(b"2000;", b"1fff;", 1),
        "a size too large": lambda b: b.replace(b"2000;", b"2001;", 1),
        "no signature": lambda b: b[: b.index(b";")] + b[b.index(b"\r\n") :],
        "no line end": lambda b: b.replace(b"\r\n", b"", 1),
        "an endless line": lambda b: b"0" * 100_000 + b,
        "no last chunk": lambda b: b[: b.rindex(b"0;chunk")],
        "something after": lambda b: b + b"more of it",
        "not chunked": lambda b: b"x" * len(b),
    }

    @pytest.mark.parametrize("how", BROKEN)
    def test_broken_framing(self, account, bucket, how):
        request = self.request(account, bucket, 8192)
        request.body = self.BROKEN[how](wire.aws_chunks(request, [b"x" * 8192]))
        answer = request.send()
        assert answer.status in (400, 403), answer
        assert answer.code in (
            "IncompleteBody", "InvalidRequest", "InvalidChunkSizeError", "InvalidArgument",
            "SignatureDoesNotMatch", "MalformedTrailerError",
        ), answer
        self.nothing(account, bucket)

    @pytest.mark.parametrize("size", ["8191", "8193", "0", "-1", "x", str(1 << 70)])
    def test_the_decoded_length_lies(self, account, bucket, size):
        request = self.request(account, bucket, size)
        request.body = wire.aws_chunks(request, [b"x" * 8192])
        answer = request.send()
        assert answer.status in (400, 411), answer
        self.nothing(account, bucket)

    def test_no_decoded_length(self, account, bucket):
        request = wire.Request(account, "PUT", f"/{bucket}/c").sign(
            payload_hash="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        request.body = wire.aws_chunks(request, [b"x" * 8192])
        check(request.send(), 411, "MissingContentLength")
        self.nothing(account, bucket)

    def test_a_trailer_that_was_not_announced_or_does_not_come(self, account, bucket):
        for announced, sent in (("x-amz-checksum-crc32", None),
                                ("x-amz-checksum-crc32", ("x-amz-checksum-sha1", "x")),
                                ("x-amz-checksum-crc32", ("x-amz-checksum-crc32", "!!"))):
            request = wire.Request(account, "PUT", f"/{bucket}/c", headers=[
                ("Content-Encoding", "aws-chunked"), ("X-Amz-Decoded-Content-Length", "4"),
                ("X-Amz-Trailer", announced),
            ]).sign(payload_hash="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
            request.body = wire.aws_chunks(request, [b"data"], sent, signed=False)
            answer = request.send()
            assert answer.status == 400, answer
            assert answer.code in ("MalformedTrailerError", "InvalidRequest", "BadDigest"), answer
        self.nothing(account, bucket)


class TestQuery:
    """The same for a service with the Query protocol, whose codes are others."""

    def request(self, account, **signer):
        request = wire.Request(
            account, "POST", "/", b"Action=ListUsers&Version=2010-05-08", service="iam", **signer)
        return request.set("Content-Type", "application/x-www-form-urlencoded")

    def test_right(self, account):
        answer = self.request(account).sign().send()
        assert answer.status == 200 and "<ListUsersResult>" in answer.text, answer

    def test_in_the_query(self, account):
        request = wire.Request(
            account, "GET", "/?Action=ListUsers&Version=2010-05-08", service="iam")
        assert request.sign().send().status == 200

    def check(self, answer, status, code):
        assert (answer.status, answer.code) == (status, code), answer
        assert "<ErrorResponse" in answer.text and "<Type>Sender</Type>" in answer.text
        assert "<RequestId>" in answer.text and answer.headers["x-amzn-requestid"]

    def test_wrong(self, account):
        self.check(self.request(account, secret="x").sign().send(), 403, "SignatureDoesNotMatch")
        self.check(self.request(account, key="AKIAX").sign().send(), 403, "InvalidClientTokenId")
        changed = self.request(account).sign()
        changed.body = changed.body.replace(b"ListUsers", b"ListRoles")
        self.check(changed.send(), 403, "SignatureDoesNotMatch")
        short = self.request(account).sign().set(
            "Authorization", "AWS4-HMAC-SHA256 Credential=x")
        answer = short.send()
        # Which service was meant is then known by nothing; S3 speaks for those.
        assert answer.status in (400, 403), answer
        assert answer.code in ("IncompleteSignature", "AuthorizationHeaderMalformed"), answer
        late = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=20)
        answer = self.request(account, at=late).sign().send()
        self.check(answer, 403, "SignatureDoesNotMatch")
        assert "Signature expired" in answer.message

    def test_nobody(self, account):
        # Without a signature only the action in the body says which service is meant.
        answer = self.request(account).send()
        assert answer.status == 403 and answer.code == "MissingAuthenticationToken", answer

    @pytest.mark.parametrize("body,code", [
        (b"Action=NoSuchThing&Version=2010-05-08", "InvalidAction"),
        (b"Version=2010-05-08", "MissingAction"),
        (b"", "MissingAction"),
        (b"Action=GetUser&UserName=%ff&Version=2010-05-08", None),
        (b"Action=CreateUser&Version=2010-05-08", "ValidationError"),
        (b"%%%=&&&===", None),
        (b"Action=TagUser&UserName=u&Tags.member.999999999.Key=x&Version=2010-05-08", None),
        (b"Action=ListUsers&MaxItems=x&Version=2010-05-08", None),
        (b"Action=ListUsers&MaxItems=99999999999999999999&Version=2010-05-08", None),
    ], ids=range(9))
    def test_bad_input(self, account, body, code):
        request = self.request(account)
        request.body, request.payload_hash = body, wire.sha256(body)
        answer = request.sign().send()
        assert 400 <= answer.status < 500, answer
        if code:
            assert answer.code == code, answer


def test_a_key_of_a_user_without_rights_is_known(account):
    key = account.new_user("u", allow("iam:GetUser"))
    with refused("AccessDenied", 403):
        account.client("s3", key=key).list_buckets()
