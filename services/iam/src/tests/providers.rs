//! Providers of identities, and the roles of services.

use super::{DOCUMENT, TRUST, World, call, fine, refused};
use gen_iam::Tag;

const GITHUB: &str = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com";

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.into(), value: value.into() }
}

#[test]
fn open_id_connect() {
    let world = World::new();
    let make = |url: &str| {
        call!(world write create_open_id_connect_provider CreateOpenIDConnectProviderInput {
            url: url, client_id_list: vec!["sts.amazonaws.com".to_owned()], tags: vec![tag("a", "1")],
        })
    };
    let arn = fine(make("https://token.actions.githubusercontent.com/"));
    assert_eq!(arn.open_id_connect_provider_arn.as_deref(), Some(GITHUB));
    let url = "https://token.actions.githubusercontent.com";
    refused(make(url), "EntityAlreadyExists", &format!("Provider with url {url} already exists."));
    for bad in ["http://example.com", "ftp://x", "https://", "https://a b", "https://a?x", "a"] {
        refused(make(bad), "ValidationError", "Invalid Open ID Connect Provider URL");
    }
    fine(make("http://localhost:8080/realms/x"));
    fine(make("http://127.0.0.1:9"));
    refused(
        make("http://127.0.0.1.example.com"),
        "ValidationError",
        "Invalid Open ID Connect Provider URL",
    );
    fine(
        call!(world write add_client_id_to_open_id_connect_provider AddClientIDToOpenIDConnectProviderInput {
            open_id_connect_provider_arn: GITHUB, client_id: "b",
        }),
    );
    fine(
        call!(world write remove_client_id_from_open_id_connect_provider RemoveClientIDFromOpenIDConnectProviderInput {
            open_id_connect_provider_arn: GITHUB, client_id: "sts.amazonaws.com",
        }),
    );
    let print = "6938fd4d98bab03faadb97b34396831e3780aea1".to_owned();
    fine(
        call!(world write update_open_id_connect_provider_thumbprint UpdateOpenIDConnectProviderThumbprintInput {
            open_id_connect_provider_arn: GITHUB, thumbprint_list: vec![print.clone()],
        }),
    );
    fine(call!(world write tag_open_id_connect_provider TagOpenIDConnectProviderInput {
        open_id_connect_provider_arn: GITHUB, tags: vec![tag("A", "2"), tag("b", "3")],
    }));
    let get = || {
        call!(world read get_open_id_connect_provider GetOpenIDConnectProviderInput {
            open_id_connect_provider_arn: GITHUB,
        })
    };
    let found = fine(get());
    assert_eq!(found.url.as_deref(), Some("token.actions.githubusercontent.com"));
    assert_eq!(found.client_id_list, Some(vec!["b".to_owned()]));
    assert_eq!(found.thumbprint_list, Some(vec![print]));
    assert_eq!(found.tags.map(|tags| tags.len()), Some(2));
    let all =
        fine(call!(world read list_open_id_connect_providers ListOpenIDConnectProvidersInput {}));
    assert_eq!(all.open_id_connect_provider_list.map(|list| list.len()), Some(3));
    for _ in 0..2 {
        fine(call!(world write delete_open_id_connect_provider DeleteOpenIDConnectProviderInput {
            open_id_connect_provider_arn: GITHUB,
        }));
    }
    refused(get(), "NoSuchEntity", &format!("OpenIDConnect Provider not found for arn {GITHUB}"));
}

#[test]
fn saml() {
    let world = World::new();
    let real = include_str!("../../../../crates/saml/src/tests/metadata.xml");
    let metadata = |rest: &str| real.replace(" entityID", &format!(" {rest} entityID"));
    let make = |document: &str| {
        call!(world write create_saml_provider CreateSAMLProviderInput {
            name: "corp", saml_metadata_document: document,
        })
    };
    for bad in
        ["x", "<a/>", &real.replace("X509Data", "X509Date"), &metadata("validUntil=\"soon\"")]
    {
        refused(make(bad), "InvalidInput", "Could not parse metadata");
    }
    let document = metadata("validUntil=\"2030-01-02T03:04:05Z\"");
    let arn = fine(make(&document)).saml_provider_arn.expect("an ARN");
    assert_eq!(arn, "arn:aws:iam::111122223333:saml-provider/corp");
    refused(make(&document), "EntityAlreadyExists", "SAML provider with name corp already exists.");
    let get = || call!(world read get_saml_provider GetSAMLProviderInput { saml_provider_arn: arn.clone() });
    let found = fine(get());
    assert_eq!(found.saml_metadata_document, Some(document));
    assert_eq!(
        found.valid_until.map(|t| t.iso8601_secs()).as_deref(),
        Some("2030-01-02T03:04:05Z")
    );
    fine(call!(world write update_saml_provider UpdateSAMLProviderInput {
        saml_provider_arn: arn.clone(), saml_metadata_document: metadata(""),
    }));
    assert!(fine(get()).valid_until > found.valid_until);
    fine(
        call!(world write delete_saml_provider DeleteSAMLProviderInput { saml_provider_arn: arn.clone() }),
    );
    refused(get(), "NoSuchEntity", &format!("Manifest not found for arn {arn}"));
}

