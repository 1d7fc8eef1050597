//! A request's body into a blob, with its digests; a blob into a response's body.

use crate::checksum::{Declared, Digested, Digests};
use api::{AsyncCx, Body, ByteStream, Error};
use bytes::Bytes;
use gen_s3::errors as e;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use store::blobs::{BlobReader, BlobStream, PinnedBlob, ROW_BLOB_BYTES_MAX};

/// The largest body of one request: 5 GiB.
pub const BODY_BYTES_MAX: u64 = 5 << 30;
/// Bytes digested before others get a turn.
const PIECE_BYTES: usize = 256 * 1024;

/// A body that has arrived whole and matches all that was declared of it.
pub struct Received {
    pub blob: PinnedBlob,
    pub digested: Digested,
}

pub fn too_large(size: u64) -> Error {
    let text = "Your proposed upload exceeds the maximum allowed size";
    Error::new(&e::ENTITY_TOO_LARGE, text)
        .detail("ProposedSize", size.to_string())
        .detail("MaxSizeAllowed", BODY_BYTES_MAX.to_string())
}

/// Takes the body of the request.
pub async fn receive(cx: &AsyncCx, mut declared: Declared) -> Result<Received, Error> {
    let mut body = cx.take_body();
    let length = body.length();
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(too_large(length.unwrap_or_default()));
    }
    declared.announce(body.announced());
    let mut digests = Digests::new(declared.algorithm());
    let small = length.is_some_and(|length| length <= ROW_BLOB_BYTES_MAX as u64);
    let mut whole = Bytes::new();
    let mut writer = (!small).then(|| cx.blobs().writer(length));
    let mut size: u64 = 0;
    while let Some(piece) = body.next().await {
        let piece = piece?;
        size += piece.len() as u64;
        if size > length.unwrap_or(BODY_BYTES_MAX) {
            return Err(too_large(size));
        }
        match &mut writer {
            Some(writer) => {
                for part in piece.chunks(PIECE_BYTES) {
                    digests.update(part);
                    writer.write(part).await.map_err(write_failed)?;
                }
            }
            None => {
                digests.update(&piece);
                whole = joined(whole, piece);
            }
        }
    }
    declared.take_trailers(body.trailers())?;
    let digested = digests.finish();
    declared.check(&digested)?;
    let blob = match writer {
        Some(writer) => writer.finish().await.map_err(write_failed)?,
        None => cx.blobs().small(whole).ok_or_else(|| Error::internal("small body too large"))?,
    };
    Ok(Received { blob, digested })
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
