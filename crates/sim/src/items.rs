//! Clients of DynamoDB: writes with and without conditions, transactions, reads of the table and its
//! indexes, indexes that come and go, items that expire, and a reader of the stream.
//!
//! A client alone writes the items of its partition, one request at a time, so that it can keep every
//! state in which they may be: an answer that never came adds one, whatever is seen takes away those
//! that it contradicts. When none is left, something is wrong.

use crate::client::{Client, Shared};
use crate::request::{Answer, Request};
use crate::table_stream;
use base::{Clock, Entropy};
use http::Method;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

pub const TABLE: &str = "items";
const KEYS: u64 = 6;
const INDEX: &str = "glo";
const LATE: &str = "late";
/// Clocks jump, and expiry is late by nature.
const SLACK_SECS: i64 = 900;
const STATES_MAX: usize = 4096;

/// Values by sort key. A value is a number of its own, from which the rest of its item follows.
type State = BTreeMap<u64, u64>;

#[derive(Clone, Copy, Debug)]
enum Check {
    Is(u64),
    Exists,
    Absent,
}

/// Changes that happen together if all conditions hold.
#[derive(Clone, Default, Debug)]
struct Deed {
    checks: Vec<(u64, Check)>,
    writes: Vec<(u64, Option<u64>)>,
}

impl Deed {
    fn holds(&self, state: &State) -> bool {
        self.checks.iter().all(|(key, check)| match check {
            Check::Is(value) => state.get(key) == Some(value),
            Check::Exists => state.contains_key(key),
            Check::Absent => !state.contains_key(key),
        })
    }

    fn applied(&self, mut state: State) -> State {
        for (key, value) in &self.writes {
            match value {
                Some(value) => state.insert(*key, *value),
                None => state.remove(key),
            };
        }
        state
    }
}

/// What one client knows of its items.
#[derive(Debug)]
pub struct Items {
    states: BTreeSet<State>,
    pending: Option<Deed>,
    /// When values expire, in seconds.
    ends: BTreeMap<u64, i64>,
    latest_secs: i64,
}

impl Default for Items {
    fn default() -> Items {
        let states = [State::new()].into();
        Items { states, pending: None, ends: BTreeMap::new(), latest_secs: 0 }
    }
}

impl Items {
    /// The answer to what was under way never came.
    pub fn unknown(&mut self) {
        if let Some(deed) = self.pending.take() {
            let done: Vec<State> = self.states.iter().filter(|s| deed.holds(s)).cloned().collect();
            self.states.extend(done.into_iter().map(|state| deed.applied(state)));
        }
    }

    /// Items whose time has come may be gone.
    fn pass_time(&mut self, now_secs: i64) {
        self.latest_secs = self.latest_secs.max(now_secs);
        let due = self.latest_secs + SLACK_SECS;
        let ends = &self.ends;
        for key in 0..KEYS {
            let expired = |state: &&State| {
                let end = state.get(&key).and_then(|value| ends.get(value));
                end.is_some_and(|end| *end <= due)
            };
            let without: Vec<State> = self.states.iter().filter(expired).cloned().collect();
            self.states.extend(without.into_iter().map(|mut state| {
                state.remove(&key);
                state
            }));
        }
    }

    /// Keeps the states that something which was seen allows.
    fn saw(&mut self, what: &str, fits: impl Fn(&State) -> bool) -> Result<(), String> {
        let before = std::mem::take(&mut self.states);
        self.states = before.iter().filter(|state| fits(state)).cloned().collect();
        match self.states.len() {
            0 => Err(format!("{what}, but what may be is {before:?}")),
            1..STATES_MAX => Ok(()),
            _ => Err("too many states to keep".to_owned()),
        }
    }
}

fn partition(number: usize) -> String {
    format!("c{number}")
}

fn group(number: usize, value: u64) -> String {
    format!("c{number}g{}", value % 3)
}

fn padding(value: u64) -> String {
    "x".repeat((value % 97) as usize * 9)
}

fn key(number: usize, key: u64) -> Value {
    json!({"p": {"S": partition(number)}, "c": {"N": key.to_string()}})
}

fn item(number: usize, at: u64, value: u64, end: Option<i64>) -> Value {
    let mut item = key(number, at);
    item["v"] = json!({"N": value.to_string()});
    item["g"] = json!({"S": group(number, value)});
    item["x"] = json!({"S": padding(value)});
    if let Some(end) = end {
        item["end"] = json!({"N": end.to_string()});
    }
    item
}

