//! The reader of the table's stream: it must tell exactly the changes that were committed, in their
//! order, each one beginning where the last of its item ended.

use crate::client::Shared;
use crate::items::{TABLE, call};
use base::{Clock, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Records are kept for a day; who comes later misses some.
const MISSED_MS: i64 = 23 * 3_600_000;

/// What the stream has told. It outlives the cloud's crashes.
#[derive(Debug, Default)]
pub struct Reader {
    stream: String,
    shard: String,
    last: Option<String>,
    read: Option<Timestamp>,
    /// By key, what the last record of it left.
    chain: BTreeMap<String, Option<u64>>,
    /// Values that were acknowledged and not told yet.
    awaited: BTreeSet<u64>,
    told: BTreeSet<u64>,
    /// Whether records went by age before they were read: keys that were never told are unknown.
    missed: bool,
}

impl Reader {
    pub fn acknowledged(&mut self, values: impl Iterator<Item = u64>) {
        self.awaited.extend(values.filter(|value| !self.told.contains(value)));
    }

    /// Records may have gone by age. Reading goes on where it stopped: who began anew at the oldest
    /// would be told some again.
    fn miss(&mut self) {
        self.missed = true;
        self.chain.clear();
        self.awaited.clear();
    }

    fn take(&mut self, record: &Value) -> Result<(), String> {
        let change = &record["dynamodb"];
        let number = change["SequenceNumber"].as_str().unwrap_or_default().to_owned();
        if self.last.as_ref().is_some_and(|last| *last >= number) {
            return Err(format!("record {number} after {:?}", self.last));
        }
        self.last = Some(number);
        let text = |name: &str, kind: &str| change["Keys"][name][kind].as_str().unwrap_or_default();
        let key = format!("{}/{}", text("p", "S"), text("c", "N"));
        if key == "shared/0" {
            return Ok(());
        }
        let value = |image: &str| {
            let text = change[image]["v"]["N"].as_str()?;
            text.parse::<u64>().ok()
        };
        let (old, new) = (value("OldImage"), value("NewImage"));
        let expected = match (old, new) {
            (None, Some(_)) => "INSERT",
            (Some(_), Some(_)) => "MODIFY",
            _ => "REMOVE",
        };
        if record["eventName"] != expected {
            return Err(format!("a record that makes no sense: {record}"));
        }
        if let Some(before) = self.chain.insert(key.clone(), new)
            && before != old
        {
            return Err(format!("{key} was {before:?} and becomes {new:?} from {old:?}"));
        }
        if let Some(new) = new {
            self.awaited.remove(&new);
            if !self.told.insert(new) {
                return Err(format!("{new} was told twice"));
            }
        }
        Ok(())
    }

    /// Holds it against what there is now.
    pub fn check_end(&self, now: &BTreeMap<String, u64>) -> Result<(), String> {
        if !self.awaited.is_empty() {
            return Err(format!("the stream never told of {:?}", self.awaited));
        }
        for (key, value) in &self.chain {
            // What is gone may have expired a moment ago.
            if let Some(found) = now.get(key)
                && *value != Some(*found)
            {
                return Err(format!("{key} is {found}, the stream ends with {value:?}"));
            }
        }
        let untold = now.keys().find(|key| !self.chain.contains_key(*key));
        match untold {
            Some(key) if !self.missed => Err(format!("the stream never told of {key}")),
            _ => Ok(()),
        }
    }
}

/// An operation on the stream; nothing if it was refused in troubled times.
async fn ask(
    shared: &Shared<'_>,
    service: &str,
    operation: &str,
    input: Value,
) -> Result<Option<Value>, String> {
    let (answer, told, code) =
        call(shared, &format!("{service}_20120810.{operation}"), &input).await?;
    match answer.status.is_success() {
        true => Ok(Some(told)),
        false if code == "TrimmedDataAccessException" => {
            // The last that was told is gone, and all before it with it.
            let mut reader = shared.reader.borrow_mut();
            reader.miss();
            reader.last = None;
            Ok(None)
        }
        false if shared.troubled.get() || code == "ExpiredIteratorException" => Ok(None),
        false => Err(format!("{operation}: {told}")),
    }
}

fn text(told: &Value, name: &str) -> String {
    told[name].as_str().unwrap_or_default().to_owned()
}

async fn find(shared: &Shared<'_>) -> Result<bool, String> {
    if !shared.reader.borrow().shard.is_empty() {
        return Ok(true);
    }
    let table = ask(shared, "DynamoDB", "DescribeTable", json!({"TableName": TABLE})).await?;
    let Some(table) = table else { return Ok(false) };
    let stream = text(&table["Table"], "LatestStreamArn");
    let began =
        Timestamp::parse_iso8601(&format!("{}Z", text(&table["Table"], "LatestStreamLabel")));
    let input = json!({"StreamArn": stream});
    let Some(told) = ask(shared, "DynamoDBStreams", "DescribeStream", input).await? else {
        return Ok(false);
    };
    let mut reader = shared.reader.borrow_mut();
    reader.shard = text(&told["StreamDescription"]["Shards"][0], "ShardId");
    reader.stream = stream;
    // What was written before the first look may be gone by then.
    reader.read = Some(began.map_err(|_| "the stream's label is no time".to_owned())?);
    Ok(true)
}

/// Records from where reading stopped, or from the oldest.
async fn page(shared: &Shared<'_>, limit: u64) -> Result<Option<Vec<Value>>, String> {
    let input = {
        let reader = shared.reader.borrow();
        let mut input = json!({
            "StreamArn": reader.stream, "ShardId": reader.shard, "ShardIteratorType": "TRIM_HORIZON",
        });
        if let Some(last) = &reader.last {
            input["ShardIteratorType"] = json!("AFTER_SEQUENCE_NUMBER");
            input["SequenceNumber"] = json!(last);
        }
        input
    };
    let told = ask(shared, "DynamoDBStreams", "GetShardIterator", input).await?;
    let Some(told) = told else { return Ok(None) };
    let input = json!({"ShardIterator": told["ShardIterator"], "Limit": limit});
    let told = ask(shared, "DynamoDBStreams", "GetRecords", input).await?;
    Ok(told.map(|told| told["Records"].as_array().cloned().unwrap_or_default()))
}

/// Reads what there is.
pub async fn read(shared: &Shared<'_>) -> Result<(), String> {
    if !find(shared).await? {
        return Ok(());
    }
    loop {
        let now = shared.clock.now();
        let Some(records) = page(shared, 40).await? else { return Ok(()) };
        let mut reader = shared.reader.borrow_mut();
        // Nights may have gone by before this page was asked for and while it was: what it tells may
        // begin later than what was told before ended.
        let read = *reader.read.get_or_insert(now);
        if shared.clock.now().millis_since(read) > MISSED_MS {
            reader.miss();
        }
        for record in &records {
            reader.take(record)?;
        }
        if records.is_empty() {
            reader.read = Some(now);
            return Ok(());
        }
    }
}

/// At the end no record is left.
pub async fn verify_rest(shared: &Shared<'_>) -> Result<(), String> {
    shared.reader.borrow_mut().last = None;
    match page(shared, 10).await? {
        Some(records) if !records.is_empty() => {
            Err(format!("records that should be gone: {records:?}"))
        }
        _ => Ok(()),
    }
}
