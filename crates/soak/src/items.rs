//! Clients of DynamoDB beside those of S3: reads, conditional writes and transactions on few items, all of
//! which is kept as a history and checked after each strike.

use crate::client::{Answer, Client};
use crate::serial::{Event, History, Version, Write};
use base::{Entropy, SeededEntropy};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

const TABLE: &str = "soak";
/// Two partitions of three items.
const KEYS: u8 = 6;

/// What is known of the items in the life of one data folder.
#[derive(Debug)]
pub struct Items {
    history: Mutex<History>,
    begun: Instant,
}

/// How a request on items ended that got an answer.
pub enum End {
    Done,
    /// Changed nothing that anybody asked for.
    Idle,
    Busy,
    Wrong(String),
}

fn key(number: u8) -> Value {
    let partition = if number < KEYS / 2 { "a" } else { "b" };
    json!({"p": {"S": partition}, "c": {"N": number.to_string()}})
}

fn version(item: &Value) -> Version {
    item["v"]["N"].as_str()?.parse().ok()
}

fn number_of(item: &Value) -> Option<u8> {
    item["c"]["N"].as_str()?.parse().ok()
}

/// Sends an operation; the answer, and its body.
fn call(http: &mut Client, operation: &str, input: &Value) -> Result<(Answer, Value), String> {
    let answer = http.operation(&format!("DynamoDB_20120810.{operation}"), &input.to_string())?;
    let told = serde_json::from_slice(&answer.body).unwrap_or_default();
    Ok((answer, told))
}

pub fn make_table(address: SocketAddr) -> Result<(), String> {
    let attributes = [("p", "S", "HASH"), ("c", "N", "RANGE")];
    let definition =
        |(name, kind, _): (&str, &str, &str)| json!({"AttributeName": name, "AttributeType": kind});
    let element =
        |(name, _, role): (&str, &str, &str)| json!({"AttributeName": name, "KeyType": role});
    let mut definitions = attributes.map(definition).to_vec();
    definitions.push(definition(("v", "N", "")));
    let create = json!({
        "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": definitions,
        "KeySchema": attributes.map(element),
        "GlobalSecondaryIndexes": [{
            "IndexName": "glo", "KeySchema": [element(("v", "N", "HASH"))],
            "Projection": {"ProjectionType": "ALL"},
        }],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    });
    let (answer, _) = call(&mut Client::of(address, "dynamodb"), "CreateTable", &create)?;
    if answer.status == 200 { Ok(()) } else { Err(format!("table: {}", answer.text())) }
}

