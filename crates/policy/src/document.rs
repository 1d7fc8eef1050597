//! A policy document: reading, checking and compiling.

use crate::arn_pattern::ArnPattern;
use crate::condition::{Head, Test};
use crate::error::PolicyError;
use crate::json::{self, Json, JsonError};
use crate::pattern::Pattern;
use crate::principal::Who;
use crate::statement::{Effect, List, Statement};
use crate::{bucket, check};
use std::borrow::Cow;

/// The most that any service takes as a policy parameter, in bytes.
pub const POLICY_TEXT_BYTES_MAX: usize = 131_072;

/// What a policy is for. It decides which elements are required or prohibited, how large the
/// document may be and in whose words it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Inline in a user, group or role. IAM bounds the sum per holder, not the document.
    Inline,
    /// A managed policy, and so a permissions boundary.
    Managed,
    /// Passed to `AssumeRole` or `GetFederationToken`.
    Session,
    /// Who may assume a role: a principal, no resource.
    Trust,
    /// Attached to a resource of any service but S3; service and resource control policies too
    /// where they name a principal.
    Resource,
    /// Attached to an S3 bucket. [`Policy::check_bucket`] does the rest, which needs its name.
    Bucket,
}

impl Kind {
    /// The quota's AWS name and its value; [`Policy::counted_size`] says what is counted.
    pub fn limit(self) -> Option<(&'static str, usize)> {
        match self {
            Kind::Inline | Kind::Resource => None,
            Kind::Managed => Some(("PolicySize", 6_144)),
            Kind::Session => Some(("PackedPolicySize", 2_048)),
            Kind::Trust => Some(("ACLSizePerRole", 2_048)),
            Kind::Bucket => Some(("BucketPolicySize", 20_480)),
        }
    }

    /// Whether the policy names principals; else its holder is the principal.
    pub fn names_principals(self) -> bool {
        matches!(self, Kind::Trust | Kind::Resource | Kind::Bucket)
    }
}

/// A parsed policy: immutable, to be shared.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    id: Option<Box<str>>,
    kind: Kind,
    pub(crate) statements: Box<[Statement]>,
}

impl Policy {
    /// Reads and checks a document. The error's text is AWS's.
    pub fn parse(kind: Kind, text: &str) -> Result<Policy, PolicyError> {
        let (quota, limit) = kind.limit().unwrap_or(("PolicySize", POLICY_TEXT_BYTES_MAX));
        let size = match kind {
            Kind::Bucket => text.len(),
            _ => Policy::counted_size(text),
        };
        if text.len() > POLICY_TEXT_BYTES_MAX {
            return Err(PolicyError::TooLarge { quota, limit });
        }
        let document = json::read(text).map_err(|error| unreadable(kind, text, error))?;
        check::document(kind, &document)?;
        if size > limit {
            return Err(PolicyError::TooLarge { quota, limit });
        }
        compile(kind, &document).ok_or_else(|| check::syntax(kind))
    }

    /// The size that IAM holds against its quotas: characters that are not white space.
    pub fn counted_size(text: &str) -> usize {
        text.chars().filter(|c| !c.is_whitespace()).count()
    }

    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// All principals that the document names, in `Principal` and `NotPrincipal`: the holder of the
    /// policy checks that they exist.
    pub fn principals(&self) -> impl Iterator<Item = &Who> {
        self.statements.iter().filter_map(Statement::principals).flat_map(|(_, list)| list)
    }

    /// Whether some statement gives something to everybody.
    pub fn is_public(&self) -> bool {
        self.statements().iter().any(Statement::is_public)
    }

    /// The condition keys that the document asks for, in conditions and variables, in lower case,
    /// sorted, each once.
    pub fn context_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        for statement in &self.statements {
            keys.extend(
                statement
                    .condition
                    .iter()
                    .flat_map(|test| std::iter::once(test.key()).chain(test.variables())),
            );
            let patterns = statement.resource.iter().flat_map(|list| &list.items);
            keys.extend(patterns.flat_map(ArnPattern::variables));
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The same, each with the way in which the text writes it.
    pub fn context_keys_as_written(&self, text: &str) -> Vec<(String, String)> {
        let known = crate::texts::words(text);
        let written = |key: &str| known.get(key).cloned().unwrap_or_else(|| key.to_owned());
        self.context_keys().into_iter().map(|key| (key.to_owned(), written(key))).collect()
    }

    /// Whether some statement allows some action of the service, whatever its resources and conditions.
    pub fn grants_service(&self, service: &str) -> bool {
        self.statements.iter().any(|statement| statement.allows_some(service))
    }

    /// The same for the policy of an access point: resources are it, or objects through it.
    pub fn check_access_point(text: &str, arn: &str) -> Result<Policy, PolicyError> {
        let policy = Policy::parse(Kind::Bucket, text)?;
        let document = json::read(text).map_err(|error| unreadable(Kind::Bucket, text, error))?;
        bucket::check_access_point(&document, arn)?;
        Ok(policy)
    }

    /// What only the bucket's name can tell: resources must lie in it, and each action must apply
    /// to one of them.
    pub fn check_bucket(text: &str, bucket: &str) -> Result<Policy, PolicyError> {
        let policy = Policy::parse(Kind::Bucket, text)?;
        let document = json::read(text).map_err(|error| unreadable(Kind::Bucket, text, error))?;
        bucket::check(&document, bucket)?;
        Ok(policy)
    }
}

fn unreadable(kind: Kind, text: &str, error: JsonError) -> PolicyError {
    if !kind.names_principals() {
        return check::syntax(kind);
    }
    PolicyError::new(match error {
        JsonError::Duplicate(name) => {
            format!("Statement/policy already has instance of {name}")
        }
        JsonError::Syntax if kind == Kind::Bucket && !text.trim_start().starts_with('{') => {
            "Policies must be valid JSON and the first byte must be '{'".to_owned()
        }
        JsonError::Syntax => "This policy contains invalid Json".to_owned(),
    })
}

pub(crate) fn member<'j>(object: &'j Json, name: &str) -> Option<&'j Json> {
    match object {
        Json::Object(members) => members.iter().find(|(own, _)| own == name).map(|(_, json)| json),
        _ => None,
    }
}

