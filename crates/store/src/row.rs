//! Rows as bytes: numbered fields, so that a row can grow without touching what is stored.
//!
//! A field is a tag (number and wire form, as a varint) and its content; a field whose value is the
//! type's empty one is left out. Numbers are never reused and types never change: add a field, and
//! let the old one rest. Declared by [`row!`](crate::row!) and [`row_enum!`](crate::row_enum!).
//!
//! A field or variant that this build does not know is an error, not skipped: a row that is read,
//! changed and written by an older build would otherwise lose it in silence.
//!
//! Deliberately absent: procedural macros, reflection, wire types. What a client sees is not a row.

use crate::error::DecodeError;
use base::{AccountId, Region, Timestamp};
use bytes::Bytes;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

const DEPTH_MAX: u8 = 32;

/// How the end of a value is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    Varint = 0,
    Fixed8 = 1,
    Sized = 2,
}

/// A value within a row. [`Value::write`] and [`Value::read`] deal in the content alone; its length,
/// where the wire form needs one, is written around it.
pub trait Value: Sized {
    const WIRE: Wire;
    fn write(&self, to: &mut RowWriter);
    fn read(from: &mut RowReader<'_>) -> Result<Self, DecodeError>;
    /// Whether the field may be left out, since [`Value::empty`] gives it back.
    fn is_empty(&self) -> bool {
        false
    }
    /// What an absent field means; `None` if the row is invalid without it.
    fn empty() -> Option<Self> {
        None
    }
}

/// What a table keeps.
pub trait Row: Value {}

impl Row for () {}

/// A field: a value, or an `Option` of one.
pub trait Field: Sized {
    fn write_field(&self, number: u32, to: &mut RowWriter);
    fn read_field(wire: Wire, from: &mut RowReader<'_>) -> Result<Self, DecodeError>;
    fn absent() -> Option<Self>;
}

impl<T: Value> Field for T {
    fn write_field(&self, number: u32, to: &mut RowWriter) {
        if !self.is_empty() {
            to.varint(u64::from(number) << 2 | T::WIRE as u64);
            to.element(self);
        }
    }

    fn read_field(wire: Wire, from: &mut RowReader<'_>) -> Result<Self, DecodeError> {
        if wire == T::WIRE { from.element() } else { Err(DecodeError::Malformed) }
    }

    fn absent() -> Option<Self> {
        T::empty()
    }
}

impl<T: Value> Field for Option<T> {
    fn write_field(&self, number: u32, to: &mut RowWriter) {
        if let Some(value) = self {
            to.varint(u64::from(number) << 2 | T::WIRE as u64);
            to.element(value);
        }
    }

    fn read_field(wire: Wire, from: &mut RowReader<'_>) -> Result<Self, DecodeError> {
        T::read_field(wire, from).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// The bytes of a row as a table keeps them.
pub fn encode<R: Value>(row: &R) -> Vec<u8> {
    written_after(&[], |to| row.write(to), <[u8]>::to_vec)
}

/// Longer memory is not kept for the next row.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// Where rows are written, so that memory which grows with each of them is not taken anew.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What `write` writes, after a few bytes, as `take` sees it.
pub(crate) fn written_after<R>(
    before: &[u8],
    write: impl FnOnce(&mut RowWriter),
    take: impl FnOnce(&[u8]) -> R,
) -> R {
    let mut to = RowWriter { bytes: SCRATCH.take() };
    to.bytes.clear();
    to.bytes.extend_from_slice(before);
    write(&mut to);
    let result = take(&to.bytes);
    if to.bytes.capacity() <= SCRATCH_BYTES_MAX {
        SCRATCH.set(to.bytes);
    }
    result
}

/// The row that [`encode`] wrote. `Bytes` fields share the memory of `bytes`.
pub fn decode<R: Value>(bytes: &Bytes) -> Result<R, DecodeError> {
    let mut from = RowReader { rest: bytes, source: bytes, depth: 0 };
    let row = R::read(&mut from)?;
    if from.rest.is_empty() { Ok(row) } else { Err(DecodeError::Trailing) }
}

#[derive(Debug)]
pub struct RowWriter {
    bytes: Vec<u8>,
}

impl RowWriter {
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A field of type `String`, of a text that somebody else owns.
    pub fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.varint(u64::from(number) << 2 | Wire::Sized as u64);
            self.varint(text.len() as u64);
            self.raw(text.as_bytes());
        }
    }

