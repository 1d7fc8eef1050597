//! The IAM policy language: documents, their validation with AWS's texts, and the evaluator that
//! decides whether a principal may perform an action on a resource.
//!
//! Invariants:
//! - An explicit deny in any layer beats every allow. Without an allow the answer is a refusal.
//! - Whatever cannot be known never widens access: an unresolved policy variable matches nothing in
//!   a positive element, and in a negated one (`NotResource`, `StringNotEquals`) it holds for `Deny`
//!   only. A condition value that cannot be read matches nothing.
//! - Matching takes time proportional to pattern times text at most; reading is bounded in size and
//!   nesting. A parsed [`Policy`] is immutable and is meant to be shared by `Arc`.
//! - The crate asks nobody for anything: time, addresses and tags come in through [`Context`].
//!
//! Deliberately absent: where policies are kept, which principals exist, ACLs, and the table of
//! which action takes which resource type (services own those).

mod arn_pattern;
mod bucket;
mod check;
mod condition;
mod context;
mod document;
mod error;
mod evaluate;
mod evaluated;
mod explain;
pub mod fuzz;
mod json;
mod pattern;
mod principal;
mod refusal;
mod statement;
#[cfg(test)]
mod tests;
mod texts;

pub use context::{Context, Value};
pub use document::{Kind, POLICY_TEXT_BYTES_MAX, Policy};
pub use error::PolicyError;
pub use evaluate::{
    By, Decision, Layer, Named, Outcome, Policies, Request, ResourceRole, evaluate,
};
pub use explain::{Explained, Missed, explain};
pub use principal::{Principal, PrincipalKind, Who};
pub use statement::{Effect, Statement};
pub use texts::{Foreign, Place, foreign_partition, replace_principals, statement_places};
