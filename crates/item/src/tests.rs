//! Values from JSON and back, what is wrong with them, their sizes and keys.

use crate::{Attribute, Item, Kind, Node, Value, compare, item_size, read_key, write_key};
use base::{Entropy, SeededEntropy};

fn check(json: &str, expected: &str) {
    let shown = match Attribute::parse(json) {
        Ok(attribute) => match attribute.fault() {
            Some(fault) => format!("fault: {fault}"),
            None => format!("{attribute:?}"),
        },
        Err(rejection) => format!("rejected: {rejection}"),
    };
    assert_eq!(shown, expected, "{json}");
}

#[test]
fn values_keep_one_form() {
    check(r#"{"S":"a\"b"}"#, r#"{"S":"a\"b"}"#);
    check(r#"{"S":""}"#, r#"{"S":""}"#);
    check(r#"{"N":"1.50"}"#, r#"{"N":"1.5"}"#);
    check(r#"{"B":"AAEC"}"#, r#"{"B":"AAEC"}"#);
    check(r#"{"B":""}"#, r#"{"B":""}"#);
    check(r#"{"BOOL":false}"#, r#"{"BOOL":false}"#);
    check(r#"{"NULL":true}"#, r#"{"NULL":true}"#);
    check(r#"{"SS":["b","a"]}"#, r#"{"SS":["a","b"]}"#);
    check(r#"{"NS":["10","9.0","-1"]}"#, r#"{"NS":["-1","9","10"]}"#);
    check(r#"{"BS":["Ag==","AQ=="]}"#, r#"{"BS":["AQ==","Ag=="]}"#);
    check(r#"{"L":[]}"#, r#"{"L":[]}"#);
    check(
        r#"{"M":{"b":{"N":"1"},"a":{"L":[{"S":"x"}]}}}"#,
        r#"{"M":{"a":{"L":[{"S":"x"}]},"b":{"N":"1"}}}"#,
    );
    check(r#"{"M":{"a":{"N":"1"},"a":{"N":"2"}}}"#, r#"{"M":{"a":{"N":"2"}}}"#);
    check(r#"{"X":1,"S":"a","N":null}"#, r#"{"S":"a"}"#);
}

#[test]
fn values_are_refused_in_words() {
    let invalid = "fault: One or more parameter values were invalid: ";
    let empty = "fault: Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
    check("{}", empty);
    check(r#"{"S":null}"#, empty);
    check(r#"{"L":[{}]}"#, empty);
    check(r#"{"M":{"a":null}}"#, empty);
    check(
        r#"{"S":"a","N":"1"}"#,
        "fault: Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
    );
    check(
        r#"{"NULL":false}"#,
        &format!("{invalid}Null attribute value types must have the value of true"),
    );
    check(r#"{"SS":[]}"#, &format!("{invalid}An string set  may not be empty"));
    check(r#"{"NS":[]}"#, &format!("{invalid}An number set  may not be empty"));
    check(r#"{"BS":[]}"#, &format!("{invalid}Binary sets should not be empty"));
    check(
        r#"{"SS":["a",""]}"#,
        &format!("{invalid}An string set may not have a empty string as a member"),
    );
    check(
        r#"{"SS":["a","b","a"]}"#,
        &format!("{invalid}Input collection [a, b, a] contains duplicates."),
    );
    check(r#"{"NS":["1","1.0"]}"#, "fault: Input collection contains duplicates");
    check(
        r#"{"BS":["AQ==","AQ=="]}"#,
        &format!("{invalid}Input collection [AQ==, AQ==]of type BS contains duplicates."),
    );
    check(r#"{"N":"x"}"#, "fault: The parameter cannot be converted to a numeric value: x");
    check(r#"{"S":1}"#, "rejected: NUMBER_VALUE cannot be converted to String");
    check(r#"{"N":1}"#, "rejected: NUMBER_VALUE cannot be converted to String");
    check(r#"{"S":{}}"#, "rejected: Start of structure or map found where not expected");
    check(r#"{"BOOL":7}"#, "rejected: NUMBER_VALUE cannot be converted to Boolean");
    check(r#"{"SS":"a"}"#, "rejected: Unexpected field type");
    check(
        r#"{"B":"A"}"#,
        "rejected: Base64 encoded length is expected a multiple of 4 bytes but found: 1",
    );
    check(r#""a""#, "rejected: Unexpected value type in payload");
    let deep = format!("{}{}{}", r#"{"L":["#.repeat(31), r#"{"S":"x"}"#, "]}".repeat(31));
    assert!(Attribute::parse(&deep).unwrap().fault().is_none());
    let deeper = format!(r#"{{"L":[{deep}]}}"#);
    check(
        &deeper,
        "fault: Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit",
    );
}

#[test]
fn long_content_moves_for_its_length() {
    for length in [0, 1, 100, 127, 128, 129, 300, 20_000] {
        let text = "x".repeat(length);
        check(
            &format!(
                r#"{{"L":[{{"S":"{text}"}},{{"M":{{"b":{{"S":"{text}"}},"a":{{"S":"{text}"}}}}}}]}}"#
            ),
            &format!(
                r#"{{"L":[{{"S":"{text}"}},{{"M":{{"a":{{"S":"{text}"}},"b":{{"S":"{text}"}}}}}}]}}"#
            ),
        );
    }
}

#[test]
fn sizes_are_those_of_the_documentation() {
    let cases = [
        (r#"{"ab":{"S":"héé"}}"#, 7),
        (r#"{"a":{"N":"123"}}"#, 4),
        (r#"{"a":{"B":"AAEC"}}"#, 4),
        (r#"{"a":{"NULL":true},"b":{"BOOL":true}}"#, 4),
        (r#"{"a":{"L":[]}}"#, 4),
        (r#"{"a":{"L":[{"S":"xy"},{"S":""}]}}"#, 8),
        (r#"{"a":{"M":{"k":{"S":"xy"}}}}"#, 8),
        (r#"{"a":{"SS":["ab","c"]}}"#, 4),
    ];
    for (json, expected) in cases {
        assert_eq!(item_size(Item::parse(json).unwrap().map()), expected, "{json}");
    }
}

fn random_value(chance: &SeededEntropy, depth: u64) -> String {
    let number = || {
        format!(
            "{}{}.{}e{}",
            ["", "-"][chance.below(2) as usize],
            chance.below(1000),
            chance.below(1000),
            chance.below(9) as i64 - 4
        )
    };
    match chance.below(if depth == 0 { 5 } else { 7 }) {
        0 => format!(r#"{{"S":"{}"}}"#, "x".repeat(chance.below(200) as usize)),
        1 => format!(r#"{{"N":"{}"}}"#, number()),
        2 => format!(r#"{{"B":"{}"}}"#, ["", "AA==", "AAEC"][chance.below(3) as usize]),
        3 => r#"{"BOOL":true}"#.to_owned(),
        4 => r#"{"SS":["b","a"]}"#.to_owned(),
        5 => {
            let items: Vec<_> =
                (0..chance.below(4)).map(|_| random_value(chance, depth - 1)).collect();
            format!(r#"{{"L":[{}]}}"#, items.join(","))
        }
        _ => format!(r#"{{"M":{}}}"#, random_item(chance, depth - 1)),
    }
}

fn random_item(chance: &SeededEntropy, depth: u64) -> String {
    let entries: Vec<_> = (0..chance.below(5))
        .map(|_| format!(r#""k{}":{}"#, chance.below(20), random_value(chance, depth)))
        .collect();
    format!("{{{}}}", entries.join(","))
}

#[test]
fn what_is_written_reads_back_the_same() {
    let chance = SeededEntropy::new(5);
    for _ in 0..5_000 {
        let text = random_item(&chance, 4);
        let item = Item::parse(&text).unwrap();
        let again = Item::parse(&item.to_json()).unwrap();
        assert_eq!(item, again, "{text}");
        let names: Vec<&str> = item.map().iter().map(|(name, _)| name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for (name, value) in item.map().iter() {
            assert_eq!(item.get(name), Some(value));
            let mut node = Node::Whole(bytes::Bytes::copy_from_slice(value.bytes()));
            node.enter();
            assert_eq!(&node.to_value()[..], value.bytes());
        }
        assert_eq!(Node::item(item.bytes()).to_item(), *item.bytes());
    }
}

#[test]
fn keys_have_the_order_of_values() {
    let values: Vec<Attribute> = ["", "a", "a\\u0000", "a\\u0000b", "ab", "b", "é"]
        .iter()
        .map(|text| Attribute::parse(&format!(r#"{{"S":"{text}"}}"#)).unwrap())
        .collect();
    let key = |value: Value<'_>| {
        let mut out = Vec::new();
        write_key(value, &mut out);
        out
    };
    for a in &values {
        for b in &values {
            assert_eq!(Some(key(a.value()).cmp(&key(b.value()))), compare(a.value(), b.value()));
        }
        let mut bytes = key(a.value());
        bytes.push(9);
        let (read, rest) = read_key(Kind::S, &bytes).unwrap();
        assert_eq!((&read[..], rest), (a.value().bytes(), &[9][..]));
    }
    for bad in [&[][..], &[0], &[0, 2], b"abc"] {
        assert!(read_key(Kind::S, bad).is_none());
    }
}

/// Bytes that are no item are looked at without a panic.
#[test]
fn hostile_bytes_are_harmless() {
    let chance = SeededEntropy::new(6);
    for _ in 0..20_000 {
        let mut bytes = vec![0; chance.below(40) as usize];
        chance.fill(&mut bytes);
        bytes.iter_mut().for_each(|b| *b %= 14);
        let item = Item::from_bytes(bytes.into());
        let _ = (item.to_json(), item_size(item.map()), item.get("a"));
    }
}

/// What the fuzzer does, for a second: good texts, cut and changed at random.
#[test]
fn a_short_fuzz() {
    let chance = SeededEntropy::new(11);
    let seeds = [
        r#"{"a":{"S":"x"},"b":{"N":"-1.5e3"},"c":{"L":[{"NULL":true},{"M":{"d":{"BOOL":false}}}]}}"#,
        r#"{"p":{"SS":["a","b"]},"q":{"NS":["1","2.50"]},"r":{"BS":["AQ=="]},"s":{"B":"AAEC"}}"#,
        r#"{"S":"\u00e9\ud83d\ude00"}"#,
        "1.5 2",
        "99999999999999999999999999999999999999 -0.0001",
        "\u{1}\u{1}a\u{0}\u{1}",
    ];
    for round in 0..6_000 {
        let mut data = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..chance.below(5) {
            let at = chance.below(data.len() as u64 + 1) as usize;
            match chance.below(5) {
                0 if at < data.len() => data[at] = chance.next_u64() as u8,
                1 => data.truncate(at),
                2 => data.insert(at, b"{}[]:,\"\\0123456789eE+-.SNBLM "[chance.below(29) as usize]),
                3 if at < data.len() => drop(data.remove(at)),
                _ => {
                    let from = chance.below(at as u64 + 1) as usize;
                    let copy = data[from..at].to_vec();
                    data.splice(at..at, copy);
                }
            }
            data.truncate(2_000);
        }
        crate::fuzz::fuzz_item(&data);
    }
}
