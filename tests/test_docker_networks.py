"""Networks of containers at their edges: the last address, neighbours that are kept apart, many ports, and a cloud
that has only just begun."""

import os
import socket
import threading

import pytest

from containers import Engine, get, port_of
from deadline import wait_until


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("engine")).start()
    assert "busybox:latest" in engine.bootstrap()
    yield engine
    engine.close()


def test_the_first_of_all_may_come_together(tmp_path):
    """Whose network has no subnet yet."""
    engine = Engine(tmp_path / "new").start()
    engine.bootstrap()
    ids = [engine.docker("create", "busybox", "sleep", "1000") for _ in range(6)]
    found = {}

    def start(one):
        found[one] = engine.request("POST", f"/containers/{one}/start")[::2]

    starts = [threading.Thread(target=start, args=[one]) for one in ids]
    for thread in starts:
        thread.start()
    for thread in starts:
        thread.join()
    assert found == {one: (204, b"") for one in ids}
    engine.close()


def test_the_only_address_is_given_at_once(engine):
    a, b = os.urandom(2)
    engine.docker("network", "create", "--subnet", f"10.{a}.{b}.0/30", "tiny")
    for _ in range(5):
        engine.docker("run", "-d", "--name", "one", "--network", "tiny", "busybox", "httpd", "-f", "-h", "/etc")
        assert "root:" in get(80, path="/passwd", host=f"10.{a}.{b}.2")
        engine.docker("rm", "-f", "one")
    engine.docker("run", "-d", "--name", "one", "--network", "tiny", "busybox", "sleep", "1000")
    engine.docker("run", "--rm", "--network", "tiny", "busybox", "true", code=125)
    assert "no available IPv4 addresses" in engine.stderr
    engine.docker("rm", "-f", "one")
    engine.docker("network", "rm", "tiny")


def test_neighbours_that_do_not_talk(engine):
    """Whether or not the kernel shows what a bridge carries to its firewall."""
    engine.docker("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "quiet")
    for name in ("web", "other"):
        engine.docker("run", "-d", "--name", name, "--network", "quiet", "-p", "127.0.0.1::80", "busybox",
                      "httpd", "-f", "-h", "/etc")
    quiet = engine.inspect("web")["NetworkSettings"]["Networks"]["quiet"]
    ping = ("ping", "-c", "1", "-W", "1")
    engine.docker("exec", "other", *ping, quiet["IPAddress"], code=1)
    engine.docker("exec", "other", *ping, quiet["Gateway"])
    assert "root:" in get(port_of(engine.docker("port", "web")), path="/passwd")
    engine.docker("rm", "-f", "web", "other")
    engine.docker("network", "rm", "quiet")


def test_many_ports(engine):
    """More than the helper is told of at once: nobody else gets one, also when the engine was killed."""
    def free(port):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                return False
            return True

    for first in range(21_000, 31_000, 150):
        ports = range(first, first + 120)
        if all(free(port) for port in ports):
            publish = f"127.0.0.1:{ports[0]}-{ports[-1]}:1000-1119"
            if engine.docker("run", "-d", "--name", "many", "-p", publish, "busybox", "sleep", "1000", code=None):
                break
            engine.docker("rm", "-f", "many", code=None)
    assert not any(free(port) for port in ports)
    engine.cloud.kill()
    assert not any(free(port) for port in ports)
    engine.cloud.start()
    engine.docker("rm", "-f", "many")
    wait_until(lambda: all(free(port) for port in ports), "its ports are free")
