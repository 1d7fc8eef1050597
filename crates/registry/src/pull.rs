//! Pulling: blobs come several at a time into files without names, and are unpacked in order while
//! they come.
//!
//! A connection that breaks is taken up where it broke. What was read is compared with its digest
//! before the image is known; nothing of a pull that fails is left.

use crate::client::{Credentials, Fetched};
use crate::transfer::{Client, Progress, Side, not_there, short, wanted};
use bytes::Bytes;
use engine::image::{Images, Source, architecture};
use engine::{Engine, Error, First, blocking, first};
use http_body_util::BodyExt;
use oci::digest::Hasher;
use oci::image::{CONFIG_BYTES_MAX, ImageConfig};
use oci::manifest::{DOCKER_LIST, Descriptor, Index, Manifest, OCI_INDEX, Platform};
use oci::{Digest, Reference};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const DOWNLOADS: usize = 3;
/// Times that a blob is taken up again without a byte more than the last time.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(300);
/// So often progress is told, in bytes.
const TOLD_BYTES: u64 = 512 * 1024;

/// A pull that can begin: what there is to pull is known.
pub struct Pull {
    engine: Engine,
    side: Arc<Side>,
    reference: Reference,
    manifest: Fetched,
    /// Of what the name stands for, a list perhaps.
    top: Digest,
}

impl std::fmt::Debug for Pull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pull")
    }
}

impl Client {
    pub async fn begin_pull(
        &self,
        reference: &Reference,
        platform: &str,
        credentials: &Credentials,
    ) -> Result<Pull, Error> {
        let mut sides = self.sides(reference, credentials).await?;
        let last = sides.pop().ok_or_else(|| Error::failed("there is no such registry"))?;
        for side in sides {
            match self.begin_pull_from(side, reference, platform).await {
                Ok(pull) => return Ok(pull),
                Err(error) => tracing::info!(%error, %reference, "a mirror does not have it"),
            }
        }
        self.begin_pull_from(last, reference, platform).await
    }

    async fn begin_pull_from(
        &self,
        side: Side,
        reference: &Reference,
        platform: &str,
    ) -> Result<Pull, Error> {
        let side = Arc::new(side);
        let named = |error| not_there(error, reference);
        let mut manifest = side.manifest(&wanted(reference)).await.map_err(named)?;
        let top = manifest.digest;
        if is_list(&manifest)? {
            let index: Index = document(&manifest.bytes)?;
            let chosen = choose(&index, platform).ok_or_else(|| {
                let shown = if platform.is_empty() {
                    format!("linux/{}", architecture())
                } else {
                    platform.to_owned()
                };
                Error::not_found(format!(
                    "no matching manifest for {shown} in the manifest list entries"
                ))
            })?;
            manifest = side.manifest(&chosen.digest.to_string()).await.map_err(named)?;
        }
        let engine = self.engine.clone();
        Ok(Pull { engine, side, reference: reference.clone(), manifest, top })
    }

    /// All tags of a repository.
    pub async fn tags(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<Vec<String>, Error> {
        let mut sides = self.sides(reference, credentials).await?;
        let last = sides.pop().ok_or_else(|| Error::failed("there is no such registry"))?;
        for side in sides {
            if let Ok(tags) = side.tags().await {
                return Ok(tags);
            }
        }
        last.tags().await.map_err(|error| not_there(error, reference))
    }
}

fn document<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::failed(format!("the manifest is not understood: {error}")))
}

fn is_list(manifest: &Fetched) -> Result<bool, Error> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        schema_version: u32,
        #[serde(default)]
        media_type: Option<String>,
        #[serde(default)]
        manifests: Option<serde::de::IgnoredAny>,
    }
    let kind: Kind = document(&manifest.bytes)?;
    if kind.schema_version != 2 {
        return Err(Error::failed(
            "the image has a manifest of schema version 1, which is not understood any more",
        ));
    }
    let own = kind.media_type.unwrap_or_else(|| manifest.media_type.clone());
    Ok([OCI_INDEX, DOCKER_LIST].contains(&own.as_str()) || kind.manifests.is_some())
}

