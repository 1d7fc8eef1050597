//! One statement, compiled for matching.

use crate::arn_pattern::ArnPattern;
use crate::condition::Test;
use crate::context::Context;
use crate::evaluate::Request;
use crate::pattern::{Case, Found, Pattern};
use crate::principal::{Grant, Who, exempted, named};

/// Keys whose fixed values keep an allow for `*` from being public, in lower case.
const NARROWING_KEYS: [&str; 14] = [
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    Allow,
    Deny,
}

/// A list under an element or its `Not` form.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct List<T> {
    pub(crate) negated: bool,
    pub(crate) items: Box<[T]>,
}

/// A statement of a policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    /// Absent where the policy's holder is the principal.
    pub(crate) principal: Option<List<Who>>,
    pub(crate) action: List<Pattern>,
    /// Absent in trust policies: the role.
    pub(crate) resource: Option<List<ArnPattern>>,
    pub(crate) condition: Box<[Test]>,
}

/// What part of a statement a request did not meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unmet {
    Action,
    Resource,
    Principal,
    /// The index of the condition.
    Condition(usize),
}

impl Statement {
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether the statement has `NotPrincipal` (`true`), and its entries. `None` without either.
    pub fn principals(&self) -> Option<(bool, &[Who])> {
        self.principal.as_ref().map(|list| (list.negated, &*list.items))
    }

    pub fn has_condition(&self) -> bool {
        !self.condition.is_empty()
    }

    /// Whether it gives something to everybody: an allow for the principal `*` that no condition
    /// narrows to fixed values of a key which says where a request comes from.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>
    pub fn is_public(&self) -> bool {
        let everybody = match self.principals() {
            Some((negated, who)) => negated || who.contains(&Who::Everybody),
            None => false,
        };
        let narrowed = |test: &Test| NARROWING_KEYS.contains(&test.key()) && test.is_fixed();
        self.effect == Effect::Allow && everybody && !self.condition.iter().any(narrowed)
    }

    /// Whether it allows some action of the service.
    pub(crate) fn allows_some(&self, service: &str) -> bool {
        let some = |pattern: &Pattern| pattern.meets_prefix(&format!("{service}:"));
        self.effect == Effect::Allow && (self.action.negated || self.action.items.iter().any(some))
    }

    pub(crate) fn covers_action(&self, action: &str, context: &Context<'_>) -> bool {
        let found = |pattern: &Pattern| pattern.matches(action, Case::Ignore, context);
        self.holds(&self.action, found)
    }

    /// How the request meets the statement, or the first part that it does not meet. The cheapest
    /// part that tells most statements apart comes first.
    pub(crate) fn applies(&self, request: &Request<'_>) -> Result<Grant, Unmet> {
        let context = request.context;
        if !self.covers_action(request.action, context) {
            return Err(Unmet::Action);
        }
        if let Some(list) = &self.resource {
            let found = |pattern: &ArnPattern| pattern.matches(request.resource, context);
            if !self.holds(list, found) {
                return Err(Unmet::Resource);
            }
        }
        let grant = match &self.principal {
            None => Grant::Direct,
            Some(list) if list.negated => {
                if exempted(&list.items, request.principal) {
                    return Err(Unmet::Principal);
                }
                Grant::Direct
            }
            Some(list) => named(&list.items, request.principal).ok_or(Unmet::Principal)?,
        };
        match self.condition.iter().position(|test| !test.holds(context, self.effect)) {
            Some(index) => Err(Unmet::Condition(index)),
            None => Ok(grant),
        }
    }

    /// A negated list that has an unknown item and no match holds for `Deny` only: what cannot be
    /// known must not widen access.
    fn holds<T>(&self, list: &List<T>, found: impl Fn(&T) -> Found) -> bool {
        let mut unknown = false;
        for item in &list.items {
            match found(item) {
                Found::Yes => return !list.negated,
                Found::No => {}
                Found::Unknown => unknown = true,
            }
        }
        list.negated && (!unknown || self.effect == Effect::Deny)
    }
}
