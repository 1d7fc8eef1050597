//! Credentials in the fields of a browser form.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html>

use crate::error::{AuthError, Cause, Mismatch, Place};
use crate::key::{SigningKey, same_signature};
use crate::post_policy::Form;
use crate::presented::{Credential, RequestDate};
use crate::{ALGORITHM, ALGORITHM_V4A};
use base::Timestamp;
use std::borrow::Cow;

/// What a form presents: its signature covers the policy, and the policy covers the fields.
#[derive(Clone, Debug)]
pub struct FormCredentials<'a> {
    credential: Credential<'a>,
    date: RequestDate,
    signature: &'a str,
    policy: &'a str,
    token: Option<&'a str>,
}

const FIELDS: [&str; 5] =
    ["policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"];

impl<'a> FormCredentials<'a> {
    /// `Ok(None)`: the form has no credentials, it is anonymous.
    pub fn parse(form: &Form<'a>) -> Result<Option<FormCredentials<'a>>, AuthError> {
        let refuse = |cause| AuthError::new(Place::Form, cause);
        if form.field("awsaccesskeyid").is_some() && form.field("x-amz-algorithm").is_none() {
            return Err(refuse(Cause::VersionTwo));
        }
        let values = FIELDS.map(|name| form.field(name));
        if values.iter().all(Option::is_none) {
            return Ok(None);
        }
        if let Some(missing) = values.iter().position(Option::is_none) {
            return Err(refuse(Cause::MissingParameter(FIELDS[missing])));
        }
        let [policy, algorithm, credential, date, signature] =
            values.map(Option::unwrap_or_default);
        match algorithm {
            ALGORITHM => {}
            ALGORITHM_V4A => return Err(refuse(Cause::VersionFourA)),
            other => return Err(refuse(Cause::Algorithm(other.to_owned()))),
        }
        let date = RequestDate::parse(date.as_bytes())
            .ok_or_else(|| refuse(Cause::DateFormat(date.to_owned())))?;
        let credential = Credential::parse(Cow::Borrowed(credential)).map_err(refuse)?;
        let token = form.field("x-amz-security-token");
        Ok(Some(FormCredentials { credential, date, signature, policy, token }))
    }

    pub fn access_key(&self) -> &str {
        self.credential.access_key()
    }

    /// The scope's date, `yyyymmdd`.
    pub fn date(&self) -> &str {
        self.credential.date()
    }

    pub fn region(&self) -> &str {
        self.credential.region()
    }

    pub fn service(&self) -> &str {
        self.credential.service()
    }

    pub fn time(&self) -> Timestamp {
        self.date.time
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

    /// Checks scope and signature. How long they are good for is for the policy's expiration to say:
    /// [`crate::PostPolicy::check`].
    pub fn verify(&self, key: &SigningKey, region: Option<&str>) -> Result<(), AuthError> {
        let credential = || self.credential.text().to_owned();
        if self.service() != "s3" {
            let (given, expected) = (self.service().to_owned(), "s3".to_owned());
            return Err(self.refuse(Cause::Service { credential: credential(), given, expected }));
        }
        if let Some(region) = region.filter(|region| *region != self.region()) {
            let (given, expected) = (self.region().to_owned(), region.to_owned());
            return Err(self.refuse(Cause::Region { credential: credential(), given, expected }));
        }
        if !self.date.stamp.starts_with(self.date().as_bytes()) {
            let (scope, stamp) = (credential(), self.date.stamp_str().to_owned());
            return Err(self.refuse(Cause::DateMismatch { scope, stamp }));
        }
        if same_signature(&key.sign(&[self.policy.as_bytes()]), self.signature) {
            return Ok(());
        }
        Err(self.refuse(Cause::Mismatch(Box::new(Mismatch {
            access_key: self.access_key().to_owned(),
            signature: self.signature.to_owned(),
            string_to_sign: self.policy.to_owned(),
            canonical_request: Vec::new(),
        }))))
    }
}

impl SigningKey {
    /// The signature of a form's policy (in Base64), for our own clients.
    pub fn sign_policy(&self, policy: &str) -> String {
        crate::key::hex_str(&self.sign(&[policy.as_bytes()])).to_owned()
    }
}
