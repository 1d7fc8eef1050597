//! Rules for pages of other origins: kept, checked, and held against what a page asks.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html>

use crate::rows::BUCKETS;
use crate::{bucket, config, malformed_xml};
use api::{CrossOrigin, Cx, Error, OriginAnswer, OriginRule, Tx};
use gen_s3::errors as e;
use gen_s3::*;
use store::Scope;

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

pub fn get(tx: &Tx, _: &Cx, input: &GetBucketCorsInput) -> Result<GetBucketCorsOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    match config::get::<CORSConfiguration>(tx, &bucket, KIND, "")? {
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

/// Whether a pattern with one wildcard at most covers a text.
fn covers(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail)
        }
    }
}

/// The first of the bucket's rules that covers all that is asked.
pub fn allowed(tx: &Tx, bucket: &str, asked: &CrossOrigin<'_>) -> Result<OriginAnswer, Error> {
    let Some(bucket) = tx.get(&BUCKETS, &Scope::Global, bucket)? else {
        return Ok(OriginAnswer::NoBucket);
    };
    let kept: Option<CORSConfiguration> = config::get(tx, &bucket, KIND, "")?;
    let Some(kept) = kept else { return Ok(OriginAnswer::NoRules) };
    let fitting = kept.cors_rules.iter().find_map(|rule| fits(rule, asked));
    Ok(fitting.map_or(OriginAnswer::NoneFits, OriginAnswer::Rule))
}

fn fits(rule: &CORSRule, asked: &CrossOrigin<'_>) -> Option<OriginRule> {
    let origin = rule.allowed_origins.iter().find(|origin| covers(origin, asked.origin))?;
    rule.allowed_methods.iter().find(|method| *method == asked.method)?;
    let headers = || rule.allowed_headers.iter().flatten();
    let header_ok = |name: &&str| {
        let name = name.to_ascii_lowercase();
        headers().any(|pattern| covers(&pattern.to_ascii_lowercase(), &name))
    };
    asked.headers.iter().all(header_ok).then(|| OriginRule {
        origin: if origin == "*" { "*".into() } else { asked.origin.to_owned() },
        methods: rule.allowed_methods.clone(),
        headers: asked.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
        exposed: rule.expose_headers.clone().unwrap_or_default(),
        max_age_secs: rule.max_age_seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_headers() {
        let texts = |all: &str| all.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let rule = CORSRule {
            allowed_origins: texts("https://*.example.com https://x"),
            allowed_methods: texts("GET PUT"),
            allowed_headers: Some(texts("x-amz-* Content-Type")),
            ..CORSRule::default()
        };
        let check = |origin: &str, method: &str, headers: &[&str], expected: bool| {
            let asked = CrossOrigin { origin, method, headers };
            assert_eq!(fits(&rule, &asked).is_some(), expected, "{asked:?}");
        };
        check("https://a.example.com", "GET", &[], true);
        check("https://x", "PUT", &["X-Amz-Acl", "content-type"], true);
        check("https://.example.com", "GET", &[], true);
        check("https://example.com", "GET", &[], false);
        check("https://a.example.com.evil", "GET", &[], false);
        check("http://a.example.com", "GET", &[], false);
        check("https://X", "GET", &[], false);
        check("https://x", "DELETE", &[], false);
        check("https://x", "get", &[], false);
        check("https://x", "GET", &["authorization"], false);
    }
}
