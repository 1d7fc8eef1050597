//! Bloom filters: which keys a table surely does not have.
//!
//! Each key sets its bits in one line of 64 bytes, so that a question costs one or two cache misses;
//! with ten bits a key about one absent key in a hundred is taken for present.

use super::codec::Bad;
use bytes::Bytes;

const LINE: usize = 64;
const PROBES: usize = 6;

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    wide as u64 ^ (wide >> 64) as u64
}

/// The hash of a key as filters use it. Part of the file format.
pub(super) fn hash(key: &[u8]) -> u64 {
    let mut state = (key.len() as u64) ^ 0x9e37_79b9_7f4a_7c15;
    let mut words = key.chunks_exact(8);
    for word in &mut words {
        let word = <[u8; 8]>::try_from(word).map_or(0, u64::from_le_bytes);
        state = fold(state ^ word, 0xd6e8_feb8_6659_fd93);
    }
    let mut rest = [0; 8];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    state = fold(state ^ u64::from_le_bytes(rest), 0xa076_1d64_78bd_642f);
    fold(state ^ 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3)
}

fn line_of(hash: u64, lines: usize) -> usize {
    ((u128::from(hash) * lines as u128) >> 64) as usize
}

/// The bits of a key in its line.
fn bits(hash: u64) -> impl Iterator<Item = (usize, u8)> {
    // The line takes the high bits; these come from all of them, mixed once more.
    let mixed = fold(hash, 0x2d35_8dcc_aa6c_78a5);
    (0..PROBES).map(move |probe| {
        let bit = (mixed >> (probe * 9)) as usize % (LINE * 8);
        (bit / 8, 1 << (bit % 8))
    })
}

/// The filter over the keys with these hashes.
pub(super) fn build(hashes: &[u64], bits_per_key: usize, out: &mut Vec<u8>) {
    let lines = (hashes.len() * bits_per_key).div_ceil(LINE * 8).max(1);
    let start = out.len();
    out.resize(start + lines * LINE, 0);
    for hash in hashes {
        let line = start + line_of(*hash, lines) * LINE;
        for (byte, bit) in bits(*hash) {
            out[line + byte] |= bit;
        }
    }
}

#[derive(Debug)]
pub(super) struct Filter(Bytes);

impl Filter {
    pub(super) fn new(content: Bytes) -> Result<Self, Bad> {
        if content.is_empty() || !content.len().is_multiple_of(LINE) {
            return Err(Bad("a filter has an impossible length"));
        }
        Ok(Self(content))
    }

    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let line = line_of(hash, self.0.len() / LINE) * LINE;
        let line = &self.0[line..line + LINE];
        bits(hash).all(|(byte, bit)| line[byte] & bit != 0)
    }
}
