"""Programs that people point at an S3: what they do in an hour, by their own settings for an endpoint.

rclone stands for the Go SDK of AWS, version 1, restic for MinIO's library for Go, which `mc` is made of,
Polars for the object_store of Rust, Arrow for the C++ SDK of AWS. DuckDB takes its httpfs from a package.
"""

import contextlib
import filecmp
import json
import os
import re
import subprocess
import sys

import pytest
import requests
from accounts import REGION
from deadline import wait_until

pytestmark = pytest.mark.unkilled

MIB = 1 << 20
# Libraries that the suite itself must not see.
LIBRARIES = os.path.join(os.path.dirname(os.path.dirname(sys.executable)), "clients")


def run(account, *words, env=None, stdin=None, ok=True):
    """Runs a program that knows the account by the environment, as it would on anybody's machine."""
    variables = {
        "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "TZ": "UTC",
        "AWS_ACCESS_KEY_ID": account.id, "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": account.endpoint,
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "", "PYTHONDONTWRITEBYTECODE": "1",
        **(env or {}),
    }
    done = subprocess.run(
        [str(word) for word in words], input=stdin, capture_output=True, text=True, env=variables,
        stdin=subprocess.DEVNULL if stdin is None else None, timeout=150, check=False)
    assert not ok or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def tree(tmp_path):
    """Files as people have them: in folders, with odd names, one that is sent in parts."""
    root = tmp_path / "tree"
    (root / "sub dir").mkdir(parents=True)
    (root / "large").write_bytes(os.urandom(11 * MIB))
    (root / "empty").write_bytes(b"")
    (root / "sub dir" / "ü + %20 & 'x'.txt").write_text("odd\n")
    return root


KEYS = ["empty", "large", "sub dir/ü + %20 & 'x'.txt"]


def same(one, two):
    compared = filecmp.dircmp(one, two)
    assert not (compared.left_only or compared.right_only or compared.funny_files)
    match, *different = filecmp.cmpfiles(one, two, compared.common_files, shallow=False)
    assert different == [[], []] and sorted(match) == sorted(compared.common_files)
    for name in compared.common_dirs:
        same(os.path.join(one, name), os.path.join(two, name))


def keys_of(account, bucket, prefix=""):
    listed = account.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return [entry["Key"][len(prefix):] for entry in listed]


