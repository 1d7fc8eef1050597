//! Users, groups, roles, keys and sessions: the rows in which they are kept, and the lookup by which
//! the gateway learns who is asking and what they may do.
//!
//! The crate stands below the services `iam` and `sts`, which are two ways to one set of rows: IAM
//! makes users and roles, STS makes sessions of them.
//!
//! Invariants:
//! - Names are unique in their account without regard to case, as in AWS; keys are in lower case.
//! - Every change to what a lookup of an account can see draws a new stamp ([`touch`]) after the
//!   change. What [`Directory`] caches is good for one stamp, so a revoked key is refused by the
//!   first transaction that sees the revocation, and nothing read in a transaction that was never
//!   committed can be taken for the truth later.
//! - Secrets and session tokens are in no `Debug` output of this crate's own types.
//!
//! Deliberately absent: the AWS API itself, and the check of passwords, which nothing asks for yet.

mod account;
mod devices;
mod forget;
mod ids;
mod lookup;
mod managed;
mod rows;
mod session;
#[cfg(test)]
mod tests;
mod trust;
mod uses;

pub use account::*;
pub use devices::*;
pub use forget::forget_account;
pub use ids::{Kind, access_key_account, new_access_key_id, new_secret, new_unique_id};
pub use lookup::Directory;
pub use managed::{MANAGED, ManagedPolicy, managed};
pub use rows::*;
pub use session::{NewSession, issue};
pub use trust::{principal_ids, principals_for, principals_now, trust_now};
pub use uses::*;
