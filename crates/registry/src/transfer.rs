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
    /// Asked before Docker Hub is, in this order.
    pub mirrors: Vec<Mirror>,
}

/// A registry that has images of Docker Hub.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mirror {
    /// `https://host:port`.
    url: String,
    domain: String,
    credentials: Credentials,
}

impl Mirror {
    /// `http://host:port`, or with a key: `https://ID:SECRET@host`.
    pub fn parse(text: &str) -> Option<Mirror> {
        let (scheme, rest) = text.trim_end_matches('/').split_once("://")?;
        let (user, domain) =
            rest.rsplit_once('@').map_or(("", rest), |(user, domain)| (user, domain));
        let is_name = !domain.is_empty() && !domain.contains(['/', ' ', '?', '#']);
        if !matches!(scheme, "http" | "https") || !is_name {
            return None;
        }
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        let credentials = Credentials {
            username: username.to_owned(),
            password: password.to_owned(),
            ..Credentials::default()
        };
        let url = format!("{scheme}://{domain}");
        Some(Mirror { url, domain: domain.to_owned(), credentials })
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Without its key.
    pub fn url(&self) -> &str {
        &self.url
    }
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
    /// Where an image may be had, in the order in which they are asked.
    pub(crate) async fn sides(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<Vec<Side>, Error> {
        let mut all = Vec::new();
        let mirrors =
            self.mirrors.iter().filter(|_| reference.domain == oci::reference::DEFAULT_DOMAIN);
        for mirror in mirrors {
            if let Some(local) = self.local.as_ref().filter(|local| local.is_own(&mirror.domain)) {
                let action = "ecr:BatchGetImage";
                let repository = local.repository(reference, &mirror.credentials, action);
                all.extend(repository.ok().map(|one| Side::Local(Arc::new(one))));
                continue;
            }
            let (http, origin) = (self.http.clone(), Origin::given(&mirror.url));
            let key = mirror.credentials.clone();
            let remote = Remote::new(http, origin, &reference.path, key, false);
            all.push(Side::Http(Arc::new(remote)));
        }
        all.push(self.side(reference, credentials, false).await?);
        Ok(all)
    }

    pub(crate) async fn side(
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
        let remote = Remote::of(self.http.clone(), reference, credentials.clone(), pushes).await;
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
        let origin = Origin::of(domain).settled(&self.http).await;
        Remote::new(self.http.clone(), origin, "", credentials.clone(), false).check().await
    }

    /// What a name stands for in its registry.
    pub async fn inspect(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<Fetched, Error> {
        let mut sides = self.sides(reference, credentials).await?;
        let last = sides.pop();
        for side in sides {
            if let Ok(fetched) = side.manifest(&wanted(reference)).await {
                return Ok(fetched);
            }
        }
        let last = last.ok_or_else(|| Error::failed("there is no such registry"))?;
        last.manifest(&wanted(reference)).await.map_err(|error| not_there(error, reference))
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
