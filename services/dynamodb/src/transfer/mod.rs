//! Exports to S3 and imports from it: errands, which call S3 as whoever asked for them.

pub(crate) mod export;
mod export_run;
pub(crate) mod import;
mod import_run;
pub(crate) mod records;

use crate::error::invalid;
use crate::jobs::{ATTEMPTS_MAX, failed, is_last, scope_of};
use crate::names::TableName;
use api::{Background, Caller, Cx, Error, Outgoing, Reply, RequestBody, Tx};
use base::{AccountId, Partition, Region, Timestamp};
use policy::{Principal, PrincipalKind};
use smithy::Struct;
use std::pin::Pin;
use std::sync::Arc;
use store::{JobError, JobKind, JobOutcome, Jobs, Row, Scope, StoreError, Table, row};

pub(crate) use export_run::EXPORT;
pub(crate) use import_run::IMPORT;

/// Exports and imports of one page.
const PAGE_MAX: usize = 25;
const AGENT: &str = "dynamodb.amazonaws.com";
/// What clients are told when nothing of theirs was wrong.
const GIVEN_UP: &str = "We encountered an internal error. Please try again.";

row! {
    /// Who asked, as far as it is needed to ask again whether they may. Policies of a session were looked
    /// at when it asked; they are not kept.
    pub struct CallerRow {
        1 => kind: u32,
        2 => account: AccountId,
        3 => arn: String,
        4 => issuer: String,
        5 => user_id: String,
        6 => name: String,
    }
}

pub(crate) fn register(jobs: &mut Jobs, with: &Background) {
    export_run::ERRAND.register(jobs, with);
    import_run::ERRAND.register(jobs, with);
}

/// By account, region and id.
type OfTransfer = (AccountId, Region, String);
type Soon<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

type Step = for<'a> fn(&'a Background, &'a Scope, &'a str) -> Soon<'a, JobOutcome, Trouble>;
/// Ends it for good, with the code and text of what went wrong.
type Fail = for<'a> fn(
    &'a Background,
    &'a Scope,
    &'a str,
    (&'static str, String),
) -> Soon<'a, (), JobError>;

/// What is done for each export, or each import.
struct Errand {
    kind: JobKind<OfTransfer>,
    step: Step,
    fail: Fail,
}

impl Errand {
    fn register(self, jobs: &mut Jobs, with: &Background) {
        let (with, step, fail) = (with.clone(), self.step, self.fail);
        jobs.register_errand(&self.kind, ATTEMPTS_MAX, move |cx, (account, region, id)| {
            let with = with.clone();
            Box::pin(async move {
                let scope = scope_of(account, &region);
                match step(&with, &scope, &id).await {
                    Ok(outcome) => Ok(outcome),
                    // Nobody would try again: better a failure that is told than one that waits for ever.
                    Err(Trouble::Later(error)) if is_last(&cx) && !error.is_passing() => {
                        tracing::error!(id, %error, "an export or import is given up");
                        fail(&with, &scope, &id, ("UnknownError", GIVEN_UP.to_owned())).await?;
                        Ok(JobOutcome::Done)
                    }
                    Err(Trouble::Later(error)) => Err(error),
                    Err(Trouble::Over(code, text)) => {
                        fail(&with, &scope, &id, (code, text)).await?;
                        Ok(JobOutcome::Done)
                    }
                }
            })
        });
    }
}

fn status(ended: Option<Timestamp>, failure: Option<&String>) -> &'static str {
    match (ended, failure) {
        (None, _) => "IN_PROGRESS",
        (Some(_), None) => "COMPLETED",
        (Some(_), Some(_)) => "FAILED",
    }
}

/// How long a client token is remembered.
const TOKEN_MS: i64 = 8 * 3_600_000;

