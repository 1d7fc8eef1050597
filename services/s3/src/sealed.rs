//! Bytes under a customer's key: AES-256-GCM in chunks, so that any range can be read and nothing
//! that was meddled with is given out.
//!
//! A sealed blob is a salt, then chunks of [`CHUNK_BYTES`] (the last may be shorter), each followed
//! by its tag. The blob's own key is made of the customer's key and the salt, so a chunk's number is
//! all that its nonce needs.

use crate::customer_key::{CustomerKey, SALT_BYTES};
use api::Error;
use base::Entropy;
use bytes::Bytes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use store::blobs::BlobReader;

const CHUNK_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;
const SEALED_CHUNK_BYTES: u64 = (CHUNK_BYTES + TAG_BYTES) as u64;
/// What is read and opened at a time.
const CHUNKS_AT_ONCE: u64 = 4;

fn blob_key(key: &CustomerKey, salt: &[u8]) -> Result<LessSafeKey, Error> {
    let bytes = key.derive(salt, b"s3 sealed blob");
    let key = UnboundKey::new(&AES_256_GCM, &bytes);
    key.map(LessSafeKey::new).map_err(|_| Error::internal("a key of a wrong length"))
}

fn nonce(chunk: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&chunk.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// How long the blob is that so many bytes become.
pub fn sealed_bytes(plain: u64) -> u64 {
    SALT_BYTES as u64 + plain + plain.div_ceil(CHUNK_BYTES as u64) * TAG_BYTES as u64
}

/// Seals what is written, piece by piece.
pub struct Sealer {
    key: LessSafeKey,
    customer: CustomerKey,
    next: u64,
    /// What has come of the chunk at hand.
    chunk: Vec<u8>,
    /// Sealed and not taken yet.
    out: Vec<u8>,
}

impl Sealer {
    pub fn new(customer: &CustomerKey, entropy: &dyn Entropy) -> Result<Sealer, Error> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        let key = blob_key(customer, &salt)?;
        let chunk = Vec::with_capacity(CHUNK_BYTES + TAG_BYTES);
        Ok(Sealer { key, customer: customer.clone(), next: 0, chunk, out: salt.to_vec() })
    }

    /// Takes bytes in; gives what can be written by now.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, Error> {
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.chunk.len();
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(fits);
            bytes = rest;
            if self.chunk.len() == CHUNK_BYTES {
                self.seal()?;
            }
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// The rest.
    pub fn finish(&mut self) -> Result<Vec<u8>, Error> {
        if !self.chunk.is_empty() {
            self.seal()?;
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// An entity tag in place of the digest, which is nobody's business: the same for the same
    /// content under the same key, so that a part sent twice is the same part.
    pub fn e_tag(&self, md5: &str) -> String {
        base::hex::encode(&self.customer.derive(md5.as_bytes(), b"s3 entity tag")[..16])
    }

    fn seal(&mut self) -> Result<(), Error> {
        let sealed =
            self.key.seal_in_place_append_tag(nonce(self.next), Aad::empty(), &mut self.chunk);
        sealed.map_err(|_| Error::internal("a chunk could not be sealed"))?;
        self.next += 1;
        self.out.append(&mut self.chunk);
        Ok(())
    }
}

/// One sealed blob among those of an object.
struct Piece {
    /// Where it begins in the object and in the blobs laid end to end.
    plain: Range<u64>,
    sealed: Range<u64>,
    key: OnceLock<LessSafeKey>,
}

/// The sealed blobs of an object.
pub struct SealedReader {
    reader: BlobReader,
    customer: CustomerKey,
    pieces: Vec<Piece>,
}

impl SealedReader {
    /// `sizes` are those of the blobs' contents before they were sealed, in order.
    pub fn new(
        reader: BlobReader,
        customer: CustomerKey,
        sizes: impl IntoIterator<Item = u64>,
    ) -> SealedReader {
        let (mut plain, mut sealed) = (0, 0);
        let pieces = sizes.into_iter().map(|size| {
            let piece = Piece {
                plain: plain..plain + size,
                sealed: sealed..sealed + sealed_bytes(size),
                key: OnceLock::new(),
            };
            (plain, sealed) = (piece.plain.end, piece.sealed.end);
            piece
        });
        SealedReader { pieces: pieces.collect(), reader, customer }
    }

    async fn read_sealed(&self, range: Range<u64>) -> Result<Bytes, Error> {
        self.reader.read(range).await.map_err(Error::internal)
    }

    /// What comes first of a range, as much as is opened at a time.
    async fn open_some(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let index = self.pieces.partition_point(|piece| piece.plain.end <= range.start);
        let piece = self.pieces.get(index).ok_or_else(damaged)?;
        let salt_end = piece.sealed.start + SALT_BYTES as u64;
        if piece.key.get().is_none() {
            let salt = self.read_sealed(piece.sealed.start..salt_end).await?;
            let _ = piece.key.set(blob_key(&self.customer, &salt)?);
        }
        let key = piece.key.get().ok_or_else(damaged)?;
        let from = range.start - piece.plain.start;
        let to = range.end.min(piece.plain.end) - piece.plain.start;
        let first = from / CHUNK_BYTES as u64;
        let last = to.div_ceil(CHUNK_BYTES as u64).min(first + CHUNKS_AT_ONCE);
        let start = salt_end + first * SEALED_CHUNK_BYTES;
        let end = (salt_end + last * SEALED_CHUNK_BYTES).min(piece.sealed.end);
        let sealed = self.read_sealed(start..end).await?;
        let mut plain = Vec::with_capacity(sealed.len());
        for (chunk, sealed) in (first..).zip(sealed.chunks(SEALED_CHUNK_BYTES as usize)) {
            let mut bytes = sealed.to_vec();
            let opened = key.open_in_place(nonce(chunk), Aad::empty(), &mut bytes);
            plain.extend_from_slice(opened.map_err(|_| damaged())?);
        }
        let skip = (from - first * CHUNK_BYTES as u64) as usize;
        let take = (to - from).min(plain.len().saturating_sub(skip) as u64) as usize;
        if take == 0 {
            return Err(damaged());
        }
        Ok(Bytes::from(plain).slice(skip..skip + take))
    }
}

fn damaged() -> Error {
    Error::internal("sealed bytes do not open: they are damaged")
}

type Opening = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

/// A range of a sealed object as it is opened.
pub struct SealedStream {
    reader: Arc<SealedReader>,
    at: u64,
    end: u64,
    opening: Option<Opening>,
}

impl SealedStream {
    pub fn new(reader: Arc<SealedReader>, range: Range<u64>) -> SealedStream {
        SealedStream { reader, at: range.start, end: range.end, opening: None }
    }

    /// Nothing more after an error.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let (reader, range) = (&self.reader, self.at..self.end);
        let opening = self.opening.get_or_insert_with(|| {
            let reader = Arc::clone(reader);
            Box::pin(async move { reader.open_some(range).await })
        });
        let opened = std::task::ready!(opening.as_mut().poll(context));
        self.opening = None;
        match &opened {
            Ok(bytes) => self.at += bytes.len() as u64,
            Err(_) => self.at = self.end,
        }
        Poll::Ready(Some(opened))
    }
}
