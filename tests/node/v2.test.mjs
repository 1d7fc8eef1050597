// AWS SDK for JavaScript, version 2, as pages and functions of 2018 use it: no default checksums, an
// MD5 where one is required, its own way of signing streams.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { before, test } from "node:test";

import AWS from "aws-sdk";

const { ENDPOINT: endpoint, ACCOUNT: account } = process.env;
const options = { endpoint, region: "us-east-1", maxRetries: 0 };
const s3 = new AWS.S3({ ...options, s3ForcePathStyle: true, signatureVersion: "v4" });
const iam = new AWS.IAM(options);
const sts = new AWS.STS(options);
const Bucket = `node2-${account}`;

before(() => s3.createBucket({ Bucket }).promise());

test("put and get", async () => {
  const body = randomBytes(50_000);
  const put = await s3.putObject({ Bucket, Key: "a b/ü", Body: body, ContentType: "text/x" }).promise();
  assert.equal(put.ETag, `"${createHash("md5").update(body).digest("hex")}"`);
  const got = await s3.getObject({ Bucket, Key: "a b/ü" }).promise();
  assert.deepEqual(got.Body, body);
  assert.equal(got.ContentType, "text/x");
});

test("MD5 of the body", async () => {
  const checked = new AWS.S3({ ...options, s3ForcePathStyle: true, computeChecksums: true });
  await checked.putObject({ Bucket, Key: "md5", Body: "data" }).promise();
  await assert.rejects(
    s3.putObject({ Bucket, Key: "md5", Body: "data", ContentMD5: "AAAAAAAAAAAAAAAAAAAAAA==" }).promise(),
    { code: "BadDigest" });
});

test("an upload in parts", async () => {
  const body = randomBytes(11 << 20);
  await s3.upload({ Bucket, Key: "parts", Body: body }, { partSize: 5 << 20 }).promise();
  const got = await s3.getObject({ Bucket, Key: "parts" }).promise();
  assert.ok(got.Body.equals(body));
});

test("lists, many deletions, errors", async () => {
  for (const key of ["l/1", "l/2", "l/3"]) await s3.putObject({ Bucket, Key: key, Body: "" }).promise();
  const old = await s3.listObjects({ Bucket, Prefix: "l/", MaxKeys: 2 }).promise();
  assert.deepEqual(old.Contents.map((o) => o.Key), ["l/1", "l/2"]);
  const gone = await s3.deleteObjects({
    Bucket, Delete: { Objects: [{ Key: "l/1" }, { Key: "l/2" }] },
  }).promise();
  assert.equal(gone.Deleted.length, 2);
  await assert.rejects(s3.getObject({ Bucket, Key: "absent" }).promise(), { code: "NoSuchKey" });
  await assert.rejects(s3.headObject({ Bucket, Key: "absent" }).promise(), { code: "NotFound" });
});

test("presigned, of version 4", async () => {
  const put = s3.getSignedUrl("putObject", { Bucket, Key: "signed", Expires: 60 });
  assert.equal((await fetch(put, { method: "PUT", body: "data" })).status, 200);
  const get = s3.getSignedUrl("getObject", { Bucket, Key: "signed", Expires: 60 });
  assert.equal(await (await fetch(get)).text(), "data");
});

test("identities", async () => {
  assert.equal((await sts.getCallerIdentity().promise()).Account, account);
  await iam.createUser({ UserName: "old" }).promise();
  await assert.rejects(iam.createUser({ UserName: "old" }).promise(), { code: "EntityAlreadyExists" });
  const { AccessKey } = await iam.createAccessKey({ UserName: "old" }).promise();
  const user = new AWS.S3({
    ...options, s3ForcePathStyle: true,
    accessKeyId: AccessKey.AccessKeyId, secretAccessKey: AccessKey.SecretAccessKey,
  });
  await assert.rejects(user.listBuckets().promise(), { code: "AccessDenied" });
});