/// The one for a platform; without a word of one, for this machine's.
fn choose<'i>(index: &'i Index, platform: &str) -> Option<&'i Descriptor> {
    let mut parts = platform.split('/').filter(|part| !part.is_empty());
    let os = parts.next().unwrap_or("linux");
    let wanted = parts.next().unwrap_or(architecture());
    let variant = parts.next();
    let fits = |own: &Platform| {
        own.os == os
            && own.architecture == wanted
            && variant.is_none_or(|variant| own.variant.as_deref() == Some(variant))
    };
    let mut all = index.manifests.iter();
    all.find(|one| one.platform.as_ref().is_some_and(fits)).or_else(|| {
        let single = index.manifests.iter().filter(|one| one.platform.is_none());
        single.take(1).next()
    })
}

/// A blob on its way into a file.
struct Download {
    file: File,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    written: u64,
    done: Option<Result<(), String>>,
}

impl Download {
    fn end(&self, result: Result<(), String>) {
        self.state.lock().done = Some(result);
        self.changed.notify_all();
    }
}

/// Reads what has come, and waits for what has not.
struct Follow {
    download: Arc<Download>,
    at: u64,
}

impl Read for Follow {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut state = self.download.state.lock();
        loop {
            if state.written > self.at {
                let most = usize::try_from(state.written - self.at).unwrap_or(usize::MAX);
                drop(state);
                let most = most.min(out.len());
                let read = self.download.file.read_at(&mut out[..most], self.at)?;
                self.at += read as u64;
                return Ok(read);
            }
            match &state.done {
                Some(Ok(())) => return Ok(0),
                Some(Err(text)) => return Err(io::Error::other(text.clone())),
                None => self.download.changed.wait(&mut state),
            }
        }
    }
}

/// Ends what nobody waits for any more.
struct Tasks(Vec<tokio::task::AbortHandle>, Vec<Arc<Download>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
        for download in &self.1 {
            let mut state = download.state.lock();
            state.done.get_or_insert_with(|| Err("the pull was given up".to_owned()));
            download.changed.notify_all();
        }
    }
}

impl Pull {
    /// Gives the image's id. Ends when nobody listens any more.
    pub async fn run(self, progress: &Progress) -> Result<String, Error> {
        let pulled = first(self.pull(progress), progress.closed()).await;
        match pulled {
            First::Left(pulled) => pulled,
            First::Right(()) => Err(Error::failed("the pull was given up")),
        }
    }

