//! Numbers, lengths and checksums as they stand in the engine's files.

use super::Entry;
use bytes::Bytes;

/// What is wrong with bytes that were read. The caller knows the file and says where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bad(pub &'static str);

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a varint at `*at` and moves past it.
#[inline]
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, Bad> {
    const SHORT: Bad = Bad("a number is cut short");
    let first = *bytes.get(*at).ok_or(SHORT)?;
    *at += 1;
    if first < 0x80 {
        return Ok(u64::from(first));
    }
    let mut value = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let byte = *bytes.get(*at).ok_or(SHORT)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Bad("a number is too long"))
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads a length and that many bytes at `*at` and moves past them.
pub(super) fn bytes_at(source: &Bytes, at: &mut usize) -> Result<Bytes, Bad> {
    let len = varint(source, at)? as usize;
    let end = at.checked_add(len).filter(|end| *end <= source.len()).ok_or(Bad("a name is cut"))?;
    // A copy: what is kept for long must not hold the whole file.
    let bytes = Bytes::copy_from_slice(&source[*at..end]);
    *at = end;
    Ok(bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}

pub(super) fn crc(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// Bytes that follow each part of a table: how it is compressed, and its checksum.
pub(super) const TRAILER: usize = 5;

/// The only compression so far.
const PLAIN: u8 = 0;

/// Closes the part of a table that begins at `start` in `out` and at `offset` in the file.
pub(super) fn seal(out: &mut Vec<u8>, start: usize, offset: u64) {
    out.push(PLAIN);
    // The offset is mixed in so that a part found in another one's place is noticed.
    let sum = crc(&out[start..]) ^ offset as u32;
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The content of a part that was read from `offset`.
pub(super) fn unseal(sealed: &Bytes, offset: u64) -> Result<Bytes, Bad> {
    let content = sealed.len().checked_sub(TRAILER).ok_or(Bad("a block is cut short"))?;
    let sum = u32_at(sealed, content + 1).ok_or(Bad("a block is cut short"))?;
    if crc(&sealed[..=content]) ^ offset as u32 != sum {
        return Err(Bad("a block fails its checksum"));
    }
    if sealed[content] != PLAIN {
        return Err(Bad("a block is compressed in an unknown way: use a newer build"));
    }
    Ok(sealed.slice(..content))
}

/// How many first bytes are equal.
#[inline]
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let mut at = 0;
    for (x, y) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        let (x, y) = (<[u8; 8]>::try_from(x), <[u8; 8]>::try_from(y));
        if let (Ok(x), Ok(y)) = (x, y) {
            let differ = u64::from_le_bytes(x) ^ u64::from_le_bytes(y);
            if differ != 0 {
                return at + (differ.trailing_zeros() / 8) as usize;
            }
        }
        at += 8;
    }
    at + a[at..].iter().zip(&b[at..]).take_while(|(x, y)| x == y).count()
}

/// What an entry counts for where work is bounded by bytes.
pub(super) fn weight(entry: &Entry) -> usize {
    entry.key.len() + entry.value.as_ref().map_or(0, Bytes::len) + 16
}
