//! Signature Version 2, for S3 alone: `aws s3 presign` and boto3 still make URLs and forms of it unless
//! they are told to use Version 4.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html>, and for
//! forms <https://docs.aws.amazon.com/AmazonS3/latest/userguide/HTTPPOSTForms.html>.
//!
//! It signs method, time, bucket, key, the parameters that pick an operation or its answer, and
//! `x-amz-*`; neither the host, nor other parameters, nor the body. A region is not part of it, and
//! regions that opened later than January 2014 refuse it ([`is_accepted_in`]).

use crate::error::{AuthError, Cause, Mismatch, Place};
use crate::head::{RequestHead, trim};
use crate::post_policy::Form;
use crate::presented::RequestDate;
use crate::verify::SKEW_S3_S;
use base::{Timestamp, percent};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The regions that take it.
const REGIONS: [&str; 8] = [
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
];

/// Whether S3 takes it in that region.
pub fn is_accepted_in(region: &str) -> bool {
    REGIONS.contains(&region)
}

/// The parameters that are part of the resource. AWS's list ends with those of 2014; here it has all that pick
/// an operation, so that nobody makes another request of one that was signed.
const SUBRESOURCES: [&str; 52] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "attributes",
    "cors",
    "defaultObjectAcl",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// Whether a parameter of that name is signed.
pub fn is_signed(parameter: &str) -> bool {
    SUBRESOURCES.contains(&parameter)
}

/// HMAC-SHA1 of the text, in Base64.
pub fn sign(secret: &str, text: &str) -> String {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Takes the same time wherever the texts differ (their lengths are no secret).
fn check_signature(
    place: Place,
    access_key: &str,
    signature: &str,
    secret: &str,
    text: String,
) -> Result<(), AuthError> {
    let computed = sign(secret, &text);
    if subtle::ConstantTimeEq::ct_eq(computed.as_bytes(), signature.as_bytes()).into() {
        return Ok(());
    }
    let mismatch = Mismatch {
        access_key: access_key.to_owned(),
        signature: signature.to_owned(),
        string_to_sign: text,
        canonical_request: Vec::new(),
    };
    Err(AuthError::new(place, Cause::Mismatch(Box::new(mismatch))))
}

/// What stands in the line for the date, and what it is held against.
#[derive(Clone, Debug)]
enum When<'a> {
    /// Of a URL: until when it is valid.
    Until(Timestamp, Cow<'a, str>),
    /// Of a header: when the request was made. The line is empty where `x-amz-date` says it.
    At(Timestamp, Cow<'a, str>),
}

/// Credentials as a URL or an `Authorization` header presents them.
#[derive(Clone, Debug)]
pub struct Presented<'a> {
    place: Place,
    access_key: Cow<'a, str>,
    signature: Cow<'a, str>,
    token: Option<Cow<'a, str>>,
    when: When<'a>,
}

fn decoded(raw: &str) -> Cow<'_, str> {
    match percent::decode_form(raw) {
        Cow::Borrowed(_) => Cow::Borrowed(raw),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn lossy(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(trim(value))
}

/// Finds and parses the credentials of a request that [`crate::presented`] refused for being
/// [`Cause::VersionTwo`]. `Ok(None)`: they are not of this version.
pub fn presented<'a>(head: &RequestHead<'a>) -> Result<Option<Presented<'a>>, AuthError> {
    let in_query = parameters(head.query).any(|(name, _)| name == "AWSAccessKeyId")
        && parameters(head.query).any(|(name, _)| name == "Signature");
    let header = head.header("authorization").map(lossy);
    match (in_query, header) {
        (true, Some(value)) => {
            Err(AuthError::new(Place::Header, Cause::TwoMechanisms(value.into_owned())))
        }
        (true, None) => {
            from_query(head).map(Some).map_err(|cause| AuthError::new(Place::Query, cause))
        }
        (false, Some(value)) if value == "AWS" || value.starts_with("AWS ") => {
            from_header(head, value).map(Some).map_err(|c| AuthError::new(Place::Header, c))
        }
        (false, _) => Ok(None),
    }
}

