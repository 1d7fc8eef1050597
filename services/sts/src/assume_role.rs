//! `AssumeRole`.

use crate::session_tags::{self, SessionTags};
use crate::{HOUR_S, MFA_KEY, credentials, denied, length_min, own_session, use_mfa, validation};
use api::{Ask, Cx, Error, NamedPolicy, Tx};
use base::AccountId;
use directory::{
    NewSession, POLICIES, RoleRow, RoleSessionRow, SessionHolder, SessionKeyRow,
    SessionPoliciesRow, SessionRow, issue, key_of, managed, role, trust_now,
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
    // Read and taken out again by the hook: whether the code is good only the store can tell.
    if let (Some(serial), Some(code)) = (&input.serial_number, &input.token_code) {
        context.push((Cow::Borrowed(MFA_KEY), vec![serial.clone(), code.clone()]));
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

/// The role of that ARN.
pub(crate) fn find_role(tx: &Tx, arn: &str) -> Result<Option<(AccountId, RoleRow)>, Error> {
    let Some((account, name)) = split_role_arn(arn) else { return Ok(None) };
    Ok(role(tx, account, name)?.filter(|role| role.arn == *arn).map(|role| (account, role)))
}

pub(crate) fn run(
    tx: &mut Tx,
    cx: &Cx,
    input: &AssumeRoleInput,
) -> Result<AssumeRoleOutput, Error> {
    let arn = &input.role_arn;
    // Authorisation found its trust policy in this very snapshot.
    let role = find_role(tx, arn)?.ok_or_else(|| Error::internal(format!("{arn} went away")))?;
    let mfa = use_mfa(tx, cx, input.serial_number.as_deref(), input.token_code.as_deref())?;
    let caller = own_session(tx, cx)?;
    let made = make_session(
        tx,
        cx,
        &role,
        NewRoleSession {
            session_name: &input.role_session_name,
            duration_s: duration(cx, input, &role)?,
            policy: input.policy.as_deref(),
            policy_arns: input.policy_arns.as_deref(),
            tags: session_tags::gather(input, caller.as_ref())?,
            source_identity: source_identity(input, caller.as_ref())?,
            mfa,
            keys: Vec::new(),
            token_length_min: length_min(input.minimum_session_token_size),
        },
    )?;
    Ok(AssumeRoleOutput {
        credentials: Some(made.credentials),
        assumed_role_user: Some(made.user),
        packed_policy_size: made.packed,
        source_identity: made.source_identity,
        ..AssumeRoleOutput::default()
    })
}

/// What a session of a role is made of.
pub(crate) struct NewRoleSession<'a> {
    pub(crate) session_name: &'a str,
    pub(crate) duration_s: i64,
    pub(crate) policy: Option<&'a str>,
    pub(crate) policy_arns: Option<&'a [PolicyDescriptorType]>,
    pub(crate) tags: SessionTags,
    pub(crate) source_identity: Option<String>,
    pub(crate) mfa: bool,
    pub(crate) keys: Vec<SessionKeyRow>,
    pub(crate) token_length_min: usize,
}

/// What its caller gets.
pub(crate) struct Made {
    pub(crate) credentials: Credentials,
    pub(crate) user: AssumedRoleUser,
    pub(crate) packed: Option<i32>,
    pub(crate) source_identity: Option<String>,
}

/// Makes a session of a role, which somebody else has decided on.
pub(crate) fn make_session(
    tx: &mut Tx,
    cx: &Cx,
    (account, role): &(AccountId, RoleRow),
    new: NewRoleSession<'_>,
) -> Result<Made, Error> {
    let (policies, packed) = session_policies(tx, new.policy, new.policy_arns, *account)?;
    let session_name = new.session_name.to_owned();
    let partition = cx.partition().as_str();
    let arn = format!("arn:{partition}:sts::{account}:assumed-role/{}/{session_name}", role.name);
    let assumed_role_id = format!("{}:{session_name}", role.id);
    let holder = SessionHolder::Role(RoleSessionRow {
        role: key_of(&role.name),
        role_id: role.id.clone(),
        session_name,
    });
    let session = NewSession {
        account: *account,
        holder,
        arn: arn.clone(),
        duration_s: new.duration_s,
        policies,
        tags: new.tags.tags,
        transitive_tag_keys: new.tags.transitive,
        source_identity: new.source_identity.clone(),
        mfa: new.mfa,
        keys: new.keys,
        token_length_min: new.token_length_min,
    };
    let (id, row) = issue(tx, &*cx.entropy, session)?;
    Ok(Made {
        credentials: credentials(id, row),
        user: AssumedRoleUser { assumed_role_id, arn },
        packed,
        source_identity: new.source_identity,
    })
}

/// Refuses a session longer than its role allows.
pub(crate) fn within(wanted: i64, (_, role): &(AccountId, RoleRow)) -> Result<i64, Error> {
    if wanted > i64::from(role.session_s_max) {
        let message =
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(validation(message));
    }
    Ok(wanted)
}

fn duration(cx: &Cx, input: &AssumeRoleInput, role: &(AccountId, RoleRow)) -> Result<i64, Error> {
    let wanted = within(input.duration_seconds.map_or(HOUR_S, i64::from), role)?;
    if wanted > HOUR_S && cx.caller.principal.kind() == PrincipalKind::Session {
        let message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
        return Err(validation(message));
    }
    Ok(wanted)
}

/// What the session may do at most, and how much of the quota that takes, in percent.
pub(crate) fn session_policies(
    tx: &Tx,
    policy: Option<&str>,
    policy_arns: Option<&[PolicyDescriptorType]>,
    account: AccountId,
) -> Result<(Option<SessionPoliciesRow>, Option<i32>), Error> {
    let arns: Vec<&str> =
        policy_arns.iter().copied().flatten().filter_map(|own| own.arn.as_deref()).collect();
    if policy.is_none() && arns.is_empty() {
        return Ok((None, None));
    }
    let malformed =
        |message: String| Error::new(&errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message);
    let mut size: usize = arns.iter().map(|arn| arn.len()).sum();
    if let Some(document) = policy {
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
    let row = SessionPoliciesRow { inline: policy.map(str::to_owned), managed };
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
