//! A request's body into a blob, with its digests; a blob into a response's body.

use crate::checksum::{Declared, Digested, Digests};
use crate::customer_key::CustomerKey;
use crate::sealed::{self, Sealer};
use api::{AsyncCx, Body, ByteStream, Error, RequestBody};
use bytes::Bytes;
use gen_s3::errors as e;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use store::blobs::{Aside, BlobReader, BlobStream, BlobWriter, PinnedBlob, ROW_BLOB_BYTES_MAX};

/// The largest body of one request: 5 GiB.
pub const BODY_BYTES_MAX: u64 = 5 << 30;
/// What is digested by the thread that receives it: for less, waking another one does not pay.
const DIGESTED_HERE_BYTES_MAX: u64 = 256 * 1024;

/// A body that has arrived whole and matches all that was declared of it.
pub struct Received {
    pub blob: PinnedBlob,
    pub digested: Digested,
    pub e_tag: String,
}

pub fn too_large(size: u64) -> Error {
    let text = "Your proposed upload exceeds the maximum allowed size";
    Error::new(&e::ENTITY_TOO_LARGE, text)
        .detail("ProposedSize", size.to_string())
        .detail("MaxSizeAllowed", BODY_BYTES_MAX.to_string())
}

/// Takes the body of the request, and seals it where there is a key.
pub async fn receive(
    cx: &AsyncCx,
    mut declared: Declared,
    key: Option<&CustomerKey>,
) -> Result<Received, Error> {
    let mut body = cx.take_body();
    let length = body.length();
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(too_large(length.unwrap_or_default()));
    }
    declared.announce(body.announced());
    let (mut digests, signed) = (Digests::new(declared.algorithm()), body.take_hash());
    if signed.is_some() {
        digests = digests.with_sha256();
    }
    let small = length.is_some_and(|length| length <= ROW_BLOB_BYTES_MAX as u64);
    let taken = match small && key.is_none() {
        true => take_small(&mut body, digests, length).await?,
        false => take_large(cx, &mut body, digests, length, key).await?,
    };
    declared.take_trailers(body.trailers())?;
    let digested = taken.digests.finish();
    if let Some(signed) = signed {
        signed.check(&digested.sha256.unwrap_or_default())?;
    }
    declared.check(&digested)?;
    match taken.content {
        Content::Writer(keeping) => keeping.finish(digested).await,
        Content::Whole(whole) => {
            let blob = cx.blobs().small(whole);
            let blob = blob.ok_or_else(|| Error::internal("small body too large"))?;
            Ok(Received { blob, e_tag: digested.e_tag(), digested })
        }
    }
}

/// Bytes on their way into a blob, sealed where there is a key.
pub struct Keeping {
    writer: BlobWriter,
    sealer: Option<Box<Sealer>>,
}

impl Keeping {
    pub fn new(
        cx: &AsyncCx,
        length: Option<u64>,
        key: Option<&CustomerKey>,
    ) -> Result<Keeping, Error> {
        let sealer = key.map(|key| Sealer::new(key, &*cx.entropy).map(Box::new)).transpose()?;
        let writer = cx.blobs().writer(match key {
            Some(_) => length.map(sealed::sealed_bytes),
            None => length,
        });
        Ok(Keeping { writer, sealer })
    }

    pub async fn write(&mut self, piece: &[u8]) -> Result<(), Error> {
        match &mut self.sealer {
            Some(sealer) => self.writer.write(&sealer.push(piece)?).await,
            None => self.writer.write(piece).await,
        }
        .map_err(write_failed)
    }

    /// Durable when it returns. `digested` is what was written, before it was sealed.
    pub async fn finish(mut self, digested: Digested) -> Result<Received, Error> {
        let mut e_tag = digested.e_tag();
        if let Some(sealer) = &mut self.sealer {
            e_tag = sealer.e_tag(&e_tag);
            self.writer.write(&sealer.finish()?).await.map_err(write_failed)?;
        }
        let blob = self.writer.finish().await.map_err(write_failed)?;
        Ok(Received { blob, digested, e_tag })
    }
}

/// What came, not yet compared with what was declared.
struct Taken {
    content: Content,
    digests: Digests,
}

enum Content {
    Whole(Bytes),
    Writer(Keeping),
}

#[allow(clippy::large_enum_variant, reason = "one for each upload")]
enum Digesting {
    Here(Digests),
    Aside(Aside<Digests>),
}

fn counted(size: u64, piece: &Bytes, length: Option<u64>) -> Result<u64, Error> {
    let size = size + piece.len() as u64;
    if size > length.unwrap_or(BODY_BYTES_MAX) {
        return Err(too_large(size));
    }
    Ok(size)
}

async fn take_small(
    body: &mut RequestBody,
    mut digests: Digests,
    length: Option<u64>,
) -> Result<Taken, Error> {
    let (mut whole, mut size) = (Bytes::new(), 0);
    while let Some(piece) = body.next().await {
        let piece = piece?;
        size = counted(size, &piece, length)?;
        digests.update(&piece);
        whole = joined(whole, piece);
    }
    Ok(Taken { content: Content::Whole(whole), digests })
}

/// MD5 alone takes longer than all else that happens to a byte, so the digests of what is long are
/// worked out beside its writing.
async fn take_large(
    cx: &AsyncCx,
    body: &mut RequestBody,
    digests: Digests,
    length: Option<u64>,
    key: Option<&CustomerKey>,
) -> Result<Taken, Error> {
    let mut keeping = Keeping::new(cx, length, key)?;
    let mut digesting = match length.is_some_and(|length| length <= DIGESTED_HERE_BYTES_MAX) {
        true => Digesting::Here(digests),
        false => Digesting::Aside(cx.blobs().aside(digests, Digests::update)),
    };
    let mut size = 0;
    while let Some(piece) = body.next().await {
        let piece = piece?;
        size = counted(size, &piece, length)?;
        keeping.write(&piece).await?;
        match &mut digesting {
            Digesting::Here(digests) => digests.update(&piece),
            Digesting::Aside(aside) => aside.feed(piece).await,
        }
    }
    let digests = match digesting {
        Digesting::Here(digests) => digests,
        Digesting::Aside(aside) => aside.finish().await.map_err(Error::internal)?,
    };
    Ok(Taken { content: Content::Writer(keeping), digests })
}

/// One piece is the rule for small bodies, so that nothing is copied then.
fn joined(head: Bytes, tail: Bytes) -> Bytes {
    if head.is_empty() {
        return tail;
    }
    let mut all = Vec::with_capacity(head.len() + tail.len());
    all.extend_from_slice(&head);
    all.extend_from_slice(&tail);
    all.into()
}

pub fn write_failed(error: io::Error) -> Error {
    api::StoreError::from(error).into()
}

/// A range of an object as the body of a response; small ones at once.
pub async fn respond(reader: BlobReader, range: Range<u64>) -> Result<Body, Error> {
    let length = range.end - range.start;
    if length == 0 {
        return Ok(Body::Empty);
    }
    if length <= ROW_BLOB_BYTES_MAX as u64 {
        return Ok(Body::Bytes(reader.read(range).await.map_err(Error::internal)?));
    }
    let stream = Sending { stream: reader.stream(range), _reader: reader };
    Ok(Body::Stream(Some(length), Box::pin(stream)))
}

struct Sending {
    stream: BlobStream,
    /// Pins the bytes while they flow.
    _reader: BlobReader,
}

impl ByteStream for Sending {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.stream.poll_next(cx).map(|piece| piece.map(|piece| piece.map_err(Error::internal)))
    }
}
