"""Compose as Debian ships it, and testcontainers, unmodified, against the Docker socket."""

import os
import re
import subprocess

import pytest

from containers import get
from deadline import wait_until

PROJECT = """
version: "3.8"
services:
  store:
    image: busybox
    command: sh -c 'mkdir -p /data; echo kept > /data/index.html; exec httpd -f -p 80 -h /data'
    networks: {back: {aliases: [database]}}
    volumes: [kept:/data]
  web:
    image: busybox
    depends_on: [store]
    command: sh -c 'echo ready; while true; do wget -qO- http://database/ | nc -l -p 80 >/dev/null; done'
    networks: [back, front]
    environment: {WHO: compose}
  front:
    image: busybox
    command: sh -c 'mkdir /w; echo front >/w/index.html; exec httpd -f -p 80 -h /w'
    ports: ["127.0.0.1::80"]
    networks: [front]
    healthcheck: {test: "wget -qO- http://127.0.0.1/", interval: 1s}
networks: {back: {internal: true}, front: {}}
volumes: {kept: {}}
"""

OLD_FORMAT = """
store:
  image: busybox
  command: sh -c 'mkdir /w; echo linked >/w/index.html; exec httpd -f -p 80 -h /w'
web:
  image: busybox
  links: ["store:database"]
  command: sleep 1000
"""


class Project:
    def __init__(self, engine, folder, text):
        self.engine, self.folder = engine, folder
        (folder / "docker-compose.yml").write_text(text)

    def __call__(self, *args, code=0):
        done = subprocess.run(
            ["docker-compose", "--no-ansi", *args],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            env={**self.engine.env, "COMPOSE_PROJECT_NAME": self.folder.name.replace("_", "").lower()[:20]},
            check=False,
        )
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def one(self, service):
        """The id of the one container of a service."""
        return self.engine.docker("ps", "-q", "--filter", f"label=com.docker.compose.service={service}")

    def exec(self, *args, code=0):
        return self("exec", "-T", *args, code=code).strip()


@pytest.fixture
def project(engine, tmp_path):
    made = []

    def make(text):
        made.append(Project(engine, tmp_path, text))
        return made[-1]

    yield make
    for one in made:
        one("down", "-v", "--remove-orphans")
    assert engine.docker("ps", "-aq") == ""
    assert engine.docker("network", "ls", "-q", "--filter", "type=custom") == ""


def test_up_ps_logs_exec_scale_down(engine, project):
    compose = project(PROJECT)
    compose("up", "-d", "--scale", "store=3")
    shown = compose("ps")
    assert shown.count(" Up ") == 5, shown
    web, front = compose.one("web"), compose.one("front")
    assert compose.exec("web", "sh", "-c", "echo $WHO") == "compose"
    wait_until(lambda: "ready" in engine.docker("logs", web), "web has said that it is ready")
    assert "ready" in compose("logs", "web")
    assert engine.docker("exec", web, "wget", "-qO-", "http://database/") == "kept"
    assert engine.docker("exec", web, "wget", "-qO-", "http://front/") == "front"
    found = engine.docker("exec", web, "nslookup", "-type=a", "store")
    assert len(set(re.findall(r"^Address(?: \d+)?: (\d+\.\d+\.\d+\.\d+)$", found, re.M))) == 3, found
    # The store is in the inner network alone.
    engine.docker("exec", front, "ping", "-c", "1", "-W", "1", "store", code=1)
    port = int(re.search(r":(\d+)", compose("port", "front", "80")).group(1))
    assert get(port) == "front\n"
    wait_until(lambda: engine.inspect(front)["State"]["Health"]["Status"] == "healthy", "it is healthy")
    compose("up", "-d", "--scale", "store=1")
    assert len(engine.docker("ps", "-q", "--filter", "label=com.docker.compose.service=store").split()) == 1
    # Nothing else has changed, so nothing else was made anew.
    assert compose.one("web") == web
    compose("stop", "-t", "0", "front")
    assert "Exit" in compose("ps", "front")
    assert compose("run", "--rm", "-T", "web", "wget", "-qO-", "http://database/") == "kept\n"
    compose("down")
    assert [line for line in engine.docker("volume", "ls", "-q").split() if line.endswith("_kept")]


def test_up_in_the_foreground_ends_with_its_containers(engine, project):
    compose = project("version: '3'\nservices: {one: {image: busybox, command: echo said by one}}\n")
    assert re.search(r"one_1 .*\| said by one", compose("up"))


def test_the_first_format_with_links(engine, project):
    compose = project(OLD_FORMAT)
    compose("up", "-d")
    assert compose.exec("web", "wget", "-qO-", "http://database/") == "linked"


def test_testcontainers_for_python(engine):
    """Without the reaper, whose image is pulled from a registry."""
    script = (
        "from testcontainers.core.container import DockerContainer\n"
        "from testcontainers.core.waiting_utils import wait_for_logs\n"
        "from testcontainers.core.network import Network\n"
        "with Network() as network:\n"
        "    store = DockerContainer('busybox').with_network(network).with_network_aliases('store')\n"
        "    store.with_command(['sh', '-c', 'mkdir /w; echo page >/w/index.html; echo up; exec httpd -f -p 80 -h /w'])\n"
        "    store.with_exposed_ports(80)\n"
        "    with store:\n"
        "        wait_for_logs(store, 'up', timeout=20)\n"
        "        with DockerContainer('busybox').with_network(network).with_command('sleep 1000') as other:\n"
        "            code, out = other.exec(['wget', '-qO-', 'http://store/'])\n"
        "            assert (code, out) == (0, b'page\\n'), (code, out)\n"
        "        import urllib.request\n"
        "        url = f'http://{store.get_container_host_ip()}:{store.get_exposed_port(80)}/'\n"
        "        print(urllib.request.urlopen(url, timeout=10).read().decode())\n"
    )
    done = subprocess.run(
        [os.sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        timeout=90,
        env={**engine.env, "TESTCONTAINERS_RYUK_DISABLED": "true"},
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "page"), done.stdout + done.stderr
    assert engine.docker("ps", "-aq") == ""
