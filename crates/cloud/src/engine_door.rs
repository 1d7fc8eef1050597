//! The engine's API for pages of this process: asked at its own socket, as everybody does.

use api::{Body, ByteStream, EngineDoor, Error, InsideAnswer, InsideReply};
use bytes::Bytes;
use gateway::ResponseStream;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::UnixStream;

#[derive(Debug)]
pub struct AtSocket(pub PathBuf);

/// An answer of the engine as it flows.
struct Flowing(Incoming);

impl ByteStream for Flowing {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let frame = std::task::ready!(Pin::new(&mut self.0).poll_frame(cx));
            match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(Error::internal(error)))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    // Trailers.
                    Err(_) => {}
                },
            }
        }
    }
}

impl AtSocket {
    async fn asked(&self, method: &str, target: &str) -> Result<InsideAnswer, String> {
        let stream = UnixStream::connect(&self.0).await.map_err(|error| error.to_string())?;
        let shaken = http1::handshake::<_, ResponseStream>(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
        engine::task(async move { drop(connection.await) });
        let request = http::Request::builder()
            .method(method)
            .uri(target)
            .header("host", "docker")
            .body(ResponseStream::Empty)
            .map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (parts, body) = answer.into_parts();
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = parts.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let body = match body.is_end_stream() {
            true => Body::Empty,
            false => Body::Stream(body.size_hint().exact(), Box::pin(Flowing(body))),
        };
        Ok(InsideAnswer { status: parts.status.as_u16(), headers, body })
    }
}

impl EngineDoor for AtSocket {
    fn ask<'a>(&'a self, method: &'a str, target: &'a str) -> InsideReply<'a> {
        Box::pin(async move {
            self.asked(method, target).await.unwrap_or_else(|why| {
                let text = format!("{{\"message\":{}}}", smithy::json::quoted(&why));
                let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
                InsideAnswer { status: 503, headers, body: Body::Bytes(text.into()) }
            })
        })
    }
}
