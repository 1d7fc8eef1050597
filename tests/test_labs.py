"""`cumulet lab`: the labs themselves are run by a step of the test command; here is what goes wrong."""

import os
import signal
import subprocess

import pytest
from accounts import AWS
from cloud import binary, clean_env, cumulet
from deadline import wait_until

pytestmark = pytest.mark.unkilled

PATH = os.path.dirname(AWS) + ":" + os.environ["PATH"]


def lab(tmp_path, text, *more):
    path = tmp_path / "mine.md"
    path.write_text(text)
    return cumulet("lab", "run", str(path), "--data", str(tmp_path / "none"), *more, seconds=120,
                   env={"PATH": PATH, "TMPDIR": str(tmp_path)})


def test_list_and_show():
    listed = cumulet("lab", "list")
    assert listed.returncode == 0
    for name in ("first-steps", "introduction", "static-site", "roles-and-refusals", "dynamodb", "orders",
                 "wild-rydes"):
        assert f"\n{name} " in "\n" + listed.stdout
        shown = cumulet("lab", "show", name)
        assert shown.stdout.startswith("# ") and "```sh" in shown.stdout
    unknown = cumulet("lab", "show", "nonesuch")
    assert unknown.returncode == 2 and "first-steps" in unknown.stderr


def test_a_lab_of_ones_own_on_a_running_cloud(tmp_path, own_cloud):
    cloud = own_cloud()
    path = tmp_path / "own.md"
    path.write_text("# Own\n\nMine.\n\n```sh\nNAME=b-$LAB\naws s3 mb s3://$NAME\n```\n\n"
                    "```sh\necho $NAME; pwd\n```\n\n```text\nb-...\n/...work\n```\n")
    done = cumulet("lab", "run", str(path), "--data", cloud.data, seconds=120,
                   env={"PATH": PATH, "TMPDIR": str(tmp_path)})
    assert done.returncode == 0 and "all 2 steps" in done.stdout, done
    assert not [name for name in os.listdir(tmp_path) if name.startswith("cumulet-lab")]
    assert "data in" in cloud.log() and cloud.running()


@pytest.mark.parametrize("blocks,parts", [
    ("```sh\necho one\necho two\n```\n```text\none\nthree\n```\n",
     ["step 1 of 1, line 5", "nothing fits: three", "echo two", "what one should see", "what was seen"]),
    ("```sh\nexit_code() { return 3; }; exit_code\n```\n", ["it ended with 3"]),
    ("```sh fails\ntrue\n```\n", ["should have failed"]),
    ("```sh\nexit 4\n```\n", ["the shell has ended"]),
    ("```sh\nif\n```\n", ["the shell has ended"]),
    ("```sh\ncurl -sS https://nonesuch.amazonaws.com/\n```\n", ["it ended with 6", "resolve host"]),
])
def test_what_goes_wrong_is_explained(tmp_path, blocks, parts):
    done = lab(tmp_path, "# Wrong\n\nAbout.\n\n" + blocks)
    assert done.returncode == 1, done
    for part in parts:
        assert part in done.stderr, done.stderr
    # What is left to look at.
    assert any(name.startswith("cumulet-lab-mine") for name in os.listdir(tmp_path))
    assert "its folder:" in done.stdout


def test_a_program_that_is_not_there(tmp_path):
    done = lab(tmp_path, "# Needy\n\nAbout.\n\nNeeds: `aws`, `nonesuch-tool`.\n\n```sh\ntrue\n```\n")
    assert done.returncode == 1 and "nonesuch-tool" in done.stderr


def processes_with(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("last,code", [("true", 0), ("false", 1)])
def test_nothing_that_it_started_runs_on(tmp_path, last, code):
    """However it ended: in the background, in a session of its own, with a parent that has gone."""
    mark = f"LEFT_RUNNING={os.getpid()}-{code}"
    done = lab(tmp_path, "# Left\n\nAbout.\n\n```sh\nexport " + mark + "\nsleep 1000 &\nsetsid sleep 1001 &\n"
               "(sleep 1002 & setsid sh -c 'sleep 1003 & sleep 1004' &)\ncumulet up --ephemeral > line &\n"
               "while [ ! -s line ]; do sleep 0.05; done\n```\n\n```sh\n" + last + "\n```\n")
    assert done.returncode == code, done
    assert processes_with(mark) == []


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_one_leaves_nothing_running(tmp_path, with_signal):
    """Sent to the command alone, as `kill` does it; a terminal sends it to all."""
    mark = f"INTERRUPTED={os.getpid()}-{with_signal}"
    path = tmp_path / "mine.md"
    path.write_text("# Long\n\nAbout.\n\n```sh\nexport " + mark + "\nsetsid sleep 1000 &\ntouch "
                    f"{tmp_path}/there\nsleep 1001\n```\n")
    run = subprocess.Popen([binary(), "lab", "run", str(path), "--data", str(tmp_path / "none")], text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env=clean_env(PATH=PATH, TMPDIR=str(tmp_path), **dict([mark.split("=")])))
    wait_until(lambda: os.path.exists(tmp_path / "there"), "its step is running", 60)
    run.send_signal(with_signal)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 1 and "interrupted" in err, err
    assert processes_with(mark) == [], "its cloud has ended, too"
