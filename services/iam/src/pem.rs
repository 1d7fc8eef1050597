//! Certificates and keys in PEM, as far as IAM looks into them: until when a certificate is good, and
//! whether a private key is the one of its public key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    RsaKeyPair,
};
pub(crate) use saml::x509::{Certificate, certificate};

/// With it all keys in DER begin.
const SEQUENCE: u8 = 0x30;

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
    (*label == "EC PRIVATE KEY" && der.first() == Some(&SEQUENCE)).then_some(true)
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
