//! Pages for whoever runs the cloud, below `/_cumulet/`: the audit trail, jobs, snapshots, the clock, faults
//! and resets, and some of the engine's ([`engine`]). Signed like
//! every other request (service `cumulet`) and authorised as `cumulet:*` actions.
//!
//! Principals of the default account run the cloud; those of other accounts see the events of their
//! own, may reset it, and nothing else.

use crate::audit::Filter;
use crate::authenticate::{Received, Signed, check_token};
use crate::encode::{Ids, Response, ResponseStream};
use crate::engine;
use crate::follow::Follow;
use crate::gateway::{Gateway, Peer, Seen};
use crate::head::Head;
use crate::identify::Entry;
use crate::pages::page;
use crate::payload::refusal;
use api::{Answer, Ask, AsyncCx, Cx, Error, Hooks, Service, Started, Tx};
use base::{AccountId, Timestamp};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use sigv4::{Cause, Dialect, EMPTY_SHA256, Expect, Rules, SKEW_S3_S};
use smithy::Struct;
use smithy::json::Writer;
use smithy::model::{HttpRule, Operation, Protocol, Routes, ServiceModel};
use std::sync::Arc;
use store::SnapshotError;

/// What credential scopes and actions call it.
pub const SERVICE: &str = "cumulet";
const EVENTS_MAX: usize = 1000;
const PARKED_SHOWN_MAX: usize = 100;

const NO_RULE: HttpRule = HttpRule { method: "GET", path: &[], query: &[], headers: &[] };

const fn operation(name: &'static str, index: u16) -> Operation {
    Operation { name, index, http: NO_RULE, served: None }
}

static MODEL: ServiceModel = ServiceModel {
    name: SERVICE,
    service_id: "Cumulet",
    signing_name: SERVICE,
    endpoint_prefix: SERVICE,
    action_prefix: SERVICE,
    api_version: "2026-11-20",
    target_prefix: None,
    xml_namespace: None,
    protocols: &[Protocol::RestJson1],
    query_compatible: false,
    crc32: false,
    whole_seconds: false,
    validate: false,
    routes: Routes::new(),
    // By name, in order.
    operations: &[
        operation("CreateFault", 0),
        operation("DeleteFault", 1),
        operation("DeleteSnapshot", 2),
        operation("GetClock", 3),
        operation("ListEvents", 4),
        operation("ListFaults", 5),
        operation("ListJobs", 6),
        operation("ListSnapshots", 7),
        operation("ManageContainers", 8),
        operation("ReadContainers", 9),
        operation("ResetAccount", 10),
        operation("ResetCloud", 11),
        operation("SaveSnapshot", 12),
        operation("SetClock", 13),
        // Requests to the registry of images, in the records.
        operation("UseRegistry", 14),
    ],
};

pub(crate) fn known(name: &str) -> Option<&'static Operation> {
    MODEL.operation(name)
}

/// Those whose record stands in their own transaction.
const RECORDED: [&str; 5] =
    ["CreateFault", "DeleteFault", "ResetAccount", "ResetCloud", "SetClock"];

fn operation_of(head: &Head<'_>, of_account: bool) -> Option<&'static str> {
    Some(match (head.method, head.path) {
        ("GET", "/_cumulet/clock") => "GetClock",
        ("POST", "/_cumulet/clock") => "SetClock",
        ("GET", "/_cumulet/events") => "ListEvents",
        ("GET", "/_cumulet/faults") => "ListFaults",
        ("POST", "/_cumulet/faults") => "CreateFault",
        ("DELETE", "/_cumulet/faults") => "DeleteFault",
        ("GET", "/_cumulet/jobs") => "ListJobs",
        ("POST", "/_cumulet/reset") if of_account => "ResetAccount",
        ("POST", "/_cumulet/reset") => "ResetCloud",
        ("GET", "/_cumulet/snapshots") => "ListSnapshots",
        ("POST", "/_cumulet/snapshots") => "SaveSnapshot",
        ("DELETE", "/_cumulet/snapshots") => "DeleteSnapshot",
        (method, path) => return engine::operation(method, path),
    })
}

pub(crate) fn registry_operation() -> Option<&'static Operation> {
    known("UseRegistry")
}

/// Stands in the place of a service where the gateway needs one.
struct Own;

impl Hooks for Own {}

impl Service for Own {
    fn model(&self) -> &'static ServiceModel {
        &MODEL
    }
    fn hooks(&self) -> &dyn Hooks {
        self
    }
    fn read(&self, operation: u16, _: &Tx, _: &Cx, _: &dyn Struct) -> Answer {
        Err(Error::wrong_kind(operation))
    }
    fn write(&self, operation: u16, _: &mut Tx, _: &Cx, _: &dyn Struct) -> Answer {
        Err(Error::wrong_kind(operation))
    }
    fn start<'a>(&'a self, operation: u16, _: &'a AsyncCx, _: &'a dyn Struct) -> Started<'a> {
        api::not_started(operation)
    }
    fn authorize(&self, operation: u16, _: &Cx, _: &dyn Struct) -> Result<Vec<Ask>, Error> {
        Err(Error::wrong_kind(operation))
    }
}

