//! Names of containers, answered at 127.0.0.11 inside of those in networks of the user's own.

use crate::container::Container;
use crate::engine::Engine;
use rustix::fd::OwnedFd;
use std::sync::Arc;

impl Engine {
    pub(super) fn begin_resolver(&self, _container: &Arc<Container>, _namespace: Option<&OwnedFd>) {
    }

    pub(super) fn end_resolver(&self, _container: &Arc<Container>) {}
}
