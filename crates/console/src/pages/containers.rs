//! Containers and images of the engine.

use crate::call::{Cloud, Told, get, integer, list, text};
use crate::door::Visit;
use crate::html::{El, Html, el, html, url, with};
use crate::layout::{self, CONTAINERS, IMAGES, Page, cell};
use crate::pages::container::actions;
use crate::session::Session;
use smithy::Document;

pub(crate) const ENGINE: &str = "/_cumulet/docker";

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Container {
    pub id: String,
    pub name: String,
    pub image: String,
    pub state: String,
    pub status: String,
    pub ports: Vec<String>,
    /// In its networks.
    pub addresses: Vec<String>,
}

fn port(port: &Document) -> String {
    let (inner, outer) = (integer(port, "PrivatePort"), integer(port, "PublicPort"));
    let kind = text(port, "Type").unwrap_or("tcp");
    match outer {
        0 => format!("{inner}/{kind}"),
        outer => format!("{outer} → {inner}/{kind}"),
    }
}

fn addresses(own: &Document) -> Vec<String> {
    let networks = get(own, "NetworkSettings").and_then(|settings| get(settings, "Networks"));
    let Some(Document::Map(networks)) = networks else { return Vec::new() };
    let each = networks.values().flat_map(|network| {
        ["IPAddress", "GlobalIPv6Address"].map(|name| text(network, name).unwrap_or_default())
    });
    each.filter(|address| !address.is_empty()).map(str::to_owned).collect()
}

pub(crate) async fn all(cloud: &Cloud) -> Told<Vec<Container>> {
    let path = format!("{ENGINE}/containers/json");
    let answer = cloud.own("GET", &path, &[("all", "1")]).await?;
    let Document::List(found) = answer else { return Ok(Vec::new()) };
    let container = |own: &Document| {
        let name = match list(own, "Names").first() {
            Some(Document::String(name)) => name.trim_start_matches('/').to_owned(),
            _ => String::new(),
        };
        let word = |name| text(own, name).unwrap_or_default().to_owned();
        let mut ports: Vec<String> = list(own, "Ports").iter().map(port).collect();
        ports.dedup();
        Container {
            id: word("Id"),
            name,
            image: word("Image"),
            state: word("State"),
            status: word("Status"),
            ports,
            addresses: addresses(own),
        }
    };
    Ok(found.iter().map(container).collect())
}

pub(crate) fn state(state: &str) -> El {
    let class = match state {
        "running" => "tag good",
        "exited" | "created" => "tag",
        _ => "tag warn",
    };
    with("span", class, state)
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    Ok(view(&all(&visit.cloud).await?, &visit.session))
}

pub(crate) fn view(all: &[Container], session: &Session) -> Page {
    let row = |own: &Container| {
        let to = url("/container").with("id", &own.id);
        el("tr").put((
            cell(with("a", "row name", &own.name).href(&to)),
            cell(&own.image),
            cell((state(&own.state), " ", with("span", "hint", &own.status))),
            cell(own.ports.join(", ")),
            cell(with("div", "acts", actions(&own.id, &own.state, "/containers", session))),
        ))
    };
    let list = match all.is_empty() {
        true => layout::empty(
            "No containers yet.",
            "Start one with docker run; the engine of this cloud answers at its socket.",
        ),
        false => {
            layout::table(&["Name", "Image", "State", "Ports", ""], all.iter().map(row).collect())
        }
    };
    let running = all.iter().filter(|own| own.state == "running").count();
    Page::new(
        CONTAINERS,
        "Containers",
        (
            layout::title(
                ("Containers ", with("span", "count", format!("{running} of {}", all.len()))),
                (),
            ),
            list,
        ),
    )
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Image {
    pub id: String,
    pub tags: Vec<String>,
    pub bytes: i64,
    pub created: i64,
    pub labels: Vec<(String, String)>,
}

/// Of a container's configuration, or of an image.
pub(crate) fn labels_of(own: &Document) -> Vec<(String, String)> {
    let Some(Document::Map(labels)) = get(own, "Labels") else { return Vec::new() };
    let texts = labels.iter().filter_map(|(name, value)| match value {
        Document::String(value) => Some((name.clone(), value.clone())),
        _ => None,
    });
    texts.collect()
}

pub(crate) async fn all_images(visit: &Visit<'_>) -> Told<Vec<Image>> {
    let answer = visit.cloud.own("GET", &format!("{ENGINE}/images/json"), &[]).await?;
    let Document::List(found) = answer else { return Ok(Vec::new()) };
    let image = |own: &Document| {
        let tags = list(own, "RepoTags").iter().filter_map(|tag| match tag {
            Document::String(tag) => Some(tag.clone()),
            _ => None,
        });
        Image {
            id: text(own, "Id").unwrap_or_default().to_owned(),
            tags: tags.collect(),
            bytes: integer(own, "Size"),
            created: integer(own, "Created"),
            labels: labels_of(own),
        }
    };
    Ok(found.iter().map(image).collect())
}

pub(crate) async fn images(visit: &Visit<'_>) -> Told<Page> {
    Ok(images_view(&all_images(visit).await?))
}

pub(crate) fn labels(labels: &[(String, String)]) -> Html {
    let one = |(name, value): &(String, String)| with("span", "label", format!("{name}={value}"));
    html(labels.iter().map(one).collect::<Vec<_>>())
}

pub(crate) fn images_view(all: &[Image]) -> Page {
    let row = |own: &Image| {
        let short = own.id.trim_start_matches("sha256:");
        let short = short.get(..12).unwrap_or(short);
        let name = match own.tags.is_empty() {
            true => html(with("span", "hint", "no name")),
            false => html(own.tags.iter().map(|tag| with("div", "name", tag)).collect::<Vec<_>>()),
        };
        // Images that are made the same each time have no time of their own.
        let created = (own.created > 0)
            .then(|| layout::time(&base::Timestamp::from_secs(own.created).iso8601_secs()));
        el("tr").put((
            cell(name),
            cell(layout::code(short)),
            with("td", "n", layout::size(own.bytes.max(0) as u64)),
            cell(created),
            cell(labels(&own.labels)),
        ))
    };
    let list = match all.is_empty() {
        true => layout::empty("No images yet.", "docker pull and docker build bring them here."),
        false => {
            layout::table(&["Name", "Id", "Size#", "Made", "Labels"], all.iter().map(row).collect())
        }
    };
    Page::new(
        IMAGES,
        "Images",
        (layout::title(("Images ", with("span", "count", all.len())), ()), list),
    )
}
