//! Queries on small objects, and what they answer.

use crate::csv::Header;
use crate::{
    Compression, CsvInput, CsvOutput, Input, Output, Query, RECORD_BYTES_MAX, Run, Stats, Step,
};
use base::Timestamp;
use std::io::Write;

const PEOPLE: &str = "name,age,city\nAnn,41,Rome\nbob,7,\"Paris, France\"\nCy,,Oslo\n";
const LINES: &str = r#"{"id":1,"n":1.10,"tags":["a","b"],"who":{"Name":"Ann","age":null}}
{"id":2,"n":2e3,"who":{"Name":"Bob"},"ok":true}
"#;
/// The guide's own examples.
const RULES: &str = r#"{ "Rules": [ {"id": "1"}, {"expr": "y > x"}, {"id": "2", "expr": "z = DEBUG"} ]}
{ "created": "June 27", "modified": "July 6" }
"#;

fn csv(header: Header) -> Input {
    Input::Csv(CsvInput { header, ..CsvInput::default() })
}

fn json() -> Input {
    Input::Json { lines: true }
}

fn csv_out() -> Output {
    Output::Csv(CsvOutput::default())
}

fn json_out() -> Output {
    Output::Json { record_delimiter: "\n".into() }
}

/// The whole answer, with what was counted.
fn all(run: crate::Result<Run>, object: &[u8], piece: usize) -> crate::Result<(String, Stats)> {
    let (answer, stats) = crate::fuzz::answer(run?, object, piece)?;
    Ok((String::from_utf8(answer).expect("text"), stats))
}

fn start(
    sql: &str,
    input: Input,
    compression: Compression,
    output: Output,
    range: Option<(u64, u64)>,
) -> crate::Result<Run> {
    let now = Timestamp::from_millis(1_507_910_531_123);
    Run::new(Query::parse(sql)?, input, compression, output, now, range)
}

fn run(sql: &str, input: Input, output: Output, object: &str) -> Result<String, String> {
    let answers = [1, 5, 1 << 20].map(|piece| {
        let run = start(sql, input.clone(), Compression::None, output.clone(), None);
        all(run, object.as_bytes(), piece).map(|(answer, _)| answer)
    });
    // How the object comes in pieces makes no difference.
    assert!(answers.iter().all(|a| *a == answers[0]), "{sql}: {answers:?}");
    let [first, ..] = answers;
    first.map_err(|error| error.code.to_owned())
}

/// Of the people, by their header.
fn people(sql: &str, expected: &str) {
    let answer = run(sql, csv(Header::Use), csv_out(), PEOPLE);
    assert_eq!(answer.as_deref(), Ok(expected), "{sql}");
}

fn lines(sql: &str, expected: &str) {
    let answer = run(sql, json(), json_out(), LINES);
    assert_eq!(answer.as_deref(), Ok(expected), "{sql}");
}

/// The value of an expression, as CSV.
fn value(expression: &str) -> Result<String, String> {
    let sql = format!("SELECT {expression} FROM S3Object s");
    run(&sql, csv(Header::None), csv_out(), "1,abc,,2.5\n").map(|a| a.trim_end().to_owned())
}

fn values(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(value(expression).as_deref(), Ok(*expected), "{expression}");
    }
}

fn refused(cases: &[(&str, &str)]) {
    for (sql, code) in cases {
        let answer = run(sql, csv(Header::None), csv_out(), "1,abc\n");
        assert_eq!(answer, Err((*code).to_owned()), "{sql}");
    }
}

#[test]
fn columns_by_name_and_by_place() {
    people("SELECT * FROM S3Object", "Ann,41,Rome\nbob,7,\"Paris, France\"\nCy,,Oslo\n");
    people("select s.name, s._2 from s3object s limit 2", "Ann,41\nbob,7\n");
    people("SELECT NAME FROM S3Object[*] AS s WHERE s.\"city\" = 'Oslo';", "Cy\n");
    people("SELECT s.* FROM S3Object s WHERE s.age = 7", "bob,7,\"Paris, France\"\n");
    people("SELECT s3object.name FROM S3Object s WHERE s._3 = 'Rome'", "Ann\n");
    people("SELECT _9, name FROM S3Object LIMIT 1", ",Ann\n");
    people("SELECT name FROM S3Object WHERE age = ''", "Cy\n");
    people("SELECT name FROM S3Object WHERE age > 10", "Ann\n");
    // Fields are text where they are compared with text.
    people("SELECT name FROM S3Object WHERE age >= '41'", "Ann\nbob\n");
    people("SELECT name FROM S3Object LIMIT 0", "");
    let ignored = run("SELECT _1 FROM S3Object", csv(Header::Ignore), csv_out(), PEOPLE);
    assert_eq!(ignored.as_deref(), Ok("Ann\nbob\nCy\n"));
    let shown = run("SELECT * FROM S3Object LIMIT 1", csv(Header::Use), json_out(), PEOPLE);
    assert_eq!(shown.as_deref(), Ok("{\"name\":\"Ann\",\"age\":\"41\",\"city\":\"Rome\"}\n"));
    let shown = run("SELECT _1, _5 FROM S3Object", csv(Header::None), json_out(), "a,b\n");
    assert_eq!(shown.as_deref(), Ok("{\"_1\":\"a\"}\n"));
}

