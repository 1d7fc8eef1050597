"""The registry below `/v2/`: the protocol by hand, the stock docker CLI, and a registry of others."""

import base64
import contextlib
import gzip
import hashlib
import http.client
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import tarfile
import threading
import urllib.parse

import docker as docker_py
import pytest

from containers import Engine

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def new_account():
    return f"{secrets.randbelow(9 * 10**11) + 10**11}"


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Registry:
    """One account at the registry."""

    def __init__(self, endpoint, user, password="test"):
        self.place = urllib.parse.urlsplit(endpoint).netloc
        self.auth = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def call(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.place, timeout=30)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.auth and "authorization" not in headers:
            headers["authorization"] = self.auth
        connection.request(method, path, body, {k: v for k, v in headers.items() if v is not None})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), content

    def code(self, method, path, body=None, **headers):
        status, _, content = self.call(method, path, body, **headers)
        return status, json.loads(content)["errors"][0]["code"]

    def put_blob(self, name, content):
        digest = digest_of(content)
        status, head, _ = self.call("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", content)
        assert (status, head["docker-content-digest"]) == (201, digest)
        return digest

    def put_image(self, name, tag, layer=b"layer", subject=None, artifact=None):
        config = self.put_blob(name, b"{}")
        blob = self.put_blob(name, layer)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob, "size": len(layer)}],
        }
        if artifact:
            manifest["artifactType"] = artifact
        if subject:
            manifest["subject"] = {"mediaType": OCI, "digest": subject, "size": 1}
        text = json.dumps(manifest).encode()
        status, head, answer = self.call(
            "PUT", f"/v2/{name}/manifests/{tag or digest_of(text)}", text, content_type=OCI
        )
        assert status == 201, answer
        return digest_of(text), head


@pytest.fixture
def registry(engine):
    return Registry(engine.cloud.endpoint, new_account())


def test_who_may_ask(engine, registry):
    status, head, body = registry.call("GET", "/v2/", authorization=None)
    assert (status, json.loads(body)["errors"][0]["code"]) == (401, "UNAUTHORIZED")
    assert 'realm="' + engine.cloud.endpoint + '/v2/token"' in head["www-authenticate"] or (
        "Basic" in head["www-authenticate"]
    )
    assert registry.call("GET", "/v2/")[0] == 200
    wrong = Registry(engine.cloud.endpoint, "test", "wrong")
    assert wrong.code("GET", "/v2/") == (401, "UNAUTHORIZED")
    assert wrong.code("GET", "/v2/token?service=cumulet") == (401, "UNAUTHORIZED")
    status, _, body = registry.call("GET", "/v2/token?service=cumulet&scope=repository:a:pull")
    token = json.loads(body)["token"]
    assert status == 200
    assert registry.call("GET", "/v2/", authorization=f"Bearer {token}")[0] == 200
    assert registry.call("GET", "/v2/", authorization=f"Bearer {token[:-2]}00")[0] == 401
    # One account sees nothing of another.
    registry.put_image("mine", "latest")
    other = Registry(engine.cloud.endpoint, new_account())
    assert other.code("GET", "/v2/mine/manifests/latest") == (404, "MANIFEST_UNKNOWN")
    assert json.loads(other.call("GET", "/v2/_catalog")[2]) == {"repositories": []}


