//! Tags of users, roles, policies and instance profiles.

use crate::error::invalid;
use crate::page::{Page, Pager};
use api::{Cx, Error, Tx};
use directory::{RoleRow, TagRow, UserRow};
use gen_iam::{Tag, errors};

use crate::holder::Holds;

/// Quota "Tags per IAM role", and of all else.
const TAGS_MAX: usize = 50;

/// Something with tags.
pub(crate) trait Tagged: Holds {
    fn tags(&self) -> &[TagRow];
    fn tags_mut(&mut self) -> &mut Vec<TagRow>;
}

macro_rules! tagged {
    ($($row:ident)*) => {$(
        impl Tagged for $row {
            fn tags(&self) -> &[TagRow] {
                &self.tags
            }
            fn tags_mut(&mut self) -> &mut Vec<TagRow> {
                &mut self.tags
            }
        }
    )*};
}

tagged!(UserRow RoleRow);

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
    let mut row = T::load(tx, cx, name)?;
    merge(row.tags_mut(), tags)?;
    row.put(tx, cx)
}

pub(crate) fn remove<T: Tagged>(
    tx: &mut Tx,
    cx: &Cx,
    name: &str,
    keys: &[String],
) -> Result<(), Error> {
    let mut row = T::load(tx, cx, name)?;
    row.tags_mut().retain(|tag| !keys.iter().any(|key| key.eq_ignore_ascii_case(&tag.key)));
    row.put(tx, cx)
}

pub(crate) fn list<T: Tagged>(
    tx: &Tx,
    cx: &Cx,
    name: &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<Tag>, Error> {
    let row = T::load(tx, cx, name)?;
    let pager = Pager::new(cx, &[name], marker, max_items)?;
    let mut tags: Vec<&TagRow> = row.tags().iter().collect();
    tags.sort_by_key(|tag| tag.key.to_ascii_lowercase());
    pager.take(tags.into_iter().map(|tag| {
        let shown = Tag { key: tag.key.clone(), value: tag.value.clone() };
        Ok((tag.key.to_ascii_lowercase(), shown))
    }))
}
