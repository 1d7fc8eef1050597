"""Event notifications with real clients: configurations kept, and refused in S3's words."""

import json

import pytest
from accounts import refused

REGION = "us-east-1"


def queue(account, *events, name="jobs", region=REGION, **more):
    return {"QueueArn": f"arn:aws:sqs:{region}:{account.id}:{name}",
            "Events": list(events) or ["s3:ObjectCreated:*"], **more}


def key_filter(**rules):
    return {"Key": {"FilterRules": [{"Name": name, "Value": value}
                                    for name, value in rules.items()]}}


def put(account, bucket, **configuration):
    account.s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration=configuration)


def get(account, bucket):
    got = account.s3.get_bucket_notification_configuration(Bucket=bucket)
    got.pop("ResponseMetadata")
    return got


def test_the_document_comes_back(account, bucket):
    assert get(account, bucket) == {}
    configuration = {
        "QueueConfigurations": [queue(account, Id="q", Filter=key_filter(Prefix="in/", Suffix=".x"))],
        "TopicConfigurations": [{
            "Id": "t", "TopicArn": f"arn:aws:sns:{REGION}:{account.id}:news",
            "Events": ["s3:ObjectRemoved:Delete", "s3:ObjectRestore:*"]}],
        "LambdaFunctionConfigurations": [{
            "Id": "l", "LambdaFunctionArn": f"arn:aws:lambda:{REGION}:{account.id}:function:f:live",
            "Events": ["s3:ObjectTagging:*"]}],
        "EventBridgeConfiguration": {},
    }
    put(account, bucket, **configuration)
    assert get(account, bucket) == configuration
    account.s3.put_object(Bucket=bucket, Key="in/a.x", Body=b"1")
    account.s3.delete_object(Bucket=bucket, Key="in/a.x")
    put(account, bucket)
    assert get(account, bucket) == {}
    account.s3.delete_bucket(Bucket=bucket)


def test_with_the_cli(account, bucket):
    document = {"QueueConfigurations": [queue(account)]}
    account.cli("s3api", "put-bucket-notification-configuration", "--bucket", bucket,
                "--notification-configuration", json.dumps(document), "--skip-destination-validation")
    got = json.loads(account.cli("s3api", "get-bucket-notification-configuration",
                                 "--bucket", bucket).stdout)
    assert got["QueueConfigurations"][0].pop("Id")
    assert got == document


@pytest.mark.parametrize("change, code, text", [
    ({"QueueArn": "arn:aws:sns:us-east-1:123456789012:jobs"}, "InvalidArgument",
     "The ARN could not be parsed"),
    ({"QueueArn": "jobs"}, "InvalidArgument", "The ARN could not be parsed"),
    ({"QueueArn": "arn:aws:sqs:eu-west-1:123456789012:jobs"}, "InvalidArgument",
     "The notification destination service region is not valid for the bucket location constraint"),
    ({"Events": ["s3:ObjectEaten:*"]}, "InvalidArgument",
     "The event 's3:ObjectEaten:*' is not supported for notifications"),
    ({"Events": []}, "MalformedXML", ""),
    ({"Filter": key_filter(Infix="a")}, "InvalidArgument",
     "filter rule name must be either prefix or suffix"),
    ({"Filter": key_filter(Prefix="a" * 1025)}, "InvalidArgument", "1024"),
])
def test_documents_that_make_no_sense(account, bucket, change, code, text):
    with refused(code, 400, part=text):
        put(account, bucket, QueueConfigurations=[{**queue(account), **change}])
    assert get(account, bucket) == {}


def test_overlaps(account, bucket):
    with refused("InvalidArgument", 400, part="cannot share a common event type"):
        put(account, bucket, QueueConfigurations=[
            queue(account), queue(account, "s3:ObjectCreated:Put", name="other")])
    with refused("InvalidArgument", 400, part="Cannot have overlapping suffixes in two rules"):
        put(account, bucket, QueueConfigurations=[
            queue(account, Filter=key_filter(Prefix="a")),
            queue(account, name="other", Filter=key_filter(Prefix="ab", Suffix=".x"))])
    put(account, bucket, QueueConfigurations=[
        queue(account, Filter=key_filter(Prefix="a", Suffix=".x")),
        queue(account, name="other", Filter=key_filter(Prefix="a", Suffix=".y"))])
    assert len(get(account, bucket)["QueueConfigurations"]) == 2


def test_who_may(account, bucket):
    user = account.client("s3", key=account.new_user("u"))
    with refused("AccessDenied", 403):
        user.get_bucket_notification_configuration(Bucket=bucket)
    with refused("AccessDenied", 403):
        user.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
