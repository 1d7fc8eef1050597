//! `AssumeRoleWithWebIdentity`: nobody signs the request; a token of an identity provider that the
//! role's account knows says who asks, and the role's trust policy whether that is enough.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use crate::assume_role::{self, NewRoleSession, find_role, split_role_arn};
use crate::jwt::{self, Token, secs, text, texts};
use crate::keys::KeySets;
use crate::session_tags::SessionTags;
use crate::{HOUR_S, denied, length_min, validation};
use api::{Ask, AskContext, AsyncCx, Caller, Error, Reply, Tx};
use base::{AccountId, Timestamp};
use directory::{OidcProviderRow, SessionKeyRow, TagRow, oidc_provider};
use gen_sts::*;
use policy::Principal;
use smithy::Document;
use std::borrow::Cow;
use std::sync::Arc;

/// The claim of a token that holds tags for the session.
const TAGS_CLAIM: &str = "https://aws.amazon.com/tags";
const SOURCE_CLAIM: &str = "https://aws.amazon.com/source_identity";
/// By how much a provider's clock may be ahead of ours.
const SKEW_S: i64 = 300;
const AUDIENCE_CHARS_MAX: usize = 255;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(&errors::INVALID_IDENTITY_TOKEN_EXCEPTION, message)
}

/// What a token says of who asks.
struct Identity {
    issuer: String,
    audience: Vec<String>,
    /// Where the token was made for one party and handed to another.
    authorised: Option<String>,
    subject: String,
    methods: Vec<String>,
    tags: SessionTags,
    source: Option<String>,
}

fn read(token: &Token<'_>) -> Result<Identity, Error> {
    let claims = &token.claims;
    let missing = |name: &str| invalid(format!("Missing a required claim: {name}"));
    Ok(Identity {
        issuer: text(claims, "iss").ok_or_else(|| missing("iss"))?.to_owned(),
        audience: texts(claims, "aud"),
        authorised: text(claims, "azp").map(str::to_owned),
        subject: text(claims, "sub").ok_or_else(|| missing("sub"))?.to_owned(),
        methods: texts(claims, "amr"),
        tags: session_tags(claims)?,
        source: text(claims, SOURCE_CLAIM).map(str::to_owned),
    })
}

/// `{"principal_tags": {key: [value]}, "transitive_tag_keys": [key]}`.
fn session_tags(
    claims: &std::collections::BTreeMap<String, Document>,
) -> Result<SessionTags, Error> {
    let Some(Document::Map(claim)) = claims.get(TAGS_CLAIM) else {
        return Ok(SessionTags::default());
    };
    let bad = || invalid("The tags claim of the token is not valid");
    let Some(Document::Map(principal)) = claim.get("principal_tags") else { return Err(bad()) };
    let mut tags = Vec::new();
    for key in principal.keys() {
        let [value] = &texts(principal, key)[..] else { return Err(bad()) };
        tags.push(TagRow { key: key.clone(), value: value.clone() });
    }
    SessionTags::checked(tags, &texts(claim, "transitive_tag_keys"))
}

fn check_time(token: &Token<'_>, now: Timestamp) -> Result<(), Error> {
    let now = now.to_secs();
    let expires =
        secs(&token.claims, "exp").ok_or_else(|| invalid("Missing a required claim: exp"))?;
    if expires <= now {
        let message = format!(
            "Token expired: current date/time {now} must be before the expiration date/time {expires}"
        );
        return Err(Error::new(&errors::EXPIRED_TOKEN_EXCEPTION, message));
    }
    let begins = [secs(&token.claims, "nbf"), secs(&token.claims, "iat")];
    match begins.into_iter().flatten().any(|from| from > now + SKEW_S) {
        true => Err(invalid("The ID Token provided is not valid yet.")),
        false => Ok(()),
    }
}

/// The account's provider of that issuer. Its URL stands without a scheme.
fn provider(tx: &Tx, account: AccountId, issuer: &str) -> Result<OidcProviderRow, Error> {
    let url = issuer.split_once("://").map_or(issuer, |(_, rest)| rest).trim_end_matches('/');
    let found = oidc_provider(tx, account, url)?;
    found.ok_or_else(|| {
        invalid(format!("No OpenIDConnect provider found in your account for {issuer}"))
    })
}

impl Identity {
    /// The audience that the provider must know: whom the token was handed to, if it says so.
    fn audience(&self) -> &[String] {
        match &self.authorised {
            Some(one) if self.audience.len() != 1 => std::slice::from_ref(one),
            _ => &self.audience,
        }
    }

