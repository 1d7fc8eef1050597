//! What stands behind an operation ([`api::Door`]): decisions, the audit trail, other services, paging
//! tokens.
//!
//! A decision rests on the operation's own snapshot: the resource says what it grants, the caller's
//! policies are looked up, and [`policy::evaluate`] answers. Root of the account that owns the
//! resource needs no evaluation where no resource policy speaks.

use crate::audit::{Audit, Event, Failure};
use crate::denial;
use crate::identify::{Directory, Entry};
use crate::keys::Keys;
use crate::token;
use api::{
    Allowed, Ask, AsyncCx, Background, Caller, Cx, CxParts, Door, Error, Grants, Hooks, HttpInfo,
    IdentityPolicies, NamedPolicy, Outgoing, Reply, Sent, Through, Tx,
};
use base::AccountId;
use policy::{
    Context, Decision, Named, Outcome, Policies, Policy, PrincipalKind, Request, ResourceRole,
    Value,
};
use smithy::Struct;
use smithy::model::{Auth, AuthRule, Kind, Operation, Piece};
use std::fmt::Write;
use std::sync::{Arc, LazyLock, Weak};
use store::Tx as StoreTx;

/// Calls of one operation to another, one within the other.
const CALLS_DEEP_MAX: usize = 8;

pub(crate) struct Guard {
    pub directory: Directory,
    pub keys: Keys,
    pub audit: Audit,
    pub token_key: [u8; 32],
    /// Itself, for contexts that it makes.
    pub own: Weak<Guard>,
}

fn named(policy: &NamedPolicy) -> Named<'_> {
    Named { policy: &policy.policy, name: &policy.name }
}

fn all_named(policies: &[NamedPolicy]) -> Vec<Named<'_>> {
    policies.iter().map(named).collect()
}

impl Door for Guard {
    fn authorize(&self, tx: &StoreTx, cx: &Cx, ask: &Ask) -> Result<(), Error> {
        let hooks = self.hooks_of(cx, ask);
        let grants = hooks.grants(tx, cx, ask)?;
        let caller = &cx.caller;
        let own = grants.owner.is_none_or(|owner| caller.account == Some(owner));
        let adds = grants.role == ResourceRole::Grants;
        let bare = grants.policy.is_none() && grants.through.is_none();
        if caller.principal.kind() == PrincipalKind::Root && own && adds && bare {
            return Ok(());
        }
        self.decide(tx, cx, ask, &grants, hooks)
    }

    fn audit(
        &self,
        tx: &mut StoreTx,
        cx: &Cx,
        input: &dyn Struct,
        _output: Option<&dyn Struct>,
    ) -> Result<(), Error> {
        self.audit.record(tx, cx, input)
    }

    fn seal_token(&self, context: &str, place: &str) -> String {
        token::seal(&self.token_key, context, place)
    }

    fn open_token(&self, context: &str, token: &str) -> Option<String> {
        token::open(&self.token_key, context, token)
    }

    fn call(
        &self,
        tx: &mut StoreTx,
        cx: &Cx,
        caller: Arc<Caller>,
        service: &str,
        operation: &str,
        input: &dyn Struct,
    ) -> Result<Box<dyn Struct>, Error> {
        let missing = || Error::internal(format!("no operation {service}:{operation} to call"));
        let entry = self.directory.by_name(service).ok_or_else(missing)?;
        let operation = entry.model.operation(operation).ok_or_else(missing)?;
        let served = operation.served.as_ref().ok_or_else(missing)?;
        if cx.request_id.matches('/').count() >= CALLS_DEEP_MAX {
            return Err(Error::internal("operations call each other without end"));
        }
        let inner = Cx::new(CxParts {
            // The mark of an inner call: its audit record stands beside the outer one.
            request_id: format!("{}/{}", cx.request_id, operation.name).into(),
            account: caller.account.unwrap_or(cx.account),
            caller,
            region: cx.region.clone(),
            http: cx.http.clone(),
            service: entry.model,
            operation,
            clock: cx.clock.clone(),
            entropy: cx.entropy.clone(),
            door: self.own.upgrade().ok_or_else(missing)?,
        });
        let asks = asks(entry, operation, &inner, input)?;
        match served.kind {
            Kind::Read => {
                authorize_all(tx, &inner, &asks)?;
                let output = entry.service.read(operation.index, tx, &inner, input)?;
                inner.check_asked()?;
                Ok(output)
            }
            Kind::Write => self.write(tx, &inner, entry, &asks, input),
            Kind::Async => {
                Err(Error::internal(format!("{service}: async operations cannot be called")))
            }
        }
    }

