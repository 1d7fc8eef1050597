// LocalStack's module of testcontainers against the image `cumulet`.
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { LocalstackContainer } from "@testcontainers/localstack";

const container = await new LocalstackContainer("cumulet:latest").start();
try {
  const s3 = new S3Client({
    endpoint: container.getConnectionUri(),
    forcePathStyle: true,
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  });
  await s3.send(new CreateBucketCommand({ Bucket: "from-node" }));
  await s3.send(new PutObjectCommand({ Bucket: "from-node", Key: "k", Body: "hello from node" }));
  const { Body } = await s3.send(new GetObjectCommand({ Bucket: "from-node", Key: "k" }));
  console.log(await Body.transformToString());
} finally {
  await container.stop();
}
