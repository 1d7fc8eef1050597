"""Containers of an ordinary user, and of a cloud that root starts for one."""

import glob
import json
import os
import socket
import subprocess
import urllib.request

import pytest

from cloud import cumulet
from deadline import wait_until
from rootless import RootlessEngine, User, status

pytestmark = [
    pytest.mark.unkilled,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make users"),
]

LABS = ["first-containers", "images", "web-server"]


@pytest.fixture(scope="module")
def user():
    user = User()
    yield user
    user.remove()


@pytest.fixture(scope="module")
def engine(user):
    engine = RootlessEngine(user).start()
    engine.bootstrap()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def other():
    user = User()
    yield user
    user.remove()


def groups():
    """Of control, that root has given to users."""
    return glob.glob("/sys/fs/cgroup/*/cumulet-users/*") + glob.glob("/sys/fs/cgroup/cumulet-users/*")


@pytest.fixture(scope="module")
def given(other):
    """Started by root for a user."""
    engine = RootlessEngine(other, by_root=True).start()
    engine.bootstrap()
    yield engine
    own = "/" + engine.mark()
    engine.close()
    wait_until(lambda: not [path for path in groups() if path.endswith(own)], "its control groups are gone")


ECHO = """
import socket
echo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
echo.bind(("0.0.0.0", 81))
while True:
    data, who = echo.recvfrom(1000)
    echo.sendto(data, who)
"""


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode().strip()


