//! What a client hears of a build while it goes on.

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

/// What happens in a build, for those who tell of it in their own way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A step begins, of this name.
    Begun(String),
    /// Nothing had to be done for it.
    Cached,
    Said {
        is_error: bool,
        text: String,
    },
    /// A line about a transfer, as a pull has it.
    Moved(Bytes),
    /// The step is over.
    Ended,
}

#[derive(Clone, Debug)]
enum To {
    /// Documents in lines, as the classic builder tells.
    Lines(mpsc::Sender<Bytes>),
    Events(mpsc::Sender<Event>),
}

#[derive(Clone, Debug)]
pub struct Output {
    to: To,
    quiet: bool,
}

impl Output {
    pub fn new(to: mpsc::Sender<Bytes>, quiet: bool) -> Output {
        Output { to: To::Lines(to), quiet }
    }

    pub fn events(to: mpsc::Sender<Event>) -> Output {
        Output { to: To::Events(to), quiet: false }
    }

    async fn send(&self, bytes: Bytes) {
        if let To::Lines(to) = &self.to {
            let _ = to.send(bytes).await;
        }
    }

    /// For those who hear of events alone.
    pub async fn event(&self, event: Event) {
        if let To::Events(to) = &self.to {
            let _ = to.send(event).await;
        }
    }

    /// A document and the end of its line.
    pub async fn document(&self, value: &impl Serialize) {
        let mut bytes = serde_json::to_vec(value).unwrap_or_default();
        bytes.extend_from_slice(b"\r\n");
        self.send(bytes.into()).await;
    }

    /// A line about a transfer that somebody else made, unless it should be quiet.
    pub async fn raw(&self, line: Bytes) {
        if let To::Events(to) = &self.to {
            let _ = to.send(Event::Moved(line)).await;
        } else if !self.quiet {
            self.send(line).await;
        }
    }

    pub async fn text(&self, text: &str) {
        if !self.quiet && !text.is_empty() {
            self.document(&serde_json::json!({ "stream": text })).await;
        }
    }

    /// Also when it should be quiet.
    pub async fn always(&self, text: &str) {
        self.document(&serde_json::json!({ "stream": text })).await;
    }

    pub async fn cached(&self) {
        self.text(" ---> Using cache\n").await;
        self.event(Event::Cached).await;
    }

    /// What the program of a step says. Errors are red, as Docker has them.
    pub async fn said(&self, is_error: bool, text: String) {
        match &self.to {
            _ if text.is_empty() => {}
            To::Events(to) => drop(to.send(Event::Said { is_error, text }).await),
            To::Lines(_) if is_error => self.text(&format!("\x1b[91m{text}\x1b[0m")).await,
            To::Lines(_) => self.text(&text).await,
        }
    }

    pub async fn error(&self, text: &str, code: Option<i64>) {
        let detail = match code {
            Some(code) => serde_json::json!({ "code": code, "message": text }),
            None => serde_json::json!({ "message": text }),
        };
        self.document(&serde_json::json!({ "errorDetail": detail, "error": text })).await;
    }

    /// Nothing but an empty line: only who writes learns that the other end is gone.
    pub async fn beat(&self) {
        self.send(Bytes::from_static(b"\r\n")).await;
    }

    /// Whether nobody listens any more.
    pub fn is_closed(&self) -> bool {
        match &self.to {
            To::Lines(to) => to.is_closed(),
            To::Events(to) => to.is_closed(),
        }
    }

    pub async fn closed(&self) {
        match &self.to {
            To::Lines(to) => to.closed().await,
            To::Events(to) => to.closed().await,
        }
    }
}

/// Bytes of a program as texts: a letter that comes in two pieces stays one.
#[derive(Default, Debug)]
pub struct Letters {
    kept: Vec<u8>,
}

impl Letters {
    pub fn pass(&mut self, bytes: &[u8]) -> String {
        self.kept.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.kept) {
            Ok(_) => self.kept.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.kept.len(),
        };
        let rest = self.kept.split_off(whole);
        String::from_utf8_lossy(&std::mem::replace(&mut self.kept, rest)).into_owned()
    }

    pub fn end(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.kept)).into_owned()
    }
}

/// What a step's program says: pieces with heads in, texts out, and whether each is an error.
#[derive(Default, Debug)]
pub struct Said {
    kept: Vec<u8>,
    out: Letters,
    err: Letters,
}

const HEAD_BYTES: usize = 8;
const STDERR: u8 = 2;

impl Said {
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<(bool, String)> {
        self.kept.extend_from_slice(bytes);
        let mut texts = Vec::new();
        while let [stream, _, _, _, a, b, c, d, rest @ ..] = self.kept.as_slice() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            let Some(content) = rest.get(..length) else { break };
            texts.push(match *stream {
                STDERR => (true, self.err.pass(content)),
                _ => (false, self.out.pass(content)),
            });
            self.kept.drain(..HEAD_BYTES + length);
        }
        texts
    }

    pub fn end(&mut self) -> [(bool, String); 2] {
        [(false, self.out.end()), (true, self.err.end())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(is_error: bool, text: &str) -> (bool, String) {
        (is_error, text.to_owned())
    }

    #[test]
    fn errors_are_known() {
        let mut said = Said::default();
        let bytes = b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x03bad\x01\0\0\0\0\0\0\x02\xc3";
        assert_eq!(said.pass(&bytes[..5]), []);
        assert_eq!(said.pass(&bytes[5..]), [text(false, "ab"), text(true, "bad")]);
        assert_eq!(said.pass(b"\xa9"), [text(false, "\u{e9}")]);
        assert_eq!(said.end(), [text(false, ""), text(true, "")]);
    }

    #[test]
    fn letters_in_pieces() {
        let mut letters = Letters::default();
        assert_eq!(letters.pass(b"a\xc3"), "a");
        assert_eq!(letters.pass(b"\xa9b\xff"), "éb\u{fffd}");
        assert_eq!(letters.pass(b"\xe2\x82"), "");
        assert_eq!(letters.end(), "\u{fffd}");
    }
}
