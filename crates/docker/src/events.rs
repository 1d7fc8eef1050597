//! `/events`.

use crate::filters::Filters;
use crate::reply::{self, Reply};
use crate::route::Call;
use engine::events::Event;
use engine::{First, first, time};
use serde::Serialize;
use std::collections::BTreeMap;
use tokio::sync::{broadcast, mpsc};

const FILTERS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

#[derive(Serialize)]
struct View<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "Action")]
    action: &'a str,
    #[serde(rename = "Actor")]
    actor: Actor<'a>,
    scope: &'static str,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Actor<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    attributes: &'a BTreeMap<String, String>,
}

fn view(event: &Event) -> View<'_> {
    // Older clients read these; only containers and images have them.
    let old = matches!(event.kind, "container" | "image");
    View {
        status: old.then_some(event.action.as_str()),
        id: old.then_some(event.actor.as_str()),
        from: event.attributes.get("image").map(String::as_str).filter(|_| old),
        kind: event.kind,
        action: &event.action,
        actor: Actor { id: &event.actor, attributes: &event.attributes },
        scope: "local",
        time: event.at_ns / 1_000_000_000,
        time_nano: event.at_ns,
    }
}

fn wants(filters: &Filters, event: &Event) -> bool {
    let is = |kind: &'static str| {
        let name = event.attributes.get("name");
        filters.any(kind, |wanted| {
            (event.kind == kind && event.actor.starts_with(wanted))
                || name.is_some_and(|name| event.kind == kind && name == wanted)
                || (kind == "image" && event.attributes.get("image").is_some_and(|i| i == wanted))
        })
    };
    filters.any("type", |kind| kind == event.kind)
        && filters.any("event", |wanted| {
            event.action == wanted || event.action.split(':').next() == Some(wanted)
        })
        && filters.any("scope", |scope| scope == "local")
        && ["container", "image", "network", "volume"].into_iter().all(is)
        && filters.labels(&event.attributes)
}

pub async fn events(call: Call) -> Reply {
    let filters = Filters::parse(call.query.text("filters"), FILTERS)?;
    let (since, until) = (call.query.time("since")?, call.query.time("until")?);
    let until = until.filter(|ns| *ns != 0);
    let (past, mut coming) = call.engine().events().listen(since);
    let (to, pieces) = mpsc::channel(64);
    engine::task(async move {
        let in_time = |event: &Event| until.is_none_or(|until| event.at_ns <= until);
        for event in past.iter().filter(|event| in_time(event) && wants(&filters, event)) {
            if to.send(reply::line(&view(event))).await.is_err() {
                return;
            }
        }
        loop {
            let left = until.map_or(u64::MAX, |until| (until - time::now_ns()).max(0) as u64);
            let rest = std::time::Duration::from_nanos(left.min(u64::MAX / 4));
            let next = first(coming.recv(), first(tokio::time::sleep(rest), to.closed()));
            match next.await {
                First::Left(Ok(event)) => {
                    if wants(&filters, &event) && to.send(reply::line(&view(&event))).await.is_err()
                    {
                        return;
                    }
                }
                // Too far behind: cut off, so that it knows.
                First::Left(Err(
                    broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed,
                )) => return,
                First::Right(_) => return,
            }
        }
    });
    reply::json_stream(pieces)
}
