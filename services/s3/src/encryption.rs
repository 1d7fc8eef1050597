//! Default encryption of a bucket, and what a request asks of encryption.
//!
//! Everything is encrypted by S3's own keys, as far as anybody can tell from outside; the names of
//! KMS keys are kept (decision 032). What is under a customer's key is really sealed: see
//! [`crate::sealed`].

use crate::customer_key::CustomerKey;
use crate::rows::*;
use crate::{bucket, malformed_xml};
use api::{Cx, Error, Tx};
use base::Entropy;
use gen_s3::errors as e;
use gen_s3::*;
use smithy::Headers;
use smithy::model::Operation;
use store::Scope;

/// What policies may say of the encryption that an input asks for.
macro_rules! keys {
    ($input:expr, $ask:expr) => {
        $ask.key("s3:x-amz-server-side-encryption", $input.server_side_encryption.as_deref())
            .key("s3:x-amz-server-side-encryption-aws-kms-key-id", $input.ssekms_key_id.as_deref())
            .key(
                "s3:x-amz-server-side-encryption-customer-algorithm",
                $input.sse_customer_algorithm.as_deref(),
            )
    };
}
pub(crate) use keys;

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

/// Reads do not say how what they read is encrypted.
pub fn check_headers(operation: &Operation, headers: &dyn Headers) -> Result<(), Error> {
    const NAME: &str = "x-amz-server-side-encryption";
    match (operation.name, headers.get(NAME)) {
        ("GetObject" | "HeadObject", Some(value)) => {
            let text = "x-amz-server-side-encryption header is not supported for this operation.";
            Err(Error::new(&e::INVALID_ARGUMENT, text)
                .detail("ArgumentName", NAME)
                .detail("ArgumentValue", String::from_utf8_lossy(value)))
        }
        _ => Ok(()),
    }
}

/// What a request asks of the encryption of a new object.
pub struct Asked<'a> {
    pub algorithm: &'a Option<String>,
    pub kms_key_id: &'a Option<String>,
    pub bucket_key: Option<bool>,
    pub customer: Option<&'a CustomerKey>,
}

impl Default for Asked<'_> {
    /// Nothing: what the bucket has for all.
    fn default() -> Self {
        Asked { algorithm: &None, kms_key_id: &None, bucket_key: None, customer: None }
    }
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
        if let (Some(asked), Some(_)) = (self.algorithm, self.customer) {
            let text = "Server Side Encryption with Customer provided key is incompatible with the encryption method specified";
            return Err(Error::new(&e::INVALID_ARGUMENT, text)
                .detail("ArgumentName", "x-amz-server-side-encryption")
                .detail("ArgumentValue", asked));
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
    pub fn apply(
        &self,
        bucket: &BucketRow,
        meta: &mut Meta,
        entropy: &dyn Entropy,
    ) -> Result<(), Error> {
        self.check()?;
        meta.customer = self.customer.map(|key| key.remember(entropy));
        if self.customer.is_some() {
            (meta.encryption, meta.kms_key_id, meta.bucket_key) = (String::new(), None, false);
            let blocked = bucket.encryption.iter().flat_map(|row| &row.blocked);
            return match blocked.into_iter().any(|kind| kind == "SSE-C") {
                true => Err(Error::new(&e::ACCESS_DENIED, "Access Denied")),
                false => Ok(()),
            };
        }
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
