//! Pull, push, login, search: what leads to registries.

use crate::query::Query;
use crate::reply::{self, Reply};
use crate::route::Call;
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE};
use build::{Download, Output, Outside, Waiting};
use bytes::Bytes;
use engine::{Engine, Error, Kind, blocking};
use http::Request;
use hyper::body::Incoming;
use oci::Reference;
use registry::{Client, Credentials, Progress};
use serde::Serialize;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

const LINES: usize = 64;
const AUTH: &str = "x-registry-auth";
const CONFIG: &str = "x-registry-config";

/// With or without signs at the end that fill it up.
fn decode(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    let url_safe = GeneralPurpose::new(&base64::alphabet::URL_SAFE, config);
    let plain = text.replace('+', "-").replace('/', "_");
    url_safe.decode(plain.trim()).or_else(|_| URL_SAFE.decode(text)).ok()
}

fn header(request: &Request<Incoming>, name: &str) -> Option<String> {
    Some(request.headers().get(name)?.to_str().ok()?.to_owned())
}

/// Who the client says that it is to the registry.
fn credentials(request: &Request<Incoming>) -> Credentials {
    let text = header(request, AUTH).and_then(|text| decode(&text));
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn parse(name: &str) -> Result<Reference, Error> {
    Reference::parse(name).map_err(|error| Error::invalid(error.to_string()))
}

/// `fromImage` with a tag or digest beside it or in it.
fn wanted(query: &Query) -> Result<Reference, Error> {
    let (image, tag) = (query.text("fromImage"), query.text("tag"));
    let text = match tag {
        "" => image.to_owned(),
        digest if digest.starts_with("sha256:") => format!("{image}@{digest}"),
        tag => format!("{image}:{tag}"),
    };
    parse(&text)
}

pub async fn pull(call: Call) -> Reply {
    let reference = wanted(&call.query)?;
    let platform = call.query.text("platform").to_owned();
    let credentials = credentials(&call.request);
    let client = call.docker.registries.clone();
    let all = reference.tag.is_none() && reference.digest.is_none();
    let mut references = vec![reference.clone()];
    if all {
        let tags = client.tags(&reference, &credentials).await?;
        let tagged = |tag: String| Reference { tag: Some(tag), ..reference.clone() };
        references = tags.into_iter().map(tagged).collect();
    }
    let mut pulls = Vec::new();
    // What is not there is said before anything is told.
    if let Some(first) = references.first() {
        pulls.push(client.begin_pull(first, &platform, &credentials).await?);
    }
    let (to, lines) = mpsc::channel(LINES);
    engine::task(async move {
        let progress = Progress(to);
        let result = async {
            for pull in pulls {
                pull.run(&progress).await?;
            }
            for reference in references.iter().skip(1) {
                let pull = client.begin_pull(reference, &platform, &credentials).await?;
                pull.run(&progress).await?;
            }
            Ok(())
        };
        told(result.await, &progress).await;
    });
    reply::json_stream(lines)
}

async fn told(result: Result<(), Error>, progress: &Progress) {
    if let Err(error) = result {
        tracing::info!(target: "docker", error = error.text, "a transfer failed");
        progress.error(&error).await;
    }
}

pub async fn push(call: Call, name: &str) -> Reply {
    let tag = call.query.text("tag").to_owned();
    let mut reference = parse(name)?;
    if reference.digest.is_some() {
        return Err(Error::invalid("cannot push a digest reference"));
    }
    if !tag.is_empty() {
        reference = parse(&format!("{}:{tag}", reference.familiar_name()))?;
    }
    let credentials = credentials(&call.request);
    let client = call.docker.registries.clone();
    let references = tagged(call.engine(), reference).await?;
    let (to, lines) = mpsc::channel(LINES);
    engine::task(async move {
        let progress = Progress(to);
        let repository = references.first();
        let shown = repository.map(|one| format!("{}/{}", one.domain, one.path));
        let text = format!("The push refers to repository [{}]", shown.unwrap_or_default());
        progress.status("", &text).await;
        let result = async {
            for reference in &references {
                client.push(reference, &credentials, &progress).await?;
            }
            Ok(())
        };
        told(result.await, &progress).await;
    });
    reply::json_stream(lines)
}

/// All tags that a name has here; with a tag, that one.
async fn tagged(engine: &Engine, reference: Reference) -> Result<Vec<Reference>, Error> {
    let images = engine.images().clone();
    let name = reference.familiar_name();
    let found = blocking(move || {
        let mut found = Vec::new();
        for tag in images.list()?.iter().flat_map(|image| &image.tags) {
            let Ok(own) = Reference::parse(tag) else { continue };
            let same = own.domain == reference.domain && own.path == reference.path;
            if same && (reference.tag.is_none() || own.tag == reference.tag) {
                found.push(own);
            }
        }
        Ok(found)
    })
    .await?;
    match found.is_empty() {
        true => {
            Err(Error::not_found(format!("An image does not exist locally with the tag: {name}")))
        }
        false => Ok(found),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoggedIn {
    status: &'static str,
    identity_token: &'static str,
}

pub async fn login(call: Call) -> Reply {
    let client = call.docker.registries.clone();
    let credentials: Credentials = call.document().await?;
    client.login(&credentials).await?;
    reply::json(&LoggedIn { status: "Login Succeeded", identity_token: "" })
}

pub async fn search(call: Call) -> Reply {
    let term = call.query.text("term").to_owned();
    if term.is_empty() {
        return Err(Error::invalid("no search term was given"));
    }
    let limit = call.query.number::<usize>("limit")?.unwrap_or(25);
    let filters = crate::filters::Filters::parse(
        call.query.text("filters"),
        &["is-automated", "is-official", "stars"],
    )?;
    let stars: i64 = match filters.get("stars").first() {
        None => 0,
        Some(text) => {
            text.parse().map_err(|_| Error::invalid(format!("invalid filter 'stars={text}'")))?
        }
    };
    let official = filters.flag("is-official")?;
    let credentials = credentials(&call.request);
    let mut found = call.docker.registries.search(&term, limit, &credentials).await?;
    found.retain(|one| {
        one.star_count >= stars && official.is_none_or(|official| one.is_official == official)
    });
    reply::json(&found)
}

/// `/distribution/NAME/json`
pub async fn distribution(call: Call, name: &str) -> Reply {
    let reference = parse(name)?.with_default_tag();
    let credentials = credentials(&call.request);
    let manifest = call.docker.registries.inspect(&reference, &credentials).await?;
    let document: serde_json::Value = serde_json::from_slice(&manifest.bytes)
        .map_err(|error| Error::failed(format!("the manifest is not understood: {error}")))?;
    let listed = document["manifests"].as_array().cloned().unwrap_or_default();
    let platforms: Vec<serde_json::Value> = listed
        .iter()
        .filter_map(|one| one.get("platform").cloned())
        .filter(|platform| !platform.is_null())
        .collect();
    let own = serde_json::json!({ "architecture": engine::image::architecture(), "os": "linux" });
    let platforms = if platforms.is_empty() { vec![own] } else { platforms };
    reply::json(&serde_json::json!({
        "Descriptor": {
            "mediaType": manifest.media_type,
            "digest": manifest.digest.to_string(),
            "size": manifest.bytes.len(),
        },
        "Platforms": platforms,
    }))
}

/// What a build needs from other machines.
pub struct Registries {
    client: Client,
    known: Known,
}

/// How a build comes by names and passwords.
enum Known {
    /// By address of the registry, as they came with the request.
    Given(BTreeMap<String, Credentials>),
    /// Its client is asked.
    Session(buildkit::Session),
}

impl Registries {
    pub fn of(call: &Call) -> Registries {
        let text = header(&call.request, CONFIG).and_then(|text| decode(&text));
        let credentials = text.and_then(|text| serde_json::from_slice(&text).ok());
        let known = Known::Given(credentials.unwrap_or_default());
        Registries { client: call.docker.registries.clone(), known }
    }

    pub fn of_session(client: &Client, session: &buildkit::Session) -> Registries {
        Registries { client: client.clone(), known: Known::Session(session.clone()) }
    }

    async fn for_domain(&self, domain: &str) -> Result<Credentials, Error> {
        match &self.known {
            Known::Given(credentials) => {
                let names = match domain {
                    "docker.io" => vec!["https://index.docker.io/v1/", "docker.io"],
                    domain => vec![domain],
                };
                let found = names.iter().find_map(|name| credentials.get(*name));
                Ok(found.cloned().unwrap_or_default())
            }
            Known::Session(session) => {
                let host = if domain == "docker.io" { "registry-1.docker.io" } else { domain };
                let answer = session.credentials(host).await;
                let (username, password) = answer.map_err(|status| status.to_error())?;
                // Without a name it is a token that stands for both.
                Ok(match username.is_empty() {
                    true => Credentials { identity_token: password, ..Credentials::default() },
                    false => Credentials { username, password, ..Credentials::default() },
                })
            }
        }
    }
}

impl Outside for Registries {
    fn pull<'a>(&'a self, image: &'a str, output: &'a Output) -> Waiting<'a, ()> {
        Box::pin(async move {
            let reference = parse(image)?.with_default_tag();
            let credentials = self.for_domain(&reference.domain).await?;
            let pull = self.client.begin_pull(&reference, "", &credentials).await?;
            // Told as a pull by itself is.
            let (to, mut lines) = mpsc::channel::<Bytes>(LINES);
            let given_on = async {
                while let Some(line) = lines.recv().await {
                    output.raw(line).await;
                }
            };
            let pulled = async move {
                let progress = Progress(to);
                pull.run(&progress).await
            };
            let (pulled, ()) = both(pulled, given_on).await;
            pulled.map(|_| ())
        })
    }

    fn download<'a>(&'a self, url: &'a str) -> Waiting<'a, Download> {
        Box::pin(async move {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                let text =
                    format!("contexts and files from {url} are not done: http and https are");
                return Err(Error::new(Kind::NotDone, text));
            }
            let file = self.client.engine.images().scratch_file()?;
            let modified = self.client.download(url, &file).await?;
            Ok(Download { file, modified })
        })
    }

    fn secret<'a>(&'a self, id: &'a str) -> Waiting<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let Known::Session(session) = &self.known else { return Ok(None) };
            let secret = session.secret(id).await.map_err(|status| status.to_error())?;
            Ok(secret.map(|bytes| bytes.to_vec()))
        })
    }
}

/// Until both are over.
pub async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|cx| {
        use std::task::Poll;
        if first.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            first = Some(value);
        }
        if second.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            second = Some(value);
        }
        match (first.take(), second.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (first, second) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_credentials() {
        let found = |query: &str| wanted(&Query::parse(query)).map(|one| one.to_string());
        assert_eq!(found("fromImage=a&tag=b").unwrap(), "docker.io/library/a:b");
        let digest = oci::Digest::of(b"x");
        let query = format!("fromImage=h:1/a&tag={digest}");
        assert_eq!(found(&query).unwrap(), format!("h:1/a@{digest}"));
        assert!(found("fromImage=A").is_err());
        for text in ["e30=", "e30"] {
            assert_eq!(decode(text).unwrap(), b"{}");
        }
        let text = br#"{"username":"u","password":"p?>"}"#;
        let padded = URL_SAFE.encode(text);
        let parsed: Credentials = serde_json::from_slice(&decode(&padded).unwrap()).unwrap();
        assert_eq!((parsed.username.as_str(), parsed.password.as_str()), ("u", "p?>"));
    }
}
