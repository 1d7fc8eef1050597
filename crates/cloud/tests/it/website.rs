//! Website hosts: pages, folders, redirects, errors that people read.

use crate::world::{Ask, Told, World, ask, world};

const OPEN: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::site/*"}]}"#;

fn site(configuration: &str) -> World {
    let world = world();
    world.check(ask("s3", "PUT", "/site"), 200, "");
    world.check(ask("s3", "PUT", "/site?policy").body(OPEN.as_bytes()), 204, "");
    let document = format!("<WebsiteConfiguration>{configuration}</WebsiteConfiguration>");
    world.check(ask("s3", "PUT", "/site?website").body(document.as_bytes()), 200, "");
    world
}

fn put(world: &World, key: &str, body: &str) {
    let target = format!("/site/{key}");
    world.check(ask("s3", "PUT", &target).body(body.as_bytes()), 200, "");
}

fn visit(target: &str) -> Ask<'_> {
    ask("", "GET", target).anonymous().header("host", "site.s3-website.localhost:4566")
}

fn code(answer: &Told) -> &str {
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{}", answer.body);
    answer.header("x-amz-error-code")
}

const INDEX: &str = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>";

#[test]
fn pages_and_folders() {
    let world = site(INDEX);
    put(&world, "index.html", "front");
    put(&world, "docs/index.html", "docs");
    put(&world, "a%20b.txt", "spaced");
    for host in [
        "site.s3-website.localhost",
        "site.s3-website-us-east-1.amazonaws.com",
        "site.s3-website.us-east-1.amazonaws.com",
        "site.s3-website.localhost.localstack.cloud:4566",
    ] {
        world.check(visit("/").header("host", host), 200, "front");
    }
    world.check(visit("/index.html?x=1&versionId=nonsense"), 200, "front");
    world.check(visit("/docs/"), 200, "docs");
    world.check(visit("/a%20b.txt"), 200, "spaced");
    let told = world.check(visit("/docs"), 302, "Resource Found");
    assert_eq!((told.header("location"), code(&told)), ("/docs/", "Found"));
    let head = Ask { method: "HEAD", ..visit("/docs/") };
    assert_eq!(world.check(head, 200, "").header("content-length"), "4");
    let part = world.check(visit("/").header("range", "bytes=1-2"), 206, "ro");
    let same = visit("/").header("if-none-match", part.header("etag"));
    assert_eq!(world.check(same, 304, "").body, "");
    let world =
        site("<RedirectAllRequestsTo><HostName>example.com</HostName></RedirectAllRequestsTo>");
    let told = world.check(visit("/a%20b?c=d"), 301, "");
    assert_eq!(told.header("location"), "http://example.com/a%20b?c=d");
}

#[test]
fn what_cannot_be_had() {
    let world = site(&format!("{INDEX}<ErrorDocument><Key>error.html</Key></ErrorDocument>"));
    let told = world.check(visit("/none"), 403, "Custom Error Document");
    assert_eq!(code(&told), "AccessDenied", "who may not list learns nothing");
    assert!(told.body.contains("<li>Code: AccessDenied</li>"), "{}", told.body);
    put(&world, "error.html", "sorry");
    let told = world.check(visit("/none"), 403, "sorry");
    assert_eq!(told.header("x-amz-error-code"), "AccessDenied");
    let list = OPEN
        .replace("s3:GetObject\"", "s3:*\"")
        .replace("\"arn:aws:s3:::site/*\"", "[\"arn:aws:s3:::site\",\"arn:aws:s3:::site/*\"]");
    world.check(ask("s3", "PUT", "/site?policy").body(list.as_bytes()), 204, "");
    let told = world.check(visit("/none/"), 404, "sorry");
    assert_eq!(told.header("x-amz-error-code"), "NoSuchKey");
    let range = visit("/none/").header("range", "bytes=0-1").header("if-none-match", "*");
    world.check(range, 404, "sorry");
    let told = world.check(Ask { method: "PUT", ..visit("/x") }, 405, "MethodNotAllowed");
    assert_eq!(code(&told), "MethodNotAllowed");
    world.check(Ask { method: "POST", ..visit("/") }, 405, "MethodNotAllowed");
    assert_eq!(code(&world.check(visit("/%ff"), 400, "InvalidURI")), "InvalidURI");
    let told = world.check(visit("/").header("host", "no-such.s3-website.localhost"), 404, "");
    assert_eq!(code(&told), "NoSuchBucket");
    assert_eq!(told.header("x-amz-error-detail-bucketname"), "no-such");
    world.check(ask("s3", "DELETE", "/site?website"), 204, "");
    assert_eq!(code(&world.check(visit("/"), 404, "")), "NoSuchWebsiteConfiguration");
    // What a path says is shown as text.
    put(&world, "error.html", "x");
    world.check(ask("s3", "DELETE", "/site/error.html"), 204, "");
    let document = format!("<WebsiteConfiguration>{INDEX}</WebsiteConfiguration>");
    world.check(ask("s3", "PUT", "/site?website").body(document.as_bytes()), 200, "");
    let told = world.check(visit("/%3Cscript%3E/"), 404, "&lt;script&gt;");
    assert!(!told.body.contains("<script>"), "{}", told.body);
}

#[test]
fn rules_of_redirection() {
    let rule = |condition: &str, redirect: &str| {
        format!("<RoutingRule>{condition}<Redirect>{redirect}</Redirect></RoutingRule>")
    };
    let prefix = |p: &str| format!("<Condition><KeyPrefixEquals>{p}</KeyPrefixEquals></Condition>");
    let rules = [
        rule(&prefix("docs/"), "<ReplaceKeyPrefixWith>documents/</ReplaceKeyPrefixWith>"),
        rule(
            &prefix("images/"),
            "<ReplaceKeyWith>folder.html</ReplaceKeyWith><HttpRedirectCode>302</HttpRedirectCode>",
        ),
        rule(
            "<Condition><HttpErrorCodeReturnedEquals>403</HttpErrorCodeReturnedEquals><KeyPrefixEquals>old/</KeyPrefixEquals></Condition>",
            "<HostName>example.com</HostName><Protocol>https</Protocol><ReplaceKeyPrefixWith>report?x=</ReplaceKeyPrefixWith>",
        ),
    ];
    let world = site(&format!("{INDEX}<RoutingRules>{}</RoutingRules>", rules.concat()));
    put(&world, "docs/a", "never shown");
    put(&world, "old/there", "still there");
    let to = |target: &str, status: u16| {
        world.check(visit(target), status, "").header("location").to_owned()
    };
    let host = "http://site.s3-website.localhost:4566";
    assert_eq!(to("/docs/a", 301), format!("{host}/documents/a"));
    assert_eq!(to("/images/x.jpg", 302), format!("{host}/folder.html"));
    world.check(visit("/old/there"), 200, "still there");
    assert_eq!(to("/old/gone", 301), "https://example.com/report%3Fx%3Dgone");
    // An object may stand for another address.
    let own =
        ask("s3", "PUT", "/site/moved").header("x-amz-website-redirect-location", "/old/there");
    world.check(own, 200, "");
    assert_eq!(to("/moved", 301), "/old/there");
    let bad = ask("s3", "PUT", "/site/bad").header("x-amz-website-redirect-location", "nowhere");
    world.check(bad, 400, "website redirect location");
}
