//! What an S3 answers in XML, as far as it is needed: buckets, versions, codes.

use base::Timestamp;
use smithy::xml::{Reader, Token, XmlError};

/// One version of an object, or a marker that it was deleted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Version {
    pub key: String,
    /// `null` where the bucket keeps no versions.
    pub id: String,
    pub etag: String,
    pub size: u64,
    pub marker: bool,
    latest: bool,
    modified: Option<Timestamp>,
}

/// A page of versions, the newest of each key first.
#[derive(PartialEq, Eq, Debug, Default)]
pub struct Page {
    pub versions: Vec<Version>,
    /// Where the next one begins.
    pub next: Option<(String, String)>,
}

/// Every element that holds text alone: the names of those around it, its own last, and the text. And
/// each end, with `None`.
fn walk(xml: &[u8], mut each: impl FnMut(&[String], Option<&str>)) -> Result<(), XmlError> {
    let mut reader = Reader::new(xml)?;
    let mut open: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.token()? {
            Token::Start(name) => {
                open.push(name.to_owned());
                text.clear();
            }
            Token::Text(part) => text.push_str(&part),
            Token::End => {
                each(&open, Some(&text));
                each(&open, None);
                open.pop();
                text.clear();
            }
            Token::Eof => return Ok(()),
        }
    }
}

fn is(open: &[String], wanted: &[&str]) -> bool {
    open.iter().map(String::as_str).skip(1).eq(wanted.iter().copied())
}

pub fn buckets(xml: &[u8]) -> Result<Vec<String>, XmlError> {
    let mut names = Vec::new();
    walk(xml, |open, text| {
        if let Some(text) = text.filter(|_| is(open, &["Buckets", "Bucket", "Name"])) {
            names.push(text.to_owned());
        }
    })?;
    Ok(names)
}

/// Keys are percent-encoded if the page says so: not every S3 knows `encoding-type=url`.
pub fn versions(xml: &[u8]) -> Result<Page, XmlError> {
    let mut page = Page::default();
    let mut version = Version::default();
    let (mut truncated, mut key, mut id) = (false, String::new(), String::new());
    let mut encoded = false;
    walk(xml, |open, text| {
        let path: Vec<&str> = open.iter().map(String::as_str).skip(1).collect();
        match (path.as_slice(), text) {
            (["Version" | "DeleteMarker", "Key"], Some(text)) => version.key = text.to_owned(),
            (["Version" | "DeleteMarker", "VersionId"], Some(text)) => version.id = text.to_owned(),
            (["Version" | "DeleteMarker", "IsLatest"], Some(text)) => {
                version.latest = text == "true"
            }
            (["Version" | "DeleteMarker", "LastModified"], Some(text)) => {
                version.modified = Timestamp::parse_iso8601(text).ok();
            }
            (["Version", "ETag"], Some(text)) => version.etag = text.trim_matches('"').to_owned(),
            (["Version", "Size"], Some(text)) => version.size = text.parse().unwrap_or(0),
            ([kind @ ("Version" | "DeleteMarker")], None) => {
                version.marker = *kind == "DeleteMarker";
                page.versions.push(std::mem::take(&mut version));
            }
            (["EncodingType"], Some(text)) => encoded = text == "url",
            (["IsTruncated"], Some(text)) => truncated = text == "true",
            (["NextKeyMarker"], Some(text)) => key = text.to_owned(),
            (["NextVersionIdMarker"], Some(text)) => id = text.to_owned(),
            _ => {}
        }
    })?;
    page.next = truncated.then_some((key, id));
    if encoded {
        let keys = page.versions.iter_mut().map(|version| &mut version.key);
        for key in keys.chain(page.next.as_mut().map(|(key, _)| key)) {
            *key = String::from_utf8_lossy(&base::percent::decode_form(key)).into_owned();
        }
    }
    // One list in the answer of AWS; others list all markers after all versions. What one moment
    // brought stays in the order of the list.
    page.versions.sort_by(|a, b| {
        a.key.cmp(&b.key).then(b.latest.cmp(&a.latest)).then(b.modified.cmp(&a.modified))
    });
    Ok(page)
}

