//! The audit trail, in two parts.
//!
//! A successful mutation leaves a row in its own transaction: it is recorded if and only if it
//! happened. Reads, failures and denials go into a bounded log that costs no sync, so that a read
//! never becomes a write: the newest [`KEPT_MAX`] are in memory, and whoever owns the disk writes
//! them out from time to time ([`Audit::unwritten`]); what comes faster than that is dropped and
//! counted. Rows are kept for [`RETENTION_DAYS`].
//!
//! Records are shaped after CloudTrail's:
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>

pub use crate::written::Written;
use api::{Allowed, Caller, Cx, Error, Tx};

use crate::gateway::shortened;
use crate::written;
use base::{AccountId, Region, Timestamp};
use parking_lot::Mutex;
use policy::PrincipalKind;
use smithy::json::Writer;
use smithy::{Struct, Value};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use store::{Field, RowWriter, Scope, Store, StoreError, Table, row};

/// How long rows of mutations are kept, as CloudTrail's event history keeps them.
pub const RETENTION_DAYS: i64 = 90;
/// Reads, failures and denials held in memory.
pub const KEPT_MAX: usize = 4096;
/// Parameters of a request are cut beyond this.
const PARAMETERS_BYTES_MAX: usize = 2048;
/// Rows that are forgotten in one transaction.
const FORGOTTEN_MAX: usize = 500;
/// Rows that one look at the trail reads.
const ROWS_MAX: usize = 10_000;
/// Looks that one search takes, each at the rows before those of the last: whoever may ask can make the
/// cloud read so many rows and no more.
const LOOKS_MAX: usize = 100;

/// Mutations by time and request id, all accounts together so that the oldest are one range.
pub const EVENTS: Table<(Timestamp, String), EventRow> = Table::new(0xf001, "gateway.event");

/// A row's own place in the table.
type Place = (Timestamp, String);

row! {
    pub struct EventRow {
        1 => service: String,
        2 => operation: String,
        3 => account: Option<AccountId>,
        4 => kind: String,
        5 => arn: String,
        6 => access_key_id: String,
        7 => user_id: String,
        8 => region: String,
        9 => source_ip: String,
        10 => user_agent: String,
        /// JSON; sensitive members are covered.
        11 => parameters: String,
        /// What the client was warned of.
        12 => warnings: Vec<String>,
        /// The statement that allowed it: what kind of policy, its name, the place in it and the Sid.
        /// All empty for root, whom none has to allow.
        13 => allowed_kind: String,
        14 => allowed_policy: String,
        15 => allowed_statement: u64,
        16 => allowed_sid: String,
    }
}

/// A read, a failure or a denial.
#[derive(Debug)]
pub struct Event {
    pub at: Timestamp,
    pub request_id: Arc<str>,
    pub service: &'static str,
    /// Empty where none became known.
    pub operation: &'static str,
    pub is_read: bool,
    pub caller: Arc<Caller>,
    pub region: Option<Region>,
    pub source_ip: Option<IpAddr>,
    pub user_agent: Option<String>,
    /// As on the wire, without the query, which may hold a signature.
    pub path: String,
    /// An ARN, where the path does not say it.
    pub resource: Option<String>,
    /// By what it was allowed, where it was not root's own right.
    pub allowed: Option<Arc<Allowed>>,
    pub error: Option<Failure>,
}

/// What went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: String,
    pub message: String,
    /// Of a refusal, what the client is not told: which policies it rests on.
    pub reason: Option<String>,
}

impl Failure {
    pub(crate) fn of(error: &Error) -> Failure {
        Failure {
            code: error.code().to_owned(),
            message: error.message().to_owned(),
            reason: error.reason().map(str::to_owned),
        }
    }
}

#[derive(Default)]
struct Recent {
    events: VecDeque<Arc<Event>>,
    /// How many of the newest are not written out yet.
    unwritten: usize,
    dropped: u64,
    /// How many there were in all.
    noted: u64,
}

