//! Is the document a policy? AWS has two readers with words of their own: the older one takes what
//! is attached to identities, the newer one what names principals. The order of the questions is
//! theirs too, since a document with two faults is refused for one of them.

use crate::condition::Head;
use crate::document::{Kind, as_text, either, member, principals, scalars, statements, texts};
use crate::error::PolicyError;
use crate::json::Json;
use crate::principal::Who;
use base::AccountId;

const TOP: [&str; 3] = ["Version", "Id", "Statement"];
const STATEMENT: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];
const PAIRS: [(&str, &str); 3] =
    [("Principal", "NotPrincipal"), ("Action", "NotAction"), ("Resource", "NotResource")];
const PARTITIONS: [&str; 7] =
    ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f"];
/// What the resource of an IAM ARN begins with.
const IAM_PATHS: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

type Check = Result<(), PolicyError>;

fn fail(message: impl Into<String>) -> Check {
    Err(PolicyError::new(message))
}

fn ensure(ok: bool, message: &str) -> Check {
    if ok { Ok(()) } else { fail(message) }
}

/// The refusal for a document that is JSON but has not the form of a policy.
pub(crate) fn syntax(kind: Kind) -> PolicyError {
    PolicyError::new(match kind {
        Kind::Inline | Kind::Managed | Kind::Session => "Syntax errors in policy.",
        Kind::Trust => "Syntax error in policy.",
        Kind::Resource | Kind::Bucket => "Invalid policy syntax.",
    })
}

pub(crate) fn document(kind: Kind, document: &Json) -> Check {
    if kind.names_principals() { newer(kind, document) } else { older(kind, document) }
}

fn older(kind: Kind, document: &Json) -> Check {
    let bad = || syntax(kind);
    let Json::Object(members) = document else { return Err(bad()) };
    let version = member(document, "Version");
    let versions = [Some("2008-10-17"), Some("2012-10-17")];
    let form = members.iter().all(|(name, _)| TOP.contains(&name.as_str()))
        && version.is_none_or(|version| versions.contains(&as_text(version)))
        && member(document, "Id").is_none_or(|id| as_text(id).is_some());
    let list = statements(document).filter(|list| form && !list.is_empty()).ok_or_else(bad)?;
    if !list.iter().all(has_form) {
        return Err(bad());
    }
    if list.iter().any(|json| either(json, "Principal", "NotPrincipal").is_some()) {
        return fail("Policy document should not specify a principal.");
    }
    ensure(
        kind != Kind::Managed || version.and_then(as_text) == Some("2012-10-17"),
        "Policy document must be version 2012-10-17 or greater.",
    )?;
    let fault = list.iter().flat_map(resources).find_map(resource_fault);
    let legacy = list.iter().all(|json| {
        effect_is_exact(json)
            && tests(json).all(|(head, value)| !head.is_date() || is_legacy_date(value))
            && (fault.is_some() || resources(json).all(is_legacy_resource))
    });
    ensure(legacy, "The policy failed legacy parsing")?;
    sids(list, "Statement IDs (SID) in a single policy must be unique.")?;
    let alphanumeric = |sid: &str| sid.bytes().all(|b| b.is_ascii_alphanumeric());
    ensure(
        list.iter().filter_map(|json| member(json, "Sid")).filter_map(as_text).all(alphanumeric),
        "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
    )?;
    let missing = |plain, not| {
        list.iter().any(|json| either(json, plain, not).is_none_or(|(_, json)| is_empty_list(json)))
    };
    ensure(!missing("Action", "NotAction"), "Policy statement must contain actions.")?;
    let vendors = || {
        let lists = list.iter().filter_map(|json| either(json, "Action", "NotAction"));
        lists.flat_map(|(_, json)| texts(json).unwrap_or_default()).try_for_each(vendor)
    };
    if missing("Resource", "NotResource") {
        vendors()?;
        return fail("Policy statement must contain resources.");
    }
    match fault {
        Some(message) => fail(message),
        None => vendors(),
    }
}

