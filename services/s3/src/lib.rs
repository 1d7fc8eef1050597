//! Amazon S3: buckets, objects and their versions, uploads in parts, listings, access by policy and
//! access control list.
//!
//! Invariants: a version's row and the bytes that it names come and go in one transaction; nothing
//! of a body counts before its end, its length and its checksums were seen; an object is never held
//! in memory as a whole unless it fits into a row.
//!
//! Deliberately absent: HTTP, signatures and host names (the gateway's), and how bytes are kept
//! (the store's).

mod access;
mod acl;
mod body;
mod bucket;
mod checksum;
mod conditions;
mod copy;
mod delete;
mod get_object;
mod grants;
mod list;
mod list_versions;
mod meta;
mod multipart;
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

    fn authorize_copy_object(&self, cx: &Cx, input: &CopyObjectInput) -> Result<Vec<Ask>, Error> {
        copy::authorize(cx, input)
    }

    async fn copy_object(
        &self,
        cx: &AsyncCx,
        input: &CopyObjectInput,
    ) -> Result<Reply<CopyObjectOutput>, Error> {
        copy::run(cx, input).await
    }

    fn authorize_upload_part_copy(
        &self,
        cx: &Cx,
        input: &UploadPartCopyInput,
    ) -> Result<Vec<Ask>, Error> {
        copy::authorize_part(cx, input)
    }

    async fn upload_part_copy(
        &self,
        cx: &AsyncCx,
        input: &UploadPartCopyInput,
    ) -> Result<Reply<UploadPartCopyOutput>, Error> {
        copy::part(cx, input).await
    }

    fn authorize_create_multipart_upload(
        &self,
        cx: &Cx,
        input: &CreateMultipartUploadInput,
    ) -> Result<Vec<Ask>, Error> {
        Ok(multipart::authorize_create(cx, input))
    }

    fn create_multipart_upload(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &CreateMultipartUploadInput,
    ) -> Result<CreateMultipartUploadOutput, Error> {
        multipart::create(tx, cx, input)
    }

    async fn upload_part(
        &self,
        cx: &AsyncCx,
        input: &UploadPartInput,
    ) -> Result<Reply<UploadPartOutput>, Error> {
        multipart::upload_part(cx, input).await
    }

    fn complete_multipart_upload(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &CompleteMultipartUploadInput,
    ) -> Result<CompleteMultipartUploadOutput, Error> {
        multipart::complete(tx, cx, input)
    }

    fn abort_multipart_upload(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &AbortMultipartUploadInput,
    ) -> Result<AbortMultipartUploadOutput, Error> {
        multipart::abort(tx, cx, input)
    }

    fn list_parts(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListPartsInput,
    ) -> Result<ListPartsOutput, Error> {
        multipart::list_parts(tx, cx, input)
    }

    fn list_multipart_uploads(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListMultipartUploadsInput,
    ) -> Result<ListMultipartUploadsOutput, Error> {
        multipart::list_uploads(tx, cx, input)
    }

    fn list_object_versions(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListObjectVersionsInput,
    ) -> Result<ListObjectVersionsOutput, Error> {
        list_versions::list(tx, cx, input)
    }

    fn put_bucket_policy(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &PutBucketPolicyInput,
    ) -> Result<PutBucketPolicyOutput, Error> {
        access::put_policy(tx, cx, input)
    }

    fn get_bucket_policy(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &GetBucketPolicyInput,
    ) -> Result<GetBucketPolicyOutput, Error> {
        access::get_policy(tx, cx, input)
    }

    fn delete_bucket_policy(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &DeleteBucketPolicyInput,
    ) -> Result<DeleteBucketPolicyOutput, Error> {
        access::delete_policy(tx, cx, input)
    }

    fn authorize_put_bucket_acl(
        &self,
        cx: &Cx,
        input: &PutBucketAclInput,
    ) -> Result<Vec<Ask>, Error> {
        Ok(access::authorize_put_bucket_acl(cx, input))
    }

    fn put_bucket_acl(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &PutBucketAclInput,
    ) -> Result<PutBucketAclOutput, Error> {
        access::put_bucket_acl(tx, cx, input)
    }

    fn get_bucket_acl(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &GetBucketAclInput,
    ) -> Result<GetBucketAclOutput, Error> {
        access::get_bucket_acl(tx, cx, input)
    }

    fn authorize_put_object_acl(
        &self,
        cx: &Cx,
        input: &PutObjectAclInput,
    ) -> Result<Vec<Ask>, Error> {
        Ok(access::authorize_put_object_acl(cx, input))
    }

    fn put_object_acl(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &PutObjectAclInput,
    ) -> Result<PutObjectAclOutput, Error> {
        access::put_object_acl(tx, cx, input)
    }

    fn authorize_get_object_acl(
        &self,
        cx: &Cx,
        input: &GetObjectAclInput,
    ) -> Result<Vec<Ask>, Error> {
        Ok(access::authorize_get_object_acl(cx, input))
    }

    fn get_object_acl(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &GetObjectAclInput,
    ) -> Result<GetObjectAclOutput, Error> {
        access::get_object_acl(tx, cx, input)
    }
}
