"""In the place of LocalStack and MinIO: their pages, their variables, and scripts that fill a new cloud."""

import hashlib
import json
import os
import select
import signal
import subprocess
import urllib.request

import boto3
import pytest
from accounts import Account
from cloud import binary, clean_env, cumulet
from deadline import wait_until

ROOT = "000000000000"


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


def scripts(folder, stage="ready", **files):
    """`a_sh="..."` becomes ready.d/a.sh."""
    ready = folder / f"{stage}.d"
    ready.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (ready / name.replace("_", ".")).write_text(text)
    return str(folder)


def when_ready(cloud):
    wait_until(lambda: "Ready.\n" in cloud.log(), "Ready.", 30)
    status, text = get(cloud.endpoint + "/_localstack/init")
    assert status == 200
    said = json.loads(text)
    assert said["completed"] == {"BOOT": True, "START": True, "READY": True, "SHUTDOWN": False}
    return {script["name"]: script["state"] for script in said["scripts"]}


def test_pages_that_tools_look_for(shared):
    status, text = get(shared.endpoint + "/_localstack/health")
    said = json.loads(text)
    assert status == 200 and said["edition"] == "community" and said["version"]
    assert {"s3": "running", "iam": "running", "sts": "running"}.items() <= said["services"].items()
    assert "ec2" not in said["services"], "what is not served is not there"
    assert json.loads(get(shared.endpoint + "/_localstack/info")[1])["is_license_activated"] is False
    # A container calls it as its network does.
    request = urllib.request.Request(shared.endpoint + "/_localstack/health", headers={"Host": "localstack:4566"})
    assert get(request) == (status, text)
    for page in ("live", "ready", "cluster"):
        assert get(f"{shared.endpoint}/minio/health/{page}") == (200, "")
    assert json.loads(get(shared.endpoint + "/_localstack/init/ready")[1])["completed"] is True
    for page in ("/_localstack/init/never", "/_localstack/state"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(shared.endpoint + page)
        assert refused.value.code in (400, 404), "no page, so a bucket that cannot be"


def test_a_bucket_may_be_called_minio(account):
    account.s3.create_bucket(Bucket="minio")
    account.s3.put_object(Bucket="minio", Key="health/live", Body=b"mine")
    assert account.s3.get_object(Bucket="minio", Key="health/live")["Body"].read() == b"mine"
    account.s3.delete_object(Bucket="minio", Key="health/live")
    account.s3.delete_bucket(Bucket="minio")


def test_scripts_and_seeds_fill_a_new_cloud_once(own_cloud, tmp_path):
    python = (
        "import os, boto3\n"
        "s3 = boto3.client('s3', endpoint_url=os.environ['AWS_ENDPOINT_URL'])\n"
        "s3.put_object(Bucket='seeded', Key='python', Body=b'python')\n"
    )
    seed = [
        {"service": "s3", "operation": "CreateBucket", "input": {"Bucket": "seeded"}},
        {"service": "s3", "operation": "PutObject",
         "input": {"Bucket": "seeded", "Key": "text", "ContentType": "text/plain"}, "body": "seed"},
        {"service": "s3", "operation": "PutObject", "input": {"Bucket": "seeded", "Key": "file"},
         "file": "data.bin"},
        {"service": "s3", "operation": "PutBucketPolicy", "input": {"Bucket": "seeded", "Policy": json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                                                     "Resource": "arn:aws:s3:::seeded/*"}]})}},
        {"service": "iam", "operation": "CreateUser", "input": {"UserName": "seeded"}},
        {"service": "dynamodb", "operation": "CreateTable", "input": {
            "TableName": "seeded", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}]}},
    ]
    folder = scripts(tmp_path / "init", a_json=json.dumps(seed), b_py=python,
                     c_sh="awslocal s3 cp ready.txt s3://seeded/shell\n")
    (tmp_path / "init/ready.d/data.bin").write_bytes(b"\x00\xff" * 1000)
    (tmp_path / "init/ready.d/ready.txt").write_text("shell")
    env = {"CUMULET_INIT": folder}
    cloud = own_cloud(env=env)
    done = {"a.json": "SUCCESSFUL", "b.py": "SUCCESSFUL", "c.sh": "SUCCESSFUL"}
    assert when_ready(cloud) == done, cloud.log()
    account = Account(ROOT, cloud)
    read = lambda key: account.s3.get_object(Bucket="seeded", Key=key)["Body"].read()
    assert (read("text"), read("python"), read("shell")) == (b"seed", b"python", b"shell")
    assert read("file") == b"\x00\xff" * 1000
    assert account.s3.head_object(Bucket="seeded", Key="text")["ContentType"] == "text/plain"
    assert get(cloud.endpoint + "/seeded/text") == (200, "seed"), "a policy lets everybody read"
    assert account.iam.get_user(UserName="seeded")["User"]["UserName"] == "seeded"
    assert account.client("dynamodb").describe_table(TableName="seeded")["Table"]["TableName"] == "seeded"
    # Once: what was taken away since does not come back, and CreateBucket is no error.
    account.s3.delete_object(Bucket="seeded", Key="text")
    cloud.restart()
    wait_until(lambda: cloud.log().count("Ready.\n") == 2, "Ready. again", 30)
    assert when_ready(cloud) == done
    keys = [entry["Key"] for entry in account.s3.list_objects_v2(Bucket="seeded")["Contents"]]
    assert keys == ["file", "python", "shell"]


