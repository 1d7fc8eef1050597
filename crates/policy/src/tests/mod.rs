//! Tests that span the crate: what AWS's documentation says, what is no policy, and random policies
//! against a second evaluator.

mod conditions;
mod logic;
mod malformed;
mod random;
