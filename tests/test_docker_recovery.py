"""Engine and helper lose each other at every wrong moment: what runs is found again as it is, and what ended is
known as it ended."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading

import pytest

from containers import Engine
from deadline import wait_until

pytestmark = pytest.mark.unkilled
SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture
def engine(tmp_path):
    engine = Engine(tmp_path).start()
    engine.bootstrap()
    yield engine
    engine.close()


def helpers_socket(engine):
    """A path to it that is short enough; and what holds that path."""
    folder = os.open(os.path.join(engine.cloud.data, "run"), os.O_PATH)
    return folder, f"/proc/self/fd/{folder}/helper.sock"


def waits_for(helper):
    """Whether a message lies in one of the sockets of a process that does not read."""
    own = set()
    for fd in os.listdir(f"/proc/{helper}/fd"):
        found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{helper}/fd/{fd}"))
        own |= {found[1]} if found else set()
    listed = subprocess.run(["ss", "-xnH"], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return any(row[0] == "u_seq" and row[2] != "0" and own & set(row) for row in rows)


def start_unseen(engine, name):
    """The helper starts it when its engine is dead, which has heard no answer."""
    helper = engine.helper()
    os.kill(helper, signal.SIGSTOP)
    try:
        asking = subprocess.Popen(["docker", "start", name], env=engine.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: waits_for(helper), "the helper is asked", 30)
        engine.cloud.kill()
    finally:
        os.kill(helper, signal.SIGCONT)
        engine.cloud.kill()
        asking.wait(timeout=30)


def test_a_start_that_nobody_wrote_down(engine):
    engine.docker("run", "-d", *SLEEP)
    engine.docker("network", "create", "own")
    # So much is mounted before it is the program that the next engine comes while it is not.
    mounts = [word for n in range(300) for word in ("--tmpfs", f"/mounted/{n}")]
    engine.docker("create", "--name", "runs", "--network", "own", "-p", "127.0.0.1::80", *mounts, *SLEEP)
    start_unseen(engine, "runs")
    engine.cloud.start()
    engine.wait_for("runs", "running")
    found = engine.inspect("runs")
    address = found["NetworkSettings"]["Networks"]["own"]["IPAddress"]
    assert address and address in engine.docker("exec", "runs", "ip", "addr", "show", "eth0")
    assert found["NetworkSettings"]["Ports"]["80/tcp"] and found["State"]["StartedAt"] > found["Created"]
    # Its name is answered, and what it has nobody else gets.
    engine.docker("exec", "runs", "nslookup", "runs", "127.0.0.11")
    other = engine.docker("run", "-d", "--network", "own", *SLEEP)
    assert engine.inspect(other)["NetworkSettings"]["Networks"]["own"]["IPAddress"] != address
    engine.docker("stop", "-t", "0", "runs")
    assert engine.inspect("runs")["State"]["ExitCode"] == 137


def test_an_end_of_a_start_that_nobody_wrote_down(engine):
    engine.docker("run", "-d", *SLEEP)
    one = engine.docker("create", "--name", "ends", "busybox", "sh", "-c", "echo said; exit 7")
    start_unseen(engine, "ends")
    exit_file = os.path.join(engine.cloud.data, "engine", "containers", one, "exit")
    wait_until(lambda: os.path.exists(exit_file), "it has ended")
    engine.cloud.start()
    state = engine.inspect("ends")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 7)
    assert "0001-01-01T00:00:00Z" < state["StartedAt"] <= state["FinishedAt"]
    assert engine.docker("logs", "ends") == "said"


def test_the_helper_lets_its_engine_go(engine):
    """As it does with one that does not read. They are still one another's."""
    engine.docker("run", "-d", "--name", "runs", *SLEEP)
    engine.docker("run", "-d", "--name", "ends", "busybox", "sh", "-c", "while [ ! -e /end ]; do usleep 1000; done; exit 5")
    pids = {name: engine.inspect(name)["State"]["Pid"] for name in ("runs", "ends")}
    folder, path = helpers_socket(engine)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(path)
        # Which is let go in its turn when the engine comes back.
        stranger.settimeout(20)
        assert stranger.recv(100) == b""
    os.close(folder)
    assert engine.docker("exec", "runs", "echo", "x") == "x"
    for name, pid in pids.items():
        state = engine.inspect(name)["State"]
        assert (state["Status"], state["Pid"]) == ("running", pid)
    with open(f"/proc/{pids['ends']}/root/end", "w", encoding="ascii"):
        pass
    assert engine.docker("wait", "ends") == "5"


