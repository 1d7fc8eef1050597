//! `AssumeRoleWithSAML`: a response of an identity provider, whose metadata the role's account keeps,
//! says who asks and which roles they may have.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithSAML.html>
//!
//! What a response has to say is in
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_saml_assertions.html>.

use crate::assume_role::split_role_arn;
use crate::session_tags::SessionTags;
use crate::vouched::{Vouched, is_source};
use crate::{HOUR_S, denied, validation};
use ::saml::{Assertion, Metadata, Refusal};
use api::{AskContext, AsyncCx, Error, Reply, Tx};
use base::{AccountId, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directory::{SAML_PROVIDERS, SamlProviderRow, TagRow};
use gen_sts::*;
use ring::digest;
use std::borrow::Cow;
use store::Scope;

const ACTION: &str = "sts:AssumeRoleWithSAML";
const ATTRIBUTES: &str = "https://aws.amazon.com/SAML/Attributes/";
/// Where browsers bring responses to, in each partition; regions and providers have names before and
/// paths behind it.
const SIGN_IN: [&str; 3] =
    ["signin.aws.amazon.com", "signin.amazonaws.cn", "signin.amazonaws-us-gov.com"];
/// What the audience may be called beside that.
const AUDIENCES: [&str; 3] = [
    "urn:amazon:webservices",
    "urn:amazon:webservices:cn-north-1",
    "urn:amazon:webservices:govcloud",
];
const FORMATS: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:";
/// How long a response may be on its way.
const REDEEMED_WITHIN_S: i64 = 300;
/// By how much a provider's clock may be ahead of ours.
const SKEW_S: i64 = 300;
const SESSION_S_MIN: i64 = 900;
const SESSION_S_MAX: i64 = 12 * HOUR_S;

/// Attributes of directories that policies may ask for: their names in responses, and their keys
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html>).
const KEYS: [(&str, &str); 24] = [
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.1", "saml:edupersonaffiliation"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.2", "saml:edupersonnickname"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.3", "saml:edupersonorgdn"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.4", "saml:edupersonorgunitdn"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.5", "saml:edupersonprimaryaffiliation"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.6", "saml:edupersonprincipalname"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.7", "saml:edupersonentitlement"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.8", "saml:edupersonprimaryorgunitdn"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.9", "saml:edupersonscopedaffiliation"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.10", "saml:edupersontargetedid"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.11", "saml:edupersonassurance"),
    ("urn:oid:1.3.6.1.4.1.5923.1.2.1.2", "saml:eduorghomepageuri"),
    ("urn:oid:1.3.6.1.4.1.5923.1.2.1.3", "saml:eduorgidentityauthnpolicyuri"),
    ("urn:oid:1.3.6.1.4.1.5923.1.2.1.4", "saml:eduorglegalname"),
    ("urn:oid:1.3.6.1.4.1.5923.1.2.1.5", "saml:eduorgsuperioruri"),
    ("urn:oid:1.3.6.1.4.1.5923.1.2.1.6", "saml:eduorgwhitepagesuri"),
    ("urn:oid:2.5.4.3", "saml:cn"),
    ("urn:oid:2.5.4.4", "saml:surname"),
    ("urn:oid:2.5.4.41", "saml:name"),
    ("urn:oid:2.5.4.42", "saml:givenname"),
    ("urn:oid:2.5.4.45", "saml:x500uniqueidentifier"),
    ("urn:oid:0.9.2342.19200300.100.1.1", "saml:uid"),
    ("urn:oid:0.9.2342.19200300.100.1.3", "saml:mail"),
    ("urn:oid:0.9.2342.19200300.100.1.45", "saml:organizationstatus"),
];

fn invalid(message: impl Into<String>) -> Error {
    Error::new(&errors::INVALID_IDENTITY_TOKEN_EXCEPTION, message)
}

fn expired(message: impl Into<String>) -> Error {
    Error::new(&errors::EXPIRED_TOKEN_EXCEPTION, message)
}

fn not_authorized() -> Error {
    denied(format!("Not authorized to perform {ACTION}"))
}

/// The role's account's provider of that ARN, and when its metadata end.
fn provider(tx: &Tx, account: AccountId, arn: &str) -> Result<SamlProviderRow, Error> {
    let name = arn.rsplit_once(":saml-provider/").map_or("", |(_, name)| name);
    let row = tx.get(&SAML_PROVIDERS, &Scope::Account(account), name)?;
    row.filter(|row| row.arn == arn).ok_or_else(|| invalid("Specified provider doesn't exist"))
}

