"""The image that is given to others, on our own engine: a published port, LocalStack's modules, a restart."""

import json
import os
import subprocess
import sys

import pytest
from accounts import Account
from cloud import binary
from containers import port_of
from deadline import wait_until

pytestmark = pytest.mark.unkilled

HERE = os.path.dirname(os.path.abspath(__file__))
# Without the reaper, whose image is pulled from a registry.
ALONE = {"TESTCONTAINERS_RYUK_DISABLED": "true"}


class Published:
    """A cloud behind a port, as an `Account` needs it."""

    attempts = 5

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def watch(self, client):
        return client


@pytest.fixture(scope="module")
def loaded(engine, tmp_path_factory):
    """The engine with an image of the program that is tested, by the code that makes those of a release."""
    folder = tmp_path_factory.mktemp("image")
    program, archive = str(folder / "cumulet"), str(folder / "image.tar")
    subprocess.run(["strip", "-o", program, binary()], check=True)
    subprocess.run([os.environ["CUMULET_XTASK"], "image", program, archive], check=True, timeout=60)
    assert "Loaded image: cumulet:latest" in engine.docker("load", "-i", archive)
    return engine


def test_it_answers_through_a_published_port_to_other_networks(loaded):
    engine = loaded
    engine.docker("run", "-d", "--name", "cloud", "-p", "0:4566", "cumulet")
    wait_until(lambda: "Ready." in engine.docker("logs", "cloud"), "Ready.", 30)
    port = port_of(engine.docker("port", "cloud", "4566"))
    s3 = Account("000000000000", Published(f"http://127.0.0.1:{port}")).s3
    s3.create_bucket(Bucket="inside")
    s3.put_object(Bucket="inside", Key="k", Body=b"kept")
    assert s3.get_object(Bucket="inside", Key="k")["Body"].read() == b"kept"
    # Another container, in another network: it comes by the port of this machine.
    engine.docker("network", "create", "elsewhere")
    gateway = json.loads(engine.docker("network", "inspect", "elsewhere"))[0]["IPAM"]["Config"][0]["Gateway"]
    seen = engine.docker("run", "--rm", "--network", "elsewhere", "busybox", "wget", "-qO-",
                         f"http://{gateway}:{port}/_localstack/health")
    assert json.loads(seen)["services"]["s3"] == "running"
    # It is no container engine, says nothing of an account, and ends in good order.
    engine.docker("stop", "-t", "10", "cloud")
    assert engine.inspect("cloud")["State"]["ExitCode"] == 0
    engine.docker("start", "cloud")
    port = port_of(engine.docker("port", "cloud", "4566"))
    wait_until(lambda: engine.docker("logs", "cloud").count("Ready.") == 2, "Ready. again", 30)
    s3 = Account("000000000000", Published(f"http://127.0.0.1:{port}")).s3
    assert s3.get_object(Bucket="inside", Key="k")["Body"].read() == b"kept"
    engine.docker("rm", "-f", "-v", "cloud")
    engine.docker("network", "rm", "elsewhere")


def test_the_file_for_compose(loaded, tmp_path):
    with open(os.path.join(HERE, "..", "dist", "compose.yaml"), encoding="utf-8") as file:
        text = file.read()
    # A port of its own, since the usual one may be somebody's.
    assert '"127.0.0.1:4566:4566"' in text
    (tmp_path / "compose.yaml").write_text(text.replace("127.0.0.1:4566:4566", "127.0.0.1::4566"))

    def compose(*words):
        done = subprocess.run(["docker-compose", "--no-ansi", "-f", "compose.yaml", "-p", "papers", *words], cwd=tmp_path,
                              env=loaded.env, timeout=120,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        return done.stdout.strip()

    compose("up", "-d")
    wait_until(lambda: "Ready." in compose("logs", "cloud"), "Ready.", 30)
    s3 = Account("000000000000", Published(f"http://{compose('port', 'cloud', '4566')}")).s3
    s3.create_bucket(Bucket="composed")
    compose("restart")
    wait_until(lambda: compose("logs", "cloud").count("Ready.") == 2, "Ready. again", 30)
    s3 = Account("000000000000", Published(f"http://{compose('port', 'cloud', '4566')}")).s3
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["composed"]
    compose("down", "-v")


def test_nothing_of_a_distribution_is_in_it(loaded):
    engine = loaded
    told = json.loads(engine.docker("image", "inspect", "cumulet"))[0]
    assert told["Config"]["ExposedPorts"] == {"4566/tcp": {}} and told["RootFS"]["Layers"]
    assert engine.docker("run", "--rm", "cumulet", "version").startswith("cumulet ")
    engine.docker("run", "--rm", "--entrypoint", "/bin/sh", "cumulet", "-c", "true", code=127)


def test_localstacks_module_of_testcontainers_for_python(loaded):
    script = (
        "from testcontainers.localstack import LocalStackContainer\n"
        "with LocalStackContainer(image='cumulet:latest', region_name='eu-west-1') as cloud:\n"
        "    s3 = cloud.get_client('s3')\n"
        "    s3.create_bucket(Bucket='b', CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})\n"
        "    table = cloud.get_client('dynamodb')\n"
        "    print(cloud.get_url().startswith('http://'), table.list_tables()['TableNames'])\n"
    ).replace("Bucket='b'", "Bucket='made-by-testcontainers'")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True,
                          timeout=120, env={**loaded.env, **ALONE}, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "True []"), done.stdout + done.stderr
    assert loaded.docker("ps", "-aq") == ""


def test_localstacks_module_of_testcontainers_for_node(loaded):
    done = subprocess.run(["node", "localstack.mjs"], cwd=os.path.join(HERE, "node"), capture_output=True,
                          text=True, timeout=120, env={**loaded.env, **ALONE}, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "hello from node"), done.stdout + done.stderr
    assert loaded.docker("ps", "-aq") == ""
