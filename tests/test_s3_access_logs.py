"""Server access logs with real clients: turned on, delivered once the clock has moved on, read back."""

import re

from accounts import Account, refused
from cloud import cumulet
from deadline import wait_until

ROOT = "000000000000"
FIELD = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')


def test_records_are_delivered(own_cloud):
    cloud = own_cloud()
    account = Account(ROOT, cloud)
    source, target = account.new_bucket(), account.new_bucket()
    enabled = {"TargetBucket": target, "TargetPrefix": "logs/",
               "TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}}
    with refused("InvalidTargetBucketForLogging", 400):
        account.s3.put_bucket_logging(Bucket=source, BucketLoggingStatus={"LoggingEnabled": enabled})
    account.s3.put_bucket_acl(Bucket=target, ACL="log-delivery-write")
    account.s3.put_bucket_logging(Bucket=source, BucketLoggingStatus={"LoggingEnabled": enabled})
    assert account.s3.get_bucket_logging(Bucket=source)["LoggingEnabled"] == enabled
    put = account.s3.put_object(Bucket=source, Key="a key", Body=b"x" * 100_000)
    assert account.s3.get_object(Bucket=source, Key="a key")["Body"].read() == b"x" * 100_000
    with refused("NoSuchKey", 404):
        account.s3.get_object(Bucket=source, Key="none")
    found = {}

    def delivered():
        assert cumulet("clock", "advance", "2m", "--data", cloud.data).returncode == 0
        listed = account.s3.list_objects_v2(Bucket=target).get("Contents", [])
        for one in listed:
            assert one["Key"].startswith(f"logs/{ROOT}/us-east-1/{source}/2"), one
            text = account.s3.get_object(Bucket=target, Key=one["Key"])["Body"].read().decode()
            for line in text.splitlines():
                fields = FIELD.findall(line)
                assert len(fields) == 27, line
                found[fields[5]] = fields
        return {"REST.PUT.OBJECT", "REST.GET.OBJECT"} <= {one[6] for one in found.values()} and any(
            one[10] == "NoSuchKey" for one in found.values())

    wait_until(delivered, "the records of three requests are delivered")
    one = found[put["ResponseMetadata"]["RequestId"]]
    assert one[1] == source and one[7] in ("a%20key", "a+key") and one[9] == "200", one
    got = [one for one in found.values() if one[6] == "REST.GET.OBJECT" and one[9] == "200"]
    assert [one[11] for one in got] == ["100000"] and got[0][12] == "100000", got
    assert got[0][19] == "SigV4" and got[0][21] == "AuthHeader"
    account.s3.put_bucket_logging(Bucket=source, BucketLoggingStatus={})
    assert "LoggingEnabled" not in account.s3.get_bucket_logging(Bucket=source)
