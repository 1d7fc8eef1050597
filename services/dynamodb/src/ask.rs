//! What must be allowed, from the input alone: a table, an index of it, or every member of a batch.
//!
//! Which attribute is the hash key, only the table knows: asks carry all key attributes under a name of
//! our own, and the hook picks the one that `dynamodb:LeadingKeys` is about.

use crate::DynamoDb;
use crate::names::{arn, split_arn};
use crate::params::Parsed;
use crate::policies::of_caller;
use api::{Ask, Background, Cx, DoorRules, Error, Grants, Hooks, Tx};
use base::AccountId;
use gen_dynamodb::*;
use item::{Item, Kind, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use store::Jobs;

/// Of both endpoints, as AWS has it.
pub(crate) const DOOR: DoorRules = DoorRules { greets: true, head_bytes_max: Some(16 * 1024) };

pub(crate) type Asks = Result<Vec<Ask>, Error>;

/// Before the name of an attribute of the request's key.
pub(crate) const KEY: &str = "cumulet:dynamodbkey/";
/// Marks a SELECT: whether it reads all there is, only the table's keys tell.
pub(crate) const PARTIQL_SELECT: &str = "cumulet:partiqlselect";

/// The ARN that a request names a table by; what is no name at all is refused by the operation.
fn table_arn(cx: &Cx, text: &str) -> String {
    match text.starts_with("arn:") {
        true => text.to_owned(),
        false => arn(cx.account, &cx.region, text),
    }
}

/// An action on a table or one of its indexes.
pub(crate) fn on(cx: &Cx, action: &str, table: &str, index: Option<&String>) -> Ask {
    let mut resource = table_arn(cx, table);
    if let Some(index) = index {
        resource.push_str("/index/");
        resource.push_str(index);
    }
    Ask::new(format!("dynamodb:{action}"), resource)
}

/// The operation itself, on a table.
pub(crate) fn table(cx: &Cx, table: &str) -> Asks {
    Ok(vec![on(cx, cx.operation.name, table, None)])
}

/// The operation itself, on what an ARN names.
pub(crate) fn resource(cx: &Cx, arn: &str) -> Asks {
    Ok(vec![Ask::new(format!("dynamodb:{}", cx.operation.name), arn)])
}

/// The operation itself, on whatever there is.
pub(crate) fn anything(cx: &Cx) -> Asks {
    Ok(vec![Ask::new(format!("dynamodb:{}", cx.operation.name), "*")])
}

pub(crate) fn key_text(value: Value<'_>) -> Option<String> {
    match value.kind() {
        Kind::S | Kind::N => Some(value.text().to_owned()),
        Kind::B => Some(String::from_utf8_lossy(value.content()).into_owned()),
        _ => None,
    }
}

/// Adds keys of items: all of their scalar attributes, since the hash key is among them.
fn with_keys<'a>(mut ask: Ask, items: impl Iterator<Item = &'a Item>) -> Ask {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in items {
        for (name, value) in item.map().iter() {
            if let Some(text) = key_text(value) {
                all.entry(name.to_owned()).or_default().push(text);
            }
        }
    }
    let entry = |(name, values)| (Cow::Owned(format!("{KEY}{name}")), values);
    ask.context.extend(all.into_iter().map(entry));
    ask
}

pub(crate) fn with_attributes(mut ask: Ask, names: BTreeSet<String>) -> Ask {
    if !names.is_empty() {
        ask.context.push((Cow::Borrowed("dynamodb:attributes"), names.into_iter().collect()));
    }
    ask
}

/// Attribute names at the heads of the paths of a request's expressions.
struct Heads<'r> {
    parsed: &'r Parsed,
    aliases: Option<&'r BTreeMap<String, String>>,
    found: BTreeSet<String>,
}

