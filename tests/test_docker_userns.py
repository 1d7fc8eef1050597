"""Users of containers who are others outside: `--userns-remap` of an engine that is root."""

import io
import json
import os
import subprocess
import tarfile

import pytest

from cloud import cumulet
from containers import Engine, get, port_of
from deadline import wait_until
from rootless import User, status

pytestmark = pytest.mark.unkilled


@pytest.fixture(scope="module")
def user():
    user = User()
    yield user
    user.remove()


@pytest.fixture(scope="module", params=["overlay2", "vfs"])
def engine(request, user, tmp_path_factory):
    folder = tmp_path_factory.mktemp("remap")
    engine = Engine(folder, ["--userns-remap", user.name, "--storage-driver", request.param]).start()
    engine.bootstrap()
    yield engine
    engine.close()


def owner(path):
    found = os.lstat(path)
    return found.st_uid, found.st_gid


def test_root_in_there_is_nobody_out_here(engine, user):
    first, _ = user.granted()
    assert engine.docker("run", "--rm", "busybox", "sh", "-c", "id -u; id -g; cat /proc/self/uid_map").split() == [
        "0", "0", "0", str(first), "65536"]
    for name, asked, expected in (("zero", "0", first), ("other", "1000:5", first + 1000)):
        engine.docker("run", "-d", "--init", "--name", name, "-u", asked, "busybox", "sleep", "1000")
        pid = engine.inspect(name)["State"]["Pid"]
        assert status(pid, "Uid") == [str(expected)] * 4
        engine.docker("exec", "-d", "-u", "77", name, "sleep", "1001")

        def uids():
            return {line.split()[0] for line in engine.docker("top", name, "-o", "uid,pid,args").splitlines()
                    if line.endswith("sleep 1001")}

        wait_until(lambda: uids() == {str(first + 77)}, "the further program is somebody else")
    # Nothing of the machine's belongs to them.
    seen = engine.docker("run", "--rm", "-v", "/etc:/there:ro", "busybox", "sh", "-c",
                         "stat -c %u:%g /there/shadow /bin /etc/hosts /etc/hostname /dev/null /dev/shm /tmp; cat /there/shadow || echo denied")
    assert seen.splitlines() == ["65534:65534", *["0:0"] * 6, "denied"]
    assert "name=userns" in json.loads(engine.request("GET", "/info")[2])["SecurityOptions"]
    engine.docker("rm", "-f", "zero", "other")


def test_what_root_may_in_there(engine):
    """Its networks, its names, its processes: as without."""
    done = engine.docker("run", "--rm", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN", "-h", "named", "--tmpfs", "/t:uid=7,gid=8",
                         "busybox", "sh", "-c",
                         "hostname; ip addr add 10.9.9.9/32 dev lo && echo link; hostname other && hostname;"
                         " mkdir /m && mount -t tmpfs x /m && echo mounted; chown 5:6 /m && echo chowned; stat -c %u:%g /t;"
                         " ping -c 1 -w 5 127.0.0.1 >/dev/null && echo ping; su -s /bin/sh nobody -c 'id -u'",
                         )
    assert done.split() == ["named", "link", "other", "mounted", "chowned", "7:8", "ping", "65534"], done
    # What is this machine's stays out of reach.
    out = engine.docker("run", "--rm", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "busybox", "sh", "-c",
                        "mknod /null c 1 3; echo 1 >/proc/sys/kernel/sysrq; date -s 2020-01-01; echo over", code=None)
    assert out.splitlines()[-1] == "over"
    assert "Operation not permitted" in engine.stderr and "sysrq" in engine.stderr


def test_ports_below_1024_and_names(engine):
    engine.docker("network", "create", "named")
    engine.docker("run", "-d", "--name", "web", "--network", "named", "-p", "127.0.0.1::80", "busybox", "sh", "-c",
                  "mkdir /w; echo low >/w/index.html; exec httpd -f -p 80 -h /w")
    assert get(port_of(engine.docker("port", "web"))).strip() == "low"
    fetch = "for n in 1 2 3 4 5 6 7 8 9; do wget -qO- http://web && exit; sleep 1; done"
    assert engine.docker("run", "--rm", "--network", "named", "busybox", "sh", "-c", fetch) == "low"
    # Who shares its network shares who its users are.
    shared = engine.docker("run", "--rm", "--network", "container:web", "--cap-add", "NET_ADMIN", "busybox", "sh", "-c",
                           "wget -qO- http://127.0.0.1 && ip addr add 10.9.9.9/32 dev lo && echo link")
    assert shared.split() == ["low", "link"]
    engine.docker("rm", "-f", "web")
    engine.docker("network", "rm", "named")


