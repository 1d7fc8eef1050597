//! A repository of another registry, over HTTP.

pub mod auth;
pub mod http;

use self::auth::Challenge;
use self::http::{Asked, Http, Outgoing, absolute, read};
use ::http::{Method, Response, StatusCode};
use bytes::Bytes;
use engine::{Error, Kind};
use hyper::body::Incoming;
use oci::manifest::{DOCKER_LIST, DOCKER_MANIFEST, MANIFEST_BYTES_MAX, OCI_INDEX, OCI_MANIFEST};
use oci::{Digest, Reference};
use parking_lot::Mutex;
use serde::Deserialize;

const ERROR_BYTES_MAX: usize = 64 * 1024;

/// As a client of Docker's API sends them.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default)]
pub struct Credentials {
    pub username: String,
    pub password: String,
    #[serde(rename = "identitytoken")]
    pub identity_token: String,
    #[serde(rename = "serveraddress")]
    pub server_address: String,
}

/// Where a registry is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin(String);

impl Origin {
    /// This machine's own speak plainly; others over TLS.
    pub fn of(domain: &str) -> Origin {
        let domain = match domain {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        let host = match domain.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => domain.rsplit_once(':').map_or(domain, |(host, _)| host),
        };
        let scheme = if is_local(host) { "http" } else { "https" };
        Origin(format!("{scheme}://{domain}"))
    }

    /// As somebody said it.
    pub(crate) fn given(url: &str) -> Origin {
        Origin(url.to_owned())
    }

