//! Expressions against items: what holds, what is left, what is refused and in which words.

use crate::{Scope, condition, key_conditions, projection, update};
use base::{Entropy, SeededEntropy};
use bytes::Bytes;
use item::{Item, Map};
use std::collections::BTreeMap;

const ITEM: &str = r#"{"a":{"N":"5"},"b":{"S":"hello"},"c":{"L":[{"N":"1"},{"M":{"x":{"S":"y"}}},{"N":"3"}]},
    "d":{"SS":["p","q"]},"e":{"M":{"f":{"N":"7"},"g":{"L":[{"S":"z"}]}}},"t":{"BOOL":true},"n":{"NULL":true},
    "bin":{"B":"AAEC"},"ns":{"NS":["1","2"]}}"#;
const VALUES: &str = r#"{":one":{"N":"1"},":five":{"N":"5.0"},":nine":{"N":"9"},":he":{"S":"he"},":ll":{"S":"ll"},
    ":p":{"S":"p"},":N":{"S":"N"},":bad":{"S":"Q"},":list":{"L":[{"N":"8"}]},":set":{"SS":["q","r"]},":bin":{"B":"AAE="},
    ":true":{"BOOL":true},":all":{"SS":["p","q"]},":two":{"NS":["2","3"]}}"#;

fn item(text: &str) -> Item {
    Item::parse(text).unwrap()
}

