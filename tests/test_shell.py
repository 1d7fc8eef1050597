"""`cumulet shell`: clients that are told nothing reach this cloud, and the host is as it was."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest
from accounts import AWS, Account
from cloud import Cloud, binary, clean_env, cumulet
from deadline import wait_until

pytestmark = pytest.mark.unkilled

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.geteuid() == 0
# Only root may have the ports of names on the host itself.
NETWORKS = ["own", "host"] if ROOT else ["own"]
NOBODY = 65534


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    cloud = Cloud(tmp_path_factory.mktemp("shell") / "data", ["--dns-forward", "none"])
    cloud.attempts, cloud.watch, cloud.before_request = 1, lambda _: None, lambda: None
    yield cloud.start()
    cloud.discard()


numbers = iter(range(700000000100, 700000000200))


@pytest.fixture
def own(cloud):
    return Account(str(next(numbers)), cloud)


def shell(account, *words, network="own", ok=True, env=None, options=()):
    """Runs the words in a shell as root of the account."""
    done = subprocess.run(
        [binary(), "shell", "--data", account.cloud.data, "--network", network,
         "--account", account.id, *options, "--", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        env=clean_env(PYTHONDONTWRITEBYTECODE="1", AWS_PAGER="", HOME="/nonexistent", **(env or {})))
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("network", NETWORKS)
def test_aws_cli(own, network):
    bucket = own.bucket_name("dotted.bucket")
    lines = f"""
      {AWS} s3 mb s3://{bucket} && echo hello | {AWS} s3 cp - s3://{bucket}/k
      {AWS} s3 cp s3://{bucket}/k - && {AWS} sts get-caller-identity --query Account --output text
    """
    done = shell(own, "sh", "-c", lines, network=network)
    assert done.stdout.split()[-2:] == ["hello", own.id]


@pytest.mark.parametrize("network", NETWORKS)
def test_curl(own, network):
    bucket = own.new_bucket()
    own.s3.put_object(Bucket=bucket, Key="k", Body=b"public", ACL="public-read")
    for url, part in [
        ("https://s3.us-east-1.amazonaws.com/", "<Code>AccessDenied</Code>"),
        (f"https://{bucket}.s3.amazonaws.com/k", "public"),
        (f"http://{bucket}.s3-us-west-2.amazonaws.com/k", "public"),
        (f"https://{bucket}.s3.us-east-1.localhost.localstack.cloud/k", "public"),
    ]:
        assert part in shell(own, "curl", "-sS", url, network=network).stdout
    # As the system's own certificates too, without a variable.
    plain = shell(own, "env", "-u", "SSL_CERT_FILE", "-u", "CURL_CA_BUNDLE", "curl", "-sS",
                  f"https://{bucket}.s3.amazonaws.com/k", network=network)
    assert plain.stdout == "public"
    nowhere = shell(own, "curl", "-sS", "https://nonesuch.us-east-1.amazonaws.com/", network=network,
                    ok=False)
    assert nowhere.returncode == 6 and "resolve" in nowhere.stderr


BOTO3 = """
import collections.abc
for name in dir(collections.abc):  # a Python of 2018 had them here
    if not hasattr(collections, name): setattr(collections, name, getattr(collections.abc, name))
import boto3, os
s3 = boto3.client("s3")
urls = []
s3.meta.events.register("before-send.s3" if boto3.__version__ > "1.9" else "request-created.s3",
                        lambda request, **_: urls.append(request.url))
