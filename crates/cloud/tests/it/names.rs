//! Which host names lead here, for DNS and certificates.

use crate::world::{services, with};
use api::{Hooks, Service, Tx};
use gateway::AccessRules;
use gateway::names::HostStanding::{self, Absent, Foreign, Ours};
use std::sync::Arc;

struct Front;

impl gen_lambda::LambdaApi for Front {}
impl Hooks for Front {
    fn has_host(&self, _: &Tx, name: &str) -> bool {
        name == "d1234.cloudfront.net"
    }
}

fn check(expected: HostStanding, names: &[&str]) {
    let mut all: Vec<Arc<dyn Service>> = services();
    all.retain(|service| service.model().name != "lambda");
    all.push(Arc::new(gen_lambda::Handler(Front)));
    let access = AccessRules { host_names: vec!["cloud.test".into()], ..AccessRules::default() };
    let world = with(all, access);
    for name in names {
        assert_eq!(world.gateway.host_standing(name), expected, "{name}");
    }
}

#[test]
fn names_that_lead_here() {
    check(
        Ours,
        &[
            "localhost",
            "x.localhost",
            "cloud.test",
            "s3.cloud.test",
            "localhost.localstack.cloud",
            "photos.s3.localhost.localstack.cloud",
            "s3.amazonaws.com",
            "s3.us-east-1.amazonaws.com",
            "s3-us-west-2.amazonaws.com",
            "s3-external-1.amazonaws.com",
            "photos.s3.amazonaws.com",
            "my.photos.s3.eu-west-1.amazonaws.com",
            "photos.s3.dualstack.us-west-2.amazonaws.com",
            "photos.s3-website-us-east-1.amazonaws.com",
            "www.example.com.s3-website.eu-central-1.amazonaws.com",
            "iam.amazonaws.com",
            "sts.amazonaws.com",
            "sts.eu-west-1.amazonaws.com",
            "sqs.us-east-1.amazonaws.com",
            "queue.amazonaws.com",
            "eu-west-1.queue.amazonaws.com",
            "dynamodb.us-east-1.amazonaws.com",
            "123456789012.ddb.us-east-1.amazonaws.com",
            "s3.cn-north-1.amazonaws.com.cn",
            "ec2.us-gov-west-1.amazonaws.com",
            "d1234.cloudfront.net",
        ],
    );
}

#[test]
fn names_of_aws_that_lead_nowhere() {
    check(
        Absent,
        &[
            "amazonaws.com",
            "nonesuch.us-east-1.amazonaws.com",
            "s3.eu-north-9.amazonaws.com",
            "photos.s3.xx-east-1.amazonaws.com",
            "photos.s3-website-xx-east-1.amazonaws.com",
            "photos.s3-website.amazonaws.com",
            "sqs.xx-east-1.amazonaws.com",
            "x.y.sqs.us-east-1.amazonaws.com",
            "a?b.amazonaws.com",
            "a?b.s3.amazonaws.com",
            "1234.ddb.us-east-1.amazonaws.com",
            "d9999.cloudfront.net",
            "pool.auth.us-east-1.amazoncognito.com",
            "env.us-east-1.elasticbeanstalk.com",
            "abc.lambda-url.us-east-1.on.aws",
        ],
    );
}

#[test]
fn names_of_others() {
    check(
        Foreign,
        &["", "example.com", "xamazonaws.com", "amazonaws.com.evil.org", "aws.amazon.com", "cloud"],
    );
}
