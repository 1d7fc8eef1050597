//! `cumulet reset`: empties the running cloud, or one account of it.

use crate::cli;
use crate::client::Client;
use crate::exit::{self, Failure};
use crate::settings::Config;
use base::{AccountId, percent};
use clap::ArgMatches;
use engine::Engine;
use gateway::{Leftovers, Partitions};
use std::io::{IsTerminal, Write};
use std::pin::Pin;
use store::{StoreError, Tx};

const PAGE: &str = "/_cumulet/reset";

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let account = cli::value(matches, "account");
    if let Some(text) = account.as_ref().filter(|text| AccountId::parse(text).is_none()) {
        let text = format!("{text:?} is no account; one has 12 digits");
        return Err(Failure::new(exit::USAGE, text));
    }
    let client = Client::new(config);
    let what = match &account {
        Some(account) => format!("account {account} of the cloud at {}", client.address()),
        None => format!("the whole cloud at {}", client.address()),
    };
    if !matches.get_flag("yes") {
        confirm(&what)?;
    }
    let query = account.map(|account| format!("account={}", percent::encode(account.as_bytes())));
    client.ask("POST", PAGE, query.as_deref().unwrap_or(""))?;
    println!("{what} is empty");
    Ok(())
}

/// A script has to say that it means it.
fn confirm(what: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        let text = format!("this would empty {what}; say --yes where nobody can be asked");
        return Err(Failure::new(exit::USAGE, text));
    }
    eprint!("Empty {what}? Nothing of it can be had back. [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Failure::new(exit::FAILED, "nothing was changed")),
    }
}

/// Containers and what belongs to them.
pub struct OfEngine(pub Engine);

impl Leftovers for OfEngine {
    fn keep(&self, tx: &mut Tx) -> Result<(), StoreError> {
        self.0.keep(tx)
    }

    fn remove(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        // Beside the request, which ends with its client: the rows are gone, so the rest has to go.
        let (engine, (done, ended)) = (self.0.clone(), tokio::sync::oneshot::channel());
        engine::task(async move {
            if let Err(error) = engine.forget().await {
                tracing::error!(%error, "something of a container is left; the next start tries again");
            }
            let _ = done.send(());
        });
        Box::pin(async move { drop(ended.await) })
    }
}

impl Partitions for OfEngine {
    fn may(&self, one: &str, other: &str) -> Result<(), String> {
        self.0.may_part(one, other).map_err(|error| error.to_string())
    }

    fn set(
        &self,
        pairs: Vec<(String, String)>,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async move { self.0.part(pairs).await.map_err(|error| error.to_string()) })
    }
}
