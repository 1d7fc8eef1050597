"""The engine is killed with fifty containers running and a build in flight: nothing is lost, nothing leaks."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import docker

from containers import Engine, control_groups, mounts_of, tables
from deadline import wait_until

COUNT = 50
# So many lines at most that its log is read quickly.
COUNTING = "n=0; while [ ! -e /end ]; do n=$((n+1)); echo $n; usleep 50000; done; exit $CODE"


def end(pid):
    """Tells the container's program, through its root, whoever its engine is."""
    with open(f"/proc/{pid}/root/end", "w", encoding="ascii"):
        pass


def test_fifty_containers_outlive_the_engine(tmp_path):
    engine = Engine(tmp_path).start()
    engine.bootstrap()
    engine.docker("network", "create", "fifty")
    client = docker.DockerClient(base_url="unix://" + engine.socket, timeout=120)

    def start(n):
        container = client.containers.run(
            "busybox", ["sh", "-c", COUNTING], detach=True, name=f"c{n}", network="fifty",
            environment={"CODE": str(n % 100)}, mem_limit="32m",
        )
        container.reload()
        return container.id, container.attrs["State"]["Pid"]

    with ThreadPoolExecutor(8) as threads:
        started = list(threads.map(start, range(COUNT)))
    assert len(engine.links()) == COUNT
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN sleep 1000\n")
    building = subprocess.Popen(
        ["docker", "build", "-q", str(tmp_path)], env=engine.env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: len(engine.docker("ps", "-aq").split()) > COUNT or building_runs(engine), "it builds")
    helper = engine.helper()
    engine.cloud.kill()
    building.wait(timeout=30)
    # Half of them end while nobody looks.
    for n in range(0, COUNT, 2):
        end(started[n][1])
    wait_until(lambda: not any(os.path.exists(f"/proc/{started[n][1]}/root/bin") for n in range(0, COUNT, 2)), "half have ended", 30)
    engine.cloud.start()
    assert engine.helper() == helper
    listed = {c["Names"][0][1:]: c["State"] for c in client.api.containers(all=True)}
    expected = {f"c{n}": "running" if n % 2 else "exited" for n in range(COUNT)}
    assert listed == expected, "all are listed at once, and nothing of the build is left"
    for n in range(1, COUNT, 2):
        end(started[n][1])
    for n, (one, _) in enumerate(started):
        assert client.api.wait(one, timeout=60)["StatusCode"] == n % 100, n
        numbers = [int(line) for line in client.api.logs(one).split()]
        assert numbers == list(range(1, len(numbers) + 1)) and numbers, f"the log of c{n} has a hole"
    for one, _ in started:
        assert not control_groups(one) and not mounts_of(one)
    wait_until(lambda: not engine.links(), "their links are gone")
    # What they had is free again.
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: client.api.start(one[0]), started))
    table = engine.table()
    assert table in tables()
    client.close()
    engine.close()
    assert table not in tables()
    assert not mounts_of(str(tmp_path))


def building_runs(engine):
    """A build's own containers are not listed; the kernel knows them."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"sleep\x001000" not in file.read():
                    continue
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
                if engine.cloud.data in file.read():
                    return True
        except OSError:
            continue
    return False


def test_a_network_of_an_engine_that_was_killed_goes_with_the_next(tmp_path):
    engine = Engine(tmp_path).start()
    engine.docker("network", "create", "idle")
    bridge = engine.docker("network", "inspect", "idle", "--format", "br-{{slice .Id 0 12}}")
    assert os.path.exists(f"/sys/class/net/{bridge}")
    engine.cloud.kill()
    engine.cloud.start()
    assert engine.cloud.terminate() == 0
    assert not os.path.exists(f"/sys/class/net/{bridge}")
    assert engine.table() not in tables()
    engine.cloud.start()
    engine.close()
