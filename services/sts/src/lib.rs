//! AWS Security Token Service: who am I, and temporary credentials for roles and users.
//!
//! Sessions are rows of `directory`, which also answers the gateway's lookup of their keys; this
//! crate decides who gets one and what it may do.
//!
//! Invariants: a role is assumed only if its trust policy allows it, whatever else does; a session
//! never lasts longer than its role allows, nor than an hour if it was made by another session; what
//! a session was given (tags that travel on, the source identity) it passes on and cannot change.
//!
//! Deliberately absent, answered 501: web identities, SAML, federation tokens, `AssumeRoot`, decoding
//! of authorisation messages. There are no second factors, so every code for one is wrong.

mod assume_role;
mod session_tags;
#[cfg(test)]
mod tests;

use api::{Ask, Cx, Error, Grants, Hooks, Tx};
use base::Timestamp;
use directory::{
    NewSession, SESSIONS, SessionHolder, SessionRow, UserSessionRow, access_key_account, issue,
    key_of, role,
};
use gen_sts::*;
use policy::{PrincipalKind, ResourceRole};
use std::borrow::Cow;
use store::Scope;

/// The service. It keeps nothing of its own.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sts;

pub(crate) const HOUR_S: i64 = 3_600;
const USER_SESSION_S_DEFAULT: i64 = 12 * HOUR_S;

pub(crate) fn denied(message: impl Into<String>) -> Error {
    Error::with_code("AccessDenied", 403, message)
}

pub(crate) fn validation(message: impl Into<String>) -> Error {
    Error::with_code("ValidationError", 400, message)
}

fn anonymous() -> Error {
    Error::with_code("MissingAuthenticationToken", 403, "Request is missing Authentication Token")
}

/// There are no second factors: who names one has the wrong code.
pub(crate) fn check_mfa(serial: Option<&String>, code: Option<&String>) -> Result<(), Error> {
    match (serial, code) {
        (None, None) => Ok(()),
        _ => Err(denied("MultiFactorAuthentication failed with invalid MFA one time pass code. ")),
    }
}

/// The session that the caller acts in, if it does.
pub(crate) fn own_session(tx: &Tx, cx: &Cx) -> Result<Option<SessionRow>, Error> {
    let id = &*cx.caller.access_key_id;
    Ok(if id.is_empty() { None } else { tx.get(&SESSIONS, &Scope::Global, id)? })
}

pub(crate) fn credentials(id: String, row: SessionRow) -> Credentials {
    // Clients parse times to the second.
    let expiration = Timestamp::from_secs(row.expires.to_secs());
    Credentials {
        access_key_id: id,
        secret_access_key: row.secret,
        session_token: row.token,
        expiration,
    }
}

pub(crate) fn length_min(input: Option<i32>) -> usize {
    input.and_then(|length| usize::try_from(length).ok()).unwrap_or(0)
}

impl Hooks for Sts {
    /// A role's trust policy and its tags. A role that is not there allows nobody.
    fn grants(&self, tx: &Tx, _: &Cx, ask: &Ask) -> Result<Grants, Error> {
        let Some((account, name)) = assume_role::split_role_arn(&ask.resource) else {
            return Ok(Grants::default());
        };
        let mut grants =
            Grants { owner: Some(account), role: ResourceRole::Trust, ..Grants::default() };
        let Some(row) = role(tx, account, name)?.filter(|row| row.arn == ask.resource) else {
            return Ok(grants);
        };
        grants.policy = Some(assume_role::trust_policy(tx, &row)?);
        for tag in &row.tags {
            let lower = tag.key.to_ascii_lowercase();
            for prefix in ["aws", "iam"] {
                let key = format!("{prefix}:resourcetag/{lower}");
                grants.context.push((Cow::Owned(key), vec![tag.value.clone()]));
            }
        }
        Ok(grants)
    }
}

impl STSApi for Sts {
    fn authorize_assume_role(&self, cx: &Cx, input: &AssumeRoleInput) -> Result<Vec<Ask>, Error> {
        match cx.caller.principal.kind() {
            PrincipalKind::Anonymous => Err(anonymous()),
            PrincipalKind::Root => Err(denied("Roles may not be assumed by root accounts.")),
            _ => assume_role::asks(input),
        }
    }

    fn assume_role(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &AssumeRoleInput,
    ) -> Result<AssumeRoleOutput, Error> {
        assume_role::run(tx, cx, input)
    }

    fn get_caller_identity(
        &self,
        _: &Tx,
        cx: &Cx,
        _: &GetCallerIdentityInput,
    ) -> Result<GetCallerIdentityOutput, Error> {
        let account = cx.caller.account.ok_or_else(anonymous)?;
        Ok(GetCallerIdentityOutput {
            user_id: Some(cx.caller.user_id.to_string()),
            account: Some(account.to_string()),
            arn: Some(cx.caller.principal.arn().to_owned()),
        })
    }

    /// The account that the id carries; that of an older form only the rows know.
    fn get_access_key_info(
        &self,
        tx: &Tx,
        _: &Cx,
        input: &GetAccessKeyInfoInput,
    ) -> Result<GetAccessKeyInfoOutput, Error> {
        let id = &input.access_key_id;
        let account = match access_key_account(id) {
            Some(account) => Some(account),
            None => tx.get(&directory::ACCESS_KEYS, &Scope::Global, id)?.map(|row| row.account),
        };
        let account =
            account.ok_or_else(|| validation(format!("{id} is not a valid access key id")))?;
        Ok(GetAccessKeyInfoOutput { account: Some(account.to_string()) })
    }

    fn get_session_token(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &GetSessionTokenInput,
    ) -> Result<GetSessionTokenOutput, Error> {
        let account = cx.caller.account.ok_or_else(anonymous)?;
        check_mfa(input.serial_number.as_ref(), input.token_code.as_ref())?;
        if own_session(tx, cx)?.is_some() {
            return Err(denied("Cannot call GetSessionToken with session credentials"));
        }
        let (holder, longest) = match cx.caller.principal.kind() {
            PrincipalKind::Root => (SessionHolder::Root, HOUR_S),
            PrincipalKind::User => {
                let (user, user_id) = (key_of(&cx.caller.name), cx.caller.user_id.to_string());
                (SessionHolder::User(UserSessionRow { user, user_id }), i64::MAX)
            }
            _ => return Err(denied("Cannot call GetSessionToken with session credentials")),
        };
        let wanted = input.duration_seconds.map_or(USER_SESSION_S_DEFAULT, i64::from);
        let new = NewSession {
            account,
            holder,
            arn: cx.caller.principal.arn().to_owned(),
            // Root asks in vain for more than an hour: AWS shortens it without a word.
            duration_s: wanted.min(longest),
            policies: None,
            tags: Vec::new(),
            transitive_tag_keys: Default::default(),
            source_identity: None,
            mfa: false,
            token_length_min: length_min(input.minimum_session_token_size),
        };
        let (id, row) = issue(tx, &*cx.entropy, new)?;
        let credentials = Some(credentials(id, row));
        Ok(GetSessionTokenOutput { credentials, ..GetSessionTokenOutput::default() })
    }
}
