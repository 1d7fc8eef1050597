//! The keys of identity providers: fetched where OpenID Connect says that they are, and kept for a
//! while. How bytes come from a URL is not known here; whoever wires the service says so.

use crate::jwt::Token;
use api::{Error, Fetch};
use base::Timestamp;
use directory::OidcProviderRow;
use gen_sts::errors;
use parking_lot::Mutex;
use smithy::Document;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A set is fetched again after so long, or when a token names a key that it has not.
const KEPT_S: i64 = 300;
/// But not sooner than this, however many tokens name unknown keys.
const AGAIN_S: i64 = 5;
const SETS_MAX: usize = 1_000;

struct Kept {
    at: Timestamp,
    set: Arc<Document>,
}

/// The sets that were fetched, by account and provider.
pub(crate) struct KeySets {
    fetch: Arc<dyn Fetch>,
    kept: Mutex<BTreeMap<String, Kept>>,
}

fn communication() -> Error {
    let message = "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements";
    Error::new(&errors::INVALID_IDENTITY_TOKEN_EXCEPTION, message)
}

impl KeySets {
    pub(crate) fn new(fetch: Arc<dyn Fetch>) -> KeySets {
        KeySets { fetch, kept: Mutex::new(BTreeMap::new()) }
    }

    /// Refuses a token that no key of its provider signed.
    pub(crate) async fn check(
        &self,
        token: &Token<'_>,
        provider: &OidcProviderRow,
        issuer: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let known = self.kept.lock().get(&provider.arn).map(|kept| (kept.at, kept.set.clone()));
        if let Some((at, set)) = known {
            let age = now.to_secs() - at.to_secs();
            if (0..KEPT_S).contains(&age) && token.is_signed_by(&set) {
                return Ok(());
            }
            if (0..AGAIN_S).contains(&age) {
                return Err(bad_signature());
            }
        }
        let set = Arc::new(self.get(provider, issuer).await?);
        let mut kept = self.kept.lock();
        if kept.len() >= SETS_MAX {
            kept.clear();
        }
        kept.insert(provider.arn.clone(), Kept { at: now, set: set.clone() });
        drop(kept);
        if token.is_signed_by(&set) { Ok(()) } else { Err(bad_signature()) }
    }

    async fn get(&self, provider: &OidcProviderRow, issuer: &str) -> Result<Document, Error> {
        let scheme = if provider.plain_http { "http" } else { "https" };
        let base = format!("{scheme}://{}", provider.url);
        let about = format!("{base}/.well-known/openid-configuration");
        let Document::Map(about) = self.document(&about, provider).await? else {
            return Err(communication());
        };
        let text = |name: &str| match about.get(name) {
            Some(Document::String(text)) => Some(text.as_str()),
            _ => None,
        };
        // Whoever answers for another issuer is not the provider.
        if text("issuer")
            .is_some_and(|own| own.trim_end_matches('/') != issuer.trim_end_matches('/'))
        {
            return Err(communication());
        }
        let keys = text("jwks_uri").ok_or_else(communication)?;
        // A provider that must have a certificate does not get rid of it by pointing elsewhere.
        if !keys.starts_with("https://") && !provider.plain_http {
            return Err(communication());
        }
        self.document(keys, provider).await
    }

    async fn document(&self, url: &str, provider: &OidcProviderRow) -> Result<Document, Error> {
        let bytes = self.fetch.fetch(url, &provider.thumbprints).await.map_err(|why| {
            // The client learns nothing of what is there; the log does.
            communication().because(format!("{url}: {why}"))
        })?;
        smithy::json::parse_document(&bytes).map_err(|_| communication())
    }
}

fn bad_signature() -> Error {
    let message =
        "The signature of the ID Token could not be verified with a key of your identity provider";
    Error::new(&errors::INVALID_IDENTITY_TOKEN_EXCEPTION, message)
}
