//! Uploads: in one piece, in pieces, or named after a blob that another repository has.
//!
//! Each piece is a blob of its own, on the disk before it is acknowledged; the pieces together become the
//! blob, without being copied, once their digest is the one that the client says.

use crate::answer::{Answered, Refusal, empty};
use crate::blobs::{HOST, Made, link};
use crate::door::{Registry, Repository, query};
use crate::path;
use crate::rows::{BLOBS, LINKS, UPLOADS, UploadRow};
use api::{RegistryCall, RequestBody};
use engine::time::now_ns;
use oci::Digest;
use oci::digest::Hasher;
use store::Scope;
use store::blobs::{INLINE_BLOB_BYTES_MAX, PinnedBlob};

/// Of one blob.
pub(crate) const BLOB_BYTES_MAX: u64 = 64 << 30;
/// Of one upload.
const PARTS_MAX: usize = 4096;
/// Of all pieces of an upload that are so short that they stand in its row, which each piece writes anew.
const SHORT_BYTES_MAX: u64 = 256 << 10;
/// That a repository may have at a time.
const UPLOADS_MAX: usize = 1000;
/// States of hashes that are kept in memory; others are read anew at the end.
const HASHERS_MAX: usize = 1000;

/// A piece that has come, whole.
struct Piece {
    blob: Option<PinnedBlob>,
    size: u64,
    hasher: Hasher,
}

impl Registry {
    /// `POST …/blobs/uploads/`
    pub(crate) async fn begin_upload(
        &self,
        call: &mut RegistryCall<'_>,
        repository: &Repository,
    ) -> Answered {
        if let Some(digest) = query(call, "mount") {
            let from = query(call, "from").map(str::to_owned);
            let digest = path::digest(digest)
                .ok_or_else(|| Refusal::digest_invalid("invalid digest to mount"))?;
            if let Some(from) = from
                && self.mount(call, repository, &digest, &from).await?
            {
                return created(repository, &digest);
            }
        }
        if let Some(text) = query(call, "digest").map(str::to_owned) {
            let piece = self.receive(call, Hasher::default(), 0).await?;
            return self.finish(repository, None, piece, &text).await;
        }
        let id = self.entropy.text(b"0123456789abcdef", 32);
        let row = UploadRow { begun_ns: now_ns(), size: 0, parts: Vec::new() };
        let scope = Scope::Account(repository.account);
        let key = (repository.name.clone(), id.clone());
        self.store
            .write(|tx| {
                let prefix = &repository.name;
                let open = tx
                    .scan(&UPLOADS, &scope)
                    .prefix(&(prefix.as_str(),))
                    .keys()
                    .take(UPLOADS_MAX)
                    .count();
                if open == UPLOADS_MAX {
                    return Err(Refusal::new(429, "TOOMANYREQUESTS", "too many uploads are open"));
                }
                Ok(tx.put(&UPLOADS, &scope, &key, &row)?)
            })
            .await?;
        empty(202, progress(repository, &id, 0))
    }

    /// Takes a blob over that another repository of the account has.
    async fn mount(
        &self,
        call: &mut RegistryCall<'_>,
        repository: &Repository,
        digest: &str,
        from: &str,
    ) -> Result<bool, Refusal> {
        // Whoever takes a blob over can read it from then on.
        let may = |action| call.access.allow(&repository.caller, action, from).is_ok();
        let may_read =
            || may("ecr:BatchCheckLayerAvailability") && may("ecr:GetDownloadUrlForLayer");
        if !path::is_name(from) || !may_read() {
            return Ok(false);
        }
        let scope = Scope::Account(repository.account);
        let source = (from.to_owned(), digest.to_owned());
        self.store
            .write(|tx| {
                if !tx.exists(&LINKS, &scope, &source)? {
                    return Ok(false);
                }
                let Some(row) = tx.get(&BLOBS, &HOST, digest)? else { return Ok(false) };
                Ok(link(tx, repository, digest, row.size, &Made::Pinned(Vec::new(), None))?)
            })
            .await
    }

    fn upload(&self, repository: &Repository, id: &str) -> Result<UploadRow, Refusal> {
        let key = (repository.name.clone(), id.to_owned());
        let scope = Scope::Account(repository.account);
        let row = self.store.read(|tx| tx.get(&UPLOADS, &scope, &key))?;
        row.ok_or_else(Refusal::upload_unknown)
    }

