//! DynamoDB Streams. A stream has one shard, and in it a record for each change of an item, numbered by
//! the commit that made the change: so the order of records is the order of changes, and none is
//! missing or there too often.

use crate::error::invalid;
use crate::jobs::{RETENTION_MS, trim_later};
use crate::names::{TableName, arn, split_arn};
use crate::policies::of_caller;
use crate::rows::{Event, RECORDS, RecordRow, STREAMS, StreamRow, TableRow, ViewType};
use crate::table::named_policy;
use crate::write::first_sequence;
use api::{Ask, Cx, Error, Grants, Hooks, Tx};
use base::{AccountId, Region, Timestamp, hex};
use gen_dynamodbstreams::errors as e;
use gen_dynamodbstreams::*;
use item::{Item, Map, item_size};
use store::Scope;

const RECORDS_MAX: i32 = 1000;
const PAGE_BYTES_MAX: usize = 1024 * 1024;
const STREAMS_MAX: i32 = 100;
const ITERATOR_MS: i64 = 15 * 60 * 1000;

/// Begins a stream of a table that has a number.
pub(crate) fn begin(tx: &mut Tx, row: &mut TableRow, view: ViewType) -> Result<(), Error> {
    let scope = Scope::AccountRegion(row.account, row.region.clone());
    let mut at = tx.now();
    let label = loop {
        let label = at.iso8601_millis().trim_end_matches('Z').to_owned();
        if !tx.exists(&STREAMS, &scope, &(row.name.as_str(), label.as_str()))? {
            break label;
        }
        at = at.plus_millis(1);
    };
    // Unique as long as one commit makes no more than 256 tables.
    let number = (tx.version() + 1) << 8 | (row.number & 0xff);
    let stream = StreamRow {
        number,
        view,
        created: tx.now(),
        ended: None,
        hash: row.hash.clone(),
        range: row.range.clone(),
        first: first_sequence(tx),
        last: None,
        policy: None,
        policy_revision: String::new(),
        policy_ids: Default::default(),
        trimmed: 0,
    };
    tx.put(&STREAMS, &scope, &(row.name.as_str(), label.as_str()), &stream)?;
    row.stream_label = Some(label);
    row.stream_number = number;
    trim_later(tx, row, number)
}

/// Ends the stream of a table; it can be read for another day.
pub(crate) fn end(tx: &mut Tx, row: &TableRow) -> Result<(), Error> {
    let scope = Scope::AccountRegion(row.account, row.region.clone());
    let Some(label) = &row.stream_label else { return Ok(()) };
    let key = (row.name.as_str(), label.as_str());
    let Some(mut stream) = tx.get(&STREAMS, &scope, &key)? else { return Ok(()) };
    stream.ended = Some(tx.now());
    stream.last = Some(first_sequence(tx) - 1);
    tx.put(&STREAMS, &scope, &key, &stream)?;
    Ok(())
}

/// As clients see it: at least 21 digits.
fn sequence_text(number: u64) -> String {
    format!("{number:021}")
}

/// The service.
#[derive(Clone, Copy, Default, Debug)]
pub struct Streams;

/// A stream by its ARN.
pub(crate) struct Named {
    table: TableName,
    label: String,
}

impl Named {
    pub fn parse(text: &str) -> Result<Named, Error> {
        let bad =
            || invalid(format!("Invalid StreamArn: Invalid ResourceArn provided as input {text}"));
        let (table, sub) = split_arn(text).ok_or_else(bad)?;
        let label = sub.strip_prefix("stream/").ok_or_else(bad)?.to_owned();
        Ok(Named { table, label })
    }

    /// One of the region that was asked.
    pub fn here(cx: &Cx, text: &str) -> Result<Named, Error> {
        let named = Named::parse(text)?;
        match named.table.is_here(cx) {
            true => Ok(named),
            false => Err(invalid(format!(
                "Invalid StreamArn: Invalid ResourceArn provided as input {text}"
            ))),
        }
    }

    fn arn(&self) -> String {
        format!("{}/stream/{}", self.table.arn(), self.label)
    }

