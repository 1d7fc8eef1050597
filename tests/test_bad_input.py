"""Hostile bytes below HTTP and in it: an answer in AWS's form, nothing stored, no growth, no panic."""

import contextlib
import os
import socket
import threading

import pytest
import requests
import wire
from accounts import Account, refused
from cloud import memory_kb
from deadline import wait_until

pytestmark = pytest.mark.unkilled

MIB = 1 << 20


@pytest.fixture(autouse=True)
def alive(account):
    """After whatever a test did, the cloud answers."""
    yield
    assert wire.call(account, "GET", "/").status == 200


def keys(account, bucket):
    return [o["Key"] for o in account.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "' + b"x" * 1000 + b'">'
    + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, (b"&%c;" % (97 + n)) * 10) for n in range(8)
    )
    + b"]><Delete><Object><Key>&i;</Key></Object></Delete>"
)
XML = {
    "nothing": b"",
    "a space": b" ",
    "not xml": b"nonsense",
    "json": b'{"Delete": {}}',
    "cut": b"<Delete><Object><Key>k</Key>",
    "crossed": b"<Delete><Object><Key>k</Object></Key></Delete>",
    "another root": b"<Create><Object><Key>k</Key></Object></Create>",
    "two roots": b"<Delete><Object><Key>k</Key></Object></Delete><Delete/>",
    "no key": b"<Delete><Object></Object></Delete>",
    "no object": b"<Delete></Delete>",
    "a bomb": BOMB,
    "an outside entity": b'<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    b"<Delete><Object><Key>&e;</Key></Object></Delete>",
    "an unknown entity": b"<Delete><Object><Key>&nope;</Key></Object></Delete>",
    "no utf-8": b"<Delete><Object><Key>\xff\xfe</Key></Object></Delete>",
    "utf-16": "<Delete><Object><Key>k</Key></Object></Delete>".encode("utf-16"),
    "deep": b"<Delete>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</Delete>",
    "a zero byte": b"<Delete><Object><Key>a\0b</Key></Object></Delete>",
    "a bad reference": b"<Delete><Object><Key>&#xFFFFFFFF;</Key></Object></Delete>",
    "many attributes": b"<Delete " + b" ".join(b'a%d="x"' % n for n in range(20_000)) + b">",
}


@pytest.mark.parametrize("what", XML)
def test_xml(account, bucket, what):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    before = memory_kb(account.cloud.pid, "VmRSS")
    body = XML[what]
    headers = [("x-amz-checksum-crc32", wire.crc32_base64(body))]
    answer = wire.call(account, "POST", f"/{bucket}?delete=", body, headers)
    assert answer.status == 400, answer
    assert answer.code in ("MalformedXML", "MissingRequestBodyError"), answer
    assert answer.headers["content-type"] == "application/xml"
    assert keys(account, bucket) == ["k"]
    assert memory_kb(account.cloud.pid, "VmRSS") - before < 100 * 1024


@pytest.mark.parametrize("what", ["not xml", "cut", "a bomb", "deep", "no utf-8"])
@pytest.mark.parametrize("query", ["versioning=", "acl=", "uploadId"])
def test_xml_elsewhere(account, bucket, query, what):
    target, method = f"/{bucket}?{query}", "PUT"
    if query == "uploadId":
        upload = account.s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
        target, method = f"/{bucket}/k?uploadId={upload}", "POST"
    answer = wire.call(account, method, target, XML[what])
    assert answer.status == 400, answer
    assert answer.code in ("MalformedXML", "MalformedACLError"), answer


def test_a_huge_body_where_a_small_one_belongs(account, bucket):
    before = memory_kb(account.cloud.pid, "VmRSS")
    request = wire.Request(account, "POST", f"/{bucket}?delete=").sign(payload_hash=wire.UNSIGNED)
    request.set("Content-Length", str(4 << 30))
    with wire.talk(account.cloud.address) as line:
        line.send(request.head() + b"<Delete>")
        block = b"<Object><Key>k</Key></Object>" * 40_000
        for _ in range(200):
            if not line.send(block):
                break
        answer = line.answer()
    assert answer is None or answer.status in (400, 413), answer
    if answer:
        assert answer.code in (
            "MalformedXML", "MaxMessageLengthExceeded", "EntityTooLarge", "InvalidRequest"
        ), answer
    assert memory_kb(account.cloud.pid, "VmRSS") - before < 150 * 1024


