//! Whom a policy with principals means. AWS turns the ARNs in it into unique ids when it is put, and
//! shows the ARN of today as long as its owner lives, a new name included; of one who was deleted it
//! shows the id, and whoever has the name since is not meant.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use crate::rows::{RENAMED, RoleRow, role, user};
use api::{Caller, Error, Tx};
use base::AccountId;
use policy::{Policy, PrincipalKind, Who};
use std::borrow::Cow;
use std::collections::BTreeMap;
use store::Scope;

/// The account and the name in an ARN of a user or role, and whether it is a user's.
fn parts(arn: &str) -> Option<(AccountId, &str, bool)> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "iam", "", account, resource] = fields[..] else { return None };
    let (_, name) = resource.rsplit_once('/')?;
    Some((AccountId::parse(account)?, name, resource.starts_with("user/")))
}

/// The unique id of the user or role of that ARN, if there is one. `None`: an ARN of something that
/// comes and goes, a session say.
fn principal_id(tx: &Tx, arn: &str) -> Result<Option<Option<String>>, Error> {
    let Some((account, name, is_user)) = parts(arn) else { return Ok(None) };
    let found = match is_user {
        true => user(tx, account, name)?.map(|row| (row.arn, row.id)),
        false => role(tx, account, name)?.map(|row| (row.arn, row.id)),
    };
    Ok(Some(found.filter(|(own, _)| own == arn).map(|(_, id)| id)))
}

/// The unique ids of the users and roles that a policy names, by their ARNs; or the first ARN whose
/// owner is not there.
pub fn principal_ids(
    tx: &Tx,
    policy: &Policy,
) -> Result<Result<BTreeMap<String, String>, String>, Error> {
    let mut ids = BTreeMap::new();
    for who in policy.principals() {
        let Who::Aws(arn) = who else { continue };
        match principal_id(tx, arn)? {
            None => {}
            Some(Some(id)) => drop(ids.insert(arn.to_string(), id)),
            Some(None) => return Ok(Err(arn.to_string())),
        }
    }
    Ok(Ok(ids))
}

/// A policy that was put with those ids, as it stands today.
pub fn principals_now<'d>(
    tx: &Tx,
    document: &'d str,
    ids: &BTreeMap<String, String>,
) -> Result<Cow<'d, str>, Error> {
    let mut other = BTreeMap::new();
    for (arn, id) in ids {
        if principal_id(tx, arn)?.flatten().as_ref() != Some(id) {
            let new = renamed(tx, arn, id)?.unwrap_or_else(|| id.clone());
            other.insert(arn.as_str(), new);
        }
    }
    Ok(replaced(document, &other))
}

fn replaced<'d>(document: &'d str, other: &BTreeMap<&str, String>) -> Cow<'d, str> {
    match other.is_empty() {
        true => Cow::Borrowed(document),
        false => Cow::Owned(policy::replace_principals(document, |arn| other.get(arn).cloned())),
    }
}

/// The ARN of a user who had that one, and has another since.
fn renamed(tx: &Tx, arn: &str, id: &str) -> Result<Option<String>, Error> {
    let Some((account, ..)) = parts(arn) else { return Ok(None) };
    let Some(now) = tx.get(&RENAMED, &Scope::Account(account), id)? else { return Ok(None) };
    let row = user(tx, account, &now.name)?;
    Ok(row.filter(|row| row.id == id).map(|row| row.arn))
}

/// The policy that was put with those ids, as it has to be read for one caller: where its text names
/// the caller, but means another, or means the caller, but by a name of before. `None`: as it is.
pub fn principals_for(
    document: &str,
    ids: &BTreeMap<String, String>,
    caller: &Caller,
) -> Option<String> {
    if ids.is_empty() {
        return None;
    }
    let principal = &caller.principal;
    let id = caller.user_id.split(':').next().unwrap_or_default();
    let (own, own_id) = match principal.kind() {
        PrincipalKind::User => (principal.arn(), id),
        PrincipalKind::Session => (principal.issuer_arn(), id),
        // Whoever is meant by the user that asked for the session is meant by it too.
        PrincipalKind::FederatedUser => (principal.issuer_arn(), principal.issuer_id()),
        _ => return None,
    };
    let mut other = BTreeMap::new();
    for (arn, id) in ids {
        match (arn == own, id == own_id) {
            (true, false) => drop(other.insert(arn.as_str(), id.clone())),
            (false, true) => drop(other.insert(arn.as_str(), own.to_owned())),
            _ => {}
        }
    }
    (!other.is_empty()).then(|| replaced(document, &other).into_owned())
}

/// The role's trust policy as it stands today.
pub fn trust_now<'r>(tx: &Tx, role: &'r RoleRow) -> Result<Cow<'r, str>, Error> {
    principals_now(tx, &role.trust, &role.trust_ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Principal;

    const ACCOUNT: AccountId = AccountId::DEFAULT;
    const USER: &str = "arn:aws:iam::000000000000:user/bob";

    /// What is read in place of a policy that names the user who had `id` when it was put.
    fn check(principal: Principal, user_id: &str, id: &str, expected: Option<&str>) {
        let caller = Caller::bare(principal, Some(ACCOUNT), user_id);
        let ids = BTreeMap::from([(USER.to_owned(), id.to_owned())]);
        let document = format!(r#"{{"Principal":{{"AWS":"{USER}"}}}}"#);
        let expected = expected.map(|name| format!(r#"{{"Principal":{{"AWS":"{name}"}}}}"#));
        assert_eq!(principals_for(&document, &ids, &caller), expected, "{user_id}");
    }

    #[test]
    fn who_has_the_name_since_is_not_meant_nor_are_its_sessions() {
        let user = || Principal::user(ACCOUNT, USER);
        check(user(), "AIDANEW", "AIDANEW", None);
        check(user(), "AIDANEW", "AIDAOLD", Some("AIDAOLD"));
        let arn = "arn:aws:sts::000000000000:federated-user/guest";
        let federated = || Principal::federated_user(ACCOUNT, arn, USER).with_issuer_id("AIDANEW");
        check(federated(), "000000000000:guest", "AIDANEW", None);
        check(federated(), "000000000000:guest", "AIDAOLD", Some("AIDAOLD"));
        let renamed = "arn:aws:iam::000000000000:user/robert";
        let federated = Principal::federated_user(ACCOUNT, arn, renamed).with_issuer_id("AIDAOLD");
        check(federated, "000000000000:guest", "AIDAOLD", Some(renamed));
    }
}
