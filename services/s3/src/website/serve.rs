//! What a website host answers: which object a path stands for, where it redirects to, and what is
//! shown where something went wrong. The gateway fetches the objects, as a request of nobody.

use super::document;
use crate::bucket;
use api::{Error, Tx, WebAnswer, WebFailure, WebRequest};
use base::percent;
use gen_s3::errors as e;
use gen_s3::{Redirect, RoutingRule, WebsiteConfiguration};

fn configuration(tx: &Tx, asked: &WebRequest<'_>) -> Result<WebsiteConfiguration, Error> {
    let bucket = bucket::find(tx, asked.bucket)?;
    document::kept(tx, &bucket)?.ok_or_else(|| {
        let text = "The specified bucket does not have a website configuration";
        Error::new(&e::NO_SUCH_WEBSITE_CONFIGURATION, text).detail("BucketName", asked.bucket)
    })
}

fn protocol<'a>(asked: &WebRequest<'_>, given: &'a Option<String>) -> &'a str {
    given.as_deref().unwrap_or(if asked.secure { "https" } else { "http" })
}

/// The address of a key, percent-encoded as far as an address must be.
fn address(protocol: &str, host: &str, key: &str) -> String {
    format!("{protocol}://{host}/{}", percent::encode_path(key.as_bytes()))
}

/// Before anything is fetched.
pub fn first(tx: &Tx, asked: &WebRequest<'_>) -> Result<WebAnswer, Error> {
    let document = configuration(tx, asked)?;
    if let Some(all) = &document.redirect_all_requests_to {
        let mut location = address(protocol(asked, &all.protocol), &all.host_name, asked.key);
        if !asked.query.is_empty() {
            location.push('?');
            location.push_str(asked.query);
        }
        return Ok(WebAnswer::Redirect { status: 301, location });
    }
    let rules = document.routing_rules.as_deref().unwrap_or_default();
    if let Some((rule, prefix)) = rules.iter().find_map(|rule| matches(rule, asked.key, None)) {
        return Ok(redirect(asked, &rule.redirect, prefix));
    }
    let suffix = document.index_document.map(|index| index.suffix).unwrap_or_default();
    if asked.key.is_empty() || asked.key.ends_with('/') {
        return Ok(WebAnswer::Object { key: format!("{}{suffix}", asked.key), folder: None });
    }
    let folder = format!("{}/{suffix}", asked.key);
    Ok(WebAnswer::Object { key: asked.key.to_owned(), folder: Some(folder) })
}

/// After an object could not be had, with that status.
pub fn failed(tx: &Tx, asked: &WebRequest<'_>, status: u16) -> Result<WebFailure, Error> {
    let document = configuration(tx, asked)?;
    let rules = document.routing_rules.as_deref().unwrap_or_default();
    let rule = rules.iter().find_map(|rule| matches(rule, asked.key, Some(status)));
    if let Some((rule, prefix)) = rule
        && let WebAnswer::Redirect { status, location } = redirect(asked, &rule.redirect, prefix)
    {
        return Ok(WebFailure::Redirect { status, location });
    }
    Ok(match document.error_document {
        Some(error) if (400..500).contains(&status) => WebFailure::Document { key: error.key },
        _ => WebFailure::Plain,
    })
}

/// Whether a rule is for this key and this outcome, and the prefix that it named.
fn matches<'r>(
    rule: &'r RoutingRule,
    key: &str,
    status: Option<u16>,
) -> Option<(&'r RoutingRule, &'r str)> {
    let condition = rule.condition.as_ref();
    let prefix = condition.and_then(|c| c.key_prefix_equals.as_deref()).unwrap_or_default();
    let wanted = condition.and_then(|c| c.http_error_code_returned_equals.as_deref());
    let wanted = wanted.map(|code| code.parse::<u16>().ok());
    let fits = match (wanted, status) {
        (None, None) => true,
        (Some(wanted), Some(status)) => wanted == Some(status),
        _ => false,
    };
    (fits && key.starts_with(prefix)).then_some((rule, prefix))
}

fn redirect(asked: &WebRequest<'_>, to: &Redirect, prefix: &str) -> WebAnswer {
    let key = match (&to.replace_key_with, &to.replace_key_prefix_with) {
        (Some(key), _) => key.clone(),
        (None, Some(with)) => format!("{with}{}", &asked.key[prefix.len()..]),
        (None, None) => asked.key.to_owned(),
    };
    let host = to.host_name.as_deref().unwrap_or(asked.host);
    let status = to.http_redirect_code.as_deref().and_then(|code| code.parse().ok());
    let location = address(protocol(asked, &to.protocol), host, &key);
    WebAnswer::Redirect { status: status.unwrap_or(301), location }
}