    /// One of this machine may speak TLS all the same, which it is asked.
    pub(crate) async fn settled(self, http: &Http) -> Origin {
        match self.0.strip_prefix("http://") {
            Some(domain) if http.speaks_tls(domain).await => Origin(format!("https://{domain}")),
            _ => self,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Of this machine's loopback.
pub(crate) fn is_local(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A repository, with what its registry was shown so far.
#[derive(Debug)]
pub struct Remote {
    http: Http,
    origin: Origin,
    pub name: String,
    credentials: Credentials,
    scope: String,
    authorization: Mutex<Option<String>>,
}

/// A manifest as it came.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

impl Remote {
    pub fn new(
        http: Http,
        origin: Origin,
        name: &str,
        credentials: Credentials,
        pushes: bool,
    ) -> Remote {
        let actions = if pushes { "pull,push" } else { "pull" };
        let scope = format!("repository:{name}:{actions}");
        let name = name.to_owned();
        Remote { http, origin, name, credentials, scope, authorization: Mutex::default() }
    }

    pub async fn of(
        http: Http,
        reference: &Reference,
        credentials: Credentials,
        pushes: bool,
    ) -> Remote {
        let origin = Origin::of(&reference.domain).settled(&http).await;
        Remote::new(http, origin, &reference.path, credentials, pushes)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v2/{}{path}", self.origin.0, self.name)
    }

    /// Sends, and once more with what the registry wanted to see.
    async fn call(&self, asked: &Asked) -> Result<Response<Incoming>, Error> {
        let before = self.authorization.lock().clone();
        let response = self.http.send(asked, before.as_deref(), Outgoing::Empty).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let Some(challenge) = Challenge::of(response.headers()) else { return Ok(response) };
        let value = auth::answer(&self.http, &challenge, &self.credentials, &self.scope).await?;
        if before.as_ref() == Some(&value) {
            return Ok(response);
        }
        *self.authorization.lock() = Some(value.clone());
        self.http.send(asked, Some(&value), Outgoing::Empty).await
    }

    /// Whether the registry takes the credentials.
    pub async fn check(&self) -> Result<(), Error> {
        let asked = Asked::get(format!("{}/v2/", self.origin.0));
        let response = self.call(&asked).await?;
        match response.status() {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::new(
                Kind::Unauthorized,
                format!(
                    "Get {:?}: unauthorized: incorrect username or password",
                    format!("{}/v2/", self.origin.0)
                ),
            )),
            status => Err(Error::failed(format!(
                "login attempt to {}/v2/ failed with status: {status}",
                self.origin.0
            ))),
        }
    }

    pub async fn manifest(&self, reference: &str) -> Result<Fetched, Error> {
        let accept = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST].join(", ");
        let asked = Asked::get(self.url(&format!("/manifests/{reference}")));
        let response = self.call(&asked.header("accept", accept)).await?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let text = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let media_type = text("content-type").unwrap_or_default();
        let bytes = read(response, MANIFEST_BYTES_MAX).await?;
        let digest = Digest::of(&bytes);
        if Digest::parse(reference).is_some_and(|wanted| wanted != digest) {
            let text = format!("manifest verification failed for digest {reference}");
            return Err(Error::failed(text));
        }
        Ok(Fetched { digest, media_type, bytes })
    }

    /// A blob from some byte on; where that begins says whether the registry did as asked.
    pub async fn blob(&self, digest: &Digest, from: u64) -> Result<Response<Incoming>, Error> {
        let mut asked = Asked::get(self.url(&format!("/blobs/{digest}")));
        if from > 0 {
            asked = asked.header("range", format!("bytes={from}-"));
        }
        let response = self.call(&asked).await?;
        match response.status() {
            status if status.is_success() => Ok(response),
            _ => Err(refused(response).await),
        }
    }

    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let url = self.url(&format!("/blobs/{digest}"));
        let response = self.call(&Asked { method: Method::HEAD, ..Asked::get(url) }).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refused(response).await),
        }
    }

    /// In one piece.
    pub async fn put_blob(
        &self,
        digest: &Digest,
        size: u64,
        outgoing: Outgoing,
    ) -> Result<(), Error> {
        let begin = self.url("/blobs/uploads/");
        let response = self.call(&Asked { method: Method::POST, ..Asked::get(&begin) }).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(refused(response).await);
        }
        let location = response.headers().get("location").and_then(|l| l.to_str().ok());
        let location = location.ok_or_else(|| Error::failed("the registry names no place"))?;
        let place = absolute(&begin, location)?;
        let glue = if place.contains('?') { '&' } else { '?' };
        let asked =
            Asked { method: Method::PUT, ..Asked::get(format!("{place}{glue}digest={digest}")) };
        let asked = asked
            .header("content-type", "application/octet-stream")
            .header("content-length", size.to_string());
        let authorization = self.authorization.lock().clone();
        let response = self.http.send(&asked, authorization.as_deref(), outgoing).await?;
        match response.status() {
            StatusCode::CREATED => Ok(()),
            _ => Err(refused(response).await),
        }
    }

    pub async fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), Error> {
        let url = self.url(&format!("/manifests/{reference}"));
        let asked = Asked { method: Method::PUT, ..Asked::get(url) }
            .header("content-type", media_type)
            .header("content-length", bytes.len().to_string());
        let authorization = self.authorization.lock().clone();
        let out = Outgoing::Whole(bytes);
        let response = self.http.send(&asked, authorization.as_deref(), out).await?;
        match response.status().is_success() {
            true => Ok(()),
            false => Err(refused(response).await),
        }
    }

    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut all = Vec::new();
        let mut next = Some(self.url("/tags/list"));
        while let Some(url) = next.take() {
            let response = self.call(&Asked::get(&url)).await?;
            if !response.status().is_success() {
                return Err(refused(response).await);
            }
            let link = response.headers().get("link").and_then(|l| l.to_str().ok());
            let link = link.and_then(|link| link.strip_prefix('<')?.split('>').next());
            next = link.map(|link| absolute(&url, link)).transpose()?;
            let bytes = read(response, MANIFEST_BYTES_MAX).await?;
            let page: Page = serde_json::from_slice(&bytes)
                .map_err(|error| Error::failed(format!("the tags are not understood: {error}")))?;
            let page = page.tags.unwrap_or_default();
            if page.is_empty() {
                break;
            }
            all.extend(page);
            if all.len() > 100_000 {
                return Err(Error::failed("the repository has too many tags"));
            }
        }
        Ok(all)
    }
}

/// The registry's own words.
async fn refused(response: Response<Incoming>) -> Error {
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    #[derive(Deserialize)]
    struct Errors {
        #[serde(default)]
        errors: Vec<One>,
    }
    let status = response.status();
    let kind = match status {
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::NOT_FOUND => Kind::NotFound,
        _ => Kind::Failed,
    };
    let bytes = read(response, ERROR_BYTES_MAX).await.unwrap_or_default();
    let parsed = serde_json::from_slice::<Errors>(&bytes).ok();
    let text: Vec<String> = parsed
        .iter()
        .flat_map(|errors| &errors.errors)
        .map(|one| {
            let code = one.code.to_ascii_lowercase().replace('_', " ");
            if one.message.is_empty() { code } else { format!("{code}: {}", one.message) }
        })
        .collect();
    match text.is_empty() {
        true => Error::new(kind, format!("received unexpected HTTP status: {status}")),
        false => Error::new(kind, text.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for (domain, expected) in [
            ("docker.io", "https://registry-1.docker.io"),
            ("localhost:5000", "http://localhost:5000"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("[::1]:1", "http://[::1]:1"),
            ("quay.io", "https://quay.io"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000"),
        ] {
            assert_eq!(Origin::of(domain).0, expected);
        }
    }
}
