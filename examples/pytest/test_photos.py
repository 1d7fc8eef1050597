import subprocess

import pytest


@pytest.mark.parametrize("animal", ["cat", "dog"])
def test_a_photo_is_kept(s3, animal):
    # Names of buckets are one for all accounts, as at AWS; all else is an account's own.
    s3.create_bucket(Bucket=f"photos-{animal}")
    s3.put_object(Bucket=f"photos-{animal}", Key="best.jpg", Body=animal.encode())
    assert s3.get_object(Bucket=f"photos-{animal}", Key="best.jpg")["Body"].read() == animal.encode()
    assert len(s3.list_buckets()["Buckets"]) == 1


def test_an_item_is_put_once(dynamodb):
    dynamodb.create_table(
        TableName="orders", BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}])
    once = {"TableName": "orders", "Item": {"id": {"S": "1"}}, "ConditionExpression": "attribute_not_exists(id)"}
    dynamodb.put_item(**once)
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
        dynamodb.put_item(**once)


def test_a_program_of_ours(environment):
    subprocess.run(["aws", "s3", "mb", "s3://made-by-a-program"], env=environment, check=True)
