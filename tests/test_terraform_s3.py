"""Terraform's state in a bucket, under both of its locks, and the calls that its AWS provider (v5, v6)
makes for each resource of S3, in its order: create, read, update, import, destroy.

Terraform itself is in no registry that the tests install from. Where it is on the path it is driven; the
calls that it makes are replayed everywhere. The provider is not to be had, so its calls are replayed.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest
import requests
import wire
from accounts import REGION, allow, policy, refused, trust

TAGS = [{"Key": "Environment", "Value": "test"}, {"Key": "Name", "Value": "x"}]


def terraform_version():
    """Of the Terraform on the path, if it can lock by a file."""
    if not shutil.which("terraform"):
        return None
    shown = subprocess.run(
        ["terraform", "version", "-json"], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull})
    version = re.search(r'"terraform_version": "(\d+)\.(\d+)', shown.stdout)
    return version and tuple(int(part) for part in version.groups())


WAYS = ["replay", *(["terraform"] if (terraform_version() or (0, 0)) >= (1, 10) else [])]


@pytest.fixture
def state(account):
    """The bucket of the state, versioned, and the table of locks."""
    bucket = account.new_bucket("state")
    account.s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    account.client("dynamodb").create_table(
        TableName="locks", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}])
    account.client("dynamodb").get_waiter("table_exists").wait(
        TableName="locks", WaiterConfig={"Delay": 1})
    return bucket


CONFIGURATION = """
terraform {
  backend "s3" {
    bucket = "%(bucket)s"
    key    = "env/state"
    region = "us-east-1"
    use_path_style = true
    encrypt = true
    %(lock)s
    endpoints = { s3 = "%(endpoint)s", dynamodb = "%(endpoint)s", sts = "%(endpoint)s" }
  }
}
variable "v" { default = "one" }
resource "terraform_data" "x" { input = var.v }
output "o" { value = terraform_data.x.output }
"""
LOCKS = {"file": "use_lockfile = true", "table": 'dynamodb_table = "locks"',
         "both": 'use_lockfile = true\ndynamodb_table = "locks"'}


class Terraform:
    """The real one, in a folder of its own."""

    def __init__(self, account, bucket, lock, folder):
        folder.mkdir()
        values = {"bucket": bucket, "lock": LOCKS[lock], "endpoint": account.endpoint}
        (folder / "main.tf").write_text(CONFIGURATION % values)
        self.folder = folder
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "AWS_ACCESS_KEY_ID": account.id,
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION, "TF_IN_AUTOMATION": "1",
            "AWS_EC2_METADATA_DISABLED": "true", "CHECKPOINT_DISABLE": "1", "TF_INPUT": "0",
            "TF_CLI_CONFIG_FILE": os.devnull, "TF_CLI_ARGS": "-no-color",
        }
        self.run("init")

    def run(self, *words, code=0):
        done = subprocess.run(
            ["terraform", *words], cwd=self.folder, env=self.env, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=120, check=False)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


class Replay:
    """What it sends to read and write a state and to lock it."""

    def __init__(self, account, bucket, lock):
        self.s3, self.dynamodb = account.s3, account.client("dynamodb")
        self.bucket, self.lock = bucket, lock
        self.id = f"{bucket}/env/state"

    def locked(self):
        info = json.dumps({"ID": "8e7c5d1e", "Operation": "OperationTypeApply", "Who": "me"})
        if self.lock in ("file", "both"):
            self.s3.put_object(
                Bucket=self.bucket, Key="env/state.tflock", Body=info, IfNoneMatch="*",
                ContentType="application/json", ServerSideEncryption="AES256",
                ChecksumAlgorithm="SHA256")
        if self.lock in ("table", "both"):
            self.dynamodb.put_item(
                TableName="locks", Item={"LockID": {"S": self.id}, "Info": {"S": info}},
                ConditionExpression="attribute_not_exists(LockID)")

    def unlocked(self):
        if self.lock in ("file", "both"):
            got = self.s3.get_object(Bucket=self.bucket, Key="env/state.tflock")
            assert json.loads(got["Body"].read())["ID"] == "8e7c5d1e"
            self.s3.delete_object(Bucket=self.bucket, Key="env/state.tflock")
        if self.lock in ("table", "both"):
            got = self.dynamodb.get_item(
                TableName="locks", Key={"LockID": {"S": self.id}}, ConsistentRead=True,
                ProjectionExpression="LockID, Info")["Item"]
            assert json.loads(got["Info"]["S"])["ID"] == "8e7c5d1e"
            self.dynamodb.delete_item(TableName="locks", Key={"LockID": {"S": self.id}})

    def write(self, text):
        data = text.encode()
        self.s3.put_object(
            Bucket=self.bucket, Key="env/state", Body=data, ContentType="application/json",
            ServerSideEncryption="AES256", ChecksumAlgorithm="SHA256")
        if self.lock in ("table", "both"):
            self.dynamodb.put_item(TableName="locks", Item={
                "LockID": {"S": self.id + "-md5"}, "Digest": {"S": hashlib.md5(data).hexdigest()}})

    def read(self):
        self.s3.head_object(Bucket=self.bucket, Key="env/state")
        got = self.s3.get_object(Bucket=self.bucket, Key="env/state", ChecksumMode="ENABLED")
        data = got["Body"].read()
        if self.lock in ("table", "both"):
            item = self.dynamodb.get_item(
                TableName="locks", Key={"LockID": {"S": self.id + "-md5"}}, ConsistentRead=True,
                ProjectionExpression="LockID, Digest")["Item"]
            assert item["Digest"]["S"] == hashlib.md5(data).hexdigest()
        return data.decode()


def states(account, bucket):
    listed = account.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return [entry["Key"] for entry in listed]


@pytest.mark.unkilled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lock", LOCKS)
def test_backend(account, state, tmp_path, lock, way):
    if way == "replay":
        replay = Replay(account, state, lock)
        with refused("404"):
            account.s3.head_object(Bucket=state, Key="env/state")
        replay.locked()
        with refused(("PreconditionFailed", "ConditionalCheckFailedException"), 412 if lock != "table" else 400):
            replay.locked()
        for text in ["one", "two"]:
            replay.write(text)
            assert replay.read() == text
        replay.unlocked()
        replay.locked()
        replay.unlocked()
        assert states(account, state) == ["env/state"]
        return
    terraform = Terraform(account, state, lock, tmp_path / "a")
    terraform.run("apply", "-auto-approve")
    terraform.run("plan", "-detailed-exitcode")
    assert states(account, state) == ["env/state"]
    # Another who holds the lock stops it; when that one is gone it goes on.
    holder = Replay(account, state, lock)
    holder.locked()
    said = terraform.run("apply", "-auto-approve", "-var", "v=two", code=1)
    assert "Error acquiring the state lock" in said and "OperationTypeApply" in said
    holder.unlocked()
    terraform.run("apply", "-auto-approve", "-var", "v=two")
    assert json.loads(terraform.run("output", "-json"))["o"]["value"] == "two"
    # Workspaces are keys below `env:`; a second person finds them.
    terraform.run("workspace", "new", "w")
    terraform.run("apply", "-auto-approve")
    second = Terraform(account, state, lock, tmp_path / "b")
    assert "w" in second.run("workspace", "list").split()
    assert json.loads(second.run("output", "-json"))["o"]["value"] == "two"
    terraform.run("workspace", "select", "default")
    terraform.run("workspace", "delete", "-force", "w")
    terraform.run("destroy", "-auto-approve")
    assert states(account, state) == ["env/state"]


def sse(algorithm):
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm},
                       "BucketKeyEnabled": True}]}


LIFECYCLE = {"Rules": [
    {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3},
     "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
    {"ID": "b", "Status": "Enabled",
     "Filter": {"And": {"Prefix": "x/", "Tags": TAGS, "ObjectSizeGreaterThan": 500}},
     "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}],
     "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 2}},
]}
CORS = {"CORSRules": [{"ID": "r", "AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://a.example"],
                       "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 30}]}
ANALYTICS = {"Id": "all", "StorageClassAnalysis": {}}
METRICS = {"Id": "m", "Filter": {"And": {"Prefix": "x/", "Tags": TAGS}}}
TIERING = {"Id": "t", "Status": "Enabled", "Tierings": [{"Days": 125, "AccessTier": "ARCHIVE_ACCESS"}]}


def inventory(bucket):
    return {"Id": "i", "IsEnabled": True, "IncludedObjectVersions": "All", "Schedule": {"Frequency": "Daily"},
            "OptionalFields": ["Size", "ETag"],
            "Destination": {"S3BucketDestination": {"Bucket": f"arn:aws:s3:::{bucket}", "Format": "CSV"}}}


# Of a resource: the call that writes it (create and update are one), what is written first and then, the
# call that reads it (import too), what it must answer, the call that destroys it and what a read says then.
CONFIGURATIONS = {
    "cors": ("put_bucket_cors", "CORSConfiguration", [CORS, {"CORSRules": [
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}],
        "get_bucket_cors", None, "delete_bucket_cors", "NoSuchCORSConfiguration"),
    "encryption": ("put_bucket_encryption", "ServerSideEncryptionConfiguration",
                   [sse("AES256"), sse("aws:kms")],
                   "get_bucket_encryption", "ServerSideEncryptionConfiguration", "delete_bucket_encryption", {
                       "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                                  "BucketKeyEnabled": False}]}),
    "ownership": ("put_bucket_ownership_controls", "OwnershipControls",
                  [{"Rules": [{"ObjectOwnership": value}]} for value in
                   ("BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced")],
                  "get_bucket_ownership_controls", "OwnershipControls", "delete_bucket_ownership_controls",
                  "OwnershipControlsNotFoundError"),
    "public access": ("put_public_access_block", "PublicAccessBlockConfiguration",
                      [dict(BlockPublicAcls=a, IgnorePublicAcls=b, BlockPublicPolicy=a,
                            RestrictPublicBuckets=b) for a, b in [(True, True), (False, True)]],
                      "get_public_access_block", "PublicAccessBlockConfiguration",
                      "delete_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
    "tags": ("put_bucket_tagging", "Tagging", [{"TagSet": TAGS}, {"TagSet": TAGS[:1]}],
             "get_bucket_tagging", None, "delete_bucket_tagging", "NoSuchTagSet"),
    "website": ("put_bucket_website", "WebsiteConfiguration", [
        {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"},
         "RoutingRules": [{"Condition": {"KeyPrefixEquals": "a/"}, "Redirect": {"ReplaceKeyPrefixWith": "b/"}}]},
        {"RedirectAllRequestsTo": {"HostName": "a.example", "Protocol": "https"}}],
        "get_bucket_website", None, "delete_bucket_website", "NoSuchWebsiteConfiguration"),
    "versioning": ("put_bucket_versioning", "VersioningConfiguration",
                   [{"Status": "Enabled"}, {"Status": "Suspended"}], "get_bucket_versioning", None, None, None),
    "acceleration": ("put_bucket_accelerate_configuration", "AccelerateConfiguration",
                     [{"Status": "Enabled"}, {"Status": "Suspended"}],
                     "get_bucket_accelerate_configuration", None, None, None),
    "request payment": ("put_bucket_request_payment", "RequestPaymentConfiguration",
                        [{"Payer": "Requester"}, {"Payer": "BucketOwner"}],
                        "get_bucket_request_payment", None, None, None),
    "notification": ("put_bucket_notification_configuration", "NotificationConfiguration",
                     [{"EventBridgeConfiguration": {}}, {}],
                     "get_bucket_notification_configuration", None, None, None),
}


@pytest.mark.parametrize("resource", CONFIGURATIONS)
def test_configuration(account, bucket, resource):
    s3 = account.s3
    put, member, values, get, inside, delete, after = CONFIGURATIONS[resource]

    def read():
        got = getattr(s3, get)(Bucket=bucket, ExpectedBucketOwner=account.id)
        del got["ResponseMetadata"]
        return got[inside] if inside else got

    for value in values:
        getattr(s3, put)(Bucket=bucket, ExpectedBucketOwner=account.id, **{member: value})
        # Twice, as a refresh and a plan do: nothing may differ from what was written.
        assert read() == value == read()
    if delete:
        getattr(s3, delete)(Bucket=bucket)
        if isinstance(after, str):
            with refused(after, 404):
                read()
        else:
            assert read() == after


NAMED = {
    "analytics": ("analytics_configuration", "AnalyticsConfiguration", lambda _: ANALYTICS),
    "metrics": ("metrics_configuration", "MetricsConfiguration", lambda _: METRICS),
    "tiering": ("intelligent_tiering_configuration", "IntelligentTieringConfiguration", lambda _: TIERING),
    "inventory": ("inventory_configuration", "InventoryConfiguration", inventory),
}


@pytest.mark.parametrize("resource", NAMED)
def test_named_configuration(account, bucket, resource):
    call, member, make = NAMED[resource]
    value = make(bucket)
    where = {"Bucket": bucket, "Id": value["Id"]}
    put, get = (getattr(account.s3, f"{verb}_bucket_{call}") for verb in ("put", "get"))
    with refused("NoSuchConfiguration", 404):
        get(**where)
    put(**where, **{member: value})
    assert get(**where)[member] == value == get(**where)[member]
    listed = getattr(account.s3, f"list_bucket_{call}s")(Bucket=bucket)
    assert listed[member + "List"] == [value] and listed["IsTruncated"] is False
    getattr(account.s3, f"delete_bucket_{call}")(**where)
    with refused("NoSuchConfiguration", 404):
        get(**where)


def test_lifecycle_and_its_header(account, bucket):
    """The provider takes the header's absence for a change that it waits for, for ever."""
    name = "x-amz-transition-default-minimum-object-size"
    default, other = "all_storage_classes_128K", "varies_by_storage_class"
    s3 = account.s3

    def read():
        got = s3.get_bucket_lifecycle_configuration(Bucket=bucket, ExpectedBucketOwner=account.id)
        assert got["Rules"] == LIFECYCLE["Rules"]
        assert got["ResponseMetadata"]["HTTPHeaders"][name] == got["TransitionDefaultMinimumObjectSize"]
        return got["TransitionDefaultMinimumObjectSize"]

    for more, expected in [({}, default), ({"TransitionDefaultMinimumObjectSize": other}, other),
                           ({"TransitionDefaultMinimumObjectSize": default}, default)]:
        put = s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration=LIFECYCLE, ExpectedBucketOwner=account.id, **more)
        assert put["ResponseMetadata"]["HTTPHeaders"][name] == expected
        assert read() == expected == read()
    s3.delete_bucket_lifecycle(Bucket=bucket, ExpectedBucketOwner=account.id)
    with refused("NoSuchLifecycleConfiguration", 404):
        read()


