//! Amazon S3: buckets, objects and their versions, uploads in parts, listings, access by policy and
//! access control list.
//!
//! Invariants: a version's row and the bytes that it names come and go in one transaction; nothing
//! of a body counts before its end, its length and its checksums were seen; an object is never held
//! in memory as a whole unless it fits into a row.
//!
//! Deliberately absent: HTTP, signatures and host names (the gateway's), and how bytes are kept
//! (the store's).

mod acl;
mod body;
mod bucket;
mod checksum;
mod conditions;
mod delete;
mod get_object;
mod grants;
mod list;
mod meta;
mod names;
mod object;
mod put_object;
mod rows;

use api::{Ask, AsyncCx, Cx, Error, Reply, Tx};
use gen_s3::*;

/// The service. It keeps nothing but a cache of parsed bucket policies.
#[derive(Debug, Default)]
pub struct S3 {
    policies: grants::PolicyCache,
}

impl S3 {
    pub fn new() -> S3 {
        S3::default()
    }
}

impl S3Api for S3 {
    fn create_bucket(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &CreateBucketInput,
    ) -> Result<CreateBucketOutput, Error> {
        bucket::create(tx, cx, input)
    }

    fn delete_bucket(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &DeleteBucketInput,
    ) -> Result<DeleteBucketOutput, Error> {
        bucket::delete(tx, cx, input)
    }

    fn head_bucket(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &HeadBucketInput,
    ) -> Result<HeadBucketOutput, Error> {
        bucket::head(tx, cx, input)
    }

    fn list_buckets(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListBucketsInput,
    ) -> Result<ListBucketsOutput, Error> {
        bucket::list(tx, cx, input)
    }

    fn get_bucket_location(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &GetBucketLocationInput,
    ) -> Result<GetBucketLocationOutput, Error> {
        bucket::location(tx, cx, input)
    }

    fn put_bucket_versioning(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &PutBucketVersioningInput,
    ) -> Result<PutBucketVersioningOutput, Error> {
        bucket::put_versioning(tx, cx, input)
    }

    fn get_bucket_versioning(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &GetBucketVersioningInput,
    ) -> Result<GetBucketVersioningOutput, Error> {
        bucket::get_versioning(tx, cx, input)
    }

    fn authorize_put_object(&self, cx: &Cx, input: &PutObjectInput) -> Result<Vec<Ask>, Error> {
        put_object::authorize(cx, input)
    }

    async fn put_object(
        &self,
        cx: &AsyncCx,
        input: &PutObjectInput,
    ) -> Result<Reply<PutObjectOutput>, Error> {
        put_object::run(cx, input).await
    }

    fn authorize_get_object(&self, cx: &Cx, input: &GetObjectInput) -> Result<Vec<Ask>, Error> {
        Ok(get_object::asks(cx, &input.bucket, &input.key, &input.version_id))
    }

    async fn get_object(
        &self,
        cx: &AsyncCx,
        input: &GetObjectInput,
    ) -> Result<Reply<GetObjectOutput>, Error> {
        get_object::run(cx, input).await
    }

    fn authorize_head_object(&self, cx: &Cx, input: &HeadObjectInput) -> Result<Vec<Ask>, Error> {
        Ok(get_object::asks(cx, &input.bucket, &input.key, &input.version_id))
    }

    fn head_object(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &HeadObjectInput,
    ) -> Result<HeadObjectOutput, Error> {
        get_object::head(tx, cx, input)
    }

    fn authorize_delete_object(
        &self,
        cx: &Cx,
        input: &DeleteObjectInput,
    ) -> Result<Vec<Ask>, Error> {
        Ok(vec![delete::ask(cx, &input.bucket, &input.key, &input.version_id)])
    }

    fn delete_object(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &DeleteObjectInput,
    ) -> Result<DeleteObjectOutput, Error> {
        delete::one(tx, cx, input)
    }

    fn authorize_delete_objects(&self, _: &Cx, _: &DeleteObjectsInput) -> Result<Vec<Ask>, Error> {
        // Each key is asked for by itself, and refused by itself in the result.
        Ok(Vec::new())
    }

    fn delete_objects(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &DeleteObjectsInput,
    ) -> Result<DeleteObjectsOutput, Error> {
        delete::many(tx, cx, input)
    }

    fn list_objects(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListObjectsInput,
    ) -> Result<ListObjectsOutput, Error> {
        list::v1(tx, cx, input)
    }

    fn list_objects_v2(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListObjectsV2Input,
    ) -> Result<ListObjectsV2Output, Error> {
        list::v2(tx, cx, input)
    }
}
