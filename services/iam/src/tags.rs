//! Tags of users, roles, policies, instance profiles and all else that has them.

use crate::error::{invalid, no_policy};
use crate::holder::Holds;
use crate::page::{Page, Pager};
use crate::{instance_profile, mfa, oidc, policy, saml, server_certificate};
use api::{Cx, Error, Tx};
use directory::{
    InstanceProfileRow, MfaDeviceRow, OidcProviderRow, PolicyRow, RoleRow, SamlProviderRow,
    ServerCertificateRow, TagRow, UserRow,
};
use gen_iam::{Tag, errors};

/// Quota "Tags per IAM role", and of all else.
const TAGS_MAX: usize = 50;

/// Something with tags, found by its name, or by its ARN where it is known by that.
pub(crate) trait Tagged: Sized {
    fn load_tagged(tx: &Tx, cx: &Cx, name: &str) -> Result<Self, Error>;
    fn put_tagged(&self, tx: &mut Tx, cx: &Cx) -> Result<(), Error>;
    fn tags(&self) -> &[TagRow];
    fn tags_mut(&mut self) -> &mut Vec<TagRow>;
}

macro_rules! tagged {
    ($($row:ident: $load:expr, $put:expr;)*) => {$(
        impl Tagged for $row {
            fn load_tagged(tx: &Tx, cx: &Cx, name: &str) -> Result<Self, Error> {
                let load: fn(&Tx, &Cx, &str) -> Result<Self, Error> = $load;
                load(tx, cx, name)
            }
            fn put_tagged(&self, tx: &mut Tx, cx: &Cx) -> Result<(), Error> {
                let put: fn(&mut Tx, &Cx, &$row) -> Result<(), Error> = $put;
                put(tx, cx, self)
            }
            fn tags(&self) -> &[TagRow] {
                &self.tags
            }
            fn tags_mut(&mut self) -> &mut Vec<TagRow> {
                &mut self.tags
            }
        }
    )*};
}

tagged! {
    UserRow: UserRow::load, |tx, cx, row| row.put(tx, cx);
    RoleRow: RoleRow::load, |tx, cx, row| row.put(tx, cx);
    InstanceProfileRow: instance_profile::load, instance_profile::put;
    PolicyRow: |tx, cx, arn| policy::find_own(tx, cx, arn).map_err(|error| match error.code() {
        // A policy of AWS's own can be read, but has no tags.
        "AccessDenied" => no_policy(arn),
        _ => error,
    }), policy::put;
    OidcProviderRow: oidc::load, oidc::put;
    SamlProviderRow: saml::load, saml::put;
    MfaDeviceRow: mfa::load, mfa::put;
    ServerCertificateRow: server_certificate::load, server_certificate::put;
}

/// The tags of something new.
pub(crate) fn new(tags: Option<&[Tag]>) -> Result<Vec<TagRow>, Error> {
    let mut rows = Vec::new();
    merge(&mut rows, tags.unwrap_or_default())?;
    Ok(rows)
}

/// Adds tags; those with a known key, whatever its case, change their value.
fn merge(rows: &mut Vec<TagRow>, tags: &[Tag]) -> Result<(), Error> {
    for (index, tag) in tags.iter().enumerate() {
        if tags[..index].iter().any(|other| other.key.eq_ignore_ascii_case(&tag.key)) {
            let message =
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(invalid(message));
        }
        if tag.key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:")) {
            return Err(invalid("System tags cannot be added/updated by requester"));
        }
        let new = TagRow { key: tag.key.clone(), value: tag.value.clone() };
        match rows.iter_mut().find(|row| row.key.eq_ignore_ascii_case(&tag.key)) {
            Some(row) => *row = new,
            None => rows.push(new),
        }
    }
    if rows.len() > TAGS_MAX {
        let message = "The number of tags has reached the maximum limit.";
        return Err(Error::new(&errors::LIMIT_EXCEEDED_EXCEPTION, message));
    }
    Ok(())
}

pub(crate) fn add<T: Tagged>(tx: &mut Tx, cx: &Cx, name: &str, tags: &[Tag]) -> Result<(), Error> {
    let mut row = T::load_tagged(tx, cx, name)?;
    merge(row.tags_mut(), tags)?;
    row.put_tagged(tx, cx)
}

pub(crate) fn remove<T: Tagged>(
    tx: &mut Tx,
    cx: &Cx,
    name: &str,
    keys: &[String],
) -> Result<(), Error> {
    let mut row = T::load_tagged(tx, cx, name)?;
    row.tags_mut().retain(|tag| !keys.iter().any(|key| key.eq_ignore_ascii_case(&tag.key)));
    row.put_tagged(tx, cx)
}

pub(crate) fn list<T: Tagged>(
    tx: &Tx,
    cx: &Cx,
    name: &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<Tag>, Error> {
    let row = T::load_tagged(tx, cx, name)?;
    let pager = Pager::new(cx, &[name], marker, max_items)?;
    let mut tags: Vec<&TagRow> = row.tags().iter().collect();
    tags.sort_by_key(|tag| tag.key.to_ascii_lowercase());
    pager.take(tags.into_iter().map(|tag| {
        let shown = Tag { key: tag.key.clone(), value: tag.value.clone() };
        Ok((tag.key.to_ascii_lowercase(), shown))
    }))
}