/// What the gateway needs of a service, for these pages.
pub(crate) fn entry() -> Entry {
    Entry::new(Arc::new(Own))
}

impl Gateway {
    pub(crate) async fn admin_page<'g>(
        &'g self,
        peer: &Peer,
        head: &Head<'_>,
        seen: &mut Seen<'g>,
    ) -> Result<Response, Error> {
        seen.entry = Some(&self.admin);
        seen.protocol = Some(Protocol::RestJson1);
        seen.ids = Some(Ids::new(&*self.entropy, false));
        let whose = head.query_value("account").filter(|value| !value.is_empty());
        let name = operation_of(head, whose.is_some());
        let name =
            name.ok_or_else(|| Error::with_code("NotFound", 404, "There is no such page."))?;
        let operation = known(name).ok_or_else(|| Error::internal("no such operation"))?;
        seen.operation = Some(operation);
        let (signed, expires) = self.admin_signed(peer, head)?;
        seen.caller = Some(signed.caller.clone());
        seen.region = Some(signed.region.clone());
        let account = signed.caller.account;
        let cx = self.context(head, &self.admin, operation, &signed, peer, seen);
        let ask = Ask::new(format!("{SERVICE}:{name}"), "*");
        self.store.read(|tx| cx.authorize(tx, &ask))?;
        let runs = account == Some(AccountId::DEFAULT);
        let wanted = whose.map(|text| AccountId::parse(text).ok_or_else(|| not_valid("account")));
        let wanted = wanted.transpose()?;
        let is_own = match name {
            "ListEvents" => true,
            "ResetAccount" => wanted == account,
            _ => false,
        };
        if !runs && !is_own {
            let text = "Only principals of the default account may do this.";
            return Err(Error::with_code("AccessDeniedException", 403, text));
        }
        let snapshot = || head.query_value("name").unwrap_or("");
        let answer = match name {
            "GetClock" => Ok(self.clock_page()),
            "SetClock" => self.set_clock(head, &cx).await,
            "ListEvents" => {
                let (filter, limit) = filter(head, account.filter(|_| !runs))?;
                match flag(head, "follow") {
                    true => self.follow(cx, ask, expires, filter),
                    false => self.events(&filter, limit).await,
                }
            }
            "ReadContainers" | "ManageContainers" => self.engine_page(head).await,
            "ListFaults" => Ok(self.fault_page()),
            "CreateFault" => self.create_fault(head, wanted, &cx).await,
            "DeleteFault" => self.delete_fault(head, &cx).await,
            "ListJobs" => self.job_list(),
            "ResetAccount" | "ResetCloud" => self.reset(&cx, wanted).await,
            "ListSnapshots" => self.snapshots(),
            "SaveSnapshot" => {
                self.store.snapshot_save_apart(snapshot()).await.map_err(snapshot_error)?;
                self.snapshots()
            }
            _ => {
                self.store.snapshot_remove_apart(snapshot()).await.map_err(snapshot_error)?;
                self.snapshots()
            }
        };
        seen.recorded = answer.is_ok() && RECORDED.contains(&name);
        answer
    }

    /// Who signed, and when their key ends.
    fn admin_signed(
        &self,
        peer: &Peer,
        head: &Head<'_>,
    ) -> Result<(Signed, Option<Timestamp>), Error> {
        let refused = |error| refusal(error, Dialect::RestJson);
        let presented = sigv4::presented(&head.signed()).map_err(refused)?;
        let presented = presented.ok_or_else(|| {
            refused(sigv4::AuthError::new(sigv4::Place::Header, Cause::NoCredentials))
        })?;
        let id = presented.access_key();
        let known = self.known(peer, head, id, false, |c| refused(presented.refuse(c)))?;
        let scoped = known.scoped(presented.date(), presented.region(), presented.service());
        let scoped =
            scoped.ok_or_else(|| refused(presented.refuse(Cause::Credential(id.to_owned()))))?;
        let wall = self.clock.wall();
        let rules = Rules::General { body_sha256: EMPTY_SHA256 };
        let (service, region, skew_s) = (SERVICE, None, SKEW_S3_S);
        let expect = Expect { rules, service, region, skew_s, now: wall };
        presented.verify(&head.signed(), &scoped.key, &expect).map_err(refused)?;
        check_token(&known, presented.token(), self.clock.now())
            .map_err(|c| refused(presented.refuse(c)))?;
        let signed = Signed {
            caller: known.caller.clone(),
            region: scoped.region.clone(),
            body: Received::Whole(Bytes::new()),
            place: Some(presented.place()),
            version_two: false,
            signed_at: Some(presented.time()),
            content_sha256: None,
        };
        Ok((signed, known.expires))
    }

    fn follow(
        &self,
        cx: Cx,
        ask: Ask,
        expires: Option<Timestamp>,
        filter: Filter,
    ) -> Result<Response, Error> {
        let own = self.own.upgrade().ok_or_else(|| Error::not_implemented("follow"))?;
        let follow = Follow::new(&own, cx, ask, expires, filter)?;
        let mut response = Response::new(ResponseStream::Flowing(None, Box::pin(follow)));
        let lines = HeaderValue::from_static("application/x-ndjson");
        response.headers_mut().insert(CONTENT_TYPE, lines);
        Ok(response)
    }

    async fn events(&self, filter: &Filter, limit: usize) -> Result<Response, Error> {
        let lines = self.guard.audit.lines(&self.store, filter, limit).await?;
        let mut out = String::from("{\"events\":[");
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&line.text);
        }
        out.push_str("]}");
        Ok(page("application/json", out))
    }

    /// How many jobs there are of each kind, and those that failed too often, with the reason.
    fn job_list(&self) -> Result<Response, Error> {
        let (counts, parked) = self.store.read(|tx| {
            Ok::<_, Error>((self.jobs.counts(tx)?, self.jobs.parked(tx, PARKED_SHOWN_MAX)?))
        })?;
        let mut out = Writer::with_capacity(256);
        out.open('{');
        out.key("kinds");
        out.open('[');
        for count in counts {
            out.open('{');
            out.key("kind");
            out.string(count.kind);
            if let Some(due) = count.next_due {
                out.key("nextDue");
                out.string(&due.iso8601_secs());
            }
            let numbers = [
                ("waiting", count.waiting as i64),
                ("parked", count.parked as i64),
                ("done", count.done as i64),
                ("failed", count.failed as i64),
            ];
            for (name, value) in numbers {
                out.key(name);
                out.integer(value);
            }
            out.close('}');
        }
        out.close(']');
        out.key("parked");
        out.open('[');
        for job in parked {
            out.open('{');
            out.key("kind");
            out.string(&job.kind);
            out.key("key");
            out.string(&base::hex::encode(&job.key));
            out.key("enqueued");
            out.string(&job.row.enqueued.iso8601_secs());
            out.key("attempts");
            out.integer(job.row.attempts.into());
            out.key("error");
            out.string(&job.row.error);
            out.close('}');
        }
        out.close(']');
        out.close('}');
        Ok(page("application/json", out.finish()))
    }

    fn snapshots(&self) -> Result<Response, Error> {
        let all = self.store.snapshot_list().map_err(snapshot_error)?;
        let mut out = Writer::with_capacity(256);
        out.open('{');
        out.key("snapshots");
        out.open('[');
        for info in all {
            out.open('{');
            out.key("name");
            out.string(&info.name);
            out.key("taken");
            out.string(&info.taken.iso8601_secs());
            out.key("commit");
            out.integer(info.version as i64);
            out.key("sizeBytes");
            out.integer(info.size_bytes as i64);
            if let Some(problem) = &info.problem {
                out.key("problem");
                out.string(problem);
            }
            out.close('}');
        }
        out.close(']');
        out.close('}');
        Ok(page("application/json", out.finish()))
    }
}

