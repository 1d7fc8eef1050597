"""`cumulet trust` on this machine's /etc, over which the test lays one of its own."""

import os
import subprocess

import pytest
from cloud import binary, cumulet

pytestmark = pytest.mark.unkilled

ROOT = os.geteuid() == 0

LAID_OVER = """
  work=$1; shift
  mount -t tmpfs none "$work"
  for at in etc usr/local/share; do
    name=$(echo $at | tr / _); mkdir -p "$work/$name" "$work/$name.work"
    mount -t overlay none -o "lowerdir=/$at,upperdir=$work/$name,workdir=$work/$name.work" "/$at"
  done
  exec "$@"
"""

SCRIPT = """
  # Java's store is written anew each time, with the time of day in it.
  state() { cd /etc && find ssl resolv.conf ca-certificates* systemd -type f -exec sha256sum {} + \
    -o -type l -printf '%p %l\\n' | grep -v ssl/certs/java | sort; }
  ask() { curl -sS --max-time 20 --resolve "s3.amazonaws.com:$PORT:127.0.0.1" \
    "https://s3.amazonaws.com:$PORT/" | grep -o AccessDenied || echo refused; }
  mkdir -p /usr/local/share/ca-certificates
  update-ca-certificates --fresh > /dev/null
  state > /tmp/before; ask
  $CUMULET trust install --dry-run; state | diff /tmp/before - && echo untouched
  $CUMULET trust install && ask && head -2 /etc/resolv.conf
  $CUMULET trust install
  $CUMULET trust remove && state | diff /tmp/before - && echo undone; ask
  $CUMULET trust remove
"""


def test_this_machine(own_cloud, tmp_path):
    cloud = own_cloud()
    namespace = ["unshare", "-m"] if ROOT else ["unshare", "-Urm"]
    env = {"PATH": os.environ["PATH"], "PORT": str(cloud.address[1]), "CUMULET": binary(),
           "CUMULET_DATA": cloud.data}
    work = tmp_path / "work"
    work.mkdir()
    script = SCRIPT.replace("/tmp/before", str(tmp_path / "before"))
    done = subprocess.run([*namespace, "sh", "-ec", LAID_OVER, "sh", str(work), "sh", "-c", script],
                          capture_output=True, text=True, timeout=150, check=False, env=env)
    said = done.stdout
    # Before, curl does not trust it; then it does; then not any more.
    assert said.count("refused") == 2 and said.count("AccessDenied") == 1, (said, done.stderr)
    assert "untouched" in said and "undone" in said, (said, done.stderr)
    assert said.count("nothing to do") == 2, said
    assert "# cumulet trust" in said and "nameserver 127.0.0.1" in said
    assert "cumulet up" in said and "--dns-listen 127.0.0.1:53" in said


def test_a_cloud_that_never_ran(tmp_path):
    done = cumulet("trust", "install", "--data", tmp_path, "--dry-run")
    assert done.returncode == 1 and "first `cumulet up`" in done.stderr
