//! A bucket, folder by folder, now or with all versions.

use crate::call::{Ask, Node, Refusal, Told};
use crate::door::{Acted, Visit};
use crate::form::{File, Form, Upload};
use crate::html::{El, Html, el, html, link, url, with};
use crate::layout::{self, BUCKETS, Page, cell};
use crate::session::Session;
use api::{ByteStream, InsideRequest, RequestBody};
use base::percent;
use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use std::pin::Pin;
use std::task::{Context, Poll};

const ROWS: &str = "200";

/// The path of a bucket, or of a key in it.
pub(crate) fn path(bucket: &str, key: &str) -> String {
    let bucket = percent::encode(bucket.as_bytes());
    match key {
        "" => format!("/{bucket}"),
        key => format!("/{bucket}/{}", percent::encode_path(key.as_bytes())),
    }
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub size: u64,
    pub changed: String,
    /// Only where versions are shown.
    pub version: Option<String>,
    pub is_latest: bool,
    pub is_marker: bool,
}

#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Listing {
    pub folders: Vec<String>,
    pub entries: Vec<Entry>,
    /// Parameters of the next page.
    pub next: Option<(String, String)>,
}

/// Keys come encoded, because XML cannot have all of their characters.
pub(crate) fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent::decode_form(text)).into_owned()
}

fn entry(node: &Node) -> Entry {
    Entry {
        key: decoded(node.text("Key")),
        size: node.text("Size").parse().unwrap_or(0),
        changed: node.text("LastModified").to_owned(),
        version: Some(node.text("VersionId").to_owned()).filter(|id| !id.is_empty()),
        is_latest: node.text("IsLatest") != "false",
        is_marker: node.name == "DeleteMarker",
    }
}

pub(crate) fn listing(answer: &Node, versions: bool) -> Listing {
    let folders = answer.all("CommonPrefixes").map(|node| decoded(node.text("Prefix"))).collect();
    let wanted = |node: &&Node| match versions {
        true => matches!(node.name.as_str(), "Version" | "DeleteMarker"),
        false => node.name == "Contents",
    };
    let next = match (answer.text("IsTruncated"), versions) {
        ("true", false) => Some((answer.text("NextContinuationToken").to_owned(), String::new())),
        ("true", true) => Some((
            decoded(answer.text("NextKeyMarker")),
            answer.text("NextVersionIdMarker").to_owned(),
        )),
        _ => None,
    };
    Listing { folders, entries: answer.children.iter().filter(wanted).map(entry).collect(), next }
}

pub(crate) struct Data {
    pub name: String,
    pub prefix: String,
    pub versions: bool,
    pub listing: Listing,
    /// `Enabled`, `Suspended` or nothing; an error where one may not know.
    pub versioning: Told<String>,
}

pub(crate) async fn show(visit: &Visit<'_>) -> Told<Page> {
    let (name, prefix, after) = (visit.get("name"), visit.get("prefix"), visit.get("after"));
    let versions = !visit.get("versions").is_empty();
    let path = path(name, "");
    let mut query =
        vec![("prefix", prefix), ("delimiter", "/"), ("max-keys", ROWS), ("encoding-type", "url")];
    match versions {
        true => query.push(("versions", "")),
        false => query.push(("list-type", "2")),
    }
    if !after.is_empty() {
        query.push((if versions { "key-marker" } else { "continuation-token" }, after));
        if versions && !visit.get("marker").is_empty() {
            query.push(("version-id-marker", visit.get("marker")));
        }
    }
    let answer = visit.cloud.s3(Ask::new("s3", "GET", &path).query(&query)).await?;
    let ask = Ask::new("s3", "GET", &path).query(&[("versioning", "")]);
    let versioning = visit.cloud.s3(ask).await.map(|answer| answer.text("Status").to_owned());
    let data = Data {
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        versions,
        listing: listing(&answer, versions),
        versioning,
    };
    Ok(view(&data, &visit.session))
}

fn to_folder(data: &Data, prefix: &str) -> crate::html::Url {
    let to = url("/bucket").with("name", &data.name).given("prefix", prefix);
    if data.versions { to.with("versions", "1") } else { to }
}