    fn send<'a>(&'a self, with: &'a Background, call: Outgoing<'a>) -> Sent<'a> {
        Box::pin(async move {
            let (caller, region) = (call.caller.clone(), call.region.clone());
            let (agent, operation) = (call.agent, call.operation);
            let (cx, entry) = self.outgoing(with, &call)?;
            let (request_id, is_read) = (cx.request_id.clone(), is_read(cx.operation));
            let (reply, recorded) = self.run_outgoing(with, call, cx, entry).await;
            if !recorded {
                self.audit.note(Event {
                    at: with.clock.now(),
                    request_id,
                    service: entry.model.name,
                    operation: entry.model.operation(operation).map_or("", |known| known.name),
                    is_read,
                    caller,
                    region: Some(region),
                    source_ip: None,
                    user_agent: Some(agent.to_owned()),
                    path: String::new(),
                    resource: None,
                    allowed: None,
                    error: reply.as_ref().err().map(Failure::of),
                });
            }
            reply
        })
    }
}

fn is_read(operation: &Operation) -> bool {
    let read = operation.served.as_ref().is_some_and(|served| served.kind == Kind::Read);
    read || operation.http.method == "GET"
}

impl Guard {
    /// The context of a call from an errand.
    fn outgoing(&self, with: &Background, call: &Outgoing<'_>) -> Result<(Cx, &Entry), Error> {
        let (service, operation) = (call.service, call.operation);
        let missing = || Error::internal(format!("no operation {service}:{operation} to call"));
        let entry = self.directory.by_name(service).ok_or_else(missing)?;
        let cx = Cx::new(CxParts {
            request_id: with.entropy.uuid().into(),
            account: call.account,
            caller: call.caller.clone(),
            region: call.region.clone(),
            http: HttpInfo {
                host: call.agent.to_owned(),
                secure: true,
                user_agent: Some(call.agent.to_owned()),
                auth_type: Some("REST-HEADER"),
                ..HttpInfo::default()
            },
            service: entry.model,
            operation: entry.model.operation(operation).ok_or_else(missing)?,
            clock: with.clock.clone(),
            entropy: with.entropy.clone(),
            door: self.own.upgrade().ok_or_else(missing)?,
        });
        Ok((cx, entry))
    }

    /// The answer, and whether the audit record was committed with it.
    async fn run_outgoing(
        &self,
        with: &Background,
        call: Outgoing<'_>,
        cx: Cx,
        entry: &Entry,
    ) -> (Result<Reply<Box<dyn Struct>>, Error>, bool) {
        let (operation, input) = (cx.operation, call.input);
        let asks = match asks(entry, operation, &cx, input) {
            Ok(asks) => asks,
            Err(error) => return (Err(error), false),
        };
        let Some(served) = &operation.served else {
            return (Err(Error::not_implemented(operation.name)), false);
        };
        match served.kind {
            Kind::Read => {
                let output = with.store.read(|tx| {
                    authorize_all(tx, &cx, &asks)?;
                    let output = entry.service.read(operation.index, tx, &cx, input)?;
                    cx.check_asked().map(|()| output)
                });
                (output.map(Reply::new), false)
            }
            Kind::Write => {
                let write = |tx: &mut StoreTx| self.write(tx, &cx, entry, &asks, input);
                let output = with.store.write_in_turn(write).await;
                let recorded = output.is_ok();
                (output.map(Reply::new), recorded)
            }
            Kind::Async => {
                let cx = AsyncCx::new(cx, with.store.clone(), asks, call.body);
                let reply = entry.service.start(operation.index, &cx, input).await;
                let recorded = cx.is_recorded();
                (reply.and_then(|reply| cx.check_asked_at_all().map(|()| reply)), recorded)
            }
        }
    }

