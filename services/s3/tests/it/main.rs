//! S3 over a store in memory: what an operation answers, and what is there afterwards.

mod access;
mod customer_keys;
mod documents;
mod events;
mod inventory;
mod lifecycle;
mod listing;
mod locks;
mod model;
mod objects;
mod replication;
mod restore;
mod select;
mod settings;
mod uploads;
mod versions;

use api::Error;
use api::testing::{Outcome, World};
use bytes::Bytes;
use gen_s3::*;
use service_s3::S3;

/// A service with a bucket `box`.
pub struct Cloud {
    pub world: World,
    pub s3: Handler<S3>,
}

impl Cloud {
    #[allow(clippy::new_without_default, reason = "a test fixture")]
    pub fn new() -> Cloud {
        Cloud::seeded(1)
    }

    pub fn seeded(seed: u64) -> Cloud {
        let cloud = Cloud { world: World::new(seed), s3: Handler(S3::new()) };
        cloud.make_bucket("box");
        cloud
    }

    pub fn make_bucket(&self, bucket: &str) {
        let input = CreateBucketInput { bucket: bucket.into(), ..Default::default() };
        self.call::<CreateBucketOutput>("CreateBucket", &input).unwrap();
    }

    pub fn call<O: smithy::Struct>(
        &self,
        operation: &str,
        input: &dyn smithy::Struct,
    ) -> Result<O, Error> {
        self.world.call(&self.s3, operation, input)
    }

    pub fn put(&self, key: &str, body: &[u8]) -> PutObjectOutput {
        let input = PutObjectInput { bucket: "box".into(), key: key.into(), ..Default::default() };
        self.put_as(&input, body).unwrap()
    }

    pub fn put_as(&self, input: &PutObjectInput, body: &[u8]) -> Result<PutObjectOutput, Error> {
        let body = Bytes::copy_from_slice(body);
        self.world.send(&self.s3, "PutObject", input, body).map(|o| o.output)
    }

    pub fn get(&self, key: &str, version: Option<&str>) -> Result<Outcome<GetObjectOutput>, Error> {
        let input = GetObjectInput {
            bucket: "box".into(),
            key: key.into(),
            version_id: version.map(str::to_owned),
            ..Default::default()
        };
        self.get_as(&input)
    }

    pub fn get_as(&self, input: &GetObjectInput) -> Result<Outcome<GetObjectOutput>, Error> {
        self.world.send(&self.s3, "GetObject", input, Bytes::new())
    }

    pub fn delete(&self, key: &str, version: Option<&str>) -> DeleteObjectOutput {
        let input = DeleteObjectInput {
            bucket: "box".into(),
            key: key.into(),
            version_id: version.map(str::to_owned),
            ..Default::default()
        };
        self.call("DeleteObject", &input).unwrap()
    }

    pub fn versioning(&self, status: &str) {
        let versioning_configuration =
            VersioningConfiguration { status: Some(status.into()), ..Default::default() };
        let input = PutBucketVersioningInput {
            bucket: "box".into(),
            versioning_configuration,
            ..Default::default()
        };
        self.call::<PutBucketVersioningOutput>("PutBucketVersioning", &input).unwrap();
    }
}
