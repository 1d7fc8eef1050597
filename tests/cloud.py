"""One running cloud: starting it, stopping it in every way, and looking at it from outside."""

import ctypes
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
import time

BINARY = os.environ.get("CUMULET_BIN", "")
LISTENING = re.compile(r"listening on (https?://[^\s]+)")


def clean_env(**more):
    """An environment in which nothing of the person who runs the tests reaches the program."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "HOME", "LD_LIBRARY_PATH")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env.update(more)
    return env


_libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def _end_with_parent():
    """A run that is killed leaves no cloud behind."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def binary():
    if not BINARY:
        raise RuntimeError("CUMULET_BIN names no binary: run `cargo xtask black-box`")
    return BINARY


class Cloud:
    """`cumulet up` on a data folder of its own. Restarts keep the port."""

    def __init__(self, data, args=(), env=None, listen="127.0.0.1:0", program=None, who=None):
        self.data = str(data)
        # A copy of the binary, and the user who runs it, as `subprocess` wants them.
        self.program = program
        self.who = who or {}
        self.args = list(args)
        self.env = env or {}
        self.listen = listen
        self.process = None
        self.endpoint = None
        self.log_path = self.data.rstrip("/") + ".log"
        self.first_answer_s = None

    def start(self, seconds=30):
        command = [self.program or binary(), "up", "--listen", self.listen, "--data", self.data, *self.args]
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=clean_env(**self.env),
            start_new_session=True,
            preexec_fn=_end_with_parent,
            **self.who,
        )
        log.close()
        lines = queue.Queue()
        threading.Thread(target=self._drain, args=(self.process, lines), daemon=True).start()
        end = time.monotonic() + seconds
        while True:
            try:
                line = lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self.kill()
                raise AssertionError(f"not listening after {seconds} s\n{self.log()}") from None
            if line is None:
                code = self.process.wait()
                raise AssertionError(f"it ended with {code} before it listened\n{self.log()}")
            found = LISTENING.search(line)
            if found:
                self.endpoint = found.group(1).rstrip("/")
                self.listen = self.endpoint.split("//")[1]
                return self

    def _drain(self, process, lines):
        with open(self.log_path, "a", encoding="utf-8", errors="replace") as log:
            for line in iter(process.stdout.readline, b""):
                text = line.decode("utf-8", "replace")
                log.write(text)
                log.flush()
                lines.put(text)
        lines.put(None)

    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        host, port = self.listen.rsplit(":", 1)
        return host, int(port)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9, and nothing else."""
        if self.running():
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def restart(self):
        self.kill()
        return self.start()

    def terminate(self, seconds=30):
        """SIGTERM; gives the exit code."""
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def discard(self):
        """The end of it; a panic anywhere in its life is a failure."""
        self.kill()
        log = self.log()
        shutil.rmtree(self.data, ignore_errors=True)
        if "panicked at" in log:
            raise AssertionError("it panicked:\n" + log[-4000:])


def memory_kb(pid, field):
    """`Pss` and its parts from smaps_rollup, or `VmHWM`, `VmRSS` from status, in KiB."""
    name = "smaps_rollup" if field.startswith("Pss") else "status"
    with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise AssertionError(f"/proc/{pid}/{name} has no {field}")


def cumulet(*args, env=None, seconds=30):
    """Runs a command of the binary to its end."""
    return subprocess.run(
        [binary(), *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=clean_env(**(env or {})),
        check=False,
    )
