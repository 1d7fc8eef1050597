//! Pages in a browser that call AWS APIs. S3 buckets have rules of their own; until a bucket says
//! otherwise only pages given with `--allow-origin` may read from S3 by script.
//!
//! That everybody may ask grants nothing: the request is judged by its credentials, and well-known
//! pairs are refused to pages that are not allowed.

use crate::access::LocalRules;
use crate::encode::{Response, ResponseStream, add_headers};
use crate::head::Head;
use crate::host::HostStyle;
use crate::identify::Target;
use api::Error;

const REQUEST_HEADERS: &str = "authorization, content-type, content-md5, cache-control, \
    x-amz-content-sha256, x-amz-date, x-amz-security-token, x-amz-target, x-amz-user-agent, \
    x-amz-acl, x-amz-checksum-crc32, x-amz-sdk-checksum-algorithm, x-amzn-trace-id, \
    amz-sdk-invocation-id, amz-sdk-request, smithy-protocol";
const EXPOSED: &str =
    "x-amzn-requestid, x-amzn-errortype, x-amzn-errormessage, x-amzn-query-error, date";
const EXPOSED_S3: &str = "etag, x-amz-request-id, x-amz-id-2, x-amz-version-id, \
    x-amz-delete-marker, content-range, accept-ranges, date";
const METHODS: &str = "GET, PUT, POST, DELETE, HEAD, PATCH";

/// Whether the request only asks what a page may do.
pub(crate) fn is_preflight(head: &Head<'_>) -> bool {
    head.method == "OPTIONS"
        && head.header("origin").is_some()
        && head.header("access-control-request-method").is_some()
}

/// Whether the request that is to come is for a bucket. A preflight has neither signature nor body, so
/// nothing may name its service; but S3 takes no POST that names no bucket.
pub(crate) fn is_for_bucket(head: &Head<'_>, target: &Target<'_, '_>) -> bool {
    let names_none = head.path == "/" && !matches!(target.host, HostStyle::Bucket { .. });
    let posts = head.text("access-control-request-method") == Some("POST");
    target.entry.is_s3 && !(names_none && posts)
}

pub(crate) fn preflight(
    head: &Head<'_>,
    is_s3: bool,
    rules: &LocalRules,
) -> Result<Response, Error> {
    let origin = head.text("origin").unwrap_or("");
    let allowed = rules.is_allowed_origin(origin);
    if is_s3 && !allowed {
        let text = "CORSResponse: CORS is not enabled for this bucket.";
        return Err(Error::with_code("AccessForbidden", 403, text)
            .detail("Method", head.owned("access-control-request-method").unwrap_or_default())
            .detail("ResourceType", "BUCKET"));
    }
    let mut response = Response::new(ResponseStream::Empty);
    // What the page asks for is named back, so that new headers of new SDKs need no new list.
    let asked = head.owned("access-control-request-headers");
    add_headers(
        &mut response,
        vec![
            ("access-control-allow-methods", METHODS.to_owned()),
            ("access-control-allow-headers", asked.unwrap_or_else(|| REQUEST_HEADERS.to_owned())),
            ("access-control-max-age", "172800".to_owned()),
        ],
    );
    allow(&mut response, head, is_s3, rules);
    Ok(response)
}

/// Adds what lets the page read the answer.
pub(crate) fn allow(response: &mut Response, head: &Head<'_>, is_s3: bool, rules: &LocalRules) {
    let Some(origin) = head.text("origin") else { return };
    let allowed = rules.is_allowed_origin(origin);
    if is_s3 && !allowed {
        return;
    }
    let origin = if allowed { origin } else { "*" };
    let exposed = if is_s3 { EXPOSED_S3 } else { EXPOSED };
    add_headers(
        response,
        vec![
            ("access-control-allow-origin", origin.to_owned()),
            ("access-control-expose-headers", exposed.to_owned()),
            ("vary", "Origin".to_owned()),
        ],
    );
}