    pub(crate) fn upload_status(&self, repository: &Repository, id: &str) -> Answered {
        let row = self.upload(repository, id)?;
        empty(204, progress(repository, id, row.size))
    }

    pub(crate) async fn cancel_upload(&self, repository: &Repository, id: &str) -> Answered {
        self.upload(repository, id)?;
        let key = (repository.name.clone(), id.to_owned());
        let scope = Scope::Account(repository.account);
        self.store
            .write(|tx| {
                let Some(row) = tx.get(&UPLOADS, &scope, &key)? else { return Ok(()) };
                tx.mark_freeing();
                for part in &row.parts {
                    tx.release_blob(part)?;
                }
                tx.delete(&UPLOADS, &scope, &key)
            })
            .await?;
        self.hashers.lock().remove(id);
        empty(204, Vec::new())
    }

    /// `PATCH …/blobs/uploads/ID`
    pub(crate) async fn append(
        &self,
        call: &mut RegistryCall<'_>,
        repository: &Repository,
        id: &str,
    ) -> Answered {
        let row = self.upload(repository, id)?;
        check_range(call, repository, id, row.size)?;
        let sizes = row.parts.iter().map(|part| part.size_bytes);
        let short: u64 = sizes.filter(|size| *size <= INLINE_BLOB_BYTES_MAX as u64).sum();
        if row.parts.len() >= PARTS_MAX || short > SHORT_BYTES_MAX {
            return Err(Refusal::new(400, "BLOB_UPLOAD_INVALID", "the upload has too many pieces"));
        }
        let hasher = self.hashers.lock().remove(id).filter(|(size, _)| *size == row.size);
        let known = row.size == 0 || hasher.is_some();
        let hasher = hasher.map(|(_, hasher)| hasher).unwrap_or_default();
        let piece = self.receive(call, hasher, row.size).await?;
        let size = row.size + piece.size;
        let key = (repository.name.clone(), id.to_owned());
        let scope = Scope::Account(repository.account);
        let blob = piece.blob.as_ref();
        self.store
            .write(|tx| {
                let now = tx.get(&UPLOADS, &scope, &key)?.ok_or_else(Refusal::upload_unknown)?;
                // Another piece came in at the same time.
                if now.size != row.size {
                    return Err(out_of_order(repository, id, now.size));
                }
                let mut parts = now.parts.clone();
                if let Some(blob) = blob {
                    parts.push(tx.adopt_blob(blob)?);
                }
                tx.put(&UPLOADS, &scope, &key, &UploadRow { size, parts, ..now })?;
                Ok(())
            })
            .await?;
        let mut hashers = self.hashers.lock();
        if known && hashers.len() < HASHERS_MAX {
            hashers.insert(id.to_owned(), (size, piece.hasher));
        }
        empty(202, progress(repository, id, size))
    }

    /// `PUT …/blobs/uploads/ID?digest=…`
    pub(crate) async fn complete(
        &self,
        call: &mut RegistryCall<'_>,
        repository: &Repository,
        id: &str,
    ) -> Answered {
        let text = query(call, "digest").map(str::to_owned).unwrap_or_default();
        let row = self.upload(repository, id)?;
        check_range(call, repository, id, row.size)?;
        let kept = self.hashers.lock().remove(id).filter(|(size, _)| *size == row.size);
        let hasher = match kept {
            Some((_, hasher)) => hasher,
            None => self.hash_again(&row).await?,
        };
        let piece = self.receive(call, hasher, row.size).await?;
        self.finish(repository, Some((id, row)), piece, &text).await
    }

    /// What came before this process began.
    async fn hash_again(&self, row: &UploadRow) -> Result<Hasher, Refusal> {
        let mut hasher = Hasher::default();
        if row.size > 0 {
            let reader = self.store.read(|tx| self.store.blobs().open_all(tx, &row.parts))?;
            let mut stream = reader.stream(0..row.size);
            while let Some(piece) = stream.next().await {
                hasher.update(&piece?);
            }
        }
        Ok(hasher)
    }

