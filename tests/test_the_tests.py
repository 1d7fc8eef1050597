"""The suite's own tools, against an independent implementation: a tool that is wrong proves nothing."""

import datetime
from types import SimpleNamespace

import botocore.auth
import pytest
import wire
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from deadline import wait_until

AT = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
ACCOUNT = SimpleNamespace(id="123456789012", cloud=SimpleNamespace(address=("127.0.0.1", 4566)))


@pytest.fixture
def clock(monkeypatch):
    for name in ("get_current_datetime",):
        if hasattr(botocore.auth, name):
            monkeypatch.setattr(botocore.auth, name, lambda *_: AT.replace(tzinfo=None))


@pytest.mark.parametrize(
    "method,target,body,headers",
    [
        ("GET", "/", b"", []),
        ("PUT", "/b/k%20%2B%C3%BC", b"data", [("x-amz-meta-a", "b c")]),
        ("GET", "/b?list-type=2&prefix=a%2Fb", b"", []),
        ("POST", "/b?delete=", b"<Delete/>", [("x-amz-checksum-crc32", "AAAAAA==")]),
    ],
)
def test_signing_is_botocores(clock, method, target, body, headers):
    ours = wire.Request(ACCOUNT, method, target, body, headers, at=AT).sign()
    request = AWSRequest(
        method=method, url=f"http://127.0.0.1:4566{target}", data=body,
        headers={**dict(headers), "X-Amz-Content-SHA256": wire.sha256(body)})
    request.context["payload_signing_enabled"] = True
    signer = botocore.auth.S3SigV4Auth(Credentials(ACCOUNT.id, "test"), "s3", "us-east-1")
    signer.add_auth(request)
    assert request.headers["Authorization"] == ours.header("authorization")


def test_presigning_is_botocores(clock):
    ours = wire.Request(ACCOUNT, "GET", "/b/k", at=AT).presign(300)
    request = AWSRequest(method="GET", url="http://127.0.0.1:4566/b/k")
    signer = botocore.auth.S3SigV4QueryAuth(
        Credentials(ACCOUNT.id, "test"), "s3", "us-east-1", expires=300)
    signer.add_auth(request)
    theirs = request.url.split("X-Amz-Signature=")[1]
    assert ours.target.split("X-Amz-Signature=")[1] == theirs


def test_waiting_ends():
    with pytest.raises(AssertionError, match="never"):
        wait_until(lambda: False, "never", seconds=0.05)
    assert wait_until(lambda: 5, "now") == 5