def test_bucket(account):
    s3, name = account.s3, account.bucket_name()
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    head = s3.head_bucket(Bucket=name)
    assert head["BucketRegion"] == REGION
    assert s3.get_bucket_location(Bucket=name).get("LocationConstraint") is None
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration={
        "ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 5}}})
    lock = s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"] == {"Mode": "GOVERNANCE", "Days": 5}
    # force_destroy: all versions go, governance bypassed, then the bucket.
    for _ in range(2):
        s3.put_object(Bucket=name, Key="k", Body=b"x")
    s3.delete_object(Bucket=name, Key="k")
    listed = s3.list_object_versions(Bucket=name)
    gone = [{"Key": v["Key"], "VersionId": v["VersionId"]}
            for v in listed["Versions"] + listed["DeleteMarkers"]]
    with refused("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket=name)
    done = s3.delete_objects(Bucket=name, Delete={"Objects": gone}, BypassGovernanceRetention=True)
    assert len(done["Deleted"]) == 3 and "Errors" not in done
    s3.delete_bucket(Bucket=name)
    with refused("404"):
        s3.head_bucket(Bucket=name)


def test_bucket_tags_of_provider_6(account, bucket):
    """It asks the newer API first, and is content with the older where that one is not there."""
    request = wire.Request(
        account, "GET", f"/v20180820/tags/arn%3Aaws%3As3%3A%3A%3A{bucket}", service="s3").sign()
    answer = requests.get(f"{account.endpoint}{request.target}", headers=dict(request.headers))
    assert answer.status_code != 200 or "<Tags/>" in answer.text


def test_acl(account, bucket):
    s3 = account.s3
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
    s3.put_bucket_acl(Bucket=bucket, ACL="log-delivery-write")
    read = s3.get_bucket_acl(Bucket=bucket)
    owner, grants = read["Owner"], read["Grants"]
    assert sorted(g["Permission"] for g in grants) == ["FULL_CONTROL", "READ_ACP", "WRITE"]
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy={"Owner": owner, "Grants": grants[:1]})
    (left,) = s3.get_bucket_acl(Bucket=bucket)["Grants"]
    assert left["Grantee"]["ID"] == owner["ID"] and left["Permission"] == "FULL_CONTROL"


def test_bucket_policy(account, bucket):
    role = account.iam.create_role(
        RoleName="r", AssumeRolePolicyDocument=trust({"Service": "ec2.amazonaws.com"}))["Role"]
    written = policy(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*", Principal={"AWS": role["Arn"]}),
                     allow("s3:*", [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                           Principal={"Service": "logging.s3.amazonaws.com"},
                           Condition={"StringEquals": {"aws:SourceAccount": account.id}}))
    account.s3.put_bucket_policy(Bucket=bucket, Policy=written)
    read = account.s3.get_bucket_policy(Bucket=bucket)["Policy"]
    assert json.loads(read) == json.loads(written)
    assert account.s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"] == {"IsPublic": False}
    account.s3.delete_bucket_policy(Bucket=bucket)
    with refused("NoSuchBucketPolicy", 404):
        account.s3.get_bucket_policy(Bucket=bucket)


def test_object(account, bucket):
    s3 = account.s3
    s3.put_object(
        Bucket=bucket, Key="a/ü", Body=b"one", ContentType="text/odd", CacheControl="no-cache",
        Metadata={"k": "v"}, Tagging="Environment=test&Name=x", StorageClass="STANDARD_IA",
        ServerSideEncryption="AES256", ChecksumAlgorithm="CRC32", ACL="private")
    head = s3.head_object(Bucket=bucket, Key="a/ü", ChecksumMode="ENABLED")
    assert head["ETag"] == f'"{hashlib.md5(b"one").hexdigest()}"'
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == ("text/odd", "no-cache", {"k": "v"})
    assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")
    assert head["ChecksumCRC32"] and head["ChecksumType"] == "FULL_OBJECT"
    tags = s3.get_object_tagging(Bucket=bucket, Key="a/ü")["TagSet"]
    assert sorted(tags, key=lambda tag: tag["Key"]) == TAGS
    s3.put_object_tagging(Bucket=bucket, Key="a/ü", Tagging={"TagSet": TAGS[:1]})
    assert s3.get_object_tagging(Bucket=bucket, Key="a/ü")["TagSet"] == TAGS[:1]
    # aws_s3_object_copy
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a/ü"},
                   TaggingDirective="REPLACE", Tagging="c=d", MetadataDirective="COPY")
    head = s3.head_object(Bucket=bucket, Key="b")
    assert (head["Metadata"], head["TagCount"] if "TagCount" in head else 1) == ({"k": "v"}, 1)
    for key in ["a/ü", "b"]:
        s3.delete_object(Bucket=bucket, Key=key)
        with refused("404"):
            s3.head_object(Bucket=bucket, Key=key)