PATHS = [
    "../../etc/passwd", "..", ".", "a/../b", "./a", "/etc/passwd", "//", "a//b", "C:\\x",
    "..%2F..%2Fx", "%2e%2e/x", "~root", "con", "a\tb", "%01%02", "%7f", "-rf", "$(id)", "`id`",
    "%F0%9F%92%A9", "a" * 300 + "/" + "b" * 300,
]


@pytest.mark.parametrize("path", PATHS)
def test_keys_like_paths(account, bucket, path):
    """Kept as they are or refused, and never a path of this machine's."""
    target = f"/{bucket}/" + path.replace("\t", "%09").replace("\\", "%5C").replace("`", "%60")
    put = wire.call(account, "PUT", target, b"data")
    assert put.status in (200, 400, 403), put
    if put.status == 200:
        assert wire.call(account, "GET", target).body == b"data"
        assert len(keys(account, bucket)) == 1
        assert wire.call(account, "DELETE", target).status == 204
    assert keys(account, bucket) == []
    assert not os.path.exists(os.path.join(account.cloud.data, "..", "x"))


@pytest.mark.parametrize("path", ["%ff", "%zz", "%", "a%2", "%c3%28", "%ed%a0%80"])
def test_keys_that_are_no_text(account, bucket, path):
    answer = wire.call(account, "PUT", f"/{bucket}/{path}", b"x")
    assert 400 <= answer.status < 500, answer
    assert answer.code in ("InvalidURI", "InvalidArgument", "SignatureDoesNotMatch"), answer
    assert keys(account, bucket) == []


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a_b", "A", "%00", "a%2Fb", "x" * 5000])
def test_buckets_that_are_none(account, name):
    answer = wire.call(account, "PUT", f"/{name}", b"")
    assert 400 <= answer.status < 500, answer


def bare(account, data, seconds=30, half_close=False):
    """Sends bytes as they are; gives the answer, or None."""
    with wire.talk(account.cloud.address, seconds) as line:
        line.send(data)
        if half_close:
            with contextlib.suppress(OSError):
                line.socket.shutdown(socket.SHUT_WR)
        try:
            return line.answer()
        except (TimeoutError, ValueError, IndexError):
            return None


