//! A map of what is here: who asks on the left, services in the middle, what they ask for on the right,
//! and between them the traffic of the last while.

use crate::call::{Cloud, Told};
use crate::door::Visit;
use crate::html::{El, Html, Url, el, html, link, url, with};
use crate::layout::{self, MAP, Page};
use crate::live::{self, Lines};
use crate::pages::requests::{Event, follow, left_out_of, parsed, recent};
use crate::pages::{buckets, containers, tables};
use api::{ByteStream, ConsoleAnswer, Error};
use base::Clock;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Of a column.
const NODES_MAX: usize = 12;
/// Requests that the map rests on.
const EVENTS_MAX: usize = 400;
const NAME_CHARS_MAX: usize = 26;
/// What is here is read again when so long nobody looked, beside after each change that a record tells
/// of: containers come and go without one. Whoever is followed says something more often than that.
const AGAIN_NS: u64 = 3_000_000_000;

const WIDTH: f64 = 960.0;
const NODE_HEIGHT: f64 = 34.0;
const GAP: f64 = 14.0;
const TOP: f64 = 44.0;
const COLUMNS: [(f64, f64); 3] = [(0.0, 230.0), (375.0, 190.0), (700.0, 260.0)];

/// What stands on the right: service, name, and the page that shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Resource {
    pub service: String,
    pub name: String,
    pub state: String,
    pub to: Url,
}

#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Traffic {
    count: u32,
    denied: u32,
    fresh: bool,
}

/// Who asked which service, and what of it.
#[derive(Default, Debug)]
struct Edges {
    from: BTreeMap<(String, String), Traffic>,
    to: BTreeMap<(String, String), Traffic>,
}

/// Who asked: a container by its name, since whose key it uses says less.
fn asker(event: &Event, containers: &BTreeMap<String, String>) -> String {
    match containers.get(&event.from) {
        Some(name) => format!("{name} (container)"),
        None => event.who.clone(),
    }
}

fn edges<'e>(
    events: impl Iterator<Item = (&'e Event, bool)>,
    containers: &BTreeMap<String, String>,
) -> Edges {
    let mut edges = Edges::default();
    for (event, fresh) in events {
        let service = match event.service.as_str() {
            "" => "unknown",
            service => service,
        };
        let note = |map: &mut BTreeMap<_, Traffic>, key| {
            let traffic = map.entry(key).or_default();
            traffic.count += 1;
            traffic.denied += u32::from(event.is_denied());
            traffic.fresh |= fresh;
        };
        note(&mut edges.from, (asker(event, containers), service.to_owned()));
        if let Some(name) = &event.resource {
            note(&mut edges.to, (service.to_owned(), name.clone()));
        }
    }
    edges
}

/// All that a map is drawn of.
#[derive(Default, Debug)]
pub(crate) struct Map {
    pub here: Here,
    pub events: VecDeque<Event>,
    /// Requests that came too fast to be drawn.
    pub left_out: u64,
}

/// What is here now.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Here {
    pub resources: Vec<Resource>,
    /// Names of containers by their addresses.
    pub containers: BTreeMap<String, String>,
}

async fn look(cloud: &Cloud) -> Here {
    let (mut all, mut addresses) = (Vec::new(), BTreeMap::new());
    // What one may not see is not on the map.
    for bucket in buckets::list(cloud).await.unwrap_or_default() {
        let to = url("/bucket").with("name", &bucket.name);
        all.push(Resource { service: "s3".into(), name: bucket.name, state: String::new(), to });
    }
    for name in tables::names(cloud, "").await.map(|found| found.0).unwrap_or_default() {
        let to = url("/table").with("name", &name);
        all.push(Resource { service: "dynamodb".into(), name, state: String::new(), to });
    }
    for own in containers::all(cloud).await.unwrap_or_default() {
        let to = url("/container").with("id", &own.id);
        let (name, state) = (own.name, own.state);
        addresses.extend(own.addresses.into_iter().map(|address| (address, name.clone())));
        all.push(Resource { service: "docker".into(), name, state, to });
    }
    Here { resources: all, containers: addresses }
}

async fn map(visit: &Visit<'_>) -> Told<Map> {
    let events: VecDeque<Event> = recent(visit, &[], "400", false).await?.into();
    Ok(Map { here: look(&visit.cloud).await, events, left_out: 0 })
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    Ok(view(&map(visit).await?, &visit.loads("/map/live")))
}

