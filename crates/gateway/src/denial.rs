//! Refusals: what the client is told, in the code and words of the service, and what the audit trail
//! says of why: which statement denied, or which kind of policy lacks an allow and what it says instead.

use api::{Allowed, Door, Error};
use policy::{
    Decision, Effect, Explained, Layer, Missed, Outcome, Policies, PrincipalKind, Request,
};
use smithy::json::Writer;
use smithy::model::{Protocol, ServiceModel};

/// Statements that a reason tells about.
const STATEMENTS_MAX: usize = 8;
/// Condition keys and values in an encoded message.
const VALUES_MAX: usize = 200;

/// The refusal as the client sees it, with the reason for the trail.
pub(crate) fn denied(
    door: &dyn Door,
    service: &ServiceModel,
    request: &Request<'_>,
    policies: &Policies<'_>,
    decision: &Decision<'_>,
) -> Error {
    let text = decision.refusal(request);
    let error = match service.protocols.first() {
        Some(Protocol::Ec2Query) => {
            let message = encoded(door, request, decision);
            let text = format!(
                "You are not authorized to perform this operation. {text}{}{message}",
                if message.is_empty() { "" } else { " Encoded authorization failure message: " }
            );
            Error::with_code("UnauthorizedOperation", 403, text)
        }
        Some(Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RpcV2Cbor) => {
            Error::with_code("AccessDeniedException", 400, text)
        }
        Some(Protocol::RestJson1) => Error::with_code("AccessDeniedException", 403, text),
        _ => Error::with_code("AccessDenied", 403, text),
    };
    error.because(reason(request, policies, decision))
}

fn name(layer: Layer) -> &'static str {
    match layer {
        Layer::ResourceControl => "resource control policy",
        Layer::ServiceControl => "service control policy",
        Layer::Endpoint => "VPC endpoint policy",
        Layer::Resource => "resource-based policy",
        Layer::Trust => "role trust policy",
        Layer::Identity => "identity-based policy",
        Layer::Boundary => "permissions boundary",
        Layer::Session => "session policy",
        Layer::Ownership => "ownership",
    }
}

/// What allowed it; nothing where it was root's own right.
pub(crate) fn allowed(decision: &Decision<'_>) -> Option<Allowed> {
    let by = decision.by?;
    Some(Allowed {
        kind: name(decision.layer),
        policy: by.policy.into(),
        statement: Some(by.statement as u64),
        sid: by.sid.map(Into::into),
    })
}

/// Whether there is any policy of the kind at all.
fn has(layer: Layer, policies: &Policies<'_>) -> bool {
    match layer {
        Layer::Identity => !policies.identity.is_empty() || !policies.groups.is_empty(),
        Layer::Boundary => policies.boundary.is_some(),
        Layer::Session => policies.session.is_some_and(|list| !list.is_empty()),
        Layer::Resource | Layer::Trust => policies.resource.is_some(),
        Layer::Endpoint => policies.endpoint.is_some(),
        Layer::ServiceControl => !policies.scp.is_empty(),
        Layer::ResourceControl => !policies.rcp.is_empty(),
        Layer::Ownership => false,
    }
}

fn place(layer: Layer, by: &policy::By<'_>) -> String {
    api::allowed_by(name(layer), by.policy, Some(by.statement as u64), by.sid)
}

/// Whole sentences for a person.
fn reason(request: &Request<'_>, policies: &Policies<'_>, decision: &Decision<'_>) -> String {
    let Request { action, resource, principal, .. } = request;
    let who = principal.arn();
    let mut out = format!("{action} on {resource}: ");
    match (decision.outcome, &decision.by) {
        (Outcome::ExplicitDeny, Some(by)) => {
            out.push_str(&format!("denied by {}.", place(decision.layer, by)));
            return out;
        }
        (_, _) if principal.kind() == PrincipalKind::Anonymous => {
            out.push_str("nobody signed the request, and ");
        }
        _ if decision.cross_account => {
            out.push_str("caller and resource belong to different accounts, and ");
        }
        _ => {}
    }
    let kind = name(decision.layer);
    match (has(decision.layer, policies), decision.layer) {
        (true, _) => out.push_str(&format!("no {kind} allows it.")),
        (false, Layer::Identity) => out.push_str(&format!("{who} has no {kind}.")),
        (false, _) => out.push_str(&format!("there is no {kind}.")),
    }
    let near = policy::explain(request, policies);
    let near = near.iter().filter(|own| {
        own.layer == decision.layer && own.effect == Effect::Allow && own.missed.is_some()
    });
    for own in near.take(STATEMENTS_MAX) {
        out.push_str(&missed(own));
    }
    out
}

/// Why a statement that covers the action did not allow it.
fn missed(own: &Explained<'_>) -> String {
    let place = place(own.layer, &own.by);
    match &own.missed {
        Some(Missed::Resource) => format!(" It is no resource of {place}."),
        Some(Missed::Principal) => format!(" The caller is no principal of {place}."),
        Some(Missed::Condition { operator, key, have }) => {
            let have = match have.is_empty() {
                true => "the request has none".to_owned(),
                false => format!("the request has {}", have.join(", ")),
            };
            format!(" The condition {operator} on {key} of {place} is not met: {have}.")
        }
        None => String::new(),
    }
}

/// The message that `sts:DecodeAuthorizationMessage` opens, sealed for the caller's account; empty for
/// whoever has none.
fn encoded(door: &dyn Door, request: &Request<'_>, decision: &Decision<'_>) -> String {
    let Some(account) = request.principal.account() else { return String::new() };
    let mut out = Writer::with_capacity(512);
    out.open('{');
    out.key("allowed");
    out.boolean(false);
    out.key("explicitDeny");
    out.boolean(decision.outcome == Outcome::ExplicitDeny);
    out.key("matchedStatements");
    items(&mut out, |out| {
        if let Some(by) = &decision.by {
            out.open('{');
            out.key("statementId");
            out.string(by.sid.unwrap_or(""));
            out.key("effect");
            out.string("DENY");
            out.key("policy");
            out.string(by.policy);
            out.close('}');
        }
    });
    out.key("failures");
    items(&mut out, |_| {});
    out.key("context");
    out.open('{');
    out.key("principal");
    out.open('{');
    let id = request.context.get("aws:userid").map(|id| id.text().into_owned());
    out.key("id");
    out.string(id.as_deref().unwrap_or(""));
    out.key("arn");
    out.string(request.principal.arn());
    out.close('}');
    out.key("action");
    out.string(request.action);
    out.key("resource");
    out.string(request.resource);
    out.key("conditions");
    items(&mut out, |out| {
        for (key, value) in request.context.to_sorted().into_iter().take(VALUES_MAX) {
            out.open('{');
            out.key("key");
            out.string(key);
            out.key("values");
            items(out, |out| {
                for one in value.each().iter().take(VALUES_MAX) {
                    out.open('{');
                    out.key("value");
                    out.string(&one.text());
                    out.close('}');
                }
            });
            out.close('}');
        }
    });
    out.close('}');
    out.close('}');
    door.seal_token(&api::denial_place(account), &out.finish())
}

fn items(out: &mut Writer, write: impl FnOnce(&mut Writer)) {
    out.open('{');
    out.key("items");
    out.open('[');
    write(out);
    out.close(']');
    out.close('}');
}
