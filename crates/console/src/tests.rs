//! Pages as wholes: the door with everything around it, against a front door that answers from a table.

use crate::door::{Console, Lab, Parts};
use crate::session::{Identity, Person, Session, Sessions};
use api::{
    Body, ConsoleAnswer, ConsoleCall, ConsoleDoor, Inside, InsideAnswer, InsideReply,
    InsideRequest, RequestBody,
};
use base::{ManualClock, Region, SeededEntropy, Timestamp};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const NASTY: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

/// A session for views.
pub fn session() -> Arc<Session> {
    let (sessions, dice) = (Sessions::default(), SeededEntropy::new(1));
    let person = Person { id: "test".into(), secret: "test".into(), token: None };
    let identity =
        Identity { arn: "arn:aws:iam::000000000000:root".into(), account: "000000000000".into() };
    let id = sessions.begin(person, identity, "us-east-1".into(), &dice, 0);
    sessions.find(&id, 0).unwrap()
}

/// Answers requests whose start fits, and keeps what was asked.
#[derive(Default)]
struct Fake {
    answers: Mutex<Vec<(String, u16, String)>>,
    asked: Mutex<Vec<(String, Option<String>)>>,
}

impl Inside for Fake {
    fn send(&self, request: InsideRequest) -> InsideReply<'_> {
        let line = format!("{} {}", request.method, request.target);
        let find = |name: &str| {
            request.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone())
        };
        self.asked.lock().push((line.clone(), find("authorization")));
        let line = format!("{line} {}", find("x-amz-target").unwrap_or_default());
        let answers = self.answers.lock();
        let found = answers.iter().find(|(start, _, _)| line.starts_with(start.as_str()));
        let (status, body) = found.map_or((404, String::new()), |(_, s, b)| (*s, b.clone()));
        let body = if body.is_empty() { Body::Empty } else { Body::Bytes(Bytes::from(body)) };
        Box::pin(async move { InsideAnswer { status, headers: Vec::new(), body } })
    }
}

struct World {
    console: Console,
    fake: Arc<Fake>,
    clock: Arc<ManualClock>,
}

const ORIGIN: (&str, &str) = ("origin", "http://localhost:4566");

fn text(answer: &ConsoleAnswer) -> String {
    match &answer.body {
        Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

fn header<'a>(answer: &'a ConsoleAnswer, name: &str) -> &'a str {
    answer.headers.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
}