/// The bucket and the folders above, as links.
pub(crate) fn steps(bucket: &str, folder: &str) -> Vec<(String, crate::html::Url)> {
    let to = url("/bucket").with("name", bucket);
    let mut steps = vec![("Buckets".to_owned(), url("/buckets")), (bucket.to_owned(), to.clone())];
    let mut end = 0;
    for part in folder.split_inclusive('/') {
        end += part.len();
        let name = part.trim_end_matches('/');
        let name = if name.is_empty() { "(no name)" } else { name };
        steps.push((name.to_owned(), to.clone().with("prefix", &folder[..end])));
    }
    steps
}

fn row(data: &Data, entry: &Entry) -> El {
    let shown = entry.key.strip_prefix(&data.prefix).unwrap_or(&entry.key);
    let shown = if shown.is_empty() { "(the folder itself)" } else { shown };
    let to = url("/object").with("bucket", &data.name).with("key", &entry.key);
    let to = match &entry.version {
        Some(version) => to.with("version", version),
        None => to,
    };
    let mark = entry.is_marker.then(|| with("span", "tag warn", "deleted"));
    let old = (!entry.is_latest).then(|| with("span", "tag", "older"));
    let name = (with("a", "row name", shown).href(&to), " ", mark, old);
    let size = if entry.is_marker { html("–") } else { html(layout::size(entry.size)) };
    el("tr").put((
        cell(name),
        with("td", "n", size),
        cell(layout::time(&entry.changed)),
        data.versions.then(|| cell(layout::code(entry.version.as_deref().unwrap_or("null")))),
    ))
}

pub(crate) fn view(data: &Data, session: &Session) -> Page {
    let folders = data.listing.folders.iter().map(|folder| {
        let shown = folder.strip_prefix(&data.prefix).unwrap_or(folder);
        let name = with("a", "row folder", shown).href(&to_folder(data, folder));
        let blank = data.versions.then(|| cell(()));
        el("tr").put((cell(name), with("td", "n", "–"), cell(()), blank))
    });
    let rows: Vec<El> =
        folders.chain(data.listing.entries.iter().map(|entry| row(data, entry))).collect();
    let columns: &[&str] = match data.versions {
        true => &["Name", "Size#", "Changed", "Version"],
        false => &["Name", "Size#", "Changed"],
    };
    let list = match rows.is_empty() {
        true => layout::empty("Nothing here.", "Upload a file below, or with aws s3 cp."),
        false => html_of(layout::table(columns, rows)),
    };
    let mut steps = steps(&data.name, &data.prefix);
    let here = steps.pop().map(|(name, _)| name).unwrap_or_default();
    let switch = match data.versions {
        true => link(
            &url("/bucket").with("name", &data.name).given("prefix", &data.prefix),
            "Hide versions",
        ),
        false => link(&to_folder(data, &data.prefix).with("versions", "1"), "Show versions"),
    };
    let next = data.listing.next.as_ref().map(|(after, marker)| {
        let to = to_folder(data, &data.prefix).with("after", after).given("marker", marker);
        with("p", "pages", link(&to, "Next page").attr("rel", "next").attr("data-next", ""))
    });
    let filter = el("form").attr("method", "get").action(&url("/bucket")).class("inline").put((
        layout::hidden("name", &data.name),
        data.versions.then(|| layout::hidden("versions", "1")),
        el("input")
            .attr("name", "prefix")
            .attr("value", &data.prefix)
            .attr("aria-label", "Names that begin with")
            .attr("placeholder", "begins with")
            .attr("data-filter", "")
            .attr("autocomplete", "off")
            .attr("spellcheck", "false"),
        el("button").put("Filter"),
    ));
    Page::new(
        BUCKETS,
        &data.name,
        (
            layout::crumbs(steps, &here),
            layout::title(&here, (filter, with("span", "switch", switch))),
            list,
            next,
            upload_form(data, session),
            settings(data, session),
        ),
    )
}

fn html_of(inner: El) -> El {
    inner
}

