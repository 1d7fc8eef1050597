//! The code, status and words of each refusal. The texts are AWS's, because clients match on them
//! and people search for them.
//!
//! Sources: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html> (S3's codes),
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html> and
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html> (the
//! others'), and answers quoted in public issue reports for the words that those pages leave out
//! (aws/aws-sdk-java#1636, mhart/aws4#97, tedder/requests-aws4auth#7, ml-archive/storage#68).

use crate::error::{AuthError, Cause, Mismatch, MissingParts, Place};
use crate::query_auth::EXPIRES_S_MAX;
use base::Timestamp;

/// How a service words what is wrong with a signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    S3,
    /// awsJson and CBOR.
    Json,
    RestJson,
    /// awsQuery, and the restXml services other than S3.
    Query,
    Ec2,
}

/// A refusal in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    pub code: &'static str,
    pub status: u16,
    pub message: String,
    /// Elements that S3 adds to its error document, in order.
    pub fields: Vec<(&'static str, String)>,
}

/// Above this many bytes the hexadecimal dump of a canonical request is left out.
const DUMP_BYTES_MAX: usize = 8 * 1024;

pub(crate) fn render(error: &AuthError, dialect: Dialect) -> Rendered {
    if let Some(rendered) = body(&error.cause) {
        return rendered;
    }
    match dialect {
        Dialect::S3 => s3(error),
        _ => general(error, dialect),
    }
}

fn plain(code: &'static str, status: u16, message: impl Into<String>) -> Rendered {
    Rendered { code, status, message: message.into(), fields: Vec::new() }
}

impl Rendered {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Rendered {
        self.fields.push((name, value.into()));
        self
    }
}

fn argument(message: impl Into<String>, name: &'static str, value: &str) -> Rendered {
    plain("InvalidArgument", 400, message).with("ArgumentName", name).with("ArgumentValue", value)
}

/// Causes that only bodies and forms have: they are S3's alone.
fn body(cause: &Cause) -> Option<Rendered> {
    Some(match cause {
        Cause::DecodedLengthMissing => {
            plain("MissingContentLength", 411, "You must provide the Content-Length HTTP header.")
        }
        Cause::DecodedLength { expected, provided } => plain(
            "IncompleteBody",
            400,
            "You did not provide the number of bytes specified by the Content-Length HTTP header",
        )
        .with("NumberBytesExpected", expected.to_string())
        .with("NumberBytesProvided", provided.to_string()),
        Cause::IncompleteBody => {
            plain("IncompleteBody", 400, "The request body terminated unexpectedly")
        }
        Cause::ChunkSize { chunk, size } => plain(
            "InvalidChunkSizeError",
            400,
            "Only the last chunk is allowed to have a size less than 8192 bytes",
        )
        .with("Chunk", chunk.to_string())
        .with("BadChunkSize", size.to_string()),
        Cause::Trailer => plain(
            "MalformedTrailerError",
            400,
            "The request contained trailing data that was not well-formed or did not conform to our published schema.",
        ),
        Cause::TrailerName(_) => plain(
            "InvalidRequest",
            400,
            "The value specified in the x-amz-trailer header is not supported",
        ),
        Cause::PolicyInvalid(why) => {
            plain("InvalidPolicyDocument", 400, format!("Invalid Policy: {why}"))
        }
        Cause::PolicyDenied(why) => {
            plain("AccessDenied", 403, format!("Invalid according to Policy: {why}"))
        }
        Cause::TooLarge { size, max } => {
            plain("EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size")
                .with("ProposedSize", size.to_string())
                .with("MaxSizeAllowed", max.to_string())
        }
        Cause::TooSmall { size, min } => plain(
            "EntityTooSmall",
            400,
            "Your proposed upload is smaller than the minimum allowed size",
        )
        .with("ProposedSize", size.to_string())
        .with("MinSizeAllowed", min.to_string()),
        _ => return None,
    })
}

const VERSION_FOUR_A: &str = "AWS4-ECDSA-P256-SHA256 (Signature Version 4A) is not supported here. Please use AWS4-HMAC-SHA256 with a single region.";
const VERSION_TWO: &str =
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
const QUERY_REQUIRES: &str = "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.";

/// A fault in the credential: S3 puts the same words in three frames.
fn s3_malformed(place: Place, credential: &str, what: String) -> Rendered {
    match place {
        Place::Header => plain(
            "AuthorizationHeaderMalformed",
            400,
            format!("The authorization header is malformed; {what}"),
        ),
        Place::Query => plain(
            "AuthorizationQueryParametersError",
            400,
            format!("Error parsing the X-Amz-Credential parameter; {what}"),
        ),
        Place::Form => argument(what, "x-amz-credential", credential),
    }
}

