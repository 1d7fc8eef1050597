"""Where a bucket is found: in the path, or in the many host names that clients use."""

import pytest
import wire

HOSTS = [
    "{bucket}.localhost",
    "{bucket}.s3.localhost",
    "{bucket}.s3.us-east-1.localhost",
    "{bucket}.s3.localhost.localstack.cloud",
    "{bucket}.s3.us-east-1.localhost.localstack.cloud",
    "{bucket}.s3.amazonaws.com",
    "{bucket}.s3.us-east-1.amazonaws.com",
    "{bucket}.s3-us-west-2.amazonaws.com",
]
PLAIN = [
    "localhost",
    "s3.localhost",
    "localhost.localstack.cloud",
    "s3.localhost.localstack.cloud",
    "s3.us-east-1.localhost.localstack.cloud",
    "s3.amazonaws.com",
    "s3.us-east-1.amazonaws.com",
    "127.0.0.1",
]


def ask(account, host, method, target, body=b"", key=None):
    """Signed by an issued key: a host that is not the machine's own may not use a well-known one."""
    request = wire.Request(account, method, target, body, key=key[0], secret=key[1])
    request.set("Host", f"{host}:{account.cloud.address[1]}")
    return request.sign().send()


@pytest.fixture
def key(account):
    return account.new_user("u", {"Effect": "Allow", "Action": "s3:*", "Resource": "*"})


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("stem", ["plain", "with.dots"])
def test_in_the_host(account, key, host, stem):
    bucket = account.new_bucket(stem)
    host = host.format(bucket=bucket)
    assert ask(account, host, "PUT", "/dir/k%20%2B", b"data", key).status == 200
    assert account.s3.get_object(Bucket=bucket, Key="dir/k +")["Body"].read() == b"data"
    assert ask(account, host, "GET", "/dir/k%20%2B", key=key).body == b"data"
    listed = ask(account, host, "GET", "/?list-type=2", key=key)
    assert listed.status == 200 and "<Key>dir/k +</Key>" in listed.text, listed
    assert ask(account, host, "HEAD", "/", key=key).status == 200


@pytest.mark.parametrize("host", PLAIN)
def test_in_the_path(account, bucket, key, host):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    assert ask(account, host, "GET", f"/{bucket}/k", key=key).body == b"data"
    listed = ask(account, host, "GET", "/", key=key)
    assert listed.status == 200 and f"<Name>{bucket}</Name>" in listed.text, listed


@pytest.mark.parametrize("host", ["{bucket}.localhost", "{bucket}.s3.localhost.localstack.cloud"])
def test_a_bucket_that_is_not_there(account, key, host):
    host = host.format(bucket=account.bucket_name("absent"))
    answer = ask(account, host, "GET", "/k", key=key)
    assert (answer.status, answer.code) == (404, "NoSuchBucket"), answer


def test_boto3_with_virtual_hosts(account, bucket):
    port = account.cloud.address[1]
    s3 = account.client(
        "s3", endpoint=f"http://s3.localhost:{port}", s3={"addressing_style": "virtual"}
    )

    def to_loopback(request, **_):
        # Not every resolver knows *.localhost; the Host header, which is signed, stays.
        request.headers["Host"] = request.url.split("/")[2]
        request.url = request.url.replace(f"{bucket}.s3.localhost", "127.0.0.1")

    s3.meta.events.register("before-send.s3", to_loopback)
    s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"


def test_a_presigned_url_in_the_host(account, bucket, key):
    account.s3.put_object(Bucket=bucket, Key="k", Body=b"data")
    request = wire.Request(account, "GET", "/k", key=key[0], secret=key[1])
    request.set("Host", f"{bucket}.s3.localhost:{account.cloud.address[1]}")
    assert request.presign().send().body == b"data"
