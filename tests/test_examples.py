"""The fixtures that people are told to copy, as they stand in `examples/`."""

import os
import subprocess
import sys

import pytest
from accounts import AWS
from cloud import binary, clean_env

pytestmark = pytest.mark.unkilled

EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples")


@pytest.fixture
def env(tmp_path):
    """`cumulet` and `aws` are on the path, and no credentials of the person who runs the tests."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cumulet").symlink_to(binary())
    path = f"{tmp_path}/bin:{os.path.dirname(AWS)}:{os.environ['PATH']}"
    return clean_env(PATH=path, TMPDIR=str(tmp_path), AWS_CONFIG_FILE="/nonexistent",
                     AWS_SHARED_CREDENTIALS_FILE="/nonexistent", PYTHONDONTWRITEBYTECODE="1")


def run(command, env, folder):
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pytest(env, tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null",
               "--rootdir", ".", "."]
    assert "4 passed" in run(command, env, os.path.join(EXAMPLES, "pytest"))
    assert os.listdir(tmp_path) == ["bin"], "clouds have ended and left nothing"


def test_rust(env, tmp_path):
    home = {name: os.environ[name] for name in ("CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN") if name in os.environ}
    command = ["cargo", "test", "--locked", "--offline", "--quiet", "--target-dir", str(tmp_path / "target")]
    seen = run(command, {**env, **home}, os.path.join(EXAMPLES, "rust"))
    assert "2 passed" in seen, seen
