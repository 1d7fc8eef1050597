//! `cumulet events`: the audit trail of a running cloud.

use crate::cli;
use crate::client::{Client, text};
use crate::exit::{self, Failure};
use crate::settings::Config;
use base::percent;
use clap::ArgMatches;
use smithy::Document;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};

const PAGE: &str = "/_cumulet/events";

pub fn run(config: &Config, matches: &ArgMatches) -> Result<(), Failure> {
    let client = Client::new(config);
    let json = matches.get_flag("json");
    let query = query(matches);
    // Begun before the list is read, so that nothing is between the two.
    let coming = matches.get_flag("follow").then(|| client.follow(PAGE, &following(&query)));
    let coming = coming.transpose()?;
    let answer = client.ask("GET", PAGE, &query)?;
    let Document::Map(map) = answer else { return Ok(()) };
    let Some(Document::List(events)) = map.get("events") else { return Ok(()) };
    for event in events {
        if !show(event, json) {
            return Ok(());
        }
    }
    let Some(mut coming) = coming else { return Ok(()) };
    let id =
        |event: &Document| format!("{:?}{:?}", text(event, "requestID"), text(event, "eventTime"));
    let mut shown: BTreeSet<String> = events.iter().map(id).collect();
    while let Some(line) = coming.next()? {
        // An empty one says that somebody is there.
        let Ok(event) = smithy::json::parse_document(&line) else { continue };
        if !json && let Some(count) = left_out(&event) {
            let many = if count == 1 { "record is" } else { "records are" };
            eprintln!("{count} {many} left out here: more came than can be shown as they come");
            continue;
        }
        if !shown.remove(&id(&event)) && !show(&event, json) {
            return Ok(());
        }
    }
    Err(Failure::new(exit::FAILED, "the cloud has ended"))
}

/// False when whoever read us has gone.
fn show(event: &Document, json: bool) -> bool {
    let line = if json { smithy::json::document_text(event) } else { line(event) };
    writeln!(std::io::stdout().lock(), "{line}").is_ok()
}

/// So many are not shown, says a line that is no record.
fn left_out(line: &Document) -> Option<i64> {
    let Document::Map(map) = line else { return None };
    match map.get("leftOut") {
        Some(Document::Integer(count)) => Some(*count),
        _ => None,
    }
}

/// The same question, for what is to come; names stay in order.
fn following(query: &str) -> String {
    // The list tells of what was.
    let past = |pair: &&str| pair.starts_with("limit=") || pair.starts_with("since=");
    let own = query.split('&').filter(|pair| !pair.is_empty() && !past(pair));
    let mut pairs: Vec<&str> = own.chain(["follow=true"]).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

/// Sorted by name, as signatures want it.
fn query(matches: &ArgMatches) -> String {
    let mut pairs = Vec::new();
    for name in ["account", "limit", "operation", "service", "since", "who"] {
        if let Some(value) = cli::value(matches, name) {
            pairs.push((name, value));
        }
    }
    for name in ["denied", "failed", "no_reads"] {
        if matches.get_flag(name) {
            pairs.push((name, "true".to_owned()));
        }
    }
    pairs.sort_unstable();
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
        // What root may do by itself goes without saying.
        let is_root = identity.and_then(|own| text(own, "type")) == Some("Root");
        let allowed = text(data, "allowedBy").filter(|_| !is_root);
        let all =
            [("", text(data, "reason")), ("allowed by ", allowed), ("", text(data, "warnings"))];
        for (word, more) in all {
            if let Some(more) = more {
                line.push_str(&format!("  [{word}{more}]"));
            }
        }
    }
    line.chars().map(|c| if c.is_control() && c != '\x1b' { ' ' } else { c }).collect()
}
