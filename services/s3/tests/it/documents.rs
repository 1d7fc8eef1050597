//! Configuration documents: what is refused, and that the rest comes back as it was.

use crate::Cloud;
use api::{Error, OriginAnswer};
use gen_s3::*;

fn code<T>(result: Result<T, Error>) -> String {
    result.map_or_else(|error| error.code().to_owned(), |_| "ok".into())
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn rules_for_other_origins() {
    let cloud = Cloud::new();
    let put = |rule: CORSRule| {
        let input = PutBucketCorsInput {
            bucket: "box".into(),
            cors_configuration: CORSConfiguration { cors_rules: vec![rule] },
            ..Default::default()
        };
        cloud.call::<PutBucketCorsOutput>("PutBucketCors", &input)
    };
    let get = || {
        let input = GetBucketCorsInput { bucket: "box".into(), ..Default::default() };
        cloud.call::<GetBucketCorsOutput>("GetBucketCors", &input)
    };
    let rule = CORSRule {
        allowed_methods: texts(&["GET"]),
        allowed_origins: texts(&["https://*.example.com"]),
        max_age_seconds: Some(5),
        ..CORSRule::default()
    };
    assert_eq!(code(get()), "NoSuchCORSConfiguration");
    put(rule.clone()).unwrap();
    let kept = get().unwrap().cors_rules.unwrap();
    assert_eq!(kept[0].allowed_origins, rule.allowed_origins);
    assert_eq!(kept[0].max_age_seconds, Some(5));
    let allowed = |bucket: &str, origin: &str| {
        let asked = api::CrossOrigin { origin, method: "GET", headers: &[] };
        let hooks = service_s3::S3::new();
        cloud.world.store.read(|tx| api::Hooks::cross_origin(&hooks, tx, bucket, &asked)).unwrap()
    };
    let OriginAnswer::Rule(rule_that_fits) = allowed("box", "https://a.example.com") else {
        panic!("the rule fits")
    };
    assert_eq!(rule_that_fits.max_age_secs, Some(5));
    assert_eq!(allowed("box", "https://a.example.org"), OriginAnswer::NoneFits);
    assert_eq!(allowed("nowhere", "https://a.example.com"), OriginAnswer::NoBucket);
    let bad = CORSRule { allowed_methods: texts(&["PATCH"]), ..rule.clone() };
    assert_eq!(code(put(bad)), "InvalidRequest");
    let bad = CORSRule { allowed_origins: texts(&["*.*"]), ..rule.clone() };
    assert_eq!(code(put(bad)), "InvalidRequest");
    let bad = CORSRule { expose_headers: Some(texts(&["x-*"])), ..rule.clone() };
    assert_eq!(code(put(bad)), "InvalidRequest");
    assert_eq!(code(put(CORSRule { allowed_origins: Vec::new(), ..rule })), "MalformedXML");
    let input = DeleteBucketCorsInput { bucket: "box".into(), ..Default::default() };
    cloud.call::<DeleteBucketCorsOutput>("DeleteBucketCors", &input).unwrap();
    assert_eq!(code(get()), "NoSuchCORSConfiguration");
}

fn expire(days: i32) -> LifecycleRule {
    LifecycleRule {
        expiration: Some(LifecycleExpiration { days: Some(days), ..Default::default() }),
        prefix: Some(String::new()),
        status: "Enabled".into(),
        ..LifecycleRule::default()
    }
}

#[test]
fn lives_of_objects() {
    let cloud = Cloud::new();
    let put = |rules: Vec<LifecycleRule>| {
        let input = PutBucketLifecycleConfigurationInput {
            bucket: "box".into(),
            lifecycle_configuration: Some(BucketLifecycleConfiguration { rules }),
            ..Default::default()
        };
        cloud.call::<PutBucketLifecycleConfigurationOutput>(
            "PutBucketLifecycleConfiguration",
            &input,
        )
    };
    let get = || {
        let input =
            GetBucketLifecycleConfigurationInput { bucket: "box".into(), ..Default::default() };
        cloud.call::<GetBucketLifecycleConfigurationOutput>(
            "GetBucketLifecycleConfiguration",
            &input,
        )
    };
    assert_eq!(code(get()), "NoSuchLifecycleConfiguration");
    put(vec![expire(3)]).unwrap();
    let kept = get().unwrap();
    let size = kept.transition_default_minimum_object_size.as_deref();
    assert_eq!(size, Some("all_storage_classes_128K"));
    let rules = kept.rules.unwrap();
    assert!(rules[0].id.as_ref().is_some_and(|id| !id.is_empty()));
    assert_eq!(rules[0].expiration.as_ref().unwrap().days, Some(3));
    let check = |rules: Vec<LifecycleRule>, expected: &str| {
        assert_eq!(code(put(rules)), expected);
    };
    check(Vec::new(), "MalformedXML");
    check(vec![expire(0)], "InvalidArgument");
    check(vec![LifecycleRule { status: "enabled".into(), ..expire(1) }], "MalformedXML");
    check(vec![LifecycleRule { prefix: None, ..expire(1) }], "MalformedXML");
    check(vec![LifecycleRule { expiration: None, ..expire(1) }], "InvalidRequest");
    let named = LifecycleRule { id: Some("a".into()), ..expire(1) };
    check(vec![named.clone(), named], "InvalidArgument");
    let long = LifecycleRule { id: Some("a".repeat(256)), ..expire(1) };
    check(vec![long], "InvalidArgument");
    let moved = |class: &str, days: i32| {
        let transition = Transition {
            days: Some(days),
            storage_class: Some(class.into()),
            ..Transition::default()
        };
        LifecycleRule { transitions: Some(vec![transition]), ..expire(40) }
    };
    check(vec![moved("GLACIER", 1)], "ok");
    check(vec![moved("STANDARD_IA", 29)], "InvalidArgument");
    check(vec![moved("GLACIER", 40)], "InvalidArgument");
    check(vec![moved("CELLAR", 1)], "MalformedXML");
    let both = LifecycleRule { filter: Some(LifecycleRuleFilter::default()), ..expire(1) };
    check(vec![both], "MalformedXML");
}

#[test]
fn websites() {
    let cloud = Cloud::new();
    let put = |document: WebsiteConfiguration| {
        let input = PutBucketWebsiteInput {
            bucket: "box".into(),
            website_configuration: document,
            ..Default::default()
        };
        cloud.call::<PutBucketWebsiteOutput>("PutBucketWebsite", &input)
    };
    let get = || {
        let input = GetBucketWebsiteInput { bucket: "box".into(), ..Default::default() };
        cloud.call::<GetBucketWebsiteOutput>("GetBucketWebsite", &input)
    };
    let index = |suffix: &str| WebsiteConfiguration {
        index_document: Some(IndexDocument { suffix: suffix.into() }),
        ..WebsiteConfiguration::default()
    };
    assert_eq!(code(get()), "NoSuchWebsiteConfiguration");
    put(index("index.html")).unwrap();
    assert_eq!(get().unwrap().index_document.unwrap().suffix, "index.html");
    assert_eq!(code(put(index("a/b"))), "InvalidArgument");
    assert_eq!(code(put(WebsiteConfiguration::default())), "InvalidArgument");
    let all = RedirectAllRequestsTo { host_name: "example.com".into(), protocol: None };
    let redirect =
        WebsiteConfiguration { redirect_all_requests_to: Some(all), ..Default::default() };
    put(redirect.clone()).unwrap();
    let both = WebsiteConfiguration { index_document: index("i").index_document, ..redirect };
    assert_eq!(code(put(both)), "InvalidArgument");
    let rule = |code: &str| RoutingRule {
        redirect: Redirect { http_redirect_code: Some(code.into()), ..Redirect::default() },
        ..RoutingRule::default()
    };
    let routed = |code: &str| WebsiteConfiguration {
        routing_rules: Some(vec![rule(code)]),
        ..index("index.html")
    };
    assert_eq!(code(put(routed("301"))), "ok");
    assert_eq!(code(put(routed("200"))), "InvalidArgument");
}

#[test]
fn notifications() {
    let cloud = Cloud::new();
    let put = |arn: &str, event: &str| {
        let queue = QueueConfiguration {
            queue_arn: arn.into(),
            events: texts(&[event]),
            ..QueueConfiguration::default()
        };
        let document = NotificationConfiguration {
            queue_configurations: Some(vec![queue]),
            ..NotificationConfiguration::default()
        };
        let input = PutBucketNotificationConfigurationInput {
            bucket: "box".into(),
            notification_configuration: document,
            ..Default::default()
        };
        let operation = "PutBucketNotificationConfiguration";
        cloud.call::<PutBucketNotificationConfigurationOutput>(operation, &input)
    };
    let arn = "arn:aws:sqs:us-east-1:000000000000:q";
    put(arn, "s3:ObjectCreated:*").unwrap();
    assert_eq!(code(put(arn, "s3:ObjectLiked")), "InvalidArgument");
    assert_eq!(
        code(put("arn:aws:sns:us-east-1:000000000000:q", "s3:ObjectCreated:*")),
        "InvalidArgument"
    );
    let input =
        GetBucketNotificationConfigurationInput { bucket: "box".into(), ..Default::default() };
    let kept: GetBucketNotificationConfigurationOutput =
        cloud.call("GetBucketNotificationConfiguration", &input).unwrap();
    let queue = &kept.queue_configurations.unwrap()[0];
    assert_eq!(queue.queue_arn, arn);
    assert!(queue.id.is_some());
}

#[test]
fn configurations_with_ids() {
    let cloud = Cloud::new();
    let put = |id: &str, own: &str| {
        let input = PutBucketMetricsConfigurationInput {
            bucket: "box".into(),
            id: id.into(),
            metrics_configuration: MetricsConfiguration { id: own.into(), filter: None },
            ..Default::default()
        };
        cloud.call::<PutBucketMetricsConfigurationOutput>("PutBucketMetricsConfiguration", &input)
    };
    let list = |token: Option<String>| {
        let input = ListBucketMetricsConfigurationsInput {
            bucket: "box".into(),
            continuation_token: token,
            ..Default::default()
        };
        let operation = "ListBucketMetricsConfigurations";
        cloud.call::<ListBucketMetricsConfigurationsOutput>(operation, &input)
    };
    assert_eq!(code(put("a", "b")), "InvalidArgument");
    for i in 0..101 {
        put(&format!("{i:03}"), &format!("{i:03}")).unwrap();
    }
    let first = list(None).unwrap();
    assert_eq!(first.metrics_configuration_list.unwrap().len(), 100);
    let rest = list(first.next_continuation_token).unwrap();
    assert_eq!(rest.metrics_configuration_list.unwrap()[0].id, "100");
    assert_eq!(code(list(Some("beef".into()))), "InvalidArgument");
    let input = DeleteBucketMetricsConfigurationInput {
        bucket: "box".into(),
        id: "100".into(),
        ..Default::default()
    };
    let delete = || {
        let operation = "DeleteBucketMetricsConfiguration";
        cloud.call::<DeleteBucketMetricsConfigurationOutput>(operation, &input)
    };
    assert_eq!(code(delete()), "ok");
    assert_eq!(code(delete()), "NoSuchConfiguration");
}

/// What contradicts itself is refused, and nothing is kept of it.
#[test]
fn configurations_that_make_no_sense() {
    let cloud = Cloud::new();
    let inventory = |change: &dyn Fn(&mut InventoryConfiguration)| {
        let mut document = InventoryConfiguration {
            id: "all".into(),
            is_enabled: true,
            included_object_versions: "All".into(),
            schedule: InventorySchedule { frequency: "Daily".into() },
            ..InventoryConfiguration::default()
        };
        let to = &mut document.destination.s3_bucket_destination;
        (to.bucket, to.format) = ("arn:aws:s3:::reports".into(), "CSV".into());
        change(&mut document);
        let input = PutBucketInventoryConfigurationInput {
            bucket: "box".into(),
            id: document.id.clone(),
            inventory_configuration: document,
            ..Default::default()
        };
        code(cloud.call::<PutBucketInventoryConfigurationOutput>(
            "PutBucketInventoryConfiguration",
            &input,
        ))
    };
    let to = |arn: &'static str| {
        move |document: &mut InventoryConfiguration| {
            document.destination.s3_bucket_destination.bucket = arn.into();
        }
    };
    assert_eq!(inventory(&|d| d.schedule.frequency = "Hourly".into()), "MalformedXML");
    assert_eq!(inventory(&|d| d.included_object_versions = "Old".into()), "MalformedXML");
    let fields = |names: &'static [&str]| {
        move |document: &mut InventoryConfiguration| {
            document.optional_fields = Some(names.iter().map(|n| (*n).into()).collect());
        }
    };
    assert_eq!(inventory(&fields(&["Size", "Size"])), "MalformedXML");
    assert_eq!(inventory(&fields(&["Weight"])), "MalformedXML");
    for arn in ["reports", "arn:aws:s3:::reports/x", "arn:aws:sqs:us-east-1:1:q"] {
        assert_eq!(inventory(&to(arn)), "InvalidS3DestinationBucket", "{arn}");
    }
    assert_eq!(inventory(&|d| d.id = "a b".into()), "InvalidArgument");
    assert_eq!(inventory(&fields(&["Size", "ETag"])), "ok");
    let tiering = |tiers: &[(&str, i32)]| {
        let tier =
            |(name, days): &(&str, i32)| Tiering { days: *days, access_tier: (*name).into() };
        let document = IntelligentTieringConfiguration {
            id: "t".into(),
            status: "Enabled".into(),
            tierings: tiers.iter().map(tier).collect(),
            ..Default::default()
        };
        let input = PutBucketIntelligentTieringConfigurationInput {
            bucket: "box".into(),
            id: "t".into(),
            intelligent_tiering_configuration: document,
            ..Default::default()
        };
        code(cloud.call::<PutBucketIntelligentTieringConfigurationOutput>(
            "PutBucketIntelligentTieringConfiguration",
            &input,
        ))
    };
    let (archive, deep) = ("ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS");
    assert_eq!(tiering(&[]), "MalformedXML");
    assert_eq!(tiering(&[("SOME", 90)]), "MalformedXML");
    assert_eq!(tiering(&[(archive, 89)]), "InvalidArgument");
    assert_eq!(tiering(&[(deep, 731)]), "InvalidArgument");
    assert_eq!(tiering(&[(archive, 90), (archive, 91)]), "InvalidArgument");
    assert_eq!(tiering(&[(archive, 200), (deep, 180)]), "InvalidArgument");
    assert_eq!(tiering(&[(archive, 90), (deep, 180)]), "ok");
    let metrics = |filter: MetricsFilter| {
        let document = MetricsConfiguration { id: "m".into(), filter: Some(filter) };
        let input = PutBucketMetricsConfigurationInput {
            bucket: "box".into(),
            id: "m".into(),
            metrics_configuration: document,
            ..Default::default()
        };
        let operation = "PutBucketMetricsConfiguration";
        code(cloud.call::<PutBucketMetricsConfigurationOutput>(operation, &input))
    };
    let prefix = || Some("a".to_owned());
    let tag = || Some(Tag { key: "k".into(), value: "v".into() });
    assert_eq!(metrics(MetricsFilter::default()), "MalformedXML");
    assert_eq!(
        metrics(MetricsFilter { prefix: prefix(), tag: tag(), ..Default::default() }),
        "MalformedXML"
    );
    let and = MetricsAndOperator { prefix: prefix(), ..Default::default() };
    assert_eq!(metrics(MetricsFilter { and: Some(and), ..Default::default() }), "MalformedXML");
    let point = MetricsFilter { access_point_arn: prefix(), ..Default::default() };
    assert_eq!(metrics(point), "InvalidArgument");
    assert_eq!(metrics(MetricsFilter { tag: tag(), ..Default::default() }), "ok");
}
