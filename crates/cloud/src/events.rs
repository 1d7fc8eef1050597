//! `cumulet events`: the audit trail of a running cloud.

use crate::cli;
use crate::client::{Client, text};
use crate::exit::Failure;
use crate::settings::Config;
use base::percent;
use clap::ArgMatches;
use smithy::Document;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Records that `--follow` remembers so as not to show them twice.
const SHOWN_MAX: usize = 5_000;
const PAUSE: Duration = Duration::from_secs(1);

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let client = Client::new(config);
    let follow = matches.get_flag("follow");
    let json = matches.get_flag("json");
    let mut since = cli::value(matches, "since").unwrap_or_default();
    let mut shown = BTreeSet::new();
    loop {
        let answer = client.ask("GET", "/_cumulet/events", &query(matches, &since))?;
        let Document::Map(map) = answer else { return Ok(()) };
        let Some(Document::List(events)) = map.get("events") else { return Ok(()) };
        let mut out = std::io::stdout().lock();
        for event in events {
            let id = format!("{:?}{:?}", text(event, "requestID"), text(event, "eventTime"));
            if follow && !shown.insert(id) {
                continue;
            }
            let line = if json { smithy::json::document_text(event) } else { line(event) };
            // Whoever read us has gone.
            if writeln!(out, "{line}").is_err() {
                return Ok(());
            }
        }
        if !follow {
            return Ok(());
        }
        if let Some(last) = events.last().and_then(|event| text(event, "eventTime")) {
            since = last.to_owned();
        }
        if shown.len() > SHOWN_MAX {
            shown.clear();
        }
        pause();
    }
}

#[allow(clippy::disallowed_methods, reason = "a person watches; nothing waits for this")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// Sorted by name, as signatures want it.
fn query(matches: &ArgMatches, since: &str) -> String {
    let mut pairs = Vec::new();
    for name in ["account", "limit", "operation", "service", "who"] {
        if let Some(value) = cli::value(matches, name) {
            pairs.push((name, value));
        }
    }
    for name in ["denied", "failed", "no_reads"] {
        if matches.get_flag(name) {
            pairs.push((name, "true".to_owned()));
        }
    }
    if !since.is_empty() {
        pairs.push(("since", since.to_owned()));
    }
    let encoded: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", percent::encode(value.as_bytes())))
        .collect();
    encoded.join("&")
}

/// One line for a person: when, what, who, from where, and why not.
fn line(event: &Document) -> String {
    let own = |name| text(event, name).unwrap_or("");
    let identity = match event {
        Document::Map(map) => map.get("userIdentity"),
        _ => None,
    };
    let who = identity.and_then(|i| text(i, "arn")).unwrap_or("anonymous");
    let service = own("eventSource").split('.').next().unwrap_or("");
    let what = format!("{service}:{}", own("eventName"));
    let mut line = format!("{}  {what:<28} {who}  {}", own("eventTime"), own("sourceIPAddress"));
    if let Some(code) = text(event, "errorCode") {
        let (red, plain) =
            if std::io::stdout().is_terminal() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        line.push_str(&format!("  {red}{code}{plain}: {}", own("errorMessage")));
    }
    if let Document::Map(map) = event
        && let Some(data) = map.get("additionalEventData")
    {
        for more in ["reason", "warnings"].into_iter().filter_map(|name| text(data, name)) {
            line.push_str(&format!("  [{more}]"));
        }
    }
    line.chars().map(|c| if c.is_control() && c != '\x1b' { ' ' } else { c }).collect()
}
