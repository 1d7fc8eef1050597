//! Subnets that a client asks for, of either kind, and those that a network of IPv6 gets.

use super::{Network, Pool};
use crate::error::{Error, Kind};
use net::{Subnet, Subnet6};
use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) fn check(pool: &Pool) -> Result<(), Error> {
    let Some(subnet) = Subnet::parse(&pool.subnet) else {
        let text = format!("invalid subnet {}: invalid CIDR address", pool.subnet);
        return Err(Error::invalid(text));
    };
    if subnet.prefix() > 30 {
        return Err(Error::invalid(format!("invalid subnet {subnet}: no room for containers")));
    }
    check_inside(
        pool,
        &subnet,
        |range| Subnet::parse(range).is_some_and(|range| range.within(&subnet)),
        |address| address.parse::<Ipv4Addr>().is_ok_and(|address| subnet.contains(address)),
    )
}

/// The range, the gateway and the addresses that are kept free lie in the subnet, as the two say.
fn check_inside(
    pool: &Pool,
    subnet: &dyn Display,
    has_range: impl Fn(&str) -> bool,
    has_address: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    if !pool.ip_range.is_empty() && !has_range(&pool.ip_range) {
        return Err(Error::invalid(format!(
            "invalid ip-range {}: parent subnet {subnet} does not contain it",
            pool.ip_range
        )));
    }
    let mut addresses = std::iter::once(&pool.gateway).chain(pool.auxiliary.values());
    match addresses.find(|address| !address.is_empty() && !has_address(address)) {
        None => Ok(()),
        Some(address) => Err(Error::invalid(format!(
            "invalid gateway {address}: parent subnet {subnet} does not contain it"
        ))),
    }
}

pub(super) fn check_six(pool: &Pool, enabled: bool) -> Result<(), Error> {
    let Some(subnet) = Subnet6::parse(&pool.subnet) else {
        let text = format!("invalid subnet {}: invalid CIDR address", pool.subnet);
        return Err(Error::invalid(text));
    };
    if !enabled {
        return Err(Error::invalid(format!(
            "IPv6 is not enabled for this network, but it is given the subnet {subnet}"
        )));
    }
    if subnet.prefix() > 126 {
        return Err(Error::invalid(format!("invalid subnet {subnet}: no room for containers")));
    }
    check_inside(
        pool,
        &subnet,
        |range| Subnet6::parse(range).is_some_and(|range| range.within(&subnet)),
        |address| address.parse::<Ipv6Addr>().is_ok_and(|address| subnet.contains(address)),
    )
}

/// A prefix of its own for a network that is given none.
pub(super) fn local_six(id: &str) -> Pool {
    let mut octets = [0; 7];
    for (n, octet) in octets.iter_mut().enumerate() {
        let hex = id.get(2 * n..2 * n + 2).unwrap_or_default();
        *octet = u8::from_str_radix(hex, 16).unwrap_or_default();
    }
    let subnet = Subnet6::local(&octets);
    Pool { subnet: subnet.to_string(), gateway: subnet.first().to_string(), ..Pool::default() }
}

/// Gives a network of IPv6 its subnet and gateway.
pub(super) fn settle_six(
    network: &mut Network,
    used: &net_sys::Used,
    others: &[Network],
) -> Result<(), Error> {
    let mut taken = used.subnets_six.clone();
    let others = others.iter().filter(|one| one.id != network.id);
    taken.extend(others.filter_map(Network::subnet_six));
    let own = network.settings.ipam.config.iter_mut().find(|pool| pool.is_six());
    let Some(pool) = own else {
        network.settings.ipam.config.push(local_six(&network.id));
        return Ok(());
    };
    let Some(subnet) = Subnet6::parse(&pool.subnet) else { return Ok(()) };
    if taken.iter().any(|other| other.overlaps(&subnet)) {
        return Err(Error::new(
            Kind::Forbidden,
            "invalid pool request: Pool overlaps with other one on this address space",
        ));
    }
    if pool.gateway.is_empty() {
        pool.gateway = subnet.first().to_string();
    }
    Ok(())
}

/// An address that a client asks for.
pub(super) fn check_address_six(network: &Network, text: &str) -> Result<(), Error> {
    if network.is_predefined() {
        return Err(Error::invalid(
            "user specified IP address is supported on user defined networks only",
        ));
    }
    let address: Ipv6Addr =
        text.parse().map_err(|_| Error::invalid(format!("invalid IPv6 address: {text}")))?;
    match network.subnet_six().is_some_and(|subnet| subnet.contains(address)) {
        true => Ok(()),
        false => Err(Error::invalid(format!("no configured subnet contains IP address {address}"))),
    }
}
