//! Keys as bytes whose order is the order of the values.
//!
//! Integers are big-endian (signed ones with the sign bit turned). Text and bytes end in `00 01`, a
//! zero byte within is `00 ff`: so `"a" < "a\0" < "ab"`, and no key is the beginning of another.
//! [`Desc`] turns every bit, which turns the order.
//!
//! Three traits, because a lookup should not have to own its strings: [`Key`] is what a scan gives
//! back, [`KeyRef<K>`] what may stand for a `K` in a lookup (`("b", "k")` for `(String, String)`),
//! [`PrefixOf<K>`] what may stand for the beginning of one (`("b", Stem("photos/"))`).

use crate::error::DecodeError;
use base::{AccountId, Region, Timestamp};
use bytes::Bytes;

/// A key that can be read back.
pub trait Key: Sized {
    fn read(from: &mut KeyReader<'_>) -> Result<Self, DecodeError>;
}

/// Something whose bytes as a key are those of a `K`.
pub trait KeyRef<K: ?Sized> {
    fn write(&self, to: &mut KeyWriter);
}

/// Something whose bytes are the beginning of those of a `K`, or all of them.
pub trait PrefixOf<K: ?Sized> {
    fn write_prefix(&self, to: &mut KeyWriter);
}

/// The beginning of a text: `Stem("photos/")` is a prefix of every key that starts so.
#[derive(Clone, Copy, Debug)]
pub struct Stem<'a>(pub &'a str);

/// Orders from the greatest to the least.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Desc<T>(pub T);

/// Collects the bytes of a key.
#[derive(Debug)]
pub struct KeyWriter {
    bytes: Vec<u8>,
}

impl KeyWriter {
    pub(crate) fn new() -> KeyWriter {
        KeyWriter { bytes: Vec::with_capacity(96) }
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Escaped and ended, for something of any length.
    pub fn ended(&mut self, bytes: &[u8]) {
        self.escaped(bytes);
        self.bytes.extend_from_slice(&[0, 1]);
    }

    fn escaped(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(zero) = rest.iter().position(|b| *b == 0) {
            self.bytes.extend_from_slice(&rest[..zero]);
            self.bytes.extend_from_slice(&[0, 0xff]);
            rest = &rest[zero + 1..];
        }
        self.bytes.extend_from_slice(rest);
    }

    fn inverted(&mut self, write: impl FnOnce(&mut KeyWriter)) {
        let start = self.bytes.len();
        write(self);
        self.bytes[start..].iter_mut().for_each(|b| *b = !*b);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        // Without room to spare, so that no counter is allocated beside it.
        Bytes::from(self.bytes.into_boxed_slice())
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes the bytes of a key apart.
#[derive(Debug)]
pub struct KeyReader<'a> {
    rest: &'a [u8],
    mask: u8,
}

impl<'a> KeyReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> KeyReader<'a> {
        KeyReader { rest: bytes, mask: 0 }
    }

    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Malformed)?;
        self.rest = rest;
        Ok(head.map(|b| b ^ self.mask))
    }

    /// All that is left of the key, as it is.
    pub fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// What [`KeyWriter::ended`] wrote.
    pub fn ended(&mut self) -> Result<Vec<u8>, DecodeError> {
        let mut out = Vec::new();
        let zero = self.mask;
        loop {
            let at = self.rest.iter().position(|b| *b == zero).ok_or(DecodeError::Malformed)?;
            out.extend(self.rest[..at].iter().map(|b| b ^ zero));
            let mark = self.rest.get(at + 1).ok_or(DecodeError::Malformed)? ^ zero;
            self.rest = &self.rest[at + 2..];
            match mark {
                1 => return Ok(out),
                0xff => out.push(0),
                _ => return Err(DecodeError::Malformed),
            }
        }
    }
}

macro_rules! scalar_key {
    ($($type:ty, |$value:ident, $to:ident| $write:expr, |$from:ident| $read:expr;)*) => {$(
        impl Key for $type {
            fn read($from: &mut KeyReader<'_>) -> Result<Self, DecodeError> {
                $read
            }
        }
        impl KeyRef<$type> for $type {
            fn write(&self, $to: &mut KeyWriter) {
                let $value = self;
                $write
            }
        }
        impl PrefixOf<$type> for $type {
            fn write_prefix(&self, to: &mut KeyWriter) {
                KeyRef::<$type>::write(self, to)
            }
        }
    )*};
}

const SIGN: u64 = 1 << 63;

