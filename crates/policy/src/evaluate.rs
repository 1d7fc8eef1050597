//! May this principal do this? The order of the questions is that of
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html>,
//! across accounts that of `reference_policies_evaluation-logic-cross-account.html`.

use crate::context::Context;
use crate::document::Policy;
use crate::principal::{Grant, Principal, PrincipalKind};
use crate::statement::Effect;
use base::AccountId;

/// What is asked. Building one costs nothing; the context is the caller's.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub principal: &'a Principal,
    /// `service:Name`, in any case.
    pub action: &'a str,
    /// An ARN, or `*` for an action that has no resource.
    pub resource: &'a str,
    /// Whose the resource is. `None`: the principal's own account.
    pub resource_account: Option<AccountId>,
    pub context: &'a Context<'a>,
}

/// A policy and the name or ARN by which people know it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub policy: &'a Policy,
    pub name: &'a str,
}

/// What a resource's policy is to it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ResourceRole {
    /// It adds to what identity policies allow, as a bucket policy does.
    #[default]
    Grants,
    /// Nothing goes without it, root included: a role's trust policy.
    Trust,
    /// Nothing goes without it, root included: a KMS key policy.
    Key,
}

/// All that applies to a request. Absent layers do not limit, except `identity` and `resource`,
/// without which nobody but the account's root is allowed anything.
#[derive(Clone, Copy, Default, Debug)]
pub struct Policies<'a> {
    /// Inline and managed policies of the user or role.
    pub identity: &'a [Named<'a>],
    /// The same of the user's groups.
    pub groups: &'a [Named<'a>],
    pub boundary: Option<Named<'a>>,
    /// `Some` if the session was made with policies, or, as `GetFederationToken` has it, can have
    /// no more than they allow: `Some(&[])` allows nothing.
    pub session: Option<&'a [Named<'a>]>,
    pub resource: Option<Named<'a>>,
    pub resource_role: ResourceRole,
    /// Service control policies, one list for each level from the organisation's root to the
    /// account: each level must allow. Empty for the management account and service-linked roles.
    pub scp: &'a [&'a [Named<'a>]],
    /// Resource control policies of the resource's account, likewise.
    pub rcp: &'a [&'a [Named<'a>]],
    /// The policy of the VPC endpoint that the request came through.
    pub endpoint: Option<Named<'a>>,
}

/// The kinds of policies in the order in which a refusal names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Layer {
    ResourceControl,
    ServiceControl,
    Endpoint,
    Resource,
    /// The trust policy of a role.
    Trust,
    Identity,
    Boundary,
    Session,
    /// No policy: the root of the account that owns the resource.
    Ownership,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Allowed,
    ImplicitDeny,
    ExplicitDeny,
}

/// The statement that decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct By<'a> {
    /// The policy's name or ARN.
    pub policy: &'a str,
    /// Its place in the policy, from 0.
    pub statement: usize,
    pub sid: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision<'a> {
    pub outcome: Outcome,
    /// The layer that allowed, that denied, or in which an allow is missing.
    pub layer: Layer,
    /// `None` for an implicit deny, and for what root may do without any policy.
    pub by: Option<By<'a>>,
    /// Whether principal and resource belong to different accounts.
    pub cross_account: bool,
}

impl Decision<'_> {
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allowed
    }
}

/// What one layer says.
#[derive(Clone, Copy)]
enum Says<'a> {
    Nothing,
    Allow(Grant, By<'a>),
    Deny(By<'a>),
}

impl<'a> Says<'a> {
    fn allow(self) -> Option<(Grant, By<'a>)> {
        if let Says::Allow(grant, by) = self { Some((grant, by)) } else { None }
    }
}

/// The word of a set of policies of one layer, whose allows add up: the first deny, else the most
/// direct allow.
fn ask<'a>(policies: impl IntoIterator<Item = Named<'a>>, request: &Request<'_>) -> Says<'a> {
    let mut says = Says::Nothing;
    for named in policies {
        for (index, statement) in named.policy.statements.iter().enumerate() {
            let settled = matches!(says, Says::Allow(Grant::Direct, _));
            if settled && statement.effect == Effect::Allow {
                continue;
            }
            let Ok(grant) = statement.applies(request) else { continue };
            let by = By { policy: named.name, statement: index, sid: statement.sid() };
            match (statement.effect, says) {
                (Effect::Deny, _) => return Says::Deny(by),
                (Effect::Allow, Says::Allow(have, _)) if have >= grant => {}
                (Effect::Allow, _) => says = Says::Allow(grant, by),
            }
        }
    }
    says
}

/// The word of every level: a deny of any, else the first level that does not allow.
fn ask_levels<'a>(levels: &'a [&'a [Named<'a>]], request: &Request<'_>) -> Option<Says<'a>> {
    let mut word = None;
    for level in levels {
        match ask(level.iter().copied(), request) {
            Says::Deny(by) => return Some(Says::Deny(by)),
            Says::Nothing => word = Some(Says::Nothing),
            allow => word = word.or(Some(allow)),
        }
    }
    word
}

