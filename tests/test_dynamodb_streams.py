"""Streams of DynamoDB: every view type, iterators of every kind, exactly the changes in their order."""

import datetime
import threading

import pytest
from accounts import refused
from dynamo import (
    NUMBER, active, arn, get, invalid, iterator, new_table, plain, put, records, shard, wire,
)

VIEWS = {
    "KEYS_ONLY": (), "NEW_IMAGE": ("NewImage",), "OLD_IMAGE": ("OldImage",),
    "NEW_AND_OLD_IMAGES": ("NewImage", "OldImage"),
}


def with_stream(account, view="NEW_AND_OLD_IMAGES", keys="p:S", **more):
    table = new_table(account, keys, StreamSpecification={"StreamEnabled": True, "StreamViewType": view}, **more)
    return table, active(account, table)["LatestStreamArn"]


def update(account, table, key, expression, **values):
    members = {"ExpressionAttributeValues": wire({f":{n}": v for n, v in values.items()})} if values else {}
    account.dynamodb.update_item(TableName=table, Key=wire({"p": key}), UpdateExpression=expression, **members)


@pytest.mark.parametrize("view", VIEWS)
def test_views(account, view):
    table, stream = with_stream(account, view)
    put(account, table, {"p": "a", "n": 1}, {"p": "a", "n": 2})
    update(account, table, "a", "SET n = :n", n=3)
    account.dynamodb.delete_item(TableName=table, Key=wire({"p": "a"}))
    seen = records(account, stream)
    images = [(None, 1), (1, 2), (2, 3), (3, None)]
    assert [r["eventName"] for r in seen] == ["INSERT", "MODIFY", "MODIFY", "REMOVE"]
    for record, (old, new) in zip(seen, images):
        change = record["dynamodb"]
        assert change["StreamViewType"] == view and plain(change["Keys"]) == {"p": "a"}
        expected = {
            name: wire({"p": "a", "n": value}) for name, value in (("OldImage", old), ("NewImage", new))
            if value is not None and name in VIEWS[view]}
        assert {name: change[name] for name in ("OldImage", "NewImage") if name in change} == expected
        assert change["SizeBytes"] > 0 and NUMBER.match(change["SequenceNumber"])
        assert record["eventSource"] == "aws:dynamodb" and record["awsRegion"] == "us-east-1"
        assert len(record["eventID"]) == 32 and record["eventVersion"] == "1.1"
        assert "userIdentity" not in record
        age = datetime.datetime.now(datetime.timezone.utc) - change["ApproximateCreationDateTime"]
        assert abs(age) < datetime.timedelta(minutes=5)
    assert len({r["eventID"] for r in seen}) == 4


def test_only_changes_leave_records(account):
    table, stream = with_stream(account)
    put(account, table, {"p": "a", "n": 1}, {"p": "a", "n": 1})
    update(account, table, "a", "SET n = :n", n=1)
    account.dynamodb.delete_item(TableName=table, Key=wire({"p": "none"}))
    update(account, table, "none", "REMOVE n")
    with refused("ConditionalCheckFailedException"):
        account.dynamodb.put_item(
            TableName=table, Item=wire({"p": "a", "n": 9}), ConditionExpression="attribute_not_exists(p)")
    with refused("TransactionCanceledException"):
        account.dynamodb.transact_write_items(TransactItems=[
            {"Put": {"TableName": table, "Item": wire({"p": "b"})}},
            {"ConditionCheck": {"TableName": table, "Key": wire({"p": "c"}), "ConditionExpression": "attribute_exists(p)"}}])
    seen = records(account, stream)
    assert [(r["eventName"], r["dynamodb"]["Keys"]["p"]["S"]) for r in seen] == [("INSERT", "a")]