impl World {
    fn new() -> World {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let console = Console::new(Parts {
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            region: Region::us_east_1(),
            regions: vec!["eu-west-1", "us-east-1"],
            well_known_pairs: true,
            labs: vec![Lab {
                area: "s3",
                name: "one",
                text: "# One\n\nText.\n\n```sh\ntrue\n```\n",
            }],
            lab_state: Box::new(|_| Some(r#"{"done":1,"at":"2026-11-26T14:00:00Z"}"#.to_owned())),
        });
        let world = World { console, fake: Arc::default(), clock };
        let identity = "<R><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:root</Arn>\
                        <Account>000000000000</Account></GetCallerIdentityResult></R>";
        world.tell("POST / ", 200, identity);
        world
    }

    fn tell(&self, start: &str, status: u16, body: &str) {
        self.fake.answers.lock().insert(0, (start.to_owned(), status, body.to_owned()));
    }

    fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> ConsoleAnswer {
        self.ask_at("localhost:4566", true, method, target, headers, body)
    }

    fn ask_at(
        &self,
        host: &str,
        is_private: bool,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> ConsoleAnswer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| {
                (
                    name.to_owned(),
                    String::from_utf8_lossy(&base::percent::decode_form(value)).into_owned(),
                )
            })
            .collect();
        let find = |name: &str| {
            headers.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned())
        };
        let call = ConsoleCall {
            method,
            path: &format!("/_console{path}"),
            query: &query,
            header: &find,
            host,
            secure: false,
            is_private,
            inside: self.fake.clone(),
        };
        let mut answer = self.console.answer(call, RequestBody::from_bytes(body.to_owned().into()));
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("it waits"),
        }
    }

    /// Sends the form to sign in that it is given first.
    fn enter(&self, body: &str) -> ConsoleAnswer {
        let (cookie, number) = self.form();
        self.ask(
            "POST",
            "/sign-in",
            &[ORIGIN, ("cookie", &cookie)],
            &format!("form={number}&{body}"),
        )
    }

    /// The cookie and the number of a form to sign in.
    fn form(&self) -> (String, String) {
        let form = self.see("", "/sign-in");
        let shown = text(&form);
        let at = shown.find("name=\"form\" value=\"").unwrap() + 19;
        let cookie = header(&form, "set-cookie").split(';').next().unwrap();
        (cookie.to_owned(), shown[at..at + 64].to_owned())
    }

    /// The cookie of a new session.
    fn sign_in(&self) -> String {
        let answer = self.enter("id=test&secret=test&token=&region=us-east-1");
        assert_eq!(
            (answer.status, header(&answer, "location")),
            (303, "/_console/"),
            "{}",
            text(&answer)
        );
        header(&answer, "set-cookie").split(';').next().unwrap().to_owned()
    }

    fn see(&self, cookie: &str, target: &str) -> ConsoleAnswer {
        self.ask("GET", target, &[("cookie", cookie)], "")
    }

    /// The number that stands in the forms of that session.
    fn number(&self, cookie: &str) -> String {
        let page = text(&self.see(cookie, "/labs"));
        let at = page.find("name=\"csrf\" value=\"").unwrap() + 19;
        page[at..at + 64].to_owned()
    }
}

