//! The frame of every page: head, navigation, what the last form came to, and small pieces that pages
//! share.

use crate::call::Refusal;
use crate::html::{El, Html, Put, Url, el, html, link, url, with};
use crate::pages::regions;
use crate::session::{Notice, Session};
use std::sync::LazyLock;

pub const STYLE: &str = include_str!("../assets/console.css");
pub const SCRIPT: &str = include_str!("../assets/console.js");
pub const ICON: &str = include_str!("../assets/icon.svg");

/// Changes with the files, so that a browser may keep them.
static MARK: LazyLock<String> = LazyLock::new(|| {
    let all = [STYLE, SCRIPT, ICON].concat();
    base::hex::encode(&sigv4::sha256(all.as_bytes())[..6])
});

/// Where a page stands in the navigation: title, address, and the key that leads there.
pub type Place = (&'static str, &'static str, &'static str);

pub const HOME: Place = ("Home", "/", "h");
pub const BUCKETS: Place = ("Buckets", "/buckets", "b");
pub const TABLES: Place = ("Tables", "/tables", "t");
pub const IDENTITIES: Place = ("Identities", "/identities", "i");
pub const CONTAINERS: Place = ("Containers", "/containers", "c");
pub const IMAGES: Place = ("Images", "/images", "g");
pub const REQUESTS: Place = ("Requests", "/requests", "r");
pub const MAP: Place = ("Map", "/map", "m");
pub const METRICS: Place = ("Metrics", "/metrics", "p");
pub const LABS: Place = ("Labs", "/labs", "l");

const GROUPS: [(&str, &[Place]); 3] = [
    ("", &[HOME]),
    ("Resources", &[BUCKETS, TABLES, IDENTITIES, CONTAINERS, IMAGES]),
    ("Watch", &[REQUESTS, MAP, METRICS, LABS]),
];

/// Where a page stands that could not be made.
pub fn place_of(path: &str) -> Place {
    match path {
        "/bucket" | "/buckets" | "/object" => BUCKETS,
        "/table" | "/tables" | "/item" => TABLES,
        "/identities" | "/user" | "/role" | "/policy" => IDENTITIES,
        "/container" | "/containers" => CONTAINERS,
        "/images" => IMAGES,
        "/requests" => REQUESTS,
        "/map" => MAP,
        "/metrics" => METRICS,
        "/lab" | "/labs" => LABS,
        _ => HOME,
    }
}

/// A page without its frame.
#[derive(Debug)]
pub struct Page {
    pub title: String,
    pub place: Place,
    pub status: u16,
    pub body: Html,
}

impl Page {
    pub fn new(place: Place, title: impl Into<String>, body: impl Put) -> Page {
        Page { title: title.into(), place, status: 200, body: html(body) }
    }
}

fn head(title: &str) -> impl Put {
    el("head").put((
        el("meta").attr("charset", "utf-8"),
        el("meta").attr("name", "viewport").attr("content", "width=device-width, initial-scale=1"),
        el("meta").attr("name", "color-scheme").attr("content", "light dark"),
        el("title").put((title, " · Cumulet")),
        el("link").attr("rel", "stylesheet").href(&url("/assets/console.css").with("v", &*MARK)),
        el("link")
            .attr("rel", "icon")
            .attr("type", "image/svg+xml")
            .href(&url("/assets/icon.svg").with("v", &*MARK)),
        el("script").src(&url("/assets/console.js").with("v", &*MARK)).flag("defer", true),
    ))
}

fn document(head: impl Put, body: impl Put) -> String {
    let mut out = String::with_capacity(16 * 1024);
    out.push_str("<!doctype html>");
    Put::put(el("html").attr("lang", "en").put((head, body)), &mut out);
    out
}

fn brand() -> El {
    with(
        "a",
        "brand",
        (
            el("img")
                .class("mark")
                .src(&url("/assets/icon.svg").with("v", &*MARK))
                .attr("alt", "")
                .attr("width", "22")
                .attr("height", "22"),
            el("span").put("Cumulet"),
        ),
    )
    .href(&url("/"))
}

fn navigation(current: Place) -> El {
    let groups = GROUPS.iter().map(|(name, places)| {
        let places: Vec<El> = places
            .iter()
            .map(|place| {
                let (title, path, key) = *place;
                let here = path == current.1;
                let entry = link(&url(path), (el("span").put(title), with("kbd", "hint", key)))
                    .attr("accesskey", key)
                    .attr("data-go", key);
                let entry = if here { entry.attr("aria-current", "page") } else { entry };
                el("li").put(entry)
            })
            .collect();
        let name = (!name.is_empty()).then(|| with("li", "group", *name));
        (name, places)
    });
    let entries: Vec<_> = groups.collect();
    el("nav").attr("aria-label", "Sections").put(el("ul").put(entries))
}

fn who(session: &Session, regions: &[&'static str], place: Place) -> El {
    let name = session.arn.rsplit(':').next().unwrap_or_default();
    with(
        "div",
        "who",
        (
            with("span", "name", name).attr("title", &*session.arn),
            with("span", "where", &session.account),
            regions::selector(session, regions, place),
            form(&url("/sign-out"), session, el("button").class("quiet").put("Sign out")),
        ),
    )
}

/// A whole page for somebody who is signed in.
pub fn framed(page: &Page, session: &Session, regions: &[&'static str]) -> String {
    let notice = session.notice.lock().take().map(|notice| say(&notice));
    let body = el("body").put((
        with("a", "skip", "Skip to the content").attr("id", "skip").href_literal("#content"),
        with("header", "top", (brand(), who(session, regions, page.place))),
        with(
            "div",
            "frame",
            (
                navigation(page.place),
                el("main").attr("id", "content").attr("tabindex", "-1").put((notice, &page.body)),
            ),
        ),
        help(),
    ));
    document(head(&page.title), body)
}

/// A whole page for anybody.
pub fn bare(title: &str, body: impl Put) -> String {
    let body =
        el("body").class("bare").put(el("main").attr("id", "content").put((brand(), html(body))));
    document(head(title), body)
}

/// The keys, in a box that `?` opens.
fn help() -> El {
    let keys = [
        ("j k", "next and previous row"),
        ("Enter", "open the row"),
        ("/", "to the filter"),
        ("g, then a letter", "go to a section: its letter stands beside it"),
        ("?", "this box"),
    ];
    let rows: Vec<El> = keys
        .iter()
        .map(|(key, what)| el("tr").put((el("th").put(el("kbd").put(*key)), el("td").put(*what))))
        .collect();
    el("dialog").attr("id", "keys").attr("aria-label", "Keys").put((
        el("h2").put("Keys"),
        el("table").put(el("tbody").put(rows)),
        el("form").attr("method", "dialog").put(el("button").put("Close")),
    ))
}

fn say(notice: &Notice) -> El {
    let class = if notice.good { "notice good" } else { "notice bad" };
    with("p", class, &notice.text).attr("role", if notice.good { "status" } else { "alert" })
}

/// What was refused, and why.
pub fn refused(refusal: &Refusal) -> El {
    let look = refusal.is_denial().then(|| {
        let denied = url("/requests").with("denied", "1");
        with("p", "look", link(&denied, "Which policy decided, and on what: look at the refusals"))
    });
    with(
        "div",
        "refusal",
        (
            el("p").put((
                el("strong").put(&refusal.code),
                " ",
                with("span", "status", format!("{}", refusal.status)),
            )),
            el("p").put(&refusal.message),
            look,
        ),
    )
    .attr("role", "alert")
}

/// A form that changes something; it holds the session's number.
pub fn form(to: &Url, session: &Session, inner: impl Put) -> El {
    el("form").attr("method", "post").action(to).put((hidden("csrf", &session.csrf), html(inner)))
}

pub fn hidden(name: &'static str, value: impl AsRef<str>) -> El {
    el("input").attr("type", "hidden").attr("name", name).attr("value", value)
}

/// A control under its label.
pub fn labelled(label: impl Put, control: El) -> El {
    with("label", "field", (el("span").put(label), control))
}

/// A field with its label.
pub fn field(label: &'static str, name: &'static str, value: &str) -> El {
    labelled(
        label,
        el("input")
            .attr("name", name)
            .attr("value", value)
            .attr("autocomplete", "off")
            .attr("spellcheck", "false"),
    )
}

/// Something that cannot be undone: a button behind a second one, without a script.
pub fn danger(label: &'static str, question: impl Put, form: El) -> El {
    with(
        "details",
        "danger",
        (el("summary").put(label), with("div", "sure", (el("p").put(question), form))),
    )
}

/// Where one is, above the title.
pub fn crumbs(steps: Vec<(String, Url)>, here: &str) -> El {
    let mut entries: Vec<El> =
        steps.into_iter().map(|(name, to)| el("li").put(link(&to, name))).collect();
    entries.push(el("li").attr("aria-current", "page").put(here));
    el("nav").class("crumbs").attr("aria-label", "Where you are").put(el("ol").put(entries))
}

pub fn title(text: impl Put, beside: impl Put) -> El {
    with("div", "title", (el("h1").put(text), with("div", "beside", beside)))
}

/// What stands where there is nothing yet.
pub fn empty(what: impl Put, hint: impl Put) -> El {
    with("div", "empty", (el("p").put(what), with("p", "hint", hint)))
}

/// A table that scrolls by itself where the page is narrow, of heads and rows.
pub fn scrolling(heads: Vec<El>, rows: Vec<El>) -> El {
    let head = el("thead").put(el("tr").put(heads));
    let body = el("tbody").attr("data-rows", "").put(rows);
    with("div", "scroll", el("table").put((head, body)))
}

/// The same from names of columns. Columns that end in `#` are numbers.
pub fn table(columns: &[&'static str], rows: Vec<El>) -> El {
    let heads: Vec<El> = columns
        .iter()
        .map(|name| match name.strip_suffix('#') {
            Some(name) => with("th", "n", name).attr("scope", "col"),
            None => el("th").attr("scope", "col").put(*name),
        })
        .collect();
    scrolling(heads, rows)
}

pub fn cell(inner: impl Put) -> El {
    el("td").put(inner)
}

/// Names and values, one under the other.
pub fn facts(pairs: Vec<(&'static str, Html)>) -> El {
    let pairs: Vec<_> = pairs
        .into_iter()
        .filter(|(_, value)| !value.as_str().is_empty())
        .map(|(name, value)| el("div").put((el("dt").put(name), el("dd").put(value))))
        .collect();
    el("dl").class("facts").put(pairs)
}

/// A panel with a heading of its own.
pub fn panel(heading: impl Put, inner: impl Put) -> El {
    with("section", "panel", (el("h2").put(heading), html(inner)))
}

pub fn code(text: impl AsRef<str>) -> El {
    el("code").put(text.as_ref())
}

/// Bytes for a person.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KB", "MB", "GB", "TB"] {
        if value < 1000.0 || unit == "TB" {
            return match unit {
                "B" => format!("{bytes} B"),
                _ if value < 10.0 => format!("{value:.1} {unit}"),
                _ => format!("{value:.0} {unit}"),
            };
        }
        value /= 1000.0;
    }
    String::new()
}

/// So many of something.
pub fn counted(count: u64, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}

/// A time as it stands in an answer, for a person: `2026-11-26T14:44:46.123Z` without what is noise.
pub fn time(text: &str) -> El {
    let shown = text.get(..19).unwrap_or(text).replacen('T', " ", 1);
    el("time").attr("datetime", text).attr("title", text).put(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |bytes, expected: &str| assert_eq!(size(bytes), expected);
        check(0, "0 B");
        check(999, "999 B");
        check(1_500, "1.5 KB");
        check(20_000_000, "20 MB");
        check(u64::MAX, "18446744 TB");
    }

    #[test]
    fn one_and_many() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "file")), ["0 files", "1 file", "2 files"]);
    }

    #[test]
    fn refusals_name_their_reason() {
        let refusal = Refusal::new(403, "AccessDenied", "User <b> is not authorized");
        let page = html(refused(&refusal));
        assert!(page.as_str().contains("User &lt;b&gt; is not authorized"));
        assert!(page.as_str().contains("/_console/requests?denied=1"));
        let other = html(refused(&Refusal::new(404, "NoSuchBucket", "no")));
        assert!(!other.as_str().contains("denied"));
    }
}