def test_permissions_are_asked(engine):
    """A user of IAM may do what its policy says, and nothing else."""
    import boto3

    account = new_account()
    iam = boto3.client(
        "iam", endpoint_url=engine.cloud.endpoint, region_name="us-east-1",
        aws_access_key_id=account, aws_secret_access_key="test",
    )
    iam.create_user(UserName="puller")
    key = iam.create_access_key(UserName="puller")["AccessKey"]
    root = Registry(engine.cloud.endpoint, account)
    root.put_image("open/a", "v1")
    root.put_image("closed", "v1")
    user = Registry(engine.cloud.endpoint, key["AccessKeyId"], key["SecretAccessKey"])
    assert user.call("GET", "/v2/")[0] == 200
    assert user.code("GET", "/v2/open/a/manifests/v1") == (403, "DENIED")
    policy = {
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            "Resource": f"arn:aws:ecr:us-east-1:{account}:repository/open/*",
        }],
    }
    iam.put_user_policy(UserName="puller", PolicyName="p", PolicyDocument=json.dumps(policy))
    assert user.call("GET", "/v2/open/a/manifests/v1")[0] == 200
    assert user.call("GET", f"/v2/open/a/blobs/{digest_of(b'layer')}")[2] == b"layer"
    denied = [
        ("GET", "/v2/closed/manifests/v1"), ("PUT", "/v2/open/a/manifests/v2"),
        ("DELETE", "/v2/open/a/manifests/v1"), ("POST", "/v2/open/a/blobs/uploads/"),
        ("GET", "/v2/open/a/tags/list"), ("GET", "/v2/_catalog"),
        ("DELETE", f"/v2/open/a/blobs/{digest_of(b'layer')}"),
        ("PATCH", "/v2/open/a/blobs/uploads/x"), ("PUT", "/v2/open/a/blobs/uploads/x"),
        ("GET", "/v2/open/a/blobs/uploads/x"), ("DELETE", "/v2/open/a/blobs/uploads/x"),
        ("GET", f"/v2/closed/referrers/{digest_of(b'')}"), ("POST", "/v2/_cumulet/collect"),
    ]
    for method, path in denied:
        assert user.code(method, path) == (403, "DENIED"), (method, path)
    # Whoever may put into one repository and only know of another's blobs cannot take them over to read them.
    may = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "ecr:*", "Resource": f"arn:aws:ecr:us-east-1:{account}:repository/own"},
            {"Effect": "Allow", "Action": "ecr:BatchCheckLayerAvailability", "Resource": "*"},
        ],
    }
    iam.put_user_policy(UserName="puller", PolicyName="p", PolicyDocument=json.dumps(may))
    layer = digest_of(b"layer")
    mount = f"/v2/own/blobs/uploads/?mount={layer}&from=closed"
    assert user.call("HEAD", f"/v2/closed/blobs/{layer}")[0] == 200
    assert user.call("POST", mount)[0] == 202
    assert user.code("GET", f"/v2/own/blobs/{layer}") == (404, "BLOB_UNKNOWN")
    may["Statement"][1]["Action"] = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer"]
    iam.put_user_policy(UserName="puller", PolicyName="p", PolicyDocument=json.dumps(may))
    assert user.call("POST", mount)[0] == 201
    assert user.call("GET", f"/v2/own/blobs/{layer}")[2] == b"layer"
    iam.delete_access_key(UserName="puller", AccessKeyId=key["AccessKeyId"])
    assert user.code("GET", "/v2/open/a/manifests/v1") == (401, "UNAUTHORIZED")