NOT_HTTP = {
    "noise": os.urandom(1000),
    "zeros": bytes(1000),
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "smb": b"\x00\x00\x00\x2f\xffSMB",
    "http/0.9": b"GET /\r\n\r\n",
    "no version": b"GET / \r\nHost: localhost\r\n\r\n",
    "http/3.0": b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n",
    "a bad method": b"G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nHost: localhost\r\nx y: z\r\n\r\n",
    "a control in a value": b"GET / HTTP/1.1\r\nHost: localhost\r\nx: a\x01b\r\n\r\n",
    "a zero in a value": b"GET / HTTP/1.1\r\nHost: localhost\r\nx: a\0b\r\n\r\n",
    "a control in the path": b"GET /a\x01b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a length that is none": b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    "a negative length": b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\nxx",
    "a bad encoding": b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n",
    "a bad chunk": b"PUT /b/k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"zz\r\n",
    "a long method": b"A" * 100_000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long path": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nx: " + b"a" * 2_000_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    + b"".join(b"x%d: y\r\n" % n for n in range(100_000)) + b"\r\n",
    "one header many times": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 100_000
    + b"\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("what", NOT_HTTP)
def test_bytes_that_are_no_request(account, what):
    before = memory_kb(account.cloud.pid, "VmRSS")
    answer = bare(account, NOT_HTTP[what], half_close=True)
    assert answer is None or 400 <= answer.status < 600 and answer.status != 500, answer
    assert memory_kb(account.cloud.pid, "VmRSS") - before < 100 * 1024


def with_fields(account, bucket, count):
    """A signed request with so many header fields."""
    request = wire.Request(account, "GET", f"/{bucket}/k").sign()
    for n in range(count - len(request.headers)):
        request.headers.append((f"x{n}", "y"))
    return request


@pytest.mark.parametrize("count", [99, 100, 101, 200, 256])
def test_many_header_fields_are_taken(account, bucket, count):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    answer = bare(account, with_fields(account, bucket, count).head(length=False))
    assert (answer.status, answer.body) == (200, b"data"), answer


@pytest.mark.parametrize("count", [257, 258, 1000, 5000, 100_000])
def test_more_header_fields_than_that_are_refused(account, bucket, count):
    answer = bare(account, with_fields(account, bucket, count).head(length=False))
    assert (answer.status, answer.code) == (400, "RequestHeaderSectionTooLarge"), answer
    assert answer.message == "Your request header section exceeds the maximum allowed size."
    assert answer.headers.get("x-amz-request-id") or answer.headers.get("x-amzn-requestid")


@pytest.mark.parametrize("method", ["BREW", "PATCH", "TRACE", "CONNECT", "PROPFIND"])
def test_methods_that_are_none(account, bucket, method):
    answer = wire.call(account, method, f"/{bucket}/k")
    assert answer.status in (400, 403, 405, 501), answer


def test_http_1_0(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data", ACL="public-read")
    head = b"GET /%s/k HTTP/1.0\r\n\r\n" % bucket.encode()
    answer = bare(account, head)
    assert (answer.status, answer.body) == (200, b"data")


def test_two_requests_at_once_are_answered_in_turn(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="1", Body=b"first", ACL="public-read")
    account.s3.put_object(Bucket=bucket, Key="2", Body=b"second", ACL="public-read")
    head = b"GET /%s/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with wire.talk(account.cloud.address) as line:
        line.send(b"".join(head % (bucket.encode(), n) for n in (1, 2, 1)))
        assert [line.answer().body for _ in range(3)] == [b"first", b"second", b"first"]


def test_a_second_request_does_not_hide_in_a_body(account, bucket):
    """Both a length and chunks: one reading or a refusal, never two."""
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data", ACL="public-read")
    inner = b"GET /%s/k HTTP/1.1\r\nHost: localhost\r\n\r\n" % bucket.encode()
    outer = (
        b"PUT /%s/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (bucket.encode(), len(inner) + 5)
    )
    with wire.talk(account.cloud.address) as line:
        line.send(outer + inner)
        first = line.answer()
        assert first is None or first.status in (400, 403, 411, 501), first
        second = line.answer()
        assert second is None or second.body != b"data", "the inner request was taken for one"


class TestLengths:
    def put(self, account, bucket, length, sent, hash_=wire.UNSIGNED):
        request = wire.Request(account, "PUT", f"/{bucket}/k").sign(payload_hash=hash_)
        request.set("Content-Length", str(length))
        return bare(account, request.head() + sent, half_close=True)

    def test_less_comes_than_was_said(self, account, bucket):
        answer = self.put(account, bucket, 1000, b"x" * 999)
        assert answer is None or (answer.status, answer.code) == (400, "IncompleteBody"), answer
        assert keys(account, bucket) == []

    def test_nothing_comes(self, account, bucket):
        answer = self.put(account, bucket, 1000, b"")
        assert answer is None or (answer.status, answer.code) == (400, "IncompleteBody"), answer
        assert keys(account, bucket) == []

    def test_more_comes_than_was_said(self, account, bucket):
        answer = self.put(account, bucket, 3, b"abcdef")
        assert answer.status == 200, answer
        assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"abc"

    def test_no_length(self, account, bucket):
        request = wire.Request(account, "PUT", f"/{bucket}/k").sign()
        answer = bare(account, request.head(length=False))
        assert (answer.status, answer.code) == (411, "MissingContentLength"), answer
        assert answer.message == "You must provide the Content-Length HTTP header."

    @pytest.mark.parametrize("target", ["k", "k?partNumber=1&uploadId=x"])
    def test_chunks_without_a_length(self, account, bucket, target):
        """What people meet who send a stream of unknown length
        (https://github.com/aws/aws-sdk-js-v3/issues/1920)."""
        request = wire.Request(account, "PUT", f"/{bucket}/{target}")
        request.headers.append(("Transfer-Encoding", "chunked"))
        request.sign(payload_hash="UNSIGNED-PAYLOAD")
        answer = bare(account, request.head() + b"3\r\nabc\r\n0\r\n\r\n")
        assert (answer.status, answer.code) == (501, "NotImplemented"), answer
        assert answer.message == "A header you provided implies functionality that is not implemented"
        assert b"<Header>Transfer-Encoding</Header>" in answer.body
        assert keys(account, bucket) == []

    def test_more_than_an_object_may_have(self, account, bucket):
        answer = self.put(account, bucket, (5 << 30) + 1, b"x")
        assert (answer.status, answer.code) == (400, "EntityTooLarge"), answer
        assert answer.message == "Your proposed upload exceeds the maximum allowed size"

    @pytest.mark.parametrize("length", ["18446744073709551616", "9" * 40, "1e3", "0x10", "+5", "5 5"])
    def test_lengths_that_are_none(self, account, bucket, length):
        answer = self.put(account, bucket, length, b"12345")
        assert answer is None or answer.status in (400, 403), answer
        assert keys(account, bucket) == []


@pytest.mark.parametrize(
    "target",
    ["?max-keys=x", "?max-keys=-1", "?max-keys=99999999999999999999", "?encoding-type=x",
     "?list-type=2&continuation-token=", "?list-type=2&max-keys=1.5"],
)
def test_parameters_that_are_none(account, bucket, target):
    target = "&".join(sorted(target[1:].split("&")))
    answer = wire.call(account, "GET", f"/{bucket}?{target}")
    assert (answer.status, answer.code) == (400, "InvalidArgument"), answer


def test_a_thousand_connections_that_say_nothing(account, bucket):
    """They hold up nobody."""
    lines = []
    try:
        for n in range(1000):
            line = socket.create_connection(account.cloud.address, timeout=10)
            if n % 2:
                line.sendall(b"GET / HTTP/1.1\r\nHost: loc")
            lines.append(line)
        account.s3.put_object(Bucket=bucket, Key="k", Body=b"data")
        assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
    finally:
        for line in lines:
            line.close()


def test_a_head_that_never_ends_is_given_up(own_cloud):
    """A byte now and then keeps nobody's place: the whole head has a deadline."""
    cloud = own_cloud("--head-timeout-s", "2")
    stop = threading.Event()
    with wire.talk(cloud.address) as line:
        line.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")

        def drip():
            while not stop.wait(0.2) and line.send(b"x: y\r\n"):
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert line.closed(seconds=20), "still open"
        finally:
            stop.set()
            dripping.join()


def test_a_connection_that_says_nothing_is_given_up(own_cloud):
    with wire.talk(own_cloud("--head-timeout-s", "1").address) as line:
        assert line.closed(seconds=20)


def test_a_body_that_stalls_is_given_up(own_cloud):
    cloud = own_cloud("--stall-timeout-s", "1")
    account = Account("700000000030", cloud)
    bucket = account.new_bucket()
    request = wire.Request(account, "PUT", f"/{bucket}/k").sign(payload_hash=wire.UNSIGNED)
    request.set("Content-Length", "1000")
    with wire.talk(cloud.address) as line:
        line.send(request.head() + b"x" * 10)
        answer = line.answer()
        assert answer is None or (answer.status, answer.code) == (400, "RequestTimeout"), answer
    assert keys(account, bucket) == []


def test_a_body_of_a_byte_now_and_then_is_given_up(own_cloud):
    """It has its time however often something of it comes."""
    cloud = own_cloud("--stall-timeout-s", "1")
    account = Account("700000000032", cloud)
    stop = threading.Event()
    request = wire.Request(account, "POST", "/", b"x" * 1000, service="iam").sign()
    with wire.talk(cloud.address) as line:
        line.send(request.head())

        def drip():
            while not stop.wait(0.1) and line.send(b"x"):
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert line.closed(seconds=20), "still open"
        finally:
            stop.set()
            dripping.join()


def test_a_reader_that_stalls_is_given_up(own_cloud):
    cloud = own_cloud("--stall-timeout-s", "1")
    account = Account("700000000031", cloud)
    # Not by an SDK, which keeps its connections.
    assert wire.call(account, "PUT", "/stalling").status == 200
    assert wire.call(account, "PUT", "/stalling/k", bytes(64 * MIB)).status == 200
    with wire.talk(cloud.address) as line:
        line.send(wire.Request(account, "GET", "/stalling/k").sign().head())
        assert line.interim() == 200

        def given_up():
            text = requests.get(f"{cloud.endpoint}/metrics").text
            return "cumulet_connections 1\n" in text

        wait_until(given_up, "only the connection that asks is left", 20)


def test_many_wrong_requests_leave_no_memory(account, bucket):
    """Growth is bounded by what the allocator keeps, not by how many requests were bad."""

    def round_():
        for n in range(200):
            wire.Request(account, "PUT", f"/{bucket}/k{n}", b"x" * 10_000, secret="no").sign().send()

    round_()
    before = memory_kb(account.cloud.pid, "VmRSS")
    round_()
    wait_until(
        lambda: memory_kb(account.cloud.pid, "VmRSS") - before < 50 * 1024, "the memory is back"
    )
    with refused("404", 404):
        account.s3.head_object(Bucket=bucket, Key="k1")
