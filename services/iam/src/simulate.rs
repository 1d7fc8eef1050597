//! `SimulateCustomPolicy` and `SimulatePrincipalPolicy`: the evaluator that decides requests, asked
//! what it would say; and the condition keys that policies ask for.

use crate::error::{invalid, validation};
use crate::page::{Page, Pager};
use crate::sources::{self, Entity, Source};
use api::{Cx, Error, Tx};
use base::AccountId;
use gen_iam::*;
use policy::{
    Context, Decision, Effect, Kind, Layer, Named, Outcome, Policies, Policy as Document,
    Principal, Request, Value, evaluate, explain, statement_places,
};
use std::collections::{BTreeMap, BTreeSet};

/// A parsed document and where it came from.
struct Parsed {
    id: String,
    kind: &'static str,
    text: String,
    policy: Document,
}

impl Parsed {
    fn new(kind: Kind, source: &'static str, id: String, text: &str) -> Result<Parsed, Error> {
        let policy = Document::parse(kind, text).map_err(|error| invalid(error.to_string()))?;
        Ok(Parsed { id, kind: source, text: text.to_owned(), policy })
    }

    fn named(&self) -> Named<'_> {
        Named { policy: &self.policy, name: &self.id }
    }
}

fn inputs(list: Option<&[String]>, name: &str, source: &'static str) -> Result<Vec<Parsed>, Error> {
    let parse = |(index, text): (usize, &String)| {
        Parsed::new(Kind::Inline, source, format!("{name}.{}", index + 1), text)
    };
    list.unwrap_or_default().iter().enumerate().map(parse).collect()
}

fn of_sources(sources: Vec<Source>) -> Result<Vec<Parsed>, Error> {
    let parse = |own: Source| Parsed::new(Kind::Inline, "IAM Policy", own.id, &own.document);
    sources.into_iter().map(parse).collect()
}

/// What both operations have in common.
struct Simulation<'a> {
    identity: Vec<Parsed>,
    boundary: Option<Parsed>,
    resource: Option<Parsed>,
    principal: Principal,
    owner: Option<AccountId>,
    context: Context<'a>,
    actions: &'a [String],
    resources: &'a [String],
}

/// The keys that the request gives. Values are text whatever their type: the operators of policies
/// read it.
fn context(entries: &[ContextEntry]) -> Context<'_> {
    let mut context = Context::new();
    for entry in entries {
        let (Some(name), Some(values)) = (&entry.context_key_name, &entry.context_key_values)
        else {
            continue;
        };
        let list = entry.context_key_type.as_deref().is_some_and(|kind| kind.ends_with("List"));
        let value = match &values[..] {
            [one] if !list => Value::from(one.as_str()),
            many => Value::from(many.iter().map(|v| Value::from(v.as_str())).collect::<Vec<_>>()),
        };
        context.set(name.as_str(), value);
    }
    context
}

/// Whom a caller's ARN stands for.
fn caller(cx: &Cx, arn: Option<&str>) -> Result<Principal, Error> {
    let Some(arn) = arn else {
        let of_account =
            format!("arn:{}:iam::{}:user/simulated", cx.partition().as_str(), cx.account);
        return Ok(Principal::user(cx.account, of_account));
    };
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let bad = || invalid(format!("Invalid CallerArn: {arn}"));
    let ["arn", _, "iam", "", account, resource] = fields[..] else { return Err(bad()) };
    let account = AccountId::parse(account).ok_or_else(bad)?;
    match resource.starts_with("user/") {
        true => Ok(Principal::user(account, arn)),
        false => Err(bad()),
    }
}

/// The account in `arn:aws:iam::ACCOUNT:root`, or a number.
fn owner(given: Option<&str>) -> Result<Option<AccountId>, Error> {
    let Some(given) = given else { return Ok(None) };
    let number = given.split(':').nth(4).unwrap_or(given);
    let account = AccountId::parse(number);
    account.map(Some).ok_or_else(|| invalid(format!("Invalid ResourceOwner: {given}")))
}

fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Allowed => "allowed",
        Outcome::ExplicitDeny => "explicitDeny",
        Outcome::ImplicitDeny => "implicitDeny",
    }
    .to_owned()
}

