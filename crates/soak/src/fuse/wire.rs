//! The kernel's side of the file system protocol: numbers in native order, structures laid out by
//! `include/uapi/linux/fuse.h`. Only what a data folder needs.

use rustix::io::Errno;

pub const MAJOR: u32 = 7;
pub const MINOR: u32 = 31;
pub const WRITE_BYTES_MAX: u32 = 1 << 20;
/// Head, arguments and a page to spare.
pub const REQUEST_BYTES_MAX: usize = WRITE_BYTES_MAX as usize + 8192;

pub const LOOKUP: u32 = 1;
pub const FORGET: u32 = 2;
pub const GETATTR: u32 = 3;
pub const SETATTR: u32 = 4;
pub const MKNOD: u32 = 8;
pub const MKDIR: u32 = 9;
pub const UNLINK: u32 = 10;
pub const RMDIR: u32 = 11;
pub const RENAME: u32 = 12;
pub const LINK: u32 = 13;
pub const OPEN: u32 = 14;
pub const READ: u32 = 15;
pub const WRITE: u32 = 16;
pub const STATFS: u32 = 17;
pub const RELEASE: u32 = 18;
pub const FSYNC: u32 = 20;
pub const FLUSH: u32 = 25;
pub const INIT: u32 = 26;
pub const OPENDIR: u32 = 27;
pub const READDIR: u32 = 28;
pub const RELEASEDIR: u32 = 29;
pub const FSYNCDIR: u32 = 30;
pub const CREATE: u32 = 35;
pub const INTERRUPT: u32 = 36;
pub const BATCH_FORGET: u32 = 42;
pub const FALLOCATE: u32 = 43;
pub const RENAME2: u32 = 45;

/// Large writes, more pages a request, reads that need not wait for one another.
pub const INIT_FLAGS: u32 = 1 | 1 << 5 | 1 << 22;
/// SETATTR changes the length.
pub const SET_SIZE: u32 = 1 << 3;
/// Kinds of files, as they stand in a mode.
pub const KIND: u32 = 0o170_000;
pub const DIRECTORY: u32 = 0o040_000;
pub const REGULAR: u32 = 0o100_000;
pub const SOCKET: u32 = 0o140_000;
const HEAD_BYTES: usize = 40;

/// One request of the kernel's.
#[derive(Debug)]
pub struct Request<'a> {
    pub opcode: u32,
    pub unique: u64,
    pub node: u64,
    pub arguments: Arguments<'a>,
}

/// Read from the front; a request that is too short is an error, not a panic.
#[derive(Debug)]
pub struct Arguments<'a>(pub &'a [u8]);

impl<'a> Arguments<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let (front, rest) = self.0.split_at_checked(count).ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(front)
    }

    pub fn u32(&mut self) -> Result<u32, Errno> {
        Ok(u32::from_ne_bytes(self.take(4)?.try_into().map_err(|_| Errno::INVAL)?))
    }

    pub fn u64(&mut self) -> Result<u64, Errno> {
        Ok(u64::from_ne_bytes(self.take(8)?.try_into().map_err(|_| Errno::INVAL)?))
    }

    pub fn skip(&mut self, count: usize) -> Result<(), Errno> {
        self.take(count).map(|_| ())
    }

    /// Up to the zero byte.
    pub fn name(&mut self) -> Result<Vec<u8>, Errno> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Errno::INVAL)?;
        let name = self.take(end)?.to_vec();
        self.skip(1)?;
        Ok(name)
    }
}

pub fn parse(bytes: &[u8]) -> Result<Request<'_>, Errno> {
    let mut head = Arguments(bytes);
    head.skip(4)?;
    let (opcode, unique, node) = (head.u32()?, head.u64()?, head.u64()?);
    head.skip(HEAD_BYTES - 24)?;
    Ok(Request { opcode, unique, node, arguments: head })
}

/// The body of an answer, put together.
#[derive(Debug, Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    pub fn u16(mut self, value: u16) -> Body {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Body {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Body {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub fn zeros(mut self, count: usize) -> Body {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Body {
        self.0.extend_from_slice(bytes);
        self
    }

    /// `struct fuse_attr`, owned by root.
    pub fn attributes(self, ino: u64, kind: u32, size: u64, links: u32) -> Body {
        let mode = kind | if kind == DIRECTORY { 0o700 } else { 0o600 };
        let body = self.u64(ino).u64(size).u64(size.div_ceil(512)).zeros(3 * 8 + 3 * 4);
        body.u32(mode).u32(links).zeros(3 * 4).u32(4096).u32(0)
    }
}

pub fn answer(unique: u64, result: &Result<Body, Errno>) -> Vec<u8> {
    let (error, body) = match result {
        Ok(body) => (0, body.0.as_slice()),
        Err(errno) => (-errno.raw_os_error(), [].as_slice()),
    };
    let length = u32::try_from(16 + body.len()).unwrap_or(16);
    let mut bytes = Vec::with_capacity(16 + body.len());
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&error.to_ne_bytes());
    bytes.extend_from_slice(&unique.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_requests_are_refused() {
        let mut bytes = vec![0; HEAD_BYTES];
        bytes[4] = 1;
        bytes[8] = 7;
        bytes.extend_from_slice(b"ab\0c");
        let mut request = parse(&bytes).unwrap();
        assert_eq!((request.opcode, request.unique), (LOOKUP, 7));
        assert_eq!(request.arguments.name(), Ok(b"ab".to_vec()));
        assert_eq!(request.arguments.name(), Err(Errno::INVAL));
        assert_eq!(request.arguments.u64(), Err(Errno::INVAL));
        assert!(parse(&bytes[..39]).is_err());
    }

    #[test]
    fn structures_are_as_long_as_the_kernel_says() {
        assert_eq!(Body::default().attributes(1, DIRECTORY, 0, 2).0.len(), 88);
        assert_eq!(answer(1, &Err(Errno::NOENT))[4..8], (-2i32).to_ne_bytes());
    }
}
