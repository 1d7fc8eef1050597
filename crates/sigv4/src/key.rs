//! Signing keys, strings to sign and signatures.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// SHA-256 of nothing: the payload hash of a request without a body.
pub const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// [`EMPTY_SHA256`] in hexadecimal.
pub const EMPTY_SHA256_HEX: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// A SHA-256 or HMAC in lower-case hexadecimal, without an allocation.
pub(crate) type Hex = [u8; 64];

pub(crate) fn hex(bytes: &[u8; 32]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = [0; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

pub(crate) fn hex_str(hex: &Hex) -> &str {
    std::str::from_utf8(hex).expect("hexadecimal digits")
}

/// Equality that takes the same time wherever the texts differ (their lengths are no secret).
pub(crate) fn same_signature(computed: &Hex, given: &str) -> bool {
    let Ok(given) = Hex::try_from(given.as_bytes()) else { return false };
    // Eight bytes at a time: one by one it costs as much as hashing a block.
    let words = |hex: &Hex| -> [u64; 8] {
        std::array::from_fn(|i| u64::from_le_bytes(std::array::from_fn(|j| hex[i * 8 + j])))
    };
    subtle::ConstantTimeEq::ct_eq(words(computed).as_slice(), words(&given).as_slice()).into()
}

/// The key that a secret yields for one day, region and service. Deriving it takes four
/// HMACs, so servers cache it; it holds the two precomputed states of the HMAC and signs without
/// touching the secret again.
#[derive(Clone)]
pub struct SigningKey {
    mac: Hmac<Sha256>,
    scope: Box<str>,
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

impl SigningKey {
    /// `date` is the scope's, `yyyymmdd`.
    pub fn derive(secret: &str, date: &str, region: &str, service: &str) -> SigningKey {
        let key = hmac(format!("AWS4{secret}").as_bytes(), date.as_bytes());
        let key = hmac(&key, region.as_bytes());
        let key = hmac(&key, service.as_bytes());
        let key = hmac(&key, crate::TERMINATOR.as_bytes());
        SigningKey {
            mac: Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"),
            scope: format!("{date}/{region}/{service}/{}", crate::TERMINATOR).into(),
        }
    }

    /// `yyyymmdd/region/service/aws4_request`.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The scope's date.
    pub fn date(&self) -> &str {
        self.scope.split('/').next().unwrap_or_default()
    }

    /// The HMAC of the parts, one after the other.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> Hex {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(part);
        }
        hex(&mac.finalize().into_bytes().into())
    }

    /// The signature of a whole request from the hash of its canonical form.
    pub(crate) fn sign_request(&self, stamp: &[u8; 16], canonical_sha256: &[u8; 32]) -> Hex {
        let hash = hex(canonical_sha256);
        self.sign(&[
            crate::ALGORITHM.as_bytes(),
            b"\n",
            stamp,
            b"\n",
            self.scope.as_bytes(),
            b"\n",
            &hash,
        ])
    }
}

/// The key itself is never shown.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// The string that [`SigningKey::sign_request`] signs, for messages.
pub(crate) fn string_to_sign(stamp: &[u8; 16], scope: &str, canonical_sha256: &[u8; 32]) -> String {
    let stamp = String::from_utf8_lossy(stamp);
    let hash = hex(canonical_sha256);
    format!("{}\n{stamp}\n{scope}\n{}", crate::ALGORITHM, hex_str(&hash))
}
