//! Event notifications: what is told of what, to whom, and configurations that are refused.

use crate::Cloud;
use api::Error;
use gen_s3::*;
use service_s3::events::EVENTS;
use store::Scope;

const QUEUE: &str = "arn:aws:sqs:us-east-1:000000000000:jobs";

fn filter(rules: &[(&str, &str)]) -> Option<NotificationConfigurationFilter> {
    let rule = |(name, value): &(&str, &str)| FilterRule {
        name: Some((*name).into()),
        value: Some((*value).into()),
    };
    let key = S3KeyFilter { filter_rules: Some(rules.iter().map(rule).collect()) };
    (!rules.is_empty()).then_some(NotificationConfigurationFilter { key: Some(key) })
}

fn queue(arn: &str, events: &[&str], rules: &[(&str, &str)]) -> QueueConfiguration {
    QueueConfiguration {
        id: Some(format!("{arn} {events:?} {rules:?}")),
        queue_arn: arn.into(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        filter: filter(rules),
    }
}

fn queues(all: Vec<QueueConfiguration>) -> NotificationConfiguration {
    NotificationConfiguration { queue_configurations: Some(all), ..Default::default() }
}

impl Cloud {
    fn notify(&self, configuration: NotificationConfiguration) -> Result<(), Error> {
        let input = PutBucketNotificationConfigurationInput {
            bucket: "box".into(),
            notification_configuration: configuration,
            ..Default::default()
        };
        let put = self.call::<PutBucketNotificationConfigurationOutput>(
            "PutBucketNotificationConfiguration",
            &input,
        );
        put.map(drop)
    }

    /// What waits for a destination: event and message.
    fn told(&self, arn: &str) -> Vec<(String, String)> {
        self.world.store.read(|tx| {
            let scope = Scope::Account(self.world.account);
            let rows = tx.scan(&EVENTS, &scope);
            let rows = rows.map(|row| row.unwrap()).filter(|((_, of, _), _)| of == arn);
            rows.map(|(_, row)| (row.event, row.message)).collect()
        })
    }

    fn names(&self, arn: &str) -> Vec<String> {
        self.told(arn).into_iter().map(|(event, _)| event).collect()
    }
}

#[test]
fn the_message_is_as_s3_writes_it() {
    let cloud = Cloud::new();
    let configured = QueueConfiguration {
        id: Some("mine".into()),
        ..queue(QUEUE, &["s3:ObjectCreated:*"], &[])
    };
    cloud.notify(queues(vec![configured])).unwrap();
    cloud.put("a b/ü+.txt", b"hello");
    let told = cloud.told(QUEUE);
    assert_eq!(told[0].0, "s3:TestEvent");
    assert!(told[0].1.starts_with(r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"#));
    let (event, message) = &told[1];
    assert_eq!(event, "ObjectCreated:Put");
    let (before, after) = message.split_once(r#""sequencer":""#).unwrap();
    let expected = concat!(
        r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","#,
        r#""eventTime":"2027-01-15T08:00:00.000Z","eventName":"ObjectCreated:Put","#,
        r#""userIdentity":{"principalId":"AWS:000000000000"},"#,
        r#""requestParameters":{"sourceIPAddress":""},"responseElements":{"x-amz-request-id":"ID","#,
        r#""x-amz-id-2":""},"s3":{"s3SchemaVersion":"1.0","configurationId":"mine","#,
        r#""bucket":{"name":"box","ownerIdentity":{"principalId":"OWNER"},"arn":"arn:aws:s3:::box"},"#,
        r#""object":{"key":"a+b/%C3%BC%2B.txt","size":5,"#,
        r#""eTag":"5d41402abc4b2a76b9719d911017c592","#,
    );
    let id = message.split(r#""x-amz-request-id":""#).nth(1).unwrap().split('"').next().unwrap();
    let owner = message.split(r#""ownerIdentity":{"principalId":""#).nth(1).unwrap();
    let owner = owner.split('"').next().unwrap();
    assert_eq!(before.replace(id, "ID").replace(owner, "OWNER"), expected);
    assert!(owner.len() == 14 && owner.starts_with('A'), "{owner}");
    let sequencer = after.split('"').next().unwrap();
    assert!(sequencer.len() == 18 && sequencer.bytes().all(|b| b.is_ascii_hexdigit()), "{after}");
    assert!(after.ends_with("\"}}}]}"), "{after}");
}

#[test]
fn each_change_is_told_in_order() {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    let all =
        ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put"];
    cloud.notify(queues(vec![queue(QUEUE, &all, &[])])).unwrap();
    let version = cloud.put("k", b"1").version_id.unwrap();
    let tagging = PutObjectTaggingInput {
        bucket: "box".into(),
        key: "k".into(),
        tagging: Tagging { tag_set: vec![Tag { key: "a".into(), value: "b".into() }] },
        ..Default::default()
    };
    cloud.call::<PutObjectTaggingOutput>("PutObjectTagging", &tagging).unwrap();
    let acl = PutObjectAclInput {
        bucket: "box".into(),
        key: "k".into(),
        acl: Some("public-read".into()),
        ..Default::default()
    };
    cloud.call::<PutObjectAclOutput>("PutObjectAcl", &acl).unwrap();
    let copy = CopyObjectInput {
        bucket: "box".into(),
        key: "copy".into(),
        copy_source: "box/k".into(),
        ..Default::default()
    };
    cloud.call::<CopyObjectOutput>("CopyObject", &copy).unwrap();
    cloud.delete("k", None);
    cloud.delete("k", Some(&version));
    cloud.delete("k", Some("null"));
    assert_eq!(
        cloud.names(QUEUE),
        [
            "s3:TestEvent",
            "ObjectCreated:Put",
            "ObjectTagging:Put",
            "ObjectAcl:Put",
            "ObjectCreated:Copy",
            "ObjectRemoved:DeleteMarkerCreated",
            "ObjectRemoved:Delete",
        ]
    );
    let told = cloud.told(QUEUE);
    let gone = &told[6].1;
    assert!(gone.contains(&format!("\"versionId\":\"{version}\"")), "{gone}");
    assert!(!gone.contains("\"size\"") && !gone.contains("\"eTag\""), "{gone}");
    let sequencers: Vec<&str> = [1, 5, 6]
        .map(|n| told[n].1.split("\"sequencer\":\"").nth(1).unwrap().split('"').next().unwrap())
        .to_vec();
    assert!(sequencers.is_sorted() && sequencers[1] < sequencers[2], "{sequencers:?}");
    // What is refused is not told.
    let gone = DeleteObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        if_match: Some("\"no\"".into()),
        ..Default::default()
    };
    cloud.call::<DeleteObjectOutput>("DeleteObject", &gone).unwrap_err();
    assert_eq!(cloud.names(QUEUE).len(), 7);
}

#[test]
fn filters_and_the_bus() {
    let cloud = Cloud::new();
    let images = queue(QUEUE, &["s3:ObjectCreated:Put"], &[("Prefix", "in/"), ("suffix", ".jpg")]);
    let texts = TopicConfiguration {
        id: None,
        topic_arn: "arn:aws:sns:us-east-1:000000000000:news".into(),
        events: vec!["s3:ObjectCreated:*".into()],
        filter: filter(&[("suffix", ".txt")]),
    };
    cloud
        .notify(NotificationConfiguration {
            queue_configurations: Some(vec![images]),
            topic_configurations: Some(vec![texts]),
            event_bridge_configuration: Some(EventBridgeConfiguration {}),
            ..Default::default()
        })
        .unwrap();
    for key in ["in/a.jpg", "in/b.txt", "out/c.jpg"] {
        cloud.put(key, b"1");
    }
    assert_eq!(cloud.names(QUEUE), ["s3:TestEvent", "ObjectCreated:Put"]);
    let topic = "arn:aws:sns:us-east-1:000000000000:news";
    assert_eq!(cloud.names(topic), ["s3:TestEvent", "ObjectCreated:Put"]);
    assert!(cloud.told(topic)[1].1.contains("in/b.txt"));
    let bus = cloud.told("arn:aws:events:us-east-1:000000000000:event-bus/default");
    assert_eq!(bus.len(), 3);
    for part in [
        r#""detail-type":"Object Created","source":"aws.s3","account":"000000000000""#,
        r#""detail":{"version":"0","bucket":{"name":"box"},"object":{"key":"in/a.jpg","size":1,"#,
        r#""requester":"000000000000""#,
        r#""reason":"PutObject"}"#,
    ] {
        assert!(bus[0].1.contains(part), "{part} in {}", bus[0].1);
    }
    let get =
        GetBucketNotificationConfigurationInput { bucket: "box".into(), ..Default::default() };
    let kept: GetBucketNotificationConfigurationOutput =
        cloud.call("GetBucketNotificationConfiguration", &get).unwrap();
    assert_eq!(kept.topic_configurations.unwrap()[0].id.as_ref().unwrap().len(), 36);
    assert!(kept.event_bridge_configuration.is_some());
    // None at all: nothing is told any more.
    cloud.notify(NotificationConfiguration::default()).unwrap();
    cloud.put("in/d.jpg", b"1");
    assert_eq!(cloud.names(QUEUE).len(), 2);
}

#[test]
fn what_lifecycle_does_is_told() {
    let cloud = Cloud::new();
    cloud.notify(queues(vec![queue(QUEUE, &["s3:LifecycleExpiration:*"], &[])])).unwrap();
    cloud.put("old", b"1");
    let rule = LifecycleRule {
        status: "Enabled".into(),
        filter: Some(LifecycleRuleFilter::default()),
        expiration: Some(LifecycleExpiration { days: Some(1), ..Default::default() }),
        ..Default::default()
    };
    let rules = PutBucketLifecycleConfigurationInput {
        bucket: "box".into(),
        lifecycle_configuration: Some(BucketLifecycleConfiguration { rules: vec![rule] }),
        ..Default::default()
    };
    cloud
        .call::<PutBucketLifecycleConfigurationOutput>("PutBucketLifecycleConfiguration", &rules)
        .unwrap();
    for _ in 0..3 {
        cloud.world.run_jobs(&cloud.s3);
        cloud.world.clock.advance_ms(86_400_000);
    }
    assert_eq!(cloud.names(QUEUE), ["s3:TestEvent", "LifecycleExpiration:Delete"]);
    let message = &cloud.told(QUEUE)[1].1;
    assert!(message.contains(r#""userIdentity":{"principalId":"s3.amazonaws.com"}"#), "{message}");
    // Four days on nobody has come for them.
    for _ in 0..5 {
        cloud.world.clock.advance_ms(86_400_000);
        cloud.world.run_jobs(&cloud.s3);
    }
    assert!(cloud.told(QUEUE).is_empty());
}

#[test]
fn events_go_with_their_bucket() {
    let cloud = Cloud::new();
    cloud.notify(queues(vec![queue(QUEUE, &["s3:ObjectCreated:*"], &[])])).unwrap();
    for n in 0..500 {
        cloud.put(&n.to_string(), b"");
        cloud.delete(&n.to_string(), None);
    }
    assert_eq!(cloud.told(QUEUE).len(), 501);
    let input = DeleteBucketInput { bucket: "box".into(), ..Default::default() };
    cloud.call::<DeleteBucketOutput>("DeleteBucket", &input).unwrap();
    cloud.world.run_jobs(&cloud.s3);
    assert!(cloud.told(QUEUE).is_empty());
}

#[test]
fn configurations_that_are_refused() {
    let cloud = Cloud::new();
    let created: &[&str] = &["s3:ObjectCreated:*"];
    let check = |all: Vec<QueueConfiguration>, text: &str| {
        let error = cloud.notify(queues(all)).unwrap_err();
        assert_eq!(error.code(), "InvalidArgument", "{text}");
        assert!(error.message().contains(text), "{text}: {}", error.message());
    };
    for arn in [
        "jobs",
        "arn:aws:sns:us-east-1:000000000000:jobs",
        "arn:aws:sqs:us-east-1:0:jobs",
        "arn:aws:sqs:us-east-1:000000000000:",
        "arn:aws:sqs:us-east-1:000000000000:a:b",
        "arn:nowhere:sqs:us-east-1:000000000000:jobs",
    ] {
        check(vec![queue(arn, created, &[])], "The ARN could not be parsed");
    }
    let far = "arn:aws:sqs:eu-west-1:000000000000:jobs";
    check(vec![queue(far, created, &[])], "region is not valid");
    check(vec![queue(&format!("{QUEUE}.fifo"), created, &[])], "FIFO SQS queues are not supported");
    check(vec![queue(QUEUE, &["s3:ObjectCreated"], &[])], "is not supported for notifications");
    check(vec![queue(QUEUE, created, &[("infix", "a")])], "must be either prefix or suffix");
    let twice = [("prefix", "a"), ("Prefix", "b")];
    check(vec![queue(QUEUE, created, &twice)], "more than one prefix rule");
    let other = "arn:aws:sqs:us-east-1:000000000000:other";
    check(
        vec![queue(QUEUE, created, &[]), queue(other, &["s3:ObjectCreated:Put"], &[])],
        "Configurations on the same bucket cannot share a common event type.",
    );
    check(
        vec![
            queue(QUEUE, created, &[("prefix", "a/")]),
            queue(other, created, &[("prefix", "a/b/"), ("suffix", ".x")]),
        ],
        "Cannot have overlapping suffixes in two rules if the prefixes are overlapping",
    );
    let same = QueueConfiguration { id: Some("one".into()), ..queue(QUEUE, created, &[]) };
    let removed = QueueConfiguration { events: vec!["s3:ObjectRemoved:*".into()], ..same.clone() };
    check(vec![same, removed], "IDs must be unique");
    let none = cloud.notify(queues(vec![queue(QUEUE, &[], &[])])).unwrap_err();
    assert_eq!(none.code(), "MalformedXML");
    // Apart in prefix, in suffix or in kind of event is fine.
    cloud
        .notify(queues(vec![
            queue(QUEUE, created, &[("prefix", "a/")]),
            queue(other, created, &[("prefix", "b/")]),
            queue(other, &["s3:ObjectRemoved:*"], &[("prefix", "a/")]),
            queue(other, created, &[("prefix", "c/"), ("suffix", ".jpg")]),
            queue(QUEUE, created, &[("prefix", "c/"), ("suffix", ".png")]),
        ]))
        .unwrap();
}
