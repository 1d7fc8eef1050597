//! The way of a browser's request: may this page ask at all, who is signed in, which page is meant.
//!
//! Other pages of the same origin are strangers: a bucket may hold one. So whole pages are given to
//! navigations only and may not be framed or held by whoever opened them, and what a page loads by
//! itself has the session's number in its address.

use crate::call::{Cloud, Refusal, Told};
use crate::form::{Form, Upload};
use crate::html::{ROOT, Url, el, html, url, with};
use crate::layout::{self, Page};
use crate::pages;
use crate::samples::Samples;
use crate::session::{CREDENTIAL_BYTES_MAX, Identity, Person, Session, Sessions, same};
use api::{Body, ConsoleAnswer, ConsoleCall, ConsoleDoor, ConsoleReply, RequestBody};
use base::{Clock, Entropy, Region};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

/// A walkthrough that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Lab {
    pub area: &'static str,
    pub name: &'static str,
    pub text: &'static str,
}

/// All that a console is made of.
pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// Where one looks first.
    pub region: Region,
    /// Whether `test`/`test` is good here.
    pub well_known_pairs: bool,
    pub labs: Vec<Lab>,
    /// What the last run of a lab left: JSON, if there was one.
    pub lab_state: LabStates,
}

/// By the name of the lab.
pub type LabStates = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

pub struct Console {
    pub(crate) parts: Parts,
    pub(crate) samples: Mutex<Samples>,
    sessions: Sessions,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console")
    }
}

/// A request of somebody who is signed in.
pub(crate) struct Visit<'a> {
    pub console: &'a Console,
    pub session: Arc<Session>,
    pub cloud: Cloud,
    query: &'a [(String, String)],
}

impl Visit<'_> {
    /// A parameter; empty if it was not given.
    pub fn get(&self, name: &str) -> &str {
        self.query.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    /// An address that a page of this session loads by itself.
    pub fn loads(&self, page: &'static str) -> Url {
        url(page).with("page", &self.session.page)
    }
}

/// What came of a form: where to go next, and what to say there.
pub(crate) type Acted = Result<(Url, String), (Url, Refusal)>;

