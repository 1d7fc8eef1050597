"""Kill -9 under load: what was acknowledged is there, nothing is half there, back within a second."""

import hashlib
import random
import threading
import time

import pytest
from accounts import Account, refused
from botocore.exceptions import BotoCoreError, ClientError
from cloud import binary

WRITERS = 6
assert binary  # the binary, not a stand-in, is what is killed here


class Writer(threading.Thread):
    """Writes, overwrites and deletes until the cloud is gone; keeps what each key may hold.

    `sure` is what was acknowledged last; `maybe` what was asked for after that without an answer."""

    def __init__(self, account, bucket, number, seed):
        super().__init__()
        self.s3 = account.client("s3", read_timeout=20)
        self.bucket, self.number = bucket, number
        self.random = random.Random(seed)
        self.sure, self.maybe = {}, {}
        self.acknowledged = 0

    def run(self):
        try:
            while True:
                self.step()
        except (BotoCoreError, ClientError):
            return

    def step(self):
        key = f"{self.number}/{self.random.randrange(40)}"
        size = self.random.choice([0, 10, 1000, 5000, 70_000, 300_000])
        if self.random.random() < 0.2:
            self.maybe[key] = None
            self.s3.delete_object(Bucket=self.bucket, Key=key)
            value = None
        else:
            body = self.random.randbytes(size)
            value = hashlib.md5(body).hexdigest()
            self.maybe[key] = value
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
        self.sure[key] = value
        del self.maybe[key]
        self.acknowledged += 1

    def check(self, account):
        """Each key holds what was acknowledged, or, if a request was cut, what that would write."""
        for key in {*self.sure, *self.maybe}:
            allowed = {self.sure.get(key)}
            if key in self.maybe:
                allowed.add(self.maybe[key])
            try:
                got = account.s3.get_object(Bucket=self.bucket, Key=key)
                body = got["Body"].read()
                found = hashlib.md5(body).hexdigest()
                assert got["ETag"] == f'"{found}"', f"{key} is half there"
            except account.s3.exceptions.NoSuchKey:
                found = None
            assert found in allowed, f"{key}: {found} is none of {allowed}"
            self.sure[key] = found
        self.maybe.clear()


def rounds(own_cloud, count, seed):
    cloud = own_cloud()
    account = Account("700000000020", cloud)
    bucket = account.new_bucket()
    writers = [Writer(account, bucket, n, seed + n) for n in range(WRITERS)]
    rng = random.Random(seed)
    total = 0
    for round_ in range(count):
        for writer in writers:
            writer.start()
        # Killed at a moment that depends on how far the writers are, not on a clock.
        goal = total + rng.randrange(30, 250)
        pause = threading.Event()
        end = time.monotonic() + 60
        while sum(w.acknowledged for w in writers) < goal and time.monotonic() < end:
            pause.wait(0.002)
        cloud.kill()
        for writer in writers:
            writer.join()
        total = sum(w.acknowledged for w in writers)
        assert total >= goal, f"round {round_}: only {total} of {goal} writes in a minute"
        started = time.monotonic()
        cloud.start()
        account.s3.head_bucket(Bucket=bucket)
        back = time.monotonic() - started
        assert back < 1.0, f"round {round_}: back after {back:.2f} s"
        for writer in writers:
            writer.check(account)
        listed = {
            o["Key"]
            for page in account.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            for o in page.get("Contents", [])
        }
        expected = {k for w in writers for k, v in w.sure.items() if v is not None}
        assert listed == expected, f"round {round_}"
        successors = []
        for writer in writers:
            successor = Writer(account, bucket, writer.number, rng.random())
            successor.sure, successor.acknowledged = writer.sure, writer.acknowledged
            successors.append(successor)
        writers = successors
    return total


def test_five_kills(own_cloud):
    assert rounds(own_cloud, 5, seed=1) > 100


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_hundred_kills(own_cloud):
    rounds(own_cloud, 100, seed=1000)


def test_uploads_in_parts_outlive_a_kill(own_cloud):
    cloud = own_cloud()
    account = Account("700000000021", cloud)
    where = {"Bucket": account.new_bucket(), "Key": "k"}
    upload = account.s3.create_multipart_upload(**where)["UploadId"]
    bodies = [bytes([n]) * (5 << 20) for n in range(2)] + [b"end"]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = account.s3.upload_part(**where, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
        cloud.restart()
    account.s3.complete_multipart_upload(
        **where, UploadId=upload, MultipartUpload={"Parts": parts})
    cloud.restart()
    assert account.s3.get_object(**where)["Body"].read() == b"".join(bodies)


def test_everything_else_outlives_a_kill(own_cloud):
    cloud = own_cloud()
    account = Account("700000000022", cloud)
    bucket = account.new_bucket()
    account.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = account.s3.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"new", Metadata={"a": "b"})
    key = account.new_user("u", {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"})
    token = account.s3.list_objects_v2(Bucket=bucket, MaxKeys=1)
    for n in range(3):
        account.s3.put_object(Bucket=bucket, Key=f"z{n}", Body=b"")
    token = account.s3.list_objects_v2(Bucket=bucket, MaxKeys=2)["NextContinuationToken"]
    session = account.client("sts", key=key).get_session_token()["Credentials"]
    cloud.restart()
    old = account.s3.get_object(Bucket=bucket, Key="k", VersionId=version)["Body"].read()
    new = account.s3.get_object(Bucket=bucket, Key="k")
    assert (old, new["Body"].read(), new["Metadata"]) == (b"old", b"new", {"a": "b"})
    account.client("s3", key=key).get_object(Bucket=bucket, Key="k")
    session = session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]
    account.client("s3", key=session).get_object(Bucket=bucket, Key="k")
    with refused("AccessDenied"):
        account.client("s3", key=session).list_objects_v2(Bucket=bucket)
    # Paging goes on where it was.
    rest = account.s3.list_objects_v2(Bucket=bucket, ContinuationToken=token)
    assert [o["Key"] for o in rest["Contents"]] == ["z1", "z2"]


def test_killed_during_the_start(own_cloud):
    """Again and again before it is up, and then it is up."""
    cloud = own_cloud()
    account = Account("700000000023", cloud)
    bucket = account.new_bucket()
    for n in range(50):
        account.s3.put_object(Bucket=bucket, Key=f"{n}", Body=bytes([n]) * 1000)
    for _ in range(10):
        cloud.restart()
    keys = [o["Key"] for o in account.s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len(keys) == 50