/// A string, or an array of strings.
pub(crate) fn texts(json: &Json) -> Option<Vec<&str>> {
    match json {
        Json::Text(text) => Some(vec![text]),
        Json::Array(items) => items.iter().map(as_text).collect(),
        _ => None,
    }
}

pub(crate) fn as_text(json: &Json) -> Option<&str> {
    if let Json::Text(text) = json { Some(text) } else { None }
}

/// The values of a condition: strings, numbers, booleans, or an array of them.
pub(crate) fn scalars(json: &Json) -> Option<Vec<Cow<'_, str>>> {
    match json {
        Json::Array(items) => items.iter().map(scalar).collect(),
        one => scalar(one).map(|value| vec![value]),
    }
}

fn scalar(json: &Json) -> Option<Cow<'_, str>> {
    match json {
        Json::Text(text) | Json::Number(text) => Some(Cow::Borrowed(text)),
        Json::Bool(true) => Some(Cow::Borrowed("true")),
        Json::Bool(false) => Some(Cow::Borrowed("false")),
        _ => None,
    }
}

/// The statements, of which a single one needs no array.
pub(crate) fn statements(document: &Json) -> Option<&[Json]> {
    match member(document, "Statement")? {
        Json::Array(items) => Some(items),
        one @ Json::Object(_) => Some(std::slice::from_ref(one)),
        _ => None,
    }
}

/// `None` cannot happen after the checks; it is here so that nothing panics if they have a gap.
fn compile(kind: Kind, document: &Json) -> Option<Policy> {
    let variables = member(document, "Version").and_then(as_text) == Some("2012-10-17");
    let compiled = statements(document)?.iter().map(|json| statement(kind, json, variables));
    Some(Policy {
        id: member(document, "Id").and_then(as_text).map(Into::into),
        kind,
        statements: compiled.collect::<Option<_>>()?,
    })
}

fn statement(kind: Kind, json: &Json, variables: bool) -> Option<Statement> {
    let effect = match member(json, "Effect").and_then(as_text)? {
        "Allow" => Effect::Allow,
        "Deny" => Effect::Deny,
        _ => return None,
    };
    let principal = match either(json, "Principal", "NotPrincipal") {
        Some((negated, json)) => Some(List { negated, items: principals(json)?.into() }),
        None if kind.names_principals() => return None,
        None => None,
    };
    let (negated, actions) = either(json, "Action", "NotAction")?;
    // A variable in an action would be a way to let the caller choose what it may do.
    let items = texts(actions)?.into_iter().map(|text| Pattern::new(text, false)).collect();
    let action = List { negated, items };
    let resource = match either(json, "Resource", "NotResource") {
        Some((negated, json)) => {
            let items = texts(json)?.into_iter().map(|text| ArnPattern::new(text, variables));
            Some(List { negated, items: items.collect() })
        }
        None => None,
    };
    let condition = member(json, "Condition").map_or(Some(Vec::new()), |j| tests(j, variables))?;
    Some(Statement {
        sid: member(json, "Sid").and_then(as_text).filter(|sid| !sid.is_empty()).map(Into::into),
        effect,
        principal,
        action,
        resource,
        condition: condition.into(),
    })
}

/// The element or its `Not` form, and whether it is that.
pub(crate) fn either<'j>(json: &'j Json, plain: &str, not: &str) -> Option<(bool, &'j Json)> {
    match (member(json, plain), member(json, not)) {
        (Some(json), _) => Some((false, json)),
        (None, Some(json)) => Some((true, json)),
        (None, None) => None,
    }
}

/// `None` if the element is no principal in form. Whether the names are good is not asked here.
pub(crate) fn principals(json: &Json) -> Option<Vec<Who>> {
    let types = match json {
        Json::Text(text) if text == "*" => return Some(vec![Who::Everybody]),
        Json::Object(types) => types,
        _ => return None,
    };
    let mut all = Vec::new();
    for (kind, names) in types {
        let who: fn(&str) -> Who = match kind.as_str() {
            "AWS" => Who::aws,
            "Service" => |name| Who::Service(name.to_owned()),
            "Federated" => |name| Who::Federated(name.to_owned()),
            "CanonicalUser" => |id| Who::CanonicalUser(id.to_owned()),
            _ => return None,
        };
        all.extend(texts(names)?.into_iter().map(who));
    }
    Some(all)
}

fn tests(json: &Json, variables: bool) -> Option<Vec<Test>> {
    let Json::Object(operators) = json else { return None };
    let mut tests = Vec::new();
    for (operator, keys) in operators {
        let Json::Object(keys) = keys else { return None };
        // IAM takes an unknown operator that tests nothing.
        if keys.is_empty() {
            continue;
        }
        let head = Head::parse(operator)?;
        for (key, values) in keys {
            let values = scalars(values)?;
            tests.push(Test::new(head, key, values.iter().map(|v| &**v), variables));
        }
    }
    Some(tests)
}
