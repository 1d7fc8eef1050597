//! Presigned URLs of Signature Version 2, for S3 alone: `aws s3 presign` and boto3 make them still,
//! unless they are told to use Version 4.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html#RESTAuthenticationQueryStringAuth>
//!
//! Such a URL names its end in seconds since 1970 and signs method, bucket, key, the parameters that
//! pick an operation, and `x-amz-*`; neither the host nor the body.

use crate::error::{AuthError, Cause, Mismatch, Place};
use crate::head::{RequestHead, trim};
use crate::post_policy::Form;
use base::{Timestamp, percent};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The parameters that are part of the resource.
const SUBRESOURCES: [&str; 37] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
    "legal-hold",
    "retention",
];

/// Credentials as such a URL presents them.
#[derive(Clone, Debug)]
pub struct PresignedTwo<'a> {
    access_key: Cow<'a, str>,
    signature: Cow<'a, str>,
    expires: Timestamp,
    expires_text: &'a str,
    token: Option<Cow<'a, str>>,
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

fn refuse(cause: Cause) -> AuthError {
    AuthError::new(Place::Query, cause)
}

impl<'a> PresignedTwo<'a> {
    /// `Ok(None)`: the query is not signed in this way.
    pub fn parse(head: &RequestHead<'a>) -> Result<Option<PresignedTwo<'a>>, AuthError> {
        let value = |wanted| parameters(head.query).find(|(n, _)| *n == wanted).map(|(_, v)| v);
        let (Some(access_key), Some(signature)) = (value("AWSAccessKeyId"), value("Signature"))
        else {
            return Ok(None);
        };
        if let Some(second) = head.header("authorization") {
            let text = String::from_utf8_lossy(second).into_owned();
            return Err(refuse(Cause::TwoMechanisms(text)));
        }
        let expires_text = value("Expires").unwrap_or("");
        let digits = (1..=12).contains(&expires_text.len())
            && expires_text.bytes().all(|b| b.is_ascii_digit());
        let expires = expires_text.parse().ok().filter(|_| digits);
        let expires = expires.ok_or_else(|| refuse(Cause::MissingParameter("Expires")))?;
        Ok(Some(PresignedTwo {
            access_key: decoded(access_key),
            signature: decoded(signature),
            expires: Timestamp::from_secs(expires),
            expires_text,
            token: value("x-amz-security-token").map(decoded),
        }))
    }

    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A refusal of these credentials.
    pub fn refuse(&self, cause: Cause) -> AuthError {
        refuse(cause)
    }

    /// Checks the end and the signature. `bucket` is what the host name says in virtual-host style.
    pub fn verify(
        &self,
        head: &RequestHead<'_>,
        secret: &str,
        bucket: Option<&str>,
        now: Timestamp,
    ) -> Result<(), AuthError> {
        if now > self.expires {
            let expired = Cause::Expired { request: self.expires, now, expires_s: 0 };
            return Err(refuse(expired));
        }
        let text = self.string_to_sign(head, bucket);
        if same(&text, secret, &self.signature) {
            return Ok(());
        }
        Err(refuse(Cause::Mismatch(Box::new(Mismatch {
            access_key: self.access_key.to_string(),
            signature: self.signature.to_string(),
            string_to_sign: text,
            canonical_request: Vec::new(),
        }))))
    }

    fn string_to_sign(&self, head: &RequestHead<'_>, bucket: Option<&str>) -> String {
        // What a signer took for a header stands in the query where a browser could not send it.
        let either = |name: &str| match head.header(name) {
            Some(value) => String::from_utf8_lossy(trim(value)).into_owned(),
            None => parameters(head.query)
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| decoded(value).into_owned())
                .unwrap_or_default(),
        };
        let mut text = format!(
            "{}\n{}\n{}\n{}\n",
            head.method,
            either("content-md5"),
            either("content-type"),
            self.expires_text
        );
        for (name, values) in amz_headers(head) {
            text.push_str(&name);
            text.push(':');
            text.push_str(&values.join(","));
            text.push('\n');
        }
        if let Some(bucket) = bucket {
            text.push('/');
            text.push_str(bucket);
        }
        text.push_str(if head.path.is_empty() { "/" } else { head.path });
        let mut picked: Vec<(&str, &str)> =
            parameters(head.query).filter(|(name, _)| SUBRESOURCES.contains(name)).collect();
        picked.sort_by_key(|(name, _)| *name);
        for (index, (name, value)) in picked.into_iter().enumerate() {
            text.push(if index == 0 { '?' } else { '&' });
            text.push_str(name);
            if !value.is_empty() {
                text.push('=');
                text.push_str(&decoded(value));
            }
        }
        text
    }
}

/// A browser form signed in the older way: the policy alone, with the secret itself.
#[derive(Clone, Copy, Debug)]
pub struct FormTwo<'a> {
    access_key: &'a str,
    policy: &'a str,
    signature: &'a str,
    token: Option<&'a str>,
}

impl<'a> FormTwo<'a> {
    /// `None`: the form is not signed in this way.
    pub fn parse(form: &Form<'a>) -> Option<FormTwo<'a>> {
        if form.field("x-amz-algorithm").is_some() {
            return None;
        }
        Some(FormTwo {
            access_key: form.field("awsaccesskeyid")?,
            policy: form.field("policy").unwrap_or(""),
            signature: form.field("signature").unwrap_or(""),
            token: form.field("x-amz-security-token"),
        })
    }

    pub fn access_key(&self) -> &'a str {
        self.access_key
    }

    pub fn token(&self) -> Option<&'a str> {
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