#[test]
fn signing_in_makes_a_cookie_for_nobody_else() {
    let world = World::new();
    assert_eq!(header(&world.see("", "/buckets"), "location"), "/_console/sign-in");
    let sign_in = text(&world.see("", "/sign-in"));
    assert!(sign_in.contains("name=\"secret\" type=\"password\""));
    let body = "id=test&secret=test&token=&region=us-east-1";
    let chosen = "cumulet-console-4566=chosen-by-somebody-else";
    let (form, number) = world.form();
    let both = format!("{form}; {chosen}");
    let body = format!("form={number}&{body}");
    let answer = world.ask("POST", "/sign-in", &[ORIGIN, ("cookie", &both)], &body);
    let cookie = header(&answer, "set-cookie");
    assert!(cookie.ends_with("; Path=/_console; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("chosen"), "{cookie}");
    assert_eq!(world.see(chosen, "/labs").status, 303);
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(world.see(cookie, "/labs").status, 200);
    let asked = world.fake.asked.lock();
    assert!(asked[0].1.as_ref().unwrap().contains("Credential=test/"), "{asked:?}");
}

#[test]
fn a_path_of_slashes_takes_no_more_cookies_away_than_any() {
    let world = World::new();
    let twice = "cumulet-console-4566=a; cumulet-console-4566=b";
    for (path, headers_max) in [("/buckets".to_owned(), 10), ("/".repeat(60_000), 10)] {
        let answer = world.see(twice, &path);
        let taken = answer.headers.iter().filter(|(name, _)| *name == "set-cookie").count();
        assert!((1..=headers_max).contains(&taken), "{taken}");
    }
}

#[test]
fn signing_in_is_refused_with_the_reason() {
    let world = World::new();
    let refusal = format!(
        "<E><Error><Code>InvalidClientTokenId</Code><Message>{}</Message></Error></E>",
        NASTY.replace('<', "&lt;")
    );
    world.tell("POST / ", 403, &refusal);
    let answer = world.enter(&format!("id={NASTY}&secret=x&region=us-east-1"));
    assert_eq!(answer.status, 403);
    assert!(!header(&answer, "set-cookie").starts_with("cumulet-console-4566="));
    let page = text(&answer);
    assert!(page.contains("InvalidClientTokenId") && !page.contains("<script>alert"), "{page}");
    for bad in [
        "id=&secret=x&region=us-east-1",
        "id=a&secret=b&region=no+where",
        "id=a%0ab&secret=b&region=us-east-1",
    ] {
        assert_eq!(world.enter(bad).status, 400, "{bad}");
    }
}

/// The cookies that an answer takes away, by their paths.
fn taken(answer: &ConsoleAnswer, name: &str) -> Vec<String> {
    let all = answer.headers.iter().filter(|(own, value)| {
        *own == "set-cookie"
            && value.starts_with(&format!("{name}=;"))
            && value.contains("Max-Age=0")
    });
    all.map(|(_, value)| value.split("Path=").nth(1).unwrap().split(';').next().unwrap().to_owned())
        .collect()
}

/// Whoever can plant a cookie with a longer path does not choose the session, nor shuts the console.
#[test]
fn two_sessions_are_none() {
    let world = World::new();
    let (mine, theirs) = (world.sign_in(), world.sign_in());
    let both = format!("{theirs}; a=b; {mine}");
    let answer = world.see(&both, "/bucket");
    assert_eq!((answer.status, header(&answer, "location")), (303, "/_console/sign-in"));
    let paths = taken(&answer, "cumulet-console-4566");
    for path in ["/", "/_console", "/_console/", "/_console/bucket"] {
        assert!(paths.iter().any(|own| own == path), "{path}: {paths:?}");
    }
    let number = world.number(&mine);
    let own = [ORIGIN, ("cookie", both.as_str())];
    let answer = world.ask("POST", "/bucket/create", &own, &format!("csrf={number}&name=b"));
    assert_eq!(answer.status, 401);
    // The form to sign in is given, and the session that begins with it stays.
    let answer = world.see(&both, "/sign-in");
    assert_eq!(answer.status, 200);
    let (form, number) = world.form();
    let body = format!("form={number}&id=test&secret=test&region=us-east-1");
    let all = format!("{both}; {form}");
    let answer = world.ask("POST", "/sign-in", &[ORIGIN, ("cookie", &all)], &body);
    assert_eq!(answer.status, 303);
    let paths = taken(&answer, "cumulet-console-4566");
    assert!(paths.contains(&"/_console/sign-in".into()) && !paths.contains(&"/_console".into()));
}

#[test]
fn the_form_to_sign_in_is_one_that_was_given() {
    let world = World::new();
    let good = "id=test&secret=test&region=us-east-1";
    let ((one, number), (two, _)) = (world.form(), world.form());
    let numbered = format!("form={number}&{good}");
    let check = |cookies: &str, body: &str, status: u16| {
        let answer = world.ask("POST", "/sign-in", &[ORIGIN, ("cookie", cookies)], body);
        assert_eq!(answer.status, status, "{cookies} {body}");
    };
    check("", good, 403);
    check("", &numbered, 403);
    check(&one, good, 403);
    check(&two, &numbered, 403);
    check("cumulet-console-4566-form=", "form=&id=test&secret=test&region=us-east-1", 403);
    check(&format!("{one}; {two}"), &numbered, 403);
    assert!(world.fake.asked.lock().is_empty());
    check(&one, &numbered, 303);
    // Who is in a session is not put into another one.
    let session = world.sign_in();
    let answer = world.ask(
        "POST",
        "/sign-in",
        &[ORIGIN, ("cookie", &format!("{session}; {one}"))],
        &numbered,
    );
    assert_eq!((answer.status, header(&answer, "set-cookie")), (303, ""));
    assert!(text(&world.see(&session, "/labs")).contains("signed in already"));
}

#[test]
fn an_address_that_no_policy_can_name() {
    let world = World::new();
    let answer = world.ask_at("[::1]:4566", true, "GET", "/bucket?name=a+b%26", &[], "");
    assert_eq!(header(&answer, "location"), "http://localhost:4566/_console/bucket?name=a%20b%26");
    let answer = world.ask_at("[2001:db8::1]:4566", true, "GET", "/sign-in", &[], "");
    let policy = header(&answer, "content-security-policy");
    assert!(policy.contains("script-src 'self';") && !policy.contains('['), "{policy}");
}

#[test]
fn a_region_is_chosen() {
    let world = World::new();
    let cookie = world.sign_in();
    let number = world.number(&cookie);
    world.tell("POST / DynamoDB_20120810.ListTables", 200, r#"{"TableNames":[]}"#);
    assert!(text(&world.see(&cookie, "/tables")).contains("No tables in us-east-1."));
    let own = [ORIGIN, ("cookie", cookie.as_str())];
    let choose = |region: &str| {
        let body = format!("csrf={number}&back=/tables&region={region}");
        let answer = world.ask("POST", "/region", &own, &body);
        assert_eq!(header(&answer, "location"), "/_console/tables");
    };
    choose("eu-west-1");
    let page = text(&world.see(&cookie, "/tables"));
    assert!(
        page.contains("No tables in eu-west-1.") && page.contains("<option selected>eu-west-1")
    );
    choose("no+where");
    assert!(text(&world.see(&cookie, "/tables")).contains("NoSuchRegion"));
    world.tell("POST / DynamoDB_20120810.ListTables", 200, r#"{"TableNames":["t"]}"#);
    choose("us-east-1");
}

#[test]
fn sessions_end() {
    let world = World::new();
    let (one, two) = (world.sign_in(), world.sign_in());
    assert_ne!(one, two);
    let number = world.number(&one);
    let refused =
        world.ask("POST", "/sign-out", &[ORIGIN, ("cookie", &two)], &format!("csrf={number}"));
    assert_eq!(refused.status, 403);
    let gone =
        world.ask("POST", "/sign-out", &[ORIGIN, ("cookie", &one)], &format!("csrf={number}"));
    assert!(header(&gone, "set-cookie").contains("Max-Age=0"));
    assert_eq!((world.see(&one, "/labs").status, world.see(&two, "/labs").status), (303, 200));
    world.clock.advance_ms(31 * 60 * 1000);
    assert_eq!(world.see(&two, "/labs").status, 303);
}

#[test]
fn forms_of_other_pages_are_refused() {
    let world = World::new();
    let cookie = world.sign_in();
    let number = world.number(&cookie);
    let good = format!("csrf={number}&name=photos");
    let own = ("cookie", cookie.as_str());
    let check = |headers: &[(&str, &str)], body: &str, status: u16| {
        let before = world.fake.asked.lock().len();
        let answer = world.ask("POST", "/bucket/create", headers, body);
        assert_eq!(answer.status, status, "{headers:?} {body}: {}", text(&answer));
        assert_eq!(world.fake.asked.lock().len() > before, status == 303, "{headers:?}");
    };
    world.tell("PUT /photos", 200, "");
    check(&[own, ORIGIN], &good, 303);
    check(&[own, ORIGIN, ("sec-fetch-site", "same-origin")], &good, 303);
    check(&[own], &good, 403);
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost:3000",
        "https://localhost:4566",
        "http://localhost:4566.evil",
    ] {
        check(&[own, ("origin", origin)], &good, 403);
    }
    check(&[own, ORIGIN, ("sec-fetch-site", "cross-site")], &good, 403);
    check(&[own, ORIGIN], "name=photos", 403);
    check(&[own, ORIGIN], "csrf=&name=photos", 403);
    check(&[own, ORIGIN], &format!("csrf={}&name=photos", "0".repeat(64)), 403);
    // Without a session, and with the number of another one.
    check(&[ORIGIN], &good, 401);
    let other = world.sign_in();
    check(&[("cookie", &other), ORIGIN], &good, 403);
}

#[test]
fn scripts_of_the_same_origin_are_strangers() {
    let world = World::new();
    let cookie = world.sign_in();
    let own = ("cookie", cookie.as_str());
    for mode in ["cors", "no-cors", "same-origin", "websocket"] {
        let answer = world.ask("GET", "/labs", &[own, ("sec-fetch-mode", mode)], "");
        assert_eq!(answer.status, 403, "{mode}");
        assert!(!text(&answer).contains("csrf"));
    }
    assert_eq!(world.ask("GET", "/labs", &[own, ("sec-fetch-mode", "navigate")], "").status, 200);
    for path in [
        "/requests/live",
        "/map/live",
        "/metrics/live",
        "/container/live?id=a",
        "/object/raw?bucket=b&key=k",
    ] {
        assert_eq!(world.see(&cookie, path).status, 403, "{path}");
    }
    let page = text(&world.see(&cookie, "/metrics"));
    let at = page.find("data-refresh=\"").unwrap() + 14;
    let live = page[at..].split('"').next().unwrap().trim_start_matches("/_console").to_owned();
    assert_eq!(world.see(&cookie, &live).status, 200);
    let other = world.sign_in();
    assert_eq!(world.see(&other, &live).status, 403);
}

#[test]
fn answers_are_fenced() {
    let world = World::new();
    let cookie = world.sign_in();
    let page = world.see(&cookie, "/labs");
    let policy = header(&page, "content-security-policy");
    assert!(
        policy
            .starts_with("default-src 'none'; script-src http://localhost:4566/_console/assets/;"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(header(&page, name), value);
    }
    let all = text(&page);
    assert!(!all.contains("style=") && !all.contains("onclick") && !all.contains("javascript:"));
    assert_eq!(world.see("", "/assets/console.js").status, 200);
    assert_eq!(world.see(&cookie, "/nothing").status, 404);
    assert_eq!(world.ask("PUT", "/labs", &[("cookie", &cookie)], "").status, 405);
}

#[test]
fn secrets_are_asked_for_in_private_only() {
    let world = World::new();
    let answer = world.ask_at("192.168.1.5:4566", false, "GET", "/sign-in", &[], "");
    assert!(text(&answer).contains("https://192.168.1.5:4566/_console/") && answer.status == 403);
    let origin = ("origin", "http://192.168.1.5:4566");
    let answer =
        world.ask_at("192.168.1.5:4566", false, "POST", "/sign-in", &[origin], "id=a&secret=b");
    assert_eq!(answer.status, 403);
    assert!(world.fake.asked.lock().is_empty());
}

/// Whatever anybody wrote anywhere comes out as text.
#[test]
fn texts_of_others_stay_texts() {
    let world = World::new();
    let cookie = world.sign_in();
    let xml = NASTY.replace('&', "&amp;").replace('<', "&lt;");
    let json = smithy::json::quoted(NASTY);
    world.tell(
        "GET /b?",
        200,
        &format!(
            "<L><Contents><Key>{}</Key><Size>1</Size></Contents>\
        <CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes></L>",
            base::percent::encode(NASTY.as_bytes()),
            base::percent::encode(format!("{NASTY}/").as_bytes())
        ),
    );
    world.tell(
        "GET /?max-buckets",
        200,
        &format!("<L><Buckets><Bucket><Name>{xml}</Name></Bucket></Buckets></L>"),
    );
    let event = format!(
        r#"{{"userIdentity":{{"arn":{json}}},"eventTime":{json},"eventName":{json},
        "errorCode":{json},"errorMessage":{json},"sourceIPAddress":{json},"userAgent":{json}}}"#
    );
    world.tell("GET /_cumulet/events", 200, &format!(r#"{{"events":[{event}]}}"#));
    world.tell(
        "GET /_cumulet/docker/containers/json",
        200,
        &format!(
            r#"[{{"Id":{json},"Names":[{json}],"Image":{json},"State":{json},"Status":{json}}}]"#
        ),
    );
    world.tell("GET /_cumulet/docker/containers/x/json", 200, &format!(
        r#"{{"Name":{json},"Config":{{"Image":{json},"Labels":{{{json}:{json}}}}},"State":{{"Status":{json}}}}}"#));
    world.tell("GET /_cumulet/docker/containers/x/logs", 200, &format!("{NASTY}\n"));
    world.tell(
        "GET /_cumulet/docker/images/json",
        200,
        &format!(r#"[{{"Id":{json},"RepoTags":[{json}],"Labels":{{{json}:{json}}}}}]"#),
    );
    world.tell(
        "POST / DynamoDB_20120810.ListTables",
        200,
        &format!(r#"{{"TableNames":[{json}]}}"#),
    );
    world.tell("POST / DynamoDB_20120810.DescribeTable", 200, &format!(
        r#"{{"Table":{{"TableName":{json},"TableStatus":{json},"KeySchema":[{{"AttributeName":{json}}}]}}}}"#));
    world.tell(
        "POST / DynamoDB_20120810.Scan",
        200,
        &format!(r#"{{"Items":[{{{json}:{{"S":{json}}}}}]}}"#),
    );
    world.tell(
        "POST / DynamoDB_20120810.GetItem",
        200,
        &format!(r#"{{"Item":{{{json}:{{"S":{json}}}}}}}"#),
    );
    world.tell("GET /b/k", 200, NASTY);
    world.tell("HEAD /b/k", 200, "");
    let pages = [
        "/",
        "/buckets",
        "/bucket?name=b",
        "/bucket?name=b&versions=1",
        "/requests",
        "/map",
        "/containers",
        "/container?id=x",
        "/images",
        "/tables",
        "/table?name=t",
        "/item?table=t&key={}",
        "/identities",
    ];
    for page in pages {
        let answer = world.see(&cookie, page);
        let shown = text(&answer);
        assert_eq!(answer.status, 200, "{page}: {shown}");
        for bad in ["<script>alert", "<img src=x", "onerror=alert(1)>\""] {
            assert!(!shown.contains(bad), "{page} holds {bad}: {shown}");
        }
        assert!(
            shown.contains("&lt;script&gt;alert(1)")
                || page == "/identities"
                || page.contains("versions"),
            "{page}: {shown}"
        );
    }
    let searched = text(&world.see(
        &cookie,
        &format!("/bucket?name=b&prefix={}", base::percent::encode(NASTY.as_bytes())),
    ));
    assert!(!searched.contains("<script>alert"), "{searched}");
}

#[test]
fn refusals_are_shown_with_their_reason() {
    let world = World::new();
    let cookie = world.sign_in();
    let denied = "<Error><Code>AccessDenied</Code><Message>User: mia is not authorized to perform: s3:ListBucket</Message></Error>";
    world.tell("GET /b?", 403, denied);
    let answer = world.see(&cookie, "/bucket?name=b");
    assert_eq!(answer.status, 403);
    assert!(text(&answer).contains("is not authorized to perform: s3:ListBucket"));
    world.tell("DELETE /b", 403, denied);
    let body = format!("csrf={}&name=b", world.number(&cookie));
    let answer = world.ask("POST", "/bucket/delete", &[("cookie", &cookie), ORIGIN], &body);
    assert_eq!(answer.status, 303);
    assert!(
        text(&world.see(&cookie, "/labs")).contains("AccessDenied: User: mia is not authorized")
    );
    // Said once.
    assert!(!text(&world.see(&cookie, "/labs")).contains("AccessDenied"));
}

#[test]
fn noise_in_requests() {
    let seeds: [&[u8]; 2] = [b"csrf=1&name=x", b"/bucket?name=b&prefix=c"];
    base::noise::run(23, 300, &seeds, &[b"..", b"%00", b"\r\n", b"?"], |data| {
        let world = World::new();
        let cookie = world.sign_in();
        let text_of = String::from_utf8_lossy(data);
        world.see(&cookie, &format!("/{text_of}"));
        world.ask("POST", "/item/put", &[("cookie", &cookie), ORIGIN], &text_of);
        world.ask("GET", "/", &[("cookie", &text_of), ("origin", &text_of)], "");
    });
}
