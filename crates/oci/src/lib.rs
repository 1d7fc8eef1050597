//! Images as the Open Container Initiative and Docker have them: references, digests,
//! configurations, manifests, and layers as tar.
//!
//! Invariants: pure, nothing is opened and nothing is fetched; whatever comes from outside is bounded
//! and never panics.
//!
//! Deliberately absent: file systems, registries over HTTP, compression.

pub mod digest;
pub mod fuzz;
pub mod image;
pub mod manifest;
pub mod reference;
pub mod tar;

pub use digest::Digest;
pub use reference::Reference;
