"""A data folder that an earlier build has written, kept in `fixtures/`: what stands in it is read by every
later build as it was read then.

`python data_folder.py NEW.tar.gz` has the program that `CUMULET_BIN` names make another one, which is needed
only when services keep new kinds of things; those that are there stay as they are. (Run it under `faketime`,
so that no clock of whoever opens it is behind.)
"""

import datetime
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile

from accounts import Account
from cloud import Cloud, cumulet
from deadline import wait_until

ACCOUNT = "700000000077"
# Not of the data: of the process and the machine, or made anew.
LEFT_OUT = ("lock", "reserve", "tls", "audit", "sockets", "engine", "snapshots", "run")
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
TAGS = [{"Key": "team", "Value": "blue ü"}]


def _policy(bucket, *actions):
    arn = f"arn:aws:s3:::{bucket}"
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": [arn, arn + "/*"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def fill_s3(account):
    s3 = account.s3
    s3.create_bucket(Bucket="kept-plain")
    for size in (0, 10, 10_000, 200_000, 1_500_000):
        s3.put_object(Bucket="kept-plain", Key=f"of/{size}", Body=b"k" * size, Metadata={"size": str(size)})
    s3.put_object(
        Bucket="kept-plain",
        Key="with everything",
        Body=b"a,b\n",
        ContentType="text/csv",
        CacheControl="no-cache",
        Tagging="colour=red",
        ChecksumAlgorithm="SHA256",
    )
    s3.put_bucket_tagging(Bucket="kept-plain", Tagging={"TagSet": TAGS})
    cors = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example"]}]}
    s3.put_bucket_cors(Bucket="kept-plain", CORSConfiguration=cors)
    website = {"IndexDocument": {"Suffix": "index.html"}}
    s3.put_bucket_website(Bucket="kept-plain", WebsiteConfiguration=website)
    upload = s3.create_multipart_upload(Bucket="kept-plain", Key="in parts")
    begun = {"Bucket": "kept-plain", "Key": "in parts", "UploadId": upload["UploadId"]}
    s3.upload_part(PartNumber=1, Body=b"p" * 5_300_000, **begun)
    s3.create_bucket(Bucket="kept-locked", ObjectLockEnabledForBucket=True)
    for text in (b"one", b"two"):
        s3.put_object(Bucket="kept-locked", Key="k", Body=text)
    s3.delete_object(Bucket="kept-locked", Key="k")
    until = datetime.datetime(2400, 1, 1, tzinfo=datetime.timezone.utc)
    s3.put_object(
        Bucket="kept-locked",
        Key="held",
        Body=b"held",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
    )
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 9}}
    s3.put_bucket_lifecycle_configuration(
        Bucket="kept-locked", LifecycleConfiguration={"Rules": [rule]}
    )
    s3.put_bucket_policy(
        Bucket="kept-locked",
        Policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Principal": "*",
                        "Action": "s3:PutBucketAcl",
                        "Resource": "arn:aws:s3:::kept-locked",
                    }
                ],
            }
        ),
    )


def fill_iam(account):
    iam = account.iam
    iam.create_user(UserName="ann", Path="/dev/", Tags=TAGS)
    iam.put_user_policy(
        UserName="ann", PolicyName="in", PolicyDocument=_policy("kept-plain", "s3:GetObject")
    )
    iam.create_group(GroupName="readers")
    iam.add_user_to_group(GroupName="readers", UserName="ann")
    made = iam.create_policy(PolicyName="listing", PolicyDocument=_policy("kept-plain", "s3:ListBucket"))
    iam.create_policy_version(
        PolicyArn=made["Policy"]["Arn"],
        PolicyDocument=_policy("kept-plain", "s3:ListBucket", "s3:GetBucketCORS"),
        SetAsDefault=True,
    )
    iam.attach_group_policy(GroupName="readers", PolicyArn=made["Policy"]["Arn"])
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=json.dumps(TRUST), MaxSessionDuration=7200)
    iam.attach_role_policy(RoleName="worker", PolicyArn="arn:aws:iam::aws:policy/ReadOnlyAccess")
    iam.create_instance_profile(InstanceProfileName="machine")
    iam.add_role_to_instance_profile(InstanceProfileName="machine", RoleName="worker")
    iam.create_account_alias(AccountAlias="kept-alias")
    iam.update_account_password_policy(MinimumPasswordLength=12)
    iam.create_login_profile(UserName="ann", Password="Long-Enough-1234")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    return [key["AccessKeyId"], key["SecretAccessKey"]]


def fill_dynamodb(account):
    ddb = account.dynamodb
    key = [
        {"AttributeName": "p", "KeyType": "HASH"},
        {"AttributeName": "s", "KeyType": "RANGE"},
    ]
    by_n = {
        "IndexName": "by-n",
        "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    ddb.create_table(
        TableName="kept",
        KeySchema=key,
        AttributeDefinitions=[
            {"AttributeName": "p", "AttributeType": "S"},
            {"AttributeName": "s", "AttributeType": "N"},
            {"AttributeName": "n", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[by_n],
        BillingMode="PAY_PER_REQUEST",
        Tags=TAGS,
    )
    ddb.get_waiter("table_exists").wait(TableName="kept")
    for n in range(20):
        ddb.put_item(
            TableName="kept",
            Item={
                "p": {"S": f"p{n % 3}"},
                "s": {"N": str(n - 10)},
                "n": {"N": f"{n % 2}.5"},
                "b": {"B": bytes([n, 255])},
                "all": {"M": {"l": {"L": [{"NULL": True}, {"BOOL": False}]}, "ns": {"NS": ["1", "-2e9"]}}},
                "texts": {"SS": ["a", "ü"]},
            },
        )
    ddb.update_time_to_live(
        TableName="kept", TimeToLiveSpecification={"Enabled": True, "AttributeName": "ends"}
    )
    ddb.create_backup(TableName="kept", BackupName="kept-backup")

    def is_made():
        return ddb.list_backups(TableName="kept")["BackupSummaries"][0]["BackupStatus"] == "AVAILABLE"

    wait_until(is_made, "the backup is made", 30)


def _exact(value):
    """What JSON can hold of an answer."""
    if isinstance(value, dict):
        return {k: _exact(v) for k, v in value.items() if k != "ResponseMetadata"}
    if isinstance(value, (list, tuple, set)):
        return [_exact(v) for v in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat()
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if hasattr(value, "read"):
        return hashlib.sha256(value.read()).hexdigest()
    return value


def look_s3(s3):
    yield "buckets", s3.list_buckets()["Buckets"]
    for bucket in ("kept-plain", "kept-locked"):
        of = {"Bucket": bucket}
        versions = s3.list_object_versions(**of)
        yield f"{bucket} versions", [versions.get("Versions"), versions.get("DeleteMarkers")]
        yield f"{bucket} versioning", s3.get_bucket_versioning(**of)
        yield f"{bucket} acl", s3.get_bucket_acl(**of)
        for version in versions["Versions"]:
            at = {**of, "Key": version["Key"], "VersionId": version["VersionId"]}
            name = f"{bucket} {version['Key']} {version['VersionId']}"
            yield name, s3.get_object(ChecksumMode="ENABLED", **at)
            yield f"{name} tags", s3.get_object_tagging(**at)["TagSet"]
    plain, locked = {"Bucket": "kept-plain"}, {"Bucket": "kept-locked"}
    yield "tags", s3.get_bucket_tagging(**plain)
    yield "cors", s3.get_bucket_cors(**plain)
    yield "website", s3.get_bucket_website(**plain)
    uploads = s3.list_multipart_uploads(**plain)["Uploads"]
    yield "uploads", uploads
    yield "parts", s3.list_parts(**plain, Key="in parts", UploadId=uploads[0]["UploadId"])["Parts"]
    yield "lifecycle", s3.get_bucket_lifecycle_configuration(**locked)["Rules"]
    yield "policy", s3.get_bucket_policy(**locked)
    yield "lock", s3.get_object_lock_configuration(**locked)


def look_iam(iam):
    yield "details", iam.get_account_authorization_details(
        Filter=["User", "Role", "Group", "LocalManagedPolicy"]
    )
    yield "keys", iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]
    yield "alias", iam.list_account_aliases()["AccountAliases"]
    yield "passwords", iam.get_account_password_policy()
    yield "login", iam.get_login_profile(UserName="ann")
    yield "role", iam.get_role(RoleName="worker")["Role"]["MaxSessionDuration"]


def look_dynamodb(ddb):
    table = ddb.describe_table(TableName="kept")["Table"]
    # Counted from time to time.
    for part in [table, *table["GlobalSecondaryIndexes"]]:
        for name in [name for name in part if name.endswith("Count") or name.endswith("Bytes")]:
            del part[name]
    yield "table", table
    yield "items", sorted(ddb.scan(TableName="kept")["Items"], key=lambda item: int(item["s"]["N"]))
    asked = {"KeyConditionExpression": "n = :n", "ExpressionAttributeValues": {":n": {"N": "1.5"}}}
    found = ddb.query(TableName="kept", IndexName="by-n", **asked)["Items"]
    yield "by index", sorted(found, key=lambda item: int(item["s"]["N"]))
    yield "ttl", ddb.describe_time_to_live(TableName="kept")
    yield "table tags", ddb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    backup = ddb.list_backups(TableName="kept")["BackupSummaries"][0]
    yield "backup", [backup["BackupName"], backup["BackupArn"], backup["BackupStatus"]]


def look(account):
    """Everything that was put there, as this build sees it."""
    found = {}
    for part in (look_s3(account.s3), look_iam(account.iam), look_dynamodb(account.dynamodb)):
        found.update((name, _exact(value)) for name, value in part)
    return found


def missing(old, new, at=""):
    """What of `old` is another thing in `new`, which may have more."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [m for k, v in old.items() for m in missing(v, new.get(k), f"{at}/{k}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [m for n, (a, b) in enumerate(zip(old, new)) for m in missing(a, b, f"{at}/{n}")]
    return [] if old == new else [f"{at}: {old!r} was, {new!r} is"]


def quiet(cloud):
    """A cloud that nobody watches, for `Account`."""
    cloud.attempts = 3
    cloud.watch = lambda client: None
    cloud.before_request = lambda: None
    return cloud


def make(folder):
    """Fills a new data folder; gives what was seen in it, and the key of its user."""
    # What `faketime` sets.
    env = {name: text for name, text in os.environ.items() if name.startswith(("FAKETIME", "LD_PRELOAD"))}
    cloud = quiet(Cloud(folder, ["--docker-socket", "none"], env)).start()
    account = Account(ACCOUNT, cloud)
    try:
        fill_s3(account)
        key = fill_iam(account)
        # The index writes itself out; the rest stands in the log alone.
        for what in ("save", "remove"):
            done = cumulet("snapshot", what, "x", "--data", cloud.data, env=env)
            assert done.returncode == 0, done.stderr
        fill_dynamodb(account)
        return look(account), key
    finally:
        cloud.kill()


def pack(folder, seen, key, target):
    with tarfile.open(target, "w:gz", compresslevel=9) as tar:
        text = json.dumps({"key": key, "seen": seen}, indent=1, sort_keys=True, ensure_ascii=False)
        entry = tarfile.TarInfo("seen.json")
        entry.size = len(text.encode())
        tar.addfile(entry, io.BytesIO(text.encode()))
        for name in sorted(set(os.listdir(folder)) - set(LEFT_OUT)):
            tar.add(os.path.join(folder, name), f"data/{name}")


def unpack(archive, folder):
    """Gives what was seen in the folder that is now at `folder`/data, and the key."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    with open(os.path.join(folder, "seen.json"), encoding="utf-8") as file:
        kept = json.load(file)
    return kept["seen"], kept["key"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        where = os.path.join(scratch, "data")
        pack(where, *make(where), sys.argv[1])
