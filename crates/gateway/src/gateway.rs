//! One request from head to answer, without sockets or a runtime: the listener drives it, and so does
//! the simulator.

use crate::access::LocalRules;
use crate::accesses::Accesses;
use crate::admin;
use crate::audit::{Audit, Event, Failure};
use crate::authenticate::{Received, Signed};
use crate::cors;
use crate::encode::{self, Ids, Response};
use crate::faults::{Faults, Partitions, Struck, Timer};
use crate::form;
use crate::guard::{self, Guard};
use crate::head::{Head, Hoisted};
use crate::host::HostStyle;
use crate::identify::{Directory, Entry, Prepared, Target};
use crate::keys::{Keys, RootKey};
use crate::metrics::Totals;
use crate::pages;
use crate::payload::{Checked, RequestStream, Room, Share, refusal};
use crate::refuse;
use crate::reset::Leftovers;
use crate::secret;
use crate::selected;
use crate::uses::Uses;
use api::{
    AccessPoint, Allowed, AsyncCx, Background, Caller, CrossOrigin, Cx, CxParts, Error, HttpInfo,
    Identities, Reply, RequestBody, Service, Tls, Touched,
};
use base::limits::REQUEST_BODY_BYTES_MAX;
use base::{Clock, Entropy, Region, ShiftedClock};
use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use sigv4::{AuthError, Cause, Place, Presented};
use smithy::model::{Kind, Operation, Protocol, Served};
use smithy::{Routed, Struct};
use std::borrow::Cow;
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;
use store::{Jobs, Store};

/// Of a path, in the trail.
const PATH_BYTES_MAX: usize = 1024;

/// Of a body that an operation takes before anybody was asked whether it may, if it does not ask first.
const SHORT_BODY_BYTES_MAX: u64 = 16 << 10;

/// Bodies that are decoded as a whole, all together while they arrive.
const ARRIVING_BYTES_MAX: u64 = 256 << 20;

/// All that a gateway is made of.
pub struct GatewayParts {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub services: Vec<Arc<dyn Service>>,
    pub identities: Arc<dyn Identities>,
    pub access: AccessRules,
}

/// Who may do what before any policy is asked.
#[derive(Clone, Debug)]
pub struct AccessRules {
    /// Whether `test`/`test` and 12-digit key ids are good on this machine.
    pub well_known_pairs: bool,
    /// Whether they are good from anywhere: for a cloud that is thrown away.
    pub open: bool,
    pub root_keys: Vec<RootKey>,
    /// Origins of web pages that may act with well-known pairs.
    pub allowed_origins: Vec<String>,
    /// Further names of this cloud.
    pub host_names: Vec<String>,
    /// Where requests go that name no region.
    pub region: Region,
}

impl Default for AccessRules {
    fn default() -> AccessRules {
        AccessRules {
            well_known_pairs: true,
            open: false,
            root_keys: Vec::new(),
            allowed_origins: Vec::new(),
            host_names: Vec::new(),
            region: Region::us_east_1(),
        }
    }
}

/// Pages that the owner of the gateway answers: what other programs' users look for. Anybody may read
/// them, so they tell nothing that is anybody's.
pub trait Pages: Send + Sync {
    /// The status and a text in JSON, if there is such a page.
    fn page(&self, path: &str) -> Option<(u16, String)>;
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: IpAddr,
    pub tls: Option<Tls>,
}

impl Peer {
    pub(crate) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }
}

