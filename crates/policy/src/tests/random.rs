//! Random policies and requests against a second evaluator, which is slow and follows the
//! documentation to the letter; and a second's worth of the fuzz target from a fixed seed.

use crate::fuzz::fuzz_policy;
use crate::{
    Context, Kind, Named, Outcome, Policies, Policy, Principal, PrincipalKind, Request,
    ResourceRole, Value, evaluate,
};
use base::{AccountId, Entropy, Partition, SeededEntropy};

struct Dice(SeededEntropy);

impl Dice {
    fn one<'a>(&self, from: &[&'a str]) -> &'a str {
        from[self.0.below(from.len() as u64) as usize]
    }

    fn some(&self, from: &[&str]) -> Vec<String> {
        (0..=self.0.below(2)).map(|_| self.one(from).to_owned()).collect()
    }

    fn chance(&self, one_in: u64) -> bool {
        self.0.below(one_in) == 0
    }
}

const ACTIONS: [&str; 7] =
    ["*", "s3:*", "s3:Get*", "S3:getobject", "s3:?etObject", "sqs:*", "s3:Put*Object"];
const RESOURCES: [&str; 9] = [
    "*",
    "arn:aws:s3:::b/*",
    "arn:aws:s3:*",
    "arn:aws:s3:::?/k*",
    "arn:*:s3:::b/${aws:username}",
    "arn:aws:s3:::b/${nobody}*",
    "arn:aws:s3:::c/*",
    "arn:aws:sqs:*:*:q",
    "arn:aws:s3:::b/${who, 'k'}",
];
const WHO: [&str; 9] = [
    "*",
    "111122223333",
    "444455556666",
    USER,
    ROLE,
    SESSION,
    "arn:aws:iam::444455556666:root",
    "arn:aws:iam::111122223333:root",
    "arn:aws:iam::444455556666:user/bob",
];
const USER: &str = "arn:aws:iam::111122223333:user/alice";
const ROLE: &str = "arn:aws:iam::111122223333:role/r";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/r/s";
const OPERATORS: [&str; 12] = [
    "StringEquals",
    "StringNotEquals",
    "StringLike",
    "StringNotLike",
    "StringEqualsIgnoreCase",
    "NumericLessThan",
    "NumericGreaterThanEquals",
    "NumericNotEquals",
    "Bool",
    "ArnLike",
    "ArnNotEquals",
    "Null",
];
const KEYS: [&str; 6] = ["aws:username", "n", "flag", "tags", "arn", "missing"];
const VALUES: [&str; 12] = [
    "alice",
    "ALICE",
    "al*",
    "${aws:username}",
    "${nobody}",
    "5",
    "10",
    "true",
    "false",
    "red",
    "arn:aws:s3:::*",
    "arn:aws:s3:*:*:${aws:username}",
];

#[derive(Clone)]
struct Clause {
    operator: String,
    key: String,
    values: Vec<String>,
}

#[derive(Clone)]
struct Said {
    allow: bool,
    who: Option<(bool, Vec<String>)>,
    action: (bool, Vec<String>),
    resource: (bool, Vec<String>),
    clauses: Vec<Clause>,
}

fn draw(dice: &Dice, with_principal: bool) -> Vec<Said> {
    let statement = |_| {
        let allow = !dice.chance(4);
        let who = (!allow && dice.chance(2), dice.some(&WHO));
        let mut clauses: Vec<Clause> = Vec::new();
        for _ in 0..dice.0.below(3) {
            let prefix = dice.one(&["", "", "", "ForAllValues:", "ForAnyValue:"]);
            let name = dice.one(&OPERATORS);
            let suffix = if name != "Null" && dice.chance(5) { "IfExists" } else { "" };
            let operator = format!("{prefix}{name}{suffix}");
            if clauses.iter().all(|clause| clause.operator != operator) {
                let key = dice.one(&KEYS).to_owned();
                // The newer reader takes no value that is none of the operator's kind.
                let values = match name {
                    "Bool" | "Null" if with_principal => dice.some(&["true", "false"]),
                    _ if with_principal && name.starts_with("Num") => dice.some(&["5", "10"]),
                    _ => dice.some(&VALUES),
                };
                clauses.push(Clause { operator, key, values });
            }
        }
        Said {
            allow,
            who: with_principal.then_some(who),
            action: (dice.chance(6), dice.some(&ACTIONS)),
            resource: (dice.chance(6), dice.some(&RESOURCES)),
            clauses,
        }
    };
    (0..=dice.0.below(3)).map(statement).collect()
}