#[test]
fn names_that_are_not_there() {
    let check = |sql: &str, header: Header, object: &str, code: &str| {
        let answer = run(sql, csv(header), csv_out(), object);
        assert_eq!(answer, Err(code.to_owned()), "{sql}");
    };
    check("SELECT nothing FROM S3Object", Header::Use, PEOPLE, "MissingHeaders");
    check("SELECT s.\"NAME\" FROM S3Object s", Header::Use, PEOPLE, "MissingHeaders");
    check("SELECT name FROM S3Object", Header::None, PEOPLE, "InvalidColumnIndex");
    check("SELECT _0 FROM S3Object", Header::Ignore, PEOPLE, "InvalidColumnIndex");
    check("SELECT t.name FROM S3Object s", Header::Use, PEOPLE, "InvalidTableAlias");
    check("SELECT s.name FROM S3Object s", Header::Use, "NAME,name\n1,2\n", "AmbiguousFieldName");
    check("SELECT name.a.b FROM S3Object name", Header::Use, PEOPLE, "InvalidKeyPath");
    check("SELECT _1 FROM S3Object[*].a", Header::None, PEOPLE, "InvalidKeyPath");
    let exact =
        run("SELECT s.\"NAME\" FROM S3Object s", csv(Header::Use), csv_out(), "NAME,name\n1,2\n");
    assert_eq!(exact.as_deref(), Ok("1\n"));
}

#[test]
fn aggregates() {
    people("SELECT COUNT(*) FROM S3Object", "3\n");
    people("SELECT count(0), MAX(s.name) FROM S3Object s WHERE s.age <> ''", "2,bob\n");
    people("SELECT SUM(CAST(age AS INT)) + 1 FROM S3Object WHERE age <> ''", "49\n");
    people(
        "SELECT AVG(CAST(age AS INT)), MIN(CAST(age AS INT)) FROM S3Object WHERE age <> ''",
        "24,7\n",
    );
    people("SELECT AVG(CAST(age AS FLOAT)) FROM S3Object WHERE age <> ''", "24\n");
    people(
        "SELECT SUM(CAST(age AS INT)), COUNT(*), MIN(_1) FROM S3Object WHERE name = 'x'",
        ",0,\n",
    );
    lines(
        "SELECT COUNT(s.who.age), SUM(s.n), AVG(s.id) AS mean FROM S3Object s",
        "{\"_1\":0,\"_2\":2001.10,\"mean\":1.5}\n",
    );
    refused(&[
        ("SELECT COUNT(*), _1 FROM S3Object", "UnsupportedSqlStructure"),
        ("SELECT _1 FROM S3Object WHERE COUNT(*) > 1", "UnsupportedSqlStructure"),
        ("SELECT SUM(COUNT(*)) FROM S3Object", "UnsupportedSqlStructure"),
        ("SELECT SUM(*) FROM S3Object", "ParseUnsupportedCallWithStar"),
        ("SELECT SUM(_1, _2) FROM S3Object", "ParseNonUnaryAgregateFunctionCall"),
        ("SELECT SUM(_2) FROM S3Object", "IncorrectSqlFunctionArgumentType"),
        ("SELECT SUM(9223372036854775807 - 1 + _1 * 0) + 2 FROM S3Object", "IntegerOverflow"),
    ]);
}

#[test]
fn trees() {
    lines(
        "SELECT * FROM S3Object s WHERE s.id = 2",
        "{\"id\":2,\"n\":2E+3,\"who\":{\"Name\":\"Bob\"},\"ok\":true}\n",
    );
    lines(
        "SELECT s.who.name, s.tags[1] FROM S3Object[*] s",
        "{\"name\":\"Ann\",\"_2\":\"b\"}\n{\"name\":\"Bob\"}\n",
    );
    lines(
        "SELECT who['Name'] AS w FROM S3Object WHERE tags[5] IS MISSING AND id = 1",
        "{\"w\":\"Ann\"}\n",
    );
    lines("SELECT s.who.* FROM S3Object s WHERE s.n = 1.1", "{\"Name\":\"Ann\",\"age\":null}\n");
    lines(
        "SELECT id FROM S3Object s WHERE s.who.age IS NULL AND s.who.age IS NOT MISSING",
        "{\"id\":1}\n",
    );
    lines("SELECT id FROM S3Object s WHERE s.ok", "{\"id\":2}\n");
    lines("SELECT _1.id FROM S3Object[*]", "{\"id\":1}\n{\"id\":2}\n");
    lines("SELECT t FROM S3Object[*].tags[*] t", "{\"t\":\"a\"}\n{\"t\":\"b\"}\n{}\n");
    lines("SELECT * FROM S3Object[*].tags[1]", "{\"_1\":\"b\"}\n{}\n");
    lines("SELECT * FROM S3Object[*].who.*", "{\"_1\":\"Ann\"}\n{\"_1\":null}\n{\"_1\":\"Bob\"}\n");
    let flat = run("SELECT s.id, s.who.age, s.who.none FROM S3Object s", json(), csv_out(), LINES);
    assert_eq!(flat.as_deref(), Ok("1,,\n2,,\n"));
    let deep = run("SELECT s.tags FROM S3Object s", json(), csv_out(), LINES);
    assert_eq!(deep, Err("UnsupportedSqlOperation".into()));
    let twice = run("SELECT s.a FROM S3Object s", json(), json_out(), "{\"a\":1,\"A\":2}");
    assert_eq!(twice, Err("AmbiguousFieldName".into()));
    let one = run("SELECT s.\"A\" FROM S3Object s", json(), json_out(), "{\"a\":1,\"A\":2}");
    assert_eq!(one.as_deref(), Ok("{\"A\":2}\n"));
}

#[test]
fn rows_within_a_document() {
    let check = |sql: &str, expected: &str| {
        let answer = run(sql, Input::Json { lines: false }, json_out(), RULES);
        assert_eq!(answer.as_deref(), Ok(expected), "{sql}");
    };
    check("SELECT id FROM S3Object[*].Rules[*].id", "{\"id\":\"1\"}\n{}\n{\"id\":\"2\"}\n{}\n");
    check(
        "SELECT id FROM S3Object[*].Rules[*].id WHERE id IS NOT MISSING",
        "{\"id\":\"1\"}\n{\"id\":\"2\"}\n",
    );
    check(
        "SELECT _1.expr FROM S3Object[*].Rules[*] WHERE _1.id = '2'",
        "{\"expr\":\"z = DEBUG\"}\n",
    );
    check("SELECT COUNT(*) FROM S3Object[*].Rules[*]", "{\"_1\":4}\n");
    check("SELECT r.expr FROM S3Object[*].Rules[1] r LIMIT 1", "{\"expr\":\"y > x\"}\n");
}

