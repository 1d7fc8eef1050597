//! Website hosting: the configuration of a bucket, and what a website host answers by it.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html>

mod document;
mod serve;

pub use document::{delete, get, put};
pub use serve::{failed, first};
