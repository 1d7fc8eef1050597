//! Entry point for fuzzing: any bytes are read as every kind of policy, and whatever parses is put
//! to work.

use crate::{
    Context, Kind, Named, Policies, Policy, Principal, Request, ResourceRole, evaluate, explain,
};
use base::AccountId;

/// Must not panic, and must end quickly, on anything.
pub fn fuzz_policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    crate::statement_places(&text);
    crate::foreign_partition(&text, "aws");
    assert_eq!(crate::replace_principals(&text, |_| None), text);
    crate::replace_principals(&text, |own| (own.len() > 2).then(|| "x".to_owned()));
    let kinds =
        [Kind::Inline, Kind::Managed, Kind::Session, Kind::Trust, Kind::Resource, Kind::Bucket];
    let user = Principal::user(AccountId::DEFAULT, "arn:aws:iam::000000000000:user/a");
    let context = Context::new()
        .with("aws:username", "a*?${b}")
        .with("aws:tagkeys", vec!["a".into(), "b".into()])
        .with("aws:securetransport", true)
        .with("aws:sourceip", "203.0.113.9");
    for kind in kinds {
        let Ok(policy) = Policy::parse(kind, &text) else { continue };
        let named = Named { policy: &policy, name: "fuzz" };
        let list = [named];
        let request = Request {
            principal: &user,
            action: "s3:GetObject",
            resource: "arn:aws:s3:::bucket/a:b/c",
            resource_account: None,
            context: &context,
        };
        let policies = if kind.names_principals() {
            Policies { resource: Some(named), ..Policies::default() }
        } else {
            Policies { identity: &list, boundary: Some(named), ..Policies::default() }
        };
        let trusting = Policies { resource_role: ResourceRole::Trust, ..policies };
        for policies in [policies, trusting] {
            let decision = evaluate(&request, &policies);
            let applied = explain(&request, &policies).iter().any(|e| e.missed.is_none());
            assert!(decision.by.is_none() || applied, "decided by a statement that does not apply");
            decision.refusal(&request);
        }
        policy.context_keys();
    }
    // Its result does not matter here, only that it returns.
    let _ = Policy::check_bucket(&text, "bucket");
}