#[test]
fn more_than_a_record_in_a_document() {
    let item = format!("{{\"x\":\"{}\"}},", "y".repeat(1000));
    let document = format!("{{\"big\":[{}{{\"x\":1}}]}}", item.repeat(1500));
    let document = document.as_bytes();
    let go = |sql: &str| {
        let run = start(sql, Input::Json { lines: false }, Compression::None, json_out(), None);
        all(run, document, 100_000)
    };
    let (answer, stats) = go("SELECT COUNT(*) FROM S3Object[*].big[*]").unwrap();
    assert_eq!(answer, "{\"_1\":1501}\n");
    assert_eq!(stats.processed, document.len() as u64);
    assert_eq!(go("SELECT COUNT(*) FROM S3Object").unwrap_err().code, "OverMaxRecordSize");
}

#[test]
fn broken_json() {
    for object in [
        "{",
        "{\"a\":}",
        "[1,]",
        "{\"a\":1}}",
        "{\"a\" 1}",
        "nul",
        "\"\\x\"",
        "01",
        "1.",
        "{]",
        "\"a",
        "{\"a\":\"\\ud800\"}",
        "-",
        ":",
        "\u{1}",
    ] {
        let answer = run("SELECT * FROM S3Object", json(), json_out(), object);
        assert_eq!(answer, Err("JSONParsingError".into()), "{object}");
    }
    let deep = "[".repeat(100) + &"]".repeat(100);
    for sql in ["SELECT * FROM S3Object", "SELECT * FROM S3Object[*].a"] {
        assert_eq!(run(sql, json(), json_out(), &deep), Err("JSONParsingError".into()));
    }
    let good = run(
        "SELECT * FROM S3Object",
        json(),
        json_out(),
        "\u{feff}{\"a\":\"\\u00e9\\ud83d\\ude00\\n\"} 7",
    );
    assert_eq!(good.as_deref(), Ok("{\"a\":\"é😀\\n\"}\n{\"_1\":7}\n"));
}

#[test]
fn records_of_csv() {
    let check = |input: CsvInput, object: &str, expected: Result<&str, &str>| {
        let answer = run("SELECT * FROM S3Object", Input::Csv(input), json_out(), object);
        assert_eq!(answer.as_deref().map_err(String::as_str), expected, "{object:?}");
    };
    let plain = CsvInput::default;
    check(plain(), "a,b\r\n\r\n#no\nc", Ok("{\"_1\":\"a\",\"_2\":\"b\"}\n{\"_1\":\"c\"}\n"));
    check(plain(), "\u{feff}\"a\"\"b\",c\"d", Ok("{\"_1\":\"a\\\"b\",\"_2\":\"c\\\"d\"}\n"));
    check(plain(), "\"a\nb\",c\n", Err("CSVEscapingRecordDelimiter"));
    check(plain(), "\"a\"b,c\n", Err("CSVUnescapedQuote"));
    check(plain(), "\"a", Err("CSVParsingError"));
    let quoted = || CsvInput { quoted_delimiters: true, ..plain() };
    check(
        quoted(),
        "\"a\nb\"\"\n\",c\nd",
        Ok("{\"_1\":\"a\\nb\\\"\\n\",\"_2\":\"c\"}\n{\"_1\":\"d\"}\n"),
    );
    check(quoted(), "a\"b\nc\n", Ok("{\"_1\":\"a\\\"b\"}\n{\"_1\":\"c\"}\n"));
    check(quoted(), "\"a\nb", Err("CSVParsingError"));
    let other = CsvInput {
        record_delimiter: "|;".into(),
        field_delimiter: "é".into(),
        quote: Some('\''),
        escape: Some('\\'),
        comments: None,
        quoted_delimiters: true,
        ..plain()
    };
    check(other, "#aé'b\\'|;é'|;c|d", Ok("{\"_1\":\"#a\",\"_2\":\"b'|;é\"}\n{\"_1\":\"c|d\"}\n"));
    let bare = CsvInput { quote: None, escape: None, ..plain() };
    check(bare, "\"a,b\n", Ok("{\"_1\":\"\\\"a\",\"_2\":\"b\"}\n"));
}

#[test]
fn bounds() {
    let go = |object: &[u8], piece: usize| {
        let run =
            start("SELECT _1 FROM S3Object", csv(Header::None), Compression::None, csv_out(), None);
        all(run, object, piece)
    };
    let long = "x".repeat(RECORD_BYTES_MAX);
    let (answer, stats) = go(long.as_bytes(), 9999).unwrap();
    assert_eq!(answer.len(), RECORD_BYTES_MAX + 1);
    assert_eq!(stats.returned, answer.len() as u64);
    let longer = long + "x";
    assert_eq!(go(longer.as_bytes(), 9999).unwrap_err().code, "OverMaxRecordSize");
    let error = go(&[b"a\n".repeat(40_000), b"\xff\n".to_vec()].concat(), 999).unwrap_err();
    assert_eq!(error.code, "InvalidTextEncoding");
    assert!(error.message.ends_with("near byte 80,000."), "{}", error.message);
    // An answer that is larger than the object by far waits for whoever takes it.
    let wide = format!("SELECT {} FROM S3Object", ["_1"; 500].join(","));
    for (input, object) in [(csv(Header::None), "7\n"), (json(), "{\"_1\":7}\n")] {
        let mut run = start(&wide, input, Compression::None, csv_out(), None).unwrap();
        run.push(object.repeat(2_000).as_bytes());
        let mut taken = 0;
        while run.step().unwrap() == Step::More {
            assert!(run.ready() <= 300_000, "{}", run.ready());
            taken += run.take().len();
        }
        assert_eq!(taken, 2_000 * 1_000);
    }
    // Text that doubles, and patterns that go back and back, come to an end.
    let doubled = "(".repeat(20) + "s._1" + &" || s._1)".repeat(20);
    let sql = format!("SELECT {} FROM S3Object s", [doubled.as_str(); 40].join(","));
    let run = start(&sql, csv(Header::None), Compression::None, csv_out(), None);
    let object = "x".repeat(RECORD_BYTES_MAX - 1);
    assert_eq!(all(run, object.as_bytes(), 99_999).unwrap_err().code, "MaxOperatorsExceeded");
    let sql = format!("SELECT 1 FROM S3Object s WHERE s._1 LIKE '%{}y'", "x_".repeat(5000));
    let run = start(&sql, csv(Header::None), Compression::None, csv_out(), None);
    assert_eq!(all(run, object.as_bytes(), 99_999).unwrap_err().code, "MaxOperatorsExceeded");
}