class TestRclone:
    def rclone(self, account, *words, **more):
        env = {"RCLONE_CONFIG_R_TYPE": "s3", "RCLONE_CONFIG_R_PROVIDER": "Minio",
               "RCLONE_CONFIG_R_ENV_AUTH": "true", "RCLONE_CONFIG_R_ENDPOINT": account.endpoint,
               "RCLONE_CONFIG_R_FORCE_PATH_STYLE": "true", "RCLONE_CONFIG_R_CHUNK_SIZE": "5Mi",
               "RCLONE_CONFIG_R_UPLOAD_CUTOFF": "5Mi"}
        return run(account, "rclone", "--config", "", "-q", "--retries", "1", *words, env=env, **more)

    def test_sync_and_back(self, account, tree, tmp_path):
        bucket = account.bucket_name()
        self.rclone(account, "mkdir", f"r:{bucket}")
        self.rclone(account, "sync", tree, f"r:{bucket}/d")
        assert keys_of(account, bucket, "d/") == KEYS
        self.rclone(account, "check", tree, f"r:{bucket}/d")
        self.rclone(account, "copy", f"r:{bucket}/d", f"r:{bucket}/e")
        self.rclone(account, "sync", f"r:{bucket}/e", tmp_path / "back")
        same(tree, tmp_path / "back")
        (tree / "empty").unlink()
        self.rclone(account, "sync", tree, f"r:{bucket}/d")
        assert keys_of(account, bucket, "d/") == KEYS[1:]
        listed = json.loads(self.rclone(account, "lsjson", "-R", "--files-only", f"r:{bucket}/d"))
        assert sorted((e["Path"], e["Size"]) for e in listed) == [(KEYS[1], 11 * MIB), (KEYS[2], 4)]
        self.rclone(account, "purge", f"r:{bucket}")
        assert account.s3.list_buckets()["Buckets"] == []

    def test_metadata(self, account, tmp_path):
        bucket = account.new_bucket()
        (tmp_path / "f").write_text("x")
        os.utime(tmp_path / "f", ns=(0, 1_500_000_000_123_456_789))
        self.rclone(account, "copyto", "--metadata", "--metadata-set", "cache-control=no-cache",
                    "--metadata-set", "content-type=text/odd", "--metadata-set", "colour=blue",
                    tmp_path / "f", f"r:{bucket}/f")
        head = account.s3.head_object(Bucket=bucket, Key="f")
        assert (head["CacheControl"], head["ContentType"]) == ("no-cache", "text/odd")
        assert head["Metadata"]["colour"] == "blue"
        assert head["Metadata"]["mtime"].startswith("1500000000.12345678") or "2017" in head["Metadata"]["mtime"]
        self.rclone(account, "copyto", "--metadata", f"r:{bucket}/f", f"r:{bucket}/g")
        assert account.s3.head_object(Bucket=bucket, Key="g")["Metadata"] == head["Metadata"]
        self.rclone(account, "touch", "--timestamp", "2001-02-03T04:05:06", f"r:{bucket}/g")
        seen = self.rclone(account, "lsl", f"r:{bucket}/g")
        assert "2001-02-03 04:05:06" in seen, seen
        self.rclone(account, "copyto", f"r:{bucket}/f", tmp_path / "back")
        assert os.stat(tmp_path / "back").st_mtime_ns == 1_500_000_000_123_456_789

    def test_what_is_streamed_and_linked(self, account):
        bucket = account.new_bucket()
        self.rclone(account, "rcat", f"r:{bucket}/s", stdin="streamed")
        assert self.rclone(account, "cat", "--offset", "2", "--count", "3", f"r:{bucket}/s") == "rea"
        link = self.rclone(account, "link", "--expire", "60s", f"r:{bucket}/s").strip()
        assert requests.get(link).text == "streamed"
        assert self.rclone(account, "backend", "list-multipart-uploads", f"r:{bucket}").strip() == (
            json.dumps({bucket: []}, indent="\t"))
        self.rclone(account, "deletefile", f"r:{bucket}/s")
        assert keys_of(account, bucket) == []


def test_s3cmd(account, tree, tmp_path):
    host = account.endpoint.split("//")[1]
    bucket = account.bucket_name()
    (tmp_path / "conf").write_text(
        f"[default]\naccess_key = {account.id}\nsecret_key = test\nhost_base = {host}\n"
        f"host_bucket = {host}\nuse_https = False\nmultipart_chunk_size_mb = 5\n")

    def s3cmd(*words, **more):
        return run(account, "s3cmd", "-c", tmp_path / "conf", "--no-progress", *words, **more)

    url = f"s3://{bucket}"
    assert s3cmd("mb", url) == f"Bucket '{url}/' created\n"
    s3cmd("sync", f"{tree}/", f"{url}/d/")
    assert keys_of(account, bucket, "d/") == KEYS
    # It kept when each file was changed, so there is nothing more to do.
    assert "upload" not in s3cmd("sync", f"{tree}/", f"{url}/d/")
    info = s3cmd("info", f"{url}/d/large")
    assert re.search(r"File size: +11534336\n", info) and "x-amz-meta-s3cmd-attrs:" in info
    assert re.search(r"Location: +us-east-1\n", s3cmd("info", url))
    s3cmd("cp", f"{url}/d/large", f"{url}/copy")
    s3cmd("mv", f"{url}/copy", f"{url}/moved")
    assert keys_of(account, bucket) == ["d/" + key for key in KEYS] + ["moved"]
    s3cmd("modify", "--add-header=Cache-Control:no-cache", f"{url}/moved")
    assert account.s3.head_object(Bucket=bucket, Key="moved")["CacheControl"] == "no-cache"
    assert requests.get(f"{account.endpoint}/{bucket}/moved").status_code == 403
    s3cmd("setacl", "--acl-public", f"{url}/moved")
    assert requests.get(f"{account.endpoint}/{bucket}/moved").status_code == 200
    # Its signed URLs are of Signature Version 2.
    signed = s3cmd("signurl", f"{url}/d/empty", "+60").strip()
    assert "AWSAccessKeyId" in signed and requests.get(signed).status_code == 200
    s3cmd("expire", "--expiry-days=3", url)
    assert "<Days>3</Days>" in s3cmd("getlifecycle", url)
    s3cmd("ws-create", url)
    assert re.search(r"Index document: +index.html\n", s3cmd("ws-info", url))
    assert s3cmd("du", url).split()[:2] == [str(22 * MIB + 4), "4"]
    (tmp_path / "back").mkdir()
    s3cmd("sync", f"{url}/d/", f"{tmp_path}/back/")
    same(tree, tmp_path / "back")
    s3cmd("del", "--recursive", "--force", url)
    assert s3cmd("rb", url) == f"Bucket '{url}/' removed\n"
    assert "NoSuchBucket" in subprocess.run(
        ["s3cmd", "-c", tmp_path / "conf", "ls", url], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}).stderr


