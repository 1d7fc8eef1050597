"""Who may use the well-known pairs: the person at this machine, and nobody else."""

import socket
import subprocess

import pytest
import wire
from accounts import Account, allow, refused
from cloud import cumulet

ORIGINS = ["http://evil.example", "https://evil.example:8443", "null", "http://localhost:3000",
           "file://"]


def with_headers(account, headers, key=None):
    key = key or (account.id, "test")
    return wire.call(account, "GET", "/", headers=headers, key=key[0], secret=key[1])


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_page_of_another_origin(account, origin):
    answer = with_headers(account, [("Origin", origin)])
    assert answer.status == 403, answer
    assert "--allow-origin" in answer.message, answer.message


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin"])
@pytest.mark.parametrize("mode", ["cors", "no-cors", "navigate"])
def test_a_page_that_sends_no_origin(account, site, mode):
    """An image, a link, a form: the browser says so in headers that no page can set."""
    request = wire.Request(
        account, "GET", "/?Action=CreateUser&UserName=evil&Version=2010-05-08", service="iam",
        headers=[("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode)])
    answer = request.sign().send()
    assert answer.status == 403, answer
    assert account.iam.list_users()["Users"] == []


def test_typed_into_the_address_bar(account, bucket):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    request = wire.Request(account, "GET", f"/{bucket}/k", headers=[
        ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Mode", "navigate")]).presign()
    assert request.send().body == b"data"


@pytest.mark.parametrize(
    "host", ["evil.example", "rebind.evil.example:4566", "localhost.evil.example", "192.0.2.2",
             "127.0.0.1.evil.example", "xlocalhost", "0.0.0.0", ""])
def test_a_foreign_host(account, host):
    request = wire.Request(account, "GET", "/").set("Host", host)
    answer = request.sign().send()
    assert answer.status in (400, 403), answer
    assert answer.code != "SignatureDoesNotMatch" and "<Buckets>" not in answer.text, answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:4566", "127.9.9.9"])
def test_hosts_of_this_machine(account, host):
    request = wire.Request(account, "GET", "/").set("Host", host)
    assert request.sign().send().status == 200


def test_an_issued_key_is_good_from_anywhere(account):
    """It is a secret, so a page that has it was given it."""
    key = account.new_user("u", allow("s3:ListAllMyBuckets"))
    for headers in ([("Origin", "http://page.example")], [("Sec-Fetch-Site", "cross-site")]):
        assert with_headers(account, headers, key).status == 200
    request = wire.Request(account, "GET", "/", key=key[0], secret=key[1])
    assert request.set("Host", "cloud.example").sign().send().status == 200


def test_an_allowed_origin(own_cloud):
    cloud = own_cloud("--allow-origin", "http://app.test:3000")
    account = Account("700000000002", cloud)
    answer = with_headers(account, [("Origin", "http://app.test:3000")])
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "http://app.test:3000"
    for origin in ("http://app.test", "http://app.test:3001", "https://app.test:3000"):
        assert with_headers(account, [("Origin", origin)]).status == 403


def test_a_root_key_of_ones_own(own_cloud):
    cloud = own_cloud("--root-key", "AKIAMINE:very-secret")
    account = Account("700000000003", cloud)
    mine = account.client("sts", key=("AKIAMINE", "very-secret")).get_caller_identity()
    assert mine["Arn"].endswith(":root")
    with refused("SignatureDoesNotMatch"):
        account.client("sts", key=("AKIAMINE", "wrong")).get_caller_identity()


def test_strict(own_cloud):
    cloud = own_cloud("--auth", "strict", "--root-key", "AKIAMINE:very-secret")
    account = Account("700000000004", cloud)
    for key in (("test", "test"), ("700000000004", "test")):
        with refused("InvalidAccessKeyId", 403):
            account.client("s3", key=key).list_buckets()
    account.client("s3", key=("AKIAMINE", "very-secret")).list_buckets()


def own_address():
    """An address of this machine that is not loopback. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            pass
    # No network at all: a bridge, as a container engine would make one.
    subprocess.run(["ip", "link", "add", "cumulet-test", "type", "bridge"], check=False)
    subprocess.run(["ip", "addr", "add", "172.31.255.1/30", "dev", "cumulet-test"], check=False)
    subprocess.run(["ip", "link", "set", "cumulet-test", "up"], check=False)
    return "172.31.255.1"


def test_from_a_container_or_a_bridge(own_cloud):
    """A request that does not come over loopback, as a container's does not."""
    cloud = own_cloud("--root-key", "AKIAMINE:very-secret", listen="0.0.0.0:0")
    port = int(cloud.endpoint.rsplit(":", 1)[1])
    cloud.endpoint, cloud.listen = f"http://{own_address()}:{port}", f"{own_address()}:{port}"
    account = Account("700000000005", cloud)
    for key in (("test", "test"), ("700000000005", "test")):
        request = wire.Request(account, "GET", "/", key=key[0], secret=key[1])
        # A page or container may send any Host it likes.
        for host in ("localhost", "127.0.0.1", own_address()):
            answer = request.set("Host", host).sign().send()
            assert answer.status == 403, answer
    account.client("s3", key=("AKIAMINE", "very-secret")).list_buckets()
    cloud.endpoint = f"http://127.0.0.1:{port}"
    account.client("s3", key=("700000000005", "test")).list_buckets()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.2:0"])
def test_beyond_loopback_needs_a_word(tmp_path, listen):
    done = cumulet("up", "--listen", listen, "--data", str(tmp_path / "d"))
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "--auth strict" in said and "--root-key" in said, said
    assert not (tmp_path / "d").exists() or not any((tmp_path / "d").iterdir())


def test_secrets_are_nowhere_in_the_log(own_cloud):
    cloud = own_cloud("--root-key", "AKIAMINE:very-secret-root-key", "--log", "trace")
    account = Account("700000000006", cloud)
    key = account.new_user("u", allow("*"))
    account.client("s3", key=key).list_buckets()
    token = account.client("sts", key=key).get_session_token()["Credentials"]
    cloud.terminate()
    log = cloud.log()
    for secret in (key[1], "very-secret-root-key", token["SecretAccessKey"], token["SessionToken"]):
        assert secret not in log