fn write(policy: &[Said]) -> String {
    let list = |values: &[String]| format!("[\"{}\"]", values.join("\",\""));
    let not = |negated: bool| if negated { "Not" } else { "" };
    let statements: Vec<String> = policy
        .iter()
        .map(|said| {
            let who = said.who.as_ref().map_or(String::new(), |(negated, who)| {
                format!("\"{}Principal\":{{\"AWS\":{}}},", not(*negated), list(who))
            });
            let clauses: Vec<String> = said
                .clauses
                .iter()
                .map(|c| format!("\"{}\":{{\"{}\":{}}}", c.operator, c.key, list(&c.values)))
                .collect();
            format!(
                "{{\"Effect\":\"{}\",{who}\"{}Action\":{},\"{}Resource\":{},\"Condition\":{{{}}}}}",
                if said.allow { "Allow" } else { "Deny" },
                not(said.action.0),
                list(&said.action.1),
                not(said.resource.0),
                list(&said.resource.1),
                clauses.join(",")
            )
        })
        .collect();
    format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}", statements.join(","))
}

/// The second evaluator's view of a request: all is text.
struct World {
    principal: Principal,
    action: &'static str,
    resource: &'static str,
    keys: Vec<(&'static str, Vec<&'static str>)>,
}

/// A pattern's characters: `Some` stands for itself.
fn characters(pattern: &str, world: &World) -> Option<Vec<Option<char>>> {
    let mut out = Vec::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some(inner) = rest.strip_prefix("${") {
            let end = inner.find('}')?;
            let (name, default) = match inner[..end].split_once(", ") {
                Some((name, default)) => (name, Some(default.trim_matches('\''))),
                None => (&inner[..end], None),
            };
            let value = match world.keys.iter().find(|(key, _)| *key == name) {
                Some((_, values)) if values.len() == 1 => values[0],
                _ => default?,
            };
            out.extend(value.chars().map(Some));
            rest = &inner[end + 1..];
            continue;
        }
        // Private-use characters stand for the wildcards.
        out.push(match c {
            '*' => None,
            '?' => Some('\u{e000}'),
            other => Some(other),
        });
        rest = &rest[c.len_utf8()..];
    }
    Some(out)
}

fn like(pattern: &[Option<char>], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [None, rest @ ..] => (0..=text.len()).any(|at| like(rest, &text[at..])),
        [Some(c), rest @ ..] => match text {
            [have, tail @ ..] => (c == have || *c == '\u{e000}') && like(rest, tail),
            [] => false,
        },
    }
}

fn like_text(pattern: &str, text: &str, world: &World) -> Option<bool> {
    Some(like(&characters(pattern, world)?, &text.chars().collect::<Vec<_>>()))
}

/// Field by field; the policies of this test hold no colon but in variables' names.
fn like_arn(pattern: &str, text: &str, world: &World) -> Option<bool> {
    if pattern == "*" {
        return Some(true);
    }
    let hidden = pattern.replace("${aws:username}", "${aws;username}");
    let mut fields: Vec<String> =
        hidden.splitn(6, ':').map(|field| field.replace("aws;username", "aws:username")).collect();
    fields.resize(6, "*".to_owned());
    let values: Vec<&str> = text.splitn(6, ':').collect();
    if values.len() < 6 {
        return Some(false);
    }
    let found: Vec<Option<bool>> =
        fields.iter().zip(values).map(|(field, value)| like_text(field, value, world)).collect();
    if found.contains(&Some(false)) {
        Some(false)
    } else {
        found.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
    }
}

