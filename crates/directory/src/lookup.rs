//! From an access key to who is asking, and from there to their policies.
//!
//! Every request asks, so answers are cached under the stamp of their account: a lookup that finds
//! its stamp unchanged costs one small read.

use crate::managed::managed;
use crate::rows::{
    ACCESS_KEYS, AccessKeyRow, POLICIES, PoliciesRow, SESSIONS, STAMPS, SessionHolder, SessionRow,
    TagRow, group, key_of, role, user,
};
use crate::uses::record_uses;
use api::{
    AskContext, Caller, Credential, Error, Identities, IdentityPolicies, KeyUse, NamedPolicy, Tx,
};
use base::{AccountId, Partition};
use parking_lot::RwLock;
use policy::{Policy, Principal, PrincipalKind};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Scope;

const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
/// Entries of each cache; past it the cache starts anew.
const CACHED_MAX: usize = 10_000;

/// Looks up principals and their policies. One for a process, so that its cache is shared.
#[derive(Debug, Default)]
pub struct Directory {
    /// By access key id.
    credentials: Cache<Credential>,
    /// By the ARN of the user or role.
    policies: Cache<IdentityPolicies>,
}

#[derive(Debug)]
struct Cache<T> {
    entries: RwLock<BTreeMap<Arc<str>, Cached<T>>>,
}

#[derive(Clone, Debug)]
struct Cached<T> {
    account: AccountId,
    stamp: u64,
    value: Arc<T>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Cache { entries: RwLock::default() }
    }
}

impl<T> Cache<T> {
    fn get(&self, tx: &Tx, key: &str) -> Result<Option<Arc<T>>, Error> {
        let Some((account, stamp, value)) =
            self.entries.read().get(key).map(|own| (own.account, own.stamp, own.value.clone()))
        else {
            return Ok(None);
        };
        Ok((stamp_of(tx, account)? == stamp).then_some(value))
    }

    fn put(&self, tx: &Tx, key: &str, account: AccountId, value: T) -> Result<Arc<T>, Error> {
        let value = Arc::new(value);
        let cached = Cached { account, stamp: stamp_of(tx, account)?, value: value.clone() };
        let mut entries = self.entries.write();
        if entries.len() >= CACHED_MAX && !entries.contains_key(key) {
            entries.clear();
        }
        entries.insert(key.into(), cached);
        Ok(value)
    }
}

fn stamp_of(tx: &Tx, account: AccountId) -> Result<u64, Error> {
    Ok(tx.get(&STAMPS, &Scope::Account(account), "")?.map_or(0, |row| row.stamp))
}

impl Identities for Directory {
    fn credential(&self, tx: &Tx, access_key_id: &str) -> Result<Option<Credential>, Error> {
        if let Some(known) = self.credentials.get(tx, access_key_id)? {
            return Ok(Some((*known).clone()));
        }
        let found = if let Some(row) = tx.get(&ACCESS_KEYS, &Scope::Global, access_key_id)? {
            user_credential(tx, access_key_id, &row)?.map(|found| (row.account, found))
        } else if let Some(row) = tx.get(&SESSIONS, &Scope::Global, access_key_id)? {
            self.session_credential(tx, access_key_id, &row)?.map(|found| (row.account, found))
        } else {
            None
        };
        let Some((account, credential)) = found else { return Ok(None) };
        let kept = self.credentials.put(tx, access_key_id, account, credential)?;
        Ok(Some((*kept).clone()))
    }

    fn policies(&self, tx: &Tx, caller: &Caller) -> Result<IdentityPolicies, Error> {
        let principal = &caller.principal;
        let Some(account) = caller.account else { return Ok(IdentityPolicies::default()) };
        let arn = principal.issuer_arn();
        let session = caller.session_policies.as_ref().map(|list| list.to_vec());
        let own = match principal.kind() {
            PrincipalKind::User | PrincipalKind::Session | PrincipalKind::FederatedUser => {
                match self.policies.get(tx, arn)? {
                    Some(known) => known,
                    None => self.policies.put(tx, arn, account, load(tx, caller, account)?)?,
                }
            }
            _ => return Ok(IdentityPolicies { session, ..IdentityPolicies::default() }),
        };
        Ok(IdentityPolicies { session, ..(*own).clone() })
    }

    fn record_uses(&self, tx: &mut Tx, uses: &[KeyUse]) -> Result<(), Error> {
        record_uses(tx, uses)
    }

