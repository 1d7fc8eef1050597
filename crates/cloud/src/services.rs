//! The table of services: one row each.

use crate::cli;
use crate::settings::Config;
use api::{Hooks, Service};
use gateway::Web;
use std::sync::Arc;

/// Where Linux distributions keep the certificates that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub fn all(config: &Config) -> Vec<Arc<dyn Service>> {
    vec![
        Arc::new(gen_dynamodb::Handler(service_dynamodb::DynamoDb::with_limits(
            service_dynamodb::Limits {
                throttling: config.dynamodb_throttling,
                ..service_dynamodb::Limits::default()
            },
        ))),
        Arc::new(gen_dynamodbstreams::Handler(service_dynamodb::Streams)),
        Arc::new(gen_iam::Handler(service_iam::Iam)),
        Arc::new(gen_s3::Handler(service_s3::S3::with_defaults(config.bucket_defaults))),
        Arc::new(gen_s3control::Handler(service_s3::Control)),
        Arc::new(gen_sts::Handler(service_sts::Sts::new(Arc::new(Web::new(trusted))))),
        // Known by their models alone: each operation answers 501 with its name, in its protocol.
        Arc::new(gen_cloudwatch::Handler(ToCome)),
        Arc::new(gen_ec2::Handler(ToCome)),
        Arc::new(gen_lambda::Handler(ToCome)),
        Arc::new(gen_sqs::Handler(ToCome)),
    ]
}

/// The certificates that this machine trusts, in PEM; nothing where it keeps none.
#[allow(clippy::disallowed_methods, reason = "read once, when somebody else's TLS is first met")]
pub fn trusted() -> Vec<u8> {
    let own = cli::variable("SSL_CERT_FILE");
    let paths = own.iter().map(String::as_str).chain(BUNDLES);
    paths.filter_map(|path| std::fs::read(path).ok()).next().unwrap_or_default()
}

/// A service of which nothing is done yet.
struct ToCome;

impl Hooks for ToCome {
    fn is_there(&self) -> bool {
        false
    }
}
impl gen_cloudwatch::CloudWatchApi for ToCome {}
impl gen_ec2::EC2Api for ToCome {}
impl gen_lambda::LambdaApi for ToCome {}
impl gen_sqs::SQSApi for ToCome {}