    /// A value with its length, if its wire form needs one.
    pub fn element<T: Value>(&mut self, value: &T) {
        if T::WIRE != Wire::Sized {
            return value.write(self);
        }
        // Most contents are shorter than 128 bytes: room for one byte of length, moved up if not.
        let start = self.bytes.len();
        self.bytes.push(0);
        value.write(self);
        let length = self.bytes.len() - start - 1;
        if length < 0x80 {
            self.bytes[start] = length as u8;
            return;
        }
        let end = self.bytes.len();
        self.varint(length as u64);
        let extra = self.bytes.len() - end - 1;
        let mut prefix = [0; 10];
        prefix[..=extra].copy_from_slice(&self.bytes[end..]);
        self.bytes.truncate(end + extra);
        self.bytes.copy_within(start + 1..end, start + 1 + extra);
        self.bytes[start..=start + extra].copy_from_slice(&prefix[..=extra]);
    }
}

#[derive(Debug)]
pub struct RowReader<'a> {
    rest: &'a [u8],
    source: &'a Bytes,
    depth: u8,
}

impl<'a> RowReader<'a> {
    pub fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (i, byte) in self.rest.iter().take(10).enumerate() {
            let low = u64::from(byte & 0x7f);
            if i == 9 && low > 1 {
                break;
            }
            value |= low << (7 * i);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed)
    }

    /// All that is left of this value.
    pub fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn remainder_shared(&mut self) -> Bytes {
        let rest = self.remainder();
        if rest.is_empty() { Bytes::new() } else { self.source.slice_ref(rest) }
    }

    /// Number and wire form of the next field; `None` at the end.
    pub fn tag(&mut self) -> Result<Option<(u32, Wire)>, DecodeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let wire = match tag & 3 {
            0 => Wire::Varint,
            1 => Wire::Fixed8,
            2 => Wire::Sized,
            _ => return Err(DecodeError::Malformed),
        };
        let number = u32::try_from(tag >> 2).map_err(|_| DecodeError::Malformed)?;
        Ok(Some((number, wire)))
    }

    /// What [`RowWriter::element`] wrote.
    pub fn element<T: Value>(&mut self) -> Result<T, DecodeError> {
        if T::WIRE != Wire::Sized {
            return T::read(self);
        }
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Malformed)?;
        let (head, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Malformed)?;
        if self.depth == DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let mut inner = RowReader { rest: head, source: self.source, depth: self.depth + 1 };
        let value = T::read(&mut inner)?;
        if !inner.rest.is_empty() {
            return Err(DecodeError::Trailing);
        }
        self.rest = rest;
        Ok(value)
    }

    /// The value of a type for which nothing was written.
    pub fn read_empty<T: Value>() -> Option<T> {
        let source = Bytes::new();
        T::read(&mut RowReader { rest: &[], source: &source, depth: 0 }).ok()
    }
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

macro_rules! varint_value {
    ($($type:ty, |$v:ident| $to:expr, |$n:ident| $from:expr;)*) => {$(
        impl Value for $type {
            const WIRE: Wire = Wire::Varint;
            fn write(&self, to: &mut RowWriter) {
                let $v = *self;
                to.varint($to);
            }
            fn read(from: &mut RowReader<'_>) -> Result<Self, DecodeError> {
                let $n = from.varint()?;
                $from.ok_or(DecodeError::Malformed)
            }
            fn is_empty(&self) -> bool {
                let $v = *self;
                $to == 0
            }
            fn empty() -> Option<Self> {
                let $n = 0u64;
                $from
            }
        }
    )*};
}

varint_value! {
    bool, |v| u64::from(v), |n| (n < 2).then_some(n == 1);
    u16, |v| u64::from(v), |n| u16::try_from(n).ok();
    u32, |v| u64::from(v), |n| u32::try_from(n).ok();
    u64, |v| v, |n| Some(n);
    i32, |v| zigzag(i64::from(v)), |n| i32::try_from(unzigzag(n)).ok();
    i64, |v| zigzag(v), |n| Some(unzigzag(n));
    Timestamp, |v| zigzag(v.to_millis()), |n| Some(Timestamp::from_millis(unzigzag(n)));
    AccountId, |v| v.to_u64(), |n| AccountId::from_u64(n);
}