    /// Condition keys, by the provider's URL.
    fn keys(&self, provider: &OidcProviderRow) -> AskContext {
        let url = provider.url.to_ascii_lowercase();
        let key = |name: &str| Cow::Owned(format!("{url}:{name}"));
        let mut keys = vec![
            (key("aud"), self.audience().to_vec()),
            (key("oaud"), self.audience.clone()),
            (key("sub"), vec![self.subject.clone()]),
        ];
        if !self.methods.is_empty() {
            keys.push((key("amr"), self.methods.clone()));
        }
        keys.push((Cow::Borrowed("aws:federatedprovider"), vec![provider.arn.clone()]));
        keys
    }

    fn asks(&self, input: &AssumeRoleWithWebIdentityInput, keys: &AskContext) -> Vec<Ask> {
        let mut context = keys.clone();
        let session = vec![input.role_session_name.clone()];
        context.push((Cow::Borrowed("sts:rolesessionname"), session));
        self.tags.add_keys(&mut context);
        if let Some(source) = &self.source {
            context.push((Cow::Borrowed("sts:sourceidentity"), vec![source.clone()]));
        }
        let does = [
            (true, "sts:AssumeRoleWithWebIdentity"),
            (!self.tags.tags.is_empty(), "sts:TagSession"),
            (self.source.is_some(), "sts:SetSourceIdentity"),
        ];
        let ask = |action| Ask { context: context.clone(), ..Ask::new(action, &*input.role_arn) };
        does.into_iter().filter(|(does, _)| *does).map(|(_, action)| ask(action)).collect()
    }

    fn caller(&self, provider: &OidcProviderRow, account: AccountId) -> Caller {
        let name = format!("{}:{}:{}", provider.url, self.audience().join(","), self.subject);
        Caller {
            principal: Principal::identity_provider(provider.arn.as_str()),
            access_key_id: "".into(),
            // The record of it belongs to the role's account.
            account: Some(account),
            user_id: name.into(),
            name: self.subject.as_str().into(),
            session_policies: None,
            tags: Arc::new([]),
            session_keys: Arc::default(),
            token_issued: None,
            mfa: false,
        }
    }
}

pub(crate) async fn run(
    sets: &KeySets,
    cx: &AsyncCx,
    input: &AssumeRoleWithWebIdentityInput,
) -> Result<Reply<AssumeRoleWithWebIdentityOutput>, Error> {
    let arn = &input.role_arn;
    let (account, _) = split_role_arn(arn).ok_or_else(|| validation("Request ARN is invalid"))?;
    let token = Token::read(&input.web_identity_token).ok_or_else(|| {
        invalid("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
    })?;
    let identity = read(&token)?;
    let provider = cx.read(|tx| provider(tx, account, &identity.issuer))?;
    check_time(&token, cx.now())?;
    let known = |own: &String| provider.client_ids.contains(own);
    if !identity.audience().iter().any(known) {
        return Err(invalid("Incorrect token audience"));
    }
    sets.check(&token, &provider, &identity.issuer, cx.now()).await?;

    let keys = identity.keys(&provider);
    let asks = identity.asks(input, &keys);
    let inner = cx.acting_as(identity.caller(&provider, account), account, asks);
    let refused = |error: Error| match error.code() {
        "AccessDenied" => {
            error.with_message("Not authorized to perform sts:AssumeRoleWithWebIdentity")
        }
        _ => error,
    };
    let made = inner.write(input, |tx| {
        let role = find_role(tx, arn)?
            .ok_or_else(|| denied("Not authorized to perform sts:AssumeRoleWithWebIdentity"))?;
        let wanted = input.duration_seconds.map_or(HOUR_S, i64::from);
        assume_role::make_session(
            tx,
            &inner,
            &role,
            NewRoleSession {
                session_name: &input.role_session_name,
                duration_s: assume_role::within(wanted, &role)?,
                policy: input.policy.as_deref(),
                policy_arns: input.policy_arns.as_deref(),
                tags: identity.tags.clone(),
                source_identity: identity.source.clone(),
                mfa: false,
                keys: keys
                    .iter()
                    .map(|(name, values)| SessionKeyRow {
                        name: name.to_string(),
                        values: values.clone(),
                    })
                    .collect(),
                token_length_min: length_min(input.minimum_session_token_size),
            },
        )
    });
    let made = made.await.map_err(refused)?;
    cx.set_recorded();
    let audience: String = identity.audience().join(",").chars().take(AUDIENCE_CHARS_MAX).collect();
    Ok(Reply::new(AssumeRoleWithWebIdentityOutput {
        credentials: Some(made.credentials),
        subject_from_web_identity_token: Some(identity.subject),
        assumed_role_user: Some(made.user),
        packed_policy_size: made.packed,
        provider: Some(provider.arn),
        audience: Some(audience),
        source_identity: identity.source,
        ..AssumeRoleWithWebIdentityOutput::default()
    }))
}

/// For the fuzz target.
pub fn fuzz(bytes: &[u8]) {
    jwt::fuzz_token(bytes);
}
