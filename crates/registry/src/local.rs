//! The registry of this cloud, asked by the engine of this cloud: no socket, and no bytes that are
//! here already.

use crate::answer::Refusal;
use crate::blobs::{Made, link};
use crate::client::{Credentials, Fetched};
use crate::door::{Registry, Repository};
use crate::manifests::parse;
use crate::rows::TAGS;
use crate::upstream::IMPORT;
use api::{ByteStream, RegistryAccess, RegistryKeys};
use bytes::Bytes;
use engine::{Error, Kind};
use oci::{Digest, Reference};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use store::{Scope, StoreError};

/// How the engine finds it.
#[derive(Clone)]
pub struct Local {
    pub registry: Arc<Registry>,
    pub keys: Arc<dyn RegistryKeys>,
    /// Where this cloud answers on this machine.
    pub ports: Vec<u16>,
    pub host_names: Vec<String>,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Local")
    }
}

/// A repository of it, for somebody.
pub(crate) struct LocalRepository {
    registry: Arc<Registry>,
    access: Box<dyn RegistryAccess>,
    repository: Repository,
}

fn failed(refusal: Refusal) -> Error {
    let kind = match refusal.status {
        401 => Kind::Unauthorized,
        403 => Kind::Forbidden,
        404 => Kind::NotFound,
        400 => Kind::Invalid,
        507 | 429 => Kind::Unavailable,
        _ => Kind::Failed,
    };
    let code = refusal.code.to_ascii_lowercase().replace('_', " ");
    Error::new(kind, format!("{code}: {}", refusal.message))
}

impl Local {
    /// Whether a name leads to this very cloud.
    pub fn is_own(&self, domain: &str) -> bool {
        let (host, port) = match domain.strip_prefix('[') {
            Some(rest) => match rest.split_once("]:") {
                Some((host, port)) => (host, port),
                None => return false,
            },
            None => match domain.rsplit_once(':') {
                Some((host, port)) => (host, port),
                None => return false,
            },
        };
        let is_here = host == "localhost"
            || self.host_names.iter().any(|own| own == host)
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        is_here && port.parse().is_ok_and(|port| self.ports.contains(&port))
    }

    /// Whoever has the Docker socket may do what the owner of the machine may; who gives a key, what
    /// that key may.
    pub(crate) fn access(
        &self,
        credentials: &Credentials,
    ) -> Result<Box<dyn RegistryAccess>, Error> {
        match credentials.username.is_empty() {
            true => Ok(self.keys.owner()),
            false => self
                .keys
                .by_secret(&credentials.username, &credentials.password)
                .map_err(|why| Error::new(Kind::Unauthorized, format!("unauthorized: {why}"))),
        }
    }

    pub(crate) fn repository(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        action: &str,
    ) -> Result<LocalRepository, Error> {
        let access = self.access(credentials)?;
        let refused = |why: String| Error::new(Kind::Forbidden, format!("denied: {why}"));
        let caller = access.by_secret("", "").map_err(refused)?;
        let account = access.allow(&caller, action, &reference.path).map_err(refused)?;
        let repository = Repository { account, name: reference.path.clone(), caller };
        Ok(LocalRepository { registry: self.registry.clone(), access, repository })
    }
}

impl LocalRepository {
    fn allow(&self, action: &str) -> Result<(), Error> {
        let allowed = self.access.allow(&self.repository.caller, action, &self.repository.name);
        allowed.map(|_| ()).map_err(|why| Error::new(Kind::Forbidden, format!("denied: {why}")))
    }

    pub async fn manifest(&self, reference: &str) -> Result<Fetched, Error> {
        self.allow("ecr:BatchGetImage")?;
        if self.registry.is_copy(&self.repository.name) && self.allow(IMPORT).is_ok() {
            let fetched = self.registry.fetch_manifest(&self.repository, reference).await;
            fetched.map_err(failed)?;
        }
        let (digest, row) = self.registry.resolve(&self.repository, reference).map_err(failed)?;
        let bytes = self.registry.manifest_content(&row).await.map_err(failed)?;
        let digest = Digest::parse(&digest).ok_or_else(|| Error::failed("a digest is damaged"))?;
        Ok(Fetched { digest, media_type: row.media_type, bytes })
    }

    pub async fn blob(
        &self,
        digest: &Digest,
        from: u64,
    ) -> Result<Pin<Box<dyn ByteStream>>, Error> {
        self.allow("ecr:GetDownloadUrlForLayer")?;
        if self.registry.is_copy(&self.repository.name) && self.allow(IMPORT).is_ok() {
            let fetched = self.registry.fetch_blob(&self.repository, &digest.to_string()).await;
            fetched.map_err(failed)?;
        }
        let blob = self.registry.blob(&self.repository, &digest.to_string());
        let (row, content) = blob.map_err(failed)?;
        Ok(self.registry.flow(content, from.min(row.size)..row.size))
    }

    pub fn tags(&self) -> Result<Vec<String>, Error> {
        self.allow("ecr:ListImages")?;
        let scope = Scope::Account(self.repository.account);
        let name = self.repository.name.as_str();
        let tags = self.registry.store.read(|tx| {
            let keys = tx.scan(&TAGS, &scope).prefix(&(name,)).keys();
            keys.map(|key| Ok(key?.1)).collect::<Result<Vec<String>, StoreError>>()
        });
        Ok(tags?)
    }

    /// Names a layer of the engine as a blob.
    pub async fn name_layer(&self, diff_id: &Digest, key: &str, size: u64) -> Result<(), Error> {
        self.allow("ecr:CompleteLayerUpload")?;
        let digest = diff_id.to_string();
        let made = Made::Layer(key.to_owned());
        let linked = self
            .registry
            .store
            .write(|tx| link(tx, &self.repository, &digest, size, &made))
            .await?;
        match linked {
            true => Ok(()),
            false => Err(Error::failed("a layer was removed meanwhile; try again")),
        }
    }

    pub async fn put_config(&self, bytes: Bytes) -> Result<(), Error> {
        self.allow("ecr:CompleteLayerUpload")?;
        let size = bytes.len() as u64;
        let digest = Digest::of(&bytes).to_string();
        let mut writer = self.registry.store.blobs().writer(Some(size));
        writer.write(&bytes).await?;
        let made = Made::Pinned(Vec::new(), Some(writer.finish().await?));
        self.registry.store.write(|tx| link(tx, &self.repository, &digest, size, &made)).await?;
        Ok(())
    }

    pub async fn put_manifest(
        &self,
        tag: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), Error> {
        self.allow("ecr:PutImage")?;
        let parsed = parse(&bytes, Some(media_type)).map_err(failed)?;
        self.registry
            .store_manifest(&self.repository, &parsed, bytes, Some(tag), false)
            .await
            .map_err(failed)
    }
}
