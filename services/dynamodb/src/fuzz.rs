//! What the fuzz target runs, and a unit test from a fixed seed: any body, to every operation, over a
//! table with an item, a local index and a stream, whose own operations are among them.

use crate::rows::STREAMS;
use crate::{DynamoDb, Streams};
use api::Service;
use api::testing::World;
use base::Region;
use gen_dynamodb::Handler;
use smithy::model::Protocol;

/// A service with a table `t`.
pub struct Cloud {
    world: World,
    service: Handler<DynamoDb>,
    streams: gen_dynamodbstreams::Handler<Streams>,
}

impl Default for Cloud {
    fn default() -> Cloud {
        let cloud = Cloud {
            world: World::new(1),
            service: Handler(DynamoDb::default()),
            streams: gen_dynamodbstreams::Handler(Streams),
        };
        for seed in &SEEDS[..2] {
            fuzz_request(&cloud, seed.as_bytes());
        }
        cloud.world.run_jobs(&cloud.service);
        cloud
    }
}

/// The name of an operation, a line end, a body.
pub fn fuzz_request(on: &Cloud, data: &[u8]) {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (name, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let of_streams: [&[u8]; 4] =
        [b"ListStreams", b"DescribeStream", b"GetShardIterator", b"GetRecords"];
    let (service, target): (&dyn Service, &[u8]) = match of_streams.contains(&name) {
        true => (&on.streams, b"DynamoDBStreams_20120810."),
        false => (&on.service, b"DynamoDB_20120810."),
    };
    let request = [b"POST /\nx-amz-target: ", target, name, b"\n\n", body].concat();
    api::fuzz::request(&on.world, service, Protocol::AwsJson10, &request);
}

impl Cloud {
    /// Good requests, those that name the table's stream among them.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let scope = store::Scope::AccountRegion(self.world.account, Region::us_east_1());
        let stream = self.world.store.read(|tx| tx.scan(&STREAMS, &scope).next());
        let mut seeds: Vec<Vec<u8>> = SEEDS.iter().map(|seed| seed.as_bytes().to_vec()).collect();
        let Some(Ok(((table, label), row))) = stream else { return seeds };
        let cx = self.world.cx(&self.streams, "GetRecords");
        let arn = format!("{}/stream/{label}", crate::names::arn(cx.account, &cx.region, &table));
        let shard = crate::streams::shard_id(&row);
        let iterator = crate::streams::first_iterator(&cx, &arn).unwrap_or_default();
        for text in [
            format!("DescribeStream\n{{\"StreamArn\":\"{arn}\",\"Limit\":1}}"),
            format!(
                "GetShardIterator\n{{\"StreamArn\":\"{arn}\",\"ShardId\":\"{shard}\",\"ShardIteratorType\":\"AT_SEQUENCE_NUMBER\",\"SequenceNumber\":\"{:021}\"}}",
                row.first
            ),
            format!("GetRecords\n{{\"ShardIterator\":\"{iterator}\",\"Limit\":10}}"),
        ] {
            seeds.push(text.into_bytes());
        }
        seeds
    }
}

