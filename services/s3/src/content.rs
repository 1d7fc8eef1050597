//! The bytes of an object, whether they lie open or under a customer's key.

use crate::body;
use crate::customer_key::CustomerKey;
use crate::rows::ObjectRow;
use crate::sealed::{SealedReader, SealedStream};
use api::{AsyncCx, Body, ByteStream, Error, Tx};
use bytes::Bytes;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use store::blobs::{BlobReader, BlobStream};

pub enum Content {
    Open(BlobReader),
    Sealed(Arc<SealedReader>),
}

impl Content {
    /// Of an object whose key was checked.
    pub fn of(
        tx: &Tx,
        cx: &AsyncCx,
        row: &ObjectRow,
        key: Option<&CustomerKey>,
    ) -> Result<Content, Error> {
        let reader = cx.blobs().open_all(tx, &row.blobs)?;
        let Some(key) = key.filter(|_| row.meta.customer.is_some()) else {
            return Ok(Content::Open(reader));
        };
        let sizes: Vec<u64> = match row.parts.is_empty() {
            true => vec![row.size_bytes],
            false => {
                row.parts.iter().map(|part| part.size_bytes).filter(|size| *size > 0).collect()
            }
        };
        Ok(Content::Sealed(Arc::new(SealedReader::new(reader, key.clone(), sizes))))
    }

    pub fn stream(&self, range: Range<u64>) -> ContentStream {
        match self {
            Content::Open(reader) => ContentStream::Open(reader.stream(range)),
            Content::Sealed(reader) => {
                ContentStream::Sealed(SealedStream::new(Arc::clone(reader), range))
            }
        }
    }

    /// As the body of a response.
    pub async fn respond(self, range: Range<u64>) -> Result<Body, Error> {
        match self {
            Content::Open(reader) => body::respond(reader, range).await,
            Content::Sealed(_) if range.is_empty() => Ok(Body::Empty),
            Content::Sealed(reader) => {
                let length = range.end - range.start;
                let stream = SealedStream::new(reader, range);
                Ok(Body::Stream(Some(length), Box::pin(ContentStream::Sealed(stream))))
            }
        }
    }
}

pub enum ContentStream {
    Open(BlobStream),
    Sealed(SealedStream),
}

impl ContentStream {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self {
            ContentStream::Open(stream) => {
                stream.poll_next(cx).map(|piece| piece.map(|piece| piece.map_err(Error::internal)))
            }
            ContentStream::Sealed(stream) => stream.poll_next(cx),
        }
    }

    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }
}

impl ByteStream for ContentStream {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.poll_piece(cx)
    }
}
