"""Engines that died together with their helper, and whose data folder is gone: the next one clears up after
them, whoever it is, and leaves those alone that live."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import uuid

from cloud import cumulet
from containers import Engine, control_groups, remove_table, tables
from deadline import wait_until


def die(engine):
    """The end of an engine that nobody prepared for."""
    helper = engine.helper()
    engine.cloud.kill()
    if helper:
        os.kill(helper, signal.SIGKILL)
        wait_until(lambda: engine.helper() is None, "the helper is dead")
    shutil.rmtree(engine.cloud.data)


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def members(container):
    """Processes in a container's control groups."""
    found = []
    for folder in control_groups(container):
        with open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as file:
            found += file.read().split()
    return found


def occupy(name, address):
    """Makes a bridge of somebody else, which has the address; not if another test's cloud was quicker, since that one
    would suffer. Clouds look and take under the same lock."""
    with open("/run/cumulet-networks.lock", "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        own = address.partition("/")[0]
        if name in all_links() or f" {own}/" in ip("-o", "-4", "addr", "show"):
            return False
        ip("link", "add", name, "type", "bridge")
        ip("addr", "add", address, "dev", name)
        ip("link", "set", name, "alias", "somebody's")
    return True


class Outside:
    """A machine beyond this one's bridges, as a namespace: 198.51.100.0/30 leads there."""

    def __init__(self):
        self.name = "out" + uuid.uuid4().hex[:8]
        self.server = None

    def __enter__(self):
        ip("netns", "add", self.name)
        ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("addr", "add", "198.51.100.1/30", "dev", self.name)
        ip("link", "set", self.name, "up")
        ip("-n", self.name, "addr", "add", "198.51.100.2/30", "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")
        page = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=80, bind='198.51.100.2')"
        self.server = subprocess.Popen(
            ["ip", "netns", "exec", self.name, "python3", "-c", page],
            cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *_):
        self.server.kill()
        self.server.wait()
        ip("link", "del", self.name)
        ip("netns", "del", self.name)


def test_the_next_engine_clears_up_after_the_dead(tmp_path):
    alive = Engine(tmp_path / "alive").start()
    alive.bootstrap()
    alive.docker("network", "create", "mine")
    alive.docker("run", "-d", "--name", "stays", "--network", "mine", "busybox", "sleep", "1000")
    dead = Engine(tmp_path / "dead").start()
    dead.bootstrap()
    dead.docker("network", "create", "lost")
    ids = [
        dead.docker("run", "-d", "-p", "80", *more, "busybox", "sleep", "1000")
        for more in ([], ["--network", "lost"])
    ]
    bridges, table = dead.standing(dead.bridges()), dead.table()
    assert table in tables() and len(bridges) == 2
    die(dead)
    # Until the last of its processes is dead there is nothing to clear up after.
    wait_until(lambda: not any(members(one) for one in ids), "its containers are dead")
    doctor = cumulet("doctor", "--data", str(tmp_path / "none"))
    # Any engine that starts meanwhile, for another test, may have done it already.
    assert re.search(r"engines +\d+ running", doctor.stdout), doctor.stdout
    wait_until(lambda: table not in tables(), "its table is gone")
    wait_until(lambda: not dead.standing(bridges), "its bridges are gone")
    wait_until(lambda: not any(control_groups(one) for one in ids), "its control groups are gone")
    # Of the one that lives nothing is missing, nor of one whose helper alone does.
    alive.docker("exec", "stays", "nslookup", "stays", "127.0.0.11")
    alive.cloud.kill()
    cumulet("doctor", "--data", str(tmp_path / "none"))
    assert alive.table() in tables()
    alive.cloud.start()
    alive.docker("exec", "stays", "nslookup", "stays", "127.0.0.11")
    alive.close()
    assert alive.table() not in tables()


def all_links():
    return set(os.listdir("/sys/class/net"))


