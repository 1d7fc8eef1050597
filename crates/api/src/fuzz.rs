//! Any bytes as a request to a service, through its routes, its decoder and its operation: so each
//! parser that a service has is met on the way that bytes from outside take.

use crate::testing::World;
use crate::{Error, Service};
use base::percent;
use bytes::Bytes;
use smithy::model::Protocol;
use std::borrow::Cow;

struct Lines<'a>(Vec<(String, &'a [u8])>);

impl smithy::Headers for Lines<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.0.iter().for_each(|(name, value)| visit(name, value));
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }
}

fn decoded(text: &str) -> Cow<'_, str> {
    String::from_utf8_lossy(&percent::decode_form(text)).into_owned().into()
}

/// A request line without a version, header lines, an empty line, a body. Panics where the service
/// does, or fails for a reason of its own: whatever is asked, the asker is to blame.
pub fn request(world: &World, service: &dyn Service, protocol: Protocol, data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|b| *b == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (method, target) = first.split_once(' ').unwrap_or(("GET", &first));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: Vec<_> = (query.split('&').filter(|pair| !pair.is_empty()))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let headers = Lines(
        lines
            .map(|line| {
                let at = line.iter().position(|b| *b == b':').unwrap_or(line.len());
                let name = String::from_utf8_lossy(&line[..at]).to_ascii_lowercase();
                (name, line.get(at + 1..).unwrap_or_default().trim_ascii())
            })
            .collect(),
    );
    let body = Bytes::copy_from_slice(body);
    let to = smithy::Target { method, path, query: &query, headers: &headers, body: &body };
    let Ok(routed) = service.model().route(protocol, &to) else { return };
    let Some(served) = &routed.operation.served else { return };
    let mut input = (served.new_input)();
    let labels = &routed.labels[..];
    let request = smithy::Request { labels, query: &query, headers: &headers, body: &body };
    if smithy::decode_request(protocol, service.model(), &request, &mut *input).is_ok() {
        let answer = world.run(service, routed.operation.name, &*input, body.clone());
        let ours = answer.err().and_then(|error: Error| error.cause().map(str::to_owned));
        assert_eq!(ours, None, "{}", routed.operation.name);
    }
}
