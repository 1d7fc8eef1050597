"""How containers find each other, this machine and the cloud: names at 127.0.0.11 and in /etc/hosts."""

import re

import pytest

from deadline import wait_until


@pytest.fixture
def network(engine):
    engine.docker("network", "create", "front")
    yield "front"
    engine.remove_all()


def sleeper(engine, name, *args):
    engine.docker("run", "-d", "--name", name, *args, "busybox", "sleep", "1000")


def address(engine, name, network):
    return engine.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]


def lookup(engine, asker, name, kind="a", code=None):
    """What nslookup finds; it asks 127.0.0.11 itself, whatever /etc/hosts says."""
    out = engine.docker("exec", asker, "nslookup", f"-type={kind}", name, code=code)
    answer = out.partition("\n\n")[2]
    return re.findall(r"^Address(?: \d+)?: (\S+)", answer, re.M) + re.findall(r"name = (\S+)", answer)


def test_names_aliases_and_ids(engine, network):
    sleeper(engine, "asker", "--network", network)
    sleeper(engine, "web", "--network", network, "--network-alias", "site", "--network-alias", "Shop")
    web = address(engine, "web", network)
    text = engine.docker("exec", "asker", "cat", "/etc/resolv.conf")
    assert "nameserver 127.0.0.11\n" in text and "ndots:0" in text
    short = engine.inspect("web")["Id"][:12]
    for name in ["web", "WEB", "site", "shop", short, "web.front", "asker"]:
        expected = address(engine, "asker", network) if name == "asker" else web
        assert lookup(engine, "asker", name) == [expected], name
    assert lookup(engine, "asker", "web", "aaaa") == []
    reverse = ".".join(reversed(web.split("."))) + ".in-addr.arpa"
    assert lookup(engine, "asker", reverse, "ptr") == ["web.front"]
    nobody = re.sub(r"^\d+", "250", reverse)
    assert "NXDOMAIN" in engine.docker("exec", "asker", "nslookup", "-type=ptr", nobody, code=None)
    engine.docker("exec", "asker", "ping", "-c", "1", "-W", "2", "site")
    # Over TCP, too: what the client sends is a query with its length before it.
    query = r"\000\035\253\315\001\000\000\001\000\000\000\000\000\000\003web\000\000\001\000\001"
    query = query.replace(r"\000\035", r"\000\025")
    shell = f"printf '{query}' | nc -w 2 127.0.0.11 53 | od -An -tu1 | tail -n 2"
    assert " ".join(web.split(".")) in " ".join(engine.docker("exec", "asker", "sh", "-c", shell).split())
    engine.docker("rename", "web", "page")
    assert lookup(engine, "asker", "page") == [web]
    engine.docker("stop", "-t", "0", "page")
    assert lookup(engine, "asker", "site") == []


def test_a_service_has_the_addresses_of_all(engine, network):
    for n in range(3):
        sleeper(engine, f"s{n}", "--network", network, "--network-alias", "service")
    all_of_them = sorted(address(engine, f"s{n}", network) for n in range(3))
    assert sorted(lookup(engine, "s0", "service")) == all_of_them
    firsts = set()

    def another():
        firsts.add(lookup(engine, "s0", "service")[0])
        return len(firsts) > 1

    wait_until(another, "another of them comes first")


def test_who_shares_no_network_is_unknown(engine, network):
    engine.docker("network", "create", "--internal", "back")
    sleeper(engine, "in-front", "--network", network)
    sleeper(engine, "in-back", "--network", "back")
    sleeper(engine, "by-default")
    assert lookup(engine, "in-front", "in-back") == []
    assert lookup(engine, "in-front", "by-default") == []
    # From an inner network nothing is asked outside.
    out = engine.docker("exec", "in-back", "nslookup", "example.com", code=None)
    assert "SERVFAIL" in out + engine.stderr
    engine.docker("network", "connect", "--alias", "friend", "back", "in-front")
    assert lookup(engine, "in-back", "friend") == [address(engine, "in-front", "back")]
    assert lookup(engine, "in-front", "in-back") == [address(engine, "in-back", "back")]
    # One that had no names so far gets them while it runs.
    assert "127.0.0.11" not in engine.docker("exec", "by-default", "cat", "/etc/resolv.conf")
    engine.docker("network", "connect", network, "by-default")
    assert "127.0.0.11" in engine.docker("exec", "by-default", "cat", "/etc/resolv.conf")
    assert lookup(engine, "by-default", "in-front") == [address(engine, "in-front", network)]
    engine.docker("network", "disconnect", "back", "in-front")
    assert lookup(engine, "in-back", "friend") == []


def test_links_are_names_of_ones_own(engine, network):
    sleeper(engine, "database", "--network", network)
    sleeper(engine, "linked", "--network", network, "--link", "database:db")
    sleeper(engine, "unlinked", "--network", network)
    assert lookup(engine, "linked", "db") == [address(engine, "database", network)]
    assert lookup(engine, "unlinked", "db") == []


def test_a_server_of_names_may_have_port_53(engine, network):
    sleeper(engine, "server", "--network", network)
    engine.docker("exec", "-d", "server", "httpd", "-f", "-p", "0.0.0.0:53")
    wait_until(lambda: ":53 " in engine.docker("exec", "server", "netstat", "-ltn"), "it listens")
    assert lookup(engine, "server", "server") == [address(engine, "server", network)]


def test_names_after_a_kill(engine, network):
    sleeper(engine, "first", "--network", network)
    sleeper(engine, "second", "--network", network)
    second = address(engine, "second", network)
    engine.cloud.kill()
    engine.cloud.start()
    assert lookup(engine, "first", "second") == [second]


@pytest.mark.parametrize("own", [True, False])
def test_this_machine_and_the_cloud(engine, network, own):
    at = network if own else "bridge"
    sleeper(engine, "caller", "--network", at, "--add-host", "me:host-gateway")
    gateway = engine.inspect("caller")["NetworkSettings"]["Networks"][at]["Gateway"]
    for name in ["host.docker.internal", "cloud.internal", "me"]:
        out = engine.docker("exec", "caller", "ping", "-c", "1", "-W", "2", name)
        assert f"({gateway})" in out, name
    for port in [4566, engine.cloud.address[1]]:
        health = engine.docker("exec", "caller", "wget", "-qO-", f"http://cloud.internal:{port}/health")
        assert '"status"' in health, health
