//! Requests as they arrive: who, what, allowed or not, and why. The records are those of
//! `cumulet events`.

use crate::call::{AGENT, Ask, Told, get, integer, list, text};
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
    pub id: String,
    /// Which policies a refusal rests on.
    pub reason: Option<String>,
    /// Which statement allowed it.
    pub allowed_by: Option<String>,
    /// What the client was warned of.
    pub warnings: Option<String>,
    /// The bucket, table or identity, if the record names one.
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
            id: own("requestID"),
            reason: text(more, "reason").map(str::to_owned),
            allowed_by: text(more, "allowedBy").map(str::to_owned),
            warnings: text(more, "warnings").map(str::to_owned),
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

    /// Whether there may be something now that was not there before, or the other way round.
    pub fn makes_or_removes(&self) -> bool {
        let verbs = ["Create", "Delete", "Restore", "Import", "Manage", "Reset"];
        !self.is_read
            && self.error.is_none()
            && verbs.iter().any(|verb| self.operation.starts_with(verb))
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

/// The bucket, table or identity that a request names.
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

/// What one sees by looking would hide the rest, and pages that go on look without end.
const WITHOUT_OWN: (&str, &str) = ("without_reads_of", AGENT);

/// The newest first; `own`: with the reads of the console.
pub(crate) async fn recent(
    visit: &Visit<'_>,
    filters: &[(&str, &str)],
    limit: &str,
    own: bool,
) -> Told<Vec<Event>> {
    let mut query = filters.to_vec();
    query.push(("limit", limit));
    if !own {
        query.push(WITHOUT_OWN);
    }
    let answer = visit.cloud.own("GET", "/_cumulet/events", &query).await?;
    Ok(list(&answer, "events").iter().rev().map(Event::of).collect())
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let filters = filters(visit);
    let own = !visit.get("own").is_empty();
    let pairs: Vec<(&str, &str)> = filters.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let events = recent(visit, &pairs, SHOWN, own).await?;
    // From the newest that is shown: what the page holds already is known by its number.
    let since =
        events.first().map_or_else(|| visit.cloud.now.iso8601_millis(), |own| own.at.clone());
    let mut live = visit.loads("/requests/live").with("since", since);
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
    let why = why(event);
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
    .attr("data-id", &event.id)
}

/// What came of it, and by which policy.
fn why(event: &Event) -> Vec<El> {
    let reason = |label: &'static str, text: &String| {
        with("p", "reason", (with("span", "by", label), " ", text))
    };
    let refused = event.error.as_ref().map(|(code, message)| {
        let why = event.reason.as_ref().map(|text| reason("Why:", text));
        with("div", "why", (el("p").put((el("code").put(code), " ", message)), why))
    });
    let allowed =
        event.allowed_by.as_ref().map(|text| with("div", "why good", reason("Allowed by", text)));
    let warned =
        event.warnings.as_ref().map(|text| with("div", "why warn", reason("Warning:", text)));
    [refused, allowed, warned].into_iter().flatten().collect()
}

/// Stands where more came than can be shown.
fn left_out(count: u64) -> El {
    let (many, are) = (layout::counted(count, "request"), if count == 1 { "is" } else { "are" });
    let text = format!("{many} {are} left out here: more came than can be shown as they come.");
    with("div", "request left-out", text)
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
    let own = !visit.get("own").is_empty();
    let since = match visit.last_event.as_str() {
        "" => visit.get("since"),
        last => last,
    };
    let body = follow(visit, since, own).await?;
    Ok(live::answer(body, Arriving { lines: Lines::default(), own }))
}

/// The records as they are written, a line of JSON each.
pub(crate) async fn follow(visit: &Visit<'_>, since: &str, own: bool) -> Told<api::Body> {
    let filters = filters(visit);
    let mut query: Vec<(&str, &str)> = filters.iter().map(|(n, v)| (*n, v.as_str())).collect();
    query.push(("follow", "true"));
    if !own {
        query.push(WITHOUT_OWN);
    }
    if !since.is_empty() {
        query.push(("since", since));
    }
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

/// A line that is no record: so many are left out.
pub(crate) fn left_out_of(line: &[u8]) -> Option<u64> {
    let mark = smithy::json::parse_document(line).ok()?;
    u64::try_from(integer(&mark, "leftOut")).ok().filter(|count| *count > 0)
}

impl Events for Arriving {
    fn take(&mut self, piece: &[u8], out: &mut String) {
        let own = self.own;
        self.lines.take(piece, |line| {
            if let Some(count) = left_out_of(line) {
                return live::event("row", &html(left_out(count)), out);
            }
            if let Some(event) = parsed(line).filter(|event| own || !event.is_noise()) {
                live::event_at("row", &event.at, &html(row(&event, true)), out);
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
    fn what_is_allowed_says_by_what() {
        let more =
            r#""additionalEventData":{"allowedBy":"statement 2 of P","warnings":"mind <this>"}"#;
        let record = format!(r#"{{"eventName":"GetObject","requestID":"a-1",{more}}}"#);
        let shown = html(row(&parsed(record.as_bytes()).unwrap(), false));
        for part in [
            "Allowed by</span> statement 2 of P",
            "Warning:</span> mind &lt;this&gt;",
            "data-id=\"a-1\"",
        ] {
            assert!(shown.as_str().contains(part), "{part}: {}", shown.as_str());
        }
    }

    #[test]
    fn what_a_record_names() {
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
        let text = format!("{own}\n\nnot json\n{{\"leftOut\":7}}\n{other}\n");
        text.as_bytes().chunks(7).for_each(|piece| arriving.take(piece, &mut out));
        assert_eq!(out.matches("event: row").count(), 2, "{out}");
        assert!(out.contains("7 requests are left out here"), "{out}");
        assert!(out.contains("id: 2026-11-26T14:00:00.123Z\n"), "{out}");
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
