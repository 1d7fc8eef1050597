"""`cumulet up --ephemeral`, and snapshots as beginnings: clouds for tests."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest
from accounts import Account
from cloud import binary, clean_env, cumulet
from containers import tables
from deadline import wait_until

ROOT = "000000000000"


class Ephemeral:
    """A cloud in memory, as an `Account` needs it."""

    attempts = 1

    def __init__(self, *args, env=None):
        self.process = subprocess.Popen(
            [binary(), "up", "--ephemeral", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_env(**(env or {})),
        )
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        self.said = json.loads(line)
        self.endpoint = self.said["url"]
        self.pid = self.said["pid"]

    def watch(self, client):
        return client

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out.decode(), err.decode()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.fixture
def tmp(tmp_path):
    """Short, because sockets lie in it."""
    return {"TMPDIR": str(tmp_path)}


def test_one_line_says_where_it_is_and_nothing_stays(tmp, tmp_path):
    cloud = Ephemeral(env=tmp)
    assert cloud.said["address"].startswith("127.0.0.1:") and cloud.said["region"] == "us-east-1"
    s3 = Account(ROOT, cloud).s3
    s3.create_bucket(Bucket="here")
    s3.put_object(Bucket="here", Key="k", Body=b"x" * 3_000_000)
    assert s3.get_object(Bucket="here", Key="k")["Body"].read() == b"x" * 3_000_000
    assert [name for name in os.listdir(tmp_path) if name.startswith("cumulet")]
    assert cloud.end() == (0, "", "")
    assert os.listdir(tmp_path) == []


def test_it_ends_with_its_parent(tmp, tmp_path):
    between = "import subprocess, sys; subprocess.Popen(sys.argv[1:]); sys.stdin.read()"
    parent = subprocess.Popen(
        [sys.executable, "-c", between, binary(), "up", "--ephemeral"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_env(**tmp),
    )
    pid = json.loads(parent.stdout.readline())["pid"]
    assert alive(pid)
    parent.kill()
    parent.wait()
    wait_until(lambda: not alive(pid) and os.listdir(tmp_path) == [], "the cloud ends")


def test_what_a_killed_one_leaves_the_next_takes_away(tmp, tmp_path):
    first, second = Ephemeral(env=tmp), Ephemeral(env=tmp)
    first.process.kill()
    first.process.wait()
    assert len(os.listdir(tmp_path)) == 2
    third = Ephemeral(env=tmp)
    left = {int(name.rsplit("-", 1)[1]) for name in os.listdir(tmp_path)}
    assert left == {second.pid, third.pid}
    assert (second.end()[0], third.end()[0]) == (0, 0)


def test_it_begins_with_a_snapshot_which_stays_as_it_is(own_cloud, tmp):
    cloud = own_cloud()
    s3 = Account(ROOT, cloud).s3
    s3.create_bucket(Bucket="seed")
    s3.put_object(Bucket="seed", Key="small", Body=b"small")
    s3.put_object(Bucket="seed", Key="large", Body=b"L" * 2_000_000)
    assert cumulet("snapshot", "save", "seed", "--data", cloud.data).returncode == 0
    folder = f"{cloud.data}/snapshots/seed"
    clouds = [Ephemeral("--from", folder, env=tmp) for _ in range(2)]
    for number, each in enumerate(clouds):
        own = Account(ROOT, each).s3
        assert own.get_object(Bucket="seed", Key="large")["Body"].read() == b"L" * 2_000_000
        own.put_object(Bucket="seed", Key="small", Body=str(number).encode())
        own.delete_object(Bucket="seed", Key="large")
    for number, each in enumerate(clouds):
        own = Account(ROOT, each).s3
        assert own.get_object(Bucket="seed", Key="small")["Body"].read() == str(number).encode()
        assert each.end()[0] == 0
    assert s3.get_object(Bucket="seed", Key="small")["Body"].read() == b"small"
    again = Ephemeral("--from", folder, env=tmp)
    assert Account(ROOT, again).s3.get_object(Bucket="seed", Key="small")["Body"].read() == b"small"
    again.end()


def test_a_snapshot_that_is_none_or_torn(own_cloud, tmp, tmp_path):
    def refused(*args):
        done = cumulet("up", "--ephemeral", *args, env=tmp)
        assert done.returncode != 0 and done.stdout == ""
        return done.stderr

    assert "snapshot list" in refused("--from", "nothing-of-this-name")
    assert "it takes no --data" in refused("--data", str(tmp_path / "d"))
    cloud = own_cloud()
    assert cumulet("snapshot", "save", "torn", "--data", cloud.data).returncode == 0
    manifest = f"{cloud.data}/snapshots/torn/manifest"
    with open(manifest, "r+b") as file:
        file.truncate(os.path.getsize(manifest) - 3)
    assert "manifest has a wrong checksum" in refused("--from", f"{cloud.data}/snapshots/torn")
    done = cumulet("up", "--from", "x", env=tmp)
    assert done.returncode == 2 and "--ephemeral" in done.stderr
    assert not [name for name in os.listdir(tmp_path) if name.startswith("cumulet-eph")]


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return (crc ^ 0xFFFFFFFF).to_bytes(4, "little")


def test_a_snapshot_of_a_newer_build(own_cloud, tmp, tmp_path):
    """Whole, and of a form that this program does not know: refused in words, and left as it is."""
    cloud = own_cloud()
    Account(ROOT, cloud).s3.create_bucket(Bucket="from-the-future")
    assert cumulet("snapshot", "save", "newer", "--data", cloud.data).returncode == 0
    folder = f"{cloud.data}/snapshots/newer"
    with open(f"{folder}/manifest", "rb") as file:
        manifest = file.read()
    # The magic, the tag of the first field, and the format.
    assert manifest[:9] == b"CUMSNAP\0\x04" and manifest[-4:] == crc32c(manifest[:-4])
    changed = manifest[:9] + b"\x63" + manifest[10:-4]
    with open(f"{folder}/manifest", "wb") as file:
        file.write(changed + crc32c(changed))
    before = sorted(os.listdir(folder))
    for command in (["up", "--ephemeral", "--from", folder],
                    ["snapshot", "restore", "newer", "--to", str(tmp_path / "to"), "--data", cloud.data]):
        done = cumulet(*command, env=tmp)
        assert done.returncode != 0 and done.stdout == "", done
        assert "format 99" in done.stderr and "use a newer build" in done.stderr, done.stderr
    assert sorted(os.listdir(folder)) == before
    assert not os.path.exists(tmp_path / "to") or os.listdir(tmp_path / "to") == ["lock"]


def test_a_fork_goes_its_own_way(own_cloud, tmp_path):
    cloud = own_cloud()
    s3 = Account(ROOT, cloud).s3
    s3.create_bucket(Bucket="forked")
    s3.put_object(Bucket="forked", Key="k", Body=b"before")
    done = cumulet("snapshot", "fork", "--to", str(tmp_path / "fork"), "--data", cloud.data)
    assert done.returncode == 0, done
    s3.put_object(Bucket="forked", Key="k", Body=b"after")
    fork = own_cloud(data=tmp_path / "fork")
    assert Account(ROOT, fork).s3.get_object(Bucket="forked", Key="k")["Body"].read() == b"before"
    listed = cumulet("snapshot", "list", "--data", cloud.data)
    assert listed.returncode == 0 and listed.stdout == ""
    full = cumulet("snapshot", "fork", "--to", cloud.data, "--data", cloud.data)
    assert full.returncode != 0
    assert cumulet("snapshot", "list", "--data", cloud.data).stdout == ""


@pytest.mark.unkilled
@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGTERM])
def test_its_containers_end_with_it_however_it_ends(request, tmp_path, with_signal):
    """Needs root."""
    # The docker CLI takes no longer path of a socket.
    short = tempfile.mkdtemp(prefix="ce-")
    request.addfinalizer(lambda: shutil.rmtree(short, ignore_errors=True))
    tmp = {"TMPDIR": short}
    cloud = Ephemeral(env=tmp)
    socket = cloud.said["docker"].removeprefix("unix://")
    done = cumulet("images", "bootstrap", "busybox", "--docker-socket", socket, env=tmp)
    assert done.returncode == 0, done

    def docker(*words):
        done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=60,
                              env=clean_env(DOCKER_HOST=cloud.said["docker"], DOCKER_CONFIG=str(tmp_path / "c")))
        assert done.returncode == 0, done
        return done.stdout.strip()

    docker("network", "create", "own")
    for name, network in (("one", "bridge"), ("two", "own")):
        docker("run", "-d", "--name", name, "--network", network, "busybox", "sleep", "1000")
    docker("exec", "-d", "one", "sleep", "1001")
    pids = [int(docker("inspect", "-f", "{{.State.Pid}}", name)) for name in ("one", "two")]
    helper = int(open(f"/proc/{pids[0]}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()[1])
    assert all(alive(pid) for pid in pids) and alive(helper)
    bridges = {docker("network", "inspect", "-f", '{{index .Options "com.docker.network.bridge.name"}}', "bridge"),
               "br-" + docker("network", "inspect", "-f", "{{.Id}}", "own")[:12]}
    folder = os.path.realpath(f"{short}/cumulet-ephemeral-{cloud.pid}").encode()
    table = "cumulet-" + hashlib.sha256(folder).hexdigest()[:8]
    assert bridges <= set(os.listdir("/sys/class/net")) and table in tables()
    cloud.process.send_signal(with_signal)
    cloud.process.wait(timeout=30)
    wait_until(lambda: not any(alive(pid) for pid in [*pids, helper]), "containers and helper have ended")
    assert not bridges & set(os.listdir("/sys/class/net")) and table not in tables()
