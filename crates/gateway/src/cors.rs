//! Pages in a browser that call AWS APIs: whoever asks may read the answers. S3 buckets have rules of
//! their own, which the service holds against the request ([`api::Hooks::cross_origin`]); beside
//! them, pages given with `--allow-origin` may read every bucket by script.
//!
//! That everybody may ask grants nothing: the request is judged by its credentials, and well-known
//! pairs are refused to pages that are not allowed.
//!
//! What S3 answers where its documentation is silent was taken from recorded answers: a preflight
//! needs no signature and looks up no key; a request proper is held against the method that its
//! `Access-Control-Request-Method` names, if it has one, and is served either way.

use crate::access::LocalRules;
use crate::encode::{Response, ResponseStream, add_headers};
use crate::head::Head;
use crate::host::HostStyle;
use crate::identify::Target;
use api::{CrossOrigin, Error, OriginAnswer, OriginRule};
use base::percent;
use std::borrow::Cow;

const REQUEST_HEADERS: &str = "authorization, content-type, content-md5, cache-control, \
    x-amz-content-sha256, x-amz-date, x-amz-security-token, x-amz-target, x-amz-user-agent, \
    x-amz-acl, x-amz-checksum-crc32, x-amz-sdk-checksum-algorithm, x-amzn-trace-id, \
    amz-sdk-invocation-id, amz-sdk-request, smithy-protocol";
const EXPOSED: &str =
    "x-amzn-requestid, x-amzn-errortype, x-amzn-errormessage, x-amzn-query-error, date";
const EXPOSED_S3: &str = "etag, x-amz-request-id, x-amz-id-2, x-amz-version-id, \
    x-amz-delete-marker, content-range, accept-ranges, date";
const METHODS: &str = "GET, PUT, POST, DELETE, HEAD, PATCH";
/// What a rule of a bucket may allow.
const RULE_METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];
const NOT_ALLOWED: &str = "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.";
const ASKED_METHOD: &str = "access-control-request-method";
const ASKED_HEADERS: &str = "access-control-request-headers";

/// Headers of the answer by which the browser decides what the page may see.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// Looks up what a bucket's rules say.
pub(crate) type Lookup<'l> = &'l dyn Fn(&str, &CrossOrigin<'_>) -> Result<OriginAnswer, Error>;

/// Whether the request only asks what a page may do. S3 takes every OPTIONS for that, other services
/// each that names an origin.
pub(crate) fn is_preflight(head: &Head<'_>, target: &Target<'_, '_>) -> bool {
    head.method == "OPTIONS" && (target.entry.is_s3 || head.header("origin").is_some())
}

/// Whether the request, or the one to come, is for a bucket. A preflight has neither signature nor
/// body, so nothing may name its service; but S3 takes no POST that names no bucket.
fn is_for_bucket(head: &Head<'_>, target: &Target<'_, '_>) -> bool {
    let method = head.text(ASKED_METHOD).unwrap_or(head.method);
    target.entry.is_s3 && (method != "POST" || bucket_and_key(head, target).is_some())
}

/// The bucket that is named, and whether a key is.
fn bucket_and_key<'h>(head: &'h Head<'_>, target: &Target<'_, 'h>) -> Option<(Cow<'h, str>, bool)> {
    let path = head.path.strip_prefix('/').unwrap_or(head.path);
    if let HostStyle::Bucket { bucket, .. } | HostStyle::Website { bucket, .. } = target.host {
        return Some((Cow::Borrowed(bucket), !path.is_empty()));
    }
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let bucket = match percent::decode(bucket) {
        Cow::Borrowed(_) => Cow::Borrowed(bucket),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
    };
    (!bucket.is_empty()).then_some((bucket, !key.is_empty()))
}

fn asked_method<'h>(head: &Head<'h>) -> &'h str {
    head.text(ASKED_METHOD).unwrap_or("null")
}

