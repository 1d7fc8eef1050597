//! Addresses: subnets for networks, and addresses in them for containers.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

/// A network's address and the length of its prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    /// Bits beyond the prefix are cut off.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Subnet> {
        if prefix > 32 {
            return None;
        }
        Some(Subnet { base: u32::from(address) & mask(prefix), prefix })
    }

    pub fn parse(text: &str) -> Option<Subnet> {
        let (address, prefix) = text.split_once('/')?;
        Subnet::new(address.parse().ok()?, prefix.parse().ok()?)
    }

    pub fn address(&self) -> Ipv4Addr {
        self.base.into()
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    fn last(&self) -> u32 {
        self.base | !mask(self.prefix)
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    pub fn overlaps(&self, other: &Subnet) -> bool {
        self.base <= other.last() && other.base <= self.last()
    }

    pub fn within(&self, other: &Subnet) -> bool {
        other.base <= self.base && self.last() <= other.last()
    }

    /// The first address that a machine can have.
    pub fn first(&self) -> Ipv4Addr {
        (self.base + u32::from(self.prefix < 31)).into()
    }

    pub fn broadcast(&self) -> Ipv4Addr {
        self.last().into()
    }

    /// The lowest address that is not taken, neither the network's own nor its broadcast.
    pub fn free(&self, within: Option<&Subnet>, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let range = within.unwrap_or(self);
        let own = [self.address(), self.broadcast()];
        (range.base..=range.last()).map(Ipv4Addr::from).find(|address| {
            (self.prefix >= 31 || !own.contains(address)) && !taken.contains(address)
        })
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix)
    }
}

impl fmt::Debug for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The pools that Docker gives out: 172.17/16 to 172.31/16, then 192.168/16 in pieces of 4,096.
fn pools() -> impl Iterator<Item = Subnet> {
    let first = (17..32).map(|n| Subnet { base: 172 << 24 | n << 16, prefix: 16 });
    let second = (0..16).map(|n| Subnet { base: 192 << 24 | 168 << 16 | n << 12, prefix: 20 });
    first.chain(second)
}

/// A subnet that nothing here uses.
pub fn free_subnet(used: &[Subnet]) -> Option<Subnet> {
    pools().find(|pool| !used.iter().any(|used| used.overlaps(pool)))
}

/// Derived from the address, so that a container keeps it as long as the address.
pub fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let parts: Vec<u8> = text
        .split([':', '-'])
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2))
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap()
    }

    #[test]
    fn subnets() {
        let net = subnet("10.1.2.3/24");
        assert_eq!(net.to_string(), "10.1.2.0/24");
        assert_eq!((net.first(), net.broadcast()), ([10, 1, 2, 1].into(), [10, 1, 2, 255].into()));
        assert!(net.overlaps(&subnet("10.1.0.0/16")) && subnet("10.1.0.0/16").overlaps(&net));
        assert!(!net.overlaps(&subnet("10.1.3.0/24")));
        assert!(subnet("0.0.0.0/0").overlaps(&net) && net.within(&subnet("0.0.0.0/0")));
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "a/8", "::/0"] {
            assert_eq!(Subnet::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn free_ones() {
        assert_eq!(free_subnet(&[]), Some(subnet("172.17.0.0/16")));
        assert_eq!(free_subnet(&[subnet("172.16.0.0/12")]), Some(subnet("192.168.0.0/20")));
        assert_eq!(free_subnet(&[subnet("0.0.0.0/0")]), None);
        let net = subnet("10.0.0.0/30");
        let mut taken = BTreeSet::new();
        for expected in ["10.0.0.1", "10.0.0.2"] {
            let address = net.free(None, &taken).unwrap();
            assert_eq!(address.to_string(), expected);
            taken.insert(address);
        }
        assert_eq!(net.free(None, &taken), None);
        let wide = subnet("10.0.0.0/24");
        let range = subnet("10.0.0.128/25");
        assert_eq!(wide.free(Some(&range), &taken).unwrap().to_string(), "10.0.0.128");
    }

    #[test]
    fn hardware_addresses() {
        let mac = mac([172, 17, 0, 2].into());
        assert_eq!(mac_text(mac), "02:42:ac:11:00:02");
        assert_eq!(parse_mac("02:42:ac:11:00:02"), Some(mac));
        for bad in ["", "02:42", "02:42:ac:11:00:zz", "2:42:ac:11:0:2"] {
            assert_eq!(parse_mac(bad), None, "{bad}");
        }
    }
}