fn read(response: &str, row: &SamlProviderRow, now: Timestamp) -> Result<Assertion, Error> {
    let text: String = response.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(text).map_err(|_| invalid("Invalid base64 SAMLResponse"))?;
    // It was read when it was put; an older store may hold what would not be taken today.
    let metadata = Metadata::read(row.metadata.as_bytes());
    let metadata = metadata.ok_or_else(|| invalid("Could not parse metadata"))?;
    if row.valid_until <= now {
        return Err(invalid("The metadata of the specified provider has expired."));
    }
    ::saml::read(&bytes, &metadata).map_err(|refusal| {
        invalid(match refusal {
            Refusal::Malformed => "Invalid SAMLResponse",
            Refusal::Failed => "The SAMLResponse does not report success",
            Refusal::Issuer => "Issuer not present in specified provider",
            Refusal::Signature => "Response signature invalid",
        })
    })
}

/// Whether it is a place where this cloud, or a region of it, takes responses.
fn is_sign_in(url: &str) -> bool {
    let Some((host, path)) = url.strip_prefix("https://").and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let is_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_region = |text: &str| {
        let label = text.strip_suffix('.').unwrap_or_default();
        text.is_empty() || (!label.is_empty() && label.chars().all(is_label))
    };
    let known = |name: &str| host.strip_suffix(name).is_some_and(is_region);
    SIGN_IN.into_iter().any(known) && (path == "saml" || path.starts_with("saml/acs/"))
}

/// Whether it is for us and for now. The place that it was to be brought to.
fn check(assertion: &Assertion, now: Timestamp) -> Result<String, Error> {
    if assertion.issued.plus_secs(REDEEMED_WITHIN_S) <= now {
        return Err(expired("Token must be redeemed within 5 minutes of issuance"));
    }
    let begins = [Some(assertion.issued), assertion.not_before];
    if begins.into_iter().flatten().any(|from| from > now.plus_secs(SKEW_S)) {
        return Err(invalid("The SAMLResponse is not valid yet"));
    }
    let ends = [assertion.not_on_or_after, assertion.session_ends];
    if ends.into_iter().flatten().any(|end| end <= now) {
        return Err(expired("The SAMLResponse has expired"));
    }
    let ours = |name: &String| is_sign_in(name) || AUDIENCES.contains(&name.as_str());
    let mut all = assertion.audiences.iter();
    if assertion.audiences.is_empty() || !all.all(|any| any.iter().any(ours)) {
        return Err(invalid("Response does not contain the required audience."));
    }
    let here = assertion.confirmations.iter().filter(|own| is_sign_in(&own.recipient));
    let Some(confirmed) = here.max_by_key(|own| own.not_on_or_after) else {
        return Err(invalid("Response does not contain the required audience."));
    };
    match confirmed.not_on_or_after <= now {
        true => Err(expired("The SAMLResponse has expired")),
        false => Ok(confirmed.recipient.clone()),
    }
}

/// The one value of one of AWS's attributes, if it is there.
fn one<'a>(assertion: &'a Assertion, name: &str) -> Result<Option<&'a str>, Error> {
    match assertion.values(&format!("{ATTRIBUTES}{name}"))[..] {
        [] => Ok(None),
        [value] => Ok(Some(value)),
        _ => Err(invalid(format!("{name} in AuthnResponse must have one value"))),
    }
}

fn session_name(assertion: &Assertion) -> Result<&str, Error> {
    let name = one(assertion, "RoleSessionName")?;
    let name = name.ok_or_else(|| invalid("RoleSessionName is required in AuthnResponse"))?;
    if !is_source(name) {
        let text = "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}";
        return Err(invalid(text));
    }
    Ok(name)
}

fn source(assertion: &Assertion) -> Result<Option<String>, Error> {
    let source = one(assertion, "SourceIdentity")?;
    if source.is_some_and(|own| !is_source(own)) {
        let text =
            r#"Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:""#;
        return Err(invalid(text));
    }
    Ok(source.map(str::to_owned))
}

fn session_tags(assertion: &Assertion) -> Result<SessionTags, Error> {
    let prefix = format!("{ATTRIBUTES}PrincipalTag:");
    let mut tags = Vec::new();
    for attribute in &assertion.attributes {
        let Some(key) = attribute.name.strip_prefix(&prefix) else { continue };
        let [value] = &attribute.values[..] else {
            return Err(invalid(format!(
                "PrincipalTag:{key} in AuthnResponse must have one value"
            )));
        };
        tags.push(TagRow { key: key.to_owned(), value: value.clone() });
    }
    let transitive = assertion.values(&format!("{ATTRIBUTES}TransitiveTagKeys"));
    SessionTags::checked(tags, &transitive.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>())
}

