"""What goes along with a release: the action for GitHub and the unit for systemd. The image and the file for Compose
are in `test_image.py`."""

import os
import re
import shutil
import signal
import subprocess

import pytest
import yaml
from cloud import binary, clean_env, cumulet

pytestmark = pytest.mark.unkilled

DIST = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "dist")


def read(name):
    with open(os.path.join(DIST, name), encoding="utf-8") as file:
        return file.read()


def test_the_action_starts_a_cloud_and_points_the_job_at_it(tmp_path):
    action = yaml.safe_load(read("action.yml"))
    assert action["runs"]["using"] == "composite" and action["inputs"]["program"]["required"]
    [step] = action["runs"]["steps"]
    # A port of its own, since the usual one may be somebody's.
    script = step["run"].replace(" up --data", " up --listen 127.0.0.1:0 --docker-socket none --data")
    assert script != step["run"]
    env = clean_env(RUNNER_TEMP=str(tmp_path), GITHUB_ENV=str(tmp_path / "env"), PROGRAM=binary(), DATA="")
    subprocess.run(["bash", "-e", "-c", script], env=env, check=True, timeout=60)
    given = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    pid = int(re.search(r'"pid":(\d+)', (tmp_path / "cumulet-ready").read_text()).group(1))
    try:
        assert given["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
        status = cumulet("status", "--data", str(tmp_path / "cumulet"))
        assert given["AWS_ENDPOINT_URL"] in status.stdout
    finally:
        os.kill(pid, signal.SIGTERM)


def test_an_action_whose_program_does_not_start_fails(tmp_path):
    """And shows why, at once."""
    [step] = yaml.safe_load(read("action.yml"))["runs"]["steps"]
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such luck\nexit 3\n")
    env = clean_env(RUNNER_TEMP=str(tmp_path), GITHUB_ENV=str(tmp_path / "env"), PROGRAM=str(broken), DATA="")
    done = subprocess.run(["bash", "-e", "-c", step["run"]], env=env, timeout=25, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no such luck" in done.stdout, done


def test_the_unit(tmp_path):
    text = read("cumulet.service")
    [start] = re.findall(r"^ExecStart=(.*)$", text, re.M)
    known = cumulet("up", "--help").stdout
    for option in re.findall(r"--[a-z-]+", start):
        assert f"{option} " in known, option
    if shutil.which("systemd-analyze"):
        unit = tmp_path / "cumulet.service"
        unit.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
                        .replace("/usr/local/bin/cumulet", binary()))
        done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done
