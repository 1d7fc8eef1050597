//! `GetFederationToken`: a user hands a part of what it may do to somebody who has no identity here.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html>

use crate::assume_role::session_policies;
use crate::session_tags::SessionTags;
use crate::{HOUR_S, anonymous, credentials, denied, length_min, own_session};
use api::{Ask, Cx, Error, Tx};
use directory::{FederatedRow, NewSession, SessionHolder, TagRow, UserSessionRow, issue, key_of};
use gen_sts::*;
use policy::PrincipalKind;
use std::borrow::Cow;

const DURATION_S_DEFAULT: i64 = 12 * HOUR_S;

fn arn(cx: &Cx, name: &str) -> String {
    format!("arn:{}:sts::{}:federated-user/{name}", cx.partition().as_str(), cx.account)
}

pub(crate) fn asks(cx: &Cx, input: &GetFederationTokenInput) -> Result<Vec<Ask>, Error> {
    if cx.caller.principal.kind() == PrincipalKind::Anonymous {
        return Err(anonymous());
    }
    let arn = arn(cx, &input.name);
    let mut context = Vec::new();
    let tags = input.tags.as_deref().unwrap_or_default();
    for tag in tags {
        let key = format!("aws:requesttag/{}", tag.key.to_ascii_lowercase());
        context.push((Cow::Owned(key), vec![tag.value.clone()]));
    }
    if !tags.is_empty() {
        let keys = tags.iter().map(|tag| tag.key.clone()).collect();
        context.push((Cow::Borrowed("aws:tagkeys"), keys));
    }
    let ask = |action| Ask { context: context.clone(), ..Ask::new(action, arn.as_str()) };
    let mut asks = vec![ask("sts:GetFederationToken")];
    if !tags.is_empty() {
        asks.push(ask("sts:TagSession"));
    }
    Ok(asks)
}

pub(crate) fn run(
    tx: &mut Tx,
    cx: &Cx,
    input: &GetFederationTokenInput,
) -> Result<GetFederationTokenOutput, Error> {
    if own_session(tx, cx)?.is_some() {
        return Err(denied("Cannot call GetFederationToken with session credentials"));
    }
    let (user, longest) = match cx.caller.principal.kind() {
        PrincipalKind::Root => (None, HOUR_S),
        PrincipalKind::User => {
            let (user, user_id) = (key_of(&cx.caller.name), cx.caller.user_id.to_string());
            (Some(UserSessionRow { user, user_id }), i64::MAX)
        }
        _ => return Err(denied("Cannot call GetFederationToken with session credentials")),
    };
    let (policies, packed) =
        session_policies(tx, input.policy.as_deref(), input.policy_arns.as_deref(), cx.account)?;
    let tags = input.tags.iter().flatten();
    let tags = tags.map(|tag| TagRow { key: tag.key.clone(), value: tag.value.clone() }).collect();
    let SessionTags { tags, .. } = SessionTags::checked(tags, &[])?;
    let wanted = input.duration_seconds.map_or(DURATION_S_DEFAULT, i64::from);
    let (name, arn) = (input.name.clone(), arn(cx, &input.name));
    let new = NewSession {
        account: cx.account,
        holder: SessionHolder::Federated(FederatedRow { user, name: name.clone() }),
        arn: arn.clone(),
        // Root asks in vain for more than an hour: AWS shortens it without a word.
        duration_s: wanted.min(longest),
        // Without policies of its own the session may do nothing but what resources grant to it.
        policies: Some(policies.unwrap_or_default()),
        tags,
        transitive_tag_keys: Default::default(),
        source_identity: None,
        mfa: false,
        keys: Vec::new(),
        token_length_min: length_min(input.minimum_session_token_size),
    };
    let (id, row) = issue(tx, &*cx.entropy, new)?;
    let federated_user_id = format!("{}:{name}", cx.account);
    Ok(GetFederationTokenOutput {
        credentials: Some(credentials(id, row)),
        federated_user: Some(FederatedUser { federated_user_id, arn }),
        packed_policy_size: packed,
        ..GetFederationTokenOutput::default()
    })
}
