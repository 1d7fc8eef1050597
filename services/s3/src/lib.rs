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
mod attributes;
mod background;
mod body;
mod bucket;
mod checksum;
mod conditions;
mod config;
mod content;
mod control;
mod copy;
mod cors;
mod customer_key;
mod delete;
mod encryption;
pub mod events;
#[doc(hidden)]
pub mod fuzz;
mod get_object;
mod grants;
mod inventory;
mod kept;
mod kept_check;
mod lifecycle;
mod list;
mod list_versions;
mod lock;
mod logging;
mod meta;
mod multipart;
mod names;
mod object;
mod parcel;
mod public_access;
mod put_object;
mod replication;
mod restore;
mod rows;
mod sealed;
mod select;
mod tagging;
mod website;

pub use bucket::Defaults;
pub use control::Control;

use api::{Ask, AsyncCx, Cx, Error, Reply, Tx};
use gen_s3::*;

/// The service. It keeps nothing but a cache of parsed bucket policies.
#[derive(Debug, Default)]
pub struct S3 {
    policies: grants::PolicyCache,
    defaults: Defaults,
}

impl S3 {
    pub fn with_defaults(defaults: Defaults) -> S3 {
        S3 { defaults, ..S3::default() }
    }

    pub fn new() -> S3 {
        S3::default()
    }
}

/// Methods that hand over to a function of the same shape.
macro_rules! reads {
    ($($name:ident($input:ty) -> $output:ty = $run:path;)*) => {$(
        fn $name(&self, tx: &Tx, cx: &Cx, input: &$input) -> Result<$output, Error> {
            $run(tx, cx, input)
        }
    )*};
}
macro_rules! writes {
    ($($name:ident($input:ty) -> $output:ty = $run:path;)*) => {$(
        fn $name(&self, tx: &mut Tx, cx: &Cx, input: &$input) -> Result<$output, Error> {
            $run(tx, cx, input)
        }
    )*};
}
pub(crate) use {reads, writes};
macro_rules! asks {
    ($($name:ident($input:ty) = $run:path;)*) => {$(
        fn $name(&self, cx: &Cx, input: &$input) -> Result<Vec<Ask>, Error> {
            Ok($run(cx, input))
        }
    )*};
}

