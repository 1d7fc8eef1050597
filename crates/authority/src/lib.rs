//! A certificate authority for this machine alone: made once for a data folder, it makes a certificate
//! for each host name that a client asks for.
//!
//! Invariants: the authority's own certificate is constrained, critically, to the names that we serve
//! and to loopback addresses, so that whoever trusts it trusts it for nothing else; its key never
//! leaves the folder; only names that lead here get a certificate; what is kept of them is bounded.
//!
//! Deliberately absent: revocation, keys of other kinds, certificates of others.

mod authority;
mod certificate;
mod der;
mod resolver;

pub use authority::{Authority, Loaded};
pub use resolver::Resolver;