/// So many of one thing in a query, on a record with as long a list, or text, as there can be.
#[test]
fn much_of_a_long_record() {
    let list = format!("{{\"a\":[{}0]}}", "0,".repeat(500_000));
    let text = format!("{{\"a\":\"{}\"}}", "1".repeat(RECORD_BYTES_MAX - 8));
    let go = |sql: &str, object: &str| {
        let run = start(sql, json(), Compression::None, csv_out(), None);
        all(run, object.as_bytes(), 99_999).map(|(answer, _)| answer).map_err(|e| e.code)
    };
    // A list that is not copied is no matter, and what is compared once is little.
    let nulls = "NULLIF(s.a,1),".repeat(2_000);
    let sql = format!("SELECT 7 FROM S3Object s WHERE COALESCE({nulls}1) IS NOT NULL");
    assert_eq!(go(&sql, &list).as_deref(), Ok("7\n"));
    let sql = "SELECT 7 FROM S3Object s WHERE s.a = s.a AND NULLIF(s.a, s.a) IS NULL";
    assert_eq!(go(sql, &list).as_deref(), Ok("7\n"));
    let too_much = |one: &str, times: usize, object: &str| {
        let sql = format!("SELECT 7 FROM S3Object s WHERE {} TRUE", one.repeat(times));
        assert_eq!(go(&sql, object), Err("MaxOperatorsExceeded"), "{one}");
    };
    too_much("s.a = s.a AND ", 50, &list);
    too_much("CAST(s.a AS STRING) IS NOT NULL AND ", 160, &text);
    too_much("TRIM('1' FROM s.a) = '' AND ", 50, &text);
    too_much("LOWER(s.a) <> '' AND ", 50, &text);
    too_much("TO_STRING(UTCNOW(), s.a) <> '' AND ", 50, &text);
    let many: String = ('\u{4e00}'..'\u{9000}').collect();
    let sql = format!("SELECT TRIM('1{many}' FROM s.a) FROM S3Object s");
    assert_eq!(go(&sql, &text).as_deref(), Ok("\n"));
}

#[test]
fn many_names_of_a_long_header() {
    let object = format!("x{}\n1\n", ",".repeat(RECORD_BYTES_MAX / 2));
    let go = |times: usize| {
        let sql = format!("SELECT {}x FROM S3Object", "x,".repeat(times));
        let run = start(&sql, csv(Header::Use), Compression::None, csv_out(), None);
        all(run, object.as_bytes(), 99_999).map(|(answer, _)| answer).map_err(|e| e.code)
    };
    assert_eq!(go(1).as_deref(), Ok("1,1\n"));
    assert_eq!(go(1_000), Err("MaxOperatorsExceeded"));
}

#[test]
fn keywords_are_in_order() {
    assert!(crate::token::KEYWORDS.is_sorted());
}

#[test]
fn what_comes_after_the_first_that_is_known_is_not_looked_at() {
    let sql = "SELECT COALESCE(s._1, CAST('x' AS INT)) FROM S3Object s";
    assert_eq!(run(sql, csv(Header::None), csv_out(), "1\n").as_deref(), Ok("1\n"));
}

