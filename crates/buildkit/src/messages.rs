//! The messages of BuildKit and fsutil that are read or written here, with the fields that count.
//! Numbers of fields are those of `moby/buildkit` (`control.proto`, `gateway.proto`, `worker.proto`,
//! `caps.proto`) and `tonistiigi/fsutil` (`wire.proto`, `stat.proto`).

use crate::wire::{Malformed, Message, Value, entry, fields};
use std::collections::BTreeMap;

pub type Map = BTreeMap<String, String>;

/// What a build is to become.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Exporter {
    pub kind: String,
    pub attrs: Map,
}

/// `Control.Solve`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SolveRequest {
    pub reference: String,
    pub session: String,
    pub frontend: String,
    pub attrs: Map,
    pub exporters: Vec<Exporter>,
    pub cache_exports: Vec<Exporter>,
    pub cache_imports: Vec<Exporter>,
    pub entitlements: Vec<String>,
    /// Whether it brings steps of its own, in BuildKit's low-level form.
    pub has_definition: bool,
    pub has_inputs: bool,
    pub has_policy: bool,
}

fn exporter(value: Value<'_>) -> Result<Exporter, Malformed> {
    let mut exporter = Exporter::default();
    for field in fields(value.bytes()?) {
        match field? {
            (1, value) => exporter.kind = value.text()?,
            (2, value) => entry(&mut exporter.attrs, value)?,
            _ => {}
        }
    }
    Ok(exporter)
}

impl SolveRequest {
    pub fn read(bytes: &[u8]) -> Result<SolveRequest, Malformed> {
        let mut request = SolveRequest::default();
        let mut of_old = Exporter::default();
        for field in fields(bytes) {
            let (number, value) = field?;
            match number {
                1 => request.reference = value.text()?,
                2 => request.has_definition |= has_steps(value)?,
                3 => of_old.kind = value.text()?,
                4 => entry(&mut of_old.attrs, value)?,
                5 => request.session = value.text()?,
                6 => request.frontend = value.text()?,
                7 => entry(&mut request.attrs, value)?,
                8 => request.cache(value)?,
                9 => request.entitlements.push(value.text()?),
                10 => request.has_inputs = true,
                12 => request.has_policy |= !value.bytes()?.is_empty(),
                13 => request.exporters.push(exporter(value)?),
                _ => {}
            }
        }
        if request.exporters.is_empty() && !of_old.kind.is_empty() {
            request.exporters.push(of_old);
        }
        Ok(request)
    }