/// Whether a statement has the elements of a statement, each of its type.
fn has_form(json: &Json) -> bool {
    let Json::Object(members) = json else { return false };
    let effect = member(json, "Effect").and_then(as_text).unwrap_or_default();
    members.iter().all(|(name, value)| match name.as_str() {
        "Sid" => as_text(value).is_some(),
        "Action" | "NotAction" | "Resource" | "NotResource" => texts(value).is_some(),
        "Condition" => conditions_have_form(value),
        other => STATEMENT.contains(&other),
    }) && PAIRS.iter().all(|(plain, not)| !(has(json, plain) && has(json, not)))
        && ["Allow", "Deny"].iter().any(|known| known.eq_ignore_ascii_case(effect))
}

fn has(json: &Json, name: &str) -> bool {
    member(json, name).is_some()
}

fn conditions_have_form(json: &Json) -> bool {
    let Json::Object(operators) = json else { return false };
    operators.iter().all(|(operator, keys)| match keys {
        Json::Object(keys) => {
            keys.iter().all(|(_, values)| scalars(values).is_some())
                && (keys.is_empty() || Head::parse(operator).is_some())
        }
        _ => false,
    })
}

fn effect_is_exact(json: &Json) -> bool {
    matches!(member(json, "Effect").and_then(as_text), Some("Allow" | "Deny"))
}

/// The operators of a statement with each of their values.
fn tests(json: &Json) -> impl Iterator<Item = (Head, String)> {
    let operators = match member(json, "Condition") {
        Some(Json::Object(operators)) => operators.as_slice(),
        _ => &[],
    };
    operators.iter().flat_map(|(operator, keys)| {
        let keys = if let Json::Object(keys) = keys { keys.as_slice() } else { &[] };
        keys.iter().flat_map(move |(_, values)| {
            let values = scalars(values).unwrap_or_default();
            let head = Head::parse(operator);
            values.into_iter().filter_map(move |value| Some((head?, value.into_owned())))
        })
    })
}

fn resources(json: &Json) -> impl Iterator<Item = &str> {
    let list = either(json, "Resource", "NotResource").and_then(|(_, json)| texts(json));
    list.unwrap_or_default().into_iter()
}

fn is_empty_list(json: &Json) -> bool {
    matches!(json, Json::Array(items) if items.is_empty())
}

fn sids(list: &[Json], message: &str) -> Check {
    let sids = list.iter().filter_map(|json| member(json, "Sid")).filter_map(as_text);
    let mut sids: Vec<&str> = sids.filter(|sid| !sid.is_empty()).collect();
    sids.sort_unstable();
    ensure(sids.windows(2).all(|pair| pair[0] != pair[1]), message)
}

fn is_legacy_resource(text: &str) -> bool {
    let mut fields = text.splitn(6, ':');
    let vendor = fields.nth(2);
    text == "*"
        || (vendor.is_some_and(|vendor| !vendor.is_empty())
            && (fields.count() == 3 || !text.contains("::")))
}

/// What IAM says of a resource that is not one.
fn resource_fault(text: &str) -> Option<String> {
    if text == "*" {
        return None;
    }
    let Some((_, rest)) = text.split_once(':') else {
        return Some(format!("Resource {text} must be in ARN format or \"*\"."));
    };
    let fields: Vec<&str> = rest.splitn(5, ':').collect();
    let partition = fields[0];
    if partition != "*" && !PARTITIONS.contains(&partition) && !partition.starts_with("${") {
        let field = |index: usize| fields.get(index).copied();
        let vendor = field(1).filter(|vendor| !vendor.is_empty() || fields.len() > 2);
        let [vendor, region, account, resource] =
            [vendor, field(2), field(3), field(4)].map(|field| field.unwrap_or("*"));
        return Some(format!(
            "Partition \"{partition}\" is not valid for resource \"arn:{partition}:{vendor}:{region}:{account}:{resource}\"."
        ));
    }
    let Some(vendor) = fields.get(1).filter(|vendor| !vendor.contains(['*', '?'])) else {
        return Some("Resource vendor must be fully qualified and cannot contain regexes.".into());
    };
    let region = fields.get(2).copied().unwrap_or_default();
    let resource = fields.get(4).copied();
    match *vendor {
        "iam" if !matches!(region, "" | "*") => {
            Some(format!("IAM resource {text} cannot contain region information."))
        }
        "s3" if !matches!(region, "" | "*")
            && !resource.is_some_and(|r| r.starts_with("accesspoint")) =>
        {
            Some(format!("Resource {text} can not contain region information."))
        }
        "iam" if !resource.is_none_or(is_iam_path) => Some(format!(
            "IAM resource path must either be \"*\", root, or start with {}.",
            IAM_PATHS.join(", ")
        )),
        _ => None,
    }
}

