//! One object: what is known of it, a look inside, its versions, its tags.
//!
//! What was uploaded is somebody's, so it is shown as text, escaped, or as an image; never as a document.

use crate::call::{Ask, Node, Refusal, Told, beginning};
use crate::door::{Acted, Visit, loaded};
use crate::form::Form;
use crate::html::{El, Html, Url, el, html, link, url, with};
use crate::layout::{self, BUCKETS, Page, cell};
use crate::pages::bucket::{Entry, listing, path, steps};
use crate::session::Session;
use api::{Body, ConsoleAnswer};
use base::Timestamp;

/// Of a text that is shown.
const SHOWN_BYTES_MAX: usize = 64 << 10;
const VERSIONS: &str = "50";

/// Images that hold no scripts, by how they begin.
const IMAGES: [(&[u8], usize, &str); 7] = [
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF87a", 0, "image/gif"),
    (b"GIF89a", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"ftypavif", 4, "image/avif"),
    (b"BM", 0, "image/bmp"),
];

/// What its first bytes say it is; what its owner says counts for nothing.
fn image_type(start: &[u8]) -> Option<&'static str> {
    let fits = |(mark, at, _): &&(&[u8], usize, &str)| {
        start.get(*at..).is_some_and(|rest| rest.starts_with(mark))
    };
    IMAGES.iter().find(fits).map(|(_, _, name)| *name)
}

/// What one sees of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// And whether that is all.
    Text(String, bool),
    Image(Url),
    Bytes,
    Nothing,
}

pub(crate) struct Data {
    pub bucket: String,
    pub key: String,
    pub version: String,
    pub headers: Vec<(String, String)>,
    pub look: Told<Look>,
    pub tags: Told<Vec<(String, String)>>,
    pub versions: Told<Vec<Entry>>,
}

fn versioned<'q>(version: &'q str, mut query: Vec<(&'q str, &'q str)>) -> Vec<(&'q str, &'q str)> {
    if !version.is_empty() {
        query.push(("versionId", version));
    }
    query
}

async fn look(visit: &Visit<'_>, bucket: &str, key: &str, version: &str) -> Told<Look> {
    let path = path(bucket, key);
    let query = versioned(version, Vec::new());
    let answer = visit.cloud.send(Ask::new("s3", "GET", &path).query(&query)).await?;
    let (start, is_all) = beginning(answer.body, SHOWN_BYTES_MAX).await?;
    if start.is_empty() {
        return Ok(Look::Nothing);
    }
    if image_type(&start).is_some() {
        let from = visit.loads("/object/raw").with("bucket", bucket).with("key", key);
        return Ok(Look::Image(from.given("version", version)));
    }
    let text = match std::str::from_utf8(&start) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if !is_all && error.valid_up_to() + 4 > start.len() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Ok(Look::Bytes),
    };
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x1b');
    match text.chars().filter(|c| control(*c)).count() * 50 > text.len() {
        true => Ok(Look::Bytes),
        false => Ok(Look::Text(text.to_owned(), is_all)),
    }
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let (bucket, key, version) = (visit.get("bucket"), visit.get("key"), visit.get("version"));
    let path = path(bucket, key);
    let ask = Ask::new("s3", "GET", &path);
    let query = versioned(version, vec![("tagging", "")]);
    let tags = visit.cloud.s3(ask.query(&query)).await.map(|answer| {
        let pair = |tag: &Node| (tag.text("Key").to_owned(), tag.text("Value").to_owned());
        answer.list("TagSet").iter().map(pair).collect()
    });
    let query = versioned(version, Vec::new());
    // A version that is gone has no head; its mark and the others can still be shown.
    let headers = match visit.cloud.send(Ask::new("s3", "HEAD", &path).query(&query)).await {
        Ok(answer) => answer.headers,
        Err(refusal) if matches!(refusal.status, 404 | 405) => Vec::new(),
        Err(refusal) => return Err(refusal),
    };
    let query =
        [("versions", ""), ("prefix", key), ("max-keys", VERSIONS), ("encoding-type", "url")];
    let bucket_path = self::path(bucket, "");
    let versions = visit.cloud.s3(Ask::new("s3", "GET", &bucket_path).query(&query)).await;
    let versions = versions.map(|answer| {
        let all = listing(&answer, true).entries;
        all.into_iter().filter(|entry| entry.key == key).collect::<Vec<_>>()
    });
    if headers.is_empty() && versions.as_ref().is_ok_and(Vec::is_empty) {
        return Err(Refusal::new(404, "NoSuchKey", "The specified key does not exist."));
    }
    let look = match headers.is_empty() {
        true => Ok(Look::Nothing),
        false => look(visit, bucket, key, version).await,
    };
    let [bucket, key, version] = [bucket, key, version].map(str::to_owned);
    let data = Data { bucket, key, version, headers, look, tags, versions };
    Ok(view(&data, &visit.session))
}

