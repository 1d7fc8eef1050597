//! Tables and scopes: where a row stands among all keys of the store.
//!
//! A raw key is scope, table number, key. Everything of an account stands together, its global rows
//! first and then region by region, so that an account or one region of it is one range.

use crate::key::{KeyReader, KeyRef, KeyWriter};
use base::{AccountId, Region};
use std::fmt;
use std::marker::PhantomData;

/// A set of rows of one type. Declared once, as a constant of the service that owns it.
///
/// The number is what is stored: it is never changed and never reused. Its high byte is the service's.
pub struct Table<K, R> {
    pub(crate) id: u16,
    pub(crate) name: &'static str,
    types: PhantomData<fn() -> (K, R)>,
}

impl<K, R> Table<K, R> {
    /// Numbers below 0x0100 and from 0xff00 on are the store's own.
    pub const fn new(id: u16, name: &'static str) -> Table<K, R> {
        assert!(id >= 0x0100 && id < 0xff00, "this table number is the store's own");
        Table { id, name, types: PhantomData }
    }

    pub(crate) const fn internal(id: u16, name: &'static str) -> Table<K, R> {
        Table { id, name, types: PhantomData }
    }

    pub const fn id(&self) -> u16 {
        self.id
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn start(&self, scope: &Scope) -> KeyWriter {
        let mut to = KeyWriter::new();
        scope.write(&mut to);
        to.raw(&self.id.to_be_bytes());
        to
    }

    pub(crate) fn raw_key<Q: KeyRef<K> + ?Sized>(&self, scope: &Scope, key: &Q) -> KeyWriter {
        let mut to = self.start(scope);
        key.write(&mut to);
        to
    }
}

impl<K, R> fmt::Debug for Table<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Whose rows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// The whole cloud: bucket names, access keys.
    Global,
    /// One account, all regions: IAM.
    Account(AccountId),
    /// One region of an account: most services.
    AccountRegion(AccountId, Region),
    /// This machine: containers, networks.
    Host,
}

/// The beginning of all keys of an account.
pub(crate) fn write_account(to: &mut KeyWriter, account: AccountId) {
    to.raw(&[2]);
    // Twelve digits fit in five bytes.
    to.raw(&account.to_u64().to_be_bytes()[3..]);
}

impl Scope {
    pub(crate) fn write(&self, to: &mut KeyWriter) {
        match self {
            Scope::Global => to.raw(&[1]),
            Scope::Account(id) => {
                write_account(to, *id);
                to.raw(&[0]);
            }
            Scope::AccountRegion(id, region) => {
                write_account(to, *id);
                // No region name contains a zero byte.
                to.raw(region.as_str().as_bytes());
                to.raw(&[0]);
            }
            Scope::Host => to.raw(&[3]),
        }
    }

    /// Splits a raw key into its scope, table number and key; `None` if it is none of ours.
    pub fn parse_raw_key(raw: &[u8]) -> Option<(Scope, u16, &[u8])> {
        let mut from = KeyReader::new(&raw[raw.len().min(1)..]);
        let (scope, used) = match raw.first()? {
            1 => (Scope::Global, 1),
            3 => (Scope::Host, 1),
            2 => {
                let [a, b, c, d, e] = from.array().ok()?;
                let id = AccountId::from_u64(u64::from_be_bytes([0, 0, 0, a, b, c, d, e]))?;
                let name = &raw[6..];
                let end = name.iter().take(64).position(|b| *b == 0)?;
                let scope = match &name[..end] {
                    [] => Scope::Account(id),
                    name => {
                        Scope::AccountRegion(id, Region::parse(std::str::from_utf8(name).ok()?)?)
                    }
                };
                (scope, 6 + end + 1)
            }
            _ => return None,
        };
        let (table, key) = raw[used..].split_first_chunk::<2>()?;
        Some((scope, u16::from_be_bytes(*table), key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::hex;

    const T: Table<String, ()> = Table::new(0x0102, "test");

    fn check(scope: Scope, golden: &str) {
        let raw = T.raw_key(&scope, "a").into_bytes();
        assert_eq!(hex::encode(&raw), golden, "{scope:?}");
        let (back, table, key) = Scope::parse_raw_key(&raw).unwrap();
        assert_eq!((back, table, key), (scope, 0x0102, &b"a\0\x01"[..]));
    }

    #[test]
    fn golden_bytes() {
        let id = AccountId::parse("123456789012").unwrap();
        check(Scope::Global, "010102610001");
        check(Scope::Account(id), "021cbe991a14000102610001");
        check(
            Scope::AccountRegion(id, Region::us_east_1()),
            "021cbe991a1475732d656173742d31000102610001",
        );
        check(Scope::Host, "030102610001");
    }

    #[test]
    fn hostile_bytes_are_none() {
        for bad in ["", "00", "01", "0101", "02", "021cbe991a14", "021cbe991a1475732d", "ff"] {
            let bytes = hex::decode(bad.as_bytes()).unwrap();
            assert_eq!(Scope::parse_raw_key(&bytes), None, "{bad}");
        }
    }
}
