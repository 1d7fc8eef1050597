"""Networks of IPv6: addresses, names, published ports, and what stays apart."""

import json
import os
import socket

import pytest

from containers import Engine, get, tables
from deadline import wait_until
from test_docker_dead import ip


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("six")).start()
    engine.bootstrap()
    yield engine
    engine.close()


PAGE = "mkdir /w; echo $PAGE >/w/index.html; exec httpd -f -p '[::]:80' -h /w"


def serve(engine, name, *args):
    engine.docker("run", "-d", "--name", name, "-e", f"PAGE={name}", *args, "busybox", "sh", "-c", PAGE)
    return next(iter(engine.inspect(name)["NetworkSettings"]["Networks"].values()))


def test_addresses_and_names(engine):
    engine.docker("network", "create", "--ipv6", "--subnet", "2001:db8:7::/64", "six")
    shown = json.loads(engine.docker("network", "inspect", "six"))[0]
    assert shown["EnableIPv6"] is True
    assert [pool["Subnet"].count(":") > 0 for pool in shown["IPAM"]["Config"]] == [False, True]
    assert shown["IPAM"]["Config"][1]["Gateway"] == "2001:db8:7::1"
    first = serve(engine, "first", "--network", "six")
    assert (first["GlobalIPv6Address"], first["IPv6Gateway"], first["GlobalIPv6PrefixLen"]) == (
        "2001:db8:7::2", "2001:db8:7::1", 64,
    )
    second = serve(engine, "second", "--network", "six", "--ip6", "2001:db8:7::77")
    assert second["GlobalIPv6Address"] == "2001:db8:7::77"
    engine.docker("run", "--rm", "--network", "six", "--ip6", "2001:db8:7::77", "busybox", "true", code=125)
    assert "Address already in use" in engine.stderr
    engine.docker("run", "--rm", "--network", "six", "--ip6", "2001:db8:8::1", "busybox", "true", code=125)
    assert "no configured subnet contains IP address" in engine.stderr
    for at in ("[2001:db8:7::77]", "second"):
        assert engine.docker("exec", "first", "wget", "-q", "-O", "-", f"http://{at}/") == "second"
    assert "2001:db8:7::77" in engine.docker("exec", "first", "nslookup", "-type=aaaa", "second", "127.0.0.11")
    assert "2001:db8:7::2" in engine.docker("exec", "first", "cat", "/etc/hosts")
    members = json.loads(engine.docker("network", "inspect", "six"))[0]["Containers"]
    assert {one["IPv6Address"] for one in members.values()} == {"2001:db8:7::2/64", "2001:db8:7::77/64"}
    # Another network is another world.
    engine.docker("network", "create", "--ipv6", "apart")
    assert engine.docker("network", "inspect", "apart", "--format", "{{(index .IPAM.Config 1).Subnet}}").startswith("fd")
    ask = ("sh", "-c", "timeout -s KILL 5 wget -q -O - 'http://[2001:db8:7::77]/' || exit 9")
    # However its program takes that nobody is there.
    assert engine.docker("run", "--rm", "--network", "apart", "busybox", *ask, code=9) == ""
    engine.docker("network", "connect", "--ip6", "2001:db8:7::99", "six", engine.docker("run", "-d", "--name", "late", "--network", "apart", "busybox", "sleep", "1000"))
    assert engine.docker("exec", "late", *ask) == "second"
    assert "2001:db8:7::99" in engine.docker("exec", "late", "ip", "-6", "addr")
    engine.docker("rm", "-f", "first", "second", "late")

    def is_given_again():
        address = serve(engine, "again", "--network", "six")["GlobalIPv6Address"]
        engine.docker("rm", "-f", "again")
        return address == "2001:db8:7::2"

    # What was given back is given out again, once the kernel has forgotten who had it.
    wait_until(is_given_again, "the first address is given again", 30)
    engine.docker("network", "rm", "six", "apart")


