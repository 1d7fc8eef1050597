//! Tags of tables.

use crate::DynamoDb;
use crate::error::{bad_parameter, invalid};
use crate::names::{bad_arn, split_arn};
use crate::table::{Table, save};
use api::{Cx, Error, Tx};
use gen_dynamodb::errors as e;
use gen_dynamodb::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const TAGS_MAX: usize = 50;
const PAGE_MAX: usize = TAGS_MAX;

fn check(tag: &Tag) -> Result<(), Error> {
    let allowed = |text: &str| {
        text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "+-=._:/@".contains(c))
    };
    if tag.key.is_empty() || tag.key.chars().count() > 128 {
        return Err(bad_parameter("Tag keys have 1 to 128 characters"));
    }
    if !allowed(&tag.key) || !allowed(&tag.value) {
        return Err(bad_parameter(
            "Tag keys and values can only contain letters, numbers, white space and + - = . _ : / @",
        ));
    }
    if tag.key.to_ascii_lowercase().starts_with("aws:") {
        return Err(bad_parameter("Tag keys beginning with aws: are reserved for system use"));
    }
    Ok(())
}

/// Tags of a new table.
pub(crate) fn of_new(tags: &[Tag]) -> Result<BTreeMap<String, String>, Error> {
    let mut all = BTreeMap::new();
    add(&mut all, tags)?;
    Ok(all)
}

fn add(all: &mut BTreeMap<String, String>, tags: &[Tag]) -> Result<(), Error> {
    for (at, tag) in tags.iter().enumerate() {
        check(tag)?;
        if tags[..at].iter().any(|other| other.key == tag.key) {
            return Err(bad_parameter(format!("Duplicate tag key: {}", tag.key)));
        }
        all.insert(tag.key.clone(), tag.value.clone());
    }
    if all.len() > TAGS_MAX {
        return Err(bad_parameter(format!("A table can have at most {TAGS_MAX} tags")));
    }
    Ok(())
}

impl DynamoDb {
    /// The table that an ARN names.
    pub(crate) fn by_arn(&self, tx: &Tx, cx: &Cx, arn: &str) -> Result<Arc<Table>, Error> {
        let (name, sub) = split_arn(arn).ok_or_else(|| bad_arn(arn))?;
        if !sub.is_empty() || !name.is_here(cx) {
            return Err(bad_arn(arn));
        }
        self.tables.find(tx, &name)?.ok_or_else(|| {
            let text = format!("Requested resource not found: ResourcArn: {arn} not found");
            Error::new(&e::RESOURCE_NOT_FOUND_EXCEPTION, text)
        })
    }

    pub(crate) fn tag_resource(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &TagResourceInput,
    ) -> Result<TagResourceOutput, Error> {
        if input.tags.is_empty() {
            return Err(invalid("Atleast one Tag needs to be provided as Input."));
        }
        let table = self.by_arn(tx, cx, &input.resource_arn)?;
        let mut row = table.row.clone();
        add(&mut row.tags, &input.tags)?;
        save(tx, &row)?;
        Ok(TagResourceOutput::default())
    }

    pub(crate) fn untag_resource(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &UntagResourceInput,
    ) -> Result<UntagResourceOutput, Error> {
        if input.tag_keys.is_empty() {
            return Err(invalid("Atleast one Tag Key needs to be provided as Input."));
        }
        let table = self.by_arn(tx, cx, &input.resource_arn)?;
        let mut row = table.row.clone();
        row.tags.retain(|key, _| !input.tag_keys.contains(key));
        save(tx, &row)?;
        Ok(UntagResourceOutput::default())
    }

    pub(crate) fn list_tags_of_resource(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListTagsOfResourceInput,
    ) -> Result<ListTagsOfResourceOutput, Error> {
        let table = self.by_arn(tx, cx, &input.resource_arn)?;
        let place = cx.token_place(&[&input.resource_arn]);
        let start = match &input.next_token {
            None => None,
            Some(token) => Some(
                cx.door
                    .open_token(&place, token)
                    .ok_or_else(|| invalid("The provided NextToken is invalid"))?,
            ),
        };
        let left = table.tags.iter().filter(|(key, _)| start.as_ref().is_none_or(|s| *key > s));
        let mut tags: Vec<Tag> = left
            .take(PAGE_MAX + 1)
            .map(|(key, value)| Tag { key: key.clone(), value: value.clone() })
            .collect();
        let more = tags.len() > PAGE_MAX;
        tags.truncate(PAGE_MAX);
        let last = tags.last().filter(|_| more);
        Ok(ListTagsOfResourceOutput {
            next_token: last.map(|tag| cx.door.seal_token(&place, &tag.key)),
            tags: Some(tags),
        })
    }
}