fn s3_query(message: impl Into<String>) -> Rendered {
    plain("AuthorizationQueryParametersError", 400, message)
}

fn s3(error: &AuthError) -> Rendered {
    let (place, cause) = (error.place, &error.cause);
    if let Some(rendered) = s3_caller(cause)
        .or_else(|| s3_time(cause))
        .or_else(|| s3_payload(cause))
        .or_else(|| s3_two(cause))
    {
        return rendered;
    }
    match cause {
        Cause::TwoMechanisms(value) => argument(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
            "Authorization",
            value,
        ),
        Cause::VersionTwo => plain("InvalidRequest", 400, VERSION_TWO),
        Cause::VersionFourA => plain("NotImplemented", 501, VERSION_FOUR_A),
        Cause::Algorithm(given) => match place {
            Place::Form => argument("Only AWS4-HMAC-SHA256 is supported", "X-Amz-Algorithm", given),
            _ => s3_query(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"",
            ),
        },
        Cause::AuthorizationShape(value) => argument(
            "Authorization header is invalid -- one and only one ' ' (space) required.",
            "Authorization",
            value,
        ),
        Cause::Scheme(value) => argument("Unsupported Authorization Type", "Authorization", value),
        Cause::MissingParameter(name) => match place {
            Place::Form => argument(
                format!(
                    "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
                ),
                name,
                "",
            ),
            _ => s3_query(QUERY_REQUIRES),
        },
        Cause::RepeatedParameter(_) => s3_query(QUERY_REQUIRES),
        Cause::ExpiresFormat => s3_query("X-Amz-Expires should be a number"),
        Cause::ExpiresNegative => s3_query("X-Amz-Expires must be non-negative"),
        Cause::ExpiresTooLong => s3_query(format!(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than {EXPIRES_S_MAX} seconds"
        )),
        Cause::NotSigned(names) => plain(
            "AccessDenied",
            403,
            "There were headers present in the request which were not signed",
        )
        .with("HeadersNotSigned", names),
        Cause::TooManySigned => s3_malformed(place, "", "too many SignedHeaders.".to_owned()),
        Cause::Mismatch(mismatch) => s3_mismatch(mismatch),
        Cause::DateMissing | Cause::DateFormat(_) | Cause::DateMismatch { .. } => s3_date(error),
        other => s3_credential(place, other),
    }
}

/// What callers raise who looked the key up.
fn s3_caller(cause: &Cause) -> Option<Rendered> {
    Some(match cause {
        Cause::NoCredentials => plain("AccessDenied", 403, "Access Denied"),
        Cause::UnknownKey(key) => plain(
            "InvalidAccessKeyId",
            403,
            "The AWS Access Key Id you provided does not exist in our records.",
        )
        .with("AWSAccessKeyId", key),
        Cause::TokenInvalid(token) => {
            plain("InvalidToken", 400, "The provided token is malformed or otherwise invalid.")
                .with("Token-0", token)
        }
        Cause::TokenExpired(token) => {
            plain("ExpiredToken", 400, "The provided token has expired.").with("Token-0", token)
        }
        _ => return None,
    })
}

fn s3_credential(place: Place, cause: &Cause) -> Rendered {
    let (credential, what) = match cause {
        Cause::Component(text) => {
            ("", format!("the authorization component \"{text}\" is malformed."))
        }
        Cause::MissingParts(parts, _) => ("", s3_missing(parts)),
        Cause::Credential(credential) => (
            credential.as_str(),
            "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
                .to_owned(),
        ),
        Cause::ScopeDate(credential, date) => (
            credential.as_str(),
            format!(
                "incorrect date format \"{date}\". This date in the credential must be in the format \"yyyyMMdd\"."
            ),
        ),
        Cause::Terminator(credential, given) => (
            credential.as_str(),
            format!("incorrect terminal \"{given}\". This endpoint uses \"aws4_request\"."),
        ),
        Cause::Service { credential, given, expected } => (
            credential.as_str(),
            format!("incorrect service \"{given}\". This endpoint belongs to \"{expected}\"."),
        ),
        Cause::Region { credential, given, expected } => {
            let what = format!("the region '{given}' is wrong; expecting '{expected}'");
            return s3_malformed(place, credential, what).with("Region", expected);
        }
        _ => ("", "the credentials cannot be read.".to_owned()),
    };
    s3_malformed(place, credential, what)
}

