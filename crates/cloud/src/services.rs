//! The table of services: one row each.

use crate::settings::Config;
use api::{Hooks, Service};
use std::sync::Arc;

pub fn all(config: &Config) -> Vec<Arc<dyn Service>> {
    vec![
        Arc::new(gen_iam::Handler(service_iam::Iam)),
        Arc::new(gen_s3::Handler(service_s3::S3::with_defaults(config.bucket_defaults))),
        Arc::new(gen_sts::Handler(service_sts::Sts)),
        // Known by their models alone: each operation answers 501 with its name, in its protocol.
        Arc::new(gen_cloudwatch::Handler(ToCome)),
        Arc::new(gen_dynamodb::Handler(ToCome)),
        Arc::new(gen_ec2::Handler(ToCome)),
        Arc::new(gen_lambda::Handler(ToCome)),
        Arc::new(gen_sqs::Handler(ToCome)),
    ]
}

/// A service of which nothing is done yet.
struct ToCome;

impl Hooks for ToCome {}
impl gen_cloudwatch::CloudWatchApi for ToCome {}
impl gen_dynamodb::DynamoDBApi for ToCome {}
impl gen_ec2::EC2Api for ToCome {}
impl gen_lambda::LambdaApi for ToCome {}
impl gen_sqs::SQSApi for ToCome {}