@pytest.mark.parametrize(
    "args, part",
    [
        (["--subnet", "2001:db8:9::/64"], "IPv6 is not enabled"),
        (["--ipv6", "--subnet", "2001:db8:9::/127"], "no room for containers"),
        (["--ipv6", "--subnet", "2001:db8:9::/64", "--gateway", "2001:db8:a::1"], "no matching subnet"),
        (["--ipv6", "--subnet", "2001:db8:9::/64", "--ip-range", "2001:db8:a::/80"], ""),
    ],
)
def test_impossible_networks(engine, args, part):
    engine.docker("network", "create", *args, "never", code=1)
    assert part in engine.stderr, engine.stderr
    assert "never" not in engine.docker("network", "ls")


def test_published_over_both(engine):
    engine.docker("network", "create", "--ipv6", "--subnet", "2001:db8:5::/64", "--opt", "com.docker.network.bridge.name=brsix", "pub")
    for name, args in (("with", ["--network", "pub"]), ("without", [])):
        serve(engine, name, "-p", "80", *args)
        bound = engine.inspect(name)["NetworkSettings"]["Ports"]["80/tcp"]
        assert [one["HostIp"] for one in bound] == ["0.0.0.0", "::"]
        port = int(bound[0]["HostPort"])
        assert port == int(bound[1]["HostPort"])
        for host in ("127.0.0.1", "::1"):
            assert get(port, host) == name + "\n", host
        with socket.socket(socket.AF_INET6) as other, pytest.raises(OSError):
            other.bind(("::", port))
    # By an address of this machine that is not loopback it is translated, with nobody between.
    ip("addr", "add", "2001:db8:6::1/64", "dev", "lo")
    try:
        port = int(engine.inspect("with")["NetworkSettings"]["Ports"]["80/tcp"][1]["HostPort"])
        assert get(port, "2001:db8:6::1") == "with\n"
    finally:
        ip("addr", "del", "2001:db8:6::1/64", "dev", "lo")
    serve(engine, "own", "-p", "[::1]::80")
    bound = engine.inspect("own")["NetworkSettings"]["Ports"]["80/tcp"]
    assert [one["HostIp"] for one in bound] == ["::1"]
    assert get(int(bound[0]["HostPort"]), "::1") == "own\n"
    # An engine that comes back takes the connections again.
    engine.cloud.kill()
    engine.cloud.start()
    assert get(int(bound[0]["HostPort"]), "::1") == "own\n"
    engine.docker("rm", "-f", "with", "without", "own")
    with pytest.raises(OSError):
        socket.create_connection(("::1", int(bound[0]["HostPort"])), timeout=3)
    engine.docker("network", "rm", "pub")
    assert "brsix" not in os.listdir("/sys/class/net")
    assert engine.table() in tables()


def test_the_default_bridge_has_it_when_asked(tmp_path):
    """Off by default, on by a setting, and off again: with the same data."""
    engine = Engine(tmp_path, ["--bridge-ipv6", "on"]).start()
    engine.bootstrap()
    first = serve(engine, "first", "-p", "80")
    assert first["GlobalIPv6Address"].startswith("fd") and first["IPv6Gateway"].endswith("::1")
    shown = json.loads(engine.docker("network", "inspect", "bridge"))[0]
    assert shown["EnableIPv6"] is True and len(shown["IPAM"]["Config"]) == 2
    address = first["GlobalIPv6Address"]
    assert engine.docker("run", "--rm", "busybox", "wget", "-q", "-O", "-", f"http://[{address}]/") == "first"
    port = next(int(one["HostPort"]) for one in engine.inspect("first")["NetworkSettings"]["Ports"]["80/tcp"])
    assert get(port, "::1") == get(port) == "first\n"
    # What runs on keeps it.
    engine.cloud.restart()
    assert engine.inspect("first")["NetworkSettings"]["Networks"]["bridge"]["GlobalIPv6Address"] == address
    assert get(port, "::1") == "first\n"
    engine.docker("rm", "-f", "first")
    assert engine.cloud.terminate() == 0
    engine.cloud.args = [word for word in engine.cloud.args if word not in ("--bridge-ipv6", "on")]
    engine.cloud.start()
    assert serve(engine, "second")["GlobalIPv6Address"] == ""
    assert json.loads(engine.docker("network", "inspect", "bridge"))[0]["EnableIPv6"] is False
    engine.close()
