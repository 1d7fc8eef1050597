//! `cumulet env`: what points AWS CLI and SDKs here.

use crate::cli;
use crate::client;
use crate::docker_socket::Docker;
use crate::doors;
use crate::exit::{self, Failure};
use crate::settings::{Config, Settings};
use authority::Authority;
use base::AccountId;
use clap::ArgMatches;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

pub fn print(config: &Config, settings: &Settings, matches: &ArgMatches) -> Result<(), Failure> {
    let account = cli::value(matches, "account");
    let mut pairs = identity(config, account)?;
    let scheme = if matches.get_flag("tls") { "https" } else { "http" };
    let address = reachable(address(config, settings.is_given("listen")));
    pairs.insert(0, ("AWS_ENDPOINT_URL", format!("{scheme}://{address}")));
    if matches.get_flag("tls") {
        let authority = Authority::certificate_path(&config.data.join(doors::AUTHORITY));
        if !authority.exists() {
            let text = format!("{} is made by the first start", authority.display());
            return Err(Failure::new(exit::FAILED, text));
        }
        // Variables that add to what a client trusts; others would replace it.
        pairs.push(("AWS_CA_BUNDLE", authority.display().to_string()));
        pairs.push(("NODE_EXTRA_CA_CERTS", authority.display().to_string()));
    }
    // Where nobody listens one's own docker would be left without a server.
    if let Some(socket) = Docker::first_path(config).filter(|socket| socket.exists()) {
        pairs.push(("DOCKER_HOST", format!("unix://{}", socket.display())));
    }
    let shell = cli::value(matches, "shell");
    for (name, value) in pairs {
        match shell.as_deref() {
            Some("fish") => println!("set -gx {name} {}", quoted(&value)),
            // As it stands: there is no way to quote in it, and nothing ends a value but its line.
            Some("github") if value.contains('\n') => {
                let text =
                    format!("{name} has more than one line, which --shell github cannot say");
                return Err(Failure::new(exit::USAGE, text));
            }
            Some("github") => println!("{name}={value}"),
            Some("powershell") => println!("$Env:{name} = '{}'", value.replace('\'', "''")),
            _ => println!("export {name}={}", quoted(&value)),
        }
    }
    Ok(())
}

/// Where the cloud is: as somebody said, else where the one listens that holds the data folder, else
/// where it would.
fn address(config: &Config, is_given: bool) -> SocketAddr {
    if is_given && config.listen.port() != 0 {
        return config.listen;
    }
    client::held_address(config).and_then(|text| text.parse().ok()).unwrap_or(config.listen)
}

/// A client cannot go to "all addresses".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            address.set_ip(Ipv4Addr::LOCALHOST.into())
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            address.set_ip(Ipv6Addr::LOCALHOST.into())
        }
        _ => {}
    }
    address
}

/// Who a client is to the cloud, and in which region.
pub fn identity(
    config: &Config,
    account: Option<String>,
) -> Result<Vec<(&'static str, String)>, Failure> {
    if account.as_deref().is_some_and(|account| AccountId::parse(account).is_none()) {
        return Err(Failure::new(exit::USAGE, "--account must have 12 digits"));
    }
    if account.is_some() && !config.well_known_pairs {
        let text = "with --auth strict no account's number is a key; give --root-key ID:SECRET";
        return Err(Failure::new(exit::USAGE, text));
    }
    let root = config.root_keys.first();
    let (id, secret) = match (root, account) {
        (_, Some(account)) => (account, gateway::WELL_KNOWN.to_owned()),
        (Some(key), None) if !config.well_known_pairs => (key.id.clone(), key.secret.clone()),
        (None, None) if !config.well_known_pairs => {
            let text = "with --auth strict there is no well-known key; give --root-key ID:SECRET";
            return Err(Failure::new(exit::USAGE, text));
        }
        _ => (gateway::WELL_KNOWN.to_owned(), gateway::WELL_KNOWN.to_owned()),
    };
    let region = config.region.as_str().to_owned();
    Ok(vec![
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_DEFAULT_REGION", region.clone()),
        ("AWS_REGION", region),
    ])
}

/// As one word of a POSIX shell.
pub fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn where_a_client_goes() {
        for (listen, expected) in [
            ("0.0.0.0:4566", "127.0.0.1:4566"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            assert_eq!(super::reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn words_of_a_shell() {
        for (text, expected) in [
            ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(super::quoted(text), expected);
        }
    }
}
