//! AWS Security Token Service: who am I, and temporary credentials for roles and users.
//!
//! Sessions are rows of `directory`, which also answers the gateway's lookup of their keys; this
//! crate decides who gets one and what it may do.
//!
//! Invariants: a role is assumed only if its trust policy allows it, whatever else does; a session
//! never lasts longer than its role allows, nor than an hour if it was made by another session; what
//! a session was given (tags that travel on, the source identity) it passes on and cannot change.
//!
//! Deliberately absent, answered 501: `AssumeRoot`, tokens of this cloud for others.

mod assume_role;
mod federation;
mod jwt;
mod keys;
mod saml;
mod session_tags;
#[cfg(test)]
mod tests;
mod vouched;
mod web_identity;

pub use web_identity::fuzz;

use api::{Ask, AsyncCx, Cx, Error, Fetch, Grants, Hooks, Reply, Tx};
use base::Timestamp;
use directory::{
    NewSession, SESSIONS, SessionHolder, SessionRow, UserSessionRow, access_key_account, issue,
    key_of, role,
};
use gen_sts::*;
use keys::KeySets;
use policy::{PrincipalKind, ResourceRole};
use std::borrow::Cow;
use std::sync::Arc;
use store::Scope;

/// The service. It keeps nothing of its own but keys that it can fetch again.
pub struct Sts {
    key_sets: KeySets,
}

impl Sts {
    /// With what fetches the keys of identity providers.
    pub fn new(fetch: Arc<dyn Fetch>) -> Sts {
        Sts { key_sets: KeySets::new(fetch) }
    }
}

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

fn bad_code() -> Error {
    denied("MultiFactorAuthentication failed with invalid MFA one time pass code. ")
}

/// Under this key an ask carries a device's serial number and code to the hook. No policy can name it:
/// condition keys have a colon.
pub(crate) const MFA_KEY: &str = "mfa";

/// Takes the code of the caller's device, which is good no more afterwards. `false` if the request has
/// none.
pub(crate) fn use_mfa(
    tx: &mut Tx,
    cx: &Cx,
    serial: Option<&str>,
    code: Option<&str>,
) -> Result<bool, Error> {
    let (serial, code) = match (serial, code) {
        (None, None) => return Ok(false),
        (Some(serial), Some(code)) => (serial, code),
        _ => return Err(bad_code()),
    };
    let (Some(account), PrincipalKind::User) = (cx.caller.account, cx.caller.principal.kind())
    else {
        return Err(bad_code());
    };
    match directory::use_mfa_code(tx, account, &key_of(&cx.caller.name), serial, code)? {
        true => Ok(true),
        false => Err(bad_code()),
    }
}

/// Whether the ask comes with a code that is good: what a trust policy asks for.
fn has_mfa(tx: &Tx, cx: &Cx, ask: &Ask) -> Result<bool, Error> {
    let given = ask.context.iter().find(|(key, _)| key == MFA_KEY);
    let Some([serial, code]) = given.map(|(_, values)| &values[..]) else { return Ok(false) };
    let (Some(account), PrincipalKind::User) = (cx.caller.account, cx.caller.principal.kind())
    else {
        return Err(bad_code());
    };
    let step = directory::mfa_step(tx, account, &key_of(&cx.caller.name), serial, code)?;
    step.map(|_| true).ok_or_else(bad_code)
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
    fn grants(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<Grants, Error> {
        let Some((account, name)) = assume_role::split_role_arn(&ask.resource) else {
            return Ok(Grants::default());
        };
        let mut grants =
            Grants { owner: Some(account), role: ResourceRole::Trust, ..Grants::default() };
        let Some(row) = role(tx, account, name)?.filter(|row| row.arn == ask.resource) else {
            return Ok(grants);
        };
        grants.policy = Some(assume_role::trust_policy(tx, &row)?);
        if has_mfa(tx, cx, ask)? {
            for (key, value) in [("present", "true"), ("age", "0")] {
                let key = Cow::Owned(format!("aws:multifactorauth{key}"));
                grants.context.push((key, vec![value.to_owned()]));
            }
        }
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
            // They may ask who they are, and nothing else of this service.
            // https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html
            PrincipalKind::FederatedUser => {
                let (who, role) = (cx.caller.principal.arn(), &input.role_arn);
                Err(denied(format!(
                    "User: {who} is not authorized to perform: sts:AssumeRole on resource: {role}"
                )))
            }
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
        let (serial, code) = (input.serial_number.as_deref(), input.token_code.as_deref());
        let mfa = use_mfa(tx, cx, serial, code)?;
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
            mfa,
            keys: Vec::new(),
            token_length_min: length_min(input.minimum_session_token_size),
        };
        let (id, row) = issue(tx, &*cx.entropy, new)?;
        let credentials = Some(credentials(id, row));
        Ok(GetSessionTokenOutput { credentials, ..GetSessionTokenOutput::default() })
    }

    async fn assume_role_with_web_identity(
        &self,
        cx: &AsyncCx,
        input: &AssumeRoleWithWebIdentityInput,
    ) -> Result<Reply<AssumeRoleWithWebIdentityOutput>, Error> {
        web_identity::run(&self.key_sets, cx, input).await
    }

    async fn assume_role_with_saml(
        &self,
        cx: &AsyncCx,
        input: &AssumeRoleWithSAMLInput,
    ) -> Result<Reply<AssumeRoleWithSAMLOutput>, Error> {
        saml::run(cx, input).await
    }

    fn authorize_get_federation_token(
        &self,
        cx: &Cx,
        input: &GetFederationTokenInput,
    ) -> Result<Vec<Ask>, Error> {
        federation::asks(cx, input)
    }

    fn get_federation_token(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &GetFederationTokenInput,
    ) -> Result<GetFederationTokenOutput, Error> {
        federation::run(tx, cx, input)
    }

    /// What is in a message that a refusal came with. It is sealed for the account that was refused.
    fn decode_authorization_message(
        &self,
        _: &Tx,
        cx: &Cx,
        input: &DecodeAuthorizationMessageInput,
    ) -> Result<DecodeAuthorizationMessageOutput, Error> {
        let place = api::denial_place(cx.account);
        let decoded = cx.door.open_token(&place, &input.encoded_message).ok_or_else(|| {
            let message = "Message is not valid.";
            Error::new(&errors::INVALID_AUTHORIZATION_MESSAGE_EXCEPTION, message)
        })?;
        Ok(DecodeAuthorizationMessageOutput { decoded_message: Some(decoded) })
    }
}