#[derive(Default)]
pub struct Audit {
    recent: Mutex<Recent>,
    /// Where the records go that are no longer in memory.
    written: OnceLock<Arc<dyn Written>>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Audit")
    }
}

fn kind(caller: &Caller) -> &'static str {
    match caller.principal.kind() {
        PrincipalKind::Root => "Root",
        PrincipalKind::User => "IAMUser",
        PrincipalKind::Session => "AssumedRole",
        PrincipalKind::FederatedUser => "FederatedUser",
        PrincipalKind::Service => "AWSService",
        PrincipalKind::IdentityProvider => "WebIdentityUser",
        PrincipalKind::Anonymous => "Unknown",
    }
}

/// The fields of an [`EventRow`], of which every change writes one: without owning any of it first.
fn write_row(to: &mut RowWriter, cx: &Cx, parameters: &str) {
    let caller = &*cx.caller;
    to.text(1, cx.service.name);
    to.text(2, cx.operation.name);
    caller.account.write_field(3, to);
    to.text(4, kind(caller));
    to.text(5, caller.principal.arn());
    to.text(6, &caller.access_key_id);
    to.text(7, &caller.user_id);
    to.text(8, cx.region.as_str());
    to.text(9, &cx.http.source_ip.map(shown).unwrap_or_default());
    to.text(10, shortened(cx.http.user_agent.as_deref().unwrap_or_default()));
    to.text(11, parameters);
    cx.warnings().write_field(12, to);
    if let Some(allowed) = cx.allowed() {
        to.text(13, allowed.kind);
        to.text(14, &allowed.policy);
        allowed.statement.map_or(0, |at| at + 1).write_field(15, to);
        to.text(16, allowed.sid.as_deref().unwrap_or_default());
    }
}

