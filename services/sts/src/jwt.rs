//! Identity tokens: JSON web tokens (RFC 7519) with a signature (RFC 7515) by a key of a set (RFC 7517).
//! Only asymmetric algorithms are known, so that `none` and HMAC with a public key are no way in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use smithy::Document;
use std::collections::BTreeMap;

type Object = BTreeMap<String, Document>;

/// A token, read but not believed.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    header: Object,
    pub(crate) claims: Object,
    signed: &'t str,
    signature: Vec<u8>,
}

fn object(part: &str) -> Option<Object> {
    let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
    match smithy::json::parse_document(&bytes).ok()? {
        Document::Map(map) => Some(map),
        _ => None,
    }
}

pub(crate) fn text<'o>(object: &'o Object, name: &str) -> Option<&'o str> {
    match object.get(name)? {
        Document::String(text) => Some(text),
        _ => None,
    }
}

/// A string, or a list of strings.
pub(crate) fn texts(object: &Object, name: &str) -> Vec<String> {
    let one = |value: &Document| match value {
        Document::String(text) => Some(text.clone()),
        _ => None,
    };
    match object.get(name) {
        Some(Document::List(list)) => list.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// A time in seconds since 1970.
pub(crate) fn secs(object: &Object, name: &str) -> Option<i64> {
    match object.get(name)? {
        Document::Integer(secs) => Some(*secs),
        Document::Double(secs) if secs.is_finite() && secs.abs() < 1e15 => Some(*secs as i64),
        _ => None,
    }
}

impl<'t> Token<'t> {
    /// `None` for what is no token with a signature.
    pub(crate) fn read(token: &'t str) -> Option<Token<'t>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature.trim_end_matches('=')).ok()?;
        let (header, claims) = (object(header)?, object(claims)?);
        text(&header, "alg")?;
        Some(Token { header, claims, signed, signature })
    }

    /// The keys of a set that may have signed it: those of its `kid`, or all where it has none.
    fn keys<'k>(&self, set: &'k Object) -> Vec<&'k Object> {
        let Some(Document::List(keys)) = set.get("keys") else { return Vec::new() };
        let kid = text(&self.header, "kid");
        let fits = |key: &&Object| kid.is_none() || text(key, "kid") == kid;
        let objects = keys.iter().filter_map(|key| match key {
            Document::Map(map) => Some(map),
            _ => None,
        });
        objects.filter(fits).collect()
    }

    /// Whether a key of the set signed it.
    pub(crate) fn is_signed_by(&self, set: &Document) -> bool {
        let Document::Map(set) = set else { return false };
        self.keys(set).into_iter().any(|key| self.verify(key) == Some(true))
    }

    fn verify(&self, key: &Object) -> Option<bool> {
        let alg = text(&self.header, "alg")?;
        if text(key, "alg").is_some_and(|own| own != alg)
            || text(key, "use").is_some_and(|purpose| purpose != "sig")
        {
            return Some(false);
        }
        let number =
            |name: &str| URL_SAFE_NO_PAD.decode(text(key, name)?.trim_end_matches('=')).ok();
        match (text(key, "kty")?, alg) {
            ("RSA", _) => {
                let parameters: &RsaParameters = match alg {
                    "RS256" => &RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &RSA_PKCS1_2048_8192_SHA512,
                    _ => return Some(false),
                };
                let key = RsaPublicKeyComponents { n: number("n")?, e: number("e")? };
                Some(key.verify(parameters, self.signed.as_bytes(), &self.signature).is_ok())
            }
            ("EC", _) => {
                let algorithm: &EcdsaVerificationAlgorithm = match (alg, text(key, "crv")?) {
                    ("ES256", "P-256") => &ECDSA_P256_SHA256_FIXED,
                    ("ES384", "P-384") => &ECDSA_P384_SHA384_FIXED,
                    _ => return Some(false),
                };
                let point = [vec![4], number("x")?, number("y")?].concat();
                let key = UnparsedPublicKey::new(algorithm, point);
                Some(key.verify(self.signed.as_bytes(), &self.signature).is_ok())
            }
            _ => Some(false),
        }
    }
}

/// Bytes from anywhere: never panics, and believes nothing that no key of ours signed.
pub fn fuzz_token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (set, token) = text.split_once('\n').unwrap_or(("", &text));
    if let (Ok(set), Some(token)) =
        (smithy::json::parse_document(set.as_bytes()), Token::read(token))
    {
        token.is_signed_by(&set);
        for name in ["aud", "iss", "sub"] {
            texts(&token.claims, name);
            secs(&token.claims, name);
        }
    }
}
