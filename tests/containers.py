"""A cloud with its Docker socket, the stock docker CLI against it, and a look at what is left behind."""

import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import time

from cloud import Cloud, clean_env, cumulet
from deadline import wait_until


class Engine:
    """One cloud as a container engine, with busybox in it."""

    def __init__(self, folder, args=(), **how):
        self.folder = str(folder)
        data = os.path.join(self.folder, "data")
        self.socket = os.path.join(data, "run", "docker.sock")
        # Another way for containers to see their layers, for a run by hand over the whole suite.
        driver = os.environ.get("CUMULET_TEST_STORAGE_DRIVER")
        more = ["--storage-driver", driver] if driver else []
        self.cloud = Cloud(data, ["--docker-socket", self.socket, "--log", "info", *more, *args], **how)
        self.config = os.path.join(self.folder, "config")

    def start(self):
        os.makedirs(self.config, exist_ok=True)
        self.cloud.start()
        return self

    def bootstrap(self, *args, name="busybox"):
        done = cumulet("images", "bootstrap", name, "--data", self.cloud.data, *args)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def env(self):
        # Clients of some versions would build by BuildKit, of which `buildkit.py` takes care.
        return clean_env(DOCKER_HOST="unix://" + self.socket, DOCKER_CONFIG=self.config, DOCKER_BUILDKIT="0")

    def docker(self, *args, stdin=None, code=0, seconds=60):
        """Runs the CLI; gives what it printed."""
        done = subprocess.run(
            ["docker", *args],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=self.env,
            check=False,
        )
        shown = f"docker {' '.join(args)}\n{done.stdout}\n{done.stderr}"
        assert code is None or done.returncode == code, f"{done.returncode}: {shown}"
        self.stderr = done.stderr
        return done.stdout.strip()

    def inspect(self, name):
        return json.loads(self.docker("inspect", name))[0]

    def request(self, method, path, body=None):
        """Without a client library: status, head and body."""
        raw = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        )
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(self.socket)
            connection.sendall(head.encode() + raw)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), body

    def wait_for(self, name, wanted, seconds=20):
        def look():
            return self.inspect(name)["State"]["Status"] == wanted

        wait_until(look, f"{name} is {wanted}", seconds)

    def remove_all(self):
        ids = self.docker("ps", "-aq").split()
        if ids:
            self.docker("rm", "-f", "-v", *ids)
        for network in self.docker("network", "ls", "-q", "--filter", "type=custom").split():
            self.docker("network", "rm", network)

    def helper(self):
        """Process number of the helper, or None."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
                # Sockets may lie behind long paths, so it is known by the folder it works in.
                folder = os.readlink(f"/proc/{pid}/cwd")
            except OSError:
                continue
            own = os.path.join(os.path.realpath(self.cloud.data), "run")
            if b"containers-helper" in words and os.path.realpath(folder) == own:
                found[int(pid)] = parent
        # What it starts looks like it until it runs its own program.
        own = [pid for pid, parent in found.items() if parent not in found]
        assert len(own) <= 1, found
        return own[0] if own else None

    def bridges(self):
        names = set()
        for network in json.loads(self.request("GET", "/networks")[2]):
            own = "br-" + network["Id"][:12]
            names.add(network["Options"].get("com.docker.network.bridge.name", own))
        return names

    def standing(self, names):
        """Those of these bridges that are there and its own: the next engine takes the name `docker0` at once."""
        def is_own(name):
            if name != "docker0":
                return True
            try:
                with open(f"/sys/class/net/{name}/ifalias", encoding="utf-8") as file:
                    return self.mark() in file.read()
            except OSError:
                return False

        return {name for name in names & set(os.listdir("/sys/class/net")) if is_own(name)}

    def table(self):
        """Of the firewall: named after the data folder."""
        return "cumulet-" + self.mark()

    def mark(self):
        """Of all that it has in the kernel."""
        whole = os.path.realpath(self.cloud.data).encode()
        return hashlib.sha256(whole).hexdigest()[:8]

    def links(self):
        """Ends of links in networks of this engine."""
        bridges, found = self.bridges(), set()
        for name in links():
            try:
                above = os.path.basename(os.readlink(f"/sys/class/net/{name}/master"))
            except OSError:
                continue
            if above in bridges:
                found.add(name)
        return found

    def close(self):
        """The end; nothing of it may be left in the kernel."""
        if self.cloud.running():
            self.remove_all()
            bridges = self.bridges()
            assert self.cloud.terminate() == 0
            wait_until(lambda: self.helper() is None, "the helper has ended")
            left = self.standing(bridges)
            assert not left, f"bridges are left: {left}"
        self.cloud.discard()


def links():
    """Ends of containers' links on this machine."""
    return {name for name in os.listdir("/sys/class/net") if name.startswith("veth")}


def tables():
    """Names of the firewall's tables on this machine, asked of the kernel."""
    get_table, dump, multi_done = 0x0A01, 0x301, 3
    found = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as kernel:
        kernel.send(struct.pack("=IHHII", 20, get_table, dump, 1, 0) + struct.pack("=BBH", 0, 0, 0))
        while True:
            answer = kernel.recv(65536)
            while answer:
                length, kind = struct.unpack_from("=IH", answer)
                if kind == multi_done or kind == 2:
                    return found
                attributes = answer[20:length]
                while len(attributes) >= 4:
                    size, name = struct.unpack_from("=HH", attributes)
                    if name == 1:
                        found.add(attributes[4 : size - 1].decode())
                    attributes = attributes[(size + 3) & ~3 :]
                answer = answer[(length + 3) & ~3 :]


def remove_table(name):
    """Of the firewall, as somebody would who clears up by hand."""
    batch_begin, batch_end, delete_table = 16, 17, 0x0A02

    def message(kind, number, body):
        return struct.pack("=IHHII", 16 + len(body), kind, 5, number, 0) + body

    text = name.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(text), 1) + text
    attribute += b"\0" * (-len(attribute) % 4)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as kernel:
        kernel.send(
            message(batch_begin, 1, struct.pack("=BBH", 0, 0, socket.htons(10)))
            + message(delete_table, 2, struct.pack("=BBH", 2, 0, 0) + attribute)
            + message(batch_end, 3, struct.pack("=BBH", 0, 0, socket.htons(10)))
        )
        kernel.settimeout(10)
        answer = kernel.recv(65536)
        error = struct.unpack_from("=i", answer, 16)[0]
        assert error == 0, error


def control_groups(container):
    """Folders of a container in any hierarchy."""
    found = []
    for root in ["/sys/fs/cgroup", *(f"/sys/fs/cgroup/{name}" for name in os.listdir("/sys/fs/cgroup"))]:
        path = os.path.join(root, "cumulet", container)
        if os.path.isdir(path):
            found.append(path)
    return found


def mounts_of(text):
    """Mounts of this machine that name a text."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [line for line in file if text in line]


def port_of(shown):
    """The host's port in what `docker port` prints."""
    return int(re.search(r":(\d+)\s*$", shown.splitlines()[0]).group(1))


def get(port, host="127.0.0.1", path="/"):
    """A page over HTTP/1.0, asked for until somebody answers."""
    end = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection((host, port), timeout=3) as connection:
                connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
                if answer:
                    return answer.partition(b"\r\n\r\n")[2].decode()
        except OSError:
            pass
        assert time.monotonic() < end, f"nobody answers at {host}:{port}"
