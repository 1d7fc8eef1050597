use super::{Db, member};

const TTL: &str =
    r#"{"TableName":"tab","TimeToLiveSpecification":{"AttributeName":"end","Enabled":true}}"#;

#[test]
fn items_go_when_their_time_has_come() {
    let db = Db::with_table(false);
    let now = 1_800_000_000_i64;
    let put = |key: &str, end: &str| db.put(&format!(r#"{{"p":{{"S":"{key}"}},"end":{end}}}"#));
    put("before", &format!(r#"{{"N":"{}"}}"#, now + 10));
    db.ok("UpdateTimeToLive", TTL);
    db.refused("UpdateTimeToLive", TTL, "TimeToLive is already enabled");
    db.check(
        "DescribeTimeToLive",
        r#"{"TableName":"tab"}"#,
        r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"end"}}"#,
    );
    put("soon", &format!(r#"{{"N":"{}.5"}}"#, now + 20));
    put("later", &format!(r#"{{"N":"{}"}}"#, now + 5000));
    put("text", r#"{"S":"1"}"#);
    put("long ago", r#"{"N":"1"}"#);
    put("moved", &format!(r#"{{"N":"{}"}}"#, now + 10));
    put("moved", &format!(r#"{{"N":"{}"}}"#, now + 9000));
    db.ok("UpdateTable", r#"{"TableName":"tab","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}"#);
    let count = |expected: usize| {
        let told = db.ok("Scan", r#"{"TableName":"tab"}"#);
        assert!(told.contains(&format!("\"Count\":{expected},")), "{told}");
    };
    db.later(0);
    count(6);
    db.later(60_000);
    count(4);
    let told = db.ok("DescribeTable", r#"{"TableName":"tab"}"#);
    let arn = member(&told, "LatestStreamArn");
    let shard = db.stream("DescribeStream", &format!(r#"{{"StreamArn":"{arn}"}}"#));
    let iterator = db.stream(
        "GetShardIterator",
        &format!(
            r#"{{"StreamArn":"{arn}","ShardId":"{}","ShardIteratorType":"TRIM_HORIZON"}}"#,
            member(&shard, "ShardId")
        ),
    );
    let told = db.stream(
        "GetRecords",
        &format!(r#"{{"ShardIterator":"{}"}}"#, member(&iterator, "ShardIterator")),
    );
    assert_eq!(
        told.matches(r#""userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"#)
            .count(),
        2,
        "{told}"
    );
    db.later(3_600_000);
    db.ok("UpdateTimeToLive", &TTL.replace("true", "false"));
    db.later(10_000_000);
    count(4);
}

#[test]
fn expiry_that_is_switched_off_and_on_forgets_nothing() {
    const SOON: &str = "Time to live has been modified multiple times within a fixed interval";
    let db = Db::with_table(false);
    let hour = || db.world.clock.advance_ms(3_600_000);
    let now = 1_800_000_000_i64;
    let put = |key: &str, hours: i64| {
        db.put(&format!(r#"{{"p":{{"S":"{key}"}},"end":{{"N":"{}"}}}}"#, now + hours * 3600));
    };
    let count = |expected: usize| {
        let told = db.ok("Scan", r#"{"TableName":"tab"}"#);
        assert!(told.contains(&format!("\"Count\":{expected},")), "{told}");
    };
    let off = TTL.replace("true", "false");
    (0..300).for_each(|n| put(&format!("k{n}"), 6));
    db.ok("UpdateTimeToLive", TTL);
    db.refused("UpdateTimeToLive", &off, SOON);
    // A part has been filled when it is switched off.
    db.steps(2);
    hour();
    db.ok("UpdateTimeToLive", &off);
    db.refused("UpdateTimeToLive", TTL, SOON);
    hour();
    db.refused("UpdateTimeToLive", TTL, SOON);
    db.later(0);
    db.ok("UpdateTimeToLive", TTL);
    put("new", 6);
    db.later(0);
    // Off again with nothing filled, and on before anything of it was removed.
    hour();
    db.ok("UpdateTimeToLive", &off);
    db.later(0);
    hour();
    db.ok("UpdateTimeToLive", TTL);
    count(301);
    db.later(3_600_000);
    count(301);
    db.later(7_200_000);
    count(0);
}
