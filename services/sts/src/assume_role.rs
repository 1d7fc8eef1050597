//! `AssumeRole`.

use crate::session_tags::{self, SessionTags};
use crate::{HOUR_S, check_mfa, credentials, denied, length_min, own_session, validation};
use api::{Ask, Cx, Error, NamedPolicy, Tx};
use base::AccountId;
use directory::{
    NewSession, POLICIES, RoleRow, RoleSessionRow, SessionHolder, SessionPoliciesRow, SessionRow,
    issue, key_of, managed, role, trust_now,
};
use gen_sts::*;
use policy::{Kind, Policy, PolicyError, PrincipalKind};
use std::borrow::Cow;
use std::sync::Arc;
use store::Scope;

/// Quota of session policies together, in characters.
const PACKED_MAX: usize = 2_048;
const POLICY_ARNS_MAX: usize = 10;

/// The account and the name in the ARN of a role.
pub(crate) fn split_role_arn(arn: &str) -> Option<(AccountId, &str)> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "iam", "", account, resource] = fields[..] else { return None };
    let (_, name) = resource.rsplit_once('/').filter(|_| resource.starts_with("role/"))?;
    Some((AccountId::parse(account)?, name)).filter(|_| !name.is_empty())
}

pub(crate) fn trust_policy(tx: &Tx, role: &RoleRow) -> Result<NamedPolicy, Error> {
    // It was checked when it was put.
    let policy = Policy::parse(Kind::Trust, &trust_now(tx, role)?).map_err(Error::internal)?;
    Ok(NamedPolicy { name: role.arn.as_str().into(), policy: Arc::new(policy) })
}

/// One for each thing that the request does: assume, tag, name a source.
pub(crate) fn asks(input: &AssumeRoleInput) -> Result<Vec<Ask>, Error> {
    let arn = &input.role_arn;
    if split_role_arn(arn).is_none() {
        return Err(validation(format!("{arn} is invalid")));
    }
    let mut context =
        vec![(Cow::Borrowed("sts:rolesessionname"), vec![input.role_session_name.clone()])];
    for (key, value) in
        [("sts:externalid", &input.external_id), ("sts:sourceidentity", &input.source_identity)]
    {
        context.extend(value.iter().map(|value| (Cow::Borrowed(key), vec![value.clone()])));
    }
    let tags = input.tags.as_deref().unwrap_or_default();
    for tag in tags {
        let key = format!("aws:requesttag/{}", tag.key.to_ascii_lowercase());
        context.push((Cow::Owned(key), vec![tag.value.clone()]));
    }
    if !tags.is_empty() {
        let keys = tags.iter().map(|tag| tag.key.clone()).collect();
        context.push((Cow::Borrowed("aws:tagkeys"), keys));
    }
    if let Some(keys) = &input.transitive_tag_keys {
        context.push((Cow::Borrowed("sts:transitivetagkeys"), keys.clone()));
    }
    let also = [
        (true, "sts:AssumeRole"),
        (!tags.is_empty(), "sts:TagSession"),
        (input.source_identity.is_some(), "sts:SetSourceIdentity"),
    ];
    let ask = |action| Ask { context: context.clone(), ..Ask::new(action, arn.as_str()) };
    Ok(also.into_iter().filter(|(does, _)| *does).map(|(_, action)| ask(action)).collect())
}

