//! A small DNS responder: names that are this cloud's are answered with its address, names of AWS that
//! it does not have are answered with "no such name", and all else goes to the host's resolver.
//!
//! Invariants: a name of AWS never leaves the machine, so a client with real keys cannot reach the real
//! cloud by mistake; only this machine's own addresses are answered; what we make up is at most a
//! few dozen bytes longer than what was asked; a query that cannot be read costs a header or nothing.
//!
//! Deliberately absent: zones, caching, recursion, DNSSEC. What is handed on comes back as it was.

mod forward;
#[doc(hidden)]
pub mod fuzz;
mod serve;
mod wire;
mod zone;

pub use forward::{Upstream, resolvers};
pub use serve::{Served, is_own_host, serve_frames, serve_tcp, serve_udp};
pub use wire::{A, AAAA, ANY, Code, Malformed, PTR, Query, Record, head, reversed};
pub use zone::{Addresses, Answer, Cloud, Names, Standing, Zone, answer};
