// AWS SDK for JavaScript, version 3: what its defaults send, and what it makes of the answers.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Agent } from "node:http";
import { Readable } from "node:stream";
import { before, test } from "node:test";

import {
  AttachUserPolicyCommand, CreateAccessKeyCommand, CreateRoleCommand, CreateUserCommand,
  GetUserCommand, IAMClient, ListUsersCommand, NoSuchEntityException, PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import {
  CopyObjectCommand, CreateBucketCommand, DeleteObjectCommand, DeleteObjectsCommand,
  GetObjectCommand, HeadObjectCommand, ListBucketsCommand, ListObjectVersionsCommand,
  ListObjectsV2Command, NoSuchBucket, NoSuchKey, PutBucketVersioningCommand, PutObjectCommand,
  S3Client, SelectObjectContentCommand, paginateListObjectsV2, waitUntilObjectExists,
} from "@aws-sdk/client-s3";
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { Upload } from "@aws-sdk/lib-storage";
import { createPresignedPost } from "@aws-sdk/s3-presigned-post";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const { ENDPOINT: endpoint, ACCOUNT: account } = process.env;
const options = { endpoint, region: "us-east-1", maxAttempts: 1 };
const s3 = new S3Client({ ...options, forcePathStyle: true });
const iam = new IAMClient(options);
const sts = new STSClient(options);
const Bucket = `node3-${account}`;

before(() => s3.send(new CreateBucketCommand({ Bucket })));

test("buckets", async () => {
  const { Buckets } = await s3.send(new ListBucketsCommand({}));
  assert.ok(Buckets.some((b) => b.Name === Bucket && b.CreationDate instanceof Date));
});

test("put and get, with the default checksum", async () => {
  const body = randomBytes(100_000);
  const put = await s3.send(new PutObjectCommand({
    Bucket, Key: "dir/ü +", Body: body, ContentType: "text/x", Metadata: { a: "b" },
  }));
  assert.equal(put.ETag, `"${createHash("md5").update(body).digest("hex")}"`);
  assert.ok(put.ChecksumCRC32);
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "dir/ü +" }));
  assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), body);
  assert.deepEqual([got.ContentType, got.Metadata], ["text/x", { a: "b" }]);
});

test("a stream of known length goes in chunks with a trailer", async () => {
  const body = randomBytes(300_000);
  await s3.send(new PutObjectCommand({
    Bucket, Key: "stream", Body: Readable.from([body.subarray(0, 70_000), body.subarray(70_000)]),
    ContentLength: body.length,
  }));
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "stream" }));
  assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), body);
  assert.ok(!got.ContentEncoding);
});

test("an upload in parts", async () => {
  const body = randomBytes(12 << 20);
  const upload = new Upload({ client: s3, params: { Bucket, Key: "parts", Body: body } });
  await upload.done();
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "parts" }));
  assert.equal(head.ContentLength, body.length);
  const got = await s3.send(new GetObjectCommand({ Bucket, Key: "parts", Range: "bytes=5242870-5242890" }));
  assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), body.subarray(5242870, 5242891));
});

test("errors are of their classes", async () => {
  await assert.rejects(s3.send(new GetObjectCommand({ Bucket, Key: "absent" })), NoSuchKey);
  await assert.rejects(
    s3.send(new ListObjectsV2Command({ Bucket: `absent-${account}` })), NoSuchBucket);
  await assert.rejects(iam.send(new GetUserCommand({ UserName: "absent" })), NoSuchEntityException);
  await assert.rejects(s3.send(new HeadObjectCommand({ Bucket, Key: "absent" })), (e) =>
    e.$metadata.httpStatusCode === 404 && e.name === "NotFound");
});

test("pages, copies, deletions", async () => {
  for (let n = 0; n < 7; n++) {
    await s3.send(new PutObjectCommand({ Bucket, Key: `p/${n}`, Body: "x" }));
  }
  const keys = [];
  for await (const page of paginateListObjectsV2({ client: s3, pageSize: 3 }, { Bucket, Prefix: "p/" })) {
    keys.push(...page.Contents.map((o) => o.Key));
  }
  assert.deepEqual(keys, [0, 1, 2, 3, 4, 5, 6].map((n) => `p/${n}`));
  await s3.send(new CopyObjectCommand({ Bucket, Key: "p/copy", CopySource: `${Bucket}/p/0` }));
  await waitUntilObjectExists({ client: s3, maxWaitTime: 10 }, { Bucket, Key: "p/copy" });
  const gone = await s3.send(new DeleteObjectsCommand({
    Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) },
  }));
  assert.equal(gone.Deleted.length, 7);
});

test("versions", async () => {
  const bucket = `${Bucket}-v`;
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  await s3.send(new PutBucketVersioningCommand({
    Bucket: bucket, VersioningConfiguration: { Status: "Enabled" },
  }));
  const first = await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "k", Body: "1" }));
  await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: "k" }));
  const got = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: "k", VersionId: first.VersionId }));
  assert.equal(await got.Body.transformToString(), "1");
  const list = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket }));
  assert.deepEqual([list.Versions.length, list.DeleteMarkers.length], [1, 1]);
});

