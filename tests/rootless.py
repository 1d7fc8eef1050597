"""Users of this machine, made for a test, and clouds with containers that they run."""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile

from cloud import binary, clean_env
from containers import Engine
from deadline import wait_until


class User:
    """An ordinary user with a home, with or without numbers for containers; gone at the end."""

    def __init__(self, granted=True):
        self.name = "cumulet-" + secrets.token_hex(4)
        self._run("useradd", "--no-create-home", "--shell", "/bin/sh", self.name)
        entry = pwd.getpwnam(self.name)
        self.uid, self.gid = entry.pw_uid, entry.pw_gid
        own = self.granted()
        if granted and not own:
            first = 200_000 + 65_536 * (self.uid % 10_000)
            numbers = f"{first}-{first + 65_535}"
            self._run("usermod", "--add-subuids", numbers, "--add-subgids", numbers, self.name)
        elif own and not granted:
            numbers = f"{own[0]}-{own[0] + own[1] - 1}"
            self._run("usermod", "--del-subuids", numbers, "--del-subgids", numbers, self.name)
        # Not below pytest's own folder, which is root's alone.
        self.home = tempfile.mkdtemp(prefix="cumulet-home-", dir="/tmp")
        os.chown(self.home, self.uid, self.gid)
        self.program = self._reachable()

    @staticmethod
    def _run(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def granted(self):
        """First and number of those that the user is granted."""
        with open("/etc/subuid", encoding="ascii") as file:
            for line in file:
                name, first, count = line.strip().split(":")
                if name == self.name:
                    return int(first), int(count)
        return None

    def _reachable(self):
        """The program at a place that the user can reach."""
        try:
            subprocess.run([binary(), "version"], capture_output=True, check=True, **self.who)
            return binary()
        except (PermissionError, subprocess.CalledProcessError):
            copy = os.path.join(self.home, "cumulet")
            shutil.copy(binary(), copy)
            os.chmod(copy, 0o755)
            return copy

    @property
    def who(self):
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def env(self, **more):
        return clean_env(HOME=self.home, TMPDIR=self.home, **more)

    def run(self, *command, seconds=120, env=None, cwd=None):
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
            env=self.env(**(env or {})), cwd=cwd or self.home, check=False, **self.who,
        )

    def cumulet(self, *args, **how):
        return self.run(self.program, *args, **how)

    def processes(self):
        """Of this user, or of the numbers that it is granted."""
        first, count = self.granted() or (self.uid, 0)
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                uid = os.stat(f"/proc/{pid}").st_uid
            except OSError:
                continue
            if uid == self.uid or first <= uid < first + count:
                found.append(int(pid))
        return found

    def remove(self):
        wait_until(lambda: not self.processes(), "nothing of the user runs")
        shutil.rmtree(self.home, ignore_errors=True)
        self._run("userdel", self.name)


class RootlessEngine(Engine):
    """A cloud of that user, or one that root has started for it."""

    def __init__(self, user, by_root=False, name="cloud"):
        folder = os.path.join(user.home, name)
        os.mkdir(folder)
        os.chown(folder, user.uid, user.gid)
        how = {"program": user.program, "env": {"HOME": user.home, "TMPDIR": user.home}}
        if by_root:
            super().__init__(folder, ["--user", user.name], **how)
        else:
            super().__init__(folder, who=user.who, **how)
        self.user = user

    @property
    def env(self):
        return self.user.env(DOCKER_HOST="unix://" + self.socket, DOCKER_CONFIG=self.config)

    def bootstrap(self, *args, name="busybox"):
        done = self.user.cumulet("images", "bootstrap", name, "--data", self.cloud.data, *args)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        """The networks are in a namespace that goes with the last process."""
        if self.cloud.running():
            self.remove_all()
            assert self.cloud.terminate() == 0
        wait_until(lambda: self.helper() is None, "the helper has ended")
        self.cloud.discard()


def status(pid, name):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return line.split()[1:]
    except OSError:
        # It has ended.
        pass
    return None
