//! What goes on coming: streams of the public APIs, turned into server-sent events.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>

use crate::html::Html;
use api::{Body, ByteStream, ConsoleAnswer, Error};
use bytes::{Bytes, BytesMut};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Of a line that is waited for.
const LINE_BYTES_MAX: usize = 256 << 10;

/// A stream of which the beginning was looked at.
pub struct Again {
    pub first: Option<Bytes>,
    pub rest: Pin<Box<dyn ByteStream>>,
}

impl ByteStream for Again {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => self.rest.as_mut().poll_next(cx),
        }
    }
}

/// What turns bytes as they come into events.
pub trait Events: Send + Unpin {
    /// Takes a piece; appends events ([`event`]) if it made any.
    fn take(&mut self, piece: &[u8], out: &mut String);
}

struct Live<E> {
    from: Pin<Box<dyn ByteStream>>,
    events: E,
    begun: bool,
}

/// An event with markup in it.
pub fn event(name: &str, data: &Html, out: &mut String) {
    event_at(name, "", data, out);
}

/// The same with the place where it stands: whoever comes back names the last that they have.
pub fn event_at(name: &str, place: &str, data: &Html, out: &mut String) {
    if !place.is_empty() {
        out.push_str("id: ");
        out.extend(place.chars().filter(|c| !c.is_control()));
        out.push('\n');
    }
    out.push_str("event: ");
    out.push_str(name);
    for line in data.as_str().split('\n') {
        out.push_str("\ndata: ");
        // A carriage return ends a line here too.
        out.extend(line.chars().map(|c| if c == '\r' { ' ' } else { c }));
    }
    out.push_str("\n\n");
}

impl<E: Events> ByteStream for Live<E> {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        if !self.begun {
            // The browser knows then that it is connected.
            self.begun = true;
            return Poll::Ready(Some(Ok(Bytes::from_static(b": here\n\n"))));
        }
        let piece = match std::task::ready!(self.from.as_mut().poll_next(cx)) {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        let mut out = String::new();
        self.events.take(&piece, &mut out);
        if out.is_empty() {
            out.push_str(":\n\n");
        }
        Poll::Ready(Some(Ok(Bytes::from(out))))
    }
}

/// A body as a stream, however it came.
pub fn stream(body: Body) -> Pin<Box<dyn ByteStream>> {
    match body {
        Body::Empty => Box::pin(Again { first: None, rest: Box::pin(Nothing) }),
        Body::Bytes(bytes) => Box::pin(Again { first: Some(bytes), rest: Box::pin(Nothing) }),
        Body::Stream(_, stream) => stream,
    }
}

/// The answer to a page that waits for events.
pub fn answer(body: Body, events: impl Events + 'static) -> ConsoleAnswer {
    answer_of(Box::pin(Live { from: stream(body), events, begun: false }))
}

/// The same of events that stand in words already.
pub fn answer_of(events: Pin<Box<dyn ByteStream>>) -> ConsoleAnswer {
    crate::door::loaded("text/event-stream", Body::Stream(None, events))
}

struct Nothing;

impl ByteStream for Nothing {
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        Poll::Ready(None)
    }
}

/// Whole lines out of pieces. What is too long for a line is cut into several.
#[derive(Default, Debug)]
pub struct Lines(BytesMut);

impl Lines {
    pub fn take(&mut self, piece: &[u8], mut each: impl FnMut(&[u8])) {
        self.0.extend_from_slice(piece);
        while let Some(end) = self.0.iter().position(|b| *b == b'\n') {
            let line = self.0.split_to(end + 1);
            each(&line[..end]);
        }
        if self.0.len() > LINE_BYTES_MAX {
            let long = std::mem::take(&mut self.0);
            each(&long);
        }
    }

    /// What came after the last line end.
    pub fn rest(&mut self, each: impl FnOnce(&[u8])) {
        let rest = std::mem::take(&mut self.0);
        if !rest.is_empty() {
            each(&rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::html;

    #[test]
    fn events_hold_lines_together() {
        let mut out = String::new();
        event("row", &html("a\nb\rdata: x"), &mut out);
        assert_eq!(out, "event: row\ndata: a\ndata: b\u{240d}data: x\n\n");
        out.clear();
        event_at("row", "1\ndata: x", &html("a"), &mut out);
        assert_eq!(out, "id: 1data: x\nevent: row\ndata: a\n\n");
    }

    #[test]
    fn lines_across_pieces() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for piece in ["a\nb", "c\n", "\nd"] {
            lines.take(piece.as_bytes(), |l| seen.push(String::from_utf8_lossy(l).into_owned()));
        }
        lines.rest(|l| seen.push(String::from_utf8_lossy(l).into_owned()));
        assert_eq!(seen, ["a", "bc", "", "d"]);
        let mut cut = 0;
        lines.take(&vec![b'x'; LINE_BYTES_MAX + 1], |_| cut += 1);
        assert_eq!(cut, 1);
    }
}
