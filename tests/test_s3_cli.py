"""The AWS CLI as a person types it: mb, cp, sync, ls, rm, mv, presign, rb."""

import os
import re

import pytest
import requests
from accounts import allow

MIB = 1 << 20


def test_a_first_hour(account, tmp_path):
    """What a person does first, one thing after the other."""
    name = account.bucket_name("cli")
    made = account.cli("s3", "mb", f"s3://{name}")
    assert made.out.strip() == f"make_bucket: {name}"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {name}\n", account.cli("s3", "ls").out)

    small = tmp_path / "small.txt"
    small.write_text("hello\n")
    copied = account.cli("s3", "cp", str(small), f"s3://{name}/docs/small.txt", "--no-progress")
    assert f"to s3://{name}/docs/small.txt" in copied.out
    assert re.search(r" +6 docs/small.txt\n", account.cli("s3", "ls", f"s3://{name}", "--recursive").out)
    assert account.cli("s3", "ls", f"s3://{name}").out.strip() == "PRE docs/"

    url = account.cli("s3", "presign", f"s3://{name}/docs/small.txt").out.strip()
    assert requests.get(url).text == "hello\n"
    back = account.cli("s3", "cp", f"s3://{name}/docs/small.txt", "-")
    assert back.stdout == b"hello\n"

    account.cli("s3", "mv", f"s3://{name}/docs/small.txt", f"s3://{name}/moved.txt")
    assert account.cli("s3", "ls", f"s3://{name}/docs/", ok=False).returncode == 1
    full = account.cli("s3", "rb", f"s3://{name}", ok=False)
    assert full.returncode == 1 and "BucketNotEmpty" in full.err
    account.cli("s3", "rm", f"s3://{name}/moved.txt")
    assert account.cli("s3", "rb", f"s3://{name}").out.strip() == f"remove_bucket: {name}"
    assert account.cli("s3", "ls").out == ""


def test_a_large_file_goes_in_parts(account, bucket, tmp_path):
    data = os.urandom(20 * MIB + 7)
    path = tmp_path / "large"
    path.write_bytes(data)
    account.cli("s3", "cp", str(path), f"s3://{bucket}/large", "--no-progress")
    head = account.s3.head_object(Bucket=bucket, Key="large")
    assert head["ETag"].endswith('-3"') and head["ContentLength"] == len(data)
    account.cli("s3", "cp", f"s3://{bucket}/large", str(tmp_path / "back"), "--no-progress")
    assert (tmp_path / "back").read_bytes() == data
    account.cli("s3", "cp", f"s3://{bucket}/large", f"s3://{bucket}/copy", "--no-progress")
    assert account.s3.head_object(Bucket=bucket, Key="copy")["ContentLength"] == len(data)


def test_a_stream(account, bucket):
    data = os.urandom(9 * MIB)
    account.cli("s3", "cp", "-", f"s3://{bucket}/stream", stdin=data)
    assert account.s3.get_object(Bucket=bucket, Key="stream")["Body"].read() == data


