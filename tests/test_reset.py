"""`cumulet reset`: the cloud, or one account of it, empty all at once; a crash leaves all or nothing."""

import http.client
import os
import pty
import random
import subprocess
import threading
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from accounts import Account, allow, refused
from cloud import binary, cumulet
from containers import Engine
from deadline import wait_until

ROOT = "000000000000"
OTHER = "111122223333"


def reset(cloud, *words, env=None):
    return cumulet("reset", "--yes", *words, "--data", cloud.data, env=env)


def fill(account, stem):
    """Something of everything; gives the bucket's name and a user's key."""
    s3, dynamodb = account.s3, account.dynamodb
    bucket = f"{stem}-{account.id}"
    s3.create_bucket(Bucket=bucket)
    for key, size in (("row", 10), ("segment", 100_000), ("file", 3_000_000)):
        s3.put_object(Bucket=bucket, Key=key, Body=os.urandom(size))
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=bucket, Key="file", Body=os.urandom(2_000_000))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=os.urandom(5_500_000))
    dynamodb.create_table(
        TableName="things", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}])
    dynamodb.put_item(TableName="things", Item={"k": {"S": "x"}})
    key = account.new_user("somebody", allow("s3:*"))
    account.iam.create_account_alias(AccountAlias=f"{stem}-{account.id}")
    return bucket, key


def things(account):
    return (
        [b["Name"] for b in account.s3.list_buckets()["Buckets"]],
        account.dynamodb.list_tables()["TableNames"],
        [u["UserName"] for u in account.iam.list_users()["Users"]],
        account.iam.list_account_aliases()["AccountAliases"],
    )


def blob_bytes(cloud):
    """Of files of their own; some may go while they are looked at."""
    total = 0
    for folder, _, names in os.walk(f"{cloud.data}/blobs"):
        for name in names if "segment" not in folder else []:
            try:
                total += os.path.getsize(os.path.join(folder, name))
            except FileNotFoundError:
                pass
    return total


NOTHING = ([], [], [], [])


def test_everything_goes_and_the_cloud_goes_on(own_cloud):
    cloud = own_cloud()
    one, two = Account(ROOT, cloud), Account(OTHER, cloud)
    bucket, key = fill(one, "one")
    fill(two, "two")
    assert cumulet("clock", "advance", "1d", "--data", cloud.data).returncode == 0
    done = reset(cloud)
    assert done.returncode == 0 and "is empty" in done.stdout, done
    assert things(one) == things(two) == NOTHING
    with refused("InvalidAccessKeyId"):
        one.client("s3", key=key).list_buckets()
    with refused("NoSuchBucket"):
        one.s3.get_object(Bucket=bucket, Key="row")
    # It is as a new one, names and all, and what is made now stays.
    fill(one, "one")
    cloud.restart()
    assert things(one) == ([bucket], ["things"], ["somebody"], [bucket])
    # The trail and the clock are no contents of the cloud.
    events = cumulet("events", "--data", cloud.data, "--limit", "1000").stdout
    assert "ResetCloud" in events and events.count("CreateBucket") == 3, events
    assert "ahead" not in events
    shown = cumulet("clock", "--data", cloud.data).stdout.split()
    assert shown[0][:10] != shown[-1][:10], "the clock stays where it was put"


def test_bytes_go_too(own_cloud):
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    fill(account, "bytes")
    assert blob_bytes(cloud) > 10_000_000
    assert reset(cloud).returncode == 0
    wait_until(lambda: blob_bytes(cloud) == 0, "no bytes are left", 30)
    fill(account, "bytes")
    assert reset(cloud, "--account", ROOT).returncode == 0
    wait_until(lambda: blob_bytes(cloud) == 0, "no bytes are left", 30)
    cloud.terminate()
    checked = cumulet("doctor", "--data", cloud.data)
    assert checked.returncode == 0, checked


def test_an_account_goes_alone(own_cloud):
    cloud = own_cloud()
    one, two = Account(ROOT, cloud), Account(OTHER, cloud)
    bucket, key = fill(one, "one")
    _, gone = fill(two, "two")
    before = things(one)
    assert reset(cloud, "--account", OTHER).returncode == 0
    assert things(two) == NOTHING
    with refused("InvalidAccessKeyId"):
        two.client("s3", key=gone).list_buckets()
    assert things(one) == before
    assert len(one.s3.get_object(Bucket=bucket, Key="file")["Body"].read()) == 2_000_000
    one.client("s3", key=key).list_objects_v2(Bucket=bucket)
    # The name is free for anybody.
    one.s3.create_bucket(Bucket=f"two-{OTHER}")
    assert "KeyCount" in one.s3.list_objects_v2(Bucket=f"two-{OTHER}")


