//! Who asks, and how a policy names who may.

use base::{AccountId, Partition};
use std::borrow::Cow;

/// What sort of principal makes a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrincipalKind {
    Root,
    User,
    /// A session of an assumed role.
    Session,
    /// A session from `GetFederationToken`.
    FederatedUser,
    /// An AWS service acting on its own behalf, such as `events.amazonaws.com`.
    Service,
    /// An identity provider vouching for somebody in `AssumeRoleWithWebIdentity` or `…WithSAML`.
    IdentityProvider,
    Anonymous,
}

/// Who makes a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    kind: PrincipalKind,
    account: Option<AccountId>,
    arn: String,
    issuer_arn: String,
    issuer_id: String,
    canonical_id: String,
}

impl Principal {
    fn new(kind: PrincipalKind, account: Option<AccountId>, arn: String) -> Principal {
        let [issuer_arn, issuer_id, canonical_id] = [const { String::new() }; 3];
        Principal { kind, account, arn, issuer_arn, issuer_id, canonical_id }
    }

    /// The root user of an account.
    pub fn root(partition: Partition, account: AccountId) -> Principal {
        let arn = format!("arn:{}:iam::{account}:root", partition.as_str());
        Principal::new(PrincipalKind::Root, Some(account), arn)
    }

    /// An IAM user, by ARN.
    pub fn user(account: AccountId, arn: impl Into<String>) -> Principal {
        Principal::new(PrincipalKind::User, Some(account), arn.into())
    }

    /// A role session: `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`, and the role's own ARN.
    pub fn session(
        account: AccountId,
        session_arn: impl Into<String>,
        role_arn: impl Into<String>,
    ) -> Principal {
        let mut own = Principal::new(PrincipalKind::Session, Some(account), session_arn.into());
        own.issuer_arn = role_arn.into();
        own
    }

    /// A federated user: `arn:aws:sts::ACCOUNT:federated-user/NAME`, and the IAM user or root that
    /// asked for the session.
    pub fn federated_user(
        account: AccountId,
        arn: impl Into<String>,
        user_arn: impl Into<String>,
    ) -> Principal {
        let mut own = Principal::new(PrincipalKind::FederatedUser, Some(account), arn.into());
        own.issuer_arn = user_arn.into();
        own
    }

    pub fn service(name: impl Into<String>) -> Principal {
        Principal::new(PrincipalKind::Service, None, name.into())
    }

    /// An identity provider: the ARN of an OIDC or SAML provider, or a name such as
    /// `cognito-identity.amazonaws.com`.
    pub fn identity_provider(name: impl Into<String>) -> Principal {
        Principal::new(PrincipalKind::IdentityProvider, None, name.into())
    }

    pub fn anonymous() -> Principal {
        Principal::new(PrincipalKind::Anonymous, None, "anonymous".to_owned())
    }

    /// Adds the unique id of the user behind a federated user, which no other user of that name has.
    pub fn with_issuer_id(mut self, id: impl Into<String>) -> Principal {
        self.issuer_id = id.into();
        self
    }

    /// Adds the account's canonical user id, by which S3 policies may name it.
    pub fn with_canonical_id(mut self, id: impl Into<String>) -> Principal {
        self.canonical_id = id.into();
        self
    }

    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// The account that the principal belongs to; services, providers and strangers have none.
    pub fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The ARN, or the name of a service or provider, or `anonymous`.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The role behind a session or the user behind a federated user; else the same as [`arn`].
    ///
    /// [`arn`]: Principal::arn
    pub fn issuer_arn(&self) -> &str {
        if self.issuer_arn.is_empty() { &self.arn } else { &self.issuer_arn }
    }

    /// What [`Principal::with_issuer_id`] added; else empty.
    pub fn issuer_id(&self) -> &str {
        &self.issuer_id
    }

    fn is_arn_kind(&self) -> bool {
        !matches!(self.kind, PrincipalKind::Service | PrincipalKind::IdentityProvider)
            && self.kind != PrincipalKind::Anonymous
    }
}

/// One entry of a `Principal` or `NotPrincipal` element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// `"*"` or `{"AWS": "*"}`.
    Everybody,
    /// `{"AWS": "123456789012"}` or its root ARN.
    Account(AccountId),
    /// `{"AWS": ARN}`, or the unique id that remains of a deleted user or role.
    Aws(String),
    Service(String),
    Federated(String),
    CanonicalUser(String),
}

/// How directly a policy names a principal, from not at all to by its own name. The order matters:
/// what is more direct is limited by fewer of the other layers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Grant {
    /// By the account: what its administrators allow, it may.
    Account,
    /// By the role or user behind a session: boundary and session policies still limit it.
    Issuer,
    /// By its own ARN, or as everybody.
    Direct,
}

impl Who {
    /// `text` as it stands under `{"AWS": ..}`.
    pub(crate) fn aws(text: &str) -> Who {
        if text == "*" {
            return Who::Everybody;
        }
        if let Some(account) = AccountId::parse(text).or_else(|| root_account(text)) {
            return Who::Account(account);
        }
        Who::Aws(text.to_owned())
    }