pub struct Gateway {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) local: LocalRules,
    pub(crate) totals: Totals,
    /// For bodies that are decoded as a whole.
    pub(crate) room: Room,
    pub(crate) uses: Uses,
    pub(crate) accesses: Arc<Accesses>,
    pub(crate) jobs: Jobs,
    /// The place of a service for the administrators' pages.
    pub(crate) admin: Entry,
    pub(crate) region: Region,
    pub(crate) strict: bool,
    pub(crate) further_pages: Option<Arc<dyn Pages>>,
    /// The clock, where it may be moved.
    pub(crate) movable: Option<Arc<ShiftedClock>>,
    /// What is below `/v2/`.
    pub(crate) registry: Option<Arc<dyn api::RegistryDoor>>,
    /// What is below `/_console`.
    pub(crate) console: Option<Arc<dyn api::ConsoleDoor>>,
    /// What is below `/_cumulet/docker/`, once it runs.
    pub(crate) engine: OnceLock<Arc<dyn api::EngineDoor>>,
    /// Itself, for what outlives a request: see [`Gateway::shared`].
    pub(crate) own: Weak<Gateway>,
    /// Answers that do not end by themselves.
    pub(crate) following: AtomicU64,
    /// Whether they should.
    pub(crate) closing: AtomicBool,
    pub(crate) faults: Faults,
    pub(crate) timer: Option<Arc<dyn Timer>>,
    pub(crate) leftovers: OnceLock<Arc<dyn Leftovers>>,
    pub(crate) partitions: OnceLock<Arc<dyn Partitions>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

/// What became known about a request, for the answer to an error and for the records.
#[derive(Default)]
pub(crate) struct Seen<'g> {
    pub entry: Option<&'g Entry>,
    pub protocol: Option<Protocol>,
    pub operation: Option<&'static Operation>,
    pub caller: Option<Arc<Caller>>,
    pub region: Option<Region>,
    /// What the first permission is about, where the path does not say it.
    pub resource: Option<String>,
    /// By what it was allowed, where it was not root's own right.
    pub allowed: Option<Arc<Allowed>>,
    pub ids: Option<Ids>,
    /// What the answer tells the browser of a page of another origin.
    pub for_page: cors::Headers,
    /// The audit record stands in the store, or none is due.
    pub recorded: bool,
    /// Code and text of an error that was answered with a page of its own.
    pub failed: Option<Failure>,
    /// For the logs of buckets: what was noted, whether a list had to allow it, the error's code.
    pub touched: Touched,
    pub by_list: bool,
    pub error_code: Option<String>,
    /// Through which a request came to a bucket.
    pub access_point: Option<Arc<AccessPoint>>,
    /// What its body takes.
    pub share: Option<Share<'g>>,
}

/// Counted until it is dropped: a client that goes away takes its request along in the middle.
pub(crate) struct UnderWay<'c>(&'c AtomicU64);

