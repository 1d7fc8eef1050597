"""`cumulet fault add --partition A,B`: two containers that do not reach each other, while everybody else does."""

import pytest
from cloud import cumulet
from deadline import wait_until

pytestmark = pytest.mark.unkilled


def fault(engine, *words, code=0):
    done = cumulet("fault", *words, "--data", engine.cloud.data)
    assert done.returncode == code, done
    return done.stdout.strip() if code == 0 else done.stderr


def reaches(engine, one, other):
    """Whether requests of one are answered by the other, in all networks of both or in none. What is parted is lost in
    silence, so that waiting is the sign."""
    own, others = (engine.inspect(name)["NetworkSettings"]["Networks"] for name in (one, other))
    seen = set()
    for address in [others[name]["IPAddress"] for name in own if name in others]:
        out = engine.docker("exec", one, "sh", "-c", f"timeout 3 wget -qO- http://{address}/ 2>&1; true")
        assert out in (other, "", "Terminated"), out
        seen.add(out == other)
    assert len(seen) == 1, seen
    return seen == {True}


@pytest.fixture
def three(engine):
    engine.remove_all()
    engine.docker("network", "create", "cut")
    for name in ("one", "two", "three"):
        engine.docker("run", "-d", "--name", name, "--network", "cut", "busybox", "sh", "-c",
                      f"printf {name} > index.html; exec httpd -f -p 80")
    for asker in ("one", "two"):
        wait_until(lambda asker=asker: reaches(engine, asker, "three"), "three answers")
    yield engine
    fault(engine, "remove", "all")
    engine.remove_all()


def test_both_ways_and_nobody_else(three):
    engine = three
    assert reaches(engine, "one", "two") and reaches(engine, "two", "one")
    shown = fault(engine, "add", "--partition", "one,two")
    number, rest = shown.split(maxsplit=1)
    assert rest == "partition between one,two"
    assert not reaches(engine, "one", "two") and not reaches(engine, "two", "one")
    for pair in (("one", "three"), ("three", "one"), ("two", "three"), ("three", "two")):
        assert reaches(engine, *pair), pair
    # It is recorded, and ends when it is removed.
    events = cumulet("events", "--operation", "CreateFault", "--json", "--data", engine.cloud.data).stdout
    assert "one,two" in events
    fault(engine, "remove", number)
    assert reaches(engine, "one", "two") and reaches(engine, "two", "one")


def test_it_follows_a_container_and_outlives_the_cloud(three):
    engine = three
    fault(engine, "add", "--partition", "one,two")
    fault(engine, "add", "--partition", "one,three")
    # With a new address, and in a second network.
    engine.docker("stop", "-t", "0", "two")
    engine.docker("run", "-d", "--name", "taker", "--network", "cut", "busybox", "sh", "-c",
                  "printf taker > index.html; exec httpd -f -p 80")
    wait_until(lambda: reaches(engine, "three", "taker"), "taker answers")
    assert reaches(engine, "one", "taker"), "it may have the address of the one that was cut off"
    engine.docker("start", "two")
    engine.docker("network", "create", "second")
    engine.docker("network", "connect", "second", "one")
    engine.docker("network", "connect", "second", "two")
    wait_until(lambda: reaches(engine, "three", "two"), "two answers")
    assert not reaches(engine, "one", "two") and not reaches(engine, "two", "one")
    engine.cloud.restart()
    assert not reaches(engine, "one", "two") and not reaches(engine, "three", "one")
    assert len(fault(engine, "list").splitlines()) == 2
    fault(engine, "remove", "all")
    assert reaches(engine, "one", "two") and reaches(engine, "three", "one")


@pytest.mark.parametrize("words,says", [
    (["--partition", "one"], "it must be two containers, as A,B"),
    (["--partition", "one,"], "it must be two containers, as A,B"),
    (["--partition", "one,two,three"], "it must be two containers, as A,B"),
    (["--partition", "one,one"], "one and one are one container"),
    (["--partition", "one,nonesuch"], "No such container: nonesuch"),
    (["--partition", "one,alone"], "alone has no network of its own"),
    (["s3:GetObject", "--partition", "one,three"], "cannot be used with"),
    (["--partition", "one,three", "--rate", "0.5"], "cannot be used with"),
])
def test_those_that_cannot_be(three, words, says):
    engine = three
    engine.docker("create", "--name", "alone", "--network", "none", "busybox", "true")
    told = fault(engine, "add", *words, code=2 if "cannot be used" in says else 1)
    assert says in told, told
    assert fault(engine, "list") == ""
