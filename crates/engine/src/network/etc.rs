//! The files by which a container finds names: `/etc/hosts` and `/etc/resolv.conf`.

use crate::config::HostConfig;
use crate::launch::list;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// Where our own resolver answers inside of a container.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// If this machine has none that a container could reach.
const PUBLIC: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// `own` is the container's addresses, each with the names that lead to it; `machine` names of this
/// machine, which the client may have given another meaning.
pub fn hosts(
    host: &HostConfig,
    own: &[(IpAddr, Vec<String>)],
    gateway: Option<Ipv4Addr>,
    machine: &[&str],
) -> String {
    let mut text = "127.0.0.1\tlocalhost\n\
                    ::1\tlocalhost ip6-localhost ip6-loopback\n\
                    fe00::\tip6-localnet\n\
                    ff00::\tip6-mcastprefix\n\
                    ff02::1\tip6-allnodes\n\
                    ff02::2\tip6-allrouters\n"
        .to_owned();
    for extra in list(&host.extra_hosts) {
        let Some((name, address)) = extra.split_once([':', '=']) else { continue };
        let address = match (address, gateway) {
            ("host-gateway", Some(gateway)) => gateway.to_string(),
            ("host-gateway", None) => continue,
            (address, _) => address.trim_matches(['[', ']']).to_owned(),
        };
        let _ = writeln!(text, "{address}\t{name}");
    }
    let given: Vec<&str> =
        list(&host.extra_hosts).iter().filter_map(|one| one.split([':', '=']).next()).collect();
    let machine: Vec<&str> = machine.iter().copied().filter(|one| !given.contains(one)).collect();
    if let Some(gateway) = gateway.filter(|_| !machine.is_empty()) {
        let _ = writeln!(text, "{gateway}\t{}", machine.join(" "));
    }
    for (address, names) in own {
        let _ = writeln!(text, "{address}\t{}", names.join(" "));
    }
    text
}

/// `machine` is this machine's own file. With `resolver` ours is asked, and asks on.
pub fn resolv_conf(host: &HostConfig, machine: &str, resolver: bool) -> String {
    let mut servers: Vec<String> = host.dns.clone();
    let mut search: Vec<String> = host.dns_search.clone();
    let mut options: Vec<String> = host.dns_options.clone();
    let mut from_machine = (Vec::new(), Vec::new(), Vec::new());
    for line in machine.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => from_machine.0.extend(words.next().map(str::to_owned)),
            Some("search" | "domain") => from_machine.1 = words.map(str::to_owned).collect(),
            Some("options") => from_machine.2.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    if servers.is_empty() {
        // This machine's loopback is not the container's.
        let reachable = |server: &String| !server.starts_with("127.") && server != "::1";
        servers = from_machine.0.into_iter().filter(reachable).collect();
        if servers.is_empty() {
            servers = PUBLIC.map(str::to_owned).to_vec();
        }
    }
    if search.is_empty() {
        search = from_machine.1;
    }
    if options.is_empty() {
        options = from_machine.2;
    }
    if resolver {
        servers = vec![RESOLVER.to_string()];
        if !options.iter().any(|option| option.starts_with("ndots:")) {
            options.push("ndots:0".to_owned());
        }
    }
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    // A dot takes the machine's search list away.
    if !search.is_empty() && search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str =
        "# x\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nsearch a b\noptions edns0\n";

    fn host(json: &str) -> HostConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn resolvers() {
        let check = |json: &str, machine: &str, resolver: bool, expected: &str| {
            assert_eq!(resolv_conf(&host(json), machine, resolver), expected, "{json}");
        };
        check("{}", MACHINE, false, "nameserver 10.0.0.1\nsearch a b\noptions edns0\n");
        check("{}", "nameserver 127.0.0.1", false, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
        let own = r#"{"Dns":["9.9.9.9"],"DnsSearch":["."],"DnsOptions":["ndots:3"]}"#;
        check(own, MACHINE, false, "nameserver 9.9.9.9\noptions ndots:3\n");
        check("{}", MACHINE, true, "nameserver 127.0.0.11\nsearch a b\noptions edns0 ndots:0\n");
    }

    #[test]
    fn host_names() {
        let host = host(r#"{"ExtraHosts":["db:10.0.0.9","me:host-gateway","six:[::1]"]}"#);
        let own = [(Ipv4Addr::new(172, 17, 0, 2).into(), vec!["abc".to_owned()])];
        let text = hosts(&host, &own, Some(Ipv4Addr::new(172, 17, 0, 1)), &["me", "cloud"]);
        for line in [
            "10.0.0.9\tdb\n",
            "172.17.0.1\tme\n",
            "::1\tsix\n",
            "172.17.0.2\tabc\n",
            "172.17.0.1\tcloud\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
    }
}