fn names() -> BTreeMap<String, String> {
    [("#a", "a"), ("#e", "e"), ("#f", "f"), ("#size", "size")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
}

fn check_condition(text: &str, expected: &str) {
    let (names, values) = (names(), item(VALUES));
    let outcome = condition(text).and_then(|mut condition| {
        Scope::new(Some(&names), Some(&values))?.condition(&mut condition)?;
        Ok(condition.holds(item(ITEM).map()))
    });
    let shown = outcome.map_or_else(|error| error, |holds| holds.to_string());
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn conditions_hold_or_do_not() {
    for text in [
        "a = :five",
        "#a >= :one AND a < :nine",
        "a between :one and :nine",
        "a IN (:one, :five)",
        "NOT a = :one",
        "not not a = :five",
        "a <> :one",
        "absent <> :one",
        "attribute_exists(e.g[0]) and attribute_not_exists(e.g[1])",
        "attribute_exists(#e.#f)",
        "attribute_type(a, :N)",
        "begins_with(b, :he)",
        "begins_with(bin, :bin)",
        "contains(b, :ll)",
        "contains(d, :p)",
        "contains(c, :one)",
        "contains(ns, :one)",
        "size(b) = :five",
        "size(d) < :five",
        "size(e.g) = :one",
        "(a = :five)",
        "(a) = (:five)",
        "a = :one OR (b <> :he AND (a = :five OR a = :one))",
        "t = :true",
        "d = :all",
        "c[0] = :one",
        "c[1].x <> :he",
    ] {
        check_condition(text, "true");
    }
    for text in [
        "a = :he",
        "a < :he",
        "absent = :one",
        "absent < :one",
        "a BETWEEN :nine AND absent",
        "begins_with(a, :he)",
        "contains(a, :one)",
        "size(a) = :one",
        "c[9] = :one",
        "b[0] = :he",
        "a IN (:one, :he)",
    ] {
        check_condition(text, "false");
    }
}

#[test]
fn conditions_are_refused_in_words() {
    let cases = [
        ("", "The expression can not be empty;"),
        ("a = ", "Syntax error; token: \"<EOF>\", near: \"= \""),
        ("a == :one", "Syntax error; token: \"=\", near: \"== :one\""),
        ("a = 1", "Syntax error; token: \"1\", near: \"= 1\""),
        ("a", "Syntax error; token: \"<EOF>\", near: \"a\""),
        ("a = :one b", "Syntax error; token: \"b\", near: \":one b\""),
        ("a ! :one", "Syntax error; token: \"!\", near: \"a ! :one\""),
        ("(a = :one", "Syntax error; token: \"<EOF>\", near: \":one\""),
        ("abort = :one", "Attribute name is a reserved keyword; reserved keyword: abort"),
        ("e.name = :one", "Attribute name is a reserved keyword; reserved keyword: name"),
        ("((a = :one))", "The expression has redundant parentheses;"),
        ("((a)) = :one", "The expression has redundant parentheses;"),
        ("((a = :five) and a = :five)", "true"),
        ("foo(a)", "Invalid function name; function: foo"),
        ("a = foo(b)", "Invalid function name; function: foo"),
        (
            "list_append(a, b) = :one",
            "The function is not allowed in a condition expression; function: list_append",
        ),
        (
            "size(a)",
            "The function is not allowed to be used this way in an expression; function: size",
        ),
        (
            "a = begins_with(a, b)",
            "The function is not allowed to be used this way in an expression; function: begins_with",
        ),
        (
            "size(a, b) = :one",
            "Incorrect number of operands for operator or function; operator or function: size, number of operands: 2",
        ),
        (
            "attribute_exists(:one)",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "begins_with(a, :one)",
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        (
            "size(:one) = :one",
            "Incorrect operand type for operator or function; operator or function: size, operand type: N",
        ),
        (
            "a < :true",
            "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
        ),
        (
            "attribute_type(a, :bad)",
            "Invalid attribute type name found; type: Q, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}",
        ),
        (
            "a = a",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]",
        ),
        (
            "a = :missing",
            "An expression attribute value used in expression is not defined; attribute value: :missing",
        ),
        (
            "#missing = :one",
            "An expression attribute name used in the document path is not defined; attribute name: #missing",
        ),
        (
            "a BETWEEN :nine AND :one",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:9}, upper bound operand: AttributeValue: {N:1}",
        ),
        (
            "a BETWEEN :nine AND :he",
            "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {N:9}, upper bound operand: AttributeValue: {S:he}",
        ),
        (
            "a[99999999999] = :one",
            "List index is not within the allowable range; index: [99999999999]",
        ),
    ];
    for (text, expected) in cases {
        check_condition(text, expected);
    }
    let many = vec!["a=:one"; 200].join(" or ");
    check_condition(&many, "The expression contains too many operators; operator count: 399");
    check_condition(
        &"(".repeat(4000),
        "The expression is nested too deeply; expression nested too deeply",
    );
    check_condition(
        &"a".repeat(4097),
        "Expression size has exceeded the maximum allowed size; expression size: 4097",
    );
}

fn check_update(text: &str, expected: &str) {
    let (names, values) = (names(), item(VALUES));
    let outcome = update(text).and_then(|mut update| {
        Scope::new(Some(&names), Some(&values))?.update(&mut update)?;
        let old = item(ITEM);
        let new = update.apply(old.bytes())?;
        let of = |bytes: &Bytes| Item::from_bytes(update.touched().apply(Map::of(bytes))).to_json();
        Ok(of(&new.item))
    });
    assert_eq!(outcome.unwrap_or_else(|error| error), expected, "{text}");
}

#[test]
fn updates() {
    let cases = [
        ("SET a = :nine", r#"{"a":{"N":"9"}}"#),
        ("set a = a + :one", r#"{"a":{"N":"6"}}"#),
        ("set a = (a - :nine)", r#"{"a":{"N":"-4"}}"#),
        ("set a = (a) + (:one)", r#"{"a":{"N":"6"}}"#),
        (
            "SET z = if_not_exists(z, :he), y = if_not_exists(a, :he)",
            r#"{"y":{"N":"5"},"z":{"S":"he"}}"#,
        ),
        ("SET z = if_not_exists(z, :five) + :one", r#"{"z":{"N":"6"}}"#),
        (
            "SET c = list_append(:list, c)",
            r#"{"c":{"L":[{"N":"8"},{"N":"1"},{"M":{"x":{"S":"y"}}},{"N":"3"}]}}"#,
        ),
        ("SET e.f = :one, e.h = :he", r#"{"e":{"M":{"f":{"N":"1"},"h":{"S":"he"}}}}"#),
        ("SET c[9] = :nine, c[8] = :five REMOVE c[0]", r#"{"c":{"L":[{"M":{"x":{"S":"y"}}}]}}"#),
        ("SET a = b, b = a", r#"{"a":{"S":"hello"},"b":{"N":"5"}}"#),
        ("REMOVE a, e.f, nothing, c[77]", r#"{}"#),
        (
            "ADD a :one, z :five, d :set",
            r#"{"a":{"N":"6"},"d":{"SS":["p","q","r"]},"z":{"N":"5"}}"#,
        ),
        ("DELETE d :set, nothing :set", r#"{"d":{"SS":["p"]}}"#),
        ("DELETE d :all", r#"{}"#),
        ("DELETE ns :two", r#"{"ns":{"NS":["1"]}}"#),
        (
            "SET a = :one REMOVE b ADD z :one DELETE d :set",
            r#"{"a":{"N":"1"},"d":{"SS":["p"]},"z":{"N":"1"}}"#,
        ),
    ];
    for (text, expected) in cases {
        check_update(text, expected);
    }
}

#[test]
fn updates_are_refused_in_words() {
    let no_place = "The document path provided in the update expression is invalid for update";
    let wrong = "An operand in the update expression has an incorrect data type";
    let missing = "The provided expression refers to an attribute that does not exist in the item";
    let cases = [
        ("SET x.y = :one", no_place),
        ("SET a.y = :one", no_place),
        ("SET e[0] = :one", no_place),
        ("REMOVE x.y", no_place),
        ("SET c[5].x = :one", no_place),
        ("SET a = b + :one", wrong),
        ("SET a = list_append(b, :list)", wrong),
        ("ADD b :one", wrong),
        ("DELETE a :set", wrong),
        ("SET a = nothing", missing),
        ("SET a = nothing + :one", missing),
        (
            "SET a = :one SET b = :one",
            "The \"SET\" section can only be used once in an update expression;",
        ),
        (
            "SET a = :one, a = :nine",
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
        ),
        (
            "SET e.f = :one, e = :nine",
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [e, f], path two: [e]",
        ),
        (
            "SET e.f = :one, e[1] = :nine",
            "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [e, f], path two: [e, [1]]",
        ),
        (
            "ADD a :he",
            "Incorrect operand type for operator or function; operator: ADD, operand type: STRING",
        ),
        (
            "DELETE a :one",
            "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER",
        ),
        (
            "SET a = :he + :one",
            "Incorrect operand type for operator or function; operator or function: +, operand type: S",
        ),
        ("SET a = size(b)", "The function is not allowed in an update expression; function: size"),
        ("SET a = foo(b)", "Invalid function name; function: foo"),
        ("SET a", "Syntax error; token: \"<EOF>\", near: \"a\""),
        ("a = :one", "Syntax error; token: \"a\", near: \"a =\""),
        ("SET a = :one,", "Syntax error; token: \"<EOF>\", near: \",\""),
        ("SET a = :one + :one + :one", "Syntax error; token: \"+\", near: \":one + :one\""),
        ("ADD a b", "Syntax error; token: \"b\", near: \"a b\""),
        ("SET a = abs(:one)", "Invalid function name; function: abs"),
    ];
    for (text, expected) in cases {
        check_update(text, expected);
    }
}

#[test]
fn projections() {
    let check = |text: &str, expected: &str| {
        let names = names();
        let outcome = projection(text).and_then(|mut projection| {
            Scope::new(Some(&names), None)?.projection(&mut projection)?;
            Ok(Item::from_bytes(projection.apply(item(ITEM).map())).to_json())
        });
        assert_eq!(outcome.unwrap_or_else(|error| error), expected, "{text}");
    };
    check("a, nothing", r#"{"a":{"N":"5"}}"#);
    check("c[2], c[0]", r#"{"c":{"L":[{"N":"1"},{"N":"3"}]}}"#);
    check(
        "#e.#f, e.g[0], c[1].x, c[1].w",
        r#"{"c":{"L":[{"M":{"x":{"S":"y"}}}]},"e":{"M":{"f":{"N":"7"},"g":{"L":[{"S":"z"}]}}}}"#,
    );
    check(
        "b.x, b[0], e.x",
        "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [b, x], path two: [b, [0]]",
    );
    check(
        "a, b, a",
        "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
    );
    check("a,", "Syntax error; token: \"<EOF>\", near: \",\"");
    check("a b", "Syntax error; token: \"b\", near: \"a b\"");
    check("a-b", "Syntax error; token: \"-\", near: \"a-b\"");
}

#[test]
fn conditions_on_keys() {
    let check = |text: &str, expected: &str| {
        let values = item(VALUES);
        let outcome = condition(text).and_then(|mut condition| {
            Scope::new(None, Some(&values))?.condition(&mut condition)?;
            let found = key_conditions(&condition)?;
            Ok(found.into_iter().map(|c| c.name).collect::<Vec<_>>().join(" "))
        });
        assert_eq!(outcome.unwrap_or_else(|error| error), expected, "{text}");
    };
    check("a = :one", "a");
    check(":one = a and b between :one and :five", "a b");
    check("a = :one AND begins_with(b, :he)", "a b");
    check("a = :one OR a = :five", "Invalid operator used in KeyConditionExpression: OR");
    check("a <> :one", "Invalid operator used in KeyConditionExpression: <>");
    check(
        "a = :one and a = :five",
        "KeyConditionExpressions must only contain one condition per key",
    );
    check("a.b = :one", "KeyConditionExpressions cannot have conditions on nested attributes");
    check("size(a) = :one", "KeyConditionExpressions cannot contain nested operations");
    check(
        "a = b",
        "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
    );
    check(
        "begins_with(:he, a)",
        "Invalid condition in KeyConditionExpression: begins_with operator must have the key attribute as its first operand",
    );
}

#[test]
fn placeholders_must_fit_and_be_used() {
    let check = |names: &[(&str, &str)], values: Option<&str>, expected: &str| {
        let names: BTreeMap<String, String> =
            names.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let values = values.map(item);
        let mut condition = condition("a = b").unwrap();
        let outcome = Scope::new(Some(&names), values.as_ref()).and_then(|mut scope| {
            scope.condition(&mut condition)?;
            scope.finish()
        });
        assert_eq!(outcome.err().as_deref().unwrap_or(""), expected);
    };
    check(&[], None, "ExpressionAttributeNames must not be empty");
    check(
        &[("a", "b")],
        None,
        "ExpressionAttributeNames contains invalid key: Syntax error; key: \"a\"",
    );
    check(
        &[("#x", "b"), ("#y", "b")],
        None,
        "Value provided in ExpressionAttributeNames unused in expressions: keys: {#x, #y}",
    );
    let names = &[("#x", "b")];
    check(names, Some("{}"), "ExpressionAttributeValues must not be empty");
    check(
        names,
        Some(r#"{"b":{"S":"x"}}"#),
        "ExpressionAttributeValues contains invalid key: Syntax error; key: \"b\"",
    );
    check(
        names,
        Some(r#"{":b":{"N":"x"}}"#),
        "ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a numeric value: x for key :b",
    );
}

/// Text made of what expressions are made of never panics, in any of the parsers.
#[test]
fn any_text_is_parsed_or_refused() {
    use base::Entropy;
    let pieces = [
        "a",
        "b.c",
        "#a",
        ":one",
        ":he",
        "(",
        ")",
        "[",
        "]",
        "0",
        "7",
        ",",
        ".",
        "=",
        "<>",
        "<",
        ">=",
        "+",
        "-",
        "AND",
        "or",
        "NOT",
        "between",
        "IN",
        "SET",
        "REMOVE",
        "add",
        "DELETE",
        "size",
        "begins_with",
        "attribute_exists(",
        "if_not_exists(",
        "list_append(",
        "é",
        "\0",
        " ",
        "abort",
        "contains(c, :one)",
    ];
    let chance = base::SeededEntropy::new(11);
    let (names, values, old) = (names(), item(VALUES), item(ITEM));
    let mut parsed = 0;
    for _ in 0..20_000 {
        let count = 1 + chance.below(9);
        let mut text = String::new();
        for _ in 0..count {
            text.push_str(pieces[chance.below(pieces.len() as u64) as usize]);
            text.push(' ');
        }
        let scope = || Scope::new(Some(&names), Some(&values)).unwrap();
        if let Ok(mut condition) = condition(&text) {
            parsed += 1;
            if scope().condition(&mut condition).is_ok() {
                let _ = (condition.holds(old.map()), key_conditions(&condition));
            }
        }
        if let Ok(mut projection) = projection(&text)
            && scope().projection(&mut projection).is_ok()
        {
            parsed += 1;
            projection.apply(old.map());
        }
        let text = format!("SET {text}");
        if let Ok(mut update) = update(&text)
            && scope().update(&mut update).is_ok()
        {
            parsed += 1;
            let _ = update.apply(old.bytes());
        }
    }
    assert!(parsed > 100, "{parsed}");
}

/// What the fuzzer does, for a second: good texts, cut and changed at random.
#[test]
fn a_short_fuzz() {
    let chance = SeededEntropy::new(11);
    let seeds = [
        "a = :a AND NOT (b <> :b OR #c[1].x < :b)",
        "a BETWEEN :a AND :a or begins_with(b, :b) and size(#e) > :a",
        "attribute_exists(e.g[0]) and attribute_type(a, :n) and contains(d, :b) and a in (:a, :b)",
        "SET a = a + :a, #c[1] = list_append(c, :c), e.g[0] = if_not_exists(x, :b) REMOVE b ADD ns :a DELETE d :d",
        "a, #b, c[1].x, e.g[0], e.f",
        "a = :b and b > :a",
        "a = :b and begins_with(b, :b)",
    ];
    for round in 0..6_000 {
        let mut data = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..chance.below(5) {
            let at = chance.below(data.len() as u64 + 1) as usize;
            match chance.below(5) {
                0 if at < data.len() => data[at] = chance.next_u64() as u8,
                1 => data.truncate(at),
                2 => data.insert(at, b"()[]:#,.=<>+- abcdet0123\0"[chance.below(25) as usize]),
                3 if at < data.len() => drop(data.remove(at)),
                _ => {
                    let from = chance.below(at as u64 + 1) as usize;
                    let copy = data[from..at].to_vec();
                    data.splice(at..at, copy);
                }
            }
            data.truncate(2_000);
        }
        crate::fuzz::fuzz_expression(&data);
    }
}

/// An item with one attribute.
fn item_of(name: &str, value: &str) -> Item {
    item(&format!(r#"{{"{name}":{value}}}"#))
}

fn updated(text: &str, values: &Item, old: &Item) -> Result<Bytes, String> {
    let mut update = update(text)?;
    Scope::new(None, Some(values))?.update(&mut update)?;
    update.apply(old.bytes()).map(|updated| updated.item)
}

fn nested(levels: usize) -> String {
    format!(r#"{}{{"S":"x"}}{}"#, r#"{"L":["#.repeat(levels), "]}".repeat(levels))
}

#[test]
fn updates_make_nothing_too_large_and_nothing_too_deep() {
    let old = item_of("a", r#"{"M":{"b":{"S":"x"}}}"#);
    let list = item_of(":l", &format!(r#"{{"L":[{{"S":"{}"}}]}}"#, "x".repeat(300_000)));
    let twice = updated("SET c = list_append(:l, :l)", &list, &old);
    assert_eq!(twice.unwrap_err(), crate::TOO_LARGE);
    assert_eq!(updated("SET c = :l, d = :l", &list, &old).unwrap_err(), crate::TOO_LARGE);
    assert!(updated("SET c = :l", &list, &old).is_ok());
    let deep = item_of(":d", &nested(31));
    assert!(updated("SET c = :d", &deep, &old).is_ok());
    assert_eq!(updated("SET a.c = :d", &deep, &old).unwrap_err(), item::TOO_DEEP);
    assert!(updated("SET a.c = :d", &item_of(":d", &nested(30)), &old).is_ok());
    let many = item_of(":v", &format!(r#"{{"S":"{}"}}"#, "x".repeat(2_100_000)));
    assert!(updated("SET c = :v", &many, &old).unwrap_err().contains("2097152"));
}

/// Each of these takes minutes where the work grows with the product of both sides.
#[test]
fn long_values_are_looked_through_quickly() {
    let text = format!(r#"{{"S":"{}"}}"#, "a".repeat(390_000));
    let part = format!(r#"{{"S":"{}b"}}"#, "a".repeat(195_000));
    let all = vec!["contains(t, :v)"; 60].join(" OR ");
    let (old, values) = (item_of("t", &text), item_of(":v", &part));
    let mut parsed = condition(&all).unwrap();
    Scope::new(None, Some(&values)).unwrap().condition(&mut parsed).unwrap();
    assert!(!parsed.holds(old.map()));
    let numbers = |from: u32| {
        let all: Vec<String> = (from..from + 60_000).map(|n| format!("\"{n}\"")).collect();
        format!(r#"{{"SS":[{}]}}"#, all.join(","))
    };
    let (old, values) = (item_of("s", &numbers(100_000)), item_of(":s", &numbers(130_000)));
    let new = updated("DELETE s :s", &values, &old).unwrap();
    let left = Map::of(&new).get("s").unwrap().members().count();
    assert_eq!(left, 30_000);
}
