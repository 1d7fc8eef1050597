//! A socket that carries the streams of a program to whoever looks, and what they type back.

use super::log_file::Stream;
use super::protocol::Outlet;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::collections::VecDeque;

/// With so much waiting for a reader, its program's output is not read any further.
const WAITING_BYTES_MAX: usize = 256 * 1024;

pub struct Socket {
    pub fd: OwnedFd,
    pub carries: Outlet,
    waiting: VecDeque<u8>,
    /// All output is in: what waits is sent, and then comes the end.
    ending: bool,
    pub stdin_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    All,
    /// Tell again when the socket takes more.
    Some,
    /// Nobody reads any more, or the end was sent.
    Gone,
}

impl Socket {
    pub fn new(fd: OwnedFd, carries: Outlet) -> Socket {
        let stdin_open = carries.stdin;
        Socket { fd, carries, waiting: VecDeque::new(), ending: false, stdin_open }
    }

    pub fn put(&mut self, stream: Stream, bytes: &[u8]) {
        let wanted = match stream {
            Stream::Out => self.carries.stdout,
            Stream::Err => self.carries.stderr,
        };
        if !wanted || self.ending {
            return;
        }
        if self.carries.framed {
            let [a, b, c, d] = (bytes.len() as u32).to_be_bytes();
            self.waiting.extend([stream as u8, 0, 0, 0, a, b, c, d]);
        }
        self.waiting.extend(bytes);
    }

    pub fn end(&mut self) {
        self.ending = true;
    }

    pub fn is_slow(&self) -> bool {
        self.waiting.len() > WAITING_BYTES_MAX
    }

    /// Sends what the socket takes.
    pub fn send(&mut self) -> Sent {
        while !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match rustix::net::send(&self.fd, front, rustix::net::SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.waiting.drain(..sent)),
                Err(Errno::AGAIN) => return Sent::Some,
                Err(Errno::INTR) => {}
                Err(_) => return Sent::Gone,
            }
        }
        if self.waiting.capacity() > 16 * 1024 {
            self.waiting = VecDeque::new();
        }
        if !self.ending {
            return Sent::All;
        }
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Write);
        Sent::Gone
    }
}