def test_the_helper_is_killed(engine):
    engine.docker("run", "-d", "--name", "dies", "busybox", "sh", "-c", "[ -e /second ] || { touch /second; exit 3; }; exec sleep 1000")
    engine.wait_for("dies", "exited")
    # What is known of its first run is not taken for the end of the second.
    engine.docker("start", "dies")
    os.kill(engine.helper(), signal.SIGKILL)
    engine.wait_for("dies", "exited")
    assert engine.inspect("dies")["State"]["ExitCode"] == 137
    engine.docker("start", "dies")
    assert engine.docker("exec", "dies", "echo", "x") == "x"


def test_the_helper_is_killed_when_nobody_can_ask_what_became_of_it(engine):
    """The engine has no descriptors left, and then some."""
    engine.docker("run", "-d", "--name", "dies", *SLEEP)
    pid = engine.cloud.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE, (1, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    try:
        os.kill(engine.helper(), signal.SIGKILL)
        wait_until(lambda: "nobody knows what became of the containers" in engine.cloud.log(), "it could not ask")
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    engine.wait_for("dies", "exited")
    assert engine.inspect("dies")["State"]["ExitCode"] == 137


def test_paused_stays_paused(engine):
    engine.docker("run", "-d", "--name", "paused", *SLEEP)
    engine.docker("run", "-d", "--name", "not", *SLEEP)
    engine.docker("pause", "paused")
    engine.cloud.kill()
    engine.cloud.start()
    assert engine.inspect("paused")["State"]["Status"] == "paused"
    assert engine.inspect("not")["State"]["Status"] == "running"
    engine.docker("pause", "paused", code=1)
    assert "already paused" in engine.stderr
    engine.docker("unpause", "paused")
    assert engine.docker("exec", "paused", "echo", "x") == "x"


def test_an_end_between_two_words_of_a_newer_helper(engine):
    """It is of a later version, says a thing that is not understood, and a container ends right after it was listed,
    once as one that is being started, and then as one that runs."""
    one = engine.docker("run", "-d", "--name", "one", *SLEEP)
    helper = engine.helper()
    engine.cloud.kill()
    os.kill(helper, signal.SIGKILL)
    wait_until(lambda: engine.helper() is None, "the helper is dead")
    folder, path = helpers_socket(engine)
    try:
        os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(path)
            listener.listen(1)
            thread = threading.Thread(target=be_helper, args=(listener, one), daemon=True)
            thread.start()
            engine.cloud.start()
            engine.wait_for("one", "exited")
            assert engine.inspect("one")["State"]["ExitCode"] == 7
            engine.cloud.kill()
            thread.join(timeout=20)
            assert not thread.is_alive()
    finally:
        # Whoever talks to this helper could not be ended in order.
        engine.cloud.kill()
        os.close(folder)
        # Which takes away what the kernel has of it.
        engine.cloud.start()


def be_helper(listener, key):
    """To every engine that comes, until one has said something."""
    was_asked = False
    while not was_asked:
        connection, _ = listener.accept()
        was_asked = converse(connection, key)


def converse(connection, key):
    was_asked, lists = False, 0
    with connection:
        def answer(number, what):
            connection.send(json.dumps({"Answer": {"id": number, "answer": what}}).encode())

        while words := connection.recv(65536):
            was_asked = True
            asked = json.loads(words)
            number = asked["id"]
            if asked["ask"] == "List":
                lists += 1
                running = [{"key": key, "pid": os.getpid(), "started_ns": 1, "of_later": [1], "starting": lists < 3}]
                answer(number, {"List": {"running": running}})
                answer(number, {"List": {"running": []}})
                if lists < 3:
                    continue
                connection.send(json.dumps({"OfLater": {"key": key}}).encode())
                ended = {"key": key, "code": 7, "out_of_memory": False, "at_ns": 2}
                connection.send(json.dumps({"Ended": ended}).encode())
            elif "Hello" in asked["ask"]:
                answer(number, {"Hello": {"version": 99, "pid": os.getpid()}})
            else:
                answer(number, {"Failed": {"text": "not now"}})
    return was_asked


def test_who_writes_for_ever_holds_up_nobody(engine):
    """What was started in a container ends, and what that has left writes on."""
    engine.docker("run", "-d", "--name", "loud", *SLEEP)
    engine.docker("exec", "-d", "loud", "sh", "-c", "yes & exit 3")
    try:
        done = subprocess.run(["docker", "run", "--rm", "busybox", "echo", "x"], env=engine.env, capture_output=True, text=True, timeout=120, check=False)
    finally:
        engine.docker("rm", "-f", "loud")
    assert done.stdout == "x\n", done.stderr
