"""In the place of LocalStack and MinIO: their pages, their variables, and scripts that fill a new cloud."""

import json
import urllib.request

import boto3
import pytest
from accounts import Account
from cloud import cumulet
from deadline import wait_until

ROOT = "000000000000"


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


def scripts(folder, **files):
    """`a_sh="..."` becomes ready.d/a.sh."""
    ready = folder / "ready.d"
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
        c_py="raise SystemExit(1)\n", d_json="{", e_json=json.dumps([step]), f_json="[1]",
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
                 "f.json: it must be a list", "g.json: step 1, ec2 RunInstances: NotImplemented"):
        assert part in log, log
    Account(ROOT, cloud).s3.head_bucket(Bucket="after-all")


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