def test_batches_and_transactions_leave_a_record_for_each(account):
    table, stream = with_stream(account, "NEW_IMAGE")
    account.dynamodb.batch_write_item(RequestItems={table: [
        {"PutRequest": {"Item": wire({"p": f"b{n}"})}} for n in range(25)]})
    account.dynamodb.transact_write_items(TransactItems=[
        {"Put": {"TableName": table, "Item": wire({"p": f"t{n}"})}} for n in range(30)]
        + [{"Delete": {"TableName": table, "Key": wire({"p": "b7"})}}])
    seen = records(account, stream)
    keys = [(r["eventName"], r["dynamodb"]["Keys"]["p"]["S"]) for r in seen]
    assert sorted(keys[:25]) == sorted(("INSERT", f"b{n}") for n in range(25))
    assert sorted(keys[25:]) == sorted([*(("INSERT", f"t{n}") for n in range(30)), ("REMOVE", "b7")])


def test_iterators(account):
    table, stream = with_stream(account)
    put(account, table, *({"p": f"k{n}"} for n in range(5)))
    latest = iterator(account, stream, "LATEST")
    numbers = [r["dynamodb"]["SequenceNumber"] for r in records(account, stream)]
    assert numbers == sorted(numbers) and len(set(numbers)) == 5

    def keys(kind, **more):
        return [r["dynamodb"]["Keys"]["p"]["S"] for r in records(account, stream, kind, **more)]

    assert keys("TRIM_HORIZON") == ["k0", "k1", "k2", "k3", "k4"]
    assert keys("AT_SEQUENCE_NUMBER", SequenceNumber=numbers[2]) == ["k2", "k3", "k4"]
    assert keys("AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[2]) == ["k3", "k4"]
    assert keys("LATEST") == []
    put(account, table, {"p": "k5"})
    told = account.streams.get_records(ShardIterator=latest)
    assert [r["dynamodb"]["Keys"]["p"]["S"] for r in told["Records"]] == ["k5"]
    # An iterator stays good: the same again.
    assert account.streams.get_records(ShardIterator=latest)["Records"] == told["Records"]
    at = iterator(account, stream)
    seen = []
    while True:
        told = account.streams.get_records(ShardIterator=at, Limit=2)
        if not told["Records"]:
            break
        assert len(told["Records"]) <= 2
        seen += [r["dynamodb"]["Keys"]["p"]["S"] for r in told["Records"]]
        at = told["NextShardIterator"]
    assert seen == [f"k{n}" for n in range(6)]
    put(account, table, {"p": "k6"})
    told = account.streams.get_records(ShardIterator=at)
    assert [r["dynamodb"]["Keys"]["p"]["S"] for r in told["Records"]] == ["k6"]


def test_what_is_wrong_with_iterators(account, other):
    table, stream = with_stream(account)
    put(account, table, {"p": "a"})
    members = {"StreamArn": stream, "ShardId": shard(account, stream)}
    with invalid(part="Must specify a SequenceNumber parameter when requesting shard iterator of type AT_SEQUENCE_NUMBER"):
        account.streams.get_shard_iterator(**members, ShardIteratorType="AT_SEQUENCE_NUMBER")
    with invalid(part="SequenceNumber cannot be specified"):
        account.streams.get_shard_iterator(**members, ShardIteratorType="LATEST", SequenceNumber="1" * 21)
    with invalid(part="is not within the shard's range"):
        account.streams.get_shard_iterator(**members, ShardIteratorType="AT_SEQUENCE_NUMBER", SequenceNumber="1".zfill(21))
    with refused("ResourceNotFoundException", 400, part="Shard does not exist"):
        account.streams.get_shard_iterator(StreamArn=stream, ShardId="shardId-00000000000000000000-00000000", ShardIteratorType="LATEST")
    with refused("ResourceNotFoundException", 400, part="Stream: "):
        account.streams.describe_stream(StreamArn=arn(account, table) + "/stream/2020-01-01T00:00:00.000")
    with invalid(part="Invalid StreamArn"):
        account.streams.describe_stream(StreamArn=arn(account, table) + "/index/" + "x" * 20)
    good = iterator(account, stream)
    for bad in ("x" * 40, good[:-3] + "abc", good + "A"):
        with invalid("Invalid ShardIterator"):
            account.streams.get_records(ShardIterator=bad)
    with invalid(part="Member must have value less than or equal to 1000"):
        account.streams.get_records(ShardIterator=good, Limit=1001)
    # Somebody else's iterator is of no use.
    with refused("AccessDeniedException"):
        other.streams.get_records(ShardIterator=good)


def test_pages_of_a_megabyte(account):
    table, stream = with_stream(account, "NEW_IMAGE")
    put(account, table, *({"p": f"k{n}", "x": "y" * 300_000} for n in range(6)))
    told = account.streams.get_records(ShardIterator=iterator(account, stream))
    assert len(told["Records"]) == 4
    assert len(records(account, stream)) == 6


def test_a_stream_begins_and_ends(account):
    db, table = account.dynamodb, new_table(account)
    assert account.streams.list_streams(TableName=table)["Streams"] == []
    put(account, table, {"p": "before"})
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    db.update_table(TableName=table, StreamSpecification=on)
    first = active(account, table)["LatestStreamArn"]
    with invalid(part="Table already has an enabled stream"):
        db.update_table(TableName=table, StreamSpecification=on)
    put(account, table, {"p": "during"})
    db.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    put(account, table, {"p": "after"})
    described = account.streams.describe_stream(StreamArn=first)["StreamDescription"]
    assert described["StreamStatus"] == "DISABLED" and described["TableName"] == table
    assert described["KeySchema"] == [{"AttributeName": "p", "KeyType": "HASH"}]
    numbers = described["Shards"][0]["SequenceNumberRange"]
    assert NUMBER.match(numbers["StartingSequenceNumber"]) and NUMBER.match(numbers["EndingSequenceNumber"])
    seen = records(account, first)
    assert [r["dynamodb"]["Keys"]["p"]["S"] for r in seen] == ["during"]
    # The shard is closed: at its end there is no further iterator.
    told = account.streams.get_records(ShardIterator=iterator(account, first))
    assert "NextShardIterator" not in told
    db.update_table(TableName=table, StreamSpecification=on)
    second = active(account, table)["LatestStreamArn"]
    assert second != first and records(account, second) == []
    listed = account.streams.list_streams(TableName=table)["Streams"]
    assert {s["StreamArn"] for s in listed} == {first, second}
    one = account.streams.list_streams(TableName=table, Limit=1)
    rest = account.streams.list_streams(TableName=table, ExclusiveStartStreamArn=one["LastEvaluatedStreamArn"])
    assert {s["StreamArn"] for s in one["Streams"] + rest["Streams"]} == {first, second}
    # It outlives its table.
    db.delete_table(TableName=table)
    assert len(records(account, first)) == 1
    assert account.streams.describe_stream(StreamArn=second)["StreamDescription"]["StreamStatus"] == "DISABLED"


@pytest.mark.unkilled
def test_the_stream_of_concurrent_writes_is_their_history(account):
    """Each record begins where the one before of that item ended, and the last is what is there."""
    table, stream = with_stream(account)
    keys = [f"k{n}" for n in range(4)]

    def work(number):
        client = account.client("dynamodb")
        for step in range(30):
            key = wire({"p": keys[(number + step) % 4]})
            if step % 5 == 4:
                client.delete_item(TableName=table, Key=key)
            elif step % 5 == 3:
                client.transact_write_items(TransactItems=[
                    {"Update": {"TableName": table, "Key": wire({"p": key_}), "UpdateExpression": "ADD n :n",
                                "ExpressionAttributeValues": wire({":n": 1})}} for key_ in keys])
            else:
                client.update_item(TableName=table, Key=key, UpdateExpression="ADD n :n",
                                   ExpressionAttributeValues=wire({":n": number + 1}))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    state, seen = {}, records(account, stream)
    numbers = [r["dynamodb"]["SequenceNumber"] for r in seen]
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)
    for record in seen:
        change = record["dynamodb"]
        key = change["Keys"]["p"]["S"]
        assert change.get("OldImage") == state.get(key), record
        expected = {(False, True): "INSERT", (True, True): "MODIFY", (True, False): "REMOVE"}
        assert record["eventName"] == expected["OldImage" in change, "NewImage" in change]
        state[key] = change.get("NewImage")
    for key in keys:
        found = get(account, table, p=key)
        assert (wire(found) if found else None) == state.get(key)