    /// Runs a write inside a transaction: authorised, recorded.
    pub fn write(
        &self,
        tx: &mut StoreTx,
        cx: &Cx,
        entry: &Entry,
        asks: &[Ask],
        input: &dyn Struct,
    ) -> Result<Box<dyn Struct>, Error> {
        authorize_all(tx, cx, asks)?;
        let output = entry.service.write(cx.operation.index, tx, cx, input)?;
        cx.check_asked()?;
        if entry.model.name == "iam" {
            self.keys.identities_change(tx);
        }
        self.audit.record(tx, cx, input)?;
        Ok(output)
    }

    /// Those of the service whose action it is.
    fn hooks_of<'g>(&'g self, cx: &Cx, ask: &Ask) -> &'g dyn Hooks {
        let prefix = ask.action.split(':').next().unwrap_or("");
        let own = self.directory.by_model(cx.service).filter(|e| e.model.action_prefix == prefix);
        match own.or_else(|| self.directory.by_action_prefix(prefix)) {
            Some(entry) => entry.service.hooks(),
            None => &NoHooks,
        }
    }

    fn decide(
        &self,
        tx: &Tx,
        cx: &Cx,
        ask: &Ask,
        grants: &Grants,
        hooks: &dyn Hooks,
    ) -> Result<(), Error> {
        let context = context(tx, cx, ask, grants);
        let request = Request {
            principal: &cx.caller.principal,
            action: &ask.action,
            resource: grants.resource.as_deref().unwrap_or(&ask.resource),
            resource_account: grants.owner,
            context: &context,
        };
        let found = self.keys.policies(tx, &cx.caller)?;
        let IdentityPolicies { identity, boundary, session } = &*found;
        let identity = all_named(identity);
        let session = session.as_deref().map(all_named);
        if let Some(through) = &grants.through {
            let policies = Policies {
                identity: &identity,
                boundary: boundary.as_ref().map(named),
                session: session.as_deref(),
                resource: through.policy.as_ref().map(named),
                ..Policies::default()
            };
            return self.decide_through(cx, &request, through, &policies, grants);
        }
        let policies = Policies {
            identity: &identity,
            boundary: boundary.as_ref().map(named),
            session: session.as_deref(),
            resource: grants.policy.as_ref().map(named),
            resource_role: grants.role,
            ..Policies::default()
        };
        let decision = policy::evaluate(&request, &policies);
        if decision.is_allowed() {
            cx.set_allowed(|| denial::allowed(&decision));
            return Ok(());
        }
        if self.acl_decides(tx, cx, ask, &request, &policies, &decision, hooks)? {
            cx.set_allowed(|| Some(Allowed::by("access control list")));
            return Ok(());
        }
        Err(denial::denied(self, cx.service, &request, &policies, &decision))
    }

    /// Of a request through an access point: both it and the bucket must permit it, so all is asked twice,
    /// with each of them as the resource, its own policy and its account. Whoever the bucket's policy
    /// lets in needs no policy of its own that names the bucket. A deny on either is a deny.
    fn decide_through(
        &self,
        cx: &Cx,
        request: &Request<'_>,
        through: &Through,
        policies: &Policies<'_>,
        grants: &Grants,
    ) -> Result<(), Error> {
        let at_point = Request {
            resource: &through.resource,
            resource_account: Some(through.owner),
            ..*request
        };
        let decision = policy::evaluate(&at_point, policies);
        if !decision.is_allowed() {
            return Err(denial::denied(self, cx.service, &at_point, policies, &decision));
        }
        cx.set_allowed(|| denial::allowed(&decision));
        let at_bucket = Policies { resource: grants.policy.as_ref().map(named), ..*policies };
        let decision = policy::evaluate(request, &at_bucket);
        let anything = [Named { policy: &ANYTHING, name: "access point" }];
        let by_bucket = Policies {
            identity: &anything,
            resource: at_bucket.resource,
            resource_role: ResourceRole::Key,
            ..Policies::default()
        };
        let permits = match decision.outcome {
            Outcome::Allowed => true,
            Outcome::ExplicitDeny => false,
            Outcome::ImplicitDeny => policy::evaluate(request, &by_bucket).is_allowed(),
        };
        match permits {
            true => Ok(()),
            false => Err(denial::denied(self, cx.service, request, &at_bucket, &decision)),
        }
    }

    /// An access control list stands in for the allow that a resource policy lacks: for strangers and
    /// for other accounts, whose own policies must allow it as well.
    #[allow(clippy::too_many_arguments, reason = "one step of decide, apart for its comment")]
    fn acl_decides(
        &self,
        tx: &Tx,
        cx: &Cx,
        ask: &Ask,
        request: &Request<'_>,
        policies: &Policies<'_>,
        decision: &Decision<'_>,
        hooks: &dyn Hooks,
    ) -> Result<bool, Error> {
        let lacks_resource = decision.outcome == Outcome::ImplicitDeny
            && decision.layer == policy::Layer::Resource
            && policies.resource_role == ResourceRole::Grants;
        if !lacks_resource || !hooks.acl_allows(tx, cx, ask)? {
            return Ok(false);
        }
        cx.set_by_list();
        if request.principal.account().is_none() {
            return Ok(true);
        }
        let as_own = Request { resource_account: None, ..*request };
        Ok(policy::evaluate(&as_own, policies).is_allowed())
    }
}