/// Sort key and value of an item, which must be as its value makes it.
fn read_item(number: usize, item: &Value) -> Result<(u64, u64), String> {
    let whole = |name: &str| item[name]["N"].as_str().and_then(|text| text.parse().ok());
    let (Some(at), Some(value)) = (whole("c"), whole("v")) else {
        return Err(format!("no item of ours: {item}"));
    };
    let good = item["p"]["S"] == partition(number).as_str()
        && item["g"]["S"] == group(number, value).as_str()
        && item["x"]["S"] == padding(value).as_str();
    if good { Ok((at, value)) } else { Err(format!("an item that nobody wrote: {item}")) }
}

/// Sends an operation; gives the answer, and its error's code if it is one.
pub async fn call(
    shared: &Shared<'_>,
    target: &str,
    input: &Value,
) -> Result<(Answer, Value, String), String> {
    let headers = vec![
        ("content-type", "application/x-amz-json-1.0".to_owned()),
        ("x-amz-target", target.to_owned()),
    ];
    loop {
        let (headers, body) = (headers.clone(), input.to_string().into());
        let request =
            Request { service: "dynamodb", headers, body, ..Request::new(Method::POST, "/") };
        let answer = shared.send(request).await?;
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = told["__type"].as_str().and_then(|t| t.rsplit('#').next()).unwrap_or_default();
        // A night went by on the way: once more, signed by the clock as it is now.
        if code != "InvalidSignatureException" {
            let code = code.to_owned();
            return Ok((answer, told, code));
        }
    }
}

async fn table(
    shared: &Shared<'_>,
    operation: &str,
    mut input: Value,
) -> Result<(Answer, Value, String), String> {
    if input.get("TransactItems").is_none() {
        input["TableName"] = json!(TABLE);
    }
    call(shared, &format!("DynamoDB_20120810.{operation}"), &input).await
}

pub async fn make_table(shared: &Shared<'_>) -> Result<(), String> {
    let attribute = |name: &str, kind: &str| json!({"AttributeName": name, "AttributeType": kind});
    let element = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let create = json!({
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions":
            [attribute("p", "S"), attribute("c", "N"), attribute("g", "S"), attribute("v", "N")],
        "KeySchema": [element("p", "HASH"), element("c", "RANGE")],
        "GlobalSecondaryIndexes": [{
            "IndexName": INDEX, "KeySchema": [element("g", "HASH"), element("v", "RANGE")],
            "Projection": {"ProjectionType": "ALL"},
        }],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    });
    let expiry = json!({"TimeToLiveSpecification": {"AttributeName": "end", "Enabled": true}});
    for (operation, input) in [("CreateTable", create), ("UpdateTimeToLive", expiry)] {
        let (answer, told, _) = table(shared, operation, input).await?;
        if !answer.status.is_success() {
            return Err(format!("{operation}: {told}"));
        }
    }
    Ok(())
}

pub async fn step(shared: &Shared<'_>, client: &RefCell<Client>) -> Result<(), String> {
    let dice = shared.dice;
    let at = dice.below(KEYS);
    match dice.below(100) {
        0..=49 => write(shared, client, at).await,
        50..=66 => transact(shared, client).await,
        67..=74 => get(shared, client, at).await,
        75..=80 => query(shared, client).await,
        81..=89 => {
            let index = if dice.below(2) == 0 { INDEX } else { LATE };
            query_index(shared, client, index, dice.below(3)).await
        }
        90..=92 => change_index(shared).await,
        93..=95 => count(shared).await,
        _ if client.borrow().number == 0 => table_stream::read(shared).await,
        _ => query(shared, client).await,
    }
}

/// A value that never was, and when it expires.
fn new_value(shared: &Shared<'_>, client: &RefCell<Client>) -> (u64, Option<i64>) {
    let dice = shared.dice;
    let value = dice.next_u64() >> 16;
    let hours = 1 + dice.below(40) as i64;
    let end = value.is_multiple_of(5).then(|| shared.clock.now().to_secs() + 3600 * hours);
    if let Some(end) = end {
        client.borrow_mut().items.ends.insert(value, end);
    }
    (value, end)
}

/// What the client thinks is there, as one who guesses well would.
fn guess(client: &RefCell<Client>, at: u64) -> Option<u64> {
    client.borrow().items.states.first().and_then(|state| state.get(&at).copied())
}

