"""A cloud for the whole run, and an account of it for each test."""

import itertools
import json
import os
import subprocess

import boto3
import pytest

_numbers = itertools.count(1)


class Cloud:
    """`cumulet up --ephemeral`: in memory, on a free port, gone with this process however it ends."""

    def __init__(self, *args):
        self.process = subprocess.Popen(
            ["cumulet", "up", "--ephemeral", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"cumulet ended with {self.process.wait()}; it has said why above")
        self.url = json.loads(line)["url"]

    def end(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="session")
def cloud():
    # `Cloud("--from", "SNAPSHOT")` begins with what `cumulet snapshot save SNAPSHOT` saved.
    cloud = Cloud()
    yield cloud
    cloud.end()


@pytest.fixture
def account(cloud):
    """An account that nobody else has: names need not differ between tests, and nothing is cleaned up."""
    # With pytest-xdist each worker has a cloud of its own, so numbers need only differ within it.
    number = f"{next(_numbers):012}"

    def client(service, region="us-east-1"):
        return boto3.client(service, endpoint_url=cloud.url, region_name=region,
                            aws_access_key_id=number, aws_secret_access_key="test")

    return client


@pytest.fixture
def s3(account):
    return account("s3")


@pytest.fixture
def dynamodb(account):
    return account("dynamodb")


@pytest.fixture
def environment(cloud):
    """For programs that a test starts: every SDK of today reads this."""
    return {**os.environ, "AWS_ENDPOINT_URL": cloud.url, "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