def test_what_fails_or_hangs_is_told_and_keeps_nothing_from_running(own_cloud, tmp_path):
    step = {"service": "s3", "operation": "CreateBucket", "input": {"Bucket": "Not A Name"}}
    folder = scripts(
        tmp_path / "init", a_sh="echo seen; exit 3\n", b_sh="sleep 600 & sleep 600\n",
        c_py="raise SystemExit(1)\n", d_json="[{", e_json=json.dumps([step]), f_json=json.dumps([step, 1]),
        g_json=json.dumps([{"service": "ec2", "operation": "RunInstances", "input": {"MinCount": 1, "MaxCount": 1}}]),
        z_json=json.dumps([{**step, "input": {"Bucket": "after-all"}}]),
    )
    cloud = own_cloud("--init", folder, "--init-timeout-s", "1")
    states = when_ready(cloud)
    assert states.pop("z.json") == "SUCCESSFUL"
    assert set(states.values()) == {"ERROR"} and len(states) == 7
    log = cloud.log()
    for part in ("seen", "a.sh: it failed (exit status: 3)", "b.sh: it did not end within 1 s",
                 "d.json: it is no JSON", "e.json: step 1, s3 CreateBucket: InvalidBucketName",
                 "f.json: step 1, s3 CreateBucket", "g.json: step 1, ec2 RunInstances: NotImplemented"):
        assert part in log, log
    Account(ROOT, cloud).s3.head_bucket(Bucket="after-all")


def test_json_that_is_no_seed_lies_beside_them(own_cloud, tmp_path):
    folder = scripts(
        tmp_path / "init", a_json=json.dumps([{"service": "s3", "operation": "CreateBucket", "input": {"Bucket": "seeded"}}]),
        b_sh="aws --endpoint-url $AWS_ENDPOINT_URL s3api put-bucket-tagging --bucket seeded --tagging file://tags.json\n",
        policy_json=json.dumps({"Version": "2012-10-17", "Statement": []}), list_json='[{"Key": "a"}]',
        tags_json=json.dumps({"TagSet": [{"Key": "from", "Value": "file"}]}), template_json="{{not yet}}",
    )
    cloud = own_cloud("--init", folder)
    assert when_ready(cloud) == {"a.json": "SUCCESSFUL", "b.sh": "SUCCESSFUL"}, cloud.log()
    tags = Account(ROOT, cloud).s3.get_bucket_tagging(Bucket="seeded")["TagSet"]
    assert tags == [{"Key": "from", "Value": "file"}]
    for name in ("policy.json", "list.json", "tags.json", "template.json"):
        assert cloud.log().count(f"{name} is no seed (a list of objects with service and operation)") == 1, cloud.log()