fn from_query<'a>(head: &RequestHead<'a>) -> Result<Presented<'a>, Cause> {
    let single = |wanted: &str| {
        let mut found = parameters(head.query).filter(|(name, _)| *name == wanted);
        let value = found.next().map(|(_, value)| decoded(value)).filter(|v| !v.is_empty());
        value.filter(|_| found.next().is_none()).ok_or(Cause::TwoQueryParts)
    };
    let (access_key, signature) = (single("AWSAccessKeyId")?, single("Signature")?);
    let expires = single("Expires")?;
    let seconds = (expires.len() <= 11 && expires.bytes().all(|b| b.is_ascii_digit()))
        .then(|| expires.parse().ok())
        .flatten()
        .ok_or_else(|| Cause::TwoExpires(expires.to_string()))?;
    let token = head.header("x-amz-security-token").map(lossy).or_else(|| {
        let mut all = parameters(head.query);
        all.find(|(n, _)| n.eq_ignore_ascii_case("x-amz-security-token")).map(|(_, v)| decoded(v))
    });
    let when = When::Until(Timestamp::from_secs(seconds), expires);
    Ok(Presented { place: Place::Query, access_key, signature, token, when })
}

fn from_header<'a>(head: &RequestHead<'a>, value: Cow<'a, str>) -> Result<Presented<'a>, Cause> {
    let repeated = |second: &[u8]| Cause::AuthorizationShape(lossy(second).into_owned());
    head.single("authorization").map_err(repeated)?;
    let (access_key, signature) = value
        .strip_prefix("AWS ")
        .and_then(|rest| rest.trim_ascii().split_once(':'))
        .filter(|(key, signature)| !key.is_empty() && !signature.is_empty())
        .map(|(key, signature)| (key.to_owned(), signature.to_owned()))
        .ok_or_else(|| Cause::TwoAuthorization(value.to_string()))?;
    let format = |value: &[u8]| Cause::DateFormat(lossy(value).into_owned());
    let parse = |value: &[u8]| {
        let date = RequestDate::parse_date_header(trim(value));
        date.map(|date| date.time).ok_or_else(|| format(value))
    };
    let when = if let Some(value) = head.single("x-amz-date").map_err(format)? {
        When::At(parse(value)?, Cow::Borrowed(""))
    } else if let Some(value) = head.single("date").map_err(format)? {
        When::At(parse(value)?, lossy(value))
    } else {
        return Err(Cause::DateMissing);
    };
    let bad_token = |second: &[u8]| Cause::TokenInvalid(lossy(second).into_owned());
    let token = head.single("x-amz-security-token").map_err(bad_token)?.map(lossy);
    Ok(Presented {
        place: Place::Header,
        access_key: access_key.into(),
        signature: signature.into(),
        token,
        when,
    })
}