/// The answer to a preflight.
pub(crate) fn preflight(
    head: &Head<'_>,
    target: &Target<'_, '_>,
    local: &LocalRules,
    look: Lookup<'_>,
) -> Result<Response, Error> {
    let Some(origin) = head.text("origin") else {
        let text = "Insufficient information. Origin request header needed.";
        return Err(Error::with_code("BadRequest", 400, text));
    };
    let headers = match verdict(head, target, origin, local, look)? {
        Verdict::Free(mut headers) => {
            // What the page asks for is named back, so that new headers of new SDKs need no new list.
            let asked = head.owned(ASKED_HEADERS).unwrap_or_else(|| REQUEST_HEADERS.to_owned());
            let methods = head.owned(ASKED_METHOD).filter(|_| !target.entry.is_s3);
            let methods = methods.unwrap_or_else(|| METHODS.to_owned());
            headers.push(("access-control-allow-methods", methods));
            headers.push(("access-control-allow-headers", asked));
            headers.push(("access-control-max-age", "172800".to_owned()));
            headers
        }
        Verdict::Rule(rule) => of_rule(rule),
        // Rules are asked only for methods that a rule may have; without one the header is "null".
        Verdict::Refused(NOT_ALLOWED, _) if !RULE_METHODS.contains(&asked_method(head)) => {
            let text = format!("Invalid Access-Control-Request-Method: {}", asked_method(head));
            return Err(Error::with_code("BadRequest", 400, text));
        }
        Verdict::Refused(why, resource) => {
            return Err(Error::with_code("AccessForbidden", 403, why)
                .detail("Method", head.text(ASKED_METHOD).unwrap_or(head.method))
                .detail("ResourceType", resource));
        }
    };
    let mut response = Response::new(ResponseStream::Empty);
    add_headers(&mut response, headers);
    Ok(response)
}

/// What the answer to a request proper carries for the page that made it.
pub(crate) fn headers(
    head: &Head<'_>,
    target: &Target<'_, '_>,
    local: &LocalRules,
    look: Lookup<'_>,
) -> Result<Headers, Error> {
    let Some(origin) = head.text("origin") else { return Ok(Headers::new()) };
    Ok(match verdict(head, target, origin, local, look)? {
        Verdict::Free(headers) => headers,
        Verdict::Rule(rule) => of_rule(rule),
        Verdict::Refused(..) => Headers::new(),
    })
}

enum Verdict {
    /// All that there is may be read.
    Free(Headers),
    Rule(OriginRule),
    /// Why not, and of what kind the resource is.
    Refused(&'static str, &'static str),
}

fn verdict(
    head: &Head<'_>,
    target: &Target<'_, '_>,
    origin: &str,
    local: &LocalRules,
    look: Lookup<'_>,
) -> Result<Verdict, Error> {
    let allowed = local.is_allowed_origin(origin);
    if !is_for_bucket(head, target) {
        return Ok(Verdict::Free(free(if allowed { origin } else { "*" }, EXPOSED)));
    }
    let names = head.text(ASKED_HEADERS).unwrap_or("").split(',').map(str::trim_ascii);
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    let method = head.text(ASKED_METHOD).unwrap_or(head.method);
    let named = bucket_and_key(head, target);
    let answer = match &named {
        Some((bucket, _)) => look(bucket, &CrossOrigin { origin, method, headers: &names })?,
        None => OriginAnswer::NoBucket,
    };
    Ok(match answer {
        OriginAnswer::Rule(rule) => Verdict::Rule(rule),
        _ if allowed => Verdict::Free(free(origin, EXPOSED_S3)),
        OriginAnswer::NoBucket => Verdict::Refused("CORSResponse: Bucket not found", "BUCKET"),
        OriginAnswer::NoRules => {
            Verdict::Refused("CORSResponse: CORS is not enabled for this bucket.", "BUCKET")
        }
        OriginAnswer::NoneFits => Verdict::Refused(
            NOT_ALLOWED,
            if named.is_some_and(|(_, key)| key) { "OBJECT" } else { "BUCKET" },
        ),
    })
}

fn free(origin: &str, exposed: &str) -> Headers {
    vec![
        ("access-control-allow-origin", origin.to_owned()),
        ("access-control-expose-headers", exposed.to_owned()),
        ("vary", "Origin".to_owned()),
    ]
}

fn of_rule(rule: OriginRule) -> Headers {
    let OriginRule { origin, methods, headers, exposed, max_age_secs } = rule;
    let mut out = Headers::new();
    if origin != "*" {
        out.push(("access-control-allow-credentials", "true".to_owned()));
    }
    out.push(("access-control-allow-origin", origin));
    for (name, values) in [
        ("access-control-allow-methods", methods),
        ("access-control-allow-headers", headers),
        ("access-control-expose-headers", exposed),
    ] {
        if !values.is_empty() {
            out.push((name, values.join(", ")));
        }
    }
    if let Some(secs) = max_age_secs {
        out.push(("access-control-max-age", secs.to_string()));
    }
    let vary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
    out.push(("vary", vary.to_owned()));
    out
}