/// An address in words.
fn shown(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity(16);
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        for unit in [100, 10, 1] {
            if octet >= unit || unit == 1 {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    text
}

impl Audit {
    /// Writes the row of a mutation into its transaction.
    pub(crate) fn record(&self, tx: &mut Tx, cx: &Cx, input: &dyn Struct) -> Result<(), Error> {
        self.record_with(tx, cx, parameters(input))
    }

    /// The same with parameters that stand in JSON already.
    pub(crate) fn record_with(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        parameters: String,
    ) -> Result<(), Error> {
        let key = (tx.now(), &*cx.request_id);
        let written = |to: &mut RowWriter| write_row(to, cx, &parameters);
        Ok(tx.put_fields(&EVENTS, &Scope::Global, &key, written)?)
    }

    pub(crate) fn note(&self, event: Event) {
        let event = Arc::new(event);
        let mut recent = self.recent.lock();
        let oldest = if recent.events.len() >= KEPT_MAX { recent.events.pop_front() } else { None };
        recent.events.push_back(event);
        recent.noted += 1;
        recent.unwritten += 1;
        if recent.unwritten > recent.events.len() {
            recent.unwritten = recent.events.len();
            recent.dropped += 1;
        }
        // Nobody waits while memory is given back that no cache has any more.
        drop(recent);
        drop(oldest);
    }

    /// Removes rows older than [`RETENTION_DAYS`], a bounded number at a time; `true` if there may be
    /// more. Blocks until that is durable: for a thread of its own.
    pub fn forget_old(&self, store: &Store) -> Result<bool, StoreError> {
        let old = |tx: &Tx| {
            let end = tx.now().plus_secs(-RETENTION_DAYS * 86_400);
            let rows = tx.scan(&EVENTS, &Scope::Global).to(&(end, ""));
            rows.keys().take(FORGOTTEN_MAX).collect::<Result<Vec<_>, _>>()
        };
        if store.read(old)?.is_empty() {
            return Ok(false);
        }
        let commit = store.write(|tx| {
            let keys = old(tx)?;
            for (at, id) in &keys {
                tx.delete(&EVENTS, &Scope::Global, &(*at, id.as_str()))?;
            }
            Ok::<_, StoreError>(keys.len() == FORGOTTEN_MAX)
        });
        store::blobs::block_on(commit)
    }

    /// Tells where the records of [`Audit::unwritten`] are written, so that they can be read back.
    pub fn keep_in(&self, written: Arc<dyn Written>) {
        let _ = self.written.set(written);
    }

    /// Events that fell out before they were written, or could not be.
    pub fn dropped(&self) -> u64 {
        self.recent.lock().dropped
    }

    /// Counts events that were given out and could not be written.
    pub fn lose(&self, events: usize) {
        self.recent.lock().dropped += events as u64;
    }

    /// What has come since the last call, oldest first: for whoever writes the log, and says how many of
    /// them it could not ([`Audit::lose`]).
    pub fn unwritten(&self) -> Vec<Arc<Event>> {
        let mut recent = self.recent.lock();
        let from = recent.events.len() - recent.unwritten;
        recent.unwritten = 0;
        recent.events.iter().skip(from).cloned().collect()
    }

    /// Whether there is anything to write.
    pub fn has_unwritten(&self) -> bool {
        self.recent.lock().unwritten > 0
    }

    /// Records as JSON, each on a line of its own, oldest first: the newest `limit` that the filter
    /// lets through. Gives way to others between one look and the next.
    pub async fn lines(
        &self,
        store: &Store,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Line>, StoreError> {
        let recent = self.snapshot().0;
        let (mut lines, mut place) = store.read(|tx| self.rows(tx, filter, limit, None))?;
        for _ in 1..LOOKS_MAX {
            let Some(before) = place.take() else { break };
            tokio::task::yield_now().await;
            let left = limit - lines.len();
            let (more, next) = store.read(|tx| self.rows(tx, filter, left, Some(&before)))?;
            lines.extend(more);
            place = next;
        }
        lines.extend(self.noted(filter, limit, &recent));
        Ok(newest(lines, limit))
    }

    /// What is in memory, oldest first, and how many there were in all.
    pub(crate) fn snapshot(&self) -> (Vec<Arc<Event>>, u64) {
        self.with_recent(|events, noted| (events.iter().cloned().collect(), noted))
    }

    pub(crate) fn with_recent<T>(&self, look: impl FnOnce(&VecDeque<Arc<Event>>, u64) -> T) -> T {
        let recent = self.recent.lock();
        look(&recent.events, recent.noted)
    }

    /// [`Audit::lines`] as of a moment, of the newest rows alone.
    pub(crate) fn lines_of(
        &self,
        tx: &Tx,
        filter: &Filter,
        limit: usize,
        recent: &[Arc<Event>],
    ) -> Result<Vec<Line>, StoreError> {
        let (mut lines, _) = self.rows(tx, filter, limit, None)?;
        lines.extend(self.noted(filter, limit, recent));
        Ok(newest(lines, limit))
    }

    /// Reads, failures and denials.
    fn noted(&self, filter: &Filter, limit: usize, recent: &[Arc<Event>]) -> Vec<Line> {
        let own: Vec<_> =
            recent.iter().rev().filter(|event| filter.takes(event)).take(limit).collect();
        let line = |event: &&Arc<Event>| Line { at: event.at, text: event.json() };
        let mut lines: Vec<Line> = own.iter().map(line).collect();
        if let Some(written) = self.written.get().filter(|_| own.len() < limit) {
            let known = recent.iter().map(|event| &*event.request_id).collect();
            match written::lines(&**written, filter, &known, limit - own.len()) {
                Ok(older) => lines.extend(older),
                // What is in memory and in the store is better than nothing.
                Err(error) => tracing::warn!(%error, "the log of reads and failures is unreadable"),
            }
        }
        lines
    }

    /// Changes, which stand in the store: the newest ones before a place, and the place before which there
    /// may be more that are wanted.
    fn rows(
        &self,
        tx: &Tx,
        filter: &Filter,
        limit: usize,
        before: Option<&Place>,
    ) -> Result<(Vec<Line>, Option<Place>), StoreError> {
        let mut lines = Vec::new();
        if filter.denied || filter.failed {
            return Ok((lines, None));
        }
        let mut rows = tx.scan(&EVENTS, &Scope::Global).reverse();
        if let Some((at, id)) = before {
            rows = rows.to(&(*at, id.as_str()));
        }
        for (nth, found) in rows.enumerate() {
            let ((at, id), row) = found?;
            if at < filter.since || lines.len() >= limit {
                break;
            }
            if filter.takes_row(&row) {
                lines.push(Line { at, text: row.json(at, &id) });
            }
            if nth + 1 == ROWS_MAX {
                return Ok((lines, Some((at, id))));
            }
        }
        Ok((lines, None))
    }
}

pub(crate) fn newest(mut lines: Vec<Line>, limit: usize) -> Vec<Line> {
    lines.sort_by_key(|line| line.at);
    if lines.len() > limit {
        lines.drain(..lines.len() - limit);
    }
    lines
}

/// One record in JSON.
#[derive(Debug)]
pub struct Line {
    pub at: Timestamp,
    pub text: String,
}

/// Which records are wanted. Empty texts let everything through.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    /// This time included.
    pub since: Timestamp,
    pub service: String,
    pub operation: String,
    /// A part of the caller's ARN or access key.
    pub who: String,
    /// Only these accounts' records; `None` for all.
    pub account: Option<AccountId>,
    /// Only what was denied.
    pub denied: bool,
    /// Only what failed.
    pub failed: bool,
    /// Without reads.
    pub no_reads: bool,
    /// Without the reads of this user agent that went well.
    pub without_reads_of: String,
}

impl Filter {
    /// Whether it lets through whatever anybody does, apart from who looks.
    pub(crate) fn takes_all(&self) -> bool {
        let Filter { service, operation, who, account, denied, failed, no_reads, .. } = self;
        [service, operation, who].iter().all(|part| part.is_empty())
            && account.is_none()
            && !(*denied || *failed || *no_reads)
    }

    /// Whether it is wanted for what came of it.
    pub(crate) fn takes_outcome(&self, is_read: bool, failed: bool, denied: bool) -> bool {
        !(self.no_reads && is_read && !failed)
            && (!self.failed || failed)
            && (!self.denied || denied)
    }

    pub(crate) fn takes_common(
        &self,
        service: &str,
        operation: &str,
        account: Option<AccountId>,
        (arn, key): (&str, &str),
    ) -> bool {
        (self.service.is_empty() || self.service == service)
            && (self.operation.is_empty() || self.operation.eq_ignore_ascii_case(operation))
            && (self.account.is_none() || self.account == account)
            && (self.who.is_empty() || arn.contains(&self.who) || key == self.who)
    }

    /// Whether somebody who looks is to be seen looking.
    pub(crate) fn takes_agent(&self, agent: &str, is_read: bool, failed: bool) -> bool {
        self.without_reads_of.is_empty() || !is_read || failed || agent != self.without_reads_of
    }

    pub(crate) fn takes_row(&self, row: &EventRow) -> bool {
        let who = (row.arn.as_str(), row.access_key_id.as_str());
        self.takes_common(&row.service, &row.operation, row.account, who)
    }

    pub(crate) fn takes(&self, event: &Event) -> bool {
        let caller = &event.caller;
        let agent = event.user_agent.as_deref().unwrap_or_default();
        let who = (caller.principal.arn(), &*caller.access_key_id);
        let code = event.error.as_ref().map(|failure| failure.code.as_str());
        event.at >= self.since
            && self.takes_outcome(event.is_read, code.is_some(), code.is_some_and(is_denial))
            && self.takes_agent(agent, event.is_read, code.is_some())
            && self.takes_common(event.service, event.operation, caller.account, who)
    }
}

/// Whether an error's code says that somebody was not let in.
pub(crate) fn is_denial(code: &str) -> bool {
    let denials = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];
    let keys = ["InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"];
    let others = ["SignatureDoesNotMatch", "AuthFailure", "MissingAuthenticationToken"];
    [&denials, &keys, &others].iter().any(|codes| codes.contains(&code))
}

impl Event {
    /// As a line of the log and of `cumulet events`.
    pub fn json(&self) -> String {
        let caller = &*self.caller;
        let mut out = Writer::with_capacity(512);
        out.open('{');
        let identity = Identity {
            kind: kind(caller),
            principal_id: &caller.user_id,
            arn: caller.principal.arn(),
            account: caller.account,
            access_key_id: &caller.access_key_id,
        };
        identity.write(&mut out);
        let region = self.region.as_ref().map_or("", Region::as_str);
        let source_ip = self.source_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let agent = self.user_agent.as_deref().unwrap_or("");
        request(&mut out, self.at, (self.service, self.operation), region, (&source_ip, agent));
        if let Some(Failure { code, message, .. }) = &self.error {
            out.key("errorCode");
            out.string(code);
            out.key("errorMessage");
            out.string(message);
        }
        let reason = self.error.as_ref().and_then(|failure| failure.reason.as_deref());
        let is_root = caller.principal.kind() == PrincipalKind::Root;
        let allowed = match &self.allowed {
            // Of several permissions one was given, and another not.
            _ if reason.is_some() => None,
            Some(allowed) => Some(allowed.to_string()),
            None if self.error.is_none() && is_root => Some(BY_RIGHT.to_owned()),
            None => None,
        };
        more(&mut out, [("reason", reason), ("allowedBy", allowed.as_deref())]);
        out.key("requestParameters");
        out.open('{');
        out.key("path");
        out.string(&self.path);
        out.close('}');
        if let Some(arn) = &self.resource {
            out.key("resources");
            out.open('[');
            out.open('{');
            out.key("ARN");
            out.string(arn);
            out.close('}');
            out.close(']');
        }
        end(&mut out, &self.request_id, self.is_read);
        out.finish()
    }
}

/// Who may do everything.
const BY_RIGHT: &str = "root of the account, which needs no policy";

/// CloudTrail keeps what fits nowhere else under this name.
fn more<const N: usize>(out: &mut Writer, pairs: [(&str, Option<&str>); N]) {
    if pairs.iter().all(|(_, text)| text.is_none()) {
        return;
    }
    out.key("additionalEventData");
    out.open('{');
    for (name, text) in pairs {
        if let Some(text) = text {
            out.key(name);
            out.string(text);
        }
    }
    out.close('}');
}

impl EventRow {
    /// In words.
    fn allowed(&self) -> Option<String> {
        let sid = Some(&*self.allowed_sid).filter(|sid| !sid.is_empty());
        let place = self.allowed_statement.checked_sub(1);
        match (self.allowed_kind.as_str(), self.kind.as_str()) {
            ("", "Root") => Some(BY_RIGHT.to_owned()),
            ("", _) => None,
            (kind, _) => Some(api::allowed_by(kind, &self.allowed_policy, place, sid)),
        }
    }

    pub fn json(&self, at: Timestamp, request_id: &str) -> String {
        let mut out = Writer::with_capacity(512 + self.parameters.len());
        out.open('{');
        let identity = Identity {
            kind: &self.kind,
            principal_id: &self.user_id,
            arn: &self.arn,
            account: self.account,
            access_key_id: &self.access_key_id,
        };
        identity.write(&mut out);
        let from = (self.source_ip.as_str(), self.user_agent.as_str());
        request(&mut out, at, (&self.service, &self.operation), &self.region, from);
        out.key("requestParameters");
        match smithy::json::parse_document(self.parameters.as_bytes()) {
            Ok(document) => out.document(&document),
            Err(_) => out.string(&self.parameters),
        }
        let warnings = self.warnings.join("; ");
        let warnings = Some(&*warnings).filter(|text| !text.is_empty());
        let allowed = self.allowed();
        more(&mut out, [("allowedBy", allowed.as_deref()), ("warnings", warnings)]);
        end(&mut out, request_id, false);
        out.finish()
    }
}

struct Identity<'a> {
    kind: &'a str,
    principal_id: &'a str,
    arn: &'a str,
    account: Option<AccountId>,
    access_key_id: &'a str,
}