impl Presented<'_> {
    /// Header or query.
    pub fn place(&self) -> Place {
        self.place
    }

    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// When it was signed; a URL does not say.
    pub fn time(&self) -> Option<Timestamp> {
        match self.when {
            When::At(time, _) => Some(time),
            When::Until(..) => None,
        }
    }

    /// A refusal of these credentials.
    pub fn refuse(&self, cause: Cause) -> AuthError {
        AuthError::new(self.place, cause)
    }

    /// Checks time and signature. `bucket` is what the host name says in virtual-host style.
    pub fn verify(
        &self,
        head: &RequestHead<'_>,
        secret: &str,
        bucket: Option<&str>,
        now: Timestamp,
    ) -> Result<(), AuthError> {
        match self.when {
            When::Until(expires, _) if now > expires => {
                return Err(self.refuse(Cause::TwoExpired { expires, now }));
            }
            When::At(request, _)
                if now.millis_since(request).unsigned_abs() > u64::from(SKEW_S3_S) * 1000 =>
            {
                return Err(self.refuse(Cause::Skewed { request, now, limit_s: SKEW_S3_S }));
            }
            _ => {}
        }
        let check = |path: &str| {
            let text = self.string_to_sign(&RequestHead { path, ..*head }, bucket);
            check_signature(self.place, &self.access_key, &self.signature, secret, text)
        };
        let result = check(head.path);
        // A bucket in the path is the same bucket with and without a slash; botocore signs it with one
        // and sends it without.
        let is_bucket = bucket.is_none() && head.path.rfind('/') == Some(0) && head.path.len() > 1;
        match result {
            Err(_) if is_bucket && check(&format!("{}/", head.path)).is_ok() => Ok(()),
            result => result,
        }
    }

    pub(crate) fn string_to_sign(&self, head: &RequestHead<'_>, bucket: Option<&str>) -> String {
        let (When::Until(_, date) | When::At(_, date)) = &self.when;
        let mut text = format!(
            "{}\n{}\n{}\n{date}\n",
            head.method,
            self.standard_header(head, "content-md5"),
            self.standard_header(head, "content-type"),
        );
        for (name, values) in self.amz_headers(head) {
            text.push_str(&name);
            text.push(':');
            text.push_str(&values);
            text.push('\n');
        }
        if let Some(bucket) = bucket {
            text.push('/');
            text.push_str(bucket);
        }
        text.push_str(if head.path.is_empty() { "/" } else { head.path });
        put_subresources(head.query, &mut text);
        text
    }

    /// What a signer took for a header stands in the query, where a browser could not send it.
    fn standard_header<'h>(&self, head: &RequestHead<'h>, name: &str) -> Cow<'h, str> {
        if let Some(value) = head.header(name) {
            return lossy(value);
        }
        let mut all = parameters(head.query).filter(|_| self.place == Place::Query);
        let found = all.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| decoded(value)).unwrap_or_default()
    }

    /// `x-amz-*` of the headers, and of the query of a URL, by lower-case name.
    fn amz_headers(&self, head: &RequestHead<'_>) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        let mut add = |name: &str, value: &str| match all.get_mut(name) {
            Some(values) => {
                values.push(',');
                values.push_str(value);
            }
            None => {
                all.insert(name.to_owned(), value.to_owned());
            }
        };
        for (name, value) in head.headers.iter().filter(|(name, _)| name.starts_with("x-amz-")) {
            add(name, &lossy(value));
        }
        if self.place == Place::Query {
            for (name, value) in parameters(head.query) {
                let name = name.to_ascii_lowercase();
                if name.starts_with("x-amz-") && head.header(&name).is_none() {
                    add(&name, &decoded(value));
                }
            }
        }
        all
    }
}

/// Sorted by name, values decoded; what has no `=` gets none.
fn put_subresources(query: &str, text: &mut String) {
    let name = |pair: &&str| pair.split('=').next().unwrap_or_default().to_owned();
    let mut picked: Vec<&str> = query.split('&').filter(|pair| is_signed(&name(pair))).collect();
    picked.sort_by_key(name);
    for (index, pair) in picked.into_iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, value)) => {
                text.push_str(name);
                text.push('=');
                text.push_str(&decoded(value));
            }
            None => text.push_str(pair),
        }
    }
}

/// What a browser form presents: its signature covers the policy, and the policy covers the fields.
#[derive(Clone, Debug)]
pub struct FormCredentials<'a> {
    access_key: &'a str,
    signature: &'a str,
    policy: &'a str,
    token: Option<&'a str>,
}

impl<'a> FormCredentials<'a> {
    /// `Ok(None)`: the form has no credentials of this version.
    pub fn parse(form: &Form<'a>) -> Result<Option<FormCredentials<'a>>, AuthError> {
        let Some(access_key) = form.field("awsaccesskeyid") else { return Ok(None) };
        let required = |name: &'static str| {
            let missing = || AuthError::new(Place::Form, Cause::MissingParameter(name));
            form.field(name).ok_or_else(missing)
        };
        let (policy, signature) = (required("policy")?, required("signature")?);
        let token = form.field("x-amz-security-token");
        Ok(Some(FormCredentials { access_key, signature, policy, token }))
    }

    pub fn access_key(&self) -> &str {
        self.access_key
    }

    pub fn token(&self) -> Option<&str> {
        self.token
    }

    /// The policy as it was signed: Base64 of JSON.
    pub fn policy(&self) -> &'a str {
        self.policy
    }

    /// A refusal of these credentials.
    pub fn refuse(&self, cause: Cause) -> AuthError {
        AuthError::new(Place::Form, cause)
    }

    /// Checks the signature; how long it is good for is for the policy's expiration to say.
    pub fn verify(&self, secret: &str) -> Result<(), AuthError> {
        let text = self.policy.to_owned();
        check_signature(Place::Form, self.access_key, self.signature, secret, text)
    }
}
