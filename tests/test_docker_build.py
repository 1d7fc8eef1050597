"""The classic builder, through the stock docker CLI and below it."""

import io
import json
import os
import signal
import subprocess
import tarfile
import threading
import urllib.parse

import docker
import pytest

from containers import Engine, control_groups, mounts_of
from deadline import wait_until


def context(folder, dockerfile, **files):
    os.makedirs(folder, exist_ok=True)
    for name, text in {"Dockerfile": dockerfile, **files}.items():
        path = os.path.join(folder, name.replace("__", "/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return str(folder)


def build(engine, folder, *args, code=0):
    out = engine.docker("build", *args, str(folder), code=code)
    return [line for line in out.split("\n") if line]


def run(engine, image, *command):
    return engine.docker("run", "--rm", image, *command)


def send(engine, archive, query=""):
    """A context as it stands, without the CLI."""
    head = (
        f"POST /build?{query} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
        f"Content-Type: application/x-tar\r\nContent-Length: {len(archive)}\r\n\r\n"
    )
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(engine.socket)
        connection.sendall(head.encode() + archive)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def tar_of(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, content in entries:
            if isinstance(info, str):
                info = tarfile.TarInfo(info)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_the_texts_of_a_build(engine, tmp_path):
    folder = context(tmp_path, "FROM busybox\nRUN echo said\nENV a=b\nCMD [\"echo\", \"ran\"]\n")
    lines = build(engine, folder, "-t", "texts", "-t", "texts:two")
    assert lines[0].startswith("Sending build context")
    lines = lines[1:]
    base = engine.inspect("busybox")["Id"][7:19]
    assert lines[:3] == ["Step 1/4 : FROM busybox", f" ---> {base}", "Step 2/4 : RUN echo said"]
    assert lines[3].startswith(" ---> Running in ") and lines[4] == "said"
    assert lines[5] == lines[3].replace("Running in", "Removed intermediate container")
    assert lines[7] == "Step 3/4 : ENV a=b"
    built = engine.inspect("texts")
    assert lines[-3:] == [
        f"Successfully built {built['Id'][7:19]}",
        "Successfully tagged texts:latest",
        "Successfully tagged texts:two",
    ]
    assert built["Config"]["Env"][-1] == "a=b" and built["Config"]["Cmd"] == ["echo", "ran"]
    assert run(engine, "texts") == "ran"
    again = build(engine, folder, "-t", "texts")
    assert again.count(" ---> Using cache") == 3
    assert engine.docker("build", "-q", folder) == built["Id"]
    assert engine.docker("ps", "-aq") == ""
    # Steps are images of their own, shown when asked for.
    steps = set(engine.docker("images", "-aq").split()) - set(engine.docker("images", "-q").split())
    assert len(steps) >= 2
    shown = engine.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", "texts").split("\n")
    assert shown[:3] == [
        '/bin/sh -c #(nop)  CMD ["echo" "ran"]',
        "/bin/sh -c #(nop)  ENV a=b",
        "/bin/sh -c echo said",
    ]


def test_all_instructions(engine, tmp_path):
    dockerfile = (
        "ARG BASE=busybox\nFROM ${BASE}:latest AS first\nARG WHO=nobody\nARG NONE\n"
        "ENV A=1 B=\"two words\"\nENV C $A-${A:-x}-${D:-default}\n"
        "LABEL one=1 \"two\"='2'\nEXPOSE 80 90-91/udp\nVOLUME /vol\nSTOPSIGNAL SIGUSR1\n"
        "WORKDIR /a\nWORKDIR b\nRUN echo \"$WHO $NONE\" > who && pwd > where\n"
        "SHELL [\"/bin/sh\", \"-ec\"]\nRUN id -u > id\nUSER www-data\nRUN id -u > /tmp/id\n"
        "HEALTHCHECK --interval=5s --retries=2 CMD echo well\nMAINTAINER me\n"
        "FROM first\nUSER root\nCOPY --from=first /a/b/who /copied\nENTRYPOINT [\"cat\"]\nCMD [\"/copied\"]\n"
    )
    folder = context(tmp_path, dockerfile)
    build(engine, folder, "-t", "all", "--build-arg", "WHO=me", "--label", "given=it's")
    image = engine.inspect("all")
    config = image["Config"]
    assert config["Env"][-3:] == ["A=1", "B=two words", "C=1-1-default"]
    assert config["Labels"] == {"one": "1", "two": "2", "given": "it's"}
    assert sorted(config["ExposedPorts"]) == ["80/tcp", "90/udp", "91/udp"]
    assert list(config["Volumes"]) == ["/vol"] and config["StopSignal"] == "SIGUSR1"
    assert config["WorkingDir"] == "/a/b" and config["Shell"] == ["/bin/sh", "-ec"]
    assert config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "echo well"], "Interval": 5000000000, "Retries": 2,
    }
    assert image["Author"] == "me"
    assert run(engine, "all") == "me"
    cat = engine.docker("run", "--rm", "--entrypoint", "cat", "all", "where", "id", "/tmp/id")
    assert cat.split() == ["/a/b", "0", "33"]


def test_copies(engine, tmp_path):
    folder = context(
        tmp_path,
        "FROM busybox\nRUN mkdir -p /real && ln -s /real /link && mkdir /there\n"
        "COPY a.txt /link/\nCOPY a.txt /there\nCOPY a.txt new/name\nCOPY d /d\nCOPY *.txt /star/\n"
        "COPY --chown=www-data:daemon --chmod=640 a.txt /owned\nCOPY [\"with space\", \"/s/\"]\n"
        "ADD x.tar.gz /x/\nCOPY x.tar.gz /y/\nCOPY <<A <<'B' /docs/\n$PATH\nA\n$PATH\nB\n",
        **{"a.txt": "a", "b.txt": "b", "d__e__f": "f", "with space": "s"},
    )
    os.symlink("f", os.path.join(folder, "d", "e", "l"))
    with tarfile.open(os.path.join(folder, "x.tar.gz"), "w:gz") as archive:
        archive.add(os.path.join(folder, "a.txt"), "in/archive")
    build(engine, folder, "-t", "copies")
    out = run(
        engine, "copies", "sh", "-c",
        "cat /real/a.txt /there/a.txt /new/name /d/e/f /star/b.txt '/s/with space' /x/in/archive; echo;"
        "readlink /d/e/l; stat -c '%u %g %a' /owned; ls /y; cat /docs/B; grep -c bin /docs/A; "
        "test -L /link && echo link",
    )
    assert out.split("\n") == ["aaafbsa", "f", "33 1 640", "x.tar.gz", "$PATH", "1", "link"]


def test_the_cache(engine, tmp_path):
    folder = context(
        tmp_path, "FROM busybox\nARG v\nCOPY a /a\nRUN cat /a > /b\nRUN date +%N > /c\n", a="1"
    )
    build(engine, folder, "-t", "cached")
    first = engine.inspect("cached")["Id"]
    os.utime(os.path.join(folder, "a"), (1, 1))
    build(engine, folder, "-t", "cached")
    assert engine.inspect("cached")["Id"] == first
    build(engine, folder, "-t", "other", "--build-arg", "v=2")
    assert engine.inspect("other")["Id"] != first
    context(tmp_path, "FROM busybox\nARG v\nCOPY a /a\nRUN cat /a > /b\nRUN date +%N > /c\n", a="2")
    lines = build(engine, folder, "-t", "changed")
    assert lines.count(" ---> Using cache") == 1
    assert run(engine, "changed", "cat", "/b") == "2"
    lines = build(engine, folder, "--no-cache")
    assert " ---> Using cache" not in lines
    # Images that came from elsewhere are no cache, unless named as one.
    saved = os.path.join(str(tmp_path), "saved.tar")
    engine.docker("save", "-o", saved, "changed")
    second = Engine(tmp_path / "second").start()
    try:
        second.bootstrap()
        second.docker("load", "-i", saved)
        inner = context(tmp_path / "again", "FROM busybox\nARG v\nCOPY a /a\nRUN cat /a > /b\nRUN date +%N > /c\n", a="2")
        lines = build(second, inner)
        assert " ---> Using cache" not in lines
        lines = build(second, inner, "--cache-from", "changed", "-t", "from-cache")
        assert lines.count(" ---> Using cache") == 4
        assert second.inspect("from-cache")["Id"] == engine.inspect("changed")["Id"]
    finally:
        second.close()


def test_targets_and_triggers(engine, tmp_path):
    folder = context(
        tmp_path / "a", "FROM busybox AS one\nRUN echo 1 > /n\nFROM busybox\nRUN false\n"
    )
    build(engine, folder, "--target", "one", "-t", "target")
    assert run(engine, "target", "cat", "/n") == "1"
    build(engine, folder, "--target", "none", code=1)
    assert 'target stage "none" could not be found' in engine.stderr
    folder = context(tmp_path / "b", "FROM busybox\nONBUILD COPY a /a\nONBUILD RUN cat /a > /b\n")
    build(engine, folder, "-t", "triggers")
    assert engine.inspect("triggers")["Config"]["OnBuild"] == ["COPY a /a", "RUN cat /a > /b"]
    folder = context(tmp_path / "c", "FROM triggers\n", a="text")
    lines = build(engine, folder, "-t", "triggered")
    assert "# Executing 2 build triggers" in lines
    assert run(engine, "triggered", "cat", "/b") == "text"
    assert not engine.inspect("triggered")["Config"]["OnBuild"]


def test_scratch_squash_and_ignored_files(engine, tmp_path):
    folder = context(
        tmp_path, "FROM busybox AS b\nFROM scratch\nCOPY --from=b /bin /bin\nRUN echo x > /x\n"
        "RUN rm /x && echo y > /y\nCOPY . /c/\n",
        **{"in.txt": "", "out.log": "", ".dockerignore": "*.log\nDockerfile\n.dockerignore\n"},
    )
    build(engine, folder, "-t", "small")
    assert run(engine, "small", "ls", "/c") == "in.txt"
    status, body = send(engine, archive_of(folder), "squash=1&t=squashed")
    assert status == 200 and "Successfully tagged squashed:latest" in body, body
    assert len(engine.inspect("squashed")["RootFS"]["Layers"]) == 1
    assert run(engine, "squashed", "sh", "-c", "ls /; cat /y").split()[-1] == "y"
    assert "x" not in run(engine, "squashed", "ls", "/").split()


def archive_of(folder):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(folder, ".")
    return out.getvalue()


def test_limits_reach_the_steps(engine, tmp_path):
    folder = context(
        tmp_path,
        "FROM busybox\nRUN grep extra /etc/hosts && ulimit -n && ls /sys/class/net && df /dev/shm\n",
    )
    lines = build(
        engine, folder, "--network", "none", "--add-host", "extra:10.0.0.7", "--ulimit",
        "nofile=77:88", "--shm-size", "1m", "--memory", "64m",
    )
    text = "\n".join(lines)
    assert "10.0.0.7\textra" in text and "\n77\n" in text and "eth0" not in text
    assert "1024" in text


@pytest.mark.parametrize(
    "dockerfile, part",
    [
        ("FROM busybox\nRUN exit 3\n", "The command '/bin/sh -c exit 3' returned a non-zero code: 3"),
        ("FROM busybox\nCOPY nope /\n", "file not found in build context or excluded by .dockerignore"),
        ("FROM busybox\nCOPY ../x /\n", "forbidden path outside the build context: ../x"),
        ("FROM busybox\nCOPY --from=busybox nope /\n", "COPY failed: stat nope: file does not exist"),
        ("FROM busybox\nCOPY a Dockerfile /x\n", "the destination must be a directory and end with a /"),
        ("FROM busybox\nFOO x\n", "dockerfile parse error on line 2: unknown instruction: FOO"),
        ("RUN x\n", "no build stage in current context"),
        ("", "the Dockerfile (Dockerfile) cannot be empty"),
        ("# nothing\n", "file with no instructions"),
        ("FROM busybox\nENV a=${b\n", "missing '}'"),
        ("FROM $x\n", "base name ($x) should not be blank"),
        ("FROM busybox\nRUN --mount=type=cache,target=/x true\n", "requires BuildKit"),
        ("FROM busybox\nCOPY --chown=stranger a /\n", "unable to convert uid/gid chown"),
        ("FROM busybox\nUSER nobody-there\nRUN true\n", "unable to find user nobody-there"),
        ("FROM a AS a\nCOPY --from=a x y\n", ""),
    ],
)
def test_mistakes(engine, tmp_path, dockerfile, part):
    before = set(engine.docker("images", "-aq", "--no-trunc").split())
    folder = context(tmp_path, dockerfile, a="a")
    build(engine, folder, "--force-rm", "-t", "mistake", code=1 if "exit 3" not in dockerfile else 3)
    assert part in engine.stderr
    assert engine.docker("ps", "-aq") == ""
    assert engine.docker("images", "-q", "mistake") == ""
    after = set(engine.docker("images", "-aq", "--no-trunc").split())
    assert len(after - before) <= 1


def test_unused_arguments_and_other_files(engine, tmp_path):
    folder = context(tmp_path, "FROM nothing\n", other="FROM busybox\n")
    lines = build(engine, folder, "-f", os.path.join(folder, "other"), "--build-arg", "odd=1")
    assert "[Warning] One or more build-args [odd] were not consumed" in lines
    build(engine, folder, "-t", "UPPER", code=125)
    status, body = send(engine, tar_of([("x", b"")]))
    assert (status, json.loads(body)["message"]) == (
        400, "Cannot locate specified Dockerfile: Dockerfile",
    )
    status, body = send(engine, b"no archive at all, but long enough" * 30)
    assert status == 400, body


def hostile(kind, name, link="", size=0):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    info.devmajor, info.devminor = 1, 3
    return info


@pytest.mark.parametrize(
    "entries",
    [
        [("../escaped", b"x")],
        [("a/../../escaped", b"x")],
        [(hostile(tarfile.SYMTYPE, "out", "/etc"), b""), ("out/escaped", b"x")],
        [(hostile(tarfile.SYMTYPE, "out", "../../../../../../tmp"), b""), ("out/escaped", b"x")],
        [(hostile(tarfile.LNKTYPE, "hard", "/etc/passwd"), b"")],
        [(hostile(tarfile.LNKTYPE, "hard", "../../../../../../etc/passwd"), b"")],
        [(hostile(tarfile.CHRTYPE, "device"), b"")],
    ],
)
def test_hostile_contexts(engine, entries):
    """Nothing is made outside, and nothing outside is read."""
    dockerfile = ("Dockerfile", b"FROM busybox\nCOPY . /c/\nRUN cat /c/hard 2>&1 || true\n")
    status, body = send(engine, tar_of([dockerfile, *entries]))
    assert not os.path.exists("/etc/escaped") and not os.path.exists("/tmp/escaped")
    assert "root:x:0:0" not in body
    assert status == 400 or "escaped" not in body
    assert [name for name in os.listdir(scratch(engine)) if name.startswith("context")] == []


def scratch(engine):
    return os.path.join(engine.cloud.data, "engine", "scratch")


def test_links_in_a_context_lead_nowhere(engine):
    """A file of this machine is not copied through a link of the context."""
    entries = [
        ("Dockerfile", b"FROM busybox\nCOPY link /copied\n"),
        (hostile(tarfile.SYMTYPE, "link", "/etc/hostname"), b""),
    ]
    status, body = send(engine, tar_of(entries))
    assert status == 200 and "file does not exist" in body


def test_with_docker_py(engine, tmp_path):
    client = docker.DockerClient(base_url="unix://" + engine.socket, timeout=60)
    folder = context(tmp_path, "FROM busybox\nRUN echo py > /py\n")
    image, log = client.images.build(path=folder, tag="py:1", rm=True)
    assert image.tags == ["py:1"] and any("Successfully built" in one.get("stream", "") for one in log)
    assert client.containers.run("py:1", "cat /py", remove=True) == b"py\n"
    with pytest.raises(docker.errors.BuildError) as refused:
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 9\n"), rm=True, forcerm=True)
    assert "returned a non-zero code: 9" in str(refused.value)
    client.close()


def test_who_leaves_ends_the_build(engine, tmp_path):
    folder = context(tmp_path, "FROM busybox\nRUN sleep 1000\n")
    with subprocess.Popen(
        ["docker", "build", folder], env=engine.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as client:
        wait_until(lambda: engine.docker("ps", "-q") != "", "the step runs")
        client.send_signal(signal.SIGKILL)
        client.wait()
    wait_until(lambda: engine.docker("ps", "-aq") == "", "its container is gone")
    wait_until(lambda: os.listdir(scratch(engine)) in ([], ["empty"]), "nothing of it is left")


def test_steps_go_with_their_image(engine, tmp_path):
    folder = context(tmp_path, "FROM busybox\nRUN echo 1 > /1\nRUN dd if=/dev/zero of=/big bs=1M count=8\n")
    before = json.loads(engine.request("GET", "/system/df")[2])
    build(engine, folder, "-t", "big", "--no-cache")
    during = json.loads(engine.request("GET", "/system/df")[2])
    assert during["LayersSize"] - before["LayersSize"] >= 8 << 20
    assert len(during["Images"]) == len(before["Images"]) + 1
    removed = engine.docker("rmi", "big")
    assert removed.count("Deleted: sha256:") >= 3
    after = json.loads(engine.request("GET", "/system/df")[2])
    assert after["LayersSize"] == before["LayersSize"]
    build(engine, folder, "-t", "big", "--no-cache")
    build(engine, folder, "-t", "big", "--no-cache")
    engine.docker("rmi", "busybox", code=None)
    engine.bootstrap()
    assert "Total reclaimed space" in engine.docker("image", "prune", "-f")
    again = json.loads(engine.request("GET", "/system/df")[2])
    assert again["LayersSize"] - before["LayersSize"] <= 9 << 20


def test_kill_in_the_middle_of_a_step(tmp_path):
    """After the engine's kill -9 nothing of a build is left."""
    engine = Engine(tmp_path / "killed").start()
    try:
        engine.bootstrap()
        images = engine.docker("images", "-aq", "--no-trunc")
        folder = context(tmp_path / "c", "FROM busybox\nRUN echo begun > /x && sleep 1000\n")
        thread = threading.Thread(
            target=lambda: engine.docker("build", folder, code=None), daemon=True
        )
        thread.start()
        wait_until(lambda: engine.docker("ps", "-q") != "", "the step runs")
        name = engine.docker("ps", "-q", "--no-trunc")
        engine.cloud.kill()
        thread.join()
        engine.cloud.start()
        wait_until(lambda: engine.docker("ps", "-aq") == "", "the step's container is gone")
        wait_until(lambda: not control_groups(name), "its control groups are gone")
        wait_until(lambda: os.listdir(scratch(engine)) in ([], ["empty"]), "its files are gone")
        assert engine.docker("images", "-aq", "--no-trunc") == images
        assert engine.docker("volume", "ls", "-q") == "" and not mounts_of(name)
    finally:
        engine.close()
