//! What a service's jobs have besides the transaction that they run in.

use crate::Door;
use base::{Clock, Entropy};
use std::fmt;
use std::sync::Arc;

/// Handed to [`crate::Hooks::jobs`]; a job keeps what it needs of it. The time of a job is that of its
/// transaction: [`store::Tx::now`].
#[derive(Clone)]
pub struct Background {
    pub entropy: Arc<dyn Entropy>,
    /// For contexts in which a job calls another service.
    pub clock: Arc<dyn Clock>,
    pub door: Arc<dyn Door>,
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}