impl<'r> Heads<'r> {
    fn new(parsed: &'r Parsed, aliases: Option<&'r BTreeMap<String, String>>) -> Heads<'r> {
        Heads { parsed, aliases, found: BTreeSet::new() }
    }

    fn see(&mut self, head: &str) {
        let name = match head.starts_with('#') {
            true => self.aliases.and_then(|aliases| aliases.get(head)).map(String::as_str),
            false => Some(head),
        };
        self.found.extend(name.map(str::to_owned));
    }

    fn names<'n>(mut self, names: impl Iterator<Item = &'n str>) -> Heads<'r> {
        self.found.extend(names.map(str::to_owned));
        self
    }

    /// What does not parse is refused by the operation, which then does nothing.
    fn condition(mut self, text: Option<&String>) -> Heads<'r> {
        let parsed = text.and_then(|text| self.parsed.look_condition(text));
        if let Some(condition) = parsed {
            condition.each_path(&mut |path| self.see(path.head()));
        }
        self
    }

    fn projection(mut self, text: Option<&String>) -> Heads<'r> {
        let parsed = text.and_then(|text| self.parsed.look_projection(text));
        for path in parsed.iter().flat_map(|projection| &projection.paths) {
            self.see(path.head());
        }
        self
    }

    fn update(mut self, text: Option<&String>) -> Heads<'r> {
        if let Some(update) = text.and_then(|text| self.parsed.look_update(text)) {
            update.each_path(&mut |path| self.see(path.head()));
        }
        self
    }
}

fn keys<V>(map: Option<&BTreeMap<String, V>>) -> impl Iterator<Item = &str> {
    map.into_iter().flat_map(|map| map.keys().map(String::as_str))
}

fn list(names: Option<&Vec<String>>) -> impl Iterator<Item = &str> {
    names.into_iter().flatten().map(String::as_str)
}

fn item_names(item: &Item) -> impl Iterator<Item = &str> {
    item.map().iter().map(|(name, _)| name)
}

/// What a read of items selects, as `dynamodb:Select` has it.
fn select(select: Option<&String>, specific: bool, index: bool) -> String {
    match select {
        Some(select) => select.clone(),
        None if specific => "SPECIFIC_ATTRIBUTES".into(),
        None if index => "ALL_PROJECTED_ATTRIBUTES".into(),
        None => "ALL_ATTRIBUTES".into(),
    }
}

impl DynamoDb {
    pub(crate) fn ask_get(&self, cx: &Cx, i: &GetItemInput) -> Asks {
        let specific = i.projection_expression.is_some() || i.attributes_to_get.is_some();
        let heads = Heads::new(&self.parsed, i.expression_attribute_names.as_ref())
            .names(list(i.attributes_to_get.as_ref()))
            .projection(i.projection_expression.as_ref());
        let ask = on(cx, "GetItem", &i.table_name, None)
            .key("dynamodb:select", Some(select(None, specific, false)))
            .key("dynamodb:returnconsumedcapacity", i.return_consumed_capacity.clone());
        Ok(vec![with_attributes(with_keys(ask, std::iter::once(&i.key)), heads.found)])
    }

    pub(crate) fn ask_put(&self, cx: &Cx, i: &PutItemInput) -> Asks {
        let heads = Heads::new(&self.parsed, i.expression_attribute_names.as_ref())
            .names(item_names(&i.item))
            .names(keys(i.expected.as_ref()))
            .condition(i.condition_expression.as_ref());
        let ask = on(cx, "PutItem", &i.table_name, None)
            .key("dynamodb:returnvalues", i.return_values.clone())
            .key("dynamodb:returnconsumedcapacity", i.return_consumed_capacity.clone());
        Ok(vec![with_attributes(with_keys(ask, std::iter::once(&i.item)), heads.found)])
    }

