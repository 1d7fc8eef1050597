"""Registries that the engine asks first, and those of this machine that speak TLS."""

import contextlib
import http.server
import json
import re
import secrets
import threading

import boto3
import pytest

from cloud import cumulet
from containers import Engine
from test_registry import Registry, digest_of, own_name


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """A cloud that is only a registry, at a port that speaks nothing but TLS as well."""
    far = Engine(tmp_path_factory.mktemp("far"))
    far.cloud.args += ["--https-listen", "127.0.0.1:0", "--root-key", "mirror:long-enough-secret"]
    far.start()
    far.bootstrap()
    yield far
    far.close()


def test_a_registry_of_this_machine_that_speaks_tls(far, tmp_path):
    port = int(re.search(r"(?i)https on 127\.0\.0\.1:(\d+)", far.cloud.log()).group(1))
    engine = Engine(tmp_path).start()
    engine.bootstrap()
    place = f"127.0.0.1:{port}"
    engine.docker("login", "-u", "test", "-p", "test", place)
    engine.docker("tag", "busybox", place + "/safe")
    engine.docker("push", place + "/safe")
    engine.docker("rmi", place + "/safe")
    assert "Downloaded newer image" in engine.docker("pull", place + "/safe")
    engine.docker("pull", place + "/none", code=1)
    assert "manifest unknown" in engine.stderr or "name unknown" in engine.stderr, engine.stderr
    engine.close()


def test_mirrors_of_docker_hub(far, tmp_path):
    here = own_name(far, "library/here")
    for tag in ("1", "2"):
        far.docker("build", "-t", f"{here}:{tag}", "-", stdin=f"FROM busybox\nLABEL is={tag}\n")
        far.docker("push", f"{here}:{tag}")
    place = own_name(far, "")[:-1]
    engine = Engine(tmp_path)
    key = f"http://mirror:long-enough-secret@{place}"
    engine.cloud.args += ["--registry-mirror", "http://127.0.0.1:1", "--registry-mirror", key]
    engine.start()
    assert "long-enough-secret" not in engine.cloud.log()
    # The first one is not there; the second one has it.
    out = engine.docker("pull", "here:1")
    assert "Downloaded newer image for here:1" in out
    shown = engine.inspect("here:1")
    assert shown["Config"]["Labels"] == {"is": "1"} and shown["RepoDigests"][0].startswith("here@sha256:")
    assert json.loads(engine.request("GET", "/distribution/here:2/json")[2])["Descriptor"]["digest"]
    engine.docker("pull", "-a", "here")
    assert set(engine.docker("images", "--format", "{{.Tag}}", "here").split()) == {"1", "2"}
    assert json.loads(engine.request("GET", "/info")[2])["RegistryConfig"]["Mirrors"] == ["http://127.0.0.1:1/", f"http://{place}/"]
    # What has a registry in its name is asked of that alone.
    engine.docker("pull", f"127.0.0.1:1/{secrets.token_hex(4)}", code=1)
    assert "connection refused" in engine.stderr
    # With the last tag of a repository its digests go.
    engine.docker("tag", "here:2", "kept")
    assert "Untagged: here@sha256:" in engine.docker("rmi", "here:2")
    assert engine.inspect("kept")["RepoDigests"] == []
    engine.close()


def test_a_copy_of_another_registry(far, tmp_path):
    name = own_name(far, "library/copied")
    far.docker("build", "-t", name, "-", stdin="FROM busybox\nRUN dd if=/dev/urandom of=/noise bs=1M count=2\n")
    far.docker("push", name)
    engine = Engine(tmp_path)
    key = f"http://mirror:long-enough-secret@{own_name(far, '')[:-1]}"
    engine.cloud.args += ["--registry-upstream", f"far={key}"]
    engine.start()
    assert "long-enough-secret" not in engine.cloud.log()
    copy = own_name(engine, "far/library/copied")
    registry = Registry(engine.cloud.endpoint, "test")
    assert registry.call("GET", "/v2/far/library/none/manifests/latest")[0] == 404
    status, head, content = registry.call("GET", "/v2/far/library/copied/manifests/latest")
    assert status == 200
    layers = [layer["digest"] for layer in json.loads(content)["layers"]]
    blob = registry.call("GET", f"/v2/far/library/copied/blobs/{layers[0]}")
    assert blob[0] == 200 and digest_of(blob[2]) == layers[0]
    assert "Downloaded newer image" in engine.docker("pull", copy)
    assert engine.docker("run", "--rm", copy, "stat", "-c", "%s", "/noise") == str(2 << 20)
    # Who may read but not import gets what is here, and nothing else.
    other = far_only(far)
    iam = boto3.client(
        "iam", endpoint_url=engine.cloud.endpoint, region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )
    iam.create_user(UserName="reader")
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], "Resource": "*"}]}
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = Registry(engine.cloud.endpoint, made["AccessKeyId"], made["SecretAccessKey"])
    assert reader.call("GET", "/v2/far/library/copied/manifests/latest")[0] == 200
    assert reader.call("GET", f"/v2/far/{other}/manifests/latest")[0] == 404
    assert registry.call("GET", f"/v2/far/{other}/manifests/latest")[0] == 200
    assert reader.call("GET", f"/v2/far/{other}/manifests/latest")[0] == 200
    # With the other registry gone it is here.
    assert far.cloud.terminate() == 0
    try:
        engine.docker("rmi", copy)
        engine.docker("pull", copy)
        status, _, content = registry.call("GET", "/v2/far/library/new/manifests/latest")
        assert status == 502 and "a copy of" in json.loads(content)["errors"][0]["message"]
    finally:
        far.cloud.start()
    engine.close()


class Boundless(http.server.BaseHTTPRequestHandler):
    """A registry whose blobs are said to have 70 GiB."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(70 << 30))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"x" * 1_000_000)

    def log_message(self, *_):
        pass


def test_a_copy_of_a_registry_without_bounds(own_cloud):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Boundless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cloud = own_cloud("--registry-upstream", "far=http://127.0.0.1:%d" % server.server_port)
        registry = Registry(cloud.endpoint, "test")
        assert registry.code("GET", f"/v2/far/big/blobs/{digest_of(b'big')}") == (502, "SIZE_INVALID")
        assert registry.call("GET", "/v2/far/big/manifests/latest")[0] == 502
        server.shutdown()


def far_only(far):
    """An image that nobody has fetched yet."""
    name = "library/" + secrets.token_hex(4)
    far.docker("tag", "busybox", own_name(far, name))
    far.docker("push", own_name(far, name))
    return name


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://a", "http://", "http://a/b"])
def test_what_is_no_mirror(tmp_path, url):
    done = cumulet("up", "--data", str(tmp_path / "data"), "--registry-mirror", url)
    assert done.returncode == 2 and "registry_mirror" in done.stderr, done.stderr
