//! Percent-encoding as AWS signatures, S3 keys and listings have it: every byte but the unreserved
//! characters of RFC 3986 becomes `%XX` in upper case, and a space is `%20`.

use crate::hex::digit;
use std::borrow::Cow;

const UPPER: &[u8; 16] = b"0123456789ABCDEF";

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// Encodes all but the unreserved characters, the slash too.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    encode_into(bytes, false, &mut out);
    out
}

/// Encodes all but the unreserved characters and the slash.
pub fn encode_path(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    encode_into(bytes, true, &mut out);
    out
}

/// Appends the encoded form to `out`.
pub fn encode_into(bytes: &[u8], keep_slash: bool, out: &mut String) {
    for &b in bytes {
        if is_unreserved(b) || (keep_slash && b == b'/') {
            out.push(b as char);
        } else {
            out.push('%');
            out.push(UPPER[usize::from(b >> 4)] as char);
            out.push(UPPER[usize::from(b & 15)] as char);
        }
    }
}

/// Decodes `%XX`; a `%` that is not followed by two digits stays as it is, as S3 has it. `+` is
/// left alone: see [`decode_form`].
pub fn decode(text: &str) -> Cow<'_, [u8]> {
    decode_with(text, false)
}

/// [`decode`], with `+` read as a space: for form bodies and query strings.
pub fn decode_form(text: &str) -> Cow<'_, [u8]> {
    decode_with(text, true)
}

fn decode_with(text: &str, plus_is_space: bool) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|&b| b == b'%' || (plus_is_space && b == b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escaped = (bytes[i] == b'%' && i + 2 < bytes.len())
            .then(|| Some(digit(bytes[i + 1])? << 4 | digit(bytes[i + 2])?))
            .flatten();
        match (bytes[i], escaped) {
            (_, Some(b)) => {
                out.push(b);
                i += 2;
            }
            (b'+', _) if plus_is_space => out.push(b' '),
            (b, _) => out.push(b),
        }
        i += 1;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_signatures_do() {
        assert_eq!(encode(b"a b/c~d+e\xff"), "a%20b%2Fc~d%2Be%FF");
        assert_eq!(encode_path("é/x".as_bytes()), "%C3%A9/x");
    }

    #[test]
    fn decodes_and_leaves_broken_escapes() {
        let cases: [(&str, &[u8]); 6] = [
            ("abc", b"abc"),
            ("a%20b", b"a b"),
            ("a+b", b"a+b"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%zz%41", b"%zzA"),
        ];
        for (text, expected) in cases {
            assert_eq!(&*decode(text), expected, "{text}");
        }
        assert_eq!(&*decode_form("a+b%2B"), b"a b+");
    }
}
