"""What is cut off in the middle, by a kill or by a full disk: nothing half is there, and the same again works."""

import json
import os
import secrets
import socket
import subprocess
import threading
import urllib.parse

import docker as docker_py
import pytest

from containers import Engine, mounts_of
from deadline import wait_until
from test_registry import Registry, login, own_name


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """A cloud that is only a registry, with an image that takes up 200 MB when it is unpacked."""
    far = Engine(tmp_path_factory.mktemp("far")).start()
    far.bootstrap()
    name = own_name(far, "big")
    far.docker("build", "-t", name, "-", stdin=(
        "FROM busybox\nRUN dd if=/dev/urandom of=/noise bs=1M count=3\nRUN dd if=/dev/zero of=/big bs=1M count=200\n"
    ))
    far.docker("push", name)
    yield far
    far.close()


def left_over(engine):
    """What lies in the engine's folder and belongs to no image."""
    root = os.path.join(engine.cloud.data, "engine")
    scratch = [name for name in os.listdir(os.path.join(root, "scratch")) if name != "empty"]
    usage = json.loads(engine.request("GET", "/system/df")[2])
    layers = os.listdir(os.path.join(root, "layers"))
    return scratch, usage["LayersSize"], len(layers)


class Stalling(threading.Thread):
    """Hands on to a registry, and stops in the middle of the first long answer."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.to = port
        self.stalled = threading.Event()
        self.released = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self.to)) as far:
            def back():
                passed = 0
                try:
                    while piece := far.recv(16384):
                        passed += len(piece)
                        client.sendall(piece)
                        if passed > 1_000_000 and not self.released.is_set():
                            self.stalled.set()
                            self.released.wait()
                    client.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            try:
                while piece := client.recv(16384):
                    far.sendall(piece)
            except OSError:
                pass
            thread.join()


def test_kill_in_the_middle_of_a_pull(tmp_path, far):
    engine = Engine(tmp_path).start()
    proxy = Stalling(int(own_name(far, "").split(":")[1][:-1]))
    place = f"127.0.0.1:{proxy.port}"
    engine.docker("login", "-u", "test", "-p", "test", place)
    before = left_over(engine)
    pulling = subprocess.Popen(
        ["docker", "pull", place + "/big"], env=engine.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert proxy.stalled.wait(30), "it never got so far"
    engine.cloud.kill()
    pulling.wait(timeout=30)
    proxy.released.set()
    engine.cloud.start()
    assert engine.docker("images", "-aq") == ""
    assert left_over(engine) == before
    engine.docker("pull", place + "/big", seconds=120)
    assert engine.docker("run", "--rm", place + "/big", "stat", "-c", "%s", "/big") == str(200 << 20)
    engine.docker("rmi", place + "/big")
    assert left_over(engine) == before
    proxy.listener.close()
    engine.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An engine whose data folder is a disk of 320 MiB."""
    folder = tmp_path_factory.mktemp("small")
    data = folder / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m", "none", str(data)], check=True)
    engine = None
    try:
        engine = Engine(folder).start()
        engine.bootstrap()
        yield engine
        assert engine.docker("run", "--rm", "busybox", "echo", "on") == "on", "it still works"
        engine.close()
    finally:
        if engine:
            engine.cloud.kill()
        subprocess.run(["umount", "-l", str(data)], check=False)
    assert not mounts_of(str(folder))


def free(engine):
    stat = os.statvfs(engine.cloud.data)
    return stat.f_bavail * stat.f_frsize >> 20


def pull(engine, far, _):
    place = login(engine, far)
    return engine.docker("pull", place + "/big", code=1, seconds=120)


def load(engine, far, tmp_path):
    archive = str(tmp_path / "big.tar")
    far.docker("save", "-o", archive, own_name(far, "big"))
    return engine.docker("load", "-i", archive, code=1, seconds=120)


def build(engine, far, tmp_path):
    return engine.docker("build", "--force-rm", "-", code=1, seconds=120, stdin=(
        "FROM busybox\nRUN dd if=/dev/urandom of=/noise bs=1M count=2\nRUN dd if=/dev/zero of=/big bs=1M count=400\n"
    ))


def context(engine, far, tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox\nCOPY . /\n")
    with open(folder / "big", "wb") as file:
        file.truncate(300 << 20)
    return engine.docker("build", "--force-rm", str(folder), code=1, seconds=120)


@pytest.mark.parametrize("way", [pull, load, build, context])
def test_a_full_disk(small, far, tmp_path, way):
    engine = small
    images = set(engine.docker("images", "-aq", "--no-trunc").split())
    before, room = left_over(engine), free(engine)
    shown = way(engine, far, tmp_path) + engine.stderr
    assert "no space left on device" in shown.lower(), shown
    if way is build:
        # Its first step is whole, and goes like any other image.
        engine.docker("image", "prune", "-f")
    assert set(engine.docker("images", "-aq", "--no-trunc").split()) == images
    assert engine.docker("ps", "-aq") == ""
    wait_until(lambda: left_over(engine) == before, "nothing half is there")
    wait_until(lambda: free(engine) >= room - 16, f"the room is there again: {free(engine)} of {room}")


def test_what_nothing_names_is_freed_by_itself(tmp_path):
    engine = Engine(tmp_path)
    engine.cloud.args += ["--collect-after-s", "2"]
    engine.start()
    registry = Registry(engine.cloud.endpoint, "test")
    used = lambda: int(subprocess.check_output(["du", "-sm", engine.cloud.data]).split()[0])  # noqa: E731
    before = used()
    blobs = [secrets.token_bytes(80 << 20) for _ in range(2)]
    digests = [registry.put_blob("left", content) for content in blobs]
    for digest in digests:
        wait_until(lambda d=digest: registry.call("HEAD", f"/v2/left/blobs/{d}")[0] == 404, "it is gone", 30)
    wait_until(lambda: used() <= before + 40, f"their room is free again, {used()} MB after {before}", 30)
    engine.close()