    fn row(&self, tx: &Tx) -> Result<Option<StreamRow>, Error> {
        let key = (self.table.name.as_str(), self.label.as_str());
        Ok(tx.get(&STREAMS, &self.table.scope(), &key)?)
    }

    pub fn save(&self, tx: &mut Tx, row: &StreamRow) -> Result<(), Error> {
        let key = (self.table.name.as_str(), self.label.as_str());
        Ok(tx.put(&STREAMS, &self.table.scope(), &key, row)?)
    }

    pub fn find(&self, tx: &Tx) -> Result<StreamRow, Error> {
        self.row(tx)?.ok_or_else(|| {
            let text = format!("Requested resource not found: Stream: {} not found", self.arn());
            Error::new(&e::RESOURCE_NOT_FOUND_EXCEPTION, text)
        })
    }
}

/// `shardId-` with 20 digits and 8 letters, as the original's.
pub(crate) fn shard_id(stream: &StreamRow) -> String {
    let sum = (stream.number as u32).wrapping_mul(0x9e37_79b1);
    format!("shardId-{:020}-{}", stream.created.to_millis(), hex::encode(&sum.to_be_bytes()))
}

fn no_shard(text: &str) -> Error {
    let text = format!("Requested resource not found: Shard does not exist: {text}");
    Error::new(&e::RESOURCE_NOT_FOUND_EXCEPTION, text)
}

/// Where reading goes on.
struct Place {
    stream: Named,
    next: u64,
    made: Timestamp,
}

const TOKEN: &str = "dynamodbstreams:iterator";

impl Place {
    fn seal(&self, cx: &Cx) -> String {
        let place = format!("{} {} {}", self.made.to_millis(), self.next, self.stream.arn());
        cx.door.seal_token(TOKEN, &place)
    }

    fn open(cx: &Cx, token: &str) -> Option<Place> {
        let place = cx.door.open_token(TOKEN, token)?;
        let mut parts = place.splitn(3, ' ');
        let made = Timestamp::from_millis(parts.next()?.parse().ok()?);
        let next = parts.next()?.parse().ok()?;
        let stream = Named::parse(parts.next()?).ok()?;
        Some(Place { stream, next, made })
    }
}

/// An iterator at the beginning of a stream.
pub(crate) fn first_iterator(cx: &Cx, arn: &str) -> Option<String> {
    Some(Place { stream: Named::parse(arn).ok()?, next: 0, made: cx.now() }.seal(cx))
}

fn bad_iterator() -> Error {
    invalid("Invalid ShardIterator")
}

fn ask(cx: &Cx, resource: String) -> Result<Vec<Ask>, Error> {
    Ok(vec![Ask::new(format!("dynamodb:{}", cx.operation.name), resource)])
}

/// Who owns a stream, and what its own policy says.
pub(crate) fn grants(tx: &Tx, cx: &Cx, resource: &str) -> Result<Grants, Error> {
    let owner = resource.split(':').nth(4).and_then(AccountId::parse);
    let mut grants = Grants { owner, ..Grants::default() };
    if let Ok(named) = Named::parse(resource)
        && let Some(row) = named.row(tx)?
    {
        let text = row.policy.as_ref();
        grants.policy = of_caller(cx, text, &row.policy_ids, || {
            text.map(|text| named_policy(text)).transpose()
        })?;
    }
    Ok(grants)
}

impl Hooks for Streams {
    fn grants(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<Grants, Error> {
        grants(tx, cx, &ask.resource)
    }

    fn door_rules(&self) -> api::DoorRules {
        crate::ask::DOOR
    }
}

impl DynamoDBStreamsApi for Streams {
    fn authorize_describe_stream(
        &self,
        cx: &Cx,
        input: &DescribeStreamInput,
    ) -> Result<Vec<Ask>, Error> {
        ask(cx, Named::here(cx, &input.stream_arn)?.arn())
    }

