//! What the store knows about a resource and the input does not: its path, its tags, its boundary.

use api::{Ask, AskContext, Cx, Error, Grants, Hooks, Tx};
use base::AccountId;
use directory::{
    INSTANCE_PROFILES, MFA_DEVICES, POLICIES, SAML_PROVIDERS, SERVER_CERTIFICATES, TagRow, group,
    key_of, oidc_provider, role, user,
};
use policy::PrincipalKind;
use std::borrow::Cow;
use store::Scope;

use crate::Iam;

/// Operations whose resource is not there yet.
const MAKERS: [&str; 9] = [
    "CreateGroup",
    "CreateInstanceProfile",
    "CreateOpenIDConnectProvider",
    "CreatePolicy",
    "CreateRole",
    "CreateSAMLProvider",
    "CreateServiceLinkedRole",
    "CreateUser",
    "CreateVirtualMFADevice",
];

/// Federated users, and users' sessions without a second factor, get nothing from IAM.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html>
fn refuse_lesser_sessions(cx: &Cx) -> Result<(), Error> {
    let caller = &cx.caller;
    let is_session = caller.token_issued.is_some();
    let lesser = match caller.principal.kind() {
        PrincipalKind::FederatedUser => true,
        PrincipalKind::User | PrincipalKind::Root => is_session && !caller.mfa,
        _ => false,
    };
    if lesser && cx.service.name == "iam" {
        let message = "The security token included in the request is invalid";
        return Err(Error::with_code("InvalidClientTokenId", 403, message));
    }
    Ok(())
}

impl Hooks for Iam {
    fn forget_account(&self, tx: &mut Tx, account: AccountId) -> Result<Vec<u16>, Error> {
        directory::forget_account(tx, account).map(|()| Vec::new())
    }

    fn grants(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<Grants, Error> {
        let nothing = Grants::default();
        // What is about to be made has the ARN that was asked for.
        refuse_lesser_sessions(cx)?;
        if MAKERS.contains(&cx.operation.name) && ask.action.starts_with("iam:Create") {
            return Ok(nothing);
        }
        let Some(resource) = ask.resource.splitn(6, ':').nth(5) else { return Ok(nothing) };
        let (Some((kind, _)), Some((_, name))) =
            (resource.split_once('/'), resource.rsplit_once('/'))
        else {
            return Ok(nothing);
        };
        let scope = Scope::Account(cx.account);
        let found = match kind {
            "user" => user(tx, cx.account, name)?.map(|u| (u.arn, u.tags, u.policies.boundary)),
            "role" => role(tx, cx.account, name)?.map(|r| (r.arn, r.tags, r.policies.boundary)),
            "group" => group(tx, cx.account, name)?.map(|g| (g.arn, Vec::new(), None)),
            "instance-profile" => {
                tx.get(&INSTANCE_PROFILES, &scope, &key_of(name))?.map(|p| (p.arn, p.tags, None))
            }
            "policy" => tx
                .get(&POLICIES, &scope, &key_of(name))?
                .filter(|policy| policy.arn == ask.resource)
                .map(|policy| (policy.arn, policy.tags, None)),
            "oidc-provider" => {
                let url = resource.strip_prefix("oidc-provider/").unwrap_or_default();
                oidc_provider(tx, cx.account, url)?.map(|p| (p.arn, p.tags, None))
            }
            "saml-provider" => {
                tx.get(&SAML_PROVIDERS, &scope, name)?.map(|p| (p.arn, p.tags, None))
            }
            "mfa" => tx.get(&MFA_DEVICES, &scope, &ask.resource)?.map(|d| (d.serial, d.tags, None)),
            "server-certificate" => tx
                .get(&SERVER_CERTIFICATES, &scope, &key_of(name))?
                .map(|certificate| (certificate.arn, certificate.tags, None)),
            _ => None,
        };
        let Some((arn, tags, boundary)) = found else { return Ok(nothing) };
        let mut context = tag_keys(&tags);
        if let Some(arn) = boundary
            && !ask.context.iter().any(|(key, _)| key == "iam:permissionsboundary")
        {
            context.push((Cow::Borrowed("iam:permissionsboundary"), vec![arn]));
        }
        Ok(Grants { resource: Some(arn), context, ..nothing })
    }
}

fn tag_keys(tags: &[TagRow]) -> AskContext {
    let keys = |prefix: &'static str| {
        tags.iter().map(move |tag| {
            let key = format!("{prefix}:resourcetag/{}", tag.key.to_ascii_lowercase());
            (Cow::Owned(key), vec![tag.value.clone()])
        })
    };
    keys("aws").chain(keys("iam")).collect()
}