def test_each_stage_has_its_place(own_cloud, tmp_path):
    folder = scripts(tmp_path / "init", "boot", a_sh="echo boot >> ../order\n", b_json='[{"service": "s3", "operation": "ListBuckets"}]')
    scripts(tmp_path / "init", "start", a_sh="echo start >> ../order\n")
    scripts(tmp_path / "init", "ready", a_sh="echo ready >> ../order\n")
    # The cloud answers it still.
    scripts(tmp_path / "init", "shutdown", a_sh="echo shutdown >> ../order\nawslocal s3 ls > ../buckets && echo ok >> ../order\n")
    cloud = own_cloud("--init", folder)
    wait_until(lambda: "Ready.\n" in cloud.log(), "Ready.", 30)
    Account(ROOT, cloud).s3.create_bucket(Bucket="there-at-the-end")
    said = json.loads(get(cloud.endpoint + "/_localstack/init")[1])
    assert [(s["stage"], s["name"], s["state"]) for s in said["scripts"]] == [
        ("BOOT", "a.sh", "SUCCESSFUL"), ("BOOT", "b.json", "ERROR"), ("START", "a.sh", "SUCCESSFUL"),
        ("READY", "a.sh", "SUCCESSFUL"), ("SHUTDOWN", "a.sh", "UNKNOWN")]
    assert "b.json: a seed needs a cloud that answers: it belongs into ready.d" in cloud.log()
    order = tmp_path / "init/order"
    assert order.read_text().split() == ["boot", "start", "ready"]
    assert cloud.terminate() == 0
    assert order.read_text().split() == ["boot", "start", "ready", "shutdown", "ok"]
    assert "there-at-the-end" in (tmp_path / "init/buckets").read_text()
    # Those that fill it run once, the others each time.
    cloud.start()
    wait_until(lambda: cloud.log().count("Ready.\n") == 2, "Ready. again", 30)
    assert order.read_text().split()[5:] == ["boot", "start"]


def gate(folder):
    """A script that says that it runs, and ends when it is let."""
    os.mkfifo(folder / "gate")
    return f"touch {folder}/runs\nread x < {folder}/gate\n"


