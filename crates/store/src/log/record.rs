//! The bytes of the log: a header per segment, a frame per group, commits within a frame.
//!
//! All numbers are little-endian. A segment begins with a header in a block of its own:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic |
//! | 8 | sequence number, growing by one from segment to segment |
//! | 8 | salt, drawn for each use of the file |
//! | 8 | number of the first commit in it |
//! | 8 | a time not before that of any earlier commit, in milliseconds |
//! | 4 | CRC-32C of the above |
//!
//! Frames follow, each at a multiple of 8:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the segment's salt, so that what an earlier use of the file left never parses |
//! | 8 | number of the first commit |
//! | 4 | number of commits |
//! | 4 | length of the commits |
//! | 4 | CRC-32C of the above and of the commits |
//! | 4 | zero |
//! | n | commits |
//!
//! A commit is its time (8 bytes), then as varints the number of changes and per change the length of
//! the key, the key, the length of the value plus one (0: removed) and the value. A change of the empty key,
//! always the first, is no row: it clears (see [`crate::clear`]).

use crate::engine::{Batch, Version};
use base::Timestamp;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

const MAGIC: [u8; 8] = *b"CUMLOG\0\x01";
/// Room for the header, so that frames begin on a page of their own.
pub(super) const HEADER_BLOCK: u64 = 4096;
const HEADER_BYTES: usize = 44;
pub(crate) const FRAME_HEADER: usize = 32;

