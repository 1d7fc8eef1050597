//! What the SDKs of 2018 send to SQS and CloudWatch: forms, where today's send JSON. The texts are what
//! boto3 1.7 writes and reads.

use bytes::Bytes;
use gen_sqs::*;
use smithy::model::Protocol::AwsQuery;
use smithy::{Request, Struct};

fn read<T: Struct + Default>(form: &str) -> T {
    let mut input = T::default();
    let body = Bytes::copy_from_slice(form.as_bytes());
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let request = Request { labels: &[], query: &[], headers: &headers, body: &body };
    smithy::decode_request(AwsQuery, &MODEL, &request, &mut input).unwrap();
    input
}

fn written(operation: &str, output: &dyn Struct) -> String {
    let operation = MODEL.operation(operation).unwrap();
    let response = smithy::encode_response(AwsQuery, &MODEL, operation, output, "id");
    String::from_utf8(response.body.to_vec()).unwrap()
}

#[test]
fn queues_are_made_by_forms() {
    let input: CreateQueueInput = read(
        "Action=CreateQueue&Version=2012-11-05&QueueName=q&Attribute.1.Name=DelaySeconds\
         &Attribute.1.Value=5&Attribute.2.Name=VisibilityTimeout&Attribute.2.Value=30\
         &Tag.1.Key=team&Tag.1.Value=a",
    );
    assert_eq!(input.queue_name, "q");
    let attributes = input.attributes.unwrap();
    assert_eq!((attributes["DelaySeconds"].as_str(), attributes.len()), ("5", 2));
    assert_eq!(input.tags.unwrap()["team"], "a");
}

#[test]
fn messages_have_attributes_in_forms() {
    let input: SendMessageInput = read(
        "Action=SendMessage&QueueUrl=http%3A%2F%2Fq&MessageBody=hello+you\
         &MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=Number\
         &MessageAttribute.1.Value.StringValue=7&MessageAttribute.2.Name=l\
         &MessageAttribute.2.Value.DataType=String&MessageAttribute.2.Value.StringListValue.1=a",
    );
    assert_eq!(input.message_body, "hello you");
    let attributes = input.message_attributes.unwrap();
    assert_eq!(attributes["n"].string_value.as_deref(), Some("7"));
    assert_eq!(attributes["l"].string_list_values.as_deref(), Some(&["a".to_owned()][..]));
    let input: ReceiveMessageInput = read(
        "Action=ReceiveMessage&QueueUrl=q&AttributeName.1=All&MessageAttributeName.1=n\
         &MaxNumberOfMessages=10&WaitTimeSeconds=20",
    );
    assert_eq!(input.attribute_names.unwrap(), ["All"]);
    assert_eq!(input.message_attribute_names.unwrap(), ["n"]);
    assert_eq!(input.wait_time_seconds, Some(20));
}

#[test]
fn messages_come_in_xml() {
    let message = Message {
        message_id: Some("m".into()),
        body: Some("<b>".into()),
        attributes: Some([("SentTimestamp".to_owned(), "1".to_owned())].into()),
        message_attributes: Some(
            [(
                "n".to_owned(),
                MessageAttributeValue {
                    data_type: "Number".into(),
                    string_value: Some("7".into()),
                    ..MessageAttributeValue::default()
                },
            )]
            .into(),
        ),
        ..Message::default()
    };
    let output = ReceiveMessageOutput { messages: Some(vec![message]) };
    assert_eq!(
        written("ReceiveMessage", &output),
        "<ReceiveMessageResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">\
         <ReceiveMessageResult><Message><MessageId>m</MessageId><Body>&lt;b&gt;</Body>\
         <Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute>\
         <MessageAttribute><Name>n</Name><Value><StringValue>7</StringValue>\
         <DataType>Number</DataType></Value></MessageAttribute></Message>\
         </ReceiveMessageResult><ResponseMetadata><RequestId>id</RequestId></ResponseMetadata>\
         </ReceiveMessageResponse>"
    );
}

#[test]
fn the_same_shapes_still_speak_json() {
    let mut input = CreateQueueInput::default();
    let body = Bytes::from_static(
        br#"{"QueueName":"q","Attributes":{"DelaySeconds":"5"},"tags":{"a":"b"}}"#,
    );
    let headers = [("content-type", "application/x-amz-json-1.0")];
    let request = Request { labels: &[], query: &[], headers: &headers, body: &body };
    let json = smithy::model::Protocol::AwsJson10;
    smithy::decode_request(json, &MODEL, &request, &mut input).unwrap();
    assert_eq!(input.attributes.unwrap()["DelaySeconds"], "5");
    assert_eq!(input.tags.unwrap()["a"], "b");
}
