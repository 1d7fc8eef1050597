"""The names of AWS answered here: DNS, and TLS for whatever name a client asks for."""

import contextlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest
import requests
from accounts import AWS, Account
from cloud import clean_env, cumulet
from dnswire import AAAA, ANY, FORMERR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL, TXT, Answer
from dnswire import ask, ask_tcp, query

pytestmark = pytest.mark.unkilled


def place(cloud, what):
    found = re.search(rf"^{what} on ([\d.]+):(\d+)", cloud.log(), re.MULTILINE)
    assert found, cloud.log()
    return found.group(1), int(found.group(2))


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A cloud with every kind of door, on ports of its own; foreign names go to a resolver of ours."""
    from cloud import Cloud

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.bind(("127.0.0.1", 0))
        threading.Thread(target=_resolve, args=(resolver,), daemon=True).start()
        doors = [word for kind in ("https", "http", "dns")
                 for word in (f"--{kind}-listen", "127.0.0.1:0")]
        forward = "127.0.0.1:%d" % resolver.getsockname()[1]
        cloud = Cloud(tmp_path_factory.mktemp("named") / "data",
                      [*doors, "--dns-forward", forward, "--head-timeout-s", "2"])
        cloud.attempts, cloud.watch, cloud.before_request = 1, lambda _: None, lambda: None
        cloud.start()
        yield cloud
        cloud.discard()


def _resolve(socket_):
    """`example.com` is at 192.0.2.7; what begins with `large` gets more than fits, all else nothing."""
    with contextlib.suppress(OSError):
        while True:
            data, client = socket_.recvfrom(4096)
            answer = bytearray(data)
            answer[2] |= 0x80
            if data[12:].startswith(b"\7example"):
                answer[7] = 1
                answer += bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7])
            elif data[12:].startswith(b"\5large"):
                answer += bytes(900)
            else:
                continue
            socket_.sendto(answer, client)


@pytest.fixture
def dns(named):
    return place(named, "DNS")


def test_names_that_lead_here(dns):
    for name in ["s3.us-east-1.amazonaws.com", "STS.amazonaws.com", "photos.s3.amazonaws.com",
                 "a.b.s3-website-us-east-1.amazonaws.com", "x.localhost.localstack.cloud",
                 "us-east-1.queue.amazonaws.com", "localhost"]:
        assert ask(dns, query(name)).address == "127.0.0.1", name
        assert ask(dns, query(name, ANY)).address == "127.0.0.1", name
        # There, but of no such kind: the client goes on with the address that it has.
        for kind in (AAAA, TXT):
            answer = ask(dns, query(name, kind))
            assert (answer.code, answer.count) == (0, 0), name


def test_names_of_aws_fail_closed(dns):
    for name in ["amazonaws.com", "nonesuch.us-east-1.amazonaws.com", "s3.xx-east-9.amazonaws.com",
                 "d111111abcdef8.cloudfront.net", "x.auth.us-east-1.amazoncognito.com",
                 "app.us-east-1.elasticbeanstalk.com", "example.com.amazonaws.com"]:
        answer = ask(dns, query(name))
        assert (answer.code, answer.count) == (NXDOMAIN, 0), name


def test_other_names_are_handed_on(dns):
    assert ask(dns, query("example.com", number=4711)).address == "192.0.2.7"
    assert ask(dns, query("example.com", number=4711)).number == 4711
    cut = ask(dns, query("large.example.com"))
    assert cut.truncated and len(cut.data) < 60
    whole = ask(dns, query("large.example.com", edns=1232))
    assert not whole.truncated and len(whole.data) > 900
    # The resolver says nothing: neither do we for ever.
    assert ask(dns, query("silent.example.org"), seconds=10).code == SERVFAIL


def test_over_tcp(dns):
    first, second = ask_tcp(dns, query("s3.amazonaws.com"), query("x.amazonaws.com", number=9))
    assert first.address == "127.0.0.1"
    assert (second.number, second.code) == (9, NXDOMAIN)


def test_without_a_resolver(own_cloud):
    cloud = own_cloud("--dns-listen", "127.0.0.1:0", "--dns-forward", "none")
    assert ask(place(cloud, "DNS"), query("example.com")).code == REFUSED


def test_bad_queries(dns):
    good = query("s3.amazonaws.com")
    for bad, code in [
        (good + b"\0", FORMERR), (good[:-1], FORMERR), (good[:20], FORMERR),
        (good[:4] + b"\0\2" + good[6:], FORMERR), (good[:2] + b"\x28\0" + good[4:], NOTIMP),
        (good[:12] + b"\xc0\x0c\0\1\0\1", FORMERR),
    ]:
        answer = ask(dns, bad)
        assert answer.code == code and len(answer.data) <= len(bad), bad
    # Answers, and what is no message at all, get nothing: loops and floods begin so.
    for silent in (b"", b"x", good[:11], good[:2] + b"\x81\x80" + good[4:]):
        assert ask(dns, silent, seconds=0.3) is None, silent
    assert ask(dns, good).address == "127.0.0.1"


def test_answers_are_hardly_longer_than_queries(dns):
    for name in ("s3.amazonaws.com", "x.amazonaws.com"):
        for kind in (1, AAAA, TXT, ANY, 43, 48, 65):
            data = query(name, kind, edns=4096)
            assert len(ask(dns, data).data) <= len(data) + 45


def test_a_dns_connection_that_says_nonsense(dns):
    with socket.create_connection(dns, timeout=5) as own:
        own.sendall(b"\xff\xff" + b"x" * 100)
        with contextlib.suppress(ConnectionResetError):
            assert own.recv(10) == b""
    assert isinstance(ask(dns, query("s3.amazonaws.com")), Answer)


def authority(cloud):
    return os.path.join(cloud.data, "tls", "ca.pem")


def handshake(cloud, name, protocols=("h2", "http/1.1"), at=None):
    context = ssl.create_default_context(cafile=authority(cloud))
    # What Python 3.13 asks for by default.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(list(protocols))
    raw = socket.create_connection(at or place(cloud, "HTTPS"), timeout=10)
    with raw, context.wrap_socket(raw, server_hostname=name) as own:
        return own.selected_alpn_protocol(), own.getpeercert()


@pytest.mark.parametrize("name", [
    "s3.us-east-1.amazonaws.com", "dotted.bucket.name.s3.amazonaws.com", "localhost", "127.0.0.1",
    "photos.s3-website.eu-central-1.amazonaws.com", "sqs.us-east-1.localhost.localstack.cloud"])
def test_certificates_by_name(named, name):
    protocol, certificate = handshake(named, name)
    assert protocol == "h2"
    names = {value for _, value in certificate["subjectAltName"]}
    # A client that connects to an address names no host.
    assert name in names and (len(names) == 1 or name in ("127.0.0.1", "localhost")), names


def test_http_one_where_that_is_asked_for(named):
    assert handshake(named, "s3.amazonaws.com", ["http/1.1"])[0] == "http/1.1"


@pytest.mark.parametrize("name", ["example.com", "nonesuch.us-east-1.amazonaws.com"])
def test_no_certificate_for_other_names(named, name):
    with pytest.raises(ssl.SSLError):
        handshake(named, name)


def test_tls_on_the_main_port_too(named):
    assert handshake(named, "localhost", at=named.address)[0] == "h2"
    assert requests.get(named.endpoint + "/health", timeout=10).status_code == 200


def test_the_key_is_ours_alone(named):
    assert os.stat(os.path.join(named.data, "tls", "ca.key")).st_mode & 0o777 == 0o600
    for name in ("tls", "run"):
        assert os.stat(os.path.join(named.data, name)).st_mode & 0o777 == 0o700


def test_the_authority_stays(own_cloud):
    cloud = own_cloud()
    with open(authority(cloud), encoding="ascii") as file:
        first = file.read()
    cloud.terminate()
    again = own_cloud("--host-name", "cloud.test", data=cloud.data)
    with open(authority(again), encoding="ascii") as file:
        assert file.read() == first
    assert "no TLS for cloud.test" in again.log()


def test_openssl_holds_the_authority_to_its_names(named, tmp_path):
    """With the key stolen, a certificate for another name is still refused."""
    folder = os.path.join(named.data, "tls")
    steps = """
      openssl ecparam -name prime256v1 -genkey -noout -out leaf.key
      openssl req -new -key leaf.key -subj /CN=x -out leaf.csr
      printf 'subjectAltName=DNS:%s\\n' "$NAME" > ext
      openssl x509 -req -in leaf.csr -CA "$CA/ca.pem" -CAkey "$CA/ca.key" -days 9 -extfile ext -out leaf.pem
      openssl verify -CAfile "$CA/ca.pem" -verify_hostname "$NAME" leaf.pem
    """
    for name, good in [("s3.amazonaws.com", True), ("example.com", False)]:
        done = subprocess.run(["sh", "-ec", steps], cwd=tmp_path, capture_output=True, text=True,
                              check=False, env={**os.environ, "CA": folder, "NAME": name})
        assert (done.returncode == 0) == good, done.stdout + done.stderr
        assert good or "permitted subtree violation" in done.stdout + done.stderr


def test_a_handshake_that_stalls(named):
    at = place(named, "HTTPS")
    began = time.monotonic()
    with socket.create_connection(at, timeout=20) as silent, \
         socket.create_connection(at, timeout=20) as half:
        half.sendall(b"\x16\x03\x01\x02\x00\x01")
        # Others are answered meanwhile.
        assert handshake(named, "s3.amazonaws.com")[0] == "h2"
        assert half.recv(10) == b"" and silent.recv(10) == b""
    assert 1 < time.monotonic() - began < 15


def test_plain_http_where_tls_is_due(named):
    with socket.create_connection(place(named, "HTTPS"), timeout=10) as own:
        own.sendall(b"GET / HTTP/1.1\r\nhost: s3.amazonaws.com\r\n\r\n")
        assert b"HTTP/1.1" not in own.recv(1000)


def test_the_port_of_websites(named):
    host, port = place(named, "HTTP")
    assert requests.get(f"http://{host}:{port}/health", timeout=10).status_code == 200


def test_env_for_tls(named):
    port = named.address[1]
    done = cumulet("env", "--tls", "--data", named.data, "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 0, done.stderr
    account = Account("700000000020", named)
    account.new_bucket("photos")
    script = done.stdout + f'\nAWS_ACCESS_KEY_ID={account.id}; "{AWS}" s3 ls'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False,
                           env=clean_env(PYTHONDONTWRITEBYTECODE="1"))
    assert "photos" in shell.stdout, shell.stderr
    nobody = cumulet("env", "--tls", "--data", "/nonexistent")
    assert nobody.returncode == 1 and "first start" in nobody.stderr


def test_doors_that_cannot_be_had(tmp_path, named):
    for kind in ("https", "http", "dns"):
        taken = "%s:%d" % place(named, kind.upper())
        done = cumulet("up", "--data", tmp_path / "d", "--listen", "127.0.0.1:0",
                       f"--{kind}-listen", taken)
        assert done.returncode == 4 and taken in done.stderr, done
    assert not (tmp_path / "d" / "log").exists(), "nothing is opened before"