scalar_key! {
    bool, |v, to| to.raw(&[u8::from(*v)]), |from| match from.array::<1>()? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(DecodeError::Malformed),
    };
    u8, |v, to| to.raw(&[*v]), |from| Ok(from.array::<1>()?[0]);
    u16, |v, to| to.raw(&v.to_be_bytes()), |from| from.array().map(u16::from_be_bytes);
    u32, |v, to| to.raw(&v.to_be_bytes()), |from| from.array().map(u32::from_be_bytes);
    u64, |v, to| to.raw(&v.to_be_bytes()), |from| from.array().map(u64::from_be_bytes);
    i64, |v, to| to.raw(&(*v as u64 ^ SIGN).to_be_bytes()),
        |from| from.array().map(|b| (u64::from_be_bytes(b) ^ SIGN) as i64);
    Timestamp, |v, to| KeyRef::<i64>::write(&v.to_millis(), to),
        |from| i64::read(from).map(Timestamp::from_millis);
    AccountId, |v, to| KeyRef::<u64>::write(&v.to_u64(), to),
        |from| AccountId::from_u64(u64::read(from)?).ok_or(DecodeError::Malformed);
    Region, |v, to| to.ended(v.as_str().as_bytes()),
        |from| Region::parse(&String::read(from)?).ok_or(DecodeError::Malformed);
    String, |v, to| to.ended(v.as_bytes()),
        |from| String::from_utf8(from.ended()?).map_err(|_| DecodeError::Malformed);
    Vec<u8>, |v, to| to.ended(v), |from| from.ended();
    Bytes, |v, to| to.ended(v), |from| from.ended().map(Bytes::from);
}

macro_rules! borrowed_key {
    ($($borrowed:ty => $owned:ty, |$v:ident| $bytes:expr;)*) => {$(
        impl KeyRef<$owned> for $borrowed {
            fn write(&self, to: &mut KeyWriter) {
                let $v = self;
                to.ended($bytes);
            }
        }
        impl PrefixOf<$owned> for $borrowed {
            fn write_prefix(&self, to: &mut KeyWriter) {
                KeyRef::<$owned>::write(self, to)
            }
        }
    )*};
}

borrowed_key! {
    str => String, |v| v.as_bytes();
    [u8] => Vec<u8>, |v| v;
    [u8] => Bytes, |v| v;
}

impl<K: ?Sized, Q: KeyRef<K> + ?Sized> KeyRef<K> for &Q {
    fn write(&self, to: &mut KeyWriter) {
        (**self).write(to)
    }
}

impl<K: ?Sized, Q: PrefixOf<K> + ?Sized> PrefixOf<K> for &Q {
    fn write_prefix(&self, to: &mut KeyWriter) {
        (**self).write_prefix(to)
    }
}

impl PrefixOf<String> for Stem<'_> {
    fn write_prefix(&self, to: &mut KeyWriter) {
        to.escaped(self.0.as_bytes());
    }
}

impl<T: Key> Key for Desc<T> {
    fn read(from: &mut KeyReader<'_>) -> Result<Self, DecodeError> {
        from.mask = !from.mask;
        let value = T::read(from);
        from.mask = !from.mask;
        value.map(Desc)
    }
}

impl<T, Q: KeyRef<T>> KeyRef<Desc<T>> for Desc<Q> {
    fn write(&self, to: &mut KeyWriter) {
        to.inverted(|to| self.0.write(to));
    }
}

impl<T, Q: KeyRef<T>> PrefixOf<Desc<T>> for Desc<Q> {
    fn write_prefix(&self, to: &mut KeyWriter) {
        KeyRef::<Desc<T>>::write(self, to)
    }
}

macro_rules! tuple_key {
    ($($part:ident $query:ident $at:tt),+) => {
        impl<$($part: Key),+> Key for ($($part,)+) {
            fn read(from: &mut KeyReader<'_>) -> Result<Self, DecodeError> {
                Ok(($($part::read(from)?,)+))
            }
        }
        impl<$($part, $query: KeyRef<$part>),+> KeyRef<($($part,)+)> for ($($query,)+) {
            fn write(&self, to: &mut KeyWriter) {
                $(self.$at.write(to);)+
            }
        }
    };
}

/// The beginning of a tuple: whole components, then one that may itself be a beginning.
macro_rules! tuple_prefix {
    ([$($part:ident $query:ident $at:tt),*] $last:ident $stem:ident $end:tt [$($after:ident),*]) => {
        impl<$($part, $query: KeyRef<$part>,)* $last, $stem: PrefixOf<$last>, $($after),*>
            PrefixOf<($($part,)* $last, $($after,)*)> for ($($query,)* $stem,)
        {
            fn write_prefix(&self, to: &mut KeyWriter) {
                $(self.$at.write(to);)*
                self.$end.write_prefix(to);
            }
        }
    };
}

