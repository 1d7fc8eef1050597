"""The image that is given to others, on our own engine: a published port, LocalStack's modules, a restart."""

import json
import os
import re
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


def run(engine, *args, name="cloud", image="cumulet", **how):
    """A cloud in a container; gives S3 of it once its log says this."""
    ready = how.pop("ready", "Ready.")
    engine.docker("run", "-d", "--name", name, "-p", "0:4566", *args, image)
    wait_until(lambda: ready in said(engine, name), ready, 30)
    port = port_of(engine.docker("port", name, how.pop("port", "4566")))
    return Account("000000000000", Published(f"http://127.0.0.1:{port}")).s3


def said(engine, name="cloud"):
    """All that it has said, on both ways."""
    return engine.docker("logs", name) + engine.stderr


def test_scripts_and_seeds_that_are_mounted(loaded, tmp_path):
    """What needs nothing runs; what needs a shell says how to get one, and does there."""
    ready = tmp_path / "init" / "ready.d"
    ready.mkdir(parents=True)
    bucket = [{"service": "s3", "operation": "CreateBucket", "input": {"Bucket": "seeded"}}]
    (ready / "a.json").write_text(json.dumps(bucket))
    (ready / "b.sh").write_text("echo told > told\n")
    mount = ["-v", f"{tmp_path}/init:/etc/localstack/init"]
    s3 = run(loaded, *mount)
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["seeded"]
    log = said(loaded)
    assert "b.sh: there is no sh here to run it. Write it as a seed" in log and "COPY --from=cumulet" in log, log
    loaded.docker("rm", "-f", "-v", "cloud")
    with open(os.path.join(HERE, "..", "docs", "book", "src", "from-localstack.md"), encoding="utf-8") as file:
        recipe = re.search(r"```dockerfile\n(.*?)```", file.read(), re.S).group(1)
    # A smaller base; and the program under test is not static, as that of a release is.
    head = "FROM python:3-slim\nRUN pip install --no-cache-dir awscli boto3\n"
    assert recipe.startswith(head)
    (tmp_path / "Dockerfile").write_text(recipe.replace(
        head, "FROM busybox\nCOPY --from=cumulet:latest /lib /lib\nCOPY --from=cumulet:latest /lib64 /lib64\n"))
    loaded.docker("build", "-q", "-t", "with-shell", str(tmp_path))
    run(loaded, *mount, image="with-shell")
    assert (ready / "told").read_text() == "told\n" and "there is no sh" not in said(loaded)
    loaded.docker("rm", "-f", "-v", "cloud")


@pytest.mark.parametrize("name, variable", [("GATEWAY_LISTEN", "0.0.0.0:4577,0.0.0.0:4578"), ("EDGE_PORT", "4577")])
def test_where_localstacks_variables_want_it(loaded, name, variable):
    more = ["-p", "0:4577", "-p", "0:4578"]
    s3 = run(loaded, "-e", f"{name}={variable}", *more, port="4577")
    s3.create_bucket(Bucket="moved")
    if "," in variable:
        port = port_of(loaded.docker("port", "cloud", "4578"))
        other = Account("000000000000", Published(f"http://127.0.0.1:{port}")).s3
        assert [one["Name"] for one in other.list_buckets()["Buckets"]] == ["moved"]
        assert "also on 0.0.0.0:4578" in said(loaded)
    loaded.docker("rm", "-f", "-v", "cloud")


@pytest.mark.parametrize("volume, more", [
    ("/var/lib/localstack", []), ("/data", ["-e", "CUMULET_DROP_IN=minio", "-e", "MINIO_ROOT_USER=test", "-e", "MINIO_ROOT_PASSWORD=long-enough"])])
def test_data_is_kept_in_the_volume_of_a_compose_file_of_theirs(loaded, tmp_path, volume, more):
    for _ in range(2):
        # A new container each time, and its own volumes gone.
        s3 = run(loaded, "-v", f"{tmp_path}/volume:{volume}", *more)
        if not s3.list_buckets()["Buckets"]:
            s3.create_bucket(Bucket="kept-outside")
        assert f"(the volume at {volume})" in said(loaded)
        loaded.docker("rm", "-f", "-v", "cloud")
    s3 = run(loaded, "-v", f"{tmp_path}/volume:{volume}", *more)
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["kept-outside"]
    loaded.docker("rm", "-f", "-v", "cloud")


def test_who_depends_on_it_starts_when_it_is_filled(loaded, tmp_path):
    ready = tmp_path / "init" / "ready.d"
    ready.mkdir(parents=True)
    (ready / "a.json").write_text(json.dumps([
        {"service": "s3", "operation": "CreateBucket", "input": {"Bucket": f"filled-{number}"}} for number in range(50)]))
    (ready / "z.sh").write_text("")
    (tmp_path / "compose.yaml").write_text("""
services:
  cloud:
    image: cumulet:latest
    volumes: ["./init:/etc/localstack/init"]
  app:
    image: busybox
    command: wget -qO- http://cloud:4566/_localstack/init/ready
    depends_on: {cloud: {condition: service_healthy}}
""")

    def compose(*words):
        done = subprocess.run(["docker-compose", "--no-ansi", "-f", "compose.yaml", "-p", "healthy", *words], cwd=tmp_path,
                              env=loaded.env, timeout=120, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    compose("up", "-d")
    try:
        loaded.docker("wait", "healthy_app_1")
        seen = json.loads(loaded.docker("logs", "healthy_app_1") or loaded.stderr)
        assert seen["completed"] is True and [one["state"] for one in seen["scripts"]] == ["SUCCESSFUL", "ERROR"]
        assert loaded.inspect("healthy_cloud_1")["State"]["Health"]["Status"] == "healthy"
    finally:
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
