//! Sessions of roles for those whom an identity provider vouches for. Nobody signs such a request; what
//! the provider signed says who asks, and the role's trust policy whether that is enough.

use crate::assume_role::{self, Made, NewRoleSession, find_role};
use crate::session_tags::SessionTags;
use crate::{denied, length_min};
use api::{Ask, AskContext, AsyncCx, Caller, Error};
use base::AccountId;
use directory::SessionKeyRow;
use gen_sts::PolicyDescriptorType;
use policy::Principal;
use smithy::Struct;
use std::borrow::Cow;
use std::sync::Arc;

/// Whether it may name a session, or who is behind one.
pub(crate) fn is_source(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    (2..=64).contains(&name.len()) && name.chars().all(fits)
}

/// What the provider says, and what is asked for.
pub(crate) struct Vouched<'a> {
    /// `sts:AssumeRoleWith…`.
    pub(crate) action: &'static str,
    pub(crate) role_arn: &'a str,
    /// The role's, whose provider it is.
    pub(crate) account: AccountId,
    pub(crate) provider_arn: &'a str,
    /// Whom it vouches for, as the record of the call names them.
    pub(crate) user_id: String,
    pub(crate) name: &'a str,
    /// What policies may ask of the session from now on.
    pub(crate) keys: AskContext,
    pub(crate) session_name: &'a str,
    pub(crate) tags: SessionTags,
    pub(crate) source: Option<String>,
    pub(crate) wanted_s: i64,
    /// At what the session ends in any case.
    pub(crate) at_most_s: Option<i64>,
    pub(crate) policy: Option<&'a str>,
    pub(crate) policy_arns: Option<&'a [PolicyDescriptorType]>,
    pub(crate) token_length_min: Option<i32>,
}

impl Vouched<'_> {
    fn asks(&self) -> Vec<Ask> {
        let mut context = self.keys.clone();
        let session = vec![self.session_name.to_owned()];
        context.push((Cow::Borrowed("sts:rolesessionname"), session));
        self.tags.add_keys(&mut context);
        if let Some(source) = &self.source {
            context.push((Cow::Borrowed("sts:sourceidentity"), vec![source.clone()]));
        }
        let does = [
            (true, self.action),
            (!self.tags.tags.is_empty(), "sts:TagSession"),
            (self.source.is_some(), "sts:SetSourceIdentity"),
        ];
        let ask = |action| Ask { context: context.clone(), ..Ask::new(action, self.role_arn) };
        does.into_iter().filter(|(does, _)| *does).map(|(_, action)| ask(action)).collect()
    }

    fn caller(&self) -> Caller {
        Caller {
            principal: Principal::identity_provider(self.provider_arn),
            access_key_id: "".into(),
            // The record of it belongs to the role's account.
            account: Some(self.account),
            user_id: self.user_id.as_str().into(),
            name: self.name.into(),
            session_policies: None,
            tags: Arc::new([]),
            session_keys: Arc::default(),
            token_issued: None,
            mfa: false,
        }
    }

    /// Asks the role's trust policy, and makes the session.
    pub(crate) async fn session(&self, cx: &AsyncCx, input: &dyn Struct) -> Result<Made, Error> {
        let inner = cx.acting_as(self.caller(), self.account, self.asks());
        let not_authorized = || format!("Not authorized to perform {}", self.action);
        let made = inner.write(input, |tx| {
            let role = find_role(tx, self.role_arn)?.ok_or_else(|| denied(not_authorized()))?;
            let allowed = assume_role::within(self.wanted_s, &role)?;
            let keys = self.keys.iter();
            assume_role::make_session(
                tx,
                &inner,
                &role,
                NewRoleSession {
                    session_name: self.session_name,
                    duration_s: self.at_most_s.map_or(allowed, |most| allowed.min(most)),
                    policy: self.policy,
                    policy_arns: self.policy_arns,
                    tags: self.tags.clone(),
                    source_identity: self.source.clone(),
                    mfa: false,
                    keys: keys
                        .map(|(name, values)| SessionKeyRow {
                            name: name.to_string(),
                            values: values.clone(),
                        })
                        .collect(),
                    token_length_min: length_min(self.token_length_min),
                },
            )
        });
        let made = made.await.map_err(|error| match error.code() {
            "AccessDenied" => error.with_message(not_authorized()),
            _ => error,
        })?;
        cx.set_recorded();
        Ok(made)
    }
}