    async fn pull(&self, progress: &Progress) -> Result<String, Error> {
        let name = self.reference.familiar_name();
        let path = &self.reference.path;
        progress.status(&wanted(&self.reference), &format!("Pulling from {path}")).await;
        let manifest: Manifest = document(&self.manifest.bytes)?;
        let config = self.config(&manifest.config).await?;
        let parsed = ImageConfig::parse(&config).map_err(Error::failed)?;
        if parsed.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(Error::failed("the image's layers and its configuration do not agree"));
        }
        let images = self.engine.images().clone();
        let (downloads, _tasks) = self.downloads(&images, &parsed, &manifest, progress).await?;
        let tag = self
            .reference
            .tag
            .as_ref()
            .map(|_| Reference { digest: None, ..self.reference.clone() });
        let (own, told, names) = (images.clone(), progress.clone(), manifest.layers.clone());
        let before = tag.as_ref().and_then(|tag| images.find(&tag.to_string()).ok());
        let id = blocking(move || {
            let mut last: Option<String> = None;
            let tags: Vec<Reference> = tag.into_iter().collect();
            let id = own.add(
                &config,
                |n| {
                    let download = downloads.get(&n).cloned();
                    let download = download
                        .ok_or_else(|| Error::failed("a layer was removed meanwhile; try again"))?;
                    let id = short(&names[n].digest);
                    if last.as_ref() != Some(&id) {
                        if let Some(done) = last.replace(id.clone()) {
                            told.status_blocking(&done, "Pull complete");
                        }
                        told.status_blocking(&id, "Extracting");
                    }
                    let source: Source<'static> = Box::new(Follow { download, at: 0 });
                    Ok(source)
                },
                &tags,
                "",
            )?;
            if let Some(done) = last {
                told.status_blocking(&done, "Pull complete");
            }
            Ok(id)
        })
        .await?;
        let (own, digest, named) = (images, format!("{name}@{}", self.top), id.clone());
        blocking(move || own.add_digest(&named, &digest)).await?;
        progress.status("", &format!("Digest: {}", self.top)).await;
        let shown = self.reference.familiar();
        let status = match before.is_some_and(|before| before.id == id) {
            true => format!("Status: Image is up to date for {shown}"),
            false => format!("Status: Downloaded newer image for {shown}"),
        };
        progress.status("", &status).await;
        let attributes = BTreeMap::from([("name".to_owned(), name)]);
        self.engine.tell("image", "pull", &shown, attributes);
        Ok(id)
    }

    async fn config(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        if descriptor.size > CONFIG_BYTES_MAX as u64 {
            return Err(Error::failed("the image's configuration is too long"));
        }
        let mut bytes = Vec::new();
        let mut pieces = Pieces::open(&self.side, &descriptor.digest, 0).await?;
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
            if bytes.len() as u64 > descriptor.size {
                break;
            }
        }
        match Digest::of(&bytes) == descriptor.digest {
            true => Ok(bytes.into()),
            false => Err(Error::failed("image config verification failed for digest")),
        }
    }

    /// Begins with all layers that are not here.
    async fn downloads(
        &self,
        images: &Images,
        config: &ImageConfig,
        manifest: &Manifest,
        progress: &Progress,
    ) -> Result<(BTreeMap<usize, Arc<Download>>, Tasks), Error> {
        let room = Arc::new(Semaphore::new(DOWNLOADS));
        let (mut downloads, mut tasks) = (BTreeMap::new(), Tasks(Vec::new(), Vec::new()));
        let mut missing = Vec::new();
        for (n, (layer, key)) in manifest.layers.iter().zip(config.chain()).enumerate() {
            let id = short(&layer.digest);
            if images.has_layer(&key.hex())? {
                progress.status(&id, "Already exists").await;
                continue;
            }
            progress.status(&id, "Pulling fs layer").await;
            missing.push((n, layer.clone()));
        }
        for (n, layer) in missing {
            let download = Arc::new(Download {
                file: images.scratch_file()?,
                state: Mutex::default(),
                changed: Condvar::new(),
            });
            downloads.insert(n, download.clone());
            tasks.1.push(download.clone());
            let (side, room, progress) = (self.side.clone(), room.clone(), progress.clone());
            let images = images.clone();
            #[allow(clippy::disallowed_methods, reason = "ends with the pull that it belongs to")]
            let task = tokio::spawn(async move {
                let _room = room.acquire().await;
                let result = fetch(&images, &side, &layer, &download, &progress).await;
                download.end(result.map_err(|error| error.text));
            });
            tasks.0.push(task.abort_handle());
        }
        Ok((downloads, tasks))
    }
}

/// A blob's bytes, from wherever.
enum Pieces {
    Http(hyper::body::Incoming, u64),
    Local(std::pin::Pin<Box<dyn api::ByteStream>>),
}

