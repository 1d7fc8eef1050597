//! Networks of containers: what is wanted, and what follows from it. Pure; `net-sys` applies it.
//!
//! Invariants: the firewall is one table of our own, made whole from what is wanted and put in the
//! place of the one before in one step, so that nothing is left behind whatever happened; addresses
//! are given out lowest first and never twice.

pub mod address;
pub mod firewall;
#[doc(hidden)]
pub mod fuzz;
mod six;

pub use address::Subnet;
pub use six::Subnet6;
