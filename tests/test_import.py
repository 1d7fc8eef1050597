"""`cumulet import s3`: from another Cumulet with everything that an S3 keeps, and from a foreign one."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys

import boto3
import pytest
import requests
from accounts import Account, allow, policy
from botocore.config import Config
from cloud import binary, clean_env, cumulet
from deadline import wait_until

pytestmark = pytest.mark.unkilled

SOURCE, TARGET = "700000000201", "700000000202"


def command(source, target, *more):
    return ["import", "s3", "--endpoint", source, "--data", target.data, "--account", TARGET, *more]


def bring(source, target, *more, key=f"{SOURCE}:test", ok=True, seconds=120):
    done = cumulet(*command(source, target, *more), env={"CUMULET_SOURCE_KEY": key}, seconds=seconds)
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def both(own_cloud):
    # One after the other: a bucket's name is its own only within one cloud.
    source, target = own_cloud(), own_cloud()
    return Account(SOURCE, source), Account(TARGET, target)


def versions(s3, bucket):
    """Key, content or None for a marker, and whether it is the latest; of each key the newest first."""
    page = s3.list_object_versions(Bucket=bucket)
    read = []
    for v in page.get("Versions", []):
        got = s3.get_object(Bucket=bucket, Key=v["Key"], VersionId=v["VersionId"])
        read.append((v["Key"], got["Body"].read(), v["IsLatest"]))
    return read + [(v["Key"], None, v["IsLatest"]) for v in page.get("DeleteMarkers", [])]


def test_versions_metadata_and_tags(both):
    source, target = both
    bucket = source.new_bucket()
    s3 = source.s3
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two", b"two", b""):
        s3.put_object(Bucket=bucket, Key="a b/ü+%", Body=body)
    s3.delete_object(Bucket=bucket, Key="a b/ü+%")
    s3.put_object(Bucket=bucket, Key="gone", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="gone")
    s3.put_object(Bucket=bucket, Key="gone", Body=b"y")
    s3.put_object(
        Bucket=bucket, Key="told", Body=b"page", ContentType="text/html", CacheControl="max-age=9",
        ContentDisposition="inline", ContentLanguage="de", ContentEncoding="gzip",
        Metadata={"colour": "blue"}, Tagging="a%20b=%3D&c=", StorageClass="STANDARD_IA",
        WebsiteRedirectLocation="/x")
    done = bring(source.endpoint, target.cloud)
    assert "9 versions copied" in done.stdout, done.stdout
    assert versions(target.s3, bucket) == versions(s3, bucket)
    kept = ("ContentType", "CacheControl", "ContentDisposition", "ContentLanguage", "ContentEncoding",
            "Metadata", "StorageClass", "WebsiteRedirectLocation", "ETag", "ContentLength")
    before, after = (own.s3.head_object(Bucket=bucket, Key="told") for own in both)
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}
    tags = target.s3.get_object_tagging(Bucket=bucket, Key="told")["TagSet"]
    assert sorted((t["Key"], t["Value"]) for t in tags) == [("a b", "="), ("c", "")]
    # A second time there is nothing to do; what is new is copied.
    assert "0 versions copied" in bring(source.endpoint, target.cloud).stdout
    s3.put_object(Bucket=bucket, Key="told", Body=b"newer")
    assert "1 versions copied" in bring(source.endpoint, target.cloud).stdout
    assert target.s3.get_object(Bucket=bucket, Key="told")["Body"].read() == b"newer"


def test_uploads_in_parts_keep_their_etag(both):
    source, target = both
    bucket = source.new_bucket()
    upload = source.s3.create_multipart_upload(Bucket=bucket, Key="big", Metadata={"a": "b"})["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (3, 6 << 20), (4, 1000)):
        put = source.s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=number,
                                    Body=bytes([number]) * size)
        parts.append({"PartNumber": number, "ETag": put["ETag"]})
    etag = source.s3.complete_multipart_upload(
        Bucket=bucket, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})["ETag"]
    bring(source.endpoint, target.cloud, "--bucket", bucket)
    got = target.s3.get_object(Bucket=bucket, Key="big")
    assert got["ETag"] == etag and got["Metadata"] == {"a": "b"}
    whole = b"".join(bytes([n]) * size for n, size in ((1, 5 << 20), (3, 6 << 20), (4, 1000)))
    assert hashlib.sha256(got["Body"].read()).digest() == hashlib.sha256(whole).digest()


def test_locks_and_documents_of_buckets(both):
    source, target = both
    s3 = source.s3
    locked, plain = source.new_bucket("locked", ObjectLockEnabledForBucket=True), source.new_bucket()
    s3.put_object(Bucket=locked, Key="k", Body=b"x", ObjectLockMode="GOVERNANCE",
                  ObjectLockRetainUntilDate="2033-01-02T03:04:05Z", ObjectLockLegalHoldStatus="ON")
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}
    s3.put_object_lock_configuration(
        Bucket=locked, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    s3.put_bucket_versioning(Bucket=plain, VersioningConfiguration={"Status": "Suspended"})
    s3.put_object(Bucket=plain, Key="k", Body=b"null version")
    s3.put_bucket_tagging(Bucket=plain, Tagging={"TagSet": [{"Key": "t", "Value": "v"}]})
    s3.put_bucket_website(Bucket=plain, WebsiteConfiguration={"IndexDocument": {"Suffix": "i.html"}})
    s3.put_bucket_cors(Bucket=plain, CORSConfiguration={"CORSRules": [
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]})
    s3.put_bucket_lifecycle_configuration(Bucket=plain, LifecycleConfiguration={"Rules": [
        {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 400}}]})
    document = policy(allow("s3:GetObject", f"arn:aws:s3:::{plain}/*", Principal="*"))
    s3.put_bucket_policy(Bucket=plain, Policy=document)
    bring(source.endpoint, target.cloud)
    new = target.s3
    head = new.head_object(Bucket=locked, Key="k")
    assert head["ObjectLockMode"] == "GOVERNANCE" and head["ObjectLockLegalHoldStatus"] == "ON"
    assert head["ObjectLockRetainUntilDate"].isoformat() == "2033-01-02T03:04:05+00:00"
    got = new.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert got["Rule"] == rule
    assert new.get_bucket_versioning(Bucket=plain)["Status"] == "Suspended"
    for name in ("tagging", "website", "cors", "lifecycle_configuration", "policy"):
        before = getattr(s3, f"get_bucket_{name}")(Bucket=plain)
        after = getattr(new, f"get_bucket_{name}")(Bucket=plain)
        before.pop("ResponseMetadata"), after.pop("ResponseMetadata")
        assert before == after, name


def test_grants(both):
    """Who may use buckets and objects, the owner's own grants being the new owner's."""
    source, target = both
    third = Account("700000000203", source.cloud)
    third_id = third.s3.list_buckets()["Owner"]["ID"]
    s3, bucket = source.s3, source.new_bucket()
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    s3.put_object(Bucket=bucket, Key="open", Body=b"x", ACL="public-read")
    s3.put_object(Bucket=bucket, Key="closed", Body=b"x")
    s3.put_object(Bucket=bucket, Key="lent", Body=b"x", GrantRead=f"id={third_id}",
                  GrantFullControl=f"id={source.s3.list_buckets()['Owner']['ID']}")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts", ACL="authenticated-read")["UploadId"]
    parts = [{"PartNumber": n, "ETag": s3.upload_part(
        Bucket=bucket, Key="parts", UploadId=upload, PartNumber=n, Body=b"x" * (5 << 20))["ETag"]}
        for n in (1, 2)]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    enforced = source.new_bucket()
    s3.put_object(Bucket=enforced, Key="k", Body=b"x")
    s3.put_bucket_ownership_controls(
        Bucket=enforced, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    bring(source.endpoint, target.cloud)

    def grants(account, **what):
        own = account.s3.list_buckets()["Owner"]["ID"]
        read = account.s3.get_object_acl(**what) if "Key" in what else account.s3.get_bucket_acl(**what)
        assert read["Owner"]["ID"] == own
        seen = [(g["Grantee"].get("URI") or g["Grantee"]["ID"], g["Permission"]) for g in read["Grants"]]
        return sorted(("owner" if who == own else who, what) for who, what in seen)

    for what in [{"Bucket": bucket}, *({"Bucket": bucket, "Key": k} for k in ("open", "closed", "lent", "parts"))]:
        assert grants(target, **what) == grants(source, **what), what
    assert requests.get(f"{target.endpoint}/{bucket}/open").status_code == 200
    assert requests.get(f"{target.endpoint}/{bucket}/closed").status_code == 403
    assert target.s3.get_object(Bucket=enforced, Key="k")["Body"].read() == b"x"
    controls = target.s3.get_bucket_ownership_controls(Bucket=enforced)["OwnershipControls"]
    assert controls["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_it_goes_on_after_a_kill(both):
    """Killed at some moment in the middle, nothing is missing and nothing is there twice."""
    source, target = both
    bucket = source.new_bucket()
    source.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for n in range(120):
        for body in (b"same", b"same", b"other %d" % n):
            source.s3.put_object(Bucket=bucket, Key=f"k{n:03}", Body=body)
    process = subprocess.Popen([binary(), *command(source.endpoint, target.cloud)],
                               stdout=subprocess.DEVNULL,
                               env=clean_env(CUMULET_SOURCE_KEY=f"{SOURCE}:test"))
    folder = os.path.join(target.cloud.data, "import")

    def begun():
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return any(open(os.path.join(folder, name), "rb").read().count(b"\n") > 100 for name in names)

    wait_until(begun, "some of it is done", 60)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    done = bring(source.endpoint, target.cloud)
    assert "going on" in done.stdout
    assert versions(target.s3, bucket) == versions(source.s3, bucket)


def test_what_cannot_be_copied_is_said(both):
    source, target = both
    bucket = source.new_bucket()
    source.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    wrong = bring(source.endpoint, target.cloud, key="AKIANOBODY:secret", ok=False)
    assert wrong.returncode == 1 and "InvalidAccessKeyId" in wrong.stderr
    nobody = bring("http://127.0.0.1:1", target.cloud, ok=False)
    assert nobody.returncode == 1 and "127.0.0.1:1" in nobody.stderr
    for bad in ("127.0.0.1:9000", "ftp://x", "http://x/path"):
        assert bring(bad, target.cloud, ok=False).returncode == 2
    # Somebody else has the name.
    Account("700000000203", target.cloud).s3.create_bucket(Bucket=bucket)
    taken = bring(source.endpoint, target.cloud, ok=False)
    assert taken.returncode == 1 and bucket in taken.stderr and "BucketAlreadyExists" in taken.stderr


@contextlib.contextmanager
def moto():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = os.path.dirname(os.path.dirname(sys.executable))
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.path.join(folder, "moto")})
    url = f"http://127.0.0.1:{port}"

    def answers():
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url + "/moto-api/", timeout=5).ok
        return False

    try:
        wait_until(answers, "moto answers", 60)
        yield url
    finally:
        process.kill()
        process.wait()


def test_from_a_foreign_service(own_cloud):
    target = Account(TARGET, own_cloud())
    with moto() as url:
        s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x",
                          aws_secret_access_key="y", config=Config(s3={"addressing_style": "path"}))
        s3.create_bucket(Bucket="moved")
        s3.put_bucket_versioning(Bucket="moved", VersioningConfiguration={"Status": "Enabled"})
        for n in range(30):
            for body in (b"old", b"new %d" % n):
                s3.put_object(Bucket="moved", Key=f"dir/k {n}", Body=body, Metadata={"n": str(n)},
                              Tagging="team=a")
        s3.delete_object(Bucket="moved", Key="dir/k 0")
        s3.create_bucket(Bucket="plain")
        s3.put_object(Bucket="plain", Key="k", Body=b"x" * 3_000_000, ContentType="text/x")
        s3.put_bucket_policy(Bucket="plain", Policy=policy(
            allow("s3:GetObject", "arn:aws:s3:::plain/*", Principal="*")))
        done = bring(url, target.cloud, key="x:y")
    assert "62 versions copied" in done.stdout, done.stdout + done.stderr
    new = target.s3
    assert new.get_object(Bucket="moved", Key="dir/k 7")["Body"].read() == b"new 7"
    assert new.head_object(Bucket="moved", Key="dir/k 7")["Metadata"] == {"n": "7"}
    assert new.get_object_tagging(Bucket="moved", Key="dir/k 7")["TagSet"] == [
        {"Key": "team", "Value": "a"}]
    page = new.list_object_versions(Bucket="moved")
    assert (len(page["Versions"]), len(page["DeleteMarkers"])) == (60, 1)
    got = new.get_object(Bucket="plain", Key="k")
    assert got["Body"].read() == b"x" * 3_000_000 and got["ContentType"] == "text/x"
    assert "arn:aws:s3:::plain/*" in new.get_bucket_policy(Bucket="plain")["Policy"]
