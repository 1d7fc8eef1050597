"""Large bodies go through and are never held: memory is watched from outside."""

import hashlib
import threading

import httpx
import pytest
import wire
from cloud import memory_kb

pytestmark = pytest.mark.unkilled

MIB = 1 << 20
BLOCK = bytes(range(256)) * 4096


class Endless:
    """A body of `size` bytes that exists only as it is read."""

    def __init__(self, size):
        self.size, self.at = size, 0

    def __len__(self):
        return self.size

    def __iter__(self):
        while self.at < self.size:
            piece = BLOCK[: min(len(BLOCK), self.size - self.at)]
            self.at += len(piece)
            yield piece


def through(own_cloud, account_class, size, grows_mib):
    cloud = own_cloud()
    account = account_class("700000000001", cloud)
    bucket = account.new_bucket()
    account.s3.put_object(Bucket=bucket, Key="warm", Body=BLOCK)
    account.s3.get_object(Bucket=bucket, Key="warm")["Body"].read()
    before = memory_kb(cloud.pid, "VmRSS")
    request = wire.Request(account, "PUT", f"/{bucket}/big").sign(payload_hash=wire.UNSIGNED)
    request.set("Content-Length", str(size))
    digest = hashlib.md5()
    with wire.talk(cloud.address, seconds=120) as line:
        assert line.send(request.head())
        for piece in Endless(size):
            digest.update(piece)
            assert line.send(piece), line.answer()
        answer = line.answer("PUT")
    assert answer.status == 200, answer
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
    got, count = hashlib.md5(), 0
    for piece in account.s3.get_object(Bucket=bucket, Key="big")["Body"].iter_chunks(MIB):
        got.update(piece)
        count += len(piece)
    assert (count, got.hexdigest()) == (size, digest.hexdigest())
    grown = memory_kb(cloud.pid, "VmHWM") - before
    assert grown < grows_mib * 1024, f"{grown // 1024} MiB more at the peak"


def test_a_large_object(own_cloud, account):
    through(own_cloud, type(account), 300 * MIB, 50)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_five_gibibytes(own_cloud, account):
    through(own_cloud, type(account), 5 << 30, 50)


def test_a_reader_that_stops(account, bucket):
    """A client that does not read on holds up nobody and costs no memory."""
    account.s3.put_object(Bucket=bucket, Key="k", Body=BLOCK * 64)
    before = memory_kb(account.cloud.pid, "VmRSS")
    lines = []
    for _ in range(16):
        line = wire.talk(account.cloud.address)
        assert line.send(wire.Request(account, "GET", f"/{bucket}/k").sign().head())
        assert line.interim() == 200
        lines.append(line)
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == BLOCK * 64
    assert memory_kb(account.cloud.pid, "VmRSS") - before < 200 * 1024
    for line in lines:
        line.socket.close()
    account.s3.head_object(Bucket=bucket, Key="k")


def test_an_upload_that_ends_early_leaves_nothing(account, bucket):
    request = wire.Request(account, "PUT", f"/{bucket}/k").sign(payload_hash=wire.UNSIGNED)
    request.set("Content-Length", str(64 * MIB))
    with wire.talk(account.cloud.address) as line:
        assert line.send(request.head() + BLOCK * 3)
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_many_at_once(account, bucket):
    """Eight writers of eight objects each, all different, all there in the end."""
    failures = []

    def write(worker):
        s3 = account.client("s3")
        for n in range(8):
            key, data = f"{worker}/{n}", bytes([worker, n]) * (50_000 * (n + 1))
            try:
                s3.put_object(Bucket=bucket, Key=key, Body=data)
                assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == data
            except Exception as error:  # noqa: BLE001 - a thread reports, the test fails below
                failures.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 64


@pytest.mark.parametrize("http2", [False, True])
def test_what_an_object_holds_is_never_taken_for_an_answer(account, bucket, http2):
    """Pieces of it begin like the head of one that refuses."""
    data = b"HTTP/1.1 404 ab\n" * (8 * MIB // 16)
    account.s3.put_object(Bucket=bucket, Key="k", Body=data)
    request = wire.Request(account, "GET", f"/{bucket}/k").sign()
    with httpx.Client(http1=not http2, http2=http2) as client:
        for _ in range(3):
            got = client.get(f"{account.endpoint}/{bucket}/k", headers=dict(request.headers))
            assert got.status_code == 200 and got.content == data