/// The busiest first, as many as there is room for, then in their own order.
fn busiest(weights: BTreeMap<String, u32>) -> (Vec<String>, usize) {
    let all = weights.len();
    let mut names: Vec<(String, u32)> = weights.into_iter().collect();
    names.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    names.truncate(NODES_MAX);
    names.sort();
    (names.into_iter().map(|(name, _)| name).collect(), all.saturating_sub(NODES_MAX))
}

struct Node {
    name: String,
    service: String,
    state: String,
    to: Option<Url>,
    y: f64,
}

fn column(names: Vec<Node>, height: f64) -> Vec<Node> {
    let own = names.len() as f64 * (NODE_HEIGHT + GAP) - GAP;
    let start = TOP + ((height - TOP - own) / 2.0).max(0.0);
    let place =
        |(at, node): (usize, Node)| Node { y: start + at as f64 * (NODE_HEIGHT + GAP), ..node };
    names.into_iter().enumerate().map(place).collect()
}

fn bare(name: String) -> Node {
    Node { service: name.clone(), name, state: String::new(), to: None, y: 0.0 }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

fn draw_node(node: &Node, at: usize) -> El {
    let (x, width) = COLUMNS[at];
    let class = match (at, node.state.as_str()) {
        (0, _) => "node who",
        (1, _) => "node service",
        (_, "") | (_, "running") => "node thing",
        _ => "node thing still",
    };
    let shape = el("rect")
        .number("x", x)
        .number("y", node.y)
        .number("width", width)
        .number("height", NODE_HEIGHT)
        .number("rx", 7.0);
    let kind = (at == 2).then(|| {
        el("text")
            .class("of")
            .number("x", x + width - 12.0)
            .number("y", node.y + 21.5)
            .attr("text-anchor", "end")
            .put(&node.service)
    });
    let name =
        el("text").number("x", x + 12.0).number("y", node.y + 21.5).put(shortened(&node.name));
    let group = with("g", class, (el("title").put(&node.name), shape, name, kind));
    match &node.to {
        Some(to) => el("a").href(to).put(group),
        None => group,
    }
}

/// A line between the columns `at` and the next; what belongs together without traffic has a thin one.
fn draw_edge(from: &Node, to: &Node, at: usize, traffic: Option<&Traffic>) -> El {
    let x1 = COLUMNS[at].0 + COLUMNS[at].1;
    let x2 = COLUMNS[at + 1].0;
    let (y1, y2) = (from.y + NODE_HEIGHT / 2.0, to.y + NODE_HEIGHT / 2.0);
    let half = (x2 - x1) / 2.0;
    let (c1, c2) = (x1 + half, x2 - half);
    let path = format!("M{x1:.0} {y1:.1}C{c1:.0} {y1:.1} {c2:.0} {y2:.1} {x2:.0} {y2:.1}");
    let line = el("path").attr("d", path);
    let Some(traffic) = traffic else { return line.class("tie") };
    let class = match (traffic.denied, traffic.fresh) {
        (0, false) => "edge",
        (0, true) => "edge fresh",
        (_, false) => "edge bad",
        (_, true) => "edge bad fresh",
    };
    let width = 1.2 + f64::from(traffic.count).ln_1p() * 1.1;
    let denied = match traffic.denied {
        0 => String::new(),
        denied => format!(", {denied} denied"),
    };
    let count = layout::counted(traffic.count.into(), "request");
    let said = format!("{} → {}: {count}{denied}", from.name, to.name);
    line.class(class).number("stroke-width", width).put(el("title").put(said))
}

fn services_heading(left_out: u64) -> String {
    match left_out {
        0 => "Services".to_owned(),
        count => format!("Services ({} not drawn)", layout::counted(count, "request")),
    }
}

/// The drawing; `fresh` of the newest events have just come.
pub(crate) fn draw(map: &Map, fresh: usize) -> Html {
    let each = map.events.iter().enumerate().map(|(at, event)| (event, at < fresh));
    let edges = edges(each, &map.here.containers);
    let mut who: BTreeMap<String, u32> = BTreeMap::new();
    for ((name, _), traffic) in &edges.from {
        *who.entry(name.clone()).or_default() += traffic.count;
    }
    let mut services: BTreeSet<String> = ["s3", "dynamodb", "iam"].map(str::to_owned).into();
    services.extend(edges.from.keys().map(|(_, service)| service.clone()));
    services.extend(map.here.resources.iter().map(|own| own.service.clone()));
    let weight = |own: &Resource| {
        edges.to.get(&(own.service.clone(), own.name.clone())).map_or(0, |traffic| traffic.count)
    };
    let mut things: Vec<&Resource> = map.here.resources.iter().collect();
    things.sort_by_key(|own| std::cmp::Reverse(weight(own)));
    let left_out = things.len().saturating_sub(NODES_MAX);
    things.truncate(NODES_MAX);
    things.sort_by(|a, b| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
    let (who, more_who) = busiest(who);
    let services: Vec<String> = services.into_iter().take(NODES_MAX).collect();
    let most = who.len().max(services.len()).max(things.len()).max(3) as f64;
    let height = TOP + most * (NODE_HEIGHT + GAP) + 8.0;
    let thing = |own: &Resource| Node {
        name: own.name.clone(),
        service: own.service.clone(),
        state: own.state.clone(),
        to: Some(own.to.clone()),
        y: 0.0,
    };
    let columns = [
        column(who.into_iter().map(bare).collect(), height),
        column(services.into_iter().map(bare).collect(), height),
        column(things.into_iter().map(thing).collect(), height),
    ];
    let lines = |at: usize, map: &BTreeMap<(String, String), Traffic>| -> Vec<El> {
        let find = |column: usize, name: &str, service: Option<&str>| {
            columns[column].iter().find(|node| {
                node.name == name && service.is_none_or(|service| node.service == service)
            })
        };
        let line = |((from, to), traffic): (&(String, String), &Traffic)| {
            let service = (at == 1).then_some(from.as_str());
            Some(draw_edge(find(at, from, None)?, find(at + 1, to, service)?, at, Some(traffic)))
        };
        map.iter().filter_map(line).collect()
    };
    // What belongs to a service is tied to it even where nobody asks.
    let ties = columns[2].iter().filter_map(|node| {
        let service = columns[1].iter().find(|own| own.name == node.service)?;
        let asked = edges.to.contains_key(&(node.service.clone(), node.name.clone()));
        (!asked).then(|| draw_edge(service, node, 1, None))
    });
    let ties: Vec<El> = ties.collect();
    let heading = |at: usize, text: String| {
        with("text", "head", text).number("x", COLUMNS[at].0).number("y", 22.0)
    };
    let more = |name: &str, count: usize| match count {
        0 => name.to_owned(),
        count => format!("{name} ({count} more)"),
    };
    let nodes: Vec<El> = columns
        .iter()
        .enumerate()
        .flat_map(|(at, nodes)| nodes.iter().map(move |node| draw_node(node, at)))
        .collect();
    html(
        el("svg")
            .attr("viewBox", format!("-4 0 {} {height:.0}", WIDTH + 8.0))
            .attr("role", "img")
            .attr("aria-label", "Who asks which service for what")
            .put((
                (
                    heading(0, more("Who", more_who)),
                    heading(1, services_heading(map.left_out)),
                    heading(2, more("Resources", left_out)),
                ),
                ties,
                lines(0, &edges.from),
                lines(1, &edges.to),
                nodes,
            )),
    )
}

pub(crate) fn view(map: &Map, live: &Url) -> Page {
    let box_ = with("div", "map scroll", draw(map, 0))
        .attr("data-live", live.as_str())
        .attr("data-at", "all")
        .attr("tabindex", "0");
    Page::new(
        MAP,
        "Map",
        (
            layout::title("Map", with("span", "live", "live")),
            with(
                "p",
                "hint",
                (
                    format!(
                        "The last {}. A thicker line had more, a red one was refused at least once: ",
                        layout::counted(map.events.len() as u64, "request")
                    ),
                    link(&url("/requests").with("denied", "1"), "the refusals"),
                    ".",
                ),
            ),
            box_,
        ),
    )
}

/// A new drawing whenever something came, or went.
pub(crate) async fn live(visit: &Visit<'_>) -> Told<ConsoleAnswer> {
    // What comes while the map is read is followed already.
    let from = live::stream(follow(visit, "", false).await?);
    let map = map(visit).await?;
    let clock = visit.console.parts.clock.clone();
    let mut first = String::new();
    live::event("all", &draw(&map, 0), &mut first);
    let looked_ns = clock.monotonic_ns();
    let cloud = visit.cloud.clone();
    let lines = Lines::default();
    let drawn =
        Drawn { map, from, lines, cloud, clock, looked_ns, looking: None, first: Some(first) };
    Ok(live::answer_of(Box::pin(drawn)))
}

type Looking = Pin<Box<dyn Future<Output = Here> + Send>>;

struct Drawn {
    map: Map,
    from: Pin<Box<dyn ByteStream>>,
    lines: Lines,
    cloud: Cloud,
    clock: Arc<dyn Clock>,
    looked_ns: u64,
    looking: Option<Looking>,
    first: Option<String>,
}

impl Drawn {
    /// Takes what came; gives how many requests were among it, and whether what is here has changed.
    fn take(&mut self, piece: &[u8]) -> (usize, bool) {
        let (map, mut count, mut changed) = (&mut self.map, 0, false);
        self.lines.take(piece, |line| {
            if let Some(more) = left_out_of(line) {
                map.left_out += more;
                changed = true;
            }
            let Some(event) = parsed(line).filter(|event| !event.is_noise()) else { return };
            if map.events.iter().take(EVENTS_MAX).any(|known| known.id == event.id) {
                return;
            }
            changed |= event.makes_or_removes();
            map.events.push_front(event);
            count += 1;
        });
        map.events.truncate(EVENTS_MAX);
        (count, changed)
    }

    fn look_again(&mut self) {
        let cloud = Cloud { now: self.clock.wall(), ..self.cloud.clone() };
        self.looking = Some(Box::pin(async move { look(&cloud).await }));
    }
}

impl ByteStream for Drawn {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let mut out = self.first.take().unwrap_or_default();
        while out.is_empty() {
            if let Some(looking) = &mut self.looking {
                let here = ready!(looking.as_mut().poll(cx));
                self.looking = None;
                self.looked_ns = self.clock.monotonic_ns();
                if here != self.map.here {
                    self.map.here = here;
                    live::event("all", &draw(&self.map, 0), &mut out);
                }
                continue;
            }
            let piece = match ready!(self.from.as_mut().poll_next(cx)) {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            let (fresh, changed) = self.take(&piece);
            let now_ns = self.clock.monotonic_ns();
            if changed || now_ns.saturating_sub(self.looked_ns) >= AGAIN_NS {
                self.look_again();
            }
            match fresh {
                // Somebody is there.
                0 => out.push_str(":\n\n"),
                fresh => live::event("all", &draw(&self.map, fresh), &mut out),
            }
        }
        Poll::Ready(Some(Ok(Bytes::from(out))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(who: &str, service: &str, resource: &str, denied: bool) -> Event {
        Event {
            who: who.into(),
            service: service.into(),
            resource: Some(resource.into()),
            error: denied.then(|| ("AccessDenied".into(), String::new())),
            ..Event::default()
        }
    }

    fn resource(service: &str, name: &str) -> Resource {
        let to = url("/bucket").with("name", name);
        Resource { service: service.into(), name: name.into(), state: String::new(), to }
    }

    #[test]
    fn what_is_drawn() {
        let resources = vec![resource("s3", "<b>"), resource("dynamodb", "t")];
        let map = Map {
            here: Here { resources, ..Here::default() },
            events: vec![event("user/mia", "s3", "<b>", true), event("root", "s3", "<b>", false)]
                .into(),
            left_out: 0,
        };
        let text = draw(&map, 1).into_string();
        assert!(text.contains("&lt;b&gt;") && !text.contains("<b>"), "{text}");
        assert!(text.contains("user/mia → s3: 1 request, 1 denied"));
        assert!(text.contains("class=\"edge bad fresh\"") && text.contains("tie"));
        assert!(!text.contains("style="));
    }

    #[test]
    fn much_is_left_out_and_said() {
        let resources = (0..100).map(|n| resource("s3", &format!("bucket-{n:03}"))).collect();
        let map = Map {
            here: Here { resources, ..Here::default() },
            left_out: 1,
            events: (0..100)
                .map(|n| event(&format!("user/{n}"), "s3", "bucket-099", false))
                .collect(),
        };
        let text = draw(&map, 0).into_string();
        assert!(text.contains("Who (88 more)") && text.contains("Resources (88 more)"));
        assert!(text.contains("bucket-099"));
        assert!(text.contains("Services (1 request not drawn)"));
        assert!(draw(&Map::default(), 0).as_str().contains("Services"));
    }

    #[test]
    fn a_container_that_asks_is_drawn_as_one() {
        let asked = Event { from: "172.17.0.2".into(), ..event("root", "s3", "b", false) };
        let containers = BTreeMap::from([("172.17.0.2".to_owned(), "web".to_owned())]);
        let here = Here { resources: vec![resource("s3", "b")], containers };
        let text = draw(&Map { here, events: vec![asked].into(), left_out: 0 }, 0).into_string();
        assert!(text.contains("web (container) → s3: 1 request"), "{text}");
    }
}