/// `None`: a variable is unknown.
fn meets(operator: &str, value: &str, wanted: &str, world: &World) -> Option<bool> {
    let plain = |fold: bool| {
        // No wildcards here: the star of a value is a star.
        let wanted = characters(wanted, world)?;
        let wanted: String = wanted.into_iter().map(|c| c.unwrap_or('*')).collect();
        Some(if fold { wanted.to_lowercase() == value.to_lowercase() } else { wanted == value })
    };
    let numbers = || (value.parse::<f64>(), wanted.parse::<f64>());
    match operator {
        "StringEquals" | "StringNotEquals" => plain(false),
        "StringEqualsIgnoreCase" => plain(true),
        "StringLike" | "StringNotLike" => like_text(wanted, value, world),
        "ArnLike" | "ArnNotEquals" => like_arn(wanted, value, world),
        "NumericLessThan" => Some(matches!(numbers(), (Ok(have), Ok(want)) if have < want)),
        "NumericGreaterThanEquals" => {
            Some(matches!(numbers(), (Ok(have), Ok(want)) if have >= want))
        }
        "NumericNotEquals" => Some(matches!(numbers(), (Ok(have), Ok(want)) if have == want)),
        "Bool" => Some(matches!(wanted, "true" | "false") && value == wanted),
        _ => panic!("no such operator: {operator}"),
    }
}

fn clause_holds(clause: &Clause, said: &Said, world: &World) -> bool {
    let found = world.keys.iter().find(|(key, _)| *key == clause.key);
    let have: &[&str] = found.map_or(&[], |(_, values)| values);
    let (set, operator) = clause.operator.split_once(':').unwrap_or(("", &clause.operator));
    let (operator, optional) = match operator.strip_suffix("IfExists") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let negated = operator.contains("Not");
    if operator == "Null" {
        return clause.values.iter().any(|v| *v == have.is_empty().to_string());
    }
    if have.is_empty() {
        return optional || set == "ForAllValues" || (set.is_empty() && negated);
    }
    let one = |value: &&str| {
        let found: Vec<Option<bool>> =
            clause.values.iter().map(|wanted| meets(operator, value, wanted, world)).collect();
        if found.contains(&Some(true)) {
            !negated
        } else if found.contains(&None) {
            negated && !said.allow
        } else {
            negated
        }
    };
    if set == "ForAllValues" || (set.is_empty() && negated) {
        have.iter().all(one)
    } else {
        have.iter().any(one)
    }
}

/// The names by which a policy can mean the principal, the most direct first.
fn names(principal: &Principal) -> Vec<String> {
    let account = principal.account().map(|account| account.to_string());
    let mut names = vec![principal.arn().to_owned()];
    if principal.issuer_arn() != principal.arn() {
        names.push(principal.issuer_arn().to_owned());
    }
    if principal.kind() == PrincipalKind::Root {
        names.clear();
    }
    names.extend(account);
    names
}

fn written(who: &str) -> String {
    let root = who.strip_prefix("arn:aws:iam::").and_then(|rest| rest.strip_suffix(":root"));
    root.unwrap_or(who).to_owned()
}

fn said_applies(said: &Said, world: &World) -> bool {
    let listed = |(negated, list): &(bool, Vec<String>), test: &dyn Fn(&str) -> Option<bool>| {
        let found: Vec<Option<bool>> = list.iter().map(|item| test(item)).collect();
        if found.contains(&Some(true)) {
            !negated
        } else if *negated && found.contains(&None) {
            !said.allow
        } else {
            *negated
        }
    };
    let action =
        |pattern: &str| like_text(&pattern.to_lowercase(), &world.action.to_lowercase(), world);
    let who = said.who.as_ref().is_none_or(|(negated, list)| {
        let list: Vec<String> = list.iter().map(|who| written(who)).collect();
        let everybody = list.contains(&"*".to_owned());
        let own = names(&world.principal);
        if *negated {
            !(everybody || own.iter().all(|name| list.contains(name)))
        } else {
            everybody || own.iter().any(|name| list.contains(name))
        }
    });
    who && listed(&said.action, &action)
        && listed(&said.resource, &|pattern| like_arn(pattern, world.resource, world))
        && said.clauses.iter().all(|clause| clause_holds(clause, said, world))
}

