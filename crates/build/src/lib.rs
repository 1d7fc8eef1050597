//! The classic builder: a Dockerfile's instructions one after the other, an image after each.
//!
//! [`prepare`] takes in a context and parses the Dockerfile; what is wrong so far is the request's
//! answer. [`Build::run`] does the steps and tells of them as Docker does.
//!
//! Invariants: whatever a context or an archive says is looked up beneath a root of ours; what a build
//! has not finished is in the scratch folder, in layers without a row or in containers that bear
//! [`engine::container::BUILD`], and so is gone after the next start at the latest; an image is used
//! from the cache if it was made of the same parent by the same words.
//!
//! Builds by BuildKit ([`Options::kit`]) go the same way, and may do more: stages that nobody needs are
//! skipped, and steps mount caches, secrets and files of elsewhere. What BuildKit speaks is not known
//! here.

mod args;
mod builder;
mod cache;
mod caches;
mod change;
mod context;
mod copy;
mod kit;
mod metadata;
mod mounts;
mod options;
mod output;
mod run;
mod sources;
mod squash;
mod state;
pub mod tree;

pub use builder::{Build, check_platform, prepare, prepare_kit, read_dockerfile, remote};
pub use caches::{Cache, Caches};
pub use change::change;
pub use context::{Context, clean};
pub use options::{Kit, Named, Options, tags};
pub use output::{Event, Output};

use engine::Error;
use std::fs::File;
use std::future::Future;
use std::pin::Pin;

/// What a builder gets from elsewhere.
pub trait Outside: Send + Sync + 'static {
    /// Gets an image from its registry, and tells of it.
    fn pull<'a>(&'a self, image: &'a str, output: &'a Output) -> Waiting<'a, ()>;

    /// Downloads into a file without a name.
    fn download<'a>(&'a self, url: &'a str) -> Waiting<'a, Download>;

    /// A secret of the client; `None` if it has none of this name.
    fn secret<'a>(&'a self, _id: &'a str) -> Waiting<'a, Option<Vec<u8>>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

pub type Waiting<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

#[derive(Debug)]
pub struct Download {
    pub file: File,
    /// Seconds since 1970, if the server says so.
    pub modified: Option<i64>,
}
