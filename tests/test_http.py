"""HTTP itself: versions, keep-alive, 100-continue, CORS, and the pages of the cloud's own."""

import io
import re
import socket

import h2.config
import h2.connection
import httpx
import pytest
import requests
import wire
from accounts import Account
from cloud import cumulet
from deadline import wait_until

pytestmark = pytest.mark.unkilled

MIB = 1 << 20


def signed(account, method, target, body=b""):
    request = wire.Request(account, method, target, body).sign()
    return f"{account.endpoint}{target}", dict(request.headers)


def test_http_2(account, bucket):
    data = bytes(range(256)) * 20_000
    with httpx.Client(http1=False, http2=True) as client:
        url, headers = signed(account, "PUT", f"/{bucket}/k", data)
        put = client.put(url, headers=headers, content=data)
        assert (put.status_code, put.http_version) == (200, "HTTP/2"), put.text
        url, headers = signed(account, "GET", f"/{bucket}/k")
        got = client.get(url, headers=headers)
        assert got.content == data and got.http_version == "HTTP/2"
        url, headers = signed(account, "GET", f"/{bucket}/absent")
        absent = client.get(url, headers=headers)
        assert absent.status_code == 404 and "<Code>NoSuchKey</Code>" in absent.text
        url, headers = signed(account, "HEAD", f"/{bucket}/k")
        head = client.head(url, headers=headers)
        assert head.headers["content-length"] == str(len(data)) and head.content == b""


def test_http_2_many_streams_of_one_connection(account, bucket):
    import asyncio

    async def all_():
        async with httpx.AsyncClient(http1=False, http2=True, timeout=30) as client:
            async def one(n):
                body = str(n).encode() * 1000
                url, headers = signed(account, "PUT", f"/{bucket}/k{n}", body)
                assert (await client.put(url, headers=headers, content=body)).status_code == 200
                url, headers = signed(account, "GET", f"/{bucket}/k{n}")
                assert (await client.get(url, headers=headers)).content == body

            await asyncio.gather(*(one(n) for n in range(100)))

    asyncio.run(all_())


def test_a_connection_is_kept(account, bucket):
    with wire.talk(account.cloud.address) as line:
        for n in range(5):
            request = wire.Request(account, "PUT", f"/{bucket}/k{n}", b"data").sign()
            assert line.send(request.head() + request.body)
            assert line.answer().status == 200
            missing = wire.Request(account, "GET", f"/{bucket}/absent").sign()
            assert line.send(missing.head())
            assert line.answer().status == 404


def test_connection_close(account):
    with wire.talk(account.cloud.address) as line:
        line.send(wire.Request(account, "GET", "/").sign().set("Connection", "close").head())
        assert line.answer().status == 200
        assert line.closed(5)


def test_expect_100_continue(account, bucket):
    request = wire.Request(account, "PUT", f"/{bucket}/k", b"x" * 100_000).sign()
    request.set("Expect", "100-continue")
    with wire.talk(account.cloud.address) as line:
        line.send(request.head())
        assert line.interim() == 100
        line.send(request.body)
        assert line.answer().status == 200


def test_expect_100_continue_of_nobody(account, bucket):
    """Whoever asks before they send is told at once that they may not, and that they may."""
    request = wire.Request(account, "PUT", f"/{bucket}/k", b"x" * 100)
    request.set("Expect", "100-continue").set("Content-Length", "100")
    for acl, expected in (("private", 403), ("public-read-write", 100), ("public-read", 403)):
        account.s3.put_bucket_acl(Bucket=bucket, ACL=acl)
        with wire.talk(account.cloud.address) as line:
            line.send(request.head())
            assert line.interim() == expected, acl
            if expected == 100:
                line.send(request.body)
                assert line.answer().status == 200
    assert account.s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == 100


def test_who_expects_100_continue_for_nothing(account, bucket):
    """botocore takes whatever comes before the body it does not have for the beginning of the next answer
    too, as long as the connection stands, and that answer then has no headers."""
    request = wire.Request(account, "PUT", f"/{bucket}/k").sign().set("Content-Length", "0")
    with wire.talk(account.cloud.address) as line:
        line.send(request.set("Expect", "100-continue").head())
        answer = line.answer()
        assert (answer.status, answer.headers.get("connection")) == (200, "close")
        assert line.closed(5)
    s3 = account.client("s3", max_pool_connections=1, request_checksum_calculation="when_required")
    for body in [b"", b"x", b"", b"", b"x"]:
        assert s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(body))["ETag"]