impl Items {
    pub fn new() -> Items {
        Items { history: Mutex::default(), begun: Instant::now() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Reads all while nothing is under way, and holds the history against it.
    pub fn verify(&self, address: SocketAddr) -> Result<(), String> {
        let mut http = Client::of(address, "dynamodb");
        let mut last = BTreeMap::new();
        let (answer, told) = call(&mut http, "TransactGetItems", &gets(&mut (0..KEYS)))?;
        if answer.status != 200 {
            return Err(format!("TransactGetItems: {}", answer.text()));
        }
        for (number, version) in responses(0..KEYS, &told) {
            last.extend(version.map(|version| (number, version)));
        }
        let mut history = std::mem::take(&mut *self.history.lock());
        history.last.clone_from(&last);
        self.history.lock().initial.clone_from(&last);
        history.check().map_err(|wrong| format!("items: {wrong}"))
    }
}

/// TransactGetItems of these.
fn gets(numbers: &mut dyn Iterator<Item = u8>) -> Value {
    let get = |number| json!({"Get": {"TableName": TABLE, "Key": key(number)}});
    json!({"TransactItems": numbers.map(get).collect::<Vec<_>>()})
}

fn responses(numbers: impl Iterator<Item = u8>, told: &Value) -> Vec<(u8, Version)> {
    let items = told["Responses"].as_array().cloned().unwrap_or_default();
    numbers.zip(items).map(|(number, one)| (number, version(&one["Item"]))).collect()
}

/// One client.
pub struct One<'a> {
    items: &'a Items,
    chance: SeededEntropy,
    http: Client,
    /// What it saw last, for conditions.
    known: BTreeMap<u8, Version>,
}

impl<'a> One<'a> {
    pub fn new(items: &'a Items, chance: SeededEntropy, address: SocketAddr) -> One<'a> {
        let http = Client::of(address, "dynamodb");
        One { items, chance, http, known: BTreeMap::new() }
    }

    /// An error: no answer came.
    pub fn step(&mut self) -> Result<End, String> {
        let number = self.chance.below(u64::from(KEYS)) as u8;
        match self.chance.below(100) {
            0..20 => self.get(number),
            20..32 => self.get_some(number),
            32..42 => self.query(number),
            42..60 => self.overwrite(number),
            60..78 => self.replace(number),
            _ => self.transact(number),
        }
    }

    /// Sends it as an event. `read` says what a success showed and, if it was none, what that showed.
    fn event(
        &mut self,
        operation: &str,
        input: &Value,
        mut event: Event,
        done: impl FnOnce(&mut Event, &Value),
        refused: impl FnOnce(&mut Event, &Value) -> bool,
    ) -> Result<End, String> {
        event.start = self.items.now();
        let answered = call(&mut self.http, operation, input);
        let end = self.items.now();
        let (answer, told) = match answered {
            Ok(answered) => answered,
            Err(why) => {
                self.items.history.lock().events.push(event);
                return Err(why);
            }
        };
        let result = match answer.status {
            200 => {
                done(&mut event, &told);
                event.end = Some(end);
                if event.writes.is_empty() { End::Idle } else { End::Done }
            }
            500.. => End::Busy,
            _ => {
                event.writes.clear();
                event.end = Some(end);
                match refused(&mut event, &told) {
                    true => End::Idle,
                    false => End::Wrong(format!("{operation}: {}", answer.text())),
                }
            }
        };
        if event.end.is_some() {
            let written = event.writes.iter().map(|write| (write.key, Some(write.new)));
            self.known.extend(event.reads.iter().copied().chain(written));
        }
        self.items.history.lock().events.push(event);
        Ok(result)
    }

    fn get(&mut self, number: u8) -> Result<End, String> {
        let input = json!({"TableName": TABLE, "Key": key(number), "ConsistentRead": true});
        let read =
            |event: &mut Event, told: &Value| event.reads.push((number, version(&told["Item"])));
        self.event("GetItem", &input, Event::default(), read, |_, _| false)
    }

    fn get_some(&mut self, first: u8) -> Result<End, String> {
        let numbers = || (first..first + 3).map(|number| number % KEYS);
        let read = |event: &mut Event, told: &Value| event.reads = responses(numbers(), told);
        let input = gets(&mut numbers());
        self.event("TransactGetItems", &input, Event::default(), read, |_, _| false)
    }

    fn query(&mut self, number: u8) -> Result<End, String> {
        let first = number / (KEYS / 2) * (KEYS / 2);
        let input = json!({
            "TableName": TABLE, "KeyConditionExpression": "p = :p", "ConsistentRead": true,
            "ExpressionAttributeValues": {":p": key(number)["p"]},
        });
        let read = |event: &mut Event, told: &Value| {
            let items = told["Items"].as_array().cloned().unwrap_or_default();
            let found: BTreeMap<u8, Version> =
                items.iter().filter_map(|item| Some((number_of(item)?, version(item)))).collect();
            let all = first..first + KEYS / 2;
            event.reads = all.map(|n| (n, found.get(&n).copied().flatten())).collect();
        };
        self.event("Query", &input, Event::default(), read, |_, _| false)
    }

    fn value(&self) -> u64 {
        self.chance.next_u64() >> 12
    }

    /// Without a condition; the answer tells what was there.
    fn overwrite(&mut self, number: u8) -> Result<End, String> {
        let new = self.value();
        let value = json!({"N": new.to_string()});
        let (operation, input) = if self.chance.below(3) == 0 {
            let mut item = key(number);
            item["v"] = value;
            ("PutItem", json!({"TableName": TABLE, "Item": item, "ReturnValues": "ALL_OLD"}))
        } else {
            let input = json!({
                "TableName": TABLE, "Key": key(number), "UpdateExpression": "SET v = :v",
                "ExpressionAttributeValues": {":v": value}, "ReturnValues": "ALL_OLD",
            });
            ("UpdateItem", input)
        };
        let write = Write { key: number, new, old: None };
        let event = Event { writes: vec![write], ..Event::default() };
        let done = |event: &mut Event, told: &Value| {
            event.writes[0].old = Some(version(&told["Attributes"]));
        };
        self.event(operation, &input, event, done, |_, _| false)
    }

    /// Only if it is what this client saw last.
    fn replace(&mut self, number: u8) -> Result<End, String> {
        let old = self.known.get(&number).copied().flatten();
        let new = self.value();
        let mut input = json!({
            "TableName": TABLE, "Key": key(number), "UpdateExpression": "SET v = :v",
            "ExpressionAttributeValues": {":v": {"N": new.to_string()}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        });
        condition(&mut input, old);
        let write = Write { key: number, new, old: Some(old) };
        let event = Event { writes: vec![write], ..Event::default() };
        let refused = |event: &mut Event, told: &Value| {
            event.reads.push((number, version(&told["Item"])));
            is(told, "ConditionalCheckFailedException")
        };
        self.event("UpdateItem", &input, event, |_, _| {}, refused)
    }

    /// Two items changed if these and a third are what this client saw last.
    fn transact(&mut self, first: u8) -> Result<End, String> {
        let numbers: Vec<u8> = (first..first + 3).map(|number| number % KEYS).collect();
        let mut event = Event::default();
        let mut members = Vec::new();
        for (at, number) in numbers.iter().enumerate() {
            let old = self.known.get(number).copied().flatten();
            event.reads.push((*number, old));
            let mut member = json!({
                "TableName": TABLE, "Key": key(*number), "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            });
            let checks = at == 2;
            if !checks {
                let new = self.value();
                member["UpdateExpression"] = json!("SET v = :v");
                member["ExpressionAttributeValues"] = json!({":v": {"N": new.to_string()}});
                event.writes.push(Write { key: *number, new, old: Some(old) });
            }
            condition(&mut member, old);
            members.push(match checks {
                true => json!({"ConditionCheck": member}),
                false => json!({"Update": member}),
            });
        }
        let input = json!({"TransactItems": members});
        // What it expected, it read only if there was an answer.
        let expected = std::mem::take(&mut event.reads);
        let (good, bad) = (expected.clone(), expected);
        let refused = |event: &mut Event, told: &Value| {
            let reasons = told["CancellationReasons"].as_array().cloned().unwrap_or_default();
            for ((number, old), reason) in bad.into_iter().zip(&reasons) {
                event.reads.push(match reason["Code"].as_str() {
                    Some("None") => (number, old),
                    _ => (number, version(&reason["Item"])),
                });
            }
            is(told, "TransactionCanceledException") && reasons.len() == 3
        };
        self.event("TransactWriteItems", &input, event, |event, _| event.reads = good, refused)
    }
}

fn is(told: &Value, code: &str) -> bool {
    told["__type"].as_str().is_some_and(|kind| kind.ends_with(code))
}

fn condition(input: &mut Value, old: Version) {
    match old {
        Some(old) => {
            input["ConditionExpression"] = json!("v = :old");
            input["ExpressionAttributeValues"][":old"] = json!({"N": old.to_string()});
        }
        None => input["ConditionExpression"] = json!("attribute_not_exists(v)"),
    }
}