fn flag(head: &Head<'_>, name: &str) -> bool {
    head.query_value(name).is_some_and(|value| value != "false")
}

/// Which records are asked for, and how many.
fn filter(head: &Head<'_>, account: Option<AccountId>) -> Result<(Filter, usize), Error> {
    let text = |name| head.query_value(name).unwrap_or("").to_owned();
    let bad =
        |name: &str| Error::with_code("ValidationException", 400, format!("{name} is not valid"));
    let since = match head.query_value("since").filter(|value| !value.is_empty()) {
        None => Timestamp::EPOCH,
        Some(text) => Timestamp::parse_iso8601(text).map_err(|_| bad("since"))?,
    };
    let wanted = match head.query_value("account").filter(|value| !value.is_empty()) {
        None => None,
        Some(text) => Some(AccountId::parse(text).ok_or_else(|| bad("account"))?),
    };
    let limit = match head.query_value("limit").filter(|value| !value.is_empty()) {
        None => 100,
        Some(text) => text.parse::<usize>().map_err(|_| bad("limit"))?.min(EVENTS_MAX),
    };
    let filter = Filter {
        since,
        service: text("service"),
        operation: text("operation"),
        who: text("who"),
        account: account.or(wanted),
        denied: flag(head, "denied"),
        failed: flag(head, "failed"),
        no_reads: flag(head, "no_reads"),
        without_reads_of: text("without_reads_of"),
    };
    Ok((filter, limit))
}

fn not_valid(name: &str) -> Error {
    Error::with_code("ValidationException", 400, format!("{name} is not valid"))
}

fn snapshot_error(error: SnapshotError) -> Error {
    let text = error.to_string();
    match error {
        SnapshotError::BadName(_) => Error::with_code("ValidationException", 400, text),
        SnapshotError::Exists(_) => Error::with_code("ConflictException", 409, text),
        SnapshotError::Missing(_) => Error::with_code("ResourceNotFoundException", 404, text),
        _ => Error::with_code("SnapshotFailed", 500, text),
    }
}