fn crc(parts: &[&[u8]]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize() as u32
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the caller has checked the length"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller has checked the length"))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub sequence: u64,
    pub salt: u64,
    pub first: Version,
    pub time: Timestamp,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for number in [self.sequence, self.salt, self.first, self.time.to_millis() as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let sum = crc(&[&out]);
        out.extend_from_slice(&sum.to_le_bytes());
        out.resize(HEADER_BLOCK as usize, 0);
        out
    }

    /// `None` if these bytes are no header.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let ok = bytes[..8] == MAGIC && crc(&[&bytes[..40]]) == u32_at(bytes, 40);
        ok.then(|| Header {
            sequence: u64_at(bytes, 8),
            salt: u64_at(bytes, 16),
            first: u64_at(bytes, 24),
            time: Timestamp::from_millis(u64_at(bytes, 32) as i64),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub salt: u64,
    pub first: Version,
    pub commits: u32,
    pub length: u32,
    crc: u32,
}

impl Frame {
    /// Fills in the header of a frame whose commits stand after it in `bytes`, and pads its end.
    pub(super) fn seal(bytes: &mut Vec<u8>, salt: u64, first: Version, commits: u32) {
        let length = (bytes.len() - FRAME_HEADER) as u32;
        let (header, body) = bytes.split_at_mut(FRAME_HEADER);
        header[..8].copy_from_slice(&salt.to_le_bytes());
        header[8..16].copy_from_slice(&first.to_le_bytes());
        header[16..20].copy_from_slice(&commits.to_le_bytes());
        header[20..24].copy_from_slice(&length.to_le_bytes());
        let sum = crc(&[&header[..24], body]);
        header[24..28].copy_from_slice(&sum.to_le_bytes());
        header[28..].fill(0);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }

    /// What may be a frame's header; only [`Frame::is_whole`] makes sure.
    pub(super) fn decode(bytes: &[u8; FRAME_HEADER]) -> Frame {
        Frame {
            salt: u64_at(bytes, 0),
            first: u64_at(bytes, 8),
            commits: u32_at(bytes, 16),
            length: u32_at(bytes, 20),
            crc: u32_at(bytes, 24),
        }
    }

    pub(super) fn is_whole(&self, header: &[u8; FRAME_HEADER], body: &[u8]) -> bool {
        crc(&[&header[..24], body]) == self.crc
    }

    /// With header and padding.
    pub(super) fn bytes(&self) -> u64 {
        (FRAME_HEADER as u64 + u64::from(self.length)).next_multiple_of(8)
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn encode_commit(batch: &Batch, time: Timestamp, out: &mut Vec<u8>) {
    out.extend_from_slice(&time.to_millis().to_le_bytes());
    put_varint(out, batch.len());
    for (key, value) in batch {
        put_varint(out, key.len());
        out.extend_from_slice(key);
        match value {
            None => out.push(0),
            Some(value) => {
                put_varint(out, value.len() + 1);
                out.extend_from_slice(value);
            }
        }
    }
}

/// More than the bytes that a commit can take in the log, its share of a frame's header included.
pub(crate) fn commit_bytes_max(batch: &Batch) -> u64 {
    let changes: usize = batch
        .iter()
        .map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len) + 20)
        .sum();
    (changes + FRAME_HEADER + 32) as u64
}

fn take_varint(bytes: &mut Bytes) -> Option<usize> {
    let mut value = 0u64;
    for i in 0..10 {
        let byte = *bytes.get(i)?;
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            let _ = bytes.split_to(i + 1);
            return usize::try_from(value).ok();
        }
    }
    None
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

/// Takes the next commit off the front; `None` if it is malformed.
pub(super) fn decode_commit(bytes: &mut Bytes) -> Option<(Timestamp, Box<Batch>)> {
    let time = take(bytes, 8)?;
    let time = Timestamp::from_millis(u64_at(&time, 0) as i64);
    let count = take_varint(bytes)?;
    let mut batch = Vec::with_capacity(count.min(bytes.len() / 2));
    for _ in 0..count {
        let length = take_varint(bytes)?;
        let key = take(bytes, length)?;
        let value = match take_varint(bytes)? {
            0 => None,
            length => Some(take(bytes, length - 1)?),
        };
        batch.push((key, value));
    }
    Some((time, batch.into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::hex;

    #[test]
    fn golden_bytes() {
        let header = Header { sequence: 1, salt: 2, first: 3, time: Timestamp::from_millis(-1) };
        let bytes = header.encode();
        assert_eq!(
            hex::encode(&bytes[..HEADER_BYTES]),
            "43554d4c4f470001010000000000000002000000000000000300000000000000ffffffffffffffff95761249"
        );
        assert_eq!(Header::decode(&bytes), Some(header));
        let batch =
            [(Bytes::from_static(b"k"), Some(Bytes::from_static(b"v"))), ("d".into(), None)];
        let mut frame = vec![0; FRAME_HEADER];
        encode_commit(&batch, Timestamp::from_millis(5), &mut frame);
        Frame::seal(&mut frame, 9, 3, 1);
        assert_eq!(
            hex::encode(&frame),
            "0900000000000000030000000000000001000000100000007766b7ab00000000\
             050000000000000002016b0276016400"
        );
        let (head, body) = frame.split_first_chunk().unwrap();
        let found = Frame::decode(head);
        assert!(found.is_whole(head, &body[..found.length as usize]));
        assert_eq!(found.bytes(), frame.len() as u64);
        let mut body = Bytes::copy_from_slice(body);
        assert_eq!(decode_commit(&mut body), Some((Timestamp::from_millis(5), batch.into())));
        assert!(body.is_empty());
        assert_eq!(crc(&[b"1234", b"56789"]), 0xe306_9283, "the check value of CRC-32C");
    }

    #[test]
    fn hostile_bytes_are_none() {
        use base::Entropy;
        let chance = base::SeededEntropy::new(3);
        for length in 0..2000 {
            let mut bytes = vec![0; length % 50];
            chance.fill(&mut bytes);
            let _ = decode_commit(&mut Bytes::from(bytes));
        }
        let huge = [[0; 8].as_slice(), &[0xff; 9], &[1]].concat();
        assert_eq!(decode_commit(&mut Bytes::from(huge)), None);
        assert_eq!(Header::decode(&[0; 4096]), None);
    }
}