def own_address():
    """This machine's, as others have it; None where it has only loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


def test_root_in_there_is_the_user_out_here(engine, user):
    assert engine.docker("run", "--rm", "busybox", "id", "-u") == "0"
    first, _ = user.granted()
    for name, asked, expected in (("zero", "0", user.uid), ("other", "1000", first + 999)):
        engine.docker("run", "-d", "--name", name, "-u", asked, "busybox", "sleep", "1000")
        pid = engine.inspect(name)["State"]["Pid"]
        assert os.stat(f"/proc/{pid}").st_uid == expected
    # Nothing that belongs to it is root out here.
    assert {os.stat(f"/proc/{pid}").st_uid for pid in user.processes()} <= {user.uid, first + 999}
    assert status(engine.cloud.pid, "Uid")[1] == str(user.uid)
    engine.docker("rm", "-f", "zero", "other")


def test_the_machine_is_out_of_reach(engine, tmp_path):
    (tmp_path / "secret").write_text("secret")
    os.chmod(tmp_path / "secret", 0o600)
    out = engine.docker("run", "--rm", "-v", f"{tmp_path}:/there", "busybox", "cat", "/there/secret", code=None)
    assert "secret" not in out.split()
    # Not with all privileges either.
    asked = "mkdir /m; mount -t tmpfs t /m && echo mounted; echo 1 >/proc/sys/kernel/sysrq; cat /proc/1/environ >/dev/null; id -u"
    out = engine.docker("run", "--rm", "--privileged", "busybox", "sh", "-c", asked, code=None)
    assert out.split() == ["mounted", "0"]
    assert "/proc/sys/kernel/sysrq" in engine.stderr


def test_published_ports(engine):
    # Its tools are this machine's, since busybox has none for datagrams.
    tools = ["-v", "/usr:/usr:ro", "-v", "/lib64:/lib64:ro", "-v", "/lib:/lib:ro"]
    engine.docker("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "-p", "127.0.0.1::81/udp", *tools, "busybox",
                  "sh", "-c", "mkdir /w; echo hello >/w/index.html; httpd -p 80 -h /w; exec /usr/bin/python3 -c \"$0\"", ECHO)
    ports = engine.inspect("web")["NetworkSettings"]["Ports"]
    web = f"http://127.0.0.1:{ports['80/tcp'][0]['HostPort']}/"

    def answers():
        try:
            return fetch(web) == "hello"
        except OSError:
            return False

    wait_until(answers, "the published port answers")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("127.0.0.1", int(ports["81/udp"][0]["HostPort"])))
        asking.settimeout(1)

        def echoes():
            try:
                asking.send(b"datagram")
                return asking.recv(100) == b"datagram"
            except OSError:
                return False

        wait_until(echoes, "datagrams come back")
    # Another has it as long as it is published.
    taken = f"127.0.0.1:{ports['80/tcp'][0]['HostPort']}:80"
    engine.docker("run", "--rm", "-p", taken, "busybox", "true", code=125)
    assert "address already in use" in engine.stderr
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        if int(file.read()) > 100:
            engine.docker("run", "--rm", "-p", "127.0.0.1:99:80", "busybox", "true", code=126)
            assert "permission denied" in engine.stderr
    # What runs on is reached again when the cloud is back after a kill.
    engine.cloud.kill()
    with pytest.raises(OSError):
        fetch(web)
    engine.cloud.start()
    assert engine.inspect("web")["State"]["Running"]
    assert fetch(web) == "hello"
    assert engine.docker("exec", "web", "cat", "/w/index.html") == "hello"
    engine.docker("rm", "-f", "web")


def test_networks_and_names(engine):
    for network in ("one", "two"):
        engine.docker("network", "create", network)
    serve = "mkdir /w; echo hello >/w/index.html; exec httpd -f -p 80 -h /w"
    engine.docker("run", "-d", "--name", "server", "--network", "one", "busybox", "sh", "-c", serve)
    get = "for n in 1 2 3 4 5 6 7 8 9; do wget -qO- http://server/ && exit; usleep 200000; done; exit 1"
    assert engine.docker("run", "--rm", "--network", "one", "busybox", "sh", "-c", get) == "hello"
    address = engine.inspect("server")["NetworkSettings"]["Networks"]["one"]["IPAddress"]
    apart = ["--network", "two", "busybox", "wget", "-T", "2", "-qO-", f"http://{address}/"]
    # However its program takes that nobody answers.
    assert engine.docker("run", "--rm", *apart, code=None) == ""
    # Nothing of it is seen on the machine.
    with open("/proc/net/fib_trie", encoding="ascii") as file:
        assert address not in file.read()
    engine.docker("rm", "-f", "server")


def test_the_way_out(engine):
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        here = own_address()
        ask = ["busybox", "nc", "-w", "5"]
        if here:
            for name in (here, "host.docker.internal"):
                asking = subprocess.Popen(["docker", "run", "--rm", *ask, name, str(port)], env=engine.env,
                                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
                listener.settimeout(30)
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"from outside")
                assert asking.communicate(timeout=30)[0] == b"from outside"
    # What listens on loopback alone is not for containers, and an inner network leads nowhere.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(1)
        port = str(listener.getsockname()[1])
        engine.docker("run", "--rm", *ask, "host.docker.internal", port, code=None)
        with pytest.raises(TimeoutError):
            listener.accept()
    engine.docker("network", "create", "--internal", "inner")
    if here:
        with socket.create_server((here, 0)) as listener:
            listener.settimeout(1)
            port = str(listener.getsockname()[1])
            engine.docker("run", "--rm", "--network", "inner", *ask, here, port, code=1)
            with pytest.raises(TimeoutError):
                listener.accept()
    engine.docker("network", "rm", "inner")


def test_the_cloud_is_there(engine):
    out = engine.docker("run", "--rm", "busybox", "wget", "-qO-", "http://cloud.internal:4566/health")
    assert json.loads(out)
    # It sees the container's own address, so the keys that everybody knows are none.
    out = engine.docker("run", "--rm", "busybox", "wget", "-qS", "-O-", "--header",
                        "Authorization: AWS test:AAAA", "http://cloud.internal:4566/", code=1)
    assert "403" in engine.stderr + out


def test_images_files_and_builds(engine, tmp_path):
    engine.docker("build", "-t", "made", "-", stdin=(
        "FROM busybox AS first\nRUN mkdir /d && echo one >/d/file && chown -R 123:456 /d && chmod 750 /d/file\n"
        "FROM busybox\nCOPY --from=first --chown=123:456 /d /d\nRUN rm /bin/vi && mkdir /etc/new && ln -s new /etc/old\n"
        "RUN rm -r /etc/new && mkdir /etc/new && touch /etc/new/file\n"
    ))
    look = "stat -c '%u:%g %a' /d/file; ls /etc/new; ls /bin/vi"
    out = engine.docker("run", "--rm", "made", "sh", "-c", look, code=1).splitlines()
    assert out == ["123:456 750", "file"]
    archive = tmp_path / "made.tar"
    engine.docker("save", "-o", str(archive), "made")
    identity = engine.inspect("made")["Id"]
    engine.docker("rmi", "made")
    engine.docker("load", "-i", str(archive))
    assert engine.inspect("made")["Id"] == identity
    engine.docker("run", "--name", "changed", "-v", "kept:/kept", "made", "sh", "-c",
                  "echo two >/d/more; rm /d/file; echo three >/kept/file")
    assert set(engine.docker("diff", "changed").splitlines()) >= {"C /d", "A /d/more", "D /d/file"}
    engine.docker("commit", "changed", "again")
    assert engine.docker("run", "--rm", "-v", "kept:/kept", "again", "cat", "/d/more", "/kept/file") == "two\nthree"
    (tmp_path / "in").write_text("copied")
    engine.docker("cp", str(tmp_path / "in"), "changed:/d/in")
    engine.docker("cp", "changed:/d/in", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "copied"
    engine.docker("rm", "changed")
    engine.docker("volume", "rm", "kept")
    engine.docker("rmi", "made", "again")


def test_processes_without_control_groups(engine):
    """Nothing counts them, so they are looked for."""
    busy = "sleep 1001 & head -c 20000000 /dev/zero >/dev/shm/x; while :; do :; done"
    for name, more in (("own", []), ("shares", ["--pid", "host"])):
        engine.docker("run", "-d", "--name", name, *more, "busybox", "sh", "-c", busy)
        engine.docker("exec", "-d", name, "sleep", "1002")

        def listed():
            return set(engine.docker("top", name, "-o", "pid,args").splitlines()[1:])

        wait_until(lambda: len(listed()) == 3, "three processes are listed")
        commands = {line.split(None, 1)[1] for line in listed()}
        assert commands == {"sleep 1001", "sleep 1002", f"sh -c {busy}"}

        def counted():
            answer = json.loads(engine.request("GET", f"/containers/{name}/stats?stream=0&one-shot=1")[2])
            cpu = answer["cpu_stats"]["cpu_usage"]["total_usage"]
            return cpu > 50_000_000 and answer["memory_stats"]["usage"] > 0 and answer["pids_stats"]["current"] == 3

        wait_until(counted, "what it uses is counted")
        engine.docker("rm", "-f", name)


def test_what_it_says_of_itself(engine, user):
    info = json.loads(engine.request("GET", "/info")[2])
    assert "name=rootless" in info["SecurityOptions"]
    done = user.cumulet("doctor", "--listen", engine.cloud.listen, "--data", engine.cloud.data)
    assert f"{user.name}, not root; containers without root: published ports from" in done.stdout, done
    assert f"cloud, process {engine.cloud.pid}: user {user.uid}, nothing of root's" in done.stdout, done


@pytest.mark.parametrize("name", LABS)
def test_labs(user, name):
    done = user.cumulet("lab", "run", name, seconds=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose(engine, user):
    folder = os.path.join(user.home, "project")
    os.mkdir(folder)
    with open(os.path.join(folder, "docker-compose.yml"), "w", encoding="ascii") as file:
        file.write(
            'version: "3"\nservices:\n  web:\n    image: busybox\n    ports: ["127.0.0.1::80"]\n'
            "    command: sh -c 'mkdir /w; wget -qO/w/index.html http://store/ && exec httpd -f -p 80 -h /w'\n"
            "    restart: on-failure\n  store:\n    image: busybox\n"
            "    command: sh -c 'mkdir /w; echo kept >/w/index.html; exec httpd -f -p 80 -h /w'\n"
        )
    os.chown(folder, user.uid, user.gid)
    env = {"DOCKER_HOST": "unix://" + engine.socket}

    def compose(*args):
        done = user.run("docker-compose", "--no-ansi", *args, env=env, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    compose("up", "-d")
    where = compose("port", "web", "80")

    def answers():
        try:
            return fetch(f"http://{where}/") == "kept"
        except OSError:
            return False

    wait_until(answers, "the project answers")
    compose("down", "-v")


def test_who_is_granted_nothing_is_told():
    user = User(granted=False)
    try:
        engine = RootlessEngine(user).start()
        assert "no containers without root: 0 of 65,536 subordinate numbers in /etc/subuid" in engine.cloud.log()
        done = user.cumulet("doctor", "--listen", engine.cloud.listen, "--data", engine.cloud.data)
        assert f"usermod --add-subuids 100000-165535 {user.name}" in done.stdout, done
        # All else is there.
        assert json.loads(fetch(engine.cloud.endpoint + "/health"))
        engine.close()
        done = cumulet("up", "--user", user.name, "--data", os.path.join(user.home, "none"))
        assert done.returncode == 1 and "usermod --add-subuids" in done.stderr, done
    finally:
        user.remove()


def test_root_becomes_a_user(given, other):
    """`cumulet up --user`: of root nothing stays but what binds ports."""
    cloud = given.cloud.pid
    assert status(cloud, "Uid") == [str(other.uid)] * 4
    assert os.stat(given.cloud.data).st_uid == os.stat(given.socket).st_uid == other.uid
    given.docker("run", "-d", "--name", "one", "busybox", "sleep", "1000")
    keepers = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
               if (status(pid, "PPid") or ["0"])[0] == str(cloud) and os.stat(f"/proc/{pid}").st_uid == 0]
    assert len(keepers) == 1
    # Number 10 is that for ports.
    assert int(status(keepers[0], "CapEff")[0], 16) == 1 << 10
    assert int(status(keepers[0], "CapBnd")[0], 16) == 1 << 10
    done = cumulet("doctor", "--listen", given.cloud.listen, "--data", given.cloud.data)
    assert f"cloud, process {cloud}: user {other.uid}, nothing of root's outside" in done.stdout, done
    assert f"keeper of ports, process {keepers[0]}: root, cap_net_bind_service" in done.stdout, done
    assert f"helper of containers, process {given.helper()}: user {other.uid}" in done.stdout, done
    given.docker("rm", "-f", "one")


def test_ports_below_1024_for_a_user_of_roots(given):
    with socket.socket() as free:
        # A free one that an ordinary user could not have.
        for port in range(900, 1000):
            try:
                free.bind(("127.0.0.1", port))
                break
            except OSError:
                continue
    given.docker("run", "-d", "--name", "low", "-p", f"127.0.0.1:{port}:80", "busybox", "sh", "-c",
                 "mkdir /w; echo low >/w/index.html; exec httpd -f -p 80 -h /w")

    def answers():
        try:
            return fetch(f"http://127.0.0.1:{port}/") == "low"
        except OSError:
            return False

    wait_until(answers, "the port answers")
    given.docker("rm", "-f", "low")


def test_limits_for_a_user_of_roots(given):
    given.docker("run", "--name", "full", "-m", "16m", "busybox", "sh", "-c", "tail /dev/zero", code=137)
    assert given.inspect("full")["State"]["OOMKilled"]
    given.docker("run", "-d", "--name", "paused", "busybox", "sleep", "1000")
    given.docker("pause", "paused")
    assert given.inspect("paused")["State"]["Status"] == "paused"
    given.docker("unpause", "paused")
    given.docker("rm", "-f", "full", "paused")


def test_a_user_of_roots_comes_back(given, other):
    given.docker("run", "-d", "--name", "on", "busybox", "sleep", "1000")
    helper = given.helper()
    given.cloud.kill()
    assert helper and given.helper() == helper
    given.cloud.start()
    assert given.inspect("on")["State"]["Running"] and given.helper() == helper
    given.docker("exec", "on", "true")
    given.docker("rm", "-f", "on")
    assert os.stat(given.cloud.data).st_uid == other.uid
    assert [path for path in groups() if path.endswith("/" + given.mark())]


def test_data_of_root_are_not_taken(other, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("mine")
    done = cumulet("up", "--user", other.name, "--data", str(tmp_path / "data"))
    assert done.returncode == 1 and f"is not {other.name}'s" in done.stderr, done
    for name, part in (("root", "root is no ordinary user"), ("no-such-user", "no such user")):
        done = cumulet("up", "--user", name, "--data", str(tmp_path / "other"))
        assert done.returncode in (1, 2) and part in done.stderr, done
    done = other.cumulet("up", "--user", "root", "--data", os.path.join(other.home, "x"))
    assert done.returncode == 2 and "only root can become another user" in done.stderr, done
