//! The floor of the network: a bare hyper server that answers the same bytes and knows nothing.

use crate::request::noise;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::net::TcpListener;

/// The size of the object that every measure of small requests uses.
pub const OBJECT_BYTES: usize = 1024;

pub fn serve(address: &str, threads: &str) -> Result<(), String> {
    let threads: usize = threads.parse().map_err(|_| "threads: a number".to_owned())?;
    let runtime = match threads {
        0 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        n => tokio::runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build(),
    };
    let runtime = runtime.map_err(|e| format!("no runtime: {e}"))?;
    let object = noise(OBJECT_BYTES);
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(|e| format!("{address}: {e}"))?;
        loop {
            let (stream, _) = listener.accept().await.map_err(|e| format!("accept: {e}"))?;
            stream.set_nodelay(true).map_err(|e| format!("TCP_NODELAY: {e}"))?;
            let object = object.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, object.clone()));
                let connection = hyper::server::conn::http1::Builder::new();
                // A connection that breaks is the client's business.
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

/// The headers that GetObject sends, and the object; nothing for a PUT, whose body is read.
async fn answer(
    request: Request<Incoming>,
    object: Bytes,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let put = request.method() == Method::PUT;
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::new(Full::new(if put { Bytes::new() } else { object }));
    for (name, value) in [
        ("accept-ranges", "bytes"),
        ("content-type", "binary/octet-stream"),
        ("etag", "\"0123456789abcdef0123456789abcdef\""),
        ("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("x-amz-id-2", "0123456789abcdef0123456789abcdef"),
        ("x-amz-request-id", "0123456789ABCDEF"),
    ] {
        response.headers_mut().insert(name, hyper::header::HeaderValue::from_static(value));
    }
    Ok(response)
}