impl<'c> UnderWay<'c> {
    pub fn begin(counter: &'c AtomicU64) -> UnderWay<'c> {
        counter.fetch_add(1, Relaxed);
        UnderWay(counter)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Gateway {
    pub fn new(parts: GatewayParts) -> Result<Gateway, Error> {
        let GatewayParts { store, clock, entropy, services, identities, access } = parts;
        let token_key = secret::token_key(&store, &*entropy)?;
        let guard = Arc::new_cyclic(|own| Guard {
            directory: Directory::new(services, access.host_names.clone()),
            keys: Keys::new(identities, access.well_known_pairs, access.root_keys),
            audit: Audit::default(),
            token_key,
            own: own.clone(),
        });
        let mut jobs = Jobs::new(store.clone());
        let (own_clock, own_entropy) = (clock.clone(), entropy.clone());
        let with = Background {
            entropy: own_entropy,
            clock: own_clock,
            door: guard.clone(),
            store: store.clone(),
        };
        for entry in guard.directory.entries() {
            entry.service.hooks().jobs(&mut jobs, &with);
        }
        let faults = Faults::read(&store)?;
        Ok(Gateway {
            store,
            clock,
            entropy,
            guard,
            jobs,
            local: LocalRules {
                origins: access.allowed_origins,
                host_names: access.host_names,
                open: access.open,
            },
            further_pages: None,
            totals: Totals::default(),
            room: Room::new(ARRIVING_BYTES_MAX),
            uses: Uses::default(),
            accesses: Arc::default(),
            admin: admin::entry(),
            region: access.region,
            strict: !access.well_known_pairs,
            movable: None,
            registry: None,
            console: None,
            engine: OnceLock::new(),
            own: Weak::new(),
            following: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            faults,
            timer: None,
            leftovers: OnceLock::new(),
            partitions: OnceLock::new(),
        })
    }

    /// The gateway for all who share it; with it, answers may outlive their requests.
    pub fn shared(self) -> Arc<Gateway> {
        Arc::new_cyclic(|own| Gateway { own: own.clone(), ..self })
    }

    /// Answers further pages.
    pub fn with_pages(mut self, pages: Arc<dyn Pages>) -> Gateway {
        self.further_pages = Some(pages);
        self
    }

    /// The services that are there, by the names that endpoints have.
    pub fn services(&self) -> Vec<&'static str> {
        let there = |entry: &&Entry| entry.service.hooks().is_there();
        self.guard.directory.entries().iter().filter(there).map(|entry| entry.model.name).collect()
    }

    /// The audit trail.
    pub fn audit(&self) -> &Audit {
        &self.guard.audit
    }

    /// What the services have still to do; whoever owns the gateway drives them.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The clock's, for whoever drives the jobs.
    pub fn monotonic_ns(&self) -> u64 {
        self.clock.monotonic_ns()
    }

    /// Requests that are being answered.
    pub fn in_flight(&self) -> u64 {
        self.totals.in_flight.load(Relaxed)
    }

    /// Answers a request. Never fails: what goes wrong is an answer too.
    pub async fn handle(&self, peer: Peer, request: http::Request<RequestStream>) -> Response {
        let began_ns = self.clock.monotonic_ns();
        let (parts, body) = request.into_parts();
        let span = match tracing::enabled!(tracing::Level::INFO) {
            true => tracing::info_span!("request", method = %parts.method, path = parts.uri.path()),
            false => tracing::Span::none(),
        };
        let mut seen = Seen::default();
        let under_way = UnderWay::begin(&self.totals.in_flight);
        let answer = {
            let mut answer = pin!(self.answer(&peer, &parts, body, &mut seen));
            poll_fn(|cx| self.guarded(&span, || answer.as_mut().poll(cx))).await
        };
        drop(under_way);
        let _entered = span.enter();
        self.finish(&peer, parts, answer, seen, began_ns)
    }

    /// The answer to a head that the server could not read.
    pub(crate) fn unreadable(&self, status: u16) -> Vec<u8> {
        self.totals.unrouted.fetch_add(1, Relaxed);
        encode::unreadable(status, Ids::new(&*self.entropy, false), &*self.clock)
    }

    /// A step of a request, in its span. A panic is a bug of ours; it costs this one request and
    /// nothing else.
    fn guarded(
        &self,
        span: &tracing::Span,
        step: impl FnOnce() -> Poll<Result<Response, Error>>,
    ) -> Poll<Result<Response, Error>> {
        let _entered = span.enter();
        catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
            self.totals.panics.fetch_add(1, Relaxed);
            Poll::Ready(Err(Error::internal("a panic, reported above")))
        })
    }

