//! Copying in large pieces: the file system takes many pages at once then, and so does who hashes.

use std::io::{self, Read, Write};

const PIECE_BYTES: u64 = 256 << 10;

/// As `std::io::copy`. `expected` is about how much there is, so that little needs little.
pub fn pour(from: &mut impl Read, to: &mut impl Write, expected: u64) -> io::Result<u64> {
    let mut piece = vec![0; expected.clamp(512, PIECE_BYTES) as usize];
    let mut sum = 0;
    loop {
        let filled = fill(from, &mut piece)?;
        to.write_all(&piece[..filled])?;
        sum += filled as u64;
        if filled < piece.len() {
            return Ok(sum);
        }
    }
}

/// Less than was asked for only at the end.
fn fill(from: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match from.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, and is interrupted between.
    struct Slow<'a>(&'a [u8], bool);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let most = out.len().min(700);
            self.0.read(&mut out[..most])
        }
    }

    #[test]
    fn all_of_it_arrives_whatever_was_expected() {
        let all: Vec<u8> = (0..600_000u32).map(|n| n as u8).collect();
        for length in [0, 1, 511, 512, 513, 262_144, 262_145, 600_000] {
            for expected in [0, 512, 100_000, u64::MAX] {
                let mut out = Vec::new();
                let poured = pour(&mut Slow(&all[..length], false), &mut out, expected).unwrap();
                assert!(poured == length as u64 && out == all[..length], "{length} {expected}");
            }
        }
    }
}