    fn authorize_get_shard_iterator(
        &self,
        cx: &Cx,
        input: &GetShardIteratorInput,
    ) -> Result<Vec<Ask>, Error> {
        ask(cx, Named::here(cx, &input.stream_arn)?.arn())
    }

    fn authorize_get_records(&self, cx: &Cx, input: &GetRecordsInput) -> Result<Vec<Ask>, Error> {
        let place = Place::open(cx, &input.shard_iterator).ok_or_else(bad_iterator)?;
        ask(cx, place.stream.arn())
    }

    fn authorize_list_streams(&self, cx: &Cx, input: &ListStreamsInput) -> Result<Vec<Ask>, Error> {
        let name = input.table_name.as_deref().unwrap_or("*");
        ask(cx, format!("{}/stream/*", arn(cx.account, &cx.region, name)))
    }

    fn list_streams(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &ListStreamsInput,
    ) -> Result<ListStreamsOutput, Error> {
        let scope = Scope::AccountRegion(cx.account, cx.region.clone());
        let limit = input.limit.unwrap_or(STREAMS_MAX);
        if limit > STREAMS_MAX {
            return Err(invalid(format!(
                "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value less than or equal to {STREAMS_MAX}"
            )));
        }
        let limit = limit as usize;
        let mut scan = tx.scan(&STREAMS, &scope);
        let name = match &input.table_name {
            Some(name) => Some(TableName::parse(cx, name)?.name),
            None => None,
        };
        if let Some(name) = &name {
            scan = scan.prefix(&(name.as_str(),));
        }
        if let Some(start) = &input.exclusive_start_stream_arn {
            let start = Named::here(cx, start)?;
            scan = scan.after(&(start.table.name.as_str(), start.label.as_str()));
        }
        let mut keys: Vec<(String, String)> =
            scan.keys().take(limit + 1).collect::<Result<_, _>>()?;
        let more = keys.len() > limit;
        keys.truncate(limit);
        let of = |(table, label): &(String, String)| {
            format!("{}/stream/{label}", arn(cx.account, &cx.region, table))
        };
        let last = keys.last().filter(|_| more).map(of);
        let stream = |key: &(String, String)| Stream {
            stream_arn: Some(of(key)),
            table_name: Some(key.0.clone()),
            stream_label: Some(key.1.clone()),
        };
        Ok(ListStreamsOutput {
            streams: Some(keys.iter().map(stream).collect()),
            last_evaluated_stream_arn: last,
        })
    }

    fn describe_stream(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &DescribeStreamInput,
    ) -> Result<DescribeStreamOutput, Error> {
        let named = Named::here(cx, &input.stream_arn)?;
        let stream = named.find(tx)?;
        let id = shard_id(&stream);
        let element = |name: &String, kind: &str| KeySchemaElement {
            attribute_name: name.clone(),
            key_type: kind.to_owned(),
        };
        let range = stream.range.as_ref().map(|name| element(name, "RANGE"));
        let mut shards = vec![Shard {
            shard_id: Some(id.clone()),
            sequence_number_range: Some(SequenceNumberRange {
                starting_sequence_number: Some(sequence_text(stream.first)),
                ending_sequence_number: stream.last.map(sequence_text),
            }),
            parent_shard_id: None,
        }];
        if let Some(filter) = &input.shard_filter {
            // The only kind that there is: children of a shard, and this one has none.
            if filter.r#type.is_none() {
                return Err(invalid(
                    "1 validation error detected: Value null at 'shardFilter.type' failed to satisfy constraint: Member must not be null",
                ));
            }
            let wanted = filter.shard_id.as_ref().ok_or_else(|| {
                invalid("1 validation error detected: Value null at 'shardFilter.shardId' failed to satisfy constraint: Member must not be null")
            })?;
            if *wanted != id {
                return Err(no_shard(wanted));
            }
            shards.clear();
        }
        if input.exclusive_start_shard_id.as_ref().is_some_and(|start| *start >= id) {
            shards.clear();
        }
        let status = if stream.ended.is_some() { "DISABLED" } else { "ENABLED" };
        Ok(DescribeStreamOutput {
            stream_description: Some(StreamDescription {
                stream_arn: Some(named.arn()),
                stream_label: Some(named.label.clone()),
                stream_status: Some(status.to_owned()),
                stream_view_type: Some(stream.view.name().to_owned()),
                creation_request_date_time: Some(stream.created),
                table_name: Some(named.table.name.clone()),
                key_schema: Some(
                    [element(&stream.hash, "HASH")].into_iter().chain(range).collect(),
                ),
                shards: Some(shards),
                last_evaluated_shard_id: None,
            }),
        })
    }

