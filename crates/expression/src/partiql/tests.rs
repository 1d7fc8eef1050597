//! Statements, against items and in the words of their refusals.

use super::{Statement, parse};
use bytes::Bytes;
use item::{Attribute, Item, Map};

const ITEM: &str = r#"{"pk":{"S":"x"},"n":{"N":"5"},"s":{"S":"hello"},"ss":{"SS":["a","b"]},
    "l":{"L":[{"N":"1"},{"M":{"in":{"S":"deep"}}}]},"m":{"M":{"sub":{"S":"x"},"two words":{"N":"1"}}},
    "nul":{"NULL":true},"flag":{"BOOL":true},"b":{"B":"AAEC"}}"#;

fn parameters(all: &[&str]) -> Vec<Bytes> {
    all.iter().map(|text| Attribute::parse(text).unwrap().bytes().clone()).collect()
}

#[track_caller]
fn select(condition: &str, given: &[&str]) -> bool {
    let text = format!("SELECT * FROM \"t\" WHERE {condition}");
    match parse(&text, &parameters(given)).unwrap_or_else(|error| panic!("{text}: {error}")) {
        Statement::Select(select) => {
            select.condition.unwrap().holds(Item::parse(ITEM).unwrap().map())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn conditions_hold() {
    for text in [
        "pk = 'x'",
        "\"pk\" = 'x' AND n > 4 AND n <= 5.0",
        "n BETWEEN 1 AND 1e1 and not n between 6 and 7",
        "n NOT BETWEEN 6 AND 7",
        "pk IN ['y', 'x']",
        "pk in ('y', 'x') and pk NOT IN <<'z'>>",
        "(n = 1 OR (s <> 'a' AND begins_with(s, 'he')))",
        "contains(s, 'ell') AND contains(ss, 'a') AND NOT contains(\"ss\", 'c')",
        "size(s) = 5 and SIZE(ss) = 2",
        "attribute_type(ss, 'SS')",
        "ATTRIBUTE_EXISTS(m.sub) and attribute_not_exists(m.nope)",
        "attribute_exists(ss) = true and (attribute_exists(nope) = false)",
        "nope IS MISSING and m.nope is missing and s IS NOT MISSING",
        "nul IS NULL and s IS NOT NULL and flag IS BOOL and s IS STRING and n IS NUMERIC",
        "m IS STRUCT and l IS LIST and b is blob and not s is boolean",
        "l[0] = 1 and l[1].\"in\" = 'deep' and m['sub'] = 'x' and m.\"two words\" = 1",
        "l = [1, {'in': 'deep'}]",
        "m = {'two words': 1, 'sub': 'x'}",
        "ss = <<'b','a'>>",
        "nul = null and flag = true and n = +5 and n > -5 and n>-5",
        "pk = 'x' -- to the end of the line\n and /* within */ n = 5",
    ] {
        assert!(select(text, &[]), "{text}");
    }
    assert!(!select("s IS BOOL", &[]) && !select("nope < 5", &[]) && !select("s = 'it''s'", &[]));
    assert!(select("pk = ? AND n = ?", &[r#"{"S":"x"}"#, r#"{"N":"5"}"#]));
    assert!(select("l = [?, ?]", &[r#"{"N":"1"}"#, r#"{"M":{"in":{"S":"deep"}}}"#]));
    assert!(select("b = ?", &[r#"{"B":"AAEC"}"#]));
}

#[test]
fn columns_and_sources() {
    let read = |text: &str| match parse(text, &[]).unwrap() {
        Statement::Select(select) => select,
        other => panic!("{other:?}"),
    };
    let all = read("select * from \"Music\".\"by-year\" where a = 1 order by a desc, b;");
    assert_eq!(all.source.table, "Music");
    assert_eq!(all.source.index.as_deref(), Some("by-year"));
    let order: Vec<_> = all.order.iter().map(|o| (o.name.as_str(), o.descending)).collect();
    assert_eq!(order, [("a", true), ("b", false)]);
    let some = read("SELECT a, m.nested, m.list[0], \"q\" FROM Music");
    let names: Vec<&str> = some.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a", "nested", "list[0]", "q"]);
    let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/Music";
    assert_eq!(read(&format!("SELECT * FROM \"{arn}\"")).source.table, arn);
}

#[test]
fn items_are_made_and_changed() {
    let text = r#"INSERT INTO "t" VALUE {'pk': 'k', 'n': -1.50, 's': <<1, 2>>, 'm': {'l': [true, null, ?]}}"#;
    let made = parse(text, &parameters(&[r#"{"S":"p"}"#])).unwrap();
    let Statement::Insert(insert) = made else { panic!("{made:?}") };
    assert_eq!(
        Item::from_bytes(insert.item).to_json(),
        r#"{"m":{"M":{"l":{"L":[{"BOOL":true},{"NULL":true},{"S":"p"}]}}},"n":{"N":"-1.5"},"pk":{"S":"k"},"s":{"NS":["1","2"]}}"#
    );
    let text = "UPDATE t SET n = n + 1, s = 'new' SET l = list_append(l, [2]) REMOVE flag
        SET ss = set_add(ss, <<'c'>>) SET m.sub = if_not_exists(m.nope, 'other') REMOVE nul, b
        WHERE pk = 'x' RETURNING MODIFIED NEW *";
    let made = parse(text, &[]).unwrap();
    let Statement::Change(change) = made else { panic!("{made:?}") };
    let returning = change.returning.unwrap();
    assert!(!returning.all && returning.new);
    let after = change.update.unwrap().apply(Item::parse(ITEM).unwrap().bytes()).unwrap().item;
    assert_eq!(
        Item::from_bytes(after).to_json(),
        r#"{"l":{"L":[{"N":"1"},{"M":{"in":{"S":"deep"}}},{"N":"2"}]},"m":{"M":{"sub":{"S":"other"},"two words":{"N":"1"}}},"n":{"N":"6"},"pk":{"S":"x"},"s":{"S":"new"},"ss":{"SS":["a","b","c"]}}"#
    );
    let made = parse("FROM t WHERE pk = 'x' SET ss = set_delete(ss, <<'a'>>)", &[]).unwrap();
    let Statement::Change(change) = made else { panic!("{made:?}") };
    let after = change.update.unwrap().apply(Item::parse(ITEM).unwrap().bytes()).unwrap().item;
    assert_eq!(Map::of(&after).get("ss").unwrap().members().count(), 1);
    assert!(matches!(
        parse("EXISTS(SELECT * FROM t WHERE pk = 'x' AND n = 1)", &[]).unwrap(),
        Statement::Exists(_)
    ));
}

#[test]
fn what_is_refused_and_how() {
    let not_well_formed = "Statement wasn't well formed, can't be processed: ";
    for (text, expected) in [
        ("SLECT * FROM t", format!("{not_well_formed}Expected data manipulation")),
        ("", format!("{not_well_formed}Expected data manipulation")),
        ("SELECT * FROM \"t", not_well_formed.to_owned()),
        ("SELECT * FROM t WHERE (a = 1", format!("{not_well_formed}Expected RIGHT_PAREN")),
        (
            "UPDATE t SET a=1 WHERE pk='k' garbage",
            format!("{not_well_formed}Unexpected token after expression"),
        ),
        (
            "SELECT * FROM t WHERE attribute_exists(m.inner)",
            format!("{not_well_formed}Invalid path dot component"),
        ),
        ("SELECT id FROM dbimp_page LIMIT 5", "Unsupported clause: LIMIT at 1:33:1".into()),
        ("SELECT a, a FROM t", "Duplicate identifiers in select clause: a".into()),
        ("SELECT a AS x FROM t", "Aliasing is not supported".into()),
        (
            "SELECT *, a FROM t",
            "Other attributes should not be present in the projection when '*' is used.".into(),
        ),
        ("SELECT attribute_exists(a) FROM t", "Unexpected path component at 1:8:16".into()),
        (
            "SELECT * FROM t WHERE EXISTS(a)",
            "Unrecognized function: exists at 1:23:6".into(),
        ),
        (
            "SELECT * FROM t WHERE attribute_exists('a')",
            "Operator or function requires a document path; operator or function: attribute_exists".into(),
        ),
        (
            "SELECT * FROM t WHERE attribute_exists()",
            "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 0".into(),
        ),
        (
            "SELECT * FROM t WHERE a < true",
            "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL".into(),
        ),
        ("SELECT * FROM t WHERE a = ?", "Number of parameters in request and statement don't match.".into()),
        ("SELECT * FROM t.i.x", "A path may contain at most 2 components in the FROM clause".into()),
        ("SELECT * FROM \"\"", "Path component cannot be an empty string".into()),
        ("SELECT * FROM a, b", "Only select from a single table or index is supported.".into()),
        ("SELECT l[-1] FROM t", "List index is not within the allowable range; index: [-1]".into()),
        (
            "INSERT INTO t VALUES {'a': 1}",
            "Unsupported operation: Inserting multiple items in a single statement is not supported, use \"INSERT INTO tableName VALUE item\" instead".into(),
        ),
        (
            "INSERT INTO t VALUE {'s': set_add(<<'a'>>, <<'b'>>)}",
            "Unsupported data type: set_add under key root at 1:27:7".into(),
        ),
        ("INSERT INTO t VALUE {'a': <<>>}", "Empty bags are not supported".into()),
        ("INSERT INTO t VALUE {'a': 1, 'a': 2}", "Duplicate keys in tuple. Key: a under root".into()),
        (
            "DELETE FROM t WHERE pk = 'x' RETURNING MODIFIED OLD *",
            "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements.".into(),
        ),
        (
            "UPDATE t SET u = set_add(s, <<'x'>>) WHERE a = 1",
            "The first argument to SET_ADD must equal the assignment value at 1:18:7".into(),
        ),
        (
            "UPDATE t SET s = set_add(s, 'x') WHERE a = 1",
            "The second argument to SET_ADD must be a value with type SET at 1:26:1".into(),
        ),
        ("UPDATE t SET s = set_add(s) WHERE a = 1", "SET_ADD must have exactly two arguments at 1:18:7".into()),
        (
            "UPDATE t SET s = set_add(s, <<'x','x'>>) WHERE a = 1",
            "One or more parameter values were invalid: Input collection [x, x] contains duplicates.".into(),
        ),
    ] {
        assert_eq!(parse(text, &[]).unwrap_err(), expected, "{text}");
    }
    assert_eq!(
        parse("SELECT * FROM t", &parameters(&[r#"{"S":"x"}"#])).unwrap_err(),
        "Number of parameters in request and statement don't match."
    );
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = |open: &str, close: &str, n: usize| {
        format!("SELECT * FROM t WHERE a = 1 AND {}b = 1{}", open.repeat(n), close.repeat(n))
    };
    assert!(parse(&deep("(", ")", 100), &[]).is_ok());
    assert!(parse(&deep("(", ")", 1000), &[]).is_err());
    assert!(parse(&format!("INSERT INTO t VALUE {{'a': {}", "[".repeat(5000)), &[]).is_err());
    assert!(parse(&format!("SELECT * FROM t WHERE {}a = 1", "NOT ".repeat(2000)), &[]).is_err());
    assert!(parse(&format!("SELECT * FROM t WHERE a = '{}'", "x".repeat(9000)), &[]).is_err());
}

#[test]
fn any_text_is_read_or_refused() {
    use base::Entropy;
    const PIECES: &str = "SELECT|*|FROM|t|WHERE|a|b|.|[|]|0|7|'x'|\"n\"|=|<>|<|>=|+|-|AND|OR|NOT|BETWEEN|IN|IS|MISSING|NULL|(|)|{|}|:|,|<<|>>|?|;|INSERT INTO t VALUE|UPDATE t SET|REMOVE|DELETE FROM t|RETURNING ALL OLD *|set_add(|list_append(|size(|begins_with(|EXISTS(|ORDER BY|`x`|é|\0|--|/*|1e5|1e400|true|a = 1|a = 1 AND|b.c IS MISSING|SELECT * FROM t WHERE a = 1|UPDATE t SET a = 1 WHERE b = 2";
    let pieces: Vec<&str> = PIECES.split('|').collect();
    let chance = base::SeededEntropy::new(12);
    let mut read = 0;
    for _ in 0..20_000 {
        let mut text = String::from(char::from(chance.below(6) as u8));
        if chance.below(2) == 0 {
            text.push_str("SELECT * FROM t WHERE ");
        }
        for _ in 0..1 + chance.below(8) {
            text.push_str(pieces[chance.below(pieces.len() as u64) as usize]);
            if chance.below(4) > 0 {
                text.push(' ');
            }
        }
        super::fuzz_partiql(text.as_bytes());
        read += usize::from(parse(&text[1..], &[]).is_ok());
    }
    assert!(read > 100, "{read}");
}