tuple_key!(A P 0, B Q 1);
tuple_key!(A P 0, B Q 1, C R 2);
tuple_key!(A P 0, B Q 1, C R 2, D S 3);
tuple_prefix!([] A P 0 [B]);
tuple_prefix!([] A P 0 [B, C]);
tuple_prefix!([] A P 0 [B, C, D]);
tuple_prefix!([A P 0] B Q 1 []);
tuple_prefix!([A P 0] B Q 1 [C]);
tuple_prefix!([A P 0] B Q 1 [C, D]);
tuple_prefix!([A P 0, B Q 1] C R 2 []);
tuple_prefix!([A P 0, B Q 1] C R 2 [D]);
tuple_prefix!([A P 0, B Q 1, C R 2] D S 3 []);

#[cfg(test)]
mod tests {
    use super::*;
    use base::hex;
    use std::fmt::Debug;

    fn check<K>(key: K, golden: &str)
    where
        K: Key + KeyRef<K> + PartialEq + Debug,
    {
        let mut to = KeyWriter::new();
        key.write(&mut to);
        assert_eq!(hex::encode(to.as_slice()), golden, "{key:?}");
        let mut from = KeyReader::new(to.as_slice());
        assert_eq!(K::read(&mut from), Ok(key));
        assert_eq!(from.finish(), Ok(()));
    }

    #[test]
    fn golden_bytes() {
        check(String::from("a\0b"), "6100ff620001");
        check(String::new(), "0001");
        check(vec![0xffu8, 0], "ff00ff0001");
        check(Bytes::from_static(b"x"), "780001");
        check(true, "01");
        check(7u8, "07");
        check(0x0102u16, "0102");
        check(1u32, "00000001");
        check(1u64, "0000000000000001");
        check(-1i64, "7fffffffffffffff");
        check(Timestamp::from_millis(5), "8000000000000005");
        check(AccountId::from_u64(9).unwrap(), "0000000000000009");
        check(Region::us_east_1(), "75732d656173742d310001");
        check(Desc(1u16), "fffe");
        check(Desc(String::from("a")), "9efffe");
        check((String::from("a"), Desc(2u16), 1u8), "610001fffd01");
        check((1u8, 2u8, 3u8, 4u8), "01020304");
    }

    #[test]
    fn order_of_bytes_is_order_of_values() {
        let texts =
            ["", "\0", "\0\0", "\0\u{1}", "a", "a\0", "a\0b", "a\u{1}", "ab", "b", "\u{ff}"];
        let bytes = |t: &str, n: u8| {
            let mut to = KeyWriter::new();
            KeyRef::<(String, u8)>::write(&(t, n), &mut to);
            to.into_vec()
        };
        for (i, a) in texts.iter().enumerate() {
            for (j, b) in texts.iter().enumerate() {
                for (m, n) in [(0, 255), (255, 0), (1, 1)] {
                    assert_eq!(bytes(a, m).cmp(&bytes(b, n)), (i, m).cmp(&(j, n)), "{a:?} {b:?}");
                }
            }
        }
        let mut numbers = [i64::MIN, -256, -1, 0, 1, 255, 256, i64::MAX].map(|n| {
            let mut to = KeyWriter::new();
            Desc(n).write(&mut to);
            (to.into_vec(), n)
        });
        numbers.sort();
        assert!(numbers.is_sorted_by(|a, b| a.1 > b.1));
    }

    #[test]
    fn a_stem_is_the_beginning_of_its_keys() {
        let prefix = |p: &dyn PrefixOf<(String, String)>| {
            let mut to = KeyWriter::new();
            p.write_prefix(&mut to);
            hex::encode(to.as_slice())
        };
        assert_eq!(prefix(&("b",)), "620001");
        assert_eq!(prefix(&(Stem("b"),)), "62");
        assert_eq!(prefix(&("b", Stem("p/"))), "620001702f");
        assert_eq!(prefix(&("b", String::from("p/"))), "620001702f0001");
    }

    #[test]
    fn hostile_bytes_are_errors() {
        for bad in ["", "61", "6100", "610002", "ff0001"] {
            let bytes = hex::decode(bad.as_bytes()).unwrap();
            assert!(String::read(&mut KeyReader::new(&bytes)).is_err(), "{bad}");
        }
        assert!(bool::read(&mut KeyReader::new(&[2])).is_err());
        assert!(u64::read(&mut KeyReader::new(&[0; 7])).is_err());
        assert!(<Desc<String>>::read(&mut KeyReader::new(&[0xff])).is_err());
    }
}