fn here(data: &Data, page: &'static str) -> Url {
    url(page).with("bucket", &data.bucket).with("key", &data.key).given("version", &data.version)
}

fn names(data: &Data) -> (El, El, El) {
    (
        layout::hidden("bucket", &data.bucket),
        layout::hidden("key", &data.key),
        layout::hidden("version", &data.version),
    )
}

pub(crate) fn view(data: &Data, session: &Session) -> Page {
    let (folder, name) = match data.key.trim_end_matches('/').rfind('/') {
        Some(at) => data.key.split_at(at + 1),
        None => ("", data.key.as_str()),
    };
    let known = !data.headers.is_empty();
    let download =
        known.then(|| with("a", "button main", "Download").href(&here(data, "/object/download")));
    let question = match data.version.as_str() {
        "" => "Delete the object? Where versions are kept, it can be had back.",
        _ => "Delete this version for good?",
    };
    let delete = layout::form(
        &url("/object/delete"),
        session,
        (names(data), el("button").class("bad").put("Delete it")),
    );
    let older = (!data.version.is_empty())
        .then(|| with("p", "hint", ("Version ", layout::code(&data.version))));
    Page::new(
        BUCKETS,
        name,
        (
            layout::crumbs(steps(&data.bucket, folder), name),
            layout::title(name, download),
            older,
            with(
                "div",
                "columns",
                (
                    with("div", "wide", layout::panel("A look inside", sight(data))),
                    with(
                        "div",
                        "narrow",
                        (
                            layout::panel("What is known", known_of(&data.headers)),
                            layout::panel("Tags", tags_form(data, session)),
                            known.then(|| metadata_panel(data, session)),
                        ),
                    ),
                ),
            ),
            versions(data),
            layout::danger("Delete", question, delete),
        ),
    )
}

fn sight(data: &Data) -> Html {
    match &data.look {
        Err(refusal) => html(layout::refused(refusal)),
        Ok(Look::Text(text, is_all)) => {
            let cut = (!is_all)
                .then(|| with("p", "hint", "This is its beginning; download it to have all."));
            html((el("pre").class("look").attr("tabindex", "0").put(text), cut))
        }
        Ok(Look::Image(from)) => {
            html(with("div", "picture", el("img").src(from).attr("alt", &data.key)))
        }
        Ok(Look::Bytes) => {
            html(layout::empty("No text and no image.", "Download it to look at it."))
        }
        Ok(Look::Nothing) => html(layout::empty("There is nothing in it.", ())),
    }
}

/// Headers that say nothing of the object.
const NOISE: [&str; 7] = [
    "accept-ranges",
    "date",
    "server",
    "x-amz-request-id",
    "x-amz-id-2",
    "connection",
    "content-length",
];

fn known_of(headers: &[(String, String)]) -> El {
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let bytes: u64 = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let size =
        length.map(|_| el("div").put((el("dt").put("size"), el("dd").put(layout::size(bytes)))));
    let rows: Vec<El> = headers
        .iter()
        .filter(|(name, _)| !NOISE.contains(&name.as_str()))
        .map(|(name, value)| {
            el("div").put((el("dt").put(name.trim_start_matches("x-amz-")), el("dd").put(value)))
        })
        .collect();
    el("dl").class("facts").put((size, rows))
}

fn tags_form(data: &Data, session: &Session) -> Html {
    let tags = match &data.tags {
        Ok(tags) => tags,
        Err(refusal) => return html(layout::refused(refusal)),
    };
    let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    html(layout::form(
        &url("/object/tags"),
        session,
        (
            names(data),
            pairs_field("One on each line, name=value", "tags", tags),
            el("button").put("Save tags"),
        ),
    ))
}

/// A field of pairs, each on a line of its own.
fn pairs_field<'a>(label: &str, name: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> El {
    let lines: String = pairs.map(|(name, value)| format!("{name}={value}\n")).collect();
    let text = el("textarea").attr("name", name).attr("rows", "3").attr("spellcheck", "false");
    layout::labelled(label, text.put(("\n", lines)))
}