def test_restic(account, tree, tmp_path):
    bucket = account.bucket_name()
    env = {"RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": f"s3:{account.endpoint}/{bucket}/backups",
           "RESTIC_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}

    def restic(*words):
        return run(account, "restic", "-q", *words, env=env)

    restic("init")
    restic("backup", tree)
    (tree / "empty").write_text("no more")
    restic("backup", tree)
    assert len(json.loads(restic("snapshots", "--json"))) == 2
    restic("forget", "--prune", "--keep-last", "1")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "back")
    same(tree, f"{tmp_path}/back{tree}")


@contextlib.contextmanager
def mounted(account, bucket, folder, secret):
    """s3fs in front, ended with the test."""
    folder.mkdir()
    secret.write_text(f"{account.id}:test")
    secret.chmod(0o600)
    options = (f"passwd_file={secret},url={account.endpoint},use_path_request_style,"
               f"endpoint={REGION},multipart_size=5,multireq_max=5")
    with open(f"{folder}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            ["s3fs", bucket, folder, "-f", "-o", options], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log)

    def there():
        assert process.poll() is None, open(f"{folder}.log", encoding="utf-8").read()
        return os.path.ismount(folder)

    try:
        wait_until(there, "it is mounted", 30)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=False, capture_output=True)
        process.terminate()
        process.wait(30)


def test_s3fs(account, bucket, tmp_path):
    """A bucket as a folder: what programs do with files."""
    with mounted(account, bucket, tmp_path / "mnt", tmp_path / "secret") as folder:
        (folder / "d" / "e").mkdir(parents=True)
        data = bytearray(os.urandom(12 * MIB))
        (folder / "d" / "large").write_bytes(data)
        assert (folder / "d" / "large").read_bytes() == data
        (folder / "d" / "small ü").write_text("small")
        (folder / "d" / "small ü").rename(folder / "d" / "e" / "moved")
        (folder / "link").symlink_to("d/e/moved")
        assert (folder / "link").read_text() == "small"
        (folder / "d" / "e" / "moved").chmod(0o640)
        with open(folder / "d" / "large", "r+b") as file:
            file.seek(6 * MIB)
            file.write(b"changed in the middle")
        data[6 * MIB:6 * MIB + 21] = b"changed in the middle"
        with open(folder / "d" / "e" / "moved", "a", encoding="utf-8") as file:
            file.write(" and more")
        found = sorted(os.path.relpath(os.path.join(at, name), folder)
                       for at, dirs, files in os.walk(folder) for name in dirs + files)
        assert found == ["d", "d/e", "d/e/moved", "d/large", "link"]
    assert keys_of(account, bucket) == ["d/", "d/e/", "d/e/moved", "d/large", "link"]
    assert account.s3.get_object(Bucket=bucket, Key="d/large")["Body"].read() == data
    moved = account.s3.get_object(Bucket=bucket, Key="d/e/moved")
    assert moved["Body"].read() == b"small and more"
    assert int(moved["Metadata"]["mode"]) & 0o777 == 0o640
    # What others wrote is there in the next mount.
    account.s3.put_object(Bucket=bucket, Key="f/g", Body=b"from elsewhere")
    with mounted(account, bucket, tmp_path / "again", tmp_path / "secret") as folder:
        assert (folder / "f" / "g").read_text() == "from elsewhere"
        for name in ["link", "d/e/moved", "d/large", "f/g"]:
            (folder / name).unlink()
        for name in ["d/e", "d", "f"]:
            (folder / name).rmdir()
    assert keys_of(account, bucket) == []