/// PutItem, UpdateItem or DeleteItem, mostly with a condition.
async fn write(shared: &Shared<'_>, client: &RefCell<Client>, at: u64) -> Result<(), String> {
    let number = client.borrow().number;
    let dice = shared.dice;
    let mut deed = Deed::default();
    let mut values = json!({});
    let condition = match (dice.below(4), guess(client, at)) {
        (0, _) => None,
        (1, _) => {
            deed.checks.push((at, Check::Absent));
            Some("attribute_not_exists(p)")
        }
        (_, Some(old)) => {
            // A wrong guess now and then.
            let old = if dice.below(8) == 0 { old + 1 } else { old };
            deed.checks.push((at, Check::Is(old)));
            values[":old"] = json!({"N": old.to_string()});
            Some("v = :old")
        }
        (_, None) => {
            deed.checks.push((at, Check::Exists));
            Some("attribute_exists(p)")
        }
    };
    let mut input = json!({});
    let operation = match dice.below(10) {
        0..=1 => {
            deed.writes.push((at, None));
            input["Key"] = key(number, at);
            "DeleteItem"
        }
        2..=5 => {
            let (value, end) = new_value(shared, client);
            deed.writes.push((at, Some(value)));
            input["Item"] = item(number, at, value, end);
            "PutItem"
        }
        _ => {
            let (value, end) = new_value(shared, client);
            deed.writes.push((at, Some(value)));
            let new = item(number, at, value, end);
            for name in ["v", "g", "x"] {
                values[format!(":{name}")] = new[name].clone();
            }
            let expression = match end {
                Some(_) => "SET v = :v, g = :g, x = :x, #e = :end",
                None => "SET v = :v, g = :g, x = :x REMOVE #e",
            };
            if end.is_some() {
                values[":end"] = new["end"].clone();
            }
            input["Key"] = key(number, at);
            input["UpdateExpression"] = json!(expression);
            input["ExpressionAttributeNames"] = json!({"#e": "end"});
            "UpdateItem"
        }
    };
    if let Some(condition) = condition {
        input["ConditionExpression"] = json!(condition);
    }
    if values.as_object().is_some_and(|values| !values.is_empty()) {
        input["ExpressionAttributeValues"] = values;
    }
    change(shared, client, deed, operation, input).await
}

/// Two or three items at once, one of which may be only looked at.
async fn transact(shared: &Shared<'_>, client: &RefCell<Client>) -> Result<(), String> {
    let number = client.borrow().number;
    let dice = shared.dice;
    let first = dice.below(KEYS);
    let mut deed = Deed::default();
    let mut members = Vec::new();
    for at in [first, (first + 1) % KEYS] {
        let (value, end) = new_value(shared, client);
        if dice.below(5) == 0 {
            deed.writes.push((at, None));
            members.push(json!({"Delete": {"TableName": TABLE, "Key": key(number, at)}}));
        } else {
            deed.writes.push((at, Some(value)));
            let item = item(number, at, value, end);
            members.push(json!({"Put": {"TableName": TABLE, "Item": item}}));
        }
    }
    if dice.below(3) > 0 {
        let at = (first + 2) % KEYS;
        let mut check = json!({"TableName": TABLE, "Key": key(number, at)});
        match guess(client, at) {
            Some(value) => {
                deed.checks.push((at, Check::Is(value)));
                check["ConditionExpression"] = json!("v = :v");
                check["ExpressionAttributeValues"] = json!({":v": {"N": value.to_string()}});
            }
            None => {
                deed.checks.push((at, Check::Absent));
                check["ConditionExpression"] = json!("attribute_not_exists(p)");
            }
        }
        members.push(json!({"ConditionCheck": check}));
    }
    change(shared, client, deed, "TransactWriteItems", json!({"TransactItems": members})).await
}

async fn change(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    deed: Deed,
    operation: &str,
    input: Value,
) -> Result<(), String> {
    client.borrow_mut().items.pending = Some(deed.clone());
    let (answer, told, code) = table(shared, operation, input).await?;
    let items = &mut client.borrow_mut().items;
    items.pass_time(shared.clock.now().to_secs());
    items.pending = None;
    match code.as_str() {
        _ if answer.status.is_success() => {
            items.saw(&format!("{operation} did {deed:?}"), |state| deed.holds(state))?;
            let before = std::mem::take(&mut items.states);
            items.states = before.into_iter().map(|state| deed.applied(state)).collect();
            let values = deed.writes.iter().filter_map(|(_, value)| *value);
            shared.reader.borrow_mut().acknowledged(values);
            Ok(())
        }
        "ConditionalCheckFailedException" | "TransactionCanceledException" => {
            items.saw(&format!("{operation} refused {deed:?}"), |state| !deed.holds(state))
        }
        _ if shared.troubled.get() => {
            items.pending = Some(deed);
            items.unknown();
            Ok(())
        }
        _ => Err(format!("{operation}: {told}")),
    }
}

