//! What is here, at a glance.

use crate::call::Refusal;
use crate::door::Visit;
use crate::html::{El, el, html, link, url, with};
use crate::layout::{self, HOME, Page, Place};
use crate::pages::requests::{Event, recent, short};
use crate::pages::{buckets, containers, identities, tables};

/// How many there are of something; an error where one may not know.
pub(crate) struct Count {
    pub place: Place,
    pub count: Result<String, Refusal>,
    pub more: String,
}

pub(crate) struct Data {
    pub name: String,
    pub counts: Vec<Count>,
    pub events: Result<Vec<Event>, Refusal>,
}

pub(crate) async fn show(visit: &Visit<'_>) -> Result<Page, Refusal> {
    let count = |place, count: Result<String, Refusal>, one: &str| {
        let more = match count.as_deref() {
            Ok("1") => one.to_owned(),
            _ => format!("{one}s"),
        };
        Count { place, count, more }
    };
    let containers = containers::all(&visit.cloud).await;
    let running = containers
        .as_ref()
        .map_or(0, |all| all.iter().filter(|own| own.state == "running").count());
    let tables = tables::names(&visit.cloud, "")
        .await
        .map(|(names, last)| format!("{}{}", names.len(), if last.is_empty() { "" } else { "+" }));
    let counts = vec![
        count(
            layout::BUCKETS,
            buckets::list(&visit.cloud).await.map(|all| all.len().to_string()),
            "bucket",
        ),
        count(layout::TABLES, tables, "table"),
        count(
            layout::IDENTITIES,
            identities::users(visit).await.map(|all| all.len().to_string()),
            "user",
        ),
        Count {
            more: match containers.as_ref().map_or(0, Vec::len) {
                1 => format!("container, {running} running"),
                _ => format!("containers, {running} running"),
            },
            ..count(layout::CONTAINERS, containers.map(|all| all.len().to_string()), "")
        },
        count(
            layout::IMAGES,
            containers::all_images(visit).await.map(|all| all.len().to_string()),
            "image",
        ),
    ];
    let events = recent(visit, &[], "12", false).await;
    let name = visit.session.arn.rsplit(':').next().unwrap_or_default().to_owned();
    Ok(view(&Data { name, counts, events }))
}

fn tile(count: &Count) -> El {
    let (title, path, _) = count.place;
    let inner = match &count.count {
        Ok(number) => html((with("span", "number", number), with("span", "of", &count.more))),
        Err(refusal) if refusal.is_denial() => {
            html((with("span", "number none", "–"), with("span", "of", "you may not see these")))
        }
        Err(refusal) => {
            html((with("span", "number none", "–"), with("span", "of", &refusal.message)))
        }
    };
    let to = url(path);
    let tile = with("a", "tile", (with("span", "kind", title), inner)).href(&to);
    match &count.count {
        Err(refusal) => tile.attr("title", &refusal.message),
        Ok(_) => tile,
    }
}

pub(crate) fn view(data: &Data) -> Page {
    let events = match &data.events {
        Err(refusal) => html(layout::refused(refusal)),
        Ok(events) if events.is_empty() => html(layout::empty(
            "No requests yet.",
            ("Connect a program, or take ", link(&url("/labs"), "a lab"), "."),
        )),
        Ok(events) => short(events),
    };
    let all = link(&url("/requests"), "All, live");
    Page::new(
        HOME,
        "Home",
        (
            layout::title("What is here", with("span", "hint", ("for ", &data.name))),
            with("div", "tiles", data.counts.iter().map(tile).collect::<Vec<_>>()),
            with(
                "section",
                "panel",
                (with("div", "heading", (el("h2").put("Recent requests"), all)), events),
            ),
        ),
    )
}
