//! Attach over a WebSocket: what the container says as binary messages, what the client says as its input.
//!
//! Frames are RFC 6455's: the client's are masked, ours are not; a message may come in pieces; pings are
//! answered, a close ends the stream. A frame longer than [`FRAME_BYTES_MAX`] ends it, too.

use crate::body::Answer;
use crate::reply::{Reply, with};
use base64::Engine as _;
use engine::Error;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustix::fd::OwnedFd;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const FRAME_BYTES_MAX: u64 = 1 << 20;
const PIECE_BYTES: usize = 32 * 1024;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Whether a request asks for one.
pub fn is_asked(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

fn accept(key: &str) -> String {
    let digest = Sha1::digest(format!("{key}{GUID}").as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// Joins the client with what `start` gives.
pub fn hijack(
    request: Request<Incoming>,
    start: impl Future<Output = Result<OwnedFd, Error>> + Send + 'static,
) -> Reply {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(key) = header("sec-websocket-key").filter(|_| is_asked(&request)) else {
        return Err(Error::invalid("a WebSocket is asked for by its headers, which are not there"));
    };
    let accepted = accept(key);
    let protocol = header("sec-websocket-protocol").and_then(|list| list.split(',').next());
    let protocol = protocol.and_then(|one| HeaderValue::from_str(one.trim()).ok());
    engine::task(async move {
        let upgraded = match hyper::upgrade::on(request).await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => return tracing::debug!(%error, "a WebSocket was not taken up"),
        };
        let stream = start.await.and_then(|fd| Ok(UnixStream::from_std(fd.into())?));
        match stream {
            Ok(stream) => join(upgraded, stream).await,
            Err(error) => {
                let (_, mut to_client) = tokio::io::split(upgraded);
                let _ = to_client.write_all(&frame(BINARY, error.text.as_bytes())).await;
                let _ = to_client.write_all(&frame(CLOSE, &[])).await;
            }
        }
    });
    let mut response = with(StatusCode::SWITCHING_PROTOCOLS, None, Answer::Whole(None));
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accepted) = HeaderValue::from_str(&accepted) {
        headers.insert("sec-websocket-accept", accepted);
    }
    if let Some(protocol) = protocol {
        headers.insert("sec-websocket-protocol", protocol);
    }
    Ok(response)
}

async fn join(client: impl AsyncRead + AsyncWrite, stream: UnixStream) {
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_program, mut to_program) = stream.into_split();
    // Answers to pings go out between what the container says.
    let (answer, mut answers) = mpsc::channel::<Vec<u8>>(8);
    let inward = async {
        while let Ok((kind, content)) = read_frame(&mut from_client).await {
            match kind {
                CLOSE => break,
                PING => drop(answer.try_send(frame(PONG, &content))),
                PONG => {}
                _ => {
                    if to_program.write_all(&content).await.is_err() {
                        break;
                    }
                }
            }
        }
        let _ = to_program.shutdown().await;
    };
    let outward = async {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match engine::first(from_program.read(&mut piece), answers.recv()).await {
                engine::First::Left(Ok(n @ 1..)) => {
                    if to_client.write_all(&frame(BINARY, &piece[..n])).await.is_err() {
                        return;
                    }
                }
                engine::First::Right(Some(pong)) => {
                    if to_client.write_all(&pong).await.is_err() {
                        return;
                    }
                }
                _ => break,
            }
        }
        // 1000: all was said.
        let _ = to_client.write_all(&frame(CLOSE, &1000u16.to_be_bytes())).await;
        let _ = to_client.shutdown().await;
    };
    // The client's end ends it; the program's end as well.
    engine::first(inward, outward).await;
}

fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | kind];
    match content.len() {
        n @ 0..126 => out.push(n as u8),
        n @ 126..65536 => {
            out.push(126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

fn malformed(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned())
}

/// One frame of the client's: its kind and what it holds. Pieces of a message have the kind text.
pub(crate) async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
) -> std::io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    from.read_exact(&mut head).await?;
    let kind = match head[0] & 0x0f {
        // A piece that goes on means what the first one meant: input.
        0 | TEXT | BINARY => TEXT,
        kind @ CLOSE..=PONG => kind,
        _ => return Err(malformed("no such kind of frame")),
    };
    if head[0] & 0x70 != 0 || head[1] & 0x80 == 0 {
        return Err(malformed("a frame that no client may send"));
    }
    let length = match head[1] & 0x7f {
        126 => u64::from(from.read_u16().await?),
        127 => from.read_u64().await?,
        n => u64::from(n),
    };
    if length > FRAME_BYTES_MAX || (kind >= CLOSE && length > 125) {
        return Err(malformed("a frame is too long"));
    }
    let mut mask = [0; 4];
    from.read_exact(&mut mask).await?;
    let mut content = vec![0; length as usize];
    from.read_exact(&mut content).await?;
    for (byte, key) in content.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok((kind, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> std::io::Result<(u8, Vec<u8>)> {
        store::blobs::block_on(read_frame(&mut &bytes[..]))
    }

    #[test]
    fn the_answer_of_the_standard() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames() {
        // The standard's own example: "Hello", masked.
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read(&hello).unwrap(), (TEXT, b"Hello".to_vec()));
        assert_eq!(frame(BINARY, b"Hello"), b"\x82\x05Hello");
        assert_eq!(frame(BINARY, &[7; 300])[..4], [0x82, 126, 1, 44]);
        assert_eq!(frame(BINARY, &[7; 70_000])[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 17, 112]);
        for bad in [
            &b"\x81\x05Hello"[..],
            b"\x83\x80\0\0\0\0",
            b"\xc1\x80\0\0\0\0",
            b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
            b"\x89\xfe\x01\x00\0\0\0\0",
            b"\x81",
            b"",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
