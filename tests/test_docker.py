"""Containers with the stock docker CLI and docker-py, on a cloud of each worker's own.

They need root, as containers do for now; CI runs as root.
"""

import base64
import hashlib
import io
import json
import os
import signal
import socket
import stat
import subprocess
import tarfile

import docker
import pytest

from containers import Engine, control_groups, get, links, mounts_of, port_of
from deadline import wait_until


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("engine")).start()
    assert "busybox:latest" in engine.bootstrap()
    yield engine
    engine.close()


def test_ping_and_versions(engine):
    status, head, body = engine.request("GET", "/_ping")
    assert (status, body) == (200, b"OK")
    assert "api-version: 1.51" in head.lower() and "ostype: linux" in head.lower()
    assert engine.docker("version", "--format", "{{.Server.APIVersion}}") == "1.51"
    status, _, body = engine.request("GET", "/v1.23/info")
    assert status == 400 and b"too old" in body
    status, _, body = engine.request("GET", "/v1.99/info")
    assert status == 400 and b"too new" in body


@pytest.mark.parametrize(
    "method, path, status, part",
    [
        ("POST", "/images/create?fromImage=X&tag=y", 400, "must be lowercase"),
        ("POST", "/images/nope/push", 404, "An image does not exist locally with the tag: nope"),
        ("POST", "/grpc", 400, "no upgrade proto"),
        ("GET", "/swarm", 503, "not a swarm manager"),
        ("POST", "/swarm/init", 501, "Swarm mode is not done"),
        ("POST", "/swarm/leave", 503, "not part of a swarm"),
        ("GET", "/nonsense", 404, "page not found"),
        ("GET", "/containers/nope/json", 404, "No such container: nope"),
        ("GET", "/images/nope/json", 404, "No such image: nope:latest"),
        ("GET", "/networks/nope", 404, "network nope not found"),
        ("GET", "/volumes/nope", 404, "no such volume"),
        ("GET", "/containers/json?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D", 400, "invalid filter"),
    ],
)
def test_errors(engine, method, path, status, part):
    found, _, body = engine.request(method, path)
    assert (found, part in json.loads(body)["message"]) == (status, True), body


@pytest.mark.parametrize(
    "body, status, part",
    [
        ({"Image": "busybox", "HostConfig": {"CapAdd": ["NOPE"]}}, 400, "invalid capability"),
        ({"Image": "busybox", "HostConfig": {"Memory": 5}}, 400, "Minimum memory limit"),
        ({"Image": "busybox", "HostConfig": {"CgroupParent": "x"}}, 501, "CgroupParent"),
        ({"Image": "busybox", "HostConfig": {"CpusetCpus": "900"}}, 400, "CPUs are not available - requested 900, "),
        ({"Image": "busybox", "HostConfig": {"CpusetMems": "one"}}, 400, "Invalid value one for cpuset mems"),
        ({"Image": "busybox", "HostConfig": {"NetworkMode": "nope"}}, 404, "network nope not found"),
        ({"Image": "busybox", "HostConfig": {"Binds": ["/a:/"]}}, 400, "destination can't be '/'"),
        ({"Image": "nope"}, 404, "No such image: nope:latest"),
        ({}, 400, "no image"),
        ({"Env": 7}, 400, "invalid JSON"),
    ],
)
def test_impossible_containers(engine, body, status, part):
    before = engine.docker("ps", "-aq")
    found, _, answer = engine.request("POST", "/containers/create", body)
    assert (found, part in json.loads(answer)["message"]) == (status, True), answer
    assert engine.docker("ps", "-aq") == before


def test_run(engine):
    assert engine.docker("run", "--rm", "busybox", "true") == ""
    out = engine.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", code=7)
    assert (out, engine.stderr.strip()) == ("out", "err")
    assert engine.docker("run", "--rm", "-i", "busybox", "cat", stdin="typed\n") == "typed"
    engine.docker("run", "--rm", "busybox", "nope", code=127)
    assert "executable file not found in $PATH" in engine.stderr
    engine.docker("run", "--rm", "busybox", "/etc/passwd", code=126)
    assert engine.docker("ps", "-aq", "--filter", "status=created") == ""


def test_what_a_container_is(engine):
    out = engine.docker(
        "run", "--rm", "--user", "www-data:daemon", "--env", "A=b", "--workdir", "/tmp",
        "--hostname", "inside", "--memory", "64m", "--pids-limit", "50", "--ulimit", "nofile=99:100",
        "--sysctl", "net.ipv4.ip_unprivileged_port_start=99", "--add-host", "db:10.0.0.9",
        "busybox", "sh", "-c",
        "id -u; id -g; echo $A; pwd; hostname; ulimit -n; grep db /etc/hosts; echo $$;"
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    )
    assert out.split("\n") == [
        "33", "1", "b", "/tmp", "inside", "99", "10.0.0.9\tdb", "1", "99",
    ]