/// Headers that its owner chose and may choose anew.
const CHOSEN: [&str; 5] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
];
const META: &str = "x-amz-meta-";
const LOCK_MODE: &str = "x-amz-object-lock-mode";
const LOCKED_UNTIL: &str = "x-amz-object-lock-retain-until-date";
/// What else a copy would take away, under the names that both an answer and a copy have for it.
const KEPT: [&str; 9] = [
    "expires",
    "x-amz-website-redirect-location",
    "x-amz-storage-class",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    LOCK_MODE,
    LOCKED_UNTIL,
    "x-amz-object-lock-legal-hold",
];

fn metadata_panel(data: &Data, session: &Session) -> El {
    let value = |name: &str| {
        let found = data.headers.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let fields: Vec<El> =
        CHOSEN.into_iter().map(|name| layout::field(name, name, value(name))).collect();
    let own =
        data.headers.iter().filter_map(|(name, value)| Some((name.strip_prefix(META)?, &**value)));
    let form = layout::form(
        &url("/object/metadata"),
        session,
        (
            names(data),
            layout::hidden("etag", value("etag")),
            fields,
            pairs_field("Metadata, one on each line, name=value", "metadata", own),
            el("button").put("Save headers"),
        ),
    );
    let inner = (el("summary").put("Headers and metadata"), with("div", "inside", form));
    with("details", "panel", inner)
}

fn versions(data: &Data) -> Option<El> {
    let versions = data.versions.as_ref().ok()?;
    if versions.len() < 2 && versions.iter().all(|entry| !entry.is_marker) {
        return None;
    }
    let row = |entry: &Entry| {
        let version = entry.version.as_deref().unwrap_or("null");
        let to = url("/object")
            .with("bucket", &data.bucket)
            .with("key", &data.key)
            .with("version", version);
        let mark = match (entry.is_marker, entry.is_latest) {
            (true, _) => Some(with("span", "tag warn", "deleted")),
            (_, true) => Some(with("span", "tag good", "newest")),
            _ => None,
        };
        let size = if entry.is_marker { "–".to_owned() } else { layout::size(entry.size) };
        el("tr").put((
            cell((link(&to, layout::code(version)).class("row"), " ", mark)),
            with("td", "n", size),
            cell(layout::time(&entry.changed)),
        ))
    };
    let rows = versions.iter().map(row).collect();
    Some(layout::panel("Versions", layout::table(&["Version", "Size#", "Changed"], rows)))
}

async fn got(visit: &Visit<'_>) -> Told<(Body, Vec<(String, String)>)> {
    let path = path(visit.get("bucket"), visit.get("key"));
    let query = versioned(visit.get("version"), Vec::new());
    let answer = visit.cloud.send(Ask::new("s3", "GET", &path).query(&query)).await?;
    Ok((answer.body, answer.headers))
}

/// An image for a page. Anything else is not given, whatever it says it is.
pub(crate) async fn raw(visit: &Visit<'_>) -> Told<ConsoleAnswer> {
    let (body, _) = got(visit).await?;
    let refused = || Refusal::new(415, "NoImage", "Only images are shown.");
    match body {
        Body::Empty => Err(refused()),
        Body::Bytes(bytes) => {
            let kind = image_type(&bytes).ok_or_else(refused)?;
            Ok(loaded(kind, Body::Bytes(bytes)))
        }
        Body::Stream(length, mut stream) => {
            let first = crate::call::next(&mut stream).await;
            let first = first.and_then(Result::ok).ok_or_else(refused)?;
            let kind = image_type(&first).ok_or_else(refused)?;
            let rest = crate::live::Again { first: Some(first), rest: stream };
            Ok(loaded(kind, Body::Stream(length, Box::pin(rest))))
        }
    }
}

/// The name as a header can have it, twice: for old programs and for new ones.
fn disposition(key: &str) -> String {
    let name = key.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_. ".contains(c) { c } else { '_' })
        .collect();
    let encoded = base::percent::encode(name.as_bytes());
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

pub(crate) async fn download(visit: &Visit<'_>) -> Told<ConsoleAnswer> {
    let (body, _) = got(visit).await?;
    let mut answer = loaded("application/octet-stream", body);
    answer.headers.push(("content-disposition", disposition(visit.get("key"))));
    Ok(answer)
}

pub(crate) async fn delete(visit: &Visit<'_>, form: &Form) -> Acted {
    let (bucket, key, version) = (form.get("bucket"), form.get("key"), form.get("version"));
    let path = path(bucket, key);
    let query = versioned(version, Vec::new());
    let folder = key.rfind('/').map_or("", |at| &key[..=at]);
    match visit.cloud.s3(Ask::new("s3", "DELETE", &path).query(&query)).await {
        Ok(_) => {
            let to = url("/bucket").with("name", bucket).given("prefix", folder);
            Ok((to, format!("{key} is deleted.")))
        }
        Err(refusal) => {
            let back = url("/object").with("bucket", bucket).with("key", key);
            Err((back.given("version", version), refusal))
        }
    }
}

/// Lines of `name=value`.
fn pairs(lines: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split_once('=').unwrap_or((line, "")))
}

/// Lines of `name=value` as the document that S3 takes.
fn tagging(lines: &str) -> String {
    let mut out = smithy::xml::Writer::with_declaration(256);
    out.open("Tagging");
    out.open("TagSet");
    for (key, value) in pairs(lines) {
        out.open("Tag");
        out.element("Key", key);
        out.element("Value", value);
        out.close("Tag");
    }
    out.close("TagSet");
    out.close("Tagging");
    out.finish()
}

pub(crate) async fn tags(visit: &Visit<'_>, form: &Form) -> Acted {
    let (bucket, key, version) = (form.get("bucket"), form.get("key"), form.get("version"));
    let back = url("/object").with("bucket", bucket).with("key", key).given("version", version);
    let path = path(bucket, key);
    let query = versioned(version, vec![("tagging", "")]);
    let ask = Ask::new("s3", "PUT", &path).query(&query).body(tagging(form.get("tags")));
    match visit.cloud.s3(ask).await {
        Ok(_) => Ok((back, "The tags are saved.".into())),
        Err(refusal) => Err((back, refusal)),
    }
}

/// An access control list as headers: none where it is the one that a new object gets by itself.
fn grants(list: &Node) -> Vec<(&'static str, String)> {
    let owner = list.find("Owner").map_or("", |owner| owner.text("ID"));
    let mut all: Vec<(&'static str, Vec<String>)> = Vec::new();
    let mut is_private = true;
    for grant in list.list("AccessControlList") {
        let Some(grantee) = grant.find("Grantee") else { continue };
        let (id, uri) = (grantee.text("ID"), grantee.text("URI"));
        let name = match grant.text("Permission") {
            "FULL_CONTROL" => "x-amz-grant-full-control",
            "READ" => "x-amz-grant-read",
            "READ_ACP" => "x-amz-grant-read-acp",
            "WRITE_ACP" => "x-amz-grant-write-acp",
            _ => continue,
        };
        is_private &= id == owner && name == "x-amz-grant-full-control";
        let who = if uri.is_empty() { format!("id=\"{id}\"") } else { format!("uri=\"{uri}\"") };
        match all.iter_mut().find(|(own, _)| *own == name) {
            Some((_, whose)) => whose.push(who),
            None => all.push((name, vec![who])),
        }
    }
    match is_private {
        true => Vec::new(),
        false => all.into_iter().map(|(name, whose)| (name, whose.join(", "))).collect(),
    }
}

/// What the object has besides what the form shows, as headers of a copy.
async fn kept(visit: &Visit<'_>, path: &str, form: &Form) -> Told<Vec<(&'static str, String)>> {
    let version = form.get("version");
    let query = versioned(version, Vec::new());
    let mut ask = Ask::new("s3", "HEAD", path).query(&query);
    if !form.get("etag").is_empty() {
        ask = ask.header("if-match", form.get("etag"));
    }
    let head = visit.cloud.send(ask).await.map_err(|refusal| match refusal.status {
        // A head has no body that would say so.
        412 => {
            let text = "The object was changed since this page was loaded. Load it again first.";
            Refusal::new(412, "PreconditionFailed", text)
        }
        _ => refusal,
    })?;
    let value =
        |name: &str| head.headers.iter().find(|(own, _)| own == name).map(|(_, v)| v.clone());
    let mut all: Vec<(&'static str, String)> =
        KEPT.into_iter().filter_map(|name| Some((name, value(name)?))).collect();
    // A retention that has run out is none, and S3 takes no date that is past.
    let until = value(LOCKED_UNTIL).and_then(|date| Timestamp::parse_iso8601(&date).ok());
    if until.is_some_and(|until| until <= visit.cloud.now) {
        all.retain(|(name, _)| !matches!(*name, LOCK_MODE | LOCKED_UNTIL));
    }
    let query = versioned(version, vec![("acl", "")]);
    let list = visit.cloud.s3(Ask::new("s3", "GET", path).query(&query)).await;
    let list = list.map_err(|mut refusal| {
        refusal.message.push_str(" (The copy with the new headers would lose an access control list that nobody can read.)");
        refusal
    })?;
    all.extend(grants(&list));
    Ok(all)
}

/// A copy onto itself, with other headers, of just what was shown; all that was not shown stays.
pub(crate) async fn metadata(visit: &Visit<'_>, form: &Form) -> Acted {
    let (bucket, key, version) = (form.get("bucket"), form.get("key"), form.get("version"));
    let back = url("/object").with("bucket", bucket).with("key", key);
    match save_metadata(visit, form).await {
        Ok(()) => Ok((back, "The headers are saved.".into())),
        Err(refusal) => Err((back.given("version", version), refusal)),
    }
}

async fn save_metadata(visit: &Visit<'_>, form: &Form) -> Told<()> {
    let path = path(form.get("bucket"), form.get("key"));
    let source = match form.get("version") {
        "" => path.clone(),
        version => format!("{path}?versionId={}", base::percent::encode(version.as_bytes())),
    };
    let mut ask = Ask::new("s3", "PUT", &path)
        .header("x-amz-copy-source", source)
        .header("x-amz-metadata-directive", "REPLACE");
    if !form.get("etag").is_empty() {
        ask = ask.header("x-amz-copy-source-if-match", form.get("etag"));
    }
    for name in CHOSEN.into_iter().filter(|name| !form.get(name).trim().is_empty()) {
        ask = ask.header(name, form.get(name).trim());
    }
    for (name, value) in pairs(form.get("metadata")) {
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim();
        let is_token = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        if name.is_empty() || !name.bytes().all(is_token) || value.chars().any(char::is_control) {
            let text = format!("{name:?} is no name, or has no value, that a header can carry.");
            return Err(Refusal::new(400, "InvalidMetadata", text));
        }
        ask = ask.header(format!("{META}{name}"), value);
    }
    for (name, value) in kept(visit, &path, form).await? {
        ask = ask.header(name, value);
    }
    visit.cloud.s3(ask).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_their_bytes() {
        let check = |bytes: &[u8], expected| assert_eq!(image_type(bytes), expected);
        check(b"\x89PNG\r\n\x1a\nrest", Some("image/png"));
        check(b"RIFF\0\0\0\0WEBPVP8 ", Some("image/webp"));
        check(b"<svg onload=alert(1)>", None);
        check(b"<!doctype html>", None);
        check(b"", None);
    }

    #[test]
    fn names_of_downloads() {
        let check = |key: &str, expected: &str| assert_eq!(disposition(key), expected);
        check("a/b.txt", "attachment; filename=\"b.txt\"; filename*=UTF-8''b.txt");
        let nasty = "x/\"\r\nset-cookie: a";
        assert!(!disposition(nasty).contains(['\r', '\n']));
        check("ü", "attachment; filename=\"_\"; filename*=UTF-8''%C3%BC");
    }

    #[test]
    fn tags_are_a_document() {
        let document = tagging("a=b\n\n c = d<\ne");
        let node = Node::parse(document.as_bytes()).unwrap();
        let tags: Vec<_> =
            node.list("TagSet").iter().map(|t| (t.text("Key"), t.text("Value"))).collect();
        assert_eq!(tags, [("a", "b"), ("c ", " d<"), ("e", "")]);
    }

    #[test]
    fn lists_of_access_as_headers() {
        let xml = |grants: &str| {
            let text = format!(
                "<P><Owner><ID>me</ID></Owner><AccessControlList>\
                 <Grant><Grantee><ID>me</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant>\
                 {grants}</AccessControlList></P>"
            );
            super::grants(&Node::parse(text.as_bytes()).unwrap())
        };
        assert_eq!(xml(""), []);
        let all = xml(
            "<Grant><Grantee><URI>http://all</URI></Grantee><Permission>READ</Permission></Grant>\
             <Grant><Grantee><ID>you</ID></Grantee><Permission>READ</Permission></Grant>",
        );
        let expected = [
            ("x-amz-grant-full-control", "id=\"me\""),
            ("x-amz-grant-read", "uri=\"http://all\", id=\"you\""),
        ];
        assert_eq!(all, expected.map(|(name, whose)| (name, whose.to_owned())));
    }
}
