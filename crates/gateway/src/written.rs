//! Reads, failures and denials that left the memory for the disk, read back for the trail.

use crate::audit::{Filter, Line, is_denial};
use base::{AccountId, Timestamp};
use smithy::Document;
use std::collections::BTreeSet;
use std::io;

/// Records of somebody who only looks that one search passes over.
const PASSED_MAX: usize = 20_000;

/// Where the records went that [`crate::audit::Audit::unwritten`] gave out.
pub trait Written: Send + Sync {
    /// Shows records, each in the JSON that [`crate::audit::Event::json`] made, the newest first, until
    /// `visit` says `false`. May end before the oldest, so that a look at the trail stays bounded.
    fn newest_first(&self, visit: &mut dyn FnMut(&str) -> bool) -> io::Result<()>;
}

/// The newest `limit` records that the filter lets through and whose ids are not among `known`.
pub(crate) fn lines(
    written: &dyn Written,
    filter: &Filter,
    known: &BTreeSet<&str>,
    limit: usize,
) -> io::Result<Vec<Line>> {
    let mut found = Vec::new();
    // Who looks all the time fills the log with looking: it is passed over unread, and not without end.
    let looker = Some(&filter.without_reads_of).filter(|agent| !agent.is_empty());
    let looker = looker.map(|agent| format!("\"userAgent\":{}", smithy::json::quoted(agent)));
    let mut passed = 0;
    written.newest_first(&mut |text| {
        if found.len() >= limit {
            return false;
        }
        if looker.as_ref().is_some_and(|agent| only_looks(text, agent)) {
            passed += 1;
            return passed < PASSED_MAX;
        }
        // Cheaper than reading the JSON, and true of all that is wanted.
        if ![&filter.service, &filter.who].iter().all(|part| text.contains(part.as_str())) {
            return true;
        }
        // A line that a crash cut short is no record.
        let Ok(record) = smithy::json::parse_document(text.as_bytes()) else { return true };
        let Some(at) = member(&record, "eventTime").and_then(|t| Timestamp::parse_iso8601(t).ok())
        else {
            return true;
        };
        if at < filter.since {
            return false;
        }
        let is_known = member(&record, "requestID").is_some_and(|id| known.contains(id));
        if !is_known && takes(filter, &record) {
            found.push(Line { at, text: text.to_owned() });
        }
        true
    })?;
    Ok(found)
}

/// Whether a record is of a read that went well, by that agent. Its members stand in words of ours, which
/// no text within the record can have.
fn only_looks(text: &str, agent: &str) -> bool {
    text.contains(agent) && text.contains("\"readOnly\":true") && !text.contains("\"errorCode\":")
}

fn member<'d>(document: &'d Document, name: &str) -> Option<&'d str> {
    match document {
        Document::Map(map) => match map.get(name) {
            Some(Document::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn takes(filter: &Filter, record: &Document) -> bool {
    let Document::Map(map) = record else { return false };
    let own = |name| member(record, name).unwrap_or("");
    let identity = map.get("userIdentity").unwrap_or(&Document::Null);
    let of_identity = |name| member(identity, name).unwrap_or("");
    let is_read = matches!(map.get("readOnly"), Some(Document::Bool(true)));
    let code = member(record, "errorCode");
    filter.takes_outcome(is_read, code.is_some(), code.is_some_and(is_denial))
        && filter.takes_agent(own("userAgent"), is_read, code.is_some())
        && filter.takes_common(
            own("eventSource").strip_suffix(".amazonaws.com").unwrap_or(""),
            own("eventName"),
            AccountId::parse(of_identity("accountId")),
            (of_identity("arn"), of_identity("accessKeyId")),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many records of looking, and one of something else behind them.
    struct Log(usize);

    impl Written for Log {
        fn newest_first(&self, visit: &mut dyn FnMut(&str) -> bool) -> io::Result<()> {
            let record = |agent: &str| {
                format!(
                    r#"{{"eventTime":"2026-11-26T14:00:00.000Z","userAgent":"{agent}","requestID":"a","readOnly":true}}"#
                )
            };
            let own = record("console");
            let more = (0..self.0).all(|_| visit(&own));
            if more {
                visit(&record("other"));
            }
            Ok(())
        }
    }

    #[test]
    fn looking_is_passed_over_and_not_without_end() {
        let filter = Filter { without_reads_of: "console".into(), ..Filter::default() };
        let found = |count| lines(&Log(count), &filter, &BTreeSet::new(), 10).unwrap().len();
        assert_eq!((found(PASSED_MAX - 1), found(PASSED_MAX)), (1, 0));
        let all = lines(&Log(3), &Filter::default(), &BTreeSet::new(), 10).unwrap();
        assert_eq!(all.len(), 4);
        let failed = r#"{"userAgent":"console","errorCode":"NoSuchKey","readOnly":true}"#;
        assert!(!only_looks(failed, "\"userAgent\":\"console\""));
    }
}
