//! Configurations that are checked and kept, and that nothing acts on yet: request payment,
//! acceleration, analytics, metrics, tiering. And inventories, which others act on.

use crate::kept_check::Document;
use crate::rows::*;
use crate::{bucket, config, malformed_xml};
use api::{Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;
use smithy::Struct;

fn invalid_argument(text: &str) -> Error {
    Error::new(&e::INVALID_ARGUMENT, text)
}

fn not_found(bucket: &str) -> Error {
    let text = "The specified configuration does not exist.";
    Error::new(&e::NO_SUCH_CONFIGURATION, text).detail("BucketName", bucket)
}

const PAYMENT: &str = "payment";

pub fn put_payment(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketRequestPaymentInput,
) -> Result<PutBucketRequestPaymentOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let document = &input.request_payment_configuration;
    if !["Requester", "BucketOwner"].contains(&document.payer.as_str()) {
        return Err(malformed_xml());
    }
    config::put(tx, cx, &bucket, PAYMENT, "", document)?;
    let requester = document.payer == "Requester";
    bucket::set_feature(tx, &input.bucket, &bucket, Feature::RequesterPays, requester)?;
    Ok(PutBucketRequestPaymentOutput::default())
}

pub fn get_payment(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketRequestPaymentInput,
) -> Result<GetBucketRequestPaymentOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let kept: Option<RequestPaymentConfiguration> = config::get(tx, &bucket, PAYMENT, "")?;
    let payer = kept.map_or_else(|| "BucketOwner".into(), |kept| kept.payer);
    Ok(GetBucketRequestPaymentOutput { payer: Some(payer) })
}

const ACCELERATE: &str = "accelerate";

pub fn put_accelerate(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketAccelerateConfigurationInput,
) -> Result<PutBucketAccelerateConfigurationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    if input.bucket.contains('.') {
        let text =
            "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names";
        return Err(Error::new(&e::INVALID_REQUEST, text));
    }
    let document = &input.accelerate_configuration;
    if !matches!(document.status.as_deref(), Some("Enabled" | "Suspended")) {
        return Err(malformed_xml());
    }
    config::put(tx, cx, &bucket, ACCELERATE, "", document)?;
    Ok(PutBucketAccelerateConfigurationOutput::default())
}

pub fn get_accelerate(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketAccelerateConfigurationInput,
) -> Result<GetBucketAccelerateConfigurationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let kept: AccelerateConfiguration =
        config::get(tx, &bucket, ACCELERATE, "")?.unwrap_or_default();
    Ok(GetBucketAccelerateConfigurationOutput { status: kept.status, request_charged: None })
}

const ID_BYTES_MAX: usize = 64;

/// Where a configuration with an id is kept, and for whom.
struct Place<'a> {
    bucket: &'a str,
    owner: &'a Option<String>,
    kind: &'a str,
    id: &'a str,
}

impl Place<'_> {
    fn put(&self, tx: &mut Tx, cx: &Cx, own_id: &str, document: &dyn Struct) -> Result<(), Error> {
        let bucket = bucket::find_expected(tx, self.bucket, self.owner)?;
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let is_id = (1..=ID_BYTES_MAX).contains(&self.id.len()) && self.id.bytes().all(word);
        if !is_id {
            return Err(invalid_argument("Invalid Id")
                .detail("ArgumentName", "Id")
                .detail("ArgumentValue", self.id));
        }
        if self.id != own_id {
            return Err(invalid_argument(
                "Specified id does not match the one in the configuration",
            )
            .detail("ArgumentName", "Id")
            .detail("ArgumentValue", self.id));
        }
        config::put(tx, cx, &bucket, self.kind, self.id, document)
    }

    fn get<T: Struct + Default>(&self, tx: &Tx) -> Result<T, Error> {
        let bucket = bucket::find_expected(tx, self.bucket, self.owner)?;
        config::get(tx, &bucket, self.kind, self.id)?.ok_or_else(|| not_found(self.bucket))
    }

    fn delete(&self, tx: &mut Tx) -> Result<(), Error> {
        let bucket = bucket::find_expected(tx, self.bucket, self.owner)?;
        match config::delete(tx, &bucket, self.kind, self.id)? {
            true => Ok(()),
            false => Err(not_found(self.bucket)),
        }
    }
}