def test_a_terminal(engine):
    """Through a real pseudo-terminal, with a size."""
    script = (
        "import os, pty, sys, termios, struct, fcntl\n"
        "pid, fd = pty.fork()\n"
        "if pid == 0:\n"
        "    os.execvp('docker', ['docker', 'run', '--rm', '-it', 'busybox', 'sh', '-c',"
        " 'read x; tty; stty size; echo got $x'])\n"
        "fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 101, 0, 0))\n"
        "os.write(fd, b'word\\n')\n"
        "out = b''\n"
        "while True:\n"
        "    try:\n"
        "        piece = os.read(fd, 4096)\n"
        "    except OSError:\n"
        "        break\n"
        "    if not piece:\n"
        "        break\n"
        "    out += piece\n"
        "sys.stdout.write(out.decode())\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run(
        ["python3", "-c", script], capture_output=True, text=True, timeout=60, env=engine.env, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/dev/pts/0" in done.stdout and "got word" in done.stdout
    assert "33 101" in done.stdout


def test_a_life(engine):
    engine.docker("run", "-d", "--name", "life", "busybox", "sh", "-c", "echo begun; exec sleep 1000")
    state = engine.inspect("life")["State"]
    assert state["Running"] and state["Pid"] > 0
    assert engine.docker("ps", "--filter", "name=^life$", "--format", "{{.State}}") == "running"
    wait_until(lambda: engine.docker("logs", "life") == "begun", "the log has its line")
    assert "sleep 1000" in engine.docker("top", "life")
    assert engine.docker("exec", "life", "sh", "-c", "echo x; exit 5", code=5) == "x"
    assert engine.docker("exec", "-i", "life", "cat", stdin="y") == "y"
    engine.docker("exec", "life", "nope", code=127)
    engine.docker("exec", "-d", "life", "touch", "/touched")
    wait_until(lambda: "A /touched" in engine.docker("diff", "life"), "the exec has run")
    assert control_groups(state_id := engine.inspect("life")["Id"])
    engine.docker("pause", "life")
    assert engine.inspect("life")["State"]["Status"] == "paused"
    engine.docker("exec", "life", "true", code=1)
    assert "is paused" in engine.stderr
    engine.docker("unpause", "life")
    engine.docker("rename", "life", "second")
    engine.docker("rm", "second", code=1)
    assert "stop the container before removing or force remove" in engine.stderr
    engine.docker("kill", "-s", "KILL", "second")
    engine.wait_for("second", "exited")
    assert engine.inspect("second")["State"]["ExitCode"] == 137
    wait_until(lambda: not control_groups(state_id), "its control groups are gone")
    engine.docker("start", "second")
    engine.docker("restart", "-t", "0", "second")
    assert engine.inspect("second")["State"]["Running"]
    engine.docker("stop", "-t", "0", "second")
    engine.docker("stop", "second")
    engine.docker("rm", "second")
    engine.docker("inspect", "second", code=1)


def test_an_init_of_ours(engine):
    """The first process is not the program: it hands signals on, and buries what dies."""
    script = "trap 'echo told; exit 3' TERM; sh -c 'sleep 0.1 & exit'; sleep 1000 & wait"
    engine.docker("run", "-d", "--init", "--name", "tended", "-u", "33", "busybox", "sh", "-c", script)
    processes = engine.docker("exec", "tended", "ps", "-o", "pid,args").splitlines()
    assert processes[1].split()[0] == "1" and script not in processes[1], processes
    assert [line for line in processes if script in line], processes
    wait_until(lambda: "[sleep]" not in engine.docker("exec", "tended", "ps"), "what has died is buried")
    engine.docker("stop", "-t", "20", "tended")
    assert engine.docker("logs", "tended") == "told"
    assert engine.inspect("tended")["State"]["ExitCode"] == 3
    engine.docker("rm", "tended")


def test_nothing_of_a_container_runs_on(engine):
    """Without a PID namespace of its own the kernel does not end the others with the first."""
    engine.docker("run", "-d", "--name", "shares", "--pid", "host", "busybox", "sh", "-c", "sleep 1003 & sleep 1004 & wait")
    engine.docker("exec", "-d", "shares", "sleep", "1005")
    wait_until(lambda: len(engine.docker("top", "shares", "-o", "pid").splitlines()) == 5, "all of them run")
    pids = engine.docker("top", "shares", "-o", "pid").split()[1:]
    engine.docker("kill", "-s", "KILL", "shares")
    engine.wait_for("shares", "exited")
    wait_until(lambda: not [pid for pid in pids if os.path.exists(f"/proc/{pid}")], "none of them runs")
    engine.docker("rm", "shares")


def test_names_collide(engine):
    engine.docker("create", "--name", "taken", "busybox")
    engine.docker("create", "--name", "taken", "busybox", code=1)
    assert 'The container name "/taken" is already in use by container' in engine.stderr
    engine.docker("create", "--name", "a/b", "busybox", code=1)
    assert "Invalid container name (a/b)" in engine.stderr
    engine.docker("rm", "taken")


def test_logs(engine):
    engine.docker(
        "run", "--name", "logs", "busybox", "sh", "-c", "for n in 1 2 3; do echo o$n; echo e$n >&2; done"
    )
    assert engine.docker("logs", "logs").split() == ["o1", "o2", "o3"]
    assert engine.stderr.split() == ["e1", "e2", "e3"]
    engine.docker("logs", "--tail", "2", "logs")
    stamped = engine.docker("logs", "-t", "logs").splitlines()
    assert len(stamped) == 3 and stamped[0].endswith("Z o1")
    assert engine.docker("logs", "--since", "1h", "logs") != ""
    assert engine.docker("logs", "--until", "2001-01-01T00:00:00Z", "logs") == ""
    engine.docker("rm", "logs")


def test_logs_are_followed(engine):
    engine.docker("create", "-i", "--name", "follow", "busybox", "cat")
    engine.docker("start", "follow")
    follower = subprocess.Popen(
        ["docker", "logs", "-f", "follow"], stdout=subprocess.PIPE, env=engine.env, text=True
    )
    try:
        attached = subprocess.Popen(
            ["docker", "attach", "follow"], stdin=subprocess.PIPE, env=engine.env, text=True,
            stdout=subprocess.DEVNULL,
        )
        attached.stdin.write("first\n")
        attached.stdin.flush()
        assert follower.stdout.readline() == "first\n"
        attached.stdin.write("second\n")
        attached.stdin.close()
        assert follower.stdout.readline() == "second\n"
        # Its input was ended by the one who attached, so it ends, and with it the log.
        assert attached.wait(timeout=20) == 0
        assert follower.wait(timeout=20) == 0
    finally:
        follower.kill()
    engine.docker("rm", "-f", "follow")


def test_log_rotation(engine):
    engine.docker(
        "run", "--name", "rotate", "--log-opt", "max-size=2k", "--log-opt", "max-file=3",
        "busybox", "sh", "-c", "for n in $(seq 100); do echo line $n; done",
    )
    path = engine.inspect("rotate")["LogPath"]
    assert os.path.getsize(path) <= 2048 and os.path.exists(path + ".2")
    assert not os.path.exists(path + ".3")
    assert engine.docker("logs", "rotate").splitlines()[-1] == "line 100"
    engine.docker("rm", "rotate")


def test_restart_policies(engine):
    engine.docker("run", "-d", "--name", "again", "--restart", "on-failure:2", "busybox", "false")
    wait_until(
        lambda: engine.inspect("again")["State"]["Status"] == "exited"
        and engine.inspect("again")["RestartCount"] == 2,
        "it was started twice more",
        30,
    )
    engine.docker("run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "1000")
    pid = engine.inspect("always")["State"]["Pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: engine.inspect("always")["State"]["Pid"] not in (0, pid), "it is back", 20)
    engine.docker("stop", "-t", "0", "always")
    assert engine.inspect("always")["State"]["Status"] == "exited"
    engine.docker("rm", "again", "always")


def test_health(engine):
    engine.docker(
        "run", "-d", "--name", "health", "--health-cmd", "test -e /good", "--health-interval", "100ms",
        "--health-retries", "2", "busybox", "sleep", "1000",
    )
    health = lambda: engine.inspect("health")["State"]["Health"]["Status"]
    wait_until(lambda: health() == "unhealthy", "it is unhealthy", 20)
    engine.docker("exec", "health", "touch", "/good")
    wait_until(lambda: health() == "healthy", "it is healthy", 20)
    assert engine.docker("ps", "--filter", "health=healthy", "--format", "{{.Names}}") == "health"
    engine.docker("rm", "-f", "health")


def test_volumes(engine, tmp_path):
    (tmp_path / "file").write_text("from the host")
    out = engine.docker(
        "run", "--rm", "-v", f"{tmp_path}:/host:ro", "--tmpfs", "/t:size=1m", "busybox", "sh", "-c",
        "cat /host/file; touch /host/x 2>/dev/null || echo ' read-only'; grep -c ' /t ' /proc/mounts",
    )
    assert out == "from the host read-only\n1"
    engine.docker("volume", "create", "--label", "a=b", "vol")
    engine.docker("run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", "echo kept >/v/f")
    assert engine.docker("run", "--rm", "-v", "vol:/v", "busybox", "cat", "/v/f") == "kept"
    # A new volume begins with what the image has in its place.
    assert "passwd" in engine.docker("run", "--rm", "-v", "copied:/etc", "busybox", "ls", "/etc")
    engine.docker("run", "--name", "user", "-v", "vol:/v", "-v", "/anonymous", "busybox", "true")
    engine.docker("volume", "rm", "vol", code=1)
    assert "volume is in use" in engine.stderr
    before = len(engine.docker("volume", "ls", "-q").split())
    engine.docker("rm", "-v", "user")
    assert len(engine.docker("volume", "ls", "-q").split()) == before - 1
    engine.docker("volume", "rm", "vol", "copied")


def test_copying(engine, tmp_path):
    engine.docker("create", "--name", "files", "busybox", "sleep", "1000")
    (tmp_path / "in").write_text("content")
    for running in (False, True):
        if running:
            engine.docker("start", "files")
        engine.docker("cp", str(tmp_path / "in"), "files:/tmp/there")
        engine.docker("cp", "files:/tmp/there", str(tmp_path / "out"))
        assert (tmp_path / "out").read_text() == "content"
    engine.docker("cp", "files:/no/such", str(tmp_path / "no"), code=1)
    assert "Could not find the file /no/such in container files" in engine.stderr
    # A link that leads out of the container leads nowhere but inside of it.
    engine.docker("exec", "files", "ln", "-s", "/../../../../etc", "/tmp/link")
    engine.docker("cp", str(tmp_path / "in"), "files:/tmp/link/escaped")
    assert not os.path.exists("/etc/escaped")
    assert engine.docker("exec", "files", "cat", "/etc/escaped") == "content"
    engine.docker("rm", "-f", "files")


def test_an_archive_cannot_lead_out(engine):
    engine.docker("run", "-d", "--name", "archive", "busybox", "sleep", "1000")
    outside = f"/tmp/cumulet-outside-{os.getpid()}"
    for entry in ("../../../.." + outside, outside):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            link = tarfile.TarInfo("l")
            link.type, link.linkname = tarfile.SYMTYPE, "/../../../../../.."
            archive.addfile(link)
            for name in (entry, "l" + outside):
                info = tarfile.TarInfo(name)
                info.size = 1
                archive.addfile(info, io.BytesIO(b"x"))
        client = docker.DockerClient(base_url="unix://" + engine.socket)
        client.containers.get("archive").put_archive("/tmp", buffer.getvalue())
        assert not os.path.exists(outside)
        client.close()
    engine.docker("rm", "-f", "archive")


def test_images(engine, tmp_path):
    image = json.loads(engine.docker("image", "inspect", "busybox"))[0]
    assert image["RepoTags"] == ["busybox:latest"] and len(image["RootFS"]["Layers"]) == 1
    engine.docker("tag", "busybox", "host.example:5000/a/b:1")
    assert "host.example:5000/a/b" in engine.docker("images", "--format", "{{.Repository}}")
    saved = tmp_path / "saved.tar"
    engine.docker("save", "-o", str(saved), "busybox")
    engine.docker("rmi", "host.example:5000/a/b:1")
    engine.docker("rmi", "busybox")
    engine.docker("run", "--pull", "never", "--rm", "busybox", "true", code=125)
    assert "Loaded image: busybox:latest" in engine.docker("load", "-i", str(saved))
    assert json.loads(engine.docker("image", "inspect", "busybox"))[0]["Id"] == image["Id"]
    engine.docker("rmi", "a b", code=1)


def test_layers_that_are_in_an_archive_once_and_in_images_often(engine, tmp_path):
    """What an archive has of a layer is let go of when the last of its images has it."""
    def tar(files):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return buffer.getvalue()

    layers = {name: tar({name: name.encode() * 300_000}) for name in ("one", "two")}
    files, images = {f"{name}/layer.tar": layer for name, layer in layers.items()}, []
    for tag, names in {"a": ["one", "two", "one"], "b": ["one"], "c": ["two", "two"]}.items():
        diff_ids = ["sha256:" + hashlib.sha256(layers[name]).hexdigest() for name in names]
        config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        files[f"{tag}.json"] = json.dumps(config).encode()
        images.append({"Config": f"{tag}.json", "RepoTags": [f"often:{tag}"], "Layers": [f"{name}/layer.tar" for name in names]})
    (tmp_path / "often.tar").write_bytes(tar(files | {"manifest.json": json.dumps(images).encode()}))
    loaded = engine.docker("load", "-i", str(tmp_path / "often.tar"))
    assert loaded.splitlines() == [f"Loaded image: often:{tag}" for tag in "abc"]
    for tag, there in {"a": ["one", "two"], "b": ["one"], "c": ["two"]}.items():
        made = engine.docker("create", f"often:{tag}", "x")
        engine.docker("export", "-o", str(tmp_path / tag), made)
        with tarfile.open(tmp_path / tag) as archive:
            kept = {name: archive.extractfile(name).read() for name in archive.getnames() if name in layers}
        assert kept == {name: name.encode() * 300_000 for name in there}
        engine.docker("rm", made)
        engine.docker("rmi", f"often:{tag}")


def test_commit_and_import(engine, tmp_path):
    engine.docker("run", "--name", "work", "busybox", "sh", "-c", "echo new >/new; rm /etc/group")
    assert engine.docker("diff", "work").splitlines() == ["C /etc", "D /etc/group", "A /new"]
    engine.docker("commit", "-m", "a word", "work", "worked:1")
    out = engine.docker("run", "--rm", "worked:1", "sh", "-c", "cat /new; ls /etc/group", code=1)
    assert out == "new"
    assert len(engine.docker("history", "-q", "worked:1").split()) == 2
    exported = tmp_path / "exported.tar"
    engine.docker("export", "-o", str(exported), "work")
    with tarfile.open(exported) as archive:
        names = archive.getnames()
    assert "new" in names and "etc/group" not in names
    engine.docker("import", str(exported), "imported")
    assert engine.docker("run", "--rm", "imported", "cat", "/new") == "new"
    engine.docker("rm", "work")
    engine.docker("rmi", "worked:1", "imported")


@pytest.mark.parametrize(
    "name, content, part",
    [
        ("not a tar", b"x" * 2000, "invalid tar header"),
        ("no manifest", None, "unrecognized image format"),
        ("a lie", b"layer", "wrong diff id"),
    ],
)
def test_broken_images(engine, tmp_path, name, content, part):
    path = tmp_path / "image.tar"
    if name == "not a tar":
        path.write_bytes(content)
    else:
        config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("file"))
        files = {"config.json": json.dumps(config).encode(), "layer.tar": layer.getvalue()}
        if content:
            manifest = [{"Config": "config.json", "RepoTags": ["lie:1"], "Layers": ["layer.tar"]}]
            files["manifest.json"] = json.dumps(manifest).encode()
        with tarfile.open(path, "w") as archive:
            for file, data in files.items():
                info = tarfile.TarInfo(file)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    engine.docker("load", "-i", str(path), code=1)
    assert part in engine.stderr
    assert "lie" not in engine.docker("images", "-a")


def test_networks(engine):
    engine.docker("network", "create", "--label", "x=y", "one")
    engine.docker("network", "create", "two")
    engine.docker("run", "-d", "--name", "web", "--network", "one", "busybox", "sleep", "1000")
    engine.docker("run", "-d", "--name", "other", "--network", "two", "busybox", "sleep", "1000")
    address = engine.inspect("web")["NetworkSettings"]["Networks"]["one"]["IPAddress"]
    ping = ("ping", "-c", "1", "-W", "1", address)
    engine.docker("run", "--rm", "--network", "one", "busybox", *ping)
    engine.docker("exec", "other", *ping, code=1)
    engine.docker("network", "connect", "one", "other")
    engine.docker("exec", "other", *ping)
    engine.docker("network", "rm", "one", code=1)
    assert "has active endpoints" in engine.stderr
    engine.docker("network", "disconnect", "one", "other")
    engine.docker("exec", "other", *ping, code=1)
    engine.docker("network", "create", "one", code=1)
    engine.docker("network", "rm", "bridge", code=1)
    assert "pre-defined network" in engine.stderr
    engine.docker("rm", "-f", "web", "other")
    engine.docker("network", "rm", "one", "two")


def test_an_address_is_free_at_once(engine):
    """The kernel takes its time with links; nobody else waits for that."""
    a, b = os.urandom(2)
    engine.docker("network", "create", "--subnet", f"10.{a}.{b}.0/24", "fixed")
    engine.docker("run", "-d", "--name", "fixed", "--network", "fixed", "--ip", f"10.{a}.{b}.9", "-p", "127.0.0.1::80",
                  "busybox", "httpd", "-f", "-h", "/etc")
    for _ in range(3):
        engine.docker("restart", "-t", "0", "fixed")
        assert "root:" in get(port_of(engine.docker("port", "fixed")), path="/passwd")
    engine.docker("rm", "-f", "fixed")
    engine.docker("network", "rm", "fixed")


def test_other_network_modes(engine):
    assert "eth0" not in engine.docker("run", "--rm", "--network", "none", "busybox", "ip", "link")
    own = engine.docker("run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net")
    assert own == os.readlink("/proc/self/ns/net")
    engine.docker("run", "-d", "--name", "first", "busybox", "sleep", "1000")
    space = engine.docker("exec", "first", "readlink", "/proc/self/ns/net")
    joined = engine.docker("run", "--rm", "--network", "container:first", "busybox", "readlink", "/proc/self/ns/net")
    assert joined == space
    engine.docker("rm", "-f", "first")


SERVE = "mkdir /w; echo $PAGE >/w/index.html; exec httpd -f -p 80 -h /w"


def test_published_ports(engine):
    engine.docker("run", "-d", "--name", "pages", "-e", "PAGE=hello", "-p", "127.0.0.1::80", "busybox", "sh", "-c", SERVE)
    port = port_of(engine.docker("port", "pages", "80"))
    assert get(port) == "hello\n"
    # Nobody else gets it meanwhile.
    engine.docker("run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox", "true", code=125)
    assert "address already in use" in engine.stderr
    # What this machine serves to itself is out of a container's reach.
    gateway = engine.inspect("pages")["NetworkSettings"]["Gateway"]
    engine.docker("exec", "-i", "pages", "nc", "-w", "2", gateway, str(port), code=1, stdin="GET / HTTP/1.0\r\n\r\n")
    engine.docker("rm", "-f", "pages")
    engine.docker("run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox", "true")


def test_docker_py(engine):
    client = docker.DockerClient(base_url="unix://" + engine.socket)
    assert client.ping()
    assert client.containers.run("busybox", "echo hi", remove=True) == b"hi\n"
    one = client.containers.run("busybox", ["sleep", "1000"], detach=True, name="py", labels={"a": "b"})
    assert one.exec_run("echo x").output == b"x\n"
    assert [c.name for c in client.containers.list(filters={"label": "a=b"})] == ["py"]
    assert one.stats(stream=False)["memory_stats"]["usage"] > 0
    events = client.events(decode=True, filters={"container": "py"}, since=0)
    one.remove(force=True)
    seen = []
    for event in events:
        seen.append(event["Action"])
        if event["Action"] == "destroy":
            break
    events.close()
    assert seen[0] == "create" and "start" in seen and "die" in seen
    client.close()


def test_walls(engine):
    """What a container may not do, by default."""
    out = engine.docker(
        "run", "--rm", "busybox", "sh", "-c",
        "mount -t tmpfs x /mnt 2>/dev/null || echo no-mount;"
        "echo 1 >/proc/sysrq-trigger 2>/dev/null || echo no-sysrq;"
        "mknod /dev/sda b 8 0 && dd if=/dev/sda of=/dev/null count=1 2>/dev/null || echo no-disk;"
        "unshare -m true 2>/dev/null || echo no-unshare;"
        "hostname x 2>/dev/null || echo no-hostname;"
        "echo $(cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c);"
        "echo x 2>/dev/null >/sys/kernel/mm/ksm/run || echo no-sys;"
        "echo x 2>/dev/null >/sys/fs/cgroup/memory/memory.limit_in_bytes || echo no-cgroup",
    )
    assert out.splitlines() == [
        "no-mount", "no-sysrq", "no-disk", "no-unshare", "no-hostname", "0", "no-sys", "no-cgroup",
    ]
    held = engine.docker("run", "--rm", "--cap-drop", "ALL", "busybox", "grep", "CapEff", "/proc/self/status")
    assert held.split()[1] == "0" * 16
    out = engine.docker("run", "--rm", "--read-only", "busybox", "touch", "/x", code=1)
    out = engine.docker(
        "run", "--rm", "--security-opt", "no-new-privileges", "busybox", "grep", "NoNewPrivs", "/proc/self/status"
    )
    assert out.split()[1] == "1"


def test_a_device_that_may_be_used_only_so_fast(engine):
    """By its path, which may be any node of this machine below `/dev`, as the CLI wants it."""
    with open(f"/sys/class/block/{sorted(os.listdir('/sys/class/block'))[0]}/dev", encoding="utf-8") as file:
        numbers = file.read().strip()
    name = f"slow-{os.getpid()}"
    disk = f"/dev/cumulet-{name}"
    major, minor = map(int, numbers.split(":"))
    os.mknod(disk, 0o600 | stat.S_IFBLK, os.makedev(major, minor))
    try:
        told = engine.docker(
            "run", "--rm", "--device-read-bps", f"{disk}:1mb", "--device-write-iops", f"{disk}:7", "busybox", "sh", "-c",
            "cd /sys/fs/cgroup; cat io.max 2>/dev/null || "
            "cat blkio/blkio.throttle.read_bps_device blkio/blkio.throttle.write_iops_device",
        )
    finally:
        os.unlink(disk)
    assert told in {f"{numbers} rbps=1048576 wbps=max riops=max wiops=7", f"{numbers} 1048576\n{numbers} 7"}
    engine.docker("create", "--name", name, "--device-read-bps", "/dev/none-such:1mb", "busybox", "true")
    engine.docker("start", name, code=1)
    assert "stat /dev/none-such: no such file or directory" in engine.stderr
    engine.docker("rm", name)


def test_a_working_directory_is_inside(engine):
    """A descriptor of a folder outside is no way out (CVE-2024-21626)."""
    for descriptor in range(3, 15):
        done = engine.docker(
            "run", "--rm", "-w", f"/proc/self/fd/{descriptor}", "busybox", "cat", "../../../../etc/shadow", code=None
        )
        assert "root:" not in done
        assert engine.stderr


def test_nothing_is_left(engine):
    before = links()
    ids = [engine.docker("run", "-d", "busybox", "sleep", "1000") for _ in range(3)]
    assert len(links() - before) >= 3
    for one in ids:
        # What a container mounts is seen in its own world alone.
        assert not mounts_of(one)
    engine.docker("rm", "-f", *ids)
    for one in ids:
        assert not control_groups(one)
        assert not os.path.exists(os.path.join(engine.cloud.data, "engine", "containers", one))


def test_help_of_images():
    from cloud import cumulet

    done = cumulet("images", "bootstrap", "--help")
    assert done.returncode == 0 and "busybox" in done.stdout


def test_kill_of_the_engine(tmp_path):
    """Killed and started again, it finds its containers, their output and their ends."""
    engine = Engine(tmp_path).start()
    engine.bootstrap()
    engine.docker("run", "-d", "--name", "runs", "-e", "PAGE=on", "-p", "127.0.0.1::80", "busybox", "sh", "-c", SERVE)
    engine.docker(
        "run", "-d", "--name", "ends", "busybox", "sh", "-c", "n=0; while [ ! -e /end ]; do n=$((n+1)); echo $n; usleep 1000; done; exit 3"
    )
    engine.docker("run", "-d", "--name", "asked", "busybox", "sleep", "1000")
    port = port_of(engine.docker("port", "runs", "80"))
    pids = {name: engine.inspect(name)["State"]["Pid"] for name in ("runs", "ends", "asked")}
    helper = engine.helper()
    engine.cloud.kill()
    assert engine.helper() == helper
    # Without an engine the page is still served, and a container comes to its end.
    assert get(port) == "on\n"
    with open(f"/proc/{pids['ends']}/root/end", "w", encoding="ascii"):
        pass
    wait_until(lambda: not os.path.exists(f"/proc/{pids['ends']}"), "it has ended")
    engine.cloud.start()
    assert engine.helper() == helper
    assert engine.inspect("runs")["State"]["Pid"] == pids["runs"]
    ended = engine.inspect("ends")["State"]
    assert (ended["Status"], ended["ExitCode"]) == ("exited", 3)
    numbers = [int(line) for line in engine.docker("logs", "ends").split()]
    assert numbers == list(range(1, len(numbers) + 1)) and numbers
    assert get(port) == "on\n"
    assert engine.docker("exec", "runs", "echo", "x") == "x"
    # A new container gets another address than those that run on.
    new = engine.docker("run", "-d", "busybox", "sleep", "1000")
    addresses = [engine.inspect(one)["NetworkSettings"]["IPAddress"] for one in ("runs", "asked", new)]
    assert len(set(addresses)) == 3
    engine.docker("stop", "-t", "0", "asked")
    assert engine.inspect("asked")["State"]["ExitCode"] == 137
    # A stop in good order leaves them running, too.
    assert engine.cloud.terminate() == 0
    assert os.path.exists(f"/proc/{pids['runs']}")
    engine.cloud.start()
    assert engine.inspect("runs")["State"]["Running"]
    engine.close()


PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 12, "op": "SCMP_CMP_EQ"}]},
    ],
}