    fn root(&self, caller: &Caller) -> Principal {
        match caller.account {
            Some(account) => root(partition_of(caller.principal.arn()), account),
            None => Principal::anonymous(),
        }
    }
}

fn root(partition: Partition, account: AccountId) -> Principal {
    Principal::root(partition, account).with_canonical_id(account.canonical_user_id())
}

fn partition_of(arn: &str) -> Partition {
    match arn.split(':').nth(1) {
        Some("aws-cn") => Partition::AwsCn,
        Some("aws-us-gov") => Partition::AwsUsGov,
        _ => Partition::Aws,
    }
}

fn pairs(tags: &[TagRow]) -> impl Iterator<Item = (String, String)> {
    tags.iter().map(|tag| (tag.key.clone(), tag.value.clone()))
}

/// A key of an account's root.
fn root_credential(access_key_id: &str, key: &AccessKeyRow) -> Credential {
    let account = key.account;
    let caller = Caller {
        principal: root(Partition::Aws, account),
        access_key_id: access_key_id.into(),
        ..Caller::root(Partition::Aws, account)
    };
    Credential {
        secret: key.secret.as_str().into(),
        session_token: None,
        expires: None,
        caller: Arc::new(caller),
    }
}

/// `None` if the key is inactive or its user is gone.
fn user_credential(
    tx: &Tx,
    access_key_id: &str,
    key: &AccessKeyRow,
) -> Result<Option<Credential>, Error> {
    if key.user.is_empty() {
        return Ok(key.active.then(|| root_credential(access_key_id, key)));
    }
    let Some(row) = user(tx, key.account, &key.user)?.filter(|_| key.active) else {
        return Ok(None);
    };
    let principal = Principal::user(key.account, row.arn.as_str())
        .with_canonical_id(key.account.canonical_user_id());
    let caller = Caller {
        principal,
        access_key_id: access_key_id.into(),
        account: Some(key.account),
        user_id: row.id.into(),
        name: row.name.into(),
        session_policies: None,
        tags: pairs(&row.tags).collect(),
        session_keys: Arc::default(),
        token_issued: None,
        mfa: false,
    };
    Ok(Some(Credential {
        secret: key.secret.as_str().into(),
        session_token: None,
        expires: None,
        caller: Arc::new(caller),
    }))
}

/// Who a session acts as: principal, user id, name, tags.
type Identity = (Principal, String, String, Vec<(String, String)>);

impl Directory {
    /// `None` if the role or user of the session is gone, or another one has its name now.
    fn session_credential(
        &self,
        tx: &Tx,
        access_key_id: &str,
        row: &SessionRow,
    ) -> Result<Option<Credential>, Error> {
        let Some((principal, user_id, name, tags)) = session_identity(tx, row)? else {
            return Ok(None);
        };
        let session_policies = match &row.policies {
            None => None,
            Some(policies) => {
                let mut list = Vec::new();
                if let Some(document) = &policies.inline {
                    list.push(NamedPolicy { name: "session".into(), policy: parse(document)? });
                }
                for arn in &policies.managed {
                    list.extend(managed_policy(tx, row.account, arn)?);
                }
                Some(list.into())
            }
        };
        let caller = Caller {
            principal: principal.with_canonical_id(row.account.canonical_user_id()),
            access_key_id: access_key_id.into(),
            account: Some(row.account),
            user_id: user_id.into(),
            name: name.into(),
            session_policies,
            tags: tags.into(),
            session_keys: Arc::new(session_keys(row)),
            token_issued: Some(row.issued),
            mfa: row.mfa,
        };
        Ok(Some(Credential {
            secret: row.secret.as_str().into(),
            session_token: Some(row.token.as_str().into()),
            expires: Some(row.expires),
            caller: Arc::new(caller),
        }))
    }
}

/// The condition keys that a session was given.
fn session_keys(row: &SessionRow) -> AskContext {
    let source = row.source_identity.iter();
    let source = source.map(|own| (Cow::Borrowed("aws:sourceidentity"), vec![own.clone()]));
    let given = row.keys.iter().map(|key| (Cow::Owned(key.name.clone()), key.values.clone()));
    source.chain(given).collect()
}