@pytest.mark.parametrize("mebibytes", [2, 48])
def test_a_refusal_is_read_by_who_sends_first(account, mebibytes):
    """Most clients send all of a body before they look: closing on them would lose the answer."""
    body = b"x" * (mebibytes * MIB)
    target = f"/{account.bucket_name('absent')}/k"
    request = wire.Request(account, "PUT", target, body).sign(payload_hash=wire.UNSIGNED)
    with wire.talk(account.cloud.address) as line:
        assert line.send(request.head())
        for at in range(0, len(body), MIB):
            assert line.send(body[at:at + MIB]), "closed before all was sent"
        answer = line.answer()
        assert (answer.status, answer.code) == (404, "NoSuchBucket"), answer
        assert line.closed(5)


@pytest.mark.parametrize("size", [123, 64 * MIB])
@pytest.mark.parametrize("why", ["a wrong secret", "no bucket", "no permission", "no signature"])
def test_a_refusal_does_not_wait_for_the_body(account, bucket, why, size):
    signer, target = {}, f"/{bucket}/k"
    if why == "a wrong secret":
        signer = {"secret": "no"}
    elif why == "no bucket":
        target = f"/{account.bucket_name('absent')}/k"
    else:
        key = account.new_user("u")
        signer = {"key": key[0], "secret": key[1]}
    request = wire.Request(account, "PUT", target, **signer)
    if why != "no signature":
        request.sign(payload_hash=wire.UNSIGNED)
    request.set("Expect", "100-continue").set("Content-Length", str(size))
    with wire.talk(account.cloud.address) as line:
        line.send(request.head())
        status = line.interim()
    assert status in (403, 404), status


def test_every_answer_has_its_headers(account, bucket):
    answers = [
        wire.call(account, "GET", "/"),
        wire.call(account, "GET", f"/{bucket}/absent"),
        wire.call(account, "GET", "/", secret="no"),
    ]
    seen = set()
    for answer in answers:
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"])
        seen.add(answer.headers["x-amz-request-id"])
        assert answer.headers["x-amz-id-2"]
    assert len(seen) == 3
    assert f"<RequestId>{answers[1].headers['x-amz-request-id']}</RequestId>" in answers[1].text


def test_an_etag_and_a_length_on_head(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    answer = wire.call(account, "HEAD", f"/{bucket}/k")
    assert (answer.headers["content-length"], answer.body) == ("4", b"")
    missing = wire.call(account, "HEAD", f"/{bucket}/absent")
    assert (missing.status, missing.body) == (404, b"")


def preflight(account, path, origin="http://page.example", method="POST", asked="authorization"):
    return requests.options(f"{account.endpoint}{path}", headers={
        "Origin": origin, "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": asked})


def test_preflight_of_an_api(account):
    asked = "authorization,content-type,x-amz-date,x-amz-security-token,x-amz-target"
    answer = preflight(account, "/?Action=GetCallerIdentity&Version=2011-06-15", asked=asked)
    if answer.status_code != 200:
        # Without a body or a signature nothing but the parameters can tell it from a bucket.
        assert "CORSResponse" in answer.text, answer.text
        return
    assert answer.headers["access-control-allow-origin"] == "*"
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in asked.split(","))
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_preflight_of_a_bucket_without_rules(account, bucket):
    answer = preflight(account, f"/{bucket}/k", method="PUT")
    assert answer.status_code == 403
    assert "CORSResponse: CORS is not enabled for this bucket." in answer.text


def test_an_answer_to_a_page_can_be_read(account):
    key = account.new_user("u")
    request = wire.Request(
        account, "POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15", service="sts",
        key=key[0], secret=key[1], headers=[("Origin", "http://page.example")])
    answer = request.set("Content-Type", "application/x-www-form-urlencoded").sign().send()
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "x-amzn-requestid" in answer.headers["access-control-expose-headers"].lower()


DYNAMODB = "dynamodb.us-east-1.amazonaws.com"


def test_the_door_of_dynamodb(account):
    """It greets who only asks whether it is there, lets pages of any origin read, and takes small heads."""
    def ask(method, host=DYNAMODB, path="/", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, f"{account.endpoint}{path}", headers={"Host": host, **headers})

    for host in (DYNAMODB, "streams.dynamodb.us-east-1.amazonaws.com", "dynamodb.us-east-1.localhost"):
        answer = ask("GET", host)
        assert (answer.status_code, answer.text.strip()) == (200, f"healthy: {host}")
        assert "access-control-allow-origin" not in answer.headers
    assert ask("GET", path="/abc").status_code in (400, 404)
    for method in ("GET", "POST", "OPTIONS"):
        answer = ask(method, Origin="http://page.example")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert ("access-control-max-age" in answer.headers) == (method == "OPTIONS")
    asked = ask("OPTIONS", Origin="http://page.example", Access_Control_Request_Method="POST",
                Access_Control_Request_Headers="x-amz-target, authorization")
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert asked.headers["access-control-allow-headers"] == "x-amz-target, authorization"
    for large in ({"a": "x" * 9_000, "b": "y" * 9_000}, {"path": "/" + "x" * 17_000}):
        answer = ask("POST", **large)
        assert answer.status_code == 400 and "RequestHeaderSectionTooLarge" in answer.text


