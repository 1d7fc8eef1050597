//! What must be allowed, from the input alone. Names become ARNs without a path here; the hook in
//! `hooks.rs` puts in the true ones.

use api::{Ask, Cx, Error};
use gen_iam::Tag;
use std::borrow::Cow;

pub(crate) type Asks = Result<Vec<Ask>, Error>;

/// An IAM ARN of the account.
pub(crate) fn arn(cx: &Cx, resource: &str) -> String {
    format!("arn:{}:iam::{}:{resource}", cx.partition().as_str(), cx.account)
}

/// One ask, named after the operation.
fn ask(cx: &Cx, resource: &str) -> Ask {
    Ask::new(format!("iam:{}", cx.operation.name), arn(cx, resource))
}

/// On `kind/name`, `kind` as ARNs have it.
pub(crate) fn named(cx: &Cx, kind: &str, name: &str) -> Asks {
    Ok(vec![ask(cx, &format!("{kind}/{name}"))])
}

/// On the user, or without a name on the caller.
pub(crate) fn user(cx: &Cx, name: Option<&str>) -> Asks {
    named(cx, "user", name.unwrap_or(&cx.caller.name))
}

/// Making something.
pub(crate) fn new(
    cx: &Cx,
    kind: &str,
    path: Option<&str>,
    name: &str,
    tags: Option<&[Tag]>,
    boundary: Option<&str>,
) -> Asks {
    let path = path.unwrap_or("/");
    let ask = ask(cx, &format!("{kind}{path}{name}")).key("iam:permissionsboundary", boundary);
    Ok(vec![with_tags(ask, tags.unwrap_or_default())])
}

/// The keys that a request's tags give.
pub(crate) fn with_tags(mut ask: Ask, tags: &[Tag]) -> Ask {
    for tag in tags {
        let key = format!("aws:requesttag/{}", tag.key.to_ascii_lowercase());
        ask.context.push((Cow::Owned(key), vec![tag.value.clone()]));
    }
    if !tags.is_empty() {
        let keys = tags.iter().map(|tag| tag.key.clone()).collect();
        ask.context.push((Cow::Borrowed("aws:tagkeys"), keys));
    }
    ask
}

/// Tagging something.
pub(crate) fn tagging(cx: &Cx, kind: &str, name: &str, tags: &[Tag]) -> Asks {
    Ok(vec![with_tags(ask(cx, &format!("{kind}/{name}")), tags)])
}

pub(crate) fn untagging(cx: &Cx, kind: &str, name: &str, keys: &[String]) -> Asks {
    let mut ask = ask(cx, &format!("{kind}/{name}"));
    ask.context.push((Cow::Borrowed("aws:tagkeys"), keys.to_vec()));
    Ok(vec![ask])
}

/// Attaching or detaching a managed policy.
pub(crate) fn attaching(cx: &Cx, kind: &str, name: &str, policy_arn: &str) -> Asks {
    Ok(vec![ask(cx, &format!("{kind}/{name}")).key("iam:policyarn", Some(policy_arn))])
}

/// Setting a permissions boundary.
pub(crate) fn bounding(cx: &Cx, kind: &str, name: &str, boundary: &str) -> Asks {
    Ok(vec![ask(cx, &format!("{kind}/{name}")).key("iam:permissionsboundary", Some(boundary))])
}

/// On what an ARN names.
pub(crate) fn by_arn(cx: &Cx, arn: &str) -> Asks {
    Ok(vec![Ask::new(format!("iam:{}", cx.operation.name), arn)])
}

/// On the account as a whole.
pub(crate) fn account(cx: &Cx) -> Asks {
    by_arn(cx, "*")
}

pub(crate) fn tagging_arn(cx: &Cx, arn: &str, tags: &[Tag]) -> Asks {
    Ok(vec![with_tags(Ask::new(format!("iam:{}", cx.operation.name), arn), tags)])
}

pub(crate) fn untagging_arn(cx: &Cx, arn: &str, keys: &[String]) -> Asks {
    let mut ask = Ask::new(format!("iam:{}", cx.operation.name), arn);
    ask.context.push((Cow::Borrowed("aws:tagkeys"), keys.to_vec()));
    Ok(vec![ask])
}

/// A new provider of OpenID Connect is named by its URL without the scheme.
pub(crate) fn new_oidc(cx: &Cx, url: &str, tags: Option<&[Tag]>) -> Asks {
    let name = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    new(cx, "oidc-provider", None, name, tags, None)
}

/// Making the role of a service.
pub(crate) fn service_linked(cx: &Cx, service: &str, suffix: Option<&str>) -> Asks {
    let ask = ask(cx, &crate::service_linked::resource(service, suffix));
    Ok(vec![ask.key("iam:awsservicename", Some(service))])
}

/// On the role whose deletion the task is: `task/aws-service-role/SERVICE/ROLE/ID`.
pub(crate) fn role_of_task(cx: &Cx, task: &str) -> Asks {
    let role = task.strip_prefix("task/").and_then(|rest| rest.rsplit_once('/'));
    Ok(vec![ask(cx, &format!("role/{}", role.map_or("*", |(role, _)| role)))])
}

/// On a managed policy.
pub(crate) fn policy(cx: &Cx, policy_arn: &str) -> Asks {
    Ok(vec![Ask::new(format!("iam:{}", cx.operation.name), policy_arn)])
}

/// Listing things of a kind.
pub(crate) fn list(cx: &Cx, kind: &str, path_prefix: Option<&str>) -> Asks {
    Ok(vec![ask(cx, &format!("{kind}{}", path_prefix.unwrap_or("/")))])
}

/// Listing policies has no resource that a policy could name.
pub(crate) fn list_policies(path_prefix: Option<&str>) -> Asks {
    let resource = format!("policy path {}", path_prefix.unwrap_or("/"));
    Ok(vec![Ask::new("iam:ListPolicies", resource)])
}

/// Putting a role into an instance profile hands it to EC2.
pub(crate) fn passing(cx: &Cx, profile: &str, role: &str) -> Asks {
    let pass = Ask::new("iam:PassRole", arn(cx, &format!("role/{role}")))
        .key("iam:passedtoservice", Some("ec2.amazonaws.com"));
    Ok(vec![ask(cx, &format!("instance-profile/{profile}")), pass])
}
