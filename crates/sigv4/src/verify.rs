//! Whether presented credentials are true, given the key that they name.

use crate::canonical::{PathForm, without_default_port};
use crate::error::{AuthError, Cause, Mismatch, Place};
use crate::head::{RequestHead, pieces};
use crate::key::{Hex, SigningKey, hex, hex_str, same_signature, string_to_sign};
use crate::payload::UNSIGNED;
use crate::presented::{Presented, header_payload};
use base::Timestamp;
use base::limits::REQUEST_HEADERS_MAX;

/// How far a request's time may be from ours for S3.
/// Source: `RequestTimeTooSkewed` in <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
pub const SKEW_S3_S: u32 = 15 * 60;
/// The same for most other services; those with the query protocol allow [`SKEW_S3_S`].
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>.
pub const SKEW_GENERAL_S: u32 = 5 * 60;

/// Which of the two sets of rules a service follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rules {
    /// The path is encoded once and not normalised, `x-amz-content-sha256` is required in the header
    /// form, every `x-amz-*` header must be signed, and a presigned URL does not cover the body.
    S3,
    /// The path is normalised and encoded twice, and the body's hash is part of every signature.
    General { body_sha256: [u8; 32] },
}

/// What a request's credentials must fit.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    pub rules: Rules,
    /// The service name that the scope must have.
    pub service: &'a str,
    /// The region that the scope must have; `None` accepts every one.
    pub region: Option<&'a str>,
    pub skew_s: u32,
    pub now: Timestamp,
}

impl Presented<'_> {
    /// Checks everything: scope, time, signed headers, and the signature with the key of
    /// [`Presented::access_key`] for the presented date, region and service. What the signature says
    /// about the body ([`Presented::payload`]) is for the reader of the body to check.
    pub fn verify(
        &self,
        head: &RequestHead<'_>,
        key: &SigningKey,
        expect: &Expect<'_>,
    ) -> Result<(), AuthError> {
        self.check_scope(expect)
            .and_then(|()| self.check_time(expect))
            .and_then(|()| self.check_signed_headers(head, expect.rules))
            .and_then(|()| self.check_signature(head, key, expect.rules))
            .map_err(|cause| self.refuse(cause))
    }

    fn check_scope(&self, expect: &Expect<'_>) -> Result<(), Cause> {
        let credential = || self.credential.text().to_owned();
        if self.service() != expect.service {
            let (given, expected) = (self.service().to_owned(), expect.service.to_owned());
            return Err(Cause::Service { credential: credential(), given, expected });
        }
        if let Some(region) = expect.region.filter(|region| *region != self.region()) {
            let (given, expected) = (self.region().to_owned(), region.to_owned());
            return Err(Cause::Region { credential: credential(), given, expected });
        }
        if self.date.is_http && expect.rules != Rules::S3 {
            return Err(Cause::DateFormat(self.date.time.http_date()));
        }
        if !self.date.stamp.starts_with(self.date().as_bytes()) {
            let (scope, stamp) = (self.date().to_owned(), self.date.stamp_str().to_owned());
            return Err(Cause::DateMismatch { scope, stamp });
        }
        Ok(())
    }

    fn check_time(&self, expect: &Expect<'_>) -> Result<(), Cause> {
        let (now, request, limit_s) = (expect.now, self.time(), expect.skew_s);
        let age_ms = now.millis_since(request);
        let limit_ms = i64::from(limit_s) * 1000;
        if self.place == Place::Header {
            return if age_ms.unsigned_abs() > limit_ms.unsigned_abs() {
                Err(Cause::Skewed { request, now, limit_s })
            } else {
                Ok(())
            };
        }
        let expires_s = match (self.expires_s, expect.rules) {
            (Some(expires_s), _) => expires_s,
            (None, Rules::S3) => return Err(Cause::MissingParameter("X-Amz-Expires")),
            (None, Rules::General { .. }) => limit_s,
        };
        if age_ms < -limit_ms {
            Err(Cause::NotYetValid { request, now, limit_s })
        } else if age_ms > i64::from(expires_s) * 1000 {
            Err(Cause::Expired { request, now, expires_s })
        } else {
            Ok(())
        }
    }

    /// The headers that must be signed. For S3 these are `host` and each `x-amz-*`, except that
    /// `x-amz-content-sha256` is part of every signature anyway, as the last line; the others ask for
    /// `host` alone.
    fn check_signed_headers(&self, head: &RequestHead<'_>, rules: Rules) -> Result<(), Cause> {
        let signed = || pieces(&self.signed_headers, b';');
        if signed().count() > REQUEST_HEADERS_MAX {
            return Err(Cause::TooManySigned);
        }
        let mut unsigned = String::new();
        let mut note = |name: &str| {
            if !unsigned.split(", ").any(|n| n == name) {
                unsigned.push_str(if unsigned.is_empty() { "" } else { ", " });
                unsigned.push_str(name);
            }
        };
        if !signed().any(|n| n == "host") {
            note("host");
        }
        if rules == Rules::S3 {
            for (name, _) in head.headers.iter().filter(|(n, _)| n.starts_with("x-amz-")) {
                if *name != "x-amz-content-sha256" && !signed().any(|n| n == *name) {
                    note(name);
                }
            }
            if self.place == Place::Query && self.contradicted_payload(head)? {
                note("x-amz-content-sha256");
            }
        }
        if unsigned.is_empty() { Ok(()) } else { Err(Cause::NotSigned(unsigned)) }
    }

    /// A presigned URL whose request says in a header that the body is framed, when what was signed
    /// says otherwise.
    fn contradicted_payload(&self, head: &RequestHead<'_>) -> Result<bool, Cause> {
        let Some((in_header, _)) = header_payload(head)? else { return Ok(false) };
        let framed = in_header.is_chunked() || in_header == crate::Payload::Events;
        Ok(framed && in_header != self.payload(Rules::S3))
    }

    fn check_signature(
        &self,
        head: &RequestHead<'_>,
        key: &SigningKey,
        rules: Rules,
    ) -> Result<(), Cause> {
        let body_hash: Hex;
        let path_form = match rules {
            Rules::S3 => PathForm::Once,
            Rules::General { .. } => PathForm::NormalisedTwice,
        };
        let payload = match (&self.payload, rules) {
            (Some((_, text)), Rules::S3) => text,
            (None, Rules::S3) if self.place == Place::Query => UNSIGNED,
            (None, Rules::S3) => return Err(Cause::PayloadMissing),
            (_, Rules::General { body_sha256 }) => {
                body_hash = hex(&body_sha256);
                hex_str(&body_hash)
            }
        };
        let mut canonical = self.canonical(head, path_form, payload);
        let hash = canonical.sha256();
        let computed = key.sign_request(&self.date.stamp, &hash);
        if same_signature(&computed, &self.signature) {
            return Ok(());
        }
        if head.headers.iter().any(|(n, v)| *n == "host" && without_default_port(v) != *v) {
            canonical.without_default_port = true;
            let computed = key.sign_request(&self.date.stamp, &canonical.sha256());
            if same_signature(&computed, &self.signature) {
                return Ok(());
            }
            canonical.without_default_port = false;
        }
        Err(Cause::Mismatch(Box::new(Mismatch {
            access_key: self.access_key().to_owned(),
            signature: self.signature.clone().into_owned(),
            string_to_sign: string_to_sign(&self.date.stamp, key.scope(), &hash),
            canonical_request: canonical.text(),
        })))
    }
}