/// The text of an element below the root.
pub fn element(xml: &[u8], name: &str) -> Option<String> {
    let mut found = None;
    let walked = walk(xml, |open, text| {
        if let Some(text) = text.filter(|_| is(open, &[name])) {
            found = Some(text.to_owned());
        }
    });
    walked.ok().and(found)
}

/// The pairs of a tagging, as a header has them.
pub fn tags(xml: &[u8]) -> Result<String, XmlError> {
    let mut pairs: Vec<String> = Vec::new();
    let mut key = String::new();
    walk(xml, |open, text| {
        let encoded = |text: &str| base::percent::encode(text.as_bytes());
        match text {
            Some(text) if is(open, &["TagSet", "Tag", "Key"]) => key = encoded(text),
            Some(text) if is(open, &["TagSet", "Tag", "Value"]) => {
                pairs.push(format!("{key}={}", encoded(text)));
            }
            _ => {}
        }
    })?;
    Ok(pairs.join("&"))
}

/// The canonical id of who asks, in a list of buckets.
pub fn owner(xml: &[u8]) -> Option<String> {
    let mut found = None;
    let walked = walk(xml, |open, text| {
        if let Some(text) = text.filter(|_| is(open, &["Owner", "ID"])) {
            found = Some(text.to_owned());
        }
    });
    walked.ok().and(found)
}

