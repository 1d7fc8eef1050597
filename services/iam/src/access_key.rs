//! Access keys of users.

use crate::error::{no_access_key, quota};
use crate::holder::Holds;
use crate::page::Pager;
use crate::user::name_or_own;
use api::{Cx, Error, Tx};
use directory::{
    ACCESS_KEYS, AccessKeyRow, KEY_USES, UserRow, key_of, new_access_key_id, new_secret, touch,
};
use gen_iam::*;
use store::Scope;

/// Quota "Access keys assigned to an IAM user".
const KEYS_MAX: usize = 2;

fn status(active: bool) -> String {
    if active { "Active".to_owned() } else { "Inactive".to_owned() }
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateAccessKeyInput,
) -> Result<CreateAccessKeyOutput, Error> {
    let mut user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    if user.access_keys.len() >= KEYS_MAX {
        return Err(quota("AccessKeysPerUser", KEYS_MAX));
    }
    let id = new_access_key_id("AKIA", cx.account, &*cx.entropy);
    let row = AccessKeyRow {
        account: cx.account,
        user: key_of(&user.name),
        secret: new_secret(&*cx.entropy),
        active: true,
        created: tx.now(),
    };
    tx.put(&ACCESS_KEYS, &Scope::Global, &id, &row)?;
    user.access_keys.push(id.clone());
    user.put(tx, cx)?;
    let access_key = AccessKey {
        user_name: user.name,
        access_key_id: id,
        status: status(true),
        secret_access_key: row.secret,
        create_date: Some(row.created),
    };
    Ok(CreateAccessKeyOutput { access_key })
}

/// The key, if it is the user's.
fn load(tx: &Tx, user: &UserRow, id: &str) -> Result<AccessKeyRow, Error> {
    let row = tx.get(&ACCESS_KEYS, &Scope::Global, id)?;
    row.filter(|_| user.access_keys.iter().any(|own| own == id)).ok_or_else(|| no_access_key(id))
}

pub(crate) fn list(
    tx: &Tx,
    cx: &Cx,
    input: &ListAccessKeysInput,
) -> Result<ListAccessKeysOutput, Error> {
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let parameters = [user.name.as_str()];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let mut ids = user.access_keys.clone();
    ids.sort_unstable();
    let page = pager.take(ids.into_iter().map(|id| {
        let row = load(tx, &user, &id)?;
        let shown = AccessKeyMetadata {
            user_name: Some(user.name.clone()),
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
    let user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    let mut row = load(tx, &user, &input.access_key_id)?;
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
    let mut user = UserRow::load(tx, cx, name_or_own(cx, input.user_name.as_deref())?)?;
    load(tx, &user, &input.access_key_id)?;
    user.access_keys.retain(|id| *id != input.access_key_id);
    tx.delete(&ACCESS_KEYS, &Scope::Global, &input.access_key_id)?;
    tx.delete(&KEY_USES, &Scope::Global, &input.access_key_id)?;
    user.put(tx, cx)?;
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
    let user = UserRow::load(tx, cx, &row.user)?;
    Ok(GetAccessKeyLastUsedOutput {
        user_name: Some(user.name),
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
