//! What the models say of inputs, broken at one place: every member of every served operation that has a
//! constraint, in services whose constraints the gateway checks.

use crate::world::{Ask, World, ask, query, services, world};
use smithy::model::{Protocol, Served, ServiceModel};
use smithy::shape::{LengthRules, Location, Member, RangeRules, Shape, StringRules, StructShape};
use std::fmt::Write;

/// Structures within structures are broken so deep.
const DEPTH_MAX: usize = 4;
/// A longer text than the longest that is worth to be sent.
const TEXT_MAX: u64 = 200_000;

/// The codes of refusals for a value that breaks a constraint.
const CODES: [&str; 3] = ["ValidationError", "ValidationException", "SerializationException"];

#[derive(Clone, Debug)]
enum Value {
    Bool,
    Number(i64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(&'static str, Value)>),
    Map(Vec<(String, Value)>),
}

impl Value {
    fn json(&self, out: &mut String) {
        match self {
            Value::Bool => out.push_str("true"),
            Value::Number(number) => _ = write!(out, "{number}"),
            Value::Text(text) => _ = write!(out, "\"{text}\""),
            Value::List(items) => {
                out.push('[');
                joined(out, items, |out, item| item.json(out));
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                joined(out, members, |out, (name, value)| {
                    _ = write!(out, "\"{name}\":");
                    value.json(out);
                });
                out.push('}');
            }
            Value::Map(entries) => {
                out.push('{');
                joined(out, entries, |out, (key, value)| {
                    _ = write!(out, "\"{key}\":");
                    value.json(out);
                });
                out.push('}');
            }
        }
    }

    fn form(&self, name: &str, out: &mut String) {
        match self {
            Value::Bool => _ = write!(out, "&{name}=true"),
            Value::Number(number) => _ = write!(out, "&{name}={number}"),
            Value::Text(text) => {
                _ = write!(out, "&{name}={}", base::percent::encode(text.as_bytes()))
            }
            Value::List(items) => {
                for (n, item) in (1..).zip(items) {
                    item.form(&format!("{name}.member.{n}"), out);
                }
            }
            Value::Object(members) => {
                for (member, value) in members {
                    let name = if name.is_empty() {
                        (*member).to_owned()
                    } else {
                        format!("{name}.{member}")
                    };
                    value.form(&name, out);
                }
            }
            Value::Map(entries) => {
                for (n, (key, value)) in (1..).zip(entries) {
                    _ = write!(out, "&{name}.entry.{n}.key={key}");
                    value.form(&format!("{name}.entry.{n}.value"), out);
                }
            }
        }
    }
}

fn joined<T>(out: &mut String, items: &[T], each: impl Fn(&mut String, &T)) {
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        each(out, item);
    }
}

fn text(rules: &StringRules) -> String {
    match rules.values.first() {
        Some(value) => (*value).to_owned(),
        None => "a".repeat(rules.length.min.unwrap_or(1).max(1) as usize),
    }
}

/// The least that a value of the shape needs.
fn least(shape: &Shape, depth: usize) -> Value {
    let number = |rules: &RangeRules| Value::Number(rules.min.unwrap_or(1).max(1));
    match shape {
        Shape::Integer(rules) | Shape::Long(rules) => number(rules),
        Shape::Float | Shape::Double | Shape::Timestamp(_) => Value::Number(1),
        Shape::String(rules) => Value::Text(text(rules)),
        Shape::Blob(_) => Value::Text("YWJj".to_owned()),
        Shape::Struct(inner) if depth < DEPTH_MAX => object(inner, depth, None),
        Shape::List(list) if depth < DEPTH_MAX && list.length.min.unwrap_or(0) > 0 => {
            Value::List(vec![least(&list.item, depth + 1)])
        }
        Shape::List(_) => Value::List(Vec::new()),
        Shape::Boolean => Value::Bool,
        _ => Value::Object(Vec::new()),
    }
}

/// A structure with what is required, and `changed` in the place of that member.
fn object(shape: &StructShape, depth: usize, changed: Option<(&str, Option<Value>)>) -> Value {
    let mut members = Vec::new();
    for member in shape.members.iter().filter(|member| member.location == Location::Body) {
        match &changed {
            Some((name, value)) if *name == member.name => {
                members.extend(value.clone().map(|value| (member.wire, value)));
            }
            _ if member.required => members.push((member.wire, least(&member.shape, depth + 1))),
            _ => {}
        }
    }
    Value::Object(members)
}

/// Values that break what is said of the shape, and how.
fn broken(shape: &Shape, depth: usize) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let lengths = |length: &LengthRules| {
        let short = length.min.filter(|min| *min > 0).map(|min| ("too short", min - 1));
        let long = length.max.filter(|max| *max < TEXT_MAX).map(|max| ("too long", max + 1));
        short.into_iter().chain(long)
    };
    match shape {
        Shape::String(rules) => {
            for (how, count) in lengths(&rules.length) {
                all.push((how.to_owned(), Value::Text("a".repeat(count as usize))));
            }
            if !rules.values.is_empty() {
                all.push((
                    "no value of the enumeration".to_owned(),
                    Value::Text("n0-such".to_owned()),
                ));
            }
        }
        Shape::Integer(rules) | Shape::Long(rules) => {
            let low = rules.min.map(|min| ("too small", min - 1));
            let high = rules
                .max
                .filter(|max| *max < i64::from(i32::MAX))
                .map(|max| ("too large", max + 1));
            all.extend(
                low.into_iter().chain(high).map(|(how, n)| (how.to_owned(), Value::Number(n))),
            );
        }
        Shape::List(list) => {
            for (how, count) in lengths(&list.length).filter(|(_, count)| *count < 1_000) {
                let item = least(&list.item, depth + 1);
                // A form has no words for a structure of nothing.
                if !matches!(&item, Value::Object(members) if members.is_empty()) {
                    all.push((how.to_owned(), Value::List(vec![item; count as usize])));
                }
            }
            if depth < DEPTH_MAX {
                let items = broken(&list.item, depth + 1).into_iter();
                all.extend(
                    items.map(|(how, item)| (format!("item {how}"), Value::List(vec![item]))),
                );
            }
        }
        Shape::Map(map) if depth < DEPTH_MAX => {
            let values = broken(&map.value, depth + 1).into_iter();
            let entry = |value| Value::Map(vec![("abc".to_owned(), value)]);
            all.extend(values.map(|(how, value)| (format!("value {how}"), entry(value))));
        }
        Shape::Struct(inner) if depth < DEPTH_MAX => all.extend(broken_members(inner, depth)),
        _ => {}
    }
    all
}