    /// The element's type and value as a policy writes them.
    pub fn parts(&self) -> (&'static str, Cow<'_, str>) {
        match self {
            Who::Everybody => ("AWS", Cow::Borrowed("*")),
            Who::Account(account) => ("AWS", Cow::Owned(account.to_string())),
            Who::Aws(arn) => ("AWS", Cow::Borrowed(arn)),
            Who::Service(name) => ("Service", Cow::Borrowed(name)),
            Who::Federated(name) => ("Federated", Cow::Borrowed(name)),
            Who::CanonicalUser(id) => ("CanonicalUser", Cow::Borrowed(id)),
        }
    }

    fn names(&self, principal: &Principal) -> Option<Grant> {
        let grant = match self {
            Who::Everybody => return Some(Grant::Direct),
            Who::Account(account) if principal.account == Some(*account) => {
                if principal.kind == PrincipalKind::Root { Grant::Direct } else { Grant::Account }
            }
            Who::Aws(arn) if principal.is_arn_kind() => {
                if *arn == principal.arn {
                    Grant::Direct
                } else if *arn == principal.issuer_arn {
                    Grant::Issuer
                } else {
                    return None;
                }
            }
            Who::Service(name) if principal.kind == PrincipalKind::Service => {
                return (*name == principal.arn).then_some(Grant::Direct);
            }
            Who::Federated(name) if principal.kind == PrincipalKind::IdentityProvider => {
                return (*name == principal.arn || name == "*").then_some(Grant::Direct);
            }
            Who::CanonicalUser(id) if !id.is_empty() && *id == principal.canonical_id => {
                if principal.kind == PrincipalKind::Root {
                    Grant::Direct
                } else {
                    Grant::Account
                }
            }
            _ => return None,
        };
        Some(grant)
    }
}

/// The account of `arn:PARTITION:iam::ACCOUNT:root`.
fn root_account(arn: &str) -> Option<AccountId> {
    let (head, account) = arn.strip_suffix(":root")?.rsplit_once("::")?;
    let mut fields = head.split(':');
    let ok =
        fields.next() == Some("arn") && fields.next().is_some() && fields.next() == Some("iam");
    (ok && fields.next().is_none()).then(|| AccountId::parse(account)).flatten()
}

/// The most direct way in which a `Principal` element names the principal.
pub(crate) fn named(list: &[Who], principal: &Principal) -> Option<Grant> {
    list.iter().filter_map(|who| who.names(principal)).max()
}

/// Whether a `NotPrincipal` element exempts the principal. Everything that the principal is must
/// be listed: for a user the user and the account, for a session also the role
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html>).
pub(crate) fn exempted(list: &[Who], principal: &Principal) -> bool {
    let named = |wanted: Grant| {
        list.iter().any(|who| *who == Who::Everybody || who.names(principal) == Some(wanted))
    };
    match principal.kind {
        PrincipalKind::User => named(Grant::Direct) && named(Grant::Account),
        PrincipalKind::Session | PrincipalKind::FederatedUser => {
            named(Grant::Direct) && named(Grant::Issuer) && named(Grant::Account)
        }
        _ => named(Grant::Direct),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "111122223333";

    fn account() -> AccountId {
        AccountId::parse(ACCOUNT).unwrap()
    }

    #[test]
    fn accounts_in_both_forms() {
        for text in [ACCOUNT, "arn:aws:iam::111122223333:root", "arn:aws-cn:iam::111122223333:root"]
        {
            assert_eq!(Who::aws(text), Who::Account(account()), "{text}");
        }
        for text in [
            "arn:aws:iam::1:root",
            "arn:aws:s3::111122223333:root",
            "arn:aws:iam:x::111122223333:root",
        ] {
            assert_eq!(Who::aws(text), Who::Aws(text.into()), "{text}");
        }
    }

    #[test]
    fn how_directly_a_principal_is_named() {
        let role = "arn:aws:iam::111122223333:role/path/r";
        let session_arn = "arn:aws:sts::111122223333:assumed-role/r/s";
        let session = Principal::session(account(), session_arn, role).with_canonical_id("c0");
        let check = |who: Who, expected: Option<Grant>| {
            assert_eq!(
                named(&[Who::Service("x".into()), who.clone()], &session),
                expected,
                "{who:?}"
            );
        };
        check(Who::Everybody, Some(Grant::Direct));
        check(Who::aws(session_arn), Some(Grant::Direct));
        check(Who::aws(role), Some(Grant::Issuer));
        check(Who::aws(ACCOUNT), Some(Grant::Account));
        check(Who::CanonicalUser("c0".into()), Some(Grant::Account));
        check(Who::CanonicalUser("".into()), None);
        check(Who::aws("444455556666"), None);
        check(Who::aws("arn:aws:iam::111122223333:role/r"), None);
        check(Who::Federated("*".into()), None);
    }

    #[test]
    fn the_nameless_are_named_by_everybody_only() {
        let check = |principal: &Principal, who: Who, expected: bool| {
            assert_eq!(named(std::slice::from_ref(&who), principal).is_some(), expected, "{who:?}");
        };
        check(&Principal::anonymous(), Who::Everybody, true);
        check(&Principal::anonymous(), Who::Aws("anonymous".into()), false);
        check(&Principal::anonymous(), Who::CanonicalUser("".into()), false);
        let service = Principal::service("events.amazonaws.com");
        check(&service, Who::Service("events.amazonaws.com".into()), true);
        check(&service, Who::Aws("events.amazonaws.com".into()), false);
        check(&service, Who::Federated("events.amazonaws.com".into()), false);
    }
}
