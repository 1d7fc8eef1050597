//! Requests as they arrive: who, what, allowed or not, and why. The records are those of
//! `cumulet events`.

use crate::call::{AGENT, Ask, Told, get, list, text};
use crate::door::Visit;
use crate::html::{El, Html, Url, el, html, url, with};
use crate::layout::{self, Page, REQUESTS};
use crate::live::{self, Events, Lines};
use crate::pages::item::pretty;
use api::ConsoleAnswer;
use smithy::Document;

const SHOWN: &str = "100";

/// One record, as far as pages show it.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Event {
    pub at: String,
    pub service: String,
    pub operation: String,
    /// The part of the ARN that tells people apart.
    pub who: String,
    pub arn: String,
    pub from: String,
    pub agent: String,
    pub error: Option<(String, String)>,
    /// Which policies a refusal rests on.
    pub reason: Option<String>,
    /// What it was about, if the record says so.
    pub resource: Option<String>,
    pub is_read: bool,
    pub whole: Document,
}

impl Event {
    pub fn of(record: &Document) -> Event {
        let own = |name| text(record, name).unwrap_or_default().to_owned();
        let blank = Document::Null;
        let identity = get(record, "userIdentity").unwrap_or(&blank);
        let arn = text(identity, "arn").unwrap_or_default().to_owned();
        let who = match arn.rsplit(':').next() {
            Some(last) if !last.is_empty() => last.to_owned(),
            _ => "anybody".to_owned(),
        };
        let service = own("eventSource").split('.').next().unwrap_or_default().to_owned();
        let error = text(record, "errorCode").map(|code| (code.to_owned(), own("errorMessage")));
        let more = get(record, "additionalEventData").unwrap_or(&blank);
        Event {
            at: own("eventTime"),
            operation: own("eventName"),
            who,
            arn,
            from: own("sourceIPAddress"),
            agent: own("userAgent"),
            error,
            reason: text(more, "reason").or(text(more, "warnings")).map(str::to_owned),
            resource: resource(&service, get(record, "requestParameters").unwrap_or(&blank))
                .or_else(|| about(&service, record)),
            is_read: get(record, "readOnly") == Some(&Document::Bool(true)),
            service,
            whole: record.clone(),
        }
    }

    /// Whether a page like this one only looked: what one sees by looking would hide the rest.
    pub fn is_noise(&self) -> bool {
        self.agent == AGENT && self.is_read && self.error.is_none()
    }

    pub fn is_denied(&self) -> bool {
        self.error.as_ref().is_some_and(|(code, _)| {
            [
                "AccessDenied",
                "Unauthorized",
                "InvalidAccessKeyId",
                "InvalidClientTokenId",
                "UnrecognizedClient",
                "SignatureDoesNotMatch",
                "AuthFailure",
                "MissingAuthentication",
            ]
            .iter()
            .any(|part| code.contains(part))
        })
    }
}

/// The bucket, table or identity that a request was about.
fn resource(service: &str, parameters: &Document) -> Option<String> {
    let named = ["bucketName", "tableName", "userName", "roleName", "policyName", "groupName"];
    if let Some(name) = named.iter().find_map(|name| text(parameters, name)) {
        return Some(name.to_owned());
    }
    let path = text(parameters, "path")?;
    let first = path.trim_start_matches('/').split('/').next()?;
    let decoded = base::percent::decode(first);
    let name = String::from_utf8_lossy(&decoded).into_owned();
    (service == "s3" && !name.is_empty()).then_some(name)
}

/// The table or identity that a record names by its ARN.
fn about(service: &str, record: &Document) -> Option<String> {
    let tail = text(list(record, "resources").first()?, "ARN")?.splitn(6, ':').nth(5)?;
    let name = match service {
        // `table/NAME/index/...`
        "dynamodb" => tail.split('/').nth(1)?,
        _ => tail.rsplit('/').next()?,
    };
    (!name.is_empty() && name != "*").then(|| name.to_owned())
}

/// Parameters of the page, handed on to the API.
const FILTERS: [&str; 5] = ["denied", "operation", "service", "who", "no_reads"];