    fn cache(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        for field in fields(value.bytes()?) {
            match field? {
                (1, value) => {
                    let attrs = Map::from([("ref".to_owned(), value.text()?)]);
                    self.cache_exports.push(Exporter { kind: "registry".to_owned(), attrs });
                }
                (4, value) => self.cache_exports.push(exporter(value)?),
                (5, value) => self.cache_imports.push(exporter(value)?),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a definition has any.
fn has_steps(value: Value<'_>) -> Result<bool, Malformed> {
    let mut found = false;
    for field in fields(value.bytes()?) {
        found |= field?.0 == 1;
    }
    Ok(found)
}

/// `LLBBridge.Solve`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct BridgeSolve {
    pub has_definition: bool,
    pub has_inputs: bool,
    pub frontend: String,
    pub attrs: Map,
    pub has_policy: bool,
}

impl BridgeSolve {
    pub fn read(bytes: &[u8]) -> Result<BridgeSolve, Malformed> {
        let mut request = BridgeSolve::default();
        for field in fields(bytes) {
            match field? {
                (1, value) => request.has_definition |= has_steps(value)?,
                (2, value) => request.frontend = value.text()?,
                (3, value) => entry(&mut request.attrs, value)?,
                (13, _) => request.has_inputs = true,
                (15, value) => request.has_policy |= !value.bytes()?.is_empty(),
                _ => {}
            }
        }
        Ok(request)
    }
}

/// `LLBBridge.Return`: which result it is, or what went wrong.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Returned {
    pub result: String,
    pub error: Option<(u64, String)>,
}

impl Returned {
    pub fn read(bytes: &[u8]) -> Result<Returned, Malformed> {
        let mut returned = Returned::default();
        for field in fields(bytes) {
            match field? {
                (1, value) => returned.result = result(value)?,
                (2, value) => {
                    let (mut code, mut text) = (0, String::new());
                    for field in fields(value.bytes()?) {
                        match field? {
                            (1, value) => code = value.number()?,
                            (2, value) => text = value.text()?,
                            _ => {}
                        }
                    }
                    returned.error = Some((code, text));
                }
                _ => {}
            }
        }
        Ok(returned)
    }
}

/// The one that it names, in any of the forms that there have been.
fn result(value: Value<'_>) -> Result<String, Malformed> {
    let mut id = String::new();
    for field in fields(value.bytes()?) {
        match field? {
            (1, value) => id = value.text()?,
            (3, value) => {
                for field in fields(value.bytes()?) {
                    if let (1, value) = field? {
                        id = value.text()?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(id)
}

/// The first field of a message, as a text: `StatusRequest`, `GetSecretRequest`, and the like.
pub fn first_text(bytes: &[u8]) -> Result<String, Malformed> {
    let mut text = String::new();
    for field in fields(bytes) {
        if let (1, value) = field? {
            text = value.text()?;
        }
    }
    Ok(text)
}

/// The first field of a message, as bytes: `BytesMessage`, `GetSecretResponse`.
pub fn first_bytes(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut found = Vec::new();
    for field in fields(bytes) {
        if let (1, value) = field? {
            found = value.bytes()?.to_vec();
        }
    }
    Ok(found)
}

/// `CredentialsResponse`.
pub fn credentials(bytes: &[u8]) -> Result<(String, String), Malformed> {
    let (mut name, mut secret) = (String::new(), String::new());
    for field in fields(bytes) {
        match field? {
            (1, value) => name = value.text()?,
            (2, value) => secret = value.text()?,
            _ => {}
        }
    }
    Ok((name, secret))
}

/// Bits of the mode of a file that are Go's own.
pub mod mode {
    pub const FOLDER: u32 = 1 << 31;
    pub const LINK: u32 = 1 << 27;
    pub const DEVICE: u32 = 1 << 26;
    pub const PIPE: u32 = 1 << 25;
    pub const SOCKET: u32 = 1 << 24;
    pub const SETUID: u32 = 1 << 23;
    pub const SETGID: u32 = 1 << 22;
    pub const STICKY: u32 = 1 << 20;
    pub const KINDS: u32 = FOLDER | LINK | DEVICE | PIPE | SOCKET | 1 << 21 | 1 << 19;
}

/// One file of a tree.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Stat {
    pub path: String,
    /// As Go has it.
    pub mode: u32,
    pub size: i64,
    pub modified_ns: i64,
    /// Where a link leads, symbolic or hard.
    pub link: String,
}

impl Stat {
    fn read(bytes: &[u8]) -> Result<Stat, Malformed> {
        let mut stat = Stat::default();
        for field in fields(bytes) {
            match field? {
                (1, value) => stat.path = value.text()?,
                (2, value) => stat.mode = value.number()? as u32,
                (5, value) => stat.size = value.number()? as i64,
                (6, value) => stat.modified_ns = value.number()? as i64,
                (7, value) => stat.link = value.text()?,
                _ => {}
            }
        }
        Ok(stat)
    }

    fn write(&self) -> Message {
        Message::default()
            .text(1, &self.path)
            .number(2, u64::from(self.mode))
            .number(5, self.size as u64)
            .number(6, self.modified_ns as u64)
            .text(7, &self.link)
    }
}

/// What goes to and fro while a tree is copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// One file more; `None`: that was all.
    Stat(Option<Stat>),
    /// The content of the file of this number is wanted.
    Request(u32),
    /// A piece of it; an empty one is its end.
    Data(u32, Vec<u8>),
    End,
    Error(String),
}

impl Packet {
    pub fn read(bytes: &[u8]) -> Result<Packet, Malformed> {
        let (mut kind, mut id, mut stat, mut data): (_, _, _, &[u8]) = (0, 0, None, &[]);
        for field in fields(bytes) {
            match field? {
                (1, value) => kind = value.number()?,
                (2, value) => stat = Some(Stat::read(value.bytes()?)?),
                (3, value) => id = value.number()? as u32,
                (4, value) => data = value.bytes()?,
                _ => {}
            }
        }
        match kind {
            0 => Ok(Packet::Stat(stat)),
            1 => Ok(Packet::Request(id)),
            2 => Ok(Packet::Data(id, data.to_vec())),
            3 => Ok(Packet::End),
            4 => Ok(Packet::Error(String::from_utf8_lossy(data).into_owned())),
            _ => Err(Malformed),
        }
    }

    pub fn write(&self) -> Vec<u8> {
        let message = Message::default();
        match self {
            Packet::Stat(None) => message,
            Packet::Stat(Some(stat)) => message.message(2, &stat.write()),
            Packet::Request(id) => message.number(1, 1).number(3, u64::from(*id)),
            Packet::Data(id, data) => message.number(1, 2).number(3, u64::from(*id)).bytes(4, data),
            Packet::End => message.number(1, 3),
            Packet::Error(text) => message.number(1, 4).text(4, text),
        }
        .end()
    }
}

/// Nanoseconds since 1970.
pub fn timestamp(ns: i64) -> Message {
    const SECOND: i64 = 1_000_000_000;
    Message::default()
        .number(1, ns.div_euclid(SECOND) as u64)
        .number(2, ns.rem_euclid(SECOND) as u64)
}

/// What a server can do, by name.
pub fn capability(name: &str) -> Message {
    Message::default().text(1, name).flag(2, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets() {
        let stat = Stat {
            path: "a/b".to_owned(),
            mode: mode::FOLDER | 0o755,
            size: 4,
            modified_ns: -5,
            link: "x".to_owned(),
        };
        for packet in [
            Packet::Stat(Some(stat)),
            Packet::Stat(None),
            Packet::Request(7),
            Packet::Data(7, b"abc".to_vec()),
            Packet::Data(0, Vec::new()),
            Packet::End,
            Packet::Error("why".to_owned()),
        ] {
            assert_eq!(Packet::read(&packet.write()), Ok(packet));
        }
        assert_eq!(Packet::read(b"\x08\x09"), Err(Malformed));
    }

    #[test]
    fn requests() {
        let attrs = Map::from([("filename".to_owned(), "D".to_owned())]);
        let exporter = Message::default().text(1, "moby").map(2, &attrs);
        let cache = Message::default().message(4, &Message::default().text(1, "inline"));
        let message = Message::default()
            .text(1, "r")
            .text(3, "old")
            .text(5, "s")
            .text(6, "dockerfile.v0")
            .map(7, &attrs)
            .message(8, &cache);
        let read = SolveRequest::read(&message.clone().end()).unwrap();
        assert_eq!((read.reference.as_str(), read.session.as_str()), ("r", "s"));
        assert_eq!((read.exporters[0].kind.as_str(), &read.attrs), ("old", &attrs));
        assert_eq!(read.cache_exports[0].kind, "inline");
        let read = SolveRequest::read(&message.message(13, &exporter).end()).unwrap();
        assert_eq!(read.exporters, [Exporter { kind: "moby".to_owned(), attrs }]);
        let reference = Message::default().text(1, "id");
        let result = Message::default().message(3, &reference);
        let returned = Returned::read(&Message::default().message(1, &result).end()).unwrap();
        assert_eq!(returned, Returned { result: "id".to_owned(), error: None });
        let status = Message::default().number(1, 2).text(2, "no");
        let returned = Returned::read(&Message::default().message(2, &status).end()).unwrap();
        assert_eq!(returned.error, Some((2, "no".to_owned())));
    }
}