    pub(crate) fn ask_delete(&self, cx: &Cx, i: &DeleteItemInput) -> Asks {
        let heads = Heads::new(&self.parsed, i.expression_attribute_names.as_ref())
            .names(item_names(&i.key))
            .names(keys(i.expected.as_ref()))
            .condition(i.condition_expression.as_ref());
        let ask = on(cx, "DeleteItem", &i.table_name, None)
            .key("dynamodb:returnvalues", i.return_values.clone())
            .key("dynamodb:returnconsumedcapacity", i.return_consumed_capacity.clone());
        Ok(vec![with_attributes(with_keys(ask, std::iter::once(&i.key)), heads.found)])
    }

    pub(crate) fn ask_update(&self, cx: &Cx, i: &UpdateItemInput) -> Asks {
        let heads = Heads::new(&self.parsed, i.expression_attribute_names.as_ref())
            .names(item_names(&i.key))
            .names(keys(i.attribute_updates.as_ref()))
            .names(keys(i.expected.as_ref()))
            .condition(i.condition_expression.as_ref())
            .update(i.update_expression.as_ref());
        let ask = on(cx, "UpdateItem", &i.table_name, None)
            .key("dynamodb:returnvalues", i.return_values.clone())
            .key("dynamodb:returnconsumedcapacity", i.return_consumed_capacity.clone());
        Ok(vec![with_attributes(with_keys(ask, std::iter::once(&i.key)), heads.found)])
    }

    /// The leading key of a query is in its conditions.
    pub(crate) fn ask_query(&self, cx: &Cx, i: &QueryInput) -> Asks {
        let specific = i.projection_expression.is_some() || i.attributes_to_get.is_some();
        let heads = Heads::new(&self.parsed, i.expression_attribute_names.as_ref())
            .names(list(i.attributes_to_get.as_ref()))
            .names(keys(i.query_filter.as_ref()))
            .names(keys(i.key_conditions.as_ref()))
            .condition(i.filter_expression.as_ref())
            .condition(i.key_condition_expression.as_ref())
            .projection(i.projection_expression.as_ref());
        let mut ask = on(cx, "Query", &i.table_name, i.index_name.as_ref())
            .key(
                "dynamodb:select",
                Some(select(i.select.as_ref(), specific, i.index_name.is_some())),
            )
            .key("dynamodb:returnconsumedcapacity", i.return_consumed_capacity.clone());
        let found = i.key_condition_expression.as_ref().and_then(|text| {
            let mut condition = self.parsed.look_condition(text)?;
            let names = i.expression_attribute_names.as_ref();
            let values = i.expression_attribute_values.as_ref();
            expression::Scope::new(names, values).ok()?.condition(&mut condition).ok()?;
            expression::key_conditions(&condition).ok()
        });
        let older = i.key_conditions.as_ref();
        let older = older.and_then(|older| crate::legacy::key_conditions(older).ok());
        for condition in found.or(older).into_iter().flatten() {
            if let expression::KeyTest::Compare(expression::Comparator::Eq, bytes) = &condition.test
                && let Some(text) = Value::of(bytes).and_then(key_text)
            {
                ask.context.push((Cow::Owned(format!("{KEY}{}", condition.name)), vec![text]));
            }
        }
        Ok(vec![with_attributes(ask, heads.found)])
    }

    pub(crate) fn ask_scan(&self, cx: &Cx, i: &ScanInput) -> Asks {
        let specific = i.projection_expression.is_some() || i.attributes_to_get.is_some();
        let heads = Heads::new(&self.parsed, i.expression_attribute_names.as_ref())
            .names(list(i.attributes_to_get.as_ref()))
            .names(keys(i.scan_filter.as_ref()))
            .condition(i.filter_expression.as_ref())
            .projection(i.projection_expression.as_ref());
        let ask = on(cx, "Scan", &i.table_name, i.index_name.as_ref())
            .key(
                "dynamodb:select",
                Some(select(i.select.as_ref(), specific, i.index_name.is_some())),
            )
            .key("dynamodb:fulltablescan", Some("true"))
            .key("dynamodb:returnconsumedcapacity", i.return_consumed_capacity.clone());
        Ok(vec![with_attributes(ask, heads.found)])
    }