/// What a caller needs of its own where the bucket's policy alone is in question.
static ANYTHING: LazyLock<Policy> = LazyLock::new(|| {
    let text =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    Policy::parse(policy::Kind::Managed, text).expect("a policy of our own")
});

/// For actions of services that are not here.
struct NoHooks;

impl Hooks for NoHooks {}

pub(crate) fn authorize_all(tx: &Tx, cx: &Cx, asks: &[Ask]) -> Result<(), Error> {
    asks.iter().try_for_each(|ask| cx.authorize(tx, ask))
}

/// What must be allowed for the operation, as its overlay or its service says.
pub(crate) fn asks(
    entry: &Entry,
    operation: &'static Operation,
    cx: &Cx,
    input: &dyn Struct,
) -> Result<Vec<Ask>, Error> {
    let Some(served) = &operation.served else {
        return Err(Error::not_implemented(operation.name));
    };
    match served.auth {
        Auth::Open | Auth::Unsigned => Ok(Vec::new()),
        Auth::Code => entry.service.authorize(operation.index, cx, input),
        Auth::Rules(rules) => Ok(rules
            .iter()
            .map(|rule| {
                let mut ask = Ask::new(rule.action, resource(rule, cx, input));
                entry.service.hooks().context(operation.name, cx, input, &mut ask);
                ask
            })
            .collect()),
    }
}

fn resource(rule: &AuthRule, cx: &Cx, input: &dyn Struct) -> String {
    let mut out = String::with_capacity(64);
    for piece in rule.resource {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Member(index) => match input.field(usize::from(*index)).value() {
                smithy::Value::Str(text) => out.push_str(text),
                smithy::Value::Integer(n) => write!(out, "{n}").unwrap_or_default(),
                smithy::Value::Long(n) => write!(out, "{n}").unwrap_or_default(),
                _ => {}
            },
            Piece::Partition => out.push_str(cx.partition().as_str()),
            Piece::Region => out.push_str(cx.region.as_str()),
            Piece::Account => write!(out, "{}", cx.account).unwrap_or_default(),
        }
    }
    out
}