/// An access control list as headers that put it, where it is more than its owner's own grant. What it
/// says of the owner it says of `own` then.
pub fn grants(xml: &[u8], own: &str) -> Result<Vec<(String, String)>, XmlError> {
    let (mut owner, mut to, mut permission) = (String::new(), (String::new(), "id"), String::new());
    let mut found: Vec<(String, String)> = Vec::new();
    let mut plain = true;
    walk(xml, |open, text| {
        let path: Vec<&str> = open.iter().map(String::as_str).skip(1).collect();
        match (path.as_slice(), text) {
            (["Owner", "ID"], Some(text)) => owner = text.to_owned(),
            (["AccessControlList", "Grant", "Grantee", kind], Some(text)) => match *kind {
                "ID" => to = (text.to_owned(), "id"),
                "URI" => to = (text.to_owned(), "uri"),
                "EmailAddress" => to = (text.to_owned(), "emailAddress"),
                _ => {}
            },
            (["AccessControlList", "Grant", "Permission"], Some(text)) => {
                permission = text.to_ascii_lowercase().replace('_', "-");
            }
            (["AccessControlList", "Grant"], None) => {
                let (who, kind) = std::mem::take(&mut to);
                let is_owner = kind == "id" && who == owner;
                plain &= is_owner && permission == "full-control";
                let who = if is_owner { own } else { &*who };
                found.push((format!("x-amz-grant-{permission}"), format!("{kind}=\"{who}\"")));
                to.1 = "id";
            }
            _ => {}
        }
    })?;
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, who) in found.into_iter().filter(|_| !plain) {
        match headers.iter_mut().find(|(other, _)| *other == name) {
            Some((_, all)) => *all = format!("{all}, {who}"),
            None => headers.push((name, who)),
        }
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_grants() {
        let list = |grants: &str| {
            let xml = format!(
                "<AccessControlPolicy><Owner><ID>o</ID></Owner><AccessControlList>{grants}\
                 </AccessControlList></AccessControlPolicy>"
            );
            super::grants(xml.as_bytes(), "own").expect("a list")
        };
        let own = "<Grant><Grantee><ID>o</ID><DisplayName>x</DisplayName></Grantee>\
                   <Permission>FULL_CONTROL</Permission></Grant>";
        assert_eq!(list(own), []);
        let all =
            "<Grant><Grantee><URI>http://all</URI></Grantee><Permission>READ</Permission></Grant>";
        let other = "<Grant><Grantee><ID>p</ID></Grantee><Permission>READ</Permission></Grant>\
                     <Grant><Grantee><ID>p</ID></Grantee><Permission>READ_ACP</Permission></Grant>";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            list(&[own, all, other].concat()),
            [
                pair("x-amz-grant-full-control", "id=\"own\""),
                pair("x-amz-grant-read", "uri=\"http://all\", id=\"p\""),
                pair("x-amz-grant-read-acp", "id=\"p\""),
            ]
        );
        assert_eq!(owner(b"<R><Owner><ID>o</ID></Owner></R>").as_deref(), Some("o"));
    }

    #[test]
    fn a_page_of_versions() {
        let xml = br#"<?xml version="1.0"?><ListVersionsResult xmlns="http://x"><Name>b</Name>
          <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextKeyMarker>a+b</NextKeyMarker>
          <NextVersionIdMarker>v1</NextVersionIdMarker>
          <DeleteMarker><Key>a%20b</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest></DeleteMarker>
          <Version><Key>a+b</Key><VersionId>v1</VersionId><ETag>&quot;e&quot;</ETag><Size>7</Size>
          <Owner><ID>o</ID></Owner></Version></ListVersionsResult>"#;
        let page = versions(xml).unwrap();
        assert_eq!(page.next, Some(("a b".to_owned(), "v1".to_owned())));
        let [marker, version] = &page.versions[..] else { panic!("{page:?}") };
        assert!(marker.marker && marker.key == "a b" && marker.id == "v2");
        assert!(!version.marker && version.key == "a b");
        assert_eq!((&*version.etag, version.size), ("e", 7));
    }

    #[test]
    fn names_tags_and_codes() {
        let xml = b"<R><Owner><ID>Name</ID></Owner><Buckets><Bucket><Name>x</Name></Bucket>\
            <Bucket><Name>y</Name></Bucket></Buckets></R>";
        assert_eq!(buckets(xml).unwrap(), ["x", "y"]);
        let xml = b"<Tagging><TagSet><Tag><Key>a b</Key><Value>&amp;</Value></Tag>\
            <Tag><Key>c</Key><Value/></Tag></TagSet></Tagging>";
        assert_eq!(tags(xml).unwrap(), "a%20b=%26&c=");
        assert_eq!(element(b"<Error><Code>X</Code></Error>", "Code").as_deref(), Some("X"));
        assert_eq!(element(b"no xml", "Code"), None);
        assert!(versions(b"<a><b></a>").is_err());
    }

    #[test]
    fn markers_that_stand_apart() {
        let one = |kind: &str, id: &str, latest: bool, second: u32| {
            format!(
                "<{kind}><Key>k</Key><VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>\
                 <LastModified>2026-11-26T08:00:{second:02}.000Z</LastModified></{kind}>"
            )
        };
        let xml = [
            one("Version", "v4", false, 9),
            one("Version", "v2", false, 2),
            one("Version", "v1", false, 2),
            one("DeleteMarker", "v5", true, 9),
            one("DeleteMarker", "v3", false, 5),
        ];
        let page = versions(format!("<R>{}</R>", xml.concat()).as_bytes()).unwrap();
        let ids: Vec<&str> = page.versions.iter().map(|version| &*version.id).collect();
        assert_eq!(ids, ["v5", "v4", "v3", "v2", "v1"]);
    }

    #[test]
    fn noise_from_the_source() {
        let page = b"<R><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><EncodingType>url</EncodingType>\
            <Version><Key>a%20b</Key><VersionId>null</VersionId><IsLatest>true</IsLatest><ETag>&quot;x&quot;</ETag>\
            <LastModified>2026-11-26T08:00:00.000Z</LastModified><Size>7</Size></Version></R>";
        let seeds: [&[u8]; 2] =
            [page, b"<R><Buckets><Bucket><Name>x</Name></Bucket></Buckets><TagSet><Tag><Key>a</Key><Value/></Tag></TagSet></R>"];
        let words: [&[u8]; 6] =
            [b"<Version>", b"</", b"99999999999999999999", b"%", b"&#0;", b"<a>"];
        base::noise::run(6, 10_000, &seeds, &words, |data| {
            let _ = (buckets(data), versions(data), tags(data), element(data, "Key"));
        });
    }
}