def test_profiles_of_system_calls(engine, tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(PROFILE))
    with_profile = ("run", "--rm", "--security-opt", f"seccomp={path}")
    engine.docker(*with_profile, "busybox", "mkdir", "/x", code=1)
    assert "No space left on device" in engine.stderr
    assert engine.docker(*with_profile, "busybox", "sh", "-c", "kill -12 1; echo $?; kill -0 1; echo $?").split() == ["1", "0"]
    # The default profile refuses it, and without any it works.
    make = ("busybox", "unshare", "-U", "true")
    engine.docker("run", "--rm", *make, code=1)
    engine.docker("run", "--rm", "--security-opt", "seccomp=unconfined", *make)
    engine.docker("run", "-d", "--name", "filtered", *with_profile[2:], "busybox", "sleep", "1000")
    engine.docker("exec", "filtered", "mkdir", "/y", code=1)
    kept = engine.inspect("filtered")["HostConfig"]["SecurityOpt"]
    assert json.loads(kept[0].split("=", 1)[1]) == PROFILE
    engine.docker("rm", "-f", "filtered")
    for bad, part in [
        ('{"defaultAction": "SCMP_ACT_MAYBE"}', "Decoding seccomp profile failed: invalid seccomp action"),
        ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "SCMP_ACT_NOTIFY is not done"),
    ]:
        path.write_text(bad)
        engine.docker(*with_profile, "busybox", "true", code=125)
        assert part in engine.stderr, engine.stderr
    # As dockerd takes them where neither SELinux nor AppArmor is on.
    more = ("--security-opt", "label=type:svirt_apache_t", "--security-opt", "apparmor=unconfined")
    engine.docker("run", "--rm", *more, "busybox", "true")
    engine.docker("run", "--rm", "--security-opt", "nonsense=1", "busybox", "true", code=125)
    assert "invalid --security-opt" in engine.stderr