impl Value for f64 {
    const WIRE: Wire = Wire::Fixed8;
    fn write(&self, to: &mut RowWriter) {
        to.raw(&self.to_bits().to_le_bytes());
    }
    fn read(from: &mut RowReader<'_>) -> Result<Self, DecodeError> {
        let (head, rest) = from.rest.split_first_chunk().ok_or(DecodeError::Malformed)?;
        from.rest = rest;
        Ok(f64::from_bits(u64::from_le_bytes(*head)))
    }
    fn is_empty(&self) -> bool {
        self.to_bits() == 0
    }
    fn empty() -> Option<Self> {
        Some(0.0)
    }
}

macro_rules! sized_value {
    ($($({$($param:ident: $bound:path),+})? $type:ty,
        |$v:ident, $to:ident| $write:expr, |$from:ident| $read:expr;)*) => {$(
        impl $(<$($param: $bound),+>)? Value for $type {
            const WIRE: Wire = Wire::Sized;
            fn write(&self, $to: &mut RowWriter) {
                let $v = self;
                $write
            }
            fn read($from: &mut RowReader<'_>) -> Result<Self, DecodeError> {
                $read
            }
            fn is_empty(&self) -> bool {
                <$type>::is_empty(self)
            }
            fn empty() -> Option<Self> {
                Some(<$type>::default())
            }
        }
    )*};
}

/// An element of a collection that does not cost memory beyond the bytes it came in.
fn elements<T: Value>(
    from: &mut RowReader<'_>,
    mut push: impl FnMut(T),
) -> Result<(), DecodeError> {
    while !from.is_at_end() {
        push(from.element()?);
    }
    Ok(())
}

sized_value! {
    String, |v, to| to.raw(v.as_bytes()), |from| match std::str::from_utf8(from.remainder()) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(DecodeError::Malformed),
    };
    Vec<u8>, |v, to| to.raw(v), |from| Ok(from.remainder().to_vec());
    Bytes, |v, to| to.raw(v), |from| Ok(from.remainder_shared());
    {T: Value} Vec<T>, |v, to| v.iter().for_each(|e| to.element(e)), |from| {
        let mut out = Vec::new();
        elements(from, |e| out.push(e))?;
        Ok(out)
    };
    {T: OrdValue} BTreeSet<T>, |v, to| v.iter().for_each(|e| to.element(e)), |from| {
        let mut out = BTreeSet::new();
        elements(from, |e| { out.insert(e); })?;
        Ok(out)
    };
    {K: OrdValue, V: Value} BTreeMap<K, V>, |v, to| v.iter().for_each(|(k, v)| {
        to.element(k);
        to.element(v);
    }), |from| {
        let mut out = BTreeMap::new();
        while !from.is_at_end() {
            let key = from.element()?;
            out.insert(key, from.element()?);
        }
        Ok(out)
    };
}

/// A value that can be a key of a map within a row.
pub trait OrdValue: Value + Ord {}

impl<T: Value + Ord> OrdValue for T {}

impl Value for () {
    const WIRE: Wire = Wire::Sized;
    fn write(&self, _: &mut RowWriter) {}
    fn read(_: &mut RowReader<'_>) -> Result<Self, DecodeError> {
        Ok(())
    }
}

impl Value for Region {
    const WIRE: Wire = Wire::Sized;
    fn write(&self, to: &mut RowWriter) {
        to.raw(self.as_str().as_bytes());
    }
    fn read(from: &mut RowReader<'_>) -> Result<Self, DecodeError> {
        let text = String::read(from)?;
        Region::parse(&text).ok_or(DecodeError::Malformed)
    }
}

impl<const N: usize> Value for [u8; N] {
    const WIRE: Wire = Wire::Sized;
    fn write(&self, to: &mut RowWriter) {
        to.raw(self);
    }
    fn read(from: &mut RowReader<'_>) -> Result<Self, DecodeError> {
        from.remainder().try_into().map_err(|_| DecodeError::Malformed)
    }
}

impl<T: Value> Value for Box<T> {
    const WIRE: Wire = T::WIRE;
    fn write(&self, to: &mut RowWriter) {
        T::write(self, to);
    }
    fn read(from: &mut RowReader<'_>) -> Result<Self, DecodeError> {
        T::read(from).map(Box::new)
    }
    fn is_empty(&self) -> bool {
        T::is_empty(self)
    }
    fn empty() -> Option<Self> {
        T::empty().map(Box::new)
    }
}