impl Identity<'_> {
    fn write(&self, out: &mut Writer) {
        out.key("eventVersion");
        out.string("1.11");
        out.key("userIdentity");
        out.open('{');
        let account = self.account.map(|account| account.to_string()).unwrap_or_default();
        let user = match self.kind {
            "IAMUser" => self.arn.rsplit('/').next().unwrap_or_default(),
            _ => "",
        };
        let fields = [
            ("type", self.kind),
            ("principalId", self.principal_id),
            ("arn", self.arn),
            ("accountId", &account),
            ("accessKeyId", self.access_key_id),
            ("userName", user),
        ];
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            out.key(name);
            out.string(value);
        }
        out.close('}');
    }
}

fn request(
    out: &mut Writer,
    at: Timestamp,
    (service, operation): (&str, &str),
    region: &str,
    (source_ip, agent): (&str, &str),
) {
    let source = format!("{service}.amazonaws.com");
    let time = at.iso8601_millis();
    let fields = [
        ("eventTime", time.as_str()),
        ("eventSource", &source),
        ("eventName", operation),
        ("awsRegion", region),
        ("sourceIPAddress", source_ip),
        ("userAgent", agent),
    ];
    for (name, value) in fields {
        out.key(name);
        out.string(value);
    }
}

fn end(out: &mut Writer, request_id: &str, is_read: bool) {
    out.key("requestID");
    out.string(request_id);
    out.key("eventID");
    out.string(&event_id(request_id));
    out.key("readOnly");
    out.boolean(is_read);
    out.key("eventType");
    out.string("AwsApiCall");
    out.close('}');
}

