use super::{Db, member};
use crate::jobs::scope_of;
use crate::rows::{RECORDS, STREAMS};
use api::Tx;
use base::{AccountId, Clock as _, Region};
use store::blobs::block_on;

fn with_stream(view: &str) -> (Db, String) {
    let db = Db::with_table(false);
    let told = db.ok("UpdateTable", &format!(r#"{{"TableName":"tab","StreamSpecification":{{"StreamEnabled":true,"StreamViewType":"{view}"}}}}"#));
    let arn = member(&told, "LatestStreamArn").to_owned();
    (db, arn)
}

fn iterator(db: &Db, arn: &str, kind: &str) -> String {
    let told = db.stream("DescribeStream", &format!(r#"{{"StreamArn":"{arn}"}}"#));
    let shard = member(&told, "ShardId");
    let told = db.stream(
        "GetShardIterator",
        &format!(r#"{{"StreamArn":"{arn}","ShardId":"{shard}",{kind}}}"#),
    );
    member(&told, "ShardIterator").to_owned()
}

fn records(db: &Db, iterator: &str) -> String {
    db.stream("GetRecords", &format!(r#"{{"ShardIterator":"{iterator}"}}"#))
}

#[test]
fn exactly_the_changes_in_order() {
    let (db, arn) = with_stream("NEW_AND_OLD_IMAGES");
    db.put(r#"{"p":{"S":"a"},"n":{"N":"1"}}"#);
    db.put(r#"{"p":{"S":"a"},"n":{"N":"1"}}"#);
    db.put(r#"{"p":{"S":"a"},"n":{"N":"2"}}"#);
    db.call("PutItem", r#"{"TableName":"tab","Item":{"p":{"S":"a"}},"ConditionExpression":"attribute_not_exists(p)"}"#).unwrap_err();
    db.ok("DeleteItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#);
    db.ok("DeleteItem", r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#);
    let told = records(&db, &iterator(&db, &arn, r#""ShardIteratorType":"TRIM_HORIZON""#));
    let events: Vec<&str> = told
        .split("\"eventName\":\"")
        .skip(1)
        .map(|part| part.split('"').next().unwrap())
        .collect();
    assert_eq!(events, ["INSERT", "MODIFY", "REMOVE"], "{told}");
    assert!(
        told.contains(
            r#""NewImage":{"n":{"N":"2"},"p":{"S":"a"}},"OldImage":{"n":{"N":"1"},"p":{"S":"a"}}"#
        ),
        "{told}"
    );
    let numbers: Vec<&str> = told
        .split("\"SequenceNumber\":\"")
        .skip(1)
        .map(|part| part.split('"').next().unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(|number| number.len() >= 21));
    let kind =
        |kind: &str| format!(r#""ShardIteratorType":"{kind}","SequenceNumber":"{}""#, numbers[1]);
    let count = |iterator: &str| records(&db, iterator).matches("eventName").count();
    assert_eq!(count(&iterator(&db, &arn, &kind("AT_SEQUENCE_NUMBER"))), 2);
    assert_eq!(count(&iterator(&db, &arn, &kind("AFTER_SEQUENCE_NUMBER"))), 1);
    let latest = iterator(&db, &arn, r#""ShardIteratorType":"LATEST""#);
    assert_eq!(count(&latest), 0);
    db.put(r#"{"p":{"S":"b"}}"#);
    assert_eq!(count(&latest), 1);
    let next = member(&told, "NextShardIterator");
    assert_eq!(count(next), 1);
}

#[test]
fn views_show_what_they_say() {
    for (view, has) in [
        ("KEYS_ONLY", [false, false]),
        ("NEW_IMAGE", [true, false]),
        ("OLD_IMAGE", [false, true]),
        ("NEW_AND_OLD_IMAGES", [true, true]),
    ] {
        let (db, arn) = with_stream(view);
        db.put(r#"{"p":{"S":"a"},"n":{"N":"1"}}"#);
        db.put(r#"{"p":{"S":"a"},"n":{"N":"2"}}"#);
        let told = records(&db, &iterator(&db, &arn, r#""ShardIteratorType":"TRIM_HORIZON""#));
        assert_eq!([told.contains("NewImage"), told.contains("OldImage")], has, "{view}");
        assert_eq!(told.matches(r#""Keys":{"p":{"S":"a"}}"#).count(), 2);
    }
}

#[test]
fn a_stream_ends_and_is_forgotten() {
    let (db, arn) = with_stream("KEYS_ONLY");
    db.put(r#"{"p":{"S":"a"}}"#);
    db.refused("UpdateTable", r#"{"TableName":"tab","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}"#, "Table already has an enabled stream: TableName: tab");
    db.ok("UpdateTable", r#"{"TableName":"tab","StreamSpecification":{"StreamEnabled":false}}"#);
    db.put(r#"{"p":{"S":"b"}}"#);
    let told = records(&db, &iterator(&db, &arn, r#""ShardIteratorType":"TRIM_HORIZON""#));
    assert_eq!(told.matches("eventName").count(), 1);
    assert!(!told.contains("NextShardIterator"), "{told}");
    assert!(db.stream("ListStreams", "{}").contains(&arn));
    db.later(24 * 3_600_000 + 1);
    assert!(!db.stream("ListStreams", "{}").contains(&arn));
}

#[test]
fn numbers_that_nobody_was_given_are_refused() {
    let (db, arn) = with_stream("KEYS_ONLY");
    db.put(r#"{"p":{"S":"a"}}"#);
    let told = records(&db, &iterator(&db, &arn, r#""ShardIteratorType":"TRIM_HORIZON""#));
    let given: u64 = member(&told, "SequenceNumber").parse().unwrap();
    let told = db.stream("DescribeStream", &format!(r#"{{"StreamArn":"{arn}"}}"#));
    let shard = member(&told, "ShardId");
    for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
        for number in [0, given + (1 << 20), u64::MAX - 1, u64::MAX] {
            let input = format!(
                r#"{{"StreamArn":"{arn}","ShardId":"{shard}","ShardIteratorType":"{kind}","SequenceNumber":"{number:021}"}}"#
            );
            let error = db.run(&db.streams, "GetShardIterator", &input).unwrap_err();
            assert!(error.message().starts_with("Invalid SequenceNumber"), "{number}: {error}");
        }
        let input = format!(
            r#"{{"StreamArn":"{arn}","ShardId":"{shard}","ShardIteratorType":"{kind}","SequenceNumber":"{given:021}"}}"#
        );
        db.stream("GetShardIterator", &input);
    }
}

#[test]
fn an_iterator_begins_at_a_time() {
    let (db, arn) = with_stream("KEYS_ONLY");
    let began = db.world.clock.now().to_secs();
    for number in 0..40 {
        db.put(&format!(r#"{{"p":{{"S":"{number}"}}}}"#));
        db.put(&format!(r#"{{"p":{{"S":"{number}b"}}}}"#));
        db.later(60_000);
    }
    for (minutes, left) in [(-5, 80), (0, 80), (1, 78), (20, 40), (39, 2), (40, 0), (50, 0)] {
        let at = began + minutes * 60;
        let kind = format!(r#""ShardIteratorType":"AT_TIMESTAMP","Timestamp":{at}"#);
        let told = records(&db, &iterator(&db, &arn, &kind));
        assert_eq!(told.matches("eventName").count(), left, "after {minutes} minutes");
    }
}

#[test]
fn iterators_expire_and_cannot_be_made_up() {
    let (db, arn) = with_stream("KEYS_ONLY");
    let token = iterator(&db, &arn, r#""ShardIteratorType":"LATEST""#);
    let code = |token: &str| {
        db.run(&db.streams, "GetRecords", &format!(r#"{{"ShardIterator":"{token}"}}"#))
            .map_err(|e| e.code().to_owned())
    };
    assert_eq!(code("nonsense").unwrap_err(), "ValidationException");
    assert!(code(&token).is_ok());
    db.later(15 * 60 * 1000 + 1);
    assert_eq!(code(&token).unwrap_err(), "ExpiredIteratorException");
}

/// The code of the answer to a request for an iterator at that number.
fn at_number(db: &Db, arn: &str, kind: &str, number: &str) -> Result<String, String> {
    let told = db.stream("DescribeStream", &format!(r#"{{"StreamArn":"{arn}"}}"#));
    let shard = member(&told, "ShardId");
    let input = format!(
        r#"{{"StreamArn":"{arn}","ShardId":"{shard}","ShardIteratorType":"{kind}","SequenceNumber":"{number}"}}"#
    );
    db.run(&db.streams, "GetShardIterator", &input).map_err(|error| error.code().to_owned())
}

#[test]
fn who_lags_by_a_day_is_told() {
    const DAY: u32 = 24 * 3_600_000;
    for trims in [false, true] {
        let (db, arn) = with_stream("KEYS_ONLY");
        let pass = |millis: u32| match trims {
            true => db.later(millis.into()),
            false => db.world.clock.advance_ms(millis),
        };
        let quiet = iterator(&db, &arn, r#""ShardIteratorType":"LATEST""#);
        db.put(r#"{"p":{"S":"old"}}"#);
        let told = records(&db, &iterator(&db, &arn, r#""ShardIteratorType":"TRIM_HORIZON""#));
        let number = member(&told, "SequenceNumber").to_owned();
        // Shortly before, nothing is missing; the next iterator stands before what becomes too old.
        pass(DAY - 60_000);
        assert_eq!(at_number(&db, &arn, "AT_SEQUENCE_NUMBER", &number).map(drop), Ok(()));
        let lagging = iterator(&db, &arn, r#""ShardIteratorType":"TRIM_HORIZON""#);
        let at_end = iterator(&db, &arn, r#""ShardIteratorType":"LATEST""#);
        pass(60_001);
        db.put(r#"{"p":{"S":"new"}}"#);
        for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
            let code = at_number(&db, &arn, kind, &number).unwrap_err();
            assert_eq!(code, "TrimmedDataAccessException", "{kind}, trims: {trims}");
        }
        let read = |iterator: &str| {
            let input = format!(r#"{{"ShardIterator":"{iterator}"}}"#);
            let told = db.run(&db.streams, "GetRecords", &input);
            told.map(|told| told.matches("eventName").count()).map_err(|e| e.code().to_owned())
        };
        assert_eq!(read(&quiet).unwrap_err(), "ExpiredIteratorException");
        // What was there when the iterator was made can be read until it is removed.
        match trims {
            true => assert_eq!(read(&lagging).unwrap_err(), "TrimmedDataAccessException"),
            false => assert_eq!(read(&lagging), Ok(2)),
        }
        assert_eq!(read(&at_end), Ok(1));
        let horizon = iterator(&db, &arn, r#""ShardIteratorType":"TRIM_HORIZON""#);
        assert_eq!(read(&horizon), Ok(1));
        let of_old = format!(r#""ShardIteratorType":"AT_TIMESTAMP","Timestamp":{}"#, 1);
        assert_eq!(read(&iterator(&db, &arn, &of_old)), Ok(1));
        // A day later again, who has read all has lost nothing.
        let (told, number) = (records(&db, &at_end), number.clone());
        let newest = member(&told, "SequenceNumber").to_owned();
        assert!(newest > number);
        pass(3_600_000);
        assert_eq!(at_number(&db, &arn, "AFTER_SEQUENCE_NUMBER", &newest).map(drop), Ok(()));
    }
}

#[test]
fn an_iterator_of_now_does_not_begin_with_what_is_too_old() {
    let (db, arn) = with_stream("KEYS_ONLY");
    db.put(r#"{"p":{"S":"old"}}"#);
    db.put(r#"{"p":{"S":"old too"}}"#);
    db.world.clock.advance_ms(24 * 3_600_000 - 60_000);
    db.put(r#"{"p":{"S":"new"}}"#);
    let lagging = iterator(&db, &arn, r#""ShardIteratorType":"TRIM_HORIZON""#);
    db.world.clock.advance_ms(60_001);
    let read = |iterator: &str, limit: u32| {
        let input = format!(r#"{{"ShardIterator":"{iterator}","Limit":{limit}}}"#);
        db.run(&db.streams, "GetRecords", &input).map_err(|error| error.code().to_owned())
    };
    let told = read(&lagging, 1).unwrap();
    assert_eq!(told.matches("eventName").count(), 1);
    let between = member(&told, "NextShardIterator");
    assert_eq!(read(between, 1).unwrap_err(), "TrimmedDataAccessException");
    let told = read(&lagging, 2).unwrap();
    assert_eq!(told.matches("eventName").count(), 2);
    let after = member(&told, "NextShardIterator");
    assert_eq!(read(after, 9).unwrap().matches("eventName").count(), 1);
}

mod unreadable {
    store::row! {
        /// No row of a stream: its number is no number.
        pub struct Row {
            1 => number: String,
        }
    }
}

#[test]
fn a_stream_that_cannot_be_read_is_trimmed_once_it_can() {
    const UNREADABLE: store::Table<(String, String), unreadable::Row> =
        store::Table::new(0x0405, "dynamodb.stream");
    let (db, _) = with_stream("KEYS_ONLY");
    db.put(r#"{"p":{"S":"old"}}"#);
    let scope = scope_of(AccountId::DEFAULT, &Region::us_east_1());
    let only = |tx: &Tx| tx.scan(&STREAMS, &scope).next().expect("a stream");
    let (key, stream) = db.world.store.read(only).unwrap();
    let broken = unreadable::Row { number: "seven".into() };
    let write = db.world.store.write(|tx| tx.put(&UNREADABLE, &scope, &key, &broken));
    block_on(write).unwrap();
    db.world.clock.advance_ms(24 * 3_600_000 + 1);
    db.steps(20);
    block_on(db.world.store.write(|tx| tx.put(&STREAMS, &scope, &key, &stream))).unwrap();
    db.later(3_600_000);
    let (_, after) = db.world.store.read(only).unwrap();
    assert!(after.trimmed > stream.trimmed, "nobody trims it any more");
    let left = db.world.store.read(|tx| tx.scan(&RECORDS, &scope).next_key()).unwrap();
    assert_eq!(left, None);
}