fn upload_form(data: &Data, session: &Session) -> El {
    let form = layout::form(
        &url("/object/upload"),
        session,
        (
            layout::hidden("bucket", &data.name),
            layout::labelled(
                "Into the folder",
                el("input")
                    .attr("name", "prefix")
                    .attr("value", &data.prefix)
                    .attr("autocomplete", "off")
                    .attr("placeholder", "the bucket itself"),
            ),
            layout::labelled(
                "Files",
                el("input")
                    .attr("type", "file")
                    .attr("name", "file")
                    .flag("required", true)
                    .flag("multiple", true),
            ),
            el("button").class("main").put("Upload"),
        ),
    );
    layout::panel("Upload", form.attr("enctype", "multipart/form-data").class("row-form"))
}

fn settings(data: &Data, session: &Session) -> El {
    let name = || layout::hidden("name", &data.name);
    let versioning: Html = match &data.versioning {
        Err(refusal) => html(layout::refused(refusal)),
        Ok(status) => {
            let (now, label, next) = match status.as_str() {
                "Enabled" => ("Every version is kept.", "Suspend versions", "Suspended"),
                "Suspended" => (
                    "Versions are suspended: new ones replace what has no version.",
                    "Keep versions",
                    "Enabled",
                ),
                _ => ("Only the newest is kept.", "Keep versions", "Enabled"),
            };
            html((
                el("p").put(now),
                layout::form(
                    &url("/bucket/versioning"),
                    session,
                    (name(), layout::hidden("status", next), el("button").put(label)),
                ),
            ))
        }
    };
    let question =
        ("Only an empty bucket can be deleted. Delete ", el("strong").put(&data.name), "?");
    let delete = layout::form(
        &url("/bucket/delete"),
        session,
        (name(), el("button").class("bad").put("Delete it")),
    );
    layout::panel(
        "This bucket",
        with(
            "div",
            "settings",
            (versioning, layout::danger("Delete the bucket", question, delete)),
        ),
    )
}

pub(crate) async fn delete(visit: &Visit<'_>, form: &Form) -> Acted {
    let name = form.get("name");
    match visit.cloud.s3(Ask::new("s3", "DELETE", &path(name, ""))).await {
        Ok(_) => Ok((url("/buckets"), format!("The bucket {name} is gone."))),
        Err(refusal) => Err((url("/bucket").with("name", name), refusal)),
    }
}

pub(crate) async fn versioning(visit: &Visit<'_>, form: &Form) -> Acted {
    let name = form.get("name");
    let back = url("/bucket").with("name", name);
    let status = if form.get("status") == "Enabled" { "Enabled" } else { "Suspended" };
    let body =
        format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    let path = path(name, "");
    let ask = Ask::new("s3", "PUT", &path).query(&[("versioning", "")]).body(body);
    match visit.cloud.s3(ask).await {
        Ok(_) if status == "Enabled" => Ok((back, "Versions are kept from now on.".into())),
        Ok(_) => Ok((back, "Versions are suspended.".into())),
        Err(refusal) => Err((back, refusal)),
    }
}

/// A signed form's fields, then the file as it flows.
struct Chain {
    first: Option<Bytes>,
    rest: File,
}

impl ByteStream for Chain {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, api::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_next(cx),
        }
    }
}

/// The policy that lets exactly this form through, for a short while.
fn policy(visit: &Visit<'_>, fields: &[(&str, String)]) -> String {
    let expires = visit.cloud.now.plus_secs(15 * 60).iso8601_millis();
    let mut out = smithy::json::Writer::with_capacity(512);
    out.open('{');
    out.key("expiration");
    out.string(&expires);
    out.key("conditions");
    out.open('[');
    for (name, value) in fields {
        out.open('{');
        out.key(name);
        out.string(value);
        out.close('}');
    }
    out.close(']');
    out.close('}');
    base64::engine::general_purpose::STANDARD.encode(out.finish())
}

