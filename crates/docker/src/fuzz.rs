//! What the fuzz target runs, and a unit test from a fixed seed: what stands in the line of a request.

use crate::attach::Keys;
use crate::filters::Filters;
use crate::query::{Query, decode_path};
use crate::server::split_version;
use crate::websocket::read_frame;

/// A path and its query.
pub fn fuzz_line(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Ok((_, rest)) = split_version(path) {
        assert!(path.ends_with(rest));
        let _ = decode_path(rest);
    }
    let query = Query::parse(query);
    for name in ["since", "until", "t"] {
        let _ = (query.time(name), query.number::<i64>(name), query.flag(name), query.all(name));
    }
    let _ = Filters::parse(query.text("filters"), &["label", "status", "until"]);
    if let Ok(mut keys) = Keys::parse(query.text("detachKeys")) {
        let mut out = Vec::new();
        let left = keys.pass(data, &mut out);
        assert!(left || out.len() <= data.len());
    }
}

/// Frames of a WebSocket as a client sends them, to their end.
pub fn fuzz_frame(data: &[u8]) {
    let mut rest = data;
    while !rest.is_empty() {
        let before = rest.len();
        let Ok((kind, content)) = store::blobs::block_on(read_frame(&mut rest)) else { return };
        assert!(kind <= 10 && rest.len() + content.len() < before);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_second_of_frames() {
        let seeds: [&[u8]; 3] = [
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x88\x80\0\0\0\0",
            b"\x02\xfe\0\x05\0\0\0\0abcde\x80\x80\0\0\0\0",
            b"\x89\xff\0\0\0\0\0\0\0\x02\x01\x02\x03\x04ab",
        ];
        let words: [&[u8]; 4] = [b"\x81\xfe\xff\xff", b"\xff", b"\x8a\x80", b"\0\0\0\0"];
        base::noise::run(22, 60_000, &seeds, &words, super::fuzz_frame);
    }

    #[test]
    fn a_second_of_noise() {
        let seeds: [&[u8]; 4] = [
            b"/v1.51/containers/json?all=1&filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%7D",
            b"/containers/a%2Fb/logs?since=1700000000.5&until=2026-11-20T17:30:00.123456789Z&t=5",
            b"/v1.24/containers/x/attach?detachKeys=ctrl-p,ctrl-q",
            b"/version",
        ];
        let words: [&[u8]; 8] =
            [b"%", b"9999", b"&t=", b"&since=", b"9223372036854775807", b"-", b"/v", b","];
        base::noise::run(8, 30_000, &seeds, &words, super::fuzz_line);
    }
}
