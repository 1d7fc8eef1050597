//! Blobs: contents by their digests, and which repositories have them.

use crate::answer::{Answered, Refusal, empty};
use crate::door::{Registry, Repository};
use crate::rows::{ACCOUNTS, BLOBS, BlobRow, LINKS, LinkRow, REPOSITORIES, RepositoryRow};
use api::{Body, ByteStream, Error, RegistryAnswer, RegistryCall};
use bytes::Bytes;
use engine::image::{release_layer, retain_layer};
use engine::time::now_ns;
use std::io::{self, Write};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use store::blobs::{BlobRef, BlobStream, PinnedBlob};
use store::{Scope, StoreError, Tx};
use tokio::sync::mpsc;

pub const HOST: Scope = Scope::Host;
const PIECES: usize = 8;
const PIECE_BYTES: usize = 64 * 1024;

/// Something to read a blob from.
pub enum Content {
    Stored(store::blobs::BlobReader),
    /// Put together from a layer of the engine.
    Layer(String),
}

/// What a new blob is made of.
pub enum Made {
    Pinned(Vec<BlobRef>, Option<PinnedBlob>),
    Layer(String),
}

/// A repository has a blob from now on. The first to have it brings the content.
pub fn link(
    tx: &mut Tx,
    repository: &Repository,
    digest: &str,
    size: u64,
    made: &Made,
) -> Result<bool, StoreError> {
    let scope = &Scope::Account(repository.account);
    touch(tx, repository)?;
    let known = tx.get(&BLOBS, &HOST, digest)?;
    let is_new = known.is_none();
    let mut row = match (known, made) {
        (Some(row), made) => {
            // What was sent is not needed a second time.
            if let Made::Pinned(parts, _) = made {
                for part in parts {
                    tx.release_blob(part)?;
                }
            }
            row
        }
        (None, Made::Layer(key)) => {
            if !retain_layer(tx, key)? {
                return Ok(false);
            }
            BlobRow { size, parts: Vec::new(), layer: key.clone(), uses: 0 }
        }
        (None, Made::Pinned(parts, last)) => {
            let mut parts = parts.clone();
            if let Some(last) = last {
                parts.push(tx.adopt_blob(last)?);
            }
            BlobRow { size, parts, layer: String::new(), uses: 0 }
        }
    };
    let key = (repository.name.clone(), digest.to_owned());
    if !tx.exists(&LINKS, scope, &key)? {
        row.uses += 1;
        tx.put(&BLOBS, &HOST, digest, &row)?;
    } else if is_new {
        tx.put(&BLOBS, &HOST, digest, &row)?;
    }
    tx.put(&LINKS, scope, &key, &LinkRow { linked_ns: now_ns() })?;
    Ok(true)
}

/// A repository is there from now on.
pub fn touch(tx: &mut Tx, repository: &Repository) -> Result<(), StoreError> {
    let scope = &Scope::Account(repository.account);
    if !tx.exists(&REPOSITORIES, scope, &repository.name)? {
        tx.put(&REPOSITORIES, scope, &repository.name, &RepositoryRow { created_ns: now_ns() })?;
    }
    let account = repository.account.to_string();
    if !tx.exists(&ACCOUNTS, &HOST, &account)? {
        tx.put(&ACCOUNTS, &HOST, &account, &())?;
    }
    Ok(())
}

/// A repository has a blob no more. Gives the layer whose files are to be removed.
pub fn unlink(
    tx: &mut Tx,
    repository: &Repository,
    digest: &str,
) -> Result<Option<String>, StoreError> {
    let scope = &Scope::Account(repository.account);
    let key = (repository.name.clone(), digest.to_owned());
    if !tx.exists(&LINKS, scope, &key)? {
        return Ok(None);
    }
    tx.mark_freeing();
    tx.delete(&LINKS, scope, &key)?;
    release(tx, digest)
}

/// One repository less has a blob. Gives the layer whose files are to be removed.
pub fn release(tx: &mut Tx, digest: &str) -> Result<Option<String>, StoreError> {
    let Some(mut row) = tx.get(&BLOBS, &HOST, digest)? else { return Ok(None) };
    row.uses = row.uses.saturating_sub(1);
    if row.uses > 0 {
        tx.put(&BLOBS, &HOST, digest, &row)?;
        return Ok(None);
    }
    tx.delete(&BLOBS, &HOST, digest)?;
    for part in &row.parts {
        tx.release_blob(part)?;
    }
    match row.layer.is_empty() {
        true => Ok(None),
        false => Ok(release_layer(tx, &row.layer)?.then_some(row.layer)),
    }
}

impl Registry {
    /// The blob, if the repository has it.
    pub(crate) fn blob(
        &self,
        repository: &Repository,
        digest: &str,
    ) -> Result<(BlobRow, Content), Refusal> {
        let scope = Scope::Account(repository.account);
        let key = (repository.name.clone(), digest.to_owned());
        self.store.read(|tx| {
            let linked = tx.exists(&LINKS, &scope, &key)?;
            let row = if linked { tx.get(&BLOBS, &HOST, digest)? } else { None };
            let row = row.ok_or_else(|| Refusal::blob_unknown(digest))?;
            let content = match row.layer.is_empty() {
                true => Content::Stored(self.store.blobs().open_all(tx, &row.parts)?),
                false => Content::Layer(row.layer.clone()),
            };
            Ok((row, content))
        })
    }

