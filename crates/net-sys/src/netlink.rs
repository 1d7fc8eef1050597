//! Messages to the kernel and what it answers.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size_force;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
    socket_with,
};
use std::io;

pub const REQUEST: u16 = 1;
pub const ACK: u16 = 4;
pub const EXCLUSIVE: u16 = 0x200;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;
const DUMP: u16 = 0x300;

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NESTED: u16 = 0x8000;
const ANSWER_BYTES: usize = 64 * 1024;
/// So much can be sent at once anywhere.
const USUAL_BYTES: usize = 64 * 1024;

pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    /// For answers.
    buffer: Vec<u8>,
}

/// One message, while it is written.
#[derive(Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn new(kind: u16, flags: u16, head: &[u8]) -> Message {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(head);
        let mut message = Message(bytes);
        message.pad();
        message
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Message {
        let length = (4 + value.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.pad();
        self
    }

    pub fn text(&mut self, kind: u16, value: &str) -> &mut Message {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    pub fn nested(&mut self, kind: u16, inner: impl FnOnce(&mut Message)) -> &mut Message {
        let at = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        inner(self);
        let length = (self.0.len() - at) as u16;
        self.0[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.0[at + 2..at + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
        self
    }

    /// Bytes without a head of an attribute, as inside of some.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Message {
        self.0.extend_from_slice(bytes);
        self.pad();
        self
    }
}

impl Socket {
    pub fn route() -> io::Result<Socket> {
        // Its number is 0, which is what no protocol means.
        Socket::open(None)
    }

    pub fn netfilter() -> io::Result<Socket> {
        Socket::open(Some(netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> io::Result<Socket> {
        let flags = SocketFlags::CLOEXEC;
        // It stays where it was made, whoever speaks through it.
        let fd = crate::at_home(|| {
            Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?)
        })?;
        Ok(Socket { fd, sequence: 1, buffer: vec![0; ANSWER_BYTES] })
    }

    /// Sends one message and waits until it is done.
    pub fn request(&mut self, message: Message) -> io::Result<()> {
        self.batch(vec![message])
    }

    /// Sends all at once. The kernel answers those that ask for it, and any that fails.
    pub fn batch(&mut self, messages: Vec<Message>) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for mut message in messages {
            self.sequence += 1;
            let length = message.0.len() as u32;
            message.0[..4].copy_from_slice(&length.to_ne_bytes());
            message.0[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
            let flags = u16::from_ne_bytes([message.0[6], message.0[7]]);
            if flags & ACK != 0 {
                expected.push(self.sequence);
            }
            bytes.extend_from_slice(&message.0);
        }
        if bytes.len() > USUAL_BYTES {
            // All of it is one message to the kernel. Who may not have that much is told so by what follows.
            let _ = set_socket_send_buffer_size_force(&self.fd, bytes.len());
        }
        send(&self.fd, &bytes, SendFlags::empty())?;
        let mut failed = None;
        while !expected.is_empty() {
            self.receive(|kind, sequence, body| {
                expected.retain(|one| *one != sequence);
                if kind == ERROR {
                    let code = body.get(..4).and_then(|code| code.try_into().ok());
                    let code = code.map_or(0, i32::from_ne_bytes);
                    if code != 0 && failed.is_none() {
                        failed = Some(Errno::from_raw_os_error(-code));
                    }
                }
                true
            })?;
            // A batch that failed is not answered any further.
            if failed.is_some() {
                break;
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    fn send(&mut self, mut message: Message) -> io::Result<()> {
        self.sequence += 1;
        let length = message.0.len() as u32;
        message.0[..4].copy_from_slice(&length.to_ne_bytes());
        message.0[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        send(&self.fd, &message.0, SendFlags::empty())?;
        Ok(())
    }

    /// Asks for one thing, with a message that wants to be acknowledged; its body is given to `found`.
    pub fn get(&mut self, message: Message, mut found: impl FnMut(&[u8])) -> io::Result<()> {
        self.send(message)?;
        let mut done = None;
        while done.is_none() {
            self.receive(|kind, _, body| {
                match kind {
                    ERROR => {
                        let code = body.get(..4).and_then(|code| code.try_into().ok());
                        done = Some(code.map_or(0, i32::from_ne_bytes));
                    }
                    _ => found(body),
                }
                true
            })?;
        }
        match done {
            Some(code) if code != 0 => Err(Errno::from_raw_os_error(-code).into()),
            _ => Ok(()),
        }
    }

    /// Asks for a list; each item's body is given to `each`.
    pub fn dump(&mut self, kind: u16, head: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.send(Message::new(kind, REQUEST | DUMP, head))?;
        let mut is_done = false;
        while !is_done {
            self.receive(|kind, _, body| {
                match kind {
                    DONE | ERROR => is_done = true,
                    _ => each(body),
                }
                true
            })?;
        }
        Ok(())
    }

    /// One datagram, message by message: kind, sequence, body.
    fn receive(&mut self, mut each: impl FnMut(u16, u32, &[u8]) -> bool) -> io::Result<()> {
        let (received, _) = recv(&self.fd, &mut self.buffer[..], RecvFlags::empty())?;
        let mut rest = &self.buffer[..received];
        while rest.len() >= HEADER {
            let word = |at: usize| {
                u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]])
            };
            let length = word(0) as usize;
            if length < HEADER || length > rest.len() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let kind = u16::from_ne_bytes([rest[4], rest[5]]);
            if !each(kind, word(8), &rest[HEADER..length]) {
                return Ok(());
            }
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
        Ok(())
    }
}

/// The attributes that follow a head of this length: kind and value.
pub fn attributes(body: &[u8], head: usize) -> Vec<(u16, &[u8])> {
    let mut out = Vec::new();
    let mut rest = body.get(head..).unwrap_or_default();
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        if length < 4 || length > rest.len() {
            break;
        }
        let kind = u16::from_ne_bytes([rest[2], rest[3]]) & !NESTED;
        out.push((kind, &rest[4..length]));
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::new(16, REQUEST, &[9; 5]);
        message.text(3, "abc").nested(18, |inner| {
            inner.attribute(1, &[1, 2, 3, 4, 5]);
        });
        assert_eq!(message.0.len() % 4, 0);
        let found = attributes(&message.0[HEADER..], 8);
        assert_eq!(found[0], (3, &b"abc\0"[..]));
        assert_eq!(found[1].0, 18);
        assert_eq!(attributes(found[1].1, 0), [(1, &[1, 2, 3, 4, 5][..])]);
        for broken in [&[3, 0, 1, 0][..], &[9, 0, 1, 0, 1], &[1], &[]] {
            assert!(attributes(broken, 0).is_empty());
        }
    }
}
