//! Sequences of operations made at random, held against the reference after each one. What fails is made
//! smaller before it is shown, and its seed with it.

use super::Db;
use super::reference::{Action, Condition, Dice, Tree, V, json, update, update_text};
use base::SeededEntropy;
use std::collections::BTreeMap;

const PARTITIONS: [&str; 2] = ["x", "y"];
const GROUPS: [&str; 2] = ["g", "h"];

type Key = (&'static str, i64);

#[derive(Clone, Debug)]
enum Change {
    Put(Key, Tree),
    Update(Key, Vec<Action>),
    Delete(Key),
    Check(Key),
}

#[derive(Clone, Debug)]
enum Op {
    Change(Change, Option<Condition>),
    Transact(Vec<(Change, Option<Condition>)>),
    Batch(Vec<Change>),
    Get(Key),
    Query { partition: &'static str, from: i64, limit: u64, filter: Option<Condition>, back: bool },
    Index { group: &'static str, limit: u64 },
    Scan { limit: u64, filter: Option<Condition> },
}

fn keys((partition, sort): Key) -> Tree {
    [("p".to_owned(), V::S(partition.to_owned())), ("c".to_owned(), V::N(sort))].into()
}

impl Change {
    fn key(&self) -> Key {
        match self {
            Change::Put(key, _) | Change::Update(key, _) | Change::Delete(key) => *key,
            Change::Check(key) => *key,
        }
    }

    /// What the item becomes; an error where the update cannot be done on it.
    fn apply(&self, old: Option<&Tree>) -> Result<Option<Tree>, ()> {
        let whole = |key: Key, tree: &Tree| {
            tree.iter().map(|(n, v)| (n.clone(), v.clone())).chain(keys(key)).collect::<Tree>()
        };
        let new = match self {
            Change::Put(key, tree) => Some(whole(*key, tree)),
            Change::Delete(_) => None,
            Change::Check(_) => old.cloned(),
            Change::Update(key, actions) => {
                let all = |is: fn(&Action) -> bool| old.is_none() && actions.iter().all(is);
                // Where nothing is, REMOVE takes any path.
                if all(|action| matches!(action, Action::Remove(_))) {
                    return Ok(None);
                }
                let before = old.cloned().unwrap_or_else(|| keys(*key));
                let new = update(&before, actions)?;
                (!all(Action::removes)).then_some(new)
            }
        };
        Ok(new)
    }

    /// The members of the request.
    fn members(&self, condition: Option<&Condition>) -> String {
        let mut values = Vec::new();
        let mut members = vec![r#""TableName":"tab""#.to_owned()];
        members.push(match self {
            Change::Put(_, _) => {
                let item = self.apply(None).ok().flatten().unwrap_or_default();
                format!("\"Item\":{}", json(&item))
            }
            _ => format!("\"Key\":{}", json(&keys(self.key()))),
        });
        if let Change::Update(_, actions) = self {
            let text = update_text(actions, &mut values);
            members.push(format!("\"UpdateExpression\":\"{text}\""));
        }
        expression("ConditionExpression", condition, &mut values, &mut members);
        members.join(",")
    }
}

/// Adds an expression and the values of all so far.
fn expression(
    name: &str,
    condition: Option<&Condition>,
    values: &mut Vec<V>,
    members: &mut Vec<String>,
) {
    if let Some(condition) = condition {
        members.push(format!("\"{name}\":\"{}\"", condition.text(values)));
    }
    if !values.is_empty() {
        let all = values.iter().enumerate().map(|(at, v)| format!("\":v{at}\":{}", v.json()));
        let all: Vec<String> = all.collect();
        members.push(format!("\"ExpressionAttributeValues\":{{{}}}", all.join(",")));
    }
}

/// The reference: a table as a map.
#[derive(Default)]
struct Model(BTreeMap<(String, i64), Tree>);

impl Model {
    fn at(&self, key: Key) -> Option<&Tree> {
        self.0.get(&(key.0.to_owned(), key.1))
    }

    fn set(&mut self, key: Key, item: Option<Tree>) {
        let key = (key.0.to_owned(), key.1);
        match item {
            Some(item) => drop(self.0.insert(key, item)),
            None => drop(self.0.remove(&key)),
        }
    }

    /// What one change comes to: the new item, or the code of its refusal.
    fn outcome(
        &self,
        change: &Change,
        condition: Option<&Condition>,
    ) -> Result<Option<Tree>, &'static str> {
        let old = self.at(change.key());
        if condition.is_some_and(|condition| !condition.holds(old.unwrap_or(&Tree::new()))) {
            return Err("ConditionalCheckFailed");
        }
        change.apply(old).map_err(|()| "ValidationError")
    }

    fn answer(&mut self, op: &Op) -> String {
        match op {
            Op::Change(change, condition) => {
                let old = self.at(change.key()).cloned();
                match self.outcome(change, condition.as_ref()) {
                    Err("ValidationError") => "ValidationException".to_owned(),
                    Err(_) => "ConditionalCheckFailedException".to_owned(),
                    Ok(new) => {
                        self.set(change.key(), new.clone());
                        let shown = if matches!(change, Change::Update(..)) { new } else { old };
                        shown
                            .map_or("{}".to_owned(), |i| format!("{{\"Attributes\":{}}}", json(&i)))
                    }
                }
            }
            Op::Transact(members) => {
                let outcomes: Vec<_> = members
                    .iter()
                    .map(|(c, condition)| self.outcome(c, condition.as_ref()))
                    .collect();
                if outcomes.iter().any(Result::is_err) {
                    let codes = outcomes.iter().map(|o| o.as_ref().err().unwrap_or(&"None"));
                    return format!("[{}]", codes.copied().collect::<Vec<_>>().join(", "));
                }
                for ((change, _), outcome) in members.iter().zip(outcomes) {
                    self.set(change.key(), outcome.ok().flatten());
                }
                "{}".to_owned()
            }
            Op::Batch(changes) => {
                for change in changes {
                    let new = change.apply(None).ok().flatten();
                    self.set(change.key(), new);
                }
                r#"{"UnprocessedItems":{}}"#.to_owned()
            }
            Op::Get(key) => {
                self.at(*key).map_or("{}".to_owned(), |i| format!("{{\"Item\":{}}}", json(i)))
            }
            Op::Query { partition, from, filter, back, .. } => {
                let own =
                    |(key, _): &(&(String, i64), &Tree)| key.0 == *partition && key.1 >= *from;
                let mut found: Vec<&Tree> = self.0.iter().filter(own).map(|(_, i)| i).collect();
                if *back {
                    found.reverse();
                }
                shown(found.into_iter(), filter.as_ref())
            }
            Op::Index { group, .. } => {
                let group = V::S((*group).to_owned());
                sorted(shown(self.0.values().filter(|i| i.get("g") == Some(&group)), None))
            }
            Op::Scan { filter, .. } => sorted(shown(self.0.values(), filter.as_ref())),
        }
    }
}

fn shown<'t>(items: impl Iterator<Item = &'t Tree>, filter: Option<&Condition>) -> String {
    let kept = items.filter(|item| filter.is_none_or(|filter| filter.holds(item)));
    kept.map(json).collect::<Vec<_>>().join("\n")
}

fn sorted(lines: String) -> String {
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// All pages of a query or scan, an item a line.
fn pages(db: &Db, operation: &str, members: &[String], limit: u64) -> String {
    let mut found: Vec<String> = Vec::new();
    let mut start = String::new();
    loop {
        let text = format!(r#"{{"TableName":"tab",{},"Limit":{limit}{start}}}"#, members.join(","));
        let told = match db.call(operation, &text) {
            Ok(told) => told,
            Err(error) => return format!("{}: {}", error.code(), error.message()),
        };
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        let items = told["Items"].as_array().expect("items");
        found.extend(items.iter().map(|item| serde_json::to_string(item).expect("JSON")));
        match told.get("LastEvaluatedKey") {
            Some(key) => start = format!(",\"ExclusiveStartKey\":{key}"),
            None => return found.join("\n"),
        }
    }
}

fn real(db: &Db, op: &Op) -> String {
    let code = |error: api::Error| error.code().to_owned();
    match op {
        Op::Change(change, condition) => {
            let (operation, returned) = match change {
                Change::Put(..) => ("PutItem", "ALL_OLD"),
                Change::Update(..) => ("UpdateItem", "ALL_NEW"),
                _ => ("DeleteItem", "ALL_OLD"),
            };
            let members = change.members(condition.as_ref());
            let text = format!(r#"{{{members},"ReturnValues":"{returned}"}}"#);
            db.call(operation, &text).unwrap_or_else(code)
        }
        Op::Transact(members) => {
            let one = |(change, condition): &(Change, Option<Condition>)| {
                let name = match change {
                    Change::Put(..) => "Put",
                    Change::Update(..) => "Update",
                    Change::Delete(_) => "Delete",
                    Change::Check(_) => "ConditionCheck",
                };
                format!(r#"{{"{name}":{{{}}}}}"#, change.members(condition.as_ref()))
            };
            let all: Vec<String> = members.iter().map(one).collect();
            let text = format!(r#"{{"TransactItems":[{}]}}"#, all.join(","));
            db.call("TransactWriteItems", &text).unwrap_or_else(|error| {
                let at = error.message().find('[').unwrap_or(0);
                error.message()[at..].to_owned()
            })
        }
        Op::Batch(changes) => {
            let one = |change: &Change| {
                let members = change.members(None).replacen(r#""TableName":"tab","#, "", 1);
                let name = if matches!(change, Change::Put(..)) { "Put" } else { "Delete" };
                format!(r#"{{"{name}Request":{{{members}}}}}"#)
            };
            let all: Vec<String> = changes.iter().map(one).collect();
            let text = format!(r#"{{"RequestItems":{{"tab":[{}]}}}}"#, all.join(","));
            db.call("BatchWriteItem", &text).unwrap_or_else(code)
        }
        Op::Get(key) => {
            let text = format!(r#"{{"TableName":"tab","Key":{}}}"#, json(&keys(*key)));
            db.call("GetItem", &text).unwrap_or_else(code)
        }
        Op::Query { partition, from, limit, filter, back } => {
            let mut values = vec![V::S((*partition).to_owned()), V::N(*from)];
            let condition = r#""KeyConditionExpression":"p = :v0 AND c >= :v1""#.to_owned();
            let mut members = vec![condition, format!("\"ScanIndexForward\":{}", !back)];
            expression("FilterExpression", filter.as_ref(), &mut values, &mut members);
            pages(db, "Query", &members, *limit)
        }
        Op::Index { group, limit } => {
            let mut members =
                vec![r#""IndexName":"glo","KeyConditionExpression":"g = :v0""#.to_owned()];
            let mut values = vec![V::S((*group).to_owned())];
            expression("FilterExpression", None, &mut values, &mut members);
            sorted(pages(db, "Query", &members, *limit))
        }
        Op::Scan { limit, filter } => {
            let mut members = vec![r#""ConsistentRead":true"#.to_owned()];
            expression("FilterExpression", filter.as_ref(), &mut Vec::new(), &mut members);
            sorted(pages(db, "Scan", &members, *limit))
        }
    }
}

impl Dice {
    fn key(&self) -> Key {
        (PARTITIONS[self.below(2) as usize], self.below(4) as i64 - 1)
    }

    fn maybe(&self) -> Option<Condition> {
        (self.below(2) == 0).then(|| self.condition(2))
    }

    fn put(&self, key: Key) -> Change {
        let mut tree = self.tree(2);
        if self.below(2) == 0 {
            tree.insert("g".into(), V::S(GROUPS[self.below(2) as usize].into()));
        }
        Change::Put(key, tree)
    }

    fn change(&self, key: Key) -> Change {
        match self.below(4) {
            0 | 1 => self.put(key),
            2 => Change::Update(key, self.actions()),
            _ => Change::Delete(key),
        }
    }

    /// Different keys.
    fn some_keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = (0..2 + self.below(3)).map(|_| self.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn op(&self) -> Op {
        let limit = 1 + self.below(5);
        match self.below(14) {
            0..=5 => Op::Change(self.change(self.key()), self.maybe()),
            6 | 7 => {
                let member = |key: Key| match self.below(4) {
                    0 => (Change::Check(key), Some(self.condition(2))),
                    _ => (self.change(key), self.maybe()),
                };
                Op::Transact(self.some_keys().into_iter().map(member).collect())
            }
            8 => {
                let one = |key: Key| match self.below(2) {
                    0 => self.put(key),
                    _ => Change::Delete(key),
                };
                Op::Batch(self.some_keys().into_iter().map(one).collect())
            }
            9 => Op::Get(self.key()),
            10 | 11 => {
                let (partition, from) =
                    (PARTITIONS[self.below(2) as usize], self.below(3) as i64 - 1);
                Op::Query { partition, from, limit, filter: self.maybe(), back: self.below(2) == 0 }
            }
            12 => Op::Index { group: GROUPS[self.below(2) as usize], limit },
            _ => Op::Scan { limit, filter: self.maybe() },
        }
    }
}

const TABLE: &str = r#"{"TableName":"tab","BillingMode":"PAY_PER_REQUEST",
    "KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"c","KeyType":"RANGE"}],
    "AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"},{"AttributeName":"c","AttributeType":"N"},{"AttributeName":"g","AttributeType":"S"}],
    "GlobalSecondaryIndexes":[{"IndexName":"glo","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}]}"#;

/// The first difference, if there is one.
fn differs(ops: &[Op]) -> Option<String> {
    let db = Db::new();
    db.ok("CreateTable", TABLE);
    let mut model = Model::default();
    ops.iter().find_map(|op| {
        let (found, expected) = (real(&db, op), model.answer(op));
        (found != expected).then(|| format!("{op:?}\n  is       {found}\n  and not  {expected}"))
    })
}

/// Fewer operations that differ as well.
fn shrunk(mut ops: Vec<Op>) -> Vec<Op> {
    let mut size = ops.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(at..(at + size).min(ops.len()));
            match differs(&fewer) {
                Some(_) => ops = fewer,
                None => at += size,
            }
        }
        size /= 2;
    }
    ops
}

fn check(seed: u64, count: usize) {
    let dice = Dice(SeededEntropy::new(seed));
    let ops: Vec<Op> = (0..count).map(|_| dice.op()).collect();
    if differs(&ops).is_some() {
        let ops = shrunk(ops);
        let difference = differs(&ops).unwrap_or_default();
        panic!("seed {seed}, after {:#?}:\n{difference}", &ops[..ops.len() - 1]);
    }
}

#[test]
fn operations_do_what_the_reference_says() {
    for seed in 0..60 {
        check(seed, 80);
    }
}

/// Seeds that once showed something.
#[test]
fn seeds_that_are_kept() {
    for seed in [] {
        check(seed, 80);
    }
}

#[test]
fn a_difference_is_found_and_made_small() {
    let noise = || Op::Scan { limit: 3, filter: None };
    let bad = Op::Change(Change::Put(("x", 1), [("a".to_owned(), V::SS([].into()))].into()), None);
    let ops = vec![noise(), noise(), bad, noise(), noise()];
    assert!(differs(&ops).is_some());
    let small = shrunk(ops);
    assert!(matches!(small[..], [Op::Change(Change::Put(..), None)]), "{small:?}");
}
