//! The same for IPv6: prefixes, and addresses in them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv6Addr;

/// A network's address and the length of its prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet6 {
    base: u128,
    prefix: u8,
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl Subnet6 {
    /// Bits beyond the prefix are cut off.
    pub fn new(address: Ipv6Addr, prefix: u8) -> Option<Subnet6> {
        let base = u128::from(address) & mask(prefix.min(128));
        (prefix <= 128).then_some(Subnet6 { base, prefix })
    }

    pub fn parse(text: &str) -> Option<Subnet6> {
        let (address, prefix) = text.split_once('/')?;
        Subnet6::new(address.parse().ok()?, prefix.parse().ok()?)
    }

    pub fn address(&self) -> Ipv6Addr {
        self.base.into()
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    fn last(&self) -> u128 {
        self.base | !mask(self.prefix)
    }

    pub fn contains(&self, address: Ipv6Addr) -> bool {
        u128::from(address) & mask(self.prefix) == self.base
    }

    pub fn overlaps(&self, other: &Subnet6) -> bool {
        self.base <= other.last() && other.base <= self.last()
    }

    pub fn within(&self, other: &Subnet6) -> bool {
        other.base <= self.base && self.last() <= other.last()
    }

    /// The first address after the one that stands for all routers.
    pub fn first(&self) -> Ipv6Addr {
        (self.base + u128::from(self.prefix < 127)).into()
    }

    /// The lowest address that is not taken.
    pub fn free(&self, within: Option<&Subnet6>, taken: &BTreeSet<Ipv6Addr>) -> Option<Ipv6Addr> {
        let range = within.unwrap_or(self);
        let lowest = range.base.max(u128::from(self.first()));
        // Of so many, one is free.
        let last = range.last().min(lowest.saturating_add(taken.len() as u128));
        (lowest..=last).map(Ipv6Addr::from).find(|address| !taken.contains(address))
    }

    /// A prefix of its own for a network that was given none, out of those that are nobody's: made of its id,
    /// so that no two on any machine are the same (RFC 4193).
    pub fn local(id: &[u8; 7]) -> Subnet6 {
        let mut octets = [0; 16];
        octets[0] = 0xfd;
        octets[1..8].copy_from_slice(id);
        Subnet6 { base: u128::from_be_bytes(octets), prefix: 64 }
    }
}

impl fmt::Display for Subnet6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix)
    }
}

impl fmt::Debug for Subnet6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet6 {
        Subnet6::parse(text).unwrap()
    }

    #[test]
    fn prefixes() {
        let net = subnet("2001:db8:1:2:ffff::1/64");
        assert_eq!(net.to_string(), "2001:db8:1:2::/64");
        assert_eq!(net.first().to_string(), "2001:db8:1:2::1");
        assert!(net.contains("2001:db8:1:2::7".parse().unwrap()));
        assert!(!net.contains("2001:db8:1:3::7".parse().unwrap()));
        assert!(net.overlaps(&subnet("2001:db8::/32")) && net.within(&subnet("::/0")));
        assert!(!net.overlaps(&subnet("2001:db8:1:3::/64")));
        assert_eq!(Subnet6::local(&[1, 2, 3, 4, 5, 6, 7]).to_string(), "fd01:203:405:607::/64");
        for bad in ["", "::", "::/129", "10.0.0.0/8", "x/64", "::/-1"] {
            assert_eq!(Subnet6::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn free_ones() {
        let net = subnet("fd00::/126");
        let mut taken = BTreeSet::from([net.first()]);
        for expected in ["fd00::2", "fd00::3"] {
            let address = net.free(None, &taken).unwrap();
            assert_eq!(address.to_string(), expected);
            taken.insert(address);
        }
        assert_eq!(net.free(None, &taken), None);
        let range = subnet("fd00:0:0:0:8000::/65");
        let free = subnet("fd00::/64").free(Some(&range), &taken).unwrap();
        assert_eq!(free.to_string(), "fd00::8000:0:0:0");
        assert_eq!(subnet("::/0").free(None, &taken).unwrap().to_string(), "::1");
    }
}