impl Simulation<'_> {
    fn documents(&self) -> impl Iterator<Item = &Parsed> {
        self.identity.iter().chain(&self.boundary).chain(&self.resource)
    }

    /// Keys that the policies ask for and nobody gave, as the policies write them.
    fn missing(&self) -> Vec<String> {
        let mut keys: BTreeMap<String, String> = BTreeMap::new();
        for own in self.documents() {
            for (lower, written) in own.policy.context_keys_as_written(&own.text) {
                if self.context.get(&lower).is_none() {
                    keys.entry(lower).or_insert(written);
                }
            }
        }
        keys.into_values().collect()
    }

    fn run(&self, action: &str, resource: &str) -> EvaluationResult {
        let identity: Vec<Named<'_>> = self.identity.iter().map(Parsed::named).collect();
        let policies = Policies {
            identity: &identity,
            boundary: self.boundary.as_ref().map(Parsed::named),
            resource: self.resource.as_ref().map(Parsed::named),
            ..Policies::default()
        };
        let request = Request {
            principal: &self.principal,
            action,
            resource,
            resource_account: self.owner,
            context: &self.context,
        };
        let decision = evaluate(&request, &policies);
        let matched = explain(&request, &policies);
        let matched =
            matched.iter().filter(|own| own.missed.is_none() && own.layer != Layer::Boundary);
        // A deny alone counts where there is one.
        let denies = decision.outcome == Outcome::ExplicitDeny;
        let matched = matched.filter(|own| !denies || own.effect == Effect::Deny);
        let boundary = self.boundary.as_ref().map(|own| {
            let alone = [own.named()];
            let alone = Policies { identity: &alone, ..Policies::default() };
            let at_home = Request { resource_account: None, ..request };
            let allowed = evaluate(&at_home, &alone).is_allowed();
            PermissionsBoundaryDecisionDetail { allowed_by_permissions_boundary: Some(allowed) }
        });
        EvaluationResult {
            eval_action_name: action.to_owned(),
            eval_resource_name: Some(resource.to_owned()),
            eval_decision: word(decision.outcome),
            matched_statements: Some(matched.map(|own| self.statement(&own.by)).collect()),
            missing_context_values: Some(self.missing()),
            organizations_decision_detail: None,
            permissions_boundary_decision_detail: boundary,
            eval_decision_details: self.details(&decision, &request, &policies),
            resource_specific_results: Some(Vec::new()),
        }
    }

    /// Across accounts, what each side says by itself.
    fn details(
        &self,
        decision: &Decision<'_>,
        request: &Request<'_>,
        policies: &Policies<'_>,
    ) -> Option<BTreeMap<String, String>> {
        if !decision.cross_account {
            return None;
        }
        let at_home = Request { resource_account: None, ..*request };
        let identity = Policies { resource: None, ..*policies };
        let resource = Policies { identity: &[], boundary: None, ..*policies };
        Some(BTreeMap::from([
            ("IAM Policy".to_owned(), word(evaluate(&at_home, &identity).outcome)),
            ("Resource Policy".to_owned(), word(evaluate(&at_home, &resource).outcome)),
        ]))
    }

    fn statement(&self, by: &policy::By<'_>) -> Statement {
        let own = self.documents().find(|own| own.id == by.policy);
        let places = own.map(|own| statement_places(&own.text)).unwrap_or_default();
        let place = places.get(by.statement);
        let position = |place: &policy::Place| Position {
            line: i32::try_from(place.line).ok(),
            column: i32::try_from(place.column).ok(),
        };
        Statement {
            source_policy_id: Some(by.policy.to_owned()),
            source_policy_type: own.map(|own| own.kind.to_owned()),
            start_position: place.map(|(from, _)| position(from)),
            end_position: place.map(|(_, to)| position(to)),
        }
    }

    fn page(
        &self,
        cx: &Cx,
        marker: Option<&str>,
        max_items: Option<i32>,
    ) -> Result<Page<EvaluationResult>, Error> {
        for action in self.actions {
            if !action.contains(':') || action.contains(['*', '?']) {
                return Err(validation(format!("Invalid Action Name: {action}")));
            }
        }
        let all = ["*".to_owned()];
        let resources = if self.resources.is_empty() { &all } else { self.resources };
        let pager = Pager::new(cx, &[], marker, max_items)?;
        let pairs = self.actions.iter().flat_map(|a| resources.iter().map(move |r| (a, r)));
        pager.take(pairs.enumerate().map(|(index, (action, resource))| {
            Ok((format!("{index:06}"), self.run(action, resource)))
        }))
    }
}

fn resource_policy(text: Option<&str>) -> Result<Option<Parsed>, Error> {
    let parse =
        |text| Parsed::new(Kind::Resource, "Resource Policy", "ResourcePolicy".into(), text);
    text.map(parse).transpose()
}