fn s3_missing(parts: &MissingParts) -> String {
    match parts {
        MissingParts { credential: true, signature: false, signed_headers: false, .. } => {
            "missing Credential."
        }
        MissingParts { credential: false, signature: true, signed_headers: false, .. } => {
            "missing Signature."
        }
        MissingParts { credential: false, signature: false, signed_headers: true, .. } => {
            "missing SignedHeaders."
        }
        _ => "the authorization header requires three components: Credential, SignedHeaders, and Signature.",
    }
    .to_owned()
}

fn s3_mismatch(mismatch: &Mismatch) -> Rendered {
    let Mismatch { access_key, signature, string_to_sign, canonical_request } = mismatch;
    let mut rendered = plain(
        "SignatureDoesNotMatch",
        403,
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    )
    .with("AWSAccessKeyId", access_key)
    .with("StringToSign", string_to_sign)
    .with("SignatureProvided", signature)
    .with("StringToSignBytes", spaced_hex(string_to_sign.as_bytes()));
    if !canonical_request.is_empty() {
        rendered = rendered.with("CanonicalRequest", String::from_utf8_lossy(canonical_request));
        if canonical_request.len() <= DUMP_BYTES_MAX {
            rendered = rendered.with("CanonicalRequestBytes", spaced_hex(canonical_request));
        }
    }
    rendered
}

