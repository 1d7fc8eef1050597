"""A process that may have few files open: connections leave the store its half, and when there are none for a
while, the cloud says that it is busy and goes on."""

import resource
import socket

import pytest
from botocore.exceptions import ClientError

from accounts import Account
from cloud import Cloud, binary
from data_folder import quiet


@pytest.fixture
def narrow_cloud(tmp_path):
    """A cloud with `ulimit -n 256`."""
    script = tmp_path / "narrow"
    script.write_text(f'#!/bin/sh\nulimit -n 256\nexec "{binary()}" "$@"\n')
    script.chmod(0o755)
    cloud = quiet(Cloud(tmp_path / "data", ["--docker-socket", "none"], program=str(script)))
    cloud.attempts = 1
    yield cloud.start()
    cloud.discard()


def work(account, bucket, count):
    for n in range(count):
        for size in (10, 100_000, 2_000_000):
            body = bytes([n]) * size
            account.s3.put_object(Bucket=bucket, Key=f"{n}/{size}", Body=body)
            assert account.s3.get_object(Bucket=bucket, Key=f"{n}/{size}")["Body"].read() == body


def test_more_idle_connections_than_descriptors(narrow_cloud):
    cloud = narrow_cloud
    assert "256 open files at most, so 128 connections at a time" in cloud.log()
    account = Account("700000000078", cloud)
    bucket = account.new_bucket()
    idle = [socket.create_connection(cloud.address, timeout=10) for _ in range(400)]
    try:
        # Over the connection that was there before.
        work(account, bucket, 15)
    finally:
        for connection in idle:
            connection.close()
    work(Account(account.id, cloud), bucket, 3)
    assert cloud.running() and cloud.terminate() == 0


def test_no_descriptors_for_a_while(own_cloud):
    cloud = own_cloud("--docker-socket", "none")
    account = Account("700000000079", cloud)
    bucket = account.new_bucket()
    work(account, bucket, 1)
    # A refusal in the middle of a body ends its connection, and there will be no other.
    clients = [account.client("s3") for _ in range(5)]
    for client in clients:
        client.head_bucket(Bucket=bucket)
    before = resource.prlimit(cloud.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(cloud.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        for n, client in enumerate(clients):
            with pytest.raises(ClientError) as refused:
                client.put_object(Bucket=bucket, Key=f"no/{n}", Body=b"n" * 2_000_000)
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503, refused.value
            # What opens no file goes on.
            account.s3.put_object(Bucket=bucket, Key=f"small/{n}", Body=b"s")
    finally:
        resource.prlimit(cloud.pid, resource.RLIMIT_NOFILE, before)
    work(account, bucket, 2)
    listed = account.s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [entry["Key"] for entry in listed if entry["Key"].startswith("no/")] == []
    assert cloud.terminate() == 0
