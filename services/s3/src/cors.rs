//! Rules for pages of other origins, kept and checked.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html>

use crate::{bucket, config, malformed_xml};
use api::{Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;

const KIND: &str = "cors";
const RULES_MAX: usize = 100;
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

fn check(rule: &CORSRule) -> Result<(), Error> {
    if rule.allowed_methods.is_empty() || rule.allowed_origins.is_empty() {
        return Err(malformed_xml());
    }
    let invalid = |text: String| Err(Error::new(&e::INVALID_REQUEST, text));
    for method in &rule.allowed_methods {
        if !METHODS.contains(&method.as_str()) {
            return invalid(format!(
                "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            ));
        }
    }
    let several = |text: &&String| text.matches('*').count() > 1;
    if let Some(origin) = rule.allowed_origins.iter().find(several) {
        return invalid(format!("AllowedOrigin \"{origin}\" can not have more than one wildcard."));
    }
    if let Some(header) = rule.allowed_headers.iter().flatten().find(several) {
        return invalid(format!("AllowedHeader \"{header}\" can not have more than one wildcard."));
    }
    if let Some(header) = rule.expose_headers.iter().flatten().find(|h| h.contains('*')) {
        return invalid(format!(
            "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard for ExposeHeader."
        ));
    }
    Ok(())
}

pub fn put(tx: &mut Tx, cx: &Cx, input: &PutBucketCorsInput) -> Result<PutBucketCorsOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let rules = &input.cors_configuration.cors_rules;
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(malformed_xml());
    }
    rules.iter().try_for_each(check)?;
    config::put(tx, cx, &bucket, KIND, "", &input.cors_configuration)?;
    Ok(PutBucketCorsOutput::default())
}

pub fn get(tx: &Tx, cx: &Cx, input: &GetBucketCorsInput) -> Result<GetBucketCorsOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    match config::get::<CORSConfiguration>(tx, cx, &bucket, KIND, "")? {
        Some(kept) => Ok(GetBucketCorsOutput { cors_rules: Some(kept.cors_rules) }),
        None => {
            let text = "The CORS configuration does not exist";
            Err(Error::new(&e::NO_SUCH_CORS_CONFIGURATION, text)
                .detail("BucketName", &input.bucket))
        }
    }
}

pub fn delete(
    tx: &mut Tx,
    _: &Cx,
    input: &DeleteBucketCorsInput,
) -> Result<DeleteBucketCorsOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    config::delete(tx, &bucket, KIND, "")?;
    Ok(DeleteBucketCorsOutput::default())
}