    pub(crate) fn ask_batch_get(&self, cx: &Cx, i: &BatchGetItemInput) -> Asks {
        let one = |(table, request): (&String, &KeysAndAttributes)| {
            let specific =
                request.projection_expression.is_some() || request.attributes_to_get.is_some();
            let heads = Heads::new(&self.parsed, request.expression_attribute_names.as_ref())
                .names(list(request.attributes_to_get.as_ref()))
                .projection(request.projection_expression.as_ref());
            let ask = on(cx, "BatchGetItem", table, None)
                .key("dynamodb:select", Some(select(None, specific, false)))
                .key("dynamodb:returnconsumedcapacity", i.return_consumed_capacity.clone());
            with_attributes(with_keys(ask, request.keys.iter()), heads.found)
        };
        some(cx, i.request_items.iter().map(one).collect())
    }

    pub(crate) fn ask_batch_write(&self, cx: &Cx, i: &BatchWriteItemInput) -> Asks {
        let one = |(table, requests): (&String, &Vec<WriteRequest>)| {
            let items = || {
                requests.iter().filter_map(|request| {
                    let put = request.put_request.as_ref().map(|put| &put.item);
                    put.or(request.delete_request.as_ref().map(|delete| &delete.key))
                })
            };
            let names = items().flat_map(item_names).map(str::to_owned).collect();
            let ask = on(cx, "BatchWriteItem", table, None)
                .key("dynamodb:returnconsumedcapacity", i.return_consumed_capacity.clone());
            with_attributes(with_keys(ask, items()), names)
        };
        some(cx, i.request_items.iter().map(one).collect())
    }

    /// Each member needs the permission of its own operation.
    pub(crate) fn ask_transact_get(&self, cx: &Cx, i: &TransactGetItemsInput) -> Asks {
        let one = |member: &TransactGetItem| {
            let get = &member.get;
            let heads = Heads::new(&self.parsed, get.expression_attribute_names.as_ref())
                .projection(get.projection_expression.as_ref());
            let specific = get.projection_expression.is_some();
            let ask = on(cx, "GetItem", &get.table_name, None)
                .key("dynamodb:enclosingoperation", Some("TransactGetItems"))
                .key("dynamodb:select", Some(select(None, specific, false)));
            with_attributes(with_keys(ask, std::iter::once(&get.key)), heads.found)
        };
        some(cx, i.transact_items.iter().map(one).collect())
    }

    pub(crate) fn ask_transact_write(&self, cx: &Cx, i: &TransactWriteItemsInput) -> Asks {
        let asks: Vec<Ask> =
            i.transact_items.iter().flat_map(|member| self.ask_member(cx, member)).collect();
        some(cx, asks)
    }