/// A document that is none of S3's, or that contradicts itself.
fn malformed_xml() -> Error {
    Error::new(
        &gen_s3::errors::MALFORMED_XML,
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

impl S3Api for S3 {
    fn authorize_create_bucket(
        &self,
        cx: &Cx,
        input: &CreateBucketInput,
    ) -> Result<Vec<Ask>, Error> {
        Ok(bucket::authorize_create(cx, input))
    }

    fn create_bucket(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &CreateBucketInput,
    ) -> Result<CreateBucketOutput, Error> {
        bucket::create(tx, cx, input, self.defaults)
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

    async fn select_object_content(
        &self,
        cx: &AsyncCx,
        input: &SelectObjectContentInput,
    ) -> Result<Reply<SelectObjectContentOutput>, Error> {
        crate::select::run(cx, input).await
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
        let of = (input.key.as_str(), &input.version_id);
        Ok(vec![delete::ask(cx, &input.bucket, of, &input.if_match)])
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

    async fn list_object_versions(
        &self,
        cx: &AsyncCx,
        input: &ListObjectVersionsInput,
    ) -> Result<Reply<ListObjectVersionsOutput>, Error> {
        list_versions::run(cx, input).await
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

    reads! {
        get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput = tagging::get_bucket;
        get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput = tagging::get;
        get_object_attributes(GetObjectAttributesInput) -> GetObjectAttributesOutput = attributes::get;
        get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput = public_access::get;
        get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput = public_access::policy_status;
        get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput = public_access::get_ownership;
        get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput = cors::get;
        get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput = encryption::get;
        get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput = lock::get_configuration;
        get_object_retention(GetObjectRetentionInput) -> GetObjectRetentionOutput = lock::get_retention;
        get_object_legal_hold(GetObjectLegalHoldInput) -> GetObjectLegalHoldOutput = lock::get_hold;
        get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput = lifecycle::get;
        get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput = website::get;
        get_bucket_notification_configuration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput = events::get;
        get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput = logging::get;
        get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput = kept::get_payment;
        get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput = kept::get_accelerate;
        get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput = replication::get;
        get_bucket_analytics_configuration(GetBucketAnalyticsConfigurationInput) -> GetBucketAnalyticsConfigurationOutput = kept::analytics::get;
        list_bucket_analytics_configurations(ListBucketAnalyticsConfigurationsInput) -> ListBucketAnalyticsConfigurationsOutput = kept::analytics::list;
        get_bucket_inventory_configuration(GetBucketInventoryConfigurationInput) -> GetBucketInventoryConfigurationOutput = kept::inventory::get;
        list_bucket_inventory_configurations(ListBucketInventoryConfigurationsInput) -> ListBucketInventoryConfigurationsOutput = kept::inventory::list;
        get_bucket_metrics_configuration(GetBucketMetricsConfigurationInput) -> GetBucketMetricsConfigurationOutput = kept::metrics::get;
        list_bucket_metrics_configurations(ListBucketMetricsConfigurationsInput) -> ListBucketMetricsConfigurationsOutput = kept::metrics::list;
        get_bucket_intelligent_tiering_configuration(GetBucketIntelligentTieringConfigurationInput) -> GetBucketIntelligentTieringConfigurationOutput = kept::tiering::get;
        list_bucket_intelligent_tiering_configurations(ListBucketIntelligentTieringConfigurationsInput) -> ListBucketIntelligentTieringConfigurationsOutput = kept::tiering::list;
    }

    writes! {
        restore_object(RestoreObjectInput) -> RestoreObjectOutput = restore::run;
        put_bucket_tagging(PutBucketTaggingInput) -> PutBucketTaggingOutput = tagging::put_bucket;
        delete_bucket_tagging(DeleteBucketTaggingInput) -> DeleteBucketTaggingOutput = tagging::delete_bucket;
        put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput = tagging::put;
        delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput = tagging::delete;
        put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput = public_access::put;
        delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput = public_access::delete;
        put_bucket_ownership_controls(PutBucketOwnershipControlsInput) -> PutBucketOwnershipControlsOutput = public_access::put_ownership;
        delete_bucket_ownership_controls(DeleteBucketOwnershipControlsInput) -> DeleteBucketOwnershipControlsOutput = public_access::delete_ownership;
        put_bucket_cors(PutBucketCorsInput) -> PutBucketCorsOutput = cors::put;
        delete_bucket_cors(DeleteBucketCorsInput) -> DeleteBucketCorsOutput = cors::delete;
        put_bucket_encryption(PutBucketEncryptionInput) -> PutBucketEncryptionOutput = encryption::put;
        delete_bucket_encryption(DeleteBucketEncryptionInput) -> DeleteBucketEncryptionOutput = encryption::delete;
        put_object_lock_configuration(PutObjectLockConfigurationInput) -> PutObjectLockConfigurationOutput = lock::put_configuration;
        put_object_retention(PutObjectRetentionInput) -> PutObjectRetentionOutput = lock::put_retention;
        put_object_legal_hold(PutObjectLegalHoldInput) -> PutObjectLegalHoldOutput = lock::put_hold;
        put_bucket_lifecycle_configuration(PutBucketLifecycleConfigurationInput) -> PutBucketLifecycleConfigurationOutput = lifecycle::put;
        delete_bucket_lifecycle(DeleteBucketLifecycleInput) -> DeleteBucketLifecycleOutput = lifecycle::delete;
        put_bucket_website(PutBucketWebsiteInput) -> PutBucketWebsiteOutput = website::put;
        delete_bucket_website(DeleteBucketWebsiteInput) -> DeleteBucketWebsiteOutput = website::delete;
        put_bucket_notification_configuration(PutBucketNotificationConfigurationInput) -> PutBucketNotificationConfigurationOutput = events::put;
        put_bucket_logging(PutBucketLoggingInput) -> PutBucketLoggingOutput = logging::put;
        put_bucket_request_payment(PutBucketRequestPaymentInput) -> PutBucketRequestPaymentOutput = kept::put_payment;
        put_bucket_accelerate_configuration(PutBucketAccelerateConfigurationInput) -> PutBucketAccelerateConfigurationOutput = kept::put_accelerate;
        put_bucket_replication(PutBucketReplicationInput) -> PutBucketReplicationOutput = replication::put;
        delete_bucket_replication(DeleteBucketReplicationInput) -> DeleteBucketReplicationOutput = replication::delete;
        put_bucket_analytics_configuration(PutBucketAnalyticsConfigurationInput) -> PutBucketAnalyticsConfigurationOutput = kept::analytics::put;
        delete_bucket_analytics_configuration(DeleteBucketAnalyticsConfigurationInput) -> DeleteBucketAnalyticsConfigurationOutput = kept::analytics::delete;
        put_bucket_inventory_configuration(PutBucketInventoryConfigurationInput) -> PutBucketInventoryConfigurationOutput = inventory::put;
        delete_bucket_inventory_configuration(DeleteBucketInventoryConfigurationInput) -> DeleteBucketInventoryConfigurationOutput = kept::inventory::delete;
        put_bucket_metrics_configuration(PutBucketMetricsConfigurationInput) -> PutBucketMetricsConfigurationOutput = kept::metrics::put;
        delete_bucket_metrics_configuration(DeleteBucketMetricsConfigurationInput) -> DeleteBucketMetricsConfigurationOutput = kept::metrics::delete;
        put_bucket_intelligent_tiering_configuration(PutBucketIntelligentTieringConfigurationInput) -> PutBucketIntelligentTieringConfigurationOutput = kept::tiering::put;
        delete_bucket_intelligent_tiering_configuration(DeleteBucketIntelligentTieringConfigurationInput) -> DeleteBucketIntelligentTieringConfigurationOutput = kept::tiering::delete;
    }

    asks! {
        authorize_restore_object(RestoreObjectInput) = restore::authorize;
        authorize_get_object_tagging(GetObjectTaggingInput) = tagging::authorize_get;
        authorize_put_object_tagging(PutObjectTaggingInput) = tagging::authorize_put;
        authorize_delete_object_tagging(DeleteObjectTaggingInput) = tagging::authorize_delete;
        authorize_get_object_attributes(GetObjectAttributesInput) = attributes::authorize;
        authorize_get_object_retention(GetObjectRetentionInput) = lock::authorize_get_retention;
        authorize_put_object_retention(PutObjectRetentionInput) = lock::authorize_put_retention;
        authorize_get_object_legal_hold(GetObjectLegalHoldInput) = lock::authorize_get_hold;
        authorize_put_object_legal_hold(PutObjectLegalHoldInput) = lock::authorize_put_hold;
    }
}