def test_uploads(registry):
    content = os.urandom(300_000)
    digest = digest_of(content)
    status, head, _ = registry.call("POST", "/v2/up/blobs/uploads/")
    place = head["location"]
    assert (status, head["range"]) == (202, "0-0")
    status, head, _ = registry.call("PATCH", place, content[:100_000], content_range="0-99999")
    assert (status, head["range"]) == (202, "0-99999")
    status, head, _ = registry.call("PATCH", place, b"x" * 10, content_range="5-14")
    assert (status, head["range"]) == (416, "0-99999")
    status, head, _ = registry.call("GET", place)
    assert (status, head["range"]) == (204, "0-99999")
    registry.call("PATCH", place, content[100_000:200_000])
    assert registry.code("PUT", f"{place}?digest={digest_of(b'')}", content[200_000:]) == (
        400, "DIGEST_INVALID",
    )
    assert registry.code("PUT", f"{place}?digest=md5:1", b"") == (400, "DIGEST_INVALID")
    status, head, _ = registry.call("PUT", f"{place}?digest={digest}", content[200_000:])
    assert (status, head["location"]) == (201, f"/v2/up/blobs/{digest}")
    assert registry.call("GET", place)[0] == 404
    assert registry.call("GET", f"/v2/up/blobs/{digest}")[2] == content
    status, head, part = registry.call("GET", f"/v2/up/blobs/{digest}", range="bytes=99990-100009")
    assert (status, part) == (206, content[99990:100010])
    assert registry.code("GET", f"/v2/up/blobs/{digest}", range="bytes=300000-") == (416, "RANGE_INVALID")
    status, head, body = registry.call("HEAD", f"/v2/up/blobs/{digest}")
    assert (status, head["content-length"], body) == (200, "300000", b"")
    status, head, _ = registry.call("POST", f"/v2/other/blobs/uploads/?mount={digest}&from=up")
    assert (status, head["location"]) == (201, f"/v2/other/blobs/{digest}")
    status, _, _ = registry.call("POST", f"/v2/other/blobs/uploads/?mount={digest_of(b'no')}&from=up")
    assert status == 202
    assert registry.call("DELETE", f"/v2/up/blobs/{digest}")[0] == 202
    assert registry.code("GET", f"/v2/up/blobs/{digest}") == (404, "BLOB_UNKNOWN")
    assert registry.call("GET", f"/v2/other/blobs/{digest}")[2] == content
    status, head, _ = registry.call("POST", "/v2/up/blobs/uploads/")
    assert registry.call("DELETE", head["location"])[0] == 204
    assert registry.code("PATCH", head["location"], b"x") == (404, "BLOB_UPLOAD_UNKNOWN")


def test_an_upload_of_crumbs(registry):
    """Pieces that short stand in one row: there is an end to them, long before it is a large one."""
    place = registry.call("POST", "/v2/crumbs/blobs/uploads/")[1]["location"]
    taken = 0
    while (status := registry.call("PATCH", place, b"x" * 2000)[0]) == 202:
        taken += 1
        assert taken < 200
    assert status == 400 and taken > 100
    digest = digest_of(b"x" * 2000 * taken)
    assert registry.call("PUT", f"{place}?digest={digest}")[0] == 201
    assert registry.call("HEAD", f"/v2/crumbs/blobs/{digest}")[1]["content-length"] == str(2000 * taken)


def test_uploads_go_on_after_a_kill(tmp_path):
    engine = Engine(tmp_path).start()
    try:
        registry = Registry(engine.cloud.endpoint, "test")
        place = registry.call("POST", "/v2/a/blobs/uploads/")[1]["location"]
        assert registry.call("PATCH", place, b"first ")[0] == 202
        engine.cloud.kill()
        engine.cloud.start()
        assert registry.call("GET", place)[1]["range"] == "0-5"
        digest = digest_of(b"first second")
        assert registry.call("PUT", f"{place}?digest={digest}", b"second")[0] == 201
        assert registry.call("GET", f"/v2/a/blobs/{digest}")[2] == b"first second"
    finally:
        engine.close()


