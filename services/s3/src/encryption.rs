//! Default encryption of a bucket, and what a request asks of encryption.
//!
//! Everything is encrypted by S3's own keys, as far as anybody can tell from outside; the names of
//! KMS keys are kept. Customer keys are refused by the overlay.

use crate::rows::*;
use crate::{bucket, malformed_xml};
use api::{Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;
use store::Scope;

const ALGORITHMS: [&str; 3] = ["AES256", "aws:kms", "aws:kms:dsse"];

fn row_of(rule: &ServerSideEncryptionRule) -> Result<EncryptionRow, Error> {
    let mut row = EncryptionRow { algorithm: "AES256".into(), ..EncryptionRow::default() };
    if let Some(default) = &rule.apply_server_side_encryption_by_default {
        if !ALGORITHMS.contains(&default.sse_algorithm.as_str()) {
            return Err(malformed_xml());
        }
        if default.kms_master_key_id.is_some() && default.sse_algorithm == "AES256" {
            let text = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse";
            return Err(Error::new(&e::INVALID_ARGUMENT, text)
                .detail("ArgumentName", "ApplyServerSideEncryptionByDefault"));
        }
        row.algorithm = default.sse_algorithm.clone();
        row.kms_key_id = default.kms_master_key_id.clone();
    }
    row.bucket_key = rule.bucket_key_enabled;
    let blocked = rule.blocked_encryption_types.as_ref().and_then(|b| b.encryption_type.clone());
    row.blocked = blocked.unwrap_or_default();
    if row.blocked.iter().any(|kind| !["NONE", "SSE-C"].contains(&kind.as_str())) {
        return Err(malformed_xml());
    }
    Ok(row)
}

pub fn put(
    tx: &mut Tx,
    _: &Cx,
    input: &PutBucketEncryptionInput,
) -> Result<PutBucketEncryptionOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    let [rule] = &input.server_side_encryption_configuration.rules[..] else {
        return Err(malformed_xml());
    };
    bucket.encryption = Some(row_of(rule)?);
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(PutBucketEncryptionOutput::default())
}

pub fn get(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketEncryptionInput,
) -> Result<GetBucketEncryptionOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    // A bucket that says nothing has S3's own keys, since January 2023.
    let row = bucket.encryption.clone().unwrap_or(EncryptionRow {
        algorithm: "AES256".into(),
        bucket_key: Some(false),
        ..EncryptionRow::default()
    });
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
            sse_algorithm: row.algorithm,
            kms_master_key_id: row.kms_key_id,
        }),
        bucket_key_enabled: Some(row.bucket_key.unwrap_or(false)),
        blocked_encryption_types: (!row.blocked.is_empty())
            .then_some(BlockedEncryptionTypes { encryption_type: Some(row.blocked) }),
    };
    let document = ServerSideEncryptionConfiguration { rules: vec![rule] };
    Ok(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(document) })
}

pub fn delete(
    tx: &mut Tx,
    _: &Cx,
    input: &DeleteBucketEncryptionInput,
) -> Result<DeleteBucketEncryptionOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    bucket.encryption = None;
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(DeleteBucketEncryptionOutput::default())
}

/// What a request asks of the encryption of a new object.
pub struct Asked<'a> {
    pub algorithm: &'a Option<String>,
    pub kms_key_id: &'a Option<String>,
    pub bucket_key: Option<bool>,
}

impl Asked<'_> {
    pub fn check(&self) -> Result<(), Error> {
        if let Some(other) = self.algorithm
            && !ALGORITHMS.contains(&other.as_str())
        {
            let text = "The encryption method specified is not supported";
            return Err(Error::new(&e::INVALID_ARGUMENT, text)
                .detail("ArgumentName", "x-amz-server-side-encryption")
                .detail("ArgumentValue", other));
        }
        let kms = self.algorithm.as_deref().is_some_and(|a| a != "AES256");
        if self.kms_key_id.is_some() && !kms {
            return Err(Error::new(
                &e::INVALID_ARGUMENT,
                "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
            )
            .detail("ArgumentName", "x-amz-server-side-encryption"));
        }
        Ok(())
    }

    /// Puts on a new object what was asked, or the bucket's default.
    pub fn apply(&self, bucket: &BucketRow, meta: &mut Meta) -> Result<(), Error> {
        self.check()?;
        let default = bucket.encryption.clone().unwrap_or_default();
        let (algorithm, key) = match self.algorithm {
            Some(asked) => (asked.clone(), self.kms_key_id.clone()),
            None => (default.algorithm, default.kms_key_id),
        };
        let kms = algorithm.starts_with("aws:kms");
        meta.bucket_key = kms && self.bucket_key.or(default.bucket_key) == Some(true);
        meta.encryption = if kms { algorithm } else { String::new() };
        meta.kms_key_id = key.filter(|_| kms);
        Ok(())
    }
}
