"""What the tests of DynamoDB share: tables from a line of text, items from plain values, streams."""

import itertools
import re
from decimal import Decimal

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from deadline import wait_until

_number = itertools.count(1)


class _Exact(TypeDeserializer):
    """boto3's own refuses 1E+100, which DynamoDB answers with all its zeros."""

    def _deserialize_n(self, value):
        return Decimal(value)


_to, _from = TypeSerializer(), _Exact()


def wire(item):
    """Plain values as attribute values."""
    return {name: _to.serialize(value) for name, value in item.items()}


def plain(item):
    return {name: _from.deserialize(value) for name, value in item.items()}


def schema(keys):
    """`p:S c:N` as a key schema and definitions."""
    parts = [part.split(":") for part in keys.split()]
    elements = [
        {"AttributeName": name, "KeyType": kind}
        for (name, _), kind in zip(parts, ("HASH", "RANGE"))
    ]
    return elements, {name: kind for name, kind in parts}


def index(name, keys, projection="ALL", non_key=()):
    elements, _ = schema(keys)
    projected = {"ProjectionType": projection}
    if non_key:
        projected["NonKeyAttributes"] = list(non_key)
    return {"IndexName": name, "KeySchema": elements, "Projection": projected}


def description(keys="p:S", glo=(), loc=(), **more):
    """The members of CreateTable; `glo` and `loc` are tuples for `index`."""
    elements, attributes = schema(keys)
    for _, other, *_ in (*glo, *loc):
        attributes.update(schema(other)[1])
    members = {
        "KeySchema": elements,
        "AttributeDefinitions": [
            {"AttributeName": n, "AttributeType": t} for n, t in attributes.items()
        ],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if glo:
        members["GlobalSecondaryIndexes"] = [index(*one) for one in glo]
    if loc:
        members["LocalSecondaryIndexes"] = [index(*one) for one in loc]
    members.update(more)
    return members


def new_table(account, keys="p:S", **more):
    name = f"table{next(_number)}"
    account.dynamodb.create_table(TableName=name, **description(keys, **more))
    active(account, name)
    return name


def active(account, name):
    """Waits until nothing about a table is under way."""

    def settled():
        table = account.dynamodb.describe_table(TableName=name)["Table"]
        indexes = table.get("GlobalSecondaryIndexes", [])
        return table["TableStatus"] == "ACTIVE" and all(
            i["IndexStatus"] == "ACTIVE" for i in indexes
        ) and table

    return wait_until(settled, f"{name} is active", 60)


def arn(account, table):
    return f"arn:aws:dynamodb:us-east-1:{account.id}:table/{table}"


def put(account, table, *items):
    for item in items:
        account.dynamodb.put_item(TableName=table, Item=wire(item))


def get(account, table, **key):
    found = account.dynamodb.get_item(TableName=table, Key=wire(key), ConsistentRead=True)
    return plain(found["Item"]) if "Item" in found else None


def all_items(account, table):
    pages = account.dynamodb.get_paginator("scan").paginate(TableName=table)
    return [plain(item) for page in pages for item in page["Items"]]


def invalid(text=None, part=None):
    """A ValidationException with this text."""
    from accounts import refused

    return refused("ValidationException", 400, text, part)


def failed_condition():
    from accounts import refused

    return refused("ConditionalCheckFailedException", 400, "The conditional request failed")


def shard(account, stream):
    told = account.streams.describe_stream(StreamArn=stream)["StreamDescription"]
    return told["Shards"][0]["ShardId"]


def iterator(account, stream, kind="TRIM_HORIZON", **more):
    return account.streams.get_shard_iterator(
        StreamArn=stream, ShardId=shard(account, stream), ShardIteratorType=kind, **more
    )["ShardIterator"]


def records(account, stream, kind="TRIM_HORIZON", **more):
    """All records from an iterator up to where the stream is now."""
    at, found = iterator(account, stream, kind, **more), []
    while at:
        page = account.streams.get_records(ShardIterator=at)
        if not page["Records"]:
            break
        found += page["Records"]
        at = page.get("NextShardIterator")
    return found


NUMBER = re.compile(r"^\d{21,40}$")
