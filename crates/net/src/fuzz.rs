//! What the fuzz target runs, and a unit test from a fixed seed: addresses as clients of Docker write them.

use crate::address::{Subnet, mac_text, parse_mac};
use crate::firewall::Protocol;
use crate::six::Subnet6;
use std::collections::BTreeSet;

/// Subnets of either kind, what is free in them, and addresses of links.
pub fn fuzz_text(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    if let Some(subnet) = Subnet::parse(text) {
        assert_eq!(Subnet::parse(&subnet.to_string()), Some(subnet));
        assert!(subnet.contains(subnet.first()) && subnet.contains(subnet.broadcast()));
        assert!(subnet.within(&subnet) && subnet.overlaps(&subnet));
        let taken = BTreeSet::from([subnet.first()]);
        let free = subnet.free(None, &taken);
        assert!(free.is_none_or(|free| subnet.contains(free) && !taken.contains(&free)));
    }
    if let Some(subnet) = Subnet6::parse(text) {
        assert_eq!(Subnet6::parse(&subnet.to_string()), Some(subnet));
        assert!(subnet.contains(subnet.first()) && subnet.within(&subnet));
        let taken = BTreeSet::from([subnet.first()]);
        let free = subnet.free(None, &taken);
        assert!(free.is_none_or(|free| subnet.contains(free) && !taken.contains(&free)));
    }
    if let Some(mac) = parse_mac(text) {
        assert_eq!(parse_mac(&mac_text(mac)), Some(mac));
    }
    let _ = Protocol::parse(text);
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_second_of_noise() {
        let seeds: [&[u8]; 5] = [
            b"172.17.0.0/16",
            b"255.255.255.255/32",
            b"2001:db8:1:2::/64",
            b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
            b"02:42:ac:11:00:02",
        ];
        let words: [&[u8]; 6] = [b"/0", b"/31", b"/127", b"::", b"255", b":"];
        base::noise::run(21, 60_000, &seeds, &words, super::fuzz_text);
    }
}
