"""boto3 1.7 of 2018, as programs of that time use it: a part of each service, by endpoint."""

import os
import subprocess
import sys

import pytest

OLD = os.path.join(os.path.dirname(os.path.dirname(sys.executable)), "boto3-2018")

HEAD = """
import collections, collections.abc
for name in dir(collections.abc):  # a Python of 2018 had them here
    if not hasattr(collections, name): setattr(collections, name, getattr(collections.abc, name))
import sys
sys.modules["_elementtree"] = None  # and elements were asked for their children
import xml.etree.ElementTree
xml.etree.ElementTree.Element.getchildren = lambda self: list(self)
import boto3, io, json, os
assert boto3.__version__ == "1.7.16", boto3.__version__
from botocore.exceptions import ClientError
endpoint, account, bucket = (os.environ[name] for name in ("ENDPOINT", "ACCOUNT", "BUCKET"))
def client(service, **more): return boto3.client(service, endpoint_url=endpoint, **more)
def refused(code, call, **given):
    try: call(**given)
    except ClientError as error: assert error.response["Error"]["Code"] == code, error
    else: raise AssertionError("not refused")
"""

OBJECTS = """
from boto3.s3.transfer import TransferConfig
s3 = client("s3"); s3.create_bucket(Bucket=bucket)
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
s3.upload_fileobj(io.BytesIO(b"p" * (11 << 20)), bucket, "parts", Config=config,
                  ExtraArgs={"Metadata": {"m": "1"}, "ContentType": "text/x"})
head = s3.head_object(Bucket=bucket, Key="parts")
assert head["ETag"].endswith('-3"') and head["Metadata"] == {"m": "1"}, head
back = io.BytesIO(); s3.download_fileobj(bucket, "parts", back, Config=config)
assert back.getvalue() == b"p" * (11 << 20)
s3.copy({"Bucket": bucket, "Key": "parts"}, bucket, "a b/\\u00fc", Config=config)
for n in range(3): s3.put_object(Bucket=bucket, Key="k", Body=str(n))
pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
versions = [v for page in pages for v in page.get("Versions", [])]
assert [v["Key"] for v in versions] == ["a b/\\u00fc", "k", "k", "k", "parts"], versions
old = versions[3]["VersionId"]
assert s3.get_object(Bucket=bucket, Key="k", VersionId=old, Range="bytes=0-0")["Body"].read() == b"0"
s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b"}]
s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
assert len(s3.get_object_acl(Bucket=bucket, Key="k")["Grants"]) == 2
assert s3.list_buckets()["Owner"]["DisplayName"]
from botocore.vendored import requests
assert requests.get(s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})).content == b"2"
form = s3.generate_presigned_post(bucket, "form")
done = requests.post(form["url"], data=form["fields"], files={"file": b"posted"})
assert done.status_code == 204, done.text
refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="absent")
things = boto3.resource("s3", endpoint_url=endpoint).Bucket(bucket)
assert {o.key for o in things.objects.filter(Prefix="a b/")} == {"a b/\\u00fc"}
things.object_versions.delete(); things.delete()
"""

SETTINGS = """
s3 = client("s3"); s3.create_bucket(Bucket=bucket)
rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "p/"}, "Expiration": {"Days": 3}}
s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [rule]
cors = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]
s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": cors})
assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == cors
site = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "e.html"}}
s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=site)
assert s3.get_bucket_website(Bucket=bucket)["IndexDocument"] == site["IndexDocument"]
policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
    "Action": "s3:GetObject", "Resource": "arn:aws:s3:::" + bucket + "/*"}]})
s3.put_bucket_policy(Bucket=bucket, Policy=policy)
assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(policy)
s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encryption)
queue = {"Id": "q", "QueueArn": "arn:aws:sqs:us-east-1:%s:q" % account, "Events": ["s3:ObjectCreated:*"]}
s3.put_bucket_notification_configuration(
    Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]})
got = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
assert got == [queue], got
s3.delete_bucket_policy(Bucket=bucket); refused("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=bucket)
s3.delete_bucket(Bucket=bucket)
"""

IDENTITIES = """
iam, sts = client("iam"), client("sts")
trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}]})
allow = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
    "Action": ["s3:ListAllMyBuckets", "sts:AssumeRole"], "Resource": "*"}]})
role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust)["Role"]
assert role["AssumeRolePolicyDocument"]["Version"] == "2012-10-17"
iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=allow)
managed = iam.create_policy(PolicyName="m", PolicyDocument=allow)["Policy"]["Arn"]
iam.create_user(UserName="u"); iam.attach_user_policy(UserName="u", PolicyArn=managed)
key = iam.create_access_key(UserName="u")["AccessKey"]
as_user = client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
got = as_user.assume_role(RoleArn=role["Arn"], RoleSessionName="session")["Credentials"]
session = dict(aws_access_key_id=got["AccessKeyId"], aws_secret_access_key=got["SecretAccessKey"],
               aws_session_token=got["SessionToken"])
assert client("sts", **session).get_caller_identity()["Arn"].endswith(":assumed-role/r/session")
assert client("s3", **session).list_buckets()["Buckets"] == []
refused("AccessDenied", client("iam", **session).list_users)
refused("NoSuchEntity", iam.get_user, UserName="nobody")
assert [u["UserName"] for page in iam.get_paginator("list_users").paginate() for u in page["Users"]] == ["u"]
assert iam.simulate_principal_policy(PolicySourceArn=iam.get_user(UserName="u")["User"]["Arn"],
    ActionNames=["s3:ListAllMyBuckets"])["EvaluationResults"][0]["EvalDecision"] == "allowed"
"""

TABLES = """
from decimal import Decimal
from boto3.dynamodb.conditions import Attr, Key
tables = boto3.resource("dynamodb", endpoint_url=endpoint)
table = tables.create_table(TableName="old", KeySchema=[
    {"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
    AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"},
                          {"AttributeName": "s", "AttributeType": "N"}],
    ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1})
table.meta.client.get_waiter("table_exists").wait(TableName="old")
with table.batch_writer() as batch:
    for n in range(30): batch.put_item(Item={"p": "a", "s": n, "m": n, "x": {"y": [Decimal("1.5"), None, b"z"]}})
found = table.query(KeyConditionExpression=Key("p").eq("a") & Key("s").lt(5), FilterExpression=Attr("m").gt(1))
assert [int(i["s"]) for i in found["Items"]] == [2, 3, 4]
done = table.update_item(Key={"p": "a", "s": 1}, UpdateExpression="SET n = if_not_exists(n, :z) + :o",
    ExpressionAttributeValues={":z": 0, ":o": 1}, ReturnValues="UPDATED_NEW")
assert done["Attributes"] == {"n": 1}
refused("ConditionalCheckFailedException", table.put_item, Item={"p": "a", "s": 1},
        ConditionExpression=Attr("p").not_exists())
assert table.scan(Select="COUNT")["Count"] == 30
table.delete()
"""


@pytest.mark.parametrize("script", [OBJECTS, SETTINGS, IDENTITIES, TABLES],
                         ids=["objects", "settings", "identities", "tables"])
def test_what_programs_of_2018_do(account, script):
    account.cloud.before_request()
    env = {
        "PATH": os.environ["PATH"], "PYTHONPATH": OLD, "PYTHONDONTWRITEBYTECODE": "1",
        "ENDPOINT": account.endpoint, "ACCOUNT": account.id, "BUCKET": account.bucket_name(),
        "AWS_ACCESS_KEY_ID": account.id, "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", HEAD + script], env=env,
                          capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
