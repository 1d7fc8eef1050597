//! Requests as botocore signs them (`testdata/goldens.py` writes them).

use super::*;

const GOLDENS: &str = include_str!("../../testdata/botocore.txt");
const NOW: &str = "2026-11-20T17:30:00Z";

fn verify(block: &str, change: impl Fn(Request) -> Request) -> Result<(), AuthError> {
    let mut lines = block.lines().skip(1);
    let [rules, region, service, body] = lines.next().unwrap().split(' ').collect::<Vec<_>>()[..]
    else {
        panic!("{block}")
    };
    let body = if body == "-" { Vec::new() } else { base::hex::decode(body.as_bytes()).unwrap() };
    let rules = match rules {
        "s3" => Rules::S3,
        _ => Rules::General { body_sha256: sha256(&body) },
    };
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let request = change(Request::new(method, target, &headers));
    let expect = Expect { rules, service, region: Some(region), skew_s: 300, now: at(NOW) };
    if let Some((_, given)) = headers.iter().find(|(n, _)| *n == "x-amz-content-sha256") {
        assert_eq!(Payload::parse(given), Ok(Payload::Sha256(sha256(&body))));
    }
    request.verify(EXAMPLE_SECRET, &expect)
}

#[test]
fn every_golden() {
    let blocks: Vec<&str> = GOLDENS.trim_end().split("\n\n").collect();
    assert_eq!(blocks.len(), 22);
    for block in blocks {
        assert_eq!(verify(block, |request| request), Ok(()), "{block}");
        let wrong = verify(block, |r| Request { method: "HEAD".to_owned(), ..r }).unwrap_err();
        assert!(matches!(wrong.cause, Cause::Mismatch(_)), "{block}");
    }
}

#[test]
fn a_default_port_may_be_left_out_on_either_side() {
    let block = |name: &str| GOLDENS.split("\n\n").find(|b| b.starts_with(name)).unwrap();
    for (name, host, ok) in [
        ("# iam", "iam.amazonaws.com:443", true),
        ("# iam", "iam.amazonaws.com:80", true),
        ("# iam", "iam.amazonaws.com:8443", false),
        ("# default port", "localhost:80", true),
        ("# default port", "localhost", true),
        ("# default port", "localhost:8080", false),
        ("# default port", "localhost:", false),
    ] {
        let result = verify(block(name), |request| request.set("host", host));
        assert_eq!(result.is_ok(), ok, "{name} {host}");
    }
}
