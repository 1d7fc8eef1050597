//! Certificates and keys in PEM, as far as IAM looks into them: until when a certificate is good, and
//! whether a private key is the one of its public key.

use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    RsaKeyPair,
};

/// What is in a PEM text, in order: labels and contents.
pub(crate) fn blocks(text: &str) -> Option<Vec<(&str, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (label, after) = rest.strip_prefix("-----BEGIN ")?.split_once("-----")?;
        let (body, after) = after.split_once(&format!("-----END {label}-----"))?;
        let body: String = body.split_ascii_whitespace().collect();
        found.push((label, STANDARD.decode(body).ok()?));
        rest = after.trim_start();
    }
    Some(found)
}

/// One element of DER: its tag, its content, what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
            (bytes.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

fn sequence(der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(tag, ..)| *tag == SEQUENCE).map(|(_, content, rest)| (content, rest))
}

/// What IAM reads of a certificate.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) expires: Timestamp,
    /// The bits of its public key.
    pub(crate) public_key: Vec<u8>,
}

/// A certificate in DER (RFC 5280).
pub(crate) fn certificate(der: &[u8]) -> Option<Certificate> {
    let (whole, after) = sequence(der)?;
    let (signed, _) = sequence(whole)?;
    if !after.is_empty() {
        return None;
    }
    let rest = match element(signed)? {
        (VERSION, _, rest) => rest,
        _ => signed,
    };
    let (_serial, _, rest) = element(rest)?;
    let (_algorithm, rest) = sequence(rest)?;
    let (_issuer, rest) = sequence(rest)?;
    let (validity, rest) = sequence(rest)?;
    let (_subject, rest) = sequence(rest)?;
    let (key, _) = sequence(rest)?;
    let (_, _, until) = element(validity)?;
    let (tag, text, _) = element(until)?;
    let (_algorithm, bits) = sequence(key)?;
    let (BIT_STRING, bits, _) = element(bits)? else { return None };
    let public_key = bits.strip_prefix(&[0])?.to_vec();
    Some(Certificate { expires: der_time(tag, text)?, public_key })
}

fn der_time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (two, rest) = text.split_at_checked(2)?;
            let two: i32 = two.parse().ok()?;
            (two + if two < 50 { 2000 } else { 1900 }, rest)
        }
        GENERALIZED_TIME => {
            let (four, rest) = text.split_at_checked(4)?;
            (four.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 || !rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| &rest[at..at + 2];
    let (month, day, hour, minute, second) = (part(0), part(2), part(4), part(6), part(8));
    let text = format!("{year:04}-{month}-{day}T{hour}:{minute}:{second}Z");
    Timestamp::parse_iso8601(&text).ok()
}

/// Whether the PEM is a private key; `Some(true)` if it is the one of the public key.
pub(crate) fn is_key_of(text: &str, public_key: &[u8]) -> Option<bool> {
    let blocks = blocks(text)?;
    let (label, der) = blocks.iter().find(|(label, _)| label.ends_with("PRIVATE KEY"))?;
    let rsa = match *label {
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(der).ok(),
        _ => RsaKeyPair::from_pkcs8(der).ok(),
    };
    if let Some(pair) = rsa {
        return Some(pair.public_key().as_ref() == public_key);
    }
    let random = ring::rand::SystemRandom::new();
    for curve in [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING] {
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, der, &random) {
            return Some(pair.public_key().as_ref() == public_key);
        }
    }
    // Older forms of elliptic curves are not looked into.
    (*label == "EC PRIVATE KEY" && sequence(der).is_some()).then_some(true)
}

/// Bytes from anywhere: must not panic, and must end quickly.
pub fn fuzz_pem(data: &[u8]) {
    let _ = certificate(data);
    let text = String::from_utf8_lossy(data);
    for (_, der) in blocks(&text).unwrap_or_default() {
        let _ = certificate(&der);
    }
    let _ = is_key_of(&text, data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Entropy, SeededEntropy};

    /// Certificates with a few bytes changed, and cut short.
    #[test]
    fn broken_certificates() {
        let text = include_str!("tests/pem/certificate.pem");
        let der = blocks(text).expect("PEM").remove(0).1;
        assert!(certificate(&der).is_some());
        let entropy = SeededEntropy::new(5);
        for _ in 0..20_000 {
            let mut broken = der.clone();
            for _ in 0..=entropy.below(3) {
                let at = entropy.below(broken.len() as u64) as usize;
                broken[at] = entropy.next_u64() as u8;
            }
            broken.truncate(1 + entropy.below(broken.len() as u64 * 2) as usize);
            fuzz_pem(&broken);
        }
    }
}
