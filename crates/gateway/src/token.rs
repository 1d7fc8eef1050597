//! Paging tokens: a place in a listing that a client hands back. A token is bound to what was listed,
//! so that it is of no use elsewhere, and cannot be made up.

use base::hex;
use sha2::{Digest, Sha256};

const TAG_BYTES: usize = 16;
/// A token longer than this is none of ours.
const TOKEN_CHARS_MAX: usize = 16 * 1024;

/// HMAC-SHA256 over the parts, each with its length before it.
fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
        Sha256::new_with_prefix(block)
    };
    let mut inner = pad(0x36);
    for part in parts {
        inner.update((part.len() as u64).to_be_bytes());
        inner.update(part);
    }
    let mut outer = pad(0x5c);
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// The place under a key stream that its own tag starts: equal places give equal tokens.
fn cover(key: &[u8; 32], tag: &[u8], place: &mut [u8]) {
    for (block, bytes) in place.chunks_mut(32).enumerate() {
        let stream = mac(key, &[b"stream", tag, &(block as u64).to_be_bytes()]);
        bytes.iter_mut().zip(stream).for_each(|(b, s)| *b ^= s);
    }
}

pub(crate) fn seal(key: &[u8; 32], context: &str, place: &str) -> String {
    let tag = mac(key, &[b"tag", context.as_bytes(), place.as_bytes()]);
    let mut bytes = tag[..TAG_BYTES].to_vec();
    bytes.extend_from_slice(place.as_bytes());
    let (tag, place) = bytes.split_at_mut(TAG_BYTES);
    cover(key, tag, place);
    hex::encode(&bytes)
}

pub(crate) fn open(key: &[u8; 32], context: &str, token: &str) -> Option<String> {
    if token.len() > TOKEN_CHARS_MAX {
        return None;
    }
    let mut bytes = hex::decode(token.as_bytes()).filter(|bytes| bytes.len() >= TAG_BYTES)?;
    let (tag, place) = bytes.split_at_mut(TAG_BYTES);
    cover(key, tag, place);
    let wanted = mac(key, &[b"tag", context.as_bytes(), place]);
    let differs = tag.iter().zip(wanted).fold(0, |all, (a, b)| all | (a ^ b));
    (differs == 0).then(|| String::from_utf8(place.to_vec()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_context_open_it() {
        let key = [7; 32];
        for place in ["", "photos/2026/é", &"x".repeat(1000)] {
            let token = seal(&key, "s3:List:1", place);
            assert!(place.is_empty() || !token.contains(&hex::encode(place.as_bytes())));
            assert_eq!(open(&key, "s3:List:1", &token).as_deref(), Some(place));
            assert_eq!(open(&key, "s3:List:2", &token), None);
            assert_eq!(open(&[8; 32], "s3:List:1", &token), None);
            for at in 0..token.len() {
                let mut bad = token.clone().into_bytes();
                bad[at] = if bad[at] == b'0' { b'1' } else { b'0' };
                assert_eq!(open(&key, "s3:List:1", std::str::from_utf8(&bad).unwrap()), None);
            }
            assert_eq!(open(&key, "s3:List:1", &token[..token.len() - 2]), None);
        }
        for bad in ["", "00", "zz", "é"] {
            assert_eq!(open(&key, "c", bad), None);
        }
    }
}