#[test]
fn ranges() {
    let check = |sql: &str, input: Input, object: &str, range: (u64, u64), expected: &str| {
        for piece in [1, 3, 1 << 20] {
            let run = start(sql, input.clone(), Compression::None, csv_out(), Some(range));
            let (answer, _) = all(run, object.as_bytes(), piece).unwrap();
            assert_eq!(answer, expected, "{range:?} in {piece}");
        }
    };
    let object = "A,B\nC,D\nD,E\nE,F\nG,H\nI,J\n";
    let every = "SELECT * FROM S3Object";
    check(every, csv(Header::None), object, (1, 4), "C,D\n");
    check(every, csv(Header::None), object, (0, 0), "A,B\n");
    check(every, csv(Header::None), object, (4, 4), "C,D\n");
    check(every, csv(Header::None), object, (5, 7), "");
    check(every, csv(Header::None), object, (20, u64::MAX), "I,J\n");
    check(every, csv(Header::None), object, (21, u64::MAX), "");
    check("SELECT b FROM S3Object", csv(Header::Use), object, (9, 16), "F\nH\n");
    check(every, csv(Header::Ignore), object, (9, 12), "E,F\n");
    let object = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";
    check("SELECT a FROM S3Object", json(), object, (1, 8), "2\n");
    check("SELECT a FROM S3Object", json(), object, (0, 7), "1\n");
    check("SELECT a FROM S3Object", json(), object, (8, u64::MAX), "2\n3\n");
    for (input, compression) in [
        (csv(Header::None), Compression::Gzip),
        (Input::Json { lines: false }, Compression::None),
        (
            Input::Csv(CsvInput { quoted_delimiters: true, ..CsvInput::default() }),
            Compression::None,
        ),
    ] {
        let error = start(every, input, compression, csv_out(), Some((0, 9))).err().unwrap();
        assert_eq!(error.code, "UnsupportedScanRangeInput");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_objects() {
    let object = "1,2\n".repeat(10_000);
    let go = |bytes: &[u8], compression: Compression, piece: usize| {
        let run =
            start("SELECT COUNT(*) FROM S3Object", csv(Header::None), compression, csv_out(), None);
        all(run, bytes, piece)
    };
    for (compression, press) in
        [(Compression::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Compression::Bzip2, bzip2)]
    {
        let whole = press(object.as_bytes());
        // Members follow each other.
        let twice = [whole.clone(), press(b"3\n")].concat();
        for piece in [1, 100, 1 << 20] {
            let (answer, stats) = go(&twice, compression, piece).unwrap();
            assert_eq!(answer, "10001\n", "{compression:?} in {piece}");
            assert_eq!(stats.scanned, twice.len() as u64);
            assert_eq!(stats.processed, object.len() as u64 + 2);
        }
        let half = go(&whole[..whole.len() - 9], compression, 77).unwrap_err();
        assert_eq!(half.code, "TruncatedInput", "{compression:?}");
        let none = go(object.as_bytes(), compression, 77).unwrap_err();
        assert_eq!(none.code, "InvalidCompressionFormat", "{compression:?}");
        assert!(none.message.contains("is not applicable to the queried object"));
    }
    let open = go(&gzip(object.as_bytes()), Compression::None, 77).unwrap_err();
    assert_eq!(open.code, "InvalidTextEncoding");
}

#[test]
fn a_limit_ends_the_reading() {
    let object = "1,2\n".repeat(200_000);
    let run = start(
        "SELECT * FROM S3Object LIMIT 2",
        csv(Header::None),
        Compression::None,
        csv_out(),
        None,
    );
    let (answer, stats) = all(run, object.as_bytes(), 1000).unwrap();
    assert_eq!(answer, "1,2\n1,2\n");
    assert_eq!(stats, Stats { scanned: 1000, processed: 1000, returned: 8 });
}

#[test]
fn operators() {
    values(&[
        ("1 + 2 * 3 - 4 / 3", "6"),
        ("(1 + 2) * -3", "-9"),
        ("7 % 4", "3"),
        ("1.5 * 2", "3.0"),
        ("CAST(1 AS FLOAT) / 4", "0.25"),
        ("_1 + 1", "2"),
        ("- _4", "-2.5"),
        ("'a' || 'b' || _2", "ababc"),
        ("1 = 1.0", "true"),
        ("'1' = 1", "false"),
        ("_1 = 1", "true"),
        ("1 < 2 AND NOT 2 < 1", "true"),
        ("NULL = NULL", ""),
        ("NULL OR TRUE", "true"),
        ("NULL AND TRUE", ""),
        ("NULL AND FALSE", "false"),
        ("NOT NULL", ""),
        ("MISSING IS NULL", "true"),
        ("NULL IS MISSING", "false"),
        ("_7 IS MISSING", "true"),
        ("2 BETWEEN 1 AND 3 AND 5 NOT BETWEEN 6 AND 7", "true"),
        ("'b' IN ('a', 'b')", "true"),
        ("1 NOT IN (2, 3)", "true"),
        ("1 IN (2, NULL)", ""),
        ("_2 LIKE 'a_c'", "true"),
        ("_2 LIKE '%b%' AND _2 NOT LIKE 'b%'", "true"),
        ("'50%' LIKE '%x%' ESCAPE 'x'", "true"),
        ("'500' LIKE '50x%' ESCAPE 'x'", "false"),
        ("'aXbXc' LIKE 'a%X_'", "true"),
        ("'' LIKE ''", "true"),
        ("'a' LIKE ''", "false"),
        ("'a' LIKE 'a%%'", "true"),
        ("CASE _2 WHEN 'x' THEN 1 WHEN 'abc' THEN 2 END", "2"),
        ("CASE WHEN _1 > 5 THEN 'big' ELSE 'small' END", "small"),
        ("CASE WHEN FALSE THEN 1 END", ""),
        ("1 -- a comment\n + /* another */ 1", "2"),
        ("'it''s'", "it's"),
        (".5", "0.5"),
        ("9223372036854775807", "9223372036854775807"),
    ]);
    refused(&[
        ("SELECT 1 / 0 FROM S3Object", "ExternalEvalException"),
        ("SELECT 1.5 % 0 FROM S3Object", "ExternalEvalException"),
        ("SELECT 9223372036854775807 + 1 FROM S3Object", "IntegerOverflow"),
        ("SELECT 9223372036854775808 FROM S3Object", "NumberFormatError"),
        ("SELECT _2 + 1 FROM S3Object", "IncorrectSqlFunctionArgumentType"),
        ("SELECT 1 FROM S3Object WHERE 'a'", "IncorrectSqlFunctionArgumentType"),
        ("SELECT 1 LIKE '1' FROM S3Object", "LikeInvalidInputs"),
        (
            "SELECT 'a' LIKE 'xa' ESCAPE 'x' FROM S3Object",
            "EvaluatorLikePatternInvalidEscapeSequence",
        ),
        (
            "SELECT 'a' LIKE 'a' ESCAPE 'xy' FROM S3Object",
            "EvaluatorLikePatternInvalidEscapeSequence",
        ),
    ]);
}

#[test]
fn functions() {
    values(&[
        ("CHAR_LENGTH('')", "0"),
        ("CHARACTER_LENGTH('äbc')", "3"),
        ("LOWER('AbC!') || upper('aß')", "abc!ASS"),
        ("SUBSTRING('123456789', 0)", "123456789"),
        ("SUBSTRING('123456789' FROM 2)", "23456789"),
        ("SUBSTRING('123456789', -4)", "123456789"),
        ("SUBSTRING('123456789', 0, 999)", "123456789"),
        ("SUBSTRING('123456789' FROM 1 FOR 5)", "12345"),
        ("SUBSTRING('123456789', -1, 4)", "12"),
        ("SUBSTRING('123', 9223372036854775807, 9223372036854775807)", ""),
        ("TRIM('  foobar ')", "foobar"),
        ("TRIM(LEADING FROM '  a ') || '|'", "a |"),
        ("TRIM(TRAILING FROM ' a ') || '|'", " a|"),
        ("TRIM(BOTH '12' FROM '1112211foobar22211122')", "foobar"),
        ("COALESCE(NULL, MISSING, 1)", "1"),
        ("COALESCE(MISSING)", ""),
        ("NULLIF(1, 1.0)", ""),
        ("NULLIF(1, '1')", "1"),
        ("NULLIF(1, NULL)", "1"),
        ("UTCNOW()", "2017-10-13T16:02:11.123Z"),
        ("CAST('TRUE' AS BOOL)", "true"),
        ("CAST(_1 AS INT) + 1", "2"),
        ("CAST(12.9 AS INTEGER)", "12"),
        ("CAST('12.90' AS DECIMAL(10, 2))", "12.90"),
        ("CAST(1 AS STRING) || CAST(TRUE AS VARCHAR(5))", "1true"),
        ("CAST(NULL AS INT)", ""),
        ("CAST('2007-04-05T14:30Z' AS TIMESTAMP)", "2007-04-05T14:30Z"),
        ("CAST(0.456 AS FLOAT)", "0.456"),
        ("`true`", "true"),
        ("`1.50`", "1.50"),
        ("`\"x\"`", "x"),
    ]);
    refused(&[
        ("SELECT CAST('x' AS INT) FROM S3Object", "CastFailed"),
        ("SELECT CAST('' AS INT) FROM S3Object", "CastFailed"),
        ("SELECT CAST('inf' AS FLOAT) FROM S3Object", "CastFailed"),
        ("SELECT CAST('2007-02-30' AS TIMESTAMP) FROM S3Object", "CastFailed"),
        ("SELECT CAST(1 AS BLOB) FROM S3Object", "InvalidDataType"),
        ("SELECT LOWER(1) FROM S3Object", "IncorrectSqlFunctionArgumentType"),
        ("SELECT LOWER() FROM S3Object", "EvaluatorInvalidArguments"),
        ("SELECT SUBSTRING('a') FROM S3Object", "EvaluatorInvalidArguments"),
        ("SELECT SUBSTRING('a', 1, -1) FROM S3Object", "IllegalSqlFunctionArgument"),
        ("SELECT UTCNOW(1) FROM S3Object", "EvaluatorInvalidArguments"),
        ("SELECT nothing(1) FROM S3Object", "UnsupportedFunction"),
    ]);
}

#[test]
fn times() {
    values(&[
        ("TO_TIMESTAMP('2007T')", "2007T"),
        ("TO_TIMESTAMP('2007-02-23T12:14:33.079-08:00')", "2007-02-23T12:14:33.079-08:00"),
        ("TO_TIMESTAMP('20070223T121433Z')", "2007-02-23T12:14:33Z"),
        ("DATE_ADD(year, 5, `2010-01-01T`)", "2015-01-01"),
        ("DATE_ADD(month, 1, `2010T`)", "2010-02T"),
        ("DATE_ADD(month, 13, `2010T`)", "2011-02T"),
        ("DATE_ADD(month, 1, `2011-01-31`)", "2011-02-28"),
        ("DATE_ADD(day, -1, `2017-01-10T`)", "2017-01-09"),
        ("DATE_ADD(hour, 1, `2017T`)", "2017-01-01T01:00-00:00"),
        ("DATE_ADD(hour, 1, `2017-01-02T03:04Z`)", "2017-01-02T04:04Z"),
        ("DATE_ADD(minute, 1, `2017-01-02T03:04:05.006Z`)", "2017-01-02T03:05:05.006Z"),
        ("DATE_ADD(second, 1, `2017-01-02T03:04:05.006Z`)", "2017-01-02T03:04:06.006Z"),
        ("DATE_DIFF(year, `2010-01-01T`, `2011-01-01T`)", "1"),
        ("DATE_DIFF(month, `2010T`, `2010-05T`)", "4"),
        ("DATE_DIFF(month, `2010T`, `2011T`)", "12"),
        ("DATE_DIFF(month, `2011T`, `2010T`)", "-12"),
        ("DATE_DIFF(month, `2010-01-31`, `2010-02-28`)", "0"),
        ("DATE_DIFF(day, `2010-01-01T23:00Z`, `2010-01-02T01:00Z`)", "0"),
        ("DATE_DIFF(hour, `2010-01-01T00:00+02:00`, `2010-01-01T00:00Z`)", "2"),
        ("EXTRACT(YEAR FROM `2010-01-01T`)", "2010"),
        ("EXTRACT(MONTH FROM `2010T`)", "1"),
        ("EXTRACT(HOUR FROM `2017-01-02T03:04:05+07:08`)", "3"),
        ("EXTRACT(SECOND FROM `2017-01-02T03:04:05.25Z`)", "5.25"),
        ("EXTRACT(TIMEZONE_HOUR FROM `2017-01-02T03:04:05+07:08`)", "7"),
        ("EXTRACT(TIMEZONE_MINUTE FROM `2017-01-02T03:04:05-07:08`)", "-8"),
        ("TO_STRING(`1969-07-20T20:18Z`, 'MMMM d, y')", "\"July 20, 1969\""),
        ("TO_STRING(`1969-07-20T20:18Z`, 'MMM d, yyyy')", "\"Jul 20, 1969\""),
        ("TO_STRING(`1969-07-20T20:18Z`, 'M-d-yy')", "7-20-69"),
        ("TO_STRING(`1969-07-20T20:18Z`, 'MM-d-y')", "07-20-1969"),
        ("TO_STRING(`1969-07-20T20:18Z`, 'MMMM d y h:m a')", "July 20 1969 8:18 PM"),
        ("TO_STRING(`1969-07-20T20:18Z`, 'y-MM-dd''T''H:m:ssX')", "1969-07-20T20:18:00Z"),
        (
            "TO_STRING(`1969-07-20T20:18+08:00`, 'y-MM-dd''T''H:m:ssXXXX')",
            "1969-07-20T20:18:00+0800",
        ),
        (
            "TO_STRING(`1969-07-20T20:18+08:00`, 'y-MM-dd''T''H:m:ssXXXXX')",
            "1969-07-20T20:18:00+08:00",
        ),
        ("TO_STRING(`2017-01-02T03:04:05.067Z`, 'HHmmss.SSS n x')", "030405.067 67000000 +00"),
        ("TO_TIMESTAMP('July 20, 1969 8:18 PM', 'MMMM d, y h:m a')", "1969-07-20T20:18-00:00"),
        ("TO_TIMESTAMP('1969.07.20 +0130', 'y.MM.dd xx')", "1969-07-20"),
        (
            "TO_TIMESTAMP('12/31/69 01:02:03.5 +01:30', 'M/d/yy HH:mm:ss.S xxx')",
            "2069-12-31T01:02:03.5+01:30",
        ),
        ("`2007-01-01T00:00+01:00` < `2007-01-01T00:00Z`", "true"),
        ("CAST('2007-01-01' AS TIMESTAMP) = `2007T`", "true"),
    ]);
    refused(&[
        ("SELECT TO_TIMESTAMP('x') FROM S3Object", "ValueParseFailure"),
        (
            "SELECT TO_TIMESTAMP('1', 'y-y') FROM S3Object",
            "EvaluatorTimestampFormatPatternDuplicateFields",
        ),
        (
            "SELECT TO_TIMESTAMP('1', 'h') FROM S3Object",
            "EvaluatorTimestampFormatPatternHourClockAmPmMismatch",
        ),
        (
            "SELECT TO_TIMESTAMP('1', 'MMMMM') FROM S3Object",
            "EvaluatorInvalidTimestampFormatPatternSymbolForParsing",
        ),
        (
            "SELECT TO_STRING(UTCNOW(), 'b') FROM S3Object",
            "EvaluatorInvalidTimestampFormatPatternSymbol",
        ),
        (
            "SELECT TO_STRING(UTCNOW(), 'yyy') FROM S3Object",
            "EvaluatorInvalidTimestampFormatPatternToken",
        ),
        (
            "SELECT TO_STRING(UTCNOW(), '''x') FROM S3Object",
            "EvaluatorUnterminatedTimestampFormatPatternToken",
        ),
        ("SELECT DATE_ADD(week, 1, UTCNOW()) FROM S3Object", "ParseExpectedDatePart"),
        ("SELECT DATE_ADD(timezone_hour, 1, UTCNOW()) FROM S3Object", "ParseExpectedDatePart"),
        ("SELECT DATE_ADD(year 1, UTCNOW()) FROM S3Object", "ParseExpectedArgumentDelimiter"),
        ("SELECT DATE_ADD(year, 9999, UTCNOW()) FROM S3Object", "ExternalEvalException"),
        (
            "SELECT DATE_ADD(year, 700000000000000000, UTCNOW()) FROM S3Object",
            "ExternalEvalException",
        ),
        (
            "SELECT DATE_ADD(day, 9223372036854775807, UTCNOW()) FROM S3Object",
            "ExternalEvalException",
        ),
        ("SELECT `2010-13T` FROM S3Object", "LexerInvalidIONLiteral"),
    ]);
}

#[test]
fn expressions_that_cannot_be() {
    refused(&[
        ("", "ParseExpectedKeyword"),
        ("DELETE FROM S3Object", "ParseExpectedKeyword"),
        ("SELECT", "ParseExpectedExpression"),
        ("SELECT FROM S3Object", "ParseEmptySelect"),
        ("SELECT *", "ParseSelectMissingFrom"),
        ("SELECT * FROM other", "EvaluatorBindingDoesNotExist"),
        ("SELECT * FROM S3Object.path", "InvalidKeyPath"),
        ("SELECT * FROM S3Object s, S3Object t", "MultipleDataSourcesUnsupported"),
        ("SELECT * FROM S3Object s JOIN S3Object t", "ParseMalformedJoin"),
        ("SELECT *, _1 FROM S3Object", "ParseAsteriskIsNotAloneInSelectList"),
        ("SELECT DISTINCT _1 FROM S3Object", "ParseUnsupportedSelect"),
        ("SELECT _1 FROM S3Object GROUP BY _1", "ParseUnsupportedLiteralsGroupBy"),
        ("SELECT _1 FROM S3Object ORDER BY _1", "ParseUnexpectedToken"),
        ("SELECT _1 FROM S3Object LIMIT 5, 10", "ParseUnexpectedToken"),
        ("SELECT _1 FROM S3Object LIMIT -1", "EvaluatorNegativeLimit"),
        ("SELECT _1 FROM S3Object LIMIT x", "ParseExpectedNumber"),
        ("SELECT _1 AS select FROM S3Object", "ParseExpectedIdentForAlias"),
        ("SELECT s.CAST FROM S3Object s", "ParseInvalidPathComponent"),
        ("SELECT s.*.a FROM S3Object s", "ParseInvalidContextForWildcardInSelectList"),
        ("SELECT s[*] FROM S3Object s", "ParseInvalidContextForWildcardInSelectList"),
        ("SELECT date FROM S3Object", "ParseUnexpectedToken"),
        ("SELECT (1 FROM S3Object", "ParseExpectedTokenType"),
        ("SELECT 1 IN 2 FROM S3Object", "ParseExpectedLeftParenValueConstructor"),
        ("SELECT CAST 1 AS INT FROM S3Object", "ParseExpectedLeftParenAfterCast"),
        ("SELECT CAST(1 AS 2) FROM S3Object", "ParseExpectedTypeName"),
        ("SELECT CAST(1 AS INT, 2) FROM S3Object", "ParseCastArity"),
        ("SELECT CAST(1 AS DECIMAL(x)) FROM S3Object", "ParseInvalidTypeParam"),
        ("SELECT CASE ELSE 1 END FROM S3Object", "ParseUnexpectedToken"),
        ("SELECT CASE 1 END FROM S3Object", "ParseExpectedWhenClause"),
        ("SELECT LOWER('a' FROM S3Object", "ParseExpectedRightParenBuiltinFunctionCall"),
        ("SELECT COUNT(DISTINCT _1) FROM S3Object", "ParseUnsupportedSyntax"),
        ("SELECT _1 == 1 FROM S3Object", "LexerInvalidOperator"),
        ("SELECT 'a FROM S3Object", "LexerInvalidLiteral"),
        ("SELECT 1a FROM S3Object", "LexerInvalidLiteral"),
        ("SELECT \\ FROM S3Object", "LexerInvalidChar"),
        ("SELECT _1 FROM S3Object WHERE _1 IS 5", "ParseUnexpectedToken"),
        ("SELECT (((SELECT 1))) FROM S3Object", "ParseUnexpectedToken"),
    ]);
    let nested = format!("SELECT {}1{} FROM S3Object", "(".repeat(5000), ")".repeat(5000));
    let tall = format!("SELECT {}1 FROM S3Object", "1 + ".repeat(5000));
    let minus = format!("SELECT {}1 FROM S3Object", "- ".repeat(5000));
    let nots = format!("SELECT {} TRUE FROM S3Object", "NOT ".repeat(5000));
    for sql in [nested, tall, minus, nots] {
        assert_eq!(Query::parse(&sql).unwrap_err().code, "MaxOperatorsExceeded");
    }
    // What is long but not tall is no matter.
    let long = format!("SELECT _1 FROM S3Object WHERE {} _1 = 1", "_1 = 2 OR ".repeat(20_000));
    assert_eq!(run(&long, csv(Header::None), csv_out(), "1\n").as_deref(), Ok("1\n"));
    let longer = format!("SELECT '{}' FROM S3Object", "x".repeat(256 * 1024));
    assert_eq!(Query::parse(&longer).unwrap_err().code, "ExpressionTooLong");
    let error = Query::parse("SELECT _1 FROM S3Object\nORDER BY _1").unwrap_err();
    assert_eq!(error.message, "Unexpected token found KEYWORD:order at line 2, column 1.");
}

#[test]
fn the_answer_is_quoted_as_asked() {
    let check = |output: CsvOutput, expected: &str| {
        let answer = run(
            "SELECT * FROM S3Object",
            csv(Header::None),
            Output::Csv(output),
            "a,\"b\"\"c\",\n",
        );
        assert_eq!(answer.as_deref(), Ok(expected));
    };
    check(CsvOutput::default(), "a,\"b\"\"c\",\n");
    check(CsvOutput { quote_always: true, ..CsvOutput::default() }, "\"a\",\"b\"\"c\",\"\"\n");
    check(
        CsvOutput {
            record_delimiter: "\r\n".into(),
            field_delimiter: "|".into(),
            quote: '\'',
            escape: '\\',
            quote_always: true,
        },
        "'a'|'b\"c'|''\r\n",
    );
}

#[test]
fn a_second_of_noise() {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let texts = [
        "SELECT * FROM S3Object",
        "SELECT s._1, COUNT(*) FROM S3Object[*].a[*].b s WHERE s._2 LIKE '%a_' ESCAPE 'x' LIMIT 3",
        "SELECT SUM(CAST(_1 AS DECIMAL)) + 1, AVG(_2) FROM S3Object WHERE _1 BETWEEN 1 AND 2.5e3 OR NOT _1 IN (1, 'b')",
        "SELECT CASE WHEN a.b[0] IS NOT MISSING THEN TO_STRING(`2017-01-02T03:04:05.6+07:08`, 'MMM d, yyyy h:m a XXX') ELSE COALESCE(NULLIF(b, NULL), -1) END AS \"x\" FROM S3Object",
        "SELECT TRIM(BOTH 'x' FROM _1), SUBSTRING(_1 FROM 2 FOR 3), DATE_ADD(month, _2, TO_TIMESTAMP(_1, 'y-MM-dd')), EXTRACT(year FROM UTCNOW()) FROM S3Object",
    ];
    let objects: [&[u8]; 4] = [
        b"a,b,c\n1,\"x\"\"y\n\",3\r\n#z\n2020-01-02,5,",
        b"{\"a\":[{\"b\":1.5},{\"b\":\"\\u00e9\"}],\"c\":null}\n{\"a\":[]} [true]",
        &gzip(b"a,b\n1,2\n"),
        &bzip2(b"a,b\n1,2\n"),
    ];
    for (i, object) in objects.iter().enumerate() {
        for (j, text) in texts.iter().enumerate() {
            let first = [0, 1, 32, 64][i] | (j as u8 * 2) | if j == 2 { 128 } else { 0 } | 16;
            seeds.push([&[first], text.as_bytes(), &[0], object].concat());
        }
    }
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    let words: [&[u8]; 14] = [
        b" NOT ",
        b"(",
        b")",
        b"'",
        b"\"",
        b"\n",
        b",",
        b"[*]",
        b".a",
        b"\0",
        b"-1e9",
        b"99999999999999999999",
        b" IS NULL ",
        b"\\u",
    ];
    base::noise::run(7, 1_000, &seeds, &words, crate::fuzz::fuzz_select);
}
