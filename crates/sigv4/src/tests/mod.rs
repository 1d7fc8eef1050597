//! Tests of whole requests, bodies and forms: published examples, other people's signatures, random
//! requests, and everything that must be refused.

mod botocore;
mod chunks;
mod examples;
mod forms;
mod random;
mod refusals;
mod suite;
mod v2;

use crate::*;
use base::Timestamp;

pub(crate) const EXAMPLE_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(crate) const EXAMPLE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A request head that owns its parts and can be changed.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Request {
    pub fn new(method: &str, target: &str, headers: &[(&str, &str)]) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()));
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers.collect(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    pub fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    pub fn set(self, name: &str, value: &str) -> Request {
        self.without(name).with(name, value)
    }

    pub fn head<T>(&self, with: impl FnOnce(&RequestHead<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        with(&RequestHead {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
        })
    }

    /// Parses and verifies, with the key derived from whatever scope the request names.
    pub fn verify(&self, secret: &str, expect: &Expect<'_>) -> Result<(), AuthError> {
        self.head(|head| {
            let found = presented(head)?;
            let found = found.ok_or(AuthError::new(Place::Header, Cause::NoCredentials))?;
            let key = SigningKey::derive(secret, found.date(), found.region(), found.service());
            found.verify(head, &key, expect)
        })
    }

    /// Signs with the headers that it has.
    pub fn signed(
        mut self,
        rules: Rules,
        payload: Payload,
        key: &SigningKey,
        now: Timestamp,
    ) -> Request {
        let credentials = Credentials { access_key: EXAMPLE_KEY, key, token: None };
        let added = self.head(|head| sign_header(head, rules, payload, &credentials, now));
        self.headers.extend(added.into_iter().map(|(n, v)| (n.to_owned(), v.into_bytes())));
        self
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse_iso8601(text).unwrap()
}

pub(crate) fn expect_s3(now: Timestamp) -> Expect<'static> {
    Expect { rules: Rules::S3, service: "s3", region: None, skew_s: SKEW_S3_S, now }
}
