//! `cumulet fault`: lets operations of the running cloud fail or be slow.

use crate::cli;
use crate::client::{Client, text};
use crate::clock::milliseconds;
use crate::exit::{self, Failure};
use crate::settings::Config;
use base::percent;
use clap::ArgMatches;
use smithy::Document;

const PAGE: &str = "/_cumulet/faults";

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let (what, matches) = matches.subcommand().unwrap_or(("list", matches));
    let client = Client::new(config);
    let answer = match what {
        "add" => client.ask("POST", PAGE, &query(matches)?)?,
        "remove" => {
            let id = cli::value(matches, "id").unwrap_or_default();
            client.ask("DELETE", PAGE, &format!("id={}", percent::encode(id.as_bytes())))?
        }
        _ => client.ask("GET", PAGE, "")?,
    };
    let table = table(&answer);
    if table.is_empty() {
        cli::remark("no faults are in force");
    }
    print!("{table}");
    Ok(())
}

fn query(matches: &ArgMatches) -> Result<String, Failure> {
    let usage = |text: String| Failure::new(exit::USAGE, text);
    let given = |name: &str| cli::value(matches, name);
    let selector = given("selector");
    let parts = selector.as_ref().map(|selector| {
        selector.split_once(':').ok_or_else(|| {
            usage(format!("{selector:?} is no selector; write SERVICE:OPERATION, as s3:GetObject"))
        })
    });
    let parts = parts.transpose()?;
    let latency = given("latency").map(|text| milliseconds(&text)).transpose().map_err(usage)?;
    let mut pairs = vec![
        ("service", parts.map(|(service, _)| service.to_owned())),
        ("operation", parts.map(|(_, operation)| operation.to_owned())),
        ("latency_ms", latency.map(|ms| ms.to_string())),
    ];
    let names = ["account", "error", "rate", "times", "seed", "partition"];
    pairs.extend(names.map(|name| (name, given(name))));
    let encoded = pairs
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", percent::encode(value?.as_bytes()))));
    // In the order in which the signature has them.
    let mut all: Vec<String> = encoded.collect();
    all.sort();
    Ok(all.join("&"))
}

/// A line each.
fn table(answer: &Document) -> String {
    let Document::Map(map) = answer else { return String::new() };
    let Some(Document::List(all)) = map.get("faults") else { return String::new() };
    let mut out = String::new();
    for fault in all {
        let number = |name: &str| match fault {
            Document::Map(map) => match map.get(name) {
                Some(Document::Integer(n)) => Some(*n),
                _ => None,
            },
            _ => None,
        };
        let of = |name| text(fault, name).unwrap_or("");
        if let Some(both) = text(fault, "partition") {
            out.push_str(&format!("{}  partition between {both}\n", of("id")));
            continue;
        }
        let mut words = vec![of("id").to_owned(), of("selector").to_owned()];
        if let Some(account) = text(fault, "account") {
            words.push(format!("of {account}"));
        }
        if let Some(status) = number("status") {
            words.push(format!("{} ({status})", of("error")));
        }
        if let Some(ms) = number("latencyMs") {
            words.push(format!("after {ms} ms"));
        }
        words.push(format!("rate {}", of("rate")));
        if let Some(times) = number("times") {
            words.push(format!("at most {times} times"));
        }
        words.push(format!("struck {}", number("struck").unwrap_or(0)));
        out.push_str(&words.join("  "));
        out.push('\n');
    }
    out
}