    /// The body, on the disk.
    async fn receive(
        &self,
        call: &mut RegistryCall<'_>,
        mut hasher: Hasher,
        before: u64,
    ) -> Result<Piece, Refusal> {
        let mut body = std::mem::replace(&mut call.body, RequestBody::empty());
        let expected = body.length();
        let too_large = || Refusal::new(413, "SIZE_INVALID", "the blob is too large");
        if expected.is_some_and(|length| before.saturating_add(length) > BLOB_BYTES_MAX) {
            return Err(too_large());
        }
        let mut writer = None;
        let mut size = 0;
        while let Some(bytes) = body.next().await {
            let bytes =
                bytes.map_err(|error| Refusal::new(400, "BLOB_UPLOAD_INVALID", error.message()))?;
            size += bytes.len() as u64;
            if before + size > BLOB_BYTES_MAX {
                return Err(too_large());
            }
            hasher.update(&bytes);
            let writer = writer.get_or_insert_with(|| self.store.blobs().writer(expected));
            writer.write(&bytes).await?;
        }
        if expected.is_some_and(|expected| expected != size) {
            return Err(Refusal::new(400, "SIZE_INVALID", "the body is shorter than was said"));
        }
        let blob = match writer {
            Some(writer) => Some(writer.finish().await?),
            None => None,
        };
        Ok(Piece { blob, size, hasher })
    }

    async fn finish(
        &self,
        repository: &Repository,
        upload: Option<(&str, UploadRow)>,
        piece: Piece,
        text: &str,
    ) -> Answered {
        let wanted = Digest::parse(text).ok_or_else(|| {
            Refusal::digest_invalid(format!("invalid digest: {text:?}; only sha256 is known here"))
        })?;
        let found = piece.hasher.finish();
        if found != wanted {
            return Err(Refusal::digest_invalid(format!(
                "provided digest did not match uploaded content: {found}"
            )));
        }
        let digest = wanted.to_string();
        let scope = Scope::Account(repository.account);
        let before = upload.as_ref().map_or(0, |(_, row)| row.size);
        let size = before + piece.size;
        let last = piece.blob;
        self.store
            .write(|tx| {
                let mut parts = Vec::new();
                if let Some((id, row)) = &upload {
                    let key = (repository.name.clone(), (*id).to_owned());
                    let now =
                        tx.get(&UPLOADS, &scope, &key)?.ok_or_else(Refusal::upload_unknown)?;
                    if now.size != row.size {
                        return Err(out_of_order(repository, id, now.size));
                    }
                    parts = now.parts;
                    tx.delete(&UPLOADS, &scope, &key)?;
                }
                Ok(link(tx, repository, &digest, size, &Made::Pinned(parts, last.clone()))?)
            })
            .await?;
        created(repository, &digest)
    }
}

fn created(repository: &Repository, digest: &str) -> Answered {
    let location = format!("/v2/{}/blobs/{digest}", repository.name);
    empty(201, vec![("location", location), ("docker-content-digest", digest.to_owned())])
}

fn progress(repository: &Repository, id: &str, size: u64) -> Vec<(&'static str, String)> {
    vec![
        ("location", format!("/v2/{}/blobs/uploads/{id}", repository.name)),
        ("range", format!("0-{}", size.saturating_sub(1))),
        ("docker-upload-uuid", id.to_owned()),
    ]
}

fn out_of_order(repository: &Repository, id: &str, size: u64) -> Refusal {
    let refusal = Refusal::new(
        416,
        "BLOB_UPLOAD_INVALID",
        "the piece does not begin where the last one ended",
    );
    progress(repository, id, size)
        .into_iter()
        .fold(refusal, |refusal, (name, value)| refusal.header(name, value))
}

/// A piece says where it belongs, or goes to the end.
fn check_range(
    call: &RegistryCall<'_>,
    repository: &Repository,
    id: &str,
    size: u64,
) -> Result<(), Refusal> {
    let Some(text) = (call.header)("content-range") else { return Ok(()) };
    let Some((first, last)) = bounds(&text) else {
        return Err(Refusal::new(400, "BLOB_UPLOAD_INVALID", "Content-Range is not understood"));
    };
    match first == size && fits(first, last, call.body.length()) {
        true => Ok(()),
        false => Err(out_of_order(repository, id, size)),
    }
}

/// `0-4`, also as `bytes 0-4/5`.
fn bounds(text: &str) -> Option<(u64, u64)> {
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let (first, last) = text.split('/').next()?.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

fn fits(first: u64, last: u64, length: Option<u64>) -> bool {
    let of = last.checked_sub(first).and_then(|n| n.checked_add(1));
    length.is_none_or(|length| of == Some(length))
}

/// For the fuzzer: where a piece of that length begins.
pub(crate) fn range_start(text: &str, length: Option<u64>) -> Option<u64> {
    bounds(text).filter(|(first, last)| fits(*first, *last, length)).map(|(first, _)| first)
}
