// DynamoDB with the AWS SDK for JavaScript, version 2: its DocumentClient, which checks x-amz-crc32.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import AWS from "aws-sdk";

const { ENDPOINT: endpoint } = process.env;
AWS.config.update({ endpoint, region: "us-east-1", maxRetries: 0 });
const db = new AWS.DynamoDB();
const documents = new AWS.DynamoDB.DocumentClient();
const TableName = "node2";

before(async () => {
  await db.createTable({
    TableName, ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 1 },
    KeySchema: [{ AttributeName: "email", KeyType: "HASH" }],
    AttributeDefinitions: [{ AttributeName: "email", AttributeType: "S" }],
  }).promise();
  await db.waitFor("tableExists", { TableName, $waiter: { delay: 0.1 } }).promise();
});

test("documents", async () => {
  const Item = {
    email: "a@b", n: 1.5, list: [1, "x", null, { deep: true }], set: documents.createSet(["a", "b"]), bytes: Buffer.from([0, 1]),
  };
  await documents.put({ TableName, Item }).promise();
  const { Item: got } = await documents.get({ TableName, Key: { email: "a@b" } }).promise();
  assert.deepEqual([got.n, got.list], [Item.n, Item.list]);
  assert.deepEqual([...got.set.values].sort(), ["a", "b"]);
  assert.ok(Buffer.from([0, 1]).equals(got.bytes));
});

test("the older condition of a sign-up form", async () => {
  const put = () => db.putItem({
    TableName, Item: { email: { S: "once@b" } }, Expected: { email: { Exists: false } },
  }).promise();
  await put();
  await assert.rejects(put(), { code: "ConditionalCheckFailedException", statusCode: 400 });
});

test("a query with older conditions", async () => {
  const { Items, Count } = await db.query({
    TableName, KeyConditions: { email: { ComparisonOperator: "EQ", AttributeValueList: [{ S: "a@b" }] } },
  }).promise();
  assert.deepEqual([Items[0].email, Count], [{ S: "a@b" }, 1]);
});

test("a scan with a filter", async () => {
  const { Items } = await documents.scan({
    TableName, FilterExpression: "n > :n", ExpressionAttributeValues: { ":n": 1 },
  }).promise();
  assert.deepEqual(Items.map((item) => item.email), ["a@b"]);
});

test("a batch and a transaction", async () => {
  const puts = Array.from({ length: 20 }, (_, n) => ({ PutRequest: { Item: { email: `b${n}` } } }));
  const { UnprocessedItems } = await documents.batchWrite({ RequestItems: { [TableName]: puts } }).promise();
  assert.deepEqual(UnprocessedItems, {});
  await documents.transactWrite({ TransactItems: [
    { Update: { TableName, Key: { email: "b1" }, UpdateExpression: "SET v = :v", ExpressionAttributeValues: { ":v": 7 } } },
    { Delete: { TableName, Key: { email: "b2" } } },
  ] }).promise();
  const { Responses } = await documents.batchGet({ RequestItems: { [TableName]: { Keys: [{ email: "b1" }, { email: "b2" }] } } }).promise();
  assert.deepEqual(Responses[TableName], [{ email: "b1", v: 7 }]);
});

test("tags, whose answer has no body", async () => {
  const { Table } = await db.describeTable({ TableName }).promise();
  await db.tagResource({ ResourceArn: Table.TableArn, Tags: [{ Key: "a", Value: "b" }] }).promise();
  const { Tags } = await db.listTagsOfResource({ ResourceArn: Table.TableArn }).promise();
  assert.deepEqual(Tags, [{ Key: "a", Value: "b" }]);
});
