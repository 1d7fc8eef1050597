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
    db.ok("UpdateTimeToLive", &TTL.replace("true", "false"));
    db.later(10_000_000);
    count(4);
}