class TestTheCliOfTwo:
    """The AWS CLI, version 2, as Debian has it: 2.9, from before the SDKs sent checksums by themselves."""

    def aws(self, account, *words, **more):
        words = ["/usr/bin/aws", "--endpoint-url", account.endpoint, *words]
        env = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
        return run(account, *words, env=env, **more)

    def test_a_first_hour(self, account, tree, tmp_path):
        assert self.aws(account, "--version").startswith("aws-cli/2.")
        url = f"s3://{account.bucket_name()}"
        self.aws(account, "s3", "mb", url)
        self.aws(account, "s3", "sync", str(tree), f"{url}/d", "--no-progress")
        assert keys_of(account, url[5:], "d/") == KEYS
        self.aws(account, "s3", "sync", f"{url}/d", f"{url}/e", "--no-progress")
        self.aws(account, "s3", "cp", f"{url}/e", str(tmp_path / "back"), "--recursive", "--no-progress")
        same(tree, tmp_path / "back")
        assert self.aws(account, "s3", "cp", "-", f"{url}/s", stdin="streamed") == ""
        assert self.aws(account, "s3", "cp", f"{url}/s", "-") == "streamed"
        presigned = self.aws(account, "s3", "presign", f"{url}/s").strip()
        assert requests.get(presigned).text == "streamed"
        self.aws(account, "s3", "rb", url, "--force")
        assert self.aws(account, "s3", "ls") == ""

    def test_answers_as_it_shows_them(self, account, bucket):
        for key in "abc":
            account.s3.put_object(Bucket=bucket, Key=key, Body=key)
        got = self.aws(account, "s3api", "list-objects-v2", "--bucket", bucket, "--page-size", "2",
                       "--query", "Contents[].[Key,Size]", "--output", "yaml")
        assert got == "- - a\n  - 1\n- - b\n  - 1\n- - c\n  - 1\n"
        who = self.aws(account, "sts", "get-caller-identity", "--output", "json")
        assert json.loads(who)["Arn"] == f"arn:aws:iam::{account.id}:root"
        made = json.loads(self.aws(account, "iam", "create-user", "--user-name", "u"))["User"]
        # IAM knows no fractions of a second.
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made["CreateDate"])
        table = self.aws(account, "iam", "list-users", "--query", "Users[].UserName", "--output", "text")
        assert table == "u\n"
        self.aws(account, "s3api", "wait", "object-exists", "--bucket", bucket, "--key", "a")

    def test_an_error(self, account):
        done = subprocess.run(
            ["/usr/bin/aws", "--endpoint-url", account.endpoint, "s3api", "get-object", "--bucket",
             account.bucket_name(), "--key", "k", "/dev/null"], capture_output=True, text=True,
            check=False, env={"PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": account.id,
                              "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION})
        assert done.returncode == 254
        assert "(NoSuchBucket) when calling the GetObject operation" in done.stderr


def library(account, script, **env):
    """Runs Python that sees the clients that are kept apart from the suite."""
    return run(account, sys.executable, "-c", script, env={"PYTHONPATH": LIBRARIES, **env})


POLARS = """
import os, polars as pl
at = "s3://" + os.environ["BUCKET"]
options = {"aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"], "aws_allow_http": "true"}
frame = pl.DataFrame({"a": range(100_000), "b": [f"x{n % 7}" for n in range(100_000)]})
for year in (2017, 2018):
    frame.write_parquet(f"{at}/p/year={year}/f.parquet", storage_options=options)
frame.write_csv(f"{at}/c/f.csv", storage_options=options)
scan = pl.scan_parquet(f"{at}/p/**/*.parquet", storage_options=options, hive_partitioning=True)
groups = scan.group_by("b", "year").agg(pl.col("a").sum()).collect()
assert groups.shape == (14, 3) and groups["a"].sum() == 2 * frame["a"].sum()
assert scan.filter(pl.col("year") == 2018, pl.col("a") == 5).select("b").collect().item() == "x5"
assert pl.scan_csv(f"{at}/c/*.csv", storage_options=options).select(pl.len()).collect().item() == 100_000
scan.sink_parquet(f"{at}/sunk.parquet", storage_options=options)
assert pl.read_parquet(f"{at}/sunk.parquet", storage_options=options).height == 200_000
try:
    pl.read_parquet(f"{at}/absent.parquet", storage_options=options)
except (OSError, pl.exceptions.ComputeError, FileNotFoundError) as error:
    print(type(error).__name__)
"""

DUCKDB = """
import glob, os, duckdb, duckdb_extension_httpfs
folder = os.path.dirname(duckdb_extension_httpfs.__file__)
(extension,) = glob.glob(folder + "/extensions/**/*.duckdb_extension", recursive=True)
db = duckdb.connect()
one = lambda text: db.execute(text).fetchall()
one(f"LOAD '{extension}'")
at, host = "s3://" + os.environ["BUCKET"], os.environ["AWS_ENDPOINT_URL"].split("//")[1]
key = os.environ["AWS_ACCESS_KEY_ID"]
one(f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET 'test', REGION 'us-east-1', ENDPOINT '{host}',"
    " USE_SSL false, URL_STYLE 'path')")
one(f"copy (select range a, range % 10 b from range(300000)) to '{at}/one.parquet'")
assert one(f"select count(*), sum(a) from '{at}/one.parquet' where b = 3") == [(30000, 4499940000)]
one(f"copy (from '{at}/one.parquet') to '{at}/part' (format parquet, partition_by (b))")
read = f"read_parquet('{at}/part/*/*.parquet', hive_partitioning = true)"
assert one(f"select count(*) from {read} where b = 3") == [(30000,)]
assert one(f"select count(*) from glob('{at}/part/b=*/*')") == [(10,)]
one(f"copy (select 1 a, 'x' b) to '{at}/one.csv'")
assert one(f"from '{at}/one.csv'") == [(1, "x")]
one(f"copy (select 1 a) to '{at}/one.json.gz'") 
try:
    one(f"from '{at}/absent.parquet'")
except (duckdb.HTTPException, duckdb.IOException) as error:
    print("404" in str(error))
"""

ARROW = """
import os, pyarrow as pa, pyarrow.dataset as ds, pyarrow.fs as fs, pyarrow.parquet as pq
s3 = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"], region="us-east-1",
                     allow_bucket_creation=True, allow_bucket_deletion=True)
at = os.environ["BUCKET"]
s3.create_dir(f"{at}/d/e")
for n in range(3):
    pq.write_table(pa.table({"a": range(1000)}), f"{at}/d/{n}.parquet", filesystem=s3)
assert ds.dataset(f"{at}/d", filesystem=s3, format="parquet").count_rows() == 3000
with s3.open_output_stream(f"{at}/large", metadata={"Content-Type": "text/odd"}) as file:
    for _ in range(12):
        file.write(os.urandom(1 << 20))
assert s3.get_file_info(f"{at}/large").size == 12 << 20
with s3.open_input_file(f"{at}/large") as file:
    file.seek(6 << 20)
    assert len(file.read(10)) == 10
s3.move(f"{at}/large", f"{at}/moved")
names = sorted(f.path for f in s3.get_file_info(fs.FileSelector(at, recursive=True)))
assert names == [f"{at}/{n}" for n in ["d", "d/0.parquet", "d/1.parquet", "d/2.parquet", "d/e", "moved"]]
s3.delete_dir(at)
print(s3.get_file_info(at).type.name)
"""

MINIO = """
import io, os, urllib.request
from minio import Minio, S3Error
from minio.commonconfig import ENABLED, ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.versioningconfig import VersioningConfig
host = os.environ["AWS_ENDPOINT_URL"].split("//")[1]
s3 = Minio(host, os.environ["AWS_ACCESS_KEY_ID"], "test", secure=False)
at = os.environ["BUCKET"]
assert not s3.bucket_exists(at)
s3.make_bucket(at)
s3.set_bucket_versioning(at, VersioningConfig(ENABLED))
tags = Tags.new_object_tags()
tags["colour"] = "blue"
s3.put_object(at, "d/ü k", io.BytesIO(b"small"), 5, metadata={"a": "b"}, tags=tags)
data = os.urandom(11 << 20)
s3.put_object(at, "large", io.BytesIO(data), -1, part_size=5 << 20)
assert s3.get_object(at, "large").read() == data
assert s3.stat_object(at, "d/ü k").metadata["x-amz-meta-a"] == "b"
assert s3.get_object_tags(at, "d/ü k") == tags
s3.copy_object(at, "copy", CopySource(at, "d/ü k"))
s3.compose_object(at, "both", [ComposeSource(at, "large"), ComposeSource(at, "copy")])
assert s3.get_object(at, "both", offset=len(data)).read() == b"small"
assert urllib.request.urlopen(s3.presigned_get_object(at, "copy")).read() == b"small"
assert sorted(o.object_name for o in s3.list_objects(at)) == ["both", "copy", "d/", "large"]
keys = [o.object_name for o in s3.list_objects(at, recursive=True)]
assert list(s3.remove_objects(at, [DeleteObject(k) for k in keys])) == []
versions = list(s3.list_objects(at, include_version=True, recursive=True))
assert len(versions) == 8 and sum(v.is_delete_marker for v in versions) == 4
left = [DeleteObject(v.object_name, v.version_id) for v in versions]
assert list(s3.remove_objects(at, left)) == []
s3.remove_bucket(at)
try:
    s3.get_object(at, "x")
except S3Error as error:
    print(error.code)
"""


def test_polars(account, bucket):
    assert library(account, POLARS, BUCKET=bucket).strip() == "FileNotFoundError"
    assert keys_of(account, bucket) == [
        "c/f.csv", "p/year=2017/f.parquet", "p/year=2018/f.parquet", "sunk.parquet"]


def test_duckdb(account, bucket):
    assert library(account, DUCKDB, BUCKET=bucket).strip() == "True"


def test_arrow(account):
    assert library(account, ARROW, BUCKET=account.bucket_name()).strip() == "NotFound"


def test_minio_python(account):
    assert library(account, MINIO, BUCKET=account.bucket_name()).strip() == "NoSuchBucket"


def test_s5cmd(account, tree, tmp_path):
    bucket = account.bucket_name()

    def s5cmd(*words):
        program = os.path.join(LIBRARIES, "s5cmd", "bin", "s5cmd")
        return run(account, program, "--endpoint-url", account.endpoint, *words)

    s5cmd("mb", f"s3://{bucket}")
    s5cmd("cp", f"{tree}/", f"s3://{bucket}/d/")
    assert keys_of(account, bucket, "d/") == KEYS
    assert s5cmd("cat", f"s3://{bucket}/d/{KEYS[2]}") == "odd\n"
    s5cmd("mv", f"s3://{bucket}/d/large", f"s3://{bucket}/moved")
    s5cmd("sync", f"s3://{bucket}/d/*", f"{tmp_path}/back/")
    assert sorted(os.listdir(tmp_path / "back")) == ["empty", "sub dir"]
    s5cmd("rm", f"s3://{bucket}/*")
    s5cmd("rb", f"s3://{bucket}")
    assert account.s3.list_buckets()["Buckets"] == []
