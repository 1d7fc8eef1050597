//! The way of a browser's request: may this page ask at all, who is signed in, which page is meant.
//!
//! Other pages of the same origin are strangers: a bucket may hold one. So whole pages are given to
//! navigations only and may not be framed or held by whoever opened them, and what a page loads by
//! itself has the session's number in its address.

use crate::call::{Cloud, Refusal, Told};
use crate::cookies;
use crate::form::{Form, Upload};
use crate::html::{ROOT, Url, el, html, url, with};
use crate::layout::{self, Page};
use crate::pages;
use crate::samples::Samples;
use crate::session::{CREDENTIAL_BYTES_MAX, Identity, Person, Session, Sessions, number, same};
use api::{Body, ConsoleAnswer, ConsoleCall, ConsoleDoor, ConsoleReply, RequestBody};
use base::{Clock, Entropy, Region, hex, percent};
use bytes::Bytes;
use parking_lot::Mutex;
use std::net::Ipv6Addr;
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
    /// Those that one may choose from; any other can be named when signing in.
    pub regions: Vec<&'static str>,
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
    /// Makes the number of a form to sign in out of its cookie.
    form_key: [u8; 32],
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
    /// The last event that the browser has, where it comes back for more.
    pub last_event: String,
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
    origin_at(call, call.host)
}

fn origin_at(call: &ConsoleCall<'_>, host: &str) -> String {
    format!("{}://{host}", if call.secure { "https" } else { "http" })
}

fn is_v6(host: &str) -> bool {
    host.starts_with('[')
}

/// The same page at `localhost`, for who came by `[::1]`: a policy that names our folder of scripts can
/// be given to that name only.
fn by_name(call: &ConsoleCall<'_>) -> Option<ConsoleAnswer> {
    let (address, port) = call.host.strip_prefix('[')?.split_once(']')?;
    if call.method != "GET" || !address.parse::<Ipv6Addr>().is_ok_and(|own| own.is_loopback()) {
        return None;
    }
    let one = |(name, value): &(String, String)| {
        format!("{}={}", percent::encode(name.as_bytes()), percent::encode(value.as_bytes()))
    };
    let query = call.query.iter().map(one).collect::<Vec<_>>().join("&");
    let query = if query.is_empty() { query } else { format!("?{query}") };
    let there = origin_at(call, &format!("localhost{port}"));
    let mut headers = common();
    headers.push(("location", format!("{there}{}{query}", call.path)));
    headers.push(("cache-control", "no-store".into()));
    Some(ConsoleAnswer { status: 307, headers, body: Body::Empty })
}