    /// The way of a request, in order.
    async fn answer<'g>(
        &'g self,
        peer: &Peer,
        parts: &Parts,
        body: RequestStream,
        seen: &mut Seen<'g>,
    ) -> Result<Response, Error> {
        let head = Head::read(parts)?;
        if head.path.starts_with(pages::PREFIX) {
            return Box::pin(self.admin_page(peer, &head, seen)).await;
        }
        if let Some(page) = self.own_page(&head, seen) {
            return Ok(page);
        }
        if self.is_for_console(&head) {
            return Box::pin(self.console_page(peer, &head, body, seen)).await;
        }
        if self.is_for_registry(&head) {
            return Box::pin(self.registry_page(peer, &head, body, seen)).await;
        }
        let presented = sigv4::presented(&head.signed());
        let scope = presented.as_ref().ok().and_then(|found| found.as_ref());
        let scope = scope.map(Presented::service);
        let mut target = self.identify(&head, scope, seen)?;
        let origin_rules = |bucket: &str, asked: &CrossOrigin<'_>| {
            self.store.read(|tx| target.entry.service.hooks().cross_origin(tx, bucket, asked))
        };
        if cors::is_preflight(&head, &target) {
            seen.recorded = true;
            return cors::preflight(&head, &target, &self.local, &origin_rules);
        }
        seen.for_page = cors::headers(&head, &target, &self.local, &origin_rules)?;
        let rules = target.entry.service.hooks().door_rules();
        pages::check_size(&head, rules)?;
        if rules.greets
            && let Some(page) = pages::greeting(&head)
        {
            seen.recorded = true;
            return Ok(page);
        }
        if let HostStyle::Website { bucket, region } = target.host {
            return self.website(peer, &head, target.entry, (bucket, region), seen).await;
        }
        let protocol = target.entry.protocol(&head);
        seen.protocol = Some(protocol);
        let dialect = refuse::dialect(target.entry, protocol);
        let signed = match presented {
            Err(AuthError { cause: Cause::VersionTwo, .. }) if target.entry.is_s3 => {
                self.authenticate_v2(peer, &head, &target, body, seen)?
            }
            Ok(None) if target.entry.is_s3 && form::is_upload(&head) => {
                // Boxed, so that its size is not that of every request.
                return Box::pin(self.post_form(peer, &head, target, body, seen)).await;
            }
            presented => {
                let presented = presented.map_err(|error| refusal(error, dialect))?;
                self.authenticate(peer, &head, &mut target, presented, body, seen).await?
            }
        };
        // An anonymous form may have turned out to be for another service.
        let protocol = target.entry.protocol(&head);
        let call = self.call(&head, &target, protocol, signed, peer, seen).await?;
        self.run(call, seen).await
    }

    fn identify<'g, 'h>(
        &'g self,
        head: &'h Head<'_>,
        scope: Option<&str>,
        seen: &mut Seen<'g>,
    ) -> Result<Target<'g, 'h>, Error> {
        let found = self.guard.directory.identify(head, scope);
        let target = found.ok_or_else(refuse::unknown_service)?;
        seen.entry = Some(target.entry);
        seen.ids = Some(Ids::new(&*self.entropy, target.entry.as_s3));
        Ok(target)
    }

    /// Finds the operation and fills its input.
    pub(crate) async fn call<'g>(
        &'g self,
        head: &Head<'_>,
        target: &Target<'g, '_>,
        protocol: Protocol,
        signed: Signed,
        peer: &Peer,
        seen: &mut Seen<'g>,
    ) -> Result<Call<'g>, Error> {
        let entry = target.entry;
        let path = match target.host {
            HostStyle::Bucket { bucket, .. } if entry.is_s3 => {
                Cow::Owned(format!("/{bucket}{}", head.path))
            }
            _ => Cow::Borrowed(head.path),
        };
        let path = match entry.is_s3 {
            true => self.behind_access_point((entry, head), path, &signed.region, seen)?,
            false => path,
        };
        let in_query = entry.is_s3 && signed.place == Some(Place::Query);
        let headers = &Hoisted { head, in_query };
        let form = match &signed.body {
            Received::Whole(bytes) => bytes.clone(),
            Received::Stream(_) => Bytes::new(),
        };
        let Routed { operation, labels } = {
            let (method, query) = (head.method, &head.query[..]);
            let to = smithy::Target { method, path: &path, query, headers, body: &form };
            let routed = entry.model.route(protocol, &to);
            routed.map_err(|error| refuse::unrouted(&error, entry.model, protocol))?
        };
        seen.operation = Some(operation);
        seen.caller = Some(signed.caller.clone());
        seen.region = Some(signed.region.clone());
        let (Some(served), Some(prepared)) = (&operation.served, entry.prepared(operation)) else {
            return Err(Error::not_implemented(operation.name));
        };
        if entry.is_s3 {
            selected::check(&entry.selecting, operation, &head.query)?;
        }
        let cx = self.context(head, entry, operation, &signed, peer, seen);
        let (body, whole) = match signed.body {
            Received::Whole(bytes) => (None, bytes),
            Received::Stream(checked) if prepared.streams => {
                checked.check_framing(head)?;
                let waits = head.header("expect").is_some();
                let flow = if waits { Flow::Awaited(checked) } else { Flow::Checked(checked) };
                (Some(flow), Bytes::new())
            }
            Received::Stream(checked) => {
                let (whole, trailers) =
                    checked.into_whole(REQUEST_BODY_BYTES_MAX, self.share(seen)).await?;
                entry.service.hooks().check_body(operation, headers, &whole, &trailers)?;
                (None, whole)
            }
        };
        let request =
            smithy::Request { labels: &labels, query: &head.query, headers, body: &whole };
        let mut input = (served.new_input)();
        smithy::decode_request(protocol, entry.model, &request, &mut *input)
            .map_err(|rejection| refuse::rejected(rejection, entry, protocol))?;
        prepared.fill_tokens(&mut *input, &*cx.entropy);
        refuse_members(operation, prepared, served, &*input)?;
        let asks = guard::asks(entry, operation, &cx, &*input)?;
        if !entry.is_s3 {
            let named = asks.first().filter(|ask| ask.resource.starts_with("arn:"));
            seen.resource = named.map(|ask| shortened(&ask.resource).to_owned());
        }
        Ok(Call { entry, protocol, operation, prepared, served, cx, input, asks, body })
    }

    pub(crate) fn context(
        &self,
        head: &Head<'_>,
        entry: &Entry,
        operation: &'static Operation,
        signed: &Signed,
        peer: &Peer,
        seen: &Seen<'_>,
    ) -> Cx {
        let request_id = seen.ids.as_ref().map(|ids| ids.request_id.clone()).unwrap_or_default();
        Cx::new(CxParts {
            request_id,
            account: guard::acting_account(&signed.caller),
            caller: signed.caller.clone(),
            region: signed.region.clone(),
            http: HttpInfo {
                host: head.host.to_string(),
                port: head.port,
                secure: peer.is_secure(),
                tls_version: peer.tls.map(|tls| tls.version),
                source_ip: Some(peer.address),
                user_agent: head.owned("user-agent"),
                referer: head.owned("referer"),
                auth_type: signed.place.map(|place| match place {
                    Place::Header => "REST-HEADER",
                    Place::Query => "REST-QUERY-STRING",
                    Place::Form => "POST",
                }),
                version_two: signed.version_two,
                signed_at: signed.signed_at,
                requester_pays: head
                    .text("x-amz-request-payer")
                    .or(head.query_value("x-amz-request-payer"))
                    == Some("requester"),
                is_form: head.method == "POST" && operation.name == "PutObject",
                host_id: seen.ids.as_ref().and_then(|ids| ids.host_id.clone()),
                content_sha256: signed.content_sha256.clone(),
                access_point: seen.access_point.clone(),
            },
            service: entry.model,
            operation,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            door: self.guard.clone(),
        })
    }

    /// Authorises and runs the operation in one transaction, and puts its output in words.
    pub(crate) async fn run<'g>(
        &'g self,
        call: Call<'g>,
        seen: &mut Seen<'g>,
    ) -> Result<Response, Error> {
        let Call { entry, protocol, operation, prepared, served, cx, input, asks, body } = call;
        let struck = Struck { model: entry.model, operation, account: cx.caller.account };
        if self.faults.are_about(&struck) {
            // Nobody learns by a fault what is not allowed to him.
            self.store.read(|tx| guard::authorize_all(tx, &cx, &asks))?;
            Box::pin(self.suffer(&struck)).await?;
        }
        let service = &entry.service;
        let (reply, cx) = match served.kind {
            Kind::Read => {
                let output = self.store.read(|tx| {
                    guard::authorize_all(tx, &cx, &asks)?;
                    let output = service.read(operation.index, tx, &cx, &*input)?;
                    cx.check_asked().map(|()| output)
                });
                seen.allowed = cx.allowed().cloned();
                (Reply::new(output?), Context::Plain(cx))
            }
            Kind::Write => {
                let commit = self.store.write_in_turn(|tx| {
                    cx.take_headers();
                    cx.take_status();
                    self.guard.write(tx, &cx, entry, &asks, &*input)
                });
                let output = commit.await;
                seen.allowed = cx.allowed().cloned();
                let output = output?;
                seen.recorded = true;
                (Reply::new(output), Context::Plain(cx))
            }
            Kind::Async => {
                if body.as_ref().is_some_and(|body| !body.is_short()) {
                    // Refused before all that is read, then asked again where it counts.
                    self.store.read(|tx| guard::authorize_all(tx, &cx, &asks))?;
                }
                let body = match body {
                    Some(Flow::Checked(body) | Flow::Awaited(body)) => body.into_stream()?,
                    Some(Flow::Ready(body)) => body,
                    None => RequestBody::empty(),
                };
                let cx = AsyncCx::new(cx, self.store.clone(), asks, body);
                let reply = service.start(operation.index, &cx, &*input).await;
                seen.recorded = cx.is_recorded();
                seen.allowed = cx.allowed().cloned();
                let reply = reply?;
                cx.check_asked_at_all()?;
                (reply, Context::Async(cx))
            }
        };
        let cx = cx.get();
        seen.touched = cx.take_touched();
        seen.by_list = cx.is_by_list();
        let Reply { output, body, status } = reply;
        let request_id = &cx.request_id;
        let mut encoded =
            smithy::encode_response(protocol, entry.model, operation, &*output, request_id);
        if let Some(status) = cx.take_status().or(status) {
            encoded.status = status;
        }
        let mut response = encode::response(encoded, &prepared.header_names, body)?;
        encode::add_headers(&mut response, cx.take_headers());
        Ok(response)
    }

    /// The share of memory of a request whose body is taken as a whole.
    pub(crate) fn share<'s, 'g>(&'g self, seen: &'s mut Seen<'g>) -> &'s mut Share<'g> {
        seen.share.get_or_insert_with(|| Share::new(&self.room))
    }

    fn finish(
        &self,
        peer: &Peer,
        parts: Parts,
        answer: Result<Response, Error>,
        mut seen: Seen<'_>,
        began_ns: u64,
    ) -> Response {
        let ids = seen.ids.take().unwrap_or_else(|| match &answer {
            Ok(_) => Ids::none(),
            Err(_) => Ids::new(&*self.entropy, false),
        });
        let failed = answer.as_ref().err().map(Failure::of).or(seen.failed.take());
        seen.error_code = failed.as_ref().map(|failure| failure.code.clone());
        let mut response = answer.unwrap_or_else(|error| {
            if let Some(cause) = error.cause() {
                tracing::error!(request_id = &*ids.request_id, cause, "internal failure");
            }
            let model = seen.entry.map(|entry| {
                let first = entry.model.protocols.first().copied();
                let protocol = seen.protocol.or(first).unwrap_or(Protocol::RestXml);
                (entry.model, protocol, seen.operation)
            });
            encode::error(&error, model, &ids)
        });
        encode::add_headers(&mut response, std::mem::take(&mut seen.for_page));
        let status = response.status().as_u16();
        let took_ns = self.clock.monotonic_ns().saturating_sub(began_ns);
        let prepared = seen.entry.zip(seen.operation).and_then(|(e, o)| e.prepared(o));
        match prepared {
            Some(prepared) => prepared.metrics.record(status, took_ns),
            None => {
                self.totals.unrouted.fetch_add(1, Relaxed);
            }
        }
        let operation = seen.operation.map_or("", |operation| operation.name);
        let account =
            seen.caller.as_ref().and_then(|caller| caller.account).map(tracing::field::display);
        tracing::info!(
            target: "access",
            peer = %peer.address,
            account,
            service = seen.entry.map_or("", |entry| entry.model.name),
            operation,
            status,
            error = failed.as_ref().map_or("", |failure| &failure.code),
            us = took_ns / 1_000,
            request_id = &*ids.request_id,
        );
        self.note_access(peer, &parts, &mut response, &mut seen, (&ids, began_ns));
        if !seen.recorded {
            let served = seen.operation.and_then(|operation| operation.served.as_ref());
            let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
            self.guard.audit.note(Event {
                at: self.clock.now(),
                request_id: ids.request_id.clone(),
                service: seen.entry.map_or("", |entry| entry.model.name),
                operation,
                is_read: served.is_some_and(|served| served.kind == Kind::Read)
                    || matches!(parts.method.as_str(), "GET" | "HEAD"),
                caller: seen.caller.unwrap_or_else(|| self.guard.keys.anonymous()),
                region: seen.region,
                source_ip: Some(peer.address),
                user_agent: agent.map(|agent| shortened(agent).to_owned()),
                path: shortened(parts.uri.path()).to_owned(),
                resource: seen.resource,
                allowed: seen.allowed,
                error: failed,
            });
        }
        if seen.entry.is_some_and(|entry| entry.model.crc32) {
            encode::add_crc32(&mut response);
        }
        encode::finish(&mut response, ids, &*self.clock);
        response
    }
}

