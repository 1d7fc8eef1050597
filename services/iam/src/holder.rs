//! What users, groups and roles have in common: inline policies, attached policies, a boundary.

use crate::error::{
    bad_policy, check_partitions, invalid, no_policy, no_such, not_attachable, quota,
};
use crate::page::{Page, Pager};
use crate::{service_linked, view};
use api::{Cx, Error, Tx};
use base::AccountId;
use directory::{
    GroupRow, Holder, POLICIES, POLICY_USES, PoliciesRow, PolicyUseRow, RoleRow, UserRow, key_of,
    managed,
};
use gen_iam::{AttachedPolicy, errors};
use policy::{Kind, Policy};
use store::Scope;

/// A user, group or role, as far as policies go.
pub(crate) trait Holds: Sized {
    const HOLDER: Holder;
    /// As messages call it.
    const KIND: &'static str;
    /// Quota of all inline policies together, in characters without white space.
    const INLINE_SIZE_MAX: usize;
    /// Quota of attached policies, and its AWS name.
    const ATTACHED_MAX: (&'static str, usize);

    fn find(tx: &Tx, account: AccountId, name: &str) -> Result<Option<Self>, Error>;
    fn put(&self, tx: &mut Tx, cx: &Cx) -> Result<(), Error>;
    fn name(&self) -> &str;
    fn policies(&self) -> &PoliciesRow;
    fn policies_mut(&mut self) -> &mut PoliciesRow;

    fn load(tx: &Tx, cx: &Cx, name: &str) -> Result<Self, Error> {
        Self::find(tx, cx.account, name)?.ok_or_else(|| no_such(Self::KIND, name))
    }

    /// For a change of its policies, which a role of a service refuses.
    fn load_to_change(tx: &Tx, cx: &Cx, name: &str) -> Result<Self, Error> {
        let row = Self::load(tx, cx, name)?;
        row.check_modifiable()?;
        Ok(row)
    }

    fn check_modifiable(&self) -> Result<(), Error>;
}

macro_rules! holds {
    ($row:ident, $holder:ident, $kind:literal, $size:literal, $quota:literal, $find:ident, $put:ident, $check:expr) => {
        impl Holds for $row {
            const HOLDER: Holder = Holder::$holder;
            const KIND: &'static str = $kind;
            const INLINE_SIZE_MAX: usize = $size;
            const ATTACHED_MAX: (&'static str, usize) = ($quota, 10);

            fn find(tx: &Tx, account: AccountId, name: &str) -> Result<Option<Self>, Error> {
                directory::$find(tx, account, name)
            }
            fn put(&self, tx: &mut Tx, cx: &Cx) -> Result<(), Error> {
                directory::$put(tx, cx.account, self, &*cx.entropy)
            }
            fn name(&self) -> &str {
                &self.name
            }
            fn policies(&self) -> &PoliciesRow {
                &self.policies
            }
            fn policies_mut(&mut self) -> &mut PoliciesRow {
                &mut self.policies
            }
            fn check_modifiable(&self) -> Result<(), Error> {
                let check: fn(&$row) -> Result<(), Error> = $check;
                check(self)
            }
        }
    };
}

holds!(UserRow, User, "user", 2_048, "PoliciesPerUser", user, put_user, |_| Ok(()));
holds!(GroupRow, Group, "group", 5_120, "PoliciesPerGroup", group, put_group, |_| Ok(()));
holds!(
    RoleRow,
    Role,
    "role",
    10_240,
    "PoliciesPerRole",
    role,
    put_role,
    service_linked::check_modifiable
);

pub(crate) fn put_inline<T: Holds>(
    tx: &mut Tx,
    cx: &Cx,
    holder: &str,
    name: &str,
    document: &str,
) -> Result<(), Error> {
    let mut row = T::load_to_change(tx, cx, holder)?;
    cx.warn_of_keys(&Policy::parse(Kind::Inline, document).map_err(bad_policy)?);
    check_partitions(cx, document)?;
    let inline = &mut row.policies_mut().inline;
    inline.insert(name.to_owned(), document.to_owned());
    let size: usize = inline.values().map(|text| Policy::counted_size(text)).sum();
    if size > T::INLINE_SIZE_MAX {
        let (kind, limit, name) = (T::KIND, T::INLINE_SIZE_MAX, row.name());
        let message = format!("Maximum policy size of {limit} bytes exceeded for {kind} {name}");
        return Err(Error::new(&errors::LIMIT_EXCEEDED_EXCEPTION, message));
    }
    row.put(tx, cx)
}

fn no_inline<T: Holds>(name: &str) -> Error {
    no_such(&format!("{} policy", T::KIND), name)
}

/// The holder's name and the document, encoded.
pub(crate) fn get_inline<T: Holds>(
    tx: &Tx,
    cx: &Cx,
    holder: &str,
    name: &str,
) -> Result<(String, String), Error> {
    let row = T::load(tx, cx, holder)?;
    let document = row.policies().inline.get(name).ok_or_else(|| no_inline::<T>(name))?;
    Ok((row.name().to_owned(), view::document(document)))
}

pub(crate) fn delete_inline<T: Holds>(
    tx: &mut Tx,
    cx: &Cx,
    holder: &str,
    name: &str,
) -> Result<(), Error> {
    let mut row = T::load_to_change(tx, cx, holder)?;
    row.policies_mut().inline.remove(name).ok_or_else(|| no_inline::<T>(name))?;
    row.put(tx, cx)
}

pub(crate) fn list_inline<T: Holds>(
    tx: &Tx,
    cx: &Cx,
    holder: &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<String>, Error> {
    let row = T::load(tx, cx, holder)?;
    let pager = Pager::new(cx, &[holder], marker, max_items)?;
    pager.take(row.policies().inline.keys().map(|name| Ok((name.clone(), name.clone()))))
}

/// Whether there is a policy of that ARN; an error if it is none.
pub(crate) fn policy_exists(tx: &Tx, cx: &Cx, arn: &str) -> Result<bool, Error> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = fields[..] else {
        return Err(invalid(format!("ARN {arn} is not valid.")));
    };
    if partition != cx.partition().as_str() {
        return Err(invalid(format!("ARN {arn} is not valid.")));
    }
    let Some((_, name)) = resource.rsplit_once('/').filter(|_| resource.starts_with("policy/"))
    else {
        return Err(invalid(format!("ARN {arn} is not valid.")));
    };
    if account == "aws" {
        return Ok(managed(arn).is_some());
    }
    let row = tx.get(&POLICIES, &Scope::Account(cx.account), &key_of(name))?;
    Ok(row.is_some_and(|row| row.arn == arn))
}

/// Notes or forgets that the holder uses the policy.
pub(crate) fn note_use(
    tx: &mut Tx,
    cx: &Cx,
    arn: &str,
    holder: Holder,
    name: &str,
    change: impl FnOnce(&mut PolicyUseRow),
) -> Result<(), Error> {
    let scope = Scope::Account(cx.account);
    let name = key_of(name);
    let key = (arn, holder as u8, name.as_str());
    let mut row = tx.get(&POLICY_USES, &scope, &key)?.unwrap_or_default();
    change(&mut row);
    if row == PolicyUseRow::default() {
        tx.delete(&POLICY_USES, &scope, &key)?;
    } else {
        tx.put(&POLICY_USES, &scope, &key, &row)?;
    }
    Ok(())
}

pub(crate) fn attach<T: Holds>(tx: &mut Tx, cx: &Cx, holder: &str, arn: &str) -> Result<(), Error> {
    let mut row = T::load_to_change(tx, cx, holder)?;
    if !policy_exists(tx, cx, arn)? {
        return Err(not_attachable(arn));
    }
    if managed(arn).is_some_and(|own| own.path == service_linked::PATH) {
        let message = "Cannot attach a Service Role Policy to a Customer Role.";
        return Err(Error::new(&errors::POLICY_NOT_ATTACHABLE_EXCEPTION, message));
    }
    let attached = &mut row.policies_mut().attached;
    if !attached.insert(arn.to_owned()) {
        return Ok(());
    }
    let (name, limit) = T::ATTACHED_MAX;
    if attached.len() > limit {
        return Err(quota(name, limit));
    }
    note_use(tx, cx, arn, T::HOLDER, row.name(), |used| used.attached = true)?;
    row.put(tx, cx)
}

pub(crate) fn detach<T: Holds>(tx: &mut Tx, cx: &Cx, holder: &str, arn: &str) -> Result<(), Error> {
    let mut row = T::load_to_change(tx, cx, holder)?;
    policy_exists(tx, cx, arn)?;
    if !row.policies_mut().attached.remove(arn) {
        return Err(no_policy(arn));
    }
    note_use(tx, cx, arn, T::HOLDER, row.name(), |used| used.attached = false)?;
    row.put(tx, cx)
}

/// The path of a policy, from its ARN.
fn path_of(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let full = resource.strip_prefix("policy").unwrap_or_default();
    &full[..full.rfind('/').map_or(0, |at| at + 1)]
}

pub(crate) fn list_attached<T: Holds>(
    tx: &Tx,
    cx: &Cx,
    holder: &str,
    path_prefix: Option<&str>,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<AttachedPolicy>, Error> {
    let row = T::load(tx, cx, holder)?;
    let prefix = path_prefix.unwrap_or("/");
    let pager = Pager::new(cx, &[holder, prefix], marker, max_items)?;
    let attached = row.policies().attached.iter().filter(|arn| path_of(arn).starts_with(prefix));
    pager.take(attached.map(|arn| Ok((arn.clone(), view::attached(arn)))))
}

/// Sets the boundary, or takes it away.
pub(crate) fn put_boundary<T: Holds>(
    tx: &mut Tx,
    cx: &Cx,
    holder: &str,
    arn: Option<&str>,
) -> Result<(), Error> {
    let mut row = T::load_to_change(tx, cx, holder)?;
    if let Some(arn) = arn
        && !policy_exists(tx, cx, arn)?
    {
        return Err(not_attachable(arn));
    }
    let old = std::mem::replace(&mut row.policies_mut().boundary, arn.map(str::to_owned));
    if arn.is_none() && old.is_none() {
        let message = format!("Permissions boundary for {} {} was not found.", T::KIND, row.name());
        return Err(Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message));
    }
    if let Some(old) = old {
        note_use(tx, cx, &old, T::HOLDER, row.name(), |used| used.boundary = false)?;
    }
    if let Some(arn) = arn {
        note_use(tx, cx, arn, T::HOLDER, row.name(), |used| used.boundary = true)?;
    }
    row.put(tx, cx)
}

/// The boundary of something new.
pub(crate) fn new_boundary(
    tx: &mut Tx,
    cx: &Cx,
    holder: Holder,
    name: &str,
    arn: Option<&str>,
) -> Result<PoliciesRow, Error> {
    if let Some(arn) = arn {
        if !policy_exists(tx, cx, arn)? {
            return Err(not_attachable(arn));
        }
        note_use(tx, cx, arn, holder, name, |used| used.boundary = true)?;
    }
    Ok(PoliciesRow::new(arn.map(str::to_owned)))
}

/// After a change of the holder's name: its policies are used by the new one.
pub(crate) fn move_uses<T: Holds>(
    tx: &mut Tx,
    cx: &Cx,
    row: &T,
    old_name: &str,
) -> Result<(), Error> {
    let attached = row.policies().attached.iter().map(|arn| (arn, true));
    let boundary = row.policies().boundary.iter().map(|arn| (arn, false));
    for (arn, is_attached) in attached.chain(boundary) {
        for (name, used) in [(old_name, false), (row.name(), true)] {
            note_use(tx, cx, arn, T::HOLDER, name, |row| match is_attached {
                true => row.attached = used,
                false => row.boundary = used,
            })?;
        }
    }
    Ok(())
}

/// Refuses to delete what still has policies; forgets the boundary.
pub(crate) fn release<T: Holds>(tx: &mut Tx, cx: &Cx, row: &T) -> Result<(), Error> {
    if !row.policies().attached.is_empty() {
        return Err(crate::error::conflict("detach all policies first"));
    }
    if !row.policies().inline.is_empty() {
        return Err(crate::error::conflict("delete policies first"));
    }
    match &row.policies().boundary {
        Some(arn) => note_use(tx, cx, arn, T::HOLDER, row.name(), |used| used.boundary = false),
        None => Ok(()),
    }
}