fn is_iam_path(resource: &str) -> bool {
    let pattern = resource.contains(['*', '?', '$']);
    resource == "root" || pattern || IAM_PATHS.iter().any(|path| resource.starts_with(path))
}

fn vendor(action: &str) -> Check {
    if action == "*" {
        return Ok(());
    }
    let Some((vendor, name)) = action.split_once(':') else {
        return fail("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
    };
    ensure(!name.contains(':'), "Actions/Condition can contain only one colon.")?;
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if vendor != "*" && !vendor.bytes().all(known) {
        return fail(format!("Vendor {vendor} is not valid"));
    }
    Ok(())
}

/// Whether the older reader takes a date: a number of seconds, or ISO 8601 with any part left out.
fn is_legacy_date(text: String) -> bool {
    let text = text.to_ascii_lowercase();
    if !text.contains(['t', '-']) {
        return text.parse::<i64>().is_ok_and(|seconds| seconds >= 0);
    }
    let within = |digits: &str, range: std::ops::RangeInclusive<i64>| {
        digits.bytes().all(|b| b.is_ascii_digit())
            && digits.parse().is_ok_and(|number: i64| range.contains(&number))
    };
    let (date, time) = text.split_once('t').unwrap_or((&text, ""));
    let (limit, date) = match date.strip_prefix('-') {
        Some(rest) => (292_275_054, rest),
        None => (292_278_993, date),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let ranges = [0..=limit, 1..=12, 1..=31];
    if parts.len() > 3 || !parts.iter().zip(ranges).all(|(part, range)| within(part, range)) {
        return false;
    }
    let parts: Vec<&str> = time.splitn(3, ':').collect();
    let seconds_ok = |text: &str| {
        let (clock, zone) = match text.find(['z', '+']) {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
        let zone_ok = zone.is_empty() || zone == "z" || {
            let (hours, minutes) = zone[1..].split_once(':').unwrap_or((&zone[1..], "00"));
            zone.starts_with('+')
                && (hours.len(), minutes.len()) == (2, 2)
                && within(hours, 0..=23)
                && within(minutes, 0..=59)
        };
        within(seconds, 0..=59) && within(fraction, 0..=999_999_999) && zone_ok
    };
    match parts[..] {
        [""] => true,
        [hours] => within(hours, 0..=23),
        [hours, minutes] => within(hours, 0..=23) && within(minutes, 0..=59),
        [hours, minutes, rest] => {
            within(hours, 0..=23) && within(minutes, 0..=59) && seconds_ok(rest)
        }
        _ => false,
    }
}

fn newer(kind: Kind, document: &Json) -> Check {
    let Json::Object(members) = document else { return Err(syntax(kind)) };
    if let Some((name, _)) = members.iter().find(|(name, _)| !TOP.contains(&name.as_str())) {
        return fail(format!("Unknown field {name}"));
    }
    let version = member(document, "Version").map(as_text);
    ensure(
        matches!(version, None | Some(Some("2008-10-17" | "2012-10-17"))),
        "The policy must contain a valid version string",
    )?;
    if member(document, "Id").is_some_and(|id| as_text(id).is_none()) {
        return Err(syntax(kind));
    }
    ensure(has(document, "Statement"), "Missing required field Statement")?;
    let list = statements(document).ok_or_else(|| syntax(kind))?;
    ensure(!list.is_empty(), "Could not parse the policy: Statement is empty!")?;
    list.iter().try_for_each(|json| newer_statement(kind, json))?;
    sids(list, "The Statement Ids in the policy are not unique")
}

fn newer_statement(kind: Kind, json: &Json) -> Check {
    let Json::Object(members) = json else { return Err(syntax(kind)) };
    if let Some((name, _)) = members.iter().find(|(name, _)| !STATEMENT.contains(&name.as_str())) {
        return fail(format!("Unknown field {name}"));
    }
    for (plain, not) in PAIRS {
        if has(json, plain) && has(json, not) {
            return fail(format!("Statement/policy already has instance of {plain}"));
        }
    }
    if member(json, "Sid").is_some_and(|sid| as_text(sid).is_none()) {
        return Err(syntax(kind));
    }
    match member(json, "Effect") {
        None => return fail("Missing required field Effect"),
        Some(Json::Text(effect)) if matches!(effect.as_str(), "Allow" | "Deny") => {}
        Some(Json::Text(effect)) => return fail(format!("Invalid effect: {effect}")),
        Some(_) => return Err(syntax(kind)),
    }
    newer_principal(kind, json)?;
    let actions = required_list(kind, json, "Action", "NotAction")?;
    match kind {
        Kind::Trust => ensure(
            actions.iter().all(|action| prefixed(action, "sts:")),
            "AssumeRole policy may only specify STS AssumeRole actions.",
        )?,
        Kind::Bucket => {
            ensure(actions.iter().all(|action| is_s3_action(action)), "Policy has invalid action")?
        }
        _ => ensure(actions.iter().all(|a| vendor(a).is_ok()), "Policy has invalid action")?,
    }
    if kind == Kind::Trust {
        ensure(!has(json, "Resource"), "Has prohibited field Resource")?;
        ensure(!has(json, "NotResource"), "AssumeRole policy must not contain resources.")?;
    } else {
        let resources = required_list(kind, json, "Resource", "NotResource")?;
        let ok = resources.iter().all(|text| resource_fault(text).is_none() && is_resource(text));
        ensure(ok, "Policy has invalid resource")?;
    }
    member(json, "Condition").map_or(Ok(()), |conditions| newer_conditions(kind, conditions))
}

fn is_resource(text: &str) -> bool {
    text == "*" || (text.starts_with("arn:") && is_legacy_resource(text))
}

fn prefixed(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

fn is_s3_action(text: &str) -> bool {
    let name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"*?".contains(&b))
    };
    text == "*" || (prefixed(text, "s3:") && name(&text[3..]))
}

fn required_list<'j>(
    kind: Kind,
    json: &'j Json,
    plain: &str,
    not: &str,
) -> Result<Vec<&'j str>, PolicyError> {
    let Some((_, list)) = either(json, plain, not) else {
        return Err(PolicyError::new(format!("Missing required field {plain}")));
    };
    let list = texts(list).ok_or_else(|| syntax(kind))?;
    if list.is_empty() {
        return Err(PolicyError::new(format!("Missing required field {plain} cannot be empty!")));
    }
    Ok(list)
}