/// What was asked for with the same token not long ago. `known` tells a row's token and when it began.
fn with_token<R: Row>(
    tx: &Tx,
    rows: &Table<String, R>,
    scope: &Scope,
    token: Option<&String>,
    known: fn(&R) -> (Option<&String>, Timestamp),
) -> Result<Option<R>, Error> {
    if token.is_none() {
        return Ok(None);
    }
    for row in tx.scan(rows, scope).reverse() {
        let (_, row) = row?;
        let (its, began) = known(&row);
        if began < tx.now().plus_millis(-TOKEN_MS) {
            return Ok(None);
        }
        if its == token {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

impl CallerRow {
    pub fn of(cx: &Cx) -> CallerRow {
        let caller = &cx.caller;
        let kind = match caller.principal.kind() {
            PrincipalKind::User => 1,
            PrincipalKind::Session => 2,
            PrincipalKind::FederatedUser => 3,
            _ => 0,
        };
        CallerRow {
            kind,
            account: caller.account.unwrap_or(cx.account),
            arn: caller.principal.arn().to_owned(),
            issuer: caller.principal.issuer_arn().to_owned(),
            user_id: caller.user_id.to_string(),
            name: caller.name.to_string(),
        }
    }

    fn caller(&self, partition: Partition) -> Caller {
        let account = self.account;
        let principal = match self.kind {
            1 => Principal::user(account, &*self.arn),
            2 => Principal::session(account, &*self.arn, &*self.issuer),
            3 => Principal::federated_user(account, &*self.arn, &*self.issuer),
            _ => Principal::root(partition, account),
        };
        Caller {
            principal: principal.with_canonical_id(account.canonical_user_id()),
            access_key_id: "".into(),
            account: Some(account),
            user_id: self.user_id.as_str().into(),
            name: self.name.as_str().into(),
            session_policies: None,
            tags: Arc::new([]),
            session_keys: Arc::default(),
            token_issued: None,
            mfa: false,
        }
    }
}

/// S3 as one caller sees it.
#[derive(Clone)]
struct S3 {
    with: Background,
    caller: Arc<Caller>,
    account: AccountId,
    region: Region,
}

impl S3 {
    fn new(with: &Background, caller: &CallerRow, region: &Region) -> S3 {
        S3 {
            with: with.clone(),
            caller: Arc::new(caller.caller(region.partition())),
            account: caller.account,
            region: region.clone(),
        }
    }

    async fn call<O: Struct>(
        &self,
        operation: &str,
        input: &dyn Struct,
        body: RequestBody,
    ) -> Result<Reply<O>, Error> {
        let call = Outgoing {
            caller: self.caller.clone(),
            account: self.account,
            region: self.region.clone(),
            service: "s3",
            operation,
            input,
            body,
            agent: AGENT,
        };
        self.with.send(call).await
    }
}

/// What a listing of exports or imports is about.
struct Listing<'r> {
    table: Option<TableName>,
    /// As the request has it; a token goes on with the same.
    arn: &'r str,
    limit: usize,
    token: Option<&'r String>,
}

impl<'r> Listing<'r> {
    fn new(
        cx: &Cx,
        arn: &'r Option<String>,
        limit: Option<i32>,
        token: &'r Option<String>,
    ) -> Result<Listing<'r>, Error> {
        let table = arn.as_ref().map(|arn| TableName::parse(cx, arn)).transpose()?;
        let limit = limit.map_or(PAGE_MAX, |limit| (limit as usize).min(PAGE_MAX));
        let arn = arn.as_deref().unwrap_or("");
        Ok(Listing { table, arn, limit, token: token.as_ref() })
    }

    /// The newest first, and the token of the page that comes next.
    fn page<R: Row>(
        &self,
        tx: &Tx,
        cx: &Cx,
        rows: &Table<String, R>,
        name: impl Fn(&R) -> &str,
    ) -> Result<(Vec<R>, Option<String>), Error> {
        let own = || Scope::AccountRegion(cx.account, cx.region.clone());
        let scope = self.table.as_ref().map_or_else(own, TableName::scope);
        let context = cx.token_place(&[self.arn]);
        let mut scan = tx.scan(rows, &scope).reverse();
        if let Some(token) = self.token {
            let last = cx.door.open_token(&context, token);
            scan = scan.to(last.ok_or_else(|| invalid("Invalid NextToken"))?.as_str());
        }
        let (mut all, mut last) = (Vec::new(), None);
        for row in scan {
            let (id, row) = row?;
            if self.table.as_ref().is_some_and(|table| table.name != name(&row)) {
                continue;
            }
            if all.len() == self.limit {
                return Ok((all, last.map(|id: String| cx.door.seal_token(&context, &id))));
            }
            all.push(row);
            last = Some(id);
        }
        Ok((all, None))
    }
}

/// Why an errand cannot go on: for good, or for now.
enum Trouble {
    /// Code and text for whoever asks what became of it.
    Over(&'static str, String),
    Later(JobError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Later(JobError::Store(error))
    }
}

impl From<JobError> for Trouble {
    fn from(error: JobError) -> Trouble {
        Trouble::Later(error)
    }
}

/// What an error of S3 means.
fn of_s3(error: Error) -> Trouble {
    let text = error.message().to_owned();
    match error.code() {
        "AccessDenied" => Trouble::Over("S3AccessDenied", text),
        "NoSuchBucket" => Trouble::Over("S3NoSuchBucket", text),
        "NoSuchKey" => Trouble::Over("S3NoSuchKey", text),
        _ if error.status() < 500 => Trouble::Over("S3Error", error.to_string()),
        _ => of_error(error),
    }
}

fn of_error(error: Error) -> Trouble {
    Trouble::Later(failed(error))
}