pub(crate) fn run(
    tx: &mut Tx,
    cx: &Cx,
    input: &AssumeRoleInput,
) -> Result<AssumeRoleOutput, Error> {
    let arn = &input.role_arn;
    let (account, name) =
        split_role_arn(arn).ok_or_else(|| validation(format!("{arn} is invalid")))?;
    let role = role(tx, account, name)?.filter(|role| role.arn == *arn);
    // Authorisation found its trust policy in this very snapshot.
    let role = role.ok_or_else(|| Error::internal(format!("{arn} went away")))?;
    check_mfa(input.serial_number.as_ref(), input.token_code.as_ref())?;
    let caller = own_session(tx, cx)?;
    let duration_s = duration(cx, input, &role)?;
    let (policies, packed) = session_policies(tx, input, account)?;
    let SessionTags { tags, transitive } = session_tags::gather(input, caller.as_ref())?;
    let source_identity = source_identity(input, caller.as_ref())?;

    let session_name = input.role_session_name.clone();
    let partition = cx.partition().as_str();
    let session_arn =
        format!("arn:{partition}:sts::{account}:assumed-role/{}/{session_name}", role.name);
    let assumed_role_id = format!("{}:{session_name}", role.id);
    let holder = SessionHolder::Role(RoleSessionRow {
        role: key_of(&role.name),
        role_id: role.id,
        session_name,
    });
    let new = NewSession {
        account,
        holder,
        arn: session_arn.clone(),
        duration_s,
        policies,
        tags,
        transitive_tag_keys: transitive,
        source_identity: source_identity.clone(),
        mfa: false,
        token_length_min: length_min(input.minimum_session_token_size),
    };
    let (id, row) = issue(tx, &*cx.entropy, new)?;
    Ok(AssumeRoleOutput {
        credentials: Some(credentials(id, row)),
        assumed_role_user: Some(AssumedRoleUser { assumed_role_id, arn: session_arn }),
        packed_policy_size: packed,
        source_identity,
        ..AssumeRoleOutput::default()
    })
}

fn duration(cx: &Cx, input: &AssumeRoleInput, role: &RoleRow) -> Result<i64, Error> {
    let wanted = input.duration_seconds.map_or(HOUR_S, i64::from);
    if wanted > i64::from(role.session_s_max) {
        let message =
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(validation(message));
    }
    if wanted > HOUR_S && cx.caller.principal.kind() == PrincipalKind::Session {
        let message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
        return Err(validation(message));
    }
    Ok(wanted)
}

/// What the session may do at most, and how much of the quota that takes, in percent.
fn session_policies(
    tx: &Tx,
    input: &AssumeRoleInput,
    account: AccountId,
) -> Result<(Option<SessionPoliciesRow>, Option<i32>), Error> {
    let arns: Vec<&str> =
        input.policy_arns.iter().flatten().filter_map(|own| own.arn.as_deref()).collect();
    if input.policy.is_none() && arns.is_empty() {
        return Ok((None, None));
    }
    let malformed =
        |message: String| Error::new(&errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message);
    let mut size: usize = arns.iter().map(|arn| arn.len()).sum();
    if let Some(document) = &input.policy {
        size += document.len();
        match Policy::parse(Kind::Session, document) {
            Ok(_) | Err(PolicyError::TooLarge { .. }) => {}
            Err(error) => return Err(malformed(error.to_string())),
        }
    }
    let percent = size * 100 / PACKED_MAX;
    if size > PACKED_MAX || arns.len() > POLICY_ARNS_MAX {
        let message = format!(
            "Packed policy consumes {}% of allotted space, please use smaller policy.",
            percent.max(101)
        );
        return Err(Error::new(&errors::PACKED_POLICY_TOO_LARGE_EXCEPTION, message));
    }
    for arn in &arns {
        let key = key_of(arn.rsplit('/').next().unwrap_or_default());
        let own = tx.get(&POLICIES, &Scope::Account(account), &key)?;
        if managed(arn).is_none() && own.is_none_or(|row| row.arn != *arn) {
            return Err(malformed(format!("Policy {arn} does not exist or is not attachable.")));
        }
    }
    let managed = arns.into_iter().map(str::to_owned).collect();
    let row = SessionPoliciesRow { inline: input.policy.clone(), managed };
    Ok((Some(row), i32::try_from(percent).ok()))
}

/// Once a session has one, those that it makes have the same.
fn source_identity(
    input: &AssumeRoleInput,
    caller: Option<&SessionRow>,
) -> Result<Option<String>, Error> {
    let own = caller.and_then(|session| session.source_identity.as_ref());
    match (own, &input.source_identity) {
        (Some(own), Some(wanted)) if own != wanted => {
            Err(denied("SourceIdentity cannot be changed in a chained session."))
        }
        (Some(own), _) => Ok(Some(own.clone())),
        (None, wanted) => Ok(wanted.clone()),
    }
}