def test_manifests_tags_and_referrers(registry):
    digest, _ = registry.put_image("a", "v1")
    for tag in ["v2", "v3"]:
        registry.put_image("a", tag)
    status, head, body = registry.call("GET", "/v2/a/manifests/v1")
    assert (status, head["docker-content-digest"], digest_of(body)) == (200, digest, digest)
    assert registry.call("HEAD", f"/v2/a/manifests/{digest}")[0] == 200
    assert json.loads(registry.call("GET", "/v2/a/tags/list")[2]) == {"name": "a", "tags": ["v1", "v2", "v3"]}
    status, head, body = registry.call("GET", "/v2/a/tags/list?n=2")
    assert json.loads(body)["tags"] == ["v1", "v2"]
    rest = head["link"].split(";")[0].strip("<>")
    assert json.loads(registry.call("GET", rest)[2])["tags"] == ["v3"]
    assert registry.code("GET", "/v2/none/tags/list") == (404, "NAME_UNKNOWN")
    about, head = registry.put_image("a", None, subject=digest, artifact="application/x.one")
    assert head["oci-subject"] == digest
    registry.put_image("a", None, layer=b"2", subject=digest, artifact="application/x.two")
    index = json.loads(registry.call("GET", f"/v2/a/referrers/{digest}")[2])
    assert index["mediaType"] == INDEX and len(index["manifests"]) == 2
    status, head, body = registry.call("GET", f"/v2/a/referrers/{digest}?artifactType=application/x.one")
    assert head["oci-filters-applied"] == "artifactType"
    assert [one["digest"] for one in json.loads(body)["manifests"]] == [about]
    listed = {
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{"mediaType": OCI, "digest": digest, "size": 1}],
    }
    assert registry.call("PUT", "/v2/a/manifests/list", json.dumps(listed), content_type=INDEX)[0] == 201
    assert registry.call("DELETE", "/v2/a/manifests/v2")[0] == 202
    assert registry.code("GET", "/v2/a/manifests/v2") == (404, "MANIFEST_UNKNOWN")
    assert registry.call("DELETE", f"/v2/a/manifests/{digest}")[0] == 202
    assert json.loads(registry.call("GET", "/v2/a/tags/list")[2])["tags"] == ["list"]


@pytest.mark.parametrize(
    "method, path, body, headers, expected",
    [
        ("GET", "/v2/A/tags/list", None, {}, (400, "NAME_INVALID")),
        ("GET", "/v2/../tags/list", None, {}, (400, "NAME_INVALID")),
        ("GET", "/v2/a/manifests/none", None, {}, (404, "MANIFEST_UNKNOWN")),
        ("GET", "/v2/a/blobs/sha256:1", None, {}, (400, "DIGEST_INVALID")),
        ("GET", f"/v2/a/blobs/{digest_of(b'none')}", None, {}, (404, "BLOB_UNKNOWN")),
        ("PUT", "/v2/a/manifests/x", b"{", {}, (400, "MANIFEST_INVALID")),
        ("PUT", "/v2/a/manifests/x", b'{"schemaVersion":1}', {}, (400, "MANIFEST_INVALID")),
        ("PUT", f"/v2/a/manifests/{digest_of(b'x')}", b"{}", {}, (400, "DIGEST_INVALID")),
        ("PUT", "/v2/a/manifests/-x", b"{}", {}, (400, "TAG_INVALID")),
        ("PUT", "/v2/a/manifests/x", b" " * ((4 << 20) + 1), {}, (413, "MANIFEST_INVALID")),
        ("GET", "/v2/a/tags/list?n=x", None, {}, (400, "PAGINATION_NUMBER_INVALID")),
        ("POST", "/v2/a/tags/list", None, {}, (405, "UNSUPPORTED")),
        ("PUT", "/v2/a/blobs/uploads/none?digest=x", b"", {}, (404, "BLOB_UPLOAD_UNKNOWN")),
        ("GET", "/v2/nothing", None, {}, (404, "NAME_UNKNOWN")),
    ],
)
def test_bad_requests(registry, method, path, body, headers, expected):
    assert registry.code(method, path, body, **headers) == expected


def test_a_manifest_needs_its_blobs(registry):
    manifest = {
        "schemaVersion": 2, "mediaType": OCI,
        "config": {"mediaType": "x", "digest": digest_of(b"none"), "size": 4}, "layers": [],
    }
    found = registry.code("PUT", "/v2/a/manifests/x", json.dumps(manifest), content_type=OCI)
    assert found == (404, "MANIFEST_BLOB_UNKNOWN")