    fn get_shard_iterator(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &GetShardIteratorInput,
    ) -> Result<GetShardIteratorOutput, Error> {
        let named = Named::here(cx, &input.stream_arn)?;
        let stream = named.find(tx)?;
        if input.shard_id != shard_id(&stream) {
            return Err(no_shard(&input.shard_id));
        }
        let scope = named.table.scope();
        let by_number = matches!(
            input.shard_iterator_type.as_str(),
            "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER"
        );
        let number = match (&input.sequence_number, by_number) {
            (Some(text), true) => Some(sequence_in(&stream, tx, &scope, text)?),
            (None, true) => {
                return Err(invalid(format!(
                    "Must specify a SequenceNumber parameter when requesting shard iterator of type {}",
                    input.shard_iterator_type
                )));
            }
            (Some(_), false) => {
                return Err(invalid(format!(
                    "SequenceNumber cannot be specified for shard iterator of type {}",
                    input.shard_iterator_type
                )));
            }
            (None, false) => None,
        };
        let end = stream.last.map_or(first_sequence(tx), |last| last + 1);
        let next = match (input.shard_iterator_type.as_str(), number) {
            ("AFTER_SEQUENCE_NUMBER", Some(number)) => number + 1,
            (_, Some(number)) => number,
            ("LATEST", None) => end,
            ("AT_TIMESTAMP", None) => {
                let at = input.timestamp.ok_or_else(|| {
                    invalid("Must specify a Timestamp parameter when requesting shard iterator of type AT_TIMESTAMP")
                })?;
                let oldest = tx.now().plus_millis(-RETENTION_MS);
                at_time(tx, &scope, &stream, at.max(oldest))?.unwrap_or(end)
            }
            _ => {
                let oldest = tx.now().plus_millis(-RETENTION_MS);
                at_time(tx, &scope, &stream, oldest)?.unwrap_or(end)
            }
        };
        let place = Place { stream: named, next, made: tx.now() };
        Ok(GetShardIteratorOutput { shard_iterator: Some(place.seal(cx)) })
    }

    fn get_records(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &GetRecordsInput,
    ) -> Result<GetRecordsOutput, Error> {
        let place = Place::open(cx, &input.shard_iterator).ok_or_else(bad_iterator)?;
        if tx.now().millis_since(place.made) > ITERATOR_MS {
            let text = "Iterator expired. The iterator was created more than 15 minutes ago.";
            return Err(Error::new(&e::EXPIRED_ITERATOR_EXCEPTION, text));
        }
        let limit = input.limit.unwrap_or(RECORDS_MAX);
        if limit > RECORDS_MAX {
            return Err(invalid(format!(
                "1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: Member must have value less than or equal to {RECORDS_MAX}"
            )));
        }
        let limit = limit as usize;
        let stream = place.stream.find(tx)?;
        let scope = place.stream.table.scope();
        if place.next < stream.trimmed {
            return Err(trimmed());
        }
        // What was kept when the iterator was made can be read as long as it is there.
        let oldest = place.made.plus_millis(-RETENTION_MS);
        let (mut records, mut size, mut next) = (Vec::new(), 0, place.next);
        let rows = tx.scan(&RECORDS, &scope).prefix(&(stream.number,));
        for row in rows.from(&(stream.number, place.next)) {
            let ((_, number), row) = row?;
            if records.is_empty() && row.at < oldest {
                return Err(trimmed());
            }
            next = number + 1;
            let record = record(&place.stream.table.region, &stream, number, row);
            size += record.dynamodb.as_ref().and_then(|d| d.size_bytes).unwrap_or(0) as usize;
            records.push(record);
            if records.len() == limit || size >= PAGE_BYTES_MAX {
                break;
            }
        }
        let ended = stream.last.is_some_and(|last| {
            let more = tx.scan(&RECORDS, &scope).prefix(&(stream.number,));
            next > last || more.from(&(stream.number, next)).next_key().is_ok_and(|k| k.is_none())
        });
        let place = Place { stream: place.stream, next, made: tx.now() };
        Ok(GetRecordsOutput {
            records: Some(records),
            next_shard_iterator: (!ended).then(|| place.seal(cx)),
        })
    }
}

