"""BuildKit where it is not at home: what it builds is pushed, and engines whose users are others build by it."""

import json
import os
import secrets
import urllib.parse

import pytest

from containers import Engine
from rootless import RootlessEngine, User
from test_docker_build import context, run
from test_docker_buildkit import build, call, old_build
from test_registry import Registry

pytestmark = pytest.mark.unkilled

DOCKERFILE = """# syntax=docker/dockerfile:1
FROM busybox AS first
RUN --mount=type=cache,target=/cache --mount=type=secret,id=word cat /run/secrets/word >/word; echo x >>/cache/x; chown 5:6 /word
FROM busybox
COPY --from=first /word /word
COPY --chown=7:8 --chmod=640 a.txt /d/
RUN --mount=type=bind,from=first,target=/there cat /there/word /d/a.txt >/both && id -u >/who
RUN --network=none ! wget -q -T 1 -O - http://198.51.100.1 2>/dev/null && mkdir -m 1777 /wide && ln /both /wide/same
USER 9:10
CMD cat /both; id -u; stat -c %u:%g:%a /word /d/a.txt /wide /wide/same
"""
SAID = "hush\nhello\n9\n5:6:644\n7:8:640\n0:0:1777\n0:0:644"


def build_all(engine, tmp_path):
    folder = context(tmp_path / "in", DOCKERFILE, **{"a.txt": "hello\n"})
    (tmp_path / "word").write_text("hush\n")
    args = ["-t", "elsewhere", "--secret", f"id=word,src={tmp_path}/word", folder]
    build(engine, "--load", *args)
    assert run(engine, "elsewhere") == SAID
    assert run(engine, "elsewhere", "cat", "/who") == "0"
    again = engine.inspect("elsewhere")["Id"]
    _, told = build(engine, *args)
    assert told.count("CACHED") == 5 and engine.inspect("elsewhere")["Id"] == again, told
    # Files that leave are those of who asked, whoever owns them in there.
    build(engine, "--output", f"type=local,dest={tmp_path}/out", *args)
    assert (tmp_path / "out" / "both").read_text() == "hush\nhello\n"
    build(engine, "--output", f"type=tar,dest={tmp_path}/out.tar", *args)
    assert (tmp_path / "out.tar").stat().st_size > 1000
    assert engine.docker("ps", "-aq") == ""
    engine.docker("rmi", "elsewhere")


@pytest.fixture(scope="module")
def user():
    user = User()
    yield user
    user.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users")
@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_remapped_users(user, tmp_path, driver):
    engine = Engine(tmp_path / "engine", ["--userns-remap", user.name, "--storage-driver", driver]).start()
    try:
        engine.bootstrap()
        build_all(engine, tmp_path)
    finally:
        engine.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users")
def test_an_ordinary_user(user, tmp_path):
    engine = RootlessEngine(user).start()
    try:
        engine.bootstrap()
        # Whoever is root may ask as well.
        build_all(engine, tmp_path)
    finally:
        engine.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("pushes")).start()
    engine.bootstrap()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    second = Engine(tmp_path_factory.mktemp("second")).start()
    yield second
    second.close()


def place(engine):
    return urllib.parse.urlsplit(engine.cloud.endpoint).netloc


def pushed(engine, name, tag):
    """The configuration of an image that a registry has."""
    registry = Registry(engine.cloud.endpoint, "test")
    status, _, body = registry.call("GET", f"/v2/{name}/manifests/{tag}")
    assert status == 200, body
    return json.loads(body)["config"]["digest"]


@pytest.mark.parametrize("far", [False, True], ids=["own", "far"])
def test_what_is_built_is_pushed(engine, second, tmp_path, far):
    other = second if far else engine
    if far:
        call(engine, ["docker", "login", "-u", "test", "-p", "test", place(other)])
    name = "kit/" + secrets.token_hex(4)
    whole = f"{place(other)}/{name}"
    folder = context(tmp_path, "FROM busybox\nRUN echo mine >/mine\n")
    _, told = build(engine, "--push", "-t", whole + ":a", "-t", whole + ":b", folder)
    assert f"pushing {whole}:a" in told, told
    identity = engine.inspect(whole + ":a")["Id"]
    assert pushed(other, name, "a") == pushed(other, name, "b") == identity
    build(engine, "--output", f"type=registry,name={whole}:c", folder)
    build(engine, "--output", f"type=image,name={whole}:d,push=true", folder)
    assert pushed(other, name, "c") == pushed(other, name, "d") == identity
    engine.docker("rmi", whole + ":a", whole + ":b", whole + ":c", whole + ":d")
    call(engine, ["docker", "pull", whole + ":a"])
    assert run(engine, whole + ":a", "cat", "/mine") == "mine"
    engine.docker("rmi", whole + ":a")


def test_a_push_that_cannot_be(engine, tmp_path):
    folder = context(tmp_path, "FROM busybox\nRUN echo mine >/mine\n")
    _, told = build(engine, "--push", folder, code=1)
    assert "tag is needed" in told, told
    _, told = build(engine, "--push", "-t", "127.0.0.1:1/nobody/there", folder, code=1)
    assert "connection refused" in told, told
    # Whoever cannot push itself is not told that it was done.
    _, told = old_build(engine, "--output", f"type=image,name={place(engine)}/kit/old,push=true", folder, code=1)
    assert "push" in told and "not done" in told, told