fn boundary_of(list: Option<&[String]>) -> Result<Option<Parsed>, Error> {
    let mut all =
        inputs(list, "PermissionsBoundaryPolicyInputList", "IAM Permissions Boundary Policy")?;
    match all.len() {
        0 | 1 => Ok(all.pop()),
        _ => Err(invalid("Only one permissions boundary can be given.")),
    }
}

pub(crate) fn custom(
    _: &Tx,
    cx: &Cx,
    input: &SimulateCustomPolicyInput,
) -> Result<SimulateCustomPolicyOutput, Error> {
    let simulation = Simulation {
        identity: inputs(Some(&input.policy_input_list), "PolicyInputList", "IAM Policy")?,
        boundary: boundary_of(input.permissions_boundary_policy_input_list.as_deref())?,
        resource: resource_policy(input.resource_policy.as_deref())?,
        principal: caller(cx, input.caller_arn.as_deref())?,
        owner: owner(input.resource_owner.as_deref())?,
        context: context(input.context_entries.as_deref().unwrap_or_default()),
        actions: &input.action_names,
        resources: input.resource_arns.as_deref().unwrap_or_default(),
    };
    let page = simulation.page(cx, input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(SimulateCustomPolicyOutput { evaluation_results: Some(page.items), is_truncated, marker })
}

pub(crate) fn principal(
    tx: &Tx,
    cx: &Cx,
    input: &SimulatePrincipalPolicyInput,
) -> Result<SimulatePrincipalPolicyOutput, Error> {
    let entity = sources::entity(tx, cx, &input.policy_source_arn)?;
    let mut identity = of_sources(sources::of(tx, cx, &entity)?)?;
    identity.extend(inputs(input.policy_input_list.as_deref(), "PolicyInputList", "IAM Policy")?);
    let boundary = match boundary_of(input.permissions_boundary_policy_input_list.as_deref())? {
        Some(given) => Some(given),
        None => match entity.boundary() {
            Some(arn) => sources::managed_document(tx, cx, arn)?
                .map(|text| {
                    let kind = "IAM Permissions Boundary Policy";
                    Parsed::new(Kind::Inline, kind, arn.to_owned(), &text)
                })
                .transpose()?,
            None => None,
        },
    };
    let principal = match (&input.caller_arn, &entity) {
        (Some(arn), _) => caller(cx, Some(arn))?,
        (None, Entity::User(row)) => Principal::user(cx.account, row.arn.as_str()),
        (None, _) if input.resource_policy.is_some() => {
            return Err(invalid("CallerArn must be a user where a ResourcePolicy is given."));
        }
        (None, _) => caller(cx, None)?,
    };
    let mut context = context(input.context_entries.as_deref().unwrap_or_default());
    if let Entity::User(row) = &entity
        && context.get("aws:username").is_none()
    {
        context.set("aws:username", row.name.clone());
    }
    let simulation = Simulation {
        identity,
        boundary,
        resource: resource_policy(input.resource_policy.as_deref())?,
        principal,
        owner: owner(input.resource_owner.as_deref())?,
        context,
        actions: &input.action_names,
        resources: input.resource_arns.as_deref().unwrap_or_default(),
    };
    let page = simulation.page(cx, input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(SimulatePrincipalPolicyOutput { evaluation_results: Some(page.items), is_truncated, marker })
}

fn keys(documents: &[Parsed]) -> Vec<String> {
    let all = documents.iter().flat_map(|own| own.policy.context_keys_as_written(&own.text));
    let all: BTreeMap<String, String> = all.collect();
    all.into_values().collect::<BTreeSet<String>>().into_iter().collect()
}

pub(crate) fn custom_keys(
    _: &Tx,
    _: &Cx,
    input: &GetContextKeysForCustomPolicyInput,
) -> Result<GetContextKeysForCustomPolicyOutput, Error> {
    let documents = inputs(Some(&input.policy_input_list), "PolicyInputList", "IAM Policy")?;
    let context_key_names = Some(keys(&documents));
    Ok(GetContextKeysForCustomPolicyOutput { context_key_names })
}

pub(crate) fn principal_keys(
    tx: &Tx,
    cx: &Cx,
    input: &GetContextKeysForPrincipalPolicyInput,
) -> Result<GetContextKeysForPrincipalPolicyOutput, Error> {
    let entity = sources::entity(tx, cx, &input.policy_source_arn)?;
    let mut documents = of_sources(sources::of(tx, cx, &entity)?)?;
    documents.extend(inputs(input.policy_input_list.as_deref(), "PolicyInputList", "IAM Policy")?);
    let context_key_names = Some(keys(&documents));
    Ok(GetContextKeysForPrincipalPolicyOutput { context_key_names })
}