/// A sequence number that a client gives, if the shard can have it.
fn sequence_in(stream: &StreamRow, tx: &Tx, scope: &Scope, text: &str) -> Result<u64, Error> {
    let bad = || {
        invalid(format!(
            "Invalid SequenceNumber in GetShardIterator request: {text} is not within the shard's range"
        ))
    };
    let number: u64 = text.parse().map_err(|_| bad())?;
    // Numbers of commits that are still to come were given to nobody.
    let last = stream.last.unwrap_or(first_sequence(tx) - 1);
    if number < stream.first || number > last {
        return Err(bad());
    }
    let rows = tx.scan(&RECORDS, scope).prefix(&(stream.number,));
    let first = rows.from(&(stream.number, number)).next().transpose()?;
    let oldest = tx.now().plus_millis(-RETENTION_MS);
    match number < stream.trimmed || first.is_some_and(|(_, row)| row.at < oldest) {
        true => Err(trimmed()),
        false => Ok(number),
    }
}

/// Records from a place on are missing, or are too old to be shown: whoever reads on from there would
/// lose them without being told.
fn trimmed() -> Error {
    let text = "The data you are trying to access has been trimmed from the shard";
    Error::new(&e::TRIMMED_DATA_ACCESS_EXCEPTION, text)
}

/// The first record at or after a time. Numbers and times of records grow together, so it is found by
/// halving.
fn at_time(
    tx: &Tx,
    scope: &Scope,
    stream: &StreamRow,
    at: Timestamp,
) -> Result<Option<u64>, Error> {
    // Records below `low` are older.
    let (mut low, mut high) = (stream.first, first_sequence(tx));
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        let rows = tx.scan(&RECORDS, scope).prefix(&(stream.number,));
        match rows.from(&(stream.number, middle)).next().transpose()? {
            Some(((_, number), row)) if row.at < at => low = number + 1,
            Some(((_, number), _)) => {
                found = Some(number);
                high = middle;
            }
            None => high = middle,
        }
    }
    Ok(found)
}

fn record(region: &Region, stream: &StreamRow, number: u64, row: RecordRow) -> Record {
    let size =
        |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| item_size(Map::of(bytes)));
    let keys = item_size(Map::of(&row.keys));
    let size_bytes = keys + size(&row.old) + size(&row.new);
    let event = match row.event {
        Event::Insert => "INSERT",
        Event::Modify => "MODIFY",
        Event::Remove => "REMOVE",
    };
    Record {
        event_id: Some(hex::encode(&row.id)),
        event_name: Some(event.to_owned()),
        event_version: Some("1.1".into()),
        event_source: Some("aws:dynamodb".into()),
        aws_region: Some(region.to_string()),
        dynamodb: Some(StreamRecord {
            approximate_creation_date_time: Some(Timestamp::from_secs(row.at.to_secs())),
            keys: Some(Item::from_bytes(row.keys)),
            new_image: row.new.map(Item::from_bytes),
            old_image: row.old.map(Item::from_bytes),
            sequence_number: Some(sequence_text(number)),
            size_bytes: Some(size_bytes as i64),
            stream_view_type: Some(stream.view.name().to_owned()),
        }),
        user_identity: row.by_ttl.then(|| Identity {
            principal_id: Some("dynamodb.amazonaws.com".into()),
            r#type: Some("Service".into()),
        }),
    }
}
