//! Objects whose bytes say which write they are of, in every sector.

use crate::volume::SECTOR;

/// The bytes of the write with that number. Two writes differ in each sector, and so do two sectors
/// of one, so that bytes of another write, or in another place, are found.
pub fn bytes(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for (at, sector) in bytes.chunks_mut(SECTOR).enumerate() {
        let mut head = [0; 24];
        head[..8].copy_from_slice(&number.to_le_bytes());
        head[8..16].copy_from_slice(&(length as u64).to_le_bytes());
        head[16..].copy_from_slice(&(at as u64).to_le_bytes());
        let room = sector.len().min(head.len());
        sector[..room].copy_from_slice(&head[..room]);
        let filling = (number as u8).wrapping_mul(31).wrapping_add(at as u8) | 1;
        sector[room..].fill(filling);
    }
    bytes
}

/// Of which write they are, or what is wrong with them.
pub fn number(found: &[u8]) -> Result<u64, String> {
    let first = found.get(..8).and_then(|first| first.try_into().ok());
    let number = first.map(u64::from_le_bytes).ok_or("an object of less than 8 bytes")?;
    let expected = bytes(number, found.len());
    match found.iter().zip(&expected).position(|(a, b)| a != b) {
        None => Ok(number),
        Some(at) => Err(format!("write {number} is half there: wrong from byte {at} on")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_tell_their_write() {
        for length in [8, 100, 512, 1024, 70_001] {
            assert_eq!(number(&bytes(7, length)), Ok(7), "{length}");
        }
        let mut torn = bytes(7, 2048);
        torn[1024..1536].copy_from_slice(&bytes(8, 2048)[1024..1536]);
        assert!(number(&torn).unwrap_err().contains("from byte 1024"));
        assert!(number(&bytes(7, 2048)[..2000]).is_err());
        assert!(number(b"short").is_err());
    }
}