/// Declares a row, or a part of one: a struct with public, numbered fields.
///
/// ```ignore
/// row! {
///     /// A bucket.
///     #[derive(Default)]
///     pub struct BucketRow {
///         1 => name: String,
///         2 => created: Timestamp,
///         3 => tags: BTreeMap<String, String>,
///         4 => policy: Option<String>,
///     }
/// }
/// ```
/// `Clone`, `Debug` and `PartialEq` are derived; name others yourself. Field types: integers from 16
/// bits, `bool`, `f64`, `String`, `Vec<u8>`, `Bytes`, `[u8; N]`, `Timestamp`, `AccountId`, `Region`,
/// other rows and row enums, and `Option`, `Vec`, `Box`, `BTreeSet`, `BTreeMap` of these.
#[macro_export]
macro_rules! row {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $row:ident {
            $($(#[$field_meta:meta])* $number:literal => $field:ident : $type:ty),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $row {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::Value for $row {
            const WIRE: $crate::Wire = $crate::Wire::Sized;

            fn write(&self, to: &mut $crate::RowWriter) {
                $($crate::Field::write_field(&self.$field, $number, to);)*
            }

            fn read(from: &mut $crate::RowReader<'_>) -> Result<Self, $crate::DecodeError> {
                $(let mut $field: Option<$type> = None;)*
                while let Some((number, wire)) = from.tag()? {
                    match number {
                        $($number => $field = Some($crate::Field::read_field(wire, from)?),)*
                        _ => return Err($crate::DecodeError::Unknown(number)),
                    }
                }
                Ok($row {
                    $($field: match $field {
                        Some(value) => value,
                        None => <$type as $crate::Field>::absent()
                            .ok_or($crate::DecodeError::Missing($number))?,
                    },)*
                })
            }

            fn empty() -> Option<Self> {
                Some($row { $($field: <$type as $crate::Field>::absent()?,)* })
            }
        }

        impl $crate::Row for $row {}
    )*};
}