/// A page. Scripts and styles come from our own folder only: a bucket of this origin may hold others.
fn page(call: &ConsoleCall<'_>, status: u16, text: String) -> ConsoleAnswer {
    let (own, assets) = match is_v6(call.host) {
        // No source of a policy can be written with such an address.
        true => ("'self'".to_owned(), "'self'".to_owned()),
        false => (format!("{}{ROOT}/", origin(call)), format!("{}{ROOT}/assets/", origin(call))),
    };
    let policy = format!(
        "default-src 'none'; script-src {assets}; style-src {assets}; img-src {own}; \
         connect-src {own}; form-action {own}; base-uri 'none'; frame-ancestors 'none'"
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

fn not_done() -> Refusal {
    Refusal::new(405, "MethodNotAllowed", "Pages are read, and forms are sent.")
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
        let mut form_key = [0; 32];
        parts.entropy.fill(&mut form_key);
        Console { parts, samples: Mutex::default(), sessions: Sessions::default(), form_key }
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
        if let Some(elsewhere) = by_name(call) {
            return Ok(elsewhere);
        }
        let head = (call.header)("cookie").unwrap_or_default();
        let name = cookies::session(call.host);
        let Ok(id) = cookies::value(&head, &name) else {
            let mut answer =
                self.nobody(call, path, body).await.unwrap_or_else(|e| problem(call, &e));
            // The one of a session that has just begun stays.
            let begun =
                answer.headers.iter().any(|(_, value)| value.starts_with(&format!("{name}=")));
            answer.headers.extend(match begun {
                true => cookies::forget_others(call, &name, ROOT),
                false => cookies::forget(call, &name),
            });
            return Ok(answer);
        };
        let Some(session) = self.sessions.find(id, self.now_ns()) else {
            return self.nobody(call, path, body).await;
        };
        match (call.method, path) {
            ("GET" | "HEAD", "" | "/sign-in") => Ok(go(&url("/"))),
            ("GET" | "HEAD", path) => {
                let visit = self.visit(call, session);
                self.see(call, path, visit).await
            }
            // A page of somebody else's might have sent it, to put this person into another session.
            ("POST", "/sign-in") => {
                check_origin(call)?;
                session
                    .say(false, "You are signed in already. Sign out first to be somebody else.");
                Ok(go(&url("/")))
            }
            ("POST", "/sign-out") => {
                check_origin(call)?;
                check_number(&session, Form::read(body).await?.get("csrf"))?;
                self.sessions.end(id);
                let mut gone = go(&url("/sign-in"));
                gone.headers.push(cookies::set(call, &name, "", ROOT));
                Ok(gone)
            }
            ("POST", path) => {
                check_origin(call)?;
                let visit = self.visit(call, session);
                self.change(call, path, &visit, body).await
            }
            _ => Err(not_done()),
        }
    }

    /// Without a session.
    async fn nobody(
        &self,
        call: &ConsoleCall<'_>,
        path: &str,
        body: RequestBody,
    ) -> Told<ConsoleAnswer> {
        match (call.method, path) {
            ("GET" | "HEAD", "") => Ok(go(&url("/"))),
            ("GET" | "HEAD", "/sign-in") => {
                check_navigation(call)?;
                Ok(self.form_to_sign_in(call, 200, "", None))
            }
            ("POST", "/sign-in") => self.sign_in(call, body).await,
            ("GET" | "HEAD", path) if !path.contains("live") => {
                check_navigation(call)?;
                Ok(go(&url("/sign-in")))
            }
            _ => {
                check_origin(call)?;
                let text = "Nobody is signed in here, or the session has ended.";
                Err(Refusal::new(401, "NotSignedIn", text))
            }
        }
    }

    /// The number of the form that belongs to this cookie.
    fn form_number(&self, cookie: &str) -> String {
        hex::encode(&sigv4::sha256(&[&self.form_key, cookie.as_bytes()].concat()))
    }

    /// A form with a number and a cookie that belong together, so that nobody else's page can sign
    /// somebody in.
    fn form_to_sign_in(
        &self,
        call: &ConsoleCall<'_>,
        status: u16,
        id: &str,
        refusal: Option<&Refusal>,
    ) -> ConsoleAnswer {
        let head = (call.header)("cookie").unwrap_or_default();
        let name = cookies::sign_in(call.host);
        let ours = |value: &&str| value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
        // Another tab may have the form open.
        let (value, others) = match cookies::value(&head, &name) {
            Ok(value) => (Some(value).filter(ours).map(str::to_owned), Vec::new()),
            Err(cookies::Doubled) => (None, cookies::forget_others(call, &name, cookies::SIGN_IN)),
        };
        let value = value.unwrap_or_else(|| number(&*self.parts.entropy));
        let shown = pages::sign_in::view(self, &self.form_number(&value), id, refusal);
        let mut answer = page(call, status, shown);
        answer.headers.push(cookies::set(call, &name, &value, cookies::SIGN_IN));
        answer.headers.extend(others);
        answer
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
        let cloud = self.cloud(call, session.person.clone(), session.region());
        let last_event = (call.header)("last-event-id").unwrap_or_default();
        Visit { console: self, session, cloud, query: call.query, last_event }
    }

    fn cloud(&self, call: &ConsoleCall<'_>, person: Person, region: String) -> Cloud {
        let inside = call.inside.clone();
        Cloud { inside, person, region, host: call.host.to_owned(), now: self.parts.clock.wall() }
    }

    async fn sign_in(&self, call: &ConsoleCall<'_>, body: RequestBody) -> Told<ConsoleAnswer> {
        check_origin(call)?;
        let form = Form::read(body).await?;
        let again = |status, refusal: Refusal| {
            self.form_to_sign_in(call, status, form.get("id"), Some(&refusal))
        };
        let head = (call.header)("cookie").unwrap_or_default();
        let given = cookies::value(&head, &cookies::sign_in(call.host)).unwrap_or_default();
        if given.is_empty() || !same(form.get("form"), &self.form_number(given)) {
            let text = "This form was not given to this browser, or is too old. Please sign in with this one.";
            return Ok(again(403, Refusal::new(403, "StaleForm", text)));
        }
        let text = |name| form.get(name).trim().to_owned();
        let token = Some(text("token")).filter(|token| !token.is_empty());
        let person = Person { id: text("id"), secret: text("secret"), token };
        let long = [&person.id, &person.secret, person.token.as_ref().unwrap_or(&String::new())]
            .iter()
            .any(|text| text.len() > CREDENTIAL_BYTES_MAX || text.chars().any(char::is_control));
        let region = Region::parse(form.get("region").trim());
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
        let (entropy, region) = (&*self.parts.entropy, region.as_str().to_owned());
        let id = self.sessions.begin(person, identity, region, entropy, self.now_ns());
        let mut gone = go(&url("/"));
        gone.headers.push(cookies::set(call, &cookies::session(call.host), &id, ROOT));
        gone.headers.push(cookies::set(call, &cookies::sign_in(call.host), "", cookies::SIGN_IN));
        Ok(gone)
    }

    fn framed(&self, shown: &Page, session: &Session) -> String {
        layout::framed(shown, session, &self.parts.regions)
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
        Ok(page(call, shown.status, self.framed(&shown, &visit.session)))
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
                "/region" => pages::regions::choose(visit, &form),
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
                        let text = self.framed(&shown, &visit.session);
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