    /// A range of a blob as it flows.
    pub(crate) fn flow(&self, content: Content, range: Range<u64>) -> Pin<Box<dyn ByteStream>> {
        match content {
            Content::Stored(reader) => Box::pin(Stored(reader.stream(range))),
            Content::Layer(key) => {
                let (to, pieces) = mpsc::channel(PIECES);
                let images = self.images.clone();
                engine::task(async move {
                    let worked = engine::blocking(move || {
                        let mut window =
                            Window { to, skip: range.start, left: range.end - range.start };
                        let written = {
                            let mut writer = io::BufWriter::with_capacity(PIECE_BYTES, &mut window);
                            let written = images.write_layer(&key, &mut writer);
                            written.and_then(|()| Ok(writer.flush()?))
                        };
                        if let Err(error) = written.and_then(|()| window.is_whole()) {
                            let cut = Err(io::Error::other(error.text));
                            let _ = window.to.blocking_send(cut);
                        }
                        Ok(())
                    });
                    let _ = worked.await;
                });
                Box::pin(Pieces(pieces))
            }
        }
    }

    pub(crate) fn get_blob(
        &self,
        call: &RegistryCall<'_>,
        repository: &Repository,
        digest: &str,
    ) -> Answered {
        let (row, content) = self.blob(repository, digest)?;
        let mut headers = vec![
            ("docker-content-digest", digest.to_owned()),
            ("content-type", "application/octet-stream".to_owned()),
            ("accept-ranges", "bytes".to_owned()),
            ("etag", format!("\"{digest}\"")),
        ];
        if call.method == "HEAD" {
            headers.push(("content-length", row.size.to_string()));
            return empty(200, headers);
        }
        let asked = (call.header)("range");
        let range = match asked.as_deref().map(|text| range(text, row.size)) {
            None | Some(None) => None,
            Some(Some(Ok(range))) => Some(range),
            Some(Some(Err(()))) => {
                let refusal = Refusal::new(416, "RANGE_INVALID", "the range is not in the blob");
                return Err(refusal.header("content-range", format!("bytes */{}", row.size)));
            }
        };
        let (status, range) = match range {
            Some(range) => {
                let text = format!("bytes {}-{}/{}", range.start, range.end - 1, row.size);
                headers.push(("content-range", text));
                (206, range)
            }
            None => (200, 0..row.size),
        };
        let length = range.end - range.start;
        headers.push(("content-length", length.to_string()));
        let body = match length {
            0 => Body::Empty,
            _ => Body::Stream(Some(length), self.flow(content, range)),
        };
        Ok(RegistryAnswer { status, headers, body })
    }

    pub(crate) async fn delete_blob(&self, repository: &Repository, digest: &str) -> Answered {
        self.blob(repository, digest)?;
        let gone = self.store.write(|tx| unlink(tx, repository, digest)).await?;
        self.forget_layer(gone);
        empty(202, Vec::new())
    }

    /// Removes files of a layer that nothing has any more.
    pub(crate) fn forget_layer(&self, key: Option<String>) {
        let Some(key) = key else { return };
        let images = self.images.clone();
        engine::task(async move {
            let removed = engine::blocking(move || {
                images.remove_layer_files(&key);
                Ok(())
            });
            let _ = removed.await;
        });
    }
}

/// `bytes=a-b`, `bytes=a-`, `bytes=-n`; anything else is no range.
fn range(text: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first, last) {
        ("", last) => size.saturating_sub(last.parse().ok()?)..size,
        (first, "") => first.parse().ok()?..size,
        (first, last) => first.parse().ok()?..last.parse::<u64>().ok()?.saturating_add(1).min(size),
    };
    Some(if range.start < range.end { Ok(range) } else { Err(()) })
}

struct Stored(BlobStream);

impl ByteStream for Stored {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.0.poll_next(cx).map(|next| next.map(|piece| piece.map_err(Error::internal)))
    }
}

struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl ByteStream for Pieces {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.0.poll_recv(cx).map(|next| next.map(|piece| piece.map_err(Error::internal)))
    }
}

/// Gives on a part of what is written.
struct Window {
    to: mpsc::Sender<io::Result<Bytes>>,
    skip: u64,
    left: u64,
}

impl Window {
    fn is_whole(&self) -> Result<(), engine::Error> {
        match self.left {
            0 => Ok(()),
            _ => Err(engine::Error::failed("a layer's archive is too short")),
        }
    }
}

impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skip.min(bytes.len() as u64) as usize;
        self.skip -= skipped as u64;
        let piece = &bytes[skipped..];
        let piece = &piece[..piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX))];
        if !piece.is_empty() {
            self.left -= piece.len() as u64;
            let sent = self.to.blocking_send(Ok(Bytes::copy_from_slice(piece)));
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range("bytes=0-4", 10), Some(Ok(0..5)));
        assert_eq!(range("bytes=5-", 10), Some(Ok(5..10)));
        assert_eq!(range("bytes=-3", 10), Some(Ok(7..10)));
        assert_eq!(range("bytes=5-99", 10), Some(Ok(5..10)));
        assert_eq!(range("bytes=10-", 10), Some(Err(())));
        assert_eq!(range("items=1-2", 10), None);
    }
}