def test_sync_both_ways(account, bucket, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    files = {"a.txt": b"a", "sub/b c.txt": b"bb", "sub/deep/ü.bin": os.urandom(100_000), "e": b""}
    for name, data in files.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        # Objects have whole seconds: a file of this very second would seem newer than its copy.
        os.utime(path, (1_700_000_000, 1_700_000_000))
    account.cli("s3", "sync", str(here), f"s3://{bucket}/x", "--no-progress")
    listed = account.s3.list_objects_v2(Bucket=bucket, Prefix="x/")["Contents"]
    assert {o["Key"][2:]: o["Size"] for o in listed} == {n: len(d) for n, d in files.items()}
    # A second time there is nothing to do.
    assert account.cli("s3", "sync", str(here), f"s3://{bucket}/x", "--no-progress").out == ""
    (here / "a.txt").write_bytes(b"longer now")
    (here / "e").unlink()
    again = account.cli("s3", "sync", str(here), f"s3://{bucket}/x", "--delete", "--no-progress")
    assert sorted(line.split(":")[0] for line in again.out.splitlines()) == ["delete", "upload"]
    account.cli("s3", "sync", f"s3://{bucket}/x", str(there), "--no-progress")
    found = {
        os.path.relpath(os.path.join(folder, name), there): name
        for folder, _, names in os.walk(there)
        for name in names
    }
    assert set(found) == set(files) - {"e"}
    assert (there / "a.txt").read_bytes() == b"longer now"


def test_recursive(account, bucket, tmp_path):
    for n in range(12):
        (tmp_path / f"f{n}.{'log' if n % 3 == 0 else 'txt'}").write_bytes(b"x")
    account.cli("s3", "cp", str(tmp_path), f"s3://{bucket}/", "--recursive", "--exclude", "*.log")
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 8
    account.cli("s3", "rm", f"s3://{bucket}", "--recursive", "--include", "*")
    assert account.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_ls_summary(account, bucket):
    for n in range(3):
        account.s3.put_object(Bucket=bucket, Key=f"d/{n}", Body=b"x" * 1000)
    out = account.cli(
        "s3", "ls", f"s3://{bucket}", "--recursive", "--summarize", "--human-readable"
    ).out
    assert "Total Objects: 3" in out and "Total Size: 2.9 KiB" in out


def test_rb_force(account, bucket):
    for n in range(3):
        account.s3.put_object(Bucket=bucket, Key=f"{n}", Body=b"x")
    account.cli("s3", "rb", f"s3://{bucket}", "--force")
    assert account.s3.list_buckets()["Buckets"] == []


def test_s3api_and_iam(account, bucket, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text(
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",'
        f'"Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}}]}}'
    )
    (tmp_path / "k").write_bytes(b"x")
    put = account.cli(
        "s3api", "put-object", "--bucket", bucket, "--key", "k", "--body", str(tmp_path / "k")
    )
    assert '"ETag": "\\"9dd4e461268c8034f5c8564e155c67a6\\""' in put.out
    account.cli("s3api", "put-bucket-policy", "--bucket", bucket, "--policy", f"file://{policy}")
    assert requests.get(f"{account.endpoint}/{bucket}/k").content == b"x"
    waited = account.cli("s3api", "wait", "object-exists", "--bucket", bucket, "--key", "k")
    assert waited.out == ""
    who = account.cli("sts", "get-caller-identity", "--query", "Arn", "--output", "text")
    assert who.out.strip() == f"arn:aws:iam::{account.id}:root"
    made = account.cli("iam", "create-user", "--user-name", "alice", "--query", "User.Arn",
                       "--output", "text")
    assert made.out.strip() == f"arn:aws:iam::{account.id}:user/alice"


def test_refusals_as_a_person_sees_them(account, bucket):
    key = account.new_user("u", allow("s3:ListBucket"))
    done = account.cli("s3", "cp", "-", f"s3://{bucket}/k", stdin=b"x", key=key, ok=False)
    assert done.returncode == 1
    assert "AccessDenied" in done.err and "s3:PutObject" in done.err
    done = account.cli("s3", "ls", "s3://" + account.bucket_name("absent"), ok=False)
    assert "(NoSuchBucket)" in done.err
    done = account.cli("s3", "ls", key=(account.id, "wrong"), ok=False)
    assert "(SignatureDoesNotMatch)" in done.err
    done = account.cli("s3", "ls", key=("AKIANOTISSUEDANYTIME", "x"), ok=False)
    assert "(InvalidAccessKeyId)" in done.err


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksum_algorithms(account, bucket, tmp_path, algorithm):
    path = tmp_path / "f"
    path.write_bytes(os.urandom(100))
    account.cli("s3", "cp", str(path), f"s3://{bucket}/k", "--checksum-algorithm", algorithm)
    head = account.s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"]