/// Put, get, delete and list of one family of configurations with ids.
macro_rules! family {
    ($module:ident, $kind:literal, $document:ident, $list_member:ident,
     $put:ident $put_out:ident, $get:ident $get_out:ident,
     $delete:ident $delete_out:ident, $list:ident $list_out:ident) => {
        pub mod $module {
            use super::*;

            const KIND: &str = $kind;

            pub fn put(tx: &mut Tx, cx: &Cx, input: &$put) -> Result<$put_out, Error> {
                let ($put { bucket, id, expected_bucket_owner: owner, .. }, kind) = (input, KIND);
                let own_id = &input.$document.id;
                input.$document.check()?;
                Place { bucket, owner, kind, id }.put(tx, cx, own_id, &input.$document)?;
                Ok($put_out::default())
            }

            pub fn get(tx: &Tx, _: &Cx, input: &$get) -> Result<$get_out, Error> {
                let ($get { bucket, id, expected_bucket_owner: owner, .. }, kind) = (input, KIND);
                let kept = Place { bucket, owner, kind, id }.get(tx)?;
                Ok($get_out { $document: Some(kept) })
            }

            pub fn delete(tx: &mut Tx, _: &Cx, input: &$delete) -> Result<$delete_out, Error> {
                let ($delete { bucket, id, expected_bucket_owner: owner, .. }, kind) =
                    (input, KIND);
                Place { bucket, owner, kind, id }.delete(tx)?;
                Ok($delete_out::default())
            }

            pub fn list(tx: &Tx, cx: &Cx, input: &$list) -> Result<$list_out, Error> {
                let owner = &input.expected_bucket_owner;
                let bucket = bucket::find_expected(tx, &input.bucket, owner)?;
                let place = cx.token_place(&[&input.bucket]);
                let after = match &input.continuation_token {
                    None => None,
                    Some(token) => Some(cx.door.open_token(&place, token).ok_or_else(|| {
                        invalid_argument("The continuation token provided is incorrect")
                            .detail("ArgumentName", "continuation-token")
                    })?),
                };
                let (page, last) = config::list(tx, &bucket, KIND, after.as_deref())?;
                Ok($list_out {
                    is_truncated: Some(last.is_some()),
                    continuation_token: input.continuation_token.clone(),
                    next_continuation_token: last.map(|last| cx.door.seal_token(&place, &last)),
                    $list_member: Some(page),
                })
            }
        }
    };
}

family!(
    analytics, "analytics", analytics_configuration, analytics_configuration_list,
    PutBucketAnalyticsConfigurationInput PutBucketAnalyticsConfigurationOutput,
    GetBucketAnalyticsConfigurationInput GetBucketAnalyticsConfigurationOutput,
    DeleteBucketAnalyticsConfigurationInput DeleteBucketAnalyticsConfigurationOutput,
    ListBucketAnalyticsConfigurationsInput ListBucketAnalyticsConfigurationsOutput
);
family!(
    inventory, "inventory", inventory_configuration, inventory_configuration_list,
    PutBucketInventoryConfigurationInput PutBucketInventoryConfigurationOutput,
    GetBucketInventoryConfigurationInput GetBucketInventoryConfigurationOutput,
    DeleteBucketInventoryConfigurationInput DeleteBucketInventoryConfigurationOutput,
    ListBucketInventoryConfigurationsInput ListBucketInventoryConfigurationsOutput
);
family!(
    metrics, "metrics", metrics_configuration, metrics_configuration_list,
    PutBucketMetricsConfigurationInput PutBucketMetricsConfigurationOutput,
    GetBucketMetricsConfigurationInput GetBucketMetricsConfigurationOutput,
    DeleteBucketMetricsConfigurationInput DeleteBucketMetricsConfigurationOutput,
    ListBucketMetricsConfigurationsInput ListBucketMetricsConfigurationsOutput
);
family!(
    tiering, "tiering", intelligent_tiering_configuration, intelligent_tiering_configuration_list,
    PutBucketIntelligentTieringConfigurationInput PutBucketIntelligentTieringConfigurationOutput,
    GetBucketIntelligentTieringConfigurationInput GetBucketIntelligentTieringConfigurationOutput,
    DeleteBucketIntelligentTieringConfigurationInput DeleteBucketIntelligentTieringConfigurationOutput,
    ListBucketIntelligentTieringConfigurationsInput ListBucketIntelligentTieringConfigurationsOutput
);