def test_top_shows_what_is_asked_for(engine):
    engine.docker("run", "-d", "--name", "shown", "busybox", "sh", "-c", "sleep 1000 & exec sleep 1001")
    wait_until(lambda: "sleep 1000" in engine.docker("top", "shown"), "both run")
    lines = engine.docker("top", "shown", "-o", "pid,ppid,comm,args").splitlines()
    assert lines[0].split() == ["PID", "PPID", "COMMAND", "COMMAND"] and len(lines) == 3
    assert engine.docker("top", "shown", "aux").splitlines()[0].split()[:3] == ["USER", "PID", "%CPU"]
    assert str(engine.inspect("shown")["State"]["Pid"]) in engine.docker("top", "shown", "-eo", "user,pid")
    engine.docker("top", "shown", "-o", "comm", code=1)
    assert "Couldn't find PID field in ps output" in engine.stderr
    engine.docker("rm", "-f", "shown")


def test_attach_over_a_websocket(engine):
    name = engine.docker("create", "-i", "busybox", "sh", "-c", "echo ready; read line; echo got $line")
    key = base64.b64encode(b"0123456789abcdef").decode()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(engine.socket)
        client.sendall((
            f"GET /v1.51/containers/{name}/attach/ws?logs=1&stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\n"
            f"Host: docker\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode())
        received = client.makefile("rb")
        assert b" 101 " in received.readline()
        head = {}
        while line := received.readline().strip():
            head.update([line.decode().lower().split(": ", 1)])
        expected = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert head["sec-websocket-accept"].encode() == base64.b64encode(expected).lower()

        def message():
            kind, length = received.read(2)
            if length == 126:
                length = int.from_bytes(received.read(2), "big")
            return kind & 15, received.read(length)

        def say(kind, content):
            mask = b"abcd"
            masked = bytes(b ^ mask[n % 4] for n, b in enumerate(content))
            client.sendall(bytes([0x80 | kind, 0x80 | len(content)]) + mask + masked)

        engine.docker("start", name)
        assert message() == (2, b"ready\n")
        say(9, b"are you there")
        assert message() == (10, b"are you there")
        say(1, b"hello\n")
        assert message() == (2, b"got hello\n")
        assert message()[0] == 8, "with the program ends the stream"
    engine.docker("rm", "-f", name)
    status, _, body = engine.request("GET", f"/containers/{name}/attach/ws?stream=1")
    assert status == 400 and b"WebSocket" in body
