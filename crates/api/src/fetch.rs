//! What lies at a URL somewhere else. Services know no sockets: whoever wires them says how.

use std::pin::Pin;

/// What a URL answered, or why not.
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;

/// Gets what is at a URL. Bounded in time and size; `thumbprints` are the SHA-1 digests, in hex, of
/// certificates that are trusted beside the usual ones.
pub trait Fetch: Send + Sync + 'static {
    fn fetch<'a>(&'a self, url: &'a str, thumbprints: &'a [String]) -> Fetched<'a>;
}

/// Fetches nothing: for a world without a network.
#[derive(Clone, Copy, Debug)]
pub struct NoFetch;

impl Fetch for NoFetch {
    fn fetch<'a>(&'a self, _: &'a str, _: &'a [String]) -> Fetched<'a> {
        Box::pin(async { Err("nothing can be fetched here".to_owned()) })
    }
}
