//! The text of a refusal, as
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html> gives it.

use crate::evaluate::{Decision, Layer, Outcome, Request};
use crate::principal::PrincipalKind;

impl Decision<'_> {
    /// The message that goes with `AccessDenied`. S3 puts the resource in quotes, and tells a
    /// stranger or another account nothing.
    pub fn refusal(&self, request: &Request<'_>) -> String {
        let is_s3 = request.action.get(..3).is_some_and(|head| head.eq_ignore_ascii_case("s3:"));
        if is_s3 && (self.cross_account || request.principal.kind() == PrincipalKind::Anonymous) {
            return "Access Denied".to_owned();
        }
        let quote = if is_s3 { "\"" } else { "" };
        let (user, action, resource) = (request.principal.arn(), request.action, request.resource);
        let because = self.because(action);
        format!(
            "User: {user} is not authorized to perform: {action} on resource: {quote}{resource}{quote}{because}"
        )
    }

    fn because(&self, action: &str) -> String {
        let (article, layer) = match self.layer {
            Layer::ResourceControl => ("a", "resource control policy"),
            Layer::ServiceControl => ("a", "service control policy"),
            Layer::Endpoint => ("a", "VPC endpoint policy"),
            Layer::Resource => ("a", "resource-based policy"),
            Layer::Trust => ("the", "role trust policy"),
            Layer::Identity => ("an", "identity-based policy"),
            Layer::Boundary => ("a", "permissions boundary"),
            Layer::Session => ("a", "session policy"),
            Layer::Ownership => return String::new(),
        };
        match self.outcome {
            Outcome::Allowed => String::new(),
            Outcome::ExplicitDeny => format!(" with an explicit deny in {article} {layer}"),
            Outcome::ImplicitDeny => format!(" because no {layer} allows the {action} action"),
        }
    }
}
