"""Archived objects with real clients: refused, restored, listed."""

import pytest
from accounts import refused
from deadline import wait_until


def archive(account, bucket, key="k", storage_class="GLACIER"):
    account.s3.put_object(Bucket=bucket, Key=key, Body=b"cold", StorageClass=storage_class)


def restore(account, bucket, key="k", days=1, tier="Expedited"):
    answer = account.s3.restore_object(Bucket=bucket, Key=key, RestoreRequest={
        "Days": days, "GlacierJobParameters": {"Tier": tier}})
    return answer["ResponseMetadata"]["HTTPStatusCode"]


def test_restored_and_read(account, bucket):
    archive(account, bucket)
    with refused("InvalidObjectState", 403):
        account.s3.get_object(Bucket=bucket, Key="k")
    assert "Restore" not in account.s3.head_object(Bucket=bucket, Key="k")
    assert restore(account, bucket) == 202

    def shown():
        return account.s3.head_object(Bucket=bucket, Key="k")["Restore"]
    assert shown().startswith("ongoing-request=")
    wait_until(lambda: shown().startswith('ongoing-request="false", expiry-date="'), "it is there")
    assert account.s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"cold"
    assert restore(account, bucket, days=3) == 200
    listed = account.s3.list_objects_v2(
        Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])["Contents"]
    assert listed[0]["RestoreStatus"]["IsRestoreInProgress"] is False
    account.s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert account.s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"cold"


def test_with_the_cli(account, bucket):
    archive(account, bucket)
    account.cli("s3api", "restore-object", "--bucket", bucket, "--key", "k",
                "--restore-request", "Days=1,GlacierJobParameters={Tier=Bulk}")
    with refused("RestoreAlreadyInProgress", 409):
        restore(account, bucket)


@pytest.mark.parametrize("storage_class, days, tier, code, status", [
    ("STANDARD", 1, "Standard", "InvalidObjectState", 403),
    ("GLACIER_IR", 1, "Standard", "InvalidObjectState", 403),
    ("DEEP_ARCHIVE", 1, "Expedited", "InvalidArgument", 400),
    ("GLACIER", 0, "Standard", "InvalidArgument", 400),
    ("GLACIER", 1, "Whenever", "MalformedXML", 400),
])
def test_what_cannot_be_restored(account, bucket, storage_class, days, tier, code, status):
    archive(account, bucket, storage_class=storage_class)
    with refused(code, status):
        restore(account, bucket, days=days, tier=tier)


def test_a_copy_of_what_is_archived(account, bucket):
    archive(account, bucket)
    with refused("ObjectNotInActiveTierError", 403):
        account.s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")


def test_who_may(account, bucket):
    archive(account, bucket)
    user = account.client("s3", key=account.new_user("u"))
    with refused("AccessDenied", 403):
        user.restore_object(Bucket=bucket, Key="k", RestoreRequest={"Days": 1})
