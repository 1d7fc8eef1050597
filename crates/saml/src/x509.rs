//! Certificates (RFC 5280), as far as their public keys and ends are asked for. Nobody's signature
//! under one is looked at: whoever put it into metadata or an account vouches for it.

use base::Timestamp;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};

const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

/// What is read of a certificate.
#[derive(Debug)]
pub struct Certificate {
    pub expires: Timestamp,
    /// The bits of its public key.
    pub public_key: Vec<u8>,
    kind: Option<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Rsa,
    P256,
    P384,
}

/// How a signature was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Algorithm {
    RsaSha256,
    RsaSha384,
    RsaSha512,
    EcdsaSha256,
    EcdsaSha384,
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

fn sequence(der: &[u8]) -> Option<(&[u8], &[u8])> {
    element(der).filter(|(tag, ..)| *tag == SEQUENCE).map(|(_, content, rest)| (content, rest))
}

/// A certificate in DER.
pub fn certificate(der: &[u8]) -> Option<Certificate> {
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
    let (algorithm, bits) = sequence(key)?;
    let (BIT_STRING, bits, _) = element(bits)? else { return None };
    let public_key = bits.strip_prefix(&[0])?.to_vec();
    Some(Certificate { expires: der_time(tag, text)?, public_key, kind: kind(algorithm) })
}

fn kind(algorithm: &[u8]) -> Option<Kind> {
    let (OID, name, rest) = element(algorithm)? else { return None };
    match name {
        RSA => Some(Kind::Rsa),
        CURVE => match element(rest)? {
            (OID, P256, _) => Some(Kind::P256),
            (OID, P384, _) => Some(Kind::P384),
            _ => None,
        },
        _ => None,
    }
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

impl Certificate {
    /// Whether its key signed the message in that way. A key of another kind did not.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match (self.kind, algorithm) {
            (Some(Kind::Rsa), Algorithm::RsaSha256) => &RSA_PKCS1_2048_8192_SHA256,
            (Some(Kind::Rsa), Algorithm::RsaSha384) => &RSA_PKCS1_2048_8192_SHA384,
            (Some(Kind::Rsa), Algorithm::RsaSha512) => &RSA_PKCS1_2048_8192_SHA512,
            (Some(Kind::P256), Algorithm::EcdsaSha256) => &ECDSA_P256_SHA256_FIXED,
            (Some(Kind::P384), Algorithm::EcdsaSha384) => &ECDSA_P384_SHA384_FIXED,
            _ => return false,
        };
        UnparsedPublicKey::new(algorithm, &self.public_key).verify(message, signature).is_ok()
    }
}