    fn ask_member(&self, cx: &Cx, member: &TransactWriteItem) -> Vec<Ask> {
        let enclosed = |action: &str, table: &str, item: &Item, heads: Heads<'_>| {
            let ask = on(cx, action, table, None)
                .key("dynamodb:enclosingoperation", Some("TransactWriteItems"));
            let heads = heads.names(item_names(item));
            with_attributes(with_keys(ask, std::iter::once(item)), heads.found)
        };
        let mut asks = Vec::new();
        if let Some(put) = &member.put {
            let heads = Heads::new(&self.parsed, put.expression_attribute_names.as_ref())
                .condition(put.condition_expression.as_ref());
            asks.push(enclosed("PutItem", &put.table_name, &put.item, heads));
        }
        if let Some(delete) = &member.delete {
            let heads = Heads::new(&self.parsed, delete.expression_attribute_names.as_ref())
                .condition(delete.condition_expression.as_ref());
            asks.push(enclosed("DeleteItem", &delete.table_name, &delete.key, heads));
        }
        if let Some(update) = &member.update {
            let heads = Heads::new(&self.parsed, update.expression_attribute_names.as_ref())
                .condition(update.condition_expression.as_ref())
                .update(Some(&update.update_expression));
            asks.push(enclosed("UpdateItem", &update.table_name, &update.key, heads));
        }
        if let Some(check) = &member.condition_check {
            let heads = Heads::new(&self.parsed, check.expression_attribute_names.as_ref())
                .condition(Some(&check.condition_expression));
            asks.push(enclosed("ConditionCheckItem", &check.table_name, &check.key, heads));
        }
        asks
    }

    /// A new table, with the tags that it shall have.
    pub(crate) fn ask_create(&self, cx: &Cx, i: &CreateTableInput) -> Asks {
        let ask = with_tags(on(cx, "CreateTable", &i.table_name, None), i.tags.as_deref());
        let mut asks = vec![ask];
        if i.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
            asks.push(with_tags(on(cx, "TagResource", &i.table_name, None), i.tags.as_deref()));
        }
        if i.resource_policy.is_some() {
            asks.push(on(cx, "PutResourcePolicy", &i.table_name, None));
        }
        Ok(asks)
    }

    pub(crate) fn ask_tag(&self, _: &Cx, i: &TagResourceInput) -> Asks {
        let ask = Ask::new("dynamodb:TagResource", i.resource_arn.clone());
        Ok(vec![with_tags(ask, Some(&i.tags))])
    }
}

/// A batch of nothing is refused by its operation, to those who may ask for it at all.
fn some(cx: &Cx, asks: Vec<Ask>) -> Asks {
    if asks.is_empty() { anything(cx) } else { Ok(asks) }
}

fn with_tags(mut ask: Ask, tags: Option<&[Tag]>) -> Ask {
    let tags = tags.unwrap_or_default();
    for tag in tags {
        let key = format!("aws:requesttag/{}", tag.key.to_ascii_lowercase());
        ask.context.push((Cow::Owned(key), vec![tag.value.clone()]));
    }
    if !tags.is_empty() {
        let keys = tags.iter().map(|tag| tag.key.clone()).collect();
        ask.context.push((Cow::Borrowed("aws:tagkeys"), keys));
    }
    ask
}

impl Hooks for DynamoDb {
    fn grants(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<Grants, Error> {
        if ask.resource.contains("/stream/") {
            return crate::streams::grants(tx, cx, &ask.resource);
        }
        let owner = ask.resource.split(':').nth(4).and_then(AccountId::parse);
        let mut grants = Grants { owner, ..Grants::default() };
        let Some((name, sub)) = split_arn(&ask.resource) else { return Ok(grants) };
        let Some(table) = self.tables.find(tx, &name)? else { return Ok(grants) };
        let (text, ids) = (table.row.policy.as_ref(), &table.row.policy_ids);
        grants.policy = of_caller(cx, text, ids, || Ok(table.policy.clone()))?;
        let index = sub.strip_prefix("index/").and_then(|name| table.index(name));
        let hash = index.and_then(|index| index.hash.first()).unwrap_or(&table.hash);
        let of_key = |name: &str| name.strip_prefix(KEY).is_some_and(|name| name == hash);
        let leading = ask.context.iter().find(|(name, _)| of_key(name));
        if let Some((_, values)) = leading {
            grants.context.push((Cow::Borrowed("dynamodb:leadingkeys"), values.clone()));
        }
        if ask.context.iter().any(|(name, _)| name == PARTIQL_SELECT) {
            let whole = leading.is_none().to_string();
            grants.context.push((Cow::Borrowed("dynamodb:fulltablescan"), vec![whole]));
        }
        for (key, value) in &table.tags {
            let key = format!("aws:resourcetag/{}", key.to_ascii_lowercase());
            grants.context.push((Cow::Owned(key), vec![value.clone()]));
        }
        Ok(grants)
    }

    fn door_rules(&self) -> DoorRules {
        DOOR
    }

    fn jobs(&self, jobs: &mut Jobs, with: &Background) {
        crate::jobs::register(jobs, with);
    }
}