/// `41 42 0a`, as S3 shows bytes.
fn spaced_hex(bytes: &[u8]) -> String {
    let digits = base::hex::encode(bytes);
    let mut out = String::with_capacity(bytes.len() * 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && i % 2 == 0 {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn plus(time: Timestamp, seconds: u32) -> Timestamp {
    time.plus_secs(i64::from(seconds))
}

fn s3_time(cause: &Cause) -> Option<Rendered> {
    Some(match cause {
        Cause::Skewed { request, now, limit_s } => plain(
            "RequestTimeTooSkewed",
            403,
            "The difference between the request time and the current time is too large.",
        )
        .with("RequestTime", request.iso8601_basic())
        .with("ServerTime", now.iso8601_secs())
        .with("MaxAllowedSkewMilliseconds", (u64::from(*limit_s) * 1000).to_string()),
        Cause::NotYetValid { request, now, .. } => {
            plain("AccessDenied", 403, "Request is not yet valid")
                .with("X-Amz-Date", request.iso8601_basic())
                .with("ServerTime", now.iso8601_secs())
        }
        Cause::Expired { request, now, expires_s } => {
            plain("AccessDenied", 403, "Request has expired")
                .with("X-Amz-Expires", expires_s.to_string())
                .with("Expires", plus(*request, *expires_s).iso8601_secs())
                .with("ServerTime", now.iso8601_secs())
        }
        _ => return None,
    })
}

/// What only Signature Version 2 has.
fn s3_two(cause: &Cause) -> Option<Rendered> {
    Some(match cause {
        Cause::TwoQueryParts => plain(
            "AccessDenied",
            403,
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
        ),
        Cause::TwoExpires(given) => plain(
            "AccessDenied",
            403,
            format!("Invalid date (should be seconds since epoch): {given}"),
        ),
        Cause::TwoExpired { expires, now } => plain("AccessDenied", 403, "Request has expired")
            .with("Expires", expires.iso8601_secs())
            .with("ServerTime", now.iso8601_secs()),
        Cause::TwoAuthorization(given) => argument(
            "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
            "Authorization",
            given,
        ),
        _ => return None,
    })
}

fn s3_date(error: &AuthError) -> Rendered {
    match (&error.cause, error.place) {
        (Cause::DateMismatch { scope, stamp }, Place::Query) => s3_query(format!(
            "Invalid credential date \"{scope}\". This date is not the same as X-Amz-Date: \"{}\".",
            stamp.get(..8).unwrap_or(stamp)
        )),
        (Cause::DateMismatch { scope, .. }, place) => s3_malformed(
            place,
            scope,
            "Invalid credential date. Date is not the same as X-Amz-Date.".to_owned(),
        ),
        (_, Place::Query) => {
            s3_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        }
        (Cause::DateFormat(value), Place::Form) => {
            argument("X-Amz-Date must be formated via ISO8601 Long format", "X-Amz-Date", value)
        }
        _ => plain(
            "AccessDenied",
            403,
            "AWS authentication requires a valid Date or x-amz-date header",
        ),
    }
}

fn s3_payload(cause: &Cause) -> Option<Rendered> {
    Some(match cause {
        Cause::PayloadMissing => plain(
            "InvalidRequest",
            400,
            "Missing required header for this request: x-amz-content-sha256",
        ),
        Cause::PayloadFormat(value) => argument(
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
            "x-amz-content-sha256",
            value,
        ),
        Cause::PayloadUnsupported(value) => plain(
            "NotImplemented",
            501,
            format!("The chunk encoding algorithm {value} is not supported."),
        ),
        Cause::PayloadAnonymous => plain(
            "InvalidRequest",
            400,
            "Anonymous requests don't support this x-amz-content-sha256 value. Please use UNSIGNED-PAYLOAD or STREAMING-UNSIGNED-PAYLOAD-TRAILER.",
        ),
        Cause::BodyHash { given, computed } => plain(
            "XAmzContentSHA256Mismatch",
            400,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
        .with("ClientComputedContentSHA256", given)
        .with("S3ComputedContentSHA256", computed),
        _ => return None,
    })
}

/// The kinds of refusal that the other services have; each protocol has its own codes for them.
#[derive(Clone, Copy)]
enum Kind {
    Missing,
    Incomplete,
    Signature,
    UnknownKey,
    Token,
    Expired,
}

fn code(kind: Kind, dialect: Dialect) -> (&'static str, u16) {
    let json = matches!(dialect, Dialect::Json | Dialect::RestJson);
    let (code, status) = match (kind, json) {
        (Kind::Missing, true) => ("MissingAuthenticationTokenException", 403),
        (Kind::Missing, false) => ("MissingAuthenticationToken", 403),
        (Kind::Incomplete, true) => ("IncompleteSignatureException", 400),
        (Kind::Incomplete, false) => ("IncompleteSignature", 400),
        (Kind::Signature, true) => ("InvalidSignatureException", 403),
        (Kind::Signature, false) => ("SignatureDoesNotMatch", 403),
        (Kind::UnknownKey | Kind::Token, true) => ("UnrecognizedClientException", 403),
        (Kind::UnknownKey, false) if dialect == Dialect::Ec2 => ("AuthFailure", 401),
        (Kind::UnknownKey | Kind::Token, false) => ("InvalidClientTokenId", 403),
        (Kind::Expired, true) => ("ExpiredTokenException", 403),
        (Kind::Expired, false) if dialect == Dialect::Ec2 => ("RequestExpired", 400),
        (Kind::Expired, false) => ("ExpiredToken", 403),
    };
    (code, if dialect == Dialect::Json { 400 } else { status })
}

fn general(error: &AuthError, dialect: Dialect) -> Rendered {
    let (kind, message) = general_words(error, dialect);
    let (code, status) = code(kind, dialect);
    plain(code, status, message)
}

fn general_words(error: &AuthError, dialect: Dialect) -> (Kind, String) {
    let message = match &error.cause {
        Cause::NoCredentials => {
            return (Kind::Missing, "Request is missing Authentication Token".to_owned());
        }
        Cause::UnknownKey(_) if dialect == Dialect::Ec2 => {
            let words = "AWS was not able to validate the provided access credentials";
            return (Kind::UnknownKey, words.to_owned());
        }
        Cause::UnknownKey(_) | Cause::TokenInvalid(_) => {
            let words = "The security token included in the request is invalid.";
            let kind = match &error.cause {
                Cause::UnknownKey(_) => Kind::UnknownKey,
                _ => Kind::Token,
            };
            return (kind, words.to_owned());
        }
        Cause::TokenExpired(_) if dialect == Dialect::Ec2 => {
            return (Kind::Expired, "Request has expired.".to_owned());
        }
        Cause::TokenExpired(_) => {
            let words = "The security token included in the request is expired";
            return (Kind::Expired, words.to_owned());
        }
        Cause::Mismatch(_)
        | Cause::BodyHash { .. }
        | Cause::Skewed { .. }
        | Cause::NotYetValid { .. }
        | Cause::Expired { .. }
        | Cause::DateMismatch { .. }
        | Cause::Terminator(..)
        | Cause::Service { .. }
        | Cause::Region { .. }
        | Cause::NotSigned(_) => return (Kind::Signature, general_signature(&error.cause)),
        Cause::TwoMechanisms(_) => {
            "Only one of the Authorization header and the X-Amz-Algorithm query parameter may be given."
                .to_owned()
        }
        Cause::VersionTwo | Cause::Scheme(_) => VERSION_TWO.to_owned(),
        Cause::VersionFourA => VERSION_FOUR_A.to_owned(),
        Cause::Algorithm(given) => format!("Unsupported AWS 'algorithm': '{given}'."),
        Cause::AuthorizationShape(value) | Cause::Component(value) => missing_equal_sign(value),
        Cause::MissingParts(parts, value) => general_missing(parts, value),
        Cause::MissingParameter(name) | Cause::RepeatedParameter(name) => format!(
            "AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
        ),
        Cause::Credential(given) => format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{given}'"
        ),
        Cause::ScopeDate(_, date) => {
            format!("Date in Credential scope must be in the format YYYYMMDD. Got '{date}'.")
        }
        Cause::DateMissing => {
            let parts = MissingParts { date: true, ..MissingParts::default() };
            general_missing(&parts, "")
        }
        Cause::DateFormat(value) => format!(
            "Date must be in ISO-8601 'basic format'. Got '{value}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ),
        Cause::ExpiresFormat | Cause::ExpiresNegative | Cause::ExpiresTooLong => format!(
            "X-Amz-Expires must be a number of seconds between 0 and {EXPIRES_S_MAX}."
        ),
        other => format!("The signature is not complete or not of a known form: {}", s3(&AuthError {
            place: error.place,
            cause: other.clone(),
        }).message),
    };
    (Kind::Incomplete, message)
}

/// Services show what they could not read only as a hash, since it may hold a secret.
fn missing_equal_sign(value: &str) -> String {
    use base64::Engine;
    let hash = base64::engine::general_purpose::STANDARD.encode(crate::sha256(value.as_bytes()));
    format!(
        "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '{hash}'."
    )
}

fn general_missing(parts: &MissingParts, authorization: &str) -> String {
    let mut message = String::new();
    let named = [
        (parts.credential, "Credential"),
        (parts.signature, "Signature"),
        (parts.signed_headers, "SignedHeaders"),
    ];
    for (_, name) in named.iter().filter(|(missing, _)| *missing) {
        message.push_str(&format!("Authorization header requires '{name}' parameter. "));
    }
    if parts.date {
        message.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    message + "Authorization=" + authorization
}

fn span(seconds: u32) -> String {
    if seconds.is_multiple_of(60) {
        format!("{} min.", seconds / 60)
    } else {
        format!("{seconds} sec.")
    }
}

fn general_signature(cause: &Cause) -> String {
    match cause {
        Cause::Mismatch(mismatch) => {
            let canonical = String::from_utf8_lossy(&mismatch.canonical_request);
            let signed = &mismatch.string_to_sign;
            format!(
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'{canonical}'\n\nThe String-to-Sign should have been\n'{signed}'\n"
            )
        }
        Cause::Skewed { request, now, limit_s } if request < now => {
            let earliest = now.plus_secs(-i64::from(*limit_s));
            expired(*request, earliest, *now, *limit_s)
        }
        Cause::Expired { request, now, expires_s } => {
            expired(*request, now.plus_secs(-i64::from(*expires_s)), *now, *expires_s)
        }
        Cause::Skewed { request, now, limit_s } | Cause::NotYetValid { request, now, limit_s } => {
            let (request, now_text) = (request.iso8601_basic(), now.iso8601_basic());
            let latest = plus(*now, *limit_s).iso8601_basic();
            let limit = span(*limit_s);
            format!(
                "Signature not yet current: {request} is still later than {latest} ({now_text} + {limit})"
            )
        }
        Cause::DateMismatch { scope, stamp } => format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != '{}', from '{stamp}'.",
            stamp.get(..8).unwrap_or(stamp)
        ),
        Cause::Terminator(_, given) => format!(
            "Credential should be scoped with a valid terminator: 'aws4_request', not '{given}'. "
        ),
        Cause::Service { expected, .. } => {
            format!("Credential should be scoped to correct service: '{expected}'. ")
        }
        Cause::Region { given, .. } => {
            format!("Credential should be scoped to a valid region, not '{given}'. ")
        }
        Cause::NotSigned(_) => {
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.".to_owned()
        }
        _ => "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.".to_owned(),
    }
}

fn expired(request: Timestamp, earliest: Timestamp, now: Timestamp, limit_s: u32) -> String {
    let (request, earliest) = (request.iso8601_basic(), earliest.iso8601_basic());
    let (now, limit) = (now.iso8601_basic(), span(limit_s));
    format!("Signature expired: {request} is now earlier than {earliest} ({now} - {limit})")
}