impl Pieces {
    async fn open(side: &Side, digest: &Digest, from: u64) -> Result<Pieces, Error> {
        match side {
            Side::Http(remote) => {
                let response = remote.blob(digest, from).await?;
                // Who does not know ranges begins at the beginning.
                let skip = match response.status() {
                    http::StatusCode::PARTIAL_CONTENT => 0,
                    _ => from,
                };
                Ok(Pieces::Http(response.into_body(), skip))
            }
            Side::Local(local) => Ok(Pieces::Local(local.blob(digest, from).await?)),
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        match self {
            Pieces::Http(incoming, skip) => loop {
                let frame = match incoming.frame().await? {
                    Ok(frame) => frame,
                    Err(error) => return Some(Err(Error::failed(error.to_string()))),
                };
                let Ok(mut data) = frame.into_data() else { continue };
                let skipped = usize::try_from(*skip).unwrap_or(usize::MAX).min(data.len());
                let _ = data.split_to(skipped);
                *skip -= skipped as u64;
                if !data.is_empty() {
                    return Some(Ok(data));
                }
            },
            Pieces::Local(stream) => {
                let next = poll_fn(|cx| stream.as_mut().poll_next(cx)).await?;
                Some(next.map_err(|error| Error::failed(error.message().to_owned())))
            }
        }
    }
}

/// Of a kind that is not tried again.
fn full(id: &str, error: io::Error) -> Error {
    Error::new(engine::Kind::Unavailable, format!("write {id}: {}", engine::reason(error)))
}

/// A whole blob, taken up again where it broke, and compared.
async fn fetch(
    images: &Images,
    side: &Side,
    layer: &Descriptor,
    download: &Arc<Download>,
    progress: &Progress,
) -> Result<(), Error> {
    let id = short(&layer.digest);
    let mut hasher = Hasher::default();
    let (mut written, mut told, mut tries) = (0u64, 0u64, 0);
    while written < layer.size {
        let began = written;
        let result = async {
            let mut pieces = Pieces::open(side, &layer.digest, written).await?;
            while let Some(piece) = pieces.next().await {
                let piece = piece?;
                if written + piece.len() as u64 > layer.size {
                    return Err(Error::invalid("the layer is longer than its manifest says"));
                }
                let (to, bytes, at, name) = (download.clone(), piece.clone(), written, id.clone());
                let write = move || to.file.write_all_at(&bytes, at);
                blocking(move || write().map_err(|error| full(&name, error))).await?;
                hasher.update(&piece);
                written += piece.len() as u64;
                download.state.lock().written = written;
                download.changed.notify_all();
                if written - told >= TOLD_BYTES {
                    told = written;
                    images.check_room().map_err(|error| full(&id, error))?;
                    progress.amount(&id, "Downloading", written, layer.size).await;
                }
            }
            Ok(())
        }
        .await;
        if written > began {
            tries = 0;
        }
        tries += 1;
        match result {
            Ok(()) if written == layer.size => break,
            Err(error) if error.kind != engine::Kind::Failed || tries >= TRIES => {
                return Err(error);
            }
            Ok(()) if tries >= TRIES => return Err(Error::failed("unexpected EOF")),
            _ => {
                progress.status(&id, "Retrying").await;
                tokio::time::sleep(PAUSE * tries).await;
            }
        }
    }
    progress.status(&id, "Verifying Checksum").await;
    if hasher.finish() != layer.digest {
        let text = format!("filesystem layer verification failed for digest {}", layer.digest);
        return Err(Error::failed(text));
    }
    progress.status(&id, "Download complete").await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms() {
        let one = |architecture: &str, variant: Option<&str>| Descriptor {
            media_type: String::new(),
            digest: Digest::of(architecture.as_bytes()),
            size: 1,
            platform: Some(Platform {
                architecture: architecture.to_owned(),
                os: "linux".to_owned(),
                variant: variant.map(str::to_owned),
            }),
            annotations: BTreeMap::new(),
        };
        let manifests =
            vec![one("arm", Some("v6")), one("arm", Some("v7")), one(architecture(), None)];
        let index = Index { schema_version: 2, media_type: None, manifests };
        assert_eq!(choose(&index, ""), index.manifests.get(2));
        assert_eq!(choose(&index, "linux/arm/v7"), index.manifests.get(1));
        assert_eq!(choose(&index, "linux/arm"), index.manifests.first());
        assert_eq!(choose(&index, "windows/amd64"), None);
    }
}