def test_collecting(registry):
    digest, _ = registry.put_image("kept", "v1")
    registry.put_image("kept", None, layer=b"untagged")
    loose = registry.put_blob("kept", b"loose")
    status, _, body = registry.call("POST", "/v2/_cumulet/collect?untagged=1")
    assert (status, json.loads(body)) == (200, {"manifests": 0, "blobs": 0, "uploads": 0})
    status, _, body = registry.call("POST", "/v2/_cumulet/collect?untagged=1&grace=0")
    assert (status, json.loads(body)) == (200, {"manifests": 1, "blobs": 2, "uploads": 0})
    assert registry.call("GET", f"/v2/kept/blobs/{loose}")[0] == 404
    assert registry.call("GET", f"/v2/kept/manifests/{digest}")[0] == 200
    assert registry.call("GET", f"/v2/kept/blobs/{digest_of(b'layer')}")[2] == b"layer"


def own_name(engine, name):
    return urllib.parse.urlsplit(engine.cloud.endpoint).netloc + "/" + name


def test_push_and_pull_of_our_own(engine):
    """Layers are named, not copied; others can read them all the same."""
    name = own_name(engine, "own/app")
    engine.docker("build", "-t", name + ":v1", "-", stdin="FROM busybox\nRUN echo mine > /mine\n")
    out = engine.docker("push", name + ":v1")
    digest = out.rsplit("digest: ", 1)[1].split()[0]
    registry = Registry(engine.cloud.endpoint, "test")
    manifest = json.loads(registry.call("GET", "/v2/own/app/manifests/v1")[2])
    diffs = engine.inspect(name + ":v1")["RootFS"]["Layers"]
    assert [layer["digest"] for layer in manifest["layers"]] == diffs
    for layer in manifest["layers"]:
        content = registry.call("GET", f"/v2/own/app/blobs/{layer['digest']}")[2]
        assert digest_of(content) == layer["digest"] and len(content) == layer["size"]
        part = registry.call("GET", f"/v2/own/app/blobs/{layer['digest']}", range="bytes=100-299")
        assert (part[0], part[2]) == (206, content[100:300])
    identity = engine.inspect(name + ":v1")["Id"]
    engine.docker("rmi", name + ":v1")
    # The registry holds the layers, so they are here still.
    out = engine.docker("pull", name + ":v1")
    assert out.count("Already exists") == len(diffs) and f"Digest: {digest}" in out
    assert "Downloaded newer image" in out
    found = engine.inspect(name + ":v1")
    assert found["Id"] == identity and found["RepoDigests"] == [f"{name.rsplit(':', 1)[0]}:{name.rsplit(':', 1)[1]}@{digest}"]
    assert engine.docker("run", "--rm", name + ":v1", "cat", "/mine") == "mine"
    assert "Image is up to date" in engine.docker("pull", name + ":v1")
    assert engine.docker("run", "--rm", f"{name}@{digest}", "cat", "/mine") == "mine"
    engine.docker("pull", f"{name}@{digest}")
    engine.docker("tag", name + ":v1", name + ":v2")
    engine.docker("push", "-a", name)
    engine.docker("rmi", name + ":v1", name + ":v2")
    assert "v2" in engine.docker("pull", "-a", name)
    assert own_name(engine, "own/app") in engine.docker("search", own_name(engine, "own"))
    engine.docker("pull", own_name(engine, "own/none"), code=1)
    assert "manifest unknown" in engine.stderr
    engine.docker("push", own_name(engine, "not/here"), code=1)
    assert "does not exist locally" in engine.stderr