bucket = os.environ["BUCKET"]
s3.create_bucket(Bucket=bucket)
s3.put_object(Bucket=bucket, Key="a b/k", Body=b"x" * 100_000)
assert s3.get_object(Bucket=bucket, Key="a b/k")["Body"].read() == b"x" * 100_000
assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
assert boto3.client("sts").get_caller_identity()["Account"] == os.environ["AWS_ACCESS_KEY_ID"]
boto3.client("iam").create_user(UserName="u")
print(boto3.__version__, urls[-1])
"""


@pytest.mark.parametrize("network", NETWORKS)
def test_boto3_of_today(own, network):
    bucket = own.bucket_name()
    done = shell(own, sys.executable, "-c", BOTO3, network=network, env={"BUCKET": bucket})
    # In virtual-host style, as it does by itself.
    assert re.match(rf"1\.4\d\.\d+ https://{bucket}\.s3\.amazonaws\.com/", done.stdout), done.stdout


def test_boto3_of_2018(own):
    bucket = own.bucket_name()
    old = os.path.join(os.path.dirname(os.path.dirname(sys.executable)), "boto3-2018")
    done = shell(own, sys.executable, "-c", BOTO3, env={"BUCKET": bucket, "PYTHONPATH": old})
    assert done.stdout.startswith(f"1.7.16 https://{bucket}.s3.amazonaws.com/"), done.stdout


@pytest.mark.parametrize("network", NETWORKS)
def test_both_node_sdks(own, network):
    env = {"BUCKET": own.bucket_name(), "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE": "1"}
    done = shell(own, "node", os.path.join(HERE, "node", "names.mjs"), network=network, env=env)
    assert done.stdout.strip() == "both"


def test_a_client_in_go(own):
    """rclone: the AWS SDK for Go, version 1, which knows no AWS_ENDPOINT_URL."""
    bucket = own.new_bucket()
    lines = f"""
      cd "$(mktemp -d)" && mkdir from && echo one > from/1 && echo two > from/2
      export RCLONE_CONFIG_R_TYPE=s3 RCLONE_CONFIG_R_PROVIDER=AWS RCLONE_CONFIG_R_ENV_AUTH=true
      rclone --config "" -q copy from r:{bucket}/d && rclone --config "" -q cat r:{bucket}/d
    """
    # Its own transport is none that the SDK can give AWS_CA_BUNDLE to; the system's are enough for it.
    done = shell(own, "env", "-u", "AWS_CA_BUNDLE", "sh", "-ec", lines)
    assert sorted(done.stdout.split()) == ["one", "two"]


def test_what_would_lead_elsewhere_is_taken_away(own):
    env = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
           "AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "x", "NO_PROXY": "a.test"}
    done = shell(own, "env", env=env)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert not {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"} & set(seen)
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:1 counts for nothing in here" in done.stderr, done.stderr
    assert "counts for nothing" not in shell(own, "true").stderr
    assert seen["NO_PROXY"].startswith("a.test,") and ".amazonaws.com" in seen["NO_PROXY"]
    assert seen["AWS_ACCESS_KEY_ID"] == own.id and seen["AWS_REGION"] == "us-east-1"


def test_the_commands_own_code(own, tmp_path):
    assert shell(own, "sh", "-c", "exit 7", ok=False).returncode == 7
    assert shell(own, "sh", "-c", "kill -9 $$", ok=False).returncode == 137
    missing = shell(own, "/nonexistent/x", ok=False)
    assert missing.returncode == 127 and "/nonexistent/x" in missing.stderr
    assert shell(own, "sh", "-c", "cat; echo $0 $1 $2", "a", "-b", "--").stdout == "a -b --\n"


def test_the_end_ends_the_command(own, tmp_path):
    mark = tmp_path / "pid"
    process = subprocess.Popen(
        [binary(), "shell", "--data", own.cloud.data, "--network", "own", "--", "sh", "-c",
         f"echo $$ > {mark}.new; mv {mark}.new {mark}; exec sleep 600"],
        env=clean_env(), start_new_session=True)
    wait_until(mark.exists, "it runs")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    pid = int(mark.read_text())
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "it is gone")


@pytest.mark.parametrize("network", NETWORKS)
def test_the_host_stays_as_it_is(own, network):
    paths = ["/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/hosts",
             "/etc/ssl/certs/ca-certificates.crt"]

    def state():
        return [open(path, "rb").read() if os.path.exists(path) else None for path in paths]

    before = state()
    done = shell(own, "sh", "-c", "cat /etc/resolv.conf; echo $SSL_CERT_FILE; cat /etc/hosts",
                 network=network)
    assert "cumulet shell" in done.stdout
    folder = os.path.dirname(re.search(r"^/.*ca-bundle.pem$", done.stdout, re.MULTILINE).group())
    assert not os.path.exists(folder)
    assert state() == before
    with open("/etc/hosts", encoding="utf-8") as file:
        assert file.read() in done.stdout


def test_without_a_cloud(tmp_path):
    done = cumulet("shell", "--data", tmp_path, "--", "true")
    assert done.returncode == 1 and "cumulet up" in done.stderr


def test_a_person_at_a_terminal(own):
    child, terminal = pty.fork()
    if child == 0:
        os.execve(binary(), ["cumulet", "shell", "--data", own.cloud.data, "--network", "own"],
                  clean_env(SHELL="/bin/sh", PS1="> "))
    with os.fdopen(terminal, "r+b", buffering=0) as screen:
        screen.write(b"echo seen=$CUMULET_SHELL\nexit 3\n")
        text = b""
        try:
            while chunk := screen.read(1000):
                text += chunk
        except OSError:
            pass
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    assert b"names of AWS" in text and b"seen=1" in text, text


def test_as_a_normal_user():
    """By way of a user namespace; root becomes nobody for it."""
    folder = tempfile.mkdtemp(prefix="cumulet-user-")
    try:
        program = shutil.copy(binary(), folder)
        as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if ROOT else {}
        home = os.path.join(folder, "home")
        os.mkdir(home)
        os.chmod(folder, 0o755)
        if ROOT:
            os.chown(home, NOBODY, NOBODY)
        env = clean_env(HOME=home)
        up = subprocess.Popen([program, "up", "--listen", "127.0.0.1:0", "--dns-forward", "none",
                               "--ready-file", os.path.join(home, "ready")], env=env,
                              stdout=subprocess.DEVNULL, **as_user)
        try:
            wait_until(lambda: os.path.exists(os.path.join(home, "ready")), "it runs")
            lines = "id -u; curl -sS https://photos.s3.amazonaws.com/; grep CapEff /proc/self/status"
            done = subprocess.run([program, "shell", "--", "sh", "-c", lines], env=env, timeout=60,
                                  capture_output=True, text=True, check=False, **as_user)
            assert done.returncode == 0, done.stderr
            assert done.stdout.split()[0] == str(NOBODY if ROOT else os.geteuid())
            assert "<Code>NoSuchBucket</Code>" in done.stdout
            # The command has no more rights than the person had.
            assert int(done.stdout.split()[-1], 16) == 0
        finally:
            up.terminate()
            up.wait(20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_where_the_ports_are_taken(tmp_path):
    """A network of its own, out of which the usual ports lead, and those that are asked for."""
    script = """
      grep -c : /proc/net/dev
      curl -sS https://s3.us-east-1.amazonaws.com/ | grep -o AccessDenied
      curl -sS $MAIN/health
      curl -sS http://www.example.com/
      curl -sS http://127.0.0.1:5999/
      curl -sS http://127.0.0.1:5998/ || echo refused $?
    """
    namespace = ["unshare", "-n"] if ROOT else ["unshare", "-Urn"]
    outer = f'ip link set lo up && ip addr add 192.0.2.7/32 dev lo && exec "{sys.executable}" ' \
            'shell_outer.py "$0" "$1"'
    done = subprocess.run([*namespace, "sh", "-c", outer, str(tmp_path), script], cwd=HERE,
                          capture_output=True, text=True, timeout=100, check=False)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert lines[:2] == ["1", "AccessDenied"], done
    assert lines[2].startswith('{"status":"ok"') and lines[2].endswith("page of 192.0.2.7:80"), done
    assert lines[3:5] == ["page of 127.0.0.1:5999", "refused 7"] and lines[-1] == "0", done