/// Whether an allow in the resource's policy names one of the first `depth` names, or everybody.
fn named_by(policy: &[Said], world: &World, depth: usize) -> bool {
    let own = names(&world.principal);
    let direct = &own[..depth.min(own.len())];
    policy.iter().filter(|said| said.allow && said_applies(said, world)).any(|said| {
        let list: Vec<String> =
            said.who.iter().flat_map(|(_, list)| list.iter().map(|who| written(who))).collect();
        list.contains(&"*".to_owned()) || direct.iter().any(|name| list.contains(name))
    })
}

struct Layers {
    identity: Vec<Said>,
    boundary: Option<Vec<Said>>,
    session: Option<Vec<Said>>,
    resource: Option<Vec<Said>>,
    scp: Option<Vec<Said>>,
    required: bool,
    cross: bool,
}

fn second_opinion(world: &World, layers: &Layers) -> Outcome {
    let empty = Vec::new();
    let allows = |policy: &Vec<Said>| policy.iter().any(|s| s.allow && said_applies(s, world));
    let open = |policy: &Option<Vec<Said>>| policy.as_ref().is_none_or(allows);
    let governed = world.principal.account().is_some();
    let scp = if governed { layers.scp.clone() } else { None };
    let resource = layers.resource.as_ref().unwrap_or(&empty);
    let all = [Some(&layers.identity), layers.boundary.as_ref(), layers.session.as_ref()];
    let mut everything = all.into_iter().flatten().chain([resource]).chain(scp.as_ref()).flatten();
    if everything.any(|said| !said.allow && said_applies(said, world)) {
        return Outcome::ExplicitDeny;
    }
    let limited = open(&layers.boundary) && open(&layers.session);
    let anyhow = named_by(resource, world, 3);
    let is_session = world.principal.kind() == PrincipalKind::Session;
    let allowed = open(&scp)
        && match world.principal.kind() {
            PrincipalKind::Anonymous => named_by(resource, world, 0),
            PrincipalKind::Root => anyhow || !(layers.cross || layers.required),
            _ if layers.cross => anyhow && allows(&layers.identity) && limited,
            _ => {
                named_by(resource, world, 1)
                    || (is_session && named_by(resource, world, 2) && limited)
                    || (allows(&layers.identity) && limited && (anyhow || !layers.required))
            }
        };
    if allowed { Outcome::Allowed } else { Outcome::ImplicitDeny }
}

fn value(values: &[&'static str]) -> Value<'static> {
    match values {
        [one] => match one.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) if *one == "true" => true.into(),
            Err(_) => (*one).into(),
        },
        many => many.iter().map(|text| (*text).into()).collect::<Vec<Value<'_>>>().into(),
    }
}

fn draw_world(dice: &Dice) -> World {
    let own = AccountId::parse("111122223333").expect("an account");
    let principal = match dice.0.below(5) {
        0 => Principal::root(Partition::Aws, own),
        1 => Principal::anonymous(),
        2 => Principal::session(own, SESSION, ROLE),
        _ => Principal::user(own, USER),
    };
    let mut keys = vec![
        ("n", vec![dice.one(&["5", "7", "10"])]),
        ("flag", vec!["true"]),
        ("arn", vec![dice.one(&["arn:aws:s3:::b/k", "arn:aws:s3:::alice", "no arn"])]),
        ("tags", [&["red", "5"][..], &["red"], &[]][dice.0.below(3) as usize].to_vec()),
    ];
    if dice.chance(2) {
        keys.push(("aws:username", vec![dice.one(&["alice", "al*"])]));
    }
    let resource =
        dice.one(&["arn:aws:s3:::b/k", "arn:aws:s3:::b/alice", "arn:aws:s3:::c/k:1", "*"]);
    World { principal, action: dice.one(&["s3:GetObject", "s3:PutTheObject"]), resource, keys }
}

