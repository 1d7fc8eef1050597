"""Tables of DynamoDB: made, described, changed, tagged, protected, deleted; items that expire."""

import time

import pytest
from accounts import refused
from cloud import cumulet
from deadline import wait_until
from dynamo import (
    active, all_items, arn, description, get, index, invalid, new_table, put, wire,
)

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
PROVISIONED = {
    "BillingMode": "PROVISIONED",
    "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
}


def test_from_making_to_deleting(account):
    db = account.dynamodb
    made = db.create_table(TableName="music", **description(
        "Artist:S Song:S", **PROVISIONED, Tags=[{"Key": "a", "Value": "b"}],
        glo=[("by-year", "Year:N Artist:S", "INCLUDE", ["Song"])],
        loc=[("by-length", "Artist:S Length:N", "KEYS_ONLY")],
    ) | {"GlobalSecondaryIndexes": [
        index("by-year", "Year:N Artist:S", "INCLUDE", ["Label"])
        | {"ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2}}
    ]})["TableDescription"]
    assert made["TableStatus"] == "CREATING"
    assert made["GlobalSecondaryIndexes"][0]["IndexStatus"] == "CREATING"
    table = active(account, "music")
    assert table["TableArn"] == arn(account, "music") and len(table["TableId"]) == 36
    assert table["KeySchema"] == [
        {"AttributeName": "Artist", "KeyType": "HASH"}, {"AttributeName": "Song", "KeyType": "RANGE"}]
    assert {a["AttributeName"]: a["AttributeType"] for a in table["AttributeDefinitions"]} == {
        "Artist": "S", "Song": "S", "Year": "N", "Length": "N"}
    assert (table["ItemCount"], table["TableSizeBytes"]) == (0, 0)
    units = table["ProvisionedThroughput"]
    assert (units["ReadCapacityUnits"], units["WriteCapacityUnits"]) == (5, 6)
    [by_year] = table["GlobalSecondaryIndexes"]
    assert by_year["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["Label"]}
    assert by_year["IndexArn"] == arn(account, "music") + "/index/by-year"
    assert by_year["ProvisionedThroughput"]["WriteCapacityUnits"] == 2
    [by_length] = table["LocalSecondaryIndexes"]
    assert by_length["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    put(account, "music", {"Artist": "Psy", "Song": "Gangnam Style", "Year": 2011})
    assert active(account, "music")["ItemCount"] == 1
    with refused("ResourceInUseException", 400, "Table already exists: music"):
        db.create_table(TableName="music", **description())
    gone = db.delete_table(TableName="music")["TableDescription"]
    assert gone["TableStatus"] == "DELETING"
    missing = "Requested resource not found: Table: music not found"
    with refused("ResourceNotFoundException", 400, missing):
        db.describe_table(TableName="music")
    with refused("ResourceNotFoundException", 400, missing):
        db.delete_table(TableName="music")
    with refused("ResourceNotFoundException", 400, "Requested resource not found"):
        db.put_item(TableName="music", Item=wire({"Artist": "a", "Song": "b"}))
    # A table of the same name begins empty, whatever of the old one is still to be removed.
    db.create_table(TableName="music", **description("Artist:S Song:S"))
    assert all_items(account, "music") == []


def test_names_in_pages_and_accounts_apart(account, other):
    for name in ("aaa", "bbb", "ccc", "ddd"):
        account.dynamodb.create_table(TableName=name, **description())
    other.dynamodb.create_table(TableName="bbb", **description("x:N"))
    put(account, "bbb", {"p": "mine"})
    pages = account.dynamodb.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 3})
    assert [page["TableNames"] for page in pages] == [["aaa", "bbb", "ccc"], ["ddd"]]
    assert other.dynamodb.list_tables()["TableNames"] == ["bbb"]
    assert all_items(other, "bbb") == []
    elsewhere = account.client("dynamodb", region="eu-west-1")
    assert elsewhere.list_tables()["TableNames"] == []
    elsewhere.create_table(TableName="aaa", **description())
    told = elsewhere.describe_table(TableName="aaa")["Table"]["TableArn"]
    assert told == f"arn:aws:dynamodb:eu-west-1:{account.id}:table/aaa"
    # By ARN as well.
    assert account.dynamodb.describe_table(TableName=arn(account, "bbb"))["Table"]["ItemCount"] == 1


def test_billing_and_capacity(account):
    db = account.dynamodb
    table = new_table(account)
    told = db.update_table(TableName=table, **PROVISIONED)["TableDescription"]
    assert told["TableStatus"] == "UPDATING"
    told = active(account, table)
    assert told["ProvisionedThroughput"]["ReadCapacityUnits"] == 5
    same = (
        "The provisioned throughput for the table will not change. The requested value equals the "
        "current value. Current ReadCapacityUnits provisioned for the table: 5. Requested "
        "ReadCapacityUnits: 5. Current WriteCapacityUnits provisioned for the table: 6. Requested "
        "WriteCapacityUnits: 6."
    )
    with invalid(part=same):
        db.update_table(TableName=table, ProvisionedThroughput=PROVISIONED["ProvisionedThroughput"])
    db.update_table(TableName=table, BillingMode="PAY_PER_REQUEST")
    told = active(account, table)
    assert told["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert told["ProvisionedThroughput"]["ReadCapacityUnits"] == 0
    with invalid(part="Neither ReadCapacityUnits nor WriteCapacityUnits can be specified"):
        db.create_table(TableName="xxx", **description(
            ProvisionedThroughput=PROVISIONED["ProvisionedThroughput"]))


def test_protection_against_deletion(account):
    db = account.dynamodb
    table = new_table(account, DeletionProtectionEnabled=True)
    assert active(account, table)["DeletionProtectionEnabled"] is True
    with invalid(part="Resource cannot be deleted as it is currently protected against deletion."):
        db.delete_table(TableName=table)
    db.update_table(TableName=table, DeletionProtectionEnabled=False)
    db.delete_table(TableName=table)
    assert table not in db.list_tables()["TableNames"]


def test_tags(account):
    db = account.dynamodb
    table = new_table(account, Tags=[{"Key": "first", "Value": "1"}])
    resource = arn(account, table)
    db.tag_resource(ResourceArn=resource, Tags=[
        {"Key": "first", "Value": "2"}, {"Key": "second", "Value": ""}])
    told = db.list_tags_of_resource(ResourceArn=resource)["Tags"]
    assert told == [{"Key": "first", "Value": "2"}, {"Key": "second", "Value": ""}]
    db.untag_resource(ResourceArn=resource, TagKeys=["first", "absent"])
    assert db.list_tags_of_resource(ResourceArn=resource)["Tags"] == [{"Key": "second", "Value": ""}]
    with invalid("Atleast one Tag needs to be provided as Input."):
        db.tag_resource(ResourceArn=resource, Tags=[])
    with invalid(part="reserved for system use"):
        db.tag_resource(ResourceArn=resource, Tags=[{"Key": "aws:x", "Value": "1"}])
    db.tag_resource(ResourceArn=resource, Tags=[
        {"Key": f"k{n:02}", "Value": "v"} for n in range(49)])
    with invalid():
        db.tag_resource(ResourceArn=resource, Tags=[{"Key": "one too many", "Value": "v"}])
    assert len(db.list_tags_of_resource(ResourceArn=resource)["Tags"]) == 50
    absent = arn(account, "absent")
    with refused("ResourceNotFoundException", 400, f"Requested resource not found: ResourcArn: {absent} not found"):
        db.tag_resource(ResourceArn=absent, Tags=[{"Key": "a", "Value": "b"}])
    with invalid(part="Invalid TableArn"):
        db.list_tags_of_resource(ResourceArn="table")


def test_an_index_comes_and_goes_on_a_full_table(account):
    db = account.dynamodb
    table = new_table(account)
    for start in range(0, 300, 25):
        db.batch_write_item(RequestItems={table: [
            {"PutRequest": {"Item": wire({"p": f"{n}", "g": f"g{n % 3}", "n": n})}}
            for n in range(start, start + 25)]})
    put(account, table, {"p": "without"}, {"p": "other type", "g": 7})
    create = {"Create": index("glo", "g:S", "KEYS_ONLY")}
    told = db.update_table(
        TableName=table, AttributeDefinitions=[{"AttributeName": "g", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[create])["TableDescription"]
    assert told["GlobalSecondaryIndexes"][0]["IndexStatus"] == "CREATING"
    active(account, table)
    found = db.query(
        TableName=table, IndexName="glo", KeyConditionExpression="g = :g",
        ExpressionAttributeValues=wire({":g": "g1"}))
    assert found["Count"] == 100
    assert all(set(item) == {"p", "g"} for item in found["Items"])
    with invalid(part="Duplicate index name: glo"):
        db.update_table(
            TableName=table, AttributeDefinitions=[{"AttributeName": "g", "AttributeType": "S"}],
            GlobalSecondaryIndexUpdates=[create])
    db.update_table(TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "glo"}}])
    with invalid("The table does not have the specified index: glo"):
        db.scan(TableName=table, IndexName="glo")
    told = active(account, table)
    assert "GlobalSecondaryIndexes" not in told and len(told["AttributeDefinitions"]) == 1
    # The attribute is free again, for another type too.
    put(account, table, {"p": "5", "g": 5})


def test_settings(account):
    db = account.dynamodb
    table = new_table(account, TableClass="STANDARD_INFREQUENT_ACCESS")
    assert active(account, table)["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    db.update_contributor_insights(TableName=table, ContributorInsightsAction="ENABLE")
    told = db.describe_contributor_insights(TableName=table)
    assert told["ContributorInsightsStatus"] == "ENABLED"
    [one] = db.list_contributor_insights()["ContributorInsightsSummaries"]
    assert one["TableName"] == table
    assert db.describe_limits()["TableMaxReadCapacityUnits"] == 40_000
    [endpoint] = db.describe_endpoints()["Endpoints"]
    assert endpoint["Address"] == account.endpoint.split("//")[1]
    told = db.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    assert told["ContinuousBackupsStatus"] == "ENABLED"


@pytest.mark.unkilled
def test_items_expire_by_the_clock(own_cloud):
    from accounts import Account

    cloud = own_cloud()
    account = Account("000000000000", cloud)
    db = account.dynamodb
    table = new_table(account, StreamSpecification={
        "StreamEnabled": True, "StreamViewType": "OLD_IMAGE"})
    now = int(time.time())
    put(account, table, {"p": "soon", "end": now + 3600}, {"p": "later", "end": now + 90_000},
        {"p": "never"}, {"p": "text", "end": str(now)}, {"p": "long ago", "end": 1})
    told = db.update_time_to_live(TableName=table, TimeToLiveSpecification={
        "AttributeName": "end", "Enabled": True})
    assert told["TimeToLiveSpecification"] == {"AttributeName": "end", "Enabled": True}
    told = db.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert told == {"TimeToLiveStatus": "ENABLED", "AttributeName": "end"}
    with invalid("TimeToLive is already enabled"):
        db.update_time_to_live(TableName=table, TimeToLiveSpecification={
            "AttributeName": "end", "Enabled": True})
    put(account, table, {"p": "after", "end": now + 3600}, {"p": "spared", "end": now + 3600})
    put(account, table, {"p": "spared", "end": now + 90_000})

    def left():
        return sorted(item["p"] for item in all_items(account, table))

    assert len(left()) == 7
    done = cumulet("clock", "advance", "2h", "--data", cloud.data)
    assert done.returncode == 0, done
    expected = ["later", "long ago", "never", "spared", "text"]
    wait_until(lambda: left() == expected, "what is due is gone", 40)
    from dynamo import records
    stream = db.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    gone = [r for r in records(account, stream) if r["eventName"] == "REMOVE"]
    assert {r["dynamodb"]["OldImage"]["p"]["S"] for r in gone} == {"soon", "after"}
    service = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    assert all(r["userIdentity"] == service for r in gone)
    assert get(account, table, p="soon") is None
    cloud.restart()
    assert left() == expected


BAD_TABLES = {
    "a short name": ({"TableName": "ab"}, "TableName must be at least 3 characters long and at most 255 characters long"),
    "a key that is not defined": (
        {"AttributeDefinitions": [{"AttributeName": "q", "AttributeType": "S"}]},
        "One or more parameter values were invalid: Some index key attributes are not defined in "
        "AttributeDefinitions. Keys: [p], AttributeDefinitions: [q]"),
    "a definition that is not used": (
        {"AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in "pq"]},
        "One or more parameter values were invalid: Number of attributes in KeySchema does not "
        "exactly match number of attributes defined in AttributeDefinitions"),
    "a range key first": (
        {"KeySchema": [{"AttributeName": "p", "KeyType": "RANGE"}]},
        "Invalid KeySchema: The first KeySchemaElement is not a HASH key type"),
    "two hash keys": (
        {"KeySchema": [{"AttributeName": n, "KeyType": "HASH"} for n in "pq"],
         "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in "pq"]},
        "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"),
    "no capacity": (
        {"BillingMode": "PROVISIONED"},
        "One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must "
        "both be specified when BillingMode is PROVISIONED"),
    "a local index without a range key": (
        {"LocalSecondaryIndexes": [index("loc", "p:S", "ALL")]},
        "One or more parameter values were invalid: Table KeySchema does not have a range key, "
        "which is required when specifying a LocalSecondaryIndex"),
    "an index name twice": (
        {"GlobalSecondaryIndexes": [index("glo", "p:S")] * 2},
        "One or more parameter values were invalid: Duplicate index name: glo"),
}


@pytest.mark.parametrize("what", BAD_TABLES)
def test_bad_tables(account, what):
    changes, text = BAD_TABLES[what]
    with invalid(text):
        account.dynamodb.create_table(**({"TableName": "tab"} | description() | changes))
    assert account.dynamodb.list_tables()["TableNames"] == []


def test_too_many_indexes(account):
    many = [(f"g{n:02}", "p:S", "KEYS_ONLY") for n in range(21)]
    with refused(("LimitExceededException", "ValidationException"), 400):
        account.dynamodb.create_table(TableName="tab", **description(glo=many))
    account.dynamodb.create_table(TableName="tab", **description(glo=many[:20]))
    put(account, "tab", {"p": "x"})
    assert account.dynamodb.scan(TableName="tab", IndexName="g19")["Count"] == 1