#[test]
fn roles_of_services() {
    let world = World::new();
    let make = |service: &str, suffix: Option<String>| {
        call!(world write create_service_linked_role CreateServiceLinkedRoleInput {
            aws_service_name: service, custom_suffix: suffix,
        })
    };
    let role = fine(make("ecs.amazonaws.com", None)).role.expect("a role");
    assert_eq!(
        role.arn,
        "arn:aws:iam::111122223333:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
    );
    refused(
        make("ecs.amazonaws.com", None),
        "InvalidInput",
        "Service role name AWSServiceRoleForECS has been taken in this account, please try a different suffix.",
    );
    refused(
        make("ecs.amazonaws.com", Some("x".into())),
        "InvalidInput",
        "Custom suffix is not allowed for ecs.amazonaws.com",
    );
    let scaling = fine(make("autoscaling.amazonaws.com", Some("x".into()))).role.expect("a role");
    assert_eq!(scaling.role_name, "AWSServiceRoleForAutoScaling_x");
    assert!(make("nothing.amazonaws.com", None).is_err());

    let protected = "Cannot perform the operation on the protected role 'AWSServiceRoleForECS' - this role is only modifiable by AWS";
    let name = "AWSServiceRoleForECS";
    refused(
        call!(world write delete_role DeleteRoleInput { role_name: name }),
        "UnmodifiableEntity",
        protected,
    );
    refused(
        call!(world write put_role_policy PutRolePolicyInput {
            role_name: name, policy_name: "p", policy_document: DOCUMENT,
        }),
        "UnmodifiableEntity",
        protected,
    );
    refused(
        call!(world write update_assume_role_policy UpdateAssumeRolePolicyInput {
            role_name: name, policy_document: TRUST,
        }),
        "UnmodifiableEntity",
        protected,
    );
    let task = fine(
        call!(world write delete_service_linked_role DeleteServiceLinkedRoleInput { role_name: name }),
    );
    let status = fine(
        call!(world read get_service_linked_role_deletion_status GetServiceLinkedRoleDeletionStatusInput {
            deletion_task_id: task.deletion_task_id,
        }),
    );
    assert_eq!(status.status, "SUCCEEDED");
    refused(
        call!(world read get_role GetRoleInput { role_name: name }),
        "NoSuchEntity",
        "The role with name AWSServiceRoleForECS cannot be found.",
    );
}

/// Who has the name of a deleted user since is not whom the role trusts.
#[test]
fn trust_is_for_who_was_there() {
    let world = World::new();
    let alice = || call!(world write create_user CreateUserInput { user_name: "alice" });
    let id = fine(alice()).user.expect("a user").user_id;
    let trust = TRUST.replace(
        r#"{"Service":"ec2.amazonaws.com"}"#,
        r#"{ "AWS": "arn:aws:iam::111122223333:user\/alice" }"#,
    );
    fine(call!(world write create_role CreateRoleInput {
        role_name: "R", assume_role_policy_document: trust.as_str(),
    }));
    let shown = || {
        let role = fine(call!(world read get_role GetRoleInput { role_name: "R" })).role;
        let document = role.assume_role_policy_document.expect("a trust policy");
        String::from_utf8(base::percent::decode(&document).into_owned()).expect("UTF-8")
    };
    assert_eq!(shown(), trust);
    fine(call!(world write delete_user DeleteUserInput { user_name: "alice" }));
    let gone = trust.replace(r"arn:aws:iam::111122223333:user\/alice", &id);
    assert_eq!(shown(), gone);
    fine(alice());
    assert_eq!(shown(), gone);
    fine(call!(world write update_assume_role_policy UpdateAssumeRolePolicyInput {
        role_name: "R", policy_document: trust.as_str(),
    }));
    assert_eq!(shown(), trust);
}
