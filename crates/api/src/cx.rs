//! The context of one request.

use crate::{
    Ask, AskContext, Background, Error, NamedPolicy, Outgoing, RequestBody, Sent, Touched,
};
use base::{AccountId, Clock, Entropy, Partition, Region, Timestamp};
use policy::Principal;
use smithy::Struct;
use smithy::model::{Operation, ServiceModel};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use store::blobs::Blobs;
use store::{Store, Tx};

/// Who makes a request, and all that outlives the lookup of the key.
#[derive(Clone, Debug)]
pub struct Caller {
    pub principal: Principal,
    /// Empty for anonymous callers and for services.
    pub access_key_id: Arc<str>,
    /// The account that the caller belongs to; `None` for anonymous callers.
    pub account: Option<AccountId>,
    /// `AIDA…`, `AROA…:session`, the account number for root.
    pub user_id: Arc<str>,
    /// The name of the user or of the session's role, without its path; empty for root.
    pub name: Arc<str>,
    /// For sessions: the policies handed over when it was made.
    pub session_policies: Option<Arc<[NamedPolicy]>>,
    /// Tags of the principal and of its session, as `aws:PrincipalTag/…` shows them.
    pub tags: Arc<[(String, String)]>,
    /// Further condition keys of a session: its source identity, who vouched for it.
    pub session_keys: Arc<AskContext>,
    /// When the session was made and whether with a second factor.
    pub token_issued: Option<Timestamp>,
    pub mfa: bool,
}

impl Caller {
    /// Of whom nothing more is known: no key, no name, no session.
    pub fn bare(
        principal: Principal,
        account: Option<AccountId>,
        user_id: impl Into<Arc<str>>,
    ) -> Caller {
        Caller {
            principal,
            access_key_id: "".into(),
            account,
            user_id: user_id.into(),
            name: "".into(),
            session_policies: None,
            tags: Arc::new([]),
            session_keys: Arc::default(),
            token_issued: None,
            mfa: false,
        }
    }

    /// The root of an account.
    pub fn root(partition: Partition, account: AccountId) -> Caller {
        Caller::bare(Principal::root(partition, account), Some(account), account.to_string())
    }
}

/// What the HTTP request says beyond the operation's input.
#[derive(Clone, Default, Debug)]
pub struct HttpInfo {
    /// The host without its port, as the client named it.
    pub host: String,
    pub port: Option<u16>,
    /// Over TLS.
    pub secure: bool,
    /// `TLSv1.3`, where it came to a socket of ours.
    pub tls_version: Option<&'static str>,
    pub source_ip: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub referer: Option<String>,
    /// How the request was signed, as `s3:authType` has it: `REST-HEADER`, `REST-QUERY-STRING`,
    /// `POST`; `None` for anonymous ones.
    pub auth_type: Option<&'static str>,
    /// Signed with Signature Version 2, which only S3 takes.
    pub version_two: bool,
    /// Whoever asks says that they pay for it (S3).
    pub requester_pays: bool,
    /// A browser's form, which only S3 takes.
    pub is_form: bool,
    /// When it says that it was signed.
    pub signed_at: Option<Timestamp>,
    /// The second id of the request, which only S3 gives.
    pub host_id: Option<String>,
    /// What it says of its body, as `s3:x-amz-content-sha256` has it.
    pub content_sha256: Option<Cow<'static, str>>,
    /// Through which it came to its bucket (S3).
    pub access_point: Option<Arc<AccessPoint>>,
}

/// An access point that stands where a bucket's name would.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessPoint {
    pub arn: String,
    pub account: AccountId,
    pub region: String,
    pub name: String,
    /// To which it leads.
    pub bucket: String,
}

