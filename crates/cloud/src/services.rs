//! The table of services: one row each.

use api::Service;
use std::sync::Arc;

pub fn all() -> Vec<Arc<dyn Service>> {
    vec![Arc::new(gen_s3::Handler(service_s3::S3::new()))]
}
