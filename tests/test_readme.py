"""README.md and the lines of the book that one types at the very beginning, as they stand."""

import os
import re
import signal
import socket
import subprocess

import pytest
from accounts import AWS
from cloud import _end_with_parent, binary, clean_env
from deadline import wait_until

pytestmark = pytest.mark.unkilled

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BOOK = os.path.join(ROOT, "docs", "book", "src")

# `cargo run --release -- WORDS`, where the program is built already.
CARGO = """#!/bin/sh
case "$*" in
"run --release") exec cumulet ;;
"run --release -- "*) shift 3; exec cumulet "$@" ;;
*) echo "cargo $*: not of the README" >&2; exit 1 ;;
esac
"""


def blocks(path, language):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return re.findall(rf"^```{language}\n(.*?)^```", file.read(), re.S | re.M)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Newcomer:
    """Somebody with an empty home, who types what they read."""

    def __init__(self, home):
        self.home = home
        (home / "bin").mkdir()
        (home / "bin" / "cumulet").symlink_to(binary())
        (home / "bin" / "cargo").write_text(CARGO)
        (home / "bin" / "cargo").chmod(0o755)
        # Nothing but the address is other than it would be: 4566 may be somebody's.
        self.env = clean_env(PATH=f"{home}/bin:{os.path.dirname(AWS)}:{os.environ['PATH']}", HOME=str(home),
                             CUMULET_LISTEN="127.0.0.1:0", CUMULET_DOCKER_SOCKET=str(home / "docker.sock"),
                             DOCKER_CONFIG=str(home / "docker"))
        self.cloud = None

    def starts(self, command, shown):
        """Types the command that starts the cloud, and sees these lines."""
        log = self.home / "started.log"
        with open(log, "wb") as out:
            self.cloud = subprocess.Popen(["sh", "-c", "exec " + command], cwd=self.home, env=self.env,
                                          stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                          preexec_fn=_end_with_parent)
        wait_until(lambda: "Ready." in log.read_text() or self.cloud.poll() is not None, "it is ready")
        lines = log.read_text().splitlines()
        for line in shown:
            assert line in [re.sub(r":\d+$", ":4566", one) for one in lines], (line, lines)

    def types(self, text, **more):
        done = subprocess.run(["bash", "-e", "-c", text], cwd=self.home, env=self.env | more, capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=90, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def leaves(self):
        if self.cloud is not None and self.cloud.poll() is None:
            self.cloud.send_signal(signal.SIGINT)
            assert self.cloud.wait(timeout=30) == 0, (self.home / "started.log").read_text()


@pytest.fixture
def newcomer(tmp_path):
    one = Newcomer(tmp_path)
    try:
        yield one
    finally:
        one.leaves()


def test_the_readme(newcomer):
    start, tried, variables, containers, shell = blocks("README.md", "sh")
    run, test = [line.split("#")[0].strip() for line in start.splitlines()]
    assert test == "cargo xtask test"
    data = os.path.join(str(newcomer.home), ".local/share/cumulet")
    newcomer.starts(run, ["listening on http://127.0.0.1:4566", f"data in {data}"])

    assert newcomer.types(tried).rstrip().endswith("hello.txt")
    shown = newcomer.types("cumulet env")
    for line in variables.splitlines():
        assert re.sub(r":\d+$", "", line) in re.sub(r":\d+$", "", shown, flags=re.M).splitlines(), (line, shown)

    first, _ = shell.splitlines()
    assert "first" in newcomer.types(first)

    if os.geteuid() == 0:
        port = str(free_port())
        assert newcomer.types(containers.replace("8080", port)).splitlines()[-1] == "hello"
        newcomer.types('eval "$(cumulet env)"; docker rm -f web')


def test_the_first_ten_minutes_begin(newcomer):
    install, start, pointed, inside = blocks(os.path.join(BOOK, "first-ten-minutes.md"), "console")
    assert "target/release/cumulet" in install
    typed, *shown = start.splitlines()
    newcomer.starts(typed.removeprefix("$ "), [])
    # All of the greeting, from where it listens on.
    said = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:4566", (newcomer.home / "started.log").read_text()).splitlines()
    assert said[said.index(shown[0]):] == [line.replace("/home/you", str(newcomer.home)) for line in shown], said
    ways = [pointed.removeprefix("$ ").strip() + "; ", inside.removeprefix("$ ").strip() + " -- "]
    for number, way in enumerate(ways):
        newcomer.types(f"{way}aws s3 mb s3://way-{number}")
    assert len(newcomer.types(f"{ways[0]}aws s3 ls").splitlines()) == 2


def test_each_way_to_connect_is_a_line_for_a_shell(newcomer):
    (lines,) = blocks(os.path.join(BOOK, "clients.md"), "console")
    ours, *others = [line.removeprefix("$ ").split("#")[0].strip() for line in lines.splitlines()]
    newcomer.starts("cumulet", [])
    assert "Arn" in newcomer.types(f"{ours}; aws sts get-caller-identity")
    # Those shells are not here; what they would read is.
    assert len(others) == 2
    for other in others:
        command, _, _ = other.partition("|")
        assert "AWS_ENDPOINT_URL" in newcomer.types(command)
