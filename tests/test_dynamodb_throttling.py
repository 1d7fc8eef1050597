"""Throughput that is enforced, when the person asks for it."""

import pytest
from accounts import Account, refused
from botocore.exceptions import ClientError
from dynamo import arn, new_table, put, wire

pytestmark = pytest.mark.unkilled

LEVEL = ("The level of configured provisioned throughput for the table was exceeded. "
         "Consider increasing your provisioning level with the UpdateTable API.")


def told(error):
    (reason,) = error.response["ThrottlingReasons"]
    return error.response["Error"]["Code"], reason["reason"], reason["resource"]


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_what_is_provisioned_is_what_one_gets(own_cloud, way):
    if way == "flag":
        cloud = own_cloud("--dynamodb-throttling", "on")
    else:
        cloud = own_cloud(env={"CUMULET_DYNAMODB_THROTTLING": "on"})
    account = Account("700000000011", cloud)
    db = account.dynamodb
    table = new_table(account, BillingMode="PROVISIONED",
                      ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1})
    # What one costs is let in while anything is left: its debt outlasts this test.
    put(account, table, {"p": "k", "x": "y" * 380_000})
    with pytest.raises(ClientError, match=LEVEL.replace(".", r"\.")) as caught:
        put(account, table, {"p": "other"})
    expected = "ProvisionedThroughputExceededException", "TableWriteProvisionedThroughputExceeded", arn(account, table)
    assert told(caught.value) == expected
    for _ in range(2):
        db.get_item(TableName=table, Key=wire({"p": "k"}), ConsistentRead=True)
        try:
            db.get_item(TableName=table, Key=wire({"p": "k"}))
        except ClientError as error:
            assert told(error)[1] == "TableReadProvisionedThroughputExceeded"
            break
    else:
        raise AssertionError("reads were not held to their throughput")
    # Tables on demand take what comes.
    free = new_table(account)
    for n in range(3):
        put(account, free, {"p": f"{n}", "x": "y" * 300_000})


def test_it_is_on_or_off(own_cloud):
    with pytest.raises(AssertionError, match="dynamodb_throttling is"):
        own_cloud("--dynamodb-throttling", "perhaps")


def test_an_item_collection_has_metrics(account):
    table = new_table(account, "p:S c:N", loc=[("by-x", "p:S x:N")])
    db = account.dynamodb
    answer = db.put_item(TableName=table, Item=wire({"p": "k", "c": 1, "x": 2}), ReturnItemCollectionMetrics="SIZE")
    assert answer["ItemCollectionMetrics"] == {
        "ItemCollectionKey": {"p": {"S": "k"}}, "SizeEstimateRangeGB": [0.0, 1.0]}
    with refused("ValidationException", 400):
        db.put_item(TableName=table, Item=wire({"p": "k"}), ReturnItemCollectionMetrics="SIZE")