pub(crate) struct Data {
    pub events: Vec<Event>,
    pub filters: Vec<(&'static str, String)>,
    /// Whether requests of the console itself are shown.
    pub own: bool,
    pub live: Url,
}

fn filters(visit: &Visit<'_>) -> Vec<(&'static str, String)> {
    let given = FILTERS.iter().map(|name| (*name, visit.get(name).trim().to_owned()));
    given.filter(|(_, value)| !value.is_empty()).collect()
}

pub(crate) async fn recent(
    visit: &Visit<'_>,
    filters: &[(&str, &str)],
    limit: &str,
) -> Told<Vec<Event>> {
    let mut query = filters.to_vec();
    query.push(("limit", limit));
    let answer = visit.cloud.own("GET", "/_cumulet/events", &query).await?;
    Ok(list(&answer, "events").iter().rev().map(Event::of).collect())
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let filters = filters(visit);
    let own = !visit.get("own").is_empty();
    let pairs: Vec<(&str, &str)> = filters.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let mut events = recent(visit, &pairs, if own { SHOWN } else { "400" }).await?;
    events.retain(|event| own || !event.is_noise());
    events.truncate(100);
    let mut live = visit.loads("/requests/live");
    for (name, value) in &filters {
        live = live.with(name, value);
    }
    let live = if own { live.with("own", "1") } else { live };
    Ok(view(&Data { events, filters, own, live }))
}

/// A request on one line, with all that is known behind it.
pub(crate) fn row(event: &Event, fresh: bool) -> El {
    let (class, word): (&'static str, &str) = match &event.error {
        None => ("tag good", "allowed"),
        Some(_) if event.is_denied() => ("tag bad", "denied"),
        Some((code, _)) => ("tag warn", code),
    };
    let short = event.at.get(11..23).unwrap_or(&event.at).trim_end_matches('Z');
    let what = (
        with("span", "service", &event.service),
        " ",
        el("strong").put(if event.operation.is_empty() { "–" } else { &event.operation }),
        event.resource.as_ref().map(|name| (" ", with("span", "resource", name))),
    );
    let why = event.error.as_ref().map(|(code, message)| {
        let reason = event
            .reason
            .as_ref()
            .map(|reason| with("p", "reason", (with("span", "by", "decided by"), " ", reason)));
        with("div", "why", (el("p").put((el("code").put(code), " ", message)), reason))
    });
    let head = el("summary").put((
        el("time").attr("datetime", &event.at).attr("title", &event.at).put(short),
        with("span", class, word),
        with("span", "what", what),
        with("span", "by-whom", &event.who).attr("title", &event.arn),
        with("span", "from", &event.from),
    ));
    let class = if fresh { "request fresh" } else { "request" };
    with(
        "details",
        class,
        (
            head,
            with("div", "whole", (why, el("pre").attr("tabindex", "0").put(pretty(&event.whole)))),
        ),
    )
    .flag("open", false)
}

fn filter_form(data: &Data) -> El {
    let given = |name: &str| {
        data.filters.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value.as_str())
    };
    let text = |name: &'static str, label: &'static str| {
        el("input")
            .attr("name", name)
            .attr("value", given(name))
            .attr("placeholder", label)
            .attr("aria-label", label)
            .attr("autocomplete", "off")
            .attr("spellcheck", "false")
    };
    let check = |name: &'static str, label: &'static str, on: bool| {
        with(
            "label",
            "check",
            (
                el("input")
                    .attr("type", "checkbox")
                    .attr("name", name)
                    .attr("value", "1")
                    .flag("checked", on),
                label,
            ),
        )
    };
    el("form").attr("method", "get").action(&url("/requests")).class("filters").put((
        text("who", "who").attr("data-filter", ""),
        text("service", "service"),
        text("operation", "operation"),
        check("denied", "denied only", !given("denied").is_empty()),
        check("no_reads", "without reads", !given("no_reads").is_empty()),
        check("own", "the console's reads", data.own),
        el("button").put("Filter"),
    ))
}

pub(crate) fn view(data: &Data) -> Page {
    let rows: Vec<El> = data.events.iter().map(|event| row(event, false)).collect();
    let nothing = rows
        .is_empty()
        .then(|| layout::empty("No requests yet.", "They stand here as they come. Try aws s3 ls."));
    let list = with("div", "requests", rows)
        .attr("data-rows", "")
        .attr("data-live", data.live.as_str())
        .attr("data-at", "start")
        .attr("data-max", "300")
        .attr("aria-live", "off");
    Page::new(
        REQUESTS,
        "Requests",
        (layout::title("Requests", with("span", "live", "live")), filter_form(data), nothing, list),
    )
}

