"""BuildKit: the buildx plugin, Compose of version 2, the docker CLI of old, and a client that cheats."""

import json
import os
import signal
import socket
import subprocess
import tarfile
import threading
import urllib.parse

import h2.config
import h2.connection
import h2.events
import pytest

from deadline import wait_until
from test_docker_build import context, run, scratch

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Debian's, unpacked by `cargo xtask test install`.
PLUGINS = os.path.join(HERE, ".venv", "docker", "cli-plugins")
OLD = os.path.join(HERE, ".venv", "docker", "old", "docker")


def env(engine, **more):
    folder = os.path.join(engine.folder, "kit")
    if not os.path.exists(folder):
        os.makedirs(folder + ".new", exist_ok=True)
        os.symlink(PLUGINS, os.path.join(folder + ".new", "cli-plugins"))
        os.rename(folder + ".new", folder)
    return {**engine.env, "DOCKER_CONFIG": folder, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain", **more}


def call(engine, command, *, code=0, stdin=None, cwd=None, **more):
    """Runs a client; gives what it printed, and what it told of on the other stream."""
    done = subprocess.run(
        command,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=90,
        cwd=cwd,
        env=env(engine, **more),
        check=False,
    )
    out, err = done.stdout.decode().strip(), done.stderr.decode()
    assert done.returncode == code, f"{command}: {done.returncode}\n{out}\n{err}"
    return out, err


def build(engine, *args, **how):
    return call(engine, ["docker", "buildx", "build", *map(str, args)], **how)


def old_build(engine, *args, **how):
    return call(engine, [OLD, "build", *map(str, args)], **how)


STAGES = """# syntax=docker/dockerfile:1
ARG VERSION=7
FROM busybox AS first
ARG VERSION
RUN echo "version $VERSION" > /first
FROM busybox AS unused
RUN false
FROM busybox
ARG TARGETARCH
ENV A=b
WORKDIR /work
COPY a.txt sub ./
COPY --from=first --link --chmod=640 /first /first
RUN cat a.txt && echo "for $TARGETARCH" >&2
RUN <<DOC
echo one
echo two > /two
DOC
CMD ["cat", "/first", "/two"]
"""


@pytest.mark.parametrize("client", [build, old_build], ids=["buildx", "old"])
def test_a_build(engine, tmp_path, client):
    folder = context(tmp_path, STAGES, **{"a.txt": "hello\n", "sub__s": "s"})
    tag = client.__name__
    args = ["-t", tag, "-t", f"{tag}:two", "--label", "l=it's", "--build-arg", "VERSION=8", folder]
    _, told = client(engine, "--no-cache", *args)
    for part in ["load build definition from Dockerfile", "[first 2/2] RUN echo", "hello", "for a",
                 "] RUN cat a.txt", "exporting to image", f"naming to docker.io/library/{tag}:two"]:
        assert part in told, told
    assert "unused" not in told and "CACHED" not in told
    built = engine.inspect(tag)
    assert built["RepoTags"] == [f"{tag}:latest", f"{tag}:two"] and built["Config"]["Labels"]["l"] == "it's"
    assert run(engine, tag) == "version 8\ntwo"
    assert run(engine, tag, "sh", "-c", "ls; stat -c %a /first").split() == ["a.txt", "s", "640"]
    _, told = client(engine, *args)
    assert told.count("CACHED") == 6, told
    assert engine.inspect(tag)["Id"] == built["Id"]
    assert client(engine, "-q", *args)[0] == built["Id"]
    assert engine.docker("ps", "-aq") == ""


def test_what_a_step_mounts(engine, tmp_path):
    dockerfile = (
        "FROM busybox AS base\nRUN echo built > /built && mkdir /d && echo deep > /d/deep\nRUN rm /built && echo two > /built\n"
        "FROM busybox\nARG N\n"
        "RUN --mount=type=cache,target=/root/.cache/x,sharing=locked,mode=700 echo $N >> /root/.cache/x/n && wc -l < /root/.cache/x/n\n"
        "RUN --mount=type=secret,id=tok --mount=type=secret,id=tok,env=TOK --mount=type=secret,id=none "
        "test \"$(cat /run/secrets/tok)\" = \"$TOK\" && stat -c 'secret %a' /run/secrets/tok && ! test -e /run/secrets/none\n"
        "RUN --mount=type=bind,source=src,target=/s cat /s/f && ! touch /s/x\n"
        "RUN --mount=type=bind,source=src,target=/s,rw touch /s/x && ls /s\n"
        "RUN --mount=from=base,source=/d,target=/d cat /d/deep\n"
        "RUN --mount=from=base,source=/built,target=/one cat /one && ls /s 2>&1 | grep -q x || echo alone\n"
        "RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1 && echo a > /t/a\n"
        "RUN --mount=type=bind,source=evil,target=/e test -e /e/Dockerfile && ! test -e /e/proc && echo inside\n"
    )
    folder = context(tmp_path / "c", dockerfile, src__f="from the context\n")
    os.symlink("/", os.path.join(folder, "evil"))
    secret = tmp_path / "tok"
    secret.write_text("very-secret")
    args = ["--secret", f"id=tok,src={secret}", "-t", "mounts", folder]
    _, told = build(engine, "--build-arg", "N=1", *args)
    for part in ["secret 400", "from the context", "Read-only file system", "deep", "two", "alone", "1024", "inside"]:
        assert part in told, told
    # The cache is there in the next build, with what the last one left.
    _, told = build(engine, "--build-arg", "N=2", *args)
    assert any(line.endswith(" 2") for line in told.split("\n")), told
    # Nothing of it is in the image: no secret, and no places to mount on.
    paths = "/root/.cache", "/run/secrets", "/s", "/d", "/one", "/t", "/e"
    assert run(engine, "mounts", "sh", "-c", f"for p in {' '.join(paths)}; do test -e $p && echo $p; done; true") == ""
    found = subprocess.run(["grep", "-rl", "very-secret", engine.cloud.data], capture_output=True, check=False)
    assert found.stdout == b""
    assert os.listdir(scratch(engine)) in ([], ["empty"])
    # What is mounted counts: other files, other steps.
    with open(os.path.join(folder, "src", "f"), "w", encoding="utf-8") as file:
        file.write("changed\n")
    assert "changed" in build(engine, "--build-arg", "N=2", *args)[1]
    shown, _ = call(engine, ["docker", "buildx", "du", "--verbose"])
    assert "cached mount /root/.cache/x" in shown
    call(engine, ["docker", "buildx", "prune", "-f"])
    assert "cached mount" not in call(engine, ["docker", "buildx", "du", "--verbose"])[0]


def test_what_becomes_of_it(engine, tmp_path):
    folder = context(
        tmp_path / "c",
        "FROM busybox AS all\nRUN mkdir -p /out/deep && echo x > /out/deep/f && ln -s f /out/deep/l && chmod 4711 /out/deep/f\n"
        "FROM scratch\nCOPY --from=all /out /\n",
    )
    out = tmp_path / "out"
    build(engine, "-o", f"type=local,dest={out}", folder)
    assert (out / "deep" / "f").read_text() == "x\n" and os.readlink(out / "deep" / "l") == "f"
    assert os.stat(out / "deep" / "f").st_mode & 0o7777 == 0o4711
    old_build(engine, "-o", str(tmp_path / "old"), folder)
    assert (tmp_path / "old" / "deep" / "f").read_text() == "x\n"
    for client in build, old_build:
        archive = tmp_path / f"{client.__name__}.tar"
        client(engine, "-o", f"type=tar,dest={archive}", folder)
        with tarfile.open(archive) as read:
            assert "deep/f" in read.getnames() and read.extractfile("deep/f").read() == b"x\n"
    ids, about = tmp_path / "id", tmp_path / "about.json"
    build(engine, "--load", "--iidfile", ids, "--metadata-file", about, "-t", "loaded", folder)
    built = engine.inspect("loaded")["Id"]
    assert ids.read_text() == built and json.loads(about.read_text())["containerimage.config.digest"] == built
    old_build(engine, "--iidfile", ids, folder)
    assert ids.read_text() == built
    # Into our own registry, by the engine's own push.
    assert "build: failed" not in build(engine, "--target", "all", "-t", "target", folder)[1]
    assert run(engine, "target", "ls", "/out") == "deep"


def test_where_contexts_come_from(engine, tmp_path):
    folder = context(
        tmp_path / "c",
        "FROM busybox\nCOPY . /c\nRUN find /c -type f | sort\n",
        **{"a.txt": "a", "b.log": "b", "keep.log": "k", "é.txt": "e", "d__deep": "d", ".dockerignore": "*.log\n!keep.log\n# x\n/d\n"},
    )
    more = "FROM busybox\nCOPY . /c\nRUN ls /c\n"
    context(tmp_path / "more", more)
    with open(tmp_path / "more" / "Other.dockerignore", "w", encoding="utf-8") as file:
        file.write("*\n!a.txt\n")
    os.rename(tmp_path / "more" / "Dockerfile", tmp_path / "more" / "Other")
    for client in build, old_build:
        _, told = client(engine, "--no-cache", folder)
        found = {line.split()[-1] for line in told.split("\n") if " /c/" in line and "find" not in line}
        assert found == {"/c/.dockerignore", "/c/Dockerfile", "/c/a.txt", "/c/keep.log", "/c/é.txt"}, told
        # A file beside the Dockerfile goes before the context's own.
        _, told = client(engine, "--no-cache", "-f", tmp_path / "more" / "Other", folder)
        assert "a.txt" in told and "keep.log" not in told
        # From the standard input: a Dockerfile alone, one for a folder, and an archive.
        _, told = client(engine, "-", stdin=b"FROM busybox\nRUN echo by itself\n")
        assert "by itself" in told
        _, told = client(engine, "--no-cache", "-f", "-", folder, stdin=b"FROM busybox\nCOPY a.txt /\nRUN cat a.txt && echo read\n")
        assert "aread" in told
        archive = tmp_path / "c.tar"
        with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as write:
            write.add(folder, ".")
        _, told = client(engine, "--no-cache", "-", stdin=archive.read_bytes())
        assert "/c/keep.log" in told and "/c/b.log" not in told
    named = b"FROM base\nCOPY --from=more Other /\nRUN --mount=from=more,target=/m ls /m && cat /Other | head -1\n"
    contexts = ["--build-context", f"more={tmp_path / 'more'}", "--build-context", "base=docker-image://busybox"]
    _, told = build(engine, "--no-cache", *contexts, "-f", "-", folder, stdin=named)
    assert "Other.dockerignore" in told and " FROM busybox" in told


@pytest.mark.parametrize(
    ("dockerfile", "args", "part"),
    [
        ("FROM busybox\nRUN echo said; exit 7\n", [], 'process "/bin/sh -c echo said; exit 7" did not complete successfully: exit code: 7'),
        ("FROM busybox\nCOPY nope /\n", [], "file not found in build context"),
        ("FROM busybox\nFORM x\n", [], "unknown instruction: FORM"),
        ("FROM busybox\nRUN --mount=type=ssh true\n", [], "mounts of type ssh are not done"),
        ("FROM busybox\nRUN --mount=type=secret,id=x,required true\n", [], "secret x: not found"),
        ("FROM busybox\nRUN --mount=type=cache true\n", [], "mount target is required"),
        ("FROM busybox\nRUN --mount=type=bind,source=../..,target=/x true\n", [], "forbidden path outside the build context"),
        ("FROM busybox\nRUN --security=insecure true\n", [], "security.insecure is not allowed"),
        ("FROM busybox\nRUN --network=host true\n", [], "network.host is not allowed"),
        ("FROM busybox\n", ["--platform", "linux/mips64"], "platform linux/mips64 cannot run on this machine"),
        ("FROM busybox\n", ["--target", "nope"], 'target stage "nope" could not be found'),
        ("FROM busybox\n", ["--build-arg", "BUILDKIT_SYNTAX=docker/dockerfile:1"], 'BUILDKIT_SYNTAX'),
        ("FROM busybox\n", ["-f", "Elsewhere"], "no such file or directory"),
    ],
)
def test_mistakes(engine, tmp_path, dockerfile, args, part):
    folder = context(tmp_path, dockerfile)
    _, told = build(engine, *args, folder, code=1, cwd=folder)
    assert part in told, told
    assert engine.docker("ps", "-aq") == ""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("client", [["docker", "buildx"], [OLD]], ids=["buildx", "old"])
def test_who_leaves_ends_the_build(engine, tmp_path, client, ending):
    folder = context(tmp_path, "FROM busybox\nRUN --mount=type=cache,target=/x sleep 1000\n")
    with subprocess.Popen(
        [*client, "build", folder], env=env(engine), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:
        wait_until(lambda: engine.docker("ps", "-q") != "", "the step runs")
        # To the CLI and to its plugin, as a terminal does.
        os.killpg(process.pid, ending)
        process.wait(30)
    wait_until(lambda: engine.docker("ps", "-aq") == "", "its container is gone")
    wait_until(lambda: os.listdir(scratch(engine)) in ([], ["empty"]), "nothing of it is left")


def test_compose(engine, tmp_path):
    context(tmp_path / "app", "FROM busybox\nARG WHO\nRUN echo $WHO > /who\nCMD [\"sh\", \"-c\", \"cat /who; exec sleep 1000\"]\n")
    (tmp_path / "compose.yml").write_text(
        "services:\n  one: {build: {context: ./app, args: {WHO: first}}, stop_grace_period: 0s}\n"
        "  two: {build: {context: ./app, args: {WHO: second}}, stop_grace_period: 0s}\n"
    )

    def compose(*args):
        return call(engine, ["docker", "compose", "-p", "kit", *args], cwd=tmp_path)[0]

    compose("up", "-d", "--build")
    try:
        for service, who in ("one", "first"), ("two", "second"):
            wait_until(lambda: who in compose("logs", service), f"{service} says who it is")
    finally:
        compose("down")
    assert {"kit-one:latest", "kit-two:latest"} <= set(engine.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split("\n"))


def test_builders_and_what_is_not_there(engine):
    shown, _ = call(engine, ["docker", "buildx", "inspect"])
    assert "running" in shown and "linux/" in shown and "host-gateway-ip" in shown
    assert "running" in call(engine, ["docker", "buildx", "ls"])[0]
    status, head, _ = engine.request("GET", "/_ping")
    assert status == 200 and "builder-version: 2" in head.lower()
    for path, part in ("/grpc", b"no upgrade"), ("/session", b"has no id"):
        status, _, body = engine.request("POST", path)
        assert status == 400 and part in body, body
    status, _, body = engine.request("POST", "/build/prune?filters=%7B%22until%22%3A%5B%221h%22%5D%7D")
    assert status == 501 and b"filters" in body


# A session by hand, whose files are what a test says they are.


def varint(number):
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def stat(path, mode=0o644, size=0, link=""):
    return field(2, field(1, path) + field(2, mode) + field(5, size) + (field(7, link) if link else b""))


FOLDER, LINK, DEVICE = 1 << 31, 1 << 27, 1 << 26


def answer_session(line, ident, packets):
    """Serves files on a connection: those of the Dockerfile, and for the context what `packets` are."""
    line.sendall((
        "POST /session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        f"X-Docker-Expose-Session-Uuid: {ident}\r\n"
        "X-Docker-Expose-Session-Grpc-Method: /moby.filesync.v1.FileSync/DiffCopy\r\n\r\n"
    ).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += line.recv(1)
    assert b" 101 " in head, head
    session = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    session.initiate_connection()
    dockerfile = b"FROM busybox\nCOPY . /c\nRUN ls /c\n"
    said = {}

    def say(stream, *messages):
        for message in messages:
            session.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)

    try:
        while True:
            line.sendall(session.data_to_send())
            data = line.recv(65536)
            if not data:
                return
            for event in session.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    names = [value.decode() for name, value in event.headers if name == b"dir-name"]
                    session.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                    if names == ["dockerfile"]:
                        say(event.stream_id, stat("Dockerfile", size=len(dockerfile)), b"")
                    else:
                        wanted = [value for name, value in event.headers if name == b"include-patterns"]
                        say(event.stream_id, *([b""] if wanted else [*packets, b""]))
                elif isinstance(event, h2.events.DataReceived):
                    session.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    said[event.stream_id] = said.get(event.stream_id, b"") + event.data
                    if field(1, 1) in said[event.stream_id]:
                        data = field(1, 2) + field(4, dockerfile)
                        say(event.stream_id, data, field(1, 2))
                        said[event.stream_id] = b""
                    elif field(1, 3) in said[event.stream_id]:
                        say(event.stream_id, field(1, 3))
                        session.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
                        said[event.stream_id] = b""
    except (OSError, h2.exceptions.ProtocolError):
        return


def hostile(engine, packets):
    """What becomes of a build whose client sends these packets as its files."""
    ident = os.urandom(8).hex()
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(engine.socket)
        thread = threading.Thread(target=answer_session, args=(line, ident, packets), daemon=True)
        thread.start()
        query = urllib.parse.urlencode({"version": "2", "session": ident, "remote": "client-session", "nocache": "1"})
        _, _, body = engine.request("POST", f"/build?{query}")
        line.shutdown(socket.SHUT_RDWR)
        thread.join(30)
    return body.decode()


@pytest.mark.parametrize(
    ("packets", "part"),
    [
        ([stat("a")], "moby.image.id"),
        ([stat("../escaped")], "invalid path in the context"),
        ([stat("a/../../escaped")], "invalid path in the context"),
        ([stat("/abs/x"), stat("a\0b")], "invalid path in the context"),
        ([stat("d", DEVICE | 0o666)], "the context has a device"),
        ([stat("l", LINK | 0o777)], "a link leads nowhere"),
        ([stat("a", 0o644, -1 & (1 << 64) - 1)], "smaller than nothing"),
        ([stat("a", 0o644, 1 << 62)], "the context is too large"),
        ([field(1, 2) + field(3, 9) + field(4, "x")], "content of a file came that was not asked for"),
        ([field(1, 4) + field(4, "no access")], "error from sender: no access"),
        ([field(1, 9)], "a packet of the client is not understood"),
        ([b"\x0a\xff"], "a packet of the client is not understood"),
        (["/".join(["d"] * 400)] and [stat("/".join(["d"] * 400))], "invalid path in the context"),
    ],
)
def test_clients_that_cheat(engine, packets, part):
    body = hostile(engine, packets)
    assert part in body, body
    wait_until(lambda: os.listdir(scratch(engine)) in ([], ["empty"]), "nothing of it is left")


def test_links_of_a_client_lead_nowhere(engine, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "here").write_text("mine")
    for packets in (
        [stat("l", LINK | 0o777, link=str(outside)), stat("l/made")],
        [stat("l", LINK | 0o777, link=str(outside)), stat("l", FOLDER | 0o755), stat("l/made")],
        [stat("l", LINK | 0o777, link="../" * 20 + str(outside)), stat("l/here", 0o777)],
        [stat("h", 0o644, link=str(outside / "here"))],
    ):
        hostile(engine, packets)
        assert os.listdir(outside) == ["here"] and (outside / "here").read_text() == "mine"
        assert os.stat(outside / "here").st_nlink == 1
    wait_until(lambda: os.listdir(scratch(engine)) in ([], ["empty"]), "nothing of it is left")
