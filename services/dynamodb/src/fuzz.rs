//! What the fuzz target runs, and a unit test from a fixed seed: any body, to every operation, over a
//! table with an item.

use crate::DynamoDb;
use api::testing::World;
use gen_dynamodb::Handler;
use smithy::model::Protocol;

/// A service with a table `t`.
pub struct Cloud {
    world: World,
    service: Handler<DynamoDb>,
}

impl Default for Cloud {
    fn default() -> Cloud {
        let cloud = Cloud { world: World::new(1), service: Handler(DynamoDb::default()) };
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
    let request = [b"POST /\nx-amz-target: DynamoDB_20120810.", name, b"\n\n", body].concat();
    api::fuzz::request(&on.world, &on.service, Protocol::AwsJson10, &request);
}

const SEEDS: [&str; 14] = [
    r##"CreateTable
{"TableName":"tab","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}"##,
    r##"PutItem
{"TableName":"tab","Item":{"k":{"S":"a"},"n":{"N":"1.5e3"},"l":{"L":[{"BOOL":true},{"NULL":true}]},"s":{"NS":["1","2"]}},"ConditionExpression":"attribute_not_exists(#a) OR n > :v","ExpressionAttributeNames":{"#a":"k"},"ExpressionAttributeValues":{":v":{"N":"0"}}}"##,
    r##"GetItem
{"TableName":"tab","Key":{"k":{"S":"a"}},"ProjectionExpression":"n, l[0].x, #b","ExpressionAttributeNames":{"#b":"s"}}"##,
    r##"UpdateItem
{"TableName":"tab","Key":{"k":{"S":"a"}},"UpdateExpression":"SET n = if_not_exists(n, :z) + :o, l = list_append(l, :l) REMOVE x[1] ADD s :s DELETE s :t","ExpressionAttributeValues":{":z":{"N":"0"},":o":{"N":"1"},":l":{"L":[]},":s":{"NS":["3"]},":t":{"NS":["1"]}},"ReturnValues":"ALL_NEW"}"##,
    r##"Query
{"TableName":"tab","KeyConditionExpression":"k = :k","FilterExpression":"contains(l, :k) AND size(s) BETWEEN :k AND :k","ExpressionAttributeValues":{":k":{"S":"a"}},"Limit":2,"ExclusiveStartKey":{"k":{"S":"a"}}}"##,
    r##"Query
{"TableName":"tab","KeyConditions":{"k":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]}},"QueryFilter":{"n":{"ComparisonOperator":"GT","AttributeValueList":[{"N":"1"}]}}}"##,
    r##"Scan
{"TableName":"tab","Segment":0,"TotalSegments":2,"ScanFilter":{"n":{"ComparisonOperator":"NOT_NULL"}},"Select":"COUNT"}"##,
    r##"BatchWriteItem
{"RequestItems":{"tab":[{"PutRequest":{"Item":{"k":{"S":"b"}}}},{"DeleteRequest":{"Key":{"k":{"S":"c"}}}}]}}"##,
    r##"BatchGetItem
{"RequestItems":{"tab":{"Keys":[{"k":{"S":"b"}}],"ConsistentRead":true}}}"##,
    r##"TransactWriteItems
{"TransactItems":[{"ConditionCheck":{"TableName":"tab","Key":{"k":{"S":"a"}},"ConditionExpression":"attribute_exists(k)"}},{"Delete":{"TableName":"tab","Key":{"k":{"S":"z"}}}}],"ClientRequestToken":"x"}"##,
    r##"UpdateTable
{"TableName":"tab","AttributeDefinitions":[{"AttributeName":"g","AttributeType":"N"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"idx","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]}"##,
    r##"UpdateTimeToLive
{"TableName":"tab","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"ttl"}}"##,
    r##"ExecuteStatement
{"Statement":"SELECT * FROM tab WHERE k = ?","Parameters":[{"S":"a"}]}"##,
    r##"TagResource
{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/tab","Tags":[{"Key":"a","Value":"b"}]}"##,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_noise() {
        let seeds: Vec<&[u8]> = SEEDS.iter().map(|seed| seed.as_bytes()).collect();
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
        let on = Cloud::default();
        base::noise::run(9, 6_000, &seeds, &words, |data| fuzz_request(&on, data));
    }
}