/// The context of an operation: what it is made of, and what the operation leaves in it.
pub struct Cx {
    parts: CxParts,
    /// Headers that the model does not know, for the response.
    headers: Mutex<Vec<(&'static str, String)>>,
    /// 0: the operation's usual one.
    status: AtomicU16,
    /// Whether anybody asked if the caller may.
    asked: AtomicBool,
    /// Whether the audit record stands in a transaction that was committed.
    recorded: AtomicBool,
    /// For the logs of buckets.
    touched: Mutex<Touched>,
    by_list: AtomicBool,
    /// By what the first permission was given.
    allowed: OnceLock<Arc<Allowed>>,
}

/// What gave a permission: a statement of a policy, or something else that stands for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allowed {
    /// `identity-based policy`.
    pub kind: &'static str,
    /// Its name or ARN.
    pub policy: Arc<str>,
    /// The place in it, from 0.
    pub statement: Option<u64>,
    pub sid: Option<Box<str>>,
}

impl Allowed {
    /// By what is no policy.
    pub fn by(kind: &'static str) -> Allowed {
        Allowed { kind, policy: "".into(), statement: None, sid: None }
    }
}

/// `statement 2 (Sid Only) of the permissions boundary arn:…`
pub fn allowed_by(kind: &str, policy: &str, statement: Option<u64>, sid: Option<&str>) -> String {
    let Some(at) = statement else { return format!("the {kind}") };
    let sid = sid.map(|sid| format!(" (Sid {sid})")).unwrap_or_default();
    format!("statement {}{sid} of the {kind} {policy}", at + 1)
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&allowed_by(self.kind, &self.policy, self.statement, self.sid.as_deref()))
    }
}

/// All that a context is made of; [`Cx`] dereferences to it.
pub struct CxParts {
    pub request_id: Arc<str>,
    pub caller: Arc<Caller>,
    /// The account in which the operation acts: the caller's, or the default one.
    pub account: AccountId,
    pub region: Region,
    pub http: HttpInfo,
    pub service: &'static ServiceModel,
    pub operation: &'static Operation,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub door: Arc<dyn Door>,
}

impl Deref for Cx {
    type Target = CxParts;

    fn deref(&self) -> &CxParts {
        &self.parts
    }
}

impl fmt::Debug for Cx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CxParts { request_id, service, operation, account, .. } = &self.parts;
        write!(f, "{}:{} {request_id} in {account}", service.name, operation.name)
    }
}

/// What stands behind an operation: decisions, other services, the audit trail. Implemented by the
/// gateway; tests have their own.
pub trait Door: Send + Sync + 'static {
    /// Refuses unless the caller may do it, as of this snapshot.
    fn authorize(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<(), Error>;

    /// Records the successful operation in its own transaction.
    fn audit(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &dyn Struct,
        output: Option<&dyn Struct>,
    ) -> Result<(), Error>;

    /// Makes a paging token out of a place in a listing: unreadable to be meddled with, and good
    /// only for the same context (see [`Cx::token_place`]). Survives a restart.
    fn seal_token(&self, context: &str, place: &str) -> String;

    /// The place, unless the token was made by somebody else or for another context.
    fn open_token(&self, context: &str, token: &str) -> Option<String>;

    /// Calls an operation of another service in the same transaction, as `caller`. It is authorised
    /// and audited like one from outside.
    fn call(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        caller: Arc<Caller>,
        service: &str,
        operation: &str,
        input: &dyn Struct,
    ) -> Result<Box<dyn Struct>, Error>;

    /// Calls an operation of another service from an errand: see [`Background::send`].
    fn send<'a>(&'a self, with: &'a Background, call: Outgoing<'a>) -> Sent<'a> {
        let Outgoing { service, operation, .. } = call;
        let error = Error::internal(format!("no {service}:{operation} can be called here"));
        let _ = with;
        Box::pin(async move { Err(error) })
    }
}

const WARNING: &str = "x-cumulet-warning";

/// What the encoded message of a refusal is sealed for: the account that was refused, and nobody else.
pub fn denial_place(account: AccountId) -> String {
    format!("denial:{account}")
}

