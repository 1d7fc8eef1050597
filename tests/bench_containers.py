"""Containers timed side by side: this engine, Debian's dockerd and podman, and bare runc and crun.

`cargo xtask bench containers` runs it with the release build. The others are Debian's packages, unpacked
below target/bench-peers and run on sockets and folders of their own; one that does not start here is named
and left out.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

PACKAGES = (
    "docker.io containerd runc crun podman conmon netavark golang-github-containers-common libsubid4 libyajl2 libgpgme11 "
    "iptables libip4tc2 libip6tc2 libxtables12 libnetfilter-conntrack3 libnfnetlink0 libnftnl11 libmnl0"
).split()
ROUNDS = 15
MANY = 50
# What takes long is done so often.
FEW = 3
MEGABYTES = 200
FIVE_STEPS = "FROM busybox\nENV A=1\nRUN echo one >/one\nRUN echo two >/two\nRUN echo three >/three\n"


def fetch(folder):
    """Debian's packages, unpacked and not installed."""
    root = os.path.join(folder, "containers")
    if not os.path.exists(os.path.join(root, "usr/sbin/dockerd")):
        os.makedirs(root, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", *PACKAGES], cwd=root, check=True, stdout=subprocess.DEVNULL)
        for name in [name for name in os.listdir(root) if name.endswith(".deb")]:
            subprocess.run(["dpkg", "-x", os.path.join(root, name), root], check=True)
        for name in ("iptables", "ip6tables"):
            os.symlink("xtables-nft-multi", os.path.join(root, "usr/sbin", name))
    return root


def median_ms(work, rounds=ROUNDS):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def resident_mb(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total / 1024


class Api(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        raw = json.dumps(body).encode() if body is not None else b""
        self.request(method, path, raw, {"Content-Type": "application/json"})
        answer = self.getresponse()
        text = answer.read()
        assert answer.status < 300, (answer.status, text)
        return json.loads(text) if text else None


class Engine:
    """Whatever answers the stock CLI on a socket."""

    def __init__(self, command, path, children):
        self.path, self.children = path, children
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while True:
            try:
                Api(path).call("GET", "/version")
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    self.process.kill()
                    self.log.seek(0)
                    said = self.log.read().decode(errors="replace").strip()
                    raise RuntimeError(said.splitlines()[-1] if said else "no answer")
                threading.Event().wait(0.05)

    def docker(self, *args, stdin=None):
        env = {**os.environ, "DOCKER_HOST": "unix://" + self.path, "DOCKER_CONFIG": "/nonexistent"}
        done = subprocess.run(["docker", *args], env=env, input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, (args, done.stderr)
        return done.stdout.decode().strip()

    def pids(self):
        return [self.process.pid, *self.children(self.process.pid)]

    def near(self, program, *args):
        """Runs a program of Python in the engine's network; gives the number that it prints."""
        enter = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", sys.executable, "-c", program, *args]
        done = subprocess.run(enter, capture_output=True, check=False, env={**os.environ, "LD_LIBRARY_PATH": ""})
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Podman(Engine):
    """By its own command: it refuses the attach of today's stock CLI."""

    def __init__(self, command, path, children, roots):
        super().__init__(command, path, children)
        self.roots = roots

    def docker(self, *args, stdin=None):
        spaces = f"/proc/{self.process.pid}/ns"
        enter = ["nsenter", f"--net={spaces}/net", f"--mount={spaces}/mnt", "podman", *self.roots]
        done = subprocess.run([*enter, *args], input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, (args, done.stderr)
        return done.stdout.decode().strip()


def below(pid):
    """All processes that began below one, and the shims of their containers, which nobody holds."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        try:
            with open(f"/proc/{one}/task/{one}/children", encoding="ascii") as file:
                new = [int(word) for word in file.read().split()]
        except OSError:
            continue
        found += new
        todo += new
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{other}/comm", encoding="ascii") as file:
                if file.read().startswith(("containerd-shim", "conmon")):
                    found.append(int(other))
        except OSError:
            continue
    return sorted(set(found))


def through_the_api(engine):
    def one():
        api = Api(engine.path)
        made = api.call("POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"]})["Id"]
        api.call("POST", f"/containers/{made}/start")
        api.call("POST", f"/containers/{made}/wait")
        api.call("DELETE", f"/containers/{made}")

    return one


# Host, port, path, how often: prints bytes in a second.
THROUGHPUT = """
import socket, sys, time
host, port, path, rounds = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
best = 0
for _ in range(rounds):
    with socket.create_connection((host, port), 30) as one:
        one.sendall(b"GET %s HTTP/1.0\\r\\n\\r\\n" % path.encode())
        start, count = time.perf_counter(), 0
        while piece := one.recv(1 << 20):
            count += len(piece)
        best = max(best, count / (time.perf_counter() - start))
print(best)
"""
# The same: prints the median of milliseconds for a connection, a request and its answer.
LATENCY = """
import socket, statistics, sys, time
host, port, path, rounds = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
times = []
for _ in range(rounds):
    start = time.perf_counter()
    with socket.create_connection((host, port), 30) as one:
        one.sendall(b"GET %s HTTP/1.0\\r\\n\\r\\n" % path.encode())
        while one.recv(1 << 20):
            pass
    times.append((time.perf_counter() - start) * 1000)
print(statistics.median(times))
"""
# Fails unless there is a page: who stands before the server may take connections that nobody answers yet.
READY = """
import sys, urllib.request
host, port, path, _ = sys.argv[1:]
urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5).read()
print(0)
"""


def ports(engine):
    """What comes by a published port, and by the bridge alone."""
    serve = f"dd if=/dev/zero of=/w/big bs=1M count={MEGABYTES} 2>/dev/null; echo small >/w/small; exec httpd -f -p 80 -h /w"
    engine.docker("run", "-d", "--name", "web", "--tmpfs", "/w", "-p", "127.0.0.1:48080:80", "busybox", "sh", "-c", serve)
    address = engine.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")
    end = time.monotonic() + 30
    while True:
        try:
            engine.near(READY, "127.0.0.1", "48080", "/small", "1")
            break
        except AssertionError:
            assert time.monotonic() < end, "the port does not answer"
            threading.Event().wait(0.1)
    ways = {"published port": ("127.0.0.1", "48080"), "the bridge itself": (address, "80")}
    figures = {f"{way}, MB/s": 0.0 for way in ways}
    # By turns, since the machine is not the same from one second to the next.
    for _ in range(6):
        for way, at in ways.items():
            figures[f"{way}, MB/s"] = max(figures[f"{way}, MB/s"], engine.near(THROUGHPUT, *at, "/big", "2") / 1e6)
    for way, at in ways.items():
        figures[f"{way}, a small page, ms"] = engine.near(LATENCY, *at, "/small", "200")
    engine.docker("rm", "-f", "web")
    return figures


def images(engine):
    """Builds of five steps, and an image that is mostly one large file, saved and loaded."""
    steps = FIVE_STEPS.encode()
    build = lambda *more: engine.docker("build", "-q", *more, "-t", "five", "-", stdin=steps)
    figures = {"five steps built, cold, ms": median_ms(lambda: build("--no-cache"), 5)}
    build()
    figures["five steps built, cached, ms"] = median_ms(build)
    big = f"FROM busybox\nRUN dd if=/dev/urandom of=/big bs=1M count={MEGABYTES}\n".encode()
    engine.docker("build", "-q", "-t", "big", "-", stdin=big)
    with tempfile.TemporaryDirectory(prefix="cumulet-bench-image-") as folder:
        path = os.path.join(folder, "big.tar")

        def save():
            if os.path.exists(path):
                os.remove(path)
            engine.docker("save", "-o", path, "big")

        figures[f"save {MEGABYTES} MB, ms"] = median_ms(save, FEW)
        times = []
        for _ in range(FEW):
            engine.docker("rmi", "big")
            start = time.perf_counter()
            engine.docker("load", "-i", path)
            times.append((time.perf_counter() - start) * 1000)
        figures[f"load {MEGABYTES} MB, ms"] = statistics.median(times)
    engine.docker("rmi", "big", "five")
    return figures


def measure(engine):
    figures = {}
    run = lambda *more: engine.docker("run", "--rm", *more, "busybox", "true")
    run()
    figures["run --rm, ms"] = median_ms(run)
    figures["run --rm --net none, ms"] = median_ms(lambda: run("--net", "none"))
    figures["create, start, wait, remove by the API, ms"] = median_ms(through_the_api(engine))
    engine.docker("run", "-d", "--name", "target", "busybox", "sleep", "1000")
    figures["exec, ms"] = median_ms(lambda: engine.docker("exec", "target", "true"))
    engine.docker("rm", "-f", "target")
    idle = resident_mb(engine.pids())
    start = time.perf_counter()
    for n in range(MANY):
        engine.docker("run", "-d", "--name", f"m{n}", "busybox", "sleep", "1000")
    figures[f"{MANY} starts one by one, s"] = time.perf_counter() - start
    figures["memory idle, MB"] = idle
    figures["memory a container, MB"] = (resident_mb(p for p in engine.pids()) - idle) / MANY
    engine.docker("rm", "-f", *(f"m{n}" for n in range(MANY)))
    start = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: engine.docker("run", "-d", "--name", f"m{n}", "busybox", "sleep", "1000"), range(MANY)))
    figures[f"{MANY} starts eight at a time, s"] = time.perf_counter() - start
    engine.docker("rm", "-f", *(f"m{n}" for n in range(MANY)))

    def start_one(n):
        api = Api(engine.path)
        api.call("POST", f"/containers/create?name=m{n}", {"Image": "busybox", "Cmd": ["sleep", "1000"]})
        api.call("POST", f"/containers/m{n}/start")

    start = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(start_one, range(MANY)))
    figures[f"{MANY} starts eight at a time by the API, s"] = time.perf_counter() - start
    engine.docker("rm", "-f", *(f"m{n}" for n in range(MANY)))
    figures.update(ports(engine))
    figures.update(images(engine))
    return figures


def bare(program, folder):
    """The same without any engine: a bundle with the root file system of the image."""
    bundle = os.path.join(folder, os.path.basename(program))
    root = os.path.join(bundle, "rootfs/bin")
    os.makedirs(root)
    shutil.copy("/bin/busybox", root)
    os.symlink("busybox", os.path.join(root, "true"))
    subprocess.run([program, "spec"], cwd=bundle, check=True, capture_output=True)
    path = os.path.join(bundle, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["process"].update(args=["/bin/true"], terminal=False)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    state = os.path.join(folder, "state")
    run = [program, "--root", state, "run", "-b", bundle, "bench"]
    work = lambda: subprocess.run(run, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    work()
    return {"create, start, wait, remove by the API, ms": median_ms(work)}


def engines(binary, peers, folder):
    own = os.path.join(folder, "own")
    ours = os.path.join(own, "run/docker.sock")
    up = [binary, "up", "--listen", "127.0.0.1:0", "--data", own]

    def helper(_):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd") == os.path.join(os.path.realpath(own), "run"):
                    found.append(int(pid))
            except OSError:
                continue
        return found

    yield "cumulet", lambda: Engine(up, ours, helper)
    # In a network of their own: what they do to the firewall is nobody else's.
    alone = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
    theirs = os.path.join(folder, "dockerd.sock")
    dockerd = [
        *alone, "dockerd", "-H", "unix://" + theirs, "--data-root", folder + "/dockerd",
        "--exec-root", folder + "/dockerd-run", "--pidfile", folder + "/dockerd.pid",
    ]
    yield "dockerd", lambda: Engine(dockerd, theirs, below)
    podman = os.path.join(folder, "podman.sock")
    # What it leaves behind to clean up has no environment, so its libraries lie where everybody looks.
    own_libraries = f"{peers}/usr/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu"
    with_libraries = [
        "unshare", "-n", "-m", "sh", "-c",
        f'mount -t overlay -o lowerdir={own_libraries} libraries /usr/lib/x86_64-linux-gnu; ip link set lo up; exec "$@"', "sh",
    ]
    roots = [
        "--root", folder + "/podman", "--runroot", folder + "/podman-run",
        "--network-config-dir", folder + "/podman-net",
    ]
    serve = [
        *with_libraries, "podman", *roots, "system", "service", "-t", "0", "unix://" + podman,
    ]
    yield "podman", lambda: Podman(serve, podman, below, roots)


def main(binary, peers_folder):
    folder = tempfile.mkdtemp(prefix="cumulet-bench-")
    columns, image = {}, None
    peers = fetch(peers_folder)
    os.environ["PATH"] += f":{peers}/usr/sbin:{peers}/usr/bin:{peers}/usr/lib/podman"
    libraries = f"{peers}/usr/lib/x86_64-linux-gnu:{peers}/lib/x86_64-linux-gnu"
    os.environ["LD_LIBRARY_PATH"] = libraries
    os.environ["XTABLES_LIBDIR"] = f"{peers}/usr/lib/x86_64-linux-gnu/xtables"
    # Podman wants to be told that images of no signature are taken.
    os.environ["HOME"] = folder
    os.makedirs(f"{folder}/.config/containers")
    with open(f"{folder}/.config/containers/policy.json", "w", encoding="ascii") as file:
        file.write('{"default": [{"type": "insecureAcceptAnything"}]}')
    # Nor does it look for its helpers where they were unpacked.
    os.environ["CONTAINERS_CONF"] = f"{folder}/containers.conf"
    with open(f"{folder}/containers.conf", "w", encoding="ascii") as file:
        file.write(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            f'[engine]\nhelper_binaries_dir = ["{peers}/usr/lib/podman"]\n'
            f'conmon_path = ["{peers}/usr/bin/conmon"]\nruntime = "runc"\n[network]\nnetwork_backend = "netavark"\n'
        )
    for name, start in engines(binary, peers, folder):
        try:
            engine = start()
        except RuntimeError as error:
            print(f"{name} does not start here: {error}")
            continue
        try:
            if image is None:
                subprocess.run([binary, "images", "bootstrap", "busybox", "--data", os.path.join(folder, "own")], check=True, stdout=subprocess.DEVNULL)
                image = os.path.join(folder, "image.tar")
                engine.docker("save", "-o", image, "busybox")
            else:
                engine.docker("load", "-i", image)
            columns[name] = measure(engine)
        except AssertionError as error:
            print(f"{name} fails: {error}")
        finally:
            engine.end()
    for name in ("runc", "crun"):
        program = shutil.which(name)
        try:
            columns[name] = bare(program, folder)
        except subprocess.CalledProcessError as error:
            print(f"{name} fails: {error.stderr}")
    print("| |" + "|".join(f" {name} " for name in columns) + "|")
    print("|---|" + "---:|" * len(columns))
    for row in dict.fromkeys(row for figures in columns.values() for row in figures):
        cells = [f" {figures[row]:.2f} " if row in figures else " " for figures in columns.values()]
        print(f"| {row} |" + "|".join(cells) + "|")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