def test_login(engine):
    place = own_name(engine, "")[:-1]
    account = new_account()
    engine.docker("login", "-u", account, "-p", "wrong", place, code=1)
    assert "unauthorized" in engine.stderr
    assert "Login Succeeded" in engine.docker("login", "-u", account, "-p", "test", place)
    try:
        engine.docker("tag", "busybox", place + "/theirs")
        engine.docker("push", place + "/theirs")
        registry = Registry(engine.cloud.endpoint, account)
        assert json.loads(registry.call("GET", "/v2/_catalog")[2])["repositories"] == ["theirs"]
        engine.docker("rmi", place + "/theirs")
        engine.docker("pull", place + "/theirs")
    finally:
        engine.docker("logout", place)
    engine.docker("rmi", place + "/theirs")
    engine.docker("pull", place + "/theirs", code=1)
    status, _, body = engine.request("GET", "/distribution/" + place + "/own/none/json")
    assert status == 404, body


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another cloud: for the first one a registry like any other."""
    second = Engine(tmp_path_factory.mktemp("second")).start()
    yield second
    second.close()


def login(engine, other, account="test"):
    place = own_name(other, "")[:-1]
    engine.docker("login", "-u", account, "-p", "test", place)
    return place


def test_between_two_clouds(engine, second):
    """Over HTTP, with tokens: compressed layers out, and verified in."""
    place = login(engine, second)
    engine.docker("build", "-t", place + "/far:1", "-", stdin=(
        "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=3 && mkdir /d && ln /big /d/same\n"
        "RUN rm /d/same && echo last > /last\nCMD [\"cat\", \"/last\"]\n"
    ))
    out = engine.docker("push", place + "/far:1")
    assert out.count("Pushed") == 3
    assert engine.docker("push", place + "/far:1").count("Layer already exists") == 3
    identity = engine.inspect(place + "/far:1")["Id"]
    sums = engine.docker("run", "--rm", place + "/far:1", "md5sum", "/big")
    engine.docker("rmi", place + "/far:1")
    out = engine.docker("pull", place + "/far:1")
    assert "Pull complete" in out and "Already exists" in out
    assert engine.inspect(place + "/far:1")["Id"] == identity
    assert engine.docker("run", "--rm", place + "/far:1", "md5sum", "/big") == sums
    engine.docker("run", "--rm", place + "/far:1", "test", "-e", "/d/same", code=1)
    status, _, body = engine.request("GET", f"/distribution/{place}/far:1/json")
    assert status == 404 or json.loads(body)["Descriptor"]["digest"]
    # A build takes its base from there.
    engine.docker("rmi", place + "/far:1")
    folder = engine.folder + "/from"
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/Dockerfile", "w", encoding="utf-8") as file:
        file.write(f"FROM {place}/far:1\nRUN cat /last > /copied\n")
    engine.docker("build", "-t", "built", folder)
    assert engine.docker("run", "--rm", "built", "cat", "/copied") == "last"


def test_images_of_every_form(engine, second):
    """Lists with platforms, gzip, zstd where a program for it is here, and what lies."""
    place = login(engine, second)
    far = Registry(second.cloud.endpoint, "test")
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        info = tarfile.TarInfo("hello")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"world"))
    plain = layer.getvalue()

    def put(tag, blob, media="application/vnd.oci.image.layer.v1.tar+gzip", diff=None, digest=None):
        config = json.dumps({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff or digest_of(plain)]},
        }).encode()
        far.put_blob("forms", config)
        far.put_blob("forms", blob)
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": OCI,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": media, "digest": digest or digest_of(blob), "size": len(blob)}],
        }).encode()
        status, _, answer = far.call("PUT", f"/v2/forms/manifests/{tag}", manifest, content_type=OCI)
        assert status == 201, answer
        return digest_of(manifest), len(manifest)

    digest, size = put("gzip", gzip.compress(plain))
    put("plain", plain)
    forms = ["gzip", "plain", "list"]
    if shutil.which("zstd"):
        put("zstd", subprocess.run(["zstd", "-c"], input=plain, capture_output=True, check=True).stdout)
        forms.append("zstd")
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": OCI, "digest": digest, "size": size, "platform": {"architecture": "amd64", "os": "linux"}},
    ]}
    assert far.call("PUT", "/v2/forms/manifests/list", json.dumps(index), content_type=INDEX)[0] == 201
    for tag in forms:
        out = engine.docker("pull", f"{place}/forms:{tag}")
        assert "Downloaded newer image" in out
        out = engine.docker("create", "--name", "form", f"{place}/forms:{tag}", "x")
        assert b"world" in subprocess.run(
            ["docker", "cp", "form:/hello", "-"], env=engine.env, capture_output=True, check=True
        ).stdout
        engine.docker("rm", "form")
        engine.docker("rmi", f"{place}/forms:{tag}")
    engine.docker("pull", "--platform", "linux/arm64", f"{place}/forms:list", code=1)
    assert "no matching manifest for linux/arm64" in engine.stderr
    before = engine.docker("images", "-aq")
    put("lies", gzip.compress(plain), diff=digest_of(b"something else"))
    engine.docker("pull", f"{place}/forms:lies", code=1)
    assert "wrong diff id" in engine.stderr
    put("broken", b"\x1f\x8b no gzip at all")
    engine.docker("pull", f"{place}/forms:broken", code=1)
    assert engine.docker("images", "-aq") == before
    scratch = os.path.join(engine.cloud.data, "engine", "scratch")
    assert [name for name in os.listdir(scratch) if name != "empty"] == []


def test_nobody_there(engine):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    engine.docker("pull", f"127.0.0.1:{port}/x", code=1)
    assert "connection refused" in engine.stderr
    status, _, body = engine.request("POST", f"/images/create?fromImage=127.0.0.1:{port}/x&tag=y")
    assert status == 500 and "connect: connection refused" in json.loads(body)["message"]


class Breaking(threading.Thread):
    """Hands on to a registry, and cuts its first answers with a long body in the middle."""

    def __init__(self, port, cuts):
        super().__init__(daemon=True)
        self.to, self.cuts = port, cuts
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self.to)) as far:
            def back():
                passed = 0
                # Who has what it wanted leaves at once, and then there is nothing to end.
                with contextlib.suppress(OSError):
                    while piece := far.recv(16384):
                        passed += len(piece)
                        client.sendall(piece)
                        if passed > 400_000 and self.cuts > 0:
                            self.cuts -= 1
                            client.shutdown(socket.SHUT_RDWR)
                            return
                    client.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            try:
                while piece := client.recv(16384):
                    far.sendall(piece)
            except OSError:
                pass
            thread.join()


def test_a_pull_goes_on_where_it_broke(engine, second):
    place = login(engine, second)
    engine.docker("build", "-t", place + "/long", "-", stdin=(
        "FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count=2\n"
    ))
    engine.docker("push", place + "/long")
    identity = engine.inspect(place + "/long")["Id"]
    engine.docker("rmi", place + "/long")
    proxy = Breaking(int(place.rsplit(":", 1)[1]), 3)
    broken = f"127.0.0.1:{proxy.port}"
    engine.docker("login", "-u", "test", "-p", "test", broken)
    out = engine.docker("pull", broken + "/long")
    assert proxy.cuts == 0 and "Retrying" in out
    assert engine.inspect(broken + "/long")["Id"] == identity
    proxy.listener.close()


def test_with_docker_py(engine, second):
    place = login(engine, second)
    client = docker_py.DockerClient(base_url="unix://" + engine.socket, timeout=60)
    auth = {"username": "test", "password": "test"}
    client.images.get("busybox").tag(place + "/py", "1")
    lines = [json.loads(line) for line in client.images.push(place + "/py", tag="1", auth_config=auth).split("\n") if line.strip()]
    assert any("aux" in line for line in lines) and not any("error" in line for line in lines)
    client.images.remove(place + "/py:1")
    image = client.images.pull(place + "/py", tag="1", auth_config=auth)
    assert image.tags and image.id == client.images.get("busybox").id
    assert client.login("test", "test", registry=place)["Status"] == "Login Succeeded"
    with pytest.raises(docker_py.errors.APIError):
        client.login("test", "wrong", registry=place, reauth=True)
    with pytest.raises(docker_py.errors.NotFound):
        client.images.pull(place + "/none", tag="1", auth_config=auth)
    client.close()