impl Cx {
    pub fn new(parts: CxParts) -> Cx {
        Cx {
            parts,
            headers: Mutex::new(Vec::new()),
            status: AtomicU16::new(0),
            asked: AtomicBool::new(false),
            recorded: AtomicBool::new(false),
            touched: Mutex::default(),
            by_list: AtomicBool::new(false),
            allowed: OnceLock::new(),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn partition(&self) -> Partition {
        self.region.partition()
    }

    /// An ARN of this service in the operation's region and account.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        let (partition, region, account) = (self.partition().as_str(), &self.region, self.account);
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// Refuses unless the caller may do this too: for resources found on the way.
    pub fn authorize(&self, tx: &Tx, ask: &Ask) -> Result<(), Error> {
        self.asked.store(true, Ordering::Relaxed);
        self.door.authorize(tx, self, ask)
    }

    /// Keeps what gave the first permission, for the records; `None` where it was root's own right.
    pub fn set_allowed(&self, by: impl FnOnce() -> Option<Allowed>) {
        if self.allowed.get().is_none()
            && let Some(by) = by()
        {
            let _ = self.allowed.set(Arc::new(by));
        }
    }

    pub fn allowed(&self) -> Option<&Arc<Allowed>> {
        self.allowed.get()
    }

    /// An operation that needs a permission but never asked for one is a bug, and refused.
    pub fn check_asked(&self) -> Result<(), Error> {
        self.refuse_unless(self.has_asked())
    }

    fn refuse_unless(&self, has_asked: bool) -> Result<(), Error> {
        let served = self.operation.served.as_ref();
        match has_asked || served.is_some_and(|served| served.auth.is_open()) {
            true => Ok(()),
            false => Err(Error::internal(format!("{self:?} asked for no permission"))),
        }
    }

    /// Whether [`Cx::authorize`] was called at all.
    pub fn has_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Notes that the audit record was committed, so that no second one is written.
    pub fn set_recorded(&self) {
        self.recorded.store(true, Ordering::Relaxed);
    }

    pub fn is_recorded(&self) -> bool {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Notes for the log of a bucket that it, or a key in it, was touched.
    pub fn touch(&self, bucket: &str, key: &str, action: &str) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.insert((bucket.to_owned(), key.to_owned(), action.to_owned()));
    }

    pub fn take_touched(&self) -> Touched {
        std::mem::take(&mut self.touched.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that an access control list had to allow it, and whether one had to.
    pub fn set_by_list(&self) {
        self.by_list.store(true, Ordering::Relaxed);
    }

    pub fn is_by_list(&self) -> bool {
        self.by_list.load(Ordering::Relaxed)
    }

    /// What a paging token is bound to: operation, account and the parameters of the listing.
    pub fn token_place(&self, parameters: &[&str]) -> String {
        let mut place = format!("{}:{}:{}", self.service.name, self.operation.name, self.account);
        for parameter in parameters {
            place.push('\0');
            place.push_str(parameter);
        }
        place
    }

    /// Answers with another status than the operation's usual one.
    pub fn status(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// The status set by [`Cx::status`]; the next run of the operation starts without.
    pub fn take_status(&self) -> Option<u16> {
        Some(self.status.swap(0, Ordering::Relaxed)).filter(|status| *status != 0)
    }

    /// Adds a header to the response that the model does not know.
    pub fn header(&self, name: &'static str, value: impl Into<String>) {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner).push((name, value.into()));
    }

    /// Tells whoever wrote a policy of keys in it that nothing here answers (decision 031): in a header,
    /// and in the record of the write.
    pub fn warn_of_keys(&self, policy: &policy::Policy) {
        let keys = policy.unevaluated_keys();
        if !keys.is_empty() {
            let keys = keys.join(", ");
            self.header(
                WARNING,
                format!("condition keys that nothing here has a value for: {keys}"),
            );
        }
    }

    /// What [`Cx::warn_of_keys`] said.
    pub fn warnings(&self) -> Vec<String> {
        let headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        let own = headers.iter().filter(|(name, _)| *name == WARNING);
        own.map(|(_, text)| text.clone()).collect()
    }

    /// The added headers; the next run of the operation starts without any.
    pub fn take_headers(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut self.headers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The context of an async operation: the only way to the store that it has, and it asks for
/// authorisation inside every transaction.
pub struct AsyncCx {
    cx: Cx,
    store: Store,
    asks: Vec<Ask>,
    body: Mutex<Option<RequestBody>>,
    /// In one of its transactions at least, whoever it acted as there.
    has_asked_once: Arc<AtomicBool>,
}

impl AsyncCx {
    /// `asks` are those of the operation. One that has none and is not open to everybody asks by itself
    /// in each of its transactions.
    pub fn new(cx: Cx, store: Store, asks: Vec<Ask>, body: RequestBody) -> AsyncCx {
        AsyncCx { cx, store, asks, body: Mutex::new(Some(body)), has_asked_once: Arc::default() }
    }

    /// Reads the newest durable state, if the caller may.
    pub fn read<R>(&self, look: impl FnOnce(&Tx) -> Result<R, Error>) -> Result<R, Error> {
        self.store.read(|tx| {
            self.authorize_all(tx)?;
            let result = look(tx)?;
            self.check_transaction()?;
            Ok(result)
        })
    }

    /// Changes the state, if the caller may; durable when it returns. The closure may run again.
    /// The audit record goes into the same transaction, so an operation commits through this once.
    pub async fn write<R>(
        &self,
        input: &dyn Struct,
        mut change: impl FnMut(&mut Tx) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let commit = self.store.write_in_turn(|tx| {
            self.authorize_all(tx)?;
            let result = change(tx)?;
            self.check_transaction()?;
            self.cx.door.audit(tx, &self.cx, input, None)?;
            Ok::<R, Error>(result)
        });
        let result = commit.await?;
        self.cx.set_recorded();
        Ok(result)
    }

    /// The same call on behalf of somebody who became known on the way: whom a web identity stands
    /// for. It asks for `asks` inside every transaction, as this one does for its own.
    pub fn acting_as(&self, caller: Caller, account: AccountId, asks: Vec<Ask>) -> AsyncCx {
        let cx = Cx::new(CxParts {
            request_id: self.cx.request_id.clone(),
            caller: Arc::new(caller),
            account,
            region: self.cx.region.clone(),
            http: self.cx.http.clone(),
            service: self.cx.service,
            operation: self.cx.operation,
            clock: self.cx.clock.clone(),
            entropy: self.cx.entropy.clone(),
            door: self.cx.door.clone(),
        });
        AsyncCx {
            has_asked_once: self.has_asked_once.clone(),
            ..AsyncCx::new(cx, self.store.clone(), asks, RequestBody::empty())
        }
    }

    /// The request's body; only the first call has it.
    pub fn take_body(&self) -> RequestBody {
        let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.take().unwrap_or_else(RequestBody::empty)
    }

    /// What the client says the length of the body is, until that is taken.
    pub fn body_length(&self) -> Option<u64> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        body.as_ref().and_then(RequestBody::length)
    }

    /// Where bytes are kept beside the rows. A blob is of no use to anybody before a row, written
    /// through [`AsyncCx::write`], points at it.
    pub fn blobs(&self) -> &Blobs {
        self.store.blobs()
    }

    fn authorize_all(&self, tx: &Tx) -> Result<(), Error> {
        self.cx.asked.store(false, Ordering::Relaxed);
        self.asks.iter().try_for_each(|ask| self.cx.authorize(tx, ask))
    }

    /// An operation without asks of its own (a batch, whose members succeed or are refused one by one)
    /// must have asked within the transaction.
    fn check_transaction(&self) -> Result<(), Error> {
        self.cx.check_asked()?;
        self.has_asked_once.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// To be asked before it is answered: an operation that opened no transaction asked for nothing.
    pub fn check_asked_at_all(&self) -> Result<(), Error> {
        self.cx.refuse_unless(self.has_asked_once.load(Ordering::Relaxed))
    }
}

impl Deref for AsyncCx {
    type Target = Cx;

    fn deref(&self) -> &Cx {
        &self.cx
    }
}

impl fmt::Debug for AsyncCx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cx.fmt(f)
    }
}
