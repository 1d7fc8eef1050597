//! AWS Signature Version 4: what a request says about who signed it, whether that is true, and the
//! same for our own clients the other way round.
//!
//! Forms: the `Authorization` header, the presigned URL, the `aws-chunked` body (signed or not, with
//! or without trailers) and the browser form with its POST policy.
//!
//! A server calls [`presented`] on the head, looks the access key up, and calls
//! [`Presented::verify`] with a [`SigningKey`], which is worth caching: it lasts for one access key,
//! day, region and service, and deriving it costs nearly as much as verifying a whole request. A body in chunks
//! then runs through [`ChunkDecoder`]; a browser form goes through [`FormCredentials`] and
//! [`PostPolicy`].
//!
//! Invariants: no I/O, no clock, no HTTP types; the time comes as an argument. Nothing here panics on
//! outside data, and work is bounded by the size of the input. Signatures are compared in constant
//! time. Errors say what was wrong ([`AuthError`]); [`AuthError::render`] puts them in the code and
//! words of the service asked, because S3 and the other services word the same cause differently.
//!
//! Deliberately absent: looking up keys and checking session tokens (they are opaque here), Signature
//! Version 4A (recognised and refused by name), Version 2 for anything but S3 ([`v2`]), and the signing
//! of event streams ([`Payload::Events`] only names it).

mod canonical;
mod chunk;
mod chunk_sign;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod head;
mod key;
mod payload;
mod post;
mod post_policy;
mod presented;
mod query_auth;
mod render;
mod sign;
#[cfg(test)]
mod tests;
pub mod v2;
mod verify;

pub use chunk::{ChunkDecoder, Trailers};
pub use chunk_sign::ChunkSigner;
pub use error::{AuthError, Cause, Mismatch, MissingParts, Place};
pub use head::RequestHead;
pub use key::{EMPTY_SHA256, EMPTY_SHA256_HEX, SigningKey, sha256};
pub use payload::Payload;
pub use post::FormCredentials;
pub use post_policy::{Form, PostPolicy};
pub use presented::{Presented, presented};
pub use render::{Dialect, Rendered};
pub use sign::{Credentials, presign, sign_header};
pub use verify::{Expect, Rules, SKEW_GENERAL_S, SKEW_S3_S};

/// The algorithm that is served; it stands in headers, URLs, forms and strings to sign.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Signature Version 4A: one signature for several regions. Named so that it can be refused clearly.
pub const ALGORITHM_V4A: &str = "AWS4-ECDSA-P256-SHA256";
/// The last element of a credential scope.
pub const TERMINATOR: &str = "aws4_request";
