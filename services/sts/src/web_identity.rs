//! `AssumeRoleWithWebIdentity`: a token of an identity provider that the role's account knows says who
//! asks.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use crate::assume_role::split_role_arn;
use crate::jwt::{self, Token, secs, text, texts};
use crate::keys::KeySets;
use crate::session_tags::SessionTags;
use crate::vouched::{Vouched, is_source};
use crate::{HOUR_S, validation};
use api::{AskContext, AsyncCx, Error, Reply, Tx};
use base::{AccountId, Timestamp};
use directory::{OidcProviderRow, TagRow, oidc_provider};
use gen_sts::*;
use smithy::Document;
use std::borrow::Cow;

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
        source: source(claims)?,
    })
}

fn source(claims: &std::collections::BTreeMap<String, Document>) -> Result<Option<String>, Error> {
    let source = text(claims, SOURCE_CLAIM);
    match source.is_some_and(|own| !is_source(own)) {
        true => Err(invalid("The source identity of the token is not valid")),
        false => Ok(source.map(str::to_owned)),
    }
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

    let vouched = Vouched {
        action: "sts:AssumeRoleWithWebIdentity",
        role_arn: arn,
        account,
        provider_arn: &provider.arn,
        user_id: format!("{}:{}:{}", provider.url, identity.audience().join(","), identity.subject),
        name: &identity.subject,
        keys: identity.keys(&provider),
        session_name: &input.role_session_name,
        tags: identity.tags.clone(),
        source: identity.source.clone(),
        wanted_s: input.duration_seconds.map_or(HOUR_S, i64::from),
        at_most_s: None,
        policy: input.policy.as_deref(),
        policy_arns: input.policy_arns.as_deref(),
        token_length_min: input.minimum_session_token_size,
    };
    let made = vouched.session(cx, input).await?;
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