fn part(boundary: &str, name: &str, value: &str, out: &mut BytesMut) {
    let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
    for piece in [&*head, value, "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// File by file, until one is refused.
pub(crate) async fn upload(visit: &Visit<'_>, upload: Upload) -> Acted {
    let (bucket, prefix) =
        (upload.fields.get("bucket").to_owned(), upload.fields.get("prefix").to_owned());
    let back = || url("/bucket").with("name", &bucket).given("prefix", &prefix);
    if upload.file_name.is_empty() {
        return Err((back(), Refusal::new(400, "NoFile", "Choose a file first.")));
    }
    let first = upload.file_name.clone();
    let (mut at, mut count) = (Some(upload), 0usize);
    while let Some(upload) = at {
        let stored = match store(visit, &upload, &bucket, &prefix).await {
            Ok(()) => upload.next().await,
            Err(refusal) => Err(refusal),
        };
        at = stored.map_err(|mut refusal| {
            if count > 0 {
                let before = match count {
                    1 => "The file before it was stored.".to_owned(),
                    count => format!("The {count} files before it were stored."),
                };
                refusal.message = format!("{} {before}", refusal.message);
            }
            (back(), refusal)
        })?;
        count += 1;
    }
    let said = match count {
        1 => format!("{first} is there."),
        count => format!("{count} files are there."),
    };
    Ok((back(), said))
}

/// Goes on as a form of S3's own, signed by us: the file flows through and is never held.
async fn store(visit: &Visit<'_>, upload: &Upload, bucket: &str, prefix: &str) -> Told<()> {
    let boundary = &upload.boundary;
    let content_type = match upload.content_type.as_str() {
        "" => "application/octet-stream".to_owned(),
        given => given.to_owned(),
    };
    let signing = visit.cloud.key("s3");
    let mut signed = vec![
        ("bucket", bucket.to_owned()),
        ("key", format!("{prefix}{}", upload.file_name)),
        ("Content-Type", content_type),
        ("x-amz-algorithm", sigv4::ALGORITHM.to_owned()),
        ("x-amz-credential", format!("{}/{}", visit.cloud.person.id, signing.scope())),
        ("x-amz-date", visit.cloud.now.iso8601_basic()),
    ];
    if let Some(token) = &visit.cloud.person.token {
        signed.push(("x-amz-security-token", token.clone()));
    }
    let policy = policy(visit, &signed);
    let signature = signing.sign_policy(&policy);
    let mut first = BytesMut::new();
    for (name, value) in signed.iter().filter(|(name, _)| *name != "bucket") {
        part(boundary, name, value, &mut first);
    }
    part(boundary, "policy", &policy, &mut first);
    part(boundary, "x-amz-signature", &signature, &mut first);
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n"
    );
    first.extend_from_slice(head.as_bytes());
    let form = Chain { first: Some(first.freeze()), rest: upload.file() };
    let request = InsideRequest {
        method: "POST",
        target: path(bucket, ""),
        headers: vec![
            ("host".into(), visit.cloud.host.clone()),
            ("user-agent".into(), crate::call::AGENT.to_owned()),
            ("content-type".into(), format!("multipart/form-data; boundary={boundary}")),
        ],
        body: RequestBody::new(None, Box::pin(form)),
    };
    let answer = visit.cloud.inside.send(request).await;
    match answer.status {
        200..=299 => Ok(()),
        _ => Err(crate::call::refusal(answer).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings() {
        let xml =
            b"<L><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>\
            <Contents><Key>a%3Cb+c</Key><Size>3</Size><LastModified>2026</LastModified></Contents>\
            <CommonPrefixes><Prefix>p%2F</Prefix></CommonPrefixes></L>";
        let listing = listing(&Node::parse(xml).unwrap(), false);
        assert_eq!(listing.folders, ["p/"]);
        assert_eq!((listing.entries[0].key.as_str(), listing.entries[0].size), ("a<b c", 3));
        assert_eq!(listing.next, Some(("t".into(), String::new())));
    }

    #[test]
    fn folders_above() {
        let names = |folder| -> Vec<String> {
            steps("b", folder).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(""), ["Buckets", "b"]);
        assert_eq!(names("x/y/"), ["Buckets", "b", "x", "y"]);
        assert_eq!(names("/x"), ["Buckets", "b", "(no name)", "x"]);
        assert_eq!(path("b", "../a b"), "/b/../a%20b");
    }
}
