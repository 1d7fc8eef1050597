// DynamoDB with the AWS SDK for JavaScript, version 3: the client, and its streams.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import {
  BatchWriteItemCommand, ConditionalCheckFailedException, CreateTableCommand, DeleteItemCommand,
  DescribeTableCommand, DynamoDBClient, GetItemCommand, PutItemCommand, ResourceInUseException,
  ResourceNotFoundException, TransactWriteItemsCommand, TransactionCanceledException,
  UpdateItemCommand, paginateQuery, waitUntilTableExists,
} from "@aws-sdk/client-dynamodb";
import {
  DescribeStreamCommand, DynamoDBStreamsClient, GetRecordsCommand, GetShardIteratorCommand,
} from "@aws-sdk/client-dynamodb-streams";

const { ENDPOINT: endpoint } = process.env;
const options = { endpoint, region: "us-east-1", maxAttempts: 1 };
const db = new DynamoDBClient(options);
const streams = new DynamoDBStreamsClient(options);
const TableName = "node3";

before(async () => {
  await db.send(new CreateTableCommand({
    TableName, BillingMode: "PAY_PER_REQUEST",
    KeySchema: [{ AttributeName: "p", KeyType: "HASH" }, { AttributeName: "c", KeyType: "RANGE" }],
    AttributeDefinitions: [
      { AttributeName: "p", AttributeType: "S" }, { AttributeName: "c", AttributeType: "N" },
    ],
    StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
  }));
  await waitUntilTableExists({ client: db, maxWaitTime: 30, minDelay: 0.05, maxDelay: 1 }, { TableName });
});

const key = (c) => ({ p: { S: "a" }, c: { N: `${c}` } });

test("all types there and back", async () => {
  const Item = {
    ...key(1), B: { B: new Uint8Array([0, 255]) }, T: { BOOL: true }, Z: { NULL: true }, SS: { SS: ["a", "b"] },
    BS: { BS: [new Uint8Array([1])] }, L: { L: [{ N: "1.5" }, { M: { x: { S: "ü" } } }] },
  };
  await db.send(new PutItemCommand({ TableName, Item }));
  const got = await db.send(new GetItemCommand({ TableName, Key: key(1), ConsistentRead: true }));
  assert.deepEqual(got.Item, Item);
  const none = await db.send(new GetItemCommand({ TableName, Key: key(99) }));
  assert.equal(none.Item, undefined);
});

test("an update returns what it made", async () => {
  const told = await db.send(new UpdateItemCommand({
    TableName, Key: key(2), UpdateExpression: "ADD #n :one SET l = list_append(if_not_exists(l, :none), :l)",
    ExpressionAttributeNames: { "#n": "n" }, ReturnValues: "ALL_NEW",
    ExpressionAttributeValues: { ":one": { N: "1" }, ":none": { L: [] }, ":l": { L: [{ S: "x" }] } },
  }));
  assert.deepEqual(told.Attributes, { ...key(2), n: { N: "1" }, l: { L: [{ S: "x" }] } });
});

test("errors are the SDK's classes", async () => {
  await assert.rejects(db.send(new DescribeTableCommand({ TableName: "absent" })), ResourceNotFoundException);
  await assert.rejects(db.send(new CreateTableCommand({
    TableName, BillingMode: "PAY_PER_REQUEST", KeySchema: [{ AttributeName: "p", KeyType: "HASH" }],
    AttributeDefinitions: [{ AttributeName: "p", AttributeType: "S" }],
  })), ResourceInUseException);
  await db.send(new PutItemCommand({ TableName, Item: { ...key(3), v: { N: "1" } } }));
  await assert.rejects(db.send(new DeleteItemCommand({
    TableName, Key: key(3), ConditionExpression: "attribute_not_exists(v)", ReturnValuesOnConditionCheckFailure: "ALL_OLD",
  })), (error) => {
    assert.ok(error instanceof ConditionalCheckFailedException);
    assert.deepEqual(error.Item, { ...key(3), v: { N: "1" } });
    return true;
  });
  await assert.rejects(db.send(new TransactWriteItemsCommand({ TransactItems: [
    { Put: { TableName, Item: key(50) } },
    { ConditionCheck: { TableName, Key: key(51), ConditionExpression: "attribute_exists(p)" } },
  ] })), (error) => {
    assert.ok(error instanceof TransactionCanceledException);
    assert.deepEqual(error.CancellationReasons.map((r) => r.Code), ["None", "ConditionalCheckFailed"]);
    return true;
  });
});

test("pages of a query", async () => {
  const puts = Array.from({ length: 25 }, (_, n) => ({ PutRequest: { Item: { p: { S: "many" }, c: { N: `${n}` } } } }));
  await db.send(new BatchWriteItemCommand({ RequestItems: { [TableName]: puts } }));
  const found = [];
  for await (const page of paginateQuery({ client: db, pageSize: 7 }, {
    TableName, KeyConditionExpression: "p = :p", ExpressionAttributeValues: { ":p": { S: "many" } }, ScanIndexForward: false,
  })) found.push(...page.Items.map((item) => Number(item.c.N)));
  assert.deepEqual(found, Array.from({ length: 25 }, (_, n) => 24 - n));
});

test("the stream", async () => {
  const { Table } = await db.send(new DescribeTableCommand({ TableName }));
  const StreamArn = Table.LatestStreamArn;
  const { StreamDescription } = await streams.send(new DescribeStreamCommand({ StreamArn }));
  const { ShardIterator } = await streams.send(new GetShardIteratorCommand({
    StreamArn, ShardId: StreamDescription.Shards[0].ShardId, ShardIteratorType: "TRIM_HORIZON",
  }));
  const { Records } = await streams.send(new GetRecordsCommand({ ShardIterator }));
  assert.ok(Records.length >= 28);
  assert.deepEqual(Records[0].dynamodb.Keys, key(1));
  assert.ok(Records.every((r) => r.dynamodb.ApproximateCreationDateTime instanceof Date));
});