const SEEDS: [&str; 19] = [
    r##"CreateTable
{"TableName":"tab","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"},{"AttributeName":"r","AttributeType":"S"},{"AttributeName":"n","AttributeType":"N"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"},{"AttributeName":"r","KeyType":"RANGE"}],"LocalSecondaryIndexes":[{"IndexName":"loc","KeySchema":[{"AttributeName":"k","KeyType":"HASH"},{"AttributeName":"n","KeyType":"RANGE"}],"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["l"]}}],"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"},"BillingMode":"PAY_PER_REQUEST"}"##,
    r##"PutItem
{"TableName":"tab","Item":{"k":{"S":"a"},"r":{"S":"r"},"n":{"N":"1.5e3"},"l":{"L":[{"BOOL":true},{"NULL":true}]},"s":{"NS":["1","2"]}},"ConditionExpression":"attribute_not_exists(#a) OR n > :v","ExpressionAttributeNames":{"#a":"k"},"ExpressionAttributeValues":{":v":{"N":"0"}}}"##,
    r##"GetItem
{"TableName":"tab","Key":{"k":{"S":"a"},"r":{"S":"r"}},"ProjectionExpression":"n, l[0].x, #b","ExpressionAttributeNames":{"#b":"s"}}"##,
    r##"UpdateItem
{"TableName":"tab","Key":{"k":{"S":"a"},"r":{"S":"r"}},"UpdateExpression":"SET n = if_not_exists(n, :z) + :o, l = list_append(l, :l) REMOVE x[1] ADD s :s DELETE s :t","ExpressionAttributeValues":{":z":{"N":"0"},":o":{"N":"1"},":l":{"L":[]},":s":{"NS":["3"]},":t":{"NS":["1"]}},"ReturnValues":"ALL_NEW"}"##,
    r##"Query
{"TableName":"tab","KeyConditionExpression":"k = :k","FilterExpression":"contains(l, :k) AND size(s) BETWEEN :k AND :k","ExpressionAttributeValues":{":k":{"S":"a"}},"Limit":2,"ExclusiveStartKey":{"k":{"S":"a"},"r":{"S":"r"}}}"##,
    r##"Query
{"TableName":"tab","KeyConditions":{"k":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}},"QueryFilter":{"n":{"ComparisonOperator":"GT","AttributeValueList":[{"N":"1"}]}}}"##,
    r##"Scan
{"TableName":"tab","Segment":0,"TotalSegments":2,"ScanFilter":{"n":{"ComparisonOperator":"NOT_NULL"}},"Select":"COUNT"}"##,
    r##"BatchWriteItem
{"RequestItems":{"tab":[{"PutRequest":{"Item":{"k":{"S":"b"},"r":{"S":"r"}}}},{"DeleteRequest":{"Key":{"k":{"S":"c"},"r":{"S":"r"}}}}]}}"##,
    r##"BatchGetItem
{"RequestItems":{"tab":{"Keys":[{"k":{"S":"b"},"r":{"S":"r"}}],"ConsistentRead":true}}}"##,
    r##"TransactWriteItems
{"TransactItems":[{"ConditionCheck":{"TableName":"tab","Key":{"k":{"S":"a"},"r":{"S":"r"}},"ConditionExpression":"attribute_exists(k)"}},{"Delete":{"TableName":"tab","Key":{"k":{"S":"z"},"r":{"S":"r"}}}}],"ClientRequestToken":"x"}"##,
    r##"UpdateTable
{"TableName":"tab","AttributeDefinitions":[{"AttributeName":"g","AttributeType":"N"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"idx","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]}"##,
    r##"UpdateTimeToLive
{"TableName":"tab","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"ttl"}}"##,
    r##"ExecuteStatement
{"Statement":"SELECT * FROM tab WHERE k = ? AND r = 'r'","Parameters":[{"S":"a"}]}"##,
    r##"Query
{"TableName":"tab","IndexName":"loc","KeyConditionExpression":"k = :k AND n > :n","ExpressionAttributeValues":{":k":{"S":"a"},":n":{"N":"1"}},"Select":"ALL_ATTRIBUTES","ScanIndexForward":false,"ConsistentRead":true}"##,
    r##"TransactGetItems
{"TransactItems":[{"Get":{"TableName":"tab","Key":{"k":{"S":"a"},"r":{"S":"r"}},"ProjectionExpression":"l[0], #n","ExpressionAttributeNames":{"#n":"n"}}},{"Get":{"TableName":"tab","Key":{"k":{"S":"b"},"r":{"S":"r"}}}}],"ReturnConsumedCapacity":"INDEXES"}"##,
    r##"BatchExecuteStatement
{"Statements":[{"Statement":"UPDATE tab SET l[0] = 1 SET m = {'a': [2]} WHERE k = 'a' AND r = ?","Parameters":[{"S":"r"}]},{"Statement":"INSERT INTO tab VALUE {'k': 'n', 'r': 'r'}"},{"Statement":"DELETE FROM tab WHERE k = 'z' AND r = 'r'","ReturnValuesOnConditionCheckFailure":"ALL_OLD"}]}"##,
    r##"ExecuteTransaction
{"TransactStatements":[{"Statement":"EXISTS(SELECT * FROM tab WHERE k = 'a' AND r = 'r' AND n > 1)"},{"Statement":"DELETE FROM tab WHERE k = 'b' AND r = 'r'"}],"ClientRequestToken":"t"}"##,
    r##"ListStreams
{"TableName":"tab","Limit":1}"##,
    r##"TagResource
{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab","Tags":[{"Key":"a","Value":"b"}]}"##,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_noise() {
        let on = Cloud::default();
        let seeds = on.seeds();
        assert_eq!(seeds.len(), SEEDS.len() + 3, "the stream is there");
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        let words: [&[u8]; 14] = [
            b"\"",
            b"{",
            b"[",
            b":k",
            b"#a",
            b" AND ",
            b"(",
            b"1e125",
            b"null",
            b"{\"S\":\"a\"}",
            b"\\u0000",
            b"99999999999999999999",
            b"-1",
            b"\"N\":",
        ];
        base::noise::run(9, 6_000, &seeds, &words, |data| fuzz_request(&on, data));
    }
}