/// A request with everything that it needs to run.
pub(crate) struct Call<'g> {
    pub entry: &'g Entry,
    pub protocol: Protocol,
    pub operation: &'static Operation,
    pub prepared: &'g Prepared,
    pub served: &'static Served,
    pub cx: Cx,
    pub input: Box<dyn Struct>,
    pub asks: Vec<api::Ask>,
    /// What flows to the operation.
    pub body: Option<Flow>,
}

/// A body on its way to an operation.
#[allow(clippy::large_enum_variant, reason = "one for each request, moved once or twice")]
pub(crate) enum Flow {
    Checked(Checked),
    /// The client sends it when it is told to go on (RFC 9110, 10.1.1), and not before it may.
    Awaited(Checked),
    Ready(RequestBody),
}

impl Flow {
    /// Most of it has come with the head: to take it costs less than to ask for permission once more.
    fn is_short(&self) -> bool {
        let length = match self {
            Flow::Checked(body) | Flow::Awaited(body) if body.is_empty() => Some(0),
            Flow::Awaited(_) => None,
            Flow::Checked(body) => body.length(),
            Flow::Ready(body) => body.length(),
        };
        length.is_some_and(|length| length <= SHORT_BODY_BYTES_MAX)
    }
}

/// The context after the operation ran.
enum Context {
    Plain(Cx),
    Async(AsyncCx),
}

impl Context {
    fn get(&self) -> &Cx {
        match self {
            Context::Plain(cx) => cx,
            Context::Async(cx) => cx,
        }
    }
}

/// A path as far as the trail keeps it.
pub(crate) fn shortened(path: &str) -> &str {
    &path[..path.floor_char_boundary(PATH_BYTES_MAX)]
}

pub(crate) fn refuse_members(
    operation: &Operation,
    prepared: &Prepared,
    served: &Served,
    input: &dyn Struct,
) -> Result<(), Error> {
    for &index in &prepared.refused {
        if !matches!(input.field(index).value(), smithy::Value::Absent) {
            return Err(refuse::refused_member(operation.name, served.input.members[index].name));
        }
    }
    Ok(())
}