    pub fn verify(&self, secret: &str) -> Result<(), AuthError> {
        if same(self.policy, secret, self.signature) {
            return Ok(());
        }
        Err(self.refuse(Cause::Mismatch(Box::new(Mismatch {
            access_key: self.access_key.to_owned(),
            signature: self.signature.to_owned(),
            string_to_sign: self.policy.to_owned(),
            canonical_request: Vec::new(),
        }))))
    }
}

/// Whether that is the text's signature, in time that does not tell where it differs.
fn same(text: &str, secret: &str, signature: &str) -> bool {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    let computed = STANDARD.encode(mac.finalize().into_bytes());
    subtle::ConstantTimeEq::ct_eq(computed.as_bytes(), signature.as_bytes()).into()
}

/// `x-amz-*` of headers and query, by lower-case name.
fn amz_headers(head: &RequestHead<'_>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in head.headers.iter().filter(|(name, _)| name.starts_with("x-amz-")) {
        let value = String::from_utf8_lossy(trim(value)).into_owned();
        all.entry((*name).to_owned()).or_default().push(value);
    }
    for (name, value) in parameters(head.query) {
        let name = name.to_ascii_lowercase();
        if name.starts_with("x-amz-") && !all.contains_key(&name) {
            all.insert(name, vec![decoded(value).into_owned()]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "eyJleHBpcmF0aW9uIjogIjIwMjMtMTEtMTRUMjM6MTM6MjBaIiwgImNvbmRpdGlvbnMiOiBbeyJidWNrZXQiOiAiYiJ9LCB7ImtleSI6ICJrIn1dfQ==";
    const POLICY_SIGNATURE: &str = "vts/2OfmUipIv0t0jAzMUrjZCQs=";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn verify(
        method: &str,
        (path, query): (&str, &str),
        bucket: Option<&str>,
        now: i64,
    ) -> Result<(), AuthError> {
        let head = RequestHead { method, path, query, headers: &[("host", b"localhost")] };
        let presigned = PresignedTwo::parse(&head)?.expect("signed");
        presigned.verify(&head, SECRET, bucket, Timestamp::from_secs(now))
    }

    /// Both made with botocore 1.43.11, `HmacV1QueryAuth`, at 1700000000 for an hour.
    const GET: (&str, &str) = (
        "/photos/a%20b.jpg",
        "AWSAccessKeyId=AKIDEXAMPLE&Signature=VYYOPlP%2BEX9GtBCgiBqla8syYoU%3D&Expires=1700003600",
    );
    const PUT: (&str, &str) = (
        "/photos/a.jpg",
        "versionId=v%2F1&response-content-type=text%2Fplain&x-id=PutObject&\
         AWSAccessKeyId=AKIDEXAMPLE&Signature=913zfCAzAKHRh1fXVNxVgLz4lj8%3D&\
         content-type=image%2Fjpeg&x-amz-meta-a=1&x-amz-security-token=tok%2Fen%2B&\
         Expires=1700003600",
    );

    #[test]
    fn what_botocore_signs_is_good() {
        assert_eq!(verify("GET", GET, None, 1_700_003_600), Ok(()));
        assert_eq!(verify("PUT", PUT, None, 1_700_000_000), Ok(()));
        assert_eq!(verify("GET", ("/a%20b.jpg", GET.1), Some("photos"), 1_700_000_000), Ok(()));
    }

    #[test]
    fn whatever_is_changed_is_refused() {
        let check = |method, target: (&str, &str), bucket, now, code: &str| {
            let error = verify(method, target, bucket, now).expect_err(code);
            let rendered = error.render(crate::Dialect::S3);
            assert_eq!(rendered.code, code, "{target:?}");
        };
        let now = 1_700_000_000;
        check("PUT", GET, None, now, "SignatureDoesNotMatch");
        check("GET", ("/photos/other", GET.1), None, now, "SignatureDoesNotMatch");
        check("GET", GET, Some("bucket"), now, "SignatureDoesNotMatch");
        check("GET", GET, None, 1_700_003_601, "AccessDenied");
        let later = GET.1.replace("Expires=1700003600", "Expires=1800000000");
        check("GET", (GET.0, &later), None, now, "SignatureDoesNotMatch");
        let acl = format!("{}&acl", GET.1);
        check("GET", (GET.0, &acl), None, now, "SignatureDoesNotMatch");
        let meta = PUT.1.replace("x-amz-meta-a=1", "x-amz-meta-a=2");
        check("PUT", (PUT.0, &meta), None, now, "SignatureDoesNotMatch");
        for bad in ["Expires=", "Expires=x", "Expires=-1", "Expires=9999999999999"] {
            let query = GET.1.replace("Expires=1700003600", bad);
            check("GET", (GET.0, &query), None, now, "AuthorizationQueryParametersError");
        }
    }

    #[test]
    fn forms() {
        // Made with botocore 1.43.11, `HmacV1PostAuth`.
        let fields = [
            ("AWSAccessKeyId", "AKIDEXAMPLE"),
            ("policy", POLICY),
            ("signature", POLICY_SIGNATURE),
        ];
        let form = Form { bucket: "b", fields: &fields };
        let two = FormTwo::parse(&form).unwrap();
        assert_eq!(two.verify(SECRET), Ok(()));
        assert!(two.verify("other").is_err());
        assert!(FormTwo { policy: "e30=", ..two }.verify(SECRET).is_err());
        assert!(FormTwo { signature: "", ..two }.verify(SECRET).is_err());
        assert!(FormTwo::parse(&Form { bucket: "b", fields: &fields[1..] }).is_none());
    }

    #[test]
    fn other_queries_are_not_signed_so() {
        for query in ["", "AWSAccessKeyId=a", "Signature=b", "X-Amz-Signature=c"] {
            let head = RequestHead { method: "GET", path: "/", query, headers: &[] };
            assert!(PresignedTwo::parse(&head).unwrap().is_none(), "{query}");
        }
    }
}