@pytest.mark.parametrize("between", [", ", ",", " ", "  ", " , "])
def test_what_stands_between_the_parts_of_a_signature(account, between):
    request = wire.Request(account, "POST", "/", b"{}", service="dynamodb", headers=[
        ("Content-Type", "application/x-amz-json-1.0"), ("X-Amz-Target", "DynamoDB_20120810.ListTables")])
    request.sign()
    value = request.header("Authorization")
    assert request.set("Authorization", value.replace(", ", between).replace(",Sig", between + "Sig")).send().status == 200


def test_a_page_may_read_dynamodb_but_not_as_everybody(account):
    request = wire.Request(account, "POST", "/", b"{}", service="dynamodb", headers=[
        ("Content-Type", "application/x-amz-json-1.0"), ("X-Amz-Target", "DynamoDB_20120810.ListTables"),
        ("Origin", "http://page.example")])
    answer = request.sign().send()
    assert answer.status in (400, 403) and b"TableNames" not in answer.body
    assert answer.headers["access-control-allow-origin"] == "*"


def test_health(account):
    answer = requests.get(f"{account.endpoint}/health")
    assert answer.status_code == 200 and answer.json()["status"] == "ok"


def metric(text, name, **labels):
    total = 0.0
    for line in text.splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? ([0-9.e+-]+)", line)
        if found and found.group(1) == name:
            if all(f'{k}="{v}"' in (found.group(2) or "") for k, v in labels.items()):
                total += float(found.group(3))
    return total


def test_metrics(account, bucket):
    def read():
        answer = requests.get(f"{account.endpoint}/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return answer.text

    before = read()
    names = set(re.findall(r"^# TYPE (\w+)", before, re.MULTILINE))
    for line in before.splitlines():
        if not line.startswith("#"):
            base = re.sub("_(bucket|sum|count)$", "", line.split("{")[0].split(" ")[0])
            assert base in names or line.split("{")[0].split(" ")[0] in names, line
    counter = next(n for n in names if re.search("requests.*total|request.*seconds", n)
                   and "unrouted" not in n)
    if counter.endswith("seconds"):
        counter += "_count"
    for n in range(7):
        account.s3.put_object(Bucket=bucket, Key=f"{n}", Body=b"x")
    after = read()
    label = {"operation": "PutObject"}
    assert metric(after, counter, **label) - metric(before, counter, **label) >= 7
    assert metric(after, "cumulet_panics_total") == 0


def test_a_bucket_may_be_called_health(account):
    # The pages have the plain names only for those who sign nothing.
    answer = wire.call(account, "GET", "/health")
    assert answer.status in (403, 404) and answer.code in ("NoSuchBucket", "AccessDenied"), answer


def test_the_access_log(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="seen-in-the-log", Body=b"x")
    def line():
        return next((x for x in account.cloud.log().splitlines() if "seen-in-the-log" in x), None)

    text = wait_until(line, "the request is in the log")
    assert "PUT" in text and "200" in text, text
    assert "PutObject" in text, text


def test_it_is_nothing_but_what_it_says(account):
    for path in ("/_cumulet/", "/_cumulet/../../etc/passwd", "/_cumulet/x"):
        answer = requests.get(f"{account.endpoint}{path}")
        assert answer.status_code in (403, 404), answer.text


def test_a_request_that_is_taken_back_is_not_under_way(own_cloud):
    """What is under way holds up background work: a request that was reset must not."""
    cloud = own_cloud()
    account = Account("700000000042", cloud)
    assert wire.call(account, "PUT", "/leaving").status == 200
    slow = cumulet("fault", "add", "s3:GetObject", "--latency", "300s", "--listen", "%s:%d" % cloud.address)
    assert slow.returncode == 0, slow.stderr
    request = wire.Request(account, "GET", "/leaving/k").sign()
    head = [
        (":method", "GET"), (":scheme", "http"), (":path", "/leaving/k"), (":authority", "%s:%d" % cloud.address),
        *[(n.lower(), v) for n, v in request.headers if n != "Host"]]

    def under_way():
        return metric(requests.get(f"{cloud.endpoint}/metrics").text, "cumulet_requests_in_flight")

    idle = under_way()
    made = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    made.initiate_connection()
    for stream in (1, 3, 5):
        made.send_headers(stream, head, end_stream=True)
    with socket.create_connection(cloud.address, timeout=10) as line:
        line.sendall(made.data_to_send())
        wait_until(lambda: under_way() == idle + 3, "they are under way")
        for stream in (1, 3, 5):
            made.reset_stream(stream, 8)
        line.sendall(made.data_to_send())
        wait_until(lambda: under_way() == idle, "nothing is under way")