async fn get(shared: &Shared<'_>, client: &RefCell<Client>, at: u64) -> Result<(), String> {
    let number = client.borrow().number;
    let input = json!({"Key": key(number, at), "ConsistentRead": true});
    let (answer, told, _) = table(shared, "GetItem", input).await?;
    if !answer.status.is_success() {
        return Ok(());
    }
    let seen = match told.get("Item") {
        Some(item) => Some(read_item(number, item)?.1),
        None => None,
    };
    let items = &mut client.borrow_mut().items;
    items.pass_time(shared.clock.now().to_secs());
    items.saw(&format!("item {at} is {seen:?}"), |state| state.get(&at).copied() == seen)
}

/// The items of an answer.
fn read_items(number: usize, told: &Value) -> Result<State, String> {
    let all = told["Items"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|item| read_item(number, item)).collect()
}

/// The whole partition.
pub async fn query(shared: &Shared<'_>, client: &RefCell<Client>) -> Result<(), String> {
    let number = client.borrow().number;
    let input = json!({
        "KeyConditionExpression": "p = :p", "ConsistentRead": true,
        "ExpressionAttributeValues": {":p": {"S": partition(number)}},
    });
    let (answer, told, _) = table(shared, "Query", input).await?;
    if !answer.status.is_success() {
        return Ok(());
    }
    let seen = read_items(number, &told)?;
    let items = &mut client.borrow_mut().items;
    items.pass_time(shared.clock.now().to_secs());
    items.saw(&format!("the partition is {seen:?}"), |state| *state == seen)
}

/// Those of one group, by an index.
async fn query_index(
    shared: &Shared<'_>,
    client: &RefCell<Client>,
    index: &str,
    group_number: u64,
) -> Result<(), String> {
    let number = client.borrow().number;
    let input = json!({
        "IndexName": index, "KeyConditionExpression": "g = :g",
        "ExpressionAttributeValues": {":g": {"S": group(number, group_number)}},
    });
    let (answer, told, code) = table(shared, "Query", input).await?;
    if !answer.status.is_success() {
        let absent = index == LATE && code == "ValidationException";
        let fine = absent || shared.troubled.get();
        return if fine { Ok(()) } else { Err(format!("query of {index}: {told}")) };
    }
    let seen = read_items(number, &told)?;
    let items = &mut client.borrow_mut().items;
    items.pass_time(shared.clock.now().to_secs());
    items.saw(&format!("{index} has {seen:?} in group {group_number}"), |state| {
        let own = state.iter().filter(|(_, value)| **value % 3 == group_number);
        own.eq(seen.iter())
    })
}

/// An index more, or one less; whoever comes too early is refused.
async fn change_index(shared: &Shared<'_>) -> Result<(), String> {
    let update = if shared.dice.below(3) > 0 {
        json!({
            "AttributeDefinitions": [
                {"AttributeName": "g", "AttributeType": "S"},
                {"AttributeName": "v", "AttributeType": "N"},
            ],
            "GlobalSecondaryIndexUpdates": [{"Create": {
                "IndexName": LATE, "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [
                    {"AttributeName": "g", "KeyType": "HASH"},
                    {"AttributeName": "v", "KeyType": "RANGE"},
                ],
            }}],
        })
    } else {
        json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": LATE}}]})
    };
    let (answer, told, code) = table(shared, "UpdateTable", update).await?;
    let refused = ["ValidationException", "ResourceInUseException", "ResourceNotFoundException"];
    let fine =
        answer.status.is_success() || refused.contains(&code.as_str()) || shared.troubled.get();
    if fine { Ok(()) } else { Err(format!("UpdateTable: {told}")) }
}

/// What all clients add to: each value of it is seen once.
#[derive(Debug, Default)]
pub struct Counter {
    tried: u64,
    told: BTreeSet<u64>,
}

async fn count(shared: &Shared<'_>) -> Result<(), String> {
    shared.counter.borrow_mut().tried += 1;
    let input = json!({
        "Key": {"p": {"S": "shared"}, "c": {"N": "0"}}, "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}}, "ReturnValues": "UPDATED_NEW",
    });
    let (answer, told, _) = table(shared, "UpdateItem", input).await?;
    if !answer.status.is_success() {
        return Ok(());
    }
    let text = told["Attributes"]["n"]["N"].as_str().unwrap_or_default();
    let value: u64 = text.parse().map_err(|_| format!("a counter of {told}"))?;
    match shared.counter.borrow_mut().told.insert(value) {
        true => Ok(()),
        false => Err(format!("the counter was {value} twice")),
    }
}