/// The page's requests as they come.
pub(crate) async fn live(visit: &Visit<'_>) -> Told<ConsoleAnswer> {
    let body = follow(visit).await?;
    Ok(live::answer(body, Arriving { lines: Lines::default(), own: !visit.get("own").is_empty() }))
}

/// The records as they are written, a line of JSON each.
pub(crate) async fn follow(visit: &Visit<'_>) -> Told<api::Body> {
    let filters = filters(visit);
    let mut query: Vec<(&str, &str)> = filters.iter().map(|(n, v)| (*n, v.as_str())).collect();
    query.push(("follow", "true"));
    let ask = Ask::new("cumulet", "GET", "/_cumulet/events").query(&query);
    Ok(visit.cloud.send(ask).await?.body)
}

struct Arriving {
    lines: Lines,
    own: bool,
}

/// A record out of a line.
pub(crate) fn parsed(line: &[u8]) -> Option<Event> {
    let record = smithy::json::parse_document(line).ok()?;
    matches!(record, Document::Map(_)).then(|| Event::of(&record))
}

impl Events for Arriving {
    fn take(&mut self, piece: &[u8], out: &mut String) {
        let own = self.own;
        self.lines.take(piece, |line| {
            if let Some(event) = parsed(line).filter(|event| own || !event.is_noise()) {
                live::event("row", &html(row(&event, true)), out);
            }
        });
    }
}

/// A short list, for other pages.
pub(crate) fn short(events: &[Event]) -> Html {
    html(with("div", "requests", events.iter().map(|event| row(event, false)).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: &str = r#"{"userIdentity":{"arn":"arn:aws:iam::1:user/<b>mia"},"eventTime":"2026-11-26T14:00:00.123Z",
        "eventSource":"s3.amazonaws.com","eventName":"GetObject","sourceIPAddress":"127.0.0.1","userAgent":"a\"b",
        "errorCode":"AccessDenied","errorMessage":"not authorized","additionalEventData":{"reason":"policy P, statement 2"},
        "requestParameters":{"path":"/photos%2Fx/k"},"readOnly":true}"#;

    #[test]
    fn a_refusal_says_why() {
        let event = parsed(DENIED.as_bytes()).unwrap();
        assert!(event.is_denied() && event.is_read && !event.is_noise());
        assert_eq!(
            (event.who.as_str(), event.resource.as_deref()),
            ("user/<b>mia", Some("photos/x"))
        );
        let shown = html(row(&event, true));
        for part in ["user/&lt;b&gt;mia", "denied", "policy P, statement 2", "14:00:00.123"] {
            assert!(shown.as_str().contains(part), "{part}: {}", shown.as_str());
        }
        assert!(!shown.as_str().contains("<b>"));
    }

    #[test]
    fn what_a_record_is_about() {
        let about = |service: &str, arn: &str| {
            let record = format!(
                r#"{{"eventSource":"{service}.amazonaws.com","requestParameters":{{"path":"/"}},"resources":[{{"ARN":"{arn}"}}]}}"#
            );
            parsed(record.as_bytes()).unwrap().resource
        };
        let table = "arn:aws:dynamodb:us-east-1:1:table/orders/index/by-day";
        assert_eq!(about("dynamodb", table).as_deref(), Some("orders"));
        assert_eq!(about("iam", "arn:aws:iam::1:user/staff/mia").as_deref(), Some("mia"));
        assert_eq!(about("iam", "arn:aws:iam::1:user/*"), None);
        assert_eq!(about("dynamodb", "*"), None);
    }

    #[test]
    fn arriving_records_become_events() {
        let (mut arriving, mut out) =
            (Arriving { lines: Lines::default(), own: false }, String::new());
        let own = DENIED.replace("a\\\"b", AGENT).replace("errorCode", "x").replace('\n', "");
        let other = DENIED.replace('\n', "");
        let text = format!("{own}\n\nnot json\n{other}\n");
        text.as_bytes().chunks(7).for_each(|piece| arriving.take(piece, &mut out));
        assert_eq!(out.matches("event: row").count(), 1, "{out}");
        assert!(out.ends_with("\n\n"));
    }

    #[test]
    fn noise() {
        base::noise::run(13, 3_000, &[DENIED.as_bytes()], &[b"{}", b"null", b"\n"], |data| {
            let mut out = String::new();
            Arriving { lines: Lines::default(), own: true }.take(data, &mut out);
        });
    }
}