/// How long the session is to be.
fn wanted_s(assertion: &Assertion, input: &AssumeRoleWithSAMLInput) -> Result<i64, Error> {
    if let Some(secs) = input.duration_seconds {
        return Ok(i64::from(secs));
    }
    let Some(text) = one(assertion, "SessionDuration")? else { return Ok(HOUR_S) };
    let secs = text.parse().ok().filter(|secs| (SESSION_S_MIN..=SESSION_S_MAX).contains(secs));
    secs.ok_or_else(|| invalid("SessionDuration in AuthnResponse must be between 900 and 43200"))
}

/// Whether the provider says that whom it vouches for may have the role.
fn names_role(assertion: &Assertion, role: &str, provider: &str) -> bool {
    assertion.values(&format!("{ATTRIBUTES}Role")).into_iter().any(|pair| {
        let pair = pair.split_once(',').map(|(a, b)| (a.trim(), b.trim()));
        pair == Some((role, provider)) || pair == Some((provider, role))
    })
}

/// One name for all subjects of this provider in this account.
fn name_qualifier(issuer: &str, account: AccountId, provider: &str) -> String {
    let text = format!("{issuer}{account}/{provider}");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// Condition keys.
fn keys(assertion: &Assertion, about: &About, row: &SamlProviderRow) -> AskContext {
    let mut keys: AskContext = [
        ("saml:aud", about.recipient.clone()),
        ("saml:iss", assertion.issuer.clone()),
        ("saml:sub", assertion.subject.value.clone()),
        ("saml:sub_type", about.format.clone()),
        ("saml:namequalifier", about.qualifier.clone()),
        ("saml:doc", format!("{}/{}", about.account, row.name)),
        ("aws:federatedprovider", row.arn.clone()),
    ]
    .map(|(key, value)| (Cow::Borrowed(key), vec![value]))
    .into();
    for (name, key) in KEYS {
        let values: Vec<String> = assertion.values(name).into_iter().map(str::to_owned).collect();
        if !values.is_empty() {
            keys.push((Cow::Borrowed(key), values));
        }
    }
    keys
}

/// What is known of a response beyond what it says.
struct About {
    account: AccountId,
    recipient: String,
    format: String,
    qualifier: String,
}

pub(crate) async fn run(
    cx: &AsyncCx,
    input: &AssumeRoleWithSAMLInput,
) -> Result<Reply<AssumeRoleWithSAMLOutput>, Error> {
    let (arn, provider_arn) = (&input.role_arn, &input.principal_arn);
    let (account, _) = split_role_arn(arn).ok_or_else(|| validation("Request ARN is invalid"))?;
    let row = cx.read(|tx| provider(tx, account, provider_arn))?;
    let now = cx.now();
    let assertion = read(&input.saml_assertion, &row, now)?;
    let recipient = check(&assertion, now)?;
    let name = session_name(&assertion)?;
    if !names_role(&assertion, arn, provider_arn) {
        return Err(not_authorized());
    }
    let format = assertion.subject.format.as_deref().unwrap_or("unspecified");
    let about = About {
        account,
        recipient,
        format: format.strip_prefix(FORMATS).unwrap_or(format).to_owned(),
        qualifier: name_qualifier(&assertion.issuer, account, &row.name),
    };
    let vouched = Vouched {
        action: ACTION,
        role_arn: arn,
        account,
        provider_arn,
        user_id: format!("{}:{}", about.qualifier, assertion.subject.value),
        name: &assertion.subject.value,
        keys: keys(&assertion, &about, &row),
        session_name: name,
        tags: session_tags(&assertion)?,
        source: source(&assertion)?,
        wanted_s: wanted_s(&assertion, input)?,
        at_most_s: assertion.session_ends.map(|end| end.to_secs() - now.to_secs()),
        policy: input.policy.as_deref(),
        policy_arns: input.policy_arns.as_deref(),
        token_length_min: input.minimum_session_token_size,
    };
    let made = vouched.session(cx, input).await?;
    Ok(Reply::new(AssumeRoleWithSAMLOutput {
        credentials: Some(made.credentials),
        assumed_role_user: Some(made.user),
        packed_policy_size: made.packed,
        subject: Some(assertion.subject.value.clone()),
        subject_type: Some(about.format),
        issuer: Some(assertion.issuer.clone()),
        audience: Some(about.recipient),
        name_qualifier: Some(about.qualifier),
        source_identity: made.source_identity,
        ..AssumeRoleWithSAMLOutput::default()
    }))
}