/// The id of a record, in the form of a UUID: the same whenever and by whomever it is read.
fn event_id(request_id: &str) -> String {
    let digest = base::hex::encode(&sigv4::sha256(request_id.as_bytes())[..16]);
    let parts = [&digest[..8], &digest[8..12], &digest[12..16], &digest[16..20], &digest[20..]];
    parts.join("-")
}

/// An input as JSON, sensitive members covered, cut where it is long.
fn parameters(input: &dyn Struct) -> String {
    let mut out = Writer::with_capacity(128);
    let mut room = PARAMETERS_BYTES_MAX;
    write_struct(&mut out, input, &mut room, 0);
    out.finish()
}

/// Names of parameters are as CloudTrail writes them.
fn write_struct(out: &mut Writer, value: &dyn Struct, room: &mut usize, depth: usize) {
    out.open('{');
    for (index, member) in value.shape().members.iter().enumerate() {
        let field = value.field(index).value();
        if matches!(field, Value::Absent) || *room == 0 {
            continue;
        }
        match member.name {
            "Bucket" => out.key("bucketName"),
            name => out.key_uncapitalized(name),
        }
        if smithy::value::is_sensitive(member) {
            out.string("***");
        } else {
            write_value(out, field, room, depth + 1);
        }
    }
    out.close('}');
}

