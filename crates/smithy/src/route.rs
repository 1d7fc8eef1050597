//! Finds the operation that a request of a REST protocol means.

use std::fmt;
use std::sync::OnceLock;

/// The lazily made part of a [`crate::model::ServiceModel`].
#[derive(Default)]
pub struct Routes(OnceLock<()>);

impl Routes {
    pub const fn new() -> Routes {
        Routes(OnceLock::new())
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routes").field(&self.0.get().is_some()).finish()
    }
}