def test_files_have_the_owners_of_the_container(engine, user, tmp_path):
    first, _ = user.granted()
    (tmp_path / "in").write_text("copied")
    made = "mkdir /d && echo one >/d/file && chown 5:6 /d/file && rm /bin/wc && echo $$ >/v/pid && chown 9:9 /v/pid"
    engine.docker("run", "--name", "writes", "-v", "kept:/v", "busybox", "sh", "-c", made)
    assert {"A /d", "A /d/file", "D /bin/wc"} <= set(engine.docker("diff", "writes").splitlines())
    engine.docker("cp", str(tmp_path / "in"), "writes:/d/in")
    engine.docker("commit", "writes", "written")
    # The image is good for everybody: its owners are those that the container saw.
    look = ["stat", "-c", "%u:%g", "/d", "/d/file", "/d/in", "/v/pid"]
    for more in ([], ["--userns", "host"]):
        assert engine.docker("run", "--rm", "-v", "kept:/v", *more, "written", *look).split() == ["0:0", "5:6", "0:0", "9:9"]
    engine.docker("run", "-d", "--name", "runs", "-v", "kept:/v", "written", "sleep", "1000")
    for name in ("writes", "runs"):
        archive = subprocess.run(["docker", "cp", f"{name}:/d/file", "-"], env=engine.env, capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            assert [(entry.uid, entry.gid) for entry in tar] == [(5, 6)], name
    engine.docker("cp", str(tmp_path / "in"), "runs:/d/in-too")
    engine.docker("exec", "runs", "sh", "-c", "echo more >>/d/in-too; echo more >>/etc/hosts; echo x >/v/new")
    assert engine.docker("exec", "runs", "stat", "-c", "%u:%g", "/d/in-too") == "0:0"
    # A folder of the machine's is not the container's, unless it was made for it.
    engine.docker("run", "--rm", "-v", f"{tmp_path / 'made'}:/m", "busybox", "touch", "/m/file")
    assert owner(tmp_path / "made") == owner(tmp_path / "made" / "file") == (first, first)
    (tmp_path / "mine").mkdir(mode=0o755)
    engine.docker("run", "--rm", "-v", f"{tmp_path / 'mine'}:/m", "busybox", "touch", "/m/file", code=1)
    engine.docker("rm", "-f", "writes", "runs")
    engine.docker("volume", "rm", "kept")
    engine.docker("rmi", "written")


def test_builds_logs_and_health(engine, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nCOPY --chown=3:4 file /file\nRUN stat -c %u:%g /file >/seen && chown 8:8 /seen\n"
        "HEALTHCHECK --interval=100ms --timeout=10s CMD test $(id -u) = 0\nCMD echo said; echo err >&2; exec sleep 1000\n")
    (tmp_path / "file").write_text("x")
    done = subprocess.run(["docker", "build", "-q", "-t", "built", str(tmp_path)], capture_output=True, text=True,
                          env={**engine.env, "DOCKER_BUILDKIT": "0"}, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert engine.docker("run", "--rm", "built", "sh", "-c", "cat /seen; stat -c %u:%g /seen") == "3:4\n8:8"
    engine.docker("run", "-d", "--name", "healthy", "built")
    wait_until(lambda: engine.inspect("healthy")["State"]["Health"]["Status"] == "healthy", "it is healthy")
    assert engine.docker("logs", "healthy") == "said" and engine.stderr.strip() == "err"
    # Its streams are its own to open again, a terminal too.
    assert engine.docker("run", "--rm", "-u", "33", "busybox", "sh", "-c", "echo again >/dev/stdout") == "again"
    assert engine.docker("run", "--rm", "-t", "-u", "33", "busybox", "sh", "-c", "echo again >$(tty); stat -c %u $(tty)").split() == ["again", "33"]
    assert engine.docker("exec", "-t", "healthy", "sh", "-c", "echo again >$(tty); stat -c %u $(tty)").split() == ["again", "0"]
    engine.docker("rm", "-f", "healthy")
    engine.docker("rmi", "built")


def test_it_comes_back(engine, user):
    first, _ = user.granted()
    engine.docker("run", "-d", "--name", "on", "busybox", "sleep", "1000")
    engine.cloud.kill()
    engine.cloud.start()
    assert engine.inspect("on")["State"]["Running"]
    assert engine.docker("exec", "on", "sh", "-c", "id -u; cat /proc/self/uid_map").split()[:3] == ["0", "0", str(first)]
    engine.docker("rm", "-f", "on")


def test_what_cannot_be_together(engine):
    for more, part in (
        (["--privileged"], "privileged mode is incompatible with user namespaces.  You must run the container in the "
                           "host namespace when running privileged mode"),
        (["--network", "host"], "cannot share the host's network namespace when user namespaces are enabled"),
        (["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"),
    ):
        engine.docker("run", "--rm", *more, "busybox", "true", code=125)
        assert part in engine.stderr
        assert engine.docker("run", "--rm", "--userns", "host", *more, "busybox", "sed", "-n", "s/  *//gp", "/proc/self/uid_map") \
            == "004294967295"
    engine.docker("run", "-d", "--name", "open", "--userns", "host", "busybox", "sleep", "1000")
    engine.docker("run", "--rm", "--network", "container:open", "busybox", "true", code=125)
    assert "which is in the host's user namespace" in engine.stderr
    engine.docker("rm", "-f", "open")


def test_whose_numbers(tmp_path, user):
    nobody = User(granted=False)
    try:
        for text, part in ((nobody.name, "usermod --add-subuids"), ("no-such-user", "/etc/subuid"), (f"{user.name}:none-such", "/etc/subgid")):
            done = cumulet("up", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "x"), "--userns-remap", text)
            assert done.returncode == 2 and part in done.stderr, done
        done = user.cumulet("up", "--listen", "127.0.0.1:0", "--data", os.path.join(user.home, "x"), "--userns-remap", user.name)
        assert done.returncode == 2 and "only root" in done.stderr, done
    finally:
        nobody.remove()
