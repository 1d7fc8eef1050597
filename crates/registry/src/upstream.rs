//! Repositories that are copies of another registry's: what is not here is fetched when it is asked for, kept, and
//! given. A tag is asked for each time; where the other registry does not answer, what is here counts.
//!
//! Invariants: a blob is kept only after all of it was read and compared; who may not import gets nothing but
//! what is here.

use crate::answer::Refusal;
use crate::blobs::{Made, link};
use crate::client::http::Http;
use crate::client::{Origin, Remote};
use crate::door::{Registry, Repository};
use crate::manifests::parse;
use crate::path;
use crate::transfer::Mirror;
use crate::uploads::BLOB_BYTES_MAX;
use engine::Kind;
use http_body_util::BodyExt;
use oci::Digest;
use oci::digest::Hasher;
use std::time::Duration;

/// What it takes to have something fetched.
pub(crate) const IMPORT: &str = "ecr:BatchImportUpstreamImage";
/// For the next piece of a blob.
const PIECE: Duration = Duration::from_secs(60);

/// Repositories below a name, and where they come from.
#[derive(Clone, Debug)]
pub struct Upstream {
    name: String,
    from: Mirror,
    http: Option<Http>,
}

impl Upstream {
    /// `docker.io=https://registry-1.docker.io`; the URL may hold a key.
    pub fn parse(text: &str) -> Option<Upstream> {
        let (name, url) = text.split_once('=')?;
        let from = Mirror::parse(url).filter(|_| path::is_name(name))?;
        Some(Upstream { name: name.to_owned(), from, http: None })
    }

    /// Without its key.
    pub fn shown(&self) -> String {
        format!("{}={}", self.name, self.from.url())
    }

    /// How it is asked.
    #[must_use]
    pub fn over(self, http: &Http) -> Upstream {
        Upstream { http: Some(http.clone()), ..self }
    }

    fn remote(&self, repository: &str) -> Option<Remote> {
        let inner = repository.strip_prefix(&self.name)?.strip_prefix('/')?;
        let origin = Origin::given(self.from.url());
        let key = self.from.credentials().clone();
        Some(Remote::new(self.http.clone()?, origin, inner, key, false))
    }
}

fn unreachable(error: &engine::Error) -> Refusal {
    Refusal::new(502, "UNKNOWN", format!("the registry that it is a copy of: {}", error.text))
}

impl Registry {
    /// Whether a repository is a copy.
    pub(crate) fn is_copy(&self, name: &str) -> bool {
        self.remote(name).is_some()
    }

    fn remote(&self, name: &str) -> Option<Remote> {
        self.upstreams.iter().find_map(|upstream| upstream.remote(name))
    }

    /// Has a manifest here that the other registry has.
    pub(crate) async fn fetch_manifest(
        &self,
        repository: &Repository,
        reference: &str,
    ) -> Result<(), Refusal> {
        let Some(remote) = self.remote(&repository.name) else { return Ok(()) };
        let digest = path::digest(reference);
        let known = self.resolve(repository, reference).is_ok();
        if digest.is_some() && known {
            return Ok(());
        }
        let fetched = match remote.manifest(reference).await {
            Ok(fetched) => fetched,
            Err(error) if known => {
                tracing::info!(%error, reference, "what is here counts");
                return Ok(());
            }
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Unauthorized) => {
                return Err(Refusal::manifest_unknown(reference));
            }
            Err(error) => return Err(unreachable(&error)),
        };
        let parsed = parse(&fetched.bytes, Some(&fetched.media_type))?;
        let tag = Some(reference).filter(|_| digest.is_none());
        self.store_manifest(repository, &parsed, fetched.bytes, tag, true).await
    }

    /// Has a blob here that the other registry has.
    pub(crate) async fn fetch_blob(
        &self,
        repository: &Repository,
        digest: &str,
    ) -> Result<(), Refusal> {
        let Some(remote) = self.remote(&repository.name) else { return Ok(()) };
        if self.blob(repository, digest).is_ok() {
            return Ok(());
        }
        let wanted = Digest::parse(digest).ok_or_else(|| Refusal::blob_unknown(digest))?;
        let response = match remote.blob(&wanted, 0).await {
            Ok(response) => response,
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Unauthorized) => {
                return Err(Refusal::blob_unknown(digest));
            }
            Err(error) => return Err(unreachable(&error)),
        };
        let too_large = || Refusal::new(502, "SIZE_INVALID", "the blob is too large");
        let announced = http_body::Body::size_hint(response.body()).lower();
        if announced > BLOB_BYTES_MAX {
            return Err(too_large());
        }
        let mut body = response.into_body();
        let mut writer = self.store.blobs().writer(None);
        let (mut hasher, mut size) = (Hasher::default(), 0u64);
        let broke = |text: String| unreachable(&engine::Error::failed(text));
        loop {
            let next = tokio::time::timeout(PIECE, body.frame()).await;
            let next = next.map_err(|_| broke("it stopped in the middle of a blob".to_owned()))?;
            let Some(frame) = next else { break };
            let Ok(data) = frame.map_err(|error| broke(error.to_string()))?.into_data() else {
                continue;
            };
            hasher.update(&data);
            size += data.len() as u64;
            if size > BLOB_BYTES_MAX {
                return Err(too_large());
            }
            writer.write(&data).await?;
        }
        if hasher.finish() != wanted {
            return Err(broke(format!("the blob is not {digest}")));
        }
        let made = Made::Pinned(Vec::new(), Some(writer.finish().await?));
        self.store.write(|tx| link(tx, repository, digest, size, &made)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_copy_is_called() {
        let upstream = Upstream::parse("docker.io=https://id:secret@registry-1.docker.io").unwrap();
        assert_eq!(upstream.shown(), "docker.io=https://registry-1.docker.io");
        let upstream = upstream.over(&Http::new(Vec::new).unwrap());
        let remote = upstream.remote("docker.io/library/busybox").unwrap();
        assert_eq!(remote.name, "library/busybox");
        for other in ["docker.io", "docker.iox/a", "library/busybox", "docker.io/"] {
            let named = upstream.remote(other).map(|remote| remote.name);
            assert!(named.is_none_or(|name| name.is_empty()), "{other}");
        }
        for bad in ["", "a", "a=b", "=http://a", "A=http://a", "a=http://a/b", "a/=http://a"] {
            assert!(Upstream::parse(bad).is_none(), "{bad}");
        }
    }
}
