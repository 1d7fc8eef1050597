//! Certificates (RFC 5280) of the two kinds that we make, on keys of P-256.

use crate::der::{self, bits, integer, sequence, tlv};
use base::Timestamp;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, KeyPair};
use std::net::IpAddr;

/// Names longer than this cannot stand in a subject; they stand in the alternative names anyway.
const COMMON_NAME_CHARS_MAX: usize = 64;

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];

/// Tags of a general name.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// What every certificate says of itself.
pub struct Subject<'s> {
    pub serial: [u8; 16],
    pub name: &'s str,
    pub from: Timestamp,
    pub until: Timestamp,
}

pub struct Issuer<'i> {
    pub name: &'i str,
    pub key: &'i EcdsaKeyPair,
}

/// A certificate authority that may vouch for names below `domains` and for loopback addresses, and for
/// no authority below it.
pub fn authority(subject: &Subject<'_>, key: &EcdsaKeyPair, domains: &[String]) -> Option<Vec<u8>> {
    let permitted = |name: Vec<u8>| sequence(&[&name]);
    let mut trees: Vec<u8> = Vec::new();
    for domain in domains {
        trees.extend(permitted(tlv(DNS_NAME, &[domain.as_bytes()])));
    }
    // Address and mask.
    trees.extend(permitted(tlv(IP_ADDRESS, &[&[127, 0, 0, 0, 255, 0, 0, 0]])));
    let mut only_one = [0xff; 32];
    only_one[..16].copy_from_slice(&std::net::Ipv6Addr::LOCALHOST.octets());
    trees.extend(permitted(tlv(IP_ADDRESS, &[&only_one])));
    let constraints = sequence(&[&tlv(0xa0, &[&trees])]);
    let extensions = [
        extension(BASIC_CONSTRAINTS, true, &sequence(&[&[1, 1, 0xff], &integer(&[0])])),
        // Signing certificates and lists of revoked ones.
        extension(KEY_USAGE, true, &tlv(der::BIT_STRING, &[&[1, 0b0000_0110]])),
        extension(NAME_CONSTRAINTS, true, &constraints),
        extension(SUBJECT_KEY_ID, false, &tlv(der::OCTET_STRING, &[&key_id(key)])),
        extension(AUTHORITY_KEY_ID, false, &sequence(&[&tlv(0x80, &[&key_id(key)])])),
    ];
    signed(subject, &Issuer { name: subject.name, key }, key, &extensions.concat())
}

/// A server's certificate for these names and addresses.
pub fn server(
    subject: &Subject<'_>,
    key: &EcdsaKeyPair,
    issuer: &Issuer<'_>,
    names: &[&str],
    addresses: &[IpAddr],
) -> Option<Vec<u8>> {
    let mut all: Vec<u8> = Vec::new();
    for name in names {
        all.extend(tlv(DNS_NAME, &[name.as_bytes()]));
    }
    for address in addresses {
        all.extend(match address {
            IpAddr::V4(v4) => tlv(IP_ADDRESS, &[&v4.octets()]),
            IpAddr::V6(v6) => tlv(IP_ADDRESS, &[&v6.octets()]),
        });
    }
    let extensions = [
        extension(BASIC_CONSTRAINTS, true, &sequence(&[])),
        // Signing handshakes.
        extension(KEY_USAGE, true, &tlv(der::BIT_STRING, &[&[7, 0b1000_0000]])),
        extension(EXTENDED_KEY_USAGE, false, &sequence(&[&tlv(der::OID, &[SERVER_AUTH])])),
        extension(ALTERNATIVE_NAMES, false, &sequence(&[&all])),
        extension(SUBJECT_KEY_ID, false, &tlv(der::OCTET_STRING, &[&key_id(key)])),
        extension(AUTHORITY_KEY_ID, false, &sequence(&[&tlv(0x80, &[&key_id(issuer.key)])])),
    ];
    signed(subject, issuer, key, &extensions.concat())
}

fn signed(
    subject: &Subject<'_>,
    issuer: &Issuer<'_>,
    key: &EcdsaKeyPair,
    extensions: &[u8],
) -> Option<Vec<u8>> {
    let algorithm = sequence(&[&tlv(der::OID, &[ECDSA_WITH_SHA256])]);
    let kind = sequence(&[&tlv(der::OID, &[EC_PUBLIC_KEY]), &tlv(der::OID, &[PRIME256V1])]);
    let body = sequence(&[
        // Version 3, counted from 0.
        &tlv(0xa0, &[&integer(&[2])]),
        &integer(&subject.serial),
        &algorithm,
        &distinguished(issuer.name),
        &sequence(&[&time(subject.from), &time(subject.until)]),
        &distinguished(subject.name),
        &sequence(&[&kind, &bits(key.public_key().as_ref())]),
        &tlv(0xa3, &[&sequence(&[extensions])]),
    ]);
    let signature = issuer.key.sign(&SystemRandom::new(), &body).ok()?;
    Some(sequence(&[&body, &algorithm, &bits(signature.as_ref())]))
}

fn distinguished(name: &str) -> Vec<u8> {
    let name = if name.len() > COMMON_NAME_CHARS_MAX { "Cumulet" } else { name };
    let pair = sequence(&[&tlv(der::OID, &[COMMON_NAME]), &tlv(der::UTF8, &[name.as_bytes()])]);
    sequence(&[&tlv(der::SET, &[&pair])])
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&tlv(der::OID, &[oid]), critical, &tlv(der::OCTET_STRING, &[value])])
}

/// Two digits for the year until 2049, as the standard wants it.
fn time(at: Timestamp) -> Vec<u8> {
    let text = at.iso8601_basic().replace('T', "");
    match &text[..4] < "2050" {
        true => tlv(der::UTC_TIME, &[&text.as_bytes()[2..]]),
        false => tlv(der::GENERALIZED_TIME, &[text.as_bytes()]),
    }
}

fn key_id(key: &EcdsaKeyPair) -> [u8; 20] {
    let mut id = [0; 20];
    id.copy_from_slice(&digest(&SHA256, key.public_key().as_ref()).as_ref()[..20]);
    id
}
