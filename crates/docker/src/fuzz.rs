//! What the fuzz target runs, and a unit test from a fixed seed: what stands in the line of a request.

use crate::attach::Keys;
use crate::filters::Filters;
use crate::query::{Query, decode_path};
use crate::server::split_version;

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

#[cfg(test)]
mod tests {
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