fn newer_principal(kind: Kind, json: &Json) -> Check {
    let Some((negated, element)) = either(json, "Principal", "NotPrincipal") else {
        return fail("Missing required field Principal");
    };
    if negated {
        let allow = member(json, "Effect").and_then(as_text) == Some("Allow");
        ensure(!allow, "Allow with NotPrincipal is not allowed.")?;
        let trust = kind == Kind::Trust;
        ensure(!trust, "AssumeRole policy must not contain NotPrincipal field.")?;
    }
    match element {
        Json::Text(_) if kind == Kind::Trust => return fail("Principal must be a JSON object."),
        Json::Object(types) if types.is_empty() => {
            return fail("Missing required field Principal cannot be empty!");
        }
        _ => {}
    }
    let known: &[&str] = match kind {
        Kind::Trust => &["AWS", "Service", "Federated"],
        _ => &["AWS", "Service", "Federated", "CanonicalUser"],
    };
    let types = if let Json::Object(types) = element { types.as_slice() } else { &[] };
    if let Some((name, _)) = types.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return bad_principal(kind, name, None);
    }
    let Some(list) = principals(element) else { return bad_principal(kind, "", None) };
    if list.is_empty() {
        return bad_principal(kind, types.first().map_or("", |(name, _)| name), None);
    }
    if let Some(who) = list.iter().find(|who| !is_principal(who)) {
        let (name, value) = who.parts();
        return bad_principal(kind, name, Some(&value));
    }
    let cognito = Who::Federated("cognito-identity.amazonaws.com".to_owned());
    ensure(
        kind != Kind::Trust || has(json, "Condition") || !list.contains(&cognito),
        "A condition block must be present for the Cognito provider",
    )
}

