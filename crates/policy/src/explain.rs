//! Why a decision came out as it did: for `SimulatePrincipalPolicy` and for people who look at a
//! refusal.

use crate::evaluate::{By, Layer, Policies, Request, ResourceRole};
use crate::statement::{Effect, Unmet};

/// One statement that covers the action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explained<'a> {
    pub layer: Layer,
    pub by: By<'a>,
    pub effect: Effect,
    /// `None` if the statement applies.
    pub missed: Option<Missed>,
}

/// The first part of a statement that the request did not meet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Missed {
    Resource,
    Principal,
    Condition {
        operator: String,
        /// In lower case.
        key: String,
        /// What the request has under the key, as text; empty if it has no such key.
        have: Vec<String>,
    },
}

/// All statements that apply to the request or would if resource, principal or conditions were
/// others, in the order of the layers.
pub fn explain<'a>(request: &Request<'_>, policies: &Policies<'a>) -> Vec<Explained<'a>> {
    let resource_layer = match policies.resource_role {
        ResourceRole::Trust => Layer::Trust,
        _ => Layer::Resource,
    };
    let one = |layer, list: Option<_>| list.into_iter().map(move |named| (layer, named));
    let many = |layer, list: &'a [_]| list.iter().map(move |named| (layer, *named));
    let levels = |layer, list: &'a [&'a [_]]| list.iter().flat_map(move |l| many(layer, l));
    let all = levels(Layer::ResourceControl, policies.rcp)
        .chain(levels(Layer::ServiceControl, policies.scp))
        .chain(one(Layer::Endpoint, policies.endpoint))
        .chain(one(resource_layer, policies.resource))
        .chain(many(Layer::Identity, policies.identity))
        .chain(many(Layer::Identity, policies.groups))
        .chain(one(Layer::Boundary, policies.boundary))
        .chain(many(Layer::Session, policies.session.unwrap_or_default()));
    let mut explained = Vec::new();
    for (layer, named) in all {
        for (index, statement) in named.policy.statements.iter().enumerate() {
            let missed = match statement.applies(request) {
                Ok(_) => None,
                Err(Unmet::Action) => continue,
                Err(Unmet::Resource) => Some(Missed::Resource),
                Err(Unmet::Principal) => Some(Missed::Principal),
                Err(Unmet::Condition(test)) => {
                    let test = &statement.condition[test];
                    let have = request.context.get(test.key()).map_or(&[][..], |v| v.each());
                    Some(Missed::Condition {
                        operator: test.operator(),
                        key: test.key().to_owned(),
                        have: have.iter().map(|value| value.text().into_owned()).collect(),
                    })
                }
            };
            let by = By { policy: named.name, statement: index, sid: statement.sid() };
            explained.push(Explained { layer, by, effect: statement.effect, missed });
        }
    }
    explained
}