def test_who_may(own_cloud):
    cloud = own_cloud()
    root = Account(ROOT, cloud)
    root.s3.create_bucket(Bucket="stays")
    key = root.new_user("bystander", allow("s3:*"), allow("cumulet:ResetAccount"))
    as_user = {"AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1]}
    done = reset(cloud, env=as_user)
    assert done.returncode != 0 and "cumulet:ResetCloud" in done.stderr, done
    as_other = {"AWS_ACCESS_KEY_ID": OTHER, "AWS_SECRET_ACCESS_KEY": "test"}
    for words in ([], ["--account", ROOT], ["--account", "222222222222"]):
        done = reset(cloud, *words, env=as_other)
        assert done.returncode != 0 and "default account" in done.stderr, done
    other = Account(OTHER, cloud)
    other.s3.create_bucket(Bucket="goes")
    # Everybody's root empties what is his own.
    assert reset(cloud, "--account", OTHER, env=as_other).returncode == 0
    assert other.s3.list_buckets()["Buckets"] == []
    assert [b["Name"] for b in root.s3.list_buckets()["Buckets"]] == ["stays"]
    assert cumulet("events", "--denied", "--operation", "ResetCloud", "--data", cloud.data).stdout


def test_a_script_must_mean_it(own_cloud):
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    account.s3.create_bucket(Bucket="kept")
    done = cumulet("reset", "--data", cloud.data)
    assert done.returncode == 2 and "--yes" in done.stderr, done
    done = reset(cloud, "--account", "12")
    assert done.returncode == 2 and "12 digits" in done.stderr, done
    assert [b["Name"] for b in account.s3.list_buckets()["Buckets"]] == ["kept"]


def answer_to(script, *words):
    """What the command does when a person at a terminal types `script`."""
    parent, child = pty.openpty()
    process = subprocess.Popen([binary(), *words], stdin=child, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    os.write(parent, script)
    out, err = process.communicate(timeout=30)
    os.close(parent)
    os.close(child)
    return process.returncode, out, err


def test_a_person_is_asked(own_cloud):
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    account.s3.create_bucket(Bucket="asked")
    code, _, err = answer_to(b"no\n", "reset", "--data", cloud.data)
    assert code == 1 and "[y/N]" in err and "nothing was changed" in err
    assert len(account.s3.list_buckets()["Buckets"]) == 1
    code, out, _ = answer_to(b"y\n", "reset", "--data", cloud.data)
    assert code == 0 and "is empty" in out
    assert account.s3.list_buckets()["Buckets"] == []


def test_requests_under_way_end_well(own_cloud):
    """Whoever reads goes on reading; whoever writes into a bucket that went is told so."""
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    s3 = account.s3
    s3.create_bucket(Bucket="busy")
    body = os.urandom(20_000_000)
    s3.put_object(Bucket="busy", Key="large", Body=body)
    reading = s3.get_object(Bucket="busy", Key="large")["Body"]
    first = reading.read(1000)
    stop, failures, codes = threading.Event(), [], set()

    def write(number):
        client = account.client("s3")
        for n in range(100_000):
            if stop.is_set():
                return
            try:
                client.put_object(Bucket="busy", Key=f"{number}-{n}", Body=b"x" * 50_000)
            except client.exceptions.NoSuchBucket:
                codes.add("NoSuchBucket")
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not be
                failures.append(error)
                return

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        assert reset(cloud).returncode == 0
        s3.create_bucket(Bucket="busy")
    assert reset(cloud).returncode == 0
    wait_until(lambda: "NoSuchBucket" in codes, "writers are told")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert first + reading.read() == body
    cloud.terminate()
    checked = cumulet("doctor", "--data", cloud.data)
    assert checked.returncode == 0, checked


@pytest.mark.unkilled
def test_killed_in_the_middle_it_is_all_or_nothing(own_cloud):
    chance = random.Random(7)
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    outcomes = set()
    for round_ in range(8):
        s3 = account.client("s3")
        names = [f"round-{round_}-{n}" for n in range(20)]
        for name in names:
            s3.create_bucket(Bucket=name)
            s3.put_object(Bucket=name, Key="k", Body=b"x" * 200_000)
        before = sorted(b["Name"] for b in s3.list_buckets()["Buckets"])
        answered = []

        def ask():
            try:
                answered.append(reset(cloud).returncode)
            except Exception:  # noqa: BLE001 - the cloud went away
                pass

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(chance.random() * 0.05)
        cloud.kill()
        thread.join()
        cloud.start()
        s3 = account.client("s3")
        left = sorted(b["Name"] for b in s3.list_buckets()["Buckets"])
        assert left in (before, []), left
        if answered == [0]:
            assert left == [], "what was answered has happened"
        for name in left[:5]:
            assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"x" * 200_000
        outcomes.add(bool(left))
        if left:
            assert reset(cloud).returncode == 0
    cloud.terminate()
    assert cumulet("doctor", "--data", cloud.data).returncode == 0


def test_it_takes_no_time(own_cloud):
    """Within 50 ms on a small cloud; the bound here leaves room for a busy machine."""
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    took = []
    for _ in range(5):
        fill(account, "quick")
        request = botocore.awsrequest.AWSRequest("POST", cloud.endpoint + "/_cumulet/reset")
        credentials = botocore.credentials.Credentials("test", "test")
        botocore.auth.SigV4Auth(credentials, "cumulet", "us-east-1").add_auth(request)
        host, port = cloud.address
        connection = http.client.HTTPConnection(host, port)
        connection.connect()
        begin = time.perf_counter()
        connection.request("POST", "/_cumulet/reset", headers=dict(request.headers))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        took.append(time.perf_counter() - begin)
    assert min(took) < 0.25, took


@pytest.mark.unkilled
class TestContainers:
    """Needs root."""

    @pytest.fixture
    def engine(self, tmp_path):
        engine = Engine(tmp_path).start()
        engine.bootstrap()
        yield engine
        engine.close()

    def fill(self, engine):
        engine.docker("network", "create", "net")
        engine.docker("volume", "create", "vol")
        engine.docker("run", "-d", "--name", "one", "--network", "net", "-v", "vol:/v", "busybox",
                      "sleep", "1000")
        engine.docker("run", "-d", "--name", "two", "busybox", "sleep", "1000")

    def nothing(self, engine):
        assert engine.docker("ps", "-aq").split() == []
        assert engine.docker("volume", "ls", "-q").split() == []
        assert engine.docker("image", "ls", "-q").split() == []
        assert sorted(engine.docker("network", "ls", "--format", "{{.Name}}").split()) == \
            ["bridge", "host", "none"]
        assert engine.links() == set()
        root = f"{engine.cloud.data}/engine"
        for folder in ("containers", "volumes", "layers"):
            assert os.listdir(f"{root}/{folder}") == [], folder

    def test_they_go_with_all_that_is_theirs(self, engine):
        self.fill(engine)
        assert reset(engine.cloud).returncode == 0
        self.nothing(engine)
        engine.bootstrap()
        self.fill(engine)
        assert engine.docker("exec", "one", "echo", "here").strip() == "here"

    def test_a_kill_right_after_it_leaves_none(self, engine):
        self.fill(engine)
        pids = [engine.inspect(name)["State"]["Pid"] for name in ("one", "two")]
        bridges = engine.bridges()
        thread = threading.Thread(target=lambda: reset(engine.cloud))
        thread.start()
        thread.join(0.02)
        engine.cloud.kill()
        thread.join()
        engine.cloud.start()
        wait_until(lambda: engine.docker("ps", "-aq").split() == [] or
                   len(engine.docker("ps", "-q").split()) == 2, "all or none", 20)
        if engine.docker("ps", "-aq").split():
            assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
            return
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}/root/bin") for pid in pids), "they died")
        self.nothing(engine)
        assert len(engine.bridges()) < len(bridges)


def test_an_address_that_is_given_is_where_it_goes(own_cloud):
    """Not to the cloud that holds the data folder."""
    here, there = own_cloud(), own_cloud()
    for cloud in (here, there):
        Account(ROOT, cloud).s3.create_bucket(Bucket="mine")
    assert reset(here, "--listen", there.listen).returncode == 0
    assert len(Account(ROOT, here).s3.list_buckets()["Buckets"]) == 1
    assert Account(ROOT, there).s3.list_buckets()["Buckets"] == []