fn draw_layers(dice: &Dice) -> Layers {
    let sometimes = |one_in, with| dice.chance(one_in).then(|| draw(dice, with));
    Layers {
        identity: draw(dice, false),
        boundary: sometimes(4, false),
        session: sometimes(4, false),
        resource: sometimes(2, true),
        scp: sometimes(6, false),
        required: dice.chance(5),
        cross: dice.chance(4),
    }
}

#[test]
fn agrees_with_a_second_evaluator() {
    let dice = Dice(SeededEntropy::new(0x00c0_ffee));
    let mut counts = [0u32; 3];
    for round in 0..10_000 {
        let (world, layers) = (draw_world(&dice), draw_layers(&dice));
        let read = |kind, said: &Vec<Said>| {
            let text = write(said);
            Policy::parse(kind, &text).unwrap_or_else(|error| panic!("{round}: {error}: {text}"))
        };
        let optional = |kind, said: &Option<Vec<Said>>| said.as_ref().map(|said| read(kind, said));
        let identity = read(Kind::Inline, &layers.identity);
        let boundary = optional(Kind::Inline, &layers.boundary);
        let session = optional(Kind::Inline, &layers.session);
        let resource = optional(Kind::Resource, &layers.resource);
        let scp = optional(Kind::Inline, &layers.scp);
        let named = |policy| Named { policy, name: "" };
        let (identity, session) = ([named(&identity)], session.as_ref().map(|s| [named(s)]));
        let scp: Vec<[Named<'_>; 1]> = scp.iter().map(|policy| [named(policy)]).collect();
        let scp: Vec<&[Named<'_>]> = scp.iter().map(|level| &level[..]).collect();
        let policies = Policies {
            identity: &identity,
            boundary: boundary.as_ref().map(named),
            session: session.as_ref().map(|list| &list[..]),
            resource: resource.as_ref().map(named),
            resource_role: if layers.required { ResourceRole::Key } else { ResourceRole::Grants },
            scp: &scp,
            ..Policies::default()
        };
        let mut context = Context::new();
        for (key, values) in &world.keys {
            context.set(*key, value(values));
        }
        let owner = if layers.cross { "444455556666" } else { "111122223333" };
        let request = Request {
            principal: &world.principal,
            action: world.action,
            resource: world.resource,
            resource_account: AccountId::parse(owner),
            context: &context,
        };
        let found = evaluate(&request, &policies).outcome;
        let expected = second_opinion(&world, &layers);
        counts[found as usize] += 1;
        assert_eq!(
            found,
            expected,
            "round {round}: {} {} {} {:?}\nidentity {}\nboundary {:?}\nsession {:?}\nresource {:?}\nscp {:?}",
            world.principal.arn(),
            world.action,
            world.resource,
            world.keys,
            write(&layers.identity),
            layers.boundary.as_deref().map(write),
            layers.session.as_deref().map(write),
            layers.resource.as_deref().map(write),
            layers.scp.as_deref().map(write),
        );
    }
    // A generator that only ever gets one answer would prove nothing.
    assert!(counts.iter().all(|count| *count > 1_000), "{counts:?}");
}

#[test]
fn fuzz_from_a_seed() {
    let dice = Dice(SeededEntropy::new(0xf022));
    for _ in 0..1_500 {
        let mut bytes = write(&draw(&dice, dice.chance(2))).into_bytes();
        for _ in 0..dice.0.below(4) {
            let at = dice.0.below(bytes.len() as u64) as usize;
            match dice.0.below(3) {
                0 => bytes[at] = dice.0.next_u64() as u8,
                1 => drop(bytes.remove(at)),
                _ => {
                    let copy = bytes[at..(at + 20).min(bytes.len())].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        fuzz_policy(&bytes);
    }
}
