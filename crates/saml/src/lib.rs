//! SAML 2.0 as `AssumeRoleWithSAML` takes it: the response of an identity provider, held against the
//! metadata that the account keeps of that provider.
//!
//! Invariants: pure, nothing is fetched. A response is worth nothing but for the one element that a
//! key of the metadata signed, and what is read afterwards is read from that very element, never
//! looked up anew (so that a signed assertion moved elsewhere in the document, and another one in its
//! place, open nothing). What is not understood is refused: other canonical forms, other transforms,
//! more than one reference, objects in signatures, the same id twice, a second assertion, document
//! types. Keys come from the metadata alone, never from the response.
//!
//! Deliberately absent: encrypted assertions, SHA-1, RSA keys below 2,048 bits.

mod canonical;
mod metadata;
mod response;
mod signature;
#[cfg(test)]
mod tests;
mod tree;
pub mod x509;

pub use metadata::Metadata;
pub use response::{Assertion, Attribute, Confirmation, NameId, Refusal, read};

/// Bytes from anywhere: never panics, and believes nothing that no key signed. The first line is taken
/// for metadata, the rest for a response.
pub fn fuzz_response(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (metadata, response) = bytes.split_at(at);
    if let Some(metadata) = Metadata::read(metadata) {
        let _ = read(response, &metadata);
    }
    let _ = x509::certificate(bytes);
}