/// Declares a choice within a row: numbered variants, with one value each or none.
///
/// ```ignore
/// row_enum! {
///     #[derive(Copy)]
///     pub enum Versioning { 0 => Off, 1 => Enabled, 2 => Suspended }
/// }
/// ```
/// Variant 0 is what a field that was never written means; without one the field is required.
/// `Clone`, `Debug` and `PartialEq` are derived; name others yourself.
#[macro_export]
macro_rules! row_enum {
    ($(
        $(#[$meta:meta])*
        $vis:vis enum $choice:ident {
            $($(#[$variant_meta:meta])* $number:literal => $variant:ident $(($type:ty))?),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $choice {
            $($(#[$variant_meta])* $variant $(($type))?,)*
        }

        impl $crate::Value for $choice {
            const WIRE: $crate::Wire = $crate::Wire::Sized;

            fn write(&self, to: &mut $crate::RowWriter) {
                match self {
                    $($crate::row_enum!(@pattern value $choice $variant $(($type))?) => {
                        to.varint($number);
                        $crate::row_enum!(@write to value $($type)?);
                    })*
                }
            }

            fn read(from: &mut $crate::RowReader<'_>) -> Result<Self, $crate::DecodeError> {
                let number = if from.is_at_end() { 0 } else { from.varint()? };
                match number {
                    $($number => Ok($crate::row_enum!(@read from $choice $variant $(($type))?)),)*
                    _ => Err($crate::DecodeError::Unknown(
                        u32::try_from(number).unwrap_or(u32::MAX),
                    )),
                }
            }

            fn empty() -> Option<Self> {
                $crate::RowReader::read_empty()
            }
        }

        impl $crate::Row for $choice {}
    )*};
    (@pattern $value:ident $choice:ident $variant:ident ($type:ty)) => { $choice::$variant($value) };
    (@pattern $value:ident $choice:ident $variant:ident) => { $choice::$variant };
    (@write $to:ident $value:ident $type:ty) => { $crate::Value::write($value, $to) };
    (@write $to:ident $value:ident) => {};
    (@read $from:ident $choice:ident $variant:ident ($type:ty)) => {
        $choice::$variant(<$type as $crate::Value>::read($from)?)
    };
    (@read $from:ident $choice:ident $variant:ident) => { $choice::$variant };
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::hex;

    crate::row! {
        struct Old {
            1 => name: String,
            2 => size: u64,
        }
        #[derive(Default)]
        struct New {
            1 => name: String,
            2 => size: u64,
            3 => tags: BTreeMap<String, String>,
            4 => policy: Option<String>,
            5 => parts: Vec<Part>,
            6 => at: Timestamp,
            7 => body: Bytes,
            8 => state: State,
            9 => ratio: f64,
            10 => digest: Option<[u8; 4]>,
            11 => set: BTreeSet<u32>,
            12 => owner: Option<AccountId>,
            13 => change: i64,
            14 => yes: bool,
            15 => inner: Option<Box<New>>,
        }
        struct Part {
            1 => number: u32,
            2 => etag: Vec<u8>,
        }
        struct Strict {
            1 => region: Region,
        }
    }
    crate::row_enum! {
        #[derive(Default)]
        enum State {
            #[default]
            0 => Off,
            1 => On,
            2 => Moved(String),
            3 => Counted(u64),
        }
    }

    impl Default for Part {
        fn default() -> Part {
            Part { number: 1, etag: Vec::new() }
        }
    }

    fn full() -> New {
        New {
            name: "n".repeat(300),
            size: u64::MAX,
            tags: BTreeMap::from([("k".into(), "v".into()), ("".into(), "x".repeat(200))]),
            policy: Some(String::new()),
            parts: vec![Part::default(), Part { number: 0, etag: vec![1; 20_000] }],
            at: Timestamp::from_millis(-5),
            body: Bytes::from_static(b"body"),
            state: State::Moved("there".into()),
            ratio: -0.5,
            digest: Some([1, 2, 3, 4]),
            set: BTreeSet::from([3, 1]),
            owner: AccountId::from_u64(7),
            change: i64::MIN,
            yes: true,
            inner: Some(Box::new(New { state: State::Counted(3), ..New::default() })),
        }
    }

    #[test]
    fn golden_bytes() {
        let row = Old { name: "ab".into(), size: 300 };
        assert_eq!(hex::encode(&encode(&row)), "0602616208ac02");
        assert_eq!(encode(&Old { name: String::new(), size: 0 }), b"");
        let new = New {
            policy: Some("p".into()),
            state: State::On,
            parts: vec![Part::default()],
            ..New::default()
        };
        assert_eq!(hex::encode(&encode(&new)), "1201701603020401220101");
    }

    #[test]
    fn round_trip_and_growth() {
        for row in [full(), New::default()] {
            assert_eq!(decode::<New>(&encode(&row).into()), Ok(row));
        }
        let old = Old { name: "ab".into(), size: 300 };
        let grown: New = decode(&encode(&old).into()).unwrap();
        assert_eq!(grown, New { name: "ab".into(), size: 300, ..New::default() });
        assert_eq!(decode::<Old>(&encode(&full()).into()), Err(DecodeError::Unknown(3)));
        assert_eq!(decode::<Strict>(&Bytes::new()), Err(DecodeError::Missing(1)));
        assert_eq!(decode::<State>(&Bytes::from_static(&[9])), Err(DecodeError::Unknown(9)));
    }

    #[test]
    fn hostile_bytes_never_panic() {
        use base::Entropy;
        let good = encode(&New { parts: vec![Part::default()], ..full() });
        for end in 0..good.len() {
            let _ = decode::<New>(&Bytes::copy_from_slice(&good[..end]));
        }
        let chance = base::SeededEntropy::new(1);
        for _ in 0..20_000 {
            let mut bad = good.clone();
            for _ in 0..=chance.below(4) {
                let at = chance.below(bad.len() as u64) as usize;
                bad[at] = chance.next_u64() as u8;
            }
            let _ = decode::<New>(&bad.into());
        }
        let mut deep = Vec::new();
        for _ in 0..100 {
            let mut to = RowWriter { bytes: Vec::new() };
            to.varint(15 << 2 | 2);
            to.element(&deep);
            deep = to.bytes;
        }
        assert_eq!(decode::<New>(&deep.into()), Err(DecodeError::TooDeep));
    }
}