def test_nobody_hears_that_it_is_ready_before_the_scripts_have_ended(own_cloud, tmp_path):
    text = gate(tmp_path) + "echo seeded | awslocal s3 cp - s3://early/k\n"
    bucket = [{"service": "s3", "operation": "CreateBucket", "input": {"Bucket": "early"}}]
    folder = scripts(tmp_path / "init", a_json=json.dumps(bucket), b_sh=text, c_sh="exit 3\n")
    ready = tmp_path / "ready.json"
    process = subprocess.Popen(
        [binary(), "up", "--ephemeral", "--docker-socket", "none", "--init", folder, "--ready-file", str(ready)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=clean_env(TMPDIR=str(tmp_path)))
    try:
        wait_until((tmp_path / "runs").exists, "the script runs", 30)
        assert select.select([process.stdout], [], [], 0)[0] == [] and not ready.exists()
        (tmp_path / "gate").write_text("on\n")
        said = json.loads(process.stdout.readline())
        assert json.loads(ready.read_text())["url"] == said["url"]
        assert said["failed"] == json.loads(ready.read_text())["failed"] == ["c.sh"]
        s3 = boto3.client("s3", endpoint_url=said["url"], region_name="us-east-1",
                          aws_access_key_id="test", aws_secret_access_key="test")
        assert s3.get_object(Bucket="early", Key="k")["Body"].read() == b"seeded\n"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_the_end_waits_for_no_script(own_cloud, tmp_path):
    folder = scripts(tmp_path / "init", a_sh=f"echo $$ > {tmp_path}/pid\n" + gate(tmp_path), b_sh=f"touch {tmp_path}/never\n")
    cloud = own_cloud("--init", folder)
    wait_until((tmp_path / "runs").exists, "the script runs", 30)
    pid = int((tmp_path / "pid").read_text())
    assert cloud.terminate() == 0
    assert not os.path.exists(f"/proc/{pid}") and not (tmp_path / "never").exists()
    assert "a.sh: it was stopped, since the cloud ends" in cloud.log() and "Ready." not in cloud.log()


def test_a_reset_lets_seeds_run_again_and_a_snapshot_does_not(own_cloud, tmp_path):
    bucket = [{"service": "s3", "operation": "CreateBucket", "input": {"Bucket": "seeded"}}]
    folder = scripts(tmp_path / "init", a_json=json.dumps(bucket))
    cloud = own_cloud("--init", folder)
    names = lambda one: [bucket["Name"] for bucket in Account(ROOT, one).s3.list_buckets()["Buckets"]]

    def starts(one, times):
        wait_until(lambda: one.log().count("Ready.\n") == times, "Ready. again", 30)
        assert when_ready(one) == {"a.json": "SUCCESSFUL"}, one.log()

    starts(cloud, 1)
    for times, what in ((2, []), (3, ["--account", ROOT])):
        assert cumulet("reset", "--yes", "--data", cloud.data, *what).returncode == 0
        assert names(cloud) == []
        cloud.restart()
        starts(cloud, times)
        assert names(cloud) == ["seeded"]
    # What is gone on purpose stays gone in what comes of it.
    Account(ROOT, cloud).s3.delete_bucket(Bucket="seeded")
    assert cumulet("snapshot", "fork", "--to", str(tmp_path / "fork"), "--data", cloud.data).returncode == 0
    fork = own_cloud("--init", folder, data=tmp_path / "fork")
    starts(fork, 1)
    assert names(fork) == []


def test_what_an_older_build_noted_is_known(own_cloud, tmp_path):
    """It kept a file beside the data."""
    text = json.dumps([{"service": "s3", "operation": "CreateBucket", "input": {"Bucket": "seeded"}}])
    folder = scripts(tmp_path / "init", a_json=text)
    first = own_cloud(data=tmp_path / "data")
    wait_until(lambda: "Ready.\n" in first.log(), "Ready.", 30)
    assert first.terminate() == 0
    (tmp_path / "data/init.done").write_text(f"{hashlib.md5(text.encode()).hexdigest()} {folder}/ready.d/a.json\n")
    cloud = own_cloud("--init", folder, data=tmp_path / "data")
    wait_until(lambda: cloud.log().count("Ready.\n") == 2, "Ready. again", 30)
    assert when_ready(cloud) == {"a.json": "SUCCESSFUL"}
    assert Account(ROOT, cloud).s3.list_buckets()["Buckets"] == []


def test_what_a_script_needs_and_is_not_there_is_told(own_cloud, tmp_path):
    folder = scripts(tmp_path / "init", a_sh="true\n", b_py="", c_sh="#!/usr/bin/env nosuchshell\n", d_sh="#!/no/such/shell\n")
    os.chmod(tmp_path / "init/ready.d/d.sh", 0o755)
    cloud = own_cloud("--init", folder, env={"PATH": "/nowhere"})
    assert set(when_ready(cloud).values()) == {"ERROR"}
    for name, program in (("a.sh", "sh"), ("b.py", "python3"), ("d.sh", "/no/such/shell")):
        assert f"{name}: there is no {program} here to run it. Write it as a seed" in cloud.log(), cloud.log()


def test_localstacks_variables(own_cloud):
    env = {"CUMULET_DROP_IN": "localstack", "DEFAULT_REGION": "eu-west-1", "SERVICES": "s3,sqs",
           "EXTRA_CORS_ALLOWED_ORIGINS": "http://localhost:3000"}
    cloud = own_cloud(env=env)
    wait_until(lambda: "Ready.\n" in cloud.log(), "Ready.", 30)
    log = cloud.log()
    assert "region = eu-west-1  (DEFAULT_REGION)" in log
    assert "SERVICES is not needed: every service is there" in log
    assert "in the place of LocalStack" in log


def test_minios_variables(own_cloud):
    env = {"CUMULET_DROP_IN": "minio", "MINIO_ROOT_USER": "admin", "MINIO_ROOT_PASSWORD": "long-enough"}
    cloud = own_cloud(env=env)
    s3 = boto3.client("s3", endpoint_url=cloud.endpoint, region_name="us-east-1",
                      aws_access_key_id="admin", aws_secret_access_key="long-enough")
    s3.create_bucket(Bucket="from-minio")
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["from-minio"]
    assert "long-enough" not in cloud.log()


def test_an_open_cloud_says_so(tmp_path):
    refused = cumulet("up", "--data", str(tmp_path / "d"), "--listen", "0.0.0.0:0")
    assert refused.returncode == 2 and "--auth open" in refused.stderr
