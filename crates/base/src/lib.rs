//! The vocabulary of every other crate: accounts, regions and ARNs, time, chance, identifiers,
//! limits, and the percent-encoding that signatures, keys and listings share.
//!
//! Invariants: nothing here does I/O, reads the environment or asks the operating system for the
//! time or for chance. Those come in through [`Clock`] and [`Entropy`].
//!
//! Deliberately absent: HTTP, serde, tokio.

mod account;
mod arn;
mod clock;
mod entropy;
#[doc(hidden)]
pub mod fuzz;
pub mod hex;
pub mod limits;
pub mod noise;
pub mod percent;
mod timestamp;

pub use account::{AccountId, Partition, Region};
pub use arn::Arn;
pub use clock::{Clock, ClockShift, ManualClock, ShiftedClock};
pub use entropy::{Entropy, SeededEntropy};
pub use timestamp::{Timestamp, TimestampError};