/// S3 does not say which principal; IAM does.
fn bad_principal(kind: Kind, name: &str, value: Option<&str>) -> Check {
    match (kind, name, value) {
        (Kind::Trust, "Service", Some(value)) => {
            fail(format!("Invalid principal in policy: \"SERVICE\":\"{value}\""))
        }
        (Kind::Trust, name, Some(value)) => {
            fail(format!("Invalid principal in policy: \"{name}\":\"{value}\""))
        }
        (Kind::Trust, "", None) => Err(syntax(kind)),
        (Kind::Trust, name, None) => fail(format!("Invalid principal in policy: \"{name}\"")),
        _ => fail("Invalid principal in policy"),
    }
}

fn is_principal(who: &Who) -> bool {
    match who {
        Who::Everybody | Who::Account(_) => true,
        Who::Aws(text) => is_unique_id(text) || is_identity_arn(text),
        // A wildcard for services or providers names nobody.
        Who::Service(name) => {
            let ok = |b: u8| b.is_ascii_alphanumeric() || b"-._/".contains(&b);
            name.contains('.') && name.bytes().all(ok)
        }
        Who::Federated(name) => !name.is_empty() && !name.contains(char::is_whitespace),
        Who::CanonicalUser(id) => id.len() == 64 && base::hex::decode(id.as_bytes()).is_some(),
    }
}

/// What AWS leaves in a policy when the user or role it named is deleted.
fn is_unique_id(text: &str) -> bool {
    matches!(text.get(..4), Some("AIDA" | "AROA"))
        && (16..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn is_identity_arn(text: &str) -> bool {
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, resource] = fields[..] else { return false };
    let prefixes: &[&str] = match service {
        "iam" => &["user/", "role/"],
        "sts" => &["assumed-role/", "federated-user/"],
        _ => return false,
    };
    PARTITIONS.contains(&partition)
        && (AccountId::parse(account).is_some() || account == "cloudfront")
        && !resource.contains(['*', '?'])
        && prefixes.iter().any(|p| resource.strip_prefix(p).is_some_and(|name| !name.is_empty()))
}

fn newer_conditions(kind: Kind, json: &Json) -> Check {
    let Json::Object(operators) = json else { return Err(syntax(kind)) };
    for (operator, keys) in operators {
        let Some(head) = Head::parse(operator) else {
            return fail(format!("Invalid Condition type : {operator}"));
        };
        let Json::Object(keys) = keys else { return Err(syntax(kind)) };
        for (_, values) in keys {
            let values = scalars(values).ok_or_else(|| syntax(kind))?;
            if let Some(value) = values.iter().find(|value| !head.accepts(value)) {
                return fail(format!("Invalid Condition value \"{value}\" for {operator}"));
            }
        }
    }
    Ok(())
}