def test_bridges_that_nothing_leads_to(tmp_path):
    """Neither a table nor a claim of their engine is there any more. Bridges of others stay."""
    dead = Engine(tmp_path / "dead").start()
    dead.bootstrap()
    name = "cu" + uuid.uuid4().hex[:8]
    dead.docker("network", "create", "-o", f"com.docker.network.bridge.name={name}", "lost")
    one = dead.docker("run", "-d", "--network", "lost", "busybox", "sleep", "1000")
    mark, other = dead.mark(), "cu" + uuid.uuid4().hex[:8]
    ip("link", "add", other, "type", "bridge")
    ip("link", "set", other, "alias", "cumulet is not what I am")
    try:
        # The claim goes first, so that no other engine is quicker with all of it.
        os.unlink(f"/run/cumulet/engines/{mark}")
        die(dead)
        wait_until(lambda: not members(one), "its container is dead")
        # Whatever has a table may be somebody's.
        cumulet("doctor", "--data", str(tmp_path / "none"))
        assert name in all_links()
        remove_table(f"cumulet-{mark}")
        cumulet("doctor", "--data", str(tmp_path / "none"))
        wait_until(lambda: name not in all_links(), "its bridge is gone")
        assert other in all_links()
        assert not os.path.exists(f"/run/cumulet/engines/{mark}")
    finally:
        ip("link", "del", other)


def test_an_engine_that_made_nothing_takes_down_what_the_one_before_it_made(tmp_path):
    """Killed, and started again without a container: its bridges go, whatever they are called."""
    engine = Engine(tmp_path / "one").start()
    engine.bootstrap()
    name = "cu" + uuid.uuid4().hex[:8]
    engine.docker("network", "create", "-o", f"com.docker.network.bridge.name={name}", "named")
    engine.cloud.kill()
    assert name in all_links()
    engine.cloud.start()
    assert engine.cloud.terminate() == 0
    assert name not in all_links() and engine.table() not in tables()
    engine.cloud.start()
    engine.close()


def test_the_default_network_gives_way(tmp_path):
    """While the cloud was away somebody else took its subnet."""
    engine = Engine(tmp_path / "one").start()
    engine.bootstrap()

    def gateway():
        return json.loads(engine.docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]

    engine.docker("run", "--rm", "busybox", "true")
    before = gateway()
    assert engine.cloud.terminate() == 0
    other = "cu" + uuid.uuid4().hex[:8]
    made = occupy(other, f"{before}/24")
    try:
        engine.cloud.start()
        assert engine.docker("run", "--rm", "busybox", "echo", "hello") == "hello"
        assert not made or gateway() != before
    finally:
        if made:
            ip("link", "del", other)
    engine.close()


def test_a_bridge_of_somebody_else_is_left_alone(tmp_path):
    """While the cloud was away another took the name of its default bridge, and the subnet, as both were free."""
    engine = Engine(tmp_path / "one").start()
    engine.bootstrap()

    def bridge():
        return json.loads(engine.docker("network", "inspect", "bridge"))[0]

    engine.docker("run", "--rm", "busybox", "true")
    before = bridge()
    name, gateway = before["Options"]["com.docker.network.bridge.name"], before["IPAM"]["Config"][0]["Gateway"]
    assert engine.cloud.terminate() == 0
    made = occupy(name, f"{gateway}/16")
    try:
        engine.cloud.start()
        engine.docker("run", "-d", "--name", "web", "busybox", "httpd", "-f", "-h", "/etc")
        after = bridge()
        assert not made or after["Options"]["com.docker.network.bridge.name"] != name
        assert not made or after["IPAM"]["Config"][0]["Gateway"] != gateway
        fetch = "for n in 1 2 3 4 5 6 7 8 9; do wget -q -O - cloud.internal:4566/health && exit 0; sleep 1; done; exit 1"
        assert "status" in engine.docker("run", "--rm", "busybox", "sh", "-c", fetch)
        engine.docker("rm", "-f", "web")
        assert engine.cloud.terminate() == 0
        assert not made or name in all_links()
    finally:
        if made:
            ip("link", "del", name)
    engine.cloud.start()
    engine.close()


