// Both SDKs for JavaScript with no endpoint and their default of bucket names in the host.

import assert from "node:assert/strict";

import {
  CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client,
} from "@aws-sdk/client-s3";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import AWS from "aws-sdk";

const account = process.env.AWS_ACCESS_KEY_ID;
const Bucket = `${process.env.BUCKET}.three`;

const s3 = new S3Client({ maxAttempts: 1 });
await s3.send(new CreateBucketCommand({ Bucket }));
await s3.send(new PutObjectCommand({ Bucket, Key: "a b/ü", Body: "three" }));
const got = await s3.send(new GetObjectCommand({ Bucket, Key: "a b/ü" }));
assert.equal(await got.Body.transformToString(), "three");
const endpoint = await s3.config.endpointProvider({ Bucket, Region: "us-east-1" });
assert.equal(endpoint.url.protocol, "https:");
const who = await new STSClient({}).send(new GetCallerIdentityCommand({}));
assert.equal(who.Account, account);

const old = new AWS.S3({ maxRetries: 0 });
const bucket = `${process.env.BUCKET}-two`;
await old.createBucket({ Bucket: bucket }).promise();
await old.putObject({ Bucket: bucket, Key: "k", Body: "two" }).promise();
const request = old.getObject({ Bucket: bucket, Key: "k" });
assert.equal((await request.promise()).Body.toString(), "two");
assert.equal(request.httpRequest.endpoint.hostname, `${bucket}.s3.amazonaws.com`);
const listed = await s3.send(new ListObjectsV2Command({ Bucket: bucket }));
assert.deepEqual(listed.Contents.map((o) => o.Key), ["k"]);
console.log("both");