/// The condition keys of a request.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
fn context<'a>(tx: &Tx, cx: &'a Cx, ask: &'a Ask, grants: &'a Grants) -> Context<'a> {
    let caller = &*cx.caller;
    let mut context = Context::new();
    let now = tx.now();
    context.set("aws:currenttime", now);
    context.set("aws:epochtime", now.to_secs());
    context.set("aws:securetransport", cx.http.secure);
    context.set("aws:requestedregion", cx.region.as_str());
    let is_service = caller.principal.kind() == PrincipalKind::Service;
    context.set("aws:viaawsservice", is_service);
    context.set("aws:principalisawsservice", is_service);
    if let Some(address) = cx.http.source_ip {
        context.set("aws:sourceip", address.to_canonical());
    }
    if let Some(agent) = &cx.http.user_agent {
        context.set("aws:useragent", agent.as_str());
    }
    if let Some(referer) = &cx.http.referer {
        context.set("aws:referer", referer.as_str());
    }
    set_caller(&mut context, caller, now);
    if let Some(owner) = grants.owner.or(caller.account) {
        let owner = owner.to_string();
        if ask.action.starts_with("s3:") {
            context.set("s3:resourceaccount", owner.clone());
        }
        context.set("aws:resourceaccount", owner);
    }
    if ask.action.starts_with("s3:") {
        set_s3(&mut context, cx);
    }
    for (name, values) in ask.context.iter().chain(&grants.context) {
        context.set(&**name, texts(values));
    }
    context
}

/// One value, or a list of them.
fn texts(values: &[String]) -> Value<'_> {
    match values {
        [one] => Value::from(one.as_str()),
        many => Value::List(many.iter().map(|value| Value::from(value.as_str())).collect()),
    }
}

fn set_caller<'a>(context: &mut Context<'a>, caller: &'a Caller, now: base::Timestamp) {
    let kind = match caller.principal.kind() {
        PrincipalKind::Root => "Account",
        PrincipalKind::User => "User",
        PrincipalKind::Session => "AssumedRole",
        PrincipalKind::FederatedUser => "FederatedUser",
        PrincipalKind::Anonymous => "Anonymous",
        PrincipalKind::Service | PrincipalKind::IdentityProvider => "Service",
    };
    context.set("aws:principaltype", kind);
    context.set("aws:userid", &*caller.user_id);
    if let Some(account) = caller.account {
        let principal = &caller.principal;
        let arn = match principal.kind() {
            // By its own name, where a role's session goes by its role's.
            PrincipalKind::FederatedUser => principal.arn(),
            _ => principal.issuer_arn(),
        };
        context.set("aws:principalarn", arn);
        context.set("aws:principalaccount", account.to_string());
    }
    if caller.principal.kind() == PrincipalKind::User {
        let name = caller.name.rsplit('/').next().unwrap_or("");
        context.set("aws:username", name);
    }
    for (key, value) in caller.tags.iter() {
        context.set(format!("aws:principaltag/{key}"), value.as_str());
    }
    if let Some(issued) = caller.token_issued {
        context.set("aws:tokenissuetime", issued);
        context.set("aws:multifactorauthpresent", caller.mfa);
        if caller.mfa {
            context.set("aws:multifactorauthage", now.to_secs() - issued.to_secs());
        }
    }
    for (name, values) in &*caller.session_keys {
        context.set(&**name, texts(values));
    }
}

fn set_s3<'a>(context: &mut Context<'a>, cx: &'a Cx) {
    if let Some(version) = cx.http.tls_version {
        context.set("s3:tlsversion", version.trim_start_matches("TLSv"));
    }
    let Some(auth_type) = cx.http.auth_type else { return };
    context.set("s3:authtype", auth_type);
    context.set("s3:signatureversion", if cx.http.version_two { "AWS" } else { sigv4::ALGORITHM });
    if let Some(signed) = cx.http.signed_at {
        context.set("s3:signatureage", cx.clock.wall().millis_since(signed));
    }
    if let Some(hash) = &cx.http.content_sha256 {
        context.set("s3:x-amz-content-sha256", &**hash);
    }
}

/// The account in which an operation acts.
pub(crate) fn acting_account(caller: &Caller) -> AccountId {
    caller.account.unwrap_or(AccountId::DEFAULT)
}