def test_what_two_clouds_call_the_same(tmp_path):
    """Of one Compose file, say: what the one that was away had is the other's now, and stays the other's."""
    engine = Engine(tmp_path / "one").start()
    engine.bootstrap()
    name = "cu" + uuid.uuid4().hex[:8]
    option = f"com.docker.network.bridge.name={name}"
    engine.docker("network", "create", "-o", option, "named")
    engine.docker("network", "create", "any")

    def gateway():
        return json.loads(engine.docker("network", "inspect", "any"))[0]["IPAM"]["Config"][0]["Gateway"]

    before, other = gateway(), "cu" + uuid.uuid4().hex[:8]
    engine.docker("create", "--name", "fixed", "--network", "any", "--ip", before[:-1] + "9", "busybox", "true")
    assert engine.cloud.terminate() == 0
    ip("link", "add", name, "type", "bridge")
    made = occupy(other, f"{before}/24")
    try:
        engine.cloud.start()
        engine.docker("network", "rm", "named")
        assert name in all_links()
        # Nobody asked for its subnet, so it has another.
        assert engine.docker("run", "--rm", "--network", "any", "busybox", "echo", "hello") == "hello"
        if made:
            assert gateway() != before
            engine.docker("start", "fixed", code=1)
            assert "no configured subnet contains IP address" in engine.stderr
        assert engine.cloud.terminate() == 0
        assert name in all_links()
    finally:
        for one in (name, other)[: 1 + made]:
            ip("link", "del", one)
    engine.cloud.start()
    engine.close()


def test_who_starts_while_the_cloud_ends_has_its_network(tmp_path):
    engine = Engine(tmp_path / "one").start()
    engine.bootstrap()
    engine.docker("network", "create", "own")
    ids = [engine.docker("create", "--network", "own", "busybox", "sleep", "1000") for _ in range(6)]

    def start(one):
        try:
            engine.request("POST", f"/containers/{one}/start")
        except (OSError, IndexError):
            pass  # The cloud was gone before it had answered.

    for n in range(6):
        starts = [threading.Thread(target=start, args=[one]) for one in ids]
        for thread in starts:
            thread.start()
        wait_until(lambda n=n: len(engine.links()) > n, "some have begun")
        assert engine.cloud.terminate() == 0
        for thread in starts:
            thread.join()
        engine.cloud.start()
        running = engine.docker("ps", "-q").split()
        for one in running:
            assert "eth0" in engine.docker("exec", one, "ip", "link")
        if running:
            engine.docker("kill", *running)
    engine.close()


def test_an_engine_whose_networks_are_gone_leaves_no_firewall(tmp_path):
    engine = Engine(tmp_path / "one").start()
    engine.docker("network", "create", "short")
    assert engine.table() in tables()
    engine.docker("network", "rm", "short")
    assert engine.cloud.terminate() == 0
    assert engine.table() not in tables()
    engine.cloud.start()
    engine.close()


def test_an_engine_in_the_place_of_a_dead_one(tmp_path):
    """The same folder and another subnet: what is left of the first must not cut off the second."""
    for round_of in range(2):
        engine = Engine(tmp_path / "same").start()
        engine.bootstrap()
        engine.docker("run", "-d", "--name", "page", "busybox", "httpd", "-f", "-h", "/etc")
        if round_of == 0:
            die(engine)
    settings = json.loads(engine.docker("network", "inspect", "bridge"))[0]
    pools = ip("-o", "-4", "addr", "show", "dev", settings["Options"]["com.docker.network.bridge.name"])
    assert settings["IPAM"]["Config"][0]["Gateway"] in pools
    address = engine.inspect("page")["NetworkSettings"]["IPAddress"]
    with Outside():
        fetch = "for n in 1 2 3 4 5 6 7 8 9; do wget -q -O - http://$AT && exit 0; sleep 1; done; exit 1"
        for at in (f"{address}/passwd", "198.51.100.2/", "cloud.internal:4566/health"):
            engine.docker("run", "--rm", "-e", f"AT={at}", "busybox", "sh", "-c", fetch)
    engine.close()
