//! What the engine does with registries, and how it tells of it.

use crate::client::http::Http;
use crate::client::{Credentials, Fetched, Origin, Remote};
use crate::local::{Local, LocalRepository};
use bytes::Bytes;
use engine::{Engine, Error, Kind};
use oci::{Digest, Reference};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pulls and pushes for an engine.
#[derive(Clone, Debug)]
pub struct Client {
    pub engine: Engine,
    pub http: Http,
    pub local: Option<Local>,
}

/// Documents of a stream of progress, as Docker has them.
#[derive(Clone, Debug)]
pub struct Progress(pub mpsc::Sender<Bytes>);

impl Progress {
    pub async fn document(&self, value: &impl Serialize) {
        let _ = self.0.send(line(value)).await;
    }

    pub async fn status(&self, id: &str, status: &str) {
        self.document(&message(id, status)).await;
    }

    pub fn status_blocking(&self, id: &str, status: &str) {
        let _ = self.0.blocking_send(line(&message(id, status)));
    }

    pub async fn amount(&self, id: &str, status: &str, current: u64, total: u64) {
        let detail = serde_json::json!({ "current": current, "total": total });
        self.document(&serde_json::json!({ "status": status, "progressDetail": detail, "id": id }))
            .await;
    }

    pub async fn error(&self, error: &Error) {
        let detail = serde_json::json!({ "message": error.text });
        self.document(&serde_json::json!({ "errorDetail": detail, "error": error.text })).await;
    }

    /// Whether nobody listens any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

fn message(id: &str, status: &str) -> serde_json::Value {
    match id {
        "" => serde_json::json!({ "status": status }),
        id => serde_json::json!({ "status": status, "progressDetail": {}, "id": id }),
    }
}

fn line(value: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.extend_from_slice(b"\r\n");
    bytes.into()
}

/// The repository that a name stands for.
pub(crate) enum Side {
    Http(Arc<Remote>),
    Local(Arc<LocalRepository>),
}

impl Side {
    pub async fn manifest(&self, reference: &str) -> Result<Fetched, Error> {
        match self {
            Side::Http(remote) => remote.manifest(reference).await,
            Side::Local(local) => local.manifest(reference).await,
        }
    }

    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        match self {
            Side::Http(remote) => remote.tags().await,
            Side::Local(local) => local.tags(),
        }
    }
}

impl Client {
    pub(crate) fn side(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        pushes: bool,
    ) -> Result<Side, Error> {
        if let Some(local) = self.local.as_ref().filter(|local| local.is_own(&reference.domain)) {
            let action = if pushes { "ecr:InitiateLayerUpload" } else { "ecr:BatchGetImage" };
            let repository = local.repository(reference, credentials, action)?;
            return Ok(Side::Local(Arc::new(repository)));
        }
        let remote = Remote::of(self.http.clone(), reference, credentials.clone(), pushes);
        Ok(Side::Http(Arc::new(remote)))
    }

    /// `docker login`: whether the registry takes a name and a password.
    pub async fn login(&self, credentials: &Credentials) -> Result<(), Error> {
        let server = credentials.server_address.as_str();
        let domain = match server {
            "" | "https://index.docker.io/v1/" => "docker.io",
            server => {
                let bare = server.split("://").last().unwrap_or_default();
                bare.split('/').next().unwrap_or_default()
            }
        };
        if let Some(local) = self.local.as_ref().filter(|local| local.is_own(domain)) {
            return local.access(credentials).map(|_| ()).map_err(|error| {
                let text = format!("Get \"http://{domain}/v2/\": {}", error.text);
                Error::new(Kind::Unauthorized, text)
            });
        }
        let origin = Origin::of(domain);
        Remote::new(self.http.clone(), origin, "", credentials.clone(), false).check().await
    }

    /// What a name stands for in its registry.
    pub async fn inspect(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<Fetched, Error> {
        let side = self.side(reference, credentials, false)?;
        side.manifest(&wanted(reference)).await.map_err(|error| not_there(error, reference))
    }
}

/// A digest says more than a tag.
pub(crate) fn wanted(reference: &Reference) -> String {
    match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => oci::reference::DEFAULT_TAG.to_owned(),
    }
}

/// In the words of Docker.
pub(crate) fn not_there(error: Error, reference: &Reference) -> Error {
    let name = reference.familiar_name();
    match error.kind {
        Kind::NotFound if error.text.starts_with("name unknown") => denied(&name, &error.text),
        Kind::NotFound => Error::not_found(format!(
            "manifest for {} not found: {}",
            reference.familiar(),
            error.text
        )),
        Kind::Unauthorized | Kind::Forbidden => denied(&name, &error.text),
        _ => error,
    }
}

fn denied(name: &str, text: &str) -> Error {
    Error::not_found(format!(
        "pull access denied for {name}, repository does not exist or may require 'docker login': \
         {text}"
    ))
}

pub(crate) fn short(digest: &Digest) -> String {
    digest.hex().get(..12).unwrap_or_default().to_owned()
}