fn broken_members(shape: &StructShape, depth: usize) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    if shape.union {
        return all;
    }
    for member in shape.members.iter().filter(|member| member.location == Location::Body) {
        let Member { name, required, idempotency_token, .. } = member;
        if *required && !idempotency_token {
            all.push((format!("{name} missing"), object(shape, depth, Some((name, None)))));
        }
        for (how, value) in broken(&member.shape, depth + 1) {
            all.push((format!("{name} {how}"), object(shape, depth, Some((name, Some(value))))));
        }
    }
    all
}

fn send(world: &World, model: &ServiceModel, name: &str, input: &Value) -> (u16, String) {
    let mut body = String::new();
    let told = match model.protocols[0] {
        Protocol::AwsQuery => {
            _ = write!(body, "Action={name}&Version={}", model.api_version);
            input.form("", &mut body);
            world.send(query(model.signing_name, &body))
        }
        _ => {
            input.json(&mut body);
            let target = format!("{}.{name}", model.target_prefix.expect("a target"));
            let asked: Ask<'_> = ask(model.signing_name, "POST", "/")
                .header("content-type", "application/x-amz-json-1.0")
                .header("x-amz-target", &target)
                .body(body.as_bytes());
            world.send(asked)
        }
    };
    (told.status, told.body)
}

#[test]
fn what_breaks_a_constraint_is_refused() {
    let world = world();
    let (mut asked, mut wrong) = (0, Vec::new());
    for service in services() {
        let model = service.model();
        let speaks = matches!(model.protocols[0], Protocol::AwsQuery | Protocol::AwsJson10);
        if !model.validate || !speaks {
            continue;
        }
        for operation in model.operations {
            let Some(Served { input, .. }) = &operation.served else { continue };
            for (how, value) in broken_members(input, 0) {
                asked += 1;
                let (status, body) = send(&world, model, operation.name, &value);
                if status != 400 || !CODES.iter().any(|code| body.contains(code)) {
                    let body: String = body.chars().take(300).collect();
                    wrong.push(format!("{}:{} {how}: {status} {body}", model.name, operation.name));
                }
            }
        }
    }
    assert!(asked > 1_000, "only {asked} were asked");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}
