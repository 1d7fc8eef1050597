"""Registries that the engine asks first, and those of this machine that speak TLS."""

import json
import re
import secrets

import pytest

from cloud import cumulet
from containers import Engine
from test_registry import own_name


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


@pytest.mark.parametrize("url", ["localhost:5000", "ftp://a", "http://", "http://a/b"])
def test_what_is_no_mirror(tmp_path, url):
    done = cumulet("up", "--data", str(tmp_path / "data"), "--registry-mirror", url)
    assert done.returncode == 2 and "registry_mirror" in done.stderr, done.stderr
