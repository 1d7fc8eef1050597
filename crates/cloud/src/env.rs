//! `cumulet env`: what points AWS CLI and SDKs here.

use crate::cli;
use crate::docker_socket::Docker;
use crate::doors;
use crate::exit::{self, Failure};
use crate::settings::Config;
use authority::Authority;
use base::AccountId;
use clap::ArgMatches;

pub fn print(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let account = cli::value(matches, "account");
    let mut pairs = identity(config, account)?;
    let scheme = if matches.get_flag("tls") { "https" } else { "http" };
    pairs.insert(0, ("AWS_ENDPOINT_URL", format!("{scheme}://{}", config.listen)));
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
    if let Some(socket) = Docker::first_path(config) {
        pairs.push(("DOCKER_HOST", format!("unix://{}", socket.display())));
        // Builds go the classic way until BuildKit's is done.
        pairs.push(("DOCKER_BUILDKIT", "0".to_owned()));
    }
    let shell = cli::value(matches, "shell");
    for (name, value) in pairs {
        match shell.as_deref() {
            Some("fish") => println!("set -gx {name} {}", quoted(&value)),
            Some("powershell") => println!("$Env:{name} = '{}'", value.replace('\'', "''")),
            _ => println!("export {name}={}", quoted(&value)),
        }
    }
    Ok(())
}

/// Who a client is to the cloud, and in which region.
pub fn identity(
    config: &Config,
    account: Option<String>,
) -> Result<Vec<(&'static str, String)>, Failure> {
    if account.as_deref().is_some_and(|account| AccountId::parse(account).is_none()) {
        return Err(Failure::new(exit::USAGE, "--account must have 12 digits"));
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
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
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