fn write_value(out: &mut Writer, value: Value<'_>, room: &mut usize, depth: usize) {
    if *room == 0 || depth > 8 {
        return out.string("…");
    }
    *room = room.saturating_sub(8);
    match value {
        Value::Absent => out.null(),
        Value::Bool(b) => out.boolean(b),
        Value::Integer(n) => out.integer(n.into()),
        Value::Long(n) => out.integer(n),
        Value::Float(n) => out.double(n.into()),
        Value::Double(n) => out.double(n),
        Value::Str(text) => {
            let cut = text.floor_char_boundary((*room).min(512));
            *room = room.saturating_sub(cut);
            out.string(&text[..cut]);
        }
        Value::Blob(bytes) => out.string(&format!("[{} bytes]", bytes.len())),
        Value::Timestamp(at) => out.string(&at.iso8601_secs()),
        Value::Struct(inner) => write_struct(out, inner, room, depth),
        Value::List(list) => {
            out.open('[');
            for item in (0..list.len()).filter_map(|index| list.get(index)) {
                if *room == 0 {
                    break;
                }
                write_value(out, item.value(), room, depth + 1);
            }
            out.close(']');
        }
        Value::Map(map) => {
            out.open('{');
            for (key, item) in map.entries() {
                if *room == 0 {
                    break;
                }
                *room = room.saturating_sub(key.len());
                out.key(key);
                write_value(out, item.value(), room, depth + 1);
            }
            out.close('}');
        }
        Value::Document(_) | Value::Custom(_) => out.string("…"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use base::{ManualClock, SeededEntropy};
    use store::blobs::block_on;

    pub(crate) fn row(operation: &str) -> EventRow {
        EventRow {
            service: "s3".into(),
            operation: operation.into(),
            account: Some(AccountId::DEFAULT),
            kind: "Root".into(),
            arn: "arn:aws:iam::000000000000:root".into(),
            access_key_id: "test".into(),
            user_id: "000000000000".into(),
            region: "us-east-1".into(),
            source_ip: "127.0.0.1".into(),
            user_agent: String::new(),
            parameters: "{\"Bucket\":\"b\"}".into(),
            warnings: Vec::new(),
            allowed_kind: String::new(),
            allowed_policy: String::new(),
            allowed_statement: 0,
            allowed_sid: String::new(),
        }
    }

    #[test]
    fn addresses_are_shown_as_ever() {
        for text in ["0.0.0.0", "127.0.0.1", "10.200.99.100", "255.255.255.255", "::1", "fe80::1"] {
            assert_eq!(shown(text.parse().unwrap()), text);
        }
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let store = Store::memory(clock.clone(), Arc::new(SeededEntropy::new(1)));
        let put = |count: usize, name: &str| {
            let write = store.write(|tx| {
                for n in 0..count {
                    let key = (tx.now(), format!("{name}{n}"));
                    tx.put(&EVENTS, &Scope::Global, &key, &row(name))?;
                }
                Ok::<_, StoreError>(())
            });
            write.now().unwrap().unwrap();
        };
        put(FORGOTTEN_MAX + 10, "Old");
        clock.jump_to(clock_day(&*clock, RETENTION_DAYS));
        put(3, "New");
        let audit = Audit::default();
        assert!(!audit.forget_old(&store).unwrap());
        clock.jump_to(clock_day(&*clock, 1));
        assert!(audit.forget_old(&store).unwrap());
        assert!(!audit.forget_old(&store).unwrap());
        assert!(!audit.forget_old(&store).unwrap());
        let lines = block_on(audit.lines(&store, &Filter::default(), 100)).unwrap();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.text.contains("\"eventName\":\"New\"")));
        assert!(lines[0].text.contains("\"requestParameters\":{\"Bucket\":\"b\"}"));
    }

    #[test]
    fn a_search_goes_back_beyond_one_look() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
        let store = Store::memory(clock.clone(), Arc::new(SeededEntropy::new(1)));
        let put = |ids: std::ops::Range<usize>, name: &str| {
            let write = store.write(|tx| {
                for n in ids.clone() {
                    let key = (tx.now(), format!("{n:06}"));
                    tx.put(&EVENTS, &Scope::Global, &key, &row(name))?;
                }
                Ok::<_, StoreError>(())
            });
            write.now().unwrap().unwrap();
            clock.advance_ms(1);
        };
        put(0..2, "Wanted");
        // The second look begins in the middle of a millisecond.
        for part in 0..5 {
            put(part * 4_500..(part + 1) * 4_500, "Other");
        }
        let audit = Audit::default();
        let filter = Filter { operation: "Wanted".into(), ..Filter::default() };
        let found =
            |filter: &Filter, limit| block_on(audit.lines(&store, filter, limit)).unwrap().len();
        assert_eq!([1, 2, 3].map(|limit| found(&filter, limit)), [1, 2, 2]);
        assert_eq!(found(&Filter::default(), usize::MAX), 22_502);
        let since = Timestamp::from_secs(1_800_000_000).plus_millis(1);
        assert_eq!(found(&Filter { since, ..filter }, 3), 0);
    }

    fn clock_day(clock: &dyn base::Clock, days: i64) -> Timestamp {
        clock.now().plus_secs(days * 86_400)
    }
}
