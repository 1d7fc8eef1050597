//! The configuration of a bucket, checked and kept.

use crate::rows::BucketRow;
use crate::{bucket, config, malformed_xml};
use api::{Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;

const KIND: &str = "website";
const RULES_MAX: usize = 50;

fn invalid(text: impl Into<String>) -> Error {
    Error::new(&e::INVALID_ARGUMENT, text)
}

fn check_protocol(protocol: &Option<String>) -> Result<(), Error> {
    match protocol.as_deref() {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(invalid(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.",
        )),
    }
}

fn check_rule(rule: &RoutingRule) -> Result<(), Error> {
    let redirect = &rule.redirect;
    check_protocol(&redirect.protocol)?;
    if redirect.replace_key_with.is_some() && redirect.replace_key_prefix_with.is_some() {
        return Err(invalid("You can only define ReplaceKeyPrefix or ReplaceKey but not both."));
    }
    let code = |text: &String, range: std::ops::RangeInclusive<u16>| {
        text.parse::<u16>().is_ok_and(|code| range.contains(&code))
    };
    if let Some(given) = redirect.http_redirect_code.as_ref().filter(|c| !code(c, 301..=399)) {
        return Err(invalid(format!(
            "The provided HTTP redirect code ({given}) is not valid. Valid codes are 3XX except 300."
        )));
    }
    let Some(condition) = &rule.condition else { return Ok(()) };
    let error = condition.http_error_code_returned_equals.as_ref();
    if error.is_none() && condition.key_prefix_equals.is_none() {
        return Err(invalid(
            "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be present.",
        ));
    }
    match error.filter(|c| !code(c, 400..=599)) {
        Some(given) => Err(invalid(format!(
            "The provided HTTP error code ({given}) is not valid. Valid codes are 4XX or 5XX."
        ))),
        None => Ok(()),
    }
}

fn check(document: &WebsiteConfiguration) -> Result<(), Error> {
    if let Some(all) = &document.redirect_all_requests_to {
        if document.index_document.is_some()
            || document.error_document.is_some()
            || document.routing_rules.is_some()
        {
            return Err(invalid(
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
            ));
        }
        return check_protocol(&all.protocol);
    }
    let Some(index) = &document.index_document else {
        return Err(invalid(
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
        ));
    };
    if index.suffix.is_empty() || index.suffix.contains('/') {
        return Err(invalid("The IndexDocument Suffix is not well formed"));
    }
    if document.error_document.as_ref().is_some_and(|error| error.key.is_empty()) {
        return Err(malformed_xml());
    }
    let rules = document.routing_rules.as_deref().unwrap_or_default();
    if rules.len() > RULES_MAX {
        let text = format!(
            "{} routing rules provided, the number of routing rules in a website configuration is limited to {RULES_MAX}.",
            rules.len()
        );
        return Err(Error::new(&e::INVALID_REQUEST, text));
    }
    rules.iter().try_for_each(check_rule)
}

pub fn put(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketWebsiteInput,
) -> Result<PutBucketWebsiteOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    check(&input.website_configuration)?;
    config::put(tx, cx, &bucket, KIND, "", &input.website_configuration)?;
    Ok(PutBucketWebsiteOutput::default())
}

/// The document of a bucket that has one.
pub fn kept(tx: &Tx, bucket: &BucketRow) -> Result<Option<WebsiteConfiguration>, Error> {
    config::get(tx, bucket, KIND, "")
}

pub fn get(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketWebsiteInput,
) -> Result<GetBucketWebsiteOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let Some(kept) = kept(tx, &bucket)? else {
        let text = "The specified bucket does not have a website configuration";
        return Err(
            Error::new(&e::NO_SUCH_WEBSITE_CONFIGURATION, text).detail("BucketName", &input.bucket)
        );
    };
    Ok(GetBucketWebsiteOutput {
        redirect_all_requests_to: kept.redirect_all_requests_to,
        index_document: kept.index_document,
        error_document: kept.error_document,
        routing_rules: kept.routing_rules,
    })
}

pub fn delete(
    tx: &mut Tx,
    _: &Cx,
    input: &DeleteBucketWebsiteInput,
) -> Result<DeleteBucketWebsiteOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    config::delete(tx, &bucket, KIND, "")?;
    Ok(DeleteBucketWebsiteOutput::default())
}
