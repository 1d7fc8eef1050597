//! `cumulet env`: what points AWS CLI and SDKs here.

use crate::cli;
use crate::exit::{self, Failure};
use crate::settings::Config;
use base::AccountId;
use clap::ArgMatches;

pub fn print(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let account = cli::value(matches, "account");
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
    let url = format!("http://{}", config.listen);
    let pairs = [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", &id),
        ("AWS_SECRET_ACCESS_KEY", &secret),
        ("AWS_DEFAULT_REGION", config.region.as_str()),
        ("AWS_REGION", config.region.as_str()),
    ];
    let shell = cli::value(matches, "shell");
    for (name, value) in pairs {
        match shell.as_deref() {
            Some("fish") => println!("set -gx {name} {}", quoted(value)),
            Some("powershell") => println!("$Env:{name} = '{}'", value.replace('\'', "''")),
            _ => println!("export {name}={}", quoted(value)),
        }
    }
    Ok(())
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