fn session_identity(tx: &Tx, row: &SessionRow) -> Result<Option<Identity>, Error> {
    let account = row.account;
    Ok(match &row.holder {
        SessionHolder::Root => {
            let principal = root(partition_of(&row.arn), account);
            Some((principal, account.to_string(), String::new(), Vec::new()))
        }
        SessionHolder::User(of) => {
            let found = user(tx, account, &of.user)?.filter(|user| user.id == of.user_id);
            found.map(|user| {
                let tags = pairs(&user.tags).collect();
                (Principal::user(account, user.arn), user.id, user.name, tags)
            })
        }
        SessionHolder::Federated(of) => {
            let (user_arn, user_id) = match &of.user {
                Some(by) => match user(tx, account, &by.user)?.filter(|row| row.id == by.user_id) {
                    Some(row) => (row.arn, row.id),
                    None => return Ok(None),
                },
                None => (root(partition_of(&row.arn), account).arn().to_owned(), String::new()),
            };
            let principal = Principal::federated_user(account, row.arn.as_str(), user_arn)
                .with_issuer_id(user_id);
            let tags = pairs(&row.tags).collect();
            Some((principal, format!("{account}:{}", of.name), of.name.clone(), tags))
        }
        SessionHolder::Role(of) => {
            let found = role(tx, account, &of.role)?.filter(|role| role.id == of.role_id);
            found.map(|role| {
                // A session's tag takes the place of its role's.
                let own = |key: &str| row.tags.iter().any(|tag| tag.key.eq_ignore_ascii_case(key));
                let of_role = pairs(&role.tags).filter(|(key, _)| !own(key));
                let tags = pairs(&row.tags).chain(of_role).collect();
                let principal = Principal::session(account, row.arn.as_str(), role.arn);
                (principal, format!("{}:{}", role.id, of.session_name), role.name, tags)
            })
        }
    })
}

/// The policies of the caller's user or role.
fn load(tx: &Tx, caller: &Caller, account: AccountId) -> Result<IdentityPolicies, Error> {
    let mut found = IdentityPolicies::default();
    let principal = &caller.principal;
    // A federated user's are those of the user that asked for the session.
    let name = match principal.kind() {
        PrincipalKind::FederatedUser => principal.issuer_arn().rsplit('/').next().unwrap_or(""),
        _ => &caller.name,
    };
    let own = match principal.kind() {
        PrincipalKind::FederatedUser if principal.issuer_arn().ends_with(":root") => {
            // What root hands on is everything, which the session's own policies then limit.
            found.identity.extend(managed_policy(tx, account, ADMINISTRATOR)?);
            return Ok(found);
        }
        PrincipalKind::User | PrincipalKind::FederatedUser => match user(tx, account, name)? {
            Some(row) => {
                for name in &row.groups {
                    if let Some(row) = group(tx, account, name)? {
                        collect(tx, account, &row.policies, &mut found.identity)?;
                    }
                }
                row.policies
            }
            None => return Ok(found),
        },
        _ => match role(tx, account, &caller.name)? {
            Some(row) => row.policies,
            None => return Ok(found),
        },
    };
    collect(tx, account, &own, &mut found.identity)?;
    if let Some(arn) = &own.boundary {
        found.boundary = managed_policy(tx, account, arn)?;
        if found.boundary.is_none() {
            let cause = format!("the boundary {arn} is gone, although a policy in use cannot go");
            return Err(Error::internal(cause));
        }
    }
    Ok(found)
}

fn collect(
    tx: &Tx,
    account: AccountId,
    policies: &PoliciesRow,
    into: &mut Vec<NamedPolicy>,
) -> Result<(), Error> {
    for (name, document) in &policies.inline {
        into.push(NamedPolicy { name: name.as_str().into(), policy: parse(document)? });
    }
    for arn in &policies.attached {
        into.extend(managed_policy(tx, account, arn)?);
    }
    Ok(())
}

/// A policy that was checked when it was put.
fn parse(document: &str) -> Result<Arc<Policy>, Error> {
    Policy::parse(policy::Kind::Inline, document).map(Arc::new).map_err(Error::internal)
}

/// The default version of a managed policy, AWS's own or the account's.
fn managed_policy(tx: &Tx, account: AccountId, arn: &str) -> Result<Option<NamedPolicy>, Error> {
    let name: Arc<str> = arn.into();
    if let Some(own) = managed(arn) {
        return Ok(own.parsed().map(|policy| NamedPolicy { name, policy }));
    }
    let key = key_of(arn.rsplit('/').next().unwrap_or_default());
    let row = tx.get(&POLICIES, &Scope::Account(account), &key)?.filter(|row| row.arn == arn);
    let Some(row) = row else { return Ok(None) };
    let version = row.versions.iter().find(|version| version.number == row.default_version);
    version.map(|v| Ok(NamedPolicy { name, policy: parse(&v.document)? })).transpose()
}