test("presigned URLs and forms", async () => {
  const put = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: "signed" }), { expiresIn: 60 });
  assert.equal((await fetch(put, { method: "PUT", body: "data" })).status, 200);
  const get = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: "signed" }), { expiresIn: 60 });
  assert.equal(await (await fetch(get)).text(), "data");
  const post = await createPresignedPost(s3, { Bucket, Key: "form", Expires: 60 });
  const form = new FormData();
  for (const [name, value] of Object.entries(post.fields)) form.append(name, value);
  form.append("file", new Blob(["form"]), "f");
  assert.equal((await fetch(post.url, { method: "POST", body: form })).status, 204);
});

test("identities and roles", async () => {
  const me = await sts.send(new GetCallerIdentityCommand({}));
  assert.equal(me.Arn, `arn:aws:iam::${account}:root`);
  await iam.send(new CreateUserCommand({ UserName: "node" }));
  await iam.send(new AttachUserPolicyCommand({
    UserName: "node", PolicyArn: "arn:aws:iam::aws:policy/AdministratorAccess",
  }));
  const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName: "node" }));
  const credentials = {
    accessKeyId: AccessKey.AccessKeyId, secretAccessKey: AccessKey.SecretAccessKey,
  };
  const role = await iam.send(new CreateRoleCommand({
    RoleName: "node", AssumeRolePolicyDocument: JSON.stringify({
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Principal: { AWS: account }, Action: "sts:AssumeRole" }],
    }),
  }));
  await iam.send(new PutRolePolicyCommand({
    RoleName: "node", PolicyName: "p", PolicyDocument: JSON.stringify({
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Action: "iam:ListUsers", Resource: "*" }],
    }),
  }));
  const { Credentials: c } = await new STSClient({ ...options, credentials }).send(
    new AssumeRoleCommand({ RoleArn: role.Role.Arn, RoleSessionName: "session" }));
  const session = new IAMClient({ ...options, credentials: {
    accessKeyId: c.AccessKeyId, secretAccessKey: c.SecretAccessKey, sessionToken: c.SessionToken,
  } });
  const { Users } = await session.send(new ListUsersCommand({}));
  assert.deepEqual(Users.map((u) => u.UserName), ["node"]);
  await assert.rejects(session.send(new GetUserCommand({ UserName: "node" })), (e) =>
    e.name === "AccessDenied" && e.message.includes("iam:GetUser"));
});

test("without forcePathStyle", async () => {
  // An address is no place for a bucket's name, so the SDK asks by path of itself.
  const plain = new S3Client(options);
  await plain.send(new PutObjectCommand({ Bucket, Key: "k/1", Body: "plain" }));
  // A name is: `bucket.localhost`. Where no resolver knows such names, the agent does.
  const lookup = (name, { all }, done) =>
    all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
  const hosts = [];
  class Seen extends Agent {
    createConnection(how, done) {
      hosts.push(how.host);
      return super.createConnection({ ...how, lookup }, done);
    }
  }
  const named = new S3Client({
    ...options, endpoint: endpoint.replace("127.0.0.1", "localhost"),
    requestHandler: { httpAgent: new Seen() },
  });
  const got = await named.send(new GetObjectCommand({ Bucket, Key: "k/1" }));
  assert.equal(await got.Body.transformToString(), "plain");
  await named.send(new PutObjectCommand({ Bucket, Key: "k/ü", Body: "by name" }));
  const { Contents } = await named.send(new ListObjectsV2Command({ Bucket, Prefix: "k/" }));
  assert.deepEqual(Contents.map((o) => o.Key), ["k/1", "k/ü"]);
  assert.deepEqual(new Set(hosts), new Set([`${Bucket}.localhost`]));
  await named.send(new CreateBucketCommand({ Bucket: `${Bucket}-named` }));
  assert.equal((await fetch(await getSignedUrl(plain, new GetObjectCommand({ Bucket, Key: "k/ü" })))).status, 200);
});

test("selected content comes as events", async () => {
  await s3.send(new PutObjectCommand({ Bucket, Key: "people.csv", Body: "name,age\nAnn,41\nBob,7\n" }));
  const { Payload } = await s3.send(new SelectObjectContentCommand({
    Bucket, Key: "people.csv", ExpressionType: "SQL",
    Expression: "SELECT s.name FROM S3Object s WHERE CAST(s.age AS INT) > 10",
    InputSerialization: { CSV: { FileHeaderInfo: "USE" } }, OutputSerialization: { JSON: {} },
  }));
  const kinds = [];
  let records = "";
  for await (const event of Payload) {
    kinds.push(Object.keys(event)[0]);
    records += Buffer.from(event.Records?.Payload ?? "").toString();
  }
  assert.deepEqual([kinds, records], [["Records", "Stats", "End"], '{"name":"Ann"}\n']);
});