/// What every layer says. `None`: the layer does not limit this request.
struct Words<'a> {
    rcp: Option<Says<'a>>,
    scp: Option<Says<'a>>,
    endpoint: Option<Says<'a>>,
    resource: Says<'a>,
    identity: Says<'a>,
    boundary: Option<Says<'a>>,
    session: Option<Says<'a>>,
}

impl<'a> Words<'a> {
    fn gather(request: &Request<'_>, policies: &Policies<'a>) -> Words<'a> {
        let identity = policies.identity.iter().chain(policies.groups).copied();
        // Organisations govern accounts: a service acting for itself is in none.
        let governed = request.principal.account().is_some();
        Words {
            rcp: ask_levels(policies.rcp, request),
            scp: if governed { ask_levels(policies.scp, request) } else { None },
            endpoint: policies.endpoint.map(|named| ask([named], request)),
            resource: ask(policies.resource, request),
            identity: ask(identity, request),
            boundary: policies.boundary.map(|named| ask([named], request)),
            session: policies.session.map(|list| ask(list.iter().copied(), request)),
        }
    }

    fn deny(&self, resource_layer: Layer) -> Option<(Layer, By<'a>)> {
        let words = [
            (Layer::ResourceControl, self.rcp),
            (Layer::ServiceControl, self.scp),
            (Layer::Endpoint, self.endpoint),
            (resource_layer, Some(self.resource)),
            (Layer::Identity, Some(self.identity)),
            (Layer::Boundary, self.boundary),
            (Layer::Session, self.session),
        ];
        words.into_iter().find_map(|(layer, says)| match says {
            Some(Says::Deny(by)) => Some((layer, by)),
            _ => None,
        })
    }
}

/// The first of these layers that is there and does not allow.
fn silent(layers: &[(Layer, Option<Says<'_>>)]) -> Option<Layer> {
    let found = layers.iter().find(|(_, says)| matches!(says, Some(Says::Nothing)));
    found.map(|(layer, _)| *layer)
}

/// Decides. Allocates only where a policy variable must be put in.
pub fn evaluate<'a>(request: &Request<'_>, policies: &Policies<'a>) -> Decision<'a> {
    let resource_layer = match policies.resource_role {
        ResourceRole::Trust => Layer::Trust,
        ResourceRole::Grants | ResourceRole::Key => Layer::Resource,
    };
    let cross_account = matches!(
        (request.principal.account(), request.resource_account),
        (Some(own), Some(owner)) if own != owner
    );
    let words = Words::gather(request, policies);
    let (outcome, layer, by) = if let Some((layer, by)) = words.deny(resource_layer) {
        (Outcome::ExplicitDeny, layer, Some(by))
    } else {
        let required = cross_account || policies.resource_role != ResourceRole::Grants;
        match allowed(request.principal, &words, resource_layer, cross_account, required) {
            Ok((layer, by)) => (Outcome::Allowed, layer, by),
            Err(layer) => (Outcome::ImplicitDeny, layer, None),
        }
    };
    Decision { outcome, layer, by, cross_account }
}

/// What allows, or the layer in which an allow is missing, when nothing denies. `required`: the
/// resource's policy must allow too.
fn allowed<'a>(
    principal: &Principal,
    words: &Words<'a>,
    resource_layer: Layer,
    cross_account: bool,
    required: bool,
) -> Result<(Layer, Option<By<'a>>), Layer> {
    let limits = [
        (Layer::ResourceControl, words.rcp),
        (Layer::ServiceControl, words.scp),
        (Layer::Endpoint, words.endpoint),
    ];
    if let Some(layer) = silent(&limits) {
        return Err(layer);
    }
    let resource = words.resource.allow();
    let by_resource = resource.map(|(_, by)| (resource_layer, Some(by)));
    if principal.account().is_none() {
        return by_resource.ok_or(resource_layer);
    }
    if required && resource.is_none() {
        return Err(resource_layer);
    }
    if principal.kind() == PrincipalKind::Root {
        return Ok(by_resource.unwrap_or((Layer::Ownership, None)));
    }
    // Only in its own account does a resource's policy suffice.
    let by_resource = by_resource.filter(|_| !cross_account);
    let granted = resource.map(|(grant, _)| grant);
    if granted == Some(Grant::Direct)
        && let Some(allowed) = by_resource
    {
        return Ok(allowed);
    }
    let by_issuer = by_resource.filter(|_| granted == Some(Grant::Issuer));
    let by_identity = words.identity.allow().map(|(_, by)| (Layer::Identity, Some(by)));
    let allowed = by_identity.or(by_issuer).ok_or(Layer::Identity)?;
    match silent(&[(Layer::Boundary, words.boundary), (Layer::Session, words.session)]) {
        Some(layer) => Err(layer),
        None => Ok(allowed),
    }
}
