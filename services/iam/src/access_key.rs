//! Access keys of users, and of the account's root, which is meant where root names no user.

use crate::error::{no_access_key, quota};
use crate::holder::Holds;
use crate::page::Pager;
use crate::user::name_or_own;
use api::{Cx, Error, Tx};
use directory::{
    ACCESS_KEYS, AccessKeyRow, KEY_USES, ROOT_KEYS, UserRow, key_of, new_access_key_id, new_secret,
    root_keys, touch,
};
use gen_iam::*;
use policy::PrincipalKind;
use store::Scope;

/// Quota "Access keys assigned to an IAM user".
const KEYS_MAX: usize = 2;

fn status(active: bool) -> String {
    if active { "Active".to_owned() } else { "Inactive".to_owned() }
}

/// Whose keys they are.
enum Owner {
    User(Box<UserRow>),
    /// The account's root, which has no name.
    Root(Vec<String>),
}

impl Owner {
    /// The user that the input names, or else the caller.
    fn load(tx: &Tx, cx: &Cx, name: Option<&str>) -> Result<Owner, Error> {
        if name.is_none() && cx.caller.principal.kind() == PrincipalKind::Root {
            return Ok(Owner::Root(root_keys(tx, cx.account)?));
        }
        let user = UserRow::load(tx, cx, name_or_own(cx, name)?)?;
        Ok(Owner::User(Box::new(user)))
    }

    fn keys(&self) -> &[String] {
        match self {
            Owner::User(user) => &user.access_keys,
            Owner::Root(keys) => keys,
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Owner::User(user) => Some(&user.name),
            Owner::Root(_) => None,
        }
    }

    /// The key, if it is the owner's.
    fn key(&self, tx: &Tx, id: &str) -> Result<AccessKeyRow, Error> {
        let row = tx.get(&ACCESS_KEYS, &Scope::Global, id)?;
        row.filter(|_| self.keys().iter().any(|own| own == id)).ok_or_else(|| no_access_key(id))
    }

    fn add(self, tx: &mut Tx, cx: &Cx, id: &str) -> Result<(), Error> {
        match self {
            Owner::User(mut user) => {
                user.access_keys.push(id.to_owned());
                user.put(tx, cx)
            }
            Owner::Root(_) => {
                tx.put(&ROOT_KEYS, &Scope::Account(cx.account), id, &())?;
                touch(tx, cx.account, &*cx.entropy)
            }
        }
    }

    fn remove(self, tx: &mut Tx, cx: &Cx, id: &str) -> Result<(), Error> {
        match self {
            Owner::User(mut user) => {
                user.access_keys.retain(|own| own != id);
                user.put(tx, cx)
            }
            Owner::Root(_) => {
                tx.delete(&ROOT_KEYS, &Scope::Account(cx.account), id)?;
                touch(tx, cx.account, &*cx.entropy)
            }
        }
    }
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateAccessKeyInput,
) -> Result<CreateAccessKeyOutput, Error> {
    let owner = Owner::load(tx, cx, input.user_name.as_deref())?;
    if owner.keys().len() >= KEYS_MAX {
        return Err(quota("AccessKeysPerUser", KEYS_MAX));
    }
    let id = new_access_key_id("AKIA", cx.account, &*cx.entropy);
    let user_name = owner.name().unwrap_or_default().to_owned();
    let row = AccessKeyRow {
        account: cx.account,
        user: key_of(&user_name),
        secret: new_secret(&*cx.entropy),
        active: true,
        created: tx.now(),
    };
    tx.put(&ACCESS_KEYS, &Scope::Global, &id, &row)?;
    owner.add(tx, cx, &id)?;
    let access_key = AccessKey {
        user_name,
        access_key_id: id,
        status: status(true),
        secret_access_key: row.secret,
        create_date: Some(row.created),
    };
    Ok(CreateAccessKeyOutput { access_key })
}

pub(crate) fn list(
    tx: &Tx,
    cx: &Cx,
    input: &ListAccessKeysInput,
) -> Result<ListAccessKeysOutput, Error> {
    let owner = Owner::load(tx, cx, input.user_name.as_deref())?;
    let parameters = [owner.name().unwrap_or_default()];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let mut ids = owner.keys().to_vec();
    ids.sort_unstable();
    let page = pager.take(ids.into_iter().map(|id| {
        let row = owner.key(tx, &id)?;
        let shown = AccessKeyMetadata {
            user_name: owner.name().map(str::to_owned),
            access_key_id: Some(id.clone()),
            status: Some(status(row.active)),
            create_date: Some(row.created),
        };
        Ok((id, shown))
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListAccessKeysOutput { access_key_metadata: page.items, is_truncated, marker })
}

pub(crate) fn update(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateAccessKeyInput,
) -> Result<UpdateAccessKeyOutput, Error> {
    let owner = Owner::load(tx, cx, input.user_name.as_deref())?;
    let mut row = owner.key(tx, &input.access_key_id)?;
    row.active = input.status == "Active";
    tx.put(&ACCESS_KEYS, &Scope::Global, &input.access_key_id, &row)?;
    touch(tx, cx.account, &*cx.entropy)?;
    Ok(UpdateAccessKeyOutput {})
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteAccessKeyInput,
) -> Result<DeleteAccessKeyOutput, Error> {
    let owner = Owner::load(tx, cx, input.user_name.as_deref())?;
    owner.key(tx, &input.access_key_id)?;
    tx.delete(&ACCESS_KEYS, &Scope::Global, &input.access_key_id)?;
    tx.delete(&KEY_USES, &Scope::Global, &input.access_key_id)?;
    owner.remove(tx, cx, &input.access_key_id)?;
    Ok(DeleteAccessKeyOutput {})
}

/// As AWS answers for a key that was never used, until a use of it was written down.
pub(crate) fn last_used(
    tx: &Tx,
    cx: &Cx,
    input: &GetAccessKeyLastUsedInput,
) -> Result<GetAccessKeyLastUsedOutput, Error> {
    let id = &input.access_key_id;
    let row = tx.get(&ACCESS_KEYS, &Scope::Global, id)?;
    let row = row.filter(|row| row.account == cx.account).ok_or_else(|| no_access_key(id))?;
    let user_name = match row.user.is_empty() {
        true => None,
        false => Some(UserRow::load(tx, cx, &row.user)?.name),
    };
    Ok(GetAccessKeyLastUsedOutput {
        user_name,
        access_key_last_used: Some(match tx.get(&KEY_USES, &Scope::Global, id)? {
            Some(used) => AccessKeyLastUsed {
                last_used_date: Some(used.at),
                service_name: used.service,
                region: used.region,
            },
            None => AccessKeyLastUsed {
                last_used_date: None,
                service_name: "N/A".to_owned(),
                region: "N/A".to_owned(),
            },
        }),
    })
}