type Headers = Vec<(&'static str, String)>;

fn answer(status: u16, headers: Headers, body: impl Into<Bytes>) -> ConsoleAnswer {
    ConsoleAnswer { status, headers, body: Body::Bytes(body.into()) }
}

/// The first headers of everything.
fn common() -> Headers {
    vec![
        ("x-content-type-options", "nosniff".into()),
        ("x-frame-options", "DENY".into()),
        ("referrer-policy", "same-origin".into()),
        ("cross-origin-opener-policy", "same-origin".into()),
        ("cross-origin-resource-policy", "same-origin".into()),
        (
            "permissions-policy",
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()".into(),
        ),
    ]
}

fn origin(call: &ConsoleCall<'_>) -> String {
    format!("{}://{}", if call.secure { "https" } else { "http" }, call.host)
}

/// A page. Scripts and styles come from our own folder only: a bucket of this origin may hold others.
fn page(call: &ConsoleCall<'_>, status: u16, text: String) -> ConsoleAnswer {
    let own = format!("{}{ROOT}", origin(call));
    let policy = format!(
        "default-src 'none'; script-src {own}/assets/; style-src {own}/assets/; \
         img-src {own}/; connect-src {own}/; form-action {own}/; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let mut headers = common();
    headers.push(("content-type", "text/html; charset=utf-8".into()));
    headers.push(("content-security-policy", policy));
    headers.push(("cache-control", "no-store".into()));
    answer(status, headers, text)
}

fn go(to: &Url) -> ConsoleAnswer {
    let mut headers = common();
    headers.push(("location", to.as_str().to_owned()));
    headers.push(("cache-control", "no-store".into()));
    ConsoleAnswer { status: 303, headers, body: Body::Empty }
}

/// Bytes that a page loads: never a document with rights of ours.
pub(crate) fn loaded(content_type: &str, body: Body) -> ConsoleAnswer {
    let mut headers = common();
    headers.push(("content-type", content_type.to_owned()));
    headers.push(("content-security-policy", "default-src 'none'; sandbox".into()));
    headers.push(("cache-control", "no-store".into()));
    ConsoleAnswer { status: 200, headers, body }
}

fn problem(call: &ConsoleCall<'_>, refusal: &Refusal) -> ConsoleAnswer {
    let body = (
        el("h1").put("This was refused"),
        layout::refused(refusal),
        el("p").put(crate::html::link(&url("/"), "To the console")),
    );
    page(call, refusal.status, layout::bare("Refused", body))
}

fn file(path: &str) -> Option<ConsoleAnswer> {
    let (kind, text) = match path {
        "/assets/console.css" => ("text/css; charset=utf-8", layout::STYLE),
        "/assets/console.js" => ("text/javascript; charset=utf-8", layout::SCRIPT),
        "/assets/icon.svg" => ("image/svg+xml", layout::ICON),
        _ => return None,
    };
    let mut headers = common();
    headers.push(("content-type", kind.into()));
    headers.push(("content-security-policy", "default-src 'none'; sandbox".into()));
    headers.push(("cache-control", "max-age=31536000, immutable".into()));
    Some(answer(200, headers, Bytes::from_static(text.as_bytes())))
}

/// The name of the cookie holds the port: a browser gives cookies of one port to all of them.
fn cookie_name(host: &str) -> String {
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let digits: String = port.chars().filter(char::is_ascii_digit).collect();
    format!("cumulet-console-{digits}")
}

fn cookie<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    header.split(';').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn set_cookie(call: &ConsoleCall<'_>, id: &str) -> (&'static str, String) {
    let secure = if call.secure { "; Secure" } else { "" };
    let ends = if id.is_empty() { "; Max-Age=0" } else { "" };
    let name = cookie_name(call.host);
    ("set-cookie", format!("{name}={id}; Path={ROOT}; HttpOnly; SameSite=Strict{secure}{ends}"))
}

/// Whether a page of ours sent the form.
fn check_origin(call: &ConsoleCall<'_>) -> Told<()> {
    let given = (call.header)("origin");
    let site = (call.header)("sec-fetch-site");
    let same_site = site.as_deref().is_none_or(|site| site == "same-origin");
    if given.as_deref() == Some(&*origin(call)) && same_site {
        return Ok(());
    }
    let text = "The form comes from a page of another origin, or does not say from which.";
    Err(Refusal::new(403, "ForeignOrigin", text))
}

/// Whether a browser asks for a whole page because a person wants to see it. A script of another page
/// of this origin cannot say so.
fn check_navigation(call: &ConsoleCall<'_>) -> Told<()> {
    match (call.header)("sec-fetch-mode").as_deref() {
        None | Some("navigate") => Ok(()),
        Some(_) => {
            Err(Refusal::new(403, "NotANavigation", "Pages of the console are not for scripts."))
        }
    }
}

/// What a page loads by itself names the page's number, which only pages of the session know.
fn check_loaded(call: &ConsoleCall<'_>, visit: &Visit<'_>) -> Told<()> {
    let site = (call.header)("sec-fetch-site");
    let near = site.as_deref().is_none_or(|site| matches!(site, "same-origin" | "none"));
    match near && same(visit.get("page"), &visit.session.page) {
        true => Ok(()),
        false => Err(Refusal::new(403, "ForeignPage", "Only pages of this session may load this.")),
    }
}

fn check_number(session: &Session, given: &str) -> Told<()> {
    if same(given, &session.csrf) {
        return Ok(());
    }
    let text = "The form is not of this session, or older than it. Go back, load the page again, and send it anew.";
    Err(Refusal::new(403, "StaleForm", text))
}

impl ConsoleDoor for Console {
    fn answer<'a>(&'a self, call: ConsoleCall<'a>, body: RequestBody) -> ConsoleReply<'a> {
        Box::pin(async move {
            match self.route(&call, body).await {
                Ok(answer) => answer,
                Err(refusal) => problem(&call, &refusal),
            }
        })
    }
}

impl Console {
    pub fn new(parts: Parts) -> Console {
        Console { parts, samples: Mutex::default(), sessions: Sessions::default() }
    }

    /// Takes down what is counted now; `metrics` as `/metrics` has it.
    pub fn sample(&self, metrics: &str) {
        let at = self.parts.clock.wall();
        self.samples.lock().add(at, self.now_ns(), metrics);
    }

    fn now_ns(&self) -> u64 {
        self.parts.clock.monotonic_ns()
    }

    async fn route(&self, call: &ConsoleCall<'_>, body: RequestBody) -> Told<ConsoleAnswer> {
        let path = call.path.strip_prefix(ROOT).unwrap_or_default();
        if let Some(file) = file(path) {
            return Ok(file);
        }
        if !call.is_private {
            return self.not_private(call);
        }
        let head = (call.header)("cookie").unwrap_or_default();
        let id = cookie(&head, &cookie_name(call.host)).unwrap_or_default();
        let session = self.sessions.find(id, self.now_ns());
        match (call.method, path, session) {
            ("GET" | "HEAD", "", _) => Ok(go(&url("/"))),
            ("GET" | "HEAD", "/sign-in", Some(_)) => Ok(go(&url("/"))),
            ("GET" | "HEAD", "/sign-in", None) => {
                check_navigation(call)?;
                Ok(page(call, 200, pages::sign_in::view(self, "", None)))
            }
            ("POST", "/sign-in", _) => self.sign_in(call, id, body).await,
            ("GET" | "HEAD", path, None) if !path.contains("live") => {
                check_navigation(call)?;
                Ok(go(&url("/sign-in")))
            }
            (_, _, None) => {
                check_origin(call)?;
                let text = "Nobody is signed in here, or the session has ended.";
                Err(Refusal::new(401, "NotSignedIn", text))
            }
            ("GET" | "HEAD", path, Some(session)) => {
                let visit = self.visit(call, session);
                self.see(call, path, visit).await
            }
            ("POST", "/sign-out", Some(session)) => {
                check_origin(call)?;
                check_number(&session, Form::read(body).await?.get("csrf"))?;
                self.sessions.end(id);
                let mut gone = go(&url("/sign-in"));
                gone.headers.push(set_cookie(call, ""));
                Ok(gone)
            }
            ("POST", path, Some(session)) => {
                check_origin(call)?;
                let visit = self.visit(call, session);
                self.change(call, path, &visit, body).await
            }
            _ => Err(Refusal::new(405, "MethodNotAllowed", "Pages are read, and forms are sent.")),
        }
    }

    /// Plain HTTP from another machine: everybody on the way could read the secret.
    fn not_private(&self, call: &ConsoleCall<'_>) -> Told<ConsoleAnswer> {
        if call.method != "GET" {
            let text = "The console answers over TLS, or on the machine itself.";
            return Err(Refusal::new(403, "NotPrivate", text));
        }
        let to = format!("https://{}{ROOT}/", call.host);
        let body = (
            el("h1").put("Over TLS, please"),
            el("p").put("Here you would send a secret that everybody on the way could read. The same port answers TLS:"),
            el("p").put(el("code").put(&to)),
            with("p", "hint", "Its certificate is of this cloud's own authority; `cumulet trust` makes a machine trust it."),
        );
        Ok(page(call, 403, layout::bare("Over TLS, please", body)))
    }

    fn visit<'a>(&'a self, call: &ConsoleCall<'a>, session: Arc<Session>) -> Visit<'a> {
        let cloud = self.cloud(call, session.person.clone(), session.region.clone());
        Visit { console: self, session, cloud, query: call.query }
    }

    fn cloud(&self, call: &ConsoleCall<'_>, person: Person, region: String) -> Cloud {
        let inside = call.inside.clone();
        Cloud { inside, person, region, host: call.host.to_owned(), now: self.parts.clock.wall() }
    }

    async fn sign_in(
        &self,
        call: &ConsoleCall<'_>,
        old: &str,
        body: RequestBody,
    ) -> Told<ConsoleAnswer> {
        check_origin(call)?;
        let form = Form::read(body).await?;
        let text = |name| form.get(name).trim().to_owned();
        let token = Some(text("token")).filter(|token| !token.is_empty());
        let person = Person { id: text("id"), secret: text("secret"), token };
        let long = [&person.id, &person.secret, person.token.as_ref().unwrap_or(&String::new())]
            .iter()
            .any(|text| text.len() > CREDENTIAL_BYTES_MAX || text.chars().any(char::is_control));
        let region = Region::parse(form.get("region").trim());
        let again = |status, refusal: Refusal| {
            page(call, status, pages::sign_in::view(self, form.get("id"), Some(&refusal)))
        };
        let Some(region) = region.filter(|_| !long && !person.id.is_empty()) else {
            let text = "An access key, its secret and the name of a region are needed.";
            return Ok(again(400, Refusal::new(400, "Incomplete", text)));
        };
        let cloud = self.cloud(call, person.clone(), region.as_str().to_owned());
        let found = cloud.query("sts", "2011-06-15", "GetCallerIdentity", &[]).await;
        let found = match found {
            Ok(found) => found,
            Err(refusal) => return Ok(again(403, refusal)),
        };
        let identity = Identity {
            arn: found.text("Arn").to_owned(),
            account: found.text("Account").to_owned(),
        };
        self.sessions.end(old);
        let (entropy, region) = (&*self.parts.entropy, region.as_str().to_owned());
        let id = self.sessions.begin(person, identity, region, entropy, self.now_ns());
        let mut gone = go(&url("/"));
        gone.headers.push(set_cookie(call, &id));
        Ok(gone)
    }

    /// A page, or what a page loads.
    async fn see(
        &self,
        call: &ConsoleCall<'_>,
        path: &str,
        visit: Visit<'_>,
    ) -> Told<ConsoleAnswer> {
        match path {
            "/object/raw" | "/requests/live" | "/map/live" | "/container/live"
            | "/metrics/live" => check_loaded(call, &visit)?,
            _ => check_navigation(call)?,
        }
        let visit = &visit;
        let shown = match path {
            "/object/raw" => return pages::object::raw(visit).await,
            "/object/download" => return pages::object::download(visit).await,
            "/requests/live" => return pages::requests::live(visit).await,
            "/map/live" => return pages::map::live(visit).await,
            "/container/live" => return pages::container::live(visit).await,
            "/metrics/live" => return Ok(pages::metrics::live(visit)),
            "/" => pages::home::show(visit).await,
            "/buckets" => pages::buckets::show(visit).await,
            "/bucket" => pages::bucket::show(visit).await,
            "/object" => pages::object::show(visit).await,
            "/tables" => pages::tables::show(visit).await,
            "/table" => pages::table::show(visit).await,
            "/item" => pages::item::show(visit).await,
            "/identities" => pages::identities::show(visit).await,
            "/user" => pages::identity::user(visit).await,
            "/role" => pages::identity::role(visit).await,
            "/policy" => pages::identity::policy(visit).await,
            "/containers" => pages::containers::show(visit).await,
            "/container" => pages::container::show(visit).await,
            "/images" => pages::containers::images(visit).await,
            "/requests" => pages::requests::show(visit).await,
            "/map" => pages::map::show(visit).await,
            "/metrics" => Ok(pages::metrics::show(visit)),
            "/labs" => Ok(pages::labs::show(visit)),
            "/lab" => pages::labs::lab(visit),
            _ => Err(Refusal::new(404, "NoSuchPage", "There is no such page.")),
        };
        let shown = shown.unwrap_or_else(|refusal| Page {
            title: refusal.code.clone(),
            place: layout::place_of(path),
            status: refusal.status,
            body: html((layout::title("This could not be shown", ()), layout::refused(&refusal))),
        });
        Ok(page(call, shown.status, layout::framed(&shown, &visit.session)))
    }

    /// A form that was sent.
    async fn change(
        &self,
        call: &ConsoleCall<'_>,
        path: &str,
        visit: &Visit<'_>,
        body: RequestBody,
    ) -> Told<ConsoleAnswer> {
        let acted = if path == "/object/upload" {
            let kind = (call.header)("content-type").unwrap_or_default();
            let upload = Upload::read(&kind, body).await?;
            check_number(&visit.session, upload.fields.get("csrf"))?;
            pages::bucket::upload(visit, upload).await
        } else {
            let form = Form::read(body).await?;
            check_number(&visit.session, form.get("csrf"))?;
            match path {
                "/bucket/create" => pages::buckets::create(visit, &form).await,
                "/bucket/delete" => pages::bucket::delete(visit, &form).await,
                "/bucket/versioning" => pages::bucket::versioning(visit, &form).await,
                "/object/delete" => pages::object::delete(visit, &form).await,
                "/object/tags" => pages::object::tags(visit, &form).await,
                "/object/metadata" => pages::object::metadata(visit, &form).await,
                "/table/create" => pages::tables::create(visit, &form).await,
                "/item/delete" => pages::item::delete(visit, &form).await,
                "/item/put" => match pages::item::put(visit, &form).await {
                    Ok(acted) => Ok(acted),
                    // What was typed is not lost.
                    Err(shown) => {
                        let text = layout::framed(&shown, &visit.session);
                        return Ok(page(call, shown.status, text));
                    }
                },
                "/container/act" => pages::container::act(visit, &form).await,
                _ => return Err(Refusal::new(404, "NoSuchPage", "There is no such form.")),
            }
        };
        let to = match acted {
            Ok((to, said)) => {
                visit.session.say(true, said);
                to
            }
            Err((to, refusal)) => {
                let text = format!("{}: {}", refusal.code, refusal.message);
                visit.session.say(false, text);
                to
            }
        };
        Ok(go(&to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies() {
        assert_eq!(cookie_name("localhost:4566"), "cumulet-console-4566");
        assert_eq!(cookie_name("[::1]:80"), "cumulet-console-80");
        assert_eq!(cookie("a=b; cumulet-console-4566=x; c=d", "cumulet-console-4566"), Some("x"));
        assert_eq!(cookie("cumulet-console-45661=x", "cumulet-console-4566"), None);
        assert_eq!(cookie("", "cumulet-console-4566"), None);
    }
}
