//! Whom a trust policy means. AWS turns the ARNs in it into unique ids when it is put, and shows the
//! ARN again as long as its owner lives; of one who was deleted it shows the id, and whoever has the
//! name since is not trusted.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use crate::rows::{RoleRow, role, user};
use api::{Error, Tx};
use base::AccountId;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The unique id of the user or role of that ARN, if there is one. `None`: an ARN of something that
/// comes and goes, a session say.
pub fn principal_id(tx: &Tx, arn: &str) -> Result<Option<Option<String>>, Error> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "iam", "", account, resource] = fields[..] else { return Ok(None) };
    let (Some(account), Some((_, name))) = (AccountId::parse(account), resource.rsplit_once('/'))
    else {
        return Ok(None);
    };
    let found = match resource.starts_with("user/") {
        true => user(tx, account, name)?.map(|row| (row.arn, row.id)),
        false => role(tx, account, name)?.map(|row| (row.arn, row.id)),
    };
    Ok(Some(found.filter(|(own, _)| own == arn).map(|(_, id)| id)))
}

/// The role's trust policy as it stands today.
pub fn trust_now<'r>(tx: &Tx, role: &'r RoleRow) -> Result<Cow<'r, str>, Error> {
    let mut gone = BTreeMap::new();
    for (arn, id) in &role.trust_ids {
        if principal_id(tx, arn)?.flatten().as_ref() != Some(id) {
            gone.insert(arn.as_str(), id.as_str());
        }
    }
    Ok(match gone.is_empty() {
        true => Cow::Borrowed(&role.trust),
        false => {
            let new = |text: &str| gone.get(text).map(|id| (*id).to_owned());
            Cow::Owned(policy::replace_texts(&role.trust, new))
        }
    })
}