async fn verify_counter(shared: &Shared<'_>) -> Result<(), String> {
    let input = json!({"Key": {"p": {"S": "shared"}, "c": {"N": "0"}}, "ConsistentRead": true});
    let (answer, told, _) = table(shared, "GetItem", input).await?;
    if !answer.status.is_success() {
        return Ok(());
    }
    let text = told["Item"]["n"]["N"].as_str().unwrap_or("0");
    let value: u64 = text.parse().map_err(|_| format!("a counter of {told}"))?;
    let counter = shared.counter.borrow();
    let least = counter.told.len() as u64;
    let latest = counter.told.last().copied().unwrap_or(0);
    match value <= counter.tried && value >= least && value >= latest {
        true => Ok(()),
        false => Err(format!("the counter is {value}; {least} were told, {latest} the last")),
    }
}

/// After a crash: all that is known, and what the stream tells.
pub async fn verify(shared: &Shared<'_>, clients: &[RefCell<Client>]) -> Result<(), String> {
    for client in clients {
        query(shared, client).await?;
        for group_number in 0..3 {
            query_index(shared, client, INDEX, group_number).await?;
            query_index(shared, client, LATE, group_number).await?;
        }
    }
    verify_counter(shared).await?;
    table_stream::read(shared).await
}

/// Before days go by: the stream has told all that was acknowledged, and ends with what there is.
pub async fn verify_stream(shared: &Shared<'_>, clients: &[RefCell<Client>]) -> Result<(), String> {
    for _ in 0..5 {
        table_stream::read(shared).await?;
    }
    loop {
        let before = all(shared, clients).await?;
        table_stream::read(shared).await?;
        // Items may expire while the stream is read.
        if all(shared, clients).await? == before {
            return shared.reader.borrow().check_end(&before);
        }
    }
}

/// The values that are there now.
async fn all(
    shared: &Shared<'_>,
    clients: &[RefCell<Client>],
) -> Result<BTreeMap<String, u64>, String> {
    let mut now = BTreeMap::new();
    for client in clients {
        query(shared, client).await?;
        let client = client.borrow();
        for (at, value) in client.items.states.first().into_iter().flatten() {
            now.insert(format!("{}/{at}", partition(client.number)), *value);
        }
    }
    Ok(now)
}

/// All items of the table or an index that have a group, by their keys.
async fn scan(shared: &Shared<'_>, index: Option<&str>) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    let mut start = Value::Null;
    loop {
        let mut input = json!({"Limit": 7});
        if let Some(index) = index {
            input["IndexName"] = json!(index);
        }
        if !start.is_null() {
            input["ExclusiveStartKey"] = start;
        }
        let (answer, mut told, _) = table(shared, "Scan", input).await?;
        if !answer.status.is_success() {
            return Err(format!("scan: {told}"));
        }
        let items = told["Items"].as_array().cloned().unwrap_or_default();
        found.extend(items.iter().filter(|i| i.get("g").is_some()).map(Value::to_string));
        start = told["LastEvaluatedKey"].take();
        if start.is_null() {
            return Ok(found);
        }
    }
}

/// When days have gone by: indexes are what the table is, what is due is gone, records too.
pub async fn verify_rest(shared: &Shared<'_>, clients: &[RefCell<Client>]) -> Result<(), String> {
    let (_, told, _) = table(shared, "DescribeTable", json!({})).await?;
    let described = &told["Table"];
    let indexes = described["GlobalSecondaryIndexes"].as_array().cloned().unwrap_or_default();
    let settled = described["TableStatus"] == "ACTIVE"
        && indexes.iter().all(|index| index["IndexStatus"] == "ACTIVE");
    if !settled {
        return Err(format!("something is still under way: {described}"));
    }
    let whole = scan(shared, None).await?;
    for index in &indexes {
        let name = index["IndexName"].as_str();
        let entries = scan(shared, name).await?;
        if entries != whole {
            return Err(format!("{name:?} has {entries:?}, the table {whole:?}"));
        }
    }
    if let Some(overdue) = whole.iter().find(|item| item.contains("\"end\"")) {
        return Err(format!("this should have expired: {overdue}"));
    }
    for client in clients {
        query(shared, client).await?;
    }
    table_stream::verify_rest(shared).await
}
